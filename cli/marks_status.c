/* SPDX-License-Identifier: Apache-2.0
 * marks_status.c - what a release's units were told, at three in the morning.
 *
 * Why: the questions of that hour, in their order: is it closed, who has not
 * heard it, how many are in, how many still come, who stays outside until
 * when, and does the disk keep up.  An estimate is called one.
 * Read next: remote_status.c, control/read/release_marks.c.
 */
#include <string.h>

#include "cli/remote.h"

static void say_admission(const json_t *admission)
{
    const json_t *row;
    size_t i;

    if (admission == NULL) {
        return;
    }
    printf("  admission: %s\n", text_at(admission, "sentence"));
    if (number_at(admission, "leaseLeftMs") > 0 &&
        json_array_size(json_object_get(admission, "late")) > 0) {
        printf("  their admission lease ends in %.1f s\n",
               (double)number_at(admission, "leaseLeftMs") / 1000);
    }
    json_array_foreach(json_object_get(admission, "late"), i, row) {
        printf("  has not acknowledged: %s (pid %lld)\n", text_at(row, "id"),
               (long long)number_at(row, "pid"));
    }
}

/* "outside: 180 open, 20 settled; the last one about 2026-12-01T20:00:00Z (20
 * of them were settled in the last 2 hours; ...)". */
static void say_outside(const json_t *marks)
{
    const char *ends = text_at(marks, "outEnds");

    printf("  outside: %lld open, %lld settled; %s%s%s%s%s\n",
           (long long)number_at(marks, "outOpen"),
           (long long)number_at(marks, "settled"),
           *ends != '\0' ? "the last one about " : "", ends,
           *ends != '\0' ? " (" : "", text_at(marks, "forecast"),
           *ends != '\0' ? ")" : "");
}

static void say_units(const json_t *marks)
{
    const json_t *left = json_object_get(marks, "stillToEnter");

    printf("  units: %lld in, %lld out, %lld revoked",
           (long long)number_at(marks, "in"),
           (long long)number_at(marks, "out"),
           (long long)number_at(marks, "revoked"));
    if (number_at(marks, "hold") > 0) {
        printf(", %lld DAMAGED (hold)", (long long)number_at(marks, "hold"));
    }
    if (number_at(marks, "pending") > 0) {
        printf(", %lld pending", (long long)number_at(marks, "pending"));
    }
    printf("; %lld late, %lld void\n", (long long)number_at(marks, "late"),
           (long long)number_at(marks, "void"));
    if (json_is_integer(left)) {
        printf("  still to enter: about %lld (%s)\n",
               (long long)json_integer_value(left),
               text_at(marks, "estimate"));
    } else {
        printf("  still to enter: not known (%s)\n",
               text_at(marks, "estimate"));
    }
    if (json_object_get(marks, "forecast") != NULL) {
        say_outside(marks);
    }
    if (number_at(marks, "conflicts") > 0) {
        printf("  TOLD DIFFERENTLY by two hosts: %lld (gray marks conflicts)\n",
               (long long)number_at(marks, "conflicts"));
    }
    if (number_at(marks, "queued") > 0) {
        printf("  being taken back: %lld left to look at\n",
               (long long)number_at(marks, "queued"));
    }
}

static void say_keeping(const json_t *marks)
{
    const json_t *table = json_object_get(marks, "table");
    const json_t *journal = json_object_get(marks, "journal");

    printf("  table: %s, %lld of %lld marks, %lld KiB%s\n",
           text_at(table, "state"), (long long)number_at(table, "marks"),
           (long long)number_at(table, "room"),
           (long long)number_at(table, "bytes") / 1024,
           json_is_true(json_object_get(table, "growing")) ? ", growing" : "");
    printf("  journal: record %lld, %lld bytes (%lld ms) behind, %lld not on "
           "disk, writer %s%s%s",
           (long long)number_at(journal, "sequence"),
           (long long)number_at(journal, "lag"),
           (long long)number_at(journal, "lagMs"),
           (long long)number_at(marks, "notDurable"), text_at(marks, "writer"),
           *text_at(marks, "trouble") != '\0' ? ": " : "",
           text_at(marks, "trouble"));
    if (*text_at(marks, "redis") != '\0' &&
        strcmp(text_at(marks, "redis"), "none") != 0) {
        printf(", redis %s", text_at(marks, "redis"));
    }
    printf("\n");
}

void marks_say(const json_t *release)
{
    const json_t *marks = json_object_get(release, "marks");
    const json_t *rehearsal = json_object_get(release, "rehearsal");

    if (*text_at(release, "dimension") != '\0') {
        printf("  dimension: %s\n", text_at(release, "dimension"));
    }
    say_admission(json_object_get(release, "admission"));
    if (marks != NULL) {
        say_units(marks);
        say_keeping(marks);
    }
    if (rehearsal != NULL) {
        printf("  rehearsed: %s by %s, %s%s\n", text_at(rehearsal, "at"),
               text_at(rehearsal, "by"),
               json_is_true(json_object_get(rehearsal, "passed"))
                   ? "passed"
                   : "FAILED",
               json_is_true(json_object_get(rehearsal, "current"))
                   ? ""
                   : ", of an older document");
    } else if (marks != NULL) {
        printf("  rehearsed: never (gray rehearse %s)\n",
               text_at(release, "name"));
    }
}
