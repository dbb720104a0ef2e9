/* SPDX-License-Identifier: Apache-2.0
 * rules_view.c - one release compiled as of a revision, and asked.
 *
 * Why: a decision of one release hangs on its document, its state and its
 * lists, so a world of just these (and the services that it names) is built
 * and compiled by grayd's own code; whole policies of long ago need not
 * compile any more.  Some are kept; whatever a rule looks at that the Check
 * has no column for makes its decisions unknown, never good.
 * Read next: rules.h, ../change/build.c, ../../ask/view.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask.h"
#include "control/change/build.h"
#include "control/recon/rules_parts.h"
#include "policy/model.h"

#define COOKIES_MAX 4096u

struct rules_view {
    uint64_t revision, used;
    struct build build;
    struct ask_view opened;
    uint32_t release; /* its number; GRAY_NONE: it did not compile */
    uint32_t share;   /* of the stage */
    bool looks;       /* its rules look at attributes */
    char why[200];    /* "": they have columns, all of them */
};

/* ---- the world of one release ------------------------------------------------- */

static int keep_tree(void *context, const struct store_item *item)
{
    *(json_t **)context =
        json_loadb(item->text, item->length, JSON_REJECT_DUPLICATES, NULL);
    return 1;
}

static json_t *read_item(const struct rules *rules, enum store_space space,
                         const char *name, uint64_t revision)
{
    struct gray_problem problem = {0};
    json_t *tree = NULL;

    store_read_item(rules->reader, space, name, revision, keep_tree, &tree,
                    &problem);
    return tree;
}

static void put_document(const struct rules *rules, struct world *world,
                         const char *kind, const char *name)
{
    char key[STORE_NAME_MAX + 1];
    json_t *tree;

    if (name == NULL || !world_key(kind, name, key) ||
        json_object_get(world->documents, key) != NULL) {
        return;
    }
    tree = read_item(rules, STORE_DOCUMENT, key, world->revision);
    if (tree != NULL) {
        world_put(world, kind, name, tree);
        json_decref(tree);
    }
}

static void put_services(const struct rules *rules, struct world *world,
                         const json_t *targets)
{
    const json_t *target;
    size_t i;

    json_array_foreach(targets, i, target) {
        put_document(rules, world, "Service",
                     json_string_value(json_object_get(target, "service")));
    }
}

static void fill_world(const struct rules *rules, struct world *world)
{
    const char *release = rules->check->release, *name;
    const json_t *document, *variant;
    json_t *status, *null;
    size_t i;

    put_document(rules, world, "Release", release);
    document = world_document(world, "Release", release);
    put_services(rules, world, json_object_get(document, "services"));
    json_array_foreach(json_object_get(document, "variants"), i, variant) {
        put_services(rules, world, json_object_get(variant, "services"));
    }
    json_object_foreach(rules->lists, name, null) {
        (void)null;
        put_document(rules, world, "List", name);
    }
    status = read_item(rules, STORE_RELEASE, release, world->revision);
    if (status != NULL) {
        json_object_set_new(world->releases, release,
                            json_pack("{s:o,s:I}", "status", status,
                                      "revision",
                                      (json_int_t)world->revision));
    }
}

/* ---- what its rules look at ------------------------------------------------------ */

struct need {
    const struct rules *rules;
    const struct model_release *release;
    struct rules_view *view;
};

static bool is_same(const struct model_text *name, const char *text)
{
    return text != NULL && strlen(text) == name->length &&
           memcmp(name->data, text, name->length) == 0;
}

static const char *source_word(uint8_t source)
{
    switch (source) {
#define GRAY_SOURCE(NAME, number, word, named, doc)                            \
    case number:                                                               \
        return word;
#include "engine/sources.def"
#undef GRAY_SOURCE
    default:
        return "attribute";
    }
}

/* Parts of a target are in its column `path`. */
static uint8_t column_source(uint8_t source)
{
    return source == GRAY_SOURCE_SEGMENT || source == GRAY_SOURCE_QUERY ||
                   source == GRAY_SOURCE_GRPC_SERVICE ||
                   source == GRAY_SOURCE_GRPC_METHOD
               ? GRAY_SOURCE_PATH
               : source;
}

static void need_attribute(struct need *need, const struct cond *cond)
{
    const struct check *check = need->rules->check;
    const struct model_unit *unit = &need->release->units[0];
    uint8_t source = column_source(cond->source);

    if (cond->source == GRAY_SOURCE_UNIT || cond->source == GRAY_SOURCE_TIME ||
        (cond->source == unit->source && unit->name.length ==
                                             cond->name.length &&
         memcmp(unit->name.data, cond->name.data, cond->name.length) == 0)) {
        return; /* the unit itself, and the moment, are known */
    }
    need->view->looks = true;
    for (size_t i = 0; i < check->attribute_count; i++) {
        if (check->attributes[i].source == source &&
            (source == GRAY_SOURCE_PATH ||
             is_same(&cond->name, check->attributes[i].name))) {
            return;
        }
    }
    if (need->view->why[0] == '\0') {
        snprintf(need->view->why, sizeof(need->view->why),
                 "no column for %s %.*s", source_word(cond->source),
                 (int)cond->name.length,
                 cond->name.data != NULL ? cond->name.data : "");
    }
}

static void need_cond(struct need *need, const struct cond *cond)
{
    if (cond == NULL) {
        return;
    }
    if (cond->kind == COND_TEST) {
        need_attribute(need, cond);
    }
    for (uint32_t i = 0; i < cond->child_count; i++) {
        need_cond(need, &cond->children[i]);
    }
}

static void need_rules(struct need *need, const struct model_rule *rules,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        need_cond(need, rules[i].when);
    }
}

static const struct model_release *model_release(const struct rules *rules,
                                                 const struct build *build)
{
    for (uint32_t i = 0; i < build->model->release_count; i++) {
        if (strcmp(build->model->releases[i].name, rules->check->release) ==
            0) {
            return &build->model->releases[i];
        }
    }
    return NULL;
}

static const struct model_stage *model_stage(const struct rules *rules,
                                             const struct model_release *model)
{
    for (uint32_t i = 0; rules->check->stage != NULL && i < model->stage_count;
         i++) {
        if (strcmp(model->stages[i].name, rules->check->stage) == 0) {
            return &model->stages[i];
        }
    }
    return NULL;
}

static void look(const struct rules *rules, struct rules_view *view)
{
    struct need need = {rules, model_release(rules, &view->build), view};
    const struct model_release *model = need.release;
    const struct model_stage *stage;

    if (model == NULL) {
        return;
    }
    stage = model_stage(rules, model);
    view->share = stage != NULL ? stage->share : model->share;
    need_cond(&need, model->require);
    need_rules(&need, model->deny, model->deny_count);
    need_rules(&need, model->allow, model->allow_count);
    need_rules(&need, model->match, model->match_count);
}

/* ---- views --------------------------------------------------------------------- */

static void view_free(struct rules_view *view)
{
    if (view != NULL) {
        ask_view_close(&view->opened);
        build_clear(&view->build);
        free(view);
    }
}

static struct rules_view *view_make(const struct rules *rules,
                                    uint64_t revision)
{
    struct rules_view *view = calloc(1, sizeof(*view));
    struct world world = {.revision = revision,
                          .documents = json_object(),
                          .since = json_object(),
                          .releases = json_object()};
    struct gray_compile_options options = {.revision = revision};
    struct gray_problem problem = {0};
    struct gray_str name = {rules->check->release,
                            (uint32_t)strlen(rules->check->release)};

    if (view == NULL) {
        world_free(&world);
        return NULL;
    }
    view->revision = revision;
    view->release = GRAY_NONE;
    fill_world(rules, &world);
    options.now = rules_of(rules, revision) != NULL
                      ? rules_of(rules, revision)->at
                      : 0;
    if (build_check(&view->build, &world, NULL) == 0 &&
        build_compile(&view->build, &options) == 0 &&
        ask_view_open(&view->opened, &view->build.compiled, &problem) == 0) {
        view->release = gray_find_release(&view->opened.snapshot, name);
        look(rules, view);
    }
    if (view->release == GRAY_NONE) {
        snprintf(view->why, sizeof(view->why),
                 "revision %llu does not compile by today's checks",
                 (unsigned long long)revision);
    }
    world_free(&world);
    return view;
}

static struct rules_view *view_of(struct rules *rules, uint64_t revision)
{
    struct rules_view **place = &rules->views[0];

    revision = rules_change_of(rules, revision);
    for (size_t i = 0; i < RULES_VIEWS; i++) {
        struct rules_view **here = &rules->views[i];

        if (*here != NULL && (*here)->revision == revision) {
            (*here)->used = ++rules->used;
            return *here;
        }
        if (*place != NULL && (*here == NULL || (*here)->used <
                                                    (*place)->used)) {
            place = here;
        }
    }
    view_free(*place);
    *place = view_make(rules, revision);
    if (*place != NULL) {
        (*place)->used = ++rules->used;
    }
    return *place;
}

void rules_views_clear(struct rules *rules)
{
    for (size_t i = 0; i < RULES_VIEWS; i++) {
        view_free(rules->views[i]);
        rules->views[i] = NULL;
    }
}

uint8_t rules_view_space(struct rules *rules)
{
    struct rules_view *view =
        view_of(rules, rules->changes[rules->change_count - 1].revision);
    const struct model_release *model =
        view != NULL && view->build.model != NULL
            ? model_release(rules, &view->build)
            : NULL;
    const struct model_stage *stage =
        model != NULL ? model_stage(rules, model) : NULL;

    return stage != NULL ? stage->space : 0;
}

/* ---- decide ------------------------------------------------------------------------ */

static struct gray_str str(const char *text)
{
    return (struct gray_str){text, (uint32_t)strlen(text)};
}

static void feed_header(struct gray_input *in, const char *name,
                        struct gray_str value)
{
    char lower[256];
    size_t length = strlen(name);

    if (length < sizeof(lower)) {
        for (size_t i = 0; i <= length; i++) {
            char c = name[i];

            lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        gray_input_header(in, gray_hash_name(lower, length), str(lower),
                          value);
    }
}

static bool feed_address(struct gray_input *in, const char *text)
{
    struct in6_addr wide;
    struct in_addr narrow;
    uint8_t bytes[16] = {0};

    if (inet_pton(AF_INET, text, &narrow) == 1) {
        bytes[10] = bytes[11] = 0xff;
        memcpy(bytes + 12, &narrow, 4);
    } else if (inet_pton(AF_INET6, text, &wide) == 1) {
        memcpy(bytes, &wide, 16);
    } else {
        return false;
    }
    gray_input_address(in, bytes);
    return true;
}

/* The cookies of a row as one header. */
static bool add_cookie(char *cookies, size_t *length, const char *name,
                       struct gray_str value)
{
    int more = snprintf(cookies + *length, COOKIES_MAX - *length,
                        "%s%s=%.*s", *length > 0 ? "; " : "", name,
                        (int)value.length, value.data);

    if (more < 0 || (size_t)more >= COOKIES_MAX - *length ||
        memchr(value.data, ';', value.length) != NULL) {
        return false;
    }
    *length += (size_t)more;
    return true;
}

/* False: the row has a value that no request could have had. */
static bool feed(const struct check *check, struct gray_input *in,
                 const struct rules_attribute *values,
                 char cookies[COOKIES_MAX])
{
    size_t length = 0;
    bool good = true;

    for (size_t i = 0; values != NULL && i < check->attribute_count; i++) {
        const struct check_attribute *a = &check->attributes[i];
        struct gray_str value = values[i].value;

        if (a->column == NULL || value.data == NULL) {
            continue; /* the request had none */
        }
        switch (a->source) {
        case GRAY_SOURCE_METHOD: gray_input_method(in, value); break;
        case GRAY_SOURCE_HOST: gray_input_host(in, value); break;
        case GRAY_SOURCE_PATH: gray_input_target(in, value); break;
        case GRAY_SOURCE_HEADER: feed_header(in, a->name, value); break;
        case GRAY_SOURCE_ADDRESS: good &= feed_address(in, value.data); break;
        case GRAY_SOURCE_COOKIE:
            good &= add_cookie(cookies, &length, a->name, value);
            break;
        default:
            gray_input_named(in, (enum gray_source)a->source, str(a->name),
                             value);
            break;
        }
    }
    if (length > 0) {
        feed_header(in, "cookie", (struct gray_str){cookies,
                                                    (uint32_t)length});
    }
    return good;
}

void rules_decide(struct rules *rules, uint64_t revision, int64_t at,
                  struct gray_str unit,
                  const struct rules_attribute *attributes,
                  struct rules_verdict *ret_verdict)
{
    struct rules_view *view = view_of(rules, revision);
    const struct check *check = rules->check;
    struct gray_verdict verdict;
    struct gray_input input;
    char cookies[COOKIES_MAX];

    *ret_verdict = (struct rules_verdict){.bucket = GRAY_NONE};
    if (view == NULL || view->why[0] != '\0') {
        ret_verdict->why = view != NULL ? view->why : "memory is at its end";
        return;
    }
    if (view->looks && attributes == NULL) {
        ret_verdict->why = "no row with the attributes";
        return;
    }
    gray_input_begin(&input, &view->opened.snapshot, at, 0);
    if (check->stage != NULL) {
        input.stage = str(check->stage);
    }
    input.unproven = true;
    if (!feed(check, &input, attributes, cookies)) {
        ret_verdict->why = "an attribute that no request can have";
        return;
    }
    gray_input_unit(&input, unit);
    gray_decide_release(&view->opened.view, view->release, &input, NULL, NULL,
                        &verdict, NULL);
    *ret_verdict = (struct rules_verdict){
        .judged = true,
        .in = verdict.in != 0,
        .variant = verdict.variant,
        .reason = verdict.reason,
        .bucket = verdict.bucket,
        .share = view->share,
        .why = "",
    };
}
