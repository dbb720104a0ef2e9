/* SPDX-License-Identifier: Apache-2.0
 * moment.c - moments, written as RFC 3339.
 *
 * Why: people read them, so whole seconds are enough; they are read by
 * policy/parse.c.
 */
#include <time.h>

#include "cli/cli.h"

const char *moment_text(int64_t ms, char buffer[40])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(buffer, 40, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        snprintf(buffer, 40, "%lld", (long long)ms);
    }
    return buffer;
}
