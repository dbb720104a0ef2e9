/* SPDX-License-Identifier: Apache-2.0
 * test_link.c - engine/link.c: which endpoints belong to which route.
 *
 * Why: the join is what keeps a lane's endpoints out of the baseline.
 * Read next: craft.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/engine/craft.h"

static struct craft policy_file, fleet_file;

#define NONE GRAY_NONE, GRAY_NONE, GRAY_NONE, GRAY_NONE

static const struct craft_route routes[] = {
    {"cart", GRAY_ROUTE_BASELINE, 0, NONE, {"version", "v1", "lane", ""}},
    {"cart",
     GRAY_ROUTE_ARM,
     0,
     0,
     0,
     GRAY_NONE,
     GRAY_NONE,
     {"version", "v2", "lane", ""}},
    {"cart",
     GRAY_ROUTE_LANE,
     0,
     GRAY_NONE,
     GRAY_NONE,
     0,
     GRAY_NONE,
     {"lane", "red"}},
    {"cart", GRAY_ROUTE_LANE, 0, GRAY_NONE, GRAY_NONE, 1, GRAY_NONE, {NULL}},
    {"gone", GRAY_ROUTE_BASELINE, 0, NONE, {"version", "v1"}},
    {"order", GRAY_ROUTE_BASELINE, 0, NONE, {"version", "v1"}},
};
static const struct craft_release releases[] = {{"r", 0, 0, {""}}};

static const struct craft_endpoint endpoints[] = {
    /* 0 */ {"cart", "a:0", 1, GRAY_ENDPOINT_STARTING, {"version", "v1"}},
    /* 1 */ {"cart", "a:1", 1, GRAY_ENDPOINT_READY, {"version", "v1"}},
    /* 2 */ {"cart", "a:2", 0, GRAY_ENDPOINT_READY, {"version", "v1"}},
    /* 3 */ {"cart", "a:3", 1, GRAY_ENDPOINT_WARMING, {"version", "v1"}},
    /* 4 */
    {"cart", "a:4", 1, GRAY_ENDPOINT_READY, {"version", "v2", "lane", "red"}},
    /* 5 */ {"cart", "a:5", 1, GRAY_ENDPOINT_DRAINING, {"version", "v2"}},
    /* 6 */ {"cart", "a:6", 1, GRAY_ENDPOINT_EJECTED, {"version", "v2"}},
    /* 7 */
    {"cart", "a:7", 1, GRAY_ENDPOINT_READY, {"version", "v1", "lane", ""}},
    /* 8 */ {"more", "a:8", 1, GRAY_ENDPOINT_READY, {"version", "v1"}},
    /* 9 */ {"order", "a:9", 1, GRAY_ENDPOINT_READY, {"version", "v1"}},
};

/* What each route must find, those that are ready first. */
static const struct {
    uint32_t ready, count, members[10];
} expected[] = {
    {2, 4, {1, 3, 0, 2}}, /* 7 has the label, though an empty one */
    {0, 2, {5, 6}},       /* 4 stands in a lane */
    {1, 1, {4}},          {4, 8, {1, 3, 4, 7, 0, 2, 5, 6}},
    {0, 0, {0}},          {1, 1, {9}},
};

static void joins(void **state)
{
    struct gray_snapshot policy;
    struct gray_fleet fleet;
    struct gray_link link = {NULL, 0, NULL, 0};
    size_t size;
    void *memory;
    uint32_t i, j;

    (void)state;
    craft_policy(&policy_file, releases, 1, routes, 6, &policy);
    craft_fleet(&fleet_file, endpoints, 10);
    assert_int_equal(
        gray_fleet_open(&fleet, fleet_file.bytes, fleet_file.length, NULL), 0);
    size = gray_link_size(&policy, &fleet);
    memory = malloc(size);
    assert_non_null(memory);
    assert_int_equal(gray_link_build(&link, &policy, &fleet, memory, size - 1),
                     -1);
    assert_null(link.subsets);
    assert_int_equal(gray_link_build(&link, &policy, &fleet, memory, size), 0);
    assert_int_equal(link.subset_count, 6);
    assert_int_equal(link.member_count, 16);
    for (i = 0; i < 6; i++) {
        assert_int_equal(link.subsets[i].ready, expected[i].ready);
        assert_int_equal(link.subsets[i].members.count, expected[i].count);
        for (j = 0; j < expected[i].count; j++) {
            assert_int_equal(link.members[link.subsets[i].members.first + j],
                             expected[i].members[j]);
        }
    }
    free(memory);
}

static void joins_with_nothing(void **state)
{
    struct gray_snapshot policy;
    struct gray_fleet fleet;
    struct gray_link link;
    uint64_t memory[64];

    (void)state;
    craft_policy(&policy_file, releases, 1, routes, 6, &policy);
    craft_fleet(&fleet_file, NULL, 0);
    assert_int_equal(
        gray_fleet_open(&fleet, fleet_file.bytes, fleet_file.length, NULL), 0);
    assert_true(gray_link_size(&policy, &fleet) <= sizeof(memory));
    assert_int_equal(
        gray_link_build(&link, &policy, &fleet, memory, sizeof(memory)), 0);
    assert_int_equal(link.member_count, 0);
    assert_int_equal(link.subset_count, 6);
    craft_policy(&policy_file, NULL, 0, NULL, 0, &policy);
    assert_int_equal(gray_link_size(&policy, &fleet), 0);
    assert_int_equal(
        gray_link_build(&link, &policy, &fleet, memory, sizeof(memory)), 0);
    assert_int_equal(link.subset_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),
        cmocka_unit_test(joins_with_nothing),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
