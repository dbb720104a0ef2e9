/* SPDX-License-Identifier: Apache-2.0
 * bypass.c - `gray bypass on|off`: the modules of this host made transparent.
 *
 * Why: when Graylane itself is suspected, one word takes it out of the way
 * without touching nginx.conf, and one brings it back.
 */
#include <string.h>

#include "cli/remote.h"

static int through_grayd(struct remote *remote,
                         const struct arguments *arguments, bool on)
{
    CLI_CLEANUP(json_freep) json_t *body = json_pack("{s:b}", "on", on);
    CLI_CLEANUP(json_freep) json_t *changed = NULL;
    int status;

    if (!arguments_has(arguments, CLI_REASON)) {
        complain("say why, for those who come after you: gray bypass %s "
                 "--reason TEXT", on ? "on" : "off");
        return CLI_EXIT_USAGE;
    }
    remote_reason(body, arguments);
    status = remote_change(remote, arguments, "POST", "/v1/bypass", body,
                           &changed);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(changed), JSON_INDENT(2));
    }
    printf("bypass %s %s%s\n",
           arguments_has(arguments, CLI_DRY_RUN) ? "would be" : "is",
           on ? "on: every request goes to the baseline"
              : "off: the policy in force decides",
           *text_at(changed, "notPublished") != '\0' ? ", not on this host yet"
                                                     : "");
    if (on) {
        printf("  undo: gray bypass off --reason TEXT\n");
    }
    return CLI_EXIT_OK;
}

static int on_the_host(const struct arguments *arguments)
{
    const char *folder = arguments_runtime(arguments);
    bool on = strcmp(arguments->operands[0], "on") == 0;
    struct gray_folder open = { .dirfd = -1 };
    struct gray_problem problem = { 0 };
    struct wait_result readers = { 0 };
    double wait = 2;
    uint64_t epoch;
    int status = arguments_number(arguments, CLI_WAIT, 0, CLI_WAIT_MAX, &wait);

    if (status != 0) {
        return status;
    }
    if (gray_folder_open(&open, folder, true, &problem) != 0) {
        complain_problem(folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    status = gray_bypass_set(&open, on, &problem);
    epoch = __atomic_load_n(&open.control->word_epoch, __ATOMIC_ACQUIRE);
    gray_folder_close(&open);
    if (status != 0) {
        complain_problem(folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    action_record(folder, &(struct action) { .action = on ? "bypass on"
                                                          : "bypass off" });
    status = wait_readers(folder, 0, 0, epoch, wait, &readers);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        json_print(json_pack("{s:b,s:o}", "bypass", on, "readers",
                             wait_json(&readers)),
                   JSON_INDENT(2));
    } else {
        printf(on ? "bypass is on: every request goes to the baseline\n"
                    "  undo: gray bypass off\n"
                  : "bypass is off: the policy in force decides\n");
    }
    status = wait_report(&readers, arguments_json(arguments) ? NULL : stdout);
    wait_result_free(&readers);
    return status;
}

int command_bypass(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    int status = remote_or_folder(&remote, arguments, true);

    if (status == 0 && remote != NULL) {
        remote_hurry(remote);
        status = through_grayd(remote, arguments,
                               strcmp(arguments->operands[0], "on") == 0);
        if (!remote_fall_back(remote, status)) {
            return status;
        }
        status = 0;
    }
    if (status == 0) {
        status = host_only(arguments);
    }
    return status != 0 ? status : on_the_host(arguments);
}
