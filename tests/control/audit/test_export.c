/* SPDX-License-Identifier: Apache-2.0
 * test_export.c - an export verifies without a store, and its lines are
 * hostile.
 *
 * Read next: control/audit/export.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/audit/log.h"

#define COUNT 20u

static void export_log(const struct log *log)
{
    FILE *file = fopen(log_path(log, "export"), "we");
    size_t i;

    assert_non_null(file);
    for (i = 0; i < log->count; i++) {
        char hex[2 * AUDIT_HASH + 1], *line;
        json_t *object;

        hex_write(log->records[i].hash, AUDIT_HASH, hex);
        object = json_pack("{s:s, s:s}", "record", log->records[i].text,
                           "hash", hex);
        line = json_dumps(object, JSON_COMPACT);
        fprintf(file, "%s\n", line);
        free(line);
        json_decref(object);
    }
    assert_int_equal(fclose(file), 0);
}

static struct audit_report verify(const struct log *log)
{
    struct audit_report report;
    struct gray_problem problem = {"", "", 0};
    char export[128], checkpoints[128];

    strcpy(export, log_path(log, "export"));
    strcpy(checkpoints, log_path(log, "checkpoints"));
    if (audit_verify_export(export, checkpoints,
                            audit_signer_verifier(log->signer), &report,
                            &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    return report;
}

static void an_export_verifies(void **state)
{
    static struct log log;
    struct audit_report report;
    struct gray_problem problem = {"", "", 0};
    char export[128];
    size_t at;

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT, 5);
    export_log(&log);
    report = verify(&log);
    assert_true(report.good);
    assert_int_equal(report.records, COUNT);
    assert_int_equal(report.checkpoints, 4);
    strcpy(export, log_path(&log, "export"));
    assert_int_equal(audit_verify_export(export, NULL, NULL, &report, NULL),
                     0);
    assert_true(report.good && report.checkpoints == 0);
    assert_true(audit_verify_export(export, log_path(&log, "checkpoints"),
                                    NULL, &report, &problem) < 0);
    assert_string_equal(problem.code, "no-verifier");
    assert_true(audit_verify_export(export, NULL, "nonsense", &report,
                                    &problem) < 0);
    assert_string_equal(problem.code, "bad-verifier");
    assert_true(audit_verify_export("/dev/shm/graylane-none", NULL, NULL,
                                    &report, &problem) < 0);
    assert_string_equal(problem.code, "io");
    for (at = COUNT; at-- > 0;) { /* edited twice over, from the end */
        log_edit(&log, at);
        export_log(&log);
        report = verify(&log);
        assert_false(report.good);
        assert_int_equal(report.first_bad, at + 1);
    }
    log_end(&log);
}

static void a_missing_line_is_named(void **state)
{
    static struct log log;
    struct audit_report report;

    (void)state;
    log_new(&log);
    log_fill(&log, COUNT, 5);
    log_delete(&log, 0, 1);
    export_log(&log);
    report = verify(&log);
    assert_true(!report.good && report.first_bad == 1);
    log_delete(&log, 0, log.count);
    export_log(&log); /* nothing at all */
    report = verify(&log);
    assert_true(!report.good && report.first_bad == 1);
    log_end(&log);
}

static void what_is_no_record_is_a_bad_record(void **state)
{
    static const char *const lines[] = {
        "",
        "x",
        "{}",
        "[]",
        "null",
        "{\"record\":1,\"hash\":2}",
        "{\"record\":\"x\",\"hash\":\"y\"}",
        "{\"record\":\"{\\\"seq\\\":0}\",\"hash\":\"00\"}",
        "{\"record\":\"{\\\"seq\\\":1}\",\"hash\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
        "{\"record\":\"{\\\"seq\\\":1}\",\"record\":\"{}\",\"hash\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
        "{\"record\":\"{\\\"seq\\\":1}\",\"hash\":"
        "\"000000000000000000000000000000000000000000000000000000000000000G\"}",
    };
    static struct log log;
    struct audit_report report;
    char *big = malloc(3u << 20);
    size_t i;

    (void)state;
    log_new(&log);
    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char text[512];

        log_write_file(log_path(&log, "export"), text,
                       (size_t)snprintf(text, sizeof(text), "%s\n", lines[i]));
        report = verify(&log);
        assert_false(report.good);
        assert_int_equal(report.first_bad, 1);
    }
    memset(big, '{', 3u << 20); /* one line without an end */
    log_write_file(log_path(&log, "export"), big, 3u << 20);
    report = verify(&log);
    assert_true(!report.good && report.first_bad == 1);
    free(big);
    log_end(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_verifies),
        cmocka_unit_test(a_missing_line_is_named),
        cmocka_unit_test(what_is_no_record_is_a_bad_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
