/* SPDX-License-Identifier: Apache-2.0
 * link.h - one connection to the server, one call at a time.
 *
 * Why: a link that is dead looks like a long poll that nobody answers, and a
 * link that is nearly dead like a large file: so each call says how long it
 * may take until its first byte, and after that byte a least speed holds.
 * What is in clear goes to this host alone (https elsewhere), redirects are
 * not followed, and every answer has a largest size.
 * Threads: a link belongs to one thread; link_stop() by any.
 * Read next: link.c, docs/agent.md.
 */
#ifndef GRAYD_AGENT_LINK_H
#define GRAYD_AGENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

#define LINK_CONNECT_MS 5000
#define LINK_SLOW_BYTES 256u  /* a second, after the first byte */
#define LINK_SLOW_MS 15000    /* slower than that for so long: it is broken */
#define LINK_ANSWER_MAX (1u << 20) /* bytes, where a call says nothing */

struct link;
struct link_options {
    const char *server;     /* "https://...", "http://127.0.0.1:7170",
                               "unix:/path" */
    const char *token_file; /* read at each start of a link, and again when the
                               server does not know the token; NULL: none */
    const char *ca;         /* PEM of who may sign for the server; NULL: the
                               system's */
};
/* Refuses an address in clear that is not this host ("not-secret"), a token
 * that others can read ("untrusted-file"). */
int link_open(struct link **ret_link, const struct link_options *options,
              struct gray_problem *ret_problem);
void link_close(struct link *link);
/* The call under way, and each after it, ends at once with -ECANCELED. */
void link_stop(struct link *link);
/* The call under way ends at once with -ECANCELED; those after it go on, and a
 * wait between calls is as long as it was to be. */
void link_break(struct link *link);
/* Called while a call waits, at least every `tick_ms`, in the same thread:
 * returns the ms until it wants to be called again. */
typedef int link_tick(void *context);
void link_ticking(struct link *link, link_tick *tick, void *context);

struct link_call {
    const char *path;
    const char *body;     /* JSON; NULL: a GET */
    const char *if_none_match; /* without quotes; NULL: none */
    int first_byte_ms;    /* at most so long until the answer begins */
    size_t most;          /* bytes of the answer; 0: LINK_ANSWER_MAX */
    /* Takes the body of a 200 piece by piece, instead of memory; not 0 ends
     * it. NULL: memory. */
    int (*piece)(void *context, const void *bytes, size_t size);
    void *context;
};
struct link_answer {
    int status;       /* of HTTP; 0: there was no answer */
    char *text;       /* malloc'd and NUL-terminated, or NULL */
    size_t length;
    uint64_t retry_after_ms; /* 0: not said */
    int64_t sent;     /* CLOCK_BOOTTIME ns, before anything was sent */
    int64_t sent_wall, answered_wall; /* ms since the epoch; around the call */
    char why[200];    /* there was no answer: why */
};
/* 0: there was an answer, of whatever status; -ECANCELED; -EFBIG: it was too
 * large; -EIO: none, or it broke.  Fill *ret_answer either way; its text is
 * the caller's. */
int link_ask(struct link *link, const struct link_call *call,
             struct link_answer *ret_answer);
/* A wait between calls, with ticks; -ECANCELED when it is stopped. */
int link_wait(struct link *link, int64_t ms);
/* %s are escaped. malloc'd; NULL: no memory. */
char *link_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
