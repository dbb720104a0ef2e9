/* SPDX-License-Identifier: Apache-2.0
 * port.c - the clock, sleep, user and files of the command line.
 *
 * Why: everything else takes time and chance as arguments (STYLE rule 7); this
 * is the one place where the CLI asks the system for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
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

uint32_t port_random(uint32_t below)
{
    uint32_t number = 0;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        number = (uint32_t)port_monotonic_ms();
    }
    return below == 0 ? 0 : number % below;
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

void port_keep_standard(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* Standard output is opened for reading: a write must fail and be
         * told, a message on a closed standard error is lost on purpose. */
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) < 0) {
            return;
        }
    }
}

static bool line_grow(struct line *line)
{
    size_t capacity = line->capacity == 0 ? 256 : 2 * line->capacity;
    char *text = realloc(line->text, capacity);

    if (text != NULL) {
        line->text = text;
        line->capacity = capacity;
    }
    return text != NULL;
}

int port_line(FILE *file, const char *name, size_t most, struct line *line)
{
    int byte;

    line->length = 0;
    while ((byte = getc_unlocked(file)) != EOF && byte != '\n') {
        if (line->length > most) {
            continue;
        }
        if (line->length + 1 >= line->capacity && !line_grow(line)) {
            complain("out of memory");
            return -1;
        }
        line->text[line->length++] = (char)byte;
    }
    if (ferror(file)) {
        complain("%s: %s", name, strerror(errno));
        return -1;
    }
    if ((byte == EOF && line->length == 0) ||
        (line->capacity == 0 && !line_grow(line))) {
        return 0;
    }
    while (line->length > 0 && line->length <= most &&
           strchr("\r \t", line->text[line->length - 1]) != NULL &&
           line->text[line->length - 1] != '\0') {
        line->length--;
    }
    line->text[line->length] = '\0';
    line->number++;
    return 1;
}

void line_free(struct line *line)
{
    free(line->text);
}
