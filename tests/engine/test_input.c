/* SPDX-License-Identifier: Apache-2.0
 * test_input.c - of a request, what rules look at is picked out, no more.
 *
 * Why: clients write headers, cookies and queries in every shape; which value
 * counts is part of the contract (SEMANTICS 1).
 * Read next: ../../engine/input.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/engine/policy_craft.h"

static struct policy_craft p;
static struct gray_snapshot snapshot;
static struct gray_input in;

static void begin(void)
{
    policy_begin(&p);
}

static void open_policy(void)
{
    struct gray_problem problem = { 0 };
    if (policy_end(&p, &snapshot, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    memset(&in, 0xa5, sizeof(in)); /* nothing may lean on cleared memory */
    gray_input_begin(&in, &snapshot, 1000, 1);
}

static void header(const char *name, const char *value)
{
    gray_input_header(&in, gray_hash_name(name, strlen(name)), craft_str(name),
                      craft_str(value));
}

/* The values of a slot, joined by '|'. */
static void expect(uint32_t slot, const char *expected)
{
    char joined[8192] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < in.value_count; i++) {
        if (in.values[i].slot == slot) {
            assert_true(in.values[i].length <= GRAY_VALUE_MAX);
            if (length > 0) {
                joined[length++] = '|';
            }
            memcpy(joined + length, in.values[i].data, in.values[i].length);
            length += in.values[i].length;
        }
    }
    joined[length] = '\0';
    assert_string_equal(joined, expected);
}

static uint32_t count_of(uint32_t slot)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < in.value_count; i++) {
        count += in.values[i].slot == slot;
    }
    return count;
}

static void headers_without_case_and_repeated(void **state)
{
    uint32_t user;
    (void)state;
    begin();
    user = policy_slot(&p, GRAY_SOURCE_HEADER, "x-user");
    open_policy();
    header("X-User", "alice");
    header("x-other", "nobody");
    header("x-uses", "same length");
    header("x-user", "bob");
    expect(user, "alice|bob");
    assert_int_equal(in.value_count, 2);
}

static void the_first_cookie_counts(void **state)
{
    uint32_t uid, other;
    (void)state;
    begin();
    uid = policy_slot(&p, GRAY_SOURCE_COOKIE, "uid");
    other = policy_slot(&p, GRAY_SOURCE_COOKIE, "Other");
    open_policy();
    header("Cookie", "a=1; ;flag; UID=no; uid=al%20ice ; uid=bob;Other=x=y");
    header("cookie", "uid=carol; other=z");
    expect(uid, "al%20ice");
    expect(other, "x=y");
    assert_int_equal(in.value_count, 2);
}

/* Few names are tried, many are looked up: the answers are the same. */
static void cookies_of_few_and_of_many_names(void **state)
{
    static const char *const names[] = { "uid", "Plan", "c_3", "d", "eeeeeeee",
                                         "f" };
    static const char *const values[] = { "1", "2=2", "", "4", "5", "6" };
    (void)state;
    for (uint32_t count = 1; count <= 6; count++) {
        uint32_t slots[6];
        begin();
        for (uint32_t i = 0; i < count; i++) {
            slots[i] = policy_slot(&p, GRAY_SOURCE_COOKIE, names[i]);
        }
        open_policy();
        assert_int_equal(snapshot.cookie_count, count < 5 ? count : 5);
        header("cookie", "x=0; uid=1; PLAN=no;Plan=2=2 ;c_3=; d=4; dd=9; "
                         "eeeeeeee=5; f=6; uid=7");
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(count_of(slots[i]), 1);
            expect(slots[i], values[i]);
        }
        assert_int_equal(in.value_count, count);
    }
}

/* The header as a whole is a value of its own, beside or without cookies. */
static void the_cookie_header_as_a_whole(void **state)
{
    static const char text[] = "uid=alice; b=2";
    uint32_t whole, uid = GRAY_NONE;
    (void)state;
    for (int round = 0; round < 2; round++) {
        begin();
        whole = policy_slot(&p, GRAY_SOURCE_HEADER, "cookie");
        if (round == 1) {
            uid = policy_slot(&p, GRAY_SOURCE_COOKIE, "uid");
        }
        open_policy();
        header("Cookie", text);
        expect(whole, text);
        if (round == 1) {
            expect(uid, "alice");
        }
        assert_int_equal(in.value_count, 1 + round);
    }
}

static void odd_cookies_are_no_harm(void **state)
{
    static const char *const odd[] = { "", ";", "=", "uid", "uid;", "; ;\t;",
                                       "=uid", " uid =1", "uidx=1" };
    uint32_t uid;
    (void)state;
    begin();
    uid = policy_slot(&p, GRAY_SOURCE_COOKIE, "uid");
    open_policy();
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        header("cookie", odd[i]);
    }
    assert_int_equal(in.value_count, 0);
    header("cookie", "uid=");
    assert_int_equal(count_of(uid), 1);
    expect(uid, "");
}

static void query_is_decoded_and_the_first_counts(void **state)
{
    uint32_t a, b, c, d, e;
    (void)state;
    begin();
    a = policy_slot(&p, GRAY_SOURCE_QUERY, "a");
    b = policy_slot(&p, GRAY_SOURCE_QUERY, "b c");
    c = policy_slot(&p, GRAY_SOURCE_QUERY, "c");
    d = policy_slot(&p, GRAY_SOURCE_QUERY, "d");
    e = policy_slot(&p, GRAY_SOURCE_QUERY, "e");
    open_policy();
    gray_input_target(
        &in, craft_str("/p?x=1&a=%41%zz%4&b%20c=2&&=5&c&%64=+&a=9#e=1"));
    expect(a, "A%zz%4");
    expect(b, "2");
    expect(c, "");
    assert_int_equal(count_of(c), 1);
    expect(d, "+");
    assert_int_equal(count_of(e), 0);
    assert_int_equal(in.value_count, 4);
}

static void path_and_segments(void **state)
{
    uint32_t path, one, two, three, last;
    (void)state;
    begin();
    path = policy_slot(&p, GRAY_SOURCE_PATH, "");
    one = policy_slot(&p, GRAY_SOURCE_SEGMENT, "1");
    two = policy_slot(&p, GRAY_SOURCE_SEGMENT, "2");
    three = policy_slot(&p, GRAY_SOURCE_SEGMENT, "3");
    last = policy_slot(&p, GRAY_SOURCE_SEGMENT, "64");
    open_policy();
    gray_input_target(&in, craft_str("/a//b%2Fc/?x=/y"));
    expect(path, "/a//b%2Fc/");
    expect(one, "a");
    assert_int_equal(count_of(two), 1);
    expect(two, "");
    expect(three, "b%2Fc");
    assert_int_equal(count_of(last), 0);
    assert_int_equal(in.value_count, 4);

    char deep[200];
    for (int i = 0; i < 65; i++) {
        memcpy(deep + 2 * i, i == 63 ? "/z" : "/s", 2);
    }
    deep[130] = '\0';
    gray_input_begin(&in, &snapshot, 0, 0);
    gray_input_target(&in, craft_str(deep));
    expect(last, "z");
    gray_input_begin(&in, &snapshot, 0, 0);
    gray_input_target(&in, craft_str("/"));
    assert_int_equal(count_of(one), 0);
    gray_input_begin(&in, &snapshot, 0, 0);
    gray_input_target(&in, craft_str("*"));
    expect(path, "*");
    assert_int_equal(count_of(one), 0);
}

static void host_in_its_one_form(void **state)
{
    static const char *const hosts[][2] = {
        { "Shop.Example:8080", "shop.example" },
        { "shop.example.", "shop.example" },
        { "SHOP.example.:1", "shop.example" },
        { "[::1]:80", "[::1]" },
        { "[FE80::1]", "[fe80::1]" },
        { "10.0.0.1", "10.0.0.1" },
    };
    uint32_t host;
    (void)state;
    begin();
    host = policy_slot(&p, GRAY_SOURCE_HOST, "");
    open_policy();
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        gray_input_begin(&in, &snapshot, 0, 0);
        gray_input_host(&in, craft_str(hosts[i][0]));
        expect(host, hosts[i][1]);
    }
}

static void grpc_names_in_either_order(void **state)
{
    uint32_t service, method;
    (void)state;
    begin();
    service = policy_slot(&p, GRAY_SOURCE_GRPC_SERVICE, "");
    method = policy_slot(&p, GRAY_SOURCE_GRPC_METHOD, "");
    open_policy();
    gray_input_target(&in, craft_str("/shop.Cart/Add"));
    assert_int_equal(in.value_count, 0);
    header("Content-Type", "application/grpc+proto");
    expect(service, "shop.Cart");
    expect(method, "Add");
    header("content-type", "application/grpc");
    assert_int_equal(in.value_count, 2);

    gray_input_begin(&in, &snapshot, 0, 0);
    header("content-type", "Application/GRPC");
    gray_input_target(&in, craft_str("/shop.Cart/Add?x"));
    expect(service, "shop.Cart");
    expect(method, "Add");

    gray_input_begin(&in, &snapshot, 0, 0);
    header("content-type", "application/json");
    gray_input_target(&in, craft_str("/shop.Cart/Add"));
    assert_int_equal(in.value_count, 0);
}

static void names_of_the_operator(void **state)
{
    uint32_t region, zone, caller, method, address;
    uint8_t bytes[16] = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 };
    (void)state;
    begin();
    region = policy_slot(&p, GRAY_SOURCE_ATTR, "region");
    zone = policy_slot(&p, GRAY_SOURCE_LABEL, "zone");
    caller = policy_slot(&p, GRAY_SOURCE_CALLER, "");
    method = policy_slot(&p, GRAY_SOURCE_METHOD, "");
    address = policy_slot(&p, GRAY_SOURCE_ADDRESS, "");
    open_policy();
    gray_input_named(&in, GRAY_SOURCE_ATTR, craft_str("region"),
                     craft_str("hz"));
    gray_input_named(&in, GRAY_SOURCE_ATTR, craft_str("Region"),
                     craft_str("no"));
    gray_input_named(&in, GRAY_SOURCE_LABEL, craft_str("zone"),
                     craft_str("a"));
    gray_input_named(&in, GRAY_SOURCE_LABEL, craft_str("lane"),
                     craft_str("red"));
    gray_input_named(&in, GRAY_SOURCE_CALLER, craft_str(""),
                     craft_str("web"));
    gray_input_named(&in, GRAY_SOURCE_HEADER, craft_str("region"),
                     craft_str("no"));
    gray_input_named(&in, GRAY_SOURCE_UNIT, craft_str(""), craft_str("a17"));
    gray_input_method(&in, craft_str("GET"));
    gray_input_address(&in, bytes);
    expect(region, "hz");
    expect(zone, "a");
    expect(caller, "web");
    expect(method, "GET");
    expect(address, "10.0.0.1");
    assert_int_equal(in.value_count, 5);
    assert_int_equal(in.own_lane.length, 3);
    assert_int_equal(in.anonymous.length, 3);
}

static void what_nobody_asks_for_is_left(void **state)
{
    (void)state;
    begin();
    policy_slot(&p, GRAY_SOURCE_TIME, "");
    open_policy();
    gray_input_method(&in, craft_str("GET"));
    gray_input_host(&in, craft_str("HOST"));
    gray_input_target(&in, craft_str("/a?b=c"));
    header("cookie", "uid=1");
    header("content-type", "application/grpc");
    gray_input_named(&in, GRAY_SOURCE_ATTR, craft_str("x"), craft_str("y"));
    assert_int_equal(in.value_count, 0);
    assert_int_equal(in.scratch_used, 0);
}

static void the_filter_knows_its_headers(void **state)
{
    (void)state;
    begin();
    policy_slot(&p, GRAY_SOURCE_HEADER, "x-user");
    policy_slot(&p, GRAY_SOURCE_COOKIE, "uid");
    open_policy();
    assert_true(gray_input_wants(&snapshot, gray_hash_name("X-USER", 6)));
    assert_true(gray_input_wants(&snapshot, gray_hash_name("cookie", 6)));
    assert_false(gray_input_wants(&snapshot, gray_hash_name("accept", 6)));
}

/* GRAY_VALUE_MAX and one more, undecoded, decoded and lowered. */
static void values_at_the_limit(void **state)
{
    static char text[3 * GRAY_VALUE_MAX + 16];
    uint32_t user, a, host;
    (void)state;
    begin();
    user = policy_slot(&p, GRAY_SOURCE_HEADER, "x-user");
    a = policy_slot(&p, GRAY_SOURCE_QUERY, "a");
    host = policy_slot(&p, GRAY_SOURCE_HOST, "");
    open_policy();
    for (uint32_t over = 0; over < 2; over++) {
        uint32_t length = GRAY_VALUE_MAX + over;
        gray_input_begin(&in, &snapshot, 0, 0);
        memset(text, 'U', length);
        gray_input_header(&in, gray_hash_name("x-user", 6),
                          craft_str("x-user"),
                          (struct gray_str){ text, length });
        gray_input_host(&in, (struct gray_str){ text, length });
        memcpy(text, "/?a=", 4);
        for (uint32_t i = 0; i < length; i++) {
            memcpy(text + 4 + (i == 0 ? 0 : i + 2), i == 0 ? "%41" : "A", 
                   i == 0 ? 3 : 1);
        }
        gray_input_target(&in, (struct gray_str){ text, length + 6 });
        assert_int_equal(in.value_count, 3);
        assert_int_equal(in.too_long, 3 * over);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(in.values[i].length > GRAY_VALUE_MAX, over);
        }
        assert_int_equal(count_of(user) + count_of(a) + count_of(host), 3);
        assert_false(in.overflow);
    }
}

/* The scratch holds two values of full length; a third is too long. */
static void decoding_never_leaves_the_scratch(void **state)
{
    static char text[4 * 1100];
    uint32_t at = 2;
    (void)state;
    begin();
    policy_slot(&p, GRAY_SOURCE_QUERY, "a");
    policy_slot(&p, GRAY_SOURCE_QUERY, "b");
    policy_slot(&p, GRAY_SOURCE_QUERY, "c");
    open_policy();
    memcpy(text, "/?", 2);
    for (char name = 'a'; name <= 'c'; name++) {
        text[at++] = name;
        text[at++] = '=';
        memcpy(text + at, "%41", 3);
        memset(text + at + 3, 'x', GRAY_VALUE_MAX - 1);
        at += GRAY_VALUE_MAX + 2;
        text[at++] = '&';
    }
    gray_input_target(&in, (struct gray_str){ text, at });
    assert_int_equal(in.value_count, 3);
    assert_int_equal(in.values[0].length, GRAY_VALUE_MAX);
    assert_int_equal(in.values[1].length, GRAY_VALUE_MAX);
    assert_true(in.values[2].length > GRAY_VALUE_MAX);
    assert_int_equal(in.scratch_used, 2 * GRAY_VALUE_MAX);
}

static void too_many_values_are_said(void **state)
{
    (void)state;
    begin();
    policy_slot(&p, GRAY_SOURCE_HEADER, "x-user");
    open_policy();
    for (uint32_t i = 0; i < GRAY_VALUES_MAX; i++) {
        header("x-user", "u");
    }
    assert_false(in.overflow);
    header("x-user", "u");
    assert_true(in.overflow);
    assert_int_equal(in.value_count, GRAY_VALUES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_without_case_and_repeated),
        cmocka_unit_test(the_first_cookie_counts),
        cmocka_unit_test(the_cookie_header_as_a_whole),
        cmocka_unit_test(cookies_of_few_and_of_many_names),
        cmocka_unit_test(odd_cookies_are_no_harm),
        cmocka_unit_test(query_is_decoded_and_the_first_counts),
        cmocka_unit_test(path_and_segments),
        cmocka_unit_test(host_in_its_one_form),
        cmocka_unit_test(grpc_names_in_either_order),
        cmocka_unit_test(names_of_the_operator),
        cmocka_unit_test(what_nobody_asks_for_is_left),
        cmocka_unit_test(the_filter_knows_its_headers),
        cmocka_unit_test(values_at_the_limit),
        cmocka_unit_test(decoding_never_leaves_the_scratch),
        cmocka_unit_test(too_many_values_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
