/* SPDX-License-Identifier: Apache-2.0
 * rules.h - the protocol's decisions: what is accepted, what a lease is worth,
 * what a host may say that it has seen, whose word wins.
 *
 * Why: each of these is a line of docs/agent.md that must hold whatever the
 * network does, so each is a pure function over what is known; time comes in
 * as an argument.
 * Read next: docs/agent.md, lease.c, rules.c.
 */
#ifndef GRAYD_AGENT_RULES_H
#define GRAYD_AGENT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/agent/manifest.h"

/* ---- may this bundle come into force? ------------------------------------ */

enum accept {
    ACCEPT_NEW,       /* newer than what is in force */
    ACCEPT_SAME,      /* it is what is in force */
    ACCEPT_STRANGER,  /* another server than the one that is known */
    ACCEPT_BACK,      /* older than what was accepted before */
    ACCEPT_FORK       /* this number was another bundle before */
};
struct known {
    char server[MANIFEST_SERVER_MAX + 1]; /* "": none yet */
    uint64_t sequence;                    /* accepted last */
    char sha256[65];                      /* of its note; "": not known */
};
/* `once`: a person said --accept-server. */
enum accept rules_accept(const struct known *known,
                         const struct manifest *manifest,
                         const char sha256[65], bool once);
/* "stranger", "sequence-back", "bundle-forked"; NULL: it is accepted. */
const char *rules_refusal(enum accept accept);

/* ---- the admission lease (lease.c) --------------------------------------- */

/* CLOCK_BOOTTIME ns everywhere. */
struct lease {
    int64_t until;  /* over from then on; 0: there never was one */
    uint32_t grant; /* ms, as it was granted last */
};
/* An answer to a report that was sent at `sent` and said `epoch`: counted from
 * the sending, never shortened by a later answer, and worth nothing when this
 * host has learned of a newer epoch meanwhile. True: it reaches further now. */
bool lease_grant(struct lease *lease, int64_t sent, uint64_t epoch,
                 uint64_t newest_epoch, uint64_t lease_ms);
/* How far this host's wall clock is off, by an answer that said `theirs` (ms
 * since the epoch; 0: nothing) to a call from `sent` to `answered`, both by
 * this host's: half of what the call took is not known. False: the call took
 * too long to say anything. */
bool clock_offset(int64_t sent, int64_t answered, int64_t theirs,
                  int64_t *ret_offset);
#define CLOCK_CALL_MOST_MS 2000

/* When the next report is due that nothing new asks for: after a third of the
 * lease, counted from the last sending. */
int64_t lease_next_report(const struct lease *lease, int64_t sent);
#define LEASE_REPORT_MS 3000u     /* where there is no lease */
#define LEASE_GRANT_MAX_MS 600000u

/* ---- epochs: the server's, as this folder counts them -------------------- */

/* A folder counts its own epochs (a word of the host raises them too); readers
 * acknowledge those.  `local` is the folder's epoch once all words of the
 * server's `epoch` that tighten stood in it. */
struct epochs {
    uint64_t epoch, local;
    uint64_t before; /* the server's epoch until then */
};
/* Said again of the same epoch, it changes nothing: words that loosened since
 * are nothing that anybody waits for. */
void epochs_reached(struct epochs *epochs, uint64_t epoch, uint64_t local);
/* What a reader that acknowledged this epoch of the folder has seen. */
uint64_t epochs_of(const struct epochs *epochs, uint64_t acknowledged);

/* ---- words of the host ---------------------------------------------------- */

/* A word that a person set on this host (gray stop --local): it wins until the
 * server has been told and somebody there says otherwise. */
struct host_word {
    uint64_t scope;
    uint32_t word;
    uint64_t told; /* where the server was when it had been told; 0: not yet */
};
/* The server answered a report that carried this word, and was at `sequence`:
 * what it says of this scope from then on is an answer. */
void host_word_told(struct host_word *word, uint64_t sequence);
/* Whether what a bundle says of this scope (NULL: nothing, so it is open)
 * stands instead of the host's word.  What is as strict always does. */
bool host_word_yields(const struct host_word *word,
                      const struct manifest_word *said);

#endif
