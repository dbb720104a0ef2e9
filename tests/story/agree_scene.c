/* SPDX-License-Identifier: Apache-2.0
 * agree_scene.c - see agree.h: an invented policy, opened.
 *
 * Why: a random policy goes as JSON through documents, checks and compiler, as
 * one that somebody wrote.
 * Read next: invent.c, agree_compare.c.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/story/agree.h"

#define TRIES 50u

/* ---- a policy ----------------------------------------------------------- */

static void open_lists(struct scene *s, uint32_t which,
                       const struct gray_compiled *compiled)
{
    const struct gray_snapshot *snapshot = &s->snapshots[which];
    const struct gray_list_ref *refs =
        (const void *)(snapshot->base + snapshot->policy->lists.offset);
    struct gray_problem problem;
    uint32_t i;
    size_t k;

    assert(snapshot->policy->lists.count <= AGREE_LISTS);
    for (i = 0; i < snapshot->policy->lists.count; i++) {
        struct gray_str name = gray_text(snapshot, refs[i].file);

        for (k = 0; k < compiled->list_count; k++) {
            const struct gray_file *file = &compiled->lists[k];

            if (strlen(file->name) == name.length &&
                memcmp(file->name, name.data, name.length) == 0 &&
                gray_list_open(&s->lists[which][i], file->data, file->size,
                               &problem) == 0) {
                break;
            }
        }
        assert(k < compiled->list_count);
    }
}

static void open_view(struct scene *s, uint32_t which,
                      const struct gray_compiled *compiled)
{
    struct gray_problem problem;
    struct gray_view *view = &s->views[which];
    size_t size;

    if (gray_snapshot_open(&s->snapshots[which], compiled->policy.data,
                           compiled->policy.size, &problem) != 0 ||
        gray_fleet_open(&s->fleet, compiled->fleet.data, compiled->fleet.size,
                        &problem) != 0) {
        fprintf(stderr, "agree: %s: %s\n", problem.code, problem.sentence);
        abort();
    }
    open_lists(s, which, compiled);
    size = gray_link_size(&s->snapshots[which], &s->fleet);
    s->memory[which] = malloc(size);
    assert(s->memory[which] != NULL);
    if (gray_link_build(&s->links[which], &s->snapshots[which], &s->fleet,
                        s->memory[which], size) != 0) {
        abort();
    }
    *view = (struct gray_view){.policy = &s->snapshots[which],
                               .fleet = &s->fleet,
                               .link = &s->links[which],
                               .lists = s->lists[which],
                               .list_count =
                                   s->snapshots[which].policy->lists.count};
}

void scene_close(struct scene *s)
{
    uint32_t i;

    brute_done(&s->brute);
    for (i = 0; i < 2; i++) {
        free(s->memory[i]);
        gray_compiled_free(&s->compiled[i]);
    }
    gray_model_free(s->model);
}

/* 0, or -1 when the policy is refused. */
static int open_text(struct scene *s, const struct text *policy, bool talk)
{
    struct gray_compile_options options = {.revision = 1, .now = INVENT_NOW};
    struct gray_documents *docs = gray_documents_new();
    struct gray_findings findings = {NULL, 0, 0, 0};
    int answer = -1;
    uint32_t i;

    memset(s, 0, sizeof(*s));
    if (gray_documents_add_text(docs, "agree", policy->data, policy->length,
                                &findings) == 0) {
        s->model = gray_model_check(docs, &findings);
    }
    if (s->model != NULL &&
        gray_compile(s->model, &options, &s->compiled[0], &findings) == 0) {
        options.no_index = 1;
        answer = gray_compile(s->model, &options, &s->compiled[1], &findings);
    }
    if (answer != 0) {
        if (talk) {
            gray_findings_print(&findings, stderr);
        }
        gray_compiled_free(&s->compiled[0]);
        gray_model_free(s->model);
    } else {
        for (i = 0; i < 2; i++) {
            open_view(s, i, &s->compiled[i]);
        }
        brute_init(&s->brute, s->model);
    }
    gray_findings_free(&findings);
    gray_documents_free(docs);
    return answer;
}

bool scene_open(struct scene *s, struct text *policy, struct dice *d,
                uint64_t *refused)
{
    uint32_t tries;

    for (tries = 0; tries < TRIES; tries++) {
        invent_policy(policy, d);
        if (open_text(s, policy, tries + 1 == TRIES) == 0) {
            return true;
        }
        (*refused)++;
    }
    fprintf(stderr, "agree: no policy of %u is accepted\n%s\n", TRIES,
            policy->data);
    return false;
}

/* ---- a request ---------------------------------------------------------- */

static struct gray_str str(const char *text)
{
    struct gray_str none = {"", 0};

    return text == NULL ? none
                        : (struct gray_str){text, (uint32_t)strlen(text)};
}

static void feed_address(struct gray_input *in, const char *source)
{
    uint8_t bytes[16];

    if (source != NULL && brute_address(source, bytes)) {
        gray_input_address(in, bytes);
    }
}

static void feed_header(struct gray_input *in,
                        const struct gray_snapshot *policy, const char *text,
                        const char *value)
{
    struct gray_str name = str(text);
    uint32_t hash = gray_hash_name(name.data, name.length);

    if (value != NULL && gray_input_wants(policy, hash)) {
        gray_input_header(in, hash, name, str(value));
    }
}

void scene_feed(struct gray_input *in, const struct gray_snapshot *policy,
                const struct brute_request *r)
{
    uint32_t i;

    gray_input_begin(in, policy, r->now, r->random);
    gray_input_method(in, str(r->method));
    gray_input_host(in, str(r->host));
    gray_input_target(in, str(r->target));
    for (i = 0; i < r->header_count; i++) {
        feed_header(in, policy, r->headers[i].name, r->headers[i].value);
    }
    feed_header(in, policy, "host", r->host); /* in nginx it is one */
    feed_address(in, r->source);
    for (i = 0; i < r->attr_count; i++) {
        gray_input_named(in, GRAY_SOURCE_ATTR, str(r->attrs[i].name),
                         str(r->attrs[i].value));
    }
    for (i = 0; i < r->label_count; i++) {
        gray_input_named(in, GRAY_SOURCE_LABEL, str(r->labels[i].name),
                         str(r->labels[i].value));
    }
    if (r->caller != NULL) {
        gray_input_named(in, GRAY_SOURCE_CALLER, str(""), str(r->caller));
    }
    in->stage = str(r->stage);
    if (r->anonymous != NULL) {
        gray_input_named(in, GRAY_SOURCE_UNIT, str(""), str(r->anonymous));
    }
    gray_input_colour(in, str(r->lane), str(r->arms),
                      (enum gray_class)r->traffic_class);
}

uint32_t scene_entrance(const struct scene *s, const char *name)
{
    uint32_t i;

    for (i = 0; name != NULL && i < s->model->entrance_count; i++) {
        if (strcmp(s->model->entrances[i].name, name) == 0) {
            return i;
        }
    }
    return GRAY_NONE;
}

uint32_t scene_invent(const struct scene *s, struct invented *in,
                      struct dice *d)
{
    uint32_t entrance;

    invent_request(in, d);
    in->request.anonymous = NULL;
    in->request.stage = NULL;
    if (in->entrance == NULL) {
        in->entrance = "-";
        return GRAY_NONE;
    }
    /* One that no document names decides like the unnamed one. */
    entrance = scene_entrance(s, in->entrance);
    return entrance == GRAY_NONE ? 0 : entrance;
}

size_t scene_explain(const struct scene *s, const struct invented *in,
                     uint32_t entrance, char line[AGREE_LINE_BYTES])
{
    static struct gray_input input;
    size_t length;

    scene_feed(&input, &s->snapshots[0], &in->request);
    length = gray_explain(&s->views[0], entrance, &input, NULL, NULL, line,
                          AGREE_LINE_BYTES);
    if (length >= AGREE_LINE_BYTES) {
        fprintf(stderr, "agree: an answer is longer than its room\n");
        exit(2);
    }
    return length;
}
