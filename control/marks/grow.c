/* SPDX-License-Identifier: Apache-2.0
 * grow.c - the marks thread's part of a table that grows.
 *
 * Why: readers and writers go on while a table is copied, so the steps are
 * small and lie between batches: announce, wait until everybody has mapped the
 * next one (or has had a second), copy in slices, switch, drop.
 * Read next: runtime/mark_grow.c, docs/marks.md (Growth).
 */
#include <string.h>

#include "control/marks/internal.h"

#define LOOK_MS 50     /* between two looks at how full tables are */
#define PATIENCE_MS 1000
#define ASK_MS 5       /* between two looks at who has acknowledged */
#define SLICE_BUCKETS 4096u

enum grow { GROW_NOT, GROW_ANNOUNCED, GROW_COPY, GROW_SWITCHED };

static void say(const struct scope *scope, const struct gray_problem *problem)
{
    grayd_log(LOG_LEVEL_ERROR,
              problem->code != NULL ? problem->code : "marks-not-grown",
              "The mark table of %s does not grow: %s", scope->kept.name,
              problem->sentence);
}

static void wait_from(struct scope *scope, enum grow step, int64_t now)
{
    scope->grow = step;
    scope->grow_until = now + PATIENCE_MS;
    scope->grow_look = 0;
}

/* Everybody has, or has had the time. */
static bool acknowledged(struct marks *marks, struct scope *scope, int64_t now)
{
    if (now >= scope->grow_until) {
        return true;
    }
    if (now < scope->grow_look) {
        return false;
    }
    scope->grow_look = now + ASK_MS;
    return gray_marks_behind(&marks->folder) == 0;
}

static void begin(struct marks *marks, struct scope *scope, int64_t now)
{
    struct gray_problem problem = {NULL, "", 0};

    if (scope->next == 0) {
        if (!gray_marks_crowded(&scope->marks) || now < scope->grow_until) {
            return;
        }
        if (gray_marks_announce(&marks->folder, scope->scope, 0, marks->group,
                                &problem) < 0) {
            say(scope, &problem);
            scope->grow_until = now + PATIENCE_MS; /* not in every round */
            return;
        }
    }
    if (scopes_remap(marks, scope, &problem) != 0) {
        say(scope, &problem);
        scope->grow_until = now + PATIENCE_MS;
        return;
    }
    scope->grow_at = 0;
    wait_from(scope, GROW_ANNOUNCED, now);
}

static void copy(struct marks *marks, struct scope *scope, int64_t now)
{
    struct gray_problem problem = {NULL, "", 0};
    int result = gray_marks_copy(&scope->marks, &scope->grow_at, SLICE_BUCKETS,
                                 &problem);

    if (result == 1) {
        failpoint("marks-copied");
        result = gray_marks_switch(&marks->folder, scope->scope, &problem);
        result = result != 0 ? result : scopes_remap(marks, scope, &problem);
        if (result == 0) {
            wait_from(scope, GROW_SWITCHED, now);
        }
    }
    if (result < 0) {
        say(scope, &problem);
        scope->grow = GROW_NOT;
        scope->grow_until = now + PATIENCE_MS;
    }
}

/* Whether it is at work. */
static bool grow_scope(struct marks *marks, struct scope *scope, int64_t now)
{
    switch ((enum grow)scope->grow) {
    case GROW_NOT:
        begin(marks, scope, now);
        break;
    case GROW_ANNOUNCED:
        if (acknowledged(marks, scope, now)) {
            scope->grow = GROW_COPY;
        }
        break;
    case GROW_COPY:
        copy(marks, scope, now);
        break;
    case GROW_SWITCHED:
        if (acknowledged(marks, scope, now)) {
            gray_marks_drop(&marks->folder, scope->scope, false, NULL);
            scope->grow = GROW_NOT;
            scope->grow_until = 0;
        }
        break;
    }
    return scope->grow == GROW_COPY;
}

bool grow_step(struct marks *marks)
{
    int64_t now = marks_monotonic_ms();
    bool copies = false, look = now >= marks->grow_look;

    if (marks->drained == NULL || (!look && !marks->growing)) {
        return false;
    }
    marks->grow_look = look ? now + LOOK_MS : marks->grow_look;
    marks->growing = false;
    for (size_t i = 0; i < 2 * MARKS_SCOPES_MAX; i++) {
        struct scope *scope = marks->scopes[i];

        if (scope != NULL && scope_ready(scope)) {
            copies = grow_scope(marks, scope, now) || copies;
            marks->growing = marks->growing || scope->grow != GROW_NOT;
        }
    }
    return copies;
}

int grow_whole(struct marks *marks, struct scope *scope)
{
    int64_t until = marks_monotonic_ms() + 60 * PATIENCE_MS;

    while (gray_marks_crowded(&scope->marks) || scope->next != 0) {
        marks->grow_look = 0;
        grow_step(marks);
        marks_beat(marks);
        if (marks_monotonic_ms() >= until) {
            return -1;
        }
        if (scope->grow == GROW_NOT && scope->next == 0 &&
            gray_marks_crowded(&scope->marks) && scope->grow_until != 0) {
            return -1; /* it was said why */
        }
    }
    return 0;
}
