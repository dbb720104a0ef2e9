/* SPDX-License-Identifier: Apache-2.0
 * keys.c - `gray keys check` and `gray keys rotate`.
 *
 * Why check: a release by tails or by share is only fair when the ids fill
 * tails or buckets evenly.  Tails often already divide something else (a
 * database shard, a cell): then a tail is a machine, not a sample, and the
 * ids show it by having few tails.
 * Why rotate: signing keys must be changed without throwing anybody out, so
 * the key before stays valid.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/chi_square.h"
#include "cli/cli.h"

#define PER_BIN_LEAST 5u /* expected in a bin, the usual rule */
#define UNLIKELY 0.001

struct bins {
    const char *what;
    unsigned count;
    uint64_t counts[100];
    uint64_t ids;
    unsigned seen;
    double statistic, chance;
    const char *verdict; /* "even", "uneven", "sharded", "too-few" */
};

/* A set of 64-bit hashes, so that an id that stands twice counts once: ids
 * that repeat would look like an uneven tail. */
struct seen {
    uint64_t *cells;
    size_t capacity, count;
};

static bool seen_add(struct seen *seen, uint64_t hash)
{
    size_t at;

    hash += hash == 0; /* 0 is a free cell */
    at = hash & (seen->capacity - 1);
    while (seen->cells[at] != 0 && seen->cells[at] != hash) {
        at = (at + 1) & (seen->capacity - 1);
    }
    if (seen->cells[at] == hash) {
        return false;
    }
    seen->cells[at] = hash;
    seen->count++;
    return true;
}

static int seen_grow(struct seen *seen)
{
    struct seen bigger = { .capacity = seen->capacity == 0
                                           ? 1u << 16
                                           : 2 * seen->capacity };

    bigger.cells = calloc(bigger.capacity, sizeof(*bigger.cells));
    if (bigger.cells == NULL) {
        complain("out of memory");
        return CLI_EXIT_SYSTEM;
    }
    for (size_t i = 0; i < seen->capacity; i++) {
        if (seen->cells[i] != 0) {
            seen_add(&bigger, seen->cells[i]);
        }
    }
    free(seen->cells);
    *seen = bigger;
    return 0;
}

static void seen_free(struct seen *seen)
{
    free(seen->cells);
}

/* The last `width` digits; -1 when the id does not end in so many. */
static int tail_of(const char *id, size_t length, size_t width)
{
    int tail = 0;

    for (size_t i = length < width ? 0 : length - width; i < length; i++) {
        if (id[i] < '0' || id[i] > '9') {
            return -1;
        }
        tail = tail * 10 + (id[i] - '0');
    }
    return length < width ? -1 : tail;
}

static void count_id(struct bins bins[3], struct gray_str salt, const char *id,
                     size_t length)
{
    struct gray_str unit = { id, (uint32_t)length };
    int places[3] = { tail_of(id, length, 1), tail_of(id, length, 2),
                      (int)(gray_bucket(salt, unit) / 10000) };

    for (int i = 0; i < 3; i++) {
        if (places[i] >= 0) {
            bins[i].counts[places[i]]++;
            bins[i].ids++;
        }
    }
}

static int read_ids(FILE *file, const char *name, struct gray_str salt,
                    struct bins bins[3], uint64_t *ret_ids,
                    uint64_t *ret_repeated)
{
    static const uint64_t key[2] = { 0x67726179, 0x6c616e65 };
    CLI_CLEANUP(seen_free) struct seen seen = { 0 };
    CLI_CLEANUP(line_free) struct line line = { 0 };
    int got;

    while ((got = port_line(file, name, CLI_ID_MAX, &line)) > 0) {
        if (line.length == 0) {
            continue;
        }
        if (line.length > CLI_ID_MAX) {
            complain("%s:%llu: more than %u bytes are no id", name,
                     (unsigned long long)line.number, CLI_ID_MAX);
            return CLI_EXIT_REFUSED;
        }
        if (2 * seen.count >= seen.capacity && seen_grow(&seen) != 0) {
            complain("out of memory");
            return CLI_EXIT_SYSTEM;
        }
        if (seen.count >= CLI_IDS_MAX) {
            complain("more than %u ids: take a sample of them", CLI_IDS_MAX);
            return CLI_EXIT_USAGE;
        }
        if (!seen_add(&seen, gray_siphash(line.text, line.length, key))) {
            ++*ret_repeated;
            continue;
        }
        ++*ret_ids;
        count_id(bins, salt, line.text, line.length);
    }
    return got < 0 ? CLI_EXIT_SYSTEM : 0;
}

static void judge(struct bins *bins)
{
    for (unsigned i = 0; i < bins->count; i++) {
        bins->seen += bins->counts[i] > 0;
    }
    bins->statistic = chi_square_even(bins->counts, bins->count);
    bins->chance = chi_square_tail(bins->statistic, bins->count - 1);
    if (bins->ids < (uint64_t)PER_BIN_LEAST * bins->count) {
        bins->verdict = "too-few";
    } else if (bins->seen * 10 < bins->count * 9) {
        bins->verdict = "sharded"; /* chance leaves less than 1 % empty */
    } else {
        bins->verdict = bins->chance < UNLIKELY ? "uneven" : "even";
    }
}

static const char *advice(const struct bins *bins)
{
    if (strcmp(bins->verdict, "sharded") == 0) {
        return "few of them occur: something is already divided by this tail, "
               "so a tail is a part of that and no sample";
    }
    if (strcmp(bins->verdict, "uneven") == 0) {
        return "not evenly filled: prefer a share (percent) to idTail";
    }
    if (strcmp(bins->verdict, "too-few") == 0) {
        return "too few ids to say";
    }
    return "";
}

static int report(const struct arguments *arguments, struct bins bins[3],
                  uint64_t ids, uint64_t repeated)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(7);
    json_t *tests = json_array();
    bool found = false;
    const char *const heads[] = { "BY", "IDS", "FILLED", "CHI-SQUARE",
                                  "CHANCE", "VERDICT", "" };

    for (int i = 0; i < 7; i++) {
        table_cell(table, "%s", heads[i]);
    }
    for (int i = 0; i < 3; i++) {
        judge(&bins[i]);
        found |= strcmp(bins[i].verdict, "sharded") == 0 ||
                 strcmp(bins[i].verdict, "uneven") == 0;
        table_cell(table, "%s", bins[i].what);
        table_cell(table, "%llu", (unsigned long long)bins[i].ids);
        table_cell(table, "%u of %u", bins[i].seen, bins[i].count);
        table_cell(table, "%.1f", bins[i].statistic);
        table_cell(table, "%.4f", bins[i].chance);
        table_cell(table, "%s", bins[i].verdict);
        table_cell(table, "%s", advice(&bins[i]));
        json_array_append_new(
            tests, json_pack("{s:s,s:I,s:i,s:i,s:f,s:f,s:s,s:s}", "by",
                             bins[i].what, "ids", (json_int_t)bins[i].ids,
                             "filled", (int)bins[i].seen, "bins",
                             (int)bins[i].count, "chiSquare",
                             bins[i].statistic, "chance", bins[i].chance,
                             "verdict", bins[i].verdict, "advice",
                             advice(&bins[i])));
    }
    if (arguments_json(arguments)) {
        json_print(json_pack("{s:I,s:I,s:o}", "ids", (json_int_t)ids,
                             "repeated", (json_int_t)repeated, "tests", tests),
                   JSON_INDENT(2));
    } else {
        printf("%llu ids, %llu lines repeat one of them\n",
               (unsigned long long)ids, (unsigned long long)repeated);
        table_print(table, stdout);
        json_decref(tests);
    }
    return found ? CLI_EXIT_REFUSED : CLI_EXIT_OK;
}

int command_keys_check(const struct arguments *arguments)
{
    const char *salt = arguments_get(arguments, CLI_SALT);
    struct gray_str text = { salt != NULL ? salt : "",
                             salt != NULL ? (uint32_t)strlen(salt) : 0 };
    struct bins bins[3] = { { .what = "last digit", .count = 10 },
                            { .what = "last two digits", .count = 100 },
                            { .what = "bucket", .count = 100 } };
    CLI_CLEANUP(file_closep) FILE *file = port_open(arguments->operands[0]);
    uint64_t ids = 0, repeated = 0;
    int status;

    if (file == NULL) {
        return CLI_EXIT_SYSTEM;
    }
    status = read_ids(file, arguments->operands[0], text, bins, &ids,
                      &repeated);
    return status != 0 ? status : report(arguments, bins, ids, repeated);
}

int command_keys_rotate(const struct arguments *arguments)
{
    const char *folder = arguments_runtime(arguments);
    struct gray_problem problem = { 0 };
    gid_t group = (gid_t)-1;
    int status = keys_group(arguments, folder, &group);

    if (status != 0) {
        return status;
    }
    if (gray_keys_rotate(folder, group, &problem) != 0) {
        complain_problem(folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    action_record(folder, &(struct action) { .action = "keys rotate" });
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:b}", "rotated", 1), 0);
    }
    printf("a new key signs; the one before stays valid, older ones do not\n");
    return CLI_EXIT_OK;
}
