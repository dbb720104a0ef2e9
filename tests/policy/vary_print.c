/* SPDX-License-Identifier: Apache-2.0
 * vary_print.c - invented releases as documents, and requests for them.
 *
 * Why: see vary.h.
 * Read next: test_monotone.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/policy/vary.h"

struct out {
    char *data;
    size_t length, capacity;
};

static void put(struct out *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put(struct out *o, const char *format, ...)
{
    char buffer[512];
    va_list list;
    int length;

    va_start(list, format);
    length = vsnprintf(buffer, sizeof(buffer), format, list);
    va_end(list);
    if (o->length + (size_t)length + 1 > o->capacity) {
        o->capacity = (o->capacity + (size_t)length) * 2 + 256;
        o->data = realloc(o->data, o->capacity);
        if (o->data == NULL) {
            abort();
        }
    }
    memcpy(o->data + o->length, buffer, (size_t)length + 1);
    o->length += (size_t)length;
}

/* ---- conditions -------------------------------------------------------------------- */

static const char *const heads[VARY_ATTRIBUTES] = {
    [VARY_UID] = "cookie: {name: uid, ",
    [VARY_PLAN] = "header: {name: x-plan, ",
    [VARY_REGION] = "attr: {name: region, ",
    [VARY_PATH] = "path: {",
    [VARY_HOST] = "host: {",
    [VARY_QUERY] = "query: {name: mode, ",
    [VARY_VERSION] = "header: {name: x-version, ",
    [VARY_DATE] = "query: {name: since, ",
    [VARY_SOURCE] = "source: {",
};
static const char *const plans[] = {"gold", "silver", "bronze", "gold-plus",
                                    "Gold", "free"};
static const char *const regions[] = {"hz", "sh", "bj", "sz", "hzx", "s"};
static const char *const paths[] = {"/cart", "/cart/1", "/order", "/order/9",
                                    "/", "/car"};
static const char *const hosts[] = {"a.shop.com", "b.shop.com", "shop.com",
                                    "shop.org", "a", "x.a.shop.com"};
static const char *const modes[] = {"beta", "alpha", "be",
                                    "b",    "canary", "off"};
static const char *const uids[] = {"100", "101", "7", "2000", "31", "99999"};
static const char *const *const values_of[VARY_ATTRIBUTES] = {
    [VARY_UID] = uids,   [VARY_PLAN] = plans, [VARY_REGION] = regions,
    [VARY_PATH] = paths, [VARY_HOST] = hosts, [VARY_QUERY] = modes};
static const char *const days[] = {"", "days: [mon, tue, fri], ",
                                   "days: [sat, sun], "};
static const char *const zones[] = {"UTC", "Asia/Shanghai"};
static const char *const networks[] = {"10.0.0.0", "11.0.0.0", "12.0.0.0"};

static void put_values(struct out *o, const struct vary_node *test)
{
    put(o, "[");
    for (uint32_t i = 0; i < test->count; i++) {
        const char *between = i == 0 ? "" : ", ";

        if (test->op == GRAY_CONDITION_ID_TAIL) {
            put(o, "%s'%0*d'", between, (int)test->width, test->values[i]);
        } else if (test->op == GRAY_CONDITION_MOD) {
            put(o, "%s%d", between, test->values[i]);
        } else {
            put(o, "%s'%s'", between,
                values_of[test->attribute][test->values[i]]);
        }
    }
    put(o, "]");
}

static void put_operand(struct out *o, const struct vary_node *test)
{
    switch (test->op) {
    case GRAY_CONDITION_RANGE:
        put(o, "range: {start: %lld, end: %lld}", (long long)test->number[0],
            (long long)test->number[1]);
        return;
    case GRAY_CONDITION_MOD:
        put(o, "mod: {divisor: %lld, in: ", (long long)test->number[0]);
        put_values(o, test);
        put(o, "}");
        return;
    case GRAY_CONDITION_PERCENT:
        put(o, "percent: {share: %lld, salt: %s}", (long long)test->number[0],
            test->text);
        return;
    case GRAY_CONDITION_LIST:
        put(o, "list: l%d", test->values[0]);
        return;
    case GRAY_CONDITION_ID_TAIL:
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_NOT_IN:
        put(o, "%s: ", gray_condition_word(test->op));
        put_values(o, test);
        break;
    case GRAY_CONDITION_CIDR:
        put(o, "cidr: [%s/%lld]", networks[test->number[0]],
            (long long)test->number[1]);
        return;
    case GRAY_CONDITION_DATE:
        put(o, "date: {after: '2026-%02lld-01T00:00:00Z', before: "
               "'2026-%02lld-15T12:00:00Z'}",
            (long long)test->number[0], (long long)test->number[1]);
        return;
    case GRAY_CONDITION_PRESENT:
    case GRAY_CONDITION_ABSENT:
    case GRAY_CONDITION_BLANK:
        put(o, "%s: true", gray_condition_word(test->op));
        return;
    default:
        put(o, "%s: '%s'", gray_condition_word(test->op), test->text);
        break;
    }
    put(o, test->ignore_case ? ", ignoreCase: true" : "");
}

static bool has_short_form(uint8_t op)
{
    return op == GRAY_CONDITION_ID_TAIL || op == GRAY_CONDITION_MOD ||
           op == GRAY_CONDITION_PERCENT || op == GRAY_CONDITION_LIST;
}

static void put_cond(struct out *o, const struct vary_node *node)
{
    static const char *const words[] = {"", "all", "any", "not"};

    if (node->kind == VARY_NOT) {
        put(o, "{not: ");
        put_cond(o, node->children[0]);
        put(o, "}");
    } else if (node->kind != VARY_TEST) {
        put(o, "{%s: [", words[node->kind]);
        for (uint32_t i = 0; i < node->child_count; i++) {
            put(o, i == 0 ? "" : ", ");
            put_cond(o, node->children[i]);
        }
        put(o, "]}");
    } else if (node->attribute == VARY_TIME) {
        put(o, "{time: {%shours: '%02lld:30-%02lld:00', zone: %s}}",
            days[node->values[0]], (long long)node->number[0],
            (long long)node->number[1], zones[node->values[0] % 2]);
    } else if (node->attribute == VARY_UID && node->unit &&
               has_short_form(node->op)) {
        put(o, "{");
        put_operand(o, node);
        put(o, "}");
    } else {
        put(o, "{%s", heads[node->attribute]);
        put_operand(o, node);
        put(o, "}}");
    }
}

/* ---- documents ------------------------------------------------------------------------- */

static void put_rules(struct out *o, const char *word,
                      struct vary_node *const *rules, uint32_t count)
{
    if (count == 0) {
        return;
    }
    put(o, "  %s:\n", word);
    for (uint32_t i = 0; i < count; i++) {
        put(o, "    - ");
        put_cond(o, rules[i]);
        put(o, "\n");
    }
}

static const char service[] =
    "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n"
    "  v1: {endpoints: [\"127.0.0.1:1\"]}\n"
    "  v2: {endpoints: [\"127.0.0.1:2\"]}\n---\n";

static void put_lists(struct out *o, const struct vary_release *release)
{
    for (uint32_t list = 0; list < 2; list++) {
        put(o, "---\nkind: List\nname: l%u\nids: [", list);
        for (uint32_t i = 0; i < release->id_count[list]; i++) {
            put(o, "%s'%d'", i == 0 ? "" : ", ", release->ids[list][i]);
        }
        put(o, "]\n");
    }
}

char *vary_print(const struct vary_release *release)
{
    struct out o = {0};

    put(&o, "%s", service);
    put(&o, "kind: Release\nname: cart-2\nservices: [{service: cart, version: "
            "v2}]\nunit: {cookie: uid}\nstickiness: %s\nadmission:\n"
            "  share: %u\n",
        release->entity ? "entity" : "monotonic", release->share);
    if (release->turned) {
        put(&o, "  order: [mark, deny, rules, allow, evidence]\n");
    }
    if (release->require != NULL) {
        put(&o, "  require: ");
        put_cond(&o, release->require);
        put(&o, "\n");
    }
    put_rules(&o, "deny", release->deny, release->deny_count);
    put_rules(&o, "allow", release->allow, release->allow_count);
    put_rules(&o, "match", release->match, release->match_count);
    put_lists(&o, release);
    return o.data;
}

/* ---- what is asked of a unit ---------------------------------------------------------------- */

typedef void see_test(void *context, const struct vary_release *of,
                      const struct vary_node *test);

static void each_test(const struct vary_release *of,
                      const struct vary_node *node, see_test *see,
                      void *context)
{
    if (node == NULL) {
        return;
    }
    if (node->kind == VARY_TEST && node->attribute == VARY_UID) {
        see(context, of, node);
    }
    for (uint32_t i = 0; i < node->child_count; i++) {
        each_test(of, node->children[i], see, context);
    }
}

static void each(const struct vary_release *of, see_test *see, void *context)
{
    each_test(of, of->require, see, context);
    for (uint32_t i = 0; i < VARY_RULES; i++) {
        each_test(of, i < of->deny_count ? of->deny[i] : NULL, see, context);
        each_test(of, i < of->allow_count ? of->allow[i] : NULL, see,
                  context);
        each_test(of, i < of->match_count ? of->match[i] : NULL, see,
                  context);
    }
}

struct probes {
    struct out o;
    uint32_t count;
    bool second;
};

static void put_probe(void *context, const struct vary_release *of,
                      const struct vary_node *test)
{
    struct probes *p = context;

    (void)of;
    if (test->op == GRAY_CONDITION_PERCENT || p->count == VARY_ATOMS) {
        return;
    }
    put(&p->o, "---\nkind: Release\nname: p%02u\npriority: %u\nservices: "
               "[{service: cart, version: v2}]\nunit: {cookie: uid}\n"
               "admission:\n  share: 100\n  match: [",
        p->count, p->count + 1);
    if (test->op == GRAY_CONDITION_LIST) {
        put(&p->o, "{cookie: {name: uid, list: %s%d}}", p->second ? "m" : "l",
            test->values[0]);
    } else {
        put_cond(&p->o, test);
    }
    put(&p->o, "]\n");
    p->count++;
}

char *vary_probes(const struct vary_release *a, const struct vary_release *b,
                  uint32_t *ret_count)
{
    struct probes p = {0};

    put(&p.o, "%s", service);
    p.o.length -= strlen("---\n");
    each(a, put_probe, &p);
    p.second = true;
    each(b, put_probe, &p);
    put_lists(&p.o, a);
    for (uint32_t list = 0; list < 2; list++) {
        put(&p.o, "---\nkind: List\nname: m%u\nids: [", list);
        for (uint32_t i = 0; i < b->id_count[list]; i++) {
            put(&p.o, "%s'%d'", i == 0 ? "" : ", ", b->ids[list][i]);
        }
        put(&p.o, "]\n");
    }
    *ret_count = p.count;
    return p.o.data;
}

struct shares {
    struct vary_share *list;
    uint32_t count;
};

static void add_share(struct shares *s, const char *salt, uint32_t share)
{
    if (s->count < VARY_ATOMS) {
        struct vary_share *one = &s->list[s->count++];

        snprintf(one->salt, sizeof(one->salt), "%.15s", salt);
        one->share = share;
    }
}

static void see_share(void *context, const struct vary_release *of,
                      const struct vary_node *test)
{
    (void)of;
    if (test->op == GRAY_CONDITION_PERCENT) {
        add_share(context, test->text, (uint32_t)test->number[0] * 10000u);
    }
}

uint32_t vary_shares(const struct vary_release *a,
                     const struct vary_release *b,
                     struct vary_share shares[VARY_ATOMS])
{
    struct shares s = {shares, 0};

    add_share(&s, "cart-2", a->share * 10000u);
    add_share(&s, "cart-2", b->share * 10000u);
    each(a, see_share, &s);
    each(b, see_share, &s);
    return s.count;
}

/* ---- requests ------------------------------------------------------------------------------- */

/* A value that a condition may name, or one beside it. */
static void draw_text(struct vary_dice *d, const char *const *values,
                      char *to, size_t size)
{
    const char *value = values[vary_below(d, 6)];
    size_t length = strlen(value);

    snprintf(to, size, "%s", value);
    switch (vary_below(d, 8)) {
    case 0:
        snprintf(to, size, "%s%c", value, "x9-z"[vary_below(d, 4)]);
        break;
    case 1:
        to[length > 1 ? 1 + vary_below(d, (uint32_t)length) : 1] = '\0';
        break;
    case 2:
        snprintf(to, size, "q%s", value);
        break;
    default:
        break;
    }
}

void vary_request(struct vary_dice *d, struct vary_request *r)
{
    static const char *const versions[] = {
        "1.2.3", "1.2.4", "1.3.0", "2.0.0", "2.0.0-rc.1", "0.9.9",
        "1.2.3-a", "2.0.1", "3.0.0", "x", "1.2", "1.2.5"};
    char path[32], mode[24], date[24];

    memset(r, 0, sizeof(*r));
    r->plan_count = vary_below(d, 6);
    r->plan_count = r->plan_count > 3 ? 1 : r->plan_count;
    for (uint32_t i = 0; i < r->plan_count; i++) {
        draw_text(d, plans, r->plans[i], sizeof(r->plans[i]));
    }
    r->has_region = vary_below(d, 4) > 0;
    draw_text(d, regions, r->region, sizeof(r->region));
    r->has_host = vary_below(d, 8) > 0;
    draw_text(d, hosts, r->host, sizeof(r->host));
    draw_text(d, paths, path, sizeof(path));
    draw_text(d, modes, mode, sizeof(mode));
    snprintf(date, sizeof(date), "2026-%02u-%02uT%02u:00:00Z",
             1 + vary_below(d, 12), 1 + vary_below(d, 28), vary_below(d, 24));
    snprintf(r->target, sizeof(r->target), "%s%s%s%s%s", path,
             vary_below(d, 3) > 0 ? "?mode=" : "?other=", mode,
             vary_below(d, 3) > 0 ? "&since=" : "&then=", date);
    r->has_version = vary_below(d, 4) > 0;
    strcpy(r->version, versions[vary_below(d, 12)]);
    r->has_address = vary_below(d, 4) > 0;
    r->address[10] = r->address[11] = 0xff;
    r->address[12] = (uint8_t)(10 + vary_below(d, 4));
    r->address[13] = (uint8_t)vary_below(d, vary_below(d, 2) ? 256 : 2);
    r->address[14] = (uint8_t)vary_below(d, vary_below(d, 2) ? 256 : 4);
    r->address[15] = (uint8_t)vary_below(d, 256);
    r->now = INT64_C(1767571200000) +
             (int64_t)vary_below(d, 7 * 24 * 60) * 60000 +
             (int64_t)vary_below(d, 2) * 182 * 86400000;
}

static struct gray_str str(const char *text)
{
    return (struct gray_str){text, (uint32_t)strlen(text)};
}

static void feed_header(struct gray_input *in, const char *name,
                        const char *value)
{
    gray_input_header(in, gray_hash_name(name, strlen(name)), str(name),
                      str(value));
}

void vary_feed(const struct vary_request *r, const char *uid, char room[64],
               const struct gray_snapshot *snapshot, struct gray_input *in)
{
    gray_input_begin(in, snapshot, r->now, 0);
    gray_input_method(in, str("GET"));
    if (r->has_host) {
        gray_input_host(in, str(r->host));
    }
    snprintf(room, 64, "uid=%s", uid);
    feed_header(in, "cookie", room);
    for (uint32_t i = 0; i < r->plan_count; i++) {
        feed_header(in, "x-plan", r->plans[i]);
    }
    if (r->has_version) {
        feed_header(in, "x-version", r->version);
    }
    gray_input_target(in, str(r->target));
    if (r->has_region) {
        gray_input_named(in, GRAY_SOURCE_ATTR, str("region"), str(r->region));
    }
    if (r->has_address) {
        gray_input_address(in, r->address);
    }
}
