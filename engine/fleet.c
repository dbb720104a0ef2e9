/* SPDX-License-Identifier: Apache-2.0
 * fleet.c - opens fleet.snap: which endpoints there are.
 *
 * Why: endpoints come and go far more often than rules change, so they have a
 * file and a generation of their own.  Everything is checked here, once and
 * off the request path, so that joining it with a policy (link.c) and picking
 * an endpoint (choose.c) may take every number in it as it stands.
 * Read next: link.c.
 */

#include "engine/bounds.h"

#define WEIGHT_MAX 1000000u
/* "unix:" and what fits a struct sockaddr_un. */
#define UNIX_PREFIX "unix:"
#define UNIX_TEXT_MAX (sizeof(UNIX_PREFIX) - 1 + 107)

struct gray_str gray_fleet_text(const struct gray_fleet *f, struct gray_ref ref)
{
    struct gray_str text = {"", 0};

    if (ref.length != 0 && bytes_fit(f->size, ref.offset, ref.length, 1, 1)) {
        text.data = (const char *)f->base + ref.offset;
        text.length = ref.length;
    }
    return text;
}

const struct gray_endpoint *gray_endpoint_at(const struct gray_fleet *f,
                                             uint32_t number)
{
    if (number >= f->body->endpoints.count) {
        return NULL;
    }
    return (const struct gray_endpoint *)(f->base + f->body->endpoints.offset) +
           number;
}

/* Ascending by hash, then by name, none twice: link.c searches by halves. */
static bool in_order(const struct gray_fleet *f,
                     const struct gray_fleet_service *before,
                     const struct gray_fleet_service *after)
{
    struct gray_str a = gray_fleet_text(f, before->name);
    struct gray_str b = gray_fleet_text(f, after->name);
    uint32_t shorter = a.length < b.length ? a.length : b.length;
    int order;

    if (before->hash != after->hash) {
        return before->hash < after->hash;
    }
    order = memcmp(a.data, b.data, shorter);
    return order < 0 || (order == 0 && a.length < b.length);
}

/* Services own their endpoints: the sum bounds what a join can cost. */
static int check_services(const struct gray_fleet *f,
                          struct gray_problem *ret_problem)
{
    const struct gray_fleet_body *body = f->body;
    const struct gray_fleet_service *services =
        (const struct gray_fleet_service *)(f->base + body->services.offset);
    uint64_t owned = 0;
    uint32_t i;

    for (i = 0; i < body->services.count; i++) {
        struct gray_str name = gray_fleet_text(f, services[i].name);
        uint64_t place =
            body->services.offset + (uint64_t)i * sizeof(*services);

        if (name.length == 0 || !ref_fits(services[i].name, body->strings) ||
            services[i].hash != gray_hash_name(name.data, name.length)) {
            return problem_say(ret_problem, "bad-name",
                          "A service's name lies outside the strings, or its "
                          "hash is another name's.",
                          place);
        }
        if (i > 0 && !in_order(f, &services[i - 1], &services[i])) {
            return problem_say(ret_problem, "bad-order",
                          "The services do not ascend.", place);
        }
        owned += services[i].endpoints.count;
        if (!span_fits(services[i].endpoints, body->endpoints.count) ||
            owned > body->endpoints.count) {
            return problem_say(ret_problem, "bad-span",
                          "A service's endpoints lie outside the table, or "
                          "belong to two services.",
                          place);
        }
    }
    return 0;
}

static bool address_fits(const struct gray_fleet *f,
                         const struct gray_endpoint *endpoint)
{
    struct gray_str text = gray_fleet_text(f, endpoint->text);

    switch (endpoint->family) {
    case GRAY_FAMILY_UNIX:
        return text.length > sizeof(UNIX_PREFIX) - 1 &&
               text.length <= UNIX_TEXT_MAX &&
               memcmp(text.data, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0 &&
               memchr(text.data, '\0', text.length) == NULL;
    case GRAY_FAMILY_IPV4:
    case GRAY_FAMILY_IPV6:
        return text.length != 0;
    default:
        return false;
    }
}

static int check_endpoints(const struct gray_fleet *f,
                           struct gray_problem *ret_problem)
{
    const struct gray_fleet_body *body = f->body;
    const struct gray_selector *labels =
        (const struct gray_selector *)(f->base + body->labels.offset);
    uint64_t place;
    uint32_t i;

    for (i = 0; i < body->endpoints.count; i++) {
        const struct gray_endpoint *endpoint = gray_endpoint_at(f, i);

        place = body->endpoints.offset + (uint64_t)i * sizeof(*endpoint);
        if (!ref_fits(endpoint->text, body->strings) ||
            !address_fits(f, endpoint)) {
            return problem_say(ret_problem, "bad-address",
                          "An endpoint has no address of a known family.",
                          place);
        }
        if (endpoint->state > GRAY_ENDPOINT_EJECTED ||
            endpoint->weight > WEIGHT_MAX ||
            !span_fits(endpoint->labels, body->labels.count)) {
            return problem_say(ret_problem, "bad-endpoint",
                          "An endpoint's state, weight or labels are out of "
                          "range.",
                          place);
        }
    }
    for (i = 0; i < body->labels.count; i++) {
        if (labels[i].key.length == 0 ||
            !ref_fits(labels[i].key, body->strings) ||
            !ref_fits(labels[i].value, body->strings)) {
            return problem_say(ret_problem, "bad-label",
                          "A label lies outside the strings.",
                          body->labels.offset + (uint64_t)i * sizeof(*labels));
        }
    }
    return 0;
}

int gray_fleet_open(struct gray_fleet *ret_fleet, const void *data,
                    uint64_t size, struct gray_problem *ret_problem)
{
    struct gray_fleet f;

    f.base = data;
    f.size = size;
    f.header = data;
    if (data == NULL || ((uintptr_t)data & 7) != 0 ||
        size < sizeof(*f.header) + sizeof(*f.body)) {
        return problem_say(ret_problem, "truncated",
                      "The fleet is shorter than its own header.", 0);
    }
    if (!header_fits(f.header, size, GRAY_MAGIC_FLEET)) {
        return problem_say(ret_problem, "bad-header",
                      "This is no fleet of a layout that is known here.", 0);
    }
    f.body = (const struct gray_fleet_body *)(f.base + sizeof(*f.header));
    if (!table_fits(size, f.body->strings, 1, 1) ||
        !table_fits(size, f.body->services, sizeof(struct gray_fleet_service),
                    8) ||
        !table_fits(size, f.body->endpoints, sizeof(struct gray_endpoint), 8) ||
        !table_fits(size, f.body->labels, sizeof(struct gray_selector), 8)) {
        return problem_say(ret_problem, "bad-table",
                      "A table lies outside the fleet.", sizeof(*f.header));
    }
    if (check_services(&f, ret_problem) != 0 ||
        check_endpoints(&f, ret_problem) != 0) {
        return -1;
    }
    *ret_fleet = f;
    return 0;
}
