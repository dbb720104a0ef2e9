/* SPDX-License-Identifier: Apache-2.0
 * drain.c - readers' rings into a batch, and how far they were taken.
 *
 * Why: whoever wrote a ring may be dead, may be anybody, and may change it
 * while it is read.  So each part is copied by pread and only the copy is
 * looked at; a ring that makes no sense is left behind at its head, counted,
 * and takes nobody else's turn.  The file stays when its owner dies: what is
 * in it is taken like the rest.
 * `drained` is moved on only when the journal has what lay before it, so that
 * nothing is overwritten that a restart must read again.
 * Read next: runtime/ring.h, settle.c (what a record leads to).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/marks/internal.h"

#define RING_AT ((off_t)offsetof(struct reader_file, ring))
#define BYTES_AT (RING_AT + (off_t)offsetof(struct gray_ring, bytes))

/* ---- which readers there are ------------------------------------------------ */

/* Number of "nginx-<n>" or "library-<n>"; GRAY_NONE: no name of a ring. */
static uint32_t number_of(const char *name)
{
    static const uint32_t kinds[] = {GRAY_READER_NGINX, GRAY_READER_LIBRARY};
    unsigned long number;
    char *end;

    for (size_t i = 0; i < 2; i++) {
        const char *word = runtime_reader_kind_word(kinds[i]);
        size_t length = strlen(word);

        if (strncmp(name, word, length) != 0 || name[length] != '-' ||
            name[length + 1] < '0' || name[length + 1] > '9' ||
            (name[length + 1] == '0' && name[length + 2] != '\0')) {
            continue;
        }
        number = strtoul(name + length + 1, &end, 10);
        return *end == '\0' && number < GRAY_READERS_MAX
                   ? gray_ring_number(kinds[i], (uint32_t)number)
                   : GRAY_NONE;
    }
    return GRAY_NONE;
}

static void reader_free(struct marks *marks, uint32_t number)
{
    struct reader *reader = marks->readers[number];

    if (reader != NULL) {
        close(reader->fd);
        free(reader);
        marks->readers[number] = NULL;
    }
}

void readers_close(struct marks *marks)
{
    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        reader_free(marks, i);
    }
}

/* A file of a reader's size that we can read; not more is asked. */
static void reader_open(struct marks *marks, const char *name, uint32_t number)
{
    CLEANUP_FD int fd =
        openat(marks->readers_fd, name,
               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct reader *reader;
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size != sizeof(struct reader_file)) {
        return;
    }
    reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return; /* at the next look */
    }
    snprintf(reader->id, sizeof(reader->id), "%.31s", name);
    reader->number = number;
    reader->fd = fd;
    fd = -1;
    reader->dev = status.st_dev;
    reader->ino = status.st_ino;
    reader->round = marks->round;
    marks->readers[number] = reader;
}

static void reader_see(struct marks *marks, const char *name)
{
    uint32_t number = number_of(name);
    struct reader *reader;
    struct stat status;

    if (number == GRAY_NONE) {
        return;
    }
    reader = marks->readers[number];
    if (reader == NULL) {
        reader_open(marks, name, number);
        return;
    }
    if (fstatat(marks->readers_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_dev == reader->dev && status.st_ino == reader->ino) {
        reader->round = marks->round;
    }
}

void readers_refresh(struct marks *marks, bool now)
{
    int64_t at = marks_monotonic_ms();
    struct dirent *entry;
    uint32_t seen = 0;
    DIR *dir;
    int fd;

    if (!now && at - marks->refreshed < MARKS_REFRESH_MS) {
        return;
    }
    marks->refreshed = at;
    fd = openat(marks->folder.dirfd, "readers",
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        runtime_fd_close(&fd);
        return;
    }
    marks->round++;
    while (seen++ < 2 * MARKS_READERS_MAX + FILE_SLACK &&
           (entry = readdir(dir)) != NULL) {
        reader_see(marks, entry->d_name);
    }
    closedir(dir);
    /* A file that is gone, or another of that name: taken to its end first. */
    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        struct reader *reader = marks->readers[i];

        if (reader != NULL && reader->round != marks->round &&
            reader->tail == reader->head &&
            reader->committed == reader->tail) {
            reader_free(marks, i);
        }
    }
}

/* ---- one ring ------------------------------------------------------------------ */

/* Where a ring that is met for the first time goes on. */
static void ring_begin(struct marks *marks, struct reader *reader,
                       uint64_t instance)
{
    const struct journal_ring *kept = &marks->rings[reader->number];
    const struct gray_drained_ring *drained =
        &marks->drained->rings[reader->number];
    uint64_t tail = 0, other;

    if (kept->instance == instance) {
        tail = kept->tail;
    }
    if (__atomic_load_n(&drained->instance, __ATOMIC_ACQUIRE) == instance) {
        other = __atomic_load_n(&drained->tail, __ATOMIC_ACQUIRE);
        tail = other > tail ? other : tail;
    }
    reader->instance = instance;
    reader->tail = reader->committed = tail;
}

/* Reads instance and head; false: there is no ring to be read. */
static bool ring_look(struct marks *marks, struct reader *reader)
{
    struct {
        uint64_t instance, head, lost;
    } ring;

    if (pread(reader->fd, &ring, sizeof(ring), RING_AT) !=
            (ssize_t)sizeof(ring) ||
        ring.instance == 0) {
        return false;
    }
    if (ring.instance != reader->instance) {
        ring_begin(marks, reader, ring.instance);
    }
    reader->head = ring.head;
    if (ring.lost != reader->lost) { /* marks that have no record */
        reader->lost = ring.lost;
        sweep_soon(marks);
    }
    return true;
}

/* Copies and takes one part; false: nothing more to be taken here. */
static bool ring_take(struct marks *marks, struct reader *reader)
{
    int64_t span = gray_ring_span(reader->tail, reader->head);
    struct gray_ring_copy copy = {.bytes = marks->bytes, .at = reader->tail};
    struct gray_ring_record record;
    struct gray_str unit;
    int got = 1;

    if (span == 0) {
        return false;
    }
    if (span < 0 ||
        pread(reader->fd, marks->bytes, (size_t)span,
              BYTES_AT + (off_t)(reader->tail % GRAY_RING_SIZE)) != span) {
        atomic_fetch_add(&marks->lost_records, 1);
        sweep_soon(marks);
        reader->tail = reader->head;
        return false;
    }
    copy.end = copy.at + (uint64_t)span;
    while (batch_has_room(marks->batch, GRAY_VALUE_MAX) &&
           (got = gray_ring_read(&copy, &record, &unit)) == 1) {
        settle_take(marks, reader->number, &record, unit);
        reader->tail = copy.at;
        reader->woken = true;
    }
    if (got < 0) {
        atomic_fetch_add(&marks->bad_records, 1);
        sweep_soon(marks);
        reader->tail = reader->head;
        return false;
    }
    if (got == 0) {
        reader->tail = copy.end;
    }
    return got == 0 && batch_has_room(marks->batch, GRAY_VALUE_MAX);
}

bool readers_waiting(struct marks *marks)
{
    uint64_t behind = 0;

    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        struct reader *reader = marks->readers[i];

        if (reader != NULL && ring_look(marks, reader) &&
            reader->head != reader->committed) {
            uint64_t bytes = reader->head - reader->committed;

            behind += bytes < GRAY_RING_SIZE ? bytes : GRAY_RING_SIZE;
        }
    }
    atomic_store(&marks->bytes_behind, behind);
    return behind > 0;
}

bool readers_drain(struct marks *marks)
{
    bool moved = false;

    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        uint32_t number = (marks->turn + i) % MARKS_READERS_MAX;
        struct reader *reader = marks->readers[number];

        if (reader == NULL || !ring_look(marks, reader)) {
            continue;
        }
        if (!batch_has_room(marks->batch, GRAY_VALUE_MAX)) {
            marks->turn = number; /* it comes first the next time */
            break;
        }
        while (ring_take(marks, reader)) {
        }
        moved = moved || reader->tail != reader->committed;
    }
    return moved;
}

/* ---- how far they were taken ------------------------------------------------------ */

void readers_tails(struct marks *marks)
{
    struct batch *batch = marks->batch;

    batch->ring_count = 0;
    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        const struct reader *reader = marks->readers[i];

        if (reader != NULL && reader->tail != reader->committed) {
            batch->rings[batch->ring_count++] = (struct journal_ring){
                .instance = reader->instance,
                .tail = reader->tail,
                .number = i,
            };
        }
    }
}

void readers_committed(struct marks *marks)
{
    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        struct reader *reader = marks->readers[i];
        struct gray_drained_ring *drained = &marks->drained->rings[i];

        if (reader == NULL || reader->instance == 0 ||
            (reader->tail == reader->committed &&
             drained->instance == reader->instance)) {
            continue;
        }
        reader->committed = reader->tail;
        if (drained->instance != reader->instance) {
            __atomic_store_n(&drained->instance, 0, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&drained->tail, reader->tail, __ATOMIC_RELEASE);
        __atomic_store_n(&drained->instance, reader->instance,
                         __ATOMIC_RELEASE);
    }
}
