/* SPDX-License-Identifier: Apache-2.0
 * watch.c - looking after the folder while the network is waited for.
 *
 * Why: people set words on this host, readers acknowledge, somebody removes
 * the folder, all while a long poll waits.  One look is cheap, and comes often
 * only while readers are waited for.
 * Read next: close.c, words.c, link.h (who calls this).
 */
#include <string.h>

#include "control/agent/internal.h"
#include "control/grayd.h"

#define EAGER_MS 2000      /* after that a late reader is looked at seldom */
#define SELDOM_MS 200
#define TURN_AGAIN_MS 5000 /* a policy whose instant has come must be in force */
#define PUT_AGAIN_MS 1000  /* between two tries to fill a folder anew */

void watch_readers(struct agent *agent)
{
    agent->waits = true;
    agent->waits_since = agent_monotonic_ms();
    agent->looked = 0;
}

/* True: they are still waited for. */
static bool look_at_readers(struct agent *agent, int64_t now)
{
    size_t live = 0, have = 0;

    if (!agent->waits ||
        (now - agent->waits_since > EAGER_MS &&
         now - agent->looked < SELDOM_MS)) {
        return false;
    }
    agent->looked = now;
    if (publisher_acknowledged(agent->options.runtime, agent->generation,
                               UINT64_MAX, &live, &have, NULL) == 0 &&
        have == live) {
        agent->waits = false;
        agent_news(agent);
    }
    return agent->waits && now - agent->waits_since <= EAGER_MS;
}

/* Somebody removed the folder: the same bundle into a new one. */
static void follow(struct agent *agent, int64_t now)
{
    struct gray_problem problem = { 0 };

    if (publisher_renewed(agent->publisher)) {
        if (!agent->lost) {
            grayd_log(LOG_LEVEL_WARN, "folder-lost",
                      "somebody removed %s; it is made again",
                      agent->options.runtime);
        }
        agent->lost = true;
        agent->closing_count = 0;
    }
    if (!agent->lost || now < agent->put_at) {
        return;
    }
    agent->put_at = now + PUT_AGAIN_MS;
    pthread_mutex_lock(&agent->lock);
    agent->said.epochs = (struct epochs) { 0 };
    pthread_mutex_unlock(&agent->lock);
    if (agent->in_force.sequence == 0) {
        agent->lost = false;
        return;
    }
    if (install_tighten(agent, &agent->in_force, &problem) != 0 ||
        install_bundle(agent, &agent->in_force, true, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        agent_trouble(agent, &problem);
        return;
    }
    publisher_renewed(agent->publisher); /* by this agent */
    agent->lost = false;
    agent_news(agent);
}

/* Readers have turned by their clocks; `control` and last-good follow. */
static void turn(struct agent *agent)
{
    struct gray_published done = { 0 };
    struct gray_problem problem = { 0 };
    int error;

    if (agent->turn_at == 0 || grayd_now() < agent->turn_at) {
        return;
    }
    error = publisher_turned(agent->publisher, agent->generation, NULL, 0,
                             &done, &problem);
    if (error < 0 && grayd_now() - agent->turn_at < TURN_AGAIN_MS) {
        return; /* the clock was set back just now: the next look */
    }
    agent->turn_at = 0;
    if (error != 0) {
        grayd_log(LOG_LEVEL_WARN, problem.code, "%s", problem.sentence);
    }
    watch_readers(agent);
    agent_news(agent);
}

int watch_tick(void *context)
{
    struct agent *agent = context;
    int64_t now = agent_monotonic_ms(), offset;
    bool busy;

    follow(agent, now);
    turn(agent);
    words_look(agent);
    close_begin(agent);
    busy = close_look(agent);
    pthread_mutex_lock(&agent->lock);
    offset = agent->said.clock_offset;
    pthread_mutex_unlock(&agent->lock);
    publisher_clock_offset(agent->publisher, offset);
    if (!busy) {
        bool news;

        pthread_mutex_lock(&agent->lock);
        news = agent->said.closed != agent->said.epochs.epoch;
        agent->said.closed = agent->said.epochs.epoch;
        pthread_mutex_unlock(&agent->lock);
        if (news) {
            agent_news(agent);
        }
    }
    busy = look_at_readers(agent, now) || busy;
    if (atomic_exchange(&agent->memory, false)) {
        agent_remember(agent);
    }
    tell_people(agent);
    return busy ? AGENT_TICK_BUSY_MS : AGENT_TICK_MS;
}
