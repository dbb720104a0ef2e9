/* SPDX-License-Identifier: Apache-2.0
 * craft_model.h - models made by hand, and what they decide when compiled.
 *
 * Why: the compiler is tested against the model's own promises, not against
 * what today's documents happen to produce; and the proof of a snapshot is
 * that the engine decides by it as the author meant.
 * Read next: craft_model.c, test_compile.c.
 */
#ifndef TESTS_POLICY_CRAFT_MODEL_H
#define TESTS_POLICY_CRAFT_MODEL_H

#include "policy/model.h"
#include "policy/policy.h"

/* Zeroed memory that craft_free() takes back. */
void *craft(size_t size);
void craft_free(void);
char *craft_print(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
struct model_text craft_text(const char *text);

/* ---- conditions ---------------------------------------------------------- */

struct cond *craft_test(uint8_t source, const char *name, uint8_t op,
                        const char *text);
/* in, notIn, cidr: texts up to NULL, sorted here. */
struct cond *craft_texts(uint8_t source, const char *name, uint8_t op,
                         const char *const *texts);
struct cond *craft_all(struct cond *a, struct cond *b);
struct cond *craft_any(struct cond *a, struct cond *b);
struct cond *craft_not(struct cond *a);

/* ---- a small shop -------------------------------------------------------- */

/* cart and order with v1 (baseline) and v2, the release cart-2 on cart v2 by
 * cookie uid, share 0, and the unnamed entrance.  What else a test wants it
 * sets before it compiles. */
struct gray_model *craft_model(void);
/* Adds allow rules to a release of the model, one for each condition. */
void craft_allow(struct model_release *release, struct cond *const *conds,
                 uint32_t count);
/* Adds lane rules to entrance 0, all to lane 0. */
void craft_lane_rules(struct gray_model *model, struct cond *const *conds,
                      uint32_t count);
/* One lane of these services (numbers up to GRAY_NONE), selector lane=name. */
struct model_lane craft_lane(const char *name, const uint32_t *services);

/* ---- compiled ------------------------------------------------------------ */

struct craft_compiled {
    struct gray_compiled files;
    struct gray_snapshot policy;
    struct gray_fleet fleet;
    struct gray_list lists[8];
    struct gray_link link;
    struct gray_view view;
    void *link_memory;
};
/* Compiles and links; fails the test on any finding. */
void craft_compile(struct craft_compiled *ret, const struct gray_model *model,
                   bool no_index);
void craft_compiled_free(struct craft_compiled *compiled);

/* One request: "GET /path?query" and headers "name: value", up to NULL. */
void craft_input(struct gray_input *in, const struct craft_compiled *compiled,
                 const char *target, const char *const *headers);

/* Does an allow rule of this condition let the request in?  The second asks
 * with the header x-a and uid=1001. */
bool craft_allowed(struct gray_model *model, struct cond *cond,
                   const char *target, const char *const *headers);
bool craft_header_allowed(struct gray_model *model, struct cond *cond,
                          const char *value);

#endif
