/* SPDX-License-Identifier: Apache-2.0
 * model_time.c - windows of time: moments, days, hours, a zone.
 *
 * Why: "nine to six" means nothing without a zone, and a zone that this
 * machine's tzdata lacks would be found when the first request comes; so it is
 * looked up here.
 * Read next: parse.c, zone.c (what the compiler makes of a zone).
 */
#include "policy/check.h"

#include <string.h>

#include "policy/parse.h"

#define ZONE_FOLDER "/usr/share/zoneinfo/"

static bool zone_exists(const char *name)
{
    char path[sizeof(ZONE_FOLDER) + GRAY_TEXT_MAX + 1];
    char magic[4] = "";
    for (const char *b = name; *b != '\0'; b++) {
        bool plain = (*b >= 'a' && *b <= 'z') || (*b >= 'A' && *b <= 'Z') ||
                     (*b >= '0' && *b <= '9') || strchr("/_+-", *b) != NULL;
        if (!plain) {
            return false;
        }
    }
    if (*name == '\0' || *name == '/') {
        return false;
    }
    snprintf(path, sizeof(path), "%s%s", ZONE_FOLDER, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t got = fread(magic, 1, sizeof(magic), file);
    fclose(file);
    return got == sizeof(magic) && memcmp(magic, "TZif", 4) == 0;
}

static bool check_days(struct gray_check *c, const struct where *at,
                       json_t *value, struct cond *cond)
{
    static const char *const words[] = {"mon", "tue", "wed", "thu",
                                        "fri", "sat", "sun"};
    cond->days = 0x7f;
    if (value == NULL) {
        return true;
    }
    if (!gray_check_set(c, at, value, "[mon, tue]")) {
        return false;
    }
    cond->days = 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        uint32_t day;
        if (!gray_check_word(c, AT_ITEM(at, i), json_array_get(value, i),
                             words, 7, &day)) {
            return false;
        }
        cond->days |= 1u << day;
    }
    return true;
}

static bool check_hours(struct gray_check *c, const struct where *at,
                        json_t *value, struct cond *cond)
{
    struct model_text text;
    cond->day_start = 0;
    cond->day_end = 86400;
    if (value == NULL) {
        return true;
    }
    if (!gray_check_text(c, at, value, GRAY_TEXT_MAX, &text)) {
        return false;
    }
    if (!gray_parse_hours(text.data, &cond->day_start, &cond->day_end)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_HOURS, at,
                                "\"%.64s\" are no hours; write 09:00-18:00, "
                                "or 22:00-06:00 over midnight",
                                text.data);
    }
    return true;
}

static bool check_zone(struct gray_check *c, const struct where *at,
                       json_t *value, struct cond *cond)
{
    struct model_text text;
    cond->zone = "UTC";
    if (value == NULL) {
        return true;
    }
    if (!gray_check_text(c, at, value, GRAY_TEXT_MAX, &text)) {
        return false;
    }
    cond->zone = text.data;
    if (!zone_exists(text.data)) {
        return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_ZONE, at,
                                "tzdata has no zone \"%.64s\"; write a name "
                                "such as Asia/Shanghai or UTC (is the package "
                                "tzdata installed?)",
                                text.data);
    }
    return true;
}

bool gray_check_time(struct gray_check *c, const struct where *at,
                     json_t *value, struct cond *cond)
{
    static const char *const keys[] = {"from", "until", "days", "hours",
                                       "zone"};
    json_t *values[5];
    cond->from = INT64_MIN;
    cond->until = INT64_MAX;
    if (!gray_check_map(c, at, value, keys, 5, values)) {
        return false;
    }
    if (values[0] == NULL && values[1] == NULL && values[2] == NULL &&
        values[3] == NULL) {
        return gray_check_missing(c, at, "from, until, days or hours",
                                  "{hours: \"09:00-18:00\"}");
    }
    bool good =
        gray_check_moment(c, AT_KEY(at, "from"), values[0], &cond->from);
    good &= gray_check_moment(c, AT_KEY(at, "until"), values[1], &cond->until);
    good &= check_days(c, AT_KEY(at, "days"), values[2], cond);
    good &= check_hours(c, AT_KEY(at, "hours"), values[3], cond);
    good &= check_zone(c, AT_KEY(at, "zone"), values[4], cond);
    if (good && cond->from >= cond->until) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY_RANGE, at,
                                "nothing lies between from and until; from "
                                "must come first");
    }
    return good;
}
