/* SPDX-License-Identifier: Apache-2.0
 * prove.c - this record was there when that checkpoint was signed.
 *
 * Why: one record can be shown to somebody who may see no other.  A proof is
 * made in one pass over the records and holds by the verifier line alone.
 * Read next: tree.c (paths), note.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/audit/internal.h"

#define CHUNK 4096u
#define HASH_TEXT (BASE64_MAX(AUDIT_HASH) - 1)

/* ---- make -------------------------------------------------------------- */

struct proving {
    struct audit_path path;
    uint64_t wanted;
    char *text; /* of the wanted record */
    size_t length;
    bool gap, no_memory;
};

static int collect(void *context, const struct store_record *record)
{
    struct proving *proving = context;
    uint8_t leaf[AUDIT_HASH];

    if (record->sequence != proving->path.at + 1) {
        proving->gap = true;
        return 1;
    }
    audit_leaf(record->text, record->length, leaf);
    if (record->sequence == proving->wanted) {
        proving->text = malloc(record->length + 1);
        if (proving->text == NULL) {
            proving->no_memory = true;
            return 1;
        }
        memcpy(proving->text, record->text, record->length);
        proving->length = record->length;
    }
    audit_path_add(&proving->path, leaf);
    return proving->path.at == proving->path.size;
}

/* The newest checkpoint that covers a record, in `text`. 0; 1: none does. */
static int covering_note(const char *checkpoints, uint64_t sequence,
                         const struct audit_verifier *verifier,
                         char text[4 * NOTE_MAX + 1],
                         struct audit_note *ret_note,
                         struct gray_problem *ret_problem)
{
    struct audit_notes notes;
    struct audit_note note;
    bool some = false;
    int kind = NOTES_END,
        error = audit_notes_open(&notes, checkpoints, ret_problem);

    if (error != 0) {
        return error;
    }
    while ((kind = audit_notes_next(&notes)) == NOTES_NOTE ||
           kind == NOTES_BAD) {
        if (kind == NOTES_NOTE &&
            audit_note_read(notes.text, notes.length, NULL, &note) == 0 &&
            note.size >= sequence) {
            memcpy(text, notes.text, notes.length);
            text[notes.length] = '\0';
            some = true;
        }
    }
    audit_notes_close(&notes);
    if (kind < 0) {
        return runtime_problem_set(ret_problem, -kind, "io",
                                   "The checkpoints could not be read.");
    }
    if (!some) {
        return 1;
    }
    if (audit_note_read(text, strlen(text), verifier, ret_note) != 0) {
        return runtime_problem_set(
            ret_problem, EILSEQ, "corrupt",
            "The newest checkpoint is not signed by %.80s: verify the audit.",
            verifier->origin);
    }
    return 0;
}

static json_t *base64_of(const uint8_t hash[AUDIT_HASH])
{
    char text[BASE64_MAX(AUDIT_HASH)];

    audit_base64_write(hash, AUDIT_HASH, text);
    return json_string(text);
}

static json_t *proof_json(const struct proving *proving, const char *note,
                          const uint8_t root[AUDIT_HASH])
{
    json_t *hashes = json_array();
    unsigned i;

    for (i = 0; i < proving->path.count; i++) {
        if (json_array_append_new(
                hashes, base64_of(proving->path.siblings[i].hash)) != 0) {
            json_decref(hashes);
            return NULL;
        }
    }
    return json_pack("{s:I, s:o, s:I, s:I, s:o, s:o, s:s}", "seq",
                     (json_int_t)proving->wanted, "record",
                     json_stringn(proving->text, proving->length),
                     "leafIndex", (json_int_t)proving->path.leaf, "treeSize",
                     (json_int_t)proving->path.size, "hashes", hashes, "root",
                     base64_of(root), "checkpoint", note);
}

/* Reads the records and checks that they lead to the checkpoint's root. */
static int collect_all(const struct audit_source *source,
                       struct proving *proving, const struct audit_note *note,
                       struct gray_problem *ret_problem)
{
    uint8_t siblings[AUDIT_PATH_MAX][AUDIT_HASH], root[AUDIT_HASH];
    int error = 0;
    unsigned i;

    audit_path_begin(&proving->path, proving->wanted - 1, note->size);
    while (error == 0 && proving->path.at < note->size && !proving->gap &&
           !proving->no_memory) {
        uint64_t before = proving->path.at;

        error = source->read(source->context, before + 1, CHUNK, collect,
                             proving, ret_problem);
        proving->gap = proving->gap || proving->path.at == before;
    }
    if (error == 0 && proving->no_memory) {
        return runtime_problem_set(ret_problem, ENOMEM, "no-memory",
                                   "There is no memory for a proof.");
    }
    if (error != 0) {
        return error;
    }
    for (i = 0; i < proving->path.count; i++) {
        memcpy(siblings[i], proving->path.siblings[i].hash, AUDIT_HASH);
    }
    if (proving->gap ||
        audit_path_root(proving->path.leaf, proving->path.size,
                        proving->path.leaf_hash,
                        (const uint8_t(*)[AUDIT_HASH])siblings,
                        proving->path.count, root) != 0 ||
        memcmp(root, note->root, AUDIT_HASH) != 0) {
        return runtime_problem_set(
            ret_problem, EILSEQ, "corrupt",
            "The records contradict the checkpoint of %" PRIu64
            ": verify the audit.",
            note->size);
    }
    return 0;
}

int audit_prove_source(const struct audit_source *source,
                       const char *checkpoints,
                       const struct audit_verifier *verifier,
                       uint64_t sequence, json_t **ret_proof,
                       struct gray_problem *ret_problem)
{
    struct proving proving = {.wanted = sequence};
    char text[4 * NOTE_MAX + 1];
    struct audit_note note;
    json_t *proof;
    int error;

    if (sequence == 0) {
        return 1;
    }
    error = covering_note(checkpoints, sequence, verifier, text, &note,
                          ret_problem);
    if (error != 0) {
        return error;
    }
    error = collect_all(source, &proving, &note, ret_problem);
    if (error == 0) {
        proof = proof_json(&proving, text, note.root);
        if (proof == NULL) {
            error = runtime_problem_set(ret_problem, ENOMEM, "no-memory",
                                        "There is no memory for a proof.");
        } else {
            *ret_proof = proof;
        }
    }
    free(proving.text);
    return error;
}

/* ---- check ------------------------------------------------------------- */

static int hash_of(const json_t *value, uint8_t ret_hash[AUDIT_HASH])
{
    return !json_is_string(value)
               ? -1
               : audit_base64_read(json_string_value(value),
                                   json_string_length(value), ret_hash,
                                   AUDIT_HASH);
}

/* A positive number, or 0: none such. */
static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));

    return value > 0 ? (uint64_t)value : 0;
}

/* The record says that it has this sequence number. */
static bool says_sequence(const json_t *record, uint64_t sequence)
{
    json_t *said = json_loadb(json_string_value(record),
                              json_string_length(record),
                              JSON_REJECT_DUPLICATES, NULL);
    bool same = number_of(said, "seq") == sequence;

    json_decref(said);
    return same;
}

bool audit_proof_holds(const json_t *proof, const char *verifier)
{
    const json_t *record = json_object_get(proof, "record");
    const json_t *hashes = json_object_get(proof, "hashes");
    const json_t *text = json_object_get(proof, "checkpoint");
    const json_t *index = json_object_get(proof, "leafIndex");
    uint64_t sequence = number_of(proof, "seq");
    uint8_t siblings[AUDIT_PATH_MAX][AUDIT_HASH];
    uint8_t leaf[AUDIT_HASH], root[AUDIT_HASH], said[AUDIT_HASH];
    struct audit_verifier line;
    struct audit_note note;
    size_t i, count = json_array_size(hashes);

    if (sequence == 0 || !json_is_string(record) || !json_is_string(text) ||
        !json_is_array(hashes) || count > AUDIT_PATH_MAX ||
        !json_is_integer(index) ||
        json_integer_value(index) != (json_int_t)(sequence - 1) ||
        audit_verifier_read(verifier, strlen(verifier), &line) != 0 ||
        audit_note_read(json_string_value(text), json_string_length(text),
                        &line, &note) != 0 ||
        number_of(proof, "treeSize") != note.size ||
        hash_of(json_object_get(proof, "root"), said) != 0 ||
        memcmp(said, note.root, AUDIT_HASH) != 0 ||
        !says_sequence(record, sequence)) {
        return false;
    }
    for (i = 0; i < count; i++) {
        if (hash_of(json_array_get(hashes, i), siblings[i]) != 0) {
            return false;
        }
    }
    audit_leaf(json_string_value(record), json_string_length(record), leaf);
    return audit_path_root(sequence - 1, note.size, leaf,
                           (const uint8_t(*)[AUDIT_HASH])siblings, count,
                           root) == 0 &&
           memcmp(root, note.root, AUDIT_HASH) == 0;
}
