/* SPDX-License-Identifier: Apache-2.0
 * agree.c - the engine with its index, without it, and brute force agree.
 *
 * Why: three ways to one answer; where they part, one is wrong.  Random
 * policies go as JSON through documents, checks and compiler; random requests
 * through gray_decide() twice and through the evaluator that only knows the
 * model.  A run that met a condition too seldom fails too: it proved nothing.
 *
 *   agree [--policies N] [--requests M] [--seed S] [--first P] [--hits H]
 *   agree --write DIR [--policies N] [--requests M]
 *       policy-P.json, requests-P.jsonl and explain-P.jsonl for others to
 *       compare with: gateway, libgray, `gray explain`
 * Read next: invent.c, ../engine/brute.c.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "tests/story/invent.h"

#define TRIES 50u
#define LISTS 8u
#define EXPLAIN_BYTES 65536u

struct options {
    uint32_t policies, first;
    uint64_t requests, seed, hits;
    const char *folder;
};

/* One policy, ready to be asked. */
struct scene {
    struct gray_model *model;
    struct gray_compiled indexed, plain;
    struct gray_snapshot snapshots[2];
    struct gray_fleet fleet;
    struct gray_link links[2];
    void *memory[2];
    struct gray_list lists[2][LISTS];
    struct gray_view views[2];
    struct gray_scope_word words[BRUTE_RELEASES];
    uint8_t word_of[BRUTE_RELEASES];
    struct brute brute;
};

struct totals {
    uint64_t policies, requests, refused, differences, admitted, lanes;
    uint64_t counts[BRUTE_OPS][2];
};

/* ---- marks -------------------------------------------------------------- */

/* What was recorded of a unit, as a pure function: mostly nothing. */
static struct gray_mark recorded(uint32_t release, const char *unit,
                                 uint32_t length, bool evidence)
{
    static const uint8_t states[] = {GRAY_MARK_IN,      GRAY_MARK_OUT,
                                     GRAY_MARK_REVOKED, GRAY_MARK_UNKNOWN,
                                     GRAY_MARK_HOLD,    GRAY_MARK_IN};
    struct gray_mark mark = {GRAY_MARK_ABSENT, 0, 0, 0};
    uint64_t h = UINT64_C(1469598103934665603) + release * 2 + evidence;
    uint32_t i;

    for (i = 0; i < length; i++) {
        h = (h ^ (unsigned char)unit[i]) * UINT64_C(1099511628211);
    }
    h ^= h >> 29;
    if (h % 16 < 6) {
        mark.state = states[h % 16];
        mark.variant = (uint8_t)(h >> 8 & 3);
        mark.attempt = (uint16_t)(h >> 16 & 1);
    }
    return mark;
}

static struct gray_mark engine_mark(void *context, uint32_t release,
                                    struct gray_str unit, enum gray_step step)
{
    (void)context;
    return recorded(release, unit.data, unit.length,
                    step == GRAY_STEP_EVIDENCE);
}

static struct gray_mark brute_recorded(const void *context, uint32_t release,
                                       const char *unit, bool evidence)
{
    (void)context;
    return recorded(release, unit, (uint32_t)strlen(unit), evidence);
}

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

    assert(snapshot->policy->lists.count <= LISTS);
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

static void close_scene(struct scene *s)
{
    brute_done(&s->brute);
    free(s->memory[0]);
    free(s->memory[1]);
    gray_compiled_free(&s->indexed);
    gray_compiled_free(&s->plain);
    gray_model_free(s->model);
}

/* 0, or -1 when the policy is refused: nobody says that random text is good. */
static int open_scene(struct scene *s, const struct text *policy, bool talk)
{
    struct gray_compile_options options = {.revision = 1, .now = INVENT_NOW};
    struct gray_documents *docs = gray_documents_new();
    struct gray_findings findings = {NULL, 0, 0, 0};
    int answer = -1;

    memset(s, 0, sizeof(*s));
    if (gray_documents_add_text(docs, "agree", policy->data, policy->length,
                                &findings) == 0) {
        s->model = gray_model_check(docs, &findings);
    }
    if (s->model != NULL &&
        gray_compile(s->model, &options, &s->indexed, &findings) == 0) {
        options.no_index = 1;
        answer = gray_compile(s->model, &options, &s->plain, &findings);
    }
    if (answer != 0) {
        if (talk) {
            gray_findings_print(&findings, stderr);
        }
        gray_compiled_free(&s->indexed);
        gray_model_free(s->model);
    } else {
        open_view(s, 0, &s->indexed);
        open_view(s, 1, &s->plain);
        brute_init(&s->brute, s->model);
    }
    gray_findings_free(&findings);
    gray_documents_free(docs);
    return answer;
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

static void feed(struct gray_input *in, const struct gray_snapshot *policy,
                 const struct brute_request *r)
{
    uint32_t i;

    gray_input_begin(in, policy, r->now, r->random);
    gray_input_method(in, str(r->method));
    gray_input_host(in, str(r->host));
    gray_input_target(in, str(r->target));
    for (i = 0; i < r->header_count; i++) {
        struct gray_str name = str(r->headers[i].name);
        uint32_t hash = gray_hash_name(name.data, name.length);

        if (gray_input_wants(policy, hash)) {
            gray_input_header(in, hash, name, str(r->headers[i].value));
        }
    }
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
    if (r->anonymous != NULL) {
        gray_input_named(in, GRAY_SOURCE_UNIT, str(""), str(r->anonymous));
    }
    gray_input_colour(in, str(r->lane), str(r->arms),
                      (enum gray_class)r->traffic_class);
}

/* ---- comparing ---------------------------------------------------------- */

static bool same_text(struct gray_str text, const char *wanted)
{
    return wanted != NULL && text.length == strlen(wanted) &&
           memcmp(text.data, wanted, text.length) == 0;
}

static bool same_rule(const struct gray_snapshot *s, uint32_t number,
                      const char *wanted)
{
    const struct gray_rule *rules =
        (const void *)(s->base + s->policy->rules.offset);

    if (number >= s->policy->rules.count) {
        return wanted == NULL;
    }
    return same_text(gray_text(s, rules[number].name), wanted);
}

static bool same_verdict(const struct gray_snapshot *s,
                         const struct gray_verdict *found,
                         const struct brute_verdict *wanted)
{
    return wanted->asked && found->in == wanted->in &&
           found->reason == wanted->reason && found->bucket == wanted->bucket &&
           (!wanted->in || found->variant == wanted->variant) &&
           found->admit == wanted->admit &&
           same_rule(s, found->rule, wanted->rule);
}

static bool same_colour(const struct scene *scene, uint32_t which,
                        const struct gray_colour *found,
                        const struct brute_answer *wanted)
{
    const struct gray_snapshot *s = &scene->snapshots[which];
    const struct gray_lane *lane = gray_lane_at(s, found->lane);
    uint32_t i;

    if (found->arm_count != wanted->arm_count ||
        found->reason != wanted->reason || found->bucket != wanted->bucket ||
        found->release != wanted->release ||
        found->lane_reason != wanted->lane_reason ||
        !same_rule(s, found->rule, wanted->rule) ||
        !same_rule(s, found->lane_rule, wanted->lane_rule) ||
        (lane == NULL) != (wanted->lane == GRAY_NONE) ||
        (lane != NULL && !same_text(gray_text(s, lane->name),
                                    scene->model->lanes[wanted->lane].name))) {
        return false;
    }
    for (i = 0; i < found->arm_count; i++) {
        if (found->arms[i].release != wanted->arms[i] ||
            !same_verdict(s, &found->arms[i],
                          &wanted->verdicts[wanted->arms[i]])) {
            return false;
        }
    }
    return true;
}

/* Every release that was asked, refusals too: the last word of each. */
static bool same_trace(const struct scene *scene, const struct gray_trace *t,
                       const struct brute_answer *wanted)
{
    const struct gray_verdict *last[BRUTE_RELEASES] = {NULL};
    uint32_t i;

    for (i = 0; i < t->verdict_count; i++) {
        last[t->verdicts[i].release] = &t->verdicts[i];
    }
    for (i = 0; i < scene->model->release_count; i++) {
        if ((last[i] != NULL) != wanted->verdicts[i].asked ||
            (last[i] != NULL && !same_verdict(&scene->snapshots[1], last[i],
                                              &wanted->verdicts[i]))) {
            return false;
        }
    }
    return true;
}

static void show_difference(const struct scene *scene,
                            const struct gray_colour *found,
                            const struct gray_trace *trace,
                            const struct brute_answer *wanted)
{
    uint32_t i;

    fprintf(stderr, "reason %s, brute force %s; lane %d, %d; bucket %d, %d\n",
            gray_reason_code((enum gray_reason)found->reason),
            gray_reason_code((enum gray_reason)wanted->reason),
            (int)found->lane, (int)wanted->lane, (int)found->bucket,
            (int)wanted->bucket);
    for (i = 0; i < trace->verdict_count; i++) {
        const struct gray_verdict *v = &trace->verdicts[i];
        const struct brute_verdict *w = &wanted->verdicts[v->release];

        fprintf(stderr,
                "  %s: in %u %s variant %u bucket %d admit %u, brute force: "
                "in %d %s variant %u bucket %d admit %d rule %s\n",
                scene->model->releases[v->release].name, v->in,
                gray_reason_code((enum gray_reason)v->reason), v->variant,
                (int)v->bucket, v->admit, w->in,
                gray_reason_code((enum gray_reason)w->reason), w->variant,
                (int)w->bucket, w->admit, w->rule == NULL ? "" : w->rule);
    }
}

static uint32_t entrance_of(const struct scene *scene, const char *name)
{
    uint32_t i;

    for (i = 0; name != NULL && i < scene->model->entrance_count; i++) {
        if (strcmp(scene->model->entrances[i].name, name) == 0) {
            return i;
        }
    }
    return GRAY_NONE;
}

/* One request three ways. */
static bool ask(struct scene *scene, const struct invented *in,
                struct totals *totals)
{
    static struct gray_trace trace;
    static struct gray_input input;
    struct gray_colour colours[2];
    struct brute_answer wanted;
    uint32_t entrance = entrance_of(scene, in->entrance), i;
    bool same = true;

    brute_decide(&scene->brute, &in->request, entrance, &wanted);
    trace.step_count = trace.verdict_count = 0;
    trace.truncated = false;
    for (i = 0; i < 2; i++) {
        feed(&input, &scene->snapshots[i], &in->request);
        gray_decide(&scene->views[i], entrance, &input, engine_mark, NULL,
                    &colours[i], i == 1 ? &trace : NULL);
        same = same && same_colour(scene, i, &colours[i], &wanted);
    }
    same = same && same_trace(scene, &trace, &wanted);
    totals->requests++;
    totals->admitted += wanted.arm_count != 0;
    totals->lanes += wanted.lane != GRAY_NONE;
    if (!same) {
        totals->differences++;
        fprintf(stderr, "with index:\n");
        show_difference(scene, &colours[0], &trace, &wanted);
        fprintf(stderr, "without:\n");
        show_difference(scene, &colours[1], &trace, &wanted);
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
    static char line[EXPLAIN_BYTES];
    static struct invented in;
    static struct gray_input input;
    FILE *file = create(options->folder, "policy", number, "json");
    FILE *requests = create(options->folder, "requests", number, "jsonl");
    FILE *answers = create(options->folder, "explain", number, "jsonl");
    uint64_t i, each = options->requests / options->policies;

    fwrite(policy->data, 1, policy->length, file);
    fclose(file);
    for (i = 0; i < each; i++) {
        invent_request(&in, d);
        in.request.anonymous = NULL; /* a line cannot say what was issued */
        if (entrance_of(scene, in.entrance) == GRAY_NONE) {
            in.entrance = "";
        }
        feed(&input, &scene->snapshots[0], &in.request);
        if (gray_explain(&scene->views[0], entrance_of(scene, in.entrance),
                         &input, NULL, NULL, line,
                         sizeof(line)) >= sizeof(line)) {
            fprintf(stderr, "agree: an answer is longer than its room\n");
            exit(2);
        }
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
    uint32_t tries, op;
    bool same = true;

    for (tries = 0;; tries++) {
        invent_policy(policy, &d);
        if (open_scene(&scene, policy, tries + 1 == TRIES) == 0) {
            break;
        }
        totals->refused++;
        if (tries + 1 == TRIES) {
            fprintf(stderr, "agree: no policy of %u is accepted\n%s\n", TRIES,
                    policy->data);
            return false;
        }
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
    close_scene(&scene);
    return same;
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
    }
    return good ? 0 : 1;
}
