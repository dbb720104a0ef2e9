/* SPDX-License-Identifier: Apache-2.0
 * kept.h - what an agent remembers on disk: whose bundle, which one, its files.
 *
 *   <state>/agent/bundle        signed note of the bundle in force
 *   <state>/agent/bundle.next   one that was accepted and is on its way
 *   <state>/agent/blobs/<sha256>   their files; .part: one being fetched
 *   <state>/agent/known         {server, sequence, sha256, spreadMs, told}
 *
 * Why: a start without the server goes on with what was last good, an older
 * server is recognised after any restart, and what is here already is not
 * fetched again.  A file has its name when it is whole and synced, so a kill
 * or a torn download leaves none that could be believed.
 * Threads: one.
 * Read next: kept.c, blob.c.
 */
#ifndef GRAYD_AGENT_KEPT_H
#define GRAYD_AGENT_KEPT_H

#include <jansson.h>
#include <openssl/evp.h>

#include "control/agent/manifest.h"

#define KEPT_BUNDLE "bundle"
#define KEPT_NEXT "bundle.next"
#define KEPT_KNOWN "known"

struct kept_place {
    int fd, blobs;
};
/* Makes the folders where they are missing, and removes what a kill left
 * half fetched. */
int kept_open(struct kept_place *ret_place, const char *state,
              struct gray_problem *ret_problem);
void kept_close(struct kept_place *place);

/* A note of that name: malloc'd. 1: there is none. */
int kept_note(const struct kept_place *place, const char *name, char **ret_note,
              size_t *ret_length, struct gray_problem *ret_problem);
/* Whole and synced, instead of the one before. */
int kept_write(const struct kept_place *place, const char *name,
               const void *bytes, size_t size,
               struct gray_problem *ret_problem);
/* The accepted bundle is in force. */
int kept_turn(const struct kept_place *place,
              struct gray_problem *ret_problem);
/* {} where nothing is known, or what is there cannot be read. New reference. */
json_t *kept_known(const struct kept_place *place);

/* ---- blobs (blob.c) --------------------------------------------------------- */

/* A file being fetched. */
struct blob_writer {
    const struct kept_place *place;
    struct manifest_blob want;
    EVP_MD_CTX *digest;
    int fd;
    uint64_t size;
    int error; /* errno of a write */
};
bool blob_there(const struct kept_place *place,
                const struct manifest_blob *blob);
int blob_begin(struct blob_writer *writer, const struct kept_place *place,
               const struct manifest_blob *want,
               struct gray_problem *ret_problem);
/* For link_call.piece; context is the writer. */
int blob_piece(void *context, const void *bytes, size_t size);
/* Names it when it is what was wanted: 0; -EBADMSG "bad-blob": another size or
 * hash; -ENOSPC and others of the disk. `keep` false: throws it away. */
int blob_end(struct blob_writer *writer, bool keep,
             struct gray_problem *ret_problem);
/* Maps one, and looks whether it is still what it was. */
struct blob_map {
    void *data;
    size_t size;
};
int blob_open(struct blob_map *ret_map, const struct kept_place *place,
              const struct manifest_blob *blob,
              struct gray_problem *ret_problem);
void blob_close(struct blob_map *map);
/* Removes those that neither of two bundles needs (NULL: no second one). */
void blobs_sweep(const struct kept_place *place, const struct manifest *one,
                 const struct manifest *other);
/* Of these bytes, as 64 hex digits. */
int blob_sha256(const void *bytes, size_t size, char ret_hex[65]);

#endif
