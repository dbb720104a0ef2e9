/* SPDX-License-Identifier: Apache-2.0
 * report.c - says how this host stands, and takes the lease that it earns.
 *
 * Why: the server can promise nothing of a host that it does not hear, so a
 * report is sent when anything in it has changed, and else often enough that
 * the lease never ends while the network is well.  While the server is away
 * nobody asks here: the poll finds out when it is back (bundle.c).
 * Read next: lease.c, push.c, docs/agent.md (Up).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/agent/internal.h"
#include "control/failpoint.h"
#include "control/grayd.h"

#define COUNTERS_MAX 512u /* series of one report */
#define GAP_MS 10         /* between two reports */
#define PUSH_MS 500       /* between two looks at the journal */
#define REFUSED "report-refused"
#define MS INT64_C(1000000)

/* ---- the report ------------------------------------------------------------ */

/* What the server is told, from one moment. */
struct sent {
    struct known known;
    uint64_t sequence, revision, closed;
    struct epochs epochs;
    struct agent_refused refused;
    uint64_t scopes[AGENT_HOST_WORDS_MAX]; /* words that are in it */
    uint32_t words[AGENT_HOST_WORDS_MAX];
    size_t word_count;
    int64_t late_ms;
};

static const char *word_text(uint32_t word)
{
    static const char *const texts[] = { "open", "no-admit", "baseline",
                                         "killed" };

    return texts[word & GRAY_WORD_MASK];
}

static json_t *word_json(const struct agent_word *word)
{
    char scope[17];
    json_t *row, *at = json_object_get(word->action, "at");

    snprintf(scope, sizeof(scope), "%016" PRIx64, word->word.scope);
    row = json_pack("{s:s,s:s}", "scope", scope, "word",
                    word_text(word->word.word));
    if (word->action != NULL) {
        json_object_set(row, "actor", json_object_get(word->action, "actor"));
        json_object_set(row, "reason",
                        json_object_get(word->action, "reason"));
    }
    if (json_is_string(at)) {
        struct tm moment = { 0 };

        if (strptime(json_string_value(at), "%Y-%m-%dT%H:%M:%S", &moment) !=
            NULL) {
            json_object_set_new(row, "at",
                                json_integer((json_int_t)timegm(&moment) *
                                             1000));
        }
    }
    return row;
}

/* Under the lock: the words, and which they were. */
static json_t *words_json(struct agent *agent, struct sent *sent)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < agent->said.word_count; i++) {
        const struct agent_word *word = &agent->said.words[i];

        if (word->ready && word->word.word != GRAY_WORD_OPEN) {
            sent->scopes[sent->word_count] = word->word.scope;
            sent->words[sent->word_count++] = word->word.word;
            json_array_append_new(rows, word_json(word));
        }
    }
    return rows;
}

static json_t *readers_json(const json_t *status, const struct epochs *epochs)
{
    json_t *rows = json_array(), *reader;
    size_t i;

    json_array_foreach(json_object_get(status, "readers"), i, reader) {
        uint64_t have = (uint64_t)json_integer_value(
            json_object_get(reader, "wordEpoch"));
        json_t *row = json_pack(
            "{s:O*,s:O*,s:O*,s:O*,s:O*,s:I,s:b}", "id",
            json_object_get(reader, "id"), "kind",
            json_object_get(reader, "kind"), "pid",
            json_object_get(reader, "pid"), "generation",
            json_object_get(reader, "policyGeneration"), "acknowledged",
            json_object_get(reader, "acknowledged"), "epoch",
            (json_int_t)epochs_of(epochs, have), "alive", 1);

        json_array_append_new(rows, row != NULL ? row : json_object());
    }
    return rows;
}

static json_t *counters_json(const json_t *status)
{
    json_t *rows = json_array(), *row;
    size_t i;

    json_array_foreach(json_object_get(status, "routes"), i, row) {
        if (i < COUNTERS_MAX) {
            json_array_append(rows, row);
        }
    }
    return rows;
}

static json_t *marks_json(struct agent *agent, uint64_t closed)
{
    json_t *status, *marks;

    if (agent->marks == NULL) {
        return json_pack("{s:i,s:n}", "lag", 0, "closed");
    }
    status = marks_status(agent->marks, 0, NULL);
    marks = json_pack("{s:I,s:I,s:s}", "lag",
                      json_integer_value(json_object_get(
                          json_object_get(status, "journal"), "lag")),
                      "closed", (json_int_t)closed, "journal",
                      agent->journal);
    json_decref(status);
    return marks;
}

static json_t *refused_json(const struct agent_refused *refused)
{
    return refused->at == 0
               ? json_null()
               : json_pack("{s:I,s:s,s:s}", "sequence",
                           (json_int_t)refused->sequence, "code",
                           refused->code, "sentence", refused->sentence);
}

static char *report_text(struct agent *agent, struct sent *sent)
{
    json_t *words, *status, *report;
    struct gray_problem problem = { 0 };
    char *text;

    pthread_mutex_lock(&agent->lock);
    *sent = (struct sent) {
        .known = agent->said.known,      .sequence = agent->said.sequence,
        .revision = agent->said.revision, .closed = agent->said.closed,
        .epochs = agent->said.epochs,    .refused = agent->said.refused,
        .late_ms = agent->said.late_ms,
    };
    words = words_json(agent, sent);
    pthread_mutex_unlock(&agent->lock);
    status = publisher_status(agent->options.runtime, &problem);
    if (status == NULL) { /* "no readers" would be a promise for them */
        agent_trouble(agent, &problem);
        json_decref(words);
        return NULL;
    }
    report = json_pack(
        "{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:o,s:I,s:I,s:o,s:o,s:o,s:o}", "host",
        agent->host, "boot", agent->boot, "build", GRAY_VERSION, "server",
        sent->sequence != 0 ? sent->known.server : "", "sequence",
        (json_int_t)sent->sequence, "revision", (json_int_t)sent->revision,
        "epoch", (json_int_t)sent->epochs.epoch, "readers",
        readers_json(status, &sent->epochs), "clockMs",
        (json_int_t)grayd_now(), "lateMs", (json_int_t)sent->late_ms,
        "refused", refused_json(&sent->refused), "words", words, "marks",
        marks_json(agent, sent->closed), "counters", counters_json(status));
    text = report != NULL ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(status);
    json_decref(report);
    return text;
}

/* ---- the answer -------------------------------------------------------------- */

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));

    return number > 0 ? (uint64_t)number : 0;
}

/* Under the lock. */
static bool words_were_told(struct agent *agent, const struct sent *sent,
                            uint64_t sequence)
{
    bool some = false;

    for (size_t i = 0; i < agent->said.word_count; i++) {
        struct host_word *word = &agent->said.words[i].word;

        for (size_t j = 0; j < sent->word_count; j++) {
            if (sent->scopes[j] == word->scope &&
                sent->words[j] == word->word && word->told == 0) {
                host_word_told(word, sequence);
                some = true;
            }
        }
    }
    return some;
}

/* The server has a bundle that the poll, which waits, does not bring. Under
 * the lock. */
static bool is_poll_deaf(struct agent *agent, uint64_t sequence)
{
    struct agent_said *said = &agent->said;

    if (sequence <= said->known.sequence || !said->polling) {
        said->lagging = 0;
        return false;
    }
    if (said->lagging == 0) {
        said->lagging = agent_monotonic_ms();
    }
    return agent_monotonic_ms() - said->lagging > AGENT_LAG_MS;
}

static void take_answer(struct agent *agent, const struct sent *sent,
                        const struct link_answer *answer)
{
    json_t *body = json_loadb(answer->text != NULL ? answer->text : "",
                              answer->length, 0, NULL);
    uint64_t sequence = number_of(body, "sequence");
    uint64_t spread = number_of(body, "spreadMs");
    bool told, longer, deaf, again;
    int64_t until;

    pthread_mutex_lock(&agent->lock);
    longer = lease_grant(&agent->said.lease, answer->sent, sent->epochs.epoch,
                         agent->said.newest_epoch,
                         number_of(body, "leaseMs"));
    until = agent->said.lease.until;
    agent->said.server_sequence = sequence;
    agent->said.through = number_of(body, "admissionsThrough");
    clock_offset(answer->sent_wall, answer->answered_wall,
                 (int64_t)number_of(body, "clockMs"),
                 &agent->said.clock_offset);
    told = words_were_told(agent, sent, sequence);
    deaf = is_poll_deaf(agent, sequence);
    again = agent->said.spread_ms != spread && spread > 0;
    agent->said.spread_ms = spread > 0 ? spread : agent->said.spread_ms;
    pthread_mutex_unlock(&agent->lock);
    json_decref(body);
    if (longer && agent->marks != NULL) {
        marks_lease(agent->marks, until);
    }
    if (told || again) {
        atomic_store(&agent->memory, true); /* the poll thread writes it */
    }
    if (deaf) {
        link_break(agent->poll);
    }
    agent_heard(agent, NULL);
    agent_well(agent, REFUSED);
    failpoint("reported");
}

/* ---- the thread ---------------------------------------------------------------- */

/* Sleeps until something is to be said or sent; false: it ends. `due`: of the
 * next report (CLOCK_BOOTTIME ns). */
static bool sleep_until(struct agent *agent, int64_t due, bool *ret_report)
{
    struct agent_said *said = &agent->said;
    int64_t until = agent_monotonic_ms() + PUSH_MS;

    pthread_mutex_lock(&agent->lock);
    while (!atomic_load(&agent->stopping)) {
        int64_t now = agent_monotonic_ms(), left = due - agent_boot_ns();
        int64_t wake = said->reachable && left / MS < until - now
                           ? now + left / MS
                           : until;
        struct timespec moment = { .tv_sec = wake / 1000,
                                   .tv_nsec = wake % 1000 * MS };

        *ret_report = said->reachable && (said->news || left <= 0);
        if (*ret_report || now >= until) {
            said->news = said->news && !*ret_report;
            break;
        }
        pthread_cond_timedwait(&agent->wake, &agent->lock, &moment);
    }
    pthread_mutex_unlock(&agent->lock);
    return !atomic_load(&agent->stopping);
}

/* The next one is due then. */
static int64_t report_once(struct agent *agent, struct backoff *backoff)
{
    struct sent sent;
    struct link_answer answer = { 0 };
    char *path = link_path("/v1/hosts/%s/report", agent->host);
    char *text = report_text(agent, &sent);
    struct link_call call = {
        .path = path, .body = text, .first_byte_ms = AGENT_CALL_MS,
    };
    int result = text != NULL ? link_ask(agent->report, &call, &answer)
                              : -ENODATA;
    int64_t due = agent_boot_ns();

    if (result == 0 && answer.status == 200) {
        take_answer(agent, &sent, &answer);
        backoff_good(backoff);
        pthread_mutex_lock(&agent->lock);
        due = lease_next_report(&agent->said.lease, answer.sent);
        pthread_mutex_unlock(&agent->lock);
    } else if (result == 0 && answer.status == 503) {
        /* It has many hosts, or no time: later. */
        due += backoff_next(backoff, answer.retry_after_ms) * MS;
    } else if (result == 0) {
        struct gray_problem problem = { 0 };

        agent_problem(&problem, EPERM, REFUSED,
                      "The server answered %d to this host's report.",
                      answer.status);
        agent_trouble(agent, &problem);
        due += backoff_next(backoff, answer.retry_after_ms) * MS;
    } else if (result == -ENODATA) {
        due += LEASE_REPORT_MS * MS; /* the folder cannot be read */
    } else if (result != -ECANCELED) {
        /* The poll asks until it is back. */
        agent_heard(agent, answer.why);
        link_break(agent->poll);
    }
    free(answer.text);
    free(text);
    free(path);
    return due;
}

/* Records and lines that the server lacks, until the next report is `due`: a
 * host with many of them must not seem to be away. When to look again
 * (CLOCK_BOOTTIME ns). */
static int64_t push_some(struct agent *agent, struct backoff *backoff,
                         int64_t due)
{
    bool reachable;
    int result, more;

    pthread_mutex_lock(&agent->lock);
    reachable = agent->said.reachable;
    pthread_mutex_unlock(&agent->lock);
    do {
        result = reachable ? push_records(agent) : 1;
    } while (result == 0 && agent_boot_ns() < due);
    while (result == 1 && reachable && agent_boot_ns() < due &&
           (more = push_decisions(agent)) != 1) {
        result = more < 0 ? more : 1;
    }
    if (result < 0) {
        return agent_boot_ns() + backoff_next(backoff, 0) * MS;
    }
    backoff_good(backoff);
    return 0;
}

void *report_main(void *context)
{
    struct agent *agent = context;
    struct backoff reports, pushes;
    int64_t due = 0, push_due = 0;
    bool report = false;

    backoff_init(&reports, (uint64_t)agent_boot_ns());
    backoff_init(&pushes, (uint64_t)agent_boot_ns() + 1);
    while (sleep_until(agent, due, &report)) {
        if (report) {
            pthread_mutex_lock(&agent->lock);
            backoff_spread(&reports, agent->said.spread_ms);
            pthread_mutex_unlock(&agent->lock);
            due = report_once(agent, &reports);
            link_wait(agent->report, GAP_MS);
        }
        if (agent_boot_ns() >= push_due) {
            push_due = push_some(agent, &pushes, due);
        }
    }
    return NULL;
}
