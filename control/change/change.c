/* SPDX-License-Identifier: Apache-2.0
 * change.c - one change before it is committed: begun, filled, checked.
 *
 * Why: whoever changes something fills the same form: the world as it should
 * be, items beside it, who and why. Nothing here touches what is in force, so
 * that a change can be dropped at any point.
 * Read next: commit.c (what becomes of it), build.c.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "control/change/counting.h"
#include "control/change/internal.h"
#include "control/dump.h"

#define TEXT_FLAGS (JSON_COMPACT | JSON_SORT_KEYS)

const char *action_word(const struct route *route,
                        char buffer[ACTION_WORD_SIZE])
{
    size_t i;

    for (i = 0; route->name[i] != '\0' && i + 1 < ACTION_WORD_SIZE; i++) {
        buffer[i] = route->name[i] == '_'
                        ? '-'
                        : (char)tolower((unsigned char)route->name[i]);
    }
    buffer[i] = '\0';
    return buffer;
}

void call_resource(const struct call *call,
                   char ret_resource[STORE_NAME_MAX + 1])
{
    const char *path = call->route != NULL ? call->route->path : "";
    const char *kind = call->kind[0] != '\0'               ? call->kind
                       : strstr(path, "/lanes/") != NULL   ? "Lane"
                       : strstr(path, "/lists/") != NULL   ? "List"
                                                           : "Release";

    ret_resource[0] = '\0';
    if (call->name[0] != '\0' &&
        !world_key(kind, call->name, ret_resource)) {
        ret_resource[0] = '\0';
    }
    if (call->item[0] != '\0') {
        snprintf(ret_resource, STORE_NAME_MAX + 1, "%.*s", (int)STORE_NAME_MAX,
                 call->item);
    }
}

/* ---- begin and end ------------------------------------------------------- */

int change_begin(struct change *change, struct control *control,
                 const struct call *call, struct reply *reply)
{
    *change = (struct change) { .control = control, .call = call };
    if (call != NULL) {
        change->actor = call->identity.name;
        change->role = role_word(call->identity.role);
        change->via = call->identity.via;
        change->triggered_by = "USER";
        call_resource(call, change->resource);
    }
    if (world_copy(&change->world, &control->world) != 0) {
        change_end(change);
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return -1;
    }
    return 0;
}

void change_end(struct change *change)
{
    for (size_t i = 0; i < change->put_count; i++) {
        free((void *)(uintptr_t)change->puts[i].name);
        free((void *)(uintptr_t)change->puts[i].text);
    }
    free(change->puts);
    json_decref(change->before);
    json_decref(change->revokes);
    json_decref(change->after);
    json_decref(change->epochs);
    build_clear(&change->build);
    gray_drops_free(&change->drops);
    world_free(&change->world);
    *change = (struct change) { 0 };
}

static struct store_put *room_for_put(struct change *change)
{
    if (change->put_count == change->put_room) {
        size_t room = change->put_room * 2 + 16;
        struct store_put *more = realloc(change->puts, room * sizeof(*more));

        if (more == NULL) {
            return NULL;
        }
        change->puts = more;
        change->put_room = room;
    }
    return &change->puts[change->put_count];
}

int change_put(struct change *change, enum store_space space,
               const char *name, json_t *value)
{
    struct store_put *put = room_for_put(change);
    size_t length = 0;
    char *text = value != NULL ? json_text(value, TEXT_FLAGS, &length) : NULL;
    char *copy = strdup(name);

    if (put == NULL || copy == NULL || (value != NULL && text == NULL)) {
        free(copy);
        free(text);
        json_decref(value);
        change->failed = true;
        return -1;
    }
    json_decref(value);
    change->puts[change->put_count++] = (struct store_put) {
        .space = space, .name = copy, .text = text,
        .length = length,
    };
    return 0;
}

/* ---- check --------------------------------------------------------------- */

bool change_base_is_current(const struct change *change, struct reply *reply)
{
    const struct call *call = change->call;
    uint64_t revision = change->control->world.revision;

    if (!call->has_if_match || call->if_match == revision) {
        return true;
    }
    reply_problem(reply, PROBLEM_STALE,
                  "You looked at revision %llu; %llu is in force.",
                  (unsigned long long)call->if_match,
                  (unsigned long long)revision);
    reply_add(reply, "revision", json_integer((json_int_t)revision));
    return false;
}

json_t *change_findings(const struct change *change)
{
    return build_findings(&change->build, change->call != NULL
                                              ? &change->call->identity
                                              : NULL);
}

void change_refuse_findings(const struct change *change, struct reply *reply)
{
    reply_problem(reply, PROBLEM_FINDINGS,
                  "%zu error%s; nothing was changed.",
                  change->build.findings.errors,
                  change->build.findings.errors == 1 ? "" : "s");
    reply_add(reply, "findings", change_findings(change));
}

void change_refuse_move(const struct release_refusal *refusal,
                        struct reply *reply)
{
    if (refusal->code == NULL) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return;
    }
    reply_problem(reply,
                  strcmp(refusal->code, "forbidden") == 0 ? PROBLEM_FORBIDDEN
                                                          : PROBLEM_REFUSED,
                  "%s", refusal->sentence);
    reply_add(reply, "code", json_string(refusal->code));
    if (refusal->advice[0] != '\0') {
        reply_add(reply, "advice", json_string(refusal->advice));
    }
}

/* Gates 4 and 5, by what was counted ahead or now. */
static int compare(struct change *change,
                   const struct gray_gate_options *gates)
{
    struct counting_kept kept = {
        .call = change->call, .revision = change->control->world.revision
    };
    struct gray_counter ahead = counting_kept(&kept);
    struct gray_gate_options options = *gates;

    /* Without a counter nothing is counted, and nothing said of it. */
    options.counter = change->counter;
    if (options.counter == NULL && gates->allow_drop &&
        change->call != NULL) {
        options.counter = &ahead;
    }
    return gray_gates_compare(change->control->model, change->build.model,
                              &options, &change->build.findings,
                              options.counter != NULL ? &change->drops
                                                      : NULL);
}

int change_build(struct change *change, struct gray_documents *texts,
                 const struct gray_gate_options *gates, struct reply *reply)
{
    struct control *control = change->control;
    struct gray_compile_options options = {
        .revision = control->world.revision + 1,
        .now = grayd_now(),
        .word_of = control->publisher != NULL ? publisher_word_number : NULL,
        .word_context = control->publisher,
    };

    gray_drops_free(&change->drops);
    if (build_check(&change->build, &change->world, texts) != 0 ||
        (gates != NULL && compare(change, gates) != 0) ||
        build_compile(&change->build, &options) != 0) {
        change_refuse_findings(change, reply);
        return -1;
    }
    change->built = true;
    return 0;
}
