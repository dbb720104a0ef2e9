/* SPDX-License-Identifier: Apache-2.0
 * driver.h - what a kind of store must be able to do.
 *
 * Why: grayd alone keeps its memory in SQLite, a cluster will keep it in etcd,
 * and nothing above store.h may know which.  A driver gets only calls whose
 * sizes and names store.c has checked; it answers as store.h says.
 * Read next: store.c, store_sqlite.c.
 */
#ifndef GRAYD_STORE_DRIVER_H
#define GRAYD_STORE_DRIVER_H

#include "control/store/store.h"

struct store_driver {
    const char *word;
    int (*open)(void **ret_state, const char *folder,
                struct gray_problem *ret_problem);
    void (*close)(void *state);
    int (*commit)(void *state, const struct store_batch *batch,
                  uint64_t *ret_revision, struct gray_problem *ret_problem);
    int (*reader_open)(void **ret_state, const char *folder,
                       struct gray_problem *ret_problem);
    void (*reader_close)(void *state);
    int (*read_head)(void *state, struct store_head *ret_head,
                     struct gray_problem *ret_problem);
    int (*read_revision_at)(void *state, int64_t at, uint64_t *ret_revision,
                            struct gray_problem *ret_problem);
    int (*read_item)(void *state, enum store_space space, const char *name,
                     uint64_t revision, store_visit *visit, void *context,
                     struct gray_problem *ret_problem);
    int (*read_items)(void *state, enum store_space space, uint64_t revision,
                      const char *after, size_t limit, store_visit *visit,
                      void *context, struct gray_problem *ret_problem);
    int (*read_history)(void *state, enum store_space space, const char *name,
                        uint64_t before, size_t limit, store_visit *visit,
                        void *context, struct gray_problem *ret_problem);
    int (*read_audit)(void *state, uint64_t from, size_t limit,
                      store_record_visit *visit, void *context,
                      struct gray_problem *ret_problem);
    int (*read_pending)(void *state, store_pending_visit *visit, void *context,
                        struct gray_problem *ret_problem);
    int (*read_answer)(void *state, const char *key,
                       struct store_answer *ret_answer,
                       struct gray_problem *ret_problem);
};
extern const struct store_driver store_sqlite_driver;

/* Says a problem; returns -error, so that a function may return it. */
__attribute__((format(printf, 4, 5))) int
store_problem_set(struct gray_problem *problem, int error, const char *code,
                  const char *format, ...);

#endif
