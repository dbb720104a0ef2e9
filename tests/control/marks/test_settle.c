/* SPDX-License-Identifier: Apache-2.0
 * test_settle.c - from a reader's ring to a durable mark, and what is not one.
 *
 * Why: the journal says what people were told, once a mark, and nothing that
 * nobody was told; and a slot says durable only behind a sync.
 * Read next: control/marks/settle.c.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/marks/fixture.h"
#include "tests/control/store/calls.h"

static struct host host;
static struct teller teller;
static _Atomic uint32_t syncs;
static void (*_Atomic before_sync)(void);

static void count_sync(int fd)
{
    void (*hook)(void) = before_sync;

    (void)fd;
    syncs++;
    if (hook != NULL) {
        hook();
    }
}

static void begin(uint8_t durability, uint8_t stickiness,
                  enum gray_reader_kind kind)
{
    struct marks_scope scope = cart_scope(durability, stickiness);

    host_begin(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, kind);
}

static void end(void)
{
    teller_end(&teller);
    host_end(&host);
}

static void a_strict_mark_is_durable_once_and_has_its_units_name(void **state)
{
    struct written written;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    teller_admit(&teller, "1007", GRAY_SLOT_IN, true);
    teller_admit(&teller, "alice", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "1007", GRAY_SLOT_IN, true));
    assert_true(teller_waits(&teller, "alice", GRAY_SLOT_IN, true));
    host_close(&host);
    host_written(&host, "alice", &written);
    assert_int_equal(written.count, 2);
    assert_int_equal(written.of_unit, 1);
    assert_int_equal(written.last.kind, RECORD_ADMIT);
    assert_int_equal(written.last.revision, 7);
    assert_int_equal(written.last.reason_code, GRAY_REASON_SHARE);
    assert_int_equal(written.last.value, teller_see(&teller, "alice"));
    end();
}

static void an_async_mark_becomes_durable_as_it_is(void **state)
{
    struct written written;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_ENTITY, GRAY_READER_NGINX);
    teller_admit(&teller, "a", GRAY_SLOT_IN, false);
    teller_admit(&teller, "b", GRAY_SLOT_OUT, false);
    assert_true(teller_waits(&teller, "a", GRAY_SLOT_IN, true));
    assert_true(teller_waits(&teller, "b", GRAY_SLOT_OUT, true));
    host_close(&host);
    host_written(&host, "b", &written);
    assert_int_equal(written.count, 2);
    assert_int_equal(gray_slot_state(written.last.value), GRAY_SLOT_OUT);
    end();
}

/* The sync is over before the slot says so; many marks share one. */
static _Atomic uint64_t seen_at_sync;

static void look_at_sync(void)
{
    seen_at_sync = teller_see(&teller, "1");
}

static void a_slot_is_durable_only_behind_a_sync_that_many_share(void **state)
{
    char unit[16];
    uint32_t before;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    before_sync = look_at_sync;
    before = syncs;
    teller_admit(&teller, "1", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "1", GRAY_SLOT_IN, true));
    assert_int_equal(syncs, before + 1);
    assert_int_equal(gray_slot_state(seen_at_sync), GRAY_SLOT_PENDING);
    before_sync = NULL;
    /* A writer that is dead leaves them in the ring; one sync takes all. */
    host_close(&host);
    for (int i = 2; i < 1000; i++) {
        snprintf(unit, sizeof(unit), "%d", i);
        teller_admit(&teller, unit, GRAY_SLOT_IN, true);
    }
    before = syncs;
    host_open(&host);
    for (int i = 2; i < 1000; i++) {
        snprintf(unit, sizeof(unit), "%d", i);
        assert_true(teller_waits(&teller, unit, GRAY_SLOT_IN, true));
    }
    assert_int_equal(syncs, before + 1);
    end();
}

static void a_record_without_a_slot_is_nothing_until_the_slot_comes(void **s)
{
    struct written written;
    uint64_t found;

    (void)s;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    assert_int_equal(teller_push(&teller, "never", GRAY_SLOT_IN,
                                 GRAY_SLOT_PENDING),
                     0);
    assert_int_equal(teller_push(&teller, "later", GRAY_SLOT_IN,
                                 GRAY_SLOT_PENDING),
                     0);
    teller_admit(&teller, "now", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "now", GRAY_SLOT_IN, true));
    assert_int_equal(teller_see(&teller, "never"), 0);
    assert_int_equal(teller_take(&teller, "later", GRAY_SLOT_PENDING, &found),
                     0);
    assert_true(teller_waits(&teller, "later", GRAY_SLOT_IN, true));
    host_close(&host);
    host_written(&host, "later", &written);
    assert_int_equal(written.count, 2);
    assert_int_equal(written.of_unit, 1);
    end();
}

static void two_readers_of_one_unit_make_one_record(void **state)
{
    struct teller other;
    struct written written;
    uint64_t found = 0;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    teller_begin(&other, &host, GRAY_READER_NGINX);
    host_close(&host);
    teller_admit(&teller, "a", GRAY_SLOT_IN, false);
    assert_int_equal(teller_push(&other, "a", GRAY_SLOT_IN, GRAY_SLOT_IN), 0);
    assert_int_equal(teller_take(&other, "a", GRAY_SLOT_IN, &found), 1);
    host_open(&host);
    assert_true(teller_waits(&teller, "a", GRAY_SLOT_IN, true));
    host_close(&host);
    host_written(&host, "a", &written);
    assert_int_equal(written.count, 1);
    teller_end(&other);
    end();
}

/* Whoever lost the slot decided otherwise: its record is not the mark's, though
 * it is read first. */
static void the_record_of_who_lost_the_slot_is_not_the_marks(void **state)
{
    struct teller winner;
    struct written written;
    struct gray_mark_key key;
    struct gray_ring_record lost;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY, GRAY_READER_NGINX);
    teller_begin(&winner, &host, GRAY_READER_NGINX);
    host_close(&host);
    key = gray_mark_key(teller.marks.table.file, 0,
                        (struct gray_str){"u", 1});
    lost = (struct gray_ring_record){
        .kind = GRAY_RING_MARKED, .state = GRAY_SLOT_OUT, .scope = CART,
        .key = {key.k[0], key.k[1]}, .now = NOW, .revision = 8, .attempt = 1,
        .value = gray_mark_value(teller.marks.table.file, GRAY_SLOT_PENDING, 1,
                                 0, 8, NOW)};
    assert_int_equal(gray_ring_push(teller.runtime, &lost,
                                    (struct gray_str){"u", 1}),
                     0);
    teller_admit(&winner, "u", GRAY_SLOT_IN, true);
    host_open(&host);
    assert_true(teller_waits(&teller, "u", GRAY_SLOT_IN, true));
    host_close(&host);
    host_written(&host, "u", &written);
    assert_int_equal(written.count, 1);
    assert_int_equal(written.last.revision, 7);
    teller_end(&winner);
    end();
}

/* Both who took the slot and who found it PENDING. */
static void whoever_waits_is_woken(void **state)
{
    struct teller other;
    struct pollfd wakes[2];

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    teller_begin(&other, &host, GRAY_READER_NGINX);
    teller_admit(&other, "first", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&other, "first", GRAY_SLOT_IN, true));
    host_close(&host);
    gray_runtime_wake_drain(teller.runtime);
    gray_runtime_wake_drain(other.runtime);
    teller_admit(&teller, "u", GRAY_SLOT_IN, true);
    host_open(&host);
    wakes[0] = (struct pollfd){.fd = gray_runtime_wake_fd(teller.runtime),
                               .events = POLLIN};
    wakes[1] = (struct pollfd){.fd = gray_runtime_wake_fd(other.runtime),
                               .events = POLLIN};
    assert_int_equal(poll(&wakes[0], 1, 5000), 1);
    assert_int_equal(poll(&wakes[1], 1, 5000), 1);
    assert_true((teller_see(&teller, "u") & GRAY_SLOT_DURABLE) != 0);
    teller_end(&other);
    end();
}

/* A waiter's time is over between the commit and the slot. */
static void void_at_sync(void)
{
    struct gray_mark_key key =
        gray_mark_key(teller.marks.table.file, 0, (struct gray_str){"v", 1});
    uint64_t value = teller_see(&teller, "v"), found;

    if (gray_slot_state(value) == GRAY_SLOT_PENDING) {
        assert_int_equal(gray_mark_move(&teller.marks, key, value,
                                        (value & ~UINT64_C(7)) |
                                            GRAY_SLOT_VOID,
                                        GRAY_BY_READER, &found),
                         0);
    }
}

static void a_mark_that_its_waiter_voided_is_taken_back_in_the_journal(
    void **state)
{
    struct written written;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    before_sync = void_at_sync;
    teller_admit(&teller, "v", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "v", GRAY_SLOT_EMPTY, false));
    before_sync = NULL;
    host_close(&host);
    assert_int_equal(teller_see(&teller, "v"), 0);
    host_written(&host, "v", &written);
    assert_int_equal(written.kinds[RECORD_ADMIT], 1);
    assert_int_equal(written.kinds[RECORD_VOID], 1);
    /* And it may be taken again. */
    host_open(&host);
    teller_admit(&teller, "v", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "v", GRAY_SLOT_IN, true));
    end();
}

static bool is_taken(void *context)
{
    (void)context;
    return gray_ring_taken(teller.runtime, gray_ring_head(teller.runtime));
}

static void who_may_not_write_asks_and_is_given_what_the_policy_says(void **s)
{
    struct marks_scope scope =
        cart_scope(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC);
    struct written written;

    (void)s;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC, GRAY_READER_LIBRARY);
    teller_admit(&teller, "app", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "app", GRAY_SLOT_IN, true));
    /* Who has given up may have been told something else since. */
    teller.patience_ms = (uint32_t)-1000;
    teller_admit(&teller, "gone", GRAY_SLOT_IN, true);
    assert_true(waits_for(is_taken, NULL));
    teller.patience_ms = 60000;
    /* OUT is kept in entity scopes alone; another attempt is not in force. */
    teller_admit(&teller, "out", GRAY_SLOT_OUT, true);
    scope.attempt = 2;
    host_prepare(&host, &scope);
    teller_admit(&teller, "old", GRAY_SLOT_IN, true);
    assert_true(waits_for(is_taken, NULL));
    scope.attempt = 1;
    host_prepare(&host, &scope);
    assert_int_equal(gray_word_set(&host.folder, CART, GRAY_WORD_NO_ADMIT,
                                   NULL, NULL),
                     0);
    teller_admit(&teller, "frozen", GRAY_SLOT_IN, true);
    host_close(&host);
    assert_int_equal(teller_see(&teller, "gone"), 0);
    assert_int_equal(teller_see(&teller, "out"), 0);
    assert_int_equal(teller_see(&teller, "old"), 0);
    assert_int_equal(teller_see(&teller, "frozen"), 0);
    host_written(&host, "app", &written);
    assert_int_equal(written.count, 1);
    end();
}

/* An order that an application begins while the release is stopped, in whatever
 * way, ran the old logic, and is not decided anew afterwards. */
static void an_order_that_begins_under_any_word_stays_outside(void **s)
{
    static const uint32_t words[] = {GRAY_WORD_NO_ADMIT, GRAY_WORD_BASELINE,
                                     GRAY_WORD_KILLED};

    (void)s;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY, GRAY_READER_LIBRARY);
    for (uint32_t i = 0; i < 3; i++) {
        char unit[8];

        snprintf(unit, sizeof(unit), "o%u", i);
        assert_int_equal(gray_word_set(&host.folder, CART, words[i], NULL,
                                       NULL),
                         0);
        teller_admit(&teller, unit, GRAY_SLOT_OUT, true);
        assert_true(teller_waits(&teller, unit, GRAY_SLOT_OUT, true));
        teller_admit(&teller, "in", GRAY_SLOT_IN, true);
        assert_true(waits_for(is_taken, NULL));
        assert_int_equal(teller_see(&teller, "in"), 0);
    }
    end();
}

/* Its reader's file is gone; nobody has the record. */
static void a_number_without_a_record_has_its_name_in_the_journal(void **state)
{
    struct written written;
    uint64_t found;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    host_close(&host);
    assert_int_equal(teller_take(&teller, "1007", GRAY_SLOT_IN, &found), 0);
    host_open(&host);
    assert_true(teller_waits(&teller, "1007", GRAY_SLOT_IN, true));
    host_close(&host);
    host_written(&host, "1007", &written);
    assert_int_equal(written.of_unit, 1);
    end();
}

static bool is_idle(void *context)
{
    (void)context;
    return !marks_busy(host.marks, CART);
}

/* The writer is as fast as the reader is slow: it reads a record whose slot
 * still says that the unit was taken back. */
static void who_was_taken_back_comes_in_again_whenever_its_record_is_read(
    void **state)
{
    json_t *units = json_pack("[s]", "back");
    struct marks_revoke what = {.scope = CART,
                                .cohort = MARKS_LISTED,
                                .units = units,
                                .attempt = 1,
                                .actor = "alice",
                                .reason = "it was wrong"};
    struct marks_scope scope =
        cart_scope(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    uint64_t id, found;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    teller_admit(&teller, "back", GRAY_SLOT_IN, false);
    assert_true(teller_waits(&teller, "back", GRAY_SLOT_IN, true));
    assert_int_equal(marks_revoke(host.marks, &what, &id, NULL), 0);
    assert_true(waits_for(is_idle, NULL));
    assert_true(teller_waits(&teller, "back", GRAY_SLOT_REVOKED, true));
    teller.attempt = scope.attempt = 2;
    host_prepare(&host, &scope);
    assert_int_equal(teller_push(&teller, "back", GRAY_SLOT_IN, GRAY_SLOT_IN),
                     0);
    assert_true(waits_for(is_taken, NULL));
    assert_int_equal(teller_take(&teller, "back", GRAY_SLOT_IN, &found), 0);
    assert_true(teller_waits(&teller, "back", GRAY_SLOT_IN, true));
    json_decref(units);
    end();
}

#define FREEZES 50

/* It was answered before the freeze, so it is in, and not late: also when its
 * record was read before its slot was taken. */
static void what_was_answered_before_a_freeze_is_durable_behind_it(void **state)
{
    char unit[16];
    uint64_t found;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC, GRAY_READER_NGINX);
    for (int i = 0; i < FREEZES; i++) {
        snprintf(unit, sizeof(unit), "u%d", i);
        assert_int_equal(
            teller_push(&teller, unit, GRAY_SLOT_IN, GRAY_SLOT_IN), 0);
        assert_true(waits_for(is_taken, NULL));
        assert_int_equal(teller_take(&teller, unit, GRAY_SLOT_IN, &found), 0);
        assert_int_equal(marks_close_scope(host.marks, CART, 5000, NULL), 0);
        assert_int_equal(gray_slot_state(teller_see(&teller, unit)),
                         GRAY_SLOT_IN);
        assert_true((teller_see(&teller, unit) & GRAY_SLOT_DURABLE) != 0);
        assert_int_equal(marks_open_scope(host.marks, CART, 5000, NULL), 0);
    }
    end();
}

static void nothing_in_becomes_durable_behind_a_settled_freeze(void **state)
{
    struct written written;
    uint64_t found;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY, GRAY_READER_NGINX);
    teller_admit(&teller, "before", GRAY_SLOT_IN, true);
    assert_int_equal(teller_push(&teller, "stopped", GRAY_SLOT_IN,
                                 GRAY_SLOT_PENDING),
                     0);
    assert_int_equal(gray_word_set(&host.folder, CART, GRAY_WORD_NO_ADMIT,
                                   NULL, NULL),
                     0);
    assert_int_equal(marks_close_scope(host.marks, CART, 5000, NULL), 0);
    assert_int_equal(gray_slot_state(teller_see(&teller, "before")),
                     GRAY_SLOT_IN);
    assert_true((teller_see(&teller, "before") & GRAY_SLOT_DURABLE) != 0);
    assert_int_equal(marks_close_scope(host.marks, CART, 5000, NULL), 0);
    /* A worker that was stopped goes on. */
    assert_int_equal(teller_take(&teller, "stopped", GRAY_SLOT_PENDING,
                                 &found),
                     0);
    assert_true(teller_waits(&teller, "stopped", GRAY_SLOT_EMPTY, false));
    teller_admit(&teller, "late", GRAY_SLOT_IN, true);
    teller_admit(&teller, "outside", GRAY_SLOT_OUT, true);
    assert_true(teller_waits(&teller, "late", GRAY_SLOT_EMPTY, false));
    assert_true(teller_waits(&teller, "outside", GRAY_SLOT_OUT, true));
    /* Whoever starts grayd again has not thawed anything. */
    host_close(&host);
    teller_admit(&teller, "later", GRAY_SLOT_IN, true);
    host_open(&host);
    assert_true(teller_waits(&teller, "later", GRAY_SLOT_EMPTY, false));
    /* One whose record nobody has is void before anybody is let in. */
    assert_int_equal(teller_take(&teller, "lost", GRAY_SLOT_IN, &found), 0);
    assert_int_equal(marks_open_scope(host.marks, CART, 5000, NULL), 0);
    assert_int_equal(teller_see(&teller, "lost"), 0);
    teller_admit(&teller, "late", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "late", GRAY_SLOT_IN, true));
    assert_true((teller_see(&teller, "outside") & GRAY_SLOT_DURABLE) != 0);
    host_close(&host);
    host_written(&host, "late", &written);
    assert_int_equal(written.of_unit, 1);
    assert_int_equal(written.count, 3);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_strict_mark_is_durable_once_and_has_its_units_name),
        cmocka_unit_test(an_async_mark_becomes_durable_as_it_is),
        cmocka_unit_test(
            a_slot_is_durable_only_behind_a_sync_that_many_share),
        cmocka_unit_test(
            a_record_without_a_slot_is_nothing_until_the_slot_comes),
        cmocka_unit_test(two_readers_of_one_unit_make_one_record),
        cmocka_unit_test(the_record_of_who_lost_the_slot_is_not_the_marks),
        cmocka_unit_test(whoever_waits_is_woken),
        cmocka_unit_test(
            a_mark_that_its_waiter_voided_is_taken_back_in_the_journal),
        cmocka_unit_test(an_order_that_begins_under_any_word_stays_outside),
        cmocka_unit_test(
            who_may_not_write_asks_and_is_given_what_the_policy_says),
        cmocka_unit_test(nothing_in_becomes_durable_behind_a_settled_freeze),
        cmocka_unit_test(
            a_number_without_a_record_has_its_name_in_the_journal),
        cmocka_unit_test(
            who_was_taken_back_comes_in_again_whenever_its_record_is_read),
        cmocka_unit_test(
            what_was_answered_before_a_freeze_is_durable_behind_it),
    };

    call_watch.sync = count_sync;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
