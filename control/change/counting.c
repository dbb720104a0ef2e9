/* SPDX-License-Identifier: Apache-2.0
 * counting.c - see counting.h.
 *
 * Why: the rehearsal is the change itself, on a world of its own and without
 * its end, so that what is counted is what would be refused.
 * Read next: apply.c, documents.c.
 */
#include "control/change/counting.h"

#include <stdlib.h>
#include <string.h>

#include "control/change/apply.h"
#include "policy/standing.h"

/* ---- now --------------------------------------------------------------------------- */

static enum gray_counted count_now(void *context,
                                   struct gray_standing *standing,
                                   struct gray_tally *ret_tally,
                                   char ret_why[160])
{
    struct grayd *grayd = context;
    const char *name = gray_standing_release(standing)->name;

    if (grayd->marks == NULL) {
        snprintf(ret_why, 160, "the journal of marks could not be opened");
        return GRAY_COUNTED_NONE;
    }
    return marks_replay(grayd->marks, gray_hash_scope(name, strlen(name)),
                        standing, COUNTING_MS, ret_tally, ret_why);
}

struct gray_counter counting_now(struct grayd *grayd)
{
    return (struct gray_counter) { count_now, grayd };
}

/* ---- ahead --------------------------------------------------------------------------- */

struct counted_release {
    struct counted_release *next;
    char name[GRAY_NAME_MAX + 1];
    enum gray_counted counted;
    struct gray_tally tally;
    char why[160];
};
struct counted {
    struct grayd *grayd;
    uint64_t revision; /* that was in force */
    struct counted_release *releases;
};

void counting_free(struct counted *counted)
{
    while (counted != NULL && counted->releases != NULL) {
        struct counted_release *next = counted->releases->next;

        free(counted->releases);
        counted->releases = next;
    }
    free(counted);
}

static enum gray_counted count_and_keep(void *context,
                                        struct gray_standing *standing,
                                        struct gray_tally *ret_tally,
                                        char ret_why[160])
{
    struct counted *counted = context;
    struct counted_release *kept = calloc(1, sizeof(*kept));
    enum gray_counted result =
        count_now(counted->grayd, standing, ret_tally, ret_why);

    if (kept != NULL) {
        snprintf(kept->name, sizeof(kept->name), "%s",
                 gray_standing_release(standing)->name);
        kept->counted = result;
        kept->tally = *ret_tally;
        snprintf(kept->why, sizeof(kept->why), "%s", ret_why);
        kept->next = counted->releases;
        counted->releases = kept;
    }
    return result;
}

bool counting_is_wanted(const struct call *call)
{
    return (call->route->number == ROUTE_APPLY ||
            call->route->number == ROUTE_LIST_IDS) &&
           json_object_get(call->body, "allowDrop") != NULL;
}

/* What is wrong with the change is said when it is made. */
static void rehearse(struct control *own, const struct call *call,
                     struct gray_counter *counter)
{
    struct reply reply = { 0 };
    struct change change;

    if (change_begin(&change, own, call, &reply) == 0) {
        change.counter = counter;
        if (call->route->number == ROUTE_APPLY) {
            struct application a = { 0 };

            application_read(&a, &change, call, &reply);
            application_clear(&a);
        } else {
            list_ids_check(&change, call, &reply);
        }
        change_end(&change);
    }
    reply_clear(&reply);
}

void counting_ahead(struct hand *hand, struct call *call)
{
    struct counted *counted = calloc(1, sizeof(*counted));
    struct control *own = malloc(sizeof(*own));
    struct reply reply = { 0 };

    if (counted != NULL && own != NULL && hand != NULL &&
        hand->reader != NULL && control_borrow(own, hand, &reply) == 0) {
        struct gray_counter counter = { count_and_keep, counted };

        counted->grayd = hand->grayd;
        counted->revision = own->world.revision;
        rehearse(own, call, &counter);
        control_give_back(own);
        call->counted = counted;
        counted = NULL;
    }
    reply_clear(&reply);
    counting_free(counted);
    free(own);
}

/* ---- kept ------------------------------------------------------------------------------ */

static enum gray_counted tell_kept(void *context,
                                   struct gray_standing *standing,
                                   struct gray_tally *ret_tally,
                                   char ret_why[160])
{
    const struct counting_kept *kept = context;
    const struct counted *counted = kept->call->counted;
    const char *name = gray_standing_release(standing)->name;

    if (counted == NULL || counted->revision != kept->revision) {
        snprintf(ret_why, 160, "%s",
                 counted == NULL ? "nobody counted them"
                                 : "another change came while they were "
                                   "counted; say it again");
        return GRAY_COUNTED_NONE;
    }
    for (const struct counted_release *one = counted->releases; one != NULL;
         one = one->next) {
        if (strcmp(one->name, name) == 0) {
            *ret_tally = one->tally;
            snprintf(ret_why, 160, "%s", one->why);
            return one->counted;
        }
    }
    snprintf(ret_why, 160, "they were not counted");
    return GRAY_COUNTED_NONE;
}

struct gray_counter counting_kept(struct counting_kept *kept)
{
    return (struct gray_counter) { tell_kept, kept };
}

void counting_options(const struct call *call,
                      struct gray_gate_options *options)
{
    const json_t *drop = json_object_get(call->body, "allowDrop");

    options->allow_drop = drop != NULL;
    options->drop = (uint64_t)json_integer_value(drop);
    options->now = call->now;
}
