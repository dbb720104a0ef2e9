/* SPDX-License-Identifier: Apache-2.0
 * fleet_build.c - the endpoints of the documents as fleet.snap.
 *
 * Why: endpoints have a file of their own because they change more often than
 * rules.  Those written in documents are static: always ready, warmed up since
 * ever; discovery writes the same file with states that move.
 * Read next: ../engine/fleet.c.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* Services sorted like names: by hash, then name. */
struct order {
    uint32_t hash, number;
    const char *name;
};

static int by_hash(const void *left, const void *right)
{
    const struct order *a = left, *b = right;

    if (a->hash != b->hash) {
        return a->hash < b->hash ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static int put_endpoint(struct build *fleet, struct bytes *endpoints,
                        struct bytes *labels,
                        const struct model_endpoint *from)
{
    struct gray_endpoint *out = bytes_add(fleet, endpoints, sizeof(*out));
    struct gray_selector *label;
    uint32_t i;

    if (out == NULL) {
        return -1;
    }
    out->text = build_name(fleet, from->address);
    memcpy(out->address, from->bytes, sizeof(out->address));
    out->port = from->port;
    out->family = from->family;
    out->state = GRAY_ENDPOINT_READY;
    out->weight = from->weight;
    out->labels.first = COUNT(*labels, struct gray_selector);
    out->labels.count = from->label_count;
    for (i = 0; i < from->label_count; i++) {
        label = bytes_add(fleet, labels, sizeof(*label));
        if (label == NULL) {
            return -1;
        }
        label->key = build_name(fleet, from->labels[i].key);
        label->value = build_name(fleet, from->labels[i].value);
    }
    return fleet->no_memory ? -1 : 0;
}

static int put_services(struct build *fleet, struct bytes *services,
                        struct bytes *endpoints, struct bytes *labels)
{
    const struct gray_model *model = fleet->model;
    struct order *order = malloc((model->service_count + 1) * sizeof(*order));
    uint32_t i, k;
    int result = -1;

    if (order == NULL) {
        return -1;
    }
    for (i = 0; i < model->service_count; i++) {
        const char *name = model->services[i].name;

        order[i] = (struct order){gray_hash_name(name, strlen(name)), i, name};
    }
    qsort(order, model->service_count, sizeof(*order), by_hash);
    for (i = 0; i < model->service_count; i++) {
        const struct model_service *from = &model->services[order[i].number];
        struct gray_fleet_service *out =
            bytes_add(fleet, services, sizeof(*out));

        if (out == NULL) {
            goto done;
        }
        out->name = build_name(fleet, from->name);
        out->hash = order[i].hash;
        out->endpoints.first = COUNT(*endpoints, struct gray_endpoint);
        out->endpoints.count = from->endpoint_count;
        for (k = 0; k < from->endpoint_count; k++) {
            if (put_endpoint(fleet, endpoints, labels, &from->endpoints[k]) !=
                0) {
                goto done;
            }
        }
    }
    result = 0;
done:
    free(order);
    return result;
}

/* Places `bytes` at *at in the file and says so in *table. */
static void place(struct gray_table *table, const struct bytes *bytes,
                  size_t width, uint64_t *at)
{
    table->offset = (uint32_t)*at;
    table->count = (uint32_t)(bytes->length / width);
    *at += (bytes->length + 7) & ~(uint64_t)7;
}

static void copy(uint8_t *data, const struct gray_table *table,
                 const struct bytes *bytes)
{
    if (bytes->length != 0) {
        memcpy(data + table->offset, bytes->data, bytes->length);
    }
}

static int write_file(const struct build *fleet, const struct bytes *services,
                      const struct bytes *endpoints,
                      const struct bytes *labels, struct gray_file *ret_file)
{
    struct gray_file_header header = {GRAY_MAGIC_FLEET, GRAY_LAYOUT,
                                      sizeof(header)};
    struct gray_fleet_body body;
    uint64_t at = fleet->strings_base;
    uint8_t *data;

    memset(&body, 0, sizeof(body));
    place(&body.strings, &fleet->strings, 1, &at);
    place(&body.services, services, sizeof(struct gray_fleet_service), &at);
    place(&body.endpoints, endpoints, sizeof(struct gray_endpoint), &at);
    place(&body.labels, labels, sizeof(struct gray_selector), &at);
    data = at > UINT32_MAX ? NULL : calloc(1, at);
    if (data == NULL) {
        return -1;
    }
    header.revision = fleet->options->revision;
    header.effective_at = fleet->options->effective_at;
    header.max_skew = (uint16_t)(fleet->options->max_skew < GRAY_SKEW_MAX_MS
                                     ? fleet->options->max_skew
                                     : GRAY_SKEW_MAX_MS);
    header.length = at;
    memcpy(data, &header, sizeof(header));
    memcpy(data + sizeof(header), &body, sizeof(body));
    copy(data, &body.strings, &fleet->strings);
    copy(data, &body.services, services);
    copy(data, &body.endpoints, endpoints);
    copy(data, &body.labels, labels);
    memset(ret_file, 0, sizeof(*ret_file));
    memcpy(ret_file->name, "fleet", sizeof("fleet"));
    ret_file->data = data;
    ret_file->size = at;
    return 0;
}

int fleet_build(struct build *build, struct gray_file *ret_file)
{
    struct bytes services = {NULL, 0, 0}, endpoints = {NULL, 0, 0},
                 labels = {NULL, 0, 0};
    struct build fleet;
    int result;

    memset(&fleet, 0, sizeof(fleet));
    fleet.model = build->model;
    fleet.options = build->options;
    fleet.strings_base =
        sizeof(struct gray_file_header) + sizeof(struct gray_fleet_body);
    result = put_services(&fleet, &services, &endpoints, &labels);
    if (result == 0) {
        result = write_file(&fleet, &services, &endpoints, &labels, ret_file);
    }
    if (result != 0) {
        build->failed = build->no_memory = true;
    }
    bytes_free(&services);
    bytes_free(&endpoints);
    bytes_free(&labels);
    bytes_free(&fleet.strings);
    bytes_free(&fleet.string_refs);
    free(fleet.string_map.cells);
    return result;
}
