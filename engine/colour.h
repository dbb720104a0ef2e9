/* SPDX-License-Identifier: Apache-2.0
 * colour.h - the colour on the wire: headers, baggage, cookies.
 *
 * Why: what a client may say and what a hop must pass on is decided by bytes
 * that anybody can send; all of it is read and written here. Read next:
 * colour.c, cookie.c, aliases.def.
 */
#ifndef GRAY_ENGINE_COLOUR_H
#define GRAY_ENGINE_COLOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/decide.h"

/* What a header of a client is to us, whatever its spelling ('_' for '-'). */
enum gray_header_kind {
    GRAY_HEADER_PLAIN, GRAY_HEADER_LANE, /* x-gray-lane */
    GRAY_HEADER_CTX,                     /* x-gray-ctx, signed */
    GRAY_HEADER_BAGGAGE, GRAY_HEADER_COOKIE,
    GRAY_HEADER_FORGED /* any other x-gray-*, an alias of a lane or tag */
};
enum gray_header_kind gray_header_kind(struct gray_str name);

/* Can it be a lane's name?  What cannot is nobody's lane, and is not passed on:
 * in baggage the next hop would take it for a forgery.  Empty: true. */
bool gray_lane_sound(struct gray_str lane);

/* Bytes of what one request may carry: 16 arms with their variants. */
#define GRAY_CARRIED_MAX (2u * GRAY_ARMS_MAX * (GRAY_NAME_MAX + 1))
struct gray_carried {
    struct gray_str lane, arms, traffic_class; /* empty: none */
    uint32_t seen; /* how many gray.* members */
    uint32_t decoded_used;
    char decoded[GRAY_CARRIED_MAX]; /* a list of arms has its commas encoded */
};
/* Finds gray.lane, gray.arms, gray.class in a baggage header (W3C).  The
 * strings point into the header or into *ret itself, so *ret is not to be
 * moved.  -1 when a gray member stands twice or is malformed. */
int gray_baggage_read(struct gray_str baggage, struct gray_carried *ret);
/* Copies `baggage` without its gray.* members, then appends lane and arms
 * where not empty, within 64 members and 8,192 bytes (gray members first to
 * stay).  Returns the length written, 0 when nothing is left; never more than
 * `size`. */
size_t gray_baggage_write(struct gray_str baggage, struct gray_str lane,
                          struct gray_str arms, enum gray_class traffic_class,
                          char *buffer, size_t size);
/* "cart-2,pay-7:b" of a colour, joined with unknown arms that came in. */
size_t gray_arms_write(const struct gray_view *view,
                       const struct gray_colour *colour,
                       struct gray_str carried, char *buffer, size_t size);
/* Copies a Cookie header without the cookies of these names. Returns the
 * length; *ret_removed says how many went. */
size_t gray_cookie_strip(struct gray_str cookies, const struct gray_str *names,
                         uint32_t name_count, char *buffer, size_t size,
                         uint32_t *ret_removed);
/* First value of a cookie in a Cookie header; length 0 and data NULL when it
 * is not there. */
struct gray_str gray_cookie_find(struct gray_str cookies, struct gray_str name);

#endif
