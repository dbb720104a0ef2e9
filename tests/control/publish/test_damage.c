/* SPDX-License-Identifier: Apache-2.0
 * test_damage.c - a damaged last-good is refused in a sentence, file by file.
 *
 * Why: it is read before nginx starts, by a unit that nobody looks at; half a
 * policy in force would be worse than none.
 * Read next: control/publish/restore.c.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/publish/fixture.h"

struct damaged {
    struct place place;
    char files[8][64]; /* under last-good */
    size_t count;
    unsigned refused;
};

static void find_files(struct damaged *damaged)
{
    static const char *const plain[] = {"manifest", "policy.snap",
                                        "fleet.snap", "keys", "words"};
    char path[128];
    struct dirent *entry;
    DIR *dir;

    for (size_t i = 0; i < 5; i++) {
        strcpy(damaged->files[damaged->count++], plain[i]);
    }
    snprintf(path, sizeof(path), "%s/last-good/lists", damaged->place.state);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            snprintf(damaged->files[damaged->count++], 64, "lists/%.40s",
                     entry->d_name);
        }
    }
    closedir(dir);
    assert_int_equal(damaged->count, 6);
}

/* Nothing may be made of it; the sentence must say which file it was. */
static void must_refuse(struct damaged *damaged, const char *what)
{
    struct gray_problem problem = {0};
    const struct place *place = &damaged->place;

    if (publisher_restore(place->state, place->other, (gid_t)-1, false,
                          &problem) >= 0) {
        fail_msg("restored: %s", what);
    }
    assert_non_null(problem.code);
    assert_non_null(strstr(problem.sentence, "last-good/"));
    assert_int_equal(access(place->other, F_OK), -1);
    damaged->refused++;
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void damage_file(struct damaged *damaged, const char *name)
{
    char path[160], what[200];
    uint8_t *bytes;
    size_t size;

    snprintf(path, sizeof(path), "%s/last-good", damaged->place.state);
    bytes = file_bytes(path, name, &size);
    snprintf(path, sizeof(path), "%s/last-good/%s", damaged->place.state,
             name);
    for (size_t i = 0; i < 24; i++) { /* cut */
        size_t length = size * i / 24;

        snprintf(what, sizeof(what), "%s cut to %zu", name, length);
        write_bytes(path, bytes, length);
        must_refuse(damaged, what);
    }
    for (size_t i = 0; i < 64; i++) { /* one bit */
        size_t at = size * i / 64;

        snprintf(what, sizeof(what), "%s changed at %zu", name, at);
        bytes[at] ^= (uint8_t)(1u << (i % 8));
        write_bytes(path, bytes, size);
        must_refuse(damaged, what);
        bytes[at] ^= (uint8_t)(1u << (i % 8));
    }
    bytes[size] = 'x'; /* longer */
    write_bytes(path, bytes, size + 1);
    must_refuse(damaged, "one byte more");
    unlink(path);
    must_refuse(damaged, "gone");
    assert_int_equal(mkdir(path, 0700), 0);
    must_refuse(damaged, "a folder");
    rmdir(path);
    assert_int_equal(symlink("/dev/zero", path), 0);
    must_refuse(damaged, "a link");
    unlink(path);
    write_bytes(path, bytes, size);
    free(bytes);
}

static void every_file_in_every_way(void **state)
{
    struct damaged damaged = {.count = 0};
    struct publisher *publisher;

    (void)state;
    place_new(&damaged.place);
    publisher = publisher_new(&damaged.place);
    revision_put_well(publisher, 5, NULL, 0);
    publisher_close(publisher);
    find_files(&damaged);
    for (size_t i = 0; i < damaged.count; i++) {
        damage_file(&damaged, damaged.files[i]);
    }
    print_message("%u damaged copies were refused\n", damaged.refused);
    assert_int_equal(damaged.refused, damaged.count * (24 + 64 + 4));
    assert_int_equal(restore_elsewhere(&damaged.place), 5);
    place_remove(&damaged.place);
}

/* A copy whose sums are right and whose content is not: the engine's own look
 * decides. */
static void sums_alone_are_not_believed(void **state)
{
    struct damaged damaged = {.count = 0};
    char path[160], folder[128], sum[65] = "", line[512];
    struct publisher *publisher;
    uint8_t *bytes;
    size_t size;
    FILE *file;

    (void)state;
    place_new(&damaged.place);
    publisher = publisher_new(&damaged.place);
    revision_put_well(publisher, 5, NULL, 0);
    publisher_close(publisher);
    snprintf(folder, sizeof(folder), "%s/last-good", damaged.place.state);
    bytes = file_bytes(folder, "policy.snap", &size);
    memset(bytes + sizeof(struct gray_file_header), 0xff, 64);
    snprintf(path, sizeof(path), "%s/policy.snap", folder);
    write_bytes(path, bytes, size);
    free(bytes);
    /* The manifest is made to fit, by the tool that anybody has. */
    snprintf(line, sizeof(line),
             "cd %s && sum=$(sha256sum policy.snap | cut -c1-64) && "
             "grep -v '^end' manifest | "
             "sed \"s/^file [0-9a-f]* \\(.*policy.snap\\)/file $sum \\1/\" > m "
             "&& sha256sum m | cut -c1-64 && "
             "echo end $(sha256sum m | cut -c1-64) >> m && mv m manifest",
             folder);
    file = popen(line, "r");
    assert_non_null(file);
    assert_int_equal(fread(sum, 1, 64, file), 64);
    assert_int_equal(pclose(file), 0);
    must_refuse(&damaged, "a policy of the right sum");
    place_remove(&damaged.place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_in_every_way),
        cmocka_unit_test(sums_alone_are_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
