/* SPDX-License-Identifier: Apache-2.0
 * brute_match.c - every operator of SEMANTICS 1 in its plainest form.
 *
 * Why: see brute.h.  Where libc has the thing (regex, inet_pton, timegm,
 * localtime) libc is the judge.
 * Read next: brute.c.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tests/engine/brute.h"

/* ---- hashes ------------------------------------------------------------- */

static uint32_t rotate(uint32_t x, int by)
{
    return (x << by) | (x >> (32 - by));
}

/* MurmurHash3 x86 32, seed 0, as Austin Appleby published it. */
static uint32_t murmur(const char *text)
{
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t length = (uint32_t)strlen(text), h = 0, k, i, left;

    for (i = 0; i + 4 <= length; i += 4) {
        k = bytes[i] | (uint32_t)bytes[i + 1] << 8 |
            (uint32_t)bytes[i + 2] << 16 | (uint32_t)bytes[i + 3] << 24;
        h ^= rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
        h = rotate(h, 13) * 5 + 0xe6546b64u;
    }
    left = length % 4;
    for (k = 0; left > 0; left--) {
        k = k << 8 | bytes[i + left - 1];
    }
    h ^= rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
    h ^= length;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

uint32_t brute_bucket(const char *salt, const char *between, const char *unit)
{
    char text[2 * GRAY_VALUE_MAX];

    snprintf(text, sizeof(text), "%s%s%s", salt, between, unit);
    return (uint32_t)((uint64_t)murmur(text) * 1000000 >> 32);
}

/* ---- patterns ----------------------------------------------------------- */

#define REGEXES 1024u
struct brute_regex {
    const struct cond *test[REGEXES];
    regex_t compiled[REGEXES];
    uint32_t count;
};

void brute_init(struct brute *b, const struct gray_model *model)
{
    memset(b, 0, sizeof(*b));
    b->model = model;
    b->regexes = malloc(sizeof(*b->regexes));
    assert(b->regexes != NULL);
    b->regexes->count = 0;
}

void brute_done(struct brute *b)
{
    uint32_t i;

    for (i = 0; i < b->regexes->count; i++) {
        regfree(&b->regexes->compiled[i]);
    }
    free(b->regexes);
    b->regexes = NULL;
}

static bool match_regex(struct brute *b, const struct cond *test,
                        const char *value)
{
    struct brute_regex *r = b->regexes;
    char pattern[2 * GRAY_VALUE_MAX];
    uint32_t i;

    for (i = 0; i < r->count && r->test[i] != test; i++) {
    }
    if (i == r->count) {
        assert(r->count < REGEXES);
        snprintf(pattern, sizeof(pattern), "^(%s)$", test->text.data);
        if (regcomp(&r->compiled[i], pattern,
                    REG_EXTENDED | REG_NOSUB |
                        (test->ignore_case ? REG_ICASE : 0)) != 0) {
            fprintf(stderr, "brute: regex(3) refuses %s\n", pattern);
            abort();
        }
        r->test[r->count++] = test;
    }
    return regexec(&r->compiled[i], value, 0, NULL, 0) == 0;
}

static bool match_glob(const char *pattern, const char *value, bool blind)
{
    if (*pattern == '\0') {
        return *value == '\0';
    }
    if (*pattern == '*') {
        return match_glob(pattern + 1, value, blind) ||
               (*value != '\0' && match_glob(pattern, value + 1, blind));
    }
    return *value != '\0' &&
           (*pattern == '?' || *pattern == *value ||
            (blind && strncasecmp(pattern, value, 1) == 0)) &&
           match_glob(pattern + 1, value + 1, blind);
}

/* ---- strings ------------------------------------------------------------ */

static bool same(const char *a, const char *b, size_t length, bool blind)
{
    return blind ? strncasecmp(a, b, length) == 0 : strncmp(a, b, length) == 0;
}

static bool match_text(const struct cond *test, const char *value)
{
    size_t length = strlen(value), wanted = test->text.length;
    const char *text = test->text.data;
    bool blind = test->ignore_case;
    size_t i;

    switch (test->op) {
    case GRAY_CONDITION_EXACT:
        return length == wanted && same(text, value, wanted, blind);
    case GRAY_CONDITION_PREFIX:
        return length >= wanted && same(text, value, wanted, blind);
    case GRAY_CONDITION_SUFFIX:
        return length >= wanted &&
               same(text, value + length - wanted, wanted, blind);
    default:
        for (i = 0; i + wanted <= length; i++) {
            if (same(text, value + i, wanted, blind)) {
                return true;
            }
        }
        return false;
    }
}

static bool match_set(const struct cond *test, const char *value)
{
    uint32_t i;

    for (i = 0; i < test->text_count; i++) {
        if (test->texts[i].length == strlen(value) &&
            same(test->texts[i].data, value, strlen(value),
                 test->ignore_case)) {
            return true;
        }
    }
    return false;
}

static bool match_list(const struct brute *b, const struct cond *test,
                       const char *value)
{
    const struct model_list *list = &b->model->lists[test->list];
    uint64_t i;

    for (i = 0; i < list->id_count; i++) {
        if (list->ids[i].length == strlen(value) &&
            memcmp(list->ids[i].data, value, strlen(value)) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- numbers ------------------------------------------------------------ */

/* Nothing but digits, and below 2^64. */
static bool read_digits(const char *text, uint64_t *ret_number)
{
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    errno = 0;
    *ret_number = strtoull(text, NULL, 10);
    return errno == 0;
}

static bool match_range(const struct cond *test, const char *value)
{
    const char *digits = value + (*value == '-');
    long long number;

    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits)) {
        return false;
    }
    errno = 0;
    number = strtoll(value, NULL, 10);
    return errno == 0 && number >= test->start && number < test->end;
}

static bool match_mod(const struct cond *test, const char *value)
{
    uint64_t number;
    uint32_t i;

    if (!read_digits(value, &number)) {
        return false;
    }
    number %= test->divisor;
    for (i = 0; i < test->range_count; i++) {
        if (number >= test->ranges[i].first && number <= test->ranges[i].last) {
            return true;
        }
    }
    return false;
}

static bool match_tail(const struct cond *test, const char *value)
{
    char tail[16];
    uint32_t i;

    for (i = 0; i < test->tail_count; i++) {
        snprintf(tail, sizeof(tail), "%0*u", (int)test->tail_width,
                 test->tails[i]);
        if (strlen(value) >= test->tail_width &&
            strcmp(value + strlen(value) - test->tail_width, tail) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- versions ----------------------------------------------------------- */

/* semver.org 2.0.0, 11: numbers below words, by value; words by bytes. */
static int compare_word(const char *a, const char *b)
{
    bool a_number = strspn(a, "0123456789") == strlen(a);
    bool b_number = strspn(b, "0123456789") == strlen(b);
    unsigned long long x, y;

    if (a_number != b_number) {
        return a_number ? -1 : 1;
    }
    if (!a_number) {
        return strcmp(a, b);
    }
    x = strtoull(a, NULL, 10);
    y = strtoull(b, NULL, 10);
    return x < y ? -1 : x > y;
}

static int compare_pre(const char *a, const char *b)
{
    char left[256], right[256], *x, *y, *x_rest, *y_rest;
    int order;

    if (*a == '\0' || *b == '\0') {
        return *a != '\0' ? -1 : *b != '\0';
    }
    snprintf(left, sizeof(left), "%s", a);
    snprintf(right, sizeof(right), "%s", b);
    x = strtok_r(left, ".", &x_rest);
    y = strtok_r(right, ".", &y_rest);
    while (x != NULL && y != NULL) {
        order = compare_word(x, y);
        if (order != 0) {
            return order;
        }
        x = strtok_r(NULL, ".", &x_rest);
        y = strtok_r(NULL, ".", &y_rest);
    }
    return x != NULL ? 1 : y != NULL ? -1 : 0;
}

/* [v]N[.N[.N]][-words][+words] */
static bool read_version(const char *text, unsigned long part[3], char *ret_pre)
{
    static regex_t form;
    static bool ready;
    regmatch_t at[10];
    int i;

    if (!ready) {
        ready = regcomp(&form,
                        "^[vV]?([0-9]+)(\\.([0-9]+))?(\\.([0-9]+))?"
                        "(-([0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*))?"
                        "(\\+[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?$",
                        REG_EXTENDED) == 0;
    }
    if (regexec(&form, text, 10, at, 0) != 0) {
        return false;
    }
    for (i = 0; i < 3; i++) {
        regmatch_t part_at = at[2 * i + 1];

        part[i] =
            part_at.rm_so < 0 ? 0 : strtoul(text + part_at.rm_so, NULL, 10);
        if (part[i] > UINT32_MAX) {
            return false;
        }
    }
    ret_pre[0] = '\0';
    if (at[7].rm_so >= 0) {
        snprintf(ret_pre, 256, "%.*s", (int)(at[7].rm_eo - at[7].rm_so),
                 text + at[7].rm_so);
    }
    return true;
}

static bool match_version(const struct cond *test, const char *value)
{
    unsigned long part[3];
    char pre[256], own[256];
    int i, order = 0;

    if (strlen(value) > 200 || !read_version(value, part, pre)) {
        return false;
    }
    snprintf(own, sizeof(own), "%.*s", (int)test->pre.length, test->pre.data);
    for (i = 0; i < 3 && order == 0; i++) {
        order = part[i] < test->version[i] ? -1 : part[i] > test->version[i];
    }
    if (order == 0) {
        order = compare_pre(pre, own);
    }
    switch (test->semver_op) {
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
        return part[0] == test->version[0] && part[1] == test->version[1];
    default:
        return part[0] == test->version[0];
    }
}

/* ---- moments ------------------------------------------------------------ */

/* RFC 3339 by sscanf() and timegm(), which must give the same day back. */
static bool match_date(const struct cond *test, const char *value)
{
    static regex_t form;
    static bool ready;
    struct tm tm = {0}, again;
    regmatch_t at[5];
    char fraction[4] = "000";
    int64_t ms;
    time_t seconds;
    int i, hours, minutes;

    if (!ready) {
        ready = regcomp(&form,
                        "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:"
                        "[0-9]{2}(\\.([0-9]+))?([Zz]|([+-][0-9]{2}:[0-9]{2}))"
                        "$",
                        REG_EXTENDED) == 0;
    }
    if (regexec(&form, value, 5, at, 0) != 0) {
        return false;
    }
    sscanf(value, "%4d-%2d-%2d%*c%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon,
           &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60) {
        return false;
    }
    again = tm;
    seconds = timegm(&again);
    again = tm;
    again.tm_hour = again.tm_min = again.tm_sec = 0;
    timegm(&again);
    if (again.tm_mday != tm.tm_mday || again.tm_mon != tm.tm_mon) {
        return false;
    }
    ms = (int64_t)seconds * 1000;
    for (i = 0; at[2].rm_so >= 0 && i < 3 && at[2].rm_so + i < at[2].rm_eo;
         i++) {
        fraction[i] = value[at[2].rm_so + i];
    }
    ms += atoi(fraction);
    if (at[4].rm_so >= 0) {
        sscanf(value + at[4].rm_so + 1, "%2d:%2d", &hours, &minutes);
        if (hours > 23 || minutes > 59) {
            return false;
        }
        ms -= (value[at[4].rm_so] == '-' ? -1 : 1) * (hours * 60 + minutes) *
              INT64_C(60000);
    }
    return ms >= test->start && ms < test->end;
}

/* The zone is libc's: TZ is set anew only when another one is asked for. */
static void enter_zone(const char *zone)
{
    const char *now = getenv("TZ");
    char text[80];

    snprintf(text, sizeof(text), ":%s", zone);
    if (now == NULL || strcmp(now, text) != 0) {
        setenv("TZ", text, 1);
        tzset();
    }
}

bool brute_in_window(const struct cond *test, int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    struct tm tm;
    uint32_t second, day;

    if (now_ms < test->from || now_ms >= test->until) {
        return false;
    }
    enter_zone(test->zone);
    localtime_r(&now, &tm);
    second = (uint32_t)(tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
    day = (uint32_t)(tm.tm_wday + 6) % 7; /* Monday is 0 */
    if (test->day_end > test->day_start) {
        return second >= test->day_start && second < test->day_end &&
               (test->days >> day & 1);
    }
    if (second >= test->day_start && (test->days >> day & 1)) {
        return true;
    }
    return second < test->day_end && (test->days >> (day + 6) % 7 & 1);
}

/* ---- addresses ---------------------------------------------------------- */

/* 16 bytes and how many of the first ones are the form of IPv4. */
static bool read_address(const char *text, uint8_t bytes[16], int *ret_form)
{
    memset(bytes, 0, 16);
    if (inet_pton(AF_INET, text, bytes + 12) == 1) {
        bytes[10] = bytes[11] = 0xff;
        *ret_form = 96;
        return true;
    }
    *ret_form = 0;
    return inet_pton(AF_INET6, text, bytes) == 1;
}

bool brute_address(const char *text, uint8_t ret_bytes[16])
{
    int form;

    return read_address(text, ret_bytes, &form);
}

bool brute_in_network(const char *address, struct model_text network)
{
    char text[80];
    uint8_t a[16], n[16];
    int form, bits, i;
    char *slash;

    snprintf(text, sizeof(text), "%.*s", (int)network.length, network.data);
    slash = strchr(text, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    if (!read_address(address, a, &form) || !read_address(text, n, &form)) {
        return false;
    }
    bits = slash == NULL ? 128 : form + atoi(slash + 1);
    for (i = 0; i < bits; i++) {
        if (((a[i / 8] ^ n[i / 8]) >> (7 - i % 8)) & 1) {
            return false;
        }
    }
    return true;
}

/* ---- one value ---------------------------------------------------------- */

bool brute_match(struct brute *b, const struct cond *test, const char *value)
{
    switch (test->op) {
    case GRAY_CONDITION_BLANK:
        return strspn(value, " \t") == strlen(value);
    case GRAY_CONDITION_EXACT:
    case GRAY_CONDITION_PREFIX:
    case GRAY_CONDITION_SUFFIX:
    case GRAY_CONDITION_CONTAINS:
        return match_text(test, value);
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_NOT_IN:
        return match_set(test, value);
    case GRAY_CONDITION_GLOB:
        return match_glob(test->text.data, value, test->ignore_case);
    case GRAY_CONDITION_REGEX:
        return match_regex(b, test, value);
    case GRAY_CONDITION_RANGE:
        return match_range(test, value);
    case GRAY_CONDITION_MOD:
        return match_mod(test, value);
    case GRAY_CONDITION_ID_TAIL:
        return match_tail(test, value);
    case GRAY_CONDITION_PERCENT:
        return *value != '\0' &&
               brute_bucket(test->salt.data, ":", value) < test->share;
    case GRAY_CONDITION_LIST:
        return match_list(b, test, value);
    case GRAY_CONDITION_SEMVER:
        return match_version(test, value);
    case GRAY_CONDITION_DATE:
        return match_date(test, value);
    default:
        abort();
    }
}
