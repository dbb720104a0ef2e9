/* SPDX-License-Identifier: Apache-2.0
 * test_fleet.c - engine/fleet.c: a fleet is taken whole or not at all.
 *
 * Why: every number in an opened fleet is used without another look.
 * Read next: craft.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "tests/engine/craft.h"

static struct craft file;
static struct gray_fleet_body *const body =
    (void *)(file.bytes + sizeof(struct gray_file_header));

static void make(void)
{
    static const struct craft_endpoint endpoints[] = {
        {"cart", "127.0.0.1:1", 1, GRAY_ENDPOINT_READY, {"version", "v1"}},
        {"cart",
         "127.0.0.1:2",
         1000000,
         GRAY_ENDPOINT_EJECTED,
         {"version", "v2", "zone", ""}},
        {"order", "unix:/run/o.sock", 0, GRAY_ENDPOINT_STARTING, {NULL}},
        {"web", "127.0.0.1:4", 1, GRAY_ENDPOINT_DRAINING, {NULL}},
    };

    craft_fleet(&file, endpoints, 4);
}

static struct gray_fleet_service *services(void)
{
    return (void *)(file.bytes + body->services.offset);
}

static struct gray_endpoint *endpoint(uint32_t number)
{
    return (struct gray_endpoint *)(file.bytes + body->endpoints.offset) +
           number;
}

static struct gray_selector *label(uint32_t number)
{
    return (struct gray_selector *)(file.bytes + body->labels.offset) + number;
}

static void opens_and_reads(void **state)
{
    struct gray_fleet fleet;
    const struct gray_endpoint *e;
    struct gray_str text;

    (void)state;
    make();
    assert_int_equal(gray_fleet_open(&fleet, file.bytes, file.length, NULL), 0);
    e = gray_endpoint_at(&fleet, 2);
    assert_non_null(e);
    text = gray_fleet_text(&fleet, e->text);
    assert_int_equal(text.length, 16);
    assert_memory_equal(text.data, "unix:/run/o.sock", 16);
    assert_int_equal(e->family, GRAY_FAMILY_UNIX);
    assert_null(gray_endpoint_at(&fleet, 4));
    assert_null(gray_endpoint_at(&fleet, GRAY_NONE));
    text = gray_fleet_text(&fleet,
                           (struct gray_ref){(uint32_t)file.length - 1, 2});
    assert_int_equal(text.length, 0);
    assert_non_null(text.data);
}

static void opens_an_empty_one(void **state)
{
    struct gray_fleet fleet;

    (void)state;
    craft_fleet(&file, NULL, 0);
    assert_int_equal(gray_fleet_open(&fleet, file.bytes, file.length, NULL), 0);
    assert_null(gray_endpoint_at(&fleet, 0));
}

static void table_outside(void)
{
    body->labels.count = UINT32_MAX;
}
static void table_askew(void)
{
    body->endpoints.offset += 4;
}
static void name_outside(void)
{
    services()[0].name.offset = (uint32_t)file.length - 1;
}
static void name_outside_strings(void)
{
    services()[0].name = (struct gray_ref){0, 4}; /* "GRAY" of the header */
    services()[0].hash = gray_hash_name("GRAY", 4);
}
static void name_empty(void)
{
    services()[1].name.length = 0;
}
static void name_of_another_hash(void)
{
    services()[1].hash++;
}
static void services_descend(void)
{
    struct gray_fleet_service first = services()[0];

    services()[0] = services()[1];
    services()[1] = first;
}
static void service_twice(void)
{
    services()[1] = services()[0];
}
static void span_outside(void)
{
    services()[0].endpoints.first = UINT32_MAX;
}
static void endpoint_owned_twice(void)
{
    services()[0].endpoints = services()[1].endpoints =
        (struct gray_span){0, 3};
}
static void family_unknown(void)
{
    endpoint(0)->family = 5;
}
static void no_address(void)
{
    endpoint(0)->text.length = 0;
}
static void address_outside(void)
{
    endpoint(0)->text.offset = (uint32_t)file.length;
}
static void not_a_socket(void)
{
    endpoint(0)->family = GRAY_FAMILY_UNIX;
}
static void socket_without_path(void)
{
    endpoint(2)->text.length = 5;
}
static void socket_with_nul(void)
{
    file.bytes[endpoint(2)->text.offset + 7] = 0;
}
static void state_unknown(void)
{
    endpoint(3)->state = GRAY_ENDPOINT_EJECTED + 1;
}
static void too_heavy(void)
{
    endpoint(1)->weight = 1000001;
}
static void labels_outside(void)
{
    endpoint(1)->labels.count++;
    endpoint(1)->labels.first = 2;
}
static void label_without_key(void)
{
    label(0)->key.length = 0;
}
static void label_value_outside(void)
{
    label(1)->value = (struct gray_ref){0, 8};
}

static void refuses_damage(void **state)
{
    static const struct {
        void (*damage)(void);
        const char *code;
    } cases[] = {
        {table_outside, "bad-table"},
        {table_askew, "bad-table"},
        {name_outside, "bad-name"},
        {name_outside_strings, "bad-name"},
        {name_empty, "bad-name"},
        {name_of_another_hash, "bad-name"},
        {services_descend, "bad-order"},
        {service_twice, "bad-order"},
        {span_outside, "bad-span"},
        {endpoint_owned_twice, "bad-span"},
        {family_unknown, "bad-address"},
        {no_address, "bad-address"},
        {address_outside, "bad-address"},
        {not_a_socket, "bad-address"},
        {socket_without_path, "bad-address"},
        {socket_with_nul, "bad-address"},
        {state_unknown, "bad-endpoint"},
        {too_heavy, "bad-endpoint"},
        {labels_outside, "bad-endpoint"},
        {label_without_key, "bad-label"},
        {label_value_outside, "bad-label"},
    };
    struct gray_fleet fleet = {NULL, 0, NULL, NULL};
    struct gray_problem problem;
    uint64_t length;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        make();
        cases[i].damage();
        assert_int_equal(
            gray_fleet_open(&fleet, file.bytes, file.length, &problem), -1);
        assert_string_equal(problem.code, cases[i].code);
        assert_null(fleet.body);
    }
    make();
    for (length = 0; length < file.length; length++) {
        assert_int_equal(gray_fleet_open(&fleet, file.bytes, length, &problem),
                         -1);
    }
    assert_null(fleet.body);
}

/* The address of a socket has a limit of its own: 107 bytes of path. */
static void limits_the_path_of_a_socket(void **state)
{
    struct craft_endpoint one = {"a", NULL, 1, GRAY_ENDPOINT_READY, {NULL}};
    struct gray_fleet fleet;
    char address[5 + 108 + 1];

    (void)state;
    memset(address, 'x', sizeof(address) - 1);
    memcpy(address, "unix:", 5);
    address[sizeof(address) - 1] = '\0';
    one.address = address;
    craft_fleet(&file, &one, 1);
    assert_int_equal(gray_fleet_open(&fleet, file.bytes, file.length, NULL),
                     -1);
    address[sizeof(address) - 2] = '\0';
    craft_fleet(&file, &one, 1);
    assert_int_equal(gray_fleet_open(&fleet, file.bytes, file.length, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_reads),
        cmocka_unit_test(opens_an_empty_one),
        cmocka_unit_test(refuses_damage),
        cmocka_unit_test(limits_the_path_of_a_socket),
    };

    return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
