/* SPDX-License-Identifier: Apache-2.0
 * check.h - what the checks of gates 1 and 2 share.
 *
 * Why: a check walks a tree and knows where it is by a chain of `where` on the
 * stack; the JSON pointer is written only when something is found.  Checks go
 * on after a problem: they return false, leave their result zero, and whoever
 * called goes to the next value.
 * Read next: model.c (the order of the checks), model_condition.c.
 */
#ifndef GRAY_POLICY_CHECK_H
#define GRAY_POLICY_CHECK_H

#include "policy/arena.h"
#include "policy/documents.h"
#include "policy/findings.h"
#include "policy/model.h"

/* Named limits of gate 2. */
#define GRAY_TEXT_MAX 255u         /* salts, labels, attribute names */
#define GRAY_SET_MAX 65536u        /* items of in, notIn, cidr, idTail, mod */
#define GRAY_RULES_MAX 1000000u    /* of one list of rules */
#define GRAY_ENTRANCES_MAX 256u    /* of one policy */
#define GRAY_LANE_RULES_MAX 4000000u /* of all entrances together */
#define GRAY_LIST_IDS_MAX 100000000u
#define GRAY_SOURCE_IDS_MAX 10000u /* ids of a file kept in the source */
#define GRAY_WEIGHT_MAX 1000000
#define GRAY_CAPACITY_MAX 1000000000 /* requests a second */
#define GRAY_UNIX_PATH_MAX 107u

/* The place of a value: its key or number, and what it stands in. */
struct where {
    const struct where *up; /* NULL: the document itself */
    const char *key;        /* NULL: an item of a list */
    size_t index;
};
#define AT_KEY(parent, word) (&(struct where){(parent), (word), 0})
#define AT_ITEM(parent, number) (&(struct where){(parent), NULL, (number)})

/* One document's name, and where it was read. */
struct model_document {
    const char *label; /* "Release/cart-2" */
    struct gray_text *text;
    size_t number, item;
    json_t *tree; /* only while checking */
    const char *name;
    uint8_t kind; /* number of model_kinds[] */
};
enum model_kind { KIND_CHECK, KIND_LANE, KIND_LIST, KIND_RELEASE, KIND_SERVICE,
                  KIND_COUNT }; /* in the order of the words */
extern const char *const gray_kind_words[KIND_COUNT];

/* The model with what only policy/ may see; `model` comes first. */
struct model_owner {
    struct gray_model model;
    struct gray_arena arena;
    struct gray_text **texts; /* counted references */
    size_t text_count;
    struct model_document *documents; /* sorted by kind, then name */
    size_t document_count;
    struct gray_names labels; /* "Release/cart-2" to number of documents[] */
};

struct gray_check {
    struct model_owner *owner;
    struct gray_model *model;
    struct gray_arena *arena;
    struct gray_findings *findings;
    const struct gray_documents *docs;
    const struct model_document *document; /* the one being checked */
    /* Whose document a finding speaks of, by number of the finding. */
    struct model_document owners[GRAY_FINDINGS_MAX + 1];
    struct gray_names services, lanes, lists, releases, versions;
    bool *list_used;     /* by list */
    bool *service_good;  /* by service: no error in its document */
    bool *release_good;  /* by release, as long as they stand by name */
    bool lanes_good;
    int open_file; /* -1: none */
};

/* ---- problems (check.c) -------------------------------------------------- */

/* A finding about a value of the current document. */
void gray_check_say(struct gray_check *c, enum gray_severity severity,
                    enum gray_problem_number problem, const struct where *at,
                    const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* An error; returns false, so that a check can end with it. */
bool gray_check_error(struct gray_check *c, enum gray_problem_number problem,
                      const struct where *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same at a pointer that is known already (conditions keep theirs). */
void gray_check_say_at(struct gray_check *c, enum gray_severity severity,
                       enum gray_problem_number problem, const char *pointer,
                       const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* "/admission/match/3", in the arena. */
const char *gray_check_pointer(struct gray_check *c, const struct where *at);
/* Places of all findings since the check began. */
void gray_check_locate(struct gray_check *c, size_t first);

/* ---- values (check.c) ---------------------------------------------------- */

/* Splits a map into the known `keys`: values[i] is NULL where keys[i] is not
 * there.  Says what is unknown or blank.  False when it is no map. */
bool gray_check_map(struct gray_check *c, const struct where *at,
                    json_t *value, const char *const *keys, size_t count,
                    json_t **ret_values);
/* Says that the key must be there. */
bool gray_check_missing(struct gray_check *c, const struct where *at,
                        const char *key, const char *example);
bool gray_check_list(struct gray_check *c, const struct where *at,
                     json_t *value, size_t max, const char *example);
bool gray_check_text(struct gray_check *c, const struct where *at,
                     json_t *value, size_t max, struct model_text *ret_text);
/* 1 to 63 bytes of a-z 0-9 . _ -, or of A-Z too. */
bool gray_check_name(struct gray_check *c, const struct where *at,
                     json_t *value, bool upper, const char **ret_name);
/* The same of a key. */
bool gray_check_name_text(struct gray_check *c, const struct where *at,
                          const char *text, bool upper,
                          const char **ret_name);
bool gray_check_bool(struct gray_check *c, const struct where *at,
                     json_t *value, bool *ret_value);
bool gray_check_integer(struct gray_check *c, const struct where *at,
                        json_t *value, int64_t min, int64_t max,
                        int64_t *ret_value);
/* A percent, in millionths. */
bool gray_check_percent(struct gray_check *c, const struct where *at,
                        json_t *value, uint32_t *ret_share);
/* One of `words`; its number. */
bool gray_check_word(struct gray_check *c, const struct where *at,
                     json_t *value, const char *const *words, size_t count,
                     uint32_t *ret_number);
/* "a, b, c" in the arena. */
const char *gray_check_words(struct gray_check *c, const char *const *words,
                             size_t count);
/* Attribute names: a header or cookie is a token, others printable. */
bool gray_check_attribute(struct gray_check *c, const struct where *at,
                          json_t *value, uint8_t source,
                          struct model_text *ret_name);
/* A selector or labels: sorted by key; null values where `absent` allows. */
bool gray_check_labels(struct gray_check *c, const struct where *at,
                       json_t *value, bool absent,
                       struct model_label **ret_labels, uint32_t *ret_count);
/* A list of names without repetition; numbers from `table` when not NULL.
 * Sorted, unless their order means something. */
struct name_list {
    const char **names;
    uint32_t *numbers;
    uint32_t count;
};
bool gray_check_names(struct gray_check *c, const struct where *at,
                      json_t *value, const struct gray_names *table,
                      enum gray_problem_number unknown, bool ordered,
                      struct name_list *ret_list);

/* ---- conditions (model_condition.c) -------------------------------------- */

/* In whose rules a condition stands. */
struct cond_scope {
    const struct model_unit *units;
    uint32_t unit_count;
    bool lane; /* UNIT is replaced by units[0] */
};
bool gray_check_condition(struct gray_check *c, const struct where *at,
                          json_t *value, const struct cond_scope *scope,
                          struct cond *ret_cond);
/* The operand of one operator (model_operand.c). */
bool gray_check_operand(struct gray_check *c, const struct where *at,
                        json_t *value, struct cond *cond);
/* A list of at least one item. */
bool gray_check_set(struct gray_check *c, const struct where *at,
                    json_t *value, const char *example);
/* RFC 3339; NULL is no moment, and good. */
bool gray_check_moment(struct gray_check *c, const struct where *at,
                       json_t *value, int64_t *ret_ms);
/* {time: {...}} (model_time.c). */
bool gray_check_time(struct gray_check *c, const struct where *at,
                     json_t *value, struct cond *cond);
/* A list of conditions as rules named "allow[1]". */
bool gray_check_rules(struct gray_check *c, const struct where *at,
                      json_t *value, const struct cond_scope *scope,
                      struct model_rule **ret_rules, uint32_t *ret_count);
/* {cookie: uid}, "source", {path: {segment: 2}}, or a list of up to `max`;
 * beside one of them `alias`, a place too (NULL: not here). */
bool gray_check_unit(struct gray_check *c, const struct where *at,
                     json_t *value, uint32_t max,
                     struct model_unit *ret_units, uint32_t *ret_count,
                     struct model_unit *ret_alias);

/* ---- documents ----------------------------------------------------------- */

/* Each is false when its document had an error. */
bool gray_check_service(struct gray_check *c, struct model_service *service);
bool gray_check_release(struct gray_check *c, struct model_release *release);
/* How a release keeps marks; then its stages, for which share, hold-back and
 * order are known (model_marks.c). */
bool gray_check_marks(struct gray_check *c, struct model_release *release);
bool gray_check_stages(struct gray_check *c, struct model_release *release);
/* Rules of a lane wait here until entrances are built. */
struct lane_rules {
    struct model_rule *rules;
    uint32_t count;
    int64_t priority;
    struct name_list entrances;
};
bool gray_check_lane(struct gray_check *c, uint32_t number,
                     struct lane_rules *ret_rules);
/* A Check names its columns, sources and release (model_check.c). */
bool gray_check_check(struct gray_check *c);
bool gray_check_list_document(struct gray_check *c, struct model_list *list);
/* The shape of `strategy` (model_strategy.c). */
bool gray_check_strategy(struct gray_check *c, const struct where *at,
                         json_t *value);
/* Endpoints, baselines and priorities over all documents (model_cross.c). */
void gray_check_cross(struct gray_check *c);
/* Releases by priority, then who is asked at which entrance
 * (model_entrance.c). */
void gray_check_entrances(struct gray_check *c,
                          const struct lane_rules *lanes);
/* lint.c: what is allowed and still looks wrong. */
void gray_check_lint(struct gray_check *c);
/* model_source.c */
void gray_check_source(struct gray_check *c);
/* The document of a kind and name; NULL when there is none. */
const struct model_document *gray_check_find(const struct gray_check *c,
                                             enum model_kind kind,
                                             const char *name);

/* By bytes, the shorter first: the order of sets and lists in a model. */
int gray_text_compare(const struct model_text *a, const struct model_text *b);
/* Whether two conditions, each of its model, are written alike (cond.c). Lists
 * are compared by name.  Equal conditions have equal hashes. */
bool gray_cond_equal(const struct cond *a, const struct gray_model *of_a,
                     const struct cond *b, const struct gray_model *of_b);
/* The same, and the lists that they name hold the same ids. */
bool gray_cond_same(const struct cond *a, const struct gray_model *of_a,
                    const struct cond *b, const struct gray_model *of_b);
uint64_t gray_cond_hash(const struct cond *cond,
                        const struct gray_model *model);

#endif
