/* SPDX-License-Identifier: Apache-2.0
 * fixture.c - see fixture.h.
 *
 * Why: nothing here may hide a failure: whatever should not happen ends the
 * test.
 * Read next: fixture.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/marks/fixture.h"
#include "tests/runtime/folder.h"

#define TRIES 4000 /* bounded waits, of a millisecond each */

static int64_t now_ms(void)
{
    return NOW;
}

/* ---- host -------------------------------------------------------------------- */

void host_begin(struct host *ret_host)
{
    struct gray_publish nothing = {.group = (gid_t)-1};

    memset(ret_host, 0, sizeof(*ret_host));
    folder_new(ret_host->runtime);
    strcpy(ret_host->state, "/tmp/graylane-marks.XXXXXX");
    assert_non_null(mkdtemp(ret_host->state));
    assert_int_equal(gray_publish(ret_host->runtime, &nothing, NULL, NULL), 0);
    assert_int_equal(
        gray_folder_open(&ret_host->folder, ret_host->runtime, true, NULL), 0);
    ret_host->marks_fd = openat(ret_host->folder.dirfd, "marks",
                                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(ret_host->marks_fd >= 0);
}

void host_end(struct host *host)
{
    host_close(host);
    close(host->marks_fd);
    gray_folder_close(&host->folder);
    folder_remove(host->runtime);
    folder_remove(host->state);
}

void host_open(struct host *host)
{
    struct gray_problem problem = {NULL, "", 0};
    struct marks_options options = {
        .state = host->state,
        .runtime = host->runtime,
        .redis = host->redis,
        .begun = host->begun,
        .group = (gid_t)-1,
        .now_ms = now_ms,
    };

    if (marks_open(&host->marks, &options, &problem) != 0) {
        fail_msg("marks: %s: %s", problem.code, problem.sentence);
    }
}

void host_close(struct host *host)
{
    marks_close(host->marks);
    host->marks = NULL;
}

struct marks_scope cart_scope(uint8_t durability, uint8_t stickiness)
{
    return (struct marks_scope){
        .name = CART_NAME,
        .scope = CART,
        .attempt = 1,
        .stickiness = stickiness,
        .durability = durability,
        .variants = 2,
    };
}

void host_prepare(struct host *host, const struct marks_scope *scope)
{
    struct gray_problem problem = {NULL, "", 0};

    if (marks_prepare(host->marks, scope, 1, 7, &problem) != 0) {
        fail_msg("prepare: %s: %s", problem.code, problem.sentence);
    }
}

/* ---- readers -------------------------------------------------------------------- */

void teller_begin(struct teller *ret_teller, struct host *host,
                  enum gray_reader_kind kind)
{
    struct gray_problem problem = {NULL, "", 0};

    memset(ret_teller, 0, sizeof(*ret_teller));
    ret_teller->host = host;
    ret_teller->attempt = 1;
    ret_teller->patience_ms = 60000;
    assert_int_equal(gray_runtime_open(&ret_teller->runtime, host->runtime,
                                       kind, true, &problem),
                     0);
    assert_non_null(ret_teller->runtime->slot.file);
    teller_map(ret_teller);
}

void teller_end(struct teller *teller)
{
    gray_mark_table_close(&teller->marks.table);
    gray_mark_table_close(&teller->marks.next);
    gray_runtime_close(teller->runtime);
}

void teller_map(struct teller *teller)
{
    struct host *host = teller->host;
    uint32_t word = gray_word_number(&host->folder, CART);
    const struct gray_scope_word *place = &host->folder.control->words[word];

    gray_mark_table_close(&teller->marks.table);
    gray_mark_table_close(&teller->marks.next);
    memset(&teller->marks, 0, sizeof(teller->marks));
    teller->number = place->table;
    if (place->table != 0) {
        assert_int_equal(gray_mark_table_open(&teller->marks.table,
                                              host->marks_fd, CART,
                                              place->table, geteuid(), true,
                                              NULL),
                         0);
    }
    if (place->next != 0) {
        assert_int_equal(gray_mark_table_open(&teller->marks.next,
                                              host->marks_fd, CART,
                                              place->next, geteuid(), true,
                                              NULL),
                         0);
    }
}

static struct gray_mark_key key_of(const struct teller *teller,
                                   const char *unit)
{
    return gray_mark_key(teller->marks.table.file, 0,
                         (struct gray_str){unit, (uint32_t)strlen(unit)});
}

static uint64_t value_of(const struct teller *teller,
                         enum gray_slot_state state)
{
    return gray_mark_value(teller->marks.table.file, state, teller->attempt,
                           1, 7, NOW);
}

int teller_push(struct teller *teller, const char *unit,
                enum gray_slot_state answer, enum gray_slot_state slot)
{
    struct gray_mark_key key = key_of(teller, unit);
    struct gray_ring_record record = {
        .kind = teller->runtime->kind == GRAY_READER_NGINX ? GRAY_RING_MARKED
                                                           : GRAY_RING_ASKED,
        .state = (uint8_t)answer,
        .scope = CART,
        .key = {key.k[0], key.k[1]},
        .value = value_of(teller, slot),
        .now = NOW,
        .revision = 7,
        .variant = 1,
        .attempt = teller->attempt,
        .reason = GRAY_REASON_SHARE,
    };
    struct timespec clock;

    if (record.kind == GRAY_RING_ASKED) {
        clock_gettime(CLOCK_MONOTONIC, &clock);
        record.until = (uint32_t)(clock.tv_sec * 1000 +
                                  clock.tv_nsec / 1000000) +
                       teller->patience_ms;
    }

    return gray_ring_push(teller->runtime, &record,
                          (struct gray_str){unit, (uint32_t)strlen(unit)});
}

int teller_take(struct teller *teller, const char *unit,
                enum gray_slot_state slot, uint64_t *ret_found)
{
    return gray_mark_take(&teller->marks, key_of(teller, unit),
                          value_of(teller, slot), ret_found);
}

struct pushing {
    struct teller *teller;
    const char *unit;
    enum gray_slot_state answer, slot;
};

static bool pushed(void *context)
{
    struct pushing *p = context;
    int result = teller_push(p->teller, p->unit, p->answer, p->slot);

    assert_true(result == 0 || result == -ENOBUFS);
    return result == 0;
}

void teller_admit(struct teller *teller, const char *unit,
                  enum gray_slot_state answer, bool strict)
{
    enum gray_slot_state slot = strict ? GRAY_SLOT_PENDING : answer;
    struct pushing pushing;
    uint64_t found = 0;

    /* A full ring is full until the writer has taken some of it. */
    pushing = (struct pushing){teller, unit, answer, slot};
    assert_true(waits_for(pushed, &pushing));
    if (teller->runtime->kind == GRAY_READER_NGINX) {
        assert_int_equal(teller_take(teller, unit, slot, &found), 0);
    }
}

uint64_t teller_see(struct teller *teller, const char *unit)
{
    uint64_t value = 0;

    switch (gray_mark_find(&teller->marks, key_of(teller, unit), &value)) {
    case GRAY_FIND_FOUND:
        return value;
    case GRAY_FIND_ABSENT:
        return 0;
    default:
        return UINT64_MAX;
    }
}

bool waits_for(bool (*holds)(void *context), void *context)
{
    struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < TRIES; i++) {
        if (holds(context)) {
            return true;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

struct awaited {
    struct teller *teller;
    const char *unit;
    enum gray_slot_state state;
    bool durable;
};

static bool stands(void *context)
{
    struct awaited *awaited = context;
    uint64_t value = teller_see(awaited->teller, awaited->unit);

    return value != UINT64_MAX && gray_slot_state(value) == awaited->state &&
           ((value & GRAY_SLOT_DURABLE) != 0) == awaited->durable;
}

bool teller_waits(struct teller *teller, const char *unit,
                  enum gray_slot_state state, bool durable)
{
    struct awaited awaited = {teller, unit, state, durable};

    return waits_for(stands, &awaited);
}

/* ---- the journal ------------------------------------------------------------------- */

static int written_visit(void *context, uint64_t sequence,
                         const struct record *record,
                         enum record_belief belief)
{
    struct written *written = context;

    (void)sequence;
    assert_int_equal(belief, RECORD_GOOD);
    written->count++;
    written->kinds[record->head.kind]++;
    if (written->unit != NULL && record->unit.length == strlen(written->unit) &&
        memcmp(record->unit.data, written->unit, record->unit.length) == 0) {
        written->of_unit++;
        written->last = record->head;
        snprintf(written->reason, sizeof(written->reason), "%.*s",
                 (int)record->reason.length, record->reason.data);
        snprintf(written->actor, sizeof(written->actor), "%.*s",
                 (int)record->actor.length, record->actor.data);
    }
    return 0;
}

void host_written(const struct host *host, const char *unit,
                  struct written *ret_written)
{
    struct gray_problem problem = {NULL, "", 0};
    struct journal journal = {.lock_fd = -1};

    memset(ret_written, 0, sizeof(*ret_written));
    ret_written->unit = unit;
    assert_null(host->marks); /* one environment a process */
    if (journal_reader_open(&journal, host->state, 0, &problem) != 0 ||
        journal_records(&journal, 1, false, written_visit, ret_written,
                        &problem) != 0) {
        fail_msg("journal: %s: %s", problem.code, problem.sentence);
    }
    journal_close(&journal);
}
