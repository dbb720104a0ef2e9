/* SPDX-License-Identifier: Apache-2.0
 * client_pool.c - threads that run candidates, and never keep anybody waiting.
 *
 * Why: the candidate is code that nobody trusts yet.  It may be slow for ever,
 * so it has threads of its own, a bounded number of them, and the caller meets
 * them only through atomics and a semaphore: no lock that a stranger could be
 * preempted with.  A thread that does not come back costs its place until it
 * does; its job is counted as late by whoever notices first.
 * Read next: client_pool.h (a job's states), client_experiment.c.
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/client_pool.h"

#define POOL_THREADS 4u
#define POOL_JOBS 64u
#define POOL_NAMES 64u

enum { JOB_FREE, JOB_HELD, JOB_READY, JOB_TAKEN };
#define JOB_CONTROL 1u   /* it has ended */
#define JOB_CANDIDATE 2u /* likewise */
#define JOB_JUDGED 4u    /* it is counted, by whoever set this */
#define JOB_LEFT 8u      /* that was not its thread, which is still out */
#define JOB_USE 16u      /* one more use of the place */

struct client_pool {
    sem_t work;
    uint32_t refs;   /* the handle, and each thread; atomic */
    uint32_t ending; /* the handle is closed; atomic */
    uint32_t names;  /* atomic, of the tallies that are whole */
    pthread_mutex_t naming;
    struct gray_client *client; /* gone when `ending` */
    struct pool_tally tallies[POOL_NAMES];
    struct pool_job jobs[POOL_JOBS];
    struct pool_thread {
        struct client_pool *pool;
        pthread_t id;
        bool started;
        uint32_t ended;       /* atomic */
        struct pool_job *job; /* that it is at; atomic */
    } threads[POOL_THREADS];
};

static void add(uint64_t *counter, uint64_t number)
{
    __atomic_fetch_add(counter, number, __ATOMIC_RELEASE);
}

static void count_event(struct gray_client *client, enum gray_event event)
{
    struct client_hold hold = runtime_client_enter(client);

    gray_counters_event(hold.runtime, event);
    runtime_client_leave(hold);
}

/* ---- a job's end -----------------------------------------------------------
 */

static uint64_t flags_of(const struct pool_job *job)
{
    return __atomic_load_n(&job->flags, __ATOMIC_ACQUIRE);
}

/* True: it is ours to count. `seen`: as it was when that was decided. */
static bool claim(struct pool_job *job, uint64_t seen, uint64_t bits)
{
    while ((seen & JOB_JUDGED) == 0) {
        uint64_t use = seen / JOB_USE;

        if (__atomic_compare_exchange_n(&job->flags, &seen, seen | bits, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return true;
        }
        if (seen / JOB_USE != use) {
            return false; /* another job by now */
        }
    }
    return false;
}

static void count_late(struct gray_client *client, struct pool_tally *tally)
{
    add(&tally->late, 1);
    count_event(client, GRAY_EVENT_EXPERIMENT_LATE);
}

static void job_free(struct pool_job *job)
{
    if (job->asked.drop != NULL) {
        job->asked.drop(job->input);
    }
    __atomic_store_n(&job->state, JOB_FREE, __ATOMIC_RELEASE);
}

static bool job_differs(const struct pool_job *job)
{
    const struct gray_client_trial *asked = &job->asked;

    if (job->said[0] != job->said[1]) {
        return true;
    }
    if (job->said[0] != 0) {
        return false; /* the same error; no results to look at */
    }
    return asked->differ != NULL
               ? asked->differ(job->input, job->results[0], job->results[1]) !=
                     0
               : memcmp(job->results[0], job->results[1], asked->result_size) !=
                     0;
}

/* Both sides have ended. */
static void judge(struct client_pool *pool, struct pool_job *job)
{
    struct pool_tally *tally = job->tally;
    bool differs =
        !job->over && (flags_of(job) & JOB_JUDGED) == 0 && job_differs(job);

    if (claim(job, flags_of(job), JOB_JUDGED)) {
        if (job->over) {
            count_late(pool->client, tally);
        } else {
            add(differs ? &tally->different : &tally->same, 1);
            add(&tally->failed, job->said[0] == 0 && job->said[1] != 0);
            add(&tally->control_ns, job->spent_ns[0]);
            add(&tally->candidate_ns, job->spent_ns[1]);
            count_event(pool->client, differs ? GRAY_EVENT_EXPERIMENT_DIFFERENT
                                              : GRAY_EVENT_EXPERIMENT_SAME);
        }
    }
    job_free(job);
}

/* ---- the threads ----------------------------------------------------------
 */

static void run_candidate(struct pool_job *job)
{
    int64_t start = runtime_clock_ns(CLOCK_MONOTONIC), end = start;

    if (start < job->until_ns) { /* else it waited for a thread too long */
        job->said[1] = job->asked.candidate(job->input, job->results[1]);
        end = runtime_clock_ns(CLOCK_MONOTONIC);
    }
    job->spent_ns[1] = (uint64_t)(end - start);
    job->over = end >= job->until_ns;
}

static void work(struct client_pool *pool, struct pool_job *job)
{
    uint64_t before = flags_of(job);

    if ((before & JOB_CANDIDATE) == 0) {
        run_candidate(job);
        before =
            __atomic_fetch_or(&job->flags, JOB_CANDIDATE, __ATOMIC_ACQ_REL);
    }
    if ((before & JOB_CONTROL) != 0) {
        judge(pool, job);
    } /* else the caller hands it in again */
}

/* The next one that is ready; from `turn` on, so that none waits for ever. */
static struct pool_job *take_ready(struct client_pool *pool, uint32_t turn)
{
    uint32_t i;

    for (i = 0; i < POOL_JOBS; i++) {
        struct pool_job *job = &pool->jobs[(turn + i) % POOL_JOBS];
        uint32_t ready = JOB_READY;

        if (__atomic_load_n(&job->state, __ATOMIC_RELAXED) == JOB_READY &&
            __atomic_compare_exchange_n(&job->state, &ready, JOB_TAKEN, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return job;
        }
    }
    return NULL;
}

static void pool_unref(struct client_pool *pool)
{
    uint32_t i;

    if (__atomic_sub_fetch(&pool->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    for (i = 0; i < POOL_JOBS; i++) {
        free(pool->jobs[i].input);
        free(pool->jobs[i].results[0]);
        free(pool->jobs[i].results[1]);
    }
    pthread_mutex_destroy(&pool->naming);
    sem_destroy(&pool->work);
    free(pool);
}

static void *thread_run(void *context)
{
    struct pool_thread *thread = context;
    struct client_pool *pool = thread->pool;
    uint32_t turn = 0;

    for (;;) {
        struct pool_job *job;

        while (sem_wait(&pool->work) != 0 && errno == EINTR) {
        }
        if (__atomic_load_n(&pool->ending, __ATOMIC_ACQUIRE)) {
            break;
        }
        job = take_ready(pool, turn++);
        if (job != NULL) {
            __atomic_store_n(&thread->job, job, __ATOMIC_RELEASE);
            work(pool, job);
            __atomic_store_n(&thread->job, NULL, __ATOMIC_RELEASE);
        }
    }
    __atomic_store_n(&thread->ended, 1, __ATOMIC_RELEASE);
    pool_unref(pool);
    return NULL;
}

static void start_threads(struct client_pool *pool)
{
    sigset_t all, before;
    uint32_t i;

    /* The program's signals are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (i = 0; i < POOL_THREADS; i++) {
        struct pool_thread *thread = &pool->threads[i];

        thread->pool = pool;
        __atomic_fetch_add(&pool->refs, 1, __ATOMIC_RELAXED);
        if (pthread_create(&thread->id, NULL, thread_run, thread) == 0) {
            thread->started = true;
        } else {
            pool_unref(pool);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The handle's pool, made where there is none; NULL: out of memory. */
static struct client_pool *pool_of(struct gray_client *client)
{
    struct client_pool *pool = __atomic_load_n(&client->pool, __ATOMIC_ACQUIRE);
    struct client_pool *none = NULL;

    if (pool != NULL) {
        return pool;
    }
    pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return NULL;
    }
    pool->refs = 1;
    pool->client = client;
    sem_init(&pool->work, 0, 0);
    pthread_mutex_init(&pool->naming, NULL);
    if (!__atomic_compare_exchange_n(&client->pool, &none, pool, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        pool_unref(pool); /* another thread was first */
        return none;
    }
    start_threads(pool);
    return pool;
}

/* ---- the caller's side ------------------------------------------------------
 */

static struct pool_tally *tally_find(struct client_pool *pool, const char *name)
{
    uint32_t i, count = __atomic_load_n(&pool->names, __ATOMIC_ACQUIRE);

    for (i = 0; i < count; i++) {
        if (strcmp(pool->tallies[i].name, name) == 0) {
            return &pool->tallies[i];
        }
    }
    return NULL;
}

struct pool_tally *runtime_pool_tally(struct gray_client *client,
                                      const char *name, bool make)
{
    struct client_pool *pool =
        make ? pool_of(client)
             : __atomic_load_n(&client->pool, __ATOMIC_ACQUIRE);
    struct pool_tally *tally = pool != NULL ? tally_find(pool, name) : NULL;

    if (tally != NULL || pool == NULL || !make) {
        return tally;
    }
    pthread_mutex_lock(&pool->naming);
    tally = tally_find(pool, name);
    if (tally == NULL && pool->names < POOL_NAMES) {
        tally = &pool->tallies[pool->names];
        strncpy(tally->name, name, sizeof(tally->name) - 1);
        __atomic_store_n(&pool->names, pool->names + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&pool->naming);
    return tally;
}

static bool room(unsigned char **bytes, size_t size)
{
    void *grown = realloc(*bytes, size > 0 ? size : 1);

    *bytes = grown != NULL ? grown : *bytes;
    return grown != NULL;
}

/* Places keep their memory: in the end nothing is allocated here. */
static bool job_fits(struct pool_job *job,
                     const struct gray_client_trial *asked)
{
    if (job->input == NULL || job->input_room < asked->input_size) {
        if (!room(&job->input, asked->input_size)) {
            return false;
        }
        job->input_room = asked->input_size;
    }
    if (job->results[1] == NULL || job->result_room < asked->result_size) {
        if (!room(&job->results[0], asked->result_size) ||
            !room(&job->results[1], asked->result_size)) {
            return false;
        }
        job->result_room = asked->result_size;
    }
    return true;
}

static void job_fill(struct pool_job *job, struct pool_tally *tally,
                     const struct gray_client_trial *asked)
{
    uint32_t deadline = asked->deadline_ms != 0 ? asked->deadline_ms : 1000;
    uint64_t use = __atomic_load_n(&job->flags, __ATOMIC_RELAXED) / JOB_USE + 1;

    __atomic_store_n(&job->flags, use * JOB_USE, __ATOMIC_RELEASE);
    __atomic_store_n(&job->tally, tally, __ATOMIC_RELAXED);
    __atomic_store_n(&job->until_ns,
                     runtime_clock_ns(CLOCK_MONOTONIC) +
                         (int64_t)deadline * 1000000,
                     __ATOMIC_RELAXED);
    job->asked = *asked;
    job->asked.name = job->asked.unit = NULL; /* the caller's */
    memset(job->said, 0, sizeof(job->said));
    if (asked->input_size > 0) {
        memcpy(job->input, asked->input, asked->input_size);
    }
    memset(job->results[1], 0, asked->result_size);
    if (asked->keep != NULL) {
        asked->keep(job->input);
    }
}

struct pool_job *runtime_pool_hold(struct gray_client *client,
                                   const struct gray_client_trial *experiment)
{
    struct pool_tally *tally =
        runtime_pool_tally(client, experiment->name, true);
    struct client_pool *pool = __atomic_load_n(&client->pool, __ATOMIC_ACQUIRE);
    uint32_t i;

    for (i = 0; tally != NULL && i < POOL_JOBS; i++) {
        struct pool_job *job = &pool->jobs[i];
        uint32_t vacant = JOB_FREE;

        if (__atomic_load_n(&job->state, __ATOMIC_RELAXED) != JOB_FREE ||
            !__atomic_compare_exchange_n(&job->state, &vacant, JOB_HELD, false,
                                         __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            continue;
        }
        if (job_fits(job, experiment)) {
            job_fill(job, tally, experiment);
            add(&tally->runs, 1);
            return job;
        }
        __atomic_store_n(&job->state, JOB_FREE, __ATOMIC_RELEASE);
        break;
    }
    runtime_pool_look(client);
    if (tally != NULL) {
        add(&tally->left_out, 1);
    }
    count_event(client, GRAY_EVENT_EXPERIMENT_LEFT_OUT);
    return NULL;
}

void runtime_pool_hand_over(struct gray_client *client, struct pool_job *job)
{
    __atomic_store_n(&job->state, JOB_READY, __ATOMIC_RELEASE);
    sem_post(&__atomic_load_n(&client->pool, __ATOMIC_ACQUIRE)->work);
}

void runtime_pool_control(struct gray_client *client, struct pool_job *job,
                          int said, const void *result, uint64_t spent_ns)
{
    job->said[0] = said;
    job->spent_ns[0] = spent_ns;
    if (job->asked.result_size > 0) {
        memcpy(job->results[0], result, job->asked.result_size);
    }
    if ((__atomic_fetch_or(&job->flags, JOB_CONTROL, __ATOMIC_ACQ_REL) &
         JOB_CANDIDATE) != 0) {
        runtime_pool_hand_over(client, job);
    }
}

/* ---- who does not come back -------------------------------------------------
 */

/* True: it is out, and over its deadline. */
static bool job_is_late(struct pool_job *job, int64_t now_ns)
{
    return __atomic_load_n(&job->state, __ATOMIC_ACQUIRE) == JOB_TAKEN &&
           now_ns >= __atomic_load_n(&job->until_ns, __ATOMIC_RELAXED);
}

void runtime_pool_look(struct gray_client *client)
{
    struct client_pool *pool = __atomic_load_n(&client->pool, __ATOMIC_ACQUIRE);
    int64_t now = runtime_clock_ns(CLOCK_MONOTONIC);
    uint32_t i;

    for (i = 0; pool != NULL && i < POOL_JOBS; i++) {
        struct pool_job *job = &pool->jobs[i];
        uint64_t seen = flags_of(job);
        struct pool_tally *tally =
            __atomic_load_n(&job->tally, __ATOMIC_RELAXED);

        if ((seen & (JOB_CANDIDATE | JOB_JUDGED)) == 0 &&
            job_is_late(job, now) && claim(job, seen, JOB_JUDGED | JOB_LEFT)) {
            count_late(client, tally);
        }
    }
}

/* Waits until a thread has ended, or its job is over the deadline: that one
 * finds its own way, and touches the pool only. */
static void thread_end(struct client_pool *pool, struct pool_thread *thread)
{
    while (!__atomic_load_n(&thread->ended, __ATOMIC_ACQUIRE)) {
        struct pool_job *job = __atomic_load_n(&thread->job, __ATOMIC_ACQUIRE);

        runtime_pool_look(pool->client);
        if (job != NULL && (flags_of(job) & JOB_LEFT) != 0) {
            pthread_detach(thread->id);
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    pthread_join(thread->id, NULL);
}

void runtime_client_pool_end(struct gray_client *client)
{
    struct client_pool *pool = client->pool;
    struct pool_job *job;
    uint32_t i;

    if (pool == NULL) {
        return;
    }
    while ((job = take_ready(pool, 0)) != NULL) {
        job_free(job); /* nobody reads its counts any more */
    }
    __atomic_store_n(&pool->ending, 1, __ATOMIC_RELEASE);
    for (i = 0; i < POOL_THREADS; i++) {
        sem_post(&pool->work);
    }
    for (i = 0; i < POOL_THREADS; i++) {
        if (pool->threads[i].started) {
            thread_end(pool, &pool->threads[i]);
        }
    }
    client->pool = NULL;
    pool_unref(pool);
}
