/* SPDX-License-Identifier: Apache-2.0
 * test_explain.c - the bytes of `gray explain`, in force and as it was.
 *
 * Read next: control/read/explain.c, ask/answer.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ask/ask.h"
#include "tests/control/read/fixture.h"
#include "tests/runtime/folder.h"

static const char *program; /* gray */

static struct gray_str str(const char *text)
{
    return (struct gray_str) { text, (uint32_t)strlen(text) };
}

/* A cookie that lets this unit stay in cart-2, signed by the folder's keys. */
static void cookie_of(const char *folder, const char *unit, char *buffer,
                      size_t size)
{
    struct gray_cookie cookie = {
        .issued = NOW / 1000,
        .expires = NOW / 1000 + 3600,
        .mark_count = 1,
        .marks = { { .scope = gray_hash_scope("cart-2", 6),
                     .unit_hash = gray_unit_hash(str(unit)),
                     .attempt = 1,
                     .state = GRAY_MARK_IN } },
    };
    struct gray_runtime *runtime = NULL;
    size_t length;

    assert_int_equal(gray_runtime_open(&runtime, folder, GRAY_READER_CLI,
                                       false, NULL),
                     0);
    length = gray_cookie_write(runtime, str(GRAY_COOKIE_NAME), &cookie, buffer,
                               size - 1);
    assert_true(length > 0);
    buffer[length] = '\0';
    gray_runtime_close(runtime);
}

static void fill(struct desk *desk)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_published published;
    struct gray_problem problem = { 0 };

    desk_open(desk);
    put_shop(desk);                            /* 1, 2 */
    put_release(desk, NOW, "cart-2", 0);       /* 3 */
    put_release(desk, NOW, "cart-2", 1000000); /* 4 */
    if (gray_publish(desk->runtime, &nothing, &published, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    shop_publish(desk->runtime, "10", 9);
}

static json_t *requests(const char *folder)
{
    json_t *lines = json_array();
    char cookie[GRAY_COOKIE_MAX];

    for (int i = 0; i < 50; i++) {
        json_array_append_new(
            lines, json_pack("{s:s,s:I,s:{s:o}}", "path", "/a?b=c", "now",
                             (json_int_t)NOW, "headers", "cookie",
                             json_sprintf("uid=u%d", i)));
    }
    cookie_of(folder, "kept", cookie, sizeof(cookie));
    json_array_append_new(
        lines,
        json_pack("{s:s,s:I,s:{s:o}}", "path", "/", "now", (json_int_t)NOW,
                  "headers", "cookie",
                  json_sprintf("uid=kept; " GRAY_COOKIE_NAME "=%s", cookie)));
    json_array_append_new(
        lines, json_pack("{s:s,s:I,s:{s:s}}", "path", "/\xc3\xa9", "now",
                         (json_int_t)NOW, "headers", "cookie",
                         "uid=\xe5\xbc\xa0\xe4\xb8\x89"));
    return lines;
}

/* What the command prints, as the body that it must be. */
static char *wanted_text(const struct desk *desk, const json_t *lines,
                         json_int_t revision)
{
    char command[512], path[96], *line = NULL, *text = NULL;
    size_t size = 0, length = 0, i;
    const json_t *item;
    ssize_t got;
    FILE *file, *out = open_memstream(&text, &length);

    snprintf(path, sizeof(path), "%s/lines", desk->top);
    file = fopen(path, "w");
    assert_non_null(file);
    json_array_foreach(lines, i, item) {
        json_dumpf(item, file, JSON_COMPACT);
        fputc('\n', file);
    }
    fclose(file);
    snprintf(command, sizeof(command),
             "'%s' explain --runtime '%s' --requests '%s' -o json", program,
             desk->runtime, path);
    file = popen(command, "r");
    assert_non_null(file);
    fprintf(out, "{\"revision\":%lld,\"explanations\":[", (long long)revision);
    for (i = 0; (got = getline(&line, &size, file)) > 0; i++) {
        fprintf(out, "%s%.*s", i > 0 ? "," : "", (int)got - 1, line);
    }
    fprintf(out, "]}\n");
    assert_int_equal(pclose(file), 0);
    assert_int_equal(i, json_array_size(lines));
    fclose(out);
    free(line);
    return text;
}

static void the_bytes_of_the_command(void **state)
{
    struct desk desk;
    json_t *lines, *body;
    char *wanted;

    (void)state;
    fill(&desk);
    lines = requests(desk.runtime);
    wanted = wanted_text(&desk, lines, 9);
    body = post(&desk, "/v1/explain", json_pack("{s:O}", "requests", lines),
                200);
    assert_string_equal(last_text, wanted);
    /* Evidence was looked at, or this would prove less. */
    assert_non_null(strstr(wanted, "\"reason\":\"cookie\""));
    assert_non_null(strstr(wanted, "\"reason\":\"share\""));
    free(wanted);
    json_decref(body);
    json_decref(lines);
    desk_close(&desk);
}

static json_t *as_of(json_int_t revision)
{
    return json_pack("{s:[{s:s,s:{s:s}}],s:I}", "requests", "path", "/",
                     "headers", "cookie", "uid=bob", "revision", revision);
}

static bool is_in(const json_t *body)
{
    const json_t *one =
        json_array_get(json_object_get(body, "explanations"), 0);

    return json_is_true(json_object_get(
        json_array_get(json_object_get(one, "releases"), 0), "in"));
}

static void as_it_was(void **state)
{
    struct release_status killed = { .state = RELEASE_PROGRESSING,
                                     .share = 1000000, .attempt = 1,
                                     .killed = true, .since = NOW,
                                     .started = NOW };
    struct desk desk;
    json_t *body, *value;
    char *text;

    (void)state;
    fill(&desk);
    value = release_status_json(&killed);
    text = json_dumps(value, 0);
    put(&desk, NOW, STORE_RELEASE, "cart-2", text); /* 5 */
    free(text);
    json_decref(value);
    body = post(&desk, "/v1/explain", as_of(3), 200);
    assert_int_equal(number_at(body, "revision"), 3);
    assert_false(is_in(body));
    json_decref(body);
    body = post(&desk, "/v1/explain", as_of(4), 200);
    assert_int_equal(number_at(body, "revision"), 4);
    assert_true(is_in(body));
    json_decref(body);
    body = post(&desk, "/v1/explain", as_of(5), 200);
    assert_false(is_in(body));
    assert_non_null(strstr(last_text, "\"word\":\"killed\""));
    json_decref(body);
    json_decref(post(&desk, "/v1/explain", as_of(6), 404));
    json_decref(post(&desk, "/v1/explain", as_of(0), 404));
    json_decref(post(&desk, "/v1/explain", as_of(-1), 404));
    desk_close(&desk);
}

static void what_is_no_request(void **state)
{
    struct desk desk;
    json_t *body;

    (void)state;
    fill(&desk);
    body = post(&desk, "/v1/explain",
                json_pack("{s:[{s:s},{s:s,s:s}]}", "requests", "path", "/",
                          "path", "/", "clour", "x"),
                400);
    assert_string_equal(text_at(body, "pointer"), "/requests/1");
    assert_non_null(strstr(text_at(body, "detail"), "unknown-key"));
    json_decref(body);
    json_decref(post(&desk, "/v1/explain", json_pack("{s:[]}", "requests"),
                     400));
    desk_close(&desk);
}

static json_t *many(size_t count)
{
    json_t *lines = json_array();

    while (count-- > 0) {
        json_array_append_new(lines, json_pack("{s:s}", "path", "/"));
    }
    return json_pack("{s:o}", "requests", lines);
}

static void as_many_as_allowed(void **state)
{
    struct desk desk;

    (void)state;
    fill(&desk);
    json_decref(post(&desk, "/v1/explain", many(1000), 200));
    json_decref(post(&desk, "/v1/explain", many(1001), 400));
    desk_close(&desk);
}

static void bypassed_and_without_a_folder(void **state)
{
    struct gray_folder folder;
    struct desk desk;

    (void)state;
    fill(&desk);
    assert_int_equal(gray_folder_open(&folder, desk.runtime, true, NULL), 0);
    assert_int_equal(gray_bypass_set(&folder, true, NULL), 0);
    gray_folder_close(&folder);
    json_decref(post(&desk, "/v1/explain", many(1), 200));
    folder_remove(desk.runtime);
    json_decref(post(&desk, "/v1/explain", many(1), 503));
    json_decref(post(&desk, "/v1/explain", as_of(4), 200));
    desk_close(&desk);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_the_command),
        cmocka_unit_test(as_it_was),
        cmocka_unit_test(what_is_no_request),
        cmocka_unit_test(as_many_as_allowed),
        cmocka_unit_test(bypassed_and_without_a_folder),
    };

    program = argc > 1 ? argv[1] : "gray";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
