/* SPDX-License-Identifier: Apache-2.0
 * test_restore.c - a host that was switched off finds what was in force.
 *
 * Read next: control/publish/restore.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/publish/fixture.h"

static int restore(const struct place *place, const char *runtime,
                   struct gray_problem *ret_problem)
{
    return publisher_restore(place->state, runtime, (gid_t)-1, false,
                             ret_problem);
}

static void what_was_in_force_is_in_force(void **state)
{
    struct publisher_word word = {"cart-2", GRAY_WORD_BASELINE};
    struct place place;
    struct publisher *publisher;
    void *keys, *again;
    size_t size, again_size;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 6, NULL, 0);
    host_says(place.runtime, "pay-7", GRAY_WORD_NO_ADMIT);
    revision_put_well(publisher, 7, &word, 1);
    publisher_close(publisher);
    keys = file_bytes(place.runtime, "keys", &size);
    folder_remove(place.runtime); /* the host restarts */
    assert_int_equal(restore(&place, place.runtime, NULL), 0);
    assert_int_equal(revision_found(place.runtime), 7);
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_BASELINE);
    assert_int_equal(word_found(place.runtime, "pay-7"),
                     GRAY_WORD_NO_ADMIT | GRAY_WORD_HOST);
    again = file_bytes(place.runtime, "keys", &again_size);
    assert_int_equal(again_size, size);
    /* Secrets and numbers of keys; the header counts anew. */
    assert_memory_equal((char *)again + sizeof(struct gray_file_header),
                        (char *)keys + sizeof(struct gray_file_header),
                        size - sizeof(struct gray_file_header));
    free(keys);
    free(again);
    /* And grayd goes on from there. */
    publisher = publisher_new(&place);
    assert_int_equal(publisher_revision(publisher), 7);
    revision_put_well(publisher, 8, NULL, 0);
    assert_int_equal(revision_found(place.runtime), 8);
    publisher_close(publisher);
    place_remove(&place);
}

/* Published for an instant of the future or of the past. */
static void put_for(struct publisher *publisher, uint64_t revision, int64_t at)
{
    struct gray_published done;
    struct gray_compiled compiled;

    revision_compile(revision, &compiled);
    ((struct gray_file_header *)(void *)compiled.policy.data)->effective_at =
        at;
    assert_int_equal(publisher_put(publisher, &compiled, NULL, 0, &done, NULL),
                     0);
    gray_compiled_free(&compiled);
}

static struct gray_named named_in(const char *runtime, int64_t now)
{
    struct gray_folder folder;
    struct gray_named named;

    assert_int_equal(gray_folder_open(&folder, runtime, false, NULL), 0);
    gray_folder_named(&folder, now, &named);
    gray_folder_close(&folder);
    return named;
}

/* Who starts before the instant needs what is in force until then. */
static void what_waited_waits_on(void **state)
{
    int64_t instant = gray_wall_ms() + 3600000;
    struct place place;
    struct publisher *publisher;
    struct gray_named named;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 6, NULL, 0);
    put_for(publisher, 7, instant);
    publisher_close(publisher);
    folder_remove(place.runtime); /* the host restarts before the instant */
    assert_int_equal(restore(&place, place.runtime, NULL), 0);
    assert_int_equal(revision_found(place.runtime), 6);
    named = named_in(place.runtime, gray_wall_ms());
    assert_int_equal(named.next_revision, 7);
    assert_int_equal(named.next_at, instant);
    named = named_in(place.runtime, instant);
    assert_int_equal(named.policy, 2);
    assert_int_equal(named.fleet, 2);
    /* A publication that takes its place takes it out of last-good, too. */
    publisher = publisher_new(&place);
    assert_int_equal(publisher_revision(publisher), 6);
    revision_put_well(publisher, 8, NULL, 0);
    publisher_close(publisher);
    folder_remove(place.runtime);
    assert_int_equal(restore(&place, place.runtime, NULL), 0);
    assert_int_equal(revision_found(place.runtime), 8);
    assert_int_equal(named_in(place.runtime, instant).next, 0);
    place_remove(&place);
}

/* The instant comes while the host is off: nobody is left to turn it. */
static void what_waited_is_in_force_after_its_instant(void **state)
{
    int64_t instant = gray_wall_ms() + 300;
    struct place place;
    struct publisher *publisher;
    struct gray_published done = {0};

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 6, NULL, 0);
    put_for(publisher, 7, instant);
    folder_remove(place.runtime);
    while (gray_wall_ms() <= instant) {
        usleep(10000); /* bounded wait: the instant */
    }
    publisher_close(publisher);
    assert_int_equal(restore(&place, place.runtime, NULL), 0);
    assert_int_equal(revision_found(place.runtime), 7);
    assert_int_equal(named_in(place.runtime, gray_wall_ms()).next, 0);
    /* And grayd writes it down, where it lay there at the instant. */
    publisher = publisher_new(&place);
    put_for(publisher, 8, gray_wall_ms() + 200);
    while (revision_found(place.runtime) == 7) {
        usleep(10000); /* bounded wait: the instant */
    }
    assert_int_equal(publisher_revision(publisher), 8);
    assert_int_equal(publisher_turned(publisher, 3, NULL, 0, &done, NULL), 0);
    assert_int_equal(done.policy_generation, 3);
    publisher_close(publisher);
    assert_int_equal(restore_elsewhere(&place), 8);
    assert_int_equal(named_in(place.other, 0).next, 0);
    place_remove(&place);
}

static void an_empty_folder_is_filled(void **state)
{
    struct gray_publish make = {.group = (gid_t)-1};
    struct place place;
    struct publisher *publisher;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 3, NULL, 0);
    publisher_close(publisher);
    assert_int_equal(mkdir(place.other, 0755), 0); /* as systemd makes it */
    assert_int_equal(restore_elsewhere(&place), 3);
    folder_remove(place.other);
    /* Made by somebody already, with keys of its own, and no policy. */
    assert_int_equal(gray_publish(place.other, &make, NULL, NULL), 0);
    assert_int_equal(restore_elsewhere(&place), 3);
    place_remove(&place);
}

static void a_living_folder_is_left_alone(void **state)
{
    struct gray_problem problem = {0};
    struct place place;
    struct publisher *publisher;
    void *before, *after;
    size_t size, after_size;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 3, NULL, 0);
    publisher_close(publisher);
    shop_publish(place.other, "5", 77);
    before = file_bytes(place.other, "control", &size);
    assert_int_equal(restore(&place, place.other, &problem), 1);
    after = file_bytes(place.other, "control", &after_size);
    assert_int_equal(size, after_size);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
    place_remove(&place);
}

static void nothing_to_restore(void **state)
{
    struct gray_problem problem = {0};
    struct publisher *publisher;
    struct place place;

    (void)state;
    place_new(&place);
    assert_int_equal(restore(&place, place.other, &problem), 1);
    publisher = publisher_new(&place);
    publisher_close(publisher);
    assert_int_equal(restore(&place, place.other, &problem), 1);
    assert_int_equal(access(place.other, F_OK), -1);
    place_remove(&place);
}

static void not_beside_a_grayd_that_runs(void **state)
{
    struct gray_problem problem = {0};
    struct publisher *publisher;
    struct place place;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 3, NULL, 0);
    publisher_close(publisher);
    folder_remove(place.runtime);
    publisher = publisher_new(&place); /* runs, and has not published yet */
    assert_true(restore(&place, place.runtime, &problem) < 0);
    assert_string_equal(problem.code, "in-use");
    assert_int_equal(publisher_revision(publisher), 0);
    publisher_close(publisher);
    place_remove(&place);
}

/* A folder of somebody else's making is not written to. */
static void a_folder_that_is_damaged_is_refused(void **state)
{
    struct gray_problem problem = {0};
    struct publisher *publisher;
    struct place place;

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 3, NULL, 0);
    publisher_close(publisher);
    assert_int_equal(mkdir(place.other, 0755), 0);
    file_replace(place.other, "control", "nonsense", 8);
    assert_true(restore(&place, place.other, &problem) < 0);
    assert_true(strlen(problem.sentence) > 10);
    place_remove(&place);
}

static void secrets_are_nobody_elses(void **state)
{
    struct publisher *publisher;
    struct place place;
    struct stat facts;
    char path[128];

    (void)state;
    place_new(&place);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 3, NULL, 0);
    publisher_close(publisher);
    snprintf(path, sizeof(path), "%s/last-good/keys", place.state);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(stat(place.state, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    assert_int_equal(restore_elsewhere(&place), 3);
    snprintf(path, sizeof(path), "%s/keys", place.other);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_in_force_is_in_force),
        cmocka_unit_test(what_waited_waits_on),
        cmocka_unit_test(what_waited_is_in_force_after_its_instant),
        cmocka_unit_test(an_empty_folder_is_filled),
        cmocka_unit_test(a_living_folder_is_left_alone),
        cmocka_unit_test(nothing_to_restore),
        cmocka_unit_test(not_beside_a_grayd_that_runs),
        cmocka_unit_test(a_folder_that_is_damaged_is_refused),
        cmocka_unit_test(secrets_are_nobody_elses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
