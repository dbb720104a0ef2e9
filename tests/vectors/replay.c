/* SPDX-License-Identifier: Apache-2.0
 * replay.c - requests that say what was recorded, decided by the engine.
 *
 * Why: what a mark, a scope word or a named stage does is part of the frozen
 * vectors, and `gray explain` takes none of them from a request: whoever asks
 * must not say what is known.  Here three more keys of a request are handed to
 * the engine; the rest is read and fed as gray does it.
 *
 *   replay POLICY REQUESTS    one explanation a line
 * Read next: check.py, ../../docs/vectors/README.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask.h"

#define LINE_MAX_BYTES (1u << 20)
#define RELEASES_MAX 256u

struct asked {
    const struct gray_snapshot *policy;
    json_t *marks;
};

static const char *text_at(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

static uint8_t state_of(const char *word)
{
    static const char *const words[] = {"absent",  "in",   "out",     "revoked",
                                        "unknown", "hold", "pending", "closed"};
    for (uint8_t i = 0; i < 8; i++) {
        if (strcmp(words[i], word) == 0) {
            return i;
        }
    }
    fprintf(stderr, "replay: no state \"%s\"\n", word);
    exit(2);
}

static uint8_t reason_of(const char *code)
{
    for (uint8_t i = 1; i < 64; i++) {
        if (strcmp(gray_reason_code((enum gray_reason)i), code) == 0) {
            return i;
        }
    }
    fprintf(stderr, "replay: no reason \"%s\"\n", code);
    exit(2);
}

static uint8_t variant_of(const struct asked *asked,
                          const struct gray_release *release, const char *name)
{
    for (uint32_t i = 0; i < release->variants.count; i++) {
        struct gray_str own = gray_text(
            asked->policy,
            gray_variant_at(asked->policy, release->variants.first + i)->name);

        if (own.length == strlen(name) &&
            memcmp(own.data, name, own.length) == 0) {
            return (uint8_t)i;
        }
    }
    return UINT8_MAX;
}

static bool same(const char *text, struct gray_str with)
{
    return strlen(text) == with.length &&
           memcmp(text, with.data, with.length) == 0;
}

static struct gray_mark mark_of(void *context,
                                const struct gray_mark_query *query)
{
    const struct asked *asked = context;
    const struct gray_release *release =
        gray_release_at(asked->policy, query->release);
    struct gray_mark mark = {.state = GRAY_MARK_ABSENT};
    json_t *line;
    size_t i;

    json_array_foreach (asked->marks, i, line) {
        bool cookie = json_is_true(json_object_get(line, "cookie"));
        json_t *attempt = json_object_get(line, "attempt");

        if (!same(text_at(line, "release"),
                  gray_text(asked->policy, release->name)) ||
            !same(text_at(line, "unit"), query->unit) ||
            cookie != (query->step == GRAY_STEP_EVIDENCE) ||
            json_integer_value(json_object_get(line, "space")) !=
                query->space) {
            continue;
        }
        mark.state = state_of(text_at(line, "state"));
        mark.attempt =
            (uint16_t)(attempt == NULL ? 1 : json_integer_value(attempt));
        mark.variant = mark.state == GRAY_MARK_CLOSED
                           ? reason_of(text_at(line, "reason"))
                           : variant_of(asked, release,
                                        text_at(line, "variant"));
        break;
    }
    return mark;
}

static uint32_t word_of(const char *word)
{
    static const char *const words[] = {"open", "no-admit", "baseline",
                                        "killed"};
    for (uint32_t i = 0; i < 4; i++) {
        if (strcmp(words[i], word) == 0) {
            return i;
        }
    }
    fprintf(stderr, "replay: no word \"%s\"\n", word);
    exit(2);
}

static void set_words(const struct gray_snapshot *policy, json_t *given,
                      struct gray_scope_word *words)
{
    const char *name;
    json_t *word;

    for (uint32_t i = 0; i < policy->policy->releases.count; i++) {
        const struct gray_release *release = gray_release_at(policy, i);

        words[release->word] = (struct gray_scope_word){
            .scope = release->scope, .epoch = 1};
    }
    json_object_foreach (given, name, word) {
        uint32_t number = gray_find_release(
            policy, (struct gray_str){name, (uint32_t)strlen(name)});

        words[gray_release_at(policy, number)->word].word =
            word_of(json_string_value(word));
    }
}

static void answer(struct ask_view *open, const char *text)
{
    static char line[LINE_MAX_BYTES];
    static struct gray_input input;
    static struct gray_scope_word words[RELEASES_MAX];
    struct request_problem problem;
    struct request request;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *marks = json_incref(json_object_get(root, "marks"));
    json_t *given = json_incref(json_object_get(root, "words"));
    json_t *stage = json_incref(json_object_get(root, "stage"));
    struct asked asked = {&open->snapshot, marks};
    uint32_t entrance;

    json_object_del(root, "marks");
    json_object_del(root, "words");
    json_object_del(root, "stage");
    if (request_from_json(&request, root, &problem) != 0) {
        fprintf(stderr, "replay: %s: %s\n", problem.code, problem.sentence);
        exit(2);
    }
    set_words(&open->snapshot, given, words);
    open->view.words = words;
    open->view.word_count = RELEASES_MAX;
    entrance = request_feed(&request, &open->snapshot, 0, &input);
    if (stage != NULL) {
        input.stage = (struct gray_str){json_string_value(stage),
                                        (uint32_t)json_string_length(stage)};
    }
    if (gray_explain(&open->view, entrance, &input, mark_of, &asked, line,
                     sizeof(line)) >= sizeof(line)) {
        fprintf(stderr, "replay: an answer is longer than its room\n");
        exit(2);
    }
    puts(line);
    request_free(&request);
    json_decref(marks);
    json_decref(given);
    json_decref(stage);
    json_decref(root);
}

int main(int argc, char **argv)
{
    static char text[LINE_MAX_BYTES];
    struct gray_compile_options options = {.revision = 1};
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    struct gray_compiled compiled = {0};
    struct gray_model *model = NULL;
    struct ask_view open = {0};
    struct gray_problem problem;
    FILE *requests = argc == 3 ? fopen(argv[2], "re") : NULL;

    if (requests == NULL) {
        fprintf(stderr, "usage: replay POLICY REQUESTS\n");
        return 2;
    }
    if (gray_documents_add(docs, argv[1], &findings) == 0) {
        model = gray_model_check(docs, &findings);
    }
    if (model == NULL ||
        gray_compile(model, &options, &compiled, &findings) != 0 ||
        ask_view_open(&open, &compiled, &problem) != 0 ||
        open.snapshot.policy->releases.count > RELEASES_MAX) {
        gray_findings_print(&findings, stderr);
        return 2;
    }
    while (fgets(text, sizeof(text), requests) != NULL) {
        answer(&open, text);
    }
    fclose(requests);
    ask_view_close(&open);
    gray_compiled_free(&compiled);
    gray_model_free(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
    return 0;
}
