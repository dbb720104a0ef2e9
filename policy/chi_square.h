/* SPDX-License-Identifier: Apache-2.0
 * chi_square.h - a test whether bins are evenly filled, see chi_square.c.
 *
 * Why: `gray keys check` and reconciliation ask the same question; apart, so
 * that it is tested against published tables.
 */
#ifndef GRAY_POLICY_CHI_SQUARE_H
#define GRAY_POLICY_CHI_SQUARE_H

#include <stdint.h>

/* The sum of (count - even share)^2 / even share. */
double chi_square_even(const uint64_t *counts, unsigned bins);
/* Probability that chance alone gives at least this, with `df` degrees of
 * freedom. */
double chi_square_tail(double statistic, unsigned df);

#endif
