/* SPDX-License-Identifier: Apache-2.0
 * parse.h - small notations: moments, networks, versions, addresses.
 *
 * Why: each is asked for in several places (conditions, compiler, gates) and
 * must mean the same in all.  Pure functions of a text; false when the text is
 * not in the notation, results untouched then.
 * Read next: parse.c, model_operand.c.
 */
#ifndef GRAY_POLICY_PARSE_H
#define GRAY_POLICY_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/model.h"

/* RFC 3339, "2026-01-31T08:00:00.5+08:00", to ms since the epoch. */
bool gray_parse_moment(const char *text, int64_t *ret_ms);
/* "10.0.0.0/8", "::1/128", or an address alone; both as 16 bytes. *ret_loose is
 * set when bits stand right of the prefix. */
bool gray_parse_network(const char *text, uint8_t ret_first[16],
                        uint8_t ret_last[16], bool *ret_loose);
/* ">=1.2.0-rc.1": operator, parts, pre-release (inside `text`). */
bool gray_parse_semver(const char *text, uint32_t *ret_op,
                       uint32_t ret_version[3], struct model_text *ret_pre);
/* "09:00-18:00" in seconds of the day; 24:00 may end it. */
bool gray_parse_hours(const char *text, uint32_t *ret_start,
                      uint32_t *ret_end);
/* "5~9", both ends inclusive. */
bool gray_parse_remainders(const char *text, struct gray_mod_range *ret_range);
/* "60s", "10m", "1h30m", "500ms", to ms. */
bool gray_parse_duration(const char *text, int64_t *ret_ms);
/* "127.0.0.1:80", "[::1]:80", "unix:/path"; NULL, or what is wrong with it. */
const char *gray_parse_endpoint(const char *text,
                                struct model_endpoint *ret_endpoint);
/* A percent with at most 4 decimals, to millionths, exact. */
bool gray_parse_percent(double percent, uint32_t *ret_share);

#endif
