/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/marks/ share among themselves.
 *
 * Why: one thread does everything that changes a mark.  Others reach it by a
 * request (thread.c) and read what it maps under `maps`.
 * Read next: thread.c (its rounds), drain.c, settle.c.
 */
#ifndef GRAYD_MARKS_INTERNAL_H
#define GRAYD_MARKS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/failpoint.h"
#include "control/grayd.h"
#include "control/marks/journal.h"
#include "control/marks/marks.h"
#include "runtime/mark_slot.h"

#define MARKS_READERS_MAX (2u * GRAY_READERS_MAX)
#define MARKS_SCOPES_MAX GRAY_WORDS_MAX
#define MARKS_LIMBO_MAX 65536u    /* records whose slot is not there yet */
#define MARKS_LIMBO_MS 5000       /* they are looked at for so long */
#define MARKS_REFRESH_MS 100      /* between two looks into readers/ */
#define MARKS_POLL_MS 50          /* a sleep is never longer */
#define MARKS_BUSY_MS 5           /* while something goes on beside */
#define MARKS_RETRY_MS 100        /* between two tries with a full disk */
#define MARKS_PREPARE_MS 1000   /* between two tries of a policy's tables */
#define MARKS_BEAT_EVERY 65536u /* slots looked at between two beats */
#define MARKS_WAKE_ALL 64u        /* readers that are woken for any batch */

/* ---- what is known of a scope ------------------------------------------------ */

struct scope_counts {
    _Atomic uint64_t late;      /* void: taken after the freeze was settled */
    _Atomic uint64_t voided;    /* void: a waiter's time was over */
    _Atomic uint64_t refused;   /* asked of us and not granted */
    _Atomic uint64_t overtaken; /* somebody else's mark stood there */
    _Atomic uint64_t unseen;    /* records whose slot was never taken */
    _Atomic uint64_t nobody;    /* said to be settled, and without a mark */
};
struct scope {
    uint64_t scope;
    struct journal_scope kept; /* as the journal has it */
    bool known;                /* the journal has it */
    bool listed;               /* in the policy that was prepared last */
    uint32_t table, next;      /* numbers of what is mapped; 0: none */
    struct gray_marks marks;   /* changed under `maps` */
    bool rebuild;              /* the journal is to be read into its table */
    bool ahead;                /* its table may have what the journal has not */
    bool swept;                /* marks whose records are gone were looked for */
    int64_t sweep_at;          /* ms, monotonic */
    int grow;                  /* how far its growth is (grow.c) */
    int64_t grow_until, grow_look;
    uint64_t grow_at;
    struct scope_counts counts;
    _Atomic uint64_t last; /* of `kept`, for who only looks */
    _Atomic bool closed;
};

/* ---- readers and their rings ---------------------------------------------------- */

struct reader {
    char id[32];
    uint32_t number; /* gray_ring_number() */
    int fd;
    dev_t dev;
    ino_t ino;
    uint64_t instance;  /* of the ring that was read last; 0: none yet */
    uint64_t tail;      /* taken into a batch */
    uint64_t committed; /* in the journal */
    uint64_t head;      /* seen last */
    uint64_t lost;
    uint32_t round;     /* of the last look that saw the file */
    bool woken;         /* it had records in this batch */
};

/* ---- a batch ----------------------------------------------------------------------- */

struct entry {
    struct scope *scope;
    struct gray_mark_key key;
    uint64_t from, to; /* the slot before the commit, and after */
    bool moves;        /* 0: the slot is as it should be */
    bool leaves;       /* refused before the commit (redis.c) */
};
struct batch {
    struct record records[JOURNAL_BATCH_MAX]; /* texts point into `texts` */
    struct entry entries[JOURNAL_BATCH_MAX];
    size_t count;
    struct journal_scope scopes[JOURNAL_BATCH_MAX];
    size_t scope_count;
    struct journal_ring rings[MARKS_READERS_MAX];
    size_t ring_count;
    uint64_t seen[4 * JOURNAL_BATCH_MAX]; /* number + 1 of an entry, by key */
    char *texts;
    size_t text_length, text_room;
    bool waits; /* a mark in it is waited for */
    bool whole; /* it was closed and is to be written */
};
/* A record that came before its slot. */
struct limbo {
    struct gray_ring_record record;
    uint32_t reader;
    int64_t since, next; /* ms, monotonic; to be looked at again */
    char unit[];
};

/* ---- requests to the thread --------------------------------------------------------- */

typedef int request_run(struct marks *marks, uint64_t number,
                        const void *context,
                        struct gray_problem *ret_problem);
struct request {
    request_run *run;
    uint64_t number;
    const void *context; /* of who waits; not of those who leave early */
    struct request *next;
    struct gray_problem problem;
    int result;
    bool done, left; /* left: nobody waits any more, free it */
};
struct marks {
    char *state, *runtime;
    gid_t group;
    uint64_t map_size;
    int64_t (*now_ms)(void);
    struct journal journal;
    struct gray_folder folder; /* dirfd -1: none at present */
    int marks_fd, readers_fd, wake_fd, event_fd;
    dev_t control_dev;
    ino_t control_ino;
    struct gray_drained *drained;
    bool lost;   /* the journal of what is prepared first is gone */
    bool behind; /* the journal is older than the folder's tables */
    _Atomic uint32_t writer; /* enum gray_writer_state */
    char trouble[200];       /* why it is not OK; under `lock` */

    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* of requests and trouble */
    pthread_cond_t answered;
    struct request *requests, **requests_end;
    bool ending;

    pthread_rwlock_t maps; /* of `scopes` and what they map */
    struct scope *scopes[2 * MARKS_SCOPES_MAX]; /* by scope, open addressing */
    size_t scope_count;
    uint64_t revision; /* prepared last */
    struct marks_scope *wanted; /* by it */
    size_t wanted_count;
    bool unprepared; /* not all of it could be made */
    int64_t prepare_at; /* ms, monotonic */

    struct reader *readers[MARKS_READERS_MAX];
    struct journal_ring *rings; /* as the journal had them at the start */
    uint32_t round;
    int64_t refreshed; /* ms, monotonic */
    uint8_t *bytes;    /* GRAY_RING_SIZE: a part of a ring */
    uint32_t turn;     /* whose ring comes first */
    struct batch *batch;
    struct limbo **limbo;
    size_t limbo_count;
    struct {
        struct scope *scope;
        struct gray_mark_key key;
        uint64_t value;
    } voids[JOURNAL_BATCH_MAX]; /* voided between commit and slot */
    size_t void_count;
    int64_t retry_at, retry_ms; /* of a full disk; ms, monotonic */

    struct work *work; /* queued, the oldest first; under `lock` */
    uint64_t work_last;
    struct rebuild *rebuild; /* under way; NULL: none */
    bool growing;            /* some table is */
    int64_t grow_look;       /* ms, monotonic */
    struct redis *redis; /* NULL: there is none (redis.h) */

    _Atomic int64_t lease_until; /* INT64_MAX: the lease is this thread's own */
    _Atomic uint64_t sequence, bytes_behind, commits;
    _Atomic int64_t oldest; /* ms since the epoch; 0: nothing waits */
    _Atomic uint64_t bad_records, lost_records, strays;
};

/* ---- look.c ---------------------------------------------------------------------- */

/* A record as people see it: the rows of marks_list(). */
json_t *look_row(uint64_t sequence, const struct record *record,
                 uint64_t value);

/* ---- lease.c ------------------------------------------------------------------- */

/* Before the first beat. */
void lease_begin(struct marks *marks, bool leased);
/* Writes the lease of this beat into `control`. */
void lease_write(struct marks *marks, int64_t now_ns);

/* ---- thread.c ------------------------------------------------------------------- */

int64_t marks_monotonic_ms(void);
/* Has the thread run this; waits at most `wait_ms` (-1: for ever). */
int marks_ask(struct marks *marks, request_run *run, uint64_t number,
              const void *context, int wait_ms,
              struct gray_problem *ret_problem);
/* One round: takes, commits, moves.  1: there was something; 0; negative: the
 * writer is not OK. */
int marks_round(struct marks *marks);
/* Rounds until everything that lies in rings now is in the journal. */
int marks_drain_all(struct marks *marks, struct gray_problem *ret_problem);
/* The writer is full, has failed, or is well again; said where it is new. */
void marks_trouble(struct marks *marks, enum gray_writer_state state,
                   const struct gray_problem *problem);
void marks_beat(struct marks *marks);
int marks_thread_start(struct marks *marks);
void marks_thread_end(struct marks *marks);

/* ---- folder.c ------------------------------------------------------------------------ */

/* Maps the folder at the path, its `drained` and FIFO (made where missing). */
int marks_folder_open(struct marks *marks, struct gray_problem *ret_problem);
void marks_folder_close(struct marks *marks);
/* Is what lies at the path another folder than the one that is mapped? */
bool marks_folder_moved(const struct marks *marks);

/* ---- drain.c --------------------------------------------------------------------------- */

/* Looks into readers/, where it is time or `now`. */
void readers_refresh(struct marks *marks, bool now);
void readers_close(struct marks *marks);
/* Reads heads: is there anything to take?  Bytes behind are noted. */
bool readers_waiting(struct marks *marks);
/* Takes records into the batch until it is full; whether any ring moved. */
bool readers_drain(struct marks *marks);
/* Writes how far rings were taken into the batch, or into `drained`. */
void readers_tails(struct marks *marks);
void readers_committed(struct marks *marks);

/* ---- settle.c ------------------------------------------------------------------------------ */

/* What a record that was taken leads to: an entry of the batch, or nothing. */
void settle_take(struct marks *marks, uint32_t reader,
                 const struct gray_ring_record *record, struct gray_str unit);
/* Those that came before their slots, once more. */
void settle_limbo(struct marks *marks);
/* All of them in the rounds to come, whatever their turn is; and whether some
 * are still to be looked at so. */
void settle_limbo_now(struct marks *marks);
bool settle_limbo_left(const struct marks *marks);
/* Marks that were voided between their commit and their slot, as records. */
void settle_voids(struct marks *marks);
/* Commits the batch and moves its slots. 0, or negative: it stays. */
int settle_commit(struct marks *marks, struct gray_problem *ret_problem);
/* Moves the slots of the batch, which the journal has. */
void settle_slots(struct marks *marks);
/* Room for one more entry with this text? */
bool batch_has_room(const struct batch *batch, size_t text);
/* Adds a record with its slot's move; texts are copied. */
void batch_add(struct marks *marks, struct scope *scope,
               const struct record *record, uint64_t from, bool moves);
/* Is this unit in the batch already? */
bool batch_has(const struct batch *batch, const struct scope *scope,
               struct gray_mark_key key);
void batch_clear(struct batch *batch);

/* ---- settled.c ------------------------------------------------------------------------- */

/* A reader says that a unit is over.  False: to be heard again later. */
bool settled_heard(struct marks *marks, struct scope *scope, uint32_t reader,
                   const struct gray_ring_record *r, struct gray_str unit);

/* ---- scopes.c --------------------------------------------------------------------------- */

struct scope *scope_find(const struct marks *marks, uint64_t scope);
/* The same, with `maps` read-locked until the caller unlocks it, so that its
 * tables stay where they are; NULL, unlocked: it keeps none (look.c). */
struct scope *marks_hold(struct marks *marks, uint64_t scope,
                         struct gray_problem *ret_problem);
/* Finds or makes one; NULL: no memory, or too many. */
struct scope *scope_make(struct marks *marks, uint64_t scope);
void scopes_free(struct marks *marks);
/* Reads scopes and rings of the journal. */
int scopes_load(struct marks *marks, struct gray_problem *ret_problem);
/* Maps the tables that `control` names for scopes of the journal; tables that
 * are not the journal's are made anew, to be rebuilt. */
int scopes_attach(struct marks *marks, struct gray_problem *ret_problem);
void scopes_unmap(struct marks *marks);
/* Takes over what a policy says of its scopes; makes their tables. */
int scopes_prepare(struct marks *marks, const struct marks_scope *wanted,
                   size_t count, uint64_t revision,
                   struct gray_problem *ret_problem);
/* Once more what could not be made, where it is time. */
void scopes_again(struct marks *marks);
/* Moves the slots of the last transaction, as a dead writer should have. */
void scopes_redo(struct marks *marks);
/* May anybody look into its table? */
bool scope_ready(const struct scope *scope);
/* Its word in `control`; GRAY_WORD_KILLED where it has none. */
uint32_t scope_word(const struct marks *marks, const struct scope *scope);
/* What stands in a unit's slot, VOID as well; 0: nothing. */
uint64_t scope_peek(const struct scope *scope, struct gray_mark_key key);
/* The journal has it so now. */
void scope_kept(struct scope *scope, const struct journal_scope *kept);
/* Persists scopes that changed, in a transaction of their own. */
int scopes_keep(struct marks *marks, struct scope *const *scopes, size_t count,
                struct gray_problem *ret_problem);
/* Maps what `control` names for it now. */
int scopes_remap(struct marks *marks, struct scope *scope,
                 struct gray_problem *ret_problem);

/* ---- rebuild.c ------------------------------------------------------------------------- */

/* Begins, watches and ends passes; whether one is under way. */
bool rebuild_step(struct marks *marks);
void rebuild_end(struct marks *marks);
/* Is what a start reads of the journal sound?  -EILSEQ. */
int rebuild_check(struct marks *marks, struct gray_problem *ret_problem);

/* ---- ahead.c ----------------------------------------------------------------------- */

/* Is the journal an older one than the folder was moved by?  Once, before
 * tables are attached. */
void ahead_begin(struct marks *marks);
/* The journal never gave this scope the table that is kept, or is older. */
void ahead_table(struct marks *marks, struct scope *scope);
/* Journals what a table is ahead by; one table a round. */
void ahead_step(struct marks *marks);
/* A commit's slots are moved next. */
void ahead_committed(struct marks *marks);

/* ---- sweep.c, grow.c --------------------------------------------------------------------- */

/* Looks for marks without a record, where it is time. */
void sweep_step(struct marks *marks);
/* Some may be anywhere: a ring had no room, or was not to be read. */
void sweep_soon(struct marks *marks);
/* One step of every table that grows; whether one is being copied. */
bool grow_step(struct marks *marks);
/* Until the table is not crowded; for who puts many. 0, or -1. */
int grow_whole(struct marks *marks, struct scope *scope);

/* ---- work.c ----------------------------------------------------------------------------- */

/* Adds what queued work leads to to the batch; whether there is more. */
bool work_fill(struct marks *marks);
/* Marks that are still to be looked at, of a scope or (0) of all. Any thread. */
uint64_t work_left(struct marks *marks, uint64_t scope);
void work_free(struct marks *marks);

/* Strips what a move may change beside the state: durable, moved, settled. */
static inline uint64_t slot_plain(uint64_t value)
{
    return value & ~GRAY_SLOT_LATER;
}
/* Is it this record's mark, be it settled since? */
static inline bool slot_is_of(uint64_t value, uint64_t recorded)
{
    return ((value ^ recorded) & ~GRAY_SLOT_SETTLED) == 0;
}
static inline uint64_t slot_with(uint64_t value, enum gray_slot_state state,
                                 bool durable)
{
    return (value & ~(UINT64_C(7) | GRAY_SLOT_DURABLE | GRAY_SLOT_MOVED)) |
           (uint64_t)state | (durable ? GRAY_SLOT_DURABLE : 0);
}

#endif
