/* SPDX-License-Identifier: Apache-2.0
 * manifest.c - a signed note into a manifest, or the reason why not.
 *
 * Why: see manifest.h.  Members that are not known are left alone, so that a
 * newer server may say more; those that are known must be right.
 * Read next: manifest.h.
 */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/agent/manifest.h"
#include "control/audit/audit.h"

#define NUMBER_MAX (INT64_C(1) << 53)
#define SKEW_MAX_MS 3600000

static int refuse(struct gray_problem *problem, int error, const char *code,
                  const char *format, ...)
{
    va_list arguments;

    if (problem != NULL) {
        problem->code = code;
        problem->offset = 0;
        va_start(arguments, format);
        vsnprintf(problem->sentence, sizeof(problem->sentence), format,
                  arguments);
        va_end(arguments);
    }
    return -error;
}

static int bad(struct gray_problem *problem, const char *where)
{
    return refuse(problem, EINVAL, "bad-bundle",
                  "The server signed a bundle that is not understood here, at "
                  "\"%s\": is it newer than this agent?", where);
}

/* ---- members ------------------------------------------------------------- */

static bool read_number(const json_t *object, const char *key, int64_t most,
                        uint64_t *ret_number)
{
    const json_t *value = json_object_get(object, key);
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 0 || number > most) {
        return false;
    }
    *ret_number = (uint64_t)number;
    return true;
}

static bool is_hex(const char *text, size_t length)
{
    return text != NULL && strlen(text) == length &&
           strspn(text, "0123456789abcdef") == length;
}

static bool read_blob(const json_t *value, struct manifest_blob *ret_blob)
{
    const char *hash = json_string_value(json_object_get(value, "sha256"));
    uint64_t size = 0;

    if (!is_hex(hash, 64) ||
        !read_number(value, "size", (int64_t)MANIFEST_BLOB_MAX, &size) ||
        size == 0) {
        return false;
    }
    memcpy(ret_blob->sha256, hash, 65);
    ret_blob->size = size;
    return true;
}

/* Left out, or null: there is none. */
static bool read_blob_or_none(const json_t *object, const char *key,
                              struct manifest_blob *ret_blob)
{
    const json_t *value = json_object_get(object, key);

    return value == NULL || json_is_null(value) || read_blob(value, ret_blob);
}

static bool read_word(const json_t *row, struct manifest_word *ret_word)
{
    static const struct {
        const char *name;
        uint32_t word;
    } names[] = {
        { "open", GRAY_WORD_OPEN },         { "no-admit", GRAY_WORD_NO_ADMIT },
        { "baseline", GRAY_WORD_BASELINE }, { "stopped", GRAY_WORD_BASELINE },
        { "killed", GRAY_WORD_KILLED },
    };
    const char *scope = json_string_value(json_object_get(row, "scope"));
    const char *word = json_string_value(json_object_get(row, "word"));
    uint64_t epoch = 0;

    if (!is_hex(scope, 16) || word == NULL ||
        !read_number(row, "epoch", NUMBER_MAX, &epoch)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(word, names[i].name) == 0) {
            *ret_word = (struct manifest_word) {
                .scope = strtoull(scope, NULL, 16),
                .word = names[i].word,
                .epoch = epoch,
            };
            return ret_word->scope != 0;
        }
    }
    return false;
}

static int read_words(struct manifest *manifest, const json_t *rows,
                      struct gray_problem *problem)
{
    size_t count = json_array_size(rows);

    if (!json_is_array(rows) || count > GRAY_WORDS_MAX) {
        return bad(problem, "words");
    }
    manifest->words = calloc(count + 1, sizeof(*manifest->words));
    if (manifest->words == NULL) {
        return refuse(problem, ENOMEM, "memory", "Out of memory.");
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_word(json_array_get(rows, i), &manifest->words[i])) {
            return bad(problem, "words");
        }
        manifest->word_count++;
    }
    return 0;
}

static int read_lists(struct manifest *manifest, const json_t *rows,
                      struct gray_problem *problem)
{
    size_t count = json_array_size(rows);

    if (!json_is_array(rows) || count > MANIFEST_LISTS_MAX) {
        return bad(problem, "lists");
    }
    manifest->lists = calloc(count + 1, sizeof(*manifest->lists));
    if (manifest->lists == NULL) {
        return refuse(problem, ENOMEM, "memory", "Out of memory.");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = json_string_value(json_object_get(row, "name"));

        if (!is_hex(name, 32) || !read_blob(row, &manifest->lists[i].blob)) {
            return bad(problem, "lists");
        }
        memcpy(manifest->lists[i].name, name, 33);
        manifest->list_count++;
    }
    return 0;
}

static int read_head(struct manifest *manifest, const json_t *said,
                     struct gray_problem *problem)
{
    const char *server = json_string_value(json_object_get(said, "server"));
    uint64_t at = 0, skew = 0;

    if (json_integer_value(json_object_get(said, "bundle")) != 1) {
        return bad(problem, "bundle");
    }
    if (server == NULL || server[0] == '\0' ||
        strlen(server) > MANIFEST_SERVER_MAX) {
        return bad(problem, "server");
    }
    strcpy(manifest->server, server);
    if (!read_number(said, "sequence", NUMBER_MAX, &manifest->sequence) ||
        manifest->sequence == 0) {
        return bad(problem, "sequence");
    }
    if (!read_number(said, "revision", NUMBER_MAX, &manifest->revision)) {
        return bad(problem, "revision");
    }
    if (!read_number(said, "epoch", NUMBER_MAX, &manifest->epoch)) {
        return bad(problem, "epoch");
    }
    if (json_object_get(said, "effectiveAt") != NULL &&
        !read_number(said, "effectiveAt", NUMBER_MAX, &at)) {
        return bad(problem, "effectiveAt");
    }
    if (json_object_get(said, "maxSkewMs") != NULL &&
        !read_number(said, "maxSkewMs", SKEW_MAX_MS, &skew)) {
        return bad(problem, "maxSkewMs");
    }
    manifest->effective_at = (int64_t)at;
    manifest->max_skew_ms = (uint32_t)skew;
    return 0;
}

static int read_all(struct manifest *manifest, const json_t *said,
                    struct gray_problem *problem)
{
    int error = read_head(manifest, said, problem);

    if (error != 0) {
        return error;
    }
    if (!read_blob_or_none(said, "policy", &manifest->policy)) {
        return bad(problem, "policy");
    }
    if (!read_blob_or_none(said, "fleet", &manifest->fleet)) {
        return bad(problem, "fleet");
    }
    if (!read_blob_or_none(said, "keys", &manifest->keys)) {
        return bad(problem, "keys");
    }
    error = read_lists(manifest, json_object_get(said, "lists"), problem);
    return error != 0 ? error
                      : read_words(manifest, json_object_get(said, "words"),
                                   problem);
}

/* ---- the note ------------------------------------------------------------ */

int manifest_read_text(struct manifest *ret_manifest, const char *text,
                       size_t size, struct gray_problem *ret_problem)
{
    struct manifest manifest = { .sequence = 0 };
    json_t *said = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    int error = json_is_object(said) ? read_all(&manifest, said, ret_problem)
                                     : bad(ret_problem, "");

    json_decref(said);
    if (error != 0) {
        manifest_clear(&manifest);
        return error;
    }
    *ret_manifest = manifest;
    return 0;
}

int manifest_read(struct manifest *ret_manifest, const char *note,
                  size_t length, const char *verifier,
                  struct gray_problem *ret_problem)
{
    const char *text = NULL;
    size_t size = 0;
    int error;

    if (length > MANIFEST_MAX) {
        return refuse(ret_problem, EINVAL, "bad-bundle",
                      "A bundle's list of contents has %zu bytes, at most %u "
                      "are read.", length, MANIFEST_MAX);
    }
    error = audit_read_text(note, length, MANIFEST_SUBJECT, verifier, &text,
                            &size);
    if (error == -1) {
        return refuse(ret_problem, EBADMSG, "torn",
                      "What the server sent is no whole bundle of the server "
                      "whose key this host was given.");
    }
    if (error != 0) {
        return refuse(ret_problem, EPERM, "forged",
                      "The bundle is not signed by the key that this host was "
                      "given (--server-key).");
    }
    return manifest_read_text(ret_manifest, text, size, ret_problem);
}

void manifest_clear(struct manifest *manifest)
{
    free(manifest->lists);
    free(manifest->words);
    *manifest = (struct manifest) { .sequence = 0 };
}

/* ---- blobs --------------------------------------------------------------- */

const struct manifest_blob *manifest_next(const struct manifest *manifest,
                                          size_t *at)
{
    const struct manifest_blob *last[] = { &manifest->keys, &manifest->fleet,
                                           &manifest->policy };

    while (*at < manifest->list_count + 3) {
        const struct manifest_blob *blob =
            *at < manifest->list_count
                ? &manifest->lists[*at].blob
                : last[*at - manifest->list_count];

        (*at)++;
        if (blob->size > 0) {
            return blob;
        }
    }
    return NULL;
}

const struct manifest_blob *manifest_blob(const struct manifest *manifest,
                                          const char *sha256)
{
    const struct manifest_blob *blob;
    size_t at = 0;

    while ((blob = manifest_next(manifest, &at)) != NULL) {
        if (strcmp(blob->sha256, sha256) == 0) {
            return blob;
        }
    }
    return NULL;
}
