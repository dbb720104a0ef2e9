/* SPDX-License-Identifier: Apache-2.0
 * test_counters.c - a series keeps its counters across policies and workers,
 * and places run out without harm.
 *
 * Read next: runtime/counters.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

struct world {
    char path[64];
    struct gray_runtime *runtime;
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    shop_publish(world->path, "0", 1);
    assert_int_equal(gray_runtime_open(&world->runtime, world->path,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_runtime_close(world->runtime);
    folder_remove(world->path);
    free(world);
    return 0;
}

static void take(struct world *world)
{
    struct gray_runtime_set *set;

    assert_int_equal(gray_runtime_load(world->runtime, &set, NULL), 0);
    gray_runtime_swap(world->runtime, set);
}

/* Number of the route of this version of cart. */
static uint32_t route_of(const struct world *world, const char *version)
{
    const struct gray_view *view = gray_runtime_view(world->runtime, NULL);
    uint32_t i;

    for (i = 0; i < view->policy->policy->routes.count; i++) {
        struct gray_str text = gray_text(
            view->policy, gray_route_at(view->policy, i)->version);

        if (text.length == strlen(version) &&
            memcmp(text.data, version, text.length) == 0) {
            return i;
        }
    }
    fail_msg("no route %s", version);
    return 0;
}

static void a_series_is_known_by_its_identity(void **state)
{
    struct world *world = *state;
    struct gray_series *v1, *v2, *load;

    v1 = gray_counters_series(world->runtime, route_of(world, "v1"),
                              GRAY_CLASS_LIVE);
    v2 = gray_counters_series(world->runtime, route_of(world, "v2"),
                              GRAY_CLASS_LIVE);
    load = gray_counters_series(world->runtime, route_of(world, "v2"),
                                GRAY_CLASS_LOAD);
    assert_string_equal(v1->version, "v1");
    assert_string_equal(v1->arm, "");
    assert_string_equal(v2->service, "cart");
    assert_string_equal(v2->version, "v2");
    assert_string_equal(v2->arm, "cart-2");
    assert_int_equal(load->traffic_class, GRAY_CLASS_LOAD);
    assert_int_equal(load->series, v2->series);
    assert_ptr_not_equal(load, v2);
    v2->started = 17;
    load->started = 3;
    /* Other routes before it, a new share: the same place all the same. */
    assert_int_equal(
        documents_publish(
            world->path,
            "kind: Service\nname: aaa\nbaseline: {version: v1}\n"
            "versions: {v1: {endpoints: ['127.0.0.1:1']}}\n"
            "---\nkind: Service\nname: cart\nbaseline: {version: v1}\n"
            "versions: {v1: {endpoints: ['127.0.0.1:2']},\n"
            "  v2: {endpoints: ['127.0.0.1:3']}}\n"
            "---\nkind: Release\nname: cart-2\nunit: {cookie: uid}\n"
            "services: [{service: cart, version: v2}]\n"
            "admission: {share: 50}\n",
            2, NULL),
        0);
    take(world);
    assert_ptr_equal(gray_counters_series(world->runtime, route_of(world, "v2"),
                                          GRAY_CLASS_LIVE),
                     v2);
    assert_ptr_equal(gray_counters_series(world->runtime, route_of(world, "v2"),
                                          GRAY_CLASS_LOAD),
                     load);
    assert_int_equal(v2->started, 17);
    assert_null(gray_counters_series(world->runtime, 1u << 20,
                                     GRAY_CLASS_LIVE));
    assert_null(gray_counters_series(world->runtime, 0, GRAY_CLASS_COUNT));
}

static void publish_services(const struct world *world, const char *stem,
                             uint32_t services, uint64_t revision)
{
    char *text = malloc(services * 160u + 1), *at = text;
    uint32_t i;

    for (i = 0; i < services; i++) {
        at += sprintf(at,
                      "---\nkind: Service\nname: %s-%u\n"
                      "baseline: {version: v1}\n"
                      "versions: {v1: {endpoints: ['127.0.0.1:9000']}}\n",
                      stem, i);
    }
    assert_int_equal(documents_publish(world->path, text, revision, NULL), 0);
    free(text);
}

static uint32_t linked(const struct world *world)
{
    const struct gray_view *view = gray_runtime_view(world->runtime, NULL);
    uint32_t i, count = 0;

    for (i = 0; i < view->policy->policy->routes.count; i++) {
        count += gray_counters_series(world->runtime, i, GRAY_CLASS_LIVE) !=
                 NULL;
    }
    return count;
}

/* At the limit, one beyond it, and what is retired makes room. */
static void places_run_out_and_come_back(void **state)
{
    struct world *world = *state;
    struct reader_file *file = world->runtime->slot.file;
    struct gray_series *held;
    uint64_t full;

    publish_services(world, "a", GRAY_SERIES_MAX, 2);
    take(world);
    assert_int_equal(linked(world), GRAY_SERIES_MAX);
    assert_int_equal(file->events[GRAY_EVENT_SERIES_FULL], 0);
    held = gray_counters_series(world->runtime, 9, GRAY_CLASS_LIVE);
    held->in_flight = 1; /* a request that ends after the next swap */
    held->started = 1;
    publish_services(world, "b", GRAY_SERIES_MAX, 3);
    take(world);
    assert_int_equal(linked(world), GRAY_SERIES_MAX - 1);
    full = file->events[GRAY_EVENT_SERIES_FULL];
    assert_int_equal(full, 1);
    assert_int_equal(held->started, 1);
    assert_true(strncmp(held->service, "a-", 2) == 0);
    held->in_flight = 0;
    publish_services(world, "c", 10, 4);
    take(world);
    assert_int_equal(linked(world), 10);
}

/* Who takes over a dead worker's file finds its series again. */
static void the_next_worker_counts_on(void **state)
{
    struct world *world = *state;
    struct gray_series *series = gray_counters_series(
        world->runtime, route_of(world, "v2"), GRAY_CLASS_LIVE);

    series->started = 99;
    series->in_flight = 4;
    gray_runtime_close(world->runtime);
    assert_int_equal(gray_runtime_open(&world->runtime, world->path,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    series = gray_counters_series(world->runtime, route_of(world, "v2"),
                                  GRAY_CLASS_LIVE);
    assert_int_equal(series->started, 99);
    assert_int_equal(series->in_flight, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(a_series_is_known_by_its_identity),
        WITH_WORLD(places_run_out_and_come_back),
        WITH_WORLD(the_next_worker_counts_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
