/* SPDX-License-Identifier: Apache-2.0
 * invent_values.c - the small worlds of values that requests and rules share.
 *
 * Why: a rule drawn from all strings would never hold.
 * Read next: invent.c.
 */
#include "tests/story/invent_values.h"

#include <string.h>

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof(*(array)))

static const char *const methods[] = {"GET", "POST", "PUT", "get"};
static const char *const hosts[] = {"shop.example", "api.shop.example",
                                    "pay.example", "[2001:db8::1]",
                                    "localhost"};
/* The Host header, as sent. */
static const char *const host_headers[] = {"shop.example", "Shop.example:8080",
                                           "api.shop.example:8080",
                                           "pay.example", "localhost"};
static const char *const paths[] = {"/",
                                    "/cart",
                                    "/cart/items",
                                    "/cart/items/7",
                                    "/order/12/pay",
                                    "/order//pay/",
                                    "/Cart",
                                    "/shop.Cart/Add",
                                    "/shop.Cart/Get",
                                    "/shop.Pay/Add",
                                    "/a/b/c/d/e"};
static const char *const segments[] = {"cart", "order", "items",     "12",
                                       "pay",  "7",     "shop.Cart", "b"};
static const char *const users[] = {
    "alice", "bob",   "carol", "Alice", "dave-1",
    "u1001", "u1002", "eve.x", "ALICE", "\xe6\xb5\x8b\xe8\xaf\x95"};
static const char *const numbers[] = {"0",
                                      "7",
                                      "18",
                                      "42",
                                      "65",
                                      "99",
                                      "100",
                                      "250",
                                      "-5",
                                      "007",
                                      "1e3",
                                      "",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "-9223372036854775808",
                                      "18446744073709551615",
                                      "18446744073709551616",
                                      "x1",
                                      "+7",
                                      "4 2"};
static const char *const versions[] = {
    "1.2.3",       "1.2.4",       "v1.3.0",     "2.0.0",   "1.2.3-rc.1",
    "1.2.3-rc.2",  "1.2.3-rc.10", "1.2",        "3",       "1.2.3+build.5",
    "1.2.3-alpha", "x",           "1.2.3.4",    "",        "2.0.0-1",
    "2.0.0-beta",  "2.0.0-10",    "1.2.3-rc.x", "1.2.3-rc"};
static const char *const dates[] = {"2026-01-31T08:00:00Z",
                                    "2026-06-30T23:59:59.999Z",
                                    "2026-03-01T00:00:00+08:00",
                                    "2025-12-31t16:00:00-05:30",
                                    "2026-02-30T00:00:00Z",
                                    "2024-02-29T12:00:00Z",
                                    "2026-01-31",
                                    "yesterday",
                                    "2026-12-01T00:00:00.5z",
                                    ""};
static const char *const plans[] = {"gold", "Gold", "silver", "gold-plus",
                                    "free", "",     "g",      "golden.old"};
static const char *const words[] = {"a b", "50%", "x&y", "plain", "Plain",
                                    "",    "  ",  "a+b", "q=1"};
static const char *const regions[] = {"hz", "sh", "bj", "HZ", "", " "};
static const char *const levels[] = {"0", "1", "2", "3", "7", "9", "10"};
static const char *const zones[] = {"a", "b", "A"};
static const char *const lanes[] = {"red", "blue", "green", "ghost"};
static const char *const callers[] = {"web", "mobile", "web-2"};
static const char *const grpc_services[] = {"shop.Cart", "shop.Pay"};
static const char *const grpc_methods[] = {"Add", "Get"};
static const char *const addresses[] = {
    "10.0.0.1", "10.1.2.3",    "192.168.1.77",     "192.168.2.1",
    "8.8.8.8",  "2001:db8::1", "2001:db8:1::ffff", "fe80::1",
    "::1",      "127.0.0.1"};

#define WORLD(source, name, array)                                             \
    {                                                                          \
        source, name, array, (uint32_t)(sizeof(array) / sizeof(char *))        \
    }
const struct world worlds[WORLD_COUNT] = {
    [W_METHOD] = WORLD("method", NULL, methods),
    [W_HOST] = WORLD("host", NULL, hosts),
    [W_PATH] = WORLD("path", NULL, paths),
    [W_SEGMENT] = WORLD("path", NULL, segments),
    [W_USER] = WORLD("header", "x-user", users),
    [W_NUMBER] = WORLD("header", "x-num", numbers),
    [W_VERSION] = WORLD("header", "x-version", versions),
    [W_DATE] = WORLD("header", "x-date", dates),
    [W_PLAN] = WORLD("header", "X-Plan", plans),
    [W_HOST_HEADER] = WORLD("header", "Host", host_headers),
    [W_UID] = WORLD("cookie", "uid", NULL),
    [W_AB] = WORLD("cookie", "ab", plans),
    [W_ID] = WORLD("query", "id", NULL),
    [W_WORD] = WORLD("query", "q", words),
    [W_REGION] = WORLD("attr", "region", regions),
    [W_LEVEL] = WORLD("attr", "level", levels),
    [W_ZONE] = WORLD("label", "zone", zones),
    [W_LANE] = WORLD("label", "lane", lanes),
    [W_CALLER] = WORLD("caller", NULL, callers),
    [W_GRPC_SERVICE] = WORLD("grpcService", NULL, grpc_services),
    [W_GRPC_METHOD] = WORLD("grpcMethod", NULL, grpc_methods),
    [W_UNIT] = WORLD("unit", NULL, NULL),
    [W_ADDRESS] = WORLD("source", NULL, addresses),
};

const char *world_value(enum world_number world, struct dice *d, char *room)
{
    const struct world *w = &worlds[world];

    if (w->values != NULL) {
        return w->values[dice_below(d, w->count)];
    }
    switch (dice_below(d, 8)) {
    case 0:
        return users[dice_below(d, COUNT(users))];
    case 1:
        snprintf(room, WORLD_ROOM, "u%u", 1000 + dice_below(d, 40));
        return room;
    case 2:
        snprintf(room, WORLD_ROOM, "%05u", dice_below(d, 300));
        return room;
    default:
        snprintf(room, WORLD_ROOM, "%u", dice_below(d, 400));
        return room;
    }
}
