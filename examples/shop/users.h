/* SPDX-License-Identifier: Apache-2.0
 * users.h - what the load generator counts.
 *
 * Why: users.c drives connections, tally.c counts and prints; the words that
 * both use stand here.  One thread owns all of it.
 */
#ifndef SHOP_USERS_H
#define SHOP_USERS_H

#include "http.h"

/* Why a request failed; each failed request has exactly one. */
#define USERS_FAILURES(X)                                                      \
    X(CONNECT, "connect")       /* no connection could be had */               \
    X(RESET, "reset")           /* closed or reset before the whole answer */  \
    X(TIMEOUT, "timeout")       /* no whole answer in time */                  \
    X(STATUS_5XX, "status_5xx") /* answered 500 to 599 */                      \
    X(MALFORMED, "malformed")   /* answered what is not understood */          \
    X(UNEXPECTED, "unexpected") /* not what --expect-* asked for */
enum failure {
#define X(NAME, word) FAILED_##NAME,
    USERS_FAILURES(X)
#undef X
        FAILED_KINDS
};

struct tally_end {
    long users, passes;
    bool complete;
    double seconds;
};

void tally_request(void);
void tally_failure(enum failure kind);
void tally_stale_retry(void);
void tally_connection(void);
/* `version`: which version of the --by service answered; may be empty. */
void tally_answer(unsigned status, int64_t latency_us, struct text version);
uint64_t tally_failed(void);
/* One line of JSON about the time since the line before. */
void tally_live(int fd, int64_t now_us);
/* One JSON object about everything. */
void tally_print(const struct tally_end *end);

#endif
