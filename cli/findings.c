/* SPDX-License-Identifier: Apache-2.0
 * findings.c - `gray lint`, and findings as JSON for every other command.
 *
 * Why: a document is checked by the same three gates wherever it is read;
 * lint is that and nothing more, so it is the shortest command.
 */
#include <stdlib.h>

#include "cli/cli.h"

json_t *findings_value(const struct gray_findings *findings)
{
    CLI_CLEANUP(string_freep) char *text = gray_findings_json(findings);
    json_t *value = text != NULL ? json_loads(text, 0, NULL) : NULL;

    return value != NULL ? value : json_array();
}

int command_lint(const struct arguments *arguments)
{
    CLI_CLEANUP(policy_free) struct policy policy = { 0 };
    struct gray_compile_options options = { .revision = 1,
                                            .now = port_now_ms() };
    int status = CLI_EXIT_REFUSED;

    if (!arguments_has(arguments, CLI_FILE)) {
        complain("lint needs -f DOCS");
        return CLI_EXIT_USAGE;
    }
    policy.model = model_load(arguments, CLI_FILE, &policy.findings);
    if (policy.model != NULL) {
        status = policy_compile(&policy, &options);
    }
    if (arguments_json(arguments)) {
        json_print(json_pack("{s:b,s:o}", "ok", status == 0, "findings",
                             findings_value(&policy.findings)),
                   JSON_INDENT(2));
        return status;
    }
    gray_findings_print(&policy.findings, stdout);
    if (status == 0) {
        printf("good: %u services, %u releases, %u lanes, %u lists; a "
               "decision costs at most %u ns\n",
               policy.model->service_count, policy.model->release_count,
               policy.model->lane_count, policy.model->list_count,
               policy.compiled.cost_bound_ns);
    }
    return status;
}
