/* SPDX-License-Identifier: Apache-2.0
 * order.c - values of attributes that are compared by size, not by bytes.
 *
 * Why: versions, moments and addresses stand in an order, and a test of them
 * changes its answer at a bound only.  So the bounds, and what comes right
 * behind each of them, meet every piece between two bounds.  Behind version
 * 1.2.3 comes 1.2.4-0, behind 1.2.3-rc comes 1.2.3-rc.0 (semver.org 2.0.0, 11),
 * and before all of them stands 0.0.0-0.
 * Read next: classes.h, ../engine/number.c.
 */
#include "policy/classes.h"

#include <string.h>

#include "engine/address.h"
#include "policy/parse.h"

static void add_text(struct classes *c, const char *text)
{
    gray_classes_add(c, (struct model_text){text, (uint32_t)strlen(text)},
                     true);
}

/* A second way to write it, for where a set names the first. */
static bool has_sets(const struct classes *c)
{
    for (uint32_t i = 0; i < c->atom_count; i++) {
        if (c->atoms[i].kind == ATOM_SET || c->atoms[i].kind == ATOM_LIST) {
            return true;
        }
    }
    return false;
}

/* ---- versions -------------------------------------------------------------------- */

static void add_version(struct classes *c, const uint32_t part[3],
                        const char *pre)
{
    const char *text =
        gray_arena_print(c->arena, "%u.%u.%u%s%s", part[0], part[1], part[2],
                         *pre != '\0' ? "-" : "", pre);

    add_text(c, text);
    if (has_sets(c)) {
        add_text(c, gray_arena_print(c->arena, "%s+other", text));
    }
}

/* The least version above it. */
static void add_behind(struct classes *c, const uint32_t part[3],
                       const char *pre)
{
    uint32_t next[3] = {part[0], part[1], part[2] + 1};

    if (*pre != '\0') {
        add_version(c, part, gray_arena_print(c->arena, "%s.0", pre));
    } else if (part[2] < UINT32_MAX) {
        add_version(c, next, "0");
    } else {
        c->incomplete = "a version has a part as large as there is";
    }
}

static void add_bound(struct classes *c, uint32_t major, uint32_t minor,
                      uint32_t patch, const char *pre)
{
    uint32_t part[3] = {major, minor, patch};

    add_version(c, part, pre);
    add_behind(c, part, pre);
}

static void add_versions(struct classes *c, const struct cond *test)
{
    const uint32_t *part = test->version;
    const char *pre = test->pre.length == 0
                          ? ""
                          : gray_arena_copy(c->arena, test->pre.data,
                                            test->pre.length);

    add_bound(c, 0, 0, 0, "0");
    if (test->semver_op == GRAY_SEMVER_TILDE) {
        add_bound(c, part[0], part[1], 0, "0");
        add_bound(c, part[0], part[1] + 1, 0, "0");
    } else if (test->semver_op == GRAY_SEMVER_CARET) {
        add_bound(c, part[0], 0, 0, "0");
        add_bound(c, part[0] + 1, 0, 0, "0");
    } else {
        add_bound(c, part[0], part[1], part[2], pre);
    }
}

/* ---- moments ---------------------------------------------------------------------- */

const char *gray_moment_text(struct gray_arena *arena, int64_t ms)
{
    int64_t days = ms / 86400000 - (ms % 86400000 < 0);
    int64_t rest = ms - days * 86400000;
    /* Days to a date: Howard Hinnant, "chrono-compatible low-level date
     * algorithms". */
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 -
                    of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    int64_t day = of_year - (153 * month + 2) / 5 + 1;

    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2);
    if (year < 0 || year > 9999) {
        return NULL;
    }
    return gray_arena_print(
        arena, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, (int)month,
        (int)day, (int)(rest / 3600000), (int)(rest / 60000 % 60),
        (int)(rest / 1000 % 60), (int)(rest % 1000));
}

static void add_moment(struct classes *c, int64_t ms)
{
    const char *text = gray_moment_text(c->arena, ms);

    if (text == NULL) {
        return; /* no value can say it */
    }
    add_text(c, text);
    if (has_sets(c)) {
        add_text(c, gray_arena_print(c->arena, "%.23s+00:00", text));
    }
}

static void add_moments(struct classes *c, const struct cond *test)
{
    if (test->start != INT64_MIN) {
        add_moment(c, test->start - 1);
        add_moment(c, test->start);
    }
    if (test->end != INT64_MAX) {
        add_moment(c, test->end - 1);
        add_moment(c, test->end);
    }
}

/* ---- addresses --------------------------------------------------------------------- */

static void add_address(struct classes *c, const uint8_t bytes[16])
{
    char *text = gray_arena_take(c->arena, ADDRESS_TEXT_MAX + 1);

    text[address_write(bytes, text)] = '\0';
    add_text(c, text);
}

/* The one before or behind; over the edge it comes round, which does no harm. */
static void add_neighbour(struct classes *c, const uint8_t bytes[16], int step)
{
    uint8_t next[16];

    memcpy(next, bytes, sizeof(next));
    for (int i = 15; i >= 0; i--) {
        uint8_t before = next[i];

        next[i] = (uint8_t)(before + step);
        if (step > 0 ? before != 0xff : before != 0) {
            break;
        }
    }
    add_address(c, next);
}

static void add_networks(struct classes *c, const struct cond *test)
{
    for (uint32_t i = 0; i < test->text_count; i++) {
        uint8_t first[16], last[16];
        bool loose = false;
        const char *text = gray_arena_copy(c->arena, test->texts[i].data,
                                           test->texts[i].length);

        if (gray_parse_network(text, first, last, &loose)) {
            add_address(c, first);
            add_address(c, last);
            add_neighbour(c, first, -1);
            add_neighbour(c, last, 1);
        }
    }
}

/* ---- together ----------------------------------------------------------------------- */

/* Whatever a set names may be a version: each of its values for itself. */
static void add_sets(struct classes *c)
{
    for (uint32_t i = 0; i < c->atom_count; i++) {
        const struct atom *atom = &c->atoms[i];
        const struct cond *test = atom->side.cond;

        if (test->op == GRAY_CONDITION_EXACT) {
            gray_classes_add(c, test->text, true);
        } else if (atom->kind == ATOM_SET && test->texts != NULL) {
            for (uint32_t k = 0; k < test->text_count; k++) {
                gray_classes_add(c, test->texts[k], true);
            }
        } else if (test->op == GRAY_CONDITION_LIST) {
            const struct model_list *list =
                &atom->side.model->lists[test->list];

            for (uint64_t k = 0; k < list->id_count; k++) {
                gray_classes_add(c, list->ids[k], true);
            }
        }
        if (atom->kind == ATOM_SET && atom->fold) {
            c->incomplete = "it is compared by size and without case";
        }
    }
}

static void forbid_automata(struct classes *c)
{
    for (uint32_t i = 0; i < c->atom_count; i++) {
        if (gray_atom_runs(&c->atoms[i]) && c->atoms[i].kind != ATOM_SET &&
            c->atoms[i].kind != ATOM_BLANK) {
            c->incomplete = "it is compared by size and looked at as a text";
        }
    }
}

void gray_classes_order(struct classes *c)
{
    bool ordered = false;

    for (uint32_t i = 0; i < c->atom_count; i++) {
        const struct cond *test = c->atoms[i].side.cond;

        if (c->atoms[i].kind != ATOM_ORDER &&
            c->atoms[i].kind != ATOM_NETWORK) {
            continue;
        }
        ordered = true;
        if (test->op == GRAY_CONDITION_SEMVER) {
            add_versions(c, test);
        } else if (test->op == GRAY_CONDITION_DATE) {
            add_moments(c, test);
        } else {
            add_networks(c, test);
        }
    }
    if (c->source == GRAY_SOURCE_ADDRESS) {
        static const uint8_t other[16] = {0x20, 1, 0xd, 0xb8, [15] = 7};
        static const uint8_t four[16] = {[10] = 0xff, 0xff, 203, 0, 113, 7};

        add_address(c, other);
        add_address(c, four);
        ordered = true;
    }
    if (ordered) {
        add_text(c, "x");
        add_sets(c);
        forbid_automata(c);
    }
}
