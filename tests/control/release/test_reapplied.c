/* SPDX-License-Identifier: Apache-2.0
 * test_reapplied.c - a document that is applied again moves what it says.
 *
 * Read next: control/release/move.c (release_reapplied).
 */
#include "tests/control/release/release_case.h"

#define SHARE(percent) \
    "{'kind':'Release','name':'cart-2','admission':{'share':" percent "}}"

static int apply(struct release_status *status, const char *before,
                 const char *after, struct release_refusal *ret_refusal)
{
    struct release_facts old = facts_of(before), facts = facts_of(after);

    return release_reapplied(status, &old, &facts, 4000, "ann", status,
                             ret_refusal);
}

static void a_declared_share_is_a_set_weight(void **state)
{
    struct release_facts facts = facts_of(SHARE("5"));
    struct release_status status = begin(&facts);
    struct release_refusal refusal = {0};

    (void)state;
    assert_int_equal(apply(&status, SHARE("5"), SHARE("5"), &refusal), 1);
    assert_int_equal(apply(&status, SHARE("5"), SHARE("8"), &refusal), 0);
    assert_int_equal(status.share, 8 * PERCENT);
    assert_string_equal(status.by, "ann");
    assert_int_equal(status.since, 4000);
    /* By hand further than the document, which did not change: it stays. */
    weigh(&status, &facts, 20);
    assert_int_equal(apply(&status, SHARE("8"), SHARE("8"), &refusal), 1);
    assert_int_equal(status.share, 20 * PERCENT);
    assert_int_equal(apply(&status, SHARE("8"), SHARE("9"), &refusal), -1);
    assert_string_equal(refusal.code, "would-shrink");
    assert_int_equal(apply(&status, SHARE("8"), SHARE("0"), &refusal), -1);
    assert_string_equal(refusal.code, "zero-weight");
    say(&status, &facts, VERB_PAUSE);
    assert_int_equal(apply(&status, SHARE("8"), SHARE("30"), &refusal), 0);
    assert_int_equal(status.state, RELEASE_PAUSED);
    assert_int_equal(apply(&status, SHARE("30"), SHARE("100"), &refusal), 0);
    assert_int_equal(status.state, RELEASE_PROMOTED);
}

static void what_holds_is_not_opened_by_a_document(void **state)
{
    struct release_facts facts = facts_of(SHARE("5"));
    struct release_status status = stand(&facts, RELEASE_FROZEN);
    struct release_refusal refusal = {0};

    (void)state;
    assert_int_equal(apply(&status, SHARE("5"), SHARE("8"), &refusal), -1);
    assert_non_null(strstr(refusal.advice, "gray thaw cart-2"));
    status = stand(&facts, RELEASE_PROGRESSING);
    say(&status, &facts, VERB_KILL);
    assert_int_equal(apply(&status, SHARE("5"), SHARE("8"), &refusal), -1);
    assert_string_equal(refusal.code, "killed");
    /* An aborted one takes the document and stays at 0 until retry. */
    status = stand(&facts, RELEASE_ABORTED);
    assert_int_equal(apply(&status, SHARE("5"), SHARE("8"), &refusal), 1);
    assert_int_equal(status.share, 0);
    facts = facts_of(SHARE("8"));
    say(&status, &facts, VERB_RETRY);
    assert_int_equal(status.share, 8 * PERCENT);
    status = stand(&facts, RELEASE_COMPLETED);
    assert_int_equal(apply(&status, SHARE("8"), SHARE("8"), &refusal), -1);
    assert_string_equal(refusal.code, "completed");
}

static void with_a_strategy_the_share_stays(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status status = stand(&facts, RELEASE_PAUSED);
    struct release_refusal refusal = {0};

    (void)state;
    weigh(&status, &facts, 20);
    assert_int_equal(status.step, 2);
    assert_int_equal(
        apply(&status, STEPPED,
              "{'kind':'Release','name':'cart-2','admission':{'share':70},"
              "'strategy':{'canary':{'steps':[{'setWeight':2},{'setWeight':4},"
              "{'setWeight':8},{'setWeight':20},{'setWeight':100}]}}}",
              &refusal),
        0);
    assert_int_equal(status.share, 20 * PERCENT);
    assert_int_equal(status.step, 3);
    assert_int_equal(status.state, RELEASE_PAUSED);
    /* Without its strategy it has a share of its own again. */
    assert_int_equal(apply(&status, STEPPED, SHARE("25"), &refusal), 0);
    assert_int_equal(status.share, 25 * PERCENT);
}

static void less_held_back_lets_nobody_in(void **state)
{
    static const char held[] = "{'kind':'Release','name':'cart-2','admission':"
                               "{'share':95,'holdback':5}}";
    struct release_facts facts = facts_of(held);
    struct release_status status = begin(&facts);
    struct release_refusal refusal = {0};

    (void)state;
    assert_int_equal(status.state, RELEASE_PROMOTED);
    assert_int_equal(apply(&status, held, SHARE("95"), &refusal), 0);
    assert_int_equal(status.state, RELEASE_PAUSED);
    assert_int_equal(status.share, 95 * PERCENT);
    assert_string_equal(status.completion, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_declared_share_is_a_set_weight),
        cmocka_unit_test(what_holds_is_not_opened_by_a_document),
        cmocka_unit_test(with_a_strategy_the_share_stays),
        cmocka_unit_test(less_held_back_lets_nobody_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
