/* SPDX-License-Identifier: Apache-2.0
 * agree_library.c - see agree.h: libgray, asked as an application asks it.
 *
 * Why: nothing but gray.h and the shared library, so that what is compared is
 * what others link.
 * Read next: ../../runtime/gray.h, agree_programs.c.
 */
#include "runtime/gray.h"

#include <string.h>

#include "tests/story/agree.h"

struct gray_client *library_open(const char *folder)
{
    struct gray_client_problem problem = {NULL, ""};
    struct gray_client *client = NULL;
    int error = gray_client_open(&client, folder, &problem);

    if (error != 0 || problem.code != NULL) {
        fprintf(stderr, "agree: gray_client_open(%s): %d %s: %s\n", folder,
                error, problem.code == NULL ? "" : problem.code,
                problem.sentence);
        gray_client_close(client);
        return NULL;
    }
    return client;
}

void library_close(struct gray_client *client)
{
    gray_client_close(client);
}

static size_t copy_pairs(struct gray_client_pair *to,
                         const struct brute_pair *from, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        to[i].name = from[i].name;
        to[i].value = from[i].value;
    }
    return count;
}

size_t library_explain(struct gray_client *client, const struct invented *in,
                       char line[AGREE_LINE_BYTES])
{
    static const char *const classes[] = {NULL, "shadow", "load", "rehearsal"};
    const struct brute_request *r = &in->request;
    struct gray_client_pair headers[BRUTE_PAIRS], attrs[BRUTE_PAIRS],
        labels[BRUTE_PAIRS];
    struct gray_client_request request = {
        .size = sizeof(request),
        .entrance = in->entrance,
        .method = r->method,
        .host = r->host,
        .target = r->target,
        .headers = headers,
        .header_count = copy_pairs(headers, r->headers, r->header_count),
        .attrs = attrs,
        .attr_count = copy_pairs(attrs, r->attrs, r->attr_count),
        .labels = labels,
        .label_count = copy_pairs(labels, r->labels, r->label_count),
        .caller = r->caller,
        .source = r->source,
        .lane = r->lane,
        .arms = r->arms,
        .traffic_class = classes[r->traffic_class],
        .now_ms = r->now,
        .random = r->random,
    };
    size_t length =
        gray_client_explain(client, &request, line, AGREE_LINE_BYTES);

    return length < AGREE_LINE_BYTES ? length : 0;
}
