/* SPDX-License-Identifier: Apache-2.0
 * engine.h - the pure decision of Graylane.
 *
 * Why: gateway, libgray, CLI and grayd must give the same answer to the bit,
 * so the decision is one piece of code that knows nothing of any of them.  It
 * has no clock, file, socket, global or allocation: everything comes in as an
 * argument, everything goes out through a caller's record.  All functions are
 * safe in threads as long as the records handed in are not shared; none
 * blocks.  Nothing here trusts a byte of a mapping: gray_*_open() checks all
 * of it, and the interpreter bounds every step again.
 * Read next: layout.h (the files), program.c (conditions), decide.c (order).
 */
#ifndef GRAY_ENGINE_H
#define GRAY_ENGINE_H

#include "engine/basics.h"
#include "engine/choose.h"
#include "engine/colour.h"
#include "engine/decide.h"
#include "engine/explain.h"
#include "engine/input.h"
#include "engine/layout.h"
#include "engine/record.h"
#include "engine/snapshot.h"

#endif
