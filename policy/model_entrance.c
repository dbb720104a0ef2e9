/* SPDX-License-Identifier: Apache-2.0
 * model_entrance.c - at which entrance which rules and releases are asked.
 *
 * Why: documents say "at these entrances" or "at every one"; readers want, for
 * the one entrance they are, a list in the order of asking.  An entrance
 * exists when some document names it; number 0 is every other one.
 * Read next: compile_release.c.
 */
#include "policy/check.h"

#include <stdlib.h>
#include <string.h>

static int by_priority(const void *left, const void *right)
{
    const struct model_release *a = left, *b = right;
    if (a->priority != b->priority) {
        return a->priority > b->priority ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct model_entrance *)left)->name,
                  ((const struct model_entrance *)right)->name);
}

static void add_entrances(struct gray_names *names,
                          const char *const *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        gray_names_add(names, list[i], strlen(list[i]), names->count, NULL);
    }
}

/* All names that documents mention, sorted, behind the unnamed one. */
static bool collect(struct gray_check *c, const struct lane_rules *lanes)
{
    struct gray_names names = {.arena = c->arena};
    struct gray_model *m = c->model;
    for (uint32_t i = 0; i < m->release_count; i++) {
        add_entrances(&names, (const char *const *)m->releases[i].entrances,
                      m->releases[i].entrance_count);
    }
    for (uint32_t i = 0; i < m->lane_count; i++) {
        add_entrances(&names, (const char *const *)lanes[i].entrances.names,
                      lanes[i].entrances.count);
    }
    if (names.count >= GRAY_ENTRANCES_MAX) {
        return gray_check_error(c, GRAY_PROBLEM_TOO_MANY, NULL,
                                "%u entrances are named; at most %u are "
                                "allowed",
                                names.count, GRAY_ENTRANCES_MAX - 1);
    }
    m->entrances = gray_arena_array(c->arena, (size_t)names.count + 1,
                                    sizeof(*m->entrances));
    m->entrances[0].name = "";
    m->entrance_count = 1;
    struct gray_names placed = {.arena = c->arena};
    for (uint32_t i = 0; i < m->release_count; i++) {
        for (uint32_t k = 0; k < m->releases[i].entrance_count; k++) {
            const char *name = m->releases[i].entrances[k];
            if (gray_names_add(&placed, name, strlen(name), 0, NULL)) {
                m->entrances[m->entrance_count++].name = name;
            }
        }
    }
    for (uint32_t i = 0; i < m->lane_count; i++) {
        for (uint32_t k = 0; k < lanes[i].entrances.count; k++) {
            const char *name = lanes[i].entrances.names[k];
            if (gray_names_add(&placed, name, strlen(name), 0, NULL)) {
                m->entrances[m->entrance_count++].name = name;
            }
        }
    }
    qsort(m->entrances + 1, m->entrance_count - 1, sizeof(*m->entrances),
          by_name);
    return true;
}

static bool stands_at(const char *entrance, const char *const *list,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i], entrance) == 0) {
            return true;
        }
    }
    return count == 0;
}

struct lane_order {
    int64_t priority;
    uint32_t lane;
};

static int by_order(const void *left, const void *right)
{
    const struct lane_order *a = left, *b = right;
    if (a->priority != b->priority) {
        return a->priority < b->priority ? -1 : 1;
    }
    return (a->lane > b->lane) - (a->lane < b->lane);
}

/* One request makes at most so many marks, and none of an entity is left out:
 * it would be decided anew, and otherwise, by the next request. */
static bool check_entities(struct gray_check *c,
                           const struct model_entrance *entrance)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < entrance->release_count; i++) {
        const struct model_release *release =
            &c->model->releases[entrance->releases[i]];
        if (release->stickiness != GRAY_STICKY_ENTITY ||
            ++count <= GRAY_ARMS_MAX) {
            continue;
        }
        c->document = gray_check_find(c, KIND_RELEASE, release->name);
        return gray_check_error(c, GRAY_PROBLEM_TOO_MANY,
                                AT_KEY(NULL, "stickiness"),
                                "more than %u releases with stickiness: "
                                "entity stand at %s%s; give some entrances of "
                                "their own",
                                GRAY_ARMS_MAX,
                                entrance->name[0] == '\0'
                                    ? "every entrance"
                                    : "entrance ",
                                entrance->name);
    }
    return true;
}

static bool fill(struct gray_check *c, const struct lane_rules *lanes,
                 const struct lane_order *order,
                 struct model_entrance *entrance, size_t *total)
{
    const struct gray_model *m = c->model;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < m->lane_count; i++) {
            const struct lane_rules *rules = &lanes[order[i].lane];
            if (!m->lanes[order[i].lane].enabled ||
                !stands_at(entrance->name,
                           (const char *const *)rules->entrances.names,
                           rules->entrances.count)) {
                continue;
            }
            if (pass == 0) {
                count += rules->count;
            } else if (rules->count > 0) {
                memcpy(entrance->lane_rules + entrance->lane_rule_count,
                       rules->rules, rules->count * sizeof(*rules->rules));
                entrance->lane_rule_count += rules->count;
            }
        }
        *total += pass == 0 ? count : 0;
        if (*total > GRAY_LANE_RULES_MAX) {
            return gray_check_error(c, GRAY_PROBLEM_TOO_MANY, NULL,
                                    "the rules of lanes, counted at each of "
                                    "their entrances, exceed %u; name fewer "
                                    "entrances",
                                    GRAY_LANE_RULES_MAX);
        }
        if (pass == 0) {
            entrance->lane_rules = gray_arena_array(
                c->arena, count, sizeof(*entrance->lane_rules));
        }
    }
    entrance->releases = gray_arena_array(c->arena, m->release_count,
                                          sizeof(*entrance->releases));
    for (uint32_t i = 0; i < m->release_count; i++) {
        if (stands_at(entrance->name,
                      (const char *const *)m->releases[i].entrances,
                      m->releases[i].entrance_count)) {
            entrance->releases[entrance->release_count++] = i;
        }
    }
    return check_entities(c, entrance);
}

void gray_check_entrances(struct gray_check *c, const struct lane_rules *lanes)
{
    struct gray_model *m = c->model;
    size_t total = 0;
    c->document = NULL;
    qsort(m->releases, m->release_count, sizeof(*m->releases), by_priority);
    if (!collect(c, lanes)) {
        return;
    }
    struct lane_order *order =
        gray_arena_array(c->arena, m->lane_count, sizeof(*order));
    for (uint32_t i = 0; i < m->lane_count; i++) {
        order[i] = (struct lane_order){lanes[i].priority, i};
    }
    qsort(order, m->lane_count, sizeof(*order), by_order);
    for (uint32_t i = 0; i < m->entrance_count; i++) {
        if (!fill(c, lanes, order, &m->entrances[i], &total)) {
            return;
        }
    }
}
