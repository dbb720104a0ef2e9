/* SPDX-License-Identifier: Apache-2.0
 * test_client_colour.c - a lane goes through a program as through the gateway.
 *
 * Read next: runtime/client_colour.c; tests/story for the real chain.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/gray.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct gray_client_colour
incoming(const struct gray_client_pair *headers, size_t count)
{
    struct gray_client_colour colour = {.size = sizeof(colour)};

    assert_int_equal(gray_client_incoming(headers, count, &colour), 0);
    return colour;
}

static const char *value_of(const struct gray_client_headers *out,
                            const char *name)
{
    const char *found = NULL;
    size_t i;

    for (i = 0; i < out->count; i++) {
        if (strcmp(out->headers[i].name, name) == 0) {
            assert_null(found); /* once */
            found = out->headers[i].value;
        }
    }
    return found;
}

static void what_came_in_goes_on(void **state)
{
    const struct gray_client_pair headers[] = {
        {"Host", "cart"},
        {"X-Gray-Lane", "red"},
        {"Baggage", "k=v,gray.lane=red,gray.arms=cart-2%2Cpay-7%3Ab,"
                    "gray.class=shadow"}};
    struct gray_client_colour colour = incoming(headers, COUNT(headers));
    struct gray_client_headers out = {.size = sizeof(out)};

    (void)state;
    assert_string_equal(colour.lane, "red");
    assert_string_equal(colour.arms, "cart-2,pay-7:b");
    assert_string_equal(colour.traffic_class, "shadow");
    assert_int_equal(gray_client_outgoing(headers[2].value, colour.lane,
                                          colour.arms, colour.traffic_class,
                                          "x-mse-tag,dubbo-tag,x-mse-tag",
                                          &out),
                     0);
    assert_int_equal(out.count, 4);
    assert_string_equal(value_of(&out, "x-gray-lane"), "red");
    assert_string_equal(value_of(&out, "x-mse-tag"), "red");
    assert_string_equal(value_of(&out, "dubbo-tag"), "red");
    assert_string_equal(value_of(&out, "baggage"),
                        "k=v,gray.lane=red,gray.arms=cart-2%2Cpay-7%3Ab,"
                        "gray.class=shadow");
}

static void without_a_colour_nothing_is_added(void **state)
{
    struct gray_client_headers out = {.size = sizeof(out)};
    struct gray_client_colour colour = incoming(NULL, 0);

    (void)state;
    assert_string_equal(colour.lane, "");
    assert_string_equal(colour.arms, "");
    assert_string_equal(colour.traffic_class, "live");
    assert_int_equal(
        gray_client_outgoing(NULL, NULL, NULL, NULL, "dubbo-tag", &out), 0);
    assert_int_equal(out.count, 0);
    assert_int_equal(
        gray_client_outgoing("k=v;p=1", "", "", "live", NULL, &out), 0);
    assert_int_equal(out.count, 1);
    assert_string_equal(value_of(&out, "baggage"), "k=v;p=1");
}

static void another_house_says_the_lane_when_nobody_else_does(void **state)
{
    const struct gray_client_pair theirs[] = {{"x_higress_tag", "blue"}};
    const struct gray_client_pair both[] = {{"dubbo.tag", "blue"},
                                            {"x-gray-lane", "red"}};
    const struct gray_client_pair ours[] = {{"x-gray-service", "blue"}};
    const struct gray_client_pair capital[] = {{"x-mse-tag", "Gray"}};

    (void)state;
    assert_string_equal(incoming(theirs, 1).lane, "blue");
    assert_string_equal(incoming(both, 2).lane, "red");
    assert_string_equal(incoming(ours, 1).lane, "");
    /* A name that no lane can have: the next hop would refuse the request. */
    assert_string_equal(incoming(capital, 1).lane, "");
}

static void two_answers_to_one_question_are_none(void **state)
{
    static const struct gray_client_pair bad[][2] = {
        {{"x-gray-lane", "red"}, {"X_Gray_Lane", "red"}},
        {{"x-gray-lane", "red"}, {"baggage", "gray.lane=blue"}},
        {{"baggage", "gray.lane=red"}, {"baggage", "gray.arms=cart-2"}},
        {{"dubbo-tag", "red"}, {"Dubbo-Tag", "red"}},
        {{"baggage", "gray.lane=red,gray.lane=red"}, {"a", "b"}},
        {{"baggage", "gray.lane"}, {"a", "b"}}};
    struct gray_client_colour colour = {.size = sizeof(colour), .lane = "as"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        assert_int_equal(gray_client_incoming(bad[i], 2, &colour), -EBADMSG);
        assert_string_equal(colour.lane, "as"); /* untouched */
    }
    colour.size--;
    assert_int_equal(gray_client_incoming(NULL, 0, &colour), -EINVAL);
}

static void a_lane_that_would_be_a_second_header_is_refused(void **state)
{
    static const char *const bad[] = {"red\r\nx-admin: 1", " red", "red ",
                                      "r\x80", "\t", "Red", "a b"};
    char longest[66];
    struct gray_client_headers out = {.size = sizeof(out)};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        assert_int_equal(
            gray_client_outgoing(NULL, bad[i], NULL, NULL, NULL, &out),
            -EINVAL);
    }
    memset(longest, 'a', 64);
    longest[64] = '\0';
    assert_int_equal(
        gray_client_outgoing(NULL, longest, NULL, NULL, NULL, &out), -EINVAL);
    longest[63] = '\0';
    assert_int_equal(
        gray_client_outgoing(NULL, longest, NULL, NULL, NULL, &out), 0);
    assert_string_equal(value_of(&out, "x-gray-lane"), longest);
    assert_int_equal(
        gray_client_outgoing(NULL, "red", NULL, "lively", NULL, &out), -EINVAL);
    assert_int_equal(
        gray_client_outgoing(NULL, "red", NULL, NULL, "x-their-tag", &out),
        -EINVAL);
}

static void all_aliases_and_the_longest_baggage_fit(void **state)
{
    static char baggage[9000], arms[GRAY_CLIENT_ARMS_MAX];
    struct gray_client_headers out = {.size = sizeof(out)};
    size_t length = 0;

    (void)state;
    while (length < 8900) {
        length += (size_t)sprintf(baggage + length, "k%zu=%0150d,", length, 1);
    }
    memset(arms, 'a', 60);
    assert_int_equal(
        gray_client_outgoing(baggage, "red", arms, "load",
                             "x-mse-tag,x-higress-tag,dubbo-tag,dubbo.tag,"
                             "service-lane,x-opensergo-traffic,n-d-version,"
                             "x-lane-code,x-sc-lb-hint",
                             &out),
        0);
    assert_int_equal(out.count, 11);
    assert_true(out.count <= GRAY_CLIENT_HEADERS_MAX);
    assert_true(strlen(value_of(&out, "baggage")) <= 8192);
    assert_non_null(strstr(value_of(&out, "baggage"), "gray.class=load"));
    assert_non_null(strstr(value_of(&out, "baggage"), arms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_in_goes_on),
        cmocka_unit_test(without_a_colour_nothing_is_added),
        cmocka_unit_test(another_house_says_the_lane_when_nobody_else_does),
        cmocka_unit_test(two_answers_to_one_question_are_none),
        cmocka_unit_test(a_lane_that_would_be_a_second_header_is_refused),
        cmocka_unit_test(all_aliases_and_the_longest_baggage_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
