/* SPDX-License-Identifier: Apache-2.0
 * blob.c - files of a bundle: fetched aside, hashed on their way, named last.
 *
 * Why: the name of a blob is what it contains.  Nothing under blobs/ is ever
 * changed, and what is mapped from there is hashed once more: a disk forgets.
 * Read next: kept.h, install.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/agent/internal.h"
#include "control/failpoint.h"
#include "control/hex.h"

static int digest_hex(EVP_MD_CTX *digest, char ret_hex[65])
{
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    if (EVP_DigestFinal_ex(digest, bytes, &length) != 1 || length != 32) {
        return -1;
    }
    hex_write(bytes, 32, ret_hex);
    return 0;
}

int blob_sha256(const void *bytes, size_t size, char ret_hex[65])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    int result = digest != NULL &&
                         EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                         EVP_DigestUpdate(digest, bytes, size) == 1
                     ? digest_hex(digest, ret_hex)
                     : -1;

    EVP_MD_CTX_free(digest);
    return result;
}

bool blob_there(const struct kept_place *place,
                const struct manifest_blob *blob)
{
    struct stat facts;

    return fstatat(place->blobs, blob->sha256, &facts,
                   AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(facts.st_mode) && (uint64_t)facts.st_size == blob->size;
}

/* ---- fetching --------------------------------------------------------------- */

static void aside_of(const struct blob_writer *writer, char ret_name[80])
{
    snprintf(ret_name, 80, "%s.part", writer->want.sha256);
}

int blob_begin(struct blob_writer *writer, const struct kept_place *place,
               const struct manifest_blob *want,
               struct gray_problem *ret_problem)
{
    char aside[80];

    *writer = (struct blob_writer) { .place = place, .want = *want, .fd = -1 };
    aside_of(writer, aside);
    unlinkat(place->blobs, aside, 0);
    writer->digest = EVP_MD_CTX_new();
    writer->fd = openat(place->blobs, aside,
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        0600);
    if (writer->fd < 0) {
        int error = kept_failed(ret_problem, "blobs");

        EVP_MD_CTX_free(writer->digest);
        return error;
    }
    if (writer->digest == NULL ||
        EVP_DigestInit_ex(writer->digest, EVP_sha256(), NULL) != 1) {
        blob_end(writer, false, NULL);
        return agent_problem(ret_problem, ENOMEM, "memory", "Out of memory.");
    }
    return 0;
}

int blob_piece(void *context, const void *bytes, size_t size)
{
    struct blob_writer *writer = context;
    const uint8_t *at = bytes;

    if (writer->size + size > writer->want.size ||
        EVP_DigestUpdate(writer->digest, bytes, size) != 1) {
        writer->size += size; /* and it is not what was wanted */
        return -1;
    }
    writer->size += size;
    while (size > 0) {
        ssize_t put = write(writer->fd, at, size);

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            writer->error = errno != 0 ? errno : EIO;
            return -1;
        }
        at += put;
        size -= (size_t)put;
    }
    return 0;
}

static int check(struct blob_writer *writer, struct gray_problem *ret_problem)
{
    char hex[65] = "";

    if (writer->error != 0) {
        errno = writer->error;
        return kept_failed(ret_problem, "blobs");
    }
    if (writer->size != writer->want.size ||
        digest_hex(writer->digest, hex) != 0 ||
        strcmp(hex, writer->want.sha256) != 0) {
        return agent_problem(ret_problem, EBADMSG, "bad-blob",
                             "The file %.12s... of the bundle came with "
                             "another size or content than was signed.",
                             writer->want.sha256);
    }
    return 0;
}

int blob_end(struct blob_writer *writer, bool keep,
             struct gray_problem *ret_problem)
{
    int blobs = writer->place->blobs;
    int error = keep ? check(writer, ret_problem) : -ECANCELED;
    char aside[80];

    aside_of(writer, aside);
    if (error == 0) {
        failpoint("blob-fetched");
        if (fsync(writer->fd) != 0 ||
            renameat(blobs, aside, blobs, writer->want.sha256) != 0 ||
            fsync(blobs) != 0) {
            error = kept_failed(ret_problem, "blobs");
        }
    }
    if (error != 0) {
        unlinkat(blobs, aside, 0);
    }
    close(writer->fd);
    EVP_MD_CTX_free(writer->digest);
    writer->fd = -1;
    writer->digest = NULL;
    return error;
}

/* ---- using ------------------------------------------------------------------ */

int blob_open(struct blob_map *ret_map, const struct kept_place *place,
              const struct manifest_blob *blob,
              struct gray_problem *ret_problem)
{
    int fd = openat(place->blobs, blob->sha256,
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    void *data = MAP_FAILED;
    char hex[65] = "";

    if (fd >= 0 && blob_there(place, blob)) {
        data = mmap(NULL, (size_t)blob->size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (data == MAP_FAILED) {
        return agent_problem(ret_problem, ENOENT, "blob-missing",
                             "The file %.12s... of the bundle is not here.",
                             blob->sha256);
    }
    if (blob_sha256(data, (size_t)blob->size, hex) != 0 ||
        strcmp(hex, blob->sha256) != 0) {
        munmap(data, (size_t)blob->size);
        unlinkat(place->blobs, blob->sha256, 0); /* to be fetched again */
        return agent_problem(ret_problem, EBADMSG, "bad-blob",
                             "The file %.12s... of the bundle was damaged on "
                             "this host's disk.", blob->sha256);
    }
    *ret_map = (struct blob_map) { data, (size_t)blob->size };
    return 0;
}

void blob_close(struct blob_map *map)
{
    if (map->data != NULL) {
        munmap(map->data, map->size);
    }
    *map = (struct blob_map) { NULL, 0 };
}

void blobs_sweep(const struct kept_place *place, const struct manifest *one,
                 const struct manifest *other)
{
    int fd = openat(place->blobs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' &&
            manifest_blob(one, entry->d_name) == NULL &&
            (other == NULL || manifest_blob(other, entry->d_name) == NULL)) {
            unlinkat(place->blobs, entry->d_name, 0);
        }
    }
    closedir(dir);
}
