/* SPDX-License-Identifier: Apache-2.0
 * completion.c - scripts for bash and zsh, made from the table of commands.
 *
 * Why: what the parser takes and what the shell offers must be one list.
 */
#include <string.h>

#include "cli/cli.h"

/* Values of an option as a case of the shell: words, files or folders. */
static void bash_values(FILE *out)
{
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        const struct cli_option *option = &cli_options[i];

        if (option->argument[0] == '\0') {
            continue;
        }
        fprintf(out, "    --%s", option->word);
        if (option->letter != 0) {
            fprintf(out, "|-%c", option->letter);
        }
        if (strchr(option->values, '|') != NULL) {
            fprintf(out, ") COMPREPLY=($(compgen -W '");
            for (const char *at = option->values; *at != '\0'; at++) {
                fputc(*at == '|' ? ' ' : *at, out);
            }
            fprintf(out, "' -- \"$cur\")); return;;\n");
        } else if (strcmp(option->values, "folder") == 0) {
            fprintf(out, ") COMPREPLY=($(compgen -d -- \"$cur\")); return;;\n");
        } else if (strcmp(option->values, "file") == 0) {
            fprintf(out, ") COMPREPLY=($(compgen -f -- \"$cur\")); return;;\n");
        } else {
            fprintf(out, ") return;;\n");
        }
    }
}

/* First words of all commands, each once. */
static void first_words(FILE *out)
{
    const char *before = "";

    for (size_t i = 0; i < cli_command_count; i++) {
        size_t length = strcspn(cli_commands[i].words, " ");

        if (i > 0 && strncmp(cli_commands[i - 1].words, cli_commands[i].words,
                             length) == 0 &&
            cli_commands[i - 1].words[length] == ' ') {
            continue;
        }
        fprintf(out, "%s%.*s", before, (int)length, cli_commands[i].words);
        before = " ";
    }
}

/* What may follow the words of a command. */
static void following(const struct cli_command *command, FILE *out)
{
    const char *before = "";

    if (strchr(command->operands, '|') != NULL &&
        command->operands[0] != '[') {
        for (const char *at = command->operands; *at != '\0'; at++) {
            fputc(*at == '|' ? ' ' : *at, out);
        }
        before = " ";
    }
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        if (command_takes(command, i)) {
            fprintf(out, "%s--%s", before, cli_options[i].word);
            before = " ";
            if (cli_options[i].letter != 0) {
                fprintf(out, " -%c", cli_options[i].letter);
            }
        }
    }
}

static void completion_body(FILE *out)
{
    fprintf(out, "    case \"$first\" in\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *words = cli_commands[i].words;
        size_t length = strcspn(words, " ");

        if (words[length] == ' ') {
            fprintf(out, "    '%.*s %s') choices='", (int)length, words,
                    words + length + 1);
        } else {
            fprintf(out, "    '%s '*) choices='", words);
        }
        following(&cli_commands[i], out);
        fprintf(out, "';;\n");
    }
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *words = cli_commands[i].words;
        size_t length = strcspn(words, " ");

        if (words[length] == ' ' &&
            (i == 0 || strncmp(cli_commands[i - 1].words, words, length + 1) !=
                           0)) {
            fprintf(out, "    '%.*s '*) choices='", (int)length, words);
            for (size_t j = i; j < cli_command_count &&
                               strncmp(cli_commands[j].words, words,
                                       length + 1) == 0;
                 j++) {
                fprintf(out, "%s%s", j > i ? " " : "",
                        cli_commands[j].words + length + 1);
            }
            fprintf(out, "';;\n");
        }
    }
    fprintf(out, "    *) choices='';;\n    esac\n");
}

static void completion_bash(FILE *out)
{
    fprintf(out,
            "# bash completion of gray: eval \"$(gray completion bash)\"\n"
            "_gray() {\n"
            "    local cur=${COMP_WORDS[COMP_CWORD]} choices first\n"
            "    local prev=${COMP_WORDS[COMP_CWORD-1]}\n"
            "    COMPREPLY=()\n"
            "    case \"$prev\" in\n");
    bash_values(out);
    fprintf(out, "    esac\n"
                 "    if [ \"$COMP_CWORD\" -le 1 ]; then\n"
                 "        COMPREPLY=($(compgen -W '");
    first_words(out);
    fprintf(out, "' -- \"$cur\"))\n"
                 "        return\n"
                 "    fi\n"
                 "    first=\"${COMP_WORDS[1]} \"\n"
                 "    [ \"$COMP_CWORD\" -gt 2 ] && "
                 "first=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n");
    completion_body(out);
    fprintf(out, "    COMPREPLY=($(compgen -W \"$choices\" -- \"$cur\") "
                 "$(compgen -f -- \"$cur\"))\n"
                 "}\n"
                 "complete -o filenames -F _gray gray\n");
}

static void zsh_values(FILE *out)
{
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        const struct cli_option *option = &cli_options[i];

        if (option->argument[0] == '\0') {
            continue;
        }
        fprintf(out, "    --%s", option->word);
        if (option->letter != 0) {
            fprintf(out, "|-%c", option->letter);
        }
        if (strchr(option->values, '|') != NULL) {
            fprintf(out, ") compadd --");
            for (const char *at = option->values; *at != '\0';) {
                size_t span = strcspn(at, "|");

                fprintf(out, " %.*s", (int)span, at);
                at += span + (at[span] == '|');
            }
            fprintf(out, "; return;;\n");
        } else if (strcmp(option->values, "folder") == 0) {
            fprintf(out, ") _files -/; return;;\n");
        } else if (strcmp(option->values, "file") == 0) {
            fprintf(out, ") _files; return;;\n");
        } else {
            fprintf(out, ") return;;\n");
        }
    }
}

static void completion_zsh(FILE *out)
{
    fprintf(out, "#compdef gray\n"
                 "# zsh completion of gray: a file _gray in $fpath, or eval "
                 "\"$(gray completion zsh)\"\n"
                 "_gray() {\n"
                 "    local first\n"
                 "    local words_given=(\"${words[@]}\")\n"
                 "    local at=$CURRENT\n"
                 "    case \"${words_given[at-1]}\" in\n");
    zsh_values(out);
    fprintf(out, "    esac\n"
                 "    if (( at <= 2 )); then\n"
                 "        compadd -- ");
    first_words(out);
    fprintf(out, "\n        return\n"
                 "    fi\n"
                 "    first=\"${words_given[2]} \"\n"
                 "    (( at > 3 )) && "
                 "first=\"${words_given[2]} ${words_given[3]}\"\n"
                 "    local choices\n");
    completion_body(out);
    fprintf(out, "    compadd -- ${=choices}\n"
                 "    _files\n"
                 "}\n"
                 "(( $+functions[compdef] )) && compdef _gray gray\n");
}

int command_completion(const struct arguments *arguments)
{
    if (strcmp(arguments->operands[0], "bash") == 0) {
        completion_bash(stdout);
    } else {
        completion_zsh(stdout);
    }
    return CLI_EXIT_OK;
}
