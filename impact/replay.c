/* SPDX-License-Identifier: Apache-2.0
 * replay.c - the old and the new policy over the same recorded requests.
 *
 * Why: a share says how many come in, a rule does not; and whether somebody
 * drops out is proven best by those who came.  Both policies decide with the
 * engine's own code, by the marks that stand now: they are asked for, never
 * made.  Marks are known by a release's scope, so the new policy is answered
 * from the tables of the old one, whatever numbers its releases have.
 * Read next: engine/decide.h, runtime/admit.h, predict.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "impact/impact.h"

/* Units that were counted for a release already, by hash. */
struct units {
    uint64_t *cells;
    uint32_t size; /* power of two */
};

struct replaying {
    const struct impact_side *sides[2];
    int64_t now_ms;
    struct gray_marked marked; /* of the runtime that has marks */
    struct gray_input inputs[2];
    struct gray_colour colours[2];
    struct impact_replay *result;
    uint32_t *row_of[2];  /* by number of a release: in result->releases */
    uint32_t *place_of[2]; /* by number of a release: its first arm */
    struct units *come, *drop; /* by row */
};

/* ---- marks ------------------------------------------------------------------ */

/* What stands of a unit of the new policy, in the tables of the old one. */
static struct gray_mark ask_by_scope(void *context,
                                     const struct gray_mark_query *query)
{
    struct replaying *r = context;
    const struct gray_release *release =
        gray_release_at(r->sides[1]->view->policy, query->release);
    struct gray_mark_query asked = *query;
    const struct gray_snapshot *old;

    if (r->sides[0] == NULL || r->sides[0]->view == NULL || release == NULL) {
        return (struct gray_mark) { .state = GRAY_MARK_ABSENT };
    }
    old = r->sides[0]->view->policy;
    for (uint32_t i = 0; i < old->policy->releases.count; i++) {
        if (gray_release_at(old, i)->scope == release->scope) {
            asked.release = i;
            return gray_marked_ask(&r->marked, &asked);
        }
    }
    return (struct gray_mark) { .state = GRAY_MARK_ABSENT };
}

static void decide(struct replaying *r, const struct request *request,
                   int side)
{
    const struct gray_view *view = r->sides[side]->view;
    uint32_t entrance =
        request_feed(request, view->policy, r->now_ms, &r->inputs[side]);

    gray_marked_begin(&r->marked, r->sides[0] != NULL ? r->sides[0]->runtime
                                                      : NULL,
                      r->sides[0] != NULL ? r->sides[0]->view : view,
                      r->now_ms);
    r->marked.read_only = true;
    if (side == 0) {
        gray_decide(view, entrance, &r->inputs[0], gray_marked_ask,
                    &r->marked, &r->colours[0], NULL);
    } else {
        gray_decide(view, entrance, &r->inputs[1], ask_by_scope, r,
                    &r->colours[1], NULL);
    }
}

static const struct gray_release *by_scope(const struct gray_view *view,
                                           uint64_t scope)
{
    for (uint32_t i = 0; i < view->policy->policy->releases.count; i++) {
        const struct gray_release *release = gray_release_at(view->policy, i);

        if (release->scope == scope) {
            return release;
        }
    }
    return NULL;
}

int impact_words(const struct gray_view *from, struct ask_view *to,
                 struct gray_scope_word **ret_words)
{
    const struct gray_snapshot *policy = &to->snapshot;
    uint32_t count = policy->policy->releases.count, room = 1;
    struct gray_scope_word *words;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = gray_release_at(policy, i)->word;

        room = number < GRAY_WORDS_MAX && number >= room ? number + 1 : room;
    }
    words = calloc(room, sizeof(*words));
    if (words == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct gray_release *release = gray_release_at(policy, i);
        const struct gray_release *old = by_scope(from, release->scope);

        if (release->word < room && old != NULL && from->words != NULL &&
            old->word < from->word_count &&
            from->words[old->word].scope == release->scope) {
            words[release->word].scope = release->scope;
            words[release->word].word = __atomic_load_n(
                &from->words[old->word].word, __ATOMIC_RELAXED);
        }
    }
    to->view.words = words;
    to->view.word_count = room;
    *ret_words = words;
    return 0;
}

/* ---- rows ------------------------------------------------------------------- */

static void copy_text(char *to, size_t size, struct gray_str text)
{
    size_t length = text.length < size - 1 ? text.length : size - 1;

    memcpy(to, text.data, length);
    to[length] = '\0';
}

/* The row of this name; there is room for every release of both sides. */
static uint32_t row_of(struct impact_replay *result, struct gray_str name)
{
    char text[GRAY_NAME_MAX + 1];
    uint32_t i;

    copy_text(text, sizeof(text), name);
    for (i = 0; i < result->release_count; i++) {
        if (strcmp(result->releases[i].release, text) == 0) {
            return i;
        }
    }
    memcpy(result->releases[i].release, text, sizeof(text));
    result->release_count++;
    return i;
}

static uint32_t arm_of(struct impact_replay *result, const char *text)
{
    uint32_t i;

    for (i = 0; i < result->arm_count; i++) {
        if (strcmp(result->arms[i].arm, text) == 0) {
            return i;
        }
    }
    strcpy(result->arms[i].arm, text);
    result->arm_count++;
    return i;
}

static void arm_text(char text[GRAY_NAME_MAX + 1],
                     const struct gray_snapshot *policy,
                     const struct gray_release *release, uint32_t variant)
{
    struct gray_str name = gray_text(policy, release->name), more = { "", 0 };
    const struct gray_variant *v =
        gray_variant_at(policy, release->variants.first + variant);

    if (v != NULL) {
        more = gray_text(policy, v->name);
    }
    snprintf(text, GRAY_NAME_MAX + 1, "%.*s%s%.*s", (int)name.length,
             name.data, more.length > 0 ? ":" : "", (int)more.length,
             more.length > 0 ? more.data : "");
}

/* Names of both sides to rows, once. */
static int number_side(struct replaying *r, int side)
{
    const struct gray_snapshot *policy = r->sides[side]->view->policy;
    uint32_t releases = policy->policy->releases.count;

    r->row_of[side] = calloc(releases + 1, sizeof(*r->row_of[side]));
    r->place_of[side] = calloc(policy->policy->variants.count + 1,
                               sizeof(*r->place_of[side]));
    if (r->row_of[side] == NULL || r->place_of[side] == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < releases; i++) {
        const struct gray_release *release = gray_release_at(policy, i);
        char text[GRAY_NAME_MAX + 1];

        r->row_of[side][i] = row_of(r->result, gray_text(policy,
                                                         release->name));
        for (uint32_t v = 0; v < release->variants.count; v++) {
            arm_text(text, policy, release, v);
            r->place_of[side][release->variants.first + v] =
                arm_of(r->result, text);
        }
    }
    return 0;
}

static int make_rows(struct replaying *r)
{
    size_t releases = 0, arms = 0;

    for (int side = 0; side < 2; side++) {
        if (r->sides[side] != NULL) {
            const struct gray_policy *policy =
                r->sides[side]->view->policy->policy;

            releases += policy->releases.count;
            arms += policy->variants.count;
        }
    }
    r->result->releases = calloc(releases + 1, sizeof(*r->result->releases));
    r->result->arms = calloc(arms + 1, sizeof(*r->result->arms));
    r->come = calloc(releases + 1, sizeof(*r->come));
    r->drop = calloc(releases + 1, sizeof(*r->drop));
    if (r->result->releases == NULL || r->result->arms == NULL ||
        r->come == NULL || r->drop == NULL) {
        return -ENOMEM;
    }
    for (int side = 0; side < 2; side++) {
        if (r->sides[side] != NULL && number_side(r, side) != 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

/* ---- who changes sides ---------------------------------------------------------- */

/* Was this unit not seen before? Without memory: it was not. */
static bool is_new(struct units *units, struct gray_str unit, size_t most)
{
    uint64_t hash = gray_mix64(gray_hash_scope(unit.data, unit.length)) | 1;
    uint32_t place;

    if (units->cells == NULL) {
        units->size = 1024;
        while (units->size < 2 * most) {
            units->size *= 2;
        }
        units->cells = calloc(units->size, sizeof(*units->cells));
        if (units->cells == NULL) {
            return true;
        }
    }
    place = (uint32_t)(hash >> 20) & (units->size - 1);
    while (units->cells[place] != 0) {
        if (units->cells[place] == hash) {
            return false;
        }
        place = (place + 1) & (units->size - 1);
    }
    units->cells[place] = hash;
    return true;
}

/* A request changes sides of a release; `side` is where it is in. */
static void note_change(struct replaying *r, int side, uint32_t release,
                        size_t most)
{
    uint32_t row = r->row_of[side][release];
    struct impact_replayed *replayed = &r->result->releases[row];
    struct gray_str unit =
        gray_unit(r->sides[side]->view, release, &r->inputs[side]);

    if (side == 1) {
        replayed->comes++;
        if (is_new(&r->come[row], unit, most)) {
            replayed->units_come++;
            if (replayed->come_count < IMPACT_EXAMPLES && unit.length > 0) {
                copy_text(replayed->come[replayed->come_count++],
                          IMPACT_UNIT_BYTES + 1, unit);
            }
        }
    } else {
        replayed->drops++;
        if (is_new(&r->drop[row], unit, most)) {
            replayed->units_drop++;
            if (replayed->drop_count < IMPACT_EXAMPLES && unit.length > 0) {
                copy_text(replayed->drop[replayed->drop_count++],
                          IMPACT_UNIT_BYTES + 1, unit);
            }
        }
    }
}

static bool is_in(const struct replaying *r, int side, uint32_t row)
{
    const struct gray_colour *colour = &r->colours[side];

    for (uint32_t i = 0; r->sides[side] != NULL && i < colour->arm_count;
         i++) {
        if (r->row_of[side][colour->arms[i].release] == row) {
            return true;
        }
    }
    return false;
}

/* Counts the arms of one side, and those that the other has not. */
static bool note_side(struct replaying *r, int side, size_t most)
{
    const struct gray_colour *colour = &r->colours[side];
    bool changed = false;

    for (uint32_t i = 0; r->sides[side] != NULL && i < colour->arm_count;
         i++) {
        uint32_t release = colour->arms[i].release;
        uint32_t row = r->row_of[side][release];
        const struct gray_release *record =
            gray_release_at(r->sides[side]->view->policy, release);
        struct impact_arm *arm =
            &r->result->arms[r->place_of[side][record->variants.first +
                                               colour->arms[i].variant]];

        if (side == 0) {
            r->result->releases[row].before++;
            arm->before++;
        } else {
            r->result->releases[row].after++;
            arm->after++;
        }
        if (!is_in(r, 1 - side, row)) {
            note_change(r, side, release, most);
            changed = true;
        }
    }
    return changed;
}

static void replay_one(struct replaying *r, const struct request *request,
                       size_t most)
{
    bool changed;

    for (int side = 0; side < 2; side++) {
        if (r->sides[side] != NULL) {
            decide(r, request, side);
        }
    }
    changed = note_side(r, 0, most);
    changed |= note_side(r, 1, most);
    r->result->changed += changed;
    r->result->replayed++;
}

int impact_replay(const struct impact_side *before,
                  const struct impact_side *after,
                  const struct impact_records *records, int64_t now_ms,
                  struct impact_replay *ret_replay)
{
    struct impact_replay result = { .refused = records->refused,
                                    .first = records->first,
                                    .last = records->last };
    struct replaying *r = calloc(1, sizeof(*r));
    int error = r != NULL ? 0 : -ENOMEM;

    if (error == 0) {
        r->sides[0] = before != NULL && before->view != NULL ? before : NULL;
        r->sides[1] = after;
        r->now_ms = now_ms;
        r->result = &result;
        error = make_rows(r);
    }
    for (size_t i = 0; error == 0 && i < records->count; i++) {
        replay_one(r, &records->items[i], records->count);
    }
    for (size_t i = 0; r != NULL && r->drop != NULL &&
                       i < result.release_count; i++) {
        free(r->come[i].cells);
        free(r->drop[i].cells);
    }
    for (int side = 0; r != NULL && side < 2; side++) {
        free(r->row_of[side]);
        free(r->place_of[side]);
    }
    if (r != NULL) {
        free(r->come);
        free(r->drop);
        free(r);
    }
    if (error != 0) {
        impact_replay_free(&result);
        return error;
    }
    *ret_replay = result;
    return 0;
}

void impact_replay_free(struct impact_replay *replay)
{
    free(replay->releases);
    free(replay->arms);
    *replay = (struct impact_replay) { 0 };
}
