/* SPDX-License-Identifier: Apache-2.0
 * test_bad.c - each document of bad/ is refused, in the right words and place.
 *
 * Why: a refusal with the wrong place sends people looking where nothing is.
 * bad/expected.txt gives code, line, column and JSON pointer of the one fault
 * of each file.  Beside each stands the same document mended: it must pass,
 * so that the planted fault alone is what was found.
 * Read next: bad/expected.txt.
 */
#include "tests/policy/read_policy.h"

#include <dirent.h>

static const char *folder;

struct expected {
    char file[128], code[64], pointer[256];
    unsigned line, column;
};

static struct gray_model *read_file(const char *name,
                                    struct gray_findings *findings)
{
    char path[4096];
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (gray_documents_add(docs, path, findings) == 0) {
        model = gray_model_check(docs, findings);
    }
    gray_documents_free(docs);
    return model;
}

static void fail_with(const struct expected *want,
                      const struct gray_findings *findings, const char *why)
{
    fprintf(stderr, "%s: %s; wanted one error %s at %u:%u %s, found:\n",
            want->file, why, want->code, want->line, want->column,
            want->pointer);
    gray_findings_print(findings, stderr);
    fail();
}

static void check_bad(const struct expected *want)
{
    struct gray_findings findings = {0};
    struct gray_model *model = read_file(want->file, &findings);
    const struct gray_finding *error = NULL;
    for (size_t i = 0; i < findings.count; i++) {
        if (findings.items[i].severity == GRAY_ERROR) {
            error = &findings.items[i];
        }
    }
    if (model != NULL || findings.errors != 1 || error == NULL) {
        fail_with(want, &findings, "not exactly one error");
    }
    const char *name = strrchr(error->file, '/') + 1;
    if (strcmp(error->code, want->code) != 0 || error->line != want->line ||
        error->column != want->column || strcmp(name, want->file) != 0 ||
        strcmp(error->pointer, want->pointer) != 0) {
        fail_with(want, &findings, "another code or place");
    }
    assert_true(strlen(error->sentence) > 20);
    gray_findings_free(&findings);
}

static void check_mended(const struct expected *want)
{
    struct gray_findings findings = {0};
    char name[256];
    const char *dot = strrchr(want->file, '.');
    snprintf(name, sizeof(name), "%.*s.mended%s", (int)(dot - want->file),
             want->file, dot);
    struct gray_model *model = read_file(name, &findings);
    if (model == NULL) {
        fail_with(want, &findings, "not accepted when mended");
    }
    gray_model_free(model);
    gray_findings_free(&findings);
}

static size_t count_files(void)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        count += entry->d_name[0] != '.' &&
                 strstr(entry->d_name, ".mended.") == NULL &&
                 strcmp(entry->d_name, "expected.txt") != 0;
    }
    closedir(dir);
    return count;
}

static void test_every_bad_document_is_refused(void **state)
{
    char path[4096], line[1024];
    size_t checked = 0;
    (void)state;
    snprintf(path, sizeof(path), "%s/expected.txt", folder);
    FILE *table = fopen(path, "r");
    assert_non_null(table);
    while (fgets(line, sizeof(line), table) != NULL) {
        struct expected want;
        if (line[0] == '#') {
            continue;
        }
        assert_int_equal(sscanf(line, "%127s %63s %u %u %255s", want.file,
                                want.code, &want.line, &want.column,
                                want.pointer),
                         5);
        if (strcmp(want.pointer, "-") == 0) {
            want.pointer[0] = '\0';
        }
        check_bad(&want);
        check_mended(&want);
        checked++;
    }
    fclose(table);
    assert_true(checked >= 40);
    assert_int_equal(checked, count_files());
    printf("%zu bad documents, each refused, each accepted when mended\n",
           checked);
}

static void test_nothing_is_left_of_a_bad_file(void **state)
{
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    static const char bad[] = "kind: List\nname: a\nids: []\n---\n{";
    static const char good[] = "kind: List\nname: b\nids: []\n";
    (void)state;
    assert_int_equal(gray_documents_add_text(docs, "good", good,
                                             strlen(good), &findings),
                     0);
    assert_int_equal(
        gray_documents_add_text(docs, "bad", bad, strlen(bad), &findings), -1);
    gray_findings_free(&findings);
    struct gray_model *model = gray_model_check(docs, &findings);
    assert_non_null(model);
    assert_int_equal(model->list_count, 1);
    assert_string_equal(model->lists[0].name, "b");
    gray_model_free(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bad_document_is_refused),
        cmocka_unit_test(test_nothing_is_left_of_a_bad_file),
    };
    folder = argc > 1 ? argv[1] : "bad";
    return cmocka_run_group_tests_name("bad", tests, NULL, NULL);
}
