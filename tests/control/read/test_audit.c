/* SPDX-License-Identifier: Apache-2.0
 * test_audit.c - what an auditor is given verifies without grayd.
 *
 * Read next: control/read/audit.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/read/fixture.h"
#include "tests/runtime/folder.h"

#define RECORDS 2000u /* several pieces of an export */

struct audited {
    struct desk desk;
    struct audit_signer *signer;
    char checkpoints[128];
};

static void checkpoint(struct audited *a, int64_t at)
{
    struct gray_problem problem = { 0 };

    if (audit_checkpoint(a->signer, &a->desk.tree, a->desk.chain, at, NULL,
                         &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
}

static void fill(struct audited *a, size_t records)
{
    struct gray_problem problem = { 0 };

    desk_open(&a->desk);
    if (audit_signer_open(&a->signer, a->desk.state, "test", &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    snprintf(a->checkpoints, sizeof(a->checkpoints), "%s/audit/checkpoints",
             a->desk.state);
    for (size_t i = 0; i < records; i++) {
        record(&a->desk, NOW + (int64_t)i, "pause", "Release/cart-2",
               i % 2 == 0 ? "done" : "denied");
        if (i == 9) {
            checkpoint(a, NOW);
        }
    }
    checkpoint(a, NOW + HOUR);
}

static void empty(struct audited *a)
{
    audit_signer_close(a->signer);
    desk_close(&a->desk);
}

static void an_export_verifies_by_itself(void **state)
{
    struct gray_problem problem = { 0 };
    struct audit_report report;
    struct audited a;
    char path[96];
    FILE *file;

    (void)state;
    fill(&a, RECORDS);
    json_decref(ask(&a.desk, "/v1/audit/export", 200));
    assert_true(strlen(last_text) > 3 * 65536); /* several pieces */
    snprintf(path, sizeof(path), "%s/export", a.desk.top);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(last_text, file);
    fclose(file);
    assert_int_equal(audit_verify_export(path, a.checkpoints,
                                         audit_signer_verifier(a.signer),
                                         &report, &problem),
                     0);
    if (!report.good) {
        fail_msg("%s", report.sentence);
    }
    assert_int_equal(report.records, RECORDS);
    assert_int_equal(report.checkpoints, 2);
    empty(&a);
}

/* What comes after an export was asked for is not in it: its end is known. */
static void an_export_ends_where_it_began(void **state)
{
    struct reply reply = { 0 };
    struct audited a;
    struct call call = { .route = &routes[ROUTE_AUDIT_EXPORT] };
    char *piece;
    size_t length;

    (void)state;
    fill(&a, 3);
    route_handle_AUDIT_EXPORT(&a.desk.hand, &call, &reply);
    record(&a.desk, NOW, "late", "", "done");
    assert_int_equal(reply.stream->more(reply.stream, &a.desk.hand, &piece,
                                        &length),
                     1);
    assert_null(memmem(piece, length, "late", 4));
    free(piece);
    assert_int_equal(reply.stream->more(reply.stream, &a.desk.hand, &piece,
                                        &length),
                     0);
    reply_clear(&reply);
    empty(&a);
}

static void checkpoints_with_their_key(void **state)
{
    struct audited a;
    size_t size, key;
    char *file;
    json_t *body;

    (void)state;
    fill(&a, 20);
    body = ask(&a.desk, "/v1/audit/checkpoints", 200);
    key = strlen(audit_signer_verifier(a.signer));
    assert_memory_equal(last_text, audit_signer_verifier(a.signer), key);
    assert_memory_equal(last_text + key, "\n\n", 2);
    file = file_bytes(a.desk.state, "audit/checkpoints", &size);
    assert_int_equal(strlen(last_text), key + 2 + size);
    assert_memory_equal(last_text + key + 2, file, size);
    free(file);
    json_decref(body);
    empty(&a);
}

static void a_proof_holds_by_the_key_alone(void **state)
{
    struct audited a;
    json_t *proof;

    (void)state;
    fill(&a, 20);
    proof = ask(&a.desk, "/v1/audit/7/proof", 200);
    assert_int_equal(number_at(proof, "sequence"), 7);
    json_object_set(proof, "seq", json_object_get(proof, "sequence"));
    assert_true(audit_proof_holds(proof, audit_signer_verifier(a.signer)));
    json_object_set_new(proof, "seq", json_integer(8));
    assert_false(audit_proof_holds(proof, audit_signer_verifier(a.signer)));
    json_decref(proof);
    record(&a.desk, NOW, "later", "", "done");
    json_decref(ask(&a.desk, "/v1/audit/21/proof", 404)); /* not yet signed */
    json_decref(ask(&a.desk, "/v1/audit/22/proof", 404));
    json_decref(ask(&a.desk, "/v1/audit/0/proof", 404));
    json_decref(ask(&a.desk, "/v1/audit/7x/proof", 404));
    empty(&a);
}

static void without_a_key_there_is_nothing(void **state)
{
    struct desk desk;

    (void)state;
    desk_open(&desk);
    json_decref(ask(&desk, "/v1/audit/checkpoints", 503));
    json_decref(ask(&desk, "/v1/audit/export", 200));
    assert_string_equal(last_text, "");
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_verifies_by_itself),
        cmocka_unit_test(an_export_ends_where_it_began),
        cmocka_unit_test(checkpoints_with_their_key),
        cmocka_unit_test(a_proof_holds_by_the_key_alone),
        cmocka_unit_test(without_a_key_there_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
