/* SPDX-License-Identifier: Apache-2.0
 * client_settle.c - an application says that a unit's business is over.
 *
 * Why: only the business knows when an order that began with the old version is
 * closed, and it is the application that closes it.  The word goes into the
 * application's own ring, as a mark does, and grayd writes it down; nobody
 * waits, and no answer hangs on it.
 * Read next: control/marks/settled.c, ring.h.
 */
#include <errno.h>
#include <string.h>

#include "runtime/client.h"

static int push(struct gray_runtime *runtime, struct gray_str release,
                struct gray_str unit)
{
    struct gray_ring_record record = {
        .kind = GRAY_RING_SETTLED,
        .stage = GRAY_STAGE_NONE,
        .space = GRAY_RING_EVERY_SPACE,
        .scope = gray_hash_scope(release.data, release.length),
        .now = runtime_client_now_ms(),
    };
    bool alive = false;

    if (gray_writer_now(runtime, runtime_clock_ns(CLOCK_BOOTTIME), &alive) ==
        GRAY_WRITER_NONE) {
        return -ENOTSUP;
    }
    return gray_ring_push(runtime, &record, unit);
}

int gray_client_settle(struct gray_client *client, const char *release,
                       const char *unit)
{
    struct gray_str name = {release, (uint32_t)strnlen(release, 4096)};
    struct gray_str text = {unit,
                            (uint32_t)strnlen(unit, GRAY_VALUE_MAX + 1)};
    enum gray_reason reason;
    struct client_hold hold;
    const struct gray_view *view;
    int error = -ENOENT;

    if (text.length == 0 || text.length > GRAY_VALUE_MAX) {
        return -EINVAL;
    }
    hold = runtime_client_enter(client);
    view = runtime_client_view(hold, &reason);
    if (view == NULL || gray_find_release(view->policy, name) != GRAY_NONE) {
        error = push(hold.runtime, name, text);
    }
    runtime_client_leave(hold);
    return error;
}
