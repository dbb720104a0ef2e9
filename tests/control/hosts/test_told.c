/* SPDX-License-Identifier: Apache-2.0
 * test_told.c - copies of hosts' journals: once each, counted once, compared.
 *
 * Read next: control/hosts/told.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/hosts/told.h"
#include "runtime/marks.h"
#include "tests/runtime/folder.h"

#define SCOPE UINT64_C(0xddcb28fda903dac5)

struct scene {
    char top[64];
    struct told *told;
};

static void reopen(struct scene *scene)
{
    struct gray_problem problem = { 0 };

    told_close(scene->told);
    scene->told = NULL;
    if (told_open(&scene->told, scene->top, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
}

static void scene_new(struct scene *scene)
{
    *scene = (struct scene) { .told = NULL };
    folder_new(scene->top);
    reopen(scene);
}

static void scene_end(struct scene *scene)
{
    told_close(scene->told);
    folder_remove(scene->top);
}

static struct admission record(const char *unit, uint8_t state)
{
    struct admission made = { .scope = SCOPE, .state = state, .attempt = 1,
                              .kind = "admit", .at = 5, .reason = "share" };

    made.unit_length = (uint32_t)strlen(unit);
    memcpy(made.unit, unit, made.unit_length);
    return made;
}

static int put(struct scene *scene, const char *host, uint64_t after,
               const struct admission *records, size_t count,
               uint64_t *ret_through)
{
    return told_put(scene->told, host, "j1", after, records, count,
                    ret_through, NULL);
}

/* One more record of a host whose journal has `after` so far. */
static void one(struct scene *scene, const char *host, uint64_t after,
                struct admission made)
{
    uint64_t through = 0;

    assert_int_equal(put(scene, host, after, &made, 1, &through), 0);
    assert_int_equal(through, after + 1);
}

static void counts_are(struct scene *scene, int in, int out, int conflicts)
{
    json_t *counts = told_counts(scene->told, SCOPE);

    assert_int_equal(json_integer_value(json_object_get(counts, "in")), in);
    assert_int_equal(json_integer_value(json_object_get(counts, "out")), out);
    assert_int_equal(json_integer_value(json_object_get(counts, "conflicts")),
                     conflicts);
    json_decref(counts);
}

/* How many records of a unit are here. */
static void told_is(struct scene *scene, const char *unit, size_t records)
{
    json_t *found = told_unit(scene->told, SCOPE, 0, unit);

    assert_int_equal(json_array_size(json_object_get(found, "history")),
                     records);
    json_decref(found);
}

static void what_is_sent_twice_is_kept_once(void **state)
{
    struct scene scene;
    struct admission three[] = { record("1", GRAY_SLOT_IN),
                                 record("2", GRAY_SLOT_IN),
                                 record("3", GRAY_SLOT_OUT) };
    uint64_t through = 0;

    (void)state;
    scene_new(&scene);
    assert_int_equal(put(&scene, "h1", 0, three, 3, &through), 0);
    assert_int_equal(through, 3);
    counts_are(&scene, 2, 1, 0);
    /* Again, whole and in part, and beyond a restart. */
    assert_int_equal(put(&scene, "h1", 0, three, 3, &through), 0);
    reopen(&scene);
    assert_int_equal(put(&scene, "h1", 1, three, 2, &through), 0);
    assert_int_equal(through, 3);
    counts_are(&scene, 2, 1, 0);
    /* Half of it new. */
    assert_int_equal(put(&scene, "h1", 2, &three[2], 1, &through), 0);
    assert_int_equal(put(&scene, "h1", 2, &three[1], 2, &through), 0);
    assert_int_equal(through, 4);
    counts_are(&scene, 2, 1, 0); /* unit 3 once more, as it stands */
    told_is(&scene, "3", 2);
    told_is(&scene, "2", 1);
    told_is(&scene, "1", 1);
    assert_int_equal(told_through(scene.told, "h1", "j1", &through, NULL), 0);
    assert_int_equal(through, 4);
    scene_end(&scene);
}

static void a_gap_is_refused_with_the_number_that_is_here(void **state)
{
    struct scene scene;
    struct admission made = record("1", GRAY_SLOT_IN);
    uint64_t through = 99;

    (void)state;
    scene_new(&scene);
    assert_int_equal(put(&scene, "h1", 1, &made, 1, &through), -ERANGE);
    assert_int_equal(through, 0);
    one(&scene, "h1", 0, made);
    assert_int_equal(put(&scene, "h1", 2, &made, 1, &through), -ERANGE);
    assert_int_equal(through, 1);
    counts_are(&scene, 1, 0, 0);
    /* Of another host, and of a journal that was begun anew, each by itself. */
    one(&scene, "h2", 0, made);
    assert_int_equal(told_put(scene.told, "h1", "j2", 0, &made, 1, &through,
                              NULL), 0);
    assert_int_equal(through, 1);
    assert_int_equal(told_through(scene.told, "h3", "j1", &through, NULL), 0);
    assert_int_equal(through, 0);
    scene_end(&scene);
}

static void a_unit_is_counted_once_whoever_told_it(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene);
    one(&scene, "h1", 0, record("7", GRAY_SLOT_IN));
    one(&scene, "h2", 0, record("7", GRAY_SLOT_IN));
    counts_are(&scene, 1, 0, 0);
    one(&scene, "h1", 1, record("7", GRAY_SLOT_REVOKED));
    counts_are(&scene, 1, 0, 0); /* in on h2 still */
    one(&scene, "h2", 1, record("7", GRAY_SLOT_REVOKED));
    counts_are(&scene, 0, 0, 0);
    one(&scene, "h1", 2, record("8", GRAY_SLOT_IN));
    one(&scene, "h1", 3, record("8", GRAY_SLOT_VOID)); /* it never was */
    counts_are(&scene, 0, 0, 0);
    scene_end(&scene);
}

static void who_was_told_two_things_is_found_and_named(void **state)
{
    struct scene scene;
    struct admission b = record("9", GRAY_SLOT_IN);
    struct admission later = record("7", GRAY_SLOT_OUT);
    json_t *found, *row;

    (void)state;
    scene_new(&scene);
    one(&scene, "h1", 0, record("7", GRAY_SLOT_IN));
    one(&scene, "h2", 0, record("7", GRAY_SLOT_OUT));
    counts_are(&scene, 1, 0, 1);
    /* Two variants are two things as well. */
    one(&scene, "h1", 1, record("9", GRAY_SLOT_IN));
    b.variant = 1;
    one(&scene, "h2", 1, b);
    counts_are(&scene, 2, 0, 2);
    found = told_conflicts(scene.told, SCOPE);
    assert_int_equal(json_array_size(found), 2);
    row = json_array_get(found, 0);
    assert_string_equal(json_string_value(json_object_get(row, "unit")), "7");
    assert_int_equal(json_array_size(json_object_get(row, "told")), 2);
    row = json_array_get(json_object_get(row, "told"), 1);
    assert_string_equal(json_string_value(json_object_get(row, "host")),
                        "h2");
    assert_string_equal(json_string_value(json_object_get(row, "state")),
                        "out");
    json_decref(found);
    /* Of two attempts they are not compared; and mended it is none. */
    later.attempt = 2;
    one(&scene, "h2", 2, later);
    counts_are(&scene, 1, 1, 1);
    b.variant = 0;
    one(&scene, "h2", 3, b);
    counts_are(&scene, 1, 1, 0);
    scene_end(&scene);
}

static void an_entity_that_is_settled_anywhere_is_not_open(void **state)
{
    struct scene scene;
    struct admission over = record("7", GRAY_SLOT_OUT);
    json_t *counts, *page;

    (void)state;
    scene_new(&scene);
    one(&scene, "h1", 0, record("7", GRAY_SLOT_OUT));
    one(&scene, "h1", 1, record("8", GRAY_SLOT_OUT));
    over.settled = true;
    one(&scene, "h1", 2, over);
    counts = told_counts(scene.told, SCOPE);
    assert_int_equal(json_integer_value(json_object_get(counts, "out")), 2);
    assert_int_equal(json_integer_value(json_object_get(counts, "settled")),
                     1);
    json_decref(counts);
    page = told_list(scene.told, SCOPE, GRAY_SLOT_OUT, true, 0, 100);
    assert_int_equal(json_array_size(json_object_get(page, "marks")), 1);
    json_decref(page);
    scene_end(&scene);
}

static void all_of_them_are_listed_in_pages(void **state)
{
    struct scene scene;
    uint64_t after = 0, seen = 0;
    json_t *page;

    (void)state;
    scene_new(&scene);
    for (uint64_t i = 0; i < 25; i++) {
        char unit[8];

        snprintf(unit, sizeof(unit), "%d", (int)i);
        one(&scene, i % 2 ? "h1" : "h2", i / 2,
            record(unit, i % 5 ? GRAY_SLOT_IN : GRAY_SLOT_OUT));
    }
    one(&scene, "h2", 13, record("0", GRAY_SLOT_IN)); /* by a repair */
    do {
        page = told_list(scene.told, SCOPE, 0, false, after, 10);
        seen += json_array_size(json_object_get(page, "marks"));
        after =
            (uint64_t)json_integer_value(json_object_get(page, "next"));
        json_decref(page);
    } while (after != 0);
    assert_int_equal(seen, 25);
    page = told_list(scene.told, SCOPE, GRAY_SLOT_OUT, false, 0, 100);
    assert_int_equal(json_array_size(json_object_get(page, "marks")), 4);
    json_decref(page);
    page = told_unit(scene.told, SCOPE, 0, "0");
    assert_int_equal(json_array_size(json_object_get(page, "history")), 2);
    assert_int_equal(json_array_size(json_object_get(page, "hosts")), 1);
    json_decref(page);
    page = told_list(scene.told, SCOPE + 1, 0, false, 0, 100);
    assert_int_equal(json_array_size(json_object_get(page, "marks")), 0);
    json_decref(page);
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_twice_is_kept_once),
        cmocka_unit_test(a_gap_is_refused_with_the_number_that_is_here),
        cmocka_unit_test(a_unit_is_counted_once_whoever_told_it),
        cmocka_unit_test(who_was_told_two_things_is_found_and_named),
        cmocka_unit_test(an_entity_that_is_settled_anywhere_is_not_open),
        cmocka_unit_test(all_of_them_are_listed_in_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
