/* SPDX-License-Identifier: Apache-2.0
 * test_documents.c - reading YAML and JSON: types, limits, files and folders.
 *
 * Why: what a scalar is decides what a policy does (00 is the number 0), and
 * what a text may be decides whether a stranger's file can hurt us.
 * Read next: ../../policy/documents_yaml.c, bad/expected.txt.
 */
#include "tests/policy/read_policy.h"

#include <sys/stat.h>
#include <unistd.h>

#include "policy/documents.h"

static int add(struct gray_documents *docs, const char *text,
               struct gray_findings *findings)
{
    return gray_documents_add_text(docs, "t", text, strlen(text), findings);
}

/* How one YAML scalar is read, as JSON. */
static char *scalar(const char *text)
{
    char room[256];
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    snprintf(room, sizeof(room), "v: %s\n", text);
    char *json = NULL;
    if (add(docs, room, &findings) == 0) {
        json = json_dumps(json_object_get(docs->items[0].tree, "v"),
                          JSON_ENCODE_ANY);
    }
    gray_documents_free(docs);
    gray_findings_free(&findings);
    return json;
}

static void test_scalars_follow_the_core_schema(void **state)
{
    static const char *const cases[][2] = {
        {"true", "true"},       {"FALSE", "false"},   {"yes", "\"yes\""},
        {"off", "\"off\""},     {"null", "null"},     {"~", "null"},
        {"", "null"},           {"12", "12"},         {"-7", "-7"},
        {"00", "0"},            {"0x1F", "31"},       {"0o17", "15"},
        {"0b1", "\"0b1\""},     {"1_000", "\"1_000\""}, {"1.5", "1.5"},
        {".5", "0.5"},          {"1e3", "1000.0"},    {"1.", "1.0"},
        {".", "\".\""},         {"\"00\"", "\"00\""}, {"'1'", "\"1\""},
        {"1.2.3", "\"1.2.3\""}, {"12:30", "\"12:30\""},
        {"2026-01-31", "\"2026-01-31\""}, {"a b", "\"a b\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *json = scalar(cases[i][0]);
        assert_non_null(json);
        assert_string_equal(json, cases[i][1]);
        free(json);
    }
}

/* {"a": {"a": ... 1}} with `depth` maps. */
static char *nested(size_t depth, bool json)
{
    char *text = calloc(depth + 1, 8);
    for (size_t i = 0; i < depth; i++) {
        strcat(text, json ? "{\"a\":" : "{a: ");
    }
    strcat(text, "1");
    for (size_t i = 0; i < depth; i++) {
        strcat(text, "}");
    }
    return text;
}

static void test_depth_at_its_limit_and_above(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        for (size_t more = 0; more < 2; more++) {
            struct gray_findings findings = {0};
            struct gray_documents *docs = gray_documents_new();
            char *inner = nested(GRAY_DOCUMENT_DEPTH_MAX - 1 + more, json);
            size_t size = strlen(inner) + 8;
            char *text = calloc(1, size);
            snprintf(text, size, json ? "[%s]" : "- %s", inner);
            assert_int_equal(add(docs, text, &findings), more ? -1 : 0);
            assert_int_equal(find_code(&findings, "too-deep") != NULL, more);
            free(inner);
            free(text);
            gray_documents_free(docs);
            gray_findings_free(&findings);
        }
    }
}

static void test_size_at_its_limit_and_above(void **state)
{
    size_t size = GRAY_DOCUMENT_BYTES_MAX;
    char *text = take(size + 2);
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    (void)state;
    memset(text, ' ', size + 1);
    memcpy(text, "{}", 2);
    assert_int_equal(gray_documents_add_text(docs, "t", text, size, &findings),
                     0);
    assert_int_equal(
        gray_documents_add_text(docs, "t", text, size + 1, &findings), -1);
    assert_non_null(find_code(&findings, "too-big"));
    free(text);
    gray_documents_free(docs);
    gray_findings_free(&findings);
}

static void test_several_documents(void **state)
{
    static const struct {
        const char *text;
        size_t count;
    } cases[] = {
        {"a: 1\n---\nb: 2\n", 2},
        {"# nothing\n---\na: 1\n---\n# nothing either\n", 1},
        {"- {a: 1}\n- {b: 2}\n- {c: 3}\n", 3},
        {"[{\"a\": 1}, {\"b\": 2}]", 2},
        {" \n\t{\"a\": 1}", 1},
        {"\xef\xbb\xbf"
         "a: 1\n", 1},
        {"\xef\xbb\xbf{\"a\": 1}", 1},
        {"%YAML 1.1\n---\na: 1\n...\n", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct gray_findings findings = {0};
        struct gray_documents *docs = gray_documents_new();
        assert_int_equal(add(docs, cases[i].text, &findings), 0);
        assert_int_equal(docs->count, cases[i].count);
        gray_documents_free(docs);
        gray_findings_free(&findings);
    }
}

static void test_nothing_to_read(void **state)
{
    static const char *const cases[] = {"", "# only this\n", "---\n", "[]"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct gray_findings findings = {0};
        struct gray_documents *docs = gray_documents_new();
        assert_int_equal(add(docs, cases[i], &findings), -1);
        assert_non_null(find_code(&findings, "no-document"));
        gray_documents_free(docs);
        gray_findings_free(&findings);
    }
}

static void test_every_duplicate_is_said(void **state)
{
    static const char text[] = "{\"a\": {\"x\": 1, \"x\": 2},\n"
                               " \"b\": 1, \"\\u0062\": 2}";
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    (void)state;
    assert_int_equal(add(docs, text, &findings), -1);
    assert_int_equal(findings.count, 2);
    assert_string_equal(findings.items[0].pointer, "/a/x");
    assert_string_equal(findings.items[1].pointer, "/b");
    assert_int_equal(findings.items[1].line, 2);
    gray_documents_free(docs);
    gray_findings_free(&findings);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_a_folder_and_a_file_of_ids(void **state)
{
    char folder[] = "/dev/shm/gray-documents-XXXXXX", path[300];
    static const char *const names[] = {"b.yaml", "a.json", "ids.txt",
                                        "c.txt"};
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    (void)state;
    assert_non_null(mkdtemp(folder));
    write_file(folder, "b.yaml", "kind: List\nname: b\nfile: ids.txt\n");
    write_file(folder, "a.json",
               "{\"kind\": \"List\", \"name\": \"a\", \"ids\": [\"9\"]}");
    write_file(folder, "ids.txt", "30\r\n4\n\n30\nzoe");
    write_file(folder, "c.txt", "this is no document");
    snprintf(path, sizeof(path), "%s/d.yaml", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(gray_documents_add(docs, folder, &findings), -1);
    assert_non_null(find_code(&findings, "cannot-read"));
    assert_int_equal(rmdir(path), 0);
    gray_findings_free(&findings);
    gray_documents_free(docs);

    docs = gray_documents_new();
    assert_int_equal(gray_documents_add(docs, folder, &findings), 0);
    struct gray_model *model = gray_model_check(docs, &findings);
    assert_non_null(model);
    assert_int_equal(model->list_count, 2);
    assert_int_equal(model->lists[1].id_count, 3);
    assert_string_equal(model->lists[1].ids[0].data, "30");
    assert_string_equal(model->lists[1].ids[1].data, "4");
    assert_string_equal(model->lists[1].ids[2].data, "zoe");
    assert_non_null(find_code(&findings, "repeated-id"));
    gray_documents_free(docs);
    gray_model_free(model);
    gray_findings_free(&findings);

    /* A line that is no id is said with its line. */
    write_file(folder, "ids.txt", "1\n2\n\x01\n");
    docs = gray_documents_new();
    assert_int_equal(gray_documents_add(docs, folder, &findings), 0);
    assert_null(gray_model_check(docs, &findings));
    assert_int_equal(find_code(&findings, "bad-text")->line, 3);
    gray_documents_free(docs);
    gray_findings_free(&findings);
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void test_what_cannot_be_read(void **state)
{
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    (void)state;
    assert_int_equal(gray_documents_add(docs, "/no/such/file", &findings), -1);
    assert_string_equal(findings.items[0].code, "cannot-read");
    gray_documents_free(docs);
    gray_findings_free(&findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_follow_the_core_schema),
        cmocka_unit_test(test_depth_at_its_limit_and_above),
        cmocka_unit_test(test_size_at_its_limit_and_above),
        cmocka_unit_test(test_several_documents),
        cmocka_unit_test(test_nothing_to_read),
        cmocka_unit_test(test_every_duplicate_is_said),
        cmocka_unit_test(test_a_folder_and_a_file_of_ids),
        cmocka_unit_test(test_what_cannot_be_read),
    };
    return cmocka_run_group_tests_name("documents", tests, NULL, NULL);
}
