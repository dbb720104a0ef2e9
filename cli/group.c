/* SPDX-License-Identifier: Apache-2.0
 * group.c - --group, or the group that the folder and nginx speak of.
 *
 * Read next: runtime/group.c.
 */
#include <grp.h>

#include "cli/cli.h"
#include "runtime/group.h"

int keys_group(const struct arguments *arguments, const char *folder,
               gid_t *ret_group)
{
    const char *name = arguments_get(arguments, CLI_GROUP);
    const struct group *entry;

    if (name == NULL) {
        *ret_group = gray_keys_group(folder);
        return 0;
    }
    entry = getgrnam(name);
    if (entry == NULL) {
        complain("no such group: %s", name);
        return CLI_EXIT_NOT_FOUND;
    }
    *ret_group = entry->gr_gid;
    return 0;
}
