/* SPDX-License-Identifier: Apache-2.0
 * test_status.c - what is wanted and what the host does, side by side.
 *
 * Read next: control/read/status.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/runtime.h"
#include "tests/control/read/fixture.h"
#include "tests/runtime/folder.h"

static void fill(struct desk *desk)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_published published;
    struct gray_problem problem = { 0 };

    desk_open(desk);
    put_shop(desk);
    put_release(desk, NOW, "cart-2", 100000);
    if (gray_publish(desk->runtime, &nothing, &published, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    shop_publish(desk->runtime, "10", 3);
    atomic_store(&desk->grayd.revision_in_force, 3);
}

static struct gray_runtime *reader_new(const struct desk *desk)
{
    struct gray_runtime *reader = NULL;

    assert_int_equal(gray_runtime_open(&reader, desk->runtime,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    return reader;
}

/* Counts requests of cart on the routes of an arm ("": the baseline). */
static void count(struct gray_runtime *reader, const char *arm,
                  enum gray_class traffic_class, uint64_t requests)
{
    for (uint32_t route = 0; route < 16; route++) {
        struct gray_series *series =
            gray_counters_series(reader, route, traffic_class);

        if (series != NULL && strcmp(series->service, "cart") == 0 &&
            strcmp(series->arm, arm) == 0 && series->lane[0] == '\0') {
            series->started += requests;
            return;
        }
    }
    fail_msg("no route of arm \"%s\"", arm);
}

static const json_t *first_of(const json_t *body, const char *key)
{
    return json_array_get(json_object_get(body, key), 0);
}

static void wanted_and_observed(void **state)
{
    struct gray_runtime *reader;
    struct desk desk;
    const json_t *row;
    json_t *body;

    (void)state;
    fill(&desk);
    reader = reader_new(&desk);
    body = ask(&desk, "/v1/status", 200);
    row = first_of(body, "observed");
    assert_true(json_is_null(json_object_get(row, "observedPercent")));
    assert_true(json_real_value(json_object_get(row, "wantedPercent")) ==
                10.0);
    json_decref(body);
    count(reader, "", GRAY_CLASS_LIVE, 93);
    count(reader, "cart-2", GRAY_CLASS_LIVE, 7);
    count(reader, "cart-2", GRAY_CLASS_LOAD, 1000); /* rehearses */
    body = ask(&desk, "/v1/status", 200);
    row = first_of(body, "observed");
    assert_string_equal(text_at(row, "release"), "cart-2");
    assert_int_equal(number_at(row, "requests"), 7);
    assert_int_equal(number_at(row, "of"), 100);
    assert_true(json_real_value(json_object_get(row, "observedPercent")) ==
                7.0);
    assert_int_equal(number_at(body, "revision"), 3);
    assert_int_equal(number_at(body, "revisionInForce"), 3);
    assert_int_equal(number_at(body, "revisionInFolder"), 3);
    assert_string_equal(text_at(first_of(body, "releases"), "state"),
                        "Progressing");
    assert_int_equal(json_array_size(json_object_get(body, "routes")), 4);
    json_decref(body);
    desk.scopes[0] = "pay"; /* counters of others are not told either */
    body = ask(&desk, "/v1/status", 200);
    assert_int_equal(json_array_size(json_object_get(body, "routes")), 0);
    json_decref(body);
    gray_runtime_close(reader);
    desk_close(&desk);
}

static void who_is_late(void **state)
{
    struct gray_runtime *reader;
    struct desk desk;
    json_t *body;

    (void)state;
    fill(&desk);
    reader = reader_new(&desk);
    body = ask(&desk, "/v1/status", 200);
    assert_int_equal(json_array_size(json_object_get(body, "late")), 0);
    assert_int_equal(json_array_size(json_object_get(body, "readers")), 1);
    json_decref(body);
    shop_publish(desk.runtime, "20", 4);
    body = ask(&desk, "/v1/status", 200);
    assert_string_equal(json_string_value(first_of(body, "late")),
                        text_at(first_of(body, "readers"), "id"));
    assert_int_equal(number_at(body, "revisionInFolder"), 4);
    json_decref(body);
    gray_runtime_close(reader);
    desk_close(&desk);
}

static void words_of_the_host_and_bypass(void **state)
{
    struct gray_folder folder;
    struct desk desk;
    json_t *body;

    (void)state;
    fill(&desk);
    body = ask(&desk, "/v1/status", 200);
    assert_int_equal(json_array_size(json_object_get(body, "hostWords")), 0);
    assert_true(json_is_false(json_object_get(body, "bypass")));
    json_decref(body);
    assert_int_equal(gray_folder_open(&folder, desk.runtime, true, NULL), 0);
    assert_int_equal(gray_word_set(&folder, gray_hash_scope("cart-2", 6),
                                   GRAY_WORD_KILLED | GRAY_WORD_HOST, NULL,
                                   NULL),
                     0);
    assert_int_equal(gray_bypass_set(&folder, true, NULL), 0);
    gray_folder_close(&folder);
    body = ask(&desk, "/v1/status", 200);
    assert_string_equal(text_at(first_of(body, "hostWords"), "release"),
                        "cart-2");
    assert_string_equal(text_at(first_of(body, "hostWords"), "word"),
                        "killed");
    assert_true(json_is_true(json_object_get(body, "bypass")));
    json_decref(body);
    desk.scopes[0] = "pay";
    body = ask(&desk, "/v1/status", 200);
    assert_int_equal(json_array_size(json_object_get(body, "hostWords")), 0);
    assert_int_equal(json_array_size(json_object_get(body, "releases")), 0);
    assert_int_equal(json_array_size(json_object_get(body, "observed")), 0);
    assert_int_equal(json_array_size(json_object_get(body, "routes")), 0);
    json_decref(body);
    desk_close(&desk);
}

/* Whoever asks learns what grayd knows, and what is wrong with the folder. */
static void a_folder_that_is_gone(void **state)
{
    struct desk desk;
    json_t *body;

    (void)state;
    desk_open(&desk);
    put_shop(&desk);
    put_release(&desk, NOW, "cart-2", 100000);
    body = ask(&desk, "/v1/status", 200);
    assert_string_equal(
        text_at(json_object_get(body, "problem"), "code"),
        "unreadable-folder");
    assert_int_equal(number_at(body, "revision"), 3);
    assert_int_equal(json_array_size(json_object_get(body, "releases")), 1);
    json_decref(body);
    desk_close(&desk);
}

static void effects_that_wait(void **state)
{
    struct store_effect effect = { "publish", "{}" };
    struct store_batch batch = { .at = NOW, .effects = &effect,
                                 .effect_count = 1 };
    struct gray_problem problem = { 0 };
    struct desk desk;
    uint64_t revision;
    json_t *body;

    (void)state;
    fill(&desk);
    batch.expected_revision = desk.revision;
    assert_int_equal(store_commit(desk.store, &batch, &revision, &problem), 0);
    body = ask(&desk, "/v1/status", 200); /* in force already */
    assert_int_equal(json_array_size(json_object_get(body, "pending")), 0);
    json_decref(body);
    atomic_store(&desk.grayd.revision_in_force, 2);
    body = ask(&desk, "/v1/status", 200);
    assert_string_equal(json_string_value(first_of(body, "pending")),
                        "publish of revision 3");
    json_decref(body);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wanted_and_observed),
        cmocka_unit_test(who_is_late),
        cmocka_unit_test(words_of_the_host_and_bypass),
        cmocka_unit_test(a_folder_that_is_gone),
        cmocka_unit_test(effects_that_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
