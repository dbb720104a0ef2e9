/* SPDX-License-Identifier: Apache-2.0
 * told.c - a program of somebody's that asks libgray whether a unit is in.
 *
 * Why: what the gateway says of a unit the library must say as well, and the
 * library is all that an application has: nothing but gray.h stands here.
 * Listens on a unix socket, a thread a connection; a line "WORD UNIT" is a
 * question about a release (the first for "user", else the second, at the
 * target "/WORD"), the answer is a line: new, old or hold.  "settle UNIT" says
 * that the unit of the second is over: said, or why not.
 *
 * usage: told SOCKET RUNTIME RELEASE-OF-USERS RELEASE-OF-ORDERS
 * Ends by a signal only; leaves its socket behind, as a killed one does.
 */
#include <errno.h>
#include <gray.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct gray_client *client;
static const char *of_users, *of_orders;

static const char *settle(const char *unit)
{
    switch (gray_client_settle(client, of_orders, unit)) {
    case 0:
        return "said\n";
    case -ENOBUFS:
        return "later\n";
    default:
        return "refused\n";
    }
}

static const char *answer(const char *word, const char *unit)
{
    if (strcmp(word, "settle") == 0) {
        return settle(unit);
    }
    char target[32];
    snprintf(target, sizeof(target), "/%s", word);
    struct gray_client_request request = {
        .size = sizeof(request), .target = target, .unit = unit};
    struct gray_client_verdict verdict = {.size = sizeof(verdict)};
    const char *release = strcmp(word, "user") == 0 ? of_users : of_orders;
    if (gray_client_release(client, release, &request, &verdict) != 0) {
        return "none\n";
    }
    return verdict.hold ? "hold\n" : verdict.in ? "new\n" : "old\n";
}

static void *serve(void *argument)
{
    FILE *peer = argument;
    char line[256], word[16], unit[128];
    while (fgets(line, sizeof(line), peer) != NULL &&
           sscanf(line, "%15s %127s", word, unit) == 2) {
        const char *text = answer(word, unit);
        if (send(fileno(peer), text, strlen(text), MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    fclose(peer);
    return NULL;
}

/* What changes is taken here, so that no question waits for it. */
static void *poll_changes(void *argument)
{
    (void)argument;
    for (;;) {
        struct pollfd changed = {gray_client_fd(client), POLLIN, 0};
        poll(&changed, 1, 100);
        gray_client_poll(client);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct gray_client_problem problem;
    pthread_t thread;
    if (argc != 5 || strlen(argv[1]) >= sizeof(address.sun_path)) {
        fputs("usage: told SOCKET RUNTIME USERS ORDERS\n", stderr);
        return 2;
    }
    of_users = argv[3];
    of_orders = argv[4];
    if (gray_client_open(&client, argv[2], &problem) != 0) {
        fprintf(stderr, "told: %s\n", problem.sentence);
        return 1;
    }
    strcpy(address.sun_path, argv[1]);
    unlink(argv[1]);
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listening < 0 ||
        bind(listening, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listening, 256) != 0 ||
        pthread_create(&thread, NULL, poll_changes, NULL) != 0) {
        perror("told");
        return 1;
    }
    for (;;) {
        int fd = accept(listening, NULL, NULL);
        FILE *peer = fd < 0 ? NULL : fdopen(fd, "r");
        if (peer == NULL || pthread_create(&thread, NULL, serve, peer) != 0) {
            perror("told");
            return 1;
        }
        pthread_detach(thread);
    }
}
