/* SPDX-License-Identifier: Apache-2.0
 * report.h - what a host says of itself, and what it admitted, as read.
 *
 * Why: it comes from another machine, so each text has its limit, each number
 * its range, and what is more than that is cut or refused here, once.
 * Pure. Read next: report.c, docs/agent.md.
 */
#ifndef GRAYD_HOSTS_REPORT_H
#define GRAYD_HOSTS_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

#define REPORT_NAME_MAX GRAY_NAME_MAX
#define REPORT_ID_MAX 64u     /* bytes of boot, build, server, journal */
#define REPORT_TEXT_MAX 200u  /* of a sentence or a reason */
#define REPORT_WORDS_MAX 64u  /* that a person set there; more are cut */
#define REPORT_LATE_MAX 16u   /* readers that are named */
#define REPORT_SERIES_MAX 256u /* counters of routes; more are cut */

/* A word that a person set on the host. */
struct report_word {
    uint64_t scope;
    uint32_t word; /* GRAY_WORD_*; never open */
    char actor[64], reason[REPORT_TEXT_MAX + 1];
    int64_t at;    /* ms since the epoch, by the host; 0: nobody knows */
};
struct report {
    char boot[REPORT_ID_MAX + 1], build[REPORT_ID_MAX + 1];
    char server[REPORT_ID_MAX + 1];
    uint64_t sequence, revision, epoch;
    size_t live, late;      /* readers */
    uint64_t readers_epoch; /* the least of those that live; none: UINT64_MAX */
    json_t *late_readers;   /* [{"id","pid"}]; NULL: none */
    int64_t clock_ms, late_ms;
    uint64_t refused;       /* sequence; 0: it refuses nothing */
    char refused_code[64], refused_sentence[REPORT_TEXT_MAX + 1];
    struct report_word *words; /* NULL: none */
    size_t word_count;
    bool has_marks;
    uint64_t marks_lag, marks_closed;
    char journal[REPORT_ID_MAX + 1];
    json_t *counters;       /* rows as in Status.routes; NULL: none */
};
/* From a body that has the shape HostReport. 0; -1: no memory. */
int report_read(const json_t *body, struct report *ret_report);
void report_clear(struct report *report);
/* Whether it may be the name of a host. */
bool report_name_good(const char *name);

#endif
