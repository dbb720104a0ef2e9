/* SPDX-License-Identifier: Apache-2.0
 * sound_policy.h - a policy that has one of everything, for planting faults.
 *
 * Why: the check of a snapshot is tested by damaging a sound one, as records
 * and as bytes; both tests damage the same.
 * Read next: sound_policy.c, test_snapshot.c, test_check.c.
 */
#ifndef GRAY_TESTS_SOUND_POLICY_H
#define GRAY_TESTS_SOUND_POLICY_H

#include "tests/engine/policy_craft.h"

/* Offsets of operand records that faults go into. */
struct sound_operands {
    uint32_t set, dfa, mod, tail, share, list, cidr, semver, time;
};

/* Fills `p` up to, not with, policy_end(). */
void sound_policy(struct policy_craft *p, struct sound_operands *ret_at);

#endif
