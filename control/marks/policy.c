/* SPDX-License-Identifier: Apache-2.0
 * policy.c - which scopes of a policy keep marks, and how.
 *
 * Why: grayd knows them from what it compiled, an agent from the same bytes.
 * Read next: marks.h (marks_prepare).
 */
#include <stdlib.h>

#include "control/marks/internal.h"

static void scope_of_release(const struct gray_snapshot *policy,
                             uint32_t number, struct marks_scope *ret_scope)
{
    const struct gray_release *release = gray_release_at(policy, number);
    struct gray_str name = gray_text(policy, release->name);

    *ret_scope = (struct marks_scope){
        .scope = release->scope,
        .attempt = release->attempt,
        .stickiness = release->stickiness,
        .durability = release->durability,
        .flags = release->mark_flags,
        .variants = (uint8_t)release->variants.count,
    };
    snprintf(ret_scope->name, sizeof(ret_scope->name), "%.*s",
             (int)name.length, name.data);
}

struct marks_scope *marks_scopes_of(const struct gray_snapshot *policy,
                                    size_t *ret_count)
{
    uint32_t releases = policy->policy->releases.count;
    struct marks_scope *scopes = calloc(releases + 2, sizeof(*scopes));
    size_t count = 0;

    if (scopes == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < releases; i++) {
        scope_of_release(policy, i, &scopes[count]);
        count += scopes[count].stickiness != GRAY_STICKY_NONE;
    }
    *ret_count = count;
    return scopes;
}
