/* SPDX-License-Identifier: Apache-2.0
 * log.c - records in memory, and what a falsifier would do to them.
 *
 * Read next: log.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/audit/log.h"

/* A test that fails leaves nothing behind either: all folders of a program
 * lie in one, which goes when it ends. */
static char top[64];

static void remove_top(void)
{
    log_folder_remove(top);
}

void log_folder_new(char ret_path[64])
{
    if (top[0] == '\0') {
        strcpy(top, "/dev/shm/graylane-audit.XXXXXX");
        assert_non_null(mkdtemp(top));
        assert_int_equal(atexit(remove_top), 0);
    }
    snprintf(ret_path, 64, "%.40s/XXXXXX", top);
    assert_non_null(mkdtemp(ret_path));
}

void log_folder_remove(const char *path)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    if (system(command) != 0) {
        fprintf(stderr, "%s stays behind\n", path);
    }
}

void log_new(struct log *log)
{
    memset(log, 0, sizeof(*log));
    log_folder_new(log->state);
    assert_int_equal(
        audit_signer_open(&log->signer, log->state, "test.example/log", NULL),
        0);
}

void log_end(struct log *log)
{
    size_t i;

    audit_signer_close(log->signer);
    for (i = 0; i < log->count; i++) {
        free(log->records[i].text);
    }
    log_folder_remove(log->state);
}

static char *say(uint64_t sequence, const char *reason, size_t *ret_length)
{
    struct audit_entry entry = {
        .at = 1767225600000 + (int64_t)sequence * 1000,
        .actor = "ci-cart",
        .role = "operator",
        .via = "token",
        .action = "set-weight",
        .resource = "Release/cart-2",
        .outcome = "done",
        .reason = reason,
        .revision = sequence,
    };
    char *text = audit_record_text(sequence, &entry, ret_length);

    assert_non_null(text);
    return text;
}

void log_add(struct log *log, size_t count)
{
    for (; count > 0; count--) {
        struct log_record *record = &log->records[log->count];
        char reason[32];

        assert_true(log->count < sizeof(log->records) / sizeof(*record));
        snprintf(reason, sizeof(reason), "step %zu", log->count);
        record->sequence = ++log->count;
        record->text = say(record->sequence, reason, &record->length);
        audit_chain(log->chain, record->text, record->length, log->chain);
        memcpy(record->hash, log->chain, AUDIT_HASH);
        audit_tree_append(&log->tree, record->text, record->length);
    }
}

void log_checkpoint(struct log *log)
{
    assert_int_equal(audit_checkpoint(log->signer, &log->tree, log->chain,
                                      1767225600000 +
                                          (int64_t)log->tree.size * 1000,
                                      NULL, NULL),
                     0);
}

void log_fill(struct log *log, size_t count, size_t every)
{
    size_t i;

    for (i = 1; i <= count; i++) {
        log_add(log, 1);
        if (i % every == 0) {
            log_checkpoint(log);
        }
    }
}

void log_rechain(struct log *log, size_t from)
{
    uint8_t chain[AUDIT_HASH] = {0};

    if (from > 0) {
        memcpy(chain, log->records[from - 1].hash, AUDIT_HASH);
    }
    for (; from < log->count; from++) {
        struct log_record *record = &log->records[from];

        audit_chain(chain, record->text, record->length, chain);
        memcpy(record->hash, chain, AUDIT_HASH);
    }
}

void log_edit(struct log *log, size_t at)
{
    struct log_record *record = &log->records[at];

    free(record->text);
    record->text = say(record->sequence, "nothing happened", &record->length);
}

void log_delete(struct log *log, size_t at, size_t count)
{
    size_t i;

    for (i = at; i < at + count; i++) {
        free(log->records[i].text);
    }
    memmove(&log->records[at], &log->records[at + count],
            (log->count - at - count) * sizeof(log->records[0]));
    log->count -= count;
}

void log_renumber(struct log *log)
{
    size_t i;

    for (i = 0; i < log->count; i++) {
        log->records[i].sequence = i + 1;
    }
}

static int read_log(void *context, uint64_t from, size_t limit,
                    store_record_visit *visit, void *visit_context,
                    struct gray_problem *ret_problem)
{
    struct log *log = context;
    size_t i, given = 0;

    (void)ret_problem;
    for (i = 0; i < log->count && given < limit; i++) {
        struct store_record record = {log->records[i].sequence,
                                      log->records[i].text,
                                      log->records[i].length, {0}};

        if (record.sequence < from) {
            continue;
        }
        memcpy(record.hash, log->records[i].hash, AUDIT_HASH);
        given++;
        if (visit(visit_context, &record) != 0) {
            break;
        }
    }
    return 0;
}

struct audit_source log_source(struct log *log)
{
    return (struct audit_source){read_log, log};
}

struct audit_report log_walk(struct log *log)
{
    struct audit_source source = log_source(log);
    struct audit_verifier verifier;
    struct audit_report report;
    struct gray_problem problem = {"", "", 0};

    assert_int_equal(
        audit_verifier_find(NULL, log->state, &verifier, &problem), 0);
    if (audit_walk(&source, log_path(log, "checkpoints"), &verifier, &report,
                   &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    return report;
}

const char *log_path(const struct log *log, const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/audit/%s", log->state, name);
    return path;
}

char *log_read_file(const char *path, size_t *ret_length)
{
    FILE *file = fopen(path, "re");
    char *bytes = malloc(1u << 20);

    assert_non_null(file);
    assert_non_null(bytes);
    *ret_length = fread(bytes, 1, (1u << 20) - 1, file);
    bytes[*ret_length] = '\0';
    fclose(file);
    return bytes;
}

void log_write_file(const char *path, const char *bytes, size_t length)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}
