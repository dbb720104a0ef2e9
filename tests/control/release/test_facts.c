/* SPDX-License-Identifier: Apache-2.0
 * test_facts.c - what the machine reads of a document, and what it refuses.
 *
 * Why: a document that is read wrong lets people in who should not be.
 */
#include <stdlib.h>

#include "tests/control/release/release_case.h"

static void defaults(void **state)
{
    struct release_facts facts =
        facts_of("{'kind':'Release','name':'cart-2'}");

    (void)state;
    assert_string_equal(facts.name, "cart-2");
    assert_int_equal(facts.data_compat, GRAY_DATA_STATELESS);
    assert_int_equal(facts.stickiness, GRAY_STICKY_MONOTONIC);
    assert_int_equal(facts.declared_share, 0);
    assert_false(facts.has_strategy);
    assert_false(facts.on_abort_keep);
    facts = facts_of(
        "{'kind':'Release','name':'cart-2','stickiness':'entity'}");
    assert_int_equal(facts.stickiness, GRAY_STICKY_ENTITY);
    assert_int_equal(facts.data_compat, GRAY_DATA_IRREVERSIBLE);
    facts = facts_of("{'kind':'Release','name':'c','stickiness':'entity',"
                     "'dataCompat':'reversible','admission':{'share':0.0001,"
                     "'holdback':5}}");
    assert_int_equal(facts.data_compat, GRAY_DATA_REVERSIBLE);
    assert_int_equal(facts.declared_share, 1);
    assert_int_equal(facts.holdback, 5 * PERCENT);
}

static void weights(void **state)
{
    struct release_facts facts = facts_of(STEPPED);

    (void)state;
    assert_true(facts.has_strategy);
    assert_int_equal(facts.step_count, 5);
    assert_int_equal(facts.weight_count, 4);
    assert_int_equal(facts.weights[0].step, 0);
    assert_int_equal(facts.weights[0].share, 1 * PERCENT);
    assert_int_equal(facts.weights[1].step, 2);
    assert_int_equal(facts.weights[2].step, 3);
    assert_int_equal(facts.weights[2].share, 50 * PERCENT);
    assert_int_equal(facts.weights[3].share, GRAY_SHARE_ALL);
    /* What adds nothing is no weight; 100 is all that may be admitted. */
    facts = facts_of("{'kind':'Release','name':'c','admission':{'holdback':10},"
                     "'strategy':{'canary':{'onAbort':'keep','steps':["
                     "{'setWeight':0},{'setWeight':5},{'setWeight':5},"
                     "{'setWeight':95},{'setWeight':100}]}}}");
    assert_true(facts.on_abort_keep);
    assert_int_equal(facts.weight_count, 2);
    assert_int_equal(facts.weights[0].step, 1);
    assert_int_equal(facts.weights[1].step, 3);
    assert_int_equal(facts.weights[1].share, 90 * PERCENT);
    facts = facts_of("{'kind':'Release','name':'c','strategy':{'blueGreen':"
                     "{'autoPromotionEnabled':false}}}");
    assert_true(facts.has_strategy);
    assert_int_equal(facts.weight_count, 0);
}

static int read_many(unsigned count)
{
    json_t *document = document_of(
        "{'kind':'Release','name':'c','strategy':{'canary':{'steps':[]}}}");
    json_t *steps = json_object_get(
        json_object_get(json_object_get(document, "strategy"), "canary"),
        "steps");
    struct release_facts facts;
    int result;

    for (unsigned i = 1; i <= count; i++) {
        json_array_append_new(steps, json_pack("{s:f}", "setWeight", i * 0.25));
    }
    result = release_facts_read(document, &facts);
    assert_true(result != 0 || facts.weight_count == count);
    json_decref(document);
    return result;
}

static void as_many_weights_as_there_are_places(void **state)
{
    (void)state;
    assert_int_equal(read_many(RELEASE_STEPS_MAX), 0);
    assert_int_equal(read_many(RELEASE_STEPS_MAX + 1), -1);
}

static void what_is_no_release(void **state)
{
    static const char *const texts[] = {
        "{}", "[]", "{'kind':'Service','name':'c'}", "{'kind':'Release'}",
        "{'kind':'Release','name':''}", "{'kind':'Release','name':7}",
        "{'kind':'Release','name':'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaa'}",
        "{'kind':'Release','name':'c','stickiness':'often'}",
        "{'kind':'Release','name':'c','stickiness':2}",
        "{'kind':'Release','name':'c','dataCompat':null}",
        "{'kind':'Release','name':'c','admission':[]}",
        "{'kind':'Release','name':'c','admission':{'share':'5'}}",
        "{'kind':'Release','name':'c','admission':{'share':-1}}",
        "{'kind':'Release','name':'c','admission':{'share':100.1}}",
        "{'kind':'Release','name':'c','admission':{'share':60,'holdback':50}}",
        "{'kind':'Release','name':'c','strategy':{}}",
        "{'kind':'Release','name':'c','strategy':[]}",
        "{'kind':'Release','name':'c','strategy':{'canary':[]}}",
        "{'kind':'Release','name':'c','strategy':{'canary':{}}}",
        "{'kind':'Release','name':'c','strategy':{'canary':{'steps':{}}}}",
        "{'kind':'Release','name':'c','strategy':{'canary':{'steps':[1]}}}",
        "{'kind':'Release','name':'c','strategy':{'canary':{'steps':"
        "[{'setWeight':101}]}}}",
        "{'kind':'Release','name':'c','strategy':{'canary':{'steps':"
        "[{'ramp':{'to':'x'}}]}}}",
        "{'kind':'Release','name':'c','strategy':{'canary':{'steps':[],"
        "'onAbort':'maybe'}}}",
    };
    struct release_facts facts, untouched;

    (void)state;
    memset(&facts, 7, sizeof(facts));
    memset(&untouched, 7, sizeof(untouched));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *document = document_of(texts[i]);

        if (release_facts_read(document, &facts) != -1) {
            fail_msg("taken: %s", texts[i]);
        }
        json_decref(document);
    }
    assert_int_equal(release_facts_read(NULL, &facts), -1);
    assert_memory_equal(&facts, &untouched, sizeof(facts));
}

/* ---- anything at all ----------------------------------------------------- */

static json_t *any_value(uint64_t *dice, unsigned depth)
{
    static const char *const words[] = {
        "Release", "cart-2", "entity", "irreversible", "canary", "keep", "x"};
    static const char *const keys[] = {
        "kind", "name", "strategy", "canary", "steps", "setWeight", "ramp",
        "to", "admission", "share", "holdback", "stickiness", "dataCompat",
        "onAbort", "blueGreen"};
    json_t *value;

    switch (draw(dice, depth == 0 ? 4 : 8)) {
    case 0:
        return json_string(words[draw(dice, 7)]);
    case 1:
        return json_integer((json_int_t)draw(dice, 140) - 20);
    case 2:
        return json_real((double)draw(dice, 2000000) / 10001.0 - 5);
    case 3:
        return draw(dice, 2) ? json_null() : json_boolean(draw(dice, 2));
    case 4:
        value = json_array();
        for (uint64_t i = draw(dice, 70); i > 0; i--) {
            json_array_append_new(value, any_value(dice, depth - 1));
        }
        return value;
    default:
        value = json_object();
        for (uint64_t i = draw(dice, 8); i > 0; i--) {
            json_object_set_new(value, keys[draw(dice, 15)],
                                any_value(dice, depth - 1));
        }
        return value;
    }
}

static void anything_is_read_or_refused(void **state)
{
    uint64_t dice = 4711;
    unsigned taken = 0;

    (void)state;
    for (unsigned i = 0; i < 4000; i++) {
        json_t *value = any_value(&dice, 4);
        struct release_facts facts;

        if (json_is_object(value)) {
            json_object_set_new(value, "kind", json_string("Release"));
            json_object_set_new(value, "name", json_string("c"));
        }
        if (release_facts_read(value, &facts) == 0) {
            taken++;
            assert_true(facts.weight_count <= RELEASE_STEPS_MAX);
            assert_true(facts.declared_share + facts.holdback <=
                        GRAY_SHARE_ALL);
            for (size_t j = 0; j < facts.weight_count; j++) {
                assert_true(facts.weights[j].share <= GRAY_SHARE_ALL);
                assert_true(facts.weights[j].step < facts.step_count);
                assert_true(j == 0 || facts.weights[j].share >
                                          facts.weights[j - 1].share);
            }
        }
        json_decref(value);
    }
    assert_true(taken > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(weights),
        cmocka_unit_test(as_many_weights_as_there_are_places),
        cmocka_unit_test(what_is_no_release),
        cmocka_unit_test(anything_is_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
