/* SPDX-License-Identifier: Apache-2.0
 * text.c - any text as a signed note: what hosts are told, by the audit's key.
 *
 *   origin/subject \n text \n U+2014 origin base64(id of the key, signature) \n
 *
 * Why: a host believes the key that it was given, whoever carries the bytes.
 * The first line says what it is, so that what was signed for one purpose is
 * nothing for another: a checkpoint is no bundle.
 * Read next: note.c, docs/agent.md.
 */
#include <stdlib.h>
#include <string.h>

#include "control/audit/internal.h"

#define SIGNATURE_ROOM (NOTE_DASH_LENGTH + NOTE_ORIGIN_MAX + 128u)

char *audit_sign_text(const struct audit_signer *signer, const char *subject,
                      const char *text, size_t length, size_t *ret_length)
{
    const struct audit_verifier *verifier = audit_signer_key(signer);
    size_t room = strlen(verifier->origin) + strlen(subject) + 3 + length +
                  SIGNATURE_ROOM;
    uint8_t signature[NOTE_SIGNATURE];
    char *note = malloc(room);
    size_t body;

    if (note == NULL) {
        return NULL;
    }
    body = (size_t)snprintf(note, room, "%s/%s\n", verifier->origin, subject);
    memcpy(note + body, text, length);
    body += length;
    if (audit_sign(signer, note, body, signature) != 0) {
        free(note);
        return NULL;
    }
    *ret_length = audit_note_sign(note, room, body, verifier, signature);
    return note;
}

/* The blank line that ends the body is the last one: signatures have none. */
static size_t body_of(const char *note, size_t length)
{
    for (size_t i = length; i >= 2; i--) {
        if (note[i - 1] == '\n' && note[i - 2] == '\n') {
            return i - 1;
        }
    }
    return 0;
}

int audit_read_text(const char *note, size_t length, const char *subject,
                    const char *verifier_line, const char **ret_text,
                    size_t *ret_length)
{
    struct audit_verifier verifier;
    char first[NOTE_ORIGIN_MAX + 66];
    size_t body = body_of(note, length), skip;
    int error;

    if (audit_verifier_read(verifier_line, strlen(verifier_line),
                            &verifier) != 0 ||
        body == 0) {
        return -1;
    }
    error = audit_note_signatures(note, length, body, &verifier);
    if (error != 0) {
        return error;
    }
    skip = (size_t)snprintf(first, sizeof(first), "%s/%.64s\n",
                            verifier.origin, subject);
    if (skip > body || memcmp(note, first, skip) != 0) {
        return -1;
    }
    *ret_text = note + skip;
    *ret_length = body - skip;
    return 0;
}

bool audit_verifier_good(const char *line)
{
    struct audit_verifier verifier;

    return audit_verifier_read(line, strlen(line), &verifier) == 0;
}
