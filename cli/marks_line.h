/* SPDX-License-Identifier: Apache-2.0
 * marks_line.h - one line of a file of marks.
 *
 * Why: the line is somebody's export, so whatever it is it is read by one small
 * function that a fuzzer can be put at.
 * Read next: marks_line.c, marks_import.c.
 */
#ifndef GRAY_CLI_MARKS_LINE_H
#define GRAY_CLI_MARKS_LINE_H

#include <jansson.h>
#include <stddef.h>

#define MARKS_LINE_MAX 8192u /* bytes of one line */

/* {"unit", "state", "variant"?, "space"?} of a line of JSON or CSV: new
 * reference. NULL and *ret_wrong: what is wrong with it (static); NULL and
 * *ret_wrong NULL: it is empty, or the line of heads of a CSV. Pure. */
json_t *marks_line(const char *text, size_t length, const char **ret_wrong);

/* The same of a line that names a unit: {"unit", "space"?}; whatever else a
 * line of marks has may be there, or not. */
json_t *marks_line_unit(const char *text, size_t length,
                        const char **ret_wrong);

#endif
