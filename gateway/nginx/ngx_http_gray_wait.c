/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_wait.c - a request waits for its mark, the worker does not.
 *
 * Why: where a release is `strict`, nobody may be told IN before the journal
 * has it, and the disk takes longer than a worker may stand still.  So the
 * request is put aside in SERVER_REWRITE and decided afresh when grayd wakes
 * the worker (its FIFO), or when its time is over: a policy may have come
 * between, so nothing is kept of a mapping, only what was read of the request
 * and which marks it took (by scope, not by number).
 *
 *   decide -> wait (NGX_DONE) -> woken, or its time over -> phases go on
 *                             -> client gone: r->cleanup unlinks it
 *
 * nginx's own reference holds the request meanwhile, as for limit_req: no
 * handler of it runs that could let go of it but the one that ends it.
 * Read next: runtime/admit.h, ngx_http_gray_colour.c, docs/marks.md.
 */


#include "ngx_http_gray_decision.h"


/* who cannot be woken looks as often as this, ms */

#define NGX_HTTP_GRAY_LOOK           5


struct ngx_http_gray_waiter_s {
    ngx_queue_t                  queue;
    ngx_http_request_t          *request;
    ngx_http_gray_worker_t      *worker;

    uint64_t                     epoch;      /* it was decided in */
    uint64_t                     folder;

    uint64_t                     random;
    uint64_t                     anonymous;
    ngx_str_t                    lane;       /* that came in */
    ngx_str_t                    arms;
    enum gray_class              traffic_class;

    unsigned                     queued:1;
    unsigned                     resumed:1;

    struct gray_marked           marked;

    /* what the scan found; the headers have lost some of it */

    u_char                       scan[offsetof(ngx_http_gray_scan_t, carried)];
};


static ngx_http_gray_waiter_t *ngx_http_gray_create_waiter(
    ngx_http_gray_decision_t *d);
static ngx_int_t ngx_http_gray_suspend(ngx_http_gray_waiter_t *waiter);
static void ngx_http_gray_unlink(void *data);
static void ngx_http_gray_wait_handler(ngx_event_t *ev);
static void ngx_http_gray_arm(ngx_http_gray_worker_t *w, int64_t deadline,
    int64_t now);
static void ngx_http_gray_resume(ngx_http_gray_waiter_t *waiter);


static int64_t
ngx_http_gray_monotonic(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


void
ngx_http_gray_init_wait(ngx_http_gray_worker_t *w)
{
    ngx_queue_init(&w->waiters);

    /*
     * not cancelable: a worker that is told to quit answers those first, and
     * this timer is all that keeps it
     */

    w->wait.handler = ngx_http_gray_wait_handler;
    w->wait.data = w;
    w->wait.log = w->log;
}


void
ngx_http_gray_exit_wait(ngx_http_gray_worker_t *w)
{
    if (w->wait.timer_set) {
        ngx_del_timer(&w->wait);
    }
}


/* Did this request wait, and is it its turn now? */

ngx_uint_t
ngx_http_gray_resumed(ngx_http_gray_ctx_t *ctx)
{
    return ctx->waiter && ctx->waiter->resumed;
}


/* NGX_DONE: the request waits. */

ngx_int_t
ngx_http_gray_wait(ngx_http_gray_decision_t *d)
{
    ngx_http_gray_waiter_t  *waiter;

    waiter = d->ctx->waiter;

    if (waiter == NULL) {
        waiter = ngx_http_gray_create_waiter(d);
        if (waiter == NULL) {
            return NGX_ERROR;
        }

        d->ctx->waiter = waiter;
        ngx_http_gray_event(d->worker, GRAY_EVENT_MARK_WAITED);
    }

    waiter->epoch = d->worker->epoch;
    waiter->folder = d->worker->folder;

    /* nothing of it may point into a mapping, or onto this stack */

    waiter->marked.view = NULL;
    waiter->marked.runtime = NULL;
    waiter->marked.evidence_context = NULL;

    d->ctx->reason = GRAY_REASON_MARK_PENDING;

    return ngx_http_gray_suspend(waiter);
}


static ngx_http_gray_waiter_t *
ngx_http_gray_create_waiter(ngx_http_gray_decision_t *d)
{
    ngx_http_request_t      *r;
    ngx_http_cleanup_t      *cln;
    ngx_http_gray_waiter_t  *waiter;

    r = d->request;

    waiter = ngx_palloc(r->pool, sizeof(ngx_http_gray_waiter_t));
    if (waiter == NULL) {
        return NULL;
    }

    /* as early as a request ends, and before its log phase */

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_gray_unlink;
    cln->data = waiter;

    waiter->request = r;
    waiter->worker = d->worker;
    waiter->random = d->input.random;
    waiter->anonymous = d->anonymous;
    waiter->lane = ngx_http_gray_copy(r->pool, d->lane);
    waiter->arms = ngx_http_gray_copy(r->pool, d->arms);
    waiter->traffic_class = d->traffic_class;
    waiter->marked = *d->marked;
    waiter->queued = 0;
    waiter->resumed = 0;
    ngx_memcpy(waiter->scan, &d->scan, sizeof(waiter->scan));

    return waiter;
}


static ngx_int_t
ngx_http_gray_suspend(ngx_http_gray_waiter_t *waiter)
{
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_gray_worker_t  *w;

    r = waiter->request;
    c = r->connection;
    w = waiter->worker;

    /* that the client goes away must be seen */

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);

    } else if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    waiter->resumed = 0;
    waiter->queued = 1;
    ngx_queue_insert_tail(&w->waiters, &waiter->queue);

    ngx_http_gray_arm(w, waiter->marked.deadline, ngx_http_gray_monotonic());

    return NGX_DONE;
}


static void
ngx_http_gray_unlink(void *data)
{
    ngx_http_gray_waiter_t  *waiter = data;

    if (waiter->queued) {
        waiter->queued = 0;
        ngx_queue_remove(&waiter->queue);
    }
}


/* One timer for all who wait, at the earliest end. */

static void
ngx_http_gray_arm(ngx_http_gray_worker_t *w, int64_t deadline, int64_t now)
{
    ngx_msec_t  wait;

    wait = deadline > now ? (ngx_msec_t) ((deadline - now) / 1000000 + 1) : 1;

    if (!w->counted && wait > NGX_HTTP_GRAY_LOOK) {
        wait = NGX_HTTP_GRAY_LOOK;
    }

    if (w->wait.timer_set) {

        if ((ngx_msec_int_t) (w->wait.timer.key - (ngx_current_msec + wait))
            <= 0)
        {
            return;
        }

        /* else a timer that is moved by little is left where it is */

        ngx_del_timer(&w->wait);
    }

    ngx_add_timer(&w->wait, wait);
}


static void
ngx_http_gray_wait_handler(ngx_event_t *ev)
{
    ngx_http_gray_look_at_waiters(ev->data);
}


/*
 * Whose mark is settled, or whose time is over, goes on.  They are taken off
 * first: a request that goes on may end others, and may wait once more.
 */

void
ngx_http_gray_look_at_waiters(ngx_http_gray_worker_t *w)
{
    int64_t                  now, first;
    ngx_queue_t              due, *q, *next;
    const struct gray_view  *view;
    ngx_http_gray_waiter_t  *waiter;

    if (ngx_queue_empty(&w->waiters)) {
        return;
    }

    now = ngx_http_gray_monotonic();
    view = ngx_http_gray_view(w);
    first = 0;

    ngx_queue_init(&due);

    for (q = ngx_queue_head(&w->waiters);
         q != ngx_queue_sentinel(&w->waiters);
         q = next)
    {
        next = ngx_queue_next(q);
        waiter = ngx_queue_data(q, ngx_http_gray_waiter_t, queue);

        if (view && waiter->epoch == w->epoch && waiter->folder == w->folder) {
            waiter->marked.view = view;
            waiter->marked.runtime = w->runtime;

            if (!gray_marked_settled(&waiter->marked, now)) {

                if (first == 0 || waiter->marked.deadline < first) {
                    first = waiter->marked.deadline;
                }

                continue;
            }
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&due, q);
    }

    if (first) {
        ngx_http_gray_arm(w, first, now);

    } else if (w->wait.timer_set) {
        ngx_del_timer(&w->wait);
    }

    while (!ngx_queue_empty(&due)) {
        q = ngx_queue_head(&due);
        ngx_http_gray_resume(ngx_queue_data(q, ngx_http_gray_waiter_t, queue));
    }
}


static void
ngx_http_gray_resume(ngx_http_gray_waiter_t *waiter)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    ngx_http_gray_unlink(waiter);

    waiter->resumed = 1;

    r = waiter->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


/*
 * What is known of the request, as it was before it waited.  Values are fed
 * anew: their places are those of the present policy.
 */

ngx_int_t
ngx_http_gray_recall(ngx_http_gray_decision_t *d)
{
    ngx_http_gray_scan_t    *scan;
    ngx_http_gray_waiter_t  *waiter;

    waiter = d->ctx->waiter;
    scan = &d->scan;

    waiter->resumed = 0;

    ngx_memcpy(scan, waiter->scan, sizeof(waiter->scan));

    scan->input = NULL;

    if (scan->baggage
        && gray_baggage_read(ngx_http_gray_str(scan->baggage->value),
                             &scan->carried)
           != 0)
    {
        return NGX_ERROR;
    }

    d->lane = ngx_http_gray_str(waiter->lane);
    d->arms = ngx_http_gray_str(waiter->arms);
    d->traffic_class = waiter->traffic_class;
    d->anonymous = waiter->anonymous;

    if (d->view) {
        ngx_http_gray_begin(d);

        /* one request, one draw */

        d->input.random = waiter->random;

        scan->input = &d->input;
        ngx_http_gray_feed(scan);
    }

    return NGX_OK;
}


/* The marks that it took; those of a folder that is gone are gone with it. */

void
ngx_http_gray_recall_marks(ngx_http_gray_decision_t *d)
{
    ngx_http_gray_waiter_t  *waiter;

    waiter = d->ctx->waiter;

    d->marked = &waiter->marked;

    if (waiter->folder != d->worker->folder) {
        gray_marked_begin(d->marked, d->worker->runtime, d->view,
                          d->input.now);
        return;
    }

    d->marked->runtime = d->worker->runtime;
    d->marked->view = d->view;
}
