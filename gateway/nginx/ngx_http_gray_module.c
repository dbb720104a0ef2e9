/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_module.c - directives, configurations and phases.
 *
 * Why: an nginx module is its table of directives first.  Where a directive
 * may stand follows from when it is read: what colours is asked for in
 * SERVER_REWRITE, before a location is known, so it belongs to http and
 * server; only what a location calls, and how it caches, belongs to it.
 * Read next: ngx_http_gray_colour.c (the first moment), docs/gateway.md.
 */


#include "ngx_http_gray_module.h"


static ngx_int_t ngx_http_gray_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_gray_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_gray_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_gray_create_srv_conf(ngx_conf_t *cf);
static char *ngx_http_gray_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child);
static void *ngx_http_gray_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_gray_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);


static ngx_command_t  ngx_http_gray_commands[] = {

    { ngx_string("gray_runtime"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_gray_runtime,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("gray_entrance"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_gray_entrance,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("gray_service"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_http_gray_service,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("gray_balance"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS,
      ngx_http_gray_balance,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("gray_attr"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE2,
      ngx_http_gray_attr,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_gray_srv_conf_t, attrs),
      NULL },

    { ngx_string("gray_label"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE2,
      ngx_http_gray_attr,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_gray_srv_conf_t, labels),
      NULL },

    { ngx_string("gray_caller"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_gray_srv_conf_t, caller),
      NULL },

    { ngx_string("gray_stage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_gray_stage,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_gray_srv_conf_t, stage),
      NULL },

    { ngx_string("gray_trust"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_1MORE,
      ngx_http_gray_trust,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("gray_cookie"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE12,
      ngx_http_gray_cookie,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("gray_explain"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_gray_value,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_gray_srv_conf_t, explain),
      NULL },

    { ngx_string("gray_log"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE12,
      ngx_http_gray_log,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("gray_record"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE12,
      ngx_http_gray_record,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("gray_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_gray_loc_conf_t, cache),
      NULL },

    { ngx_string("gray_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_gray_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_gray_module_ctx = {
    ngx_http_gray_preconfiguration,        /* preconfiguration */
    ngx_http_gray_postconfiguration,       /* postconfiguration */

    ngx_http_gray_create_main_conf,        /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_gray_create_srv_conf,         /* create server configuration */
    ngx_http_gray_merge_srv_conf,          /* merge server configuration */

    ngx_http_gray_create_loc_conf,         /* create location configuration */
    ngx_http_gray_merge_loc_conf           /* merge location configuration */
};


ngx_module_t  ngx_http_gray_module = {
    NGX_MODULE_V1,
    &ngx_http_gray_module_ctx,             /* module context */
    ngx_http_gray_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_gray_init_process,            /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_gray_exit_process,            /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_gray_preconfiguration(ngx_conf_t *cf)
{
    if (ngx_http_gray_hook_keys(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_gray_add_variables(cf);
}


static ngx_int_t
ngx_http_gray_add_handler(ngx_http_core_main_conf_t *cmcf, ngx_uint_t phase,
    ngx_http_handler_pt handler)
{
    ngx_http_handler_pt  *h;

    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gray_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);

    ngx_http_gray_unhook_keys(gmcf);

    if (gmcf->path.len == 0) {

        if (gmcf->used) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "gray directives need \"gray_runtime\" in http{}, "
                          "the folder that \"gray publish\" writes");
            return NGX_ERROR;
        }

        /* no directive of ours: change nothing at all */

        return NGX_OK;
    }

    if (ngx_http_gray_check_balance(cf, gmcf) != NGX_OK
        || ngx_http_gray_add_record(cf, gmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    /*
     * SERVER_REWRITE, not POST_READ: there a dynamic module would run
     * before realip and see the proxy's address
     */

    if (ngx_http_gray_add_handler(cmcf, NGX_HTTP_SERVER_REWRITE_PHASE,
                                  ngx_http_gray_colour_handler)
        != NGX_OK
        || ngx_http_gray_add_handler(cmcf, NGX_HTTP_PREACCESS_PHASE,
                                     ngx_http_gray_preaccess_handler)
           != NGX_OK
        || ngx_http_gray_add_handler(cmcf, NGX_HTTP_LOG_PHASE,
                                     ngx_http_gray_count_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_gray_filter_init(cf);
}


static void *
ngx_http_gray_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_gray_main_conf_t));
    if (gmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&gmcf->logs, cf->pool, 2,
                       sizeof(ngx_http_gray_log_t *))
        != NGX_OK
        || ngx_array_init(&gmcf->balanced, cf->pool, 2,
                          sizeof(ngx_http_upstream_srv_conf_t *))
           != NGX_OK)
    {
        return NULL;
    }

    gmcf->hostname = cf->cycle->hostname;

    return gmcf;
}


static void *
ngx_http_gray_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_gray_srv_conf_t  *gscf;

    gscf = ngx_pcalloc(cf->pool, sizeof(ngx_http_gray_srv_conf_t));
    if (gscf == NULL) {
        return NULL;
    }

    gscf->entrance = NGX_CONF_UNSET;
    gscf->cookie = NGX_CONF_UNSET;
    gscf->cookie_age = NGX_CONF_UNSET;
    gscf->trust = NGX_CONF_UNSET_PTR;
    gscf->attrs = NGX_CONF_UNSET_PTR;
    gscf->labels = NGX_CONF_UNSET_PTR;
    gscf->log = NGX_CONF_UNSET_PTR;
    gscf->record = NGX_CONF_UNSET_PTR;

    /*
     * set by ngx_pcalloc():
     *
     *     gscf->caller = NULL;
     *     gscf->stage = NULL;
     *     gscf->explain = NULL;
     *     gscf->used = 0;
     *     gscf->epoch = 0;
     */

    return gscf;
}


static char *
ngx_http_gray_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_gray_srv_conf_t  *prev = parent;
    ngx_http_gray_srv_conf_t  *conf = child;

    if (conf->entrance == NGX_CONF_UNSET) {
        conf->entrance_name = prev->entrance_name;
    }

    conf->entrance_hash = gray_hash_name((char *) conf->entrance_name.data,
                                         conf->entrance_name.len);

    ngx_conf_merge_value(conf->entrance, prev->entrance, 0);

    ngx_conf_merge_value(conf->cookie, prev->cookie, conf->entrance);
    ngx_conf_merge_sec_value(conf->cookie_age, prev->cookie_age,
                             NGX_HTTP_GRAY_COOKIE_AGE);

    ngx_conf_merge_ptr_value(conf->trust, prev->trust, NULL);
    ngx_conf_merge_ptr_value(conf->attrs, prev->attrs, NULL);
    ngx_conf_merge_ptr_value(conf->labels, prev->labels, NULL);
    ngx_conf_merge_ptr_value(conf->log, prev->log, NULL);
    ngx_conf_merge_ptr_value(conf->record, prev->record, NULL);

    if (conf->caller == NULL) {
        conf->caller = prev->caller;
    }

    if (conf->stage == NULL) {
        conf->stage = prev->stage;
    }

    if (conf->explain == NULL) {
        conf->explain = prev->explain;
    }

    if (conf->explain && conf->explain->lengths == NULL
        && conf->explain->value.len == 3
        && ngx_strncmp(conf->explain->value.data, "off", 3) == 0)
    {
        conf->explain = NULL;
    }

    conf->tells = conf->explain || conf->log || conf->record;
    conf->says = conf->attrs || conf->labels || conf->caller || conf->stage;

    if (prev->used || conf->entrance || conf->trust) {
        conf->used = 1;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_gray_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_gray_loc_conf_t  *glcf;

    glcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_gray_loc_conf_t));
    if (glcf == NULL) {
        return NULL;
    }

    glcf->cache = NGX_CONF_UNSET;

    /*
     * set by ngx_pcalloc():
     *
     *     glcf->service = { 0, NULL };
     *     glcf->cache_key = { { 0, NULL }, ... };
     *     glcf->epoch = 0;
     */

    return glcf;
}


static char *
ngx_http_gray_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_gray_loc_conf_t  *prev = parent;
    ngx_http_gray_loc_conf_t  *conf = child;

    ngx_uint_t  i;

    ngx_conf_merge_str_value(conf->service, prev->service, "");
    ngx_conf_merge_value(conf->cache, prev->cache, 1);

    for (i = 0; i < 3; i++) {
        if (conf->cache_key[i].data == NULL) {
            conf->cache_key[i] = prev->cache_key[i];
        }
    }

    return ngx_http_gray_check_location(cf, conf);
}
