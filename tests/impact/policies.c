/* SPDX-License-Identifier: Apache-2.0
 * policies.c - small policies for tests of impact/, compiled or as models.
 *
 * Why: what is predicted hangs on checked models and real snapshots, so tests
 * make them by the product's own compiler.
 */
#include "tests/impact/policies.h"

struct gray_model *model_of(const char *text)
{
    struct gray_findings findings = { 0 };
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;

    if (gray_documents_add_text(docs, "test.yaml", text, strlen(text),
                                &findings) == 0) {
        model = gray_model_check(docs, &findings);
    }
    gray_documents_free(docs);
    if (model == NULL) {
        gray_findings_print(&findings, stderr);
    }
    gray_findings_free(&findings);
    assert_non_null(model);
    return model;
}

void compile_text(struct compiled_policy *ret_policy, const char *text)
{
    struct gray_compile_options options = { .revision = 1,
                                            .now = 1700000000000 };
    struct gray_findings findings = { 0 };
    struct gray_problem problem = { 0 };

    memset(ret_policy, 0, sizeof(*ret_policy));
    ret_policy->model = model_of(text);
    assert_int_equal(gray_compile(ret_policy->model, &options,
                                  &ret_policy->compiled, &findings),
                     0);
    gray_findings_free(&findings);
    assert_int_equal(ask_view_open(&ret_policy->view, &ret_policy->compiled,
                                   &problem),
                     0);
}

void policy_end(struct compiled_policy *policy)
{
    ask_view_close(&policy->view);
    gray_compiled_free(&policy->compiled);
    gray_model_free(policy->model);
}
