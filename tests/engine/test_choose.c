/* SPDX-License-Identifier: Apache-2.0
 * test_choose.c - engine/choose.c: every branch of SEMANTICS 7, as a table.
 *
 * Why: a wrong branch here sends a user's request to another lane's build.
 * One policy, and each row says which routes are up, what the request carries
 * and what must come out.
 * Read next: craft.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/engine/craft.h"

static struct craft policy_file, fleet_file;

#define NO GRAY_NONE

enum { SAFE, DATA, ENTITY, MULTI };
static const struct craft_release releases[] = {
    {"safe", GRAY_DATA_REVERSIBLE, GRAY_STICKY_MONOTONIC, {""}},
    {"data", GRAY_DATA_IRREVERSIBLE, GRAY_STICKY_MONOTONIC, {""}},
    {"entity", GRAY_DATA_STATELESS, GRAY_STICKY_ENTITY, {""}},
    {"multi", GRAY_DATA_STATELESS, GRAY_STICKY_NONE, {"a", "b"}},
};

enum { RED, BLUE, STRICT, SAD, FOREIGN };
enum {
    BASE,
    A_SAFE,
    A_DATA,
    A_ENTITY,
    A_MULTI_A,
    A_MULTI_B,
    L_RED,
    L_BLUE,
    L_STRICT,
    L_SAD,
    OTHER,
    ROUTES
};
static const struct craft_route routes[ROUTES] = {
    {"cart", GRAY_ROUTE_BASELINE, 0, NO, NO, NO, NO, {"r", "0"}},
    {"cart", GRAY_ROUTE_ARM, 0, SAFE, 0, NO, NO, {"r", "1"}},
    {"cart", GRAY_ROUTE_ARM, 0, DATA, 0, NO, NO, {"r", "2"}},
    {"cart", GRAY_ROUTE_ARM, 0, ENTITY, 0, NO, NO, {"r", "3"}},
    {"cart", GRAY_ROUTE_ARM, 0, MULTI, 0, NO, NO, {"r", "4"}},
    {"cart", GRAY_ROUTE_ARM, 0, MULTI, 1, NO, NO, {"r", "5"}},
    {"cart", GRAY_ROUTE_LANE, 0, NO, NO, RED, L_BLUE, {"r", "6"}},
    {"cart", GRAY_ROUTE_LANE, 0, NO, NO, BLUE, NO, {"r", "7"}},
    {"cart",
     GRAY_ROUTE_LANE,
     GRAY_ROUTE_STRICT,
     NO,
     NO,
     STRICT,
     L_RED,
     {"r", "8"}},
    {"cart", GRAY_ROUTE_LANE, 0, NO, NO, SAD, L_SAD, {"r", "9"}},
    {"order", GRAY_ROUTE_BASELINE, 0, NO, NO, NO, NO, {"r", "0"}},
};

/* Sets of routes, of arms. */
#define UP(route) (1u << (route))
#define ALL_UP (UP(ROUTES) - 1)
#define ARM(release) (1u << (release))
#define ARM_B 16u /* multi's second variant */

static const struct {
    const char *what;
    uint32_t up, sick; /* routes with a ready, with only an ejected endpoint */
    uint32_t lane, arms;
    uint32_t route, wanted;
    enum gray_reason reason;
    bool refuse;
} rows[] = {
    {"nothing carried", ALL_UP, 0, NO, 0, BASE, BASE, GRAY_REASON_BASELINE, 0},
    {"no baseline", UP(A_SAFE) | UP(L_RED), 0, NO, 0, NO, BASE,
     GRAY_REASON_NO_ENDPOINT, 1},
    {"sick baseline", ALL_UP & ~UP(BASE), UP(BASE), NO, 0, NO, BASE,
     GRAY_REASON_NO_ENDPOINT, 1},

    {"one arm", ALL_UP, 0, NO, ARM(SAFE), A_SAFE, A_SAFE, GRAY_REASON_ARM_USED,
     0},
    {"the first arm governs", ALL_UP, 0, NO, ARM(ENTITY) | ARM(DATA), A_DATA,
     A_DATA, GRAY_REASON_ARM_USED, 0},
    {"a variant", ALL_UP, 0, NO, ARM_B, A_MULTI_B, A_MULTI_B,
     GRAY_REASON_ARM_USED, 0},
    {"the other variant", ALL_UP, 0, NO, ARM(MULTI), A_MULTI_A, A_MULTI_A,
     GRAY_REASON_ARM_USED, 0},
    {"arm missing", UP(BASE), 0, NO, ARM(SAFE), BASE, A_SAFE,
     GRAY_REASON_ARM_EMPTY, 0},
    {"arm sick", UP(BASE), UP(A_SAFE), NO, ARM(SAFE), BASE, A_SAFE,
     GRAY_REASON_ARM_EMPTY, 0},
    {"missing arm does not pass to the next", UP(BASE) | UP(A_DATA), 0, NO,
     ARM(SAFE) | ARM(DATA), BASE, A_SAFE, GRAY_REASON_ARM_EMPTY, 0},
    {"irreversible arm missing", UP(BASE), 0, NO, ARM(DATA), NO, A_DATA,
     GRAY_REASON_ARM_REFUSED, 1},
    {"irreversible arm sick", UP(BASE), UP(A_DATA), NO, ARM(DATA), NO, A_DATA,
     GRAY_REASON_ARM_REFUSED, 1},
    {"entity arm sick", UP(BASE), UP(A_ENTITY), NO, ARM(ENTITY), NO, A_ENTITY,
     GRAY_REASON_ARM_REFUSED, 1},
    {"arm and baseline sick", 0, UP(BASE) | UP(A_SAFE), NO, ARM(SAFE), NO,
     A_SAFE, GRAY_REASON_NO_ENDPOINT, 1},
    {"arm up, baseline sick", UP(A_SAFE), UP(BASE), NO, ARM(SAFE), A_SAFE,
     A_SAFE, GRAY_REASON_ARM_USED, 0},

    {"lane", ALL_UP, 0, RED, 0, L_RED, L_RED, GRAY_REASON_LANE_USED, 0},
    {"lane before arm", ALL_UP, 0, RED, ARM(SAFE), L_RED, L_RED,
     GRAY_REASON_LANE_USED, 0},
    {"not a member", ALL_UP, 0, FOREIGN, 0, BASE, BASE, GRAY_REASON_BASELINE,
     0},
    {"not a member, arm", ALL_UP, 0, FOREIGN, ARM(SAFE), A_SAFE, A_SAFE,
     GRAY_REASON_ARM_USED, 0},
    {"lane missing, fallback", ALL_UP & ~UP(L_RED), 0, RED, 0, L_BLUE, L_RED,
     GRAY_REASON_LANE_FALLBACK, 0},
    {"lane and fallback missing", UP(BASE), 0, RED, 0, BASE, L_RED,
     GRAY_REASON_LANE_FALLBACK, 0},
    {"lanes missing, arm", UP(BASE) | UP(A_DATA), 0, RED, ARM(DATA), A_DATA,
     L_RED, GRAY_REASON_LANE_FALLBACK, 0},
    {"lanes missing, arm missing", UP(BASE), 0, RED, ARM(SAFE), BASE, L_RED,
     GRAY_REASON_LANE_FALLBACK, 0},
    {"lanes missing, irreversible arm missing", UP(BASE), 0, RED, ARM(DATA), NO,
     L_RED, GRAY_REASON_ARM_REFUSED, 1},
    {"lane sick, baseline at once", ALL_UP & ~UP(L_RED), UP(L_RED), RED, 0,
     BASE, L_RED, GRAY_REASON_LANE_FALLBACK, 0},
    {"lane sick, harmless arm", ALL_UP & ~UP(L_RED), UP(L_RED), RED, ARM(SAFE),
     BASE, L_RED, GRAY_REASON_LANE_FALLBACK, 0},
    {"lane sick, data at stake", ALL_UP & ~UP(L_RED), UP(L_RED), RED, ARM(DATA),
     NO, L_RED, GRAY_REASON_LANE_EMPTY, 1},
    {"fallback sick", UP(BASE), UP(L_BLUE), RED, 0, BASE, L_RED,
     GRAY_REASON_LANE_FALLBACK, 0},
    {"fallback sick, data at stake", ALL_UP & ~UP(L_RED) & ~UP(L_BLUE),
     UP(L_BLUE), RED, ARM(ENTITY), NO, L_RED, GRAY_REASON_LANE_EMPTY, 1},
    {"everything missing", 0, 0, RED, 0, NO, L_RED, GRAY_REASON_NO_ENDPOINT, 1},
    {"strict lane", ALL_UP, 0, STRICT, 0, L_STRICT, L_STRICT,
     GRAY_REASON_LANE_USED, 0},
    {"strict lane missing", ALL_UP & ~UP(L_STRICT), 0, STRICT, ARM(SAFE), NO,
     L_STRICT, GRAY_REASON_LANE_EMPTY, 1},
    {"strict lane sick", ALL_UP & ~UP(L_STRICT), UP(L_STRICT), STRICT, 0, NO,
     L_STRICT, GRAY_REASON_LANE_EMPTY, 1},
    {"a fallback that leads to itself ends", UP(BASE), 0, SAD, 0, BASE, L_SAD,
     GRAY_REASON_LANE_FALLBACK, 0},
};

struct scene {
    struct gray_snapshot policy;
    struct gray_fleet fleet;
    struct gray_link link;
    struct gray_view view;
    uint64_t memory[256];
};

static void set_up(struct scene *s, uint32_t up, uint32_t sick)
{
    static const char *const names[] = {"0", "1", "2", "3", "4",
                                        "5", "6", "7", "8", "9"};
    struct craft_endpoint endpoints[2 * ROUTES];
    uint32_t i, count = 0;

    memset(endpoints, 0, sizeof(endpoints));
    for (i = 0; i < OTHER; i++) {
        if (((up | sick) >> i) & 1) {
            endpoints[count].service = "cart";
            endpoints[count].address = "127.0.0.1:1";
            endpoints[count].weight = 1;
            endpoints[count].state =
                (up >> i) & 1 ? GRAY_ENDPOINT_READY : GRAY_ENDPOINT_EJECTED;
            endpoints[count].labels[0] = "r";
            endpoints[count++].labels[1] = names[i];
        }
    }
    craft_policy(&policy_file, releases, 4, routes, ROUTES, &s->policy);
    craft_fleet(&fleet_file, endpoints, count);
    assert_int_equal(
        gray_fleet_open(&s->fleet, fleet_file.bytes, fleet_file.length, NULL),
        0);
    assert_int_equal(gray_link_build(&s->link, &s->policy, &s->fleet, s->memory,
                                     sizeof(s->memory)),
                     0);
    memset(&s->view, 0, sizeof(s->view));
    s->view.policy = &s->policy;
    s->view.fleet = &s->fleet;
    s->view.link = &s->link;
}

static void carry(struct gray_colour *colour, uint32_t lane, uint32_t arms)
{
    uint32_t i;

    memset(colour, 0, sizeof(*colour));
    colour->lane = lane;
    for (i = 0; i < 5; i++) {
        if ((arms >> i) & 1) {
            colour->arms[colour->arm_count].release = i == 4 ? MULTI : i;
            colour->arms[colour->arm_count].variant = i == 4;
            colour->arms[colour->arm_count++].in = 1;
        }
    }
}

static void every_branch(void **state)
{
    static struct scene s;
    struct gray_colour colour;
    struct gray_choice choice;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        set_up(&s, rows[i].up, rows[i].sick);
        carry(&colour, rows[i].lane, rows[i].arms);
        memset(&choice, 0xff, sizeof(choice));
        gray_choose(&s.view, 0, &colour, &choice);
        if (choice.route != rows[i].route || choice.wanted != rows[i].wanted ||
            choice.reason != rows[i].reason ||
            choice.refuse != rows[i].refuse) {
            fail_msg("%s: route %d, wanted %d, reason %u, refuse %u",
                     rows[i].what, (int)choice.route, (int)choice.wanted,
                     choice.reason, choice.refuse);
        }
    }
}

static void an_unknown_service_has_no_route(void **state)
{
    static struct scene s;
    struct gray_colour colour;
    struct gray_choice choice;

    (void)state;
    set_up(&s, ALL_UP, 0);
    carry(&colour, RED, ARM(SAFE));
    gray_choose(&s.view, 2, &colour, &choice);
    assert_int_equal(choice.route, GRAY_NONE);
    assert_int_equal(choice.reason, GRAY_REASON_UNKNOWN_SERVICE);
    assert_int_equal(choice.refuse, 0);
    gray_choose(&s.view, GRAY_NONE, &colour, &choice);
    assert_int_equal(choice.reason, GRAY_REASON_UNKNOWN_SERVICE);
}

static void without_a_fleet_nothing_is_found(void **state)
{
    static struct scene s;
    struct gray_colour colour;
    struct gray_choice choice;

    (void)state;
    set_up(&s, ALL_UP, 0);
    s.view.fleet = NULL;
    s.view.link = NULL;
    carry(&colour, GRAY_NONE, 0);
    gray_choose(&s.view, 0, &colour, &choice);
    assert_int_equal(choice.reason, GRAY_REASON_NO_ENDPOINT);
    assert_int_equal(choice.refuse, 1);
    assert_int_equal(gray_pick(&s.view, BASE, NULL, 0, 1), GRAY_NONE);
}

/* The word is read again at every hop: a kill holds for carried arms too. */
static void a_scope_word_overrides_a_carried_arm(void **state)
{
    static const struct {
        uint32_t word, route;
        bool foreign;
    } words[] = {
        {GRAY_WORD_OPEN, A_SAFE, false},
        {GRAY_WORD_NO_ADMIT, A_SAFE, false},
        {GRAY_WORD_BASELINE, A_DATA, false},
        {GRAY_WORD_KILLED, A_DATA, false},
        {GRAY_WORD_KILLED | GRAY_WORD_HOST, A_DATA, false},
        {GRAY_WORD_NO_ADMIT | GRAY_WORD_HOST, A_SAFE, false},
        {GRAY_WORD_KILLED, A_SAFE, true},
    };
    static struct scene s;
    struct gray_scope_word table[4];
    struct gray_colour colour;
    struct gray_choice choice;
    uint32_t i, j;

    (void)state;
    set_up(&s, ALL_UP, 0);
    s.view.words = table;
    for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
        s.view.word_count = 4;
        for (j = 0; j < 4; j++) {
            table[j].scope = gray_release_at(&s.policy, j)->scope;
            table[j].word = GRAY_WORD_OPEN;
        }
        table[SAFE].word = words[i].word;
        table[SAFE].scope += words[i].foreign;
        carry(&colour, GRAY_NONE, ARM(SAFE) | ARM(DATA));
        gray_choose(&s.view, 0, &colour, &choice);
        assert_int_equal(choice.route, words[i].route);
        s.view.word_count = 0; /* a word that is not there says nothing */
        gray_choose(&s.view, 0, &colour, &choice);
        assert_int_equal(choice.route, A_SAFE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_branch),
        cmocka_unit_test(an_unknown_service_has_no_route),
        cmocka_unit_test(without_a_fleet_nothing_is_found),
        cmocka_unit_test(a_scope_word_overrides_a_carried_arm),
    };

    return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
