/* SPDX-License-Identifier: Apache-2.0
 * test_token.c - what this house signed is known again, and nothing else.
 *
 * Read next: runtime/token.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/hmac.h>

#include "runtime/base64.h"
#include "tests/runtime/folder.h"

#define NOW 1767225600

struct world {
    char path[64];
    struct gray_runtime *runtime;
};

static int world_make(void **state)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    assert_int_equal(gray_publish(world->path, &nothing, NULL, NULL), 0);
    assert_int_equal(gray_runtime_open(&world->runtime, world->path,
                                       GRAY_READER_CLI, false, NULL),
                     0);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_runtime_close(world->runtime);
    folder_remove(world->path);
    free(world);
    return 0;
}

static struct gray_str str(const char *text)
{
    return (struct gray_str){ text, (uint32_t)strlen(text) };
}

static struct gray_cookie cookie_of(uint32_t marks)
{
    struct gray_cookie cookie;
    uint32_t i;

    memset(&cookie, 0, sizeof(cookie));
    cookie.anonymous = 0xfedcba9876543210u;
    cookie.issued = NOW;
    cookie.expires = NOW + 86400;
    cookie.mark_count = marks;
    for (i = 0; i < marks; i++) {
        cookie.marks[i].scope = 0x1234567890abcdefu + i;
        cookie.marks[i].unit_hash = gray_unit_hash(str("alice"));
        cookie.marks[i].revision = 4000000000u - i;
        cookie.marks[i].attempt = (uint16_t)(i + 1);
        cookie.marks[i].state = GRAY_MARK_IN;
        cookie.marks[i].variant = (uint8_t)i;
    }
    return cookie;
}

static size_t write_cookie(const struct world *world, uint32_t marks,
                           char text[GRAY_COOKIE_MAX + 1])
{
    struct gray_cookie cookie = cookie_of(marks);
    size_t length = gray_cookie_write(world->runtime, str(GRAY_COOKIE_NAME),
                                      &cookie, text, GRAY_COOKIE_MAX);

    text[length] = '\0';
    return length;
}

static int read_cookie(const struct world *world, const char *text,
                       struct gray_cookie *ret)
{
    return gray_cookie_read(world->runtime, str(GRAY_COOKIE_NAME), str(text),
                            NOW, ret);
}

static void what_was_written_is_read(void **state)
{
    const struct world *world = *state;
    char text[GRAY_COOKIE_MAX + 1];
    struct gray_cookie cookie, wanted;
    uint32_t marks;

    for (marks = 0; marks <= GRAY_ARMS_MAX; marks++) {
        wanted = cookie_of(marks);
        memset(&cookie, 0, sizeof(cookie));
        assert_int_not_equal(write_cookie(world, marks, text), 0);
        assert_int_equal(read_cookie(world, text, &cookie), 0);
        assert_memory_equal(&cookie, &wanted, sizeof(cookie));
    }
    wanted = cookie_of(0);
    wanted.mark_count = GRAY_ARMS_MAX + 1;
    assert_int_equal(gray_cookie_write(world->runtime, str("gray"), &wanted,
                                       text, sizeof(text)),
                     0);
}

/* OpenSSL's own HMAC over the documented bytes gives the same. */
static void the_mac_is_hmac_sha_256(void **state)
{
    const struct world *world = *state;
    char text[GRAY_COOKIE_MAX + 1], message[GRAY_COOKIE_MAX + 64], mac[32];
    uint8_t digest[32];
    size_t length = write_cookie(world, 2, text), size;
    struct keys_file *keys = file_bytes(world->path, "keys", &size);
    char *payload;

    text[length - 23] = '\0'; /* the dot before the mac */
    payload = strrchr(text, '.') + 1;
    snprintf(message, sizeof(message), "gray|v1|%u|%s", keys->keys[0].id,
             payload);
    HMAC(EVP_sha256(), keys->keys[0].secret, 32, (const uint8_t *)message,
         strlen(message), digest, NULL);
    assert_int_equal(runtime_base64_encode(digest, 16, mac), 22);
    assert_memory_equal(mac, text + length - 22, 22);
    free(keys);
}

/* Every byte changed to every value, every length: all are as if absent. */
static void no_other_spelling_is_read(void **state)
{
    const struct world *world = *state;
    char text[GRAY_COOKIE_MAX + 1];
    struct gray_cookie cookie;
    size_t length = write_cookie(world, 1, text), i;
    int byte;

    for (i = 0; i < length; i++) {
        char was = text[i];

        for (byte = 1; byte < 256; byte++) {
            if ((char)byte != was) {
                text[i] = (char)byte;
                assert_int_equal(read_cookie(world, text, &cookie), -1);
            }
        }
        text[i] = was;
    }
    for (i = 0; i < length; i++) {
        assert_int_equal(gray_cookie_read(world->runtime, str("gray"),
                                          (struct gray_str){ text,
                                                             (uint32_t)i },
                                          NOW, &cookie),
                         -1);
    }
    text[length] = 'A';
    text[length + 1] = '\0';
    assert_int_equal(read_cookie(world, text, &cookie), -1);
    assert_int_equal(read_cookie(world, "", &cookie), -1);
    assert_int_equal(read_cookie(world, "v1.1..", &cookie), -1);
}

static void not_under_another_name_nor_too_late(void **state)
{
    const struct world *world = *state;
    char text[GRAY_COOKIE_MAX + 1];
    struct gray_cookie cookie;
    struct gray_context context;

    write_cookie(world, 1, text);
    assert_int_equal(gray_cookie_read(world->runtime,
                                      str(GRAY_COOKIE_NAME_HOST), str(text),
                                      NOW, &cookie),
                     -1);
    assert_int_equal(gray_context_read(world->runtime, str(text), NOW,
                                       &context),
                     -1);
    assert_int_equal(gray_cookie_read(world->runtime, str(GRAY_COOKIE_NAME),
                                      str(text), NOW + 86399, &cookie),
                     0);
    assert_int_equal(gray_cookie_read(world->runtime, str(GRAY_COOKIE_NAME),
                                      str(text), NOW + 86400, &cookie),
                     -1);
}

static void take_new_keys(struct world *world)
{
    struct gray_runtime_set *set;

    assert_true(gray_runtime_stale(world->runtime));
    assert_int_equal(gray_runtime_load(world->runtime, &set, NULL), 0);
    assert_non_null(set);
    gray_runtime_swap(world->runtime, set);
    assert_false(gray_runtime_stale(world->runtime));
}

/* Two keys are valid, the newest signs; the third rotation ends the first. */
static void keys_rotate(void **state)
{
    struct world *world = *state;
    char first[GRAY_COOKIE_MAX + 1], second[GRAY_COOKIE_MAX + 1];
    struct gray_cookie cookie;

    write_cookie(world, 1, first);
    assert_int_equal(gray_keys_rotate(world->path, (gid_t)-1, NULL), 0);
    take_new_keys(world);
    write_cookie(world, 1, second);
    assert_string_not_equal(first, second);
    assert_int_equal(read_cookie(world, first, &cookie), 0);
    assert_int_equal(read_cookie(world, second, &cookie), 0);
    assert_int_equal(gray_keys_rotate(world->path, (gid_t)-1, NULL), 0);
    take_new_keys(world);
    assert_int_equal(read_cookie(world, first, &cookie), -1);
    assert_int_equal(read_cookie(world, second, &cookie), 0);
}

/* Another house with the same key number is another house. */
static void a_foreign_cookie_is_absent(void **state)
{
    const struct world *world = *state;
    struct world *other;
    void *kept;
    char text[GRAY_COOKIE_MAX + 1];
    struct gray_cookie cookie;

    world_make(&kept);
    other = kept;
    write_cookie(other, 1, text);
    assert_int_equal(read_cookie(other, text, &cookie), 0);
    assert_int_equal(read_cookie(world, text, &cookie), -1);
    world_end(&kept);
}

/* Damaged, readable by all, missing: no cookies, and no error. */
static void without_keys_nothing_is_signed(void **state)
{
    struct world *world = *state;
    char text[GRAY_COOKIE_MAX + 1], full[80];
    struct gray_cookie cookie = cookie_of(1);
    struct gray_runtime *runtime;
    size_t size, i;
    uint8_t *keys = file_bytes(world->path, "keys", &size);

    write_cookie(world, 1, text);
    snprintf(full, sizeof(full), "%s/keys", world->path);
    for (i = 0; i < 3; i++) {
        if (i == 0) {
            assert_int_equal(chmod(full, 0644), 0);
        } else if (i == 1) {
            keys[size - 1] ^= 1;
            file_replace(world->path, "keys", keys, size);
            assert_int_equal(chmod(full, 0640), 0);
        } else {
            assert_int_equal(unlink(full), 0);
        }
        assert_int_equal(gray_runtime_open(&runtime, world->path,
                                           GRAY_READER_CLI, false, NULL),
                         0);
        assert_int_equal(gray_cookie_read(runtime, str("gray"), str(text), NOW,
                                          &cookie),
                         -1);
        assert_int_equal(gray_cookie_write(runtime, str("gray"), &cookie, text,
                                           sizeof(text)),
                         0);
        gray_runtime_close(runtime);
    }
    free(keys);
}

static void a_colour_is_read_as_it_was_signed(void **state)
{
    const struct world *world = *state;
    struct gray_context context, read;
    char text[GRAY_COOKIE_MAX + 1];
    size_t length, i;

    memset(&context, 0, sizeof(context));
    memset(&read, 0, sizeof(read));
    strcpy(context.lane, "red");
    strcpy(context.arms, "cart-2,pay-7:b");
    context.traffic_class = GRAY_CLASS_LOAD;
    context.expires = NOW + 60;
    length = gray_context_write(world->runtime, &context, text, sizeof(text));
    assert_int_not_equal(length, 0);
    text[length] = '\0';
    assert_int_equal(gray_context_read(world->runtime, str(text), NOW, &read),
                     0);
    assert_memory_equal(&context, &read, sizeof(read));
    assert_int_equal(gray_context_read(world->runtime, str(text), NOW + 60,
                                       &read),
                     -1);
    for (i = 0; i < length; i++) {
        text[i] ^= 1;
        assert_int_equal(gray_context_read(world->runtime, str(text), NOW,
                                           &read),
                         -1);
        text[i] ^= 1;
    }
    strcpy(context.lane, "red\r\nx: y");
    assert_int_equal(gray_context_write(world->runtime, &context, text,
                                        sizeof(text)),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(what_was_written_is_read),
        WITH_WORLD(the_mac_is_hmac_sha_256),
        WITH_WORLD(no_other_spelling_is_read),
        WITH_WORLD(not_under_another_name_nor_too_late),
        WITH_WORLD(keys_rotate),
        WITH_WORLD(a_foreign_cookie_is_absent),
        WITH_WORLD(without_keys_nothing_is_signed),
        WITH_WORLD(a_colour_is_read_as_it_was_signed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
