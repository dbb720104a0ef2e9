/* SPDX-License-Identifier: Apache-2.0
 * identity.h - who is calling, and what they may touch.
 *
 * Why: the actor in the audit is this identity, never a field of a request.
 * A token is "gray_<id>_<secret>" (id 16 hex digits, secret 256 random bits
 * in base64url); the store keeps the SHA-256 of the secret only.  The unix
 * socket knows its peer by SO_PEERCRED.  Nothing is allowed that is not
 * granted: no identity, an unknown role, an expired token or a resource
 * outside the scope all mean no.
 * Pure but for random numbers, which are an argument.
 * Read next: roles.def, role.c, token.c.
 */
#ifndef GRAYD_IDENTITY_H
#define GRAYD_IDENTITY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"

#define IDENTITY_NAME_MAX 63u
#define IDENTITY_SCOPES_MAX 32u
#define TOKEN_TEXT_MAX 96u
#define TOKEN_TTL_MAX_S (366u * 86400u)

enum right_number {
#define GRAYD_RIGHT(NAME, word, doc) RIGHT_NUMBER_##NAME,
#include "control/identity/roles.def"
};
enum right {
#define GRAYD_RIGHT(NAME, word, doc) \
    RIGHT_##NAME = RIGHT_NUMBER_##NAME == 0 ? 0 : 1 << RIGHT_NUMBER_##NAME,
#include "control/identity/roles.def"
};
enum role {
#define GRAYD_ROLE(NAME, word, rights, doc) ROLE_##NAME,
#include "control/identity/roles.def"
    ROLE_COUNT
};

struct identity {
    char name[IDENTITY_NAME_MAX + 1]; /* "ci-cart", "root (login alice)" */
    char token_id[17];                /* "" of a peer */
    enum role role;
    char via[8];                      /* "token" or "socket" */
    int64_t expires;                  /* ms since the epoch; 0: a peer's */
    /* Prefixes of names of documents; "" is every name. None: nothing. */
    char scopes[IDENTITY_SCOPES_MAX][GRAY_NAME_MAX + 1];
    size_t scope_count;
};

const char *role_word(enum role role);
/* 0, or -1: no such word. */
int role_parse(const char *word, enum role *ret_role);
/* All bits of `rights` granted, by role alone. NULL, an identity without a
 * name and an unknown role have RIGHT_NONE only. */
bool identity_has(const struct identity *identity, unsigned rights);
/* The name begins with one of the scopes; NULL or "" asks for every name,
 * which only the scope "" covers.  An agent's scope covers the host of that
 * very name and no other. */
bool identity_covers(const struct identity *identity, const char *name);

/* ---- tokens ------------------------------------------------------------ */

/* Makes an id, a text to hand out once, and the item to store (JSON {"id",
 * "name","role","scopes","expires","created","createdBy","hash"}). `random`
 * is 40 bytes from the kernel. *ret_item is a new reference. Name: UTF-8
 * without control characters or parentheses, no blank at its ends, not one
 * that peers or grayd itself are known by.  Scopes: at least one, each the
 * beginning of a name.  Expiry: later than now, by at most TOKEN_TTL_MAX_S.
 * 0, or negative with *ret_problem: "bad-name", "bad-role", "bad-scope",
 * "bad-expiry", "no-memory". */
int token_make(const struct identity *wanted, int64_t now_ms,
               const char *created_by, const uint8_t random[40],
               char ret_text[TOKEN_TEXT_MAX], json_t **ret_item,
               struct gray_problem *ret_problem);
/* The id inside a token's text, without trusting it. 0, or -1: no token. */
int token_id(const char *text, size_t length, char ret_id[17]);
/* Whether the text is the secret of this stored item, not expired: constant
 * time in the secret. 0 and *ret_identity, or -1. */
int token_check(const char *text, size_t length, const json_t *item,
                int64_t now_ms, struct identity *ret_identity);
/* The item without its hash, for people. New reference. */
json_t *token_public(const json_t *item);

/* ---- peers of the unix socket ------------------------------------------ */

/* uid 0 ("root") and grayd's own uid ("uid 998") are admins over everything;
 * every other uid is nobody without a token.  `login` (may be NULL) is who
 * logged in, from /proc/PID/loginuid by the caller: "root (login alice)"; a
 * login that can be no name becomes "?". 0, or -1: nobody. */
int identity_of_peer(uid_t uid, uid_t own, const char *login,
                     struct identity *ret_identity);

#endif
