/* SPDX-License-Identifier: Apache-2.0
 * moment.c - moments as RFC 3339, read and written.
 *
 * Why: strptime() takes what is no date and timegm() hides it; a request that
 * says when it happened must mean exactly one instant.
 */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

static bool digits(const char **at, int count, int *ret_value)
{
    int value = 0;

    for (int i = 0; i < count; i++) {
        if (!isdigit((unsigned char)**at)) {
            return false;
        }
        value = value * 10 + (*(*at)++ - '0');
    }
    *ret_value = value;
    return true;
}

static bool skip(const char **at, const char *any)
{
    return **at != '\0' && strchr(any, **at) != NULL && (*at)++ != NULL;
}

/* Days since 1970-01-01 of a Gregorian date (Howard Hinnant's
 * days_from_civil). */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
           719468;
}

static bool is_date(int year, int month, int day)
{
    static const uint8_t lengths[] = { 31, 28, 31, 30, 31, 30,
                                       31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month >= 1 && month <= 12 && day >= 1 &&
           day <= lengths[month - 1] + (leap && month == 2);
}

int moment_parse(const char *text, int64_t *ret_ms)
{
    int year, month, day, hour, minute, second, off_hour = 0, off_minute = 0;
    int64_t part = 0, scale = 100, offset = 0;
    bool fraction, west;

    if (!digits(&text, 4, &year) || !skip(&text, "-") ||
        !digits(&text, 2, &month) || !skip(&text, "-") ||
        !digits(&text, 2, &day) || !skip(&text, "Tt") ||
        !digits(&text, 2, &hour) || !skip(&text, ":") ||
        !digits(&text, 2, &minute) || !skip(&text, ":") ||
        !digits(&text, 2, &second)) {
        return -1;
    }
    fraction = skip(&text, ".");
    if (fraction && !isdigit((unsigned char)*text)) {
        return -1;
    }
    for (; fraction && isdigit((unsigned char)*text); text++, scale /= 10) {
        part += (*text - '0') * scale;
    }
    if (!skip(&text, "Zz")) {
        west = *text == '-';
        if (!skip(&text, "+-") || !digits(&text, 2, &off_hour) ||
            !skip(&text, ":") || !digits(&text, 2, &off_minute)) {
            return -1;
        }
        offset = (west ? -1 : 1) * (off_hour * 3600 + off_minute * 60);
    }
    if (*text != '\0' || !is_date(year, month, day) || hour > 23 ||
        minute > 59 || second > 60 || off_hour > 23 || off_minute > 59) {
        return -1;
    }
    *ret_ms = (days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 +
               second - offset) * 1000 + part;
    return 0;
}

const char *moment_text(int64_t ms, char buffer[40])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(buffer, 40, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        snprintf(buffer, 40, "%lld", (long long)ms);
    }
    return buffer;
}
