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
 * Read next: ngx_http_gray_line.c (what is said), docs/gateway.md.
 */


#include "ngx_http_gray_module.h"


typedef struct {
    ngx_http_gray_log_t         *log;
    int                          fd;
    ngx_uint_t                   index;
    ngx_uint_t                   lost;       /* lines */
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


char *
ngx_http_gray_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gray_srv_conf_t  *gscf = conf;

    ngx_int_t                   n;
    ngx_str_t                  *value;

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

    gscf->log = ngx_http_gray_log_open(cf, &value[1], (ngx_uint_t) n);

    return gscf->log ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_http_gray_log_t *
ngx_http_gray_log_open(ngx_conf_t *cf, ngx_str_t *path, ngx_uint_t sample)
{
    ngx_open_file_t            *file;
    ngx_http_gray_main_conf_t  *gmcf;

    file = ngx_conf_open_file(cf->cycle, path);
    if (file == NULL) {
        return NULL;
    }

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gray_module);
    gmcf->used = 1;

    if (ngx_http_gray_log_pool(cf, gmcf) != NGX_OK) {
        return NULL;
    }

    return ngx_http_gray_log_at(cf, gmcf, file, sample);
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


static ngx_uint_t
ngx_http_gray_log_lines(u_char *p, size_t len)
{
    ngx_uint_t  n;

    for (n = 0; len--; p++) {
        n += *p == LF;
    }

    return n;
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
            ctx->lost = ngx_http_gray_log_lines(p, len);
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
        while (ctx->lost) {
            ngx_http_gray_event(log->worker, GRAY_EVENT_LOG_DROPPED);
            ctx->lost--;
        }

        ngx_log_error(NGX_LOG_ERR, log->worker->log, ctx->error,
                      "gray: the decision log \"%V\" could not be written",
                      &log->file->name);
    }

    if (log->used[log->active] && !log->timer.timer_set && !ngx_exiting) {
        ngx_add_timer(&log->timer, 1000);
    }
}


void
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
