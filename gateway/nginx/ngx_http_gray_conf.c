/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_conf.c - what the directives do when they are read.
 *
 * Why: whatever can be refused is refused by `nginx -t`, in a sentence, at the
 * line where it stands; what only shows when all of a location is known is
 * for ngx_http_gray_check.c.
 * Read next: ngx_http_gray_module.c (the table), docs/gateway.md.
 */


#include "ngx_http_gray_module.h"


/* Names of documents: GRAY_NAME_MAX bytes of a-z 0-9 . _ - */

static ngx_int_t
ngx_http_gray_check_name(ngx_conf_t *cf, ngx_command_t *cmd, ngx_str_t *name)
{
    u_char      c;
    ngx_uint_t  i;

    if (name->len == 0 || name->len > GRAY_NAME_MAX) {
        goto invalid;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            continue;
        }

        if (i != 0 && (c == '.' || c == '_' || c == '-')) {
            continue;
        }

        goto invalid;
    }

    return NGX_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid name \"%V\" in \"%V\": 1 to %ui bytes of "
                       "a-z 0-9 . _ -, a letter or digit first",
                       name, &cmd->name, (ngx_uint_t) GRAY_NAME_MAX);

    return NGX_ERROR;
}


static void
ngx_http_gray_use_here(ngx_conf_t *cf)
{
    ngx_http_gray_srv_conf_t   *gscf;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);
    gscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_gray_module);

    gmcf->used = 1;
    gscf->used = 1;
}


char *
ngx_http_gray_runtime(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_main_conf_t  *gmcf = conf;

    ngx_str_t  *value;

    if (gmcf->path.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"gray_runtime\" needs an absolute path, "
                           "not \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    gmcf->path = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_gray_entrance(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_srv_conf_t  *gscf = conf;

    ngx_str_t                  *value;
    ngx_http_gray_main_conf_t  *gmcf;

    if (gscf->entrance != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        gscf->entrance = 0;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "on") != 0) {

        if (ngx_http_gray_check_name(cf, cmd, &value[1]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        gscf->entrance_name = value[1];
    }

    gscf->entrance = 1;

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);
    gmcf->used = 1;

    return NGX_CONF_OK;
}


char *
ngx_http_gray_service(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_loc_conf_t  *glcf = conf;

    ngx_str_t  *value;

    if (glcf->service.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_http_gray_check_name(cf, cmd, &value[1]) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    glcf->service = value[1];

    ngx_http_gray_use_here(cf);

    return NGX_CONF_OK;
}


/* gray_attr NAME VALUE, gray_label NAME VALUE */

char *
ngx_http_gray_attr(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t                          *value;
    ngx_uint_t                          i;
    ngx_array_t                       **attrs;
    ngx_http_gray_attr_t               *attr;
    ngx_http_compile_complex_value_t    ccv;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > GRAY_NAME_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the name in \"%V\" must have 1 to %ui bytes",
                           &cmd->name, (ngx_uint_t) GRAY_NAME_MAX);
        return NGX_CONF_ERROR;
    }

    attrs = (ngx_array_t **) (p + cmd->offset);

    if (*attrs == NGX_CONF_UNSET_PTR) {
        *attrs = ngx_array_create(cf->pool, 4, sizeof(ngx_http_gray_attr_t));
        if (*attrs == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    attr = (*attrs)->elts;

    for (i = 0; i < (*attrs)->nelts; i++) {
        if (attr[i].name.len == value[1].len
            && ngx_strncmp(attr[i].name.data, value[1].data, value[1].len)
               == 0)
        {
            return "has a name that was given before";
        }
    }

    attr = ngx_array_push(*attrs);
    if (attr == NULL) {
        return NGX_CONF_ERROR;
    }

    attr->name = value[1];

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[2];
    ccv.complex_value = &attr->value;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_gray_trust(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_srv_conf_t  *gscf = conf;

    ngx_int_t                   rc;
    ngx_str_t                  *value;
    ngx_uint_t                  i;
    ngx_cidr_t                 *cidr;
    ngx_http_gray_main_conf_t  *gmcf;

    if (gscf->trust == NGX_CONF_UNSET_PTR) {
        gscf->trust = ngx_array_create(cf->pool, 4, sizeof(ngx_cidr_t));
        if (gscf->trust == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        cidr = ngx_array_push(gscf->trust);
        if (cidr == NULL) {
            return NGX_CONF_ERROR;
        }

        if (ngx_strcmp(value[i].data, "unix:") == 0) {
            ngx_memzero(cidr, sizeof(ngx_cidr_t));
            cidr->family = AF_UNIX;
            continue;
        }

        rc = ngx_ptocidr(&value[i], cidr);

        if (rc == NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid network \"%V\" in \"gray_trust\": "
                               "an address, ADDRESS/BITS or unix:",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        if (rc == NGX_DONE) {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "low address bits of %V are meaningless",
                               &value[i]);
        }
    }

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);
    gmcf->used = 1;

    return NGX_CONF_OK;
}


char *
ngx_http_gray_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_srv_conf_t  *gscf = conf;

    ngx_str_t  *value, s;

    if (gscf->cookie != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        gscf->cookie = 1;

    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        gscf->cookie = 0;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"gray_cookie\" must be \"on\" or \"off\", "
                           "not \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "max_age=", 8) != 0) {
            goto invalid;
        }

        s.data = value[2].data + 8;
        s.len = value[2].len - 8;

        gscf->cookie_age = ngx_parse_time(&s, 1);

        if (gscf->cookie_age == (time_t) NGX_ERROR || gscf->cookie_age == 0) {
            goto invalid;
        }
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" of \"gray_cookie\": "
                       "max_age=TIME, above zero", &value[2]);

    return NGX_CONF_ERROR;
}


/* gray_stage NAME|$variable: a name is checked here, a value when it comes */

char *
ngx_http_gray_stage(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strlchr(value[1].data, value[1].data + value[1].len, '$') == NULL
        && ngx_http_gray_check_name(cf, cmd, &value[1]) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


/* gray_explain on|off|$variable: anything but "", "0" and "off" is on */

char *
ngx_http_gray_value(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") != 0
        && ngx_strcmp(value[1].data, "off") != 0
        && ngx_strlchr(value[1].data, value[1].data + value[1].len, '$')
           == NULL)
    {
        return "must be \"on\", \"off\" or hold a variable";
    }

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}
