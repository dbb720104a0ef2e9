/* SPDX-License-Identifier: Apache-2.0
 * signer.c - signs what it reads, as a server signs its bundles.
 *
 * Why: tests need bundles that a real server would never make: older ones,
 * others of the same number, ones of another key.
 *
 * usage: signer STATE ORIGIN key | signer STATE ORIGIN SUBJECT < text > note
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/audit/audit.h"

int main(int argc, char **argv)
{
    struct gray_problem problem = { 0 };
    struct audit_signer *signer = NULL;
    static char text[16u << 20];
    size_t length, size = 0;
    char *note;

    if (argc != 4 ||
        audit_signer_open(&signer, argv[1], argv[2], &problem) != 0) {
        fprintf(stderr, "signer: %s\n", problem.sentence);
        return 1;
    }
    if (strcmp(argv[3], "key") == 0) {
        puts(audit_signer_verifier(signer));
        audit_signer_close(signer);
        return 0;
    }
    length = fread(text, 1, sizeof(text), stdin);
    note = audit_sign_text(signer, argv[3], text, length, &size);
    audit_signer_close(signer);
    if (note == NULL || fwrite(note, 1, size, stdout) != size) {
        return 1;
    }
    free(note);
    return 0;
}
