/* SPDX-License-Identifier: Apache-2.0
 * part.c - one file of the folder, mapped and believed.
 *
 * Why: the publisher's check of what it wrote and the reader's check of what
 * it maps must be the same code, or a file passes the one and kills the other
 * (RELIABILITY, fact 7).  Order: owner, header, length, checksum, then every
 * record by the engine's own open.
 * Read next: set.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/internal.h"

static const char *const magics[] = {
    [PART_POLICY] = GRAY_MAGIC_POLICY,
    [PART_FLEET] = GRAY_MAGIC_FLEET,
    [PART_LIST] = GRAY_MAGIC_LIST,
};

/* What must lie behind the header, so that records can be read at all. */
static const uint64_t least[] = {
    [PART_POLICY] =
        sizeof(struct gray_file_header) + sizeof(struct gray_policy),
    [PART_FLEET] =
        sizeof(struct gray_file_header) + sizeof(struct gray_fleet_body),
    [PART_LIST] =
        sizeof(struct gray_file_header) + sizeof(struct gray_list_file),
};

static int part_map(struct part *part, int fd, uid_t owner,
                    struct gray_problem *ret_problem)
{
    struct gray_file_header header;
    struct stat status;
    int error =
        runtime_file_trusted(fd, owner, part->name, &status, ret_problem);

    if (error != 0) {
        return error;
    }
    if ((uint64_t)status.st_size < least[part->kind] ||
        (uint64_t)status.st_size > FILE_MAX) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-size",
                                   "%s has %lld bytes, which cannot be right.",
                                   part->name, (long long)status.st_size);
    }
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return runtime_problem_set(ret_problem, EIO, "io", "%s cannot be read.",
                                   part->name);
    }
    error = runtime_file_header_check(&header, magics[part->kind],
                                      (uint64_t)status.st_size, part->name,
                                      ret_problem);
    if (error != 0) {
        return error;
    }
    part->data = mmap(NULL, (size_t)status.st_size, PROT_READ,
                      MAP_SHARED | MAP_POPULATE, fd, 0);
    if (part->data == MAP_FAILED) {
        part->data = NULL;
        return runtime_problem_set(ret_problem, errno, "io",
                                   "%s cannot be mapped: %s.", part->name,
                                   strerror(errno));
    }
    part->size = (uint64_t)status.st_size;
    part->generation = header.generation;
    if (runtime_file_checksum(part->data, part->size) != header.checksum) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-checksum",
                                   "%s is damaged: its checksum does not fit.",
                                   part->name);
    }
    return 0;
}

static int part_open(struct part *part, struct gray_problem *ret_problem)
{
    /* The engine tells the first problem only, into an empty record. */
    struct gray_problem problem = {NULL, "", 0};
    int error;

    switch (part->kind) {
    case PART_POLICY:
        error =
            gray_snapshot_open(&part->policy, part->data, part->size, &problem);
        break;
    case PART_FLEET:
        error = gray_fleet_open(&part->fleet, part->data, part->size, &problem);
        break;
    default:
        error = gray_list_open(&part->list, part->data, part->size, &problem);
        break;
    }
    if (error != 0) {
        *ret_problem = problem;
        return -EINVAL;
    }
    return 0;
}

int runtime_part_load(int dirfd, const char *name, enum part_kind kind,
                      uid_t owner, struct part **ret_part,
                      struct gray_problem *ret_problem)
{
    struct gray_problem ignored;
    struct part *part;
    int fd, error;

    if (ret_problem == NULL) {
        ret_problem = &ignored;
    }
    fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return runtime_problem_set(
            ret_problem, errno, errno == ENOENT ? "missing" : "io",
            "%s cannot be opened: %s.", name, strerror(errno));
    }
    part = calloc(1, sizeof(*part));
    if (part == NULL) {
        close(fd);
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    part->refs = 1;
    part->kind = kind;
    snprintf(part->name, sizeof(part->name), "%s", name);
    error = part_map(part, fd, owner, ret_problem);
    close(fd);
    if (error == 0) {
        error = part_open(part, ret_problem);
    }
    if (error != 0) {
        runtime_part_unref(part);
        return error;
    }
    *ret_part = part;
    return 0;
}

struct part *runtime_part_ref(struct part *part)
{
    if (part != NULL) {
        __atomic_fetch_add(&part->refs, 1, __ATOMIC_RELAXED);
    }
    return part;
}

void runtime_part_unref(struct part *part)
{
    if (part == NULL ||
        __atomic_sub_fetch(&part->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    if (part->data != NULL) {
        munmap(part->data, part->size);
    }
    free(part);
}

bool runtime_part_list_name(struct gray_str file, char ret_name[40])
{
    uint32_t i;

    if (file.length != 32) {
        return false;
    }
    for (i = 0; i < 32; i++) {
        char c = file.data[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    memcpy(ret_name, file.data, 32);
    ret_name[32] = '\0';
    return true;
}
