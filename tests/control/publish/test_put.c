/* SPDX-License-Identifier: Apache-2.0
 * test_put.c - a revision and its words come into force together.
 *
 * Read next: control/publish/publisher.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/publish/fixture.h"

static void a_revision_comes_into_force(void **state)
{
    struct place place;
    struct publisher *publisher;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    assert_int_equal(publisher_revision(publisher), 0);
    for (uint64_t revision = 1; revision <= 3; revision++) {
        revision_put_well(publisher, revision, NULL, 0);
        assert_int_equal(publisher_revision(publisher), revision);
        assert_int_equal(revision_found(place.runtime), revision);
        assert_int_equal(copies_count(&place), 1);
    }
    publisher_close(publisher);
    publisher = publisher_new(&place); /* the lock went with it */
    assert_int_equal(publisher_revision(publisher), 3);
    publisher_close(publisher);
    place_remove(&place);
}

static void words_come_with_it(void **state)
{
    struct publisher_word words[] = {{"cart-2", GRAY_WORD_BASELINE},
                                     {"pay-7", GRAY_WORD_OPEN}};
    struct place place;
    struct publisher *publisher;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, words, 2);
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_BASELINE);
    assert_int_equal(word_found(place.runtime, "pay-7"), GRAY_WORD_OPEN);
    words[0].word = GRAY_WORD_OPEN;
    words[1].word = GRAY_WORD_KILLED;
    revision_put_well(publisher, 2, words, 2);
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_OPEN);
    assert_int_equal(word_found(place.runtime, "pay-7"), GRAY_WORD_KILLED);
    /* No other release's word is touched. */
    revision_put_well(publisher, 3, words, 1);
    assert_int_equal(word_found(place.runtime, "pay-7"), GRAY_WORD_KILLED);
    publisher_close(publisher);
    place_remove(&place);
}

/* What tightens is in force before the policy, what loosens after it: seen
 * where the policy between them fails. */
static void first_tighter_last_looser(void **state)
{
    struct publisher_word words[] = {{"cart-2", GRAY_WORD_OPEN},
                                     {"pay-7", GRAY_WORD_NO_ADMIT}};
    struct gray_problem problem = {0};
    struct gray_compiled compiled;
    struct place place;
    struct publisher *publisher;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    words[0].word = GRAY_WORD_BASELINE;
    revision_put_well(publisher, 1, words, 1);
    words[0].word = GRAY_WORD_OPEN;
    revision_compile(2, &compiled);
    memset(compiled.policy.data + 200, 0xff, 400);
    assert_true(publisher_put(publisher, &compiled, words, 2, NULL,
                              &problem) < 0);
    assert_non_null(problem.code);
    gray_compiled_free(&compiled);
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_BASELINE);
    assert_int_equal(word_found(place.runtime, "pay-7"), GRAY_WORD_NO_ADMIT);
    assert_int_equal(revision_found(place.runtime), 1);
    assert_int_equal(publisher_revision(publisher), 1);
    publisher_close(publisher);
    place_remove(&place);
}

static void one_grayd_a_folder(void **state)
{
    struct gray_problem problem = {0};
    struct publisher *publisher, *second = NULL;
    struct place place;
    char pid[32];

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    assert_true(publisher_open(&second, place.runtime, place.state, (gid_t)-1,
                               false, &problem) < 0);
    assert_null(second);
    assert_string_equal(problem.code, "in-use");
    snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
    assert_non_null(strstr(problem.sentence, pid));
    revision_put_well(publisher, 1, NULL, 0);
    /* A restore beside it finds a folder that lives. */
    assert_int_equal(publisher_restore(place.state, place.runtime, (gid_t)-1,
                                       false, &problem),
                     1);
    publisher_close(publisher);
    publisher_close(NULL);
    place_remove(&place);
}

static void a_folder_must_be_in_memory(void **state)
{
    struct gray_problem problem = {0};
    struct publisher *publisher = NULL;
    char path[] = "/var/tmp/graylane-test.XXXXXX", runtime[80];
    struct place place;

    (void)state;
    place_new(&place);
    assert_non_null(mkdtemp(path));
    snprintf(runtime, sizeof(runtime), "%s/run", path);
    assert_true(publisher_open(&publisher, runtime, place.state, (gid_t)-1,
                               false, &problem) < 0);
    assert_string_equal(problem.code, "not-tmpfs");
    assert_int_equal(publisher_open(&publisher, runtime, place.state,
                                    (gid_t)-1, true, &problem),
                     0);
    revision_put_well(publisher, 1, NULL, 0);
    publisher_close(publisher);
    folder_remove(path);
    place_remove(&place);
}

/* Somebody removed the folder under a living grayd, and made it again. */
static void a_removed_folder_is_followed(void **state)
{
    struct publisher_word word = {"cart-2", GRAY_WORD_BASELINE};
    struct gray_problem problem = {0};
    struct publisher *publisher;
    struct place place;
    uint64_t scope;
    uint32_t found = 9;
    size_t at = 0;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, &word, 1);
    folder_remove(place.runtime);
    assert_int_equal(publisher_host_word(publisher, &at, &scope, &found), 1);
    assert_int_equal(publisher_restore(place.state, place.runtime, (gid_t)-1,
                                       false, &problem),
                     0);
    host_says(place.runtime, "cart-2", GRAY_WORD_KILLED);
    at = 0;
    assert_int_equal(publisher_host_word(publisher, &at, &scope, &found), 0);
    assert_int_equal(found, GRAY_WORD_KILLED);
    folder_remove(place.runtime);
    revision_put_well(publisher, 2, &word, 1);
    assert_int_equal(revision_found(place.runtime), 2);
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_BASELINE);
    folder_remove(place.runtime);
    assert_int_equal(publisher_words(publisher, &word, 1, NULL), 0);
    assert_int_equal(publisher_revision(publisher), 0); /* to be published */
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_BASELINE);
    publisher_close(publisher);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revision_comes_into_force),
        cmocka_unit_test(words_come_with_it),
        cmocka_unit_test(first_tighter_last_looser),
        cmocka_unit_test(one_grayd_a_folder),
        cmocka_unit_test(a_folder_must_be_in_memory),
        cmocka_unit_test(a_removed_folder_is_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
