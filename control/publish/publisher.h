/* SPDX-License-Identifier: Apache-2.0
 * publisher.h - from what the store says to what the host's readers see.
 *
 * Why: the runtime folder lies on tmpfs and grayd may be dead or late, so
 * three things are kept apart: the store (truth), the runtime folder (in
 * force), and <state>/last-good (a copy of what was last in force, on disk:
 * snapshot, fleet, lists, keys, words), from which the folder is restored
 * before nginx starts, without a store and without compiling anything.
 * A word that a person set on the host itself carries GRAY_WORD_HOST and is
 * never overwritten here: it is reported, adopted by the release's state, and
 * only then written again as grayd's own.
 * A folder that somebody removed is followed by its path, as readers do: the
 * next look finds the new one, with publisher_revision() 0 when it is empty.
 * Threads: the control thread alone; publisher_restore() from main().
 * Read next: publisher.c, last_good.c, readers.c.
 */
#ifndef GRAYD_PUBLISHER_H
#define GRAYD_PUBLISHER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/policy.h"
#include "runtime/runtime.h"

struct publisher;
struct publisher_word {
    char name[GRAY_NAME_MAX + 1]; /* of the release */
    uint32_t word;                /* GRAY_WORD_* */
    uint64_t scope;               /* instead of a name; 0: of the name */
};
/* What another host compiled (control/agent): parts as they lie in its folder.
 */
struct publisher_parts {
    const void *policy, *fleet, *keys; /* size 0: left as they are */
    uint64_t policy_size, fleet_size, keys_size;
    const struct gray_publish_list *lists;
    size_t list_count;
};

/* Opens (makes) the runtime folder; takes <runtime>/grayd.lock, so that two
 * grayds never write one folder ("in-use", naming the other's pid). */
int publisher_open(struct publisher **ret_publisher, const char *runtime,
                   const char *state, gid_t group, bool allow_any_filesystem,
                   struct gray_problem *ret_problem);
void publisher_close(struct publisher *publisher);
/* Number of the word of a release, for gray_compile_options.word_of; context
 * is the publisher. */
uint32_t publisher_word_number(void *context, uint64_t scope);

/* Sets the words that tighten, publishes, sets the words that loosen, so that
 * no unit is let in by half a change; then keeps a copy in last-good (a copy
 * that could not be kept is reported in *ret_problem with return 1). Words of
 * releases whose folder word has GRAY_WORD_HOST are left alone.  A policy that
 * was compiled for an instant (effective_at) lies ready until then; whoever
 * puts one says no words, and sets them by publisher_turned(). */
int publisher_put(struct publisher *publisher,
                  const struct gray_compiled *compiled,
                  const struct publisher_word *words, size_t word_count,
                  struct gray_published *ret_published,
                  struct gray_problem *ret_problem);
/* The same of parts that were compiled elsewhere: words that tighten, keys,
 * lists with fleet and policy, words that loosen. */
int publisher_put_parts(struct publisher *publisher,
                        const struct publisher_parts *parts,
                        const struct publisher_word *words, size_t word_count,
                        struct gray_published *ret_published,
                        struct gray_problem *ret_problem);
/* Those of the words that tighten, now: what is to be published with them may
 * take its time. 1 like publisher_put(). */
int publisher_tighten(struct publisher *publisher,
                      const struct publisher_word *words, size_t word_count,
                      struct gray_problem *ret_problem);
/* The instant of that generation has come: words as by publisher_put(), and
 * `control` and last-good say that it is in force.  1 like publisher_put();
 * -EAGAIN: it is not in force, and must be put. */
int publisher_turned(struct publisher *publisher, uint64_t generation,
                     const struct publisher_word *words, size_t word_count,
                     struct gray_published *ret_published,
                     struct gray_problem *ret_problem);
/* What is in force in the folder now, and what waits. */
void publisher_named(struct publisher *publisher, struct gray_named *ret_named);
/* What readers died of under what is in force, or waits. */
void publisher_crashes(struct publisher *publisher,
                       struct gray_crashes *ret_crashes);
/* Words and bypass alone; 1 like publisher_put(). Nothing is copied where
 * nothing was changed. */
int publisher_words(struct publisher *publisher,
                    const struct publisher_word *words, size_t word_count,
                    struct gray_problem *ret_problem);
int publisher_bypass(struct publisher *publisher, bool on,
                     struct gray_problem *ret_problem);
/* Sets one word although a host word stands there: a person said otherwise,
 * or it was adopted. A host word that was not handed out by
 * publisher_host_word() yet is replaced by a stronger one only: else -EAGAIN
 * "host-word", and the next look finds it. 1 like publisher_put(). */
int publisher_word_force(struct publisher *publisher, const char *name,
                         uint32_t word, struct gray_problem *ret_problem);

/* The same of many, with one copy; the first that could not be set is said,
 * the others are set all the same. */
int publisher_words_force(struct publisher *publisher,
                          const struct publisher_word *words,
                          size_t word_count, struct gray_problem *ret_problem);

/* Whether somebody removed the folder since this was asked last: none is at
 * the path now, or another one, which has nothing of this publisher's. Cheap:
 * may be asked on every tick. */
bool publisher_renewed(struct publisher *publisher);

/* Revision of the policy in force in the folder; 0: none. */
uint64_t publisher_revision(struct publisher *publisher);
/* The next word that a person set on this host (GRAY_WORD_HOST): *ret_scope
 * and *ret_word, without that flag; `at` is a position, 0 to begin. 0, or 1:
 * no more. Cheap: may be asked on every tick. */
int publisher_host_word(struct publisher *publisher, size_t *at,
                        uint64_t *ret_scope, uint32_t *ret_word);
/* The next scope that the folder has a word for, whoever set it (*ret_word
 * with GRAY_WORD_HOST where a person of this host did); as above. */
int publisher_next_word(struct publisher *publisher, size_t *at,
                        uint64_t *ret_scope, uint32_t *ret_word);
/* Who set it, from actions.log of the folder: {"action","actor","reason","at"}
 * or NULL. New reference. */
json_t *publisher_host_action(struct publisher *publisher, const char *name);
/* The same of what was done to the folder itself: "unblock". */
json_t *publisher_folder_action(struct publisher *publisher,
                                const char *action);
bool publisher_bypassed(struct publisher *publisher);
/* How far this host's wall clock is off (gray_clock_offset_set()). */
void publisher_clock_offset(struct publisher *publisher, int64_t offset_ms);

/* Live readers of a folder with generations and epoch that they acknowledged,
 * what they last refused, and counters by route: what /v1/status and /metrics
 * show. Any thread; reads files as hostile input. New reference; NULL with
 * *ret_problem. */
json_t *publisher_status(const char *runtime,
                         struct gray_problem *ret_problem);
/* Live readers and those that acknowledged these numbers (0: any; an epoch of
 * UINT64_MAX: the one that `control` has now). */
int publisher_acknowledged(const char *runtime, uint64_t policy_generation,
                           uint64_t word_epoch, size_t *ret_live,
                           size_t *ret_acknowledged,
                           struct gray_problem *ret_problem);
/* Live readers that have not: [{"id","pid"}]; *ret_live counts all that live.
 * New reference; NULL with *ret_problem. */
json_t *publisher_laggards(const char *runtime, uint64_t policy_generation,
                           uint64_t word_epoch, size_t *ret_live,
                           struct gray_problem *ret_problem);
/* Which generation of keys the folder has now. */
uint64_t publisher_keys(const struct publisher *publisher);
/* The epoch of words that the folder has now. */
uint64_t publisher_word_epoch(const struct publisher *publisher);

/* Puts last-good back into a runtime folder that is missing or empty: for a
 * unit that runs before nginx. 0; 1: there is nothing to restore, or the
 * folder has a policy already. What is damaged is refused, and then nothing
 * of the folder is touched. Words keep who set them. */
int publisher_restore(const char *state, const char *runtime, gid_t group,
                      bool allow_any_filesystem,
                      struct gray_problem *ret_problem);

#endif
