/* SPDX-License-Identifier: Apache-2.0
 * test_sync.c - every write and every sync fails once.
 *
 * Why: a sync that failed and is simply tried again says yes and lies.  So
 * after any failure but "full" the store takes no commit until it is opened
 * anew, and then has all that was acknowledged, at most one commit more.  The
 * n-th call fails, for every n.
 * Read next: calls.h, control/store/sqlite_commit.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/store/calls.h"
#include "tests/control/store/fixture.h"

static struct {
    int calls;  /* which are counted */
    int left;   /* until one fails; below 0: none will */
    int error;
    bool fired;
} fault = { .left = -1 };

static void arm(int calls, int n, int error)
{
    fault.calls = calls;
    fault.left = n;
    fault.error = error;
    fault.fired = false;
}

static bool disarm(void)
{
    fault.left = -1;
    return fault.fired;
}

static bool fails(enum call call)
{
    if (fault.left < 0 || (fault.calls & call) == 0 || fault.left-- > 0) {
        return false;
    }
    fault.fired = true;
    errno = fault.error;
    return true;
}

/* Opens anew: all that was acknowledged, at most one commit more. */
static void all_is_there(const struct place *place, uint64_t acknowledged)
{
    struct store *store = store_new(place);
    struct store_reader *reader = reader_new(place);
    struct store_head head = head_of(reader);
    struct seen seen = { .count = 0 };

    assert_true(head.revision == acknowledged ||
                head.revision == acknowledged + 1);
    assert_int_equal(head.audit_sequence, head.revision);
    if (head.revision > 0) {
        assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "Release/a",
                                         0, seen_visit, &seen, NULL),
                         0);
        assert_int_equal(seen.items[0].revision, head.revision);
    }
    document_put_well(store, head.revision, "Release/a", "more");
    store_reader_close(reader);
    store_close(store);
}

/* After a failing commit: "full" lets the next one through, all else stops
 * the store. */
static void after_failure(struct store *store, uint64_t revision, int error,
                          uint64_t *acknowledged)
{
    struct gray_problem problem = { NULL, "", 0 };

    if (error == -ENOSPC) {
        document_put_well(store, revision, "Release/a", "again");
        *acknowledged = revision + 1;
        return;
    }
    assert_int_equal(error, -EIO);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(document_put(store, revision, "Release/a", "again",
                                      &problem),
                         -EIO);
        assert_string_equal(problem.code, "store-failed");
        assert_non_null(strstr(problem.sentence, "opened anew"));
    }
}

/* Commits `text` three times while the n-th call fails; whether one did. */
static bool commits_meet(int calls, int n, int error, const char *text,
                         uint32_t *ret_stopped)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct place place;
    struct store *store;
    uint64_t revision, acknowledged = 1;
    bool fired;
    int failed = 0;

    place_new(&place);
    store = store_new(&place);
    document_put_well(store, 0, "Release/a", "first");
    arm(calls, n, error);
    for (revision = 1; revision < 4 && failed == 0; revision++) {
        failed = document_put(store, revision, "Release/a", text, &problem);
        acknowledged += failed == 0 ? 1 : 0;
    }
    fired = disarm();
    if (failed != 0) {
        assert_true(fired);
        assert_string_equal(problem.code, "store-failed");
        *ret_stopped += failed == -EIO ? 1 : 0;
        after_failure(store, revision - 1, failed, &acknowledged);
    }
    store_close(store);
    all_is_there(&place, acknowledged);
    place_remove(&place);
    return fired;
}

static void a_commit_meets_every_failure(void **state)
{
    static char text[3 * 4096];
    static const int errors[] = { EIO, ENOSPC };
    uint32_t stopped[2] = { 0, 0 }, fired = 0, i;
    int n;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    for (i = 0; i < 2; i++) {
        for (n = 0; commits_meet(WRITES | SYNCS, n, errors[i], text,
                                 &stopped[i]);
             n++) {
            fired++;
        }
    }
    print_message("%u failures, %u with EIO and %u with ENOSPC stopped the "
                  "store\n",
                  fired, stopped[0], stopped[1]);
    assert_true(fired > 60 && stopped[0] > 20);
    assert_true(stopped[1] > 0 && stopped[1] < 8); /* syncs that say "full" */
}

/* Long enough that each commit moves the log into the database. */
static void a_checkpoint_meets_failing_syncs(void **state)
{
    size_t size = 1100 * 4096;
    char *text = malloc(size);
    uint32_t stopped = 0, fired = 0;
    int n;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', size - 1);
    text[size - 1] = '\0';
    for (n = 0; commits_meet(SYNCS, n, EIO, text, &stopped); n++) {
        fired++;
    }
    print_message("%u failing syncs, %u stopped the store\n", fired, stopped);
    assert_true(fired >= 6 && stopped >= 5);
    free(text);
}

/* Opening, with or without a log of a dead grayd, and closing. */
static void opening_and_closing_meet_every_failure(void **state)
{
    static const int errors[] = { EIO, ENOSPC };
    uint32_t refused = 0, fired = 0, i, n;
    bool more = true;

    (void)state;
    for (i = 0; i < 2; i++, more = true) {
        for (n = 0; more; n++) {
            struct gray_problem problem = { NULL, "", 0 };
            struct store *store = NULL;
            struct place place;
            int error;

            place_new(&place);
            arm(WRITES | SYNCS, (int)n, errors[i]);
            error = store_open(&store, place.store, &problem);
            if (error == 0) {
                error = document_put(store, 0, "Release/a", "1", &problem);
            }
            store_close(store);
            more = disarm();
            fired += more ? 1 : 0;
            if (error != 0) {
                refused++;
                assert_true(error == -EIO || error == -ENOSPC);
                assert_string_equal(problem.code, "store-failed");
            }
            all_is_there(&place, error == 0 ? 1 : 0);
            place_remove(&place);
        }
    }
    print_message("%u failures, %u refused\n", fired, refused);
    assert_true(fired > 40 && refused > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_meets_every_failure),
        cmocka_unit_test(a_checkpoint_meets_failing_syncs),
        cmocka_unit_test(opening_and_closing_meet_every_failure),
    };

    call_watch.fails = fails;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
