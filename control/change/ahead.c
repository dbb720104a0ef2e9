/* SPDX-License-Identifier: Apache-2.0
 * ahead.c - the policy of a scheduled change lies ready before its instant.
 *
 * Why: "at 03:00" is one instant for all readers of all hosts, and a commit, a
 * compiler and a network take their time, each another.  So seconds before, the
 * policy as it will be is compiled from the world as it is and published for
 * the instant; readers turn by themselves, with grayd dead, too.  The change is
 * committed at the instant, as any other: then the policy is known to be in
 * force already.  Whatever is committed in between makes another world, and
 * what lies ready is made anew from that.
 *
 *   schedule -> 5 s before: ahead_publish() -> instant: readers turn
 *            -> commit -> publisher_turned()
 * Read next: schedule.c, in_force.c, runtime/turn.c.
 */
#include <string.h>

#include "control/change/apply.h"

bool ahead_holds(const struct control *control, const char *id)
{
    return control->ahead.id[0] != '\0' &&
           strcmp(control->ahead.id, id) == 0 &&
           control->ahead.base == control->world.revision;
}

static void keep(struct control *control, const char *id, int64_t at,
                 uint64_t generation)
{
    control->ahead = (struct ahead) { .at = at, .generation = generation,
                                      .base = control->world.revision };
    snprintf(control->ahead.id, sizeof(control->ahead.id), "%s", id);
}

/* The instant stands in both headers; sums are made when they are written. */
static void set_instant(struct gray_compiled *compiled, int64_t at,
                        uint32_t max_skew)
{
    struct gray_file_header *header = (void *)compiled->policy.data;

    header->effective_at = at;
    header->max_skew = (uint16_t)max_skew;
    if (compiled->fleet.size >= sizeof(*header)) {
        header = (void *)compiled->fleet.data;
        header->effective_at = at;
        header->max_skew = (uint16_t)max_skew;
    }
}

static void put(struct change *change, const char *id, int64_t at)
{
    struct control *control = change->control;
    struct gray_problem problem = { 0 };
    struct gray_published done = { 0 };
    json_int_t skew = json_integer_value(
        json_object_get(change->call->body, "maxSkewMs"));
    int status;

    set_instant(&change->build.compiled, at, (uint32_t)skew);
    marking_prepare_too(control, &change->build.compiled);
    failpoint("before-ahead");
    status = publisher_put(control->publisher, &change->build.compiled, NULL, 0,
                           &done, &problem);
    if (status < 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        return;
    }
    /* Its instant came meanwhile: it is in force, and committed next. */
    control->bundling.behind = true;
    keep(control, id, at,
         done.next_generation != 0 ? done.next_generation
                                   : done.policy_generation);
    grayd_log(LOG_LEVEL_INFO, "ahead",
              "what is scheduled as %s lies ready as generation %llu", id,
              (unsigned long long)control->ahead.generation);
}

void ahead_publish(struct control *control, const char *id, const json_t *item,
                   int64_t at)
{
    struct application application = { 0 };
    struct reply reply = { 0 };
    struct change change;
    struct call call;

    /* What is in force is not what the store says: that comes first. */
    if (control->policy_behind || control->folder_lost) {
        return;
    }
    /* What lies ready is in the hosts' bundle, whose number would be that of
     * another one; and a number is a revision, so it comes first. */
    bundling_number(control);
    schedule_call(item, id, grayd_now(), &call);
    if (change_begin(&change, control, &call, &reply) == 0) {
        if (application_read(&application, &change, &call, &reply) == 0 &&
            change.built) {
            put(&change, id, at);
        }
        application_clear(&application);
        change_end(&change);
    }
    if (control->ahead.id[0] != '\0' && !ahead_holds(control, control->ahead.id)) {
        /* Refused now, and an older one still lies there. */
        ahead_drop(control);
    }
    reply_clear(&reply);
    json_decref(call.query);
}

void ahead_resume(struct control *control, const char *id, int64_t at)
{
    uint64_t wanted = control->world.revision + 1;
    struct gray_named named;

    publisher_named(control->publisher, &named);
    if (named.next != 0 && named.next_revision == wanted &&
        named.next_at == at) {
        keep(control, id, at, named.next);
    } else if (named.next == 0 && at <= grayd_now() &&
               publisher_revision(control->publisher) == wanted) {
        keep(control, id, at, named.policy); /* readers have turned */
    }
}

void ahead_drop(struct control *control)
{
    char why[300];

    control->ahead = (struct ahead) { 0 };
    in_force_publish(control, NULL, why);
}
