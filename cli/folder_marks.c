/* SPDX-License-Identifier: Apache-2.0
 * folder_marks.c - counts marks of the runtime folder, for gates without grayd.
 *
 * Why: there is no journal here, so nobody has the texts of units; but an id
 * that is a number is its own key (marks.h), and those are what most marks are
 * made of.  What is kept by hash alone is said to be there, and not counted as
 * anything.
 * Read next: publish.c, policy/gates_drops.c, runtime/mark_look.h.
 */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "policy/standing.h"
#include "runtime/mark_look.h"

struct visit {
    struct gray_standing *standing;
    struct gray_tally *tally;
    uint64_t hashed;
};

static int visit_mark(void *context, struct gray_mark_key key, uint64_t value)
{
    struct visit *visit = context;
    uint64_t number;
    char text[24];

    if (gray_slot_state(value) != GRAY_SLOT_IN) {
        return 0;
    }
    if (gray_mark_key_number(key, &number) != 0) {
        visit->hashed++;
        return 0;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    gray_standing_add(visit->standing,
                      &(struct gray_standing_mark) {
                          .unit = { text, (uint32_t)strlen(text) },
                          .entrance = GRAY_STANDING_ANYWHERE,
                          .variant = gray_slot_variant(value) },
                      visit->tally);
    return 0;
}

static enum gray_counted count_folder(void *context,
                                      struct gray_standing *standing,
                                      struct gray_tally *ret_tally,
                                      char ret_why[160])
{
    const char *name = gray_standing_release(standing)->name;
    struct visit visit = { standing, ret_tally, 0 };
    struct gray_problem problem = { 0 };
    struct gray_mark_look look;

    if (gray_mark_look_open(&look, context,
                            gray_hash_scope(name, strlen(name)),
                            &problem) != 0) {
        snprintf(ret_why, 160, "%s", problem.sentence);
        return GRAY_COUNTED_NONE;
    }
    gray_marks_each(&look.marks, visit_mark, &visit);
    if (gray_mark_table_state(&look.marks.table) != GRAY_TABLE_READY) {
        snprintf(ret_why, 160, "its table is not whole yet");
    } else if (visit.hashed > 0) {
        snprintf(ret_why, 160,
                 "of %llu more units only a hash is kept here; grayd's journal "
                 "has their names",
                 (unsigned long long)visit.hashed);
    }
    gray_mark_look_close(&look);
    return ret_why[0] == '\0' ? GRAY_COUNTED_EXACT : GRAY_COUNTED_AT_LEAST;
}

struct gray_counter folder_counter(const char *folder)
{
    return (struct gray_counter) { count_folder, (void *)(uintptr_t)folder };
}

int allow_drop(const struct arguments *arguments, bool *ret_given,
               uint64_t *ret_number)
{
    const char *text = arguments_get(arguments, CLI_ALLOW_DROP);
    uint64_t number = 0;

    *ret_given = text != NULL;
    for (const char *c = text; c != NULL && *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || c - text > 15) {
            complain("--allow-drop: how many units may drop is a number, not: "
                     "%s (gray plan says it)", text);
            return CLI_EXIT_USAGE;
        }
        number = number * 10 + (uint64_t)(*c - '0');
    }
    *ret_number = number;
    return 0;
}
