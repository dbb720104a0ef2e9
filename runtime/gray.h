/* SPDX-License-Identifier: Apache-2.0
 * gray.h - libgray: ask, inside your program, what Graylane decided.
 *
 * The library maps the runtime folder of this host (`gray publish` or grayd
 * write it) and answers from memory: no network, no daemon, no system call
 * but the clock's.  The gateway, the CLI and this library give the same
 * answer to the same request.
 *
 *     struct gray_client *client;
 *     struct gray_client_problem problem;
 *     if (gray_client_open(&client, "/run/graylane", &problem) != 0) {
 *         fprintf(stderr, "%s\n", problem.sentence);
 *     }
 *     struct gray_client_pair headers[] = {{"cookie", "uid=alice"}};
 *     struct gray_client_request request = {
 *         .size = sizeof(request), .target = "/cart", .headers = headers,
 *         .header_count = 1 };
 *     struct gray_client_answer answer = { .size = sizeof(answer) };
 *     gray_client_ask(client, &request, &answer);
 *     if (strstr(answer.arms, "cart-2")) ...
 *
 * What will hurt you, first:
 *   - Nothing gray is ever an authorisation: it says which version serves,
 *     not who may.
 *   - A handle may go through fork(): in the child its first call registers
 *     that process as a reader of its own, and gray_client_fd() is another
 *     FIFO under the same number.  Without that call the child is nobody.  Of
 *     vfork() and bare clone() the library hears nothing: only exec there.
 *   - When there is no folder, no good policy, or the bypass is on, answers
 *     are the baseline, with a reason; that is not an error.
 *   - Look at `hold` first: 1 means that neither version may serve (what the
 *     unit was told is not known, or may become known any moment): answer 503
 *     with Retry-After, or try again later; run neither logic.
 *   - A question may wait: a mark that is new is made by grayd, whom the
 *     library asks through its file in the folder, and a mark that somebody
 *     else makes at this moment is waited for.  The calling thread then sleeps
 *     in steps of 50 us to 1 ms, all in all at most the release's
 *     strictTimeout, or 50 ms where that is less; else nothing ever waits.  If
 *     the time is over, `monotonic` units are told the baseline (they may come
 *     in later) and `entity` units are held, also by who asks again, as long
 *     as grayd may still make what was asked for.
 *   - A folder that `gray publish` alone writes has nobody who could make a
 *     mark for an application: `monotonic` units are then told by the share
 *     without one, `entity` and `strict` ones are not admitted.
 *
 * Strings end in NUL, NULL stands for "not there"; they are UTF-8 or any other
 * bytes but NUL.  Everything handed in is only looked at during the call;
 * everything handed out is copied into the caller's record or static.
 *
 * Threads: one handle may be used by any number of threads at once, without a
 * lock: an answer marks itself as reading in one of 16 counters, by phase,
 * and a reload waits until the readers of the state before it have left
 * (read-copy-update in the manner of McKenney's sleepable RCU).  A reload
 * happens inside the first call that finds the folder changed; the others go
 * on with the state before it.  Who wants it elsewhere calls
 * gray_client_poll() from a thread that waits on gray_client_fd().
 * gray_client_close() must be the last call.
 *
 * Errors: 0, or a negative errno value; records are untouched on failure.
 * The records begin with their own size, so that they can grow: a program and
 * a library of different ages understand each other.
 */
#ifndef GRAY_H
#define GRAY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GRAY_CLIENT_FOLDER "/run/graylane"
#define GRAY_CLIENT_NAME_MAX 63 /* bytes of a name: lane, release, version */
#define GRAY_CLIENT_ARMS_MAX 2048 /* bytes of `arms`, with its NUL */

#ifdef GRAY_CLIENT_BUILD
#define GRAY_CLIENT_API __attribute__((visibility("default")))
#else
#define GRAY_CLIENT_API
#endif

struct gray_client;

/* Why something went wrong: a stable code ("no-folder", "bad-checksum"), and
 * a sentence for people. */
struct gray_client_problem {
    const char *code; /* static; NULL: nothing is wrong */
    char sentence[160];
};

/* ---- a handle ----------------------------------------------------------- */

/* Opens a folder; NULL: GRAY_CLIENT_FOLDER.  0, or negative: -ENOENT there is
 * no such folder, -EPERM others than its owner could change it, -EINVAL it is
 * damaged or of another version, -ENOMEM.  A folder whose policy is missing or
 * bad opens; *ret_problem (may be NULL) then says what is wrong, else its code
 * is NULL.  The caller owns *ret_client until gray_client_close(). */
GRAY_CLIENT_API
int gray_client_open(struct gray_client **ret_client, const char *folder,
                     struct gray_client_problem *ret_problem);

/* NULL is allowed.  No other thread may be inside a call. */
GRAY_CLIENT_API
void gray_client_close(struct gray_client *client);

/* A descriptor that becomes readable (poll, epoll) when something changed; -1
 * when this process could not register in the folder, then changes are seen
 * by the next call only.  It belongs to the handle: do not read or close it. */
GRAY_CLIENT_API
int gray_client_fd(const struct gray_client *client);

/* Takes what is new, and tells the publisher that this process has seen it;
 * and goes over to a folder that was made in the place of a removed one, which
 * nothing else notices: call it now and then, whatever the descriptor says,
 * and put that (its number stays) into an epoll set anew after a 1.  1 when
 * the policy or the fleet changed, 0 when nothing did or another thread
 * is at it, negative when the newest was refused: the last good one stays. */
GRAY_CLIENT_API
int gray_client_poll(struct gray_client *client);

/* Revision (number in the history) of the policy in use; 0: none. */
GRAY_CLIENT_API
uint64_t gray_client_revision(struct gray_client *client);

/* Why the newest policy was refused; code NULL: it was not. */
GRAY_CLIENT_API
void gray_client_refusal(struct gray_client *client,
                         struct gray_client_problem *ret_problem);

/* ---- a request ---------------------------------------------------------- */

struct gray_client_pair {
    const char *name, *value;
};

/* All but `size` may be zero. */
struct gray_client_request {
    size_t size;          /* sizeof(struct gray_client_request) */
    const char *entrance; /* whose releases and lanes are asked; NULL: the
                             unnamed one, "-": none, only the colour counts */
    const char *method;
    const char *host;     /* also the header of this name, when `headers` has
                             none */
    const char *target;   /* "/a/b?c=d", as on the wire */
    const struct gray_client_pair *headers; /* names in any case; repeated
                             ones stand one after the other */
    size_t header_count;
    const struct gray_client_pair *attrs;   /* trusted attributes */
    size_t attr_count;
    const struct gray_client_pair *labels;  /* of the own instance */
    size_t label_count;
    const char *caller;   /* name of the calling service */
    const char *source;   /* address: "10.0.0.1", "2001:db8::1" */
    const char *unit;     /* whom it is about: stands for whatever place each
                             release looks for its unit */
    const char *lane;     /* the colour that the request came with, if it is */
    const char *arms;     /* to be believed: "red", "cart-2,pay-7:b" */
    const char *traffic_class; /* live (NULL), shadow, load, rehearsal */
    int64_t now_ms;       /* ms since the epoch; 0: now */
    uint64_t random;      /* 64 random bits; 0: drawn here */
    const char *stage;    /* which stage of its life the unit is at ("create",
                             "pay"); NULL: by the release's own rules; one that
                             a release does not have only reads there */
};

/* ---- answers ------------------------------------------------------------ */

struct gray_client_answer {
    size_t size;          /* sizeof(struct gray_client_answer) */
    uint64_t revision;    /* of the policy that answered; 0: none */
    char lane[GRAY_CLIENT_NAME_MAX + 1]; /* "" none */
    char arms[GRAY_CLIENT_ARMS_MAX];     /* what to pass on; "" none */
    char release[GRAY_CLIENT_NAME_MAX + 1]; /* that `reason` speaks of */
    const char *reason;   /* static: "share", "out-of-share", "bypass" ... */
    const char *sentence; /* static: the same for people */
    int32_t bucket;       /* 0 .. 999,999; -1: none was computed */
    int32_t hold;         /* 1: neither version may serve: refuse the request */
};
/* Decides every release and lane of the entrance; what is new is recorded in
 * the folder's marks, so it may wait (see above).  -EINVAL: a record of an
 * unknown size, an unknown class, an address that is none. */
GRAY_CLIENT_API
int gray_client_ask(struct gray_client *client,
                    const struct gray_client_request *request,
                    struct gray_client_answer *ret_answer);

struct gray_client_verdict {
    size_t size;          /* sizeof(struct gray_client_verdict) */
    uint64_t revision;
    int in;               /* 1: the new version */
    char variant[GRAY_CLIENT_NAME_MAX + 1]; /* "" of a release without */
    const char *reason, *sentence;
    int32_t bucket;       /* -1: none */
    int32_t hold;         /* 1: neither version may serve */
};
/* Decides one release, with marks as gray_client_ask().  -ENOENT: the policy has no such release (then `in`
 * would be 0, and *ret_verdict says so with reason "none"). */
GRAY_CLIENT_API
int gray_client_release(struct gray_client *client, const char *release,
                        const struct gray_client_request *request,
                        struct gray_client_verdict *ret_verdict);

/* ---- the mark in your own row --------------------------------------------- */

/* Strongest of all for orders and bills: the mark lies in the row that it is
 * about, written in the same transaction, and is handed back with every later
 * question.  What is on disk then cannot contradict what was done, whatever
 * happens to this host.
 *
 *     struct gray_client_request request = {
 *         .size = sizeof(request), .unit = order_id, .stage = "create" };
 *     struct gray_client_decision d = { .size = sizeof(d) };
 *     begin();
 *     row = select_for_update(order_id);      // error: GRAY_CLIENT_UNKNOWN
 *     gray_client_decide(client, "order-2", &request,
 *                        row ? GRAY_CLIENT_MARK : GRAY_CLIENT_ABSENT,
 *                        row ? &row->mark : NULL, &d);
 *     if (d.says == GRAY_CLIENT_HOLD) { rollback(); return 503; }
 *     work(d.says == GRAY_CLIENT_IN ? NEW : OLD);
 *     if (d.store) insert_with(order_id, &d.mark); // unique key: order_id
 *     commit();
 *
 * A unique key on the row makes the first writer win: who loses rolls back and
 * asks again with the winner's mark.  Keep the 16 bytes as they are.  They
 * prove nothing to anybody else: they are not signed. */
struct gray_client_mark {
    unsigned char bytes[16];
};
enum gray_client_had {
    GRAY_CLIENT_ABSENT,  /* there is surely no row, or one without a mark */
    GRAY_CLIENT_MARK,    /* here it is */
    GRAY_CLIENT_UNKNOWN  /* it could not be read: never say ABSENT then */
};
enum gray_client_says { GRAY_CLIENT_OUT, GRAY_CLIENT_IN, GRAY_CLIENT_HOLD };
struct gray_client_decision {
    size_t size;          /* sizeof(struct gray_client_decision) */
    uint64_t revision;
    int32_t says;         /* enum gray_client_says */
    int32_t store;        /* 1: `mark` is new, and belongs into the row */
    struct gray_client_mark mark; /* zero where there is none */
    char variant[GRAY_CLIENT_NAME_MAX + 1];
    const char *reason, *sentence;
    int32_t bucket;       /* -1: none */
};
/* Decides one release for the unit of the request, never waits, and makes no
 * mark but the one it hands out.  With a mark: what it says (reason
 * "handed-mark"), unless the release is stopped or killed, or this unit's
 * REVOKED of the same attempt or a later one stands in the folder; a mark of
 * another release or unit, or a damaged one, is HOLD.  ABSENT: by the rules
 * where the stage writes, and `store` says whether there is a mark to keep;
 * else the baseline.  UNKNOWN: as the release's onUnknown says, and nothing is
 * ever to be stored.  Without a policy an IN mark is HOLD, under bypass OUT.
 * -ENOENT: the policy has no such release; *ret is filled in the same way. */
GRAY_CLIENT_API
int gray_client_decide(struct gray_client *client, const char *release,
                       const struct gray_client_request *request,
                       enum gray_client_had had,
                       const struct gray_client_mark *mark,
                       struct gray_client_decision *ret_decision);

/* The unit's business is over: the order is paid back, the account closed.  An
 * entity that began outside stays outside until then, and the old version is
 * needed until the last of them is settled: `gray status` counts them and says
 * when that will be.  It changes no answer: who asks about the unit after all
 * is told what it was told.  Written down by grayd as soon as it can, from this
 * process's file in the folder, so it outlives this process and is not lost
 * while grayd is away; nobody waits.  Say it after the commit of what closed
 * the unit, again as often as you like.  For marks in the folder's tables: one
 * that you keep in your own row is counted by your own query.
 * 0; -EINVAL: no unit, or one of more than 1,024 bytes; -ENOENT: the policy has
 * no such release, or this process has no file in the folder; -ENOTSUP: the
 * folder has no grayd; -ENOBUFS: too much at once, say it again later. */
GRAY_CLIENT_API
int gray_client_settle(struct gray_client *client, const char *release,
                       const char *unit);

/* ---- versions --------------------------------------------------------------- */

struct gray_client_version {
    size_t size;          /* sizeof(struct gray_client_version) */
    char version[GRAY_CLIENT_NAME_MAX + 1]; /* "" unknown service, no policy */
    char endpoint[128];   /* one that serves it: "127.0.0.1:9001"; "" none */
    const char *reason, *sentence;
    int refuse;           /* 1: a strict lane, or nothing ready: answer 503 */
};
/* Which version of `service`, and which of its endpoints, serves a request of
 * this colour: `lane` and `arms` as in an answer, NULL none. */
GRAY_CLIENT_API
int gray_client_choose(struct gray_client *client, const char *service,
                       const char *lane, const char *arms,
                       struct gray_client_version *ret_version);

/* The decision as one line of JSON (docs/explain.md), the same bytes as `gray
 * explain -o json` and the gateway's explain header.  Looks at marks, makes
 * none, never waits.  Returns the length that
 * the text has, without its NUL; it was cut off when that is not below `size`.
 * 0: nothing can be explained (no policy), or a bad record. */
GRAY_CLIENT_API
size_t gray_client_explain(struct gray_client *client,
                           const struct gray_client_request *request,
                           char *buffer, size_t size);

/* ---- along the chain ------------------------------------------------------- */

/* The colour: what a request carries from service to service. */
struct gray_client_colour {
    size_t size;          /* sizeof(struct gray_client_colour) */
    char lane[GRAY_CLIENT_NAME_MAX + 1]; /* "" none; as in a request */
    char arms[GRAY_CLIENT_ARMS_MAX];     /* "" none; likewise */
    char traffic_class[16];              /* "live" where nothing is said */
};
/* Reads it from the headers (or the metadata of gRPC) that came in, as the
 * gateway does: x-gray-lane, the gray members of `baggage`, else the first
 * header of another house (docs/libgray.md).  Only of callers who may colour:
 * your own gateway and services; it is no proof.  -EBADMSG: a control header
 * twice, two lanes, or a malformed gray member: answer 400. */
GRAY_CLIENT_API
int gray_client_incoming(const struct gray_client_pair *headers,
                         size_t header_count,
                         struct gray_client_colour *ret_colour);

#define GRAY_CLIENT_HEADERS_MAX 12
struct gray_client_headers {
    size_t size;          /* sizeof(struct gray_client_headers) */
    size_t count;
    struct gray_client_pair headers[GRAY_CLIENT_HEADERS_MAX]; /* into `text`:
                             the record is not to be copied or moved */
    char text[9216];
};
/* The headers to send on with a call to the next service; their names are in
 * small letters, as HTTP/2 and the metadata of gRPC want them.  They replace
 * what came in under these names; a request without a colour has none, or
 * `baggage` as it came.  `baggage`: that came in, NULL none (several joined by
 * ","); `lane` and `arms` of an answer or a colour, NULL none; `traffic_class`
 * NULL: live; `aliases`: what other houses' programs read, which then says the
 * lane as well ("x-higress-tag", "x-mse-tag,dubbo-tag"), NULL none.  -EINVAL:
 * an unknown alias or class, or a lane that can be nobody's name. */
GRAY_CLIENT_API
int gray_client_outgoing(const char *baggage, const char *lane,
                         const char *arms, const char *traffic_class,
                         const char *aliases,
                         struct gray_client_headers *ret_headers);

/* Of these only `baggage`, of class live: the length, 0: send none.  8,192
 * bytes are always enough. */
GRAY_CLIENT_API
size_t gray_client_baggage(const char *incoming, const char *lane,
                           const char *arms, char *buffer, size_t size);

/* ---- old and new code side by side ------------------------------------------- */

/* Before a release: the new code computes beside the old one, on the same
 * input, and nobody sees its result.  The caller's thread runs the control and
 * returns what that said; the candidate runs in a thread of a pool of the
 * library (4 threads, 64 at a time; made by the first experiment), handed over
 * before the control begins or after it has ended, by chance.  The caller never
 * waits for it, and never hears of its failure; where there is no room it is
 * left out, and counted.
 *
 * Both get bytes and write bytes: `input` is copied before anything runs, each
 * has a result of its own, and all of it may outlive the call.  So neither may
 * hold a pointer to what the caller frees: count references in `keep` and
 * `drop`.  A candidate must change nothing that anybody else sees, and cannot
 * be ended: one that is over its deadline counts as late, holds its thread
 * until it returns, and gray_client_close() leaves it behind then.  A candidate
 * that crashes takes the process with it, as any code; none may throw. */
struct gray_client_trial {
    size_t size;          /* sizeof(struct gray_client_trial) */
    const char *name;     /* what is counted together; at most 63 bytes */
    const char *unit;     /* sampled by it, the same ones always; NULL: each
                             call by chance */
    uint32_t share;       /* how many are compared, of 1,000,000 */
    uint32_t deadline_ms; /* of the candidate, from when it was handed over; 0:
                             1,000 */
    int (*control)(void *input, void *result);   /* 0, or an error of yours */
    int (*candidate)(void *input, void *result); /* likewise; on a copy */
    int (*differ)(void *input, const void *control, const void *candidate);
                          /* 1: they differ; asked in a thread of the pool when
                             both said 0; NULL: the bytes are compared */
    void *input;
    size_t input_size, result_size; /* at most 65,536 each */
    void (*keep)(void *input); /* the copy was made, in the caller's thread */
    void (*drop)(void *input); /* nobody looks at the copy any more */
};
/* Runs one.  Returns what the control returned, and *result (of result_size
 * bytes) is the control's, or -EINVAL (nothing ran): a record of an unknown
 * size, no control, no name, a size above the limit.  Under bypass, without a
 * candidate, for who is not sampled, and where `client` is NULL, the control
 * runs alone. */
GRAY_CLIENT_API
int gray_client_experiment(struct gray_client *client,
                           const struct gray_client_trial *experiment,
                           void *result);

/* Of this handle and process; the folder's sums over all names and processes
 * are the events experiment-* of `gray status` and Prometheus. */
struct gray_client_counts {
    size_t size;          /* sizeof(struct gray_client_counts) */
    uint64_t runs;        /* handed to the pool */
    uint64_t same, different; /* different: also when just one failed, or each
                                 with another error */
    uint64_t failed;      /* the candidate did, and the control did not */
    uint64_t late;        /* candidates over their deadline; not compared */
    uint64_t left_out;    /* for want of room */
    uint64_t control_ns, candidate_ns; /* spent, over same and different */
};
/* -ENOENT: no experiment of this name has run.  At most 64 names are counted;
 * the 65th is left out. */
GRAY_CLIENT_API
int gray_client_experiment_read(struct gray_client *client, const char *name,
                                struct gray_client_counts *ret_counts);

#ifdef __cplusplus
}
#endif
#endif
