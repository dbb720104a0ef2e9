/* SPDX-License-Identifier: Apache-2.0
 * test_killed.c - grayd is killed at any moment and has forgotten nothing that
 * it acknowledged.
 *
 * Why: a child commits in a loop and tells each acknowledged revision through
 * a pipe, until a timer of its own kills it after a random number of
 * nanoseconds.  Then a reader beside the dead store, and the store opened
 * anew, must have all that was told, at most one commit more, each whole, and
 * an audit without a gap.
 * Read next: control/store/sqlite_commit.c, sqlite_note.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/store/fixture.h"

#define KILLS 200u
#define NS_MAX 12000000u /* of a child's life, or of its life once it commits */
#define PAD 3000u        /* so that the log is moved to the database often */

/* Revision n: both items say n, one audit record, one effect, and the effect
 * of revision n - 1 is done. */
static int commit_one(struct store *store, uint64_t before,
                      uint64_t *ret_revision)
{
    static char text[PAD];
    char record[64], kind[24];
    struct store_put puts[2] = { { STORE_DOCUMENT, "a", text, PAD - 1 },
                                 { STORE_RELEASE, "b", text, PAD - 1 } };
    struct store_audit audit;
    struct store_effect effect = { kind, "{}" };
    struct store_batch batch = { .at = (int64_t)before,
                                 .expected_revision = before,
                                 .puts = puts, .put_count = 2,
                                 .audits = &audit, .audit_count = 1,
                                 .effects = &effect, .effect_count = 1,
                                 .effects_done = &before,
                                 .effects_done_count = before > 0 ? 1 : 0 };

    memset(text, ' ', PAD - 1);
    text[snprintf(text, PAD, "%llu", (unsigned long long)before + 1)] = ' ';
    snprintf(kind, sizeof(kind), "e%llu", (unsigned long long)before + 1);
    audit_fill(&audit, before + 1, record, sizeof(record));
    return store_commit(store, &batch, ret_revision, NULL);
}

static void timer_begin(uint64_t ns)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
                              .sigev_signo = SIGKILL };
    struct itimerspec after = { .it_value = { 0, (long)ns } };
    timer_t timer;

    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &after, NULL) != 0) {
        _exit(2);
    }
}

static void child_run(const struct place *place, int pipe_out, uint64_t ns,
                      bool opens)
{
    struct store_reader *reader;
    struct store_head head;
    struct store *store;
    uint64_t revision;

    if (opens) {
        timer_begin(ns);
    }
    if (store_open(&store, place->store, NULL) != 0 ||
        store_reader_open(&reader, place->store, NULL) != 0 ||
        store_read_head(reader, &head, NULL) != 0) {
        _exit(2);
    }
    if (!opens) {
        timer_begin(ns);
    }
    revision = head.revision;
    while (commit_one(store, revision, &revision) == 0 &&
           write(pipe_out, &revision, sizeof(revision)) > 0) {
    }
    _exit(3);
}

/* Lets a child live for `ns`, opening included or not; the last revision that
 * it acknowledged, 0: none. */
static uint64_t child_kill(const struct place *place, uint64_t ns, bool opens)
{
    uint64_t revision, last = 0;
    int ends[2], status;
    pid_t child;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_run(place, ends[1], ns, opens);
    }
    close(ends[1]);
    while (read(ends[0], &revision, sizeof(revision)) ==
           (ssize_t)sizeof(revision)) {
        last = revision;
    }
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return last;
}

struct chain {
    uint64_t last;
};

static int chain_walk(void *context, const struct store_record *record)
{
    struct chain *chain = context;

    assert_int_equal(record->sequence, chain->last + 1);
    assert_true(audit_true(record));
    chain->last = record->sequence;
    return 0;
}

/* All of revision n is there, and nothing of n + 1. */
static uint64_t whole_revision(struct store_reader *reader)
{
    struct store_head head = head_of(reader);
    struct chain chain = { .last = 0 };
    struct seen seen = { .count = 0 };

    assert_int_equal(head.audit_sequence, head.revision);
    assert_int_equal(store_read_audit(reader, 1, SIZE_MAX, chain_walk, &chain,
                                      NULL),
                     0);
    assert_int_equal(chain.last, head.revision);
    assert_int_equal(pending_count(reader), head.revision > 0 ? 1 : 0);
    if (head.revision > 0) {
        assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "a", 0,
                                         seen_visit, &seen, NULL),
                         0);
        assert_int_equal(store_read_item(reader, STORE_RELEASE, "b", 0,
                                         seen_visit, &seen, NULL),
                         0);
        assert_int_equal(strtoull(seen.items[0].text, NULL, 10),
                         head.revision);
        assert_int_equal(strtoull(seen.items[1].text, NULL, 10),
                         head.revision);
        assert_int_equal(seen.items[0].length, PAD - 1);
    }
    return head.revision;
}

static void killed_at_any_moment(void **state)
{
    struct place place;
    struct store_reader *reader;
    struct store *store;
    uint64_t before = 0, acknowledged, found;
    uint32_t i, unheard = 0, busy = 0;

    (void)state;
    place_new(&place);
    store_close(store_new(&place));
    for (i = 0; i < KILLS; i++) {
        acknowledged = child_kill(&place, 1000 + draw(NS_MAX), i % 4 == 3);
        busy += acknowledged != 0 ? 1 : 0;
        acknowledged = acknowledged == 0 ? before : acknowledged;
        reader = reader_new(&place);
        found = whole_revision(reader);
        assert_true(found == acknowledged || found == acknowledged + 1);
        unheard += found - acknowledged;
        if (i % 2 == 0) { /* or the next child finds it as it was left */
            store = store_new(&place);
            assert_int_equal(whole_revision(reader), found);
            assert_int_equal(commit_one(store, found, &found), 0);
            store_close(store);
        }
        store_reader_close(reader);
        before = found;
    }
    print_message("%u kills, %u of them amid commits, %llu commits, %u of "
                  "them not acknowledged\n",
                  KILLS, busy, (unsigned long long)before, unheard);
    assert_true(busy > KILLS / 2);
    place_remove(&place);
}

/* A folder whose making was cut off at any moment becomes a store. */
static void killed_while_it_is_made(void **state)
{
    struct place place;
    uint32_t i;

    (void)state;
    for (i = 0; i < 60; i++) {
        struct store_reader *reader;
        struct store *store;
        uint64_t found;

        place_new(&place);
        child_kill(&place, 1000 + draw(4000000), true);
        store = store_new(&place);
        reader = reader_new(&place);
        found = whole_revision(reader);
        assert_int_equal(commit_one(store, found, &found), 0);
        store_reader_close(reader);
        store_close(store);
        place_remove(&place);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(killed_while_it_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
