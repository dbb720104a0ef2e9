/* SPDX-License-Identifier: Apache-2.0
 * agree.h - a policy that can be asked in every way there is.
 *
 * Why: agree.c compares ways inside the engine, agree_programs.c whole
 * programs; both need the same invented policy as documents, as a model for
 * brute force, and compiled.
 * Read next: agree_scene.c, agree.c, agree_programs.c.
 */
#ifndef GRAY_TESTS_AGREE_H
#define GRAY_TESTS_AGREE_H

#include "policy/policy.h"
#include "tests/story/invent.h"

#define AGREE_LISTS 8u
#define AGREE_LINE_BYTES 65536u /* longer than any explanation */

/* ---- agree_scene.c ------------------------------------------------------ */

/* One policy: compiled with its index ([0]) and without ([1]). */
struct scene {
    struct gray_model *model;
    struct gray_compiled compiled[2];
    struct gray_snapshot snapshots[2];
    struct gray_fleet fleet;
    struct gray_link links[2];
    void *memory[2];
    struct gray_list lists[2][AGREE_LISTS];
    struct gray_view views[2];
    struct gray_scope_word words[BRUTE_RELEASES];
    uint8_t word_of[BRUTE_RELEASES];
    struct brute brute;
};
/* Draws until a policy is accepted, for nobody says that random text is good;
 * adds the refused ones to *refused.  `policy` then holds its text.  False:
 * far too many were refused, which was said. */
bool scene_open(struct scene *s, struct text *policy, struct dice *d,
                uint64_t *refused);
void scene_close(struct scene *s);
/* GRAY_NONE: no entrance has this name. */
uint32_t scene_entrance(const struct scene *s, const char *name);
void scene_feed(struct gray_input *in, const struct gray_snapshot *policy,
                const struct brute_request *r);
/* A request as all programs can be asked it: nothing was issued to the client,
 * and who comes through no entrance says so.  Its entrance is the number that
 * decides. */
uint32_t scene_invent(const struct scene *s, struct invented *in,
                      struct dice *d);
/* The engine's own line, without a line feed; its length.  Ends the program
 * when it is longer than AGREE_LINE_BYTES - 1. */
size_t scene_explain(const struct scene *s, const struct invented *in,
                     uint32_t entrance, char line[AGREE_LINE_BYTES]);

/* ---- agree_compare.c ---------------------------------------------------- */

/* Does the engine say what brute force says? */
bool compare_colour(const struct scene *scene, uint32_t which,
                    const struct gray_colour *found,
                    const struct brute_answer *wanted);
/* Every release that was asked, refusals too: the last word of each. */
bool compare_trace(const struct scene *scene, const struct gray_trace *t,
                   const struct brute_answer *wanted);
void compare_show(const struct scene *scene, const struct gray_colour *found,
                  const struct gray_trace *trace,
                  const struct brute_answer *wanted);

/* ---- agree_line.c ------------------------------------------------------- */

/* Is this line what brute force decided, byte for byte where it speaks of the
 * decision?  (Trace, versions and units are the engine's.)  Prints what it
 * misses. */
bool line_says(const char *line, size_t length, const struct scene *scene,
               const struct brute_request *request,
               const struct brute_answer *wanted);

#define AGREE_WORDS 32u
/* How often a trace held a condition, by operator and by source: [0] found
 * false, [1] true.  A source counts when the request had a value there (time
 * has none). */
struct hits {
    uint64_t ops[AGREE_WORDS][2], sources[AGREE_WORDS][2];
};
/* Any number of lines.  False, and says so: a word that no table has. */
bool hits_count(struct hits *hits, const char *lines, size_t length);
/* Prints all; false when one was found true, or found false, more seldom than
 * `wanted` times. */
bool hits_check(const struct hits *hits, uint64_t wanted);

/* ---- agree_library.c ---------------------------------------------------- */

struct gray_client;
/* By the public header alone.  NULL, with a sentence printed: no such folder,
 * or its policy is not in force. */
struct gray_client *library_open(const char *folder);
/* The line, without a line feed; 0: there is none. */
size_t library_explain(struct gray_client *client, const struct invented *in,
                       char line[AGREE_LINE_BYTES]);
void library_close(struct gray_client *client);

#endif
