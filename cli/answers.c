/* SPDX-License-Identifier: Apache-2.0
 * answers.c - what answers of grayd have in common, in words and tables.
 *
 * Why: a change, a move and a status all say which releases stand where and
 * which readers have it; people learn one way to read that.
 * Read next: control/call/schemas.json (Changed, Release, Status).
 */
#include <string.h>

#include "cli/remote.h"

#define LOOK_EVERY_MS 100

const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

json_int_t number_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

const char *percent_text(const json_t *percent, char buffer[32])
{
    snprintf(buffer, 32, "-");
    if (json_is_number(percent)) {
        snprintf(buffer, 32, "%g %%", json_number_value(percent));
    }
    return buffer;
}

void releases_say(const json_t *releases)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(8);
    const char *const heads[] = { "RELEASE", "STATE", "SHARE", "NEXT", "WORD",
                                  "PHASE", "SINCE", "SERVICES" };
    const json_t *row, *service;
    char share[32];
    size_t i, j;

    if (json_array_size(releases) == 0) {
        return;
    }
    for (i = 0; i < 8; i++) {
        table_cell(table, "%s", heads[i]);
    }
    table_right(table, 2);
    table_right(table, 3);
    json_array_foreach(releases, i, row) {
        char services[400] = "";

        json_array_foreach(json_object_get(row, "services"), j, service) {
            size_t used = strlen(services);

            snprintf(services + used, sizeof(services) - used, "%s%s",
                     used > 0 ? " " : "", json_string_value(service));
        }
        table_cell(table, "%s", text_at(row, "name"));
        table_cell(table, "%s%s", text_at(row, "state"),
                   json_is_true(json_object_get(row, "killed")) ? ", killed"
                                                                : "");
        table_cell(table, "%s",
                   percent_text(json_object_get(row, "percent"), share));
        table_cell(table, "%s",
                   percent_text(json_object_get(row, "nextPercent"), share));
        table_cell(table, "%s", text_at(row, "word"));
        table_cell(table, "%s", text_at(row, "phase"));
        table_cell(table, "%s", text_at(row, "since"));
        table_cell(table, "%s", services);
    }
    table_print(table, stdout);
}

/* ---- readers -------------------------------------------------------------------- */

static bool all_have_it(const json_t *readers)
{
    const json_t *reader;
    size_t i;

    json_array_foreach(readers, i, reader) {
        if (!json_is_true(json_object_get(reader, "acknowledged"))) {
            return false;
        }
    }
    return true;
}

int readers_wait(struct remote *remote, double seconds, json_t **ret_readers)
{
    int64_t end = port_monotonic_ms() + (int64_t)(seconds * 1000);

    for (;;) {
        CLI_CLEANUP(json_freep) json_t *body = NULL;
        json_t *readers;
        int status = remote_get(remote, "/v1/status", &body);

        if (status != 0) {
            return status;
        }
        readers = json_object_get(body, "readers");
        if (all_have_it(readers) || port_monotonic_ms() >= end) {
            *ret_readers = json_incref(readers);
            return 0;
        }
        port_sleep_ms(LOOK_EVERY_MS);
    }
}

int readers_say(const json_t *readers, bool json)
{
    size_t i, have = 0;
    const json_t *reader;

    json_array_foreach(readers, i, reader) {
        have += json_is_true(json_object_get(reader, "acknowledged"));
    }
    if (!json) {
        printf("readers: %zu live, %zu have it\n", json_array_size(readers),
               have);
    }
    json_array_foreach(readers, i, reader) {
        if (!json_is_true(json_object_get(reader, "acknowledged"))) {
            const char *refused = text_at(reader, "refused");

            complain("reader %s (pid %lld) does not have it%s%s",
                     text_at(reader, "id"),
                     (long long)number_at(reader, "pid"),
                     *refused != '\0' ? ": " : "", refused);
        }
    }
    return have == json_array_size(readers) ? CLI_EXIT_OK
                                            : CLI_EXIT_INCOMPLETE;
}

/* ---- a change ---------------------------------------------------------------------- */

static void changes_say(const json_t *changes)
{
    const json_t *change;
    size_t i;

    json_array_foreach(changes, i, change) {
        printf("%s %s/%s\n", text_at(change, "change"),
               text_at(change, "kind"), text_at(change, "name"));
    }
}

/* What was advised about documents that were not touched is no news. */
static json_t *news_of(const json_t *findings)
{
    json_t *news = json_array(), *finding;
    size_t i;

    json_array_foreach(findings, i, finding) {
        if (strcmp(text_at(finding, "file"), "in force") != 0 ||
            strcmp(text_at(finding, "severity"), "error") == 0) {
            json_array_append(news, finding);
        }
    }
    return news;
}

void changed_say(const json_t *changed)
{
    const json_t *force = json_object_get(changed, "inForce");
    const json_t *ahead = json_object_get(changed, "ahead");
    long long revision = (long long)number_at(changed, "revision");
    CLI_CLEANUP(json_freep) json_t *news =
        news_of(json_object_get(changed, "findings"));

    findings_say(news, stderr);
    changes_say(json_object_get(changed, "changes"));
    if (json_is_true(json_object_get(changed, "dryRun"))) {
        printf("nothing was changed (--dry-run); revision %lld is in force\n",
               revision);
    } else if (*text_at(changed, "scheduled") != '\0') {
        printf("waits for its moment as %s (gray scheduled cancel %s)\n",
               text_at(changed, "scheduled"), text_at(changed, "scheduled"));
        if (ahead != NULL) {
            printf("lies ready as generation %lld in %lld of %lld readers\n",
                   (long long)number_at(ahead, "generation"),
                   (long long)number_at(ahead, "ready"),
                   (long long)number_at(ahead, "readers"));
        }
    } else if (*text_at(changed, "notPublished") != '\0') {
        printf("revision %lld is kept, and not in force yet: %s\n", revision,
               text_at(changed, "notPublished"));
    } else if (force != NULL) {
        printf("revision %lld is in force: generation %lld, readers: %lld "
               "live, %lld have it so far\n", revision,
               (long long)number_at(force, "generation"),
               (long long)number_at(force, "readers"),
               (long long)number_at(force, "acknowledged"));
    } else if (json_array_size(json_object_get(changed, "changes")) > 0) {
        printf("revision %lld was made before, by the same key\n", revision);
    } else {
        printf("no difference; revision %lld stays\n", revision);
    }
    releases_say(json_object_get(changed, "releases"));
}
