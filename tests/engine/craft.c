/* SPDX-License-Identifier: Apache-2.0
 * craft.c - see craft.h.
 *
 * Why: plain code over fixed arrays; a test that asks for more than fits is
 * stopped by an assertion.
 * Read next: layout.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/craft.h"

#define RECORDS_MAX 512u

struct gray_str craft_str(const char *text)
{
    return (struct gray_str){text, (uint32_t)strlen(text)};
}

uint64_t craft_put(struct craft *c, const void *bytes, size_t length)
{
    uint64_t offset = (c->length + 7) & ~UINT64_C(7);

    assert(offset + length <= CRAFT_BYTES);
    memset(c->bytes + c->length, 0, offset - c->length);
    if (length != 0) {
        memcpy(c->bytes + offset, bytes, length);
    }
    c->length = offset + length;
    return offset;
}

struct gray_table craft_table(struct craft *c, const void *records,
                              uint32_t count, size_t width)
{
    uint64_t offset = craft_put(c, records, count * width);

    return (struct gray_table){(uint32_t)offset, count};
}

void craft_begin(struct craft *c, const char *magic, size_t body)
{
    struct gray_file_header header = {
        {0}, GRAY_LAYOUT, sizeof(header), 0, 1, 1, 0, 0, 0, 0};

    strncpy(header.magic, magic, sizeof(header.magic) - 1);
    memset(c->bytes, 0, sizeof(c->bytes));
    c->length = 0;
    craft_put(c, &header, sizeof(header));
    c->length += body;
}

void craft_end(struct craft *c)
{
    ((struct gray_file_header *)c->bytes)->length = c->length;
}

/* ---- a list ------------------------------------------------------------- */

struct keyed {
    uint64_t key;
    const char *text;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

/* The definition of canonical: what printing the number gives back. */
static bool canonical(const char *text, uint64_t *ret_number)
{
    unsigned __int128 number = 0;
    char again[24], *at = again + sizeof(again) - 1;
    size_t i, length = strlen(text);

    if (length == 0 || length > 20 || strspn(text, "0123456789") != length) {
        return false;
    }
    for (i = 0; i < length; i++) {
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *ret_number = (uint64_t)number;
    *at = '\0';
    do {
        *--at = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number != 0);
    return strcmp(at, text) == 0 && strlen(text) <= 20 &&
           (length < 20 || strcmp(text, "18446744073709551615") <= 0);
}

static void put_half(struct craft *c, struct gray_list_half *half,
                     struct keyed *keys, uint32_t count, uint32_t dir_bits)
{
    static uint64_t numbers[4096];
    static uint32_t dir[4097];
    uint32_t i, cells = 1u << dir_bits;

    assert(count <= 4096 && cells <= 4096);
    qsort(keys, count, sizeof(*keys), by_key);
    memset(dir, 0, sizeof(dir));
    for (i = 0; i < count; i++) {
        numbers[i] = keys[i].key;
        dir[1 + (dir_bits == 0 ? 0 : keys[i].key >> (64 - dir_bits))]++;
    }
    for (i = 0; i < cells; i++) {
        dir[i + 1] += dir[i];
    }
    half->keys = craft_put(c, numbers, count * sizeof(*numbers));
    half->count = count;
    half->dir = craft_put(c, dir, (cells + 1) * sizeof(*dir));
    half->dir_bits = dir_bits;
}

void craft_list(struct craft *c, const char *const *ids, uint32_t count,
                uint32_t dir_bits, bool strict)
{
    static struct keyed numeric[4096], text[4096];
    static uint64_t offsets[4096];
    struct gray_list_file file = {.key = {11, 22}};
    uint32_t i, length, numbers = 0, texts = 0;
    uint64_t number;

    craft_begin(c, GRAY_MAGIC_LIST, sizeof(file));
    for (i = 0; i < count; i++) {
        if (canonical(ids[i], &number)) {
            numeric[numbers++].key = gray_mix64(number);
        } else {
            text[texts++] = (struct keyed){
                gray_siphash(ids[i], strlen(ids[i]), file.key), ids[i]};
        }
    }
    put_half(c, &file.numeric, numeric, numbers, dir_bits);
    put_half(c, &file.text, text, texts, dir_bits);
    if (strict) {
        for (i = 0; i < texts; i++) {
            length = (uint32_t)strlen(text[i].text);
            offsets[i] = craft_put(c, &length, sizeof(length));
            memcpy(c->bytes + c->length, text[i].text, length);
            c->length += length;
        }
        file.strings = craft_put(c, offsets, texts * sizeof(*offsets));
    }
    memcpy(c->bytes + sizeof(struct gray_file_header), &file, sizeof(file));
    craft_end(c);
}

/* ---- strings ------------------------------------------------------------ */

/* Strings are gathered first and written as one table at the end. */
struct strings {
    struct {
        struct gray_ref *ref;
        const char *text;
    } wanted[RECORDS_MAX * 4];
    uint32_t count;
};

static void want(struct strings *s, struct gray_ref *ref, const char *text)
{
    assert(s->count < RECORDS_MAX * 4);
    s->wanted[s->count].ref = ref;
    s->wanted[s->count++].text = text;
}

static struct gray_table put_strings(struct craft *c, struct strings *s)
{
    uint64_t first = craft_put(c, NULL, 0);
    uint32_t i, length;

    for (i = 0; i < s->count; i++) {
        length = (uint32_t)strlen(s->wanted[i].text);
        assert(c->length + length <= CRAFT_BYTES);
        memcpy(c->bytes + c->length, s->wanted[i].text, length);
        *s->wanted[i].ref = (struct gray_ref){(uint32_t)c->length, length};
        c->length += length;
    }
    return (struct gray_table){(uint32_t)first, (uint32_t)(c->length - first)};
}

static uint32_t name_hash(const char *name)
{
    return gray_hash_name(name, strlen(name));
}

/* ---- a fleet ------------------------------------------------------------ */

static int by_fleet_name(const void *a, const void *b)
{
    const struct gray_fleet_service *x = a, *y = b;

    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

void craft_fleet(struct craft *c, const struct craft_endpoint *from,
                 uint32_t count)
{
    static struct gray_fleet_service services[RECORDS_MAX];
    static struct gray_endpoint endpoints[RECORDS_MAX];
    static struct gray_selector labels[RECORDS_MAX];
    static const char *names[RECORDS_MAX];
    static struct strings strings;
    struct gray_fleet_body body;
    uint32_t i, j, service_count = 0, label_count = 0;

    assert(count <= RECORDS_MAX);
    memset(&body, 0, sizeof(body));
    memset(services, 0, sizeof(services));
    memset(endpoints, 0, sizeof(endpoints));
    strings.count = 0;
    craft_begin(c, GRAY_MAGIC_FLEET, sizeof(body));
    for (i = 0; i < count; i++) {
        struct gray_endpoint *e = &endpoints[i];

        if (i == 0 || strcmp(from[i].service, from[i - 1].service) != 0) {
            services[service_count].hash = name_hash(from[i].service);
            services[service_count].endpoints.first = i;
            names[service_count++] = from[i].service;
        }
        services[service_count - 1].endpoints.count++;
        want(&strings, &e->text, from[i].address);
        e->family = strncmp(from[i].address, "unix:", 5) == 0
                        ? GRAY_FAMILY_UNIX
                        : GRAY_FAMILY_IPV4;
        e->state = from[i].state;
        e->weight = from[i].weight;
        e->labels.first = label_count;
        for (j = 0; j < CRAFT_LABELS && from[i].labels[2 * j] != NULL; j++) {
            want(&strings, &labels[label_count].key, from[i].labels[2 * j]);
            want(&strings, &labels[label_count++].value,
                 from[i].labels[2 * j + 1]);
        }
        e->labels.count = label_count - e->labels.first;
    }
    for (i = 0; i < service_count; i++) {
        want(&strings, &services[i].name, names[i]);
    }
    body.strings = put_strings(c, &strings);
    qsort(services, service_count, sizeof(*services), by_fleet_name);
    body.services = craft_table(c, services, service_count, sizeof(*services));
    body.endpoints = craft_table(c, endpoints, count, sizeof(*endpoints));
    body.labels = craft_table(c, labels, label_count, sizeof(*labels));
    memcpy(c->bytes + sizeof(struct gray_file_header), &body, sizeof(body));
    craft_end(c);
}

/* ---- a policy ----------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct gray_name *x = a, *y = b;

    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static struct gray_release releases_out[RECORDS_MAX];
static struct gray_variant variants_out[RECORDS_MAX];
static struct gray_name names_out[RECORDS_MAX];
static struct gray_service services_out[RECORDS_MAX];
static struct gray_route routes_out[RECORDS_MAX];
static struct gray_selector selectors_out[RECORDS_MAX];

static uint32_t fill_releases(struct strings *strings,
                              const struct craft_release *from, uint32_t count)
{
    uint32_t i, j, variants = 0;

    for (i = 0; i < count; i++) {
        struct gray_release *r = &releases_out[i];

        memset(r, 0, sizeof(*r));
        want(strings, &r->name, from[i].name);
        want(strings, &names_out[i].name, from[i].name);
        names_out[i].hash = name_hash(from[i].name);
        names_out[i].index = i;
        r->scope = gray_hash_scope(from[i].name, strlen(from[i].name));
        r->word = i;
        r->data_compat = from[i].data_compat;
        r->stickiness = from[i].stickiness;
        r->variants.first = variants;
        for (j = 0; j < 4 && from[i].variants[j] != NULL; j++) {
            want(strings, &variants_out[variants].name, from[i].variants[j]);
            variants_out[variants++].upto = GRAY_SHARE_ALL;
        }
        r->variants.count = variants - r->variants.first;
    }
    return variants;
}

static uint32_t fill_routes(struct strings *strings,
                            const struct craft_route *from, uint32_t count,
                            uint32_t *ret_selectors)
{
    uint32_t i, j, services = 0, selectors = 0;
    struct gray_service *s = NULL;

    memset(services_out, 0, sizeof(services_out));
    for (i = 0; i < count; i++) {
        struct gray_route *r = &routes_out[i];

        memset(r, 0, sizeof(*r));
        if (i == 0 || strcmp(from[i].service, from[i - 1].service) != 0) {
            s = &services_out[services++];
            want(strings, &s->name, from[i].service);
            s->baseline = i;
            s->arms.first = i + 1;
            s->lanes.first = i + 1;
        }
        s->arms.count += from[i].kind == GRAY_ROUTE_ARM;
        s->lanes.first += from[i].kind == GRAY_ROUTE_ARM;
        s->lanes.count += from[i].kind == GRAY_ROUTE_LANE;
        r->service = services - 1;
        r->kind = from[i].kind;
        r->flags = from[i].flags;
        r->release = from[i].release;
        r->variant = from[i].variant;
        r->lane = from[i].lane;
        r->fallback = from[i].fallback;
        r->selector.first = selectors;
        for (j = 0; j < CRAFT_LABELS && from[i].selector[2 * j] != NULL; j++) {
            want(strings, &selectors_out[selectors].key,
                 from[i].selector[2 * j]);
            want(strings, &selectors_out[selectors++].value,
                 from[i].selector[2 * j + 1]);
        }
        r->selector.count = selectors - r->selector.first;
    }
    *ret_selectors = selectors;
    return services;
}

void craft_policy(struct craft *c, const struct craft_release *releases,
                  uint32_t release_count, const struct craft_route *routes,
                  uint32_t route_count, struct gray_snapshot *ret_snapshot)
{
    static struct strings strings;
    struct gray_policy policy;
    uint32_t variants, services, selectors;

    memset(&policy, 0, sizeof(policy));
    strings.count = 0;
    craft_begin(c, GRAY_MAGIC_POLICY, sizeof(policy));
    variants = fill_releases(&strings, releases, release_count);
    services = fill_routes(&strings, routes, route_count, &selectors);
    policy.strings = put_strings(c, &strings);
    qsort(names_out, release_count, sizeof(*names_out), by_name);
    policy.release_names =
        craft_table(c, names_out, release_count, sizeof(*names_out));
    policy.releases =
        craft_table(c, releases_out, release_count, sizeof(*releases_out));
    policy.variants =
        craft_table(c, variants_out, variants, sizeof(*variants_out));
    policy.services =
        craft_table(c, services_out, services, sizeof(*services_out));
    policy.routes =
        craft_table(c, routes_out, route_count, sizeof(*routes_out));
    policy.selectors =
        craft_table(c, selectors_out, selectors, sizeof(*selectors_out));
    memcpy(c->bytes + sizeof(struct gray_file_header), &policy, sizeof(policy));
    craft_end(c);
    ret_snapshot->base = c->bytes;
    ret_snapshot->size = c->length;
    ret_snapshot->header = (const struct gray_file_header *)c->bytes;
    ret_snapshot->policy =
        (const struct gray_policy *)(c->bytes +
                                     sizeof(struct gray_file_header));
}
