/* SPDX-License-Identifier: Apache-2.0
 * fuzz_body.c - any body, for the shape of any route.
 *
 * Why: it comes from whoever has a token.  What must hold: a body that was
 * read is an object within its bounds and reads the same when it is written
 * and read again; a refusal carries a sentence that is UTF-8, and a pointer
 * that is.  The first byte chooses the schema.
 * Read next: control/call/body.c, control/call/schema.c.
 */
#include <string.h>

#include "control/call/call.h"
#include "tests/fuzz/fuzz.h"

static void must_be_utf8(const char *text)
{
    json_t *value = json_string(text);

    MUST(value != NULL);
    json_decref(value);
}

static void check_again(const json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    char sentence[128];
    json_t *again = NULL;

    MUST(text != NULL);
    MUST(body_parse(text, strlen(text), &again, sentence, sizeof(sentence)) ==
         0);
    MUST(json_equal(body, again));
    json_decref(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char pointer[64], sentence[64];
    const json_t *schema;
    json_t *body = NULL;
    size_t number;

    if (size == 0) {
        return 0;
    }
    number = data[0] % ROUTE_COUNT;
    schema = schema_find(routes[number].request[0] != '\0'
                             ? routes[number].request
                             : routes[number].response);
    sentence[0] = '\0';
    if (body_parse((const char *)data + 1, size - 1, &body, sentence,
                   sizeof(sentence)) != 0) {
        MUST(sentence[0] != '\0' && body == NULL);
        must_be_utf8(sentence);
        return 0;
    }
    MUST(json_is_object(body));
    check_again(body);
    if (schema_check(schema, body, pointer, sizeof(pointer), sentence,
                     sizeof(sentence)) != 0) {
        must_be_utf8(pointer);
        must_be_utf8(sentence);
    }
    json_decref(body);
    return 0;
}
