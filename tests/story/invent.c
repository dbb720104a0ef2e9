/* SPDX-License-Identifier: Apache-2.0
 * invent.c - see invent.h: policies.
 *
 * Why: documents as text, so that readers, checks and compiler are in the
 * comparison too.
 * Read next: invent_values.c, invent_request.c.
 */
#include "tests/story/invent.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/story/invent_values.h"

#define RELEASES_MAX 6u
#define LISTS_MAX 3u

/* ---- dice and text ------------------------------------------------------ */

uint64_t dice_roll(struct dice *d)
{
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t dice_below(struct dice *d, uint32_t n)
{
    return (uint32_t)((dice_roll(d) >> 32) * n >> 32);
}

bool dice_one_in(struct dice *d, uint32_t n)
{
    return dice_below(d, n) == 0;
}

static void text_grow(struct text *t, size_t more)
{
    if (t->length + more + 1 > t->capacity) {
        t->capacity = 2 * (t->length + more + 1);
        t->data = realloc(t->data, t->capacity);
        assert(t->data != NULL);
    }
}

void text_add(struct text *t, const char *format, ...)
{
    va_list list, again;
    int length;

    va_start(list, format);
    va_copy(again, list);
    length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    text_grow(t, (size_t)length);
    vsnprintf(t->data + t->length, (size_t)length + 1, format, again);
    va_end(again);
    t->length += (size_t)length;
}

void text_add_bytes(struct text *t, const char *bytes, size_t length)
{
    text_grow(t, length);
    memcpy(t->data + t->length, bytes, length);
    t->length += length;
    t->data[t->length] = '\0';
}

/* Runs of plain bytes at once: a million requests are written so. */
void text_add_json(struct text *t, const char *value)
{
    size_t plain;

    text_add_bytes(t, "\"", 1);
    for (; *value != '\0'; value += plain + 1) {
        for (plain = 0; (unsigned char)value[plain] >= 0x20 &&
                        value[plain] != '"' && value[plain] != '\\';
             plain++) {
        }
        text_add_bytes(t, value, plain);
        if (value[plain] == '\0') {
            break;
        }
        if ((unsigned char)value[plain] < 0x20) {
            text_add(t, "\\u%04x", value[plain]);
        } else {
            text_add(t, "\\%c", value[plain]);
        }
    }
    text_add_bytes(t, "\"", 1);
}

/* ---- rules -------------------------------------------------------------- */

/* One of many rules: such as an index can tell apart, alone or with more. */
static void invent_narrow(struct inventor *v)
{
    static const uint8_t ops[] = {GRAY_CONDITION_EXACT, GRAY_CONDITION_EXACT,
                                  GRAY_CONDITION_PREFIX, GRAY_CONDITION_IN};
    uint8_t op = ops[pick(v, 4)];
    bool more = dice_one_in(v->d, 2);

    text_add(v->t, more ? "{\"all\":[" : "");
    if (op == GRAY_CONDITION_IN) {
        invent_set(v, op);
    } else {
        invent_text(v, op);
    }
    if (more) {
        text_add(v->t, ",");
        invent_cond(v, INVENT_DEPTH - 1);
        text_add(v->t, "]}");
    }
}

/* Now and then many, so that the index has something to choose from. */
static void invent_rules(struct inventor *v, const char *key)
{
    uint32_t i, count = 1 + pick(v, 3);
    bool many = dice_one_in(v->d, 6);

    if (many) {
        count = 10 + pick(v, 30);
    }
    text_add(v->t, ",\"%s\":[", key);
    for (i = 0; i < count; i++) {
        text_add(v->t, i == 0 ? "" : ",");
        if (many) {
            invent_narrow(v);
        } else {
            invent_cond(v, 0);
        }
    }
    text_add(v->t, "]");
}

/* ---- documents ---------------------------------------------------------- */

static const char *const services[] = {"cart", "order", "web"};
static const char *const lane_names[] = {"blue", "green", "red"};

static void invent_services(struct inventor *v)
{
    uint32_t i, port = 9000;

    for (i = 0; i < 3; i++) {
        text_add(v->t,
                 "%s{\"kind\":\"Service\",\"name\":\"%s\","
                 "\"baseline\":{\"version\":\"v1\"},\"versions\":{"
                 "\"v1\":{\"endpoints\":[\"127.0.0.1:%u\","
                 "{\"address\":\"127.0.0.1:%u\",\"labels\":{\"lane\":\"red\"}}"
                 "]},\"v2\":{\"endpoints\":[\"127.0.0.1:%u\"]},"
                 "\"v3\":{\"endpoints\":[\"127.0.0.1:%u\"]}}}",
                 i == 0 ? "" : ",", services[i], port, port + 1, port + 2,
                 port + 3);
        port += 4;
    }
}

static void invent_lists(struct inventor *v)
{
    char room[WORLD_ROOM];
    uint32_t i, k, count;

    for (i = 0; i < v->lists; i++) {
        count = 5 + pick(v, 120);
        text_add(v->t,
                 ",{\"kind\":\"List\",\"name\":\"list-%u\","
                 "\"strict\":%s,\"ids\":[",
                 i, dice_one_in(v->d, 2) ? "true" : "false");
        for (k = 0; k < count; k++) {
            text_add(v->t, k == 0 ? "" : ",");
            text_add_json(v->t, world_value(W_UID, v->d, room));
        }
        text_add(v->t, "]}");
    }
}

static void invent_unit(struct inventor *v, bool marks)
{
    static const char *const aliased[] = {
        "{\"query\":\"id\",\"alias\":{\"cookie\":\"uid\"}}",
        ("[{\"header\":\"x-user\"},{\"alias\":{\"query\":\"id\"},"
         "\"cookie\":\"uid\"}]"),
        "{\"cookie\":\"uid\",\"alias\":{\"header\":\"x-user\"}}"};

    static const char *const units[] = {
        "{\"cookie\":\"uid\"}",
        "{\"cookie\":\"uid\"}",
        "{\"header\":\"x-user\"}",
        "{\"query\":\"id\"}",
        "{\"attr\":\"region\"}",
        "{\"path\":{\"segment\":2}}",
        "\"source\"",
        "[{\"query\":\"id\"},{\"cookie\":\"uid\"}]",
        "[{\"cookie\":\"uid\"},{\"header\":\"x-user\"},\"source\"]"};

    text_add(v->t, ",\"unit\":%s", marks && dice_one_in(v->d, 3)
                                       ? aliased[pick(v, 3)]
                                       : units[pick(v, 9)]);
}

static void invent_targets(struct inventor *v, const char *version)
{
    uint32_t i, set = 1 + pick(v, 7);

    text_add(v->t, "\"services\":[");
    for (i = 0; i < 3; i++) {
        if ((set >> i) & 1) {
            text_add(v->t, "%s{\"service\":\"%s\",\"version\":\"%s\"}",
                     v->t->data[v->t->length - 1] == '[' ? "" : ",",
                     services[i], version);
        }
    }
    text_add(v->t, "]");
}

/* Of three stages the first one writes; dimensions where the last does, too. */
static bool invent_stages(struct inventor *v, bool entity)
{
    bool two = dice_one_in(v->d, 2), dimensions = dice_one_in(v->d, 2);
    uint32_t i;

    text_add(v->t, ",\"stages\":[");
    for (i = 0; i < 3; i++) {
        bool writes = i == 0 || (i == 2 && two);

        text_add(v->t, "%s{\"name\":\"stage-%u\",\"writes\":%s",
                 i == 0 ? "" : ",", i, writes ? "true" : "false");
        if (i < 2 || dice_one_in(v->d, 2)) {
            text_add(v->t, ",\"when\":");
            invent_cond(v, 1);
        }
        if (!writes && !entity && dice_one_in(v->d, 2)) {
            text_add(v->t, ",\"onMissing\":\"backfill\"");
        }
        if (entity && dice_one_in(v->d, 3)) {
            text_add(v->t, ",\"onUnknown\":\"%s\"",
                     dice_one_in(v->d, 2) ? "refuse" : "baseline");
        }
        if (!writes && dimensions) {
            text_add(v->t, ",\"of\":\"stage-%u\"",
                     two ? 2 * dice_below(v->d, 2) : 0);
        }
        text_add(v->t, "}");
    }
    text_add(v->t, "]");
    if (dimensions) {
        text_add(v->t, ",\"dimensions\":[\"stage-0\"%s]",
                 two ? ",\"stage-2\"" : "");
    }
    return dimensions && two;
}

static void invent_admission(struct inventor *v, bool dimensions, bool free)
{
    static const char *const anonymous[] = {"baseline", "cookie", "random"};
    uint32_t share = dice_one_in(v->d, 4) ? 100 : 1 + pick(v, 90);

    text_add(v->t, ",\"admission\":{\"share\":%u", share);
    if (dimensions && dice_one_in(v->d, 2)) {
        text_add(v->t, ",\"dimension\":\"stage-2\"");
    }
    if (share < 90 && dice_one_in(v->d, 3)) {
        text_add(v->t, ",\"holdback\":%u", 1 + pick(v, 10));
    }
    text_add(v->t, ",\"anonymous\":\"%s\"", anonymous[pick(v, 3)]);
    if (dice_one_in(v->d, 2)) {
        invent_rules(v, "deny");
    }
    if (dice_one_in(v->d, 2)) {
        invent_rules(v, "allow");
    }
    if (dice_one_in(v->d, 2)) {
        invent_rules(v, "match");
    }
    if (dice_one_in(v->d, 2)) {
        text_add(v->t, ",\"require\":");
        invent_cond(v, 0);
    }
    if (free && dice_one_in(v->d, 4)) {
        text_add(v->t, ",\"order\":[\"rules\",\"evidence\",\"allow\","
                       "\"mark\",\"deny\"]");
    } else if (dice_one_in(v->d, 6)) {
        text_add(v->t, ",\"order\":[\"allow\",\"mark\",\"deny\",\"rules\","
                       "\"evidence\"]");
    }
    text_add(v->t, "}");
}

static void invent_release(struct inventor *v, uint32_t number)
{
    static const char *const sticky[] = {"none", "monotonic", "entity"};
    uint32_t weight = 1 + pick(v, 99), stickiness = pick(v, 3);
    bool dimensions = false, free = stickiness != 2;

    text_add(v->t, ",{\"kind\":\"Release\",\"name\":\"release-%u\",", number);
    if (dice_one_in(v->d, 3)) {
        text_add(v->t, "\"variants\":[{\"name\":\"a\",\"weight\":%u,", weight);
        invent_targets(v, "v2");
        text_add(v->t, "},{\"name\":\"b\",\"weight\":%u,", 100 - weight);
        invent_targets(v, "v3");
        text_add(v->t, "}]");
    } else {
        invent_targets(v, dice_one_in(v->d, 2) ? "v2" : "v3");
    }
    text_add(v->t, ",\"priority\":%d,\"stickiness\":\"%s\"",
             (int)((number * 7 + 3) % 11) - 5, sticky[stickiness]);
    if (dice_one_in(v->d, 3)) {
        text_add(v->t, ",\"entrances\":[\"shop-web\"]");
    }
    invent_unit(v, stickiness != 0);
    if (stickiness != 0 && dice_one_in(v->d, 2)) {
        dimensions = invent_stages(v, stickiness == 2);
        free = false;
    }
    invent_admission(v, dimensions, free);
    text_add(v->t, "}");
}

static void invent_lane(struct inventor *v, uint32_t number)
{
    uint32_t i, rules = 1 + pick(v, 3);
    bool strict = dice_one_in(v->d, 4);

    text_add(v->t,
             ",{\"kind\":\"Lane\",\"name\":\"%s\",\"priority\":%u,"
             "\"enabled\":%s,\"mode\":\"%s\",\"services\":[\"cart\"%s],"
             "\"unit\":{\"cookie\":\"uid\"},\"rules\":[",
             lane_names[number], pick(v, 5),
             dice_one_in(v->d, 6) ? "false" : "true",
             strict ? "strict" : "permissive",
             dice_one_in(v->d, 2) ? ",\"web\"" : "");
    for (i = 0; i < rules; i++) {
        text_add(v->t, "%s{\"name\":\"rule-%u\",\"when\":", i == 0 ? "" : ",",
                 i);
        invent_cond(v, 1);
        if (dice_one_in(v->d, 2)) {
            text_add(v->t, ",\"share\":%u", 1 + pick(v, 99));
        }
        text_add(v->t, "}");
    }
    text_add(v->t, "]");
    if (!strict && number > 0 && dice_one_in(v->d, 2)) {
        text_add(v->t, ",\"fallback\":[\"%s\"]", lane_names[0]);
    }
    if (dice_one_in(v->d, 3)) {
        text_add(v->t, ",\"entrances\":[\"shop-web\"]");
    }
    text_add(v->t, "}");
}

void invent_policy(struct text *t, struct dice *d)
{
    static const char *const zones[] = {"UTC", "Asia/Shanghai",
                                        "America/New_York", "Europe/Berlin",
                                        "Australia/Lord_Howe"};
    struct inventor v = {
        t, d, zones[dice_below(d, 5)], 1 + dice_below(d, LISTS_MAX), true, 0};
    uint32_t i, releases = 1 + dice_below(d, RELEASES_MAX);
    uint32_t lanes = dice_below(d, 4);

    t->length = 0;
    text_add(t, "[");
    invent_services(&v);
    invent_lists(&v);
    for (i = 0; i < lanes; i++) {
        invent_lane(&v, i);
    }
    for (i = 0; i < releases; i++) {
        invent_release(&v, i);
    }
    text_add(t, "]");
}
