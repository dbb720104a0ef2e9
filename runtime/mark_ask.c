/* SPDX-License-Identifier: Apache-2.0
 * mark_ask.c - what the engine is told when it asks for a mark.
 *
 * Why: between the slot and the engine stand this request's own doings: its
 * own fresh mark must not turn the reason of its admission into "mark", and
 * what it could not make must not be tried for ever.  Here nothing is
 * written; admit.c does that between two decisions.
 * Read next: admit.c, docs/marks.md.
 */
#include <string.h>
#include <time.h>

#include "engine/release.h"
#include "engine/view.h"
#include "runtime/internal.h"

const struct gray_marks *runtime_marked_tables(const struct gray_marked *marked,
                                               uint32_t release)
{
    return marked->runtime != NULL && marked->view->marks != NULL
               ? &marked->view->marks[release]
               : NULL;
}

struct gray_marked_scope *runtime_marked_find(struct gray_marked *marked,
                                              uint64_t scope,
                                              struct gray_mark_key key)
{
    uint32_t i;

    for (i = 0; i < marked->scope_count; i++) {
        struct gray_marked_scope *s = &marked->scopes[i];

        if (s->scope == scope && s->key[0] == key.k[0] &&
            s->key[1] == key.k[1]) {
            return s;
        }
    }
    return NULL;
}

struct gray_marked_scope *runtime_marked_keep(struct gray_marked *marked,
                                              uint64_t scope, uint32_t release,
                                              struct gray_mark_key key)
{
    struct gray_marked_scope *s = runtime_marked_find(marked, scope, key);

    if (s == NULL && marked->scope_count < GRAY_MARKED_SCOPES) {
        s = &marked->scopes[marked->scope_count++];
        memset(s, 0, sizeof(*s));
        s->scope = scope;
        s->key[0] = key.k[0];
        s->key[1] = key.k[1];
        s->did = DID_NOTHING;
    }
    if (s != NULL) {
        s->release = release;
    }
    return s;
}

/* Is there, or was there ever, who makes marks durable and renews leases?  A
 * folder of `gray publish` alone has nobody: there what stands is all. */
static bool is_kept(const struct gray_runtime *runtime)
{
    bool alive = false;

    return gray_writer_now(runtime, 0, &alive) != GRAY_WRITER_NONE ||
           __atomic_load_n(&runtime->control->lease_deadline,
                           __ATOMIC_ACQUIRE) != 0;
}

static bool is_careful(const struct gray_marked *marked,
                       const struct gray_release *release)
{
    return runtime_release_strict(release) ||
           ((release->mark_flags & GRAY_MARKS_LEASE) != 0 &&
            is_kept(marked->runtime));
}

bool runtime_marked_waits(const struct gray_marked *marked,
                          const struct gray_release *release, uint64_t value)
{
    switch (gray_slot_state(value)) {
    case GRAY_SLOT_PENDING:
        return true;
    case GRAY_SLOT_IN:
        return (value & GRAY_SLOT_DURABLE) == 0 && gray_release_word(marked->view, release) != GRAY_WORD_OPEN &&
               is_careful(marked, release);
    default:
        return false;
    }
}

enum gray_reason runtime_marked_closed(const struct gray_marked *marked,
                                       const struct gray_release *release,
                                       const struct gray_marks *marks, bool in,
                                       int64_t now_ns)
{
    bool strict = runtime_release_strict(release), alive = false;
    enum gray_writer_state writer =
        gray_writer_now(marked->runtime, now_ns, &alive);
    int64_t lease = __atomic_load_n(&marked->runtime->control->lease_deadline,
                                    __ATOMIC_ACQUIRE);

    if (in && (release->mark_flags & GRAY_MARKS_LEASE) != 0 &&
        (lease != 0 || writer != GRAY_WRITER_NONE) && now_ns >= lease) {
        return GRAY_REASON_LEASE_OVER;
    }
    if ((strict && (writer != GRAY_WRITER_OK || !alive)) ||
        ((strict || release->stickiness == GRAY_STICKY_ENTITY) &&
         gray_marks_full(marks))) {
        return GRAY_REASON_MARKS_CLOSED;
    }
    return GRAY_REASON_NONE;
}

static struct gray_mark plain(enum gray_mark_state state)
{
    return (struct gray_mark){.state = (uint8_t)state};
}

static struct gray_mark closed(enum gray_reason reason)
{
    return (struct gray_mark){.state = GRAY_MARK_CLOSED,
                              .variant = (uint8_t)reason};
}

/* The mark is what we put, or asked for, whatever became of it since. */
static bool is_ours(const struct gray_marked_scope *s, uint64_t value)
{
    const uint64_t same = ~(UINT64_C(7) | GRAY_SLOT_LATER);
    enum gray_slot_state state = gray_slot_state(value);

    return ((value ^ s->value) & same) == 0 &&
           (state == GRAY_SLOT_PENDING || state == GRAY_SLOT_IN ||
            state == GRAY_SLOT_OUT);
}

static struct gray_mark
answer_found(struct gray_marked *marked, const struct gray_mark_query *query,
             const struct gray_marks *marks, struct gray_mark_key key,
             struct gray_marked_scope *s, uint64_t value)
{
    const struct gray_release *release =
        gray_release_at(marked->view->policy, query->release);
    bool ours = s != NULL && (s->did == DID_TOOK || s->did == DID_ASKED) &&
                is_ours(s, value);

    if (s != NULL && s->did == DID_UNKNOWN) {
        return plain(GRAY_MARK_UNKNOWN);
    }
    if (runtime_marked_waits(marked, release, value)) {
        if (marked->read_only) {
            return plain(GRAY_MARK_PENDING);
        }
        s = runtime_marked_keep(marked, release->scope, query->release, key);
        if (s == NULL) {
            return plain(GRAY_MARK_UNKNOWN);
        }
        /* This request has waited long enough. */
        if (s->did == DID_HOLD) {
            s->held = 1;
            return plain(GRAY_MARK_HOLD);
        }
        if (s->did == DID_CLOSED) {
            return closed((enum gray_reason)s->reason);
        }
        s->did = ours ? DID_TOOK : DID_NOTHING;
        s->value = value;
        s->waits = 1;
        return plain(GRAY_MARK_PENDING);
    }
    if (ours) {
        s->did = DID_TOOK;
        s->value = value;
        return plain(GRAY_MARK_ABSENT);
    }
    if (s != NULL && (s->did == DID_TOOK || s->did == DID_ASKED)) {
        s->did = DID_NOTHING; /* somebody else's stands there */
    }
    return gray_mark_of(marks->table.file, value);
}

static struct gray_mark answer_absent(struct gray_marked *marked,
                                      const struct gray_mark_query *query,
                                      const struct gray_marks *marks,
                                      struct gray_marked_scope *s, bool taken)
{
    const struct gray_release *release =
        gray_release_at(marked->view->policy, query->release);
    enum gray_reason reason;

    if (marked->read_only && !query->alias) {
        reason = runtime_marked_closed(marked, release, marks, true,
                                       runtime_clock_ns(CLOCK_BOOTTIME));
        return reason != GRAY_REASON_NONE ? closed(reason)
                                          : plain(GRAY_MARK_ABSENT);
    }
    switch (s != NULL ? (enum marked_did)s->did : DID_NOTHING) {
    case DID_ASKED:
        if (!taken) {
            s->waits = 1;
            return plain(GRAY_MARK_PENDING);
        }
        s->did = DID_CLOSED; /* grayd would not */
        s->reason = GRAY_REASON_MARKS_CLOSED;
        return closed(GRAY_REASON_MARKS_CLOSED);
    case DID_CLOSED:
        return closed((enum gray_reason)s->reason);
    case DID_UNKNOWN:
        return plain(GRAY_MARK_UNKNOWN);
    case DID_HOLD:
        s->held = 1;
        return plain(GRAY_MARK_HOLD);
    case DID_TOOK:
    case DID_STANDS:
        s->did = DID_NOTHING; /* somebody made ours void */
        return plain(GRAY_MARK_ABSENT);
    default:
        return plain(GRAY_MARK_ABSENT);
    }
}

struct gray_mark gray_marked_ask(void *context,
                                 const struct gray_mark_query *query)
{
    struct gray_marked *marked = context;
    const struct gray_release *release;
    const struct gray_marks *marks;
    struct gray_marked_scope *s = NULL;
    struct gray_mark_key key;
    uint64_t value = 0;
    bool taken = false;

    if (query->step == GRAY_STEP_EVIDENCE) {
        return marked->evidence != NULL
                   ? marked->evidence(marked->evidence_context, query)
                   : plain(GRAY_MARK_ABSENT);
    }
    release = VIEW_AT(marked->view->policy, releases, gray_release,
                      query->release);
    marks =
        release != NULL ? runtime_marked_tables(marked, query->release) : NULL;
    if (marks == NULL) {
        return plain(GRAY_MARK_ABSENT);
    }
    if (marks->table.file == NULL) {
        return plain(GRAY_MARK_UNKNOWN);
    }
    key = gray_mark_key(marks->table.file, query->space, query->unit);
    if (marked->scope_count != 0) {
        s = runtime_marked_find(marked, release->scope, key);
        /* First, for grayd fills the slot before it says that it took the
         * ring. */
        taken = s != NULL && s->did == DID_ASKED &&
                gray_ring_taken(marked->runtime, s->head);
    }
    switch (gray_mark_find(marks, key, &value)) {
    case GRAY_FIND_FOUND:
        return answer_found(marked, query, marks, key, s, value);
    case GRAY_FIND_ABSENT:
        return s == NULL && !marked->read_only
                   ? plain(GRAY_MARK_ABSENT) /* mostly */
                   : answer_absent(marked, query, marks, s, taken);
    default:
        return plain(GRAY_MARK_UNKNOWN);
    }
}

/* ---- for who was woken ------------------------------------------------------
 */

static bool is_settled(const struct gray_marked *marked,
                       const struct gray_marked_scope *s)
{
    const struct gray_release *release =
        gray_release_at(marked->view->policy, s->release);
    const struct gray_marks *marks =
        release != NULL && release->scope == s->scope
            ? runtime_marked_tables(marked, s->release)
            : NULL;
    uint64_t value = 0;
    bool taken;

    if (marks == NULL) {
        return true; /* another policy: decide afresh */
    }
    taken = s->did == DID_ASKED && gray_ring_taken(marked->runtime, s->head);
    switch (gray_mark_find(
        marks, (struct gray_mark_key){{s->key[0], s->key[1]}}, &value)) {
    case GRAY_FIND_FOUND:
        return !runtime_marked_waits(marked, release, value);
    case GRAY_FIND_ABSENT:
        return s->did != DID_ASKED || taken;
    default:
        return true;
    }
}

bool gray_marked_settled(const struct gray_marked *marked, int64_t monotonic_ns)
{
    uint32_t i;

    if (monotonic_ns >= marked->deadline) {
        return true;
    }
    for (i = 0; i < marked->scope_count; i++) {
        if (marked->scopes[i].waits &&
            !is_settled(marked, &marked->scopes[i])) {
            return false;
        }
    }
    return true;
}
