/* SPDX-License-Identifier: Apache-2.0
 * request_options.c - one request by the options of explain and sample.
 *
 * Why: options become the same JSON object that a line of a file is, so that
 * there is one check and one meaning of a request.
 * Read next: requests.c.
 */
#include <string.h>

#include "cli/cli.h"

static void add_pair(json_t *root, const char *key, const char *text,
                     char separator)
{
    const char *at = strchr(text, separator);
    json_t *pairs = json_object_get(root, key);
    json_t *before;
    char name[REQUEST_NAME_MAX + 2];

    if (pairs == NULL) {
        pairs = json_object();
        json_object_set_new(root, key, pairs);
    }
    snprintf(name, sizeof(name), "%.*s",
             (int)(at != NULL ? at - text : (ptrdiff_t)strlen(text)), text);
    at = at != NULL ? at + 1 + strspn(at + 1, " ") : "";
    before = json_object_get(pairs, name);
    if (before != NULL && separator == ':') {
        if (!json_is_array(before)) {
            json_object_set_new(pairs, name, json_pack("[O]", before));
            before = json_object_get(pairs, name);
        }
        json_array_append_new(before, json_string(at));
    } else {
        json_object_set_new(pairs, name, json_string(at));
    }
}

static void add_number(json_t *root, const char *key, const char *text)
{
    json_t *number = json_loads(text, JSON_DECODE_ANY, NULL);

    json_object_set_new(root, key,
                        json_is_integer(number) ? json_incref(number)
                                                : json_string(text));
    json_decref(number);
}

json_t *request_options(const struct arguments *arguments)
{
    const struct {
        uint64_t option;
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
                json_object_set_new(root, keys[i].key, json_string(text));
            } else if (keys[i].separator == '0') {
                add_number(root, keys[i].key, text);
            } else {
                add_pair(root, keys[i].key, text, keys[i].separator);
            }
        }
    }
    return root;
}
