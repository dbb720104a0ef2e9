/* SPDX-License-Identifier: Apache-2.0
 * fuzz_manifest.c - any bytes as a bundle's list of contents.
 *
 * Why: it comes over a network.  Unsigned bytes are never read at all; what
 * stands behind a signature is read with the same care, for a server may be
 * newer, or taken over, and a host must outlive both.
 * Read next: control/agent/manifest.c.
 */
#include <string.h>

#include "control/agent/manifest.h"
#include "tests/fuzz/fuzz.h"

static const char neumann[] =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

static void hold(const struct manifest *manifest)
{
    const struct manifest_blob *blob;
    size_t at = 0, blobs = 0;

    MUST(manifest->sequence > 0);
    MUST(manifest->server[0] != '\0' &&
         strlen(manifest->server) <= MANIFEST_SERVER_MAX);
    MUST(manifest->word_count <= GRAY_WORDS_MAX);
    MUST(manifest->list_count <= MANIFEST_LISTS_MAX);
    for (size_t i = 0; i < manifest->word_count; i++) {
        MUST(manifest->words[i].scope != 0);
        MUST((manifest->words[i].word & ~GRAY_WORD_MASK) == 0);
    }
    for (size_t i = 0; i < manifest->list_count; i++) {
        MUST(strspn(manifest->lists[i].name, "0123456789abcdef") == 32);
    }
    while ((blob = manifest_next(manifest, &at)) != NULL) {
        MUST(strspn(blob->sha256, "0123456789abcdef") == 64);
        MUST(blob->size > 0 && blob->size <= MANIFEST_BLOB_MAX);
        blobs++;
    }
    MUST(blobs <= manifest->list_count + 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest = {.sequence = 0};
    char *bytes = malloc(size == 0 ? 1 : size);

    memcpy(bytes, data, size);
    if (manifest_read_text(&manifest, bytes, size, NULL) == 0) {
        hold(&manifest);
    }
    manifest_clear(&manifest);
    MUST(manifest_read(&manifest, bytes, size, neumann, NULL) != 0);
    free(bytes);
    return 0;
}
