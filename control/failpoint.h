/* SPDX-License-Identifier: Apache-2.0
 * failpoint.h - named places where a test kills grayd; nothing in the product.
 *
 * Read next: failpoint.c, tests/control/grayd/killed.py.
 */
#ifndef GRAYD_FAILPOINT_H
#define GRAYD_FAILPOINT_H

#ifdef GRAYD_FAILPOINTS
void failpoint(const char *name);
#else
#define failpoint(name) ((void)0)
#endif

#endif
