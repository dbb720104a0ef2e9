/* SPDX-License-Identifier: Apache-2.0
 * marked.c - see marked.h.
 *
 * Why: nothing here may hide a failure: whatever should not happen ends the
 * test.
 * Read next: marked.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"
#include "tests/runtime/marked.h"

/* ---- the folder ------------------------------------------------------------- */

static void publish(struct marked_world *world, const struct marked_kind *kind)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_compiled compiled;
    struct gray_publish what;
    char text[2048], deny[96] = "";
    int length;

    if (kind->deny != NULL) {
        snprintf(deny, sizeof(deny),
                 ", deny: [{cookie: {name: uid, exact: '%s'}}]", kind->deny);
    }
    length = snprintf(
        text, sizeof(text),
        "kind: Service\nname: order\nbaseline: {version: v1}\nversions:\n"
        "  v1: {endpoints: ['127.0.0.1:9101']}\n"
        "  v2: {endpoints: ['127.0.0.1:9102']}\n"
        "---\nkind: Release\nname: order-2\nunit: {cookie: uid}\n"
        "stickiness: %s\ndataCompat: stateless\ndurability: %s\n"
        "strictTimeout: %ums\nadmissionLease: %s\nonUnknown: %s\n"
        "stages: %s\n%sservices: [{service: order, version: v2}]\n"
        "admission: {share: %s%s}\n",
        kind->stickiness != NULL ? kind->stickiness : "monotonic",
        kind->strict ? "strict" : "async",
        kind->patience != 0 ? kind->patience : 50,
        kind->lease ? "10s" : "0s", kind->refuse ? "refuse" : "baseline",
        kind->stages != NULL ? kind->stages : "[]",
        kind->shared ? "sharedMarks: redis\n" : "",
        kind->share != NULL ? kind->share : "100", deny);
    assert_true(length > 0 && (size_t)length < sizeof(text) - 256);
    if (kind->second) {
        snprintf(text + length, sizeof(text) - (size_t)length,
                 "---\nkind: Release\nname: pay-2\nunit: {cookie: uid}\n"
                 "priority: 7\nstickiness: entity\ndataCompat: stateless\n"
                 "services: [{service: order, version: v2}]\n"
                 "admission: {share: 100}\n");
    }
    documents_compile(text, ++world->revision, &compiled);
    what = (struct gray_publish){ .policy = compiled.policy.data,
                                  .policy_size = compiled.policy.size,
                                  .fleet = compiled.fleet.data,
                                  .fleet_size = compiled.fleet.size,
                                  .group = (gid_t)-1 };
    if (gray_publish(world->path, &what, NULL, &problem) != 0) {
        fail_msg("publish: %s: %s", problem.code, problem.sentence);
    }
    gray_compiled_free(&compiled);
}

static void *map_drained(const struct marked_world *world)
{
    int fd = openat(world->folder.dirfd, "marks/drained", O_RDWR | O_CLOEXEC);
    void *memory;

    assert_true(fd >= 0);
    memory = mmap(NULL, sizeof(struct gray_drained), PROT_READ | PROT_WRITE,
                  MAP_SHARED, fd, 0);
    close(fd);
    assert_true(memory != MAP_FAILED);
    return memory;
}

void marked_map(struct marked_world *world)
{
    uint32_t word = gray_word_number(&world->folder, MARKED_SCOPE);
    uint32_t table = 0, next = 0;
    int fd = openat(world->folder.dirfd, "marks",
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0 && word != GRAY_NONE);
    runtime_word_tables(&world->folder.control->words[word], &table, &next);
    assert_int_equal(gray_mark_table_open(&world->tables.table, fd,
                                          MARKED_SCOPE, table, geteuid(), true,
                                          NULL),
                     0);
    assert_true(world->tables.table.writable);
    if (next != 0) {
        assert_int_equal(gray_mark_table_open(&world->tables.next, fd,
                                              MARKED_SCOPE, next, geteuid(),
                                              true, NULL),
                         0);
    }
    close(fd);
}

struct gray_runtime *marked_reader(const struct marked_world *world,
                                   enum gray_reader_kind kind)
{
    struct gray_runtime *runtime;

    assert_int_equal(gray_runtime_open(&runtime, world->path, kind,
                                       kind != GRAY_READER_CLI, NULL),
                     0);
    assert_non_null(gray_runtime_view(runtime, NULL));
    assert_non_null(runtime->drained);
    return runtime;
}

void marked_begin(struct marked_world *world, const struct marked_kind *kind,
                  enum gray_reader_kind reader)
{
    memset(world, 0, sizeof(*world));
    folder_new(world->path);
    publish(world, kind);
    assert_int_equal(gray_folder_open(&world->folder, world->path, true, NULL),
                     0);
    world->drained = map_drained(world);
    if (kind->stickiness == NULL || strcmp(kind->stickiness, "none") != 0) {
        marked_map(world);
    }
    world->runtime = marked_reader(world, reader);
}

void marked_end(struct marked_world *world)
{
    gray_runtime_close(world->runtime);
    gray_mark_table_close(&world->tables.table);
    munmap(world->drained, sizeof(*world->drained));
    gray_folder_close(&world->folder);
    folder_remove(world->path);
}

void marked_publish(struct marked_world *world, const struct marked_kind *kind)
{
    struct gray_runtime_set *set = NULL;

    publish(world, kind);
    assert_int_equal(gray_runtime_load(world->runtime, &set, NULL), 0);
    gray_runtime_swap(world->runtime, set);
}

/* ---- requests --------------------------------------------------------------- */

static void feed(struct marked_request *request)
{
    const struct gray_view *view =
        gray_runtime_view(request->marked.runtime, NULL);
    struct gray_str name = { "cookie", 6 };

    request->marked.view = view;
    gray_input_begin(&request->in, view->policy, MARKED_NOW, 1);
    gray_input_header(
        &request->in, gray_hash_name(name.data, name.length), name,
        (struct gray_str){ request->unit, (uint32_t)strlen(request->unit) });
}

void request_begin(struct marked_request *request, struct gray_runtime *runtime,
                   const char *unit)
{
    snprintf(request->unit, sizeof(request->unit), "uid=%s", unit);
    gray_marked_begin(&request->marked, runtime,
                      gray_runtime_view(runtime, NULL), MARKED_NOW);
}

enum gray_marked_now request_decide(struct marked_request *request)
{
    feed(request);
    return gray_decide_marked(&request->marked, 0, &request->in,
                              &request->colour, NULL);
}

void request_ask(struct marked_request *request, struct gray_runtime *runtime,
                 const char *unit)
{
    request_begin(request, runtime, unit);
    assert_int_equal(request_decide(request), GRAY_MARKED_DECIDED);
}

bool request_in(const struct marked_request *request)
{
    return request->colour.arm_count == 1;
}

enum gray_reason request_reason(const struct marked_request *request)
{
    return (enum gray_reason)request->colour.reason;
}

/* ---- grayd's part ------------------------------------------------------------ */

static struct gray_str text(const char *unit)
{
    return (struct gray_str){ unit, (uint32_t)strlen(unit) };
}

void writer_lives(struct marked_world *world, enum gray_writer_state state)
{
    int64_t now = runtime_clock_ns(CLOCK_BOOTTIME);

    world->drained->state = state;
    __atomic_store_n(&world->drained->beat, (uint64_t)now, __ATOMIC_RELEASE);
    __atomic_store_n(&world->folder.control->lease_deadline,
                     now + INT64_C(10000000000), __ATOMIC_RELEASE);
}

/* After the commit: PENDING, or what is not durable, is made so; where nobody
 * stands the mark is made; what is void, or somebody else's, stays. */
static void settle(struct marked_world *world,
                   const struct gray_ring_record *record, struct gray_str unit)
{
    struct gray_mark_key key =
        gray_mark_key(world->tables.table.file, record->space, unit);
    uint64_t to = (record->value & ~UINT64_C(7)) | record->state |
                  GRAY_SLOT_DURABLE;
    uint64_t found = 0, value = record->value;
    int moved;

    if (record->kind == GRAY_RING_ASKED) {
        if (world->refuses) {
            return;
        }
        value = 0;
    }
    moved = gray_mark_move(&world->tables, key, value, to, GRAY_BY_WRITER,
                           &found);
    if (moved == -ENOENT || (moved == 1 && found == 0)) {
        gray_mark_move(&world->tables, key, 0, to, GRAY_BY_WRITER, &found);
    }
}

uint32_t writer_round(struct marked_world *world,
                      const struct gray_runtime *runtime)
{
    static uint8_t copied[GRAY_RING_SIZE];
    struct gray_drained_ring *ring =
        &world->drained->rings[gray_ring_number(runtime->kind,
                                                runtime->slot.number)];
    uint64_t head = gray_ring_head(runtime);
    struct gray_ring_record record;
    struct gray_ring_copy copy;
    struct gray_str unit;
    uint32_t count = 0;
    int64_t span;

    while ((span = gray_ring_span(ring->tail, head)) > 0) {
        assert_int_equal(pread(runtime->slot.fd, copied, (size_t)span,
                               (off_t)(offsetof(struct reader_file, ring) +
                                       offsetof(struct gray_ring, bytes) +
                                       ring->tail % GRAY_RING_SIZE)),
                         span);
        copy = (struct gray_ring_copy){ copied, ring->tail,
                                        ring->tail + (uint64_t)span };
        while (gray_ring_read(&copy, &record, &unit) == 1) {
            assert_int_equal(record.scope, MARKED_SCOPE);
            world->last_now = record.now;
            settle(world, &record, unit);
            count++;
        }
        assert_int_equal(copy.at, copy.end);
        ring->instance = runtime->slot.file->ring.instance;
        __atomic_store_n(&ring->tail, copy.at, __ATOMIC_RELEASE);
    }
    assert_int_equal(span, 0);
    return count;
}

void word_set(struct marked_world *world, enum gray_word word)
{
    assert_int_equal(
        gray_word_set(&world->folder, MARKED_SCOPE, word, NULL, NULL), 0);
}

uint64_t slot_of(const struct marked_world *world, const char *unit)
{
    uint64_t value = 0;

    gray_mark_find(&world->tables,
                   gray_mark_key(world->tables.table.file, 0, text(unit)),
                   &value);
    return value;
}

void slot_put(const struct marked_world *world, const char *unit,
              enum gray_slot_state state)
{
    uint64_t found = 0;

    assert_int_equal(
        gray_mark_take(&world->tables,
                       gray_mark_key(world->tables.table.file, 0, text(unit)),
                       gray_mark_value(world->tables.table.file, state, 1, 0,
                                       world->revision, MARKED_NOW + 120000),
                       &found),
        0);
}

void slot_revoke(const struct marked_world *world, const char *unit)
{
    struct gray_mark_key key =
        gray_mark_key(world->tables.table.file, 0, text(unit));
    uint64_t in, found = 0;

    slot_put(world, unit, GRAY_SLOT_IN);
    in = slot_of(world, unit);
    assert_int_equal(gray_mark_move(&world->tables, key, in,
                                    (in & ~UINT64_C(7)) | GRAY_SLOT_REVOKED |
                                        GRAY_SLOT_DURABLE,
                                    GRAY_BY_WRITER, &found),
                     0);
}

uint64_t event_count(const struct gray_runtime *runtime, enum gray_event event)
{
    return runtime->slot.file->events[event];
}
