/* SPDX-License-Identifier: Apache-2.0
 * worker.c - gray-recon: one run, asked for on standard input.
 *
 * Why: grayd starts this for each run (../checks/run_child.c) and reads what it
 * says when it has ended.  It gives way to everything else on the host, its
 * memory is bounded, and it dies with the grayd that asked.
 *   in   {"check": DOCUMENT, "state", "folder", "from": ms | null, "until",
 *        "now", "decisionLog": files that grayd follows | null}; from 0 is the
 *        release's own beginning
 *   out  {"report": ...} or {"problem": {"code", "sentence"}}
 * Read next: run.h.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/recon/rules.h"
#include "control/recon/run.h"

#define MEMORY_MAX (2ull << 30) /* bytes of its own; maps of files are none */
#define NICENESS 10

#if defined(__SANITIZE_ADDRESS__)
#define UNBOUNDED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNBOUNDED 1 /* its shadow is larger than any bound */
#endif
#endif

static int usage(void)
{
    fputs("gray-recon: is started by grayd, for a Check; see `gray recon`.\n",
          stderr);
    return 2;
}

/* Whoever asked is gone: nobody wants to know. */
static bool live_with(long parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && (long)getppid() == parent;
}

/* Where memory is short, this goes before grayd does. */
static void be_first(void)
{
    FILE *file = fopen("/proc/self/oom_score_adj", "we");

    if (file != NULL) {
        fputs("500", file);
        fclose(file);
    }
}

static void be_small(void)
{
#ifndef UNBOUNDED
    struct rlimit limit = {MEMORY_MAX, MEMORY_MAX};

    setrlimit(RLIMIT_DATA, &limit);
#endif
    if (setpriority(PRIO_PROCESS, 0, NICENESS) != 0) {
        perror("gray-recon: nice");
    }
}

static int say(json_t *said)
{
    int bad = said == NULL ||
              json_dumpf(said, stdout, JSON_COMPACT) != 0 ||
              fflush(stdout) != 0;

    json_decref(said);
    return bad ? 1 : 0;
}

static int say_problem(const struct gray_problem *problem)
{
    return say(json_pack("{s:{s:s,s:s}}", "problem", "code", problem->code,
                         "sentence", problem->sentence));
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static int run(const json_t *ask)
{
    const json_t *from = json_object_get(ask, "from");
    struct run_options options = {
        .state = text_of(ask, "state"),
        .folder = text_of(ask, "folder"),
        .decision_log =
            json_string_value(json_object_get(ask, "decisionLog")),
        .now = (int64_t)json_integer_value(json_object_get(ask, "now")),
        .from = json_is_integer(from) ? (int64_t)json_integer_value(from)
                                      : CHECK_NEVER,
        .until = (int64_t)json_integer_value(json_object_get(ask, "until")),
    };
    struct gray_problem problem = {.code = "bad-check"};
    struct check check;
    json_t *report = NULL;
    int status;

    if (check_read(&check, json_object_get(ask, "check"), problem.sentence,
                   sizeof(problem.sentence)) != 0) {
        return say_problem(&problem);
    }
    setenv("SQLITE_TMPDIR", options.folder, 1);
    status = recon_run(&check, &options, &report, &problem) == 0
                 ? say(json_pack("{s:o}", "report", report))
                 : say_problem(&problem);
    check_free(&check);
    return status;
}

int main(int argc, char **argv)
{
    json_t *ask;
    int status;

    if (argc != 2 || isatty(STDIN_FILENO)) {
        return usage();
    }
    if (!live_with(strtol(argv[1], NULL, 10))) {
        return 1;
    }
    be_small();
    be_first();
    ask = json_loadf(stdin, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(ask)) {
        json_decref(ask);
        return usage();
    }
    status = run(ask);
    json_decref(ask);
    return status;
}
