/* SPDX-License-Identifier: Apache-2.0
 * admit.c - decide, make the marks, and decide again where need be.
 *
 * Why: between what a request should be told and what everybody will be told
 * lies the slot, and others are at it too.  So nothing that was decided is
 * answered before the slot says the same: whoever is slower decides again with
 * what stands there, and whoever finds what is not durable yet waits for it,
 * or makes it void before it tells anybody that there is nothing.
 *
 *   decide -> no mark is new -------------------------------> answer
 *          -> push the record -> take the slot -> word, lease still so? ->
 * answer |  |  \ not durable: wait, void, decide again |   \ somebody was
 * faster: decide again \ cannot be made: closed, decide again
 *
 * Read next: mark_ask.c (what the engine is told), ring.c, docs/marks.md.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "engine/release.h"
#include "engine/view.h"
#include "runtime/internal.h"

#define MARGIN_MS 500 /* between two clocks and two processes */
#define ROUNDS 24u    /* of deciding, far more than losing every race takes */

/* One question, of a whole request or of one release. */
struct job {
    uint32_t entrance, release;
    struct gray_input *in;
    struct gray_colour *colour;   /* NULL: one release */
    struct gray_verdict *verdict; /* of it */
    struct gray_trace *trace;
    struct gray_record own;
    const struct gray_record *records;
    uint32_t record_count;
};

/* ---- deciding -------------------------------------------------------------
 */

static uint8_t space_of(const struct gray_snapshot *policy,
                        const struct gray_verdict *verdict)
{
    const struct gray_release *release =
        gray_release_at(policy, verdict->release);
    const struct gray_stage *stage =
        release != NULL && verdict->stage < release->stages.count
            ? VIEW_AT(policy, stages, gray_stage,
                      release->stages.first + verdict->stage)
            : NULL;

    return stage != NULL ? stage->space : 0;
}

static void decide_once(struct gray_marked *marked, struct job *job)
{
    const struct gray_view *view = marked->view;
    uint32_t i;

    for (i = 0; i < marked->scope_count; i++) {
        marked->scopes[i].waits = marked->scopes[i].held = 0;
    }
    job->in->unproven = marked->evidence == NULL;
    if (job->trace != NULL) {
        job->trace->step_count = job->trace->verdict_count = 0;
        job->trace->truncated = false;
    }
    if (job->colour != NULL) {
        gray_decide(view, job->entrance, job->in, gray_marked_ask, marked,
                    job->colour, job->trace);
        job->records = job->colour->records;
        job->record_count = job->colour->record_count;
        return;
    }
    gray_decide_release(view, job->release, job->in, gray_marked_ask, marked,
                        job->verdict, job->trace);
    job->records = &job->own;
    job->record_count = job->verdict->record != 0 ? 1 : 0;
    if (job->record_count != 0) {
        job->own =
            (struct gray_record){.release = job->release,
                                 .state = job->verdict->record,
                                 .variant = job->verdict->variant,
                                 .stage = job->verdict->stage,
                                 .space = space_of(view->policy, job->verdict)};
    }
}

static uint32_t reason_of(const struct job *job, uint32_t release)
{
    uint32_t i;

    if (job->colour == NULL) {
        return job->verdict->reason;
    }
    for (i = 0; i < job->colour->arm_count; i++) {
        if (job->colour->arms[i].release == release) {
            return job->colour->arms[i].reason;
        }
    }
    return job->colour->release == release ? job->colour->reason
                                           : (uint32_t)GRAY_REASON_NONE;
}

/* ---- making one mark -------------------------------------------------------
 */

struct making {
    const struct gray_release *release;
    const struct gray_marks *marks;
    struct gray_marked_scope *scope;
    const struct gray_record *record;
    struct gray_str unit;
    struct gray_mark_key key;
    enum gray_slot_state state; /* IN or OUT */
    uint64_t value;
    bool strict;
};

static int push(struct gray_marked *marked, const struct making *m,
                const struct job *job, enum gray_ring_kind kind)
{
    const struct gray_scope_word *word =
        m->release->word < marked->view->word_count &&
                marked->view->words != NULL
            ? &marked->view->words[m->release->word]
            : NULL;
    struct gray_ring_record record = {
        .kind = (uint8_t)kind,
        .state = (uint8_t)m->state,
        .stage = m->record->stage,
        .space = m->record->space,
        .scope = m->release->scope,
        .key = {m->key.k[0], m->key.k[1]},
        .value = m->value,
        .now = marked->now_ms > 0 ? marked->now_ms : 0,
        .revision = (uint32_t)marked->view->policy->header->revision,
        .word_epoch =
            word != NULL ? __atomic_load_n(&word->epoch, __ATOMIC_ACQUIRE) : 0,
        .variant = gray_slot_variant(m->value),
        .attempt = gray_slot_attempt(m->value),
        .entrance = marked->entrance_name,
        .reason = reason_of(job, m->record->release)};

    if (kind == GRAY_RING_ASKED) {
        record.until =
            (uint32_t)(runtime_marked_until(marked, m->release, true) /
                       1000000);
    }
    return gray_ring_push(marked->runtime, &record, m->unit);
}

/* May grayd still take a slot for somebody who asked before it fell silent?
 * Others ask only as long as its beat is fresh, and it leaves what is older
 * than their patience; of our own records we know whether it has them. */
static bool may_be_asked_yet(const struct gray_marked *marked,
                             const struct gray_release *release, int64_t now_ns)
{
    uint32_t patience = release->strict_timeout > GRAY_MARKED_WAIT_MS
                            ? release->strict_timeout
                            : GRAY_MARKED_WAIT_MS;
    const int64_t asked = (patience + MARGIN_MS) * INT64_C(1000000);
    const struct gray_runtime *runtime = marked->runtime;
    int64_t own = __atomic_load_n(&runtime->asked_ns, __ATOMIC_RELAXED);
    int64_t beat = runtime->drained != NULL
                       ? (int64_t)__atomic_load_n(&runtime->drained->beat,
                                                  __ATOMIC_ACQUIRE)
                       : 0;
    bool alive = false;

    gray_writer_now(runtime, now_ns, &alive);
    return (own != 0 && now_ns - own < asked &&
            !gray_ring_taken(runtime, gray_ring_head(runtime))) ||
           (!alive && beat != 0 && now_ns - beat < GRAY_WRITER_DEAD_NS + asked);
}

static bool may_write(const struct gray_marks *marks)
{
    return marks->table.writable &&
           (marks->next.file == NULL || marks->next.writable);
}

/* Not by us, and not now. */
static void cannot_make(struct gray_marked *marked, const struct making *m,
                        enum gray_reason reason, int64_t now_ns)
{
    if (!may_write(m->marks) && m->release->stickiness == GRAY_STICKY_ENTITY &&
        may_be_asked_yet(marked, m->release, now_ns)) {
        runtime_marked_leave_open(marked, m->scope, m->release);
    } else {
        runtime_marked_close(marked, m->scope, reason);
    }
}

/* This reader may not write: grayd takes the slot, or says that it will not. */
static bool ask_writer(struct gray_marked *marked, const struct making *m,
                       const struct job *job, int64_t now_ns)
{
    struct gray_marked_scope *s = m->scope;
    bool alive = false;
    enum gray_writer_state writer =
        gray_writer_now(marked->runtime, now_ns, &alive);

    if ((writer == GRAY_WRITER_NONE || gray_marks_full(m->marks)) &&
        !m->strict && m->release->stickiness == GRAY_STICKY_MONOTONIC) {
        s->did = DID_UNKEPT; /* by the share alone, as everywhere here */
        gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_UNKEPT);
        return false;
    }
    if (writer != GRAY_WRITER_OK || !alive ||
        push(marked, m, job, GRAY_RING_ASKED) != 0) {
        cannot_make(marked, m, GRAY_REASON_MARKS_CLOSED, now_ns);
        return true;
    }
    __atomic_store_n(&marked->runtime->asked_ns, now_ns, __ATOMIC_RELAXED);
    gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_ASKED);
    s->did = DID_ASKED;
    s->value = m->value;
    s->head = gray_ring_head(marked->runtime);
    s->waits = 1;
    return false;
}

/* The slot is ours.  What was decided before holds only if nobody closed the
 * scope and the lease did not run out in between. */
static bool look_again(struct gray_marked *marked, const struct making *m)
{
    struct gray_marked_scope *s = m->scope;

    s->did = DID_TOOK;
    s->seen = 1;
    s->value = m->value;
    s->waits = m->strict;
    if (m->state != GRAY_SLOT_IN) {
        return false;
    }
    if (gray_release_word(marked->view, m->release) != GRAY_WORD_OPEN) {
        return true;
    }
    if ((m->release->mark_flags & GRAY_MARKS_LEASE) != 0 &&
        runtime_marked_closed(marked, m->release, m->marks, true,
                              runtime_clock_ns(CLOCK_BOOTTIME)) ==
            GRAY_REASON_LEASE_OVER) {
        if (runtime_marked_void(m->marks, s) == 0) {
            runtime_marked_close(marked, s, GRAY_REASON_LEASE_OVER);
        }
        return true;
    }
    return false;
}

static bool take(struct gray_marked *marked, const struct making *m)
{
    struct gray_marked_scope *s = m->scope;
    bool entity = m->release->stickiness == GRAY_STICKY_ENTITY;
    uint64_t found = 0;

    switch (gray_mark_take(m->marks, m->key, m->value, &found)) {
    case 0:
        gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_MADE);
        return look_again(marked, m);
    case 1:
        s->did = DID_NOTHING;
        gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_OBEYED);
        return true;
    case -ENOSPC: /* it became full just now, and the record is written */
        if (!m->strict && !entity) {
            s->did = DID_UNKEPT;
            gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_UNKEPT);
            return false;
        }
        /* A record whose slot was never taken is nothing. */
        runtime_marked_close(marked, s, GRAY_REASON_MARKS_CLOSED);
        return true;
    default:
        s->did = DID_UNKNOWN;
        gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_CLOSED);
        return true;
    }
}

/* True: decide again. */
static bool make_new(struct gray_marked *marked, struct making *m,
                     const struct job *job)
{
    int64_t now_ns = runtime_clock_ns(CLOCK_BOOTTIME);
    enum gray_reason reason = runtime_marked_closed(
        marked, m->release, m->marks, m->state == GRAY_SLOT_IN, now_ns);
    bool alive = false;

    if (marked->deadline != 0 && m->strict &&
        runtime_marked_time_over(marked)) {
        reason = GRAY_REASON_NOT_DURABLE; /* it has waited already */
    }
    if (reason != GRAY_REASON_NONE) {
        cannot_make(marked, m, reason, now_ns);
        return true;
    }
    m->value = gray_mark_value(
        m->marks->table.file, m->strict ? GRAY_SLOT_PENDING : m->state,
        m->release->attempt, m->record->variant,
        marked->view->policy->header->revision, marked->now_ms);
    if (!may_write(m->marks)) {
        return ask_writer(marked, m, job, now_ns);
    }
    if (gray_writer_now(marked->runtime, now_ns, &alive) != GRAY_WRITER_NONE &&
        push(marked, m, job, GRAY_RING_MARKED) != 0) {
        if (m->strict) {
            runtime_marked_close(marked, m->scope, GRAY_REASON_MARKS_CLOSED);
            return true;
        }
        gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_UNKEPT);
    }
    return take(marked, m);
}

/* One record of the decision.  True: decide again. */
static bool make(struct gray_marked *marked, struct job *job,
                 const struct gray_record *record)
{
    struct making m = {
        .release = gray_release_at(marked->view->policy, record->release),
        .marks = runtime_marked_tables(marked, record->release),
        .record = record,
        .unit = gray_unit(marked->view, record->release, job->in),
        .state = record->state == GRAY_MARK_IN ? GRAY_SLOT_IN : GRAY_SLOT_OUT};

    if (m.release == NULL || m.marks->table.file == NULL ||
        m.unit.length == 0) {
        return false; /* the engine was told UNKNOWN */
    }
    m.strict = runtime_release_strict(m.release);
    m.key = gray_mark_key(m.marks->table.file, record->space, m.unit);
    m.scope =
        runtime_marked_keep(marked, m.release->scope, record->release, m.key);
    if (m.scope == NULL) {
        gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_UNKEPT);
        return false;
    }
    switch ((enum marked_did)m.scope->did) {
    case DID_TOOK:
        m.scope->seen = gray_slot_variant(m.scope->value) == record->variant &&
                        gray_slot_state(m.scope->value) == m.state;
        return false;
    case DID_NOTHING:
    case DID_STANDS:
        return make_new(marked, &m, job);
    default:
        return false;
    }
}

static bool make_all(struct gray_marked *marked, struct job *job)
{
    bool again = false;
    uint32_t i;

    for (i = 0; i < marked->scope_count; i++) {
        marked->scopes[i].seen = 0;
    }
    for (i = 0; i < job->record_count; i++) {
        again |= make(marked, job, &job->records[i]);
    }
    /* Ours, and the rules say something else by now: the mark stays true. */
    for (i = 0; i < marked->scope_count; i++) {
        struct gray_marked_scope *s = &marked->scopes[i];

        if (s->did == DID_TOOK && !s->seen && !s->waits) {
            s->did = DID_STANDS;
            again = true;
        }
    }
    return again;
}

/* ---- the loop --------------------------------------------------------------
 */

/* So many others were faster that this request has no luck: it takes what
 * stands there, and makes nothing. */
static void give_up(struct gray_marked *marked, struct job *job)
{
    uint32_t i;

    runtime_marked_expire(marked);
    for (i = 0; i < marked->scope_count; i++) {
        struct gray_marked_scope *s = &marked->scopes[i];

        s->waits = 0;
        if (s->did == DID_NOTHING) {
            runtime_marked_close(marked, s, GRAY_REASON_MARKS_CLOSED);
        }
    }
    decide_once(marked, job);
}

/* An entity's mark that may be made yet, whatever onUnknown says: baseline now
 * and IN in a moment would be the double record. */
static void hold_open(const struct gray_marked *marked, const struct job *job)
{
    uint32_t i;

    for (i = 0; i < marked->scope_count; i++) {
        enum gray_word word = gray_release_word(
            marked->view,
            gray_release_at(marked->view->policy, marked->scopes[i].release));

        /* What is stopped is baseline, and grayd lets nobody in either. */
        if (!marked->scopes[i].held || word == GRAY_WORD_BASELINE ||
            word == GRAY_WORD_KILLED) {
            continue;
        }
        if (job->colour == NULL) {
            job->verdict->in = 0;
            job->verdict->hold = 1;
            job->verdict->reason = GRAY_REASON_MARK_HOLD;
        } else if (!job->colour->hold) {
            job->colour->hold = 1;
            job->colour->reason = GRAY_REASON_MARK_HOLD;
            job->colour->release = marked->scopes[i].release;
            job->colour->rule = job->colour->bucket = GRAY_NONE;
        }
    }
}

static enum gray_marked_now decided(struct gray_marked *marked,
                                    const struct job *job)
{
    hold_open(marked, job);
    if (!marked->read_only && marked->runtime != NULL &&
        (job->colour != NULL ? job->colour->hold : job->verdict->hold)) {
        gray_counters_event(marked->runtime, GRAY_EVENT_HOLDS);
    }
    return GRAY_MARKED_DECIDED;
}

/* Of a job that was decided once. */
static enum gray_marked_now run(struct gray_marked *marked, struct job *job)
{
    uint32_t round;

    for (round = 0; round < ROUNDS; round++) {
        if (round != 0) {
            decide_once(marked, job);
        }
        if ((job->record_count == 0 && marked->scope_count == 0) ||
            marked->read_only || marked->runtime == NULL ||
            marked->view->marks == NULL) {
            return decided(marked, job);
        }
        if (make_all(marked, job)) {
            continue;
        }
        if (!runtime_marked_any_waits(marked)) {
            return decided(marked, job);
        }
        if (!runtime_marked_time_over(marked)) {
            return GRAY_MARKED_WAIT;
        }
        runtime_marked_expire(marked);
    }
    give_up(marked, job);
    return decided(marked, job);
}

static __attribute__((noinline)) enum gray_marked_now
run_colour(struct gray_marked *marked, uint32_t entrance, struct gray_input *in,
           struct gray_colour *colour, struct gray_trace *trace, bool once)
{
    struct job job = {
        .entrance = entrance, .in = in, .colour = colour, .trace = trace};

    if (once) {
        job.records = colour->records;
        job.record_count = colour->record_count;
    } else {
        decide_once(marked, &job);
    }
    return run(marked, &job);
}

enum gray_marked_now gray_decide_marked(struct gray_marked *marked,
                                        uint32_t entrance,
                                        struct gray_input *in,
                                        struct gray_colour *ret_colour,
                                        struct gray_trace *trace)
{
    bool once = marked->scope_count == 0 && trace == NULL;

    if (once) {
        /* Most requests make nothing, and wait for nothing. */
        in->unproven = marked->evidence == NULL;
        gray_decide(marked->view, entrance, in, gray_marked_ask, marked,
                    ret_colour, NULL);
        if ((ret_colour->record_count | ret_colour->hold |
             marked->scope_count) == 0) {
            return GRAY_MARKED_DECIDED;
        }
    }
    return run_colour(marked, entrance, in, ret_colour, trace, once);
}

enum gray_marked_now gray_release_marked(struct gray_marked *marked,
                                         uint32_t release,
                                         struct gray_input *in,
                                         struct gray_verdict *ret_verdict,
                                         struct gray_trace *trace)
{
    struct job job = {
        .release = release, .in = in, .verdict = ret_verdict, .trace = trace};

    decide_once(marked, &job);
    return run(marked, &job);
}
