/* SPDX-License-Identifier: Apache-2.0
 * report.c - a report from JSON, cut to its limits.
 *
 * Why: the shape was checked (call/schemas.json), and members that say more
 * than anybody needs must not cost more: ten thousand hosts are kept in
 * memory.
 * Read next: registry.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call/call.h"
#include "control/hosts/bundle.h"
#include "control/hosts/report.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

/* Numbers of the wire are not negative; what is, is none. */
static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));

    return number > 0 ? (uint64_t)number : 0;
}

static void copy_text(char *to, size_t size, const json_t *object,
                      const char *key)
{
    snprintf(to, size, "%s", text_of(object, key));
    text_mend(to);
}

/* ---- readers ---------------------------------------------------------------- */

static int name_late(struct report *report, const json_t *reader)
{
    char id[64];

    report->late++;
    if (report->late_readers == NULL) {
        report->late_readers = json_array();
    }
    if (json_array_size(report->late_readers) >= REPORT_LATE_MAX) {
        return 0;
    }
    copy_text(id, sizeof(id), reader, "id");
    return json_array_append_new(
        report->late_readers,
        json_pack("{s:s,s:I}", "id", id, "pid",
                  (json_int_t)number_of(reader, "pid")));
}

static int read_readers(struct report *report, const json_t *readers)
{
    const json_t *reader;
    size_t i;
    int error = 0;

    report->readers_epoch = UINT64_MAX;
    json_array_foreach(readers, i, reader) {
        uint64_t epoch = number_of(reader, "epoch");

        if (json_is_false(json_object_get(reader, "alive"))) {
            continue;
        }
        report->live++;
        if (epoch < report->readers_epoch) {
            report->readers_epoch = epoch;
        }
        if (json_is_false(json_object_get(reader, "acknowledged")) ||
            epoch < report->epoch) {
            error |= name_late(report, reader);
        }
    }
    return error;
}

/* ---- words --------------------------------------------------------------------- */

static bool read_word(const json_t *row, struct report_word *ret_word)
{
    struct report_word word = { .at = (int64_t)number_of(row, "at") };
    const char *scope = text_of(row, "scope");
    char *end = NULL;

    word.scope = strtoull(scope, &end, 16);
    if (strlen(scope) != 16 || *end != '\0' || word.scope == 0 ||
        bundle_word_parse(text_of(row, "word"), &word.word) != 0 ||
        word.word == GRAY_WORD_OPEN) {
        return false;
    }
    copy_text(word.actor, sizeof(word.actor), row, "actor");
    copy_text(word.reason, sizeof(word.reason), row, "reason");
    *ret_word = word;
    return true;
}

static int read_words(struct report *report, const json_t *rows)
{
    size_t count = json_array_size(rows), i;
    const json_t *row;

    if (count == 0) {
        return 0;
    }
    count = count < REPORT_WORDS_MAX ? count : REPORT_WORDS_MAX;
    report->words = calloc(count, sizeof(*report->words));
    if (report->words == NULL) {
        return -1;
    }
    json_array_foreach(rows, i, row) {
        if (report->word_count < count &&
            read_word(row, &report->words[report->word_count])) {
            report->word_count++;
        }
    }
    return 0;
}

/* ---- counters -------------------------------------------------------------------- */

/* Of each series only what shares are observed by. */
static json_t *series_of(const json_t *row)
{
    static const char *const texts[] = { "service", "version", "arm", "lane",
                                         "class" };
    json_t *kept = json_object();

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[GRAY_NAME_MAX * 2 + 2];

        copy_text(text, sizeof(text), row, texts[i]);
        json_object_set_new(kept, texts[i], json_string(text));
    }
    json_object_set_new(kept, "started",
                        json_integer((json_int_t)number_of(row, "started")));
    return kept;
}

static int read_counters(struct report *report, const json_t *rows)
{
    const json_t *row;
    size_t i;

    if (json_array_size(rows) == 0) {
        return 0;
    }
    report->counters = json_array();
    json_array_foreach(rows, i, row) {
        if (i < REPORT_SERIES_MAX &&
            json_array_append_new(report->counters, series_of(row)) != 0) {
            return -1;
        }
    }
    return report->counters != NULL ? 0 : -1;
}

/* ---- together ------------------------------------------------------------------- */

static void read_marks(struct report *report, const json_t *marks)
{
    const json_t *closed = json_object_get(marks, "closed");

    report->has_marks = json_is_integer(closed);
    report->marks_closed = number_of(marks, "closed");
    report->marks_lag = number_of(marks, "lag");
    copy_text(report->journal, sizeof(report->journal), marks, "journal");
}

static void read_refused(struct report *report, const json_t *refused)
{
    if (json_is_object(refused)) {
        report->refused = number_of(refused, "sequence");
        copy_text(report->refused_code, sizeof(report->refused_code), refused,
                  "code");
        copy_text(report->refused_sentence, sizeof(report->refused_sentence),
                  refused, "sentence");
    }
}

int report_read(const json_t *body, struct report *ret_report)
{
    struct report report = { .sequence = number_of(body, "sequence") };

    copy_text(report.boot, sizeof(report.boot), body, "boot");
    copy_text(report.build, sizeof(report.build), body, "build");
    copy_text(report.server, sizeof(report.server), body, "server");
    report.revision = number_of(body, "revision");
    report.epoch = number_of(body, "epoch");
    report.clock_ms = (int64_t)number_of(body, "clockMs");
    report.late_ms = (int64_t)number_of(body, "lateMs");
    read_refused(&report, json_object_get(body, "refused"));
    read_marks(&report, json_object_get(body, "marks"));
    if (read_readers(&report, json_object_get(body, "readers")) != 0 ||
        read_words(&report, json_object_get(body, "words")) != 0 ||
        read_counters(&report, json_object_get(body, "counters")) != 0) {
        report_clear(&report);
        return -1;
    }
    *ret_report = report;
    return 0;
}

void report_clear(struct report *report)
{
    json_decref(report->late_readers);
    json_decref(report->counters);
    free(report->words);
    *report = (struct report) { 0 };
}

/* As tokens' scopes are, for it is one. */
bool report_name_good(const char *name)
{
    size_t length = strnlen(name, REPORT_NAME_MAX + 1);

    for (size_t i = 0; i < length; i++) {
        bool plain = (name[i] >= 'a' && name[i] <= 'z') ||
                     (name[i] >= 'A' && name[i] <= 'Z') ||
                     (name[i] >= '0' && name[i] <= '9');

        if (!plain && (i == 0 || (name[i] != '.' && name[i] != '_' &&
                                  name[i] != '-'))) {
            return false;
        }
    }
    return length > 0 && length <= REPORT_NAME_MAX;
}
