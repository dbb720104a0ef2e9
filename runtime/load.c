/* SPDX-License-Identifier: Apache-2.0
 * load.c - what of a folder is to be in force, and what is to lie ready.
 *
 * Why: everything is mapped and checked beside the requests.  What is not good
 * is refused and said, and the last good one stays: a bad file must never be
 * worse than no file.  What waits for its instant is made whole here, too, and
 * hangs on the state that it will follow; when its instant has come already,
 * or somebody turned to it before, it is what is in force.
 * Read next: search.c (which file), set.c, turn.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/witness.h"

static void refuse(struct gray_runtime *runtime,
                   const struct gray_problem *problem)
{
    struct gray_problem *next = runtime->refusal == &runtime->refusals[0]
                                    ? &runtime->refusals[1]
                                    : &runtime->refusals[0];
    struct reader_file *file = runtime->slot.file;

    *next = *problem;
    __atomic_store_n(&runtime->refusal, next, __ATOMIC_RELEASE);
    if (file == NULL) {
        return;
    }
    if (problem->code == NULL) {
        file->refusal[0] = '\0';
        return;
    }
    snprintf(file->refusal, sizeof(file->refusal), "%.30s: %.126s",
             problem->code, problem->sentence);
    gray_counters_event(runtime, GRAY_EVENT_SNAPSHOT_REFUSED);
}

/* One look at `control`, and what came of it. */
struct look {
    struct gray_runtime *runtime;
    uint64_t policy, fleet; /* as they are named, or turned to */
    uint64_t next;          /* that waits; 0: none */
    uint64_t avoid;         /* lists of this one are not good; 0: none */
    struct gray_problem *problem; /* the first one */
    bool refused;
};

static void say(struct look *look, const struct gray_problem *problem)
{
    if (!look->refused) {
        *look->problem = *problem;
    }
    look->refused = true;
}

static uint64_t generation_of(const struct part *part)
{
    return part != NULL ? part->generation : 0;
}

static struct search search_of(const struct look *look, enum part_kind kind,
                               uint64_t generation)
{
    return (struct search){
        .dirfd = look->runtime->dirfd,
        .stem = kind == PART_FLEET ? "fleet" : "policy",
        .kind = kind,
        .owner = look->runtime->owner,
        .generation = generation,
        .skip = kind == PART_POLICY ? look->runtime->avoided : NULL,
    };
}

/* ---- what waits ------------------------------------------------------------
 */

/* The policy that `control` names as the next one, checked; NULL: there is
 * none, or it is not good. */
static struct part *next_policy(struct look *look)
{
    struct gray_runtime *runtime = look->runtime;
    const struct gray_runtime_set *old = runtime->set;
    struct search search = search_of(look, PART_POLICY, look->next);
    struct gray_problem problem = {NULL, "", 0};
    struct part *part = NULL;

    if (look->next == 0 || look->next == look->avoid) {
        return NULL;
    }
    if (runtime_trial_avoids(runtime, look->next, &problem)) {
        say(look, &problem);
        return NULL;
    }
    if (old != NULL && old->next != NULL &&
        old->next->policy->generation == look->next) {
        return runtime_part_ref(old->next->policy);
    }
    runtime_trial_begin(runtime, look->next);
    if (runtime_search_named(&search, &part, &problem) != 0) {
        say(look, &problem);
        return NULL;
    }
    return part;
}

static bool has_come(const struct gray_runtime *runtime,
                     const struct part *policy)
{
    return policy->policy.header->effective_at <= gray_wall_ms() ||
           policy->generation == runtime->witnessed;
}

/* The fleet that a policy comes with, unless a newer one is in force. */
static int fleet_of(struct look *look, const struct part *policy,
                    const struct gray_runtime_set *now, struct part **ret_fleet)
{
    const struct gray_runtime_set *old = look->runtime->set;
    struct search search = search_of(look, PART_FLEET, look->fleet);
    struct gray_problem problem = {NULL, "", 0};

    if (policy->policy.header->fleet_generation > search.generation) {
        search.generation = policy->policy.header->fleet_generation;
    }
    if (search.generation == generation_of(now->fleet)) {
        *ret_fleet = runtime_part_ref(now->fleet);
        return 0;
    }
    if (old != NULL && old->next != NULL &&
        search.generation == generation_of(old->next->fleet)) {
        *ret_fleet = runtime_part_ref(old->next->fleet);
        return 0;
    }
    if (runtime_search_named(&search, ret_fleet, &problem) != 0) {
        say(look, &problem);
        return -1;
    }
    return 0;
}

/* Hangs it on the state that it will follow; takes `policy` over. */
static void hang_next(struct look *look, struct part *policy,
                      struct gray_runtime_set *set)
{
    struct gray_runtime_set *next = calloc(1, sizeof(*next));

    if (next == NULL || fleet_of(look, policy, set, &next->fleet) != 0) {
        runtime_part_unref(policy);
        free(next);
        return;
    }
    next->policy = policy;
    next->named_policy = policy->generation;
    next->named_fleet = generation_of(next->fleet);
    next->keys_generation = set->keys_generation;
    next->marks_generation = set->marks_generation;
    next->keys = set->keys;
    set->next = next;
}

static void map_marks(struct gray_runtime *runtime,
                      struct gray_runtime_set *set,
                      const struct gray_runtime_set *old,
                      struct gray_problem *ret_problem)
{
    struct gray_problem problem;

    /* Without a table its release knows nobody, and the set is good all the
     * same; what is wrong with one is said when nothing else is. */
    if (runtime_set_marks(set, runtime->marks_fd, runtime->owner,
                          runtime->kind == GRAY_READER_NGINX, old,
                          runtime->control, &problem) != 0 &&
        ret_problem->code == NULL) {
        *ret_problem = problem;
    }
}

static void complete_next(struct look *look, struct gray_runtime_set *set)
{
    struct gray_runtime *runtime = look->runtime;
    const struct gray_runtime_set *old = runtime->set;
    struct gray_problem problem = {NULL, "", 0};

    if (set->next == NULL) {
        return;
    }
    /* Its lists are those of before, if it was there; else today's. */
    if (old == NULL || old->next == NULL ||
        old->next->policy != set->next->policy) {
        old = set;
    } else {
        old = old->next;
    }
    runtime_trial_begin(runtime, set->next->policy->generation);
    if (runtime_set_complete(set->next, runtime->lists_fd, runtime->owner, old,
                             runtime->control, &problem) != 0) {
        say(look, &problem);
        gray_runtime_set_free(set->next);
        set->next = NULL;
        return;
    }
    map_marks(runtime, set->next, set, look->problem);
}

/* ---- what is in force -------------------------------------------------------
 */

/* The policy that is named, or the last good one. */
static void take_policy(struct look *look, struct gray_runtime_set *set)
{
    struct gray_runtime *runtime = look->runtime;
    struct part *current = runtime->set != NULL ? runtime->set->policy : NULL;
    struct search search = search_of(look, PART_POLICY, look->policy);
    struct gray_problem problem = {NULL, "", 0};
    bool bad = false;

    search.avoid = look->avoid != look->next ? look->avoid : 0;
    if (generation_of(current) != look->policy) {
        bad = runtime_trial_avoids(runtime, look->policy, &problem);
        if (bad && search.avoid == 0) {
            search.avoid = look->policy;
        }
        runtime_trial_begin(runtime, look->policy);
    }
    if (runtime_search_part(&search, current, &set->policy,
                            bad ? NULL : &problem)) {
        say(look, &problem);
    }
    if (bad && current == NULL) {
        gray_counters_event(runtime, GRAY_EVENT_SNAPSHOT_AVOIDED);
    }
}

/* Builds what `control` names now, and what is to follow it. */
static void build(struct look *look, struct gray_runtime_set *set)
{
    struct gray_runtime *runtime = look->runtime;
    const struct gray_control *control = runtime->control;
    struct part *next = next_policy(look);
    struct part *current = runtime->set != NULL ? runtime->set->fleet : NULL;
    struct search fleet = search_of(look, PART_FLEET, look->fleet);
    struct gray_problem problem = {NULL, "", 0};

    if (next != NULL && has_come(runtime, next)) {
        set->policy = next;
        next = NULL;
    } else {
        take_policy(look, set);
    }
    /* Published together, the policy's header says with which fleet. */
    if (set->policy != NULL &&
        set->policy->policy.header->fleet_generation > fleet.generation) {
        fleet.generation = set->policy->policy.header->fleet_generation;
    }
    if (runtime_search_part(&fleet, current, &set->fleet, &problem)) {
        say(look, &problem);
    }
    set->marks_generation = load_u64(&control->marks_generation);
    set->keys_generation = load_u64(&control->keys_generation);
    if (set->keys_generation != 0) {
        runtime_keys_read(runtime->dirfd, runtime->owner, &set->keys);
    }
    if (next != NULL) {
        hang_next(look, next, set);
    }
}

static bool same_next(const struct gray_runtime_set *a,
                      const struct gray_runtime_set *b)
{
    return a == NULL || b == NULL
               ? a == b
               : a->policy == b->policy && a->fleet == b->fleet;
}

static bool nothing_new(const struct gray_runtime_set *old,
                        const struct gray_runtime_set *set)
{
    return old != NULL && old->policy == set->policy &&
           old->fleet == set->fleet &&
           old->keys_generation == set->keys_generation &&
           old->marks_generation == set->marks_generation &&
           same_next(old->next, set->next);
}

/* One try. *ret_set NULL: out of memory, or a policy that must be avoided. */
static void try_load(struct look *look, struct gray_runtime_set **ret_set,
                     uint64_t *ret_avoid)
{
    struct gray_runtime *runtime = look->runtime;
    struct gray_runtime_set *set = calloc(1, sizeof(*set));
    struct gray_problem problem = {NULL, "", 0};

    *ret_set = NULL;
    *ret_avoid = 0;
    if (set == NULL) {
        runtime_problem_set(&problem, ENOMEM, "memory", "Out of memory.");
        say(look, &problem);
        return;
    }
    set->named_policy = look->policy;
    set->named_fleet = look->fleet;
    build(look, set);
    if (!nothing_new(runtime->set, set)) {
        if (runtime_set_complete(set, runtime->lists_fd, runtime->owner,
                                 runtime->set, runtime->control,
                                 &problem) != 0) {
            say(look, &problem);
            *ret_avoid = set->policy->generation;
            gray_runtime_set_free(set);
            return;
        }
        map_marks(runtime, set, runtime->set, look->problem);
        complete_next(look, set);
    }
    *ret_set = set;
}

/* ---- load -------------------------------------------------------------------
 */

static void look_at_control(struct look *look, struct gray_runtime *runtime)
{
    const struct gray_control *control = runtime->control;
    uint64_t turned = generation_of(
        runtime->set != NULL ? runtime->set->policy : NULL);

    look->runtime = runtime;
    /* In this order: a publisher ends what waits after it named another. */
    look->next = load_u64(&control->next_generation);
    look->policy = load_u64(&control->policy_generation);
    look->fleet = load_u64(&control->fleet_generation);
    __atomic_store_n(&runtime->tried_next, look->next, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_policy, look->policy, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_fleet, look->fleet, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_keys,
                     load_u64(&control->keys_generation), __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_marks,
                     load_u64(&control->marks_generation), __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_accepted,
                     load_u64(&control->accepted_generation), __ATOMIC_RELEASE);
    if (look->next <= look->policy) {
        look->next = 0; /* in force by now, or overtaken */
    } else if (look->next == turned) {
        look->policy = turned; /* never back */
        look->next = 0;
    }
}

static bool overtaken(const struct gray_runtime *runtime)
{
    const struct gray_control *control = runtime->control;

    return load_u64(&control->policy_generation) != runtime->tried_policy ||
           load_u64(&control->fleet_generation) != runtime->tried_fleet ||
           load_u64(&control->next_generation) != runtime->tried_next;
}

#define LOAD_TRIES 8u

/* The set, or NULL; *ret_problem's code says whether something was refused. */
static struct gray_runtime_set *load(struct gray_runtime *runtime,
                                     struct gray_problem *ret_problem)
{
    struct gray_problem problem, first = {NULL, "", 0};
    struct gray_runtime_set *set = NULL;
    uint64_t avoid = 0, next_avoid = 0;
    uint32_t tries;

    for (tries = 0; tries < LOAD_TRIES; tries++) {
        struct look look = {.problem = &problem, .avoid = avoid};

        problem = (struct gray_problem){NULL, "", 0};
        look_at_control(&look, runtime);
        try_load(&look, &set, &next_avoid);
        if (look.refused && overtaken(runtime)) {
            gray_runtime_set_free(set);
            set = NULL;
            avoid = 0;
            first.code = NULL;
            continue; /* a publisher was faster: look again */
        }
        first = first.code == NULL ? problem : first;
        if (set != NULL || next_avoid == 0 || next_avoid == avoid) {
            break;
        }
        avoid = next_avoid;
    }
    *ret_problem = first;
    return set;
}

int gray_runtime_load(struct gray_runtime *runtime,
                      struct gray_runtime_set **ret_set,
                      struct gray_problem *ret_problem)
{
    const struct reader_file *file = runtime->slot.file;
    uint64_t suspect =
        file != NULL ? __atomic_load_n(&file->suspect, __ATOMIC_ACQUIRE) : 0;
    int64_t since = file != NULL ? file->suspect_since : 0;
    struct gray_problem problem;
    struct gray_runtime_set *set = load(runtime, &problem);
    bool refused = problem.code != NULL;

    runtime_trial_back(runtime, suspect, since);
    if (refused || runtime->refusal->code != NULL) {
        refuse(runtime, &problem);
    }
    if (set != NULL && nothing_new(runtime->set, set)) {
        gray_runtime_set_free(set);
        set = NULL;
    }
    if (refused && ret_problem != NULL) {
        *ret_problem = problem;
    }
    *ret_set = set;
    return refused && set == NULL ? -EINVAL : 0;
}
