/* SPDX-License-Identifier: Apache-2.0
 * sqlite_note.c - how many commits were acknowledged, noted outside the
 * database.
 *
 * Why: a log that was cut off, or a database that was put back from an older
 * copy, opens as if the last commits had never been.  The note is written
 * after each commit, without a sync of its own: it may lag behind the
 * database after a power cut, but when it is ahead, something that was
 * acknowledged is gone.  A note that cannot be read says nothing.
 * Read next: store_sqlite.c.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/store/sqlite.h"

#define NOTE_SAID 53 /* instance, a blank, the number */
#define NOTE_SIZE 71

static void note_write_text(char text[NOTE_SIZE + 1], const char *instance,
                            uint64_t commits)
{
    snprintf(text, NOTE_SIZE + 1, "%32.32s %020llu", instance,
             (unsigned long long)commits);
    snprintf(text + NOTE_SAID, NOTE_SIZE + 1 - NOTE_SAID, " %016llx\n",
             (unsigned long long)XXH3_64bits(text, NOTE_SAID));
}

int sqlite_note_open(const char *folder, int *ret_fd,
                     struct gray_problem *ret_problem)
{
    char path[STORE_PATH_SIZE];
    int error, fd;

    snprintf(path, sizeof(path), "%s/" STORE_NOTE, folder);
    fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        error = store_problem_set(ret_problem, errno, "store-failed",
                                  "%.100s: %s.", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    *ret_fd = fd;
    return 0;
}

void sqlite_note_write(int fd, const char *instance, uint64_t commits)
{
    char text[NOTE_SIZE + 1];
    ssize_t length;

    note_write_text(text, instance, commits);
    length = pwrite(fd, text, NOTE_SIZE, 0);
    (void)length; /* behind is harmless */
}

void sqlite_note_read(const char *folder, struct store_note *ret_note)
{
    char path[STORE_PATH_SIZE], text[NOTE_SIZE + 1], again[NOTE_SIZE + 1];
    unsigned long long commits;
    int fd;

    memset(ret_note, 0, sizeof(*ret_note));
    snprintf(path, sizeof(path), "%s/" STORE_NOTE, folder);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (read(fd, text, NOTE_SIZE) == NOTE_SIZE) {
        text[NOTE_SIZE] = '\0';
        if (sscanf(text + 33, "%20llu", &commits) == 1) {
            note_write_text(again, text, commits);
            if (memcmp(text, again, NOTE_SIZE) == 0) {
                memcpy(ret_note->instance, text, 32);
                ret_note->commits = commits;
            }
        }
    }
    close(fd);
}

int sqlite_note_check(struct store_db *db, const struct store_note *note,
                      uint64_t *ret_commits, char ret_instance[33],
                      struct gray_problem *ret_problem)
{
    int error = 0;
    sqlite3_stmt *row =
        store_db_statement(db, STATEMENT_STORE, &error, ret_problem);

    if (row == NULL) {
        return error;
    }
    error = store_db_step(db, row, ret_problem);
    if (error < 0) {
        return error;
    }
    if (error == 0 || sqlite3_column_bytes(row, 0) != 32) {
        sqlite3_reset(row);
        return store_db_corrupt(db, "no instance", ret_problem);
    }
    memcpy(ret_instance, sqlite3_column_text(row, 0), 33);
    *ret_commits = (uint64_t)sqlite3_column_int64(row, 1);
    sqlite3_reset(row);
    if (note->instance[0] == '\0') {
        return 0;
    }
    if (strcmp(note->instance, ret_instance) != 0) {
        return store_problem_set(
            ret_problem, EILSEQ, "corrupt",
            "%.50s/" STORE_FILE " is another store than " STORE_NOTE
            " says: put the right one back, or remove " STORE_NOTE ".",
            db->folder);
    }
    if (note->commits > *ret_commits) {
        return store_problem_set(
            ret_problem, EILSEQ, "corrupt",
            "%.30s lacks %llu acknowledged commits: restore a newer copy, or "
            "remove " STORE_NOTE " to go on without them.",
            db->folder, (unsigned long long)(note->commits - *ret_commits));
    }
    return 0;
}
