/* SPDX-License-Identifier: Apache-2.0
 * pending.h - the life of a difference: suspect, alarm, explained, gone.
 *
 * Why: data arrives late, so what differs now may fit in five seconds; what
 * still differs after the last look is an alarm.  All of it is one JSON value
 * that is kept, so a kill forgets no look.  Pure: moments are arguments.
 *
 *   found -> suspect --look, there--> ... --last look, there--> alarm
 *                \--look, gone--> settled             \--gone--> resolved
 *
 * {"open": {ID: {rule, unit, key, what, sentence, at, first, seen, looks, due,
 * alarm, from, until, explained}}, "more": {"R3": n}, "unsaid": [ID...],
 * "settled": n, "resolved": n}
 * Read next: pending.c, checks.h.
 */
#ifndef GRAYD_CHECKS_PENDING_H
#define GRAYD_CHECKS_PENDING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define PENDING_NAMED_MAX 1000u  /* of one R */
#define PENDING_AGAIN_MS 60000   /* an alarm is looked at again so often, or
                                    as often as the last of the looks */
/* The delays of looks, counted from the first sight. */
struct pending_looks {
    const int64_t *delays;
    unsigned count;
};
/* A value without differences. New reference; NULL: no memory. */
json_t *pending_new(void);
/* Whether a value that was kept can be believed. */
bool pending_holds(const json_t *pending);
/* What a run found (its report, with its window in "from" and "until") is put
 * beside what is open. */
void pending_take(json_t *pending, const json_t *report,
                  const struct pending_looks *looks, int64_t now);
/* The moment of the next look; INT64_MAX: none. */
int64_t pending_due(const json_t *pending);
/* The window that has every difference whose look is due: true, with from
 * (INT64_MIN: everything) and until. */
bool pending_window(const json_t *pending, int64_t now, int64_t *ret_from,
                    int64_t *ret_until);
/* Somebody explains one. False: it is not open. */
bool pending_explain(json_t *pending, const char *id, const char *by,
                     const char *reason, int64_t at);
/* {"R1": n, ...} of those that nobody explained, those without a name among
 * them; and how many of them keep a release from going on (R1, R2, R3, R6). */
json_t *pending_counts(const json_t *pending);
uint64_t pending_blocking(const json_t *pending);

#endif
