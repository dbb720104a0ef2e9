/* SPDX-License-Identifier: Apache-2.0
 * audit.c - how long it takes to verify an audit of a million records.
 *
 * Why: an audit that is too slow to verify is not verified.  A million records
 * of about 500 bytes stand in a real store with a signed checkpoint after each
 * thousand; one pass reads, hashes and compares all of them.  The time is that
 * of opening a reader and of audit_verify(), as `gray audit verify` does it;
 * the median of three runs.
 *
 *   audit [RECORDS [FOLDER]]: default 1,000,000, in /var/tmp (600 MB)
 * Read next: control/audit/walk.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/audit/audit.h"

#define RECORDS 1000000u
#define BATCH 1000u
#define RUNS 3

static struct gray_problem problem;

static int die(const char *what)
{
    fprintf(stderr, "audit: %s: %s\n", what, problem.sentence);
    return 1;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Commits one batch of records, each about 500 bytes. */
static int commit(struct store *store, struct audit_tree *tree,
                  uint8_t chain[AUDIT_HASH], uint64_t *bytes)
{
    static struct store_audit audits[BATCH];
    struct store_batch batch = { .at = 1767225600000,
                                 .audits = audits,
                                 .audit_count = BATCH };
    uint64_t revision;
    char reason[300];
    size_t i;
    int error;

    for (i = 0; i < BATCH; i++) {
        struct audit_entry entry = { .at = 1767225600000 + (int64_t)tree->size,
                                     .actor = "ci-cart",
                                     .role = "operator",
                                     .via = "token",
                                     .action = "set-weight",
                                     .resource = "Release/cart-2",
                                     .outcome = "done",
                                     .reason = reason,
                                     .triggered_by = "USER",
                                     .revision = tree->size + 1 };

        snprintf(reason, sizeof(reason), "step %llu %0250d",
                 (unsigned long long)tree->size, 0);
        audits[i].sequence = tree->size + 1;
        audits[i].text = audit_record_text(audits[i].sequence, &entry,
                                           &audits[i].length);
        audit_chain(chain, audits[i].text, audits[i].length, chain);
        memcpy(audits[i].hash, chain, AUDIT_HASH);
        audit_tree_append(tree, audits[i].text, audits[i].length);
        *bytes += audits[i].length;
    }
    error = store_commit(store, &batch, &revision, &problem);
    for (i = 0; i < BATCH; i++) {
        free((char *)audits[i].text);
    }
    return error;
}

static int fill(const char *folder, uint64_t records, uint64_t *ret_bytes)
{
    struct audit_signer *signer = NULL;
    struct audit_tree tree = { .size = 0 };
    uint8_t chain[AUDIT_HASH] = { 0 };
    struct store *store = NULL;
    int error = store_open(&store, folder, &problem);

    *ret_bytes = 0;
    if (error == 0) {
        error = audit_signer_open(&signer, folder, "bench.example", &problem);
    }
    while (error == 0 && tree.size < records) {
        error = commit(store, &tree, chain, ret_bytes);
        if (error == 0) {
            error = audit_checkpoint(signer, &tree, chain, 1767225600000,
                                     NULL, &problem);
        }
    }
    audit_signer_close(signer);
    store_close(store);
    return error;
}

static double verify(const char *folder, uint64_t records)
{
    struct store_reader *reader;
    struct audit_report report;
    double start = now();

    if (store_reader_open(&reader, folder, &problem) != 0 ||
        audit_verify(reader, folder, NULL, &report, &problem) != 0) {
        exit(die("verify"));
    }
    store_reader_close(reader);
    if (!report.good || report.records != records ||
        report.checkpoints != records / BATCH) {
        fprintf(stderr, "audit: %s\n", report.sentence);
        exit(1);
    }
    return now() - start;
}

int main(int argc, char **argv)
{
    uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : RECORDS;
    char folder[256], command[300];
    double runs[RUNS];
    uint64_t bytes;
    int i;

    snprintf(folder, sizeof(folder), "%s/graylane-bench.XXXXXX",
             argc > 2 ? argv[2] : "/var/tmp");
    records = records / BATCH * BATCH;
    if (mkdtemp(folder) == NULL || fill(folder, records, &bytes) != 0) {
        return die(folder);
    }
    for (i = 0; i < RUNS; i++) {
        runs[i] = verify(folder, records);
    }
    qsort(runs, RUNS, sizeof(runs[0]), by_value);
    printf("audit_record_bytes %.0f bytes\n", (double)bytes / (double)records);
    printf("audit_verify_1m_s %.2f s\n",
           runs[RUNS / 2] * 1e6 / (double)records);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
