/* SPDX-License-Identifier: Apache-2.0
 * keys.c - the file `keys`: at most two secrets that sign cookies and colours.
 *
 * Why: two are valid at once so that a rotation breaks nobody's cookie; the
 * newest signs.  Readers that may not read the file, or find it damaged, go on
 * without cookies: nothing gray is ever an authorisation, so a missing key is
 * no error.
 * Read next: token.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/internal.h"

#include <openssl/crypto.h>

static int keys_file_check(const struct keys_file *file,
                           struct gray_problem *ret_problem)
{
    int error = runtime_file_header_check(&file->header, GRAY_MAGIC_KEYS,
                                          sizeof(*file), "keys", ret_problem);

    if (error == 0 &&
        (file->count == 0 || file->count > KEYS_MAX ||
         runtime_file_checksum(file, sizeof(*file)) !=
             file->header.checksum)) {
        error = runtime_problem_set(ret_problem, EINVAL, "bad-checksum",
                                    "keys is damaged.");
    }
    return error;
}

static int keys_file_read(int dirfd, uid_t owner, struct keys_file *ret_file,
                          struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = -1;
    struct stat status;
    struct keys_file file;
    int error;

    fd = openat(dirfd, "keys", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return runtime_problem_set(ret_problem, errno, "missing", "keys: %s.",
                                   strerror(errno));
    }
    error = runtime_file_trusted(fd, owner, "keys", &status, ret_problem);
    if (error != 0) {
        return error;
    }
    if ((status.st_mode & 07) != 0 || status.st_size != sizeof(file) ||
        pread(fd, &file, sizeof(file), 0) != (ssize_t)sizeof(file)) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-keys",
            "keys has a wrong size, or can be read by all.");
    }
    error = keys_file_check(&file, ret_problem);
    if (error == 0) {
        *ret_file = file;
    }
    OPENSSL_cleanse(&file, sizeof(file));
    return error;
}

/* RFC 2104: the two pads, hashed once. */
void runtime_key_prepare(struct key *key, const struct keys_entry *entry)
{
    uint8_t pad[SHA256_CBLOCK];
    size_t i;

    key->id = entry->id;
    memset(pad, 0x36, sizeof(pad));
    for (i = 0; i < sizeof(entry->secret); i++) {
        pad[i] ^= entry->secret[i];
    }
    SHA256_Init(&key->inner);
    SHA256_Update(&key->inner, pad, sizeof(pad));
    for (i = 0; i < sizeof(pad); i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    SHA256_Init(&key->outer);
    SHA256_Update(&key->outer, pad, sizeof(pad));
    OPENSSL_cleanse(pad, sizeof(pad));
}

void runtime_keys_read(int dirfd, uid_t owner, struct keys *ret_keys)
{
    struct keys_file file;
    uint32_t i;

    memset(ret_keys, 0, sizeof(*ret_keys));
    if (keys_file_read(dirfd, owner, &file, NULL) != 0) {
        return;
    }
    for (i = 0; i < file.count; i++) {
        runtime_key_prepare(&ret_keys->keys[i], &file.keys[i]);
    }
    ret_keys->count = file.count;
    OPENSSL_cleanse(&file, sizeof(file));
}

void runtime_keys_clear(struct keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}

static int keys_write(const struct gray_folder *folder, struct keys_file *file,
                      gid_t group, struct gray_problem *ret_problem)
{
    struct gray_control *control = folder->control;
    uint64_t generation =
        __atomic_load_n(&control->keys_generation, __ATOMIC_RELAXED);
    uint32_t count = file->count;
    struct stat status;
    int error;

    if (file->header.generation > generation) {
        generation = file->header.generation;
    }
    if (group == (gid_t)-1) {
        if (fstat(folder->dirfd, &status) != 0) {
            return runtime_problem_set(ret_problem, errno, "io",
                                       "The folder: %s.", strerror(errno));
        }
        group = status.st_gid;
    }
    runtime_file_header_fill(&file->header, GRAY_MAGIC_KEYS, sizeof(*file));
    file->header.generation = generation + 1;
    file->count = count;
    file->header.checksum = runtime_file_checksum(file, sizeof(*file));
    unlinkat(folder->dirfd, "keys.new", 0);
    error = runtime_file_write(folder->dirfd, "keys.new", file, sizeof(*file),
                               0640, group, ret_problem);
    if (error != 0) {
        return error;
    }
    if (renameat(folder->dirfd, "keys.new", folder->dirfd, "keys") != 0) {
        error = errno;
        unlinkat(folder->dirfd, "keys.new", 0);
        return runtime_problem_set(ret_problem, error, "io",
                                   "Cannot name keys: %s.", strerror(error));
    }
    __atomic_store_n(&control->keys_generation, generation + 1,
                     __ATOMIC_RELEASE);
    return 0;
}

static int keys_add(const struct gray_folder *folder, struct keys_file *file,
                    gid_t group, struct gray_problem *ret_problem)
{
    struct keys_entry fresh = {.id = 1};
    uint32_t i;
    int error =
        runtime_file_random(fresh.secret, sizeof(fresh.secret), ret_problem);

    for (i = 0; i < file->count; i++) {
        if (file->keys[i].id >= fresh.id) {
            fresh.id = file->keys[i].id + 1;
        }
    }
    if (error == 0) {
        file->keys[1] = file->keys[0];
        file->keys[0] = fresh;
        file->count = file->count == 0 ? 1 : KEYS_MAX;
        error = keys_write(folder, file, group, ret_problem);
    }
    OPENSSL_cleanse(&fresh, sizeof(fresh));
    return error;
}

int runtime_keys_ensure(const struct gray_folder *folder, gid_t group,
                        struct gray_problem *ret_problem)
{
    struct gray_control *control = folder->control;
    struct keys_file file;
    int error = 0;

    memset(&file, 0, sizeof(file));
    if (keys_file_read(folder->dirfd, geteuid(), &file, NULL) != 0) {
        error = keys_add(folder, &file, group, ret_problem);
    } else if (__atomic_load_n(&control->keys_generation, __ATOMIC_RELAXED) !=
               file.header.generation) {
        /* A rotation died between the name and the number. */
        __atomic_store_n(&control->keys_generation, file.header.generation,
                         __ATOMIC_RELEASE);
    }
    OPENSSL_cleanse(&file, sizeof(file));
    return error;
}

int gray_keys_rotate(const char *folder_path, gid_t group,
                     struct gray_problem *ret_problem)
{
    struct gray_folder folder;
    struct keys_file file;
    CLEANUP_FD int lock = -1;
    int error = gray_folder_open(&folder, folder_path, true, ret_problem);

    if (error != 0) {
        return error;
    }
    error = runtime_folder_lock(&folder, &lock, ret_problem);
    if (error == 0) {
        memset(&file, 0, sizeof(file));
        keys_file_read(folder.dirfd, geteuid(), &file, NULL);
        error = keys_add(&folder, &file, group, ret_problem);
        OPENSSL_cleanse(&file, sizeof(file));
    }
    if (error == 0) {
        runtime_folder_wake(&folder, NULL, NULL);
    }
    gray_folder_close(&folder);
    return error;
}

/* Are these very keys there, whatever their file is numbered? */
static bool has_keys(const struct gray_folder *folder,
                     const struct keys_file *wanted)
{
    struct keys_file file;
    bool same;

    memset(&file, 0, sizeof(file));
    same = keys_file_read(folder->dirfd, geteuid(), &file, NULL) == 0 &&
           file.count == wanted->count &&
           CRYPTO_memcmp(file.keys, wanted->keys, sizeof(file.keys)) == 0 &&
           __atomic_load_n(&folder->control->keys_generation,
                           __ATOMIC_RELAXED) == file.header.generation;
    OPENSSL_cleanse(&file, sizeof(file));
    return same;
}

int gray_keys_restore(const char *folder_path, gid_t group, const void *bytes,
                      size_t size, struct gray_problem *ret_problem)
{
    struct gray_folder folder;
    struct keys_file file;
    CLEANUP_FD int lock = -1;
    int error;

    if (size != sizeof(file)) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-keys",
                                   "keys has %zu bytes, %zu belong there.",
                                   size, sizeof(file));
    }
    memcpy(&file, bytes, sizeof(file));
    error = keys_file_check(&file, ret_problem);
    if (error == 0) {
        error = gray_folder_open(&folder, folder_path, true, ret_problem);
    }
    if (error == 0) {
        error = runtime_folder_lock(&folder, &lock, ret_problem);
        if (error == 0 && !has_keys(&folder, &file)) {
            error = keys_write(&folder, &file, group, ret_problem);
            if (error == 0) {
                runtime_folder_wake(&folder, NULL, NULL);
            }
        }
        gray_folder_close(&folder);
    }
    OPENSSL_cleanse(&file, sizeof(file));
    return error;
}
