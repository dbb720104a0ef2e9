/* SPDX-License-Identifier: Apache-2.0
 * next.c - a policy that waits for its instant, as publishers see it.
 *
 * Why: readers turn by their own clock, so `control` may name the generation
 * before for as long as no publisher comes by.  What is in force is therefore
 * worked out from `control`, the header of what waits, and what readers say
 * that they have turned to; whoever publishes next writes it down.
 * Read next: turn.c (the readers' side), publish.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/repair.h"
#include "runtime/witness.h"

int64_t gray_wall_ms(void)
{
    return runtime_clock_ns(CLOCK_REALTIME) / 1000000;
}

bool runtime_next_header(int dirfd, uint64_t generation,
                         struct gray_file_header *ret_header)
{
    struct gray_file_header header;
    CLEANUP_FD int fd = -1;
    char name[48];

    snprintf(name, sizeof(name), "policy.%llu.snap",
             (unsigned long long)generation);
    fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 ||
        pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        header.generation != generation ||
        memcmp(header.magic, GRAY_MAGIC_POLICY, sizeof(header.magic)) != 0) {
        return false;
    }
    *ret_header = header;
    return true;
}

/* Has some reader that is believed turned to it? */
static bool turned(int dirfd, uint64_t generation)
{
    struct witness witness;

    runtime_witness_read(dirfd, &witness);
    return witness.turned == generation;
}

void gray_folder_named(const struct gray_folder *folder, int64_t now_ms,
                       struct gray_named *ret_named)
{
    const struct gray_control *control = folder->control;
    struct gray_file_header header;
    uint64_t next =
        __atomic_load_n(&control->next_generation, __ATOMIC_ACQUIRE);
    /* After it: a publisher stores them the other way round, so that one of
     * the two is the newest. */
    struct gray_named named = {
        .policy =
            __atomic_load_n(&control->policy_generation, __ATOMIC_ACQUIRE),
        .fleet = __atomic_load_n(&control->fleet_generation, __ATOMIC_ACQUIRE),
    };

    if (next > named.policy &&
        runtime_next_header(folder->dirfd, next, &header)) {
        if (header.effective_at <= now_ms || turned(folder->dirfd, next)) {
            named.policy = next;
            named.fleet = header.fleet_generation > named.fleet
                              ? header.fleet_generation
                              : named.fleet;
        } else {
            named.next = next;
            named.next_fleet = header.fleet_generation;
            named.next_revision = header.revision;
            named.next_at = header.effective_at;
            named.next_skew = header.max_skew;
        }
    }
    *ret_named = named;
}

void gray_clock_offset_set(struct gray_folder *folder, int64_t offset_ms)
{
    __atomic_store_n(&folder->control->clock_offset_ms, offset_ms,
                     __ATOMIC_RELEASE);
}

void runtime_next_remove(struct gray_folder *folder, uint64_t generation)
{
    struct gray_file_header header;
    char name[48];

    if (runtime_next_header(folder->dirfd, generation, &header) &&
        header.fleet_generation != 0 &&
        header.fleet_generation != folder->control->fleet_generation) {
        snprintf(name, sizeof(name), "fleet.%llu.snap",
                 (unsigned long long)header.fleet_generation);
        unlinkat(folder->dirfd, name, 0);
    }
    snprintf(name, sizeof(name), "policy.%llu.snap",
             (unsigned long long)generation);
    unlinkat(folder->dirfd, name, 0);
}

void runtime_next_settle(struct gray_folder *folder)
{
    struct gray_control *control = folder->control;
    uint64_t next = control->next_generation;
    struct gray_named named;

    if (next == 0) {
        return;
    }
    if (next < control->policy_generation) {
        runtime_next_remove(folder, next); /* overtaken, and then killed */
    } else if (next > control->policy_generation) {
        gray_folder_named(folder, gray_wall_ms(), &named);
        if (named.policy != next) {
            return; /* not yet; or it cannot be read, and readers may have it */
        }
        __atomic_store_n(&control->policy_generation, named.policy,
                         __ATOMIC_RELEASE);
        __atomic_store_n(&control->fleet_generation, named.fleet,
                         __ATOMIC_RELEASE);
    }
    __atomic_store_n(&control->next_generation, 0, __ATOMIC_RELEASE);
}
