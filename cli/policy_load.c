/* SPDX-License-Identifier: Apache-2.0
 * policy_load.c - something to decide by: documents, or a runtime folder.
 *
 * Why: explain and sample must answer alike for documents that are not in
 * force yet and for the policy in force; plan and publish compare the two.
 * Documents are compiled into memory and opened by the engine's own check;
 * the folder is read through the runtime, scope words included.
 * Read next: publish.c, explain.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

#define SNAPSHOT_BYTES_MAX (UINT64_C(4) << 30)

struct gray_model *model_load(const struct arguments *arguments,
                              enum cli_option_number option,
                              struct gray_findings *findings)
{
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;
    const char *path;
    size_t at = 0;
    int failed = docs == NULL;

    while ((path = arguments_next(arguments, option, &at)) != NULL) {
        failed |= docs != NULL && gray_documents_add(docs, path, findings) != 0;
    }
    if (!failed) {
        model = gray_model_check(docs, findings);
    }
    gray_documents_free(docs);
    return model;
}

int policy_compile(struct policy *policy,
                   const struct gray_compile_options *options)
{
    struct gray_problem problem = { 0 };

    if (gray_compile(policy->model, options, &policy->compiled,
                     &policy->findings) != 0) {
        return CLI_EXIT_REFUSED;
    }
    if (ask_view_open(&policy->own, &policy->compiled, &problem) != 0) {
        complain_problem("compiled policy", &problem);
        return CLI_EXIT_SYSTEM;
    }
    policy->view = &policy->own.view;
    return 0;
}

static int load_documents(struct policy *policy,
                          const struct arguments *arguments)
{
    struct gray_compile_options options = { .revision = 1,
                                            .now = port_now_ms() };
    double revision = 1;
    int status = arguments_number(arguments, CLI_REVISION, 0, 9e15, &revision);

    if (status == 0) {
        options.revision = (uint64_t)revision;
        policy->model = model_load(arguments, CLI_FILE, &policy->findings);
        status = policy->model == NULL ? CLI_EXIT_REFUSED
                                       : policy_compile(policy, &options);
    }
    /* Advice about documents is lint's; here the question is another. */
    if (status != 0) {
        gray_findings_print(&policy->findings, stderr);
    }
    return status;
}

static int load_folder(struct policy *policy,
                       const struct arguments *arguments)
{
    const char *folder = arguments_runtime(arguments);
    struct gray_problem problem = { 0 };
    enum gray_reason reason = GRAY_REASON_NONE;

    if (gray_runtime_open(&policy->runtime, folder, GRAY_READER_CLI, false,
                          &problem) != 0) {
        complain_problem(folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    policy->view = gray_runtime_view(policy->runtime, &reason);
    if (policy->view == NULL && reason == GRAY_REASON_BYPASS) {
        policy->view = gray_runtime_loaded(policy->runtime);
        complain("%s: bypass is on, so requests are served as if Graylane was "
                 "not there; this is what would hold without it", folder);
    }
    if (policy->view == NULL) {
        const struct gray_problem *refusal =
            gray_runtime_refusal(policy->runtime);

        complain("%s: %s %s", folder,
                 gray_reason_sentence(GRAY_REASON_NO_SNAPSHOT),
                 gray_reason_advice(GRAY_REASON_NO_SNAPSHOT));
        if (refusal != NULL && refusal->code != NULL) {
            complain_problem(folder, refusal);
        }
        return CLI_EXIT_NOT_FOUND;
    }
    return 0;
}

int policy_load(struct policy *ret_policy, const struct arguments *arguments)
{
    if (arguments_has(arguments, CLI_FILE)) {
        if (arguments_has(arguments, CLI_RUNTIME)) {
            complain("either -f or --runtime, not both");
            return CLI_EXIT_USAGE;
        }
        return load_documents(ret_policy, arguments);
    }
    return load_folder(ret_policy, arguments);
}

void policy_free(struct policy *policy)
{
    gray_findings_free(&policy->findings);
    gray_model_free(policy->model);
    gray_compiled_free(&policy->compiled);
    ask_view_close(&policy->own);
    gray_runtime_close(policy->runtime);
}

/* ---- the policy in force, as it lies in the folder ----------------------- */

static int read_whole(int fd, uint64_t size, uint8_t **ret_data)
{
    uint8_t *data = malloc(size + 8);
    uint64_t at = 0;

    while (data != NULL && at < size) {
        ssize_t got = read(fd, data + at, size - at);

        if (got <= 0) {
            if (got < 0 && errno == EINTR) {
                continue;
            }
            free(data);
            return -1;
        }
        at += (uint64_t)got;
    }
    if (data != NULL) {
        *ret_data = data;
    }
    return data != NULL ? 0 : -1;
}

static int problem_fill(struct gray_problem *ret_problem, const char *code,
                        const char *path)
{
    ret_problem->code = code;
    ret_problem->offset = 0;
    snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
             "%.100s: %.50s", path,
             errno != 0 ? strerror(errno) : "not a policy of a sane size");
    return -1;
}

/* What is in force now; 0 when there is nothing. */
static int generation_of(const char *folder, uint64_t *ret_generation,
                         struct gray_problem *ret_problem)
{
    struct gray_folder open = { .dirfd = -1 };
    struct gray_named named;
    int error = gray_folder_open(&open, folder, false, ret_problem);

    if (error == -ENOENT) {
        *ret_generation = 0;
        return 0;
    }
    if (error != 0) {
        return -1;
    }
    gray_folder_named(&open, port_now_ms(), &named);
    *ret_generation = named.policy;
    gray_folder_close(&open);
    return 0;
}

static int read_generation(const char *folder, uint64_t generation,
                           struct in_force *ret_in_force,
                           struct gray_problem *ret_problem)
{
    struct stat facts;
    char path[4096];
    int fd, failed;

    snprintf(path, sizeof(path), "%s/policy.%llu.snap", folder,
             (unsigned long long)generation);
    errno = 0;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return problem_fill(ret_problem, "no-read", path);
    }
    failed = fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) ||
             facts.st_size <= 0 ||
             (uint64_t)facts.st_size > SNAPSHOT_BYTES_MAX ||
             read_whole(fd, (uint64_t)facts.st_size, &ret_in_force->data) != 0;
    close(fd);
    if (failed) {
        return problem_fill(ret_problem, "no-read", path);
    }
    return gray_snapshot_open(&ret_in_force->snapshot, ret_in_force->data,
                              (uint64_t)facts.st_size, ret_problem);
}

int in_force_read(struct in_force *ret_in_force, const char *folder,
                  struct gray_problem *ret_problem)
{
    int status = -1;

    /* A publisher may drop the file between our two looks. */
    for (int i = 0; i < 3 && status != 0; i++) {
        struct in_force now = { 0 };

        if (generation_of(folder, &now.generation, ret_problem) != 0) {
            return -1;
        }
        if (now.generation == 0) {
            return 1;
        }
        status = read_generation(folder, now.generation, &now, ret_problem);
        if (status != 0) {
            free(now.data);
            now.data = NULL;
        }
        *ret_in_force = now;
    }
    return status;
}

int in_force_model(struct in_force *in_force, struct gray_findings *findings)
{
    struct gray_str text = gray_text(&in_force->snapshot,
                                     in_force->snapshot.policy->source);
    struct gray_documents *docs = gray_documents_new();
    struct gray_findings own = { 0 };

    if (docs != NULL &&
        gray_documents_add_text(docs, "(policy in force)", text.data,
                                text.length, &own) == 0) {
        in_force->model = gray_model_check(docs, &own);
    }
    gray_documents_free(docs);
    if (in_force->model == NULL) {
        *findings = own;
        return -1;
    }
    /* What was advised about the old documents is no news. */
    gray_findings_free(&own);
    return 0;
}

void in_force_free(struct in_force *in_force)
{
    gray_model_free(in_force->model);
    free(in_force->data);
}
