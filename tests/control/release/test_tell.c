/* SPDX-License-Identifier: Apache-2.0
 * test_tell.c - the command that is told to take a move back does take it
 * back; the audit's words; what a retired release leaves behind.
 *
 * Read next: control/release/tell.c, residue.c.
 */
#include "tests/control/release/release_case.h"

/* Says a verb, then the verb of the command that undoes it. */
static void undone(const struct release_facts *facts,
                   enum release_state_number from, enum release_verb verb,
                   const char *command)
{
    struct release_status before = stand(facts, from), now;
    enum release_verb back;
    char text[200], word[32];

    if (verb == VERB_UNKILL) {
        say(&before, facts, VERB_KILL);
    }
    now = before;
    say(&now, facts, verb);
    release_undo_command("cart-2", verb, &before, &now, text, sizeof(text));
    assert_string_equal(text, command);
    assert_int_equal(sscanf(text, "gray %31s", word), 1);
    assert_int_equal(release_verb_parse(word, &back), 0);
    say(&now, facts, back);
    assert_int_equal(release_word(&now), release_word(&before));
}

static void the_command_undoes_it(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_facts hard =
        facts_of("{'kind':'Release','name':'cart-2','dataCompat':"
                 "'irreversible','admission':{'share':5}}");
    struct release_status before = begin(&facts), after = before;
    char text[200] = "x";

    (void)state;
    undone(&facts, RELEASE_PROGRESSING, VERB_PAUSE, "gray resume cart-2");
    undone(&facts, RELEASE_PAUSED, VERB_RESUME, "gray pause cart-2");
    undone(&facts, RELEASE_PROGRESSING, VERB_FREEZE, "gray thaw cart-2");
    undone(&facts, RELEASE_FROZEN, VERB_THAW, "gray freeze cart-2");
    undone(&facts, RELEASE_PAUSED, VERB_ABORT, "gray retry cart-2");
    undone(&facts, RELEASE_PAUSED, VERB_STOP, "gray retry cart-2");
    undone(&hard, RELEASE_PROGRESSING, VERB_STOP, "gray thaw cart-2");
    undone(&facts, RELEASE_ABORTED, VERB_RETRY,
           "gray abort cart-2 --reason TEXT");
    undone(&facts, RELEASE_PAUSED, VERB_KILL, "gray unkill cart-2");
    undone(&facts, RELEASE_PAUSED, VERB_UNKILL,
           "gray kill cart-2 --reason TEXT");
    say(&after, &facts, VERB_START);
    release_undo_command("cart-2", VERB_START, &before, &after, text,
                         sizeof(text));
    assert_string_equal(text, "");
    release_undo_command("cart-2", VERB_PAUSE, &before, &after, text, 6);
    assert_string_equal(text, "gray ");
    release_undo_command("cart-2", VERB_PAUSE, &before, &after, text, 0);
}

static void check_type(const struct release_facts *facts,
                       struct release_status *now,
                       const struct release_event *event, const char *type)
{
    struct release_status before = *now;
    const char *told;

    go(now, facts, event);
    told = release_event_type(event->verb, &before, now);
    if (type == NULL) {
        assert_null(told);
    } else {
        assert_non_null(told);
        assert_string_equal(told, type);
    }
}

static void types_of_events(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = begin(&facts), earlier = now;
    struct release_event event = event_of(VERB_START);

    (void)state;
    check_type(&facts, &now, &event, "DEPLOYMENT_STARTED");
    event.verb = VERB_PROMOTE;
    check_type(&facts, &now, &event, "PERCENTAGE_UPDATED");
    event.verb = VERB_PAUSE;
    check_type(&facts, &now, &event, NULL);
    event.verb = VERB_KILL;
    check_type(&facts, &now, &event, NULL);
    event.verb = VERB_UNKILL;
    check_type(&facts, &now, &event, NULL);
    event.verb = VERB_PROMOTE;
    event.full = true;
    check_type(&facts, &now, &event, "DEPLOYMENT_COMPLETED");
    event.verb = VERB_ABORT;
    check_type(&facts, &now, &event, "ROLLBACK_STARTED");
    event.verb = VERB_RETRY;
    check_type(&facts, &now, &event, "DEPLOYMENT_STARTED");
    event.verb = VERB_UNDO;
    event.earlier = &earlier;
    check_type(&facts, &now, &event, "ROLLBACK_COMPLETED");
}

/* ---- what is left -------------------------------------------------------- */

static bool said(const json_t *sentences, const char *part)
{
    for (size_t i = 0; i < json_array_size(sentences); i++) {
        if (strstr(json_string_value(json_array_get(sentences, i)), part) !=
            NULL) {
            return true;
        }
    }
    return false;
}

static void residue(void **state)
{
    json_t *documents = document_of(
        "[{'kind':'Service','name':'cart','baseline':{'version':'v1'}},"
        "{'kind':'Service','name':'order','baseline':{'version':'v2'}},"
        "{'kind':'Service','name':'pay','baseline':{'zone':'a'}},"
        "{'kind':'List','name':'testers'},{'kind':'List','name':'vip'},"
        "{'kind':'List','name':'other'},"
        "{'kind':'Release','name':'cart-2','services':["
        "{'service':'cart','version':'v2'},{'service':'order','version':'v2'},"
        "{'service':'pay','version':'v2'},{'service':'gone','version':'v2'}],"
        "'admission':{'allow':[{'all':[{'list':'testers'},{'unit':{'list':"
        "'vip'}}]}],'deny':[{'idTail':['1']},{'idTail':['2']}]}},"
        "{'kind':'Release','name':'pay-7','admission':{'allow':[{'list':"
        "'vip'}]}},"
        "{'kind':'Release','name':'ab','variants':[{'name':'a','services':"
        "[{'service':'cart','version':'v3'}]}]}]");
    json_t *sentences = release_residue("cart-2", documents);

    (void)state;
    assert_int_equal(json_array_size(sentences), 4);
    assert_true(said(sentences, "Service/cart: its baseline still is v1; make "
                                "it {version: v2}"));
    assert_true(said(sentences, "List/testers: only this release"));
    assert_false(said(sentences, "List/vip"));
    assert_true(said(sentences, "2 rules under admission.deny"));
    assert_true(said(sentences, "1 rule under admission.allow"));
    json_decref(sentences);
    sentences = release_residue("ab", documents);
    assert_int_equal(json_array_size(sentences), 1);
    assert_true(said(sentences, "make it {version: v3}"));
    json_decref(sentences);
    sentences = release_residue("nobody", documents);
    assert_int_equal(json_array_size(sentences), 0);
    json_decref(sentences);
    json_decref(documents);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_command_undoes_it),
        cmocka_unit_test(types_of_events),
        cmocka_unit_test(residue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
