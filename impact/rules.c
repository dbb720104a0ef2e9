/* SPDX-License-Identifier: Apache-2.0
 * rules.c - whether a release lets in by the same rules as before.
 *
 * Why: who is in now tells who would be in at another share, but only if the
 * share is all that moves.  Sources are canonical, so what is equal in them is
 * equal in meaning.
 * Read next: predict.c.
 */
#include "impact/predict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* {"Kind/name": tree} of a model; NULL: no memory. */
static json_t *documents_of(const struct gray_model *model, bool *ret_lists)
{
    json_t *all = json_loadb(model->source, model->source_length, 0, NULL);
    json_t *named = json_object(), *tree;
    bool good = all != NULL && named != NULL;
    size_t i;

    json_array_foreach(all, i, tree) {
        const char *kind = json_string_value(json_object_get(tree, "kind"));
        const char *name = json_string_value(json_object_get(tree, "name"));
        char key[32 + GRAY_NAME_MAX + 2];

        snprintf(key, sizeof(key), "%.31s/%.*s", kind, GRAY_NAME_MAX, name);
        *ret_lists |= strcmp(kind, "List") == 0;
        good &= json_object_set(named, key, tree) == 0;
    }
    json_decref(all);
    if (!good) {
        json_decref(named);
        named = NULL;
    }
    return named;
}

static bool lists_are_equal(json_t *before, json_t *after)
{
    const char *key;
    json_t *tree;

    json_object_foreach(after, key, tree) {
        if (strncmp(key, "List/", 5) == 0 &&
            !json_equal(json_object_get(before, key), tree)) {
            return false;
        }
    }
    return true;
}

int predict_sources(struct predict *p)
{
    bool lists = false;

    if (p->q->before == NULL || p->q->same_rules) {
        return 0;
    }
    p->before = documents_of(p->q->before, &lists);
    p->after = documents_of(p->q->after, &lists);
    if (p->before == NULL || p->after == NULL) {
        return -ENOMEM;
    }
    p->lists_differ = lists && !lists_are_equal(p->before, p->after);
    return 0;
}

void predict_clear(struct predict *p)
{
    json_decref(p->before);
    json_decref(p->after);
    free(p->arms);
}

/* A release without what moves nobody: NULL: there is none. */
static json_t *rules_of(json_t *documents, const char *name)
{
    static const char *const idle[] = { "description", "strategy",
                                        "priority", "attempt" };
    char key[GRAY_NAME_MAX + 16];
    json_t *tree;

    snprintf(key, sizeof(key), "Release/%s", name);
    tree = json_deep_copy(json_object_get(documents, key));
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++) {
        json_object_del(tree, idle[i]);
    }
    json_object_del(json_object_get(tree, "admission"), "share");
    if (json_object_size(json_object_get(tree, "admission")) == 0) {
        json_object_del(tree, "admission"); /* no share: left out */
    }
    return tree;
}

static bool names_list(json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;

    json_object_foreach(value, key, member) {
        if (strcmp(key, "list") == 0 || names_list(member)) {
            return true;
        }
    }
    json_array_foreach(value, i, member) {
        if (names_list(member)) {
            return true;
        }
    }
    return false;
}

bool predict_same_rules(const struct predict *p, const char *name)
{
    json_t *before, *after;
    bool same;

    if (p->q->before == NULL) {
        return false;
    }
    if (p->q->same_rules) {
        return true;
    }
    before = rules_of(p->before, name);
    after = rules_of(p->after, name);
    same = before != NULL && json_equal(before, after) &&
           !(p->lists_differ && names_list(after));
    json_decref(before);
    json_decref(after);
    return same;
}

/* ---- replay ------------------------------------------------------------------ */

const struct impact_replayed *
predict_replayed(const struct impact_replay *replay, const char *name)
{
    for (size_t i = 0; replay != NULL && i < replay->release_count; i++) {
        if (strcmp(replay->releases[i].release, name) == 0) {
            return &replay->releases[i];
        }
    }
    return NULL;
}

double predict_split(const struct impact_question *q, enum impact_basis basis,
                     const char *arm, double part, double weight)
{
    const struct impact_replay *replay = q->replay;

    for (size_t i = 0; basis == IMPACT_REPLAYED && i < replay->arm_count;
         i++) {
        if (strcmp(replay->arms[i].arm, arm) == 0) {
            return (double)replay->arms[i].after / (double)replay->replayed;
        }
    }
    return part * weight;
}
