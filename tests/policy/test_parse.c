/* SPDX-License-Identifier: Apache-2.0
 * test_parse.c - small notations, right ones and almost right ones.
 *
 * Why: percents must come out exact for every one of the 1,000,001 shares, and
 * dates, networks and addresses must mean what their standards say.
 * Read next: ../../policy/parse.c.
 */
#include "tests/policy/read_policy.h"

#include "policy/check.h"
#include "policy/parse.h"

static void test_every_share_is_exact(void **state)
{
    (void)state;
    for (uint32_t share = 0; share <= GRAY_SHARE_ALL; share++) {
        char text[32];
        uint32_t read = UINT32_MAX;
        snprintf(text, sizeof(text), "%u.%04u", share / 10000, share % 10000);
        if (!gray_parse_percent(strtod(text, NULL), &read) || read != share) {
            fail_msg("%s read as %u", text, read);
        }
    }
}

static void test_percents_that_are_none(void **state)
{
    static const double cases[] = {-0.0001, 100.0001, 0.00001, 33.33333,
                                   1e300, -1};
    uint32_t share;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_false(gray_parse_percent(cases[i], &share));
    }
}

static void test_moments(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T08:00:00+08:00", 0},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2000-02-29T12:00:00Z", 951825600000},
        {"2026-11-21T00:00:00Z", 1795219200000},
        {"2026-11-21t00:00:00.5z", 1795219200500},
        {"2026-11-20T19:30:00-04:30", 1795219200000},
        {"9999-12-31T23:59:59Z", 253402300799000},
        {"0001-01-01T00:00:00Z", -62135596800000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2000-02-29t00:00:00.123456z", 951782400123},
    };
    static const char *const bad[] = {
        "",
        "2026-11-21",
        "2026-11-21 00:00:00Z",
        "2026-11-21T00:00:00",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0800",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00Z ",
        "26-01-01T00:00:00Z",
    };
    int64_t ms = 7;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_true(gray_parse_moment(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    ms = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_false(gray_parse_moment(bad[i], &ms));
        assert_int_equal(ms, 7);
    }
}

static void test_networks(void **state)
{
    static const char *const bad[] = {
        "",          "10.0.0.0/",   "10.0.0.0/33", "10.0.0/8",
        "::/129",    "10.0.0.0/08", "1.2.3.4/-1",  "10.0.0.0/8 ",
        "localhost", "1.2.3.4.5",   "/8",          "::1/1000"};
    uint8_t first[16], last[16];
    bool loose;
    (void)state;
    assert_true(gray_parse_network("10.0.0.0/8", first, last, &loose));
    assert_false(loose);
    assert_memory_equal(first,
                        "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\0", 16);
    assert_memory_equal(
        last, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\xff\xff\xff", 16);
    assert_true(gray_parse_network("10.1.0.0/8", first, last, &loose));
    assert_true(loose);
    assert_true(gray_parse_network("0.0.0.0/0", first, last, &loose));
    assert_memory_equal(
        last, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff", 16);
    assert_true(gray_parse_network("2001:db8::/33", first, last, &loose));
    assert_int_equal(last[4], 0x7f);
    assert_true(gray_parse_network("::1", first, last, &loose));
    assert_memory_equal(first, last, 16);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_false(gray_parse_network(bad[i], first, last, &loose));
    }
}

static void test_versions(void **state)
{
    static const char *const bad[] = {
        "1.2.3",    ">=1.2",     ">=v1.2.3",     ">=1.02.3",
        ">=1.2.3-", ">=1.2.3-01", ">=1.2.3-a..b", "=>1.2.3",
        ">=1.2.3 ", ">=4294967296.0.0", ">=1.2.3+", ""};
    uint32_t op, version[3];
    struct model_text pre;
    (void)state;
    assert_true(gray_parse_semver("^1.20.300-rc.1+x", &op, version, &pre));
    assert_int_equal(op, GRAY_SEMVER_CARET);
    assert_int_equal(version[1], 20);
    assert_int_equal(pre.length, 4);
    assert_memory_equal(pre.data, "rc.1", 4);
    assert_true(gray_parse_semver("!= 0.0.0-0a", &op, version, &pre));
    assert_int_equal(op, GRAY_SEMVER_NE);
    assert_true(gray_parse_semver("<4294967295.0.0", &op, version, &pre));
    assert_int_equal(op, GRAY_SEMVER_LT);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_false(gray_parse_semver(bad[i], &op, version, &pre));
    }
}

static void test_hours_remainders_durations(void **state)
{
    static const char *const hours[] = {"9:00-18:00", "09:00", "24:00-06:00",
                                        "09:00-24:01", "09:00-09:00",
                                        "09:60-10:00", "09:00-18:00x"};
    static const char *const durations[] = {"", "1", "s", "1 s", "-1s", "1y",
                                            "1.5h", "99999999999999999s"};
    uint32_t start, end;
    int64_t ms;
    struct gray_mod_range range;
    (void)state;
    assert_true(gray_parse_hours("22:30-06:00", &start, &end));
    assert_int_equal(start, 81000);
    assert_int_equal(end, 21600);
    assert_true(gray_parse_hours("00:00-24:00", &start, &end));
    assert_int_equal(end, 86400);
    for (size_t i = 0; i < sizeof(hours) / sizeof(*hours); i++) {
        assert_false(gray_parse_hours(hours[i], &start, &end));
    }
    assert_true(gray_parse_remainders("5~9", &range));
    assert_int_equal(range.last, 9);
    assert_false(gray_parse_remainders("9~5", &range));
    assert_false(gray_parse_remainders("5-9", &range));
    assert_false(gray_parse_remainders("5~", &range));
    assert_true(gray_parse_duration("1h30m", &ms));
    assert_int_equal(ms, 5400000);
    assert_true(gray_parse_duration("250ms", &ms));
    assert_int_equal(ms, 250);
    for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
        assert_false(gray_parse_duration(durations[i], &ms));
    }
}

static void test_endpoints(void **state)
{
    static const char *const bad[] = {
        "",           "127.0.0.1",    "127.0.0.1:",   "127.0.0.1:0",
        "127.0.0.1:65536", "127.0.0.1:08", "::1:80",   "[::1]80",
        "[::1",       "[127.0.0.1]:1", "a.example:80", "unix:x",
        "127.0.0.1:80/x"};
    struct model_endpoint endpoint = {0};
    char path[GRAY_TEXT_MAX];
    (void)state;
    assert_null(gray_parse_endpoint("127.0.0.1:65535", &endpoint));
    assert_int_equal(endpoint.family, GRAY_FAMILY_IPV4);
    assert_int_equal(endpoint.port, 65535);
    assert_memory_equal(endpoint.bytes, "\x7f\0\0\1", 4);
    assert_null(gray_parse_endpoint("[::1]:1", &endpoint));
    assert_int_equal(endpoint.family, GRAY_FAMILY_IPV6);
    assert_int_equal(endpoint.bytes[15], 1);
    assert_null(gray_parse_endpoint("unix:/run/x", &endpoint));
    assert_int_equal(endpoint.family, GRAY_FAMILY_UNIX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_non_null(gray_parse_endpoint(bad[i], &endpoint));
    }
    memset(path, 'a', sizeof(path));
    memcpy(path, "unix:/", 6);
    path[5 + GRAY_UNIX_PATH_MAX] = '\0';
    assert_null(gray_parse_endpoint(path, &endpoint));
    path[5 + GRAY_UNIX_PATH_MAX] = 'a';
    path[6 + GRAY_UNIX_PATH_MAX] = '\0';
    assert_non_null(gray_parse_endpoint(path, &endpoint));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_share_is_exact),
        cmocka_unit_test(test_percents_that_are_none),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_hours_remainders_durations),
        cmocka_unit_test(test_endpoints),
    };
    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
