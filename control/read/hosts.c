/* SPDX-License-Identifier: Apache-2.0
 * hosts.c - GET /v1/hosts: every host, its revision, its lag, its lease.
 *
 * Read next: ../hosts/list.c, status.c (which shows them too).
 */
#include "control/hosts/hosts.h"
#include "control/read/internal.h"

json_t *read_hosts(struct grayd *grayd, const char *after, size_t limit,
                   bool *ret_more)
{
    json_t *rows = grayd->hosts != NULL
                       ? hosts_list(grayd->hosts, after, limit, ret_more)
                       : json_array(),
           *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        json_object_set_new(row, "heardAt",
                            read_moment((int64_t)json_integer_value(
                                json_object_get(row, "heardAt"))));
    }
    return rows;
}

void route_handle_HOSTS(struct hand *hand, const struct call *call,
                        struct reply *reply)
{
    struct registry_newest newest;
    const char *after;
    size_t limit = 0;
    bool more = false;
    json_t *rows, *body;

    if (!read_page(call, &after, &limit, reply)) {
        return;
    }
    hosts_newest(hand->grayd->hosts, &newest);
    rows = read_hosts(hand->grayd, after, limit, &more);
    body = json_pack("{s:o,s:o,s:o,s:O}", "sequence",
                     read_number(newest.sequence), "revision",
                     read_number(newest.revision), "epoch",
                     read_number(newest.epoch), "hosts", rows);
    if (more) {
        json_object_set(body, "next",
                        json_object_get(json_array_get(
                                            rows, json_array_size(rows) - 1),
                                        "name"));
    }
    json_decref(rows);
    reply_json(reply, 200, body);
}
