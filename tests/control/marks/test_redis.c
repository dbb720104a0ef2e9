/* SPDX-License-Identifier: Apache-2.0
 * test_redis.c - two hosts and one unit, with a Redis that comes and goes.
 *
 * Why: where first admissions are shared, one unit gets one answer on all
 * hosts.  Without Redis nobody new comes in and everybody who is in is served;
 * a Redis that was emptied is told again before it is believed.  It is a real
 * redis-server on a socket of the test's own.
 * Read next: control/marks/redis.c, redis_push.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "tests/control/marks/fixture.h"
#include "tests/runtime/folder.h"

static char place[64], path[96], address[112];
static pid_t server;
static struct host hosts[2];
static struct teller tellers[2];
static struct marks_scope scope;

static redisReply *redis_say(const char *format, ...)
{
    redisContext *context = redisConnectUnix(path);
    redisReply *reply = NULL;
    va_list arguments;

    if (context != NULL && context->err == 0) {
        va_start(arguments, format);
        reply = redisvCommand(context, format, arguments);
        va_end(arguments);
    }
    redisFree(context);
    return reply;
}

static bool server_answers(void *context)
{
    redisReply *reply = redis_say("PING");
    bool answers = reply != NULL && reply->type == REDIS_REPLY_STATUS;

    (void)context;
    freeReplyObject(reply);
    return answers;
}

static void server_begin(void)
{
    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        int null = open("/dev/null", O_RDWR);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 1);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
               path, "--save", "", "--appendonly", "no", "--dir", place,
               (char *)NULL);
        _exit(127);
    }
    assert_true(waits_for(server_answers, NULL));
}

static void server_end(void)
{
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        server = 0;
    }
}

static bool redis_is(const char *word)
{
    bool same = true;

    for (int i = 0; i < 2; i++) {
        json_t *status = marks_status(hosts[i].marks, CART, NULL);

        same = same && strcmp(json_string_value(json_object_get(status,
                                                                "redis")),
                              word) == 0;
        json_decref(status);
    }
    return same;
}

static bool is_ok(void *context)
{
    (void)context;
    return redis_is("ok");
}

static bool is_lost(void *context)
{
    (void)context;
    return redis_is("lost");
}

static void begin(uint8_t durability)
{
    strcpy(place, "/tmp/graylane-redis.XXXXXX");
    assert_non_null(mkdtemp(place));
    snprintf(path, sizeof(path), "%s/redis.sock", place);
    snprintf(address, sizeof(address), "unix:%s", path);
    server_begin();
    scope = cart_scope(durability, GRAY_STICKY_ENTITY);
    scope.flags = GRAY_MARKS_SHARED;
    for (int i = 0; i < 2; i++) {
        host_begin(&hosts[i]);
        hosts[i].redis = address;
        host_open(&hosts[i]);
        host_prepare(&hosts[i], &scope);
        teller_begin(&tellers[i], &hosts[i], GRAY_READER_NGINX);
    }
    assert_true(waits_for(is_ok, NULL));
}

static void end(void)
{
    for (int i = 0; i < 2; i++) {
        teller_end(&tellers[i]);
        host_end(&hosts[i]);
    }
    server_end();
    folder_remove(place);
}

static const char *unit_of(int number)
{
    static char unit[24];

    snprintf(unit, sizeof(unit), "unit-%d", number);
    return unit;
}

static const char *asked;

static bool both_know(void *context)
{
    (void)context;
    return (teller_see(&tellers[0], asked) & GRAY_SLOT_DURABLE) != 0 &&
           (teller_see(&tellers[1], asked) & GRAY_SLOT_DURABLE) != 0;
}

static void two_hosts_that_race_give_one_answer(void **state)
{
    uint32_t by_other = 0;

    (void)state;
    begin(GRAY_DURABLE_STRICT);
    for (int i = 0; i < 500; i++) {
        teller_admit(&tellers[i % 2], unit_of(i), GRAY_SLOT_IN, true);
        teller_admit(&tellers[1 - i % 2], unit_of(i), GRAY_SLOT_OUT, true);
    }
    for (int i = 0; i < 500; i++) {
        redisReply *reply;

        asked = unit_of(i);
        assert_true(waits_for(both_know, NULL));
        reply = redis_say("GET gray:mark:%s:0:%s", "1111222233334444", asked);
        assert_string_equal(reply->str,
                            gray_slot_state(teller_see(&tellers[0], asked)) ==
                                    GRAY_SLOT_IN
                                ? "in:1:1"
                                : "out:1:1");
        freeReplyObject(reply);
        assert_int_equal(teller_see(&tellers[0], asked),
                         teller_see(&tellers[1], asked));
        by_other += gray_slot_state(teller_see(&tellers[i % 2], asked)) ==
                            GRAY_SLOT_OUT
                        ? 1
                        : 0;
    }
    print_message("%u of 500 were won by whoever asked second\n", by_other);
    end();
}

static void without_redis_nobody_new_comes_in_and_who_is_in_stays(void **state)
{
    struct written written;

    (void)state;
    begin(GRAY_DURABLE_STRICT);
    teller_admit(&tellers[0], "in", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[0], "in", GRAY_SLOT_IN, true));
    server_end();
    teller_admit(&tellers[0], "new", GRAY_SLOT_IN, true);
    teller_admit(&tellers[1], "new", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[0], "new", GRAY_SLOT_EMPTY, false));
    assert_true(teller_waits(&tellers[1], "new", GRAY_SLOT_EMPTY, false));
    assert_true(waits_for(is_lost, NULL));
    assert_int_equal(gray_slot_state(teller_see(&tellers[0], "in")),
                     GRAY_SLOT_IN);
    /* It comes back empty: what we were told is put there again. */
    server_begin();
    assert_true(waits_for(is_ok, NULL));
    teller_admit(&tellers[1], "in", GRAY_SLOT_OUT, true);
    assert_true(teller_waits(&tellers[1], "in", GRAY_SLOT_IN, true));
    teller_admit(&tellers[0], "new", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[0], "new", GRAY_SLOT_IN, true));
    host_close(&hosts[0]);
    host_written(&hosts[0], "new", &written);
    assert_int_equal(written.count, 2);
    assert_int_equal(written.of_unit, 1);
    end();
}

static bool knows(void *context)
{
    redisReply *reply = redis_say("GET gray:mark:%s:0:%s", "1111222233334444",
                                  (const char *)context);
    bool there = reply != NULL && reply->type == REDIS_REPLY_STRING;

    freeReplyObject(reply);
    return there;
}

/* Nobody asks anything meanwhile. */
static void a_redis_that_was_emptied_is_told_again(void **state)
{
    struct marks_unit over = {"unit-7", MARKS_EVERY_SPACE};
    json_t *answer = NULL;

    (void)state;
    begin(GRAY_DURABLE_STRICT);
    for (int i = 0; i < 3000; i++) {
        teller_admit(&tellers[0], unit_of(i), GRAY_SLOT_IN, true);
    }
    assert_true(teller_waits(&tellers[0], unit_of(2999), GRAY_SLOT_IN, true));
    /* One of them is over; what it was told is not. */
    assert_int_equal(marks_settle(hosts[0].marks, CART, &over, 1, false, "a",
                                  "r", &answer, NULL),
                     0);
    assert_int_equal(json_integer_value(json_object_get(answer, "settled")),
                     1);
    json_decref(answer);
    freeReplyObject(redis_say("FLUSHALL"));
    assert_false(knows((void *)(uintptr_t) "unit-0"));
    /* Whoever asks first finds out, and is refused until all are back. */
    teller_admit(&tellers[1], "unit-7", GRAY_SLOT_OUT, true);
    assert_true(teller_waits(&tellers[1], "unit-7", GRAY_SLOT_EMPTY, false));
    assert_true(waits_for(knows, (void *)(uintptr_t) "unit-0"));
    assert_true(waits_for(is_ok, NULL));
    teller_admit(&tellers[1], "unit-7", GRAY_SLOT_OUT, true);
    assert_true(teller_waits(&tellers[1], "unit-7", GRAY_SLOT_IN, true));
    end();
}

static void who_was_taken_back_comes_in_by_a_later_attempt_alone(void **state)
{
    struct marks_revoke what = {.scope = CART, .cohort = MARKS_ALL,
                                .attempt = 1, .actor = "a", .reason = "r"};
    uint64_t id;

    (void)state;
    begin(GRAY_DURABLE_STRICT);
    teller_admit(&tellers[0], "u", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[0], "u", GRAY_SLOT_IN, true));
    assert_int_equal(marks_revoke(hosts[0].marks, &what, &id, NULL), 0);
    assert_true(teller_waits(&tellers[0], "u", GRAY_SLOT_REVOKED, true));
    /* The other host never met the unit. */
    teller_admit(&tellers[1], "u", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[1], "u", GRAY_SLOT_EMPTY, false));
    end();
}

/* Whatever it says is no answer of ours. */
static void an_answer_that_makes_no_sense_admits_nobody(void **state)
{
    static const char *const values[] = {"", "in", "in:1", "in:1:1:1",
                                         "in:256:1", "out:1:999", "hold:1:1",
                                         "IN:1:1", " in:1:1"};

    (void)state;
    begin(GRAY_DURABLE_STRICT);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        freeReplyObject(redis_say("SET gray:mark:%s:0:%s %s",
                                  "1111222233334444", unit_of((int)i),
                                  values[i]));
        teller_admit(&tellers[0], unit_of((int)i), GRAY_SLOT_IN, true);
        assert_true(teller_waits(&tellers[0], unit_of((int)i),
                                 GRAY_SLOT_EMPTY, false));
    }
    /* A list where a text should be is an error, and no mark either. */
    freeReplyObject(redis_say("LPUSH gray:mark:%s:0:list x",
                              "1111222233334444"));
    teller_admit(&tellers[0], "list", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[0], "list", GRAY_SLOT_EMPTY, false));
    teller_admit(&tellers[0], "sound", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[0], "sound", GRAY_SLOT_IN, true));
    end();
}

/* A server that was stopped by a signal says nothing for ever. */
static void a_redis_that_hangs_holds_nobody_up(void **state)
{
    (void)state;
    begin(GRAY_DURABLE_STRICT);
    kill(server, SIGSTOP);
    teller_admit(&tellers[0], "new", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[0], "new", GRAY_SLOT_EMPTY, false));
    kill(server, SIGCONT);
    assert_true(waits_for(is_ok, NULL));
    teller_admit(&tellers[0], "new", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&tellers[0], "new", GRAY_SLOT_IN, true));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hosts_that_race_give_one_answer),
        cmocka_unit_test(without_redis_nobody_new_comes_in_and_who_is_in_stays),
        cmocka_unit_test(a_redis_that_was_emptied_is_told_again),
        cmocka_unit_test(who_was_taken_back_comes_in_by_a_later_attempt_alone),
        cmocka_unit_test(an_answer_that_makes_no_sense_admits_nobody),
        cmocka_unit_test(a_redis_that_hangs_holds_nobody_up),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
