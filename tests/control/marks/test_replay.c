/* SPDX-License-Identifier: Apache-2.0
 * test_replay.c - marks that a plan asks, and when that ends early.
 *
 * Why: "exactly 1,000 units" is believed and acted on, so what was not looked
 * at, by time, by damage, by a name that is lost, must be said.
 * Read next: control/marks/replay.c, policy/standing.h.
 */
#include <fcntl.h>
#include <unistd.h>

#include "tests/policy/read_policy.h"

#include "policy/standing.h"
#include "tests/control/marks/fixture.h"

#define MANY 3000
#define LONG_MS 60000

static struct host host;
static struct teller teller;
static struct gray_model *before, *after;

static const char *unit_of(int number)
{
    static char unit[24];

    snprintf(unit, sizeof(unit), number % 2 == 0 ? "%d" : "u%d", number);
    return unit;
}

/* Units of all tails but 0 are kept. */
static void begin(void)
{
    struct marks_scope scope =
        cart_scope(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);

    host_begin(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    before = read_good(SERVICE RELEASE
                       "admission: {share: 100, match: [{idTail: ['0', '1', "
                       "'2', '3', '4', '5', '6', '7', '8', '9']}]}\n");
    after = read_good(SERVICE RELEASE
                      "admission: {share: 100, match: [{idTail: ['1', '2', "
                      "'3', '4', '5', '6', '7', '8', '9']}]}\n");
    for (int i = 0; i < MANY; i++) {
        teller_admit(&teller, unit_of(i),
                     i % 100 == 50 ? GRAY_SLOT_OUT : GRAY_SLOT_IN, false);
    }
    for (int i = 0; i < MANY; i++) {
        assert_true(teller_waits(&teller, unit_of(i),
                                 i % 100 == 50 ? GRAY_SLOT_OUT : GRAY_SLOT_IN,
                                 true));
    }
}

static void end(void)
{
    gray_model_free(before);
    gray_model_free(after);
    teller_end(&teller);
    host_end(&host);
}

static enum gray_counted replay(int64_t bound_ms, struct gray_tally *ret_tally,
                                char why[160])
{
    static const char *const tails[] = {"0"};
    struct exact_question question = {before, after, &before->releases[0],
                                      &after->releases[0], 0};
    struct gray_standing *standing = gray_standing_open(&question, tails, 1);
    enum gray_counted counted;

    assert_non_null(standing);
    memset(ret_tally, 0, sizeof(*ret_tally));
    why[0] = '\0';
    counted =
        marks_replay(host.marks, CART, standing, bound_ms, ret_tally, why);
    gray_standing_close(standing);
    return counted;
}

static void every_mark_that_is_in_is_asked(void **state)
{
    struct gray_tally tally;
    char why[160];

    (void)state;
    begin();
    assert_int_equal(replay(LONG_MS, &tally, why), GRAY_COUNTED_EXACT);
    assert_int_equal(tally.marks, MANY - MANY / 100);
    assert_int_equal(tally.drops, MANY / 10 - MANY / 100);
    assert_int_equal(tally.by_tail[0], tally.drops);
    assert_int_equal(tally.others + tally.at_once, 0);
    assert_string_equal(tally.examples[0], "0");
    end();
}

static bool idle(void *context)
{
    (void)context;
    return !marks_busy(host.marks, CART);
}

static void who_was_taken_back_is_not(void **state)
{
    struct marks_revoke what = {.scope = CART, .cohort = MARKS_NEWEST,
                                .count = 100, .attempt = 1, .actor = "alice",
                                .reason = "r"};
    struct gray_problem problem = {NULL, "", 0};
    struct gray_tally tally;
    uint64_t id;
    char why[160];

    (void)state;
    begin();
    assert_int_equal(marks_revoke(host.marks, &what, &id, &problem), 0);
    assert_true(waits_for(idle, NULL));
    assert_int_equal(replay(LONG_MS, &tally, why), GRAY_COUNTED_EXACT);
    assert_int_equal(tally.marks, MANY - MANY / 100 - 100);
    end();
}

static void what_there_was_no_time_for_is_said(void **state)
{
    struct gray_tally tally;
    char why[160];

    (void)state;
    begin();
    assert_int_equal(replay(-1, &tally, why), GRAY_COUNTED_AT_LEAST);
    assert_true(tally.marks > 500 && tally.marks < MANY / 2);
    assert_non_null(strstr(why, "time"));
    end();
}

static void a_damaged_journal_is_no_number(void **state)
{
    struct marks_scope scope =
        cart_scope(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    struct gray_tally tally;
    char why[160], path[128], page[4096];
    int fd;

    (void)state;
    begin();
    host_close(&host);
    snprintf(path, sizeof(path), "%s/marks/data.mdb", host.state);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    memset(page, 0xff, sizeof(page));
    for (off_t at = 2 * 4096; at < lseek(fd, 0, SEEK_END); at += 4096) {
        assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
    }
    close(fd);
    host_open(&host);
    marks_prepare(host.marks, &scope, 1, 8, NULL);
    assert_int_equal(replay(LONG_MS, &tally, why), GRAY_COUNTED_NONE);
    assert_true(why[0] != '\0');
    end();
}

static void a_scope_without_marks_is_no_number(void **state)
{
    struct exact_question question = {NULL, NULL, NULL, NULL, 0};
    struct gray_standing *standing;
    struct gray_tally tally = {0};
    char why[160] = "";

    (void)state;
    begin();
    question = (struct exact_question){before, after, &before->releases[0],
                                       &after->releases[0], 0};
    standing = gray_standing_open(&question, NULL, 0);
    assert_int_equal(marks_replay(host.marks, CART + 1, standing, LONG_MS,
                                  &tally, why),
                     GRAY_COUNTED_NONE);
    assert_non_null(strstr(why, "no marks"));
    gray_standing_close(standing);
    end();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mark_that_is_in_is_asked),
        cmocka_unit_test(who_was_taken_back_is_not),
        cmocka_unit_test(what_there_was_no_time_for_is_said),
        cmocka_unit_test(a_damaged_journal_is_no_number),
        cmocka_unit_test(a_scope_without_marks_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
