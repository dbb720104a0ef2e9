/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/audit/ share among themselves.
 *
 * Why: whoever signs, verifies and proves must hash the same bytes and read
 * the same notes, so there is one place for each.  Nobody outside this folder
 * and its tests includes this.
 * Read next: tree.c (hashes), note.c (signed notes), walk.c (verifying).
 */
#ifndef GRAYD_AUDIT_INTERNAL_H
#define GRAYD_AUDIT_INTERNAL_H

#include <stdio.h>

#include "control/audit/audit.h"
#include "control/hex.h"
#include "runtime/internal.h"

/* ---- hashes: chain.c, tree.c ------------------------------------------- */

/* RFC 6962, 2.1: 0x00 | record, and 0x01 | left | right. */
void audit_leaf(const char *text, size_t length, uint8_t ret_hash[AUDIT_HASH]);
void audit_node(const uint8_t left[AUDIT_HASH], const uint8_t right[AUDIT_HASH],
                uint8_t ret_hash[AUDIT_HASH]);

/* The siblings on the way from a leaf to the root, collected in one pass over
 * the leaves: each is a range of leaves, and ranges are met in order. */
#define AUDIT_PATH_MAX 64u
struct audit_path {
    uint64_t leaf, size; /* index of the leaf; leaves of the tree */
    uint64_t at;         /* leaves seen */
    unsigned count;      /* siblings */
    struct audit_sibling {
        uint64_t first, end; /* leaves [first, end) */
        uint8_t hash[AUDIT_HASH];
    } siblings[AUDIT_PATH_MAX]; /* from the leaf upwards */
    uint8_t leaf_hash[AUDIT_HASH];
    struct audit_tree part; /* of the sibling being collected */
};
/* leaf < size. */
void audit_path_begin(struct audit_path *path, uint64_t leaf, uint64_t size);
/* The next leaf's hash; beyond the size: ignored. */
void audit_path_add(struct audit_path *path, const uint8_t leaf[AUDIT_HASH]);
/* Appends a hash instead of a text. */
void audit_tree_append_leaf(struct audit_tree *tree,
                            const uint8_t leaf[AUDIT_HASH]);
/* RFC 9162, 2.1.3.2: the root that a leaf and its siblings (from the leaf
 * upwards) lead to. 0, or -1: the number of siblings does not fit. */
int audit_path_root(uint64_t leaf, uint64_t size,
                    const uint8_t leaf_hash[AUDIT_HASH],
                    const uint8_t (*siblings)[AUDIT_HASH], size_t count,
                    uint8_t ret_root[AUDIT_HASH]);

/* ---- signed notes: note.c ---------------------------------------------- */

#define NOTE_ORIGIN_MAX 128u
#define NOTE_MAX 1024u /* bytes of a note of ours, and more */
#define NOTE_KEY 32u
#define NOTE_DASH "\xe2\x80\x94 " /* begins the line of a signature */
#define NOTE_DASH_LENGTH (sizeof(NOTE_DASH) - 1)
#define NOTE_SIGNATURE 64u

/* "origin+hash+key" (C2SP signed-note): whose signature is believed. */
struct audit_verifier {
    char origin[NOTE_ORIGIN_MAX + 1];
    uint8_t id[4]; /* of the key and its name */
    uint8_t key[NOTE_KEY];
};
#define VERIFIER_MAX (NOTE_ORIGIN_MAX + 64u)
/* 1 to NOTE_ORIGIN_MAX visible ASCII characters, none of them a plus. */
bool audit_origin_good(const char *origin);
/* The origin is good. */
void audit_verifier_make(const char *origin, const uint8_t key[NOTE_KEY],
                         struct audit_verifier *ret_verifier);
void audit_verifier_write(const struct audit_verifier *verifier,
                          char ret_line[VERIFIER_MAX]);
/* A line with or without its newline. 0, or -1: none such. */
int audit_verifier_read(const char *line, size_t length,
                        struct audit_verifier *ret_verifier);

/* What a checkpoint says. */
struct audit_note {
    char origin[NOTE_ORIGIN_MAX + 1];
    uint64_t size;
    uint8_t root[AUDIT_HASH], chain[AUDIT_HASH];
    int64_t at;
};
/* The bytes that are signed; how many. */
size_t audit_note_body(const struct audit_note *note, char ret_text[NOTE_MAX]);
/* Appends the blank line and the signature; the new length.  `room`: bytes of
 * `text`. */
size_t audit_note_sign(char *text, size_t room, size_t body,
                       const struct audit_verifier *verifier,
                       const uint8_t signature[NOTE_SIGNATURE]);
/* Reads a note of our own making (further signatures may follow ours) and
 * checks its signature (verifier NULL: does not look at it). 0; -1: no
 * checkpoint; -2: not signed by that key. */
int audit_note_read(const char *text, size_t length,
                    const struct audit_verifier *verifier,
                    struct audit_note *ret_note);

/* The signatures behind a body and a blank line. 0; -1: another shape; -2:
 * none of the verifier's, or a false one. */
int audit_note_signatures(const char *text, size_t length, size_t body,
                          const struct audit_verifier *verifier);

/* What a signer signs with; the signature of any bytes: 0, or -ENOMEM. */
const struct audit_verifier *
audit_signer_key(const struct audit_signer *signer);
int audit_sign(const struct audit_signer *signer, const char *body,
               size_t length, uint8_t ret_signature[NOTE_SIGNATURE]);

/* Standard base64 with padding, one spelling a value. */
#define BASE64_MAX(size) (((size) + 2) / 3 * 4 + 1)
void audit_base64_write(const uint8_t *bytes, size_t size, char *ret_text);
/* Exactly `size` (at most 256) bytes. 0, or -1. */
int audit_base64_read(const char *text, size_t length, uint8_t *ret_bytes,
                      size_t size);

/* ---- the file of checkpoints: notes.c ---------------------------------- */

/* One note after the other, of the bytes that were there at opening. */
struct audit_notes {
    FILE *file;
    uint64_t left;   /* bytes not yet looked at */
    uint64_t number; /* of the note in `text`, from 1 */
    size_t length;
    char text[4 * NOTE_MAX]; /* room for signatures of others */
};
enum { NOTES_END, NOTES_NOTE, NOTES_BAD, NOTES_TORN };
/* 0; 1: there is no such file; negative with *ret_problem. */
int audit_notes_open(struct audit_notes *notes, const char *path,
                     struct gray_problem *ret_problem);
/* NOTES_NOTE: `text`, without the blank line that parts it from the next;
 * NOTES_BAD: one that is too long; NOTES_TORN: the file ends within a note;
 * or negative: it could not be read. */
int audit_notes_next(struct audit_notes *notes);
void audit_notes_close(struct audit_notes *notes);
/* Where the last whole note of `bytes` begins and ends (behind its blank
 * line); false: there is none. `bytes` may begin within a note. */
bool audit_notes_last(const char *bytes, size_t length, size_t *ret_begin,
                      size_t *ret_end);

/* ---- walking: walk.c, export.c ----------------------------------------- */

/* Where records come from: store_read_audit(), or an export. */
struct audit_source {
    int (*read)(void *context, uint64_t from, size_t limit,
                store_record_visit *visit, void *visit_context,
                struct gray_problem *ret_problem);
    void *context;
};
/* All records against the chain and against a file of checkpoints (NULL: the
 * chain alone; then the verifier may be NULL too). */
int audit_walk(const struct audit_source *source, const char *checkpoints,
               const struct audit_verifier *verifier,
               struct audit_report *ret_report,
               struct gray_problem *ret_problem);
/* audit_prove() over any source. */
int audit_prove_source(const struct audit_source *source,
                       const char *checkpoints,
                       const struct audit_verifier *verifier,
                       uint64_t sequence, json_t **ret_proof,
                       struct gray_problem *ret_problem);
/* The verifier of a line, or (NULL) of <state>/audit/key.pub. */
int audit_verifier_find(const char *line, const char *state,
                        struct audit_verifier *ret_verifier,
                        struct gray_problem *ret_problem);

#endif
