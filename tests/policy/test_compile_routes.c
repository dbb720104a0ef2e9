/* SPDX-License-Identifier: Apache-2.0
 * test_compile_routes.c - who serves whom, as labels say.
 *
 * Why: a wrong selector sends everyone into somebody's test environment.  The
 * routes are joined with the fleet, and the endpoints of each are looked at.
 * Read next: ../../policy/compile_routes.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"

static struct gray_str address_of(const struct craft_compiled *c,
                                  uint32_t route, uint32_t place)
{
    struct gray_subset subset = c->link.subsets[route];
    struct gray_str none = {"-", 1};

    if (place >= subset.members.count) {
        return none;
    }
    return gray_fleet_text(
        &c->fleet,
        gray_endpoint_at(&c->fleet,
                         c->link.members[subset.members.first + place])->text);
}

#define assert_text(str, wanted) \
    do { \
        struct gray_str text_ = (str); \
        assert_int_equal(text_.length, strlen(wanted)); \
        assert_memory_equal(text_.data, wanted, text_.length); \
    } while (0)

static void nobody_else_is_sent_into_a_lane(void **state)
{
    const uint32_t members[] = {0, GRAY_NONE};
    struct gray_model *model = craft_model();
    struct model_lane lane = craft_lane("red", members);
    struct craft_compiled compiled;
    const struct gray_service *cart, *order;

    (void)state;
    model->lanes = &lane;
    model->lane_count = 1;
    craft_compile(&compiled, model, false);
    cart = gray_service_at(&compiled.policy, 0);
    order = gray_service_at(&compiled.policy, 1);
    assert_int_equal(cart->arms.count, 1);
    assert_int_equal(cart->lanes.count, 1);
    assert_int_equal(order->lanes.count, 0);
    assert_text(address_of(&compiled, cart->baseline, 0), "127.0.0.1:9100");
    assert_text(address_of(&compiled, cart->baseline, 1), "-");
    assert_text(address_of(&compiled, cart->arms.first, 0), "127.0.0.1:9101");
    assert_text(address_of(&compiled, cart->lanes.first, 0), "127.0.0.1:9102");
    assert_text(address_of(&compiled, order->baseline, 1), "-");
    craft_compiled_free(&compiled);

    /* A lane that is off has no route, and its endpoints serve nobody. */
    lane.enabled = false;
    craft_compile(&compiled, model, false);
    cart = gray_service_at(&compiled.policy, 0);
    assert_int_equal(cart->lanes.count, 0);
    assert_text(address_of(&compiled, cart->baseline, 1), "-");
    craft_compiled_free(&compiled);
    craft_free();
}

/* red -> [blue, green], blue -> [], green -> []: red needs blue followed by
 * green, which is not how blue goes on by itself. */
static void a_fallback_chain_is_each_lanes_own(void **state)
{
    const uint32_t members[] = {0, 1, GRAY_NONE}, few[] = {0, GRAY_NONE};
    struct gray_model *model = craft_model();
    uint32_t chain[] = {0, 1};
    struct model_lane lanes[3];
    struct craft_compiled compiled;
    const struct gray_service *service;
    const struct gray_route *route;
    uint32_t first;

    (void)state;
    lanes[0] = craft_lane("blue", members);
    lanes[1] = craft_lane("green", few);
    lanes[2] = craft_lane("red", members);
    lanes[2].fallback = chain;
    lanes[2].fallback_count = 2;
    model->lanes = lanes;
    model->lane_count = 3;
    craft_compile(&compiled, model, false);
    service = gray_service_at(&compiled.policy, 0);
    first = service->lanes.first;
    assert_int_equal(service->lanes.count, 3);
    assert_int_equal(gray_route_at(&compiled.policy, first)->fallback,
                     GRAY_NONE);
    route = gray_route_at(&compiled.policy, first + 2);
    assert_int_equal(route->lane, 2);
    route = gray_route_at(&compiled.policy, route->fallback);
    assert_int_equal(route->lane, 0);
    assert_int_equal(route->fallback, first + 1);
    assert_int_equal(route->series,
                     gray_route_at(&compiled.policy, first)->series);
    /* order is not in green, so there blue's own route will do. */
    service = gray_service_at(&compiled.policy, 1);
    first = service->lanes.first;
    assert_int_equal(service->lanes.count, 2);
    assert_int_equal(gray_route_at(&compiled.policy, first + 1)->fallback,
                     first);
    craft_compiled_free(&compiled);
    craft_free();
}

static void releases_govern_by_priority(void **state)
{
    struct gray_model *model = craft_model();
    struct model_release *releases = craft(2 * sizeof(*releases));
    struct craft_compiled compiled;
    const struct gray_service *cart;
    const struct gray_route *route;
    struct gray_str name = {"cart-3", 6};
    uint32_t number;

    (void)state;
    releases[0] = releases[1] = model->releases[0];
    releases[0].name = releases[0].salt = "cart-3";
    releases[0].priority = 5;
    releases[1].priority = -5;
    model->releases = releases;
    model->release_count = 2;
    craft_compile(&compiled, model, false);
    cart = gray_service_at(&compiled.policy, 0);
    assert_int_equal(cart->arms.count, 2);
    route = gray_route_at(&compiled.policy, cart->arms.first);
    assert_int_equal(route->release, 0);
    number = gray_find_release(&compiled.policy, name);
    assert_int_equal(number, 0);
    assert_true(gray_release_at(&compiled.policy, 0)->priority >
                gray_release_at(&compiled.policy, 1)->priority);
    assert_true(route->series == gray_hash_scope("cart|v2||cart-3", 15));
    assert_int_equal(gray_release_at(&compiled.policy, 1)->routes.count, 1);
    craft_compiled_free(&compiled);
    craft_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_else_is_sent_into_a_lane),
        cmocka_unit_test(a_fallback_chain_is_each_lanes_own),
        cmocka_unit_test(releases_govern_by_priority),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
