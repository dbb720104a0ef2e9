/* SPDX-License-Identifier: Apache-2.0
 * address.h - an address as text.
 *
 * Why: an address can be a unit, and explain shows it; the engine may not use
 * the sockets' own functions.
 * Read next: address.c.
 */
#ifndef GRAY_ENGINE_ADDRESS_H
#define GRAY_ENGINE_ADDRESS_H

#include <stdint.h>

#define ADDRESS_TEXT_MAX 40u

/* Writes an address (IPv4 as ::ffff:a.b.c.d) as "10.0.0.1" or in the form of
 * RFC 5952, without NUL; `room` holds ADDRESS_TEXT_MAX bytes.  The length. */
uint32_t address_write(const uint8_t bytes[16], char *room);

#endif
