/* SPDX-License-Identifier: Apache-2.0
 * tables.c - see tables.h.
 *
 * Why: nothing here may hide a failure: whatever should not happen ends the
 * test.
 * Read next: tables.h.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"
#include "tests/runtime/tables.h"

void tables_begin(struct tables *ret_tables)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };

    folder_new(ret_tables->path);
    assert_int_equal(gray_publish(ret_tables->path, &nothing, NULL, NULL), 0);
    assert_int_equal(
        gray_folder_open(&ret_tables->folder, ret_tables->path, true, NULL),
        0);
    ret_tables->marks_fd = openat(ret_tables->folder.dirfd, "marks",
                                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(ret_tables->marks_fd >= 0);
}

void tables_end(struct tables *tables)
{
    close(tables->marks_fd);
    gray_folder_close(&tables->folder);
    folder_remove(tables->path);
}

void tables_make(const struct tables *tables, uint32_t number,
                 uint32_t slot_size, uint64_t marks,
                 struct gray_mark_table *ret_table)
{
    struct gray_mark_table_options options = {
        .scope = TABLE_SCOPE,
        .instance = 42,
        .sip_key = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u },
        .revision = 100,
        .began = TABLE_BEGAN,
        .name = "cart-2",
        .number = number,
        .slot_size = slot_size,
        .state = GRAY_TABLE_READY,
        .marks = marks,
        .group = (gid_t)-1,
    };
    struct gray_problem problem;

    assert_int_equal(
        gray_mark_table_make(tables->marks_fd, &options, &problem), 0);
    assert_int_equal(gray_mark_table_open(ret_table, tables->marks_fd,
                                          TABLE_SCOPE, number, geteuid(), true,
                                          &problem),
                     0);
}

bool tables_try_map(const struct tables *tables, bool writable,
                    struct gray_marks *ret_marks)
{
    uint32_t word = gray_word_number((void *)(uintptr_t)&tables->folder,
                                     TABLE_SCOPE);
    uint32_t table, next;

    memset(ret_marks, 0, sizeof(*ret_marks));
    runtime_word_tables(&tables->folder.control->words[word], &table, &next);
    if (gray_mark_table_open(&ret_marks->table, tables->marks_fd, TABLE_SCOPE,
                             table, geteuid(), writable, NULL) != 0) {
        return false;
    }
    if (next != 0 &&
        gray_mark_table_open(&ret_marks->next, tables->marks_fd, TABLE_SCOPE,
                             next, geteuid(), writable, NULL) != 0) {
        tables_unmap(ret_marks);
        return false;
    }
    return true;
}

void tables_map(const struct tables *tables, bool writable,
                struct gray_marks *ret_marks)
{
    assert_true(tables_try_map(tables, writable, ret_marks));
}

void tables_unmap(struct gray_marks *marks)
{
    gray_mark_table_close(&marks->table);
    gray_mark_table_close(&marks->next);
}

struct gray_mark_key key_text(const struct gray_mark_table *table,
                              const char *text)
{
    struct gray_str unit = { text, (uint32_t)strlen(text) };

    return gray_mark_key(table->file, 0, unit);
}

struct gray_mark_key key_number(const struct gray_mark_table *table,
                                uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return key_text(table, text);
}

uint64_t value_of(const struct gray_mark_table *table,
                  enum gray_slot_state state)
{
    return gray_mark_value(table->file, state, 1, 0, 101,
                           TABLE_BEGAN + 60000);
}
