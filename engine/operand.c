/* SPDX-License-Identifier: Apache-2.0
 * operand.c - what a condition compares with, as text.
 *
 * Why: "the value was alice, the rule asks for alice,bob" is the whole answer
 * to most questions.  The form is for people; it is made of what the snapshot
 * holds and so is the same everywhere.
 *
 *   in: "a,b" (in the order of the table)   range, date: "1..10", end not in it
 *   mod: "100:0,5~9"   idTail: "00,01"      percent: "10000:salt", millionths
 *   cidr: "10.0.0.0-10.255.255.255"         time: "FROM..UNTIL/DAYS/START..END"
 *
 * Read next: layout.h (gray_operand_*), explain.c.
 */
#include "engine/address.h"
#include "engine/operand.h"
#include "engine/view.h"

static void write_text(struct text *text, struct gray_str string)
{
    for (uint32_t i = 0; i < string.length; i++) {
        text_byte(text, string.data[i]);
    }
}

static void write_pair(struct text *text, int64_t from, int64_t to)
{
    text_signed(text, from);
    text_raw(text, "..");
    text_signed(text, to);
}

/* Between the parts of a list; false when no more of it would be seen. */
static bool next_part(struct text *text, bool *first)
{
    if (!*first) {
        text_byte(text, ',');
    }
    *first = false;
    return text->length < text->size;
}

static void write_set(struct text *text, const struct gray_snapshot *s,
                      const struct gray_operand_set *set)
{
    const struct gray_set_cell *cells =
        view_bytes(s, set->cells.offset,
                   (uint64_t)set->cells.count * sizeof(*cells));
    bool first = true;
    for (uint32_t i = 0; cells != NULL && i < set->cells.count; i++) {
        if (cells[i].text.offset == 0) {
            continue;
        }
        if (!next_part(text, &first)) {
            return;
        }
        write_text(text, view_text(s, cells[i].text));
    }
}

static void write_mod(struct text *text, const struct gray_snapshot *s,
                      const struct gray_operand_mod *mod)
{
    const struct gray_mod_range *ranges =
        view_bytes(s, mod->ranges.offset,
                   (uint64_t)mod->ranges.count * sizeof(*ranges));
    bool first = true;
    text_unsigned(text, mod->divisor);
    text_byte(text, ':');
    for (uint32_t i = 0; ranges != NULL && i < mod->ranges.count; i++) {
        if (!next_part(text, &first)) {
            return;
        }
        text_unsigned(text, ranges[i].first);
        if (ranges[i].last != ranges[i].first) {
            text_byte(text, '~');
            text_unsigned(text, ranges[i].last);
        }
    }
}

static void write_tails(struct text *text, const struct gray_snapshot *s,
                        const struct gray_operand_tail *tail)
{
    const uint32_t *tails = view_bytes(s, tail->tails.offset,
                                       (uint64_t)tail->tails.count * 4);
    bool first = true;
    for (uint32_t i = 0; tails != NULL && i < tail->tails.count; i++) {
        uint32_t scale = 1;
        if (!next_part(text, &first)) {
            return;
        }
        for (uint32_t k = 1; k < tail->width && k < 9; k++) {
            scale *= 10;
        }
        for (; scale > 0; scale /= 10) {
            text_byte(text, (char)('0' + tails[i] / scale % 10));
        }
    }
}

static void write_cidr(struct text *text, const struct gray_snapshot *s,
                       const struct gray_operand_cidr *cidr)
{
    const struct gray_cidr_range *ranges =
        view_bytes(s, cidr->ranges.offset,
                   (uint64_t)cidr->ranges.count * sizeof(*ranges));
    char address[ADDRESS_TEXT_MAX];
    bool first = true;
    for (uint32_t i = 0; ranges != NULL && i < cidr->ranges.count; i++) {
        if (!next_part(text, &first)) {
            return;
        }
        uint32_t length = address_write(ranges[i].first, address);
        write_text(text, (struct gray_str){ address, length });
        text_byte(text, '-');
        length = address_write(ranges[i].last, address);
        write_text(text, (struct gray_str){ address, length });
    }
}

static void write_semver(struct text *text, const struct gray_snapshot *s,
                         const struct gray_operand_semver *semver)
{
    static const char words[][4] = { "=", "!=", "<", "<=", ">", ">=", "~", "^" };
    struct gray_str pre = view_text(s, semver->pre);
    text_raw(text, semver->op < 8 ? words[semver->op] : "?");
    for (int i = 0; i < 3; i++) {
        if (i > 0) {
            text_byte(text, '.');
        }
        text_unsigned(text, semver->part[i]);
    }
    if (pre.length != 0) {
        text_byte(text, '-');
        write_text(text, pre);
    }
}

static void write_time(struct text *text, const struct gray_operand_time *time)
{
    static const char days[] = "MTWTFSS";
    write_pair(text, time->from, time->until);
    text_byte(text, '/');
    for (int i = 0; i < 7; i++) {
        text_byte(text, (time->days >> i & 1) != 0 ? days[i] : '-');
    }
    text_byte(text, '/');
    write_pair(text, time->start, time->end);
}

#define OPERAND(type)                                                          \
    const struct type *operand =                                               \
        view_bytes(s, insn->operand, sizeof(struct type));                     \
    if (operand == NULL) {                                                     \
        return;                                                                \
    }

static void write_string(struct text *text, const struct gray_snapshot *s,
                         const struct gray_insn *insn)
{
    OPERAND(gray_operand_string)
    write_text(text, view_text(s, operand->text));
}

static void write_dfa(struct text *text, const struct gray_snapshot *s,
                      const struct gray_insn *insn)
{
    OPERAND(gray_operand_dfa)
    write_text(text, view_text(s, operand->pattern));
}

static void write_share(struct text *text, const struct gray_snapshot *s,
                        const struct gray_insn *insn)
{
    OPERAND(gray_operand_share)
    text_unsigned(text, operand->share);
    text_byte(text, ':');
    write_text(text, view_text(s, operand->salt));
}

static void write_list(struct text *text, const struct gray_snapshot *s,
                       const struct gray_insn *insn)
{
    OPERAND(gray_operand_list)
    const struct gray_list_ref *list =
        VIEW_AT(s, lists, gray_list_ref, operand->list);
    if (list != NULL) {
        write_text(text, view_text(s, list->name));
    }
}

void operand_write(struct text *text, const struct gray_snapshot *s,
                   const struct gray_insn *insn)
{
    switch (insn->op) {
    case GRAY_CONDITION_EXACT:
    case GRAY_CONDITION_PREFIX:
    case GRAY_CONDITION_SUFFIX:
        write_string(text, s, insn);
        return;
    case GRAY_CONDITION_CONTAINS:
    case GRAY_CONDITION_GLOB:
    case GRAY_CONDITION_REGEX:
        write_dfa(text, s, insn);
        return;
    case GRAY_CONDITION_PERCENT:
        write_share(text, s, insn);
        return;
    case GRAY_CONDITION_LIST:
        write_list(text, s, insn);
        return;
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_NOT_IN: {
        OPERAND(gray_operand_set)
        write_set(text, s, operand);
        return;
    }
    case GRAY_CONDITION_RANGE: {
        OPERAND(gray_operand_range)
        write_pair(text, operand->start, operand->end);
        return;
    }
    case GRAY_CONDITION_DATE: {
        OPERAND(gray_operand_date)
        write_pair(text, operand->after, operand->before);
        return;
    }
    case GRAY_CONDITION_MOD: {
        OPERAND(gray_operand_mod)
        write_mod(text, s, operand);
        return;
    }
    case GRAY_CONDITION_ID_TAIL: {
        OPERAND(gray_operand_tail)
        write_tails(text, s, operand);
        return;
    }
    case GRAY_CONDITION_CIDR: {
        OPERAND(gray_operand_cidr)
        write_cidr(text, s, operand);
        return;
    }
    case GRAY_CONDITION_SEMVER: {
        OPERAND(gray_operand_semver)
        write_semver(text, s, operand);
        return;
    }
    case GRAY_CONDITION_TIME: {
        OPERAND(gray_operand_time)
        write_time(text, operand);
        return;
    }
    default:
        return; /* presence compares with nothing */
    }
}
