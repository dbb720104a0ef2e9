/* SPDX-License-Identifier: Apache-2.0
 * agent.h - `grayd --agent`: a host whose folder another grayd decides.
 *
 *   poll thread     long poll for the newest bundle; brings it into force;
 *                   between pieces of that it looks after the folder: words of
 *                   the host, scopes to be closed, a folder that was removed
 *   report thread   says how this host stands, takes the lease, sends records
 *                   of marks
 *   marks thread    control/marks, as in any grayd
 *
 * Why: a host must go on whatever becomes of the server.  So nothing on the
 * host waits for the network, what was last good is on this host's disk, and
 * all that depends on the server (leases) ends by itself.
 *
 *   manifest.c rules.c lease.c backoff.c   decisions, pure
 *   link.c                                 calls (libcurl)
 *   kept.c blob.c                          its memory on disk
 *   bundle.c install.c words.c             a bundle into the folder
 *   watch.c close.c                        looking after the folder
 *   report.c push.c push_decisions.c       upwards
 *   tell.c                                 for people here
 *
 * Read next: docs/agent.md, rules.h, bundle.c.
 */
#ifndef GRAYD_AGENT_H
#define GRAYD_AGENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "engine/engine.h"

#define AGENT_TOLD "agent" /* file of the runtime folder, for people (tell.c) */
#define AGENT_NAME_MAX GRAY_NAME_MAX

struct decisions;
struct agent_options {
    const char *state, *runtime;
    const char *server;      /* https://HOST:PORT, unix:/PATH */
    const char *server_key;  /* a verifier line, or a file that holds one */
    const char *token_file;  /* NULL: none */
    const char *ca;          /* PEM; NULL: the system's */
    const char *host;        /* NULL: the kernel's name */
    gid_t group;             /* of `keys`; (gid_t)-1: nobody knows */
    struct decisions *decisions; /* to be carried up; borrowed; NULL: none */
    bool accept_server;      /* once: another server, or an older one */
    bool allow_any_filesystem;
};
struct agent;
/* Puts into force what was last good, and starts the threads; the server may
 * be away. 0, or negative with *ret_problem: a wrong option, a folder that
 * cannot be had. */
int agent_start(struct agent **ret_agent, const struct agent_options *options,
                struct gray_problem *ret_problem);
/* "host h1, sequence 412, revision 88", for whoever waits for its start. */
void agent_say(const struct agent *agent, char *ret_text, size_t size);
/* Ends the threads; what is in force stays so. NULL is harmless. */
void agent_stop(struct agent *agent);

#endif
