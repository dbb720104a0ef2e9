/* SPDX-License-Identifier: Apache-2.0
 * marked.h - a folder whose marks are made durable by the test itself.
 *
 * Why: what a reader does hangs on what grayd does at the same moment; here
 * the test is grayd's marks thread, one step at a time.  It drains real rings,
 * moves real slots, and says so in the real marks/drained.
 * Read next: test_admit.c.
 */
#ifndef GRAY_TESTS_RUNTIME_MARKED_H
#define GRAY_TESTS_RUNTIME_MARKED_H

#include "runtime/internal.h"

#define MARKED_NOW INT64_C(1767225600000)
#define MARKED_SCOPE gray_hash_scope("order-2", 7)

/* The one release, order-2. */
struct marked_kind {
    const char *stickiness; /* NULL: monotonic */
    const char *share;      /* percent; NULL: "100" */
    const char *deny;       /* a unit; NULL: nobody */
    bool strict, lease;
    uint32_t patience;      /* strictTimeout, ms; 0: 50 */
    const char *stages;     /* as a document has them; NULL: none */
    bool refuse;            /* onUnknown */
    bool shared;            /* sharedMarks: redis */
    bool second;            /* one more release, pay-2 of the same service */
};
struct marked_world {
    char path[64];
    struct gray_folder folder;
    struct gray_drained *drained; /* writable */
    struct gray_marks tables;     /* grayd's own mapping */
    struct gray_runtime *runtime; /* the reader under test */
    uint64_t revision, tail;
    int64_t last_now; /* of the last record that was taken */
    bool refuses;     /* this grayd makes no mark that it is asked for */
};
/* Makes the folder and opens a reader of this kind in it.  The writer has
 * never lived yet, see writer_lives(). */
void marked_begin(struct marked_world *world, const struct marked_kind *kind,
                  enum gray_reader_kind reader);
void marked_end(struct marked_world *world);
/* Publishes anew, and the reader takes it. */
void marked_publish(struct marked_world *world, const struct marked_kind *kind);
/* Maps what `control` names now, for grayd's own part. */
void marked_map(struct marked_world *world);
/* One more reader, counted; the caller closes it. */
struct gray_runtime *marked_reader(const struct marked_world *world,
                                   enum gray_reader_kind kind);

/* Begins a request, and decides it at the unnamed entrance. */
struct marked_request {
    struct gray_marked marked;
    struct gray_input in;
    struct gray_colour colour;
    char unit[64];
};
void request_begin(struct marked_request *request, struct gray_runtime *runtime,
                   const char *unit);
enum gray_marked_now request_decide(struct marked_request *request);
/* Both at once; the request must not wait. */
void request_ask(struct marked_request *request, struct gray_runtime *runtime,
                 const char *unit);
/* Is it in order-2?  And why (of the release's answer)? */
bool request_in(const struct marked_request *request);
enum gray_reason request_reason(const struct marked_request *request);

/* The writer lives now, in this state, and the lease runs for ten seconds. */
void writer_lives(struct marked_world *world, enum gray_writer_state state);
/* Takes what `runtime` pushed, settles it, says so; how many records. */
uint32_t writer_round(struct marked_world *world,
                      const struct gray_runtime *runtime);
/* Freeze or thaw, as the word goes. */
void word_set(struct marked_world *world, enum gray_word word);

/* What stands in the unit's slot; 0: nothing. */
uint64_t slot_of(const struct marked_world *world, const char *unit);
/* Its admission is revoked, as grayd does. */
void slot_revoke(const struct marked_world *world, const char *unit);
/* Puts a value of this state there, as another reader would. */
void slot_put(const struct marked_world *world, const char *unit,
              enum gray_slot_state state);
uint64_t event_count(const struct gray_runtime *runtime, enum gray_event event);

#endif
