/* SPDX-License-Identifier: Apache-2.0
 * handlers.c - from a route's number to its handler.
 *
 * Why: made from the route table, so that a route without a handler does not
 * link, and a handler without a route is never called.
 * Read next: ../call/routes.def.
 */
#include "control/call/call.h"

route_handler *route_find_handler(enum route_number number)
{
    static route_handler *const handlers[ROUTE_COUNT] = {
#define GRAYD_ROUTE(NAME, METHOD, path, RIGHT, RESOURCE, WHERE, query, \
                    request, response, summary)                        \
    route_handle_##NAME,
#include "control/call/routes.def"
    };

    return handlers[number];
}
