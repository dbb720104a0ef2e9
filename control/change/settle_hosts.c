/* SPDX-License-Identifier: Apache-2.0
 * settle_hosts.c - the part of other hosts in what a change waits for.
 *
 * Why: "frozen" is said of all hosts or it is not said.  A host has done its
 * part when it reported the word with all its live readers and its marks, or
 * when the lease that it was granted last is over; a host without a lease to
 * wait for is named, as a reader is.  There may be thousands, and the settling
 * thread looks every two milliseconds, so their part is kept for a while.
 * Read next: settle_marks.c, ../hosts/registry.h (host_stands).
 */
#include <stdio.h>

#include "control/change/settle.h"

#define NAMES_MAX 300u

static struct hosts *hosts_of(const struct settler *settler)
{
    return settler->control->grayd->hosts;
}

/* ---- a scope that closes ------------------------------------------------------- */

bool settle_hosts(struct settler *settler, struct closing *closing, bool again)
{
    struct hosts *hosts = hosts_of(settler);
    int64_t now = settle_now();

    if (hosts == NULL || hosts_known(hosts) == 0) {
        return true;
    }
    if (!again && closing->hosts_looked != 0 &&
        now - closing->hosts_looked < SETTLE_HOSTS_MS) {
        return closing->hosts.waited == 0;
    }
    json_decref(closing->hosts.late);
    hosts_stand(hosts, closing->host_epoch, closing->lease_ms,
                &closing->hosts);
    closing->hosts_looked = now;
    return closing->hosts.waited == 0;
}

void settle_hosts_admission(const struct closing *closing, json_t *admission)
{
    if (admission != NULL && closing->hosts.late != NULL) {
        json_object_set(admission, "hosts", closing->hosts.late);
    }
}

void settle_hosts_sentence(const struct closing *closing, char *text,
                           size_t size)
{
    size_t count = closing->hosts.waited + closing->hosts.over, i;
    char names[NAMES_MAX] = "";
    const json_t *row;
    size_t used = 0;

    text[0] = '\0';
    if (count == 0) {
        return;
    }
    json_array_foreach(closing->hosts.late, i, row) {
        json_int_t left =
            json_integer_value(json_object_get(row, "leaseLeftMs"));
        char end[40] = "";

        if (used + 110 > sizeof(names)) {
            snprintf(names + used, sizeof(names) - used, ", ...");
            break;
        }
        if (left > 0) {
            snprintf(end, sizeof(end), ": its lease ends in %.1f s",
                     (double)left / 1000);
        }
        used += (size_t)snprintf(
            names + used, sizeof(names) - used, "%s%.63s%s",
            i > 0 ? ", " : "",
            json_string_value(json_object_get(row, "host")), end);
    }
    snprintf(text, size, "; %zu of %zu hosts %s not acknowledged (%s)", count,
             closing->hosts.known, count == 1 ? "has" : "have", names);
}

/* ---- an answer that waits --------------------------------------------------------- */

bool settle_hosts_have(struct settler *settler, struct waiting *waiting)
{
    struct hosts *hosts = hosts_of(settler);
    size_t known = 0, have = 0;
    int64_t now = settle_now();

    if (hosts == NULL) {
        return true;
    }
    if (waiting->hosts_looked == 0 ||
        now - waiting->hosts_looked >= SETTLE_HOSTS_MS) {
        hosts_behind(hosts, waiting->sequence, &known, &have, NULL);
        waiting->hosts_looked = now;
        waiting->hosts_have = have >= known;
    }
    return waiting->hosts_have;
}

void settle_hosts_in_force(struct settler *settler,
                           const struct waiting *waiting, json_t *in_force)
{
    struct hosts *hosts = hosts_of(settler);
    size_t known = 0, have = 0;
    json_t *names = NULL;

    if (hosts == NULL || in_force == NULL || hosts_known(hosts) == 0) {
        return;
    }
    hosts_behind(hosts, waiting->sequence, &known, &have, &names);
    json_object_set_new(in_force, "hosts", json_integer((json_int_t)known));
    json_object_set_new(in_force, "hostsAcknowledged",
                        json_integer((json_int_t)have));
    if (json_array_size(names) > 0) {
        json_object_set(in_force, "hostsBehind", names);
    }
    json_decref(names);
}
