/* SPDX-License-Identifier: Apache-2.0
 * fuzz_bearer.c - any bytes as the token of a caller.
 *
 * Why: this is read before anything is known of who sends it.  One text is
 * the token of an item, and every text that has an id has the one shape.
 * Read next: control/identity/token.c.
 */
#include <string.h>

#include "control/identity/identity.h"
#include "tests/fuzz/fuzz.h"

#define NOW INT64_C(1767225600000)

static char right[TOKEN_TEXT_MAX];

static json_t *item_once(void)
{
    static const uint8_t random[40] = "id-bytes and 32 bytes of secret chance.";
    struct identity wanted = {.name = "ci",
                              .role = ROLE_OPERATOR,
                              .expires = NOW + 1000,
                              .scope_count = 1};
    static json_t *item;

    if (item == NULL) {
        MUST(token_make(&wanted, NOW, "root", random, right, &item, NULL) ==
             0);
    }
    return item;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *item = item_once(), *hostile;
    char *text = malloc(size == 0 ? 1 : size), id[17] = "";
    struct identity who;
    int known;

    memcpy(text, data, size);
    known = token_id(text, size, id) == 0;
    MUST(!known || (size == strlen(right) && strlen(id) == 16 &&
                    memcmp(text, "gray_", 5) == 0 &&
                    memcmp(text + 5, id, 16) == 0 && text[21] == '_'));
    if (token_check(text, size, item, NOW, &who) == 0) {
        MUST(size == strlen(right) && memcmp(text, right, size) == 0);
    }
    /* the same bytes as an item that somebody put into the store */
    hostile = json_loadb(text, size, 0, NULL);
    if (token_check(right, strlen(right), hostile, NOW, &who) == 0) {
        MUST(who.name[0] != '\0' && who.expires > NOW);
        MUST(who.scope_count <= IDENTITY_SCOPES_MAX);
    }
    json_decref(token_public(hostile));
    json_decref(hostile);
    free(text);
    return 0;
}
