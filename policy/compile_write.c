/* SPDX-License-Identifier: Apache-2.0
 * compile_write.c - lays the tables into one file and sets its offsets.
 *
 * Why: only here is it known where everything comes to lie.  Strings come
 * directly after the policy record, so references to them are right already;
 * what points into the operands is moved by their place.  The canonical JSON
 * of the documents is the tail of the strings.
 * Read next: ../engine/layout.h, ../engine/snapshot.c (which checks it).
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* ---- tables that are made from others ------------------------------------ */

/* Names come from the build's strings, so the sort needs them. */
static int by_name(const void *left, const void *right, void *context)
{
    const struct gray_name *a = left, *b = right;
    const struct build *build = context;
    struct gray_str x = build_text(build, a->name);
    struct gray_str y = build_text(build, b->name);
    int order;

    if (a->hash != b->hash) {
        return a->hash < b->hash ? -1 : 1;
    }
    order = memcmp(x.data, y.data, x.length < y.length ? x.length : y.length);
    if (order != 0) {
        return order;
    }
    return x.length < y.length ? -1 : x.length > y.length;
}

/* `records` begin with their name. */
static int put_names(struct build *build, struct bytes *names,
                     const struct bytes *records, size_t width)
{
    uint32_t i, count = (uint32_t)(records->length / width);
    struct gray_name *out =
        bytes_add(build, names, count * sizeof(struct gray_name));
    struct gray_str text;

    if (out == NULL) {
        return -1;
    }
    for (i = 0; i < count; i++) {
        memcpy(&out[i].name, records->data + i * width, sizeof(out[i].name));
        text = build_text(build, out[i].name);
        out[i].hash = gray_hash_name(text.data, text.length);
        out[i].index = i;
    }
    if (count > 1) {
        qsort_r(out, count, sizeof(*out), by_name, build);
    }
    return 0;
}

static int put_lists(struct build *build)
{
    uint32_t i;

    for (i = 0; i < build->model->list_count; i++) {
        struct gray_ref name = build_name(build, build->model->lists[i].name);
        struct gray_ref file = build_name(build, build->list_files[i].name);
        struct gray_list_ref *list =
            bytes_add(build, &build->lists, sizeof(*list));

        if (list == NULL) {
            return -1;
        }
        list->name = name;
        list->file = file;
    }
    return 0;
}

static int put_slot_hash(struct build *build, struct bytes *table)
{
    const struct gray_slot *slots = TABLE(build->slots, struct gray_slot);
    uint32_t i, at, size = 2, count = COUNT(build->slots, struct gray_slot);
    uint32_t *cells;

    while (size < 2 * count) {
        size *= 2;
    }
    cells = bytes_add(build, table, size * sizeof(*cells));
    if (cells == NULL) {
        return -1;
    }
    memset(cells, 0xff, size * sizeof(*cells));
    for (i = 0; i < count; i++) {
        at = slots[i].hash & (size - 1);
        while (cells[at] != GRAY_NONE) {
            at = (at + 1) & (size - 1);
        }
        cells[at] = i;
    }
    return 0;
}

static int put_source(struct build *build)
{
    size_t length = build->model->source_length;
    uint8_t *out;

    build->source.offset =
        build->strings_base + (uint32_t)build->strings.length;
    build->source.length = (uint32_t)length;
    out = bytes_add(build, &build->strings, length);
    if (out == NULL) {
        return -1;
    }
    if (length != 0) {
        memcpy(out, build->model->source, length);
    }
    return 0;
}

/* Which headers are worth a look at all, see gray_input_wants(). */
static uint64_t header_filter(const struct build *build)
{
    const struct gray_slot *slots = TABLE(build->slots, struct gray_slot);
    uint32_t i, hash;
    uint64_t filter = 0;

    for (i = 0; i < COUNT(build->slots, struct gray_slot); i++) {
        struct gray_str name = build_text(build, slots[i].name);

        switch (slots[i].source) {
        case GRAY_SOURCE_HEADER:
            hash = gray_hash_name(name.data, name.length);
            break;
        case GRAY_SOURCE_COOKIE:
            hash = gray_hash_name("cookie", 6);
            break;
        case GRAY_SOURCE_GRPC_SERVICE:
        case GRAY_SOURCE_GRPC_METHOD:
            hash = gray_hash_name("content-type", 12);
            break;
        default:
            continue;
        }
        filter |= UINT64_C(1) << (hash & 63);
    }
    return filter;
}

/* ---- the file ------------------------------------------------------------ */

struct place {
    struct gray_table *table;
    const struct bytes *bytes;
    size_t width;
};

static void relocate(struct build *build, uint32_t base)
{
    struct gray_insn *insns = TABLE(build->insns, struct gray_insn);
    const uint32_t *relocs = TABLE(build->relocs, uint32_t);
    uint32_t i, offset;

    for (i = 0; i < COUNT(build->insns, struct gray_insn); i++) {
        if (insns[i].operand != 0) {
            insns[i].operand += base;
        }
    }
    for (i = 0; i < COUNT(build->relocs, uint32_t); i++) {
        memcpy(&offset, build->operands.data + relocs[i], sizeof(offset));
        offset += base;
        memcpy(build->operands.data + relocs[i], &offset, sizeof(offset));
    }
}

/* Sets offsets and counts; 0 when the file would be too large for them. */
static uint64_t lay_out(uint64_t at, struct place *places, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (at > UINT32_MAX) {
            return 0;
        }
        places[i].table->offset = (uint32_t)at;
        places[i].table->count =
            (uint32_t)(places[i].bytes->length / places[i].width);
        at += (places[i].bytes->length + 7) & ~(uint64_t)7;
    }
    return at > UINT32_MAX ? 0 : at;
}

static int write_file(struct build *build, const struct gray_policy *policy,
                      const struct place *places, size_t count, uint64_t size,
                      struct gray_file *ret_file)
{
    struct gray_file_header header = {GRAY_MAGIC_POLICY, GRAY_LAYOUT,
                                      sizeof(header)};
    uint8_t *data = calloc(1, size);
    size_t i;

    if (data == NULL) {
        build->failed = build->no_memory = true;
        return -1;
    }
    header.revision = build->options->revision;
    header.effective_at = build->options->effective_at;
    header.max_skew = (uint16_t)(build->options->max_skew < GRAY_SKEW_MAX_MS
                                     ? build->options->max_skew
                                     : GRAY_SKEW_MAX_MS);
    header.length = size;
    memcpy(data, &header, sizeof(header));
    memcpy(data + sizeof(header), policy, sizeof(*policy));
    for (i = 0; i < count; i++) {
        if (places[i].bytes->length != 0) {
            memcpy(data + places[i].table->offset, places[i].bytes->data,
                   places[i].bytes->length);
        }
    }
    memset(ret_file, 0, sizeof(*ret_file));
    memcpy(ret_file->name, "policy", sizeof("policy"));
    ret_file->data = data;
    ret_file->size = size;
    return 0;
}

static int prepare(struct build *build, struct bytes *slot_hash)
{
    if (put_lists(build) != 0 || put_slot_hash(build, slot_hash) != 0 ||
        put_names(build, &build->names[0], &build->releases,
                  sizeof(struct gray_release)) != 0 ||
        put_names(build, &build->names[1], &build->services,
                  sizeof(struct gray_service)) != 0 ||
        put_names(build, &build->names[2], &build->lanes,
                  sizeof(struct gray_lane)) != 0 ||
        put_names(build, &build->names[3], &build->entrances,
                  sizeof(struct gray_entrance)) != 0) {
        return -1;
    }
    return put_source(build);
}

int build_write(struct build *build, struct gray_file *ret_file)
{
    struct bytes slot_hash = {NULL, 0, 0};
    struct gray_policy p;
    struct place places[] = {
        {&p.strings, &build->strings, 1},
        {&p.slots, &build->slots, sizeof(struct gray_slot)},
        {&p.slot_hash, &slot_hash, sizeof(uint32_t)},
        {&p.insns, &build->insns, sizeof(struct gray_insn)},
        {&p.operands, &build->operands, 1},
        {&p.rules, &build->rules, sizeof(struct gray_rule)},
        {&p.rulesets, &build->rulesets, sizeof(struct gray_ruleset)},
        {&p.indexes, &build->indexes, sizeof(struct gray_index)},
        {&p.sieves, &build->sieves, sizeof(struct gray_sieve_cell)},
        {&p.index_slots, &build->index_slots, sizeof(struct gray_index_slot)},
        {&p.postings, &build->postings, sizeof(struct gray_posting)},
        {&p.numbers, &build->numbers, sizeof(uint32_t)},
        {&p.releases, &build->releases, sizeof(struct gray_release)},
        {&p.variants, &build->variants, sizeof(struct gray_variant)},
        {&p.stages, &build->stages, sizeof(struct gray_stage)},
        {&p.services, &build->services, sizeof(struct gray_service)},
        {&p.routes, &build->routes, sizeof(struct gray_route)},
        {&p.selectors, &build->selectors, sizeof(struct gray_selector)},
        {&p.lanes, &build->lanes, sizeof(struct gray_lane)},
        {&p.entrances, &build->entrances, sizeof(struct gray_entrance)},
        {&p.entrance_releases, &build->entrance_releases, sizeof(uint32_t)},
        {&p.lists, &build->lists, sizeof(struct gray_list_ref)},
        {&p.release_names, &build->names[0], sizeof(struct gray_name)},
        {&p.service_names, &build->names[1], sizeof(struct gray_name)},
        {&p.lane_names, &build->names[2], sizeof(struct gray_name)},
        {&p.entrance_names, &build->names[3], sizeof(struct gray_name)},
    };
    size_t count = sizeof(places) / sizeof(places[0]);
    uint64_t size;
    int result = -1;

    memset(&p, 0, sizeof(p));
    if (prepare(build, &slot_hash) != 0 ||
        bytes_align(build, &build->operands) != 0) {
        goto done;
    }
    size = lay_out(build->strings_base, places, count);
    if (size == 0) {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_TOO_BIG, "",
                      "The compiled policy would be larger than 4 GiB.");
        goto done;
    }
    relocate(build, p.operands.offset);
    p.source = build->source;
    p.header_filter = header_filter(build);
    p.needs = build->needs;
    p.cost_bound = build->cost_bound;
    result = write_file(build, &p, places, count, size, ret_file);
done:
    bytes_free(&slot_hash);
    return result;
}
