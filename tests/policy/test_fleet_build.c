/* SPDX-License-Identifier: Apache-2.0
 * test_fleet_build.c - the fleet file says what the documents say.
 *
 * Why: an endpoint that is lost or has a wrong label takes traffic from the
 * wrong people.
 * Read next: ../../policy/fleet_build.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/compile.h"
#include "tests/policy/craft_model.h"

static void endpoints_keep_address_weight_and_labels(void **state)
{
    struct gray_model *model = craft_model();
    struct model_endpoint *endpoint = &model->services[0].endpoints[2];
    struct craft_compiled compiled;
    const struct gray_endpoint *out = NULL;
    const struct gray_selector *labels;
    uint32_t i;

    (void)state;
    endpoint->address = "unix:/run/cart.sock";
    endpoint->family = GRAY_FAMILY_UNIX;
    endpoint->weight = 1000000;
    craft_compile(&compiled, model, false);
    assert_int_equal(compiled.fleet.body->endpoints.count, 6);
    for (i = 0; i < 6; i++) {
        const struct gray_endpoint *at = gray_endpoint_at(&compiled.fleet, i);

        assert_int_equal(at->state, GRAY_ENDPOINT_READY);
        if (at->family == GRAY_FAMILY_UNIX) {
            out = at;
        } else {
            assert_int_equal(at->address[0], 127);
            assert_int_equal(at->port / 100 * 100 == 9100 ||
                                 at->port / 100 * 100 == 9200,
                             1);
        }
    }
    assert_non_null(out);
    assert_int_equal(out->weight, 1000000);
    assert_int_equal(out->labels.count, 2);
    labels = (const void *)(compiled.fleet.base +
                            compiled.fleet.body->labels.offset);
    labels += out->labels.first;
    assert_memory_equal(gray_fleet_text(&compiled.fleet, labels[1].key).data,
                        "lane", 4);
    assert_memory_equal(gray_fleet_text(&compiled.fleet, labels[1].value).data,
                        "red", 3);
    craft_compiled_free(&compiled);
    craft_free();
}

/* gray_fleet_open() refuses another order; link.c searches by halves. */
static void many_services_are_in_order(void **state)
{
    struct gray_model *model = craft_model();
    struct model_service *services = craft(300 * sizeof(*services));
    struct craft_compiled compiled;
    uint32_t i;

    (void)state;
    for (i = 0; i < 300; i++) {
        services[i] = model->services[i % 2];
        services[i].name = craft_print("s%03u", i);
    }
    model->services = services;
    model->service_count = 300;
    craft_compile(&compiled, model, false);
    assert_int_equal(compiled.fleet.body->services.count, 300);
    for (i = 0; i < 300; i++) {
        struct gray_str name = {services[i].name, 4};
        uint32_t number = gray_find_service(&compiled.policy, name);

        assert_int_equal(number, i);
        assert_int_equal(
            compiled.link
                .subsets[gray_service_at(&compiled.policy, i)->baseline]
                .ready,
            2);
    }
    craft_compiled_free(&compiled);
    craft_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_keep_address_weight_and_labels),
        cmocka_unit_test(many_services_are_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
