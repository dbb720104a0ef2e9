/* SPDX-License-Identifier: Apache-2.0
 * invent_cond.c - random conditions, made from values that requests have.
 *
 * Why: see invent.h.  Each operator is as likely as any other.
 * Read next: invent_values.c.
 */
#include "tests/story/invent.h"

#include <string.h>

#include "tests/story/invent_values.h"

/* ---- patterns made from values ------------------------------------------ */

static bool is_ascii(const char *value)
{
    for (; *value != '\0'; value++) {
        if ((unsigned char)*value >= 0x80) {
            return false;
        }
    }
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Pieces that POSIX and the compiler's own grammar read alike. */
static void add_regex_byte(char *to, char c, struct dice *d)
{
    static const char *const pieces[] = {".",      "[a-z0-9]", "[^a]",
                                         "[^0-9]", "(a|b|1)",  "[A-Z.-]?"};

    to += strlen(to);
    if (dice_one_in(d, 6)) {
        strcat(to, pieces[dice_below(d, 6)]);
    } else if (is_letter(c) || (c >= '0' && c <= '9')) {
        sprintf(to, dice_one_in(d, 8) ? "%c+" : "%c", c);
    } else {
        sprintf(to, strchr(" -_/:@,=&%<>", c) != NULL ? "%c" : "\\%c", c);
    }
}

static void make_regex(const char *value, char *to, struct dice *d)
{
    *to = '\0';
    if (*value == '\0' || !is_ascii(value) || strlen(value) > 24 ||
        dice_one_in(d, 8)) {
        static const char *const whole[] = {"[0-9]+",       "u[0-9]{4}",
                                            "(alice|bob)",  ".*old.*",
                                            "-?[0-9]{1,3}", "[A-Z]?[a-z]*"};

        strcpy(to, whole[dice_below(d, 6)]);
        return;
    }
    for (; *value != '\0'; value++) {
        if (dice_one_in(d, 10)) {
            strcat(to, ".*");
            return;
        }
        add_regex_byte(to, *value, d);
    }
    if (dice_one_in(d, 5)) {
        strcat(to, "|gold");
    }
}

static void make_glob(const char *value, char *to, struct dice *d)
{
    size_t i, length = strlen(value);
    char *start = to;

    if (!is_ascii(value)) {
        strcpy(to, "?*");
        return;
    }
    for (i = 0; i < length; i++) {
        if (dice_one_in(d, 6)) {
            *to++ = '?';
        } else if (dice_one_in(d, 6) && (to == start || to[-1] != '*')) {
            *to++ = '*';
            i += dice_below(d, 3);
        } else {
            *to++ = value[i] == '*' || value[i] == '?' ? 'x' : value[i];
        }
    }
    if (to == start) {
        *to++ = '*';
    }
    *to = '\0';
}

/* Some of the value: from its begin, to its end, or out of its middle. */
static void make_piece(uint8_t op, const char *value, char *to, struct dice *d)
{
    size_t length = strlen(value), first = 0, last;

    if (length == 0 || !is_ascii(value)) {
        strcpy(to, length == 0 ? "a" : value);
        return;
    }
    last = 1 + dice_below(d, (uint32_t)length);
    if (op == GRAY_CONDITION_SUFFIX) {
        first = length - last;
        last = length;
    } else if (op == GRAY_CONDITION_CONTAINS) {
        first = dice_below(d, (uint32_t)last);
    }
    memcpy(to, value + first, last - first);
    to[last - first] = '\0';
}

/* ---- conditions --------------------------------------------------------- */

/* The source's key and what stands in its map before the operator. */
static void open_source(struct inventor *v, enum world_number world)
{
    text_add(v->t, "{\"%s\":{", worlds[world].source);
    if (worlds[world].name != NULL) {
        text_add(v->t, "\"name\":\"%s\",", worlds[world].name);
    }
    if (world == W_SEGMENT) {
        text_add(v->t, "\"segment\":%u,", 1 + pick(v, 4));
    }
}

static enum world_number pick_text_world(struct inventor *v)
{
    enum world_number world = (enum world_number)pick(v, W_ADDRESS);

    return world == W_UNIT && !v->unit ? W_UID : world;
}

void invent_text(struct inventor *v, uint8_t op)
{
    enum world_number world = pick_text_world(v);
    char room[WORLD_ROOM], made[512];
    const char *value = world_value(world, v->d, room);

    switch (op) {
    case GRAY_CONDITION_EXACT:
        strcpy(made, value);
        break;
    case GRAY_CONDITION_REGEX:
        make_regex(value, made, v->d);
        break;
    case GRAY_CONDITION_GLOB:
        make_glob(value, made, v->d);
        break;
    default:
        make_piece(op, value, made, v->d);
        break;
    }
    open_source(v, world);
    text_add(v->t, "\"%s\":", gray_condition_word(op));
    text_add_json(v->t, made);
    text_add(v->t, dice_one_in(v->d, 3) ? ",\"ignoreCase\":true}}" : "}}");
}

void invent_set(struct inventor *v, uint8_t op)
{
    enum world_number world = pick_text_world(v);
    uint32_t i, count = 1 + pick(v, 5);
    char room[WORLD_ROOM];

    open_source(v, world);
    text_add(v->t, "\"%s\":[", gray_condition_word(op));
    for (i = 0; i < count; i++) {
        text_add(v->t, i == 0 ? "" : ",");
        text_add_json(v->t, world_value(world, v->d, room));
    }
    text_add(v->t, "]%s}}", dice_one_in(v->d, 3) ? ",\"ignoreCase\":true" : "");
}

static void invent_presence(struct inventor *v, uint8_t op)
{
    enum world_number world = pick_text_world(v);

    if (op != GRAY_CONDITION_BLANK && dice_one_in(v->d, 10)) {
        world = W_ADDRESS;
    }
    open_source(v, world);
    text_add(v->t, "\"%s\":true}}", gray_condition_word(op));
}

/* An attribute that mostly is a number or an id. */
static enum world_number pick_id_world(struct inventor *v)
{
    static const enum world_number ids[] = {W_NUMBER, W_UID, W_ID, W_LEVEL,
                                            W_UNIT};
    enum world_number world = ids[pick(v, 5)];

    return world == W_UNIT && !v->unit ? W_UID : world;
}

static void invent_number(struct inventor *v, uint8_t op)
{
    uint32_t i, count, divisor, width, first;

    open_source(v, pick_id_world(v));
    text_add(v->t, "\"%s\":", gray_condition_word(op));
    switch (op) {
    case GRAY_CONDITION_RANGE:
        first = pick(v, 200);
        text_add(v->t,
                 pick(v, 4) == 0 ? "{\"start\":%d}}}"
                                 : "{\"start\":%d,\"end\":%d}}}",
                 (int)first - 20, (int)(first + pick(v, 200)) - 19);
        return;
    case GRAY_CONDITION_MOD:
        divisor = 2 + pick(v, 20);
        first = pick(v, divisor);
        text_add(v->t, "{\"divisor\":%u,\"in\":[%u,\"%u~%u\"]}}}", divisor,
                 pick(v, divisor), first, first + pick(v, divisor - first));
        return;
    default:
        width = 1 + pick(v, 2);
        count = 1 + pick(v, 6);
        text_add(v->t, "[");
        for (i = 0; i < count; i++) {
            text_add(v->t, "%s\"%0*u\"", i == 0 ? "" : ",", (int)width,
                     pick(v, width == 1 ? 10 : 100));
        }
        text_add(v->t, "]}}");
        return;
    }
}

static void invent_percent(struct inventor *v)
{
    open_source(v, pick_id_world(v));
    text_add(v->t, "\"percent\":{\"share\":%u.%u,\"salt\":\"salt-%u\"}}}",
             pick(v, 100), pick(v, 10000) / 1000, v->salts++);
}

static void invent_list_use(struct inventor *v)
{
    open_source(v, pick_id_world(v));
    text_add(v->t, "\"list\":\"list-%u\"}}", pick(v, v->lists));
}

static void invent_cidr(struct inventor *v)
{
    static const char *const networks[] = {
        "10.0.0.0/8",    "10.0.0.1/32",    "192.168.0.0/16", "192.168.1.64/26",
        "2001:db8::/32", "fe80::/10",      "::1/128",        "0.0.0.0/0",
        "8.0.0.0/6",     "2001:db8:1::/48"};
    uint32_t i, count = 1 + pick(v, 3);

    text_add(v->t, "{\"source\":{\"cidr\":[");
    for (i = 0; i < count; i++) {
        text_add(v->t, "%s\"%s\"", i == 0 ? "" : ",",
                 networks[pick(v, i == 0 ? 10 : 7)]);
    }
    text_add(v->t, "]}}");
}

static void invent_semver(struct inventor *v)
{
    static const char *const signs[] = {
        "=", "!=", "<", "<=", ">", ">=", "~", "^"};
    static const char *const whole[] = {"1.2.3",      "1.2.4", "2.0.0",
                                        "1.2.3-rc.2", "1.3.0", "2.0.0-9"};

    open_source(v, W_VERSION);
    text_add(v->t, "\"semver\":\"%s%s\"}}", signs[pick(v, 8)],
             whole[pick(v, 6)]);
}

static void invent_date(struct inventor *v)
{
    static const char *const after[] = {"2024-02-29T12:00:00Z",
                                        "2026-01-01T00:00:00+08:00",
                                        "2026-03-01T00:00:00Z"};
    static const char *const before[] = {"2026-06-30T23:59:59.999Z",
                                         "2026-12-31T00:00:00-05:00"};

    open_source(v, W_DATE);
    text_add(v->t, "\"date\":{");
    switch (pick(v, 3)) {
    case 0:
        text_add(v->t, "\"after\":\"%s\"}}}", after[pick(v, 3)]);
        break;
    case 1:
        text_add(v->t, "\"before\":\"%s\"}}}", before[pick(v, 2)]);
        break;
    default:
        text_add(v->t, "\"after\":\"%s\",\"before\":\"%s\"}}}",
                 after[pick(v, 3)], before[pick(v, 2)]);
        break;
    }
}

static void invent_time(struct inventor *v)
{
    static const char *const days[] = {"mon", "tue", "wed", "thu",
                                       "fri", "sat", "sun"};
    uint32_t i, set = 1 + pick(v, 127);

    text_add(v->t, "{\"time\":{\"zone\":\"%s\"", v->zone);
    if (dice_one_in(v->d, 3)) {
        text_add(v->t, ",\"from\":\"2026-02-01T00:00:00Z\"");
    }
    if (dice_one_in(v->d, 3)) {
        text_add(v->t, ",\"until\":\"2026-11-01T00:00:00Z\"");
    }
    if (dice_one_in(v->d, 2)) {
        text_add(v->t, ",\"days\":[");
        for (i = 0; i < 7; i++) {
            if ((set >> i) & 1) {
                text_add(v->t, "%s\"%s\"",
                         v->t->data[v->t->length - 1] == '[' ? "" : ",",
                         days[i]);
            }
        }
        text_add(v->t, "]");
    }
    text_add(v->t, ",\"hours\":\"%02u:%02u-%02u:%02u\"}}", pick(v, 12),
             pick(v, 60), dice_one_in(v->d, 3) ? pick(v, 12) : 12 + pick(v, 12),
             1 + pick(v, 59));
}

static void invent_test(struct inventor *v)
{
    uint8_t op = (uint8_t)(1 + pick(v, GRAY_CONDITION_TIME));

    switch (op) {
    case GRAY_CONDITION_PRESENT:
    case GRAY_CONDITION_ABSENT:
    case GRAY_CONDITION_BLANK:
        invent_presence(v, op);
        break;
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_NOT_IN:
        invent_set(v, op);
        break;
    case GRAY_CONDITION_RANGE:
    case GRAY_CONDITION_MOD:
    case GRAY_CONDITION_ID_TAIL:
        invent_number(v, op);
        break;
    case GRAY_CONDITION_PERCENT:
        invent_percent(v);
        break;
    case GRAY_CONDITION_LIST:
        invent_list_use(v);
        break;
    case GRAY_CONDITION_CIDR:
        invent_cidr(v);
        break;
    case GRAY_CONDITION_SEMVER:
        invent_semver(v);
        break;
    case GRAY_CONDITION_DATE:
        invent_date(v);
        break;
    case GRAY_CONDITION_TIME:
        invent_time(v);
        break;
    default:
        invent_text(v, op);
        break;
    }
}

void invent_cond(struct inventor *v, uint32_t depth)
{
    uint32_t i, count, kind = depth >= INVENT_DEPTH ? 9 : pick(v, 9);

    if (kind == 0) {
        text_add(v->t, "{\"not\":");
        invent_cond(v, depth + 1);
        text_add(v->t, "}");
    } else if (kind < 4) {
        count = 1 + pick(v, 3);
        text_add(v->t, kind == 1 ? "{\"all\":[" : "{\"any\":[");
        for (i = 0; i < count; i++) {
            text_add(v->t, i == 0 ? "" : ",");
            invent_cond(v, depth + 1);
        }
        text_add(v->t, "]}");
    } else {
        invent_test(v);
    }
}
