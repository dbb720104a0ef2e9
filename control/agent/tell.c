/* SPDX-License-Identifier: Apache-2.0
 * tell.c - how the agent stands, for people on this host: <runtime>/agent.
 *
 * Why: `gray status` on a host must say whether the server is heard, how far
 * behind this host is, until when it may admit and what it refused, above all
 * when nothing answers any more.  A file in the folder is there even when the
 * agent is not; it is believed for nothing else.
 * Read next: cli/agent.c (who shows it).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/agent/internal.h"
#include "control/grayd.h"

#define TELL_MS 2000 /* the moment in it is never older, while it lives */

static json_t *what_is(struct agent *agent)
{
    const struct agent_said *said = &agent->said;
    json_t *refused, *told;

    pthread_mutex_lock(&agent->lock);
    refused = said->refused.at == 0
                  ? json_null()
                  : json_pack("{s:s,s:s,s:I,s:I}", "code", said->refused.code,
                              "sentence", said->refused.sentence, "sequence",
                              (json_int_t)said->refused.sequence, "at",
                              (json_int_t)said->refused.at);
    told = json_pack(
        "{s:s,s:s,s:b,s:s,s:I,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:I,s:s}",
        "host", agent->host, "server", agent->options.server, "reachable",
        (int)said->reachable, "why", said->why, "heard",
        (json_int_t)said->heard, "serverId", said->known.server, "sequence",
        (json_int_t)said->sequence, "accepted",
        (json_int_t)said->known.sequence, "serverSequence",
        (json_int_t)said->server_sequence, "revision",
        (json_int_t)said->revision, "epoch", (json_int_t)said->epochs.epoch,
        "leaseUntilNs", (json_int_t)said->lease.until, "refused", refused,
        "hostWords", (json_int_t)said->word_count, "admissionsThrough",
        (json_int_t)said->through, "lateMs", (json_int_t)said->late_ms,
        "trouble", said->trouble);
    pthread_mutex_unlock(&agent->lock);
    json_object_set_new(told, "pid", json_integer(getpid()));
    json_object_set_new(told, "admissions",
                        json_integer(agent->marks != NULL
                                         ? (json_int_t)marks_last(agent->marks)
                                         : 0));
    return told;
}

/* Aside and renamed: whoever reads it reads all of it. */
static int write_file(int folder, const char *text)
{
    int fd = openat(folder, AGENT_TOLD ".new",
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                    0644);
    size_t length = strlen(text);
    bool whole = fd >= 0 && write(fd, text, length) == (ssize_t)length;

    if (fd >= 0) {
        close(fd);
    }
    return whole && renameat(folder, AGENT_TOLD ".new", folder,
                             AGENT_TOLD) == 0
               ? 0
               : -1;
}

void tell_people(struct agent *agent)
{
    int64_t now = agent_monotonic_ms();
    json_t *told = what_is(agent);
    char *text = json_dumps(told, JSON_COMPACT | JSON_SORT_KEYS), *whole;
    int folder;

    if (text != NULL &&
        (agent->told == NULL || strcmp(agent->told, text) != 0 ||
         now - agent->told_at >= TELL_MS)) {
        json_object_set_new(told, "at", json_integer((json_int_t)grayd_now()));
        whole = json_dumps(told, JSON_COMPACT | JSON_SORT_KEYS);
        folder = open(agent->options.runtime,
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder >= 0 && whole != NULL && write_file(folder, whole) == 0) {
            free(agent->told);
            agent->told = text;
            text = NULL;
            agent->told_at = now;
        }
        if (folder >= 0) {
            close(folder);
        }
        free(whole);
    }
    free(text);
    json_decref(told);
}
