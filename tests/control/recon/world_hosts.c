/* SPDX-License-Identifier: Apache-2.0
 * world_hosts.c - the same history, told and logged on another host.
 *
 * Why: an agent sends its journal and its decision log up, and a Check of the
 * server is about all hosts; so marks go into grayd's copy, and lines into its
 * index, as its own code puts them there.
 * Read next: world.h, control/recon/read_told.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/decisions/decisions.h"
#include "control/hosts/told.h"
#include "tests/control/recon/world.h"

void world_tell_host(struct world *world)
{
    struct admission *records =
        calloc(world->batch_count + 1, sizeof(*records));
    struct gray_problem problem = {0};
    struct told *told = NULL;
    uint64_t through = 0;

    assert_int_equal(told_open(&told, world->state, &problem), 0);
    for (size_t i = 0; i < world->batch_count; i++) {
        const struct record *from = &world->batch[i];
        struct admission *to = &records[i];

        to->scope = from->head.scope;
        memcpy(to->unit, from->unit.data, from->unit.length);
        to->unit_length = from->unit.length;
        to->state = (uint8_t)gray_slot_state(from->head.value);
        to->attempt = 1;
        to->revision = from->head.revision;
        to->at = from->head.at;
        snprintf(to->kind, sizeof(to->kind), "%s",
                 record_kind_word(from->head.kind));
        snprintf(to->reason, sizeof(to->reason), "%s",
                 gray_reason_code((enum gray_reason)from->head.reason_code));
        snprintf(to->actor, sizeof(to->actor), "%.*s",
                 (int)from->actor.length,
                 from->actor.length > 0 ? from->actor.data : "");
    }
    if (told_put(told, "h1", "j1", world->told, records, world->batch_count,
                 &through, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    world->told += world->batch_count;
    assert_int_equal(through, world->told);
    told_close(told);
    free(records);
}

/* The whole log; then the file is gone. */
void world_log_host(struct world *world)
{
    const struct decisions_limits limits = {.days = 3650, .mib = 4096};
    struct decisions *decisions = NULL;
    struct gray_problem problem = {0};
    struct decisions_batch batch = {.source = "host:h1"};
    FILE *file = fopen(world->log, "re");
    size_t room = 1u << 24;
    char *text = malloc(room);

    assert_non_null(file);
    assert_non_null(text);
    batch.length = fread(text, 1, room, file);
    assert_true(batch.length < room);
    batch.text = text;
    batch.after = batch.length;
    fclose(file);
    unlink(world->log);
    assert_int_equal(
        decisions_open(&decisions, world->state, &limits, &problem), 0);
    if (decisions_add(decisions, &batch, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    decisions_close(decisions);
    free(text);
}
