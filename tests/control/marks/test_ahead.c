/* SPDX-License-Identifier: Apache-2.0
 * test_ahead.c - a journal that is new, or older than the tables beside it.
 *
 * Why: state folders are lost and put back from yesterday's copy while the
 * runtime folder lives on.  Who was told IN, durably, is served then, and must
 * still be in when the host has been started again and its tmpfs is empty.
 * Read next: control/marks/ahead.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/marks/fixture.h"
#include "tests/runtime/folder.h"

static struct host host;
static struct teller teller;
static struct marks_scope scope;
static char copy[80];

static void begin(uint8_t durability)
{
    scope = cart_scope(durability, GRAY_STICKY_MONOTONIC);
    host_begin(&host);
    snprintf(copy, sizeof(copy), "%s.old", host.state);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
}

static void end(void)
{
    teller_end(&teller);
    host_end(&host);
}

static void admitted(const char *unit)
{
    teller_admit(&teller, unit, GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, unit, GRAY_SLOT_IN, true));
}

static void revoked(const char *unit)
{
    struct marks_revoke what = {.scope = CART, .cohort = MARKS_LISTED,
                                .attempt = 1, .actor = "a", .reason = "r"};
    json_t *units = json_pack("[s]", unit);
    uint64_t id;

    what.units = units;
    assert_int_equal(marks_revoke(host.marks, &what, &id, NULL), 0);
    json_decref(units);
    assert_true(teller_waits(&teller, unit, GRAY_SLOT_REVOKED, true));
}

static void shell(const char *format, const char *from, const char *to)
{
    char command[256];

    snprintf(command, sizeof(command), format, from, to);
    assert_int_equal(system(command), 0);
}

static bool is_ready(void *context)
{
    (void)context;
    teller_map(&teller);
    return teller.marks.table.file != NULL &&
           gray_mark_table_state(&teller.marks.table) == GRAY_TABLE_READY;
}

/* grayd is started and admits one; what it finds is in its journal when it ends. */
static void lived(const char *unit)
{
    host_open(&host);
    host_prepare(&host, &scope);
    teller_map(&teller);
    admitted(unit);
    host_close(&host);
}

/* The tmpfs is empty: only the journal knows. */
static void host_started_again(void)
{
    host_close(&host);
    assert_int_equal(gray_marks_drop(&host.folder, CART, true, NULL), 0);
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(waits_for(is_ready, NULL));
}

static enum gray_slot_state state_of(const char *unit)
{
    uint64_t value = teller_see(&teller, unit);

    assert_true(value != UINT64_MAX);
    return gray_slot_state(value);
}

static void what_a_lost_journal_had_is_in_the_new_one(void **state)
{
    struct written written;

    (void)state;
    begin(GRAY_DURABLE_STRICT);
    admitted("7");
    admitted("text");
    admitted("taken back");
    revoked("taken back");
    host_close(&host);
    shell("rm -r %s/marks%s", host.state, "");
    lived("9");
    host_written(&host, "7", &written);
    assert_int_equal(written.of_unit, 1);
    assert_int_equal(written.count, 4);
    assert_string_equal(written.actor, "grayd");
    host_started_again();
    assert_int_equal(state_of("7"), GRAY_SLOT_IN);
    assert_int_equal(state_of("text"), GRAY_SLOT_IN);
    assert_int_equal(state_of("taken back"), GRAY_SLOT_REVOKED);
    end();
}

static void put_back(void)
{
    folder_remove(host.state);
    assert_int_equal(rename(copy, host.state), 0);
}

static void what_an_older_copy_lacks_is_written_once(void **state)
{
    struct written written;

    (void)state;
    begin(GRAY_DURABLE_STRICT);
    admitted("7");
    admitted("taken back");
    host_close(&host);
    shell("cp -r %s %s", host.state, copy);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_map(&teller);
    admitted("8");
    admitted("text");
    revoked("taken back");
    host_close(&host);
    put_back();
    lived("9");
    host_written(&host, "7", &written);
    assert_int_equal(written.of_unit, 1); /* it had that */
    assert_int_equal(written.count, 6);   /* 2, 3 that it lacked, and one */
    lived("10");
    host_written(&host, "8", &written);
    assert_int_equal(written.of_unit, 1); /* nor twice */
    host_started_again();
    assert_int_equal(state_of("7"), GRAY_SLOT_IN);
    assert_int_equal(state_of("8"), GRAY_SLOT_IN);
    assert_int_equal(state_of("text"), GRAY_SLOT_IN);
    assert_int_equal(state_of("taken back"), GRAY_SLOT_REVOKED);
    end();
}

/* The last thing that the journal has of a unit is that it was taken back; it
 * is in again, in the next attempt, when grayd starts. */
static void who_came_in_again_is_not_taken_back_by_a_start(void **state)
{
    (void)state;
    begin(GRAY_DURABLE_ASYNC);
    teller_admit(&teller, "7", GRAY_SLOT_IN, false);
    assert_true(teller_waits(&teller, "7", GRAY_SLOT_IN, true));
    revoked("7");
    host_close(&host);
    teller.attempt = 2;
    scope.attempt = 2;
    teller_admit(&teller, "7", GRAY_SLOT_IN, false);
    host_open(&host);
    assert_int_equal(state_of("7"), GRAY_SLOT_IN);
    host_prepare(&host, &scope);
    assert_true(teller_waits(&teller, "7", GRAY_SLOT_IN, true));
    host_started_again();
    assert_int_equal(state_of("7"), GRAY_SLOT_IN);
    end();
}

/* Yesterday's last commit was of a unit that went on since. */
static void an_older_copys_last_commit_is_not_done_again(void **state)
{
    (void)state;
    begin(GRAY_DURABLE_STRICT);
    admitted("7");
    revoked("7");
    host_close(&host);
    shell("cp -r %s %s", host.state, copy);
    host_open(&host);
    scope.attempt = teller.attempt = 2;
    host_prepare(&host, &scope);
    teller_map(&teller);
    admitted("7");
    host_close(&host);
    put_back();
    lived("9");
    assert_int_equal(state_of("7"), GRAY_SLOT_IN);
    host_started_again();
    assert_int_equal(state_of("7"), GRAY_SLOT_IN);
    end();
}

static bool is_broken(void *context)
{
    (void)context;
    teller_map(&teller);
    return teller.marks.table.file != NULL &&
           gray_mark_table_state(&teller.marks.table) == GRAY_TABLE_BROKEN;
}

/* Nobody is asked of an empty table, now or after the next start; what comes
 * later knows nothing of that, and the journal may be put back. */
static void without_journal_and_table_nobody_is_known(void **state)
{
    struct marks_scope both[2];

    (void)state;
    begin(GRAY_DURABLE_STRICT);
    admitted("7");
    host_close(&host);
    shell("mv %s/marks %s", host.state, copy);
    assert_int_equal(gray_marks_drop(&host.folder, CART, true, NULL), 0);
    host.begun = true;
    for (int start = 0; start < 2; start++) {
        host_open(&host);
        host_prepare(&host, &scope);
        assert_true(is_broken(NULL));
        assert_int_equal(teller_see(&teller, "7"), UINT64_MAX);
        host_close(&host);
    }
    host_open(&host);
    both[0] = both[1] = scope;
    both[1].scope++;
    strcpy(both[1].name, "cart-3");
    assert_int_equal(marks_prepare(host.marks, both, 2, 8, NULL), 0);
    assert_int_equal(marks_prepare(host.marks, &both[1], 1, 8, NULL), 0);
    host_close(&host);
    shell("rm -r %s/marks%s", host.state, "");
    shell("mv %s %s/marks", copy, host.state);
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(waits_for(is_ready, NULL));
    assert_int_equal(state_of("7"), GRAY_SLOT_IN);
    end();
}

/* A journal that is made by the first start is no lost one. */
static void a_first_start_has_lost_nothing(void **state)
{
    (void)state;
    begin(GRAY_DURABLE_STRICT);
    host_close(&host);
    host.begun = true;
    scope.scope = CART;
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(is_ready(NULL));
    admitted("7");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_lost_journal_had_is_in_the_new_one),
        cmocka_unit_test(what_an_older_copy_lacks_is_written_once),
        cmocka_unit_test(who_came_in_again_is_not_taken_back_by_a_start),
        cmocka_unit_test(an_older_copys_last_commit_is_not_done_again),
        cmocka_unit_test(without_journal_and_table_nobody_is_known),
        cmocka_unit_test(a_first_start_has_lost_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
