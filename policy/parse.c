/* SPDX-License-Identifier: Apache-2.0
 * parse.c - see parse.h.
 *
 * Why: the notations are strict on purpose: what is not exactly one of them is
 * refused with an example, for a policy that means something else than its
 * writer thought is worse than one more error.
 * Read next: model_operand.c.
 */
#include "policy/parse.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "policy/check.h"

/* Exactly `count` digits. */
static bool take_digits(const char **text, unsigned count, uint32_t *ret)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        char c = (*text)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(c - '0');
    }
    *text += count;
    *ret = value;
    return true;
}

static bool take_byte(const char **text, char byte)
{
    if (**text != byte) {
        return false;
    }
    (*text)++;
    return true;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar (Howard Hinnant,
 * "chrono-compatible low-level date algorithms"). */
static int64_t days_from_civil(int64_t year, uint32_t month, uint32_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    uint32_t of_era = (uint32_t)(year - era * 400);
    uint32_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 +
                       day - 1;
    uint32_t days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return era * 146097 + (int64_t)days - 719468;
}

static uint32_t days_in_month(uint32_t year, uint32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30,
                                   31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_offset(const char **text, int64_t *ret_seconds)
{
    if (take_byte(text, 'Z') || take_byte(text, 'z')) {
        *ret_seconds = 0;
        return true;
    }
    bool west = **text == '-';
    uint32_t hour, minute;
    if (!west && **text != '+') {
        return false;
    }
    (*text)++;
    if (!take_digits(text, 2, &hour) || !take_byte(text, ':') ||
        !take_digits(text, 2, &minute) || hour > 23 || minute > 59) {
        return false;
    }
    *ret_seconds = (int64_t)(hour * 3600 + minute * 60) * (west ? -1 : 1);
    return true;
}

bool gray_parse_moment(const char *text, int64_t *ret_ms)
{
    uint32_t year, month, day, hour, minute, second, ms = 0;
    int64_t offset;
    if (!take_digits(&text, 4, &year) || !take_byte(&text, '-') ||
        !take_digits(&text, 2, &month) || !take_byte(&text, '-') ||
        !take_digits(&text, 2, &day) ||
        (!take_byte(&text, 'T') && !take_byte(&text, 't')) ||
        !take_digits(&text, 2, &hour) || !take_byte(&text, ':') ||
        !take_digits(&text, 2, &minute) || !take_byte(&text, ':') ||
        !take_digits(&text, 2, &second)) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 60) { /* 60: a leap second, the first of the next minute */
        return false;
    }
    if (take_byte(&text, '.')) {
        uint32_t weight = 100;
        if (*text < '0' || *text > '9') {
            return false;
        }
        for (; *text >= '0' && *text <= '9'; text++) {
            ms += (uint32_t)(*text - '0') * weight;
            weight /= 10;
        }
    }
    if (!take_offset(&text, &offset) || *text != '\0') {
        return false;
    }
    int64_t seconds = days_from_civil(year, month, day) * 86400 +
                      hour * 3600 + minute * 60 + second - offset;
    *ret_ms = seconds * 1000 + ms;
    return true;
}

bool gray_parse_network(const char *text, uint8_t ret_first[16],
                        uint8_t ret_last[16], bool *ret_loose)
{
    char host[64];
    size_t length = strcspn(text, "/");
    uint8_t bytes[16];
    if (length == 0 || length >= sizeof(host)) {
        return false;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    uint32_t bits = 128, base = 0;
    if (inet_pton(AF_INET, host, bytes + 12) == 1) {
        memset(bytes, 0, 10);
        memset(bytes + 10, 0xff, 2);
        base = 96;
    } else if (inet_pton(AF_INET6, host, bytes) != 1) {
        return false;
    }
    if (text[length] == '/') {
        const char *number = text + length + 1;
        size_t digits = strspn(number, "0123456789");
        if (digits == 0 || digits > 3 || number[digits] != '\0' ||
            (digits > 1 && number[0] == '0')) {
            return false;
        }
        take_digits(&number, (unsigned)digits, &bits);
        if (bits > 128 - base) {
            return false;
        }
        bits += base;
    }
    bool loose = false;
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t left = bits > i * 8 ? bits - i * 8 : 0;
        uint8_t mask = left >= 8 ? 0xff : (uint8_t)(0xff00u >> left);
        loose |= (bytes[i] & ~mask & 0xff) != 0;
        ret_first[i] = bytes[i] & mask;
        ret_last[i] = (uint8_t)(bytes[i] | (~mask & 0xff));
    }
    *ret_loose = loose;
    return true;
}

/* A number of a version: no leading zero, up to 32 bits. */
static bool take_part(const char **text, uint32_t *ret)
{
    uint64_t value = 0;
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 10 || (digits > 1 && **text == '0')) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (uint64_t)((*text)[i] - '0');
    }
    if (value > UINT32_MAX) {
        return false;
    }
    *text += digits;
    *ret = (uint32_t)value;
    return true;
}

/* Dot-separated words of [0-9A-Za-z-]; numbers of a pre-release (`strict`) have
 * no leading zero. */
static bool take_identifiers(const char **text, bool strict)
{
    for (;;) {
        size_t length = 0;
        bool number = true;
        const char *word = *text;
        while (isalnum((unsigned char)word[length]) || word[length] == '-') {
            number &= word[length] >= '0' && word[length] <= '9';
            length++;
        }
        if (length == 0 || (strict && number && length > 1 && *word == '0')) {
            return false;
        }
        *text += length;
        if (!take_byte(text, '.')) {
            return true;
        }
    }
}

bool gray_parse_semver(const char *text, uint32_t *ret_op,
                       uint32_t ret_version[3], struct model_text *ret_pre)
{
    static const struct {
        const char *word;
        uint32_t op;
    } words[] = {{">=", GRAY_SEMVER_GE}, {"<=", GRAY_SEMVER_LE},
                 {"!=", GRAY_SEMVER_NE}, {"=", GRAY_SEMVER_EQ},
                 {">", GRAY_SEMVER_GT},  {"<", GRAY_SEMVER_LT},
                 {"~", GRAY_SEMVER_TILDE}, {"^", GRAY_SEMVER_CARET}};
    uint32_t version[3], op = UINT32_MAX;
    struct model_text pre = {"", 0};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        size_t length = strlen(words[i].word);
        if (strncmp(text, words[i].word, length) == 0) {
            op = words[i].op;
            text += length;
            break;
        }
    }
    if (op == UINT32_MAX) {
        return false;
    }
    text += strspn(text, " ");
    if (!take_part(&text, &version[0]) || !take_byte(&text, '.') ||
        !take_part(&text, &version[1]) || !take_byte(&text, '.') ||
        !take_part(&text, &version[2])) {
        return false;
    }
    if (take_byte(&text, '-')) {
        pre.data = text;
        if (!take_identifiers(&text, true)) {
            return false;
        }
        pre.length = (uint32_t)(text - pre.data);
    }
    if (take_byte(&text, '+') && !take_identifiers(&text, false)) {
        return false;
    }
    if (*text != '\0') {
        return false;
    }
    *ret_op = op;
    memcpy(ret_version, version, sizeof(version));
    *ret_pre = pre;
    return true;
}

static bool take_clock(const char **text, uint32_t *ret_seconds)
{
    uint32_t hour, minute;
    if (!take_digits(text, 2, &hour) || !take_byte(text, ':') ||
        !take_digits(text, 2, &minute) || minute > 59 ||
        hour > 24 || (hour == 24 && minute != 0)) {
        return false;
    }
    *ret_seconds = hour * 3600 + minute * 60;
    return true;
}

bool gray_parse_hours(const char *text, uint32_t *ret_start,
                      uint32_t *ret_end)
{
    uint32_t start, end;
    if (!take_clock(&text, &start) || !take_byte(&text, '-') ||
        !take_clock(&text, &end) || *text != '\0' || start == 86400 ||
        end == start) {
        return false;
    }
    *ret_start = start;
    *ret_end = end;
    return true;
}

static bool take_u64(const char **text, uint64_t *ret)
{
    uint64_t value = 0;
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 18) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (uint64_t)((*text)[i] - '0');
    }
    *text += digits;
    *ret = value;
    return true;
}

bool gray_parse_remainders(const char *text, struct gray_mod_range *ret_range)
{
    struct gray_mod_range range;
    if (!take_u64(&text, &range.first) || !take_byte(&text, '~') ||
        !take_u64(&text, &range.last) || *text != '\0' ||
        range.first > range.last) {
        return false;
    }
    *ret_range = range;
    return true;
}

bool gray_parse_duration(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *word;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000},
                 {"d", 86400000}};
    int64_t total = 0;
    if (*text == '\0') {
        return false;
    }
    while (*text != '\0') {
        uint64_t value;
        int64_t unit = 0;
        if (!take_u64(&text, &value) || value > 1000000000) {
            return false;
        }
        for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
            size_t length = strlen(units[i].word);
            if (strncmp(text, units[i].word, length) == 0) {
                unit = units[i].ms;
                text += length;
                break;
            }
        }
        if (unit == 0 ||
            __builtin_add_overflow(total, (int64_t)value * unit, &total)) {
            return false;
        }
    }
    *ret_ms = total;
    return true;
}

static const char *parse_port(const char *text, uint16_t *ret_port)
{
    uint64_t port;
    const char *rest = text;
    if (*text == '0' || !take_u64(&rest, &port) || *rest != '\0' ||
        port > 65535) {
        return "its port must be a number from 1 to 65535";
    }
    *ret_port = (uint16_t)port;
    return NULL;
}

const char *gray_parse_endpoint(const char *text,
                                struct model_endpoint *ret_endpoint)
{
    char host[64];
    struct model_endpoint found = {0};
    if (strncmp(text, "unix:", 5) == 0) {
        if (text[5] != '/') {
            return "the path of a unix socket must begin with /";
        }
        if (strlen(text + 5) > GRAY_UNIX_PATH_MAX) {
            return "the path of a unix socket may have 107 bytes";
        }
        ret_endpoint->family = GRAY_FAMILY_UNIX;
        return NULL;
    }
    bool six = *text == '[';
    const char *start = text + six;
    size_t length = strcspn(start, six ? "]" : ":");
    if (length == 0 || length >= sizeof(host) ||
        (six && start[length] != ']')) {
        return "write an address: 127.0.0.1:80, [::1]:80 or unix:/path";
    }
    memcpy(host, start, length);
    host[length] = '\0';
    if (inet_pton(six ? AF_INET6 : AF_INET, host, found.bytes) != 1) {
        return "write an address (names are not looked up): 127.0.0.1:80, "
               "[::1]:80 or unix:/path";
    }
    const char *rest = start + length + six;
    if (*rest != ':') {
        return "its port is missing: 127.0.0.1:80 or [::1]:80";
    }
    const char *problem = parse_port(rest + 1, &found.port);
    if (problem != NULL) {
        return problem;
    }
    memcpy(ret_endpoint->bytes, found.bytes, sizeof(found.bytes));
    ret_endpoint->port = found.port;
    ret_endpoint->family = six ? GRAY_FAMILY_IPV6 : GRAY_FAMILY_IPV4;
    return NULL;
}

bool gray_parse_percent(double percent, uint32_t *ret_share)
{
    if (!(percent >= 0 && percent <= 100)) {
        return false;
    }
    /* Division is correctly rounded, so equality means that the text was the
     * shortest decimal of this double: no noise is let in or out. */
    uint32_t share = (uint32_t)(percent * 10000 + 0.5);
    if ((double)share / 10000 != percent) {
        return false;
    }
    *ret_share = share;
    return true;
}
