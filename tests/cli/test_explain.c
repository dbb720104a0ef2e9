/* SPDX-License-Identifier: Apache-2.0
 * test_explain.c - `gray explain -o json` gives the engine's own bytes.
 *
 * Why: the promise is one answer everywhere; here the program is run as a
 * person runs it, and each line is compared with a direct call.
 * usage: test_explain GRAY
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "tests/cli/fixture.h"

#define REQUESTS 2000u

static const char documents[] =
    "[{\"kind\":\"Service\",\"name\":\"cart\",\"baseline\":{\"version\":\"v1\"},"
    "\"versions\":{\"v1\":{\"endpoints\":[\"127.0.0.1:1\"]},"
    "\"v2\":{\"endpoints\":[\"127.0.0.1:2\"]},"
    "\"red\":{\"endpoints\":[{\"address\":\"127.0.0.1:3\","
    "\"labels\":{\"lane\":\"red\"}}]}}},"
    "{\"kind\":\"List\",\"name\":\"testers\",\"ids\":[\"7\",\"alice\"]},"
    "{\"kind\":\"Lane\",\"name\":\"red\",\"services\":[\"cart\"],\"rules\":["
    "{\"name\":\"team\",\"when\":{\"header\":{\"name\":\"x-team\","
    "\"exact\":\"red\"}}}]},"
    "{\"kind\":\"Release\",\"name\":\"cart-2\","
    "\"services\":[{\"service\":\"cart\",\"version\":\"v2\"}],"
    "\"unit\":{\"cookie\":\"uid\"},"
    "\"admission\":{\"share\":30,\"allow\":[{\"list\":\"testers\"}],"
    "\"deny\":[{\"idTail\":[\"3\"]}],"
    "\"require\":{\"path\":{\"prefix\":\"/shop\"}}}}]";

static const char *program;

/* The n-th request; every kind of refusal is among them. */
static void request_line(unsigned n, char line[512])
{
    static const char *const paths[] = { "/shop/a", "/shop?x=1", "/other" };
    static const char *const teams[] = { "red", "blue" };

    if (n % 11 == 0) {
        snprintf(line, 512, "{\"path\":\"%s\"}", paths[n % 3]);
    } else {
        snprintf(line, 512,
                 "{\"path\":\"%s\",\"now\":%u,\"headers\":{\"cookie\":"
                 "\"uid=%u\",\"X-Team\":\"%s\"}}",
                 paths[n % 3], n, n, teams[n % 7 != 0]);
    }
}

static FILE *open_in(const char *folder, const char *name, const char *mode,
                     char path[256])
{
    snprintf(path, 256, "%s/%s", folder, name);
    return fopen(path, mode);
}

static void run_and_compare(const char *folder, struct policy *policy)
{
    char docs[256], lines[256], answers[256], command[1024], line[512];
    char *got = NULL;
    size_t size = 0;
    FILE *file = open_in(folder, "docs.json", "w", docs);

    assert_non_null(file);
    fputs(documents, file);
    fclose(file);
    file = open_in(folder, "lines", "w", lines);
    assert_non_null(file);
    for (unsigned i = 0; i < REQUESTS; i++) {
        request_line(i, line);
        fprintf(file, "%s\n", line);
    }
    fclose(file);
    snprintf(command, sizeof(command),
             "'%s' explain -f '%s' --requests '%s' -o json > '%s/answers'",
             program, docs, lines, folder);
    assert_int_equal(system(command), 0);
    file = open_in(folder, "answers", "r", answers);
    assert_non_null(file);
    for (unsigned i = 0; i < REQUESTS; i++) {
        char wanted[65536];
        struct request request;
        struct request_problem problem;
        struct gray_input input;
        size_t length;

        request_line(i, line);
        assert_int_equal(
            request_parse(&request, line, strlen(line), &problem), 0);
        request_feed(&request, policy->view->policy, 0, &input);
        length = gray_explain(policy->view, 0, &input, NULL, NULL, wanted,
                              sizeof(wanted));
        assert_true(length < sizeof(wanted));
        assert_int_equal(getline(&got, &size, file), (ssize_t)length + 1);
        assert_memory_equal(got, wanted, length);
        request_free(&request);
    }
    assert_int_equal(getline(&got, &size, file), -1);
    fclose(file);
    free(got);
}

static void the_program_answers_with_the_engines_bytes(void **state)
{
    struct policy *policy = fixture_policy(documents);

    run_and_compare(*state, policy);
    fixture_free(policy);
}

static int make_folder(void **state)
{
    static char folder[64];

    snprintf(folder, sizeof(folder), "/dev/shm/gray-explain-XXXXXX");
    *state = mkdtemp(folder);
    return *state != NULL ? 0 : -1;
}

/* Whatever the test left, when it failed on its way. */
static int remove_folder(void **state)
{
    static const char *const names[] = { "docs.json", "lines", "answers" };
    char path[256];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", (char *)*state, names[i]);
        unlink(path);
    }
    return rmdir(*state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_program_answers_with_the_engines_bytes, make_folder,
            remove_folder),
    };

    program = argc > 1 ? argv[1] : "gray";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
