/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_log.c - the decision log: JSON lines, never in the way.
 *
 * Why: who was let in, kept out or overridden must be answerable later, line
 * by line, in the same words that explain uses.  Lines go into a buffer of the
 * worker; a thread writes it by a descriptor of its own, so that neither a
 * slow disk nor a reopened file is ever waited for.  What finds no room is
 * dropped and counted.
 *
 *   line -> buffer[active] --timer, half full--> thread: write() --+
 *           buffer[other]  <-----------------------------------------+
 * Read next: ngx_http_gray_outcome.c (what is said), docs/gateway.md.
 */


#include "ngx_http_gray_module.h"


typedef struct {
    ngx_http_gray_log_t         *log;
    int                          fd;
    ngx_uint_t                   index;
    ngx_err_t                    error;
} ngx_http_gray_write_t;


static ngx_http_gray_log_t *ngx_http_gray_log_at(ngx_conf_t *cf,
    ngx_http_gray_main_conf_t *gmcf, ngx_open_file_t *file,
    ngx_uint_t sample);
static ngx_int_t ngx_http_gray_log_pool(ngx_conf_t *cf,
    ngx_http_gray_main_conf_t *gmcf);
static void ngx_http_gray_log_timer(ngx_event_t *ev);
static void ngx_http_gray_log_flush(ngx_http_gray_log_t *log);
static void ngx_http_gray_log_thread(void *data, ngx_log_t *log);
static void ngx_http_gray_log_done(ngx_event_t *ev);
static void ngx_http_gray_log_line(ngx_http_gray_log_t *log, u_char *head,
    size_t head_len, const u_char *rest, size_t rest_len);
static u_char *ngx_http_gray_log_head(ngx_http_request_t *r, u_char *p,
    u_char *last, const char *event);
static u_char *ngx_http_gray_log_text(u_char *p, u_char *last,
    ngx_str_t *text);


char *
ngx_http_gray_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_srv_conf_t  *gscf = conf;

    ngx_int_t                   n;
    ngx_str_t                  *value;
    ngx_open_file_t            *file;
    ngx_http_gray_main_conf_t  *gmcf;

    if (gscf->log != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts != 2) {
            return "takes no parameter with \"off\"";
        }

        gscf->log = NULL;
        return NGX_CONF_OK;
    }

    n = 0;

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "sample=", 7) == 0) {
            n = ngx_atoi(value[2].data + 7, value[2].len - 7);
        }

        if (n < 1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of \"gray_log\": "
                               "sample=N, one line in N", &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    file = ngx_conf_open_file(cf->cycle, &value[1]);
    if (file == NULL) {
        return NGX_CONF_ERROR;
    }

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);
    gmcf->used = 1;

    if (ngx_http_gray_log_pool(cf, gmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    gscf->log = ngx_http_gray_log_at(cf, gmcf, file, (ngx_uint_t) n);

    return gscf->log ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* Servers share a file, and then its buffers. */

static ngx_http_gray_log_t *
ngx_http_gray_log_at(ngx_conf_t *cf, ngx_http_gray_main_conf_t *gmcf,
    ngx_open_file_t *file, ngx_uint_t sample)
{
    ngx_uint_t            i;
    ngx_http_gray_log_t  *log, **logs;

    logs = gmcf->logs.elts;

    for (i = 0; i < gmcf->logs.nelts; i++) {
        if (logs[i]->file == file && logs[i]->sample == sample) {
            return logs[i];
        }
    }

    log = ngx_pcalloc(cf->pool, sizeof(ngx_http_gray_log_t));
    if (log == NULL) {
        return NULL;
    }

    log->file = file;
    log->sample = sample;

    logs = ngx_array_push(&gmcf->logs);
    if (logs == NULL) {
        return NULL;
    }

    *logs = log;

    return log;
}


/*
 * A thread pool of our own, by nginx's very directive, since the number of
 * threads cannot be given to ngx_thread_pool_add().
 */

static ngx_int_t
ngx_http_gray_log_pool(ngx_conf_t *cf, ngx_http_gray_main_conf_t *gmcf)
{
    char           *rv;
    ngx_str_t      *args;
    ngx_uint_t      i;
    ngx_array_t    *saved, words;
    ngx_module_t   *module;
    ngx_command_t  *directive;

    if (gmcf->thread_pool) {
        return NGX_OK;
    }

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        if (ngx_strcmp(module->name, "ngx_thread_pool_module") == 0) {
            break;
        }
    }

    if (cf->cycle->modules[i] == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"gray_log\" needs an nginx built "
                           "with --with-threads");
        return NGX_ERROR;
    }

    if (ngx_array_init(&words, cf->temp_pool, 3, sizeof(ngx_str_t)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    args = ngx_array_push_n(&words, 3);
    ngx_str_set(&args[0], "thread_pool");
    ngx_str_set(&args[1], "gray_log");
    ngx_str_set(&args[2], "threads=1");

    directive = cf->cycle->modules[i]->commands;

    saved = cf->args;
    cf->args = &words;
    rv = directive->set(cf, directive, NULL);
    cf->args = saved;

    if (rv != NGX_CONF_OK) {
        return NGX_ERROR;
    }

    gmcf->thread_pool = ngx_thread_pool_add(cf, &args[1]);

    return gmcf->thread_pool ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_gray_log_init(ngx_http_gray_log_t *log, ngx_http_gray_worker_t *w)
{
    ngx_http_gray_write_t  *ctx;

    log->worker = w;

    log->buffer[0] = ngx_palloc(w->pool, 2 * NGX_HTTP_GRAY_LOG_BUFFER);
    if (log->buffer[0] == NULL) {
        return NGX_ERROR;
    }

    log->buffer[1] = log->buffer[0] + NGX_HTTP_GRAY_LOG_BUFFER;

    log->task = ngx_thread_task_alloc(w->pool, sizeof(ngx_http_gray_write_t));
    if (log->task == NULL) {
        return NGX_ERROR;
    }

    ctx = log->task->ctx;
    ctx->log = log;
    ctx->fd = -1;

    log->task->handler = ngx_http_gray_log_thread;
    log->task->event.handler = ngx_http_gray_log_done;
    log->task->event.data = log;

    log->timer.handler = ngx_http_gray_log_timer;
    log->timer.data = log;
    log->timer.log = w->log;
    log->timer.cancelable = 1;

    return NGX_OK;
}


/* The thread is gone by now; what is left is written here. */

void
ngx_http_gray_log_exit(ngx_http_gray_log_t *log)
{
    ngx_uint_t  i, n;

    if (log->worker == NULL) {
        return;
    }

    if (log->timer.timer_set) {
        ngx_del_timer(&log->timer);
    }

    for (n = 0; n < 2; n++) {

        /* a buffer that was being written came first */

        i = log->active ^ (n ? 0 : 1);

        if (log->used[i] && !(log->writing && i != log->active)) {
            (void) ngx_write_fd(log->file->fd, log->buffer[i], log->used[i]);
        }

        log->used[i] = 0;
    }

    log->worker = NULL;
}


static void
ngx_http_gray_log_timer(ngx_event_t *ev)
{
    ngx_http_gray_log_flush(ev->data);
}


static void
ngx_http_gray_log_flush(ngx_http_gray_log_t *log)
{
    ngx_http_gray_write_t  *ctx;

    if (log->writing || log->used[log->active] == 0) {
        return;
    }

    ctx = log->task->ctx;

    /* nginx may reopen the file while the thread writes */

    ctx->fd = dup(log->file->fd);

    if (ctx->fd == -1) {
        ngx_log_error(NGX_LOG_ALERT, log->worker->log, ngx_errno,
                      "gray: dup() of the decision log failed");
        goto later;
    }

    ctx->index = log->active;

    if (ngx_thread_task_post(log->worker->thread_pool, log->task) != NGX_OK) {
        (void) close(ctx->fd);
        goto later;
    }

    log->writing = 1;
    log->active ^= 1;

    return;

later:

    if (!log->timer.timer_set && !ngx_exiting) {
        ngx_add_timer(&log->timer, 1000);
    }
}


static void
ngx_http_gray_log_thread(void *data, ngx_log_t *unused)
{
    ngx_http_gray_write_t  *ctx = data;

    size_t    len;
    u_char   *p;
    ssize_t   n;

    p = ctx->log->buffer[ctx->index];
    len = ctx->log->used[ctx->index];

    ctx->error = 0;

    while (len) {
        n = write(ctx->fd, p, len);

        if (n == -1) {
            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            ctx->error = ngx_errno;
            break;
        }

        p += n;
        len -= n;
    }

    (void) close(ctx->fd);
}


static void
ngx_http_gray_log_done(ngx_event_t *ev)
{
    ngx_http_gray_log_t    *log;
    ngx_http_gray_write_t  *ctx;

    log = ev->data;
    ctx = log->task->ctx;

    log->writing = 0;
    log->used[ctx->index] = 0;

    if (ctx->error) {
        ngx_http_gray_event(log->worker, GRAY_EVENT_LOG_DROPPED);

        ngx_log_error(NGX_LOG_ERR, log->worker->log, ctx->error,
                      "gray: the decision log \"%V\" could not be written",
                      &log->file->name);
    }

    if (log->used[log->active] && !log->timer.timer_set && !ngx_exiting) {
        ngx_add_timer(&log->timer, 1000);
    }
}


/* NULL, or what the line is: "admit", "refuse", "override", "sample". */

const char *
ngx_http_gray_log_wants(ngx_http_gray_log_t *log,
    const struct gray_colour *colour)
{
    uint32_t  i;

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

    switch (colour->reason) {

    case GRAY_REASON_DENY:
    case GRAY_REASON_REVOKED:
    case GRAY_REASON_MARK_UNKNOWN:
    case GRAY_REASON_NO_ADMIT:
    case GRAY_REASON_INPUT_TOO_LARGE:
        return "refuse";

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
    ngx_uint_t                  i;
    ngx_list_part_t            *part;
    ngx_table_elt_t            *h;
    ngx_http_gray_main_conf_t  *gmcf;

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);

    ngx_str_null(&traceparent);

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == 11
            && ngx_strncasecmp(h[i].key.data, (u_char *) "traceparent", 11)
               == 0)
        {
            traceparent = h[i].value;
            break;
        }
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


static void
ngx_http_gray_log_line(ngx_http_gray_log_t *log, u_char *head,
    size_t head_len, const u_char *rest, size_t rest_len)
{
    u_char  *p;
    size_t   used;

    if (log->worker == NULL) {
        return;
    }

    used = log->used[log->active];

    if (head_len + rest_len + 1 > NGX_HTTP_GRAY_LOG_BUFFER - used) {
        ngx_http_gray_log_flush(log);
        used = log->used[log->active];
    }

    if (head_len + rest_len + 1 > NGX_HTTP_GRAY_LOG_BUFFER - used) {
        ngx_http_gray_event(log->worker, GRAY_EVENT_LOG_DROPPED);
        return;
    }

    p = log->buffer[log->active] + used;
    p = ngx_cpymem(p, head, head_len);

    if (rest_len) {
        p = ngx_cpymem(p, rest, rest_len);
    }

    *p++ = LF;

    log->used[log->active] = used + head_len + rest_len + 1;

    if (log->used[log->active] > NGX_HTTP_GRAY_LOG_BUFFER / 2) {
        ngx_http_gray_log_flush(log);
    }

    if (log->used[log->active] && !log->timer.timer_set) {
        ngx_add_timer(&log->timer, 1000);
    }
}
