/* SPDX-License-Identifier: Apache-2.0
 * number.c - integers, dates and versions in values of requests.
 *
 * Why: strtol() knows locales, blanks and signs that no rule means.  A value
 * either is wholly of the form or it matches nothing.
 * Versions are compared by semver.org 2.0.0; as flagd does, a leading 'v' and
 * missing parts ("1.2") are taken, build metadata is left out of account, '~'
 * means the same major and minor and '^' the same major part.
 * Read next: program.c.
 */
#include <string.h>

#include "engine/program.h"

bool number_unsigned(struct gray_str text, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (text.length == 0) {
        return false;
    }
    for (uint32_t i = 0; i < text.length; i++) {
        uint32_t digit = (uint32_t)((uint8_t)text.data[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

bool number_signed(struct gray_str text, int64_t *ret_value)
{
    uint64_t value;
    if (text.length > 0 && text.data[0] == '-') {
        struct gray_str digits = { text.data + 1, text.length - 1 };
        if (!number_unsigned(digits, &value) ||
            value > (uint64_t)INT64_MAX + 1) {
            return false;
        }
        *ret_value = (int64_t)(0 - value);
        return true;
    }
    if (!number_unsigned(text, &value) || value > INT64_MAX) {
        return false;
    }
    *ret_value = (int64_t)value;
    return true;
}

/* `count` digits at `at`; -1 when they are not all digits. */
static int32_t fixed_digits(const char *at, uint32_t count)
{
    int32_t value = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return -1;
        }
        value = value * 10 + (at[i] - '0');
    }
    return value;
}

/* Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
 * algorithms"). */
static int64_t days_from_civil(int32_t year, int32_t month, int32_t day)
{
    year -= month <= 2;
    int32_t era = (year >= 0 ? year : year - 399) / 400;
    int32_t of_era = year - era * 400;
    int32_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int32_t of_cycle = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return (int64_t)era * 146097 + of_cycle - 719468;
}

static int32_t days_of_month(int32_t year, int32_t month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30,
                                    31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* "Z", "+08:00" to seconds east of UTC. */
static bool read_zone(const char *at, uint32_t length, int64_t *ret_seconds)
{
    if (length == 1 && (*at == 'Z' || *at == 'z')) {
        *ret_seconds = 0;
        return true;
    }
    if (length != 6 || (*at != '+' && *at != '-') || at[3] != ':') {
        return false;
    }
    int32_t hours = fixed_digits(at + 1, 2), minutes = fixed_digits(at + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
        return false;
    }
    *ret_seconds = (hours * 3600 + minutes * 60) * (*at == '-' ? -1 : 1);
    return true;
}

bool number_date(struct gray_str text, int64_t *ret_ms)
{
    const char *at = text.data;
    uint32_t length = text.length;
    if (length < 20 || at[4] != '-' || at[7] != '-' ||
        (at[10] != 'T' && at[10] != 't' && at[10] != ' ') || at[13] != ':' ||
        at[16] != ':') {
        return false;
    }
    int32_t year = fixed_digits(at, 4), month = fixed_digits(at + 5, 2);
    int32_t day = fixed_digits(at + 8, 2), hour = fixed_digits(at + 11, 2);
    int32_t minute = fixed_digits(at + 14, 2);
    int32_t second = fixed_digits(at + 17, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1 ||
        day > days_of_month(year, month) || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60) {
        return false;
    }
    uint32_t i = 19;
    int64_t fraction = 0, unit = 100;
    if (at[i] == '.') {
        for (i++; i < length && at[i] >= '0' && at[i] <= '9'; i++) {
            fraction += (at[i] - '0') * unit;
            unit /= 10;
        }
        if (i == 20) {
            return false;
        }
    }
    int64_t zone;
    if (!read_zone(at + i, length - i, &zone)) {
        return false;
    }
    int64_t seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 +
                      minute * 60 + second - zone;
    *ret_ms = seconds * 1000 + fraction;
    return true;
}

struct version {
    uint32_t part[3];
    struct gray_str pre;
};

static bool is_identifier(struct gray_str text)
{
    for (uint32_t i = 0; i < text.length; i++) {
        char c = text.data[i], low = (char)(c | 0x20);
        bool edge = i == 0 || i + 1 == text.length || text.data[i - 1] == '.';
        if (c == '.' ? edge
                     : !((c >= '0' && c <= '9') || c == '-' ||
                         (low >= 'a' && low <= 'z'))) {
            return false;
        }
    }
    return text.length != 0;
}

static bool read_version(struct gray_str text, struct version *ret)
{
    struct version version = { { 0, 0, 0 }, { NULL, 0 } };
    const char *at = text.data, *end = at + text.length;
    const char *build = text.length == 0 ? NULL
                                         : memchr(at, '+', text.length);
    if (build != NULL) {
        struct gray_str rest = { build + 1, (uint32_t)(end - build - 1) };
        if (!is_identifier(rest)) {
            return false;
        }
        end = build;
    }
    if (at < end && (*at == 'v' || *at == 'V')) {
        at++;
    }
    for (int i = 0; i < 3; i++) {
        const char *start = at;
        uint64_t value;
        while (at < end && *at >= '0' && *at <= '9') {
            at++;
        }
        struct gray_str digits = { start, (uint32_t)(at - start) };
        if (!number_unsigned(digits, &value) || value > UINT32_MAX) {
            return false;
        }
        version.part[i] = (uint32_t)value;
        if (i == 2 || at == end || *at != '.') {
            break;
        }
        at++;
    }
    if (at < end) {
        version.pre = (struct gray_str){ at + 1, (uint32_t)(end - at - 1) };
        if (*at != '-' || !is_identifier(version.pre)) {
            return false;
        }
    }
    *ret = version;
    return true;
}

/* Takes the next dot-separated identifier off the front. */
static struct gray_str next_identifier(struct gray_str *rest)
{
    const char *dot =
        rest->length == 0 ? NULL : memchr(rest->data, '.', rest->length);
    struct gray_str taken = { rest->data, rest->length };
    if (dot != NULL) {
        taken.length = (uint32_t)(dot - rest->data);
    }
    uint32_t step = taken.length + (dot != NULL);
    *rest = (struct gray_str){ rest->data + step, rest->length - step };
    return taken;
}

static bool all_digits(struct gray_str text)
{
    for (uint32_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return true;
}

/* semver.org 2.0.0, 11.4: numbers by value and below words, words by bytes. */
static int compare_identifier(struct gray_str a, struct gray_str b)
{
    bool a_number = all_digits(a), b_number = all_digits(b);
    if (a_number != b_number) {
        return a_number ? -1 : 1;
    }
    if (a_number) {
        while (a.length > 1 && *a.data == '0') {
            a.data++;
            a.length--;
        }
        while (b.length > 1 && *b.data == '0') {
            b.data++;
            b.length--;
        }
        if (a.length != b.length) {
            return a.length < b.length ? -1 : 1;
        }
    }
    uint32_t common = a.length < b.length ? a.length : b.length;
    int order = memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.length < b.length ? -1 : a.length > b.length;
}

static int compare_pre(struct gray_str a, struct gray_str b)
{
    if (a.length == 0 || b.length == 0) {
        return (a.length == 0) - (b.length == 0); /* none is the highest */
    }
    while (a.length != 0 && b.length != 0) {
        struct gray_str left = next_identifier(&a);
        struct gray_str right = next_identifier(&b);
        int order = compare_identifier(left, right);
        if (order != 0) {
            return order;
        }
    }
    return (a.length != 0) - (b.length != 0);
}

bool number_semver(struct gray_str text, uint32_t op, const uint32_t part[3],
                   struct gray_str pre)
{
    struct version version;
    int order = 0;
    if (!read_version(text, &version)) {
        return false;
    }
    for (int i = 0; i < 3 && order == 0; i++) {
        order = version.part[i] < part[i] ? -1 : version.part[i] > part[i];
    }
    if (order == 0) {
        order = compare_pre(version.pre, pre);
    }
    switch (op) {
    case GRAY_SEMVER_EQ:
        return order == 0;
    case GRAY_SEMVER_NE:
        return order != 0;
    case GRAY_SEMVER_LT:
        return order < 0;
    case GRAY_SEMVER_LE:
        return order <= 0;
    case GRAY_SEMVER_GT:
        return order > 0;
    case GRAY_SEMVER_GE:
        return order >= 0;
    case GRAY_SEMVER_TILDE:
        return version.part[0] == part[0] && version.part[1] == part[1];
    case GRAY_SEMVER_CARET:
        return version.part[0] == part[0];
    default:
        return false;
    }
}
