/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cookie_header.c - any Cookie header, searched and stripped.
 *
 * Why: it comes from the client.  What must hold: what was stripped is not
 * found any more, and where nothing went nothing changed.  The first byte says
 * how much room there is for a second, narrow copy.
 * Read next: engine/cookie.c.
 */
#include <string.h>

#include "engine/engine.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gray_str names[] = {{"__Host-gray", 11}, {"gray", 4}};
    struct gray_str in, left, found;
    uint32_t removed, i;
    size_t room;
    char *buffer;

    if (size == 0) {
        return 0;
    }
    room = data[0];
    in = (struct gray_str){(const char *)data + 1, (uint32_t)(size - 1)};
    buffer = malloc(size + room);
    MUST(buffer != NULL);
    left.data = buffer;
    left.length =
        (uint32_t)gray_cookie_strip(in, names, 2, buffer, in.length, &removed);
    MUST(left.length <= in.length);
    if (removed == 0) {
        MUST(left.length == in.length);
        MUST(in.length == 0 || memcmp(buffer, in.data, in.length) == 0);
    }
    for (i = 0; i < 2; i++) {
        found = gray_cookie_find(left, names[i]);
        MUST(found.data == NULL);
        found = gray_cookie_find(in, names[i]);
        MUST(found.data == NULL || removed != 0);
        MUST(found.data == NULL ||
             (found.data >= in.data &&
              found.data + found.length <= in.data + in.length));
    }
    MUST(gray_cookie_strip(in, names, 2, buffer, room, &removed) <= room);
    free(buffer);
    return 0;
}
