/* SPDX-License-Identifier: Apache-2.0
 * args.c - a command line read by the table of commands.def.
 *
 * Why: the same table is parser, help, manual and completion, so that none of
 * them can drift.  A wrong word is answered with the nearest valid one and
 * with all of them: nobody should have to open a manual at night.
 * Read next: commands.def, help.c.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "policy/utf8.h"

const struct cli_exit_code cli_exit_codes[] = {
#define CLI_EXIT(NAME, number, sentence) { number, #NAME, sentence },
#include "cli/commands.def"
};
const size_t cli_exit_code_count =
    sizeof(cli_exit_codes) / sizeof(cli_exit_codes[0]);

const struct cli_option cli_options[CLI_OPTION_COUNT] = {
#define CLI_OPTION(NAME, letter, word, ARGUMENT, values, text) \
    { letter, word, ARGUMENT, values, text },
#include "cli/commands.def"
};

#define CLI_TAKES(...) { __VA_ARGS__, CLI_HELP }
const struct cli_command cli_commands[] = {
#define CLI_COMMAND(name, words, OPERANDS, least, most, options, summary, \
                    details, example)                                     \
    { words,   OPERANDS, least,   most,                                   \
      options, summary, details, example, command_##name },
#include "cli/commands.def"
};
const size_t cli_command_count =
    sizeof(cli_commands) / sizeof(cli_commands[0]);
_Static_assert(sizeof(cli_commands) / sizeof(cli_commands[0]) <=
                   CLI_COMMANDS_MAX,
               "more commands than are listed to a wrong word");

unsigned words_distance(const char *a, const char *b)
{
    unsigned row[64];
    size_t length = strnlen(b, 63);

    for (size_t j = 0; j <= length; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < length; j++) {
            unsigned best = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            if (row[j] + 1 < best) {
                best = row[j] + 1;
            }
            if (diagonal + 1 < best) {
                best = diagonal + 1;
            }
            row[j + 1] = best;
        }
    }
    return row[length];
}

void words_suggest(const char *wrong, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    unsigned best = 3;

    for (size_t i = 0; i < count; i++) {
        unsigned distance = words_distance(wrong, names[i]);

        if (distance < best || (*wrong != '\0' && nearest == NULL &&
                                strncmp(names[i], wrong, strlen(wrong)) == 0)) {
            best = distance < best ? distance : best;
            nearest = names[i];
        }
    }
    if (nearest != NULL) {
        fprintf(stderr, "did you mean: %s\n", nearest);
    }
    fprintf(stderr, "valid:");
    for (size_t i = 0; i < count; i++) {
        fprintf(stderr, "%s %s", i > 0 ? "," : "", names[i]);
    }
    fprintf(stderr, "%s\n", count == 0 ? " none" : "");
}

/* Two words before one: `hosts forget` is not `hosts` of a host "forget". */
const struct cli_command *command_find(const char *first, const char *second)
{
    const struct cli_command *found = NULL;

    for (size_t i = 0; i < cli_command_count; i++) {
        const char *words = cli_commands[i].words;
        const char *blank = strchr(words, ' ');

        if (blank == NULL) {
            found = strcmp(words, first) == 0 ? &cli_commands[i] : found;
        } else if (second != NULL &&
                   strncmp(words, first, strlen(first)) == 0 &&
                   words + strlen(first) == blank &&
                   strcmp(blank + 1, second) == 0) {
            return &cli_commands[i];
        }
    }
    return found;
}

/* Words that may stand where `wrong` stands: commands, or the second words of
 * the commands that begin with `group`. */
static int complain_command(const char *group, const char *wrong)
{
    const char *names[CLI_COMMANDS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < cli_command_count && count < CLI_COMMANDS_MAX;
         i++) {
        const char *words = cli_commands[i].words;

        if (group == NULL) {
            names[count++] = words;
        } else if (strncmp(words, group, strlen(group)) == 0 &&
                   words[strlen(group)] == ' ') {
            names[count++] = words + strlen(group) + 1;
        }
    }
    if (group != NULL && count > 0) {
        complain("%s: %s%s", group, wrong == NULL ? "a word is missing"
                                                  : "no such command: ",
                 wrong == NULL ? "" : wrong);
        words_suggest(wrong == NULL ? "" : wrong, names, count);
    } else {
        complain("no such command: %s", wrong);
        words_suggest(wrong, names, count);
    }
    return CLI_EXIT_USAGE;
}

static bool is_group(const char *word)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        size_t length = strlen(word);

        if (strncmp(cli_commands[i].words, word, length) == 0 &&
            cli_commands[i].words[length] == ' ') {
            return true;
        }
    }
    return false;
}

/* "a|b|c" holds the word. */
static bool values_hold(const char *values, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = values; at != NULL && *at != '\0';) {
        size_t span = strcspn(at, "|");

        if (span == length && memcmp(at, word, length) == 0) {
            return true;
        }
        at += span;
        at += *at == '|';
    }
    return false;
}

static int complain_value(const char *what, const char *values,
                          const char *value)
{
    complain("%s: no such value: %s (valid: %s)", what, value, values);
    return CLI_EXIT_USAGE;
}

static int add_value(struct arguments *arguments, unsigned option,
                     const char *value)
{
    const struct cli_option *entry = &cli_options[option];

    if (arguments->value_count == CLI_VALUES_MAX) {
        complain("more than %u options", CLI_VALUES_MAX);
        return CLI_EXIT_USAGE;
    }
    if (strchr(entry->values, '|') != NULL &&
        !values_hold(entry->values, value)) {
        char what[64];

        snprintf(what, sizeof(what), "--%s", entry->word);
        return complain_value(what, entry->values, value);
    }
    arguments->values[arguments->value_count].option = option;
    arguments->values[arguments->value_count].value = value;
    arguments->value_count++;
    return 0;
}

static int complain_option(const struct arguments *arguments,
                           const char *wrong)
{
    const char *names[CLI_OPTION_COUNT];
    char texts[CLI_OPTION_COUNT][32];
    size_t count = 0;

    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        if (command_takes(arguments->command, i)) {
            snprintf(texts[count], sizeof(texts[count]), "--%s",
                     cli_options[i].word);
            names[count] = texts[count];
            count++;
        }
    }
    complain("%s has no option %s", arguments->command->words, wrong);
    words_suggest(wrong, names, count);
    return CLI_EXIT_USAGE;
}

bool command_takes(const struct cli_command *command,
                   enum cli_option_number option)
{
    const uint8_t *at = command->options;

    while (*at != option && *at != CLI_HELP) {
        at++;
    }
    return *at == option;
}

/* The option that `word` (without dashes) or `letter` names; OPTION_COUNT. */
static unsigned option_find(const struct arguments *arguments,
                            const char *word, size_t length, char letter)
{
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        const struct cli_option *option = &cli_options[i];

        if (!command_takes(arguments->command, i)) {
            continue;
        }
        if (word != NULL ? strlen(option->word) == length &&
                               memcmp(option->word, word, length) == 0
                         : option->letter != 0 && option->letter == letter) {
            return i;
        }
    }
    return CLI_OPTION_COUNT;
}

/* One option at argv[*at]; moves *at over its value. */
static int parse_option(struct arguments *arguments, int argc,
                        char *const *argv, int *at)
{
    const char *text = argv[*at];
    const char *value = NULL;
    unsigned option;

    if (text[1] == '-') {
        size_t length = strcspn(text + 2, "=");

        option = option_find(arguments, text + 2, length, 0);
        value = text[2 + length] == '=' ? text + 3 + length : NULL;
    } else {
        option = option_find(arguments, NULL, 0, text[1]);
        value = text[2] != '\0' ? text + 2 : NULL;
    }
    if (option == CLI_OPTION_COUNT) {
        return complain_option(arguments, text);
    }
    if (cli_options[option].argument[0] == '\0') {
        if (value != NULL) {
            complain("--%s takes no value", cli_options[option].word);
            return CLI_EXIT_USAGE;
        }
        return add_value(arguments, option, "");
    }
    if (value == NULL) {
        if (*at + 1 >= argc) {
            complain("--%s needs %s: %s", cli_options[option].word,
                     cli_options[option].argument, cli_options[option].text);
            return CLI_EXIT_USAGE;
        }
        value = argv[++*at];
    }
    return add_value(arguments, option, value);
}

static int check_operands(const struct arguments *arguments)
{
    const struct cli_command *command = arguments->command;

    if (arguments_has(arguments, CLI_HELP)) {
        return 0;
    }
    if (arguments->operand_count < command->least) {
        complain("%s needs %s", command->words, command->operands);
        fprintf(stderr, "example: %s\n", command->example);
        return CLI_EXIT_USAGE;
    }
    if (arguments->operand_count > command->most) {
        complain("%s: too many words: %s", command->words,
                 arguments->operands[command->most]);
        return CLI_EXIT_USAGE;
    }
    if (strchr(command->operands, '|') != NULL &&
        command->operands[0] != '[') {
        for (size_t i = 0; i < arguments->operand_count; i++) {
            if (!values_hold(command->operands, arguments->operands[i])) {
                return complain_value(command->words, command->operands,
                                      arguments->operands[i]);
            }
        }
    }
    return 0;
}

/* Finds the command; *ret_next is the place after its words. */
static int parse_command(struct arguments *arguments, int argc,
                         char *const *argv, int *ret_next)
{
    const char *first = argc > 1 ? argv[1] : "help";
    const char *second = argc > 2 ? argv[2] : NULL;

    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        first = "help";
    } else if (strcmp(first, "--version") == 0) {
        first = "version";
    }
    arguments->command = command_find(first, second);
    if (arguments->command == NULL) {
        return is_group(first) ? complain_command(first, second)
                               : complain_command(NULL, first);
    }
    *ret_next = strchr(arguments->command->words, ' ') != NULL ? 3 : 2;
    return 0;
}

static bool is_utf8(const char *text)
{
    size_t length = strlen(text), step;

    for (; length > 0; text += step, length -= step) {
        step = gray_utf8_step(text, length);
        if (step == 0) {
            return false;
        }
    }
    return true;
}

/* What goes to grayd goes there as JSON, which holds UTF-8 and nothing else: a
 * scope or a moment that was left out would be the widest scope, and now.
 * Names of files stay here, and a header of explain is bytes. */
static int check_texts(const struct arguments *arguments)
{
    bool good = true;

    if (!command_takes(arguments->command, CLI_SERVER) ||
        command_takes(arguments->command, CLI_HEADER)) {
        return 0;
    }
    for (size_t i = 0; good && i < arguments->operand_count; i++) {
        good = is_utf8(arguments->operands[i]);
    }
    for (size_t i = 0; good && i < arguments->value_count; i++) {
        const char *values = cli_options[arguments->values[i].option].values;

        good = strcmp(values, "file") == 0 || strcmp(values, "folder") == 0 ||
               is_utf8(arguments->values[i].value);
    }
    if (!good) {
        complain("a word of the command is not UTF-8; nothing was done. Write "
                 "it in a terminal with a UTF-8 locale");
        return CLI_EXIT_USAGE;
    }
    return 0;
}

int arguments_parse(struct arguments *ret_arguments, int argc,
                    char *const *argv)
{
    struct arguments arguments = { 0 };
    bool only_operands = false;
    int at = 0;
    int status = parse_command(&arguments, argc, argv, &at);

    for (; status == 0 && at < argc; at++) {
        const char *text = argv[at];

        if (!only_operands && strcmp(text, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && text[0] == '-' && text[1] != '\0') {
            status = parse_option(&arguments, argc, argv, &at);
        } else if (arguments.operand_count == CLI_OPERANDS_MAX) {
            complain("too many words: %s", text);
            status = CLI_EXIT_USAGE;
        } else {
            arguments.operands[arguments.operand_count++] = text;
        }
    }
    if (status == 0) {
        status = check_operands(&arguments);
    }
    if (status == 0) {
        status = check_texts(&arguments);
    }
    if (status == 0) {
        *ret_arguments = arguments;
    }
    return status;
}

bool arguments_has(const struct arguments *arguments,
                   enum cli_option_number option)
{
    return arguments_get(arguments, option) != NULL;
}

const char *arguments_get(const struct arguments *arguments,
                          enum cli_option_number option)
{
    for (size_t i = arguments->value_count; i > 0; i--) {
        if (arguments->values[i - 1].option == option) {
            return arguments->values[i - 1].value;
        }
    }
    return NULL;
}

const char *arguments_next(const struct arguments *arguments,
                           enum cli_option_number option, size_t *position)
{
    while (*position < arguments->value_count) {
        size_t i = (*position)++;

        if (arguments->values[i].option == option) {
            return arguments->values[i].value;
        }
    }
    return NULL;
}

bool arguments_json(const struct arguments *arguments)
{
    const char *format = arguments_get(arguments, CLI_OUTPUT);

    return format != NULL && strcmp(format, "json") == 0;
}

int arguments_number(const struct arguments *arguments,
                     enum cli_option_number option, double least, double most,
                     double *ret_number)
{
    const char *text = arguments_get(arguments, option);
    char *end;
    double number;

    if (text == NULL) {
        return 0;
    }
    errno = 0;
    number = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(number) ||
        number < least || number > most) {
        complain("--%s: a number from %g to %g is wanted, not: %s",
                 cli_options[__builtin_ctzll(option)].word, least, most, text);
        return CLI_EXIT_USAGE;
    }
    *ret_number = number;
    return 0;
}

const char *arguments_runtime(const struct arguments *arguments)
{
    const char *folder = arguments_get(arguments, CLI_RUNTIME);

    if (folder == NULL) {
        folder = getenv("GRAY_RUNTIME");
    }
    return folder != NULL && *folder != '\0' ? folder : GRAY_RUNTIME_DEFAULT;
}
