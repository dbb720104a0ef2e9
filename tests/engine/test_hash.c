/* SPDX-License-Identifier: Apache-2.0
 * test_hash.c - the hashes are the published ones, and units keep their place.
 *
 * Why: a changed bit here moves users between versions.  The vectors were
 * computed by another implementation (Python) and checked against the ones
 * that flagd and the authors of the hashes publish.
 * Read next: docs/vectors/buckets.json.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "engine/hash.h"
#include "tests/engine/craft.h"

static json_t *vectors(void)
{
    json_error_t error;
    json_t *root = json_load_file(BUCKETS_JSON, 0, &error);
    assert_non_null(root);
    return root;
}

static struct gray_str text_of(const json_t *object, const char *key)
{
    const json_t *text = json_object_get(object, key);
    return (struct gray_str){ json_string_value(text),
                              (uint32_t)json_string_length(text) };
}

static uint32_t number_of(const json_t *object, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(object, key));
}

static void published_hashes_are_ours(void **state)
{
    json_t *root = vectors(), *line;
    size_t i;
    (void)state;
    assert_int_equal(json_array_size(json_object_get(root, "murmur3")), 8);
    json_array_foreach(json_object_get(root, "murmur3"), i, line)
    {
        struct gray_str text = text_of(line, "text");
        assert_int_equal(gray_murmur3_32(text.data, text.length, 0),
                         number_of(line, "hash"));
    }
    json_decref(root);
}

static void buckets_are_frozen(void **state)
{
    json_t *root = vectors(), *line;
    size_t i;
    (void)state;
    assert_true(json_array_size(json_object_get(root, "buckets")) >= 90);
    json_array_foreach(json_object_get(root, "buckets"), i, line)
    {
        struct gray_str salt = text_of(line, "salt");
        struct gray_str unit = text_of(line, "unit");
        char whole[2048];
        memcpy(whole, salt.data, salt.length);
        whole[salt.length] = ':';
        memcpy(whole + salt.length + 1, unit.data, unit.length);
        assert_int_equal(
            gray_murmur3_32(whole, salt.length + 1 + unit.length, 0),
            number_of(line, "hash"));
        assert_int_equal(gray_bucket(salt, unit), number_of(line, "bucket"));
    }
    json_decref(root);
}

static void a_variant_has_a_salt_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(
        hash_variant_bucket(craft_str("cart-2"), craft_str("alice")),
        gray_bucket(craft_str("cart-2:variant"), craft_str("alice")));
    assert_int_not_equal(
        hash_variant_bucket(craft_str("cart-2"), craft_str("alice")),
        gray_bucket(craft_str("cart-2"), craft_str("alice")));
}

/* The table of the SipHash paper's reference code: key 00..0f, input 00... */
static void siphash_is_the_papers(void **state)
{
    static const uint64_t key[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
    uint8_t input[16];
    (void)state;
    for (uint8_t i = 0; i < 16; i++) {
        input[i] = i;
    }
    assert_true(gray_siphash(input, 0, key) == 0x726fdb47dd0e0e31u);
    assert_true(gray_siphash(input, 1, key) == 0x74f839c593dc67fdu);
    assert_true(gray_siphash(input, 8, key) == 0x93f5f5799a932462u);
    assert_true(gray_siphash(input, 15, key) == 0xa129ca6149be45e5u);
}

static void mix_undone_gives_back(void **state)
{
    uint64_t value = 1;
    (void)state;
    for (int i = 0; i < 1000; i++, value = value * 6364136223846793005u + 1) {
        uint64_t mixed = gray_mix64(value);
        /* The inverse multipliers modulo 2^64. */
        mixed ^= mixed >> 31 ^ mixed >> 62;
        mixed *= 0x319642b2d24d8ec3u;
        mixed ^= mixed >> 27 ^ mixed >> 54;
        mixed *= 0x96de1b173f119089u;
        mixed ^= mixed >> 30 ^ mixed >> 60;
        assert_true(mixed == value);
    }
}

static void names_are_hashed_like_nginx(void **state)
{
    uint32_t hash = 0;
    (void)state;
    for (const char *c = "x-canary"; *c != '\0'; c++) {
        hash = hash * 31 + (uint32_t)*c;
    }
    assert_int_equal(gray_hash_name("X-Canary", 8), hash);
    assert_int_equal(gray_hash_name("", 0), 0);
}

static void keys_differ_by_kind_slot_and_case(void **state)
{
    (void)state;
    assert_int_equal(gray_hash_key(GRAY_KEY_EXACT_NOCASE, 3, "AbC", 3),
                     gray_hash_key(GRAY_KEY_EXACT_NOCASE, 3, "aBc", 3));
    assert_int_not_equal(gray_hash_key(GRAY_KEY_EXACT, 3, "AbC", 3),
                         gray_hash_key(GRAY_KEY_EXACT, 3, "abc", 3));
    assert_int_not_equal(gray_hash_key(GRAY_KEY_EXACT, 3, "abc", 3),
                         gray_hash_key(GRAY_KEY_PREFIX, 3, "abc", 3));
    assert_int_not_equal(gray_hash_key(GRAY_KEY_EXACT, 3, "abc", 3),
                         gray_hash_key(GRAY_KEY_EXACT, 4, "abc", 3));
}

/* One pass over a value hashes as one pass for each of its heads does. */
static void heads_are_hashed_in_one_pass(void **state)
{
    uint8_t lengths[GRAY_PREFIX_MAX];
    uint32_t hashes[GRAY_PREFIX_MAX];
    char text[GRAY_PREFIX_MAX + 1];
    (void)state;
    for (uint32_t i = 0; i < GRAY_PREFIX_MAX; i++) {
        lengths[i] = (uint8_t)(i + 1);
        text[i] = (char)(i * 37 + 11);
    }
    for (uint32_t step = 1; step <= 9; step++) { /* every, every second, .. */
        uint32_t count = 0;
        for (uint32_t i = step; i <= GRAY_PREFIX_MAX; i += step) {
            lengths[count++] = (uint8_t)i;
        }
        assert_int_equal(
            hash_prefixes(3, text, GRAY_PREFIX_MAX, lengths, count, hashes),
            count);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(
                hashes[i], gray_hash_key(GRAY_KEY_PREFIX, 3, text, lengths[i]));
        }
    }
    lengths[0] = 4, lengths[1] = 9;
    assert_int_equal(hash_prefixes(3, text, 3, lengths, 2, hashes), 0);
    assert_int_equal(hash_prefixes(3, text, 8, lengths, 2, hashes), 1);
    assert_int_equal(hash_prefixes(3, text, 9, lengths, 2, hashes), 2);
}

static void draws_differ_by_release(void **state)
{
    uint32_t below = 0;
    (void)state;
    assert_int_not_equal(hash_draw(5, 1, 0), hash_draw(5, 99, 0));
    assert_int_not_equal(hash_draw(5, 1, 0), hash_draw(5, 1, 1));
    for (uint64_t random = 0; random < 10000; random++) {
        below += hash_draw(random, 77, 0) < 250000;
    }
    assert_in_range(below, 2370, 2630); /* 3 sigma */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_hashes_are_ours),
        cmocka_unit_test(buckets_are_frozen),
        cmocka_unit_test(a_variant_has_a_salt_of_its_own),
        cmocka_unit_test(siphash_is_the_papers),
        cmocka_unit_test(mix_undone_gives_back),
        cmocka_unit_test(names_are_hashed_like_nginx),
        cmocka_unit_test(keys_differ_by_kind_slot_and_case),
        cmocka_unit_test(heads_are_hashed_in_one_pass),
        cmocka_unit_test(draws_differ_by_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
