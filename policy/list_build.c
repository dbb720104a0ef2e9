/* SPDX-License-Identifier: Apache-2.0
 * list_build.c - ten million ids as two sorted arrays with a directory.
 *
 * Why: the keys are mixed, so they are spread evenly, and dealing them out by
 * their highest bits all but sorts them: one pass to count (which is the
 * directory), one to deal, and a few comparisons inside each cell.
 * The file's name is made from SHA-256 (libcrypto) of layout, strictness and
 * ids: a name stands for its content for ever, and nobody may be able to make
 * two lists of one name.  The other half of the same hash is the SipHash key.
 * Read next: ../engine/list.c, ../engine/layout.h (gray_list_file).
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "policy/compile.h"

/* Keys of one cell of the directory: between 32 and 64 on average.  Where a key
 * should lie in its cell is computed, so a coarse directory misses no more, and
 * a small one stays in the cache (139 to 184 ns a look-up against 183 to 212
 * with cells of 4 to 8, 10 M ids); it costs 0.1 byte an id. */
#define CELL_KEYS 32u
#define DIR_BITS_MAX 28u
#define NAME_DIGITS 32u
#define SMALL_SORT 24u

/* A key and the id that it belongs to (text half). */
struct keyed {
    uint64_t key;
    uint64_t id;
};

struct half {
    struct keyed *keys;
    uint64_t count;
    uint32_t *dir;
    uint32_t dir_bits;
};

/* ---- ids ----------------------------------------------------------------- */

/* The one way in which printf would write a number below 2^64. */
static bool is_number(struct model_text id, uint64_t *ret_number)
{
    uint64_t number = 0;
    uint32_t i;

    if (id.length == 0 || id.length > 20 ||
        (id.data[0] == '0' && id.length > 1)) {
        return false;
    }
    for (i = 0; i < id.length; i++) {
        uint32_t digit = (uint32_t)(unsigned char)id.data[i] - '0';

        if (digit > 9 || number > UINT64_MAX / 10 ||
            (number == UINT64_MAX / 10 && digit > UINT64_MAX % 10)) {
            return false;
        }
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

/* SHA-256 of layout, strictness and every id with its length. */
static int digest_of(const struct model_list *list, uint8_t digest[32])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint32_t head[2] = {GRAY_LAYOUT, list->strict};
    uint8_t buffer[8192];
    size_t used = 0;
    uint64_t i;
    int good;

    if (context == NULL) {
        return -1;
    }
    good = EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
           EVP_DigestUpdate(context, head, sizeof(head)) == 1;
    for (i = 0; i < list->id_count && good; i++) {
        const struct model_text *id = &list->ids[i];

        if (used + sizeof(id->length) + id->length > sizeof(buffer)) {
            good = EVP_DigestUpdate(context, buffer, used) == 1;
            used = 0;
        }
        memcpy(buffer + used, &id->length, sizeof(id->length));
        used += sizeof(id->length);
        if (used + id->length > sizeof(buffer)) {
            good = good && EVP_DigestUpdate(context, buffer, used) == 1 &&
                   EVP_DigestUpdate(context, id->data, id->length) == 1;
            used = 0;
        } else {
            memcpy(buffer + used, id->data, id->length);
            used += id->length;
        }
    }
    good = good && EVP_DigestUpdate(context, buffer, used) == 1 &&
           EVP_DigestFinal_ex(context, digest, NULL) == 1;
    EVP_MD_CTX_free(context);
    return good ? 0 : -1;
}

/* ---- sorting ------------------------------------------------------------- */

static int by_key(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;

    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    return a->id < b->id ? -1 : a->id > b->id;
}

static void sort_cell(struct keyed *keys, uint32_t count)
{
    uint32_t i, k;

    if (count > SMALL_SORT) {
        qsort(keys, count, sizeof(*keys), by_key);
        return;
    }
    for (i = 1; i < count; i++) {
        struct keyed key = keys[i];

        for (k = i; k > 0 && by_key(&keys[k - 1], &key) > 0; k--) {
            keys[k] = keys[k - 1];
        }
        keys[k] = key;
    }
}

static uint64_t cell_of(const struct half *half, uint64_t key)
{
    return half->dir_bits == 0 ? 0 : key >> (64 - half->dir_bits);
}

/* Makes the directory and sorts half->keys; `spare` is of the same size. */
static int sort_half(struct half *half, struct keyed *spare)
{
    uint64_t cells, i;
    uint32_t *next;

    while (half->dir_bits < DIR_BITS_MAX &&
           half->count >> (half->dir_bits + 1) >= CELL_KEYS) {
        half->dir_bits++;
    }
    cells = UINT64_C(1) << half->dir_bits;
    half->dir = calloc(cells + 1, sizeof(*half->dir));
    next = malloc(cells * sizeof(*next));
    if (half->dir == NULL || next == NULL) {
        free(next);
        return -1;
    }
    for (i = 0; i < half->count; i++) {
        half->dir[cell_of(half, half->keys[i].key) + 1]++;
    }
    for (i = 0; i < cells; i++) {
        half->dir[i + 1] += half->dir[i];
        next[i] = half->dir[i];
    }
    for (i = 0; i < half->count; i++) {
        spare[next[cell_of(half, half->keys[i].key)]++] = half->keys[i];
    }
    free(next);
    for (i = 0; i < cells; i++) {
        sort_cell(spare + half->dir[i], half->dir[i + 1] - half->dir[i]);
    }
    memcpy(half->keys, spare, half->count * sizeof(*spare));
    return 0;
}

/* ---- the file ------------------------------------------------------------ */

static void place_half(struct gray_list_half *out, const struct half *half,
                       uint64_t *at)
{
    uint64_t entries = (UINT64_C(1) << half->dir_bits) + 1;

    out->keys = *at;
    out->count = half->count;
    *at += half->count * sizeof(uint64_t);
    out->dir = *at;
    out->dir_bits = half->dir_bits;
    *at += (entries * sizeof(uint32_t) + 7) & ~(uint64_t)7;
}

static void copy_half(uint8_t *data, const struct gray_list_half *out,
                      const struct half *half)
{
    uint64_t *keys = (uint64_t *)(void *)(data + out->keys), i;

    for (i = 0; i < half->count; i++) {
        keys[i] = half->keys[i].key;
    }
    memcpy(data + out->dir, half->dir,
           ((UINT64_C(1) << half->dir_bits) + 1) * sizeof(uint32_t));
}

static uint64_t strings_size(const struct model_list *list,
                             const struct half *text)
{
    uint64_t i, size = text->count * sizeof(uint64_t);

    for (i = 0; i < text->count; i++) {
        size += sizeof(uint32_t) + list->ids[text->keys[i].id].length;
    }
    return (size + 7) & ~UINT64_C(7);
}

static void copy_strings(uint8_t *data, uint64_t at,
                         const struct model_list *list,
                         const struct half *text)
{
    uint64_t *offsets = (uint64_t *)(void *)(data + at), i;

    at += text->count * sizeof(*offsets);
    for (i = 0; i < text->count; i++) {
        const struct model_text *id = &list->ids[text->keys[i].id];

        offsets[i] = at;
        memcpy(data + at, &id->length, sizeof(id->length));
        memcpy(data + at + sizeof(id->length), id->data, id->length);
        at += sizeof(id->length) + id->length;
    }
}

static int write_list(const struct model_list *list,
                      const struct half *numeric, const struct half *text,
                      const uint64_t key[2], struct gray_file *ret_file)
{
    struct gray_file_header header = {GRAY_MAGIC_LIST, GRAY_LAYOUT,
                                      sizeof(header)};
    struct gray_list_file body;
    uint64_t at = sizeof(header) + sizeof(body);
    uint8_t *data;

    memset(&body, 0, sizeof(body));
    place_half(&body.numeric, numeric, &at);
    place_half(&body.text, text, &at);
    memcpy(body.key, key, sizeof(body.key));
    if (list->strict && text->count != 0) {
        body.strings = at;
        at += strings_size(list, text);
    }
    data = calloc(1, at);
    if (data == NULL) {
        return -1;
    }
    header.length = at;
    memcpy(data, &header, sizeof(header));
    memcpy(data + sizeof(header), &body, sizeof(body));
    copy_half(data, &body.numeric, numeric);
    copy_half(data, &body.text, text);
    if (body.strings != 0) {
        copy_strings(data, body.strings, list, text);
    }
    ret_file->data = data;
    ret_file->size = at;
    return 0;
}

/* Two texts of one hash: without the strings a hit of one is a hit of both. */
static int check_collisions(struct build *build, const struct model_list *list,
                            const struct half *text)
{
    uint64_t i;

    for (i = 1; i < text->count && !list->strict; i++) {
        if (text->keys[i].key == text->keys[i - 1].key) {
            const struct model_text *a = &list->ids[text->keys[i - 1].id];
            const struct model_text *b = &list->ids[text->keys[i].id];

            build_finding(build, GRAY_ERROR, GRAY_PROBLEM_LIST_COLLISION,
                          "/ids",
                          "The ids \"%.*s\" and \"%.*s\" have one hash; write "
                          "`strict: true`, which keeps the ids themselves.",
                          (int)a->length, a->data, (int)b->length, b->data);
            return -1;
        }
    }
    return 0;
}

/* One array for both halves: numbers from its start, texts from its end. */
static void deal(const struct model_list *list, const uint64_t key[2],
                 struct keyed *keys, struct half *numeric, struct half *text)
{
    struct keyed *end = keys + list->id_count;
    uint64_t i, number;

    numeric->keys = keys;
    for (i = 0; i < list->id_count; i++) {
        const struct model_text *id = &list->ids[i];

        if (is_number(*id, &number)) {
            keys[numeric->count++] = (struct keyed){gray_mix64(number), i};
        } else {
            *--end = (struct keyed){gray_siphash(id->data, id->length, key),
                                    i};
            text->count++;
        }
    }
    text->keys = end;
}

static void name_file(struct gray_file *file, const uint8_t digest[32])
{
    static const char digits[] = "0123456789abcdef";
    uint32_t i;

    memset(file, 0, sizeof(*file));
    for (i = 0; i < NAME_DIGITS; i++) {
        file->name[i] = digits[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    }
}

int list_build(struct build *build, const struct model_list *list,
               struct gray_file *ret_file)
{
    struct half numeric = {NULL, 0, NULL, 0}, text = {NULL, 0, NULL, 0};
    struct keyed *keys = NULL, *spare = NULL;
    uint8_t digest[32];
    uint64_t key[2];
    int result = -1;

    if (list->id_count >= UINT32_MAX) {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_TOO_MANY, "/ids",
                      "A list has at most %u ids.", UINT32_MAX - 1);
        return -1;
    }
    keys = malloc((list->id_count + 1) * sizeof(*keys));
    spare = malloc((list->id_count + 1) * sizeof(*spare));
    if (keys == NULL || spare == NULL || digest_of(list, digest) != 0) {
        goto no_memory;
    }
    name_file(ret_file, digest);
    memcpy(key, digest + 16, sizeof(key));
    deal(list, key, keys, &numeric, &text);
    if (sort_half(&numeric, spare) != 0 || sort_half(&text, spare) != 0) {
        goto no_memory;
    }
    free(spare);
    spare = NULL;
    if (check_collisions(build, list, &text) != 0) {
        goto done;
    }
    if (write_list(list, &numeric, &text, key, ret_file) == 0) {
        result = 0;
        goto done;
    }
no_memory:
    build->failed = build->no_memory = true;
done:
    free(numeric.dir);
    free(text.dir);
    free(keys);
    free(spare);
    return result;
}
