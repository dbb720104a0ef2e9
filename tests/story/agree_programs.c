/* SPDX-License-Identifier: Apache-2.0
 * agree_programs.c - libgray, `gray explain`, engine and brute force agree.
 *
 * Why: whoever asks "why?" must get one answer.  Each invented policy is
 * published by `gray publish` into a new runtime folder, from which
 * libgray.so answers each request; the same requests go as lines of JSON
 * through a `gray explain -f` process.  All lines must be the same to the
 * byte, and say what brute force decided.  Their traces are counted: a run
 * that met a condition or a source too seldom fails.
 *
 *   agree_programs BUILD [--policies N] [--requests M] [--seed S] [--first P]
 *       [--hits H]
 * Read next: agree_line.c, agree_library.c; gateway_library_and_cli_agree.py
 * (real nginx beside them).
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/story/agree.h"

#define PATH_BYTES 256u
#define SHOW_BYTES 3000u /* of a line that differs */

extern char **environ;

struct options {
    const char *build;
    uint32_t policies, first;
    uint64_t requests, seed, hits;
};

/* A policy whose requests are with `gray explain`, while the next is prepared:
 * two processes work at a time. */
struct job {
    char policy_file[PATH_BYTES], requests_file[PATH_BYTES];
    char answers_file[PATH_BYTES], said_file[PATH_BYTES];
    struct text policy, requests, lines; /* lines: engine's and libgray's */
    uint32_t number;
    pid_t pid; /* 0: none is under way */
};

struct run {
    struct options options;
    char folder[PATH_BYTES], gray[PATH_BYTES];
    struct job jobs[2];
    struct text answers;
    struct hits hits;
    uint64_t policies, requests, refused;
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    told_to_end = number;
}

/* ---- files and processes ------------------------------------------------ */

/* `room` has PATH_BYTES; a name that is too long ends the program. */
static void name_file(char *room, const char *folder, const char *name)
{
    int length = snprintf(room, PATH_BYTES, "%s/%s", folder, name);

    if (length < 0 || (unsigned)length >= PATH_BYTES) {
        fprintf(stderr, "agree: a path of %d bytes\n", length);
        exit(2);
    }
}

static int remove_one(const char *path, const struct stat *facts, int kind,
                      struct FTW *where)
{
    (void)facts;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool write_file(const char *path, const struct text *t)
{
    FILE *file = fopen(path, "w");
    bool good =
        file != NULL && fwrite(t->data, 1, t->length, file) == t->length;

    if (file != NULL) {
        good &= fclose(file) == 0;
    }
    if (!good) {
        perror(path);
    }
    return good;
}

static bool read_file(const char *path, struct text *ret_text)
{
    static char block[1 << 16];
    FILE *file = fopen(path, "r");
    size_t got;

    if (file == NULL) {
        perror(path);
        return false;
    }
    ret_text->length = 0;
    text_add_bytes(ret_text, "", 0);
    while ((got = fread(block, 1, sizeof(block), file)) > 0) {
        text_add_bytes(ret_text, block, got);
    }
    fclose(file);
    return true;
}

/* 0: could not be started, which was said. */
static pid_t start(const struct run *run, const char *const *arguments,
                   const char *output, const char *said)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int error, flags = O_WRONLY | O_CREAT | O_TRUNC;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, said, flags, 0600);
    error = posix_spawn(&pid, run->gray, &actions, NULL,
                        (char *const *)(uintptr_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        fprintf(stderr, "agree: %s: %s\n", run->gray, strerror(error));
        return 0;
    }
    return pid;
}

/* True: it ended well.  Else shows what it said. */
static bool finish(pid_t pid, const char *what, const char *said)
{
    static struct text words;
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    fprintf(stderr, "agree: gray %s: status %#x\n", what, (unsigned)status);
    if (read_file(said, &words)) {
        fprintf(stderr, "%.*s\n", (int)SHOW_BYTES, words.data);
    }
    return false;
}

/* ---- one policy --------------------------------------------------------- */

static bool publish(const struct run *run, const struct job *job,
                    const char *runtime)
{
    const char *const arguments[] = {
        run->gray,   "publish", "-f", job->policy_file,
        "--runtime", runtime,   NULL};
    pid_t pid;

    remove_folder(runtime);
    pid = start(run, arguments, "/dev/null", job->said_file);
    return pid != 0 && finish(pid, "publish", job->said_file);
}

/* One request in this process: brute force, engine and libgray. */
static bool ask(struct run *run, struct job *job, struct scene *scene,
                struct gray_client *client, struct dice *d)
{
    static char line[AGREE_LINE_BYTES], library[AGREE_LINE_BYTES];
    static struct invented in;
    static struct brute_answer wanted;
    uint32_t entrance = scene_invent(scene, &in, d);
    size_t before = job->requests.length;
    size_t length = scene_explain(scene, &in, entrance, line);
    size_t other = library_explain(client, &in, library);
    bool same = other == length && memcmp(line, library, length) == 0;

    invent_line(&in, &job->requests);
    text_add_bytes(&job->lines, line, length);
    text_add_bytes(&job->lines, "\n", 1);
    run->requests++;
    if (!same) {
        fprintf(stderr, "engine and libgray differ:\n%s\n%.*s\n", line,
                (int)other, library);
    } else {
        brute_decide(&scene->brute, &in.request, entrance, &wanted);
        same = line_says(line, length, scene, &in.request, &wanted);
        if (!same) {
            fprintf(stderr, "brute force and engine differ:\n%s\n", line);
        }
    }
    if (!same) {
        fprintf(stderr, "policy %u: %s", job->number,
                job->requests.data + before);
    }
    return same;
}

static bool ask_all(struct run *run, struct job *job, struct scene *scene,
                    struct dice *d)
{
    char runtime[PATH_BYTES];
    uint64_t i, each = run->options.requests / run->options.policies;
    struct gray_client *client;
    bool good = true;

    name_file(runtime, run->folder, "runtime");
    if (!publish(run, job, runtime)) {
        return false;
    }
    client = library_open(runtime);
    if (client == NULL) {
        return false;
    }
    for (i = 0; i < each && good; i++) {
        good = ask(run, job, scene, client, d);
    }
    library_close(client);
    return good;
}

/* Asks everything but `gray explain`, and starts that. */
static bool begin(struct run *run, struct job *job, uint32_t number)
{
    static struct scene scene;
    const char *const arguments[] = {
        run->gray,    "explain",          "-f", job->policy_file,
        "--requests", job->requests_file, "-o", "json",
        NULL};
    struct dice d = {run->options.seed * UINT64_C(1000003) + number};
    bool good;

    job->number = number;
    job->requests.length = job->lines.length = 0;
    if (!scene_open(&scene, &job->policy, &d, &run->refused)) {
        return false;
    }
    good = write_file(job->policy_file, &job->policy) &&
           ask_all(run, job, &scene, &d) &&
           write_file(job->requests_file, &job->requests);
    scene_close(&scene);
    if (good) {
        job->pid = start(run, arguments, job->answers_file, job->said_file);
        good = job->pid != 0;
    }
    return good;
}

/* The line of this number, counted from 0. */
static void show_line(const char *who, const struct text *t, uint64_t number)
{
    const char *at = t->data, *end;

    while (number-- > 0 && (end = strchr(at, '\n')) != NULL) {
        at = end + 1;
    }
    fprintf(stderr, "%s: %.*s\n", who, (int)strcspn(at, "\n"), at);
}

static void show_difference(const struct job *job, const struct text *answers)
{
    size_t i = 0;
    uint64_t line = 0;

    while (i < answers->length && i < job->lines.length &&
           answers->data[i] == job->lines.data[i]) {
        line += answers->data[i++] == '\n';
    }
    fprintf(stderr, "policy %u, request %llu: gray explain differs\n",
            job->number, (unsigned long long)line);
    show_line("request", &job->requests, line);
    show_line("gray explain", answers, line);
    show_line("engine, libgray", &job->lines, line);
}

/* Takes what `gray explain` printed. */
static bool end(struct run *run, struct job *job)
{
    pid_t pid = job->pid;

    job->pid = 0;
    if (!finish(pid, "explain", job->said_file) ||
        !read_file(job->answers_file, &run->answers)) {
        return false;
    }
    if (run->answers.length != job->lines.length ||
        memcmp(run->answers.data, job->lines.data, job->lines.length) != 0) {
        show_difference(job, &run->answers);
        return false;
    }
    run->policies++;
    return hits_count(&run->hits, run->answers.data, run->answers.length);
}

/* ---- the run ------------------------------------------------------------ */

static bool ask_policies(struct run *run)
{
    bool good = true;
    uint32_t i;

    for (i = 0; i < run->options.policies && good && !told_to_end; i++) {
        struct job *before = &run->jobs[(i + 1) % 2];

        good = begin(run, &run->jobs[i % 2], run->options.first + i);
        if (before->pid != 0) {
            good &= end(run, before);
        }
    }
    for (i = 0; i < 2; i++) {
        if (run->jobs[i].pid != 0) {
            good &= end(run, &run->jobs[i]);
        }
    }
    return good && !told_to_end;
}

static bool open_run(struct run *run)
{
    struct sigaction action = {.sa_handler = on_signal};
    char name[32];
    uint32_t i;

    name_file(run->gray, run->options.build, "bin/gray");
    /* a runtime folder must lie on tmpfs */
    snprintf(run->folder, sizeof(run->folder), "/dev/shm/gray-agree-XXXXXX");
    if (mkdtemp(run->folder) == NULL) {
        perror(run->folder);
        return false;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    for (i = 0; i < 2; i++) {
        struct job *job = &run->jobs[i];
        const struct {
            char *path;
            const char *name;
        } files[] = {{job->policy_file, "policy.json"},
                     {job->requests_file, "requests.jsonl"},
                     {job->answers_file, "answers.jsonl"},
                     {job->said_file, "said"}};
        size_t k;

        for (k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
            snprintf(name, sizeof(name), "%u-%s", i, files[k].name);
            name_file(files[k].path, run->folder, name);
        }
    }
    return true;
}

static void close_run(struct run *run)
{
    uint32_t i;

    remove_folder(run->folder);
    for (i = 0; i < 2; i++) {
        free(run->jobs[i].policy.data);
        free(run->jobs[i].requests.data);
        free(run->jobs[i].lines.data);
    }
    free(run->answers.data);
}

static bool read_options(struct options *o, int argc, char **argv)
{
    int i;

    if (argc < 2) {
        return false;
    }
    o->build = argv[1];
    for (i = 2; i + 1 < argc; i += 2) {
        uint64_t number = strtoull(argv[i + 1], NULL, 10);

        if (strcmp(argv[i], "--policies") == 0) {
            o->policies = (uint32_t)number;
        } else if (strcmp(argv[i], "--first") == 0) {
            o->first = (uint32_t)number;
        } else if (strcmp(argv[i], "--requests") == 0) {
            o->requests = number;
        } else if (strcmp(argv[i], "--seed") == 0) {
            o->seed = number;
        } else if (strcmp(argv[i], "--hits") == 0) {
            o->hits = number;
        } else {
            return false;
        }
    }
    return i == argc && o->policies > 0 && o->requests >= o->policies;
}

int main(int argc, char **argv)
{
    static struct run run = {
        .options = {NULL, 1000, 0, 1000000, 2, 1000},
    };
    bool good;

    if (!read_options(&run.options, argc, argv)) {
        fprintf(stderr, "usage: agree_programs BUILD [--policies N] "
                        "[--requests M] [--seed S] [--first P] [--hits H]\n");
        return 2;
    }
    if (!open_run(&run)) {
        return 2;
    }
    good = ask_policies(&run);
    close_run(&run);
    printf("%llu policies (%llu drawn and refused), %llu requests through "
           "libgray and gray explain\n",
           (unsigned long long)run.policies, (unsigned long long)run.refused,
           (unsigned long long)run.requests);
    return good && hits_check(&run.hits, run.options.hits) ? 0 : 1;
}
