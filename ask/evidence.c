/* SPDX-License-Identifier: Apache-2.0
 * evidence.c - what a signed cookie of a request proves.
 *
 * Why: whoever was let in earlier stays in by the cookie alone, so an
 * explanation that does not look at it would contradict the gateway.  It is
 * verified with the folder's own keys: documents have none, and who may not
 * read them sees no evidence, and is told so.
 * Read next: runtime/token.h, answer.c.
 */
#include <string.h>

#include "ask/ask.h"

static const char *const names[] = { GRAY_COOKIE_NAME_HOST, GRAY_COOKIE_NAME };

static struct gray_str text_of(json_t *value)
{
    return (struct gray_str) { json_string_value(value),
                               (uint32_t)json_string_length(value) };
}

/* Each under its own name, as it was signed; a TLS listener's comes first. */
bool evidence_read(struct evidence *ret_evidence,
                   const struct gray_snapshot *policy,
                   struct gray_runtime *runtime, const struct request *request,
                   int64_t now_ms)
{
    struct evidence evidence = { .policy = policy };
    int64_t moment = request->has_now ? request->now : now_ms;
    bool looked = false;

    for (int i = 0; i < 2 && runtime != NULL && !evidence.good; i++) {
        json_t *value = json_object_get(request->own_cookies, names[i]);
        struct gray_str name = { names[i], (uint32_t)strlen(names[i]) };

        evidence.good = value != NULL &&
                        gray_cookie_read(runtime, name,
                                         text_of(value), moment / 1000,
                                         &evidence.cookie) == 0;
    }
    looked = json_object_size(request->own_cookies) == 0 ||
             (runtime != NULL && !gray_runtime_keyless(runtime));
    *ret_evidence = evidence;
    return looked;
}

struct gray_mark evidence_mark(void *context,
                               const struct gray_mark_query *query)
{
    const struct evidence *evidence = context;
    const struct gray_release *r =
        gray_release_at(evidence->policy, query->release);

    return gray_cookie_mark(query->step == GRAY_STEP_EVIDENCE &&
                                    evidence->good &&
                                    r != NULL
                                ? &evidence->cookie
                                : NULL,
                            r != NULL ? r->scope : 0, query->unit);
}
