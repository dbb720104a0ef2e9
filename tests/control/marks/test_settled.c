/* SPDX-License-Identifier: Apache-2.0
 * test_settled.c - units whose business is over.
 *
 * Why: the old version goes when nobody who began with it is left, so what is
 * counted must be what was said; and the mark must stay what it was, for an
 * update that comes after all is told the truth.  Said twice, said while grayd
 * is dead, read back from the journal, grown, taken back: it is the same bit.
 * Read next: control/marks/settled.c; test_settled_said.c (by programs).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/mark_slot.h"
#include "tests/control/marks/fixture.h"
#include "tests/runtime/folder.h"

#define MANY 3000

static struct host host;
static struct teller teller;
static struct marks_scope scope;

static void begin(void)
{
    scope = cart_scope(GRAY_DURABLE_ASYNC, GRAY_STICKY_ENTITY);
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

static const char *unit_of(int number)
{
    static char unit[24];

    snprintf(unit, sizeof(unit), "u%d", number);
    return unit;
}

static void told(const char *unit, enum gray_slot_state state)
{
    teller_admit(&teller, unit, state, false);
    assert_true(teller_waits(&teller, unit, state, true));
}

static void told_many(int count)
{
    for (int i = 0; i < count; i++) {
        teller_admit(&teller, unit_of(i), GRAY_SLOT_OUT, false);
    }
    for (int i = 0; i < count; i++) {
        assert_true(teller_waits(&teller, unit_of(i), GRAY_SLOT_OUT, true));
    }
}

static json_t *settle_all(const struct marks_unit *units, size_t count)
{
    struct gray_problem problem = {NULL, "", 0};
    json_t *answer = NULL;

    if (marks_settle(host.marks, CART, units, count, false, "alice", "closed",
                     &answer, &problem) != 0) {
        fail_msg("settle: %s: %s", problem.code, problem.sentence);
    }
    return answer;
}

static json_t *settle(const char *unit)
{
    struct marks_unit one = {unit, MARKS_EVERY_SPACE};

    return settle_all(&one, 1);
}

static json_int_t number_at(const json_t *object, const char *name)
{
    assert_true(json_is_integer(json_object_get(object, name)));
    return json_integer_value(json_object_get(object, name));
}

static void says(json_t *answer, int settled, int already, int unknown,
                 int refused)
{
    assert_int_equal(number_at(answer, "settled"), settled);
    assert_int_equal(number_at(answer, "already"), already);
    assert_int_equal(number_at(answer, "unknown"), unknown);
    assert_int_equal(number_at(answer, "refused"), refused);
    json_decref(answer);
}

static json_int_t counted(const char *what)
{
    json_t *status = marks_status(host.marks, CART, NULL);
    json_int_t number = number_at(status, what);

    json_decref(status);
    return number;
}

static bool is_settled(const char *unit)
{
    uint64_t value = teller_see(&teller, unit);

    assert_true(value != UINT64_MAX);
    return (value & GRAY_SLOT_SETTLED) != 0;
}

static bool is_ready(void *context)
{
    (void)context;
    teller_map(&teller);
    return teller.marks.table.file != NULL &&
           gray_mark_table_state(&teller.marks.table) == GRAY_TABLE_READY;
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

/* ---- what is told ---------------------------------------------------------------- */

static void it_stays_what_it_was_and_is_counted(void **state)
{
    struct written written;
    uint64_t before;

    (void)state;
    begin();
    told("out-1", GRAY_SLOT_OUT);
    told("out-2", GRAY_SLOT_OUT);
    told("in-1", GRAY_SLOT_IN);
    before = teller_see(&teller, "out-1");
    says(settle("out-1"), 1, 0, 0, 0);
    assert_int_equal(teller_see(&teller, "out-1"), before | GRAY_SLOT_SETTLED);
    assert_int_equal(gray_mark_of(teller.marks.table.file, before).state,
                     GRAY_MARK_OUT);
    assert_int_equal(
        gray_mark_of(teller.marks.table.file, before | GRAY_SLOT_SETTLED).state,
        GRAY_MARK_OUT);
    /* An IN is taken down as well, and changes no number of those outside. */
    says(settle("in-1"), 1, 0, 0, 0);
    assert_int_equal(gray_slot_state(teller_see(&teller, "in-1")),
                     GRAY_SLOT_IN);
    assert_int_equal(counted("out"), 2);
    assert_int_equal(counted("settled"), 1);
    assert_int_equal(counted("in"), 1);
    host_close(&host);
    host_written(&host, "out-1", &written);
    assert_int_equal(written.kinds[RECORD_SETTLE], 2);
    assert_int_equal(written.of_unit, 2);
    assert_int_equal(written.last.kind, RECORD_SETTLE);
    assert_int_equal(written.last.value, before | GRAY_SLOT_SETTLED);
    assert_string_equal(written.actor, "alice");
    assert_string_equal(written.reason, "closed");
    end();
}

static void said_again_it_is_nothing(void **state)
{
    struct marks_unit twice[] = {{"a", MARKS_EVERY_SPACE},
                                 {"a", MARKS_EVERY_SPACE},
                                 {"b", 0},
                                 {"b", 1}};
    struct written written;

    (void)state;
    begin();
    told("a", GRAY_SLOT_OUT);
    told("b", GRAY_SLOT_OUT);
    /* b has a mark in space 0, and none in space 1. */
    says(settle_all(twice, 4), 2, 1, 1, 0);
    says(settle_all(twice, 4), 0, 3, 1, 0);
    assert_int_equal(counted("settled"), 2);
    host_close(&host);
    host_written(&host, "a", &written);
    assert_int_equal(written.kinds[RECORD_SETTLE], 2);
    end();
}

static void who_is_not_known_is_said_and_not_invented(void **state)
{
    struct written written;
    json_t *answer, *status;
    json_int_t keys;

    (void)state;
    begin();
    told("known", GRAY_SLOT_OUT);
    status = marks_status(host.marks, CART, NULL);
    keys = number_at(json_object_get(status, "table"), "marks");
    json_decref(status);
    answer = settle("nobody");
    assert_string_equal(json_string_value(json_array_get(
                            json_object_get(answer, "unknownUnits"), 0)),
                        "nobody");
    says(answer, 0, 0, 1, 0);
    assert_int_equal(teller_see(&teller, "nobody"), 0);
    status = marks_status(host.marks, CART, NULL);
    assert_int_equal(number_at(json_object_get(status, "table"), "marks"),
                     keys);
    json_decref(status);
    /* It is asked for the first time later: like anybody. */
    told("nobody", GRAY_SLOT_IN);
    assert_false(is_settled("nobody"));
    host_close(&host);
    host_written(&host, "nobody", &written);
    assert_int_equal(written.kinds[RECORD_SETTLE], 0);
    end();
}

static void move(const char *unit, enum gray_slot_state to)
{
    struct gray_mark_key key = gray_mark_key(
        teller.marks.table.file, 0,
        (struct gray_str){unit, (uint32_t)strlen(unit)});
    uint64_t value = teller_see(&teller, unit), found;

    assert_int_equal(gray_mark_move(&teller.marks, key, value, to,
                                    GRAY_BY_WRITER, &found),
                     0);
}

static void what_is_damaged_or_not_durable_is_refused(void **state)
{
    json_t *answer;
    uint64_t found;

    (void)state;
    begin();
    told("held", GRAY_SLOT_OUT);
    move("held", GRAY_SLOT_HOLD);
    answer = settle("held");
    assert_string_equal(
        json_string_value(json_object_get(
            json_array_get(json_object_get(answer, "refusedUnits"), 0),
            "state")),
        "hold");
    says(answer, 0, 0, 0, 1);
    assert_int_equal(teller_see(&teller, "held"), GRAY_SLOT_HOLD);
    /* A slot whose record nobody has. */
    assert_int_equal(teller_take(&teller, "waits", GRAY_SLOT_PENDING, &found),
                     0);
    says(settle("waits"), 0, 0, 0, 1);
    assert_int_equal(teller_see(&teller, "waits") & GRAY_SLOT_SETTLED, 0);
    assert_int_equal(counted("settled"), 0);
    end();
}

static void a_dry_run_counts_and_changes_nothing(void **state)
{
    struct marks_unit units[] = {{"a", MARKS_EVERY_SPACE}, {"x", 0}};
    json_t *answer = NULL;

    (void)state;
    begin();
    told("a", GRAY_SLOT_OUT);
    assert_int_equal(marks_settle(host.marks, CART, units, 2, true, "a", "r",
                                  &answer, NULL),
                     0);
    says(answer, 1, 0, 1, 0);
    assert_false(is_settled("a"));
    assert_int_equal(counted("settled"), 0);
    end();
}

static void a_report_is_one_commit_a_batch(void **state)
{
    static struct marks_unit units[MANY];
    static char names[MANY][24];
    json_int_t before, after;
    json_t *status;

    (void)state;
    begin();
    told_many(MANY);
    for (int i = 0; i < MANY; i++) {
        memcpy(names[i], unit_of(i), sizeof(names[i]));
        units[i] = (struct marks_unit){names[i], 0};
    }
    status = marks_status(host.marks, 0, NULL);
    before = number_at(status, "commits");
    json_decref(status);
    says(settle_all(units, MANY), MANY, 0, 0, 0);
    status = marks_status(host.marks, 0, NULL);
    after = number_at(status, "commits");
    json_decref(status);
    assert_int_equal(after - before, (MANY + JOURNAL_BATCH_MAX - 1) /
                                         JOURNAL_BATCH_MAX);
    assert_int_equal(counted("settled"), MANY);
    end();
}

/* ---- what is kept ------------------------------------------------------------------ */

static void a_table_made_from_the_journal_has_it(void **state)
{
    uint64_t before;

    (void)state;
    begin();
    told("a", GRAY_SLOT_OUT);
    told("b", GRAY_SLOT_OUT);
    says(settle("a"), 1, 0, 0, 0);
    before = teller_see(&teller, "a");
    host_started_again();
    assert_int_equal(teller_see(&teller, "a"), before);
    assert_false(is_settled("b"));
    assert_int_equal(counted("out"), 2);
    assert_int_equal(counted("settled"), 1);
    says(settle("a"), 0, 1, 0, 0);
    end();
}

static bool has_grown(void *context)
{
    teller_map(&teller);
    return teller.number > *(uint32_t *)context && teller.marks.next.file == NULL;
}

static void a_table_that_grows_takes_it_along(void **state)
{
    uint32_t number;

    (void)state;
    begin();
    told("first", GRAY_SLOT_OUT);
    says(settle("first"), 1, 0, 0, 0);
    number = teller.number;
    host_close(&host);
    assert_int_equal(gray_marks_announce(&host.folder, CART, 0, (gid_t)-1,
                                         NULL),
                     0);
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(waits_for(has_grown, &number));
    assert_true(is_settled("first"));
    assert_int_equal(counted("settled"), 1);
    says(settle("first"), 0, 1, 0, 0);
    end();
}

static void shell(const char *format, const char *from, const char *to)
{
    char command[256];

    snprintf(command, sizeof(command), format, from, to);
    assert_int_equal(system(command), 0);
}

/* Yesterday's state folder is put back beside tables that live on. */
static void an_older_journal_is_told_of_it(void **state)
{
    struct written written;
    char copy[80];

    (void)state;
    begin();
    told("old", GRAY_SLOT_OUT);
    told("open", GRAY_SLOT_OUT);
    host_close(&host);
    snprintf(copy, sizeof(copy), "%s.old", host.state);
    shell("cp -r %s %s", host.state, copy);
    host_open(&host);
    host_prepare(&host, &scope);
    told("new", GRAY_SLOT_OUT);
    says(settle("old"), 1, 0, 0, 0);
    says(settle("new"), 1, 0, 0, 0);
    host_close(&host);
    folder_remove(host.state);
    assert_int_equal(rename(copy, host.state), 0);
    host_open(&host);
    host_prepare(&host, &scope);
    told("later", GRAY_SLOT_OUT);
    host_started_again();
    assert_true(is_settled("old"));
    assert_true(is_settled("new"));
    assert_false(is_settled("open"));
    assert_int_equal(counted("out"), 4);
    assert_int_equal(counted("settled"), 2);
    host_close(&host);
    host_written(&host, "old", &written);
    /* What the journal had of it is not said a second time. */
    assert_int_equal(written.kinds[RECORD_SETTLE], 1);
    assert_int_equal(written.kinds[RECORD_REPAIR], 1);
    end();
}

/* ---- what is shown ------------------------------------------------------------------- */

static void a_list_shows_each_once_and_the_open_ones_alone(void **state)
{
    json_t *page, *row;

    (void)state;
    begin();
    told("a", GRAY_SLOT_OUT);
    told("b", GRAY_SLOT_OUT);
    told("c", GRAY_SLOT_IN);
    says(settle("a"), 1, 0, 0, 0);
    page = marks_list(host.marks, CART, GRAY_SLOT_OUT, false, 0, 10, NULL);
    assert_int_equal(json_array_size(json_object_get(page, "marks")), 2);
    row = json_array_get(json_object_get(page, "marks"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "unit")), "a");
    assert_true(json_is_true(json_object_get(row, "settled")));
    /* Who made the mark what it is, and not who said that it is over. */
    assert_string_equal(json_string_value(json_object_get(row, "kind")),
                        "admit");
    json_decref(page);
    page = marks_list(host.marks, CART, GRAY_SLOT_OUT, true, 0, 10, NULL);
    assert_int_equal(json_array_size(json_object_get(page, "marks")), 1);
    row = json_array_get(json_object_get(page, "marks"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "unit")), "b");
    json_decref(page);
    page = marks_get(host.marks, CART, 0, "a", NULL);
    assert_true(json_is_true(json_object_get(page, "settled")));
    assert_string_equal(json_string_value(json_object_get(page, "state")),
                        "out");
    row = json_array_get(json_object_get(page, "history"), 1);
    assert_string_equal(json_string_value(json_object_get(row, "kind")),
                        "settle");
    assert_string_equal(json_string_value(json_object_get(row, "actor")),
                        "alice");
    json_decref(page);
    end();
}

/* ---- beside what else moves marks ------------------------------------------------------ */

static bool idle(void *context)
{
    (void)context;
    return !marks_busy(host.marks, CART);
}

static void revoke(enum marks_cohort cohort, uint64_t count)
{
    struct marks_revoke what = {.scope = CART, .cohort = cohort,
                                .count = count, .attempt = 1, .actor = "bob",
                                .reason = "no"};
    uint64_t id;

    assert_int_equal(marks_revoke(host.marks, &what, &id, NULL), 0);
    assert_true(waits_for(idle, NULL));
}

static void the_last_in_are_not_the_last_settled(void **state)
{
    (void)state;
    begin();
    told("first", GRAY_SLOT_IN);
    told("second", GRAY_SLOT_IN);
    told("third", GRAY_SLOT_IN);
    says(settle("third"), 1, 0, 0, 0);
    says(settle("first"), 1, 0, 0, 0);
    revoke(MARKS_NEWEST, 1);
    assert_int_equal(gray_slot_state(teller_see(&teller, "first")),
                     GRAY_SLOT_IN);
    assert_int_equal(gray_slot_state(teller_see(&teller, "second")),
                     GRAY_SLOT_IN);
    assert_int_equal(gray_slot_state(teller_see(&teller, "third")),
                     GRAY_SLOT_REVOKED);
    end();
}

static void an_abort_takes_settled_ones_back_as_well(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 50; i++) {
        told(unit_of(i), GRAY_SLOT_IN);
        if (i % 2 == 0) {
            says(settle(unit_of(i)), 1, 0, 0, 0);
        }
    }
    revoke(MARKS_ALL, 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(gray_slot_state(teller_see(&teller, unit_of(i))),
                         GRAY_SLOT_REVOKED);
    }
    /* A later attempt lets one in again, and then it is not over. */
    scope.attempt = 2;
    host_prepare(&host, &scope);
    teller.attempt = 2;
    told("u0", GRAY_SLOT_IN);
    assert_false(is_settled("u0"));
    end();
}

static void a_repair_opens_it_again(void **state)
{
    struct marks_put put = {"a", 0, GRAY_SLOT_IN, 1};
    json_t *answer = NULL;

    (void)state;
    begin();
    told("a", GRAY_SLOT_OUT);
    says(settle("a"), 1, 0, 0, 0);
    assert_int_equal(marks_put(host.marks, CART, &put, 1, true, "bob", "new",
                               &answer, NULL),
                     0);
    assert_int_equal(number_at(answer, "put"), 1);
    json_decref(answer);
    assert_int_equal(gray_slot_state(teller_see(&teller, "a")), GRAY_SLOT_IN);
    assert_false(is_settled("a"));
    host_started_again();
    assert_int_equal(gray_slot_state(teller_see(&teller, "a")), GRAY_SLOT_IN);
    assert_false(is_settled("a"));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_stays_what_it_was_and_is_counted),
        cmocka_unit_test(said_again_it_is_nothing),
        cmocka_unit_test(who_is_not_known_is_said_and_not_invented),
        cmocka_unit_test(what_is_damaged_or_not_durable_is_refused),
        cmocka_unit_test(a_dry_run_counts_and_changes_nothing),
        cmocka_unit_test(a_report_is_one_commit_a_batch),
        cmocka_unit_test(a_table_made_from_the_journal_has_it),
        cmocka_unit_test(a_table_that_grows_takes_it_along),
        cmocka_unit_test(an_older_journal_is_told_of_it),
        cmocka_unit_test(a_list_shows_each_once_and_the_open_ones_alone),
        cmocka_unit_test(the_last_in_are_not_the_last_settled),
        cmocka_unit_test(an_abort_takes_settled_ones_back_as_well),
        cmocka_unit_test(a_repair_opens_it_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
