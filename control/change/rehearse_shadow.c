/* SPDX-License-Identifier: Apache-2.0
 * rehearse_shadow.c - the steps of a rehearsal, each looked at.
 *
 * Why: what is tried is the real thing (the word in this host's folder and its
 * readers' acknowledgement, the marks thread, its disk, the engine), on a scope
 * that no request ever comes to: a release of the same stickiness, durability
 * and data, whose word and table are its own. Its units have names of this
 * rehearsal alone, so that one may be said again.
 * Read next: rehearse.c, settle_marks.c (the same for a release).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/change/rehearse.h"
#include "control/change/settle.h"
#include "control/marks/marks.h"

struct shadow {
    struct rehearsal *rehearsal;
    struct grayd *grayd;
    struct world *world;
    const char *name, *actor;
    char own[GRAY_NAME_MAX + sizeof(REHEARSE_SUFFIX)];
    char tag[33];         /* of this rehearsal's units */
    uint64_t scope;
    uint32_t lease_ms;
    struct gray_folder folder;
    int marks_fd;
    struct gray_marks marks;
    struct build build;
    struct gray_snapshot policy;
    uint32_t number;      /* of the release in it */
    uint32_t attempt;
    json_t *steps;
    int64_t began;        /* of this step */
    struct gray_problem problem;
};

static bool step(struct shadow *shadow, const char *word, bool good,
                 json_t *sentence)
{
    int64_t now = settle_now();

    json_array_append_new(
        shadow->steps, json_pack("{s:s,s:b,s:o,s:I}", "step", word, "good",
                                 (int)good, "sentence", sentence, "ms",
                                 (json_int_t)(now - shadow->began)));
    shadow->began = now;
    return good;
}

static bool failed(struct shadow *shadow, const char *word)
{
    return step(shadow, word, false,
                json_string(shadow->problem.sentence[0] != '\0'
                                ? shadow->problem.sentence
                                : "it took too long"));
}

/* ---- the shadow -------------------------------------------------------------- */

/* What of the document matters to marks, and the share of everybody. */
static json_t *shadow_document(const json_t *document)
{
    static const char *const kept[] = {
        "kind", "name", "services", "variants", "priority", "stickiness",
        "dataCompat", "durability", "admissionLease", "strictKey"};
    json_t *made = json_pack("{s:{s:s},s:{s:i}}", "unit", "header",
                             "x-gray-rehearsal", "admission", "share", 100);

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        json_t *value = json_object_get(document, kept[i]);

        if (value != NULL) {
            json_object_set(made, kept[i], value);
        }
    }
    return made;
}

static int compile(struct shadow *shadow)
{
    struct release_status status = {
        .state = RELEASE_PROMOTED, .share = GRAY_SHARE_ALL,
        .attempt = shadow->attempt, .completion = "Promoted",
    };
    struct gray_compile_options options = { .revision =
                                                shadow->world->revision,
                                            .now = grayd_now() };
    struct gray_str name = { shadow->name, (uint32_t)strlen(shadow->name) };
    struct gray_release *release;

    build_clear(&shadow->build);
    if (world_put_release(shadow->world, shadow->name, &status) != 0 ||
        build_check(&shadow->build, shadow->world, NULL) != 0 ||
        build_compile(&shadow->build, &options) != 0 ||
        gray_snapshot_open(&shadow->policy, shadow->build.compiled.policy.data,
                           shadow->build.compiled.policy.size,
                           &shadow->problem) != 0) {
        snprintf(shadow->problem.sentence, sizeof(shadow->problem.sentence),
                 "No shadow can be compiled: %.100s",
                 shadow->build.findings.count > 0
                     ? shadow->build.findings.items[0].sentence
                     : "memory is at its end");
        return -1;
    }
    shadow->number = gray_find_release(&shadow->policy, name);
    if (shadow->number == GRAY_NONE) {
        return -1;
    }
    /* From here on it is another release: its word and marks are its own. */
    release = (struct gray_release *)(uintptr_t)gray_release_at(
        &shadow->policy, shadow->number);
    release->scope = shadow->scope;
    release->word = gray_word_number(&shadow->folder, shadow->scope);
    return release->word != GRAY_NONE ? 0 : -1;
}

static int map_table(struct shadow *shadow)
{
    const struct gray_release *release =
        gray_release_at(&shadow->policy, shadow->number);
    uint32_t table = __atomic_load_n(
        &shadow->folder.control->words[release->word].table,
        __ATOMIC_ACQUIRE);

    gray_mark_table_close(&shadow->marks.table);
    shadow->marks = (struct gray_marks) { 0 };
    return table == 0 ? -1
                      : gray_mark_table_open(&shadow->marks.table,
                                             shadow->marks_fd, shadow->scope,
                                             table, geteuid(), false,
                                             &shadow->problem);
}

static int prepare(struct shadow *shadow)
{
    const struct gray_release *release =
        gray_release_at(&shadow->policy, shadow->number);
    struct marks_scope *scope = &shadow->rehearsal->shadow;
    int error;

    *scope = (struct marks_scope) {
        .scope = shadow->scope,
        .attempt = shadow->attempt,
        .stickiness = release->stickiness,
        .durability = release->durability,
        .flags = release->mark_flags & GRAY_MARKS_WIDE,
        .variants = (uint8_t)release->variants.count,
    };
    snprintf(scope->name, sizeof(scope->name), "%.*s", (int)GRAY_NAME_MAX,
             shadow->own);
    error = rehearse_prepare(shadow->rehearsal, true);
    if (error != 0) {
        shadow->problem = shadow->rehearsal->problem;
    }
    return error;
}

static int open_shadow(struct shadow *shadow)
{
    shadow->scope = gray_hash_scope(shadow->own, strlen(shadow->own));
    if (gray_folder_open(&shadow->folder, shadow->grayd->options.runtime, true,
                         &shadow->problem) != 0) {
        return -1;
    }
    shadow->marks_fd = openat(shadow->folder.dirfd, "marks",
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return shadow->marks_fd < 0 || compile(shadow) != 0 ||
                   gray_word_set(&shadow->folder, shadow->scope,
                                 GRAY_WORD_OPEN, NULL,
                                 &shadow->problem) != 0 ||
                   prepare(shadow) != 0 ||
                   marks_open_scope(shadow->grayd->marks, shadow->scope,
                                    REHEARSE_WAIT_MS, &shadow->problem) != 0 ||
                   map_table(shadow) != 0
               ? -1
               : 0;
}

static void close_shadow(struct shadow *shadow)
{
    gray_mark_table_close(&shadow->marks.table);
    build_clear(&shadow->build);
    if (shadow->marks_fd >= 0) {
        close(shadow->marks_fd);
    }
    if (shadow->folder.control != NULL) {
        gray_folder_close(&shadow->folder);
    }
}

/* ---- asking it ----------------------------------------------------------------- */

static struct gray_mark look_up(void *context,
                                const struct gray_mark_query *query)
{
    const struct shadow *shadow = context;
    struct gray_mark none = { .state = GRAY_MARK_UNKNOWN };
    uint64_t value = 0;

    if (query->step != GRAY_STEP_MARK) {
        none.state = GRAY_MARK_ABSENT;
        return none;
    }
    switch (gray_mark_find(&shadow->marks,
                           gray_mark_key(shadow->marks.table.file,
                                         query->space, query->unit),
                           &value)) {
    case GRAY_FIND_FOUND:
        return gray_mark_of(shadow->marks.table.file, value);
    case GRAY_FIND_ABSENT:
        none.state = GRAY_MARK_ABSENT;
        return none;
    default:
        return none;
    }
}

static void unit_name(const struct shadow *shadow, const char *kind,
                      unsigned number, char ret_unit[80])
{
    snprintf(ret_unit, 80, "%.32s-%s-%u", shadow->tag, kind, number);
}

/* How many of these units are in, by the engine. */
static unsigned count_in(struct shadow *shadow, const char *kind,
                         unsigned count)
{
    struct gray_view view = {
        .policy = &shadow->policy,
        .words = shadow->folder.control->words,
        .word_count = GRAY_WORDS_MAX,
    };
    unsigned in = 0;

    for (unsigned i = 0; i < count; i++) {
        struct gray_verdict verdict;
        struct gray_input input;
        char unit[80];

        unit_name(shadow, kind, i, unit);
        gray_input_begin(&input, &shadow->policy, grayd_now(), 0);
        gray_input_unit(&input,
                        (struct gray_str) { unit, (uint32_t)strlen(unit) });
        gray_decide_release(&view, shadow->number, &input, look_up, shadow,
                            &verdict, NULL);
        in += verdict.in;
    }
    return in;
}

static int put_marks(struct shadow *shadow, const char *kind, unsigned count)
{
    struct marks_put puts[REHEARSE_MARKED];
    char units[REHEARSE_MARKED][80];
    json_t *answer = NULL;
    int error;

    for (unsigned i = 0; i < count; i++) {
        unit_name(shadow, kind, i, units[i]);
        puts[i] = (struct marks_put) { .unit = units[i],
                                       .state = GRAY_SLOT_IN };
    }
    error = marks_put(shadow->grayd->marks, shadow->scope, puts, count, false,
                      shadow->actor, "rehearsal", &answer, &shadow->problem);
    if (error == 0 && json_integer_value(json_object_get(answer, "put")) !=
                          (json_int_t)count) {
        snprintf(shadow->problem.sentence, sizeof(shadow->problem.sentence),
                 "Not every mark was taken.");
        error = -1;
    }
    json_decref(answer);
    return error;
}

/* ---- the steps ------------------------------------------------------------------ */

static bool admit(struct shadow *shadow)
{
    unsigned in, also;

    if (put_marks(shadow, "in", REHEARSE_MARKED) != 0) {
        return failed(shadow, "admit");
    }
    in = count_in(shadow, "in", REHEARSE_MARKED);
    also = count_in(shadow, "first", REHEARSE_NEW);
    return step(shadow, "admit",
                in == REHEARSE_MARKED && also == REHEARSE_NEW,
                json_sprintf("%u of %u marked units are in, %u of %u new ones "
                             "would come in",
                             in, REHEARSE_MARKED, also, REHEARSE_NEW));
}

/* The word, until readers have it or their time is over. */
static size_t set_word(struct shadow *shadow, uint32_t word)
{
    uint32_t patience =
        shadow->lease_ms > 0 ? shadow->lease_ms : CONTROL_SETTLE_MS;
    int64_t end = settle_now() + patience;
    struct timespec pause = { .tv_nsec = SETTLE_POLL_NS };
    uint64_t epoch;
    size_t late = 0;

    if (gray_word_set(&shadow->folder, shadow->scope, word, NULL,
                      &shadow->problem) != 0) {
        return SIZE_MAX;
    }
    epoch = __atomic_load_n(&shadow->folder.control->word_epoch,
                            __ATOMIC_ACQUIRE);
    do {
        struct gray_problem problem = { 0 };
        size_t live = 0;
        json_t *rows = publisher_laggards(shadow->grayd->options.runtime, 0,
                                          epoch, &live, &problem);

        late = rows != NULL ? json_array_size(rows) : 0;
        json_decref(rows);
        if (late > 0) {
            nanosleep(&pause, NULL);
        }
    } while (late > 0 && settle_now() < end);
    return late;
}

static bool freeze(struct shadow *shadow)
{
    size_t late = set_word(shadow, GRAY_WORD_NO_ADMIT);
    unsigned in, also;

    if (late == SIZE_MAX ||
        marks_close_scope(shadow->grayd->marks, shadow->scope,
                          REHEARSE_WAIT_MS, &shadow->problem) != 0) {
        return failed(shadow, "freeze");
    }
    in = count_in(shadow, "in", REHEARSE_MARKED);
    also = count_in(shadow, "second", REHEARSE_NEW);
    return step(shadow, "freeze",
                in == REHEARSE_MARKED && also == 0 &&
                    (late == 0 || shadow->lease_ms > 0),
                json_sprintf("%u of %u marked units stay in, %u of %u new ones "
                             "come in, %zu readers did not acknowledge%s",
                             in, REHEARSE_MARKED, also, REHEARSE_NEW, late,
                             late > 0 && shadow->lease_ms > 0
                                 ? " before their lease ran out"
                                 : ""));
}

static bool revoke_all(struct shadow *shadow)
{
    struct marks_revoke what = { .scope = shadow->scope, .cohort = MARKS_ALL,
                                 .attempt = shadow->attempt,
                                 .actor = shadow->actor,
                                 .reason = "rehearsal" };
    int64_t end = settle_now() + REHEARSE_WAIT_MS;
    struct timespec pause = { .tv_nsec = SETTLE_POLL_NS };
    uint64_t id;

    if (marks_revoke(shadow->grayd->marks, &what, &id, &shadow->problem) !=
        0) {
        return false;
    }
    while (marks_busy(shadow->grayd->marks, shadow->scope) &&
           settle_now() < end) {
        nanosleep(&pause, NULL);
    }
    return !marks_busy(shadow->grayd->marks, shadow->scope);
}

static bool rollback(struct shadow *shadow)
{
    size_t late = set_word(shadow, GRAY_WORD_BASELINE);
    unsigned in = count_in(shadow, "in", REHEARSE_MARKED);

    if (late == SIZE_MAX || !revoke_all(shadow)) {
        return failed(shadow, "rollback");
    }
    /* By their marks alone, as if the word was open. */
    gray_word_set(&shadow->folder, shadow->scope, GRAY_WORD_OPEN, NULL,
                  &shadow->problem);
    if (map_table(shadow) != 0) {
        return failed(shadow, "rollback");
    }
    {
        unsigned marked = count_in(shadow, "in", REHEARSE_MARKED);

        gray_word_set(&shadow->folder, shadow->scope, GRAY_WORD_BASELINE, NULL,
                      &shadow->problem);
        return step(shadow, "rollback", in == 0 && marked == 0,
                    json_sprintf("%u of %u marked units were still in with the "
                                 "word, %u after their marks were revoked",
                                 in, REHEARSE_MARKED, marked));
    }
}

static bool thaw(struct shadow *shadow)
{
    unsigned in, also;

    shadow->attempt++;
    if (compile(shadow) != 0 || prepare(shadow) != 0 ||
        marks_open_scope(shadow->grayd->marks, shadow->scope,
                         REHEARSE_WAIT_MS, &shadow->problem) != 0 ||
        set_word(shadow, GRAY_WORD_OPEN) == SIZE_MAX ||
        map_table(shadow) != 0 ||
        put_marks(shadow, "again", REHEARSE_NEW) != 0) {
        return failed(shadow, "thaw");
    }
    in = count_in(shadow, "in", REHEARSE_MARKED);
    also = count_in(shadow, "third", REHEARSE_NEW);
    return step(shadow, "thaw",
                in == REHEARSE_MARKED && also == REHEARSE_NEW,
                json_sprintf("in the next attempt %u of %u units come in "
                             "again, and %u of %u new ones",
                             in, REHEARSE_MARKED, also, REHEARSE_NEW));
}

json_t *rehearse_steps(struct rehearsal *rehearsal, struct world *world)
{
    const char *name = rehearsal->call->name;
    struct shadow shadow = { .rehearsal = rehearsal,
                             .grayd = rehearsal->grayd,
                             .world = world,
                             .name = name,
                             .actor = rehearsal->call->identity.name,
                             .attempt = 1,
                             .marks_fd = -1,
                             .folder = { .dirfd = -1 },
                             .steps = json_array(),
                             .began = settle_now() };
    json_t *document = shadow_document(world_document(world, "Release", name));
    struct release_facts facts;

    snprintf(shadow.own, sizeof(shadow.own), "%.63s" REHEARSE_SUFFIX,
             name);
    grayd_random_hex(shadow.tag);
    if (document == NULL || release_facts_read(document, &facts) != 0 ||
        world_put(world, "Release", name, document) != 0 ||
        open_shadow(&shadow) != 0) {
        rehearsal->problem = shadow.problem;
        json_decref(shadow.steps);
        shadow.steps = NULL;
    } else {
        shadow.lease_ms = facts.lease_ms;
        (void)(admit(&shadow) && freeze(&shadow) && rollback(&shadow) &&
               thaw(&shadow));
        set_word(&shadow, GRAY_WORD_BASELINE); /* nobody ever asks it */
    }
    rehearse_prepare(rehearsal, false);
    close_shadow(&shadow);
    json_decref(document);
    return shadow.steps;
}
