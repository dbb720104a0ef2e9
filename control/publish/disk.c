/* SPDX-License-Identifier: Apache-2.0
 * disk.c - files on a disk that may be full or wrong, read and written whole.
 *
 * Why: what is kept is believed after a crash, so every byte is synced before
 * it gets its name, and is known by its SHA-256.
 * Read next: last_good.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/publish/internal.h"

#define CHUNK (256u << 10)

int publisher_problem(struct gray_problem *ret_problem, int error,
                      const char *code, const char *format, ...)
{
    va_list arguments;

    if (ret_problem != NULL) {
        ret_problem->code = code;
        ret_problem->offset = 0;
        va_start(arguments, format);
        vsnprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                  format, arguments);
        va_end(arguments);
    }
    return -error;
}

int publisher_failed(struct gray_problem *ret_problem, const char *name)
{
    int error = errno != 0 ? errno : EIO;
    const char *code = error == ENOSPC || error == EDQUOT ? "disk-full"
                       : error == EROFS                   ? "read-only"
                       : error == ENOENT                  ? "missing"
                                                          : "io";

    return publisher_problem(ret_problem, error, code, "%.80s: %s.", name,
                             strerror(error));
}

void publisher_fd_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void publisher_free(void *pointer)
{
    void **place = pointer;

    free(*place);
    *place = NULL;
}

/* ---- SHA-256 ------------------------------------------------------------- */

static void digest_free(EVP_MD_CTX **digest)
{
    EVP_MD_CTX_free(*digest);
}
#define CLEANUP_DIGEST __attribute__((cleanup(digest_free)))

static EVP_MD_CTX *digest_new(void)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();

    if (digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(digest);
        digest = NULL;
    }
    return digest;
}

static int digest_end(EVP_MD_CTX *digest, char ret_hex[65])
{
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    if (EVP_DigestFinal_ex(digest, bytes, &length) != 1 || length != 32) {
        return -1;
    }
    for (unsigned i = 0; i < 32; i++) {
        snprintf(ret_hex + 2 * (size_t)i, 3, "%02x", bytes[i]);
    }
    return 0;
}

int publisher_sha256(const void *data, size_t size, char ret_hex[65])
{
    CLEANUP_DIGEST EVP_MD_CTX *digest = digest_new();

    return digest != NULL && EVP_DigestUpdate(digest, data, size) == 1
               ? digest_end(digest, ret_hex)
               : -1;
}

/* ---- reading ------------------------------------------------------------- */

static int read_all(int fd, uint8_t *data, uint64_t size)
{
    uint64_t done = 0;

    while (done < size) {
        ssize_t got = pread(fd, data + done, size - done, (off_t)done);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            return -1;
        }
        done += (uint64_t)got;
    }
    return 0;
}

int publisher_read(int dirfd, const char *name, uint64_t most, void **ret_data,
                   uint64_t *ret_size, struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = openat(dirfd, name,
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    uint8_t *data;

    if (fd < 0 || fstat(fd, &status) != 0) {
        return publisher_failed(ret_problem, name);
    }
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > most) {
        return publisher_problem(ret_problem, EINVAL, "bad-size",
                                 "%.80s is no file of at most %llu bytes.",
                                 name, (unsigned long long)most);
    }
    data = malloc((size_t)status.st_size + 1);
    if (data == NULL) {
        return publisher_problem(ret_problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    if (read_all(fd, data, (uint64_t)status.st_size) != 0) {
        free(data);
        return publisher_failed(ret_problem, name);
    }
    data[status.st_size] = '\0';
    *ret_data = data;
    *ret_size = (uint64_t)status.st_size;
    return 0;
}

/* ---- writing ------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, data, size);

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            errno = put == 0 ? EIO : errno;
            return -1;
        }
        data += put;
        size -= (size_t)put;
    }
    return 0;
}

static int create(int dirfd, const char *name)
{
    return openat(dirfd, name,
                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int publisher_write(int dirfd, const char *name, const void *data,
                    uint64_t size, struct kept_file *ret_file,
                    struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = create(dirfd, name);
    struct kept_file file = {.size = size};

    snprintf(file.name, sizeof(file.name), "%s", name);
    if (fd < 0 || write_all(fd, data, size) != 0 || fsync(fd) != 0) {
        return publisher_failed(ret_problem, name);
    }
    if (publisher_sha256(data, size, file.sha256) != 0) {
        return publisher_problem(ret_problem, ENOMEM, "memory",
                                 "%.80s has no SHA-256.", name);
    }
    *ret_file = file;
    return 0;
}

int publisher_copy(int from, int dirfd, const char *name,
                   struct kept_file *ret_file,
                   struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = create(dirfd, name);
    CLEANUP_FREE uint8_t *chunk = malloc(CHUNK);
    CLEANUP_DIGEST EVP_MD_CTX *digest = digest_new();
    struct kept_file file = {.size = 0};
    struct stat status;

    if (chunk == NULL || digest == NULL) {
        return publisher_problem(ret_problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    if (fd < 0 || fstat(from, &status) != 0) {
        return publisher_failed(ret_problem, name);
    }
    snprintf(file.name, sizeof(file.name), "%s", name);
    while (file.size < (uint64_t)status.st_size) {
        ssize_t got = pread(from, chunk, CHUNK, (off_t)file.size);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || write_all(fd, chunk, (size_t)got) != 0 ||
            EVP_DigestUpdate(digest, chunk, (size_t)got) != 1) {
            return publisher_failed(ret_problem, name);
        }
        file.size += (uint64_t)got;
    }
    if (fsync(fd) != 0 || digest_end(digest, file.sha256) != 0) {
        return publisher_failed(ret_problem, name);
    }
    *ret_file = file;
    return 0;
}

/* ---- the rest ------------------------------------------------------------ */

static void remove_entries(int fd, bool inner)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;

    if (dir == NULL) {
        close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (inner && strcmp(entry->d_name, "lists") == 0) {
            publisher_remove(dirfd(dir), entry->d_name);
        } else {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
}

void publisher_remove(int parent, const char *name)
{
    int fd = openat(parent, name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        remove_entries(fd, strcmp(name, "lists") != 0);
        unlinkat(parent, name, AT_REMOVEDIR);
    }
}

bool publisher_list_name(const char *name, size_t length)
{
    return length == 32 && strspn(name, "0123456789abcdef") >= 32;
}
