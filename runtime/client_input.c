/* SPDX-License-Identifier: Apache-2.0
 * client_input.c - a request of the public library in the engine's form.
 *
 * Why: applications hand in plain strings; the engine wants what the policy
 * looks at.  Nothing is copied: the input points into the caller's strings.
 * Read next: client_ask.c, engine/input.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "runtime/client.h"

#define VALUE_MAX (1u << 20) /* bytes of any one string handed in */

static struct gray_str str_of(const char *text)
{
    struct gray_str none = {"", 0};
    struct gray_str str = {text, 0};

    if (text == NULL) {
        return none;
    }
    str.length = (uint32_t)strnlen(text, VALUE_MAX);
    return str;
}

int64_t runtime_client_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void runtime_client_seed(struct gray_client *client)
{
    if (runtime_file_random(&client->seed, sizeof(client->seed), NULL) != 0) {
        client->seed = (uint64_t)(uintptr_t)client ^ (uint64_t)getpid() << 32;
    }
}

/* Good enough to draw a share for one request; nothing secret hangs on it. */
uint64_t runtime_client_random(struct gray_client *client)
{
    unsigned stripe = runtime_client_stripe();
    uint64_t draw =
        __atomic_add_fetch(&client->stripes[stripe].draws, 1, __ATOMIC_RELAXED);

    return gray_mix64(client->seed + stripe +
                      draw * CLIENT_STRIPES * 0x9e3779b97f4a7c15u);
}

/* An entrance that the policy does not name is the unnamed one, here as in the
 * gateway and the CLI. */
uint32_t runtime_client_entrance(const struct gray_snapshot *policy,
                                 const struct gray_client_request *request)
{
    uint32_t number;

    if (request->entrance != NULL && strcmp(request->entrance, "-") == 0) {
        return GRAY_NONE;
    }
    number = gray_find_entrance(policy, str_of(request->entrance));
    return number == GRAY_NONE ? 0 : number;
}

static int read_address(const char *text, uint8_t ret_bytes[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};

    if (inet_pton(AF_INET6, text, ret_bytes) == 1) {
        return 0;
    }
    memcpy(ret_bytes, mapped, sizeof(mapped));
    return inet_pton(AF_INET, text, ret_bytes + sizeof(mapped)) == 1 ? 0
                                                                     : -EINVAL;
}

static int read_class(const char *word, enum gray_class *ret_class)
{
    static const char *const words[GRAY_CLASS_COUNT] = {"live", "shadow",
                                                        "load", "rehearsal"};
    uint32_t i;

    for (i = 0; i < GRAY_CLASS_COUNT; i++) {
        if (word == NULL || strcmp(word, words[i]) == 0) {
            *ret_class = (enum gray_class)i;
            return 0;
        }
    }
    return -EINVAL;
}

static void put_header(struct gray_input *in,
                       const struct gray_snapshot *policy, const char *text,
                       const char *value)
{
    struct gray_str name = str_of(text);
    uint32_t hash = gray_hash_name(name.data, name.length);

    if (gray_input_wants(policy, hash)) {
        gray_input_header(in, hash, name, str_of(value));
    }
}

static void put_headers(const struct gray_snapshot *policy,
                        const struct gray_client_request *request,
                        struct gray_input *in)
{
    bool has_host = request->host == NULL;
    size_t i;

    for (i = 0; i < request->header_count; i++) {
        const char *name = request->headers[i].name;

        put_header(in, policy, name, request->headers[i].value);
        has_host |= name != NULL && strcasecmp(name, "host") == 0;
    }
    /* In nginx the host is a header as well, whatever the HTTP version. */
    if (!has_host) {
        put_header(in, policy, "host", request->host);
    }
}

static void put_named(struct gray_input *in, enum gray_source source,
                      const struct gray_client_pair *pairs, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        gray_input_named(in, source, str_of(pairs[i].name),
                         str_of(pairs[i].value));
    }
}

int runtime_client_input(struct gray_client *client,
                         const struct gray_snapshot *policy,
                         const struct gray_client_request *request,
                         struct gray_input *in)
{
    enum gray_class traffic_class;
    uint8_t address[16];

    if (read_class(request->traffic_class, &traffic_class) != 0 ||
        (request->source != NULL &&
         read_address(request->source, address) != 0)) {
        return -EINVAL;
    }
    gray_input_begin(
        in, policy,
        request->now_ms != 0 ? request->now_ms : runtime_client_now_ms(),
        request->random != 0 ? request->random : runtime_client_random(client));
    in->stage = str_of(request->stage);
    if (request->unit != NULL) {
        gray_input_unit(in, str_of(request->unit));
    }
    if (request->method != NULL) {
        gray_input_method(in, str_of(request->method));
    }
    if (request->host != NULL) {
        gray_input_host(in, str_of(request->host));
    }
    if (request->target != NULL) {
        gray_input_target(in, str_of(request->target));
    }
    put_headers(policy, request, in);
    if (request->source != NULL) {
        gray_input_address(in, address);
    }
    put_named(in, GRAY_SOURCE_ATTR, request->attrs, request->attr_count);
    put_named(in, GRAY_SOURCE_LABEL, request->labels, request->label_count);
    if (request->caller != NULL) {
        gray_input_named(in, GRAY_SOURCE_CALLER, str_of(NULL),
                         str_of(request->caller));
    }
    if (request->lane != NULL || request->arms != NULL ||
        traffic_class != GRAY_CLASS_LIVE) {
        gray_input_colour(in, str_of(request->lane), str_of(request->arms),
                          traffic_class);
    }
    return 0;
}
