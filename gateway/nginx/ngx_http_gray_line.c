/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_line.c - what a line of the decision log says, and when.
 *
 * Why: a line is explain's own text, so that people learn one set of words;
 * only when, where and in which trace it was said is added.  Admissions,
 * refusals and overrides are always told, the rest by sample.
 * Read next: ngx_http_gray_log.c (where lines go), engine/explain.c.
 */


#include "ngx_http_gray_module.h"


static u_char *ngx_http_gray_log_head(ngx_http_request_t *r, u_char *p,
    u_char *last, const char *event);
static u_char *ngx_http_gray_log_text(u_char *p, u_char *last,
    ngx_str_t *text);


/*
 * NULL, or what the line is: "admit", "stage", "refuse", "override", "sample".
 */

const char *
ngx_http_gray_log_wants(ngx_http_gray_log_t *log,
    const struct gray_colour *colour)
{
    uint32_t  i;

    if (colour->hold) {
        return "refuse";
    }

    for (i = 0; i < colour->arm_count; i++) {
        if (colour->arms[i].admit
            || colour->arms[i].reason == GRAY_REASON_ALLOW
            || colour->arms[i].reason == GRAY_REASON_RANDOM)
        {
            return "admit";
        }
    }

    if (colour->lane_reason == GRAY_REASON_LANE_RULE) {
        return "admit";
    }

    for (i = 0; i < colour->record_count; i++) {
        if (colour->records[i].state == GRAY_MARK_OUT) {
            return "stage";
        }
    }

    switch (colour->reason) {

    case GRAY_REASON_DENY:
    case GRAY_REASON_REVOKED:
    case GRAY_REASON_MARK_UNKNOWN:
    case GRAY_REASON_NO_ADMIT:
    case GRAY_REASON_INPUT_TOO_LARGE:
    case GRAY_REASON_NOT_DURABLE:
    case GRAY_REASON_MARKS_CLOSED:
    case GRAY_REASON_LEASE_OVER:
        return "refuse";

    case GRAY_REASON_MARK_MISSING:
        return "stage";

    case GRAY_REASON_STOPPED:
    case GRAY_REASON_KILLED:
        return "override";
    }

    if (log->sample && ++log->seen >= log->sample) {
        log->seen = 0;
        return "sample";
    }

    return NULL;
}


void
ngx_http_gray_log_decision(ngx_http_request_t *r, ngx_http_gray_log_t *log,
    const char *event, const u_char *explain, size_t len)
{
    u_char  *p, head[1024];

    p = ngx_http_gray_log_head(r, head, head + sizeof(head) - 1, event);
    *p++ = ',';

    /* the rest is explain's own line, from behind its brace */

    ngx_http_gray_log_line(log, head, p - head, explain + 1, len - 1);
}


void
ngx_http_gray_log_refusal(ngx_http_request_t *r, ngx_http_gray_log_t *log,
    const char *what, ngx_str_t *service, ngx_http_gray_ctx_t *ctx)
{
    u_char     *p, *last, head[2048];
    ngx_str_t   reason;

    if (log == NULL) {
        return;
    }

    last = head + sizeof(head) - 1;

    p = ngx_http_gray_log_head(r, head, last, what);

    if (service) {
        p = ngx_slprintf(p, last, ",\"service\":\"%V\"", service);
    }

    reason.data = (u_char *) gray_reason_code(ctx->reason);
    reason.len = ngx_strlen(reason.data);

    p = ngx_slprintf(p, last, ",\"arms\":\"%V\",\"lane\":\"", &ctx->arms);
    p = ngx_http_gray_log_text(p, last - 64, &ctx->lane);
    p = ngx_slprintf(p, last, "\",\"reason\":\"%V\"", &reason);
    *p++ = '}';

    ngx_http_gray_log_line(log, head, p - head, NULL, 0);
}


/* When, where and in which trace: what a decision itself does not know. */

static u_char *
ngx_http_gray_log_head(ngx_http_request_t *r, u_char *p, u_char *last,
    const char *event)
{
    ngx_str_t                   traceparent;
    ngx_table_elt_t            *h;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);

    ngx_str_null(&traceparent);

    h = ngx_http_gray_find_header(&r->headers_in.headers, "traceparent", 11);

    if (h != NULL) {
        traceparent = h->value;
    }

    /* version, trace id, span id, flags: the second field */

    if (traceparent.len >= 35 && traceparent.data[2] == '-'
        && traceparent.data[35 < traceparent.len ? 35 : 2] == '-')
    {
        traceparent.data += 3;
        traceparent.len = 32;

    } else {
        traceparent.len = 0;
    }

    p = ngx_slprintf(p, last, "{\"time\":%L,\"host\":\"%V\",\"worker\":%P,"
                     "\"event\":\"%s\",\"trace_id\":\"",
                     ngx_http_gray_now(), &gmcf->hostname, ngx_pid, event);
    p = ngx_http_gray_log_text(p, last - 8, &traceparent);

    if (p < last) {
        *p++ = '"';
    }

    return p;
}


/* As explain writes values of requests: at most 64 bytes, in ASCII. */

static u_char *
ngx_http_gray_log_text(u_char *p, u_char *last, ngx_str_t *text)
{
    u_char      c;
    ngx_uint_t  i;

    for (i = 0; i < text->len && i < 64 && last - p > 6; i++) {
        c = text->data[i];

        if (c == '"' || c == '\\') {
            *p++ = '\\';
            *p++ = c;

        } else if (c < 0x20 || c >= 0x7f) {
            p = ngx_sprintf(p, "\\u%04xd", (ngx_int_t) c);

        } else {
            *p++ = c;
        }
    }

    return p;
}
