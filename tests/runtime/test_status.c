/* SPDX-License-Identifier: Apache-2.0
 * test_status.c - status is valid JSON and valid Prometheus text, and says
 * what was counted, what was set and what was refused.
 *
 * Read next: runtime/status.c, runtime/prometheus.c.
 */
#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/runtime/folder.h"

struct world {
    char path[64];
    struct gray_runtime *runtime;
    struct gray_folder folder;
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    shop_publish(world->path, "12.5", 7);
    assert_int_equal(gray_runtime_open(&world->runtime, world->path,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    assert_int_equal(gray_folder_open(&world->folder, world->path, true, NULL),
                     0);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_runtime_close(world->runtime);
    gray_folder_close(&world->folder);
    folder_remove(world->path);
    free(world);
    return 0;
}

static json_t *status_of(const char *path)
{
    size_t length = 0;
    char *text = gray_status_json(path, &length);
    json_error_t error;
    json_t *root;

    assert_non_null(text);
    assert_int_equal(length, strlen(text));
    root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        fail_msg("%s at %d: %s", error.text, error.position, text);
    }
    free(text);
    return root;
}

static const json_t *at(const json_t *list, size_t i)
{
    return json_array_get(list, i);
}

static long long number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    assert_true(json_is_integer(value));
    return (long long)json_integer_value(value);
}

static double real(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    assert_true(json_is_number(value));
    return json_number_value(value);
}

static const char *text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    assert_true(json_is_string(value));
    return json_string_value(value);
}

/* 1,000 requests of 1 .. 1,000 ms. */
static void count(struct world *world)
{
    struct gray_series *series =
        gray_counters_series(world->runtime, 1, GRAY_CLASS_LIVE);
    uint32_t ms;

    for (ms = 1; ms <= 1000; ms++) {
        series->started++;
        series->status_5xx += ms % 100 == 0;
        series->latency_sum_us += ms * 1000;
        series->latency[gray_latency_bucket(ms * 1000)]++;
    }
    series->in_flight = 3;
}

static void json_says_what_was_counted(void **state)
{
    struct world *world = *state;
    const json_t *series;
    json_t *root;

    count(world);
    root = status_of(world->path);
    assert_true(json_is_null(json_object_get(root, "problem")));
    assert_int_equal(number(root, "revision"), 7);
    assert_int_equal(number(root, "policy_generation"), 1);
    series = json_object_get(root, "series");
    assert_int_equal(json_array_size(series), 2);
    assert_string_equal(text(at(series, 1), "version"), "v2");
    assert_string_equal(text(at(series, 1), "arm"), "cart-2");
    assert_string_equal(text(at(series, 1), "class"), "live");
    assert_int_equal(number(at(series, 1), "started"), 1000);
    assert_int_equal(number(at(series, 1), "status_5xx"), 10);
    assert_int_equal(number(at(series, 1), "in_flight"), 3);
    assert_int_equal(number(at(series, 1), "count"), 1000);
    /* Buckets grow by 5.55 %, so quantiles are that near. */
    assert_true(fabs(real(at(series, 1), "p50_ms") / 500 - 1) < 0.0555);
    assert_true(fabs(real(at(series, 1), "p95_ms") / 950 - 1) < 0.0555);
    assert_true(fabs(real(at(series, 1), "p99_ms") / 990 - 1) < 0.0555);
    assert_true(real(at(series, 0), "p99_ms") == 0);
    json_decref(root);
}

static void json_says_what_was_set(void **state)
{
    struct world *world = *state;
    const json_t *release, *reader;
    uint64_t scope = gray_hash_scope("cart-2", 6);
    json_t *root;

    root = status_of(world->path);
    release = at(json_object_get(root, "releases"), 0);
    assert_string_equal(text(release, "release"), "cart-2");
    assert_string_equal(text(release, "word"), "open");
    assert_int_equal(number(release, "share"), 125000);
    json_decref(root);
    assert_int_equal(gray_word_set(&world->folder, scope,
                                   GRAY_WORD_BASELINE | GRAY_WORD_HOST, NULL,
                                   NULL),
                     0);
    assert_int_equal(gray_bypass_set(&world->folder, true, NULL), 0);
    root = status_of(world->path);
    release = at(json_object_get(root, "releases"), 0);
    assert_string_equal(text(release, "word"), "stopped");
    assert_true(json_is_true(json_object_get(release, "host")));
    assert_true(json_is_true(json_object_get(root, "bypass")));
    assert_int_equal(number(root, "word_epoch"), 2);
    reader = at(json_object_get(root, "readers"), 0);
    assert_int_equal(number(reader, "word_epoch"), 0);
    json_decref(root);
    gray_runtime_wake_drain(world->runtime);
    root = status_of(world->path);
    reader = at(json_object_get(root, "readers"), 0);
    assert_string_equal(text(reader, "id"), "nginx-0");
    assert_string_equal(text(reader, "kind"), "nginx");
    assert_true(json_is_true(json_object_get(reader, "alive")));
    assert_int_equal(number(reader, "word_epoch"), 2);
    assert_int_equal(number(reader, "lag"), 0);
    json_decref(root);
}

static void writer_is(const struct world *world, const char *word)
{
    json_t *root = status_of(world->path);
    size_t length = 0;
    char *lines = gray_status_prometheus(world->path, &length);
    const char *good = strstr(lines, "\ngray_marks_writer 1\n");

    assert_string_equal(text(root, "marks_writer"), word);
    assert_true((good != NULL) == (strcmp(word, "ok") == 0));
    free(lines);
    json_decref(root);
}

/* What keeps people out of strict scopes is told with grayd dead as well. */
static void it_says_whether_marks_can_be_made_durable(void **state)
{
    struct world *world = *state;
    struct gray_drained drained = {.state = GRAY_WRITER_OK};
    struct timespec now;
    char path[96];
    int fd;

    writer_is(world, "none");
    snprintf(path, sizeof(path), "%s/marks/drained", world->path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    for (int round = 0; round < 4; round++) {
        static const char *const words[] = {"ok", "full", "failed", "dead"};

        clock_gettime(CLOCK_BOOTTIME, &now);
        drained.beat =
            (uint64_t)(now.tv_sec - (round == 3 ? 2 : 0)) * 1000000000u +
            (uint64_t)now.tv_nsec;
        drained.state = round == 3 ? GRAY_WRITER_OK
                                   : GRAY_WRITER_OK + (uint32_t)round;
        assert_int_equal(pwrite(fd, &drained, sizeof(drained), 0),
                         sizeof(drained));
        writer_is(world, words[round]);
    }
    close(fd);
}

static void json_says_what_was_refused(void **state)
{
    struct world *world = *state;
    struct gray_runtime_set *set;
    const json_t *reader;
    json_t *root;

    shop_publish(world->path, "20", 8);
    file_replace(world->path, "policy.snap", "bad", 3);
    gray_runtime_load(world->runtime, &set, NULL);
    gray_runtime_swap(world->runtime, set);
    root = status_of(world->path);
    /* Status itself goes on with what is kept, and says so. */
    assert_non_null(json_object_get(json_object_get(root, "problem"), "code"));
    reader = at(json_object_get(root, "readers"), 0);
    assert_int_equal(number(reader, "lag"), 1);
    assert_non_null(strstr(text(reader, "refusal"), "policy"));
    assert_int_equal(number(json_object_get(root, "events"),
                            "snapshot-refused"),
                     1);
    json_decref(root);
}

static void a_folder_that_is_not_there(void **state)
{
    json_t *root = status_of("/dev/shm/graylane-no-such-folder");
    char *prometheus =
        gray_status_prometheus("/dev/shm/graylane-no-such-folder", NULL);

    (void)state;
    assert_string_equal(text(json_object_get(root, "problem"), "code"),
                        "no-folder");
    assert_non_null(strstr(prometheus, "gray_up 0\n"));
    json_decref(root);
    free(prometheus);
}

/* name{label="value",...} number, after # TYPE of its family. */
static void check_line(const char *line, const char *family)
{
    const char *p = line;
    char *end;

    assert_true(strncmp(line, family, strlen(family)) == 0);
    while (isalnum((unsigned char)*p) || *p == '_') {
        p++;
    }
    if (*p == '{') {
        p = strchr(p, '}');
        assert_non_null(p);
        p++;
    }
    assert_int_equal(*p, ' ');
    strtod(p + 1, &end);
    assert_int_equal(*end, '\0');
}

static void prometheus_text_is_well_formed(void **state)
{
    struct world *world = *state;
    char *lines, *line, *rest = NULL;
    char family[128] = "-";
    uint32_t types = 0;

    count(world);
    lines = gray_status_prometheus(world->path, NULL);
    assert_non_null(lines);
    assert_non_null(strstr(lines, "gray_requests_started_total{service=\"cart\""
                                  ",version=\"v2\",lane=\"\",arm=\"cart-2\","
                                  "class=\"live\"} 1000\n"));
    assert_non_null(strstr(lines, "gray_release_share{release=\"cart-2\"} "
                                  "0.125000\n"));
    assert_non_null(strstr(lines, "le=\"+Inf\"} 1000\n"));
    assert_non_null(strstr(lines, "gray_request_duration_seconds_sum{"
                                  "service=\"cart\",version=\"v2\",lane=\"\","
                                  "arm=\"cart-2\",class=\"live\"} "
                                  "500.500000\n"));
    for (line = strtok_r(lines, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_int_equal(sscanf(line + 7, "%100s", family), 1);
            types++;
        } else if (line[0] != '#') {
            check_line(line, family);
        }
    }
    assert_true(types > 15);
    free(lines);
}

/* Buckets count up, and each holds what lies at or below its edge. */
static void the_histogram_is_exact_at_its_edges(void **state)
{
    struct world *world = *state;
    char *lines, *p;
    long before = 0;
    uint32_t edges = 0;

    count(world);
    lines = gray_status_prometheus(world->path, NULL);
    p = strstr(lines, "gray_request_duration_seconds_bucket{service=\"cart\","
                      "version=\"v2\"");
    assert_non_null(p);
    for (; (p = strstr(p, ",le=\"")) != NULL && p[5] != '+'; p++) {
        double edge = strtod(p + 5, NULL);
        long below = strtol(strchr(p, '}') + 1, NULL, 10);
        long wanted = edge < 1 ? (long)floor(edge * 1000 + 1e-9) : 1000;

        assert_int_equal(below, wanted);
        assert_true(below >= before);
        before = below;
        edges++;
    }
    assert_int_equal(edges, 21);
    free(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(json_says_what_was_counted),
        WITH_WORLD(json_says_what_was_set),
        WITH_WORLD(it_says_whether_marks_can_be_made_durable),
        WITH_WORLD(json_says_what_was_refused),
        cmocka_unit_test(a_folder_that_is_not_there),
        WITH_WORLD(prometheus_text_is_well_formed),
        WITH_WORLD(the_histogram_is_exact_at_its_edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
