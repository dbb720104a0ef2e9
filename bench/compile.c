/* SPDX-License-Identifier: Apache-2.0
 * compile.c - how long it takes from documents to files.
 *
 * Why: an operator who changes one of a hundred thousand rules should not wait,
 * and neither should a fleet that must stop a release.  Prints the best of
 * three runs, `name value unit` a line:
 *   compile_100k_rules_ms      YAML text of 100,000 lane rules to a snapshot
 *   compile_100k_rules_json_ms the same as JSON
 *   compile_100k_model_ms      the part of it from the checked model on
 *   list_10m_build_ms          10 million ids to a list file, from the model
 * Read next: ../policy/compile.c, ../policy/list_build.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/compile.h"

#define RULES 100000u
#define IDS 10000000u
#define RUNS 3

struct text {
    char *data;
    size_t length, capacity;
};

static void __attribute__((format(printf, 2, 3)))
put(struct text *text, const char *format, ...)
{
    va_list arguments;
    int length;

    if (text->capacity - text->length < 256) {
        text->capacity = text->capacity == 0 ? 1 << 20 : text->capacity * 2;
        text->data = realloc(text->data, text->capacity);
        if (text->data == NULL) {
            abort();
        }
    }
    va_start(arguments, format);
    length = vsnprintf(text->data + text->length, 256, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* One rule in four has a path beside the tenant. */
static struct text yaml_rules(void)
{
    struct text text = {NULL, 0, 0};
    uint32_t i;

    put(&text, "kind: Service\nname: cart\nbaseline: {version: v1}\n"
               "versions:\n  v1: {endpoints: [\"127.0.0.1:9101\"]}\n---\n"
               "kind: Lane\nname: red\nservices: [cart]\nrules:\n");
    for (i = 0; i < RULES; i++) {
        put(&text, "  - name: rule-%u\n    when:\n", i);
        if (i % 4 == 0) {
            put(&text,
                "      all:\n"
                "        - header: {name: x-tenant, exact: tenant-%u}\n"
                "        - path: {prefix: /shop/%u}\n",
                i, i % 100);
        } else {
            put(&text, "      header: {name: x-tenant, exact: tenant-%u}\n",
                i);
        }
    }
    return text;
}

static struct text json_rules(void)
{
    struct text text = {NULL, 0, 0};
    uint32_t i;

    put(&text,
        "[{\"kind\":\"Service\",\"name\":\"cart\",\"baseline\":{\"version\":"
        "\"v1\"},\"versions\":{\"v1\":{\"endpoints\":[\"127.0.0.1:9101\"]}}},"
        "{\"kind\":\"Lane\",\"name\":\"red\",\"services\":[\"cart\"],"
        "\"rules\":[");
    for (i = 0; i < RULES; i++) {
        put(&text, "%s{\"name\":\"rule-%u\",\"when\":", i == 0 ? "" : ",", i);
        if (i % 4 == 0) {
            put(&text,
                "{\"all\":[{\"header\":{\"name\":\"x-tenant\",\"exact\":"
                "\"tenant-%u\"}},{\"path\":{\"prefix\":\"/shop/%u\"}}]}}",
                i, i % 100);
        } else {
            put(&text,
                "{\"header\":{\"name\":\"x-tenant\",\"exact\":\"tenant-%u\"}}}",
                i);
        }
    }
    put(&text, "]}]");
    return text;
}

static void compile_text(const struct text *text, double *ret_all,
                         double *ret_model)
{
    struct gray_compile_options options = {.revision = 1};
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct gray_documents *docs;
    struct gray_compiled compiled;
    struct gray_model *model;
    double start, middle, end;

    start = now_ms();
    docs = gray_documents_new();
    if (docs == NULL || gray_documents_add_text(docs, "bench", text->data,
                                                text->length, &findings)) {
        gray_findings_print(&findings, stderr);
        exit(1);
    }
    model = gray_model_check(docs, &findings);
    middle = now_ms();
    if (model == NULL ||
        gray_compile(model, &options, &compiled, &findings) != 0) {
        gray_findings_print(&findings, stderr);
        exit(1);
    }
    end = now_ms();
    *ret_all = *ret_all == 0 || end - start < *ret_all ? end - start : *ret_all;
    *ret_model =
        *ret_model == 0 || end - middle < *ret_model ? end - middle
                                                     : *ret_model;
    gray_compiled_free(&compiled);
    gray_model_free(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
}

static void compile_rules(void)
{
    struct text yaml = yaml_rules(), json = json_rules();
    double all = 0, model = 0, all_json = 0, ignored = 0;
    int i;

    for (i = 0; i < RUNS; i++) {
        compile_text(&yaml, &all, &model);
        compile_text(&json, &all_json, &ignored);
    }
    printf("compile_100k_rules_ms %.0f ms\n", all);
    printf("compile_100k_rules_json_ms %.0f ms\n", all_json);
    printf("compile_100k_model_ms %.0f ms\n", model);
    free(yaml.data);
    free(json.data);
}

/* Three numbers in four, one text; ids as they stand in a model. */
static void build_list(void)
{
    struct model_list list = {"bench", false, NULL, IDS};
    char *texts = malloc((size_t)IDS * 20), *at = texts;
    struct gray_file file;
    struct build build;
    double start, end;
    uint32_t i;

    memset(&build, 0, sizeof(build));
    list.ids = malloc((size_t)IDS * sizeof(*list.ids));
    if (texts == NULL || list.ids == NULL) {
        abort();
    }
    for (i = 0; i < IDS; i++) {
        list.ids[i].data = at;
        list.ids[i].length = (uint32_t)sprintf(
            at, i % 4 == 0 ? "user-%u" : "%u", i * 7u);
        at += list.ids[i].length + 1;
    }
    start = now_ms();
    if (list_build(&build, &list, &file) != 0) {
        exit(1);
    }
    end = now_ms();
    printf("list_10m_build_ms %.0f ms\n", end - start);
    free(file.data);
    free(list.ids);
    free(texts);
}

int main(void)
{
    compile_rules();
    build_list();
    return 0;
}
