/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/identity/ share among themselves.
 *
 * Why: the same rule of a good name holds for tokens and for logins.
 * Read next: role.c.
 */
#ifndef GRAYD_IDENTITY_INTERNAL_H
#define GRAYD_IDENTITY_INTERNAL_H

#include "control/identity/identity.h"

/* Bytes of a login, so that "uid 4294967295 (login ...)" fits a name. */
#define LOGIN_MAX 32u

/* 1 to IDENTITY_NAME_MAX bytes of UTF-8 that are all seen. */
bool identity_name_good(const char *text);
/* What peers and grayd itself are called: no token may take these. */
bool identity_name_reserved(const char *text);

#endif
