/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_variables.c - the $gray_* variables.
 *
 * Why: access logs, cache keys and headers of an operator's own making ask
 * what was decided.  None may be cached by nginx: the same name says more
 * after the choice than before it.
 * Read next: ngx_http_gray_peer.c (what a choice leaves), docs/gateway.md.
 */


#include "ngx_http_gray_module.h"


enum {
    NGX_HTTP_GRAY_LANE,
    NGX_HTTP_GRAY_ARMS,
    NGX_HTTP_GRAY_VERSION,
    NGX_HTTP_GRAY_VERSION_USED,
    NGX_HTTP_GRAY_REASON,
    NGX_HTTP_GRAY_BUCKET,
    NGX_HTTP_GRAY_EXPLAIN
};


static ngx_int_t ngx_http_gray_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_str_t ngx_http_gray_version(ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx);
static ngx_str_t ngx_http_gray_bucket(ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx);


static ngx_http_variable_t  ngx_http_gray_vars[] = {

    { ngx_string("gray_lane"), NULL, ngx_http_gray_variable,
      NGX_HTTP_GRAY_LANE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("gray_arms"), NULL, ngx_http_gray_variable,
      NGX_HTTP_GRAY_ARMS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("gray_version"), NULL, ngx_http_gray_variable,
      NGX_HTTP_GRAY_VERSION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("gray_version_used"), NULL, ngx_http_gray_variable,
      NGX_HTTP_GRAY_VERSION_USED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("gray_reason"), NULL, ngx_http_gray_variable,
      NGX_HTTP_GRAY_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("gray_bucket"), NULL, ngx_http_gray_variable,
      NGX_HTTP_GRAY_BUCKET, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("gray_explain"), NULL, ngx_http_gray_variable,
      NGX_HTTP_GRAY_EXPLAIN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_gray_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_gray_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* The record's address is for us alone: whoever reads the variable has "". */

static ngx_int_t
ngx_http_gray_no_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    v->len = 0;
    v->not_found = 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_gray_add_record(ngx_conf_t *cf, ngx_http_gray_main_conf_t *gmcf)
{
    ngx_http_variable_t  *var;

    static ngx_str_t  name = ngx_string("gray_record");

    var = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOHASH);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_gray_no_variable;

    gmcf->record = ngx_http_get_variable_index(cf, &name);

    return gmcf->record == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_gray_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t             value;
    ngx_http_gray_ctx_t  *ctx;

    ngx_str_null(&value);

    ctx = ngx_http_gray_get_ctx(r);

    if (ctx) {
        switch (data) {

        case NGX_HTTP_GRAY_LANE:
            value = ctx->lane;
            break;

        case NGX_HTTP_GRAY_ARMS:
            value = ctx->arms;
            break;

        case NGX_HTTP_GRAY_VERSION:
            value = ngx_http_gray_version(r, ctx);
            break;

        case NGX_HTTP_GRAY_VERSION_USED:
            if (ctx->uses) {
                value = ctx->uses->version;
            }
            break;

        case NGX_HTTP_GRAY_REASON:
            value.data = (u_char *) gray_reason_code(ctx->reason);
            value.len = ngx_strlen(value.data);
            break;

        case NGX_HTTP_GRAY_BUCKET:
            value = ngx_http_gray_bucket(r, ctx);
            break;

        default: /* NGX_HTTP_GRAY_EXPLAIN */
            value = ctx->explain;
            break;
        }
    }

    if (value.len == 0) {

        /* empty, not missing: "$gray_lane$gray_arms" stands in cache keys */

        v->len = 0;
        v->data = (u_char *) "";

    } else {
        v->len = value.len;
        v->data = value.data;
    }

    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
}


/* The version wanted from the location's service, before or after the choice. */

static ngx_str_t
ngx_http_gray_version(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx)
{
    uint32_t                    number;
    ngx_str_t                   none;
    struct gray_choice          choice;
    const struct gray_view     *view;
    const struct gray_route    *route;
    ngx_http_gray_loc_conf_t   *glcf;
    ngx_http_gray_main_conf_t  *gmcf;

    ngx_str_null(&none);

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);
    glcf = ngx_http_get_module_loc_conf(r, ngx_http_gray_module);

    if (glcf->service.len == 0 || gmcf->worker == NULL || ctx->bypass) {
        return none;
    }

    view = ngx_http_gray_view(gmcf->worker);
    if (view == NULL) {
        return none;
    }

    number = ngx_http_gray_service_number(gmcf->worker, view, glcf);

    gray_choose(view, number,
                ngx_http_gray_colour(gmcf->worker, view, r, ctx), &choice);

    route = gray_route_at(view->policy, choice.wanted);
    if (route == NULL) {
        return none;
    }

    return ngx_http_gray_copy(r->pool, gray_text(view->policy,
                                                 route->version));
}


static ngx_str_t
ngx_http_gray_bucket(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx)
{
    ngx_str_t  value;

    ngx_str_null(&value);

    if (ctx->bucket == GRAY_NONE) {
        return value;
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT32_LEN);
    if (value.data) {
        value.len = ngx_sprintf(value.data, "%uD", ctx->bucket) - value.data;
    }

    return value;
}
