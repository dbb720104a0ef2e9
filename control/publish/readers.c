/* SPDX-License-Identifier: Apache-2.0
 * readers.c - who obeys this folder, and what they counted.
 *
 * Why: grayd shows what `gray status` and the gateway's status location show,
 * from the same text, with the names that its API has.  Nothing of the
 * publisher is asked, so that any thread may look.
 * Read next: runtime/status.c, control/call/schemas.json (Status).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/publish/internal.h"

/* ---- numbers ------------------------------------------------------------- */

/* Counters have 64 bits, JSON here has 63: what is beyond (only a reader that
 * lies counts so far) becomes the largest number, in place. */
static void clamp_numbers(char *text)
{
    static const char most[] = "9223372036854775807";
    bool quoted = false;

    for (char *at = text; *at != '\0'; at++) {
        size_t digits = quoted ? 0 : strspn(at, "0123456789");

        if (digits > 0 && at[digits] != '.' &&
            (digits > 19 || (digits == 19 && strncmp(at, most, 19) > 0))) {
            memcpy(at, most, 19);
            memset(at + 19, ' ', digits - 19);
        }
        if (digits > 0) {
            at += digits - 1;
        } else if (*at == '\\' && at[1] != '\0') {
            at++;
        } else if (*at == '"') {
            quoted = !quoted;
        }
    }
}

/* ---- names --------------------------------------------------------------- */

static void move_key(json_t *to, const char *name, const json_t *from,
                     const char *key)
{
    json_t *value = json_object_get(from, key);

    if (value != NULL) {
        json_object_set(to, name, value);
    }
}

static json_t *reader_row(const json_t *reader, json_int_t generation,
                          json_int_t epoch)
{
    json_t *row = json_object();
    json_int_t policy =
        json_integer_value(json_object_get(reader, "policy_generation"));
    json_int_t words =
        json_integer_value(json_object_get(reader, "word_epoch"));

    move_key(row, "id", reader, "id");
    move_key(row, "kind", reader, "kind");
    move_key(row, "pid", reader, "pid");
    move_key(row, "policyGeneration", reader, "policy_generation");
    move_key(row, "fleetGeneration", reader, "fleet_generation");
    move_key(row, "wordEpoch", reader, "word_epoch");
    move_key(row, "nextGeneration", reader, "next_generation");
    move_key(row, "lateMs", reader, "late_ms");
    move_key(row, "refused", reader, "refusal");
    json_object_set_new(row, "acknowledged",
                        json_boolean(policy >= generation && words >= epoch));
    return row;
}

static json_t *readers_rows(const json_t *status)
{
    json_int_t generation =
        json_integer_value(json_object_get(status, "policy_generation"));
    json_int_t epoch =
        json_integer_value(json_object_get(status, "word_epoch"));
    json_t *rows = json_array(), *reader;
    size_t i;

    json_array_foreach (json_object_get(status, "readers"), i, reader) {
        if (json_is_true(json_object_get(reader, "alive"))) {
            json_array_append_new(rows, reader_row(reader, generation, epoch));
        }
    }
    return rows;
}

/* Counters keep the names of counters.def. */
static json_t *routes_rows(const json_t *status)
{
    static const struct {
        const char *from, *to;
    } names[] = {{"in_flight", "inFlight"}, {"latency_sum_ms", "latencySumMs"},
                 {"p50_ms", "p50Ms"},       {"p95_ms", "p95Ms"},
                 {"p99_ms", "p99Ms"}};
    json_t *rows = json_object_get(status, "series"), *row;
    size_t i;

    json_array_foreach (rows, i, row) {
        for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++) {
            move_key(row, names[j].to, row, names[j].from);
            json_object_del(row, names[j].from);
        }
    }
    return json_is_array(rows) ? json_incref(rows) : json_array();
}

/* What waits for its instant, and what crashed readers. */
static void instant_part(json_t *shown, const json_t *status)
{
    static const char *const names[][2] = {{"generation", "generation"},
                                           {"revision", "revision"},
                                           {"effective_at", "effectiveAtMs"},
                                           {"max_skew_ms", "maxSkewMs"}};
    const json_t *next = json_object_get(status, "next");

    move_key(shown, "effectiveAtMs", status, "effective_at");
    move_key(shown, "clockOffsetMs", status, "clock_offset_ms");
    if (json_is_object(next)) {
        json_t *row = json_object();

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            move_key(row, names[i][1], next, names[i][0]);
        }
        json_object_set_new(shown, "next", row);
    }
    if (json_is_object(json_object_get(status, "crashes"))) {
        move_key(shown, "crashes", status, "crashes");
    }
}

json_t *publisher_status(const char *runtime, struct gray_problem *ret_problem)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    json_t *status, *shown, *problem;

    text = gray_status_json(runtime, &length);
    if (text != NULL) {
        clamp_numbers(text);
    }
    status = text != NULL ? json_loadb(text, length, 0, NULL) : NULL;
    problem = json_object_get(status, "problem");
    if (!json_is_integer(json_object_get(status, "policy_generation"))) {
        const char *why =
            json_string_value(json_object_get(problem, "sentence"));

        publisher_problem(ret_problem, EIO, "unreadable-folder", "%s",
                          why != NULL ? why
                                      : "The runtime folder cannot be read.");
        json_decref(status);
        return NULL;
    }
    shown = json_object();
    move_key(shown, "revisionInForce", status, "revision");
    move_key(shown, "generation", status, "policy_generation");
    move_key(shown, "fleetGeneration", status, "fleet_generation");
    move_key(shown, "wordEpoch", status, "word_epoch");
    move_key(shown, "bypass", status, "bypass");
    instant_part(shown, status);
    move_key(shown, "badReaders", status, "bad_readers");
    move_key(shown, "events", status, "events");
    move_key(shown, "reasons", status, "reasons");
    move_key(shown, "releases", status, "releases"); /* words, as set here */
    if (json_is_object(problem)) {
        json_object_set(shown, "problem", problem);
    }
    json_object_set_new(shown, "readers", readers_rows(status));
    json_object_set_new(shown, "routes", routes_rows(status));
    json_decref(status);
    return shown;
}

/* ---- acknowledgements ---------------------------------------------------- */

/* The epoch that `control` of a folder has now. */
static int epoch_now(const char *runtime, uint64_t *ret_epoch,
                     struct gray_problem *ret_problem)
{
    struct gray_folder folder;
    int error = gray_folder_open(&folder, runtime, false, ret_problem);

    if (error == 0) {
        *ret_epoch =
            __atomic_load_n(&folder.control->word_epoch, __ATOMIC_ACQUIRE);
        gray_folder_close(&folder);
    }
    return error;
}

json_t *publisher_laggards(const char *runtime, uint64_t policy_generation,
                           uint64_t word_epoch, size_t *ret_live,
                           struct gray_problem *ret_problem)
{
    struct gray_totals totals;
    json_t *rows;
    size_t live = 0;
    int error = word_epoch == UINT64_MAX
                    ? epoch_now(runtime, &word_epoch, ret_problem)
                    : 0;

    if (error != 0 || gray_totals_read(runtime, &totals, ret_problem) != 0) {
        return NULL;
    }
    rows = json_array();
    for (size_t i = 0; i < totals.reader_count; i++) {
        const struct gray_reader_status *reader = &totals.readers[i];

        live += reader->alive;
        if (reader->alive && ((reader->policy_generation < policy_generation &&
                               reader->next_generation != policy_generation) ||
                              reader->word_epoch < word_epoch)) {
            json_array_append_new(rows,
                                  json_pack("{s:s,s:I}", "id", reader->id,
                                            "pid", (json_int_t)reader->pid));
        }
    }
    gray_totals_free(&totals);
    *ret_live = live;
    return rows;
}

int publisher_acknowledged(const char *runtime, uint64_t policy_generation,
                           uint64_t word_epoch, size_t *ret_live,
                           size_t *ret_acknowledged,
                           struct gray_problem *ret_problem)
{
    size_t live = 0;
    json_t *late = publisher_laggards(runtime, policy_generation, word_epoch,
                                      &live, ret_problem);

    if (late == NULL) {
        return -EIO;
    }
    *ret_live = live;
    *ret_acknowledged = live - json_array_size(late);
    json_decref(late);
    return 0;
}
