/* SPDX-License-Identifier: Apache-2.0
 * apply.c - `gray apply`, and plan and diff against what grayd has in force.
 *
 * Why: documents go to grayd as the texts that people wrote, so that its
 * findings name their files and lines.  A list's file lies here and not there:
 * its ids are put in before it is sent.  What is no document at all is found
 * here, by the same reader.
 * Read next: policy/documents.c, answers.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/plan.h"
#include "policy/documents.h"
#include "policy/parse.h"

/* ---- lists ------------------------------------------------------------------------ */

static int too_large(const char *path)
{
    complain("%s: more than %u bytes, which grayd takes at once: apply the "
             "list with ids: [], then gray list add NAME --ids FILE in parts",
             path, REMOTE_BODY_MAX);
    return CLI_EXIT_REFUSED;
}

/* Every line that is not empty, as strings. NULL after complaining. */
static json_t *ids_of(const char *path, int *ret_status)
{
    CLI_CLEANUP(file_closep) FILE *file = NULL;
    CLI_CLEANUP(line_free) struct line line = { 0 };
    json_t *ids;
    struct stat facts;
    int got;

    *ret_status = CLI_EXIT_REFUSED;
    if (stat(path, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        complain("%s: %s", path, errno != 0 ? strerror(errno) : "not a file");
        return NULL;
    }
    if (facts.st_size > (off_t)REMOTE_BODY_MAX) {
        *ret_status = too_large(path);
        return NULL;
    }
    file = port_open(path);
    ids = file != NULL ? json_array() : NULL;
    while (ids != NULL &&
           (got = port_line(file, path, CLI_ID_MAX, &line)) > 0) {
        json_t *id = json_stringn(line.text, line.length);

        if (line.length > CLI_ID_MAX || (id == NULL && line.length > 0)) {
            complain("%s:%llu: not UTF-8, or more than %u bytes", path,
                     (unsigned long long)line.number, CLI_ID_MAX);
            json_decref(id);
            json_decref(ids);
            return NULL;
        }
        if (line.length > 0) {
            json_array_append(ids, id);
        }
        json_decref(id);
    }
    return ids;
}

static const char *file_of(const json_t *tree)
{
    return strcmp(text_at(tree, "kind"), "List") == 0
               ? json_string_value(json_object_get(tree, "file"))
               : NULL;
}

static bool has_files(const struct gray_documents *docs,
                      const struct gray_text *text)
{
    for (size_t i = 0; i < docs->count; i++) {
        if (docs->items[i].text == text &&
            file_of(docs->items[i].tree) != NULL) {
            return true;
        }
    }
    return false;
}

/* The documents of a text as one JSON text, ids put in; NULL: said. */
static char *put_in(const struct gray_documents *docs,
                    const struct gray_text *text, int *ret_status)
{
    CLI_CLEANUP(json_freep) json_t *trees = json_array();

    for (size_t i = 0; i < docs->count; i++) {
        json_t *tree = docs->items[i].tree, *ids;
        const char *file = file_of(tree);
        CLI_CLEANUP(string_freep) char *path = NULL;

        if (docs->items[i].text != text) {
            continue;
        }
        if (file == NULL || json_object_get(tree, "ids") != NULL) {
            json_array_append(trees, tree);
            continue;
        }
        if (asprintf(&path, "%s%s%s", file[0] == '/' ? "" : text->folder,
                     file[0] == '/' ? "" : "/", file) < 0) {
            path = NULL;
        }
        ids = path != NULL ? ids_of(path, ret_status) : NULL;
        if (ids == NULL) {
            return NULL;
        }
        tree = json_copy(tree);
        json_object_del(tree, "file");
        json_object_set_new(tree, "ids", ids);
        json_array_append_new(trees, tree);
    }
    return json_dumps(trees, JSON_COMPACT);
}

static json_t *files_of(const struct gray_documents *docs, int *ret_status)
{
    json_t *files = json_array();

    for (size_t i = 0; i < docs->text_count; i++) {
        const struct gray_text *text = docs->texts[i];
        CLI_CLEANUP(string_freep) char *made = NULL;
        bool filled = has_files(docs, text);

        made = filled ? put_in(docs, text, ret_status) : NULL;
        if (filled && made == NULL) {
            json_decref(files);
            return NULL;
        }
        json_array_append_new(
            files, json_pack("{s:s,s:o}", "name", text->name, "text",
                             made != NULL ? json_string(made)
                                          : json_stringn(text->data,
                                                         text->length)));
    }
    return files;
}

json_t *apply_files(const struct arguments *arguments, int *ret_status)
{
    struct gray_documents *docs = gray_documents_new();
    struct gray_findings findings = { 0 };
    json_t *files = NULL;
    const char *path;
    size_t at = 0;
    int failed = docs == NULL;

    *ret_status = CLI_EXIT_USAGE;
    if (!arguments_has(arguments, CLI_FILE)) {
        complain("%s needs -f DOCS", arguments->command->words);
    }
    while ((path = arguments_next(arguments, CLI_FILE, &at)) != NULL) {
        failed |= docs != NULL && gray_documents_add(docs, path, &findings);
        *ret_status = CLI_EXIT_REFUSED;
    }
    gray_findings_print(&findings, stderr);
    if (!failed && at > 0 && docs->text_count > 0) {
        files = files_of(docs, ret_status);
    }
    gray_findings_free(&findings);
    gray_documents_free(docs);
    return files != NULL ? json_pack("{s:o}", "files", files) : NULL;
}

/* ---- apply ------------------------------------------------------------------------- */

static void add_options(json_t *body, const struct arguments *arguments)
{
    const char *moment = arguments_get(arguments, CLI_AT);
    double unexplained = -1;
    uint64_t drop = 0;
    bool drops = false;
    double skew = 0;

    allow_drop(arguments, &drops, &drop); /* was looked at before */
    if (arguments_has(arguments, CLI_OVER_CAPACITY)) {
        json_object_set_new(body, "overCapacity", json_true());
    }
    arguments_number(arguments, CLI_UNEXPLAINED, 0, 9e15, &unexplained);
    if (unexplained >= 0) {
        json_object_set_new(body, "unexplained",
                            json_integer((json_int_t)unexplained));
    }
    if (arguments_has(arguments, CLI_PRUNE)) {
        json_object_set_new(body, "prune", json_true());
    }
    if (drops) {
        json_object_set_new(body, "allowDrop",
                            json_integer((json_int_t)drop));
    }
    if (moment != NULL) {
        json_object_set_new(body, "effectiveAt", json_string(moment));
        arguments_number(arguments, CLI_MAX_SKEW, 1, GRAY_SKEW_MAX_MS, &skew);
        if (skew > 0) {
            json_object_set_new(body, "maxSkewMs",
                                json_integer((json_int_t)skew));
        }
    }
    remote_reason(body, arguments);
}

/* A moment that has passed is a slip of the pen, and would be now. */
static int check_moment(const struct arguments *arguments)
{
    const char *text = arguments_get(arguments, CLI_AT);
    uint64_t drop;
    char now[40];
    int64_t at;
    bool drops;
    int status = allow_drop(arguments, &drops, &drop);

    if (text == NULL || status != 0) {
        return status;
    }
    if (drops) {
        complain("--at: how many units will drop then is not known now; "
                 "nothing was done. Apply it at that moment, with what gray "
                 "plan says then");
        return CLI_EXIT_USAGE;
    }
    moment_text(port_now_ms(), now);
    if (!gray_parse_moment(text, &at)) {
        complain("--at: a moment such as %s is wanted, not: %s", now, text);
        return CLI_EXIT_USAGE;
    }
    if (at <= port_now_ms()) {
        complain("--at: %s has passed, it is %s here; nothing was done. "
                 "Without --at it is applied now", text, now);
        return CLI_EXIT_USAGE;
    }
    return 0;
}

/* With --wait: who has it; adds "readers". */
static int wait_for_it(struct remote *remote,
                       const struct arguments *arguments, json_t *changed,
                       json_t **ret_readers)
{
    double wait = 0;
    int status = arguments_number(arguments, CLI_WAIT, 0, CLI_WAIT_MAX, &wait);

    if (status != 0 || !arguments_has(arguments, CLI_WAIT) ||
        json_object_get(changed, "inForce") == NULL) {
        return status;
    }
    status = readers_wait(remote, wait, ret_readers);
    if (status == 0) {
        json_object_set(changed, "readers", *ret_readers);
    }
    return status;
}

int command_apply(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *body = NULL;
    CLI_CLEANUP(json_freep) json_t *changed = NULL;
    CLI_CLEANUP(json_freep) json_t *readers = NULL;
    double wait = 0, skew = 0;
    int status = arguments_number(arguments, CLI_WAIT, 0, CLI_WAIT_MAX, &wait);

    status = status != 0 ? status
                         : arguments_number(arguments, CLI_MAX_SKEW, 1,
                                            GRAY_SKEW_MAX_MS, &skew);
    status = status != 0 ? status : check_moment(arguments);
    status = status != 0 ? status : remote_open(&remote, arguments);
    if (status != 0) {
        return status;
    }
    body = apply_files(arguments, &status);
    if (body == NULL) {
        return status;
    }
    add_options(body, arguments);
    status = remote_change(remote, arguments, "POST", "/v1/apply", body,
                           &changed);
    if (status != 0) {
        return status;
    }
    status = wait_for_it(remote, arguments, changed, &readers);
    if (arguments_json(arguments)) {
        json_print(json_incref(changed), JSON_INDENT(2));
    } else {
        changed_say(changed);
        if (arguments_has(arguments, CLI_AT) &&
            *text_at(changed, "scheduled") == '\0') {
            printf("nothing was scheduled\n");
        }
    }
    return status != 0 || readers == NULL
               ? status
               : readers_say(readers, arguments_json(arguments));
}

/* ---- plan and diff -------------------------------------------------------------------- */

static int ask_plan(struct remote *remote, const struct arguments *arguments,
                    json_t **ret_plan)
{
    CLI_CLEANUP(json_freep) json_t *body = NULL;
    uint64_t drop;
    bool drops;
    int status = allow_drop(arguments, &drops, &drop);

    body = status != 0 ? NULL
           : arguments_has(arguments, CLI_FILE) ||
                   !arguments_has(arguments, CLI_WEIGHT)
               ? apply_files(arguments, &status)
               : json_object();
    if (body == NULL) {
        return status;
    }
    add_options(body, arguments);
    status = plan_options(arguments, body);
    if (status != 0) {
        return status;
    }
    return remote_ask(remote,
                      &(struct remote_call) { .method = "POST",
                                              .path = "/v1/plan",
                                              .body = body,
                                              .repeatable = true,
                                              .seconds = REMOTE_LONG_SECONDS },
                      ret_plan);
}

static void diff_say(const json_t *plan)
{
    const char *text = text_at(plan, "diff");
    size_t length = strlen(text);

    printf("%s%s", length > 0 ? text : "no difference",
           length > 0 && text[length - 1] == '\n' ? "" : "\n");
}

int remote_plan(struct remote *remote, const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *plan = NULL;
    int status = ask_plan(remote, arguments, &plan);
    bool accepted = json_is_true(json_object_get(plan, "accepted"));
    char place[256];

    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        json_print(json_incref(plan), JSON_INDENT(2));
    } else {
        snprintf(place, sizeof(place), "revision %lld at %.200s",
                 (long long)number_at(plan, "revision"),
                 remote_place(remote));
        plan_page(plan, place);
    }
    return accepted ? CLI_EXIT_OK : CLI_EXIT_REFUSED;
}

int remote_diff(struct remote *remote, const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *plan = NULL;
    int status = ask_plan(remote, arguments, &plan);

    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:O,s:O,s:O}", "revision",
                                    json_object_get(plan, "revision"),
                                    "changes",
                                    json_object_get(plan, "changes"), "diff",
                                    json_object_get(plan, "diff")),
                          JSON_INDENT(2));
    }
    diff_say(plan);
    return CLI_EXIT_OK;
}
