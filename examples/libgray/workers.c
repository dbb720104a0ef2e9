/* SPDX-License-Identifier: Apache-2.0
 * workers.c - a server that forks its workers.
 *
 * The handle is opened once, before the fork; each worker's first question
 * registers that worker in the folder, so that it is counted, woken and waited
 * for on its own.
 *
 * usage: workers FOLDER COUNT
 * build: cc workers.c $(pkg-config --cflags --libs libgray)
 */
#include <gray.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int work(struct gray_client *client, int number)
{
    char unit[16];
    struct gray_client_request request = {.size = sizeof(request),
                                          .unit = unit};
    struct gray_client_verdict verdict = {.size = sizeof(verdict)};
    int in = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(unit, sizeof(unit), "%d", i);
        if (gray_client_release(client, "cart-2", &request, &verdict) != 0) {
            return 1;
        }
        in += verdict.in;
    }
    printf("worker %d: %d of 1000 are in\n", number, in);
    gray_client_close(client);
    return 0;
}

int main(int argc, char **argv)
{
    struct gray_client *client;
    struct gray_client_problem problem;
    if (argc != 3 || gray_client_open(&client, argv[1], &problem) != 0) {
        fprintf(stderr, "workers: %s\n",
                argc != 3 ? "FOLDER COUNT" : problem.sentence);
        return 1;
    }
    int code = 0, status;
    for (int i = 1; i <= atoi(argv[2]); i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            exit(work(client, i));
        }
        code |= pid < 0;
    }
    while (wait(&status) > 0) {
        code |= status != 0;
    }
    gray_client_close(client);
    return code;
}
