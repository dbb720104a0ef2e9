/* SPDX-License-Identifier: Apache-2.0
 * choose.c - which endpoints of a service serve a request of this colour.
 *
 * Why: every hop makes this choice anew, from the colour and from what stands
 * there now.  A lane is obeyed before an arm, an arm before the baseline; what
 * is missing falls back, what is sick falls back only where no data can be
 * harmed by it, and gray never serves for a sick baseline (SEMANTICS 7).
 *
 *   lane wanted -> its route -> fallback routes -> arm -> baseline -> 503
 *                  strict: 503            sick, data at stake: 503
 * Read next: link.c (the subsets), decide.c (where the colour comes from).
 */
#include "engine/release.h"
#include "engine/view.h"

/* What is left to do after a step of the choice. */
enum outcome { DONE, GO_ON, TO_BASELINE };

static struct gray_subset subset_of(const struct gray_view *view,
                                    uint32_t route)
{
    struct gray_subset none = {{0, 0}, 0, 0};

    if (view->fleet == NULL || view->link == NULL ||
        route >= view->link->subset_count) {
        return none;
    }
    return view->link->subsets[route];
}

static enum outcome take(struct gray_choice *choice, uint32_t route,
                         enum gray_reason reason)
{
    choice->route = route;
    choice->reason = (uint8_t)reason;
    return DONE;
}

static enum outcome refuse(struct gray_choice *choice, enum gray_reason reason)
{
    choice->route = GRAY_NONE;
    choice->reason = (uint8_t)reason;
    choice->refuse = 1;
    return DONE;
}

/* ---- arms --------------------------------------------------------------- */

/* Everyone to the baseline, now: who was admitted too. */
static bool is_overridden(const struct gray_view *view,
                          const struct gray_release *release)
{
    enum gray_word word = gray_release_word(view, release);

    return word == GRAY_WORD_BASELINE || word == GRAY_WORD_KILLED;
}

static bool is_carried(const struct gray_view *view,
                       const struct gray_colour *colour,
                       const struct gray_route *route)
{
    const struct gray_release *release;
    uint32_t i;

    for (i = 0; i < colour->arm_count && i < GRAY_ARMS_MAX; i++) {
        if (colour->arms[i].release == route->release &&
            colour->arms[i].variant == route->variant) {
            release =
                VIEW_AT(view->policy, releases, gray_release, route->release);
            return release != NULL && !is_overridden(view, release);
        }
    }
    return false;
}

/* Number of the route of the release that governs the service for this
 * request; GRAY_NONE when none does. */
static uint32_t governing_arm(const struct gray_view *view,
                              const struct gray_service *service,
                              const struct gray_colour *colour)
{
    uint32_t i;

    if (colour->arm_count == 0) {
        return GRAY_NONE;
    }
    for (i = 0; i < service->arms.count; i++) {
        uint32_t number = service->arms.first + i;
        const struct gray_route *route =
            VIEW_AT(view->policy, routes, gray_route, number);

        if (route != NULL && is_carried(view, colour, route)) {
            return number;
        }
    }
    return GRAY_NONE;
}

/* Has the new version written what the old one may not read? */
static bool data_at_stake(const struct gray_view *view, uint32_t arm)
{
    const struct gray_route *route =
        arm == GRAY_NONE ? NULL
                         : VIEW_AT(view->policy, routes, gray_route, arm);
    const struct gray_release *release =
        route == NULL
            ? NULL
            : VIEW_AT(view->policy, releases, gray_release, route->release);

    return release != NULL && (release->data_compat == GRAY_DATA_IRREVERSIBLE ||
                               release->stickiness == GRAY_STICKY_ENTITY);
}

static enum outcome try_arm(const struct gray_view *view, uint32_t arm,
                            struct gray_choice *choice)
{
    bool lane_wanted = choice->wanted != GRAY_NONE;

    if (arm == GRAY_NONE) {
        return GO_ON;
    }
    if (!lane_wanted) {
        choice->wanted = arm;
    }
    if (subset_of(view, arm).ready != 0) {
        return take(choice, arm,
                    lane_wanted ? GRAY_REASON_LANE_FALLBACK
                                : GRAY_REASON_ARM_USED);
    }
    if (data_at_stake(view, arm)) {
        return refuse(choice, GRAY_REASON_ARM_REFUSED);
    }
    if (!lane_wanted) {
        choice->reason = GRAY_REASON_ARM_EMPTY;
    }
    return TO_BASELINE;
}

/* ---- lanes -------------------------------------------------------------- */

/* The service's route of a lane: its lanes ascend. */
static uint32_t lane_route(const struct gray_view *view,
                           const struct gray_service *service, uint32_t lane)
{
    uint32_t first = service->lanes.first, middle;
    uint32_t last = first + service->lanes.count, end = last;
    const struct gray_route *route;

    while (first < last) {
        middle = first + (last - first) / 2;
        route = VIEW_AT(view->policy, routes, gray_route, middle);
        if (route == NULL || route->lane < lane) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    route =
        first < end ? VIEW_AT(view->policy, routes, gray_route, first) : NULL;
    return route != NULL && route->lane == lane ? first : GRAY_NONE;
}

/* Walks from the lane's own route along its fallbacks to the first that has
 * any endpoint at all.  Not longer than the service has lanes. */
static enum outcome try_lane(const struct gray_view *view,
                             const struct gray_service *service,
                             uint32_t wanted, uint32_t arm,
                             struct gray_choice *choice)
{
    const struct gray_route *route =
        VIEW_AT(view->policy, routes, gray_route, wanted);
    bool strict = (route->flags & GRAY_ROUTE_STRICT) != 0;
    uint32_t at = wanted, steps;

    choice->wanted = wanted;
    choice->reason = GRAY_REASON_LANE_FALLBACK;
    for (steps = 0; steps < service->lanes.count && route != NULL; steps++) {
        struct gray_subset subset = subset_of(view, at);

        if (subset.ready != 0) {
            return take(choice, at,
                        at == wanted ? GRAY_REASON_LANE_USED
                                     : GRAY_REASON_LANE_FALLBACK);
        }
        if (strict) {
            return refuse(choice, GRAY_REASON_LANE_EMPTY);
        }
        if (subset.members.count != 0) {
            /* Sick, not missing: nobody else's version stands in for it. */
            return data_at_stake(view, arm)
                       ? refuse(choice, GRAY_REASON_LANE_EMPTY)
                       : TO_BASELINE;
        }
        at = route->fallback;
        route = VIEW_AT(view->policy, routes, gray_route, at);
    }
    return GO_ON;
}

/* ---- the choice --------------------------------------------------------- */

void gray_choose(const struct gray_view *view, uint32_t service_number,
                 const struct gray_colour *colour,
                 struct gray_choice *ret_choice)
{
    const struct gray_service *service =
        VIEW_AT(view->policy, services, gray_service, service_number);
    enum outcome outcome = GO_ON;
    uint32_t lane, arm;

    *ret_choice = (struct gray_choice){
        GRAY_NONE, GRAY_NONE, GRAY_REASON_BASELINE, 0, {0, 0}};
    if (service == NULL) {
        ret_choice->reason = GRAY_REASON_UNKNOWN_SERVICE;
        return;
    }
    arm = governing_arm(view, service, colour);
    if (colour->lane != GRAY_NONE) {
        lane = lane_route(view, service, colour->lane);
        if (lane != GRAY_NONE) {
            outcome = try_lane(view, service, lane, arm, ret_choice);
        }
    }
    if (outcome == GO_ON) {
        outcome = try_arm(view, arm, ret_choice);
    }
    if (outcome == DONE) {
        return;
    }
    if (ret_choice->wanted == GRAY_NONE) {
        ret_choice->wanted = service->baseline;
    }
    if (subset_of(view, service->baseline).ready == 0) {
        refuse(ret_choice, GRAY_REASON_NO_ENDPOINT);
        return;
    }
    take(ret_choice, service->baseline, ret_choice->reason);
}

/* ---- one endpoint ------------------------------------------------------- */

/* A number below n, evenly, from 32 random bits. */
static inline uint32_t below(uint32_t random, uint32_t n)
{
    return (uint32_t)(((uint64_t)random * n) >> 32);
}

/* Kernighan's count: few bits are set, and the built-in would ask for libgcc
 * where libc is all the engine may need. */
static uint32_t bits(uint64_t word)
{
    uint32_t count = 0;
    for (; word != 0; word &= word - 1) {
        count++;
    }
    return count;
}

/* Place of the n-th member that was not tried yet. Only the first 64 can have
 * been. */
static uint32_t place_of(uint64_t tried, uint32_t n)
{
    uint64_t open = ~tried;
    uint32_t in_bitmap = 64 - bits(tried);

    if (tried == 0) {
        return n;
    }
    if (n >= in_bitmap) {
        return 64 + (n - in_bitmap);
    }
    while (n-- != 0) {
        open &= open - 1;
    }
    return (uint32_t)__builtin_ctzll(open);
}

/* The better of two by (load + 1) / weight.  Where neither has a request the
 * quotient would always name the heavier one and starve the other at little
 * traffic, so there the weights are drawn. */
static uint32_t better(const struct gray_view *view, const uint32_t *load,
                       uint32_t a, uint32_t b, uint64_t random)
{
    uint64_t load_a = load == NULL ? 0 : load[a];
    uint64_t load_b = load == NULL ? 0 : load[b];
    uint64_t weight_a = gray_endpoint_at(view->fleet, a)->weight;
    uint64_t weight_b = gray_endpoint_at(view->fleet, b)->weight;

    if (load_a == 0 && load_b == 0) {
        return weight_a == weight_b ||
                       below((uint32_t)gray_mix64(random),
                             (uint32_t)(weight_a + weight_b)) < weight_a
                   ? a
                   : b;
    }
    return (load_a + 1) * weight_b <= (load_b + 1) * weight_a ? a : b;
}

uint32_t gray_pick(const struct gray_view *view, uint32_t route,
                   const uint32_t *load, uint64_t tried, uint64_t random)
{
    struct gray_subset subset = subset_of(view, route);
    const uint32_t *members;
    uint32_t a, b, left = subset.ready;

    if (left == 0) {
        return GRAY_NONE;
    }
    members = view->link->members + subset.members.first;
    if (tried != 0) {
        if (left < 64) {
            tried |= ~UINT64_C(0) << left;
            left = bits(~tried);
        } else {
            left -= bits(tried);
        }
    }
    if (left == 0) {
        return GRAY_NONE;
    }
    if (left == 1) {
        return members[place_of(tried, 0)];
    }
    a = below((uint32_t)random, left);
    b = below((uint32_t)(random >> 32), left - 1);
    b += b >= a;
    return better(view, load, members[place_of(tried, a)],
                  members[place_of(tried, b)], random);
}
