/* SPDX-License-Identifier: Apache-2.0
 * choose.h - from a colour to a route, from a route to an endpoint.
 *
 * Why: where a request goes follows from what it carries and from who is
 * there; both are data. Read next: choose.c, link.c.
 */
#ifndef GRAY_ENGINE_CHOOSE_H
#define GRAY_ENGINE_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/decide.h"

struct gray_choice {
    uint32_t route;   /* the route taken; GRAY_NONE: none can serve */
    uint32_t wanted;  /* the route that the colour asked for */
    uint8_t reason;   /* enum gray_reason */
    uint8_t refuse;   /* 1: answer 503 (strict lane, or nothing ready) */
    uint8_t pad[2];
};
/* Which endpoints of `service` serve a request of this colour (SEMANTICS 7).
 * Arms are looked up by number; scope words are read again, so that a kill
 * holds at every hop. */
void gray_choose(const struct gray_view *view, uint32_t service,
                 const struct gray_colour *colour,
                 struct gray_choice *ret_choice);
/* One endpoint of a subset by power of two choices on load / weight; `load`
 * by endpoint number (requests in flight), `tried` a bitmap over the subset's
 * members (first 64) not to be taken again.  GRAY_NONE when none is left. */
uint32_t gray_pick(const struct gray_view *view, uint32_t route,
                   const uint32_t *load, uint64_t tried, uint64_t random);

#endif
