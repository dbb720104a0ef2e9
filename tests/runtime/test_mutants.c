/* SPDX-License-Identifier: Apache-2.0
 * test_mutants.c - 10,000 damaged snapshots, fleets and controls: the last
 * good one stays, it is said, and nobody falls.
 *
 * Why: a checksum finds chance damage, so most mutants here carry a right one
 * and must be judged by their records.  A mutant that is still sound is no
 * failure: it must then decide without a crash.  Numbers come from a fixed
 * seed.
 * Read next: runtime/part.c, engine/snapshot.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

#define POLICY_MUTANTS 7000u
#define FLEET_MUTANTS 2000u
#define CONTROL_MUTANTS 1000u

static uint64_t random_state = 20261121;

static uint64_t draw(uint64_t below)
{
    random_state += 0x9e3779b97f4a7c15u;
    return gray_mix64(random_state) % below;
}

struct world {
    char path[64];
    struct gray_runtime *runtime;
    struct gray_folder folder;
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char text[4096];

    folder_new(world->path);
    snprintf(text, sizeof(text),
             "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n"
             "  v1: {endpoints: ['127.0.0.1:9101', '[::1]:9103']}\n"
             "  v2: {endpoints: ['127.0.0.1:9102', 'unix:/run/cart.sock']}\n"
             "---\nkind: List\nname: testers\nids: ['tester', '1001']\n"
             "---\nkind: Release\nname: cart-2\n"
             "services: [{service: cart, version: v2}]\nunit: {cookie: uid}\n"
             "admission:\n  share: 1\n  allow: [{list: testers}]\n"
             "  deny: [{header: {name: x-bot, regex: 'a+b*|c'}}]\n"
             "  match: [{query: {name: q, in: [a, b, c]}},\n"
             "    {path: {prefix: /cart}}, {idTail: ['00', '01']},\n"
             "    {time: {hours: '09:00-18:00', zone: Asia/Shanghai}},\n"
             "    {source: {cidr: [10.0.0.0/8]}}]\n"
             "---\nkind: Lane\nname: red\nservices: [cart]\n"
             "rules: [{name: all, when: {header: {name: x-l, exact: r}}}]\n");
    assert_int_equal(documents_publish(world->path, text, 1, NULL), 0);
    assert_int_equal(gray_folder_open(&world->folder, world->path, true, NULL),
                     0);
    assert_int_equal(gray_runtime_open(&world->runtime, world->path,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    assert_int_equal(view_admits(world->runtime, "tester"), 1);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_runtime_close(world->runtime);
    gray_folder_close(&world->folder);
    folder_remove(world->path);
    free(world);
    return 0;
}

/* One way of damage; the size afterwards. */
static size_t mutate(uint8_t *bytes, size_t size, size_t room)
{
    struct gray_file_header *header = (void *)bytes;
    size_t i, count;

    switch (draw(8)) {
    case 0: /* truncated */
        return (size_t)draw(size);
    case 1: /* oversized, with a length that says so or not */
        count = (size_t)draw(room - size) + 1;
        memset(bytes + size, (int)draw(256), count);
        size += count;
        if (draw(2)) {
            header->length = size;
        }
        break;
    case 2: /* of the future */
        header->layout = (uint32_t)draw(4) + 2;
        break;
    case 3: /* bytes anywhere */
        for (count = draw(8) + 1; count > 0; count--) {
            bytes[draw(size)] = (uint8_t)draw(256);
        }
        break;
    case 4: /* a bit */
        bytes[draw(size)] ^= (uint8_t)(1u << draw(8));
        break;
    case 5: /* a number that is just wrong, behind the header */
        i = sizeof(*header) + (size_t)draw((size - sizeof(*header)) / 4) * 4;
        if (i + 4 <= size) {
            uint32_t value;

            memcpy(&value, bytes + i, 4);
            value = draw(2) ? value + 1 : (uint32_t)draw(UINT32_MAX);
            memcpy(bytes + i, &value, 4);
        }
        break;
    case 6: /* a run of zeros or ones */
        i = (size_t)draw(size);
        count = (size_t)draw(64);
        memset(bytes + i, draw(2) ? 0 : 255,
               count < size - i ? count : size - i);
        break;
    default: /* a piece moved */
        i = (size_t)draw(size);
        count = (size_t)draw(size - i);
        memmove(bytes + draw(size - count), bytes + i, count);
        break;
    }
    return size;
}

static void try_mutants(struct world *world, const char *name, uint32_t mutants,
                        uint64_t *generation)
{
    size_t size, room, made;
    uint8_t *good = file_bytes(world->path, name, &size);
    uint32_t i, refused = 0;
    uint8_t *bytes;

    room = size + 8192;
    bytes = calloc(1, room);
    for (i = 0; i < mutants; i++) {
        struct gray_file_header *header = (void *)bytes;
        struct gray_runtime_set *set;
        struct gray_runtime *fresh;

        memset(bytes, 0, room);
        memcpy(bytes, good, size);
        header->generation = *generation + 1;
        made = mutate(bytes, size, room);
        if (made >= sizeof(*header) && draw(8) != 0) {
            header->checksum = runtime_file_checksum(bytes, made);
        }
        file_replace(world->path, name, bytes, made);
        *generation += 1;
        assert_true(gray_runtime_stale(world->runtime));
        gray_runtime_load(world->runtime, &set, NULL);
        if (gray_runtime_refusal(world->runtime)->code != NULL) {
            refused++;
            assert_true(world->runtime->slot.file->refusal[0] != '\0');
        } else {
            assert_non_null(set);
        }
        /* What is sound is tried and let go; the good one is kept. */
        if (set != NULL) {
            struct gray_runtime_set *before = runtime_exchange(
                world->runtime, set);

            view_admits(world->runtime, "tester");
            gray_runtime_set_free(
                runtime_exchange(world->runtime, before));
        }
        assert_int_equal(view_admits(world->runtime, "tester"), 1);
        if (i % 16 == 0) { /* and what starts now falls back, or has none */
            assert_int_equal(gray_runtime_open(&fresh, world->path,
                                               GRAY_READER_CLI, false, NULL),
                             0);
            view_admits(fresh, "tester");
            gray_runtime_close(fresh);
        }
    }
    print_message("%s: %u of %u mutants refused\n", name, refused, mutants);
    assert_true(refused > mutants / 2);
    free(bytes);
    free(good);
}

static void mutants_of_the_policy(void **state)
{
    struct world *world = *state;

    try_mutants(world, "policy.snap", POLICY_MUTANTS,
                &world->folder.control->policy_generation);
}

static void mutants_of_the_fleet(void **state)
{
    struct world *world = *state;

    try_mutants(world, "fleet.snap", FLEET_MUTANTS,
                &world->folder.control->fleet_generation);
}

/* `control` is mapped by whoever runs; who starts must refuse a bad one, and
 * with wild numbers in it nobody falls. */
static void mutants_of_control(void **state)
{
    struct world *world = *state;
    size_t size, room, made;
    uint8_t *good = file_bytes(world->path, "control", &size), *bytes;
    uint32_t i, opened = 0;

    room = size + 8192;
    bytes = calloc(1, room);
    for (i = 0; i < CONTROL_MUTANTS; i++) {
        struct gray_problem problem = { NULL, "", 0 };
        struct gray_runtime *fresh;

        memcpy(bytes, good, size);
        if (draw(4) == 0) { /* near the top is where the numbers are */
            bytes[draw(192)] = (uint8_t)draw(256);
            made = size;
        } else {
            made = mutate(bytes, size, room);
        }
        file_replace(world->path, "control", bytes, made);
        if (gray_runtime_open(&fresh, world->path, GRAY_READER_CLI, false,
                              &problem) == 0) {
            opened++;
            view_admits(fresh, "tester");
            gray_runtime_stale(fresh);
            gray_runtime_close(fresh);
        } else {
            assert_non_null(problem.code);
        }
        free(gray_status_json(world->path, NULL));
        assert_int_equal(view_admits(world->runtime, "tester"), 1);
    }
    print_message("control: %u of %u mutants could be opened\n", opened, i);
    assert_true(opened > 0 && opened < CONTROL_MUTANTS);
    free(bytes);
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(mutants_of_the_policy),
        WITH_WORLD(mutants_of_the_fleet),
        WITH_WORLD(mutants_of_control),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
