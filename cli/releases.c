/* SPDX-License-Identifier: Apache-2.0
 * releases.c - releases of a snapshot by name, as rows and as JSON.
 *
 * Why: publish, plan and status say the same about a release: how large its
 * share is, which versions it leads to, and what its scope word says.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

struct gray_str release_name(const struct gray_snapshot *snapshot,
                             uint32_t release)
{
    const struct gray_release *record = gray_release_at(snapshot, release);

    return record != NULL ? gray_text(snapshot, record->name)
                          : (struct gray_str) { "", 0 };
}

uint32_t release_find(const struct gray_snapshot *snapshot, const char *name)
{
    struct gray_str text = { name, (uint32_t)strlen(name) };
    uint32_t number = gray_find_release(snapshot, text);
    const char *names[GRAY_RELEASES_MAX];
    size_t count = 0;

    if (number != GRAY_NONE) {
        return number;
    }
    for (uint32_t i = 0; i < snapshot->policy->releases.count &&
                         i < GRAY_RELEASES_MAX; i++) {
        struct gray_str other = release_name(snapshot, i);
        char *copy = strndup(other.data, other.length);

        if (copy != NULL) {
            names[count++] = copy;
        }
    }
    complain("no such release: %s", name);
    words_suggest(name, names, count);
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)names[i]);
    }
    return GRAY_NONE;
}

const char *word_text(uint32_t word)
{
    static const char *const texts[] = { "open", "no-admit", "baseline",
                                         "killed" };

    return texts[word & GRAY_WORD_MASK];
}

/* A compiler may have counted words in another way than the folder does, so
 * the scope decides, not the number. */
uint32_t word_of_release(const struct gray_control *control,
                         const struct gray_release *release)
{
    uint32_t count = control != NULL ? __atomic_load_n(&control->word_count,
                                                       __ATOMIC_ACQUIRE)
                                     : 0;

    for (uint32_t i = 0; i < count && i < GRAY_WORDS_MAX; i++) {
        const struct gray_scope_word *word = &control->words[i];

        if (__atomic_load_n(&word->scope, __ATOMIC_RELAXED) ==
            release->scope) {
            return __atomic_load_n(&word->word, __ATOMIC_RELAXED);
        }
    }
    return GRAY_WORD_OPEN;
}

/* "cart=v2 order=v2": what the release governs; with a variant "cart=v2:b". */
static char *services_text(const struct gray_snapshot *snapshot,
                           const struct gray_release *release)
{
    const uint32_t *numbers =
        (const uint32_t *)(const void *)(snapshot->base +
                                         snapshot->policy->numbers.offset);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    for (uint32_t i = 0; out != NULL && i < release->routes.count; i++) {
        const struct gray_route *route =
            gray_route_at(snapshot, numbers[release->routes.first + i]);
        const struct gray_service *service =
            route != NULL ? gray_service_at(snapshot, route->service) : NULL;
        const struct gray_variant *variant =
            route != NULL ? gray_variant_at(snapshot, release->variants.first +
                                                  route->variant)
                          : NULL;
        struct gray_str name, version, arm;

        if (service == NULL || variant == NULL) {
            continue;
        }
        name = gray_text(snapshot, service->name);
        version = gray_text(snapshot, route->version);
        arm = gray_text(snapshot, variant->name);
        fprintf(out, "%s%.*s=%.*s%s%.*s", i > 0 ? " " : "", (int)name.length,
                name.data, (int)version.length, version.data,
                arm.length > 0 ? ":" : "", (int)arm.length, arm.data);
    }
    if (out != NULL) {
        fclose(out);
    }
    return text;
}

/* Snapshots keep priorities in an order without signs. */
static int priority_of(const struct gray_release *release)
{
    return (int)((int64_t)release->priority - INT64_C(0x80000000));
}

static const char *compat_text(uint32_t value)
{
    static const char *const texts[] = { "stateless", "reversible",
                                         "irreversible" };

    return value < 3 ? texts[value] : "?";
}

static const char *stickiness_text(uint32_t value)
{
    static const char *const texts[] = { "none", "monotonic", "entity" };

    return value < 3 ? texts[value] : "?";
}

json_t *releases_json(const struct gray_snapshot *snapshot,
                      const struct gray_control *control)
{
    json_t *rows = json_array();

    for (uint32_t i = 0; i < snapshot->policy->releases.count; i++) {
        const struct gray_release *release = gray_release_at(snapshot, i);
        CLI_CLEANUP(string_freep) char *services =
            services_text(snapshot, release);
        uint32_t word = word_of_release(control, release);

        json_array_append_new(
            rows,
            json_pack("{s:o,s:i,s:I,s:f,s:s,s:b,s:s,s:s,s:s}", "release",
                      json_str(gray_text(snapshot, release->name)), "priority",
                      priority_of(release), "share",
                      (json_int_t)release->share, "percent",
                      release->share / 10000.0, "word", word_text(word),
                      "wordOfHost", (word & GRAY_WORD_HOST) != 0,
                      "stickiness", stickiness_text(release->stickiness),
                      "dataCompat", compat_text(release->data_compat),
                      "services", services != NULL ? services : ""));
    }
    return rows;
}

void releases_print(const struct gray_snapshot *snapshot,
                    const struct gray_control *control, FILE *out)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(6);
    char share[32];

    table_right(table, 1);
    table_cell(table, "RELEASE");
    table_cell(table, "SHARE");
    table_cell(table, "WORD");
    table_cell(table, "STICKINESS");
    table_cell(table, "DATA");
    table_cell(table, "SERVICES");
    for (uint32_t i = 0; i < snapshot->policy->releases.count; i++) {
        const struct gray_release *release = gray_release_at(snapshot, i);
        CLI_CLEANUP(string_freep) char *services =
            services_text(snapshot, release);
        struct gray_str name = gray_text(snapshot, release->name);
        uint32_t word = word_of_release(control, release);

        table_cell(table, "%.*s", (int)name.length, name.data);
        table_cell(table, "%s", share_text(release->share, share));
        table_cell(table, "%s%s", word_text(word),
                   (word & GRAY_WORD_HOST) != 0 ? " (host)" : "");
        table_cell(table, "%s", stickiness_text(release->stickiness));
        table_cell(table, "%s", compat_text(release->data_compat));
        table_cell(table, "%s", services != NULL ? services : "");
    }
    table_print(table, out);
}
