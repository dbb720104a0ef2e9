/* SPDX-License-Identifier: Apache-2.0
 * ring.c - records of admissions: pushed by a reader, taken by grayd.
 *
 * Why: a record must be whole before anybody can see that there is one, so its
 * bytes are written first and `head` is released last; who is killed between
 * the two has written nothing.  The other side copies what it wants by pread
 * and checks the copy: the bytes of a reader may be anybody's.
 * Read next: ring.h, admit.c (who pushes), control/marks/drain.c (who takes).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/internal.h"

#define RECORD_SIZE ((uint32_t)sizeof(struct gray_ring_record))

_Static_assert(sizeof(struct gray_ring_record) % 8 == 0, "records are aligned");
_Static_assert(sizeof(struct gray_ring_record) + GRAY_VALUE_MAX <=
                   GRAY_RING_RECORD_MAX,
               "the longest unit fits");

static uint32_t size_with(uint32_t unit_length)
{
    return (RECORD_SIZE + unit_length + 7) & ~7u;
}

static uint64_t lap_left(uint64_t at)
{
    return GRAY_RING_SIZE - at % GRAY_RING_SIZE;
}

/* ---- who pushes -----------------------------------------------------------
 */

uint32_t gray_ring_number(uint32_t kind, uint32_t number)
{
    if (number >= GRAY_READERS_MAX) {
        return GRAY_NONE;
    }
    switch (kind) {
    case GRAY_READER_NGINX:
        return number;
    case GRAY_READER_LIBRARY:
        return GRAY_READERS_MAX + number;
    default:
        return GRAY_NONE;
    }
}

void runtime_ring_begin(struct gray_ring *ring)
{
    uint64_t instance = 0;

    if (ring->instance != 0) {
        return; /* a dead one's: what it wrote is still to be taken */
    }
    while (instance == 0) {
        if (runtime_file_random(&instance, sizeof(instance), NULL) != 0) {
            instance = (uint64_t)getpid() << 32 | 1;
        }
    }
    __atomic_store_n(&ring->instance, instance, __ATOMIC_RELEASE);
}

/* What grayd says of this reader's ring; false: it does not know it yet. */
static bool tail_of(const struct gray_runtime *runtime, uint64_t *ret_tail)
{
    const struct gray_ring *ring = &runtime->slot.file->ring;
    uint32_t number =
        gray_ring_number(runtime->slot.file->kind, runtime->slot.number);
    const struct gray_drained_ring *drained;

    if (runtime->drained == NULL || number == GRAY_NONE) {
        return false;
    }
    drained = &runtime->drained->rings[number];
    if (__atomic_load_n(&drained->instance, __ATOMIC_ACQUIRE) !=
        ring->instance) {
        return false;
    }
    *ret_tail = __atomic_load_n(&drained->tail, __ATOMIC_ACQUIRE);
    return true;
}

/* A ring that nobody has begun to take has lost nothing as long as it has not
 * gone round. */
static bool has_room(const struct gray_runtime *runtime, uint64_t head,
                     uint64_t need)
{
    uint64_t tail = 0;

    return (tail_of(runtime, &tail) || head <= GRAY_RING_SIZE) &&
           tail <= head && need <= GRAY_RING_SIZE - (head - tail);
}

/* Opened for reading as well, so that it never blocks and never costs us a
 * SIGPIPE; not kept, because grayd may make it anew. */
static void wake_writer(const struct gray_runtime *runtime)
{
    int fd = openat(runtime->dirfd, "marks/wake",
                    O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);

    if (fd >= 0) {
        ssize_t wrote = write(fd, "w", 1); /* a full one wakes as well */

        (void)wrote;
        close(fd);
    }
}

static int write_record(struct gray_runtime *runtime,
                        const struct gray_ring_record *record,
                        struct gray_str unit)
{
    struct gray_ring *ring = &runtime->slot.file->ring;
    uint64_t head = ring->head; /* ours alone */
    uint32_t size = size_with(unit.length);
    uint64_t left = lap_left(head);
    uint64_t at = left < size ? head + left : head, need = at + size - head;
    bool settled = record->kind == GRAY_RING_SETTLED;
    struct gray_ring_record whole;

    /* Half of it is for those who are waited for. */
    if (!has_room(runtime, head, settled ? need + GRAY_RING_SIZE / 2 : need)) {
        if (!settled) { /* `lost` has grayd look for marks without a record */
            __atomic_store_n(&ring->lost, ring->lost + 1, __ATOMIC_RELAXED);
        }
        return -ENOBUFS;
    }
    if (at != head && left >= RECORD_SIZE) {
        memset(&ring->bytes[head % GRAY_RING_SIZE], 0, RECORD_SIZE);
    }
    whole = *record;
    whole.size = size;
    whole.sequence = at;
    whole.unit_length = (uint16_t)unit.length;
    memset(&ring->bytes[at % GRAY_RING_SIZE + size - 8], 0, 8);
    memcpy(&ring->bytes[at % GRAY_RING_SIZE], &whole, RECORD_SIZE);
    memcpy(&ring->bytes[at % GRAY_RING_SIZE + RECORD_SIZE], unit.data,
           unit.length);
    /* Before `sleeping` is read: either the writer sees this head when it has
     * said that it sleeps, or we see that it sleeps. */
    __atomic_store_n(&ring->head, at + size, __ATOMIC_SEQ_CST);
    return 0;
}

/* An application has many threads and one ring; what is guarded are a few
 * hundred instructions. */
static void ring_lock(struct gray_runtime *runtime)
{
    while (runtime->kind == GRAY_READER_LIBRARY &&
           __atomic_exchange_n(&runtime->ring_locked, 1, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static void ring_unlock(struct gray_runtime *runtime)
{
    __atomic_store_n(&runtime->ring_locked, 0, __ATOMIC_RELEASE);
}

int gray_ring_push(struct gray_runtime *runtime,
                   const struct gray_ring_record *record, struct gray_str unit)
{
    int error;

    if (runtime->slot.file == NULL || runtime->kind == GRAY_READER_CLI) {
        return -ENOENT;
    }
    if (unit.length == 0 || unit.length > GRAY_VALUE_MAX) {
        return -EMSGSIZE;
    }
    ring_lock(runtime);
    error = write_record(runtime, record, unit);
    ring_unlock(runtime);
    if (error != 0) {
        return error;
    }
    if (runtime->drained != NULL &&
        __atomic_load_n(&runtime->drained->sleeping, __ATOMIC_SEQ_CST) != 0) {
        wake_writer(runtime);
    }
    return 0;
}

/* `beat` 0: there is none, and never was.  A beat from the future is of another
 * clock, and proves nothing. */
static enum gray_writer_state writer_of(uint64_t beat, uint32_t state,
                                        int64_t now_ns, bool *ret_alive)
{
    if (beat == 0) {
        return GRAY_WRITER_NONE;
    }
    *ret_alive = now_ns - (int64_t)beat < GRAY_WRITER_DEAD_NS &&
                 (int64_t)beat - now_ns < GRAY_WRITER_DEAD_NS;
    return state <= GRAY_WRITER_FAILED ? (enum gray_writer_state)state
                                       : GRAY_WRITER_FAILED;
}

enum gray_writer_state gray_writer_now(const struct gray_runtime *runtime,
                                       int64_t now_ns, bool *ret_alive)
{
    const struct gray_drained *drained = runtime->drained;

    *ret_alive = false;
    if (drained == NULL) {
        return GRAY_WRITER_NONE;
    }
    return writer_of(__atomic_load_n(&drained->beat, __ATOMIC_ACQUIRE),
                     __atomic_load_n(&drained->state, __ATOMIC_ACQUIRE), now_ns,
                     ret_alive);
}

const char *gray_writer_word(const struct gray_folder *folder)
{
    static const char *const words[] = {"none", "ok", "full", "failed"};
    struct {
        struct gray_file_header header;
        uint64_t beat;
        uint32_t sleeping, state;
    } head;
    enum gray_writer_state state;
    bool alive = false;
    CLEANUP_FD int fd = openat(folder->dirfd, "marks/drained",
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head)) {
        return words[GRAY_WRITER_NONE];
    }
    state = writer_of(head.beat, head.state, runtime_clock_ns(CLOCK_BOOTTIME),
                      &alive);
    return state == GRAY_WRITER_NONE || alive ? words[state] : "dead";
}

uint64_t gray_ring_head(const struct gray_runtime *runtime)
{
    return runtime->slot.file != NULL
               ? __atomic_load_n(&runtime->slot.file->ring.head,
                                 __ATOMIC_ACQUIRE)
               : 0;
}

bool gray_ring_taken(const struct gray_runtime *runtime, uint64_t head)
{
    uint64_t tail = 0;

    return runtime->slot.file != NULL && tail_of(runtime, &tail) &&
           tail >= head;
}

/* ---- who takes ------------------------------------------------------------
 */

int64_t gray_ring_span(uint64_t tail, uint64_t head)
{
    uint64_t all = head - tail, left = lap_left(tail);

    if (tail > head || all > GRAY_RING_SIZE) {
        return -EBADMSG;
    }
    return (int64_t)(all < left ? all : left);
}

/* What is said of a mark. */
static bool mark_holds(const struct gray_ring_record *r)
{
    enum gray_slot_state state = gray_slot_state(r->value);

    if (r->kind == GRAY_RING_SETTLED) {
        return r->state == 0 && r->value == 0 && r->until == 0 &&
               (r->space < GRAY_STAGES_MAX ||
                r->space == GRAY_RING_EVERY_SPACE);
    }
    return (r->kind == GRAY_RING_MARKED || r->kind == GRAY_RING_ASKED) &&
           (r->state == GRAY_SLOT_IN || r->state == GRAY_SLOT_OUT) &&
           (state == GRAY_SLOT_PENDING ||
            (uint32_t)state == (uint32_t)r->state) &&
           (r->value & GRAY_SLOT_LATER) == 0 &&
           gray_slot_attempt(r->value) == r->attempt &&
           gray_slot_variant(r->value) == r->variant &&
           (r->until == 0 || r->kind == GRAY_RING_ASKED);
}

static bool record_holds(const struct gray_ring_record *r, uint64_t at,
                         uint64_t there)
{
    return r->size <= there && r->unit_length > 0 &&
           r->unit_length <= GRAY_VALUE_MAX &&
           r->size == size_with(r->unit_length) && r->sequence == at &&
           mark_holds(r) && r->now >= 0 && r->reason < 256;
}

int gray_ring_read(struct gray_ring_copy *copy,
                   struct gray_ring_record *ret_record,
                   struct gray_str *ret_unit)
{
    uint64_t there = copy->end - copy->at, left = lap_left(copy->at);
    struct gray_ring_record record;

    if (copy->at == copy->end) {
        return 0;
    }
    if (copy->end < copy->at || there > left) {
        return -EBADMSG;
    }
    memset(&record, 0, sizeof(record));
    if (there >= RECORD_SIZE) {
        memcpy(&record, copy->bytes, RECORD_SIZE);
    }
    if (record.size == 0) { /* on at the beginning, or cut off */
        if (there != left || left >= GRAY_RING_RECORD_MAX) {
            return -EBADMSG;
        }
        copy->bytes += there;
        copy->at = copy->end;
        return 0;
    }
    if (!record_holds(&record, copy->at, there)) {
        return -EBADMSG;
    }
    ret_unit->data = (const char *)copy->bytes + RECORD_SIZE;
    ret_unit->length = record.unit_length;
    *ret_record = record;
    copy->bytes += record.size;
    copy->at += record.size;
    return 1;
}
