/* SPDX-License-Identifier: Apache-2.0
 * hash.c - every hash of Graylane, and the bucket of a unit.
 *
 * Why: who is in a release is decided by one hash, MurmurHash3 x86 32, frozen
 * with the release (SEMANTICS 3); flagd v2 and Unleash use the same one, so
 * units keep their place across systems.  Salt and unit are hashed in pieces
 * as if they had been put together, because the hot path owns no memory.
 * Read next: docs/vectors/buckets.json, decide.c.
 */
#include <string.h>

#include "engine/engine.h"
#include "engine/hash.h"
#include "engine/view.h"

#define ROTL32(x, r) (((x) << (r)) | ((x) >> (32 - (r))))
#define ROTL64(x, r) (((x) << (r)) | ((x) >> (64 - (r))))

/* MurmurHash3_x86_32 by Austin Appleby (public domain), over pieces: bytes
 * that do not fill a block of four wait in `carry`. */
struct murmur {
    uint32_t h;
    uint32_t length;
    uint64_t carry; /* fewer than four bytes, the first one lowest */
    uint32_t bits;  /* how many bits of carry are in use */
};

static inline uint32_t murmur_block(uint32_t k)
{
    k *= 0xcc9e2d51u;
    k = ROTL32(k, 15);
    return k * 0x1b873593u;
}

static inline uint32_t murmur_mix(uint32_t h, uint32_t k)
{
    h ^= murmur_block(k);
    h = ROTL32(h, 13);
    return h * 5 + 0xe6546b64u;
}

static inline void murmur_feed(struct murmur *m, const void *data,
                               size_t length)
{
    const uint8_t *p = data;
    m->length += (uint32_t)length;
    for (; length >= 4; length -= 4, p += 4) {
        uint32_t word;
        memcpy(&word, p, 4);
        m->carry |= (uint64_t)word << m->bits;
        m->h = murmur_mix(m->h, (uint32_t)m->carry);
        m->carry >>= 32;
    }
    if (length == 0) {
        return;
    }
    /* One to three bytes, without a loop: first, middle and last. */
    uint32_t middle = (uint32_t)length / 2, last = (uint32_t)length - 1;
    m->carry |= ((uint64_t)p[0] | (uint64_t)p[middle] << (8 * middle) |
                 (uint64_t)p[last] << (8 * last))
                << m->bits;
    m->bits += 8 * (uint32_t)length;
    if (m->bits >= 32) {
        m->h = murmur_mix(m->h, (uint32_t)m->carry);
        m->carry >>= 32;
        m->bits -= 32;
    }
}

static inline uint32_t murmur_end(const struct murmur *m)
{
    uint32_t h = m->h;
    if (m->bits != 0) {
        h ^= murmur_block((uint32_t)m->carry);
    }
    h ^= m->length;
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    h ^= h >> 16;
    return h;
}

/* The last bytes, fewer than four, for murmur_end() only. */
static inline void murmur_rest(struct murmur *m, const uint8_t *p, size_t left)
{
    if (left != 0) {
        m->carry = (uint32_t)p[0] | (uint32_t)p[left / 2] << (8 * (left / 2)) |
                   (uint32_t)p[left - 1] << (8 * (left - 1));
        m->bits = 1;
    }
}

uint32_t gray_murmur3_32(const void *data, size_t length, uint32_t seed)
{
    const uint8_t *p = data;
    struct murmur m = { .h = seed, .length = (uint32_t)length };
    size_t left = length;
    for (; left >= 4; left -= 4, p += 4) {
        uint32_t word;
        memcpy(&word, p, 4);
        m.h = murmur_mix(m.h, word);
    }
    murmur_rest(&m, p, left);
    return murmur_end(&m);
}

uint32_t hash_lower(const char *bytes, size_t length, uint32_t seed)
{
    struct murmur m = { .h = seed };
    for (size_t i = 0; i < length; i++) {
        uint8_t c = view_lower((uint8_t)bytes[i]);
        murmur_feed(&m, &c, 1);
    }
    return murmur_end(&m);
}

static inline uint32_t bucket_of(uint32_t hash)
{
    return (uint32_t)(((uint64_t)hash * GRAY_SHARE_ALL) >> 32);
}

void gray_hash_salt(struct gray_str salt, uint32_t *ret_hash,
                    uint32_t *ret_rest)
{
    struct murmur m = { .h = 0 };
    murmur_feed(&m, salt.data, salt.length);
    murmur_feed(&m, ":", 1);
    *ret_hash = m.h;
    *ret_rest = (uint32_t)m.carry;
}

uint32_t hash_salted_bucket(uint32_t hash, uint32_t rest, uint32_t salt_length,
                            struct gray_str unit)
{
    struct murmur m = { .h = hash,
                        .length = salt_length + 1,
                        .carry = rest,
                        .bits = 8 * ((salt_length + 1) & 3) };
    murmur_feed(&m, unit.data, unit.length);
    return bucket_of(murmur_end(&m));
}

uint32_t gray_bucket(struct gray_str salt, struct gray_str unit)
{
    uint32_t hash, rest;
    gray_hash_salt(salt, &hash, &rest);
    return hash_salted_bucket(hash, rest, salt.length, unit);
}

uint32_t hash_variant_bucket(struct gray_str salt, struct gray_str unit)
{
    struct murmur m = { .h = 0 };
    murmur_feed(&m, salt.data, salt.length);
    murmur_feed(&m, ":variant:", 9);
    murmur_feed(&m, unit.data, unit.length);
    return bucket_of(murmur_end(&m));
}

uint32_t hash_draw(uint64_t random, uint64_t scope, uint32_t which)
{
    return bucket_of((uint32_t)(gray_mix64(random ^ (scope + which)) >> 32));
}

/* SipHash-2-4 by Jean-Philippe Aumasson and Daniel J. Bernstein (CC0). */
struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline void sip_rounds(struct sip *s, int rounds)
{
    while (rounds-- > 0) {
        s->v0 += s->v1;
        s->v1 = ROTL64(s->v1, 13) ^ s->v0;
        s->v0 = ROTL64(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = ROTL64(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = ROTL64(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = ROTL64(s->v1, 17) ^ s->v2;
        s->v2 = ROTL64(s->v2, 32);
    }
}

uint64_t gray_siphash(const void *data, size_t length, const uint64_t key[2])
{
    const uint8_t *p = data;
    struct sip s = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u };
    uint64_t word, last = (uint64_t)length << 56;
    size_t left = length;

    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        s.v3 ^= word;
        sip_rounds(&s, 2);
        s.v0 ^= word;
    }
    for (size_t i = 0; i < left; i++) {
        last |= (uint64_t)p[i] << (8 * i);
    }
    s.v3 ^= last;
    sip_rounds(&s, 2);
    s.v0 ^= last;
    s.v2 ^= 0xff;
    sip_rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint32_t gray_hash_name(const char *name, size_t length)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < length; i++) {
        hash = hash * 31 + view_lower((uint8_t)name[i]);
    }
    return hash;
}

uint64_t gray_hash_scope(const char *name, size_t length)
{
    static const uint64_t key[2] = { 0x677261796c616e65u, 0x73636f7065730001u };
    uint64_t hash = gray_siphash(name, length, key);
    return hash == 0 ? 1 : hash;
}

static inline uint32_t key_seed(uint32_t kind, uint32_t slot)
{
    return kind * 0x9e3779b1u ^ slot * 0x85ebca6bu;
}

uint32_t gray_hash_key(uint32_t kind, uint32_t slot, const char *bytes,
                       size_t length)
{
    uint32_t seed = key_seed(kind, slot);
    if (kind == GRAY_KEY_EXACT_NOCASE) {
        return hash_lower(bytes, length, seed);
    }
    return gray_murmur3_32(bytes, length, seed);
}

uint64_t gray_look(uint32_t kind, const char *bytes, uint32_t length)
{
    return view_look(kind, bytes, length);
}

uint32_t hash_prefixes(uint32_t slot, const char *bytes, size_t length,
                       const uint8_t *lengths, uint32_t count,
                       uint32_t *ret_hashes)
{
    const uint8_t *p = (const uint8_t *)bytes;
    uint32_t h = key_seed(GRAY_KEY_PREFIX, slot), at = 0, i;
    for (i = 0; i < count && lengths[i] <= length; i++) {
        for (; at + 4 <= lengths[i]; at += 4) {
            uint32_t word;
            memcpy(&word, p + at, 4);
            h = murmur_mix(h, word);
        }
        struct murmur m = { .h = h, .length = lengths[i] };
        murmur_rest(&m, p + at, lengths[i] - at);
        ret_hashes[i] = murmur_end(&m);
    }
    return i;
}
