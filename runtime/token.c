/* SPDX-License-Identifier: Apache-2.0
 * token.c - values signed by this house: the sticky cookie and X-Gray-Ctx.
 *
 * Why: a browser keeps our cookie and a test tool our colour, so both are the
 * client's word until the MAC says otherwise.  v1.<kid>.<payload>.<mac>, with
 * HMAC-SHA-256 (RFC 2104) cut to 128 bits over "name|v1|kid|payload": a value
 * of one name is worth nothing under another.  The key's pads are hashed when
 * it is loaded, so that a short value costs three compressions.  There is one
 * spelling of each value: every other is refused before anything is compared.
 * Read next: keys.c, base64.c.
 */
#include <string.h>

#include "runtime/base64.h"
#include "runtime/internal.h"

#include <openssl/crypto.h>

#define MAC_SIZE 16u
#define MAC_TEXT 22u /* of 16 bytes, without padding */
#define KID_MAX 10u
#define PAYLOAD_MAX 768u
#define TOKEN_VERSION "v1"
#define CONTEXT_NAME "x-gray-ctx"

/* ---- bytes of a payload, little-endian --------------------------------------
 */

struct cursor {
    uint8_t *bytes;
    size_t at, size;
    bool failed;
};

static void put(struct cursor *c, uint64_t value, size_t width)
{
    size_t i;

    if (c->failed || width > c->size - c->at) {
        c->failed = true;
        return;
    }
    for (i = 0; i < width; i++) {
        c->bytes[c->at++] = (uint8_t)(value >> (8 * i));
    }
}

static void put_bytes(struct cursor *c, const char *bytes, size_t length)
{
    if (c->failed || length > c->size - c->at) {
        c->failed = true;
        return;
    }
    memcpy(c->bytes + c->at, bytes, length);
    c->at += length;
}

static uint64_t take(struct cursor *c, size_t width)
{
    uint64_t value = 0;
    size_t i;

    if (c->failed || width > c->size - c->at) {
        c->failed = true;
        return 0;
    }
    for (i = 0; i < width; i++) {
        value |= (uint64_t)c->bytes[c->at++] << (8 * i);
    }
    return value;
}

/* ---- signing
 * ------------------------------------------------------------------ */

static void mac_of(const struct key *key, struct gray_str name,
                   const char *signed_text, size_t length,
                   uint8_t ret_mac[SHA256_DIGEST_LENGTH])
{
    SHA256_CTX context = key->inner;
    uint8_t first[SHA256_DIGEST_LENGTH];

    SHA256_Update(&context, name.data, name.length);
    SHA256_Update(&context, "|", 1);
    SHA256_Update(&context, signed_text, length);
    SHA256_Final(first, &context);
    context = key->outer;
    SHA256_Update(&context, first, sizeof(first));
    SHA256_Final(ret_mac, &context);
}

/* "v1|kid|payload" from "v1.kid.payload": one buffer, two dots turned. */
static size_t signed_text(char *buffer, struct gray_str token, size_t kid_end,
                          size_t payload_end)
{
    memcpy(buffer, token.data, payload_end);
    buffer[sizeof(TOKEN_VERSION) - 1] = '|';
    buffer[kid_end] = '|';
    return payload_end;
}

/* Canonical decimal of a 32-bit number; where it ends, or 0. */
static size_t kid_read(struct gray_str token, size_t at, uint32_t *ret_kid)
{
    uint64_t kid = 0;
    size_t i = at;

    while (i < token.length && i - at < KID_MAX && token.data[i] >= '0' &&
           token.data[i] <= '9') {
        kid = kid * 10 + (uint64_t)(token.data[i++] - '0');
    }
    if (i == at || token.data[at] == '0' || i >= token.length ||
        token.data[i] != '.' || kid > UINT32_MAX) {
        return 0;
    }
    *ret_kid = (uint32_t)kid;
    return i;
}

static const struct keys *runtime_keys(const struct gray_runtime *runtime)
{
    const struct gray_runtime_set *set =
        __atomic_load_n(&runtime->set, __ATOMIC_ACQUIRE);

    return set != NULL && set->keys.count > 0 ? &set->keys : NULL;
}

bool gray_runtime_keyless(const struct gray_runtime *runtime)
{
    const struct gray_runtime_set *set =
        __atomic_load_n(&runtime->set, __ATOMIC_ACQUIRE);

    return set != NULL && set->keys_generation != 0 && set->keys.count == 0;
}

/* Payload of a token that one of our keys signed under this name. */
static int token_open(const struct keys *keys, struct gray_str name,
                      struct gray_str token, struct cursor *payload)
{
    static const char head[] = TOKEN_VERSION ".";
    const size_t head_length = sizeof(head) - 1;
    char text[GRAY_COOKIE_MAX];
    uint8_t mac[SHA256_DIGEST_LENGTH], given[MAC_SIZE];
    size_t kid_end, payload_end, length;
    uint32_t kid = 0, i;

    if (keys == NULL || token.length > GRAY_COOKIE_MAX ||
        token.length < head_length + 2 + MAC_TEXT + 2 ||
        memcmp(token.data, head, head_length) != 0) {
        return -1;
    }
    kid_end = kid_read(token, head_length, &kid);
    payload_end = token.length - MAC_TEXT - 1;
    if (kid_end == 0 || kid_end >= payload_end ||
        token.data[payload_end] != '.' ||
        runtime_base64_decode(token.data + payload_end + 1, MAC_TEXT, given,
                              sizeof(given)) != MAC_SIZE) {
        return -1;
    }
    for (i = 0; i < keys->count && keys->keys[i].id != kid; i++) {
    }
    if (i == keys->count) {
        return -1;
    }
    length = signed_text(text, token, kid_end, payload_end);
    mac_of(&keys->keys[i], name, text, length, mac);
    if (CRYPTO_memcmp(mac, given, MAC_SIZE) != 0) {
        return -1;
    }
    length = runtime_base64_decode(token.data + kid_end + 1,
                                   payload_end - kid_end - 1, payload->bytes,
                                   payload->size);
    if (length == 0) {
        return -1;
    }
    payload->size = length;
    payload->at = 0;
    payload->failed = false;
    return 0;
}

static size_t token_seal(const struct keys *keys, struct gray_str name,
                         const struct cursor *payload, char *buffer,
                         size_t size)
{
    char text[GRAY_COOKIE_MAX], digits[KID_MAX];
    uint8_t mac[SHA256_DIGEST_LENGTH];
    struct gray_str token = {text, 0};
    size_t kid_end, payload_end, at = sizeof(TOKEN_VERSION), count = 0;
    uint32_t kid;

    if (keys == NULL || payload->failed ||
        sizeof(TOKEN_VERSION) + KID_MAX + 2 + base64_length(payload->at) +
                MAC_TEXT >
            sizeof(text)) {
        return 0;
    }
    memcpy(text, TOKEN_VERSION ".", at);
    for (kid = keys->keys[0].id; kid > 0; kid /= 10) {
        digits[count++] = (char)('0' + kid % 10);
    }
    while (count > 0) {
        text[at++] = digits[--count];
    }
    kid_end = at;
    text[at++] = '.';
    at += runtime_base64_encode(payload->bytes, payload->at, text + at);
    payload_end = at;
    if (payload_end + 1 + MAC_TEXT > size) {
        return 0;
    }
    token.length = (uint32_t)payload_end;
    signed_text(buffer, token, kid_end, payload_end);
    mac_of(&keys->keys[0], name, buffer, payload_end, mac);
    memcpy(buffer, text, payload_end);
    buffer[payload_end] = '.';
    runtime_base64_encode(mac, MAC_SIZE, buffer + payload_end + 1);
    return payload_end + 1 + MAC_TEXT;
}

/* ---- the cookie
 * ------------------------------------------------------------------ */

#define COOKIE_ANONYMOUS 0x80u /* an issued id stands in the payload */

int gray_cookie_read(const struct gray_runtime *runtime, struct gray_str name,
                     struct gray_str value, int64_t now_s,
                     struct gray_cookie *ret_cookie)
{
    uint8_t bytes[PAYLOAD_MAX];
    struct cursor c = {bytes, 0, sizeof(bytes), false};
    struct gray_cookie cookie;
    uint64_t head;
    uint32_t i;

    if (token_open(runtime_keys(runtime), name, value, &c) != 0) {
        return -1;
    }
    memset(&cookie, 0, sizeof(cookie));
    head = take(&c, 1);
    cookie.mark_count = (uint32_t)(head & ~COOKIE_ANONYMOUS);
    cookie.issued = (int64_t)take(&c, 5);
    cookie.expires = (int64_t)take(&c, 5);
    if ((head & COOKIE_ANONYMOUS) != 0) {
        cookie.anonymous = take(&c, 8);
        c.failed = c.failed || cookie.anonymous == 0;
    }
    if (cookie.mark_count > GRAY_ARMS_MAX) {
        return -1;
    }
    for (i = 0; i < cookie.mark_count; i++) {
        struct gray_cookie_mark *mark = &cookie.marks[i];

        mark->scope = take(&c, 8);
        mark->unit_hash = take(&c, 8);
        mark->revision = (uint32_t)take(&c, 4);
        mark->attempt = (uint16_t)take(&c, 2);
        mark->state = (uint8_t)take(&c, 1);
        mark->variant = (uint8_t)take(&c, 1);
        c.failed = c.failed || mark->state < GRAY_MARK_IN ||
                   mark->state > GRAY_MARK_REVOKED;
    }
    if (c.failed || c.at != c.size || now_s >= cookie.expires ||
        cookie.expires <= cookie.issued) {
        return -1;
    }
    *ret_cookie = cookie;
    return 0;
}

struct gray_mark gray_cookie_mark(const struct gray_cookie *cookie,
                                  uint64_t scope, struct gray_str unit)
{
    struct gray_mark mark = {.state = GRAY_MARK_ABSENT};
    uint64_t unit_hash;
    uint32_t i;

    if (cookie == NULL) {
        return mark;
    }
    unit_hash = gray_unit_hash(unit);
    for (i = 0; i < cookie->mark_count; i++) {
        const struct gray_cookie_mark *m = &cookie->marks[i];

        if (m->scope == scope && m->unit_hash == unit_hash) {
            mark.state = m->state;
            mark.variant = m->variant;
            mark.attempt = m->attempt;
            mark.revision = m->revision;
            break;
        }
    }
    return mark;
}

size_t gray_cookie_write(const struct gray_runtime *runtime,
                         struct gray_str name, const struct gray_cookie *cookie,
                         char *buffer, size_t size)
{
    uint8_t bytes[PAYLOAD_MAX];
    struct cursor c = {bytes, 0, sizeof(bytes), false};
    uint32_t i;

    if (cookie->mark_count > GRAY_ARMS_MAX || cookie->issued < 0 ||
        cookie->expires <= cookie->issued ||
        cookie->expires >= INT64_C(1) << 40) {
        return 0;
    }
    put(&c,
        cookie->mark_count | (cookie->anonymous != 0 ? COOKIE_ANONYMOUS : 0u),
        1);
    put(&c, (uint64_t)cookie->issued, 5);
    put(&c, (uint64_t)cookie->expires, 5);
    if (cookie->anonymous != 0) {
        put(&c, cookie->anonymous, 8);
    }
    for (i = 0; i < cookie->mark_count; i++) {
        const struct gray_cookie_mark *mark = &cookie->marks[i];

        if (mark->state < GRAY_MARK_IN || mark->state > GRAY_MARK_REVOKED) {
            return 0;
        }
        put(&c, mark->scope, 8);
        put(&c, mark->unit_hash, 8);
        put(&c, mark->revision, 4);
        put(&c, mark->attempt, 2);
        put(&c, mark->state, 1);
        put(&c, mark->variant, 1);
    }
    return token_seal(runtime_keys(runtime), name, &c, buffer, size);
}

/* ---- the context
 * ------------------------------------------------------------------ */

/* Names, joined by ',' and ':' where arms are meant. */
static bool names_only(const char *text, size_t length, const char *joints)
{
    size_t i;

    for (i = 0; i < length; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
              c == '_' || c == '-' || (c != '\0' && strchr(joints, c)))) {
            return false;
        }
    }
    return true;
}

static bool context_valid(const struct gray_context *context, size_t lane,
                          size_t arms)
{
    return lane < sizeof(context->lane) && arms < sizeof(context->arms) &&
           names_only(context->lane, lane, "") &&
           names_only(context->arms, arms, ",:") &&
           context->traffic_class < GRAY_CLASS_COUNT && context->expires > 0 &&
           context->expires < INT64_C(1) << 40;
}

int gray_context_read(const struct gray_runtime *runtime, struct gray_str value,
                      int64_t now_s, struct gray_context *ret_context)
{
    struct gray_str name = {CONTEXT_NAME, sizeof(CONTEXT_NAME) - 1};
    uint8_t bytes[PAYLOAD_MAX];
    struct cursor c = {bytes, 0, sizeof(bytes), false};
    struct gray_context context;
    size_t lane, arms;

    if (token_open(runtime_keys(runtime), name, value, &c) != 0) {
        return -1;
    }
    memset(&context, 0, sizeof(context));
    context.traffic_class = (uint8_t)take(&c, 1);
    context.expires = (int64_t)take(&c, 5);
    lane = take(&c, 1);
    arms = take(&c, 2);
    if (c.failed || lane >= sizeof(context.lane) ||
        arms >= sizeof(context.arms) || c.size - c.at != lane + arms) {
        return -1;
    }
    memcpy(context.lane, bytes + c.at, lane);
    memcpy(context.arms, bytes + c.at + lane, arms);
    if (!context_valid(&context, lane, arms) || now_s >= context.expires) {
        return -1;
    }
    *ret_context = context;
    return 0;
}

size_t gray_context_write(const struct gray_runtime *runtime,
                          const struct gray_context *context, char *buffer,
                          size_t size)
{
    struct gray_str name = {CONTEXT_NAME, sizeof(CONTEXT_NAME) - 1};
    uint8_t bytes[PAYLOAD_MAX];
    struct cursor c = {bytes, 0, sizeof(bytes), false};
    size_t lane = strnlen(context->lane, sizeof(context->lane));
    size_t arms = strnlen(context->arms, sizeof(context->arms));

    if (!context_valid(context, lane, arms)) {
        return 0;
    }
    put(&c, context->traffic_class, 1);
    put(&c, (uint64_t)context->expires, 5);
    put(&c, lane, 1);
    put(&c, arms, 2);
    put_bytes(&c, context->lane, lane);
    put_bytes(&c, context->arms, arms);
    return token_seal(runtime_keys(runtime), name, &c, buffer, size);
}

uint64_t gray_unit_hash(struct gray_str unit)
{
    static const uint64_t key[2] = {0x67726179206c616eu, 0x6520756e69742031u};

    return gray_siphash(unit.data, unit.length, key);
}
