/* SPDX-License-Identifier: Apache-2.0
 * test_ring.c - a reader's records: pushed, copied as grayd does, and checked.
 *
 * Why: a record that is lost, doubled or torn is a mark that nobody can prove.
 * The ring is that of a real reader's file, read back through a descriptor of
 * its own.
 * Read next: runtime/ring.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

struct world {
    char path[64];
    struct gray_runtime *runtime;
    struct gray_drained *drained;
    int fd;          /* of the reader's file, as grayd opens it */
    uint64_t tail;   /* taken so far */
    uint8_t *copied; /* GRAY_RING_SIZE */
};

static void open_reader(struct world *world)
{
    char full[160];

    assert_int_equal(gray_runtime_open(&world->runtime, world->path,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    world->runtime->drained = world->drained;
    snprintf(full, sizeof(full), "%s/readers/%s", world->path,
             world->runtime->slot.id);
    world->fd = open(full, O_RDONLY | O_CLOEXEC);
    assert_true(world->fd >= 0);
}

static void close_reader(struct world *world)
{
    close(world->fd);
    world->runtime->drained = NULL; /* ours */
    gray_runtime_close(world->runtime);
}

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    folder_new(world->path);
    shop_publish(world->path, "0", 1);
    world->drained = calloc(1, sizeof(*world->drained));
    world->copied = malloc(GRAY_RING_SIZE);
    assert_true(world->drained != NULL && world->copied != NULL);
    open_reader(world);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    close_reader(world);
    folder_remove(world->path);
    free(world->drained);
    free(world->copied);
    free(world);
    return 0;
}

/* What grayd says once it knows the ring and has taken it up to here. */
static void say_taken(struct world *world, uint64_t tail)
{
    struct gray_drained_ring *ring =
        &world->drained->rings[world->runtime->slot.number];

    ring->instance = world->runtime->slot.file->ring.instance;
    ring->tail = tail;
}

static int push(struct world *world, uint32_t number, uint32_t length)
{
    struct gray_ring_record record = {.kind = GRAY_RING_MARKED,
                                      .state = GRAY_SLOT_IN,
                                      .scope = number,
                                      .value = GRAY_SLOT_IN,
                                      .now = 1767225600000,
                                      .reason = GRAY_REASON_SHARE};
    char unit[GRAY_VALUE_MAX + 8];

    memset(unit, 'a' + (int)(number % 26), sizeof(unit));
    return gray_ring_push(world->runtime, &record,
                          (struct gray_str){unit, length});
}

static ssize_t copy_ring(struct world *world, uint64_t at, size_t size)
{
    return pread(world->fd, world->copied, size,
                 (off_t)(offsetof(struct reader_file, ring) +
                         offsetof(struct gray_ring, bytes) +
                         at % GRAY_RING_SIZE));
}

/* Takes what is there and checks that it is `first`, `first` + 1, ...; returns
 * how many. */
static uint32_t take_all(struct world *world, uint32_t first)
{
    uint64_t head = gray_ring_head(world->runtime);
    uint32_t count = 0;
    int64_t span;

    while ((span = gray_ring_span(world->tail, head)) > 0) {
        struct gray_ring_copy copy = {world->copied, world->tail,
                                      world->tail + (uint64_t)span};
        struct gray_ring_record record;
        struct gray_str unit;
        int got;

        assert_int_equal(copy_ring(world, world->tail, (size_t)span), span);
        while ((got = gray_ring_read(&copy, &record, &unit)) == 1) {
            assert_int_equal(record.scope, first + count);
            assert_int_equal(record.unit_length, unit.length);
            for (uint32_t i = 0; i < unit.length; i++) {
                assert_int_equal(unit.data[i],
                                 'a' + (int)((first + count) % 26));
            }
            count++;
        }
        assert_int_equal(got, 0);
        world->tail = copy.at;
    }
    assert_int_equal(span, 0);
    return count;
}

/* 20,000 records of every length go round the ring more than forty times, and
 * come out as they went in. */
static void records_go_round_and_come_out_in_order(void **state)
{
    struct world *world = *state;
    uint32_t pushed = 0, taken = 0;

    say_taken(world, 0);
    while (pushed < 20000) {
        uint32_t burst = 1 + pushed * 7 % 150;

        for (uint32_t i = 0; i < burst; i++, pushed++) {
            assert_int_equal(push(world, pushed, 1 + pushed * 31 % 1024), 0);
        }
        taken += take_all(world, taken);
        assert_int_equal(taken, pushed);
        say_taken(world, world->tail);
    }
    assert_true(gray_ring_head(world->runtime) > 40 * GRAY_RING_SIZE);
    assert_int_equal(world->runtime->slot.file->ring.lost, 0);
}

static void a_full_ring_takes_no_more_and_counts_what_it_lost(void **state)
{
    struct world *world = *state;
    uint32_t pushed = 0, i;
    uint64_t full;

    while (push(world, pushed, 100) == 0) {
        pushed++;
    }
    assert_int_equal(pushed, GRAY_RING_SIZE / 184);
    full = gray_ring_head(world->runtime);
    for (i = 0; i < 5; i++) {
        assert_int_equal(push(world, pushed, 100), -ENOBUFS);
    }
    assert_int_equal(gray_ring_head(world->runtime), full);
    assert_int_equal(world->runtime->slot.file->ring.lost, 6);
    /* All of it is still there, and room for one makes room for one. */
    assert_int_equal(take_all(world, 0), pushed);
    say_taken(world, 183); /* it does not fit before the end: both together */
    assert_int_equal(push(world, pushed, 100), -ENOBUFS);
    say_taken(world, 184);
    assert_int_equal(push(world, pushed, 100), 0);
    assert_int_equal(push(world, pushed + 1, 100), -ENOBUFS);
    assert_int_equal(take_all(world, pushed), 1);
}

static void what_grayd_says_of_another_ring_makes_no_room(void **state)
{
    struct world *world = *state;
    uint32_t pushed = 0;

    while (push(world, pushed, 1000) == 0) {
        pushed++;
    }
    say_taken(world, gray_ring_head(world->runtime));
    world->drained->rings[world->runtime->slot.number].instance ^= 1;
    assert_int_equal(push(world, pushed, 1000), -ENOBUFS);
    assert_false(gray_ring_taken(world->runtime, 1));
    say_taken(world, gray_ring_head(world->runtime) + 8); /* it never was */
    assert_int_equal(push(world, pushed, 1000), -ENOBUFS);
    say_taken(world, gray_ring_head(world->runtime));
    assert_true(gray_ring_taken(world->runtime,
                                gray_ring_head(world->runtime)));
    assert_int_equal(push(world, pushed, 1000), 0);
    assert_false(gray_ring_taken(world->runtime,
                                 gray_ring_head(world->runtime)));
}

static void a_unit_has_a_length_and_a_limit(void **state)
{
    struct world *world = *state;
    struct gray_runtime *command;

    assert_int_equal(push(world, 0, 0), -EMSGSIZE);
    assert_int_equal(push(world, 0, GRAY_VALUE_MAX + 1), -EMSGSIZE);
    assert_int_equal(gray_ring_head(world->runtime), 0);
    assert_int_equal(push(world, 0, GRAY_VALUE_MAX), 0);
    assert_int_equal(take_all(world, 0), 1);
    assert_int_equal(gray_runtime_open(&command, world->path, GRAY_READER_CLI,
                                       false, NULL),
                     0);
    assert_int_equal(gray_ring_push(command, &(struct gray_ring_record){0},
                                    (struct gray_str){"1", 1}),
                     -ENOENT);
    gray_runtime_close(command);
}

/* Who dies leaves records that are still to be taken; who comes next writes
 * behind them. */
static void the_next_owner_goes_on_behind_a_dead_ones_records(void **state)
{
    struct world *world = *state;
    uint64_t instance = world->runtime->slot.file->ring.instance;
    char id[64];

    assert_true(instance != 0);
    strcpy(id, world->runtime->slot.id);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(push(world, i, 10), 0);
    }
    close_reader(world);
    open_reader(world);
    assert_string_equal(world->runtime->slot.id, id);
    assert_int_equal(world->runtime->slot.file->ring.instance, instance);
    assert_int_equal(push(world, 3, 10), 0);
    assert_int_equal(take_all(world, 0), 4);
}

static void only_a_sleeping_writer_is_woken(void **state)
{
    struct world *world = *state;
    char full[128], bytes[8];
    int fifo;

    /* Without a FIFO nothing is made and nothing fails. */
    snprintf(full, sizeof(full), "%s/marks/wake", world->path);
    assert_int_equal(unlink(full), 0);
    world->drained->sleeping = 1;
    assert_int_equal(push(world, 0, 10), 0);
    assert_int_equal(access(full, F_OK), -1);
    assert_int_equal(mkfifo(full, 0666), 0);
    fifo = open(full, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(fifo >= 0);
    world->drained->sleeping = 0;
    assert_int_equal(push(world, 1, 10), 0);
    assert_int_equal(read(fifo, bytes, sizeof(bytes)), -1);
    assert_int_equal(errno, EAGAIN);
    world->drained->sleeping = 1;
    assert_int_equal(push(world, 2, 10), 0);
    assert_int_equal(read(fifo, bytes, sizeof(bytes)), 1);
    close(fifo);
    assert_int_equal(push(world, 3, 10), 0); /* nobody reads: no SIGPIPE */
    assert_int_equal(take_all(world, 0), 4);
}

static void a_writer_lives_by_its_beat(void **state)
{
    struct world *world = *state;
    const int64_t now = INT64_C(90000000000);
    bool alive = true;

    assert_int_equal(gray_writer_now(world->runtime, now, &alive),
                     GRAY_WRITER_NONE);
    assert_false(alive);
    world->drained->state = GRAY_WRITER_OK;
    world->drained->beat = (uint64_t)now - GRAY_WRITER_DEAD_NS + 1;
    assert_int_equal(gray_writer_now(world->runtime, now, &alive),
                     GRAY_WRITER_OK);
    assert_true(alive);
    assert_int_equal(gray_writer_now(world->runtime, now + 1, &alive),
                     GRAY_WRITER_OK);
    assert_false(alive);
    world->drained->beat = (uint64_t)now + 2 * GRAY_WRITER_DEAD_NS;
    gray_writer_now(world->runtime, now, &alive);
    assert_false(alive); /* of another clock */
    world->drained->beat = (uint64_t)now;
    world->drained->state = GRAY_WRITER_FULL;
    assert_int_equal(gray_writer_now(world->runtime, now, &alive),
                     GRAY_WRITER_FULL);
    world->drained->state = 77;
    assert_int_equal(gray_writer_now(world->runtime, now, &alive),
                     GRAY_WRITER_FAILED);
    assert_true(alive);
    world->runtime->drained = NULL;
    assert_int_equal(gray_writer_now(world->runtime, now, &alive),
                     GRAY_WRITER_NONE);
    world->runtime->drained = world->drained;
}

/* Each byte of a sound record, changed in each bit: it is refused, or reads as
 * a record of the same place; the copy is as long as the record, so that a
 * sanitizer sees one byte more. */
static void no_byte_of_a_ring_is_believed(void **state)
{
    struct world *world = *state;
    uint32_t size = sizeof(struct gray_ring_record) + 8, refused = 0;
    uint8_t *bytes = malloc(size);

    assert_non_null(bytes);
    assert_int_equal(push(world, 1, 5), 0);
    assert_int_equal(copy_ring(world, 0, size), size);
    for (uint32_t bit = 0; bit < 8 * size; bit++) {
        struct gray_ring_copy copy = {bytes, 0, size};
        struct gray_ring_record record;
        struct gray_str unit;
        int got;

        memcpy(bytes, world->copied, size);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        got = gray_ring_read(&copy, &record, &unit);
        assert_true(got == 1 || got == -EBADMSG);
        refused += got == 1 ? 0 : 1;
        if (got == 1) {
            assert_int_equal(record.size, size);
            assert_int_equal(record.sequence, 0);
            assert_true(unit.length <= 8);
            assert_int_equal(copy.at, size);
        }
    }
    assert_true(refused > 150);
    free(bytes);
}

/* ---- threads -------------------------------------------------------------------- */

#define THREADS 4u
#define EACH 200000u

struct pusher {
    struct gray_runtime *runtime;
    uint32_t number;
};

static void *push_on(void *context)
{
    const struct pusher *pusher = context;
    char unit[64];
    uint32_t i = 0;

    memset(unit, 'a' + (int)pusher->number, sizeof(unit));
    while (i < EACH) {
        struct gray_ring_record record = {.kind = GRAY_RING_ASKED,
                                          .state = GRAY_SLOT_IN,
                                          .scope = i + 1,
                                          .entrance = pusher->number,
                                          .value = GRAY_SLOT_IN};

        if (gray_ring_push(pusher->runtime, &record,
                           (struct gray_str){unit, 1 + i % 64}) == 0) {
            i++;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

/* Every record is whole, and each thread's come in its own order. */
static void threads_of_an_application_share_one_ring(void **state)
{
    struct world *world = *state;
    struct gray_runtime *library;
    struct gray_drained_ring *drained;
    struct pusher pushers[THREADS];
    pthread_t threads[THREADS];
    uint64_t next[THREADS] = {0};
    uint32_t left = THREADS * EACH;

    assert_int_equal(gray_runtime_open(&library, world->path,
                                       GRAY_READER_LIBRARY, true, NULL),
                     0);
    munmap((void *)(uintptr_t)library->drained, sizeof(*library->drained));
    library->drained = world->drained;
    drained = &world->drained->rings[gray_ring_number(GRAY_READER_LIBRARY,
                                                      library->slot.number)];
    drained->instance = library->slot.file->ring.instance;
    for (uint32_t i = 0; i < THREADS; i++) {
        pushers[i] = (struct pusher){library, i};
        assert_int_equal(pthread_create(&threads[i], NULL, push_on, &pushers[i]),
                         0);
    }
    while (left > 0) {
        int64_t span = gray_ring_span(drained->tail, gray_ring_head(library));
        struct gray_ring_copy copy = {world->copied, drained->tail,
                                      drained->tail + (uint64_t)span};
        struct gray_ring_record record;
        struct gray_str unit;
        int got;

        assert_true(span >= 0);
        memcpy(world->copied,
               &library->slot.file->ring.bytes[drained->tail % GRAY_RING_SIZE],
               (size_t)span);
        while ((got = gray_ring_read(&copy, &record, &unit)) == 1) {
            assert_true(record.entrance < THREADS);
            assert_int_equal(record.scope, ++next[record.entrance]);
            for (uint32_t i = 0; i < unit.length; i++) {
                assert_int_equal(unit.data[i], 'a' + (int)record.entrance);
            }
            left--;
        }
        assert_int_equal(got, 0);
        __atomic_store_n(&drained->tail, copy.at, __ATOMIC_RELEASE);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    library->drained = NULL; /* ours */
    gray_runtime_close(library);
}

static void a_span_says_what_is_lost(void **state)
{
    (void)state;
    assert_int_equal(gray_ring_span(8, 8), 0);
    assert_int_equal(gray_ring_span(0, GRAY_RING_SIZE), GRAY_RING_SIZE);
    assert_int_equal(gray_ring_span(16, GRAY_RING_SIZE + 16),
                     GRAY_RING_SIZE - 16);
    assert_int_equal(gray_ring_span(16, GRAY_RING_SIZE + 24), -EBADMSG);
    assert_int_equal(gray_ring_span(16, 8), -EBADMSG);
    assert_int_equal(gray_ring_span(0, UINT64_MAX), -EBADMSG);
    assert_int_equal(gray_ring_number(GRAY_READER_NGINX, 7), 7);
    assert_int_equal(gray_ring_number(GRAY_READER_LIBRARY, 7),
                     GRAY_READERS_MAX + 7);
    assert_int_equal(gray_ring_number(GRAY_READER_LIBRARY, GRAY_READERS_MAX),
                     GRAY_NONE);
    assert_int_equal(gray_ring_number(GRAY_READER_CLI, 0), GRAY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(records_go_round_and_come_out_in_order),
        WITH_WORLD(a_full_ring_takes_no_more_and_counts_what_it_lost),
        WITH_WORLD(what_grayd_says_of_another_ring_makes_no_room),
        WITH_WORLD(a_unit_has_a_length_and_a_limit),
        WITH_WORLD(the_next_owner_goes_on_behind_a_dead_ones_records),
        WITH_WORLD(only_a_sleeping_writer_is_woken),
        WITH_WORLD(a_writer_lives_by_its_beat),
        WITH_WORLD(no_byte_of_a_ring_is_believed),
        WITH_WORLD(threads_of_an_application_share_one_ring),
        cmocka_unit_test(a_span_says_what_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
