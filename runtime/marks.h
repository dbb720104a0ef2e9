/* SPDX-License-Identifier: Apache-2.0
 * marks.h - mark tables: what a unit was told, in memory, for everyone.
 *
 * Why: docs/marks.md.  One table a release scope, mapped by every process of
 * the host; no lock, no allocation, no system call on a look-up or an insert.
 * Three layers: a slot's value (inline below), a table and its successor
 * (mark_table.c the file, mark_slot.c its slots, mark_grow.c), and one
 * reader's way to ask and to admit (mark_ask.c, admit.c), which gateway and
 * libgray share.
 *
 * Errors: 0 or a negative errno-like code with *ret_problem filled.
 * Threads: a mapped table may be used by any number of threads and processes
 * at once; mapping, growing and closing belong to their one caller.
 * Read next: mark_moves.def, mark_slot.c, mark_table.c, admit.c.
 */
#ifndef GRAY_RUNTIME_MARKS_H
#define GRAY_RUNTIME_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "runtime/folder.h"

/* ---- a slot's value ------------------------------------------------------- */

enum gray_slot_state { /* bits 0 to 2 of a value; numbers never change */
    GRAY_SLOT_EMPTY, GRAY_SLOT_PENDING, GRAY_SLOT_IN, GRAY_SLOT_OUT,
    GRAY_SLOT_REVOKED, GRAY_SLOT_HOLD, GRAY_SLOT_VOID
};
#define GRAY_SLOT_DURABLE (UINT64_C(1) << 3)
#define GRAY_SLOT_MOVED (UINT64_C(1) << 4) /* look in the next table */
#define GRAY_SLOT_ATTEMPT_SHIFT 8
#define GRAY_SLOT_VARIANT_SHIFT 16
#define GRAY_SLOT_REVISION_SHIFT 24 /* 20 bits, counted from the table's */
#define GRAY_SLOT_MINUTE_SHIFT 44   /* 20 bits, since the scope began */
#define GRAY_SLOT_REVISION_MAX 0xfffffu /* "this one or later" */
#define GRAY_SLOT_MINUTE_MAX 0xfffffu

/* The unit's business is over, somebody said: counted, and nothing else; no
 * decision looks at it.  Of a durable IN, OUT or REVOKED alone. */
#define GRAY_SLOT_SETTLED (UINT64_C(1) << 5)
#define GRAY_SLOT_RESERVED (UINT64_C(3) << 6) /* bits that are never set */
/* Bits that a mark gets while it stays who was told what, and when. */
#define GRAY_SLOT_LATER (GRAY_SLOT_DURABLE | GRAY_SLOT_MOVED | GRAY_SLOT_SETTLED)

/* What nobody ever writes reads HOLD: it is damaged, not a miss. */
static inline enum gray_slot_state gray_slot_state(uint64_t value)
{
    uint64_t state = value & 7;
    uint64_t odd = value & (GRAY_SLOT_RESERVED | GRAY_SLOT_SETTLED);

    if (state > GRAY_SLOT_VOID ||
        (state == GRAY_SLOT_EMPTY && (value & ~GRAY_SLOT_MOVED) != 0) ||
        (odd != 0 &&
         (odd != GRAY_SLOT_SETTLED || (value & GRAY_SLOT_DURABLE) == 0 ||
          state < GRAY_SLOT_IN || state > GRAY_SLOT_REVOKED))) {
        return GRAY_SLOT_HOLD;
    }
    return (enum gray_slot_state)state;
}
static inline uint8_t gray_slot_attempt(uint64_t value)
{
    return (uint8_t)(value >> GRAY_SLOT_ATTEMPT_SHIFT);
}
static inline uint8_t gray_slot_variant(uint64_t value)
{
    return (uint8_t)(value >> GRAY_SLOT_VARIANT_SHIFT);
}

/* ---- tables ---------------------------------------------------------------- */

#define GRAY_MARKS_BUCKET 64u      /* bytes */
#define GRAY_MARKS_FIRST 65536u    /* marks that a new table has room for */
#define GRAY_MARKS_MAX (UINT64_C(1) << 32)
#define GRAY_MARKS_FULL_PERCENT 85u /* of its slots; above, nothing is put */
#define GRAY_MARKS_GROW_PERCENT 75u /* of its slots; above, it should grow */
/* A key lies at most so many buckets behind its own first one: the bound of
 * every look-up, far beyond what a table that is not full ever needs. */
#define GRAY_MARKS_REACH 1024u

enum gray_table_state { /* atomic, in the file */
    GRAY_TABLE_REBUILDING = 1, /* from the journal: every look-up is UNKNOWN */
    GRAY_TABLE_READY = 2,
    GRAY_TABLE_BROKEN = 3      /* the journal cannot be believed: UNKNOWN */
};
/* First in marks/<scope as 16 hex digits>.<number>; 4,096 bytes, then the
 * buckets.  header.generation is the table's number, header.revision the
 * policy revision that slots count from.  Its checksum is 0: slots change. */
struct gray_marks_file {
    struct gray_file_header header;
    uint64_t scope;
    uint64_t instance;   /* random; the same in the journal, or it is not its */
    uint64_t sip_key[2]; /* of texts, and of where a key lies; kept through
                            growth and rebuild */
    int64_t began;       /* ms since the epoch: minute 0 */
    uint64_t buckets;    /* any number: bucket = mix(key ^ sip_key[0]) *
                            buckets >> 64 */
    uint32_t slot_size;  /* 16 or 32 */
    uint32_t state;      /* enum gray_table_state; atomic */
    char name[GRAY_NAME_MAX + 1]; /* of the release, for people */
    uint8_t pad[4096 - 64 - 184];
    uint64_t used;       /* keys that stand here; atomic; in a cache line of its own */
    uint64_t tail[7];
};
/* Whoever may write the file may write anything into it at any time: so what
 * a look-up goes by is copied once, and checked, when the table is opened. */
struct gray_mark_table {
    const struct gray_marks_file *file; /* our copy, as of the opening, good for
                            all but `state` and `used`; NULL: not mapped */
    struct gray_marks_file *live; /* the mapping: for `state` and `used` */
    uint8_t *slots;
    uint64_t buckets, secret; /* as in file */
    uint64_t size;      /* of the mapping */
    uint32_t slot_size; /* as in file */
    bool writable;
};
struct gray_mark_table_options {
    uint64_t scope, instance, sip_key[2], revision;
    int64_t began;
    const char *name;
    uint32_t number, slot_size;
    enum gray_table_state state;
    uint64_t marks; /* that it has room for below GRAY_MARKS_FULL_PERCENT */
    gid_t group;    /* of nginx's workers; (gid_t)-1: the folder's */
};
/* Makes a whole, empty, fully allocated table in the folder marks/ (mode 0664;
 * owner ours).  -EEXIST: it is there; -ENOSPC. */
int gray_mark_table_make(int marks_fd,
                         const struct gray_mark_table_options *options,
                         struct gray_problem *ret_problem);
/* Maps one.  Writable where asked for and permitted (else *ret_table says it
 * is not, without an error).  Refused: another owner than `owner`, another
 * layout, a size that does not fit. -ENOENT: there is none. */
int gray_mark_table_open(struct gray_mark_table *ret_table, int marks_fd,
                         uint64_t scope, uint32_t number, uid_t owner,
                         bool writable, struct gray_problem *ret_problem);
void gray_mark_table_close(struct gray_mark_table *table);
/* Keys that were claimed and did not move on, slots, and the state, as they
 * stand now; 0 where none is mapped. */
uint64_t gray_mark_table_used(const struct gray_mark_table *table);
uint64_t gray_mark_table_room(const struct gray_mark_table *table);
enum gray_table_state gray_mark_table_state(const struct gray_mark_table *table);
/* -EPERM: not writable. */
int gray_mark_table_state_set(const struct gray_mark_table *table,
                              enum gray_table_state state);

/* ---- keys -------------------------------------------------------------------- */

struct gray_mark_key {
    uint64_t k[2]; /* k[1] matters in wide tables only */
};
/* The key of a unit in a space (gray_stage.space) of this table.  `file` is
 * gray_mark_table.file, or anything with its sip_key and slot_size. */
struct gray_mark_key gray_mark_key(const struct gray_marks_file *file,
                                   uint8_t space, struct gray_str unit);
/* The unit of a key of space 0, where it was a decimal number: 0 and
 * *ret_number; -1: it was a text, or of another space. */
int gray_mark_key_number(struct gray_mark_key key, uint64_t *ret_number);

/* ---- look up, take, move --------------------------------------------------- */

/* A scope's table and, while it grows, the next one. */
struct gray_marks {
    struct gray_mark_table table, next;
};
enum gray_mark_found {
    GRAY_FIND_ABSENT,  /* no value, or VOID */
    GRAY_FIND_FOUND,   /* *ret_value is what stands there */
    GRAY_FIND_UNKNOWN  /* never writes, never admits */
};
enum gray_mark_found gray_mark_find(const struct gray_marks *marks,
                                   struct gray_mark_key key,
                                   uint64_t *ret_value);
/* Has the processor fetch what the next look-up of this key will need. */
void gray_mark_prefetch(const struct gray_marks *marks,
                        struct gray_mark_key key);

enum gray_mark_by { GRAY_BY_READER = 1, GRAY_BY_WRITER = 2, GRAY_BY_ANY = 3 };
/* May `by` make this move?  The one place where mark_moves.def is asked, and:
 * durable is never undone, is put by the writer alone, and forbids VOID;
 * settled is put by the writer alone, on what is durable, as a move of its own,
 * and ends with the state (but IN -> REVOKED may keep it); a reader's REVOKED
 * -> IN, PENDING is of a later attempt. */
bool gray_mark_may_move(uint64_t from, uint64_t to, enum gray_mark_by by);
/* A reader takes the unit's slot: it must be ABSENT, or REVOKED with an
 * earlier attempt than `value`'s.  0: `value` stands there now; 1: somebody
 * was faster, or it was not to be had: *ret_found is what stands there, to be
 * obeyed; -EAGAIN: UNKNOWN; -ENOSPC: the table is full; -EPERM: not writable;
 * -EINVAL: no value that a reader may put (a durable one, say). */
int gray_mark_take(const struct gray_marks *marks, struct gray_mark_key key,
                   uint64_t value, uint64_t *ret_found);
/* Moves the unit's mark from exactly `from` to `to`, if `by` may do that; from
 * 0 it claims the slot of a unit that has none.  The writer works in a table of
 * any state, so this is how one is rebuilt.  0; 1: something else stood there,
 * *ret_found (0: nothing, or VOID as it is); -EINVAL: no such move; -ENOENT:
 * the unit has no slot; -EAGAIN, -ENOSPC, -EPERM as above. */
int gray_mark_move(const struct gray_marks *marks, struct gray_mark_key key,
                   uint64_t from, uint64_t to, enum gray_mark_by by,
                   uint64_t *ret_found);
/* Is there no room for anybody new, so that a take would say -ENOSPC? */
bool gray_marks_full(const struct gray_marks *marks);
/* A value as of now; revision and moment in what a table counts them; each
 * number that is too large for its bits becomes the largest. */
uint64_t gray_mark_value(const struct gray_marks_file *file,
                         enum gray_slot_state state, uint32_t attempt,
                         uint32_t variant, uint64_t revision, int64_t now_ms);
/* What a value says, in the engine's words. */
struct gray_mark gray_mark_of(const struct gray_marks_file *file,
                              uint64_t value);
int64_t gray_mark_moment(const struct gray_marks_file *file, uint64_t value);

/* Visits every slot with a value (VOID as well), in the order of the table,
 * each in its one true place, whatever the table's state; others may write
 * meanwhile, but who copies beside it sees some twice.  Stops when the visit
 * returns not 0, and returns that. */
typedef int gray_mark_visit(void *context, struct gray_mark_key key,
                            uint64_t value);
int gray_marks_each(const struct gray_marks *marks, gray_mark_visit *visit,
                    void *context);

/* ---- growth: the owner of the folder, one at a time (mark_grow.c) ------------- */

/* Should the table grow (GRAY_MARKS_GROW_PERCENT)?  False while it does. */
bool gray_marks_crowded(const struct gray_marks *marks);
/* Announces: makes the next table, in the state of the one before, with room
 * for `marks` (0: as much more as is reasonable) and names it as `next` in
 * `control`; wakes everyone.  0; 1: it grows already; -ENOENT: no table. */
int gray_marks_announce(struct gray_folder *folder, uint64_t scope,
                        uint64_t marks, gid_t group,
                        struct gray_problem *ret_problem);
/* How many live readers have not acknowledged that `control` names other
 * tables: who copies waits for them, for a second at most. */
uint32_t gray_marks_behind(const struct gray_folder *folder);
/* Copies up to `buckets` buckets from *at on (0 to begin; kept by the caller):
 * 1 when all is moved, 0 when there is more.  -ENOSPC: the next table is full,
 * -EBADMSG: damaged; what was not moved stays where it is.  What is VOID is left behind.  One at
 * a time; after one that died the next begins at 0. */
int gray_marks_copy(const struct gray_marks *marks, uint64_t *at,
                    uint64_t buckets, struct gray_problem *ret_problem);
/* Switches `table` to `next`, wakes everyone.  The old file is unlinked by
 * gray_marks_drop() when its readers have acknowledged. */
int gray_marks_switch(struct gray_folder *folder, uint64_t scope,
                      struct gray_problem *ret_problem);
/* Unlinks every table of a scope but those that `control` names; with `all`
 * those too, and the scope word forgets them. */
int gray_marks_drop(struct gray_folder *folder, uint64_t scope, bool all,
                    struct gray_problem *ret_problem);
/* Names table `number`, which was made, as the table of a scope that has none;
 * wakes everyone.  -EEXIST: it has one. */
int gray_marks_name(struct gray_folder *folder, uint64_t scope,
                    uint32_t number, struct gray_problem *ret_problem);
/* Makes the first table of a scope and names it, where there is none, for who
 * publishes without grayd (its instance and key are new) and wakes everyone
 * afterwards.  0; 1: it has one.  A crowded one is grown, whole, before this
 * returns, unless a grayd lives, which does that. */
int gray_marks_ensure(struct gray_folder *folder, uint64_t scope,
                      const char *name, uint32_t slot_size, uint64_t revision,
                      int64_t now_ms, gid_t group,
                      struct gray_problem *ret_problem);

#endif
