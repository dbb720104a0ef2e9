/* SPDX-License-Identifier: Apache-2.0
 * fuzz_list.c - any bytes as a list, and ids asked of it.
 *
 * Why: a list that opens is read without a further check, so opening must not
 * let through anything that leads outside.  The length is set right, for the
 * fuzzer would seldom guess it.
 * Read next: engine/list.c.
 */
#include <string.h>

#include "engine/engine.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const ids[] = {"0",     "7",     "1001", "alice",
                                      "carol", "u-100", ""};
    struct gray_file_header *header;
    struct gray_problem problem;
    struct gray_list list;
    struct gray_str id;
    uint32_t i;

    header = malloc(size == 0 ? 1 : size);
    MUST(header != NULL);
    memcpy(header, data, size);
    if (size >= sizeof(*header)) {
        header->length = size;
    }
    if (gray_list_open(&list, header, size, &problem) == 0) {
        for (i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
            id = (struct gray_str){ids[i], (uint32_t)strlen(ids[i])};
            (void)gray_list_has(&list, id);
        }
        for (i = 0; i < 64 && i < size; i++) {
            id = (struct gray_str){(const char *)data + size - i, i};
            (void)gray_list_has(&list, id);
        }
    } else {
        MUST(problem.code != NULL && problem.sentence[0] != '\0');
    }
    free(header);
    return 0;
}
