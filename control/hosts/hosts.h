/* SPDX-License-Identifier: Apache-2.0
 * hosts.h - one server, many hosts: their polls, reports and promises.
 *
 * Why: what a server owes its hosts is the newest bundle soon, and what it
 * owes its operators is to say of every host how it stands, and never to call
 * a release frozen while some host may still admit.
 *
 *   bundle.c gather.c  what goes down, signed
 *   report.c           what comes up, as read
 *   registry.c         leases and promises: pure
 *   poll.c             long polls that wait for the next bundle
 *   hosts.c            all of it under one lock
 *
 * Threads: (control) the control thread; (any) any thread.
 * Read next: docs/agent.md, registry.h, ../change/hosts.c.
 */
#ifndef GRAYD_HOSTS_H
#define GRAYD_HOSTS_H

#include "control/call/call.h"
#include "control/hosts/bundle.h"
#include "control/hosts/registry.h"
#include "control/hosts/told.h"

#define HOSTS_WAIT_MAX_S 55u

struct hosts;
struct hosts_options {
    const char *server;    /* id of the store */
    const char *state;     /* folder of copies of journals; NULL: none */
    int64_t (*now)(void);  /* ms of CLOCK_BOOTTIME; NULL: that one */
    int64_t (*wall)(void); /* ms since the epoch */
};
/* Starts the thread that answers polls. 0, or negative with *ret_problem. */
int hosts_open(struct hosts **ret_hosts, const struct hosts_options *options,
               struct gray_problem *ret_problem);
/* Answers every poll and lets none wait any more (any); before
 * hosts_close(). NULL is harmless for both. */
void hosts_end(struct hosts *hosts);
void hosts_close(struct hosts *hosts);
int64_t hosts_now(const struct hosts *hosts);

/* ---- the newest bundle --------------------------------------------------------- */

/* Takes the bundle over; wakes every poll (control). */
void hosts_put(struct hosts *hosts, struct bundle *bundle);
/* A file of the newest bundle or the one before; NULL: none such. A reference
 * (any). */
struct blob *hosts_blob(struct hosts *hosts, const char *sha256);
/* An answer of GET /v1/bundle: now where `known` is not the newest sequence,
 * else later, when another one is there or about wait_ms have passed (any). */
void hosts_poll(struct hosts *hosts, const char *host, uint64_t known,
                int64_t wait_ms, struct reply *reply);
/* The newest sequence, revision and epoch (any). */
void hosts_newest(struct hosts *hosts, struct registry_newest *ret_newest);

/* ---- hosts ------------------------------------------------------------------------- */

/* The store has this host. `assume`: since before this start, so that it may
 * have a lease (control). */
int hosts_keep(struct hosts *hosts, const char *name, bool assume);
/* The next host that reported and that the store has not; false: none
 * (control). `at` is a position, 0 to begin. */
bool hosts_next_new(struct hosts *hosts, size_t *at,
                    char ret_name[REPORT_NAME_MAX + 1]);
/* Whether a host may be forgotten: 0; -EBUSY and until when its lease may run
 * (now-clock); -ENOENT (control). */
int hosts_may_forget(struct hosts *hosts, const char *name,
                     int64_t *ret_until);
void hosts_forget(struct hosts *hosts, const char *name);
/* How many there are, whoever only polled among them (any). */
size_t hosts_known(struct hosts *hosts);
/* The next word that a person set on some host, which that host keeps although
 * it has seen the newest word of ours (`epoch_of` says that of a scope, 0: it
 * has none); false: none (control). */
typedef uint64_t hosts_epoch_of(void *context, uint64_t scope);
bool hosts_next_word(struct hosts *hosts, size_t *at, hosts_epoch_of *epoch_of,
                     void *context, char ret_host[REPORT_NAME_MAX + 1],
                     struct report_word *ret_word);
/* Takes a report over; *ret_answer is HostLease of schemas.json; NULL: no
 * memory (any). */
json_t *hosts_report(struct hosts *hosts, const char *name,
                     struct report *report);

/* Copies of hosts' journals; NULL: they could not be opened (any). */
struct told *hosts_told(struct hosts *hosts);
/* A host's journal is here up to this number (any). */
void hosts_note_through(struct hosts *hosts, const char *name,
                        const char *journal, uint64_t through);

/* ---- promises (any) ------------------------------------------------------------------ */

struct hosts_stand {
    size_t known, waited; /* hosts; those that are waited for */
    size_t over;          /* did not acknowledge: their lease was waited for */
    json_t *late;         /* HostLate of those of the last two; at most 100 */
};
/* How all stand to words of this epoch, in a scope with its own lease. The
 * caller owns ret_stand->late (NULL: nobody is late). */
void hosts_stand(struct hosts *hosts, uint64_t epoch, int64_t lease_ms,
                 struct hosts_stand *ret_stand);
/* How many follow this bundle, of those that are known; names of the others
 * (ret_names may be NULL), at most 100, as a new array. */
void hosts_behind(struct hosts *hosts, uint64_t sequence, size_t *ret_known,
                  size_t *ret_have, json_t **ret_names);

/* ---- looking (any) --------------------------------------------------------------------- */

/* [Host] of schemas.json after a name, at most limit. New reference. */
json_t *hosts_list(struct hosts *hosts, const char *after, size_t limit,
                   bool *ret_more);
struct hosts_figures {
    size_t known, polls;
    size_t states[8]; /* by hosts_state_words */
    uint64_t sequence, epoch, lag_most; /* sequences behind, the worst */
    uint64_t taken, refused; /* that came anew */
};
extern const char *const hosts_state_words[8]; /* ends with NULL */
void hosts_count(struct hosts *hosts, struct hosts_figures *ret_figures);
/* May one more connection of a host come now, that polls or that reports?
 * False: in *ret_retry_s it may try again. */
bool hosts_admit(struct hosts *hosts, bool polls, unsigned *ret_retry_s);

#endif
