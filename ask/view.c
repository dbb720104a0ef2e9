/* SPDX-License-Identifier: Apache-2.0
 * view.c - compiled documents, opened as a reader opens what is in force.
 *
 * Why: documents that are not published, or were once, are decided over by the
 * same view and through the same checks as those in the runtime folder.
 * Read next: engine/snapshot.h, policy/compile.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask.h"

static int no_memory(struct gray_problem *ret_problem)
{
    ret_problem->code = "no-memory";
    snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
             "There is no memory for the compiled policy.");
    return -ENOMEM;
}

static int open_lists(struct ask_view *view,
                      const struct gray_compiled *compiled,
                      struct gray_problem *ret_problem)
{
    const struct gray_policy *policy = view->snapshot.policy;

    view->lists = calloc(policy->lists.count + 1, sizeof(*view->lists));
    if (view->lists == NULL) {
        return no_memory(ret_problem);
    }
    for (size_t i = 0; i < policy->lists.count; i++) {
        const struct gray_list_ref *refs =
            (const void *)(view->snapshot.base + policy->lists.offset);
        struct gray_str name = gray_text(&view->snapshot, refs[i].file);

        for (size_t j = 0; j < compiled->list_count; j++) {
            const struct gray_file *file = &compiled->lists[j];

            if (strlen(file->name) == name.length &&
                memcmp(file->name, name.data, name.length) == 0 &&
                gray_list_open(&view->lists[i], file->data, file->size,
                               ret_problem) != 0) {
                return -EINVAL;
            }
        }
    }
    return 0;
}

int ask_view_open(struct ask_view *ret_view,
                  const struct gray_compiled *compiled,
                  struct gray_problem *ret_problem)
{
    struct ask_view *view = ret_view;
    size_t size;
    int error;

    memset(view, 0, sizeof(*view));
    if (gray_snapshot_open(&view->snapshot, compiled->policy.data,
                           compiled->policy.size, ret_problem) != 0 ||
        gray_fleet_open(&view->fleet, compiled->fleet.data,
                        compiled->fleet.size, ret_problem) != 0) {
        return -EINVAL;
    }
    size = gray_link_size(&view->snapshot, &view->fleet);
    view->link_memory = malloc(size > 0 ? size : 1);
    if (view->link_memory == NULL) {
        return no_memory(ret_problem);
    }
    error = open_lists(view, compiled, ret_problem);
    if (error != 0) {
        return error;
    }
    if (gray_link_build(&view->link, &view->snapshot, &view->fleet,
                        view->link_memory, size) != 0) {
        return no_memory(ret_problem);
    }
    view->view.policy = &view->snapshot;
    view->view.fleet = &view->fleet;
    view->view.link = &view->link;
    view->view.lists = view->lists;
    view->view.list_count = view->snapshot.policy->lists.count;
    return 0;
}

void ask_view_close(struct ask_view *view)
{
    free(view->lists);
    free(view->link_memory);
    view->lists = NULL;
    view->link_memory = NULL;
}
