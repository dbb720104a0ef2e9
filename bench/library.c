/* SPDX-License-Identifier: Apache-2.0
 * library.c - what a question to libgray costs, as a program pays it.
 *
 * Why: an application asks inside its own requests, through the public header
 * and the shared library.  The policy has a release with 100 rules (half match
 * rules, half deny rules), share 50 %, `entity`, on a folder on tmpfs whose
 * table holds a mark of each of 50,000 units.  Timed are whole calls:
 *
 *   libgray_decide_ns      gray_client_decide(), the mark handed in
 *   libgray_release_ns     gray_client_release(), the mark in the folder's table
 *   libgray_ask_ns         gray_client_ask() of a request with a cookie
 *   libgray_experiment_ns  gray_client_experiment() of who is not sampled,
 *                          beside the control itself
 *   libgray_experiment_none_p50_us, _p99_us, _slow_p50_us, _slow_p99_us
 *                          calls of a control of 20 us, one every 100 us:
 *                          without candidates, and all with candidates that
 *                          take 50 ms each
 *
 * Each is the best of seven runs, by the thread's own time, for a busy machine
 * only adds; the last ones are of one run, by the clock.  With a name (decide, release, ask) only that loop runs, for
 * a profiler.  Read next: ../runtime/gray.h, ../runtime/client_mark.c.
 */
#include <ftw.h>
#include <gray.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/policy.h"
#include "runtime/client.h"

#define UNITS 50000u /* what a table has room for before it grows */
#define RUNS 7
#define CALLS 200000u
#define SLOW_CALLS 2000u

struct bench {
    char folder[64];
    struct gray_client *client;
    char (*units)[16];
    struct gray_client_mark *marks;
    uint64_t in; /* what came out, so that it cannot be left out */
};

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench library: %s failed\n", what);
        exit(1);
    }
}

static double now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ---- the folder ----------------------------------------------------------- */

static char *documents(size_t *ret_length)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_length);
    uint32_t i;

    must(out != NULL, "memory");
    fprintf(out, "[{\"kind\":\"Service\",\"name\":\"order\",\"baseline\":"
                 "{\"version\":\"v1\"},\"versions\":{\"v1\":{\"endpoints\":"
                 "[\"127.0.0.1:9101\"]},\"v2\":{\"endpoints\":"
                 "[\"127.0.0.1:9102\"]}}},{\"kind\":\"Release\",\"name\":"
                 "\"order-2\",\"services\":[{\"service\":\"order\",\"version\":"
                 "\"v2\"}],\"unit\":{\"cookie\":\"oid\"},\"stickiness\":"
                 "\"entity\",\"admission\":{\"share\":50,\"match\":[");
    for (i = 0; i < 50; i++) {
        fprintf(out, "{\"path\":{\"prefix\":\"/area-%u/\"}},", i);
    }
    fprintf(out, "{\"path\":{\"prefix\":\"/\"}}],\"deny\":[");
    for (i = 0; i < 50; i++) {
        fprintf(out, "%s{\"header\":{\"name\":\"x-user\",\"exact\":\"u-%u\"}}",
                i > 0 ? "," : "", i);
    }
    fprintf(out, "]}}]");
    must(fclose(out) == 0, "memory");
    return text;
}

static void publish(const char *folder)
{
    struct gray_findings findings = { 0 };
    struct gray_documents *docs = gray_documents_new();
    struct gray_compile_options options = { .revision = 1,
                                            .now = 1767225600000 };
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_compiled compiled;
    struct gray_publish what;
    struct gray_model *model;
    size_t length;
    char *text = documents(&length);

    must(gray_documents_add_text(docs, "bench", text, length, &findings) == 0,
         "reading");
    model = gray_model_check(docs, &findings);
    must(model != NULL &&
             gray_compile(model, &options, &compiled, &findings) == 0,
         "compiling");
    what = (struct gray_publish){ .policy = compiled.policy.data,
                                  .policy_size = compiled.policy.size,
                                  .fleet = compiled.fleet.data,
                                  .fleet_size = compiled.fleet.size,
                                  .group = (gid_t)-1 };
    if (gray_publish(folder, &what, NULL, &problem) != 0) {
        fprintf(stderr, "bench library: %s\n", problem.sentence);
        exit(1);
    }
    gray_compiled_free(&compiled);
    gray_model_free(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
    free(text);
}

/* As a gateway's worker admits them. */
static void make_marks(struct bench *b)
{
    struct gray_runtime *runtime;
    struct gray_marked marked;
    struct gray_verdict verdict;
    struct gray_input in;
    uint32_t i;

    must(gray_runtime_open(&runtime, b->folder, GRAY_READER_NGINX, true,
                           NULL) == 0,
         "opening");
    for (i = 0; i < UNITS; i++) {
        const struct gray_view *view = gray_runtime_view(runtime, NULL);

        snprintf(b->units[i], sizeof(b->units[i]), "o%u", i * 7919u);
        gray_input_begin(&in, view->policy, 1767225600000, 1);
        gray_input_target(&in, (struct gray_str){ "/orders", 7 });
        gray_input_unit(&in, (struct gray_str){ b->units[i],
                                                (uint32_t)strlen(
                                                    b->units[i]) });
        gray_marked_begin(&marked, runtime, view, 1767225600000);
        gray_release_marked(&marked, 0, &in, &verdict, NULL);
    }
    gray_runtime_close(runtime);
}

static int remove_one(const char *path, const struct stat *facts, int kind,
                      struct FTW *where)
{
    (void)facts;
    (void)kind;
    (void)where;
    return remove(path);
}

/* ---- the questions ----------------------------------------------------------- */

static void decide(struct bench *b, uint32_t i)
{
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = b->units[i % UNITS] };
    struct gray_client_decision d = { .size = sizeof(d) };

    gray_client_decide(b->client, "order-2", &request, GRAY_CLIENT_MARK,
                       &b->marks[i % UNITS], &d);
    b->in += d.says == GRAY_CLIENT_IN;
}

static void release(struct bench *b, uint32_t i)
{
    struct gray_client_request request = { .size = sizeof(request),
                                           .target = "/orders",
                                           .unit = b->units[i % UNITS] };
    struct gray_client_verdict verdict = { .size = sizeof(verdict) };

    gray_client_release(b->client, "order-2", &request, &verdict);
    b->in += verdict.in == 1;
}

static void ask(struct bench *b, uint32_t i)
{
    char cookie[32] = "oid=";
    struct gray_client_pair headers[] = { { "host", "shop.example" },
                                          { "user-agent", "bench/1" },
                                          { "accept", "*/*" },
                                          { "cookie", cookie } };
    struct gray_client_request request = { .size = sizeof(request),
                                           .method = "GET",
                                           .target = "/orders",
                                           .headers = headers,
                                           .header_count = 4 };
    struct gray_client_answer answer = { .size = sizeof(answer) };

    strcpy(cookie + 4, b->units[i % UNITS]);
    gray_client_ask(b->client, &request, &answer);
    b->in += answer.arms[0] != '\0';
}

static int nothing(void *input, void *result)
{
    *(uint32_t *)result = *(uint32_t *)input + 1;
    return 0;
}

static void experiment(struct bench *b, uint32_t i)
{
    uint32_t result = 0;
    struct gray_client_trial trial = { .size = sizeof(trial),
                                       .name = "nothing",
                                       .unit = b->units[i % UNITS],
                                       .share = 0,
                                       .control = nothing,
                                       .candidate = nothing,
                                       .input = &i,
                                       .input_size = sizeof(i),
                                       .result_size = sizeof(result) };

    gray_client_experiment(b->client, &trial, &result);
    b->in += result & 1;
}

/* Each row keeps the mark that it gets. */
static void make_rows(struct bench *b)
{
    uint32_t i;

    for (i = 0; i < UNITS; i++) {
        struct gray_client_request request = { .size = sizeof(request),
                                               .target = "/orders",
                                               .unit = b->units[i] };
        struct gray_client_decision d = { .size = sizeof(d) };

        must(gray_client_decide(b->client, "order-2", &request,
                                GRAY_CLIENT_ABSENT, NULL, &d) == 0 &&
                 d.store == 1,
             "a mark for a row");
        b->marks[i] = d.mark;
    }
}

static void measure(struct bench *b, const char *name,
                    void (*call)(struct bench *, uint32_t))
{
    double best = 1e18;
    uint32_t i;
    int run;

    b->in = 0;
    for (run = 0; run < RUNS; run++) {
        double start = now_ns(CLOCK_THREAD_CPUTIME_ID), ns;

        for (i = 0; i < CALLS; i++) {
            call(b, i);
        }
        ns = (now_ns(CLOCK_THREAD_CPUTIME_ID) - start) / CALLS;
        best = ns < best ? ns : best;
    }
    must(b->in > (uint64_t)RUNS * CALLS / 3 &&
             b->in < (uint64_t)RUNS * CALLS * 2 / 3,
         name);
    printf("libgray_%s_ns %.1f ns\n", name, best);
}

/* ---- a slow candidate ----------------------------------------------------------- */

static int slow_control(void *input, void *result)
{
    double until = now_ns(CLOCK_MONOTONIC) + 20000;

    while (now_ns(CLOCK_MONOTONIC) < until) {
    }
    return nothing(input, result);
}

static int slow_candidate(void *input, void *result)
{
    nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    return nothing(input, result);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure_slow(struct bench *b, const char *name, uint32_t share)
{
    static double took[SLOW_CALLS];
    uint32_t i, result;

    for (i = 0; i < SLOW_CALLS; i++) {
        struct gray_client_trial trial = { .size = sizeof(trial),
                                           .name = "slow",
                                           .share = share,
                                           .control = slow_control,
                                           .candidate = slow_candidate,
                                           .input = &i,
                                           .input_size = sizeof(i),
                                           .result_size = sizeof(result) };
        double start = now_ns(CLOCK_MONOTONIC);

        gray_client_experiment(b->client, &trial, &result);
        took[i] = now_ns(CLOCK_MONOTONIC) - start;
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
    qsort(took, SLOW_CALLS, sizeof(took[0]), compare);
    printf("libgray_experiment_%s_p50_us %.1f us\n", name,
           took[SLOW_CALLS / 2] / 1000);
    printf("libgray_experiment_%s_p99_us %.1f us\n", name,
           took[SLOW_CALLS * 99 / 100] / 1000);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*call)(struct bench *, uint32_t);
    } all[] = { { "decide", decide },
                { "release", release },
                { "ask", ask },
                { "experiment", experiment } };
    struct bench b = { .folder = "/dev/shm/gray-bench-XXXXXX" };
    size_t i;

    b.units = calloc(UNITS, sizeof(b.units[0]));
    b.marks = calloc(UNITS, sizeof(b.marks[0]));
    must(b.units != NULL && b.marks != NULL && mkdtemp(b.folder) != NULL,
         "a folder");
    publish(b.folder);
    make_marks(&b);
    must(gray_client_open(&b.client, b.folder, NULL) == 0, "opening");
    make_rows(&b);
    /* As half a minute after a publication: its trial (runtime/trial.c) costs
     * each question two clocks. */
    b.client->runtime->slot.file->suspect = 0;
    b.client->runtime->on_clock = 0;
    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (argc < 2 || strcmp(argv[1], all[i].name) == 0) {
            measure(&b, all[i].name, all[i].call);
        }
    }
    if (argc < 2) {
        measure_slow(&b, "none", 0);
        measure_slow(&b, "slow", 1000000);
    }
    gray_client_close(b.client);
    nftw(b.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(b.units);
    free(b.marks);
    return 0;
}
