/* SPDX-License-Identifier: Apache-2.0
 * tables.h - mark tables in a runtime folder of their own, for tests.
 *
 * Read next: test_marks.c.
 */
#ifndef GRAY_TESTS_RUNTIME_TABLES_H
#define GRAY_TESTS_RUNTIME_TABLES_H

#include "runtime/mark_slot.h"

#define TABLE_SCOPE UINT64_C(0x1234567890abcdef)
#define TABLE_BEGAN INT64_C(1767225600000)

struct tables {
    char path[64];
    struct gray_folder folder;
    int marks_fd;
};
/* A folder with nothing in it; its marks/ is open. */
void tables_begin(struct tables *ret_tables);
void tables_end(struct tables *tables);
/* Makes table `number` of TABLE_SCOPE, READY, and maps it writable. */
void tables_make(const struct tables *tables, uint32_t number,
                 uint32_t slot_size, uint64_t marks,
                 struct gray_mark_table *ret_table);
/* Maps what `control` names of TABLE_SCOPE now. */
void tables_map(const struct tables *tables, bool writable,
                struct gray_marks *ret_marks);
/* The same for a process that may find that they changed under it: false. */
bool tables_try_map(const struct tables *tables, bool writable,
                    struct gray_marks *ret_marks);
void tables_unmap(struct gray_marks *marks);
/* The key of a number, or of a text. */
struct gray_mark_key key_number(const struct gray_mark_table *table,
                                uint64_t number);
struct gray_mark_key key_text(const struct gray_mark_table *table,
                              const char *text);
/* A value of attempt 1, of now. */
uint64_t value_of(const struct gray_mark_table *table,
                  enum gray_slot_state state);

#endif
