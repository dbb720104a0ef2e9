/* SPDX-License-Identifier: Apache-2.0
 * snapshot.c - opens policy.snap, and finds records by number and name.
 *
 * Why: the file comes from another program, perhaps another version of it, and
 * a bad one must never take a server down: all of it is checked here, once,
 * before a request sees it.  A refusal has a code that stays the same, a
 * sentence, and the place.
 * Read next: check.c (programs, indexes), check_release.c (releases, routes).
 */
#include "engine/bounds.h"
#include "engine/check.h"
#include "engine/check_release.h"

int check_refuse(struct check *check, const char *code, const char *sentence,
                 const void *record)
{
    if (check->problem == NULL || check->problem->code != NULL) {
        return -1; /* the first problem is the one that is told */
    }
    return problem_say(
        check->problem, code, sentence,
        record == NULL
            ? 0
            : (uint64_t)((const uint8_t *)record - check->s->base));
}

int check_spend(struct check *check, uint64_t steps)
{
    if (steps > check->budget) {
        return check_refuse(check, "too-costly",
                            "The file shares records in a way that costs far "
                            "more time than its size.",
                            NULL);
    }
    check->budget -= steps;
    return 0;
}

static int check_header(struct check *check, const void *data, uint64_t size)
{
    const struct gray_file_header *header = data;
    if (size < sizeof(*header) + sizeof(struct gray_policy)) {
        return check_refuse(check, "truncated",
                            "The file is too short for a policy.", NULL);
    }
    if (memcmp(header->magic, GRAY_MAGIC_POLICY, sizeof(header->magic)) != 0) {
        return check_refuse(check, "bad-magic", "The file is not a policy.",
                            NULL);
    }
    if (header->layout != GRAY_LAYOUT ||
        header->header_size != sizeof(*header)) {
        return check_refuse(check, "bad-layout",
                            "The file has a layout that this version does not "
                            "know; publish it again with this version.",
                            NULL);
    }
    if (header->length != size || size > UINT32_MAX) {
        return check_refuse(check, "bad-length",
                            "The file is not as long as it says.", NULL);
    }
    return 0;
}

#define TABLE(field, type, align)                                              \
    { offsetof(struct gray_policy, field), sizeof(type), align }
static const struct {
    size_t at;
    uint32_t width, align;
} tables[] = {
    TABLE(strings, char, 1),
    TABLE(slots, struct gray_slot, 8),
    TABLE(slot_hash, uint32_t, 4),
    TABLE(insns, struct gray_insn, 8),
    TABLE(operands, char, 8),
    TABLE(rules, struct gray_rule, 8),
    TABLE(rulesets, struct gray_ruleset, 8),
    TABLE(indexes, struct gray_index, 8),
    TABLE(sieves, struct gray_sieve_cell, 8),
    TABLE(index_slots, struct gray_index_slot, 8),
    TABLE(postings, struct gray_posting, 8),
    TABLE(numbers, uint32_t, 4),
    TABLE(releases, struct gray_release, 8),
    TABLE(variants, struct gray_variant, 8),
    TABLE(stages, struct gray_stage, 8),
    TABLE(services, struct gray_service, 8),
    TABLE(routes, struct gray_route, 8),
    TABLE(selectors, struct gray_selector, 8),
    TABLE(lanes, struct gray_lane, 8),
    TABLE(entrances, struct gray_entrance, 8),
    TABLE(entrance_releases, uint32_t, 4),
    TABLE(lists, struct gray_list_ref, 8),
    TABLE(release_names, struct gray_name, 8),
    TABLE(service_names, struct gray_name, 8),
    TABLE(lane_names, struct gray_name, 8),
    TABLE(entrance_names, struct gray_name, 8),
};

static int check_tables(struct check *check)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        const struct gray_table *table =
            (const void *)((const uint8_t *)check->policy + tables[i].at);
        if (!check_table(check, *table, tables[i].width, tables[i].align)) {
            return check_refuse(check, "bad-table",
                                "A table lies outside the file or not at a "
                                "multiple of its alignment.",
                                table);
        }
    }
    if (!check_ref(check, check->policy->source)) {
        return check_refuse(check, "bad-source",
                            "The source text lies outside the file.",
                            &check->policy->source);
    }
    return 0;
}

static bool slot_is_right(const struct check *check,
                          const struct gray_slot *slot)
{
    const struct gray_policy *policy = check->policy;
    struct gray_str name = view_text(check->s, slot->name);
    const char *other = slot->source == GRAY_SOURCE_COOKIE ? "cookie"
                                                           : "content-type";
    uint32_t hash = gray_hash_name(name.data, name.length);
    if (!check_ref(check, slot->name) ||
        strcmp(gray_source_word(slot->source), "?") == 0 ||
        slot->hash != hash + VIEW_SLOT_HASH(slot->source) ||
        (policy->needs >> slot->source & 1) == 0) {
        return false;
    }
    switch (slot->source) {
    case GRAY_SOURCE_HEADER:
        return view_same_nocase(name.data, name.data, name.length) &&
               (policy->header_filter >> (hash & 63) & 1) != 0;
    case GRAY_SOURCE_COOKIE:
    case GRAY_SOURCE_GRPC_SERVICE:
    case GRAY_SOURCE_GRPC_METHOD:
        hash = gray_hash_name(other, strlen(other));
        return (policy->header_filter >> (hash & 63) & 1) != 0;
    default:
        return true;
    }
}

/* Every cell of the table leads to a slot and can be reached; what the search
 * for it costs is counted. */
static int check_slot_table(struct check *check)
{
    const struct gray_policy *policy = check->policy;
    const uint32_t *cells =
        (const void *)(check->s->base + policy->slot_hash.offset);
    uint32_t used = 0, mask = policy->slot_hash.count - 1;
    for (uint32_t i = 0; i < policy->slot_hash.count; i++) {
        if (cells[i] == GRAY_NONE) {
            continue;
        }
        const struct gray_slot *slot =
            VIEW_AT(check->s, slots, gray_slot, cells[i]);
        if (slot == NULL || !check_power(policy->slot_hash.count) ||
            check_spend(check, (i - slot->hash) & mask) != 0) {
            return check_refuse(check, "bad-slot-table",
                                "The table of attributes names one that is "
                                "not there.",
                                &cells[i]);
        }
        used++;
    }
    if (used != policy->slots.count ||
        (used != 0 && used == policy->slot_hash.count)) {
        return check_refuse(check, "bad-slot-table",
                            "The table of attributes is full, or misses one.",
                            &policy->slot_hash);
    }
    return 0;
}

static int check_slots(struct check *check)
{
    if (check_slot_table(check) != 0) {
        return -1;
    }
    for (uint32_t i = 0; i < check->policy->slots.count; i++) {
        const struct gray_slot *slot = VIEW_AT(check->s, slots, gray_slot, i);
        struct gray_str name = view_text(check->s, slot->name);
        if (!slot_is_right(check, slot) ||
            view_slot(check->s, slot->source,
                      slot->hash - VIEW_SLOT_HASH(slot->source), name.data,
                      name.length) != i) {
            return check_refuse(check, "bad-slot",
                                "An attribute cannot be found by its name, or "
                                "its source is not announced.",
                                slot);
        }
    }
    return 0;
}

static int compare_names(const struct gray_snapshot *s,
                         const struct gray_name *a, const struct gray_name *b)
{
    struct gray_str left = view_text(s, a->name), right = view_text(s, b->name);
    uint32_t common =
        left.length < right.length ? left.length : right.length;
    int order;
    if (a->hash != b->hash) {
        return a->hash < b->hash ? -1 : 1;
    }
    order = common == 0 ? 0 : memcmp(left.data, right.data, common);
    return order != 0 ? order
                      : (left.length > right.length) -
                            (left.length < right.length);
}

/* Every record stands in its table of names once. All begin with a name. */
static int check_names(struct check *check, struct gray_table table,
                       struct gray_table records, size_t width)
{
    const struct gray_name *names =
        (const void *)(check->s->base + table.offset);
    bool right = table.count == records.count;
    for (uint32_t i = 0; right && i < table.count; i++) {
        const struct gray_ref *own =
            view_record(check->s, records, names[i].index, width);
        struct gray_str name = view_text(check->s, names[i].name);
        right = own != NULL && check_ref(check, names[i].name) &&
                check_ref(check, *own) && name.length <= GRAY_NAME_MAX &&
                names[i].hash == gray_hash_name(name.data, name.length) &&
                same_bytes(name, view_text(check->s, *own)) &&
                (i == 0 || compare_names(check->s, &names[i - 1], &names[i]) < 0);
        if (!right) {
            return check_refuse(check, "bad-names",
                                "A table of names is out of order or leads "
                                "elsewhere.",
                                &names[i]);
        }
    }
    return right ? 0
                 : check_refuse(check, "bad-names",
                                "A table of names has not one line for each "
                                "record.",
                                NULL);
}

static int check_all_names(struct check *check)
{
    const struct gray_policy *policy = check->policy;
    if (check_names(check, policy->release_names, policy->releases,
                    sizeof(struct gray_release)) != 0 ||
        check_names(check, policy->service_names, policy->services,
                    sizeof(struct gray_service)) != 0 ||
        check_names(check, policy->lane_names, policy->lanes,
                    sizeof(struct gray_lane)) != 0) {
        return -1;
    }
    return check_names(check, policy->entrance_names, policy->entrances,
                       sizeof(struct gray_entrance));
}

/* What the hot path need not look for with every request. */
static void note_slots(struct gray_snapshot *s)
{
    uint32_t cookie =
        gray_hash_name("cookie", 6) + VIEW_SLOT_HASH(GRAY_SOURCE_HEADER);
    for (uint32_t i = 0; i <= GRAY_SOURCE_TIME; i++) {
        s->slot_of[i] = GRAY_NONE;
    }
    s->cookie_count = 0;
    s->cookie_hash = false;
    for (uint32_t i = 0; i < s->policy->slots.count; i++) {
        const struct gray_slot *slot = VIEW_AT(s, slots, gray_slot, i);
        s->cookie_hash |= slot->source == GRAY_SOURCE_HEADER &&
                          slot->hash == cookie;
        if (slot->source == GRAY_SOURCE_COOKIE) {
            if (s->cookie_count < VIEW_COOKIES) {
                struct gray_str name = view_text(s, slot->name);
                s->cookies[s->cookie_count].name = name.data;
                s->cookies[s->cookie_count].length = name.length;
                s->cookies[s->cookie_count].slot = i;
            }
            s->cookie_count += s->cookie_count <= VIEW_COOKIES;
        } else if (slot->name.length == 0) {
            s->slot_of[slot->source] = i;
        }
    }
}

int gray_snapshot_open(struct gray_snapshot *ret_snapshot, const void *data,
                       uint64_t size, struct gray_problem *ret_problem)
{
    struct gray_problem problem = { .code = NULL };
    struct gray_snapshot snapshot = { .base = data, .size = size };
    struct check check = { .s = &snapshot,
                           .problem = &problem,
                           .budget = 64 * size + (1u << 20) };
    int result = check_header(&check, data, size);
    if (result == 0) {
        snapshot.header = data;
        snapshot.policy =
            (const void *)(snapshot.base + sizeof(struct gray_file_header));
        check.policy = snapshot.policy;
    }
    if (result != 0 || check_tables(&check) != 0 || check_slots(&check) != 0 ||
        check_all_names(&check) != 0 || check_rules(&check) != 0 ||
        check_rulesets(&check) != 0 || check_releases(&check) != 0 ||
        check_routes(&check) != 0 || check_entrances(&check) != 0) {
        if (ret_problem != NULL) {
            *ret_problem = problem;
        }
        return -1;
    }
    note_slots(&snapshot);
    *ret_snapshot = snapshot;
    return 0;
}

struct gray_str gray_text(const struct gray_snapshot *s, struct gray_ref ref)
{
    return view_text(s, ref);
}

#define RECORD(noun, table)                                                    \
    const struct gray_##noun *gray_##noun##_at(const struct gray_snapshot *s,  \
                                               uint32_t number)                \
    {                                                                          \
        return VIEW_AT(s, table, gray_##noun, number);                         \
    }
RECORD(release, releases)
RECORD(service, services)
RECORD(route, routes)
RECORD(lane, lanes)
RECORD(variant, variants)

static uint32_t find(const struct gray_snapshot *s, struct gray_table table,
                     struct gray_str name)
{
    const struct gray_name *names = (const void *)(s->base + table.offset);
    uint32_t hash = gray_hash_name(name.data, name.length);
    uint32_t low = 0, high = table.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (names[middle].hash < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < table.count && names[low].hash == hash; low++) {
        if (same_bytes(view_text(s, names[low].name), name)) {
            return names[low].index;
        }
    }
    return GRAY_NONE;
}

uint32_t gray_find_release(const struct gray_snapshot *s, struct gray_str name)
{
    return find(s, s->policy->release_names, name);
}

uint32_t gray_find_service(const struct gray_snapshot *s, struct gray_str name)
{
    return find(s, s->policy->service_names, name);
}

uint32_t gray_find_lane(const struct gray_snapshot *s, struct gray_str name)
{
    return find(s, s->policy->lane_names, name);
}

uint32_t gray_find_entrance(const struct gray_snapshot *s,
                            struct gray_str name)
{
    return find(s, s->policy->entrance_names, name);
}
