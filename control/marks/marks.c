/* SPDX-License-Identifier: Apache-2.0
 * marks.c - open and close, and what the control thread asks of marks.
 *
 * Why: a start is a recovery, in an order that counts: the journal says what
 * is durable, the folder what people were told.  First the slots of the last
 * transaction are moved, as the dead writer should have; then what it left in
 * rings is taken; then the thread goes on as if nothing had been.
 * Read next: marks.h, thread.c, scopes.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "control/marks/redis.h"

#define TEXT_ROOM (4u << 20) /* of a batch */

static void marks_free(struct marks *marks)
{
    if (marks == NULL) {
        return;
    }
    rebuild_end(marks);
    readers_close(marks);
    work_free(marks);
    redis_free(marks->redis);
    scopes_free(marks);
    marks_folder_close(marks);
    journal_close(&marks->journal);
    for (size_t i = 0; i < marks->limbo_count; i++) {
        free(marks->limbo[i]);
    }
    while (marks->requests != NULL) {
        struct request *request = marks->requests;

        marks->requests = request->next;
        free(request);
    }
    runtime_fd_close(&marks->event_fd);
    if (marks->batch != NULL) {
        free(marks->batch->texts);
    }
    free(marks->batch);
    free(marks->limbo);
    free(marks->bytes);
    free(marks->wanted);
    free(marks->rings);
    free(marks->state);
    free(marks->runtime);
    pthread_mutex_destroy(&marks->lock);
    pthread_cond_destroy(&marks->answered);
    pthread_rwlock_destroy(&marks->maps);
    free(marks);
}

static struct marks *marks_new(const struct marks_options *options)
{
    struct marks *marks = calloc(1, sizeof(*marks));
    pthread_condattr_t clock;

    if (marks == NULL) {
        return NULL;
    }
    marks->journal.lock_fd = marks->folder.dirfd = marks->marks_fd = -1;
    marks->readers_fd = marks->wake_fd = -1;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&marks->lock, NULL);
    pthread_cond_init(&marks->answered, &clock);
    pthread_rwlock_init(&marks->maps, NULL);
    pthread_condattr_destroy(&clock);
    marks->requests_end = &marks->requests;
    atomic_store(&marks->writer, GRAY_WRITER_OK);
    marks->group = options->group;
    marks->map_size = options->map_size;
    marks->now_ms = options->now_ms;
    marks->refreshed = -MARKS_REFRESH_MS;
    marks->state = strdup(options->state);
    marks->runtime = strdup(options->runtime);
    marks->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    marks->batch = calloc(1, sizeof(*marks->batch));
    marks->limbo = calloc(MARKS_LIMBO_MAX, sizeof(*marks->limbo));
    marks->bytes = malloc(GRAY_RING_SIZE);
    marks->rings = calloc(MARKS_READERS_MAX, sizeof(*marks->rings));
    if (marks->batch != NULL) {
        marks->batch->texts = malloc(TEXT_ROOM);
        marks->batch->text_room = TEXT_ROOM;
    }
    if (marks->state == NULL || marks->runtime == NULL ||
        marks->event_fd < 0 || marks->batch == NULL ||
        marks->batch->texts == NULL || marks->limbo == NULL ||
        marks->bytes == NULL || marks->rings == NULL) {
        marks_free(marks);
        return NULL;
    }
    return marks;
}

/* What a dead writer left in this folder. */
static void recover(struct marks *marks)
{
    struct gray_problem problem = {NULL, "", 0};

    if (scopes_attach(marks, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
    }
    if (atomic_load(&marks->writer) == GRAY_WRITER_OK) {
        scopes_redo(marks);
        marks_drain_all(marks, NULL);
    }
}

int marks_open(struct marks **ret_marks, const struct marks_options *options,
               struct gray_problem *ret_problem)
{
    struct gray_problem problem = {NULL, "", 0};
    struct marks *marks = marks_new(options);
    int error;

    if (marks == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    if (options->redis != NULL) {
        error = redis_new(&marks->redis, options->redis, ret_problem);
        if (error != 0) {
            marks_free(marks);
            return error;
        }
    }
    marks->lost = options->begun && !journal_exists(options->state);
    error = rebuild_check(marks, &problem);
    error = error != 0 ? error
                       : journal_open(&marks->journal, options->state,
                                      options->map_size, &problem);
    if (error == 0 || error == -EROFS) {
        int loaded = scopes_load(marks, error == 0 ? &problem : NULL);

        error = error != 0 ? error : loaded;
    }
    if (error == -EBUSY || error == -ENOMEM) {
        *ret_problem = problem;
        marks_free(marks);
        return error;
    }
    if (error != 0) {
        marks_trouble(marks, GRAY_WRITER_FAILED, &problem);
    }
    atomic_store(&marks->sequence, marks->journal.last);
    error = marks_folder_open(marks, ret_problem);
    if (error == 0) {
        lease_begin(marks, options->leased);
        ahead_begin(marks);
        recover(marks);
        error = marks_thread_start(marks);
    }
    if (error != 0) {
        marks_free(marks);
        return error;
    }
    *ret_marks = marks;
    return 0;
}

void marks_close(struct marks *marks)
{
    if (marks != NULL) {
        marks_thread_end(marks);
        marks_free(marks);
    }
}

/* ---- prepare -------------------------------------------------------------------- */

struct prepare {
    const struct marks_scope *scopes;
    size_t count;
    uint64_t revision;
};

/* Somebody removed the folder: all that is mapped is nobody's any more. */
static int follow(struct marks *marks, struct gray_problem *ret_problem)
{
    int error;

    if (!marks_folder_moved(marks)) {
        return 0;
    }
    marks_drain_all(marks, NULL);
    rebuild_end(marks);
    readers_close(marks);
    scopes_unmap(marks);
    marks_folder_close(marks);
    marks->refreshed = -MARKS_REFRESH_MS;
    error = marks_folder_open(marks, ret_problem);
    marks->behind = false;
    return error != 0 ? error : scopes_attach(marks, ret_problem);
}

static int run_prepare(struct marks *marks, uint64_t number,
                       const void *context, struct gray_problem *ret_problem)
{
    const struct prepare *prepare = context;
    struct marks_scope *wanted =
        calloc(prepare->count + 1, sizeof(*wanted));
    int error = follow(marks, ret_problem);

    (void)number;
    if (error == 0 && wanted == NULL) {
        error = runtime_problem_set(ret_problem, ENOMEM, "memory",
                                    "Out of memory.");
    }
    if (error != 0) {
        free(wanted);
        return error;
    }
    if (prepare->count > 0) {
        memcpy(wanted, prepare->scopes, prepare->count * sizeof(*wanted));
    }
    free(marks->wanted);
    marks->wanted = wanted;
    marks->wanted_count = prepare->count;
    error = scopes_prepare(marks, wanted, prepare->count, prepare->revision,
                           ret_problem);
    marks->unprepared = error != 0;
    marks->prepare_at = marks_monotonic_ms() + MARKS_PREPARE_MS;
    return error;
}

int marks_prepare(struct marks *marks, const struct marks_scope *scopes,
                  size_t count, uint64_t revision,
                  struct gray_problem *ret_problem)
{
    struct prepare prepare = {scopes, count, revision};

    return marks_ask(marks, run_prepare, 0, &prepare, -1, ret_problem);
}

/* ---- freeze and thaw --------------------------------------------------------------- */

static int unknown_scope(struct gray_problem *ret_problem)
{
    return runtime_problem_set(ret_problem, ENOENT, "no-marks",
                               "The release keeps no marks here.");
}

static int run_close(struct marks *marks, uint64_t number,
                     const void *context, struct gray_problem *ret_problem)
{
    struct scope *scope = scope_find(marks, number);
    int error;

    (void)context;
    if (scope == NULL) {
        return unknown_scope(ret_problem);
    }
    if ((scope->kept.state & JOURNAL_SCOPE_CLOSED) != 0) {
        return 0;
    }
    error = marks_drain_all(marks, ret_problem);
    if (error != 0) {
        return error;
    }
    failpoint("marks-drained");
    scope->kept.state |= JOURNAL_SCOPE_CLOSED;
    error = scopes_keep(marks, &scope, 1, ret_problem);
    if (error != 0) {
        scope->kept.state &= ~JOURNAL_SCOPE_CLOSED;
    }
    failpoint("marks-closed");
    return error;
}

int marks_close_scope(struct marks *marks, uint64_t scope, int wait_ms,
                      struct gray_problem *ret_problem)
{
    return marks_ask(marks, run_close, scope, NULL, wait_ms, ret_problem);
}

struct voiding {
    struct marks *marks;
    struct scope *scope;
    uint64_t seen;
};

static int void_late(void *context, struct gray_mark_key key, uint64_t value)
{
    struct voiding *voiding = context;
    enum gray_slot_state state = gray_slot_state(value);
    uint64_t found;

    if (voiding->seen++ % MARKS_BEAT_EVERY == 0) {
        marks_beat(voiding->marks);
    }
    if ((value & GRAY_SLOT_DURABLE) == 0 &&
        (state == GRAY_SLOT_IN || state == GRAY_SLOT_PENDING) &&
        gray_mark_move(&voiding->scope->marks, key, value,
                       slot_with(value, GRAY_SLOT_VOID, false),
                       GRAY_BY_WRITER, &found) == 0) {
        atomic_fetch_add(&voiding->scope->counts.late, 1);
    }
    return 0;
}

static int run_open(struct marks *marks, uint64_t number, const void *context,
                    struct gray_problem *ret_problem)
{
    struct voiding voiding = {marks, scope_find(marks, number), 0};
    int error;

    (void)context;
    if (voiding.scope == NULL) {
        return unknown_scope(ret_problem);
    }
    if ((voiding.scope->kept.state & JOURNAL_SCOPE_CLOSED) == 0) {
        return 0;
    }
    error = marks_drain_all(marks, ret_problem);
    if (error != 0) {
        return error;
    }
    if (voiding.scope->marks.table.file != NULL) {
        gray_marks_each(&voiding.scope->marks, void_late, &voiding);
    }
    voiding.scope->kept.state &= ~JOURNAL_SCOPE_CLOSED;
    error = scopes_keep(marks, &voiding.scope, 1, ret_problem);
    if (error != 0) {
        voiding.scope->kept.state |= JOURNAL_SCOPE_CLOSED;
    }
    return error;
}

int marks_open_scope(struct marks *marks, uint64_t scope, int wait_ms,
                     struct gray_problem *ret_problem)
{
    return marks_ask(marks, run_open, scope, NULL, wait_ms, ret_problem);
}

enum gray_writer_state marks_writer(const struct marks *marks)
{
    return (enum gray_writer_state)atomic_load(&marks->writer);
}
