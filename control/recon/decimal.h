/* SPDX-License-Identifier: Apache-2.0
 * decimal.h - two values of two databases, compared as people compare them.
 *
 * Why: 12.50 is 12.5, and 0.1 + 0.2 is no reason for an alarm at night: amounts
 * are decimals, and are compared as such, exactly.
 * Read next: decimal.c.
 */
#ifndef GRAYD_RECON_DECIMAL_H
#define GRAYD_RECON_DECIMAL_H

#include <stdbool.h>

#include "engine/engine.h"

/* Whether a is b: both missing, the same bytes, or two decimal numbers that
 * differ by at most `tolerance`. */
bool decimal_same(struct gray_str a, struct gray_str b, double tolerance);
/* Compares two decimal numbers: *ret_order below, 0, above 0. False: one of
 * them is none (or has more than 36 digits). */
bool decimal_order(struct gray_str a, struct gray_str b, int *ret_order);

#endif
