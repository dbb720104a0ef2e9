/* SPDX-License-Identifier: Apache-2.0
 * bundle.c - blobs, and the signed manifest that names them.
 *
 * Why: the manifest is canonical JSON (keys sorted, compact), so that the same
 * contents are the same bytes, and a digest of all but the sequence tells
 * whether anything is new.
 * Read next: gather.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "control/dump.h"
#include "control/hex.h"
#include "control/hosts/bundle.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define TEXT_FLAGS (JSON_COMPACT | JSON_SORT_KEYS)

/* ---- blobs ------------------------------------------------------------------ */

static int sha256_of(const void *data, size_t size, char ret_hex[BUNDLE_SHA256])
{
    uint8_t hash[32];
    unsigned length = 0;

    if (EVP_Digest(data, size, hash, &length, EVP_sha256(), NULL) != 1 ||
        length != sizeof(hash)) {
        return -1;
    }
    hex_write(hash, sizeof(hash), ret_hex);
    return 0;
}

static void end_data(const void *data, size_t size, bool mapped, bool secret)
{
    void *bytes = (void *)(uintptr_t)data;

    if (mapped) {
        munmap(bytes, size);
        return;
    }
    if (secret) {
        OPENSSL_cleanse(bytes, size);
    }
    free(bytes);
}

static struct blob *wrap(const void *data, size_t size, bool mapped,
                         bool secret)
{
    struct blob *blob = data != NULL ? calloc(1, sizeof(*blob)) : NULL;

    if (blob == NULL || sha256_of(data, size, blob->sha256) != 0) {
        free(blob);
        if (data != NULL) {
            end_data(data, size, mapped, secret);
        }
        return NULL;
    }
    atomic_init(&blob->references, 1);
    blob->data = data;
    blob->size = size;
    blob->mapped = mapped;
    blob->secret = secret;
    return blob;
}

struct blob *blob_make(void *data, size_t size, bool secret)
{
    return wrap(data, size, false, secret);
}

struct blob *blob_map(int fd)
{
    struct stat status;
    void *data;

    if (fstat(fd, &status) != 0 || status.st_size <= 0) {
        return NULL;
    }
    data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    return data != MAP_FAILED ? wrap(data, (size_t)status.st_size, true, false)
                              : NULL;
}

struct blob *blob_reference(struct blob *blob)
{
    if (blob != NULL) {
        atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    }
    return blob;
}

void blob_release(struct blob *blob)
{
    if (blob != NULL && atomic_fetch_sub(&blob->references, 1) == 1) {
        end_data(blob->data, blob->size, blob->mapped, blob->secret);
        free(blob);
    }
}

/* ---- words ------------------------------------------------------------------ */

static const char *const word_texts[] = {
    [GRAY_WORD_OPEN] = "open",
    [GRAY_WORD_NO_ADMIT] = "no-admit",
    [GRAY_WORD_BASELINE] = "baseline",
    [GRAY_WORD_KILLED] = "killed",
};
#define WORD_COUNT (sizeof(word_texts) / sizeof(word_texts[0]))

const char *bundle_word_text(uint32_t word)
{
    return word < WORD_COUNT ? word_texts[word] : NULL;
}

int bundle_word_parse(const char *text, uint32_t *ret_word)
{
    for (uint32_t i = 0; i < WORD_COUNT; i++) {
        if (strcmp(text, word_texts[i]) == 0) {
            *ret_word = i;
            return 0;
        }
    }
    return -1;
}

static json_t *words_json(const struct bundle_word *words, size_t count)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < count; i++) {
        char scope[17];

        snprintf(scope, sizeof(scope), "%016" PRIx64, words[i].scope);
        if (json_array_append_new(
                rows, json_pack("{s:s,s:s,s:I}", "scope", scope, "word",
                                bundle_word_text(words[i].word), "epoch",
                                (json_int_t)words[i].epoch)) != 0) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

/* ---- the manifest ------------------------------------------------------------- */

static json_t *file_json(const struct blob *blob)
{
    return blob != NULL ? json_pack("{s:s,s:I}", "sha256", blob->sha256,
                                    "size", (json_int_t)blob->size)
                        : json_null();
}

static json_t *lists_json(const struct gathered *files)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < files->list_count; i++) {
        json_t *row = file_json(files->lists[i].blob);

        if (json_object_set_new(row, "name",
                                json_string(files->lists[i].name)) != 0 ||
            json_array_append_new(rows, row) != 0) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

static json_t *manifest_json(const char *server, uint64_t epoch,
                             const struct gathered *files,
                             const struct bundle_word *words, size_t count)
{
    return json_pack(
        "{s:i,s:s,s:I,s:I,s:I,s:i,s:o,s:o,s:o,s:o,s:o}", "bundle", 1,
        "server", server, "revision", (json_int_t)files->revision, "epoch",
        (json_int_t)epoch, "effectiveAt", (json_int_t)files->effective_at,
        "maxSkewMs", (int)files->max_skew_ms, "policy", file_json(files->policy),
        "fleet", file_json(files->fleet), "keys", file_json(files->keys),
        "lists", lists_json(files), "words", words_json(words, count));
}

static int take_blobs(struct bundle *bundle, const struct gathered *files)
{
    struct blob *const parts[] = { files->policy, files->fleet, files->keys };

    bundle->blobs = calloc(files->list_count + 3, sizeof(*bundle->blobs));
    if (bundle->blobs == NULL) {
        return -1;
    }
    for (size_t i = 0; i < 3; i++) {
        if (parts[i] != NULL) {
            bundle->blobs[bundle->blob_count++] = blob_reference(parts[i]);
        }
    }
    for (size_t i = 0; i < files->list_count; i++) {
        bundle->blobs[bundle->blob_count++] =
            blob_reference(files->lists[i].blob);
    }
    return 0;
}

/* The text to be signed, ended by its newline; malloc'd. */
static char *line_of(const json_t *manifest, size_t *ret_length)
{
    size_t length = 0;
    char *text = json_text(manifest, TEXT_FLAGS, &length);
    char *line = text != NULL ? realloc(text, length + 2) : NULL;

    if (line == NULL) {
        free(text);
        return NULL;
    }
    line[length++] = '\n';
    line[length] = '\0';
    *ret_length = length;
    return line;
}

static int sign(struct bundle *bundle, const struct audit_signer *signer,
                json_t *manifest)
{
    size_t length = 0;
    char *line = line_of(manifest, &length);
    int error = line != NULL ? sha256_of(line, length, bundle->digest) : -1;

    free(line);
    if (error != 0 ||
        json_object_set_new(manifest, "sequence",
                            json_integer((json_int_t)bundle->sequence)) != 0) {
        return -1;
    }
    line = line_of(manifest, &length);
    bundle->note = line != NULL ? audit_sign_text(signer, BUNDLE_SUBJECT, line,
                                                  length, &bundle->length)
                                : NULL;
    free(line);
    return bundle->note != NULL ? 0 : -1;
}

struct bundle *bundle_make(const struct audit_signer *signer,
                           const char *server, uint64_t sequence,
                           uint64_t epoch, const struct gathered *files,
                           const struct bundle_word *words, size_t word_count)
{
    struct bundle *bundle = calloc(1, sizeof(*bundle));
    json_t *manifest = manifest_json(server, epoch, files, words, word_count);

    if (bundle != NULL) {
        atomic_init(&bundle->references, 1);
        bundle->sequence = sequence;
        bundle->revision = files->revision;
        bundle->epoch = epoch;
    }
    if (bundle == NULL || manifest == NULL ||
        take_blobs(bundle, files) != 0 || sign(bundle, signer, manifest) != 0) {
        bundle_release(bundle);
        bundle = NULL;
    }
    json_decref(manifest);
    return bundle;
}

struct bundle *bundle_reference(struct bundle *bundle)
{
    if (bundle != NULL) {
        atomic_fetch_add_explicit(&bundle->references, 1,
                                  memory_order_relaxed);
    }
    return bundle;
}

void bundle_release(struct bundle *bundle)
{
    if (bundle == NULL || atomic_fetch_sub(&bundle->references, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < bundle->blob_count; i++) {
        blob_release(bundle->blobs[i]);
    }
    free(bundle->blobs);
    free(bundle->note);
    free(bundle);
}

struct blob *bundle_find(const struct bundle *bundle, const char *sha256)
{
    for (size_t i = 0; bundle != NULL && i < bundle->blob_count; i++) {
        if (strcmp(bundle->blobs[i]->sha256, sha256) == 0) {
            return bundle->blobs[i];
        }
    }
    return NULL;
}
