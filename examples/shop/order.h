/* SPDX-License-Identifier: Apache-2.0
 * order.h - the order service, whose orders keep their own marks.
 *
 * Why: one process carries both logics, the old one and the new one that
 * writes other columns, and which of them runs is said by the order's mark:
 *
 *   order.c         HTTP in, HTTP out
 *   order_stages.c  create, pay, refund: one transaction each
 *   order_gray.c    the question to libgray, and nothing else of it
 *   db.h            SQLite or PostgreSQL
 *
 * Threads: any number may be in order_do() at once.
 * Read next: order_stages.c; docs/shop.md.
 */
#ifndef SHOP_ORDER_H
#define SHOP_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_ID_MAX 64u
#define ORDER_MARK_SIZE 16u
#define ORDER_BODY_MAX 1024u

enum order_stage { ORDER_CREATE, ORDER_PAY, ORDER_REFUND, ORDER_LOOK };
/* Faults of our own, to see that the judge of tests/shop finds them. */
enum order_bug {
    BUG_NONE,
    BUG_IGNORE_MARK,       /* decides anew, whatever the row says */
    BUG_UNKNOWN_AS_ABSENT, /* takes "not in time" for "not there" */
    BUG_REWRITE_MARK       /* stores the mark of every answer */
};

/* ---- order_gray.c ---------------------------------------------------------
 */

/* What is known of an order's mark before libgray is asked. */
enum order_known { KNOWN_ABSENT, KNOWN_MARK, KNOWN_NOT };
struct order_verdict {
    bool in, hold;
    const char *reason;
    uint8_t mark[ORDER_MARK_SIZE]; /* to be stored with a new order */
};
/* -1 with a sentence on stderr. */
int gray_setup(const char *runtime, const char *release);
void gray_teardown(void);
/* Readable when gray_follow() has something to do; -1: never. */
void gray_watch(int ret_fds[2]);
/* Takes what is new, and acknowledges it when no transaction is open. */
void gray_follow(void);
/* Around every transaction, from before the question to behind the commit. */
void gray_begin(void);
void gray_end(void);
/* Who may serve this stage of the order.  Whatever goes wrong holds. */
void gray_ask(enum order_stage stage, const char *id, enum order_known known,
              const uint8_t *mark, struct order_verdict *ret_verdict);

/* ---- order_stages.c -------------------------------------------------------
 */

struct order_request {
    enum order_stage stage;
    char id[ORDER_ID_MAX + 1], user[ORDER_ID_MAX + 1];
    int64_t amount;      /* cents; of a new order */
    bool lookup_is_late; /* injected: the row cannot be read in time */
    /* injected, between two writes: kill -9, SIGSTOP; 300 ms before the
     * commit */
    bool dies, stops, stalls;
};
struct order_answer {
    unsigned status;
    bool again; /* with Retry-After */
    char body[ORDER_BODY_MAX];
};
void order_setup(enum order_bug bug);
void order_do(const struct order_request *request,
              struct order_answer *ret_answer);

#endif
