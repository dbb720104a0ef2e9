/* SPDX-License-Identifier: Apache-2.0
 * fuzz_snapshot.c - any bytes as a policy; if it opens, it decides.
 *
 * Why: the interpreter trusts what gray_snapshot_open() let through, and a
 * snapshot is the one file whose damage would reach every worker at once.
 * Nothing is asked of the answers but that they stay inside the tables.
 * Read next: engine/snapshot.c, engine/decide.c.
 */
#include <string.h>

#include "tests/engine/craft.h"
#include "tests/fuzz/fuzz.h"

static const struct {
    const char *method, *host, *target, *cookie, *header, *value, *lane, *arms;
} requests[] = {
    {"GET", "shop.example", "/cart/items?id=1001&region=hz", "uid=1001; b=2",
     "x-user", "alice", "", ""},
    {"POST", "[::1]:80", "/", "uid=alice", "x-version", "1.2.3-rc.1", "red",
     "cart-2,pay-7:b"},
    {"GET", "", "/a/b/c/d/e", "", "content-type", "application/grpc", "unknown",
     ":::,,"},
    {"PUT", "a.b.", "*", "=;;=", "x-date", "2026-11-21T00:00:00Z", "", "safe"},
};

static void fill(struct gray_input *in, const struct gray_snapshot *policy,
                 uint32_t i)
{
    static const uint8_t address[16] = {0, 0, 0,   0,   0,  0, 0, 0,
                                        0, 0, 255, 255, 10, 0, 0, 1};
    struct gray_str header = craft_str(requests[i].header);

    gray_input_begin(in, policy, INT64_C(1767225600000), 12345);
    gray_input_method(in, craft_str(requests[i].method));
    gray_input_host(in, craft_str(requests[i].host));
    gray_input_target(in, craft_str(requests[i].target));
    gray_input_header(in, gray_hash_name("cookie", 6), craft_str("cookie"),
                      craft_str(requests[i].cookie));
    gray_input_header(in, gray_hash_name(header.data, header.length), header,
                      craft_str(requests[i].value));
    gray_input_address(in, address);
    gray_input_named(in, GRAY_SOURCE_ATTR, craft_str("region"),
                     craft_str("hz"));
    gray_input_named(in, GRAY_SOURCE_LABEL, craft_str("lane"),
                     craft_str("red"));
    gray_input_named(in, GRAY_SOURCE_CALLER, craft_str(""), craft_str("web"));
    gray_input_colour(in, craft_str(requests[i].lane),
                      craft_str(requests[i].arms), GRAY_CLASS_LIVE);
    in->stage = craft_str(i == 1 ? "create" : "");
    gray_input_named(in, GRAY_SOURCE_UNIT, craft_str(""),
                     craft_str(i == 2 ? "anon-1" : ""));
}

static struct gray_mark mark_of(void *context,
                                const struct gray_mark_query *query)
{
    const uint32_t *turn = context;

    return (struct gray_mark){
        (uint8_t)((query->release + query->unit.length + *turn) % 8),
        (uint8_t)*turn, 0, 0};
}

static void decide(const struct gray_view *view, uint32_t entrance, uint32_t i)
{
    static struct gray_trace trace;
    static char text[1 << 16];
    struct gray_input in;
    struct gray_colour colour;
    struct gray_choice choice;
    struct gray_verdict verdict;
    const struct gray_policy *policy = view->policy->policy;
    uint32_t number;

    fill(&in, view->policy, i);
    gray_decide(view, entrance, &in, mark_of, &i, &colour, &trace);
    MUST(colour.arm_count <= GRAY_ARMS_MAX);
    MUST(trace.step_count <= GRAY_TRACE_STEPS);
    for (number = 0; number < policy->services.count && number < 8; number++) {
        gray_choose(view, number, &colour, &choice);
        MUST(choice.route == GRAY_NONE || choice.route < policy->routes.count);
        if (choice.route != GRAY_NONE) {
            (void)gray_pick(view, choice.route, NULL, 0, i);
        }
    }
    for (number = 0; number < policy->releases.count && number < 8; number++) {
        gray_decide_release(view, number, &in, NULL, NULL, &verdict, NULL);
        (void)gray_unit(view, number, &in);
    }
    (void)gray_arms_write(view, &colour, in.arms, text, sizeof(text));
    (void)gray_explain(view, entrance, &in, mark_of, &i, text, sizeof(text));
    (void)gray_explain(view, entrance, &in, mark_of, &i, text, 100);
}

static void use(const struct gray_snapshot *policy)
{
    static const struct craft_endpoint endpoints[] = {
        {"cart", "127.0.0.1:1", 1, GRAY_ENDPOINT_READY, {"version", "v1"}},
        {"cart", "127.0.0.1:2", 1, GRAY_ENDPOINT_READY, {"version", "v2"}},
        {"order",
         "127.0.0.1:3",
         1,
         GRAY_ENDPOINT_READY,
         {"version", "v1", "lane", "red"}},
    };
    static struct craft fleet_file;
    struct gray_fleet fleet;
    struct gray_link link;
    struct gray_view view = {.policy = policy, .fleet = &fleet, .link = &link};
    size_t size;
    void *memory;
    uint32_t entrance, i;

    craft_fleet(&fleet_file, endpoints, 3);
    MUST(gray_fleet_open(&fleet, fleet_file.bytes, fleet_file.length, NULL) ==
         0);
    size = gray_link_size(policy, &fleet);
    memory = malloc(size == 0 ? 1 : size);
    MUST(memory != NULL);
    MUST(gray_link_build(&link, policy, &fleet, memory, size) == 0);
    for (i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        for (entrance = 0;
             entrance < policy->policy->entrances.count && entrance < 4;
             entrance++) {
            decide(&view, entrance, i);
        }
        decide(&view, GRAY_NONE, i);
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gray_file_header *header;
    struct gray_problem problem;
    struct gray_snapshot policy;

    header = malloc(size == 0 ? 1 : size);
    MUST(header != NULL);
    memcpy(header, data, size);
    if (size >= sizeof(*header)) {
        header->length = size;
    }
    if (gray_snapshot_open(&policy, header, size, &problem) == 0) {
        use(&policy);
    } else {
        MUST(problem.code != NULL && problem.sentence[0] != '\0');
    }
    free(header);
    return 0;
}
