/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of the control thread share.
 *
 * Why: everything here is touched by one thread; only `queue` and `settling`
 * have locks.
 * Read next: control.c, change.c, commit.c.
 */
#ifndef GRAYD_CHANGE_INTERNAL_H
#define GRAYD_CHANGE_INTERNAL_H

#include <pthread.h>

#include "control/change/build.h"
#include "control/change/bundling.h"
#include "control/change/change.h"
#include "control/failpoint.h"
#include "control/marks/marks.h"
#include "control/publish/publisher.h"

#define EFFECT_BYPASS "bypass"     /* committed, not in the folder yet */
#define EFFECT_REVOKE "revoke"     /* marks that are still to be taken back */
#define CONTROL_LISTENERS_MAX 4u
#define CONTROL_DENIED_MAX 1000u
#define CONTROL_HOST_WAIT_MS 500   /* for the line that says who set a word */
#define CONTROL_RETRY_MS 1000
#define CONTROL_OUTSIDE_MS 10000   /* between two looks at entities outside */
#define CONTROL_SETTLE_MS 1000     /* a reply waits so long for readers */

/* Whether a moment of the wall clock has come. One that is further off than a
 * whole period was set before the clock was put back. */
static inline bool is_due(int64_t now, int64_t moment, int64_t period)
{
    return now >= moment || moment - now > period;
}

struct job {
    const struct call *call;
    control_done *done;
    void *context;
};
struct denied {
    struct call call; /* without query and body */
    enum problem_number problem;
};
struct listener {
    control_listener *listener;
    void *context;
};
struct settler;
struct rehearsal;
struct outside;

/* A change of the schedule whose policy lies ready in the readers. */
struct ahead {
    char id[STORE_NAME_MAX + 1]; /* of the schedule; "": none */
    int64_t at;
    uint64_t base;       /* revision of the world that it was made from */
    uint64_t generation; /* in the folder */
    bool due;            /* it is being committed now */
};
#define AHEAD_MS 5000        /* so long before its instant it is published */
#define AHEAD_NO_RETURN_MS 1000 /* so long before it cannot be taken back */

struct control {
    struct grayd *grayd;
    pthread_t thread;
    bool running; /* the thread was started */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under `lock` */
    struct job queue[GRAYD_QUEUE_MAX];
    size_t queue_first, queue_count;
    struct denied *denied;
    size_t denied_count;
    uint64_t denied_lost;
    _Atomic bool stopping;
    struct listener listeners[CONTROL_LISTENERS_MAX];
    size_t listener_count;
    struct rehearsal *rehearsal; /* that goes on now; NULL: none */

    /* the thread's own */
    struct store *store;
    struct store_reader *reader;
    struct publisher *publisher;
    struct audit_signer *signer;
    struct audit_tree tree;
    uint8_t chain[AUDIT_HASH];
    uint64_t sequence;
    uint64_t signed_size; /* of the tree at the last checkpoint */
    int64_t next_checkpoint, next_retry, next_housekeeping, next_outside;
    struct outside *outside; /* under `lock`: of each release (outside.c) */
    json_t *counts;          /* under `lock`: {name: {at, counts}} */
    int64_t next_due; /* of what is scheduled; 0: to be read */
    struct ahead ahead;
    struct gray_crashes crashes; /* as they were recorded last */
    int64_t next_crashes;        /* when they are looked at again */
    struct world world;
    struct gray_model *model; /* of `world`; NULL: no documents yet */
    bool policy_behind;       /* the folder has not the newest policy */
    bool words_behind;
    struct marks_scope *scopes; /* prepared last, with room for one more */
    size_t scope_count;
    uint64_t scopes_revision;
    struct marks_scope shadow;  /* of a rehearsal; scope 0: none */
    bool marks_behind;        /* scopes to be opened or closed, or revokes of
                               * the store that nobody has begun */
    uint64_t *revoked;        /* effects that are done, not committed */
    size_t revoked_count, revoked_capacity;
    bool folder_lost;         /* what this grayd maps is not at the path */
    uint64_t checks_revision; /* of the documents that Checks are run by */
    int64_t host_word_seen; /* the first moment; 0: none is waiting */
    uint64_t *done_effects;
    size_t done_count, done_capacity;
    struct settler *settler;
    struct bundling bundling;
    struct hand hand;
};

/* ---- one change (change.c, commit.c) ----------------------------------------- */

struct change {
    struct control *control;
    const struct call *call;  /* NULL: grayd itself */
    const char *actor, *role, *via; /* by default the call's identity */
    const char *action, *triggered_by, *event_type, *reason;
    char resource[STORE_NAME_MAX + 1];
    json_t *before, *after;   /* of the audit; owned */
    struct world world;       /* as it should be */
    struct build build;
    struct gray_drops drops;  /* of its gates */
    struct gray_counter *counter; /* of a change that only looks; NULL: marks
                                     were counted ahead (counting.h) */
    bool built;               /* `build` holds its model and snapshot */
    bool drops_meant;         /* shares may shrink: the gates were asked, or
                               * the verb says so */
    const char *effect;       /* beside "publish"; NULL: none */
    json_t *revokes;          /* of marks, one effect each; NULL: none; owned */
    struct store_put *puts;   /* beside documents and releases; texts owned */
    size_t put_count, put_room;
    bool failed;              /* out of memory: nothing is committed */
    bool renumber;            /* the bundle of hosts is to have a new number */
    /* Of bundling_put(): */
    uint64_t sequence, epoch; /* that the change takes; 0: none */
    json_t *epochs;           /* of words that it changes; owned */
    bool tightens;
};
/* A change from the world in force. 0, or -1 with the reply filled. */
int change_begin(struct change *change, struct control *control,
                 const struct call *call, struct reply *reply);
void change_end(struct change *change);
/* An item beside documents and releases; takes `value` over, NULL ends it. */
int change_put(struct change *change, enum store_space space,
               const char *name, json_t *value);
/* Checks and compiles change->world; with texts as they were written. Gates
 * 4 and 5 with these options; NULL: not asked. 0, or -1 with the reply. */
int change_build(struct change *change, struct gray_documents *texts,
                 const struct gray_gate_options *gates, struct reply *reply);
/* What its check found, for who called. New reference. */
json_t *change_findings(const struct change *change);
/* If-Match against the newest revision, where the call has no document or
 * release of its own. False after having filled the reply. */
bool change_base_is_current(const struct change *change, struct reply *reply);
/* The findings of change->build, or the machine's refusal, as a reply. */
void change_refuse_findings(const struct change *change, struct reply *reply);
void change_refuse_move(const struct release_refusal *refusal,
                        struct reply *reply);
/* Changed documents are valid from the revision to come; before the reply says
 * so. */
void change_note(struct change *change);
/* The straight line: commits what differs with its audit record and the reply
 * for the idempotency key, then publishes. The reply's body is complete but
 * for "inForce". On a failure the reply says so and nothing was changed. A dry
 * run is recorded and goes no further. */
void change_commit(struct change *change, struct reply *reply);
/* Records a refusal that the reply already says. */
void change_refused(const struct change *change, const char *action,
                    const char *resource, const struct reply *reply);
/* Audit records and nothing else, in one transaction. */
int commit_records(struct control *control, const struct audit_entry *entries,
                   size_t count);
/* Effects that are done, and what the disk refused before. */
void commit_housekeeping(struct control *control, int64_t now);
void control_tell(struct control *control);
int control_thread_start(struct control *control);
/* "document-delete" of DOCUMENT_DELETE. */
#define ACTION_WORD_SIZE 40u
const char *action_word(const struct route *route,
                        char buffer[ACTION_WORD_SIZE]);
/* "Release/cart-2": what a call is about, by its path; "" where it says
 * nothing. */
void call_resource(const struct call *call,
                   char ret_resource[STORE_NAME_MAX + 1]);

/* A control of its own for one look on another thread: a world, a model, a
 * reader (plan.c). 0, or -1 with the reply. */
int control_borrow(struct control *own, struct hand *hand,
                   struct reply *reply);
void control_give_back(struct control *own);

/* ---- publishing (in_force.c) ------------------------------------------------- */

/* Words that got stronger between two worlds, at once. */
void in_force_tighten(struct control *control, const struct world *before);
/* The world's policy and words into the folder; a failure is remembered and
 * tried again by the tick. `build` NULL: it is built here. False: not in
 * force, and why. */
bool in_force_publish(struct control *control, struct build *build,
                      char ret_why[300]);
bool in_force_words(struct control *control, char ret_why[300]);
/* What is in the folder already is what the world says: only the model, and
 * the marks of its releases, are made known. */
void in_force_known(struct control *control);
/* Notices that the folder was removed: all of it is published again. */
void in_force_follow(struct control *control);
/* What grayd finds in the folder at its start, and on every tick: words and
 * the bypass that a person set there. */
void in_force_adopt(struct control *control, int64_t now);
/* A word that is in force somewhere becomes the release's state; `action` as
 * publisher_host_action() has it, or NULL. True: it is its state now. */
bool in_force_adopt_word(struct control *control, const char *name,
                         uint32_t word, const char *actor,
                         const json_t *action, int64_t now);

/* ---- waiting for readers (settle.c) -------------------------------------------- */

int settler_start(struct settler **ret_settler, struct control *control);
void settler_stop(struct settler *settler);
/* Adds "inForce" to the reply once every live reader has acknowledged, or the
 * time is over, and calls done; where `closed` names a release, once that is
 * closed, with "admission" (NULL: none). */
void settler_add(struct settler *settler, const struct job *job,
                 const char *closed, struct reply *reply);

/* ---- and for marks (settle_marks.c) --------------------------------------------- */

struct settle_scope {
    char name[GRAY_NAME_MAX + 1];
    uint64_t epoch, generation; /* that readers have to acknowledge */
    uint64_t host_epoch;        /* that hosts have to */
    uint32_t lease_ms;
};
/* The word of a release is not open: its scope is closed when readers have
 * acknowledged, or have had their time. Said again it does nothing. */
void settler_close(struct settler *settler, const struct settle_scope *scope);
/* Forgets it. Nobody closes the scope any more when this returns; false: it
 * was not closed. */
bool settler_open(struct settler *settler, const char *name);
bool settler_closes(struct settler *settler, const char *name);
/* "Admission" of schemas.json: how far that is. NULL: open. Any thread. */
json_t *settler_admission(struct settler *settler, const char *name);
/* Marks are taken back as an effect of the store says; takes `what` over. */
void settler_revoke(struct settler *settler, uint64_t effect, json_t *what,
                    const struct settle_scope *scope);
bool settler_revokes(struct settler *settler, const char *name);
/* The next effect that is done; false: none. */
bool settler_revoked(struct settler *settler, uint64_t *ret_effect);

/* ---- what a change means for marks (marking.c) ----------------------------------- */

/* Every release of a policy has its table, before it is published. */
void marking_prepare(struct control *control,
                     const struct gray_compiled *compiled);
/* The same beside what is in force, for a policy that waits. */
void marking_prepare_too(struct control *control,
                         const struct gray_compiled *compiled);
/* A scope of no release, for a rehearsal; NULL ends it. 0 or negative. */
int marking_shadow(struct control *control, const struct marks_scope *shadow,
                   struct gray_problem *ret_problem);
/* Scopes whose word is open in `after` and is not now take marks again, before
 * the word opens. False after having filled the reply. */
bool marking_open(struct control *control, const struct world *after,
                  struct reply *reply);
/* After a commit, and until it is done: scopes as their words are, and revokes
 * of the store begun. */
void marking_follow(struct control *control);
/* Effects that are done meanwhile. */
void marking_collect(struct control *control);
/* Looks at how many entities are outside, now and then (outside.c). */
void outside_tick(struct control *control, int64_t now);
/* Some are about to be settled: there is a look to compare with; and so many
 * of them, that were outside, are by now. */
void outside_before(struct control *control, const char *name);
void outside_settled(struct control *control, const char *name, uint64_t out);
void outside_free(struct control *control);
/* Fills what the machine wants to know of marks: who is in, what it breaks,
 * whether some are still being taken back. */
void marking_ask(struct control *control, const char *name,
                 const struct release_status *now,
                 const struct release_facts *facts, const json_t *body,
                 struct release_event *event);
/* Adds what a move takes back to the change; 0, or -1: no memory. */
int marking_revoke(struct change *change, const char *name,
                   const struct release_status *before,
                   const struct release_facts *facts,
                   const struct release_event *event,
                   const struct release_status *after);

/* ---- published ahead (ahead.c) ------------------------------------------------- */

/* The policy of a change that will be due at `at`, into the folder for that
 * instant; what is refused now is refused when it is due. */
void ahead_publish(struct control *control, const char *id, const json_t *item,
                   int64_t at);
/* Is it published, from the world as it is now? */
bool ahead_holds(const struct control *control, const char *id);
/* After a start: what lies in the folder may be the policy of this item, ready
 * or turned to already. */
void ahead_resume(struct control *control, const char *id, int64_t at);
/* What lies ready must not turn any more: what is in force is published anew,
 * which takes its place. */
void ahead_drop(struct control *control);
/* Readers that crash (crashes.c): said, recorded, and no release advances. */
void crashes_tick(struct control *control, int64_t now);
/* False after having filled the reply: the policy in force is passed over. */
bool crashes_allow(struct control *control, struct reply *reply);

/* ---- Checks (checking.c) ----------------------------------------------------------- */

/* The thread of Checks learns which there are; after a commit, and at once. */
void checking_follow(struct control *control);
/* The same, and alarms into the audit. */
void checking_tick(struct control *control);
/* Whether its Checks let a release be widened, or the caller goes on over them;
 * and whether steps that wait for a Check had it, between two states. False
 * after having filled the reply. */
bool checking_allows(struct change *change, const char *release,
                     struct reply *reply);
bool checking_passes(struct change *change, const char *release,
                     const struct release_status *before,
                     const struct release_status *after, struct reply *reply);

/* ---- schedule (schedule.c) ------------------------------------------------------- */

void schedule_tick(struct control *control, int64_t now);
/* At a start, before anything is published: what waits in the folder, or was
 * turned to, for the next item. */
void schedule_resume(struct control *control, int64_t now);
/* The call and the caller of an item that waits; what it points to is the
 * item's but `query`, which the caller of this frees. */
void schedule_call(const json_t *item, const char *id, int64_t now,
                   struct call *ret_call);
/* Whether the call's effectiveAt has come. */
bool schedule_is_due(const struct call *call);
/* Commits the call as a change that waits; fills the reply. */
void schedule_put(struct change *change, const json_t *changes,
                  struct reply *reply);
/* Checks and carries out the body of APPLY (apply.c). */
void apply_run(const struct call *call, struct change *change,
               struct reply *reply);

/* ---- start (start.c) ---------------------------------------------------------------- */

int first_token(struct control *control, struct gray_problem *ret_problem);

#endif
