/* SPDX-License-Identifier: Apache-2.0
 * list.c - what one look-up in a list of ten million ids costs.
 *
 * Why: a big list may cost about what a small one costs.  The list is built by
 * the compiler that publishes use.  Each look-up begins only when the one
 * before it has answered, as in a request, so that the processor cannot hide
 * its cache misses in the next; half of the ids are members.  Numeric ids are
 * the goal's; text ids are shown beside them.  The median of 9 runs.
 *
 *   list [IDS]: default 10,000,000
 * Read next: engine/list.c, policy/list_build.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/model.h"
#include "policy/policy.h"

#define IDS 10000000u
#define ASKED 1000000u
#define ID_BYTES 12u
#define RUNS 9

struct asked {
    char text[ID_BYTES];
    uint32_t length;
    uint32_t member;
};

static int64_t now_ns(void)
{
    struct timespec now;

    /* Our own time: a busy neighbour is none of the list's cost. */
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *take(size_t size)
{
    void *memory = malloc(size);

    if (memory == NULL) {
        fprintf(stderr, "bench list: no memory\n");
        exit(1);
    }
    return memory;
}

/* The i-th id: one of every sixty-four numbers, in ascending order. */
static uint32_t write_id(char *text, bool numeric, uint64_t i, uint64_t off)
{
    uint64_t number = 1000000000 + i * 64 + (gray_mix64(i) + off) % 64;

    return (uint32_t)snprintf(text, ID_BYTES, "%s%llu", numeric ? "" : "u",
                              (unsigned long long)number);
}

static void build(struct gray_compiled *ret_compiled, bool numeric,
                  uint32_t count)
{
    struct gray_compile_options options = {.revision = 1};
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct model_text *ids = take(count * sizeof(*ids));
    char *bytes = take((size_t)count * ID_BYTES);
    struct model_list list = {"big", false, ids, count};
    struct model_entrance entrance = {.name = ""};
    struct gray_model model = {.lists = &list,
                               .list_count = 1,
                               .entrances = &entrance,
                               .entrance_count = 1,
                               .source = "[]",
                               .source_length = 2};
    uint32_t i;

    for (i = 0; i < count; i++) {
        ids[i].data = bytes + (size_t)i * ID_BYTES;
        ids[i].length = write_id(bytes + (size_t)i * ID_BYTES, numeric, i, 0);
    }
    if (gray_compile(&model, &options, ret_compiled, &findings) != 0) {
        gray_findings_print(&findings, stderr);
        exit(1);
    }
    free(ids);
    free(bytes);
}

static void draw(struct asked *asked, bool numeric, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < ASKED; i++) {
        uint64_t dice = gray_mix64(i + 1);

        asked[i].member = (uint32_t)(dice >> 63);
        asked[i].length = write_id(asked[i].text, numeric, dice % count,
                                   asked[i].member ? 0 : 1 + dice % 63);
    }
}

static double one_run(const struct gray_list *list, const struct asked *asked)
{
    uint32_t i = 0, wrong = 0, step;
    int64_t start = now_ns();

    while (i < ASKED) {
        bool found = gray_list_has(
            list, (struct gray_str){asked[i].text, asked[i].length});
        step = (uint32_t)found ^ asked[i].member; /* 0 */
        wrong += step;
        i += 1 + step;
    }
    if (wrong != 0) {
        fprintf(stderr, "bench list: %u wrong answers\n", wrong);
        exit(1);
    }
    return (double)(now_ns() - start) / ASKED;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void measure(bool numeric, uint32_t count, const char *name)
{
    struct asked *asked = take(ASKED * sizeof(*asked));
    struct gray_compiled compiled;
    struct gray_problem problem;
    struct gray_list list;
    double runs[RUNS];
    int i;

    build(&compiled, numeric, count);
    draw(asked, numeric, count);
    if (compiled.list_count != 1 ||
        gray_list_open(&list, compiled.lists[0].data, compiled.lists[0].size,
                       &problem) != 0) {
        fprintf(stderr, "bench list: the list does not open\n");
        exit(1);
    }
    for (i = 0; i < RUNS; i++) {
        runs[i] = one_run(&list, asked);
    }
    qsort(runs, RUNS, sizeof(*runs), by_value);
    printf("list_10m%s_lookup_ns %.1f ns\n", name, runs[RUNS / 2]);
    printf("list_10m%s_bytes_per_id %.3f bytes\n", name,
           (double)compiled.lists[0].size / count);
    gray_compiled_free(&compiled);
    free(asked);
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : IDS;

    if (count == 0) {
        fprintf(stderr, "usage: list [IDS]\n");
        return 2;
    }
    measure(true, count, "");
    measure(false, count, "_text");
    return 0;
}
