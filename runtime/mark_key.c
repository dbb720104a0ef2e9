/* SPDX-License-Identifier: Apache-2.0
 * mark_key.c - units as keys, and what the bits of a value say.
 *
 * Why: most units are numbers, and two numbers must never be taken for one
 * another; so a canonical decimal number is its key by a bijection, and only
 * other texts are hashed.  The highest bit before the bijection tells the two
 * kinds apart.  Of a number n it is n + 1, so that no key is 0, which means
 * free; of a text it is never 2^63, whose key means closed.
 * Read next: mark_slot.c.
 */
#include <string.h>

#include "runtime/mark_slot.h"

#define TEXT (UINT64_C(1) << 63)
#define NUMBER_MAX (TEXT - 2) /* n + 1 lies below TEXT */
/* Set the spaces, and the two words of a wide key, apart. */
#define SPACE_APART UINT64_C(0x9e3779b97f4a7c15)
#define SECOND_APART UINT64_C(0x6d61726b73206b31)

uint64_t runtime_mark_closed(void)
{
    return gray_mix64(TEXT);
}

/* Four to eight digits at once, the first one highest; false: others stand
 * among them.  Eight digits in three multiplications: Lemire, "Quickly parsing
 * eight digits", 2018. */
static inline bool digits(struct gray_str unit, uint64_t *ret_number)
{
    const uint64_t zeros = 0x3030303030303030u;
    uint32_t first, last, blank = 64 - 8 * unit.length;
    uint64_t word;

    memcpy(&first, unit.data, 4);
    memcpy(&last, unit.data + unit.length - 4, 4);
    word = (uint64_t)first | (uint64_t)last << (32 - blank);
    /* The first digit stands lowest; below it, what is missing is 0. */
    word = (word ^ zeros) << blank;
    if (((word | (word + 0x7676767676767676u)) & 0x8080808080808080u) != 0) {
        return false;
    }
    word = word * (1 + (10 << 8)) >> 8;
    word = (word & 0x00ff00ff00ff00ffu) * (1 + (100 << 16)) >> 16;
    *ret_number = (word & 0x0000ffff0000ffffu) *
                      (1 + (UINT64_C(10000) << 32)) >>
                  32;
    return true;
}

/* Exactly as a number is written: no sign, no blank, no leading zero. */
static inline bool canonical(struct gray_str unit, uint64_t *ret_number)
{
    uint64_t value = 0;
    uint32_t i;

    if (unit.length == 0 || unit.length > 19 ||
        (unit.data[0] == '0' && unit.length > 1)) {
        return false;
    }
    if (unit.length >= 4 && unit.length <= 8) {
        return digits(unit, ret_number);
    }
    for (i = 0; i < unit.length; i++) {
        uint32_t digit = (uint32_t)((uint8_t)unit.data[i] - '0');

        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit; /* 19 digits fit into 64 bits */
    }
    *ret_number = value;
    return value <= NUMBER_MAX;
}

/* Out of the way of numbers. */
static __attribute__((noinline)) struct gray_mark_key
key_of_text(const struct gray_marks_file *file, uint8_t space,
            struct gray_str unit)
{
    uint64_t apart[2] = {file->sip_key[0],
                         file->sip_key[1] ^ space * SPACE_APART};
    struct gray_mark_key key = {{0, 1}};
    uint64_t number = gray_siphash(unit.data, unit.length, apart) & ~TEXT;

    key.k[0] = gray_mix64(TEXT | (number == 0 ? 1 : number));
    if (file->slot_size == 32) {
        apart[0] ^= SECOND_APART;
        key.k[1] = gray_siphash(unit.data, unit.length, apart);
        if (key.k[1] == 0 || key.k[1] == MARK_CLOSED_WIDE) {
            key.k[1] = 1;
        }
    }
    return key;
}

struct gray_mark_key gray_mark_key(const struct gray_marks_file *file,
                                   uint8_t space, struct gray_str unit)
{
    uint64_t number;

    return space == 0 && canonical(unit, &number)
               ? (struct gray_mark_key){{gray_mix64(number + 1), 1}}
               : key_of_text(file, space, unit);
}

/* gray_mix64() backwards: its multipliers' inverses modulo 2^64. */
static uint64_t unmix64(uint64_t value)
{
    value = (value ^ (value >> 31) ^ (value >> 62)) * 0x319642b2d24d8ec3u;
    value = (value ^ (value >> 27) ^ (value >> 54)) * 0x96de1b173f119089u;
    return value ^ (value >> 30) ^ (value >> 60);
}

int gray_mark_key_number(struct gray_mark_key key, uint64_t *ret_number)
{
    uint64_t number = unmix64(key.k[0]);

    if (number == 0 || number >= TEXT) {
        return -1;
    }
    *ret_number = number - 1;
    return 0;
}

/* ---- values ----------------------------------------------------------------
 */

#define MINUTE_MS 60000

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

uint64_t gray_mark_value(const struct gray_marks_file *file,
                         enum gray_slot_state state, uint32_t attempt,
                         uint32_t variant, uint64_t revision, int64_t now_ms)
{
    uint64_t since =
        revision > file->header.revision ? revision - file->header.revision : 0;
    uint64_t minute =
        now_ms > file->began ? (uint64_t)(now_ms - file->began) / MINUTE_MS : 0;

    return (uint64_t)state |
           at_most(attempt, UINT8_MAX) << GRAY_SLOT_ATTEMPT_SHIFT |
           at_most(variant, UINT8_MAX) << GRAY_SLOT_VARIANT_SHIFT |
           at_most(since, GRAY_SLOT_REVISION_MAX) << GRAY_SLOT_REVISION_SHIFT |
           at_most(minute, GRAY_SLOT_MINUTE_MAX) << GRAY_SLOT_MINUTE_SHIFT;
}

struct gray_mark gray_mark_of(const struct gray_marks_file *file,
                              uint64_t value)
{
    static const uint8_t states[] = {
        [GRAY_SLOT_EMPTY] = GRAY_MARK_ABSENT,
        [GRAY_SLOT_PENDING] = GRAY_MARK_PENDING,
        [GRAY_SLOT_IN] = GRAY_MARK_IN,
        [GRAY_SLOT_OUT] = GRAY_MARK_OUT,
        [GRAY_SLOT_REVOKED] = GRAY_MARK_REVOKED,
        [GRAY_SLOT_HOLD] = GRAY_MARK_HOLD,
        [GRAY_SLOT_VOID] = GRAY_MARK_ABSENT,
    };
    struct gray_mark mark = {
        .state = states[gray_slot_state(value)],
        .variant = gray_slot_variant(value),
        .attempt = gray_slot_attempt(value),
        .revision = (uint32_t)(file->header.revision +
                               (value >> GRAY_SLOT_REVISION_SHIFT &
                                GRAY_SLOT_REVISION_MAX)),
    };

    return mark;
}

int64_t gray_mark_moment(const struct gray_marks_file *file, uint64_t value)
{
    return file->began +
           (int64_t)(value >> GRAY_SLOT_MINUTE_SHIFT & GRAY_SLOT_MINUTE_MAX) *
               MINUTE_MS;
}
