/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_balance.c - an upstream whose endpoints come from the fleet.
 *
 * Why: nginx wants servers in an upstream and a method that may be overridden
 * by the next directive in silence; both are settled here, while nginx reads
 * its configuration, and said in a sentence.  Servers that stand beside
 * gray_balance answer when there is no policy.
 * Read next: ngx_http_gray_peer.c (what happens to a request).
 */


#include "ngx_http_gray_module.h"


static ngx_int_t ngx_http_gray_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);


char *
ngx_http_gray_balance(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_srv_conf_t  *gscf = conf;

    ngx_http_upstream_server_t     *server;
    ngx_http_gray_main_conf_t      *gmcf;
    ngx_http_upstream_srv_conf_t   *uscf, **place;

    if (gscf->balance) {
        return "is duplicate";
    }

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    if (uscf->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"gray_balance\" must stand before \"keepalive\" "
                           "and cannot be joined with another balancing "
                           "method");
        return NGX_CONF_ERROR;
    }

    gscf->balance = 1;

    uscf->peer.init_upstream = ngx_http_gray_init_upstream;

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE
                  |NGX_HTTP_UPSTREAM_WEIGHT
                  |NGX_HTTP_UPSTREAM_MAX_CONNS
                  |NGX_HTTP_UPSTREAM_MAX_FAILS
                  |NGX_HTTP_UPSTREAM_FAIL_TIMEOUT
                  |NGX_HTTP_UPSTREAM_DOWN
                  |NGX_HTTP_UPSTREAM_BACKUP;

    /* nginx refuses an upstream without servers; this one has no address */

    if (uscf->servers == NULL) {
        uscf->servers = ngx_array_create(cf->pool, 4,
                                         sizeof(ngx_http_upstream_server_t));
        if (uscf->servers == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    server = ngx_array_push(uscf->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_http_upstream_server_t));
    server->down = 1;

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);
    gmcf->used = 1;

    place = ngx_array_push(&gmcf->balanced);
    if (place == NULL) {
        return NGX_CONF_ERROR;
    }

    *place = uscf;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_gray_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                   i;
    ngx_http_gray_srv_conf_t    *gscf;
    ngx_http_upstream_server_t  *server;

    gscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_gray_module);

    gscf->balance_ready = 1;

#if (NGX_HTTP_UPSTREAM_ZONE)

    if (us->shm_zone) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zone\" cannot be used with \"gray_balance\" in "
                      "upstream \"%V\" in %s:%ui: endpoints come from "
                      "the fleet", &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

#endif

    server = us->servers->elts;

    for (i = 0; i < us->servers->nelts; i++) {
        if (server[i].naddrs) {
            gscf->fallback = 1;
        }
    }

    /* servers of its own answer when there is no policy, or bypass is on */

    if (gscf->fallback && ngx_http_upstream_init_round_robin(cf, us) != NGX_OK)
    {
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_gray_init_peer;

    return NGX_OK;
}


/*
 * A balancing method after ours takes our place in silence: say it.  Servers
 * that stand in for several services are one service's at most.
 */

ngx_int_t
ngx_http_gray_check_balance(ngx_conf_t *cf, ngx_http_gray_main_conf_t *gmcf)
{
    ngx_uint_t                      i;
    ngx_http_gray_srv_conf_t       *gscf;
    ngx_http_upstream_srv_conf_t  **us;

    us = gmcf->balanced.elts;

    for (i = 0; i < gmcf->balanced.nelts; i++) {
        gscf = ngx_http_conf_upstream_srv_conf(us[i], ngx_http_gray_module);

        if (!gscf->balance_ready) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "another balancing method overrides "
                          "\"gray_balance\" in upstream \"%V\" in %s:%ui",
                          &us[i]->host, us[i]->file_name, us[i]->line);
            return NGX_ERROR;
        }

        if (gscf->fallback && gscf->another.len) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "the servers of upstream \"%V\" in %s:%ui would "
                          "answer for both gray_service \"%V\" and \"%V\" "
                          "under bypass or without a policy: give each "
                          "service an upstream of its own",
                          &us[i]->host, us[i]->file_name, us[i]->line,
                          &gscf->service, &gscf->another);
        }
    }

    return NGX_OK;
}
