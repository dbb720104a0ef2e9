/* SPDX-License-Identifier: Apache-2.0
 * basics.h - words, bytes, problems and hashes that all of the engine uses.
 *
 * Why: numbers of sources, conditions and reasons are made from their tables
 * here and nowhere else; the hashes are contracts with other programs.
 */
#ifndef GRAY_ENGINE_BASICS_H
#define GRAY_ENGINE_BASICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/layout.h"

enum gray_source {
#define GRAY_SOURCE(NAME, number, word, named, doc) GRAY_SOURCE_##NAME = number,
#include "engine/sources.def"
#undef GRAY_SOURCE
};
enum gray_condition {
#define GRAY_CONDITION(NAME, number, word, OPERAND, cost, missing, doc) \
    GRAY_CONDITION_##NAME = number,
#include "engine/conditions.def"
#undef GRAY_CONDITION
};
enum gray_reason {
#define GRAY_REASON(NAME, number, code, sentence, advice) \
    GRAY_REASON_##NAME = number,
#include "engine/reasons.def"
#undef GRAY_REASON
};

/* Bytes that somebody else owns; need not end in NUL. */
struct gray_str {
    const char *data;
    uint32_t length;
};

/* Why a file was refused: a stable code ("bad-jump"), a sentence, and the
 * byte offset of the offending record. */
struct gray_problem {
    const char *code;
    char sentence[160];
    uint64_t offset;
};

/* The code ("out-of-share"), sentence and advice of a reason; never NULL. */
const char *gray_reason_code(enum gray_reason reason);
const char *gray_reason_sentence(enum gray_reason reason);
const char *gray_reason_advice(enum gray_reason reason);
/* The document's word of a condition or source; "?" when unknown. */
const char *gray_condition_word(uint32_t op);
const char *gray_source_word(uint32_t source);

/* MurmurHash3 x86 32-bit (Austin Appleby, public domain). */
uint32_t gray_murmur3_32(const void *data, size_t length, uint32_t seed);
/* SipHash-2-4 (Aumasson, Bernstein). */
uint64_t gray_siphash(const void *data, size_t length, const uint64_t key[2]);
/* A bijection of 64-bit numbers (Stafford's mix 13). */
static inline uint64_t gray_mix64(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}
/* h = h * 31 + lower case byte, from 0: what nginx keeps with every header,
 * so that the gateway need not hash a name again. */
uint32_t gray_hash_name(const char *name, size_t length);
/* 64-bit identity of a release, a scope, a series. Never 0. */
uint64_t gray_hash_scope(const char *name, size_t length);
/* Key of an index posting; ignore_case hashes the bytes in lower case. */
uint32_t gray_hash_key(uint32_t kind, uint32_t slot, const char *bytes,
                       size_t length);
/* What a sieve sees of a value. */
uint64_t gray_look(uint32_t kind, const char *bytes, uint32_t length);
/* (uint64(murmur3_32(salt ":" unit, 0)) * 1,000,000) >> 32: SEMANTICS 3.
 * A frozen contract, see docs/vectors/buckets.json. */
uint32_t gray_bucket(struct gray_str salt, struct gray_str unit);
/* What hashing salt ":" leaves, so that a bucket begins at the unit: the state
 * after its whole blocks, and the bytes that fill none, the first lowest. */
void gray_hash_salt(struct gray_str salt, uint32_t *ret_hash,
                    uint32_t *ret_rest);

#endif
