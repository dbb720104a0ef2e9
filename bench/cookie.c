/* SPDX-License-Identifier: Apache-2.0
 * cookie.c - what it costs to verify one signed cookie.
 *
 * Why: a worker verifies a cookie only when the answer hangs on it, and
 * remembers the value; this is the price of the first time.  The cookie is an
 * ordinary one: no issued id, one mark.  The median of 15 runs is printed, for
 * the machine may be busy.
 * Read next: runtime/token.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/runtime.h"

#define RUNS 15
#define READS 100000u
#define NOW 1767225600

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double one_run(const struct gray_runtime *runtime, struct gray_str name,
                      struct gray_str value)
{
    struct gray_cookie cookie;
    int64_t start = now_ns();
    uint32_t i, good = 0;

    for (i = 0; i < READS; i++) {
        good += gray_cookie_read(runtime, name, value, NOW, &cookie) == 0;
    }
    if (good != READS) {
        fprintf(stderr, "a cookie of our own did not verify\n");
        exit(1);
    }
    return (double)(now_ns() - start) / READS;
}

int main(void)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_cookie cookie = { .issued = NOW,
                                  .expires = NOW + 86400,
                                  .mark_count = 1 };
    struct gray_str name = { GRAY_COOKIE_NAME, sizeof(GRAY_COOKIE_NAME) - 1 };
    struct gray_problem problem = { NULL, "", 0 };
    char path[] = "/dev/shm/graylane-bench.XXXXXX", text[GRAY_COOKIE_MAX];
    char command[80];
    struct gray_runtime *runtime;
    double runs[RUNS];
    size_t length;
    int i;

    cookie.marks[0].scope = 42;
    cookie.marks[0].unit_hash = 43;
    cookie.marks[0].state = GRAY_MARK_IN;
    if (mkdtemp(path) == NULL || chmod(path, 0755) != 0 ||
        gray_publish(path, &nothing, NULL, &problem) != 0 ||
        gray_runtime_open(&runtime, path, GRAY_READER_CLI, false, &problem) !=
            0) {
        fprintf(stderr, "%s: %s\n", path, problem.sentence);
        return 1;
    }
    length = gray_cookie_write(runtime, name, &cookie, text, sizeof(text));
    for (i = 0; i < RUNS; i++) {
        runs[i] = one_run(runtime, name,
                          (struct gray_str){ text, (uint32_t)length });
    }
    qsort(runs, RUNS, sizeof(runs[0]), by_value);
    printf("cookie_verify_ns %.0f ns\n", runs[RUNS / 2]);
    gray_runtime_close(runtime);
    snprintf(command, sizeof(command), "rm -rf %s", path);
    return system(command) == 0 ? 0 : 1;
}
