/* SPDX-License-Identifier: Apache-2.0
 * compile_operand.c - what a test compares with, as the engine wants it.
 *
 * Why: each condition has a record of its own shape (layout.h).  Offsets that
 * stay inside the operands are written relative to their start and noted in
 * build->relocs; compile_write.c moves them.  Time zones are dear
 * and often repeated, so the same one is laid down once.
 * Read next: compile_pattern.c, zone.h, ../engine/layout.h (gray_operand_*).
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"
#include "policy/zone.h"

struct known_zone {
    struct gray_ref name;
    struct gray_table steps; /* offset relative to the operands */
};

/* Offset 0 means "none", so the first eight bytes stay unused. */
uint32_t operand_room(struct build *build, size_t size)
{
    uint32_t offset;

    if (build->operands.length == 0 &&
        bytes_add(build, &build->operands, 8) == NULL) {
        return 0;
    }
    if (bytes_align(build, &build->operands) != 0) {
        return 0;
    }
    offset = (uint32_t)build->operands.length;
    return bytes_add(build, &build->operands, size) == NULL ? 0 : offset;
}

void *operand_at(struct build *build, uint32_t offset)
{
    return build->operands.data + offset;
}

int operand_relocate(struct build *build, size_t place)
{
    uint32_t *reloc = bytes_add(build, &build->relocs, sizeof(*reloc));

    if (reloc == NULL) {
        return -1;
    }
    *reloc = (uint32_t)place;
    return 0;
}

/* Copies an array behind everything else and refers to it at `place`. */
static int put_table(struct build *build, size_t place, const void *data,
                     uint32_t count, size_t width)
{
    uint32_t offset = operand_room(build, count * width);
    struct gray_table table = {offset, count};

    if (offset == 0) {
        return -1;
    }
    if (count != 0) {
        memcpy(operand_at(build, offset), data, count * width);
    }
    memcpy(operand_at(build, (uint32_t)place), &table, sizeof(table));
    return operand_relocate(build, place + offsetof(struct gray_table, offset));
}

static struct gray_ref folded(struct build *build, const struct cond *test,
                              struct model_text text)
{
    return test->ignore_case ? build_lower(build, text)
                             : build_string(build, text.data, text.length);
}

static uint32_t put_string(struct build *build, const struct cond *test)
{
    struct gray_ref text = folded(build, test, test->text);
    uint32_t offset = operand_room(build, sizeof(struct gray_operand_string));

    if (offset != 0) {
        ((struct gray_operand_string *)operand_at(build, offset))->text = text;
    }
    return offset;
}

static void put_cell(struct build *build, struct gray_operand_set *set,
                     struct gray_set_cell *cells, uint32_t mask,
                     struct gray_ref text)
{
    struct gray_str bytes = build_text(build, text);
    uint32_t hash = gray_murmur3_32(bytes.data, bytes.length, 0);
    uint32_t i = hash & mask;

    while (cells[i].text.offset != 0) {
        if (cells[i].text.offset == text.offset &&
            cells[i].text.length == text.length) {
            return; /* two spellings of one value without case */
        }
        i = (i + 1) & mask;
    }
    cells[i].text = text;
    cells[i].hash = hash;
    set->count++;
}

static uint32_t put_set(struct build *build, const struct cond *test)
{
    uint32_t size = 2, i, offset, cells_at;
    struct gray_operand_set *set;
    struct gray_ref text;

    while (size < 2 * (test->text_count + 1)) {
        size *= 2;
    }
    offset = operand_room(build, sizeof(*set));
    if (offset == 0) {
        return 0;
    }
    cells_at = operand_room(build, (size_t)size * sizeof(struct gray_set_cell));
    if (cells_at == 0 ||
        operand_relocate(build, offset + offsetof(struct gray_operand_set,
                                                  cells)) != 0) {
        return 0;
    }
    set = operand_at(build, offset);
    set->cells.offset = cells_at;
    set->cells.count = size;
    for (i = 0; i < test->text_count; i++) {
        text = folded(build, test, test->texts[i]);
        if (build->no_memory) {
            return 0;
        }
        put_cell(build, operand_at(build, offset),
                 operand_at(build, cells_at), size - 1, text);
    }
    return offset;
}

static uint32_t put_mod(struct build *build, const struct cond *test)
{
    uint32_t offset = operand_room(build, sizeof(struct gray_operand_mod));
    struct gray_operand_mod *out;

    if (offset == 0) {
        return 0;
    }
    out = operand_at(build, offset);
    out->divisor = test->divisor;
    return put_table(build, offset + offsetof(struct gray_operand_mod, ranges),
                     test->ranges, test->range_count,
                     sizeof(*test->ranges)) == 0
               ? offset
               : 0;
}

static uint32_t put_tail(struct build *build, const struct cond *test)
{
    uint32_t offset = operand_room(build, sizeof(struct gray_operand_tail));
    struct gray_operand_tail *out;

    if (offset == 0) {
        return 0;
    }
    out = operand_at(build, offset);
    out->width = test->tail_width;
    return put_table(build, offset + offsetof(struct gray_operand_tail, tails),
                     test->tails, test->tail_count,
                     sizeof(*test->tails)) == 0
               ? offset
               : 0;
}

static uint32_t put_share(struct build *build, const struct cond *test)
{
    struct gray_ref salt =
        build_string(build, test->salt.data, test->salt.length);
    uint32_t offset = operand_room(build, sizeof(struct gray_operand_share));
    struct gray_operand_share *out;

    if (offset != 0) {
        out = operand_at(build, offset);
        out->salt = salt;
        out->share = test->share;
    }
    return offset;
}

/* ---- networks ------------------------------------------------------------ */

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* "10.0.0.0/8", "::1", as first and last address; the bits behind the prefix
 * do not matter. */
static int parse_network(struct model_text text, struct gray_cidr_range *range)
{
    char buffer[INET6_ADDRSTRLEN + 8], *slash, *end;
    unsigned long bits = 128;
    uint32_t i, base = 0;

    if (text.length >= sizeof(buffer)) {
        return -1;
    }
    memcpy(buffer, text.data, text.length);
    buffer[text.length] = '\0';
    slash = strchr(buffer, '/');
    if (slash != NULL) {
        *slash++ = '\0';
    }
    if (inet_pton(AF_INET, buffer, range->first + 12) == 1) {
        memcpy(range->first, mapped, sizeof(mapped));
        base = 96;
    } else if (inet_pton(AF_INET6, buffer, range->first) != 1) {
        return -1;
    }
    if (slash != NULL) {
        if (*slash < '0' || *slash > '9') {
            return -1;
        }
        bits = strtoul(slash, &end, 10);
        if (*end != '\0' || bits > 128 - base) {
            return -1;
        }
        bits += base;
    }
    memcpy(range->last, range->first, sizeof(range->last));
    for (i = (uint32_t)bits; i < 128; i++) {
        uint8_t bit = (uint8_t)(0x80u >> (i & 7));

        range->first[i >> 3] &= (uint8_t)~bit;
        range->last[i >> 3] |= bit;
    }
    return 0;
}

static int by_first(const void *a, const void *b)
{
    return memcmp(((const struct gray_cidr_range *)a)->first,
                  ((const struct gray_cidr_range *)b)->first, 16);
}

/* last + 1 == first? Then two ranges are one. */
static bool touches(const uint8_t last[16], const uint8_t first[16])
{
    uint8_t next[16];
    int i = 15;

    memcpy(next, last, sizeof(next));
    while (i >= 0 && ++next[i] == 0) {
        i--;
    }
    return i >= 0 && memcmp(next, first, sizeof(next)) == 0;
}

static uint32_t merge_ranges(struct gray_cidr_range *ranges, uint32_t count)
{
    uint32_t i, used = 0;

    qsort(ranges, count, sizeof(*ranges), by_first);
    for (i = 0; i < count; i++) {
        struct gray_cidr_range *top = used == 0 ? NULL : &ranges[used - 1];

        if (top != NULL && (memcmp(ranges[i].first, top->last, 16) <= 0 ||
                            touches(top->last, ranges[i].first))) {
            if (memcmp(ranges[i].last, top->last, 16) > 0) {
                memcpy(top->last, ranges[i].last, 16);
            }
            continue;
        }
        ranges[used++] = ranges[i];
    }
    return used;
}

/* An IPv6 network so wide that it holds ::ffff:0:0/96 (as ::/0 does) does not
 * mean the IPv4 addresses that are kept there: they are cut out.  Returns how
 * many ranges are left in range[0 .. 1]. */
static uint32_t cut_mapped(struct gray_cidr_range *range)
{
    static const uint8_t start[16] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t end[16] = {[10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t before[16] = {[10] = 0xff, 0xfe, 0xff, 0xff, 0xff,
                                       0xff};
    static const uint8_t after[16] = {[9] = 1};
    struct gray_cidr_range whole = *range;

    if (memcmp(whole.first, start, 16) >= 0 ||
        memcmp(whole.last, start, 16) < 0) {
        return 1;
    }
    memcpy(range[0].last, before, 16);
    if (memcmp(whole.last, end, 16) <= 0) {
        return 1;
    }
    memcpy(range[1].first, after, 16);
    memcpy(range[1].last, whole.last, 16);
    return 2;
}

static uint32_t put_cidr(struct build *build, const struct cond *test)
{
    struct gray_cidr_range *ranges;
    uint32_t i, count = 0, offset;
    int result;

    ranges = malloc((2 * (size_t)test->text_count + 1) * sizeof(*ranges));
    if (ranges == NULL) {
        build->failed = build->no_memory = true;
        return 0;
    }
    for (i = 0; i < test->text_count; i++) {
        if (parse_network(test->texts[i], &ranges[count]) != 0) {
            build_finding(build, GRAY_ERROR, GRAY_PROBLEM_BAD_CIDR,
                          test->pointer,
                          "\"%.*s\" is no network; write 10.0.0.0/8 or "
                          "2001:db8::/32.",
                          (int)test->texts[i].length, test->texts[i].data);
            free(ranges);
            return 0;
        }
        count += cut_mapped(&ranges[count]);
    }
    count = merge_ranges(ranges, count);
    offset = operand_room(build, sizeof(struct gray_operand_cidr));
    result = offset == 0
                 ? -1
                 : put_table(build,
                             offset +
                                 offsetof(struct gray_operand_cidr, ranges),
                             ranges, count, sizeof(*ranges));
    free(ranges);
    return result == 0 ? offset : 0;
}

/* ---- versions and moments ------------------------------------------------ */

static uint32_t put_semver(struct build *build, const struct cond *test)
{
    struct gray_ref pre =
        build_string(build, test->pre.data, test->pre.length);
    uint32_t offset = operand_room(build, sizeof(struct gray_operand_semver));
    struct gray_operand_semver *out;

    if (offset != 0) {
        out = operand_at(build, offset);
        out->op = test->semver_op;
        memcpy(out->part, test->version, sizeof(out->part));
        out->pre = pre;
    }
    return offset;
}

/* gray_operand_range and gray_operand_date are two int64_t both. */
static uint32_t put_bounds(struct build *build, const struct cond *test)
{
    uint32_t offset = operand_room(build, sizeof(struct gray_operand_range));
    struct gray_operand_range *out;

    if (offset != 0) {
        out = operand_at(build, offset);
        out->start = test->start;
        out->end = test->end;
    }
    return offset;
}

static int find_zone(struct build *build, const struct cond *test,
                     struct gray_table *ret_steps)
{
    const char *zone = test->zone == NULL ? "UTC" : test->zone;
    struct gray_ref name = build_name(build, zone);
    struct gray_zone_step *steps;
    struct known_zone *known;
    uint32_t cursor = 0, number, count, offset;

    number = map_next(&build->zone_map, name.offset, &cursor);
    if (number != GRAY_NONE) {
        known = TABLE(build->zones, struct known_zone) + number;
        *ret_steps = known->steps;
        return 0;
    }
    if (zone_load(&steps, &count, zone, build->options->now) != 0) {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_UNKNOWN_ZONE,
                      test->pointer,
                      "The time zone \"%s\" is not in this machine's tz "
                      "database; install tzdata, or check the name.",
                      zone);
        return -1;
    }
    offset = operand_room(build, count * sizeof(*steps));
    if (offset != 0) {
        memcpy(operand_at(build, offset), steps, count * sizeof(*steps));
    }
    free(steps);
    number = COUNT(build->zones, struct known_zone);
    known = bytes_add(build, &build->zones, sizeof(*known));
    if (offset == 0 || known == NULL ||
        map_add(build, &build->zone_map, name.offset, number) != 0) {
        return -1;
    }
    known->name = name;
    known->steps.offset = offset;
    known->steps.count = count;
    *ret_steps = known->steps;
    return 0;
}

static uint32_t put_time(struct build *build, const struct cond *test)
{
    struct gray_operand_time *out;
    struct gray_table zone;
    uint32_t offset;

    if (find_zone(build, test, &zone) != 0) {
        return 0;
    }
    offset = operand_room(build, sizeof(*out));
    if (offset == 0 ||
        operand_relocate(build, offset + offsetof(struct gray_operand_time,
                                                  zone)) != 0) {
        return 0;
    }
    out = operand_at(build, offset);
    out->from = test->from;
    out->until = test->until;
    out->days = test->days;
    out->start = test->day_start;
    out->end = test->day_end;
    out->zone = zone;
    return offset;
}

static uint32_t put_list(struct build *build, const struct cond *test)
{
    uint32_t offset = operand_room(build, sizeof(struct gray_operand_list));
    struct gray_operand_list *out;

    if (offset != 0) {
        out = operand_at(build, offset);
        out->list = test->list;
    }
    return offset;
}

static uint32_t put_none(struct build *build, const struct cond *test)
{
    (void)build;
    (void)test;
    return 0;
}

/* By shape, as conditions.def names it. */
#define put_NONE put_none
#define put_STRING put_string
#define put_SET put_set
#define put_DFA build_pattern
#define put_RANGE put_bounds
#define put_MOD put_mod
#define put_TAIL put_tail
#define put_SHARE put_share
#define put_LIST put_list
#define put_CIDR put_cidr
#define put_SEMVER put_semver
#define put_DATE put_bounds
#define put_TIME put_time

static uint32_t (*const put[256])(struct build *, const struct cond *) = {
#define GRAY_CONDITION(NAME, number, word, OPERAND, cost, missing, doc) \
    [number] = put_##OPERAND,
#include "engine/conditions.def"
#undef GRAY_CONDITION
};

uint32_t build_operand(struct build *build, const struct cond *test)
{
    if (put[test->op] == NULL) {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_UNKNOWN_CONDITION,
                      test->pointer,
                      "The condition number %u is not known to the compiler.",
                      test->op);
        return 0;
    }
    return put[test->op](build, test);
}
