/* SPDX-License-Identifier: Apache-2.0
 * test_colour.c - engine/colour.c: forged spellings, baggage, arms.
 *
 * Why: what this file lets through as plain reaches a service; what it cuts
 * too much is a byte that a client sent and a service misses.
 * Read next: engine/aliases.def, craft.h.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/engine/craft.h"

#define EMPTY ((struct gray_str){NULL, 0})

static char buffer[16384];

/* ---- names of headers --------------------------------------------------- */

static void check_spellings(const char *name, enum gray_header_kind kind)
{
    char text[64];
    size_t length = strlen(name), i;
    uint32_t way;

    for (way = 0; way < 6; way++) {
        for (i = 0; i <= length; i++) {
            bool upper = way % 3 == 1 || (way % 3 == 2 && i % 2 == 0);
            char c = upper ? (char)toupper((unsigned char)name[i]) : name[i];

            text[i] = way >= 3 && c == '-' ? '_' : c;
        }
        if (gray_header_kind(craft_str(text)) != kind) {
            fail_msg("%s is taken for %d", text,
                     gray_header_kind(craft_str(text)));
        }
    }
}

static void knows_every_spelling(void **state)
{
    (void)state;
    check_spellings("x-gray-lane", GRAY_HEADER_LANE);
    check_spellings("x-gray-ctx", GRAY_HEADER_CTX);
    check_spellings("x-gray-l", GRAY_HEADER_FORGED);
    check_spellings("x-gray-lanes", GRAY_HEADER_FORGED);
    check_spellings("x-gray-explain", GRAY_HEADER_FORGED);
    check_spellings("baggage", GRAY_HEADER_BAGGAGE);
    check_spellings("cookie", GRAY_HEADER_COOKIE);
#define GRAY_ALIAS(name, house) check_spellings(name, GRAY_HEADER_FORGED);
#include "engine/aliases.def"
#undef GRAY_ALIAS
}

static void leaves_plain_names_alone(void **state)
{
    static const char *const names[] = {"",
                                        "x",
                                        "x-",
                                        "x-g",
                                        "x-gray",
                                        "x-gray-",
                                        "xx-gray-lane",
                                        "x-grey-a",
                                        "x.gray.lane",
                                        "x-forwarded-for",
                                        "x-request-id",
                                        "x-real-ip",
                                        "host",
                                        "baggage2",
                                        "baggag",
                                        "cookie2",
                                        "cooki",
                                        "set-cookie",
                                        "user-agent",
                                        "accept",
                                        "service",
                                        "service-lane2",
                                        "n-d-versio",
                                        "dubbo",
                                        "dnt",
                                        "dubbo:tag",
                                        "x-lane-codes",
                                        "traceparent",
                                        "content-length",
                                        "te",
                                        "\x18-gray-lane",
                                        "\xff",
                                        "X-GRAY_"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (gray_header_kind(craft_str(names[i])) != GRAY_HEADER_PLAIN) {
            fail_msg("%s is not plain", names[i]);
        }
    }
}

/* ---- reading baggage ---------------------------------------------------- */

static void check_str(struct gray_str found, const char *wanted)
{
    assert_int_equal(found.length, strlen(wanted));
    if (found.length != 0) {
        assert_memory_equal(found.data, wanted, found.length);
    }
}

static void reads_members(void **state)
{
    static const struct {
        const char *baggage, *lane, *arms, *traffic_class;
        int answer;
        uint32_t seen;
    } rows[] = {
        {"", "", "", "", 0, 0},
        {"a=1,b=2", "", "", "", 0, 0},
        {"gray.lane=red", "red", "", "", 0, 1},
        {"a=1 , gray.lane = red ;p=1; q , b", "red", "", "", 0, 1},
        {"gray.arms=cart-2%2Cpay-7:b,gray.class=load", "", "cart-2,pay-7:b",
         "load", 0, 2},
        {"gray.arms=cart-2%2cpay-7%3Ab,gray.lane=%72ed", "red",
         "cart-2,pay-7:b", "", 0, 2},
        {"gray.lane=", "", "", "", 0, 1},
        {"gray.later=x,gray.lane=red", "red", "", "", 0, 2},
        {"Gray.Lane=blue,gray.lane=red", "red", "", "", 0, 2},
        {"GRAY.LANE=blue", "", "", "", 0, 1},
        {"gray%2Elane=blue", "", "", "", 0, 1},
        {"gray.lane=red,gray.lane=red", "", "", "", -1, 2},
        {"gray.lane", "", "", "", -1, 1},
        {"gray.lane;p=1", "", "", "", -1, 1},
        {"gray.lane=re d", "", "", "", -1, 1},
        {"gray.lane=Red", "", "", "", -1, 1},
        {"gray.lane=a%2Cb", "", "", "", -1, 1},
        {"gray.lane=a%2", "", "", "", -1, 1},
        {"gray.lane=a%", "", "", "", -1, 1},
        {"gray.lane=a%zz", "", "", "", -1, 1},
        {"gray.lane=%00", "", "", "", -1, 1},
        {"a=\"x,gray.lane=red\"", "", "", "", -1, 1},
        {",,;=,=;,gray.lane=red,,", "red", "", "", 0, 1},
        {"gray=1,gray,grayer.lane=x,agray.lane=x", "", "", "", 0, 0},
    };
    struct gray_carried carried;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int answer = gray_baggage_read(craft_str(rows[i].baggage), &carried);

        if (answer != rows[i].answer || carried.seen != rows[i].seen) {
            fail_msg("%s: %d, %u seen", rows[i].baggage, answer, carried.seen);
        }
        if (answer == 0) {
            check_str(carried.lane, rows[i].lane);
            check_str(carried.arms, rows[i].arms);
            check_str(carried.traffic_class, rows[i].traffic_class);
        }
    }
}

static void read_limits(const char *key, size_t limit, const char *byte)
{
    char text[3 * GRAY_CARRIED_MAX + 32];
    struct gray_carried carried;
    size_t i, at, more;

    for (more = 0; more < 2; more++) {
        at = (size_t)sprintf(text, "%s=", key);
        for (i = 0; i < limit + more; i++) {
            at += (size_t)sprintf(text + at, "%s", byte);
        }
        assert_int_equal(gray_baggage_read(craft_str(text), &carried),
                         more == 0 ? 0 : -1);
    }
}

static void reads_up_to_the_limits(void **state)
{
    (void)state;
    read_limits("gray.lane", GRAY_NAME_MAX, "a");
    read_limits("gray.lane", GRAY_NAME_MAX, "%61");
    read_limits("gray.class", GRAY_NAME_MAX, "a");
    read_limits("gray.arms", GRAY_CARRIED_MAX, "a");
    read_limits("gray.arms", GRAY_CARRIED_MAX, "%61");
}

/* ---- writing baggage ---------------------------------------------------- */

static void writes_members(void **state)
{
    static const struct {
        const char *baggage, *lane, *arms;
        enum gray_class traffic_class;
        const char *written;
    } rows[] = {
        {"", "", "", GRAY_CLASS_LIVE, ""},
        {"a=1", "", "", GRAY_CLASS_LIVE, "a=1"},
        {" a=1 ;p=\"x\" ,, b=%zz,", "", "", GRAY_CLASS_LIVE,
         " a=1 ;p=\"x\" ,, b=%zz,"},
        {" ", "", "", GRAY_CLASS_LIVE, " "},
        {",", "", "", GRAY_CLASS_LIVE, ","},
        {"gray.lane=red", "", "", GRAY_CLASS_LIVE, ""},
        {"gray.lane=red, ,", "", "", GRAY_CLASS_LIVE, ""},
        {"gray.lane=red, a=1", "", "", GRAY_CLASS_LIVE, "a=1"},
        {"a=1, gray.lane=red", "", "", GRAY_CLASS_LIVE, "a=1"},
        {"a=1, GRAY.x=1;p, b=2", "", "", GRAY_CLASS_LIVE, "a=1, b=2"},
        {"a=1,\x0bgray.lane=red,\t gray%2elane=red,%47ray.lane=x", "", "",
         GRAY_CLASS_LIVE, "a=1"},
        {"gray=1,agray.lane=2,gra%79.=3,gray%,gray%2", "", "", GRAY_CLASS_LIVE,
         "gray=1,agray.lane=2,gray%,gray%2"},
        {"", "red", "", GRAY_CLASS_LIVE, "gray.lane=red"},
        {"a=1", "red", "cart-2,pay-7:b", GRAY_CLASS_LIVE,
         "a=1,gray.lane=red,gray.arms=cart-2%2Cpay-7:b"},
        {"gray.lane=blue", "red", "", GRAY_CLASS_LIVE, "gray.lane=red"},
        {"a=1,gray.arms=x,b=2", "", "y", GRAY_CLASS_SHADOW,
         "a=1,b=2,gray.arms=y,gray.class=shadow"},
        {" , ", "red", "", GRAY_CLASS_LIVE, "gray.lane=red"},
        {"", "a b\"%,;=", "", GRAY_CLASS_LIVE,
         "gray.lane=a%20b%22%25%2C%3B%3D"},
        {"", "", "", GRAY_CLASS_LOAD, "gray.class=load"},
        {"", "", "", GRAY_CLASS_REHEARSAL, "gray.class=rehearsal"},
        {"", "", "", GRAY_CLASS_COUNT, ""},
    };
    struct gray_str written = {buffer, 0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        written.length = (uint32_t)gray_baggage_write(
            craft_str(rows[i].baggage), craft_str(rows[i].lane),
            craft_str(rows[i].arms), rows[i].traffic_class, buffer,
            sizeof(buffer));
        if (written.length != strlen(rows[i].written) ||
            memcmp(buffer, rows[i].written, written.length) != 0) {
            fail_msg("%s: %.*s", rows[i].baggage, (int)written.length, buffer);
        }
    }
}

/* Ours stay, the last of the others go: at 64 members and at 8,192 bytes.
 * Where nothing is added, nothing is shortened. */
static void keeps_the_limits(void **state)
{
    char many[70 * 2 + 1], big[9001];
    struct gray_str lane = craft_str("red"), in;
    size_t length, i, count;

    (void)state;
    for (i = 0; i < 70; i++) {
        memcpy(many + 2 * i, "a,", 2);
    }
    for (i = 62; i < 66; i++) {
        in = (struct gray_str){many, (uint32_t)(2 * i - 1)};
        length = gray_baggage_write(in, lane, EMPTY, GRAY_CLASS_LIVE, buffer,
                                    sizeof(buffer));
        for (count = 1; length-- > 0;) {
            count += buffer[length] == ',';
        }
        assert_int_equal(count, i < 63 ? i + 1 : 64);
        assert_int_equal(gray_baggage_write(in, EMPTY, EMPTY, GRAY_CLASS_LIVE,
                                            buffer, sizeof(buffer)),
                         in.length);
    }
    memset(big, 'b', sizeof(big));
    big[10] = ',';
    for (i = 8170; i < 8190; i++) {
        in = (struct gray_str){big, (uint32_t)i};
        length = gray_baggage_write(in, lane, EMPTY, GRAY_CLASS_LIVE, buffer,
                                    sizeof(buffer));
        assert_int_equal(length, i + 14 <= 8192 ? i + 14 : 10 + 14);
        assert_memory_equal(buffer + length - 14, ",gray.lane=red", 14);
    }
    in = (struct gray_str){big, 9000};
    assert_int_equal(gray_baggage_write(in, EMPTY, EMPTY, GRAY_CLASS_LIVE,
                                        buffer, sizeof(buffer)),
                     9000);
}

/* Whatever the room, never a byte more and never half a member. */
static void writes_within_its_room(void **state)
{
    static const char *const whole =
        "aa=1,bb=2,gray.lane=red,gray.arms=x%2Cy,gray.class=load";
    size_t size, length, i;

    (void)state;
    for (size = 0; size <= strlen(whole); size++) {
        memset(buffer, '#', 100);
        length = gray_baggage_write(craft_str("aa=1,gray.lane=z,bb=2"),
                                    craft_str("red"), craft_str("x,y"),
                                    GRAY_CLASS_LOAD, buffer, size);
        assert_true(length <= size);
        for (i = length; i < 100; i++) {
            assert_true(buffer[i] == '#' || i < size);
        }
        if (length != 0) {
            assert_true(buffer[length - 1] == 'd' ||
                        buffer[length - 1] == 'y' ||
                        isdigit((unsigned char)buffer[length - 1]));
            assert_true(buffer[0] != ',');
        }
    }
    assert_int_equal(length, strlen(whole));
    assert_memory_equal(buffer, whole, length);
}

static void reads_what_it_wrote(void **state)
{
    struct gray_carried carried;
    struct gray_str out = {buffer, 0};

    (void)state;
    out.length = (uint32_t)gray_baggage_write(
        craft_str("a=1"), craft_str("red-1"), craft_str("cart-2,pay.7:b"),
        GRAY_CLASS_REHEARSAL, buffer, sizeof(buffer));
    assert_int_equal(gray_baggage_read(out, &carried), 0);
    check_str(carried.lane, "red-1");
    check_str(carried.arms, "cart-2,pay.7:b");
    check_str(carried.traffic_class, "rehearsal");
}

/* ---- arms --------------------------------------------------------------- */

static struct craft policy_file;

static void joins_arms(void **state)
{
    static const struct craft_release releases[] = {
        {"cart-2", 0, 0, {""}},
        {"pay-7", 0, 0, {"a", "b"}},
        {"web-1", 0, 0, {""}},
    };
    static const struct {
        const char *carried, *written;
    } rows[] = {
        {"", "cart-2,pay-7:b"},
        {"far-1", "cart-2,pay-7:b,far-1"},
        {"far-1:x,far-2,far-1:y", "cart-2,pay-7:b,far-1:x,far-2"},
        {"web-1", "cart-2,pay-7:b"}, /* known here, not admitted */
        {"web-1:new", "cart-2,pay-7:b,web-1:new"},
        {"pay-7:c", "cart-2,pay-7:b"}, /* decided here already */
        {",,:x,Far,fa r,far:a:b, far-3 ,far:", "cart-2,pay-7:b,far-3,far"},
    };
    struct gray_snapshot policy;
    struct gray_view view = {.policy = &policy};
    struct gray_colour colour;
    size_t i, length, size;

    (void)state;
    craft_policy(&policy_file, releases, 3, NULL, 0, &policy);
    memset(&colour, 0, sizeof(colour));
    colour.arm_count = 2;
    colour.arms[0].release = 0;
    colour.arms[1].release = 1;
    colour.arms[1].variant = 1;
    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        length = gray_arms_write(&view, &colour, craft_str(rows[i].carried),
                                 buffer, sizeof(buffer));
        if (length != strlen(rows[i].written) ||
            memcmp(buffer, rows[i].written, length) != 0) {
            fail_msg("%s: %.*s", rows[i].carried, (int)length, buffer);
        }
    }
    for (size = 0; size < 20; size++) {
        length =
            gray_arms_write(&view, &colour, craft_str("far-1"), buffer, size);
        assert_true(length <= size);
        assert_true(length == 0 || length == 5 || length == 6 || length == 7 ||
                    length == 12 || length == 14);
    }
    colour.arms[0].release = 9; /* numbers of another policy write nothing */
    colour.arms[1].variant = 2;
    assert_int_equal(
        gray_arms_write(&view, &colour, EMPTY, buffer, sizeof(buffer)), 0);
}

static void carries_sixteen_arms(void **state)
{
    struct gray_snapshot policy;
    struct gray_view view = {.policy = &policy};
    struct gray_colour colour;
    char carried[256];
    size_t at = 0, i;

    (void)state;
    craft_policy(&policy_file, NULL, 0, NULL, 0, &policy);
    memset(&colour, 0, sizeof(colour));
    for (i = 0; i < 17; i++) {
        at += (size_t)sprintf(carried + at, "%sr%zu", i ? "," : "", 10 + i);
    }
    assert_int_equal(gray_arms_write(&view, &colour, craft_str(carried), buffer,
                                     sizeof(buffer)),
                     16 * 4 - 1);
}

static void a_lane_is_a_name_or_none(void **state)
{
    char longest[GRAY_NAME_MAX + 2];

    (void)state;
    memset(longest, 'a', sizeof(longest));
    assert_true(gray_lane_sound(craft_str("")));
    assert_true(gray_lane_sound(craft_str("red-2.b_c")));
    assert_true(gray_lane_sound((struct gray_str){ longest, GRAY_NAME_MAX }));
    assert_false(
        gray_lane_sound((struct gray_str){ longest, GRAY_NAME_MAX + 1 }));
    assert_false(gray_lane_sound(craft_str("Red")));
    assert_false(gray_lane_sound(craft_str("a b")));
    assert_false(gray_lane_sound(craft_str("a,b")));
    assert_false(gray_lane_sound(craft_str("r\r\nx: y")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_every_spelling),
        cmocka_unit_test(leaves_plain_names_alone),
        cmocka_unit_test(reads_members),
        cmocka_unit_test(reads_up_to_the_limits),
        cmocka_unit_test(writes_members),
        cmocka_unit_test(keeps_the_limits),
        cmocka_unit_test(writes_within_its_room),
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(joins_arms),
        cmocka_unit_test(carries_sixteen_arms),
        cmocka_unit_test(a_lane_is_a_name_or_none),
    };

    return cmocka_run_group_tests_name("colour", tests, NULL, NULL);
}
