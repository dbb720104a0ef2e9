/* SPDX-License-Identifier: Apache-2.0
 * model_service.c - Service: versions, endpoints and who is the baseline.
 *
 * Why: an endpoint is written where its version is, so the label `version` is
 * never typed twice; the baseline is a selector, because "everyone else" must
 * be said and not be guessed.
 * Read next: parse.c (addresses), model_cross.c (empty baselines).
 */
#include "policy/check.h"

#include <stdlib.h>
#include <string.h>

#include "policy/parse.h"

struct endpoints {
    struct model_endpoint *items;
    uint32_t count, capacity;
    struct gray_names addresses;
};

static struct model_endpoint *push(struct gray_check *c,
                                   struct endpoints *list)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        struct model_endpoint *items =
            gray_arena_array(c->arena, capacity, sizeof(*items));
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->capacity = capacity;
    }
    return &list->items[list->count];
}

static bool check_address(struct gray_check *c, const struct where *at,
                          json_t *value, struct model_endpoint *endpoint)
{
    struct model_text text;
    if (!gray_check_text(c, at, value, GRAY_TEXT_MAX, &text)) {
        return false;
    }
    const char *problem = gray_parse_endpoint(text.data, endpoint);
    if (problem != NULL) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_ENDPOINT, at,
                                "\"%.128s\" is no endpoint: %s", text.data,
                                problem);
    }
    endpoint->address = text.data;
    return true;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct model_label *)a)->key,
                  ((const struct model_label *)b)->key);
}

/* The labels as written and `version`, sorted by key. */
static bool add_labels(struct gray_check *c, const struct where *at,
                       json_t *value, const char *version,
                       struct model_endpoint *endpoint)
{
    struct model_label *labels = NULL;
    uint32_t count = 0;
    if (value != NULL &&
        !gray_check_labels(c, at, value, false, &labels, &count)) {
        return false;
    }
    struct model_label *all =
        gray_arena_array(c->arena, count + 1, sizeof(*all));
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(labels[i].key, "version") == 0) {
            return gray_check_error(c, GRAY_PROBLEM_RESERVED_LABEL,
                                    AT_KEY(at, "version"),
                                    "the label version is set by the place "
                                    "of the endpoint (%s); leave it out",
                                    version);
        }
        all[i] = labels[i];
    }
    all[count] = (struct model_label){"version", version};
    qsort(all, count + 1, sizeof(*all), by_key);
    endpoint->labels = all;
    endpoint->label_count = count + 1;
    return true;
}

/* Addresses are compared as numbers: [::1] and [0::1] are one. */
static bool is_new(struct gray_check *c, const struct model_endpoint *endpoint,
                   struct gray_names *addresses)
{
    char key[19];
    if (endpoint->family == GRAY_FAMILY_UNIX) {
        return gray_names_add(addresses, endpoint->address,
                              strlen(endpoint->address), 0, NULL);
    }
    memcpy(key, endpoint->bytes, 16);
    memcpy(key + 16, &endpoint->port, 2);
    key[18] = (char)endpoint->family;
    const char *copy = gray_arena_copy(c->arena, key, sizeof(key));
    return gray_names_add(addresses, copy, sizeof(key), 0, NULL);
}

static bool check_endpoint(struct gray_check *c, const struct where *at,
                           json_t *value, const char *version,
                           struct endpoints *list)
{
    static const char *const keys[] = {"address", "weight", "labels"};
    struct model_endpoint *endpoint = push(c, list);
    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->weight = 1;
    json_t *values[3] = {value, NULL, NULL};
    const struct where inner = {at, "address", 0};
    const struct where *address = json_is_string(value) ? at : &inner;
    if (!json_is_string(value)) {
        if (!gray_check_map(c, at, value, keys, 3, values)) {
            return false;
        }
        if (values[0] == NULL) {
            return gray_check_missing(c, at, "address",
                                      "{address: \"127.0.0.1:80\"}");
        }
    }
    bool good = check_address(c, address, values[0], endpoint);
    int64_t weight = 1;
    if (values[1] != NULL) {
        good &= gray_check_integer(c, AT_KEY(at, "weight"), values[1], 1,
                                   GRAY_WEIGHT_MAX, &weight);
    }
    endpoint->weight = (uint32_t)weight;
    good &= add_labels(c, AT_KEY(at, "labels"), values[2], version, endpoint);
    if (good && !is_new(c, endpoint, &list->addresses)) {
        good = gray_check_error(c, GRAY_PROBLEM_DUPLICATE_ENDPOINT, address,
                                "%s stands twice in this Service; keep it in "
                                "one version",
                                endpoint->address);
    }
    list->count += good;
    return good;
}

/* What a version bears: {maxRate: 200, maxRatePerEndpoint: 50}, either or
 * both. */
static bool check_capacity(struct gray_check *c, const struct where *at,
                           json_t *value, struct model_version *version)
{
    static const char *const keys[] = {"maxRate", "maxRatePerEndpoint"};
    json_t *values[2];
    int64_t whole = 0, each = 0;
    if (!gray_check_map(c, at, value, keys, 2, values)) {
        return false;
    }
    if (json_object_size(value) == 0) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "a capacity is a number of requests a second: "
                                "{maxRate: 200}, or {maxRatePerEndpoint: 50}");
    }
    bool good = true;
    if (values[0] != NULL) {
        good &= gray_check_integer(c, AT_KEY(at, keys[0]), values[0], 1,
                                   GRAY_CAPACITY_MAX, &whole);
    }
    if (values[1] != NULL) {
        good &= gray_check_integer(c, AT_KEY(at, keys[1]), values[1], 1,
                                   GRAY_CAPACITY_MAX, &each);
    }
    uint64_t together = (uint64_t)each * version->endpoint_count;
    version->capacity = whole == 0                     ? together
                        : each == 0                    ? (uint64_t)whole
                        : together < (uint64_t)whole   ? together
                                                       : (uint64_t)whole;
    return good;
}

static bool check_version(struct gray_check *c, const struct where *at,
                          const char *version, json_t *value, uint32_t number,
                          struct endpoints *list,
                          struct model_version *ret_version)
{
    static const char *const keys[] = {"endpoints", "capacity"};
    json_t *values[2];
    const char *name;
    bool good = true;
    uint32_t before = list->count;
    if (!gray_check_name_text(c, at, version, true, &name) ||
        !gray_check_map(c, at, value, keys, 2, values)) {
        return false;
    }
    const char *key = gray_arena_print(c->arena, "%u/%s", number, name);
    gray_names_add(&c->versions, key, strlen(key), 0, NULL);
    const struct where *inner = AT_KEY(at, "endpoints");
    if (values[0] == NULL) {
        return gray_check_missing(c, at, "endpoints",
                                  "endpoints: [\"127.0.0.1:80\"]");
    }
    if (!gray_check_list(c, inner, values[0], GRAY_SET_MAX,
                         "[\"127.0.0.1:80\"]")) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(values[0]); i++) {
        good &= check_endpoint(c, AT_ITEM(inner, i),
                               json_array_get(values[0], i), name, list);
    }
    ret_version->name = name;
    ret_version->endpoint_count = list->count - before;
    if (values[1] != NULL) {
        good &= check_capacity(c, AT_KEY(at, keys[1]), values[1], ret_version);
    }
    return good;
}

static bool check_versions(struct gray_check *c, const struct where *at,
                           json_t *value, struct model_service *service)
{
    uint32_t number = (uint32_t)(service - c->model->services);
    struct endpoints list = {.addresses = {.arena = c->arena}};
    if (!json_is_object(value) || json_object_size(value) == 0) {
        return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE, at,
                                "versions must be a map with at least one "
                                "version: {v1: {endpoints: "
                                "[\"127.0.0.1:80\"]}}");
    }
    bool good = true;
    const char *version;
    json_t *member;
    service->versions = gray_arena_array(c->arena, json_object_size(value),
                                         sizeof(*service->versions));
    json_object_foreach (value, version, member) {
        good &= check_version(c, AT_KEY(at, version), version, member, number,
                              &list,
                              &service->versions[service->version_count++]);
    }
    service->endpoints = list.items;
    service->endpoint_count = list.count;
    return good;
}

static bool check_baseline(struct gray_check *c, const struct where *at,
                           json_t *value, struct model_service *service)
{
    uint32_t number = (uint32_t)(service - c->model->services);
    if (!gray_check_labels(c, at, value, true, &service->baseline,
                           &service->baseline_count)) {
        return false;
    }
    service->baseline_version = "baseline";
    for (uint32_t i = 0; i < service->baseline_count; i++) {
        const struct model_label *label = &service->baseline[i];
        if (strcmp(label->key, "version") != 0 || label->value == NULL) {
            continue;
        }
        const char *key =
            gray_arena_print(c->arena, "%u/%s", number, label->value);
        if (gray_names_find(&c->versions, key, strlen(key)) == UINT32_MAX) {
            return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_VERSION,
                                    AT_KEY(at, "version"),
                                    "this Service has no version \"%s\"; "
                                    "write one that stands under versions",
                                    label->value);
        }
        service->baseline_version = label->value;
    }
    return true;
}

bool gray_check_service(struct gray_check *c, struct model_service *service)
{
    static const char *const keys[] = {"kind", "name", "protocol", "baseline",
                                       "versions"};
    static const char *const protocols[] = {"http", "grpc", "fastcgi",
                                            "uwsgi"};
    json_t *values[5];
    bool good = gray_check_map(c, NULL, c->document->tree, keys, 5, values);
    service->name = c->document->name;
    service->document = c->document->label;
    if (values[2] != NULL) {
        uint32_t protocol;
        good &= gray_check_word(c, AT_KEY(NULL, "protocol"), values[2],
                                protocols, 4, &protocol);
    }
    if (values[4] == NULL) {
        good = gray_check_missing(c, NULL, "versions",
                                  "versions: {v1: {endpoints: "
                                  "[\"127.0.0.1:80\"]}}");
    } else {
        good &= check_versions(c, AT_KEY(NULL, "versions"), values[4],
                               service);
    }
    if (values[3] == NULL) {
        good = gray_check_missing(c, NULL, "baseline",
                                  "baseline: {version: v1}");
    } else {
        good &= check_baseline(c, AT_KEY(NULL, "baseline"), values[3],
                               service);
    }
    return good;
}
