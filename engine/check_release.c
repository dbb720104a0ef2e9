/* SPDX-License-Identifier: Apache-2.0
 * check_release.c - are the releases, routes and entrances sound?
 *
 * Why: a decision walks from an entrance to its releases, a choice from a
 * service to its routes and along their fallbacks; every number on the way is
 * right, in the order that searches rely on, and every walk ends.
 * Read next: layout.h, release.c, choose.c.
 */
#include "engine/check_release.h"

/* Steps of SEMANTICS 2, each at most once, with an end. */
static bool order_is_right(const uint8_t order[8])
{
    uint32_t seen = 0;
    for (int i = 0; i < 8; i++) {
        if (order[i] == GRAY_STEP_END) {
            return true;
        }
        if (order[i] >= GRAY_STEP_COUNT || (seen >> order[i] & 1) != 0) {
            return false;
        }
        seen |= 1u << order[i];
    }
    return false;
}

/* An attribute that a unit may stand in. */
static bool is_place(const struct check *check, uint32_t number)
{
    const struct gray_slot *slot =
        VIEW_AT(check->s, slots, gray_slot, number);
    return slot != NULL && slot->source != GRAY_SOURCE_UNIT &&
           slot->source != GRAY_SOURCE_TIME;
}

static bool units_are_right(const struct check *check,
                            const struct gray_release *release)
{
    for (uint32_t i = 0; i < GRAY_UNIT_SLOTS; i++) {
        if (release->unit_slots[i] == GRAY_NONE) {
            continue;
        }
        if (!is_place(check, release->unit_slots[i]) ||
            (i > 0 && release->unit_slots[i - 1] == GRAY_NONE)) {
            return false;
        }
    }
    return release->alias_slot == GRAY_NONE ||
           is_place(check, release->alias_slot);
}

static bool set_is_there(const struct check *check, uint32_t set)
{
    return set == GRAY_NONE || set < check->policy->rulesets.count;
}

static int check_variants(struct check *check,
                          const struct gray_release *release)
{
    struct gray_span span = release->variants;
    uint32_t before = 0;
    if (span.count == 0 || span.count > GRAY_VARIANTS_MAX ||
        !span_fits(span, check->policy->variants.count) ||
        check_spend(check, span.count) != 0) {
        return check_refuse(check, "bad-variant",
                            "A release has no variants, or too many.", release);
    }
    for (uint32_t i = 0; i < span.count; i++) {
        const struct gray_variant *variant =
            VIEW_AT(check->s, variants, gray_variant, span.first + i);
        if (variant->upto < before || variant->upto > GRAY_SHARE_ALL ||
            !check_ref(check, variant->name) ||
            variant->name.length > GRAY_NAME_MAX) {
            return check_refuse(check, "bad-variant",
                                "The shares of a release's variants do not "
                                "ascend.",
                                variant);
        }
        before = variant->upto;
    }
    return before == GRAY_SHARE_ALL
               ? 0
               : check_refuse(check, "bad-variant",
                              "The shares of a release's variants do not "
                              "reach the whole.",
                              release);
}

static bool release_routes_are_right(struct check *check,
                                     const struct gray_release *release,
                                     uint32_t number)
{
    const uint32_t *routes =
        VIEW_NUMBERS(check->s, numbers, release->routes);
    if (routes == NULL) {
        return release->routes.count == 0;
    }
    if (check_spend(check, release->routes.count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < release->routes.count; i++) {
        const struct gray_route *route =
            VIEW_AT(check->s, routes, gray_route, routes[i]);
        if (route == NULL || route->release != number) {
            return false;
        }
    }
    return true;
}

/* The kinds that this version knows, and what they ask of each other. */
static bool kinds_are_right(const struct gray_release *release)
{
    const uint32_t flags =
        GRAY_MARKS_LEASE | GRAY_MARKS_WIDE | GRAY_MARKS_SHARED;
    return release->stickiness <= GRAY_STICKY_ENTITY &&
           release->data_compat <= GRAY_DATA_IRREVERSIBLE &&
           release->anonymous <= GRAY_ANONYMOUS_RANDOM &&
           release->hash_version == GRAY_HASH_MURMUR3 &&
           release->attempt <= GRAY_ATTEMPT_MAX &&
           release->durability <= GRAY_DURABLE_STRICT &&
           release->on_unknown <= GRAY_UNKNOWN_REFUSE &&
           (release->mark_flags & ~flags) == 0 &&
           (release->admission_lease == 0 ||
            (release->mark_flags & GRAY_MARKS_LEASE) != 0);
}

static bool stage_is_right(struct check *check,
                           const struct gray_release *release,
                           const struct gray_stage *stage)
{
    return stage->name.length != 0 && stage->name.length <= GRAY_NAME_MAX &&
           check_ref(check, stage->name) && stage->writes <= 1 &&
           stage->share <= GRAY_SHARE_ALL - release->holdback &&
           stage->on_missing <= GRAY_MISSING_BACKFILL &&
           stage->on_unknown <= GRAY_UNKNOWN_REFUSE &&
           stage->space <= GRAY_STAGES_MAX &&
           (stage->on_missing == GRAY_MISSING_BASELINE ||
            release->stickiness != GRAY_STICKY_ENTITY);
}

/* Who only reads is kept from the rules by the mark step alone. */
static bool asks_marks_first(const uint8_t order[8])
{
    for (int i = 0; i < 8 && order[i] != GRAY_STEP_RULES; i++) {
        if (order[i] == GRAY_STEP_MARK) {
            return true;
        }
        if (order[i] == GRAY_STEP_END) {
            break;
        }
    }
    return false;
}

/* Stages, and the rules that lead to them and nowhere else. */
static bool stages_are_right(struct check *check,
                             const struct gray_release *release)
{
    struct gray_span span = release->stages;
    const struct gray_ruleset *set =
        VIEW_AT(check->s, rulesets, gray_ruleset, release->stage_rules);
    if (span.count == 0) {
        return release->stage_rules == GRAY_NONE;
    }
    if (span.count > GRAY_STAGES_MAX ||
        !span_fits(span, check->policy->stages.count) ||
        release->stickiness == GRAY_STICKY_NONE ||
        !asks_marks_first(release->order) ||
        (set == NULL && release->stage_rules != GRAY_NONE) ||
        check_spend(check, span.count + (set == NULL ? 0 : set->rules.count)) !=
            0) {
        return false;
    }
    for (uint32_t i = 0; i < span.count; i++) {
        if (!stage_is_right(check, release,
                            VIEW_AT(check->s, stages, gray_stage,
                                    span.first + i))) {
            return false;
        }
    }
    for (uint32_t i = 0; set != NULL && i < set->rules.count; i++) {
        if (VIEW_AT(check->s, rules, gray_rule, set->rules.first + i)->action >=
            span.count) {
            return false;
        }
    }
    return true;
}

static int check_release(struct check *check,
                         const struct gray_release *release, uint32_t number)
{
    struct gray_str name = view_text(check->s, release->name);
    uint32_t hash, rest;
    if (name.length == 0 || !check_ref(check, release->salt) ||
        release->scope != gray_hash_scope(name.data, name.length)) {
        return check_refuse(check, "bad-release",
                            "A release's name, salt or scope is wrong.",
                            release);
    }
    if (check_spend(check, release->salt.length) != 0) {
        return -1;
    }
    gray_hash_salt(view_text(check->s, release->salt), &hash, &rest);
    if (release->salt_hash != hash || release->salt_rest != rest) {
        return check_refuse(check, "bad-release",
                            "The hash of a release's salt is wrong.", release);
    }
    if (release->share > GRAY_SHARE_ALL ||
        release->holdback > GRAY_SHARE_ALL - release->share) {
        return check_refuse(check, "bad-share",
                            "Share and hold-back of a release are more than "
                            "the whole.",
                            release);
    }
    if (!order_is_right(release->order)) {
        return check_refuse(check, "bad-order",
                            "The order of a release has an unknown step, one "
                            "twice, or no end.",
                            release);
    }
    if (!kinds_are_right(release)) {
        return check_refuse(check, "bad-release",
                            "A release has a hash, a stickiness or another "
                            "kind that this version does not know.",
                            release);
    }
    if (!stages_are_right(check, release)) {
        return check_refuse(check, "bad-stage",
                            "A release's stages are not its own, of a kind "
                            "that its stickiness forbids, or asked for too "
                            "late.",
                            release);
    }
    if (!units_are_right(check, release) ||
        !set_is_there(check, release->deny) ||
        !set_is_there(check, release->allow) ||
        !set_is_there(check, release->match) ||
        !release_routes_are_right(check, release, number)) {
        return check_refuse(check, "bad-release",
                            "A release names an attribute, a set of rules or "
                            "a route that is not its own.",
                            release);
    }
    return check_program(check, release->require_insn,
                         release->require_count) != 0
               ? -1
               : check_variants(check, release);
}

int check_releases(struct check *check)
{
    if (check->policy->releases.count > GRAY_RELEASES_MAX) {
        return check_refuse(check, "bad-release", "There are too many releases.",
                            &check->policy->releases);
    }
    for (uint32_t i = 0; i < check->policy->releases.count; i++) {
        const struct gray_release *release =
            VIEW_AT(check->s, releases, gray_release, i);
        if (i > 0 && release[-1].priority < release->priority) {
            return check_refuse(check, "bad-release",
                                "The releases do not stand by descending "
                                "priority.",
                                release);
        }
        if (check_release(check, release, i) != 0) {
            return -1;
        }
    }
    return 0;
}

static bool route_kind_is_right(const struct check *check,
                                const struct gray_route *route)
{
    bool arm = route->kind == GRAY_ROUTE_ARM;
    bool lane = route->kind == GRAY_ROUTE_LANE;
    if (arm) {
        const struct gray_release *release =
            VIEW_AT(check->s, releases, gray_release, route->release);
        if (release == NULL || route->variant >= release->variants.count) {
            return false;
        }
    } else if (route->release != GRAY_NONE || route->variant != GRAY_NONE) {
        return false;
    }
    return lane ? route->lane < check->policy->lanes.count
                : route->lane == GRAY_NONE && (arm ||
                                               route->kind ==
                                                   GRAY_ROUTE_BASELINE);
}

static int check_selectors(struct check *check, const struct gray_route *route)
{
    bool right = span_fits(route->selector, check->policy->selectors.count) &&
                 check_spend(check, route->selector.count) == 0;
    for (uint32_t i = 0; right && i < route->selector.count; i++) {
        const struct gray_selector *selector = VIEW_AT(
            check->s, selectors, gray_selector, route->selector.first + i);
        right = check_ref(check, selector->key) &&
                check_ref(check, selector->value) && selector->key.length != 0;
    }
    return right ? 0
                 : check_refuse(check, "bad-selector",
                                "A route's labels lie outside the file, or "
                                "one has no key.",
                                route);
}

/* Follows the fallbacks: all of the same service, and they end. */
static int check_fallback(struct check *check, const struct gray_route *route)
{
    const struct gray_route *at = route;
    for (uint32_t hops = 0; at->fallback != GRAY_NONE; hops++) {
        at = VIEW_AT(check->s, routes, gray_route, at->fallback);
        if (at == NULL || at->service != route->service) {
            return check_refuse(check, "bad-route",
                                "A route falls back to one of another "
                                "service, or to none.",
                                route);
        }
        if (hops > check->policy->lanes.count || check_spend(check, 1) != 0) {
            return check_refuse(check, "route-cycle",
                                "The fallbacks of a route lead in a circle.",
                                route);
        }
    }
    return 0;
}

/* The arms or lanes of a service: its own, in ascending order. */
static bool list_is_right(struct check *check, struct gray_span span,
                          uint32_t service, enum gray_route_kind kind)
{
    uint32_t before = 0;
    if (!span_fits(span, check->policy->routes.count) ||
        check_spend(check, span.count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < span.count; i++) {
        const struct gray_route *route =
            VIEW_AT(check->s, routes, gray_route, span.first + i);
        uint32_t key =
            kind == GRAY_ROUTE_ARM ? route->release : route->lane;
        bool ascends = kind == GRAY_ROUTE_ARM ? key >= before : key > before;
        if (route->kind != kind || route->service != service ||
            (i > 0 && !ascends)) {
            return false;
        }
        before = key;
    }
    return true;
}

static int check_services(struct check *check)
{
    for (uint32_t i = 0; i < check->policy->services.count; i++) {
        const struct gray_service *service =
            VIEW_AT(check->s, services, gray_service, i);
        const struct gray_route *baseline =
            VIEW_AT(check->s, routes, gray_route, service->baseline);
        if (service->name.length == 0 || baseline == NULL ||
            baseline->kind != GRAY_ROUTE_BASELINE || baseline->service != i ||
            !list_is_right(check, service->arms, i, GRAY_ROUTE_ARM) ||
            !list_is_right(check, service->lanes, i, GRAY_ROUTE_LANE)) {
            return check_refuse(check, "bad-service",
                                "A service's routes are not its own, or out "
                                "of order.",
                                service);
        }
    }
    return 0;
}

int check_routes(struct check *check)
{
    for (uint32_t i = 0; i < check->policy->routes.count; i++) {
        const struct gray_route *route =
            VIEW_AT(check->s, routes, gray_route, i);
        if (!check_ref(check, route->version) ||
            route->service >= check->policy->services.count ||
            (route->flags & ~GRAY_ROUTE_STRICT) != 0 ||
            !route_kind_is_right(check, route)) {
            return check_refuse(check, "bad-route",
                                "A route leads to no service, release or "
                                "lane.",
                                route);
        }
        if (check_selectors(check, route) != 0 ||
            check_fallback(check, route) != 0) {
            return -1;
        }
    }
    return check_services(check);
}

static bool entrance_is_right(struct check *check,
                              const struct gray_entrance *entrance)
{
    const uint32_t *releases =
        VIEW_NUMBERS(check->s, entrance_releases, entrance->releases);
    if ((releases == NULL && entrance->releases.count != 0) ||
        !set_is_there(check, entrance->lane_rules) ||
        check_spend(check, entrance->releases.count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < entrance->releases.count; i++) {
        if (releases[i] >= check->policy->releases.count ||
            (i > 0 && releases[i - 1] >= releases[i])) {
            return false;
        }
    }
    if (entrance->lane_rules == GRAY_NONE) {
        return true;
    }
    const struct gray_ruleset *set =
        VIEW_AT(check->s, rulesets, gray_ruleset, entrance->lane_rules);
    if (check_spend(check, set->rules.count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < set->rules.count; i++) {
        if (VIEW_AT(check->s, rules, gray_rule, set->rules.first + i)->action >=
            check->policy->lanes.count) {
            return false;
        }
    }
    return true;
}

/* The file names are opened by readers: nothing but 32 digits. */
static bool list_file_is_right(struct gray_str name)
{
    for (uint32_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return name.length == 32;
}

int check_entrances(struct check *check)
{
    const struct gray_policy *policy = check->policy;
    for (uint32_t i = 0; i < policy->lanes.count; i++) {
        const struct gray_lane *lane = VIEW_AT(check->s, lanes, gray_lane, i);
        if (lane->name.length == 0 || !check_ref(check, lane->group)) {
            return check_refuse(check, "bad-lane", "A lane has no name.", lane);
        }
    }
    for (uint32_t i = 0; i < policy->lists.count; i++) {
        const struct gray_list_ref *list =
            VIEW_AT(check->s, lists, gray_list_ref, i);
        if (!check_ref(check, list->name) || !check_ref(check, list->file) ||
            !list_file_is_right(view_text(check->s, list->file))) {
            return check_refuse(check, "bad-list",
                                "A list's file is not named by 32 digits.",
                                list);
        }
    }
    for (uint32_t i = 0; i < policy->entrances.count; i++) {
        const struct gray_entrance *entrance =
            VIEW_AT(check->s, entrances, gray_entrance, i);
        if ((entrance->name.length == 0) != (i == 0) ||
            !entrance_is_right(check, entrance)) {
            return check_refuse(check, "bad-entrance",
                                "An entrance's releases are out of order, or "
                                "its rules lead to no lane.",
                                entrance);
        }
    }
    return policy->entrances.count != 0
               ? 0
               : check_refuse(check, "bad-entrance",
                              "The policy has no entrance, not even the "
                              "unnamed one.",
                              NULL);
}
