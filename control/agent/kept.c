/* SPDX-License-Identifier: Apache-2.0
 * kept.c - an agent's few files: written aside, synced, renamed.
 *
 * Read next: kept.h, blob.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/agent/internal.h"
#include "control/failpoint.h"

int kept_failed(struct gray_problem *ret_problem, const char *name)
{
    int error = errno != 0 ? errno : EIO;

    return agent_problem(ret_problem, error,
                         error == ENOSPC || error == EDQUOT || error == EFBIG
                             ? "disk-full"
                         : error == EROFS ? "read-only"
                                          : "io",
                         "agent/%.80s: %s.", name, strerror(error));
}

static int make_folder(int parent, const char *name, int *ret_fd,
                       struct gray_problem *ret_problem)
{
    if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST) {
        return kept_failed(ret_problem, name);
    }
    *ret_fd = openat(parent, name,
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd >= 0 ? 0 : kept_failed(ret_problem, name);
}

static void remove_parts(int blobs)
{
    int fd = openat(blobs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, ".part") != NULL) {
            unlinkat(blobs, entry->d_name, 0);
        }
    }
    closedir(dir);
}

int kept_open(struct kept_place *ret_place, const char *state,
              struct gray_problem *ret_problem)
{
    struct kept_place place = { -1, -1 };
    int error, parent;

    if (mkdir(state, 0700) != 0 && errno != EEXIST) {
        return agent_problem(ret_problem, errno, "bad-folder",
                             "The state folder %.100s cannot be made: %s.",
                             state, strerror(errno));
    }
    parent = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        return agent_problem(ret_problem, errno, "bad-folder",
                             "The state folder %.100s: %s.", state,
                             strerror(errno));
    }
    error = make_folder(parent, "agent", &place.fd, ret_problem);
    if (error == 0) {
        error = make_folder(place.fd, "blobs", &place.blobs, ret_problem);
    }
    close(parent);
    if (error != 0) {
        kept_close(&place);
        return error;
    }
    remove_parts(place.blobs);
    *ret_place = place;
    return 0;
}

void kept_close(struct kept_place *place)
{
    if (place->fd >= 0) {
        close(place->fd);
    }
    if (place->blobs >= 0) {
        close(place->blobs);
    }
    *place = (struct kept_place) { -1, -1 };
}

/* ---- reading -------------------------------------------------------------- */

int kept_note(const struct kept_place *place, const char *name, char **ret_note,
              size_t *ret_length, struct gray_problem *ret_problem)
{
    int fd = openat(place->fd, name,
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat facts;
    size_t done = 0;
    char *text;

    if (fd < 0) {
        return errno == ENOENT ? 1 : kept_failed(ret_problem, name);
    }
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) ||
        facts.st_size > (off_t)MANIFEST_MAX) {
        close(fd);
        errno = EINVAL;
        return kept_failed(ret_problem, name);
    }
    text = malloc((size_t)facts.st_size + 1);
    while (text != NULL && done < (size_t)facts.st_size) {
        ssize_t got = read(fd, text + done, (size_t)facts.st_size - done);

        if (got <= 0) {
            break;
        }
        done += (size_t)got;
    }
    close(fd);
    if (text == NULL || done < (size_t)facts.st_size) {
        free(text);
        errno = text == NULL ? ENOMEM : EIO;
        return kept_failed(ret_problem, name);
    }
    text[done] = '\0';
    *ret_note = text;
    *ret_length = done;
    return 0;
}

json_t *kept_known(const struct kept_place *place)
{
    char *text = NULL;
    size_t length = 0;
    json_t *known = NULL;

    if (kept_note(place, KEPT_KNOWN, &text, &length, NULL) == 0) {
        known = json_loadb(text, length, 0, NULL);
    }
    free(text);
    if (!json_is_object(known)) {
        json_decref(known);
        known = json_object();
    }
    return known;
}

/* ---- writing -------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return -1;
        }
        bytes += put;
        size -= (size_t)put;
    }
    return 0;
}

int kept_write(const struct kept_place *place, const char *name,
               const void *bytes, size_t size,
               struct gray_problem *ret_problem)
{
    char aside[64];
    int fd, error = 0;

    snprintf(aside, sizeof(aside), "%s.part", name);
    unlinkat(place->fd, aside, 0);
    fd = openat(place->fd, aside,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write_all(fd, bytes, size) != 0 || fsync(fd) != 0 ||
        renameat(place->fd, aside, place->fd, name) != 0 ||
        fsync(place->fd) != 0) {
        error = kept_failed(ret_problem, name);
        unlinkat(place->fd, aside, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

int kept_turn(const struct kept_place *place, struct gray_problem *ret_problem)
{
    failpoint("bundle-before-turn");
    if (renameat(place->fd, KEPT_NEXT, place->fd, KEPT_BUNDLE) != 0 &&
        errno != ENOENT) {
        return kept_failed(ret_problem, KEPT_BUNDLE);
    }
    if (fsync(place->fd) != 0) {
        return kept_failed(ret_problem, KEPT_BUNDLE);
    }
    failpoint("bundle-turned");
    return 0;
}
