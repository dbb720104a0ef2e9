/* SPDX-License-Identifier: Apache-2.0
 * hash.h - hashes that only the engine's own files need.
 *
 * Why: which variant of a release, a draw for a request without a unit, and
 * sets that are compared without case are all bucket or hash questions whose
 * answers must stay as frozen as gray_bucket()'s.
 * Read next: hash.c.
 */
#ifndef GRAY_ENGINE_HASH_H
#define GRAY_ENGINE_HASH_H

#include "engine/engine.h"

/* murmur3 of the bytes in lower case (ASCII). */
uint32_t hash_lower(const char *bytes, size_t length, uint32_t seed);
/* gray_hash_key() of GRAY_KEY_PREFIX for the first lengths[i] bytes each, in
 * one pass.  `lengths` ascends; returns how many of them the bytes have, at
 * most `count`; so many hashes are filled. */
uint32_t hash_prefixes(uint32_t slot, const char *bytes, size_t length,
                       const uint8_t *lengths, uint32_t count,
                       uint32_t *ret_hashes);
/* gray_bucket() of a salt of so many bytes, from gray_hash_salt(). */
uint32_t hash_salted_bucket(uint32_t hash, uint32_t rest, uint32_t salt_length,
                            struct gray_str unit);
/* gray_bucket() with the salt `salt ":variant"`. */
uint32_t hash_variant_bucket(struct gray_str salt, struct gray_str unit);
/* Bucket drawn for one request: releases must not draw alike, hence scope;
 * `which` 0 is the enrolment, 1 the variant. */
uint32_t hash_draw(uint64_t random, uint64_t scope, uint32_t which);

#endif
