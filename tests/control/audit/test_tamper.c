/* SPDX-License-Identifier: Apache-2.0
 * test_tamper.c - whatever is done to the records is found, and named.
 *
 * Twenty-five records with a checkpoint after each fifth; every kind of
 * falsehood at every place, then a thousand by chance.
 * Read next: control/audit/walk.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/audit/log.h"

#define COUNT 25u
#define EVERY 5u

static struct log_record kept[2048]; /* the true records, to put back */

static void keep(struct log *log)
{
    size_t i;

    for (i = 0; i < log->count; i++) {
        kept[i] = log->records[i];
        kept[i].text = strdup(log->records[i].text);
    }
}

static void put_back(struct log *log, size_t count)
{
    size_t i;

    for (i = 0; i < log->count; i++) {
        free(log->records[i].text);
    }
    for (i = 0; i < count; i++) {
        log->records[i] = kept[i];
        log->records[i].text = strdup(kept[i].text);
    }
    log->count = count;
}

static void drop_kept(size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        free(kept[i].text);
    }
}

static void expect(struct log *log, uint64_t first_bad, const char *what)
{
    struct audit_report report = log_walk(log);

    if (report.good || report.first_bad != first_bad) {
        fail_msg("%s: good %d, first bad %llu and not %llu: %s", what,
                 report.good, (unsigned long long)report.first_bad,
                 (unsigned long long)first_bad, report.sentence);
    }
}

/* First record after the last checkpoint at or before this many records. */
static uint64_t after_checkpoint(size_t records)
{
    return records / EVERY * EVERY + 1;
}

static void what_was_written_is_good(void **state)
{
    static struct log log;
    struct audit_report report;

    (void)state;
    log_new(&log);
    report = log_walk(&log);
    assert_true(report.good);
    assert_int_equal(report.records, 0);
    log_checkpoint(&log); /* of nothing, twice: allowed */
    log_checkpoint(&log);
    log_fill(&log, COUNT + 2, EVERY);
    report = log_walk(&log);
    assert_true(report.good);
    assert_int_equal(report.first_bad, 0);
    assert_int_equal(report.records, COUNT + 2);
    assert_int_equal(report.checkpoints, 2 + COUNT / EVERY);
    assert_non_null(strstr(report.sentence, "good: 27 records, 7 check"));
    assert_non_null(strstr(report.sentence, "2 records after"));
    log_end(&log);
}

static void every_falsehood_at_every_place_is_named(void **state)
{
    static struct log log;
    size_t at;

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT, EVERY);
    keep(&log);
    for (at = 0; at < COUNT; at++) {
        log_edit(&log, at);
        expect(&log, at + 1, "edited");
        log_rechain(&log, at); /* and the tail's chain made anew */
        expect(&log, after_checkpoint(at), "rewritten");
        put_back(&log, COUNT);

        log_delete(&log, at, 1); /* a gap, or the end is missing */
        expect(&log, at + 1, "deleted");
        log_renumber(&log);
        expect(&log, at + 1, "deleted and renumbered");
        log_rechain(&log, at);
        /* the last five: no checkpoint is met, but one is missed */
        expect(&log, at < COUNT - EVERY ? after_checkpoint(at) : COUNT,
               "deleted, renumbered, rechained");
        put_back(&log, COUNT);

        log_delete(&log, at, COUNT - at);
        expect(&log, at + 1, "truncated");
        put_back(&log, COUNT);

        log.records[at].hash[at % AUDIT_HASH] ^= 0x40;
        expect(&log, at + 1, "hash changed");
        put_back(&log, COUNT);
    }
    assert_true(log_walk(&log).good);
    drop_kept(COUNT);
    log_end(&log);
}

static void a_jump_in_the_numbers_is_a_gap(void **state)
{
    static struct log log;

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT, EVERY);
    log_add(&log, 2); /* the chain knows no numbers: these two hold it */
    log.records[COUNT + 1].sequence = 1000;
    expect(&log, COUNT + 2, "a number skipped");
    log.records[COUNT].sequence = 999;
    expect(&log, COUNT + 1, "a number skipped");
    log_end(&log);
}

static void root_and_chain_must_both_agree(void **state)
{
    static struct log log;
    struct audit_tree other;
    uint8_t chain[AUDIT_HASH];

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT, EVERY);
    log_add(&log, 1);
    other = log.tree;
    other.peaks[1][0] ^= 1; /* 26 = 16 + 8 + 2 */
    assert_int_equal(audit_checkpoint(log.signer, &other, log.chain, 1, NULL,
                                      NULL),
                     0);
    expect(&log, COUNT + 1, "another root, signed");
    log_end(&log);
    log_new(&log);
    log_fill(&log, COUNT, EVERY);
    log_add(&log, 1);
    memcpy(chain, log.chain, AUDIT_HASH);
    chain[AUDIT_HASH - 1] ^= 1;
    assert_int_equal(audit_checkpoint(log.signer, &log.tree, chain, 1, NULL,
                                      NULL),
                     0);
    expect(&log, COUNT + 1, "another chain, signed");
    log_end(&log);
}

static void swap(struct log *log, size_t a, size_t b)
{
    struct log_record other = log->records[a];

    log->records[a] = log->records[b];
    log->records[b] = other;
    log_renumber(log);
}

static void records_in_another_order_are_named(void **state)
{
    static struct log log;
    size_t a, b;

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT, EVERY);
    keep(&log);
    for (a = 0; a < COUNT; a++) {
        for (b = a + 1; b < COUNT; b++) {
            swap(&log, a, b);
            expect(&log, a + 1, "moved");
            log_rechain(&log, a);
            expect(&log, after_checkpoint(a), "moved, rechained");
            put_back(&log, COUNT);
        }
    }
    drop_kept(COUNT);
    log_end(&log);
}

/* ---- checkpoints ------------------------------------------------------- */

static void a_bad_checkpoint_is_no_bad_record(void **state)
{
    static struct log log;
    size_t length, note;
    struct audit_report report;
    char *good;

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT, EVERY);
    good = log_read_file(log_path(&log, "checkpoints"), &length);
    note = length / (COUNT / EVERY);
    good[note + 30] ^= 1; /* within the second */
    log_write_file(log_path(&log, "checkpoints"), good, length);
    report = log_walk(&log);
    assert_false(report.good);
    assert_int_equal(report.first_bad, 0);
    assert_non_null(strstr(report.sentence, "Checkpoint 2 "));
    assert_int_equal(report.records, COUNT);
    /* a bad record is worth more */
    log_edit(&log, 17);
    expect(&log, 18, "edited under a bad checkpoint");
    log_rechain(&log, 17);
    expect(&log, 16, "rewritten under a bad checkpoint");
    free(good);
    log_end(&log);
}

static void a_checkpoint_of_another_key_counts_for_nothing(void **state)
{
    static struct log log, other;
    struct audit_report report;
    size_t length;
    char *notes;

    (void)state;
    log_new(&log);
    log_new(&other);
    log_fill(&log, COUNT, EVERY);
    log_fill(&other, COUNT, EVERY); /* the same records, another signer */
    notes = log_read_file(log_path(&other, "checkpoints"), &length);
    log_write_file(log_path(&log, "checkpoints"), notes, length);
    report = log_walk(&log);
    assert_false(report.good);
    assert_int_equal(report.checkpoints, 0);
    assert_non_null(strstr(report.sentence, "is not signed by"));
    free(notes);
    log_end(&log);
    log_end(&other);
}

static void checkpoints_in_another_order_are_said(void **state)
{
    static struct log log;
    struct audit_report report;
    size_t length, first;
    char *notes, *turned;

    (void)state;
    log_new(&log);
    log_fill(&log, 2 * EVERY, EVERY);
    notes = log_read_file(log_path(&log, "checkpoints"), &length);
    first = (size_t)(strstr(strstr(notes, NOTE_DASH), "\n\n") + 2 - notes);
    turned = malloc(length);
    memcpy(turned, notes + first, length - first);
    memcpy(turned + length - first, notes, first);
    log_write_file(log_path(&log, "checkpoints"), turned, length);
    report = log_walk(&log);
    assert_false(report.good);
    assert_int_equal(report.first_bad, 0);
    assert_non_null(strstr(report.sentence, "were put back"));
    free(turned);
    free(notes);
    log_end(&log);
}

static void a_torn_checkpoint_is_tolerated_and_said(void **state)
{
    static struct log log;
    struct audit_report report;
    size_t length, cut, note;
    char *notes;

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT, EVERY);
    notes = log_read_file(log_path(&log, "checkpoints"), &length);
    note = length / (COUNT / EVERY);
    for (cut = 1; cut < note - 2; cut++) {
        log_write_file(log_path(&log, "checkpoints"), notes, length - cut);
        report = log_walk(&log);
        assert_true(report.good);
        assert_int_equal(report.checkpoints, COUNT / EVERY - 1);
        assert_non_null(strstr(report.sentence, "torn"));
    }
    free(notes);
    log_end(&log);
}

static void without_checkpoints_the_chain_alone_is_said(void **state)
{
    static struct log log;
    struct audit_report report;

    (void)state;
    log_new(&log);
    log_add(&log, COUNT);
    assert_int_equal(remove(log_path(&log, "checkpoints")), 0);
    report = log_walk(&log);
    assert_true(report.good);
    assert_int_equal(report.checkpoints, 0);
    assert_non_null(strstr(report.sentence, "25 records after the last"));
    log_edit(&log, 3);
    expect(&log, 4, "edited, no checkpoint");
    log_end(&log);
}

/* ---- by chance --------------------------------------------------------- */

static uint32_t chance(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % below;
}

/* One falsehood among covered records; the first index that it touches. */
static size_t falsify(struct log *log, uint64_t *seed, bool *ret_rechained)
{
    size_t at = chance(seed, COUNT * EVERY), other;
    struct log_record *record = &log->records[at];

    switch (chance(seed, 5)) {
    case 0: /* one bit of the text */
        record->text[chance(seed, (uint32_t)record->length)] ^=
            (char)(1u << chance(seed, 8));
        break;
    case 1: /* one bit of the hash */
        record->hash[chance(seed, AUDIT_HASH)] ^=
            (uint8_t)(1u << chance(seed, 8));
        *ret_rechained = false;
        return at;
    case 2:
        log_delete(log, at, 1 + chance(seed, (uint32_t)(log->count - at)));
        if (chance(seed, 2) == 0) {
            log_renumber(log);
        }
        break;
    case 3: /* shortened by a few bytes */
        record->length -= 1 + chance(seed, 20);
        break;
    default:
        do {
            other = chance(seed, COUNT * EVERY);
        } while (other == at);
        swap(log, at, other);
        at = other < at ? other : at;
    }
    *ret_rechained = chance(seed, 2) == 0;
    if (*ret_rechained) {
        log_rechain(log, at);
    }
    return at;
}

static void a_thousand_falsehoods_are_all_found(void **state)
{
    static struct log log;
    uint64_t seed = 20260101;
    unsigned found = 0, i;

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT * EVERY, EVERY);
    log_add(&log, 3); /* beyond the last checkpoint */
    keep(&log);
    for (i = 0; i < 1000; i++) {
        bool rechained;
        size_t at = falsify(&log, &seed, &rechained);
        struct audit_report report = log_walk(&log);
        /* Where the end is gone too, that is what is certain. */
        uint64_t last = rechained && log.count < COUNT * EVERY
                            ? log.count + 1
                            : at + 1;

        found += !report.good;
        if (report.good || report.first_bad > last ||
            report.first_bad <
                (rechained ? after_checkpoint(at) : at + 1)) {
            fail_msg("falsehood %u at %zu (chain anew: %d): %s", i, at + 1,
                     rechained, report.sentence);
        }
        put_back(&log, COUNT * EVERY + 3);
    }
    assert_int_equal(found, 1000);
    drop_kept(COUNT * EVERY + 3);
    log_end(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_good),
        cmocka_unit_test(every_falsehood_at_every_place_is_named),
        cmocka_unit_test(a_jump_in_the_numbers_is_a_gap),
        cmocka_unit_test(root_and_chain_must_both_agree),
        cmocka_unit_test(records_in_another_order_are_named),
        cmocka_unit_test(a_bad_checkpoint_is_no_bad_record),
        cmocka_unit_test(a_checkpoint_of_another_key_counts_for_nothing),
        cmocka_unit_test(checkpoints_in_another_order_are_said),
        cmocka_unit_test(a_torn_checkpoint_is_tolerated_and_said),
        cmocka_unit_test(without_checkpoints_the_chain_alone_is_said),
        cmocka_unit_test(a_thousand_falsehoods_are_all_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
