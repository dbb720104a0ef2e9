/* SPDX-License-Identifier: Apache-2.0
 * log.c - the access log of a shop service: who was really served by whom.
 *
 * Why: shares and stickiness are judged from these lines only, by a program
 * that knows nothing of Graylane (tests/oracle/shares.py), so each request has
 * exactly one line, lines are never torn (O_APPEND, whole lines a write), and
 * none is older than 100 ms in memory.
 *
 *   time_ms service version uid method path status
 */
#include "shop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_BUFFER 65536u
#define LOG_LINE_MAX 512u
#define LOG_AGE_US 100000

static struct {
    int fd;
    const char *service, *version;
    size_t length;
    int64_t oldest_us;
    char buffer[LOG_BUFFER];
} access_log = {.fd = -1};

int log_open(const char *path, const char *service, const char *version)
{
    access_log.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (access_log.fd < 0) {
        fprintf(stderr, "shop: %s: %s\n", path, strerror(errno));
        return -1;
    }
    access_log.service = service;
    access_log.version = version;
    return 0;
}

static void log_flush(void)
{
    size_t done = 0;
    while (done < access_log.length) {
        ssize_t n = write(access_log.fd, access_log.buffer + done,
                          access_log.length - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            fprintf(stderr, "shop: access log: %s, %zu bytes lost\n",
                    strerror(errno), access_log.length - done);
            break;
        }
        done += (size_t)n;
    }
    access_log.length = 0;
}

/* One word of a line: no blank, no control byte, never empty, bounded. */
static size_t put_word(char *at, struct text word, size_t limit)
{
    size_t length = word.length < limit ? word.length : limit;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)word.data[i];
        at[i] = c > 0x20 && c < 0x7f ? (char)c : '?';
    }
    if (length == 0) {
        at[length++] = '-';
    }
    at[length++] = ' ';
    return length;
}

void log_request(struct text uid, struct text method, struct text target,
                 unsigned status)
{
    if (access_log.length + LOG_LINE_MAX > LOG_BUFFER) {
        log_flush();
    }
    if (access_log.length == 0) {
        access_log.oldest_us = http_clock_us();
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char *at = access_log.buffer + access_log.length;
    at += snprintf(at, 160, "%lld %.60s %.60s ",
                   (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
                   access_log.service, access_log.version);
    at += put_word(at, uid, 64);
    at += put_word(at, method, 16);
    at += put_word(at, target, 128);
    at += snprintf(at, 8, "%u\n", status);
    access_log.length = (size_t)(at - access_log.buffer);
}

void log_tick(int64_t now_us, bool all)
{
    if (access_log.length > 0 &&
        (all || now_us - access_log.oldest_us >= LOG_AGE_US)) {
        log_flush();
    }
}
