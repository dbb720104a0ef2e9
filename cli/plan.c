/* SPDX-License-Identifier: Apache-2.0
 * plan.c - `gray plan` and `gray diff`: what publishing would do.
 *
 * Why: a person should see who comes in, what it costs and what is refused
 * before anything is written.  plan runs the very gates of publish, so that
 * what it passes is published, and what it refuses would be refused.
 * Read next: publish.c, policy/gates.c.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

struct plan {
    const struct arguments *arguments;
    struct policy policy;
    struct in_force in_force;
    struct gray_model *against; /* of documents */
    const struct gray_model *before; /* NULL: nothing is in force */
    char place[256];            /* what is compared with, in words */
};

static void plan_free(struct plan *plan)
{
    policy_free(&plan->policy);
    in_force_free(&plan->in_force);
    gray_model_free(plan->against);
}

static int read_folder(struct plan *plan)
{
    const char *folder = arguments_runtime(plan->arguments);
    struct gray_problem problem = { 0 };
    struct gray_findings findings = { 0 };
    int found = in_force_read(&plan->in_force, folder, &problem);

    if (found == 1) {
        snprintf(plan->place, sizeof(plan->place),
                 "nothing: no policy is in force in %.180s", folder);
        return 0;
    }
    if (found != 0 || in_force_model(&plan->in_force, &findings) != 0) {
        if (found != 0) {
            complain_problem(folder, &problem);
        }
        gray_findings_print(&findings, stderr);
        gray_findings_free(&findings);
        complain("the policy in force cannot be read back");
        return CLI_EXIT_SYSTEM;
    }
    plan->before = plan->in_force.model;
    snprintf(plan->place, sizeof(plan->place), "revision %llu in %.180s",
             (unsigned long long)plan->in_force.snapshot.header->revision,
             folder);
    return 0;
}

static int read_before(struct plan *plan)
{
    if (!arguments_has(plan->arguments, CLI_AGAINST)) {
        return read_folder(plan);
    }
    if (arguments_has(plan->arguments, CLI_RUNTIME)) {
        complain("either --against or --runtime, not both");
        return CLI_EXIT_USAGE;
    }
    plan->against =
        model_load(plan->arguments, CLI_AGAINST, &plan->policy.findings);
    plan->before = plan->against;
    snprintf(plan->place, sizeof(plan->place), "%.200s",
             arguments_get(plan->arguments, CLI_AGAINST));
    return plan->against != NULL ? 0 : CLI_EXIT_REFUSED;
}

static int read_both(struct plan *plan)
{
    int status;

    if (!arguments_has(plan->arguments, CLI_FILE)) {
        complain("%s needs -f DOCS", plan->arguments->command->words);
        return CLI_EXIT_USAGE;
    }
    plan->policy.model =
        model_load(plan->arguments, CLI_FILE, &plan->policy.findings);
    status = read_before(plan);
    return status == 0 && plan->policy.model == NULL ? CLI_EXIT_REFUSED
                                                     : status;
}

/* ---- notes ---------------------------------------------------------------------- */

static void add_note(json_t *notes, const char *code, const char *release,
                     const char *format, ...) CLI_PRINTF(4, 5);
static void add_note(json_t *notes, const char *code, const char *release,
                     const char *format, ...)
{
    char sentence[512];
    va_list list;

    va_start(list, format);
    vsnprintf(sentence, sizeof(sentence), format, list);
    va_end(list);
    json_array_append_new(notes,
                          json_pack("{s:s,s:s,s:s}", "code", code, "release",
                                    release, "sentence", sentence));
}

static void note_release(json_t *notes, const struct model_release *release)
{
    static const struct {
        const char *code, *sentence;
    } anonymous[] = {
        [GRAY_ANONYMOUS_BASELINE] = { "anonymous-baseline",
                                      "goes to the baseline" },
        [GRAY_ANONYMOUS_COOKIE] = { "anonymous-cookie",
                                    "is given a signed id in a cookie and "
                                    "sticks to it" },
        [GRAY_ANONYMOUS_RANDOM] = { "anonymous-random",
                                    "is drawn anew each time and does not "
                                    "stick" },
    };
    uint8_t kind = release->anonymous;

    if (release->unit_count > 0 &&
        kind < sizeof(anonymous) / sizeof(anonymous[0])) {
        const struct model_unit *unit = &release->units[0];

        add_note(notes, anonymous[kind].code, release->name,
                 "a request without its unit (%s%s%.*s%s) %s.",
                 gray_source_word(unit->source),
                 unit->name.length > 0 ? " " : "", (int)unit->name.length,
                 unit->name.length > 0 ? unit->name.data : "",
                 release->unit_count > 1 ? ", or another" : "",
                 anonymous[kind].sentence);
    }
    if (release->stickiness != GRAY_STICKY_NONE ||
        kind == GRAY_ANONYMOUS_COOKIE) {
        add_note(notes, "plain-http-cookie", release->name,
                 "the sticky cookie is __Host-gray on https; where a listener "
                 "is plain http it is called gray and any neighbour on the "
                 "wire can read it.");
    }
}

static json_t *notes_of(const struct gray_model *model)
{
    json_t *notes = json_array();

    for (uint32_t i = 0; i < model->release_count; i++) {
        note_release(notes, &model->releases[i]);
    }
    return notes;
}

/* ---- releases before and after ----------------------------------------------------- */

static const struct model_release *find(const struct gray_model *model,
                                        const char *name)
{
    for (uint32_t i = 0; model != NULL && i < model->release_count; i++) {
        if (strcmp(model->releases[i].name, name) == 0) {
            return &model->releases[i];
        }
    }
    return NULL;
}

static json_t *impact_row(const char *name, const struct model_release *before,
                          const struct model_release *after)
{
    json_t *row = json_pack("{s:s}", "release", name);

    json_object_set_new(row, "shareBefore",
                        before != NULL ? json_integer(before->share)
                                       : json_null());
    json_object_set_new(row, "shareAfter",
                        after != NULL ? json_integer(after->share)
                                      : json_null());
    return row;
}

static json_t *impact_of(const struct plan *plan)
{
    const struct gray_model *after = plan->policy.model;
    json_t *rows = json_array();

    for (uint32_t i = 0; i < after->release_count; i++) {
        const struct model_release *release = &after->releases[i];

        json_array_append_new(rows,
                              impact_row(release->name,
                                         find(plan->before, release->name),
                                         release));
    }
    for (uint32_t i = 0; plan->before != NULL &&
                         i < plan->before->release_count; i++) {
        const struct model_release *release = &plan->before->releases[i];

        if (find(after, release->name) == NULL) {
            json_array_append_new(rows,
                                  impact_row(release->name, release, NULL));
        }
    }
    return rows;
}

static void print_share(struct table *table, json_t *value)
{
    char text[32];

    table_cell(table, "%s",
               json_is_integer(value)
                   ? share_text((uint32_t)json_integer_value(value), text)
                   : "-");
}

static void print_impact(json_t *rows)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(3);
    json_t *row;
    size_t i;

    table_right(table, 1);
    table_right(table, 2);
    table_cell(table, "RELEASE");
    table_cell(table, "NOW");
    table_cell(table, "THEN");
    json_array_foreach(rows, i, row) {
        table_cell(table, "%s",
                   json_string_value(json_object_get(row, "release")));
        print_share(table, json_object_get(row, "shareBefore"));
        print_share(table, json_object_get(row, "shareAfter"));
    }
    table_print(table, stdout);
}

/* ---- the commands ------------------------------------------------------------------- */

static json_t *changes_json(const struct plan *plan)
{
    CLI_CLEANUP(string_freep) char *text =
        gray_model_diff(plan->before, plan->policy.model, 1);
    json_t *value = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL)
                                 : NULL;

    return value != NULL ? value : json_null();
}

static void print_changes(const struct plan *plan)
{
    CLI_CLEANUP(string_freep) char *text =
        gray_model_diff(plan->before, plan->policy.model, 0);
    size_t length = text != NULL ? strlen(text) : 0;

    printf("%s%s", length > 0 ? text : "no difference",
           length > 0 && text[length - 1] == '\n' ? "" : "\n");
}

static void plan_print(const struct plan *plan, int status)
{
    CLI_CLEANUP(json_freep) json_t *notes = NULL;
    json_t *note;
    size_t i;

    gray_findings_print(&plan->policy.findings, stdout);
    if (plan->policy.model == NULL) {
        return;
    }
    printf("compared with %s\n", plan->place);
    print_changes(plan);
    {
        CLI_CLEANUP(json_freep) json_t *rows = impact_of(plan);

        print_impact(rows);
    }
    notes = notes_of(plan->policy.model);
    json_array_foreach(notes, i, note) {
        printf("note: %s: %s [%s]\n",
               json_string_value(json_object_get(note, "release")),
               json_string_value(json_object_get(note, "sentence")),
               json_string_value(json_object_get(note, "code")));
    }
    if (plan->policy.compiled.cost_bound_ns > 0) {
        printf("a decision costs at most %u ns (%u are allowed)\n",
               plan->policy.compiled.cost_bound_ns, GRAY_COST_BOUND_NS);
    }
    printf("%s\n", status == 0 ? "every gate passes; nothing was written"
                               : "refused; nothing was written");
}

static int plan_json(const struct plan *plan, int status)
{
    bool read = plan->policy.model != NULL;
    json_t *root = json_pack(
        "{s:b,s:o}", "ok", status == 0, "findings",
        findings_value(&plan->policy.findings));

    if (read) {
        json_object_set_new(root, "against", json_string(plan->place));
        json_object_set_new(root, "changes", changes_json(plan));
        json_object_set_new(root, "releases", impact_of(plan));
        json_object_set_new(root, "notes", notes_of(plan->policy.model));
        json_object_set_new(
            root, "costBoundNs",
            json_integer(plan->policy.compiled.cost_bound_ns));
    }
    return json_print(root, JSON_INDENT(2));
}

/* What is compared with was named by the options, or nobody answers. */
static int ask_grayd(const struct arguments *arguments,
                     struct remote **ret_remote)
{
    return arguments_has(arguments, CLI_AGAINST) ||
                   !arguments_has(arguments, CLI_FILE)
               ? 0
               : remote_or_folder(ret_remote, arguments, false);
}

static int plan_here(const struct arguments *arguments)
{
    CLI_CLEANUP(plan_free) struct plan plan = { .arguments = arguments };
    struct gray_compile_options options = { .revision = 1,
                                            .now = port_now_ms() };
    int status = read_both(&plan);

    if (status != 0 && status != CLI_EXIT_REFUSED) {
        gray_findings_print(&plan.policy.findings, stderr);
        return status;
    }
    if (status == 0) {
        struct gray_gate_options gates = {
            .prune = arguments_has(arguments, CLI_PRUNE),
        };
        int cost = policy_compile(&plan.policy, &options);

        status = gray_gates_compare(plan.before, plan.policy.model, &gates,
                                    &plan.policy.findings) != 0
                     ? CLI_EXIT_REFUSED
                     : cost;
    }
    if (arguments_json(arguments)) {
        plan_json(&plan, status);
    } else {
        plan_print(&plan, status);
    }
    return status;
}

int command_plan(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    int status = ask_grayd(arguments, &remote);

    return status != 0      ? status
           : remote != NULL ? remote_plan(remote, arguments)
                            : plan_here(arguments);
}

static int diff_here(const struct arguments *arguments)
{
    CLI_CLEANUP(plan_free) struct plan plan = { .arguments = arguments };
    int status = read_both(&plan);

    if (status != 0) {
        gray_findings_print(&plan.policy.findings, stderr);
        return status;
    }
    if (plan.before == NULL && arguments_has(arguments, CLI_RUNTIME)) {
        complain("%s", plan.place);
        return CLI_EXIT_NOT_FOUND;
    }
    if (arguments_json(arguments)) {
        return json_print(changes_json(&plan), JSON_INDENT(2));
    }
    print_changes(&plan);
    return CLI_EXIT_OK;
}

int command_diff(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    int status = ask_grayd(arguments, &remote);

    return status != 0      ? status
           : remote != NULL ? remote_diff(remote, arguments)
                            : diff_here(arguments);
}
