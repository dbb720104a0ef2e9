/* SPDX-License-Identifier: Apache-2.0
 * policy_craft.c - builds a whole policy.snap by hand, record by record.
 *
 * Why: see policy_craft.h.  Texts and operands are written as they come, so
 * their offsets are final at once; tables follow at the end.
 * Read next: ../../engine/layout.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/policy_craft.h"

#define TAKE(p, what)                                                          \
    (assert((p)->what##_count < POLICY_RECORDS), (p)->what##_count++)

void policy_begin(struct policy_craft *p)
{
    memset(p, 0, sizeof(*p));
    craft_begin(&p->file, GRAY_MAGIC_POLICY, sizeof(struct gray_policy));
    p->revision = 7;
    policy_entrance(p, "");
}

struct gray_ref policy_text(struct policy_craft *p, const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    return (struct gray_ref){ (uint32_t)craft_put(&p->file, text, length),
                              length };
}

uint32_t policy_slot(struct policy_craft *p, enum gray_source source,
                     const char *name)
{
    uint32_t hash = gray_hash_name(name, strlen(name));
    uint32_t number;
    for (number = 0; number < p->slot_count; number++) {
        if (p->slots[number].source == source &&
            p->slots[number].hash ==
                hash + (uint32_t)source * 0x9e3779b1u) {
            return number;
        }
    }
    number = TAKE(p, slot);
    p->slots[number] =
        (struct gray_slot){ .name = policy_text(p, name),
                            .hash = hash + (uint32_t)source * 0x9e3779b1u,
                            .source = (uint8_t)source };
    p->policy.needs |= 1u << source;
    if (source == GRAY_SOURCE_COOKIE) {
        hash = gray_hash_name("cookie", 6);
    } else if (source == GRAY_SOURCE_GRPC_SERVICE ||
               source == GRAY_SOURCE_GRPC_METHOD) {
        hash = gray_hash_name("content-type", 12);
    } else if (source != GRAY_SOURCE_HEADER) {
        return number;
    }
    p->policy.header_filter |= 1ull << (hash & 63);
    return number;
}

uint32_t policy_operand(struct policy_craft *p, const void *record, size_t size)
{
    return (uint32_t)craft_put(&p->file, record, size);
}

uint32_t policy_string(struct policy_craft *p, const char *text)
{
    struct gray_operand_string operand = { policy_text(p, text) };
    return policy_operand(p, &operand, sizeof(operand));
}

uint32_t policy_set(struct policy_craft *p, const char *const *texts)
{
    struct gray_set_cell cells[64] = { 0 };
    struct gray_operand_set set = { { 0, 64 }, 0, 0 };
    for (; texts[set.count] != NULL; set.count++) {
        const char *text = texts[set.count];
        uint32_t hash = gray_murmur3_32(text, strlen(text), 0);
        uint32_t at = hash & 63;
        while (cells[at].text.offset != 0) {
            at = (at + 1) & 63;
        }
        cells[at].text = policy_text(p, text);
        cells[at].hash = hash;
        assert(set.count < 62);
    }
    set.cells.offset = (uint32_t)craft_put(&p->file, cells, sizeof(cells));
    return policy_operand(p, &set, sizeof(set));
}

uint32_t policy_insn(struct policy_craft *p, enum gray_condition op,
                     uint32_t slot, uint32_t operand, uint16_t on_true,
                     uint16_t on_false)
{
    uint32_t number = TAKE(p, insn);
    p->insns[number] = (struct gray_insn){ .op = (uint8_t)op,
                                           .on_true = on_true,
                                           .on_false = on_false,
                                           .slot = slot,
                                           .operand = operand };
    return number;
}

uint32_t policy_rule(struct policy_craft *p, const char *name, uint32_t count)
{
    uint32_t number = TAKE(p, rule);
    p->rules[number] =
        (struct gray_rule){ .name = policy_text(p, name),
                            .first_insn = p->insn_count - count,
                            .insn_count = (uint16_t)count,
                            .action = GRAY_NONE };
    return number;
}

uint32_t policy_rule_of(struct policy_craft *p, const char *name,
                        enum gray_condition op, uint32_t slot,
                        uint32_t operand)
{
    policy_insn(p, op, slot, operand, POLICY_JUMPS_END);
    return policy_rule(p, name, 1);
}

uint32_t policy_ruleset(struct policy_craft *p, uint32_t count)
{
    uint32_t number = TAKE(p, ruleset);
    p->rulesets[number] =
        (struct gray_ruleset){ { p->rule_count - count, count }, GRAY_NONE, 0 };
    return number;
}

uint32_t policy_release(struct policy_craft *p, const char *name,
                        uint32_t unit_slot, uint32_t share)
{
    uint32_t number = TAKE(p, release);
    uint32_t variant = TAKE(p, variant);
    uint32_t salt_hash, salt_rest;
    gray_hash_salt(craft_str(name), &salt_hash, &salt_rest);
    p->variants[variant].upto = GRAY_SHARE_ALL;
    p->releases[number] = (struct gray_release){
        .name = policy_text(p, name),
        .salt = policy_text(p, name),
        .scope = gray_hash_scope(name, strlen(name)),
        .word = number,
        .share = share,
        .salt_hash = salt_hash,
        .salt_rest = salt_rest,
        .order = { GRAY_STEP_DENY, GRAY_STEP_ALLOW, GRAY_STEP_MARK,
                   GRAY_STEP_RULES, GRAY_STEP_EVIDENCE, GRAY_STEP_END },
        .stickiness = GRAY_STICKY_MONOTONIC,
        .hash_version = GRAY_HASH_MURMUR3,
        .attempt = 1,
        .unit_slots = { unit_slot, GRAY_NONE, GRAY_NONE, GRAY_NONE },
        .deny = GRAY_NONE,
        .stage_rules = GRAY_NONE,
        .alias_slot = GRAY_NONE,
        .allow = GRAY_NONE,
        .match = GRAY_NONE,
        .variants = { variant, 1 },
    };
    return number;
}

uint32_t policy_stage(struct policy_craft *p, const char *name, bool writes)
{
    struct gray_release *release = &p->releases[p->release_count - 1];
    uint32_t number = TAKE(p, stage);
    if (release->stages.count == 0) {
        release->stages.first = number;
    }
    p->stages[number] = (struct gray_stage){ .name = policy_text(p, name),
                                             .share = release->share,
                                             .writes = writes };
    return release->stages.count++;
}

uint32_t policy_lane(struct policy_craft *p, const char *name)
{
    uint32_t number = TAKE(p, lane);
    p->lanes[number] = (struct gray_lane){ .name = policy_text(p, name),
                                           .group = policy_text(p, name) };
    return number;
}

uint32_t policy_entrance(struct policy_craft *p, const char *name)
{
    uint32_t number = TAKE(p, entrance);
    p->entrances[number] = (struct gray_entrance){
        .name = policy_text(p, name), .lane_rules = GRAY_NONE
    };
    return number;
}

uint32_t policy_service(struct policy_craft *p, const char *name)
{
    uint32_t number = TAKE(p, service), route = TAKE(p, route);
    p->routes[route] = (struct gray_route){ .version = policy_text(p, "v1"),
                                            .service = number,
                                            .kind = GRAY_ROUTE_BASELINE,
                                            .release = GRAY_NONE,
                                            .variant = GRAY_NONE,
                                            .lane = GRAY_NONE,
                                            .fallback = GRAY_NONE };
    p->services[number] = (struct gray_service){
        .name = policy_text(p, name), .baseline = route
    };
    return number;
}

static const struct policy_craft *names_of;

static int by_name(const void *a, const void *b)
{
    const struct gray_name *x = a, *y = b;
    const uint8_t *bytes = names_of->file.bytes;
    uint32_t common = x->name.length < y->name.length ? x->name.length
                                                      : y->name.length;
    int order;
    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    order =
        memcmp(bytes + x->name.offset, bytes + y->name.offset, common);
    return order != 0 ? order : (int)x->name.length - (int)y->name.length;
}

/* All records begin with their name. */
static struct gray_table put_names(struct policy_craft *p, uint32_t kind,
                                   const void *records, uint32_t count,
                                   size_t width)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct gray_ref *name =
            (const void *)((const uint8_t *)records + i * width);
        p->names[kind][i] = (struct gray_name){
            *name,
            gray_hash_name((const char *)p->file.bytes + name->offset,
                           name->length),
            i
        };
    }
    names_of = p;
    qsort(p->names[kind], count, sizeof(p->names[kind][0]), by_name);
    return craft_table(&p->file, p->names[kind], count,
                       sizeof(struct gray_name));
}

static void hash_slots(struct policy_craft *p)
{
    uint32_t size = 1;
    while (size <= p->slot_count) {
        size *= 2;
    }
    p->slot_hash_count = size;
    for (uint32_t i = 0; i < size; i++) {
        p->slot_hash[i] = GRAY_NONE;
    }
    for (uint32_t i = 0; i < p->slot_count; i++) {
        uint32_t at = p->slots[i].hash & (size - 1);
        while (p->slot_hash[at] != GRAY_NONE) {
            at = (at + 1) & (size - 1);
        }
        p->slot_hash[at] = i;
    }
}

#define PUT(p, table, array, what)                                             \
    (p)->policy.table = craft_table(&(p)->file, (p)->array,                    \
                                    (p)->what##_count, sizeof((p)->array[0]))

int policy_end(struct policy_craft *p, struct gray_snapshot *ret_snapshot,
               struct gray_problem *ret_problem)
{
    if (p->slot_hash_count == 0) {
        hash_slots(p);
    }
    PUT(p, slots, slots, slot);
    PUT(p, slot_hash, slot_hash, slot_hash);
    PUT(p, insns, insns, insn);
    PUT(p, rules, rules, rule);
    PUT(p, rulesets, rulesets, ruleset);
    PUT(p, sieves, sieves, sieve);
    PUT(p, indexes, indexes, index);
    PUT(p, index_slots, index_slots, index_slot);
    PUT(p, postings, postings, posting);
    PUT(p, numbers, numbers, number);
    PUT(p, releases, releases, release);
    PUT(p, variants, variants, variant);
    PUT(p, stages, stages, stage);
    PUT(p, services, services, service);
    PUT(p, routes, routes, route);
    PUT(p, selectors, selectors, selector);
    PUT(p, lanes, lanes, lane);
    PUT(p, entrances, entrances, entrance);
    PUT(p, entrance_releases, entrance_releases, entrance_release);
    PUT(p, lists, lists, list);
    p->policy.release_names = put_names(p, 0, p->releases, p->release_count,
                                        sizeof(p->releases[0]));
    p->policy.service_names = put_names(p, 1, p->services, p->service_count,
                                        sizeof(p->services[0]));
    p->policy.lane_names =
        put_names(p, 2, p->lanes, p->lane_count, sizeof(p->lanes[0]));
    p->policy.entrance_names = put_names(
        p, 3, p->entrances, p->entrance_count, sizeof(p->entrances[0]));
    memcpy(p->file.bytes + sizeof(struct gray_file_header), &p->policy,
           sizeof(p->policy));
    ((struct gray_file_header *)(void *)p->file.bytes)->revision = p->revision;
    craft_end(&p->file);
    return gray_snapshot_open(ret_snapshot, p->file.bytes, p->file.length,
                              ret_problem);
}
