/* SPDX-License-Identifier: Apache-2.0
 * plan_page.c - a plan as a page that a tired person can read.
 *
 * Why: whoever reads it has a minute and a release in his hands.  So the first
 * line is the verdict in words; then what is refused, why, and the command
 * that helps; then who comes in and who drops out, and what that leads to
 * which version; what only explains stands last.  Nothing is wider than 80
 * columns, and a plan of grayd reads as one of the folder does.
 * Read next: plan.c, docs/plan.md.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/plan.h"

#define COLUMNS 79u

/* ---- text ------------------------------------------------------------------------ */

/* Words of a sentence, wrapped; `first` stands before the first line, and
 * `indent` blanks before the others. Takes `text` over. */
static void wrap(const char *first, unsigned indent, char *text)
{
    size_t column = strlen(first), room;
    char *rest = NULL, *word;
    bool begun = false;

    if (text == NULL) {
        return;
    }
    printf("%s", first);
    for (word = strtok_r(text_clean(text), " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        room = strlen(word) + (begun ? 1 : 0);
        if (begun && column + room > COLUMNS) {
            printf("\n%*s", (int)indent, "");
            column = indent;
            begun = false;
            room--;
        }
        printf("%s%s", begun ? " " : "", word);
        column += room;
        begun = true;
    }
    fputc('\n', stdout);
    free(text);
}

static void wrap_print(const char *first, unsigned indent, const char *format,
                       ...) CLI_PRINTF(3, 4);
static void wrap_print(const char *first, unsigned indent, const char *format,
                       ...)
{
    char *text = NULL;
    va_list list;

    va_start(list, format);
    if (vasprintf(&text, format, list) < 0) {
        text = NULL;
    }
    va_end(list);
    wrap(first, indent, text);
}

/* "1,234" */
static const char *count_text(json_int_t number, char buffer[32])
{
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%lld",
                                     (long long)number);
    char *to = buffer;

    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return buffer;
}

/* Requests a second; "-": not known. */
static const char *rate_text(const json_t *rate, char buffer[32])
{
    double value = json_number_value(rate);

    if (!json_is_number(rate)) {
        return "-";
    }
    snprintf(buffer, 32, value >= 1000 ? "%.0f" : "%.1f", value);
    return buffer;
}

static bool is(const json_t *row, const char *key, const char *word)
{
    return strcmp(text_at(row, key), word) == 0;
}

/* ---- the verdict ------------------------------------------------------------------ */

static size_t count_of(const json_t *findings, const char *severity)
{
    const json_t *finding;
    size_t count = 0, i;

    json_array_foreach(findings, i, finding) {
        count += is(finding, "severity", severity);
    }
    return count;
}

/* How many more requests a second come in, and how many fewer. */
static void moved_by(const json_t *impact, double *ret_in, double *ret_out)
{
    const json_t *row;
    size_t i;

    *ret_in = *ret_out = 0;
    json_array_foreach(json_object_get(impact, "releases"), i, row) {
        double by = json_number_value(json_object_get(row, "then")) -
                    json_number_value(json_object_get(row, "now"));

        if (is(row, "basis", "unchanged")) {
            continue;
        }
        *(by > 0 ? ret_in : ret_out) += by > 0 ? by : -by;
    }
}

static void say_verdict(const json_t *plan)
{
    const json_t *findings = json_object_get(plan, "findings");
    const json_t *impact = json_object_get(plan, "impact");
    size_t errors = count_of(findings, "error");
    size_t warnings = count_of(findings, "warning");
    double in = 0, out = 0;
    char more[160] = "";

    if (!json_is_true(json_object_get(plan, "accepted"))) {
        printf("REFUSED for %zu reason%s; nothing was written.\n", errors,
               errors == 1 ? "" : "s");
        return;
    }
    if (warnings > 0) {
        snprintf(more, sizeof(more), " %zu warning%s.", warnings,
                 warnings == 1 ? "" : "s");
    }
    if (json_is_true(json_object_get(impact, "measured"))) {
        moved_by(impact, &in, &out);
    }
    if (in >= 0.05) {
        snprintf(more + strlen(more), sizeof(more) - strlen(more),
                 " %.1f requests/s come in.", in);
    }
    if (out >= 0.05) {
        snprintf(more + strlen(more), sizeof(more) - strlen(more),
                 " %.1f requests/s drop out.", out);
    }
    wrap_print("", 2, "Every gate passes; nothing was written.%s", more);
}

/* ---- findings ------------------------------------------------------------------------ */

#define RETREAT \
    "gray retreat %s takes units out and records each; if it is meant"
/* What helps against a finding; %s is the name of its document. */
static const struct {
    const char *code, *help;
    bool drops; /* or they are meant to fall out */
} helps[] = {
    { "over-capacity",
      "gray plan --weight NAME=PERCENT finds a step that fits; --over-capacity "
      "(and the right to override) goes on all the same" },
    { "tail-dropped", RETREAT, true },
    { "ids-dropped", RETREAT, true },
    { "drops", RETREAT, true },
    { "may-drop", "say it in a way that can be proven; if it is meant", true },
    { "two-dimensions", "apply it in two revisions, one after the other" },
    { "release-ended", "gray abort %s --reason TEXT, then gray delete Release "
                       "%s; or --prune, where it is meant" },
    { "service-ended", "--prune, where it is meant" },
    { "lane-ended", "--prune, where it is meant" },
};

/* What --allow-drop would have to say; "N" where nobody knows exactly. */
static const char *drop_text(const json_t *plan, char buffer[32])
{
    const json_t *row;
    json_int_t sum = 0;
    size_t i, rows = 0;

    json_array_foreach(json_object_get(plan, "drops"), i, row) {
        if (json_is_true(json_object_get(row, "meant"))) {
            continue;
        }
        if (!is(row, "counted", "exact")) {
            return "N";
        }
        sum += number_at(row, "marks");
        rows++;
    }
    snprintf(buffer, 32, "%lld", (long long)sum);
    return rows > 0 ? buffer : "N";
}

static void say_help(const json_t *plan, const json_t *finding)
{
    const char *slash = strchr(text_at(finding, "document"), '/');
    const char *name = slash != NULL ? slash + 1 : "NAME";
    char number[32];

    for (size_t i = 0; i < sizeof(helps) / sizeof(helps[0]); i++) {
        if (is(finding, "code", helps[i].code)) {
            const char *first = strstr(helps[i].help, "%s");
            size_t before = first != NULL ? (size_t)(first - helps[i].help)
                                          : strlen(helps[i].help);
            const char *after = first != NULL ? first + 2 : "";
            const char *second = strstr(after, "%s");
            size_t between = second != NULL ? (size_t)(second - after)
                                            : strlen(after);

            wrap_print("  help: ", 8, "%.*s%s%.*s%s%s%s%s", (int)before,
                       helps[i].help, first != NULL ? name : "", (int)between,
                       after, second != NULL ? name : "",
                       second != NULL ? second + 2 : "",
                       helps[i].drops ? ": --allow-drop " : "",
                       helps[i].drops ? drop_text(plan, number) : "");
        }
    }
}

static void say_finding(const json_t *plan, const json_t *finding)
{
    const char *file = text_at(finding, "file");
    const char *pointer = text_at(finding, "pointer");
    const char *document = text_at(finding, "document");
    char place[48] = "";

    if (*file != '\0' && number_at(finding, "line") > 0) {
        snprintf(place, sizeof(place), ":%lld:%lld",
                 (long long)number_at(finding, "line"),
                 (long long)number_at(finding, "column"));
    }
    wrap_print("", 2, "%s%s%s%s: %s [%s]%s%s%s%s%s", file, place,
               *file != '\0' ? ": " : "", text_at(finding, "severity"),
               text_at(finding, "sentence"), text_at(finding, "code"),
               *document != '\0' || *pointer != '\0' ? " (" : "", document,
               *document != '\0' && *pointer != '\0' ? " " : "", pointer,
               *document != '\0' || *pointer != '\0' ? ")" : "");
    if (is(finding, "severity", "error")) {
        say_help(plan, finding);
    }
}

static void say_findings(const json_t *plan, const char *severity)
{
    const json_t *finding;
    size_t i;

    json_array_foreach(json_object_get(plan, "findings"), i, finding) {
        if (is(finding, "severity", severity)) {
            say_finding(plan, finding);
        }
    }
}

/* ---- who comes in, who drops out --------------------------------------------------------- */

static const char *basis_text(const json_t *row)
{
    static const struct {
        const char *word, *text;
    } texts[] = {
        { "unchanged", "as before" },
        { "replay", "by replay" },
        { "measured", "by who is in now" },
        { "share", "at most, by the share" },
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (is(row, "basis", texts[i].word)) {
            return texts[i].text;
        }
    }
    return "not measured";
}

static void print_share(struct table *table, const json_t *value)
{
    char text[32];

    table_cell(table, "%s",
               json_is_integer(value)
                   ? share_text((uint32_t)json_integer_value(value), text)
                   : "-");
}

static void say_releases(const json_t *rows, const json_t *impact)
{
    bool measured = json_is_true(json_object_get(impact, "measured"));
    CLI_CLEANUP(table_freep) struct table *table =
        table_new(measured ? 6 : 3);
    char text[32];
    json_t *row;
    size_t i;

    for (size_t column = 1; column < (measured ? 5 : 3); column++) {
        table_right(table, column);
    }
    table_cell(table, "RELEASE");
    table_cell(table, "NOW");
    table_cell(table, "THEN");
    if (measured) {
        table_cell(table, "IN/S NOW");
        table_cell(table, "IN/S THEN");
        table_cell(table, "HOW IT IS KNOWN");
    }
    json_array_foreach(rows, i, row) {
        table_cell(table, "%s", text_at(row, "release"));
        print_share(table, json_object_get(row, "shareBefore"));
        print_share(table, json_object_get(row, "shareAfter"));
        if (!measured) {
            continue;
        }
        table_cell(table, "%s",
                   rate_text(json_object_get(row, "now"), text));
        table_cell(table, "%s",
                   rate_text(json_object_get(row, "then"), text));
        table_cell(table, "%s", basis_text(row));
    }
    if (json_array_size(rows) > 0) {
        table_print(table, stdout);
    }
}

static void say_units(const char *release, const char *what,
                      const json_t *requests, const json_t *units,
                      const json_t *some)
{
    char numbers[2][32], list[256] = "";
    const json_t *unit;
    size_t i;

    json_array_foreach(some, i, unit) {
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
                 i == 0 ? ": " : ", ", json_string_value(unit));
    }
    wrap_print("  ", 4, "%s: %s request%s of %s unit%s %s%s", release,
               count_text(json_integer_value(requests), numbers[0]),
               json_integer_value(requests) == 1 ? "" : "s",
               count_text(json_integer_value(units), numbers[1]),
               json_integer_value(units) == 1 ? "" : "s", what, list);
}

static void say_replay(const json_t *replay)
{
    const json_t *row;
    char text[32];
    size_t i;

    if (!json_is_object(replay)) {
        return;
    }
    printf("\nof %s recorded requests ",
           count_text(number_at(replay, "replayed"), text));
    if (number_at(replay, "changed") == 0) {
        puts("none changes sides");
    } else {
        printf("%s change sides\n",
               count_text(number_at(replay, "changed"), text));
    }
    json_array_foreach(json_object_get(replay, "releases"), i, row) {
        if (number_at(row, "comes") > 0) {
            say_units(text_at(row, "release"), "come in",
                      json_object_get(row, "comes"),
                      json_object_get(row, "unitsCome"),
                      json_object_get(row, "come"));
        }
        if (number_at(row, "drops") > 0) {
            say_units(text_at(row, "release"), "DROP OUT",
                      json_object_get(row, "drops"),
                      json_object_get(row, "unitsDrop"),
                      json_object_get(row, "drop"));
        }
    }
    if (number_at(replay, "refused") > 0) {
        printf("  %s lines were no requests and are left out\n",
               count_text(number_at(replay, "refused"), text));
    }
}

/* Units that are in by a mark, and would not be let in any more. */
static void say_drops(const json_t *drops)
{
    const json_t *row, *unit;
    char numbers[2][32];
    size_t i, k;

    if (json_array_size(drops) > 0) {
        printf("\nwho is in and would be let in no more:\n");
    }
    json_array_foreach(drops, i, row) {
        char list[256] = "";

        if (is(row, "counted", "none")) {
            wrap_print("  ", 4, "%s: %s: how many is not known, for nobody "
                       "here has its marks", text_at(row, "release"),
                       text_at(row, "what"));
            continue;
        }
        json_array_foreach(json_object_get(row, "examples"), k, unit) {
            snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
                     k == 0 ? ": " : ", ", json_string_value(unit));
        }
        wrap_print("  ", 4, "%s: %s: %s%s units in by a mark, %s of them fall "
                   "out at once%s%s",
                   text_at(row, "release"), text_at(row, "what"),
                   is(row, "counted", "atLeast") ? "at least " : "",
                   count_text(number_at(row, "marks"), numbers[0]),
                   count_text(number_at(row, "atOnce"),
                                          numbers[1]),
                   json_is_true(json_object_get(row, "meant"))
                       ? " (a deny names them)"
                       : "",
                   list);
    }
}

/* ---- traffic ------------------------------------------------------------------------------- */

static void verdict_cell(struct table *table, const json_t *row)
{
    double capacity = json_number_value(json_object_get(row, "capacity"));
    double then = json_number_value(json_object_get(row, "then"));
    const char *word = text_at(row, "verdict");

    if (capacity > 0 && json_is_number(json_object_get(row, "then"))) {
        table_cell(table, "%s%.0f %%",
                   strcmp(word, "over") == 0   ? "OVER, "
                   : strcmp(word, "near") == 0 ? "near, "
                                               : "",
                   then * 100 / capacity);
    } else {
        table_cell(table, "%s", capacity > 0 ? "" : "-");
    }
}

static void say_versions(const json_t *impact)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(6);
    char text[32];
    const json_t *row;
    size_t i, shown = 0, hidden = 0;

    for (size_t column = 2; column < 6; column++) {
        table_right(table, column);
    }
    table_cell(table, "SERVICE");
    table_cell(table, "VERSION");
    table_cell(table, "NOW/S");
    table_cell(table, "THEN/S");
    table_cell(table, "BEARS");
    table_cell(table, "USED");
    json_array_foreach(json_object_get(impact, "versions"), i, row) {
        const json_t *capacity = json_object_get(row, "capacity");

        if (!json_is_true(json_object_get(row, "touched")) &&
            !is(row, "verdict", "over")) {
            hidden++;
            continue;
        }
        shown++;
        table_cell(table, "%s", text_at(row, "service"));
        table_cell(table, "%s", text_at(row, "version"));
        table_cell(table, "%s", rate_text(json_object_get(row, "now"), text));
        table_cell(table, "%s",
                   rate_text(json_object_get(row, "then"), text));
        table_cell(table, "%s",
                   json_is_integer(capacity)
                       ? count_text(json_integer_value(capacity), text)
                       : "-");
        verdict_cell(table, row);
    }
    if (shown > 0) {
        fputc('\n', stdout);
        table_print(table, stdout);
    }
    if (shown > 0 && hidden > 0) {
        printf("%zu other version%s stay%s as %s\n", hidden,
               hidden == 1 ? "" : "s", hidden == 1 ? "s" : "",
               hidden == 1 ? "it is" : "they are");
    }
}

static void say_traffic(const json_t *impact)
{
    const json_t *call;
    size_t i;

    if (!json_is_true(json_object_get(impact, "measured"))) {
        return;
    }
    say_versions(impact);
    if (json_array_size(json_object_get(impact, "calls")) > 0) {
        printf("\nnot linear in the share:\n");
    }
    json_array_foreach(json_object_get(impact, "calls"), i, call) {
        wrap_print("  ", 4, "%s", text_at(call, "sentence"));
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void say_not_measured(const json_t *plan, const json_t *impact)
{
    char text[32];

    if (json_number_value(json_object_get(impact, "seconds")) >= 1) {
        wrap_print("note: ", 6,
                   "%s requests came to entrances in %.0f s, and a figure "
                   "needs 100: nothing is compared with a capacity",
                   count_text(number_at(impact, "entered"), text),
                   json_number_value(json_object_get(impact, "seconds")));
    } else {
        wrap_print("note: ", 6, "traffic is not measured, so nothing is "
                   "compared with a capacity%s",
                   strncmp(text_at(plan, "against"), "revision ", 9) == 0
                       ? "; --measure SECONDS does"
                       : "");
    }
}

static void say_notes(const json_t *plan)
{
    const json_t *impact = json_object_get(plan, "impact"), *note;
    char text[32];
    size_t i;

    fputc('\n', stdout);
    say_findings(plan, "advice");
    json_array_foreach(json_object_get(plan, "notes"), i, note) {
        wrap_print("note: ", 6, "%s: %s [%s]", text_at(note, "release"),
                   text_at(note, "sentence"), text_at(note, "code"));
    }
    if (json_is_object(impact) &&
        !json_is_true(json_object_get(impact, "measured"))) {
        say_not_measured(plan, impact);
    }
    if (json_is_true(json_object_get(impact, "measured"))) {
        wrap_print("measured: ", 10,
                   "%s requests at entrances in %.0f s, %.1f a second",
                   count_text(number_at(impact, "entered"), text),
                   json_number_value(json_object_get(impact, "seconds")),
                   json_number_value(json_object_get(impact, "entrance")));
    }
    if (number_at(plan, "costBoundNs") > 0) {
        printf("a decision costs at most %lld ns (%u are allowed)\n",
               (long long)number_at(plan, "costBoundNs"), GRAY_COST_BOUND_NS);
    }
}

void plan_page(const json_t *plan, const char *place)
{
    const json_t *impact = json_object_get(plan, "impact");
    const char *diff = text_at(plan, "diff");
    const json_t *rows = impact != NULL
                             ? json_object_get(impact, "releases")
                             : json_object_get(plan, "releases");

    say_verdict(plan);
    say_findings(plan, "error");
    say_findings(plan, "warning");
    if (json_object_get(plan, "notes") == NULL) {
        return; /* what was read is no policy */
    }
    if (count_of(json_object_get(plan, "findings"), "error") +
            count_of(json_object_get(plan, "findings"), "warning") > 0) {
        fputc('\n', stdout);
    }
    printf("compared with %s\n", place);
    printf("%s%s", *diff != '\0' ? diff : "no difference in documents",
           *diff == '\0' || diff[strlen(diff) - 1] != '\n' ? "\n" : "");
    if (json_array_size(rows) > 0) {
        fputc('\n', stdout);
    }
    say_releases(rows, impact);
    say_drops(json_object_get(plan, "drops"));
    say_replay(json_object_get(impact, "replay"));
    say_traffic(impact);
    say_notes(plan);
}
