/* SPDX-License-Identifier: Apache-2.0
 * test_rates.c - differences of counters that begin anew, vanish and come back.
 *
 * Read next: impact/rates.c.
 */
#include "tests/impact/policies.h"

#define S INT64_C(1000000000)

/* Counters as readers would sum them up. */
struct counted {
    struct gray_totals totals;
    struct gray_series series[4];
    struct gray_flow flows[4];
};

static void series(struct counted *c, const char *service, const char *version,
                   uint64_t started)
{
    struct gray_series *s = &c->series[c->totals.series_count++];

    memset(s, 0, sizeof(*s));
    strcpy(s->service, service);
    strcpy(s->version, version);
    s->started = started;
    c->totals.series = c->series;
}

static void flow(struct counted *c, const char *service, const char *arm,
                 uint64_t requests)
{
    struct gray_flow *f = &c->flows[c->totals.flow_count++];

    memset(f, 0, sizeof(*f));
    strcpy(f->service, service);
    strcpy(f->arm, arm);
    f->scope = 1;
    f->requests = requests;
    c->totals.flows = c->flows;
}

static void add(struct impact_rates *rates, struct counted *c,
                uint64_t entered, int64_t at)
{
    c->totals.entered = entered;
    assert_int_equal(impact_rates_add(rates, &c->totals, 1, at), 0);
    memset(c, 0, sizeof(*c));
}

static uint64_t requests(const struct impact_traffic *traffic,
                         const char *service, const char *version)
{
    for (size_t i = 0; i < traffic->series_count; i++) {
        if (strcmp(traffic->series[i].service, service) == 0 &&
            strcmp(traffic->series[i].version, version) == 0) {
            return traffic->series[i].requests;
        }
    }
    return 0;
}

static void what_was_counted_before_we_looked_is_not_now(void **state)
{
    struct impact_rates *rates = impact_rates_new(S);
    struct impact_traffic traffic;
    struct counted c = { 0 };

    (void)state;
    assert_int_equal(impact_rates_read(rates, 60 * S, false, &traffic), 1);
    series(&c, "cart", "v1", 1000000);
    flow(&c, "cart", "cart-2", 777);
    add(rates, &c, 5000000, 10 * S);
    assert_int_equal(impact_rates_read(rates, 60 * S, false, &traffic), 1);
    series(&c, "cart", "v1", 1000300);
    series(&c, "cart", "v2", 40); /* new: all of it came since */
    flow(&c, "cart", "cart-2", 800);
    add(rates, &c, 5000500, 20 * S);
    assert_int_equal(impact_rates_read(rates, 60 * S, false, &traffic), 0);
    assert_true(traffic.seconds > 9.99 && traffic.seconds < 10.01);
    assert_int_equal(traffic.entered, 500);
    assert_int_equal(requests(&traffic, "cart", "v1"), 300);
    assert_int_equal(requests(&traffic, "cart", "v2"), 40);
    assert_int_equal(traffic.flow_count, 1);
    assert_int_equal(traffic.flows[0].requests, 23);
    impact_traffic_free(&traffic);
    impact_rates_free(rates);
}

static void a_counter_that_begins_anew_takes_nothing(void **state)
{
    struct impact_rates *rates = impact_rates_new(S);
    struct impact_traffic traffic;
    struct counted c = { 0 };

    (void)state;
    series(&c, "cart", "v1", 1000);
    add(rates, &c, 100, 0);
    series(&c, "cart", "v1", 1100);
    add(rates, &c, 200, 10 * S);
    series(&c, "cart", "v1", 5); /* its place was given to another before */
    add(rates, &c, 300, 20 * S);
    series(&c, "cart", "v1", 25);
    add(rates, &c, 400, 30 * S);
    assert_int_equal(impact_rates_read(rates, 60 * S, false, &traffic), 0);
    assert_int_equal(requests(&traffic, "cart", "v1"), 120);
    assert_int_equal(traffic.entered, 300);
    impact_traffic_free(&traffic);
    impact_rates_free(rates);
}

/* A reader's file that cannot be believed for a moment does not come back as a
 * burst. */
static void a_file_that_is_bad_for_a_moment_is_no_burst(void **state)
{
    struct impact_rates *rates = impact_rates_new(S);
    struct impact_traffic traffic;
    struct counted c = { 0 };

    (void)state;
    series(&c, "cart", "v1", 100000);
    add(rates, &c, 100000, 0);
    c.totals.bad_readers = 1;
    series(&c, "cart", "v1", 10);
    add(rates, &c, 10, 10 * S);
    series(&c, "cart", "v1", 100020);
    add(rates, &c, 100020, 20 * S);
    assert_int_equal(impact_rates_read(rates, 60 * S, false, &traffic), 0);
    assert_int_equal(requests(&traffic, "cart", "v1"), 20);
    assert_int_equal(traffic.entered, 20);
    impact_traffic_free(&traffic);
    impact_rates_free(rates);
}

static void the_window_and_the_policy_bound_what_is_read(void **state)
{
    struct impact_rates *rates = impact_rates_new(S);
    struct impact_traffic traffic;
    struct counted c = { 0 };

    (void)state;
    for (int64_t i = 0; i < 100; i++) { /* more than there is room for */
        c.totals.entered = (uint64_t)i * 10;
        assert_int_equal(impact_rates_add(rates, &c.totals, i < 95 ? 7 : 8,
                                          i * S),
                         0);
    }
    assert_int_equal(impact_rates_read(rates, 20 * S, false, &traffic), 0);
    assert_int_equal(traffic.entered, 200);
    impact_traffic_free(&traffic);
    assert_int_equal(impact_rates_read(rates, 20 * S, true, &traffic), 0);
    assert_int_equal(traffic.entered, 40); /* 95 to 99 */
    impact_traffic_free(&traffic);
    assert_int_equal(impact_rates_read(rates, 1000 * S, false, &traffic), 0);
    assert_int_equal(traffic.entered, (IMPACT_SAMPLES - 1) * 10);
    impact_traffic_free(&traffic);
    impact_rates_free(rates);
}

/* Whoever asks often does not push out what was long ago. */
static void looking_often_keeps_the_window(void **state)
{
    struct impact_rates *rates = impact_rates_new(10 * S);
    struct impact_traffic traffic;
    struct counted c = { 0 };

    (void)state;
    for (int64_t i = 0; i <= 1000; i++) {
        add(rates, &c, (uint64_t)i, i * S / 10);
    }
    assert_int_equal(impact_rates_read(rates, 60 * S, false, &traffic), 0);
    assert_in_range(traffic.entered, 500, 600);
    assert_true(traffic.seconds > 49 && traffic.seconds < 61);
    impact_traffic_free(&traffic);
    impact_rates_free(rates);
}

static void other_classes_and_other_names_stay_apart(void **state)
{
    struct impact_rates *rates = impact_rates_new(S);
    struct impact_traffic traffic;
    struct counted c = { 0 };

    (void)state;
    add(rates, &c, 0, 0);
    series(&c, "cart", "v1", 10);
    series(&c, "cart", "v1", 5);
    strcpy(c.series[1].lane, "red"); /* the same version, by a lane */
    series(&c, "cart", "v1", 1000);
    c.series[2].traffic_class = GRAY_CLASS_LOAD;
    series(&c, "order", "v1", 3);
    add(rates, &c, 0, S);
    assert_int_equal(impact_rates_read(rates, 60 * S, false, &traffic), 0);
    assert_int_equal(requests(&traffic, "cart", "v1"), 15);
    assert_int_equal(requests(&traffic, "order", "v1"), 3);
    impact_traffic_free(&traffic);
    impact_rates_free(rates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_counted_before_we_looked_is_not_now),
        cmocka_unit_test(a_counter_that_begins_anew_takes_nothing),
        cmocka_unit_test(a_file_that_is_bad_for_a_moment_is_no_burst),
        cmocka_unit_test(the_window_and_the_policy_bound_what_is_read),
        cmocka_unit_test(looking_often_keeps_the_window),
        cmocka_unit_test(other_classes_and_other_names_stay_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
