/* SPDX-License-Identifier: Apache-2.0
 * admit.c - what it costs to be let in for good: strict admissions, and tables
 * from the journal.
 *
 * Why: a strict admission waits for a disk, so its figures mean something only
 * beside those of that disk: a sync of 4 KB written over, on the same folder
 * in the same run.  Readers are threads with rings of their own; each has many
 * requests waiting, as a gateway has, and is woken by its FIFO.
 *
 *   admit [FOLDER [MARKS]]: default /var/tmp, 2,000,000 marks to rebuild
 * Read next: control/marks/settle.c, rebuild.c.
 */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "control/marks/journal.h"
#include "control/marks/marks.h"
#include "runtime/internal.h"

#define SCOPE UINT64_C(0x1111222233334444)
#define READERS 2u
#define SECONDS 4.0
#define SYNCS 300u
#define MANY_WAIT 4096u /* requests that wait at once, in all: throughput */
#define FEW_WAIT 64u    /* and for the time that one takes */

static struct gray_problem problem;
static char state[64], runtime[64];
static struct gray_folder folder;
static struct marks *marks;
static int marks_fd;

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench admit: %s: %s\n", what, problem.sentence);
        exit(1);
    }
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* ---- the disk -------------------------------------------------------------------- */

static void bench_sync(void)
{
    static double times[SYNCS];
    char path[128], page[4096] = "x";
    int fd;

    snprintf(path, sizeof(path), "%s/sync", state);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    must(posix_fallocate(fd, 0, sizeof(page)), "sync");
    for (uint32_t i = 0; i < SYNCS; i++) {
        double start = now_s();

        if (pwrite(fd, page, sizeof(page), 0) != (ssize_t)sizeof(page) ||
            fdatasync(fd) != 0) {
            must(-1, "sync");
        }
        times[i] = now_s() - start;
    }
    close(fd);
    qsort(times, SYNCS, sizeof(times[0]), ascending);
    printf("fsync_p50_ms %.3f ms\n", times[SYNCS / 2] * 1e3);
    printf("fsync_p99_ms %.3f ms\n", times[SYNCS * 99 / 100] * 1e3);
}

/* ---- readers ---------------------------------------------------------------------- */

struct waiting {
    struct gray_mark_key key;
    double since;
};
struct reader {
    pthread_t thread;
    struct gray_runtime *runtime;
    struct gray_marks marks;
    uint64_t next;     /* unit; each reader has its own */
    uint32_t most;     /* that wait at once */
    struct waiting *waiting;
    uint32_t first, count;
    double until, *times;
    size_t done, room;
};

/* Maps what `control` names now; the table may have grown. */
static void follow(struct reader *reader)
{
    uint64_t now = __atomic_load_n(&folder.control->marks_generation,
                                   __ATOMIC_ACQUIRE);
    struct gray_scope_word *word =
        &folder.control->words[gray_word_number(&folder, SCOPE)];
    uint64_t *seen = &reader->runtime->slot.file->marks_generation;

    if (*seen == now && reader->marks.table.file != NULL) {
        return;
    }
    gray_mark_table_close(&reader->marks.table);
    gray_mark_table_close(&reader->marks.next);
    memset(&reader->marks, 0, sizeof(reader->marks));
    must(gray_mark_table_open(&reader->marks.table, marks_fd, SCOPE,
                              word->table, geteuid(), true, &problem),
         "table");
    if (word->next != 0) {
        must(gray_mark_table_open(&reader->marks.next, marks_fd, SCOPE,
                                  word->next, geteuid(), true, &problem),
             "table");
    }
    __atomic_store_n(seen, now, __ATOMIC_RELEASE);
}

/* One request begins to wait; false: no room now. */
static bool admit(struct reader *reader)
{
    char unit[24];
    struct gray_str text = {
        unit, (uint32_t)snprintf(unit, sizeof(unit), "%llu",
                                 (unsigned long long)reader->next)};
    struct gray_mark_key key =
        gray_mark_key(reader->marks.table.file, 0, text);
    struct gray_ring_record record = {
        .kind = GRAY_RING_MARKED,
        .state = GRAY_SLOT_IN,
        .scope = SCOPE,
        .key = {key.k[0], key.k[1]},
        .value = gray_mark_value(reader->marks.table.file, GRAY_SLOT_PENDING,
                                 1, 0, 1, now_ms()),
        .now = now_ms(),
        .revision = 1,
        .attempt = 1,
    };
    struct waiting *waiting =
        &reader->waiting[(reader->first + reader->count) % reader->most];
    uint64_t found;

    waiting->since = now_s();
    if (gray_ring_push(reader->runtime, &record, text) != 0 ||
        gray_mark_take(&reader->marks, key, record.value, &found) != 0) {
        return false;
    }
    waiting->key = key;
    reader->next++;
    reader->count++;
    return true;
}

/* Those that are durable by now, in order. */
static void answer(struct reader *reader, double now)
{
    uint64_t value;

    while (reader->count > 0) {
        struct waiting *waiting = &reader->waiting[reader->first];

        value = 0;
        if (gray_mark_find(&reader->marks, waiting->key, &value) !=
                GRAY_FIND_FOUND ||
            (value & GRAY_SLOT_DURABLE) == 0) {
            return;
        }
        if (reader->done < reader->room) {
            reader->times[reader->done] = now - waiting->since;
        }
        reader->done++;
        reader->first = (reader->first + 1) % reader->most;
        reader->count--;
    }
}

static void *reader_main(void *context)
{
    struct reader *reader = context;
    struct pollfd wake = {.fd = gray_runtime_wake_fd(reader->runtime),
                          .events = POLLIN};
    double now = now_s();

    while (now < reader->until) {
        follow(reader);
        while (reader->count < reader->most && admit(reader)) {
        }
        poll(&wake, 1, 5);
        gray_runtime_wake_drain(reader->runtime);
        now = now_s();
        answer(reader, now);
    }
    return NULL;
}

static void bench_admit(uint32_t wait, const char *per_s, const char *p99)
{
    static uint64_t unit = 1;
    struct reader readers[READERS] = {0};
    double start = now_s(), *all, total = 0;
    size_t count = 0;

    for (uint32_t i = 0; i < READERS; i++) {
        struct reader *reader = &readers[i];

        must(gray_runtime_open(&reader->runtime, runtime, GRAY_READER_NGINX,
                               true, &problem),
             "reader");
        reader->next = unit + i * 100000000;
        reader->most = wait / READERS;
        reader->waiting = calloc(reader->most, sizeof(*reader->waiting));
        reader->room = 4000000;
        reader->times = malloc(reader->room * sizeof(double));
        reader->until = start + SECONDS;
        must(pthread_create(&reader->thread, NULL, reader_main, reader),
             "thread");
    }
    unit += READERS * 100000000;
    all = malloc(READERS * readers[0].room * sizeof(double));
    for (uint32_t i = 0; i < READERS; i++) {
        struct reader *reader = &readers[i];

        pthread_join(reader->thread, NULL);
        total += (double)reader->done;
        memcpy(all + count, reader->times, reader->done * sizeof(double));
        count += reader->done;
        gray_mark_table_close(&reader->marks.table);
        gray_mark_table_close(&reader->marks.next);
        gray_runtime_close(reader->runtime);
        free(reader->times);
        free(reader->waiting);
    }
    qsort(all, count, sizeof(double), ascending);
    if (per_s != NULL) {
        printf("%s %.0f 1/s\n", per_s, total / SECONDS);
    }
    if (p99 != NULL && count > 0) {
        printf("%s %.3f ms\n", p99, all[count * 99 / 100] * 1e3);
    }
    free(all);
}

/* ---- rebuild -------------------------------------------------------------------------- */

static void open_marks(void)
{
    struct marks_options options = {.state = state,
                                    .runtime = runtime,
                                    .group = (gid_t)-1,
                                    .now_ms = now_ms};
    struct marks_scope scope = {.name = "cart-2",
                                .scope = SCOPE,
                                .attempt = 1,
                                .stickiness = GRAY_STICKY_MONOTONIC,
                                .durability = GRAY_DURABLE_STRICT,
                                .variants = 1};

    must(marks_open(&marks, &options, &problem), "marks");
    must(marks_prepare(marks, &scope, 1, 1, &problem), "prepare");
}

static bool is_ready(void)
{
    json_t *status = marks_status(marks, SCOPE, &problem);
    const char *word = json_string_value(
        json_object_get(json_object_get(status, "table"), "state"));
    bool ready = word != NULL && strcmp(word, "ready") == 0;

    json_decref(status);
    return ready;
}

static double cpu_s(const struct rusage *used)
{
    return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
           (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1e6;
}

static void bench_rebuild(uint64_t count)
{
    struct marks_put *puts = calloc(65536, sizeof(*puts));
    char *units = malloc(65536 * 16);
    struct timespec pause = {.tv_nsec = 1000000};
    struct rusage before, after;
    json_t *answer = NULL;
    double start;

    for (uint64_t at = 0; at < count; at += 65536) {
        for (uint32_t i = 0; i < 65536; i++) {
            snprintf(units + i * 16, 16, "9%llu",
                     (unsigned long long)(at + i));
            puts[i] = (struct marks_put){units + i * 16, 0, GRAY_SLOT_IN, 0};
        }
        must(marks_put(marks, SCOPE, puts, 65536, false, "", "", &answer,
                       &problem),
             "import");
        json_decref(answer);
    }
    answer = marks_status(marks, SCOPE, &problem);
    count = (uint64_t)json_integer_value(json_object_get(answer, "in"));
    json_decref(answer);
    marks_close(marks);
    must(gray_marks_drop(&folder, SCOPE, true, &problem), "drop");
    getrusage(RUSAGE_CHILDREN, &before);
    start = now_s();
    open_marks();
    while (!is_ready()) {
        nanosleep(&pause, NULL);
    }
    printf("marks_rebuild_per_s %.0f 1/s\n",
           (double)count / (now_s() - start));
    getrusage(RUSAGE_CHILDREN, &after);
    printf("marks_rebuild_per_cpu_s %.0f 1/s\n",
           (double)count / (cpu_s(&after) - cpu_s(&before)));
    free(units);
    free(puts);
}

int main(int argc, char **argv)
{
    struct gray_publish nothing = {.group = (gid_t)-1};

    snprintf(state, sizeof(state), "%.40s/admit.XXXXXX",
             argc > 1 ? argv[1] : "/var/tmp");
    strcpy(runtime, "/dev/shm/bench-admit.XXXXXX");
    if (mkdtemp(state) == NULL || mkdtemp(runtime) == NULL ||
        chmod(runtime, 0755) != 0) {
        must(-1, "folder");
    }
    must(gray_publish(runtime, &nothing, NULL, &problem), "publish");
    must(gray_folder_open(&folder, runtime, true, &problem), "folder");
    marks_fd = openat(folder.dirfd, "marks", O_RDONLY | O_DIRECTORY);
    bench_sync();
    open_marks();
    bench_admit(MANY_WAIT, "admit_strict_per_s", NULL);
    bench_admit(FEW_WAIT, "admit_strict_few_per_s", "admit_strict_p99_ms");
    bench_rebuild(argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000);
    marks_close(marks);
    close(marks_fd);
    gray_folder_close(&folder);
    nftw(runtime, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    nftw(state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
