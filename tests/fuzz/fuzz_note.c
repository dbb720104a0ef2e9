/* SPDX-License-Identifier: Apache-2.0
 * fuzz_note.c - any bytes as a checkpoint, a file of them, a verifier line, a
 * proof.
 *
 * Why: an auditor reads all of these from whoever hands them over.  What is
 * read must be the one spelling that we would write, and nothing is believed
 * under a key that did not sign it.
 * Read next: control/audit/note.c.
 */
#include <string.h>

#include "control/audit/internal.h"
#include "tests/fuzz/fuzz.h"

static const char verifier_line[] =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

static void as_note(const char *bytes, size_t size,
                    const struct audit_verifier *verifier)
{
    char again[NOTE_MAX];
    struct audit_note note;
    size_t body;

    if (audit_note_read(bytes, size, NULL, &note) == 0) {
        body = audit_note_body(&note, again);
        MUST(audit_origin_good(note.origin));
        MUST(body < size && memcmp(again, bytes, body) == 0);
    }
    MUST(audit_note_read(bytes, size, verifier, &note) != 0);
}

static void as_verifier(const char *bytes, size_t size)
{
    struct audit_verifier verifier;
    char again[VERIFIER_MAX];

    if (audit_verifier_read(bytes, size, &verifier) == 0) {
        audit_verifier_write(&verifier, again);
        MUST(strlen(again) == size - (bytes[size - 1] == '\n'));
        MUST(memcmp(again, bytes, strlen(again)) == 0);
    }
}

static void as_file(const char *bytes, size_t size)
{
    size_t begin = 0, end = 0;

    if (audit_notes_last(bytes, size, &begin, &end)) {
        MUST(begin < end && end <= size);
        MUST(end >= 2 && memcmp(bytes + end - 2, "\n\n", 2) == 0);
    }
}

static void as_proof(const char *bytes, size_t size)
{
    json_t *proof = json_loadb(bytes, size, 0, NULL);

    MUST(!audit_proof_holds(proof, verifier_line));
    json_decref(proof);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct audit_verifier verifier;
    char *bytes = malloc(size == 0 ? 1 : size);

    MUST(audit_verifier_read(verifier_line, strlen(verifier_line),
                             &verifier) == 0);
    memcpy(bytes, data, size);
    as_note(bytes, size, &verifier);
    as_verifier(bytes, size);
    as_file(bytes, size);
    as_proof(bytes, size);
    free(bytes);
    return 0;
}
