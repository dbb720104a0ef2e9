/* SPDX-License-Identifier: Apache-2.0
 * residue.c - what a retired release leaves behind.
 *
 * Why: a release that is over but still holds up what everybody gets (its
 * service's baseline still is the old version) is the classic way to an
 * outage months later, when somebody tidies up.
 * Read next: move.c (finish).
 */
#include <string.h>

#include "control/release/internal.h"

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static const json_t *find(const json_t *documents, const char *kind,
                          const char *name)
{
    const json_t *document;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)documents, i, document) {
        if (strcmp(text_at(document, "kind"), kind) == 0 &&
            strcmp(text_at(document, "name"), name) == 0) {
            return document;
        }
    }
    return NULL;
}

static void say(json_t *sentences, json_t *sentence)
{
    json_array_append_new(sentences, sentence);
}

/* ---- baselines ----------------------------------------------------------- */

/* Does this selector choose endpoints of the version? Only what it says of the
 * label `version` is looked at. */
static bool selects(const json_t *baseline, const char *version)
{
    const json_t *label = json_object_get(baseline, "version");

    return label == NULL || (json_is_string(label) &&
                             strcmp(json_string_value(label), version) == 0);
}

static void look_at_service(const json_t *documents, const char *name,
                            const char *version, json_t *sentences)
{
    const json_t *service = find(documents, "Service", name);
    const json_t *baseline = json_object_get(service, "baseline");
    const char *old;

    if (service == NULL || selects(baseline, version)) {
        return;
    }
    old = text_at(baseline, "version");
    say(sentences,
        json_sprintf("Service/%s: its baseline still is %s; make it {version: "
                     "%s} before the release is deleted, or everyone goes back "
                     "to %s.",
                     name, *old != '\0' ? old : "another version", version,
                     *old != '\0' ? old : "it"));
}

static void look_at_services(const json_t *documents, const json_t *services,
                             json_t *sentences)
{
    const json_t *target;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)services, i, target) {
        look_at_service(documents, text_at(target, "service"),
                        text_at(target, "version"), sentences);
    }
}

/* ---- lists --------------------------------------------------------------- */

/* Is a list named anywhere in this value, at whatever depth a document may
 * have? */
static bool names_list(const json_t *value, const char *list, unsigned depth)
{
    const char *key;
    json_t *inner;
    size_t i;

    if (depth == 0) {
        return true; /* too deep to know: it is kept */
    }
    json_array_foreach ((json_t *)(uintptr_t)value, i, inner) {
        if (names_list(inner, list, depth - 1)) {
            return true;
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)value, key, inner) {
        if ((strcmp(key, "list") == 0 && json_is_string(inner) &&
             strcmp(json_string_value(inner), list) == 0) ||
            names_list(inner, list, depth - 1)) {
            return true;
        }
    }
    return false;
}

#define DEPTH 64u

static bool used_elsewhere(const json_t *documents, const json_t *release,
                           const char *list)
{
    const json_t *document;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)documents, i, document) {
        if (document != release && names_list(document, list, DEPTH)) {
            return true;
        }
    }
    return false;
}

static void look_at_lists(const json_t *documents, const json_t *release,
                          json_t *sentences)
{
    const json_t *document;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)documents, i, document) {
        const char *list = text_at(document, "name");

        if (strcmp(text_at(document, "kind"), "List") == 0 &&
            names_list(release, list, DEPTH) &&
            !used_elsewhere(documents, release, list)) {
            say(sentences,
                json_sprintf("List/%s: only this release asks it; it can be "
                             "deleted with it.",
                             list));
        }
    }
}

static void look_at_rules(const json_t *release, json_t *sentences)
{
    static const char *const places[] = {"deny", "allow", "match"};
    const json_t *admission = json_object_get(release, "admission");

    for (size_t i = 0; i < 3; i++) {
        size_t count = json_array_size(json_object_get(admission, places[i]));

        if (count > 0) {
            say(sentences,
                json_sprintf("Release/%s: %d %s under admission.%s decide "
                             "until it is deleted.",
                             text_at(release, "name"), (int)count,
                             count == 1 ? "rule" : "rules", places[i]));
        }
    }
}

json_t *release_residue(const char *name, const json_t *documents)
{
    const json_t *release = find(documents, "Release", name);
    json_t *sentences = json_array();
    const json_t *variant;
    size_t i;

    if (release == NULL || sentences == NULL) {
        return sentences;
    }
    look_at_services(documents, json_object_get(release, "services"),
                     sentences);
    json_array_foreach (json_object_get(release, "variants"), i, variant) {
        look_at_services(documents, json_object_get(variant, "services"),
                         sentences);
    }
    look_at_lists(documents, release, sentences);
    look_at_rules(release, sentences);
    return sentences;
}
