/* SPDX-License-Identifier: Apache-2.0
 * notes.c - the file of checkpoints: one signed note after the other.
 *
 * Why: it grows by a note a minute for years, so it is read as a stream.  A
 * note ends with the blank line behind its signatures; damage to one note
 * therefore spoils that note, and not those after it.  What a crash left at
 * the end lacks that blank line, and is told apart from a bad note by it.
 * Read next: signer.c (who writes it), walk.c (who reads it).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "control/audit/internal.h"


/* Finds ends of notes in a row of bytes. */
struct splitter {
    unsigned column; /* of the next byte in its line */
    bool dash;       /* the line may be (was) a signature */
    bool signature;  /* the line before was one */
};

/* Whether this byte ends a note. */
static bool split_at(struct splitter *splitter, char byte)
{
    bool ends;

    if (byte != '\n') {
        if (splitter->column < NOTE_DASH_LENGTH) {
            splitter->dash = (splitter->column == 0 || splitter->dash) &&
                             byte == NOTE_DASH[splitter->column];
            splitter->column++;
        }
        return false;
    }
    ends = splitter->column == 0 && splitter->signature;
    splitter->signature =
        splitter->column == NOTE_DASH_LENGTH && splitter->dash;
    splitter->column = 0;
    splitter->dash = false;
    return ends;
}

int audit_notes_open(struct audit_notes *notes, const char *path,
                     struct gray_problem *ret_problem)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    memset(notes, 0, sizeof(*notes));
    if (fd < 0 && errno == ENOENT) {
        return 1;
    }
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        (notes->file = fdopen(fd, "r")) == NULL) {
        int error = fd < 0 ? errno : EINVAL;

        if (fd >= 0) {
            close(fd);
        }
        return runtime_problem_set(ret_problem, error, "io",
                                   "The checkpoints cannot be read: %s.",
                                   strerror(error));
    }
    notes->left = (uint64_t)status.st_size;
    return 0;
}

int audit_notes_next(struct audit_notes *notes)
{
    struct splitter splitter = {0};
    bool long_one = false;

    if (notes->left == 0) {
        return NOTES_END;
    }
    notes->length = 0;
    notes->number++;
    while (notes->left > 0) {
        int byte = getc_unlocked(notes->file);

        if (byte == EOF) {
            return -EIO; /* shorter than it was, or an error */
        }
        notes->left--;
        if (notes->length < sizeof(notes->text)) {
            notes->text[notes->length++] = (char)byte;
        } else {
            long_one = true;
        }
        if (split_at(&splitter, (char)byte)) {
            notes->length--; /* the blank line is the file's */
            return long_one ? NOTES_BAD : NOTES_NOTE;
        }
    }
    return NOTES_TORN;
}

void audit_notes_close(struct audit_notes *notes)
{
    if (notes->file != NULL) {
        fclose(notes->file);
        notes->file = NULL;
    }
}

bool audit_notes_last(const char *bytes, size_t length, size_t *ret_begin,
                      size_t *ret_end)
{
    struct splitter splitter = {0};
    size_t i, begin = 0, end = 0;

    for (i = 0; i < length; i++) {
        if (split_at(&splitter, bytes[i])) {
            begin = end;
            end = i + 1;
        }
    }
    if (end == 0) {
        return false;
    }
    *ret_begin = begin;
    *ret_end = end;
    return true;
}
