/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of runtime/ share among themselves.
 *
 * Why: publisher and reader must believe a file for exactly the same reasons,
 * so there is one loader (part.c) for both, and one way to write (file.c).
 * Nobody outside runtime/, its tests and grayd's marks includes this.
 * Read next: part.c (what is believed), set.c (what a reader holds).
 */
#ifndef GRAY_RUNTIME_INTERNAL_H
#define GRAY_RUNTIME_INTERNAL_H

#include <stdarg.h>
#include <sys/stat.h>

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "runtime/runtime.h"

#define FILE_MAX (UINT64_C(8) << 30) /* bytes of any file that is mapped */
/* Directory entries looked at, beyond what a folder can rightly hold. */
#define FILE_SLACK 4096u
#define LOCK_WAIT_MS 10000u
#define RUNTIME_AVOIDED 4u /* policies that crash readers, remembered */

/* ---- problems ------------------------------------------------------------ */

/* Fills *problem (may be NULL) and returns -error. */
int runtime_problem_set(struct gray_problem *problem, int error,
                        const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- file.c: one way to look, one way to write --------------------------- */

void runtime_fd_close(int *fd);
#define CLEANUP_FD __attribute__((cleanup(runtime_fd_close)))

/* XXH3-64 of a whole file, its checksum field taken as zero. */
uint64_t runtime_file_checksum(const void *data, uint64_t size);
/* Magic, layout, length against what the file system says. */
int runtime_file_header_check(const struct gray_file_header *header,
                              const char *magic, uint64_t size,
                              const char *name,
                              struct gray_problem *ret_problem);
void runtime_file_header_fill(struct gray_file_header *header,
                              const char *magic, uint64_t length);
/* Only bytes that nobody else can change under us are mapped. */
int runtime_file_trusted(int fd, uid_t owner, const char *name,
                         struct stat *ret_stat,
                         struct gray_problem *ret_problem);
/* Creates `name` (which must not exist) fully allocated, with these bytes. */
int runtime_file_write(int dirfd, const char *name, const void *data,
                       uint64_t size, mode_t mode, gid_t group,
                       struct gray_problem *ret_problem);
int runtime_file_random(void *bytes, size_t size,
                        struct gray_problem *ret_problem);
bool runtime_name_ends(const char *name, const char *suffix);
/* The number in "<stem>.<number>.snap"; 0 when the name is none such. */
uint64_t runtime_name_generation(const char *name, const char *stem);

/* ---- part.c: one checked, mapped file ------------------------------------ */

enum part_kind { PART_POLICY, PART_FLEET, PART_LIST };
struct part {
    uint32_t refs; /* atomic: loads may run beside the reader's own thread */
    enum part_kind kind;
    char name[48];
    uint64_t generation;
    uint8_t *data;
    uint64_t size;
    union {
        struct gray_snapshot policy;
        struct gray_fleet fleet;
        struct gray_list list;
    };
};
int runtime_part_load(int dirfd, const char *name, enum part_kind kind,
                      uid_t owner, struct part **ret_part,
                      struct gray_problem *ret_problem);
struct part *runtime_part_ref(struct part *part);
void runtime_part_unref(struct part *part);
/* Checks the name of a list as a policy gives it: 32 hexadecimal digits. */
bool runtime_part_list_name(struct gray_str file, char ret_name[40]);

/* ---- folder.c ------------------------------------------------------------ */

struct folder_lock {
    int fd;
};
/* Makes folder, sub-folders and control where missing; checks owner, modes and
 * file system. */
int runtime_folder_make(struct gray_folder *ret_folder, const char *path,
                        bool any_fs, struct gray_problem *ret_problem);
int runtime_folder_lock(const struct gray_folder *folder, int *ret_fd,
                        struct gray_problem *ret_problem);
/* Whose files are believed: the owner of the folder, if it is root or us. */
int runtime_folder_owner(int dirfd, uid_t *ret_owner,
                         struct gray_problem *ret_problem);
int runtime_control_map(int dirfd, uid_t owner, bool writable,
                        struct gray_control **ret_control,
                        struct gray_problem *ret_problem);
/* Live readers, and those whose FIFO took a byte. */
void runtime_folder_wake(const struct gray_folder *folder,
                         uint32_t *ret_readers, uint32_t *ret_woken);
/* Wakes one reader, by its id ("nginx-3"); false: it is dead. */
bool runtime_reader_wake(int readers_fd, const char *id);

/* ---- keys.c -------------------------------------------------------------- */

#define KEYS_MAX 2u
struct keys_file {
    struct gray_file_header header;
    uint32_t count; /* 1 or 2, the newest first */
    uint32_t pad;
    struct keys_entry {
        uint32_t id;
        uint32_t pad;
        uint8_t secret[32];
    } keys[KEYS_MAX];
};
/* Keys ready to sign: the pads are hashed once, not per value. */
struct keys {
    uint32_t count;
    struct key {
        uint32_t id;
        SHA256_CTX inner, outer;
    } keys[KEYS_MAX];
};
void runtime_key_prepare(struct key *key, const struct keys_entry *entry);
/* Without a readable, sound file: no keys, count 0. */
void runtime_keys_read(int dirfd, uid_t owner, struct keys *ret_keys);
void runtime_keys_clear(struct keys *keys);
/* Under the publisher's lock. */
int runtime_keys_ensure(const struct gray_folder *folder, gid_t group,
                        struct gray_problem *ret_problem);

/* ---- search.c ------------------------------------------------------------ */

struct search {
    int dirfd;
    const char *stem;
    enum part_kind kind;
    uid_t owner;
    uint64_t generation; /* what is in force */
    uint64_t avoid;      /* this one is sound, but its lists are not */
    const uint64_t *skip; /* RUNTIME_AVOIDED that are not taken either; NULL */
};

/* The file of the generation in force. */
int runtime_search_named(const struct search *search, struct part **ret_part,
                         struct gray_problem *ret_problem);
/* That file; or when it is refused `current`; or when there is none, the
 * newest good one kept.  *ret_part may be NULL.  Returns whether the newest
 * was refused, *ret_problem then says why. */
bool runtime_search_part(const struct search *search, struct part *current,
                         struct part **ret_part,
                         struct gray_problem *ret_problem);

/* ---- set.c --------------------------------------------------------------- */

struct gray_runtime_set {
    struct part *policy, *fleet;
    struct part **lists;
    struct gray_list *list_views;
    uint32_t list_count;
    void *link_memory;
    struct gray_link link;
    struct gray_view view;
    struct keys keys;
    /* What takes over at its policy's effective_at; NULL: nothing waits.  The
     * reader's own thread takes it out. */
    struct gray_runtime_set *next;
    uint64_t keys_generation;
    uint64_t named_policy, named_fleet; /* what control asked for */
    /* Mark tables by release number; not mapped where a release has none.
     * They belong to parts, which sets that name the same ones share. */
    struct gray_marks *marks;
    struct marks_part **mark_parts;
    uint32_t mark_part_count;
    uint64_t marks_generation;
    /* Slots of counters by route and class, filled by swap. */
    struct gray_series **series;
    uint32_t route_count;
    /* Places of flows by service (0: entrances) and arm, found when they are
     * first counted; flow_arms 0: too many, none is counted. */
    struct gray_flow **flows;
    uint32_t flow_arms;
};
/* Lists of a policy (shared with `old` where the name is the same) and the
 * link; takes over the references in set->policy and set->fleet. */
int runtime_set_complete(struct gray_runtime_set *set, int lists_fd,
                         uid_t owner, const struct gray_runtime_set *old,
                         const struct gray_control *control,
                         struct gray_problem *ret_problem);

/* ---- mark_map.c ------------------------------------------------------------ */

/* One mapped table. */
struct marks_part {
    uint32_t refs; /* atomic */
    dev_t dev;     /* the very file: numbers may come again */
    ino_t ino;
    struct gray_mark_table table;
};
/* Maps what `control` names for every release of the set's policy that has
 * marks.  What is missing or refused stays unmapped (UNKNOWN) and is no reason
 * to refuse the set: 0, or what was wrong with the first one refused. */
int runtime_set_marks(struct gray_runtime_set *set, int marks_fd, uid_t owner,
                      bool writable, const struct gray_runtime_set *old,
                      const struct gray_control *control,
                      struct gray_problem *ret_problem);
void runtime_set_marks_free(struct gray_runtime_set *set);
/* The numbers of one scope's tables, from one moment; 0: none. */
void runtime_word_tables(const struct gray_scope_word *word,
                         uint32_t *ret_table, uint32_t *ret_next);
/* Maps marks/drained; NULL: it is not there, or not to be believed. */
const struct gray_drained *runtime_drained_map(int marks_fd, uid_t owner);
/* As gray_mark_table_open(), and which file it was. */
int runtime_mark_table_open(struct gray_mark_table *ret_table, int marks_fd,
                            uint64_t scope, uint32_t number, uid_t owner,
                            bool writable, struct stat *ret_status,
                            struct gray_problem *ret_problem);
/* Makes what lies in marks/ besides tables: `drained` and the FIFO `wake`. */
int runtime_marks_folder_make(int marks_fd, struct gray_problem *ret_problem);

#include "runtime/reader_file.h"

/* ---- ring.c -------------------------------------------------------------- */

/* Whoever owns the file now pushes into its ring: a new one gets its identity,
 * a dead one's goes on. */
void runtime_ring_begin(struct gray_ring *ring);

/* ---- mark_ask.c, admit.c --------------------------------------------------- */

enum marked_did {
    DID_NOTHING, /* or it was overtaken: what stands there is told */
    DID_TOOK,    /* the slot is ours: told as if nothing stood there, so that
                    the request hears the reason of its own admission */
    DID_STANDS,  /* it was ours, and rules say otherwise since: told as it is */
    DID_ASKED,   /* a record asks grayd to take the slot */
    DID_UNKEPT,  /* goes on without a mark */
    DID_CLOSED,  /* none can be made: `reason` */
    DID_UNKNOWN, /* the table could not be believed */
    DID_HOLD     /* an entity's may be made yet, and we cannot prevent it: hold,
                    whatever onUnknown says */
};
/* The tables of a release that keeps marks; NULL: there is nobody to ask. */
const struct gray_marks *runtime_marked_tables(const struct gray_marked *marked,
                                               uint32_t release);
/* Where `scope` and `key` are kept; NULL: not at all. */
struct gray_marked_scope *runtime_marked_find(struct gray_marked *marked,
                                              uint64_t scope,
                                              struct gray_mark_key key);
/* The same, made where there is none; NULL: no more fit. */
struct gray_marked_scope *runtime_marked_keep(struct gray_marked *marked,
                                              uint64_t scope, uint32_t release,
                                              struct gray_mark_key key);
/* Does a new mark of this release wait for its writer: strict, or shared with
 * other hosts, who may have been first? */
static inline bool runtime_release_strict(const struct gray_release *release)
{
    return release->durability == GRAY_DURABLE_STRICT ||
           (release->mark_flags & GRAY_MARKS_SHARED) != 0;
}
/* Is a mark of this value to be waited for: PENDING, or IN that is not durable
 * while the word of a scope with a lease (and somebody who renews it), or of a
 * strict one, is not open? */
bool runtime_marked_waits(const struct gray_marked *marked,
                          const struct gray_release *release, uint64_t value);
/* Why none can be made of a release at `now_ns` (CLOCK_BOOTTIME); NONE: it
 * can.  `in`: an IN, which needs the lease. */
enum gray_reason runtime_marked_closed(const struct gray_marked *marked,
                                       const struct gray_release *release,
                                       const struct gray_marks *marks, bool in,
                                       int64_t now_ns);
int64_t runtime_clock_ns(int clock);
/* mark_wait.c: until when this request waits for a mark of a release, counted
 * from when it first waited; CLOCK_MONOTONIC ns.  `asked`: of grayd. */
int64_t runtime_marked_until(struct gray_marked *marked,
                             const struct gray_release *release, bool asked);
/* Is anything waited for?  Then marked->deadline says until when. */
bool runtime_marked_any_waits(struct gray_marked *marked);
bool runtime_marked_time_over(const struct gray_marked *marked);
/* None is made: `reason` is told, and counted. */
void runtime_marked_close(struct gray_marked *marked,
                          struct gray_marked_scope *s, enum gray_reason reason);
/* It may be made yet, and not by us: an entity is held, others are told
 * NOT_DURABLE.  `release` NULL: its release is gone. */
void runtime_marked_leave_open(struct gray_marked *marked,
                               struct gray_marked_scope *s,
                               const struct gray_release *release);
/* As gray_mark_move() of what this request knows of it to VOID. */
int runtime_marked_void(const struct gray_marks *marks,
                        const struct gray_marked_scope *s);
/* Of everything that is waited for. */
void runtime_marked_expire(struct gray_marked *marked);

/* ---- counters.c ---------------------------------------------------------- */

#define SERIES_INDEX 2048u /* power of two, above 2 * GRAY_SERIES_MAX - 1 */
struct series_index {
    uint16_t cells[SERIES_INDEX]; /* slot + 1; 0: free */
};
void runtime_series_index_build(struct series_index *index,
                                const struct reader_file *file);
void runtime_series_link(struct gray_runtime *runtime,
                         struct gray_runtime_set *set);
void runtime_name_copy(char ret[GRAY_NAME_MAX + 1], struct gray_str name);
/* "cart-2", or "cart-2:b" of a variant. */
void runtime_arm_name(char ret[GRAY_NAME_MAX + 1],
                      const struct gray_snapshot *policy,
                      const struct gray_release *release, uint32_t variant);
/* ---- flows.c ------------------------------------------------------------- */

/* Room for set->flows. 0, or -1: no memory. */
int runtime_flows_make(struct gray_runtime_set *set);
/* Gives back the places of releases that this policy does not have. */
void runtime_flows_retire(struct gray_runtime *runtime,
                          const struct gray_runtime_set *set);

/* First microsecond of every bucket, and one beyond. */
extern const uint32_t runtime_latency_floor[GRAY_LATENCY_BUCKETS + 1];

/* ---- reader.c ------------------------------------------------------------ */

struct gray_runtime {
    char *path;
    int dirfd, lists_fd, marks_fd;
    uid_t owner;
    enum gray_reader_kind kind;
    bool counted; /* wants to be */
    dev_t control_dev; /* the very file that is mapped */
    ino_t control_ino;
    struct gray_control *control;
    struct reader_slot slot; /* file NULL: not counted */
    struct gray_runtime_set *set;
    uint64_t epoch;
    /* What control named when we last tried; atomic. */
    uint64_t tried_policy, tried_fleet, tried_keys, tried_marks;
    struct gray_problem refusals[2];
    const struct gray_problem *refusal; /* atomic */
    struct series_index index;
    uint32_t free_from; /* no free place of series below this one */
    int64_t asked_ns; /* CLOCK_BOOTTIME of the last record that asks; atomic */
    uint32_t on_clock; /* something waits for the clock: turn.c; atomic */
    int64_t turn_at;   /* ms of the wall clock; INT64_MAX: never; atomic */
    uint64_t tried_next, tried_accepted;
    uint64_t witnessed; /* a policy that another reader had turned to before */
    /* Generations that crash readers, found at the start and not taken unless
     * accepted, the newest first; 0: no more. */
    uint64_t avoided[RUNTIME_AVOIDED];
    uint32_t ring_locked; /* by a thread of an application; atomic */
    uint64_t follows;     /* libgray: how many there were before this one */
    const struct gray_drained *drained; /* marks/drained; NULL: there is none */
};
/* Opens what stands at the path of `runtime` now, which stays as it is, but
 * that its wake descriptor's number goes over.  -ENOENT: there is no policy,
 * so nothing better than what `runtime` has. */
int runtime_open_again(struct gray_runtime *runtime,
                       struct gray_runtime **ret_fresh,
                       struct gray_problem *ret_problem);
static inline uint64_t load_u64(const uint64_t *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}
/* turn.c: before `set` takes the place of `old` (may be NULL): on trial from
 * now on, how late it is, and whether something still waits for the clock. */
void runtime_turn_note(struct gray_runtime *runtime,
                       const struct gray_runtime_set *old,
                       const struct gray_runtime_set *set);
/* What waits and whose instant has come, taken out for runtime_exchange();
 * NULL: nothing.  Ends a trial whose time is over. */
struct gray_runtime_set *runtime_turn_take(struct gray_runtime *runtime);
/* Is there something for runtime_turn_take()?  Any thread; reads clocks. */
bool runtime_turn_due(const struct gray_runtime *runtime);
/* trial.c: counts a thread of an application in the reader's file, by which it
 * is known to have died in here; the place, where it is taken off afterwards
 * (runtime_trial_leave()); NULL: not counted. */
uint32_t *runtime_trial_enter(struct gray_runtime *runtime, uint32_t stripe);
static inline void runtime_trial_leave(uint32_t *place)
{
    if (place != NULL) {
        __atomic_fetch_sub(place, 1, __ATOMIC_RELAXED);
    }
}
/* trial.c: what other readers died of, and turned to, before we started. */
void runtime_trial_remember(struct gray_runtime *runtime);
/* Is this one not to be taken?  Then *ret_problem says why. */
bool runtime_trial_avoids(const struct gray_runtime *runtime,
                          uint64_t generation,
                          struct gray_problem *ret_problem);
/* What was decided by words older than `epoch` has been answered. */
void runtime_acknowledge_words(struct gray_runtime *runtime, uint64_t epoch);
/* Like gray_runtime_swap(), but hands the old set back. */
struct gray_runtime_set *runtime_exchange(struct gray_runtime *runtime,
                                          struct gray_runtime_set *set);

/* ---- text.c: growing text ------------------------------------------------ */

struct text {
    char *data;
    size_t length, capacity;
    bool failed; /* out of memory: data is NULL at the end */
};
void runtime_text_add(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void runtime_text_json(struct text *text, const char *bytes, size_t length);
void runtime_text_label(struct text *text, const char *bytes);
char *runtime_text_take(struct text *text, size_t *ret_length);

#endif
