/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_load.c - a worker takes a new policy, between two events.
 *
 * Why: no request may hold a pointer into what goes, so the swap happens when
 * none runs.  What is small is mapped and checked at once, in less time than a
 * request takes; what is large, in a thread that lives as long as that.  A
 * thread that stood by, as nginx's pools do, would make every system call of
 * every request dearer: 280 instructions, more than the choice of an endpoint.
 *
 *   small: gray_runtime_load(), swap
 *   large: thread -> FIFO -> swap (woken again meanwhile: once more)
 * Read next: ngx_http_gray_worker.c (who wakes), runtime/runtime.h.
 */


#include <dirent.h>
#include <pthread.h>

#include "ngx_http_gray_decision.h"


static ngx_uint_t ngx_http_gray_is_large(ngx_http_gray_worker_t *w);
static off_t ngx_http_gray_next_size(ngx_http_gray_worker_t *w);
static off_t ngx_http_gray_size(ngx_http_gray_worker_t *w,
    const char *folder, off_t enough);
static ngx_int_t ngx_http_gray_start_thread(ngx_http_gray_worker_t *w);
static void *ngx_http_gray_thread(void *data);
static void ngx_http_gray_join(ngx_http_gray_worker_t *w);
static void ngx_http_gray_take(ngx_http_gray_worker_t *w);


void
ngx_http_gray_load(ngx_http_gray_worker_t *w)
{
    if (w->loading) {

        if (!__atomic_load_n(&w->loaded, __ATOMIC_ACQUIRE)) {
            w->again = 1;
            return;
        }

        ngx_http_gray_join(w);
        ngx_http_gray_take(w);

        if (!w->again && !gray_runtime_stale(w->runtime)) {
            return;
        }
    }

    w->again = 0;
    w->set = NULL;
    w->problem.code = NULL;

    if (ngx_http_gray_is_large(w)
        && ngx_http_gray_start_thread(w) == NGX_OK)
    {
        ngx_log_error(NGX_LOG_INFO, w->log, 0,
                      "gray: a large policy is loaded in a thread");
        return;
    }

    (void) gray_runtime_load(w->runtime, &w->set, &w->problem);

    ngx_http_gray_take(w);
}


/* Would mapping and checking all of it be felt by a request that waits? */

static ngx_uint_t
ngx_http_gray_is_large(ngx_http_gray_worker_t *w)
{
    off_t        size;
    u_char       path[NGX_MAX_PATH];
    ngx_uint_t   i;
    struct stat  st;

    static const char  *files[] = { "policy.snap", "fleet.snap" };

    /* one that waits has no short name */

    size = ngx_http_gray_next_size(w);

    for (i = 0; i < 2; i++) {
        (void) ngx_snprintf(path, NGX_MAX_PATH, "%V/%s%Z", &w->path,
                            files[i]);

        if (stat((char *) path, &st) == 0) {
            size += st.st_size;
        }
    }

    size += ngx_http_gray_size(w, "lists", NGX_HTTP_GRAY_LARGE);

    /* mark tables are not checked, but all their pages are mapped */

    return size > NGX_HTTP_GRAY_LARGE
           || ngx_http_gray_size(w, "marks", NGX_HTTP_GRAY_LARGE_MARKS)
              > NGX_HTTP_GRAY_LARGE_MARKS;
}


static off_t
ngx_http_gray_next_size(ngx_http_gray_worker_t *w)
{
    u_char       path[NGX_MAX_PATH];
    uint64_t     next;
    struct stat  st;

    next = gray_runtime_next(w->runtime);

    if (next == 0) {
        return 0;
    }

    (void) ngx_snprintf(path, NGX_MAX_PATH, "%V/policy.%uL.snap%Z", &w->path,
                        next);

    return stat((char *) path, &st) == 0 ? st.st_size : 0;
}


/* Bytes of all files of a folder, or some more than `enough`. */

static off_t
ngx_http_gray_size(ngx_http_gray_worker_t *w, const char *folder,
    off_t enough)
{
    DIR            *dir;
    off_t           size;
    u_char          path[NGX_MAX_PATH];
    struct stat     st;
    struct dirent  *entry;

    (void) ngx_snprintf(path, NGX_MAX_PATH, "%V/%s%Z", &w->path, folder);

    size = 0;
    dir = opendir((char *) path);

    while (dir && size <= enough && (entry = readdir(dir)) != NULL) {

        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
            && S_ISREG(st.st_mode))
        {
            size += st.st_size;
        }
    }

    if (dir) {
        (void) closedir(dir);
    }

    return size;
}


static ngx_int_t
ngx_http_gray_start_thread(ngx_http_gray_worker_t *w)
{
    int       err;
    sigset_t  all, before;

    w->loaded = 0;

    /* signals are the worker's, not the thread's */

    sigfillset(&all);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);

    (void) pthread_sigmask(SIG_BLOCK, &all, &before);
    err = pthread_create(&w->thread, NULL, ngx_http_gray_thread, w);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (err) {
        ngx_log_error(NGX_LOG_ERR, w->log, err,
                      "gray: pthread_create() failed, loading at once");
        return NGX_ERROR;
    }

    w->loading = 1;

    return NGX_OK;
}


/* Nothing here may touch nginx; the end is told by the reader's own FIFO. */

static void *
ngx_http_gray_thread(void *data)
{
    ngx_http_gray_worker_t  *w = data;

    int      fd;
    ssize_t  n;

    (void) gray_runtime_load(w->runtime, &w->set, &w->problem);

    __atomic_store_n(&w->loaded, 1, __ATOMIC_RELEASE);

    fd = gray_runtime_wake_fd(w->runtime);

    if (fd != -1) {

        /* a full FIFO rings as well; without one, the poll looks */

        n = write(fd, "l", 1);
        (void) n;
    }

    return NULL;
}


static void
ngx_http_gray_join(ngx_http_gray_worker_t *w)
{
    (void) pthread_join(w->thread, NULL);

    w->loading = 0;
}


void
ngx_http_gray_stop_loading(ngx_http_gray_worker_t *w)
{
    if (w->loading) {
        ngx_http_gray_join(w);
        gray_runtime_set_free(w->set);
        w->set = NULL;
    }
}


static void
ngx_http_gray_take(ngx_http_gray_worker_t *w)
{
    if (w->problem.code) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "gray: the newest policy is refused, the last good one "
                      "stays: %s (%s)", w->problem.sentence, w->problem.code);
    }

    if (w->set == NULL) {
        return;
    }

    gray_runtime_swap(w->runtime, w->set);
    w->set = NULL;

    ngx_http_gray_swapped(w);

    /* its instant may have come while it was loaded */

    ngx_http_gray_look_at_clock(w);
    ngx_http_gray_set_instant(w);
}


void
ngx_http_gray_swapped(ngx_http_gray_worker_t *w)
{
    /* keys may have changed with it */

    ngx_http_gray_forget(w);

    w->epoch++;

    ngx_http_gray_say_keys(w);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, w->log, 0,
                   "gray: policy swapped, epoch %uL", w->epoch);
}


/* Said when it begins: nobody is kept then, and nothing else shows it. */

void
ngx_http_gray_say_keys(ngx_http_gray_worker_t *w)
{
    ngx_uint_t  keyless;

    keyless = gray_runtime_keyless(w->runtime);

    if (keyless && !w->keyless) {
        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "gray: this worker cannot read the signing keys in "
                      "\"%V\": no cookie is set or believed; \"gray doctor\" "
                      "says what helps", &w->path);
    }

    w->keyless = keyless;
}
