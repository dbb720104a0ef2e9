/* SPDX-License-Identifier: Apache-2.0
 * model.c - the order of the checks, and the owner of what they make.
 *
 * Why: names first, so that any document may speak of any other wherever it
 * stands; then each document alone; then all together.  Everything is made in
 * one arena; when memory is at its end, longjmp leads back here and nothing
 * half-built is ever seen.
 * Read next: check.h, model_release.c, model_cross.c.
 */
#include "policy/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- names --------------------------------------------------------------- */

static int by_kind_and_name(const void *left, const void *right)
{
    const struct model_document *a = left, *b = right;
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static bool read_head(struct gray_check *c, struct model_document *document)
{
    static const char example[] = "kind: Release, name: cart-2";
    json_t *tree = document->tree;
    c->document = document;
    if (!json_is_object(tree)) {
        return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE, NULL,
                                "a document is a map; write %s", example);
    }
    json_t *kind = json_object_get(tree, "kind");
    json_t *name = json_object_get(tree, "name");
    uint32_t number;
    if (kind == NULL || name == NULL) {
        return gray_check_missing(c, NULL, kind == NULL ? "kind" : "name",
                                  example);
    }
    const char *list = gray_check_words(c, gray_kind_words, KIND_COUNT);
    if (!json_is_string(kind)) {
        return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE,
                                AT_KEY(NULL, "kind"),
                                "kind must be one of %s", list);
    }
    for (number = 0; number < KIND_COUNT; number++) {
        if (strcmp(json_string_value(kind), gray_kind_words[number]) == 0) {
            break;
        }
    }
    if (number == KIND_COUNT) {
        return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_KIND,
                                AT_KEY(NULL, "kind"),
                                "there is no kind \"%.64s\"; write one of %s",
                                json_string_value(kind), list);
    }
    document->kind = (uint8_t)number;
    if (!gray_check_name(c, AT_KEY(NULL, "name"), name, false,
                         &document->name)) {
        return false;
    }
    document->label = gray_arena_print(c->arena, "%s/%s",
                                       gray_kind_words[number],
                                       document->name);
    return true;
}

/* All documents that have a kind and a name, sorted, each once. */
static void collect(struct gray_check *c)
{
    struct model_owner *owner = c->owner;
    size_t size = c->docs->count, count = 0;
    struct model_document *list =
        gray_arena_array(c->arena, size, sizeof(*list));
    owner->labels.arena = c->arena;
    for (size_t i = 0; i < size; i++) {
        const struct gray_document *from = &c->docs->items[i];
        struct model_document *document = &list[count];
        uint32_t first;
        *document = (struct model_document){.text = from->text,
                                            .number = from->number,
                                            .item = from->item,
                                            .tree = from->tree};
        if (!read_head(c, document)) {
            continue;
        }
        if (!gray_names_add(&owner->labels, document->label,
                            strlen(document->label), (uint32_t)count,
                            &first)) {
            gray_check_error(c, GRAY_PROBLEM_DUPLICATE_DOCUMENT,
                             AT_KEY(NULL, "name"),
                             "%s is there already, in %s; keep one of them",
                             document->label, list[first].text->name);
            continue;
        }
        count++;
    }
    c->document = NULL;
    qsort(list, count, sizeof(*list), by_kind_and_name);
    owner->documents = list;
    owner->document_count = count;
    owner->labels = (struct gray_names){.arena = c->arena};
    for (size_t i = 0; i < count; i++) {
        gray_names_add(&owner->labels, list[i].label, strlen(list[i].label),
                       (uint32_t)i, NULL);
    }
}

const struct model_document *gray_check_find(const struct gray_check *c,
                                             enum model_kind kind,
                                             const char *name)
{
    char label[GRAY_NAME_MAX + 16];
    snprintf(label, sizeof(label), "%s/%s", gray_kind_words[kind], name);
    uint32_t number =
        gray_names_find(&c->owner->labels, label, strlen(label));
    return number == UINT32_MAX ? NULL : &c->owner->documents[number];
}

/* ---- the documents ------------------------------------------------------- */

/* Documents of one kind lie together; numbers are in the order of names. */
static const struct model_document *of_kind(const struct gray_check *c,
                                            uint8_t kind, uint32_t *ret_count)
{
    const struct model_document *list = c->owner->documents;
    size_t first = 0, count = c->owner->document_count;
    while (first < count && list[first].kind < kind) {
        first++;
    }
    size_t end = first;
    while (end < count && list[end].kind == kind) {
        end++;
    }
    *ret_count = (uint32_t)(end - first);
    return list + first;
}

static void name_all(struct gray_check *c,
                     const struct model_document *documents, uint32_t count,
                     struct gray_names *names)
{
    names->arena = c->arena;
    for (uint32_t i = 0; i < count; i++) {
        gray_names_add(names, documents[i].name, strlen(documents[i].name), i,
                       NULL);
    }
}

static void check_all(struct gray_check *c, struct lane_rules **ret_rules)
{
    struct gray_model *m = c->model;
    const struct model_document *services, *lanes, *lists, *releases;
    services = of_kind(c, KIND_SERVICE, &m->service_count);
    releases = of_kind(c, KIND_RELEASE, &m->release_count);
    lanes = of_kind(c, KIND_LANE, &m->lane_count);
    lists = of_kind(c, KIND_LIST, &m->list_count);
    name_all(c, services, m->service_count, &c->services);
    name_all(c, lanes, m->lane_count, &c->lanes);
    name_all(c, lists, m->list_count, &c->lists);
    c->versions.arena = c->arena;
    m->services = gray_arena_array(c->arena, m->service_count,
                                   sizeof(*m->services));
    m->releases = gray_arena_array(c->arena, m->release_count,
                                   sizeof(*m->releases));
    m->lanes = gray_arena_array(c->arena, m->lane_count, sizeof(*m->lanes));
    m->lists = gray_arena_array(c->arena, m->list_count, sizeof(*m->lists));
    c->list_used = gray_arena_array(c->arena, m->list_count, sizeof(bool));
    c->service_good =
        gray_arena_array(c->arena, m->service_count, sizeof(bool));
    c->release_good =
        gray_arena_array(c->arena, m->release_count, sizeof(bool));
    struct lane_rules *rules =
        gray_arena_array(c->arena, m->lane_count, sizeof(*rules));
    for (uint32_t i = 0; i < m->list_count; i++) {
        c->document = &lists[i];
        gray_check_list_document(c, &m->lists[i]);
    }
    for (uint32_t i = 0; i < m->service_count; i++) {
        c->document = &services[i];
        c->service_good[i] = gray_check_service(c, &m->services[i]);
    }
    c->lanes_good = true;
    for (uint32_t i = 0; i < m->lane_count; i++) {
        c->document = &lanes[i];
        c->lanes_good &= gray_check_lane(c, i, &rules[i]);
    }
    for (uint32_t i = 0; i < m->release_count; i++) {
        c->document = &releases[i];
        c->release_good[i] = gray_check_release(c, &m->releases[i]);
    }
    uint32_t check_count;
    const struct model_document *checks = of_kind(c, KIND_CHECK, &check_count);
    for (uint32_t i = 0; i < check_count; i++) {
        c->document = &checks[i];
        gray_check_check(c);
    }
    if (m->release_count > GRAY_RELEASES_MAX) {
        c->document = &releases[GRAY_RELEASES_MAX];
        gray_check_error(c, GRAY_PROBLEM_TOO_MANY, NULL,
                         "%u releases; at most %u are allowed",
                         m->release_count, GRAY_RELEASES_MAX);
    }
    *ret_rules = rules;
}

static void run(struct gray_check *c)
{
    size_t errors = c->findings->errors;
    struct lane_rules *rules = NULL;
    collect(c);
    check_all(c, &rules);
    gray_check_cross(c);
    if (c->findings->errors != errors) {
        return;
    }
    gray_check_entrances(c, rules);
    gray_check_lint(c);
    if (c->findings->errors == errors) {
        gray_check_source(c);
    }
}

/* ---- owner --------------------------------------------------------------- */

void gray_model_free(struct gray_model *model)
{
    struct model_owner *owner = (struct model_owner *)model;
    if (owner == NULL) {
        return;
    }
    for (size_t i = 0; i < owner->text_count; i++) {
        gray_text_release(owner->texts[i]);
    }
    free(owner->texts);
    gray_arena_free(&owner->arena);
    free(owner);
}

static struct model_owner *owner_new(const struct gray_documents *docs)
{
    struct model_owner *owner = calloc(1, sizeof(*owner));
    if (owner == NULL) {
        return NULL;
    }
    owner->model.arena = &owner->arena;
    owner->texts = calloc(docs->text_count + 1, sizeof(*owner->texts));
    if (owner->texts == NULL) {
        free(owner);
        return NULL;
    }
    for (size_t i = 0; i < docs->text_count; i++) {
        owner->texts[i] = docs->texts[i];
        owner->texts[i]->references++;
    }
    owner->text_count = docs->text_count;
    return owner;
}

/* Alone with setjmp, so that no local of the checks can be clobbered. */
static bool run_guarded(struct gray_check *c)
{
    jmp_buf full;
    if (setjmp(full) != 0) {
        c->arena->full = NULL;
        return false;
    }
    c->arena->full = &full;
    run(c);
    c->arena->full = NULL;
    return true;
}

struct gray_model *gray_model_check(const struct gray_documents *docs,
                                    struct gray_findings *findings)
{
    struct model_owner *owner = owner_new(docs);
    struct gray_check *c = calloc(1, sizeof(*c));
    size_t first = findings->count, errors = findings->errors;
    bool whole = false;
    if (owner != NULL && c != NULL) {
        c->owner = owner;
        c->model = &owner->model;
        c->arena = &owner->arena;
        c->findings = findings;
        c->docs = docs;
        c->open_file = -1;
        whole = run_guarded(c);
        if (c->open_file >= 0) {
            close(c->open_file);
        }
        gray_check_locate(c, first);
    }
    if (!whole) {
        struct gray_finding_head head = {
            .severity = GRAY_ERROR, .problem = GRAY_PROBLEM_OUT_OF_MEMORY};
        gray_findings_add(findings, &head,
                          "memory is at its end while checking");
    }
    free(c);
    if (findings->errors != errors) {
        gray_model_free(owner == NULL ? NULL : &owner->model);
        return NULL;
    }
    /* The trees belong to the documents, which may go before the model. */
    for (size_t i = 0; i < owner->document_count; i++) {
        owner->documents[i].tree = NULL;
    }
    return &owner->model;
}

char *gray_model_source(const struct gray_model *model, size_t *ret_length)
{
    char *copy = malloc(model->source_length + 1);
    if (copy != NULL) {
        memcpy(copy, model->source, model->source_length + 1);
        *ret_length = model->source_length;
    }
    return copy;
}
