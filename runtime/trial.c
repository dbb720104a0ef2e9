/* SPDX-License-Identifier: Apache-2.0
 * trial.c - a new policy is on trial for as long as it may kill its reader.
 *
 * Why: whoever dies cannot say why afterwards, so each reader has it written
 * down before: which policy it takes, and since when.  A gateway worker that
 * is hit by a signal of its own making adds one line in its last moment; an
 * application, whose signals are none of our business, is held to have died
 * of a policy only if it died in the middle of a question.  kill -9 (people,
 * the OOM killer, a campaign of kills) is nobody's crash.
 *
 *   load -> suspect = G -> turn -> 30 s -> proven = G, suspect = 0
 * Read next: witness.c (who reads it).
 */
#include <errno.h>
#include <time.h>

#include "runtime/witness.h"

/* Coarse, for an application reads it with every question of a trial; the same
 * in all processes of the host. */
static int64_t boot_ms(void)
{
    return runtime_clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}

void runtime_trial_back(struct gray_runtime *runtime, uint64_t suspect,
                        int64_t since)
{
    struct reader_file *file = runtime->slot.file;

    if (file != NULL) {
        __atomic_store_n(&file->suspect_since, since, __ATOMIC_RELAXED);
        __atomic_store_n(&file->suspect, suspect, __ATOMIC_RELEASE);
    }
}

void runtime_trial_begin(struct gray_runtime *runtime, uint64_t generation)
{
    runtime_trial_back(runtime, generation, boot_ms());
}

bool runtime_trial_over(const struct gray_runtime *runtime)
{
    const struct reader_file *file = runtime->slot.file;

    return file != NULL &&
           __atomic_load_n(&file->suspect, __ATOMIC_ACQUIRE) != 0 &&
           boot_ms() - __atomic_load_n(&file->suspect_since,
                                       __ATOMIC_RELAXED) > GRAY_TRIAL_MS;
}

bool runtime_trial_look(struct gray_runtime *runtime)
{
    struct reader_file *file = runtime->slot.file;
    uint64_t suspect =
        file != NULL ? __atomic_load_n(&file->suspect, __ATOMIC_ACQUIRE) : 0;

    if (suspect == 0) {
        return false;
    }
    if (!runtime_trial_over(runtime)) {
        return true;
    }
    if (file->proven != suspect) {
        __atomic_store_n(&file->proven_at, boot_ms(), __ATOMIC_RELAXED);
        __atomic_store_n(&file->proven, suspect, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&file->suspect, 0, __ATOMIC_RELEASE);
    return false;
}

uint32_t *runtime_trial_enter(struct gray_runtime *runtime, uint32_t stripe)
{
    struct reader_file *file = runtime->slot.file;
    uint32_t *place;

    if (file == NULL) {
        return NULL;
    }
    place = &file->inside[stripe % READER_STRIPES].threads;
    __atomic_fetch_add(place, 1, __ATOMIC_RELAXED);
    return place;
}

/* Only stores and a clock: it may be called by a handler of signals. */
static void crash_add(struct reader_file *file, uint64_t suspect, int64_t at_ms,
                      int signal)
{
    uint32_t place = file->crash_next++ % READER_CRASHES;

    file->crashes[place] = (struct reader_crash){
        .generation = suspect,
        .at_ms = at_ms,
        .pid = file->pid,
        .signal = signal,
    };
}

void gray_runtime_crashed(struct gray_runtime *runtime, int signal)
{
    struct reader_file *file = runtime->slot.file;
    uint64_t suspect;
    int64_t now;

    if (file == NULL || file->ending != READER_RUNS) {
        return;
    }
    file->ending = READER_CRASHED;
    suspect = __atomic_load_n(&file->suspect, __ATOMIC_ACQUIRE);
    now = boot_ms();
    if (suspect != 0 && now - file->suspect_since <= GRAY_TRIAL_MS) {
        crash_add(file, suspect, now, signal);
    }
}

void runtime_trial_remember(struct gray_runtime *runtime)
{
    struct witness witness;
    uint32_t i, j, count = 0;

    runtime_witness_read(runtime->dirfd, &witness);
    runtime->witnessed = witness.turned;
    for (i = 0; i < witness.trial_count; i++) {
        uint64_t generation = witness.trials[i].generation;

        if (!runtime_witness_blocks(&witness, generation)) {
            continue;
        }
        /* The newest ones, in order. */
        for (j = count < RUNTIME_AVOIDED ? count++ : RUNTIME_AVOIDED;
             j > 0 && runtime->avoided[j - 1] < generation; j--) {
            if (j < RUNTIME_AVOIDED) {
                runtime->avoided[j] = runtime->avoided[j - 1];
            }
        }
        if (j < RUNTIME_AVOIDED) {
            runtime->avoided[j] = generation;
        }
    }
}

bool runtime_trial_avoids(const struct gray_runtime *runtime,
                          uint64_t generation,
                          struct gray_problem *ret_problem)
{
    uint64_t accepted = load_u64(&runtime->control->accepted_generation);
    uint32_t i;

    for (i = 0; i < RUNTIME_AVOIDED && generation != 0; i++) {
        if (runtime->avoided[i] == generation && accepted != generation) {
            runtime_problem_set(
                ret_problem, EINVAL, "crashes-readers",
                "Generation %llu crashed %u readers: the last good one is "
                "taken. Publish another, or gray unblock.",
                (unsigned long long)generation, GRAY_CRASHES_MAX);
            return true;
        }
    }
    return false;
}

void runtime_trial_inherit(struct reader_file *file)
{
    uint32_t inside = 0, i;

    for (i = 0; i < READER_STRIPES; i++) {
        inside |= file->inside[i].threads;
    }
    if (file->kind == GRAY_READER_LIBRARY && file->ending == READER_RUNS &&
        file->suspect != 0 && inside != 0) {
        crash_add(file, file->suspect, file->suspect_since, 0);
    }
}
