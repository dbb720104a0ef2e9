/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_clock.c - a worker turns at an instant, and says what it
 * died of.
 *
 * Why: a policy that waits for its instant lies ready in every worker; at the
 * instant each exchanges one pointer between two events.  The timer is one of
 * the kernel's on the wall clock, which fires at once when the clock is set
 * beyond it and waits on when it is set back; nginx's own timers are of
 * another clock, and would stand in the way of every request's.
 * A worker that is hit by a signal of its own making has one store left to
 * do: which policy it had taken.  Two of those, and who starts passes it over.
 * Read next: ngx_http_gray_load.c, runtime/turn.c, runtime/trial.c.
 */


#include <sys/timerfd.h>

#include "ngx_http_gray_decision.h"


static void ngx_http_gray_instant_handler(ngx_event_t *ev);
static void ngx_http_gray_crash_handler(int signo, siginfo_t *info, void *data);


/* a signal finds its process by no argument */

static ngx_http_gray_worker_t  *ngx_http_gray_crashing;

static const int  ngx_http_gray_crashes[] = {
    SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT
};

#define NGX_HTTP_GRAY_CRASHES                                                 \
    (sizeof(ngx_http_gray_crashes) / sizeof(ngx_http_gray_crashes[0]))

static struct sigaction  ngx_http_gray_before[NGX_HTTP_GRAY_CRASHES];


/* Whatever waits for the clock; nothing is loaded meanwhile. */

void
ngx_http_gray_look_at_clock(ngx_http_gray_worker_t *w)
{
    if (w->runtime == NULL || w->loading
        || !gray_runtime_on_clock(w->runtime))
    {
        return;
    }

    if (gray_runtime_clock(w->runtime)) {
        ngx_http_gray_swapped(w);
        ngx_http_gray_look_at_waiters(w);

        ngx_log_error(NGX_LOG_INFO, w->log, 0,
                      "gray: turned to the policy that lay ready");
    }
}


/* After every swap: the timer is set for what waits now. */

void
ngx_http_gray_set_instant(ngx_http_gray_worker_t *w)
{
    int                fd;
    int64_t            at;
    struct itimerspec  when;

    at = w->runtime ? gray_runtime_turn_at(w->runtime) : 0;

    if (at == w->armed) {
        return;
    }

    if (w->instant == NULL) {
        fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK|TFD_CLOEXEC);

        if (fd != -1) {
            w->instant = ngx_http_gray_channel(w, fd,
                                               ngx_http_gray_instant_handler);
            if (w->instant == NULL) {
                (void) close(fd);
            }
        }

        if (w->instant == NULL) {
            ngx_log_error(NGX_LOG_ERR, w->log, ngx_errno,
                          "gray: no timer for a policy that waits: it is "
                          "looked at once a second");
            return;
        }
    }

    /* all zero disarms it */

    ngx_memzero(&when, sizeof(struct itimerspec));
    when.it_value.tv_sec = at / 1000;
    when.it_value.tv_nsec = (at % 1000) * 1000000;

    if (timerfd_settime(w->instant->fd, TFD_TIMER_ABSTIME, &when, NULL) == -1) {
        ngx_log_error(NGX_LOG_ERR, w->log, ngx_errno,
                      "gray: timerfd_settime() failed");
        return;
    }

    w->armed = at;
}


static void
ngx_http_gray_instant_handler(ngx_event_t *ev)
{
    ssize_t                  n;
    uint64_t                 ticks;
    ngx_connection_t        *c;
    ngx_http_gray_worker_t  *w;

    c = ev->data;
    w = c->data;

    n = read(c->fd, &ticks, sizeof(uint64_t));

    if (n <= 0) {
        return;
    }

    w->armed = 0;

    if (w->runtime == NULL) {
        return;
    }

    /* what was published meanwhile comes first: it may have taken its place */

    if (!w->loading && gray_runtime_stale(w->runtime)) {
        ngx_http_gray_load(w);
    }

    ngx_http_gray_look_at_clock(w);
    ngx_http_gray_set_instant(w);
}


void
ngx_http_gray_exit_clock(ngx_http_gray_worker_t *w)
{
    int      fd;
    stack_t  none;

    ngx_http_gray_crashing = NULL;

    /* its memory goes with the pool */

    ngx_memzero(&none, sizeof(stack_t));
    none.ss_flags = SS_DISABLE;

    if (w->stack) {
        (void) sigaltstack(&none, NULL);
        w->stack = NULL;
    }

    if (w->instant) {
        fd = w->instant->fd;
        ngx_http_gray_close_channel(w->instant);
        w->instant = NULL;
        (void) close(fd);
    }
}


/*
 * Who had a handler before (a sanitizer) is called next, by the same signal;
 * else the process dies as it would have.
 */

void
ngx_http_gray_init_crash(ngx_http_gray_worker_t *w)
{
    stack_t           stack;
    ngx_uint_t        i;
    struct sigaction  action;

    ngx_http_gray_crashing = w;

    /* also for a stack that is at its end */

    if (sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE)) {
        ngx_memzero(&stack, sizeof(stack_t));
        stack.ss_size = 65536;
        stack.ss_sp = ngx_palloc(w->pool, stack.ss_size);

        if (stack.ss_sp && sigaltstack(&stack, NULL) == 0) {
            w->stack = stack.ss_sp;
        }
    }

    ngx_memzero(&action, sizeof(struct sigaction));
    action.sa_sigaction = ngx_http_gray_crash_handler;
    action.sa_flags = SA_SIGINFO|SA_ONSTACK;
    sigemptyset(&action.sa_mask);

    for (i = 0; i < NGX_HTTP_GRAY_CRASHES; i++) {
        if (sigaction(ngx_http_gray_crashes[i], &action,
                      &ngx_http_gray_before[i])
            == -1)
        {
            ngx_log_error(NGX_LOG_ALERT, w->log, ngx_errno,
                          "gray: sigaction() failed");
        }
    }
}


static void
ngx_http_gray_crash_handler(int signo, siginfo_t *info, void *data)
{
    ngx_uint_t  i;

    if (ngx_http_gray_crashing && ngx_http_gray_crashing->runtime) {
        gray_runtime_crashed(ngx_http_gray_crashing->runtime, signo);
    }

    for (i = 0; i < NGX_HTTP_GRAY_CRASHES; i++) {
        if (ngx_http_gray_crashes[i] == signo) {
            (void) sigaction(signo, &ngx_http_gray_before[i], NULL);
        }
    }

    /* a fault comes again by itself, a signal that was sent does not */

    if (info->si_code <= 0) {
        (void) raise(signo);
    }
}
