/* SPDX-License-Identifier: Apache-2.0
 * events.c - `gray watch` and `gray changes`: who changed what, and when.
 *
 * Why: a second pair of eyes on a release needs each change once, in order,
 * through every broken connection.  So watching begins at a number of the
 * audit, keeps the last one seen, and asks for what follows it; who waits is
 * spread by chance, so that a thousand watchers do not come back at once.
 * Read next: listen.c, control/rest/events.c.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

#define SILENCE_S 40u      /* grayd says something every 15 s */
#define WAIT_LEAST_MS 100
#define WAIT_MOST_MS 10000
#define CHANGES_SINCE "24h"

/* ---- one record -------------------------------------------------------------------- */

/* What it was done to; the first of many where a record has no single one. */
static char *resource_text(const json_t *record)
{
    const json_t *after = json_object_get(record, "after");
    const char *text = text_at(record, "resource"), *first = "";
    size_t count = 0;
    char *made = NULL;

    if (*text == '\0' && json_is_array(after)) {
        first = text_at(json_array_get(after, 0), "document");
        count = json_array_size(after);
    }
    if (*first == '\0' || count < 2) {
        return strdup(*first != '\0' ? first : text);
    }
    return asprintf(&made, "%s and %zu more", first, count - 1) < 0 ? NULL
                                                                    : made;
}

/* Records as rows; the outcome where there are several. */
static void print_records(const json_t *records, bool outcomes)
{
    CLI_CLEANUP(table_freep) struct table *table =
        table_new(outcomes ? 8 : 7);
    const char *const heads[] = { "RECORD", "AT", "ACTOR", "ACTION",
                                  "RESOURCE", "REVISION", "REASON",
                                  "OUTCOME" };
    const json_t *record;
    size_t i;

    for (i = 0; i < (outcomes ? 8u : 7u); i++) {
        table_cell(table, "%s", heads[i]);
    }
    table_right(table, 0);
    table_right(table, 5);
    json_array_foreach(records, i, record) {
        CLI_CLEANUP(string_freep) char *resource = resource_text(record);

        table_cell(table, "%lld", (long long)number_at(record, "sequence"));
        table_cell(table, "%s", text_at(record, "at"));
        table_cell(table, "%s", text_at(record, "actor"));
        table_cell(table, "%s", text_at(record, "action"));
        table_cell(table, "%s", resource != NULL ? resource : "");
        if (number_at(record, "revision") > 0) {
            table_cell(table, "%lld",
                       (long long)number_at(record, "revision"));
        } else {
            table_cell(table, "-");
        }
        table_cell(table, "%s", text_at(record, "reason"));
        if (outcomes) {
            table_cell(table, "%s%s%s", text_at(record, "outcome"),
                       *text_at(record, "code") != '\0' ? ": " : "",
                       text_at(record, "code"));
        }
    }
    table_print(table, stdout);
}

int records_say(const struct arguments *arguments, const char *key,
                const json_t *records, bool outcomes)
{
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:O}", key, records), JSON_INDENT(2));
    }
    if (json_array_size(records) == 0) {
        printf("nothing\n");
        return CLI_EXIT_OK;
    }
    print_records(records, outcomes);
    return CLI_EXIT_OK;
}

int command_changes(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *records = NULL;
    CLI_CLEANUP(string_freep) char *path = NULL;
    const char *since = arguments_get(arguments, CLI_SINCE);
    int status = remote_open(&remote, arguments);

    if (status != 0) {
        return status;
    }
    path = remote_path("/v1/changes?since=%s",
                       since != NULL ? since : CHANGES_SINCE);
    status = remote_pages(remote, path, "changes", "after", 0, &records);
    return status != 0 ? status
                       : records_say(arguments, "changes", records, false);
}

/* ---- watching ------------------------------------------------------------------------- */

struct watch {
    bool json;
    double most, seen;      /* most 0: without an end */
    int64_t end;            /* monotonic ms; 0: never */
    char last[32];          /* number of the last record */
    char id[32];            /* of the event being read */
    bool heard;             /* something since the connection was made */
    char *line, *data;
    size_t length, room;    /* of the line */
};

static void watch_free(struct watch *watch)
{
    free(watch->line);
    free(watch->data);
}

/* "  Progressing 10 % -> Paused 10 %", or nothing for what is no move. */
static char *move_text(const json_t *record)
{
    const char *const sides[] = { "before", "after" };
    char *text = strdup("");

    for (size_t i = 0; i < 2; i++) {
        const json_t *side = json_object_get(record, sides[i]);
        char share[32], *longer = NULL;

        if (*text_at(side, "state") == '\0' || text == NULL) {
            break;
        }
        if (asprintf(&longer, "%s%s%s %s%s", text, i == 0 ? "  " : " -> ",
                     text_at(side, "state"),
                     percent_text(json_object_get(side, "percent"), share),
                     json_is_true(json_object_get(side, "killed")) ? " killed"
                                                                   : "") < 0) {
            longer = NULL;
        }
        free(text);
        text = longer;
    }
    return text;
}

static void print_event(struct watch *watch)
{
    CLI_CLEANUP(json_freep) json_t *record = json_loads(watch->data, 0, NULL);
    CLI_CLEANUP(string_freep) char *text = NULL;
    CLI_CLEANUP(string_freep) char *resource = resource_text(record);
    CLI_CLEANUP(string_freep) char *move = move_text(record);

    if (watch->json) {
        printf("%s\n", watch->data);
    } else if (asprintf(&text, "%s  %s  %s %s%s%s%s", text_at(record, "at"),
                        text_at(record, "actor"), text_at(record, "action"),
                        resource != NULL ? resource : "",
                        move != NULL ? move : "",
                        *text_at(record, "reason") != '\0' ? "  " : "",
                        text_at(record, "reason")) >= 0) {
        printf("%s\n", text_clean(text));
    }
    fflush(stdout);
}

static void take_field(struct watch *watch, const char *line)
{
    const char *value = strchr(line, ':');
    size_t name = value != NULL ? (size_t)(value - line) : strlen(line);

    value = value != NULL ? value + 1 : "";
    value += *value == ' ';
    if (name == 2 && strncmp(line, "id", 2) == 0 &&
        strlen(value) < sizeof(watch->id)) {
        snprintf(watch->id, sizeof(watch->id), "%s", value);
    } else if (name == 4 && strncmp(line, "data", 4) == 0) {
        free(watch->data);
        watch->data = strdup(value);
    }
}

/* An empty line ends an event. 1: enough was seen. */
static int take_line(struct watch *watch, const char *line)
{
    if (*line != '\0') {
        take_field(watch, line);
        return 0;
    }
    if (watch->data == NULL) {
        return 0;
    }
    print_event(watch);
    snprintf(watch->last, sizeof(watch->last), "%s", watch->id);
    free(watch->data);
    watch->data = NULL;
    watch->seen++;
    return (watch->most > 0 && watch->seen >= watch->most) ||
           ferror(stdout);
}

static int take_bytes(void *context, const char *data, size_t length)
{
    struct watch *watch = context;

    watch->heard = true;
    for (size_t i = 0; i < length; i++) {
        if (watch->length + 2 > watch->room) {
            size_t room = watch->room == 0 ? 4096 : 2 * watch->room;
            char *line = room <= 2 * (size_t)REMOTE_LINE_MAX
                             ? realloc(watch->line, room)
                             : NULL;

            if (line == NULL) {
                complain("an event of more than %u bytes", REMOTE_LINE_MAX);
                return 1;
            }
            watch->line = line;
            watch->room = room;
        }
        if (data[i] != '\n') {
            watch->line[watch->length++] = data[i];
            continue;
        }
        watch->length -= watch->length > 0 &&
                         watch->line[watch->length - 1] == '\r';
        watch->line[watch->length] = '\0';
        watch->length = 0;
        if (take_line(watch, watch->line)) {
            return 1;
        }
    }
    return watch->end != 0 && port_monotonic_ms() >= watch->end;
}

/* Where watching begins: after the newest record. */
static int find_start(struct remote *remote, struct watch *watch)
{
    CLI_CLEANUP(json_freep) json_t *status = NULL;
    int result = remote_get(remote, "/v1/status", &status);

    snprintf(watch->last, sizeof(watch->last), "%lld",
             (long long)number_at(status, "auditSequence"));
    return result;
}

static bool is_over(const struct watch *watch)
{
    return (watch->most > 0 && watch->seen >= watch->most) ||
           ferror(stdout) ||
           (watch->end != 0 && port_monotonic_ms() >= watch->end);
}

static int watch_on(struct remote *remote, struct watch *watch)
{
    int64_t wait = WAIT_LEAST_MS;
    int status = 0;

    while (!is_over(watch)) {
        int64_t left = watch->end != 0 ? watch->end - port_monotonic_ms()
                                       : SILENCE_S * 1000;

        watch->heard = false;
        watch->length = 0;
        free(watch->data);
        watch->data = NULL;
        status = remote_listen(
            remote,
            &(struct remote_stream) {
                .path = "/v1/events",
                .last_event = watch->last,
                .piece = take_bytes,
                .context = watch,
                .silence = left < SILENCE_S * 1000
                               ? (unsigned)(left / 1000 + 1)
                               : SILENCE_S },
            true);
        if (is_over(watch) ||
            (status != 0 && status != CLI_EXIT_UNREACHABLE &&
             status != CLI_EXIT_SYSTEM)) {
            break;
        }
        if (watch->heard) {
            wait = WAIT_LEAST_MS;
            complain("the connection to %s ended; trying again after record "
                     "%s", remote_place(remote), watch->last);
        }
        port_sleep_ms(wait / 2 + port_random((uint32_t)wait));
        wait = wait * 2 > WAIT_MOST_MS ? WAIT_MOST_MS : wait * 2;
    }
    return is_over(watch) ? CLI_EXIT_OK : status;
}

int command_watch(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(watch_free) struct watch watch = {
        .json = arguments_json(arguments)
    };
    double seconds = 0;
    int status = arguments_number(arguments, CLI_COUNT, 0, 1e9, &watch.most);

    status = status != 0 ? status
                         : arguments_number(arguments, CLI_TIMEOUT, 0, 1e9,
                                            &seconds);
    status = status != 0 ? status : remote_open(&remote, arguments);
    if (status != 0) {
        return status;
    }
    if (arguments_has(arguments, CLI_TIMEOUT)) {
        watch.end = port_monotonic_ms() + (int64_t)(seconds * 1000) + 1;
    }
    status = find_start(remote, &watch);
    return status != 0 ? status : watch_on(remote, &watch);
}
