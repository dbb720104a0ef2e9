/* SPDX-License-Identifier: Apache-2.0
 * print.c - facts to standard output, messages to standard error.
 *
 * Why: a program that reads us takes standard output alone, as JSON; a person
 * takes aligned tables.  Both are printed by one pair of helpers, so that no
 * command has a format of its own.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define TABLE_COLUMNS_MAX 16u

struct table {
    size_t columns, count, capacity;
    char **cells;
    bool right[TABLE_COLUMNS_MAX];
};

char *text_clean(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f) {
            *at = '?';
        } else if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) {
            at[0] = at[1] = '?';
        } else if (*at == 0xe2 &&
                   ((at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae) ||
                    (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9))) {
            /* what turns the direction of writing shows another text */
            at[0] = at[1] = at[2] = '?';
        }
    }
    return text;
}

void complain(const char *format, ...)
{
    CLI_CLEANUP(string_freep) char *text = NULL;
    va_list list;

    fflush(stdout);
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0) {
        text = NULL;
    }
    va_end(list);
    fprintf(stderr, "gray: %s\n", text != NULL ? text_clean(text) : format);
}

void complain_problem(const char *what, const struct gray_problem *problem)
{
    complain("%s: %s [%s]", what, problem->sentence,
             problem->code != NULL ? problem->code : "unknown");
}

static void *need(void *memory)
{
    if (memory == NULL) {
        complain("out of memory");
        exit(CLI_EXIT_SYSTEM);
    }
    return memory;
}

struct table *table_new(size_t columns)
{
    struct table *table = need(calloc(1, sizeof(*table)));

    table->columns = columns < TABLE_COLUMNS_MAX ? columns : TABLE_COLUMNS_MAX;
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

void table_cell(struct table *table, const char *format, ...)
{
    char *text = NULL;
    va_list list;

    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 64 : 2 * table->capacity;
        table->cells = need(
            realloc(table->cells, table->capacity * sizeof(*table->cells)));
    }
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0) {
        text = NULL;
    }
    va_end(list);
    table->cells[table->count++] = text_clean(need(text));
}

void table_right(struct table *table, size_t column)
{
    table->right[column] = true;
}

/* Columns of a terminal: bytes that do not continue a UTF-8 sequence. */
static size_t width(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

void table_print(const struct table *table, FILE *out)
{
    size_t widths[TABLE_COLUMNS_MAX] = { 0 };

    for (size_t i = 0; i < table->count; i++) {
        size_t wide = width(table->cells[i]);

        if (wide > widths[i % table->columns]) {
            widths[i % table->columns] = wide;
        }
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        bool last = column + 1 == table->columns;
        int pad = (int)(widths[column] - width(table->cells[i]));

        if (table->right[column]) {
            fprintf(out, "%*s%s", pad, "", table->cells[i]);
        } else {
            fprintf(out, "%s%*s", table->cells[i], last ? 0 : pad, "");
        }
        fputs(last ? "\n" : "  ", out);
    }
}

void table_freep(struct table **table)
{
    table_free(*table);
}

int json_print(json_t *value, size_t flags)
{
    int status = json_dumpf(value, stdout, flags | JSON_REAL_PRECISION(12));

    fputc('\n', stdout);
    json_decref(value);
    return status == 0 ? CLI_EXIT_OK : CLI_EXIT_SYSTEM;
}

void json_freep(json_t **value)
{
    json_decref(*value);
}

json_t *json_str(struct gray_str text)
{
    json_t *value = json_stringn(text.data, text.length);

    return value != NULL ? value : json_string("?");
}

const char *share_text(uint32_t share, char buffer[32])
{
    unsigned whole = share / 10000, part = share % 10000;
    int length = snprintf(buffer, 32, "%u.%04u", whole, part);

    while (buffer[length - 1] == '0') {
        length--;
    }
    length -= buffer[length - 1] == '.';
    snprintf(buffer + length, 32 - (size_t)length, " %%");
    return buffer;
}

int output_finish(int status)
{
    bool lost = fflush(stdout) != 0 || ferror(stdout);

    if (lost && errno != EPIPE) {
        complain("standard output: %s", strerror(errno));
    }
    return lost && status == CLI_EXIT_OK ? CLI_EXIT_SYSTEM : status;
}

void string_freep(char **text)
{
    free(*text);
}

void file_closep(FILE **file)
{
    if (*file != NULL && *file != stdin) {
        fclose(*file);
    }
}
