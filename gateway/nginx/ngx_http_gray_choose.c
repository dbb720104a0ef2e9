/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_choose.c - a refusal that can be known before it is asked.
 *
 * Why: a balancer has only 502 for an answer, so whether what the request
 * carries must be refused (a strict lane without an endpoint) is asked in
 * PREACCESS, where a status of our own, error_page and the log are at hand.
 * Read next: ngx_http_gray_peer.c, engine/choose.c.
 */


#include "ngx_http_gray_module.h"


static ngx_int_t ngx_http_gray_check(ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx, ngx_http_gray_loc_conf_t *glcf)
    ngx_http_gray_seldom;


/* Looked up by name once an epoch. */

uint32_t
ngx_http_gray_service_number(ngx_http_gray_worker_t *w,
    const struct gray_view *view, ngx_http_gray_loc_conf_t *glcf)
{
    if (glcf->epoch != w->epoch) {
        glcf->epoch = w->epoch;
        glcf->number = gray_find_service(view->policy,
                                         ngx_http_gray_str(glcf->service));
    }

    return glcf->number;
}


/* Only a coloured request can be refused by what it carries. */

ngx_int_t
ngx_http_gray_preaccess_handler(ngx_http_request_t *r)
{
    ngx_http_gray_ctx_t       *ctx;
    ngx_http_gray_loc_conf_t  *glcf;

    glcf = ngx_http_get_module_loc_conf(r, ngx_http_gray_module);

    if (glcf->service.len == 0) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_gray_get_ctx(r);

    if (ctx == NULL || ctx->bypass
        || (ctx->lane.len == 0 && ctx->arms.len == 0))
    {
        return NGX_DECLINED;
    }

    return ngx_http_gray_check(r, ctx, glcf);
}


static ngx_int_t
ngx_http_gray_check(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx,
    ngx_http_gray_loc_conf_t *glcf)
{
    enum gray_reason            reason;
    struct gray_choice          choice;
    const struct gray_view     *view;
    ngx_http_gray_srv_conf_t   *gscf;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);

    view = ngx_http_gray_view(gmcf->worker, &reason);
    if (view == NULL) {
        return NGX_DECLINED;
    }

    gray_choose(view,
                ngx_http_gray_service_number(gmcf->worker, view, glcf),
                ngx_http_gray_colour(gmcf->worker, view, r, ctx), &choice);

    if (!choice.refuse) {
        return NGX_DECLINED;
    }

    ctx->refused = 1;
    ctx->reason = choice.reason;

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "gray: service \"%V\" refused: %s (%s), "
                  "lane \"%V\", arms \"%V\"",
                  &glcf->service, gray_reason_sentence(choice.reason),
                  gray_reason_code(choice.reason), &ctx->lane, &ctx->arms);

    gscf = ngx_http_get_module_srv_conf(r, ngx_http_gray_module);

    ngx_http_gray_log_refusal(r, gscf->log, "refuse", &glcf->service, ctx);

    return NGX_HTTP_SERVICE_UNAVAILABLE;
}
