/* SPDX-License-Identifier: Apache-2.0
 * remote_status.c - `gray status` by grayd's answer, and waiting for an end.
 *
 * Why: what grayd wants and what the host does stand side by side.  With a
 * name and a time it is a contract for pipelines: 0 when the release came to
 * its end, something else when it went wrong or the time is over.
 * Read next: status.c (the folder's), control/read/status.c.
 */
#include <string.h>

#include "cli/remote.h"

#define LOOK_EVERY_MS 250

/* ---- all of it ------------------------------------------------------------------ */

static void print_readers(const json_t *readers)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(8);
    const char *const heads[] = { "READER", "PID", "POLICY", "READY", "LATE MS",
                                  "WORDS", "HAS IT", "REFUSED" };
    const json_t *row;
    size_t i;

    if (json_array_size(readers) == 0) {
        printf("no reader is alive\n");
        return;
    }
    for (i = 0; i < 8; i++) {
        table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(readers, i, row) {
        table_cell(table, "%s", text_at(row, "id"));
        table_cell(table, "%lld", (long long)number_at(row, "pid"));
        table_cell(table, "%lld",
                   (long long)number_at(row, "policyGeneration"));
        if (number_at(row, "nextGeneration") != 0) {
            table_cell(table, "%lld",
                       (long long)number_at(row, "nextGeneration"));
        } else {
            table_cell(table, "-");
        }
        table_cell(table, "%lld", (long long)number_at(row, "lateMs"));
        table_cell(table, "%lld", (long long)number_at(row, "wordEpoch"));
        table_cell(table, "%s",
                   json_is_true(json_object_get(row, "acknowledged")) ? "yes"
                                                                      : "no");
        table_cell(table, "%s", text_at(row, "refused"));
    }
    table_print(table, stdout);
}

static void print_routes(const json_t *routes)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(6);
    const char *const heads[] = { "SERVICE", "VERSION", "LANE", "ARM", "CLASS",
                                  "STARTED" };
    const json_t *row;
    size_t i;

    if (json_array_size(routes) == 0) {
        return;
    }
    for (i = 0; i < 6; i++) {
        table_cell(table, "%s", heads[i]);
    }
    table_right(table, 5);
    json_array_foreach(routes, i, row) {
        for (int j = 0; j < 5; j++) {
            static const char *const keys[] = { "service", "version", "lane",
                                                "arm", "class" };

            table_cell(table, "%s", text_at(row, keys[j]));
        }
        table_cell(table, "%lld", (long long)number_at(row, "started"));
    }
    table_print(table, stdout);
}

static void print_observed(const json_t *rows)
{
    const json_t *row;
    char wanted[32], seen[32];
    size_t i;

    json_array_foreach(rows, i, row) {
        if (number_at(row, "of") > 0) {
            printf("%s: %s wanted, %s observed of %lld requests\n",
                   text_at(row, "release"),
                   percent_text(json_object_get(row, "wantedPercent"), wanted),
                   percent_text(json_object_get(row, "observedPercent"),
                                seen),
                   (long long)number_at(row, "of"));
        }
    }
}

/* What was said on the host and grayd could not take over yet: it is what
 * users meet, whatever the state says. name NULL: of every release. */
static void print_host_words(const json_t *status, const char *name)
{
    const json_t *item;
    size_t i;

    if (json_is_true(json_object_get(status, "storeFailed"))) {
        printf("the store cannot be written: nothing can be changed but on "
               "the host (gray stop NAME --local)\n");
    }
    json_array_foreach(json_object_get(status, "hostWords"), i, item) {
        if (name == NULL || strcmp(name, text_at(item, "release")) == 0) {
            printf("%s: the host says %s, and that is in force\n",
                   text_at(item, "release"), text_at(item, "word"));
        }
    }
}

/* A line for each release, and one of who writes them. */
static void print_marks(const json_t *status)
{
    const json_t *writer = json_object_get(status, "marks"), *release;
    size_t i;

    json_array_foreach(json_object_get(status, "releases"), i, release) {
        const json_t *marks = json_object_get(release, "marks");

        if (marks != NULL) {
            printf("%s: %lld units in, %lld out, %lld revoked\n",
                   text_at(release, "name"), (long long)number_at(marks, "in"),
                   (long long)number_at(marks, "out"),
                   (long long)number_at(marks, "revoked"));
        }
    }
    if (writer != NULL && strcmp(text_at(writer, "writer"), "ok") != 0) {
        printf("marks: the writer is %s%s%s: strict releases let nobody new "
               "in\n",
               text_at(writer, "writer"),
               *text_at(writer, "trouble") != '\0' ? ": " : "",
               text_at(writer, "trouble"));
    }
}

/* What lies ready, and what crashed readers. */
static void print_instant(const json_t *status)
{
    const json_t *next = json_object_get(status, "next"), *row;
    const json_t *crashes = json_object_get(status, "crashes");
    size_t i, ready = 0;
    char moment[40];

    json_array_foreach(json_object_get(status, "readers"), i, row) {
        ready += number_at(row, "nextGeneration") ==
                 number_at(next, "generation");
    }
    if (next != NULL) {
        printf("generation %lld, revision %lld lies ready in %zu of %zu "
               "readers; they turn at %s\n",
               (long long)number_at(next, "generation"),
               (long long)number_at(next, "revision"), ready,
               json_array_size(json_object_get(status, "readers")),
               moment_text(number_at(next, "effectiveAtMs"), moment));
    }
    if (crashes != NULL) {
        printf("generation %lld crashed %lld readers (the last one: pid %lld, "
               "signal %lld)%s\n",
               (long long)number_at(crashes, "generation"),
               (long long)number_at(crashes, "count"),
               (long long)number_at(crashes, "pid"),
               (long long)number_at(crashes, "signal"),
               json_is_true(json_object_get(crashes, "blocked"))
                   ? ": who starts takes the last good one, and no release "
                     "advances; apply another policy, or on the host: gray "
                     "unblock --reason TEXT"
               : json_is_true(json_object_get(crashes, "accepted"))
                   ? "; somebody said that it is not to blame"
                   : "");
    }
}

/* A line for each Check that has something to say. */
static void print_checks(const json_t *status)
{
    const json_t *check;
    size_t i;

    json_array_foreach(json_object_get(status, "checks"), i, check) {
        const char *name = text_at(check, "name");
        json_int_t suspects = number_at(check, "suspects");
        json_int_t alarms = number_at(check, "alarms");

        if (json_is_object(json_object_get(check, "failed"))) {
            printf("check %s: its last run failed: %s\n", name,
                   text_at(json_object_get(check, "failed"), "sentence"));
        }
        if (suspects + alarms > 0) {
            printf("check %s: %lld alarms and %lld suspects, %lld of which "
                   "hold %s back (gray recon report %s)\n",
                   name, (long long)alarms, (long long)suspects,
                   (long long)number_at(check, "blocking"),
                   text_at(check, "release"), name);
        }
    }
}

static void print_status(const struct remote *remote, const json_t *status)
{
    const json_t *item;
    size_t i;

    printf("grayd %s at %s: revision %lld, %lld in force, generation %lld\n",
           text_at(status, "version"), remote_place(remote),
           (long long)number_at(status, "revision"),
           (long long)number_at(status, "revisionInForce"),
           (long long)number_at(status, "generation"));
    if (json_is_true(json_object_get(status, "bypass"))) {
        printf("bypass is on: every request goes to the baseline "
               "(gray bypass off)\n");
    }
    print_instant(status);
    releases_say(json_object_get(status, "releases"));
    print_marks(status);
    print_checks(status);
    print_host_words(status, NULL);
    json_array_foreach(json_object_get(status, "pending"), i, item) {
        printf("waits to be done: %s\n", json_string_value(item));
    }
    print_readers(json_object_get(status, "readers"));
    if (json_array_size(json_object_get(status, "hosts")) > 0) {
        hosts_say(json_object_get(status, "hosts"));
    }
    print_observed(json_object_get(status, "observed"));
    print_routes(json_object_get(status, "routes"));
}

static int whole_status(struct remote *remote,
                        const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *body = NULL;
    int status = remote_get(remote, "/v1/status", &body);

    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(body), JSON_INDENT(2));
    }
    print_status(remote, body);
    return CLI_EXIT_OK;
}

/* ---- one release ------------------------------------------------------------------ */

static int say_release(struct remote *remote,
                       const struct arguments *arguments,
                       const json_t *release)
{
    CLI_CLEANUP(json_freep) json_t *rows = json_pack("[O]", release);
    CLI_CLEANUP(json_freep) json_t *whole = NULL;

    if (arguments_json(arguments)) {
        return json_print(json_incref((json_t *)(uintptr_t)release),
                          JSON_INDENT(2));
    }
    releases_say(rows);
    marks_say(release);
    if (remote_get(remote, "/v1/status", &whole) == 0) {
        print_host_words(whole, arguments->operands[0]);
    }
    return CLI_EXIT_OK;
}

/* 1: it goes on; else an exit code. */
static int judge(const json_t *release)
{
    const char *state = text_at(release, "state");

    if (json_is_true(json_object_get(release, "killed")) ||
        strcmp(text_at(release, "phase"), "Degraded") == 0) {
        return CLI_EXIT_REFUSED;
    }
    return strcmp(state, "Promoted") == 0 || strcmp(state, "Completed") == 0
               ? CLI_EXIT_OK
               : -1;
}

static int release_status(struct remote *remote,
                          const struct arguments *arguments)
{
    const char *name = arguments->operands[0];
    CLI_CLEANUP(string_freep) char *path = remote_path("/v1/releases/%s",
                                                       name);
    bool waits = arguments_has(arguments, CLI_TIMEOUT);
    double seconds = 0;
    int64_t end;
    int status = arguments_number(arguments, CLI_TIMEOUT, 0, 1e7, &seconds);

    if (status != 0) {
        return status;
    }
    end = port_monotonic_ms() + (int64_t)(seconds * 1000);
    for (;;) {
        CLI_CLEANUP(json_freep) json_t *release = NULL;
        int verdict;

        status = remote_get(remote, path, &release);
        if (status != 0) {
            return status;
        }
        verdict = waits ? judge(release) : 0;
        if (verdict < 0 && port_monotonic_ms() < end) {
            port_sleep_ms(LOOK_EVERY_MS);
            continue;
        }
        status = say_release(remote, arguments, release);
        if (verdict == CLI_EXIT_REFUSED) {
            complain("%s is %s: it did not come to its end", name,
                     json_is_true(json_object_get(release, "killed"))
                         ? "killed"
                         : text_at(release, "state"));
        } else if (verdict < 0) {
            complain("%s is %s after %g s", name, text_at(release, "state"),
                     seconds);
            verdict = CLI_EXIT_INCOMPLETE;
        }
        return verdict != 0 ? verdict : status;
    }
}

int remote_status(struct remote *remote, const struct arguments *arguments)
{
    if (arguments->operand_count > 0) {
        return release_status(remote, arguments);
    }
    if (arguments_has(arguments, CLI_TIMEOUT)) {
        complain("--timeout waits for one release: gray status NAME "
                 "--timeout SECONDS");
        return CLI_EXIT_USAGE;
    }
    return whole_status(remote, arguments);
}
