/* SPDX-License-Identifier: Apache-2.0
 * serve.c - the routes of agents: bundle, blobs, report.
 *
 * Why: an agent may be one host and no other: its token's one scope is that
 * name, and what names a host is held against it here or at the door.
 * Read next: ../call/routes.def, docs/agent.md.
 */
#include <string.h>

#include "control/grayd.h"
#include "control/hosts/hosts.h"

void route_handle_BUNDLE(struct hand *hand, const struct call *call,
                         struct reply *reply)
{
    const char *host = call_query_text(call, "host");
    uint64_t wait = 0;

    if (host == NULL || !report_name_good(host)) {
        reply_problem(reply, PROBLEM_BAD_QUERY,
                      "Say host=NAME: letters, digits, . _ and -, at most %u.",
                      REPORT_NAME_MAX);
        return;
    }
    if (call_covers(call, host, reply) &&
        call_query_number(call, "wait", 0, HOSTS_WAIT_MAX_S, &wait, reply)) {
        hosts_poll(hand->grayd->hosts, host, call->known,
                   (int64_t)wait * 1000, reply);
    }
}

static void give_back(void *owner)
{
    blob_release(owner);
}

void route_handle_BLOB(struct hand *hand, const struct call *call,
                       struct reply *reply)
{
    struct blob *blob = hosts_blob(hand->grayd->hosts, call->item);

    if (blob == NULL) {
        reply_problem(reply, PROBLEM_NOT_FOUND,
                      "No file of the last two bundles has this SHA-256: ask "
                      "for the bundle again.");
        return;
    }
    reply->status = 200;
    reply->type = call->route->response;
    reply->bytes = (struct reply_bytes) { .data = blob->data,
                                          .length = blob->size,
                                          .owner = blob,
                                          .release = give_back };
}

void route_handle_HOST_REPORT(struct hand *hand, const struct call *call,
                              struct reply *reply)
{
    const char *host =
        json_string_value(json_object_get(call->body, "host"));
    struct report report;

    if (strcmp(host, call->name) != 0) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "The path says %s, the report another host.",
                      call->name);
        reply_add(reply, "pointer", json_string("/host"));
        return;
    }
    if (report_read(call->body, &report) != 0) {
        reply_problem(reply, PROBLEM_INTERNAL, "No memory.");
        return;
    }
    reply_json(reply, 200,
               hosts_report(hand->grayd->hosts, call->name, &report));
}
