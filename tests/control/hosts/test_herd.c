/* SPDX-License-Identifier: Apache-2.0
 * test_herd.c - a thousand agents after an outage: a trickle, not a herd.
 *
 * Why: when they come again is decided by each agent's own random wait, so it
 * is simulated with the very function that agents run (control/agent/
 * backoff.c), against the very gate of the server, in time that the test
 * counts.  What must hold: the gate lets in no more than it may in any second,
 * whatever they do; with the spread that the server gave them few are turned
 * away at all, and all are back soon after that spread.
 * Read next: control/agent/backoff.c, control/hosts/registry.c (shed_take).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/agent/backoff.h"
#include "control/hosts/registry.h"

#define AGENTS 1000
#define STEP_MS 5
#define END_MS 600000

struct herd {
    struct backoff backoff[AGENTS];
    int64_t next[AGENTS]; /* when it comes; -1: it is in */
    int64_t came[AGENTS]; /* when it was let in */
    struct shed shed;
    size_t in, turned;
    int64_t last;
};

/* All lose their connection at 0; the server is away until `back`. */
static void outage(struct herd *herd, uint64_t spread, int64_t back,
                   unsigned retry_s)
{
    memset(herd, 0, sizeof(*herd));
    for (size_t i = 0; i < AGENTS; i++) {
        backoff_init(&herd->backoff[i], i * 7919 + 1);
        backoff_spread(&herd->backoff[i], spread);
        herd->next[i] = backoff_next(&herd->backoff[i], 0);
    }
    for (int64_t now = 0; now < END_MS && herd->in < AGENTS; now += STEP_MS) {
        for (size_t i = 0; i < AGENTS; i++) {
            if (herd->next[i] < 0 || herd->next[i] > now) {
                continue;
            }
            if (now >= back && shed_take(&herd->shed, now + 100000)) {
                herd->next[i] = -1;
                herd->came[herd->in++] = now;
                herd->last = now;
            } else {
                herd->turned += now >= back;
                herd->next[i] =
                    now + backoff_next(&herd->backoff[i],
                                       now >= back ? retry_s * 1000u : 0);
            }
        }
    }
}

static size_t most_in_a_second(const struct herd *herd)
{
    size_t most = 0, first = 0;

    for (size_t i = 0; i < herd->in; i++) {
        while (herd->came[i] - herd->came[first] >= 1000) {
            first++;
        }
        most = i - first + 1 > most ? i - first + 1 : most;
    }
    return most;
}

static void a_short_outage_brings_a_trickle(void **state)
{
    static struct herd herd;

    (void)state;
    outage(&herd, (uint64_t)hosts_spread(AGENTS), 0, 1);
    assert_int_equal(herd.in, AGENTS);
    assert_true(most_in_a_second(&herd) <= HOSTS_PER_S);
    /* 1,000 in 20 s are 50 a second on average, so that in some seconds a few
     * are turned away: who was comes again by twice the spread. */
    assert_true(herd.turned < AGENTS / 2);
    assert_true(herd.last < 90000);
    /* And they really spread: no quarter of the time has most of them. */
    size_t quarter[4] = { 0 };
    for (size_t i = 0; i < AGENTS; i++) {
        quarter[herd.came[i] / 5000 < 4 ? herd.came[i] / 5000 : 3]++;
    }
    for (int i = 0; i < 3; i++) {
        assert_true(quarter[i] > 150 && quarter[i] <= 250 + HOSTS_PER_S);
    }
}

static void after_a_long_outage_no_second_has_more_than_it_may(void **state)
{
    static struct herd herd;

    (void)state;
    outage(&herd, (uint64_t)hosts_spread(AGENTS), 120000, 10);
    assert_int_equal(herd.in, AGENTS);
    assert_true(most_in_a_second(&herd) <= HOSTS_PER_S);
    assert_true(herd.last < 120000 + 200000);
}

/* What the gate is for: agents that know no spread. */
static void a_herd_without_a_spread_is_held_at_the_gate(void **state)
{
    static struct herd herd;

    (void)state;
    outage(&herd, 1, 0, 1);
    assert_int_equal(herd.in, AGENTS);
    assert_true(most_in_a_second(&herd) <= HOSTS_PER_S);
    assert_true(herd.turned > AGENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_outage_brings_a_trickle),
        cmocka_unit_test(after_a_long_outage_no_second_has_more_than_it_may),
        cmocka_unit_test(a_herd_without_a_spread_is_held_at_the_gate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
