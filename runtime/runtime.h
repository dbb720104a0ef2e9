/* SPDX-License-Identifier: Apache-2.0
 * runtime.h - the runtime folder: publish into it, read from it.
 *
 * Why: the folder is the whole contract between whoever decides policy and
 * whoever serves requests on a host (DESIGN 4).  Writers write aside, check,
 * rename, then raise a generation in `control` and wake the readers; readers
 * map, check everything off the request path, swap one pointer, and keep the
 * last good one when something is wrong.  Nothing here is called on a request
 * path but the inline counters.
 *
 *   control             generations, bypass, scope words     writer: publisher
 *   keys                signing keys, mode 0640               writer: publisher
 *   policy.snap         the one in force                      writer: publisher
 *   policy.<gen>.snap   the last three good ones              writer: publisher
 *   fleet.snap          endpoints (and fleet.<gen>.snap)      writer: publisher
 *   lists/<hash>        id lists, by content                  writer: publisher
 *   readers/<id>        acknowledgements, counters          writer: its reader
 *   readers/<id>.wake   FIFO that wakes this reader           reader: its owner
 *   publish.lock        one publisher at a time (flock)
 *   actions.log         who did what, for people (gray status)   writer: gray
 *   marks/              place of the mark tables
 *
 * Errors: 0 or a negative errno-like code with *ret_problem filled.
 * Threads: a gray_folder belongs to one thread; a gray_runtime's current view
 * may be read by many (see gray_runtime_view()).
 * Read next: publish.c (writer), reader.c (reader), counters.c.
 */
#ifndef GRAY_RUNTIME_H
#define GRAY_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"

#define GRAY_RUNTIME_DEFAULT "/run/graylane"
#define GRAY_WORDS_MAX 4096u  /* scope words in `control` */
#define GRAY_KEPT_GOOD 3u     /* policy.<gen>.snap kept */
#define GRAY_SERIES_MAX 1024u /* counter series of one reader */
#define GRAY_READERS_MAX 1024u

/* ---- control ------------------------------------------------------------ */

/* The file `control`, mapped shared by everyone; written by publisher only.
 * All fields after the header are read and written with atomics. */
struct gray_control {
    struct gray_file_header header;
    uint64_t policy_generation;
    uint64_t fleet_generation;
    uint64_t keys_generation;
    uint64_t word_epoch;    /* raised with every change of a word or bypass */
    uint32_t bypass;        /* 1: the modules are transparent */
    uint32_t word_count;    /* words in use, never falls */
    int64_t lease_deadline; /* CLOCK_BOOTTIME ns; 0: no lease */
    uint64_t pad[8];
    struct gray_scope_word words[GRAY_WORDS_MAX];
};

/* ---- writer (publish.c) ------------------------------------------------- */

struct gray_publish {
    const void *policy;       /* snapshot with generation and checksum 0 */
    uint64_t policy_size;     /* 0: leave the policy as it is */
    const void *fleet;
    uint64_t fleet_size;      /* 0: leave the fleet as it is */
    const struct gray_publish_list {
        const char *name;
        const void *data;
        uint64_t size;
    } *lists;
    size_t list_count;
    gid_t group;              /* of `keys`; (gid_t)-1: of the folder */
    bool allow_any_filesystem; /* tests and bench only: not tmpfs */
    /* Refused ("overtaken") unless this policy generation is in force: what
     * was compared with is still what is replaced. */
    bool expect_generation;
    uint64_t expected_generation;
};
struct gray_published {
    uint64_t policy_generation, fleet_generation;
    uint32_t readers, woken; /* live readers, and those that were woken */
};
/* Creates the folder when it is missing, writes aside, checks with the
 * engine's own open, renames, raises generations, wakes.  One store, of
 * control.policy_generation, is what brings a policy into force; a fleet that
 * was published with it (its generation stands in the policy's header) comes
 * with the same store.  Scope words are assigned here, whatever numbers the
 * compiler gave.  With both sizes 0 it only makes the folder, and keys.
 * Refuses a folder that is not on tmpfs, with advice.  Nothing changes on an
 * error.  Blocks on publish.lock for at most 10 s. */
int gray_publish(const char *folder, const struct gray_publish *what,
                 struct gray_published *ret_published,
                 struct gray_problem *ret_problem);
/* The number of the scope word for a release, the same for as long as the
 * folder lives; takes a free word when it has none. GRAY_NONE when full. For
 * gray_compile_options.word_of; `context` is a struct gray_folder. */
uint32_t gray_word_number(void *context, uint64_t scope);
/* Sets the word of a release (GRAY_WORD_* | GRAY_WORD_HOST), raises epochs,
 * wakes everyone; *ret_before says what it was. */
struct gray_folder;
int gray_word_set(struct gray_folder *folder, uint64_t scope, uint32_t word,
                  uint32_t *ret_before, struct gray_problem *ret_problem);
int gray_bypass_set(struct gray_folder *folder, bool on,
                    struct gray_problem *ret_problem);
/* Adds a new signing key and keeps the one before it valid; creates `keys`
 * with one random key when there is none. */
int gray_keys_rotate(const char *folder, gid_t group,
                     struct gray_problem *ret_problem);

/* ---- a folder opened for looking (CLI, publisher) ----------------------- */

struct gray_folder {
    int dirfd;
    struct gray_control *control; /* PROT_WRITE when opened for writing */
    bool writable;
};
/* Maps `control` of a folder. 0, or negative with *ret_problem: no folder, no
 * `control` in it, a layout of another version. */
int gray_folder_open(struct gray_folder *ret_folder, const char *path,
                     bool writable, struct gray_problem *ret_problem);
/* Unmaps and closes; harmless when called again. */
void gray_folder_close(struct gray_folder *folder);

/* ---- reader (reader.c) -------------------------------------------------- */

struct gray_runtime;      /* one process's hold on a folder */
struct gray_runtime_set;  /* one immutable loaded state: policy+fleet+lists */

enum gray_reader_kind { GRAY_READER_NGINX = 1, GRAY_READER_LIBRARY = 2,
                        GRAY_READER_CLI = 3 };
/* Maps `control`, takes a readers/<id> (by lock; a dead one's file is taken
 * over with its counters when it is sound, else replaced), makes its FIFO,
 * loads what is there.  Works without any snapshot (views are then empty).
 * `counted` false: no readers/ file (CLI).  0 even when no file could be taken
 * or the newest snapshot was refused: *ret_problem's code then says so, else
 * it is NULL; without a file the reader decides, uncounted and unwoken.
 * -ENOENT: no folder; -EPERM: others may change it; -EINVAL: bad `control`. */
int gray_runtime_open(struct gray_runtime **ret_runtime, const char *folder,
                      enum gray_reader_kind kind, bool counted,
                      struct gray_problem *ret_problem);
void gray_runtime_close(struct gray_runtime *runtime);
/* Readable (poll) when something changed; -1 when not counted. */
int gray_runtime_wake_fd(const struct gray_runtime *runtime);
/* Empties the FIFO. */
void gray_runtime_wake_drain(struct gray_runtime *runtime);
/* True when keys were made here, but cannot be read by this process (group,
 * mode, damage): cookies are neither signed nor verified. */
bool gray_runtime_keyless(const struct gray_runtime *runtime);
/* True when `control` names generations other than the loaded ones: a few
 * loads, may be asked per request. */
bool gray_runtime_stale(const struct gray_runtime *runtime);
/* Maps and checks the newest state; off the request path, may run in another
 * thread than the reader's own while nothing else changes this runtime.
 * *ret_set NULL: nothing newer, or nothing good (then ret_problem says why;
 * the current one stays, and the refusal is kept for status). */
int gray_runtime_load(struct gray_runtime *runtime,
                      struct gray_runtime_set **ret_set,
                      struct gray_problem *ret_problem);
/* Makes a loaded set the current one, acknowledges its generations in
 * readers/<id>, links its routes with counter series, frees the one before:
 * in the reader's own thread, when no request holds a view. */
void gray_runtime_swap(struct gray_runtime *runtime,
                       struct gray_runtime_set *set);
void gray_runtime_set_free(struct gray_runtime_set *set);
/* The current view; NULL when there is no good snapshot or bypass is on (then
 * *ret_reason says which: NO_SNAPSHOT or BYPASS).  Valid until the next
 * swap. */
const struct gray_view *gray_runtime_view(const struct gray_runtime *runtime,
                                          enum gray_reason *ret_reason);
/* The same without regard to bypass; NULL only when nothing good was ever
 * loaded.  For a gateway that must still know where the baselines are. */
const struct gray_view *gray_runtime_loaded(const struct gray_runtime *runtime);
/* Raised by one with every swap: cached numbers (services, entrances) are
 * looked up again when it moved. */
uint64_t gray_runtime_epoch(const struct gray_runtime *runtime);
/* Why the newest file on disk was refused; code NULL: it was not. */
const struct gray_problem *
gray_runtime_refusal(const struct gray_runtime *runtime);

/* ---- signed values (token.c; HMAC-SHA-256 cut to 128 bits) -------------- */

#define GRAY_COOKIE_NAME "gray"
#define GRAY_COOKIE_NAME_HOST "__Host-gray"
#define GRAY_COOKIE_MAX 1024u /* bytes of a cookie's value */

struct gray_cookie_mark {
    uint64_t scope;
    uint64_t unit_hash;
    uint32_t revision;
    uint16_t attempt;
    uint8_t state, variant; /* enum gray_mark_state */
};
struct gray_cookie {
    uint64_t anonymous; /* 0: none; the issued unit is "a" + 16 hex digits */
    int64_t issued, expires; /* s since the epoch */
    uint32_t mark_count;
    struct gray_cookie_mark marks[GRAY_ARMS_MAX];
};
/* Verifies and decodes v1.<kid>.<payload>.<mac>.  0, or -1: bad, expired, of
 * another key or name: as if absent. */
int gray_cookie_read(const struct gray_runtime *runtime, struct gray_str name,
                     struct gray_str value, int64_t now_s,
                     struct gray_cookie *ret_cookie);
/* Encodes and signs with the newest key. Length, or 0 without a key. */
size_t gray_cookie_write(const struct gray_runtime *runtime,
                         struct gray_str name, const struct gray_cookie *cookie,
                         char *buffer, size_t size);
/* X-Gray-Ctx: v1.<kid>.<payload>.<mac>: a colour signed by this house. */
struct gray_context {
    char lane[GRAY_NAME_MAX + 1];
    char arms[512];
    uint8_t traffic_class;
    int64_t expires; /* s since the epoch */
};
int gray_context_read(const struct gray_runtime *runtime, struct gray_str value,
                      int64_t now_s, struct gray_context *ret_context);
size_t gray_context_write(const struct gray_runtime *runtime,
                          const struct gray_context *context, char *buffer,
                          size_t size);
/* 64-bit hash of a unit for cookies, keyed by nothing: it hides no secret. */
uint64_t gray_unit_hash(struct gray_str unit);

/* ---- counters (counters.c, counters.def) -------------------------------- */

/* One series of one reader: a route, a traffic class.  Only its reader writes,
 * with relaxed 64-bit stores; others read by pread and trust nothing. */
#define GRAY_LATENCY_BUCKETS 256u /* 0.1 ms * 1.0555^i */
struct gray_series {
    uint64_t series; /* gray_route.series; 0: free */
    uint32_t traffic_class;
    uint32_t in_flight;
    char service[GRAY_NAME_MAX + 1], version[GRAY_NAME_MAX + 1];
    char lane[GRAY_NAME_MAX + 1], arm[GRAY_NAME_MAX + 1];
#define GRAY_COUNTER(NAME, field, metric, doc) uint64_t field;
#include "runtime/counters.def"
#undef GRAY_COUNTER
    uint64_t latency_sum_us;
    uint32_t latency[GRAY_LATENCY_BUCKETS];
};
/* Sums over live and dead readers of a folder, for status, Prometheus and the
 * CLI.  Every byte of readers/ is hostile: bounds, sizes, locks checked. */
struct gray_totals {
    struct gray_series *series;
    size_t series_count;
    uint64_t reasons[256]; /* decisions by reason */
    uint64_t events[32];   /* by GRAY_EVENT_* of events.def */
    struct gray_reader_status {
        char id[64];
        int32_t pid;
        uint32_t kind;
        bool alive;
        uint64_t policy_generation, fleet_generation, word_epoch;
        char refusal[160]; /* "" : none */
    } *readers;
    size_t reader_count;
    size_t bad_readers; /* files that were not believed */
};
int gray_totals_read(const char *folder, struct gray_totals *ret_totals,
                     struct gray_problem *ret_problem);
void gray_totals_free(struct gray_totals *totals);
/* JSON and Prometheus text (exposition format 0.0.4) of a folder; malloc'd. */
char *gray_status_json(const char *folder, size_t *ret_length);
char *gray_status_prometheus(const char *folder, size_t *ret_length);

enum gray_event {
#define GRAY_EVENT(NAME, number, word, doc) GRAY_EVENT_##NAME = number,
#include "runtime/events.def"
#undef GRAY_EVENT
};
/* The reader's own slots; NULL when not counted. On the request path. */
struct gray_series *gray_counters_series(struct gray_runtime *runtime,
                                         uint32_t route,
                                         enum gray_class traffic_class);
void gray_counters_reason(struct gray_runtime *runtime,
                          enum gray_reason reason);
void gray_counters_event(struct gray_runtime *runtime, enum gray_event event);
/* Bucket of a latency: floor(log(us / 100) / log(1.0555)), 0 .. 255. */
uint32_t gray_latency_bucket(uint64_t microseconds);

#endif
