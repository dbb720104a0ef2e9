/* SPDX-License-Identifier: Apache-2.0
 * wait.c - did every live reader take what was published?
 *
 * Why: a publication is in force when the readers say so, not when the file
 * lies there.  We look, bounded in time, and name those who lag: a promise
 * that is not kept by everyone must be seen (SEMANTICS 5, freeze).  What waits
 * for its instant is taken when it lies ready.
 */
#include "cli/cli.h"

#define LOOK_EVERY_MS 10

static bool acknowledged(const struct gray_reader_status *reader,
                         uint64_t policy_generation,
                         uint64_t fleet_generation, uint64_t word_epoch)
{
    return (reader->policy_generation >= policy_generation ||
            reader->next_generation == policy_generation) &&
           reader->fleet_generation >= fleet_generation &&
           reader->word_epoch >= word_epoch;
}

static json_t *laggard(const struct gray_reader_status *reader)
{
    return json_pack("{s:s,s:i,s:I,s:I,s:I,s:s}", "id", reader->id, "pid",
                     (int)reader->pid, "policyGeneration",
                     (json_int_t)reader->policy_generation, "fleetGeneration",
                     (json_int_t)reader->fleet_generation, "wordEpoch",
                     (json_int_t)reader->word_epoch, "refusal",
                     reader->refusal);
}

int wait_readers(const char *folder, uint64_t policy_generation,
                 uint64_t fleet_generation, uint64_t word_epoch,
                 double seconds, struct wait_result *ret_result)
{
    int64_t end = port_monotonic_ms() + (int64_t)(seconds * 1000);

    for (;;) {
        struct gray_totals totals = { 0 };
        struct gray_problem problem = { 0 };
        struct wait_result result = { 0 };

        if (gray_totals_read(folder, &totals, &problem) != 0) {
            complain_problem(folder, &problem);
            return CLI_EXIT_SYSTEM;
        }
        result.laggards = json_array();
        for (size_t i = 0; i < totals.reader_count; i++) {
            const struct gray_reader_status *reader = &totals.readers[i];

            if (!reader->alive) {
                continue;
            }
            result.live++;
            if (acknowledged(reader, policy_generation, fleet_generation,
                             word_epoch)) {
                result.acknowledged++;
            } else {
                json_array_append_new(result.laggards, laggard(reader));
            }
        }
        gray_totals_free(&totals);
        if (result.acknowledged == result.live ||
            port_monotonic_ms() >= end) {
            *ret_result = result;
            return 0;
        }
        wait_result_free(&result);
        port_sleep_ms(LOOK_EVERY_MS);
    }
}

void wait_result_free(struct wait_result *result)
{
    json_decref(result->laggards);
    result->laggards = NULL;
}

json_t *wait_json(const struct wait_result *result)
{
    return json_pack("{s:I,s:I,s:O}", "live", (json_int_t)result->live,
                     "acknowledged", (json_int_t)result->acknowledged,
                     "laggards", result->laggards);
}

int wait_report(const struct wait_result *result, FILE *out)
{
    size_t i;
    json_t *reader;

    if (out != NULL) {
        fprintf(out, "readers: %zu live, %zu acknowledged\n", result->live,
                result->acknowledged);
    }
    json_array_foreach(result->laggards, i, reader) {
        const char *refusal =
            json_string_value(json_object_get(reader, "refusal"));

        complain("reader %s (pid %d) did not acknowledge%s%s",
                 json_string_value(json_object_get(reader, "id")),
                 (int)json_integer_value(json_object_get(reader, "pid")),
                 refusal != NULL && *refusal != '\0' ? ": " : "",
                 refusal != NULL ? refusal : "");
    }
    return result->acknowledged == result->live ? CLI_EXIT_OK
                                                : CLI_EXIT_INCOMPLETE;
}
