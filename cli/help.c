/* SPDX-License-Identifier: Apache-2.0
 * help.c - the table of commands as text, as markdown and as a manual page.
 *
 * Why: docs/cli.md and docs/man/gray.1 are the output of `gray help --as`, and
 * a test compares them, so that the manual changes with the code.
 * Read next: commands.def, completion.c.
 */
#include <ctype.h>
#include <string.h>

#include "cli/cli.h"

static const char intro[] =
    "gray checks documents, puts them in force through grayd, or without any "
    "daemon into the runtime folder of a host, drives releases, says what is "
    "decided for a request and why, watches, and stops. When grayd is dead, "
    "what stops and what looks goes on with the runtime folder. Facts go to standard output (with -o json nothing but JSON), "
    "messages to standard error.";

static const char which[] =
    "A command goes to the first of these that is there: --server; --context; "
    "--local or --runtime (the runtime folder of this host, without grayd); "
    "$GRAY_SERVER; $GRAY_RUNTIME (the folder); the current context; the unix "
    "socket of this host. Commands that only grayd knows skip the folder. Where "
    "nobody chose and no grayd answers, or the grayd chosen by a unix socket is "
    "dead or hangs, explain, status, stop, open, freeze, thaw, kill, unkill "
    "and bypass act on the folder and say so in one line; grayd takes over what "
    "was done there when it returns. The context file must have mode 0600, and "
    "so must a file with a token; a token goes over https:// or to this host "
    "alone.";

static void print_option(const struct cli_option *option, FILE *out)
{
    char left[64];

    snprintf(left, sizeof(left), "%c%c%s--%s%s%s",
             option->letter != 0 ? '-' : ' ',
             option->letter != 0 ? option->letter : ' ',
             option->letter != 0 ? ", " : "  ", option->word,
             option->argument[0] != '\0' ? " " : "", option->argument);
    fprintf(out, "  %-28s %s", left, option->text);
    if (strchr(option->values, '|') != NULL) {
        fprintf(out, " [%s]", option->values);
    }
    fputc('\n', out);
}

static void print_usage(const struct cli_command *command, FILE *out)
{
    fprintf(out, "gray %s", command->words);
    if (command->operands[0] != '\0') {
        fprintf(out, " %s", command->operands);
    }
    if (command->options[0] != CLI_HELP) {
        fprintf(out, " [OPTIONS]");
    }
}

void help_command(const struct cli_command *command, FILE *out)
{
    print_usage(command, out);
    fprintf(out, "\n\n%s.\n", command->summary);
    if (command->details[0] != '\0') {
        fprintf(out, "%s\n", command->details);
    }
    fprintf(out, "\noptions:\n");
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        if (command_takes(command, i)) {
            print_option(&cli_options[i], out);
        }
    }
    fprintf(out, "\nexample:\n  %s\n", command->example);
}

void help_usage(FILE *out)
{
    fprintf(out, "gray COMMAND [OPTIONS]\n\ncommands:\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        fprintf(out, "  %-16s %s\n", cli_commands[i].words,
                cli_commands[i].summary);
    }
    fprintf(out, "\ngray help COMMAND says more; gray help exit-codes and gray "
                 "help options too.\n");
}

static void help_exit_codes(FILE *out)
{
    for (size_t i = 0; i < cli_exit_code_count; i++) {
        fprintf(out, "  %d  %s\n", cli_exit_codes[i].number,
                cli_exit_codes[i].sentence);
    }
}

static void help_options(FILE *out)
{
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        print_option(&cli_options[i], out);
    }
}

static void markdown_command(const struct cli_command *command, FILE *out)
{
    fprintf(out, "\n### gray %s\n\n```\n", command->words);
    print_usage(command, out);
    fprintf(out, "\n```\n\n%c%s.\n", toupper((unsigned char)*command->summary),
            command->summary + 1);
    if (command->details[0] != '\0') {
        fprintf(out, "%s\n", command->details);
    }
    if (command->options[0] != CLI_HELP) {
        fprintf(out, "\nOptions:");
        for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
            if (i != CLI_HELP && command_takes(command, i)) {
                fprintf(out, " `--%s`", cli_options[i].word);
            }
        }
        fputc('\n', out);
    }
    fprintf(out, "\n```sh\n%s\n```\n", command->example);
}

static void help_markdown(FILE *out)
{
    fprintf(out, "# gray, the command line\n\n"
                 "<!-- made by `gray help --as markdown`; a test compares -->"
                 "\n\n%s\n\n## Commands\n\n| command | what it does |\n"
                 "| --- | --- |\n", intro);
    for (size_t i = 0; i < cli_command_count; i++) {
        fprintf(out, "| `gray %s` | %s |\n", cli_commands[i].words,
                cli_commands[i].summary);
    }
    for (size_t i = 0; i < cli_command_count; i++) {
        markdown_command(&cli_commands[i], out);
    }
    fprintf(out, "\n## Which grayd\n\n%s\n", which);
    fprintf(out, "\n## Options\n\n| option | argument | meaning |\n"
                 "| --- | --- | --- |\n");
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        const struct cli_option *option = &cli_options[i];

        fprintf(out, "| `--%s`", option->word);
        if (option->letter != 0) {
            fprintf(out, ", `-%c`", option->letter);
        }
        fprintf(out, " | %s | %s", option->argument, option->text);
        if (strchr(option->values, '|') != NULL) {
            fprintf(out, "; one of:");
            for (const char *at = option->values; *at != '\0';) {
                size_t span = strcspn(at, "|");

                fprintf(out, " `%.*s`", (int)span, at);
                at += span + (at[span] == '|');
            }
        }
        fprintf(out, " |\n");
    }
    fprintf(out, "\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n");
    for (size_t i = 0; i < cli_exit_code_count; i++) {
        fprintf(out, "| %d | %s |\n", cli_exit_codes[i].number,
                cli_exit_codes[i].sentence);
    }
}

/* Text of a manual page: a backslash, and a dot or quote at the head of a
 * line, mean something to troff. */
static void man_text(const char *text, FILE *out)
{
    bool head = true;

    for (; *text != '\0'; text++) {
        if (head && (*text == '.' || *text == '\'')) {
            fputs("\\&", out);
        }
        if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out);
        } else if (*text == '\'') {
            fputs("\\(aq", out);
        } else {
            fputc(*text, out);
        }
        head = *text == '\n';
    }
}

static void man_line(const char *macro, const char *text, FILE *out)
{
    fprintf(out, "%s", macro);
    man_text(text, out);
    fputc('\n', out);
}

static void man_command(const struct cli_command *command, FILE *out)
{
    fprintf(out, ".SS \"gray ");
    man_text(command->words, out);
    if (command->operands[0] != '\0') {
        fputc(' ', out);
        man_text(command->operands, out);
    }
    fprintf(out, "\"\n%c", toupper((unsigned char)*command->summary));
    man_text(command->summary + 1, out);
    fputs(".\n", out);
    if (command->details[0] != '\0') {
        man_line("", command->details, out);
    }
    if (command->options[0] != CLI_HELP) {
        const char *before = "";

        fputs(".PP\nOptions: ", out);
        for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
            if (i != CLI_HELP && command_takes(command, i)) {
                fprintf(out, "%s\\fB\\-\\-", before);
                man_text(cli_options[i].word, out);
                fputs("\\fP", out);
                before = ", ";
            }
        }
        fputs(".\n", out);
    }
    fputs(".PP\nExample: ", out);
    man_line("", command->example, out);
}

static void help_man(FILE *out)
{
    fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n"
          ".\\\" Made by `gray help --as man`; a test compares.\n"
          ".TH GRAY 1 \"\" \"Graylane\" \"User Commands\"\n"
          ".SH NAME\ngray \\- gray releases and traffic lanes\n"
          ".SH SYNOPSIS\n.B gray\n.I COMMAND\n[OPTIONS]\n.SH DESCRIPTION\n",
          out);
    man_line("", intro, out);
    fputs(".SH COMMANDS\n", out);
    for (size_t i = 0; i < cli_command_count; i++) {
        man_command(&cli_commands[i], out);
    }
    fputs(".SH WHICH GRAYD\n", out);
    man_line("", which, out);
    fputs(".SH OPTIONS\n", out);
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        const struct cli_option *option = &cli_options[i];

        fputs(".TP\n\\fB", out);
        if (option->letter != 0) {
            fprintf(out, "\\-%c\\fP, \\fB", option->letter);
        }
        fputs("\\-\\-", out);
        man_text(option->word, out);
        fprintf(out, "\\fP %s\n", option->argument);
        man_text(option->text, out);
        if (strchr(option->values, '|') != NULL) {
            fprintf(out, " [%s]", option->values);
        }
        fputc('\n', out);
    }
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < cli_exit_code_count; i++) {
        fprintf(out, ".TP\n%d\n%s\n", cli_exit_codes[i].number,
                cli_exit_codes[i].sentence);
    }
    fputs(".SH ENVIRONMENT\n.TP\nGRAY_RUNTIME\nruntime folder where "
          "\\-\\-runtime is not given\n"
          ".TP\nGRAY_SERVER\ngrayd to ask where \\-\\-server is not given\n"
          ".TP\nGRAY_TOKEN\ntoken to show it\n"
          ".TP\nGRAY_CONFIG\ncontext file\n"
          ".SH FILES\n.TP\n/run/graylane\nruntime folder, must be on tmpfs\n"
          ".TP\n/run/graylane\\-grayd/grayd.sock\nunix socket of grayd\n"
          ".TP\n~/.config/gray/contexts.json\ngrayds by name (gray context)\n",
          out);
}

static void help_text(FILE *out)
{
    help_usage(out);
    for (size_t i = 0; i < cli_command_count; i++) {
        fprintf(out, "\n----\n");
        help_command(&cli_commands[i], out);
    }
    fprintf(out, "\n----\nexit codes:\n");
    help_exit_codes(out);
}

/* "keys" alone: every command that begins so. */
static bool help_group(const char *word, FILE *out)
{
    size_t length = strlen(word);
    bool found = false;

    for (size_t i = 0; i < cli_command_count; i++) {
        if (strncmp(cli_commands[i].words, word, length) == 0 &&
            cli_commands[i].words[length] == ' ') {
            fprintf(out, "%s", found ? "\n" : "");
            help_command(&cli_commands[i], out);
            found = true;
        }
    }
    return found;
}

static int help_unknown(const char *word)
{
    const char *names[CLI_COMMANDS_MAX + 2];
    size_t count = 0;

    for (size_t i = 0; i < cli_command_count && count < CLI_COMMANDS_MAX;
         i++) {
        names[count++] = cli_commands[i].words;
    }
    names[count++] = "exit-codes";
    names[count++] = "options";
    complain("no help on: %s", word);
    words_suggest(word, names, count);
    return CLI_EXIT_NOT_FOUND;
}

int command_help(const struct arguments *arguments)
{
    const char *as = arguments_get(arguments, CLI_AS);
    const char *word = arguments->operands[0];
    const struct cli_command *command;

    if (as != NULL) {
        if (strcmp(as, "markdown") == 0) {
            help_markdown(stdout);
        } else if (strcmp(as, "man") == 0) {
            help_man(stdout);
        } else {
            help_text(stdout);
        }
        return CLI_EXIT_OK;
    }
    if (word == NULL) {
        help_usage(stdout);
        return CLI_EXIT_OK;
    }
    command = command_find(word, arguments->operands[1]);
    if (command != NULL) {
        help_command(command, stdout);
    } else if (strcmp(word, "exit-codes") == 0) {
        help_exit_codes(stdout);
    } else if (strcmp(word, "options") == 0) {
        help_options(stdout);
    } else if (!help_group(word, stdout)) {
        return help_unknown(word);
    }
    return CLI_EXIT_OK;
}
