/* SPDX-License-Identifier: Apache-2.0
 * main.c - `gray`, the command line of Graylane.
 *
 * Why: one program for everything a person does on a host: check and publish
 * documents, ask why a request went where it went, watch, and stop.  It needs
 * no daemon: documents and the runtime folder are enough.
 * Read next: commands.def (what it can do), cli.h.
 */
#include <signal.h>
#include <stdio.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
    struct arguments arguments;
    int status;

    port_keep_standard();
    /* A reader that goes away (| head) ends us quietly through the error of
     * a write, not in the middle of a publication. */
    signal(SIGPIPE, SIG_IGN);
    json_object_seed(1); /* output must not depend on chance */
    status = arguments_parse(&arguments, argc, argv);
    if (status != 0) {
        return status;
    }
    if (arguments_has(&arguments, CLI_HELP)) {
        help_command(arguments.command, stdout);
        return output_finish(CLI_EXIT_OK);
    }
    return output_finish(arguments.command->run(&arguments));
}
