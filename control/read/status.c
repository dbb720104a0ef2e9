/* SPDX-License-Identifier: Apache-2.0
 * status.c - what is in force, who acknowledged it, and whether it is so.
 *
 * Why: one answer for the first question of every night shift.  What grayd
 * wants (the store) and what the host does (the runtime folder: readers,
 * counters, words) are read apart and shown side by side; a folder that cannot
 * be read is part of the answer, not a reason for none.
 * Shares observed are of live requests counted on the routes of a release
 * among all of its services, since the readers began to count.
 * Read next: ../publish/readers.c, releases.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/publish/publisher.h"
#include "control/read/internal.h"

#define HOSTS_SHOWN 1000u

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

/* ---- shares observed ------------------------------------------------------------ */

/* "cart-2" is of the release, and so is its variant "cart-2:b". */
static bool is_arm_of(const char *arm, const char *release)
{
    size_t length = strlen(release);

    return strncmp(arm, release, length) == 0 &&
           (arm[length] == '\0' || arm[length] == ':');
}

static bool has_service(const json_t *services, const char *service)
{
    size_t length = strlen(service), i;
    const json_t *item;

    json_array_foreach(services, i, item) {
        const char *text = json_string_value(item); /* service=version */

        if (strncmp(text, service, length) == 0 && text[length] == '=') {
            return true;
        }
    }
    return false;
}

static json_t *observed_of(const json_t *release, const json_t *counters)
{
    const json_t *services = json_object_get(release, "services"), *route;
    json_int_t own = 0, all = 0;
    size_t i;

    json_array_foreach(counters, i, route) {
        json_int_t started =
            json_integer_value(json_object_get(route, "started"));

        if (strcmp(text_of(route, "class"), "live") != 0 ||
            text_of(route, "lane")[0] != '\0' ||
            !has_service(services, text_of(route, "service"))) {
            continue;
        }
        all += started;
        if (is_arm_of(text_of(route, "arm"), text_of(release, "name"))) {
            own += started;
        }
    }
    return json_pack("{s:O,s:O,s:o,s:I,s:I}", "release",
                     json_object_get(release, "name"), "wantedPercent",
                     json_object_get(release, "percent"), "observedPercent",
                     all > 0 ? json_real(100.0 * (double)own / (double)all)
                             : json_null(),
                     "requests", own, "of", all);
}

static json_t *observed(const json_t *releases, const json_t *counters)
{
    json_t *rows = json_array();
    const json_t *release;
    size_t i;

    json_array_foreach(releases, i, release) {
        json_array_append_new(rows, observed_of(release, counters));
    }
    return rows;
}

/* ---- of the folder ---------------------------------------------------------------- */

/* Words that a person set on this host and that are not adopted yet. */
static json_t *host_words(const struct call *call, const json_t *rows)
{
    json_t *words = json_array();
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        if (json_is_true(json_object_get(row, "host")) &&
            identity_covers(&call->identity, text_of(row, "release"))) {
            json_array_append_new(
                words, json_pack("{s:O,s:O}", "release",
                                 json_object_get(row, "release"), "word",
                                 json_object_get(row, "word")));
        }
    }
    return words;
}

/* Counters of services in scope. */
static json_t *routes_covered(const struct call *call, const json_t *rows)
{
    json_t *covered = json_array(), *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        if (identity_covers(&call->identity, text_of(row, "service"))) {
            json_array_append(covered, row);
        }
    }
    return covered;
}

static json_t *late(const json_t *readers)
{
    json_t *ids = json_array();
    const json_t *reader;
    size_t i;

    json_array_foreach(readers, i, reader) {
        if (!json_is_true(json_object_get(reader, "acknowledged"))) {
            json_array_append(ids, json_object_get(reader, "id"));
        }
    }
    return ids;
}

/* The folder's part of the answer; *ret_counters are all of its counters. */
static json_t *folder_part(struct grayd *grayd, const struct call *call,
                           json_t **ret_counters)
{
    struct gray_problem problem = { 0 };
    json_t *body = publisher_status(grayd->options.runtime, &problem);
    json_t *counters;

    if (body == NULL) {
        body = json_pack(
            "{s:I,s:b,s:[],s:[],s:{s:s,s:s}}", "generation",
            (json_int_t)atomic_load(&grayd->generation), "bypass",
            (int)atomic_load(&grayd->bypass), "readers", "routes", "problem",
            "code", problem.code != NULL ? problem.code : "io", "sentence",
            problem.sentence);
    }
    if (body == NULL) {
        return NULL;
    }
    counters = json_incref(json_object_get(body, "routes"));
    json_object_set_new(body, "routes", routes_covered(call, counters));
    json_object_set_new(body, "late",
                        late(json_object_get(body, "readers")));
    json_object_set_new(
        body, "hostWords",
        host_words(call, json_object_get(body, "releases")));
    json_object_set_new(body, "revisionInFolder",
                        json_incref(json_object_get(body,
                                                    "revisionInForce")));
    *ret_counters = counters;
    return body;
}

/* ---- of grayd itself ---------------------------------------------------------------- */

struct waiting {
    json_t *rows;
    uint64_t in_force;
};

/* That it is done is written down some seconds later: what is in force waits
 * for nothing. */
static int add_pending(void *context, const struct store_pending *effect)
{
    struct waiting *waiting = context;

    if (strcmp(effect->kind, "publish") != 0 ||
        effect->revision > waiting->in_force) {
        json_array_append_new(
            waiting->rows,
            json_sprintf("%s of revision %llu", effect->kind,
                         (unsigned long long)effect->revision));
    }
    return 0;
}

static void grayd_part(json_t *body, struct grayd *grayd)
{
    json_object_set_new(body, "revision",
                        read_number(atomic_load(&grayd->revision)));
    json_object_set_new(body, "revisionInForce",
                        read_number(atomic_load(&grayd->revision_in_force)));
    json_object_set_new(body, "auditSequence",
                        read_number(atomic_load(&grayd->audit_sequence)));
    json_object_set_new(body, "storeFailed",
                        json_boolean(atomic_load(&grayd->store_failed) ||
                                     atomic_load(&grayd->store_full)));
    json_object_set_new(body, "instance", json_string(grayd->instance));
    json_object_set_new(body, "version", json_string(GRAY_VERSION));
    json_object_set_new(body, "started", read_moment(grayd->started));
}

/* The first page of them; /v1/hosts has the rest. */
static void add_hosts(struct grayd *grayd, json_t *body)
{
    bool more = false;
    json_t *rows = read_hosts(grayd, NULL, HOSTS_SHOWN, &more);

    if (json_array_size(rows) > 0) {
        json_object_set(body, "hosts", rows);
    }
    json_decref(rows);
}

void route_handle_STATUS(struct hand *hand, const struct call *call,
                         struct reply *reply)
{
    struct gray_problem problem = { 0 };
    struct store_head head;
    struct waiting waiting = { NULL, 0 };
    json_t *releases, *counters = NULL, *body;

    if (!read_head(hand, &head, reply)) {
        return;
    }
    releases = read_releases(hand, call, head.revision, reply);
    if (releases == NULL) {
        return;
    }
    waiting.rows = json_array();
    waiting.in_force = atomic_load(&hand->grayd->revision_in_force);
    body = folder_part(hand->grayd, call, &counters);
    if (store_read_pending(hand->reader, add_pending, &waiting, &problem) !=
        0) {
        read_failed(reply, &problem);
        json_decref(body);
    } else {
        grayd_part(body, hand->grayd);
        read_marks_writer(hand->grayd, body);
        read_checks(hand, call, body);
        add_hosts(hand->grayd, body);
        json_object_set_new(body, "observed", observed(releases, counters));
        json_object_set(body, "releases", releases);
        json_object_set(body, "pending", waiting.rows);
        reply_json(reply, 200, body);
    }
    json_decref(counters);
    json_decref(releases);
    json_decref(waiting.rows);
}
