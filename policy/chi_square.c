/* SPDX-License-Identifier: Apache-2.0
 * chi_square.c - how likely such uneven bins are by chance.
 *
 * Why: whoever counts must tell an uneven id from an unlucky sample.  The
 * probability is the upper tail of the chi-square distribution, that is the
 * regularised incomplete gamma function Q(df / 2, x / 2), computed by its
 * series below a + 1 and by Lentz's continued fraction above (Abramowitz and
 * Stegun 6.5.29 and 6.5.31).
 */
#include <math.h>

#include "policy/chi_square.h"

#define STEPS_MAX 10000
#define PRECISION 1e-14

static double lower_series(double a, double x)
{
    double term = 1 / a, sum = term;

    for (int n = 1; n < STEPS_MAX && fabs(term) > fabs(sum) * PRECISION; n++) {
        term *= x / (a + n);
        sum += term;
    }
    return sum * exp(-x + a * log(x) - lgamma(a));
}

static double upper_fraction(double a, double x)
{
    const double tiny = 1e-300;
    double b = x + 1 - a, c = 1 / tiny, d = 1 / b, h = d;

    for (int i = 1; i < STEPS_MAX; i++) {
        double an = -i * (i - a), delta;

        b += 2;
        d = an * d + b;
        d = fabs(d) < tiny ? tiny : d;
        c = b + an / c;
        c = fabs(c) < tiny ? tiny : c;
        d = 1 / d;
        delta = d * c;
        h *= delta;
        if (fabs(delta - 1) < PRECISION) {
            break;
        }
    }
    return exp(-x + a * log(x) - lgamma(a)) * h;
}

double chi_square_tail(double statistic, unsigned df)
{
    double a = df / 2.0, x = statistic / 2;

    if (x <= 0 || df == 0) {
        return 1;
    }
    return x < a + 1 ? 1 - lower_series(a, x) : upper_fraction(a, x);
}

double chi_square_even(const uint64_t *counts, unsigned bins)
{
    double total = 0, sum = 0;

    for (unsigned i = 0; i < bins; i++) {
        total += (double)counts[i];
    }
    for (unsigned i = 0; i < bins && total > 0; i++) {
        double expected = total / bins, off = (double)counts[i] - expected;

        sum += off * off / expected;
    }
    return sum;
}
