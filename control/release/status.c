/* SPDX-License-Identifier: Apache-2.0
 * status.c - the state of a release at its beginning, and as stored JSON.
 *
 * Why: grayd starts from what it stored.  A state that contradicts itself is
 * refused rather than mended: a share that is read wrong lets people in.
 * Read next: move.c.
 */
#include <string.h>

#include "control/release/internal.h"

static const char *const completions[] = {"", "Promoted", "FastPromoted",
                                          "Aborted", "RolledBack"};

void release_first(const struct release_facts *facts, int64_t now,
                   const char *by, struct release_status *ret_status)
{
    struct release_status status = {.attempt = 1, .since = now};

    release_text(status.by, sizeof(status.by), by);
    if (!facts->has_strategy && facts->declared_share > 0) {
        status.started = now;
        release_arrive(&status, facts, RELEASE_PROGRESSING,
                       facts->declared_share);
    }
    *ret_status = status;
}

json_t *release_status_json(const struct release_status *status)
{
    return json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:b,s:b,s:s,s:I,s:I,s:s,s:s}", "state",
        release_state_word(status->state), "share", (json_int_t)status->share,
        "step", (json_int_t)status->step, "attempt",
        (json_int_t)status->attempt, "dimension",
        (json_int_t)status->dimension, "seenIn",
        (json_int_t)status->seen_in, "seenShare",
        (json_int_t)status->seen_share, "killed", (int)status->killed, "keep",
        (int)status->keep, "retreated", (int)status->retreated,
        "frozenPromoted", (int)status->frozen_promoted, "completion", status->completion, "since", (json_int_t)status->since,
        "started", (json_int_t)status->started, "by", status->by, "reason",
        status->reason);
}

/* ---- parsing ------------------------------------------------------------- */

static bool get_number(const json_t *value, const char *key, int64_t least,
                       int64_t most, int64_t *ret_number)
{
    const json_t *item = json_object_get(value, key);
    int64_t number = (int64_t)json_integer_value(item);

    if (!json_is_integer(item) || number < least || number > most) {
        return false;
    }
    *ret_number = number;
    return true;
}

static bool get_bool(const json_t *value, const char *key, bool *ret_bool)
{
    const json_t *item = json_object_get(value, key);

    *ret_bool = json_is_true(item);
    return json_is_boolean(item);
}

/* What states of before have not: as if it were 0. */
static bool get_new_number(const json_t *value, const char *key, int64_t most,
                           int64_t *ret_number)
{
    *ret_number = 0;
    return json_object_get(value, key) == NULL ||
           get_number(value, key, 0, most, ret_number);
}

static bool get_later(const json_t *value, struct release_status *status)
{
    int64_t dimension, seen_in, seen_share;

    if (!get_new_number(value, "dimension", GRAY_STAGES_MAX - 1, &dimension) ||
        !get_new_number(value, "seenIn", INT64_MAX, &seen_in) ||
        !get_new_number(value, "seenShare", GRAY_SHARE_ALL, &seen_share) ||
        (json_object_get(value, "retreated") != NULL &&
         !get_bool(value, "retreated", &status->retreated))) {
        return false;
    }
    status->dimension = (uint32_t)dimension;
    status->seen_in = (uint64_t)seen_in;
    status->seen_share = (uint32_t)seen_share;
    return true;
}

static bool get_text(const json_t *value, const char *key, char *buffer,
                     size_t size)
{
    const json_t *item = json_object_get(value, key);
    const char *text = json_string_value(item);

    if (text == NULL || json_string_length(item) >= size ||
        strlen(text) != json_string_length(item)) {
        return false;
    }
    memcpy(buffer, text, json_string_length(item) + 1);
    return true;
}

static bool get_state(const json_t *value, enum release_state_number *ret_state)
{
    const char *word = json_string_value(json_object_get(value, "state"));

    for (int i = 0; word != NULL && i <= RELEASE_COMPLETED; i++) {
        if (strcmp(word, release_state_word((enum release_state_number)i)) ==
            0) {
            *ret_state = (enum release_state_number)i;
            return true;
        }
    }
    return false;
}

/* What no move can have led to. */
static bool sound(const struct release_status *status)
{
    bool ended = strcmp(status->completion, "Aborted") == 0;
    bool known = false;

    for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]); i++) {
        known |= strcmp(status->completion, completions[i]) == 0;
    }
    return known &&
           (status->share == 0 || (status->state != RELEASE_INITIALIZED &&
                                   status->state != RELEASE_ABORTED)) &&
           (status->share > 0 || status->state != RELEASE_PROMOTED) &&
           (!status->frozen_promoted || status->state == RELEASE_FROZEN) &&
           (!status->keep || ended) &&
           (!ended || status->state == RELEASE_ABORTED ||
            (status->state == RELEASE_COMPLETED && status->share == 0)) &&
           (ended || status->state != RELEASE_ABORTED);
}

int release_status_parse(const json_t *value,
                         struct release_status *ret_status)
{
    struct release_status status = {0};
    int64_t share, step, attempt;

    if (!get_state(value, &status.state) ||
        !get_number(value, "share", 0, GRAY_SHARE_ALL, &share) ||
        !get_number(value, "step", 0, UINT32_MAX, &step) ||
        !get_number(value, "attempt", 1, RELEASE_ATTEMPT_MAX, &attempt) ||
        !get_later(value, &status) ||
        !get_bool(value, "killed", &status.killed) ||
        !get_bool(value, "keep", &status.keep) ||
        !get_bool(value, "frozenPromoted", &status.frozen_promoted) ||
        !get_text(value, "completion", status.completion,
                  sizeof(status.completion)) ||
        !get_number(value, "since", 0, INT64_MAX, &status.since) ||
        !get_number(value, "started", 0, INT64_MAX, &status.started) ||
        !get_text(value, "by", status.by, sizeof(status.by)) ||
        !get_text(value, "reason", status.reason, sizeof(status.reason))) {
        return -1;
    }
    status.share = (uint32_t)share;
    status.step = (uint32_t)step;
    status.attempt = (uint32_t)attempt;
    if (!sound(&status)) {
        return -1;
    }
    *ret_status = status;
    return 0;
}
