/* SPDX-License-Identifier: Apache-2.0
 * fuzz_control.c - any bytes as `control` and as `keys` of a real folder.
 *
 * Why: `control` is the one file that is mapped and believed without a
 * checksum, because it changes all the time.  Wild numbers in it may cost a
 * reader its newest policy, never its life.  The input: one byte that says
 * which file, then changes (offset 3 bytes, length 1 byte, bytes), or after
 * 0xff the whole file.
 * Read next: runtime/folder.c, runtime/keys.c.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "tests/engine/craft.h"
#include "tests/fuzz/fuzz.h"

static char path[] = "/dev/shm/graylane-fuzz.XXXXXX";
static uint8_t good[2][sizeof(struct gray_control)];
static size_t sizes[2];
static const char *const names[2] = {"control", "keys"};

static void clean(void)
{
    static const char *const files[] = {
        "control", "keys",     "fleet.snap",    "fleet.1.snap",
        "readers", "lists",    "marks/wake",    "publish.lock",
        "",        "next.new", "marks/drained", "marks"};
    char full[128];
    size_t i;

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(full, sizeof(full), "%s/%s", path, files[i]);
        if (unlink(full) != 0) {
            rmdir(full);
        }
    }
    rmdir(path);
}

static void begin(void)
{
    static struct craft fleet;
    static const struct craft_endpoint endpoint = {
        "cart", "127.0.0.1:9101", 1, GRAY_ENDPOINT_READY, {"version", "v1"}};
    struct gray_publish what = {.group = (gid_t)-1};
    char full[128];
    int i, fd;

    craft_fleet(&fleet, &endpoint, 1);
    what.fleet = fleet.bytes;
    what.fleet_size = fleet.length;
    MUST(mkdtemp(path) != NULL && chmod(path, 0755) == 0);
    atexit(clean);
    MUST(gray_publish(path, &what, NULL, NULL) == 0);
    for (i = 0; i < 2; i++) {
        snprintf(full, sizeof(full), "%s/%s", path, names[i]);
        fd = open(full, O_RDONLY);
        MUST(fd >= 0);
        sizes[i] = (size_t)read(fd, good[i], sizeof(good[i]));
        close(fd);
    }
}

static void put(int which, const uint8_t *bytes, size_t size)
{
    char aside[128], full[128];
    int fd;

    snprintf(aside, sizeof(aside), "%s/next.new", path);
    snprintf(full, sizeof(full), "%s/%s", path, names[which]);
    fd = open(aside, O_CREAT | O_TRUNC | O_WRONLY, which == 0 ? 0644 : 0640);
    MUST(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
    MUST(rename(aside, full) == 0);
}

static void look(void)
{
    struct gray_problem problem = {NULL, "", 0};
    struct gray_folder folder;
    struct gray_runtime *runtime;
    struct gray_cookie cookie;
    char text[GRAY_COOKIE_MAX];

    memset(&cookie, 0, sizeof(cookie));
    cookie.expires = 1;
    if (gray_runtime_open(&runtime, path, GRAY_READER_CLI, false, &problem) ==
        0) {
        gray_runtime_view(runtime, NULL);
        gray_runtime_stale(runtime);
        gray_cookie_write(runtime, (struct gray_str){"gray", 4}, &cookie, text,
                          sizeof(text));
        gray_runtime_close(runtime);
    } else {
        MUST(problem.code != NULL && problem.sentence[0] != '\0');
    }
    free(gray_status_json(path, NULL));
    if (gray_folder_open(&folder, path, true, &problem) == 0) {
        gray_word_number(&folder, 12345);
        gray_word_set(&folder, 12345, GRAY_WORD_KILLED, NULL, &problem);
        gray_folder_close(&folder);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[sizeof(struct gray_control)];
    int which;

    if (sizes[0] == 0) {
        begin();
    }
    if (size < 2) {
        return 0;
    }
    which = data[0] & 1;
    if (data[1] == 0xff) {
        put(which, data + 2, size - 2);
    } else {
        memcpy(bytes, good[which], sizes[which]);
        for (data += 1, size -= 1; size >= 4;) {
            size_t at = data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16;
            size_t length = data[3] < size - 4 ? data[3] : size - 4;

            at %= sizes[which];
            memcpy(bytes + at, data + 4,
                   length < sizes[which] - at ? length : sizes[which] - at);
            data += 4 + length;
            size -= 4 + length;
        }
        if (which == 1) { /* a right checksum, or nothing is looked at */
            struct gray_file_header *header = (void *)bytes;

            header->checksum = runtime_file_checksum(bytes, sizes[which]);
        }
        put(which, bytes, sizes[which]);
    }
    look();
    put(which, good[which], sizes[which]);
    return 0;
}
