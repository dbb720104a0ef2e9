/* SPDX-License-Identifier: Apache-2.0
 * call.c - arguments of a call: names, numbers, scopes, the body's shape.
 *
 * Why: what a route takes stands in its table; a name that the table lacks is
 * refused, so that a misspelt argument is never silently ignored.
 * Read next: routes.def, schema.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/call/call.h"

bool call_covers(const struct call *call, const char *name,
                 struct reply *reply)
{
    if (identity_covers(&call->identity, name)) {
        return true;
    }
    if (name == NULL || name[0] == '\0') {
        reply_problem(reply, PROBLEM_FORBIDDEN,
                      "This needs the scope over every name.");
    } else {
        reply_problem(reply, PROBLEM_FORBIDDEN,
                      "Your scope does not cover \"%s\".", name);
    }
    return false;
}

const char *call_query_text(const struct call *call, const char *name)
{
    return json_string_value(json_object_get(call->query, name));
}

bool call_query_number(const struct call *call, const char *name,
                       uint64_t least, uint64_t most, uint64_t *ret_number,
                       struct reply *reply)
{
    const char *text = call_query_text(call, name);
    uint64_t number = 0;
    size_t i;

    if (text == NULL) {
        return true;
    }
    for (i = 0; text[i] >= '0' && text[i] <= '9' && i < 19; i++) {
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    if (i == 0 || text[i] != '\0' || number < least || number > most) {
        reply_problem(reply, PROBLEM_BAD_QUERY,
                      "%s is a number from %llu to %llu.", name,
                      (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    *ret_number = number;
    return true;
}

/* Whether `name` is one of the words in `list`. */
static bool has_word(const char *list, const char *name)
{
    size_t length = strlen(name);

    while (*list != '\0') {
        size_t word = strcspn(list, " ");

        if (word == length && memcmp(list, name, length) == 0) {
            return true;
        }
        list += word + strspn(list + word, " ");
    }
    return false;
}

bool call_check_query(struct call *call, struct reply *reply)
{
    bool changes = call->route->where == WHERE_CONTROL;
    const char *name;
    json_t *value;

    call->dry_run = false;
    json_object_foreach(call->query, name, value) {
        const char *text = json_string_value(value);

        if (changes && strcmp(name, "dryRun") == 0) {
            if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
                reply_problem(reply, PROBLEM_BAD_QUERY,
                              "dryRun is true or false.");
                return false;
            }
            call->dry_run = text[0] == 't';
        } else if (!has_word(call->route->query, name)) {
            reply_problem(reply, PROBLEM_BAD_QUERY,
                          "\"%s\" is none of the arguments of this route: "
                          "%s%s.",
                          name,
                          call->route->query[0] != '\0' ? call->route->query
                                                        : "it has none",
                          changes ? ", and dryRun" : "");
            return false;
        }
    }
    return true;
}

bool call_check_body(const struct call *call, struct reply *reply)
{
    char pointer[256], sentence[256];

    if (call->route->request[0] == '\0') {
        return true;
    }
    if (call->body == NULL) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "This route takes a body (%s).", call->route->request);
        return false;
    }
    if (schema_check(schema_find(call->route->request), call->body, pointer,
                     sizeof(pointer), sentence, sizeof(sentence)) != 0) {
        reply_problem(reply, PROBLEM_BAD_BODY, "%s: %s",
                      pointer[0] != '\0' ? pointer : "the body", sentence);
        reply_add(reply, "pointer", json_string(pointer));
        return false;
    }
    return true;
}
