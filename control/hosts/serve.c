/* SPDX-License-Identifier: Apache-2.0
 * serve.c - the routes of agents: bundle, blobs, report.
 *
 * Why: an agent may be one host and no other: its token's one scope is that
 * name, and what names a host is held against it here or at the door.
 * Read next: ../call/routes.def, docs/agent.md.
 */
#include <errno.h>
#include <stdlib.h>
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

/* ---- what a host admitted ------------------------------------------------------ */

/* Every record of the body; NULL after having filled the reply. */
static struct admission *read_records(const json_t *rows, struct reply *reply)
{
    size_t count = json_array_size(rows), i;
    struct admission *records = calloc(count + 1, sizeof(*records));
    const char *sentence = "";
    const json_t *row;

    if (records == NULL) {
        reply_problem(reply, PROBLEM_INTERNAL, "No memory.");
        return NULL;
    }
    json_array_foreach(rows, i, row) {
        if (admission_read(row, &records[i], &sentence) != 0) {
            reply_problem(reply, PROBLEM_BAD_BODY, "/records/%zu: %s", i,
                          sentence);
            reply_add(reply, "pointer", json_sprintf("/records/%zu", i));
            free(records);
            return NULL;
        }
    }
    return records;
}

static void put_records(struct hosts *hosts, const struct call *call,
                        const struct admission *records, size_t count,
                        struct reply *reply)
{
    const char *journal =
        json_string_value(json_object_get(call->body, "journal"));
    uint64_t after = (uint64_t)json_integer_value(
        json_object_get(call->body, "after"));
    struct gray_problem problem = { 0 };
    uint64_t through = 0;
    int error = told_put(hosts_told(hosts), call->name, journal, after,
                         records, count, &through, &problem);

    if (error != 0 && error != -ERANGE) {
        reply_problem(reply, PROBLEM_STORE, "%s", problem.sentence);
        return;
    }
    hosts_note_through(hosts, call->name, journal, through);
    if (error == 0) {
        reply_json(reply, 200,
                   json_pack("{s:I}", "through", (json_int_t)through));
        return;
    }
    reply_problem(reply, PROBLEM_CONFLICT,
                  "Record %llu is the newest one here of this journal; the "
                  "next one is wanted.",
                  (unsigned long long)through);
    reply_add(reply, "code", json_string("gap"));
    reply_add(reply, "through", json_integer((json_int_t)through));
}

void route_handle_HOST_ADMISSIONS(struct hand *hand, const struct call *call,
                                  struct reply *reply)
{
    struct hosts *hosts = hand->grayd->hosts;
    const json_t *rows = json_object_get(call->body, "records");
    const char *journal =
        json_string_value(json_object_get(call->body, "journal"));
    struct admission *records;

    if (json_integer_value(json_object_get(call->body, "after")) < 0 ||
        journal[0] == '\0' || strlen(journal) > REPORT_ID_MAX ||
        json_array_size(rows) > ADMISSIONS_MAX) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "after is a number, journal 1 to %u bytes, and records "
                      "are at most %u.",
                      REPORT_ID_MAX, ADMISSIONS_MAX);
        return;
    }
    if (hosts_told(hosts) == NULL) {
        reply_problem(reply, PROBLEM_STORE,
                      "What hosts admitted cannot be kept now: grayd's log "
                      "says why.");
        return;
    }
    records = read_records(rows, reply);
    if (records != NULL) {
        put_records(hosts, call, records, json_array_size(rows), reply);
        free(records);
    }
}
