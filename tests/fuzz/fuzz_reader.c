/* SPDX-License-Identifier: Apache-2.0
 * fuzz_reader.c - any bytes as a reader's file: sums, both texts of them, and
 * what it bears witness to.
 *
 * Why: readers/ may be written by every user of the host.  A whole file is
 * 1.4 MB, too much to be found by chance, so the input is a list of changes
 * to a sound one: offset (3 bytes), length (1 byte), bytes; an input that
 * begins with 0xff is taken for a whole file.
 * Read next: runtime/totals.c, runtime/witness.c.
 */
#include <string.h>

#include "runtime/status.h"
#include "runtime/witness.h"
#include "tests/fuzz/fuzz.h"

static void sound_file(struct reader_file *file)
{
    memset(file, 0, sizeof(*file));
    runtime_file_header_fill(&file->header, GRAY_MAGIC_READER, sizeof(*file));
    file->kind = GRAY_READER_NGINX;
    file->series_max = GRAY_SERIES_MAX;
    file->series_size = sizeof(struct gray_series);
    strcpy(file->refusal, "bad-checksum: \"policy.snap\" is damaged.");
    file->series[0].series = 1;
    strcpy(file->series[0].service, "cart");
    file->series[1].series = 2;
    strcpy(file->series[1].service, "order");
    file->series[1].latency[7] = 1000;
    file->flows[0].scope = 1;
    strcpy(file->flows[0].arm, "cart-2");
    file->flows[1] = file->flows[0];
    strcpy(file->flows[1].service, "order");
    file->policy_generation = file->suspect = 7;
    file->proven = 6;
    file->crashes[0] = (struct reader_crash){7, 1000, 42, 11};
    file->crashes[1] = (struct reader_crash){7, 2000, 43, 11};
}

/* Living and dead, again and again: bounded, and in the order of time. */
static void witness(const struct reader_file *file)
{
    struct witness seen;
    uint32_t i, j;

    memset(&seen, 0, sizeof(seen));
    for (i = 0; i < 4; i++) {
        runtime_witness_add(&seen, file, i % 2 == 0);
    }
    MUST(seen.trial_count <= WITNESS_TRIALS);
    for (i = 0; i < seen.trial_count; i++) {
        const struct trial *trial = &seen.trials[i];

        MUST(trial->crash_count <= WITNESS_CRASHES);
        for (j = 1; j < trial->crash_count; j++) {
            MUST(trial->crashes[j - 1].at_ms <= trial->crashes[j].at_ms);
        }
        runtime_witness_blocks(&seen, trial->generation);
    }
}

static void change(uint8_t *bytes, size_t room, const uint8_t *data,
                   size_t size)
{
    while (size >= 4) {
        size_t at = data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16;
        size_t length = data[3];

        data += 4;
        size -= 4;
        if (length > size) {
            length = size;
        }
        at %= room;
        memcpy(bytes + at, data, length < room - at ? length : room - at);
        data += length;
        size -= length;
    }
}

static void both_texts(const struct gray_totals *totals)
{
    static struct gray_control control;
    struct status s = {.totals = *totals};
    struct text json = {NULL, 0, 0, false}, lines = {NULL, 0, 0, false};
    char *text;
    size_t length = 0, i;

    s.folder.control = &control;
    runtime_status_json(&json, &s, "/run/graylane");
    runtime_status_prometheus(&lines, &s);
    text = runtime_text_take(&json, &length);
    MUST(text != NULL && text[length - 1] == '\n');
    for (i = 0; i + 1 < length; i++) {
        MUST(text[i] >= 0x20 && text[i] < 0x7f);
    }
    free(text);
    text = runtime_text_take(&lines, &length);
    MUST(text != NULL && text[length - 1] == '\n');
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reader_file *file;
    struct gray_totals totals;
    struct tally *tally = calloc(1, sizeof(*tally));

    memset(&totals, 0, sizeof(totals));
    tally->totals = &totals;
    if (size > 0 && data[0] == 0xff) {
        uint8_t *copy = malloc(size);

        memcpy(copy, data, size);
        runtime_tally_add(tally, "library-0", 0, copy, size - 1, true);
        free(copy);
    } else {
        if (file == NULL) {
            file = malloc(sizeof(*file));
        }
        sound_file(file);
        runtime_tally_add(tally, "nginx-0", 0, file, sizeof(*file), true);
        change((uint8_t *)file, sizeof(*file), data, size);
        runtime_tally_add(tally, "nginx-1", 0, file, sizeof(*file), false);
        witness(file);
    }
    MUST(totals.reader_count + totals.bad_readers >= 2 ||
         (size > 0 && data[0] == 0xff));
    both_texts(&totals);
    gray_totals_free(&totals);
    free(tally);
    return 0;
}
