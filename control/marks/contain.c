/* SPDX-License-Identifier: Apache-2.0
 * contain.c - a child that reads, and how it ended.
 *
 * Why: see contain.h.  The child drops every descriptor of grayd's, so that no
 * lock or socket of a grayd that died is kept by it, and dies with its parent.
 * Read next: contain.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/marks/contain.h"
#include "runtime/internal.h"

#define CONTAINED_LOST 101 /* its parent was gone before it began */
#define CONTAINED_OUT 3    /* its only descriptor beside the standard ones */

static _Noreturn void child_main(contained_run *run, void *context, int out,
                                 pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent ||
        (out != CONTAINED_OUT && dup2(out, CONTAINED_OUT) < 0) ||
        close_range(CONTAINED_OUT + 1, ~0U, 0) != 0) {
        _exit(CONTAINED_LOST);
    }
    _exit(run(context, CONTAINED_OUT));
}

int contained_start(struct contained *ret_child, contained_run *run,
                    void *context, struct gray_problem *ret_problem)
{
    pid_t parent = getpid(), pid;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return runtime_problem_set(ret_problem, errno, "no-child",
                                   "No pipe for a reader of the journal: %s.",
                                   strerror(errno));
    }
    pid = fork();
    if (pid == 0) {
        child_main(run, context, ends[1], parent);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return runtime_problem_set(ret_problem, errno, "no-child",
                                   "No process to read the journal: %s.",
                                   strerror(errno));
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    ret_child->pid = pid;
    ret_child->out = ends[0];
    return 0;
}

static int ended_as(struct contained *child, int status, int *ret_found,
                    struct gray_problem *ret_problem)
{
    child->pid = 0;
    runtime_fd_close(&child->out);
    if (WIFEXITED(status) && WEXITSTATUS(status) < CONTAINED_LOST) {
        *ret_found = WEXITSTATUS(status);
        return 0;
    }
    return runtime_problem_set(
        ret_problem, EILSEQ, "marks-corrupt",
        "The process that read the journal of marks ended with signal %d: a "
        "page of it is damaged.",
        WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int contained_ended(struct contained *child, int *ret_found,
                    struct gray_problem *ret_problem)
{
    int status = 0;
    pid_t pid = waitpid(child->pid, &status, WNOHANG);

    if (pid == 0 || (pid < 0 && errno == EINTR)) {
        return 1;
    }
    return ended_as(child, pid < 0 ? SIGKILL : status, ret_found, ret_problem);
}

void contained_end(struct contained *child)
{
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        child->pid = 0;
        runtime_fd_close(&child->out);
    }
}

/* All that comes, until the other end is closed. 0, or an errno. */
static int read_all(int fd, size_t most, char **ret_text)
{
    size_t length = 0, room = 4096;
    char *text = malloc(room);

    while (text != NULL) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ssize_t got = read(fd, text + length, room - length - 1);

        if (got < 0 && errno == EAGAIN) {
            poll(&wait, 1, -1);
            continue;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            text[length] = '\0';
            *ret_text = text;
            return got < 0 ? errno : 0;
        }
        length += (size_t)got;
        if (length >= most) {
            free(text);
            return EMSGSIZE;
        }
        if (length + 1 == room) {
            char *more = realloc(text, room * 2);

            if (more == NULL) {
                break;
            }
            text = more;
            room *= 2;
        }
    }
    free(text);
    return ENOMEM;
}

int contained_text(struct contained *child, size_t most, char **ret_text,
                   struct gray_problem *ret_problem)
{
    int status = 0, found = 0, error;
    char *text = NULL;
    int failed = read_all(child->out, most, &text);

    if (failed != 0) {
        contained_end(child);
        free(text);
        return runtime_problem_set(ret_problem, failed, "no-child",
                                   "What the journal says cannot be read: %s.",
                                   strerror(failed));
    }
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
    }
    error = ended_as(child, status, &found, ret_problem);
    if (error != 0) {
        free(text);
        return error;
    }
    *ret_text = text;
    return found;
}
