/* SPDX-License-Identifier: Apache-2.0
 * flows.c - how many requests of an arm came in, and where they went on to.
 *
 * Why: a series counts by the version that served, so a service that no
 * release governs shows nothing of who called it.  What a new version calls,
 * and how often, is seen only by the arms that requests carry: counted at the
 * entrance where they got them, and at every service that they come to.  A
 * request without an arm pays nothing for it.
 * Read next: counters.c, totals.c, impact/predict.c (what it is for).
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

#define PLACES_MAX (1u << 20) /* pointers of a set */

int runtime_flows_make(struct gray_runtime_set *set)
{
    const struct gray_policy *policy = set->policy->policy.policy;
    uint64_t places =
        ((uint64_t)policy->services.count + 1) * policy->variants.count;

    set->flow_arms = policy->variants.count;
    if (places == 0 || places > PLACES_MAX) {
        set->flow_arms = 0; /* not counted */
        return 0;
    }
    set->flows = calloc(places, sizeof(*set->flows));
    return set->flows != NULL ? 0 : -1;
}

static bool has_scope(const struct gray_snapshot *policy, uint64_t scope)
{
    for (uint32_t i = 0; i < policy->policy->releases.count; i++) {
        if (gray_release_at(policy, i)->scope == scope) {
            return true;
        }
    }
    return false;
}

void runtime_flows_retire(struct gray_runtime *runtime,
                          const struct gray_runtime_set *set)
{
    struct reader_file *file = runtime->slot.file;

    for (uint32_t i = 0; i < GRAY_FLOWS_MAX; i++) {
        struct gray_flow *flow = &file->flows[i];

        if (flow->scope != 0 && !has_scope(&set->policy->policy,
                                           flow->scope)) {
            __atomic_store_n(&flow->scope, 0, __ATOMIC_RELEASE);
        }
    }
}

/* The place of these names, found or made; NULL: there is none left. */
static struct gray_flow *flow_find(struct gray_runtime *runtime,
                                   const struct gray_flow *wanted)
{
    struct reader_file *file = runtime->slot.file;
    struct gray_flow *unused = NULL;

    for (uint32_t i = 0; i < GRAY_FLOWS_MAX; i++) {
        struct gray_flow *flow = &file->flows[i];

        if (flow->scope == 0) {
            unused = unused == NULL ? flow : unused;
        } else if (flow->scope == wanted->scope &&
                   strcmp(flow->service, wanted->service) == 0 &&
                   strcmp(flow->arm, wanted->arm) == 0) {
            return flow;
        }
    }
    if (unused != NULL) {
        memcpy(unused->service, wanted->service, sizeof(unused->service));
        memcpy(unused->arm, wanted->arm, sizeof(unused->arm));
        unused->requests = 0;
        __atomic_store_n(&unused->scope, wanted->scope, __ATOMIC_RELEASE);
    }
    return unused;
}

/* Once a policy, service and arm. */
static struct gray_flow *flow_make(struct gray_runtime *runtime,
                                   uint32_t service,
                                   const struct gray_release *release,
                                   const struct gray_verdict *verdict)
{
    const struct gray_snapshot *policy = &runtime->set->policy->policy;
    struct gray_flow wanted = { .scope = release->scope };

    if (service != GRAY_NONE) {
        runtime_name_copy(wanted.service,
                          gray_text(policy,
                                    gray_service_at(policy, service)->name));
    }
    runtime_arm_name(wanted.arm, policy, release, verdict->variant);
    return flow_find(runtime, &wanted);
}

struct gray_flow *gray_counters_flow(struct gray_runtime *runtime,
                                     uint32_t service,
                                     const struct gray_verdict *verdict)
{
    struct gray_runtime_set *set = runtime->set;
    const struct gray_release *release;
    struct gray_flow **place;
    uint32_t row = service == GRAY_NONE ? 0 : service + 1;

    if (runtime->slot.file == NULL || set == NULL || set->flow_arms == 0 ||
        row > set->policy->policy.policy->services.count) {
        return NULL;
    }
    release = gray_release_at(&set->policy->policy, verdict->release);
    if (release == NULL || verdict->variant >= release->variants.count) {
        return NULL;
    }
    place = &set->flows[(size_t)row * set->flow_arms +
                        release->variants.first + verdict->variant];
    if (*place == NULL) {
        *place = flow_make(runtime, service, release, verdict);
        if (*place == NULL) {
            gray_counters_event(runtime, GRAY_EVENT_SERIES_FULL);
        }
    }
    return *place;
}
