/* SPDX-License-Identifier: Apache-2.0
 * gates_drops.c - whom the errors of gates 4 and 5 would cost, in numbers.
 *
 * Why: "a tail is dropped" and "12,410 people are" are two decisions.  Where
 * somebody can count marks, each release with an error is counted, and whoever
 * means it says the number: another one shows that he means something else, or
 * that the world moved since he looked.  One number stands for the whole
 * change.
 * Read next: standing.h, ../control/marks/replay.c, ../cli/folder_marks.c.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "policy/gates.h"
#include "policy/standing.h"

/* What was found of one release. */
struct counting {
    const struct concern *concern;
    struct gray_tally tally;
    enum gray_counted counted;
    char why[160]; /* not all, or not at all */
    const char *tails[STANDING_TAILS_MAX];
    uint32_t tail_count;
};

/* ---- drops as data ------------------------------------------------------------------ */

void gray_drops_free(struct gray_drops *drops)
{
    for (size_t i = 0; i < drops->count; i++) {
        free(drops->items[i].release);
        free(drops->items[i].what);
        for (uint32_t k = 0; k < GRAY_DROP_EXAMPLES; k++) {
            free(drops->items[i].examples[k]);
        }
    }
    free(drops->items);
    *drops = (struct gray_drops){NULL, 0};
}

static const char *counted_word(enum gray_counted counted)
{
    static const char *const words[] = {"none", "atLeast", "exact"};

    return words[counted];
}

char *gray_drops_json(const struct gray_drops *drops)
{
    json_t *list = json_array();
    char *text;

    for (size_t i = 0; i < drops->count; i++) {
        const struct gray_drop *drop = &drops->items[i];
        json_t *examples = json_array();

        for (uint32_t k = 0;
             k < GRAY_DROP_EXAMPLES && drop->examples[k] != NULL; k++) {
            json_t *unit = json_string(drop->examples[k]);

            json_array_append_new(examples,
                                  unit != NULL ? unit : json_string("?"));
        }
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:s,s:I,s:I,s:s,s:b,s:o}", "release",
                            drop->release, "kind", drop->kind, "what",
                            drop->what, "marks", (json_int_t)drop->marks,
                            "atOnce", (json_int_t)drop->at_once, "counted",
                            counted_word(drop->counted), "meant", drop->meant,
                            "examples", examples));
    }
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static char *copy(struct gates *g, const char *text)
{
    char *own = strdup(text);

    if (own == NULL) {
        longjmp(*g->arena.full, 1);
    }
    return own;
}

static struct gray_drop *put_drop(struct gates *g, const char *release,
                                  const char *kind, const char *what)
{
    struct gray_drops *drops = g->drops;
    struct gray_drop *items =
        realloc(drops->items, (drops->count + 1) * sizeof(*items));

    if (items == NULL) {
        longjmp(*g->arena.full, 1);
    }
    drops->items = items;
    items[drops->count] = (struct gray_drop){.kind = kind};
    drops->count++;
    items[drops->count - 1].release = copy(g, release);
    items[drops->count - 1].what = copy(g, what);
    return &items[drops->count - 1];
}

static bool ends_in(const char *text, const char *tail)
{
    size_t length = strlen(text), own = strlen(tail);

    return length >= own && strcmp(text + length - own, tail) == 0;
}

/* Examples that end in the tail; "": that end in none. */
static void put_examples(struct gates *g, struct gray_drop *drop,
                         const struct counting *c, const char *tail)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->tally.example_count; i++) {
        const char *unit = c->tally.examples[i];
        bool fits = *tail == '\0' || ends_in(unit, tail);

        for (uint32_t k = 0; *tail == '\0' && k < c->tail_count; k++) {
            fits &= !ends_in(unit, c->tails[k]);
        }
        if (fits && count < GRAY_DROP_EXAMPLES) {
            drop->examples[count++] = copy(g, unit);
        }
    }
}

/* The first error of it: its code and what it says. */
static const struct gray_finding *first_error(const struct gates *g,
                                              const struct concern *concern)
{
    for (size_t i = concern->first; i < concern->last; i++) {
        if (g->findings->items[i].severity == GRAY_ERROR) {
            return &g->findings->items[i];
        }
    }
    return NULL;
}

static void put_drops(struct gates *g, const struct counting *c)
{
    const char *release = c->concern->old->name;
    const struct gray_finding *error = first_error(g, c->concern);
    struct gray_drop *drop;

    for (uint32_t i = 0; i < c->tail_count; i++) {
        drop = put_drop(g, release, "tail-dropped", c->tails[i]);
        drop->marks = c->tally.by_tail[i];
        drop->counted = c->counted;
        put_examples(g, drop, c, c->tails[i]);
    }
    if (error != NULL && (c->tail_count == 0 || c->tally.others > 0)) {
        drop = put_drop(g, release, error->code, error->sentence);
        drop->marks = c->tally.others;
        drop->at_once = c->tail_count == 0 ? c->tally.at_once : 0;
        drop->counted = c->counted;
        put_examples(g, drop, c, "");
    }
    if (c->concern->denies) {
        drop = put_drop(g, release, "deny-added", "ids that a deny names");
        drop->marks = drop->at_once = c->tally.denied;
        drop->counted = c->counted;
        drop->meant = true;
    }
}

/* ---- counting --------------------------------------------------------------------------- */

/* "01, 11 ..." to its parts. */
static void split_tails(struct gates *g, struct counting *c)
{
    char *text = gray_arena_copy(&g->arena, c->concern->lost_tails,
                                 strlen(c->concern->lost_tails));
    char *rest = NULL;

    for (char *tail = strtok_r(text, ", ", &rest);
         tail != NULL && c->tail_count < STANDING_TAILS_MAX;
         tail = strtok_r(NULL, ", ", &rest)) {
        if (*tail >= '0' && *tail <= '9') {
            c->tails[c->tail_count++] = tail;
        }
    }
}

static void count(struct gates *g, struct counting *c)
{
    const struct concern *concern = c->concern;
    const struct gray_counter *counter = g->options.counter;
    struct exact_question question = {g->before, g->after, concern->old,
                                      concern->now, g->options.now};

    split_tails(g, c);
    if (concern->old->stickiness == GRAY_STICKY_NONE) {
        strcpy(c->why, "it keeps no marks (stickiness: none)");
        return;
    }
    if (counter == NULL) {
        strcpy(c->why, "there is nobody here who has its marks");
        return;
    }
    g->standing = gray_standing_open(&question, c->tails, c->tail_count);
    if (g->standing == NULL) {
        strcpy(c->why, "memory is at its end");
        return;
    }
    c->counted = counter->count(counter->context, g->standing, &c->tally,
                                c->why);
    if (gray_standing_incomplete(g->standing) != NULL &&
        c->counted != GRAY_COUNTED_NONE) {
        c->counted = GRAY_COUNTED_AT_LEAST;
        snprintf(c->why, sizeof(c->why), "%s",
                 gray_standing_incomplete(g->standing));
    }
    gray_standing_close(g->standing);
    g->standing = NULL;
}

/* ---- what is said ------------------------------------------------------------------------- */

static const char *examples_of(struct gates *g, const struct counting *c)
{
    struct gray_buffer text = {.arena = &g->arena};

    for (uint32_t i = 0; i < c->tally.example_count; i++) {
        gray_buffer_text(&text, i == 0 ? " (for instance " : ", ");
        gray_buffer_text(&text, c->tally.examples[i]);
    }
    gray_buffer_text(&text, c->tally.example_count > 0 ? ")" : "");
    return text.data;
}

static const char *tails_of(struct gates *g, const struct counting *c)
{
    struct gray_buffer text = {.arena = &g->arena};
    char digits[GRAY_DIGITS];

    for (uint32_t i = 0; i < c->tail_count; i++) {
        gray_buffer_text(&text, i == 0 ? "; " : ", ");
        gray_buffer_text(&text, gray_digits(c->tally.by_tail[i], digits));
        gray_buffer_text(&text, " end in ");
        gray_buffer_text(&text, c->tails[i]);
    }
    gray_buffer_text(&text, "");
    return text.data == NULL ? "" : text.data;
}

/* What it means for them, by how the release keeps marks. */
static const char *meaning_of(struct gates *g, const struct counting *c)
{
    uint64_t held = c->tally.drops - c->tally.at_once;

    if (c->tally.drops == 0) {
        return "";
    }
    if (held == 0) {
        return ". Their marks do not hold them: all fall out at once";
    }
    return gray_arena_print(
        &g->arena,
        ". %llu of them %s in by their marks, as long as those are read%s; "
        "%llu fall out at once",
        (unsigned long long)held,
        c->concern->old->stickiness == GRAY_STICKY_ENTITY ? "are held"
                                                          : "stay",
        c->concern->old->stickiness == GRAY_STICKY_ENTITY
            ? ""
            : " (not on a host without them, nor once a cookie has run out)",
        (unsigned long long)c->tally.at_once);
}

static void say_count(struct gates *g, const struct counting *c)
{
    const struct gray_tally *tally = &c->tally;

    if (c->counted == GRAY_COUNTED_NONE) {
        gray_gate_say(g, GRAY_ADVICE, GRAY_PROBLEM_MARKS_DROP, NULL,
                      "how many units of %s that is cannot be counted: %s",
                      g->release, c->why);
        return;
    }
    if (c->concern->errors > 0 && tally->marks > 0) {
        gray_gate_say(g, tally->drops > 0 ? GRAY_WARNING : GRAY_ADVICE,
                      GRAY_PROBLEM_MARKS_DROP, NULL,
                      "%s%llu of the %llu units that are in by %s would not "
                      "be let in any more%s%s%s%s%s",
                      c->counted == GRAY_COUNTED_EXACT ? "" : "at least ",
                      (unsigned long long)tally->drops,
                      (unsigned long long)tally->marks, g->release,
                      tails_of(g, c), examples_of(g, c), meaning_of(g, c),
                      c->counted == GRAY_COUNTED_EXACT ? "" : ". Not all: ",
                      c->counted == GRAY_COUNTED_EXACT ? "" : c->why);
    }
    if (tally->denied > 0) {
        gray_gate_say(g, GRAY_WARNING, GRAY_PROBLEM_MARKS_DROP, NULL,
                      "%llu units that are in by %s are named by a deny",
                      (unsigned long long)tally->denied, g->release);
    }
}

/* ---- what may drop ------------------------------------------------------------------------- */

static void forgive(struct gates *g, const struct concern *concern)
{
    for (size_t i = concern->first; i < concern->last; i++) {
        struct gray_finding *finding = &g->findings->items[i];

        if (finding->severity == GRAY_ERROR) {
            finding->severity = GRAY_WARNING;
            g->findings->errors--;
        }
    }
}

static bool all_are_kept(const struct gates *g)
{
    for (uint32_t i = 0; i < g->concern_count; i++) {
        size_t errors = 0;

        for (size_t k = g->concerns[i].first; k < g->concerns[i].last; k++) {
            errors += g->findings->items[k].severity == GRAY_ERROR;
        }
        if (errors != g->concerns[i].errors) {
            return false; /* more than findings have room for */
        }
    }
    return true;
}

/* No marks are kept: so many drop, which is none. */
static bool is_known(const struct counting *c)
{
    return c->counted == GRAY_COUNTED_EXACT ||
           c->concern->old->stickiness == GRAY_STICKY_NONE;
}

static void settle(struct gates *g, const struct counting *all)
{
    const struct counting *unknown = NULL;
    uint64_t drops = 0;

    for (uint32_t i = 0; i < g->concern_count; i++) {
        if (all[i].concern->errors > 0) {
            drops += all[i].tally.drops;
            unknown = is_known(&all[i]) ? unknown : &all[i];
        }
    }
    if (unknown != NULL || !all_are_kept(g)) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_DROP_COUNT, NULL,
                      "%llu units were allowed to drop, and %s%llu would: the "
                      "exact number is not known (%s), so nothing is allowed",
                      (unsigned long long)g->options.drop,
                      drops > 0 ? "at least " : "", (unsigned long long)drops,
                      unknown != NULL ? unknown->why : "too many findings");
    } else if (drops != g->options.drop) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_DROP_COUNT, NULL,
                      "%llu units were allowed to drop, and %llu would; look "
                      "whom that means, and allow exactly so many",
                      (unsigned long long)g->options.drop,
                      (unsigned long long)drops);
    } else {
        for (uint32_t i = 0; i < g->concern_count; i++) {
            forgive(g, &g->concerns[i]);
        }
    }
}

void gray_gate_drops(struct gates *g)
{
    struct counting *all = gray_arena_array(&g->arena, g->concern_count,
                                            sizeof(*all));

    for (uint32_t i = 0; i < g->concern_count; i++) {
        const struct concern *concern = &g->concerns[i];

        all[i].concern = concern;
        g->release = concern->old->name;
        g->document = concern->document;
        if (g->drops != NULL || g->options.allow_drop) {
            count(g, &all[i]);
            say_count(g, &all[i]);
        }
        if (g->drops != NULL) {
            put_drops(g, &all[i]);
        }
    }
    if (g->options.allow_drop) {
        settle(g, all);
    }
}
