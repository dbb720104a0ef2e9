/* SPDX-License-Identifier: Apache-2.0
 * fuzz_fleet.c - any bytes as a fleet, joined with a policy and picked from.
 *
 * Why: as for lists: what opens is used as it stands.
 * Read next: engine/fleet.c, engine/link.c, tests/engine/craft.h.
 */
#include <string.h>

#include "tests/engine/craft.h"
#include "tests/fuzz/fuzz.h"

static void use(const struct gray_fleet *fleet)
{
    static const struct craft_route routes[] = {
        {"cart",
         GRAY_ROUTE_BASELINE,
         0,
         GRAY_NONE,
         GRAY_NONE,
         GRAY_NONE,
         GRAY_NONE,
         {"version", "v1", "lane", ""}},
        {"cart",
         GRAY_ROUTE_LANE,
         0,
         GRAY_NONE,
         GRAY_NONE,
         0,
         GRAY_NONE,
         {"lane", "red"}},
        {"order",
         GRAY_ROUTE_BASELINE,
         0,
         GRAY_NONE,
         GRAY_NONE,
         GRAY_NONE,
         GRAY_NONE,
         {NULL}},
    };
    static struct craft policy_file;
    struct gray_snapshot policy;
    struct gray_link link;
    struct gray_view view = {.policy = &policy, .fleet = fleet, .link = &link};
    uint32_t route, i, picked;
    size_t size;
    void *memory;

    craft_policy(&policy_file, NULL, 0, routes, 3, &policy);
    size = gray_link_size(&policy, fleet);
    memory = malloc(size);
    MUST(memory != NULL);
    MUST(gray_link_build(&link, &policy, fleet, memory, size) == 0);
    for (route = 0; route < 3; route++) {
        for (i = 0; i < 8; i++) {
            picked = gray_pick(&view, route, NULL, i, gray_mix64(i + 1));
            MUST(picked == GRAY_NONE ||
                 gray_endpoint_at(fleet, picked)->weight != 0);
        }
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gray_file_header *header;
    struct gray_problem problem;
    struct gray_fleet fleet;
    const struct gray_endpoint *endpoint;
    uint32_t i;

    header = malloc(size == 0 ? 1 : size);
    MUST(header != NULL);
    memcpy(header, data, size);
    if (size >= sizeof(*header)) {
        header->length = size;
    }
    if (gray_fleet_open(&fleet, header, size, &problem) == 0) {
        for (i = 0; (endpoint = gray_endpoint_at(&fleet, i)) != NULL; i++) {
            MUST(gray_fleet_text(&fleet, endpoint->text).length != 0);
        }
        use(&fleet);
    } else {
        MUST(problem.code != NULL && problem.sentence[0] != '\0');
    }
    free(header);
    return 0;
}
