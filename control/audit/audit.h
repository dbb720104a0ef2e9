/* SPDX-License-Identifier: Apache-2.0
 * audit.h - who did what, when and why, so that nobody can change it later.
 *
 * Why: a table of events can be edited by whoever owns the database.  Each
 * record is therefore chained to the one before it, h = SHA-256(0x00 | h' |
 * record), in the same transaction as the change, and all records are leaves
 * of a Merkle tree (RFC 6962: leaf 0x00, node 0x01) whose root is signed
 * (Ed25519) each minute and written outside the database: who rewrites the
 * tail with a fresh chain still contradicts a checkpoint.
 *
 *   <state>/audit/key        private key, PEM, mode 0600, made at first start
 *   <state>/audit/key.pub    its verifier line (signed note format)
 *   <state>/audit/checkpoints   signed notes, appended and synced
 *
 * Everything but the checkpoint file is pure. Threads: an audit_tree belongs
 * to one thread.
 * Read next: chain.c, tree.c, note.c, signer.c, walk.c, prove.c.
 */
#ifndef GRAYD_AUDIT_H
#define GRAYD_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/store/store.h"

#define AUDIT_HASH STORE_HASH
#define AUDIT_CHECKPOINT_S 60
#define AUDIT_WORD_MAX 256u    /* bytes of each string of a record */
#define AUDIT_REASON_MAX 1024u /* but of the reason */
#define AUDIT_SIDE_MAX 4096u   /* bytes of before and of after, as JSON */

/* What a record says; NULL and 0: left out. Bytes that are no UTF-8 become
 * U+FFFD; a longer string is cut and ends in an ellipsis; a larger before or
 * after is kept as {"bytes":N,"sha256":HEX} of its compact, sorted JSON. */
struct audit_entry {
    int64_t at;            /* ms since the epoch */
    const char *actor;     /* name of the identity, never a request's field */
    const char *role, *via; /* "operator"; "token", "socket", "grayd" */
    const char *action;    /* of the route, or the verb: "apply", "abort" */
    const char *resource;  /* "Release/cart-2", "" for all */
    const char *outcome;   /* "done", "refused", "denied", "dry-run" */
    const char *code;      /* of the refusal */
    const char *reason;    /* the person's words */
    const char *triggered_by; /* USER POLICY ANALYSIS SCHEDULE INTERNAL_ERROR */
    const char *event_type;   /* DEPLOYMENT_STARTED ..., NULL */
    const char *request;   /* id of the request */
    uint64_t revision;     /* that it made; 0: none */
    const json_t *before, *after; /* borrowed; secrets never stand here */
};
/* Canonical JSON (keys sorted, compact) with the sequence number in it: "seq",
 * "at", and the other members by their names ("triggeredBy", "eventType").
 * malloc'd; NULL: no memory, or before or after is no JSON that can be
 * written. */
char *audit_record_text(uint64_t sequence, const struct audit_entry *entry,
                        size_t *ret_length);
void audit_chain(const uint8_t before[AUDIT_HASH], const char *text,
                 size_t length, uint8_t ret_hash[AUDIT_HASH]);

/* The right edge of the tree: enough to append and to say the root. */
struct audit_tree {
    uint64_t size;
    uint8_t peaks[64][AUDIT_HASH]; /* [k]: a full subtree of 2^k, if bit k */
};
void audit_tree_append(struct audit_tree *tree, const char *text,
                       size_t length);
void audit_tree_root(const struct audit_tree *tree,
                     uint8_t ret_root[AUDIT_HASH]);

/* ---- keys and checkpoints ---------------------------------------------- */

struct audit_signer;
/* Reads or makes the key in <state>/audit; cuts off what a crash left at the
 * end of the checkpoints.  `origin` (1 to 128 visible ASCII characters, no
 * plus) names a new key; an old one keeps the name in key.pub. Refused:
 * "untrusted-file" (others may read the key), "key-missing" (key.pub is there
 * without it), "bad-key", "bad-origin", "corrupt", "io", "disk-full". */
int audit_signer_open(struct audit_signer **ret_signer, const char *state,
                      const char *origin, struct gray_problem *ret_problem);
void audit_signer_close(struct audit_signer *signer);
/* "origin+hash+key" as the signed note format has it; owned by the signer. */
const char *audit_signer_verifier(const struct audit_signer *signer);
/* Appends a signed note for this tree and this head of the chain, synced; to
 * be called when the tree has grown. ret_note (may be NULL): malloc'd text.
 * Refused: "audit-behind" (the tree contradicts the checkpoint before),
 * "audit-failed" (an fsync failed earlier), "io", "disk-full". */
int audit_checkpoint(struct audit_signer *signer,
                     const struct audit_tree *tree,
                     const uint8_t chain[AUDIT_HASH], int64_t at,
                     char **ret_note, struct gray_problem *ret_problem);

/* ---- other texts --------------------------------------------------------- */

/* A text (ended by its newline) as a signed note that begins with the line
 * "<origin>/<subject>", so that what is signed for one subject is nothing for
 * another.  malloc'd and NUL-terminated; NULL: no memory.  Any thread. */
char *audit_sign_text(const struct audit_signer *signer, const char *subject,
                      const char *text, size_t length, size_t *ret_length);
/* The text of such a note, within it, by the verifier line alone; pure. 0; -1:
 * no note of that subject (or no verifier line); -2: not signed by that key. */
int audit_read_text(const char *note, size_t length, const char *subject,
                    const char *verifier, const char **ret_text,
                    size_t *ret_length);
/* Whether this is a verifier line. */
bool audit_verifier_good(const char *line);

/* ---- verify and prove -------------------------------------------------- */

struct audit_report {
    uint64_t records, checkpoints; /* that agree, up to what is wrong */
    bool good;
    /* Sequence number; of a tail that was written anew, the first record
     * after the last checkpoint that still agrees. 0: good, or it is a
     * checkpoint that is bad and no record. */
    uint64_t first_bad;
    /* What is wrong there; or "good: ..." and what is known no better: records
     * after the last checkpoint, a checkpoint that a crash tore. */
    char sentence[300];
};
/* Walks all records of a store (alive or dead) against the checkpoints of
 * <state>/audit and a verifier line (NULL: <state>/audit/key.pub, which whoever
 * owns the host can replace: keep the line elsewhere). Negative only when it
 * could not be read at all ("no-verifier": checkpoints, but no key.pub). */
int audit_verify(struct store_reader *reader, const char *state,
                 const char *verifier, struct audit_report *ret_report,
                 struct gray_problem *ret_problem);
/* The same over an export: JSON lines {"record":TEXT,"hash":HEX} from record 1
 * on. checkpoints: a file, or NULL for the chain alone. */
int audit_verify_export(const char *path, const char *checkpoints,
                        const char *verifier, struct audit_report *ret_report,
                        struct gray_problem *ret_problem);
/* Inclusion proof of a record in the newest checkpoint that covers it: {seq,
 * record, leafIndex, treeSize, hashes[], root, checkpoint}. 1: no checkpoint
 * covers it yet, or no such record. */
int audit_prove(struct store_reader *reader, const char *state,
                uint64_t sequence, json_t **ret_proof,
                struct gray_problem *ret_problem);
/* Whether such a proof holds, by the verifier line alone; pure. */
bool audit_proof_holds(const json_t *proof, const char *verifier);

#endif
