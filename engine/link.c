/* SPDX-License-Identifier: Apache-2.0
 * link.c - joins the routes of a policy with the endpoints of a fleet.
 *
 * Why: a route says "cart, version=v2, no lane", a fleet says which endpoints
 * carry which labels, and the two files change at their own pace.  The join is
 * made once for each pair, off the request path, so that a request only looks
 * up an array.  In each subset those that may take requests stand first: then
 * picking one of them needs no search.
 * Read next: choose.c.
 */
#include "engine/view.h"

static const struct gray_fleet_service *find_service(const struct gray_fleet *f,
                                                     struct gray_str name)
{
    const struct gray_fleet_service *services =
        (const struct gray_fleet_service *)(f->base + f->body->services.offset);
    uint32_t first = 0, last = f->body->services.count, middle;
    uint32_t hash = gray_hash_name(name.data, name.length);

    while (first < last) {
        middle = first + (last - first) / 2;
        if (services[middle].hash < hash) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    for (; first < f->body->services.count && services[first].hash == hash;
         first++) {
        if (same_bytes(gray_fleet_text(f, services[first].name), name)) {
            return &services[first];
        }
    }
    return NULL;
}

/* Does the endpoint carry key = value, or, value empty, not have the key? */
static bool label_holds(const struct gray_fleet *f,
                        const struct gray_endpoint *endpoint,
                        struct gray_str key, struct gray_str value)
{
    const struct gray_selector *labels =
        (const struct gray_selector *)(f->base + f->body->labels.offset);
    uint32_t i;

    labels += endpoint->labels.first;
    for (i = 0; i < endpoint->labels.count; i++) {
        if (same_bytes(gray_fleet_text(f, labels[i].key), key)) {
            return value.length != 0 &&
                   same_bytes(gray_fleet_text(f, labels[i].value), value);
        }
    }
    return value.length == 0;
}

static bool is_member(const struct gray_snapshot *policy,
                      const struct gray_fleet *f, struct gray_span selector,
                      const struct gray_endpoint *endpoint)
{
    const struct gray_selector *selectors =
        (const struct gray_selector *)(policy->base +
                                       policy->policy->selectors.offset);
    uint32_t i;

    if (!span_fits(selector, policy->policy->selectors.count)) {
        return false;
    }
    for (i = 0; i < selector.count; i++) {
        const struct gray_selector *one = &selectors[selector.first + i];

        if (!label_holds(f, endpoint, view_text(policy, one->key),
                         view_text(policy, one->value))) {
            return false;
        }
    }
    return true;
}

static bool is_ready(const struct gray_endpoint *endpoint)
{
    return endpoint->weight != 0 && (endpoint->state == GRAY_ENDPOINT_READY ||
                                     endpoint->state == GRAY_ENDPOINT_WARMING);
}

/* Visits the members of a route in the fleet's order; those that are ready or
 * those that are not.  Writes numbers where `ret_members` is not NULL. */
static uint64_t visit(const struct gray_snapshot *policy,
                      const struct gray_fleet *fleet, uint32_t number,
                      bool ready, uint32_t *ret_members)
{
    const struct gray_route *route =
        VIEW_AT(policy, routes, gray_route, number);
    const struct gray_service *service =
        route == NULL ? NULL
                      : VIEW_AT(policy, services, gray_service, route->service);
    const struct gray_fleet_service *found =
        service == NULL ? NULL
                        : find_service(fleet, view_text(policy, service->name));
    uint64_t count = 0;
    uint32_t i;

    if (found == NULL) {
        return 0;
    }
    for (i = 0; i < found->endpoints.count; i++) {
        uint32_t at = found->endpoints.first + i;
        const struct gray_endpoint *endpoint = gray_endpoint_at(fleet, at);

        if (endpoint == NULL || is_ready(endpoint) != ready ||
            !is_member(policy, fleet, route->selector, endpoint)) {
            continue;
        }
        if (ret_members != NULL) {
            ret_members[count] = at;
        }
        count++;
    }
    return count;
}

size_t gray_link_size(const struct gray_snapshot *policy,
                      const struct gray_fleet *fleet)
{
    uint32_t i, routes = policy->policy->routes.count;
    uint64_t members = 0;

    for (i = 0; i < routes; i++) {
        members += visit(policy, fleet, i, true, NULL);
        members += visit(policy, fleet, i, false, NULL);
    }
    return routes * sizeof(struct gray_subset) + members * sizeof(uint32_t);
}

int gray_link_build(struct gray_link *ret_link,
                    const struct gray_snapshot *policy,
                    const struct gray_fleet *fleet, void *memory, size_t size)
{
    uint32_t i, routes = policy->policy->routes.count;
    size_t needed = gray_link_size(policy, fleet);
    struct gray_subset *subsets = memory;
    uint32_t *members;
    uint64_t used = 0;

    if (size < needed || ((uintptr_t)memory & 7) != 0 ||
        needed / sizeof(uint32_t) > UINT32_MAX) {
        return -1;
    }
    members = (uint32_t *)(subsets + routes);
    for (i = 0; i < routes; i++) {
        subsets[i].members.first = (uint32_t)used;
        subsets[i].ready =
            (uint32_t)visit(policy, fleet, i, true, members + used);
        used += subsets[i].ready;
        used += visit(policy, fleet, i, false, members + used);
        subsets[i].members.count = (uint32_t)used - subsets[i].members.first;
        subsets[i].pad = 0;
    }
    ret_link->subsets = subsets;
    ret_link->subset_count = routes;
    ret_link->members = members;
    ret_link->member_count = (uint32_t)used;
    return 0;
}
