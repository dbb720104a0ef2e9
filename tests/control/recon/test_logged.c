/* SPDX-License-Identifier: Apache-2.0
 * test_logged.c - lines of decision logs: which speak of a unit, and what.
 *
 * Why: R1 stands on them; a line that is half there, of another time, of
 * another release or of nothing must neither be taken nor break what follows.
 * Read next: control/recon/logged.h.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/recon/logged.h"

#define LINE(time, revision, release, in, unit)                               \
    "{\"time\":" time ",\"host\":\"h\",\"worker\":1,\"event\":\"admit\","       \
    "\"trace_id\":\"\",\"revision\":" revision ",\"releases\":[{\"release\":"   \
    "\"other\",\"in\":true,\"unit\":\"x\"},{\"release\":\"" release             \
    "\",\"in\":" in ",\"unit\":\"" unit "\"}]}"

static char folder[64];

static void put(const char *name, const char *text, size_t length)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

struct seen {
    char text[400];
};

static int see(void *context, struct gray_str unit,
               const struct fact_decision *decision)
{
    struct seen *seen = context;
    size_t length = strlen(seen->text);

    snprintf(seen->text + length, sizeof(seen->text) - length, "%.*s:%llu:%d ",
             (int)unit.length, unit.data,
             (unsigned long long)decision->revision, decision->in);
    return 0;
}

static void lines_of_the_release_and_the_time_are_taken(void **state)
{
    static const char first[] =
        LINE("1000", "3", "cart", "true", "a") "\n"
        LINE("1001", "3", "cart-2", "true", "b") "\n"
        "no line of a log with \"cart\" in it\n"
        LINE("99", "3", "cart", "true", "early") "\n"
        LINE("9999", "3", "cart", "true", "late") "\n"
        "{\"time\":1002,\"event\":\"refuse\",\"reason\":\"cart\"}\n"
        LINE("1003", "4", "cart", "false", "a\\u0022") "\n"
        LINE("1004", "4", "cart", "true", "half");
    static const char nul[] = LINE("1000", "5", "cart", "true", "c") "\0\n"
        LINE("1000", "5", "cart", "true", "d") "\n";
    struct logged_counts counts = {0};
    struct gray_problem problem = {0};
    struct seen seen = {""};
    char one[128], two[128];
    json_t *patterns;

    (void)state;
    snprintf(folder, sizeof(folder), "/dev/shm/gray-logged-XXXXXX");
    assert_non_null(mkdtemp(folder));
    put("gray-1.log", first, sizeof(first) - 1);
    put("gray-2.log", nul, sizeof(nul) - 1);
    snprintf(one, sizeof(one), "%s/gray-*.log", folder);
    snprintf(two, sizeof(two), "%s/none-*.log", folder);
    patterns = json_pack("[s,s]", one, two);
    assert_int_equal(logged_each(patterns, "cart", 100, 9000, see, &seen,
                                 &counts, &problem),
                     0);
    assert_string_equal(seen.text, "a:3:1 a\":4:0 d:5:1 ");
    assert_int_equal(counts.files, 2);
    assert_int_equal(counts.bad, 2); /* no line, a NUL */
    json_decref(patterns);
    snprintf(one, sizeof(one), "rm -r %s", folder);
    assert_int_equal(system(one), 0);
}

static void what_is_no_record_is_said(void **state)
{
    static const struct {
        const char *line;
        int found;
    } cases[] = {
        {LINE("1", "2", "cart", "true", "a"), 1},
        {LINE("1", "2", "dart", "true", "a"), 0},
        {LINE("1", "2", "cart", "1", "a"), -1},
        {LINE("1", "\"2\"", "cart", "true", "a"), -1},
        {LINE("1", "2", "cart", "true", ""), 0},
        {"{}", -1},
        {"[]", -1},
        {"", -1},
        {"{\"time\":1,\"event\":\"admit\",\"releases\":{}}", 0},
    };
    char buffer[LOGGED_UNIT_MAX];
    struct fact_decision decision;
    struct gray_str unit;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int found = logged_parse(cases[i].line, strlen(cases[i].line), "cart",
                                 buffer, &unit, &decision);

        if (found != cases[i].found) {
            fail_msg("%d for %s", found, cases[i].line);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_the_release_and_the_time_are_taken),
        cmocka_unit_test(what_is_no_record_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
