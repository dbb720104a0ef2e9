/* SPDX-License-Identifier: Apache-2.0
 * fixture.h - a host of its own for each test of marks: folder, state, readers.
 *
 * Why: tests admit as a gateway does (a record, then the slot), through a real
 * reader's file and ring, and look at what a reader would see and at what the
 * journal has.  What they call "host" is one state folder and one runtime
 * folder; marks may be opened, closed and killed on it.
 * Read next: test_settle.c.
 */
#ifndef GRAYD_TESTS_MARKS_FIXTURE_H
#define GRAYD_TESTS_MARKS_FIXTURE_H

#include "control/marks/journal.h"
#include "control/marks/marks.h"
#include "runtime/internal.h"

#define CART UINT64_C(0x1111222233334444)
#define CART_NAME "cart-2"
#define NOW INT64_C(1800000000000)

struct host {
    char runtime[64], state[64];
    const char *redis;   /* NULL: none */
    bool begun;          /* releases went on before */
    struct marks *marks; /* NULL: closed */
    struct gray_folder folder;
    int marks_fd;
};
void host_begin(struct host *ret_host);
void host_end(struct host *host);
/* Opens marks; stops the test where that fails. */
void host_open(struct host *host);
void host_close(struct host *host);
/* A scope of this durability and stickiness, attempt 1, two variants. */
struct marks_scope cart_scope(uint8_t durability, uint8_t stickiness);
void host_prepare(struct host *host, const struct marks_scope *scope);

/* A reader with a ring, and the table of CART mapped. */
struct teller {
    struct host *host;
    struct gray_runtime *runtime;
    struct gray_marks marks;
    uint32_t number; /* of the table */
    uint8_t attempt; /* that it admits for */
    uint32_t patience_ms; /* of an application */
};
void teller_begin(struct teller *ret_teller, struct host *host,
                  enum gray_reader_kind kind);
void teller_end(struct teller *teller);
/* Maps what `control` names now. */
void teller_map(struct teller *teller);
/* The record of a unit: pushed; what gray_ring_push() returns. */
int teller_push(struct teller *teller, const char *unit,
                enum gray_slot_state answer, enum gray_slot_state slot);
/* Takes the slot: what gray_mark_take() returns. */
int teller_take(struct teller *teller, const char *unit,
                enum gray_slot_state slot, uint64_t *ret_found);
/* Both, as a gateway: strict takes PENDING. */
void teller_admit(struct teller *teller, const char *unit,
                  enum gray_slot_state answer, bool strict);
/* What stands there; 0: ABSENT; UINT64_MAX: UNKNOWN. */
uint64_t teller_see(struct teller *teller, const char *unit);
/* Waits, bounded, until it stands there in this state, durable or not. */
bool teller_waits(struct teller *teller, const char *unit,
                  enum gray_slot_state state, bool durable);
/* Waits, bounded, for what `holds` says. */
bool waits_for(bool (*holds)(void *context), void *context);

/* What the journal of a host has, read beside whoever writes it. */
struct written {
    uint64_t count;       /* records */
    uint64_t of_unit;     /* with this unit */
    uint64_t kinds[8];
    struct record_head last; /* of that unit */
    char reason[64], actor[64];
    const char *unit;
};
void host_written(const struct host *host, const char *unit,
                  struct written *ret_written);

#endif
