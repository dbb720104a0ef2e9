/* SPDX-License-Identifier: Apache-2.0
 * test_memory.c - changes without enough memory: whole, or not at all.
 *
 * Why: grayd holds what is true for everybody. When an allocation fails in the
 * middle of a change, half of it must not be committed, published or recorded
 * as if it were all. Every allocation of ours is made to fail in turn, by the
 * linker's --wrap, and every one of jansson's by its own hook; the thread that
 * changes things is stopped, and its work is done by the test.
 * Read next: ../../../control/change/commit.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/change/internal.h"
#include "tests/failing_memory.h"
#include "tests/runtime/folder.h"

/* ---- grayd's own ports ----------------------------------------------------- */

int64_t grayd_now(void)
{
    return INT64_C(1790000000000);
}

void grayd_log(enum log_level level, const char *code, const char *format, ...)
{
    (void)level;
    (void)code;
    (void)format;
}

void grayd_random_hex(char ret_hex[33])
{
    memset(ret_hex, 'a', 32);
    ret_hex[32] = '\0';
}

/* ---- one grayd, its thread stopped ------------------------------------------- */

struct desk {
    char top[64], state[80], runtime[80];
    struct grayd grayd;
};

static void desk_open(struct desk *desk)
{
    struct gray_problem problem = { 0 };
    struct control *control;

    memset(desk, 0, sizeof(*desk));
    folder_new(desk->top);
    snprintf(desk->state, sizeof(desk->state), "%s/state", desk->top);
    snprintf(desk->runtime, sizeof(desk->runtime), "%s/run", desk->top);
    desk->grayd.options.state = desk->state;
    desk->grayd.options.runtime = desk->runtime;
    if (control_start(&desk->grayd, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    control = desk->grayd.control;
    control->stopping = true;
    pthread_join(control->thread, NULL);
}

static void desk_close(struct desk *desk)
{
    struct gray_problem problem = { 0 };

    assert_int_equal(control_thread_start(desk->grayd.control), 0);
    control_stop(&desk->grayd);
    /* What it left is sound. */
    if (control_start(&desk->grayd, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    control_stop(&desk->grayd);
    folder_remove(desk->top);
}

/* ---- asking ---------------------------------------------------------------------- */

struct question {
    const char *path;
    json_t *body;
};

/* The status of the reply. The identity may do everything. */
static int ask(struct desk *desk, const struct question *question)
{
    struct call call = { .now = grayd_now(), .body = question->body };
    struct reply reply = { 0 };
    char allow[64];
    const char *why = "?";
    long kept = until;
    int status;

    until = -1;
    if (route_match("POST", question->path, strlen(question->path), &call,
                    allow, &why) != 0) {
        fail_msg("%s: %s", question->path, why);
    }
    snprintf(call.identity.name, sizeof(call.identity.name), "ann");
    call.identity.role = ROLE_ADMIN;
    call.identity.scope_count = 1; /* "": every name */
    until = kept;
    route_find_handler(call.route->number)(&desk->grayd.control->hand, &call,
                                           &reply);
    kept = until;
    until = -1;
    status = reply.body != NULL ? reply.status : 500;
    reply_clear(&reply);
    json_decref(call.query);
    until = kept;
    return status;
}

#define SERVICE                                                        \
    "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n"   \
    "  v1: {endpoints: ['127.0.0.1:1']}\n  v2: {endpoints: "            \
    "['127.0.0.1:2']}\n---\n"
#define RELEASE(last)                                                    \
    "kind: Release\nname: cart-2\nservices: [{service: cart, version: "  \
    "v2}]\nunit: {cookie: u}\nstickiness: none\nadmission: "             \
    "{allow: [{list: team}]}\n"                                         \
    "strategy: {canary: {steps: [{setWeight: 1}, {pause: {}}, "         \
    "{setWeight: " last "}]}}\n---\n"
static const char there[] = SERVICE RELEASE("50")
    "kind: List\nname: team\nids: [a, b]\n";
static const char wanted[] = SERVICE RELEASE("60")
    "kind: List\nname: team\nids: [a, b, c]\n---\nkind: Lane\nname: red\n"
    "services: [cart]\nrules: [{when: {header: {name: x, exact: y}}}]\n";

static json_t *apply_body(const char *text)
{
    return json_pack("{s:[{s:s,s:s}],s:b,s:i}", "files", "name", "t",
                     "text", text, "prune", true, "allowDrop", 0);
}

/* ---- whole, or not at all ----------------------------------------------------------- */

/* Documents and states, without the revisions that they got. */
static json_t *picture(const struct world *world)
{
    json_t *states = json_object(), *entry;
    const char *name;

    json_object_foreach(world->releases, name, entry) {
        json_object_set(states, name, json_object_get(entry, "status"));
    }
    return json_pack("{s:O,s:o}", "documents", world->documents, "states",
                     states);
}

static void expect(const char *what, long n, const struct world *world,
                   const json_t *wish)
{
    json_t *found = picture(world);

    if (!json_equal(found, wish)) {
        fail_msg("%s, failing at %ld: %s\nnot %s", what, n,
                 json_dumps(found, JSON_SORT_KEYS),
                 json_dumps(wish, JSON_SORT_KEYS));
    }
    json_decref(found);
}

static void check(struct desk *desk, const char *what, long n,
                  const json_t *wish)
{
    struct control *control = desk->grayd.control;
    struct gray_problem problem = { 0 };
    struct world stored;
    char why[300];

    expect(what, n, &control->world, wish);
    if (world_load(&stored, control->reader, &problem) != 0) {
        fail_msg("%s, failing at %ld: %s", what, n, problem.sentence);
    }
    assert_int_equal(stored.revision, control->world.revision);
    expect("stored", n, &stored, wish);
    world_free(&stored);
    if (control->policy_behind || control->words_behind) {
        if (!in_force_publish(control, NULL, why)) {
            fail_msg("%s, failing at %ld: %s", what, n, why);
        }
    }
    assert_int_equal(atomic_load(&desk->grayd.revision_in_force),
                     control->world.revision);
}

/* `change` with each allocation failing, and `back` from it. */
static void each_in_turn(struct desk *desk, const struct question *change,
                         const struct question *back)
{
    struct control *control = desk->grayd.control;
    json_t *before, *after;
    bool failed = true;
    size_t refused = 0;

    assert_int_equal(ask(desk, change), 200);
    after = picture(&control->world);
    assert_int_equal(ask(desk, back), 200);
    before = picture(&control->world);
    assert_false(json_equal(before, after));
    for (long n = 0; failed; n += 1 + n / 64) {
        uint64_t revision = control->world.revision;
        int status;

        until = n;
        status = ask(desk, change);
        failed = until < 0;
        until = -1;
        if (status != 200) {
            assert_true(failed && status >= 400);
            assert_int_equal(control->world.revision, revision);
            check(desk, change->path, n, before);
            refused++;
            continue;
        }
        check(desk, change->path, n, after);
        status = ask(desk, back);
        if (status != 200) {
            fail_msg("%s, failing at %ld: no way back: %d", change->path, n,
                     status);
        }
        check(desk, back->path, n, before);
    }
    assert_true(refused > 20);
    json_decref(before);
    json_decref(after);
}

/* ---- tests ------------------------------------------------------------------------------ */

static struct question first(void)
{
    return (struct question) { "/v1/apply", apply_body(there) };
}

static void documents(void **state)
{
    struct question back = first();
    struct question change = { "/v1/apply", apply_body(wanted) };
    struct desk desk;

    (void)state;
    desk_open(&desk);
    assert_int_equal(ask(&desk, &back), 200);
    each_in_turn(&desk, &change, &back);
    desk_close(&desk);
    json_decref(change.body);
    json_decref(back.body);
}

static void verbs(void **state)
{
    struct question apply = first();
    struct question start = { "/v1/releases/cart-2/start", json_object() };
    struct question pause = { "/v1/releases/cart-2/pause", json_object() };
    struct question resume = { "/v1/releases/cart-2/resume", json_object() };
    struct question kill = { "/v1/releases/cart-2/kill",
                             json_pack("{s:s}", "reason", "r") };
    struct question unkill = { "/v1/releases/cart-2/unkill",
                               json_object() };
    struct desk desk;

    (void)state;
    desk_open(&desk);
    assert_int_equal(ask(&desk, &apply), 200);
    assert_int_equal(ask(&desk, &start), 200);
    each_in_turn(&desk, &pause, &resume);
    each_in_turn(&desk, &resume, &pause);
    each_in_turn(&desk, &kill, &unkill);
    desk_close(&desk);
    json_decref(apply.body);
    json_decref(start.body);
    json_decref(pause.body);
    json_decref(resume.body);
    json_decref(kill.body);
    json_decref(unkill.body);
}

static void list_ids(void **state)
{
    struct question apply = first();
    struct question change = { "/v1/lists/team/ids",
                               json_pack("{s:[sss],s:[s],s:i}", "add", "c",
                                         "d", "e", "remove", "a",
                                         "allowDrop", 0) };
    struct desk desk;

    (void)state;
    desk_open(&desk);
    assert_int_equal(ask(&desk, &apply), 200);
    each_in_turn(&desk, &change, &apply);
    desk_close(&desk);
    json_decref(apply.body);
    json_decref(change.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents),
        cmocka_unit_test(verbs),
        cmocka_unit_test(list_ids),
    };

    json_set_alloc_funcs(__wrap_malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
