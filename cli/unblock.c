/* SPDX-License-Identifier: Apache-2.0
 * unblock.c - `gray unblock`: a policy that crashed readers is taken again.
 *
 * Why: readers pass over a policy under which two of them crashed, by
 * themselves and with every daemon dead.  They may be wrong (another module's
 * bug, bad memory), and only a person can know; one word in `control` says so,
 * and is said with who and why.
 * Read next: runtime/witness.c, status.c.
 */
#include "cli/cli.h"

static int take_again(const struct arguments *arguments,
                      struct gray_folder *open, uint64_t generation)
{
    const char *folder = arguments_runtime(arguments);
    CLI_CLEANUP(wait_result_free) struct wait_result readers = { 0 };
    double wait = 2;
    int status = arguments_number(arguments, CLI_WAIT, 0, CLI_WAIT_MAX, &wait);

    if (status != 0) {
        return status;
    }
    gray_crashes_accept(open, generation);
    action_record(folder, &(struct action) {
                              .action = "unblock",
                              .reason = arguments_get(arguments, CLI_REASON) });
    status = wait_readers(folder, generation, 0, 0, wait, &readers);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        json_print(json_pack("{s:b,s:I,s:o}", "unblocked", 1, "generation",
                             (json_int_t)generation, "readers",
                             wait_json(&readers)),
                   JSON_INDENT(2));
        return wait_report(&readers, NULL);
    }
    printf("generation %llu is taken again; crashes under it do not count any "
           "more\n", (unsigned long long)generation);
    return wait_report(&readers, stdout);
}

int command_unblock(const struct arguments *arguments)
{
    const char *folder = arguments_runtime(arguments);
    struct gray_folder open = { .dirfd = -1 };
    struct gray_problem problem = { 0 };
    struct gray_named named;
    struct gray_crashes crashes;
    int status = CLI_EXIT_OK;

    if (gray_folder_open(&open, folder, true, &problem) != 0) {
        complain_problem(folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    gray_folder_named(&open, port_now_ms(), &named);
    gray_folder_crashes(&open, named.policy, &crashes);
    if (!crashes.blocked && named.next != 0) {
        gray_folder_crashes(&open, named.next, &crashes);
    }
    if (crashes.blocked) {
        status = take_again(arguments, &open, crashes.generation);
    } else if (arguments_json(arguments)) {
        json_print(json_pack("{s:b}", "unblocked", 0), JSON_INDENT(2));
    } else {
        printf("no policy is passed over here; nothing was changed\n");
    }
    gray_folder_close(&open);
    return status;
}
