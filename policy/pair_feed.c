/* SPDX-License-Identifier: Apache-2.0
 * pair_feed.c - a request made of choices, loose or as a reader would read it.
 *
 * Why: a drop that was found in the loose form is believed when the very
 * functions that readers use, fed with a request that somebody could send, say
 * it too.  The same request in words is what a person is shown.
 * Read next: exact.c.
 */
#include "policy/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/parse.h"

static struct model_text too_long(void)
{
    static char text[GRAY_VALUE_MAX + 1];

    if (text[0] == '\0') {
        memset(text, 'x', sizeof(text));
    }
    return (struct model_text){text, sizeof(text)};
}

/* Value number `i` of what stands in an attribute. */
static struct model_text value_of(const struct pair *pair,
                                  const struct pair_request *request,
                                  uint32_t number, uint32_t i)
{
    const struct pair_attribute *attribute = &pair->attributes[number];
    uint32_t value = attribute->choices[request->choice[number]].values[i];

    if (i == 0 && request->instead[number].data != NULL) {
        return request->instead[number];
    }
    return value == PAIR_LONG ? too_long()
                              : attribute->classes.items[value].text;
}

static uint32_t count_of(const struct pair *pair,
                         const struct pair_request *request, uint32_t number)
{
    return pair->attributes[number].choices[request->choice[number]].count;
}

static bool is_unit(struct model_text value)
{
    return value.length > 0 && value.length <= GRAY_VALUE_MAX;
}

uint32_t pair_unit_of(const struct pair *pair, int side,
                      const struct pair_request *request)
{
    const struct model_release *release = pair->real[side].release;
    uint32_t issued = pair_attribute(pair, GRAY_SOURCE_UNIT, "");

    for (uint32_t i = 0; i < release->unit_count; i++) {
        uint32_t number = pair_attribute(pair, release->units[i].source,
                                         release->units[i].name.data);

        for (uint32_t k = 0; k < count_of(pair, request, number); k++) {
            if (is_unit(value_of(pair, request, number, k))) {
                return number;
            }
        }
    }
    return release->anonymous == GRAY_ANONYMOUS_COOKIE &&
                   issued < PAIR_ATTRIBUTES_MAX &&
                   count_of(pair, request, issued) > 0
               ? issued
               : PAIR_ATTRIBUTES_MAX;
}

bool pair_address(struct model_text text, uint8_t ret_bytes[16])
{
    char copy[64];
    uint8_t last[16];
    bool loose;

    if (text.length >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return strchr(copy, '/') == NULL &&
           gray_parse_network(copy, ret_bytes, last, &loose);
}

/* ---- loose -------------------------------------------------------------------------- */

static void give_loose(struct gray_input *in, const char *slot,
                       struct model_text value)
{
    gray_input_named(in, GRAY_SOURCE_ATTR,
                     (struct gray_str){slot, (uint32_t)strlen(slot)},
                     (struct gray_str){value.data, value.length});
}

static void give_attribute(const struct pair *pair,
                           const struct pair_request *request,
                           uint32_t number, struct gray_input *in)
{
    const struct pair_attribute *attribute = &pair->attributes[number];

    for (uint32_t i = 0; i < count_of(pair, request, number); i++) {
        struct model_text value = value_of(pair, request, number, i);
        uint8_t address[16];

        if (attribute->source == GRAY_SOURCE_UNIT) {
            gray_input_named(in, GRAY_SOURCE_UNIT,
                             (struct gray_str){NULL, 0},
                             (struct gray_str){value.data, value.length});
        } else if (attribute->source != GRAY_SOURCE_ADDRESS) {
            give_loose(in, attribute->slot, value);
        } else if (pair_address(value, address)) {
            gray_input_address(in, address);
        }
    }
}

/* The bucket of a cell, where there is anything to draw it from. */
static void give_bucket(const struct pair *pair, int side,
                        const struct pair_request *request, uint32_t number,
                        struct gray_input *in, char room[GRAY_DIGITS])
{
    const struct pair_hash *hash = &pair->hashes[number];
    uint32_t cell = request->cell[number];
    uint32_t of = hash->attribute;
    const char *digits =
        gray_digits(cell == 0 ? 0 : hash->limits[cell - 1], room);

    if (of == PAIR_UNIT) {
        if (pair_unit_of(pair, side, request) == PAIR_ATTRIBUTES_MAX) {
            return;
        }
    } else if (count_of(pair, request, of) == 0 ||
               value_of(pair, request, of, 0).length > GRAY_VALUE_MAX) {
        return;
    }
    give_loose(in, hash->slot,
               (struct model_text){digits, (uint32_t)strlen(digits)});
}

static void set_stage(const struct pair *pair,
                      const struct pair_request *request,
                      struct gray_input *in)
{
    const char *name = pair->stages[request->stage];

    if (name != NULL) {
        in->stage = (struct gray_str){name, (uint32_t)strlen(name)};
    }
}

void pair_set_cell(struct pair *pair, int side, uint32_t cell)
{
    struct pair_side *of = &pair->loose[side];
    const struct pair_hash *hash = &pair->hashes[of->hash];
    uint32_t least = cell == 0 ? 0 : hash->limits[cell - 1];
    const struct model_release *release = of->release;
    uint8_t *base = of->compiled.policy.data; /* ours to write to */
    const struct gray_policy *policy = of->snapshot.policy;
    struct gray_release *own = (void *)(base + policy->releases.offset);
    struct gray_stage *stages = (void *)(base + policy->stages.offset);

    own->share = least < release->share ? GRAY_SHARE_ALL : 0;
    for (uint32_t i = 0; i < policy->stages.count; i++) {
        stages[i].share =
            least < release->stages[i].share ? GRAY_SHARE_ALL : 0;
    }
}

void pair_ask_loose(struct pair *pair, int side,
                    const struct pair_request *request,
                    struct gray_verdict *ret_verdict)
{
    struct pair_side *of = &pair->loose[side];
    char rooms[PAIR_HASHES_MAX][GRAY_DIGITS];
    struct gray_input in;

    gray_input_begin(&in, &of->snapshot, pair->instants[request->instant], 0);
    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        give_attribute(pair, request, i, &in);
    }
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        give_bucket(pair, side, request, i, &in, rooms[i]);
    }
    set_stage(pair, request, &in);
    gray_decide_release(&of->view, 0, &in, NULL, NULL, ret_verdict, NULL);
}

/* ---- as it would be sent --------------------------------------------------------------- */

struct sent {
    struct gray_buffer target, query, cookies;
    bool path, grpc;
};

static void put_escaped(struct gray_buffer *to, struct model_text text)
{
    for (uint32_t i = 0; i < text.length; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        char escaped[4];

        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
            (byte >= '0' && byte <= '9')) {
            gray_buffer_put(to, &text.data[i], 1);
        } else {
            snprintf(escaped, sizeof(escaped), "%%%02x", byte);
            gray_buffer_text(to, escaped);
        }
    }
}

static void put_segments(const struct pair *pair,
                         const struct pair_request *request,
                         struct sent *sent)
{
    for (uint32_t n = 1; n <= GRAY_SEGMENTS_MAX; n++) {
        char name[8];
        uint32_t number;

        snprintf(name, sizeof(name), "%u", n);
        number = pair_attribute(pair, GRAY_SOURCE_SEGMENT, name);
        if (number < PAIR_ATTRIBUTES_MAX &&
            count_of(pair, request, number) > 0) {
            struct model_text value = value_of(pair, request, number, 0);

            while (n > 1 && sent->target.length == 0) {
                gray_buffer_text(&sent->target, "/-"); /* what stands before */
            }
            gray_buffer_text(&sent->target, "/");
            gray_buffer_put(&sent->target, value.data, value.length);
        } else if (sent->target.length > 0 || n == 1) {
            /* A segment behind it may still come: one that says nothing. */
            bool more = false;

            for (uint32_t i = 0; i < pair->attribute_count; i++) {
                const struct pair_attribute *a = &pair->attributes[i];

                more |= a->source == GRAY_SOURCE_SEGMENT &&
                        (uint32_t)strtoul(a->name.data, NULL, 10) > n &&
                        count_of(pair, request, i) > 0;
            }
            if (!more) {
                break;
            }
            gray_buffer_text(&sent->target, "/-");
        }
    }
}

static void put_pair(struct gray_buffer *to, const char *between,
                     struct model_text name, struct model_text value,
                     bool escape)
{
    if (to->length > 0) {
        gray_buffer_text(to, between);
    }
    if (escape) {
        put_escaped(to, name);
    } else {
        gray_buffer_put(to, name.data, name.length);
    }
    gray_buffer_text(to, "=");
    if (escape) {
        put_escaped(to, value);
    } else {
        gray_buffer_put(to, value.data, value.length);
    }
}

static void send_header(struct gray_input *in, const char *name,
                        struct model_text value)
{
    struct gray_str text = {name, (uint32_t)strlen(name)};

    gray_input_header(in, gray_hash_name(name, text.length), text,
                      (struct gray_str){value.data, value.length});
}

static void send_value(const struct pair *pair,
                       const struct pair_request *request, uint32_t number,
                       uint32_t i, struct sent *sent, struct gray_input *in)
{
    const struct pair_attribute *attribute = &pair->attributes[number];
    struct model_text value = value_of(pair, request, number, i);
    struct gray_str text = {value.data, value.length};
    struct gray_str name = {attribute->name.data, attribute->name.length};
    uint8_t address[16];

    switch (attribute->source) {
    case GRAY_SOURCE_METHOD:
        gray_input_method(in, text);
        break;
    case GRAY_SOURCE_HOST:
        gray_input_host(in, text);
        break;
    case GRAY_SOURCE_PATH:
        gray_buffer_put(&sent->target, value.data, value.length);
        break;
    case GRAY_SOURCE_HEADER:
        send_header(in, attribute->name.data, value);
        break;
    case GRAY_SOURCE_COOKIE:
        put_pair(&sent->cookies, "; ", attribute->name, value, false);
        break;
    case GRAY_SOURCE_QUERY:
        put_pair(&sent->query, "&", attribute->name, value, true);
        break;
    case GRAY_SOURCE_ADDRESS:
        if (pair_address(value, address)) {
            gray_input_address(in, address);
        }
        break;
    case GRAY_SOURCE_GRPC_SERVICE:
    case GRAY_SOURCE_GRPC_METHOD:
        gray_buffer_text(&sent->target, "/");
        gray_buffer_put(&sent->target, value.data, value.length);
        sent->grpc = true;
        break;
    case GRAY_SOURCE_SEGMENT:
        break; /* all together */
    default:
        gray_input_named(in, (enum gray_source)attribute->source, name, text);
        break;
    }
}

void pair_ask_real(struct pair *pair, int side,
                   const struct pair_request *request, gray_mark_fn marks,
                   void *context, struct gray_verdict *ret_verdict)
{
    struct pair_side *of = &pair->real[side];
    struct sent sent = {.target = {.arena = pair->arena},
                        .query = {.arena = pair->arena},
                        .cookies = {.arena = pair->arena}};
    struct gray_input in;

    gray_input_begin(&in, &of->snapshot, pair->instants[request->instant], 0);
    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        for (uint32_t k = 0; k < count_of(pair, request, i); k++) {
            send_value(pair, request, i, k, &sent, &in);
        }
    }
    if (sent.target.length == 0) {
        put_segments(pair, request, &sent);
    }
    if (sent.query.length > 0) {
        gray_buffer_text(&sent.target, "?");
        gray_buffer_put(&sent.target, sent.query.data, sent.query.length);
    }
    if (sent.grpc) {
        send_header(&in, "content-type",
                    (struct model_text){"application/grpc", 16});
    }
    if (sent.target.length > 0) {
        gray_input_target(&in, (struct gray_str){
                                   sent.target.data,
                                   (uint32_t)sent.target.length});
    }
    if (sent.cookies.length > 0) {
        send_header(&in, "cookie",
                    (struct model_text){sent.cookies.data,
                                        (uint32_t)sent.cookies.length});
    }
    set_stage(pair, request, &in);
    gray_decide_release(&of->view, 0, &in, marks, context, ret_verdict, NULL);
}

/* ---- in words -------------------------------------------------------------------------- */

static void put_words(struct gray_buffer *to, const struct pair *pair,
                      const struct pair_request *request, uint32_t number)
{
    const struct pair_attribute *attribute = &pair->attributes[number];
    bool issued = attribute->source == GRAY_SOURCE_UNIT;

    gray_buffer_text(to, to->length > 0 ? ", " : "");
    gray_buffer_text(to, issued ? "issued id"
                                : gray_source_word(attribute->source));
    if (attribute->name.length > 0) {
        gray_buffer_text(to, attribute->source == GRAY_SOURCE_SEGMENT
                                 ? " segment "
                                 : " ");
        gray_buffer_put(to, attribute->name.data, attribute->name.length);
    }
    for (uint32_t i = 0; i < count_of(pair, request, number); i++) {
        struct model_text value = value_of(pair, request, number, i);

        gray_buffer_text(to, i == 0 ? " " : " and ");
        if (value.length > GRAY_VALUE_MAX) {
            gray_buffer_text(to, "longer than 1,024 bytes");
            continue;
        }
        gray_buffer_text(to, "\"");
        gray_buffer_put(to, value.data,
                        value.length < 80 ? value.length : 80);
        gray_buffer_text(to, value.length < 80 ? "\"" : "...\"");
    }
}

const char *pair_words(const struct pair *pair,
                       const struct pair_request *request)
{
    struct gray_buffer text = {.arena = pair->arena};
    const char *stage = pair->stages[request->stage];

    gray_buffer_room(&text, 1);
    for (int round = 0; round < 2; round++) { /* the unit first */
        for (uint32_t i = 0; i < pair->attribute_count; i++) {
            if (count_of(pair, request, i) > 0 &&
                pair->attributes[i].unit == (round == 0)) {
                put_words(&text, pair, request, i);
            }
        }
    }
    if (pair->time_count > 0) {
        const char *moment = gray_moment_text(
            pair->arena, pair->instants[request->instant]);

        gray_buffer_text(&text, text.length > 0 ? ", at " : "at ");
        gray_buffer_text(&text, moment != NULL ? moment : "some moment");
    }
    if (stage != NULL) {
        gray_buffer_text(&text, text.length > 0 ? ", stage " : "stage ");
        gray_buffer_text(&text, stage);
    }
    return text.length > 0 ? text.data : "a request without anything";
}

/* ---- outcomes --------------------------------------------------------------------------- */

static bool names_ids(const struct model_rule *rule)
{
    const struct cond *when = rule->when;

    return when != NULL && when->kind == COND_TEST &&
           when->source == GRAY_SOURCE_UNIT &&
           (when->op == GRAY_CONDITION_EXACT ||
            when->op == GRAY_CONDITION_IN || when->op == GRAY_CONDITION_LIST);
}

enum pair_outcome pair_outcome(const struct pair_side *before,
                               const struct gray_verdict *old,
                               const struct pair_side *after,
                               const struct gray_verdict *now)
{
    if (!old->in || now->in || old->reason == GRAY_REASON_RANDOM) {
        return PAIR_KEPT;
    }
    if (old->reason == GRAY_REASON_ALLOW &&
        !before->release->allow[old->rule - before->first_allow].writes) {
        return PAIR_SINGLE;
    }
    if (now->reason == GRAY_REASON_DENY &&
        names_ids(&after->release->deny[now->rule - after->first_deny])) {
        return PAIR_DENIED;
    }
    return PAIR_DROPPED;
}
