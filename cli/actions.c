/* SPDX-License-Identifier: Apache-2.0
 * actions.c - who stopped it, when and why, kept beside what they did.
 *
 * Why: a scope word says that a release is stopped, not by whom.  Without any
 * daemon there is no audit store, so each action adds one JSON line to a file
 * in the runtime folder, and `gray status` shows the newest.  The line is a
 * memory for people: no decision reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

#define TAIL_BYTES 262144

static void add(json_t *line, const char *key, const char *value)
{
    if (value != NULL) {
        size_t length = strlen(value);
        json_t *text = json_stringn(
            value, length < ACTION_REASON_MAX ? length : ACTION_REASON_MAX);

        json_object_set_new(line, key, text != NULL ? text : json_string("?"));
    }
}

static char *line_of(const struct action *action)
{
    CLI_CLEANUP(json_freep) json_t *line = json_object();
    char moment[40], actor[64];

    add(line, "at", moment_text(port_now_ms(), moment));
    add(line, "actor", port_actor(actor));
    add(line, "action", action->action);
    add(line, "release", action->release);
    add(line, "before", action->before);
    add(line, "after", action->after);
    add(line, "reason", action->reason);
    if (action->revision != 0) {
        json_object_set_new(line, "revision",
                            json_integer((json_int_t)action->revision));
    }
    return json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
}

void action_record(const char *folder, const struct action *action)
{
    CLI_CLEANUP(string_freep) char *line = line_of(action);
    char path[4096], older[4200];
    struct stat facts;
    int fd, lost;

    snprintf(path, sizeof(path), "%s/" ACTIONS_FILE, folder);
    if (lstat(path, &facts) == 0 && facts.st_size > ACTIONS_BYTES_MAX) {
        snprintf(older, sizeof(older), "%s.1", path);
        rename(path, older);
    }
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC |
                        O_NONBLOCK, 0600);
    /* Anyone may read it, whatever the umask of who did something first. */
    lost = line == NULL || fd < 0 || fchmod(fd, 0644) != 0 ||
           dprintf(fd, "%s\n", line) < 0;
    if (lost) {
        complain("%s: %s; it was done, but nobody will see by whom", path,
                 strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* The last bytes of the file as whole lines; NULL when there are none. */
static char *read_tail(const char *folder)
{
    char path[4096];
    char *text = NULL;
    struct stat facts;
    ssize_t got = -1;
    off_t from;
    int fd;

    snprintf(path, sizeof(path), "%s/" ACTIONS_FILE, folder);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode)) {
        from = facts.st_size > TAIL_BYTES ? facts.st_size - TAIL_BYTES : 0;
        text = malloc(TAIL_BYTES + 1);
        got = text != NULL ? pread(fd, text, TAIL_BYTES, from) : -1;
    }
    close(fd);
    if (got < 0) {
        free(text);
        return NULL;
    }
    text[got] = '\0';
    return text;
}

/* Lines about one release replace each other, and so do lines of the folder
 * that begin with the same word. */
static void keep_newest(json_t *newest, json_t *line)
{
    const char *release = json_string_value(json_object_get(line, "release"));
    const char *action = json_string_value(json_object_get(line, "action"));
    char key[128];

    if (action == NULL) {
        return;
    }
    snprintf(key, sizeof(key), "%s/%.*s", release != NULL ? release : "",
             release != NULL ? 0 : (int)strcspn(action, " "), action);
    json_object_del(newest, key); /* the newest stands last */
    json_object_set(newest, key, line);
}

json_t *actions_read(const char *folder)
{
    CLI_CLEANUP(string_freep) char *text = read_tail(folder);
    CLI_CLEANUP(json_freep) json_t *newest = json_object();
    json_t *lines = json_array(), *line;
    char *save = NULL;
    const char *key;

    for (char *at = text != NULL ? strtok_r(text, "\n", &save) : NULL;
         at != NULL; at = strtok_r(NULL, "\n", &save)) {
        line = json_loads(at, 0, NULL);
        if (json_is_object(line)) {
            keep_newest(newest, line);
        }
        json_decref(line);
    }
    json_object_foreach(newest, key, line) {
        json_array_append(lines, line);
    }
    return lines;
}
