/* SPDX-License-Identifier: Apache-2.0
 * test_client_marks.c - libgray makes its marks by grayd, and keeps one in a row.
 *
 * Why: an application has threads that wait and rows of its own.  The test is
 * grayd's marks thread (marked.h), the library is the shared one.
 * Read next: runtime/client_question.c, client_mark.c.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "runtime/client.h"
#include "tests/runtime/marked.h"

static const struct marked_kind entity = { .stickiness = "entity",
                                           .refuse = true,
                                           .second = true };

struct app {
    struct marked_world world;
    struct gray_client *client;
};

static void app_begin(struct app *app, const struct marked_kind *kind)
{
    marked_begin(&app->world, kind, GRAY_READER_CLI);
    assert_int_equal(gray_client_open(&app->client, app->world.path, NULL), 0);
}

static void app_end(struct app *app)
{
    gray_client_close(app->client);
    marked_end(&app->world);
}

static struct gray_client_verdict release_of(struct gray_client *client,
                                             const char *unit)
{
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = unit };
    struct gray_client_verdict verdict = { .size = sizeof(verdict) };

    assert_int_equal(gray_client_release(client, "order-2", &request, &verdict),
                     0);
    return verdict;
}

static int64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000;
}

/* ---- by grayd -------------------------------------------------------------------- */

struct writer {
    struct app *app;
    pthread_t thread;
    uint32_t stop, records;
    bool drains;
};

static void *write_on(void *context)
{
    struct writer *writer = context;

    while (!__atomic_load_n(&writer->stop, __ATOMIC_ACQUIRE)) {
        writer_lives(&writer->app->world, GRAY_WRITER_OK);
        if (writer->drains) {
            writer->records +=
                writer_round(&writer->app->world, writer->app->client->runtime);
        }
        sched_yield();
    }
    return NULL;
}

static void writer_begin(struct writer *writer, struct app *app, bool drains)
{
    *writer = (struct writer){ .app = app, .drains = drains };
    writer_lives(&app->world, GRAY_WRITER_OK);
    assert_int_equal(pthread_create(&writer->thread, NULL, write_on, writer),
                     0);
}

static void writer_end(struct writer *writer)
{
    __atomic_store_n(&writer->stop, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(writer->thread, NULL), 0);
}

static void the_library_waits_until_grayd_made_the_mark(void **state)
{
    struct marked_kind patient = entity;
    struct gray_client_verdict verdict;
    struct writer writer;
    struct app app;

    (void)state;
    patient.patience = 10000; /* however slow this machine is */
    app_begin(&app, &patient);
    writer_begin(&writer, &app, true);
    verdict = release_of(app.client, "1007");
    assert_int_equal(verdict.in, 1);
    assert_string_equal(verdict.reason, "share");
    assert_true(slot_of(&app.world, "1007") & GRAY_SLOT_DURABLE);
    verdict = release_of(app.client, "1007");
    assert_string_equal(verdict.reason, "mark");
    writer_end(&writer);
    assert_int_equal(writer.records, 1);
    app_end(&app);
}

#define UNITS 300u
struct asker {
    struct gray_client *client;
    uint32_t first;
    uint8_t told[UNITS];
    bool failed;
};

static void *ask_one(void *context)
{
    struct asker *asker = context;
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = "1007" };
    struct gray_client_verdict verdict = { .size = sizeof(verdict) };

    gray_client_release(asker->client, "order-2", &request, &verdict);
    return (void *)(uintptr_t)(verdict.in ? verdict.reason : "outside");
}

/* Asked about another moment: the mark is of now all the same. */
static void a_mark_is_made_now_whatever_moment_is_asked_about(void **state)
{
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = "1007",
                                           .now_ms = 1000 };
    struct gray_client_verdict verdict = { .size = sizeof(verdict) };
    struct marked_kind patient = entity;
    struct writer writer;
    struct app app;

    (void)state;
    patient.patience = 10000;
    app_begin(&app, &patient);
    writer_begin(&writer, &app, true);
    assert_int_equal(gray_client_release(app.client, "order-2", &request,
                                         &verdict),
                     0);
    assert_int_equal(verdict.in, 1);
    writer_end(&writer);
    assert_true(app.world.last_now > wall_ms() - 3600000);
    app_end(&app);
}

/* A thread that waits keeps no policy from being taken, and is told what the
 * mark says, though the new policy says otherwise. */
static void a_policy_comes_while_a_thread_waits(void **state)
{
    struct marked_kind patient = entity;
    struct asker asker = { 0 };
    pthread_t thread;
    struct app app;
    void *reason;
    uint32_t i;

    (void)state;
    patient.patience = 10000;
    app_begin(&app, &patient);
    writer_lives(&app.world, GRAY_WRITER_OK);
    asker.client = app.client;
    assert_int_equal(pthread_create(&thread, NULL, ask_one, &asker), 0);
    for (i = 0; i < 100000 && gray_ring_head(app.client->runtime) == 0; i++) {
        sched_yield();
    }
    patient.share = "0";
    marked_publish(&app.world, &patient);
    for (i = 0; i < 100000 && gray_client_revision(app.client) != 2; i++) {
        sched_yield();
    }
    assert_int_equal(gray_client_revision(app.client), 2);
    assert_int_equal(writer_round(&app.world, app.client->runtime), 1);
    assert_int_equal(pthread_join(thread, &reason), 0);
    assert_string_equal(reason, "mark");
    app_end(&app);
}

#define THREADS 6u
static void *ask_all(void *context)
{
    struct asker *asker = context;

    for (uint32_t i = 0; i < UNITS; i++) {
        uint32_t number = (i * 7 + asker->first) % UNITS;
        struct gray_client_request request = { .size = sizeof(request) };
        struct gray_client_verdict verdict = { .size = sizeof(verdict) };
        char unit[16];

        snprintf(unit, sizeof(unit), "%u", number);
        request.unit = unit;
        if (gray_client_release(asker->client, "order-2", &request, &verdict) !=
            0) {
            asker->failed = true;
        }
        asker->told[number] = verdict.hold ? 3 : verdict.in ? 1 : 2;
    }
    return NULL;
}

static void six_threads_are_told_the_same_of_each_unit(void **state)
{
    struct marked_kind half = entity;
    struct asker *askers = calloc(THREADS, sizeof(*askers));
    pthread_t threads[THREADS];
    struct writer writer;
    uint32_t in = 0;
    struct app app;

    (void)state;
    assert_non_null(askers);
    half.share = "50";
    half.strict = true;
    half.patience = 10000;
    app_begin(&app, &half);
    writer_begin(&writer, &app, true);
    for (uint32_t i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){ .client = app.client, .first = i * 50 };
        assert_int_equal(pthread_create(&threads[i], NULL, ask_all, &askers[i]),
                         0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(askers[i].failed);
    }
    writer_end(&writer);
    for (uint32_t number = 0; number < UNITS; number++) {
        char unit[16];
        uint64_t value;
        uint8_t stands;

        snprintf(unit, sizeof(unit), "%u", number);
        value = slot_of(&app.world, unit);
        stands = gray_slot_state(value) == GRAY_SLOT_IN ? 1 : 2;
        assert_true(value & GRAY_SLOT_DURABLE);
        in += stands == 1 ? 1 : 0;
        for (uint32_t i = 0; i < THREADS; i++) {
            assert_int_equal(askers[i].told[number], stands);
        }
    }
    assert_true(in > UNITS / 3 && in < UNITS * 2 / 3);
    free(askers);
    app_end(&app);
}

static void what_grayd_does_not_answer_holds_an_entity(void **state)
{
    struct marked_kind monotonic = { 0 };
    struct gray_client_verdict verdict;
    struct gray_client_answer answer = { .size = sizeof(answer) };
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = "1008" };
    struct writer writer;
    struct app app;

    (void)state;
    app_begin(&app, &entity);
    writer_begin(&writer, &app, false);
    verdict = release_of(app.client, "1007");
    assert_int_equal(verdict.in, 0);
    assert_int_equal(verdict.hold, 1);
    assert_string_equal(verdict.reason, "mark-hold");
    assert_int_equal(gray_client_ask(app.client, &request, &answer), 0);
    assert_int_equal(answer.hold, 1);
    assert_string_equal(answer.arms, "");
    writer_end(&writer);
    app_end(&app);

    app_begin(&app, &monotonic);
    writer_begin(&writer, &app, false);
    verdict = release_of(app.client, "1007");
    assert_int_equal(verdict.in, 0);
    assert_int_equal(verdict.hold, 0);
    assert_string_equal(verdict.reason, "not-durable");
    assert_int_equal(event_count(app.client->runtime, GRAY_EVENT_MARK_WAITED),
                     1);
    writer_end(&writer);
    app_end(&app);
}

/* ---- stages ---------------------------------------------------------------------- */

static struct gray_client_verdict at_stage(struct app *app, const char *unit,
                                           const char *stage)
{
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = unit,
                                           .stage = stage };
    struct gray_client_verdict verdict = { .size = sizeof(verdict) };

    assert_int_equal(gray_client_release(app->client, "order-2", &request,
                                         &verdict),
                     0);
    return verdict;
}

static void only_the_stage_that_writes_makes_a_mark(void **state)
{
    struct marked_kind staged = entity;
    struct gray_client_verdict verdict;
    struct writer writer;
    struct app app;

    (void)state;
    staged.patience = 10000;
    staged.stages = "[{name: create, writes: true}, {name: pay}]";
    app_begin(&app, &staged);
    writer_begin(&writer, &app, true);
    verdict = at_stage(&app, "1007", "pay");
    assert_int_equal(verdict.in, 0);
    assert_string_equal(verdict.reason, "mark-missing");
    assert_int_equal(slot_of(&app.world, "1007"), 0);
    verdict = at_stage(&app, "1007", "create");
    assert_int_equal(verdict.in, 1);
    verdict = at_stage(&app, "1007", "pay");
    assert_int_equal(verdict.in, 1);
    assert_string_equal(verdict.reason, "mark");
    verdict = at_stage(&app, "1008", "no-such-stage");
    assert_int_equal(verdict.in, 0);
    writer_end(&writer);
    assert_int_equal(writer.records, 1);
    app_end(&app);
}

/* It was built before requests had a stage. */
static void an_older_programs_request_is_understood(void **state)
{
    struct gray_client_request request = {
        .size = offsetof(struct gray_client_request, stage),
        .unit = "1007",
        .stage = (const char *)1, /* not its own */
    };
    struct gray_client_answer answer = { .size = sizeof(answer) };
    struct marked_kind monotonic = { 0 };
    struct app app;

    (void)state;
    app_begin(&app, &monotonic);
    assert_int_equal(gray_client_ask(app.client, &request, &answer), 0);
    assert_string_equal(answer.arms, "order-2");
    request.size += 4;
    assert_int_equal(gray_client_ask(app.client, &request, &answer), -EINVAL);
    request.size += 12;
    assert_int_equal(gray_client_ask(app.client, &request, &answer), -EINVAL);
    app_end(&app);
}

/* ---- in the row ---------------------------------------------------------------- */

static struct gray_client_decision
decide(struct app *app, const char *release, const char *unit,
       enum gray_client_had had, const struct gray_client_mark *mark)
{
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = unit };
    struct gray_client_decision decision = { .size = sizeof(decision) };

    assert_int_equal(gray_client_decide(app->client, release, &request, had,
                                        mark, &decision),
                     0);
    return decision;
}

static void must_say(const struct gray_client_decision *decision,
                     enum gray_client_says says, const char *reason)
{
    if (decision->says != (int32_t)says ||
        strcmp(decision->reason, reason) != 0) {
        fail_msg("says %d, %s", decision->says, decision->reason);
    }
}

static void a_mark_in_the_row_is_told_whatever_the_rules_say(void **state)
{
    struct marked_kind later = entity;
    struct gray_client_decision in, out, again;
    struct app app;

    (void)state;
    app_begin(&app, &entity);
    in = decide(&app, "order-2", "1007", GRAY_CLIENT_ABSENT, NULL);
    must_say(&in, GRAY_CLIENT_IN, "share");
    assert_int_equal(in.store, 1);
    later.share = "0";
    marked_publish(&app.world, &later);
    again = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &in.mark);
    must_say(&again, GRAY_CLIENT_IN, "handed-mark");
    assert_int_equal(again.store, 0);
    out = decide(&app, "order-2", "1008", GRAY_CLIENT_ABSENT, NULL);
    must_say(&out, GRAY_CLIENT_OUT, "out-of-share");
    assert_int_equal(out.store, 1);
    later.share = "100";
    later.deny = "1007";
    marked_publish(&app.world, &later);
    again = decide(&app, "order-2", "1008", GRAY_CLIENT_MARK, &out.mark);
    must_say(&again, GRAY_CLIENT_OUT, "handed-mark");
    again = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &in.mark);
    must_say(&again, GRAY_CLIENT_IN, "handed-mark");
    /* Nothing of it is in the folder, and nobody was asked. */
    assert_int_equal(slot_of(&app.world, "1007"), 0);
    assert_int_equal(gray_ring_head(app.client->runtime), 0);
    app_end(&app);
}

static void a_mark_of_another_row_or_a_damaged_one_is_held(void **state)
{
    struct gray_client_decision in, other;
    struct gray_client_mark none = { { 0 } };
    struct app app;

    (void)state;
    app_begin(&app, &entity);
    in = decide(&app, "order-2", "1007", GRAY_CLIENT_ABSENT, NULL);
    other = decide(&app, "order-2", "1008", GRAY_CLIENT_MARK, &in.mark);
    must_say(&other, GRAY_CLIENT_HOLD, "mark-hold");
    other = decide(&app, "pay-2", "1007", GRAY_CLIENT_MARK, &in.mark);
    must_say(&other, GRAY_CLIENT_HOLD, "mark-hold");
    other = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &none);
    must_say(&other, GRAY_CLIENT_HOLD, "mark-hold");
    for (uint32_t bit = 0; bit < 128; bit++) {
        struct gray_client_mark bad = in.mark;

        bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        other = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &bad);
        must_say(&other, GRAY_CLIENT_HOLD, "mark-hold");
        assert_int_equal(other.store, 0);
    }
    app_end(&app);
}

/* An IN order whose row cannot be read is refused, not run by the old logic. */
static void an_unknown_row_is_refused_and_stores_nothing(void **state)
{
    struct marked_kind plain = entity;
    struct gray_client_decision unknown;
    struct app app;

    (void)state;
    app_begin(&app, &entity);
    unknown = decide(&app, "order-2", "1007", GRAY_CLIENT_UNKNOWN, NULL);
    must_say(&unknown, GRAY_CLIENT_HOLD, "mark-hold");
    assert_int_equal(unknown.store, 0);
    plain.refuse = false;
    marked_publish(&app.world, &plain);
    unknown = decide(&app, "order-2", "1007", GRAY_CLIENT_UNKNOWN, NULL);
    must_say(&unknown, GRAY_CLIENT_OUT, "mark-unknown");
    assert_int_equal(unknown.store, 0);
    app_end(&app);
}

static void only_the_word_and_a_revocation_stand_above_a_row(void **state)
{
    struct gray_client_decision in, again;
    struct app app;

    (void)state;
    app_begin(&app, &entity);
    in = decide(&app, "order-2", "1007", GRAY_CLIENT_ABSENT, NULL);
    word_set(&app.world, GRAY_WORD_NO_ADMIT);
    again = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &in.mark);
    must_say(&again, GRAY_CLIENT_IN, "handed-mark");
    again = decide(&app, "order-2", "1008", GRAY_CLIENT_ABSENT, NULL);
    must_say(&again, GRAY_CLIENT_OUT, "no-admit");
    assert_int_equal(again.store, 1); /* outside, and it stays outside */
    word_set(&app.world, GRAY_WORD_BASELINE);
    again = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &in.mark);
    must_say(&again, GRAY_CLIENT_OUT, "stopped");
    word_set(&app.world, GRAY_WORD_KILLED);
    again = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &in.mark);
    must_say(&again, GRAY_CLIENT_OUT, "killed");
    word_set(&app.world, GRAY_WORD_OPEN);
    slot_revoke(&app.world, "1007");
    again = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &in.mark);
    must_say(&again, GRAY_CLIENT_OUT, "revoked");
    again = decide(&app, "order-2", "1007", GRAY_CLIENT_ABSENT, NULL);
    must_say(&again, GRAY_CLIENT_OUT, "revoked");
    assert_int_equal(again.store, 0);
    app_end(&app);
}

static void without_a_policy_an_in_row_is_held(void **state)
{
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = "1007" };
    struct gray_client_decision in, again = { .size = sizeof(again) };
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_client *bare;
    struct app app;
    char path[80];

    (void)state;
    app_begin(&app, &entity);
    in = decide(&app, "order-2", "1007", GRAY_CLIENT_ABSENT, NULL);
    assert_int_equal(gray_client_decide(app.client, "no-such", &request,
                                        GRAY_CLIENT_MARK, &in.mark, &again),
                     -ENOENT);
    must_say(&again, GRAY_CLIENT_HOLD, "none");
    assert_int_equal(gray_bypass_set(&app.world.folder, true, NULL), 0);
    again = decide(&app, "order-2", "1007", GRAY_CLIENT_MARK, &in.mark);
    must_say(&again, GRAY_CLIENT_OUT, "bypass");
    snprintf(path, sizeof(path), "%s/bare", app.world.path);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(gray_publish(path, &nothing, NULL, NULL), 0);
    assert_int_equal(gray_client_open(&bare, path, NULL), 0);
    assert_int_equal(gray_client_decide(bare, "order-2", &request,
                                        GRAY_CLIENT_MARK, &in.mark, &again),
                     0);
    must_say(&again, GRAY_CLIENT_HOLD, "no-snapshot");
    assert_int_equal(gray_client_decide(bare, "order-2", &request,
                                        GRAY_CLIENT_ABSENT, NULL, &again),
                     0);
    must_say(&again, GRAY_CLIENT_OUT, "no-snapshot");
    gray_client_close(bare);
    app_end(&app);
}

static void bad_questions_are_refused(void **state)
{
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = "1007" };
    struct gray_client_decision decision = { .size = sizeof(decision),
                                             .bucket = 77 };
    struct app app;

    (void)state;
    app_begin(&app, &entity);
    assert_int_equal(gray_client_decide(app.client, "order-2", &request,
                                        GRAY_CLIENT_MARK, NULL, &decision),
                     -EINVAL);
    assert_int_equal(gray_client_decide(app.client, "order-2", &request,
                                        (enum gray_client_had)3, NULL,
                                        &decision),
                     -EINVAL);
    decision.size--;
    assert_int_equal(gray_client_decide(app.client, "order-2", &request,
                                        GRAY_CLIENT_ABSENT, NULL, &decision),
                     -EINVAL);
    assert_int_equal(decision.bucket, 77);
    app_end(&app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_waits_until_grayd_made_the_mark),
        cmocka_unit_test(a_mark_is_made_now_whatever_moment_is_asked_about),
        cmocka_unit_test(a_policy_comes_while_a_thread_waits),
        cmocka_unit_test(only_the_stage_that_writes_makes_a_mark),
        cmocka_unit_test(six_threads_are_told_the_same_of_each_unit),
        cmocka_unit_test(what_grayd_does_not_answer_holds_an_entity),
        cmocka_unit_test(an_older_programs_request_is_understood),
        cmocka_unit_test(a_mark_in_the_row_is_told_whatever_the_rules_say),
        cmocka_unit_test(a_mark_of_another_row_or_a_damaged_one_is_held),
        cmocka_unit_test(an_unknown_row_is_refused_and_stores_nothing),
        cmocka_unit_test(only_the_word_and_a_revocation_stand_above_a_row),
        cmocka_unit_test(without_a_policy_an_in_row_is_held),
        cmocka_unit_test(bad_questions_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
