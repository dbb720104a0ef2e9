/* SPDX-License-Identifier: Apache-2.0
 * failpoint.c - dies where a test says, in the test's own grayd alone.
 *
 * Why: a kill at a random moment seldom hits the narrow places. A program
 * built with GRAYD_FAILPOINTS kills itself at the named point the n-th time
 * it is reached: GRAYD_FAILPOINT=name or name:n. Products have none of it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void failpoint(const char *name);

void failpoint(const char *name)
{
    static _Atomic int seen;
    const char *wanted = getenv("GRAYD_FAILPOINT");
    size_t length = strlen(name);
    int at;

    if (wanted == NULL || strncmp(wanted, name, length) != 0 ||
        (wanted[length] != '\0' && wanted[length] != ':')) {
        return;
    }
    at = wanted[length] == ':' ? atoi(wanted + length + 1) : 1;
    if (++seen == at) {
        kill(getpid(), SIGKILL);
    }
}
