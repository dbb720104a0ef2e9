/* SPDX-License-Identifier: Apache-2.0
 * policy.h - documents in, checked model and compiled snapshot out.
 *
 * Why: people write YAML or JSON; readers want a file that is checked, indexed
 * and ready to map.  Everything between lies here, in three steps that never
 * touch what is in force: read (documents.c), check (model_*.c, gates 1, 2 of
 * SEMANTICS 6, lint), compile (compile_*.c, gate 3); gates.c compares two
 * models (gates 4 and 5).  A step reports all problems it can find, not the
 * first one.  Nothing here is used on a request path; memory comes from
 * malloc; not safe in threads on one object.
 * Read next: model.h (the checked form), compile.c.
 */
#ifndef GRAY_POLICY_H
#define GRAY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Limits on documents. */
#define GRAY_DOCUMENT_BYTES_MAX (64u << 20) /* of one file */
#define GRAY_DOCUMENT_DEPTH_MAX 32u
#define GRAY_CONDITION_DEPTH_MAX 8u         /* nested all/any/not */
#define GRAY_STEPS_MAX 256u                 /* of a canary strategy */
#define GRAY_COST_BOUND_NS 2000u            /* of one decision */

enum gray_severity { GRAY_ERROR, GRAY_WARNING, GRAY_ADVICE };

/* One finding: a stable code of problems.def, a sentence, and its place. */
struct gray_finding {
    enum gray_severity severity;
    const char *code;   /* static */
    char *sentence;
    char *file;         /* NULL: no single file */
    uint32_t line, column; /* from 1; 0: unknown */
    char *pointer;      /* JSON pointer inside the document; "" the whole */
    char *document;     /* "Release/cart-2", NULL before it is known */
};
struct gray_findings {
    struct gray_finding *items;
    size_t count, capacity;
    size_t errors;
};
void gray_findings_free(struct gray_findings *findings);
/* "file:line:column: error: sentence [code] (Release/cart-2 /admission/share)",
 * one a line. */
void gray_findings_print(const struct gray_findings *findings, FILE *out);
/* The same as a JSON array. malloc'd. */
char *gray_findings_json(const struct gray_findings *findings);
/* For the CLI's help and docs: every code with its meaning, in order; returns
 * how many there are. */
size_t gray_problem_codes(const char *const **ret_codes,
                          const char *const **ret_sentences);

/* ---- read ---------------------------------------------------------------- */

/* Documents as read, with their places. */
struct gray_documents;
struct gray_documents *gray_documents_new(void);
void gray_documents_free(struct gray_documents *docs);
/* Adds a file, a folder (its *.yaml, *.yml, *.json by name, not deeper) or "-"
 * (standard input).  Gate 1.  0, or -1 with findings added; what was added
 * before stays. */
int gray_documents_add(struct gray_documents *docs, const char *path,
                       struct gray_findings *findings);
/* Adds a text; `name` stands for the file in findings. YAML is a superset: a
 * text whose first byte that is no blank is '{' or '[' is read as JSON. */
int gray_documents_add_text(struct gray_documents *docs, const char *name,
                            const char *text, size_t length,
                            struct gray_findings *findings);

struct json_t;
/* How many documents there are, and one of them: kind and name as written
 * (NULL where they are no texts), its tree; all borrowed. */
size_t gray_documents_count(const struct gray_documents *docs);
void gray_documents_at(const struct gray_documents *docs, size_t number,
                       const char **ret_kind, const char **ret_name,
                       struct json_t **ret_tree);
/* Adds a tree that was read before (borrowed; never written to). Findings
 * about it carry `name` and no line. 0, or -1: no memory. */
int gray_documents_add_tree(struct gray_documents *docs, const char *name,
                            struct json_t *tree);
/* The release stands at this share and attempt, whatever its document says;
 * called after everything is added. 0, or -1: no memory. */
int gray_documents_hold(struct gray_documents *docs, const char *release,
                        uint32_t share, uint32_t attempt);
/* The same, and its share moves this one of its dimensions (from 0; one that it
 * has not is left to the check). */
int gray_documents_hold_dimension(struct gray_documents *docs,
                                  const char *release, uint32_t share,
                                  uint32_t attempt, uint32_t dimension);
/* From now on a List with `file:` is refused: who wrote the documents has no
 * right to read files here. */
void gray_documents_refuse_files(struct gray_documents *docs);

/* ---- check --------------------------------------------------------------- */

struct gray_model;
/* Gates 1 and 2 and lint over all documents together.  NULL when there are
 * errors.  The model owns copies of all it needs. */
struct gray_model *gray_model_check(const struct gray_documents *docs,
                                    struct gray_findings *findings);
void gray_model_free(struct gray_model *model);
/* Canonical JSON of the documents: keys sorted, defaults left out, one array
 * sorted by kind and name; what snapshots carry as `source`. malloc'd. */
char *gray_model_source(const struct gray_model *model, size_t *ret_length);

/* Warns of releases whose marks need a writer, for who publishes without one
 * (grayd is one). */
void gray_model_warn_durable(const struct gray_model *model,
                             struct gray_findings *findings);

/* ---- gates over two models ----------------------------------------------- */

/* How far a number may be believed. */
enum gray_counted {
    GRAY_COUNTED_NONE,     /* nobody could count */
    GRAY_COUNTED_AT_LEAST, /* there may be more */
    GRAY_COUNTED_EXACT
};
/* Units that a change would let fall out, of one release and in one way. */
#define GRAY_DROP_EXAMPLES 5u
struct gray_drop {
    char *release, *what; /* "01", "the share was 10 and would be 5" */
    const char *kind;     /* a code of problems.def: "tail-dropped"; static */
    uint64_t marks;       /* of units that are IN and drop */
    uint64_t at_once;     /* of them: whom not even their mark keeps in */
    enum gray_counted counted;
    char *examples[GRAY_DROP_EXAMPLES]; /* units; NULL at the end */
    bool meant;           /* ids that a deny names: the one allowed drop */
};
struct gray_drops {
    struct gray_drop *items;
    size_t count;
};
void gray_drops_free(struct gray_drops *drops);
/* [{release, kind, what, marks, atOnce, counted: "exact|atLeast|none",
 * examples}] as JSON. malloc'd. */
char *gray_drops_json(const struct gray_drops *drops);

/* Whoever can count marks of a release: asks `standing` (standing.h) of each
 * that is IN and says how far all of them were seen. Its tally is given back in
 * *ret_tally; `why`, where not all were seen, is copied. */
struct gray_standing;
struct gray_tally;
struct gray_counter {
    enum gray_counted (*count)(void *context, struct gray_standing *standing,
                               struct gray_tally *ret_tally,
                               char ret_why[160]);
    void *context;
};

/* Gate 4 (shares, salts, units, tails, lists, conditions: `in before AND NOT in
 * after` is empty, decided by the engine over every sort of request that the
 * conditions tell apart) and gate 5 (one variable at a time).  Findings are
 * errors where a unit that is in could fall out, or where a Service, a Release
 * that lets somebody in, or a Lane that is on is left out of `after`.  `before`
 * NULL: nothing was in force.  `options` NULL: nothing is overridden.
 * *ret_drops (NULL: not wanted) is freed by the caller. 0 when there are no
 * errors. */
struct gray_gate_options {
    bool prune; /* what is left out is meant to go, and is only warned of */
    /* What would drop units of a release, or widens it twice, is only warned
     * of, if exactly `drop` marks drop by all of that together. */
    bool allow_drop;
    uint64_t drop;
    const struct gray_counter *counter; /* NULL: nobody counts */
    int64_t now; /* ms since the epoch: windows of time that are over do not
                    count; 0: all count */
};
int gray_gates_compare(const struct gray_model *before,
                       const struct gray_model *after,
                       const struct gray_gate_options *options,
                       struct gray_findings *findings,
                       struct gray_drops *ret_drops);
/* Human or JSON difference: added, removed, changed documents with JSON
 * pointers, before and after. malloc'd. */
char *gray_model_diff(const struct gray_model *before,
                      const struct gray_model *after, int as_json);

/* ---- compile ------------------------------------------------------------- */

/* A file to be published: header with generation 0 and checksum 0, which
 * runtime fills when it publishes. */
struct gray_file {
    char name[40]; /* lists: 32 hexadecimal digits; else "policy", "fleet" */
    uint8_t *data;
    uint64_t size;
};
struct gray_compiled {
    struct gray_file policy, fleet;
    struct gray_file *lists;
    size_t list_count;
    uint32_t cost_bound_ns;
};
struct gray_compile_options {
    uint64_t revision;
    int64_t effective_at; /* ms since the epoch; 0: at once */
    uint32_t max_skew;    /* ms, at most GRAY_SKEW_MAX_MS; 0: any */
    int64_t now;          /* ms since the epoch: for time zones' tables */
    /* Number of the scope word of a release by gray_hash_scope(name); runtime
     * keeps them stable.  NULL: numbers in the order of the releases. */
    uint32_t (*word_of)(void *context, uint64_t scope);
    void *word_context;
    unsigned no_index : 1; /* brute force, for tests: every rule is tried */
};
/* Gate 3 and the snapshot; opened with the engine's own check before it is
 * handed out.  0, or -1 with findings. */
int gray_compile(const struct gray_model *model,
                 const struct gray_compile_options *options,
                 struct gray_compiled *ret_compiled,
                 struct gray_findings *findings);
void gray_compiled_free(struct gray_compiled *compiled);

#endif
