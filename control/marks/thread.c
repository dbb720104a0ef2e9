/* SPDX-License-Identifier: Apache-2.0
 * thread.c - the marks thread: its rounds, its sleep, and what others ask.
 *
 * Why: one thread takes, commits and moves, so no two moves of a durable mark
 * ever meet.  While it syncs, rings fill; so the slower the disk, the more
 * marks share a sync.  It sleeps only after it has said so and looked once
 * more (an eventcount), and never for longer than its beat allows.
 *   OK      takes, renews the host's admission lease
 *   FULL    keeps its batch and tries again; takes nothing, no lease
 *   FAILED  until grayd is started again: nobody knows what is on the disk
 * Read next: drain.c, settle.c, marks.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "control/marks/redis.h"

#define RETRY_MOST_MS 5000
#define PROBE_BYTES (1u << 20)

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t marks_monotonic_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

/* ---- how the writer is ---------------------------------------------------------- */

void marks_beat(struct marks *marks)
{
    int64_t now = clock_ns(CLOCK_BOOTTIME);

    if (marks->drained == NULL) {
        return;
    }
    __atomic_store_n(&marks->drained->beat, (uint64_t)now, __ATOMIC_RELEASE);
    if (atomic_load(&marks->writer) == GRAY_WRITER_OK) {
        lease_write(marks, now);
    }
}

void marks_trouble(struct marks *marks, enum gray_writer_state state,
                   const struct gray_problem *problem)
{
    uint32_t before = atomic_exchange(&marks->writer, (uint32_t)state);

    if (marks->drained != NULL) {
        __atomic_store_n(&marks->drained->state, (uint32_t)state,
                         __ATOMIC_RELEASE);
    }
    pthread_mutex_lock(&marks->lock);
    snprintf(marks->trouble, sizeof(marks->trouble), "%.199s",
             problem != NULL ? problem->sentence : "");
    pthread_mutex_unlock(&marks->lock);
    if (state == GRAY_WRITER_FULL) {
        marks->retry_ms = before == GRAY_WRITER_FULL && marks->retry_ms > 0
                              ? marks->retry_ms * 2
                              : MARKS_RETRY_MS;
        if (marks->retry_ms > RETRY_MOST_MS) {
            marks->retry_ms = RETRY_MOST_MS;
        }
        marks->retry_at = marks_monotonic_ms() + marks->retry_ms;
    }
    if (before == (uint32_t)state) {
        return;
    }
    if (state == GRAY_WRITER_OK) {
        grayd_log(LOG_LEVEL_INFO, "marks-written-again",
                  "the journal of marks takes marks again");
        return;
    }
    grayd_log(LOG_LEVEL_ERROR,
              problem != NULL ? problem->code : "marks-failed",
              "%s Strict scopes admit nobody new until %s.",
              problem != NULL ? problem->sentence : "",
              state == GRAY_WRITER_FULL ? "there is room"
                                        : "grayd is started again");
}

static enum gray_writer_state trouble_of(int error)
{
    return error == -ENOSPC ? GRAY_WRITER_FULL : GRAY_WRITER_FAILED;
}

/* ---- rounds ------------------------------------------------------------------------ */

static void note_oldest(struct marks *marks)
{
    const struct batch *batch = marks->batch;
    int64_t oldest = 0;

    for (size_t i = 0; i < batch->count; i++) {
        int64_t at = batch->records[i].head.at;

        if (oldest == 0 || at < oldest) {
            oldest = at;
        }
    }
    atomic_store(&marks->oldest, oldest);
}

/* 0; 1: there is something to be committed. */
static int fill(struct marks *marks)
{
    struct batch *batch = marks->batch;
    bool moved, worked;

    if (batch->whole) {
        return 1;
    }
    settle_voids(marks);
    settle_limbo(marks);
    worked = work_fill(marks);
    moved = readers_drain(marks);
    note_oldest(marks);
    return worked || moved || batch->count > 0 || batch->waits ? 1 : 0;
}

int marks_round(struct marks *marks)
{
    struct gray_problem problem = {NULL, "", 0};
    uint32_t state = atomic_load(&marks->writer);
    int error;

    marks_beat(marks);
    if (state == GRAY_WRITER_FAILED || marks->drained == NULL) {
        return -EIO;
    }
    if (state == GRAY_WRITER_FULL && marks_monotonic_ms() < marks->retry_at) {
        return -ENOSPC;
    }
    readers_refresh(marks, false);
    if (state == GRAY_WRITER_FULL && !marks->batch->whole) {
        error = journal_reserve(&marks->journal, PROBE_BYTES, &problem);
        if (error != 0) {
            marks_trouble(marks, trouble_of(error), &problem);
            return error;
        }
        marks_trouble(marks, GRAY_WRITER_OK, NULL);
    }
    if (fill(marks) == 0) {
        return 0;
    }
    error = settle_commit(marks, &problem);
    if (error != 0) {
        marks_trouble(marks, trouble_of(error), &problem);
        return error;
    }
    atomic_store(&marks->oldest, 0);
    if (state == GRAY_WRITER_FULL) {
        marks_trouble(marks, GRAY_WRITER_OK, NULL);
    }
    marks_beat(marks);
    return 1;
}

int marks_drain_all(struct marks *marks, struct gray_problem *ret_problem)
{
    uint64_t *heads = malloc(MARKS_READERS_MAX * sizeof(*heads));
    bool behind = true;
    int result = 0;

    if (heads == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    if (marks->drained != NULL) {
        readers_refresh(marks, true);
        readers_waiting(marks);
    }
    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        heads[i] = marks->readers[i] != NULL ? marks->readers[i]->head : 0;
    }
    settle_limbo_now(marks);
    while (behind && (result = marks_round(marks)) >= 0) {
        behind = marks->batch->count > 0 || marks->void_count > 0 ||
                 settle_limbo_left(marks);
        for (uint32_t i = 0; i < MARKS_READERS_MAX && !behind; i++) {
            const struct reader *reader = marks->readers[i];

            behind = reader != NULL && reader->committed < heads[i];
        }
    }
    free(heads);
    if (result < 0) {
        return runtime_problem_set(
            ret_problem, -result,
            result == -ENOSPC ? "marks-full" : "marks-failed",
            "The journal of marks cannot be written: %.150s", marks->trouble);
    }
    return 0;
}

/* ---- requests ------------------------------------------------------------------------ */

int marks_ask(struct marks *marks, request_run *run, uint64_t number,
              const void *context, int wait_ms,
              struct gray_problem *ret_problem)
{
    struct request *request = calloc(1, sizeof(*request));
    struct timespec until;
    uint64_t one = 1;
    int result = 0;

    if (request == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    request->run = run;
    request->number = number;
    request->context = context;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&marks->lock);
    *marks->requests_end = request;
    marks->requests_end = &request->next;
    if (write(marks->event_fd, &one, sizeof(one)) < 0) {
        one = 0; /* it looks before it sleeps, and seldom sleeps long */
    }
    while (!request->done && result == 0) {
        result = wait_ms < 0 ? pthread_cond_wait(&marks->answered, &marks->lock)
                             : pthread_cond_timedwait(&marks->answered,
                                                      &marks->lock, &until);
    }
    if (request->done) {
        result = request->result;
        if (result < 0 && ret_problem != NULL) {
            *ret_problem = request->problem;
        }
        free(request);
    } else {
        request->left = true;
        result = runtime_problem_set(ret_problem, ETIME, "marks-slow",
                                     "The marks thread did not answer within "
                                     "%d ms.", wait_ms);
    }
    pthread_mutex_unlock(&marks->lock);
    return result;
}

static void answer_all(struct marks *marks)
{
    pthread_mutex_lock(&marks->lock);
    while (marks->requests != NULL) {
        struct request *request = marks->requests;
        bool left = request->left;

        marks->requests = request->next;
        if (marks->requests == NULL) {
            marks->requests_end = &marks->requests;
        }
        pthread_mutex_unlock(&marks->lock);
        request->result = left ? 0
                               : request->run(marks, request->number,
                                              request->context,
                                              &request->problem);
        pthread_mutex_lock(&marks->lock);
        request->done = true;
        if (request->left) {
            free(request);
        } else {
            pthread_cond_broadcast(&marks->answered);
        }
    }
    pthread_mutex_unlock(&marks->lock);
}

/* ---- the thread ------------------------------------------------------------------------- */

static int sleep_ms(const struct marks *marks)
{
    int64_t now = marks_monotonic_ms();

    if (marks->limbo_count > 0 &&
        now - marks->limbo[marks->limbo_count - 1]->since < MARKS_REFRESH_MS) {
        return 1;
    }
    return marks->rebuild != NULL || marks->growing ? MARKS_BUSY_MS
                                                    : MARKS_POLL_MS;
}

static void rest(struct marks *marks)
{
    struct pollfd fds[] = {
        {.fd = marks->event_fd, .events = POLLIN},
        {.fd = marks->wake_fd, .events = POLLIN},
    };
    bool ok = atomic_load(&marks->writer) == GRAY_WRITER_OK &&
              marks->drained != NULL;
    char bytes[256];
    int got;

    if (ok) {
        __atomic_store_n(&marks->drained->sleeping, 1, __ATOMIC_SEQ_CST);
    }
    if (!ok || !readers_waiting(marks)) {
        got = poll(fds, 2, sleep_ms(marks));
        if (got > 0 && (fds[1].revents & POLLIN) != 0) {
            readers_refresh(marks, false);
        }
    }
    if (ok) {
        __atomic_store_n(&marks->drained->sleeping, 0, __ATOMIC_SEQ_CST);
    }
    while (read(marks->event_fd, bytes, 8) > 0) {
    }
    while (marks->wake_fd >= 0 &&
           read(marks->wake_fd, bytes, sizeof(bytes)) > 0) {
    }
}

static void *marks_main(void *context)
{
    struct marks *marks = context;
    bool ending = false;

    while (!ending) {
        bool busy;

        answer_all(marks);
        scopes_again(marks);
        rebuild_step(marks);
        ahead_step(marks);
        sweep_step(marks);
        busy = grow_step(marks);
        busy = redis_step(marks) || busy;
        if (marks_round(marks) != 1 && !busy) {
            rest(marks);
        }
        pthread_mutex_lock(&marks->lock);
        ending = marks->ending;
        pthread_mutex_unlock(&marks->lock);
    }
    answer_all(marks);
    marks_drain_all(marks, NULL);
    return NULL;
}

int marks_thread_start(struct marks *marks)
{
    int error = pthread_create(&marks->thread, NULL, marks_main, marks);

    marks->running = error == 0;
    return -error;
}

void marks_thread_end(struct marks *marks)
{
    uint64_t one = 1;

    if (!marks->running) {
        return;
    }
    pthread_mutex_lock(&marks->lock);
    marks->ending = true;
    if (write(marks->event_fd, &one, sizeof(one)) < 0) {
        one = 0; /* it looks at least every MARKS_POLL_MS */
    }
    pthread_mutex_unlock(&marks->lock);
    pthread_join(marks->thread, NULL);
    marks->running = false;
}
