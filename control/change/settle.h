/* SPDX-License-Identifier: Apache-2.0
 * settle.h - what the files of the settling thread share.
 *
 * Why: three things take longer than a commit and must not hold up the next
 * one: that readers have seen it, that a scope is closed for good, and that
 * marks were taken back.
 * Threads: everything under settler->lock; `calling` says that the thread
 * works at this item outside of it.
 * Read next: settle.c, settle_marks.c.
 */
#ifndef GRAYD_SETTLE_H
#define GRAYD_SETTLE_H

#include "control/change/internal.h"

#define SETTLE_POLL_NS 2000000L
#define SETTLE_SLICE_MS 20      /* that one asks the marks thread to wait */
#define SETTLE_SLOW_MS 100      /* between two looks at a late reader */
#define SETTLE_HOSTS_MS 20      /* between two looks at all hosts */
#define SETTLE_MARKS_MS 5000    /* a reply waits so long for the marks thread */

/* A scope whose word is not open: on its way, or closed. */
struct closing {
    struct closing *next;
    char name[GRAY_NAME_MAX + 1];
    uint64_t scope, epoch;
    int64_t since;     /* monotonic ms */
    int64_t ended;     /* when it was closed, or the readers' time was over */
    uint32_t lease_ms;
    enum { CLOSING_READERS, CLOSING_MARKS, CLOSING_DONE } stage;
    int64_t next_look; /* at readers that are late and have no lease */
    uint64_t host_epoch; /* of the word, for hosts (bundling.h) */
    int64_t hosts_looked; /* when their part was looked at last */
    struct hosts_stand hosts; /* as it was then; its rows are owned */
    bool calling;
    bool promised;     /* nobody new is let in, whatever late readers do */
    json_t *late;      /* readers without acknowledgement */
    size_t live;
    char problem[200]; /* of the marks thread; "": none */
};
/* Marks that a committed change takes back: an effect of the store. */
struct revoking {
    struct revoking *next;
    uint64_t effect;
    char name[GRAY_NAME_MAX + 1];
    json_t *what;
    uint64_t epoch, generation;
    int64_t since;
    uint32_t lease_ms;
    bool calling, queued, done;
};
struct waiting {
    struct waiting *next;
    struct job job;
    struct reply reply;
    uint64_t revision, generation;
    uint64_t sequence; /* of the bundle that hosts are to follow */
    uint64_t ahead; /* a generation that is to lie ready; 0: none */
    int64_t deadline;
    int64_t hosts_looked;
    bool hosts_have;   /* all of them did, when they were looked at last */
    char closed[GRAY_NAME_MAX + 1]; /* waits until this one is; "": none */
};
struct settler {
    struct control *control;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    struct waiting *waiting;
    struct closing *closing;
    struct revoking *revoking;
    bool stopping;
};

int64_t settle_now(void); /* monotonic ms */
/* What hosts say, at most SETTLE_HOSTS_MS old; settle_hosts.c. Whether no host
 * is waited for any more. */
bool settle_hosts(struct settler *settler, struct closing *closing,
                  bool again);
/* All hosts follow the bundle of a change. */
bool settle_hosts_have(struct settler *settler, struct waiting *waiting);
/* Adds hosts to "InForce", and to "Admission". */
void settle_hosts_in_force(struct settler *settler,
                           const struct waiting *waiting, json_t *in_force);
void settle_hosts_admission(const struct closing *closing, json_t *admission);
/* " 2 hosts have not acknowledged (h2, ...)": what a sentence ends with, "" of
 * none. */
void settle_hosts_sentence(const struct closing *closing, char *text,
                           size_t size);
enum settle_again { SETTLE_NEVER, SETTLE_LATER, SETTLE_SOON };
/* One look at all of them, under the lock, and when to look again. */
enum settle_again settle_closings(struct settler *settler);
enum settle_again settle_revokings(struct settler *settler);
/* Under the lock; NULL: it is open. */
struct closing *settle_find(struct settler *settler, const char *name);
/* Is there nothing to wait for any more? Under the lock. */
bool settle_is_closed(struct settler *settler, const char *name, int64_t now);
/* "Admission" of call/schemas.json. Under the lock; NULL: it is open. */
json_t *settle_admission(struct settler *settler, const char *name);
void settle_marks_free(struct settler *settler);

#endif
