/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_filter.c - what the answer's headers say.
 *
 * Why: the cookie and what testers asked for go out with the answer of the
 * main request, whoever made it.  A loss that only the balancer met, too late
 * for 503 there, becomes one here.  An answer that sets our cookie is one
 * person's, so no shared cache may keep it.
 * Read next: ngx_http_gray_cookie.c, ngx_http_gray_peer.c.
 */


#include "ngx_http_gray_module.h"


static ngx_int_t ngx_http_gray_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_gray_tell_client(ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx) ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_add_out(ngx_http_request_t *r,
    const char *name, size_t len, ngx_str_t *value);
static ngx_int_t ngx_http_gray_private(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


ngx_int_t
ngx_http_gray_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_gray_header_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gray_header_filter(ngx_http_request_t *r)
{
    ngx_http_gray_ctx_t  *ctx;

    if (r == r->main) {
        ctx = ngx_http_gray_get_ctx(r);

        if (ctx
            && (ctx->refused || ctx->set_cookie.len || ctx->explain.len)
            && ngx_http_gray_tell_client(r, ctx) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_gray_tell_client(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx)
{
    ngx_str_t  none;

    if (ctx->refused && r->headers_out.status == NGX_HTTP_BAD_GATEWAY) {
        r->headers_out.status = NGX_HTTP_SERVICE_UNAVAILABLE;
        r->headers_out.status_line.len = 0;

        /* what access logs take for the status */

        if (r->err_status == NGX_HTTP_BAD_GATEWAY) {
            r->err_status = NGX_HTTP_SERVICE_UNAVAILABLE;
        }
    }

    if (ctx->hold && r->headers_out.status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        ngx_str_set(&none, "1");

        if (ngx_http_gray_add_out(r, "Retry-After", sizeof("Retry-After") - 1,
                                  &none)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->set_cookie.len) {

        if (ngx_http_gray_add_out(r, "Set-Cookie", sizeof("Set-Cookie") - 1,
                                  &ctx->set_cookie)
            != NGX_OK
            || ngx_http_gray_private(r) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->explain.len) {
        ngx_str_null(&none);

        if (ngx_http_gray_add_out(r, "X-Gray-Explain",
                                  sizeof("X-Gray-Explain") - 1, &ctx->explain)
            != NGX_OK
            || ngx_http_gray_add_out(r, "X-Gray-Version",
                                     sizeof("X-Gray-Version") - 1,
                                     ctx->uses ? &ctx->uses->version : &none)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_gray_add_out(ngx_http_request_t *r, const char *name, size_t len,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    if (value->len == 0) {
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = len;
    h->value = *value;

    return NGX_OK;
}


/* Cache-Control: private, unless what stands there is at least as strict. */

static ngx_int_t
ngx_http_gray_private(ngx_http_request_t *r)
{
    u_char            *last;
    ngx_uint_t         i;
    ngx_array_t       *cc;
    ngx_table_elt_t  **elt, *h;

    cc = &r->headers_out.cache_control;
    elt = cc->elts;

    if (elt) {
        for (i = 0; i < cc->nelts; i++) {

            last = elt[i]->value.data + elt[i]->value.len;

            if (elt[i]->hash
                && (ngx_strlcasestrn(elt[i]->value.data, last,
                                     (u_char *) "private", 7 - 1)
                    || ngx_strlcasestrn(elt[i]->value.data, last,
                                        (u_char *) "no-store", 8 - 1)))
            {
                return NGX_OK;
            }
        }

        for (i = 0; i < cc->nelts; i++) {
            elt[i]->hash = 0;
        }

        cc->nelts = 0;

    } else if (ngx_array_init(cc, r->pool, 1, sizeof(ngx_table_elt_t *))
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    elt = ngx_array_push(cc);
    if (elt == NULL) {
        return NGX_ERROR;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "Cache-Control");
    ngx_str_set(&h->value, "private");

    *elt = h;

    return NGX_OK;
}
