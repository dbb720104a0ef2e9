/* SPDX-License-Identifier: Apache-2.0
 * file.c - headers, checksums, and the one way a file comes to be.
 *
 * Why: a mapped file that is shortened, or that has holes on a full tmpfs,
 * kills its reader with SIGBUS.  So files are allocated whole before they get
 * a name, and only files that nobody but the folder's owner can change are
 * ever mapped.
 * Read next: part.c.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "runtime/internal.h"

int runtime_problem_set(struct gray_problem *problem, int error,
                        const char *code, const char *format, ...)
{
    va_list arguments;

    if (problem != NULL) {
        problem->code = code;
        problem->offset = 0;
        va_start(arguments, format);
        vsnprintf(problem->sentence, sizeof(problem->sentence), format,
                  arguments);
        va_end(arguments);
    }
    return -error;
}

void runtime_fd_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

uint64_t runtime_file_checksum(const void *data, uint64_t size)
{
    struct gray_file_header header;
    XXH3_state_t state;

    memcpy(&header, data, sizeof(header));
    header.checksum = 0;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, &header, sizeof(header));
    XXH3_64bits_update(&state, (const char *)data + sizeof(header),
                       size - sizeof(header));
    return XXH3_64bits_digest(&state);
}

int runtime_file_header_check(const struct gray_file_header *header,
                              const char *magic, uint64_t size,
                              const char *name,
                              struct gray_problem *ret_problem)
{
    if (memcmp(header->magic, magic, sizeof(header->magic)) != 0) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-magic",
                                   "%s does not begin with %s.", name, magic);
    }
    if (header->layout != GRAY_LAYOUT) {
        return runtime_problem_set(
            ret_problem, EINVAL, "unknown-layout",
            "%s has layout %u, this build knows only %u: "
            "publish with a gray of the same version.",
            name, header->layout, GRAY_LAYOUT);
    }
    if (header->header_size != sizeof(*header) || header->length != size) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-length",
            "%s says it has %llu bytes, the file has %llu.", name,
            (unsigned long long)header->length, (unsigned long long)size);
    }
    return 0;
}

void runtime_file_header_fill(struct gray_file_header *header,
                              const char *magic, uint64_t length)
{
    memset(header, 0, sizeof(*header));
    memcpy(header->magic, magic, sizeof(header->magic));
    header->layout = GRAY_LAYOUT;
    header->header_size = sizeof(*header);
    header->length = length;
}

int runtime_file_trusted(int fd, uid_t owner, const char *name,
                         struct stat *ret_stat,
                         struct gray_problem *ret_problem)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        return runtime_problem_set(ret_problem, errno, "io", "%s: %s.", name,
                                   strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return runtime_problem_set(ret_problem, EINVAL, "not-a-file",
                                   "%s is not a regular file.", name);
    }
    if (status.st_uid != owner || (status.st_mode & 022) != 0) {
        return runtime_problem_set(
            ret_problem, EPERM, "untrusted-file",
            "%s can be changed by others than the owner of the "
            "folder (uid %u, mode %04o).",
            name, (unsigned)status.st_uid, (unsigned)status.st_mode & 07777);
    }
    *ret_stat = status;
    return 0;
}

static int write_whole(int fd, const char *data, uint64_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size > 1u << 30 ? 1u << 30 : size);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? errno : EIO;
        }
        data += done;
        size -= (uint64_t)done;
    }
    return 0;
}

int runtime_file_write(int dirfd, const char *name, const void *data,
                       uint64_t size, mode_t mode, gid_t group,
                       struct gray_problem *ret_problem)
{
    int error;
    int fd = openat(dirfd, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0) {
        return runtime_problem_set(ret_problem, errno, "io",
                                   "Cannot create %s: %s.", name,
                                   strerror(errno));
    }
    error = posix_fallocate(fd, 0, (off_t)size);
    if (error == 0) {
        error = write_whole(fd, data, size);
    }
    if (error == 0 && group != (gid_t)-1 && fchown(fd, (uid_t)-1, group) != 0) {
        error = errno;
    }
    if (error == 0 && fchmod(fd, mode) != 0) {
        error = errno;
    }
    if (close(fd) != 0 && error == 0) {
        error = errno;
    }
    if (error != 0) {
        unlinkat(dirfd, name, 0);
        return runtime_problem_set(ret_problem, error,
                                   error == ENOSPC ? "disk-full" : "io",
                                   "Cannot write %s (%llu bytes): %s.", name,
                                   (unsigned long long)size, strerror(error));
    }
    return 0;
}

int runtime_file_random(void *bytes, size_t size,
                        struct gray_problem *ret_problem)
{
    if (getrandom(bytes, size, 0) != (ssize_t)size) {
        return runtime_problem_set(ret_problem, EIO, "io",
                                   "The kernel gave no random bytes.");
    }
    return 0;
}

bool runtime_name_ends(const char *name, const char *suffix)
{
    size_t length = strlen(name), wanted = strlen(suffix);

    return length > wanted && strcmp(name + length - wanted, suffix) == 0;
}

uint64_t runtime_name_generation(const char *name, const char *stem)
{
    size_t length = strlen(stem);
    uint64_t value = 0;
    const char *p;

    if (strncmp(name, stem, length) != 0 || name[length] != '.') {
        return 0;
    }
    p = name + length + 1;
    if (*p < '1' || *p > '9') {
        return 0;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > (UINT64_MAX - 9) / 10) {
            return 0;
        }
        value = value * 10 + (uint64_t)(*p - '0');
    }
    return strcmp(p, ".snap") == 0 ? value : 0;
}
