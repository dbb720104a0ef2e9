/* SPDX-License-Identifier: Apache-2.0
 * host.c - who did what on the host itself, from actions.log.
 *
 * Why: a word of the host is adopted with the name and the reason of whoever
 * set it.  The file is a memory for people: it is believed for nothing else.
 * Read next: cli/actions.c (who writes it).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/publish/internal.h"

#define ACTIONS_FILE "actions.log"
#define TAIL_BYTES (256u << 10)

/* The end of the file, as text; NULL: none. */
static char *tail_read(int dirfd)
{
    CLEANUP_FD int fd =
        openat(dirfd, ACTIONS_FILE,
               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    char *text;
    ssize_t got;
    off_t from;

    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return NULL;
    }
    text = malloc(TAIL_BYTES + 1);
    if (text == NULL) {
        return NULL;
    }
    from = status.st_size > TAIL_BYTES ? status.st_size - TAIL_BYTES : 0;
    got = pread(fd, text, TAIL_BYTES, from);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static json_t *action_of(const char *line, size_t length, const char *key,
                         const char *name)
{
    json_t *read = json_loadb(line, length, 0, NULL);
    const char *found = json_string_value(json_object_get(read, key));
    json_t *action = NULL;

    if (found != NULL && strcmp(found, name) == 0) {
        static const char *const keys[] = {"action", "actor", "reason", "at"};

        action = json_object();
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            json_t *value = json_object_get(read, keys[i]);

            if (json_is_string(value)) {
                json_object_set(action, keys[i], value);
            }
        }
    }
    json_decref(read);
    return action;
}

/* The newest line that says `name` under `key`. */
static json_t *newest(const struct publisher *publisher, const char *key,
                      const char *name)
{
    CLEANUP_FREE char *text = tail_read(publisher->folder.dirfd);
    size_t end = text != NULL ? strlen(text) : 0;

    /* From the newest line back. */
    while (end > 0) {
        size_t begin = end;
        json_t *action;

        while (begin > 0 && text[begin - 1] != '\n') {
            begin--;
        }
        action = action_of(text + begin, end - begin, key, name);
        if (action != NULL) {
            return action;
        }
        end = begin > 0 ? begin - 1 : 0;
    }
    return NULL;
}

json_t *publisher_host_action(struct publisher *publisher, const char *name)
{
    return newest(publisher, "release", name);
}

json_t *publisher_folder_action(struct publisher *publisher,
                                const char *action)
{
    return newest(publisher, "action", action);
}
