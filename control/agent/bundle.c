/* SPDX-License-Identifier: Apache-2.0
 * bundle.c - asks for the newest bundle, for ever, and brings it into force.
 *
 *   poll -> verify -> accept -> words that tighten -> remember -> fetch what
 *   is not here -> install -> remember
 *
 * Why: each arrow may break, at any time and for any reason; what is in force
 * stays in force, what was refused is said, and the same is tried again after
 * a time that is random (backoff.h).  The first poll after a break waits for
 * nothing, so that this host knows at once whether it is connected.
 * Read next: rules.c, install.c, docs/agent.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/agent/internal.h"
#include "control/failpoint.h"
#include "control/grayd.h"

#define SHORT_POLL_MS 1000 /* a poll that is over sooner came to nothing */

/* ---- what is not here yet ---------------------------------------------------- */

/* A file came with something else in it, or not at all: the answer's sentence
 * where the server gave one. */
static int fetch_failed(const struct link_answer *answer, int result,
                        struct gray_problem *ret_problem)
{
    if (result == 0) {
        return agent_problem(ret_problem, EIO, "no-blob",
                             "The server answered %d instead of a file of the "
                             "bundle.", answer->status);
    }
    return agent_problem(ret_problem, -result, "broken",
                         "A file of the bundle did not come whole: %.150s",
                         answer->why);
}

static int fetch_one(struct agent *agent, const struct manifest_blob *blob,
                     struct gray_problem *ret_problem)
{
    struct blob_writer writer;
    struct link_answer answer = { 0 };
    char *path = link_path("/v1/blobs/%s", blob->sha256);
    struct link_call call = {
        .path = path,
        .first_byte_ms = AGENT_CALL_MS,
        .most = (size_t)blob->size + 1, /* so that one byte more is seen */
        .piece = blob_piece,
        .context = &writer,
    };
    int error = blob_begin(&writer, &agent->place, blob, ret_problem);
    int result;

    if (error == 0) {
        result = link_ask(agent->poll, &call, &answer);
        if (result == 0 && answer.status == 200) {
            error = blob_end(&writer, true, ret_problem);
        } else if (writer.error != 0 || writer.size > blob->size) {
            error = blob_end(&writer, true, ret_problem); /* why it ended */
        } else {
            blob_end(&writer, false, NULL);
            error = fetch_failed(&answer, result, ret_problem);
        }
    }
    free(answer.text);
    free(path);
    return error;
}

static bool blobs_here(struct agent *agent, const struct manifest *manifest)
{
    const struct manifest_blob *blob;
    size_t at = 0;

    while ((blob = manifest_next(manifest, &at)) != NULL) {
        if (!blob_there(&agent->place, blob)) {
            return false;
        }
    }
    return true;
}

static int fetch_all(struct agent *agent, const struct manifest *manifest,
                     struct gray_problem *ret_problem)
{
    const struct manifest_blob *blob;
    size_t at = 0;
    int error = 0;

    while (error == 0 && (blob = manifest_next(manifest, &at)) != NULL) {
        if (!blob_there(&agent->place, blob)) {
            error = fetch_one(agent, blob, ret_problem);
        }
    }
    return error;
}

/* ---- one bundle ----------------------------------------------------------------- */

/* May it come into force? Then it is what this host knows from now on. */
static int accept_it(struct agent *agent, const struct manifest *manifest,
                     const char sha256[65], struct gray_problem *ret_problem)
{
    struct known *known = &agent->said.known;
    enum accept accept;
    const char *code;

    pthread_mutex_lock(&agent->lock);
    accept = rules_accept(known, manifest, sha256, agent->once);
    code = rules_refusal(accept);
    if (code == NULL) {
        snprintf(known->server, sizeof(known->server), "%s", manifest->server);
        known->sequence = manifest->sequence;
        memcpy(known->sha256, sha256, 65);
        if (agent->once || manifest->epoch > agent->said.newest_epoch) {
            agent->said.newest_epoch = manifest->epoch;
        }
    }
    pthread_mutex_unlock(&agent->lock);
    if (code == NULL) {
        agent->once = false;
        return 0;
    }
    return agent_problem(
        ret_problem, EPERM, code,
        accept == ACCEPT_STRANGER
            ? "The server is another one than this host knows (%.40s, bundle "
              "%llu): grayd --agent --accept-server takes it."
        : accept == ACCEPT_BACK
            ? "The server (%.40s) went back to bundle %llu: an older store was "
              "put back? grayd --agent --accept-server takes it."
            : "The server (%.40s) gave the number %llu to two bundles: an "
              "older store was put back? grayd --agent --accept-server takes "
              "it.",
        manifest->server, (unsigned long long)manifest->sequence);
}

/* Accepted: everything until it is in force. What this disk cannot keep is no
 * reason to go on without a word that tightens. */
static int bring(struct agent *agent, struct manifest *manifest,
                 const char *note, size_t length,
                 struct gray_problem *ret_problem)
{
    struct gray_problem disk = { 0 };
    int error;

    failpoint("bundle-accepted");
    error = install_tighten(agent, manifest, ret_problem);
    if (error != 0) {
        return error;
    }
    agent_news(agent);
    failpoint("bundle-tightened");
    agent_remember(agent);
    if (kept_write(&agent->place, KEPT_NEXT, note, length, &disk) != 0) {
        grayd_log(LOG_LEVEL_WARN, disk.code, "%s", disk.sentence);
    }
    failpoint("bundle-kept");
    error = fetch_all(agent, manifest, ret_problem);
    if (error != 0) {
        return error;
    }
    failpoint("bundle-fetched");
    error = install_bundle(agent, manifest, false, ret_problem);
    if (error != 0) {
        return error;
    }
    agent_news(agent);
    failpoint("bundle-in-force");
    if (disk.code != NULL || kept_turn(&agent->place, &disk) != 0) {
        agent_trouble(agent, &disk);
    } else {
        blobs_sweep(&agent->place, &agent->in_force, NULL);
    }
    grayd_log(LOG_LEVEL_INFO, "bundle",
              "bundle %llu is in force: revision %llu, epoch %llu",
              (unsigned long long)agent->in_force.sequence,
              (unsigned long long)agent->in_force.revision,
              (unsigned long long)agent->in_force.epoch);
    return 0;
}

/* 0; -ECANCELED: it is being stopped; else it is refused, or is still to be
 * brought into force. */
static int take_note(struct agent *agent, const char *note, size_t length)
{
    struct gray_problem problem = { 0 };
    struct manifest manifest = { .sequence = 0 };
    char sha256[65] = "";
    int error = blob_sha256(note, length, sha256) == 0
                    ? manifest_read(&manifest, note, length, agent->key,
                                    &problem)
                    : -ENOMEM;

    if (error == 0) {
        error = accept_it(agent, &manifest, sha256, &problem);
    }
    if (error == 0 && (agent->fresh || !agent->whole ||
                       manifest.sequence != agent->in_force.sequence)) {
        error = bring(agent, &manifest, note, length, &problem);
        agent->fresh = agent->fresh && error != 0;
    }
    if (error != 0 && !atomic_load(&agent->stopping)) {
        agent_refuse(agent, manifest.sequence, &problem);
    }
    manifest_clear(&manifest);
    return error;
}

/* ---- polling ----------------------------------------------------------------------- */

/* What an answer that is neither a bundle nor "nothing new" says. */
static void why_not(const struct link_answer *answer, int result,
                    char ret_why[200])
{
    json_t *said;
    const char *detail;

    if (result != 0) {
        snprintf(ret_why, 200, "%.190s", answer->why);
        return;
    }
    said = answer->text != NULL
               ? json_loadb(answer->text, answer->length, 0, NULL) : NULL;
    detail = json_string_value(json_object_get(said, "detail"));
    snprintf(ret_why, 200, "it answers %d%s%.150s", answer->status,
             detail != NULL ? ": " : "", detail != NULL ? detail : "");
    json_decref(said);
}

static int poll_once(struct agent *agent, int seconds,
                     struct link_answer *answer)
{
    char known[24], *path = link_path("/v1/bundle?host=%s&wait=%d",
                                      agent->host, seconds);
    struct link_call call = {
        .path = path,
        .first_byte_ms = seconds * 1000 + AGENT_POLL_MORE_MS,
        .most = MANIFEST_MAX,
    };
    int result;

    snprintf(known, sizeof(known), "%" PRIu64, agent->in_force.sequence);
    if (agent->whole && !agent->fresh && !agent->once) {
        call.if_none_match = known;
    }
    pthread_mutex_lock(&agent->lock);
    agent->said.polling = seconds > 0;
    pthread_mutex_unlock(&agent->lock);
    result = link_ask(agent->poll, &call, answer);
    pthread_mutex_lock(&agent->lock);
    agent->said.polling = false;
    agent->said.lagging = 0;
    pthread_mutex_unlock(&agent->lock);
    free(path);
    return result;
}

/* One poll, and what it brought. True: it went well. */
static bool poll_and_take(struct agent *agent, int seconds,
                          uint64_t *ret_retry_after)
{
    struct link_answer answer = { 0 };
    int64_t since = agent_monotonic_ms();
    int result = poll_once(agent, seconds, &answer);
    bool good = false;
    char why[200];

    *ret_retry_after = answer.retry_after_ms;
    if (result == -ECANCELED) {
        good = true; /* somebody wants the next one at once */
    } else if (result == 0 && (answer.status == 200 || answer.status == 304)) {
        agent_heard(agent, NULL);
        if (answer.status == 304) { /* what is in force is the newest */
            agent_refuse(agent, 0, NULL);
        }
        good = answer.status == 304 ||
               take_note(agent, answer.text != NULL ? answer.text : "",
                         answer.length) == 0;
    } else {
        why_not(&answer, result, why);
        agent_heard(agent, why);
    }
    if (seconds > 0 && answer.status == 304 &&
        agent_monotonic_ms() - since < SHORT_POLL_MS) {
        /* Somebody else polls by this host's name, or the server is ending. */
        link_wait(agent->poll, backoff_below(&agent->backoff,
                                             2 * SHORT_POLL_MS));
    }
    free(answer.text);
    return good;
}

void *bundle_main(void *context)
{
    struct agent *agent = context;
    bool away = true;

    while (!atomic_load(&agent->stopping)) {
        uint64_t retry_after = 0;
        bool reachable;

        if (poll_and_take(agent, away ? 0 : AGENT_POLL_S, &retry_after)) {
            pthread_mutex_lock(&agent->lock);
            reachable = agent->said.reachable;
            pthread_mutex_unlock(&agent->lock);
            away = !reachable;
            if (!away) {
                backoff_good(&agent->backoff);
                continue;
            }
        }
        away = true;
        pthread_mutex_lock(&agent->lock);
        backoff_spread(&agent->backoff, agent->said.spread_ms);
        pthread_mutex_unlock(&agent->lock);
        link_wait(agent->poll, backoff_next(&agent->backoff, retry_after));
    }
    return NULL;
}

/* ---- at the start -------------------------------------------------------------------- */

/* A bundle of this disk, by the key that it was accepted with. */
static int read_kept(struct agent *agent, const char *name,
                     struct manifest *ret_manifest,
                     struct gray_problem *ret_problem)
{
    json_t *known = kept_known(&agent->place);
    const char *key = json_string_value(json_object_get(known, "key"));
    char *note = NULL;
    size_t length = 0;
    int error = kept_note(&agent->place, name, &note, &length, ret_problem);

    if (error == 0) {
        error = manifest_read(ret_manifest, note, length,
                              key != NULL ? key : agent->key, ret_problem);
    }
    free(note);
    json_decref(known);
    return error;
}

/* Its policy, where another one is in force, and its words that tighten: what
 * loosens waits for the server. 0: in force; 1: it is not, or not wholly, here.
 */
static int start_with(struct agent *agent, const char *name, bool all)
{
    struct gray_problem problem = { 0 };
    struct manifest manifest = { .sequence = 0 };
    int error = read_kept(agent, name, &manifest, &problem);

    if (error == 0) {
        error = install_tighten(agent, &manifest, &problem);
    }
    if (error == 0 && !blobs_here(agent, &manifest)) {
        error = 1;
    }
    if (error == 0) {
        /* What was turned stands in the folder already. */
        all = all || publisher_revision(agent->publisher) !=
                         manifest.revision;
        error = install_bundle(agent, &manifest, all, &problem);
    }
    if (error < 0) {
        grayd_log(LOG_LEVEL_WARN, problem.code, "%s", problem.sentence);
    }
    manifest_clear(&manifest);
    return error;
}

void bundle_start(struct agent *agent)
{
    struct known *known = &agent->said.known;

    agent->starting = agent->fresh = true;
    if (start_with(agent, KEPT_NEXT, true) == 0) {
        kept_turn(&agent->place, NULL);
    } else {
        start_with(agent, KEPT_BUNDLE, false);
    }
    agent->starting = false;
    if (agent->in_force.sequence == 0) {
        return;
    }
    agent->said.newest_epoch = agent->said.epochs.epoch;
    if (known->server[0] == '\0') { /* its memory was lost, not the bundle */
        snprintf(known->server, sizeof(known->server), "%s",
                 agent->in_force.server);
        known->sequence = agent->in_force.sequence;
    }
}
