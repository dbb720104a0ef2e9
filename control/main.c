/* SPDX-License-Identifier: Apache-2.0
 * main.c - grayd: options, start, signals, end.
 *
 * Why: the order is the point. First what was acknowledged is brought into
 * force (control_start), then people may ask (rest_start); at the end first
 * nobody may ask any more, then what was asked is finished. SIGTERM ends it
 * with exit code 0; whatever kills it otherwise, the next start resumes.
 * Read next: grayd.h, change/start.c, rest/server.c.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/agent/agent.h"
#include "control/change/change.h"
#include "control/decisions/decisions.h"
#include "control/measure/measure.h"
#include "control/grayd.h"
#include "control/publish/publisher.h"
#include "control/rest/rest.h"
#include "runtime/group.h"

enum option_number {
#define GRAYD_OPTION(NAME, word, argument, text) OPTION_##NAME = 256 + __COUNTER__,
#include "control/options.def"
#undef GRAYD_OPTION
};

static const struct option options[] = {
#define GRAYD_OPTION(NAME, word, argument, text) \
    { word, sizeof(argument) > 1, NULL, OPTION_##NAME },
#include "control/options.def"
#undef GRAYD_OPTION
    { NULL, 0, NULL, 0 }
};

static void say_help(void)
{
    static const struct {
        const char *word, *argument, *text;
    } rows[] = {
#define GRAYD_OPTION(NAME, word, argument, text) { word, argument, text },
#include "control/options.def"
#undef GRAYD_OPTION
    };

    printf("usage: grayd [OPTIONS]\n"
           "keeps releases, their history and their audit; publishes to the "
           "runtime folder.\n\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        printf("  --%s%s%s\n        %s\n", rows[i].word,
               rows[i].argument[0] != '\0' ? " " : "", rows[i].argument,
               rows[i].text);
    }
}

struct given {
    struct grayd_options options;
    struct agent_options agent;
    bool restore, is_agent, of_agent; /* of_agent: an option that needs it */
};

static bool read_number(const char *text, uint32_t least, uint32_t most,
                        uint32_t *ret_number)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || number < least ||
        number > most) {
        return false;
    }
    *ret_number = (uint32_t)number;
    return true;
}

/* True: it was one of an agent. */
static bool read_agent_option(struct given *given, int option)
{
    struct agent_options *o = &given->agent;

    switch (option) {
    case OPTION_AGENT: given->is_agent = true; return true;
    case OPTION_SERVER: o->server = optarg; break;
    case OPTION_SERVER_KEY: o->server_key = optarg; break;
    case OPTION_TOKEN_FILE: o->token_file = optarg; break;
    case OPTION_CA: o->ca = optarg; break;
    case OPTION_HOST_NAME: o->host = optarg; break;
    case OPTION_ACCEPT_SERVER: o->accept_server = true; break;
    default: return false;
    }
    given->of_agent = true;
    return true;
}

/* -1: they fit together; else the exit code. */
static int check_agent(const struct given *given)
{
    if (given->is_agent && (given->agent.server == NULL ||
                            given->agent.server_key == NULL)) {
        fputs("grayd: --agent needs --server and --server-key\n", stderr);
        return 2;
    }
    if (!given->is_agent && given->of_agent) {
        fputs("grayd: --server and what belongs to it need --agent\n", stderr);
        return 2;
    }
    return -1;
}

/* -1: go on; else the exit code. */
static int read_options(struct given *given, int argc, char **argv)
{
    struct grayd_options *o = &given->options;
    bool bad = false;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (read_agent_option(given, option)) {
            continue;
        }
        switch (option) {
        case OPTION_STATE: o->state = optarg; break;
        case OPTION_RUNTIME: o->runtime = optarg; break;
        case OPTION_SOCKET: o->socket = optarg; break;
        case OPTION_LISTEN:
            o->listen = strcmp(optarg, "none") == 0 ? "" : optarg;
            break;
        case OPTION_TLS_CERTIFICATE: o->tls_certificate = optarg; break;
        case OPTION_TLS_KEY: o->tls_key = optarg; break;
        case OPTION_GROUP: o->group = optarg; break;
        case OPTION_REDIS: o->redis = optarg; break;
        case OPTION_DECISION_LOG: o->decision_log = optarg; break;
        case OPTION_DECISION_DAYS:
            bad |= !read_number(optarg, 1, 3650, &o->decision_days);
            break;
        case OPTION_DECISION_MIB:
            bad |= !read_number(optarg, 1, 1u << 20, &o->decision_mib);
            break;
        case OPTION_RECORDED: o->recorded = optarg; break;
        case OPTION_MEASURE_WINDOW:
            bad |= !read_number(optarg, 2, MEASURE_WINDOW_MAX,
                                &o->measure_window);
            break;
        case OPTION_RESTORE: given->restore = true; break;
        case OPTION_ANY_FILESYSTEM: o->allow_any_filesystem = true; break;
        case OPTION_VERSION: puts("grayd " GRAY_VERSION); return 0;
        case OPTION_HELP: say_help(); return 0;
        default:
            fputs("grayd --help says what there is\n", stderr);
            return 2;
        }
    }
    if (bad) {
        fputs("grayd: --decision-days is a number from 1 to 3650, "
              "--decision-mib one from 1 to 1048576, --measure-window one "
              "from 2 to 3600\n",
              stderr);
        return 2;
    }
    if (optind < argc) {
        fprintf(stderr, "grayd: what is %s? grayd --help says what there is\n",
                argv[optind]);
        return 2;
    }
    if (o->group != NULL && getgrnam(o->group) == NULL) {
        fprintf(stderr, "grayd: no such group: %s\n", o->group);
        return 2;
    }
    return check_agent(given);
}

/* (gid_t)-1 where nobody knows; read_options() has refused one that is none. */
static gid_t group_of(const struct grayd_options *o)
{
    const struct group *group = o->group != NULL ? getgrnam(o->group) : NULL;

    return group != NULL ? group->gr_gid : gray_keys_group(o->runtime);
}

static int restore(const struct grayd_options *o)
{
    struct gray_problem problem = { 0 };
    int status = publisher_restore(o->state, o->runtime, group_of(o),
                                   o->allow_any_filesystem, &problem);

    if (status < 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        return 3;
    }
    grayd_log(LOG_LEVEL_INFO, "restore", "%s",
              status == 0 ? "the last good policy is in force again"
                          : "there was nothing to restore");
    return 0;
}

/* Signals are taken by sigwait() alone, so no thread is interrupted. */
static void block_signals(sigset_t *ret_set)
{
    signal(SIGPIPE, SIG_IGN);
    /* A limit on the size of files is a full disk, and refused as one. */
    signal(SIGXFSZ, SIG_IGN);
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, ret_set, NULL);
}

/* Connections are files: as many as this process may have. */
static void raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* An index that cannot be opened keeps nobody from stopping a release. */
static struct decisions_thread *
open_decisions(const struct grayd_options *o, struct decisions **ret_decisions)
{
    struct decisions_limits limits = { .days = o->decision_days,
                                       .mib = o->decision_mib };
    struct gray_problem problem = { 0 };

    if (decisions_open(ret_decisions, o->state, &limits, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        return NULL;
    }
    return o->decision_log != NULL
               ? decisions_follow(*ret_decisions, o->decision_log)
               : NULL;
}

/* Nor does a plan that cannot say what comes in. */
static void open_measure(struct grayd *grayd)
{
    struct gray_problem problem = { 0 };

    if (measure_start(grayd, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
    }
}

static void close_decisions(struct decisions_thread *follower,
                            struct decisions *decisions)
{
    decisions_unfollow(follower);
    if (decisions != NULL) {
        decisions_close(decisions);
    }
}

static void close_all(struct grayd *grayd, struct decisions_thread *follower)
{
    control_stop(grayd);
    rest_free(grayd);
    measure_stop(grayd->measure);
    close_decisions(follower, grayd->decisions);
}

static int run(const struct grayd_options *o)
{
    struct grayd grayd = { .options = *o, .started = grayd_now() };
    struct gray_problem problem = { 0 };
    struct decisions_thread *follower;
    sigset_t set;
    int got = SIGHUP;

    block_signals(&set);
    raise_files();
    if (control_start(&grayd, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        return 3;
    }
    follower = open_decisions(o, &grayd.decisions);
    open_measure(&grayd);
    if (rest_start(&grayd, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        close_all(&grayd, follower);
        return 3;
    }
    /* For whoever started it and waits until it answers. */
    printf("grayd ready: socket %s, port %u, revision %llu\n", o->socket,
           rest_port(grayd.rest),
           (unsigned long long)atomic_load(&grayd.revision));
    fflush(stdout);
    while (got == SIGHUP) {
        sigwait(&set, &got);
    }
    rest_stop(&grayd);
    close_all(&grayd, follower);
    return 0;
}

static int run_agent(struct given *given)
{
    const struct grayd_options *o = &given->options;
    struct gray_problem problem = { 0 };
    struct decisions_thread *follower = NULL;
    struct agent *agent = NULL;
    char said[160];
    sigset_t set;
    int got = SIGHUP;

    given->agent.state = o->state;
    given->agent.runtime = o->runtime;
    given->agent.group = group_of(o);
    given->agent.allow_any_filesystem = o->allow_any_filesystem;
    block_signals(&set);
    raise_files();
    if (o->decision_log != NULL) {
        follower = open_decisions(o, &given->agent.decisions);
    }
    if (agent_start(&agent, &given->agent, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        close_decisions(follower, given->agent.decisions);
        return 3;
    }
    agent_say(agent, said, sizeof(said));
    printf("grayd agent ready: %s\n", said);
    fflush(stdout);
    while (got == SIGHUP) {
        sigwait(&set, &got);
    }
    agent_stop(agent);
    close_decisions(follower, given->agent.decisions);
    return 0;
}

int main(int argc, char **argv)
{
    struct given given = {
        .options = {
            .state = GRAYD_STATE_DEFAULT,
            .runtime = GRAY_RUNTIME_DEFAULT,
            .socket = GRAYD_SOCKET_DEFAULT,
            .listen = "127.0.0.1:7170",
            .rest_threads = 4,
            .planner_threads = 2,
            .connections_max = 24000,
            .decision_days = DECISIONS_DAYS_DEFAULT,
            .decision_mib = DECISIONS_MIB_DEFAULT,
            .measure_window = MEASURE_WINDOW_DEFAULT,
        },
    };
    int status;

    umask(022);
    status = read_options(&given, argc, argv);
    if (status >= 0) {
        return status;
    }
    return given.restore    ? restore(&given.options)
           : given.is_agent ? run_agent(&given)
                            : run(&given.options);
}
