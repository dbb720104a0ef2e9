/* SPDX-License-Identifier: Apache-2.0
 * fuzz_headers.c - any headers through libgray: in, out, and in again.
 *
 * Why: a program hands over what its callers sent.  Whatever that was, the
 * records hold strings that end; what is sent on is a header and not two; and
 * the next program reads from it the very colour that this one read.
 * The input is lines of "name: value".
 * Read next: runtime/client_colour.c.
 */
#include <errno.h>
#include <string.h>

#include "runtime/gray.h"
#include "tests/fuzz/fuzz.h"

#define HEADERS_MAX 32u

static size_t cut(char *text, struct gray_client_pair headers[HEADERS_MAX],
                  const char **ret_baggage)
{
    size_t count = 0;
    char *line, *rest = text, *value;

    *ret_baggage = NULL;
    while (count < HEADERS_MAX && (line = strsep(&rest, "\n")) != NULL) {
        value = strstr(line, ": ");
        if (value == NULL) {
            continue;
        }
        *value = '\0';
        headers[count].name = line;
        headers[count].value = value + 2;
        if (*ret_baggage == NULL && strcmp(line, "baggage") == 0) {
            *ret_baggage = value + 2;
        }
        count++;
    }
    return count;
}

static void check_ends(const char *text, size_t size)
{
    MUST(memchr(text, '\0', size) != NULL);
}

static void pass_on(const struct gray_client_colour *colour,
                    const char *baggage)
{
    static struct gray_client_headers out;
    struct gray_client_colour again = {.size = sizeof(again)};
    int error;
    size_t i;

    out.size = sizeof(out);
    error = gray_client_outgoing(baggage, colour->lane, colour->arms,
                                 colour->traffic_class, "x-mse-tag,dubbo.tag",
                                 &out);
    MUST(error == 0 || error == -EINVAL);
    if (error != 0) {
        return; /* a lane that no header can hold */
    }
    MUST(out.count <= GRAY_CLIENT_HEADERS_MAX);
    for (i = 0; i < out.count; i++) {
        check_ends(out.headers[i].value,
                   (size_t)(out.text + sizeof(out.text) -
                            out.headers[i].value));
        MUST(strcmp(out.headers[i].name, "baggage") == 0 ||
             strpbrk(out.headers[i].value, "\r\n") == NULL);
    }
    MUST(gray_client_incoming(out.headers, out.count, &again) == 0);
    MUST(strcmp(again.lane, colour->lane) == 0);
    MUST(strcmp(again.arms, colour->arms) == 0);
    MUST(strcmp(again.traffic_class, colour->traffic_class) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gray_client_pair headers[HEADERS_MAX];
    struct gray_client_colour colour = {.size = sizeof(colour)};
    char *text = malloc(size + 1);
    const char *baggage;
    size_t count;
    int error;

    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    count = cut(text, headers, &baggage);
    error = gray_client_incoming(headers, count, &colour);
    MUST(error == 0 || error == -EBADMSG);
    if (error == 0) {
        check_ends(colour.lane, sizeof(colour.lane));
        check_ends(colour.arms, sizeof(colour.arms));
        check_ends(colour.traffic_class, sizeof(colour.traffic_class));
        pass_on(&colour, baggage);
    }
    free(text);
    return 0;
}
