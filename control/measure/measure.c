/* SPDX-License-Identifier: Apache-2.0
 * measure.c - one thread that looks at counters and recordings.
 *
 * Why: rates are differences, so somebody must have looked before; and a
 * recording of ten thousand requests takes a while to read, which is not to be
 * spent while somebody waits for a change.  Who asks counts once more and
 * finds the recording read already.
 * Read next: impact/rates.c, impact/records.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/measure/measure.h"

#define NS INT64_C(1000000000)
#define LOOK_MS 250 /* between two looks at who is let in */

struct measure {
    struct grayd *grayd;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    int64_t window_ns;
    struct impact_rates *rates;
    int64_t counted_ns; /* when the thread did so last */
    uint64_t admission; /* that it was under */
    struct measure_records *records; /* the newest; NULL: none */
    pthread_mutex_t reading;         /* one reads it at a time */
    struct stat recorded;            /* of the file as it was read */
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * NS + now.tv_nsec;
}

/* ---- counters ------------------------------------------------------------------ */

static void count_now(struct measure *measure)
{
    struct gray_totals totals;
    struct gray_problem problem = { 0 };
    uint64_t admission = atomic_load(&measure->grayd->admission);

    if (gray_totals_read(measure->grayd->options.runtime, &totals,
                         &problem) != 0) {
        return; /* there is no folder yet, or none any more */
    }
    pthread_mutex_lock(&measure->lock);
    impact_rates_add(measure->rates, &totals, admission, now_ns());
    measure->admission = admission;
    pthread_mutex_unlock(&measure->lock);
    gray_totals_free(&totals);
}

int measure_traffic(struct measure *measure,
                    struct impact_traffic *ret_traffic,
                    struct impact_traffic *ret_present)
{
    struct impact_traffic traffic = { 0 }, present = { 0 };
    int status;

    count_now(measure);
    pthread_mutex_lock(&measure->lock);
    status = impact_rates_read(measure->rates, measure->window_ns, false,
                               &traffic);
    if (status == 0 && impact_rates_read(measure->rates, measure->window_ns,
                                         true, &present) < 0) {
        impact_traffic_free(&traffic);
        status = -ENOMEM;
    }
    pthread_mutex_unlock(&measure->lock);
    if (status != 0) {
        return 1;
    }
    *ret_traffic = traffic;
    *ret_present = present;
    return 0;
}

/* ---- recordings ------------------------------------------------------------------ */

static void release(struct measure_records *records)
{
    if (records != NULL && --records->references == 0) {
        impact_records_free(&records->records);
        free(records);
    }
}

/* The end of the file, from the first whole line on; NULL: none. */
static char *read_end(int fd, off_t size, size_t *ret_length)
{
    off_t from = size > (off_t)MEASURE_RECORDED_BYTES
                     ? size - (off_t)MEASURE_RECORDED_BYTES
                     : 0;
    size_t room = (size_t)(size - from), length = 0;
    char *text = malloc(room + 1), *line;

    while (text != NULL && length < room) {
        ssize_t got = pread(fd, text + length, room - length,
                            from + (off_t)length);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break; /* it shrank: what was read is good */
        }
        length += (size_t)got;
    }
    if (text == NULL) {
        return NULL;
    }
    text[length] = '\0';
    line = from > 0 ? memchr(text, '\n', length) : NULL;
    if (line != NULL) {
        length -= (size_t)(line + 1 - text);
        memmove(text, line + 1, length + 1);
    }
    *ret_length = length;
    return text;
}

/* The last lines that are kept at all. */
static const char *last_lines(const char *text, size_t length)
{
    size_t lines = 0;

    while (length > 0) {
        lines += text[length - 1] == '\n';
        if (lines > IMPACT_RECORDS_MAX) {
            break;
        }
        length--;
    }
    return text + length;
}

static struct measure_records *read_lines(const char *text, size_t length)
{
    struct measure_records *records = calloc(1, sizeof(*records));
    const char *line = last_lines(text, length), *end = text + length;

    while (records != NULL && line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        struct request_problem problem;

        if (next == NULL) {
            break; /* it is being written */
        }
        if (next > line) {
            impact_records_line(&records->records, line,
                                (size_t)(next - line), &problem);
        }
        line = next + 1;
    }
    if (records != NULL) {
        records->references = 1;
    }
    return records;
}

/* Reads the recording where it is another than before. */
static void read_recording(struct measure *measure, const char *path)
{
    struct measure_records *records = NULL, *old;
    struct stat status;
    char *text = NULL;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return;
    }
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (status.st_ino != measure->recorded.st_ino ||
         status.st_size != measure->recorded.st_size)) {
        text = read_end(fd, status.st_size, &length);
        measure->recorded = status;
    }
    close(fd);
    if (text == NULL) {
        return;
    }
    records = read_lines(text, length);
    free(text);
    if (records == NULL) {
        return;
    }
    pthread_mutex_lock(&measure->lock);
    old = measure->records;
    measure->records = records;
    release(old);
    pthread_mutex_unlock(&measure->lock);
}

static void look_at_recording(struct measure *measure)
{
    if (measure->grayd->options.recorded != NULL) {
        pthread_mutex_lock(&measure->reading);
        read_recording(measure, measure->grayd->options.recorded);
        pthread_mutex_unlock(&measure->reading);
    }
}

const struct measure_records *measure_records_take(struct measure *measure,
                                                   bool fresh)
{
    struct measure_records *records;

    if (fresh) {
        look_at_recording(measure);
    }
    pthread_mutex_lock(&measure->lock);
    records = measure->records;
    if (records != NULL) {
        records->references++;
    }
    pthread_mutex_unlock(&measure->lock);
    return records;
}

void measure_records_give(struct measure *measure,
                          const struct measure_records *records)
{
    pthread_mutex_lock(&measure->lock);
    release((struct measure_records *)(uintptr_t)records);
    pthread_mutex_unlock(&measure->lock);
}

/* ---- the thread ------------------------------------------------------------------- */

/* False: it is to end. */
static bool sleep_a_while(struct measure *measure)
{
    struct timespec until;
    bool goes_on;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000;
    until.tv_sec += until.tv_nsec / NS;
    until.tv_nsec %= NS;
    pthread_mutex_lock(&measure->lock);
    if (!measure->stopping) {
        pthread_cond_timedwait(&measure->wake, &measure->lock, &until);
    }
    goes_on = !measure->stopping;
    pthread_mutex_unlock(&measure->lock);
    return goes_on;
}

static void *look(void *context)
{
    struct measure *measure = context;
    int64_t period = measure->window_ns / (IMPACT_SAMPLES - 2);

    pthread_setname_np(pthread_self(), "measure");
    do {
        int64_t now = now_ns();

        if (now - measure->counted_ns >= period ||
            atomic_load(&measure->grayd->admission) != measure->admission) {
            measure->counted_ns = now;
            count_now(measure);
            look_at_recording(measure);
        }
    } while (sleep_a_while(measure));
    return NULL;
}

int measure_start(struct grayd *grayd, struct gray_problem *ret_problem)
{
    struct measure *measure = calloc(1, sizeof(*measure));
    pthread_condattr_t clock;

    if (measure != NULL) {
        measure->window_ns = grayd->options.measure_window * NS;
        measure->rates =
            impact_rates_new(measure->window_ns / (IMPACT_SAMPLES - 2));
    }
    if (measure == NULL || measure->rates == NULL) {
        free(measure);
        ret_problem->code = "no-memory";
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                 "No memory to measure.");
        return -1;
    }
    measure->grayd = grayd;
    pthread_mutex_init(&measure->lock, NULL);
    pthread_mutex_init(&measure->reading, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&measure->wake, &clock);
    pthread_condattr_destroy(&clock);
    if (pthread_create(&measure->thread, NULL, look, measure) != 0) {
        measure_stop(measure);
        ret_problem->code = "no-thread";
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                 "No thread can be started.");
        return -1;
    }
    measure->running = true;
    grayd->measure = measure;
    return 0;
}

void measure_stop(struct measure *measure)
{
    if (measure == NULL) {
        return;
    }
    if (measure->running) {
        pthread_mutex_lock(&measure->lock);
        measure->stopping = true;
        pthread_cond_signal(&measure->wake);
        pthread_mutex_unlock(&measure->lock);
        pthread_join(measure->thread, NULL);
    }
    release(measure->records);
    impact_rates_free(measure->rates);
    pthread_cond_destroy(&measure->wake);
    pthread_mutex_destroy(&measure->lock);
    pthread_mutex_destroy(&measure->reading);
    free(measure);
}
