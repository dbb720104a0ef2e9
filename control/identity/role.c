/* SPDX-License-Identifier: Apache-2.0
 * role.c - what an identity may do, and who a peer of the socket is.
 *
 * Why: deny by default at one place: whatever is not an identity with a name,
 * a role of the table and a scope has nothing.
 * Read next: token.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/identity/internal.h"
#include "policy/utf8.h"

static const struct {
    const char *word;
    unsigned rights;
} roles[ROLE_COUNT] = {
#define GRAYD_ROLE(NAME, word, rights, doc) {word, rights},
#include "control/identity/roles.def"
};

const char *role_word(enum role role)
{
    return (unsigned)role < ROLE_COUNT ? roles[role].word : "?";
}

int role_parse(const char *word, enum role *ret_role)
{
    unsigned i;

    for (i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(word, roles[i].word) == 0) {
            *ret_role = (enum role)i;
            return 0;
        }
    }
    return -1;
}

bool identity_has(const struct identity *identity, unsigned rights)
{
    unsigned granted = 0;

    if (identity != NULL && identity->name[0] != '\0' &&
        (unsigned)identity->role < ROLE_COUNT) {
        granted = roles[identity->role].rights;
    }
    return (rights & ~granted) == 0;
}

bool identity_covers(const struct identity *identity, const char *name)
{
    size_t i;

    if (identity == NULL || identity->name[0] == '\0' ||
        identity->scope_count > IDENTITY_SCOPES_MAX) {
        return false;
    }
    for (i = 0; i < identity->scope_count; i++) {
        const char *scope = identity->scopes[i];

        if (identity->role == ROLE_AGENT) { /* one name, not a beginning */
            if (name != NULL && scope[0] != '\0' &&
                strcmp(name, scope) == 0) {
                return true;
            }
            continue;
        }
        if (scope[0] == '\0' ||
            (name != NULL && strncmp(name, scope, strlen(scope)) == 0)) {
            return true;
        }
    }
    return false;
}

/* ---- names ------------------------------------------------------------- */

static unsigned code_of(const char *text, size_t step)
{
    const unsigned char *b = (const unsigned char *)text;

    switch (step) {
    case 1:
        return b[0];
    case 2:
        return (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu);
    case 3:
        return (b[0] & 0x0fu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu);
    default:
        return (b[0] & 0x07u) << 18 | (b[1] & 0x3fu) << 12 |
               (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu);
    }
}

/* Characters that are not seen, or that turn around what is seen: a name in
 * the audit must look like what it is. */
static bool is_hidden(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0xa0) || code == 0xad ||
           code == 0x34f || code == 0x61c || code == 0x180e ||
           (code >= 0x115f && code <= 0x1160) || code == 0x3164 ||
           (code >= 0x2000 && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202f) ||
           (code >= 0x205f && code <= 0x206f) || code == 0x3000 ||
           (code >= 0xfe00 && code <= 0xfe0f) || code == 0xfeff ||
           (code >= 0xfff0 && code <= 0xfffb) || code >= 0xe0000;
}

bool identity_name_good(const char *text)
{
    size_t length = strlen(text), at = 0;

    if (length == 0 || length > IDENTITY_NAME_MAX || text[0] == ' ' ||
        text[length - 1] == ' ') {
        return false;
    }
    while (at < length) {
        size_t step = gray_utf8_step(text + at, length - at);
        unsigned code = step == 0 ? 0 : code_of(text + at, step);

        if (is_hidden(code) || code == '(' || code == ')') {
            return false;
        }
        at += step;
    }
    return true;
}

bool identity_name_reserved(const char *text)
{
    return strcmp(text, "root") == 0 || strcmp(text, "grayd") == 0 ||
           strncmp(text, "uid ", 4) == 0;
}

/* ---- peers ------------------------------------------------------------- */

int identity_of_peer(uid_t uid, uid_t own, const char *login,
                     struct identity *ret_identity)
{
    struct identity peer = {.role = ROLE_ADMIN, .scope_count = 1};
    char who[24];

    if (uid != 0 && uid != own) {
        return -1;
    }
    if (uid == 0) {
        strcpy(who, "root");
    } else {
        snprintf(who, sizeof(who), "uid %u", (unsigned)uid);
    }
    if (login == NULL) {
        strcpy(peer.name, who);
    } else {
        bool good = identity_name_good(login) && strlen(login) <= LOGIN_MAX;

        snprintf(peer.name, sizeof(peer.name), "%s (login %.*s)", who,
                 (int)LOGIN_MAX, good ? login : "?");
    }
    strcpy(peer.via, "socket");
    *ret_identity = peer;
    return 0;
}
