/* SPDX-License-Identifier: Apache-2.0
 * fixture.h - a compiled policy for the tests of the command line.
 *
 * Why: requests and explanations need something to be decided by; here it is
 * one text, compiled as `gray -f` compiles it.
 */
#ifndef GRAY_TESTS_CLI_FIXTURE_H
#define GRAY_TESTS_CLI_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static inline struct policy *fixture_policy(const char *text)
{
    struct gray_compile_options options = { .revision = 1, .now = 1000 };
    struct policy *policy = calloc(1, sizeof(*policy));
    struct gray_documents *docs = gray_documents_new();

    if (policy == NULL || docs == NULL ||
        gray_documents_add_text(docs, "fixture", text, strlen(text),
                                &policy->findings) != 0) {
        abort();
    }
    policy->model = gray_model_check(docs, &policy->findings);
    gray_documents_free(docs);
    if (policy->model == NULL || policy_compile(policy, &options) != 0) {
        gray_findings_print(&policy->findings, stderr);
        abort();
    }
    return policy;
}

static inline void fixture_free(struct policy *policy)
{
    policy_free(policy);
    free(policy);
}

#endif
