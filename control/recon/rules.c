/* SPDX-License-Identifier: Apache-2.0
 * rules.c - where a release stood, and when: spans and changes.
 *
 * Why: two questions are asked of history: which word held at a moment (a
 * freeze is a state, not a rule), and which revision's rules were in force.
 * Only what this release's decisions hang on counts as a change: its document,
 * its state, and the lists that any version of it names.
 * Read next: rules.h, rules_view.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/recon/rules_parts.h"

/* ---- reading history ----------------------------------------------------- */

static int by_revision(const void *left, const void *right)
{
    const struct rules_change *a = left, *b = right;

    return a->revision < b->revision ? -1 : a->revision > b->revision;
}

static int add_change(struct rules *rules, uint64_t revision, int64_t at)
{
    if (rules->change_count == rules->change_room) {
        size_t room = rules->change_room * 2 + 64;
        void *more = realloc(rules->changes, room * sizeof(*rules->changes));

        if (more == NULL) {
            return -1;
        }
        rules->changes = more;
        rules->change_room = room;
    }
    rules->changes[rules->change_count++] =
        (struct rules_change){revision, at};
    return 0;
}

static int see_state(void *context, const struct store_item *item)
{
    struct rules *rules = context;
    json_t *tree = json_loadb(item->text, item->length, 0, NULL);
    struct release_status status;
    struct rules_span span = {
        .revision = item->revision,
        .at = item->at,
        .until = item->until != 0 ? item->until_at : INT64_MAX,
        .word = GRAY_WORD_NO_ADMIT,
    };

    if (tree != NULL && release_status_parse(tree, &status) == 0) {
        span.known = true;
        span.share = status.share;
        span.word = release_word(&status);
    }
    json_decref(tree);
    if (rules->span_count == rules->span_room) {
        size_t room = rules->span_room * 2 + 64;
        void *more = realloc(rules->spans, room * sizeof(*rules->spans));

        if (more == NULL) {
            rules->failed = true;
            return 1;
        }
        rules->spans = more;
        rules->span_room = room;
    }
    rules->spans[rules->span_count++] = span;
    rules->failed |= add_change(rules, item->revision, item->at) != 0;
    return rules->failed;
}

/* Every list that a document names anywhere, as {name: null}. */
static void find_lists(json_t *names, const json_t *value)
{
    const char *key;
    json_t *inner;
    size_t i;

    json_object_foreach((json_t *)(uintptr_t)value, key, inner) {
        if (strcmp(key, "list") == 0 && json_is_string(inner)) {
            json_object_set_new(names, json_string_value(inner), json_null());
        }
        find_lists(names, inner);
    }
    json_array_foreach(value, i, inner) {
        find_lists(names, inner);
    }
}

static int see_document(void *context, const struct store_item *item)
{
    struct rules *rules = context;
    json_t *tree = json_loadb(item->text, item->length, 0, NULL);

    if (tree == NULL) {
        return 0;
    }
    find_lists(rules->lists, tree);
    if (rules->document == NULL) { /* the newest comes first */
        rules->document = json_incref(tree);
    }
    rules->failed |= add_change(rules, item->revision, item->at) != 0;
    if (item->until != 0) {
        rules->failed |= add_change(rules, item->until, item->until_at) != 0;
    }
    json_decref(tree);
    return rules->failed;
}

static int see_list(void *context, const struct store_item *item)
{
    struct rules *rules = context;

    rules->failed |= add_change(rules, item->revision, item->at) != 0;
    return rules->failed;
}

static int read_history(struct rules *rules, const char *release,
                        struct gray_problem *ret_problem)
{
    char key[STORE_NAME_MAX + 1];
    const char *name;
    json_t *null;
    int error;

    snprintf(key, sizeof(key), "Release/%s", release);
    error = store_read_history(rules->reader, STORE_RELEASE, release, 0,
                               SIZE_MAX, see_state, rules, ret_problem);
    if (error >= 0) {
        error = store_read_history(rules->reader, STORE_DOCUMENT, key, 0,
                                   SIZE_MAX, see_document, rules,
                                   ret_problem);
    }
    json_object_foreach(rules->lists, name, null) {
        (void)null;
        snprintf(key, sizeof(key), "List/%.180s", name);
        if (error >= 0) {
            error = store_read_history(rules->reader, STORE_DOCUMENT, key, 0,
                                       SIZE_MAX, see_list, rules,
                                       ret_problem);
        }
    }
    if (error < 0) {
        return error;
    }
    return rules->failed ? -ENOMEM : 0;
}

/* Oldest first, each once. */
static void sort(struct rules *rules)
{
    size_t kept = 0;

    for (size_t i = 0; i < rules->span_count / 2; i++) {
        struct rules_span other = rules->spans[i];

        rules->spans[i] = rules->spans[rules->span_count - 1 - i];
        rules->spans[rules->span_count - 1 - i] = other;
    }
    qsort(rules->changes, rules->change_count, sizeof(*rules->changes),
          by_revision);
    for (size_t i = 0; i < rules->change_count; i++) {
        if (kept == 0 || rules->changes[kept - 1].revision !=
                             rules->changes[i].revision) {
            rules->changes[kept++] = rules->changes[i];
        }
    }
    rules->change_count = kept;
}

int rules_open(struct rules **ret_rules, struct store_reader *reader,
               const struct check *check, struct gray_problem *ret_problem)
{
    struct rules *rules = calloc(1, sizeof(*rules));
    int error;

    if (rules == NULL || (rules->lists = json_object()) == NULL) {
        free(rules);
        return -ENOMEM;
    }
    rules->reader = reader;
    rules->check = check;
    error = read_history(rules, check->release, ret_problem);
    if (error == 0 && (rules->span_count == 0 || rules->document == NULL ||
                       release_facts_read(rules->document, &rules->facts) !=
                           0)) {
        ret_problem->code = "no-release";
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                 "grayd's store has no release %.63s.", check->release);
        error = -ENOENT;
    }
    if (error == 0) {
        sort(rules);
        rules->space = rules_view_space(rules);
        *ret_rules = rules;
        return 0;
    }
    rules_close(rules);
    return error;
}

void rules_close(struct rules *rules)
{
    if (rules == NULL) {
        return;
    }
    rules_views_clear(rules);
    free(rules->spans);
    free(rules->changes);
    json_decref(rules->lists);
    json_decref(rules->document);
    free(rules);
}

/* ---- asking ---------------------------------------------------------------- */

size_t rules_spans(const struct rules *rules,
                   const struct rules_span **ret_spans)
{
    *ret_spans = rules->spans;
    return rules->span_count;
}

const struct rules_span *rules_of(const struct rules *rules, uint64_t revision)
{
    const struct rules_span *found = NULL;

    for (size_t i = 0;
         i < rules->span_count && rules->spans[i].revision <= revision; i++) {
        found = &rules->spans[i];
    }
    return found;
}

uint64_t rules_change_of(const struct rules *rules, uint64_t revision)
{
    uint64_t found = 0;

    for (size_t i = 0; i < rules->change_count &&
                       rules->changes[i].revision <= revision;
         i++) {
        found = rules->changes[i].revision;
    }
    return found;
}

size_t rules_around(const struct rules *rules, int64_t at, int64_t slack,
                    uint64_t *ret_revisions, size_t most)
{
    size_t count = 0;

    for (size_t i = 0; i < rules->change_count; i++) {
        const struct rules_change *change = &rules->changes[i];
        int64_t ends = i + 1 < rules->change_count ? change[1].at : INT64_MAX;

        if (change->at <= at + slack && (ends > at - slack || ends > at)) {
            if (count == most) { /* the newest ones are kept */
                memmove(ret_revisions, ret_revisions + 1,
                        (most - 1) * sizeof(*ret_revisions));
                count--;
            }
            ret_revisions[count++] = change->revision;
        }
    }
    return count;
}

uint8_t rules_stickiness(const struct rules *rules)
{
    return rules->facts.stickiness;
}

uint32_t rules_lease_ms(const struct rules *rules)
{
    return rules->facts.lease_ms;
}

uint8_t rules_space(const struct rules *rules)
{
    return rules->space;
}
