/* SPDX-License-Identifier: Apache-2.0
 * test_pick.c - gray_pick() of engine/choose.c: one endpoint of a subset.
 *
 * Why: load must spread, a retry must go elsewhere, and nothing that is not
 * ready may ever be named.
 * Read next: craft.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "tests/engine/craft.h"

#define MOST 100u

struct scene {
    struct craft policy_file, fleet_file;
    struct gray_snapshot policy;
    struct gray_fleet fleet;
    struct gray_link link;
    struct gray_view view;
    uint64_t memory[256];
};
static struct scene s;

/* `count` endpoints of these weights and states; NULL: 1, ready. */
static void set_up(uint32_t count, const uint32_t *weights,
                   const uint8_t *states)
{
    static const struct craft_route route = {
        "cart",    GRAY_ROUTE_BASELINE, 0,         GRAY_NONE,
        GRAY_NONE, GRAY_NONE,           GRAY_NONE, {NULL}};
    static struct craft_endpoint endpoints[MOST];
    uint32_t i;

    for (i = 0; i < count; i++) {
        endpoints[i] = (struct craft_endpoint){
            "cart",
            "127.0.0.1:1",
            weights == NULL ? 1 : weights[i],
            states == NULL ? GRAY_ENDPOINT_READY : states[i],
            {NULL}};
    }
    craft_policy(&s.policy_file, NULL, 0, &route, 1, &s.policy);
    craft_fleet(&s.fleet_file, endpoints, count);
    assert_int_equal(gray_fleet_open(&s.fleet, s.fleet_file.bytes,
                                     s.fleet_file.length, NULL),
                     0);
    assert_int_equal(gray_link_build(&s.link, &s.policy, &s.fleet, s.memory,
                                     sizeof(s.memory)),
                     0);
    s.view = (struct gray_view){
        .policy = &s.policy, .fleet = &s.fleet, .link = &s.link};
}

static uint64_t draw(uint64_t i)
{
    return gray_mix64(i * UINT64_C(0x9e3779b97f4a7c15) + 1);
}

static void spreads_evenly(void **state)
{
    uint32_t hits[7] = {0}, i;

    (void)state;
    set_up(7, NULL, NULL);
    for (i = 0; i < 70000; i++) {
        hits[gray_pick(&s.view, 0, NULL, 0, draw(i))]++;
    }
    for (i = 0; i < 7; i++) {
        /* 10,000 with a deviation of 93: five of them. */
        assert_in_range(hits[i], 9535, 10465);
    }
}

/* Weights 1 and 3 with nothing in flight: neither starves. */
static void follows_weights_when_idle(void **state)
{
    static const uint32_t weights[] = {1, 3};
    uint32_t hits[2] = {0}, i;

    (void)state;
    set_up(2, weights, NULL);
    for (i = 0; i < 40000; i++) {
        hits[gray_pick(&s.view, 0, NULL, 0, draw(i))]++;
    }
    /* 10,000 with a deviation of 87. */
    assert_in_range(hits[0], 9566, 10434);
}

/* Requests that stay a while: in flight settles in proportion to weight. */
static void follows_weights_under_load(void **state)
{
    static const uint32_t weights[] = {1, 2, 4, 1};
    uint32_t load[4] = {0}, i;

    (void)state;
    set_up(4, weights, NULL);
    for (i = 0; i < 800; i++) {
        load[gray_pick(&s.view, 0, load, 0, draw(i))]++;
    }
    for (i = 0; i < 4; i++) {
        assert_in_range(load[i], weights[i] * 100 * 9 / 10,
                        weights[i] * 100 * 11 / 10);
    }
}

/* Of two the less loaded, whatever the bits are. */
static void takes_the_less_loaded(void **state)
{
    static const uint32_t weights[] = {1000000, 1};
    static const uint32_t load[] = {UINT32_MAX, 0};
    static const uint32_t even[] = {2, 1};
    uint32_t i;

    (void)state;
    set_up(2, NULL, NULL);
    for (i = 0; i < 1000; i++) {
        assert_int_equal(gray_pick(&s.view, 0, even, 0, draw(i)), 1);
    }
    set_up(2, weights, NULL);
    for (i = 0; i < 1000; i++) {
        /* (2^32) / 10^6 > 1 / 1 */
        assert_int_equal(gray_pick(&s.view, 0, load, 0, draw(i)), 1);
        assert_int_equal(gray_pick(&s.view, 0, even, 0, draw(i)), 0);
    }
}

static void never_takes_what_is_not_ready(void **state)
{
    static const uint8_t states[] = {
        GRAY_ENDPOINT_STARTING, GRAY_ENDPOINT_READY,   GRAY_ENDPOINT_DRAINING,
        GRAY_ENDPOINT_WARMING,  GRAY_ENDPOINT_EJECTED, GRAY_ENDPOINT_READY};
    static const uint32_t weights[] = {1, 1, 1, 1, 1, 0};
    uint32_t hits[6] = {0}, i;

    (void)state;
    set_up(6, weights, states);
    for (i = 0; i < 1000; i++) {
        hits[gray_pick(&s.view, 0, NULL, 0, draw(i))]++;
    }
    assert_true(hits[1] > 0 && hits[3] > 0);
    assert_int_equal(hits[1] + hits[3], 1000);
}

/* Every retry names another one until none is left: at 1, at the bitmap's
 * width and around it. */
static void retries_elsewhere(void **state)
{
    static const uint32_t counts[] = {1, 2, 3, 63, 64};
    uint32_t c, i, picked;

    (void)state;
    for (c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
        uint64_t tried = 0;

        set_up(counts[c], NULL, NULL);
        for (i = 0; i < counts[c]; i++) {
            picked = gray_pick(&s.view, 0, NULL, tried, draw(i));
            assert_true(picked < counts[c]);
            assert_false((tried >> picked) & 1);
            tried |= UINT64_C(1) << picked;
        }
        assert_int_equal(gray_pick(&s.view, 0, NULL, tried, draw(i)),
                         GRAY_NONE);
    }
    set_up(66, NULL, NULL);
    for (i = 0; i < 1000; i++) {
        picked = gray_pick(&s.view, 0, NULL, UINT64_MAX, draw(i));
        assert_true(picked == 64 || picked == 65);
    }
    set_up(65, NULL, NULL);
    assert_int_equal(gray_pick(&s.view, 0, NULL, UINT64_MAX, 5), 64);
}

static void is_the_same_for_the_same_bits(void **state)
{
    uint32_t i, load[5] = {1, 0, 2, 0, 1};

    (void)state;
    set_up(5, NULL, NULL);
    for (i = 0; i < 1000; i++) {
        assert_int_equal(gray_pick(&s.view, 0, load, i & 7, draw(i)),
                         gray_pick(&s.view, 0, load, i & 7, draw(i)));
    }
    assert_int_equal(gray_pick(&s.view, 1, load, 0, 1), GRAY_NONE);
    assert_int_equal(gray_pick(&s.view, GRAY_NONE, load, 0, 1), GRAY_NONE);
    set_up(0, NULL, NULL);
    assert_int_equal(gray_pick(&s.view, 0, load, 0, 1), GRAY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spreads_evenly),
        cmocka_unit_test(follows_weights_when_idle),
        cmocka_unit_test(follows_weights_under_load),
        cmocka_unit_test(takes_the_less_loaded),
        cmocka_unit_test(never_takes_what_is_not_ready),
        cmocka_unit_test(retries_elsewhere),
        cmocka_unit_test(is_the_same_for_the_same_bits),
    };

    return cmocka_run_group_tests_name("pick", tests, NULL, NULL);
}
