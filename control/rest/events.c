/* SPDX-License-Identifier: Apache-2.0
 * events.c - /v1/events: what happened, as it happens (server-sent events).
 *
 * Why: one thread reads each new record once and keeps the last ones as text
 * in a ring; watchers copy from there, each what its scope covers, and those
 * who come late read the store themselves.  A watcher costs a cursor, never a
 * queue: what it has not taken stands in the store.  Its connection sleeps
 * (suspended) while there is nothing.
 *
 *   id: sequence of the record    event: its action    data: the record
 *
 * Only what was done is told; attempts and dry runs stand in /v1/audit.
 * Read next: ../call/record.c, respond.c (streams).
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "control/rest/internal.h"

#define RING 1024u
#define PAGE 256u          /* records read at once */
#define PIECE_MAX 65536u   /* bytes of a piece, and one event more */
#define PING_MS 15000

struct event {
    uint64_t sequence;
    char *text;            /* NULL: nothing to tell */
    char resource[STORE_NAME_MAX + 1];
};
struct watcher {
    struct reply_stream stream;
    struct events *events;
    struct identity identity;
    uint64_t after;        /* the last record that it has seen, or may not */
    bool suspended, ping, live, over, greeted;
    struct watcher *next, **link;
};
struct events {
    struct rest *rest;
    pthread_t thread;
    bool has_thread;
    int wake;              /* eventfd */
    _Atomic uint64_t newest, commits;
    pthread_mutex_t lock;  /* of everything below */
    struct event ring[RING]; /* [sequence % RING] */
    uint64_t first, last;  /* in the ring; last + 1 == first: empty */
    struct watcher *watchers;
    unsigned count;
    bool ending;
};

/* ---- records as text ------------------------------------------------------------- */

/* The event of a record; text stays NULL when it is not to be told. */
static void write_event(struct event *event, const struct store_record *record)
{
    json_t *value = record_public(record->text, record->length);
    const char *outcome = json_string_value(json_object_get(value, "outcome"));
    const char *action = json_string_value(json_object_get(value, "action"));
    const char *resource =
        json_string_value(json_object_get(value, "resource"));
    char *data = NULL, *text = NULL;

    event->sequence = record->sequence;
    event->text = NULL;
    snprintf(event->resource, sizeof(event->resource), "%s",
             resource != NULL ? resource : "");
    if (outcome != NULL && action != NULL && strcmp(outcome, "done") == 0 &&
        strpbrk(action, "\r\n") == NULL) {
        data = json_dumps(value, JSON_COMPACT);
    }
    if (data != NULL &&
        asprintf(&text, "id: %llu\nevent: %s\ndata: %s\n\n",
                 (unsigned long long)record->sequence, action, data) > 0) {
        event->text = text;
    }
    free(data);
    json_decref(value);
}

/* ---- the ring ----------------------------------------------------------------------- */

static int keep_record(void *context, const struct store_record *record)
{
    struct events *events = context;
    struct event event;

    write_event(&event, record);
    pthread_mutex_lock(&events->lock);
    if (events->last + 1 == events->first || record->sequence !=
                                                 events->last + 1) {
        events->first = record->sequence; /* empty, or a gap: begin anew */
    }
    free(events->ring[record->sequence % RING].text);
    events->ring[record->sequence % RING] = event;
    events->last = record->sequence;
    if (events->last - events->first >= RING) {
        events->first = events->last - RING + 1;
    }
    pthread_mutex_unlock(&events->lock);
    return 0;
}

/* Reads what is new into the ring; far behind, only the last of it. */
static void read_new(struct events *events)
{
    struct hand *hand = rest_hand(events->rest);
    uint64_t newest = atomic_load(&events->newest);
    uint64_t from = events->last + 1; /* this thread alone writes it */
    struct gray_problem problem;

    if (hand == NULL || hand->reader == NULL) {
        return;
    }
    if (newest >= RING && from < newest - RING + 1) {
        from = newest - RING + 1;
    }
    while (from <= newest) {
        if (store_read_audit(hand->reader, from, PAGE, keep_record, events,
                             &problem) != 0) {
            grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
            return;
        }
        if (events->last < from) {
            return; /* nothing there: asked again at the next wake */
        }
        from = events->last + 1;
    }
}

/* ---- waking ---------------------------------------------------------------------------- */

/* Under the lock. */
static void wake_watcher(struct watcher *watcher)
{
    if (watcher->suspended) {
        watcher->suspended = false;
        watcher->stream.resume(&watcher->stream);
    }
}


struct known_token {
    char id[17];
    int64_t expires;
    bool stands;
};

/* The tokens of all watchers, each once. NULL: none. malloc'd. */
static struct known_token *list_tokens(struct events *events, size_t *ret_count)
{
    struct known_token *known;
    struct watcher *watcher;
    size_t i, count = 0;

    pthread_mutex_lock(&events->lock);
    known = calloc(events->count + 1, sizeof(*known));
    for (watcher = events->watchers; known != NULL && watcher != NULL;
         watcher = watcher->next) {
        const struct identity *identity = &watcher->identity;

        for (i = 0; i < count && strcmp(known[i].id, identity->token_id) != 0;
             i++) {
        }
        if (i == count && identity->token_id[0] != '\0') {
            snprintf(known[i].id, sizeof(known[i].id), "%s",
                     identity->token_id);
            known[i].expires = identity->expires;
            count++;
        }
    }
    pthread_mutex_unlock(&events->lock);
    *ret_count = count;
    return known;
}

/* A token that was revoked or ran out ends its streams. Tokens are few, so
 * each is looked up once, and without the lock: reading may take long. */
static void end_revoked(struct events *events)
{
    struct hand *hand = rest_hand(events->rest);
    struct watcher *watcher;
    struct known_token *known;
    size_t i, count;

    if (hand == NULL || hand->reader == NULL) {
        return;
    }
    known = list_tokens(events, &count);
    for (i = 0; known != NULL && i < count; i++) {
        struct identity identity = {.expires = known[i].expires};

        memcpy(identity.token_id, known[i].id, sizeof(identity.token_id));
        known[i].stands =
            authorize_still(&identity, hand->reader, grayd_now());
    }
    pthread_mutex_lock(&events->lock);
    for (watcher = events->watchers; known != NULL && watcher != NULL;
         watcher = watcher->next) {
        for (i = 0; i < count; i++) {
            if (!known[i].stands &&
                strcmp(known[i].id, watcher->identity.token_id) == 0) {
                watcher->over = true;
            }
        }
    }
    pthread_mutex_unlock(&events->lock);
    free(known);
}

static void wake_all(struct events *events, bool ping)
{
    struct watcher *watcher;

    pthread_mutex_lock(&events->lock);
    for (watcher = events->watchers; watcher != NULL;
         watcher = watcher->next) {
        watcher->ping = watcher->ping || ping;
        if (watcher->ping || watcher->over || events->ending ||
            watcher->after < events->last) {
            wake_watcher(watcher);
        }
    }
    pthread_mutex_unlock(&events->lock);
}

static void *tell(void *context)
{
    struct events *events = context;
    uint64_t next_ping = rest_clock_ns() / 1000000u + PING_MS;
    uint64_t now, seen;
    bool ending, ping;

    pthread_setname_np(pthread_self(), "events");
    do {
        struct pollfd wait = {events->wake, POLLIN, 0};

        now = rest_clock_ns() / 1000000u;
        if (poll(&wait, 1, next_ping > now ? (int)(next_ping - now) : 0) > 0 &&
            read(events->wake, &seen, sizeof(seen)) < 0) {
            seen = 0;
        }
        ping = rest_clock_ns() / 1000000u >= next_ping;
        if (ping) {
            next_ping = rest_clock_ns() / 1000000u + PING_MS;
        }
        read_new(events);
        end_revoked(events);
        wake_all(events, ping);
        pthread_mutex_lock(&events->lock);
        ending = events->ending;
        pthread_mutex_unlock(&events->lock);
    } while (!ending);
    return NULL;
}

static void ring_bell(struct events *events)
{
    static const uint64_t one = 1;

    if (write(events->wake, &one, sizeof(one)) < 0) {
        return; /* it is full of rings already */
    }
}

/* On the control thread. */
static void listen_to_control(void *context, uint64_t audit_sequence,
                              uint64_t revision_in_force)
{
    struct events *events = context;

    (void)revision_in_force;
    if (atomic_exchange(&events->newest, audit_sequence) != audit_sequence) {
        atomic_fetch_add(&events->commits, 1);
        ring_bell(events);
    }
}

/* ---- watchers ------------------------------------------------------------------------- */

/* A piece that grows. */
struct piece {
    char *data;
    size_t length;
    const struct identity *identity;
    uint64_t after;
    bool failed;
};

static void add_event(struct piece *piece, const struct event *event)
{
    size_t length;
    char *data;

    piece->after = event->sequence;
    if (event->text == NULL ||
        !resource_covered(piece->identity, event->resource)) {
        return;
    }
    length = strlen(event->text);
    data = realloc(piece->data, piece->length + length);
    if (data == NULL) {
        piece->failed = true;
        return;
    }
    memcpy(data + piece->length, event->text, length);
    piece->data = data;
    piece->length += length;
}

static int add_record(void *context, const struct store_record *record)
{
    struct piece *piece = context;
    struct event event;

    write_event(&event, record);
    add_event(piece, &event);
    free(event.text);
    return piece->failed || piece->length >= PIECE_MAX;
}

/* Under the lock, which is let go while the store is read. 0, or -1. */
static int gather(struct watcher *watcher, struct hand *hand,
                  struct piece *piece)
{
    struct events *events = watcher->events;
    struct gray_problem problem;
    int done;

    if (piece->after + 1 >= events->first) {
        while (piece->after < events->last && piece->length < PIECE_MAX &&
               !piece->failed) {
            add_event(piece, &events->ring[(piece->after + 1) % RING]);
        }
        return piece->failed ? -1 : 0;
    }
    pthread_mutex_unlock(&events->lock);
    watcher->after = piece->after;
    done = store_read_audit(hand->reader, piece->after + 1, PAGE, add_record,
                            piece, &problem);
    pthread_mutex_lock(&events->lock);
    /* Nothing where there must be something: rather end than spin. */
    return done != 0 || piece->failed || piece->after == watcher->after ? -1
                                                                        : 0;
}

static int watcher_more(struct reply_stream *stream, struct hand *hand,
                        char **ret_text, size_t *ret_length)
{
    static const char greeting[] = "retry: 2000\n: watching\n\n";
    struct watcher *watcher = (struct watcher *)stream;
    struct events *events = watcher->events;
    struct piece piece = {.identity = &watcher->identity,
                          .after = watcher->after};
    int done = 1;

    pthread_mutex_lock(&events->lock);
    while (done == 1 && piece.length == 0) {
        if (events->ending || watcher->over ||
            (watcher->live &&
             events->last > piece.after + REST_EVENTS_BEHIND_MAX)) {
            done = 0;
        } else if (!watcher->greeted || watcher->ping) {
            piece.data = strdup(watcher->greeted ? ": ping\n\n" : greeting);
            piece.length = piece.data != NULL ? strlen(piece.data) : 0;
            done = piece.data != NULL ? 1 : -1;
            watcher->greeted = true;
            watcher->ping = false;
        } else if (piece.after < events->last) {
            done = gather(watcher, hand, &piece) == 0 ? 1 : -1;
        } else {
            watcher->live = watcher->suspended = true;
            stream->suspend(stream);
            done = REPLY_WAIT;
        }
    }
    watcher->after = piece.after;
    pthread_mutex_unlock(&events->lock);
    if (done != 1) {
        free(piece.data);
        return done;
    }
    *ret_text = piece.data;
    *ret_length = piece.length;
    return 1;
}

static void watcher_close(struct reply_stream *stream)
{
    struct watcher *watcher = (struct watcher *)stream;
    struct events *events = watcher->events;

    pthread_mutex_lock(&events->lock);
    *watcher->link = watcher->next;
    if (watcher->next != NULL) {
        watcher->next->link = watcher->link;
    }
    events->count--;
    pthread_mutex_unlock(&events->lock);
    free(watcher);
}

void route_handle_EVENTS(struct hand *hand, const struct call *call,
                         struct reply *reply)
{
    struct events *events = hand->grayd->rest->events;
    uint64_t newest = atomic_load(&events->newest), after = newest;
    struct watcher *watcher;
    bool room;

    if (!call_query_number(call, "after", 0, newest, &after, reply)) {
        return;
    }
    watcher = calloc(1, sizeof(*watcher));
    if (watcher == NULL) {
        reply_problem(reply, PROBLEM_INTERNAL, "No memory.");
        return;
    }
    watcher->stream.more = watcher_more;
    watcher->stream.close = watcher_close;
    watcher->events = events;
    watcher->identity = call->identity;
    watcher->after = after;
    pthread_mutex_lock(&events->lock);
    room = events->count < REST_EVENTS_MAX && !events->ending;
    if (room) {
        events->count++;
        watcher->next = events->watchers;
        watcher->link = &events->watchers;
        if (watcher->next != NULL) {
            watcher->next->link = &watcher->next;
        }
        events->watchers = watcher;
    }
    pthread_mutex_unlock(&events->lock);
    if (!room) {
        free(watcher);
        reply_problem(reply, PROBLEM_BUSY, "%u watch already.",
                      REST_EVENTS_MAX);
        reply->retry_after = 5;
        return;
    }
    reply->stream = &watcher->stream;
    reply->status = 200;
    reply->type = call->route->response;
}

unsigned events_watchers(struct events *events)
{
    unsigned count;

    pthread_mutex_lock(&events->lock);
    count = events->count;
    pthread_mutex_unlock(&events->lock);
    return count;
}

uint64_t events_commits(struct events *events)
{
    return atomic_load(&events->commits);
}

/* ---- start and end ------------------------------------------------------------------------ */

int events_start(struct rest *rest, struct gray_problem *ret_problem)
{
    struct events *events = calloc(1, sizeof(*events));

    if (events == NULL) {
        rest_problem(ret_problem, "no-memory", "No memory for events.");
        return -1;
    }
    rest->events = events;
    events->rest = rest;
    pthread_mutex_init(&events->lock, NULL);
    events->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_store(&events->newest, atomic_load(&rest->grayd->audit_sequence));
    events->last = atomic_load(&events->newest);
    events->first = events->last + 1;
    if (events->wake < 0 ||
        pthread_create(&events->thread, NULL, tell, events) != 0) {
        rest_problem(ret_problem, "no-thread", "No thread can be started.");
        return -1;
    }
    events->has_thread = true;
    control_listen(rest->grayd, listen_to_control, events);
    return 0;
}

void events_end(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    events->ending = true;
    pthread_mutex_unlock(&events->lock);
    ring_bell(events);
    if (events->has_thread) {
        pthread_join(events->thread, NULL);
        events->has_thread = false;
    }
    wake_all(events, false);
}

void events_free(struct events *events)
{
    size_t i;

    if (events == NULL) {
        return;
    }
    for (i = 0; i < RING; i++) {
        free(events->ring[i].text);
    }
    if (events->wake >= 0) {
        close(events->wake);
    }
    pthread_mutex_destroy(&events->lock);
    free(events);
}
