/* SPDX-License-Identifier: Apache-2.0
 * reader.c - a reader of a runtime folder, for the tests of `gray`.
 *
 * Why: --wait must be tried against a reader that obeys and against one that
 * does not.  usage: reader FOLDER obey|deaf.  Prints "ready", ends when its
 * standard input does.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/runtime.h"

static void obey(struct gray_runtime *runtime)
{
    struct gray_runtime_set *set = NULL;
    struct gray_problem problem = { 0 };

    gray_runtime_wake_drain(runtime);
    if (gray_runtime_load(runtime, &set, &problem) == 0) {
        gray_runtime_swap(runtime, set);
    }
}

int main(int argc, char **argv)
{
    struct gray_runtime *runtime = NULL;
    struct gray_problem problem = { 0 };
    bool deaf = argc == 3 && strcmp(argv[2], "deaf") == 0;

    if (argc != 3 || gray_runtime_open(&runtime, argv[1], GRAY_READER_NGINX,
                                       true, &problem) != 0) {
        fprintf(stderr, "reader: %s\n", problem.sentence);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                                { .fd = gray_runtime_wake_fd(runtime),
                                  .events = POLLIN } };

        if (poll(fds, deaf ? 1 : 2, -1) < 0 || fds[0].revents != 0) {
            break;
        }
        obey(runtime);
    }
    gray_runtime_close(runtime);
    return 0;
}
