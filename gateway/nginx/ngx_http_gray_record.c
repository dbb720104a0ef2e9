/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_record.c - requests as the policy saw them, for later plans.
 *
 * Why: whether a new policy lets the right people in is tried best over those
 * who really came.  The decision log cannot say: it tells every admission and
 * few of the others, so its lines are no fair sample, and they hold what the
 * old rules asked for.  Here one entrance request in N is written, as what the
 * policy names of it and nothing else, through the log's own buffers.
 * Read next: engine/record.c, ngx_http_gray_log.c.
 */


#include "ngx_http_gray_module.h"


#define NGX_HTTP_GRAY_RECORD_SAMPLE  100


char *
ngx_http_gray_record(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_srv_conf_t  *gscf = conf;

    ngx_int_t   n;
    ngx_str_t  *value;

    if (gscf->record != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts != 2) {
            return "takes no parameter with \"off\"";
        }

        gscf->record = NULL;
        return NGX_CONF_OK;
    }

    n = NGX_HTTP_GRAY_RECORD_SAMPLE;

    if (cf->args->nelts == 3) {
        n = 0;

        if (ngx_strncmp(value[2].data, "sample=", 7) == 0) {
            n = ngx_atoi(value[2].data + 7, value[2].len - 7);
        }

        if (n < 1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of \"gray_record\": "
                               "sample=N, one request in N", &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    gscf->record = ngx_http_gray_log_open(cf, &value[1], (ngx_uint_t) n);

    return gscf->record ? NGX_CONF_OK : NGX_CONF_ERROR;
}


void
ngx_http_gray_record_request(ngx_http_gray_log_t *record,
    const struct gray_input *input, ngx_str_t *entrance)
{
    char    line[NGX_HTTP_GRAY_LINE];
    size_t  len;

    if (++record->seen < record->sample) {
        return;
    }

    record->seen = 0;

    len = gray_record_write(input, ngx_http_gray_str(*entrance), line,
                            sizeof(line));

    /* longer than any sane one: no plan hangs on it */

    if (len < sizeof(line)) {
        ngx_http_gray_log_line(record, (u_char *) line, len, NULL, 0);
    }
}
