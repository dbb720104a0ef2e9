/* SPDX-License-Identifier: Apache-2.0
 * test_drain.c - rings whose bytes are anybody's, beside one that is honest.
 *
 * Why: readers/ may be written by every user of the host.  Whatever stands in
 * a ring, the marks thread goes on, makes no mark that nobody took, believes
 * no name that is not the key's, and takes the others' records.
 * Read next: control/marks/drain.c, runtime/ring.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/marks/fixture.h"

#define ROUNDS 400u

static struct host host;
static struct teller teller, liar;
static struct marks_scope scope;
static unsigned seed = 20261201;

static void begin(enum gray_reader_kind kind)
{
    scope = cart_scope(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
    host_begin(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    teller_begin(&liar, &host, kind);
}

static void end(void)
{
    teller_end(&liar);
    teller_end(&teller);
    host_end(&host);
}

static uint32_t draw(uint32_t below)
{
    return (uint32_t)rand_r(&seed) % below;
}

static uint64_t wild(void)
{
    static const uint64_t edges[] = {
        0, 1, 7, 8, 79, 80, GRAY_RING_SIZE - 1, GRAY_RING_SIZE,
        GRAY_RING_SIZE + 8, UINT64_MAX, UINT64_MAX - 7, INT64_MAX, 1u << 31};

    return draw(2) == 0 ? edges[draw(sizeof(edges) / sizeof(edges[0]))]
                        : (uint64_t)draw(UINT32_MAX / 2) << draw(34);
}

/* Changes some of what the ring says. */
static void lie(struct gray_ring *ring)
{
    switch (draw(5)) {
    case 0:
        __atomic_store_n(&ring->head, wild(), __ATOMIC_RELEASE);
        break;
    case 1:
        __atomic_store_n(&ring->instance, wild(), __ATOMIC_RELEASE);
        break;
    case 2:
        __atomic_store_n(&ring->lost, wild(), __ATOMIC_RELEASE);
        break;
    case 3:
        for (uint32_t i = 0; i < 64; i++) {
            ring->bytes[draw(GRAY_RING_SIZE)] = (uint8_t)draw(256);
        }
        break;
    default: /* a sound record, but for some bytes, and its head */
        __atomic_store_n(&ring->head, draw(4) * 8, __ATOMIC_RELEASE);
        teller_push(&liar, "liar", GRAY_SLOT_IN, GRAY_SLOT_PENDING);
        ring->bytes[draw(256)] ^= (uint8_t)(1u << draw(8));
        break;
    }
}

static void whatever_a_ring_says_others_are_taken(void **state)
{
    static const enum gray_reader_kind kinds[] = {GRAY_READER_NGINX,
                                                  GRAY_READER_LIBRARY};
    struct written written;
    char unit[24];

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        begin(kinds[k]);
        for (uint32_t i = 0; i < ROUNDS; i++) {
            lie(&liar.runtime->slot.file->ring);
            snprintf(unit, sizeof(unit), "honest-%u", i);
            teller_admit(&teller, unit, GRAY_SLOT_IN, true);
            if (i % 8 == 7) {
                assert_true(teller_waits(&teller, unit, GRAY_SLOT_IN, true));
            }
        }
        assert_true(teller_waits(&teller, unit, GRAY_SLOT_IN, true));
        host_close(&host);
        host_written(&host, "honest-0", &written);
        assert_int_equal(written.of_unit, 1);
        /* One that may write itself tells of nothing that it did not take; an
         * application asks, and may be given what it asked for well. */
        if (kinds[k] == GRAY_READER_NGINX) {
            assert_int_equal(written.count, ROUNDS);
            assert_int_equal(teller_see(&teller, "liar"), 0);
        }
        end();
    }
}

/* The record of a mark that stands, with another's name. */
static void a_name_that_is_not_the_keys_is_not_believed(void **state)
{
    struct gray_mark_key key;
    struct written written;
    struct gray_ring_record record;

    (void)state;
    begin(GRAY_READER_NGINX);
    key = gray_mark_key(teller.marks.table.file, 0,
                        (struct gray_str){"victim", 6});
    host_close(&host);
    assert_int_equal(teller_take(&teller, "victim", GRAY_SLOT_PENDING,
                                 &(uint64_t){0}),
                     0);
    record = (struct gray_ring_record){
        .kind = GRAY_RING_MARKED, .state = GRAY_SLOT_IN, .scope = CART,
        .key = {key.k[0], key.k[1]}, .now = NOW, .revision = 7, .variant = 1,
        .attempt = 1, .value = teller_see(&teller, "victim")};
    assert_int_equal(gray_ring_push(liar.runtime, &record,
                                    (struct gray_str){"other", 5}),
                     0);
    host_open(&host);
    /* Nobody has the true record: it was never answered, and is void. */
    assert_true(teller_waits(&teller, "victim", GRAY_SLOT_EMPTY, false));
    host_close(&host);
    host_written(&host, "other", &written);
    assert_int_equal(written.count, 0);
    end();
}

/* A file that is no reader's, one that cannot be read, one that goes. */
static void files_that_are_no_readers_are_passed_by(void **state)
{
    char path[192];
    int fd;

    (void)state;
    begin(GRAY_READER_NGINX);
    snprintf(path, sizeof(path), "%s/readers/nginx-900", host.runtime);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/readers/nginx-901", host.runtime);
    fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_int_equal(ftruncate(fd, 100), 0);
    close(fd);
    snprintf(path, sizeof(path), "%s/readers/library-7", host.runtime);
    assert_int_equal(symlink("/dev/zero", path), 0);
    snprintf(path, sizeof(path), "%s/readers/nginx-1024", host.runtime);
    fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_int_equal(ftruncate(fd, sizeof(struct reader_file)), 0);
    close(fd);
    teller_admit(&teller, "a", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "a", GRAY_SLOT_IN, true));
    teller_admit(&liar, "b", GRAY_SLOT_IN, true);
    snprintf(path, sizeof(path), "%s/readers/%s", host.runtime,
             liar.runtime->slot.id);
    unlink(path);
    assert_true(teller_waits(&teller, "b", GRAY_SLOT_IN, true));
    end();
}

/* A ring without room: what is async is told all the same, and is kept. */
static void a_mark_whose_ring_was_full_is_kept_by_its_key(void **state)
{
    struct written written;

    (void)state;
    begin(GRAY_READER_NGINX);
    assert_int_equal(teller_take(&teller, "1007", GRAY_SLOT_IN,
                                 &(uint64_t){0}),
                     0);
    __atomic_fetch_add(&teller.runtime->slot.file->ring.lost, 1,
                       __ATOMIC_RELEASE);
    assert_true(teller_waits(&teller, "1007", GRAY_SLOT_IN, true));
    host_close(&host);
    host_written(&host, "1007", &written);
    assert_int_equal(written.of_unit, 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_a_ring_says_others_are_taken),
        cmocka_unit_test(a_name_that_is_not_the_keys_is_not_believed),
        cmocka_unit_test(files_that_are_no_readers_are_passed_by),
        cmocka_unit_test(a_mark_whose_ring_was_full_is_kept_by_its_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
