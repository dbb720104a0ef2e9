/* SPDX-License-Identifier: Apache-2.0
 * calls.c - see calls.h.
 *
 * Why: a symbol of the program itself comes before the C library's, also for
 * libsqlite3 and liblmdb, as long as it is visible.
 * Read next: calls.h.
 */
#include "tests/control/store/calls.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct call_watch call_watch;

#define IN_PLACE_OF(name) __asm__(name) __attribute__((visibility("default")))
ssize_t our_pwrite(int fd, const void *bytes, size_t size,
                   off_t at) IN_PLACE_OF("pwrite");
ssize_t our_pwrite64(int fd, const void *bytes, size_t size,
                     off_t at) IN_PLACE_OF("pwrite64");
int our_ftruncate(int fd, off_t size) IN_PLACE_OF("ftruncate");
int our_ftruncate64(int fd, off_t size) IN_PLACE_OF("ftruncate64");
ssize_t our_writev(int fd, const struct iovec *parts,
                   int count) IN_PLACE_OF("writev");
ssize_t our_pwritev(int fd, const struct iovec *parts, int count,
                    off_t at) IN_PLACE_OF("pwritev");
int our_fsync(int fd) IN_PLACE_OF("fsync");
int our_fdatasync(int fd) IN_PLACE_OF("fdatasync");

static bool fails(enum call call)
{
    return call_watch.fails != NULL && call_watch.fails(call);
}

ssize_t our_pwrite64(int fd, const void *bytes, size_t size, off_t at)
{
    if (fails(WRITES)) {
        return -1;
    }
    if (call_watch.write != NULL) {
        call_watch.write(fd, bytes, size, at);
    }
    return syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t our_pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return our_pwrite64(fd, bytes, size, at);
}

/* Only that they fail is watched: SQLite does not call them, LMDB does. */
ssize_t our_writev(int fd, const struct iovec *parts, int count)
{
    return fails(WRITES) ? -1 : syscall(SYS_writev, fd, parts, count);
}

ssize_t our_pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return fails(WRITES) ? -1
                         : syscall(SYS_pwritev, fd, parts, count, at, 0L);
}

int our_ftruncate64(int fd, off_t size)
{
    if (fails(WRITES)) {
        return -1;
    }
    if (call_watch.cut != NULL) {
        call_watch.cut(fd, size);
    }
    return (int)syscall(SYS_ftruncate, fd, size);
}

int our_ftruncate(int fd, off_t size)
{
    return our_ftruncate64(fd, size);
}

static int sync_with(long number, int fd)
{
    if (fails(SYNCS)) {
        return -1;
    }
    if (call_watch.sync != NULL) {
        call_watch.sync(fd);
    }
    return (int)syscall(number, fd);
}

int our_fsync(int fd)
{
    return sync_with(SYS_fsync, fd);
}

int our_fdatasync(int fd)
{
    return sync_with(SYS_fdatasync, fd);
}
