/* SPDX-License-Identifier: Apache-2.0
 * status.h - what status.c and prometheus.c share.
 */
#ifndef GRAY_RUNTIME_STATUS_H
#define GRAY_RUNTIME_STATUS_H

#include "runtime/totals.h"

struct status {
    struct gray_folder folder;
    struct gray_totals totals;
    struct gray_named named;
    struct gray_crashes crashes, next_crashes; /* of both that it names */
    struct part *policy; /* in force, or the newest good one; may be NULL */
    struct gray_problem problem; /* code NULL: none */
};
/* -1: nothing but `problem` is filled; runtime_status_clear() either way. */
int runtime_status_read(struct status *ret_status, const char *path);
void runtime_status_clear(struct status *s);
/* What was read, as text; folder.control NULL: it could not be read. */
void runtime_status_json(struct text *text, const struct status *s,
                         const char *folder);
void runtime_status_prometheus(struct text *text, const struct status *s);
uint32_t runtime_status_word(const struct status *s,
                             const struct gray_release *release);
const char *runtime_class_word(uint32_t traffic_class);
const char *runtime_word_word(uint32_t word);
/* Requests whose latency was counted. */
uint64_t runtime_series_count(const struct gray_series *series);

#endif
