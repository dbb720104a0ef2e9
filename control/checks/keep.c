/* SPDX-License-Identifier: Apache-2.0
 * keep.c - what is known of a Check, in a file.
 *
 * Why: see checks.h.  A file that cannot be believed is moved aside and begun
 * anew, with a sentence in the log: the next run finds what is open.
 * Read next: pending.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/checks/internal.h"
#include "control/dump.h"
#include "control/grayd.h"

#define KEPT_MAX (64u << 20)

static int path_of(const struct checks *checks, const char *name,
                   const char *end, char ret_path[512])
{
    return snprintf(ret_path, 512, "%s/%s.json%s", checks->folder, name,
                    end) < 512
               ? 0
               : -ENAMETOOLONG;
}

static json_t *keep_new(void)
{
    json_t *pending = pending_new();

    return pending != NULL
               ? json_pack("{s:o,s:n,s:i,s:i,s:n,s:n,s:n}", "pending",
                           pending, "last", "run", 0, "done", 0, "swept",
                           "failed", "goodSince")
               : NULL;
}

json_t *keep_read(const struct checks *checks, const char *name)
{
    char path[512], aside[512];
    json_t *kept = NULL;
    FILE *file = NULL;

    if (path_of(checks, name, "", path) == 0 &&
        path_of(checks, name, ".bad", aside) == 0) {
        file = fopen(path, "re");
    }
    if (file != NULL) {
        kept = json_loadf(file, JSON_REJECT_DUPLICATES, NULL);
        fclose(file);
        if (!json_is_object(kept) ||
            !pending_holds(json_object_get(kept, "pending"))) {
            grayd_log(LOG_LEVEL_ERROR, "check-forgotten",
                      "What was known of Check %s cannot be read; it is kept "
                      "as %s, and the next run begins anew.",
                      name, aside);
            rename(path, aside);
            json_decref(kept);
            kept = NULL;
        }
    }
    return kept != NULL ? kept : keep_new();
}

static int write_whole(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t put = write(fd, text, length);

        if (put < 0 && errno != EINTR) {
            return -errno;
        }
        text += put > 0 ? put : 0;
        length -= put > 0 ? (size_t)put : 0;
    }
    return fsync(fd) != 0 ? -errno : 0;
}

int keep_write(const struct checks *checks, const char *name,
               const json_t *kept)
{
    char path[512], aside[512];
    size_t length = json_dumpb(kept, NULL, 0, JSON_COMPACT);
    char *text = length > 0 && length < KEPT_MAX ? malloc(length) : NULL;
    int fd = -1, error = -ENOMEM;

    if (text != NULL && json_dumpb(kept, text, length, JSON_COMPACT) == length &&
        path_of(checks, name, "", path) == 0 &&
        path_of(checks, name, ".new", aside) == 0) {
        fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        error = fd >= 0 ? write_whole(fd, text, length) : -errno;
    }
    if (fd >= 0 && close(fd) != 0 && error == 0) {
        error = -errno;
    }
    if (error == 0 && rename(aside, path) != 0) {
        error = -errno;
    }
    free(text);
    return error;
}

void keep_forget(const struct checks *checks, const char *name)
{
    char path[512];

    if (path_of(checks, name, "", path) == 0) {
        unlink(path);
    }
}
