/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_peer.c - the second moment: choose who answers.
 *
 * Why: which version serves hangs on the location's service and on what
 * stands there now, so it is chosen in peer.init, for every upstream request
 * anew; each try then takes one endpoint, a retry another one of the same
 * route.  A refusal cannot be said from here (a balancer has only 502), so
 * what can be known before is asked in PREACCESS.
 *
 *   peer.init -> gray_choose -> get: gray_pick, load + 1
 *                               free: load - 1, tried  -> get again
 *   no view, bypass -> the upstream's own servers, else loaded baselines
 * Read next: engine/choose.c, ngx_http_gray_count.c.
 */


#include "ngx_http_gray_module.h"


static ngx_inline ngx_int_t ngx_http_gray_choose(ngx_http_gray_peer_t *gp,
    const struct gray_view *view);
static ngx_int_t ngx_http_gray_get_peer(ngx_peer_connection_t *pc,
    void *data);
static const struct gray_view *ngx_http_gray_again(ngx_peer_connection_t *pc,
    ngx_http_gray_peer_t *gp, ngx_http_gray_try_t **try)
    ngx_http_gray_seldom;
static void ngx_http_gray_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static void ngx_http_gray_tried(ngx_http_gray_use_t *use,
    const struct gray_view *view);
static void ngx_http_gray_make_route(ngx_http_gray_worker_t *w,
    const struct gray_view *view, ngx_http_gray_route_t *kept,
    uint32_t number) ngx_http_gray_seldom;
static void ngx_http_gray_count_arrival(ngx_http_gray_peer_t *gp,
    uint32_t number);
static ngx_int_t ngx_http_gray_choose_colour(ngx_http_gray_peer_t *gp,
    const struct gray_view *view) ngx_http_gray_seldom;
#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_gray_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_gray_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif


static ngx_http_gray_peer_t *
ngx_http_gray_create_peer(ngx_http_request_t *r, ngx_http_gray_worker_t *w)
{
    ngx_http_gray_ctx_t   *ctx;
    ngx_http_gray_peer_t  *gp;

    ctx = ngx_http_gray_get_ctx(r);

    if (ctx == NULL) {

        /* no entrance, nobody trusted: baselines */

        ctx = ngx_http_gray_create_ctx(r);
        if (ctx == NULL) {
            return NULL;
        }
    }

    gp = &ctx->first;

    if (ctx->used) {
        gp = ngx_palloc(r->pool, sizeof(ngx_http_gray_peer_t));
        if (gp == NULL) {
            return NULL;
        }
    }

    ctx->used = 1;

    /* the rest is begun by the choice and the first try */

    gp->worker = w;
    gp->request = r;
    gp->ctx = ctx;
    gp->conf = ngx_http_get_module_loc_conf(r, ngx_http_gray_module);
    gp->view = NULL;
    gp->plain = 0;
    gp->use.request = r;
    gp->use.slot = NULL;
    gp->use.started = 0;
    gp->use.route = GRAY_NONE;
    gp->use.taken = 0;

    return gp;
}


/* Nobody was chosen: the upstream's own servers, where it has some. */

static ngx_int_t
ngx_http_gray_fall_back(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us, ngx_http_gray_peer_t *gp,
    const struct gray_view *view)
{
    const char                *why;
    ngx_http_gray_srv_conf_t  *gscf;

    gscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_gray_module);

    if (gp->conf->service.len == 0) {
        why = "The location has no gray_service.";

    } else if (view) {
        why = gray_reason_sentence(GRAY_REASON_UNKNOWN_SERVICE);
        ngx_http_gray_event(gp->worker, GRAY_EVENT_UNKNOWN_SERVICE);

    } else {
        why = gray_reason_sentence(gp->worker ? gp->worker->reason
                                              : GRAY_REASON_NO_SNAPSHOT);
    }

    if (gscf->fallback) {
        return ngx_http_upstream_init_round_robin_peer(r, us);
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "gray: no endpoint for upstream \"%V\": %s The upstream "
                  "has no servers of its own.", &us->host, why);

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_gray_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_int_t                   rc;
    ngx_http_upstream_t        *u;
    ngx_http_gray_peer_t       *gp;
    const struct gray_view     *view;
    ngx_http_gray_worker_t     *w;
    ngx_http_gray_srv_conf_t   *gscf;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);
    gscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_gray_module);

    w = gmcf->worker;
    view = w ? ngx_http_gray_view(w) : NULL;

    gp = ngx_http_gray_create_peer(r, w);
    if (gp == NULL) {
        return NGX_ERROR;
    }

    if (view == NULL && w && !gscf->fallback) {

        /* static servers are there for this, baselines only without them */

        view = ngx_http_gray_loaded_view(w);
        gp->plain = 1;
    }

    if (view && gp->conf->service.len) {
        rc = ngx_http_gray_choose(gp, view);
        gp->view = view;

    } else {
        rc = NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {

        rc = ngx_http_gray_fall_back(r, us, gp, view);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        /* peer.get says it: an error from here would be 500 */

        gp->ctx->refused = 1;
    }

    u = r->upstream;

    u->peer.data = gp;
    u->peer.get = ngx_http_gray_get_peer;
    u->peer.free = ngx_http_gray_free_peer;

    if (u->peer.tries == 0) {
        u->peer.tries = 1;
    }

#if (NGX_HTTP_SSL)
    u->peer.set_session = ngx_http_gray_set_session;
    u->peer.save_session = ngx_http_gray_save_session;
#endif

    return NGX_OK;
}


/* NGX_DECLINED: the policy does not know the service. */

static ngx_inline ngx_int_t
ngx_http_gray_choose(ngx_http_gray_peer_t *gp, const struct gray_view *view)
{
    struct gray_series      *slot;
    ngx_http_gray_use_t     *use;
    ngx_http_gray_route_t   *route;
    ngx_http_gray_worker_t  *w;

    use = &gp->use;
    w = gp->worker;

    use->epoch = w->epoch;
    use->tried = 0;
    use->endpoint = GRAY_NONE;
    use->route = GRAY_NONE;

    if (ngx_http_gray_service_number(w, view, gp->conf) == GRAY_NONE) {
        return NGX_DECLINED;
    }

    if (gp->conf->plain.refuse
        || (!gp->plain && (gp->ctx->lane.len || gp->ctx->arms.len)))
    {
        if (ngx_http_gray_choose_colour(gp, view) != NGX_OK) {
            return NGX_OK;
        }

    } else {
        use->route = gp->conf->plain.route;
        use->reason = gp->conf->plain.reason;
    }

    if (use->route >= w->route_count) {
        use->route = GRAY_NONE;
        return NGX_OK;
    }

    route = &w->routes[use->route];

    if (route->len == 0) {
        ngx_http_gray_make_route(w, view, route, use->route);
    }

    /* most names of versions are short: no call */

    if (route->len <= 16) {
        ngx_memcpy(use->name, route->version, 16);

    } else {
        ngx_memcpy(use->name, route->version, sizeof(use->name));
    }

    use->version.len = route->len;
    use->version.data = use->name;

    use->only = route->only;
    gp->request->upstream->peer.tries = route->ready;

    slot = route->slot;

    if (gp->ctx->traffic_class != GRAY_CLASS_LIVE && w->counted) {
        slot = gray_counters_series(w->runtime, use->route,
                                    gp->ctx->traffic_class);
    }

    ngx_http_gray_count_start(gp->ctx, use, slot);

    return NGX_OK;
}


/* The arms that a request brings to this service, whoever serves it there. */

static void
ngx_http_gray_count_arrival(ngx_http_gray_peer_t *gp, uint32_t number)
{
    ngx_http_gray_route_t       *route;
    const struct gray_colour    *colour;
    const struct gray_verdict   *verdict;

    colour = gp->ctx->colour;

    if (gp->ctx->epoch != gp->worker->epoch || number >= gp->worker->route_count)
    {
        return;
    }

    if (colour->arm_count != 1) {
        ngx_http_gray_count_flows(gp->worker, colour, gp->conf->number);
        return;
    }

    route = &gp->worker->routes[number];
    verdict = &colour->arms[0];

    if (route->flow_release != verdict->release + 1
        || route->flow_variant != verdict->variant)
    {
        ngx_http_gray_find_flow(gp->worker, route, gp->conf->number, verdict);
    }

    if (route->flow) {
        ngx_http_gray_count_one(route->flow->requests);
    }
}


/* NGX_DECLINED: it must be refused. */

static ngx_int_t
ngx_http_gray_choose_colour(ngx_http_gray_peer_t *gp,
    const struct gray_view *view)
{
    struct gray_choice  choice;

    if (gp->plain) {
        choice = gp->conf->plain;

    } else {
        ngx_http_gray_choose_by_colour(gp->worker, view, gp->request, gp->ctx,
                                       gp->conf->number);
        choice = gp->ctx->choice;
    }

    gp->use.reason = choice.reason;
    gp->use.route = choice.route;

    if (!choice.refuse) {

        if (gp->use.started == 0 && !gp->plain && gp->ctx->colour
            && gp->ctx->traffic_class == GRAY_CLASS_LIVE)
        {
            ngx_http_gray_count_arrival(gp, choice.route);
        }

        return NGX_OK;
    }

    gp->use.route = GRAY_NONE;
    gp->ctx->refused = 1;
    gp->ctx->reason = choice.reason;

    ngx_log_error(NGX_LOG_ERR, gp->request->connection->log, 0,
                  "gray: service \"%V\" has nobody to answer: %s (%s)",
                  &gp->conf->service, gray_reason_sentence(choice.reason),
                  gray_reason_code(choice.reason));

    return NGX_DECLINED;
}


/*
 * What a request needs of its route is the same for all of an epoch: asked
 * for once, it saves each request 160 instructions.
 */

static void
ngx_http_gray_make_route(ngx_http_gray_worker_t *w,
    const struct gray_view *view, ngx_http_gray_route_t *kept, uint32_t number)
{
    struct gray_str            version;
    const struct gray_route   *route;
    const struct gray_subset  *subset;

    route = gray_route_at(view->policy, number);
    version = gray_text(view->policy, route->version);
    subset = &view->link->subsets[number];

    kept->len = ngx_min(version.length, sizeof(kept->version));
    ngx_memcpy(kept->version, version.data, kept->len);

    kept->ready = subset->ready;
    kept->only = subset->ready == 1 ? view->link->members[
                                                     subset->members.first]
                                    : GRAY_NONE;
    kept->slot = w->counted ? gray_counters_series(w->runtime, number,
                                                   GRAY_CLASS_LIVE)
                            : NULL;
}


static ngx_int_t
ngx_http_gray_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_gray_peer_t  *gp = data;

    uint32_t                 number;
    ngx_http_gray_try_t     *try;
    ngx_http_gray_use_t     *use;
    const struct gray_view  *view;
    ngx_http_gray_worker_t  *w;

    use = &gp->use;
    w = gp->worker;

    if (w == NULL || use->route == GRAY_NONE) {
        return NGX_BUSY;
    }

    view = gp->view;
    try = &gp->first;

    if (view) {

        /* the first try follows the choice in the same event */

        gp->view = NULL;

    } else {
        view = ngx_http_gray_again(pc, gp, &try);
        if (view == NULL) {
            return NGX_BUSY;
        }
    }

    number = use->only;

    if (number == GRAY_NONE || use->tried) {
        number = gray_pick(view, use->route, w->load, use->tried,
                           ngx_http_gray_random(w));

        if (number == GRAY_NONE) {
            return NGX_BUSY;
        }
    }

    use->endpoint = number;

    if (number < w->load_count) {
        w->load[number]++;
        use->load_serial = w->load_serial;
        use->taken = 1;
    }

    pc->cached = 0;
    pc->connection = NULL;

    return ngx_http_gray_dial(pc, gp->request->pool, w, try, view->fleet,
                              number);
}


/* A retry; NULL: there is none. */

static const struct gray_view *
ngx_http_gray_again(ngx_peer_connection_t *pc, ngx_http_gray_peer_t *gp,
    ngx_http_gray_try_t **try)
{
    uint32_t                 tries;
    ngx_http_gray_use_t     *use;
    const struct gray_view  *view;
    ngx_http_gray_worker_t  *w;

    use = &gp->use;
    w = gp->worker;

    /* bypass may have come between the choice and a retry */

    view = ngx_http_gray_loaded_view(w);

    if (view == NULL) {
        return NULL;
    }

    if (use->epoch != w->epoch) {

        /* another policy came between two tries: its numbers, not ours */

        tries = pc->tries;

        if (ngx_http_gray_choose(gp, view) != NGX_OK
            || use->route == GRAY_NONE)
        {
            gp->ctx->refused = 1;
            return NULL;
        }

        pc->tries = tries;

    } else if (use->endpoint != GRAY_NONE) {
        ngx_http_gray_tried(use, view);
    }

    *try = ngx_palloc(gp->request->pool, sizeof(ngx_http_gray_try_t));

    return *try ? view : NULL;
}


static void
ngx_http_gray_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_gray_peer_t  *gp = data;

    ngx_http_gray_use_t     *use;
    ngx_http_gray_worker_t  *w;

    use = &gp->use;
    w = gp->worker;

    if (use->taken) {
        use->taken = 0;

        /* another fleet has other numbers */

        if (use->load_serial == w->load_serial
            && use->endpoint < w->load_count && w->load[use->endpoint])
        {
            w->load[use->endpoint]--;
        }
    }

    if (pc->tries) {
        pc->tries--;
    }
}


/* The place of the last endpoint among the route's, for gray_pick(). */

static void
ngx_http_gray_tried(ngx_http_gray_use_t *use, const struct gray_view *view)
{
    uint32_t                   i;
    const uint32_t            *members;
    const struct gray_subset  *subset;

    subset = &view->link->subsets[use->route];
    members = &view->link->members[subset->members.first];

    for (i = 0; i < subset->ready && i < 64; i++) {
        if (members[i] == use->endpoint) {
            use->tried |= (uint64_t) 1 << i;
            return;
        }
    }
}


#if (NGX_HTTP_SSL)

/* Sessions belong to endpoints, which come and go: none is kept. */

static ngx_int_t
ngx_http_gray_set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


static void
ngx_http_gray_save_session(ngx_peer_connection_t *pc, void *data)
{
    /* void */
}

#endif
