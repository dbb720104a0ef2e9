/* SPDX-License-Identifier: Apache-2.0
 * store.c - what grayd's memory costs: commits, synced, and answers.
 *
 * Why: each verb of an operator is one commit, and each page of a list is read
 * while the gateway works beside it.  The store lies on a real disk (the
 * folder given, default /var/tmp), for on tmpfs a sync costs nothing; it holds
 * 100,000 documents, as of now and as of a revision before each of them was
 * changed.  Commits are timed by the clock, answers by our own time.
 *
 *   store [FOLDER]
 * Read next: control/store/store.h.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/store/store.h"

#define DOCUMENTS 100000u
#define TEXT_BYTES 400u
#define COMMITS 500u
#define READS 20000u
#define PAGE 100u

static struct gray_problem problem;

static void must(int error)
{
    if (error != 0) {
        fprintf(stderr, "bench store: %s\n", problem.sentence);
        exit(1);
    }
}

static double now_s(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int count(void *context, const struct store_item *item)
{
    uint64_t *bytes = context;

    *bytes += item->length;
    return 0;
}

static void name_of(char name[32], uint32_t i)
{
    snprintf(name, 32, "Service/svc-%06u", i);
}

static uint64_t fill(struct store *store, const char *text, uint64_t revision)
{
    struct store_put *puts = calloc(DOCUMENTS, sizeof(*puts));
    char(*names)[32] = calloc(DOCUMENTS, sizeof(*names));
    struct store_batch batch = { .at = 1, .expected_revision = revision,
                                 .puts = puts, .put_count = DOCUMENTS };
    uint32_t i;

    if (puts == NULL || names == NULL) {
        fprintf(stderr, "bench store: no memory\n");
        exit(1);
    }
    for (i = 0; i < DOCUMENTS; i++) {
        name_of(names[i], i);
        puts[i].space = STORE_DOCUMENT;
        puts[i].name = names[i];
        puts[i].text = text;
        puts[i].length = TEXT_BYTES;
    }
    must(store_commit(store, &batch, &revision, &problem));
    free(puts);
    free(names);
    return revision;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* A release's state, an audit record and an effect each, as a verb makes. */
static void measure_commits(struct store *store, const char *text,
                            uint64_t revision)
{
    static double took[COMMITS];
    struct store_put put = { STORE_RELEASE, "cart-2", text, TEXT_BYTES };
    struct store_audit audit = { .text = text, .length = TEXT_BYTES };
    struct store_effect effect = { "publish", "{}" };
    struct store_batch batch = { .at = 1, .puts = &put, .put_count = 1,
                                 .audits = &audit, .audit_count = 1,
                                 .effects = &effect, .effect_count = 1 };
    double start = now_s(CLOCK_MONOTONIC), all;
    uint32_t i;

    for (i = 0; i < COMMITS; i++) {
        double begin = now_s(CLOCK_MONOTONIC);

        batch.expected_revision = revision;
        audit.sequence = i + 1;
        must(store_commit(store, &batch, &revision, &problem));
        took[i] = now_s(CLOCK_MONOTONIC) - begin;
    }
    all = now_s(CLOCK_MONOTONIC) - start;
    qsort(took, COMMITS, sizeof(*took), by_value);
    printf("store_commits_s %.0f commits/s\n", COMMITS / all);
    printf("store_commit_p99_ms %.2f ms\n", took[COMMITS * 99 / 100] * 1e3);
}

static void measure_reads(struct store_reader *reader, uint64_t revision,
                          const char *suffix)
{
    double start = now_s(CLOCK_THREAD_CPUTIME_ID);
    uint64_t bytes = 0;
    char name[32];
    uint32_t i;

    for (i = 0; i < READS; i++) {
        name_of(name, (i * 7919) % DOCUMENTS);
        must(store_read_item(reader, STORE_DOCUMENT, name, revision, count,
                             &bytes, &problem));
    }
    printf("store_read_item%s_us %.1f us\n", suffix,
           (now_s(CLOCK_THREAD_CPUTIME_ID) - start) * 1e6 / READS);
    start = now_s(CLOCK_THREAD_CPUTIME_ID);
    for (i = 0; i < READS / PAGE; i++) {
        name_of(name, (i * 7919) % (DOCUMENTS - 2 * PAGE));
        must(store_read_items(reader, STORE_DOCUMENT, revision, name, PAGE,
                              count, &bytes, &problem));
    }
    printf("store_page_of_100%s_us %.0f us\n", suffix,
           (now_s(CLOCK_THREAD_CPUTIME_ID) - start) * 1e6 * PAGE / READS);
    if (bytes != (uint64_t)2 * READS * TEXT_BYTES) {
        fprintf(stderr, "bench store: wrong answers\n");
        exit(1);
    }
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

int main(int argc, char **argv)
{
    struct store_reader *reader = NULL;
    struct store *store = NULL;
    static char text[TEXT_BYTES];
    char folder[300];
    uint64_t revision;
    double start;

    memset(text, 'x', sizeof(text));
    snprintf(folder, sizeof(folder), "%.200s/graylane-bench.XXXXXX",
             argc > 1 ? argv[1] : "/var/tmp");
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "bench store: %s: %s\n", folder, strerror(errno));
        return 1;
    }
    must(store_open(&store, folder, &problem));
    must(store_reader_open(&reader, folder, &problem));
    revision = fill(store, text, 0);
    revision = fill(store, text, revision);
    measure_commits(store, text, revision);
    measure_reads(reader, 0, "");
    measure_reads(reader, 1, "_as_of");
    store_reader_close(reader);
    store_close(store);
    start = now_s(CLOCK_MONOTONIC);
    must(store_open(&store, folder, &problem));
    printf("store_open_ms %.0f ms\n",
           (now_s(CLOCK_MONOTONIC) - start) * 1e3);
    store_close(store);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
