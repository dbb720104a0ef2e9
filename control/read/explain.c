/* SPDX-License-Identifier: Apache-2.0
 * explain.c - what is decided for requests, and why: in force, or at an older
 * revision.
 *
 * Why: the same bytes as `gray explain` prints, from the same code (ask/) over
 * the same files that the gateways of this host read, words and keys included.
 * An older revision is compiled anew from its documents, with the shares and
 * words that its releases had then; keys are not kept, so cookies prove
 * nothing there.
 * Read next: ../../ask/ask.h, ../change/build.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask.h"
#include "control/change/build.h"
#include "control/read/internal.h"

#define EXPLAIN_BYTES_MAX (64u << 20) /* of all answers of a call */

/* What is decided by. */
struct basis {
    struct gray_runtime *runtime; /* in force */
    struct build build;           /* or compiled anew */
    struct ask_view opened;
    struct gray_scope_word *words;
    const struct gray_view *view;
};

static void basis_clear(struct basis *basis)
{
    gray_runtime_close(basis->runtime);
    ask_view_close(&basis->opened);
    build_clear(&basis->build);
    free(basis->words);
}

/* ---- in force ----------------------------------------------------------------- */

static bool basis_in_force(struct basis *basis, const struct grayd *grayd,
                           struct reply *reply)
{
    const char *folder = grayd->options.runtime;
    struct gray_problem problem = { 0 };
    enum gray_reason reason = GRAY_REASON_NONE;

    if (gray_runtime_open(&basis->runtime, folder, GRAY_READER_CLI, false,
                          &problem) != 0) {
        reply_problem(reply, PROBLEM_NOT_READY,
                      "The runtime folder cannot be read: %s",
                      problem.sentence);
        return false;
    }
    basis->view = gray_runtime_view(basis->runtime, &reason);
    if (basis->view == NULL && reason == GRAY_REASON_BYPASS) {
        basis->view = gray_runtime_loaded(basis->runtime);
    }
    if (basis->view == NULL) {
        reply_problem(reply, PROBLEM_NOT_READY, "%s",
                      gray_reason_sentence(GRAY_REASON_NO_SNAPSHOT));
        return false;
    }
    return true;
}

/* ---- as it was -------------------------------------------------------------------- */

/* The word of each release, where gray_compile() numbered it. */
static int set_words(struct basis *basis, const struct world *world)
{
    const struct gray_snapshot *snapshot = &basis->opened.snapshot;
    uint32_t count = snapshot->policy->releases.count;

    basis->words = calloc(count + 1, sizeof(*basis->words));
    if (basis->words == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct gray_release *release = gray_release_at(snapshot, i);
        struct gray_str text = gray_text(snapshot, release->name);
        char name[GRAY_NAME_MAX + 1];
        struct release_status status;
        struct release_facts facts;

        snprintf(name, sizeof(name), "%.*s", (int)text.length, text.data);
        if (release->word < count &&
            world_release(world, name, &status, &facts)) {
            basis->words[release->word].scope = release->scope;
            basis->words[release->word].word = release_word(&status);
        }
    }
    basis->opened.view.words = basis->words;
    basis->opened.view.word_count = count;
    return 0;
}

static bool compile_world(struct basis *basis, const struct world *world,
                          int64_t now, struct reply *reply)
{
    struct gray_compile_options options = { .revision = world->revision,
                                            .now = now };
    struct gray_problem problem = { 0 };

    if (build_check(&basis->build, world, NULL) != 0 ||
        build_compile(&basis->build, &options) != 0) {
        reply_problem(reply, PROBLEM_FINDINGS,
                      "Revision %llu does not compile by today's checks.",
                      (unsigned long long)world->revision);
        reply_add(reply, "findings", build_findings(&basis->build, NULL));
        return false;
    }
    if (ask_view_open(&basis->opened, &basis->build.compiled, &problem) != 0 ||
        set_words(basis, world) != 0) {
        read_no_memory(reply);
        return false;
    }
    basis->view = &basis->opened.view;
    return true;
}

static bool basis_of_revision(struct basis *basis, struct hand *hand,
                              uint64_t revision, int64_t now,
                              struct reply *reply)
{
    struct gray_problem problem = { 0 };
    struct store_head head;
    struct world world;
    bool good;

    if (!read_head(hand, &head, reply)) {
        return false;
    }
    if (revision == 0 || revision > head.revision) {
        reply_problem(reply, PROBLEM_NOT_FOUND,
                      "There is no revision %llu; the newest is %llu.",
                      (unsigned long long)revision,
                      (unsigned long long)head.revision);
        return false;
    }
    if (world_load_at(&world, hand->reader, revision, &problem) != 0) {
        read_failed(reply, &problem);
        return false;
    }
    good = compile_world(basis, &world, now, reply);
    world_free(&world);
    return good;
}

/* ---- answers ------------------------------------------------------------------------ */

/* Whoever asks for many long answers gets none, rather than grayd growing. */
static int write_answer(FILE *out, struct ask *ask, const json_t *item,
                        size_t number, struct reply *reply)
{
    struct request_problem why = { 0 };
    struct request request;
    json_t *own = json_deep_copy(item); /* cookies are stripped from it */
    size_t length = 0;
    int error = -1;

    if (request_from_json(&request, own, &why) != 0) {
        char pointer[64];

        snprintf(pointer, sizeof(pointer), "/requests/%zu", number);
        reply_problem(reply, PROBLEM_BAD_BODY, "%s: %s [%s]", pointer,
                      why.sentence, why.code);
        reply_add(reply, "pointer", json_string(pointer));
        json_decref(own);
        return -1;
    }
    error = ask_answer(ask, &request, &length);
    request_free(&request);
    json_decref(own);
    if (error != 0 || (size_t)ftello(out) + length > EXPLAIN_BYTES_MAX) {
        reply_problem(reply, PROBLEM_TOO_LARGE,
                      "The answers have more than %u bytes: ask for fewer at "
                      "once.",
                      EXPLAIN_BYTES_MAX);
        return -1;
    }
    fprintf(out, "%s", number > 0 ? "," : "");
    fwrite(ask->buffer, 1, length, out);
    return 0;
}

/* The text is put together from the answers as they are: written anew, it
 * would not be the same bytes. */
static void answer_all(const struct basis *basis, const struct call *call,
                       struct reply *reply)
{
    const json_t *requests = json_object_get(call->body, "requests"), *item;
    struct ask *ask = calloc(1, sizeof(*ask));
    char *text = NULL;
    size_t length = 0, i;
    FILE *out = open_memstream(&text, &length);
    int error = ask == NULL || out == NULL ? -1 : 0;

    if (error != 0) {
        read_no_memory(reply);
    } else {
        ask->view = basis->view;
        ask->runtime = basis->runtime;
        ask->now = call->now;
        fprintf(out, "{\"revision\":%llu,\"explanations\":[",
                (unsigned long long)basis->view->policy->header->revision);
        json_array_foreach(requests, i, item) {
            error = write_answer(out, ask, item, i, reply);
            if (error != 0) {
                break;
            }
        }
        fprintf(out, "]}\n");
        ask_end(ask);
    }
    free(ask);
    if (out != NULL && fclose(out) != 0 && error == 0) {
        read_no_memory(reply);
        error = -1;
    }
    if (error != 0) {
        free(text);
        return;
    }
    reply->status = 200;
    reply->text = text;
    reply->length = length;
    reply->type = "application/json";
}

void route_handle_EXPLAIN(struct hand *hand, const struct call *call,
                          struct reply *reply)
{
    const json_t *revision = json_object_get(call->body, "revision");
    struct basis basis = { 0 };
    bool good =
        revision != NULL
            ? basis_of_revision(&basis, hand,
                                json_integer_value(revision) > 0
                                    ? (uint64_t)json_integer_value(revision)
                                    : 0,
                                call->now, reply)
            : basis_in_force(&basis, hand->grayd, reply);

    if (good) {
        answer_all(&basis, call, reply);
    }
    basis_clear(&basis);
}
