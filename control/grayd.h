/* SPDX-License-Identifier: Apache-2.0
 * grayd.h - one running grayd: what it was told, what it owns, its threads.
 *
 *   REST threads     libmicrohttpd; quick reads (read/) with a reader each
 *   planner threads  plan, explain, proofs: reads that compute for a while
 *   control thread   everything that changes anything (change/): one queue,
 *                    one call after the other, a tick every 100 ms
 * Order of a change: checked -> committed with its audit record -> published
 * -> answered.  A kill at any point resumes: what is committed and not
 * published is published at the next start (the outbox says so).
 * Read next: main.c (start and end), change/change.h, rest/rest.h.
 */
#ifndef GRAYD_H
#define GRAYD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "control/call/call.h"
#include "control/store/store.h"

#define GRAYD_STATE_DEFAULT "/var/lib/graylane"
#define GRAYD_SOCKET_DEFAULT "/run/graylane-grayd/grayd.sock"
#define GRAYD_PORT_DEFAULT 7170
#define GRAYD_TICK_MS 100
#define GRAYD_QUEUE_MAX 1024u /* calls that wait for the control thread */

struct grayd_options {
    const char *state, *runtime, *socket;
    const char *listen;         /* "127.0.0.1:7170"; "" none */
    const char *tls_certificate, *tls_key; /* PEM files; NULL: plain */
    const char *group;          /* of `keys`; NULL: nginx's */
    const char *redis;          /* of shared marks; NULL: none */
    const char *decision_log;   /* pattern of files; NULL: none */
    uint32_t decision_days, decision_mib;
    const char *recorded;       /* file of recorded requests; NULL: none */
    uint32_t measure_window;    /* s */
    bool allow_any_filesystem;  /* tests and bench only */
    unsigned rest_threads, planner_threads;
    unsigned connections_max;
};
struct control;   /* change/control.c */
struct rest;      /* rest/server.c */
struct planner;   /* rest/planner.c */
struct marks;     /* marks/drain.c */
struct decisions; /* decisions/index.c */
struct hosts;     /* hosts/hosts.c */
struct measure;   /* measure/measure.c */
struct checks;    /* checks/checks.c */
struct grayd {
    struct grayd_options options;
    struct control *control;
    struct rest *rest;
    struct marks *marks; /* NULL: it could not be opened, or is not wanted */
    struct decisions *decisions; /* NULL: the same */
    struct hosts *hosts; /* hosts/hosts.c */
    struct measure *measure;     /* NULL: the same */
    struct checks *checks; /* NULL: they are not run */
    char instance[33];
    int64_t started; /* ms since the epoch */
    /* For /readyz, /metrics and /v1/status: written by the control thread. */
    _Atomic uint64_t revision;          /* committed */
    _Atomic uint64_t revision_in_force; /* published; 0: none */
    _Atomic uint64_t generation;        /* of the policy in the folder */
    _Atomic uint64_t admission;         /* of it: world_admission() */
    _Atomic uint64_t audit_sequence;
    _Atomic bool store_failed; /* until grayd is started again */
    _Atomic bool store_full;   /* the last commit found no room */
    _Atomic bool bypass;
    _Atomic uint64_t tokens_changed; /* raised with each that is made or ends */
};

/* The store lies in a folder of its own in the state folder, beside audit/ and
 * last-good/. */
#define GRAYD_STORE_FOLDER "store"
#define GRAYD_PATH_MAX 4096u
static inline const char *grayd_store_path(const struct grayd *grayd,
                                           char buffer[GRAYD_PATH_MAX])
{
    snprintf(buffer, GRAYD_PATH_MAX, "%s/" GRAYD_STORE_FOLDER,
             grayd->options.state);
    return buffer;
}

/* The clock of grayd; main.c and tests set it. ms since the epoch. */
int64_t grayd_now(void);
/* 1 of 4 levels; a line to standard error: "LEVEL code: sentence". Never with
 * a secret. */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO,
                 LOG_LEVEL_DEBUG };
void grayd_log(enum log_level level, const char *code, const char *format,
               ...) __attribute__((format(printf, 3, 4)));
/* 32 hex digits from the kernel's random numbers. */
void grayd_random_hex(char ret_hex[33]);

#endif
