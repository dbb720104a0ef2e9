/* SPDX-License-Identifier: Apache-2.0
 * colour.c - what a request carries, as bytes of headers.
 *
 * Why: a colour crosses services that know nothing of us, so it travels in
 * what they pass on anyway: one header and members of W3C baggage.  The same
 * bytes are what a forger would send; so what is ours is recognised by the
 * loosest reading that any program down the chain may have, and taken at its
 * word only by the strictest.  What is not ours keeps every byte.
 * Read next: engine/aliases.def, SEMANTICS 7, cookie.c.
 */
#include "engine/view.h"

#define MEMBERS_MAX 64u
#define BAGGAGE_MAX 8192u
#define GRAY_PREFIX "gray."
#define GRAY_PREFIX_LENGTH 5u

/* ---- names of headers --------------------------------------------------- */

/* One byte of a name as CGI and case-blind programs read it. */
static inline unsigned char fold(unsigned char c)
{
    if (c == '_') {
        return '-';
    }
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

static bool same_name(struct gray_str name, const char *word, uint32_t length)
{
    uint32_t i;

    if (name.length != length) {
        return false;
    }
    for (i = 0; i < length; i++) {
        if (fold((unsigned char)name.data[i]) != (unsigned char)word[i]) {
            return false;
        }
    }
    return true;
}

/* Lengths that an alias can have: most names end here. */
#define GRAY_ALIAS(name, house) | (UINT64_C(1) << (sizeof(name) - 1))
static const uint64_t alias_lengths = UINT64_C(0)
#include "engine/aliases.def"
    ;
#undef GRAY_ALIAS

static enum gray_header_kind alias_kind(struct gray_str name)
{
    if (name.length > 63 || ((alias_lengths >> name.length) & 1) == 0) {
        return GRAY_HEADER_PLAIN;
    }
#define GRAY_ALIAS(word, house)                                                \
    if (same_name(name, word, sizeof(word) - 1)) {                             \
        return GRAY_HEADER_FORGED;                                             \
    }
#include "engine/aliases.def"
#undef GRAY_ALIAS
    return GRAY_HEADER_PLAIN;
}

enum gray_header_kind gray_header_kind(struct gray_str name)
{
    if (name.length == 0) {
        return GRAY_HEADER_PLAIN;
    }
    switch (name.data[0] | 0x20) {
    case 'x':
        if (name.length > 7 && (name.data[2] | 0x20) == 'g' &&
            same_name((struct gray_str){name.data, 7}, "x-gray-", 7)) {
            if (same_name(name, "x-gray-lane", 11)) {
                return GRAY_HEADER_LANE;
            }
            if (same_name(name, "x-gray-ctx", 10)) {
                return GRAY_HEADER_CTX;
            }
            return GRAY_HEADER_FORGED;
        }
        return alias_kind(name);
    case 'b':
        return same_name(name, "baggage", 7) ? GRAY_HEADER_BAGGAGE
                                             : GRAY_HEADER_PLAIN;
    case 'c':
        return same_name(name, "cookie", 6) ? GRAY_HEADER_COOKIE
                                            : GRAY_HEADER_PLAIN;
    case 'd':
    case 'n':
    case 's':
        return alias_kind(name);
    default:
        return GRAY_HEADER_PLAIN;
    }
}

/* ---- W3C baggage -------------------------------------------------------- */

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct gray_str trim(struct gray_str s)
{
    while (s.length != 0 && is_blank(s.data[0])) {
        s.data++;
        s.length--;
    }
    while (s.length != 0 && is_blank(s.data[s.length - 1])) {
        s.length--;
    }
    return s;
}

/* Cuts the bytes up to the next `end` off the front of *rest. */
static struct gray_str cut(struct gray_str *rest, char end)
{
    struct gray_str piece = *rest;
    const char *stop =
        rest->length == 0 ? NULL : memchr(rest->data, end, rest->length);

    if (stop == NULL) {
        rest->data += rest->length;
        rest->length = 0;
        return piece;
    }
    piece.length = (uint32_t)(stop - piece.data);
    rest->data = stop + 1;
    rest->length -= piece.length + 1;
    return piece;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Could any reader take this member's key for one of ours?  Some trim every
 * control byte, some ignore case, some decode keys. */
static bool is_ours(struct gray_str member)
{
    const char *at = member.data, *end = member.data + member.length;
    uint32_t i;
    char c;

    while (at < end && ((unsigned char)*at <= ' ' || *at == 0x7f)) {
        at++;
    }
    for (i = 0; i < GRAY_PREFIX_LENGTH; i++) {
        if (at == end) {
            return false;
        }
        c = *at++;
        if (c == '%' && end - at >= 2 && hex(at[0]) >= 0 && hex(at[1]) >= 0) {
            c = (char)(hex(at[0]) * 16 + hex(at[1]));
            at += 2;
        }
        if (c >= 'A' && c <= 'Z') {
            c |= 0x20;
        }
        if (c != GRAY_PREFIX[i]) {
            return false;
        }
    }
    return true;
}

static bool name_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool gray_lane_sound(struct gray_str lane)
{
    uint32_t i;

    for (i = 0; i < lane.length; i++) {
        if (!name_byte((unsigned char)lane.data[i])) {
            return false;
        }
    }
    return lane.length <= GRAY_NAME_MAX;
}

/* Takes percent-encoding off where there is any; every byte must be one of a
 * name or, in a list of arms, one of its two separators. */
static int take_value(struct gray_carried *carried, struct gray_str value,
                      bool list, struct gray_str *ret_value)
{
    struct gray_str out = value;
    char *to = carried->decoded + carried->decoded_used;
    uint32_t i, length = 0, room = GRAY_CARRIED_MAX - carried->decoded_used;
    bool encoded =
        value.length != 0 && memchr(value.data, '%', value.length) != NULL;

    for (i = 0; i < value.length; i++, length++) {
        char c = value.data[i];

        if (c == '%') {
            if (value.length - i < 3 || hex(value.data[i + 1]) < 0 ||
                hex(value.data[i + 2]) < 0) {
                return -1;
            }
            c = (char)(hex(value.data[i + 1]) * 16 + hex(value.data[i + 2]));
            i += 2;
        }
        if (!name_byte((unsigned char)c) && !(list && (c == ',' || c == ':'))) {
            return -1;
        }
        if (length == (list ? GRAY_CARRIED_MAX : GRAY_NAME_MAX)) {
            return -1;
        }
        if (encoded) {
            if (length == room) {
                return -1;
            }
            to[length] = c;
        }
    }
    if (encoded) {
        out.data = to;
        out.length = length;
        carried->decoded_used += length;
    }
    *ret_value = out;
    return 0;
}

int gray_baggage_read(struct gray_str baggage, struct gray_carried *ret)
{
    static const struct {
        struct gray_str key;
        bool list;
    } keys[] = {{{"gray.lane", 9}, false},
                {{"gray.arms", 9}, true},
                {{"gray.class", 10}, false}};
    struct gray_str *values[] = {&ret->lane, &ret->arms, &ret->traffic_class};
    struct gray_str member, key;
    uint32_t i, found = 0;

    ret->lane = ret->arms = ret->traffic_class = (struct gray_str){NULL, 0};
    ret->seen = 0;
    ret->decoded_used = 0;
    while (baggage.length != 0) {
        member = cut(&baggage, ',');
        if (!is_ours(member)) {
            continue;
        }
        ret->seen++;
        member = cut(&member, ';');
        if (member.length == 0 ||
            memchr(member.data, '=', member.length) == NULL) {
            return -1;
        }
        key = trim(cut(&member, '='));
        for (i = 0; i < 3; i++) {
            if (!same_bytes(key, keys[i].key)) {
                continue;
            }
            if ((found >> i) & 1 ||
                take_value(ret, trim(member), keys[i].list, values[i]) != 0) {
                return -1;
            }
            found |= 1u << i;
        }
    }
    return 0;
}

/* A place to write to that knows its end; what does not fit is said. */
struct writer {
    char *data;
    size_t length, size;
};

static bool put(struct writer *w, const char *bytes, size_t length)
{
    if (length > w->size - w->length) {
        return false;
    }
    if (length != 0) {
        memcpy(w->data + w->length, bytes, length);
    }
    w->length += length;
    return true;
}

/* One member, its value encoded; all of it or nothing. */
static bool put_member(struct writer *w, const char *key, struct gray_str value)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t before = w->length;
    uint32_t i;
    char code[3];

    if ((w->length != 0 && !put(w, ",", 1)) || !put(w, key, strlen(key)) ||
        !put(w, "=", 1)) {
        w->length = before;
        return false;
    }
    for (i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.data[i];

        code[0] = '%';
        code[1] = digits[c >> 4];
        code[2] = digits[c & 15];
        if (name_byte(c) || c == ':' ? !put(w, &value.data[i], 1)
                                     : !put(w, code, sizeof(code))) {
            w->length = before;
            return false;
        }
    }
    return true;
}

static const struct gray_str class_words[GRAY_CLASS_COUNT] = {
    [GRAY_CLASS_LIVE] = {"live", 4},
    [GRAY_CLASS_SHADOW] = {"shadow", 6},
    [GRAY_CLASS_LOAD] = {"load", 4},
    [GRAY_CLASS_REHEARSAL] = {"rehearsal", 9},
};

/* How many members of our own there will be and how long they are. */
static size_t measure_own(struct gray_str lane, struct gray_str arms,
                          enum gray_class traffic_class, size_t size,
                          uint32_t *ret_members, char *scratch)
{
    struct writer w = {scratch, 0, size};

    *ret_members = 0;
    if (lane.length != 0 && put_member(&w, "gray.lane", lane)) {
        ++*ret_members;
    }
    if (arms.length != 0 && put_member(&w, "gray.arms", arms)) {
        ++*ret_members;
    }
    if (traffic_class > GRAY_CLASS_LIVE && traffic_class < GRAY_CLASS_COUNT &&
        put_member(&w, "gray.class", class_words[traffic_class])) {
        ++*ret_members;
    }
    return w.length;
}

/* Copies the members that are not ours, at most `most` of them, never more
 * than w->size bytes.  Returns whether anything but blanks is among them. */
static bool copy_others(struct writer *w, struct gray_str baggage,
                        uint32_t most, bool *ret_removed)
{
    struct gray_str member, rest = baggage;
    bool removed = false, first = true, any = false, more = true;
    uint32_t members = 0;
    size_t before;

    while (more && members < most) {
        more = rest.length != 0 && memchr(rest.data, ',', rest.length) != NULL;
        member = cut(&rest, ',');
        if (is_ours(member)) {
            removed = true;
            continue;
        }
        if (first && removed) {
            while (member.length != 0 && is_blank(member.data[0])) {
                member.data++;
                member.length--;
            }
        }
        before = w->length;
        if ((!first && !put(w, ",", 1)) ||
            !put(w, member.data, member.length)) {
            w->length = before;
            break;
        }
        any = any || trim(member).length != 0;
        first = false;
        members++;
    }
    *ret_removed = removed;
    return any;
}

size_t gray_baggage_write(struct gray_str baggage, struct gray_str lane,
                          struct gray_str arms, enum gray_class traffic_class,
                          char *buffer, size_t size)
{
    struct writer w = {buffer, 0, size};
    char own[BAGGAGE_MAX];
    uint32_t own_members;
    bool any, removed;
    size_t own_length =
        measure_own(lane, arms, traffic_class,
                    size < sizeof(own) ? size : sizeof(own), &own_members, own);

    if (own_members == 0) {
        /* What we do not add to is none of our business to shorten. */
        any = copy_others(&w, baggage, UINT32_MAX, &removed);
        return any || !removed ? w.length : 0;
    }
    if (w.size > BAGGAGE_MAX) {
        w.size = BAGGAGE_MAX;
    }
    w.size = w.size > own_length + 1 ? w.size - own_length - 1 : 0;
    if (!copy_others(&w, baggage, MEMBERS_MAX - own_members, &removed)) {
        w.length = 0;
    }
    if (w.length != 0) {
        buffer[w.length++] = ',';
    }
    memcpy(buffer + w.length, own, own_length);
    return w.length + own_length;
}

/* ---- arms --------------------------------------------------------------- */

/* "release" or "release:variant", the two names. */
static bool split_arm(struct gray_str arm, struct gray_str *ret_release,
                      struct gray_str *ret_variant)
{
    struct gray_str variant = trim(arm);
    struct gray_str release = cut(&variant, ':');
    uint32_t i;

    if (release.length == 0 || release.length > GRAY_NAME_MAX ||
        variant.length > GRAY_NAME_MAX) {
        return false;
    }
    for (i = 0; i < release.length; i++) {
        if (!name_byte((unsigned char)release.data[i])) {
            return false;
        }
    }
    for (i = 0; i < variant.length; i++) {
        if (!name_byte((unsigned char)variant.data[i])) {
            return false;
        }
    }
    *ret_release = release;
    *ret_variant = variant;
    return true;
}

static bool put_arm(struct writer *w, struct gray_str release,
                    struct gray_str variant)
{
    size_t before = w->length;

    if ((before != 0 && !put(w, ",", 1)) ||
        !put(w, release.data, release.length) ||
        (variant.length != 0 &&
         (!put(w, ":", 1) || !put(w, variant.data, variant.length)))) {
        w->length = before;
        return false;
    }
    return true;
}

/* Is an arm of this release already written?  The lists are short. */
static bool is_written(const struct writer *w, struct gray_str release)
{
    struct gray_str rest = {w->data, (uint32_t)w->length}, name, variant;

    while (rest.length != 0) {
        if (split_arm(cut(&rest, ','), &name, &variant) &&
            same_bytes(name, release)) {
            return true;
        }
    }
    return false;
}

/* A variant that a newer policy at an earlier hop knows is unknown here, and
 * unknown arms go on as they came. */
static bool is_known(const struct gray_snapshot *policy,
                     struct gray_str release, struct gray_str variant)
{
    uint32_t i, number = gray_find_release(policy, release);
    const struct gray_release *found;
    const struct gray_variant *known;

    found = number == GRAY_NONE
                ? NULL
                : VIEW_AT(policy, releases, gray_release, number);
    if (found == NULL) {
        return false;
    }
    for (i = 0; i < found->variants.count; i++) {
        known =
            VIEW_AT(policy, variants, gray_variant, found->variants.first + i);
        if (known != NULL &&
            same_bytes(view_text(policy, known->name), variant)) {
            return true;
        }
    }
    return false;
}

size_t gray_arms_write(const struct gray_view *view,
                       const struct gray_colour *colour,
                       struct gray_str carried, char *buffer, size_t size)
{
    struct writer w = {buffer, 0,
                       size < GRAY_CARRIED_MAX ? size : GRAY_CARRIED_MAX};
    uint32_t i, written = 0;

    for (i = 0; i < colour->arm_count && i < GRAY_ARMS_MAX; i++) {
        const struct gray_release *release = VIEW_AT(
            view->policy, releases, gray_release, colour->arms[i].release);
        const struct gray_variant *variant;

        if (release == NULL ||
            colour->arms[i].variant >= release->variants.count) {
            continue;
        }
        variant = VIEW_AT(view->policy, variants, gray_variant,
                          release->variants.first + colour->arms[i].variant);
        if (variant != NULL &&
            put_arm(&w, view_text(view->policy, release->name),
                    view_text(view->policy, variant->name))) {
            written++;
        }
    }
    while (carried.length != 0 && written < GRAY_ARMS_MAX) {
        struct gray_str release, variant;

        if (split_arm(cut(&carried, ','), &release, &variant) &&
            !is_known(view->policy, release, variant) &&
            !is_written(&w, release) && put_arm(&w, release, variant)) {
            written++;
        }
    }
    return w.length;
}
