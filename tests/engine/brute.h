/* SPDX-License-Identifier: Apache-2.0
 * brute.h - the same decision by other means, to judge the engine by.
 *
 * Why: an index, jumps, automata and sorted keys are ways to be fast, and each
 * can be wrong in its own way.  Here a checked model is walked as SEMANTICS
 * says, tree by tree and string by string, with hashes, patterns and clocks of
 * its own (murmur written down again, regex(3), localtime(3)).  Nothing of
 * the engine is called but gray_hash_scope(), which is an identity.
 * Read next: brute.c, brute_values.c, brute_match.c, tests/story/agree.c (who
 * compares).
 */
#ifndef GRAY_TESTS_BRUTE_H
#define GRAY_TESTS_BRUTE_H

#include "policy/model.h"

#define BRUTE_PAIRS 24u
#define BRUTE_RELEASES 64u
#define BRUTE_OPS 32u

struct brute_pair {
    const char *name, *value;
};
/* One request; strings end in NUL, NULL means that there is none. */
struct brute_request {
    const char *method, *host, *target, *caller, *source;
    struct brute_pair headers[BRUTE_PAIRS]; /* cookies among them */
    struct brute_pair attrs[BRUTE_PAIRS], labels[BRUTE_PAIRS];
    uint32_t header_count, attr_count, label_count;
    const char *lane, *arms, *anonymous; /* anonymous: the id issued */
    const char *stage; /* that the caller names */
    uint8_t traffic_class;
    int64_t now;
    uint64_t random;
};

struct brute_verdict {
    bool asked, in, admit, hold, pending;
    uint8_t reason, variant, record, stage;
    uint32_t bucket;
    const char *rule; /* NULL: none decided */
};
struct brute_answer {
    struct brute_verdict verdicts[BRUTE_RELEASES]; /* by release */
    uint32_t arms[GRAY_ARMS_MAX];                  /* by priority */
    uint32_t arm_count;
    uint32_t lane; /* number in the model; GRAY_NONE */
    uint8_t lane_reason, reason;
    const char *lane_rule;
    uint32_t release, bucket; /* that `reason` speaks of; GRAY_NONE */
    const char *rule;
    bool hold, pending;
};

/* What the engine gets as gray_mark_fn. */
typedef struct gray_mark (*brute_mark)(const void *context, uint32_t release,
                                       const char *unit, bool evidence,
                                       uint8_t space);

struct brute_regex;
struct brute {
    const struct gray_model *model;
    const uint8_t *words; /* enum gray_word by release; NULL: all open */
    brute_mark marks;     /* NULL: all absent */
    const void *marks_context;
    /* How often each condition was found true or false. */
    uint64_t counts[BRUTE_OPS][2];
    struct brute_regex *regexes; /* compiled once a node */
};

void brute_init(struct brute *b, const struct gray_model *model);
void brute_done(struct brute *b);
/* `entrance` is a number of the model; GRAY_NONE: no entrance. */
void brute_decide(struct brute *b, const struct brute_request *request,
                  uint32_t entrance, struct brute_answer *ret_answer);

/* ---- brute_release.c ---------------------------------------------------- */

/* A request being decided for one release, or for a lane's rules (release
 * NULL). */
struct brute_asked {
    struct brute *b;
    const struct brute_request *request;
    const struct model_release *release;
    const char *unit; /* NULL: none */
    const struct model_stage *stage; /* NULL: none */
    uint32_t share;
    bool only_evidence; /* is left to be asked */
    bool decides; /* a new answer may be given here */
    struct gray_mark mark;
    uint8_t closed; /* enum gray_reason: nobody new, for this; 0: open */
    bool cannot_write, earlier; /* `mark` is of the earlier name */
};
bool brute_holds(struct brute_asked *a, const struct cond *cond);
/* NULL: none holds. */
const struct model_rule *brute_first_rule(struct brute_asked *a,
                                          const struct model_rule *rules,
                                          uint32_t count);
/* `word` is an enum gray_word. */
void brute_release(struct brute_asked *a, uint8_t word,
                   struct brute_verdict *ret_verdict);

/* ---- brute_values.c ----------------------------------------------------- */

#define BRUTE_VALUES 16u
#define BRUTE_ROOM 4096u
/* The values of one attribute, copied out. */
struct brute_values {
    const char *value[BRUTE_VALUES];
    uint32_t count;
    char room[BRUTE_ROOM];
    uint32_t used;
};
void brute_add(struct brute_values *v, const char *from, size_t length);
/* Empties *v first. */
void brute_find_values(struct brute_values *v, const struct brute_request *r,
                       uint8_t source, const char *name);

/* ---- brute_match.c ------------------------------------------------------ */

uint32_t brute_bucket(const char *salt, const char *between, const char *unit);
/* One value against one test that looks at values. */
bool brute_match(struct brute *b, const struct cond *test, const char *value);
/* 16 bytes, IPv4 as ::ffff:a.b.c.d; false when it is no address. */
bool brute_address(const char *text, uint8_t ret_bytes[16]);
bool brute_in_network(const char *address, struct model_text network);
bool brute_in_window(const struct cond *test, int64_t now_ms);

#endif
