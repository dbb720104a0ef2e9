/* SPDX-License-Identifier: Apache-2.0
 * agree.c - the engine with its index, without it, and brute force agree.
 *
 * Why: three ways to one answer; where they part, one is wrong.  Random
 * policies go as JSON through documents, checks and compiler; random requests
 * through gray_decide() twice and through the evaluator that only knows the
 * model, with marks and scope words.  A run that met a condition too seldom
 * fails too: it proved nothing.
 *
 *   agree [--policies N] [--requests M] [--seed S] [--first P] [--hits H]
 *   agree --write DIR [--policies N] [--requests M]
 *       policy-P.json, requests-P.jsonl and explain-P.jsonl for others to
 *       compare with
 * Read next: agree_scene.c, ../engine/brute.c; agree_programs.c (libgray and
 * `gray explain`).
 */
#include <stdlib.h>
#include <string.h>

#include "tests/story/agree.h"

struct options {
    uint32_t policies, first;
    uint64_t requests, seed, hits;
    const char *folder;
};

struct totals {
    uint64_t policies, requests, refused, differences, admitted, lanes;
    uint64_t counts[BRUTE_OPS][2];
    uint64_t reasons[64], records[3]; /* of every release that was asked */
};

/* ---- marks -------------------------------------------------------------- */

/* What was recorded of a unit, as a pure function: mostly nothing. */
static struct gray_mark recorded(uint32_t release, const char *unit,
                                 uint32_t length, bool evidence,
                                 uint8_t space)
{
    static const uint8_t states[] = {
        GRAY_MARK_IN,      GRAY_MARK_OUT,  GRAY_MARK_REVOKED,
        GRAY_MARK_UNKNOWN, GRAY_MARK_HOLD, GRAY_MARK_IN,
        GRAY_MARK_PENDING, GRAY_MARK_CLOSED};
    static const uint8_t closed[] = {0, GRAY_REASON_LEASE_OVER,
                                     GRAY_REASON_MARKS_CLOSED,
                                     GRAY_REASON_NOT_DURABLE};
    struct gray_mark mark = {GRAY_MARK_ABSENT, 0, 0, 0};
    uint64_t h = UINT64_C(1469598103934665603) + release * 2 + evidence +
                 space * UINT64_C(977);
    uint32_t i;

    for (i = 0; i < length; i++) {
        h = (h ^ (unsigned char)unit[i]) * UINT64_C(1099511628211);
    }
    h ^= h >> 29;
    if (h % 20 < sizeof(states)) {
        mark.state = states[h % 20];
        mark.variant = (uint8_t)(h >> 8 & 3);
        if (mark.state == GRAY_MARK_CLOSED) {
            mark.variant = closed[mark.variant];
        }
        mark.attempt = (uint16_t)(h >> 16 & 1);
    }
    return mark;
}

static struct gray_mark engine_mark(void *context,
                                    const struct gray_mark_query *query)
{
    (void)context;
    return recorded(query->release, query->unit.data, query->unit.length,
                    query->step == GRAY_STEP_EVIDENCE, query->space);
}

static struct gray_mark brute_recorded(const void *context, uint32_t release,
                                       const char *unit, bool evidence,
                                       uint8_t space)
{
    (void)context;
    return recorded(release, unit, (uint32_t)strlen(unit), evidence, space);
}

static void draw_words(struct scene *s, struct dice *d)
{
    uint32_t i;

    for (i = 0; i < s->model->release_count; i++) {
        s->word_of[i] =
            dice_one_in(d, 5) ? (uint8_t)dice_below(d, 4) : GRAY_WORD_OPEN;
        s->words[i].scope = gray_release_at(&s->snapshots[0], i)->scope;
        s->words[i].word =
            s->word_of[i] | (dice_one_in(d, 2) ? GRAY_WORD_HOST : 0);
        s->words[i].epoch = 1;
    }
    for (i = 0; i < 2; i++) {
        s->views[i].words = s->words;
        s->views[i].word_count = s->model->release_count;
    }
    s->brute.words = s->word_of;
    s->brute.marks = brute_recorded;
}

static void count_verdicts(struct totals *totals,
                           const struct brute_answer *wanted)
{
    uint32_t i;

    for (i = 0; i < BRUTE_RELEASES; i++) {
        if (wanted->verdicts[i].asked) {
            totals->reasons[wanted->verdicts[i].reason & 63]++;
            totals->records[wanted->verdicts[i].record]++;
        }
    }
}

/* One request three ways. */
static bool ask(struct scene *scene, const struct invented *in,
                struct totals *totals)
{
    static struct gray_trace trace;
    static struct gray_input input;
    struct gray_colour colours[2];
    struct brute_answer wanted;
    uint32_t entrance = scene_entrance(scene, in->entrance), i;
    bool same = true;

    brute_decide(&scene->brute, &in->request, entrance, &wanted);
    trace.step_count = trace.verdict_count = 0;
    trace.truncated = false;
    for (i = 0; i < 2; i++) {
        scene_feed(&input, &scene->snapshots[i], &in->request);
        gray_decide(&scene->views[i], entrance, &input, engine_mark, NULL,
                    &colours[i], i == 1 ? &trace : NULL);
        same = same && compare_colour(scene, i, &colours[i], &wanted);
    }
    same = same && compare_trace(scene, &trace, &wanted);
    totals->requests++;
    count_verdicts(totals, &wanted);
    totals->admitted += wanted.arm_count != 0;
    totals->lanes += wanted.lane != GRAY_NONE;
    if (!same) {
        totals->differences++;
        fprintf(stderr, "with index:\n");
        compare_show(scene, &colours[0], &trace, &wanted);
        fprintf(stderr, "without:\n");
        compare_show(scene, &colours[1], &trace, &wanted);
        invent_write(in, stderr);
    }
    return same;
}

/* ---- writing for others ------------------------------------------------- */

static FILE *create(const char *folder, const char *what, uint32_t number,
                    const char *ending)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s-%04u.%s", folder, what, number, ending);
    file = fopen(path, "w");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    return file;
}

static void write_scene(const struct scene *scene, const struct text *policy,
                        const struct options *options, uint32_t number,
                        struct dice *d)
{
    static char line[AGREE_LINE_BYTES];
    static struct invented in;
    FILE *file = create(options->folder, "policy", number, "json");
    FILE *requests = create(options->folder, "requests", number, "jsonl");
    FILE *answers = create(options->folder, "explain", number, "jsonl");
    uint64_t i, each = options->requests / options->policies;
    uint32_t entrance;

    fwrite(policy->data, 1, policy->length, file);
    fclose(file);
    for (i = 0; i < each; i++) {
        entrance = scene_invent(scene, &in, d);
        scene_explain(scene, &in, entrance, line);
        invent_write(&in, requests);
        fprintf(answers, "%s\n", line);
    }
    fclose(requests);
    fclose(answers);
}

/* ---- the run ------------------------------------------------------------ */

static bool run_policy(const struct options *options, uint32_t number,
                       struct text *policy, struct totals *totals)
{
    static struct scene scene;
    static struct invented in;
    struct dice d = {options->seed * UINT64_C(1000003) + number};
    uint64_t i, each = options->requests / options->policies;
    uint32_t op;
    bool same = true;

    if (!scene_open(&scene, policy, &d, &totals->refused)) {
        return false;
    }
    totals->policies++;
    if (options->folder != NULL) {
        write_scene(&scene, policy, options, number, &d);
    } else {
        draw_words(&scene, &d);
        for (i = 0; i < each && same; i++) {
            invent_request(&in, &d);
            same = ask(&scene, &in, totals);
        }
        if (!same) {
            fprintf(stderr, "agree: policy %u of seed %llu:\n%s\n", number,
                    (unsigned long long)options->seed, policy->data);
        }
    }
    for (op = 0; op < BRUTE_OPS; op++) {
        totals->counts[op][0] += scene.brute.counts[op][0];
        totals->counts[op][1] += scene.brute.counts[op][1];
    }
    scene_close(&scene);
    return same;
}

/* Every way that a mark, a stage or a word has to decide. */
static bool check_reasons(const struct totals *totals, uint64_t hits)
{
    static const uint8_t reasons[] = {
        GRAY_REASON_ALLOW,        GRAY_REASON_MARK,
        GRAY_REASON_COOKIE,       GRAY_REASON_DENY,
        GRAY_REASON_MARK_OUT,     GRAY_REASON_REVOKED,
        GRAY_REASON_MARK_UNKNOWN, GRAY_REASON_NO_ADMIT,
        GRAY_REASON_STOPPED,      GRAY_REASON_KILLED,
        GRAY_REASON_MARK_PENDING, GRAY_REASON_MARK_MISSING,
        GRAY_REASON_MARK_HOLD,    GRAY_REASON_ALIAS,
        GRAY_REASON_MARKS_CLOSED, GRAY_REASON_LEASE_OVER};
    bool enough = totals->records[GRAY_MARK_IN] >= hits &&
                  totals->records[GRAY_MARK_OUT] >= hits;
    size_t i;

    printf("%llu recorded in, %llu out\n",
           (unsigned long long)totals->records[GRAY_MARK_IN],
           (unsigned long long)totals->records[GRAY_MARK_OUT]);
    for (i = 0; i < sizeof(reasons); i++) {
        uint64_t count = totals->reasons[reasons[i]];

        printf("%-14s %10llu\n",
               gray_reason_code((enum gray_reason)reasons[i]),
               (unsigned long long)count);
        if (count < hits) {
            fprintf(stderr, "agree: reason %s was met too seldom\n",
                    gray_reason_code((enum gray_reason)reasons[i]));
            enough = false;
        }
    }
    return enough;
}

/* Every condition, found true and found false. */
static bool check_counts(const struct totals *totals, uint64_t hits)
{
    uint32_t op;
    bool enough = true;

    for (op = GRAY_CONDITION_PRESENT; op <= GRAY_CONDITION_TIME; op++) {
        printf("%-10s %10llu true %10llu false\n", gray_condition_word(op),
               (unsigned long long)totals->counts[op][1],
               (unsigned long long)totals->counts[op][0]);
        if (totals->counts[op][0] < hits || totals->counts[op][1] < hits) {
            fprintf(stderr, "agree: %s was met too seldom\n",
                    gray_condition_word(op));
            enough = false;
        }
    }
    return enough;
}

static bool read_options(struct options *o, int argc, char **argv)
{
    int i;

    for (i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--write") == 0) {
            o->folder = argv[i + 1];
        } else if (strcmp(argv[i], "--policies") == 0) {
            o->policies = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--first") == 0) {
            o->first = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--requests") == 0) {
            o->requests = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            o->seed = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--hits") == 0) {
            o->hits = strtoull(argv[i + 1], NULL, 10);
        } else {
            return false;
        }
    }
    return i == argc && o->policies > 0 && o->requests >= o->policies;
}

int main(int argc, char **argv)
{
    struct options options = {1000, 0, 1000000, 1, 1000, NULL};
    static struct totals totals;
    struct text policy = {NULL, 0, 0};
    bool good = true;
    uint32_t i;

    if (!read_options(&options, argc, argv)) {
        fprintf(stderr, "usage: agree [--write DIR] [--policies N] [--requests "
                        "M] [--seed S] [--first P] [--hits H]\n");
        return 2;
    }
    for (i = 0; i < options.policies && totals.differences < 3; i++) {
        good &= run_policy(&options, options.first + i, &policy, &totals);
    }
    free(policy.data);
    printf(
        "%llu policies (%llu drawn and refused), %llu requests, %llu "
        "admitted, %llu in a lane, %llu differences\n",
        (unsigned long long)totals.policies, (unsigned long long)totals.refused,
        (unsigned long long)totals.requests,
        (unsigned long long)totals.admitted, (unsigned long long)totals.lanes,
        (unsigned long long)totals.differences);
    if (options.folder == NULL) {
        good &= check_counts(&totals, options.hits);
        good &= check_reasons(&totals, options.hits);
    }
    return good ? 0 : 1;
}
