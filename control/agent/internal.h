/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/agent/ share among themselves.
 *
 * Why: two threads and a lock: what both need stands in `said`, under the
 * lock; everything else belongs to the poll thread.
 * Read next: agent.h, bundle.c, report.c.
 */
#ifndef GRAYD_AGENT_INTERNAL_H
#define GRAYD_AGENT_INTERNAL_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "control/agent/agent.h"
#include "control/agent/backoff.h"
#include "control/agent/kept.h"
#include "control/agent/link.h"
#include "control/agent/rules.h"
#include "control/marks/marks.h"
#include "control/publish/publisher.h"

#define AGENT_POLL_S 50          /* of a long poll; the server ends it earlier */
#define AGENT_POLL_MORE_MS 15000 /* what it may take beyond that */
#define AGENT_CALL_MS 15000      /* of any other call, until it is answered */
#define AGENT_TICK_MS 100
#define AGENT_TICK_BUSY_MS 10    /* while readers are waited for */
#define AGENT_LAG_MS 2000        /* a poll that misses what a report was told */
#define AGENT_HOST_WORDS_MAX 64u
#define AGENT_SERVER_KEY_MAX 512u

/* A name of the policy in force. */
struct agent_name {
    uint64_t scope;
    char name[GRAY_NAME_MAX + 1];
    bool leased; /* GRAY_MARKS_LEASE */
};
/* A scope whose word is not open, on its way to being closed (close.c). */
struct closing {
    uint64_t scope, local; /* epoch of the folder that readers must have */
    int64_t until;         /* CLOCK_BOOTTIME ns: nobody is waited for after */
    bool done;
};
struct agent_refused {
    char code[64], sentence[256];
    uint64_t sequence;
    int64_t at; /* ms since the epoch; 0: nothing is refused */
};
/* A word of the host, with who set it. */
struct agent_word {
    struct host_word word;
    json_t *action; /* of actions.log; NULL: nobody knows */
    int64_t seen;   /* ms, monotonic */
    bool ready;     /* to be reported: who set it is known, or waited for */
};
/* Everything below under `lock`. */
struct agent_said {
    struct known known;
    uint64_t sequence, revision; /* in force */
    uint64_t newest_epoch;       /* of what was accepted */
    struct epochs epochs;
    uint64_t closed;             /* epoch whose closed words are settled */
    int64_t late_ms;
    struct lease lease;
    struct agent_refused refused;
    struct agent_word words[AGENT_HOST_WORDS_MAX];
    size_t word_count;
    bool reachable;
    char why[200];               /* not reachable: why */
    int64_t heard;               /* ms since the epoch; 0: never */
    uint64_t server_sequence;    /* as it said last */
    int64_t lagging;             /* ms, monotonic: since then it is ahead */
    uint64_t through;            /* admissions that the server has */
    char trouble[200];           /* of this host: disk, marks, last-good; "" */
    char trouble_code[48];
    uint64_t spread_ms;          /* as the server said; 0: never */
    int64_t clock_offset;        /* ms that this host's clock is fast */
    bool polling;                /* a long poll waits */
    bool news;                   /* something of this is to be reported */
};
struct agent {
    struct agent_options options;
    char host[AGENT_NAME_MAX + 1], boot[64], key[AGENT_SERVER_KEY_MAX];
    char journal[33];
    struct publisher *publisher;
    struct marks *marks; /* NULL: it could not be opened */
    struct kept_place place;
    struct link *poll, *report;
    pthread_t poll_thread, report_thread;
    bool poll_runs, report_runs;
    atomic_bool stopping;
    atomic_bool memory; /* something is to be remembered on the disk */

    /* of the poll thread */
    struct backoff backoff;
    bool once;                /* a person said --accept-server */
    bool starting;            /* the server was not asked yet: nothing loosens */
    bool fresh;               /* since the start no bundle of it came */
    struct manifest in_force; /* sequence 0: none */
    bool whole;               /* all of it is in the folder */
    struct agent_name *names;
    size_t name_count;
    struct closing closings[GRAY_WORDS_MAX];
    size_t closing_count;
    bool waits;               /* readers have not all acknowledged */
    uint64_t generation;      /* of the policy that they are to have */
    int64_t turn_at;          /* it waits until then, ms since the epoch; 0: no */
    int64_t waits_since, looked, put_at;
    bool lost;                /* the folder was removed */
    char *told;               /* what the file for people says */
    int64_t told_at;

    uint64_t decided; /* lines that the server has; of the report thread */

    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the report thread */
    struct agent_said said;
};

int agent_problem(struct gray_problem *ret_problem, int error,
                  const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int64_t agent_monotonic_ms(void);
int64_t agent_boot_ns(void);
/* Something that a report says has changed. */
void agent_news(struct agent *agent);
/* What is wrong on this host; NULL: nothing any more. */
void agent_trouble(struct agent *agent, const struct gray_problem *problem);
/* That is not wrong any more. */
void agent_well(struct agent *agent, const char *code);
/* A bundle is refused, and why; NULL: none is any more. */
void agent_refuse(struct agent *agent, uint64_t sequence,
                  const struct gray_problem *problem);
/* Server heard, or not (why). */
void agent_heard(struct agent *agent, const char *why);
/* Writes what must survive: server, sequence, spread, words that were told. */
void agent_remember(struct agent *agent);

/* ---- kept.c ---------------------------------------------------------------- */

/* errno, about a file of the state folder. */
int kept_failed(struct gray_problem *ret_problem, const char *name);

/* ---- bundle.c: the poll thread ---------------------------------------------- */

void *bundle_main(void *agent);
/* At the start: what this host has on its disk, the server being away. */
void bundle_start(struct agent *agent);

/* ---- install.c --------------------------------------------------------------- */

/* Its words that tighten, at once. 0 or negative with *ret_problem. */
int install_tighten(struct agent *agent, const struct manifest *manifest,
                    struct gray_problem *ret_problem);
/* All of it, from blobs that are here; takes the manifest over when it is in
 * force. `all`: the folder has nothing of it. */
int install_bundle(struct agent *agent, struct manifest *manifest, bool all,
                   struct gray_problem *ret_problem);

/* ---- words.c ------------------------------------------------------------------ */

/* Every word that the folder is to have, but the host's own that stand: as
 * many as *ret_count; malloc'd. */
struct publisher_word *words_wanted(struct agent *agent,
                                    const struct manifest *manifest,
                                    size_t *ret_count);
/* Words of the host that give way to this bundle; `loosen` false: to words that
 * are as strict or stricter. */
int words_yield(struct agent *agent, const struct manifest *manifest,
                bool loosen, struct gray_problem *ret_problem);
/* What people set on this host since the last look. */
void words_look(struct agent *agent);
const struct manifest_word *words_find(const struct manifest *manifest,
                                       uint64_t scope);

/* ---- close.c -------------------------------------------------------------------- */

/* Scopes whose word is not open are closed once readers have it. */
void close_begin(struct agent *agent);
/* Before a word becomes open. */
int close_open(struct agent *agent, uint64_t scope,
               struct gray_problem *ret_problem);
/* True: some is not done yet. */
bool close_look(struct agent *agent);

/* ---- watch.c -------------------------------------------------------------------- */

int watch_tick(void *agent); /* a link_tick */
/* The folder has changed: its readers are waited for. */
void watch_readers(struct agent *agent);

/* ---- report.c, push.c, push_decisions.c, tell.c ------------------------------------------------------ */

void *report_main(void *agent);
/* Sends records of marks that the server lacks. 0: some; 1: it has all, or a
 * report goes first; negative: later. */
int push_records(struct agent *agent);
/* How far the server has what was sent, as it says: an answer, or a gap. 0:
 * *through is another number now; -EAGAIN: it is the same; -EIO, said as trouble
 * of this code. */
int push_answered(struct agent *agent, const struct link_answer *answer,
                  const char *code, const char *what, uint64_t *through);
/* As push_records(), of lines of decision logs. */
int push_decisions(struct agent *agent);
/* Writes <runtime>/agent when it says something new. */
void tell_people(struct agent *agent);

#endif
