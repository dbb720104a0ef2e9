/* SPDX-License-Identifier: Apache-2.0
 * zone.c - reads tzfiles (RFC 8536) into tables of offsets.
 *
 * Why: the tz database says when a zone's offset changed and, in a POSIX TZ
 * string at the file's end, by which rule it will go on.  Both are laid out
 * as steps, so that readers need neither the database nor its code, and two
 * hosts with different tzdata answer alike.
 * Read next: zone.h, ../engine/window.c (who asks).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/zone.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo"
#define ZONE_NAME_MAX 255u
#define ZONE_BYTES_MAX (1u << 20)
#define ZONE_YEARS 50   /* laid out beyond the present */
#define ZONE_UNTIL 2100 /* laid out at least */
#define ZONE_YEAR_MAX 2500
#define ZONE_YEAR_MIN 1850 /* before any clock knew of zones */
#define DAY 86400

struct steps {
    struct gray_zone_step *items;
    uint32_t count, capacity;
};

/* ---- days ---------------------------------------------------------------- */

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to the first of January. */
static int64_t days_to_year(int64_t year)
{
    int64_t before = year - 1;

    return 365 * (year - 1970) + (before / 4 - before / 100 + before / 400) -
           (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int days_in_month(int month, int64_t year)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30,
                                     31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year));
}

static int64_t year_of(int64_t seconds)
{
    int64_t days = seconds / DAY - (seconds % DAY < 0);
    int64_t year = 1970 + days / 146097 * 400 + days % 146097 * 400 / 146097;

    while (days_to_year(year + 1) <= days) {
        year++;
    }
    while (days_to_year(year) > days) {
        year--;
    }
    return year;
}

/* ---- the rule for the future --------------------------------------------- */

enum date_kind { DATE_JULIAN, DATE_ZERO, DATE_WEEK };
struct change {
    enum date_kind kind;
    int month, week, day;
    int64_t time; /* seconds of the local day */
};
struct rule {
    int64_t standard, summer; /* seconds east of UTC */
    bool has_summer;
    struct change start, end;
};
struct scan {
    const char *at, *end;
};

static bool take(struct scan *scan, char wanted)
{
    if (scan->at < scan->end && *scan->at == wanted) {
        scan->at++;
        return true;
    }
    return false;
}

static bool number(struct scan *scan, int limit, int *ret_number)
{
    const char *start = scan->at;
    int value = 0;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9' &&
           scan->at - start < 4) {
        value = value * 10 + (*scan->at++ - '0');
    }
    if (scan->at == start || value > limit) {
        return false;
    }
    *ret_number = value;
    return true;
}

/* "EST", "<+03>" */
static bool skip_name(struct scan *scan)
{
    const char *start = scan->at;

    if (take(scan, '<')) {
        while (scan->at < scan->end && *scan->at != '>') {
            scan->at++;
        }
        return take(scan, '>');
    }
    while (scan->at < scan->end &&
           ((*scan->at >= 'a' && *scan->at <= 'z') ||
            (*scan->at >= 'A' && *scan->at <= 'Z'))) {
        scan->at++;
    }
    return scan->at - start >= 3;
}

/* [+-]h[h[h]][:mm[:ss]] */
static bool duration(struct scan *scan, int64_t *ret_seconds)
{
    int sign = take(scan, '-') ? -1 : 1, hours, minutes = 0, seconds = 0;

    if (sign == 1) {
        take(scan, '+');
    }
    if (!number(scan, 167, &hours) ||
        (take(scan, ':') && !number(scan, 59, &minutes)) ||
        (take(scan, ':') && !number(scan, 59, &seconds))) {
        return false;
    }
    *ret_seconds = sign * ((int64_t)hours * 3600 + minutes * 60 + seconds);
    return true;
}

static bool change(struct scan *scan, struct change *ret_change)
{
    struct change c = {DATE_ZERO, 0, 0, 0, 7200};

    if (take(scan, 'M')) {
        c.kind = DATE_WEEK;
        if (!number(scan, 12, &c.month) || c.month < 1 || !take(scan, '.') ||
            !number(scan, 5, &c.week) || c.week < 1 || !take(scan, '.') ||
            !number(scan, 6, &c.day)) {
            return false;
        }
    } else if (take(scan, 'J')) {
        c.kind = DATE_JULIAN;
        if (!number(scan, 365, &c.day) || c.day < 1) {
            return false;
        }
    } else if (!number(scan, 365, &c.day)) {
        return false;
    }
    if (take(scan, '/') && !duration(scan, &c.time)) {
        return false;
    }
    *ret_change = c;
    return true;
}

static bool parse_rule(struct scan *scan, struct rule *rule)
{
    memset(rule, 0, sizeof(*rule));
    if (!skip_name(scan) || !duration(scan, &rule->standard)) {
        return false;
    }
    rule->standard = -rule->standard; /* POSIX counts westward */
    rule->summer = rule->standard + 3600;
    if (scan->at == scan->end) {
        return true;
    }
    if (!skip_name(scan)) {
        return false;
    }
    if (scan->at < scan->end && *scan->at != ',') {
        if (!duration(scan, &rule->summer)) {
            return false;
        }
        rule->summer = -rule->summer;
    }
    rule->has_summer = true;
    return take(scan, ',') && change(scan, &rule->start) && take(scan, ',') &&
           change(scan, &rule->end) && scan->at == scan->end;
}

/* Seconds since the epoch, as if the local clock were UTC. */
static int64_t moment(const struct change *change, int64_t year)
{
    int64_t days = days_to_year(year);
    int month, weekday, day;

    switch (change->kind) {
    case DATE_ZERO:
        days += change->day;
        break;
    case DATE_JULIAN: /* February 29 is never counted */
        days += change->day - 1 + (is_leap(year) && change->day >= 60);
        break;
    case DATE_WEEK:
        for (month = 1; month < change->month; month++) {
            days += days_in_month(month, year);
        }
        weekday = (int)(((days + 4) % 7 + 7) % 7); /* 0 is Sunday */
        day = (change->day - weekday + 7) % 7 + 7 * (change->week - 1);
        while (day >= days_in_month(change->month, year)) {
            day -= 7;
        }
        days += day;
        break;
    }
    return days * DAY + change->time;
}

/* ---- steps --------------------------------------------------------------- */

static bool add_step(struct steps *steps, int64_t at, int64_t offset)
{
    struct gray_zone_step *items;
    uint32_t capacity;

    if (steps->count != 0 &&
        steps->items[steps->count - 1].offset == offset) {
        return true; /* only the zone's abbreviation changed */
    }
    if (steps->count != 0 && at <= steps->items[steps->count - 1].at) {
        return false;
    }
    if (steps->count == steps->capacity) {
        capacity = steps->capacity == 0 ? 64 : steps->capacity * 2;
        items = realloc(steps->items, capacity * sizeof(*items));
        if (items == NULL) {
            return false;
        }
        steps->items = items;
        steps->capacity = capacity;
    }
    steps->items[steps->count++] =
        (struct gray_zone_step){at, (int32_t)offset, 0};
    return true;
}

/* Goes on by the rule, from behind `after` (the file's last step). */
static bool follow_rule(struct steps *steps, const struct rule *rule,
                        int64_t after, int64_t first_year, int64_t last_year)
{
    int64_t year;

    if (!rule->has_summer) {
        return after == INT64_MIN || add_step(steps, after, rule->standard);
    }
    for (year = first_year; year <= last_year; year++) {
        int64_t start = moment(&rule->start, year) - rule->standard;
        int64_t end = moment(&rule->end, year) - rule->summer;
        bool north = start < end;
        int64_t at[2] = {north ? start : end, north ? end : start};
        int64_t offset[2] = {north ? rule->summer : rule->standard,
                             north ? rule->standard : rule->summer};

        for (int i = 0; i < 2; i++) {
            if (at[i] > after && !add_step(steps, at[i], offset[i])) {
                return false;
            }
        }
    }
    return true;
}

/* ---- the file ------------------------------------------------------------ */

struct block {
    uint32_t isutc, isstd, leap, time, type, chars;
    const uint8_t *times, *types_of, *types;
    size_t size;
};

static int64_t big_endian(const uint8_t *data, size_t width)
{
    uint64_t value = width == 4 && (data[0] & 0x80) != 0 ? UINT64_MAX : 0;

    while (width-- != 0) {
        value = value << 8 | *data++;
    }
    return (int64_t)value;
}

/* One header with its data; `width` of a moment is 4 in version 1. */
static bool read_block(const uint8_t *data, size_t size, size_t width,
                       struct block *ret_block)
{
    struct block b;
    uint64_t needed;

    if (size < 44 || memcmp(data, "TZif", 4) != 0) {
        return false;
    }
    b.isutc = (uint32_t)big_endian(data + 20, 4);
    b.isstd = (uint32_t)big_endian(data + 24, 4);
    b.leap = (uint32_t)big_endian(data + 28, 4);
    b.time = (uint32_t)big_endian(data + 32, 4);
    b.type = (uint32_t)big_endian(data + 36, 4);
    b.chars = (uint32_t)big_endian(data + 40, 4);
    needed = 44 + (uint64_t)b.time * (width + 1) + (uint64_t)b.type * 6 +
             b.chars + (uint64_t)b.leap * (width + 4) + b.isstd + b.isutc;
    if (needed > size || b.leap != 0 || b.type > 256) {
        return false; /* clocks with leap seconds are not the epoch's */
    }
    b.times = data + 44;
    b.types_of = b.times + (size_t)b.time * width;
    b.types = b.types_of + b.time;
    b.size = (size_t)needed;
    *ret_block = b;
    return true;
}

static bool read_steps(struct steps *steps, const struct block *b,
                       size_t width, int64_t *ret_last)
{
    int64_t at, last = INT64_MIN;
    uint32_t i;

    if (b->type == 0 ||
        !add_step(steps, INT64_MIN, big_endian(b->types, 4))) {
        return false;
    }
    for (i = 0; i < b->time; i++) {
        at = big_endian(b->times + i * width, width);
        if (b->types_of[i] >= b->type || at <= last ||
            !add_step(steps, at,
                      big_endian(b->types + b->types_of[i] * 6, 4))) {
            return false;
        }
        last = at;
    }
    *ret_last = last;
    return true;
}

/* The line between two newlines behind the second block; empty: no rule. */
static bool read_footer(struct steps *steps, const uint8_t *data, size_t size,
                        int64_t last, int64_t now_ms)
{
    int64_t until = year_of(now_ms / 1000) + ZONE_YEARS;
    int64_t from = last == INT64_MIN ? 1970 : year_of(last);
    const uint8_t *end;
    struct scan scan;
    struct rule rule;

    if (size < 2 || data[0] != '\n') {
        return false;
    }
    end = memchr(data + 1, '\n', size - 1);
    if (end == NULL) {
        return false;
    }
    scan.at = (const char *)data + 1;
    scan.end = (const char *)end;
    if (scan.at == scan.end) {
        return true;
    }
    until = until < ZONE_UNTIL      ? ZONE_UNTIL
            : until > ZONE_YEAR_MAX ? ZONE_YEAR_MAX
                                    : until;
    return parse_rule(&scan, &rule) &&
           follow_rule(steps, &rule, last,
                       from < ZONE_YEAR_MIN ? ZONE_YEAR_MIN : from, until);
}

int zone_parse(struct gray_zone_step **ret_steps, uint32_t *ret_count,
               const uint8_t *data, size_t size, int64_t now_ms)
{
    struct steps steps = {NULL, 0, 0};
    struct block first, second;
    int64_t last = INT64_MIN;
    bool good;

    if (!read_block(data, size, 4, &first)) {
        return -1;
    }
    if (data[4] < '2') {
        good = read_steps(&steps, &first, 4, &last);
    } else {
        good = read_block(data + first.size, size - first.size, 8, &second) &&
               read_steps(&steps, &second, 8, &last) &&
               read_footer(&steps, data + first.size + second.size,
                           size - first.size - second.size, last, now_ms);
    }
    if (!good) {
        free(steps.items);
        return -1;
    }
    *ret_steps = steps.items;
    *ret_count = steps.count;
    return 0;
}

/* "Asia/Shanghai": words of letters, digits, '_', '+', '-', no empty one, so
 * that a name never leaves the folder. */
static bool is_name(const char *name)
{
    size_t i, length = strlen(name);

    if (length == 0 || length > ZONE_NAME_MAX) {
        return false;
    }
    for (i = 0; i < length; i++) {
        bool word = (name[i] >= 'a' && name[i] <= 'z') ||
                    (name[i] >= 'A' && name[i] <= 'Z') ||
                    (name[i] >= '0' && name[i] <= '9') || name[i] == '_' ||
                    name[i] == '+' || name[i] == '-';

        if (!word && (name[i] != '/' || i == 0 || i + 1 == length ||
                      name[i - 1] == '/')) {
            return false;
        }
    }
    return true;
}

static uint8_t *read_zone(const char *name, size_t *ret_size)
{
    char path[sizeof(ZONE_DIRECTORY) + ZONE_NAME_MAX + 2];
    uint8_t *data;
    size_t size;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", ZONE_DIRECTORY, name);
    file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }
    data = malloc(ZONE_BYTES_MAX);
    size = data == NULL ? 0 : fread(data, 1, ZONE_BYTES_MAX, file);
    fclose(file);
    if (size == 0) {
        free(data);
        return NULL;
    }
    *ret_size = size;
    return data;
}

int zone_load(struct gray_zone_step **ret_steps, uint32_t *ret_count,
              const char *name, int64_t now_ms)
{
    struct steps utc = {NULL, 0, 0};
    uint8_t *data;
    size_t size;
    int result;

    if (name == NULL || strcmp(name, "UTC") == 0 || strcmp(name, "Z") == 0) {
        if (!add_step(&utc, INT64_MIN, 0)) {
            return -1;
        }
        *ret_steps = utc.items;
        *ret_count = utc.count;
        return 0;
    }
    data = is_name(name) ? read_zone(name, &size) : NULL;
    if (data == NULL) {
        return -1;
    }
    result = zone_parse(ret_steps, ret_count, data, size, now_ms);
    free(data);
    return result;
}
