/* SPDX-License-Identifier: Apache-2.0
 * pair_reduce.c - two editions of a release without what they say alike.
 *
 * Why: of 100,000 rules somebody edits three, and all of them together tell too
 * many sorts of requests apart to be tried.  Where nothing else got narrower
 * (the same order, deny and require, no share lowered), whoever was let in by a
 * rule that is there still is let in by it still; so only requests that none of
 * the common rules lets in can fall out, and those are decided by the other
 * rules alone.  What falls out without the common rules is asked again with
 * all of them, so a drop is one of the whole policy.
 * Read next: exact.c, pair.h.
 */
#include <string.h>

#include "policy/pair.h"

/* Rules of `rules` that are not in `others`. */
static struct model_rule *uncommon(struct gray_arena *arena,
                                   const struct model_rule *rules,
                                   uint32_t count,
                                   const struct gray_model *model,
                                   const struct model_rule *others,
                                   uint32_t other_count,
                                   const struct gray_model *other,
                                   uint32_t *ret_count)
{
    struct model_rule *left = gray_arena_array(arena, count, sizeof(*left));
    struct gray_names hashes = {.arena = arena};

    for (uint32_t i = 0; i < other_count; i++) {
        uint64_t hash = gray_cond_hash(others[i].when, other);

        gray_names_add(&hashes,
                       gray_arena_copy(arena, (const char *)&hash,
                                       sizeof(hash)),
                       sizeof(hash), i, NULL);
    }
    *ret_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = gray_cond_hash(rules[i].when, model);
        uint32_t same =
            gray_names_find(&hashes, (const char *)&hash, sizeof(hash));

        if (same == UINT32_MAX ||
            !gray_cond_same(rules[i].when, model, others[same].when, other)) {
            left[(*ret_count)++] = rules[i];
        }
    }
    return left;
}

static bool shares_grow(const struct model_release *old,
                        const struct model_release *then)
{
    for (uint32_t i = 0; i < old->stage_count; i++) {
        bool grows = false;

        for (uint32_t k = 0; k < then->stage_count; k++) {
            grows |= strcmp(old->stages[i].name, then->stages[k].name) == 0 &&
                     then->stages[k].share >= old->stages[i].share &&
                     then->stages[k].writes == old->stages[i].writes;
        }
        if (!grows) {
            return false;
        }
    }
    return then->share >= old->share && strcmp(old->salt, then->salt) == 0 &&
           old->stage_count == then->stage_count;
}

/* Is nobody let in before the deny is asked? */
static bool denies_first(const struct model_release *release)
{
    for (uint32_t i = 0; i < sizeof(release->order); i++) {
        uint8_t step = release->order[i];

        if (step == GRAY_STEP_DENY) {
            return true;
        }
        if (step == GRAY_STEP_ALLOW || step == GRAY_STEP_RULES) {
            return false;
        }
    }
    return false;
}

/* No rule left: that is nobody by share, and not everyone. */
static void nobody(struct gray_arena *arena, struct model_release *release)
{
    struct model_stage *stages =
        gray_arena_array(arena, release->stage_count, sizeof(*stages));

    for (uint32_t i = 0; i < release->stage_count; i++) {
        stages[i] = release->stages[i];
        stages[i].share = 0;
    }
    release->stages = stages;
    release->share = 0;
}

bool pair_reduce(struct gray_arena *arena, const struct gray_model *before,
                 const struct model_release *old,
                 const struct gray_model *after,
                 const struct model_release *then,
                 struct model_release ret_reduced[2])
{
    uint32_t lost, added;

    uncommon(arena, old->deny, old->deny_count, before, then->deny,
             then->deny_count, after, &lost);
    uncommon(arena, then->deny, then->deny_count, after, old->deny,
             old->deny_count, before, &added);
    if (lost + added > 0 ||
        memcmp(old->order, then->order, sizeof(old->order)) != 0 ||
        !gray_cond_same(old->require, before, then->require, after) ||
        !shares_grow(old, then)) {
        return false;
    }
    ret_reduced[0] = *old;
    ret_reduced[1] = *then;
    ret_reduced[0].allow =
        uncommon(arena, old->allow, old->allow_count, before, then->allow,
                 then->allow_count, after, &ret_reduced[0].allow_count);
    ret_reduced[1].allow =
        uncommon(arena, then->allow, then->allow_count, after, old->allow,
                 old->allow_count, before, &ret_reduced[1].allow_count);
    if (old->match_count > 0 && then->match_count > 0) {
        ret_reduced[0].match =
            uncommon(arena, old->match, old->match_count, before, then->match,
                     then->match_count, after, &ret_reduced[0].match_count);
        ret_reduced[1].match =
            uncommon(arena, then->match, then->match_count, after, old->match,
                     old->match_count, before, &ret_reduced[1].match_count);
    }
    for (int i = 0; i < 2; i++) {
        const struct model_release *whole = i == 0 ? old : then;

        if (ret_reduced[i].match_count == 0 && whole->match_count > 0) {
            nobody(arena, &ret_reduced[i]);
        }
        if (denies_first(old)) {
            ret_reduced[i].deny_count = 0;
        }
    }
    return true;
}
