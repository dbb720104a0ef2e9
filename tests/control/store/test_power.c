/* SPDX-License-Identifier: Apache-2.0
 * test_power.c - the power goes at any write or sync.
 *
 * Why: kill -9 leaves all that was written in the kernel's hands; a power cut
 * leaves what was synced, and of what was not any sectors, in any order.  At a
 * random call the disk is taken as such a cut might leave it; the store must
 * open on it, with all that had been acknowledged, and at most one commit
 * more, whole.
 * Read next: calls.h, control/store/sqlite_wal.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/store/calls.h"
#include "tests/control/store/fixture.h"
#include "tests/runtime/folder.h"

#define CUTS 100u
#define COMMITS 10u
#define BIG (300u * 4096u) /* now and then, so that checkpoints come */
#define SECTOR 512u

struct bytes {
    uint8_t *data;
    size_t size, room;
};
/* A write that was not synced; data NULL: a cut to `at`. */
struct pending {
    struct bytes bytes;
    size_t at;
};
static struct disk_file {
    const char *name;
    struct bytes synced;
    struct pending *pending;
    size_t pending_count, pending_room;
    struct bytes left; /* what the power cut left */
} files[] = { { .name = "store.db" }, { .name = "store.db-wal" },
              { .name = "acknowledged" } };
#define FILES (sizeof(files) / sizeof(files[0]))

static struct place place;
static uint64_t acknowledged, acknowledged_then;
static uint32_t calls, cut_at;

static void bytes_write(struct bytes *bytes, const uint8_t *data, size_t size,
                        size_t at)
{
    if (at + size > bytes->room) {
        bytes->room = bytes->data == NULL ? size + at : 2 * (at + size);
        bytes->data = realloc(bytes->data, bytes->room);
        assert_non_null(bytes->data);
    }
    if (at + size > bytes->size) {
        memset(bytes->data + bytes->size, 0, at + size - bytes->size);
        bytes->size = at + size;
    }
    memcpy(bytes->data + at, data, size);
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
    free(to->data);
    *to = (struct bytes){ NULL, 0, 0 };
    if (from->size > 0) {
        bytes_write(to, from->data, from->size, 0);
    }
}

/* Some of what was pending, by sectors. */
static void pending_apply(struct bytes *bytes, const struct pending *one,
                          uint32_t percent)
{
    size_t done, part;

    if (one->bytes.data == NULL) {
        if (draw(100) < percent && bytes->size > one->at) {
            bytes->size = one->at;
        }
        return;
    }
    for (done = 0; done < one->bytes.size; done += part) {
        part = SECTOR - (one->at + done) % SECTOR;
        part = part < one->bytes.size - done ? part : one->bytes.size - done;
        if (draw(100) < percent) {
            bytes_write(bytes, one->bytes.data + done, part, one->at + done);
        }
    }
}

static void call_made(void)
{
    static const uint32_t percents[] = { 0, 50, 90, 100 };
    uint32_t percent = percents[draw(4)];
    size_t i, k;

    if (calls++ != cut_at) {
        return;
    }
    acknowledged_then = acknowledged;
    for (i = 0; i < FILES; i++) {
        bytes_copy(&files[i].left, &files[i].synced);
        for (k = 0; k < files[i].pending_count; k++) {
            pending_apply(&files[i].left, &files[i].pending[k], percent);
        }
    }
}

static struct disk_file *file_of(int fd)
{
    char link[64], path[512];
    const char *name;
    ssize_t length;
    size_t i;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof(path) - 1);
    assert_true(length > 0);
    path[length] = '\0';
    name = strrchr(path, '/') + 1;
    for (i = 0; i < FILES; i++) {
        if (strcmp(files[i].name, name) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

static struct pending *pending_add(struct disk_file *file, size_t at)
{
    struct pending *one;

    if (file->pending_count == file->pending_room) {
        file->pending_room = 2 * file->pending_room + 64;
        file->pending = realloc(file->pending,
                                file->pending_room * sizeof(*file->pending));
        assert_non_null(file->pending);
    }
    one = &file->pending[file->pending_count++];
    *one = (struct pending){ .at = at };
    return one;
}

static void saw_write(int fd, const void *bytes, size_t size, off_t at)
{
    struct disk_file *file = file_of(fd);

    if (file != NULL) {
        bytes_write(&pending_add(file, (size_t)at)->bytes, bytes, size, 0);
        call_made();
    }
}

static void saw_cut(int fd, off_t size)
{
    struct disk_file *file = file_of(fd);

    if (file != NULL) {
        pending_add(file, (size_t)size);
        call_made();
    }
}

static void pending_forget(struct disk_file *file)
{
    while (file->pending_count > 0) {
        free(file->pending[--file->pending_count].bytes.data);
    }
}

static void saw_sync(int fd)
{
    struct disk_file *file = file_of(fd);
    size_t k;

    if (file != NULL) {
        call_made(); /* before it has done its work */
        for (k = 0; k < file->pending_count; k++) {
            pending_apply(&file->synced, &file->pending[k], 100);
        }
        pending_forget(file);
    }
}

/* Opens, commits, closes, with the calls watched; which one is the cut. */
static void live(uint64_t revision, uint32_t cut)
{
    static char text[BIG];
    struct store *store;
    uint32_t i;

    memset(text, 'x', sizeof(text));
    acknowledged = revision;
    calls = 0;
    cut_at = cut;
    call_watch = (struct call_watch){ .write = saw_write, .cut = saw_cut,
                                      .sync = saw_sync };
    store = store_new(&place);
    for (i = 0; i < COMMITS && calls <= cut; i++) {
        size_t size = draw(4) == 0 ? BIG : 40 + draw(20000);

        text[size - 1] = '\0';
        text[snprintf(text, size, "%llu",
                      (unsigned long long)acknowledged + 1)] = ' ';
        document_put_well(store, acknowledged, "Release/a", text);
        acknowledged++;
        text[size - 1] = 'x';
    }
    store_close(store);
    call_watch = (struct call_watch){ .write = NULL };
}

/* The folder as the files say; what never was there is not. */
static void folder_set(bool left)
{
    char path[128];
    size_t i;

    snprintf(path, sizeof(path), "%s/store.db-shm", place.store);
    unlink(path);
    for (i = 0; i < FILES; i++) {
        struct bytes *bytes = left ? &files[i].left : &files[i].synced;

        snprintf(path, sizeof(path), "%s/%s", place.store, files[i].name);
        unlink(path);
        if (bytes->data != NULL) {
            file_replace(place.store, files[i].name, bytes->data, bytes->size);
        }
    }
}

/* The revision that the disk now opens with, whole. */
static uint64_t opened(void)
{
    struct store *store = store_new(&place);
    struct store_reader *reader = reader_new(&place);
    struct store_head head = head_of(reader);
    struct seen seen = { .count = 0 };

    assert_int_equal(head.audit_sequence, head.revision);
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "Release/a", 0,
                                     seen_visit, &seen, NULL),
                     0);
    assert_int_equal(strtoull(seen.items[0].text, NULL, 10), head.revision);
    store_reader_close(reader);
    store_close(store);
    return head.revision;
}

static void the_power_goes_at_any_call(void **state)
{
    struct bytes base[FILES] = { { NULL, 0, 0 } };
    struct store *store;
    uint32_t n, most, unheard = 0;
    size_t i;

    (void)state;
    place_new(&place);
    store = store_new(&place);
    document_put_well(store, 0, "Release/a", "1");
    store_close(store);
    base[0].data = file_bytes(place.store, "store.db", &base[0].size);
    base[2].data = file_bytes(place.store, "acknowledged", &base[2].size);
    for (n = 0, most = 0; n < CUTS; n++) {
        uint64_t found;

        for (i = 0; i < FILES; i++) {
            pending_forget(&files[i]);
            bytes_copy(&files[i].synced, &base[i]);
        }
        folder_set(false);
        if (n == 0) {
            live(1, UINT32_MAX);
            most = calls;
            continue;
        }
        do { /* sizes differ from run to run, and so does the last call */
            live(1, (uint32_t)draw(most));
            if (cut_at < calls) {
                break;
            }
            for (i = 0; i < FILES; i++) {
                pending_forget(&files[i]);
                bytes_copy(&files[i].synced, &base[i]);
            }
            folder_set(false);
        } while (true);
        folder_set(true);
        found = opened();
        assert_true(found == acknowledged_then ||
                    found == acknowledged_then + 1);
        unheard += found - acknowledged_then;
    }
    print_message("%u power cuts among some %u calls, %u commits were kept "
                  "that nobody had heard of\n",
                  CUTS - 1, most, unheard);
    assert_true(most > 200);
    for (i = 0; i < FILES; i++) {
        pending_forget(&files[i]);
        free(files[i].pending);
        free(files[i].synced.data);
        free(files[i].left.data);
        free(base[i].data);
    }
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_power_goes_at_any_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
