/* SPDX-License-Identifier: Apache-2.0
 * test_totals.c - whatever lies in readers/, sums are right and nobody falls.
 *
 * Read next: runtime/totals.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

struct world {
    char path[64], readers[80];
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    snprintf(world->readers, sizeof(world->readers), "%s/readers",
             world->path);
    shop_publish(world->path, "0", 1);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    folder_remove(world->path);
    free(world);
    return 0;
}

static struct gray_runtime *reader(const struct world *world)
{
    struct gray_runtime *runtime;

    assert_int_equal(gray_runtime_open(&runtime, world->path,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    return runtime;
}

static void count_some(struct gray_runtime *runtime, uint64_t requests)
{
    struct gray_series *series =
        gray_counters_series(runtime, 0, GRAY_CLASS_LIVE);
    uint64_t i;

    assert_non_null(series);
    for (i = 0; i < requests; i++) {
        series->started++;
        series->status_2xx++;
        series->latency_sum_us += 1000;
        series->latency[gray_latency_bucket(1000)]++;
    }
    series->in_flight += 2;
    gray_counters_reason(runtime, GRAY_REASON_SHARE, false);
    gray_counters_event(runtime, GRAY_EVENT_BAD_COOKIE);
}

/* Living and dead add up; what a dead one had under way is over. */
static void living_and_dead_add_up(void **state)
{
    struct world *world = *state;
    struct gray_runtime *a = reader(world), *b = reader(world);
    struct gray_totals totals;

    count_some(a, 10);
    count_some(b, 32);
    gray_runtime_close(b);
    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.reader_count, 2);
    assert_int_equal(totals.series_count, 2);
    assert_string_equal(totals.series[0].service, "cart");
    assert_string_equal(totals.series[0].version, "v1");
    assert_int_equal(totals.series[0].started, 42);
    assert_int_equal(totals.series[0].status_2xx, 42);
    assert_int_equal(totals.series[0].in_flight, 2);
    assert_int_equal(totals.series[0].latency_sum_us, 42000);
    assert_int_equal(totals.series[0].latency[gray_latency_bucket(1000)], 42);
    assert_string_equal(totals.series[1].arm, "cart-2");
    assert_int_equal(totals.series[1].started, 0);
    assert_int_equal(totals.reasons[GRAY_REASON_SHARE], 2);
    assert_int_equal(totals.events[GRAY_EVENT_BAD_COOKIE], 2);
    assert_int_equal(totals.events[GRAY_EVENT_SNAPSHOT_LOADED], 2);
    assert_int_equal(totals.bad_readers, 0);
    gray_totals_free(&totals);
    gray_runtime_close(a);
}

/* Links, FIFOs, sockets, folders, short and long files, strange names. */
static void strange_files_add_nothing(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime = reader(world);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct gray_totals totals;
    char full[256];
    uint8_t *good;
    size_t size;
    int socket_fd;

    count_some(runtime, 5);
    good = file_bytes(world->readers, "nginx-0", &size);
    file_replace(world->readers, "short", good, size - 8);
    file_replace(world->readers, "empty", "", 0);
    file_replace(world->readers, "odd name", good, size);
    good[0] = 'X';
    file_replace(world->readers, "foreign", good, size);
    snprintf(full, sizeof(full), "%s/link", world->readers);
    assert_int_equal(symlink("nginx-0", full), 0);
    snprintf(full, sizeof(full), "%s/device", world->readers);
    assert_int_equal(symlink("/dev/zero", full), 0);
    snprintf(full, sizeof(full), "%s/fifo", world->readers);
    assert_int_equal(mkfifo(full, 0666), 0);
    snprintf(full, sizeof(full), "%s/folder", world->readers);
    assert_int_equal(mkdir(full, 0755), 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket",
             world->readers);
    socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(socket_fd, (struct sockaddr *)&address,
                          sizeof(address)),
                     0);
    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.reader_count, 1);
    assert_int_equal(totals.bad_readers, 9);
    assert_int_equal(totals.series[0].started, 5);
    gray_totals_free(&totals);
    close(socket_fd);
    gray_runtime_close(runtime);
    free(good);
}

/* Wakers meet a link, a device, a socket and a regular file named *.wake. */
static void strange_fifos_are_not_written(void **state)
{
    struct world *world = *state;
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_published published;
    char full[256], victim[128];
    size_t size;
    void *bytes;

    snprintf(victim, sizeof(victim), "%s/victim", world->path);
    file_replace(world->path, "victim", "abc", 3);
    snprintf(full, sizeof(full), "%s/a.wake", world->readers);
    assert_int_equal(symlink(victim, full), 0);
    snprintf(full, sizeof(full), "%s/b.wake", world->readers);
    assert_int_equal(link(victim, full), 0);
    snprintf(full, sizeof(full), "%s/c.wake", world->readers);
    assert_int_equal(mkfifo(full, 0666), 0); /* nobody reads it */
    assert_int_equal(gray_publish(world->path, &nothing, &published, NULL), 0);
    assert_int_equal(published.woken, 0);
    bytes = file_bytes(world->path, "victim", &size);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "abc", 3);
    free(bytes);
}

static void *truncate_again_and_again(void *context)
{
    struct world *world = context;
    char full[128];
    int i;

    snprintf(full, sizeof(full), "%s/library-7", world->readers);
    for (i = 0; i < 3000; i++) {
        int fd = open(full, O_RDWR | O_CREAT, 0644);

        if (fd >= 0) {
            (void)!ftruncate(fd, i % 3 == 0 ? 100 : sizeof(struct reader_file));
            close(fd);
        }
    }
    return NULL;
}

/* A file that shrinks and grows while it is read. */
static void a_file_may_shrink_while_it_is_read(void **state)
{
    struct world *world = *state;
    pthread_t thread;
    int i;

    assert_int_equal(pthread_create(&thread, NULL, truncate_again_and_again,
                                    world),
                     0);
    for (i = 0; i < 300; i++) {
        struct gray_totals totals;

        assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
        gray_totals_free(&totals);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* 600 damaged files of a right size: believed only where they are sound, and
 * both texts can be made of whatever was believed. */
static void damaged_files(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime = reader(world);
    uint64_t chance = 7;
    uint8_t *good, *bytes;
    size_t size, bad = 0;
    int i, j;

    count_some(runtime, 5);
    good = file_bytes(world->readers, "nginx-0", &size);
    bytes = malloc(size);
    for (i = 0; i < 600; i++) {
        struct gray_totals totals;

        memcpy(bytes, good, size);
        for (j = 0; j < 40; j++) {
            /* Mostly where it hurts: the head and the first series. */
            size_t first = offsetof(struct reader_file, series);
            size_t from = j % 3 == 1 ? first : 0;
            size_t width = j % 3 == 0   ? 320
                           : j % 3 == 1 ? 2 * sizeof(struct gray_series)
                                        : size;

            chance = gray_mix64(chance + 1);
            bytes[from + chance % width] = (uint8_t)(chance >> 40);
        }
        if (i % 2) { /* a right header every other time */
            memcpy(bytes, good, offsetof(struct reader_file, refusal));
        }
        file_replace(world->readers, "nginx-3", bytes, size);
        assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
        bad += totals.bad_readers;
        gray_totals_free(&totals);
        if (i % 50 == 0) {
            free(gray_status_json(world->path, NULL));
            free(gray_status_prometheus(world->path, NULL));
        }
    }
    print_message("%zu of 600 damaged files not believed\n", bad);
    assert_true(bad > 150 && bad < 600);
    free(bytes);
    free(good);
    gray_runtime_close(runtime);
}

static struct gray_totals totals_of(const struct world *world)
{
    struct gray_totals totals;

    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    return totals;
}

/* Numbers that nobody can have counted, a program that counts routes, another
 * kind under a kind's name: the file adds nothing, and it is said whose. */
static void what_cannot_be_true_is_not_believed(void **state)
{
    struct world *world = *state;
    struct gray_runtime *library, *nginx = reader(world);
    struct reader_file *file, *theirs;
    struct gray_totals totals;
    size_t size;
    uint32_t i;

    count_some(nginx, 5);
    theirs = file_bytes(world->readers, "nginx-0", &size);
    assert_int_equal(gray_runtime_open(&library, world->path,
                                       GRAY_READER_LIBRARY, true, NULL),
                     0);
    for (i = 0; i < 6; i++) {
        file = file_bytes(world->readers, "library-0", &size);
        file->reasons[GRAY_REASON_SHARE] = i == 0 ? UINT64_C(1) << 49 : 7;
        file->events[0] = i == 1 ? UINT64_MAX : 3;
        if (i == 2) { /* a gateway's figures */
            memcpy(file->series, theirs->series, sizeof(file->series));
        } else if (i == 3) {
            file->flows[0].scope = 1;
        } else if (i == 4) {
            file->kind = GRAY_READER_NGINX;
        }
        file_replace(world->readers, "library-5", file, size);
        totals = totals_of(world);
        assert_int_equal(totals.bad_readers, i == 5 ? 0 : 1);
        assert_int_equal(totals.series[0].started, 5);
        assert_int_equal(totals.reasons[GRAY_REASON_SHARE], i == 5 ? 8 : 1);
        if (i < 5) {
            assert_string_equal(totals.bad[0].id, "library-5");
            assert_int_equal(totals.bad[0].uid, geteuid());
        }
        gray_totals_free(&totals);
        free(file);
    }
    theirs->series[0].latency[0] = UINT32_MAX; /* many, and possible */
    theirs->series[0].status_5xx = UINT64_C(1) << 60;
    file_replace(world->readers, "nginx-1", theirs, size);
    totals = totals_of(world);
    assert_int_equal(totals.bad_readers, 1);
    assert_int_equal(totals.reader_count, 3); /* and is dead */
    gray_totals_free(&totals);
    free(theirs);
    /* A worker that lives has acknowledged nothing, whatever its file says. */
    nginx->slot.file->reasons[0] = UINT64_MAX;
    totals = totals_of(world);
    assert_int_equal(totals.bad_readers, 2);
    assert_int_equal(totals.reader_count, 3);
    assert_string_equal(totals.readers[2].id, "nginx-0");
    assert_true(totals.readers[2].alive);
    assert_int_equal(totals.readers[2].policy_generation, 0);
    gray_totals_free(&totals);
    nginx->slot.file->reasons[0] = 0;
    gray_runtime_close(library);
    gray_runtime_close(nginx);
}

/* Where nginx's group is known (it reads the keys), nobody else is nginx. */
static void only_nginxs_group_counts_as_nginx(void **state)
{
    struct world *world = *state;
    struct gray_runtime *nginx = reader(world);
    struct gray_totals totals;
    char keys[96], file[96];
    size_t size;
    void *bytes;

    if (geteuid() != 0) {
        gray_runtime_close(nginx);
        skip();
    }
    count_some(nginx, 5);
    snprintf(keys, sizeof(keys), "%s/keys", world->path);
    snprintf(file, sizeof(file), "%s/nginx-1", world->readers);
    bytes = file_bytes(world->readers, "nginx-0", &size);
    file_replace(world->readers, "nginx-1", bytes, size);
    assert_int_equal(chown(file, 65534, 65534), 0);
    totals = totals_of(world);
    assert_int_equal(totals.bad_readers, 0); /* it is not known who that is */
    assert_int_equal(totals.series[0].started, 10);
    gray_totals_free(&totals);
    assert_int_equal(chown(keys, 0, 33), 0);
    totals = totals_of(world);
    assert_int_equal(totals.bad_readers, 1);
    assert_string_equal(totals.bad[0].id, "nginx-1");
    assert_int_equal(totals.bad[0].uid, 65534);
    assert_int_equal(totals.series[0].started, 5);
    gray_totals_free(&totals);
    assert_int_equal(chown(file, 33, 33), 0);
    totals = totals_of(world);
    assert_int_equal(totals.series[0].started, 10);
    gray_totals_free(&totals);
    free(bytes);
    gray_runtime_close(nginx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(living_and_dead_add_up),
        WITH_WORLD(strange_files_add_nothing),
        WITH_WORLD(strange_fifos_are_not_written),
        WITH_WORLD(a_file_may_shrink_while_it_is_read),
        WITH_WORLD(damaged_files),
        WITH_WORLD(what_cannot_be_true_is_not_believed),
        WITH_WORLD(only_nginxs_group_counts_as_nginx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
