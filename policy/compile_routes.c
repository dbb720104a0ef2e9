/* SPDX-License-Identifier: Apache-2.0
 * compile_routes.c - services and every way in which one can be reached.
 *
 * Why: "cart of release cart-2", "cart in lane red", "cart as ever" are worked
 * out here, once, as selectors over labels; a request then only looks up a
 * number.  An endpoint that stands in a lane serves nobody else, so baseline
 * and arms demand that the label keys of lanes be absent.
 *
 * Routes of one service: baseline | arms by descending priority | lanes
 * ascending | copies of lanes as links of another lane's fallback chain.
 * Read next: ../engine/link.c, ../engine/choose.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* One arm of one service. */
struct arm {
    uint32_t service, release, variant;
    const char *version;
};
struct member {
    uint32_t service, lane;
};

struct router {
    struct build *build;
    const char **lane_keys; /* sorted, without repetitions */
    uint32_t lane_key_count;
    struct arm *arms; /* by service, then release, then variant */
    uint32_t arm_count;
    struct member *members; /* by service, then lane */
    uint32_t member_count;
};

/* ---- gathering ----------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_arm(const void *left, const void *right)
{
    const struct arm *a = left, *b = right;

    if (a->service != b->service) {
        return a->service < b->service ? -1 : 1;
    }
    if (a->release != b->release) {
        return a->release < b->release ? -1 : 1;
    }
    return a->variant < b->variant ? -1 : a->variant > b->variant;
}

static int by_member(const void *left, const void *right)
{
    const struct member *a = left, *b = right;

    if (a->service != b->service) {
        return a->service < b->service ? -1 : 1;
    }
    return a->lane < b->lane ? -1 : a->lane > b->lane;
}

/* Also of lanes that are switched off: their endpoints go on serving nobody
 * else. */
static int gather_keys(struct router *router)
{
    const struct gray_model *model = router->build->model;
    size_t count = 0, used = 0;
    uint32_t i, k;

    for (i = 0; i < model->lane_count; i++) {
        count += model->lanes[i].selector_count;
    }
    router->lane_keys = malloc((count + 1) * sizeof(*router->lane_keys));
    if (router->lane_keys == NULL) {
        return -1;
    }
    for (i = 0; i < model->lane_count; i++) {
        for (k = 0; k < model->lanes[i].selector_count; k++) {
            if (model->lanes[i].selector[k].value != NULL) {
                router->lane_keys[used++] = model->lanes[i].selector[k].key;
            }
        }
    }
    qsort(router->lane_keys, used, sizeof(*router->lane_keys), by_text);
    for (i = 0; i < used; i++) {
        if (i == 0 ||
            strcmp(router->lane_keys[i], router->lane_keys[i - 1]) != 0) {
            router->lane_keys[router->lane_key_count++] = router->lane_keys[i];
        }
    }
    return 0;
}

static int gather_arms(struct router *router)
{
    const struct gray_model *model = router->build->model;
    size_t count = 0;
    uint32_t i, v, t;

    for (i = 0; i < model->release_count; i++) {
        for (v = 0; v < model->releases[i].variant_count; v++) {
            count += model->releases[i].variants[v].target_count;
        }
    }
    router->arms = malloc((count + 1) * sizeof(*router->arms));
    if (router->arms == NULL) {
        return -1;
    }
    for (i = 0; i < model->release_count; i++) {
        for (v = 0; v < model->releases[i].variant_count; v++) {
            const struct model_variant *variant =
                &model->releases[i].variants[v];

            for (t = 0; t < variant->target_count; t++) {
                router->arms[router->arm_count++] =
                    (struct arm){variant->targets[t].service, i, v,
                                 variant->targets[t].version};
            }
        }
    }
    qsort(router->arms, count, sizeof(*router->arms), by_arm);
    return 0;
}

static int gather_members(struct router *router)
{
    const struct gray_model *model = router->build->model;
    size_t count = 0;
    uint32_t i, s;

    for (i = 0; i < model->lane_count; i++) {
        count += model->lanes[i].service_count;
    }
    router->members = malloc((count + 1) * sizeof(*router->members));
    if (router->members == NULL) {
        return -1;
    }
    for (i = 0; i < model->lane_count; i++) {
        for (s = 0; model->lanes[i].enabled &&
                    s < model->lanes[i].service_count;
             s++) {
            router->members[router->member_count++] =
                (struct member){model->lanes[i].services[s], i};
        }
    }
    qsort(router->members, router->member_count, sizeof(*router->members),
          by_member);
    return 0;
}

/* ---- one route ----------------------------------------------------------- */

static int put_selector(struct build *build, const char *key,
                        const char *value, struct gray_span *span)
{
    struct gray_ref key_ref = build_name(build, key);
    struct gray_ref value_ref = build_name(build, value);
    struct gray_selector *out =
        bytes_add(build, &build->selectors, sizeof(*out));

    if (out == NULL) {
        return -1;
    }
    out->key = key_ref;
    out->value = value_ref;
    span->count++;
    return 0;
}

static bool has_key(const struct model_label *labels, uint32_t count,
                    const char *key)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (strcmp(labels[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static int put_labels(struct router *router, const struct model_label *labels,
                      uint32_t count, bool outside_lanes,
                      struct gray_span *ret_span)
{
    struct build *build = router->build;
    uint32_t i;

    ret_span->first = COUNT(build->selectors, struct gray_selector);
    ret_span->count = 0;
    for (i = 0; i < count; i++) {
        if (put_selector(build, labels[i].key, labels[i].value, ret_span) !=
            0) {
            return -1;
        }
    }
    for (i = 0; outside_lanes && i < router->lane_key_count; i++) {
        if (!has_key(labels, count, router->lane_keys[i]) &&
            put_selector(build, router->lane_keys[i], NULL, ret_span) != 0) {
            return -1;
        }
    }
    return 0;
}

/* "service|version|lane|arm": the names are bounded, so the text is. */
static uint64_t series_of(const char *service, const char *version,
                          const char *lane, const char *release,
                          const char *variant)
{
    char text[8 * (GRAY_NAME_MAX + 1)];
    int length = snprintf(text, sizeof(text), "%s|%s|%s|%s%s%s", service,
                          version, lane, release, *variant == '\0' ? "" : ":",
                          variant);

    if (length < 0 || (size_t)length >= sizeof(text)) {
        length = sizeof(text) - 1;
    }
    return gray_hash_scope(text, (size_t)length);
}

static struct gray_route *new_route(struct build *build, uint8_t kind,
                                    uint32_t service)
{
    struct gray_route *route =
        bytes_add(build, &build->routes, sizeof(*route));

    if (route != NULL) {
        route->service = service;
        route->kind = kind;
        route->release = route->variant = route->lane = GRAY_NONE;
        route->fallback = GRAY_NONE;
    }
    return route;
}

static int put_baseline(struct router *router, uint32_t number)
{
    struct build *build = router->build;
    const struct model_service *service = &build->model->services[number];
    struct gray_route *route =
        new_route(build, GRAY_ROUTE_BASELINE, number);

    if (route == NULL) {
        return -1;
    }
    route->version = build_name(build, service->baseline_version);
    route->series =
        series_of(service->name, service->baseline_version, "", "", "");
    return put_labels(router, service->baseline, service->baseline_count, true,
                      &route->selector);
}

static int put_arm(struct router *router, const struct arm *arm)
{
    struct build *build = router->build;
    const struct model_release *release =
        &build->model->releases[arm->release];
    struct model_label version = {"version", arm->version};
    struct gray_route *route =
        new_route(build, GRAY_ROUTE_ARM, arm->service);

    if (route == NULL) {
        return -1;
    }
    route->version = build_name(build, arm->version);
    route->release = arm->release;
    route->variant = arm->variant;
    route->series = series_of(build->model->services[arm->service].name,
                              arm->version, "", release->name,
                              release->variants[arm->variant].name);
    return put_labels(router, &version, 1, true, &route->selector);
}

static int put_lane(struct router *router, uint32_t service, uint32_t number,
                    uint32_t fallback)
{
    struct build *build = router->build;
    const struct model_lane *lane = &build->model->lanes[number];
    struct gray_route *route = new_route(build, GRAY_ROUTE_LANE, service);

    if (route == NULL) {
        return -1;
    }
    route->version = build_name(build, lane->name);
    route->lane = number;
    route->flags = lane->strict ? GRAY_ROUTE_STRICT : 0;
    route->fallback = fallback;
    route->series = series_of(build->model->services[service].name,
                              lane->name, lane->name, "", "");
    return put_labels(router, lane->selector, lane->selector_count, false,
                      &route->selector);
}

/* ---- fallback chains ----------------------------------------------------- */

/* Place among the service's lanes; GRAY_NONE: not a member, or off. */
static uint32_t place_of(const struct member *members, uint32_t count,
                         uint32_t lane)
{
    uint32_t first = 0, last = count, middle;

    while (first < last) {
        middle = first + (last - first) / 2;
        if (members[middle].lane < lane) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    return first < count && members[first].lane == lane ? first : GRAY_NONE;
}

/* The next lane of a chain, from *cursor on, that the service is a member of;
 * its place, GRAY_NONE at the end. */
static uint32_t next_link(const struct model_lane *lane, uint32_t *cursor,
                          const struct member *members, uint32_t count)
{
    uint32_t place;

    while (*cursor < lane->fallback_count) {
        place = place_of(members, count, lane->fallback[(*cursor)++]);
        if (place != GRAY_NONE) {
            return place;
        }
    }
    return GRAY_NONE;
}

/* Does the other lane go on by itself exactly as this chain does? Then its own
 * route can be the link; else a copy is. */
static bool same_rest(const struct model_lane *lane, uint32_t cursor,
                      const struct model_lane *other,
                      const struct member *members, uint32_t count)
{
    uint32_t own = 0, a, b;

    do {
        a = next_link(lane, &cursor, members, count);
        b = next_link(other, &own, members, count);
        if (a != b) {
            return false;
        }
    } while (a != GRAY_NONE);
    return true;
}

/* Number of the route that stands for the chain from *cursor on. */
static int put_chain(struct router *router, const struct model_lane *lane,
                     uint32_t cursor, const struct member *members,
                     uint32_t count, uint32_t first, uint32_t *ret_route)
{
    struct build *build = router->build;
    uint32_t place = next_link(lane, &cursor, members, count), rest;
    const struct model_lane *other;

    if (place == GRAY_NONE) {
        *ret_route = GRAY_NONE;
        return 0;
    }
    other = &build->model->lanes[members[place].lane];
    if (same_rest(lane, cursor, other, members, count)) {
        *ret_route = first + place;
        return 0;
    }
    if (put_chain(router, lane, cursor, members, count, first, &rest) != 0) {
        return -1;
    }
    *ret_route = COUNT(build->routes, struct gray_route);
    return put_lane(router, members[place].service, members[place].lane, rest);
}

static int put_lanes(struct router *router, const struct member *members,
                     uint32_t count)
{
    struct build *build = router->build;
    uint32_t first = COUNT(build->routes, struct gray_route);
    uint32_t i, fallback;

    for (i = 0; i < count; i++) {
        if (put_lane(router, members[i].service, members[i].lane,
                     GRAY_NONE) != 0) {
            return -1;
        }
    }
    for (i = 0; i < count; i++) {
        if (put_chain(router, &build->model->lanes[members[i].lane], 0,
                      members, count, first, &fallback) != 0) {
            return -1;
        }
        TABLE(build->routes, struct gray_route)[first + i].fallback = fallback;
    }
    return 0;
}

/* ---- services ------------------------------------------------------------ */

static int put_service(struct router *router, uint32_t number,
                       const struct arm **arms, const struct member **members)
{
    struct build *build = router->build;
    const struct arm *arms_end = router->arms + router->arm_count;
    const struct member *first = *members,
                        *end = router->members + router->member_count;
    struct gray_service out = {{0}}, *room;

    out.name = build_name(build, build->model->services[number].name);
    out.baseline = COUNT(build->routes, struct gray_route);
    if (put_baseline(router, number) != 0) {
        return -1;
    }
    out.arms.first = COUNT(build->routes, struct gray_route);
    for (; *arms < arms_end && (*arms)->service == number; (*arms)++) {
        if (put_arm(router, *arms) != 0) {
            return -1;
        }
        out.arms.count++;
    }
    out.lanes.first = COUNT(build->routes, struct gray_route);
    while (*members < end && (*members)->service == number) {
        (*members)++;
        out.lanes.count++;
    }
    if (put_lanes(router, first, out.lanes.count) != 0) {
        return -1;
    }
    room = bytes_add(build, &build->services, sizeof(*room));
    if (room == NULL) {
        return -1;
    }
    *room = out;
    return 0;
}

static int put_lane_names(struct build *build)
{
    const struct gray_model *model = build->model;
    struct gray_lane *out;
    uint32_t i;

    for (i = 0; i < model->lane_count; i++) {
        struct gray_ref name = build_name(build, model->lanes[i].name);
        struct gray_ref group = build_name(build, model->lanes[i].group);

        out = bytes_add(build, &build->lanes, sizeof(*out));
        if (out == NULL) {
            return -1;
        }
        out->name = name;
        out->group = group;
        out->flags = model->lanes[i].strict ? GRAY_ROUTE_STRICT : 0;
    }
    return 0;
}

/* What each release governs; counted first, so that its routes lie in one
 * span of numbers. */
static int put_governed(struct build *build)
{
    struct gray_release *releases =
        TABLE(build->releases, struct gray_release);
    const struct gray_route *routes = TABLE(build->routes, struct gray_route);
    uint32_t count = COUNT(build->releases, struct gray_release);
    uint32_t first = COUNT(build->numbers, uint32_t), i, sum = 0, *numbers;

    for (i = 0; i < COUNT(build->routes, struct gray_route); i++) {
        if (routes[i].kind == GRAY_ROUTE_ARM) {
            releases[routes[i].release].routes.count++;
            sum++;
        }
    }
    numbers = bytes_add(build, &build->numbers, sum * sizeof(*numbers));
    if (numbers == NULL) {
        return -1;
    }
    for (i = 0; i < count; i++) {
        releases[i].routes.first = first;
        first += releases[i].routes.count;
        releases[i].routes.count = 0;
    }
    numbers = TABLE(build->numbers, uint32_t);
    for (i = 0; i < COUNT(build->routes, struct gray_route); i++) {
        if (routes[i].kind == GRAY_ROUTE_ARM) {
            struct gray_span *span = &releases[routes[i].release].routes;

            numbers[span->first + span->count++] = i;
        }
    }
    return 0;
}

int build_services(struct build *build)
{
    struct router router = {build};
    const struct member *members;
    const struct arm *arms;
    uint32_t i;
    int result = -1;

    if (gather_keys(&router) != 0 || gather_arms(&router) != 0 ||
        gather_members(&router) != 0) {
        build->failed = build->no_memory = true;
        goto done;
    }
    arms = router.arms;
    members = router.members;
    for (i = 0; i < build->model->service_count; i++) {
        build->kind = "Service";
        build->document = build->model->services[i].name;
        if (put_service(&router, i, &arms, &members) != 0) {
            goto done;
        }
    }
    build->kind = build->document = NULL;
    result = put_lane_names(build) == 0 ? put_governed(build) : -1;
done:
    free(router.lane_keys);
    free(router.arms);
    free(router.members);
    return result;
}
