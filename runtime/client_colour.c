/* SPDX-License-Identifier: Apache-2.0
 * client_colour.c - the colour as an application receives and sends it.
 *
 * Why: between two hops of ours stand programs, and a lane ends where one of
 * them forgets it.  So a program gets from its headers what the gateway gets
 * from the same ones, and hands on what the gateway would.
 * Read next: engine/colour.c, engine/aliases.def, client_ask.c.
 */
#include <errno.h>
#include <string.h>

#include "runtime/client.h"

static struct gray_str str_of(const char *text)
{
    struct gray_str str = {text != NULL ? text : "", 0};

    str.length = (uint32_t)strnlen(str.data, 65536);
    return str;
}

static char fold(char c)
{
    return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool same_name(struct gray_str a, struct gray_str b)
{
    uint32_t i;

    for (i = 0; i < a.length && i < b.length; i++) {
        if (fold(a.data[i]) != fold(b.data[i])) {
            return false;
        }
    }
    return a.length == b.length;
}

/* ---- what came in ----------------------------------------------------------
 */

struct incoming {
    struct gray_carried carried; /* of the header with gray members */
    bool has_carried, has_lane;
    struct gray_str lane, alias;
};

/* Did a header of this name stand before this one? */
static bool stood_before(const struct gray_client_pair *headers, size_t at)
{
    struct gray_str name = str_of(headers[at].name);
    size_t i;

    for (i = 0; i < at; i++) {
        if (same_name(str_of(headers[i].name), name)) {
            return true;
        }
    }
    return false;
}

static int take_baggage(struct incoming *in, struct gray_str value)
{
    struct gray_carried other;
    struct gray_carried *to = in->has_carried ? &other : &in->carried;

    if (gray_baggage_read(value, to) != 0 ||
        (in->has_carried && to->seen != 0)) {
        return -EBADMSG;
    }
    in->has_carried |= to->seen != 0;
    return 0;
}

static int take_header(struct incoming *in,
                       const struct gray_client_pair *headers, size_t at)
{
    static const struct gray_str ours = {"x-gray-", 7};
    struct gray_str name = str_of(headers[at].name);
    struct gray_str value = str_of(headers[at].value);

    switch (gray_header_kind(name)) {
    case GRAY_HEADER_LANE:
        if (in->has_lane) {
            return -EBADMSG;
        }
        in->has_lane = true;
        in->lane = value;
        return 0;
    case GRAY_HEADER_BAGGAGE:
        return take_baggage(in, value);
    case GRAY_HEADER_FORGED:
        if (stood_before(headers, at)) {
            return -EBADMSG;
        }
        if (in->alias.length == 0 &&
            (name.length < ours.length ||
             !same_name((struct gray_str){name.data, ours.length}, ours))) {
            in->alias = value;
        }
        return 0;
    default:
        return 0;
    }
}

/* The lane of the header, else of baggage, else of another house. */
static int choose_lane(const struct incoming *in, struct gray_str *ret_lane)
{
    struct gray_str carried =
        in->has_carried ? in->carried.lane : (struct gray_str){"", 0};
    struct gray_str lane = in->lane.length > 0  ? in->lane
                           : carried.length > 0 ? carried
                                                : in->alias;

    if (in->lane.length > 0 && carried.length > 0 &&
        (in->lane.length != carried.length ||
         memcmp(in->lane.data, carried.data, carried.length) != 0)) {
        return -EBADMSG;
    }
    *ret_lane = gray_lane_sound(lane) ? lane : (struct gray_str){"", 0};
    return 0;
}

static const char *const class_words[GRAY_CLASS_COUNT] = {"live", "shadow",
                                                          "load", "rehearsal"};

static const char *class_of(struct gray_str word)
{
    uint32_t i;

    for (i = 0; i < GRAY_CLASS_COUNT; i++) {
        if (word.length == strlen(class_words[i]) &&
            memcmp(word.data, class_words[i], word.length) == 0) {
            return class_words[i];
        }
    }
    return class_words[GRAY_CLASS_LIVE];
}

int gray_client_incoming(const struct gray_client_pair *headers,
                         size_t header_count,
                         struct gray_client_colour *ret_colour)
{
    struct gray_client_colour colour = {.size = sizeof(colour)};
    struct gray_str lane, arms = {"", 0}, word = {"", 0};
    struct incoming in = {.has_carried = false};
    int error = 0;
    size_t i;

    if (ret_colour->size != sizeof(colour)) {
        return -EINVAL;
    }
    for (i = 0; i < header_count && error == 0; i++) {
        error = take_header(&in, headers, i);
    }
    if (error == 0) {
        error = choose_lane(&in, &lane);
    }
    if (error != 0) {
        return error;
    }
    if (in.has_carried) {
        arms = in.carried.arms;
        word = in.carried.traffic_class;
    }
    runtime_client_text(colour.lane, sizeof(colour.lane), lane);
    if (arms.length < sizeof(colour.arms)) { /* none half */
        runtime_client_text(colour.arms, sizeof(colour.arms), arms);
    }
    strcpy(colour.traffic_class, class_of(word));
    *ret_colour = colour;
    return 0;
}

/* ---- what goes on ----------------------------------------------------------
 */

static int read_class(const char *word, enum gray_class *ret_class)
{
    uint32_t i;

    for (i = 0; i < GRAY_CLASS_COUNT; i++) {
        if (word == NULL || word[0] == '\0' ||
            strcmp(word, class_words[i]) == 0) {
            *ret_class = (enum gray_class)i;
            return 0;
        }
    }
    return -EINVAL;
}

static void put(struct gray_client_headers *out, const char *name,
                const char *value)
{
    out->headers[out->count].name = name;
    out->headers[out->count].value = value;
    out->count++;
}

/* Every name of the list, each once; -EINVAL: it is none of aliases.def. */
static int put_aliases(struct gray_client_headers *out, const char *list,
                       const char *lane)
{
    static const char *const names[] = {
#define GRAY_ALIAS(name, house) name,
#include "engine/aliases.def"
#undef GRAY_ALIAS
    };
    uint32_t i, taken = 0;

    while (*list != '\0') {
        struct gray_str one = {list, (uint32_t)strcspn(list, ",")};

        for (i = 0; i < sizeof(names) / sizeof(names[0]) &&
                    !same_name(one, str_of(names[i]));
             i++) {
        }
        if (i == sizeof(names) / sizeof(names[0])) {
            return -EINVAL;
        }
        if (lane[0] != '\0' && (taken >> i & 1) == 0) {
            put(out, names[i], lane);
        }
        taken |= 1u << i;
        list += one.length;
        list += *list == ',';
    }
    return 0;
}

static bool same_text(struct gray_str a, struct gray_str b)
{
    return a.length == b.length &&
           (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Does it say that very colour already?  Then it goes on as it came, as through
 * the gateway. */
static bool says_so(struct gray_str baggage, struct gray_str lane,
                    struct gray_str arms, enum gray_class class)
{
    struct gray_carried carried;

    return gray_baggage_read(baggage, &carried) == 0 &&
           (carried.seen != 0 || (lane.length == 0 && arms.length == 0 &&
                                  class == GRAY_CLASS_LIVE)) &&
           same_text(carried.lane, lane) && same_text(carried.arms, arms) &&
           class_of(carried.traffic_class) == class_words[class];
}

static size_t write_baggage(struct gray_str baggage, struct gray_str lane,
                            const char *arms_text, enum gray_class class,
                            char *buffer, size_t size)
{
    struct gray_str arms = str_of(arms_text);

    if (baggage.length <= size && says_so(baggage, lane, arms, class)) {
        memcpy(buffer, baggage.data, baggage.length);
        return baggage.length;
    }
    return gray_baggage_write(baggage, lane, arms, class, buffer, size);
}

int gray_client_outgoing(const char *baggage, const char *lane,
                         const char *arms, const char *traffic_class,
                         const char *aliases,
                         struct gray_client_headers *ret_headers)
{
    struct gray_client_headers *out = ret_headers;
    struct gray_str name = str_of(lane);
    enum gray_class class;
    size_t length;
    char *rest;

    if (out->size != sizeof(*out) || read_class(traffic_class, &class) != 0 ||
        !gray_lane_sound(name)) {
        return -EINVAL;
    }
    out->count = 0;
    memcpy(out->text, name.data, name.length);
    out->text[name.length] = '\0';
    if (name.length > 0) {
        put(out, "x-gray-lane", out->text);
    }
    if (put_aliases(out, aliases != NULL ? aliases : "", out->text) != 0) {
        out->count = 0;
        return -EINVAL;
    }
    rest = out->text + name.length + 1;
    length = write_baggage(str_of(baggage), name, arms, class, rest,
                           sizeof(out->text) - (size_t)(rest - out->text) - 1);
    rest[length] = '\0';
    if (length > 0) {
        put(out, "baggage", rest);
    }
    return 0;
}
