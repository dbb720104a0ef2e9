/* SPDX-License-Identifier: Apache-2.0
 * view.c - one step of a gray release, as the shop's own access logs tell it.
 *
 * Why: what was wanted is in the policy; what happened is only in the logs of
 * the services that really answered.  This program reads those lines and the
 * load generator's, draws them on a terminal (plain lines elsewhere), waits
 * until every user has been seen in this step, and judges: the observed share
 * within three standard deviations, nobody dropped, nobody wavering, no
 * request failed.  It ends by itself after --seconds.
 */
#include "http.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define LOGS_MAX 8
#define VERSIONS_MAX 8
#define BAR 40
#define PLAIN_EVERY 20 /* pictures, of 100 ms, between two plain lines */

enum { WAS_IN = 1, SEEN_IN = 2, SEEN_OUT = 4 };

struct log {
    const char *path;
    int fd;
    off_t offset;
};

struct live {
    unsigned long long requests, failed, stale_retries;
    double rate;
    unsigned versions;
    struct {
        char name[32];
        unsigned long long count;
        long p50_us, p99_us;
    } by[VERSIONS_MAX];
};

static struct {
    const char *title, *service, *version, *live_path;
    double wanted; /* percent */
    long users, first, seconds;
    long long since_ms;
    struct log logs[LOGS_MAX];
    unsigned log_count;
    bool terminal;
    uint8_t *flags; /* by uid - first */
    long seen, in, dropped, wavering;
    struct live live;
    unsigned drawn; /* lines on the terminal */
} view = {.title = "", .users = 0, .first = 1, .seconds = 60};

/* ---- reading
 * ----------------------------------------------------------------- */

static void see(long uid, long long time_ms, bool in)
{
    if (uid < view.first || uid - view.first >= view.users) {
        return;
    }
    uint8_t *flags = &view.flags[uid - view.first];
    if (time_ms >= view.since_ms) {
        *flags |= in ? SEEN_IN : SEEN_OUT;
    } else if (in) {
        *flags |= WAS_IN;
    }
}

/* After all logs were read: they are read one after the other, so only then
 * is it known who had been in before. */
static void recount(void)
{
    view.seen = view.in = view.dropped = view.wavering = 0;
    for (long i = 0; i < view.users; i++) {
        uint8_t flags = view.flags[i];
        view.seen += (flags & (SEEN_IN | SEEN_OUT)) != 0;
        view.in += (flags & SEEN_IN) != 0;
        view.dropped += (flags & WAS_IN) && (flags & SEEN_OUT);
        view.wavering += (flags & SEEN_IN) && (flags & SEEN_OUT);
    }
}

/* time_ms service version uid method path status */
static void read_line(const char *line, size_t length)
{
    char service[64], version[64], copy[512];
    long long time_ms;
    long uid;
    if (length >= sizeof(copy)) {
        return;
    }
    memcpy(copy, line, length);
    copy[length] = '\0';
    if (sscanf(copy, "%lld %63s %63s %ld ", &time_ms, service, version, &uid) ==
            4 &&
        strcmp(service, view.service) == 0) {
        see(uid, time_ms, strcmp(version, view.version) == 0);
    }
}

static void read_log(struct log *log)
{
    static char buffer[1 << 18];
    if (log->fd < 0) {
        log->fd = open(log->path, O_RDONLY | O_CLOEXEC);
    }
    for (;;) {
        ssize_t n = log->fd < 0
                        ? 0
                        : pread(log->fd, buffer, sizeof(buffer), log->offset);
        if (n <= 0) {
            return;
        }
        size_t done = 0;
        const char *end;
        while ((end = memchr(buffer + done, '\n', (size_t)n - done)) != NULL) {
            read_line(buffer + done, (size_t)(end - buffer) - done);
            done = (size_t)(end - buffer) + 1;
        }
        if (done == 0) {
            return;
        }
        log->offset += (off_t)done;
    }
}

/* The last whole line of what `users --live` wrote. */
static void read_live(void)
{
    char buffer[4096];
    int fd = open(view.live_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from =
        size > (off_t)sizeof(buffer) - 1 ? size - (off_t)sizeof(buffer) + 1 : 0;
    ssize_t n = pread(fd, buffer, sizeof(buffer) - 1, from);
    close(fd);
    while (n > 0 && buffer[n - 1] != '\n') {
        n--;
    }
    if (n <= 0) {
        return;
    }
    buffer[n - 1] = '\0';
    const char *line = strrchr(buffer, '\n');
    line = line != NULL ? line + 1 : buffer;
    struct live live = {0};
    if (sscanf(line,
               "{\"requests\":%llu,\"failed\":%llu,\"stale_retries\":%llu,"
               "\"rate\":%lf",
               &live.requests, &live.failed, &live.stale_retries,
               &live.rate) != 4) {
        return;
    }
    const char *at = strstr(line, "\"by\":[");
    at = at != NULL ? at + 6 : "";
    while (live.versions < VERSIONS_MAX &&
           sscanf(at, "[\"%31[^\"]\",%llu,%ld,%ld]",
                  live.by[live.versions].name, &live.by[live.versions].count,
                  &live.by[live.versions].p50_us,
                  &live.by[live.versions].p99_us) == 4) {
        live.versions++;
        at = strchr(at, ']');
        at = at != NULL && at[1] == ',' ? at + 2 : "";
    }
    view.live = live;
}

/* ---- drawing
 * ------------------------------------------------------------------ */

static double observed(void)
{
    return view.seen > 0 ? 100.0 * (double)view.in / (double)view.seen : 0;
}

static void put_bar(double percent)
{
    int full = (int)(percent / 100 * BAR + 0.5);
    if (full == 0 && percent > 0) {
        full = 1;
    }
    for (int i = 0; i < BAR; i++) {
        putchar(i < full ? '#' : '.');
    }
}

static void put_latencies(const char *begin, const char *end)
{
    for (unsigned i = 0; i < view.live.versions; i++) {
        if (view.live.by[i].count == 0) {
            continue;
        }
        printf("%s%s %s p50 %5.1f ms  p99 %5.1f ms%s", begin, view.service,
               view.live.by[i].name, (double)view.live.by[i].p50_us / 1000,
               (double)view.live.by[i].p99_us / 1000, end);
    }
}

static void draw_terminal(void)
{
    if (view.drawn > 0) {
        printf("\033[%uA\033[J", view.drawn);
    }
    printf("\033[1m%s\033[0m\n", view.title);
    printf("  wanted    %6.2f %%  ", view.wanted);
    put_bar(view.wanted);
    printf("\n  observed  %6.2f %%  ", observed());
    put_bar(observed());
    printf("  %ld of %ld users met %s %s\n", view.in, view.seen, view.service,
           view.version);
    printf("  requests  %6.0f /s   %llu sent, %llu failed;  dropped users: "
           "%ld\n",
           view.live.rate, view.live.requests, view.live.failed, view.dropped);
    view.drawn = 4;
    for (unsigned i = 0; i < view.live.versions; i++) {
        view.drawn += view.live.by[i].count > 0;
    }
    put_latencies("  latency   ", "\n");
    fflush(stdout);
}

static void draw_plain(void)
{
    printf("%s: wanted %.2f %%, observed %.2f %% (%ld of %ld users), "
           "%.0f requests/s, %llu failed, %ld dropped",
           view.title, view.wanted, observed(), view.in, view.seen,
           view.live.rate, view.live.failed, view.dropped);
    put_latencies("; ", "");
    putchar('\n');
    fflush(stdout);
}

/* ---- judging
 * ------------------------------------------------------------------- */

static int judge(void)
{
    int status = 0;
    double share = view.wanted / 100;
    double n = (double)view.seen;
    double sigma = sqrt(n * share * (1 - share));
    if (view.seen < view.users) {
        fprintf(stderr, "view: only %ld of %ld users came within %ld s\n",
                view.seen, view.users, view.seconds);
        status = 1;
    }
    if (fabs((double)view.in - n * share) > 3 * sigma) {
        fprintf(stderr,
                "view: %ld of %ld users met %s %s; wanted %.2f %%, that is "
                "%.0f +- %.0f\n",
                view.in, view.seen, view.service, view.version, view.wanted,
                n * share, 3 * sigma);
        status = 1;
    }
    if (view.dropped > 0 || view.wavering > 0) {
        fprintf(stderr,
                "view: %ld users fell back to the old version, %ld met both\n",
                view.dropped, view.wavering);
        status = 1;
    }
    if (view.live.failed > 0) {
        fprintf(stderr, "view: %llu requests failed\n", view.live.failed);
        status = 1;
    }
    return status;
}

/* ---- the program
 * ----------------------------------------------------------------- */

static void usage(int status)
{
    fputs("usage: view --title TEXT --service S --version V --wanted PERCENT\n"
          "            --users N [--first UID] --since MS [--seconds S]\n"
          "            [--live FILE] [--with-parent] LOG...\n"
          "Watches access logs until each user was seen at or after --since\n"
          "(ms since the epoch).  Exit code: 0 as wanted, 1 not, 2 usage.\n",
          status == 0 ? stdout : stderr);
    exit(status);
}

static double percent(const char *word)
{
    char *end;
    double value = strtod(word, &end);
    if (end == word || *end != '\0' || !(value >= 0 && value <= 100)) {
        fprintf(stderr, "view: --wanted: %s is no percentage\n", word);
        exit(2);
    }
    return value;
}

static void options(int argc, char **argv)
{
    static const struct option known[] = {
        {"title", 1, NULL, 't'},   {"service", 1, NULL, 's'},
        {"version", 1, NULL, 'v'}, {"wanted", 1, NULL, 'w'},
        {"users", 1, NULL, 'u'},   {"first", 1, NULL, 'f'},
        {"since", 1, NULL, 'm'},   {"seconds", 1, NULL, 'd'},
        {"live", 1, NULL, 'l'},    {"with-parent", 0, NULL, 'p'},
        {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 't':
            view.title = optarg;
            break;
        case 's':
            view.service = optarg;
            break;
        case 'v':
            view.version = optarg;
            break;
        case 'w':
            view.wanted = percent(optarg);
            break;
        case 'u':
            view.users = http_number("view", "--users", optarg, 1, 10000000);
            break;
        case 'f':
            view.first = http_number("view", "--first", optarg, 0, 1000000000);
            break;
        case 'm':
            view.since_ms = atoll(optarg);
            break;
        case 'd':
            view.seconds = http_number("view", "--seconds", optarg, 1, 3600);
            break;
        case 'l':
            view.live_path = optarg;
            break;
        case 'p':
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        default:
            usage(c == 'h' ? 0 : 2);
        }
    }
    for (; optind < argc && view.log_count < LOGS_MAX; optind++) {
        view.logs[view.log_count++] = (struct log){argv[optind], -1, 0};
    }
    if (view.service == NULL || view.version == NULL || view.users == 0 ||
        view.log_count == 0 || optind != argc) {
        usage(2);
    }
}

int main(int argc, char **argv)
{
    options(argc, argv);
    view.flags = calloc((size_t)view.users, 1);
    if (view.flags == NULL) {
        perror("view");
        return 1;
    }
    view.terminal = isatty(STDOUT_FILENO);
    int64_t deadline = http_clock_us() + view.seconds * 1000000;
    for (unsigned picture = 1;; picture++) {
        struct timespec rest = {0, 100000000};
        nanosleep(&rest, NULL);
        for (unsigned i = 0; i < view.log_count; i++) {
            read_log(&view.logs[i]);
        }
        recount();
        if (view.live_path != NULL) {
            read_live();
        }
        bool over = view.seen == view.users || http_clock_us() >= deadline;
        if (view.terminal) {
            draw_terminal();
        } else if (over || picture % PLAIN_EVERY == 0) {
            draw_plain();
        }
        if (over) {
            break;
        }
    }
    int status = judge();
    free(view.flags);
    return status;
}
