/* SPDX-License-Identifier: Apache-2.0
 * chain.c - a service in the middle: the colour comes in, and goes on.
 *
 * Reads the headers of a request that came in (lines "name: value" on standard
 * input), chooses the version of the next service, and prints the headers that
 * the call to it must carry.  gRPC: the same, with metadata.
 *
 * usage: chain FOLDER SERVICE [ALIASES]
 * build: cc chain.c $(pkg-config --cflags --libs libgray)
 */
#include <errno.h>
#include <gray.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADERS_MAX 64

static char lines[HEADERS_MAX][8192];

static size_t read_headers(struct gray_client_pair headers[HEADERS_MAX])
{
    size_t count = 0;
    while (count < HEADERS_MAX &&
           fgets(lines[count], sizeof(lines[count]), stdin) != NULL) {
        char *value = strstr(lines[count], ": ");
        lines[count][strcspn(lines[count], "\r\n")] = '\0';
        if (value != NULL) {
            *value = '\0';
            headers[count].name = lines[count];
            headers[count].value = value + 2;
            count++;
        }
    }
    return count;
}

/* What came in as `baggage`: other members of it go on as they are. */
static const char *baggage_of(const struct gray_client_pair *headers,
                              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(headers[i].name, "baggage") == 0) {
            return headers[i].value;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct gray_client *client;
    struct gray_client_problem problem;
    struct gray_client_pair headers[HEADERS_MAX];
    struct gray_client_colour colour = {.size = sizeof(colour)};
    struct gray_client_version version = {.size = sizeof(version)};
    struct gray_client_headers out = {.size = sizeof(out)};
    if (argc < 3 || gray_client_open(&client, argv[1], &problem) != 0) {
        fprintf(stderr, "chain: %s\n", argc < 3 ? "FOLDER SERVICE [ALIASES]"
                                                : problem.sentence);
        return 1;
    }
    size_t count = read_headers(headers);
    if (gray_client_incoming(headers, count, &colour) == -EBADMSG) {
        printf("400: two colours\n");
        gray_client_close(client);
        return 0;
    }
    gray_client_choose(client, argv[2], colour.lane, colour.arms, &version);
    if (version.refuse) {
        printf("503: %s\n", version.sentence);
        gray_client_close(client);
        return 0;
    }
    printf("call %s (%s) at %s with:\n", argv[2], version.version,
           version.endpoint);
    if (gray_client_outgoing(baggage_of(headers, count), colour.lane,
                             colour.arms, colour.traffic_class,
                             argc > 3 ? argv[3] : NULL, &out) == 0) {
        for (size_t i = 0; i < out.count; i++) {
            printf("%s: %s\n", out.headers[i].name, out.headers[i].value);
        }
    }
    gray_client_close(client);
    return 0;
}
