/* SPDX-License-Identifier: Apache-2.0
 * fuzz_requests.c - any line as a request of `gray explain --requests`.
 *
 * Why: such files come from other people's logs.  What must hold: a line is
 * refused with a code and a sentence, or it is answered, twice alike, by a
 * JSON object of the form that docs/explain.md says.
 * Read next: ask/request.c, ask/request_feed.c.
 */
#include <string.h>

#include "cli/cli.h"
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
    "{\"header\":{\"name\":\"baggage\",\"present\":true}},"
    "{\"path\":{\"segment\":2,\"prefix\":\"a\"}}]}}}]";

struct fixture {
    struct policy policy;
    bool ready;
};

static const struct gray_view *fixture_view(void)
{
    static struct fixture fixture;
    struct gray_compile_options options = { .revision = 1, .now = 1 };
    struct gray_documents *docs;

    if (!fixture.ready) {
        docs = gray_documents_new();
        MUST(docs != NULL);
        MUST(gray_documents_add_text(docs, "fixture", documents,
                                     sizeof(documents) - 1,
                                     &fixture.policy.findings) == 0);
        fixture.policy.model =
            gray_model_check(docs, &fixture.policy.findings);
        gray_findings_print(&fixture.policy.findings, stderr);
        MUST(fixture.policy.model != NULL);
        MUST(policy_compile(&fixture.policy, &options) == 0);
        gray_documents_free(docs);
        fixture.ready = true;
    }
    return fixture.policy.view;
}

static size_t explain(const struct gray_view *view,
                      const struct request *request, char *buffer, size_t size)
{
    struct gray_input input;
    uint32_t entrance = request_feed(request, view->policy, 1000, &input);

    return gray_explain(view, entrance, &input, NULL, NULL, buffer, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char first[1u << 18], second[1u << 18];
    const struct gray_view *view = fixture_view();
    struct request request;
    struct request_problem problem = { 0 };
    size_t length;
    json_t *answer;

    if (request_parse(&request, (const char *)data, size, &problem) != 0) {
        MUST(problem.code != NULL && problem.sentence[0] != '\0');
        return 0;
    }
    length = explain(view, &request, first, sizeof(first));
    MUST(length < sizeof(first) && strlen(first) == length);
    MUST(explain(view, &request, second, sizeof(second)) == length);
    MUST(memcmp(first, second, length) == 0);
    answer = json_loads(first, JSON_REJECT_DUPLICATES, NULL);
    MUST(json_is_object(answer));
    MUST(json_is_string(json_object_get(answer, "reason")));
    json_decref(answer);
    request_free(&request);
    return 0;
}
