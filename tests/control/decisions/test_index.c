/* SPDX-License-Identifier: Apache-2.0
 * test_index.c - lines go in once, are found by unit, and go out again.
 *
 * Real files and a real index; what is found is compared with what this test
 * wrote, never with what the index counts.
 * Read next: control/decisions/tail.c, index.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "control/decisions/decisions.h"

struct host {
    char folder[64], log[96], pattern[96];
    struct decisions *decisions;
    struct gray_problem problem;
};

static const struct decisions_limits limits = { .days = 14, .mib = 64 };

static void open_index(struct host *host, const struct decisions_limits *with)
{
    assert_int_equal(decisions_open(&host->decisions, host->folder, with,
                                    &host->problem),
                     0);
}

static void close_index(struct host *host)
{
    if (host->decisions != NULL) {
        decisions_close(host->decisions);
        host->decisions = NULL;
    }
}

static int set_up(void **state)
{
    struct host *host = calloc(1, sizeof(*host));

    assert_non_null(host);
    snprintf(host->folder, sizeof(host->folder), "/dev/shm/decisionsXXXXXX");
    assert_non_null(mkdtemp(host->folder));
    snprintf(host->log, sizeof(host->log), "%s/gray.log", host->folder);
    snprintf(host->pattern, sizeof(host->pattern), "%s/gray.log*",
             host->folder);
    open_index(host, &limits);
    *state = host;
    return 0;
}

static int tear_down(void **state)
{
    struct host *host = *state;
    char command[96];

    close_index(host);
    snprintf(command, sizeof(command), "rm -rf %s", host->folder);
    assert_int_equal(system(command), 0);
    free(host);
    return 0;
}

/* ---- writing and asking -------------------------------------------------------- */

static void write_text(const struct host *host, const char *text)
{
    FILE *file = fopen(host->log, "a");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void write_line(const struct host *host, int64_t time, const char *unit,
                       const char *release, const char *trace)
{
    char line[2048];

    snprintf(line, sizeof(line),
             "{\"time\":%lld,\"host\":\"h1\",\"worker\":7,\"event\":\"admit\","
             "\"trace_id\":\"%s\",\"revision\":3,\"release\":\"%s\","
             "\"releases\":[{\"release\":\"%s\",\"in\":true,\"unit\":\"%s\"}],"
             "\"trace\":[]}\n",
             (long long)time, trace, release, release, unit);
    write_text(host, line);
}

static void tail(struct host *host)
{
    int64_t took = 1;

    for (int i = 0; i < 20 && took > 0; i++) {
        took = decisions_tail(host->decisions, host->pattern, &host->problem);
    }
    assert_int_equal(took, 0);
}

struct seen {
    size_t count;
    int64_t times[64];
    uint64_t lines[64];
};

static int see(void *context, uint64_t line, const struct decision *decision,
               const char *text, size_t length)
{
    struct seen *seen = context;

    assert_true(seen->count < 64);
    assert_true(length > 0 && text[0] == '{' && text[length - 1] == '}');
    seen->times[seen->count] = decision->time;
    seen->lines[seen->count++] = line;
    return 0;
}

static struct seen find(struct host *host, struct decisions_query query)
{
    struct seen seen = { 0 };

    query.until = query.until == 0 ? INT64_MAX : query.until;
    query.limit = query.limit == 0 ? 64 : query.limit;
    assert_int_equal(decisions_find(host->decisions, &query, see, &seen,
                                    &host->problem),
                     0);
    return seen;
}

static size_t count_of(struct host *host, const char *unit)
{
    return find(host, (struct decisions_query){ .unit = unit }).count;
}

/* ---- finding ------------------------------------------------------------------- */

static void a_unit_finds_its_lines_in_the_order_of_time(void **state)
{
    struct host *host = *state;
    struct seen seen;

    write_line(host, 300, "alice", "cart-2", "aa");
    write_line(host, 100, "alice", "pay-7", "bb");
    write_line(host, 200, "bob", "cart-2", "aa");
    tail(host);
    seen = find(host, (struct decisions_query){ .unit = "alice" });
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.times[0], 100);
    assert_int_equal(seen.times[1], 300);
    assert_int_equal(count_of(host, "bob"), 1);
    assert_int_equal(count_of(host, "alic"), 0);
    seen = find(host, (struct decisions_query){ .trace = "aa" });
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.times[0], 200);
}

static void release_and_time_narrow_it(void **state)
{
    struct host *host = *state;
    struct seen seen;

    for (int i = 0; i < 10; i++) {
        write_line(host, 100 + i, "alice", i % 2 ? "cart-2" : "pay-7", "");
    }
    tail(host);
    seen = find(host, (struct decisions_query){ .unit = "alice",
                                                .release = "cart-2" });
    assert_int_equal(seen.count, 5);
    seen = find(host, (struct decisions_query){
                          .unit = "alice", .since = 103, .until = 106 });
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.times[0], 103);
}

static void pages_show_each_line_once(void **state)
{
    struct host *host = *state;
    struct decisions_query query = { .unit = "alice", .limit = 3 };
    size_t all = 0;
    struct seen seen;

    for (int i = 0; i < 10; i++) {
        write_line(host, 100 + i / 4, "alice", "cart-2", "");
    }
    tail(host);
    while ((seen = find(host, query)).count > 0) {
        all += seen.count;
        query.after_time = seen.times[seen.count - 1];
        query.after_line = seen.lines[seen.count - 1];
    }
    assert_int_equal(all, 10);
}

static void a_long_unit_is_found_by_its_whole_name(void **state)
{
    struct host *host = *state;
    char name[201], cut[65];

    memset(name, 'x', 200);
    name[200] = '\0';
    memset(cut, 'x', 64);
    cut[64] = '\0';
    write_line(host, 1, cut, "cart-2", ""); /* as explain writes it */
    tail(host);
    assert_int_equal(count_of(host, name), 1);
    memcpy(name + 62, "\xe7\x81\xb0", 3); /* it does not fit whole */
    decision_unit(name, cut);
    assert_int_equal(strlen(cut), 62);
}

/* ---- files as they are ----------------------------------------------------------- */

static void half_a_line_waits_for_its_end(void **state)
{
    struct host *host = *state;

    write_line(host, 1, "alice", "cart-2", "");
    write_text(host, "{\"time\":2,\"event\":\"admit\",\"releases\":[{\"unit\":");
    tail(host);
    assert_int_equal(count_of(host, "alice"), 1);
    write_text(host, "\"alice\"}]}\n");
    tail(host);
    assert_int_equal(count_of(host, "alice"), 2);
}

static void a_line_goes_in_once_whatever_becomes_of_its_file(void **state)
{
    struct host *host = *state;
    char moved[128], command[400];

    write_line(host, 1, "alice", "cart-2", "");
    tail(host);
    write_line(host, 2, "alice", "cart-2", "");
    snprintf(moved, sizeof(moved), "%s.1", host->log);
    assert_int_equal(rename(host->log, moved), 0);
    write_line(host, 3, "alice", "cart-2", ""); /* the file begun anew */
    tail(host);
    assert_int_equal(count_of(host, "alice"), 3);
    snprintf(command, sizeof(command), "cp %s %s.2 && : > %s", host->log,
             host->log, host->log); /* copytruncate */
    assert_int_equal(system(command), 0);
    write_line(host, 4, "alice", "cart-2", "");
    tail(host);
    assert_int_equal(count_of(host, "alice"), 4);
    close_index(host);
    open_index(host, &limits);
    tail(host);
    assert_int_equal(count_of(host, "alice"), 4);
}

static void what_is_no_line_is_counted_and_skipped(void **state)
{
    struct host *host = *state;
    struct decisions_status status;
    char *monster = malloc(3u << 20);

    assert_non_null(monster);
    write_line(host, 1, "alice", "cart-2", "");
    write_text(host, "not json\n{\"time\":-1,\"event\":\"admit\"}\n"
                     "{\"event\":\"admit\"}\n{\"time\":1}\n\n");
    memset(monster, 'x', (3u << 20) - 2);
    monster[(3u << 20) - 2] = '\n';
    monster[(3u << 20) - 1] = '\0';
    write_text(host, monster);
    write_line(host, 2, "alice", "cart-2", "");
    tail(host);
    free(monster);
    assert_int_equal(count_of(host, "alice"), 2);
    decisions_status(host->decisions, &status);
    assert_int_equal(status.lines, 2);
    assert_true(status.bad >= 6);
    assert_int_equal(status.behind, 0);
}

static void packed_logs_folders_and_fifos_are_left_alone(void **state)
{
    struct host *host = *state;
    char path[128];
    struct decisions_status status;
    FILE *packed;

    snprintf(path, sizeof(path), "%s.fifo", host->log);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s.folder", host->log);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s.2.gz", host->log);
    packed = fopen(path, "w");
    assert_non_null(packed);
    fputs("\x1f\x8b\x08 packed\n", packed);
    fclose(packed);
    write_line(host, 1, "alice", "cart-2", "");
    tail(host);
    assert_int_equal(count_of(host, "alice"), 1);
    decisions_status(host->decisions, &status);
    assert_int_equal(status.bad, 0);
}

/* Rows of a table, as SQLite itself counts them. */
static int64_t rows_of(const struct host *host, const char *table)
{
    char path[128], sql[64];
    sqlite3_stmt *statement;
    sqlite3 *handle;
    int64_t count;

    snprintf(path, sizeof(path), "%s/decisions/decisions.db", host->folder);
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    return count;
}

/* ---- other hosts, size, damage ------------------------------------------------------ */

static void a_batch_moves_its_source_with_its_lines(void **state)
{
    struct host *host = *state;
    static const char text[] =
        "{\"time\":5,\"event\":\"admit\",\"releases\":[{\"unit\":\"eve\"}]}\n";
    struct decisions_batch batch = { .source = "host:h2",
                                     .after = 17,
                                     .text = text,
                                     .length = sizeof(text) - 1 };
    uint64_t position = 99;

    assert_int_equal(decisions_position(host->decisions, "host:h2", &position,
                                        &host->problem),
                     0);
    assert_int_equal(position, 0);
    assert_int_equal(decisions_add(host->decisions, &batch, &host->problem),
                     0);
    assert_int_equal(decisions_position(host->decisions, "host:h2", &position,
                                        &host->problem),
                     0);
    assert_int_equal(position, 17);
    assert_int_equal(count_of(host, "eve"), 1);
}

static void what_is_too_old_or_too_much_goes(void **state)
{
    struct host *host = *state;
    struct decisions_status status;
    struct decisions_limits small = { .days = 14, .mib = 1 };
    char text[512];
    int64_t dropped;
    int i;

    for (i = 0; i < 4; i++) {
        write_line(host, 1, "alice", "cart-2", "aa");
    }
    tail(host);
    decisions_status(host->decisions, &status);
    assert_int_equal(decisions_forget(host->decisions, status.oldest + 1000,
                                      &host->problem),
                     0);
    assert_int_equal(decisions_forget(host->decisions,
                                      status.oldest + INT64_C(15) * 86400000,
                                      &host->problem),
                     4);
    assert_int_equal(count_of(host, "alice"), 0);
    assert_int_equal(find(host, (struct decisions_query){ .trace = "aa" })
                         .count,
                     0);
    close_index(host);
    assert_int_equal(rows_of(host, "line"), 0);
    assert_int_equal(rows_of(host, "unit"), 0);
    assert_int_equal(rows_of(host, "trace"), 0);
    open_index(host, &small);
    for (i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "u%d", i);
        write_line(host, i, text, "cart-2", "");
    }
    tail(host);
    do {
        dropped = decisions_forget(host->decisions, 0, &host->problem);
        assert_true(dropped >= 0);
    } while (dropped > 0);
    decisions_status(host->decisions, &status);
    assert_true(status.bytes <= 1u << 20);
    assert_int_equal(count_of(host, "u0"), 0);
    assert_int_equal(count_of(host, "u19999"), 1);
}

static void a_damaged_index_is_begun_anew(void **state)
{
    struct host *host = *state;
    char path[128];
    FILE *file;

    write_line(host, 1, "alice", "cart-2", "");
    tail(host);
    close_index(host);
    snprintf(path, sizeof(path), "%s/decisions/decisions.db", host->folder);
    file = fopen(path, "r+");
    assert_non_null(file);
    fputs("this is no database", file);
    fclose(file);
    open_index(host, &limits);
    assert_int_equal(count_of(host, "alice"), 0);
    tail(host); /* the logs are read again */
    assert_int_equal(count_of(host, "alice"), 1);
    strcat(path, ".damaged");
    assert_int_equal(access(path, F_OK), 0);
}

#define AGAINST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGAINST(a_unit_finds_its_lines_in_the_order_of_time),
        AGAINST(release_and_time_narrow_it),
        AGAINST(pages_show_each_line_once),
        AGAINST(a_long_unit_is_found_by_its_whole_name),
        AGAINST(half_a_line_waits_for_its_end),
        AGAINST(a_line_goes_in_once_whatever_becomes_of_its_file),
        AGAINST(what_is_no_line_is_counted_and_skipped),
        AGAINST(packed_logs_folders_and_fifos_are_left_alone),
        AGAINST(a_batch_moves_its_source_with_its_lines),
        AGAINST(what_is_too_old_or_too_much_goes),
        AGAINST(a_damaged_index_is_begun_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
