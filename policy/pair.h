/* SPDX-License-Identifier: Apache-2.0
 * pair.h - one release before and after, ready to be asked.
 *
 * Why: gate 4 asks both policies of the same request and lets the engine
 * answer, by snapshots that hold this release alone.  There are two of each:
 * `real` reads requests as readers do; in `loose` every attribute is one value
 * that can be given freely (path and segments, and an id and its bucket, do
 * not hang together), so what never happens there never happens at all.
 * Read next: pair.c, pair_values.c, pair_feed.c, exact.c.
 */
#ifndef GRAY_POLICY_PAIR_H
#define GRAY_POLICY_PAIR_H

#include "policy/classes.h"
#include "policy/policy.h"

#define PAIR_ATTRIBUTES_MAX 32u
#define PAIR_HASHES_MAX 16u
#define PAIR_INSTANTS_MAX 512u
#define PAIR_CHOICES_MAX 4096u
#define PAIR_IDS_MAX 300000u /* of lists that are looked into, in all */
#define PAIR_UNIT UINT32_MAX /* whose bucket: the unit's */

/* What stands in one attribute: no value, one, or several of a header. */
struct pair_choice {
    uint32_t *values; /* numbers of classes; PAIR_LONG: a value too long */
    uint32_t count;
};
#define PAIR_LONG UINT32_MAX
struct pair_attribute {
    uint8_t source;
    struct model_text name;
    char slot[8];      /* what it is called where requests are loose */
    bool unit;         /* a place of the unit, before or after */
    bool tested;       /* some test looks at it, but through the unit */
    struct atom *atoms;
    uint32_t atom_count;
    struct classes classes;
    struct pair_choice *choices;
    uint32_t choice_count, choice_capacity;
};
/* A line of buckets: whose, of which salt, and where answers change. */
struct pair_hash {
    uint32_t attribute; /* PAIR_UNIT */
    struct model_text salt;
    char slot[8];
    uint32_t *limits;   /* ascending, within (0, 1,000,000); cells lie between */
    uint32_t limit_count;
};
/* One release compiled for itself. */
struct pair_side {
    const struct gray_model *model;
    const struct model_release *release;
    struct gray_compiled compiled;
    struct gray_snapshot snapshot;
    struct gray_view view;
    struct gray_list *lists;
    uint32_t hash;            /* of its own salt; PAIR_HASHES_MAX: none */
    uint32_t first_deny, first_allow; /* numbers of its first rules */
};
struct pair {
    struct gray_arena *arena;
    struct pair_side loose[2], real[2]; /* before, after */
    struct pair_attribute attributes[PAIR_ATTRIBUTES_MAX];
    uint32_t attribute_count;
    struct pair_hash hashes[PAIR_HASHES_MAX];
    uint32_t hash_count;
    struct side *times; /* tests of the clock */
    uint32_t time_count;
    int64_t instants[PAIR_INSTANTS_MAX];
    uint32_t instant_count;
    const char **stages; /* names, NULL for a release without */
    uint32_t stage_count;
    struct pair_side tests; /* of the attribute at hand */
    struct gray_zone_step *steps; /* malloc'd, of the zone at hand */
    uint64_t steps_left;          /* of all searches for classes */
    bool tangled;     /* attributes that come of one text, as path, segments */
    const char *why;  /* it cannot be taken apart; NULL: it was */
};
/* False: `why` says why not. `now`: moments before it do not count. Always
 * followed by pair_close(). Memory by the arena, but for what is compiled. */
bool pair_open(struct pair *pair, struct gray_arena *arena,
               const struct gray_model *before,
               const struct model_release *old,
               const struct gray_model *after,
               const struct model_release *now_release, int64_t now);
/* The same, but `loose` is of these, which let in less: see pair_reduce(). */
bool pair_open_reduced(struct pair *pair, struct gray_arena *arena,
                       const struct gray_model *before,
                       const struct model_release *old,
                       const struct gray_model *after,
                       const struct model_release *now_release, int64_t now,
                       const struct model_release reduced[2]);
/* Both editions without the rules that both have (pair_reduce.c): who falls out
 * of the whole falls out of these.  False: that is not so here. */
bool pair_reduce(struct gray_arena *arena, const struct gray_model *before,
                 const struct model_release *old,
                 const struct gray_model *after,
                 const struct model_release *then,
                 struct model_release ret_reduced[2]);
void pair_close(struct pair *pair);
/* For a pair that could not be taken apart: requests hold the unit and nothing
 * else.  False: it cannot even be asked. */
bool pair_make_bare(struct pair *pair, int64_t now);

/* ---- pair_values.c ------------------------------------------------------------ */

/* Fills the classes and choices of all attributes, and the instants. */
bool pair_values(struct pair *pair, int64_t now);

/* ---- pair_compile.c ------------------------------------------------------------- */

/* Compiles a release with its conditions as they are, or loose. */
bool pair_compile(struct pair *pair, struct pair_side *side, bool loose);
/* One release a test, each admitting by it alone, over this attribute (NULL:
 * the clock), as pair->tests; for pair_values.c. */
bool pair_compile_tests(struct pair *pair,
                        const struct pair_attribute *attribute,
                        const struct side *tests, uint32_t count);
void pair_side_free(struct pair_side *side);
/* Number of the attribute that a condition looks at; PAIR_ATTRIBUTES_MAX. */
uint32_t pair_attribute(const struct pair *pair, uint8_t source,
                        const char *name);
/* Number of the line of buckets of a percent test. */
uint32_t pair_hash_of(const struct pair *pair, const struct cond *percent);

/* ---- pair_feed.c ------------------------------------------------------------------- */

/* One request, by number of what stands where. */
struct pair_request {
    uint32_t choice[PAIR_ATTRIBUTES_MAX];
    uint32_t cell[PAIR_HASHES_MAX];
    uint32_t instant, stage;
    /* A value that stands for the choice's first one; data NULL: none. */
    struct model_text instead[PAIR_ATTRIBUTES_MAX];
};
/* The bytes of an address; false: it is none. */
bool pair_address(struct model_text text, uint8_t ret_bytes[16]);
/* What one side answers to a request. */
void pair_ask_loose(struct pair *pair, int side,
                    const struct pair_request *request,
                    struct gray_verdict *ret_verdict);
/* `marks` NULL: nobody has a mark. */
void pair_ask_real(struct pair *pair, int side,
                   const struct pair_request *request, gray_mark_fn marks,
                   void *context, struct gray_verdict *ret_verdict);
/* Lets the own bucket of `loose` lie in a cell: shares are everyone's or
 * nobody's. */
void pair_set_cell(struct pair *pair, int side, uint32_t cell);
/* The attribute in which the unit stands; PAIR_ATTRIBUTES_MAX: there is none. */
uint32_t pair_unit_of(const struct pair *pair, int side,
                      const struct pair_request *request);
/* "cookie uid \"101\", header x-a \"b\"", in the arena. */
const char *pair_words(const struct pair *pair,
                       const struct pair_request *request);

/* ---- pair_seek.c -------------------------------------------------------------------- */

enum pair_sought {
    PAIR_SOUGHT_FOUND,
    PAIR_SOUGHT_NONE,      /* there is none */
    PAIR_SOUGHT_ENDLESS,   /* none was met among endlessly many: there is one */
    PAIR_SOUGHT_NOT_FOUND  /* there may be */
};
/* Lets the value of an attribute have the buckets of the request's cells, by
 * request->instead; `unit`: it is the unit. */
enum pair_sought pair_seek(struct pair *pair, struct pair_request *request,
                           uint32_t number, bool unit);

/* ---- outcomes (pair_feed.c) ------------------------------------------------------------ */

/* What a drop is, by what both sides say. */
enum pair_outcome {
    PAIR_KEPT,
    PAIR_SINGLE, /* an allow that counted for single requests */
    PAIR_DENIED, /* by a deny list that names ids */
    PAIR_DROPPED
};
enum pair_outcome pair_outcome(const struct pair_side *before,
                               const struct gray_verdict *old,
                               const struct pair_side *after,
                               const struct gray_verdict *now);

#endif
