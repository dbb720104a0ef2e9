/* SPDX-License-Identifier: Apache-2.0
 * hosts.c - `gray hosts`: every host, what it has in force, until when it may
 * admit.
 *
 * Why: with many hosts "is it so everywhere?" has an answer a host; one that
 * is cut off is the first line that a tired person has to see, so whoever is
 * not where he should be stands on top.
 * Read next: docs/agent.md, control/read/hosts.c.
 */
#include <string.h>

#include "cli/remote.h"

static bool is_current(const json_t *host)
{
    return strcmp(text_at(host, "state"), "current") == 0;
}

/* What one may want to know beside the columns. */
static void say_note(struct table *table, const json_t *host)
{
    const json_t *refused = json_object_get(host, "refused");
    const json_t *word = json_array_get(json_object_get(host, "words"), 0);
    json_int_t skew = number_at(host, "clockSkewMs");

    if (json_is_object(refused)) {
        table_cell(table, "refuses bundle %lld: %s",
                   (long long)number_at(refused, "sequence"),
                   text_at(refused, "sentence"));
    } else if (word != NULL) {
        table_cell(table, "a person set %s there", text_at(word, "word"));
    } else if (strcmp(text_at(host, "state"), "ahead") == 0) {
        table_cell(table, "follows a server that knew more than this one");
    } else if (skew > 1000 || skew < -1000) {
        table_cell(table, "its clock is off by %.1f s", (double)skew / 1000);
    } else {
        table_cell(table, "%s", "");
    }
}

static void say_row(struct table *table, const json_t *host)
{
    json_int_t lease = number_at(host, "leaseLeftMs");

    table_cell(table, "%s", text_at(host, "name"));
    table_cell(table, "%s", text_at(host, "state"));
    table_cell(table, "%lld", (long long)number_at(host, "revision"));
    table_cell(table, "%lld", (long long)number_at(host, "lag"));
    if (lease > 0) {
        table_cell(table, "%.1f s", (double)lease / 1000);
    } else {
        table_cell(table, "none");
    }
    table_cell(table, "%lld of %lld",
               (long long)(number_at(host, "readers") -
                           number_at(host, "lateReaders")),
               (long long)number_at(host, "readers"));
    if (json_object_get(host, "heardAgoMs") != NULL) {
        table_cell(table, "%.1f s ago",
                   (double)number_at(host, "heardAgoMs") / 1000);
    } else {
        table_cell(table, "not yet");
    }
    say_note(table, host);
}

void hosts_say(const json_t *hosts)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(8);
    const char *const heads[] = { "HOST", "STATE", "REVISION", "BEHIND",
                                  "LEASE", "READERS", "HEARD", "NOTE" };
    const json_t *host;
    size_t i;

    for (i = 0; i < 8; i++) {
        table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(hosts, i, host) {
        if (!is_current(host)) {
            say_row(table, host);
        }
    }
    json_array_foreach(hosts, i, host) {
        if (is_current(host)) {
            say_row(table, host);
        }
    }
    table_print(table, stdout);
}

int command_hosts(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *hosts = NULL;
    int status = remote_open(&remote, arguments);

    status = status != 0
                 ? status
                 : remote_pages(remote, "/v1/hosts", "hosts", "after", 0,
                                &hosts);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:O}", "hosts", hosts), JSON_INDENT(2));
    }
    if (json_array_size(hosts) == 0) {
        printf("no host has reported; grayd --agent --help says how one "
               "begins\n");
        return CLI_EXIT_OK;
    }
    hosts_say(hosts);
    return CLI_EXIT_OK;
}

int command_hosts_forget(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *changed = NULL;
    const char *reason = arguments_get(arguments, CLI_REASON);
    const char *name = arguments->operands[0];
    CLI_CLEANUP(string_freep) char *path =
        reason != NULL ? remote_path("/v1/hosts/%s?reason=%s", name, reason)
                       : remote_path("/v1/hosts/%s", name);
    int status = remote_open(&remote, arguments);

    status = status != 0 ? status
                         : remote_change(remote, arguments, "DELETE", path,
                                         NULL, &changed);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(changed), JSON_INDENT(2));
    }
    printf("%s %s\n", name,
           arguments_has(arguments, CLI_DRY_RUN)
               ? "would be forgotten (--dry-run)"
               : "is forgotten; end its token too, or it comes back with its "
                 "next report (gray token list)");
    return CLI_EXIT_OK;
}
