/* SPDX-License-Identifier: Apache-2.0
 * test_prove.c - a proof of one record holds by the verifier alone, and no
 * other text does.
 *
 * Read next: control/audit/prove.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/audit/log.h"

static int prove(struct log *log, uint64_t sequence, json_t **ret_proof,
                 struct gray_problem *ret_problem)
{
    struct audit_source source = log_source(log);
    struct audit_verifier verifier;

    assert_int_equal(audit_verifier_find(NULL, log->state, &verifier, NULL),
                     0);
    return audit_prove_source(&source, log_path(log, "checkpoints"), &verifier,
                              sequence, ret_proof, ret_problem);
}

static void every_record_is_proved(void **state)
{
    static struct log log;
    const char *verifier;
    uint64_t sequence;
    json_t *proof = NULL;

    (void)state;
    log_new(&log);
    verifier = audit_signer_verifier(log.signer);
    log_fill(&log, 30, 8); /* checkpoints at 8, 16, 24 */
    for (sequence = 1; sequence <= 24; sequence++) {
        assert_int_equal(prove(&log, sequence, &proof, NULL), 0);
        assert_true(audit_proof_holds(proof, verifier));
        assert_int_equal(
            json_integer_value(json_object_get(proof, "treeSize")), 24);
        assert_string_equal(json_string_value(json_object_get(proof,
                                                              "record")),
                            log.records[sequence - 1].text);
        json_decref(proof);
    }
    assert_int_equal(prove(&log, 0, &proof, NULL), 1);
    assert_int_equal(prove(&log, 25, &proof, NULL), 1); /* not covered yet */
    assert_int_equal(prove(&log, 31, &proof, NULL), 1); /* no such record */
    log_checkpoint(&log);
    assert_int_equal(prove(&log, 25, &proof, NULL), 0);
    assert_true(audit_proof_holds(proof, verifier));
    json_decref(proof);
    log_end(&log);
}

/* Holds no more once a member is another. */
static void refuses(const json_t *proof, const char *verifier,
                    const char *member, json_t *value)
{
    json_t *other = json_deep_copy(proof);

    if (value == NULL) {
        json_object_del(other, member);
    } else {
        json_object_set_new(other, member, value);
    }
    if (audit_proof_holds(other, verifier)) {
        fail_msg("holds with another %s", member);
    }
    json_decref(other);
}

static json_t *text_of(const json_t *proof, const char *member, size_t at)
{
    const json_t *value = json_object_get(proof, member);
    char *text = strdup(json_string_value(value));
    json_t *result;

    text[at] = text[at] == 'A' ? 'B' : 'A';
    result = json_string(text);
    free(text);
    return result;
}

static void another_member_is_another_proof(void **state)
{
    static const char *const members[] = {"seq",    "record", "leafIndex",
                                          "treeSize", "hashes", "root",
                                          "checkpoint"};
    static struct log log, other;
    const char *verifier;
    json_t *proof = NULL, *second = NULL;
    size_t i, length;

    (void)state;
    log_new(&log);
    verifier = audit_signer_verifier(log.signer);
    log_fill(&log, 11, 11);
    assert_int_equal(prove(&log, 6, &proof, NULL), 0);
    assert_int_equal(prove(&log, 7, &second, NULL), 0);
    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        refuses(proof, verifier, members[i], NULL);
        refuses(proof, verifier, members[i], json_null());
        refuses(proof, verifier, members[i], json_string("x"));
        refuses(proof, verifier, members[i], json_integer(-1));
        refuses(proof, verifier, members[i], json_array());
        refuses(proof, verifier, members[i], json_object());
    }
    refuses(proof, verifier, "seq", json_integer(7));
    refuses(proof, verifier, "leafIndex", json_integer(6));
    refuses(proof, verifier, "treeSize", json_integer(10));
    refuses(proof, verifier, "record",
            json_incref(json_object_get(second, "record")));
    refuses(proof, verifier, "hashes",
            json_incref(json_object_get(second, "hashes")));
    length = json_string_length(json_object_get(proof, "record"));
    for (i = 0; i < length; i++) {
        refuses(proof, verifier, "record", text_of(proof, "record", i));
    }
    length = json_string_length(json_object_get(proof, "checkpoint"));
    for (i = 0; i < length; i++) {
        refuses(proof, verifier, "checkpoint",
                text_of(proof, "checkpoint", i));
    }
    /* the same records under another key */
    log_new(&other);
    log_fill(&other, 11, 11);
    assert_true(audit_proof_holds(proof, verifier));
    assert_false(
        audit_proof_holds(proof, audit_signer_verifier(other.signer)));
    assert_false(audit_proof_holds(proof, ""));
    assert_false(audit_proof_holds(NULL, verifier));
    log_end(&other);
    json_decref(second);
    json_decref(proof);
    log_end(&log);
}

static void false_hashes_prove_nothing(void **state)
{
    static struct log log;
    const char *verifier;
    json_t *proof = NULL, *hashes;
    size_t i, count;

    (void)state;
    log_new(&log);
    verifier = audit_signer_verifier(log.signer);
    log_fill(&log, 13, 13);
    assert_int_equal(prove(&log, 13, &proof, NULL), 0);
    hashes = json_object_get(proof, "hashes");
    count = json_array_size(hashes);
    assert_int_equal(count, 2); /* of 13: 12..13 alone, beside 8 and 4 */
    for (i = 0; i < count; i++) {
        json_t *fewer = json_deep_copy(hashes), *more = json_deep_copy(hashes);

        json_array_remove(fewer, i);
        refuses(proof, verifier, "hashes", fewer);
        json_array_insert(more, i, json_array_get(hashes, i));
        refuses(proof, verifier, "hashes", more);
    }
    hashes = json_array();
    for (i = 0; i <= AUDIT_PATH_MAX; i++) {
        json_array_append(hashes, json_object_get(proof, "root"));
    }
    refuses(proof, verifier, "hashes", hashes);
    json_decref(proof);
    log_end(&log);
}

static void a_record_says_its_own_number(void **state)
{
    static struct log log;
    struct audit_entry entry = {.actor = "a"};
    struct log_record *record = &log.records[2];
    json_t *proof = NULL;

    (void)state;
    log_new(&log);
    log_add(&log, 2);
    record->sequence = ++log.count;
    record->text = audit_record_text(9, &entry, &record->length);
    audit_tree_append(&log.tree, record->text, record->length);
    log_checkpoint(&log); /* even signed: a third record that says nine */
    assert_int_equal(prove(&log, 2, &proof, NULL), 0);
    assert_true(audit_proof_holds(proof, audit_signer_verifier(log.signer)));
    json_decref(proof);
    assert_int_equal(prove(&log, 3, &proof, NULL), 0);
    assert_false(audit_proof_holds(proof, audit_signer_verifier(log.signer)));
    json_decref(proof);
    log_end(&log);
}

static void nothing_is_proved_over_falsified_records(void **state)
{
    static struct log log;
    struct gray_problem problem = {"", "", 0};
    json_t *proof = NULL;

    (void)state;
    log_new(&log);
    log_fill(&log, 20, 10);
    log_edit(&log, 4);
    assert_true(prove(&log, 11, &proof, &problem) < 0);
    assert_string_equal(problem.code, "corrupt");
    log_delete(&log, 4, 1);
    problem.code = "";
    assert_true(prove(&log, 11, &proof, &problem) < 0);
    assert_string_equal(problem.code, "corrupt");
    log_delete(&log, 10, 9);
    problem.code = "";
    assert_true(prove(&log, 3, &proof, &problem) < 0);
    assert_string_equal(problem.code, "corrupt");
    assert_null(proof);
    log_end(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_is_proved),
        cmocka_unit_test(another_member_is_another_proof),
        cmocka_unit_test(false_hashes_prove_nothing),
        cmocka_unit_test(a_record_says_its_own_number),
        cmocka_unit_test(nothing_is_proved_over_falsified_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
