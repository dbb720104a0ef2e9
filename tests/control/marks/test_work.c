/* SPDX-License-Identifier: Apache-2.0
 * test_work.c - marks taken back, put right and looked at.
 *
 * Why: whatever is not a decision of a reader is a record with an actor and a
 * reason, once; and what people are shown is what stands.
 * Read next: control/marks/work.c, put.c, look.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/marks/fixture.h"

#define MANY 3000

static struct host host;
static struct teller teller;

static void begin(uint8_t durability, uint8_t stickiness)
{
    struct marks_scope scope = cart_scope(durability, stickiness);

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

static uint32_t bucket_of(const char *unit)
{
    return gray_bucket((struct gray_str){"salt", 4},
                       (struct gray_str){unit, (uint32_t)strlen(unit)});
}

static void admit_many(int count)
{
    for (int i = 0; i < count; i++) {
        teller_admit(&teller, unit_of(i), GRAY_SLOT_IN, false);
    }
    for (int i = 0; i < count; i++) {
        assert_true(teller_waits(&teller, unit_of(i), GRAY_SLOT_IN, true));
    }
}

static bool idle(void *context)
{
    (void)context;
    return !marks_busy(host.marks, CART);
}

static void revoke(struct marks_revoke what)
{
    struct gray_problem problem = {NULL, "", 0};
    uint64_t id = 0;

    what.scope = CART;
    what.attempt = 1;
    what.actor = "alice";
    what.reason = "it was wrong";
    if (marks_revoke(host.marks, &what, &id, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    assert_true(id > 0);
    assert_true(waits_for(idle, NULL));
}

static bool is_in(const char *unit)
{
    return gray_slot_state(teller_see(&teller, unit)) == GRAY_SLOT_IN;
}

static json_int_t number_at(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void an_abort_takes_every_mark_back_with_who_and_why(void **state)
{
    struct gray_problem problem = {NULL, "", 0};
    struct written written;
    json_t *status;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    admit_many(MANY);
    revoke((struct marks_revoke){.cohort = MARKS_ALL});
    status = marks_status(host.marks, CART, &problem);
    assert_int_equal(number_at(status, "in"), 0);
    assert_int_equal(number_at(status, "revoked"), MANY);
    assert_int_equal(number_at(status, "notDurable"), 0);
    assert_int_equal(number_at(status, "queued"), 0);
    json_decref(status);
    host_close(&host);
    host_written(&host, "u17", &written);
    assert_int_equal(written.kinds[RECORD_ADMIT], MANY);
    assert_int_equal(written.kinds[RECORD_REVOKE], MANY);
    assert_int_equal(written.of_unit, 2);
    assert_string_equal(written.actor, "alice");
    assert_string_equal(written.reason, "it was wrong");
    assert_int_equal(gray_slot_attempt(written.last.value), 1);
    end();
}

static void a_retreat_by_share_takes_those_above_it(void **state)
{
    uint32_t above = 0;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    admit_many(MANY);
    revoke((struct marks_revoke){.cohort = MARKS_OLDER_BUCKETS,
                                 .share = 300000,
                                 .salt = "salt"});
    for (int i = 0; i < MANY; i++) {
        bool low = bucket_of(unit_of(i)) < 300000;

        assert_int_equal(is_in(unit_of(i)), low);
        above += low ? 0 : 1;
    }
    assert_true(above > MANY / 2 && above < MANY);
    end();
}

static void a_retreat_of_the_newest_takes_so_many_and_no_others(void **state)
{
    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    admit_many(MANY);
    revoke((struct marks_revoke){.cohort = MARKS_NEWEST, .count = 1000});
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(is_in(unit_of(i)), i < MANY - 1000);
    }
    /* The same again: those that are gone are not counted. */
    revoke((struct marks_revoke){.cohort = MARKS_NEWEST, .count = 500});
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(is_in(unit_of(i)), i < MANY - 1500);
    }
    end();
}

static void a_retreat_of_a_list_takes_these_and_they_come_back_by_attempt(
    void **state)
{
    json_t *units = json_pack("[s,s,s]", "u1", "nobody", "u3");
    uint64_t found = 0, value;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    admit_many(5);
    revoke((struct marks_revoke){.cohort = MARKS_LISTED, .units = units});
    json_decref(units);
    assert_true(is_in("u0") && is_in("u2") && is_in("u4"));
    assert_false(is_in("u1") || is_in("u3"));
    assert_int_equal(teller_see(&teller, "nobody"), 0);
    /* In the attempt that ended nobody comes back; in the next one he does. */
    assert_int_equal(teller_push(&teller, "u1", GRAY_SLOT_IN, GRAY_SLOT_IN),
                     0);
    assert_int_equal(teller_take(&teller, "u1", GRAY_SLOT_IN, &found), 1);
    assert_int_equal(gray_slot_state(found), GRAY_SLOT_REVOKED);
    value = gray_mark_value(teller.marks.table.file, GRAY_SLOT_IN, 2, 0, 7,
                            NOW);
    assert_int_equal(
        gray_mark_take(&teller.marks,
                       gray_mark_key(teller.marks.table.file, 0,
                                     (struct gray_str){"u1", 2}),
                       value, &found),
        0);
    end();
}

static json_t *put(const struct marks_put *puts, size_t count, bool repair)
{
    struct gray_problem problem = {NULL, "", 0};
    json_t *answer = NULL;

    if (marks_put(host.marks, CART, puts, count, repair, "bob", "data first",
                  &answer, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    return answer;
}

static void an_import_puts_where_nothing_is_and_names_what_differs(void **state)
{
    static struct marks_put puts[MANY];
    static char units[MANY][8];
    struct written written;
    json_t *answer, *conflict;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
    teller_admit(&teller, "u5", GRAY_SLOT_OUT, true);
    teller_admit(&teller, "u6", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "u6", GRAY_SLOT_IN, true));
    for (int i = 0; i < MANY; i++) {
        snprintf(units[i], sizeof(units[i]), "u%d", i);
        puts[i] = (struct marks_put){units[i], 0, GRAY_SLOT_IN, 1};
    }
    answer = put(puts, MANY, false);
    assert_int_equal(number_at(answer, "put"), MANY - 2);
    assert_int_equal(number_at(answer, "same"), 1);
    assert_int_equal(json_array_size(json_object_get(answer, "conflicts")), 1);
    conflict = json_array_get(json_object_get(answer, "conflicts"), 0);
    assert_string_equal(
        json_string_value(json_object_get(conflict, "unit")), "u5");
    assert_string_equal(
        json_string_value(json_object_get(conflict, "state")), "out");
    json_decref(answer);
    assert_true((teller_see(&teller, "u2999") & GRAY_SLOT_DURABLE) != 0);
    answer = put(puts, MANY, false);
    assert_int_equal(number_at(answer, "put"), 0);
    assert_int_equal(number_at(answer, "same"), MANY - 1);
    json_decref(answer);
    host_close(&host);
    host_written(&host, "u7", &written);
    assert_int_equal(written.kinds[RECORD_IMPORT], MANY - 2);
    assert_string_equal(written.actor, "bob");
    end();
}

static void a_repair_lets_in_who_was_outside_and_flips_nobody_out(void **state)
{
    struct marks_put in = {"o", 0, GRAY_SLOT_IN, 0};
    struct marks_put out = {"o", 0, GRAY_SLOT_OUT, 0};
    struct written written;
    json_t *answer;

    (void)state;
    begin(GRAY_DURABLE_STRICT, GRAY_STICKY_ENTITY);
    teller_admit(&teller, "o", GRAY_SLOT_OUT, true);
    assert_true(teller_waits(&teller, "o", GRAY_SLOT_OUT, true));
    answer = put(&in, 1, false);
    assert_int_equal(number_at(answer, "put"), 0);
    json_decref(answer);
    answer = put(&in, 1, true);
    assert_int_equal(number_at(answer, "put"), 1);
    json_decref(answer);
    assert_true(is_in("o"));
    answer = put(&out, 1, true); /* no such move: mark_moves.def */
    assert_int_equal(number_at(answer, "put"), 0);
    json_decref(answer);
    assert_true(is_in("o"));
    host_close(&host);
    host_written(&host, "o", &written);
    assert_int_equal(written.kinds[RECORD_REPAIR], 1);
    end();
}

static void what_is_shown_is_what_stands_with_its_history(void **state)
{
    struct gray_problem problem = {NULL, "", 0};
    json_t *units = json_pack("[s]", "u2"), *answer, *history, *rows;
    json_int_t next;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    admit_many(5);
    revoke((struct marks_revoke){.cohort = MARKS_LISTED, .units = units});
    json_decref(units);
    answer = marks_get(host.marks, CART, 0, "u2", &problem);
    assert_non_null(answer);
    assert_string_equal(json_string_value(json_object_get(answer, "state")),
                        "revoked");
    assert_true(json_is_true(json_object_get(answer, "durable")));
    history = json_object_get(answer, "history");
    assert_int_equal(json_array_size(history), 2);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(history, 0), "reason")),
                        "share");
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(history, 1), "actor")),
                        "alice");
    json_decref(answer);
    answer = marks_get(host.marks, CART, 0, "nobody", &problem);
    assert_string_equal(json_string_value(json_object_get(answer, "state")),
                        "absent");
    json_decref(answer);
    answer = marks_list(host.marks, CART, GRAY_SLOT_IN, false, 0, 3, &problem);
    rows = json_object_get(answer, "marks");
    assert_int_equal(json_array_size(rows), 3);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(rows, 2), "unit")),
                        "u3");
    next = number_at(answer, "next");
    json_decref(answer);
    answer = marks_list(host.marks, CART, GRAY_SLOT_IN, false,
                        (uint64_t)next, 3, &problem);
    rows = json_object_get(answer, "marks");
    assert_int_equal(json_array_size(rows), 1);
    assert_int_equal(number_at(answer, "next"), 0);
    json_decref(answer);
    answer = marks_list(host.marks, CART, 0, false, 0, 100, &problem);
    assert_int_equal(json_array_size(json_object_get(answer, "marks")), 5);
    json_decref(answer);
    assert_null(marks_status(host.marks, CART + 1, &problem));
    answer = marks_status(host.marks, 0, &problem);
    assert_string_equal(json_string_value(json_object_get(answer, "writer")),
                        "ok");
    json_decref(answer);
    end();
}

static void names_longer_than_a_record_has_room_for_are_refused(void **state)
{
    static char actor[RECORD_WORDS_MAX + 2], unit[GRAY_VALUE_MAX + 2];
    struct marks_put one = {unit, 0, GRAY_SLOT_IN, 0};
    struct marks_revoke what = {.scope = CART, .cohort = MARKS_ALL,
                                .actor = actor, .reason = ""};
    struct gray_problem problem = {NULL, "", 0};
    json_t *answer = NULL;
    uint64_t id;

    (void)state;
    begin(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    memset(actor, 'a', sizeof(actor) - 2);
    memset(unit, 'u', sizeof(unit) - 2);
    assert_int_equal(marks_revoke(host.marks, &what, &id, &problem), 0);
    assert_int_equal(marks_put(host.marks, CART, &one, 1, false, actor, "r",
                               &answer, &problem),
                     0);
    json_decref(answer);
    assert_true(is_in(unit));
    unit[GRAY_VALUE_MAX] = 'u';
    assert_int_equal(marks_put(host.marks, CART, &one, 1, false, "a", "r",
                               &answer, &problem),
                     -EINVAL);
    actor[RECORD_WORDS_MAX] = 'a';
    assert_int_equal(marks_revoke(host.marks, &what, &id, &problem), -EINVAL);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_abort_takes_every_mark_back_with_who_and_why),
        cmocka_unit_test(a_retreat_by_share_takes_those_above_it),
        cmocka_unit_test(a_retreat_of_the_newest_takes_so_many_and_no_others),
        cmocka_unit_test(
            a_retreat_of_a_list_takes_these_and_they_come_back_by_attempt),
        cmocka_unit_test(
            an_import_puts_where_nothing_is_and_names_what_differs),
        cmocka_unit_test(a_repair_lets_in_who_was_outside_and_flips_nobody_out),
        cmocka_unit_test(what_is_shown_is_what_stands_with_its_history),
        cmocka_unit_test(names_longer_than_a_record_has_room_for_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
