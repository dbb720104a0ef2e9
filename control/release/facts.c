/* SPDX-License-Identifier: Apache-2.0
 * facts.c - what of a Release document the machine goes by.
 *
 * Why: documents were checked when they were applied, but a store may hold
 * what an older or a newer program wrote: what is not understood is no
 * release, and never means "go".
 * Read next: policy/model_release.c (the whole document), move.c.
 */
#include <string.h>

#include "control/release/internal.h"
#include "policy/parse.h"

static int percent(const json_t *value, uint32_t *ret_share)
{
    return json_is_number(value) &&
                   gray_parse_percent(json_number_value(value), ret_share)
               ? 0
               : -1;
}

/* The number of a word among some; absent is `otherwise`. */
static int word_of(const json_t *object, const char *key,
                   const char *const *words, size_t count, uint8_t otherwise,
                   uint8_t *ret_number)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);

    if (value == NULL) {
        *ret_number = otherwise;
        return 0;
    }
    for (size_t i = 0; text != NULL && i < count; i++) {
        if (strcmp(words[i], text) == 0) {
            *ret_number = (uint8_t)i;
            return 0;
        }
    }
    return -1;
}

static int read_weights(const json_t *steps, struct release_facts *facts)
{
    uint32_t share = 0, before = 0;

    if (!json_is_array(steps) || json_array_size(steps) > UINT32_MAX) {
        return -1;
    }
    facts->step_count = (uint32_t)json_array_size(steps);
    for (uint32_t i = 0; i < facts->step_count; i++) {
        const json_t *step = json_array_get(steps, i);
        const json_t *weight = json_object_get(step, "setWeight");

        if (weight == NULL) {
            weight = json_object_get(json_object_get(step, "ramp"), "to");
        }
        if (!json_is_object(step) ||
            (weight != NULL && percent(weight, &share) != 0)) {
            return -1;
        }
        if (share > release_share_all(facts)) {
            share = release_share_all(facts);
        }
        if (share <= before) {
            continue; /* admits nobody new */
        }
        if (facts->weight_count == RELEASE_STEPS_MAX) {
            return -1;
        }
        before = share;
        facts->weights[facts->weight_count].step = i;
        facts->weights[facts->weight_count++].share = share;
    }
    return 0;
}

static int read_strategy(const json_t *strategy, struct release_facts *facts)
{
    static const char *const kinds[] = {"canary", "blueGreen", "rolling"};
    static const char *const on_abort[] = {"leave", "keep"};
    const json_t *kind = NULL;
    uint8_t keep = 0;

    if (strategy == NULL) {
        return 0;
    }
    for (size_t i = 0; kind == NULL && i < 3; i++) {
        kind = json_object_get(strategy, kinds[i]);
    }
    if (!json_is_object(kind) ||
        word_of(kind, "onAbort", on_abort, 2, 0, &keep) != 0) {
        return -1;
    }
    facts->has_strategy = true;
    facts->on_abort_keep = keep == 1;
    if (json_object_get(strategy, "canary") == NULL) {
        return 0; /* the others have no steps */
    }
    return read_weights(json_object_get(kind, "steps"), facts);
}

static int read_admission(const json_t *admission, struct release_facts *facts)
{
    const json_t *share = json_object_get(admission, "share");
    const json_t *holdback = json_object_get(admission, "holdback");

    if ((admission != NULL && !json_is_object(admission)) ||
        (share != NULL && percent(share, &facts->declared_share) != 0) ||
        (holdback != NULL && percent(holdback, &facts->holdback) != 0) ||
        facts->declared_share > release_share_all(facts)) {
        return -1;
    }
    return 0;
}

/* How long a reader may admit without a word of grayd, and what moves apart. */
static int read_marks(const json_t *document, struct release_facts *facts)
{
    static const char *const durable[] = {"async", "strict"};
    const json_t *lease = json_object_get(document, "admissionLease");
    const json_t *dimensions = json_object_get(document, "dimensions");
    int64_t ms = 0;
    uint8_t strict = 0;

    if (word_of(document, "durability", durable, 2, 0, &strict) != 0 ||
        (dimensions != NULL && !json_is_array(dimensions)) ||
        json_array_size(dimensions) > GRAY_STAGES_MAX) {
        return -1;
    }
    facts->strict = strict == 1;
    facts->dimensions = (uint32_t)json_array_size(dimensions);
    if (lease == NULL) {
        ms = facts->strict || facts->stickiness == GRAY_STICKY_ENTITY
                 ? RELEASE_LEASE_MS
                 : 0;
    } else if (json_string_value(lease) == NULL ||
               !gray_parse_duration(json_string_value(lease), &ms) || ms < 0 ||
               ms > UINT32_MAX) {
        return -1;
    }
    facts->lease_ms = (uint32_t)ms;
    return 0;
}

int release_facts_read(const json_t *document, struct release_facts *ret_facts)
{
    static const char *const sticky[] = {"none", "monotonic", "entity"};
    static const char *const compat[] = {"stateless", "reversible",
                                         "irreversible"};
    const char *kind = json_string_value(json_object_get(document, "kind"));
    const char *name = json_string_value(json_object_get(document, "name"));
    struct release_facts facts = {0};

    if (kind == NULL || strcmp(kind, "Release") != 0 || name == NULL ||
        name[0] == '\0' || strlen(name) > GRAY_NAME_MAX ||
        word_of(document, "stickiness", sticky, 3, GRAY_STICKY_MONOTONIC,
                &facts.stickiness) != 0 ||
        word_of(document, "dataCompat", compat, 3,
                facts.stickiness == GRAY_STICKY_ENTITY ? GRAY_DATA_IRREVERSIBLE
                                                       : GRAY_DATA_STATELESS,
                &facts.data_compat) != 0 ||
        read_marks(document, &facts) != 0 ||
        read_admission(json_object_get(document, "admission"), &facts) != 0 ||
        read_strategy(json_object_get(document, "strategy"), &facts) != 0) {
        return -1;
    }
    memcpy(facts.name, name, strlen(name));
    *ret_facts = facts;
    return 0;
}

uint32_t release_share_all(const struct release_facts *facts)
{
    return GRAY_SHARE_ALL - facts->holdback;
}

uint32_t release_step_at(const struct release_facts *facts, uint32_t share)
{
    uint32_t step = 0;

    for (size_t i = 0;
         i < facts->weight_count && facts->weights[i].share <= share; i++) {
        step = facts->weights[i].step;
    }
    return step;
}

bool release_more_dimensions(const struct release_status *status,
                             const struct release_facts *facts)
{
    return status->dimension + 1 < facts->dimensions;
}

uint32_t release_first_share(const struct release_facts *facts)
{
    return facts->weight_count > 0 ? facts->weights[0].share
                                   : facts->declared_share;
}

uint32_t release_next_share(const struct release_status *status,
                            const struct release_facts *facts)
{
    if (status->state != RELEASE_PROGRESSING &&
        status->state != RELEASE_PAUSED) {
        return RELEASE_NO_SHARE;
    }
    if (status->share >= release_share_all(facts)) { /* of one dimension */
        return release_more_dimensions(status, facts) &&
                       release_first_share(facts) > 0
                   ? release_first_share(facts)
                   : RELEASE_NO_SHARE;
    }
    for (size_t i = 0; i < facts->weight_count; i++) {
        if (facts->weights[i].share > status->share) {
            return facts->weights[i].share;
        }
    }
    return facts->weight_count > 0 ? release_share_all(facts)
                                   : RELEASE_NO_SHARE;
}
