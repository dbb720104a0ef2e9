/* SPDX-License-Identifier: Apache-2.0
 * test_words.c - a word of the host is never overwritten unseen.
 *
 * Read next: control/publish/words.c.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/publish/fixture.h"

#define HOST(word) ((word) | GRAY_WORD_HOST)

/* The only host word there is; -1: none. */
static int only_host_word(struct publisher *publisher, const char *name)
{
    uint64_t scope = 0;
    uint32_t word = 9;
    size_t at = 0;

    if (publisher_host_word(publisher, &at, &scope, &word) != 0) {
        return -1;
    }
    assert_true(scope == gray_hash_scope(name, strlen(name)));
    assert_int_equal(publisher_host_word(publisher, &at, &scope, &word), 1);
    return (int)word;
}

static void the_host_wins(void **state)
{
    struct publisher_word words[] = {{"cart-2", GRAY_WORD_OPEN},
                                     {"pay-7", GRAY_WORD_BASELINE}};
    struct place place;
    struct publisher *publisher;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, words, 2);
    assert_int_equal(only_host_word(publisher, "cart-2"), -1);
    for (uint32_t said = 0; said <= GRAY_WORD_KILLED; said++) {
        host_says(place.runtime, "cart-2", said);
        for (uint32_t wanted = 0; wanted <= GRAY_WORD_KILLED; wanted++) {
            words[0].word = wanted;
            assert_int_equal(publisher_words(publisher, words, 2, NULL), 0);
            revision_put_well(publisher, 2 + wanted, words, 2);
            assert_int_equal(word_found(place.runtime, "cart-2"), HOST(said));
        }
        assert_int_equal(only_host_word(publisher, "cart-2"), said);
    }
    publisher_close(publisher);
    place_remove(&place);
}

static void force_after_a_look(void **state)
{
    struct gray_problem problem = {0};
    struct place place;
    struct publisher *publisher;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, NULL, 0);
    host_says(place.runtime, "cart-2", GRAY_WORD_NO_ADMIT);
    assert_true(publisher_word_force(publisher, "cart-2", GRAY_WORD_OPEN,
                                     &problem) < 0);
    assert_string_equal(problem.code, "host-word");
    assert_int_equal(only_host_word(publisher, "cart-2"), GRAY_WORD_NO_ADMIT);
    /* Said again meanwhile: newer than the look. */
    host_says(place.runtime, "cart-2", GRAY_WORD_NO_ADMIT);
    assert_true(publisher_word_force(publisher, "cart-2", GRAY_WORD_NO_ADMIT,
                                     &problem) < 0);
    assert_int_equal(only_host_word(publisher, "cart-2"), GRAY_WORD_NO_ADMIT);
    assert_int_equal(publisher_word_force(publisher, "cart-2", GRAY_WORD_OPEN,
                                          &problem),
                     0);
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_OPEN);
    assert_int_equal(only_host_word(publisher, "cart-2"), -1);
    /* What is stricter than the host's needs no look. */
    host_says(place.runtime, "cart-2", GRAY_WORD_NO_ADMIT);
    assert_int_equal(publisher_word_force(publisher, "cart-2",
                                          GRAY_WORD_KILLED, &problem),
                     0);
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_KILLED);
    assert_true(publisher_word_force(publisher, "cart-2", 4, &problem) < 0);
    assert_string_equal(problem.code, "bad-word");
    publisher_close(publisher);
    place_remove(&place);
}

/* ---- at the same moment -------------------------------------------------- */

#define ROUNDS 40000u

struct race {
    const struct place *place;
    _Atomic bool over;
    unsigned lost;
};

/* Somebody at the host's keyboard: a kill, again and again; nobody but himself
 * may take it back. */
static void *host_kills(void *context)
{
    struct race *race = context;
    struct gray_folder folder;
    uint64_t scope = gray_hash_scope("cart-2", 6);
    uint32_t before;

    if (gray_folder_open(&folder, race->place->runtime, true, NULL) != 0) {
        race->lost = ROUNDS;
        race->over = true;
        return NULL;
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        gray_word_set(&folder, scope, GRAY_WORD_OPEN, NULL, NULL);
        gray_word_set(&folder, scope, HOST(GRAY_WORD_KILLED), NULL, NULL);
        before = 0;
        gray_word_set(&folder, scope, HOST(GRAY_WORD_OPEN), &before, NULL);
        race->lost += before != HOST(GRAY_WORD_KILLED);
    }
    gray_folder_close(&folder);
    race->over = true;
    return NULL;
}

static void nothing_falls_between_look_and_write(void **state)
{
    struct publisher_word word = {"cart-2", GRAY_WORD_NO_ADMIT};
    struct publisher *publisher;
    struct place place;
    struct race race = {.place = &place};
    pthread_t thread;
    unsigned asked = 0;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    assert_int_equal(publisher_words(publisher, &word, 1, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, host_kills, &race), 0);
    while (!race.over) {
        assert_int_equal(publisher_words(publisher, &word, 1, NULL), 0);
        asked++;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("%u kills beside %u changes, %u lost\n", ROUNDS, asked,
                  race.lost);
    assert_int_equal(race.lost, 0);
    publisher_close(publisher);
    place_remove(&place);
}

/* One that cannot be set does not keep the others. */
static void many_are_forced(void **state)
{
    struct publisher_word words[] = {{"cart-2", GRAY_WORD_OPEN},
                                     {"pay-7", GRAY_WORD_KILLED}};
    struct gray_problem problem = {0};
    struct place place;
    struct publisher *publisher;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, NULL, 0);
    host_says(place.runtime, "cart-2", GRAY_WORD_BASELINE);
    assert_true(publisher_words_force(publisher, words, 2, &problem) < 0);
    assert_string_equal(problem.code, "host-word");
    assert_int_equal(word_found(place.runtime, "pay-7"), GRAY_WORD_KILLED);
    assert_int_equal(word_found(place.runtime, "cart-2"),
                     HOST(GRAY_WORD_BASELINE));
    publisher_close(publisher);
    assert_int_equal(restore_elsewhere(&place), 1);
    assert_int_equal(word_found(place.other, "pay-7"), GRAY_WORD_KILLED);
    place_remove(&place);
}

/* Words alone reach last-good too: what was killed stays killed. */
static void words_alone_are_kept(void **state)
{
    struct publisher_word word = {"cart-2", GRAY_WORD_KILLED};
    struct place place;
    struct publisher *publisher;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    assert_int_equal(publisher_words(publisher, &word, 1, NULL), 0);
    revision_put_well(publisher, 1, NULL, 0);
    word.word = GRAY_WORD_NO_ADMIT;
    assert_int_equal(publisher_words(publisher, &word, 1, NULL), 0);
    assert_int_equal(publisher_bypass(publisher, true, NULL), 0);
    assert_true(publisher_bypassed(publisher));
    publisher_close(publisher);
    assert_int_equal(restore_elsewhere(&place), 1);
    assert_int_equal(word_found(place.other, "cart-2"), GRAY_WORD_NO_ADMIT);
    strcpy(place.runtime, place.other);
    publisher = publisher_new(&place);
    assert_true(publisher_bypassed(publisher));
    assert_int_equal(publisher_bypass(publisher, false, NULL), 0);
    assert_false(publisher_bypassed(publisher));
    publisher_close(publisher);
    place_remove(&place);
}

static void log_line(const struct place *place, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/actions.log", place->runtime);
    file = fopen(path, "a");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void who_did_it(void **state)
{
    struct place place;
    struct publisher *publisher;
    json_t *action;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    assert_null(publisher_host_action(publisher, "cart-2"));
    log_line(&place, "{\"release\":\"cart-2\",\"actor\":\"old\"}\n");
    for (unsigned i = 0; i < 4000; i++) {
        log_line(&place, "{\"release\":\"pay-7\",\"actor\":\"bob, who has a "
                         "long name for a person\",\"reason\":\"many\"}\n");
    }
    assert_null(publisher_host_action(publisher, "cart-2")); /* too old */
    log_line(&place, "{\"release\":\"cart-2\",\"actor\":\"root (login ann)\","
                     "\"reason\":\"errors\",\"at\":\"T1\",\"before\":7}\n");
    log_line(&place, "{\"release\":\"cart-2\",\"reason\":5,\"actor\":\"a");
    log_line(&place, "\n\n[1]\nnot json {{{\n");
    action = publisher_host_action(publisher, "cart-2");
    assert_string_equal(json_string_value(json_object_get(action, "actor")),
                        "root (login ann)");
    assert_string_equal(json_string_value(json_object_get(action, "reason")),
                        "errors");
    assert_string_equal(json_string_value(json_object_get(action, "at")),
                        "T1");
    assert_int_equal(json_object_size(action), 3); /* no more than asked */
    json_decref(action);
    publisher_close(publisher);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_wins),
        cmocka_unit_test(force_after_a_look),
        cmocka_unit_test(nothing_falls_between_look_and_write),
        cmocka_unit_test(many_are_forced),
        cmocka_unit_test(words_alone_are_kept),
        cmocka_unit_test(who_did_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
