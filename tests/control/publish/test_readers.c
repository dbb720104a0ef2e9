/* SPDX-License-Identifier: Apache-2.0
 * test_readers.c - who reads this folder, what they have, what they counted.
 *
 * Read next: control/publish/readers.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/publish/fixture.h"

static json_int_t number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value)) {
        fail_msg("%s is no integer", key);
    }
    return json_integer_value(value);
}

/* The route that somebody counted in. */
static const json_t *route_counted(const json_t *status)
{
    const json_t *routes = json_object_get(status, "routes");

    for (size_t i = 0; i < json_array_size(routes); i++) {
        const json_t *route = json_array_get(routes, i);

        if (number_at(route, "started") > 0) {
            return route;
        }
    }
    fail_msg("no route counted anything");
    return NULL;
}

static void acknowledged(const struct place *place, uint64_t generation,
                         size_t live, size_t wanted)
{
    size_t found = 9, yes = 9;

    assert_int_equal(publisher_acknowledged(place->runtime, generation, 0,
                                            &found, &yes, NULL),
                     0);
    assert_int_equal(found, live);
    assert_int_equal(yes, wanted);
}

static void reader_follows(struct gray_runtime *reader)
{
    struct gray_runtime_set *set;

    assert_int_equal(gray_runtime_load(reader, &set, NULL), 0);
    assert_non_null(set);
    gray_runtime_swap(reader, set);
}

static void live_readers_and_routes(void **state)
{
    struct place place;
    struct publisher *publisher;
    struct gray_runtime *reader;
    struct gray_series *series;
    const json_t *row;
    json_t *status;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, NULL, 0);
    acknowledged(&place, 1, 0, 0);
    assert_int_equal(gray_runtime_open(&reader, place.runtime,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    acknowledged(&place, 1, 1, 1);
    revision_put_well(publisher, 2, NULL, 0);
    acknowledged(&place, 2, 1, 0);
    status = publisher_status(place.runtime, NULL);
    row = json_array_get(json_object_get(status, "readers"), 0);
    assert_true(json_is_false(json_object_get(row, "acknowledged")));
    assert_int_equal(number_at(row, "policyGeneration"), 1);
    json_decref(status);
    reader_follows(reader);
    acknowledged(&place, 2, 1, 1);
    series = gray_counters_series(reader, 0, GRAY_CLASS_LIVE);
    assert_non_null(series);
    series->started += 3;
    status = publisher_status(place.runtime, NULL);
    assert_int_equal(number_at(status, "generation"), 2);
    assert_int_equal(number_at(status, "revisionInForce"), 2);
    assert_true(json_is_false(json_object_get(status, "bypass")));
    assert_int_equal(json_array_size(json_object_get(status, "readers")), 1);
    row = json_array_get(json_object_get(status, "readers"), 0);
    assert_int_equal(number_at(row, "pid"), getpid());
    assert_int_equal(number_at(row, "fleetGeneration"), 2);
    assert_true(json_is_true(json_object_get(row, "acknowledged")));
    assert_string_equal(json_string_value(json_object_get(row, "refused")),
                        "");
    row = route_counted(status);
    assert_string_equal(json_string_value(json_object_get(row, "service")),
                        "cart");
    assert_int_equal(number_at(row, "started"), 3);
    assert_int_equal(number_at(row, "inFlight"), 0);
    assert_true(json_is_number(json_object_get(row, "p99Ms")));
    assert_null(json_object_get(row, "p99_ms"));
    json_decref(status);
    gray_runtime_close(reader);
    acknowledged(&place, 0, 0, 0);
    status = publisher_status(place.runtime, NULL);
    assert_int_equal(json_array_size(json_object_get(status, "readers")), 0);
    /* What was counted stays. */
    assert_int_equal(number_at(route_counted(status), "started"), 3);
    json_decref(status);
    publisher_close(publisher);
    place_remove(&place);
}

/* UINT64_MAX asks for the words as they are now. */
static void words_are_acknowledged(void **state)
{
    struct publisher_word word = {"cart-2", GRAY_WORD_KILLED};
    struct publisher *publisher;
    struct gray_runtime *reader;
    struct place place;
    size_t live = 9, yes = 9;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, NULL, 0);
    assert_int_equal(gray_runtime_open(&reader, place.runtime,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    gray_runtime_wake_drain(reader);
    assert_int_equal(publisher_acknowledged(place.runtime, 1, UINT64_MAX,
                                            &live, &yes, NULL),
                     0);
    assert_true(live == 1 && yes == 1);
    assert_int_equal(publisher_words(publisher, &word, 1, NULL), 0);
    assert_int_equal(publisher_acknowledged(place.runtime, 1, UINT64_MAX,
                                            &live, &yes, NULL),
                     0);
    assert_true(live == 1 && yes == 0);
    gray_runtime_wake_drain(reader);
    assert_int_equal(publisher_acknowledged(place.runtime, 1, UINT64_MAX,
                                            &live, &yes, NULL),
                     0);
    assert_true(live == 1 && yes == 1);
    gray_runtime_close(reader);
    publisher_close(publisher);
    place_remove(&place);
}

static void a_folder_that_is_not_there(void **state)
{
    struct gray_problem problem = {0};
    size_t live, yes;

    (void)state;
    assert_null(publisher_status("/dev/shm/no/such/folder", &problem));
    assert_string_equal(problem.code, "unreadable-folder");
    assert_true(strlen(problem.sentence) > 10);
    assert_true(publisher_acknowledged("/dev/shm/no/such/folder", 1, 1, &live,
                                       &yes, &problem) < 0);
}

/* Applications write their own files: every byte may be wrong. */
static void hostile_readers(void **state)
{
    struct place place;
    struct publisher *publisher;
    struct gray_runtime *reader;
    struct gray_series *series;
    char name[300];
    uint64_t dice = 5;
    uint8_t *bytes;
    size_t size;
    json_t *status;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, NULL, 0);
    assert_int_equal(gray_runtime_open(&reader, place.runtime,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    series = gray_counters_series(reader, 0, GRAY_CLASS_LIVE);
    assert_non_null(series);
    status = publisher_status(place.runtime, NULL);
    snprintf(name, sizeof(name), "readers/%s",
             json_string_value(json_object_get(
                 json_array_get(json_object_get(status, "readers"), 0),
                 "id")));
    json_decref(status);
    /* Further than JSON's integers go. */
    reader->slot.file->fleet_generation = UINT64_MAX;
    status = publisher_status(place.runtime, NULL);
    assert_non_null(status);
    assert_true(number_at(json_array_get(json_object_get(status, "readers"), 0),
                          "fleetGeneration") == INT64_MAX);
    assert_int_equal(number_at(status, "badReaders"), 0);
    json_decref(status);
    /* What nobody can have counted is in no sum, and who lives and says so has
     * acknowledged nothing. */
    series->started = UINT64_MAX;
    status = publisher_status(place.runtime, NULL);
    assert_non_null(status);
    assert_int_equal(number_at(status, "badReaders"), 1);
    assert_true(json_is_false(json_object_get(
        json_array_get(json_object_get(status, "readers"), 0),
        "acknowledged")));
    assert_int_equal(json_array_size(json_object_get(status, "routes")), 0);
    json_decref(status);
    bytes = file_bytes(place.runtime, name, &size);
    gray_runtime_close(reader);
    for (unsigned i = 0; i < 60; i++) {
        for (unsigned j = 0; j < 40; j++) {
            dice = gray_mix64(dice + 1);
            bytes[dice % (j % 2 == 0 ? 2600 : size)] = (uint8_t)(dice >> 40);
        }
        file_replace(place.runtime, name, bytes, size - (i % 7 == 6));
        status = publisher_status(place.runtime, NULL);
        assert_non_null(status);
        assert_true(json_is_array(json_object_get(status, "routes")));
        json_decref(status);
    }
    free(bytes);
    publisher_close(publisher);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_readers_and_routes),
        cmocka_unit_test(words_are_acknowledged),
        cmocka_unit_test(a_folder_that_is_not_there),
        cmocka_unit_test(hostile_readers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
