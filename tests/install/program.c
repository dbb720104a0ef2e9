/* SPDX-License-Identifier: Apache-2.0
 * program.c - somebody else's program: gray.h and nothing of ours beside it.
 *
 * Why: what is installed must be enough to compile, link and run.  Prints the
 * version of service `cart` that serves user 7; a mark of its own row is asked
 * about as well.  usage: program FOLDER
 */
#include <gray.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    struct gray_client *client = NULL;
    struct gray_client_problem problem;
    struct gray_client_pair cookie = {"cookie", "uid=7"};
    struct gray_client_request request = {
        .size = sizeof(request), .headers = &cookie, .header_count = 1};
    struct gray_client_answer answer = {.size = sizeof(answer)};
    struct gray_client_version version = {.size = sizeof(version)};
    struct gray_client_decision decision = {.size = sizeof(decision)};

    if (argc != 2 || gray_client_open(&client, argv[1], &problem) != 0) {
        return 1;
    }
    if (gray_client_decide(client, "nobody-has-this", &request,
                           GRAY_CLIENT_ABSENT, NULL, &decision) == 0 ||
        decision.says != GRAY_CLIENT_OUT || decision.store) {
        return 2;
    }
    if (gray_client_ask(client, &request, &answer) == 0 &&
        gray_client_choose(client, "cart", answer.lane, answer.arms,
                           &version) == 0) {
        printf("%s\n", version.version);
    }
    gray_client_close(client);
    return 0;
}
