/* SPDX-License-Identifier: Apache-2.0
 * tail.c - the lines that files hold and the index does not.
 *
 * Why: log files grow, are renamed and begun anew (logrotate), or are cut to
 * nothing in their place (copytruncate).  A file is known by its first line,
 * which has a moment and a process in it: a renamed or copied one goes on
 * where it was read to, and one that was begun anew is another source.  Only
 * whole lines are taken; nothing is kept in memory between two calls.
 * Read next: thread.c, index.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "control/decisions/internal.h"

#define PIECE_BYTES (1u << 20)      /* read at once; far above a line */
#define PIECES_A_FILE 8u            /* a call, so that each file has its turn */

struct tail {
    struct decisions *decisions;
    char *piece;                    /* PIECE_BYTES */
    struct gray_problem *problem;
    uint64_t taken, behind;
};

/* A source's name, by the first line of the file. False: it has none yet. */
static bool name_source(struct tail *tail, int fd, char ret_source[64])
{
    ssize_t got = pread(fd, tail->piece, DECISION_LINE_MAX, 0);
    const char *end = got > 0 ? memchr(tail->piece, '\n', (size_t)got) : NULL;
    size_t length = end != NULL ? (size_t)(end - tail->piece) : (size_t)got;

    if (got <= 0 || (end == NULL && got < (ssize_t)DECISION_LINE_MAX)) {
        return false;
    }
    snprintf(ret_source, 64, "log:%016llx",
             (unsigned long long)XXH3_64bits(tail->piece, length));
    return true;
}

/* Takes the whole lines of one piece. 1: there may be more; 0; negative. */
static int take_piece(struct tail *tail, int fd, const char *source,
                      uint64_t *position)
{
    ssize_t got = pread(fd, tail->piece, PIECE_BYTES, (off_t)*position);
    const char *last = got > 0 ? memrchr(tail->piece, '\n', (size_t)got)
                               : NULL;
    struct decisions_batch batch = { .source = source, .text = tail->piece };
    int error;

    if (got < 0) {
        return decisions_say(tail->problem, errno, "decisions-file",
                             "%.80s cannot be read: %.40s.", source,
                             strerror(errno));
    }
    if (last != NULL) {
        batch.length = (size_t)(last + 1 - tail->piece);
        batch.after = *position + batch.length;
    } else if (got == (ssize_t)PIECE_BYTES) {
        batch.bad = 1; /* no line is so long: what is left of it is bad too */
        batch.after = *position + PIECE_BYTES;
    } else {
        return 0; /* a line that is being written */
    }
    error = decisions_add(tail->decisions, &batch, tail->problem);
    if (error != 0) {
        return error;
    }
    tail->taken += batch.after - *position;
    *position = batch.after;
    return got == (ssize_t)PIECE_BYTES;
}

static int take_file(struct tail *tail, int fd, uint64_t size)
{
    uint64_t position = 0;
    char source[64];
    int more;

    if (!name_source(tail, fd, source)) {
        return 0;
    }
    more = decisions_position(tail->decisions, source, &position,
                              tail->problem);
    if (more != 0) {
        return more;
    }
    more = size > position;
    for (unsigned i = 0; more == 1 && i < PIECES_A_FILE; i++) {
        more = take_piece(tail, fd, source, &position);
    }
    if (size > position) {
        tail->behind += size - position;
    }
    return more < 0 ? more : 0;
}

/* A FIFO would block, a folder is none, and what was packed is not ours. */
static bool is_log(int fd, struct stat *ret_facts)
{
    char first;

    return fstat(fd, ret_facts) == 0 && S_ISREG(ret_facts->st_mode) &&
           pread(fd, &first, 1, 0) == 1 && first == '{';
}

static int take_path(struct tail *tail, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat facts;
    int error = 0;

    if (fd < 0) {
        return errno == ENOENT
                   ? 0
                   : decisions_say(tail->problem, errno, "decisions-file",
                                   "%.80s cannot be opened: %.40s.", path,
                                   strerror(errno));
    }
    if (is_log(fd, &facts)) {
        error = take_file(tail, fd, (uint64_t)facts.st_size);
    }
    close(fd);
    return error;
}

int64_t decisions_tail(struct decisions *decisions, const char *pattern,
                       struct gray_problem *ret_problem)
{
    struct gray_problem problem = { 0 };
    struct tail tail = { .decisions = decisions, .problem = &problem };
    glob_t found = { 0 };
    int error = 0;

    tail.piece = malloc(PIECE_BYTES);
    if (tail.piece == NULL) {
        return decisions_say(ret_problem, ENOMEM, "no-memory", "No memory.");
    }
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            int one = take_path(&tail, found.gl_pathv[i]);

            /* One bad file keeps none of the others back. */
            if (one != 0) {
                error = one;
                *ret_problem = problem;
            }
        }
    }
    globfree(&found);
    free(tail.piece);
    atomic_store(&decisions->behind, tail.behind);
    return error != 0 ? error : (int64_t)tail.taken;
}
