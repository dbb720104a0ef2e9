/* SPDX-License-Identifier: Apache-2.0
 * release_verbs.c - start, set-weight, pause, ... finish: releases by hand.
 *
 * Why: whatever is done to a release answers the same four questions: where
 * it stood and stands, what that means for users, who has it already, and
 * which command takes it back.  What a verb may do is grayd's to say; here are
 * only its options.
 * Read next: control/release/release.def, words.c (the same on the folder).
 */
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

#define WAIT_SECONDS 2.0 /* for readers, where --wait is not given */

static const char *const verbs[] = {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) word,
#include "control/release/release.def"
};

/* ---- the body -------------------------------------------------------------------- */

static int add_weight(json_t *body, const char *text)
{
    char *end;
    double weight = strtod(text, &end);

    if (end != text && *end == '%') {
        end++;
    }
    if (end == text || *end != '\0' || !(weight >= 0 && weight <= 100)) {
        complain("a percentage from 0 to 100 is wanted, not: %s", text);
        return CLI_EXIT_USAGE;
    }
    json_object_set_new(body, "weight", json_real(weight));
    return 0;
}

static int add_breaks(const struct arguments *arguments, json_t *body)
{
    double breaks = -1;
    int status = arguments_number(arguments, CLI_BREAKS, 0, 9e15, &breaks);

    if (breaks >= 0) {
        json_object_set_new(body, "breaks", json_integer((json_int_t)breaks));
    }
    return status;
}

static int add_unexplained(const struct arguments *arguments, json_t *body)
{
    double count = -1;
    int status =
        arguments_number(arguments, CLI_UNEXPLAINED, 0, 9e15, &count);

    if (count >= 0) {
        json_object_set_new(body, "unexplained",
                            json_integer((json_int_t)count));
    }
    return status;
}

static int make_body(const struct arguments *arguments, json_t *body)
{
    double revision = 0;
    int status = arguments_number(arguments, CLI_TO_REVISION, 1, 9e15,
                                  &revision);

    if (status == 0 && arguments->operand_count > 1) {
        status = add_weight(body, arguments->operands[1]);
    }
    if (status == 0 && revision == 0 &&
        strcmp(arguments->command->words, "undo") == 0) {
        complain("undo needs --to-revision N; gray history release %s lists "
                 "them", arguments->operands[0]);
        status = CLI_EXIT_USAGE;
    }
    if (revision > 0) {
        json_object_set_new(body, "toRevision",
                            json_integer((json_int_t)revision));
    }
    if (arguments_has(arguments, CLI_OVER_CAPACITY)) {
        json_object_set_new(body, "overCapacity", json_true());
    }
    if (arguments_has(arguments, CLI_FULL)) {
        json_object_set_new(body, "full", json_true());
    }
    if (arguments_has(arguments, CLI_KEEP) &&
        arguments_has(arguments, CLI_LEAVE)) {
        complain("either --keep or --leave, not both");
        return CLI_EXIT_USAGE;
    }
    if (arguments_has(arguments, CLI_KEEP) ||
        arguments_has(arguments, CLI_LEAVE)) {
        json_object_set_new(
            body, "onAbort",
            json_string(arguments_has(arguments, CLI_KEEP) ? "keep"
                                                           : "leave"));
    }
    if (status == 0) {
        status = add_breaks(arguments, body);
    }
    if (status == 0) {
        status = add_unexplained(arguments, body);
    }
    remote_reason(body, arguments);
    return status;
}

/* ---- what is said ------------------------------------------------------------------ */

static void side_say(const json_t *release)
{
    char share[32];

    printf("%s %s%s",
           *text_at(release, "state") != '\0' ? text_at(release, "state")
                                              : "(new)",
           percent_text(json_object_get(release, "percent"), share),
           json_is_true(json_object_get(release, "killed")) ? " killed" : "");
}

static void moved_say(const json_t *moved, bool dry)
{
    const json_t *release = json_object_get(moved, "release");
    const json_t *left;
    size_t i;

    printf("%s: ", text_at(release, "name"));
    if (json_is_true(json_object_get(moved, "changed"))) {
        side_say(json_object_get(moved, "before"));
        printf(" -> ");
        side_say(release);
        printf("%s\n", dry ? " (not done: --dry-run)" : "");
    } else {
        side_say(release);
        printf(" already; nothing was changed\n");
    }
    printf("  %s\n", text_at(moved, "sentence"));
    if (json_object_get(moved, "admission") != NULL) {
        printf("  %s\n",
               text_at(json_object_get(moved, "admission"), "sentence"));
    }
    json_array_foreach(json_object_get(moved, "residue"), i, left) {
        printf("  left to do: %s\n", json_string_value(left));
    }
    if (*text_at(moved, "notPublished") != '\0') {
        printf("  kept, and not in force yet: %s\n",
               text_at(moved, "notPublished"));
    }
    if (*text_at(moved, "undo") != '\0' &&
        json_is_true(json_object_get(moved, "changed"))) {
        printf("  undo: %s\n", text_at(moved, "undo"));
    }
}

/* Something moved, now or when the same key was used before. */
static bool was_done(const json_t *rows, const struct arguments *arguments)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        if (json_is_true(json_object_get(row, "changed"))) {
            return !arguments_has(arguments, CLI_DRY_RUN);
        }
    }
    return false;
}

/* A freeze is whole when nobody new is let in, whether by an acknowledgement
 * or because a lease is over; one that promises nothing is not. */
static int freeze_status(const json_t *rows, int status)
{
    size_t i, frozen = 0, closed = 0;
    const json_t *row;

    json_array_foreach(rows, i, row) {
        const json_t *admission = json_object_get(row, "admission");

        frozen += admission != NULL;
        closed += json_is_true(json_object_get(admission, "closed"));
    }
    if (frozen == 0 || (status != 0 && status != CLI_EXIT_INCOMPLETE)) {
        return status;
    }
    return closed < frozen                      ? CLI_EXIT_INCOMPLETE
           : frozen == json_array_size(rows) ? CLI_EXIT_OK
                                                : status;
}

/* Rows is an array of Moved; `answer` what is printed as JSON. */
static int finish(struct remote *remote, const struct arguments *arguments,
                  const json_t *rows, json_t *answer)
{
    CLI_CLEANUP(json_freep) json_t *readers = NULL;
    bool json = arguments_json(arguments);
    double wait = WAIT_SECONDS;
    int status = arguments_number(arguments, CLI_WAIT, 0, CLI_WAIT_MAX, &wait);
    const json_t *row;
    size_t i;

    if (status == 0 && was_done(rows, arguments)) {
        status = readers_wait(remote, wait, &readers);
    }
    if (readers != NULL) {
        json_object_set(answer, "readers", readers);
    }
    if (json) {
        json_print(json_incref(answer), JSON_INDENT(2));
    } else {
        json_array_foreach(rows, i, row) {
            moved_say(row, arguments_has(arguments, CLI_DRY_RUN));
        }
        if (json_array_size(rows) == 0) {
            printf("no release is concerned; nothing was changed\n");
        }
    }
    status = status == 0 && readers != NULL ? readers_say(readers, json)
                                            : status;
    return freeze_status(rows, status);
}

/* ---- one release ------------------------------------------------------------------- */

static int ask_verb(struct remote *remote, const struct arguments *arguments,
                    const char *name, const char *verb, json_t **ret_moved)
{
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/releases/%s/%s", name, verb);
    int status = make_body(arguments, body);

    return status != 0 ? status
                       : remote_change(remote, arguments, "POST", path, body,
                                       ret_moved);
}

static int one(struct remote *remote, const struct arguments *arguments,
               const char *name, const char *verb)
{
    CLI_CLEANUP(json_freep) json_t *moved = NULL;
    CLI_CLEANUP(json_freep) json_t *rows = NULL;
    int status = ask_verb(remote, arguments, name, verb, &moved);

    if (status != 0) {
        return status;
    }
    rows = json_pack("[O]", moved);
    return finish(remote, arguments, rows, moved);
}

/* `open` of the host is thaw here; what was aborted begins anew by retry. */
static int open_one(struct remote *remote, const struct arguments *arguments,
                    const char *name)
{
    CLI_CLEANUP(json_freep) json_t *release = NULL;
    CLI_CLEANUP(string_freep) char *path = remote_path("/v1/releases/%s",
                                                       name);
    int status = remote_get(remote, path, &release);
    const char *state = text_at(release, "state");

    if (status != 0) {
        return status;
    }
    if (json_is_true(json_object_get(release, "killed")) ||
        strcmp(state, "Aborted") == 0) {
        complain("%s is %s, which open does not undo; gray %s %s does", name,
                 json_is_true(json_object_get(release, "killed")) ? "killed"
                                                                  : state,
                 json_is_true(json_object_get(release, "killed")) ? "unkill"
                                                                  : "retry",
                 name);
        return CLI_EXIT_REFUSED;
    }
    return one(remote, arguments, name, "thaw");
}

/* ---- all of them ---------------------------------------------------------------------- */

static int stop_all(struct remote *remote, const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    int status;

    remote_reason(body, arguments);
    status = remote_change(remote, arguments, "POST", "/v1/stop", body,
                           &answer);
    return status != 0 ? status
                       : finish(remote, arguments,
                                json_object_get(answer, "moved"), answer);
}

/* One after the other; the first refusal is the exit code, the rest goes on. */
static int each(struct remote *remote, const struct arguments *arguments,
                const char *verb)
{
    CLI_CLEANUP(json_freep) json_t *releases = NULL;
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    json_t *rows = json_array(), *release;
    size_t i;
    int first = remote_pages(remote, "/v1/releases", "releases", "after", 0,
                             &releases);

    answer = json_pack("{s:o}", "moved", rows);
    if (first != 0) {
        return first;
    }
    if (arguments_has(arguments, CLI_KEY) && json_array_size(releases) > 1) {
        complain("--key is for one call; --all makes one for each release");
        return CLI_EXIT_USAGE;
    }
    json_array_foreach(releases, i, release) {
        json_t *moved = NULL;
        int status = ask_verb(remote, arguments, text_at(release, "name"),
                              verb, &moved);

        if (status == CLI_EXIT_UNREACHABLE) {
            return status;
        }
        first = first != 0 ? first : status;
        json_array_append_new(rows, status == 0 ? moved : json_object());
        if (status != 0) {
            json_array_remove(rows, json_array_size(rows) - 1);
        }
    }
    {
        int status = finish(remote, arguments, rows, answer);

        return first != 0 ? first : status;
    }
}

static bool is_verb(const char *word)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i], word) == 0) {
            return true;
        }
    }
    return false;
}

int release_verb(struct remote *remote, const struct arguments *arguments,
                 const char *verb)
{
    bool all = arguments_has(arguments, CLI_ALL);

    if (all == (arguments->operand_count > 0)) {
        complain("%s needs the name of a release, or --all", verb);
        return CLI_EXIT_USAGE;
    }
    if (all) {
        return strcmp(verb, "stop") == 0
                   ? stop_all(remote, arguments)
                   : each(remote, arguments,
                          is_verb(verb) ? verb : "thaw");
    }
    return is_verb(verb)
               ? one(remote, arguments, arguments->operands[0], verb)
               : open_one(remote, arguments, arguments->operands[0]);
}

/* ---- retreat --------------------------------------------------------------------------- */

#define UNITS_MAX 10000u /* of one call */

static int add_units(const struct arguments *arguments, json_t *units)
{
    const char *path = arguments_get(arguments, CLI_LIST);
    CLI_CLEANUP(file_closep) FILE *file = NULL;
    CLI_CLEANUP(line_free) struct line line = { 0 };
    int got = 0;

    for (size_t i = 1; i < arguments->operand_count; i++) {
        json_array_append_new(units, json_string(arguments->operands[i]));
    }
    file = path != NULL ? port_open(path) : NULL;
    if (path != NULL && file == NULL) {
        return CLI_EXIT_SYSTEM;
    }
    while (file != NULL && json_array_size(units) <= UNITS_MAX &&
           (got = port_line(file, path, CLI_ID_MAX, &line)) > 0) {
        if (line.length > 0 &&
            json_array_append_new(units, json_stringn(line.text,
                                                      line.length)) != 0) {
            complain("%s:%llu: a unit is 1 to %u bytes of UTF-8", path,
                     (unsigned long long)line.number, CLI_ID_MAX);
            return CLI_EXIT_USAGE;
        }
    }
    if (json_array_size(units) > UNITS_MAX) {
        complain("more than %u units at once: give the list in parts",
                 UNITS_MAX);
        return CLI_EXIT_USAGE;
    }
    return got < 0 ? CLI_EXIT_SYSTEM : 0;
}

/* Exactly one of three says whom. */
static int retreat_body(const struct arguments *arguments, json_t *body)
{
    const char *to = arguments_get(arguments, CLI_TO);
    CLI_CLEANUP(json_freep) json_t *units = json_array();
    double last = 0;
    int status = arguments_number(arguments, CLI_LAST, 1, 9e15, &last);

    status = status != 0 ? status : add_units(arguments, units);
    if (status != 0) {
        return status;
    }
    if ((to != NULL) + (last > 0) + (json_array_size(units) > 0) != 1) {
        complain("retreat takes one of --to PERCENT, --last N, and units (or "
                 "--list FILE)");
        return CLI_EXIT_USAGE;
    }
    if (to != NULL) {
        status = add_weight(body, to);
        json_object_set(body, "to", json_object_get(body, "weight"));
        json_object_del(body, "weight");
    } else if (last > 0) {
        json_object_set_new(body, "last", json_integer((json_int_t)last));
    } else {
        json_object_set(body, "units", units);
    }
    status = status != 0 ? status : add_breaks(arguments, body);
    status = status != 0 ? status : add_unexplained(arguments, body);
    remote_reason(body, arguments);
    return status;
}

int command_retreat(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(json_freep) json_t *moved = NULL;
    CLI_CLEANUP(json_freep) json_t *rows = NULL;
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/releases/%s/retreat", arguments->operands[0]);
    int status = retreat_body(arguments, body);

    status = status != 0 ? status : remote_open(&remote, arguments);
    status = status != 0 ? status
                         : remote_change(remote, arguments, "POST", path, body,
                                         &moved);
    if (status != 0) {
        return status;
    }
    rows = json_pack("[O]", moved);
    return finish(remote, arguments, rows, moved);
}

/* ---- the commands that need grayd ------------------------------------------------------ */

int command_release(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    int status = remote_open(&remote, arguments);

    return status != 0 ? status
                       : release_verb(remote, arguments,
                                      arguments->command->words);
}
