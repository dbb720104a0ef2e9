/* SPDX-License-Identifier: Apache-2.0
 * calls.h - the calls by which SQLite and the store write, under the eyes of a
 * test.
 *
 * Why: a disk that fails or loses its power is made here out of one that does
 * neither.  A program linked with calls.c has its own pwrite, ftruncate, fsync
 * and fdatasync; libsqlite3 uses them too.
 * Read next: test_sync.c, test_power.c.
 */
#ifndef GRAYD_TESTS_STORE_CALLS_H
#define GRAYD_TESTS_STORE_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum call { WRITES = 1, SYNCS = 2 };

/* Each may be NULL. The first: whether a call fails, errno set; the others see
 * a call that will be made. */
struct call_watch {
    bool (*fails)(enum call call);
    void (*write)(int fd, const void *bytes, size_t size, off_t at);
    void (*cut)(int fd, off_t size);
    void (*sync)(int fd);
};
extern struct call_watch call_watch;

#endif
