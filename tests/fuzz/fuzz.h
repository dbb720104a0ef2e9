/* SPDX-License-Identifier: Apache-2.0
 * fuzz.h - what every fuzz target has.
 *
 * Why: a target is one function over hostile bytes; libFuzzer calls it, and
 * replay.c does too, so that the corpus is a test under every compiler.
 * A property that does not hold is an abort(), which both of them see.
 * Read next: replay.c, meson.build (how to add a target).
 */
#ifndef GRAY_TESTS_FUZZ_H
#define GRAY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                        \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,  \
                    #condition);                                               \
            abort();                                                           \
        }                                                                      \
    } while (0)

#endif
