/* SPDX-License-Identifier: Apache-2.0
 * invent_request.c - see invent.h: requests.
 *
 * Why: each attribute is mostly there, sometimes missing, sometimes twice or
 * too long; colours come in known, unknown and damaged.  Values have no blanks
 * at their ends where HTTP would cut them off, so that the same line means the
 * same thing to the gateway.
 * Read next: invent_values.c.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/story/invent_values.h"

static char *keep(struct invented *in, const char *text)
{
    size_t length = strlen(text) + 1;
    char *room = in->room + in->used;

    assert(in->used + length <= INVENT_ROOM);
    memcpy(room, text, length);
    in->used += (uint32_t)length;
    return room;
}

static void add_header(struct invented *in, const char *name, const char *value)
{
    struct brute_request *r = &in->request;

    assert(r->header_count < BRUTE_PAIRS);
    r->headers[r->header_count].name = name;
    r->headers[r->header_count++].value = keep(in, value);
}

static void add_pair(struct invented *in, struct brute_pair *pairs,
                     uint32_t *count, enum world_number world, struct dice *d)
{
    char room[WORLD_ROOM];

    if (dice_one_in(d, 4)) {
        return;
    }
    pairs[*count].name = worlds[world].name;
    pairs[(*count)++].value = keep(in, world_value(world, d, room));
}

static void encode(const char *value, char *to, struct dice *d)
{
    for (; *value != '\0'; value++) {
        bool plain = (*value >= 'a' && *value <= 'z') ||
                     (*value >= '0' && *value <= '9') || *value == '-' ||
                     *value == '.';

        to += sprintf(to, !plain || dice_one_in(d, 12) ? "%%%02X" : "%c",
                      (unsigned char)*value);
    }
    *to = '\0';
}

static void invent_target(struct invented *in, struct dice *d)
{
    char target[3 * GRAY_VALUE_MAX], room[WORLD_ROOM], value[256];
    char *at = target;

    at += sprintf(at, "%s", world_value(W_PATH, d, room));
    if (dice_one_in(d, 3)) {
        at += sprintf(at, "?z");
    } else {
        at += sprintf(at, "?a=1&&=2");
    }
    if (!dice_one_in(d, 4)) {
        encode(world_value(W_ID, d, room), value, d);
        at += sprintf(at, "&%s=%s", dice_one_in(d, 8) ? "i%64" : "id", value);
    }
    if (!dice_one_in(d, 4)) {
        encode(world_value(W_WORD, d, room), value, d);
        at += sprintf(at, "&q=%s", value);
    }
    if (dice_one_in(d, 8)) {
        at += sprintf(at, "&id=second&q");
    }
    if (dice_one_in(d, 30)) {
        at += sprintf(at, "#id=3");
    }
    in->request.target = dice_one_in(d, 100) ? keep(in, "*") : keep(in, target);
}

static void invent_cookies(struct invented *in, struct dice *d)
{
    char header[512], room[WORLD_ROOM], *at = header;

    *at = '\0';
    if (dice_one_in(d, 3)) {
        at += sprintf(at, "theme=dark; ");
    }
    if (!dice_one_in(d, 4)) {
        at += sprintf(at, "uid=%s; ", world_value(W_UID, d, room));
    }
    if (!dice_one_in(d, 3)) {
        at += sprintf(at, "ab=%s;", world_value(W_AB, d, room));
    }
    if (dice_one_in(d, 10)) {
        at += sprintf(at, " uid=second; uid");
    }
    if (at > header && at[-1] == ' ') {
        *--at = '\0';
    }
    if (at > header) {
        add_header(in, "cookie", header);
    }
}

static void invent_headers(struct invented *in, struct dice *d)
{
    static const enum world_number headers[] = {W_USER, W_NUMBER, W_VERSION,
                                                W_DATE, W_PLAN};
    char room[WORLD_ROOM], big[GRAY_VALUE_MAX + 2];
    uint32_t i, k, times;

    for (i = 0; i < 5; i++) {
        const char *name = worlds[headers[i]].name;

        times = dice_one_in(d, 5) ? 0 : dice_one_in(d, 12) ? 2 : 1;
        for (k = 0; k < times; k++) {
            add_header(in, name, world_value(headers[i], d, room));
        }
    }
    if (dice_one_in(d, 100)) {
        memset(big, 'a', sizeof(big));
        big[GRAY_VALUE_MAX + dice_below(d, 2)] = '\0';
        add_header(in, worlds[W_USER].name, big);
    }
    if (dice_one_in(d, 2)) {
        add_header(in, "content-type",
                   dice_one_in(d, 2)   ? "application/grpc"
                   : dice_one_in(d, 2) ? "Application/gRPC+proto"
                                       : "application/json");
    }
}

static void invent_colour(struct invented *in, struct dice *d)
{
    static const char *const arms[] = {"release-0",
                                       "release-1:a",
                                       "release-2:b,release-0",
                                       "release-3",
                                       "far-1,release-1:b",
                                       "release-1:zzz,:,,x:y:z",
                                       "release-0,release-0",
                                       "release-4:a,release-5:b,release-2"};
    char room[WORLD_ROOM];
    struct brute_request *r = &in->request;

    if (dice_one_in(d, 8)) {
        r->lane = keep(in, world_value(W_LANE, d, room));
    }
    if (dice_one_in(d, 8)) {
        r->arms = arms[dice_below(d, 8)];
    }
    r->traffic_class = GRAY_CLASS_LIVE;
    if (dice_one_in(d, 20)) {
        r->traffic_class = (uint8_t)dice_below(d, GRAY_CLASS_COUNT);
    }
}

static void invent_host(struct invented *in, struct dice *d)
{
    char room[WORLD_ROOM], host[64];

    snprintf(host, sizeof(host), "%s%s", world_value(W_HOST, d, room),
             dice_one_in(d, 3) ? ":8080" : "");
    if (dice_one_in(d, 5)) {
        host[0] = host[0] == 's' ? 'S' : host[0];
    }
    in->request.host = keep(in, host);
}

void invent_request(struct invented *in, struct dice *d)
{
    static const char *const stages[] = {"stage-0", "stage-1", "stage-2",
                                         "elsewhere"};
    struct brute_request *r = &in->request;
    char room[WORLD_ROOM];

    memset(r, 0, sizeof(*r));
    in->used = 0;
    in->entrance = dice_one_in(d, 4)    ? "shop-web"
                   : dice_one_in(d, 20) ? NULL
                                        : "";
    r->method = world_value(W_METHOD, d, room);
    invent_host(in, d);
    invent_target(in, d);
    invent_headers(in, d);
    invent_cookies(in, d);
    if (!dice_one_in(d, 10)) {
        r->source = world_value(W_ADDRESS, d, room);
    }
    add_pair(in, r->attrs, &r->attr_count, W_REGION, d);
    add_pair(in, r->attrs, &r->attr_count, W_LEVEL, d);
    add_pair(in, r->labels, &r->label_count, W_ZONE, d);
    if (dice_one_in(d, 6)) {
        add_pair(in, r->labels, &r->label_count, W_LANE, d);
    }
    if (!dice_one_in(d, 4)) {
        r->caller = world_value(W_CALLER, d, room);
    }
    if (dice_one_in(d, 3)) {
        r->anonymous = keep(in, "anon-17");
    }
    if (dice_one_in(d, 5)) {
        r->stage = stages[dice_below(d, 4)];
    }
    invent_colour(in, d);
    r->now = INVENT_NOW + (int64_t)(dice_roll(d) % (365ull * 86400 * 1000));
    r->random = dice_roll(d) >> 1; /* JSON's integers end at 2^63 */
}

/* ---- as a line ---------------------------------------------------------- */

static void add_word(struct text *t, const char *word)
{
    text_add_bytes(t, word, strlen(word));
}

/* ,"key": */
static void add_key(struct text *t, const char *key, bool first)
{
    add_word(t, first ? "\"" : ",\"");
    add_word(t, key);
    add_word(t, "\":");
}

static void write_pairs(struct text *t, const char *key,
                        const struct brute_pair *pairs, uint32_t count)
{
    uint32_t i;

    add_key(t, key, false);
    add_word(t, "{");
    for (i = 0; i < count; i++) {
        add_key(t, pairs[i].name, i == 0);
        text_add_json(t, pairs[i].value);
    }
    add_word(t, "}");
}

/* Values of one name stand together, in an array. */
static void write_headers(struct text *t, const struct brute_request *r)
{
    bool first = true, written[BRUTE_PAIRS] = {false};
    uint32_t i, k;

    add_word(t, ",\"headers\":{");
    for (i = 0; i < r->header_count; i++) {
        if (written[i]) {
            continue;
        }
        add_key(t, r->headers[i].name, first);
        first = false;
        for (k = i; k < r->header_count; k++) {
            if (strcmp(r->headers[k].name, r->headers[i].name) == 0) {
                add_word(t, k == i ? "[" : ",");
                text_add_json(t, r->headers[k].value);
                written[k] = true;
            }
        }
        add_word(t, "]");
    }
    add_word(t, "}");
}

static void write_text(struct text *t, const char *key, const char *value)
{
    if (value != NULL) {
        add_key(t, key, false);
        text_add_json(t, value);
    }
}

void invent_line(const struct invented *in, struct text *t)
{
    static const char *const classes[] = {"live", "shadow", "load",
                                          "rehearsal"};
    const struct brute_request *r = &in->request;

    add_word(t, "{\"method\":");
    text_add_json(t, r->method);
    write_text(t, "host", r->host);
    write_text(t, "path", r->target);
    write_headers(t, r);
    write_text(t, "source", r->source);
    write_pairs(t, "attrs", r->attrs, r->attr_count);
    write_pairs(t, "labels", r->labels, r->label_count);
    write_text(t, "caller", r->caller);
    write_text(t, "entrance", in->entrance);
    write_text(t, "lane", r->lane);
    write_text(t, "arms", r->arms);
    write_text(t, "class", classes[r->traffic_class]);
    text_add(t, ",\"now\":%lld,\"random\":%llu}\n", (long long)r->now,
             (unsigned long long)r->random);
}

void invent_write(const struct invented *in, FILE *file)
{
    struct text t = {NULL, 0, 0};

    invent_line(in, &t);
    fwrite(t.data, 1, t.length, file);
    free(t.data);
}
