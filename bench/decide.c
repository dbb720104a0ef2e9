/* SPDX-License-Identifier: Apache-2.0
 * decide.c - what one decision costs, with ten rules and with 100,000.
 *
 * Why: a decision is paid by every request, and its cost must follow the
 * attributes of the request, not the number of rules.  Timed is all that a
 * gateway does of it: begin, method, host, target, eight headers (whose names'
 * hashes a server has already), then gray_decide().
 *
 * The policy: one service, one release (unit: cookie uid, share 10 %) whose
 * `match` has half of the rules, one lane whose rules are the other half.  Of
 * ten rules in either half: four ask for a header's exact value, two for a
 * path's prefix, two for a value in a set of three, one for a cookie's exact
 * value, one for a header and a path together; the very last match rule is the
 * path prefix "/", so that the share is reached.  The requests: of 64, one in
 * eight fits a lane rule (early, in the middle, late), one in four a match rule
 * other than the last, one in eight has no uid, the others fit nothing but "/".
 *
 * Beside it decide_one_release_ns: the same requests, the release alone.
 * Prints `name value unit`: the best of seven runs, for a busy machine only
 * adds.  `bench_decide RULES` measures that many rules alone, for a profiler.
 * Read next: ../engine/ruleset.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/engine.h"
#include "policy/policy.h"

#define REQUESTS 64u
#define HEADERS 8u
#define RUNS 7
#define ROUNDS 20000u

/* ---- allocations are counted ----------------------------------------------- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
static uint64_t allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocations++;
    return __libc_realloc(memory, size);
}

/* ---- the policy ------------------------------------------------------------ */

static void write_rule(FILE *out, const char *half, uint32_t i)
{
    switch (i % 10) {
    case 0:
    case 1:
    case 2:
    case 3:
        fprintf(out, "{\"header\":{\"name\":\"x-user\",\"exact\":\"%s-%u\"}}",
                half, i);
        return;
    case 4:
    case 5:
        fprintf(out, "{\"path\":{\"prefix\":\"/%s/area-%u/\"}}", half, i);
        return;
    case 6:
    case 7:
        fprintf(out,
                "{\"header\":{\"name\":\"x-group\",\"in\":"
                "[\"%s-a%u\",\"%s-b%u\",\"%s-c%u\"]}}",
                half, i, half, i, half, i);
        return;
    case 8:
        fprintf(out, "{\"cookie\":{\"name\":\"plan\",\"exact\":\"%s-%u\"}}",
                half, i);
        return;
    default:
        fprintf(out,
                "{\"all\":[{\"header\":{\"name\":\"x-app\",\"exact\":"
                "\"%s-%u\"}},{\"path\":{\"prefix\":\"/%s/\"}}]}",
                half, i, half);
    }
}

static char *write_documents(uint32_t rules, size_t *ret_length)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_length);
    if (out == NULL) {
        return NULL;
    }
    fprintf(out, "[{\"kind\":\"Service\",\"name\":\"cart\","
                 "\"baseline\":{\"version\":\"v1\"},\"versions\":{"
                 "\"v1\":{\"endpoints\":[\"127.0.0.1:9101\"]},"
                 "\"v2\":{\"endpoints\":[\"127.0.0.1:9102\",{\"address\":"
                 "\"127.0.0.1:9103\",\"labels\":{\"lane\":\"red\"}}]}}},"
                 "{\"kind\":\"Release\",\"name\":\"cart-2\",\"services\":["
                 "{\"service\":\"cart\",\"version\":\"v2\"}],"
                 "\"unit\":{\"cookie\":\"uid\"},\"admission\":{"
                 "\"share\":10%s",
            rules == 0 ? "}}]" : ",\"match\":[");
    if (rules == 0) {
        return fclose(out) == 0 ? text : NULL;
    }
    for (uint32_t i = 0; i + 1 < rules / 2; i++) {
        write_rule(out, "match", i);
        fputc(',', out);
    }
    fprintf(out, "{\"path\":{\"prefix\":\"/\"}}]}},"
                 "{\"kind\":\"Lane\",\"name\":\"red\",\"services\":[\"cart\"],"
                 "\"rules\":[");
    for (uint32_t i = 0; i < rules / 2; i++) {
        fprintf(out, "%s{\"name\":\"r%u\",\"when\":", i > 0 ? "," : "", i);
        write_rule(out, "lane", i);
        fputc('}', out);
    }
    fprintf(out, "]}]");
    return fclose(out) == 0 ? text : NULL;
}

static int compile(uint32_t rules, struct gray_compiled *ret_compiled)
{
    struct gray_findings findings = { 0 };
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;
    struct gray_compile_options options = { .revision = 1,
                                            .now = 1767225600000 };
    size_t length;
    char *text = write_documents(rules, &length);
    int result = -1;
    if (text != NULL &&
        gray_documents_add_text(docs, "bench", text, length, &findings) == 0) {
        model = gray_model_check(docs, &findings);
    }
    if (model != NULL) {
        result = gray_compile(model, &options, ret_compiled, &findings);
    }
    if (result != 0) {
        gray_findings_print(&findings, stderr);
    }
    gray_model_free(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
    free(text);
    return result;
}

/* ---- the requests ---------------------------------------------------------- */

struct request {
    char target[64], texts[HEADERS][64];
    struct gray_str path, names[HEADERS], values[HEADERS];
    uint32_t hashes[HEADERS];
};
static struct request requests[REQUESTS];

static void make_request(struct request *request, uint32_t number,
                         uint32_t rules)
{
    static const char *const names[HEADERS] = { "host",    "user-agent",
                                                "accept",  "cookie",
                                                "x-user",  "x-group",
                                                "referer", "accept-encoding" };
    /* A rule of kind 0 (x-user) at the beginning, the middle or the end. */
    uint32_t half = rules / 2, third = number / 8 % 3;
    uint32_t rule = third; /* of few rules */
    if (half >= 20) {
        rule = third == 0 ? 0 : third == 1 ? half / 20 * 10 : half - 10;
    }
    snprintf(request->target, sizeof(request->target), "/cart/items?id=%u",
             number);
    for (uint32_t i = 0; i < HEADERS; i++) {
        request->names[i] =
            (struct gray_str){ names[i], (uint32_t)strlen(names[i]) };
        request->hashes[i] = gray_hash_name(names[i], strlen(names[i]));
        snprintf(request->texts[i], sizeof(request->texts[i]), "v-%u-%u", i,
                 number);
    }
    snprintf(request->texts[3], sizeof(request->texts[3]), "%s%u; theme=dark",
             number % 8 == 5 ? "session=" : "uid=10000", number * 7919 % 9973);
    if (number % 8 == 0) {
        snprintf(request->texts[4], sizeof(request->texts[4]), "lane-%u", rule);
    } else if (number % 4 == 1) {
        snprintf(request->texts[4], sizeof(request->texts[4]), "match-%u",
                 rule);
    }
    request->path = (struct gray_str){ request->target,
                                       (uint32_t)strlen(request->target) };
    for (uint32_t i = 0; i < HEADERS; i++) {
        request->values[i] = (struct gray_str){
            request->texts[i], (uint32_t)strlen(request->texts[i])
        };
    }
}

struct bench {
    struct gray_snapshot policy;
    struct gray_view view;
    uint32_t lanes, arms; /* what came out, so that it cannot be left out */
};

static __attribute__((noinline)) void
decide_one(struct bench *bench, const struct request *request)
{
    static const struct gray_str get = { "GET", 3 };
    struct gray_input in;
    struct gray_colour colour;
    gray_input_begin(&in, &bench->policy, 1767225600000, 42);
    gray_input_method(&in, get);
    gray_input_host(&in, (struct gray_str){ "shop.example", 12 });
    gray_input_target(&in, request->path);
    for (uint32_t i = 0; i < HEADERS; i++) {
        if (gray_input_wants(&bench->policy, request->hashes[i])) {
            gray_input_header(&in, request->hashes[i], request->names[i],
                              request->values[i]);
        }
    }
    gray_decide(&bench->view, 0, &in, NULL, NULL, &colour, NULL);
    bench->lanes += colour.lane != GRAY_NONE;
    bench->arms += colour.arm_count;
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Best of the runs, ns a decision; -1 when the policy does not compile. */
static double measure(uint32_t rules, uint64_t *ret_allocations)
{
    struct gray_compiled compiled;
    struct gray_problem problem;
    struct bench bench = { .lanes = 0 };
    double best = 1e18;
    if (compile(rules, &compiled) != 0) {
        return -1;
    }
    if (gray_snapshot_open(&bench.policy, compiled.policy.data,
                           compiled.policy.size, &problem) != 0) {
        fprintf(stderr, "%s: %s\n", problem.code, problem.sentence);
        return -1;
    }
    bench.view = (struct gray_view){ .policy = &bench.policy };
    for (uint32_t i = 0; i < REQUESTS; i++) {
        make_request(&requests[i], i, rules);
    }
    uint64_t before = allocations;
    for (int run = 0; run < RUNS; run++) {
        double start = now_ns();
        for (uint32_t round = 0; round < ROUNDS; round++) {
            decide_one(&bench, &requests[round % REQUESTS]);
        }
        double ns = (now_ns() - start) / ROUNDS;
        best = ns < best ? ns : best;
    }
    *ret_allocations += allocations - before;
    uint64_t total = (uint64_t)RUNS * ROUNDS;
    if ((rules != 0 && bench.lanes < total / 16) || bench.arms < total / 50 ||
        bench.arms > total / 2) {
        fprintf(stderr, "%u rules: %u lanes and %u arms are not the mix\n",
                rules, bench.lanes, bench.arms);
        best = -1;
    }
    gray_compiled_free(&compiled);
    return best;
}

int main(int argc, char **argv)
{
    uint64_t count = 0;
    if (argc > 1) {
        printf("decide_ns %.1f ns\n",
               measure((uint32_t)strtoul(argv[1], NULL, 10), &count));
        return 0;
    }
    double none = measure(0, &count), few = measure(10, &count);
    double many = measure(100000, &count);
    if (none < 0 || few < 0 || many < 0) {
        return 1;
    }
    printf("decide_one_release_ns %.1f ns\n", none);
    printf("decide_10_rules_ns %.1f ns\n", few);
    printf("decide_100k_rules_ns %.1f ns\n", many);
    printf("decide_allocations %llu allocations\n", (unsigned long long)count);
    return 0;
}
