/* SPDX-License-Identifier: Apache-2.0
 * test_address.c - an address has one text.
 *
 * Why: a unit that is written in two ways is two units.
 * Read next: ../../engine/address.c.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/address.h"

static void check(const uint8_t bytes[16], const char *expected)
{
    char room[ADDRESS_TEXT_MAX + 1];
    uint32_t length = address_write(bytes, room);
    assert_true(length <= ADDRESS_TEXT_MAX);
    room[length] = '\0';
    assert_string_equal(room, expected);
}

static void addresses_as_rfc_5952_writes_them(void **state)
{
    static const char *const texts[] = {
        "::", "::1", "2001:db8::1", "2001:db8:0:1:1:1:1:1",
        "2001:0:0:1::1", "2001:db8::1:0:0:1", "1:2:3:4:5:6:7:8", "fe80::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0:1::", "1:0:2:0:3:0:4:0",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint8_t bytes[16];
        assert_int_equal(inet_pton(AF_INET6, texts[i], bytes), 1);
        check(bytes, texts[i]);
    }
}

static void ipv4_in_dotted_decimal(void **state)
{
    static const char *const texts[] = { "0.0.0.0", "10.0.0.1",
                                         "255.255.255.255", "192.168.10.99" };
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        uint8_t bytes[16] = { [10] = 0xff, [11] = 0xff };
        assert_int_equal(inet_pton(AF_INET, texts[i], bytes + 12), 1);
        check(bytes, texts[i]);
    }
}

/* The longest text of all, at the limit of the room. */
static void random_addresses_as_libc_writes_them(void **state)
{
    uint64_t seed = 42;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint8_t bytes[16];
        char expected[INET6_ADDRSTRLEN];
        for (int k = 0; k < 16; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[k] = seed >> 63 != 0 ? 0 : (uint8_t)(seed >> 50);
        }
        bytes[0] |= 0x20; /* libc writes ::1.2.3.4 for some */
        assert_non_null(
            inet_ntop(AF_INET6, bytes, expected, sizeof(expected)));
        check(bytes, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_as_rfc_5952_writes_them),
        cmocka_unit_test(ipv4_in_dotted_decimal),
        cmocka_unit_test(random_addresses_as_libc_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
