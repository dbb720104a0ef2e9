/* SPDX-License-Identifier: Apache-2.0
 * check_release.h - the last three checks of a policy.snap.
 *
 * Why: releases, routes and entrances refer to each other and to everything
 * that was checked before, so they come last and in this order.
 * Read next: check_release.c.
 */
#ifndef GRAY_ENGINE_CHECK_RELEASE_H
#define GRAY_ENGINE_CHECK_RELEASE_H

#include "engine/check.h"

int check_releases(struct check *check);
int check_routes(struct check *check);
int check_entrances(struct check *check);

#endif
