/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_worker.c - the runtime folder inside a worker.
 *
 * Why: a policy reaches every worker without a reload.  The reader's FIFO
 * stands in the worker's own event loop; mapping and checking happen in a
 * thread, the swap between two events, when no request holds a pointer into
 * what goes.  A slow poll stands behind the FIFO, for workers that may not
 * write into the folder and for a folder that appears later.
 *
 *   FIFO readable, poll -> thread: gray_runtime_load() -> event: swap
 *                  (woken again meanwhile: once more)
 * Read next: runtime/runtime.h, ngx_http_gray_balance.c (what is prepared).
 */


#include "ngx_http_gray_module.h"


typedef struct {
    ngx_http_gray_worker_t      *worker;
    struct gray_runtime_set     *set;
    struct gray_problem          problem;
    int                          rc;
} ngx_http_gray_load_t;


static void ngx_http_gray_open(ngx_http_gray_worker_t *w);
static ngx_int_t ngx_http_gray_listen(ngx_http_gray_worker_t *w);
static void ngx_http_gray_wake_handler(ngx_event_t *ev);
static void ngx_http_gray_poll_handler(ngx_event_t *ev);
static void ngx_http_gray_load(ngx_http_gray_worker_t *w);
static void ngx_http_gray_load_thread(void *data, ngx_log_t *log);
static void ngx_http_gray_load_done(ngx_event_t *ev);
static void ngx_http_gray_prepare(ngx_http_gray_worker_t *w,
    const struct gray_view *view);


ngx_int_t
ngx_http_gray_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                   i;
    ngx_http_gray_log_t        **log;
    ngx_http_gray_load_t        *load;
    ngx_http_gray_worker_t      *w;
    ngx_http_gray_main_conf_t   *gmcf;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    gmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_gray_module);

    if (gmcf == NULL || gmcf->path.len == 0) {
        return NGX_OK;
    }

    w = ngx_pcalloc(cycle->pool, sizeof(ngx_http_gray_worker_t));
    if (w == NULL) {
        return NGX_ERROR;
    }

    w->path = gmcf->path;
    w->pool = cycle->pool;
    w->log = cycle->log;
    w->thread_pool = gmcf->thread_pool;
    w->random = ((uint64_t) ngx_random() << 33) ^ ((uint64_t) ngx_random() << 2)
                ^ ((uint64_t) ngx_pid << 17) ^ (uint64_t) ngx_current_msec;

    w->remembered = ngx_pcalloc(cycle->pool, NGX_HTTP_GRAY_REMEMBERED
                                      * sizeof(ngx_http_gray_remembered_t *));
    if (w->remembered == NULL) {
        return NGX_ERROR;
    }

    w->issued = ngx_pcalloc(cycle->pool, NGX_HTTP_GRAY_ISSUED
                                         * sizeof(ngx_http_gray_issued_t));
    if (w->issued == NULL) {
        return NGX_ERROR;
    }

    w->task = ngx_thread_task_alloc(cycle->pool, sizeof(ngx_http_gray_load_t));
    if (w->task == NULL) {
        return NGX_ERROR;
    }

    load = w->task->ctx;
    load->worker = w;
    load->set = NULL;

    w->task->handler = ngx_http_gray_load_thread;
    w->task->event.handler = ngx_http_gray_load_done;
    w->task->event.data = w;

    gmcf->worker = w;

    ngx_http_gray_init_headers();
    ngx_http_gray_open(w);

    log = gmcf->logs.elts;

    for (i = 0; i < gmcf->logs.nelts; i++) {
        if (ngx_http_gray_log_init(log[i], w) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    w->poll.handler = ngx_http_gray_poll_handler;
    w->poll.data = w;
    w->poll.log = cycle->log;
    w->poll.cancelable = 1;

    ngx_add_timer(&w->poll, NGX_HTTP_GRAY_POLL);

    return NGX_OK;
}


/* Thread pools are gone by now: their module stands before ours. */

void
ngx_http_gray_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                   i;
    ngx_http_gray_log_t        **log;
    ngx_http_gray_load_t        *load;
    ngx_http_gray_worker_t      *w;
    ngx_http_gray_main_conf_t   *gmcf;

    gmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_gray_module);

    if (gmcf == NULL || gmcf->worker == NULL) {
        return;
    }

    w = gmcf->worker;

    log = gmcf->logs.elts;

    for (i = 0; i < gmcf->logs.nelts; i++) {
        ngx_http_gray_log_exit(log[i]);
    }

    if (w->poll.timer_set) {
        ngx_del_timer(&w->poll);
    }

    if (w->wake) {
        ngx_del_event(w->wake->read, NGX_READ_EVENT, 0);

        /* the descriptor is the runtime's */

        w->wake->fd = (ngx_socket_t) -1;
        ngx_free_connection(w->wake);
        w->wake = NULL;
    }

    load = w->task->ctx;
    gray_runtime_set_free(load->set);
    load->set = NULL;

    gray_runtime_close(w->runtime);
    w->runtime = NULL;

    ngx_http_gray_forget(w);

    if (w->load) {
        ngx_free(w->load);
        w->load = NULL;
    }

    gmcf->worker = NULL;
}


/*
 * A worker that may not write into the folder still decides: it is not
 * counted and not woken, it polls.
 */

static void
ngx_http_gray_open(ngx_http_gray_worker_t *w)
{
    const char                 *path;
    struct gray_problem         problem;
    const struct gray_problem  *refusal;

    path = (const char *) w->path.data;

    ngx_memzero(&problem, sizeof(struct gray_problem));

    if (gray_runtime_open(&w->runtime, path, GRAY_READER_NGINX, true, &problem)
        != 0)
    {
        w->runtime = NULL;

        /* said once; the poll tries again in silence */

        if (!w->said) {
            w->said = 1;

            ngx_log_error(NGX_LOG_WARN, w->log, 0,
                          "gray: no policy: %s (%s); services are served by "
                          "static servers only until \"%s\" can be read",
                          problem.sentence,
                          problem.code ? problem.code : "unknown", path);
        }

        return;
    }

    w->epoch++;
    w->counted = gray_runtime_wake_fd(w->runtime) != -1;

    if (!w->counted) {
        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "gray: this worker is not counted, and polls \"%s\": "
                      "%s (%s)", path, problem.sentence,
                      problem.code ? problem.code : "unknown");
    }

    refusal = gray_runtime_refusal(w->runtime);

    if (refusal->code) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "gray: the newest policy is refused: %s (%s)",
                      refusal->sentence, refusal->code);
    }

    if (ngx_http_gray_listen(w) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "gray: no connection for the wake FIFO, polling");
    }
}


static ngx_int_t
ngx_http_gray_listen(ngx_http_gray_worker_t *w)
{
    int                fd;
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    fd = gray_runtime_wake_fd(w->runtime);

    if (fd == -1) {
        return NGX_OK;
    }

    c = ngx_get_connection(fd, w->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = w;

    rev = c->read;
    rev->log = w->log;
    rev->handler = ngx_http_gray_wake_handler;

    c->write->log = w->log;

    /* else "open socket left in connection" at exit */

    rev->channel = 1;
    c->write->channel = 1;

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        c->fd = (ngx_socket_t) -1;
        ngx_free_connection(c);
        return NGX_ERROR;
    }

    w->wake = c;

    return NGX_OK;
}


static void
ngx_http_gray_wake_handler(ngx_event_t *ev)
{
    ngx_connection_t        *c;
    ngx_http_gray_worker_t  *w;

    c = ev->data;
    w = c->data;

    gray_runtime_wake_drain(w->runtime);

    ngx_http_gray_load(w);
}


static void
ngx_http_gray_poll_handler(ngx_event_t *ev)
{
    ngx_http_gray_worker_t  *w;

    w = ev->data;

    if (ngx_exiting || ngx_quit || ngx_terminate) {
        return;
    }

    if (w->runtime == NULL) {
        ngx_http_gray_open(w);

    } else if (!w->loading && gray_runtime_stale(w->runtime)) {
        ngx_http_gray_load(w);
    }

    ngx_add_timer(ev, NGX_HTTP_GRAY_POLL);
}


static void
ngx_http_gray_load(ngx_http_gray_worker_t *w)
{
    ngx_http_gray_load_t  *load;

    if (w->loading) {
        w->again = 1;
        return;
    }

    load = w->task->ctx;
    load->set = NULL;
    load->problem.code = NULL;

    if (ngx_thread_task_post(w->thread_pool, w->task) != NGX_OK) {

        /* the poll tries again: the folder is still newer than we are */

        return;
    }

    w->loading = 1;
    w->again = 0;
}


static void
ngx_http_gray_load_thread(void *data, ngx_log_t *log)
{
    ngx_http_gray_load_t  *load = data;

    load->rc = gray_runtime_load(load->worker->runtime, &load->set,
                                 &load->problem);
}


static void
ngx_http_gray_load_done(ngx_event_t *ev)
{
    ngx_http_gray_load_t    *load;
    ngx_http_gray_worker_t  *w;

    w = ev->data;
    load = w->task->ctx;

    w->loading = 0;

    if (load->problem.code) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "gray: the newest policy is refused, the last good one "
                      "stays: %s (%s)",
                      load->problem.sentence, load->problem.code);
    }

    if (load->set) {
        gray_runtime_swap(w->runtime, load->set);
        load->set = NULL;

        /* keys may have changed with it */

        ngx_http_gray_forget(w);

        w->epoch++;

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, w->log, 0,
                       "gray: policy swapped, epoch %uL", w->epoch);
    }

    if (w->again) {
        ngx_http_gray_load(w);
    }
}


const struct gray_view *
ngx_http_gray_view(ngx_http_gray_worker_t *w, enum gray_reason *reason)
{
    const struct gray_view  *view;

    if (w->runtime == NULL) {
        *reason = GRAY_REASON_NO_SNAPSHOT;
        return NULL;
    }

    view = gray_runtime_view(w->runtime, reason);

    if (view && w->prepared != w->epoch) {
        ngx_http_gray_prepare(w, view);
    }

    return view;
}


/* What is loaded, bypass or not: baselines are still to be found there. */

const struct gray_view *
ngx_http_gray_loaded_view(ngx_http_gray_worker_t *w)
{
    const struct gray_view  *view;

    if (w->runtime == NULL) {
        return NULL;
    }

    view = gray_runtime_loaded(w->runtime);

    if (view && w->prepared != w->epoch) {
        ngx_http_gray_prepare(w, view);
    }

    return view;
}


/* Once an epoch: what requests need by number. */

static void
ngx_http_gray_prepare(ngx_http_gray_worker_t *w, const struct gray_view *view)
{
    uint32_t                    i, n;
    uint64_t                    generation;
    const struct gray_release  *release;

    w->prepared = w->epoch;
    w->anonymous = 0;

    for (i = 0; (release = gray_release_at(view->policy, i)) != NULL; i++) {
        if (release->anonymous == GRAY_ANONYMOUS_COOKIE) {
            w->anonymous = 1;
            break;
        }
    }

    n = view->fleet ? view->fleet->body->endpoints.count : 0;
    generation = view->fleet ? view->fleet->header->generation : 0;

    /* the same fleet has the same numbers: counts go on */

    if (n == w->load_count && generation == w->fleet_generation && w->load) {
        return;
    }

    if (w->load) {
        ngx_free(w->load);
    }

    w->load = ngx_calloc((n + 1) * sizeof(uint32_t), w->log);
    w->load_count = w->load ? n : 0;
    w->fleet_generation = generation;
    w->load_serial++;
}


void
ngx_http_gray_event(ngx_http_gray_worker_t *w, enum gray_event event)
{
    if (w->runtime && w->counted) {
        gray_counters_event(w->runtime, event);
    }
}


/* SplitMix64: for draws between endpoints, never for secrets. */

uint64_t
ngx_http_gray_random(ngx_http_gray_worker_t *w)
{
    w->random += 0x9e3779b97f4a7c15;

    return gray_mix64(w->random);
}


int64_t
ngx_http_gray_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}
