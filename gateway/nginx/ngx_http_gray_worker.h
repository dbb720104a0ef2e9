/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_worker.h - what a worker keeps from one request to the next.
 *
 * Why: a worker is one thread, so what many requests would work out alike
 * (an endpoint's address, a route's counters, a verified cookie) is worked out
 * once and kept here, without a lock.  What is numbered by a policy is kept
 * for an epoch, until the next swap.
 * Read next: ngx_http_gray_worker.c.  Included by ngx_http_gray_module.h only.
 */


#ifndef _NGX_HTTP_GRAY_WORKER_H_INCLUDED_
#define _NGX_HTTP_GRAY_WORKER_H_INCLUDED_


/* one gray_log file; its buffers belong to the worker */

struct ngx_http_gray_log_s {
    ngx_open_file_t             *file;
    ngx_uint_t                   sample;
    ngx_uint_t                   seen;

    ngx_http_gray_worker_t      *worker;
    ngx_event_t                  timer;
    ngx_thread_task_t           *task;

    u_char                      *buffer[2];
    size_t                       used[2];
    ngx_uint_t                   active;

    unsigned                     writing:1;
};


/* a cookie that was verified before, known by its exact bytes */

typedef struct {
    size_t                       len;
    unsigned                     host:1;
    struct gray_cookie           cookie;
    uint64_t                     unit_hash;
    uint32_t                     unit_len;   /* 0: not asked yet */
    u_char                       unit[36];
    u_char                       value[1];
} ngx_http_gray_remembered_t;


/* a Set-Cookie that was signed a moment ago, for a unit's only admission */

typedef struct {
    size_t                       len;        /* 0: free */
    time_t                       when;
    time_t                       age;
    ngx_uint_t                   tls;
    struct gray_cookie_mark      mark;
    u_char                       text[192];
} ngx_http_gray_issued_t;


/* an endpoint as nginx dials it, kept from its first use on */

typedef struct {
    socklen_t                    socklen;    /* 0: not made yet */
    uint32_t                     len;
    union {
        struct sockaddr          sa;
        struct sockaddr_in       sin;
#if (NGX_HAVE_INET6)
        struct sockaddr_in6      sin6;
#endif
    } addr;
    u_char                       text[64];
} ngx_http_gray_endpoint_t;


/* a name and an address of one try, in the request's pool */

typedef struct {
    ngx_str_t                    name;
    ngx_http_gray_endpoint_t     endpoint;
} ngx_http_gray_try_t;


/* what a request needs of its route, kept from its first use in an epoch on */

typedef struct {
    struct gray_series          *slot;       /* live requests; NULL: none */
    struct gray_flow            *flow;       /* of the arm that came last */
    uint32_t                     flow_release; /* its number + 1 */
    uint32_t                     flow_variant;
    uint32_t                     ready;
    uint32_t                     only;       /* the one that is ready */
    uint32_t                     len;        /* 0: not made yet */
    u_char                       version[GRAY_NAME_MAX + 1];
} ngx_http_gray_route_t;


/* "gray.arms=cart-2": what a request of one arm and no lane carries */

#define NGX_HTTP_GRAY_CARRIED        48
#define NGX_HTTP_GRAY_ONE_ARMS       8

typedef struct {
    uint64_t                     epoch;
    uint32_t                     release;
    uint32_t                     variant;
    uint32_t                     len;
    struct gray_flow            *flow;       /* NULL: not counted */
    u_char                       text[NGX_HTTP_GRAY_CARRIED];
} ngx_http_gray_one_arm_t;


/* the folder in a worker, and what its requests share */

struct ngx_http_gray_worker_s {
    struct gray_runtime         *runtime;
    ngx_str_t                    path;
    ngx_pool_t                  *pool;
    ngx_log_t                   *log;

    ngx_connection_t            *wake;
    ngx_connection_t            *poll;
    ngx_connection_t            *instant;    /* timer of what waits */
    void                        *stack;      /* of signals; NULL: not ours */
    int64_t                      armed;      /* for when; 0: it is not */

    ngx_thread_pool_t           *thread_pool; /* of the decision log */

    pthread_t                    thread;     /* while loading */
    uint32_t                     loaded;     /* atomic: the thread is done */
    struct gray_runtime_set     *set;
    struct gray_problem          problem;

    uint64_t                     epoch;      /* raised by every swap */
    uint64_t                     prepared;   /* epoch that the rest fits */
    uint64_t                     fleet_generation;
    uint64_t                     load_serial;
    uint32_t                    *load;       /* by endpoint: in flight */
    ngx_http_gray_endpoint_t    *endpoints;
    uint32_t                     load_count;
    uint64_t                    *decisions;  /* ours, by reason */
    uint64_t                    *nowhere;    /* if we are not counted */
    ngx_http_gray_route_t       *routes;
    uint32_t                     route_count;

    ngx_queue_t                  waiters;    /* for their marks */
    ngx_event_t                  wait;
    uint64_t                     folder;     /* raised when it is another */

    uint64_t                     random;
    enum gray_reason             reason;     /* why there was no view */

    ngx_http_gray_remembered_t **remembered;
    ngx_http_gray_issued_t      *issued;
    ngx_uint_t                   turn;

    ngx_http_gray_one_arm_t      one_arm[NGX_HTTP_GRAY_ONE_ARMS];

    unsigned                     loading:1;
    unsigned                     again:1;
    unsigned                     anonymous:1; /* a release issues ids */
    unsigned                     draws:1;     /* one admits at random */
    unsigned                     counted:1;
    unsigned                     said:1;
    unsigned                     keyless:1;     /* said that it is */
};


#endif /* _NGX_HTTP_GRAY_WORKER_H_INCLUDED_ */
