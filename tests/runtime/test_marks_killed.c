/* SPDX-License-Identifier: Apache-2.0
 * test_marks_killed.c - nobody flips while writers and the copier are killed.
 *
 * Why: a mark must be where it was put whoever dies at whichever instruction.
 * Three processes take marks and make some of them durable, a fourth grows the
 * table again and again by small steps, and one of the four is killed with
 * SIGKILL every millisecond or so and started anew.  Everybody writes what he
 * was told, after he was told it, into a ledger that knows nothing of tables;
 * whoever is told something else later has found a flip.
 * Read next: runtime/mark_grow.c; test_mark_grow.c (the same by single steps).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"
#include "tests/runtime/tables.h"

#define UNITS 30000u
#define WRITERS 3
#define CHILDREN (WRITERS + 1) /* the last one copies */
#define KILLS 100 /* of each form of a slot; GRAY_TEST_KILLS: so many */
#define IDENTITY (~(GRAY_SLOT_DURABLE | GRAY_SLOT_MOVED))

struct ledger {
    uint64_t told[UNITS]; /* what the first who asked was told; 0: nobody */
    uint64_t flips, takes, moves, grown, unknown, errors;
    uint64_t last[4]; /* of a flip: unit, told, now */
};
struct world {
    struct tables tables;
    struct ledger *ledger;
    uint32_t slot_size;
};

static uint64_t next_random(uint64_t *seed)
{
    return gray_mix64(*seed += 0x9e3779b97f4a7c15u);
}

static void add(uint64_t *place)
{
    __atomic_fetch_add(place, 1, __ATOMIC_RELAXED);
}

/* ---- who writes -------------------------------------------------------------- */

static void tell(struct ledger *ledger, uint64_t unit, uint64_t value)
{
    uint64_t told = 0, *place = &ledger->told[unit];

    if (__atomic_compare_exchange_n(place, &told, value, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
        ((told ^ value) & IDENTITY) == 0) {
        return;
    }
    add(&ledger->flips);
    ledger->last[0] = unit;
    ledger->last[1] = told;
    ledger->last[2] = value;
}

/* It dies between the two words of a key, as it were. */
static void claim_half(const struct gray_marks *marks,
                       struct gray_mark_key key)
{
    uint64_t *slot, none = 0;

    if (runtime_mark_probe(&marks->table, key, &slot) == MARK_FREE &&
        *slot == 0 && mark_swap(slot, &none, key.k[0])) {
        add(&marks->table.live->used);
    }
}

static void make_durable(struct ledger *ledger, const struct gray_marks *marks,
                         struct gray_mark_key key, uint64_t unit,
                         uint64_t value)
{
    uint64_t found;

    if (gray_mark_move(marks, key, value, value | GRAY_SLOT_DURABLE,
                       GRAY_BY_WRITER, &found) == 0) {
        __atomic_fetch_or(&ledger->told[unit], GRAY_SLOT_DURABLE,
                          __ATOMIC_SEQ_CST);
        add(&ledger->moves);
    }
}

/* What was durable when we began to look must be so now. */
static void look(struct ledger *ledger, const struct gray_marks *marks,
                 struct gray_mark_key key, uint64_t unit)
{
    uint64_t before = __atomic_load_n(&ledger->told[unit], __ATOMIC_SEQ_CST);
    uint64_t value;

    switch (gray_mark_find(marks, key, &value)) {
    case GRAY_FIND_UNKNOWN:
        add(&ledger->unknown);
        break;
    case GRAY_FIND_ABSENT:
        if (before != 0) {
            add(&ledger->flips);
            ledger->last[0] = unit;
            ledger->last[1] = before;
            ledger->last[2] = 0;
        }
        break;
    case GRAY_FIND_FOUND:
        tell(ledger, unit, value);
        if ((before & GRAY_SLOT_DURABLE & ~value) != 0) {
            add(&ledger->flips);
        }
        break;
    }
}

static void write_one(const struct world *world,
                      const struct gray_marks *marks, uint64_t *seed)
{
    struct ledger *ledger = world->ledger;
    uint64_t unit = next_random(seed) % UNITS, found = 0, value;
    struct gray_mark_key key = key_number(&marks->table, unit);
    int error;

    if (world->slot_size == 32 && unit % 2 != 0) {
        key.k[0] = key_number(&marks->table, unit - 1).k[0];
        key.k[1] = 2; /* two keys that differ in their second word alone */
    }
    look(ledger, marks, key, unit);
    if (world->slot_size == 32 && next_random(seed) % 64 == 0) {
        claim_half(marks, key);
    }
    value = gray_mark_value(marks->table.file,
                            next_random(seed) % 2 ? GRAY_SLOT_IN
                                                  : GRAY_SLOT_OUT,
                            1, (uint32_t)next_random(seed) % 200, 101,
                            TABLE_BEGAN);
    error = gray_mark_take(marks, key, value, &found);
    if (error == 0 || error == 1) {
        tell(ledger, unit, error == 0 ? value : found);
        add(&ledger->takes);
    } else if (error != -EAGAIN && error != -ENOSPC) {
        add(&ledger->errors);
    }
    if (error == 0 && next_random(seed) % 2 == 0) {
        make_durable(ledger, marks, key, unit, value);
    }
}

static void writer(const struct world *world, uint64_t seed)
{
    uint64_t *generation = &world->tables.folder.control->marks_generation;

    for (;;) {
        uint64_t mapped = mark_load(generation);
        struct gray_marks marks;

        if (!tables_try_map(&world->tables, true, &marks)) {
            continue; /* dropped between name and file */
        }
        /* Now and then somebody stays behind for a while. */
        do {
            uint32_t i;

            for (i = 0; i < 200; i++) {
                write_one(world, &marks, &seed);
            }
        } while (mark_load(generation) == mapped ||
                 next_random(&seed) % 4 == 0);
        tables_unmap(&marks);
    }
}

/* ---- who copies ----------------------------------------------------------------- */

static void copier(struct world *world)
{
    struct gray_folder *folder = &world->tables.folder;

    for (;;) {
        struct gray_marks marks;
        uint64_t at = 0, room;
        int done = 0;

        if (!tables_try_map(&world->tables, true, &marks)) {
            add(&world->ledger->errors); /* there is no other who drops */
            return;
        }
        room = gray_mark_table_used(&marks.table);
        if (marks.next.file == NULL) {
            tables_unmap(&marks);
            if (gray_marks_announce(folder, TABLE_SCOPE, room + 500,
                                    (gid_t)-1, NULL) < 0) {
                add(&world->ledger->errors);
                return;
            }
            continue;
        }
        while (done == 0) {
            done = gray_marks_copy(&marks, &at, 16, NULL);
        }
        tables_unmap(&marks);
        if (done == 1 &&
            gray_marks_switch(folder, TABLE_SCOPE, NULL) == 0 &&
            gray_marks_drop(folder, TABLE_SCOPE, false, NULL) == 0) {
            add(&world->ledger->grown);
        } else if (done < 0) {
            add(&world->ledger->errors);
            return;
        }
    }
}

/* ---- who judges ------------------------------------------------------------------- */

struct count {
    const struct world *world;
    uint8_t seen[UNITS];
};

static int count_one(void *context, struct gray_mark_key key, uint64_t value)
{
    struct count *count = context;
    const struct ledger *ledger = count->world->ledger;
    uint64_t unit = UNITS;

    assert_int_equal(gray_mark_key_number(key, &unit), 0);
    unit += count->world->slot_size == 32 && key.k[1] == 2 ? 1 : 0;
    assert_true(unit < UNITS);
    assert_int_equal(++count->seen[unit], 1);
    /* He who put it may have died before he could tell. */
    if (ledger->told[unit] != 0) {
        assert_int_equal((value ^ ledger->told[unit]) & IDENTITY, 0);
        assert_int_equal(ledger->told[unit] & GRAY_SLOT_DURABLE & ~value, 0);
    }
    return 0;
}

static void judge(struct world *world)
{
    struct count *count = calloc(1, sizeof(*count));
    struct ledger *ledger = world->ledger;
    struct gray_marks marks;
    uint32_t i, told = 0;

    if (ledger->flips != 0) {
        fail_msg("%llu flips; unit %llu was told %llx, then %llx",
                 (unsigned long long)ledger->flips,
                 (unsigned long long)ledger->last[0],
                 (unsigned long long)ledger->last[1],
                 (unsigned long long)ledger->last[2]);
    }
    assert_int_equal(ledger->errors, 0);
    count->world = world;
    tables_map(&world->tables, true, &marks);
    assert_int_equal(gray_marks_each(&marks, count_one, count), 0);
    for (i = 0; i < UNITS; i++) {
        told += ledger->told[i] != 0;
        assert_true(ledger->told[i] == 0 || count->seen[i] == 1);
    }
    /* The kills hit something that was going on. */
    assert_true(told > 1000);
    assert_true(ledger->moves > 100);
    assert_true(ledger->grown > 0);
    tables_unmap(&marks);
    free(count);
}

static pid_t start(struct world *world, int number, uint64_t seed)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody is left behind */
        if (number < WRITERS) {
            writer(world, seed);
        } else {
            copier(world);
        }
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void end(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* The copier is killed most. */
static void chaos(struct world *world, uint64_t seed)
{
    const char *asked = getenv("GRAY_TEST_KILLS");
    int kills = asked != NULL ? atoi(asked) : KILLS, i;
    pid_t children[CHILDREN];

    for (i = 0; i < CHILDREN; i++) {
        children[i] = start(world, i, next_random(&seed));
    }
    for (i = 0; i < kills; i++) {
        struct timespec pause = { .tv_nsec = (long)(next_random(&seed) %
                                                    4000000) };
        int victim = (int)(next_random(&seed) % (CHILDREN + 2));

        victim = victim < CHILDREN ? victim : WRITERS;
        nanosleep(&pause, NULL); /* chance, not synchronisation */
        end(children[victim]);
        children[victim] = start(world, victim, next_random(&seed));
    }
    /* Whatever the machine's load was, something must have been done. */
    for (i = 0; i < 30000 && (mark_load(&world->ledger->grown) == 0 ||
                              mark_load(&world->ledger->moves) < 2000);
         i++) {
        struct timespec pause = { .tv_nsec = 1000000 };

        nanosleep(&pause, NULL);
    }
    for (i = 0; i < CHILDREN; i++) {
        end(children[i]);
    }
}

static int world_of(void **state, uint32_t slot_size)
{
    struct world *world = calloc(1, sizeof(*world));
    struct gray_mark_table table;

    world->slot_size = slot_size;
    world->ledger = mmap(NULL, sizeof(*world->ledger), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(world->ledger != MAP_FAILED);
    tables_begin(&world->tables);
    tables_make(&world->tables, 1, slot_size, 500, &table);
    gray_mark_table_close(&table);
    assert_int_equal(
        gray_marks_name(&world->tables.folder, TABLE_SCOPE, 1, NULL), 0);
    *state = world;
    return 0;
}

static int world_narrow(void **state)
{
    return world_of(state, 16);
}

static int world_wide(void **state)
{
    return world_of(state, 32);
}

static int world_end(void **state)
{
    struct world *world = *state;

    tables_end(&world->tables);
    munmap(world->ledger, sizeof(*world->ledger));
    free(world);
    return 0;
}

static void nobody_flips_whoever_is_killed(void **state)
{
    const char *asked = getenv("GRAY_TEST_SEED");
    uint64_t seed = asked != NULL ? strtoull(asked, NULL, 10)
                                  : (uint64_t)time(NULL) << 16 ^
                                        (uint64_t)getpid();
    struct world *world = *state;

    print_message("GRAY_TEST_SEED=%llu\n", (unsigned long long)seed);
    chaos(world, seed);
    print_message("takes %llu, durable %llu, grown %llu, unknown %llu\n",
                  (unsigned long long)world->ledger->takes,
                  (unsigned long long)world->ledger->moves,
                  (unsigned long long)world->ledger->grown,
                  (unsigned long long)world->ledger->unknown);
    judge(world);
}

#define NARROW(name) \
    cmocka_unit_test_setup_teardown(name, world_narrow, world_end)
#define WIDE(name) cmocka_unit_test_setup_teardown(name, world_wide, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NARROW(nobody_flips_whoever_is_killed),
        WIDE(nobody_flips_whoever_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
