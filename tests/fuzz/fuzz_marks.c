/* SPDX-License-Identifier: Apache-2.0
 * fuzz_marks.c - any bytes as a mark table, and as the one it grows into.
 *
 * Why: nginx's workers may write whatever they like into a table that grayd
 * and every application have mapped.  The head of a sound file is changed by
 * exclusive-or with the first bytes (so that zeros leave it sound), the rest
 * are buckets; then every function is called, with the keys that stand in the
 * bytes and with others.  Nothing may crash or go on for ever, and what was
 * taken must be found.
 *
 *   input: 1 byte (bit 0: wide, bit 1: the next table too, bit 2: state),
 *          HEAD bytes for the head, the rest: slots of both tables
 * Read next: runtime/mark_table.c, runtime/mark_slot.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/mark_slot.h"
#include "tests/fuzz/fuzz.h"

#define HEAD 184u /* all that says anything */
#define SLOTS_MAX 8192u
#define SCOPE UINT64_C(0x66757a7a00000001)

static char folder[] = "/dev/shm/graylane-fuzz.XXXXXX";
static int folder_fd = -1;

static void folder_end(void)
{
    char name[MARK_NAME_SIZE];
    uint32_t i;

    for (i = 1; i <= 2; i++) {
        runtime_mark_table_name(name, SCOPE, i);
        unlinkat(folder_fd, name, 0);
    }
    close(folder_fd);
    rmdir(folder);
}

static void folder_begin(void)
{
    if (folder_fd < 0) {
        MUST(mkdtemp(folder) != NULL);
        folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        MUST(folder_fd >= 0);
        atexit(folder_end);
    }
}

static void table_write(uint32_t number, const uint8_t *head, bool wide,
                        const uint8_t *slots, size_t size)
{
    uint64_t buckets = (size + GRAY_MARKS_BUCKET - 1) / GRAY_MARKS_BUCKET + 1;
    uint64_t length =
        sizeof(struct gray_marks_file) + buckets * GRAY_MARKS_BUCKET;
    uint8_t *bytes = calloc(1, length);
    struct gray_marks_file *file = (void *)bytes;
    char name[MARK_NAME_SIZE];
    uint32_t i;
    int fd;

    runtime_file_header_fill(&file->header, GRAY_MAGIC_MARKS, length);
    file->header.generation = number;
    file->scope = SCOPE;
    file->sip_key[0] = 7;
    file->buckets = buckets;
    file->slot_size = wide ? 32 : 16;
    file->state = GRAY_TABLE_READY;
    strcpy(file->name, "fuzz");
    for (i = 0; i < HEAD; i++) {
        bytes[i] ^= head[i];
    }
    memcpy(bytes + sizeof(*file), slots, size);
    runtime_mark_table_name(name, SCOPE, number);
    fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0664);
    MUST(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
    close(fd);
    free(bytes);
}

static int count_up(void *context, struct gray_mark_key key, uint64_t value)
{
    (void)key;
    MUST(value != 0);
    ++*(uint64_t *)context;
    return 0;
}

static void ask(const struct gray_marks *marks, struct gray_mark_key key)
{
    const struct gray_marks_file *file = marks->table.file;
    uint64_t value = 0, found = 0, in;
    enum gray_mark_found answer;
    int taken;

    in = gray_mark_value(file, GRAY_SLOT_IN, 255, 3, 77, INT64_MAX);
    gray_mark_prefetch(marks, key);
    answer = gray_mark_find(marks, key, &value);
    if (answer == GRAY_FIND_FOUND) {
        MUST(gray_slot_state(value) != GRAY_SLOT_EMPTY &&
             gray_slot_state(value) != GRAY_SLOT_VOID);
        MUST((value & GRAY_SLOT_MOVED) == 0);
        MUST(gray_mark_of(file, value).state != GRAY_MARK_ABSENT);
        gray_mark_moment(file, value);
    }
    taken = gray_mark_take(marks, key, in, &found);
    MUST(taken == 0 || taken == 1 || taken == -EAGAIN || taken == -ENOSPC);
    MUST(taken != 0 || answer != GRAY_FIND_FOUND ||
         gray_slot_state(value) == GRAY_SLOT_REVOKED);
    if (taken != 0) {
        return;
    }
    MUST(gray_mark_find(marks, key, &value) == GRAY_FIND_FOUND && value == in);
    MUST(gray_mark_move(marks, key, in, in | GRAY_SLOT_DURABLE,
                        GRAY_BY_WRITER, &found) == 0);
    in |= GRAY_SLOT_DURABLE;
    MUST(gray_mark_move(marks, key, in, in | GRAY_SLOT_SETTLED, GRAY_BY_WRITER,
                        &found) == 0);
    MUST(gray_mark_find(marks, key, &value) == GRAY_FIND_FOUND &&
         gray_mark_of(file, value).state == GRAY_MARK_IN);
}

static void use(const struct gray_marks *marks, const uint8_t *bytes,
                size_t size)
{
    struct gray_mark_key key = {{1, 1}};
    uint64_t count = 0, at = 0, number;
    size_t i;
    int done = 0, steps;

    gray_marks_each(marks, count_up, &count);
    for (i = 0; i + 16 <= size; i += 16) {
        memcpy(&key, bytes + i, sizeof(key));
        if (key.k[0] != 0 && key.k[0] != runtime_mark_closed() &&
            key.k[1] != 0 && key.k[1] != MARK_CLOSED_WIDE) {
            ask(marks, key);
        }
        gray_mark_key_number(key, &number);
    }
    for (i = 0; i < 8; i++) {
        char text[2] = {(char)('0' + i), 'x'};
        struct gray_str unit = {text, 1 + i % 2};

        ask(marks, gray_mark_key(marks->table.file, (uint8_t)(i / 4), unit));
    }
    gray_marks_crowded(marks);
    gray_marks_full(marks);
    for (steps = 0; done == 0 && steps < 1000; steps++) {
        done = gray_marks_copy(marks, &at, 16, NULL);
    }
    MUST(done != 0); /* nobody else is there, so it is never held up */
    ask(marks, key.k[0] != 0 && key.k[1] != 0
                   ? key
                   : (struct gray_mark_key){{5, 5}});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t sound[HEAD];
    struct gray_marks marks = {{NULL}, {NULL}};
    size_t slots, half;
    uint8_t kind;

    if (size < 1 + HEAD) {
        return 0;
    }
    folder_begin();
    kind = data[0];
    slots = size - 1 - HEAD < SLOTS_MAX ? size - 1 - HEAD : SLOTS_MAX;
    half = (kind & 2) != 0 ? slots / 2 / 32 * 32 : slots;
    table_write(1, data + 1, (kind & 1) != 0, data + 1 + HEAD, half);
    if (gray_mark_table_open(&marks.table, folder_fd, SCOPE, 1, geteuid(),
                             (kind & 4) == 0, NULL) != 0) {
        return 0;
    }
    if ((kind & 2) != 0) {
        table_write(2, sound, marks.table.slot_size == 32,
                    data + 1 + HEAD + half, slots - half);
        MUST(gray_mark_table_open(&marks.next, folder_fd, SCOPE, 2, geteuid(),
                                  true, NULL) == 0);
    }
    if ((kind & 4) == 0) {
        use(&marks, data + 1 + HEAD, slots);
    } else {
        struct gray_mark_key key = {{3, 3}};
        uint64_t value;

        gray_mark_find(&marks, key, &value);
        MUST(gray_mark_take(&marks, key, GRAY_SLOT_IN, &value) < 0);
    }
    gray_mark_table_close(&marks.table);
    gray_mark_table_close(&marks.next);
    return 0;
}
