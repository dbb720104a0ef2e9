/* SPDX-License-Identifier: Apache-2.0
 * test_rules.c - each line of the protocol that is a decision, at its edges.
 *
 * Read next: control/agent/rules.h, docs/agent.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/agent/rules.h"

#define MS INT64_C(1000000)
static const char hash_a[65] =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char hash_b[65] =
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static struct known known_at(uint64_t sequence)
{
    struct known known = { .server = "one", .sequence = sequence };

    memcpy(known.sha256, hash_a, sizeof(known.sha256));
    return known;
}

static enum accept offered(const char *server, uint64_t sequence,
                           const char *hash, bool once)
{
    struct known known = known_at(412);
    struct manifest manifest = { .sequence = sequence };

    strcpy(manifest.server, server);
    return rules_accept(&known, &manifest, hash, once);
}

static void a_sequence_never_goes_back(void **state)
{
    (void)state;
    assert_int_equal(offered("one", 413, hash_b, false), ACCEPT_NEW);
    assert_int_equal(offered("one", 412, hash_a, false), ACCEPT_SAME);
    assert_int_equal(offered("one", 411, hash_a, false), ACCEPT_BACK);
    assert_int_equal(offered("one", 1, hash_b, false), ACCEPT_BACK);
    assert_int_equal(offered("one", 412, hash_b, false), ACCEPT_FORK);
}

static void another_server_is_a_stranger_until_a_person_says_yes(void **state)
{
    (void)state;
    assert_int_equal(offered("two", 9999, hash_b, false), ACCEPT_STRANGER);
    assert_int_equal(offered("two", 1, hash_b, true), ACCEPT_NEW);
    assert_int_equal(offered("one", 1, hash_b, true), ACCEPT_NEW);
    assert_int_equal(offered("one", 412, hash_b, true), ACCEPT_NEW);
    assert_string_equal(rules_refusal(ACCEPT_STRANGER), "stranger");
    assert_string_equal(rules_refusal(ACCEPT_BACK), "sequence-back");
    assert_string_equal(rules_refusal(ACCEPT_FORK), "bundle-forked");
    assert_null(rules_refusal(ACCEPT_NEW));
    assert_null(rules_refusal(ACCEPT_SAME));
}

static void who_knows_none_takes_the_first(void **state)
{
    struct known known = { .sequence = 0 };
    struct manifest manifest = { .server = "one", .sequence = 1 };

    (void)state;
    assert_int_equal(rules_accept(&known, &manifest, hash_a, false),
                     ACCEPT_NEW);
    /* A memory of before hashes were kept. */
    known = known_at(5);
    known.sha256[0] = '\0';
    manifest.sequence = 5;
    assert_int_equal(rules_accept(&known, &manifest, hash_b, false),
                     ACCEPT_SAME);
}

/* ---- leases ------------------------------------------------------------------ */

static void a_lease_counts_from_the_sending(void **state)
{
    struct lease lease = { .until = 0 };

    (void)state;
    assert_true(lease_grant(&lease, 1000 * MS, 31, 31, 10000));
    assert_int_equal(lease.until, 11000 * MS);
    /* An answer that took long is worth what is left of it. */
    assert_true(lease_grant(&lease, 2000 * MS, 31, 31, 10000));
    assert_int_equal(lease.until, 12000 * MS);
}

static void a_late_answer_shortens_nothing(void **state)
{
    struct lease lease = { .until = 0 };

    (void)state;
    lease_grant(&lease, 5000 * MS, 31, 31, 10000);
    assert_false(lease_grant(&lease, 1000 * MS, 31, 31, 10000));
    assert_int_equal(lease.until, 15000 * MS);
    assert_false(lease_grant(&lease, 5000 * MS, 31, 31, 9000));
    assert_int_equal(lease.until, 15000 * MS);
}

static void an_answer_to_an_older_epoch_grants_nothing(void **state)
{
    struct lease lease = { .until = 0 };

    (void)state;
    lease_grant(&lease, 1000 * MS, 31, 31, 10000);
    /* The word of 32 came while the answer was under way. */
    assert_false(lease_grant(&lease, 9000 * MS, 31, 32, 10000));
    assert_int_equal(lease.until, 11000 * MS);
    assert_true(lease_grant(&lease, 9500 * MS, 32, 32, 10000));
    assert_int_equal(lease.until, 19500 * MS);
}

static void nothing_granted_keeps_what_there_is(void **state)
{
    struct lease lease = { .until = 7 * MS };

    (void)state;
    assert_false(lease_grant(&lease, 1000 * MS, 31, 31, 0));
    assert_int_equal(lease.until, 7 * MS);
    assert_int_equal(lease.grant, 0);
}

static void a_grant_has_a_limit(void **state)
{
    struct lease lease = { .until = 0 };

    (void)state;
    assert_true(lease_grant(&lease, 0, 1, 1, UINT64_MAX));
    assert_int_equal(lease.until, (int64_t)LEASE_GRANT_MAX_MS * MS);
}

static void a_report_comes_each_third_of_the_lease(void **state)
{
    struct lease lease = { .until = 0 };

    (void)state;
    assert_int_equal(lease_next_report(&lease, 0),
                     (int64_t)LEASE_REPORT_MS * MS);
    lease_grant(&lease, 0, 1, 1, 9000);
    assert_int_equal(lease_next_report(&lease, 50 * MS), 3050 * MS);
    lease.grant = 1;
    assert_true(lease_next_report(&lease, 0) > 0); /* never at once, for ever */
}

static void a_clock_is_compared_with_the_middle_of_a_call(void **state)
{
    int64_t offset = 7;

    (void)state;
    assert_true(clock_offset(1000, 1100, 1050, &offset));
    assert_int_equal(offset, 0);
    assert_true(clock_offset(61000, 61100, 1050, &offset));
    assert_int_equal(offset, 60000);
    assert_true(clock_offset(1000, 1000, 4000, &offset));
    assert_int_equal(offset, -3000);
    /* Nothing was said; it took too long; the clock was set meanwhile. */
    assert_false(clock_offset(1000, 1100, 0, &offset));
    assert_false(clock_offset(1000, 1001 + CLOCK_CALL_MOST_MS, 5, &offset));
    assert_false(clock_offset(1000, 900, 5, &offset));
    assert_int_equal(offset, -3000);
}

/* ---- epochs --------------------------------------------------------------------- */

static void a_reader_has_seen_an_epoch_when_it_has_the_folders(void **state)
{
    struct epochs epochs = { 0 };

    (void)state;
    epochs_reached(&epochs, 31, 100);
    assert_int_equal(epochs_of(&epochs, 99), 0);
    assert_int_equal(epochs_of(&epochs, 100), 31);
    epochs_reached(&epochs, 35, 104);
    assert_int_equal(epochs_of(&epochs, 103), 31);
    assert_int_equal(epochs_of(&epochs, 104), 35);
    /* Words that loosened after it raise the folder's epoch, not this. */
    epochs_reached(&epochs, 35, 109);
    assert_int_equal(epochs_of(&epochs, 104), 35);
}

/* ---- words of the host ------------------------------------------------------------ */

static bool yields(uint32_t own, uint64_t told, uint32_t said, uint64_t epoch)
{
    struct host_word word = { .scope = 1, .word = own, .told = told };
    struct manifest_word bundle = { .scope = 1, .word = said, .epoch = epoch };

    return host_word_yields(&word, &bundle);
}

static void a_word_of_the_host_wins_until_the_server_was_told(void **state)
{
    struct host_word word = { .scope = 1, .word = GRAY_WORD_KILLED };

    (void)state;
    assert_false(yields(GRAY_WORD_KILLED, 0, GRAY_WORD_OPEN, 1000));
    assert_false(yields(GRAY_WORD_KILLED, 412, GRAY_WORD_OPEN, 412));
    assert_false(yields(GRAY_WORD_KILLED, 412, GRAY_WORD_OPEN, 30));
    assert_true(yields(GRAY_WORD_KILLED, 412, GRAY_WORD_OPEN, 413));
    assert_false(host_word_yields(&word, NULL));
    host_word_told(&word, 412);
    host_word_told(&word, 500); /* the first answer counts */
    assert_int_equal(word.told, 412);
    assert_false(host_word_yields(&word, NULL));
}

static void what_is_as_strict_always_stands(void **state)
{
    (void)state;
    assert_true(yields(GRAY_WORD_NO_ADMIT, 0, GRAY_WORD_KILLED, 1));
    assert_true(yields(GRAY_WORD_KILLED, 0, GRAY_WORD_KILLED, 1));
    assert_false(yields(GRAY_WORD_KILLED, 0, GRAY_WORD_BASELINE, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sequence_never_goes_back),
        cmocka_unit_test(another_server_is_a_stranger_until_a_person_says_yes),
        cmocka_unit_test(who_knows_none_takes_the_first),
        cmocka_unit_test(a_lease_counts_from_the_sending),
        cmocka_unit_test(a_late_answer_shortens_nothing),
        cmocka_unit_test(an_answer_to_an_older_epoch_grants_nothing),
        cmocka_unit_test(nothing_granted_keeps_what_there_is),
        cmocka_unit_test(a_grant_has_a_limit),
        cmocka_unit_test(a_report_comes_each_third_of_the_lease),
        cmocka_unit_test(a_clock_is_compared_with_the_middle_of_a_call),
        cmocka_unit_test(a_reader_has_seen_an_epoch_when_it_has_the_folders),
        cmocka_unit_test(a_word_of_the_host_wins_until_the_server_was_told),
        cmocka_unit_test(what_is_as_strict_always_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
