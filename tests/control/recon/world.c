/* SPDX-License-Identifier: Apache-2.0
 * world.c - see world.h.
 *
 * Why: each order is decided by `model()`, told to everybody who has to know,
 * and told wrongly where a defect is planted; nothing here uses what is tested
 * but the hash of a bucket, which is a published contract.
 * Read next: world.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/recon/run.h"
#include "control/release/release.h"
#include "runtime/marks.h"
#include "tests/control/recon/world.h"

#define BATCH 2048u
#define TESTER_EVERY 997u

/* ---- the rules of each hour --------------------------------------------------- */

struct hour {
    uint32_t share; /* millionths */
    bool frozen, more_testers, more_regions;
};
static const struct hour hours[6] = {
    {100000, false, false, false}, {250000, false, false, false},
    {250000, true, false, false},  {250000, false, true, false},
    {500000, false, true, false},  {500000, false, true, true},
};

static void put_items(struct world *world, int64_t at,
                      const struct store_put *puts, size_t count)
{
    struct gray_problem problem = {0};
    struct store_batch batch = {.at = at,
                                .expected_revision = world->revision,
                                .puts = puts,
                                .put_count = count};

    if (store_commit(world->store, &batch, &world->revision, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
}

static char *release_text(bool more_regions)
{
    json_t *document = json_pack(
        "{s:s,s:s,s:[{s:s,s:s}],s:{s:{s:i}},s:[s],s:s,"
        "s:[{s:s,s:b,s:{s:{s:s}}}],s:{s:[{s:s}],s:{s:{s:s,s:[s,s]}}},"
        "s:{s:{s:[{s:i}]}}}",
        "kind", "Release", "name", "orders-2", "services", "service",
        "orders", "version", "new", "unit", "path", "segment", 2,
        "entrances", "orders", "stickiness", "entity", "stages", "name",
        "create", "writes", 1, "when", "method", "exact", "POST",
        "admission", "allow", "list", "testers", "require", "attr", "name",
        "region", "in", "hz", "sh", "strategy", "canary", "steps",
        "setWeight", 10);
    char *text;

    assert_non_null(document);
    if (more_regions) {
        json_t *in = json_object_get(
            json_object_get(
                json_object_get(json_object_get(document, "admission"),
                                "require"),
                "attr"),
            "in");

        json_array_append_new(in, json_string("bj"));
    }
    text = json_dumps(document, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(document);
    return text;
}

static char *state_text(const struct hour *hour, int64_t at)
{
    struct release_status status = {
        .state = hour->frozen ? RELEASE_FROZEN : RELEASE_PROGRESSING,
        .share = hour->share,
        .attempt = 1,
        .since = at,
        .started = WORLD_BEGINS,
        .by = "ann",
    };
    json_t *value = release_status_json(&status);
    char *text = json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT);

    json_decref(value);
    return text;
}

/* Testers are orders whose number divides by 997, later by 499 too. */
static char *testers_text(bool more, uint32_t orders)
{
    json_t *ids = json_array(), *list;
    char *text;

    for (uint32_t i = 0; i < orders; i++) {
        if (i % TESTER_EVERY == 0 || (more && i % 499 == 0)) {
            json_array_append_new(ids, json_sprintf("A%u", i));
        }
    }
    list = json_pack("{s:s,s:s,s:o}", "kind", "List", "name", "testers", "ids",
                     ids);
    text = json_dumps(list, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(list);
    return text;
}

static void tell_rules(struct world *world)
{
    static const char service[] =
        "{\"baseline\":{\"version\":\"old\"},\"kind\":\"Service\",\"name\":"
        "\"orders\",\"versions\":{\"new\":{\"endpoints\":[\"127.0.0.1:9402\"]}"
        ",\"old\":{\"endpoints\":[\"127.0.0.1:9401\"]}}}";

    for (size_t i = 0; i < 6; i++) {
        int64_t at = WORLD_BEGINS + (int64_t)i * WORLD_HOUR;
        struct store_put puts[4];
        size_t count = 0;
        char *release = release_text(hours[i].more_regions);
        char *state = state_text(&hours[i], at);
        char *list = testers_text(hours[i].more_testers, world->orders);

        puts[count++] = (struct store_put){STORE_RELEASE, "orders-2", state,
                                           strlen(state)};
        if (i == 0 || hours[i].more_regions != hours[i - 1].more_regions) {
            puts[count++] = (struct store_put){
                STORE_DOCUMENT, "Release/orders-2", release, strlen(release)};
        }
        if (i == 0 || hours[i].more_testers != hours[i - 1].more_testers) {
            puts[count++] = (struct store_put){
                STORE_DOCUMENT, "List/testers", list, strlen(list)};
        }
        if (i == 0) {
            puts[count++] =
                (struct store_put){STORE_DOCUMENT, "Service/orders", service,
                                   strlen(service)};
        }
        put_items(world, at, puts, count);
        free(release);
        free(state);
        free(list);
    }
}

/* ---- the journal and the log ---------------------------------------------------------- */

static void flush_marks(struct world *world)
{
    struct journal_batch batch = {.records = world->batch,
                                  .record_count = world->batch_count};
    struct gray_problem problem = {0};

    if (world->elsewhere) {
        world_tell_host(world);
    } else if (world->batch_count > 0 &&
        journal_append(&world->journal, &batch, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    world->batch_count = 0;
}

struct told {
    int64_t at;
    uint64_t revision;
    bool in;
    enum gray_reason reason;
};

static void put_mark(struct world *world, const char *id,
                     enum gray_slot_state state, const struct told *told,
                     enum record_kind kind)
{
    struct record *record = &world->batch[world->batch_count];
    char *unit = world->units[world->batch_count];

    snprintf(unit, 16, "%s", id);
    *record = (struct record){
        .head = {.scope = gray_hash_scope("orders-2", 8),
                 .key = {++world->sequence, 0},
                 .value = (uint64_t)state | GRAY_SLOT_DURABLE |
                          UINT64_C(1) << GRAY_SLOT_ATTEMPT_SHIFT,
                 .at = told->at,
                 .revision = (uint32_t)told->revision,
                 .reader = kind == RECORD_ADMIT ? 0 : RECORD_READER_NONE,
                 .reason_code = (uint16_t)told->reason,
                 .kind = (uint8_t)kind},
        .unit = {unit, (uint32_t)strlen(unit)},
    };
    if (kind != RECORD_ADMIT) {
        record->actor = (struct gray_str){"ann", 3};
        record->reason = (struct gray_str){"back", 4};
    }
    if (++world->batch_count == BATCH) {
        flush_marks(world);
    }
}

static void put_line(struct world *world, const char *id,
                     const struct told *told)
{
    fprintf(world->log_file,
            "{\"time\":%lld,\"host\":\"h\",\"worker\":7,\"event\":\"%s\","
            "\"trace_id\":\"\",\"revision\":%llu,\"release\":\"orders-2\","
            "\"arms\":\"\",\"lane\":\"\",\"reason\":\"%s\",\"releases\":[{"
            "\"release\":\"orders-2\",\"in\":%s,\"variant\":\"\",\"reason\":"
            "\"%s\",\"unit\":\"%s\",\"word\":\"open\",\"stage\":\"create\"}],"
            "\"trace\":[],\"truncated\":false}\n",
            (long long)told->at, told->in ? "admit" : "stage",
            (unsigned long long)told->revision, gray_reason_code(told->reason),
            told->in ? "true" : "false", gray_reason_code(told->reason), id);
}

/* ---- one order ---------------------------------------------------------------------------- */

static const char *const regions[] = {"hz", "sh", "bj", "sz"};

static struct told model(uint32_t number, int64_t at, const char *id,
                         const char *region)
{
    size_t h = (size_t)((at - WORLD_BEGINS) / WORLD_HOUR);
    const struct hour *hour = &hours[h];
    struct told told = {.at = at, .revision = h + 1};
    bool tester = number % TESTER_EVERY == 0 ||
                  (hour->more_testers && number % 499 == 0);
    bool here = strcmp(region, "hz") == 0 || strcmp(region, "sh") == 0 ||
                (hour->more_regions && strcmp(region, "bj") == 0);
    uint32_t bucket = gray_bucket((struct gray_str){"orders-2", 8},
                                  (struct gray_str){id, (uint32_t)strlen(id)});

    told.reason = tester                  ? GRAY_REASON_ALLOW
                  : !here                 ? GRAY_REASON_REQUIRE
                  : bucket < hour->share  ? GRAY_REASON_SHARE
                                          : GRAY_REASON_OUT_OF_SHARE;
    told.in = told.reason == GRAY_REASON_ALLOW ||
              told.reason == GRAY_REASON_SHARE;
    if (told.in && hour->frozen) {
        told.in = false;
        told.reason = GRAY_REASON_NO_ADMIT;
    }
    return told;
}

static void expect(struct world *world, enum defect defect, const char *id)
{
    static const char *const words[DEFECT_COUNT] = {
        "", "R1", "R1", "R2", "R2", "R3", "R3", "R3", "R4", "R4", "R6", "R6",
        "R7"};
    json_t *units = json_object_get(world->expected, words[defect]);

    if (defect == DEFECT_NONE) {
        return;
    }
    if (units == NULL) {
        units = json_object();
        json_object_set_new(world->expected, words[defect], units);
    }
    json_object_set_new(units, id, json_null());
}

/* Whether this defect can be had by an order like this. */
static bool fits(enum defect defect, const struct told *told, bool taken_back)
{
    switch (defect) {
    case R2_IN_WHILE_FROZEN:
        return told->reason == GRAY_REASON_NO_ADMIT;
    case R4_CONSTRAINT:
    case R4_ON_BOTH_SIDES:
        return !told->in;
    case R1_NOT_LOGGED:
    case R1_LOGGED_OTHERWISE:
        return !taken_back;
    case R7_NOT_CORRECTED:
        return told->in && taken_back;
    default:
        return told->in && !taken_back;
    }
}

static void tell_rows(struct world *world, const char *id, double amount,
                      const struct told *told, enum defect defect,
                      bool taken_back)
{
    bool gray = told->in, old = !told->in || !world->moves;

    if (defect == R6_NO_MARK || defect == R6_NO_GRAY_ROW) {
        gray = false;
        old = true;
        if (defect == R6_NO_GRAY_ROW && world->moves) {
            old = false;
        }
    }
    if (defect == R4_ON_BOTH_SIDES) {
        gray = true;
        old = !world->moves;
    }
    if (gray) {
        world_put_row(world, ORDERS_NEW, id,
                defect == R3_AMOUNT ? amount + 1 : amount,
                taken_back && defect != R7_NOT_CORRECTED ? "yes" : NULL,
                told->at + 40);
    }
    if (gray && defect == R3_TWICE) {
        world_put_row(world, ORDERS_NEW, id, amount, NULL, told->at + 41);
    }
    if (old) {
        world_put_row(world, ORDERS_OLD, id, amount,
                defect == R4_CONSTRAINT ? "lost" : "open", told->at + 30);
    }
}

static void tell_order(struct world *world, const char *id, int64_t at,
                       const char *region, struct told told,
                       enum defect defect, bool taken_back)
{
    double amount = (double)(strtoul(id + 1, NULL, 10) % 99991) / 100 + 1;
    struct told logged = told;

    if (defect == R2_OUT_AND_RULES_IN) {
        told.in = logged.in = false;
        told.reason = logged.reason = GRAY_REASON_OUT_OF_SHARE;
    } else if (defect == R2_IN_WHILE_FROZEN) {
        told.in = logged.in = true;
        told.reason = logged.reason = GRAY_REASON_SHARE;
    } else if (defect == R1_LOGGED_OTHERWISE) {
        logged.in = !told.in;
    }
    if (defect != R3_NO_UPSTREAM) {
        world_put_row(world, REQUESTS, id, amount, region, at);
    }
    if (defect != R6_NO_MARK) {
        put_mark(world, id, told.in ? GRAY_SLOT_IN : GRAY_SLOT_OUT, &told,
                 RECORD_ADMIT);
        if (defect != R1_NOT_LOGGED) {
            put_line(world, id, &logged);
        }
    }
    if (taken_back && told.in) {
        struct told back = {.at = WORLD_ENDS - 1000, .revision = 6};

        put_mark(world, id, GRAY_SLOT_REVOKED, &back, RECORD_REVOKE);
    }
    tell_rows(world, id, amount, &told, defect, taken_back && told.in);
}

/* R5: ids that were dealt unevenly, each of which is decided rightly. */
static bool is_left_out(const struct world *world, const char *id,
                        const struct told *told)
{
    uint32_t bucket = gray_bucket((struct gray_str){"orders-2", 8},
                                  (struct gray_str){id, (uint32_t)strlen(id)});
    uint32_t share = hours[told->revision - 1].share;

    bool in = told->reason == GRAY_REASON_SHARE;
    bool out = told->reason == GRAY_REASON_OUT_OF_SHARE;

    switch (world->bias) {
    case BIAS_MORE_IN:
        return out && bucket % 4 == 0;
    case BIAS_FEWER_IN:
        return in && bucket % 4 == 0;
    case BIAS_NOT_LOW: /* as many as there should be, from elsewhere */
        return (in && bucket < share / 3) || (out && bucket % 3 == 0);
    case BIAS_NOT_HIGH:
        return (in && bucket >= share - share / 3) ||
               (out && bucket % 3 == 0);
    default:
        return false;
    }
}

static void tell_orders(struct world *world)
{
    uint32_t left[DEFECT_COUNT] = {0};
    uint32_t half = world->planted / 2, step = world->orders / 400 + 1;

    for (int i = R1_NOT_LOGGED; i < DEFECT_COUNT; i++) {
        left[i] = i >= R3_AMOUNT && i <= R3_NO_UPSTREAM
                      ? (world->planted + (i == R3_AMOUNT ? 2 : 0)) / 3
                  : i == R7_NOT_CORRECTED ? world->planted
                                          : half;
    }
    for (uint32_t number = 0; number < world->orders; number++) {
        int64_t at = WORLD_BEGINS + (int64_t)((double)(WORLD_ENDS - WORLD_BEGINS) *
                                              number / world->orders);
        const char *region = regions[number * 7 % 13 % 4];
        bool taken_back = number % 53 == 0;
        enum defect defect = DEFECT_NONE;
        struct told told;
        char id[16];

        snprintf(id, sizeof(id), "A%u", number);
        told = model(number, at, id, region);
        for (int i = R1_NOT_LOGGED;
             number % step == step / 2 + 1 - (number % 53 == 0) &&
             defect == DEFECT_NONE && i < DEFECT_COUNT;
             i++) {
            if (left[i] > 0 && fits((enum defect)i, &told, taken_back)) {
                defect = (enum defect)i;
            }
        }
        if (defect == DEFECT_NONE && left[R7_NOT_CORRECTED] > 0 &&
            world->planted > 0 && taken_back &&
            fits(R7_NOT_CORRECTED, &told, taken_back) && number % 2 == 0) {
            defect = R7_NOT_CORRECTED;
        }
        if (defect == DEFECT_NONE && is_left_out(world, id, &told)) {
            continue;
        }
        left[defect] -= defect != DEFECT_NONE;
        expect(world, defect, id);
        tell_order(world, id, at, region, told, defect, taken_back);
    }
    for (int i = R1_NOT_LOGGED; i < DEFECT_COUNT; i++) {
        assert_int_equal(left[i], 0); /* all of them could be planted */
    }
}

/* ---- together --------------------------------------------------------------------------------- */

void world_make(struct world *world)
{
    struct gray_problem problem = {0};
    char path[128];

    snprintf(world->top, sizeof(world->top), "/dev/shm/gray-recon-XXXXXX");
    assert_non_null(mkdtemp(world->top));
    snprintf(world->state, sizeof(world->state), "%s/state", world->top);
    snprintf(world->folder, sizeof(world->folder), "%s/recon", world->state);
    snprintf(world->log, sizeof(world->log), "%s/gray.log", world->top);
    snprintf(world->sqlite, sizeof(world->sqlite), "%s/shop.db", world->top);
    snprintf(path, sizeof(path), "%s/store", world->state);
    assert_int_equal(mkdir(world->state, 0700), 0);
    assert_int_equal(mkdir(world->folder, 0700), 0);
    assert_int_equal(store_open(&world->store, path, &problem), 0);
    world->journal.lock_fd = -1;
    assert_int_equal(journal_open(&world->journal, world->state, 1ull << 32,
                                  &problem),
                     0);
    world->batch = calloc(BATCH, sizeof(*world->batch));
    world->units = calloc(BATCH, sizeof(*world->units));
    world->log_file = fopen(world->log, "we");
    world->expected = json_object();
    assert_non_null(world->log_file);
    tell_rules(world);
    world_open_database(world);
    tell_orders(world);
    flush_marks(world);
    world_close_database(world);
    fclose(world->log_file);
    if (world->elsewhere) {
        world_log_host(world);
    }
    store_close(world->store);
    journal_close(&world->journal);
    free(world->batch);
    free(world->units);
}

void world_end(struct world *world)
{
    char command[128];

    json_decref(world->expected);
    snprintf(command, sizeof(command), "rm -r %s", world->top);
    assert_int_equal(system(command), 0);
}

json_t *world_check(const struct world *world)
{
    json_t *source =
        world->conninfo != NULL
            ? json_pack("{s:s,s:{s:s}}", "name", "shop", "postgresql",
                        "connection", world->conninfo)
            : json_pack("{s:s,s:{s:s}}", "name", "shop", "sqlite", "path",
                        world->sqlite);
    json_t *created = json_pack("{s:s,s:s}", "column", "created", "is", "ms");
    json_t *check = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:[o],"
        "s:{s:s,s:s,s:[s],s:O,s:[{s:s,s:s}]},"
        "s:{s:s,s:s,s:[s],s:O,s:s},s:{s:s,s:s,s:[s],s:O},"
        "s:[{s:s,s:s}],s:[{s:s,s:s},{s:s,s:[s,s]}],s:{s:[s]}}",
        "kind", "Check", "name", "orders-rows", "release", "orders-2",
        "stage", "create", "mode", world->moves ? "moves" : "adds", "sources",
        source, "upstream", "source", "shop", "query",
        "SELECT * FROM requests", "key", "order_id", "createdAt", created,
        "attributes", "attr", "region", "column", "region", "gray", "source",
        "shop", "query", "SELECT * FROM orders_new -- all of them", "key",
        "order_id", "createdAt", created, "corrected", "fixed", "old",
        "source", "shop", "query", "SELECT * FROM orders_old;", "key",
        "order_id", "createdAt", created, "compare", "upstream", "amount",
        "gray", "net", "constraints", "old", "amount", "equals", "amount",
        "old", "state", "in", "open", "paid", "decisions", "logs",
        world->log);

    json_decref(created);
    assert_non_null(check);
    if (world->elsewhere) {
        json_object_set_new(check, "decisions",
                            json_pack("{s:b}", "grayd", 1));
    }
    return check;
}

json_t *world_run(const struct world *world, int64_t from, int64_t until)
{
    struct run_options options = {.state = world->state,
                                  .folder = world->folder,
                                  .now = WORLD_ENDS,
                                  .from = from,
                                  .until = until};
    struct gray_problem problem = {0};
    json_t *tree = world_check(world), *report = NULL;
    char sentence[200] = "";
    struct check check;

    if (check_read(&check, tree, sentence, sizeof(sentence)) != 0) {
        fail_msg("%s", sentence);
    }
    if (recon_run(&check, &options, &report, &problem) != 0) {
        fail_msg("%s [%s]", problem.sentence, problem.code);
    }
    check_free(&check);
    json_decref(tree);
    return report;
}

json_t *world_found(const json_t *report)
{
    json_t *found = json_object(), *units;
    const json_t *row;
    size_t i;

    json_array_foreach(json_object_get(report, "differences"), i, row) {
        const char *rule = json_string_value(json_object_get(row, "rule"));

        units = json_object_get(found, rule);
        if (units == NULL) {
            units = json_object();
            json_object_set_new(found, rule, units);
        }
        json_object_set_new(
            units, json_string_value(json_object_get(row, "unit")),
            json_null());
    }
    return found;
}
