/* SPDX-License-Identifier: Apache-2.0
 * set.c - one immutable loaded state: policy, fleet, lists, link and keys.
 *
 * Why: a decision must see one policy with its own lists and the fleet joined
 * to it, or none.  Sets share the parts that did not change, so that a new
 * fleet does not cost the check of a large policy again.
 * Read next: reader.c, publish.c (both build sets).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

static struct part *list_of(const struct gray_runtime_set *set,
                            const char *name)
{
    uint32_t i;

    for (i = 0; set != NULL && i < set->list_count; i++) {
        if (strcmp(set->lists[i]->name, name) == 0) {
            return set->lists[i];
        }
    }
    return NULL;
}

static int set_lists(struct gray_runtime_set *set, int lists_fd, uid_t owner,
                     const struct gray_runtime_set *old,
                     struct gray_problem *ret_problem)
{
    const struct gray_snapshot *policy = &set->policy->policy;
    struct gray_table table = policy->policy->lists;
    const struct gray_list_ref *refs =
        (const struct gray_list_ref *)(const void *)(policy->base +
                                                     table.offset);
    uint32_t i;

    if (table.count == 0) {
        return 0;
    }
    set->lists = calloc(table.count, sizeof(*set->lists));
    set->list_views = calloc(table.count, sizeof(*set->list_views));
    if (set->lists == NULL || set->list_views == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    for (i = 0; i < table.count; i++) {
        char name[40];
        struct part *known;
        int error;

        if (!runtime_part_list_name(gray_text(policy, refs[i].file), name)) {
            return runtime_problem_set(ret_problem, EINVAL, "bad-list-name",
                                       "List %u of the policy names no file.",
                                       i);
        }
        known = list_of(old, name);
        if (known == NULL) {
            known = list_of(set, name);
        }
        if (known != NULL) {
            set->lists[i] = runtime_part_ref(known);
        } else {
            error = runtime_part_load(lists_fd, name, PART_LIST, owner,
                                      &set->lists[i], ret_problem);
            if (error != 0) {
                return error;
            }
        }
        set->list_count = i + 1;
        set->list_views[i] = set->lists[i]->list;
    }
    return 0;
}

static int set_link(struct gray_runtime_set *set,
                    struct gray_problem *ret_problem)
{
    size_t size = gray_link_size(&set->policy->policy, &set->fleet->fleet);

    set->link_memory = malloc(size > 0 ? size : 8);
    if (set->link_memory == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    if (gray_link_build(&set->link, &set->policy->policy, &set->fleet->fleet,
                        set->link_memory, size) != 0) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-link",
                                   "Policy and fleet could not be joined.");
    }
    return 0;
}

int runtime_set_complete(struct gray_runtime_set *set, int lists_fd,
                         uid_t owner, const struct gray_runtime_set *old,
                         const struct gray_control *control,
                         struct gray_problem *ret_problem)
{
    int error;

    if (set->policy == NULL) {
        return 0;
    }
    error = set_lists(set, lists_fd, owner, old, ret_problem);
    if (error == 0 && set->fleet != NULL) {
        error = set_link(set, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    set->route_count = set->policy->policy.policy->routes.count;
    set->series = calloc((size_t)set->route_count * GRAY_CLASS_COUNT + 1,
                         sizeof(*set->series));
    if (set->series == NULL || runtime_flows_make(set) != 0) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    set->view.policy = &set->policy->policy;
    if (set->fleet != NULL) {
        set->view.fleet = &set->fleet->fleet;
        set->view.link = &set->link;
    }
    set->view.lists = set->list_views;
    set->view.list_count = set->list_count;
    set->view.words = control != NULL ? control->words : NULL;
    set->view.word_count = control != NULL ? GRAY_WORDS_MAX : 0;
    return 0;
}

void gray_runtime_set_free(struct gray_runtime_set *set)
{
    uint32_t i;

    if (set == NULL) {
        return;
    }
    runtime_part_unref(set->policy);
    runtime_part_unref(set->fleet);
    for (i = 0; i < set->list_count; i++) {
        runtime_part_unref(set->lists[i]);
    }
    gray_runtime_set_free(set->next);
    runtime_set_marks_free(set);
    free(set->lists);
    free(set->list_views);
    free(set->link_memory);
    free(set->series);
    free(set->flows);
    runtime_keys_clear(&set->keys);
    free(set);
}
