/* SPDX-License-Identifier: Apache-2.0
 * token.c - secrets that are handed out once and known again by their hash.
 *
 * Why: whoever reads the database must not be able to call us.  A secret has
 * 256 random bits, so plain SHA-256 is enough (nothing can be guessed, no
 * slow hash is needed), and the comparison takes the same time whatever
 * differs.  One spelling each: every other is refused before any look-up.
 * Read next: role.c.
 */
#include <errno.h>
#include <string.h>

#include "control/hex.h"
#include "control/identity/internal.h"
#include "runtime/base64.h"
#include "runtime/internal.h"

#include <openssl/crypto.h>

#define PREFIX "gray_"
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)
#define ID_LENGTH 16u
#define SECRET_SIZE 32u
#define SECRET_LENGTH 43u /* of 32 bytes in base64url */
#define SECRET_AT (PREFIX_LENGTH + ID_LENGTH + 1)
#define TEXT_LENGTH (SECRET_AT + SECRET_LENGTH)

static bool is_hex(const char *text, size_t digits)
{
    uint8_t bytes[SHA256_DIGEST_LENGTH];

    return hex_read(text, bytes, digits / 2) == 0;
}

/* ---- what may stand in an item ----------------------------------------- */

/* The beginning of a document's name: see policy/check.c. */
static bool scope_good(const char *scope)
{
    size_t i, length = strnlen(scope, GRAY_NAME_MAX + 1);

    for (i = 0; i < length; i++) {
        char b = scope[i];
        bool plain = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') ||
                     (b >= '0' && b <= '9');

        if (!plain && (i == 0 || (b != '.' && b != '_' && b != '-'))) {
            return false;
        }
    }
    return length <= GRAY_NAME_MAX;
}

static int wanted_check(const struct identity *wanted, int64_t now_ms,
                        struct gray_problem *ret_problem)
{
    const int64_t most = (int64_t)TOKEN_TTL_MAX_S * 1000;
    size_t i;

    if (strnlen(wanted->name, sizeof(wanted->name)) > IDENTITY_NAME_MAX ||
        !identity_name_good(wanted->name) ||
        identity_name_reserved(wanted->name)) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-name",
            "A token's name has 1 to %u bytes that can be seen, no "
            "parentheses, and is not root, grayd or a uid.",
            IDENTITY_NAME_MAX);
    }
    if ((unsigned)wanted->role >= ROLE_COUNT) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-role",
                                   "There is no such role.");
    }
    if (wanted->scope_count == 0 ||
        wanted->scope_count > IDENTITY_SCOPES_MAX) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-scope",
            "A token needs 1 to %u scopes (\"\" covers every name).",
            IDENTITY_SCOPES_MAX);
    }
    if (wanted->role == ROLE_AGENT &&
        (wanted->scope_count != 1 || wanted->scopes[0][0] == '\0')) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-scope",
            "The token of an agent has one scope: the name of its host.");
    }
    for (i = 0; i < wanted->scope_count; i++) {
        if (!scope_good(wanted->scopes[i])) {
            return runtime_problem_set(
                ret_problem, EINVAL, "bad-scope",
                "Scope %zu is not the beginning of a document's name "
                "(at most %u of a-z A-Z 0-9 . _ -, a letter or digit first).",
                i + 1, GRAY_NAME_MAX);
        }
    }
    if (wanted->expires <= now_ms || wanted->expires - now_ms > most) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-expiry",
            "A token expires later than now and within %u days.",
            TOKEN_TTL_MAX_S / 86400u);
    }
    return 0;
}

/* ---- make -------------------------------------------------------------- */

static json_t *scopes_of(const struct identity *wanted)
{
    json_t *scopes = json_array();
    size_t i;

    for (i = 0; i < wanted->scope_count; i++) {
        if (json_array_append_new(scopes, json_string(wanted->scopes[i])) !=
            0) {
            json_decref(scopes);
            return NULL;
        }
    }
    return scopes;
}

int token_make(const struct identity *wanted, int64_t now_ms,
               const char *created_by, const uint8_t random[40],
               char ret_text[TOKEN_TEXT_MAX], json_t **ret_item,
               struct gray_problem *ret_problem)
{
    char id[ID_LENGTH + 1], hex[2 * SHA256_DIGEST_LENGTH + 1];
    uint8_t hash[SHA256_DIGEST_LENGTH];
    json_t *item;
    int error = wanted_check(wanted, now_ms, ret_problem);

    if (error != 0) {
        return error;
    }
    hex_write(random, ID_LENGTH / 2, id);
    SHA256(random + ID_LENGTH / 2, SECRET_SIZE, hash);
    hex_write(hash, sizeof(hash), hex);
    item = json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:s, s:s}", "id", id,
                     "name", wanted->name, "role", role_word(wanted->role),
                     "scopes", scopes_of(wanted), "expires",
                     (json_int_t)wanted->expires, "created",
                     (json_int_t)now_ms, "createdBy", created_by, "hash", hex);
    if (item == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "no-memory",
                                   "There is no memory for a token.");
    }
    memcpy(ret_text, PREFIX, PREFIX_LENGTH);
    memcpy(ret_text + PREFIX_LENGTH, id, ID_LENGTH);
    ret_text[SECRET_AT - 1] = '_';
    runtime_base64_encode(random + ID_LENGTH / 2, SECRET_SIZE,
                          ret_text + SECRET_AT);
    ret_text[TEXT_LENGTH] = '\0';
    *ret_item = item;
    return 0;
}

/* ---- check ------------------------------------------------------------- */

int token_id(const char *text, size_t length, char ret_id[ID_LENGTH + 1])
{
    uint8_t secret[SECRET_SIZE];
    size_t size;

    if (length != TEXT_LENGTH || memcmp(text, PREFIX, PREFIX_LENGTH) != 0 ||
        !is_hex(text + PREFIX_LENGTH, ID_LENGTH) ||
        text[SECRET_AT - 1] != '_') {
        return -1;
    }
    size = runtime_base64_decode(text + SECRET_AT, SECRET_LENGTH, secret,
                                 sizeof(secret));
    OPENSSL_cleanse(secret, sizeof(secret));
    if (size != SECRET_SIZE) {
        return -1;
    }
    memcpy(ret_id, text + PREFIX_LENGTH, ID_LENGTH);
    ret_id[ID_LENGTH] = '\0';
    return 0;
}

/* The item as an identity; nothing is believed that token_make() would not
 * have written. */
static int item_read(const json_t *item, struct identity *ret_identity,
                     const char **ret_hash)
{
    const char *id = json_string_value(json_object_get(item, "id"));
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *role = json_string_value(json_object_get(item, "role"));
    const char *hash = json_string_value(json_object_get(item, "hash"));
    const json_t *expires = json_object_get(item, "expires");
    const json_t *scopes = json_object_get(item, "scopes");
    size_t i;

    if (id == NULL || strlen(id) != ID_LENGTH || !is_hex(id, ID_LENGTH) ||
        name == NULL || !identity_name_good(name) ||
        identity_name_reserved(name) || role == NULL ||
        role_parse(role, &ret_identity->role) != 0 || hash == NULL ||
        strlen(hash) != 2 * SHA256_DIGEST_LENGTH ||
        !is_hex(hash, 2 * SHA256_DIGEST_LENGTH) ||
        !json_is_integer(expires) || !json_is_array(scopes) ||
        json_array_size(scopes) > IDENTITY_SCOPES_MAX) {
        return -1;
    }
    for (i = 0; i < json_array_size(scopes); i++) {
        const char *scope = json_string_value(json_array_get(scopes, i));

        if (scope == NULL || !scope_good(scope)) {
            return -1;
        }
        strcpy(ret_identity->scopes[i], scope);
    }
    ret_identity->scope_count = json_array_size(scopes);
    ret_identity->expires = json_integer_value(expires);
    strcpy(ret_identity->token_id, id);
    strcpy(ret_identity->name, name);
    strcpy(ret_identity->via, "token");
    *ret_hash = hash;
    return 0;
}

int token_check(const char *text, size_t length, const json_t *item,
                int64_t now_ms, struct identity *ret_identity)
{
    char id[ID_LENGTH + 1], hex[2 * SHA256_DIGEST_LENGTH + 1];
    uint8_t secret[SECRET_SIZE], hash[SHA256_DIGEST_LENGTH];
    struct identity found = {.name = ""};
    const char *stored;
    bool same;

    if (token_id(text, length, id) != 0 ||
        item_read(item, &found, &stored) != 0) {
        return -1;
    }
    runtime_base64_decode(text + SECRET_AT, SECRET_LENGTH, secret,
                          sizeof(secret));
    SHA256(secret, sizeof(secret), hash);
    hex_write(hash, sizeof(hash), hex);
    same = CRYPTO_memcmp(hex, stored, sizeof(hex) - 1) == 0;
    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(hash, sizeof(hash));
    OPENSSL_cleanse(hex, sizeof(hex));
    if (!same || strcmp(id, found.token_id) != 0 || now_ms >= found.expires) {
        return -1;
    }
    *ret_identity = found;
    return 0;
}

json_t *token_public(const json_t *item)
{
    static const char *const shown[] = {"id",      "name",    "role",
                                        "scopes",  "expires", "created",
                                        "createdBy"};
    json_t *result = json_object();
    size_t i;

    for (i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        json_t *value = json_object_get(item, shown[i]);

        if (value != NULL &&
            json_object_set_new(result, shown[i], json_deep_copy(value)) !=
                0) {
            json_decref(result);
            return NULL;
        }
    }
    return result;
}
