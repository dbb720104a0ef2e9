/* SPDX-License-Identifier: Apache-2.0
 * zone.h - the offsets of a named time zone, as a table.
 *
 * Why: a window "09:00-18:00 in Asia/Shanghai" is decided on the request path,
 * where no tz database can be asked; the steps of its offset are laid into the
 * snapshot.
 * Read next: zone.c.
 */
#ifndef GRAY_POLICY_ZONE_H
#define GRAY_POLICY_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/layout.h"

/* Steps of one zone, ascending, [0].at = INT64_MIN; malloc'd.  Holds every step
 * of the tz database and, by its rule for the future, those until 50 years
 * after `now_ms`, at least until 2100.  0, or -1: no such zone, or its file is
 * no tzfile (RFC 8536).  NULL, "UTC" and "Z" need no file.  A name never leaves
 * the database's folder. */
int zone_load(struct gray_zone_step **ret_steps, uint32_t *ret_count,
              const char *name, int64_t now_ms);
/* The same from the bytes of a tzfile, for tests and fuzzers. */
int zone_parse(struct gray_zone_step **ret_steps, uint32_t *ret_count,
               const uint8_t *data, size_t size, int64_t now_ms);

#endif
