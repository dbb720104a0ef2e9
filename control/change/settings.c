/* SPDX-License-Identifier: Apache-2.0
 * settings.c - tokens, and the bypass.
 *
 * Why: who may do what, and whether grayd is listened to at all, are changes
 * like any other: committed with their audit record, made once for a repeated
 * key, effective when they are answered.
 * Read next: identity/identity.h, commit.c.
 */
#include <string.h>
#include <sys/random.h>

#include "control/change/internal.h"

/* ---- tokens -------------------------------------------------------------------- */

static bool read_wanted(const struct call *call, struct identity *ret_wanted,
                        struct reply *reply)
{
    const json_t *body = call->body, *scope;
    struct identity wanted = { .expires = 0 };
    size_t i;

    snprintf(wanted.name, sizeof(wanted.name), "%s",
             json_string_value(json_object_get(body, "name")));
    if (role_parse(json_string_value(json_object_get(body, "role")),
                   &wanted.role) != 0) {
        reply_problem(reply, PROBLEM_BAD_BODY, "There is no such role.");
        return false;
    }
    wanted.expires =
        call->now +
        json_integer_value(json_object_get(body, "ttlSeconds")) * 1000;
    json_array_foreach(json_object_get(body, "scopes"), i, scope) {
        if (wanted.scope_count < IDENTITY_SCOPES_MAX) {
            snprintf(wanted.scopes[wanted.scope_count++],
                     sizeof(wanted.scopes[0]), "%s", json_string_value(scope));
        }
    }
    *ret_wanted = wanted;
    return true;
}

/* What of an item people may see, in the words of "Token". */
static void make_token(struct change *change, const struct call *call,
                       struct reply *reply)
{
    struct identity wanted;
    struct gray_problem problem = { 0 };
    char text[TOKEN_TEXT_MAX];
    uint8_t random[40];
    json_t *item;

    if (!change_base_is_current(change, reply) ||
        !read_wanted(call, &wanted, reply)) {
        return;
    }
    if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
        token_make(&wanted, call->now, call->identity.name, random, text,
                   &item, &problem) != 0) {
        reply_problem(reply, PROBLEM_BAD_BODY, "%s",
                      problem.code != NULL ? problem.sentence
                                           : "No random numbers.");
        return;
    }
    change->action = "token-make";
    change->reason = json_string_value(json_object_get(call->body, "reason"));
    change->after = token_public(item);
    snprintf(change->resource, sizeof(change->resource), "Token/%s",
             json_string_value(json_object_get(item, "id")));
    reply_json(reply, 201,
               json_pack("{s:s,s:o,s:I}", "token",
                         call->dry_run ? "" : text, "identity",
                         token_view(item, call->now), "revision",
                         (json_int_t)change->control->world.revision));
    change_put(change, STORE_TOKEN,
               json_string_value(json_object_get(item, "id")), item);
    change_commit(change, reply);
    explicit_bzero(text, sizeof(text));
    explicit_bzero(random, sizeof(random));
}

void route_handle_TOKEN_MAKE(struct hand *hand, const struct call *call,
                             struct reply *reply)
{
    struct control *control = hand->grayd->control;
    struct change change;

    /* The answer carries a secret, and answers are kept for repeated keys. */
    if (call->key[0] != '\0') {
        reply_problem(reply, PROBLEM_BAD_REQUEST,
                      "Tokens are made without Idempotency-Key: an answer "
                      "with a secret is not kept.");
        return;
    }
    if (change_begin(&change, control, call, reply) == 0) {
        make_token(&change, call, reply);
        if (reply_is_problem(reply)) {
            change_refused(&change, "token-make", "", reply);
        }
        change_end(&change);
    }
}

struct kept {
    json_t *value;
};

static int keep_item(void *context, const struct store_item *item)
{
    ((struct kept *)context)->value =
        json_loadb(item->text, item->length, 0, NULL);
    return 1;
}

static void revoke_token(struct change *change, const struct call *call,
                         struct reply *reply)
{
    struct kept kept = { NULL };
    struct gray_problem problem = { 0 };
    int found;

    snprintf(change->resource, sizeof(change->resource), "Token/%.60s",
             call->item);
    if (!change_base_is_current(change, reply)) {
        return;
    }
    found = store_read_item(change->control->reader, STORE_TOKEN, call->item,
                            0, keep_item, &kept, &problem);
    if (found != 0 || kept.value == NULL) {
        reply_problem(reply, found < 0 ? PROBLEM_STORE : PROBLEM_NOT_FOUND,
                      found < 0 ? "%.0s%s" : "There is no token %s.",
                      call->item, problem.sentence);
    } else {
        change->action = "token-revoke";
        change->reason = call_query_text(call, "reason");
        change->before = token_public(kept.value);
        change_put(change, STORE_TOKEN, call->item, NULL);
        reply_json(reply, 200,
                   json_pack("{s:I,s:[]}", "revision",
                             (json_int_t)change->control->world.revision,
                             "changes"));
        change_commit(change, reply);
    }
    json_decref(kept.value);
}

void route_handle_TOKEN_REVOKE(struct hand *hand, const struct call *call,
                               struct reply *reply)
{
    struct change change;

    if (change_begin(&change, hand->grayd->control, call, reply) == 0) {
        revoke_token(&change, call, reply);
        if (reply_is_problem(reply)) {
            change_refused(&change, "token-revoke", change.resource, reply);
        }
        change_end(&change);
    }
}

/* ---- bypass ---------------------------------------------------------------------- */

void route_handle_BYPASS(struct hand *hand, const struct call *call,
                         struct reply *reply)
{
    struct control *control = hand->grayd->control;
    bool on = json_is_true(json_object_get(call->body, "on"));
    bool was = atomic_load(&hand->grayd->bypass);
    struct gray_problem problem = { 0 };
    struct change change;

    if (change_begin(&change, control, call, reply) != 0) {
        return;
    }
    if (!change_base_is_current(&change, reply)) {
        change_refused(&change, "bypass", "", reply);
        change_end(&change);
        return;
    }
    change.action = "bypass";
    change.reason = json_string_value(json_object_get(call->body, "reason"));
    change.before = json_pack("{s:b}", "on", was);
    change.after = json_pack("{s:b}", "on", on);
    reply_json(reply, 200,
               json_pack("{s:I,s:[]}", "revision",
                         (json_int_t)control->world.revision, "changes"));
    if (on != was || call->dry_run) {
        change_put(&change, STORE_SETTING, "bypass",
                   json_pack("{s:b}", "on", on));
        change.effect = EFFECT_BYPASS;
        change_commit(&change, reply);
    }
    if (on != was && !reply_is_problem(reply) && !call->dry_run) {
        failpoint("bypass-committed");
        atomic_store(&hand->grayd->bypass, on);
        if (publisher_bypass(control->publisher, on, &problem) != 0) {
            json_object_set_new(reply->body, "notPublished",
                                json_string(problem.sentence));
        }
    }
    change_end(&change);
}
