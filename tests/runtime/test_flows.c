/* SPDX-License-Identifier: Apache-2.0
 * test_flows.c - requests of an arm are counted where they come in and where
 * they go on to, across policies and workers, and places run out unharmed.
 *
 * Read next: runtime/flows.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

#define SHOP                                                               \
    "kind: Service\nname: cart\nbaseline: {version: v1}\n"                 \
    "versions: {v1: {endpoints: ['127.0.0.1:1']},\n"                       \
    "  v2: {endpoints: ['127.0.0.1:2']}}\n"                                \
    "---\nkind: Service\nname: stock\nbaseline: {version: v1}\n"           \
    "versions: {v1: {endpoints: ['127.0.0.1:3']}}\n"
#define CART_2                                                             \
    "---\nkind: Release\nname: cart-2\nunit: {cookie: uid}\n"              \
    "variants:\n"                                                          \
    "  - {name: a, weight: 50, services: [{service: cart, version: v2}]}\n" \
    "  - {name: b, weight: 50, services: [{service: cart, version: v1}]}\n"
#define PAY_7                                                              \
    "---\nkind: Release\nname: pay-7\nunit: {cookie: uid}\npriority: 3\n"  \
    "services: [{service: stock, version: v1}]\n"

struct world {
    char path[64];
    struct gray_runtime *a, *b;
};

static void reader(const struct world *world, struct gray_runtime **ret)
{
    assert_int_equal(gray_runtime_open(ret, world->path, GRAY_READER_NGINX,
                                       true, NULL),
                     0);
}

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    assert_int_equal(documents_publish(world->path, SHOP CART_2 PAY_7, 1,
                                       NULL),
                     0);
    reader(world, &world->a);
    reader(world, &world->b);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_runtime_close(world->a);
    gray_runtime_close(world->b);
    folder_remove(world->path);
    free(world);
    return 0;
}

static void take(struct gray_runtime *runtime)
{
    struct gray_runtime_set *set;

    assert_int_equal(gray_runtime_load(runtime, &set, NULL), 0);
    gray_runtime_swap(runtime, set);
}

static void send(struct gray_runtime *runtime, const char *service,
                 const char *release, uint8_t variant, unsigned times)
{
    const struct gray_snapshot *policy =
        gray_runtime_view(runtime, NULL)->policy;
    struct gray_verdict verdict = {
        .release = gray_find_release(
            policy, (struct gray_str){release, (uint32_t)strlen(release)}),
        .variant = variant,
    };
    uint32_t number =
        *service == '\0'
            ? GRAY_NONE
            : gray_find_service(
                  policy,
                  (struct gray_str){service, (uint32_t)strlen(service)});

    while (times-- > 0) {
        struct gray_flow *flow = gray_counters_flow(runtime, number, &verdict);

        if (flow != NULL) {
            flow->requests++;
        }
    }
}

/* Of these names in all files together; 0: none. */
static uint64_t sum(const struct world *world, const char *service,
                    const char *arm)
{
    struct gray_totals totals;
    uint64_t requests = 0;

    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.bad_readers, 0);
    for (size_t i = 0; i < totals.flow_count; i++) {
        if (strcmp(totals.flows[i].service, service) == 0 &&
            strcmp(totals.flows[i].arm, arm) == 0) {
            assert_int_equal(requests, 0); /* one row for a pair of names */
            requests = totals.flows[i].requests;
        }
    }
    gray_totals_free(&totals);
    return requests;
}

static void an_arm_is_counted_where_it_came_in_and_where_it_goes(void **state)
{
    struct world *world = *state;

    send(world->a, "", "cart-2", 0, 5);
    send(world->a, "", "cart-2", 1, 4);
    send(world->a, "stock", "cart-2", 0, 10);
    send(world->b, "stock", "cart-2", 0, 7);
    send(world->b, "stock", "pay-7", 0, 1);
    assert_int_equal(sum(world, "", "cart-2:a"), 5);
    assert_int_equal(sum(world, "", "cart-2:b"), 4);
    assert_int_equal(sum(world, "stock", "cart-2:a"), 17);
    assert_int_equal(sum(world, "stock", "pay-7"), 1);
    assert_int_equal(sum(world, "cart", "cart-2:a"), 0);
}

static void a_count_outlives_its_policy_and_its_worker(void **state)
{
    struct world *world = *state;

    send(world->a, "stock", "cart-2", 0, 3);
    /* other numbers, the same names */
    assert_int_equal(
        documents_publish(world->path,
                          "kind: Service\nname: aaa\nbaseline: {version: v1}\n"
                          "versions: {v1: {endpoints: ['127.0.0.1:9']}}\n"
                          "---\n" SHOP PAY_7 CART_2,
                          2, NULL),
        0);
    take(world->a);
    send(world->a, "stock", "cart-2", 0, 2);
    gray_runtime_close(world->a);
    assert_int_equal(sum(world, "stock", "cart-2:a"), 5);
    reader(world, &world->a);
    send(world->a, "stock", "cart-2", 0, 1);
    assert_int_equal(sum(world, "stock", "cart-2:a"), 6);
    /* its release is gone: the place is another's */
    assert_int_equal(documents_publish(world->path, SHOP PAY_7, 3, NULL), 0);
    take(world->a);
    assert_int_equal(sum(world, "stock", "cart-2:a"), 0);
}

static void decisions_at_an_entrance_are_told_apart(void **state)
{
    struct world *world = *state;
    struct gray_totals totals;

    gray_counters_reason(world->a, GRAY_REASON_SHARE, true);
    gray_counters_decisions(world->a)[GRAY_DECISIONS_ENTRANCE +
                                      GRAY_REASON_NONE]++;
    gray_counters_reason(world->b, GRAY_REASON_NONE, false);
    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.entered, 2);
    assert_int_equal(totals.reasons[GRAY_REASON_NONE], 2);
    assert_int_equal(totals.reasons[GRAY_REASON_SHARE], 1);
    gray_totals_free(&totals);
}

/* As many as there is room for, and one more. */
static void places_run_out_and_nobody_is_harmed(void **state)
{
    struct world *world = *state;
    char *text = malloc(200u * (GRAY_FLOWS_MAX + 2)), *at = text;

    for (unsigned i = 0; i <= GRAY_FLOWS_MAX; i++) {
        at += sprintf(at,
                      "---\nkind: Service\nname: s%u\nbaseline: {version: v1}\n"
                      "versions: {v1: {endpoints: ['127.0.0.1:9']}}\n", i);
    }
    sprintf(at, "---\nkind: Release\nname: wide\nunit: {cookie: uid}\n"
                "services: [{service: s0, version: v1}]\n");
    assert_int_equal(documents_publish(world->path, text, 2, NULL), 0);
    free(text);
    take(world->a);
    for (unsigned i = 0; i <= GRAY_FLOWS_MAX; i++) {
        char name[16];

        snprintf(name, sizeof(name), "s%u", i);
        send(world->a, name, "wide", 0, 2);
        assert_int_equal(sum(world, name, "wide"),
                         i < GRAY_FLOWS_MAX ? 2 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(an_arm_is_counted_where_it_came_in_and_where_it_goes),
        WITH_WORLD(a_count_outlives_its_policy_and_its_worker),
        WITH_WORLD(decisions_at_an_entrance_are_told_apart),
        WITH_WORLD(places_run_out_and_nobody_is_harmed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
