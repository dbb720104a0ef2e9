/* SPDX-License-Identifier: Apache-2.0
 * build.c - a world checked, compared and compiled; documents put into one.
 *
 * Why: what somebody wrote is checked as he wrote it, so that a finding names
 * his file and line; what stands already is checked from the trees that are
 * kept. A release's share is grayd's to say: whatever a document declares, the
 * release stands where its state says.
 * Read next: world.c, policy/documents_held.c.
 */
#include "control/change/build.h"

#include <stdlib.h>
#include <string.h>

#define IN_FORCE "in force" /* the file of what stands already */

void build_clear(struct build *build)
{
    gray_findings_free(&build->findings);
    gray_model_free(build->model);
    gray_compiled_free(&build->compiled);
    *build = (struct build) { 0 };
}

/* ---- check --------------------------------------------------------------- */

static bool has_dimensions(const struct world *world, const char *name)
{
    return json_array_size(json_object_get(
               world_document(world, "Release", name), "dimensions")) > 0;
}

static int hold_shares(struct gray_documents *docs, const struct world *world)
{
    const char *name;
    json_t *entry;

    json_object_foreach(world->releases, name, entry) {
        struct release_status status;

        if (release_status_parse(json_object_get(entry, "status"), &status) !=
                0 ||
            (status.dimension > 0 || has_dimensions(world, name)
                 ? gray_documents_hold_dimension(docs, name, status.share,
                                                 status.attempt,
                                                 status.dimension)
                 : gray_documents_hold(docs, name, status.share,
                                       status.attempt)) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Documents of the world that the texts do not bring; those as one array, for
 * a text is kept for each. */
static json_t *kept_documents(const struct world *world,
                              const struct gray_documents *texts)
{
    json_t *names = json_object(), *kept = json_array();
    const char *kind, *name, *key;
    json_t *tree;
    bool good = true;

    for (size_t i = 0; texts != NULL && i < gray_documents_count(texts);
         i++) {
        char text[STORE_NAME_MAX + 1];

        gray_documents_at(texts, i, &kind, &name, &tree);
        if (kind != NULL && name != NULL && world_key(kind, name, text)) {
            good &= json_object_set_new(names, text, json_true()) == 0;
        }
    }
    json_object_foreach(world->documents, key, tree) {
        if (json_object_get(names, key) == NULL) {
            good &= json_array_append(kept, tree) == 0;
        }
    }
    json_decref(names);
    if (!good) {
        json_decref(kept);
        kept = NULL;
    }
    return kept;
}

int build_check(struct build *build, const struct world *world,
                struct gray_documents *texts)
{
    struct gray_documents *docs = texts != NULL ? texts : gray_documents_new();
    json_t *kept = kept_documents(world, texts);
    int status = -1;

    if (docs != NULL && kept != NULL &&
        gray_documents_add_tree(docs, IN_FORCE, kept) == 0 &&
        hold_shares(docs, world) == 0) {
        build->model = gray_model_check(docs, &build->findings);
        status = build->model != NULL ? 0 : -1;
    }
    json_decref(kept);
    if (docs != texts) {
        gray_documents_free(docs);
    }
    return status;
}

int build_compile(struct build *build,
                  const struct gray_compile_options *options)
{
    return gray_compile(build->model, options, &build->compiled,
                        &build->findings);
}

/* Advice about what nobody touched now is lint's, not this answer's; and a
 * warning would tell one team the names of another. */
static bool is_noise(const json_t *finding, const struct identity *reader)
{
    const char *file = json_string_value(json_object_get(finding, "file"));
    const char *severity =
        json_string_value(json_object_get(finding, "severity"));
    const char *document =
        json_string_value(json_object_get(finding, "document"));

    if (file == NULL || strcmp(file, IN_FORCE) != 0 || severity == NULL ||
        strcmp(severity, "error") == 0) {
        return false;
    }
    return strcmp(severity, "advice") == 0 ||
           (reader != NULL && !resource_covered(reader, document));
}

json_t *build_findings(const struct build *build,
                       const struct identity *reader)
{
    char *text = gray_findings_json(&build->findings);
    json_t *findings = text != NULL ? json_loads(text, 0, NULL) : NULL;

    free(text);
    for (size_t i = json_array_size(findings); i-- > 0;) {
        if (is_noise(json_array_get(findings, i), reader)) {
            json_array_remove(findings, i);
        }
    }
    return findings != NULL ? findings : json_array();
}

/* ---- documents into a world ---------------------------------------------- */

struct gray_documents *build_read_files(const json_t *files,
                                        struct gray_findings *findings)
{
    struct gray_documents *docs = gray_documents_new();
    const json_t *file;
    bool good = docs != NULL;
    size_t i;

    if (docs == NULL) {
        return NULL;
    }
    gray_documents_refuse_files(docs);
    json_array_foreach(files, i, file) {
        const json_t *text = json_object_get(file, "text");

        good &= gray_documents_add_text(
                    docs,
                    json_string_value(json_object_get(file, "name")),
                    json_string_value(text), json_string_length(text),
                    findings) == 0;
    }
    if (!good) {
        gray_documents_free(docs);
        docs = NULL;
    }
    return docs;
}

/* The state of a release whose document is new or changed. */
static int follow_release(struct world *world, const struct world *before,
                          const char *name, const json_t *tree, int64_t now,
                          const char *by, struct release_refusal *ret_refusal)
{
    struct release_status status, next;
    struct release_facts facts, old;

    if (release_facts_read(tree, &facts) != 0) {
        return 0; /* the check says what is wrong with it */
    }
    if (!world_release(before, name, &status, &old)) {
        release_first(&facts, now, by, &next);
        return world_put_release(world, name, &next);
    }
    switch (release_reapplied(&status, &old, &facts, now, by, &next,
                              ret_refusal)) {
    case 0:
        return world_put_release(world, name, &next);
    case 1:
        return 0;
    default:
        return -1;
    }
}

static int prune_world(struct world *world, const struct world *before,
                       const json_t *wanted)
{
    const char *key;
    json_t *tree;

    json_object_foreach(before->documents, key, tree) {
        const char *slash = strchr(key, '/');
        char kind[32];

        (void)tree;
        if (json_object_get(wanted, key) != NULL || slash == NULL ||
            (size_t)(slash - key) >= sizeof(kind)) {
            continue;
        }
        memcpy(kind, key, (size_t)(slash - key));
        kind[slash - key] = '\0';
        if (world_put(world, kind, slash + 1, NULL) != 0) {
            return -1;
        }
    }
    return 0;
}

int build_apply(struct world *world, const struct gray_documents *texts,
                bool prune, int64_t now, const char *by,
                struct release_refusal *ret_refusal)
{
    struct world before;
    json_t *wanted = json_object();
    int status = world_copy(&before, world);

    if (status != 0) {
        json_decref(wanted);
        return -1;
    }
    for (size_t i = 0; status == 0 && i < gray_documents_count(texts); i++) {
        const char *kind, *name;
        char key[STORE_NAME_MAX + 1];
        json_t *tree, *old;

        gray_documents_at(texts, i, &kind, &name, &tree);
        if (kind == NULL || name == NULL || !world_key(kind, name, key)) {
            continue; /* the check says so */
        }
        if (json_object_set_new(wanted, key, json_true()) != 0) {
            status = -1;
            break;
        }
        old = json_object_get(before.documents, key);
        if (old != NULL && json_equal(old, tree)) {
            continue;
        }
        status = world_put(world, kind, name, tree);
        if (status == 0 && strcmp(kind, "Release") == 0) {
            status = follow_release(world, &before, name, tree, now, by,
                                    ret_refusal);
        }
    }
    if (status == 0 && prune) {
        status = prune_world(world, &before, wanted);
    }
    world_free(&before);
    json_decref(wanted);
    return status;
}
