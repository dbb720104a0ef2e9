/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_worker.c - the runtime folder inside a worker.
 *
 * Why: a policy reaches every worker without a reload.  The reader's FIFO
 * stands in the worker's own event loop; a slow poll stands behind it, for
 * workers that may not write into the folder and for one that comes later.
 *
 *   FIFO readable, poll -> ngx_http_gray_load() -> who waits for a mark
 * Read next: ngx_http_gray_load.c, ngx_http_gray_clock.c, ngx_http_gray_wait.c.
 */


#include <sys/timerfd.h>

#include "ngx_http_gray_decision.h"


static void ngx_http_gray_open(ngx_http_gray_worker_t *w);
static void ngx_http_gray_listen(ngx_http_gray_worker_t *w);
static void ngx_http_gray_follow(ngx_http_gray_worker_t *w);
static ngx_int_t ngx_http_gray_init_poll(ngx_http_gray_worker_t *w);
static void ngx_http_gray_wake_handler(ngx_event_t *ev);
static void ngx_http_gray_poll_handler(ngx_event_t *ev);
static void ngx_http_gray_unprepare(ngx_http_gray_worker_t *w);
static void ngx_http_gray_prepare(ngx_http_gray_worker_t *w,
    const struct gray_view *view);


ngx_int_t
ngx_http_gray_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                   i;
    ngx_http_gray_log_t        **log;
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
    w->random = gray_mix64(((uint64_t) ngx_random() << 33)
                           ^ ((uint64_t) ngx_random() << 2)
                           ^ ((uint64_t) ngx_pid << 17)
                           ^ (uint64_t) ngx_current_msec) | 1;

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

    w->nowhere = ngx_pcalloc(cycle->pool, 2 * GRAY_DECISIONS_ENTRANCE
                                          * sizeof(uint64_t));
    if (w->nowhere == NULL) {
        return NGX_ERROR;
    }

    gmcf->worker = w;

    ngx_http_gray_init_headers();
    ngx_http_gray_init_wait(w);
    ngx_http_gray_init_crash(w);
    ngx_http_gray_open(w);

    log = gmcf->logs.elts;

    for (i = 0; i < gmcf->logs.nelts; i++) {
        if (ngx_http_gray_log_init(log[i], w) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_gray_init_poll(w);
}


/*
 * A descriptor, not a timer of nginx's: one more of those stands in the way
 * of every request's own.
 */

static ngx_int_t
ngx_http_gray_init_poll(ngx_http_gray_worker_t *w)
{
    int                fd;
    struct itimerspec  every;

    fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK|TFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_ALERT, w->log, ngx_errno,
                      "gray: timerfd_create() failed");
        return NGX_ERROR;
    }

    ngx_memzero(&every, sizeof(struct itimerspec));
    every.it_interval.tv_sec = NGX_HTTP_GRAY_POLL;
    every.it_value.tv_sec = NGX_HTTP_GRAY_POLL;

    if (timerfd_settime(fd, 0, &every, NULL) == -1) {
        ngx_log_error(NGX_LOG_ALERT, w->log, ngx_errno,
                      "gray: timerfd_settime() failed");
        goto failed;
    }

    w->poll = ngx_http_gray_channel(w, fd, ngx_http_gray_poll_handler);

    if (w->poll == NULL) {
        goto failed;
    }

    return NGX_OK;

failed:

    (void) close(fd);

    return NGX_ERROR;
}


/* nginx's thread pools are gone by now: their module stands before ours. */

void
ngx_http_gray_exit_process(ngx_cycle_t *cycle)
{
    int                          fd;
    ngx_uint_t                   i;
    ngx_http_gray_log_t        **log;
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

    if (w->wake) {

        /* the descriptor is the runtime's */

        ngx_http_gray_close_channel(w->wake);
        w->wake = NULL;
    }

    if (w->poll) {
        fd = w->poll->fd;
        ngx_http_gray_close_channel(w->poll);
        w->poll = NULL;
        (void) close(fd);
    }

    ngx_http_gray_exit_wait(w);
    ngx_http_gray_exit_clock(w);
    ngx_http_gray_stop_loading(w);

    gray_runtime_close(w->runtime);
    w->runtime = NULL;

    ngx_http_gray_forget(w);

    ngx_http_gray_unprepare(w);
    ngx_free(w->routes);

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

    ngx_http_gray_say_keys(w);

    refusal = gray_runtime_refusal(w->runtime);

    if (refusal->code) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "gray: the newest policy is refused: %s (%s)",
                      refusal->sentence, refusal->code);
    }

    ngx_http_gray_listen(w);
    ngx_http_gray_set_instant(w);
}


static void
ngx_http_gray_listen(ngx_http_gray_worker_t *w)
{
    w->counted = gray_runtime_wake_fd(w->runtime) != -1;

    if (w->counted) {
        w->wake = ngx_http_gray_channel(w, gray_runtime_wake_fd(w->runtime),
                                        ngx_http_gray_wake_handler);
        if (w->wake == NULL) {
            ngx_log_error(NGX_LOG_ERR, w->log, 0,
                          "gray: no connection for the wake FIFO, polling");
        }
    }
}


/*
 * The folder was removed and made again.  Between two events nothing of a
 * request points into the old one but its counters, which outlive it.
 */

static void
ngx_http_gray_follow(ngx_http_gray_worker_t *w)
{
    struct gray_problem   problem;
    struct gray_runtime  *old;

    ngx_memzero(&problem, sizeof(struct gray_problem));

    if (w->wake) {
        ngx_http_gray_close_channel(w->wake);
        w->wake = NULL;
    }

    if (gray_runtime_follow(w->runtime, &old, &problem) == 0) {
        gray_runtime_retire(old);

        /* its numbers begin anew */

        w->fleet_generation = (uint64_t) -1;
        w->epoch++;
        w->folder++;

        ngx_http_gray_forget(w);
        ngx_http_gray_say_keys(w);

        ngx_log_error(NGX_LOG_NOTICE, w->log, 0,
                      "gray: \"%V\" was made anew, its policy is taken",
                      &w->path);
    }

    ngx_http_gray_listen(w);
    ngx_http_gray_set_instant(w);
    ngx_http_gray_look_at_waiters(w);
}


/* A descriptor of ours in the event loop, as nginx keeps its own channel. */

ngx_connection_t *
ngx_http_gray_channel(ngx_http_gray_worker_t *w, int fd,
    ngx_event_handler_pt handler)
{
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, w->log);
    if (c == NULL) {
        return NULL;
    }

    c->data = w;

    rev = c->read;
    rev->log = w->log;
    rev->handler = handler;

    c->write->log = w->log;

    /* else "open socket left in connection" at exit */

    rev->channel = 1;
    c->write->channel = 1;

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        c->fd = (ngx_socket_t) -1;
        ngx_free_connection(c);
        return NULL;
    }

    return c;
}


void
ngx_http_gray_close_channel(ngx_connection_t *c)
{
    ngx_del_event(c->read, NGX_READ_EVENT, 0);

    c->fd = (ngx_socket_t) -1;
    ngx_free_connection(c);
}


static void
ngx_http_gray_wake_handler(ngx_event_t *ev)
{
    ngx_connection_t        *c;
    ngx_http_gray_worker_t  *w;

    c = ev->data;
    w = c->data;

    gray_runtime_wake_drain(w->runtime);

    /*
     * a publisher rang, our own thread, or whoever made marks durable, who
     * does so as often as the disk allows
     */

    if (w->loading || gray_runtime_stale(w->runtime)) {
        ngx_http_gray_load(w);
    }

    ngx_http_gray_look_at_waiters(w);
}


static void
ngx_http_gray_poll_handler(ngx_event_t *ev)
{
    ssize_t                  n;
    uint64_t                 ticks;
    ngx_connection_t        *c;
    ngx_http_gray_worker_t  *w;

    c = ev->data;
    w = c->data;

    n = read(c->fd, &ticks, sizeof(uint64_t));

    if (n <= 0 || ngx_exiting || ngx_quit || ngx_terminate) {
        return;
    }

    if (w->runtime == NULL) {
        ngx_http_gray_open(w);

    } else if (!w->loading && gray_runtime_moved(w->runtime)) {
        ngx_http_gray_follow(w);

    } else if (w->loading || gray_runtime_stale(w->runtime)) {
        ngx_http_gray_load(w);
        ngx_http_gray_look_at_waiters(w);
    }

    ngx_http_gray_look_at_clock(w);
}


/* NULL: w->reason says why. */

const struct gray_view *
ngx_http_gray_view(ngx_http_gray_worker_t *w)
{
    const struct gray_view  *view;

    if (w->runtime == NULL) {
        w->reason = GRAY_REASON_NO_SNAPSHOT;
        return NULL;
    }

    view = gray_runtime_view(w->runtime, &w->reason);

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


static void
ngx_http_gray_unprepare(ngx_http_gray_worker_t *w)
{
    ngx_free(w->load);
    ngx_free(w->endpoints);

    w->load = NULL;
    w->endpoints = NULL;
}


/* Once an epoch: what requests need by number. */

static void
ngx_http_gray_prepare(ngx_http_gray_worker_t *w, const struct gray_view *view)
{
    uint32_t                    i, n;
    uint64_t                    generation;
    const struct gray_release  *release;

    w->prepared = w->epoch;
    w->decisions = gray_counters_decisions(w->runtime);

    if (w->decisions == NULL) {
        w->decisions = w->nowhere;
    }
    w->anonymous = 0;
    w->draws = 0;

    ngx_free(w->routes);

    n = view->policy->policy->routes.count;

    w->routes = ngx_calloc((n + 1) * sizeof(ngx_http_gray_route_t), w->log);
    w->route_count = w->routes ? n : 0;

    for (i = 0; (release = gray_release_at(view->policy, i)) != NULL; i++) {
        if (release->anonymous == GRAY_ANONYMOUS_COOKIE) {
            w->anonymous = 1;
        }

        if (release->anonymous == GRAY_ANONYMOUS_RANDOM
            || release->variants.count > 1)
        {
            w->draws = 1;
        }
    }

    n = view->fleet ? view->fleet->body->endpoints.count : 0;
    generation = view->fleet ? view->fleet->header->generation : 0;

    /* the same fleet has the same numbers: counts go on */

    if (n == w->load_count && generation == w->fleet_generation && w->load) {
        return;
    }

    ngx_http_gray_unprepare(w);

    w->load = ngx_calloc((n + 1) * sizeof(uint32_t), w->log);
    w->endpoints = ngx_calloc((n + 1) * sizeof(ngx_http_gray_endpoint_t),
                              w->log);
    w->load_count = w->load && w->endpoints ? n : 0;
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


int64_t
ngx_http_gray_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}
