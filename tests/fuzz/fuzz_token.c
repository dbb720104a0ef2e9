/* SPDX-License-Identifier: Apache-2.0
 * fuzz_token.c - any bytes as a cookie or a colour, unsigned and signed.
 *
 * Why: unsigned bytes must be refused without a look beyond them; behind a
 * right MAC lies a decoder that a leaked key would open to everyone.  Whatever
 * is accepted must be the one spelling that we would write ourselves.
 * Read next: runtime/token.c.
 */
#include <string.h>

#include "runtime/base64.h"
#include "runtime/internal.h"
#include "tests/fuzz/fuzz.h"

#include <openssl/hmac.h>

#define NOW 1767225600

static const uint8_t secret[32] = "thirty-two bytes of a secret  .";

static struct gray_runtime *runtime_with_key(void)
{
    static struct gray_runtime runtime;
    static struct gray_runtime_set set;
    struct keys_entry entry = {.id = 7};

    if (runtime.set == NULL) {
        memcpy(entry.secret, secret, sizeof(secret));
        runtime_key_prepare(&set.keys.keys[0], &entry);
        set.keys.count = 1;
        runtime.set = &set;
    }
    return &runtime;
}

/* v1.7.<payload>.<mac> with a right mac, made by OpenSSL's own HMAC. */
static size_t sign(const char *name, const uint8_t *payload, size_t size,
                   char text[2048])
{
    char message[2048];
    uint8_t mac[32];
    size_t length = (size_t)sprintf(text, "v1.7.");
    size_t head = (size_t)sprintf(message, "%s|v1|7|", name);

    length += runtime_base64_encode(payload, size, text + length);
    memcpy(message + head, text + 5, length - 5);
    HMAC(EVP_sha256(), secret, sizeof(secret), (const uint8_t *)message,
         head + length - 5, mac, NULL);
    text[length++] = '.';
    return length + runtime_base64_encode(mac, 16, text + length);
}

static void as_cookie(const char *bytes, size_t size, int is_signed)
{
    struct gray_runtime *runtime = runtime_with_key();
    struct gray_str name = {"gray", 4};
    struct gray_str value = {bytes, (uint32_t)size};
    struct gray_cookie cookie;
    char again[GRAY_COOKIE_MAX];

    if (gray_cookie_read(runtime, name, value, NOW, &cookie) == 0) {
        MUST(is_signed);
        MUST(cookie.mark_count <= GRAY_ARMS_MAX && cookie.expires > NOW);
        MUST(gray_cookie_write(runtime, name, &cookie, again, sizeof(again)) ==
             size);
        MUST(memcmp(again, bytes, size) == 0);
    }
}

static void as_context(const char *bytes, size_t size, int is_signed)
{
    struct gray_runtime *runtime = runtime_with_key();
    struct gray_str value = {bytes, (uint32_t)size};
    struct gray_context context;
    char again[GRAY_COOKIE_MAX];

    if (gray_context_read(runtime, value, NOW, &context) == 0) {
        MUST(is_signed);
        MUST(strpbrk(context.lane, " \t\r\n,;\"") == NULL);
        MUST(strpbrk(context.arms, " \t\r\n;\"") == NULL);
        MUST(gray_context_write(runtime, &context, again, sizeof(again)) ==
             size);
        MUST(memcmp(again, bytes, size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2048];
    char *bytes = malloc(size + 1);
    size_t length;

    memcpy(bytes, data, size);
    as_cookie(bytes, size, 0);
    as_context(bytes, size, 0);
    free(bytes);
    if (size <= 700) {
        length = sign("gray", data, size, text);
        as_cookie(text, length, 1);
        as_context(text, length, 0);
        length = sign("x-gray-ctx", data, size, text);
        as_context(text, length, 1);
        as_cookie(text, length, 0);
    }
    return 0;
}
