/* SPDX-License-Identifier: Apache-2.0
 * runtime.h - the runtime folder: publish into it, read from it.
 *
 * Why: the folder is the whole contract between whoever decides policy and
 * whoever serves requests on a host (DESIGN 4).  Writers write aside, check,
 * rename, then raise a generation in `control` and wake the readers; readers
 * map, check everything off the request path, swap one pointer, and keep the
 * last good one when something is wrong.  Nothing here is called on a request
 * path but the inline counters.
 *
 *   control             generations, bypass, scope words     writer: publisher
 *   keys                signing keys, mode 0640               writer: publisher
 *   policy.snap         the one in force                      writer: publisher
 *   policy.<gen>.snap   the last three good ones, and the one that waits for its
 *                       instant (control.next_generation)     writer: publisher
 *   fleet.snap          endpoints (and fleet.<gen>.snap)      writer: publisher
 *   lists/<hash>        id lists, by content                  writer: publisher
 *   readers/<id>        acknowledgements, counters          writer: its reader
 *   readers/<id>.wake   FIFO that wakes this reader           reader: its owner
 *   publish.lock        one publisher at a time (flock)
 *   grayd.lock          one grayd at a time (flock)             writer: grayd
 *   actions.log         who did what, for people (gray status)   writer: gray
 *   marks/<scope>.<n>   mark tables (marks.h)       writers: nginx, grayd
 *   marks/drained       how far rings were taken (ring.h)      writer: grayd
 *   marks/wake          FIFO that wakes grayd's marks thread   reader: grayd
 *
 * Errors: 0 or a negative errno-like code with *ret_problem filled.
 * Threads: a gray_folder belongs to one thread; a gray_runtime's current view
 * may be read by many (see gray_runtime_view()).
 * Read next: publish.c (writer), reader.c (reader), counters.c.
 */
#ifndef GRAY_RUNTIME_H
#define GRAY_RUNTIME_H

#include "runtime/admit.h"
#include "runtime/counters.h"
#include "runtime/folder.h"
#include "runtime/publish.h"
#include "runtime/reader.h"
#include "runtime/token.h"

#endif
