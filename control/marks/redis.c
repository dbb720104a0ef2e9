/* SPDX-License-Identifier: Apache-2.0
 * redis.c - first admissions that hosts share.
 */
#include "control/marks/internal.h"

const char *redis_word(const struct redis *redis)
{
    return redis == NULL ? "none" : "ok";
}
