/* SPDX-License-Identifier: Apache-2.0
 * fuzz_record.c - any request, as it would be recorded, and read again.
 *
 * Why: a recording holds bytes of whoever sent requests, and a plan is made
 * from it.  What must hold: the line is JSON in ASCII and a request; it is
 * decided as the request was, but for bytes that JSON cannot hold; recorded
 * again it is the same line; and no header that holds secrets is in it.
 * Read next: engine/record.c, ask/request.c.
 */
#include <string.h>

#include "impact/impact.h"
#include "tests/fuzz/fuzz.h"

static const char documents[] =
    "[{\"kind\":\"Service\",\"name\":\"cart\",\"baseline\":{\"version\":\"v1\"},"
    "\"versions\":{\"v1\":{\"endpoints\":[\"127.0.0.1:1\"]},"
    "\"v2\":{\"endpoints\":[\"127.0.0.1:2\"]}}},"
    "{\"kind\":\"Release\",\"name\":\"cart-2\","
    "\"services\":[{\"service\":\"cart\",\"version\":\"v2\"}],"
    "\"unit\":[{\"cookie\":\"uid\"},{\"query\":\"uid\"}],"
    "\"admission\":{\"share\":50,\"require\":{\"any\":["
    "{\"host\":{\"suffix\":\".example\"}},{\"source\":{\"cidr\":[\"10.0.0.0/8\"]}},"
    "{\"attr\":{\"name\":\"region\",\"exact\":\"hz\"}},"
    "{\"header\":{\"name\":\"authorization\",\"present\":true}},"
    "{\"header\":{\"name\":\"x-a\",\"prefix\":\"1\"}},"
    "{\"method\":{\"exact\":\"POST\"}},"
    "{\"path\":{\"segment\":2,\"prefix\":\"a\"}}]}}}]";

static const struct gray_view *fixture_view(void)
{
    static struct ask_view view;
    static struct gray_compiled compiled;
    struct gray_compile_options options = { .revision = 1, .now = 1 };
    struct gray_findings findings = { 0 };
    struct gray_problem problem = { 0 };
    struct gray_documents *docs;
    struct gray_model *model;

    if (view.view.policy != NULL) {
        return &view.view;
    }
    docs = gray_documents_new();
    MUST(docs != NULL);
    MUST(gray_documents_add_text(docs, "fixture", documents,
                                 sizeof(documents) - 1, &findings) == 0);
    model = gray_model_check(docs, &findings);
    gray_findings_print(&findings, stderr);
    MUST(model != NULL);
    MUST(gray_compile(model, &options, &compiled, &findings) == 0);
    MUST(ask_view_open(&view, &compiled, &problem) == 0);
    gray_findings_free(&findings);
    gray_model_free(model);
    gray_documents_free(docs);
    return &view.view;
}

static size_t record(const struct gray_view *view,
                     const struct request *request, char *line, size_t size)
{
    static struct gray_input input;

    request_feed(request, view->policy, 1000, &input);
    return gray_record_write(
        &input,
        (struct gray_str) { request->entrance != NULL ? request->entrance : "",
                            request->entrance != NULL
                                ? (uint32_t)strlen(request->entrance)
                                : 0 },
        line, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char first[1u << 20], second[1u << 20];
    const struct gray_view *view = fixture_view();
    struct request request, again;
    struct request_problem problem = { 0 };
    size_t length;

    if (request_parse(&request, (const char *)data, size, &problem) != 0) {
        return 0;
    }
    length = record(view, &request, first, sizeof(first));
    MUST(length < sizeof(first) && strlen(first) == length);
    for (size_t i = 0; i < length; i++) {
        MUST(first[i] >= 0x20 && first[i] < 0x7f);
    }
    MUST(strstr(first, "authorization") == NULL || request.entrance != NULL ||
         strstr((const char *)first, "\"authorization\":") == NULL);
    if (length <= REQUEST_LINE_MAX) {
        MUST(request_parse(&again, first, length, &problem) == 0);
        MUST(record(view, &again, second, sizeof(second)) == length);
        MUST(memcmp(first, second, length) == 0);
        request_free(&again);
    }
    request_free(&request);
    return 0;
}
