/* SPDX-License-Identifier: Apache-2.0
 * call.h - a call and its reply, whatever carried it.
 *
 * Why: rights, scopes, limits and shapes are decided in one place, between
 * the transport (rest/) and the handlers (change/ writes, read/ reads).  A
 * handler is found through the route table, gets a call whose identity has
 * the route's right already (and covers its {name}, where RESOURCE is NAME),
 * a query and a body of the route's shape, and fills a reply.  It asks
 * call_covers() for every further name.
 * Threads: a call belongs to whoever handles it; see routes.def for where.
 * Read next: routes.def, reply.c, change/change.h, read/read.h.
 */
#ifndef GRAYD_CALL_H
#define GRAYD_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/identity/identity.h"
#include "control/store/store.h"

#define CALL_BODY_MAX (1u << 20)        /* bytes of most bodies */
#define CALL_APPLY_BODY_MAX (64u << 20) /* of APPLY, PLAN and LIST_IDS */
#define CALL_PAGE_MAX 1000u             /* items of a page; the default 100 */
#define CALL_KEY_MAX 128u               /* bytes of an Idempotency-Key */
#define CALL_SEGMENT_MAX 128u           /* bytes of {name}, {id}, ... */
#define CALL_TARGET_MAX 8192u           /* bytes of path and query */
#define CALL_QUERY_MAX 16u              /* arguments of a query */
#define CALL_VALUE_MAX 1024u            /* bytes of the value of one */
#define CALL_DEPTH_MAX 32u              /* of a body */
#define CALL_VALUES_MAX 500000u         /* commas, colons, brackets of a body */

enum route_number {
#define GRAYD_ROUTE(NAME, METHOD, path, RIGHT, RESOURCE, WHERE, query, \
                    request, response, summary)                        \
    ROUTE_##NAME,
#include "control/call/routes.def"
    ROUTE_COUNT
};
enum problem_number {
#define GRAYD_PROBLEM(NAME, status, code, title) PROBLEM_##NAME,
#include "control/call/problems.def"
#undef GRAYD_PROBLEM
    PROBLEM_COUNT
};
enum route_resource { RESOURCE_NONE, RESOURCE_NAME, RESOURCE_EACH,
                      RESOURCE_ALL };
enum route_where { WHERE_HERE, WHERE_PLANNER, WHERE_CONTROL };
struct route {
    enum route_number number;
    const char *name, *method, *path;
    unsigned right;
    enum route_resource resource;
    enum route_where where;
    const char *query, *request, *response, *summary;
};
extern const struct route routes[ROUTE_COUNT];

struct counted;
struct call {
    const struct route *route;
    struct identity identity; /* no name: nobody (routes of RIGHT_NONE) */
    char id[33];       /* of the request, for logs and the audit */
    int64_t now;       /* ms since the epoch, when it arrived */
    char kind[CALL_SEGMENT_MAX + 1], name[CALL_SEGMENT_MAX + 1];
    char verb[CALL_SEGMENT_MAX + 1], item[CALL_SEGMENT_MAX + 1]; /* {id} */
    json_t *query;     /* object of strings; never NULL */
    json_t *body;      /* NULL: none */
    bool dry_run;      /* ?dryRun=true */
    bool has_if_match; /* If-Match: "REVISION" */
    uint64_t if_match;
    uint64_t known;    /* If-None-Match: "SEQUENCE"; 0: none, or others */
    char key[CALL_KEY_MAX + 1]; /* Idempotency-Key; "": none */
    struct counted *counted; /* marks, ahead of the change (change/counting.h);
                                NULL: none were */
    uint8_t request_hash[STORE_HASH]; /* of method, path, query and body */
};
struct grayd;
struct hand;
/* A long answer in pieces, so that no answer is held in memory whole. The
 * transport calls more() on threads of its own, one after the other, and
 * close() once, at the end or when the client has gone. */
struct reply_stream {
    /* A malloc'd piece: 1. The end: 0. Broken off: negative. Nothing yet:
     * REPLY_WAIT, after it called suspend() under the lock that its waker
     * takes; the waker then calls resume() once. */
    int (*more)(struct reply_stream *stream, struct hand *hand,
                char **ret_text, size_t *ret_length);
    void (*close)(struct reply_stream *stream);
    /* Set by the transport. */
    void (*suspend)(struct reply_stream *stream);
    void (*resume)(struct reply_stream *stream);
    void *transport;
};
#define REPLY_WAIT 2
struct reply;
/* An answer that another thread gives later.  The transport takes it over,
 * suspends the connection, and calls begin() once; from then on it belongs to
 * whoever calls `done`, once, with the reply.  drop(): nobody wants it. */
typedef void reply_done(void *context, struct reply *reply);
struct reply_later {
    void (*begin)(struct reply_later *later, reply_done *done, void *context);
    void (*drop)(struct reply_later *later);
};
/* Bytes that many answers share; `owner` is released when they were sent. */
struct reply_bytes {
    const void *data;
    size_t length;
    void *owner; /* NULL: there are none */
    void (*release)(void *owner);
};
struct reply {
    int status;
    json_t *body;             /* owned; NULL: `text`, or `stream` */
    char *text;               /* owned, malloc'd; with `type` */
    size_t length;
    struct reply_stream *stream; /* owned; with `type`; routes HERE only */
    struct reply_later *later;   /* owned; nothing else is; routes HERE only */
    struct reply_bytes bytes;    /* owned; with `type` */
    const char *type;         /* static; NULL: application/json */
    uint64_t etag;            /* revision; 0: none */
    unsigned retry_after;     /* s; 0: none */
};
/* What a handler works with on its thread. */
struct hand {
    struct grayd *grayd;
    struct store_reader *reader; /* of this thread */
};
typedef void route_handler(struct hand *hand, const struct call *call,
                           struct reply *reply);
/* A handler of every route: route_handle_<NAME>(), found by number. */
#define GRAYD_ROUTE(NAME, METHOD, path, RIGHT, RESOURCE, WHERE, query, \
                    request, response, summary)                        \
    route_handler route_handle_##NAME;
#include "control/call/routes.def"
route_handler *route_find_handler(enum route_number number);

/* ---- routes (routes.c) -------------------------------------------------------- */

/* Splits a request target ("/v1/releases/cart-2?limit=3") at "/", "?", "&" and
 * "=", decodes each piece by itself, and takes UTF-8 without control characters
 * only. 0 with kind, name, verb, item (where the route has them), route and
 * query of the call set; or a problem's number + 1, with a sentence (static)
 * and, for PROBLEM_METHOD, the value of Allow. The route is set on 0 only.
 * The query is any names and values: call_check_query() comes after the
 * rights. HEAD is GET. Pure. */
int route_match(const char *method, const char *target, size_t length,
                struct call *call, char ret_allow[64],
                const char **ret_sentence);

/* ---- replies (reply.c) --------------------------------------------------------- */

/* Makes a text UTF-8 in its place: a character cut off at the end goes, every
 * other byte that is none becomes "?". */
void text_mend(char *text);
/* Takes the body over. */
void reply_json(struct reply *reply, int status, json_t *body);
/* application/problem+json: {"type","title","status","code","detail",
 * "advice"?,"findings"?}. `detail` is a sentence about this case. */
void reply_problem(struct reply *reply, enum problem_number problem,
                   const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds to a problem body. Takes `value` over. */
void reply_add(struct reply *reply, const char *key, json_t *value);
bool reply_is_problem(const struct reply *reply);
/* Closes a stream that nobody took over, too. */
void reply_clear(struct reply *reply);

/* ---- bodies (body.c) ---------------------------------------------------------- */

/* Strict JSON: UTF-8, no duplicate member, an object, at most CALL_DEPTH_MAX
 * deep and CALL_VALUES_MAX values (looked at before anything is allocated).
 * 0 and a new reference, or -1 with a sentence. Pure. */
int body_parse(const char *text, size_t length, json_t **ret_body,
               char *ret_sentence, size_t sentence_size);

/* ---- records and moments (record.c) -------------------------------------------- */

#define CALL_MOMENT_SIZE 40u
/* ms since the epoch as RFC 3339 in UTC: "2026-01-31T08:00:00.000Z". */
void call_moment(int64_t ms, char ret_text[CALL_MOMENT_SIZE]);
/* A record of the audit as REST shows it (AuditRecord): "seq" is "sequence",
 * "at" is a text. New reference; NULL: no record. */
json_t *record_public(const char *text, size_t length);
/* Whether an identity's scope covers a resource: the name after the "/"; ""
 * (everything), tokens and schedules need the scope of every name. */
bool resource_covered(const struct identity *identity, const char *resource);
/* The same of what a record is about; one without a resource is about every
 * document that its sides name. */
bool record_covered(const struct identity *identity, const json_t *record);

/* An identity of the store as REST shows it (Token), without its hash. New
 * reference. */
json_t *token_view(const json_t *item, int64_t now);

/* ---- arguments (call.c) --------------------------------------------------------- */

/* False after having filled the reply with 403, naming the name. */
bool call_covers(const struct call *call, const char *name,
                 struct reply *reply);
/* An integer of the query within [least, most]; *ret untouched when it is not
 * there. False after having filled the reply. */
bool call_query_number(const struct call *call, const char *name,
                       uint64_t least, uint64_t most, uint64_t *ret_number,
                       struct reply *reply);
/* NULL: not there. */
const char *call_query_text(const struct call *call, const char *name);
/* The names of the query against the route's; sets dry_run. The transport has
 * done this, and call_check_body(), before a handler is called. */
bool call_check_query(struct call *call, struct reply *reply);
/* The body against the route's schema (the keywords of JSON Schema that
 * schemas.json uses). False after having filled the reply with the JSON
 * pointer of what is wrong. */
bool call_check_body(const struct call *call, struct reply *reply);
/* A named schema of schemas.json, borrowed; NULL: none. The whole file. */
const json_t *schema_find(const char *name);
const json_t *schema_all(void);
/* 0, or -1 with the pointer and a sentence (buffers of the caller). */
int schema_check(const json_t *schema, const json_t *value, char *ret_pointer,
                 size_t pointer_size, char *ret_sentence,
                 size_t sentence_size);

#endif
