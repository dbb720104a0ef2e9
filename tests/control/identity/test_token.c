/* SPDX-License-Identifier: Apache-2.0
 * test_token.c - one text is the token, until it expires, and no trace of its
 * secret is anywhere else.
 *
 * Read next: control/identity/token.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/hex.h"
#include "control/identity/internal.h"
#include "runtime/base64.h"
#include "runtime/internal.h"

#define NOW INT64_C(1767225600000)
#define DAY INT64_C(86400000)

static const uint8_t chance[40] = "id-bytes and 32 bytes of secret chance.";

static struct identity wanted(void)
{
    struct identity identity = {.name = "ci-cart",
                                .role = ROLE_OPERATOR,
                                .expires = NOW + DAY,
                                .scopes = {"cart-", "pay"},
                                .scope_count = 2};

    return identity;
}

static json_t *make(char ret_text[TOKEN_TEXT_MAX])
{
    struct identity identity = wanted();
    struct gray_problem problem = {"", "", 0};
    json_t *item = NULL;

    if (token_make(&identity, NOW, "root (login alice)", chance, ret_text,
                   &item, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    return item;
}

static void a_token_is_known_again(void **state)
{
    char text[TOKEN_TEXT_MAX], id[17], hex[65];
    uint8_t hash[32];
    struct identity who;
    json_t *item = make(text);

    (void)state;
    assert_int_equal(strlen(text), 65);
    assert_int_equal(strncmp(text, "gray_69642d6279746573_", 22), 0);
    assert_int_equal(token_id(text, strlen(text), id), 0);
    assert_string_equal(id, "69642d6279746573");
    SHA256(chance + 8, 32, hash); /* what is stored, and nothing else */
    hex_write(hash, 32, hex);
    assert_string_equal(json_string_value(json_object_get(item, "hash")), hex);
    assert_string_equal(json_string_value(json_object_get(item, "createdBy")),
                        "root (login alice)");
    assert_int_equal(json_integer_value(json_object_get(item, "created")),
                     NOW);
    assert_int_equal(json_object_size(item), 8);
    assert_int_equal(token_check(text, strlen(text), item, NOW, &who), 0);
    assert_string_equal(who.name, "ci-cart");
    assert_string_equal(who.token_id, id);
    assert_string_equal(who.via, "token");
    assert_int_equal(who.role, ROLE_OPERATOR);
    assert_int_equal(who.expires, NOW + DAY);
    assert_int_equal(who.scope_count, 2);
    assert_string_equal(who.scopes[0], "cart-");
    assert_string_equal(who.scopes[1], "pay");
    json_decref(item);
}

static int check(const char *text, size_t length, const json_t *item)
{
    struct identity who = {.name = "untouched"};
    char *exact = malloc(length == 0 ? 1 : length); /* nothing behind it */
    int error;

    memcpy(exact, text, length);
    error = token_check(exact, length, item, NOW, &who);
    free(exact);
    if (error != 0) {
        assert_string_equal(who.name, "untouched");
    }
    return error;
}

static void every_other_text_is_refused(void **state)
{
    char text[TOKEN_TEXT_MAX + 2], other[TOKEN_TEXT_MAX + 2];
    json_t *item = make(text);
    size_t length = strlen(text), i;
    int c;

    (void)state;
    for (i = 0; i < length; i++) {
        for (c = 0; c < 256; c++) { /* another letter, case, or sign */
            strcpy(other, text);
            other[i] = (char)c;
            assert_int_equal(check(other, length, item),
                             (char)c == text[i] ? 0 : -1);
        }
        assert_int_equal(check(text, i, item), -1); /* cut */
    }
    for (c = 0; c < 256; c++) { /* longer */
        snprintf(other, sizeof(other), "%s%c", text, c);
        assert_int_equal(check(other, length + 1, item), -1);
    }
    snprintf(other, sizeof(other), "%s=", text);
    assert_int_equal(check(other, length + 1, item), -1);
    snprintf(other, sizeof(other), " %s", text);
    assert_int_equal(check(other, length + 1, item), -1);
    assert_int_equal(check("", 0, item), -1);
    json_decref(item);
}

static void a_token_of_another_item_is_refused(void **state)
{
    char first[TOKEN_TEXT_MAX], second[TOKEN_TEXT_MAX], mixed[TOKEN_TEXT_MAX];
    uint8_t random[40];
    struct identity identity = wanted();
    json_t *item = make(first), *other = NULL;

    (void)state;
    memcpy(random, chance, sizeof(random));
    random[0] ^= 1; /* another id, the same secret */
    assert_int_equal(token_make(&identity, NOW, "a", random, second, &other,
                                NULL),
                     0);
    assert_int_equal(check(second, strlen(second), other), 0);
    assert_int_equal(check(second, strlen(second), item), -1);
    assert_int_equal(check(first, strlen(first), other), -1);
    json_decref(other);
    memcpy(random, chance, sizeof(random));
    random[39] ^= 1; /* the same id, another secret */
    assert_int_equal(token_make(&identity, NOW, "a", random, second, &other,
                                NULL),
                     0);
    assert_int_equal(check(second, strlen(second), item), -1);
    strcpy(mixed, first);
    strcpy(mixed + 22, second + 22);
    assert_int_equal(check(mixed, strlen(mixed), item), -1);
    assert_int_equal(check(mixed, strlen(mixed), other), 0);
    json_decref(other);
    json_decref(item);
}

static void a_token_ends_at_its_expiry(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct identity who;
    json_t *item = make(text);
    size_t length = strlen(text);

    (void)state;
    assert_int_equal(token_check(text, length, item, NOW + DAY - 1, &who), 0);
    assert_int_equal(token_check(text, length, item, NOW + DAY, &who), -1);
    assert_int_equal(token_check(text, length, item, INT64_MAX, &who), -1);
    json_object_set_new(item, "expires", json_integer(0)); /* never: never */
    assert_int_equal(token_check(text, length, item, NOW, &who), -1);
    json_decref(item);
}

static void an_item_that_we_would_not_write_is_nobody(void **state)
{
    static const struct {
        const char *member, *value; /* as JSON; NULL: taken out */
    } changes[] = {
        {"id", NULL}, {"id", "\"\""}, {"id", "7"},
        {"id", "\"69642D6279746573\""},
        {"name", NULL}, {"name", "\"\""}, {"name", "\"root\""},
        {"name", "\"grayd\""}, {"name", "\"a\\nb\""}, {"name", "7"},
        {"role", NULL}, {"role", "\"owner\""}, {"role", "3"}, {"role", "null"},
        {"scopes", NULL}, {"scopes", "\"\""}, {"scopes", "[7]"},
        {"scopes", "[\"a b\"]"}, {"scopes", "{}"},
        {"expires", NULL}, {"expires", "\"9999999999999\""},
        {"expires", "1e15"}, {"expires", "null"}, {"expires", "true"},
        {"hash", NULL}, {"hash", "\"\""}, {"hash", "null"},
        {"hash", "\"0000000000000000000000000000000000000000"
                 "000000000000000000000000\""},
    };
    char text[TOKEN_TEXT_MAX];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        json_t *item = make(text);

        if (changes[i].value == NULL) {
            json_object_del(item, changes[i].member);
        } else {
            json_object_set_new(item, changes[i].member,
                                json_loads(changes[i].value, JSON_DECODE_ANY,
                                           NULL));
        }
        if (check(text, strlen(text), item) == 0) {
            fail_msg("%s: %s", changes[i].member, changes[i].value);
        }
        json_decref(item);
    }
    json_decref(make(text));
    assert_int_equal(check(text, strlen(text), NULL), -1);
}

/* ---- what may be made -------------------------------------------------- */

static void refuses(const struct identity *identity, const char *code)
{
    char text[TOKEN_TEXT_MAX] = "untouched";
    struct gray_problem problem = {"", "", 0};
    json_t *item = NULL;

    assert_true(token_make(identity, NOW, "a", chance, text, &item, &problem) <
                0);
    assert_string_equal(problem.code, code);
    assert_true(problem.sentence[0] != '\0');
    assert_null(item);
    assert_string_equal(text, "untouched");
}

static void accepts(const struct identity *identity)
{
    char text[TOKEN_TEXT_MAX];
    json_t *item = NULL;

    assert_int_equal(
        token_make(identity, NOW, "a", chance, text, &item, NULL), 0);
    assert_int_equal(check(text, strlen(text), item), 0);
    json_decref(item);
}

static void names_are_seen_for_what_they_are(void **state)
{
    static const char *const bad[] = {
        "", " ci", "ci ", "a\tb", "a\nb", "a\x7f", "a\x1b[31m", "a\xff",
        "\xc0\xaf", "cut\xe5\x85", "\xc2\x85", "\302\240ci",
        "ci\342\200\256tool", /* right to left */
        "ci\342\200\213",     /* zero width */
        "\357\273\277ci", "root", "grayd", "uid 0",
        "root (login alice)", "a(b", "a)b",
    };
    static const char *const good[] = {
        "ci", "ci cart", "CI/cart@build-7", "rooted", "graydon", "uid",
        "\xe5\x8f\x91\xe5\xb8\x83\xe6\x9c\xba\xe5\x99\xa8\xe4\xba\xba",
        "\303\234bung", "\xf0\x9f\x9a\x80",
    };
    struct identity identity = wanted();
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        strcpy(identity.name, bad[i]);
        refuses(&identity, "bad-name");
    }
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        strcpy(identity.name, good[i]);
        accepts(&identity);
    }
    memset(identity.name, 'n', sizeof(identity.name)); /* no NUL in it */
    refuses(&identity, "bad-name");
    identity.name[IDENTITY_NAME_MAX] = '\0'; /* at the limit */
    accepts(&identity);
}

static void roles_scopes_and_expiries_have_limits(void **state)
{
    static const char *const bad[] = {"-a", ".a", "a b", "a/b", "*", "a\n",
                                      "\xc3\xa4"};
    struct identity identity = wanted();
    size_t i;

    (void)state;
    identity.role = ROLE_COUNT;
    refuses(&identity, "bad-role");
    identity.role = (enum role) - 1;
    refuses(&identity, "bad-role");
    identity = wanted();
    identity.scope_count = 0;
    refuses(&identity, "bad-scope");
    identity.scope_count = IDENTITY_SCOPES_MAX;
    accepts(&identity);
    identity.scope_count = IDENTITY_SCOPES_MAX + 1;
    refuses(&identity, "bad-scope");
    identity.scope_count = 2;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        strcpy(identity.scopes[1], bad[i]);
        refuses(&identity, "bad-scope");
    }
    memset(identity.scopes[1], 's', sizeof(identity.scopes[1]));
    refuses(&identity, "bad-scope");
    identity.scopes[1][GRAY_NAME_MAX] = '\0';
    accepts(&identity);
    identity = wanted();
    identity.expires = NOW;
    refuses(&identity, "bad-expiry");
    identity.expires = 0; /* a token without an end is none */
    refuses(&identity, "bad-expiry");
    identity.expires = NOW + 1;
    accepts(&identity);
    identity.expires = NOW + (int64_t)TOKEN_TTL_MAX_S * 1000;
    accepts(&identity);
    identity.expires++;
    refuses(&identity, "bad-expiry");
    identity.expires = INT64_MAX;
    refuses(&identity, "bad-expiry");
}

/* ---- canaries ---------------------------------------------------------- */

static bool contains(const void *bytes, size_t length, const char *canary)
{
    return memmem(bytes, length, canary, strlen(canary)) != NULL;
}

static void no_secret_is_anywhere_else(void **state)
{
    char text[TOKEN_TEXT_MAX], id[17], *shown, *stored;
    const char *secret = text + 22, *hash;
    struct identity who;
    json_t *item = make(text), *public;

    (void)state;
    hash = json_string_value(json_object_get(item, "hash"));
    json_object_set_new(item, "unheardOf", json_string("kept to itself"));
    stored = json_dumps(item, 0);
    assert_false(contains(stored, strlen(stored), secret));
    public = token_public(item);
    shown = json_dumps(public, 0);
    assert_false(contains(shown, strlen(shown), secret));
    assert_false(contains(shown, strlen(shown), hash));
    assert_null(json_object_get(public, "hash"));
    assert_null(json_object_get(public, "unheardOf"));
    assert_int_equal(json_object_size(public), 7);
    assert_int_equal(token_check(text, strlen(text), item, NOW, &who), 0);
    assert_false(contains(&who, sizeof(who), secret));
    assert_false(contains(&who, sizeof(who), hash));
    assert_false(contains(&who, sizeof(who), (const char *)chance + 8));
    assert_int_equal(token_id(text, strlen(text), id), 0);
    assert_false(contains(id, sizeof(id), secret));
    free(shown);
    free(stored);
    json_decref(public);
    json_decref(item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_known_again),
        cmocka_unit_test(every_other_text_is_refused),
        cmocka_unit_test(a_token_of_another_item_is_refused),
        cmocka_unit_test(a_token_ends_at_its_expiry),
        cmocka_unit_test(an_item_that_we_would_not_write_is_nobody),
        cmocka_unit_test(names_are_seen_for_what_they_are),
        cmocka_unit_test(roles_scopes_and_expiries_have_limits),
        cmocka_unit_test(no_secret_is_anywhere_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
