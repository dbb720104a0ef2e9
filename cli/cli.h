/* SPDX-License-Identifier: Apache-2.0
 * cli.h - what the files of `gray` share.
 *
 * Why: one table (commands.def) says what exists; each command is one function
 * in a file of its noun, which reads its arguments, asks the engine, policy or
 * runtime, and prints facts to standard output and messages to standard error.
 * No command keeps state, so one header is enough.
 * Read next: commands.def (the table), main.c, policy_load.c.
 */
#ifndef GRAY_CLI_H
#define GRAY_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <jansson.h>

#include "ask/ask.h"
#include "engine/engine.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "runtime/runtime.h"

#define CLI_CLEANUP(function) __attribute__((cleanup(function)))
#define CLI_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* Limits of one command line. */
#define CLI_COMMANDS_MAX 96u
#define CLI_VALUES_MAX 256u  /* options given */
#define CLI_OPERANDS_MAX 64u
#define CLI_TAKES_MAX 40u    /* options of one command */
#define CLI_WAIT_MAX 3600.0  /* seconds */
#define CLI_IDS_MAX 10000000u /* ids of `keys check` */
#define CLI_ID_MAX 1024u      /* bytes of one of them */

/* ---- the table (args.c) --------------------------------------------------- */

enum cli_exit {
#define CLI_EXIT(NAME, number, sentence) CLI_EXIT_##NAME = number,
#include "cli/commands.def"
};
enum cli_option_number {
#define CLI_OPTION(NAME, letter, word, ARGUMENT, values, text) CLI_##NAME,
#include "cli/commands.def"
    CLI_OPTION_COUNT
};
struct arguments;
struct cli_exit_code {
    int number;
    const char *name, *sentence;
};
struct cli_option {
    char letter;
    const char *word, *argument, *values, *text;
};
struct cli_command {
    const char *words, *operands;
    unsigned least, most;
    uint8_t options[CLI_TAKES_MAX]; /* their numbers; the last is CLI_HELP */
    const char *summary, *details, *example;
    int (*run)(const struct arguments *arguments);
};
extern const struct cli_exit_code cli_exit_codes[];
extern const size_t cli_exit_code_count;
extern const struct cli_option cli_options[];
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

/* A command line that fits the table. Points into argv. */
struct arguments {
    const struct cli_command *command;
    const char *operands[CLI_OPERANDS_MAX];
    size_t operand_count;
    struct {
        enum cli_option_number option;
        const char *value; /* "" of a switch */
    } values[CLI_VALUES_MAX];
    size_t value_count;
};
/* Parses argv[1..]. 0, or an exit code after having said what is wrong and
 * which words are valid. */
int arguments_parse(struct arguments *ret_arguments, int argc,
                    char *const *argv);
bool arguments_has(const struct arguments *arguments,
                   enum cli_option_number option);
/* The value given last; NULL when the option was not given. */
const char *arguments_get(const struct arguments *arguments,
                          enum cli_option_number option);
/* The next value of a repeated option from *position on; NULL at the end. */
const char *arguments_next(const struct arguments *arguments,
                           enum cli_option_number option, size_t *position);
bool arguments_json(const struct arguments *arguments);
/* A number within [least, most]; *ret_number is untouched when the option was
 * not given. 0, or an exit code after having said what is wrong. */
int arguments_number(const struct arguments *arguments,
                     enum cli_option_number option, double least, double most,
                     double *ret_number);
const char *arguments_runtime(const struct arguments *arguments);
/* Whether a command has an option. */
bool command_takes(const struct cli_command *command,
                   enum cli_option_number option);
/* The command of these words; NULL when there is none. */
const struct cli_command *command_find(const char *first, const char *second);
/* Says which of `names` is meant by a wrong word, and lists them all. */
void words_suggest(const char *wrong, const char *const *names, size_t count);
/* Edits between two words (Levenshtein); more than 63 bytes are cut. */
unsigned words_distance(const char *a, const char *b);

/* ---- printing (print.c) --------------------------------------------------- */

/* Control characters become '?', in place: what a request or a reader wrote
 * must not steer the terminal of whoever looks at it. */
char *text_clean(char *text);
/* "gray: ..." and a line end to standard error. */
void complain(const char *format, ...) CLI_PRINTF(1, 2);
void complain_problem(const char *what, const struct gray_problem *problem);

/* Rows of cells, aligned when printed. Cells are copied. */
struct table;
struct table *table_new(size_t columns);
void table_free(struct table *table);
void table_cell(struct table *table, const char *format, ...)
    CLI_PRINTF(2, 3);
/* A column whose cells stand to the right. */
void table_right(struct table *table, size_t column);
void table_print(const struct table *table, FILE *out);
void table_freep(struct table **table);

/* Prints and frees. Returns 0, or CLI_EXIT_SYSTEM when the output is gone. */
int json_print(json_t *value, size_t flags);
void json_freep(json_t **value);
json_t *json_str(struct gray_str text);
/* Millionths as a percentage: "12.5 %". */
const char *share_text(uint32_t share, char buffer[32]);
/* Flushes standard output; CLI_EXIT_SYSTEM when that fails. */
int output_finish(int status);
void string_freep(char **text);
void file_closep(FILE **file);

/* ---- the ports: clock, sleep, terminal (port.c) ---------------------------- */

int64_t port_now_ms(void);       /* since the epoch */
int64_t port_monotonic_ms(void);
void port_sleep_ms(int64_t milliseconds);
/* By chance, from 0 to below - 1. */
uint32_t port_random(uint32_t below);
/* Who runs this: $SUDO_USER, else the name or number of the user. */
const char *port_actor(char buffer[64]);
/* Opens for reading; "-" is standard input. NULL after having complained. */
FILE *port_open(const char *path);
/* Opens /dev/null where a standard descriptor is closed, else the next file
 * that is opened would be taken for it and written to. */
void port_keep_standard(void);
/* A line of a file, without its end and the blanks before it. */
struct line {
    char *text;      /* NUL-terminated; freed by line_free() */
    size_t capacity, length;
    uint64_t number; /* of this line, from 1 */
};
/* The next line. Of one longer than `most` bytes the first most + 1 are kept
 * and the rest is skipped. 1; 0 at the end; -1 after having complained. */
int port_line(FILE *file, const char *name, size_t most, struct line *line);
void line_free(struct line *line);

/* ---- policies (policy_load.c) ---------------------------------------------- */

/* Something to decide by: from documents, or the runtime folder. */
struct policy {
    struct gray_findings findings;
    struct gray_model *model;        /* of documents only */
    struct gray_compiled compiled;
    struct ask_view own;
    struct gray_runtime *runtime;    /* of a folder only */
    const struct gray_view *view;    /* what to decide by */
};
/* Adds documents of every value of `option`. NULL with findings. */
struct gray_model *model_load(const struct arguments *arguments,
                              enum cli_option_number option,
                              struct gray_findings *findings);
/* Compiles a model and makes a view of it; all words open. */
int policy_compile(struct policy *policy,
                   const struct gray_compile_options *options);
/* By -f, else by the runtime folder. 0, or an exit code after complaining. */
int policy_load(struct policy *ret_policy, const struct arguments *arguments);
void policy_free(struct policy *policy);

/* The policy in force of a folder, read and checked, bypassed or not. */
struct in_force {
    uint64_t generation;
    uint8_t *data;
    struct gray_snapshot snapshot;
    struct gray_model *model; /* NULL until in_force_model() */
};
/* 0; 1 when the folder has no policy or is not there; -1 with *ret_problem,
 * then only the generation may be known. */
int in_force_read(struct in_force *ret_in_force, const char *folder,
                  struct gray_problem *ret_problem);
/* Checks the documents that the snapshot carries. -1 with *findings filled;
 * nothing is said about documents that are good. */
int in_force_model(struct in_force *in_force, struct gray_findings *findings);
void in_force_free(struct in_force *in_force);
/* Counts marks of a runtime folder (folder_marks.c); `folder` is borrowed. */
struct gray_counter folder_counter(const char *folder);
/* --allow-drop N. 0, or an exit code after complaining. */
int allow_drop(const struct arguments *arguments, bool *ret_given,
               uint64_t *ret_number);
/* Number of a release; GRAY_NONE after having listed the names. */
uint32_t release_find(const struct gray_snapshot *snapshot, const char *name);
struct gray_str release_name(const struct gray_snapshot *snapshot,
                             uint32_t release);
/* Rows of releases: name, priority, share, word, services. `words` NULL: all
 * open. */
json_t *releases_json(const struct gray_snapshot *snapshot,
                      const struct gray_control *control);
void releases_print(const struct gray_snapshot *snapshot,
                    const struct gray_control *control, FILE *out);
/* "open", "no-admit", "baseline", "killed". */
const char *word_text(uint32_t word);
/* A release's word in `control`; OPEN when it has none. */
uint32_t word_of_release(const struct gray_control *control,
                         const struct gray_release *release);
json_t *findings_value(const struct gray_findings *findings);

/* ---- waiting for readers (wait.c) ------------------------------------------ */

struct wait_result {
    size_t live, acknowledged;
    json_t *laggards; /* [{id, pid, policyGeneration, ..., refusal}] */
};
/* Looks until every live reader acknowledged these numbers (0: any), or the
 * time is over. 0 or an exit code (SYSTEM). */
int wait_readers(const char *folder, uint64_t policy_generation,
                 uint64_t fleet_generation, uint64_t word_epoch,
                 double seconds, struct wait_result *ret_result);
void wait_result_free(struct wait_result *result);
json_t *wait_json(const struct wait_result *result);
/* Says who did not acknowledge; the exit code that follows from it. */
int wait_report(const struct wait_result *result, FILE *out);

/* ---- who did what (actions.c) ------------------------------------------------ */

#define ACTIONS_FILE "actions.log" /* in the runtime folder: JSON lines */
#define ACTIONS_BYTES_MAX (1u << 20) /* then it becomes actions.log.1 */
#define ACTION_REASON_MAX 400u
struct action {
    const char *action, *release, *before, *after, *reason; /* NULL: none */
    uint64_t revision;                                      /* 0: none */
};
/* Adds a line with moment and person. Nothing depends on it: a failure is
 * said and no more. */
void action_record(const char *folder, const struct action *action);
/* The newest line of each release, and of each thing done to the folder, as an
 * array in the order of time. */
json_t *actions_read(const char *folder);

/* ---- who may read the keys (group.c) ------------------------------------------ */

/* --group; else the group of the keys that are there or of the folder, unless
 * it is root's; else nginx's (asked by root only); (gid_t)-1: nobody knows.
 * 0, or an exit code after complaining. */
int keys_group(const struct arguments *arguments, const char *folder,
               gid_t *ret_group);

/* ---- moments (moment.c) ------------------------------------------------------ */

/* RFC 3339 in UTC. */
const char *moment_text(int64_t ms, char buffer[40]);
/* An age (30m, 2h, 3d) or a moment (RFC 3339) of the option `what`. 0, or USAGE
 * after complaining. */
int moment_read(const char *what, const char *text, int64_t *ret_ms);

/* ---- requests (request_options.c) -------------------------------------------- */

/* A request of the options of explain and sample; NULL after complaining. */
json_t *request_options(const struct arguments *arguments);

/* ---- explanations (explain.c, decisions.c) ------------------------------------- */

/* An explanation, read back, for people. */
void explanation_print(json_t *root);
/* `gray explain --unit` or `--trace`: what was decided, by the decision log. */
int decisions_explain(const struct arguments *arguments);

/* ---- reference texts (help.c) ----------------------------------------------- */

void help_command(const struct cli_command *command, FILE *out);
void help_usage(FILE *out);

/* ---- commands ---------------------------------------------------------------- */

#define CLI_COMMAND(name, words, OPERANDS, least, most, options, summary, \
                    details, example)                                     \
    int command_##name(const struct arguments *arguments);
#include "cli/commands.def"

#endif
