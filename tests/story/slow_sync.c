/* SPDX-License-Identifier: Apache-2.0
 * slow_sync.c - a disk that takes its time to say that it has written.
 *
 * Why: on tmpfs a sync is over before anybody can look; what must wait for it
 * then looks right without waiting.  Preloaded into grayd, each fdatasync()
 * takes a quarter of a second, as on a busy disk.
 */
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    const struct timespec pause = {.tv_nsec = 250000000};
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

    nanosleep(&pause, NULL);
    return real(fd);
}
