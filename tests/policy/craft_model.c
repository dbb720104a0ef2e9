/* SPDX-License-Identifier: Apache-2.0
 * craft_model.c - see craft_model.h.
 *
 * Why: hand-made models are many small pieces; they live in one chain that a
 * test takes down as a whole.
 * Read next: test_compile.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"

static struct piece {
    struct piece *next;
    max_align_t data[];
} *pieces;

void *craft(size_t size)
{
    struct piece *piece = calloc(1, sizeof(*piece) + size);

    assert_non_null(piece);
    piece->next = pieces;
    pieces = piece;
    return piece->data;
}

void craft_free(void)
{
    while (pieces != NULL) {
        struct piece *next = pieces->next;

        free(pieces);
        pieces = next;
    }
}

char *craft_print(const char *format, ...)
{
    char buffer[512];
    va_list arguments;
    char *text;

    va_start(arguments, format);
    vsnprintf(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    text = craft(strlen(buffer) + 1);
    memcpy(text, buffer, strlen(buffer) + 1);
    return text;
}

struct model_text craft_text(const char *text)
{
    struct model_text out = {text, (uint32_t)strlen(text)};

    return out;
}

/* ---- conditions ---------------------------------------------------------- */

struct cond *craft_test(uint8_t source, const char *name, uint8_t op,
                        const char *text)
{
    struct cond *cond = craft(sizeof(*cond));

    cond->kind = COND_TEST;
    cond->source = source;
    cond->name = craft_text(name);
    cond->op = op;
    cond->text = craft_text(text == NULL ? "" : text);
    cond->pointer = "/admission/allow/0";
    return cond;
}

static int by_bytes(const void *left, const void *right)
{
    const struct model_text *a = left, *b = right;

    return strcmp(a->data, b->data);
}

struct cond *craft_texts(uint8_t source, const char *name, uint8_t op,
                         const char *const *texts)
{
    struct cond *cond = craft_test(source, name, op, NULL);
    uint32_t i;

    while (texts[cond->text_count] != NULL) {
        cond->text_count++;
    }
    cond->texts = craft(cond->text_count * sizeof(*cond->texts));
    for (i = 0; i < cond->text_count; i++) {
        cond->texts[i] = craft_text(texts[i]);
    }
    qsort(cond->texts, cond->text_count, sizeof(*cond->texts), by_bytes);
    return cond;
}

static struct cond *join(enum cond_kind kind, struct cond *a, struct cond *b)
{
    struct cond *cond = craft(sizeof(*cond));

    cond->kind = kind;
    cond->child_count = b == NULL ? 1 : 2;
    cond->children = craft(2 * sizeof(*cond->children));
    cond->children[0] = *a;
    if (b != NULL) {
        cond->children[1] = *b;
    }
    cond->pointer = a->pointer;
    return cond;
}

struct cond *craft_all(struct cond *a, struct cond *b)
{
    return join(COND_ALL, a, b);
}

struct cond *craft_any(struct cond *a, struct cond *b)
{
    return join(COND_ANY, a, b);
}

struct cond *craft_not(struct cond *a)
{
    return join(COND_NOT, a, NULL);
}

/* ---- a small shop -------------------------------------------------------- */

static struct model_endpoint craft_endpoint(uint16_t port, const char *version)
{
    struct model_endpoint endpoint = {
        .address = craft_print("127.0.0.1:%u", port),
        .bytes = {127, 0, 0, 1},
        .port = port,
        .family = GRAY_FAMILY_IPV4,
        .weight = 1};

    endpoint.labels = craft(2 * sizeof(*endpoint.labels));
    endpoint.labels[0] = (struct model_label){"version", version};
    endpoint.label_count = 1;
    return endpoint;
}

static struct model_service craft_service(const char *name, uint16_t port)
{
    struct model_service service = {.name = name, .baseline_version = "v1"};

    service.baseline = craft(sizeof(*service.baseline));
    service.baseline[0] = (struct model_label){"version", "v1"};
    service.baseline_count = 1;
    service.endpoints = craft(4 * sizeof(*service.endpoints));
    service.endpoints[0] = craft_endpoint(port, "v1");
    service.endpoints[1] = craft_endpoint((uint16_t)(port + 1), "v2");
    /* One more of v1, in lane red. */
    service.endpoints[2] = craft_endpoint((uint16_t)(port + 2), "v1");
    service.endpoints[2].labels[1] = (struct model_label){"lane", "red"};
    service.endpoints[2].label_count = 2;
    service.endpoint_count = 3;
    return service;
}

static struct model_release craft_release(void)
{
    struct model_release release = {
        .name = "cart-2",
        .salt = "cart-2",
        .order = {GRAY_STEP_DENY, GRAY_STEP_ALLOW, GRAY_STEP_MARK,
                  GRAY_STEP_RULES, GRAY_STEP_EVIDENCE, GRAY_STEP_END},
        .stickiness = GRAY_STICKY_MONOTONIC,
        .units = {{GRAY_SOURCE_COOKIE, {"uid", 3}}},
        .unit_count = 1,
        .variant_count = 1};

    release.variants = craft(sizeof(*release.variants));
    release.variants[0].name = "";
    release.variants[0].upto = GRAY_SHARE_ALL;
    release.variants[0].targets = craft(sizeof(struct model_target));
    release.variants[0].targets[0] = (struct model_target){0, "v2"};
    release.variants[0].target_count = 1;
    return release;
}

struct gray_model *craft_model(void)
{
    struct gray_model *model = craft(sizeof(*model));

    model->services = craft(2 * sizeof(*model->services));
    model->services[0] = craft_service("cart", 9100);
    model->services[1] = craft_service("order", 9200);
    model->service_count = 2;
    model->releases = craft(sizeof(*model->releases));
    model->releases[0] = craft_release();
    model->release_count = 1;
    model->entrances = craft(sizeof(*model->entrances));
    model->entrances[0].name = "";
    model->entrances[0].releases = craft(sizeof(uint32_t));
    model->entrances[0].release_count = 1;
    model->entrance_count = 1;
    model->source = "[]";
    model->source_length = 2;
    return model;
}

static struct model_rule *craft_rules(struct cond *const *conds,
                                      uint32_t count, const char *word)
{
    struct model_rule *rules = craft(count * sizeof(*rules));
    uint32_t i;

    for (i = 0; i < count; i++) {
        rules[i].name = craft_print("%s[%u]", word, i);
        rules[i].when = conds[i];
    }
    return rules;
}

void craft_allow(struct model_release *release, struct cond *const *conds,
                 uint32_t count)
{
    release->allow = craft_rules(conds, count, "allow");
    release->allow_count = count;
}

void craft_lane_rules(struct gray_model *model, struct cond *const *conds,
                      uint32_t count)
{
    model->entrances[0].lane_rules = craft_rules(conds, count, "red");
    model->entrances[0].lane_rule_count = count;
}

struct model_lane craft_lane(const char *name, const uint32_t *services)
{
    struct model_lane lane = {.name = name, .group = "shop", .enabled = true};

    while (services[lane.service_count] != GRAY_NONE) {
        lane.service_count++;
    }
    lane.services = craft(lane.service_count * sizeof(uint32_t));
    memcpy(lane.services, services, lane.service_count * sizeof(uint32_t));
    lane.selector = craft(sizeof(*lane.selector));
    lane.selector[0] = (struct model_label){"lane", name};
    lane.selector_count = 1;
    return lane;
}

/* ---- compiled ------------------------------------------------------------ */

static void open_lists(struct craft_compiled *c)
{
    const struct gray_list_ref *refs =
        (const void *)(c->policy.base + c->policy.policy->lists.offset);
    uint32_t i;
    size_t k;

    for (i = 0; i < c->policy.policy->lists.count; i++) {
        struct gray_str file = gray_text(&c->policy, refs[i].file);

        for (k = 0; k < c->files.list_count; k++) {
            if (memcmp(c->files.lists[k].name, file.data, file.length) == 0) {
                break;
            }
        }
        assert_true(k < c->files.list_count);
        assert_int_equal(gray_list_open(&c->lists[i], c->files.lists[k].data,
                                        c->files.lists[k].size, NULL),
                         0);
    }
    c->view.lists = c->lists;
    c->view.list_count = i;
}

void craft_compile(struct craft_compiled *ret, const struct gray_model *model,
                   bool no_index)
{
    struct gray_compile_options options = {.revision = 7,
                                           .no_index = no_index};
    struct gray_findings findings = {NULL, 0, 0, 0};
    size_t size;
    int result;

    memset(ret, 0, sizeof(*ret));
    result = gray_compile(model, &options, &ret->files, &findings);
    if (result != 0) {
        gray_findings_print(&findings, stderr);
    }
    gray_findings_free(&findings);
    assert_int_equal(result, 0);
    assert_int_equal(gray_snapshot_open(&ret->policy, ret->files.policy.data,
                                        ret->files.policy.size, NULL),
                     0);
    assert_int_equal(gray_fleet_open(&ret->fleet, ret->files.fleet.data,
                                     ret->files.fleet.size, NULL),
                     0);
    size = gray_link_size(&ret->policy, &ret->fleet);
    ret->link_memory = malloc(size + 8);
    assert_int_equal(gray_link_build(&ret->link, &ret->policy, &ret->fleet,
                                     ret->link_memory, size),
                     0);
    ret->view.policy = &ret->policy;
    ret->view.fleet = &ret->fleet;
    ret->view.link = &ret->link;
    open_lists(ret);
}

void craft_compiled_free(struct craft_compiled *compiled)
{
    gray_compiled_free(&compiled->files);
    free(compiled->link_memory);
}

void craft_input(struct gray_input *in, const struct craft_compiled *compiled,
                 const char *target, const char *const *headers)
{
    struct gray_str path = {target, (uint32_t)strlen(target)};

    gray_input_begin(in, &compiled->policy, 1767225600000, 0);
    gray_input_method(in, (struct gray_str){"GET", 3});
    gray_input_target(in, path);
    for (; headers != NULL && *headers != NULL; headers++) {
        const char *colon = strstr(*headers, ": ");
        struct gray_str name = {*headers, (uint32_t)(colon - *headers)};
        struct gray_str value = {colon + 2, (uint32_t)strlen(colon + 2)};
        uint32_t hash = gray_hash_name(name.data, name.length);

        if (gray_input_wants(&compiled->policy, hash)) {
            gray_input_header(in, hash, name, value);
        }
    }
}

bool craft_allowed(struct gray_model *model, struct cond *cond,
                    const char *target, const char *const *headers)
{
    struct craft_compiled compiled;
    struct gray_verdict verdict;
    struct gray_input in;

    craft_allow(&model->releases[0], &cond, 1);
    craft_compile(&compiled, model, false);
    craft_input(&in, &compiled, target, headers);
    gray_decide_release(&compiled.view, 0, &in, NULL, NULL, &verdict, NULL);
    craft_compiled_free(&compiled);
    return verdict.in != 0;
}

bool craft_header_allowed(struct gray_model *model, struct cond *cond,
                           const char *value)
{
    const char *headers[3] = {"cookie: uid=1001",
                              craft_print("x-a: %s", value), NULL};

    return craft_allowed(model, cond, "/", headers);
}
