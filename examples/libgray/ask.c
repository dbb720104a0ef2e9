/* SPDX-License-Identifier: Apache-2.0
 * ask.c - which version serves this request?
 *
 * The simplest use, at the edge: one question decides every release and lane,
 * another one says where the request is to go.
 *
 * usage: ask FOLDER UID...
 * build: cc ask.c $(pkg-config --cflags --libs libgray)
 */
#include <gray.h>
#include <stdio.h>

static void answer(struct gray_client *client, const char *uid)
{
    char cookie[128];
    snprintf(cookie, sizeof(cookie), "uid=%s", uid);
    struct gray_client_pair headers[] = {{"cookie", cookie}};
    struct gray_client_request request = {.size = sizeof(request),
                                          .method = "GET",
                                          .host = "shop.example",
                                          .target = "/cart",
                                          .headers = headers,
                                          .header_count = 1};
    struct gray_client_answer answer = {.size = sizeof(answer)};
    struct gray_client_version version = {.size = sizeof(version)};
    if (gray_client_ask(client, &request, &answer) != 0 || answer.hold) {
        printf("%s: 503, Retry-After: 1\n", uid); /* neither version may */
        return;
    }
    gray_client_choose(client, "cart", answer.lane, answer.arms, &version);
    printf("%s: %s at %s, because: %s\n", uid, version.version,
           version.endpoint, answer.sentence);
}

int main(int argc, char **argv)
{
    struct gray_client *client;
    struct gray_client_problem problem;
    if (argc < 3 || gray_client_open(&client, argv[1], &problem) != 0) {
        fprintf(stderr, "ask: %s\n", argc < 3 ? "FOLDER UID..."
                                              : problem.sentence);
        return 1;
    }
    if (problem.code != NULL) { /* it goes on, with the baseline */
        fprintf(stderr, "ask: %s\n", problem.sentence);
    }
    for (int i = 2; i < argc; i++) {
        answer(client, argv[i]);
    }
    gray_client_close(client);
    return 0;
}
