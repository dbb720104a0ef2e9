/* SPDX-License-Identifier: Apache-2.0
 * run_child.c - one run, as a process of its own.
 *
 * Why: see checks.h.  What it is to do is written into a file without a name
 * that is its standard input, what it found comes back in another: nobody waits
 * at a pipe.  It keeps no descriptor of ours and dies with grayd.
 * Read next: ../recon/worker.c (the other end).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/checks/internal.h"

#define RUN_STATEMENTS 60 /* timeouts of one statement that a run may last */
#define RUN_LEAST_MS (10 * 60000)
#define SAID_MAX (64u << 20)

extern char **environ;

static int ask_file(const struct checks *checks, const struct entry *entry,
                    int64_t from, int64_t until, int64_t now)
{
    json_t *ask = json_pack("{s:O,s:s,s:s,s:s?,s:o,s:I,s:I}", "check",
                            entry->check.tree, "state",
                            checks->options.state, "folder", checks->folder,
                            "decisionLog", checks->options.decision_log,
                            "from",
                            from == CHECK_NEVER
                                ? json_null()
                                : json_integer((json_int_t)from),
                            "until", (json_int_t)until, "now",
                            (json_int_t)now);
    int fd = memfd_create("recon-ask", MFD_CLOEXEC);

    if (ask == NULL || fd < 0 || json_dumpfd(ask, fd, JSON_COMPACT) != 0 ||
        lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        fd = -1;
    }
    json_decref(ask);
    return fd;
}

static int spawn(const char *program, int in, int out, pid_t *ret_pid)
{
    char parent[24];
    char *arguments[] = {(char *)(uintptr_t)CHECKS_PROGRAM, parent, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    int error;

    snprintf(parent, sizeof(parent), "%ld", (long)getpid());
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    error = posix_spawn(ret_pid, program, &files, &how, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return -error;
}

int child_start(const struct checks *checks, const struct entry *entry,
                int64_t from, int64_t until, struct checks_run *ret_run,
                char *ret_why, size_t why_size)
{
    int64_t now = checks->options.now_ms();
    int64_t lasts = entry->check.timeout * RUN_STATEMENTS;
    int in = ask_file(checks, entry, from, until, now);
    int out = memfd_create("recon-out", MFD_CLOEXEC), error = -ENOMEM;
    pid_t pid = 0;

    if (in >= 0 && out >= 0) {
        error = spawn(checks->program, in, out, &pid);
    }
    if (in >= 0) {
        close(in);
    }
    if (error != 0) {
        snprintf(ret_why, why_size, "%.150s cannot be started: %s.",
                 checks->program, strerror(-error));
        if (out >= 0) {
            close(out);
        }
        return error;
    }
    ret_run->pid = pid;
    ret_run->out = out;
    ret_run->began = now;
    ret_run->ends = now + (lasts > RUN_LEAST_MS ? lasts : RUN_LEAST_MS);
    ret_run->until = until;
    return 0;
}

/* What it said: {"report": ...} or {"problem": {code, sentence}}. */
static json_t *read_said(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = size > 0 && size < (off_t)SAID_MAX ? malloc((size_t)size)
                                                    : NULL;
    json_t *said = NULL;

    if (text != NULL && pread(fd, text, (size_t)size, 0) == size) {
        said = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
    }
    free(text);
    return said;
}

static void forget(struct checks_run *run)
{
    close(run->out);
    run->pid = 0;
    run->out = -1;
}

int child_ended(struct checks_run *run, int64_t now, json_t **ret_report,
                char *ret_why, size_t why_size)
{
    int status = 0;
    pid_t pid = waitpid(run->pid, &status, WNOHANG);
    json_t *said, *report;
    const char *sentence;

    if (pid == 0 || (pid < 0 && errno == EINTR)) {
        if (now >= run->ends || now < run->began - RUN_LEAST_MS) {
            kill(run->pid, SIGKILL); /* found ended the next time */
        }
        return 1;
    }
    said = read_said(run->out);
    report = json_object_get(said, "report");
    sentence = json_string_value(
        json_object_get(json_object_get(said, "problem"), "sentence"));
    *ret_report = json_is_object(report) ? json_incref(report) : NULL;
    if (*ret_report == NULL) {
        snprintf(ret_why, why_size, "%.300s",
                 sentence != NULL ? sentence
                 : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                     ? "The run took too long, or was killed."
                     : "The run ended without saying what it found.");
    }
    json_decref(said);
    forget(run);
    return 0;
}

void child_kill(struct checks_run *run)
{
    if (run->pid > 0) {
        kill(run->pid, SIGKILL);
        while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        forget(run);
    }
}
