/* SPDX-License-Identifier: Apache-2.0
 * test_registry.c - leases and promises, on a clock that the test holds.
 *
 * Why: a freeze that returns while some host may still admit is the one fault
 * that this part exists to prevent, and it is a fault of minutes and seconds
 * that no story meets by chance.
 * Read next: control/hosts/registry.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/hosts/registry.h"

#define NOW 1000000

static const struct registry_newest newest = {
    .server = "s", .sequence = 40, .revision = 9, .epoch = 31
};

static struct report says(uint64_t sequence, uint64_t epoch)
{
    struct report report = { .sequence = sequence, .epoch = epoch,
                             .readers_epoch = UINT64_MAX, .server = "s" };

    return report;
}

static int64_t reports(struct host *host, struct report report, int64_t now)
{
    return host_report(host, &report, &newest, now, 5);
}

static void only_a_kept_host_of_the_newest_epoch_is_granted_a_lease(void **state)
{
    struct host host = { .name = "h1" };

    (void)state;
    assert_int_equal(reports(&host, says(40, 31), NOW), 0); /* not kept yet */
    assert_int_equal(host.lease_until, 0);
    host.kept = true;
    assert_int_equal(reports(&host, says(40, 30), NOW), 0);
    assert_int_equal(host.lease_until, 0);
    assert_int_equal(reports(&host, says(40, 31), NOW), HOSTS_LEASE_MS);
    /* Ours is longer than what the host counts from before it asked. */
    assert_true(host.lease_until > NOW + HOSTS_LEASE_MS);
    /* An older epoch later on keeps what it has, and gets no more. */
    assert_int_equal(reports(&host, says(40, 30), NOW + 9000), 0);
    assert_true(host.lease_until < NOW + 9000 + HOSTS_LEASE_MS);
    /* The policy may be older: only words are leased. */
    assert_int_equal(reports(&host, says(2, 31), NOW), HOSTS_LEASE_MS);
}

static void a_future_that_this_server_does_not_know_acknowledges_nothing(
    void **state)
{
    struct host host = { .name = "h1", .kept = true };
    struct report other = says(40, 31);

    (void)state;
    /* A server that was put back from an old copy. */
    assert_int_equal(reports(&host, says(700, 500), NOW), 0);
    assert_int_equal(host_stands(&host, &newest, 31, 0, NOW), HOST_LATE);
    assert_string_equal(host_state(&host, &newest, NOW), "ahead");
    assert_false(host_follows(&host, &newest, 40));
    assert_int_equal(reports(&host, says(41, 31), NOW), 0);
    assert_int_equal(host_stands(&host, &newest, 31, 0, NOW), HOST_LATE);
    assert_int_equal(reports(&host, says(40, 32), NOW), 0);
    assert_int_equal(host_stands(&host, &newest, 31, 0, NOW), HOST_LATE);
    /* Another server altogether. */
    strcpy(other.server, "t");
    assert_int_equal(reports(&host, other, NOW), 0);
    assert_int_equal(host_stands(&host, &newest, 31, 0, NOW), HOST_LATE);
}

static void a_word_is_acknowledged_by_every_live_reader_and_the_marks(
    void **state)
{
    struct host host = { .name = "h1", .kept = true };
    struct report report = says(40, 31);

    (void)state;
    report.live = 2;
    report.readers_epoch = 30;
    reports(&host, report, NOW);
    assert_int_equal(host_stands(&host, &newest, 31, 10000, NOW), HOST_LATE);
    assert_int_equal(host_stands(&host, &newest, 30, 10000, NOW),
                     HOST_ACKNOWLEDGED);
    report.readers_epoch = 31;
    report.has_marks = true;
    report.marks_closed = 30;
    reports(&host, report, NOW);
    assert_int_equal(host_stands(&host, &newest, 31, 10000, NOW), HOST_LATE);
    report.marks_closed = 31;
    reports(&host, report, NOW);
    assert_int_equal(host_stands(&host, &newest, 31, 10000, NOW),
                     HOST_ACKNOWLEDGED);
}

static void a_host_that_is_cut_off_is_waited_for_until_its_lease_is_over(
    void **state)
{
    struct host host = { .name = "h1", .kept = true };
    int64_t end;

    (void)state;
    reports(&host, says(40, 31), NOW);
    end = host.lease_until;
    /* A later word, of a scope with a lease of its own of 3 s: what the host
     * was granted counts, for it has not heard. */
    assert_int_equal(host_stands(&host, &newest, 32, 3000, end - 1),
                     HOST_LATE);
    assert_int_equal(host_over_at(&host, 32, 3000), end);
    assert_int_equal(host_stands(&host, &newest, 32, 3000, end),
                     HOST_LEASE_OVER);
    /* Without a lease nothing ever lets it go. */
    assert_int_equal(host_stands(&host, &newest, 32, 0, end + 1000000),
                     HOST_LATE);
}

static void a_late_reader_of_a_host_has_the_scopes_own_lease(void **state)
{
    struct host host = { .name = "h1", .kept = true };
    struct report report = says(40, 31);

    (void)state;
    report.live = 1;
    report.readers_epoch = 12;
    /* It goes on reporting, and so goes on being granted leases for others. */
    for (int64_t at = 0; at < 60000; at += 3000) {
        assert_int_equal(reports(&host, report, NOW + at), HOSTS_LEASE_MS);
    }
    assert_int_equal(host_stands(&host, &newest, 31, 3000, NOW + 2999),
                     HOST_LATE);
    assert_int_equal(host_stands(&host, &newest, 31, 3000, NOW + 3000),
                     HOST_LEASE_OVER);
}

static void after_a_restart_every_kept_host_may_have_a_lease(void **state)
{
    struct host host = { .name = "h1", .kept = true };

    (void)state;
    host_assume_lease(&host, NOW);
    assert_string_equal(host_state(&host, &newest, NOW), "unheard");
    assert_int_equal(host_stands(&host, &newest, 31, 3000,
                                 NOW + HOSTS_LEASE_MS), HOST_LATE);
    assert_int_equal(host_stands(&host, &newest, 31, 3000,
                                 NOW + HOSTS_LEASE_MS + HOSTS_LEASE_MS / 100),
                     HOST_LEASE_OVER);
}

static void epochs_that_came_and_went_are_remembered(void **state)
{
    struct host host = { .name = "h1", .kept = true };
    struct registry_newest now = newest;
    struct report report;

    (void)state;
    for (uint64_t epoch = 32; epoch < 52; epoch++) {
        now.sequence = now.epoch = epoch;
        report = says(epoch, epoch);
        report.live = 1;
        report.readers_epoch = 1;
        host_report(&host, &report, &now, NOW + (int64_t)epoch * 1000, 5);
    }
    /* The newest few exactly, older ones as late as is known: never early. */
    assert_int_equal(host_over_at(&host, 50, 3000), NOW + 50000 + 3000);
    assert_true(host_over_at(&host, 33, 3000) >= NOW + 33000 + 3000);
}

static void a_host_that_says_nothing_for_a_period_is_away(void **state)
{
    struct host host = { .name = "h1", .kept = true };
    struct report report = says(40, 31);

    (void)state;
    reports(&host, says(40, 31), NOW);
    assert_string_equal(host_state(&host, &newest, NOW), "current");
    assert_string_equal(host_state(&host, &newest, NOW + HOSTS_AWAY_MS),
                        "current");
    assert_string_equal(host_state(&host, &newest, NOW + HOSTS_AWAY_MS + 1),
                        "away");
    assert_true(HOSTS_AWAY_MS < HOSTS_LEASE_MS); /* said before that ends */
    reports(&host, says(39, 31), NOW);
    assert_string_equal(host_state(&host, &newest, NOW), "behind");
    report.late = 1;
    reports(&host, report, NOW);
    assert_string_equal(host_state(&host, &newest, NOW), "late");
    report.refused = 41;
    reports(&host, report, NOW);
    assert_string_equal(host_state(&host, &newest, NOW), "refuses");
}

static void hosts_are_found_by_name_and_go(void **state)
{
    struct registry registry = { 0 };
    char name[80];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "h%d", (i * 7919) % 1000);
        assert_non_null(registry_add(&registry, name));
    }
    assert_int_equal(registry.count, 1000);
    assert_ptr_equal(registry_add(&registry, "h7"),
                     registry_find(&registry, "h7"));
    for (size_t i = 1; i < registry.count; i++) {
        assert_true(strcmp(registry.hosts[i - 1]->name,
                           registry.hosts[i]->name) < 0);
    }
    registry_remove(&registry, "h7");
    registry_remove(&registry, "nobody");
    assert_null(registry_find(&registry, "h7"));
    assert_int_equal(registry.count, 999);
    memset(name, 'x', REPORT_NAME_MAX + 1);
    name[REPORT_NAME_MAX + 1] = '\0';
    assert_null(registry_add(&registry, name));
    registry_clear(&registry);
}

static void in_no_second_more_than_so_many_come(void **state)
{
    static int64_t taken[4096];
    struct shed shed = { 0 };
    size_t count = 0;

    (void)state;
    /* A herd: 1,000 every 10 ms, for 20 s. */
    for (int64_t at = 0; at < 20000; at += 10) {
        for (int i = 0; i < 1000; i++) {
            if (shed_take(&shed, NOW + at)) {
                taken[count++] = at;
            }
        }
    }
    for (size_t i = HOSTS_PER_S; i < count; i++) {
        assert_true(taken[i] - taken[i - HOSTS_PER_S] >= 1000);
    }
    /* And no fewer: as many as may come do. */
    assert_int_equal(count, 20 * HOSTS_PER_S);
    assert_int_equal(shed.taken, count);
    assert_int_equal(shed.refused, 2000 * 1000 - count);
    assert_true(shed_take(&shed, NOW + 60000));
}

static void all_hosts_together_come_slowly_enough(void **state)
{
    (void)state;
    assert_int_equal(hosts_spread(0), HOSTS_SPREAD_LEAST_MS);
    assert_int_equal(hosts_spread(1000), 20000);
    assert_int_equal(hosts_spread(10000), 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            only_a_kept_host_of_the_newest_epoch_is_granted_a_lease),
        cmocka_unit_test(
            a_future_that_this_server_does_not_know_acknowledges_nothing),
        cmocka_unit_test(a_word_is_acknowledged_by_every_live_reader_and_the_marks),
        cmocka_unit_test(
            a_host_that_is_cut_off_is_waited_for_until_its_lease_is_over),
        cmocka_unit_test(a_late_reader_of_a_host_has_the_scopes_own_lease),
        cmocka_unit_test(after_a_restart_every_kept_host_may_have_a_lease),
        cmocka_unit_test(epochs_that_came_and_went_are_remembered),
        cmocka_unit_test(a_host_that_says_nothing_for_a_period_is_away),
        cmocka_unit_test(hosts_are_found_by_name_and_go),
        cmocka_unit_test(in_no_second_more_than_so_many_come),
        cmocka_unit_test(all_hosts_together_come_slowly_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
