/* SPDX-License-Identifier: Apache-2.0
 * test_killed.c - killed at any point, folder and last-good are whole.
 *
 * Why: a child publishes one revision after the other, with words, until it is
 * killed after a random time; the folder and what is restored from last-good
 * must each be one of the published revisions, whole, with the words of that
 * revision; a word that the host set meanwhile stands.
 * Read next: control/publish/last_good.c.
 */
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

#include "tests/control/publish/fixture.h"

#define KILLS 200u
#define REVISIONS 12u /* compiled once, published again and again */

static struct gray_compiled compiled[REVISIONS + 1];
static uint64_t random_state = 7;

static uint64_t draw(uint64_t below)
{
    random_state += 0x9e3779b97f4a7c15u;
    return gray_mix64(random_state) % below;
}

/* Even revisions are open, odd ones stopped. */
static uint32_t word_of(uint64_t revision)
{
    return revision % 2 == 0 ? GRAY_WORD_OPEN : GRAY_WORD_BASELINE;
}

static int put(struct publisher *publisher, uint64_t revision)
{
    struct publisher_word words[] = {{"cart-2", word_of(revision)},
                                     {"pay-7", GRAY_WORD_OPEN}};

    return publisher_put(publisher, &compiled[revision], words, 2, NULL, NULL);
}

static void child_runs(const struct place *place, uint64_t from, uint64_t ns)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
                             .sigev_signo = SIGKILL};
    struct itimerspec after = {.it_value = {0, (long)ns}};
    struct publisher *publisher;
    timer_t timer;

    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &after, NULL) != 0 ||
        publisher_open(&publisher, place->runtime, place->state, (gid_t)-1,
                       false, NULL) != 0) {
        _exit(2);
    }
    for (unsigned i = 0; i < 400; i++) {
        from = 1 + from % REVISIONS;
        if (put(publisher, from) != 0) {
            _exit(1);
        }
    }
    _exit(0);
}

static bool run_and_kill(const struct place *place, uint64_t from, uint64_t ns)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        child_runs(place, from, ns);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

/* The word is that of the revision, or, for a policy that is in force and
 * whose looser word did not come any more, a stricter one. */
static void check_word(const char *runtime, uint64_t revision, bool whole)
{
    uint32_t word = word_found(runtime, "cart-2");

    assert_true(word == word_of(revision) ||
                (!whole && word == GRAY_WORD_BASELINE));
}

static uint64_t check_all(const struct place *place, bool host,
                          uint64_t *kept_before)
{
    uint64_t found = revision_found(place->runtime), kept;

    assert_true(found >= 1 && found <= REVISIONS);
    kept = restore_elsewhere(place);
    assert_true(kept >= 1 && kept <= REVISIONS);
    /* That of the folder, the one before it, or one that stood already. */
    assert_true(kept == found || kept % REVISIONS + 1 == found ||
                kept == *kept_before);
    *kept_before = kept;
    if (host) {
        assert_int_equal(word_found(place->runtime, "pay-7"),
                         GRAY_WORD_KILLED | GRAY_WORD_HOST);
    }
    check_word(place->runtime, found, false);
    check_word(place->other, kept, true);
    folder_remove(place->other);
    return found;
}

static void killed_at_any_point(void **state)
{
    struct publisher *publisher;
    struct place place;
    unsigned killed = 0, restored[REVISIONS + 1] = {0}, different = 0;
    uint64_t found = 1, kept = 1;

    (void)state;
    place_new(&place);
    for (uint64_t i = 1; i <= REVISIONS; i++) {
        revision_compile(i, &compiled[i]);
    }
    publisher = publisher_new(&place);
    assert_int_equal(put(publisher, 1), 0);
    publisher_close(publisher);
    for (unsigned i = 0; i < KILLS; i++) {
        bool host = i >= KILLS / 2;

        if (i == KILLS / 2) {
            host_says(place.runtime, "pay-7", GRAY_WORD_KILLED);
        }
        killed += run_and_kill(&place, found, 200000 + draw(12000000));
        found = check_all(&place, host, &kept);
        restored[found]++;
    }
    for (uint64_t i = 1; i <= REVISIONS; i++) {
        different += restored[i] > 0;
        gray_compiled_free(&compiled[i]);
    }
    print_message("%u of %u were killed, at %u revisions\n", killed, KILLS,
                  different);
    assert_true(killed > KILLS / 2 && different > REVISIONS / 2);
    /* What they left behind is cleared up. */
    publisher = publisher_new(&place);
    revision_put_well(publisher, 50, NULL, 0);
    publisher_close(publisher);
    assert_int_equal(copies_count(&place), 1);
    assert_int_equal(restore_elsewhere(&place), 50);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_any_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
