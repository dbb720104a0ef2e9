/* SPDX-License-Identifier: Apache-2.0
 * input.c - what a decision wants to know of one request.
 *
 * Why: a policy looks at a handful of attributes, a request carries dozens.
 * Here only those that some rule looks at are picked out, once, as pairs of
 * slot and bytes that still lie where the caller has them; a source that no
 * rule looks at costs one test of a bit.
 * Read next: view.h (slots), program.c (who reads the values), address.c.
 */
#include <string.h>

#include "engine/address.h"
#include "engine/engine.h"
#include "engine/view.h"

/* gray_hash_name() of the two headers that are taken apart; the test of this
 * file computes them again. */
#define HASH_COOKIE 0xaf400a64u
#define HASH_CONTENT_TYPE 0x2ed4600eu

void gray_input_begin(struct gray_input *in, const struct gray_snapshot *policy,
                      int64_t now_ms, uint64_t random)
{
    in->policy = policy;
    in->now = now_ms;
    in->random = random;
    in->value_count = 0;
    in->scratch_used = 0;
    in->traffic_class = GRAY_CLASS_LIVE;
    in->overflow = false;
    in->grpc = false;
    in->too_long = 0;
    in->address.known = false;
    in->path = (struct gray_str){ NULL, 0 };
    in->lane = (struct gray_str){ NULL, 0 };
    in->arms = (struct gray_str){ NULL, 0 };
    in->own_lane = (struct gray_str){ NULL, 0 };
    in->anonymous = (struct gray_str){ NULL, 0 };
    in->stage = (struct gray_str){ NULL, 0 };
    in->unproven = false;
    in->anonymous_used = false;
    in->present = 0;
}

/* The first of two bytes, or the end: eight at a time. */
static inline const char *find_either(const char *at, const char *end, char a,
                                      char b)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x80 * ones;
    for (; end - at >= 8; at += 8) {
        uint64_t word = view_load8(at);
        uint64_t x = word ^ (uint8_t)a * ones, y = word ^ (uint8_t)b * ones;
        uint64_t found = (((x - ones) & ~x) | ((y - ones) & ~y)) & highs;
        if (found != 0) {
            return at + __builtin_ctzll(found) / 8;
        }
    }
    while (at < end && *at != a && *at != b) {
        at++;
    }
    return at;
}

static void add_value(struct gray_input *in, uint32_t slot, const char *data,
                      uint32_t length)
{
    uint32_t number = in->value_count, bit = slot & 63;
    if (__builtin_expect(number == GRAY_VALUES_MAX, 0)) {
        in->overflow = true;
        return;
    }
    if (__builtin_expect(length > GRAY_VALUE_MAX, 0) &&
        in->too_long < UINT16_MAX) {
        in->too_long++;
    }
    in->values[number] =
        (struct gray_value){ .data = data, .slot = slot, .length = length };
    in->next[number] = GRAY_VALUES_MAX;
    in->value_count++;
    if ((in->present >> bit & 1) == 0) {
        in->present |= 1ull << bit;
        in->first[bit] = (uint8_t)number;
        return;
    }
    uint32_t last = in->first[bit];
    while (in->next[last] != GRAY_VALUES_MAX) {
        last = in->next[last];
    }
    in->next[last] = (uint8_t)number;
}

static bool has_value(const struct gray_input *in, uint32_t slot)
{
    return view_first(in, slot) != GRAY_VALUES_MAX;
}

/* A source without a name, such as the method. */
static void add_unnamed(struct gray_input *in, enum gray_source source,
                        struct gray_str value)
{
    uint32_t slot = in->policy->slot_of[source];
    if (slot != GRAY_NONE) {
        add_value(in, slot, value.data, value.length);
    }
}

void gray_input_method(struct gray_input *in, struct gray_str method)
{
    add_unnamed(in, GRAY_SOURCE_METHOD, method);
}

/* Room of the scratch; NULL when it is used up. */
static char *take_scratch(struct gray_input *in, uint32_t length)
{
    if (length > sizeof(in->scratch) - in->scratch_used) {
        return NULL;
    }
    char *room = in->scratch + in->scratch_used;
    in->scratch_used += length;
    return room;
}

static __attribute__((noinline)) void feed_host(struct gray_input *in,
                                                struct gray_str host)
{
    const char *end = NULL;
    if (host.data[0] == '[') {
        end = memchr(host.data, ']', host.length);
        end = end == NULL ? NULL : end + 1;
    } else {
        end = memchr(host.data, ':', host.length);
    }
    if (end != NULL) {
        host.length = (uint32_t)(end - host.data);
    }
    if (host.length > 0 && host.data[host.length - 1] == '.') {
        host.length--;
    }
    uint32_t i = 0;
    while (i < host.length &&
           view_lower((uint8_t)host.data[i]) == (uint8_t)host.data[i]) {
        i++;
    }
    if (i < host.length && host.length <= GRAY_VALUE_MAX) {
        char *lower = take_scratch(in, host.length);
        if (lower == NULL) {
            host.length = GRAY_VALUE_MAX + 1; /* unknown: matches nothing */
        } else {
            for (i = 0; i < host.length; i++) {
                lower[i] = (char)view_lower((uint8_t)host.data[i]);
            }
            host.data = lower;
        }
    }
    add_unnamed(in, GRAY_SOURCE_HOST, host);
}

void gray_input_host(struct gray_input *in, struct gray_str host)
{
    if (in->policy->slot_of[GRAY_SOURCE_HOST] != GRAY_NONE &&
        host.length != 0) {
        feed_host(in, host);
    }
}

/* "/a//b/" has the segments a, (empty), b: what ends the path with a slash is
 * no segment. */
static void feed_segments(struct gray_input *in)
{
    const char *at = in->path.data, *end = at + in->path.length;
    if (at == end || *at != '/') {
        return;
    }
    at++;
    for (uint32_t n = 1; at < end && n <= GRAY_SEGMENTS_MAX; n++) {
        const char *stop = memchr(at, '/', (size_t)(end - at));
        if (stop == NULL) {
            stop = end;
        }
        char name[2];
        uint32_t digits = n < 10 ? 1 : 2;
        name[0] = (char)('0' + (digits == 1 ? n : n / 10));
        name[1] = (char)('0' + n % 10);
        uint32_t slot = view_slot(in->policy, GRAY_SOURCE_SEGMENT,
                                  gray_hash_name(name, digits), name, digits);
        if (slot != GRAY_NONE) {
            add_value(in, slot, at, (uint32_t)(stop - at));
        }
        at = stop + 1;
    }
}

/* "/package.Service/Method", once both the path and the content type are
 * known to be of a gRPC call. */
static void feed_grpc(struct gray_input *in)
{
    if (!in->grpc || in->path.length < 2 || in->path.data[0] != '/') {
        return;
    }
    const char *name = in->path.data + 1;
    const char *end = in->path.data + in->path.length;
    const char *slash = memchr(name, '/', (size_t)(end - name));
    if (slash == NULL) {
        return;
    }
    add_unnamed(in, GRAY_SOURCE_GRPC_SERVICE,
                (struct gray_str){ name, (uint32_t)(slash - name) });
    add_unnamed(in, GRAY_SOURCE_GRPC_METHOD,
                (struct gray_str){ slash + 1, (uint32_t)(end - slash - 1) });
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at `at`, percent-decoded; what is no escape stands for itself. */
static const char *decode_byte(const char *at, const char *end, uint8_t *ret)
{
    if (*at == '%' && end - at >= 3) {
        int high = hex_digit(at[1]), low = hex_digit(at[2]);
        if (high >= 0 && low >= 0) {
            *ret = (uint8_t)(high << 4 | low);
            return at + 3;
        }
    }
    *ret = (uint8_t)*at;
    return at + 1;
}

static void add_decoded(struct gray_input *in, uint32_t slot, const char *at,
                        const char *end)
{
    size_t length = (size_t)(end - at);
    if (length == 0 || memchr(at, '%', length) == NULL) {
        add_value(in, slot, at, (uint32_t)length);
        return;
    }
    char *room = in->scratch + in->scratch_used;
    uint32_t used = 0, left = (uint32_t)sizeof(in->scratch) - in->scratch_used;
    while (at < end && used < left && used <= GRAY_VALUE_MAX) {
        uint8_t byte;
        at = decode_byte(at, end, &byte);
        room[used++] = (char)byte;
    }
    if (at < end || used > GRAY_VALUE_MAX) {
        add_value(in, slot, room, GRAY_VALUE_MAX + 1);
        return;
    }
    in->scratch_used += used;
    add_value(in, slot, room, used);
}

/* Slot of a query argument whose name still is encoded. */
static uint32_t query_slot(const struct gray_input *in, const char *name,
                           const char *end)
{
    char decoded[256];
    uint32_t length = 0, hash = 0;
    bool plain = true;
    for (const char *at = name; at < end;) {
        uint8_t byte;
        if (length == sizeof(decoded)) {
            return GRAY_NONE; /* longer than any name of a policy */
        }
        plain &= *at != '%';
        at = decode_byte(at, end, &byte);
        decoded[length++] = (char)byte;
        hash = hash * 31 + view_lower(byte);
    }
    return view_slot(in->policy, GRAY_SOURCE_QUERY, hash,
                     plain ? name : decoded, length);
}

static void feed_query(struct gray_input *in, const char *at, const char *end)
{
    while (at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        if (stop == NULL) {
            stop = end;
        }
        const char *equals = memchr(at, '=', (size_t)(stop - at));
        const char *name_end = equals == NULL ? stop : equals;
        if (name_end > at) {
            uint32_t slot = query_slot(in, at, name_end);
            if (slot != GRAY_NONE && !has_value(in, slot)) {
                add_decoded(in, slot, equals == NULL ? stop : equals + 1, stop);
            }
        }
        at = stop + 1;
    }
}

/* What else than the path itself is asked of a target; `query` is where its
 * path ends. */
static __attribute__((noinline)) void feed_target(struct gray_input *in,
                                                  const char *query,
                                                  const char *end)
{
    if (view_needs(in->policy, GRAY_SOURCE_SEGMENT)) {
        feed_segments(in);
    }
    if (query < end && *query == '?' &&
        view_needs(in->policy, GRAY_SOURCE_QUERY)) {
        const char *hash = memchr(query, '#', (size_t)(end - query));
        feed_query(in, query + 1, hash == NULL ? end : hash);
    }
    if (in->grpc) {
        feed_grpc(in);
    }
}

void gray_input_target(struct gray_input *in, struct gray_str target)
{
    const uint32_t others = 1u << GRAY_SOURCE_SEGMENT |
                            1u << GRAY_SOURCE_QUERY |
                            1u << GRAY_SOURCE_GRPC_SERVICE |
                            1u << GRAY_SOURCE_GRPC_METHOD;
    uint32_t needs = in->policy->policy->needs;
    if ((needs & (others | 1u << GRAY_SOURCE_PATH)) == 0 ||
        target.length == 0) {
        return;
    }
    const char *end = target.data + target.length;
    const char *query = find_either(target.data, end, '?', '#');
    in->path =
        (struct gray_str){ target.data, (uint32_t)(query - target.data) };
    add_unnamed(in, GRAY_SOURCE_PATH, in->path);
    if ((needs & others) != 0) {
        feed_target(in, query, end);
    }
}

/* A cookie that a rule looks at, without the blanks after it. */
static void add_cookie(struct gray_input *in, uint32_t slot, const char *value,
                       const char *stop)
{
    while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t')) {
        stop--;
    }
    add_value(in, slot, value, (uint32_t)(stop - value));
}

static inline const char *find_semicolon(const char *at, const char *end)
{
    const char *stop = memchr(at, ';', (size_t)(end - at));
    return stop == NULL ? end : stop;
}

/* The slot of the cookie whose name begins at `at`; *ret_length is the length
 * of its name, 0 when it has none. */
static inline uint32_t cookie_slot(const struct gray_snapshot *policy,
                                   const char *at, const char *end,
                                   uint32_t *ret_length)
{
    const char *equals = find_either(at, end, '=', ';');
    uint32_t hash = 0, all = 0x20;
    *ret_length = 0;
    if (equals == end || *equals == ';') {
        return GRAY_NONE;
    }
    *ret_length = (uint32_t)(equals - at);
    for (const char *c = at; c < equals; c++) {
        hash = hash * 31 + (uint8_t)*c;
        all &= (uint8_t)*c;
    }
    if (all == 0) { /* what lacks this bit may be an upper case letter */
        hash = gray_hash_name(at, *ret_length);
    }
    return view_slot(policy, GRAY_SOURCE_COOKIE, hash, at, *ret_length);
}

/* "a=1; b=2": undecoded; the first value of a name counts, also over several
 * Cookie headers. */
static void feed_cookies(struct gray_input *in, const char *at, const char *end)
{
    while (at < end) {
        if (*at == ' ' || *at == '\t' || *at == ';') {
            at++;
            continue;
        }
        uint32_t length = 0;
        uint32_t slot = cookie_slot(in->policy, at, end, &length);
        const char *stop = find_semicolon(at, end);
        if (slot != GRAY_NONE && length != 0 && !has_value(in, slot)) {
            add_cookie(in, slot, at + length + 1, stop);
        }
        at = stop;
    }
}

/* The same where a policy looks at few cookies: their names are tried, and
 * once each has a value the rest cannot matter. */
static void feed_few_cookies(struct gray_input *in, const char *at,
                             const char *end)
{
    const struct gray_snapshot *policy = in->policy;
    uint32_t count = policy->cookie_count, missing = count;
    while (at < end) {
        if (*at == ' ' || *at == '\t' || *at == ';') {
            at++;
            continue;
        }
        uint32_t i = 0, length = 0;
        for (; i < count; i++) {
            length = policy->cookies[i].length;
            if (length < (size_t)(end - at) && at[length] == '=' &&
                view_same(policy->cookies[i].name, at, length)) {
                break;
            }
        }
        const char *stop = find_semicolon(at, end);
        if (i < count && length != 0 &&
            !has_value(in, policy->cookies[i].slot)) {
            add_cookie(in, policy->cookies[i].slot, at + length + 1, stop);
            if (--missing == 0) {
                return;
            }
        }
        at = stop;
    }
}

static bool is_name(struct gray_str name, const char *lower, uint32_t length)
{
    return name.length == length &&
           (view_same(lower, name.data, length) ||
            view_same_nocase(lower, name.data, length));
}

/* The two headers that are taken apart. */
static __attribute__((noinline)) void feed_parts(struct gray_input *in,
                                                 struct gray_str name,
                                                 struct gray_str value)
{
    static const char grpc[] = "application/grpc";
    const char *end = value.data + value.length;
    if (view_needs(in->policy, GRAY_SOURCE_COOKIE) &&
        is_name(name, "cookie", 6)) {
        if (in->policy->cookie_count <= VIEW_COOKIES) {
            feed_few_cookies(in, value.data, end);
        } else {
            feed_cookies(in, value.data, end);
        }
    } else if (!in->grpc && is_name(name, "content-type", 12) &&
               value.length >= sizeof(grpc) - 1 &&
               view_same_nocase(grpc, value.data, sizeof(grpc) - 1)) {
        in->grpc = true;
        feed_grpc(in);
    }
}

static inline bool has_parts(uint32_t hash)
{
    return hash == HASH_COOKIE || hash == HASH_CONTENT_TYPE;
}

static __attribute__((noinline)) void feed_header(struct gray_input *in,
                                                  uint32_t hash,
                                                  struct gray_str name,
                                                  struct gray_str value)
{
    uint32_t slot = view_slot(in->policy, GRAY_SOURCE_HEADER, hash, name.data,
                              name.length);
    if (slot != GRAY_NONE) {
        add_value(in, slot, value.data, value.length);
    }
    if (has_parts(hash)) {
        feed_parts(in, name, value);
    }
}

void gray_input_header(struct gray_input *in, uint32_t hash,
                       struct gray_str name, struct gray_str value)
{
    if (view_needs(in->policy, GRAY_SOURCE_HEADER) &&
        (hash != HASH_COOKIE || in->policy->cookie_hash)) {
        feed_header(in, hash, name, value);
    } else if (has_parts(hash)) {
        feed_parts(in, name, value);
    }
}

void gray_input_address(struct gray_input *in, const uint8_t bytes[16])
{
    memcpy(in->address.bytes, bytes, 16);
    in->address.known = true;
    if (!view_needs(in->policy, GRAY_SOURCE_ADDRESS)) {
        return;
    }
    /* A unit may be the address, and people write it as text. */
    char *room = take_scratch(in, ADDRESS_TEXT_MAX);
    if (room == NULL) {
        in->overflow = true;
        return;
    }
    uint32_t length = address_write(bytes, room);
    add_unnamed(in, GRAY_SOURCE_ADDRESS, (struct gray_str){ room, length });
}

void gray_input_named(struct gray_input *in, enum gray_source source,
                      struct gray_str name, struct gray_str value)
{
    switch (source) {
    case GRAY_SOURCE_UNIT:
        in->anonymous = value;
        return;
    case GRAY_SOURCE_LABEL:
        if (name.length == 4 && memcmp(name.data, "lane", 4) == 0) {
            in->own_lane = value;
        }
        break;
    case GRAY_SOURCE_ATTR:
    case GRAY_SOURCE_CALLER:
        break;
    default:
        return; /* every other source has a function of its own */
    }
    if (view_needs(in->policy, source)) {
        uint32_t slot = view_slot(in->policy, source,
                                  gray_hash_name(name.data, name.length),
                                  name.data, name.length);
        if (slot != GRAY_NONE) {
            add_value(in, slot, value.data, value.length);
        }
    }
}

void gray_input_colour(struct gray_input *in, struct gray_str lane,
                       struct gray_str arms, enum gray_class traffic_class)
{
    in->lane = lane;
    in->arms = arms;
    in->traffic_class = (uint8_t)traffic_class;
}

void gray_input_unit(struct gray_input *in, struct gray_str unit)
{
    const struct gray_policy *policy = in->policy->policy;
    const struct gray_release *releases =
        (const void *)(in->policy->base + policy->releases.offset);
    for (uint32_t i = 0; i < policy->releases.count; i++) {
        uint32_t slot = releases[i].unit_slots[0];
        if (slot != GRAY_NONE && !has_value(in, slot)) {
            add_value(in, slot, unit.data, unit.length);
        }
    }
}
