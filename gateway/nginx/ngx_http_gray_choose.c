/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_choose.c - a refusal that can be known before it is asked.
 *
 * Why: a balancer has only 502 for an answer, so whether there is nobody to
 * answer (a service that the policy does not know) and whether what the
 * request carries must be refused (a strict lane without an endpoint) is asked
 * in PREACCESS, where a status of our own, error_page and the log are at hand.
 * Read next: ngx_http_gray_peer.c, engine/choose.c.
 */


#include "ngx_http_gray_module.h"


static ngx_int_t ngx_http_gray_look(ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx, ngx_http_gray_worker_t *w,
    ngx_http_gray_loc_conf_t *glcf) ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_nobody(ngx_http_request_t *r,
    ngx_http_gray_worker_t *w, ngx_http_gray_loc_conf_t *glcf)
    ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_check(ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx, ngx_http_gray_loc_conf_t *glcf)
    ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_refuse(ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx, ngx_http_gray_loc_conf_t *glcf,
    enum gray_reason reason);


/* Looked up by name once an epoch. */

uint32_t
ngx_http_gray_service_number(ngx_http_gray_worker_t *w,
    const struct gray_view *view, ngx_http_gray_loc_conf_t *glcf)
{
    if (glcf->epoch != w->epoch) {
        glcf->epoch = w->epoch;
        glcf->number = gray_find_service(view->policy,
                                         ngx_http_gray_str(glcf->service));

        /* no scope word speaks of baselines: the same for all of an epoch */

        gray_choose(view, glcf->number, &ngx_http_gray_no_colour,
                    &glcf->plain);
    }

    return glcf->number;
}


/*
 * Only a coloured request can be refused by what it carries.  A service whose
 * number is known in this epoch has somebody to answer: most requests end at
 * the first question.
 */

ngx_int_t
ngx_http_gray_preaccess_handler(ngx_http_request_t *r)
{
    ngx_http_gray_ctx_t        *ctx;
    ngx_http_gray_worker_t     *w;
    ngx_http_gray_loc_conf_t   *glcf;
    ngx_http_gray_main_conf_t  *gmcf;

    glcf = ngx_http_get_module_loc_conf(r, ngx_http_gray_module);

    if (glcf->service.len == 0) {
        return NGX_DECLINED;
    }

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);
    w = gmcf->worker;

    ctx = ngx_http_gray_get_ctx(r);

    if (ctx && (ctx->lane.len | ctx->arms.len | ctx->hold) == 0
        && w && w->runtime && glcf->epoch == w->epoch
        && glcf->number != GRAY_NONE)
    {
        return NGX_DECLINED;
    }

    return ngx_http_gray_look(r, ctx, w, glcf);
}


static ngx_int_t
ngx_http_gray_look(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx,
    ngx_http_gray_worker_t *w, ngx_http_gray_loc_conf_t *glcf)
{
    ngx_int_t  rc;

    /* an error_page leads here, but neither version may serve */

    if (ctx && ctx->hold) {
        return ngx_http_gray_refuse(r, ctx, glcf, GRAY_REASON_MARK_HOLD);
    }

    if (glcf->upstream && !glcf->upstream->fallback && w
        && (w->runtime == NULL || glcf->epoch != w->epoch
            || glcf->number == GRAY_NONE))
    {
        rc = ngx_http_gray_nobody(r, w, glcf);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ctx == NULL || ctx->bypass
        || (ctx->lane.len == 0 && ctx->arms.len == 0))
    {
        return NGX_DECLINED;
    }

    return ngx_http_gray_check(r, ctx, glcf);
}


/*
 * Bypass or not, the balancer would have the same to choose from.  NGX_OK:
 * somebody is there.
 */

static ngx_int_t
ngx_http_gray_nobody(ngx_http_request_t *r, ngx_http_gray_worker_t *w,
    ngx_http_gray_loc_conf_t *glcf)
{
    enum gray_reason         reason;
    ngx_http_gray_ctx_t     *ctx;
    const struct gray_view  *view;

    view = ngx_http_gray_loaded_view(w);

    if (view && ngx_http_gray_service_number(w, view, glcf) != GRAY_NONE) {
        return NGX_OK;
    }

    reason = GRAY_REASON_NO_SNAPSHOT;

    if (view) {
        reason = GRAY_REASON_UNKNOWN_SERVICE;
        ngx_http_gray_event(w, GRAY_EVENT_UNKNOWN_SERVICE);
    }

    ctx = ngx_http_gray_get_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_gray_create_ctx(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }
    }

    return ngx_http_gray_refuse(r, ctx, glcf, reason);
}


static ngx_int_t
ngx_http_gray_check(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx,
    ngx_http_gray_loc_conf_t *glcf)
{
    const struct gray_view     *view;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);

    view = ngx_http_gray_view(gmcf->worker);
    if (view == NULL) {
        return NGX_DECLINED;
    }

    ngx_http_gray_choose_by_colour(gmcf->worker, view, r, ctx,
                  ngx_http_gray_service_number(gmcf->worker, view, glcf));

    if (!ctx->choice.refuse) {
        return NGX_DECLINED;
    }

    return ngx_http_gray_refuse(r, ctx, glcf, ctx->choice.reason);
}


/*
 * Left in ctx->choice.  Scope words may change at any time, so a choice holds
 * for the millisecond it was made in: the balancer mostly asks in the same,
 * and is spared 130 instructions.
 */

void
ngx_http_gray_choose_by_colour(ngx_http_gray_worker_t *w,
    const struct gray_view *view, ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx, uint32_t service)
{
    const struct gray_colour  *colour;

    if (ctx->chosen && ctx->when == ngx_current_msec
        && ctx->service == service && ctx->epoch == w->epoch)
    {
        return;
    }

    /* may raise ctx->epoch */

    colour = ngx_http_gray_colour(w, view, r, ctx);

    gray_choose(view, service, colour, &ctx->choice);

    ctx->chosen = 1;
    ctx->when = ngx_current_msec;
    ctx->service = service;
}


static ngx_int_t
ngx_http_gray_refuse(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx,
    ngx_http_gray_loc_conf_t *glcf, enum gray_reason reason)
{
    ngx_http_gray_srv_conf_t  *gscf;

    ctx->refused = 1;
    ctx->reason = (uint8_t) reason;

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "gray: service \"%V\" refused: %s (%s), "
                  "lane \"%V\", arms \"%V\"",
                  &glcf->service, gray_reason_sentence(reason),
                  gray_reason_code(reason), &ctx->lane, &ctx->arms);

    gscf = ngx_http_get_module_srv_conf(r, ngx_http_gray_module);

    ngx_http_gray_log_refusal(r, gscf->log, "refuse", &glcf->service, ctx);

    return NGX_HTTP_SERVICE_UNAVAILABLE;
}
