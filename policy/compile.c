/* SPDX-License-Identifier: Apache-2.0
 * compile.c - a checked model becomes the files that readers map.
 *
 * Why: everything that can be worked out before a request comes is worked out
 * here: names become numbers, conditions programs, patterns automata, lanes
 * and arms lists of selectors.  The result is opened by the engine's own check
 * before anyone sees it: what it would refuse is never handed out.
 *
 *   lists -> releases -> entrances -> services -> gate 3 -> policy -> fleet
 * Read next: compile.h, compile_program.c, compile_index.c, compile_routes.c.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

static void build_free(struct build *build)
{
    struct bytes *all[] = {
        &build->strings, &build->string_refs, &build->slots, &build->insns,
        &build->operands, &build->rules, &build->rulesets, &build->indexes,
        &build->sieves, &build->index_slots, &build->postings, &build->numbers,
        &build->releases, &build->variants, &build->stages, &build->services, &build->routes,
        &build->selectors, &build->lanes, &build->entrances,
        &build->entrance_releases, &build->lists, &build->names[0],
        &build->names[1], &build->names[2], &build->names[3], &build->relocs,
        &build->origins, &build->set_costs, &build->worst, &build->automata,
        &build->zones};
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        bytes_free(all[i]);
    }
    free(build->string_map.cells);
    free(build->slot_map.cells);
    free(build->dfa_map.cells);
    free(build->zone_map.cells);
    for (i = 0; build->list_files != NULL && i < build->model->list_count;
         i++) {
        free(build->list_files[i].data);
    }
    free(build->list_files);
}

static int build_lists(struct build *build)
{
    uint32_t i, count = build->model->list_count;

    build->list_files = calloc(count + 1, sizeof(*build->list_files));
    if (build->list_files == NULL) {
        build->failed = build->no_memory = true;
        return -1;
    }
    for (i = 0; i < count; i++) {
        build->kind = "List";
        build->document = build->model->lists[i].name;
        if (list_build(build, &build->model->lists[i],
                       &build->list_files[i]) != 0) {
            return -1;
        }
    }
    build->kind = build->document = NULL;
    return 0;
}

/* Readers would refuse it, so nobody gets it; this is our own fault. */
static int refused(struct build *build, const struct gray_file *file,
                   const struct gray_problem *problem)
{
    build_finding(build, GRAY_ERROR, GRAY_PROBLEM_BAD_SNAPSHOT, "",
                  "The compiled file \"%s\" is refused by the engine: %s [%s] "
                  "at byte %llu.",
                  file->name, problem->sentence, problem->code,
                  (unsigned long long)problem->offset);
    return -1;
}

static int open_all(struct build *build, const struct gray_compiled *compiled)
{
    struct gray_snapshot snapshot;
    struct gray_problem problem;
    struct gray_fleet fleet;
    struct gray_list list;
    size_t i;

    if (gray_snapshot_open(&snapshot, compiled->policy.data,
                           compiled->policy.size, &problem) != 0) {
        return refused(build, &compiled->policy, &problem);
    }
    if (gray_fleet_open(&fleet, compiled->fleet.data, compiled->fleet.size,
                        &problem) != 0) {
        return refused(build, &compiled->fleet, &problem);
    }
    for (i = 0; i < compiled->list_count; i++) {
        if (gray_list_open(&list, compiled->lists[i].data,
                           compiled->lists[i].size, &problem) != 0) {
            return refused(build, &compiled->lists[i], &problem);
        }
    }
    return 0;
}

/* Lists of the same content are one file. */
static int take_lists(struct build *build, struct gray_compiled *compiled)
{
    uint32_t i, count = build->model->list_count;
    size_t k;

    compiled->lists = calloc(count + 1, sizeof(*compiled->lists));
    if (compiled->lists == NULL) {
        build->failed = build->no_memory = true;
        return -1;
    }
    for (i = 0; i < count; i++) {
        for (k = 0; k < compiled->list_count; k++) {
            if (strcmp(compiled->lists[k].name, build->list_files[i].name) ==
                0) {
                break;
            }
        }
        if (k == compiled->list_count) {
            compiled->lists[compiled->list_count++] = build->list_files[i];
            build->list_files[i].data = NULL;
        }
    }
    return 0;
}

static int build_all(struct build *build, struct gray_compiled *compiled)
{
    /* A bad pattern in one release must not hide one in the next, so a finding
     * alone stops nothing before the file is written. */
    if (build_lists(build) != 0 || build_releases(build) != 0 ||
        build_entrances(build) != 0 || build_services(build) != 0 ||
        cost_check(build) != 0 || build->failed) {
        return -1;
    }
    if (build_write(build, &compiled->policy) != 0 ||
        fleet_build(build, &compiled->fleet) != 0 ||
        take_lists(build, compiled) != 0) {
        return -1;
    }
    compiled->cost_bound_ns = build->cost_bound;
    return open_all(build, compiled);
}

int gray_compile(const struct gray_model *model,
                 const struct gray_compile_options *options,
                 struct gray_compiled *ret_compiled,
                 struct gray_findings *findings)
{
    size_t first = findings->count;
    struct gray_compiled compiled;
    struct build build;
    int result;

    memset(&build, 0, sizeof(build));
    memset(&compiled, 0, sizeof(compiled));
    build.model = model;
    build.options = options;
    build.findings = findings;
    build.strings_base =
        sizeof(struct gray_file_header) + sizeof(struct gray_policy);
    result = build_all(&build, &compiled);
    if (build.no_memory) {
        build.kind = build.document = NULL;
        build_finding(&build, GRAY_ERROR, GRAY_PROBLEM_OUT_OF_MEMORY, "",
                      "There is not enough memory to compile this policy.");
    }
    build_free(&build);
    if (result != 0 || build.failed) {
        gray_compiled_free(&compiled);
        if (model->arena != NULL) { /* not made by hand: it has documents */
            gray_model_locate(model, findings, first);
        }
        return -1;
    }
    *ret_compiled = compiled;
    return 0;
}

void gray_compiled_free(struct gray_compiled *compiled)
{
    size_t i;

    if (compiled == NULL) {
        return;
    }
    for (i = 0; compiled->lists != NULL && i < compiled->list_count; i++) {
        free(compiled->lists[i].data);
    }
    free(compiled->lists);
    free(compiled->policy.data);
    free(compiled->fleet.data);
    memset(compiled, 0, sizeof(*compiled));
}
