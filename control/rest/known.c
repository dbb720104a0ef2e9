/* SPDX-License-Identifier: Apache-2.0
 * known.c - tokens of agents that were looked up, until any token changes.
 *
 * Why: after a change ten thousand agents ask three times each within two
 * seconds, and looking a token up in the store costs more than all the rest of
 * such an answer.  What was found is kept by the SHA-256 of the whole token
 * (the token itself is not kept), for as long as no token was made or revoked:
 * a revoked one ends at once, as everybody's does.  People are looked up every
 * time.
 * Threads: any; one lock.
 * Read next: authorize.c, grayd.h (tokens_changed).
 */
#include <stdlib.h>
#include <string.h>

#include "control/rest/internal.h"

#define SLOTS 32768u /* a power of two; 100 bytes more for each that is used */

struct known_token {
    uint8_t hash[STORE_HASH];
    uint64_t changes; /* tokens_changed when it was looked up */
    int64_t expires;
    char name[IDENTITY_NAME_MAX + 1], token_id[17], via[8];
    char scope[GRAY_NAME_MAX + 1];
};
struct known {
    pthread_mutex_t lock;
    struct known_token *slots[SLOTS];
};

int known_start(struct rest *rest)
{
    rest->known = calloc(1, sizeof(*rest->known));
    if (rest->known == NULL) {
        return -1;
    }
    pthread_mutex_init(&rest->known->lock, NULL);
    return 0;
}

void known_end(struct rest *rest)
{
    if (rest->known == NULL) {
        return;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        free(rest->known->slots[i]);
    }
    pthread_mutex_destroy(&rest->known->lock);
    free(rest->known);
    rest->known = NULL;
}

static bool hash_of(const char *text, size_t length, uint8_t hash[STORE_HASH])
{
    unsigned size = 0;

    return EVP_Digest(text, length, hash, &size, EVP_sha256(), NULL) == 1 &&
           size == STORE_HASH;
}

static struct known_token **slot_of(struct known *known,
                                    const uint8_t hash[STORE_HASH])
{
    uint32_t at;

    memcpy(&at, hash, sizeof(at));
    return &known->slots[at & (SLOTS - 1)];
}

bool known_find(struct rest *rest, const char *text, size_t length,
                uint64_t changes, int64_t now, struct identity *ret_identity)
{
    const struct known_token *token;
    uint8_t hash[STORE_HASH];
    bool found;

    if (!hash_of(text, length, hash)) {
        return false;
    }
    pthread_mutex_lock(&rest->known->lock);
    token = *slot_of(rest->known, hash);
    found = token != NULL && token->changes == changes &&
            now < token->expires &&
            memcmp(token->hash, hash, sizeof(hash)) == 0;
    if (found) {
        memset(ret_identity, 0, sizeof(*ret_identity));
        memcpy(ret_identity->name, token->name, sizeof(token->name));
        memcpy(ret_identity->token_id, token->token_id,
               sizeof(token->token_id));
        memcpy(ret_identity->via, token->via, sizeof(token->via));
        memcpy(ret_identity->scopes[0], token->scope, sizeof(token->scope));
        ret_identity->scope_count = 1;
        ret_identity->role = ROLE_AGENT;
        ret_identity->expires = token->expires;
    }
    pthread_mutex_unlock(&rest->known->lock);
    return found;
}

void known_keep(struct rest *rest, const char *text, size_t length,
                uint64_t changes, const struct identity *identity)
{
    struct known_token **slot;
    uint8_t hash[STORE_HASH];

    if (identity->role != ROLE_AGENT || identity->scope_count != 1 ||
        !hash_of(text, length, hash)) {
        return;
    }
    pthread_mutex_lock(&rest->known->lock);
    slot = slot_of(rest->known, hash);
    if (*slot == NULL) {
        *slot = calloc(1, sizeof(**slot));
    }
    if (*slot != NULL) {
        memcpy((*slot)->hash, hash, sizeof(hash));
        (*slot)->changes = changes;
        (*slot)->expires = identity->expires;
        memcpy((*slot)->name, identity->name, sizeof((*slot)->name));
        memcpy((*slot)->token_id, identity->token_id,
               sizeof((*slot)->token_id));
        memcpy((*slot)->via, identity->via, sizeof((*slot)->via));
        memcpy((*slot)->scope, identity->scopes[0], sizeof((*slot)->scope));
    }
    pthread_mutex_unlock(&rest->known->lock);
}
