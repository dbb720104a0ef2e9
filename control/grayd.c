/* SPDX-License-Identifier: Apache-2.0
 * grayd.c - the ports of grayd: its clock, its log, its random numbers.
 *
 * Why: nothing else in control/ asks the machine for any of them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "control/grayd.h"
#include "control/hex.h"

int64_t grayd_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* One write a line: lines of several threads never mix. */
void grayd_log(enum log_level level, const char *code, const char *format, ...)
{
    static const char *const words[] = { "error", "warn", "info", "debug" };
    char line[1024];
    va_list arguments;
    int length;

    if (level == LOG_LEVEL_DEBUG) {
        return;
    }
    length = snprintf(line, sizeof(line), "%s %s: ", words[level],
                      code != NULL ? code : "grayd");
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof(line) - (size_t)length - 1,
                        format, arguments);
    va_end(arguments);
    if (length > (int)sizeof(line) - 2) {
        length = (int)sizeof(line) - 2;
    }
    for (int i = 0; i < length; i++) {
        if ((unsigned char)line[i] < ' ') {
            line[i] = ' '; /* a name in it must not make a line of its own */
        }
    }
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0) {
        return;
    }
}

void grayd_random_hex(char ret_hex[33])
{
    uint8_t bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
        abort(); /* ids that can be guessed are worse than none */
    }
    hex_write(bytes, sizeof(bytes), ret_hex);
}
