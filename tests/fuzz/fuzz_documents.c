/* SPDX-License-Identifier: Apache-2.0
 * fuzz_documents.c - any bytes as documents, to a model and back.
 *
 * Why: documents come from people, pipelines and other houses.  Whatever they
 * are, reading ends in findings or in a model; a model's source reads back to
 * the same source, and a policy compared with itself drops nobody.
 * Read next: policy/documents.c, policy/model.c.
 */
#include <string.h>

#include "policy/policy.h"
#include "tests/fuzz/fuzz.h"

static struct gray_model *read_bytes(const char *text, size_t length,
                                     struct gray_findings *findings)
{
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;

    MUST(docs != NULL);
    if (gray_documents_add_text(docs, "fuzz", text, length, findings) == 0) {
        size_t errors = findings->errors;
        model = gray_model_check(docs, findings);
        MUST((model == NULL) == (findings->errors > errors));
    } else {
        MUST(findings->errors > 0);
    }
    gray_documents_free(docs);
    return model;
}

static void check_model(const struct gray_model *model)
{
    struct gray_findings findings = {0};
    size_t length, again_length;
    char *source = gray_model_source(model, &length);
    struct gray_model *again = read_bytes(source, length, &findings);
    if (again == NULL) {
        gray_findings_print(&findings, stderr);
    }
    MUST(again != NULL);
    char *again_source = gray_model_source(again, &again_length);
    MUST(length == again_length && memcmp(source, again_source, length) == 0);
    gray_findings_free(&findings);

    char *diff = gray_model_diff(model, again, 1);
    MUST(strcmp(diff, "[]") == 0);
    MUST(gray_gates_compare(model, again, NULL, &findings, NULL) == 0);
    MUST(findings.count == 0);
    gray_findings_free(&findings);
    gray_model_free(again);
    free(again_source);
    free(source);
    free(diff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gray_findings findings = {0};
    struct gray_model *model =
        read_bytes((const char *)data, size, &findings);
    char *json = gray_findings_json(&findings);

    MUST(json != NULL);
    free(json);
    for (size_t i = 0; i < findings.count; i++) {
        MUST(findings.items[i].sentence != NULL);
        MUST(findings.items[i].code != NULL);
    }
    if (model != NULL) {
        check_model(model);
    }
    gray_model_free(model);
    gray_findings_free(&findings);
    return 0;
}
