/* SPDX-License-Identifier: Apache-2.0
 * plan.c - `gray plan` and `gray diff`: what publishing would do.
 *
 * Why: a person should see who comes in, what it costs and what is refused
 * before anything is written.  plan runs the very gates of publish, so that
 * what it passes is published, and what it refuses would be refused.
 * Read next: publish.c, policy/gates.c.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/plan.h"
#include "impact/impact.h"

static void plan_free(struct plan *plan)
{
    policy_free(&plan->policy);
    in_force_free(&plan->in_force);
    gray_model_free(plan->against);
    json_decref(plan->impact);
    gray_drops_free(&plan->drops);
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
    struct gray_findings findings = { 0 };

    if (!arguments_has(plan->arguments, CLI_AGAINST)) {
        return read_folder(plan);
    }
    if (arguments_has(plan->arguments, CLI_RUNTIME)) {
        complain("either --against or --runtime, not both");
        return CLI_EXIT_USAGE;
    }
    plan->against = model_load(plan->arguments, CLI_AGAINST, &findings);
    plan->before = plan->against;
    if (plan->against == NULL) {
        gray_findings_print(&findings, stderr);
    }
    gray_findings_free(&findings); /* advice about the old ones is no news */
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

static json_t *release_row(const char *name, const struct model_release *before,
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

static json_t *releases_of(const struct plan *plan)
{
    const struct gray_model *after = plan->policy.model;
    json_t *rows = json_array();

    for (uint32_t i = 0; i < after->release_count; i++) {
        const struct model_release *release = &after->releases[i];

        json_array_append_new(rows,
                              release_row(release->name,
                                         find(plan->before, release->name),
                                         release));
    }
    for (uint32_t i = 0; plan->before != NULL &&
                         i < plan->before->release_count; i++) {
        const struct model_release *release = &plan->before->releases[i];

        if (find(after, release->name) == NULL) {
            json_array_append_new(rows,
                                  release_row(release->name, release, NULL));
        }
    }
    return rows;
}

static json_t *drops_value(const struct gray_drops *drops)
{
    CLI_CLEANUP(string_freep) char *text = gray_drops_json(drops);
    json_t *value = text != NULL ? json_loads(text, 0, NULL) : NULL;

    return value != NULL ? value : json_array();
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

/* "Plan" of schemas.json, and what only this host knows. */
static json_t *plan_json(const struct plan *plan, int status)
{
    json_t *root = json_pack(
        "{s:b,s:b,s:o}", "ok", status == 0, "accepted", status == 0,
        "findings", findings_value(&plan->policy.findings));

    if (plan->policy.model != NULL) {
        CLI_CLEANUP(string_freep) char *diff =
            gray_model_diff(plan->before, plan->policy.model, 0);

        json_object_set_new(root, "against", json_string(plan->place));
        json_object_set_new(root, "changes", changes_json(plan));
        json_object_set_new(root, "diff",
                            json_string(diff != NULL ? diff : ""));
        json_object_set_new(root, "releases", releases_of(plan));
        json_object_set_new(root, "drops", drops_value(&plan->drops));
        json_object_set_new(root, "notes",
                            impact_notes(plan->policy.model));
        json_object_set_new(
            root, "costBoundNs",
            json_integer(plan->policy.compiled.cost_bound_ns));
    }
    if (plan->impact != NULL) {
        json_object_set(root, "impact", plan->impact);
    }
    return root;
}

/* What is compared with was named by the options, or nobody answers. */
static int ask_grayd(const struct arguments *arguments,
                     struct remote **ret_remote)
{
    return arguments_has(arguments, CLI_AGAINST) ||
                   !(arguments_has(arguments, CLI_FILE) ||
                     arguments_has(arguments, CLI_WEIGHT))
               ? 0
               : remote_or_folder(ret_remote, arguments, false);
}

/* All of them, also where one refuses: whoever reads it wants the whole. Marks
 * are those of the folder, where one is compared with. */
static int run_gates(struct plan *plan,
                     const struct gray_compile_options *options)
{
    const struct arguments *arguments = plan->arguments;
    struct gray_counter counter =
        folder_counter(arguments_runtime(arguments));
    struct gray_gate_options gates = {
        .prune = arguments_has(arguments, CLI_PRUNE),
        .counter = plan->against == NULL ? &counter : NULL,
        .now = options->now,
    };
    int usage = allow_drop(arguments, &gates.allow_drop, &gates.drop);
    int cost, refused, expected;

    if (usage != 0) {
        return usage;
    }
    cost = policy_compile(&plan->policy, options);
    refused = gray_gates_compare(plan->before, plan->policy.model, &gates,
                                 &plan->policy.findings, &plan->drops) != 0
                  ? CLI_EXIT_REFUSED
                  : 0;
    expected = cost == 0 ? plan_expect(plan) : 0;
    return cost != 0 ? cost : expected != 0 ? expected : refused;
}

static int plan_here(const struct arguments *arguments)
{
    CLI_CLEANUP(plan_free) struct plan plan = { .arguments = arguments };
    CLI_CLEANUP(json_freep) json_t *body = NULL;
    struct gray_compile_options options = { .revision = 1,
                                            .now = port_now_ms() };
    int status = read_both(&plan);

    if (status != 0 && status != CLI_EXIT_REFUSED) {
        gray_findings_print(&plan.policy.findings, stderr);
        return status;
    }
    if (status == 0) {
        status = run_gates(&plan, &options);
    }
    if (status != 0 && status != CLI_EXIT_REFUSED) {
        return status;
    }
    body = plan_json(&plan, status);
    if (arguments_json(arguments)) {
        json_print(json_incref(body), JSON_INDENT(2));
    } else {
        plan_page(body, plan.place);
    }
    return status;
}

int command_plan(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    int status = ask_grayd(arguments, &remote);

    if (status == 0 && remote == NULL && arguments_has(arguments,
                                                       CLI_WEIGHT)) {
        complain("--weight asks grayd, who keeps where a release stands; "
                 "without one write the share into the document");
        return CLI_EXIT_USAGE;
    }
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
