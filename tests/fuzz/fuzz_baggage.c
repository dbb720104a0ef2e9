/* SPDX-License-Identifier: Apache-2.0
 * fuzz_baggage.c - any baggage header, read, stripped and written.
 *
 * Why: it comes from the client, byte for byte.  What must hold: nothing of
 * ours is left after stripping, our own colour is what is read back, and what
 * is not ours keeps its bytes where there is nothing to strip.
 * Read next: engine/colour.c.
 */
#include <string.h>

#include "engine/engine.h"
#include "tests/fuzz/fuzz.h"

#define BAGGAGE_MAX 8192u

static struct gray_str str(const char *text)
{
    return (struct gray_str){text, (uint32_t)strlen(text)};
}

static void check_same(struct gray_str found, const char *wanted)
{
    MUST(found.length == strlen(wanted));
    MUST(memcmp(found.data, wanted, found.length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gray_str in = {(const char *)data, (uint32_t)size};
    struct gray_str none = {NULL, 0}, out;
    struct gray_carried before, carried;
    char *buffer = malloc(size + BAGGAGE_MAX);
    size_t room;

    MUST(buffer != NULL);
    (void)gray_header_kind(in);
    (void)gray_baggage_read(in, &before);
    out.data = buffer;
    out.length = (uint32_t)gray_baggage_write(in, none, none, GRAY_CLASS_LIVE,
                                              buffer, size);
    MUST(out.length <= size);
    if (before.seen == 0) {
        MUST(out.length == size);
        MUST(size == 0 || memcmp(buffer, data, size) == 0);
    }
    MUST(gray_baggage_read(out, &carried) == 0 && carried.seen == 0);

    out.length = (uint32_t)gray_baggage_write(
        in, str("red"), str("cart-2,pay-7:b"), GRAY_CLASS_LOAD, buffer,
        size + BAGGAGE_MAX);
    MUST(out.length <= BAGGAGE_MAX);
    MUST(gray_baggage_read(out, &carried) == 0 && carried.seen == 3);
    check_same(carried.lane, "red");
    check_same(carried.arms, "cart-2,pay-7:b");
    check_same(carried.traffic_class, "load");
    free(buffer);

    room = size == 0 ? 0 : data[0];
    buffer = malloc(room + 1);
    MUST(buffer != NULL);
    MUST(gray_baggage_write(in, str("red"), str("a,b"), GRAY_CLASS_SHADOW,
                            buffer, room) <= room);
    free(buffer);
    return 0;
}
