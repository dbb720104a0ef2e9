/* SPDX-License-Identifier: Apache-2.0
 * fuzz_host_report.c - what a host says: its report, and what it admitted.
 *
 * Why: it comes from another machine, with a token of that host and whatever
 * else.  What must hold: what is kept lies within its limits and is text that
 * can be shown; a report never grants or acknowledges more than it says; a
 * record is one of the states that there are, or is refused with a sentence.
 * Read next: control/hosts/report.c, admission.c.
 */
#include <string.h>

#include "control/call/call.h"
#include "control/hosts/admission.h"
#include "control/hosts/registry.h"
#include "tests/fuzz/fuzz.h"

static void must_be_text(const char *text, size_t most)
{
    json_t *value = json_string(text);

    MUST(value != NULL && strlen(text) <= most);
    json_decref(value);
}

static void check_stands(struct report *report)
{
    const struct registry_newest newest = { .server = "s", .sequence = 40,
                                            .epoch = 31 };
    struct host host = { .name = "h1", .kept = true };
    bool ours = strcmp(report->server, "s") == 0 && report->epoch == 31 &&
                report->sequence <= 40;
    bool all = ours && report->readers_epoch >= 31 &&
               (!report->has_marks || report->marks_closed >= 31);
    int64_t lease = host_report(&host, report, &newest, 1000000, 5);

    MUST(lease == (ours ? HOSTS_LEASE_MS : 0));
    MUST(host.lease_until == (ours ? 1000000 + HOSTS_LEASE_MS +
                                         HOSTS_LEASE_MS / 100
                                   : 0));
    MUST((host_stands(&host, &newest, 31, 0, 1000000) == HOST_ACKNOWLEDGED) ==
         all);
    MUST(host_state(&host, &newest, 1000000) != NULL);
    report_clear(&host.report);
}

static void check_report(const json_t *body)
{
    struct report report;

    if (report_read(body, &report) != 0) {
        return; /* no memory */
    }
    must_be_text(report.boot, REPORT_ID_MAX);
    must_be_text(report.build, REPORT_ID_MAX);
    must_be_text(report.server, REPORT_ID_MAX);
    must_be_text(report.journal, REPORT_ID_MAX);
    must_be_text(report.refused_code, 63);
    must_be_text(report.refused_sentence, REPORT_TEXT_MAX);
    MUST(report.late <= report.live && report.clock_ms >= 0);
    MUST(json_array_size(report.late_readers) <= REPORT_LATE_MAX);
    MUST(json_array_size(report.counters) <= REPORT_SERIES_MAX);
    MUST(report.word_count <= REPORT_WORDS_MAX);
    for (size_t i = 0; i < report.word_count; i++) {
        MUST(report.words[i].scope != 0);
        MUST(report.words[i].word > GRAY_WORD_OPEN &&
             report.words[i].word <= GRAY_WORD_KILLED);
        must_be_text(report.words[i].actor, 63);
        must_be_text(report.words[i].reason, REPORT_TEXT_MAX);
    }
    check_stands(&report);
}

static void check_records(const json_t *body)
{
    const json_t *row;
    size_t i;

    json_array_foreach(json_object_get(body, "records"), i, row) {
        static struct admission record;
        const char *sentence = NULL;

        if (admission_read(row, &record, &sentence) != 0) {
            MUST(sentence != NULL && sentence[0] != '\0');
            continue;
        }
        MUST(record.scope != 0 && record.unit_length <= GRAY_VALUE_MAX);
        MUST(admission_state_word(record.state) != NULL);
        MUST(record.space < GRAY_STAGES_MAX &&
             record.attempt <= GRAY_ATTEMPT_MAX && record.at >= 0);
        must_be_text(record.kind, ADMISSION_WORD_MAX);
        must_be_text(record.reader, ADMISSION_WORD_MAX);
        must_be_text(record.actor, ADMISSION_TEXT_MAX);
        must_be_text(record.reason, ADMISSION_TEXT_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const shapes[] = { "HostReport", "HostAdmissions" };
    char pointer[64], sentence[64];
    json_t *body = NULL;
    size_t number;

    if (size == 0) {
        return 0;
    }
    number = data[0] % 2;
    if (body_parse((const char *)data + 1, size - 1, &body, sentence,
                   sizeof(sentence)) != 0) {
        return 0;
    }
    if (schema_check(schema_find(shapes[number]), body, pointer,
                     sizeof(pointer), sentence, sizeof(sentence)) == 0) {
        if (number == 0) {
            check_report(body);
        } else {
            check_records(body);
        }
    }
    json_decref(body);
    return 0;
}
