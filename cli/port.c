/* SPDX-License-Identifier: Apache-2.0
 * port.c - the clock, sleep, user and files of the command line.
 *
 * Why: everything else takes time and chance as arguments (STYLE rule 7); this
 * is the one place where the CLI asks the system for them.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

int64_t port_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t port_monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void port_sleep_ms(int64_t milliseconds)
{
    struct timespec left = { milliseconds / 1000,
                             milliseconds % 1000 * 1000000 };

    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

const char *port_actor(char buffer[64])
{
    const char *name = getenv("SUDO_USER");
    const struct passwd *entry = NULL;

    if (name == NULL || *name == '\0') {
        entry = getpwuid(getuid());
        name = entry != NULL ? entry->pw_name : NULL;
    }
    if (name != NULL) {
        snprintf(buffer, 64, "%s", name);
    } else {
        snprintf(buffer, 64, "uid %u", (unsigned)getuid());
    }
    return buffer;
}

FILE *port_open(const char *path)
{
    FILE *file;

    if (strcmp(path, "-") == 0) {
        return stdin;
    }
    file = fopen(path, "re");
    if (file == NULL) {
        complain("%s: %s", path, strerror(errno));
    }
    return file;
}
