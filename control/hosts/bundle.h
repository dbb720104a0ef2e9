/* SPDX-License-Identifier: Apache-2.0
 * bundle.h - what the folder of every host is to hold, signed.
 *
 * Why: hosts are fed by whoever answers on a port, so what they put in force
 * is signed, and each file of it is named by its SHA-256.  A bundle never
 * changes once it is made; who sends it holds a reference, so that it may go
 * out to thousands while the next one is in force already.
 * Threads: made by the control thread; a reference may be given back by any.
 * Read next: docs/agent.md, gather.c (the files), bundle.c (the manifest).
 */
#ifndef GRAYD_HOSTS_BUNDLE_H
#define GRAYD_HOSTS_BUNDLE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/audit/audit.h"
#include "runtime/folder.h"

#define BUNDLE_SUBJECT "bundle" /* of its note: <origin>/bundle */
#define BUNDLE_SHA256 65u       /* hex digits and a NUL */

/* ---- files ------------------------------------------------------------------ */

struct blob {
    _Atomic unsigned references;
    char sha256[BUNDLE_SHA256];
    const void *data;
    size_t size;
    bool mapped; /* of a file; else malloc'd */
    bool secret; /* keys: for agents alone, wiped at its end */
};
/* Takes malloc'd bytes over; NULL: no memory, and they are freed. */
struct blob *blob_make(void *data, size_t size, bool secret);
/* Maps an open file, which is never written to again; NULL: it cannot be. */
struct blob *blob_map(int fd);
struct blob *blob_reference(struct blob *blob);
/* NULL is harmless. */
void blob_release(struct blob *blob);

/* What of a runtime folder goes to hosts. */
struct gathered_list {
    char name[33]; /* in lists/ */
    struct blob *blob;
};
struct gathered {
    uint64_t policy_generation, fleet_generation, keys_generation;
    uint64_t control_ino; /* of the folder that these count in */
    uint64_t revision;    /* of the policy's header */
    int64_t effective_at; /* ms since the epoch; 0: at once */
    uint32_t max_skew_ms; /* that a reader may turn late; 0: any */
    struct blob *policy, *fleet, *keys; /* NULL: none */
    struct gathered_list *lists;
    size_t list_count;
};
/* Reads what is in force in a runtime folder. What is the same as in `before`
 * (may be NULL) is not read again. 0, or negative with *ret_problem. */
int gather(struct gathered *ret_gathered, const char *runtime,
           const struct gathered *before, struct gray_problem *ret_problem);
void gathered_clear(struct gathered *gathered);

/* ---- the manifest ------------------------------------------------------------- */

struct bundle_word {
    uint64_t scope, epoch; /* of the bundle in which it changed last */
    uint32_t word;         /* GRAY_WORD_* without flags */
};
struct bundle {
    _Atomic unsigned references;
    uint64_t sequence, revision, epoch;
    char digest[BUNDLE_SHA256]; /* of all that it says but its sequence */
    char *note;                 /* what goes over the wire */
    size_t length;
    struct blob **blobs;
    size_t blob_count;
};
/* Signs a manifest of these files and words; `epoch` at least that of each
 * word. NULL: no memory. */
struct bundle *bundle_make(const struct audit_signer *signer,
                           const char *server, uint64_t sequence,
                           uint64_t epoch, const struct gathered *files,
                           const struct bundle_word *words, size_t word_count);
struct bundle *bundle_reference(struct bundle *bundle);
/* NULL is harmless. */
void bundle_release(struct bundle *bundle);
/* Borrowed; NULL: none of its files has that hash. */
struct blob *bundle_find(const struct bundle *bundle, const char *sha256);

/* The words of scopes in documents of the wire; NULL: none such. */
const char *bundle_word_text(uint32_t word);
/* 0, or -1. */
int bundle_word_parse(const char *text, uint32_t *ret_word);

#endif
