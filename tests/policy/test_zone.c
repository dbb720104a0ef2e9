/* SPDX-License-Identifier: Apache-2.0
 * test_zone.c - offsets of zones as the C library knows them.
 *
 * Why: glibc reads the same files by its own code, so it is the judge: every
 * zone of a list with odd rules is asked at thousands of moments from 1950 to
 * 2090.  Hostile files are refused.
 * Read next: ../../policy/zone.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "policy/zone.h"

static int32_t offset_at(const struct gray_zone_step *steps, uint32_t count,
                         int64_t at)
{
    uint32_t i = 0;

    while (i + 1 < count && steps[i + 1].at <= at) {
        i++;
    }
    return steps[i].offset;
}

static void zones_agree_with_the_c_library(void **state)
{
    static const char *const zones[] = {
        "Asia/Shanghai",    "Europe/Berlin",     "America/New_York",
        "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca",
        "Asia/Kolkata",     "America/Santiago",  "Europe/Dublin",
        "Asia/Gaza",        "America/Sao_Paulo", "Etc/GMT+5",
        "Pacific/Apia",     "UTC"};
    /* 1950 to 2090 in steps that meet every hour of the day. */
    const int64_t first = -631152000, last = 3786912000;
    const int64_t step = 86400 * 3 + 3600;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        struct gray_zone_step *steps;
        uint32_t count, k;
        int64_t at;

        if (zone_load(&steps, &count, zones[i], 1767225600000) != 0) {
            fail_msg("no %s", zones[i]);
        }
        assert_true(steps[0].at == INT64_MIN);
        for (k = 1; k < count; k++) {
            assert_true(steps[k].at > steps[k - 1].at);
            assert_true(steps[k].offset != steps[k - 1].offset);
        }
        setenv("TZ", zones[i], 1);
        tzset();
        for (at = first; at < last; at += step) {
            time_t moment = (time_t)at;
            struct tm local;

            localtime_r(&moment, &local);
            if (offset_at(steps, count, at) != local.tm_gmtoff) {
                fail_msg("%s at %lld: %d, not %ld", zones[i], (long long)at,
                         offset_at(steps, count, at), local.tm_gmtoff);
            }
        }
        free(steps);
    }
}

static void names_stay_inside_the_database(void **state)
{
    static const char *const names[] = {"",           "/etc/localtime",
                                        "../localtime", "Asia/../../passwd",
                                        "Asia//Shanghai", "Asia/",
                                        "No/Such_Zone", "tzdata.zi", "Asia"};
    struct gray_zone_step *steps;
    uint32_t count;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(zone_load(&steps, &count, names[i], 0), -1);
    }
}

static uint8_t *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(65536);

    assert_non_null(file);
    *ret_size = fread(data, 1, 65536, file);
    fclose(file);
    return data;
}

/* Every truncation, and flips of every byte: an answer or a refusal. */
static void damaged_files_do_no_harm(void **state)
{
    struct gray_zone_step *steps;
    uint32_t count, i;
    size_t size, cut;
    uint8_t *data =
        read_file("/usr/share/zoneinfo/America/New_York", &size), *copy;

    (void)state;
    for (cut = 0; cut < size; cut++) {
        copy = malloc(cut + 1);
        memcpy(copy, data, cut);
        assert_int_equal(zone_parse(&steps, &count, copy, cut, 0), -1);
        free(copy);
    }
    for (cut = 0; cut < size; cut++) {
        copy = malloc(size);
        memcpy(copy, data, size);
        copy[cut] ^= 0xff;
        if (zone_parse(&steps, &count, copy, size, 0) == 0) {
            assert_true(count >= 1);
            for (i = 1; i < count; i++) {
                assert_true(steps[i].at > steps[i - 1].at);
            }
            free(steps);
        }
        free(copy);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zones_agree_with_the_c_library),
        cmocka_unit_test(names_stay_inside_the_database),
        cmocka_unit_test(damaged_files_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
