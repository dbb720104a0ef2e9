/* SPDX-License-Identifier: Apache-2.0
 * model_cross.c - what can be seen only over all documents together.
 *
 * Why: whether a baseline is empty hangs on the lanes (their endpoints serve
 * nobody else), and which release governs a service hangs on all releases.
 * Documents that had errors of their own are left out: a second finding about
 * the same fault helps nobody.
 * Read next: model.c, lint.c.
 */
#include "policy/check.h"

#include <stdlib.h>
#include <string.h>

/* ---- endpoints ----------------------------------------------------------- */

/* Label keys by which lanes find their endpoints. */
static void collect_lane_keys(struct gray_check *c, struct gray_names *keys)
{
    for (uint32_t i = 0; i < c->model->lane_count; i++) {
        const struct model_lane *lane = &c->model->lanes[i];
        for (uint32_t k = 0; k < lane->selector_count; k++) {
            const struct model_label *label = &lane->selector[k];
            if (label->value != NULL) {
                gray_names_add(keys, label->key, strlen(label->key), i, NULL);
            }
        }
    }
}

static const char *label_of(const struct model_endpoint *endpoint,
                            const char *key)
{
    for (uint32_t i = 0; i < endpoint->label_count; i++) {
        if (strcmp(endpoint->labels[i].key, key) == 0) {
            return endpoint->labels[i].value;
        }
    }
    return NULL;
}

static bool selects(const struct model_label *selector, uint32_t count,
                    const struct model_endpoint *endpoint)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *value = label_of(endpoint, selector[i].key);
        bool equal = value != NULL && selector[i].value != NULL &&
                     strcmp(value, selector[i].value) == 0;
        if (selector[i].value == NULL ? value != NULL : !equal) {
            return false;
        }
    }
    return true;
}

static bool in_a_lane(const struct gray_names *keys,
                      const struct model_endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->label_count; i++) {
        const char *key = endpoint->labels[i].key;
        if (gray_names_find(keys, key, strlen(key)) != UINT32_MAX) {
            return true;
        }
    }
    return false;
}

static void check_baseline(struct gray_check *c, const struct gray_names *keys,
                           const struct model_service *service)
{
    uint32_t selected = 0, hidden = 0;
    for (uint32_t i = 0; i < service->endpoint_count; i++) {
        const struct model_endpoint *endpoint = &service->endpoints[i];
        if (selects(service->baseline, service->baseline_count, endpoint)) {
            hidden += in_a_lane(keys, endpoint);
            selected++;
        }
    }
    if (selected == hidden) {
        gray_check_error(
            c, GRAY_PROBLEM_EMPTY_BASELINE, AT_KEY(NULL, "baseline"),
            selected == 0
                ? "no endpoint has these labels, so nobody would serve "
                  "everyone else; mend the selector, or add endpoints"
                : "all endpoints with these labels stand in lanes, so nobody "
                  "would serve everyone else; add endpoints without the "
                  "lane's label");
    }
}

static void check_baselines(struct gray_check *c)
{
    struct gray_names keys = {.arena = c->arena};
    collect_lane_keys(c, &keys);
    for (uint32_t i = 0; i < c->model->service_count; i++) {
        if (c->service_good[i]) {
            c->document = gray_check_find(c, KIND_SERVICE,
                                          c->model->services[i].name);
            check_baseline(c, &keys, &c->model->services[i]);
        }
    }
}

/* ---- priorities ---------------------------------------------------------- */

struct claim {
    uint32_t service, release;
    int32_t priority;
};

static int by_claim(const void *left, const void *right)
{
    const struct claim *a = left, *b = right;
    if (a->service != b->service) {
        return a->service < b->service ? -1 : 1;
    }
    if (a->priority != b->priority) {
        return a->priority < b->priority ? -1 : 1;
    }
    return (a->release > b->release) - (a->release < b->release);
}

static uint32_t collect_claims(struct gray_check *c, struct claim *claims)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->model->release_count; i++) {
        const struct model_release *release = &c->model->releases[i];
        for (uint32_t v = 0; c->release_good[i] && v < release->variant_count;
             v++) {
            const struct model_variant *variant = &release->variants[v];
            for (uint32_t t = 0; t < variant->target_count; t++) {
                if (claims != NULL) {
                    claims[count] = (struct claim){
                        variant->targets[t].service, i, release->priority};
                }
                count++;
            }
        }
    }
    return count;
}

static void check_priorities(struct gray_check *c)
{
    uint32_t count = collect_claims(c, NULL);
    struct claim *claims =
        gray_arena_array(c->arena, count, sizeof(*claims));
    collect_claims(c, claims);
    qsort(claims, count, sizeof(*claims), by_claim);
    for (uint32_t i = 1; i < count; i++) {
        const struct claim *a = &claims[i - 1], *b = &claims[i];
        if (a->service != b->service || a->priority != b->priority ||
            a->release == b->release) {
            continue;
        }
        const char *name = c->model->releases[b->release].name;
        c->document = gray_check_find(c, KIND_RELEASE, name);
        bool written =
            json_object_get(c->document->tree, "priority") != NULL;
        gray_check_error(c, GRAY_PROBLEM_EQUAL_PRIORITY,
                         written ? AT_KEY(NULL, "priority") : NULL,
                         "Release %s governs service %s with priority %d too; "
                         "write another priority here (the higher wins)",
                         c->model->releases[a->release].name,
                         c->model->services[a->service].name, a->priority);
    }
}

/* ---- versions and members without endpoints ------------------------------ */

static uint32_t count_version(const struct gray_names *keys,
                              const struct model_service *service,
                              const char *version)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < service->endpoint_count; i++) {
        const struct model_endpoint *endpoint = &service->endpoints[i];
        count += strcmp(label_of(endpoint, "version"), version) == 0 &&
                 !in_a_lane(keys, endpoint);
    }
    return count;
}

static void warn_target(struct gray_check *c, const struct gray_names *keys,
                        const struct model_target *target)
{
    const struct model_service *service =
        &c->model->services[target->service];
    if (!c->service_good[target->service]) {
        return;
    }
    if (count_version(keys, service, target->version) == 0) {
        gray_check_say(c, GRAY_WARNING, GRAY_PROBLEM_NO_ENDPOINT, NULL,
                       "version %s of %s has no endpoint outside of lanes: "
                       "whoever is admitted is served by the baseline",
                       target->version, service->name);
    }
    if (strcmp(service->baseline_version, target->version) == 0) {
        gray_check_say(c, GRAY_WARNING, GRAY_PROBLEM_RELEASE_IS_BASELINE,
                       NULL,
                       "version %s of %s is the baseline already; when the "
                       "release is done, take its document away",
                       target->version, service->name);
    }
}

static void warn_endpoints(struct gray_check *c)
{
    struct gray_names keys = {.arena = c->arena};
    collect_lane_keys(c, &keys);
    for (uint32_t i = 0; i < c->model->release_count; i++) {
        const struct model_release *release = &c->model->releases[i];
        c->document = gray_check_find(c, KIND_RELEASE, release->name);
        for (uint32_t v = 0; c->release_good[i] && v < release->variant_count;
             v++) {
            for (uint32_t t = 0; t < release->variants[v].target_count;
                 t++) {
                warn_target(c, &keys, &release->variants[v].targets[t]);
            }
        }
    }
    for (uint32_t i = 0; i < c->model->lane_count; i++) {
        const struct model_lane *lane = &c->model->lanes[i];
        uint32_t found = 0;
        for (uint32_t s = 0; s < lane->service_count; s++) {
            const struct model_service *service =
                &c->model->services[lane->services[s]];
            for (uint32_t e = 0; e < service->endpoint_count; e++) {
                found += selects(lane->selector, lane->selector_count,
                                 &service->endpoints[e]);
            }
        }
        if (found == 0 && lane->service_count > 0) {
            c->document = gray_check_find(c, KIND_LANE, lane->name);
            gray_check_say(c, GRAY_WARNING, GRAY_PROBLEM_NO_ENDPOINT,
                           AT_KEY(NULL, "services"),
                           "no member has an endpoint in this lane; give "
                           "endpoints the label of its selector");
        }
    }
}

void gray_check_cross(struct gray_check *c)
{
    if (c->lanes_good) {
        check_baselines(c);
        warn_endpoints(c);
    }
    check_priorities(c);
    c->document = NULL;
}
