/* SPDX-License-Identifier: Apache-2.0
 * test_wal.c - the log of a dead grayd is damaged, cut or gone.
 *
 * Why: SQLite takes a log only up to its first bad frame and says nothing.
 * With the note of what was acknowledged every loss must be told; without it
 * (a power cut keeps an older one) at least what no crash could have done.
 * Read next: control/store/sqlite_wal.c, control/store/sqlite_note.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/store/fixture.h"
#include "tests/runtime/folder.h"

#define COMMITS 12u
#define FRAME (24u + 4096u)
#define HEADER 32u

struct kept {
    const char *name;
    uint8_t *bytes;
    size_t size;
};
static struct place place;
static struct kept database = { .name = "store.db" };
static struct kept wal = { .name = "store.db-wal" };
static struct kept note = { .name = "acknowledged" };

/* A grayd that commits and dies, its log as long as it gets. */
static int set_up(void **state)
{
    pid_t child;
    int status;

    (void)state;
    place_new(&place);
    store_close(store_new(&place));
    child = fork();
    if (child == 0) {
        struct store *store = store_new(&place);
        char text[32];
        uint64_t revision;

        for (revision = 0; revision < COMMITS; revision++) {
            snprintf(text, sizeof(text), "%u", (unsigned)revision + 1);
            document_put_well(store, revision, "Release/a", text);
        }
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    database.bytes = file_bytes(place.store, database.name, &database.size);
    wal.bytes = file_bytes(place.store, wal.name, &wal.size);
    note.bytes = file_bytes(place.store, note.name, &note.size);
    assert_true(wal.size >= HEADER + COMMITS * FRAME);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(database.bytes);
    free(wal.bytes);
    free(note.bytes);
    place_remove(&place);
    return 0;
}

/* The folder as it was found, with this log, and with the note or not. */
static void put_back(const uint8_t *bytes, size_t size, bool noted)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/store.db-shm", place.store);
    unlink(path);
    snprintf(path, sizeof(path), "%s/acknowledged", place.store);
    unlink(path);
    file_replace(place.store, database.name, database.bytes, database.size);
    file_replace(place.store, wal.name, bytes, size);
    if (noted) {
        file_replace(place.store, note.name, note.bytes, note.size);
    }
}

/* The revision that opened, whole; -1: refused in a sentence. */
static int opened(void)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store_reader *reader;
    struct store *store = NULL;
    struct store_head head;
    int error = store_open(&store, place.store, &problem);

    if (error != 0) {
        assert_int_equal(error, -EILSEQ);
        assert_string_equal(problem.code, "corrupt");
        assert_true(strlen(problem.sentence) > 40);
        return -1;
    }
    reader = reader_new(&place);
    head = head_of(reader);
    assert_int_equal(head.audit_sequence, head.revision);
    if (head.revision > 0) {
        struct seen seen = { .count = 0 };

        assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "Release/a",
                                         0, seen_visit, &seen, NULL),
                         0);
        assert_int_equal(strtoull(seen.items[0].text, NULL, 10),
                         head.revision);
    }
    document_put_well(store, head.revision, "Release/a", "more");
    store_reader_close(reader);
    store_close(store);
    return (int)head.revision;
}

static void a_sound_log_is_recovered(void **state)
{
    (void)state;
    put_back(wal.bytes, wal.size, true);
    assert_int_equal(opened(), COMMITS);
    put_back(wal.bytes, wal.size, false);
    assert_int_equal(opened(), COMMITS);
}

static void flips_are_told(void **state)
{
    uint8_t *bytes = malloc(wal.size);
    uint32_t refused = 0, last = 0, harmless = 0;
    size_t i, frames = (wal.size - HEADER) / FRAME;

    (void)state;
    assert_non_null(bytes);
    memcpy(bytes, wal.bytes, wal.size);
    for (i = 0; i < HEADER + 12 * frames; i++) {
        size_t at = i < HEADER ? i
                    : i % 2 == 0
                        ? HEADER + (i - HEADER) / 12 * FRAME + draw(24)
                        : HEADER + (i - HEADER) / 12 * FRAME + draw(FRAME);
        int with, without;

        bytes[at] ^= (uint8_t)(1u << draw(8));
        put_back(bytes, wal.size, true);
        with = opened();
        put_back(bytes, wal.size, false);
        without = opened();
        assert_true(with == -1 || with == (int)COMMITS);
        /* The last commit, and one whose end is no longer to be known. */
        assert_true(without == -1 || without >= (int)COMMITS - 2);
        refused += without == -1 ? 1 : 0;
        last += without >= 0 && without < (int)COMMITS ? 1 : 0;
        harmless += with == (int)COMMITS ? 1 : 0;
        bytes[at] = wal.bytes[at];
    }
    print_message("%u flips refused without the note, %u took the end "
                  "(refused with it), %u harmless\n",
                  refused, last, harmless);
    assert_true(refused > frames && last > 0);
    free(bytes);
}

/* Without the note a log that was cut off is as good as a torn one. */
static void cuts_are_told_by_the_note(void **state)
{
    size_t size;
    int before = 0;

    (void)state;
    for (size = 0; size < wal.size; size += FRAME / 2) {
        int with, without;

        put_back(wal.bytes, size, true);
        with = opened();
        assert_int_equal(with, -1);
        put_back(wal.bytes, size, false);
        without = opened();
        assert_true(without >= before);
        before = without;
    }
    assert_int_equal(before, COMMITS - 1);
}

/* A log whose head was damaged would be ignored as a whole. */
static void noise_is_no_log(void **state)
{
    uint8_t *bytes = malloc(wal.size);
    size_t i;

    (void)state;
    assert_non_null(bytes);
    for (i = 0; i < wal.size; i++) {
        bytes[i] = (uint8_t)draw(256);
    }
    put_back(bytes, wal.size, false);
    assert_int_equal(opened(), -1);
    memset(bytes, 0, wal.size);
    put_back(bytes, wal.size, true);
    assert_int_equal(opened(), -1);
    put_back(bytes, 31, false);
    assert_int_equal(opened(), 0); /* a power cut before anything was synced */
    put_back(wal.bytes, 31, false);
    assert_int_equal(opened(), -1);
    free(bytes);
}

static void a_log_without_its_database_is_refused(void **state)
{
    char path[128];

    (void)state;
    put_back(wal.bytes, wal.size, false);
    snprintf(path, sizeof(path), "%s/store.db", place.store);
    assert_int_equal(unlink(path), 0);
    store_refused(&place, -EILSEQ, "corrupt");
    /* A refusal changes nothing: what was saved is still there. */
    put_back(wal.bytes, wal.size, true);
    assert_int_equal(opened(), COMMITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_log_is_recovered),
        cmocka_unit_test(flips_are_told),
        cmocka_unit_test(cuts_are_told_by_the_note),
        cmocka_unit_test(noise_is_no_log),
        cmocka_unit_test(a_log_without_its_database_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
