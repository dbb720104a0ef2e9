/* SPDX-License-Identifier: Apache-2.0
 * test_args.c - the command line is what the table says, no more, no less.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cli/cli.h"

#define ARGV(...) ((char *[]) { (char[]) { "gray" }, __VA_ARGS__, NULL })
#define W(text) ((char[]) { text })

static int parse(struct arguments *arguments, char **argv)
{
    int argc = 0;

    while (argv[argc] != NULL) {
        argc++;
    }
    return arguments_parse(arguments, argc, argv);
}

static void options_are_read_in_every_spelling(void **state)
{
    struct arguments a;
    size_t at = 0;

    (void)state;
    assert_int_equal(parse(&a, ARGV(W("publish"), W("-f"), W("one"), W("-ftwo"),
                                    W("--file=three"), W("--runtime"), W("/r"),
                                    W("--dry-run"), W("-o"), W("json"))),
                     0);
    assert_string_equal(a.command->words, "publish");
    assert_string_equal(arguments_next(&a, CLI_FILE, &at), "one");
    assert_string_equal(arguments_next(&a, CLI_FILE, &at), "two");
    assert_string_equal(arguments_next(&a, CLI_FILE, &at), "three");
    assert_null(arguments_next(&a, CLI_FILE, &at));
    assert_string_equal(arguments_runtime(&a), "/r");
    assert_true(arguments_has(&a, CLI_DRY_RUN));
    assert_true(arguments_json(&a));
    assert_false(arguments_has(&a, CLI_WAIT));
}

static void two_words_make_one_command(void **state)
{
    struct arguments a;

    (void)state;
    assert_int_equal(parse(&a, ARGV(W("keys"), W("check"), W("-"))), 0);
    assert_string_equal(a.command->words, "keys check");
    assert_int_equal(a.operand_count, 1);
    assert_string_equal(a.operands[0], "-");
    assert_int_equal(parse(&a, ARGV(W("keys"))), CLI_EXIT_USAGE);
    assert_int_equal(parse(&a, ARGV(W("check"))), CLI_EXIT_USAGE);
}

static void what_the_table_does_not_have_is_refused(void **state)
{
    struct arguments a;

    (void)state;
    assert_int_equal(parse(&a, ARGV(W("publsh"))), CLI_EXIT_USAGE);
    assert_int_equal(parse(&a, ARGV(W("lint"), W("--runtime"), W("x"))),
                     CLI_EXIT_USAGE);
    assert_int_equal(parse(&a, ARGV(W("lint"), W("extra"))), CLI_EXIT_USAGE);
    assert_int_equal(parse(&a, ARGV(W("sample"))), CLI_EXIT_USAGE);
    assert_int_equal(parse(&a, ARGV(W("lint"), W("-f"))), CLI_EXIT_USAGE);
    assert_int_equal(parse(&a, ARGV(W("lint"), W("-o"), W("xml"))),
                     CLI_EXIT_USAGE);
    assert_int_equal(parse(&a, ARGV(W("publish"), W("--dry-run=yes"))),
                     CLI_EXIT_USAGE);
    assert_int_equal(parse(&a, ARGV(W("bypass"), W("maybe"))), CLI_EXIT_USAGE);
}

static void options_have_a_limit(void **state)
{
    char *argv[2 * CLI_VALUES_MAX + 6];
    char words[4][8] = { "gray", "lint", "-f", "x" };
    struct arguments a;
    int argc = 2;

    (void)state;
    argv[0] = words[0];
    argv[1] = words[1];
    for (unsigned i = 0; i < CLI_VALUES_MAX; i++) {
        argv[argc++] = words[2];
        argv[argc++] = words[3];
    }
    assert_int_equal(arguments_parse(&a, argc, argv), 0);
    argv[argc++] = words[2];
    argv[argc++] = words[3];
    assert_int_equal(arguments_parse(&a, argc, argv), CLI_EXIT_USAGE);
}

static void numbers_keep_their_bounds(void **state)
{
    struct arguments a;
    double number = -1;

    (void)state;
    assert_int_equal(parse(&a, ARGV(W("top"), W("-n"), W("3"), W("--interval"),
                                    W("1e9x"))),
                     0);
    assert_int_equal(arguments_number(&a, CLI_COUNT, 0, 3, &number), 0);
    assert_true(number == 3);
    assert_int_equal(arguments_number(&a, CLI_COUNT, 0, 2, &number),
                     CLI_EXIT_USAGE);
    assert_int_equal(arguments_number(&a, CLI_INTERVAL, 0, 1e12, &number),
                     CLI_EXIT_USAGE);
    assert_true(number == 3);
    assert_int_equal(arguments_number(&a, CLI_WAIT, 0, 1, &number), 0);
    assert_true(number == 3);
}

static void the_nearest_word_is_found(void **state)
{
    (void)state;
    assert_int_equal(words_distance("", "abc"), 3);
    assert_int_equal(words_distance("stop", "stop"), 0);
    assert_int_equal(words_distance("stpo", "stop"), 2);
    assert_int_equal(words_distance("kitten", "sitting"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_read_in_every_spelling),
        cmocka_unit_test(two_words_make_one_command),
        cmocka_unit_test(what_the_table_does_not_have_is_refused),
        cmocka_unit_test(options_have_a_limit),
        cmocka_unit_test(numbers_keep_their_bounds),
        cmocka_unit_test(the_nearest_word_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
