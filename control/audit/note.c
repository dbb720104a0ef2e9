/* SPDX-License-Identifier: Apache-2.0
 * note.c - a checkpoint as a signed note, and the line that verifies it.
 *
 * Why: the formats are C2SP's signed-note and tlog-checkpoint, so that tools
 * and witnesses of transparency logs can read ours:
 *
 *   origin \n size \n base64(root) \n chain BASE64 \n at MILLISECONDS \n
 *   \n
 *   U+2014 origin base64(4 bytes of the key's id, 64 of Ed25519) \n
 *
 * There is one spelling of each: what is read is written again and compared.
 * Read next: notes.c, signer.c.
 */
#include <inttypes.h>
#include <string.h>

#include "control/audit/internal.h"

#include <openssl/evp.h>

#define ED25519_KIND 0x01 /* of a signed note's key */

/* ---- base64 ------------------------------------------------------------ */

void audit_base64_write(const uint8_t *bytes, size_t size, char *ret_text)
{
    EVP_EncodeBlock((unsigned char *)ret_text, bytes, (int)size);
}

int audit_base64_read(const char *text, size_t length, uint8_t *ret_bytes,
                      size_t size)
{
    uint8_t bytes[BASE64_MAX(256)];
    char again[BASE64_MAX(256)];

    if (size > 256 || length != BASE64_MAX(size) - 1 ||
        EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length) < 0) {
        return -1;
    }
    audit_base64_write(bytes, size, again);
    if (memcmp(again, text, length) != 0) {
        return -1;
    }
    memcpy(ret_bytes, bytes, size);
    return 0;
}

/* ---- verifiers --------------------------------------------------------- */

static bool origin_good(const char *origin, size_t length)
{
    size_t i;

    for (i = 0; i < length; i++) {
        if (origin[i] <= 0x20 || origin[i] >= 0x7f || origin[i] == '+') {
            return false;
        }
    }
    return length > 0 && length <= NOTE_ORIGIN_MAX;
}

bool audit_origin_good(const char *origin)
{
    return origin_good(origin, strnlen(origin, NOTE_ORIGIN_MAX + 1));
}

void audit_verifier_make(const char *origin, const uint8_t key[NOTE_KEY],
                         struct audit_verifier *ret_verifier)
{
    static const uint8_t between[2] = {'\n', ED25519_KIND};
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256_CTX context;

    memset(ret_verifier, 0, sizeof(*ret_verifier));
    strcpy(ret_verifier->origin, origin);
    memcpy(ret_verifier->key, key, NOTE_KEY);
    SHA256_Init(&context);
    SHA256_Update(&context, origin, strlen(origin));
    SHA256_Update(&context, between, sizeof(between));
    SHA256_Update(&context, key, NOTE_KEY);
    SHA256_Final(hash, &context);
    memcpy(ret_verifier->id, hash, sizeof(ret_verifier->id));
}

void audit_verifier_write(const struct audit_verifier *verifier,
                          char ret_line[VERIFIER_MAX])
{
    uint8_t bytes[1 + NOTE_KEY] = {ED25519_KIND};
    char id[2 * sizeof(verifier->id) + 1], key[BASE64_MAX(sizeof(bytes))];

    memcpy(bytes + 1, verifier->key, NOTE_KEY);
    hex_write(verifier->id, sizeof(verifier->id), id);
    audit_base64_write(bytes, sizeof(bytes), key);
    snprintf(ret_line, VERIFIER_MAX, "%s+%s+%s", verifier->origin, id, key);
}

int audit_verifier_read(const char *line, size_t length,
                        struct audit_verifier *ret_verifier)
{
    const size_t key_length = BASE64_MAX(1 + NOTE_KEY) - 1;
    char origin[NOTE_ORIGIN_MAX + 1];
    uint8_t bytes[1 + NOTE_KEY], id[4];
    struct audit_verifier verifier;
    size_t tail = 1 + 2 * sizeof(id) + 1 + key_length;

    if (length > 0 && line[length - 1] == '\n') {
        length--;
    }
    if (length <= tail || !origin_good(line, length - tail)) {
        return -1;
    }
    memcpy(origin, line, length - tail);
    origin[length - tail] = '\0';
    line += length - tail;
    if (line[0] != '+' || hex_read(line + 1, id, sizeof(id)) != 0 ||
        line[1 + 2 * sizeof(id)] != '+' ||
        audit_base64_read(line + tail - key_length, key_length, bytes,
                          sizeof(bytes)) != 0 ||
        bytes[0] != ED25519_KIND) {
        return -1;
    }
    audit_verifier_make(origin, bytes + 1, &verifier);
    if (memcmp(verifier.id, id, sizeof(id)) != 0) {
        return -1;
    }
    *ret_verifier = verifier;
    return 0;
}

/* ---- notes ------------------------------------------------------------- */

size_t audit_note_body(const struct audit_note *note, char ret_text[NOTE_MAX])
{
    char root[BASE64_MAX(AUDIT_HASH)], chain[BASE64_MAX(AUDIT_HASH)];

    audit_base64_write(note->root, AUDIT_HASH, root);
    audit_base64_write(note->chain, AUDIT_HASH, chain);
    return (size_t)snprintf(ret_text, NOTE_MAX,
                            "%s\n%" PRIu64 "\n%s\nchain %s\nat %" PRId64 "\n",
                            note->origin, note->size, root, chain, note->at);
}

size_t audit_note_sign(char *text, size_t room, size_t body,
                       const struct audit_verifier *verifier,
                       const uint8_t signature[NOTE_SIGNATURE])
{
    uint8_t bytes[sizeof(verifier->id) + NOTE_SIGNATURE];
    char signed_text[BASE64_MAX(sizeof(bytes))];

    memcpy(bytes, verifier->id, sizeof(verifier->id));
    memcpy(bytes + sizeof(verifier->id), signature, NOTE_SIGNATURE);
    audit_base64_write(bytes, sizeof(bytes), signed_text);
    return body + (size_t)snprintf(text + body, room - body,
                                   "\n" NOTE_DASH "%s %s\n", verifier->origin,
                                   signed_text);
}

/* A decimal number that ends a line; where the next line begins, or NULL. */
static const char *read_number(const char *at, const char *end,
                               uint64_t *ret_value)
{
    uint64_t value = 0;

    if (at == end || *at < '0' || *at > '9') {
        return NULL;
    }
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        if (value > (INT64_MAX - digit) / 10) {
            return NULL;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return at < end && *at == '\n' ? at + 1 : NULL;
}

/* A word, then a hash that ends a line; where the next line begins. */
static const char *read_hash(const char *at, const char *end, const char *word,
                             uint8_t ret_hash[AUDIT_HASH])
{
    const size_t wide = BASE64_MAX(AUDIT_HASH) - 1, skip = strlen(word);

    if ((size_t)(end - at) < skip + wide + 1 || memcmp(at, word, skip) != 0 ||
        audit_base64_read(at + skip, wide, ret_hash, AUDIT_HASH) != 0 ||
        at[skip + wide] != '\n') {
        return NULL;
    }
    return at + skip + wide + 1;
}

/* The body; its length, or 0. */
static size_t read_body(const char *text, size_t length,
                        struct audit_note *ret_note)
{
    const char *end = text + length, *at = memchr(text, '\n', length);
    char again[NOTE_MAX];
    uint64_t moment = 0;
    size_t body;

    memset(ret_note, 0, sizeof(*ret_note));
    if (at == NULL || !origin_good(text, (size_t)(at - text))) {
        return 0;
    }
    memcpy(ret_note->origin, text, (size_t)(at - text));
    if ((at = read_number(at + 1, end, &ret_note->size)) == NULL ||
        (at = read_hash(at, end, "", ret_note->root)) == NULL ||
        (at = read_hash(at, end, "chain ", ret_note->chain)) == NULL ||
        end - at < 3 || memcmp(at, "at ", 3) != 0 ||
        (at = read_number(at + 3, end, &moment)) == NULL) {
        return 0;
    }
    ret_note->at = (int64_t)moment;
    body = audit_note_body(ret_note, again);
    return body == (size_t)(at - text) && memcmp(again, text, body) == 0 &&
                   end - at >= 2 && at[0] == '\n'
               ? body
               : 0;
}

static bool signature_holds(const char *body, size_t length,
                            const uint8_t *signature,
                            const struct audit_verifier *verifier)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                verifier->key, NOTE_KEY);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool holds =
        key != NULL && context != NULL &&
        EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
        EVP_DigestVerify(context, signature, NOTE_SIGNATURE,
                         (const uint8_t *)body, length) == 1;

    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return holds;
}

int audit_note_signatures(const char *text, size_t length, size_t body,
                          const struct audit_verifier *verifier)
{
    const char *at = text + body + 1, *end = text + length;
    uint8_t bytes[sizeof(verifier->id) + NOTE_SIGNATURE];
    const size_t wide = BASE64_MAX(sizeof(bytes)) - 1;
    bool holds = false, some = false;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *name, *blank;

        if (stop == NULL || (size_t)(stop - at) < NOTE_DASH_LENGTH ||
            memcmp(at, NOTE_DASH, NOTE_DASH_LENGTH) != 0) {
            return -1;
        }
        name = at + NOTE_DASH_LENGTH;
        blank = memchr(name, ' ', (size_t)(stop - name));
        if (blank == NULL || blank == name) {
            return -1;
        }
        at = stop + 1;
        some = true;
        if (verifier == NULL ||
            (size_t)(blank - name) != strlen(verifier->origin) ||
            memcmp(name, verifier->origin, (size_t)(blank - name)) != 0 ||
            (size_t)(stop - blank - 1) != wide ||
            audit_base64_read(blank + 1, wide, bytes, sizeof(bytes)) != 0 ||
            memcmp(bytes, verifier->id, sizeof(verifier->id)) != 0) {
            continue; /* somebody else's */
        }
        if (!signature_holds(text, body, bytes + sizeof(verifier->id),
                             verifier)) {
            return -2;
        }
        holds = true;
    }
    if (!some) {
        return -1;
    }
    return verifier == NULL || holds ? 0 : -2;
}

int audit_note_read(const char *text, size_t length,
                    const struct audit_verifier *verifier,
                    struct audit_note *ret_note)
{
    struct audit_note note;
    size_t body = read_body(text, length, &note);
    int error =
        body == 0 ? -1 : audit_note_signatures(text, length, body, verifier);

    if (error == 0 && verifier != NULL &&
        strcmp(note.origin, verifier->origin) != 0) {
        error = -2;
    }
    if (error == 0) {
        *ret_note = note;
    }
    return error;
}
