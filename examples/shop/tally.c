/* SPDX-License-Identifier: Apache-2.0
 * tally.c - counts of the load generator: statuses, failures, latencies.
 *
 * Why: a gray release is judged by what users met, so failures are told apart
 * by kind, and latencies are kept by the version that answered.  A histogram
 * has 16 buckets for each power of two microseconds: within 6 %.
 */
#include "users.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS (64 * 16)
#define VERSIONS_MAX 8u

struct histogram {
    uint64_t count;
    uint32_t buckets[BUCKETS];
};

static struct {
    uint64_t requests, answers, stale_retries, connections;
    uint64_t failures[FAILED_KINDS];
    uint64_t status[600];
    int64_t latency_max;
    struct histogram latency;
    unsigned version_count;
    struct {
        char name[32];
        struct histogram all, window;
    } versions[VERSIONS_MAX];
    int64_t window_begun;
    uint64_t window_answers;
} tally;

static const char *const failure_words[] = {
#define X(NAME, word) word,
    USERS_FAILURES(X)
#undef X
};

static unsigned bucket_of(int64_t us)
{
    if (us < 16) {
        return us < 0 ? 0 : (unsigned)us;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll((uint64_t)us);
    return power * 16 + (unsigned)((us >> (power - 4)) & 15);
}

static int64_t bucket_value(unsigned bucket)
{
    if (bucket < 64) {
        return bucket;
    }
    unsigned power = bucket / 16;
    return ((int64_t)16 + bucket % 16) << (power - 4);
}

static void histogram_add(struct histogram *histogram, int64_t us)
{
    histogram->buckets[bucket_of(us)]++;
    histogram->count++;
}

static int64_t histogram_at(const struct histogram *histogram, unsigned percent)
{
    uint64_t rank = (histogram->count * percent + 99) / 100;
    uint64_t seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            return bucket_value(i);
        }
    }
    return 0;
}

void tally_request(void)
{
    tally.requests++;
}

void tally_failure(enum failure kind)
{
    tally.failures[kind]++;
}

void tally_stale_retry(void)
{
    tally.stale_retries++;
}

void tally_connection(void)
{
    tally.connections++;
}

uint64_t tally_failed(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < FAILED_KINDS; i++) {
        sum += tally.failures[i];
    }
    return sum;
}

void tally_answer(unsigned status, int64_t latency_us, struct text version)
{
    tally.answers++;
    tally.status[status < 600 ? status : 599]++;
    histogram_add(&tally.latency, latency_us);
    if (latency_us > tally.latency_max) {
        tally.latency_max = latency_us;
    }
    if (version.length == 0 ||
        version.length >= sizeof(tally.versions[0].name)) {
        return;
    }
    unsigned i = 0;
    while (i < tally.version_count &&
           !text_is(version, tally.versions[i].name)) {
        i++;
    }
    if (i == VERSIONS_MAX) {
        return;
    }
    if (i == tally.version_count) {
        memcpy(tally.versions[i].name, version.data, version.length);
        tally.version_count++;
    }
    histogram_add(&tally.versions[i].all, latency_us);
    histogram_add(&tally.versions[i].window, latency_us);
}

/* `by`: [["v1",count,p50,p99],...] in microseconds. */
static size_t put_versions(char *out, size_t size, bool window)
{
    size_t length = (size_t)snprintf(out, size, "[");
    for (unsigned i = 0; i < tally.version_count; i++) {
        const struct histogram *h =
            window ? &tally.versions[i].window : &tally.versions[i].all;
        length += (size_t)snprintf(
            out + length, size - length, "%s[\"%s\",%llu,%lld,%lld]",
            i > 0 ? "," : "", tally.versions[i].name,
            (unsigned long long)h->count, (long long)histogram_at(h, 50),
            (long long)histogram_at(h, 99));
    }
    return length + (size_t)snprintf(out + length, size - length, "]");
}

void tally_live(int fd, int64_t now_us)
{
    char line[1024], versions[768];
    double seconds = (double)(now_us - tally.window_begun) / 1e6;
    double rate = tally.window_begun != 0 && seconds > 0
                      ? (double)(tally.answers - tally.window_answers) / seconds
                      : 0;
    put_versions(versions, sizeof(versions), true);
    int length = snprintf(
        line, sizeof(line),
        "{\"requests\":%llu,\"failed\":%llu,"
        "\"stale_retries\":%llu,\"rate\":%.0f,\"by\":%s}\n",
        (unsigned long long)tally.requests, (unsigned long long)tally_failed(),
        (unsigned long long)tally.stale_retries, rate, versions);
    (void)!write(fd, line, (size_t)length); /* who does not listen, misses it */
    tally.window_begun = now_us;
    tally.window_answers = tally.answers;
    for (unsigned i = 0; i < tally.version_count; i++) {
        memset(&tally.versions[i].window, 0, sizeof(struct histogram));
    }
}

void tally_print(const struct tally_end *end)
{
    char versions[768];
    printf(
        "{\"requests\":%llu,\"answered\":%llu,\"failed\":%llu,\"failures\":{",
        (unsigned long long)tally.requests, (unsigned long long)tally.answers,
        (unsigned long long)tally_failed());
    for (unsigned i = 0; i < FAILED_KINDS; i++) {
        printf("%s\"%s\":%llu", i > 0 ? "," : "", failure_words[i],
               (unsigned long long)tally.failures[i]);
    }
    printf("},\"stale_retries\":%llu,\"connections\":%llu,\"status\":{",
           (unsigned long long)tally.stale_retries,
           (unsigned long long)tally.connections);
    const char *comma = "";
    for (unsigned i = 0; i < 600; i++) {
        if (tally.status[i] > 0) {
            printf("%s\"%u\":%llu", comma, i,
                   (unsigned long long)tally.status[i]);
            comma = ",";
        }
    }
    put_versions(versions, sizeof(versions), false);
    printf("},\"latency_us\":{\"p50\":%lld,\"p99\":%lld,\"max\":%lld},"
           "\"by\":%s,\"users\":%ld,\"passes\":%ld,\"complete\":%s,"
           "\"seconds\":%.3f}\n",
           (long long)histogram_at(&tally.latency, 50),
           (long long)histogram_at(&tally.latency, 99),
           (long long)tally.latency_max, versions, end->users, end->passes,
           end->complete ? "true" : "false", end->seconds);
}
