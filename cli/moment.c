/* SPDX-License-Identifier: Apache-2.0
 * moment.c - moments, written as RFC 3339.
 *
 * Why: people read them, so whole seconds are enough; they are read by
 * policy/parse.c.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "policy/parse.h"

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

int moment_read(const char *what, const char *text, int64_t *ret_ms)
{
    int64_t ms = 0;
    char *end;
    long days = strtol(text, &end, 10);

    if (days > 0 && days < 1000000 && strcmp(end, "d") == 0) {
        *ret_ms = port_now_ms() - (int64_t)days * 86400000;
    } else if (gray_parse_duration(text, &ms)) {
        *ret_ms = port_now_ms() - ms;
    } else if (!gray_parse_moment(text, ret_ms)) {
        complain("%s: no age and no moment: %s (30m, 2h, 3d, or RFC 3339)",
                 what, text);
        return CLI_EXIT_USAGE;
    }
    return 0;
}
