/* SPDX-License-Identifier: Apache-2.0
 * reference.c - conditions, attributes, reasons and findings as tables, and
 * the version.
 *
 * Why: the .def tables of the engine are the only list of these; a person who
 * writes a document reads the very rows that the compiler reads.
 */
#include <string.h>

#include "cli/cli.h"

#ifndef GRAY_VERSION
#error "meson passes GRAY_VERSION"
#endif

static const struct {
    const char *word, *operand, *doc;
    unsigned cost, missing;
} conditions[] = {
#define GRAY_CONDITION(NAME, number, word, OPERAND, cost, missing, doc) \
    { word, #OPERAND, doc, cost, missing },
#include "engine/conditions.def"
#undef GRAY_CONDITION
};

static const struct {
    const char *word;
    int named;
    const char *doc;
} sources[] = {
#define GRAY_SOURCE(NAME, number, word, named, doc) { word, named, doc },
#include "engine/sources.def"
#undef GRAY_SOURCE
};

static const struct {
    unsigned number;
    const char *code, *sentence, *advice;
} reasons[] = {
#define GRAY_REASON(NAME, number, code, sentence, advice) \
    { number, code, sentence, advice },
#include "engine/reasons.def"
#undef GRAY_REASON
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int conditions_json(void)
{
    json_t *first = json_array(), *second = json_array();

    for (size_t i = 0; i < COUNT(conditions); i++) {
        json_array_append_new(
            first, json_pack("{s:s,s:s,s:i,s:b,s:s}", "condition",
                             conditions[i].word, "operand",
                             conditions[i].operand, "costNs",
                             (int)conditions[i].cost, "whenMissing",
                             (int)conditions[i].missing, "meaning",
                             conditions[i].doc));
    }
    for (size_t i = 0; i < COUNT(sources); i++) {
        json_array_append_new(
            second, json_pack("{s:s,s:b,s:s}", "source", sources[i].word,
                              "named", sources[i].named, "meaning",
                              sources[i].doc));
    }
    return json_print(json_pack("{s:o,s:o}", "conditions", first, "sources",
                                second), JSON_INDENT(2));
}

int command_conditions(const struct arguments *arguments)
{
    CLI_CLEANUP(table_freep) struct table *first = table_new(4);
    CLI_CLEANUP(table_freep) struct table *second = table_new(3);

    if (arguments_json(arguments)) {
        return conditions_json();
    }
    table_right(first, 1);
    table_cell(first, "CONDITION");
    table_cell(first, "NS");
    table_cell(first, "MISSING");
    table_cell(first, "TRUE WHEN");
    for (size_t i = 0; i < COUNT(conditions); i++) {
        table_cell(first, "%s", conditions[i].word);
        table_cell(first, "%u", conditions[i].cost);
        table_cell(first, "%s", conditions[i].missing ? "true" : "false");
        table_cell(first, "%s", conditions[i].doc);
    }
    table_print(first, stdout);
    fputc('\n', stdout);
    table_cell(second, "ATTRIBUTE");
    table_cell(second, "NAMED");
    table_cell(second, "WHAT IT IS");
    for (size_t i = 0; i < COUNT(sources); i++) {
        table_cell(second, "%s", sources[i].word);
        table_cell(second, "%s", sources[i].named ? "yes" : "");
        table_cell(second, "%s", sources[i].doc);
    }
    table_print(second, stdout);
    return CLI_EXIT_OK;
}

int command_reasons(const struct arguments *arguments)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(4);
    json_t *rows = json_array();

    table_right(table, 0);
    table_cell(table, "NUMBER");
    table_cell(table, "REASON");
    table_cell(table, "SENTENCE");
    table_cell(table, "ADVICE");
    for (size_t i = 0; i < COUNT(reasons); i++) {
        json_array_append_new(
            rows, json_pack("{s:i,s:s,s:s,s:s}", "number",
                            (int)reasons[i].number, "reason",
                            reasons[i].code, "sentence",
                            reasons[i].sentence, "advice",
                            reasons[i].advice));
        table_cell(table, "%u", reasons[i].number);
        table_cell(table, "%s", reasons[i].code);
        table_cell(table, "%s", reasons[i].sentence);
        table_cell(table, "%s", reasons[i].advice);
    }
    if (arguments_json(arguments)) {
        return json_print(rows, JSON_INDENT(2));
    }
    json_decref(rows);
    table_print(table, stdout);
    return CLI_EXIT_OK;
}

int command_problems(const struct arguments *arguments)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(2);
    json_t *rows = json_array();
    const char *const *codes = NULL;
    const char *const *sentences = NULL;
    size_t count = gray_problem_codes(&codes, &sentences);

    table_cell(table, "FINDING");
    table_cell(table, "MEANING");
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(rows, json_pack("{s:s,s:s}", "code", codes[i],
                                              "meaning", sentences[i]));
        table_cell(table, "%s", codes[i]);
        table_cell(table, "%s", sentences[i]);
    }
    if (arguments_json(arguments)) {
        return json_print(rows, JSON_INDENT(2));
    }
    json_decref(rows);
    table_print(table, stdout);
    return CLI_EXIT_OK;
}

int command_version(const struct arguments *arguments)
{
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:s,s:i}", "version", GRAY_VERSION,
                                    "layout", (int)GRAY_LAYOUT), 0);
    }
    printf("gray %s (layout %u)\n", GRAY_VERSION, GRAY_LAYOUT);
    return CLI_EXIT_OK;
}
