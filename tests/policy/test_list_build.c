/* SPDX-License-Identifier: Apache-2.0
 * test_list_build.c - every id is found, and no other.
 *
 * Why: a white list that misses an id or lets in a stranger is the worst kind
 * of wrong: nobody notices.  Lists of many sizes are built and asked for all
 * of their ids and for as many neighbours.
 * Read next: ../../policy/list_build.c, ../../engine/list.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/compile.h"
#include "tests/policy/craft_model.h"

static int build_one(const struct model_list *list, struct gray_file *ret_file,
                     struct gray_findings *findings)
{
    struct build build;

    memset(&build, 0, sizeof(build));
    build.findings = findings;
    build.kind = "List";
    build.document = list->name;
    return list_build(&build, list, ret_file);
}

static struct model_list numbered(uint64_t count, bool strict)
{
    struct model_list list = {"l", strict, NULL, count};
    uint64_t i;

    list.ids = craft((count + 1) * sizeof(*list.ids));
    for (i = 0; i < count; i++) {
        list.ids[i] =
            craft_text(i % 3 == 0 ? craft_print("user-%llu",
                                                (unsigned long long)i)
                                  : craft_print("%llu",
                                                (unsigned long long)i * 7));
    }
    return list;
}

static bool has(const struct gray_list *list, const char *id)
{
    return gray_list_has(list, (struct gray_str){id, (uint32_t)strlen(id)});
}

static void check_size(uint64_t count, bool strict)
{
    struct model_list list = numbered(count, strict);
    struct gray_file file;
    struct gray_list opened;
    uint64_t i;

    assert_int_equal(build_one(&list, &file, NULL), 0);
    assert_int_equal(strlen(file.name), 32);
    assert_int_equal(gray_list_open(&opened, file.data, file.size, NULL), 0);
    for (i = 0; i < count; i++) {
        assert_true(gray_list_has(
            &opened, (struct gray_str){list.ids[i].data, list.ids[i].length}));
    }
    for (i = 0; i < count + 10; i++) {
        assert_false(has(&opened, craft_print("User-%llu",
                                              (unsigned long long)i)));
        assert_false(has(&opened, craft_print("%llu",
                                              (unsigned long long)i * 7 + 3)));
        assert_false(has(&opened, craft_print("0%llu",
                                              (unsigned long long)i * 7)));
    }
    free(file.data);
    craft_free();
}

static void every_id_is_found_and_no_other(void **state)
{
    static const uint64_t sizes[] = {0, 1, 2, 3, 8, 9, 31, 100, 1000, 20000};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_size(sizes[i], false);
        check_size(sizes[i], true);
    }
}

static void numbers_are_exact_to_their_last_bit(void **state)
{
    struct model_text ids[] = {
        craft_text("0"),
        craft_text("00"),
        craft_text("18446744073709551615"),
        craft_text("18446744073709551616"), /* no 64-bit number: a text */
        craft_text("-1"),
    };
    struct model_list list = {"l", false, ids, 5};
    const struct gray_list_file *body;
    struct gray_list opened;
    struct gray_file file;

    (void)state;
    assert_int_equal(build_one(&list, &file, NULL), 0);
    body = (const void *)(file.data + sizeof(struct gray_file_header));
    assert_int_equal(body->numeric.count, 2);
    assert_int_equal(body->text.count, 3);
    assert_int_equal(gray_list_open(&opened, file.data, file.size, NULL), 0);
    assert_true(has(&opened, "0"));
    assert_true(has(&opened, "00"));
    assert_false(has(&opened, "000"));
    assert_true(has(&opened, "18446744073709551615"));
    assert_true(has(&opened, "18446744073709551616"));
    assert_false(has(&opened, "18446744073709551614"));
    assert_true(has(&opened, "-1"));
    free(file.data);
    craft_free();
}

static void a_name_is_its_content(void **state)
{
    struct model_list one = numbered(50, false), two = numbered(50, false);
    struct gray_file a, b, c, d;

    (void)state;
    two.name = "other";
    assert_int_equal(build_one(&one, &a, NULL), 0);
    assert_int_equal(build_one(&two, &b, NULL), 0);
    assert_string_equal(a.name, b.name);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    two.strict = true;
    assert_int_equal(build_one(&two, &c, NULL), 0);
    assert_string_not_equal(a.name, c.name);
    two.strict = false;
    two.id_count--;
    assert_int_equal(build_one(&two, &d, NULL), 0);
    assert_string_not_equal(a.name, d.name);
    free(a.data);
    free(b.data);
    free(c.data);
    free(d.data);
    craft_free();
}

/* The model promises that no id stands twice; the same text twice is the one
 * cheap way to have two ids of one hash. */
static void a_collision_is_refused_with_advice(void **state)
{
    struct model_text ids[] = {craft_text("a"), craft_text("twin"),
                               craft_text("twin")};
    struct model_list list = {"l", false, ids, 3};
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct gray_file file;

    (void)state;
    assert_int_equal(build_one(&list, &file, &findings), -1);
    assert_int_equal(findings.errors, 1);
    assert_string_equal(findings.items[0].code, "list-collision");
    assert_string_equal(findings.items[0].document, "List/l");
    assert_non_null(strstr(findings.items[0].sentence, "strict: true"));
    list.strict = true;
    assert_int_equal(build_one(&list, &file, &findings), 0);
    free(file.data);
    gray_findings_free(&findings);
    craft_free();
}

/* A list costs at most nine bytes an id, all told. */
static void a_large_list_is_small(void **state)
{
    uint64_t count = 100000, i;
    struct model_list list = {"l", false, NULL, count};
    struct gray_file file;

    (void)state;
    list.ids = craft(count * sizeof(*list.ids));
    for (i = 0; i < count; i++) {
        list.ids[i] =
            craft_text(craft_print("%llu", (unsigned long long)(i * 13)));
    }
    assert_int_equal(build_one(&list, &file, NULL), 0);
    assert_true(file.size <= 9 * count + 1024);
    free(file.data);
    craft_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_id_is_found_and_no_other),
        cmocka_unit_test(numbers_are_exact_to_their_last_bit),
        cmocka_unit_test(a_name_is_its_content),
        cmocka_unit_test(a_collision_is_refused_with_advice),
        cmocka_unit_test(a_large_list_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
