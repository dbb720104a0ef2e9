/* SPDX-License-Identifier: Apache-2.0
 * view.c - where a release stands, as people and programs are shown it.
 *
 * Why: verbs, lists, history and status show the same thing; its shape is
 * "Release" of call/schemas.json, and it is made here alone.
 */
#include <stdio.h>
#include <string.h>

#include "control/call/call.h"
#include "control/change/world.h"

static const char *const compat_words[] = { "stateless", "reversible",
                                            "irreversible" };
static const char *const sticky_words[] = { "none", "monotonic", "entity" };
static const char *const word_words[] = { "open", "no-admit", "baseline",
                                          "killed" };


static json_t *moment_value(int64_t ms)
{
    char text[CALL_MOMENT_SIZE];

    call_moment(ms, text);
    return json_string(text);
}

static void add_targets(json_t *into, const json_t *targets)
{
    const json_t *target;
    size_t i;

    json_array_foreach(targets, i, target) {
        const char *service =
            json_string_value(json_object_get(target, "service"));
        const char *version =
            json_string_value(json_object_get(target, "version"));

        if (service != NULL && version != NULL) {
            json_array_append_new(into,
                                  json_sprintf("%s=%s", service, version));
        }
    }
}

static json_t *services_of(const json_t *document)
{
    json_t *services = json_array();
    const json_t *variant;
    size_t i;

    add_targets(services, json_object_get(document, "services"));
    json_array_foreach(json_object_get(document, "variants"), i, variant) {
        add_targets(services, json_object_get(variant, "services"));
    }
    return services;
}

/* Verbs that the table and the state allow; asked of the machine itself. */
static json_t *verbs_allowed(const struct release_status *status,
                             const struct release_facts *facts)
{
    json_t *verbs = json_array();

    for (int i = 0; i < VERB_COUNT; i++) {
        struct release_status earlier = *status, next;
        struct release_refusal refusal;
        struct release_event event = {
            .verb = (enum release_verb)i,
            .share = i == VERB_SET_WEIGHT && status->share < GRAY_SHARE_ALL
                         ? status->share + 1
                     : i == VERB_RETREAT && status->share > 1
                         ? status->share - 1
                         : RELEASE_NO_SHARE,
            .cohort = RELEASE_COHORT_SHARE,
            .may_override = true,
            .breaks = RELEASE_UNSAID,
            .reason = "?",
            .by = "",
            .earlier = &earlier,
        };

        if (i != VERB_UNDO &&
            release_move(status, facts, &event, &next, &refusal) == 0) {
            json_array_append_new(verbs,
                                  json_string(release_verb_word(event.verb)));
        }
    }
    return verbs;
}

static json_t *next_percent(const struct release_status *status,
                            const struct release_facts *facts)
{
    uint32_t share = release_next_share(status, facts);

    return share != RELEASE_NO_SHARE ? json_real(share / 10000.0)
                                     : json_null();
}

json_t *release_view(const char *name, const struct release_status *status,
                     const json_t *document, uint64_t document_revision,
                     uint64_t revision)
{
    struct release_facts facts = { 0 };
    bool known = release_facts_read(document, &facts) == 0;
    json_t *view = json_pack(
        "{s:s,s:s,s:s,s:I,s:f,s:I,s:I,s:b,s:s,s:s,s:o,s:s,s:s,s:I}", "name",
        name, "state", release_state_word(status->state), "phase",
        release_phase_word(status->state), "share",
        (json_int_t)status->share, "percent", status->share / 10000.0, "step",
        (json_int_t)status->step, "attempt", (json_int_t)status->attempt,
        "killed", status->killed, "word",
        word_words[release_word(status) & GRAY_WORD_MASK], "completion",
        status->completion, "since", moment_value(status->since), "by",
        status->by, "reason", status->reason, "revision",
        (json_int_t)revision);

    if (view == NULL || !known) {
        return view;
    }
    json_object_set_new(view, "steps",
                        json_integer((json_int_t)facts.step_count));
    json_object_set_new(view, "nextPercent", next_percent(status, &facts));
    json_object_set_new(view, "stickiness",
                        json_string(sticky_words[facts.stickiness % 3]));
    json_object_set_new(view, "dataCompat",
                        json_string(compat_words[facts.data_compat % 3]));
    json_object_set_new(view, "leaseMs", json_integer(facts.lease_ms));
    if (facts.dimensions > 0) {
        const json_t *names = json_object_get(document, "dimensions");

        json_object_set_new(view, "dimensions",
                            json_incref((json_t *)(uintptr_t)names));
        json_object_set(view, "dimension",
                        json_array_get(names, status->dimension));
    }
    json_object_set_new(view, "services", services_of(document));
    json_object_set_new(view, "may", verbs_allowed(status, &facts));
    json_object_set_new(view, "document",
                        json_integer((json_int_t)document_revision));
    return view;
}

json_t *world_release_view(const struct world *world, const char *name)
{
    struct release_status status;
    char key[STORE_NAME_MAX + 1];
    const json_t *entry = json_object_get(world->releases, name);
    const json_t *since;

    if (entry == NULL || !world_key("Release", name, key) ||
        release_status_parse(json_object_get(entry, "status"), &status) != 0) {
        return NULL;
    }
    since = json_object_get(world->since, key);
    return release_view(name, &status,
                        json_object_get(world->documents, key),
                        (uint64_t)json_integer_value(since),
                        (uint64_t)json_integer_value(
                            json_object_get(entry, "revision")));
}

json_t *world_release_brief(const struct world *world, const char *name)
{
    static const char *const kept[] = { "state", "percent", "attempt",
                                        "killed", "word", "dimension",
                                        "revision" };
    json_t *view = world_release_view(world, name), *brief;

    if (view == NULL) {
        return NULL;
    }
    brief = json_object();
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        json_object_set(brief, kept[i], json_object_get(view, kept[i]));
    }
    json_decref(view);
    return brief;
}
