/* SPDX-License-Identifier: Apache-2.0
 * sample.c - `gray sample`: ids that are in a release, and ids that are out.
 *
 * Why: whoever tests a new version by hand needs a user who meets it and one
 * who does not, ready to paste.  Ids are put where the release looks for its
 * unit and decided by the engine itself, so the answer is the gateway's.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define SAMPLE_TRIES_MAX 1000000u
#define SAMPLE_COUNT_MAX 10000.0

struct sampler {
    const struct arguments *arguments;
    struct policy policy;
    uint32_t release;
    uint8_t source;          /* of the unit */
    struct gray_str name;
    struct request request;  /* the rest of each request */
    char target[4096 + 4 * CLI_ID_MAX];
    struct gray_input input;
    FILE *file;
    struct line line;
    bool failed; /* reading the file */
    uint64_t tried;
    uint64_t reasons[256];
    size_t wanted;
    json_t *in, *out;
};

static void sampler_free(struct sampler *s)
{
    policy_free(&s->policy);
    request_free(&s->request);
    file_closep(&s->file);
    line_free(&s->line);
    json_decref(s->in);
    json_decref(s->out);
}

/* The first place where the release looks for its unit. */
static int find_unit(struct sampler *s)
{
    const struct gray_snapshot *snapshot = s->policy.view->policy;
    const struct gray_release *release =
        gray_release_at(snapshot, s->release);
    const struct gray_slot *slots =
        (const void *)(snapshot->base + snapshot->policy->slots.offset);
    uint32_t slot = release->unit_slots[0];

    if (slot >= snapshot->policy->slots.count) {
        complain("%s has no unit: every request is decided for itself",
                 s->arguments->operands[0]);
        return CLI_EXIT_REFUSED;
    }
    s->source = slots[slot].source;
    s->name = gray_text(snapshot, slots[slot].name);
    return 0;
}

/* A query's values are percent-decoded: an id goes there encoded (RFC 3986,
 * all but unreserved bytes). */
static const char *encoded(const char *id, char text[3 * CLI_ID_MAX])
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "abcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t at = 0;

    for (; *id != '\0' && at + 4 < 3 * CLI_ID_MAX; id++) {
        at += (size_t)snprintf(text + at, 4,
                               strchr(unreserved, *id) != NULL ? "%c"
                                                               : "%%%02X",
                               (unsigned char)*id);
    }
    text[at] = '\0';
    return text;
}

/* The target of the request with the id in its query or segment. */
static const char *target_with(struct sampler *s, const char *id)
{
    const char *path = s->request.path;
    size_t query = strcspn(path, "?#");
    char name[256], value[3 * CLI_ID_MAX];
    int at = 0;

    snprintf(name, sizeof(name), "%.*s", (int)s->name.length, s->name.data);
    if (s->source == GRAY_SOURCE_QUERY) {
        snprintf(s->target, sizeof(s->target), "%.4000s%c%s=%s", path,
                 path[query] == '?' ? '&' : '?', name, encoded(id, value));
        return s->target;
    }
    for (int n = 1, segment = atoi(name); n <= segment; n++) {
        size_t skip = *path == '/' ? 1 : 0;
        size_t length = strcspn(path + skip, "/?#");

        at += snprintf(s->target + at, sizeof(s->target) - (size_t)at,
                       "/%.*s", n == segment ? (int)strlen(id)
                                : length > 0 ? (int)length : 1,
                       n == segment ? id : length > 0 ? path + skip : "x");
        path += skip + length;
    }
    snprintf(s->target + at, sizeof(s->target) - (size_t)at, "%.2000s", path);
    return s->target;
}

static void feed_address(struct gray_input *in, const char *id)
{
    uint8_t bytes[16] = { [10] = 0xff, [11] = 0xff };

    if (inet_pton(AF_INET, id, bytes + 12) == 1 ||
        inet_pton(AF_INET6, id, bytes) == 1) {
        gray_input_address(in, bytes);
    }
}

/* `cookie` must live as long as the decision. */
static bool decide(struct sampler *s, const char *id, char *cookie,
                   size_t cookie_size, struct gray_verdict *ret_verdict)
{
    static const char header[] = "cookie";
    struct gray_str text = { id, (uint32_t)strlen(id) };
    struct request request = s->request;

    if (s->source == GRAY_SOURCE_QUERY || s->source == GRAY_SOURCE_SEGMENT) {
        request.path = target_with(s, id);
    }
    request_feed(&request, s->policy.view->policy, port_now_ms(), &s->input);
    if (s->source == GRAY_SOURCE_COOKIE) {
        int length = snprintf(cookie, cookie_size, "%.*s=%s",
                              (int)s->name.length, s->name.data, id);

        gray_input_header(&s->input, gray_hash_name(header, 6),
                          (struct gray_str) { header, 6 },
                          (struct gray_str) { cookie, (uint32_t)length });
    } else if (s->source == GRAY_SOURCE_HEADER) {
        gray_input_header(&s->input,
                          gray_hash_name(s->name.data, s->name.length),
                          s->name, text);
    } else if (s->source == GRAY_SOURCE_ADDRESS) {
        feed_address(&s->input, id);
    } else if (s->source != GRAY_SOURCE_QUERY &&
               s->source != GRAY_SOURCE_SEGMENT) {
        gray_input_named(&s->input, s->source, s->name, text);
    }
    gray_decide_release(s->policy.view, s->release, &s->input, NULL, NULL,
                        ret_verdict, NULL);
    return ret_verdict->in != 0;
}

/* ---- curl lines ----------------------------------------------------------------------- */

static void quote(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", out);
        } else {
            fputc(*text, out);
        }
    }
    fputc('\'', out);
}

static void quote_header(FILE *out, const char *name, const char *value)
{
    char text[2 * CLI_ID_MAX];

    snprintf(text, sizeof(text), "%s: %s", name, value);
    fputs(" -H ", out);
    quote(out, text);
}

static char *curl_line(struct sampler *s, const char *id)
{
    const char *url = arguments_get(s->arguments, CLI_URL);
    const char *header;
    char name[256], text[8192 + 2 * CLI_ID_MAX], *line = NULL;
    size_t size = 0, at = 0;
    FILE *out = open_memstream(&line, &size);

    if (out == NULL) {
        return NULL;
    }
    snprintf(name, sizeof(name), "%.*s", (int)s->name.length, s->name.data);
    fputs("curl -s", out);
    if (s->request.host != NULL) {
        quote_header(out, "host", s->request.host);
    }
    while ((header = arguments_next(s->arguments, CLI_HEADER, &at)) != NULL) {
        fputs(" -H ", out);
        quote(out, header);
    }
    if (s->source == GRAY_SOURCE_COOKIE) {
        snprintf(text, sizeof(text), "%s=%s", name, id);
        fputs(" -b ", out);
        quote(out, text);
    } else if (s->source == GRAY_SOURCE_HEADER) {
        quote_header(out, name, id);
    }
    snprintf(text, sizeof(text), "%.400s%.8000s",
             url != NULL ? url : "http://127.0.0.1",
             s->source == GRAY_SOURCE_QUERY || s->source == GRAY_SOURCE_SEGMENT
                 ? target_with(s, id)
                 : s->request.path);
    fputc(' ', out);
    quote(out, text);
    if (s->source == GRAY_SOURCE_ADDRESS) {
        fprintf(out, " # from %s", id);
    } else if (s->source == GRAY_SOURCE_ATTR) {
        fprintf(out, " # as whoever makes attribute %s = %s", name, id);
    }
    fclose(out);
    return line;
}

static void keep(struct sampler *s, json_t *list, const char *id,
                 const struct gray_verdict *verdict)
{
    CLI_CLEANUP(string_freep) char *line = curl_line(s, id);

    json_array_append_new(
        list, json_pack("{s:s,s:s,s:o,s:s}", "id", id, "reason",
                        gray_reason_code(verdict->reason), "bucket",
                        verdict->bucket != GRAY_NONE
                            ? json_integer(verdict->bucket)
                            : json_null(),
                        "curl", line != NULL ? line : ""));
}

/* ---- the search ------------------------------------------------------------------------ */

/* The next id to try: a line of the file, or a number; an address where the
 * unit is one. NULL when there is none left. */
static const char *next_id(struct sampler *s, char buffer[64])
{
    uint64_t number = s->tried + 1;
    int got;

    if (s->file == NULL) {
        if (s->source == GRAY_SOURCE_ADDRESS) {
            snprintf(buffer, 64, "10.%u.%u.%u", (unsigned)(number >> 16) & 255,
                     (unsigned)(number >> 8) & 255, (unsigned)number & 255);
        } else {
            snprintf(buffer, 64, "%llu", (unsigned long long)number);
        }
        return buffer;
    }
    while ((got = port_line(s->file, arguments_get(s->arguments, CLI_IDS),
                            CLI_ID_MAX, &s->line)) > 0) {
        size_t length = strlen(s->line.text);

        if (length > 0 && length < CLI_ID_MAX) {
            return s->line.text;
        }
    }
    s->failed = got < 0;
    return NULL;
}

static void search(struct sampler *s)
{
    char buffer[64], cookie[2 * CLI_ID_MAX];
    const char *id;

    while (s->tried < SAMPLE_TRIES_MAX &&
           (json_array_size(s->in) < s->wanted ||
            json_array_size(s->out) < s->wanted) &&
           (id = next_id(s, buffer)) != NULL) {
        struct gray_verdict verdict = { 0 };
        bool in = decide(s, id, cookie, sizeof(cookie), &verdict);
        json_t *list = in ? s->in : s->out;

        s->tried++;
        s->reasons[verdict.reason]++;
        if (json_array_size(list) < s->wanted) {
            keep(s, list, id, &verdict);
        }
    }
}

static void add_rows(struct table *table, const char *head, json_t *list)
{
    json_t *row;
    size_t i;

    json_array_foreach(list, i, row) {
        json_t *bucket = json_object_get(row, "bucket");

        table_cell(table, "%s", head);
        table_cell(table, "%s", json_string_value(json_object_get(row, "id")));
        if (json_is_integer(bucket)) {
            table_cell(table, "%lld", (long long)json_integer_value(bucket));
        } else {
            table_cell(table, "-");
        }
        table_cell(table, "%s",
                   json_string_value(json_object_get(row, "reason")));
        table_cell(table, "%s",
                   json_string_value(json_object_get(row, "curl")));
    }
}

static void print_rows(const struct sampler *s)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(5);
    const char *const heads[] = { "", "ID", "BUCKET", "REASON", "TRY" };

    for (int i = 0; i < 5; i++) {
        table_cell(table, "%s", heads[i]);
    }
    table_right(table, 2);
    add_rows(table, "in", s->in);
    add_rows(table, "out", s->out);
    table_print(table, stdout);
}

static void say_missing(const struct sampler *s, const char *what,
                        json_t *list)
{
    if (json_array_size(list) >= s->wanted) {
        return;
    }
    complain("%zu of %zu ids wanted are %s after %llu tries; why:",
             json_array_size(list), s->wanted, what,
             (unsigned long long)s->tried);
    for (unsigned i = 0; i < 256; i++) {
        if (s->reasons[i] > 0) {
            fprintf(stderr, "  %10llu  %s\n",
                    (unsigned long long)s->reasons[i],
                    gray_reason_sentence((enum gray_reason)i));
        }
    }
}

static int prepare(struct sampler *s)
{
    const char *ids = arguments_get(s->arguments, CLI_IDS);
    CLI_CLEANUP(json_freep) json_t *root = request_options(s->arguments);
    struct request_problem problem;
    double count = 5;
    int status = arguments_number(s->arguments, CLI_COUNT, 1, SAMPLE_COUNT_MAX,
                                  &count);

    if (status != 0 || root == NULL) {
        return status != 0 ? status : CLI_EXIT_USAGE;
    }
    s->wanted = (size_t)count;
    if (request_from_json(&s->request, root, &problem) != 0) {
        complain("%s [%s]", problem.sentence, problem.code);
        return CLI_EXIT_USAGE;
    }
    status = policy_load(&s->policy, s->arguments);
    if (status != 0) {
        return status;
    }
    s->release =
        release_find(s->policy.view->policy, s->arguments->operands[0]);
    if (s->release == GRAY_NONE) {
        return CLI_EXIT_NOT_FOUND;
    }
    if (ids != NULL && (s->file = port_open(ids)) == NULL) {
        return CLI_EXIT_SYSTEM;
    }
    return find_unit(s);
}

int command_sample(const struct arguments *arguments)
{
    CLI_CLEANUP(sampler_free) struct sampler s = {
        .arguments = arguments, .in = json_array(), .out = json_array()
    };
    int status = prepare(&s);

    if (status != 0) {
        return status;
    }
    search(&s);
    if (s.failed) {
        return CLI_EXIT_SYSTEM;
    }
    if (arguments_json(arguments)) {
        json_print(json_pack("{s:s,s:I,s:O,s:O}", "release",
                             arguments->operands[0], "tried",
                             (json_int_t)s.tried, "in", s.in, "out", s.out),
                   JSON_INDENT(2));
    } else {
        print_rows(&s);
    }
    say_missing(&s, "in", s.in);
    say_missing(&s, "out", s.out);
    return CLI_EXIT_OK;
}
