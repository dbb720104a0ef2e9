/* SPDX-License-Identifier: Apache-2.0
 * world.c - the store's newest revision as trees, and a copy to change.
 *
 * Why: the store keeps texts; checks want trees. Reading them once at the
 * start and carrying them from commit to commit keeps a change of one share
 * from reading everything again.
 * Read next: build.c.
 */
#include "control/change/world.h"
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- load ---------------------------------------------------------------- */

struct loading {
    struct world *world;
    json_t *into;
    bool documents, failed;
};

static int keep_item(void *context, const struct store_item *item)
{
    struct loading *l = context;
    json_t *tree = json_loadb(item->text, item->length,
                              JSON_REJECT_DUPLICATES, NULL);

    if (tree == NULL) {
        l->failed = true;
        return 1;
    }
    if (l->documents) {
        l->failed |= json_object_set_new(l->into, item->name, tree) != 0 ||
                     json_object_set_new(
                         l->world->since, item->name,
                         json_integer((json_int_t)item->revision)) != 0;
    } else {
        json_t *entry = json_pack("{s:o,s:I}", "status", tree, "revision",
                                  (json_int_t)item->revision);

        l->failed |= json_object_set_new(l->into, item->name, entry) != 0;
    }
    return l->failed ? 1 : 0;
}

static int load_space(struct world *world, struct store_reader *reader,
                      enum store_space space, json_t *into,
                      struct gray_problem *ret_problem)
{
    struct loading l = { .world = world, .into = into,
                         .documents = space == STORE_DOCUMENT };
    int error = store_read_items(reader, space, world->revision, NULL,
                                 SIZE_MAX, keep_item, &l, ret_problem);

    if (error == 0 && l.failed) {
        ret_problem->code = "corrupt";
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                 "An item of the store is not JSON, or memory is at its end.");
        error = -EILSEQ;
    }
    return error;
}

int world_load_at(struct world *ret_world, struct store_reader *reader,
                  uint64_t revision, struct gray_problem *ret_problem)
{
    struct world world = { .revision = revision,
                           .documents = json_object(),
                           .since = json_object(),
                           .releases = json_object() };
    int error = 0;

    if (revision > 0) {
        error = load_space(&world, reader, STORE_DOCUMENT, world.documents,
                           ret_problem);
        if (error == 0) {
            error = load_space(&world, reader, STORE_RELEASE, world.releases,
                               ret_problem);
        }
    }
    if (error != 0) {
        world_free(&world);
        return error;
    }
    *ret_world = world;
    return 0;
}

int world_load(struct world *ret_world, struct store_reader *reader,
               struct gray_problem *ret_problem)
{
    struct store_head head;
    int error = store_read_head(reader, &head, ret_problem);

    return error != 0 ? error
                      : world_load_at(ret_world, reader, head.revision,
                                      ret_problem);
}

/* ---- life ---------------------------------------------------------------- */

void world_free(struct world *world)
{
    json_decref(world->documents);
    json_decref(world->since);
    json_decref(world->releases);
    *world = (struct world) { 0 };
}

json_t *tree_copy(const json_t *tree)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)tree);

    if (copy != NULL && (json_object_size(copy) != json_object_size(tree) ||
                         json_array_size(copy) != json_array_size(tree))) {
        json_decref(copy);
        copy = NULL;
    }
    return copy;
}

int world_copy(struct world *ret_copy, const struct world *world)
{
    struct world copy = {
        .revision = world->revision,
        .documents = tree_copy(world->documents),
        .since = tree_copy(world->since),
        .releases = tree_copy(world->releases),
    };

    if (copy.documents == NULL || copy.since == NULL ||
        copy.releases == NULL) {
        world_free(&copy);
        return -1;
    }
    *ret_copy = copy;
    return 0;
}

bool world_key(const char *kind, const char *name,
               char ret_key[STORE_NAME_MAX + 1])
{
    int length = snprintf(ret_key, STORE_NAME_MAX + 1, "%s/%s", kind, name);

    return length > 0 && (unsigned)length <= STORE_NAME_MAX;
}

json_t *world_document(const struct world *world, const char *kind,
                       const char *name)
{
    char key[STORE_NAME_MAX + 1];

    return world_key(kind, name, key) ? json_object_get(world->documents, key)
                                      : NULL;
}

int world_put(struct world *world, const char *kind, const char *name,
              json_t *tree)
{
    char key[STORE_NAME_MAX + 1];

    if (!world_key(kind, name, key)) {
        return -1;
    }
    if (tree == NULL) {
        json_object_del(world->documents, key);
        json_object_del(world->since, key);
        if (strcmp(kind, "Release") == 0) {
            json_object_del(world->releases, name);
        }
        return 0;
    }
    return json_object_set(world->documents, key, tree);
}

bool world_release(const struct world *world, const char *name,
                   struct release_status *ret_status,
                   struct release_facts *ret_facts)
{
    const json_t *entry = json_object_get(world->releases, name);

    return entry != NULL &&
           release_status_parse(json_object_get(entry, "status"),
                                ret_status) == 0 &&
           release_facts_read(world_document(world, "Release", name),
                              ret_facts) == 0;
}

int world_put_release(struct world *world, const char *name,
                      const struct release_status *status)
{
    json_t *value = release_status_json(status);
    json_t *entry = value == NULL
                        ? NULL
                        : json_pack("{s:o,s:I}", "status", value, "revision",
                                    (json_int_t)world->revision + 1);

    return entry == NULL ? -1
                         : json_object_set_new(world->releases, name, entry);
}

/* ---- what changed -------------------------------------------------------- */

static int add_change(json_t *changes, const char *key, const char *change)
{
    const char *slash = strchr(key, '/');

    return json_array_append_new(
        changes, json_pack("{s:s%,s:s,s:s}", "kind", key,
                           (size_t)(slash - key), "name", slash + 1, "change",
                           change));
}

json_t *world_changes(const struct world *before, const struct world *after)
{
    json_t *changes = json_array();
    const char *key;
    json_t *tree;
    int status = 0;

    json_object_foreach(after->documents, key, tree) {
        json_t *old = json_object_get(before->documents, key);

        if (old == NULL) {
            status |= add_change(changes, key, "added");
        } else if (old != tree && !json_equal(old, tree)) {
            status |= add_change(changes, key, "changed");
        }
    }
    json_object_foreach(before->documents, key, tree) {
        if (json_object_get(after->documents, key) == NULL) {
            status |= add_change(changes, key, "removed");
        }
    }
    if (status != 0) {
        json_decref(changes);
        changes = NULL;
    }
    return changes;
}

/* ---- who is let in --------------------------------------------------------------- */

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return gray_mix64(hash ^ gray_hash_scope(text, strlen(text)));
}

uint64_t world_admission(const struct world *world)
{
    uint64_t sum = 0;
    const char *key;
    json_t *entry, *value;

    json_object_foreach(world->releases, key, entry) {
        const json_t *status = json_object_get(entry, "status");
        uint64_t hash = mix_text(1, key);

        hash = gray_mix64(hash ^ (uint64_t)json_integer_value(
                                     json_object_get(status, "share")));
        hash = gray_mix64(hash ^ (uint64_t)json_integer_value(
                                     json_object_get(status, "attempt")));
        sum += gray_mix64(hash ^ (uint64_t)json_integer_value(
                                     json_object_get(status, "dimension")));
    }
    json_object_foreach(world->since, key, value) {
        if (strncmp(key, "Release/", 8) == 0 || strncmp(key, "List/", 5) == 0) {
            sum += gray_mix64(mix_text(2, key) ^
                              (uint64_t)json_integer_value(value));
        }
    }
    return sum;
}
