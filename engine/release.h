/* SPDX-License-Identifier: Apache-2.0
 * release.h - what decide.c and explain.c ask about one release.
 *
 * Why: the scope word is read for carried arms as well as for decided ones,
 * and explain shows it; there must be one reading of it.
 * Read next: release.c.
 */
#ifndef GRAY_ENGINE_RELEASE_H
#define GRAY_ENGINE_RELEASE_H

#include "engine/engine.h"

/* The scope word in force; a word that belongs to somebody else says
 * GRAY_WORD_NO_ADMIT. */
enum gray_word gray_release_word(const struct gray_view *view,
                                 const struct gray_release *release);
/* Why such a word keeps a unit out. */
enum gray_reason gray_release_word_reason(enum gray_word word);

#endif
