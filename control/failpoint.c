/* SPDX-License-Identifier: Apache-2.0
 * failpoint.c - dies where a test says, in the test's own grayd alone.
 *
 * Why: a kill at a random moment seldom hits the narrow places. A program
 * built with GRAYD_FAILPOINTS kills itself at the point whose name stands in
 * the file that GRAYD_FAILPOINT names, and says which it passed in
 * GRAYD_FAILPOINT_LOG. Products have none of it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/failpoint.h"

static void say_passed(const char *name)
{
    const char *path = getenv("GRAYD_FAILPOINT_LOG");
    int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                                 0600)
                          : -1;

    if (fd >= 0) {
        if (write(fd, name, strlen(name)) < 0 || write(fd, "\n", 1) < 0) {
            abort();
        }
        close(fd);
    }
}

void failpoint(const char *name)
{
    const char *path = getenv("GRAYD_FAILPOINT");
    char wanted[64] = "";
    int fd;

    say_passed(name);
    fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    if (read(fd, wanted, sizeof(wanted) - 1) > 0 &&
        strcmp(wanted, name) == 0) {
        kill(getpid(), SIGKILL);
    }
    close(fd);
}
