/* SPDX-License-Identifier: Apache-2.0
 * compile.h - what the files of the compiler share.
 *
 * Why: a snapshot is a set of tables that refer to each other by offset.  Each
 * table grows in a buffer of its own while the model is walked once; only
 * compile_write.c knows where they come to lie.  Strings come first in the
 * file, so a reference to one is final at once; offsets inside the operands
 * are kept relative and moved at the end.
 * Read next: compile.c (the order of the steps), ../engine/layout.h.
 */
#ifndef GRAY_POLICY_COMPILE_H
#define GRAY_POLICY_COMPILE_H

#include "policy/findings.h"
#include "policy/model.h"
#include "policy/policy.h"

/* Rule sets of up to this many rules have a sieve, larger ones an index. */
#define INDEX_RULES_MIN 8u
/* One rule has at most this many cells of a sieve. */
#define SIEVE_CELLS_MAX 8u
/* One rule stands under at most this many keys of an index. */
#define INDEX_KEYS_MAX 64u
/* Bytes of automata in one policy, and steps to make them (some seconds). */
#define BUILD_DFA_BYTES_MAX (256u << 20)
#define BUILD_DFA_WORK_MAX (UINT64_C(1) << 30)

/* ---- buffers and maps (compile_strings.c) -------------------------------- */

struct bytes {
    uint8_t *data;
    size_t length, capacity;
};

/* Hash to number; several numbers may have one hash. */
struct map_cell {
    uint32_t hash, value; /* value GRAY_NONE: free */
};
struct map {
    struct map_cell *cells;
    uint32_t used, size; /* size: 0 or a power of two */
};

/* One condition's access key, see gray_index. */
struct index_key {
    uint32_t hash, slot;
    uint8_t kind;   /* GRAY_KEY_* */
    uint8_t prefix; /* bytes, when kind is PREFIX, else 0 */
    uint16_t pad;
    uint32_t head;  /* of a prefix: where compile_index.c keeps its bytes */
};

/* What gate 3 needs to know of one rule set. */
struct set_cost {
    uint32_t ns;
    uint32_t pad;
    struct gray_span worst; /* build.worst[]: rules that make up `ns` */
};

/* Where a rule came from, for findings. */
struct rule_origin {
    const char *kind, *document; /* "Release", "cart-2" */
    const char *name, *pointer;
    uint32_t ns; /* costliest path through its program */
    uint8_t op;  /* its costliest condition */
};

struct build {
    const struct gray_model *model;
    const struct gray_compile_options *options;
    struct gray_findings *findings;
    bool failed; /* a finding that is an error, or no memory */
    bool no_memory;

    uint32_t strings_base; /* first byte of the strings in the file */

    /* The document being compiled, for findings. */
    const char *kind, *document;

    struct bytes strings, slots, insns, operands, rules, rulesets, indexes,
        sieves, index_slots, postings, numbers, releases, variants, services, routes,
        stages, selectors, lanes, entrances, entrance_releases, lists;
    struct bytes string_refs; /* struct gray_ref, by value in string_map */
    struct bytes names[4];    /* releases, services, lanes, entrances */
    struct bytes relocs;      /* uint32_t: places in operands to be moved */
    struct bytes origins;     /* struct rule_origin, by rule */
    struct bytes set_costs;   /* struct set_cost, by rule set */
    struct bytes worst;       /* uint32_t rules, of set_costs */
    struct bytes automata;    /* struct known_dfa, of compile_pattern.c */
    struct bytes zones;       /* struct known_zone, of compile_operand.c */
    struct map string_map, slot_map, dfa_map, zone_map;
    size_t dfa_bytes;
    uint64_t dfa_work;

    struct gray_file *list_files; /* by list of the model */
    struct gray_ref source;
    uint32_t needs;
    uint32_t cost_bound;
};

#define TABLE(buffer, type) ((type *)(void *)(buffer).data)
#define COUNT(buffer, type) ((uint32_t)((buffer).length / sizeof(type)))

/* Zeroed room for `size` bytes at the end; NULL (and build->no_memory) when
 * there is none.  Moves what was there. */
void *bytes_add(struct build *build, struct bytes *buffer, size_t size);
/* Fills up to a multiple of 8. */
int bytes_align(struct build *build, struct bytes *buffer);
void bytes_free(struct bytes *buffer);

/* Walks the values of one hash: *cursor starts at 0; GRAY_NONE at the end. */
uint32_t map_next(const struct map *map, uint32_t hash, uint32_t *cursor);
int map_add(struct build *build, struct map *map, uint32_t hash,
            uint32_t value);

/* The one place of these bytes; {base, 0} when there is no memory. */
struct gray_ref build_string(struct build *build, const char *data,
                             size_t length);
struct gray_ref build_name(struct build *build, const char *name);
/* The same in lower case (ASCII). */
struct gray_ref build_lower(struct build *build, struct model_text text);
struct gray_str build_text(const struct build *build, struct gray_ref ref);
/* Number of the slot of this attribute; taken when it is new. */
uint32_t build_slot(struct build *build, uint8_t source,
                    struct model_text name);

/* An error (or whatever) about the current document. */
void build_finding(struct build *build, enum gray_severity severity,
                   enum gray_problem_number problem, const char *pointer,
                   const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- programs, rules (compile_program.c, compile_operand.c) -------------- */

/* Offset in build->operands of the record of a test; 0 when it has none, or
 * on an error. */
uint32_t build_operand(struct build *build, const struct cond *test);
/* The same for regex, glob and contains (compile_pattern.c). */
uint32_t build_pattern(struct build *build, const struct cond *test);
/* Room for an operand record; its offset, 0 without memory.  Where it lies now
 * is right until the next one is made. */
uint32_t operand_room(struct build *build, size_t size);
void *operand_at(struct build *build, uint32_t offset);
/* The uint32_t at `place` is an offset that has to be moved with the table. */
int operand_relocate(struct build *build, size_t place);
/* The bytes with which every value begins that a pattern accepts, up to `size`
 * of them; *ret_whole: it accepts nothing but exactly them. */
uint32_t build_fixed_start(struct build *build, const struct cond *test,
                           char *buffer, uint32_t size, bool *ret_whole);
/* Compiles a tree; NULL makes an empty program, which holds. */
int build_program(struct build *build, const struct cond *cond,
                  uint32_t *ret_first, uint32_t *ret_count);
/* A rule set of these rules; GRAY_NONE in *ret_set when there is none.  Lane
 * rules (`lanes`) get their lane as action, and those of disabled lanes are
 * left out. */
int build_ruleset(struct build *build, const struct model_rule *rules,
                  uint32_t count, bool lanes, uint32_t *ret_set);
/* Bound of the costliest path through insns [first, first + count), ns. */
uint32_t build_program_cost(const struct build *build, uint32_t first,
                            uint32_t count, uint8_t *ret_op);

/* The index of a set (compile_index.c): `conds` by rule of the set. Fills
 * set->index and *ret_cost. */
int build_index(struct build *build, struct gray_ruleset *set,
                const struct cond *const *conds, struct set_cost *ret_cost);

/* The sieve of a set of up to GRAY_SIEVE_RULES_MAX rules (compile_sieve.c).
 * Fills set->sieve and set->unsieved. */
int build_sieve(struct build *build, struct gray_ruleset *set,
                const struct cond *const *conds);

/* ---- releases, services, lanes (compile_release.c, compile_routes.c) ----- */

int build_releases(struct build *build);
int build_entrances(struct build *build);
int build_services(struct build *build);

/* ---- gate 3 (cost.c) ----------------------------------------------------- */

#define COST_RULE 3u /* ns to come to a rule and leave it */
#define COST_CANDIDATE 4u /* ns to merge one more rule out of an index */
/* ns of one test, by conditions.def. */
uint32_t cost_of_condition(uint8_t op);
/* Sum that stays at the highest number. */
uint32_t cost_add(uint32_t a, uint32_t b);
/* Entries of an index sorted by slot, kind, prefix, hash, rule. */
struct index_entry {
    struct index_key key;
    uint32_t rule;
};
/* Chooses the prefix lengths of an index (compile_prefix.c) out of entries
 * that stand under whole prefixes, whose bytes are at heads + key.head: appends
 * one gray_index_slot with its lengths for each slot that has any.
 * *ret_all: each prefix has its own length among them. */
int prefix_choose(struct build *build, const struct gray_ruleset *set,
                  const struct index_entry *entries, uint32_t count,
                  const uint8_t *heads, struct bytes *ret_slots,
                  bool *ret_all);
/* The longest chosen length of the slot up to `length`; 0: none. */
uint8_t prefix_length(const struct bytes *slots, uint32_t slot,
                      uint32_t length);
/* Sorts the entries and writes the index of a set (compile_index_write.c);
 * `always`: uint32_t numbers of the rules without a key. Fills set->index. */
int index_write(struct build *build, struct gray_ruleset *set,
                struct index_entry *entries, uint32_t count,
                const struct bytes *always, struct set_cost *ret_cost);
int cost_of_index(struct build *build, const struct gray_ruleset *set,
                  const struct index_entry *entries, uint32_t count,
                  const struct gray_span *always, struct set_cost *ret_cost);
/* Fills build->cost_bound; a finding when it is too high. */
int cost_check(struct build *build);

/* ---- the file (compile_write.c) ------------------------------------------ */

int build_write(struct build *build, struct gray_file *ret_file);

/* ---- other files --------------------------------------------------------- */

/* fleet.snap of the model's services. */
int fleet_build(struct build *build, struct gray_file *ret_file);
/* One list. */
int list_build(struct build *build, const struct model_list *list,
               struct gray_file *ret_file);

#endif
