/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_check.c - a location with a service, looked at as a whole.
 *
 * Why: the worst mistake is a cache that hands a gray answer to everyone, so
 * it is refused by `nginx -t`.  The text of a cache's key is not to be had
 * from nginx afterwards: while the configuration is read we look over the
 * shoulder of the three directives that set one, and leave nothing behind.
 * Read next: ngx_http_gray_module.c (who calls), docs/gateway.md.
 */


#include "ngx_http_gray_module.h"


/* a *_cache_key directive while we listen to it */

typedef struct {
    ngx_command_t               *cmd;
    char                      *(*set)(ngx_conf_t *cf, ngx_command_t *cmd,
                                      void *conf);
    ngx_uint_t                   slot;
} ngx_http_gray_hook_t;


static char *ngx_http_gray_cache_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* modules that pass requests on; the first can cache what comes back */

static char  *ngx_http_gray_passing[] = {
    "ngx_http_proxy_module",
    "ngx_http_fastcgi_module",
    "ngx_http_uwsgi_module",
    "ngx_http_grpc_module"
};


#define NGX_HTTP_GRAY_CACHING  3
#define NGX_HTTP_GRAY_PASSING  4


static void
ngx_http_gray_unhook_cleanup(void *data)
{
    ngx_http_gray_unhook_keys(data);
}


ngx_int_t
ngx_http_gray_hook_keys(ngx_conf_t *cf)
{
    ngx_uint_t                  i, n;
    ngx_module_t               *module;
    ngx_command_t              *cmd;
    ngx_pool_cleanup_t         *cln;
    ngx_http_gray_hook_t       *hook;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);

    if (ngx_array_init(&gmcf->hooks, cf->pool, 4,
                       sizeof(ngx_http_gray_hook_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* a configuration that is refused half way must not leave us in there */

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_gray_unhook_cleanup;
    cln->data = gmcf;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        for (n = 0; n < NGX_HTTP_GRAY_CACHING; n++) {
            if (ngx_strcmp(module->name, ngx_http_gray_passing[n]) == 0) {
                break;
            }
        }

        if (n == NGX_HTTP_GRAY_CACHING) {
            continue;
        }

        for (cmd = module->commands; cmd->name.len; cmd++) {

            if (cmd->name.len < 10
                || ngx_strcmp(cmd->name.data + cmd->name.len - 10,
                              "_cache_key")
                   != 0)
            {
                continue;
            }

            hook = ngx_array_push(&gmcf->hooks);
            if (hook == NULL) {
                return NGX_ERROR;
            }

            hook->cmd = cmd;
            hook->set = cmd->set;
            hook->slot = n;

            cmd->set = ngx_http_gray_cache_key;
        }
    }

    return NGX_OK;
}


void
ngx_http_gray_unhook_keys(ngx_http_gray_main_conf_t *gmcf)
{
    ngx_uint_t             i;
    ngx_http_gray_hook_t  *hook;

    hook = gmcf->hooks.elts;

    for (i = 0; i < gmcf->hooks.nelts; i++) {
        hook[i].cmd->set = hook[i].set;
    }

    gmcf->hooks.nelts = 0;
}


static char *
ngx_http_gray_cache_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                  *value;
    ngx_uint_t                  i;
    ngx_http_gray_hook_t       *hook;
    ngx_http_gray_loc_conf_t   *glcf;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);
    glcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_gray_module);

    hook = gmcf->hooks.elts;
    value = cf->args->elts;

    for (i = 0; i < gmcf->hooks.nelts; i++) {
        if (hook[i].cmd == cmd) {
            glcf->cache_key[hook[i].slot] = value[1];
            return hook[i].set(cf, cmd, conf);
        }
    }

    return NGX_CONF_ERROR;
}


/* Both spellings: $gray_arms and ${gray_arms}. */

static ngx_uint_t
ngx_http_gray_key_has_arms(ngx_str_t *key)
{
    u_char  c, *p, *last;

    if (key->data == NULL) {
        return 0;
    }

    last = key->data + key->len;

    for (p = key->data; p < last; p++) {

        if (*p != '$') {
            continue;
        }

        if (last - p >= 12 && ngx_strncmp(p + 1, "{gray_arms}", 11) == 0) {
            return 1;
        }

        if (last - p < 10 || ngx_strncmp(p + 1, "gray_arms", 9) != 0) {
            continue;
        }

        c = last - p > 10 ? p[10] : '.';

        if (c != '_' && !(c >= '0' && c <= '9')
            && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
        {
            return 1;
        }
    }

    return 0;
}


/*
 * Whom an upstream of ours serves: ngx_http_gray_check_balance() asks.  And
 * by whom a location is served: PREACCESS asks.
 */

static void
ngx_http_gray_note_upstream(ngx_http_gray_loc_conf_t *conf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_str_t                 *service;
    ngx_http_gray_srv_conf_t  *gscf;

    service = &conf->service;

    if (us == NULL || us->srv_conf == NULL) {

        /* none, or an address that has no upstream{} */

        return;
    }

    gscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_gray_module);

    if (gscf->balance) {
        conf->upstream = gscf;
    }

    if (gscf->service.len == 0) {
        gscf->service = *service;
        return;
    }

    if (gscf->service.len != service->len
        || ngx_memcmp(gscf->service.data, service->data, service->len) != 0)
    {
        gscf->another = *service;
    }
}


/* A cache without the arms in its key hands a gray answer to everyone. */

static ngx_int_t
ngx_http_gray_check_cache(ngx_conf_t *cf, ngx_http_gray_loc_conf_t *conf,
    ngx_http_upstream_conf_t *ucf, ngx_str_t *key)
{
#if (NGX_HTTP_CACHE)

    if (!conf->cache || ucf->cache != 1 || ngx_http_gray_key_has_arms(key)) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"gray_service %V\" stands where answers are cached "
                  "under a key without $gray_arms: gray answers would be "
                  "served to everyone; add \"$gray_lane$gray_arms\" to "
                  "the cache key, or say \"gray_cache off\" if no answer "
                  "there depends on the version",
                  &conf->service);

    return NGX_ERROR;

#else

    return NGX_OK;

#endif
}


/*
 * What the modules that pass requests on have made of a location with a
 * service.  All of them begin their configuration with the upstream's.
 */

char *
ngx_http_gray_check_location(ngx_conf_t *cf, ngx_http_gray_loc_conf_t *conf)
{
    ngx_uint_t                 i, n;
    ngx_module_t              *module;
    ngx_http_conf_ctx_t       *ctx;
    ngx_http_upstream_conf_t  *ucf;

    if (conf->service.len == 0) {
        return NGX_CONF_OK;
    }

    ctx = cf->ctx;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        for (n = 0; n < NGX_HTTP_GRAY_PASSING; n++) {
            if (ngx_strcmp(module->name, ngx_http_gray_passing[n]) == 0) {
                break;
            }
        }

        if (n == NGX_HTTP_GRAY_PASSING) {
            continue;
        }

        ucf = ctx->loc_conf[module->ctx_index];

        ngx_http_gray_note_upstream(conf, ucf->upstream);

        if (n < NGX_HTTP_GRAY_CACHING
            && ngx_http_gray_check_cache(cf, conf, ucf, &conf->cache_key[n])
               != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}
