/* SPDX-License-Identifier: Apache-2.0
 * ask.h - a request written as JSON, and what a policy answers it.
 *
 * Why: `gray explain` and grayd's /v1/explain must give the same bytes, so the
 * request is read, fed and answered in one place for both.  Nothing here
 * prints, waits or opens a file; memory comes from malloc; an object belongs
 * to one thread.
 * Read next: request.c, request_feed.c, answer.c, view.c, docs/explain.md.
 */
#ifndef GRAY_ASK_H
#define GRAY_ASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "policy/policy.h"
#include "runtime/runtime.h"

/* ---- requests (request.c) --------------------------------------------------- */

#define REQUEST_LINE_MAX 262144u /* bytes of one line */
#define REQUEST_HEADERS_MAX 1000u /* header values of one request */
#define REQUEST_NAME_MAX 255u    /* bytes of a header's name */

/* One request line, checked. */
struct request {
    json_t *root; /* owns every string below */
    const char *method, *host, *path, *caller, *entrance, *lane, *arms;
    const char *anonymous; /* id issued to a client without a unit */
    const char *stage;     /* of its life; NULL: by each release's rules */
    json_t *headers, *attrs, *labels; /* NULL: none */
    json_t *own_cookies; /* first value of each of ours, taken off headers */
    uint8_t address[16];
    bool has_address, has_now;
    uint8_t traffic_class;
    int64_t now;
    uint64_t random;
};
struct request_problem {
    const char *code;   /* "bad-json", see request.c */
    char sentence[200];
};
/* Parses `length` bytes. 0, or -1 with *ret_problem. */
int request_parse(struct request *ret_request, const char *line, size_t length,
                  struct request_problem *ret_problem);
/* The same from a value that is already parsed; takes a reference, and strips
 * our own cookies from it. */
int request_from_json(struct request *ret_request, json_t *root,
                      struct request_problem *ret_problem);
void request_free(struct request *request);
/* A header's value may be a string or a list of strings. */
size_t values_count(json_t *values);
json_t *values_at(json_t *values, size_t number);
/* Feeds the request as the gateway would. `now_ms` where it names none. The
 * request must outlive the input. Returns the entrance. */
uint32_t request_feed(const struct request *request,
                      const struct gray_snapshot *policy, int64_t now_ms,
                      struct gray_input *ret_input);

/* ---- a view of compiled documents (view.c) ------------------------------------- */

/* Documents as they would be in force. */
struct ask_view {
    struct gray_snapshot snapshot;
    struct gray_fleet fleet;
    struct gray_link link;
    struct gray_list *lists;
    void *link_memory;
    struct gray_view view; /* words: all open, until the owner sets them */
};
/* What was compiled must stay until ask_view_close(). 0, or negative with
 * *ret_problem; then *ret_view is to be closed all the same. */
int ask_view_open(struct ask_view *ret_view,
                  const struct gray_compiled *compiled,
                  struct gray_problem *ret_problem);
/* Frees all but what was compiled; harmless on zeros. */
void ask_view_close(struct ask_view *view);

/* ---- answers (answer.c) ------------------------------------------------------- */

#define ASK_ANSWER_MAX (16u << 20) /* bytes of one answer */

/* The signed cookie of a request, verified with the keys of a folder. */
struct evidence {
    const struct gray_snapshot *policy;
    bool good;
    struct gray_cookie cookie;
};
/* `runtime` NULL: there are no keys. False: there is a cookie, and no keys to
 * verify it with. */
bool evidence_read(struct evidence *ret_evidence,
                   const struct gray_snapshot *policy,
                   struct gray_runtime *runtime, const struct request *request,
                   int64_t now_ms);
/* What a struct evidence proves; asked by gray_marked_ask(). */
struct gray_mark evidence_mark(void *context,
                               const struct gray_mark_query *query);

struct ask {
    const struct gray_view *view;
    struct gray_runtime *runtime; /* whose keys and marks; NULL: none */
    int64_t now;     /* ms, for requests that name no moment */
    char *buffer;    /* the last answer, without a line end; ask_end() */
    size_t size;     /* of the buffer */
    bool keyless;    /* a request had a cookie that no key could verify */
    struct gray_input input;
};
/* Answers by ask->view: 0 with ask->buffer and its length; -ENOMEM; -E2BIG:
 * more than ASK_ANSWER_MAX bytes. */
int ask_answer(struct ask *ask, const struct request *request,
               size_t *ret_length);
void ask_end(struct ask *ask);

#endif
