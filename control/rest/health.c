/* SPDX-License-Identifier: Apache-2.0
 * health.c - alive, ready, and who am I.
 *
 * Why: /healthz says that the process answers, /readyz that what was
 * committed last is in force; both are open to everyone and say nothing about
 * a policy, not even its revision.
 * Read next: server.c.
 */
#include "control/rest/internal.h"

void route_handle_HEALTHZ(struct hand *hand, const struct call *call,
                          struct reply *reply)
{
    (void)hand;
    (void)call;
    reply_json(reply, 200, json_pack("{s:s}", "status", "ok"));
}

void route_handle_READYZ(struct hand *hand, const struct call *call,
                         struct reply *reply)
{
    struct grayd *grayd = hand->grayd;
    const char *status = "ok";

    (void)call;
    if (atomic_load(&grayd->store_failed) ||
        atomic_load(&grayd->store_full)) {
        status = "store-failed";
    } else if (hand->reader == NULL) {
        status = "starting";
    } else if (atomic_load(&grayd->revision_in_force) <
               atomic_load(&grayd->revision)) {
        status = "behind";
    }
    reply_json(reply, status[0] == 'o' ? 200 : 503,
               json_pack("{s:s}", "status", status));
    reply->retry_after = reply->status == 503 ? 1 : 0;
}

static json_t *list_rights(const struct identity *identity)
{
    static const struct {
        unsigned right;
        const char *word;
    } rights[] = {
#define GRAYD_RIGHT(NAME, word, doc) {RIGHT_##NAME, word},
#include "control/identity/roles.def"
    };
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        if (rights[i].right != RIGHT_NONE &&
            identity_has(identity, rights[i].right)) {
            json_array_append_new(list, json_string(rights[i].word));
        }
    }
    return list;
}

void route_handle_WHOAMI(struct hand *hand, const struct call *call,
                         struct reply *reply)
{
    const struct identity *identity = &call->identity;
    json_t *scopes = json_array();
    char moment[CALL_MOMENT_SIZE];
    size_t i;

    (void)hand;
    for (i = 0; i < identity->scope_count; i++) {
        json_array_append_new(scopes, json_string(identity->scopes[i]));
    }
    call_moment(identity->expires, moment);
    reply_json(reply, 200,
               json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?}", "name",
                         identity->name, "role", role_word(identity->role),
                         "via", identity->via, "scopes", scopes, "rights",
                         list_rights(identity), "expires",
                         identity->expires != 0 ? moment : NULL));
}
