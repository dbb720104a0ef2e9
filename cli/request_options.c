/* SPDX-License-Identifier: Apache-2.0
 * request_options.c - one request by the options of explain and sample.
 *
 * Why: options become the same JSON object that a line of a file is, so that
 * there is one check and one meaning of a request.
 * Read next: ask/request.c.
 */
#include <string.h>

#include "cli/cli.h"

/* Bytes that are no UTF-8 are kept as they are: a gateway meets them too. */
static int add_pair(json_t *root, const char *key, const char *text,
                    char separator)
{
    const char *at = strchr(text, separator);
    json_t *pairs = json_object_get(root, key);
    json_t *before;
    char name[REQUEST_NAME_MAX + 2];

    if (at == NULL || at == text) {
        return -1;
    }
    if (pairs == NULL) {
        pairs = json_object();
        json_object_set_new(root, key, pairs);
    }
    snprintf(name, sizeof(name), "%.*s", (int)(at - text), text);
    at += 1 + strspn(at + 1, " ");
    before = json_object_get(pairs, name);
    if (before != NULL && separator == ':') {
        if (!json_is_array(before)) {
            json_object_set_new_nocheck(pairs, name,
                                        json_pack("[O]", before));
            before = json_object_get(pairs, name);
        }
        json_array_append_new(before, json_string_nocheck(at));
    } else {
        json_object_set_new_nocheck(pairs, name, json_string_nocheck(at));
    }
    return 0;
}

static void add_number(json_t *root, const char *key, const char *text)
{
    json_t *number = json_loads(text, JSON_DECODE_ANY, NULL);

    json_object_set_new(root, key,
                        json_is_integer(number) ? json_incref(number)
                                                : json_string_nocheck(text));
    json_decref(number);
}

json_t *request_options(const struct arguments *arguments)
{
    const struct {
        enum cli_option_number option;
        const char *key;
        char separator; /* 0: plain text; '0': a number where it is one */
    } keys[] = {
        { CLI_METHOD, "method", 0 },     { CLI_HOST, "host", 0 },
        { CLI_PATH, "path", 0 },         { CLI_HEADER, "headers", ':' },
        { CLI_SOURCE, "source", 0 },     { CLI_NOW, "now", '0' },
        { CLI_ATTR, "attrs", '=' },      { CLI_LABEL, "labels", '=' },
        { CLI_CALLER, "caller", 0 },     { CLI_ENTRANCE, "entrance", 0 },
        { CLI_LANE, "lane", 0 },         { CLI_ARMS, "arms", 0 },
        { CLI_CLASS, "class", 0 },       { CLI_RANDOM, "random", '0' },
    };
    json_t *root = json_pack("{s:s}", "path", "/");

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *text;
        size_t at = 0;

        while ((text = arguments_next(arguments, keys[i].option, &at)) !=
               NULL) {
            if (keys[i].separator == 0) {
                json_object_set_new(root, keys[i].key,
                                    json_string_nocheck(text));
            } else if (keys[i].separator == '0') {
                add_number(root, keys[i].key, text);
            } else if (add_pair(root, keys[i].key, text,
                                keys[i].separator) != 0) {
                complain("a name and '%c' are wanted before the value, not: "
                         "%s", keys[i].separator, text);
                json_decref(root);
                return NULL;
            }
        }
    }
    return root;
}
