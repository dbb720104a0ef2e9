/* SPDX-License-Identifier: Apache-2.0
 * decimal.c - decimal numbers as whole numbers of their last digit.
 *
 * Why: see decimal.h.  A number is digits times ten to a power; two are brought
 * to the smaller power and subtracted.  What has no room in 127 bits is no
 * number here, and only the same bytes are the same.
 * Read next: decimal.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/recon/decimal.h"

#define DIGITS_MAX 36
#define EXPONENT_MAX 60

__extension__ typedef __int128 wide;
struct decimal {
    wide digits;
    int exponent;
};

/* "e-7" behind the digits. */
static bool read_exponent(const char *at, const char *end, int *exponent)
{
    char *stop;
    char text[8];
    size_t length = (size_t)(end - at);
    long value;

    if (at == end) {
        return true;
    }
    if ((*at != 'e' && *at != 'E') || length < 2 || length > sizeof(text)) {
        return false;
    }
    memcpy(text, at + 1, length - 1);
    text[length - 1] = '\0';
    if ((text[0] < '0' || text[0] > '9') && text[0] != '+' && text[0] != '-') {
        return false;
    }
    value = strtol(text, &stop, 10);
    *exponent += (int)value;
    return stop != text && *stop == '\0' && labs(value) <= EXPONENT_MAX;
}

static bool parse(struct gray_str text, struct decimal *ret)
{
    const char *at = text.data, *end;
    bool minus = false, point = false, any = false;
    struct decimal d = {0, 0};
    int digits = 0;

    if (at == NULL || text.length == 0) {
        return false;
    }
    end = at + text.length;
    if (*at == '-' || *at == '+') {
        minus = *at++ == '-';
    }
    for (; at < end; at++) {
        if (*at == '.' && !point) {
            point = true;
        } else if (*at >= '0' && *at <= '9') {
            digits += digits > 0 || *at != '0';
            if (digits > DIGITS_MAX) {
                return false;
            }
            d.digits = d.digits * 10 + (*at - '0');
            d.exponent -= point;
            any = true;
        } else {
            break;
        }
    }
    if (!any || !read_exponent(at, end, &d.exponent)) {
        return false;
    }
    while (d.digits != 0 && d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    if (d.digits == 0) {
        d.exponent = 0;
    }
    d.digits = minus ? -d.digits : d.digits;
    *ret = d;
    return true;
}

/* Brings both to one exponent; false: no room. */
static bool align(struct decimal *a, struct decimal *b)
{
    const wide most = (wide)1 << 122;

    while (a->exponent > b->exponent) {
        if (a->digits > most / 10 || a->digits < -most / 10) {
            return false;
        }
        a->digits *= 10;
        a->exponent--;
    }
    return a->exponent == b->exponent || align(b, a);
}

bool decimal_order(struct gray_str a, struct gray_str b, int *ret_order)
{
    struct decimal x, y;

    if (!parse(a, &x) || !parse(b, &y)) {
        return false;
    }
    if (!align(&x, &y)) { /* one of them is far beyond the other */
        double left = (double)x.digits * pow(10, x.exponent);
        double right = (double)y.digits * pow(10, y.exponent);

        *ret_order = left < right ? -1 : left > right;
        return true;
    }
    *ret_order = x.digits < y.digits ? -1 : x.digits > y.digits;
    return true;
}

/* The tolerance was written as a decimal: 0.01 is that, not its double. */
static struct decimal tolerance_of(double tolerance)
{
    char text[32];
    struct decimal d = {0, 0};
    int length = snprintf(text, sizeof(text), "%.12g", tolerance);

    parse((struct gray_str){text, (uint32_t)length}, &d);
    return d;
}

bool decimal_same(struct gray_str a, struct gray_str b, double tolerance)
{
    struct decimal x, y, most, off;

    if (a.data == NULL || b.data == NULL) {
        return a.data == b.data;
    }
    if (a.length == b.length && memcmp(a.data, b.data, a.length) == 0) {
        return true;
    }
    if (!parse(a, &x) || !parse(b, &y) || !align(&x, &y)) {
        return false;
    }
    off = (struct decimal){x.digits - y.digits, x.exponent};
    off.digits = off.digits < 0 ? -off.digits : off.digits;
    most = tolerance_of(tolerance);
    if (off.digits == 0) {
        return true;
    }
    return tolerance > 0 && align(&off, &most) && off.digits <= most.digits;
}
