/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_status.c - the status location.
 *
 * Why: one look at a host must tell what is in force and how it goes, for a
 * person (JSON) and for Prometheus (text).  The numbers are sums over all
 * readers' files of the folder, so any worker gives the same answer.
 * Read next: runtime/totals.c, docs/gateway.md.
 */


#include "ngx_http_gray_module.h"


static ngx_int_t ngx_http_gray_status_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_gray_wants_prometheus(ngx_http_request_t *r);


char *
ngx_http_gray_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t   *clcf;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);
    gmcf->used = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_gray_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_gray_status_handler(ngx_http_request_t *r)
{
    char                       *text;
    size_t                      len;
    u_char                     *p;
    ngx_int_t                   rc;
    ngx_str_t                   type;
    ngx_uint_t                  prometheus;
    ngx_http_complex_value_t    cv;
    ngx_http_gray_main_conf_t  *gmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);

    prometheus = ngx_http_gray_wants_prometheus(r);

    len = 0;
    text = prometheus
           ? gray_status_prometheus((char *) gmcf->path.data, &len)
           : gray_status_json((char *) gmcf->path.data, &len);

    if (text == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "gray: no status could be read from \"%V\"",
                      &gmcf->path);
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        free(text);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(p, text, len);
    free(text);

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));

    cv.value.data = p;
    cv.value.len = len;

    if (prometheus) {
        ngx_str_set(&type, "text/plain; version=0.0.4");

    } else {
        ngx_str_set(&type, "application/json");
    }

    return ngx_http_send_response(r, NGX_HTTP_OK, &type, &cv);
}


/* ?format=prometheus, or a client that asks for text as scrapers do */

static ngx_uint_t
ngx_http_gray_wants_prometheus(ngx_http_request_t *r)
{
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    if (ngx_http_arg(r, (u_char *) "format", 6, &value) == NGX_OK) {
        return value.len == 10
               && ngx_strncmp(value.data, "prometheus", 10) == 0;
    }

    h = ngx_http_gray_find_header(&r->headers_in.headers, "accept", 6);

    return h != NULL
           && ngx_strlcasestrn(h->value.data, h->value.data + h->value.len,
                               (u_char *) "text/plain", 10 - 1)
              != NULL;
}
