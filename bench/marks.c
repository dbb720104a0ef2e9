/* SPDX-License-Identifier: Apache-2.0
 * marks.c - what a mark costs: a look-up, an insert, its bytes.
 *
 * Why: every request of a unit looks its mark up, so that must cost about one
 * memory access, with ten million of them as with ten.  The table is the real
 * one, in a real folder on tmpfs, put in by the call that nginx's workers use
 * and grown on the way from its first 65,536 marks; so the bytes are those that
 * a host would really spend.  Each look-up begins only when the one before it
 * has answered, in random order, all of them hits.  The same keys then go into
 * LMDB, beside it on the same tmpfs, in the order it likes best, and are
 * looked up in the same random order.  The best of 5 runs: others work here.
 *
 *   marks [MARKS]: default 10,000,000; exits 0 and says so when memory is short
 * Read next: runtime/mark_slot.c, runtime/mark_grow.c.
 */
#include <fcntl.h>
#include <ftw.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/internal.h"

#define MARKS 10000000u
#define ASKED 2000000u
#define RUNS 5
#define SCOPE UINT64_C(0x6265636368000001)

struct bench {
    char path[64];
    struct gray_folder folder;
    int marks_fd;
    struct gray_marks marks;
    uint64_t count, *keys; /* in the order of putting */
    uint64_t *asked;       /* ASKED of them, in random order, and one more */
    int64_t grow_ns;
    uint64_t copied;
};

static int64_t now_ns(void)
{
    struct timespec now;

    /* Our own time: a busy neighbour is none of the table's cost. */
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench marks: %s failed\n", what);
        exit(1);
    }
}

static void say(const char *name, double value, const char *unit)
{
    printf("marks_%s %.*f %s\n", name, value < 1000 ? 2 : 0, value, unit);
}

static uint64_t memory_available(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    unsigned long long kib = 0;
    char line[128];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (uint64_t)kib * 1024;
}

/* ---- the table
 * ----------------------------------------------------------------- */

static void map(struct bench *b)
{
    uint32_t word = gray_word_number(&b->folder, SCOPE), table, next;

    gray_mark_table_close(&b->marks.table);
    gray_mark_table_close(&b->marks.next);
    runtime_word_tables(&b->folder.control->words[word], &table, &next);
    must(gray_mark_table_open(&b->marks.table, b->marks_fd, SCOPE, table,
                              geteuid(), true, NULL) == 0 &&
             (next == 0 ||
              gray_mark_table_open(&b->marks.next, b->marks_fd, SCOPE, next,
                                   geteuid(), true, NULL) == 0),
         "mapping");
}

static void grow(struct bench *b)
{
    int64_t start = now_ns();
    uint64_t at = 0;

    b->copied += gray_mark_table_used(&b->marks.table);
    must(gray_marks_announce(&b->folder, SCOPE, 0, (gid_t)-1, NULL) == 0,
         "announcing");
    map(b);
    must(gray_marks_copy(&b->marks, &at, UINT64_MAX, NULL) == 1, "copying");
    must(gray_marks_switch(&b->folder, SCOPE, NULL) == 0 &&
             gray_marks_drop(&b->folder, SCOPE, false, NULL) == 0,
         "switching");
    map(b);
    b->grow_ns += now_ns() - start;
}

static void put_all(struct bench *b)
{
    uint64_t value = gray_mark_value(b->marks.table.file, GRAY_SLOT_IN, 1, 0, 1,
                                     1767225600000);
    int64_t start = now_ns(), whole;
    uint64_t i, found;

    for (i = 0; i < b->count; i++) {
        struct gray_mark_key key = {{b->keys[i], 1}};

        if (i % 1024 == 0 && gray_marks_crowded(&b->marks)) {
            grow(b);
        }
        must(gray_mark_take(&b->marks, key, value, &found) == 0, "taking");
    }
    whole = now_ns() - start;
    say("insert_per_s", (double)b->count * 1e9 / (double)(whole - b->grow_ns),
        "/s");
    say("insert_grown_per_s", (double)b->count * 1e9 / (double)whole, "/s");
    say("copy_per_s", (double)b->copied * 1e9 / (double)b->grow_ns, "/s");
    say("bytes_each", (double)b->marks.table.size / (double)b->count, "bytes");
}

static double look_up_all(const struct bench *b)
{
    int64_t best = INT64_MAX;
    int run;

    for (run = 0; run < RUNS; run++) {
        int64_t start = now_ns(), took;
        uint64_t value = 0;
        uint32_t i;

        for (i = 0; i < ASKED; i++) {
            /* Minute 0: bit 63 is 0, but the processor cannot know. */
            struct gray_mark_key key = {{b->asked[i + (value >> 63)], 1}};

            must(gray_mark_find(&b->marks, key, &value) == GRAY_FIND_FOUND,
                 "finding");
        }
        took = now_ns() - start;
        best = took < best ? took : best;
    }
    return (double)ASKED * 1e9 / (double)best;
}

/* ---- LMDB
 * ------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static MDB_env *lmdb_fill(const struct bench *b, MDB_dbi *ret_dbi)
{
    uint64_t *sorted = malloc(b->count * sizeof(*sorted)), i;
    MDB_env *env;
    MDB_txn *txn;
    char path[80];

    must(sorted != NULL, "memory");
    memcpy(sorted, b->keys, b->count * sizeof(*sorted));
    qsort(sorted, b->count, sizeof(*sorted), by_number);
    snprintf(path, sizeof(path), "%s/lmdb", b->path);
    must(mkdir(path, 0700) == 0 && mdb_env_create(&env) == 0 &&
             mdb_env_set_mapsize(env, b->count * 64 + (1 << 20)) == 0 &&
             mdb_env_open(env, path, MDB_NOSYNC | MDB_NORDAHEAD, 0600) == 0 &&
             mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
             mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, ret_dbi) == 0,
         "LMDB");
    for (i = 0; i < b->count; i++) {
        MDB_val key = {8, &sorted[i]}, value = {8, &sorted[i]};

        must(mdb_put(txn, *ret_dbi, &key, &value, MDB_APPEND) == 0, "mdb_put");
    }
    must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
    free(sorted);
    return env;
}

static double lmdb_look_up_all(const struct bench *b)
{
    int64_t best = INT64_MAX;
    MDB_dbi dbi;
    MDB_env *env = lmdb_fill(b, &dbi);
    MDB_txn *txn;
    int run;

    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0, "mdb_txn_begin");
    for (run = 0; run < RUNS; run++) {
        int64_t start = now_ns(), took;
        uint64_t length = 8;
        uint32_t i;

        for (i = 0; i < ASKED; i++) {
            MDB_val key = {8, &b->asked[i + (length >> 63)]}, value;

            must(mdb_get(txn, dbi, &key, &value) == 0, "mdb_get");
            length = value.mv_size;
        }
        took = now_ns() - start;
        best = took < best ? took : best;
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return (double)ASKED * 1e9 / (double)best;
}

/* ---- all of it
 * ----------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void begin(struct bench *b)
{
    struct gray_publish nothing = {.group = (gid_t)-1};
    uint64_t i;

    strcpy(b->path, "/dev/shm/graylane-bench.XXXXXX");
    must(mkdtemp(b->path) != NULL, "mkdtemp");
    must(chmod(b->path, 0755) == 0 &&
             gray_publish(b->path, &nothing, NULL, NULL) == 0 &&
             gray_folder_open(&b->folder, b->path, true, NULL) == 0,
         "the folder");
    b->marks_fd = openat(b->folder.dirfd, "marks", O_RDONLY | O_DIRECTORY);
    must(gray_marks_ensure(&b->folder, SCOPE, "bench", 16, 1, 1767225600000,
                           (gid_t)-1, NULL) == 0,
         "the table");
    map(b);
    b->keys = malloc(b->count * sizeof(*b->keys));
    b->asked = malloc((ASKED + 1) * sizeof(*b->asked));
    must(b->keys != NULL && b->asked != NULL, "memory");
    for (i = 0; i < b->count; i++) {
        char text[24];
        struct gray_str unit = {text,
                                (uint32_t)snprintf(text, sizeof(text), "%llu",
                                                   1000000000ull + i * 7)};

        b->keys[i] = gray_mark_key(b->marks.table.file, 0, unit).k[0];
    }
    for (i = 0; i <= ASKED; i++) {
        b->asked[i] = b->keys[gray_mix64(i + 99) % b->count];
    }
}

int main(int argc, char **argv)
{
    struct bench b = {.count = argc > 1 ? strtoull(argv[1], NULL, 10) : MARKS};
    double ours, lmdb;

    must(b.count > 0 && b.count <= 1000000000, "the number of marks");
    /* The growth has both tables; LMDB comes beside the larger one. */
    if (memory_available() < b.count * 100) {
        printf("# marks: %llu marks need %llu MB of memory; left out\n",
               (unsigned long long)b.count,
               (unsigned long long)(b.count * 100 / 1000000));
        return 0;
    }
    begin(&b);
    put_all(&b);
    ours = look_up_all(&b);
    lmdb = lmdb_look_up_all(&b);
    say("lookup_per_s", ours, "/s");
    say("lookup_ratio_lmdb", ours / lmdb, "x");
    gray_mark_table_close(&b.marks.table);
    gray_folder_close(&b.folder);
    close(b.marks_fd);
    nftw(b.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(b.keys);
    free(b.asked);
    return 0;
}
