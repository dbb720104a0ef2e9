/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_module.h - what the files of the gateway module share.
 *
 * Why: nginx knows HTTP, the engine knows decisions; this module only hands
 * one to the other.  Two moments matter: *colour*, once in SERVER_REWRITE of
 * the main request, and *choose*, in peer.init of whatever upstream the
 * location ends in.  What both leave behind lies in one record in the
 * request's pool, so that nothing of a request points into a mapping.
 *
 *   _module.c   directives, phases       _conf.c, _check.c  their work
 *   _colour.c   a request's colour       _balance.c  an upstream's work
 *   _incoming.c what is known of it      _choose.c   refused before asked
 *   _outcome.c  what a decision leaves   _peer.c     routes, retries
 *   _headers.c  read   _rewrite.c wrote  _endpoint.c names, addresses
 *   _filter.c   headers of the answer    _cookie.c   signed cookie
 *   _log.c, _line.c   decision log       _count.c    counters
 *   _record.c   requests for later plans
 *   _worker.c   the folder in a worker   _status.c   status location
 *   _load.c     a new policy taken       _variables.c
 *   _wait.c     requests that wait for their marks
 * Read next: ngx_http_gray_module.c, ngx_http_gray_decision.h.
 */


#ifndef _NGX_HTTP_GRAY_MODULE_H_INCLUDED_
#define _NGX_HTTP_GRAY_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "engine/engine.h"
#include "runtime/runtime.h"


#define NGX_HTTP_GRAY_LOG_BUFFER     65536
#define NGX_HTTP_GRAY_LINE           16384
#define NGX_HTTP_GRAY_REMEMBERED     1024
#define NGX_HTTP_GRAY_ISSUED         1024
#define NGX_HTTP_GRAY_WAYS           4
#define NGX_HTTP_GRAY_COOKIE_AGE     (30 * 24 * 60 * 60)
#define NGX_HTTP_GRAY_POLL           1
#define NGX_HTTP_GRAY_LARGE          262144
#define NGX_HTTP_GRAY_LARGE_MARKS    16777216

#define ngx_http_gray_str(s)                                                  \
    (struct gray_str) { (const char *) (s).data, (uint32_t) (s).len }


/* out of the way of what every request runs through */

#define ngx_http_gray_seldom  __attribute__((noinline, cold))


typedef struct ngx_http_gray_log_s     ngx_http_gray_log_t;
typedef struct ngx_http_gray_worker_s  ngx_http_gray_worker_t;
typedef struct ngx_http_gray_use_s     ngx_http_gray_use_t;
typedef struct ngx_http_gray_waiter_s  ngx_http_gray_waiter_t;
typedef struct ngx_http_gray_ctx_s     ngx_http_gray_ctx_t;


#include "ngx_http_gray_worker.h"


typedef struct {
    ngx_str_t                    path;
    ngx_thread_pool_t           *thread_pool;
    ngx_array_t                  logs;       /* of ngx_http_gray_log_t * */
    ngx_array_t                  balanced;   /* of upstream srv_conf_t * */
    ngx_array_t                  hooks;      /* of ngx_http_gray_hook_t */
    ngx_str_t                    hostname;
    ngx_int_t                    record;     /* index of the variable */
    ngx_http_gray_worker_t      *worker;
    ngx_uint_t                   used;       /* a directive needs a runtime */
} ngx_http_gray_main_conf_t;


typedef struct {
    ngx_str_t                    name;
    ngx_http_complex_value_t     value;
} ngx_http_gray_attr_t;


typedef struct {
    ngx_flag_t                   entrance;
    ngx_str_t                    entrance_name;
    uint32_t                     entrance_hash;

    ngx_flag_t                   cookie;
    time_t                       cookie_age;

    ngx_array_t                 *trust;      /* of ngx_cidr_t */

    ngx_array_t                 *attrs;      /* of ngx_http_gray_attr_t */
    ngx_array_t                 *labels;     /* of ngx_http_gray_attr_t */
    ngx_http_complex_value_t    *caller;
    ngx_http_complex_value_t    *stage;
    ngx_http_complex_value_t    *explain;
    ngx_http_gray_log_t         *log;
    ngx_http_gray_log_t         *record;

    ngx_uint_t                   used;       /* gray does anything here */
    ngx_uint_t                   tells;      /* explain, log, record */
    ngx_uint_t                   says;       /* attrs, labels, caller, stage */

    uint64_t                     epoch;      /* the number is of this epoch */
    uint32_t                     entrance_number;

    /* of an upstream */
    ngx_uint_t                   balance;
    ngx_uint_t                   balance_ready;
    ngx_uint_t                   fallback;   /* has servers of its own */
    ngx_str_t                    service;    /* that uses it, and one more */
    ngx_str_t                    another;
} ngx_http_gray_srv_conf_t;


typedef struct {
    ngx_str_t                    service;
    ngx_flag_t                   cache;
    ngx_str_t                    cache_key[3];

    ngx_http_gray_srv_conf_t    *upstream;   /* ours; NULL: not known yet */

    uint64_t                     epoch;      /* the rest is of this epoch */
    uint32_t                     number;     /* GRAY_NONE: unknown service */
    struct gray_choice           plain;      /* for requests of no colour */
} ngx_http_gray_loc_conf_t;


/* one use of a service: a proxied request, all its tries together */

struct ngx_http_gray_use_s {
    ngx_http_gray_use_t         *next;
    ngx_http_request_t          *request;

    struct gray_series          *slot;       /* in our own readers/ file */
    uint64_t                     series;
    uint64_t                     started;    /* ns, monotonic */
    ngx_uint_t                   first_state;
    ngx_str_t                    version;

    /* of the choice, numbers of `epoch` */
    uint64_t                     epoch;
    uint64_t                     load_serial;
    uint64_t                     tried;
    uint32_t                     route;
    uint32_t                     endpoint;
    uint32_t                     only;       /* that can be chosen */
    uint8_t                      reason;
    unsigned                     taken:1;    /* load was raised */

    u_char                       name[GRAY_NAME_MAX + 1]; /* of version */
};


/* what the balancer keeps for one upstream request */

typedef struct {
    ngx_http_gray_worker_t      *worker;
    ngx_http_request_t          *request;
    ngx_http_gray_ctx_t         *ctx;
    ngx_http_gray_loc_conf_t    *conf;
    const struct gray_view      *view;       /* for the first try only */
    unsigned                     plain:1;    /* bypass: baselines only */
    ngx_http_gray_use_t          use;
    ngx_http_gray_try_t          first;      /* most requests need one */
} ngx_http_gray_peer_t;


/* what colour and choice leave with a request; in its pool */

struct ngx_http_gray_ctx_s {
    struct gray_colour          *colour;     /* NULL: none */
    uint64_t                     epoch;      /* its numbers are of this one */

    ngx_str_t                    lane;
    ngx_str_t                    arms;

    ngx_str_t                    set_cookie;
    ngx_str_t                    explain;

    ngx_str_t                    baggage;    /* of one arm; empty: unknown */

    struct gray_choice           choice;     /* of `service`, made at `when` */
    uint32_t                     service;
    ngx_msec_t                   when;

    ngx_http_gray_use_t         *uses;
    ngx_http_gray_waiter_t      *waiter;     /* NULL: never waited */

    uint32_t                     bucket;
    uint8_t                      reason;
    uint8_t                      traffic_class;
    unsigned                     bypass:1;
    unsigned                     refused:1;
    unsigned                     hold:1;     /* neither version may serve */
    unsigned                     used:1;     /* first is taken */
    unsigned                     chosen:1;

    u_char                       carried[NGX_HTTP_GRAY_CARRIED];

    ngx_http_gray_peer_t         first;      /* most requests need one */
};


extern ngx_module_t               ngx_http_gray_module;
extern const struct gray_colour   ngx_http_gray_no_colour;


/* ngx_http_gray_headers.c: the first header of this name (in lower case), as
 * a client or a service wrote it; NULL when there is none */

ngx_table_elt_t *ngx_http_gray_find_header(ngx_list_t *list, const char *name,
    size_t len);

/* ngx_http_gray_conf.c */

char *ngx_http_gray_runtime(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_gray_entrance(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_gray_service(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_gray_attr(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_gray_trust(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_gray_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_gray_stage(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_gray_value(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* ngx_http_gray_check.c */

ngx_int_t ngx_http_gray_hook_keys(ngx_conf_t *cf);
void ngx_http_gray_unhook_keys(ngx_http_gray_main_conf_t *gmcf);
char *ngx_http_gray_check_location(ngx_conf_t *cf,
    ngx_http_gray_loc_conf_t *conf);

/* ngx_http_gray_worker.c */

ngx_int_t ngx_http_gray_init_process(ngx_cycle_t *cycle);
void ngx_http_gray_exit_process(ngx_cycle_t *cycle);
const struct gray_view *ngx_http_gray_view(ngx_http_gray_worker_t *w);
const struct gray_view *ngx_http_gray_loaded_view(ngx_http_gray_worker_t *w);
void ngx_http_gray_event(ngx_http_gray_worker_t *w, enum gray_event event);
int64_t ngx_http_gray_now(void);

/* ngx_http_gray_wait.c */

void ngx_http_gray_init_wait(ngx_http_gray_worker_t *w);
void ngx_http_gray_exit_wait(ngx_http_gray_worker_t *w);
void ngx_http_gray_look_at_waiters(ngx_http_gray_worker_t *w);
ngx_uint_t ngx_http_gray_resumed(ngx_http_gray_ctx_t *ctx);

/* ngx_http_gray_load.c */

void ngx_http_gray_load(ngx_http_gray_worker_t *w);
void ngx_http_gray_stop_loading(ngx_http_gray_worker_t *w);
void ngx_http_gray_say_keys(ngx_http_gray_worker_t *w);
void ngx_http_gray_swapped(ngx_http_gray_worker_t *w);

/* ngx_http_gray_clock.c */

void ngx_http_gray_init_crash(ngx_http_gray_worker_t *w);
void ngx_http_gray_set_instant(ngx_http_gray_worker_t *w);
void ngx_http_gray_look_at_clock(ngx_http_gray_worker_t *w);
void ngx_http_gray_exit_clock(ngx_http_gray_worker_t *w);

/* ngx_http_gray_worker.c: descriptors of ours in the event loop */

ngx_connection_t *ngx_http_gray_channel(ngx_http_gray_worker_t *w, int fd,
    ngx_event_handler_pt handler);
void ngx_http_gray_close_channel(ngx_connection_t *c);

/* ngx_http_gray_colour.c */

ngx_int_t ngx_http_gray_colour_handler(ngx_http_request_t *r);
ngx_http_gray_ctx_t *ngx_http_gray_find_ctx(ngx_http_request_t *r);
ngx_http_gray_ctx_t *ngx_http_gray_create_ctx(ngx_http_request_t *r);
const struct gray_colour *ngx_http_gray_recolour(ngx_http_gray_worker_t *w,
    const struct gray_view *view, ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx);
ngx_str_t ngx_http_gray_copy(ngx_pool_t *pool, struct gray_str text);

/* ngx_http_gray_balance.c */

char *ngx_http_gray_balance(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_http_gray_check_balance(ngx_conf_t *cf,
    ngx_http_gray_main_conf_t *gmcf);

/* ngx_http_gray_choose.c */

ngx_int_t ngx_http_gray_preaccess_handler(ngx_http_request_t *r);
void ngx_http_gray_choose_by_colour(ngx_http_gray_worker_t *w,
    const struct gray_view *view, ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx, uint32_t service);
uint32_t ngx_http_gray_service_number(ngx_http_gray_worker_t *w,
    const struct gray_view *view, ngx_http_gray_loc_conf_t *glcf);

/* ngx_http_gray_endpoint.c */

ngx_int_t ngx_http_gray_dial(ngx_peer_connection_t *pc, ngx_pool_t *pool,
    ngx_http_gray_worker_t *w, ngx_http_gray_try_t *try,
    const struct gray_fleet *fleet, uint32_t number);

/* ngx_http_gray_peer.c */

ngx_int_t ngx_http_gray_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);

/* ngx_http_gray_filter.c */

ngx_int_t ngx_http_gray_filter_init(ngx_conf_t *cf);

/* ngx_http_gray_count.c */

void ngx_http_gray_count_start(ngx_http_gray_ctx_t *ctx,
    ngx_http_gray_use_t *use, struct gray_series *slot);
void ngx_http_gray_count_admission(ngx_http_gray_worker_t *w,
    const struct gray_view *view, const struct gray_verdict *verdict,
    enum gray_class traffic_class);
void ngx_http_gray_count_flows(ngx_http_gray_worker_t *w,
    const struct gray_colour *colour, uint32_t service);
void ngx_http_gray_find_flow(ngx_http_gray_worker_t *w,
    ngx_http_gray_route_t *route, uint32_t service,
    const struct gray_verdict *verdict);
ngx_int_t ngx_http_gray_count_handler(ngx_http_request_t *r);

/* ngx_http_gray_log.c */

char *ngx_http_gray_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_http_gray_log_t *ngx_http_gray_log_open(ngx_conf_t *cf, ngx_str_t *path,
    ngx_uint_t sample);
ngx_int_t ngx_http_gray_log_init(ngx_http_gray_log_t *log,
    ngx_http_gray_worker_t *w);
void ngx_http_gray_log_exit(ngx_http_gray_log_t *log);
void ngx_http_gray_log_line(ngx_http_gray_log_t *log, u_char *head,
    size_t head_len, const u_char *rest, size_t rest_len);

/* ngx_http_gray_line.c */

const char *ngx_http_gray_log_wants(ngx_http_gray_log_t *log,
    const struct gray_colour *colour);
void ngx_http_gray_log_decision(ngx_http_request_t *r,
    ngx_http_gray_log_t *log, const char *event, const u_char *explain,
    size_t len);
void ngx_http_gray_log_refusal(ngx_http_request_t *r,
    ngx_http_gray_log_t *log, const char *what, ngx_str_t *service,
    ngx_http_gray_ctx_t *ctx);

/* ngx_http_gray_record.c */

char *ngx_http_gray_record(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
void ngx_http_gray_record_request(ngx_http_gray_log_t *record,
    const struct gray_input *input, ngx_str_t *entrance);

/* ngx_http_gray_status.c */

char *ngx_http_gray_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* ngx_http_gray_variables.c */

ngx_int_t ngx_http_gray_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_gray_add_record(ngx_conf_t *cf,
    ngx_http_gray_main_conf_t *gmcf);


/* one more, in the worker's own file that others read meanwhile */

#define ngx_http_gray_count_one(place)                                        \
    __atomic_store_n(&(place), (place) + 1, __ATOMIC_RELAXED)


/* asked several times a request: the common answers without a call */

static ngx_inline ngx_http_gray_ctx_t *
ngx_http_gray_get_ctx(ngx_http_request_t *r)
{
    ngx_http_gray_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_http_gray_module);

    return ctx ? ctx : ngx_http_gray_find_ctx(r);
}


/* xorshift64: for draws between endpoints and among units, never for secrets */

static ngx_inline uint64_t
ngx_http_gray_random(ngx_http_gray_worker_t *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;

    return w->random;
}


static ngx_inline const struct gray_colour *
ngx_http_gray_colour(ngx_http_gray_worker_t *w, const struct gray_view *view,
    ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx)
{
    if (ctx->lane.len == 0 && ctx->arms.len == 0) {
        return &ngx_http_gray_no_colour;
    }

    return ngx_http_gray_recolour(w, view, r, ctx);
}


#endif /* _NGX_HTTP_GRAY_MODULE_H_INCLUDED_ */
