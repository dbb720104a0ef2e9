/* SPDX-License-Identifier: Apache-2.0
 * agent.c - start and end of an agent, and what its threads say to each other.
 *
 * Why: the order of a start is that of a host that was switched on alone: the
 * last good policy, marks, then what was accepted and not finished, and only
 * then the network.
 * Read next: agent.h, bundle.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/agent/internal.h"
#include "control/audit/audit.h"
#include "control/grayd.h"

int agent_problem(struct gray_problem *ret_problem, int error,
                  const char *code, const char *format, ...)
{
    va_list arguments;

    if (ret_problem != NULL) {
        ret_problem->code = code;
        ret_problem->offset = 0;
        va_start(arguments, format);
        vsnprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                  format, arguments);
        va_end(arguments);
    }
    return -error;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now = { 0 };

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t agent_monotonic_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t agent_boot_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

/* ---- between the threads ------------------------------------------------------- */

void agent_news(struct agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    agent->said.news = true;
    pthread_cond_signal(&agent->wake);
    pthread_mutex_unlock(&agent->lock);
}

void agent_trouble(struct agent *agent, const struct gray_problem *problem)
{
    struct agent_said *said = &agent->said;
    bool fresh;

    pthread_mutex_lock(&agent->lock);
    fresh = problem != NULL && strcmp(said->trouble, problem->sentence) != 0;
    snprintf(said->trouble, sizeof(said->trouble), "%.199s",
             problem != NULL ? problem->sentence : "");
    snprintf(said->trouble_code, sizeof(said->trouble_code), "%s",
             problem != NULL && problem->code != NULL ? problem->code : "");
    pthread_mutex_unlock(&agent->lock);
    if (fresh) {
        grayd_log(LOG_LEVEL_WARN, problem->code, "%s", problem->sentence);
    }
}

void agent_well(struct agent *agent, const char *code)
{
    pthread_mutex_lock(&agent->lock);
    if (strcmp(agent->said.trouble_code, code) == 0) {
        agent->said.trouble[0] = agent->said.trouble_code[0] = '\0';
    }
    pthread_mutex_unlock(&agent->lock);
}

void agent_refuse(struct agent *agent, uint64_t sequence,
                  const struct gray_problem *problem)
{
    struct agent_refused *refused = &agent->said.refused;
    bool news;

    pthread_mutex_lock(&agent->lock);
    if (sequence == 0) { /* a number that could not be read: the next one */
        sequence = agent->said.known.sequence + 1;
    }
    if (problem == NULL) {
        news = refused->at != 0;
        *refused = (struct agent_refused) { .at = 0 };
    } else {
        news = refused->at == 0 || refused->sequence != sequence ||
               strcmp(refused->code, problem->code) != 0;
        snprintf(refused->code, sizeof(refused->code), "%s", problem->code);
        snprintf(refused->sentence, sizeof(refused->sentence), "%s",
                 problem->sentence);
        refused->sequence = sequence;
        refused->at = grayd_now();
    }
    pthread_mutex_unlock(&agent->lock);
    if (problem != NULL && news) {
        grayd_log(LOG_LEVEL_ERROR, problem->code, "%s", problem->sentence);
    }
    if (news) {
        agent_news(agent);
    }
}

void agent_heard(struct agent *agent, const char *why)
{
    struct agent_said *said = &agent->said;
    bool changed;

    pthread_mutex_lock(&agent->lock);
    changed = said->reachable != (why == NULL) ||
              (why != NULL && strcmp(said->why, why) != 0);
    said->reachable = why == NULL;
    snprintf(said->why, sizeof(said->why), "%s", why != NULL ? why : "");
    if (why == NULL) {
        said->heard = grayd_now();
    }
    if (changed && why == NULL) {
        said->news = true; /* it is to hear of this host at once */
        pthread_cond_signal(&agent->wake);
    }
    pthread_mutex_unlock(&agent->lock);
    if (changed) {
        grayd_log(why == NULL ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "server",
                  "%s %s%s", agent->options.server,
                  why == NULL ? "is heard" : "is not heard: ",
                  why != NULL ? why : "");
    }
}

/* ---- memory ----------------------------------------------------------------------- */

void agent_remember(struct agent *agent)
{
    struct gray_problem problem = { 0 };
    const struct agent_said *said = &agent->said;
    json_t *known, *words = json_array();
    char *text;

    pthread_mutex_lock(&agent->lock);
    for (size_t i = 0; i < said->word_count; i++) {
        const struct host_word *word = &said->words[i].word;
        char scope[17];

        snprintf(scope, sizeof(scope), "%016" PRIx64, word->scope);
        if (word->told != 0) {
            json_array_append_new(
                words, json_pack("{s:s,s:i,s:I}", "scope", scope, "word",
                                 (int)word->word, "told",
                                 (json_int_t)word->told));
        }
    }
    known = json_pack("{s:s,s:I,s:s,s:s,s:I,s:o}", "server",
                      said->known.server, "sequence",
                      (json_int_t)said->known.sequence, "sha256",
                      said->known.sha256, "key", agent->key, "spreadMs",
                      (json_int_t)said->spread_ms, "told", words);
    pthread_mutex_unlock(&agent->lock);
    text = json_dumps(known, JSON_COMPACT | JSON_SORT_KEYS);
    if (text != NULL && kept_write(&agent->place, KEPT_KNOWN, text,
                                   strlen(text), &problem) != 0) {
        agent_trouble(agent, &problem);
    }
    free(text);
    json_decref(known);
}

static void recall_words(struct agent *agent, const json_t *rows)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        const char *scope = json_string_value(json_object_get(row, "scope"));

        if (scope != NULL && agent->said.word_count < AGENT_HOST_WORDS_MAX) {
            agent->said.words[agent->said.word_count++] =
                (struct agent_word) {
                    .word = {
                        .scope = strtoull(scope, NULL, 16),
                        .word = (uint32_t)json_integer_value(
                            json_object_get(row, "word")),
                        .told = (uint64_t)json_integer_value(
                            json_object_get(row, "told")),
                    },
                    .seen = agent_monotonic_ms(),
                };
        }
    }
}

static void recall(struct agent *agent)
{
    json_t *kept = kept_known(&agent->place);
    struct known *known = &agent->said.known;
    const char *server = json_string_value(json_object_get(kept, "server"));
    const char *hash = json_string_value(json_object_get(kept, "sha256"));

    if (server != NULL && strlen(server) <= MANIFEST_SERVER_MAX) {
        strcpy(known->server, server);
        known->sequence = (uint64_t)json_integer_value(
            json_object_get(kept, "sequence"));
        snprintf(known->sha256, sizeof(known->sha256), "%s",
                 hash != NULL ? hash : "");
    }
    agent->said.spread_ms =
        (uint64_t)json_integer_value(json_object_get(kept, "spreadMs"));
    recall_words(agent, json_object_get(kept, "told"));
    json_decref(kept);
}

/* ---- what it was told --------------------------------------------------------------- */

/* The line itself, or the first line of a file. */
static int take_key(struct agent *agent, const char *given,
                    struct gray_problem *ret_problem)
{
    char text[AGENT_SERVER_KEY_MAX];
    ssize_t got;
    int fd;

    snprintf(text, sizeof(text), "%s", given);
    if (!audit_verifier_good(text) &&
        (fd = open(given, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) >= 0) {
        got = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[got > 0 ? got : 0] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
    }
    if (!audit_verifier_good(text)) {
        return agent_problem(ret_problem, EINVAL, "bad-server-key",
                             "--server-key: the server's verifier line (its "
                             "audit/key.pub), or a file with it, is wanted, "
                             "not %.100s.", given);
    }
    strcpy(agent->key, text);
    return 0;
}

static int take_host(struct agent *agent, const char *given,
                     struct gray_problem *ret_problem)
{
    char name[256] = "";
    size_t length;

    if (given == NULL && gethostname(name, sizeof(name) - 1) == 0) {
        given = name;
    }
    length = given != NULL ? strlen(given) : 0;
    if (length == 0 || length > AGENT_NAME_MAX ||
        strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "0123456789._-") != length ||
        strchr("._-", given[0]) != NULL) {
        return agent_problem(ret_problem, EINVAL, "bad-host-name",
                             "--host-name: 1 to %u letters, digits, dots, "
                             "underscores and hyphens are wanted, not %.80s.",
                             AGENT_NAME_MAX, given != NULL ? given : "");
    }
    strcpy(agent->host, given);
    return 0;
}

static void take_boot(struct agent *agent)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, agent->boot, sizeof(agent->boot) - 1) : 0;

    agent->boot[got > 0 ? got : 0] = '\0';
    agent->boot[strcspn(agent->boot, "\n")] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

/* ---- start and end -------------------------------------------------------------------- */

/* A restart of the host left an empty folder. */
static void restore(struct agent *agent)
{
    struct gray_problem problem = { 0 };
    const struct agent_options *o = &agent->options;
    int result = publisher_restore(o->state, o->runtime, o->group,
                                   o->allow_any_filesystem, &problem);

    if (result < 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
    } else if (result == 0) {
        grayd_log(LOG_LEVEL_INFO, "restore",
                  "the last good policy is in force again");
    }
}

static void open_marks(struct agent *agent)
{
    struct gray_problem problem = { 0 };
    struct gray_folder folder;
    struct marks_options options = {
        .state = agent->options.state,
        .runtime = agent->options.runtime,
        .group = agent->options.group,
        .now_ms = grayd_now,
        .begun = agent->said.known.server[0] != '\0',
        .leased = true,
    };

    /* What was granted before a restart of this agent still is. */
    if (gray_folder_open(&folder, options.runtime, false, NULL) == 0) {
        agent->said.lease.until = __atomic_load_n(
            &folder.control->lease_deadline, __ATOMIC_ACQUIRE);
        gray_folder_close(&folder);
    }
    if (marks_open(&agent->marks, &options, &problem) != 0) {
        agent->marks = NULL;
        agent_trouble(agent, &problem);
    } else {
        marks_journal_id(agent->marks, agent->journal);
    }
}

static int open_links(struct agent *agent, struct gray_problem *ret_problem)
{
    struct link_options options = {
        .server = agent->options.server,
        .token_file = agent->options.token_file,
        .ca = agent->options.ca,
    };
    int error = link_open(&agent->poll, &options, ret_problem);

    if (error == 0) {
        error = link_open(&agent->report, &options, ret_problem);
    }
    if (error == 0) {
        link_ticking(agent->poll, watch_tick, agent);
    }
    return error;
}

static int open_all(struct agent *agent, struct gray_problem *ret_problem)
{
    const struct agent_options *o = &agent->options;
    int error = take_key(agent, o->server_key, ret_problem);

    if (error == 0) {
        error = take_host(agent, o->host, ret_problem);
    }
    if (error == 0) {
        error = open_links(agent, ret_problem);
    }
    if (error == 0) {
        error = kept_open(&agent->place, o->state, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    take_boot(agent);
    recall(agent);
    restore(agent);
    error = publisher_open(&agent->publisher, o->runtime, o->state, o->group,
                           o->allow_any_filesystem, ret_problem);
    if (error == 0) {
        open_marks(agent);
        bundle_start(agent);
    }
    return error;
}

static int start_threads(struct agent *agent, struct gray_problem *ret_problem)
{
    int error = pthread_create(&agent->poll_thread, NULL, bundle_main, agent);

    agent->poll_runs = error == 0;
    if (error == 0) {
        error = pthread_create(&agent->report_thread, NULL, report_main,
                               agent);
        agent->report_runs = error == 0;
    }
    return error == 0 ? 0
                      : agent_problem(ret_problem, error, "no-thread",
                                      "No thread can be made: %s.",
                                      strerror(error));
}

int agent_start(struct agent **ret_agent, const struct agent_options *options,
                struct gray_problem *ret_problem)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    pthread_condattr_t clock;
    uint64_t seed = 0;
    char random[33];
    int error;

    if (agent == NULL) {
        return agent_problem(ret_problem, ENOMEM, "memory", "Out of memory.");
    }
    agent->options = *options;
    agent->once = options->accept_server;
    agent->place = (struct kept_place) { -1, -1 };
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&agent->lock, NULL);
    pthread_cond_init(&agent->wake, &clock);
    pthread_condattr_destroy(&clock);
    grayd_random_hex(random);
    seed = strtoull(random + 16, NULL, 16);
    backoff_init(&agent->backoff, seed);
    error = open_all(agent, ret_problem);
    backoff_spread(&agent->backoff, agent->said.spread_ms);
    if (error == 0) {
        error = start_threads(agent, ret_problem);
    }
    if (error != 0) {
        agent_stop(agent);
        return error;
    }
    *ret_agent = agent;
    return 0;
}

void agent_say(const struct agent *agent, char *ret_text, size_t size)
{
    struct agent *own = (struct agent *)(uintptr_t)agent;

    pthread_mutex_lock(&own->lock);
    snprintf(ret_text, size, "host %s, sequence %llu, revision %llu",
             agent->host, (unsigned long long)agent->said.sequence,
             (unsigned long long)agent->said.revision);
    pthread_mutex_unlock(&own->lock);
}

void agent_stop(struct agent *agent)
{
    if (agent == NULL) {
        return;
    }
    atomic_store(&agent->stopping, true);
    if (agent->poll != NULL) {
        link_stop(agent->poll);
    }
    if (agent->report != NULL) {
        link_stop(agent->report);
    }
    agent_news(agent);
    if (agent->report_runs) {
        pthread_join(agent->report_thread, NULL);
    }
    if (agent->poll_runs) {
        pthread_join(agent->poll_thread, NULL);
    }
    marks_close(agent->marks);
    publisher_close(agent->publisher);
    kept_close(&agent->place);
    link_close(agent->poll);
    link_close(agent->report);
    manifest_clear(&agent->in_force);
    for (size_t i = 0; i < agent->said.word_count; i++) {
        json_decref(agent->said.words[i].action);
    }
    free(agent->names);
    free(agent->told);
    pthread_mutex_destroy(&agent->lock);
    pthread_cond_destroy(&agent->wake);
    free(agent);
}
