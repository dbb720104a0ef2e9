/* SPDX-License-Identifier: Apache-2.0
 * sqlite_wal.c - is the log that a dead grayd left one that a crash leaves?
 *
 * Why: SQLite reads its log up to the first frame whose checksum is wrong and
 * forgets the rest without a word: right for the torn end of a commit that was
 * never acknowledged, wrong for a bit that flipped in the middle.  Every
 * commit is synced before the next begins, so a torn end holds at most one
 * commit; when two or more end beyond the first bad frame, or the header is
 * bad, commits that were acknowledged would be lost.  Damage in the last two
 * commits cannot be told from a torn end here: the note tells.
 * Source: "The WAL file format", sqlite.org/fileformat2.html section 4.
 * Read next: sqlite_note.c, store_sqlite.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/store/sqlite.h"

#define WAL_MAGIC 0x377f0682u /* the lowest bit: sums of big-endian words */
#define WAL_HEADER 32u
#define WAL_FRAME 24u
#define PAGE_MAX 65536u

struct wal {
    int fd;
    bool big_endian;
    uint32_t page;
    uint8_t salts[8];
    uint32_t sum[2]; /* running, as SQLite would have it */
};

static uint32_t number(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
           (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t word(const uint8_t *bytes, bool big_endian)
{
    uint32_t value = number(bytes);

    return big_endian ? value : __builtin_bswap32(value);
}

/* length is a multiple of eight. */
static void sum_add(const struct wal *wal, const uint8_t *bytes, size_t length,
                    uint32_t sum[2])
{
    size_t i;

    for (i = 0; i < length; i += 8) {
        sum[0] += word(bytes + i, wal->big_endian) + sum[1];
        sum[1] += word(bytes + i + 4, wal->big_endian) + sum[0];
    }
}

static bool sum_is(const uint32_t sum[2], const uint8_t *stored)
{
    return sum[0] == number(stored) && sum[1] == number(stored + 4);
}

static bool header_read(struct wal *wal)
{
    uint8_t header[WAL_HEADER];
    uint32_t magic;

    if (pread(wal->fd, header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return false;
    }
    magic = number(header);
    wal->big_endian = (magic & 1) != 0;
    wal->page = number(header + 8);
    memcpy(wal->salts, header + 16, sizeof(wal->salts));
    wal->sum[0] = wal->sum[1] = 0;
    sum_add(wal, header, 24, wal->sum);
    return (magic & ~1u) == WAL_MAGIC && wal->page >= 512 &&
           wal->page <= PAGE_MAX && (wal->page & (wal->page - 1)) == 0 &&
           sum_is(wal->sum, header + 24);
}

/* How many commits end beyond the first frame that SQLite will not believe, or
 * with it: each frame is judged by the sum that the one before it carries. */
static uint32_t commits_beyond(struct wal *wal, uint8_t *frame)
{
    size_t size = WAL_FRAME + wal->page;
    off_t at = WAL_HEADER;
    uint32_t commits = 0;
    bool believed = true;

    while (pread(wal->fd, frame, size, at) == (ssize_t)size) {
        bool ours = memcmp(frame + 8, wal->salts, sizeof(wal->salts)) == 0;
        bool good = ours && number(frame) != 0, first;

        sum_add(wal, frame, 8, wal->sum);
        sum_add(wal, frame + WAL_FRAME, wal->page, wal->sum);
        good = good && sum_is(wal->sum, frame + 16);
        first = believed && !good;
        believed = believed && good;
        if (!believed && (good || (first && ours)) && number(frame + 4) != 0) {
            commits++;
        }
        wal->sum[0] = number(frame + 16);
        wal->sum[1] = number(frame + 20);
        at += (off_t)size;
    }
    return commits;
}

/* What a power cut leaves of a log that was never synced. */
static bool all_zero(int fd)
{
    uint8_t block[4096];
    off_t at = 0;
    ssize_t length, i;

    while ((length = pread(fd, block, sizeof(block), at)) > 0) {
        for (i = 0; i < length; i++) {
            if (block[i] != 0) {
                return false;
            }
        }
        at += length;
    }
    return length == 0;
}

int sqlite_wal_check(const char *folder, struct gray_problem *ret_problem)
{
    struct store_db named = { .handle = NULL };
    char path[STORE_PATH_SIZE];
    struct wal wal;
    uint8_t *frame;
    int error = 0;

    snprintf(named.folder, sizeof(named.folder), "%s", folder);
    snprintf(path, sizeof(path), "%s/" STORE_FILE "-wal", folder);
    frame = malloc(WAL_FRAME + PAGE_MAX);
    wal.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (frame == NULL || wal.fd < 0) {
        error = store_problem_set(ret_problem, EIO, "store-failed",
                                  "%.100s cannot be read: %s.", path,
                                  strerror(errno));
    } else if (!header_read(&wal)) {
        error = all_zero(wal.fd) ? 0
                                 : store_db_corrupt(&named, "head of its log",
                                                    ret_problem);
    } else if (commits_beyond(&wal, frame) > 1) {
        error = store_db_corrupt(&named, "middle of its log", ret_problem);
    }
    if (wal.fd >= 0) {
        close(wal.fd);
    }
    free(frame);
    return error;
}
