/* SPDX-License-Identifier: Apache-2.0
 * publish.c - `gray publish`: documents into force, without any daemon.
 *
 * Why: everything is read and checked before the first byte is written (gates
 * 1 to 5 against the documents that the policy in force carries within), so a
 * refusal changes nothing.  What came into force is said with the readers who
 * took it, for a publication that nobody took is none.
 * Read next: runtime/publish.c, wait.c.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli.h"
#include "policy/parse.h"

struct publication {
    const struct arguments *arguments;
    const char *folder;
    struct policy policy;
    struct in_force before;
    bool had_before;
    struct gray_folder open; /* control NULL: not there */
    struct gray_compile_options options;
    gid_t group;
    double wait;
    double max_skew;
    struct gray_published done;
    struct wait_result readers;
};

static void publication_free(struct publication *p)
{
    policy_free(&p->policy);
    in_force_free(&p->before);
    if (p->open.control != NULL) {
        gray_folder_close(&p->open);
    }
    wait_result_free(&p->readers);
}

/* The policy in force and its documents; none is no fault. */
static int read_before(struct publication *p)
{
    struct gray_problem problem = { 0 };
    struct gray_findings findings = { 0 };
    int found = in_force_read(&p->before, p->folder, &problem);

    p->had_before = found == 0;
    if (found == 1 ||
        (found == 0 && in_force_model(&p->before, &findings) == 0)) {
        return 0;
    }
    if (found < 0) {
        complain_problem(p->folder, &problem);
    }
    gray_findings_print(&findings, stderr);
    gray_findings_free(&findings);
    if (arguments_has(p->arguments, CLI_IGNORE_UNREADABLE)) {
        complain("gates 4 and 5 had nothing to compare with");
        return 0;
    }
    if (found < 0 && p->before.generation == 0) {
        return CLI_EXIT_SYSTEM; /* of the folder: no option helps */
    }
    complain("the policy in force cannot be read back, so nobody can say who "
             "would fall out; publish again with --ignore-unreadable if that "
             "may be");
    return CLI_EXIT_SYSTEM;
}

/* A snapshot that cannot be read still had a number: generations never fall,
 * and no revision was ever above them. */
static uint64_t next_revision(const struct publication *p)
{
    return p->had_before ? p->before.snapshot.header->revision + 1
                         : p->before.generation + 1;
}

static int write_folder(struct publication *p)
{
    const struct gray_compiled *compiled = &p->policy.compiled;
    struct gray_publish what = {
        .policy = compiled->policy.data,
        .policy_size = compiled->policy.size,
        .fleet = compiled->fleet.data,
        .fleet_size = compiled->fleet.size,
        .list_count = compiled->list_count,
        .group = p->group,
        .expect_generation = true,
        .expected_generation = p->before.generation,
    };
    struct gray_publish_list *lists =
        calloc(compiled->list_count + 1, sizeof(*lists));
    struct gray_problem problem = { 0 };
    int status = CLI_EXIT_OK;

    for (size_t i = 0; lists != NULL && i < compiled->list_count; i++) {
        lists[i].name = compiled->lists[i].name;
        lists[i].data = compiled->lists[i].data;
        lists[i].size = compiled->lists[i].size;
    }
    what.lists = lists;
    if (lists == NULL) {
        complain("out of memory");
        status = CLI_EXIT_SYSTEM;
    } else if (gray_publish(p->folder, &what, &p->done, &problem) != 0) {
        complain_problem(p->folder, &problem);
        status = problem.code != NULL && strcmp(problem.code, "overtaken") == 0
                     ? CLI_EXIT_REFUSED
                     : CLI_EXIT_SYSTEM;
    }
    free(lists);
    return status;
}

/* A grayd that lives holds the lock of its folder: what is published beside it
 * would be gone at its next change. */
static bool is_owned(const char *folder)
{
    char path[4200];
    bool held;
    int fd;

    snprintf(path, sizeof(path), "%s/grayd.lock", folder);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (fd >= 0) {
        close(fd);
    }
    return held;
}

/* A moment that has passed is a slip of the pen, and would be now. */
static int read_instant(struct publication *p)
{
    const char *text = arguments_get(p->arguments, CLI_EFFECTIVE_AT);
    int64_t now = port_now_ms();
    char moment[40], *end = NULL;
    double seconds;
    int status = arguments_number(p->arguments, CLI_MAX_SKEW, 1,
                                  GRAY_SKEW_MAX_MS, &p->max_skew);

    if (status != 0 || text == NULL) {
        return status;
    }
    seconds = text[0] == '+' ? strtod(text + 1, &end) : 0;
    if (seconds > 0 && seconds < 1e9 && *end == '\0') {
        p->options.effective_at = now + (int64_t)(seconds * 1000);
    } else if (!gray_parse_moment(text, &p->options.effective_at)) {
        complain("--effective-at: a moment such as %s is wanted, or +SECONDS "
                 "from now, not: %s", moment_text(now, moment), text);
        return CLI_EXIT_USAGE;
    }
    if (p->options.effective_at <= now) {
        complain("--effective-at: %s has passed, it is %s here; nothing was "
                 "done. Without --effective-at it comes into force now",
                 text, moment_text(now, moment));
        return CLI_EXIT_USAGE;
    }
    return 0;
}

/* Gates 4 and 5, with the marks that the folder has. */
static int compare(struct publication *p)
{
    struct gray_counter counter = folder_counter(p->folder);
    struct gray_gate_options gates = {
        .prune = arguments_has(p->arguments, CLI_PRUNE),
        .counter = &counter,
        .now = port_now_ms(),
    };
    CLI_CLEANUP(gray_drops_free) struct gray_drops drops = { NULL, 0 };
    int status = allow_drop(p->arguments, &gates.allow_drop, &gates.drop);

    if (status == 0 &&
        gray_gates_compare(p->before.model, p->policy.model, &gates,
                           &p->policy.findings, &drops) != 0) {
        status = CLI_EXIT_REFUSED;
    }
    return status;
}

static int prepare(struct publication *p)
{
    int status = arguments_number(p->arguments, CLI_WAIT, 0, CLI_WAIT_MAX,
                                  &p->wait);

    status = status != 0 ? status : read_instant(p);
    status = status != 0 ? status
                         : keys_group(p->arguments, p->folder, &p->group);
    if (status != 0) {
        return status;
    }
    p->policy.model = model_load(p->arguments, CLI_FILE, &p->policy.findings);
    if (p->policy.model == NULL) {
        return CLI_EXIT_REFUSED;
    }
    gray_model_warn_durable(p->policy.model, &p->policy.findings);
    status = read_before(p);
    return status != 0 ? status : compare(p);
}

/* What the words say now, for the table; without them all are open. */
static void look_at_words(struct publication *p)
{
    struct gray_problem problem = { 0 };

    if (gray_folder_open(&p->open, p->folder,
                         arguments_has(p->arguments, CLI_ACCEPT),
                         &problem) != 0) {
        p->open.control = NULL;
    }
}

static bool waits(const struct publication *p)
{
    return p->done.next_generation != 0;
}

/* Of what was published. */
static uint64_t generation_of(const struct publication *p)
{
    return waits(p) ? p->done.next_generation : p->done.policy_generation;
}

static int carry_out(struct publication *p)
{
    bool dry = arguments_has(p->arguments, CLI_DRY_RUN);
    int status;

    p->options.now = port_now_ms();
    p->options.max_skew = (uint32_t)p->max_skew;
    p->options.revision = next_revision(p);
    /* Word numbers are those of the folder: runtime sets them. */
    status = policy_compile(&p->policy, &p->options);
    if (status == 0 && !dry) {
        status = write_folder(p);
    }
    if (status == 0) {
        look_at_words(p);
    }
    if (status != 0 || dry) {
        return status;
    }
    action_record(p->folder, &(struct action) {
                                 .action = "publish",
                                 .revision = p->options.revision });
    if (arguments_has(p->arguments, CLI_ACCEPT) && p->open.control != NULL) {
        gray_crashes_accept(&p->open, generation_of(p));
    }
    return wait_readers(p->folder, generation_of(p),
                        waits(p) ? 0 : p->done.fleet_generation, 0, p->wait,
                        &p->readers);
}

static void print_json(const struct publication *p, int status)
{
    bool dry = arguments_has(p->arguments, CLI_DRY_RUN);
    json_t *root = json_pack("{s:b,s:b,s:o}", "published",
                             status == 0 && !dry, "dryRun", dry, "findings",
                             findings_value(&p->policy.findings));

    if (status == 0) {
        json_object_set_new(root, "revision",
                            json_integer((json_int_t)p->options.revision));
        json_object_set_new(
            root, "costBoundNs",
            json_integer((json_int_t)p->policy.compiled.cost_bound_ns));
        json_object_set_new(
            root, "releases",
            releases_json(&p->policy.own.snapshot, p->open.control));
    }
    if (status == 0 && !dry) {
        json_t *readers = wait_json(&p->readers);

        json_object_set_new(root, "effectiveAt",
                            json_integer((json_int_t)p->options.effective_at));
        if (waits(p)) {
            json_object_set_new(
                root, "nextGeneration",
                json_integer((json_int_t)p->done.next_generation));
        }
        if (p->done.dropped != 0) {
            json_object_set_new(root, "dropped",
                                json_integer((json_int_t)p->done.dropped));
        }
        json_object_set_new(
            root, "generation",
            json_integer((json_int_t)p->done.policy_generation));
        json_object_set_new(
            root, "fleetGeneration",
            json_integer((json_int_t)p->done.fleet_generation));
        json_object_set_new(readers, "woken",
                            json_integer((json_int_t)p->done.woken));
        json_object_set_new(root, "readers", readers);
    }
    json_print(root, JSON_INDENT(2));
}

static void print_table(const struct publication *p)
{
    char moment[40];

    if (arguments_has(p->arguments, CLI_DRY_RUN)) {
        printf("would come into force: revision %llu (nothing was written)\n",
               (unsigned long long)p->options.revision);
    } else if (waits(p)) {
        printf("lies ready: generation %llu, revision %llu; every reader turns "
               "to it at %s (in %.1f s)\n"
               "in force until then: generation %llu\n",
               (unsigned long long)p->done.next_generation,
               (unsigned long long)p->options.revision,
               moment_text(p->options.effective_at, moment),
               (double)(p->options.effective_at - port_now_ms()) / 1000,
               (unsigned long long)p->done.policy_generation);
    } else {
        printf("in force: generation %llu, revision %llu\n",
               (unsigned long long)p->done.policy_generation,
               (unsigned long long)p->options.revision);
    }
    if (p->done.dropped != 0) {
        printf("generation %llu, which waited for its instant, was replaced\n",
               (unsigned long long)p->done.dropped);
    }
    releases_print(&p->policy.own.snapshot, p->open.control, stdout);
    if (!arguments_has(p->arguments, CLI_DRY_RUN)) {
        bool hasty = !arguments_has(p->arguments, CLI_WAIT) &&
                     p->readers.acknowledged < p->readers.live;

        printf("readers: %u live, %u woken, %zu %s%s\n",
               p->done.readers, p->done.woken, p->readers.acknowledged,
               waits(p) ? "have it ready" : "acknowledged",
               hasty ? " so far (--wait SECONDS waits for them)" : "");
    }
}

int command_publish(const struct arguments *arguments)
{
    CLI_CLEANUP(publication_free) struct publication p = {
        .arguments = arguments,
        .folder = arguments_runtime(arguments),
    };
    int status;

    if (!arguments_has(arguments, CLI_FILE)) {
        complain("publish needs -f DOCS");
        return CLI_EXIT_USAGE;
    }
    if (is_owned(p.folder)) {
        complain("%s belongs to a grayd that runs: gray apply -f DOCS puts "
                 "documents in force there (or stop grayd first)", p.folder);
        return CLI_EXIT_REFUSED;
    }
    status = prepare(&p);
    status = status != 0 ? status : carry_out(&p);
    gray_findings_print(&p.policy.findings, stderr);
    if (arguments_json(arguments) && status != CLI_EXIT_USAGE) {
        print_json(&p, status);
    } else if (status == 0) {
        print_table(&p);
    }
    if (status == CLI_EXIT_REFUSED) {
        complain("refused; nothing was changed");
    }
    if (status == 0 && p.readers.laggards != NULL &&
        arguments_has(arguments, CLI_WAIT)) {
        status = wait_report(&p.readers, NULL);
    }
    return status;
}
