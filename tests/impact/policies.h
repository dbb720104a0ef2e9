/* SPDX-License-Identifier: Apache-2.0
 * policies.h - small policies for tests of impact/, compiled or as models.
 *
 * Read next: policies.c.
 */
#ifndef GRAY_TESTS_IMPACT_POLICIES_H
#define GRAY_TESTS_IMPACT_POLICIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "impact/impact.h"

/* A policy and a view of it; the test fails where the text is no good one. */
struct compiled_policy {
    struct gray_model *model;
    struct gray_compiled compiled;
    struct ask_view view;
};
struct gray_model *model_of(const char *text);
void compile_text(struct compiled_policy *ret_policy, const char *text);
void policy_end(struct compiled_policy *policy);

/* Services web (v1), cart (v1, v2), order (v1), stock (v1). */
#define SHOP                                                          \
    "kind: Service\nname: web\nbaseline: {version: v1}\n"              \
    "versions: {v1: {endpoints: ['127.0.0.1:1']}}\n"                   \
    "---\nkind: Service\nname: cart\nbaseline: {version: v1}\n"        \
    "versions: {v1: {endpoints: ['127.0.0.1:2']},\n"                   \
    "  v2: {endpoints: ['127.0.0.1:3'], capacity: {maxRate: 50}}}\n"   \
    "---\nkind: Service\nname: order\nbaseline: {version: v1}\n"       \
    "versions: {v1: {endpoints: ['127.0.0.1:4']}}\n"                   \
    "---\nkind: Service\nname: stock\nbaseline: {version: v1}\n"       \
    "versions: {v1: {endpoints: ['127.0.0.1:5']}}\n"
#define CART_2(admission)                                              \
    "---\nkind: Release\nname: cart-2\nunit: {cookie: uid}\n"          \
    "services: [{service: cart, version: v2}]\nadmission: " admission "\n"

#endif
