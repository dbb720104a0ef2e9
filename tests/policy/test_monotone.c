/* SPDX-License-Identifier: Apache-2.0
 * test_monotone.c - 1,000 pairs of policies: is "nobody falls out" ever wrong?
 *
 * Why: gate 4 reasons about sorts of requests; here requests are just tried.
 * All ids from 0 on are put into groups that no test of either policy tells
 * apart, by asking the engine each test of each id; one id of each group is
 * then sent with many requests to both whole policies.  Whoever falls out where
 * the gate let the change pass is a hole in the gate.
 *   test_monotone [PAIRS] [IDS] [REQUESTS] [FIRST]
 * `make test` runs 1,000 pairs over 20,000 ids; `make monotone` over a million.
 * Read next: vary.h, ../../policy/exact.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/model.h"
#include "tests/policy/vary.h"

#define GROUPS_MAX 4096u

struct opened {
    struct gray_compiled files;
    struct gray_snapshot policy;
    struct gray_list lists[8];
    struct gray_view view;
};

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "test_monotone: %s\n", what);
        exit(1);
    }
}

/* NULL: lint refuses it, as a rule that is never reached. */
static struct gray_model *read_policy(const char *text)
{
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;

    if (gray_documents_add_text(docs, "policy.yaml", text, strlen(text),
                                &findings) == 0) {
        model = gray_model_check(docs, &findings);
    }
    gray_findings_free(&findings);
    gray_documents_free(docs);
    return model;
}

static void open_policy(struct opened *o, const struct gray_model *model)
{
    struct gray_compile_options options = {.revision = 1};
    struct gray_findings findings = {0};
    const struct gray_list_ref *refs;

    memset(o, 0, sizeof(*o));
    if (gray_compile(model, &options, &o->files, &findings) != 0) {
        gray_findings_print(&findings, stderr);
        must(false, "an invented policy is not compiled");
    }
    gray_findings_free(&findings);
    must(gray_snapshot_open(&o->policy, o->files.policy.data,
                            o->files.policy.size, NULL) == 0,
         "a snapshot is refused");
    refs = (const void *)(o->policy.base + o->policy.policy->lists.offset);
    o->view.policy = &o->policy;
    o->view.lists = o->lists;
    o->view.list_count = o->policy.policy->lists.count;
    for (uint32_t i = 0; i < o->view.list_count; i++) {
        struct gray_str file = gray_text(&o->policy, refs[i].file);

        for (size_t k = 0; k < o->files.list_count; k++) {
            if (memcmp(o->files.lists[k].name, file.data, file.length) == 0) {
                must(gray_list_open(&o->lists[i], o->files.lists[k].data,
                                    o->files.lists[k].size, NULL) == 0,
                     "a list is refused");
            }
        }
    }
}

/* ---- groups of ids -------------------------------------------------------------- */

struct group {
    uint64_t answers, cells;
    uint32_t id;
};
struct groups {
    struct group items[GROUPS_MAX];
    uint32_t count;
    uint32_t table[2 * GROUPS_MAX];
    bool full;
};

static void put_group(struct groups *g, uint64_t answers, uint64_t cells,
                      uint32_t id)
{
    uint32_t at = (uint32_t)gray_mix64(answers ^ gray_mix64(cells)) %
                  (2 * GROUPS_MAX);

    for (; g->table[at] != 0; at = (at + 1) % (2 * GROUPS_MAX)) {
        const struct group *known = &g->items[g->table[at] - 1];

        if (known->answers == answers && known->cells == cells) {
            return;
        }
    }
    if (g->count == GROUPS_MAX) {
        g->full = true;
        return;
    }
    g->items[g->count] = (struct group){answers, cells, id};
    g->table[at] = ++g->count;
}

static void find_groups(struct groups *g, const struct vary_release *old,
                        const struct vary_release *now, uint32_t ids)
{
    struct vary_share shares[VARY_ATOMS];
    uint32_t share_count = vary_shares(old, now, shares), probe_count;
    struct vary_request nothing = {0};
    char *text = vary_probes(old, now, &probe_count);
    struct gray_model *model = read_policy(text);
    struct opened probes;

    memset(g, 0, sizeof(*g));
    must(model != NULL, "the tests of an invented policy are no policy");
    open_policy(&probes, model);
    must(probes.policy.policy->releases.count == probe_count,
         "a test is no release");
    for (uint32_t id = 0; id < ids; id++) {
        char uid[16], room[64];
        uint64_t answers = 0, cells = 0;
        struct gray_input in;
        struct gray_str value;

        snprintf(uid, sizeof(uid), "%u", id);
        value = (struct gray_str){uid, (uint32_t)strlen(uid)};
        vary_feed(&nothing, uid, room, &probes.policy, &in);
        for (uint32_t i = 0; i < probe_count; i++) {
            struct gray_verdict verdict;

            gray_decide_release(&probes.view, i, &in, NULL, NULL, &verdict,
                                NULL);
            answers |= (uint64_t)verdict.in << i;
        }
        for (uint32_t i = 0; i < share_count; i++) {
            struct gray_str salt = {shares[i].salt,
                                    (uint32_t)strlen(shares[i].salt)};

            cells |= (uint64_t)(gray_bucket(salt, value) < shares[i].share)
                     << i;
        }
        put_group(g, answers, cells, id);
    }
    gray_compiled_free(&probes.files);
    gray_model_free(model);
    free(text);
}

/* ---- trying ------------------------------------------------------------------------ */

struct ask {
    const struct gray_model *before, *after;
    struct opened old, now;
};

static bool names_ids(const struct model_rule *rule)
{
    const struct cond *when = rule->when;

    return when->kind == COND_TEST && when->source == GRAY_SOURCE_UNIT &&
           (when->op == GRAY_CONDITION_EXACT ||
            when->op == GRAY_CONDITION_IN || when->op == GRAY_CONDITION_LIST);
}

static const struct model_rule *rule_of(const struct opened *o,
                                        const struct model_rule *rules,
                                        uint32_t set, uint32_t number)
{
    const struct gray_ruleset *sets =
        (const void *)(o->policy.base + o->policy.policy->rulesets.offset);

    return &rules[number - sets[set].rules.first];
}

/* Does the id fall out with this request, and not as somebody whom an allow
 * let in for one request, or whom a deny names? */
static bool falls_out(const struct ask *ask, const struct vary_request *r,
                      const char *uid)
{
    struct gray_verdict old, now;
    const struct gray_release *release;
    struct gray_input in;
    char room[64];

    vary_feed(r, uid, room, &ask->old.policy, &in);
    gray_decide_release(&ask->old.view, 0, &in, NULL, NULL, &old, NULL);
    if (!old.in) {
        return false;
    }
    release = gray_release_at(&ask->old.policy, 0);
    if (old.reason == GRAY_REASON_ALLOW &&
        !rule_of(&ask->old, ask->before->releases[0].allow, release->allow,
                 old.rule)
             ->writes) {
        return false;
    }
    vary_feed(r, uid, room, &ask->now.policy, &in);
    gray_decide_release(&ask->now.view, 0, &in, NULL, NULL, &now, NULL);
    release = gray_release_at(&ask->now.policy, 0);
    return !now.in &&
           (now.reason != GRAY_REASON_DENY ||
            !names_ids(rule_of(&ask->now, ask->after->releases[0].deny,
                               release->deny, now.rule)));
}

static bool somebody_falls_out(const struct ask *ask, const struct groups *g,
                               uint64_t seed, uint32_t requests,
                               uint32_t *ret_id)
{
    struct vary_dice dice = {seed};

    for (uint32_t i = 0; i < requests; i++) {
        struct vary_request request;

        vary_request(&dice, &request);
        for (uint32_t k = 0; k < g->count; k++) {
            char uid[16];

            snprintf(uid, sizeof(uid), "%u", g->items[k].id);
            if (falls_out(ask, &request, uid)) {
                *ret_id = g->items[k].id;
                return true;
            }
        }
    }
    return false;
}

/* ---- one pair ----------------------------------------------------------------------- */

struct tally {
    uint32_t safe, refused, unknown, found, missed;
};

static bool has_code(const struct gray_findings *findings, const char *code)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (findings->items[i].severity == GRAY_ERROR &&
            strcmp(findings->items[i].code, code) == 0) {
            return true;
        }
    }
    return false;
}

static void show(uint32_t number, const char *old, const char *now,
                 const struct gray_findings *findings)
{
    fprintf(stderr, "pair %u, before:\n%s\nafter:\n%s\nfound:\n", number, old,
            now);
    gray_findings_print(findings, stderr);
}

static bool judge_pair(struct tally *tally, const struct ask *ask,
                       struct gray_findings *ret_findings)
{
    static const char *const codes[] = {
        "drops",       "may-drop",      "tail-dropped",
        "ids-dropped", "share-lowered", "require-changed"};
    bool safe = true;

    gray_gates_compare(ask->before, ask->after, NULL, ret_findings, NULL);
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        safe &= !has_code(ret_findings, codes[i]);
    }
    tally->safe += safe;
    tally->refused += !safe;
    tally->unknown += has_code(ret_findings, "may-drop");
    return safe;
}

/* False: it is no pair of policies. */
static bool try_pair(struct tally *tally, uint32_t number, uint32_t ids,
                     uint32_t requests)
{
    static struct groups groups;
    struct vary_release old, now;
    struct gray_findings findings = {0};
    struct gray_model *before, *after;
    struct ask ask;
    char *old_text, *now_text;
    uint32_t id = 0;
    bool safe, good;

    vary_pair(number, &old, &now);
    old_text = vary_print(&old);
    now_text = vary_print(&now);
    ask.before = before = read_policy(old_text);
    ask.after = after = read_policy(now_text);
    good = before != NULL && after != NULL;
    if (good) {
        open_policy(&ask.old, before);
        open_policy(&ask.now, after);
        safe = judge_pair(tally, &ask, &findings);
        find_groups(&groups, &old, &now, ids);
        must(!groups.full, "too many groups of ids");
        if (somebody_falls_out(&ask, &groups, number, requests, &id)) {
            tally->found++;
            tally->missed += safe;
            if (safe) {
                fprintf(stderr, "id %u falls out, and nothing was said\n",
                        id);
            }
        } else {
            id = UINT32_MAX;
        }
        if ((safe && id != UINT32_MAX) || getenv("MONOTONE_SHOW") != NULL) {
            show(number, old_text, now_text, &findings);
        }
        gray_compiled_free(&ask.old.files);
        gray_compiled_free(&ask.now.files);
    }
    gray_findings_free(&findings);
    gray_model_free(before);
    gray_model_free(after);
    free(old_text);
    free(now_text);
    vary_free();
    return good;
}

int main(int count, char **arguments)
{
    uint32_t pairs = count > 1 ? (uint32_t)atoi(arguments[1]) : 1000;
    uint32_t ids = count > 2 ? (uint32_t)atoi(arguments[2]) : 20000;
    uint32_t requests = count > 3 ? (uint32_t)atoi(arguments[3]) : 300;
    uint32_t first = count > 4 ? (uint32_t)atoi(arguments[4]) : 1;
    struct tally tally = {0};

    for (uint32_t tried = 0, i = 0; i < pairs; tried++) {
        must(tried < 4 * pairs, "too few pairs are policies");
        i += try_pair(&tally, first + tried, ids, requests);
    }
    printf("%u pairs over %u ids and %u requests: safe %u, refused %u (of them "
           "not decided %u), somebody fell out in %u, missed %u\n",
           pairs, ids, requests, tally.safe, tally.refused, tally.unknown,
           tally.found, tally.missed);
    must(tally.missed == 0, "a drop was not seen");
    must(tally.unknown * 50 < pairs, "too much is not decided");
    return 0;
}
