/* SPDX-License-Identifier: Apache-2.0
 * follow.c - a policy that changes, in an event loop.
 *
 * A question takes up what is new by itself; whoever wants no question to wait
 * for that does it here.  Call gray_client_poll() now and then as well, and
 * not only when the descriptor says so: a folder that was removed and made
 * anew rings no bell.
 *
 * usage: follow FOLDER REVISION: prints each revision until this one is there
 * build: cc follow.c $(pkg-config --cflags --libs libgray)
 */
#include <gray.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct gray_client *client;
    struct gray_client_problem problem;
    if (argc != 3 || gray_client_open(&client, argv[1], &problem) != 0) {
        fprintf(stderr, "follow: %s\n",
                argc != 3 ? "FOLDER REVISION" : problem.sentence);
        return 1;
    }
    uint64_t last = strtoull(argv[2], NULL, 10), revision;
    while ((revision = gray_client_revision(client)) < last) {
        printf("revision %" PRIu64 "\n", revision);
        fflush(stdout);
        do {
            struct pollfd event = {gray_client_fd(client), POLLIN, 0};
            poll(&event, 1, 1000); /* -1: no bell, then once a second */
            if (gray_client_poll(client) < 0) {
                gray_client_refusal(client, &problem);
                fprintf(stderr, "follow: %s\n", problem.sentence);
            }
        } while (gray_client_revision(client) == revision);
    }
    printf("revision %" PRIu64 "\n", revision);
    gray_client_close(client);
    return 0;
}
