/* SPDX-License-Identifier: Apache-2.0
 * manifest.h - what a server says that every host is to hold, read and judged.
 *
 * Why: these bytes come over a network, so they are believed when a key that
 * this host was given has signed them, and even then every number and name in
 * them has its limits.  Nothing here touches a file or a clock.
 * Read next: docs/agent.md, control/audit/text.c, rules.h.
 */
#ifndef GRAYD_AGENT_MANIFEST_H
#define GRAYD_AGENT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "runtime/folder.h"

#define MANIFEST_SUBJECT "bundle"  /* of the signed note */
#define MANIFEST_MAX (16u << 20)   /* bytes of a note */
#define MANIFEST_LISTS_MAX 65536u
#define MANIFEST_BLOB_MAX (UINT64_C(8) << 30) /* as a runtime folder takes */
#define MANIFEST_SERVER_MAX 64u    /* characters of a server's id */

/* One file of a bundle; size 0: there is none. */
struct manifest_blob {
    char sha256[65];
    uint64_t size;
};
struct manifest_list {
    char name[33]; /* 32 hex digits, as in lists/ */
    struct manifest_blob blob;
};
struct manifest_word {
    uint64_t scope;
    uint32_t word;  /* GRAY_WORD_* without flags */
    uint64_t epoch; /* when it was said */
};
struct manifest {
    char server[MANIFEST_SERVER_MAX + 1];
    uint64_t sequence, revision, epoch;
    int64_t effective_at; /* ms since the epoch; 0: at once */
    uint32_t max_skew_ms;
    struct manifest_blob policy, fleet, keys;
    struct manifest_list *lists;
    size_t list_count;
    struct manifest_word *words;
    size_t word_count;
};
/* Reads a signed note of the server with this verifier line.  0; -EBADMSG
 * "torn" (no whole note), -EPERM "forged" (not signed by that key), -EINVAL
 * "bad-bundle" (signed, and not what this version understands; the sentence
 * says where), -ENOMEM.  *ret_manifest is untouched on failure. */
int manifest_read(struct manifest *ret_manifest, const char *note,
                  size_t length, const char *verifier,
                  struct gray_problem *ret_problem);
/* The text in such a note. */
int manifest_read_text(struct manifest *ret_manifest, const char *text,
                       size_t size, struct gray_problem *ret_problem);
/* Harmless when called again, or on zeros. */
void manifest_clear(struct manifest *manifest);
/* The blob of this hash, in any role; NULL: the bundle has none such. */
const struct manifest_blob *manifest_blob(const struct manifest *manifest,
                                          const char *sha256);
/* Blobs of a manifest, one after the other: `at` 0 to begin; NULL: no more.
 * Lists first, then keys, fleet, policy: what is small and what others need
 * before what turns. */
const struct manifest_blob *manifest_next(const struct manifest *manifest,
                                          size_t *at);

#endif
