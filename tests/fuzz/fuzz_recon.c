/* SPDX-License-Identifier: Apache-2.0
 * fuzz_recon.c - any bytes as what a Check reads of others.
 *
 * Why: values come out of somebody's database, lines out of a log that clients
 * write into, what is kept and what a run says out of files, facts out of a
 * spool.  The first byte says as which of these the others are taken.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "control/checks/check.h"
#include "control/checks/pending.h"
#include "control/recon/decimal.h"
#include "control/recon/facts.h"
#include "control/recon/logged.h"
#include "tests/fuzz/fuzz.h"

static void values(const char *text, size_t size)
{
    size_t half = size / 2;
    struct gray_str a = {text, (uint32_t)half};
    struct gray_str b = {text + half, (uint32_t)(size - half)};
    int order = 0, back = 0;

    MUST(decimal_same(a, a, 0));
    MUST(decimal_same(a, b, 0.01) == decimal_same(b, a, 0.01));
    MUST(!decimal_same(a, b, 0) || decimal_same(a, b, 1));
    if (decimal_order(a, b, &order)) {
        MUST(decimal_order(b, a, &back) && (order < 0) == (back > 0) &&
             (order == 0) == (back == 0));
        MUST(order != 0 || decimal_same(a, b, 0));
    }
}

static void line(const char *text, size_t size)
{
    char buffer[LOGGED_UNIT_MAX];
    struct fact_decision decision;
    struct gray_str unit = {NULL, 0};

    if (logged_parse(text, size, "cart-2", buffer, &unit, &decision) == 1) {
        MUST(unit.length > 0 && unit.length < LOGGED_UNIT_MAX &&
             strlen(buffer) == unit.length && decision.in <= 1);
    }
}

static void document(const char *text, size_t size)
{
    json_t *tree = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    char sentence[200];
    struct check check;

    if (tree != NULL &&
        check_read(&check, tree, sentence, sizeof(sentence)) == 0) {
        MUST(check.rows[SIDE_UPSTREAM].there &&
             check.rows[SIDE_UPSTREAM].key_count > 0 &&
             check.recheck_count <= CHECK_RECHECKS_MAX);
        check_free(&check);
    }
    json_decref(tree);
}

/* {"pending", "report"}: what was kept, and what a run says of it. */
static void kept(const char *text, size_t size)
{
    static const int64_t delays[] = {5000, 30000};
    const struct pending_looks looks = {delays, 2};
    json_t *tree = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    json_t *pending = json_object_get(tree, "pending");
    int64_t from, until;

    if (pending_holds(pending)) {
        pending_take(pending, json_object_get(tree, "report"), &looks, 7000);
        MUST(pending_holds(pending));
        if (pending_window(pending, 7000000, &from, &until)) {
            MUST(from < until);
        }
        json_decref(pending_counts(pending));
        pending_blocking(pending);
    }
    json_decref(tree);
}

static void facts(const char *text, size_t size)
{
    static struct facts all;
    size_t at = 0;

    if (!facts_begin(&all, (struct gray_str){"u", 1})) {
        return;
    }
    while (size - at >= 2) {
        int side = text[at] & 7;
        size_t length = (unsigned char)text[at + 1];
        char *copy;

        at += 2;
        length = length < size - at ? length : size - at;
        copy = malloc(length + 1); /* its end is known to the sanitizer */
        memcpy(copy, text + at, length);
        facts_add(&all, side, copy, length);
        free(copy);
        at += length;
    }
    for (int i = 0; i < SIDE_COUNT; i++) {
        for (size_t k = 0; k < all.rows[i].count; k++) {
            const struct fact_row *row = &all.rows[i].items[k];

            MUST(strnlen(row->key.data, row->key.length + 1) <=
                 row->key.length);
            for (unsigned v = 0; v < row->value_count; v++) {
                MUST(row->values[v].data == NULL ||
                     row->values[v].length < (64u << 20));
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const as[])(const char *, size_t) = {values, line, document,
                                                       kept, facts};
    char *copy;

    if (size == 0) {
        return 0;
    }
    copy = malloc(size); /* its end is known to the sanitizer */
    memcpy(copy, data + 1, size - 1);
    as[data[0] % 5](copy, size - 1);
    free(copy);
    return 0;
}
