/* SPDX-License-Identifier: Apache-2.0
 * record.h - what a policy looked at of one request, as one line of JSON.
 *
 * Why: a later policy is tried over the requests that really came (gray plan
 * --replay), so they are written in the very form that `gray explain` reads.
 * Only attributes that the policy names are written: of cookies the named
 * ones, of the query the named arguments, and never a header that holds
 * secrets. Read next: record.c, ../docs/plan.md.
 */
#ifndef GRAY_ENGINE_RECORD_H
#define GRAY_ENGINE_RECORD_H

#include <stddef.h>

#include "engine/input.h"

/* One line of JSON without a line end, in ASCII; `entrance` empty: the unnamed
 * one.  Returns the length that the whole text has; it was cut off
 * (NUL-terminated, no JSON) when that is not below `size`.  A value that is
 * too long to match anything is left out; bytes that are no UTF-8 become
 * U+FFFD. */
size_t gray_record_write(const struct gray_input *in, struct gray_str entrance,
                         char *buffer, size_t size);

#endif
