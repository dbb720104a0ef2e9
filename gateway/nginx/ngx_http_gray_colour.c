/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_colour.c - the first moment: strip, decide, colour.
 *
 * Why: a request is decided once, when nginx first knows whose it is, and
 * carries the answer through every redirect and subrequest from then on.  So
 * this runs in SERVER_REWRITE of the main request, after realip, and leaves
 * a record behind that is found again where r->ctx was zeroed.
 *
 *   scan headers -> two values of ours: 400
 *                -> colour that came in (signed, or of a trusted peer)
 *                -> decide, make the marks that are new
 *                   -> one is not durable yet: wait, then decide afresh
 *                -> explain, log, cookie -> rewrite headers
 *                -> neither version may serve: 503
 *
 * Without a snapshot forgeries still go; under bypass nothing is touched.
 * Read next: ngx_http_gray_incoming.c, ngx_http_gray_outcome.c.
 */


#include "ngx_http_gray_decision.h"


static ngx_int_t ngx_http_gray_decide(ngx_http_gray_decision_t *d,
    ngx_uint_t again);
static ngx_int_t ngx_http_gray_hold(ngx_http_gray_decision_t *d)
    ngx_http_gray_seldom;


const struct gray_colour  ngx_http_gray_no_colour = {
    .lane = GRAY_NONE,
    .lane_rule = GRAY_NONE,
    .rule = GRAY_NONE,
    .bucket = GRAY_NONE,
    .release = GRAY_NONE
};


/*
 * nginx zeroes the contexts of a redirected request, but keeps its variables:
 * the record's address stands in one that no configuration can read.  A
 * cleanup handler would do as well, for 70 instructions a request more.
 */

ngx_http_gray_ctx_t *
ngx_http_gray_find_ctx(ngx_http_request_t *r)
{
    ngx_http_gray_ctx_t        *ctx;
    ngx_http_gray_main_conf_t  *gmcf;

    r = r->main;

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);

    if (gmcf->path.len == 0 || !(r->internal || r->filter_finalize)) {
        return NULL;
    }

    ctx = (ngx_http_gray_ctx_t *) r->variables[gmcf->record].data;
    ngx_http_set_ctx(r, ctx, ngx_http_gray_module);

    return ctx;
}


ngx_http_gray_ctx_t *
ngx_http_gray_create_ctx(ngx_http_request_t *r)
{
    ngx_http_gray_ctx_t        *ctx;
    ngx_http_gray_main_conf_t  *gmcf;

    r = r->main;

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_gray_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    /* field by field: a string instruction of 96 bytes costs twice as much */

    ctx->colour = NULL;
    ctx->epoch = 0;
    ngx_str_null(&ctx->lane);
    ngx_str_null(&ctx->arms);
    ngx_str_null(&ctx->set_cookie);
    ngx_str_null(&ctx->explain);
    ngx_str_null(&ctx->baggage);
    ctx->uses = NULL;
    ctx->waiter = NULL;
    ctx->bucket = GRAY_NONE;
    ctx->reason = GRAY_REASON_NONE;
    ctx->traffic_class = GRAY_CLASS_LIVE;
    ctx->bypass = 0;
    ctx->refused = 0;
    ctx->hold = 0;
    ctx->used = 0;
    ctx->chosen = 0;

    ngx_http_set_ctx(r, ctx, ngx_http_gray_module);

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);
    r->variables[gmcf->record].data = (u_char *) ctx;

    return ctx;
}


ngx_str_t
ngx_http_gray_copy(ngx_pool_t *pool, struct gray_str text)
{
    ngx_str_t  copy;

    copy.len = 0;
    copy.data = NULL;

    if (text.length) {
        copy.data = ngx_pnalloc(pool, text.length);
        if (copy.data) {
            copy.len = text.length;
            ngx_memcpy(copy.data, text.data, text.length);
        }
    }

    return copy;
}


ngx_int_t
ngx_http_gray_colour_handler(ngx_http_request_t *r)
{
    ngx_uint_t                  again;
    ngx_http_gray_srv_conf_t   *gscf;
    ngx_http_gray_decision_t    d;
    ngx_http_gray_main_conf_t  *gmcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    gscf = ngx_http_get_module_srv_conf(r, ngx_http_gray_module);

    if (!gscf->used) {
        return NGX_DECLINED;
    }

    d.ctx = ngx_http_get_module_ctx(r, ngx_http_gray_module);
    again = 0;

    if (d.ctx || r->internal) {
        d.ctx = ngx_http_gray_get_ctx(r);

        if (d.ctx) {
            again = ngx_http_gray_resumed(d.ctx);

            if (!again) {
                return NGX_DECLINED;
            }
        }
    }

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);

    d.worker = gmcf->worker;

    if (d.worker == NULL) {
        return NGX_DECLINED;
    }

    d.request = r;
    d.conf = gscf;
    d.view = ngx_http_gray_view(d.worker);

    if (!again) {
        d.ctx = ngx_http_gray_create_ctx(r);
        if (d.ctx == NULL) {
            return NGX_ERROR;
        }
    }

    if (d.view == NULL) {
        d.ctx->reason = (uint8_t) d.worker->reason;

        ngx_http_gray_event(d.worker, GRAY_EVENT_NO_VIEW);

        if (d.worker->reason == GRAY_REASON_BYPASS) {
            d.ctx->bypass = 1;

            if (!again) {
                return NGX_DECLINED;
            }

            /* what was taken off is gone: the headers are to be made whole */
        }
    }

    return ngx_http_gray_decide(&d, again);
}


static ngx_inline void
ngx_http_gray_begin_scan(ngx_http_gray_decision_t *d)
{
    ngx_http_gray_scan_t  *scan;

    scan = &d->scan;

    scan->request = d->request;
    scan->conf = d->conf;
    scan->input = NULL;
    scan->lane = NULL;
    scan->context = NULL;
    scan->alias = NULL;
    scan->baggage = NULL;
    scan->carrier = NULL;
    ngx_str_null(&scan->cookie);
    scan->forged = NULL;
    scan->dropped = 0;
    scan->tls = 0;
    scan->duplicate = 0;
    scan->stripped = 0;

#if (NGX_HTTP_SSL)
    scan->tls = d->request->connection->ssl != NULL;
#endif

    if (d->view) {
        ngx_http_gray_begin(d);
        scan->input = &d->input;
    }
}


static ngx_int_t
ngx_http_gray_read(ngx_http_gray_decision_t *d)
{
    ngx_int_t              rc;
    ngx_http_gray_scan_t  *scan;

    scan = &d->scan;

    ngx_http_gray_begin_scan(d);

    if (ngx_http_gray_scan(scan) != NGX_OK) {
        return NGX_ERROR;
    }

    if (scan->duplicate) {
        return ngx_http_gray_duplicate(d);
    }

    d->lane.data = "";
    d->lane.length = 0;
    d->arms.data = "";
    d->arms.length = 0;
    d->traffic_class = GRAY_CLASS_LIVE;
    d->anonymous = 0;

    if (scan->lane || scan->context || scan->baggage || scan->forged) {

        rc = ngx_http_gray_incoming(d);
        if (rc != NGX_OK) {
            return rc;
        }

        d->ctx->traffic_class = (uint8_t) d->traffic_class;
    }

    return NGX_OK;
}


/* NGX_DONE: the request waits for a mark. */

static ngx_int_t
ngx_http_gray_ask(ngx_http_gray_decision_t *d, ngx_uint_t again)
{
    if (ngx_http_gray_named(d) != NGX_OK) {
        return NGX_ERROR;
    }

    if (again) {
        ngx_http_gray_recall_marks(d);

    } else {
        d->marked = &d->own;
        gray_marked_begin(d->marked, d->worker->runtime, d->view,
                          d->input.now);
    }

    d->marked->evidence = d->scan.cookie.len ? ngx_http_gray_evidence : NULL;
    d->marked->evidence_context = &d->evidence;
    d->marked->entrance_name = d->conf->entrance_hash;

    if (gray_decide_marked(d->marked, d->entrance, &d->input, &d->colour, NULL)
        == GRAY_MARKED_WAIT)
    {
        return ngx_http_gray_wait(d);
    }

    return ngx_http_gray_leave(d);
}


static ngx_int_t
ngx_http_gray_decide(ngx_http_gray_decision_t *d, ngx_uint_t again)
{
    ngx_int_t              rc;
    ngx_http_gray_ctx_t   *ctx;
    ngx_http_gray_scan_t  *scan;

    ctx = d->ctx;
    scan = &d->scan;

    rc = again ? ngx_http_gray_recall(d) : ngx_http_gray_read(d);
    if (rc != NGX_OK) {
        return rc;
    }

    if (d->view) {

        rc = ngx_http_gray_ask(d, again);
        if (rc != NGX_OK) {
            return rc;
        }

    } else {

        /* who may colour is obeyed by later hops, policy or not */

        ctx->lane = ngx_http_gray_copy(d->request->pool, d->lane);
        ctx->arms = ngx_http_gray_copy(d->request->pool, d->arms);
    }

    if (ctx->lane.len || ctx->arms.len || scan->baggage || scan->dropped
        || scan->lane || d->traffic_class != GRAY_CLASS_LIVE)
    {
        rc = ngx_http_gray_rewrite(d);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ctx->hold ? ngx_http_gray_hold(d) : NGX_DECLINED;
}


/*
 * The old logic would write what the new one may have written: an answer is
 * refused, the next try may know more.
 */

static ngx_int_t
ngx_http_gray_hold(ngx_http_gray_decision_t *d)
{
    struct gray_str             name;
    const struct gray_release  *release;

    name.data = "";
    name.length = 0;

    release = gray_release_at(d->view->policy, d->colour.release);

    if (release) {
        name = gray_text(d->view->policy, release->name);
    }

    ngx_log_error(NGX_LOG_WARN, d->request->connection->log, 0,
                  "gray: held for release \"%*s\": %s (%s)",
                  (size_t) name.length, name.data,
                  gray_reason_sentence(d->colour.reason),
                  gray_reason_code(d->colour.reason));

    return NGX_HTTP_SERVICE_UNAVAILABLE;
}


/* Which of the two would count is not for the client to try out. */

ngx_int_t
ngx_http_gray_duplicate(ngx_http_gray_decision_t *d)
{
    ngx_http_gray_event(d->worker, GRAY_EVENT_DUPLICATE_CONTROL);

    ngx_log_error(NGX_LOG_INFO, d->request->connection->log, 0,
                  "gray: client sent two values of a control header");

    ngx_http_gray_log_refusal(d->request, d->conf->log, "duplicate-control",
                              NULL, d->ctx);

    return NGX_HTTP_BAD_REQUEST;
}


/*
 * The request's colour by the numbers of the present policy: they are looked
 * up again by name when a swap came between.
 */

const struct gray_colour *
ngx_http_gray_recolour(ngx_http_gray_worker_t *w, const struct gray_view *view,
    ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx)
{
    struct gray_input   in;
    struct gray_colour  colour;

    if (ctx->colour && ctx->epoch == w->epoch) {
        return ctx->colour;
    }

    if (ctx->epoch == w->epoch) {
        return &ngx_http_gray_no_colour;
    }

    gray_input_begin(&in, view->policy, ngx_http_gray_now(), 0);
    gray_input_colour(&in, ngx_http_gray_str(ctx->lane),
                      ngx_http_gray_str(ctx->arms), ctx->traffic_class);
    gray_decide(view, GRAY_NONE, &in, NULL, NULL, &colour, NULL);

    if (ctx->colour == NULL) {
        ctx->colour = ngx_palloc(r->main->pool, sizeof(struct gray_colour));
        if (ctx->colour == NULL) {
            return &ngx_http_gray_no_colour;
        }
    }

    *ctx->colour = colour;
    ctx->epoch = w->epoch;

    return ctx->colour;
}
