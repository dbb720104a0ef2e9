/* SPDX-License-Identifier: Apache-2.0
 * ship.c - the journal's records, in their order, for a server to keep.
 *
 * Why: an agent's journal is the truth of its host; the server has a copy, by
 * number, so that it may ask for what it lacks and skip what it has.  So no
 * number is left out, whatever is in it, and a journal that was begun anew has
 * another name.
 * Read next: look.c (rows), contain.h, control/agent/push.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/marks/contain.h"
#include "control/marks/internal.h"

#define SHIP_MAX 10000u
#define TEXT_MOST (64u << 20)
#define ID_FILE JOURNAL_FOLDER "/id"

struct ship {
    struct marks *marks;
    uint64_t after;
    size_t limit;
    json_t *rows;
};

static int ship_visit(void *context, uint64_t sequence,
                      const struct record *record, enum record_belief belief)
{
    struct ship *ship = context;
    struct record lost = {.head = {.reader = RECORD_READER_NONE}};
    char scope[17];
    json_t *row;

    if (json_array_size(ship->rows) == ship->limit) {
        return 1;
    }
    if (belief != RECORD_GOOD) { /* what holds of it: scope, and the unit */
        lost.head.scope = record->head.scope;
        lost.head.kind = RECORD_VOID;
        lost.head.space = belief == RECORD_BY_UNIT ? record->head.space : 0;
        lost.head.value = GRAY_SLOT_HOLD;
        lost.unit = belief == RECORD_BY_UNIT ? record->unit : lost.unit;
        record = &lost;
    }
    row = look_row(sequence, record, record->head.value);
    if (belief != RECORD_GOOD) {
        json_object_set_new(row, "state", json_string("hold"));
    }
    snprintf(scope, sizeof(scope), "%016" PRIx64, record->head.scope);
    json_object_set_new(row, "scope", json_string(scope));
    json_array_append_new(ship->rows, row);
    return 0;
}

static int ship_run(void *context, int out)
{
    struct ship *ship = context;
    struct journal journal = {.lock_fd = -1};
    int result = journal_reader_open(&journal, ship->marks->state,
                                     ship->marks->map_size, NULL);

    ship->rows = json_array();
    if (result == 0) {
        result = journal_records(&journal, ship->after + 1, false, ship_visit,
                                 ship, NULL);
    }
    return result >= 0 && json_dumpfd(ship->rows, out, JSON_COMPACT) == 0 ? 0
                                                                          : 1;
}

json_t *marks_ship(struct marks *marks, uint64_t after, size_t limit,
                   struct gray_problem *ret_problem)
{
    struct ship ship = {
        .marks = marks,
        .after = after,
        .limit = limit < SHIP_MAX ? limit : SHIP_MAX,
    };
    struct contained child = {0};
    char *text = NULL;
    json_t *rows = NULL;
    int result = contained_start(&child, ship_run, &ship, ret_problem);

    if (result == 0) {
        result = contained_text(&child, TEXT_MOST, &text, ret_problem);
    }
    if (result == 0) {
        rows = json_loads(text, 0, NULL);
    }
    if (result > 0 || (result == 0 && rows == NULL)) {
        runtime_problem_set(ret_problem, EILSEQ, "marks-corrupt",
                            "The journal of marks is damaged or not there.");
    }
    free(text);
    return rows;
}

uint64_t marks_last(const struct marks *marks)
{
    return atomic_load(&marks->sequence);
}

/* Written whole by a link, so that a kill leaves none or all of it. */
static void make_id(int folder, const char *name)
{
    char id[33];
    CLEANUP_FD int fd = openat(folder, ID_FILE ".new",
                               O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    grayd_random_hex(id);
    if (fd >= 0 && write(fd, id, 32) == 32 && fsync(fd) == 0) {
        renameat(folder, ID_FILE ".new", folder, name);
    }
}

void marks_journal_id(struct marks *marks, char ret_id[33])
{
    CLEANUP_FD int folder =
        open(marks->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    memset(ret_id, 0, 33);
    for (int tries = 0; folder >= 0 && tries < 2; tries++) {
        CLEANUP_FD int fd = openat(folder, ID_FILE,
                                   O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0 && read(fd, ret_id, 32) == 32 &&
            strspn(ret_id, "0123456789abcdef") >= 32) {
            return;
        }
        memset(ret_id, 0, 33);
        make_id(folder, ID_FILE);
    }
}
