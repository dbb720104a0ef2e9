/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_count.c - what became of a request, by the route it took.
 *
 * Why: releases are judged by these numbers, so they are counted where
 * everything is known: in the log phase, from the states of all tries (the
 * balancer itself never sees a plain 500), under the route really used.  A
 * slot may have been given to another series meanwhile; then the outcome is
 * not counted rather than counted for somebody else.
 * Read next: runtime/counters.def, ngx_http_gray_peer.c.
 */


#include "ngx_http_gray_module.h"


static void ngx_http_gray_count(ngx_http_gray_use_t *use, uint64_t now);
static ngx_uint_t ngx_http_gray_count_tries(ngx_http_gray_use_t *use,
    struct gray_series *slot);
static ngx_uint_t ngx_http_gray_grpc_failed(ngx_http_request_t *r)
    ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_grpc_status(ngx_list_t *list);


/* ns, monotonic: nginx's own clock knows milliseconds, most answers take less */

static uint64_t
ngx_http_gray_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


/* Begins a use, or moves it to the route of a policy that came between. */

void
ngx_http_gray_count_start(ngx_http_gray_ctx_t *ctx, ngx_http_gray_use_t *use,
    struct gray_series *slot)
{
    if (use->started == 0) {
        use->started = ngx_http_gray_clock();
        use->first_state = use->request->upstream_states
                           ? use->request->upstream_states->nelts : 0;
        use->next = ctx->uses;
        ctx->uses = use;

    } else if (use->slot && use->slot->series == use->series
               && use->slot->in_flight)
    {
        __atomic_store_n(&use->slot->in_flight, use->slot->in_flight - 1,
                         __ATOMIC_RELAXED);
    }

    use->slot = slot;

    if (slot == NULL) {
        return;
    }

    use->series = slot->series;

    ngx_http_gray_count_one(slot->started);
    ngx_http_gray_count_one(slot->in_flight);
}


/*
 * At the entrance, whoever serves there: a release's first route with the
 * variant has its admissions, once each.
 */

void
ngx_http_gray_count_admission(ngx_http_gray_worker_t *w,
    const struct gray_view *view, const struct gray_verdict *verdict,
    enum gray_class traffic_class)
{
    uint32_t                     i;
    const uint32_t              *routes;
    struct gray_series          *slot;
    const struct gray_route     *route;
    const struct gray_release   *release;
    const struct gray_snapshot  *policy;

    policy = view->policy;
    release = gray_release_at(policy, verdict->release);

    if (!w->counted || release == NULL) {
        return;
    }

    /* gray_snapshot_open() has looked at every one of them */

    routes = (const uint32_t *) (policy->base
                                 + policy->policy->numbers.offset)
             + release->routes.first;

    for (i = 0; i < release->routes.count; i++) {
        route = gray_route_at(policy, routes[i]);

        if (route == NULL || route->variant != verdict->variant) {
            continue;
        }

        slot = gray_counters_series(w->runtime, routes[i], traffic_class);
        if (slot) {
            ngx_http_gray_count_one(slot->admitted);
        }

        return;
    }
}


/*
 * The arms that a live request carries to a service, or gets at an entrance
 * (GRAY_NONE), whoever serves it there.
 */

void
ngx_http_gray_count_flows(ngx_http_gray_worker_t *w,
    const struct gray_colour *colour, uint32_t service)
{
    uint32_t           i;
    struct gray_flow  *flow;

    if (!w->counted || colour->traffic_class != GRAY_CLASS_LIVE) {
        return;
    }

    for (i = 0; i < colour->arm_count; i++) {
        flow = gray_counters_flow(w->runtime, service, &colour->arms[i]);

        if (flow) {
            ngx_http_gray_count_one(flow->requests);
        }
    }
}


/* Most routes see one arm alone: its place is kept with what is kept of them. */

void
ngx_http_gray_find_flow(ngx_http_gray_worker_t *w,
    ngx_http_gray_route_t *route, uint32_t service,
    const struct gray_verdict *verdict)
{
    route->flow_release = verdict->release + 1;
    route->flow_variant = verdict->variant;
    route->flow = w->counted
                  ? gray_counters_flow(w->runtime, service, verdict) : NULL;
}


ngx_int_t
ngx_http_gray_count_handler(ngx_http_request_t *r)
{
    uint64_t              now;
    ngx_http_gray_ctx_t  *ctx;
    ngx_http_gray_use_t  *use;

    /* subrequests are counted with their main request */

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_gray_get_ctx(r);

    if (ctx == NULL || ctx->uses == NULL) {
        return NGX_OK;
    }

    now = ngx_http_gray_clock();

    for (use = ctx->uses; use; use = use->next) {
        if (use->slot && use->slot->series == use->series) {
            ngx_http_gray_count(use, now);
        }
    }

    return NGX_OK;
}


static void
ngx_http_gray_count(ngx_http_gray_use_t *use, uint64_t now)
{
    uint32_t             bucket;
    uint64_t             us;
    ngx_str_t           *type;
    ngx_uint_t           status;
    struct gray_series  *slot;

    slot = use->slot;

    if (slot->in_flight) {
        __atomic_store_n(&slot->in_flight, slot->in_flight - 1,
                         __ATOMIC_RELAXED);
    }

    status = ngx_http_gray_count_tries(use, slot);

    if (status >= 200 && status < 300) {
        ngx_http_gray_count_one(slot->status_2xx);

    } else if (status == NGX_HTTP_CLIENT_CLOSED_REQUEST) {
        ngx_http_gray_count_one(slot->client_gone);

    } else if (status >= 500) {
        ngx_http_gray_count_one(slot->status_5xx);

    } else if (status >= 400) {
        ngx_http_gray_count_one(slot->status_4xx);

    } else if (status >= 300) {
        ngx_http_gray_count_one(slot->status_3xx);

    } else {
        ngx_http_gray_count_one(slot->status_1xx);
    }

    type = &use->request->headers_out.content_type;

    if (type->len >= 16
        && ngx_memcmp(type->data, "application/grpc", 16) == 0
        && ngx_http_gray_grpc_failed(use->request))
    {
        ngx_http_gray_count_one(slot->grpc_failed);
    }

    us = (now - use->started) / 1000;
    bucket = gray_latency_bucket(us);

    __atomic_store_n(&slot->latency_sum_us, slot->latency_sum_us + us,
                     __ATOMIC_RELAXED);
    ngx_http_gray_count_one(slot->latency[bucket]);
}


/* The status of the last try; the failed ones are counted. */

static ngx_uint_t
ngx_http_gray_count_tries(ngx_http_gray_use_t *use, struct gray_series *slot)
{
    ngx_uint_t                  i, last, status;
    ngx_array_t                *states;
    ngx_http_request_t         *r;
    ngx_http_upstream_state_t  *state;

    r = use->request;
    states = r->upstream_states;
    status = 0;

    if (states) {
        state = states->elts;
        last = states->nelts;

        for (i = use->first_state; i < last; i++) {

            /* a state without a peer divides this use from the next one */

            if (state[i].peer == NULL) {
                if (i == use->first_state) {
                    continue;
                }

                break;
            }

            status = state[i].status;

            if (status >= 500
                || (status == 0
                    && r->main->headers_out.status
                       != NGX_HTTP_CLIENT_CLOSED_REQUEST))
            {
                ngx_http_gray_count_one(slot->try_failed);
            }
        }
    }

    if (status == 0) {

        /* no answer came: what nginx said instead */

        status = r->main->headers_out.status;
        status = status ? status : NGX_HTTP_BAD_GATEWAY;
    }

    return status;
}


/* grpc-status 2, 4, 8, 12 to 15: the server's fault, as 5xx is. */

static ngx_uint_t
ngx_http_gray_grpc_failed(ngx_http_request_t *r)
{
    ngx_int_t  status;

    status = ngx_http_gray_grpc_status(&r->headers_out.trailers);

    if (status == NGX_ERROR) {
        status = ngx_http_gray_grpc_status(&r->headers_out.headers);
    }

    return status == 2 || status == 4 || status == 8
           || (status >= 12 && status <= 15);
}


static ngx_int_t
ngx_http_gray_grpc_status(ngx_list_t *list)
{
    ngx_table_elt_t  *h;

    h = ngx_http_gray_find_header(list, "grpc-status", 11);

    return h != NULL ? ngx_atoi(h->value.data, h->value.len) : NGX_ERROR;
}
