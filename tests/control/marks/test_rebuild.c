/* SPDX-License-Identifier: Apache-2.0
 * test_rebuild.c - tables from the journal: kept, read again, held, broken.
 *
 * Why: after a restart of the host only the journal knows who was told what.
 * What it says of a unit must be what the table said; what it cannot say any
 * more must never read as a miss; and a damaged page must not take grayd with
 * it.
 * Read next: control/marks/rebuild.c, scopes.c, sweep.c.
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
#include "tests/runtime/folder.h"

#define MANY 200000
#define PAGE 4096

static struct host host;
static struct teller teller;
static struct marks_scope scope;

static void begin(uint8_t durability, uint8_t stickiness)
{
    scope = cart_scope(durability, stickiness);
    host_begin(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
}

static void end(void)
{
    teller_end(&teller);
    host_end(&host);
}

static const char *unit_of(uint32_t number)
{
    static char unit[24];

    snprintf(unit, sizeof(unit), number % 2 == 0 ? "%u" : "unit-%u", number);
    return unit;
}

/* Imports `count` units: each third OUT, the others IN. */
static void fill(uint32_t count)
{
    struct marks_put *puts = calloc(count, sizeof(*puts));
    char *units = malloc((size_t)count * 24);
    struct gray_problem problem = {NULL, "", 0};
    json_t *answer = NULL;

    for (uint32_t i = 0; i < count; i++) {
        strcpy(units + (size_t)i * 24, unit_of(i));
        puts[i].unit = units + (size_t)i * 24;
        puts[i].state = i % 3 == 0 ? GRAY_SLOT_OUT : GRAY_SLOT_IN;
        puts[i].variant = i % 2;
    }
    if (marks_put(host.marks, CART, puts, count, false, "t", "t", &answer,
                  &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    assert_int_equal(json_integer_value(json_object_get(answer, "put")),
                     count);
    json_decref(answer);
    free(units);
    free(puts);
}

static bool table_is(enum gray_table_state wanted)
{
    teller_map(&teller);
    return teller.marks.table.file != NULL &&
           gray_mark_table_state(&teller.marks.table) == wanted;
}

static bool is_ready(void *context)
{
    (void)context;
    return table_is(GRAY_TABLE_READY);
}

static bool is_broken(void *context)
{
    (void)context;
    return table_is(GRAY_TABLE_BROKEN);
}

/* The host is started again: its tmpfs is empty. */
static void restart_host(void)
{
    char state[64];

    host_close(&host);
    teller_end(&teller);
    strcpy(state, host.state);
    close(host.marks_fd);
    gray_folder_close(&host.folder);
    folder_remove(host.runtime);
    host_begin(&host);
    folder_remove(host.state);
    strcpy(host.state, state);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
}

static enum gray_slot_state state_of(uint32_t number)
{
    uint64_t value = teller_see(&teller, unit_of(number));

    assert_true(value != UINT64_MAX);
    return gray_slot_state(value);
}

static void all_marks_come_back_as_they_were(void **state)
{
    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
    fill(MANY);
    restart_host();
    assert_true(waits_for(is_ready, NULL));
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t value = teller_see(&teller, unit_of(i));

        assert_int_equal(gray_slot_state(value),
                         i % 3 == 0 ? GRAY_SLOT_OUT : GRAY_SLOT_IN);
        assert_true((value & GRAY_SLOT_DURABLE) != 0);
        assert_int_equal(gray_slot_variant(value), i % 2);
    }
    assert_int_equal(gray_mark_table_used(&teller.marks.table), MANY);
    /* And it goes on where it was. */
    teller_admit(&teller, "new", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "new", GRAY_SLOT_IN, true));
    end();
}

static void what_was_taken_back_comes_back_so(void **state)
{
    struct marks_revoke what = {.scope = CART, .cohort = MARKS_LISTED,
                                .attempt = 1, .actor = "a", .reason = "r"};
    struct written written;
    uint64_t id;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_ENTITY);
    fill(9);
    what.units = json_pack("[s]", "4");
    assert_int_equal(marks_revoke(host.marks, &what, &id, NULL), 0);
    json_decref((json_t *)(uintptr_t)what.units);
    assert_true(teller_waits(&teller, "4", GRAY_SLOT_REVOKED, true));
    restart_host();
    assert_true(waits_for(is_ready, NULL));
    assert_int_equal(state_of(4), GRAY_SLOT_REVOKED);
    assert_int_equal(state_of(2), GRAY_SLOT_IN);
    host_close(&host);
    host_written(&host, "4", &written);
    assert_int_equal(written.of_unit, 2);
    end();
}

static void a_table_of_this_journal_is_kept(void **state)
{
    uint32_t number;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
    fill(100);
    number = teller.number;
    host_close(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_map(&teller);
    assert_int_equal(teller.number, number);
    assert_int_equal(state_of(2), GRAY_SLOT_IN);
    end();
}

/* Another table in its place: nobody's, and read again from the journal. */
static void a_table_of_another_journal_is_not_believed(void **state)
{
    uint32_t number;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
    fill(100);
    host_close(&host);
    assert_int_equal(gray_marks_drop(&host.folder, CART, true, NULL), 0);
    assert_int_equal(gray_marks_ensure(&host.folder, CART, CART_NAME, 16, 7,
                                       NOW, (gid_t)-1, NULL),
                     0);
    teller_map(&teller);
    number = teller.number;
    teller_take(&teller, "stranger", GRAY_SLOT_IN, &(uint64_t){0});
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(waits_for(is_ready, NULL));
    assert_true(teller.number != number);
    assert_int_equal(state_of(2), GRAY_SLOT_IN);
    assert_int_equal(teller_see(&teller, "stranger"), 0);
    end();
}

/* A folder of `gray publish` has marks and no journal. */
static void marks_of_a_host_without_grayd_are_taken_over(void **state)
{
    struct written written;

    (void)state;
    scope = cart_scope(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    host_begin(&host);
    assert_int_equal(gray_marks_ensure(&host.folder, CART, CART_NAME, 16, 7,
                                       NOW, (gid_t)-1, NULL),
                     0);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    assert_int_equal(teller_take(&teller, "17", GRAY_SLOT_IN, &(uint64_t){0}),
                     0);
    assert_int_equal(teller_take(&teller, "text", GRAY_SLOT_IN,
                                 &(uint64_t){0}),
                     0);
    assert_int_equal(teller_take(&teller, "p", GRAY_SLOT_PENDING,
                                 &(uint64_t){0}),
                     0);
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(teller_waits(&teller, "17", GRAY_SLOT_IN, true));
    assert_true(teller_waits(&teller, "p", GRAY_SLOT_EMPTY, false));
    host_close(&host);
    host_written(&host, "17", &written); /* a number is its key */
    assert_int_equal(written.count, 2);
    assert_int_equal(written.of_unit, 1);
    host_written(&host, "", &written); /* a text was never known */
    assert_int_equal(written.of_unit, 1);
    end();
}

/* ---- damage -------------------------------------------------------------------- */

static void data_path(char path[128])
{
    snprintf(path, 128, "%s/marks/data.mdb", host.state);
}

/* Finds the record of a unit in the file and changes one of its bytes: the
 * `at`-th of its head, or (128 and on) of its texts. */
static void damage(const char *unit, size_t at)
{
    char path[128];
    struct stat status;
    char *bytes, *found;
    int fd;

    data_path(path);
    fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &status), 0);
    bytes = malloc((size_t)status.st_size);
    assert_int_equal(pread(fd, bytes, (size_t)status.st_size, 0),
                     status.st_size);
    found = memmem(bytes, (size_t)status.st_size, unit, strlen(unit));
    assert_non_null(found);
    while (found != NULL) { /* wherever LMDB has a copy of its page */
        char *byte = at < 128 ? found - sizeof(struct record_head) + at
                              : found + at - 128;
        char changed = (char)(*byte ^ 0x40);

        assert_int_equal(pwrite(fd, &changed, 1, byte - bytes), 1);
        found = memmem(found + 1, (size_t)(bytes + status.st_size - found - 1),
                       unit, strlen(unit));
    }
    free(bytes);
    close(fd);
}

static void repair(const char *unit)
{
    struct marks_put one = {unit, 0, GRAY_SLOT_IN, 0};
    json_t *answer = NULL;

    assert_int_equal(marks_put(host.marks, CART, &one, 1, true, "a", "seen in "
                               "the order itself", &answer, NULL),
                     0);
    assert_int_equal(json_integer_value(json_object_get(answer, "put")), 1);
    json_decref(answer);
}

static void a_damaged_record_holds_its_unit_and_nobody_else(void **state)
{
    static const size_t places[] = {
        offsetof(struct record_head, value),
        offsetof(struct record_head, key),
        offsetof(struct record_head, checksum),
        128, /* of its unit */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
        fill(9000); /* the end of the log is checked before */
        host_close(&host);
        damage("unit-4321", places[i]);
        restart_host();
        assert_true(waits_for(is_ready, NULL));
        assert_int_equal(state_of(4321), GRAY_SLOT_HOLD);
        for (uint32_t n = 0; n < 9000; n++) {
            assert_int_equal(state_of(n), n == 4321      ? GRAY_SLOT_HOLD
                                          : n % 3 == 0 ? GRAY_SLOT_OUT
                                                       : GRAY_SLOT_IN);
        }
        repair("unit-4321");
        restart_host();
        assert_true(waits_for(is_ready, NULL));
        assert_int_equal(state_of(4321), GRAY_SLOT_IN);
        end();
    }
}

/* Damage in key and unit at once: whose mark is it? */
static void a_record_of_nobody_knows_whom_makes_all_unknown(void **state)
{
    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
    fill(9000);
    host_close(&host);
    damage("unit-4321", offsetof(struct record_head, key));
    damage("unit-4321", 128 + 8);
    restart_host();
    assert_true(waits_for(is_broken, NULL));
    assert_int_equal(teller_see(&teller, "2"), UINT64_MAX);
    /* It is not made good by starting again, and takes no new marks. */
    restart_host();
    assert_true(waits_for(is_broken, NULL));
    end();
}

/* Whose marks stood in a record that is gone? */
static void a_record_that_is_gone_makes_all_unknown(void **state)
{
    struct journal journal = {.lock_fd = -1};
    uint64_t sequence = 100;
    MDB_val key = {sizeof(sequence), &sequence};
    MDB_txn *txn;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
    fill(9000);
    host_close(&host);
    assert_int_equal(journal_open(&journal, host.state, 0, NULL), 0);
    assert_int_equal(mdb_txn_begin(journal.env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_del(txn, journal.log, &key, NULL), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    journal_close(&journal);
    restart_host();
    assert_true(waits_for(is_broken, NULL));
    end();
}

static void pages_overwrite(size_t from, size_t step, int byte)
{
    char path[128], page[PAGE];
    struct stat status;
    int fd;

    data_path(path);
    fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &status), 0);
    memset(page, byte, sizeof(page));
    for (size_t at = from; at < (size_t)status.st_size / PAGE; at += step) {
        assert_int_equal(pwrite(fd, page, PAGE, (off_t)(at * PAGE)), PAGE);
    }
    close(fd);
}

/* Whatever stands in the file, grayd lives and nobody reads as a miss. */
static void a_damaged_page_takes_nobody_with_it(void **state)
{
    static const struct {
        size_t from, step;
        int byte;
    } kinds[] = {{2, 1, 0},  {2, 1, 0xff}, {20, 1000000, 0},
                 {20, 1000000, 0xff}, {0, 1, 0x5a}, {7, 13, 0x41}};

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
        fill(20000);
        host_close(&host);
        pages_overwrite(kinds[i].from, kinds[i].step, kinds[i].byte);
        /* With the folder as it is, who is in is served. */
        host_open(&host);
        marks_prepare(host.marks, &scope, 1, 8, NULL);
        teller_map(&teller);
        assert_int_equal(state_of(2), GRAY_SLOT_IN);
        host_close(&host);
        /* Without it nobody knows. */
        assert_int_equal(gray_marks_drop(&host.folder, CART, true, NULL), 0);
        host_open(&host);
        marks_prepare(host.marks, &scope, 1, 9, NULL);
        teller_map(&teller);
        if (teller.marks.table.file != NULL) {
            assert_true(waits_for(is_broken, NULL));
            assert_int_equal(teller_see(&teller, "2"), UINT64_MAX);
        } else {
            assert_int_equal(marks_writer(host.marks), GRAY_WRITER_FAILED);
        }
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_marks_come_back_as_they_were),
        cmocka_unit_test(what_was_taken_back_comes_back_so),
        cmocka_unit_test(a_table_of_this_journal_is_kept),
        cmocka_unit_test(a_table_of_another_journal_is_not_believed),
        cmocka_unit_test(marks_of_a_host_without_grayd_are_taken_over),
        cmocka_unit_test(a_damaged_record_holds_its_unit_and_nobody_else),
        cmocka_unit_test(a_record_of_nobody_knows_whom_makes_all_unknown),
        cmocka_unit_test(a_record_that_is_gone_makes_all_unknown),
        cmocka_unit_test(a_damaged_page_takes_nobody_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
