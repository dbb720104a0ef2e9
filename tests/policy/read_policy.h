/* SPDX-License-Identifier: Apache-2.0
 * read_policy.h - texts to models, for tests.
 *
 * Why: most tests of policy/ begin with a text of a few lines and look at what
 * comes out or at what was found.
 * Read next: dump_model.c.
 */
#ifndef GRAY_TESTS_READ_POLICY_H
#define GRAY_TESTS_READ_POLICY_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/model.h"
#include "policy/policy.h"

/* A Service with versions v1 (the baseline) and v2, and a line `---`. */
#define SERVICE                                                            \
    "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n"      \
    "  v1: {endpoints: [\"127.0.0.1:1\"]}\n"                               \
    "  v2: {endpoints: [\"127.0.0.1:2\"]}\n---\n"
/* The head of a Release over it. */
#define RELEASE                                                            \
    "kind: Release\nname: cart-2\nservices: [{service: cart, version: "    \
    "v2}]\nunit: {cookie: uid}\n"

/* malloc that ends the test when there is none. */
static inline char *take(size_t size) __attribute__((returns_nonnull));
static inline char *take(size_t size)
{
    char *bytes = malloc(size);
    if (bytes == NULL) {
        abort();
    }
    return bytes;
}

/* NULL when there were errors; findings as found. */
static inline struct gray_model *read_text(const char *text,
                                           struct gray_findings *findings)
{
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;
    if (gray_documents_add_text(docs, "policy.yaml", text, strlen(text),
                                findings) == 0) {
        model = gray_model_check(docs, findings);
    }
    gray_documents_free(docs);
    return model;
}

/* A model that must be good; says why when it is not. */
static inline struct gray_model *read_good(const char *text)
{
    struct gray_findings findings = {0};
    struct gray_model *model = read_text(text, &findings);
    if (model == NULL) {
        gray_findings_print(&findings, stderr);
    }
    gray_findings_free(&findings);
    assert_non_null(model);
    return model;
}

/* The first finding of a code; NULL. */
static inline const struct gray_finding *
find_code(const struct gray_findings *findings, const char *code)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (strcmp(findings->items[i].code, code) == 0) {
            return &findings->items[i];
        }
    }
    return NULL;
}

/* A counter of gates (gray_counter.count) where nobody has a mark. */
struct gray_tally;
static inline enum gray_counted count_nobody(void *context,
                                             struct gray_standing *standing,
                                             struct gray_tally *ret_tally,
                                             char ret_why[160])
{
    (void)context;
    (void)standing;
    (void)ret_tally;
    (void)ret_why;
    return GRAY_COUNTED_EXACT;
}

/* All that a model says, as text: equal models give equal texts (malloc'd). */
char *dump_model(const struct gray_model *model);

#endif
