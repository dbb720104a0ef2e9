/* SPDX-License-Identifier: Apache-2.0
 * words.c - stop, open, freeze, thaw, kill, unkill, and bypass.
 *
 * Why: this is the file for three in the morning.  One table says what each
 * verb does; a word is only ever made stronger by stop, freeze and kill, and
 * only taken back by the verb that undoes it.  Either way it is marked as set
 * on the host, so that grayd, when it returns, does not know better.  Nothing
 * is asked.  What was done is said with the command that undoes it.  Where the
 * policy cannot be read, a release is known by its word alone, and then nobody
 * new is admitted: sending everyone back could harm data that the old version
 * cannot read.
 * Read next: runtime/words.c, actions.c.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

#define WAIT_SECONDS 2.0 /* for acknowledgements, where --wait is not given */

enum verb_kind { TIGHTEN, LOOSEN };
static const struct verb {
    const char *name;
    enum verb_kind kind;
    uint32_t word;   /* TIGHTEN: the new one; LOOSEN: strongest taken back */
    uint32_t least;  /* LOOSEN: weakest taken back */
    const char *undo;
} verbs[] = {
    { "stop", TIGHTEN, GRAY_WORD_BASELINE, 0, "open" },
    { "freeze", TIGHTEN, GRAY_WORD_NO_ADMIT, 0, "thaw" },
    { "kill", TIGHTEN, GRAY_WORD_KILLED, 0, "unkill" },
    { "open", LOOSEN, GRAY_WORD_BASELINE, GRAY_WORD_NO_ADMIT, NULL },
    { "thaw", LOOSEN, GRAY_WORD_NO_ADMIT, GRAY_WORD_NO_ADMIT, NULL },
    { "unkill", LOOSEN, GRAY_WORD_KILLED, GRAY_WORD_KILLED, NULL },
};

static const char *const means[] = {
    "follows its share again",
    "admits nobody new; those in stay in",
    "sends everyone to the baseline",
    "is killed: everyone goes to the baseline",
};

/* One release that a verb is about. */
struct target {
    uint64_t scope;
    char name[GRAY_NAME_MAX + 20];
    bool known; /* the policy in force has it */
    uint8_t data_compat, stickiness;
};

struct change {
    const struct arguments *arguments;
    const char *folder;
    const struct verb *verb;
    struct gray_folder open;
    struct in_force in_force;
    bool readable; /* in_force holds the policy */
    json_t *rows;
    double wait;
    struct wait_result readers;
};

static void change_free(struct change *change)
{
    if (change->open.control != NULL) {
        gray_folder_close(&change->open);
    }
    in_force_free(&change->in_force);
    json_decref(change->rows);
    wait_result_free(&change->readers);
}

static int change_open(struct change *change)
{
    struct gray_problem problem = { 0 };
    int found;

    if (gray_folder_open(&change->open, change->folder, true, &problem) != 0) {
        change->open.control = NULL;
        complain_problem(change->folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    found = in_force_read(&change->in_force, change->folder, &problem);
    change->readable = found == 0;
    if (found < 0) {
        complain_problem(change->folder, &problem);
        complain("the policy cannot be read; going by the scope words alone");
    }
    return 0;
}

static struct target target_of_release(const struct change *change,
                                       uint32_t number)
{
    const struct gray_snapshot *snapshot = &change->in_force.snapshot;
    const struct gray_release *release = gray_release_at(snapshot, number);
    struct gray_str name = gray_text(snapshot, release->name);
    struct target target = {
        .scope = release->scope,
        .known = true,
        .data_compat = release->data_compat,
        .stickiness = release->stickiness,
    };

    snprintf(target.name, sizeof(target.name), "%.*s", (int)name.length,
             name.data);
    return target;
}

static uint32_t word_now(const struct change *change, uint64_t scope)
{
    struct gray_release probe = { .scope = scope };

    return word_of_release(change->open.control, &probe);
}

/* ---- one release -------------------------------------------------------------------- */

static void add_row(struct change *change, const struct target *target,
                    uint32_t before, uint32_t after)
{
    const char *runtime = arguments_get(change->arguments, CLI_RUNTIME);
    const struct verb *verb = change->verb;
    uint32_t word = after & GRAY_WORD_MASK;
    char undo[4400] = "";

    /* What undoes it hangs on the word that holds, for a stronger one that was
     * there before stays. */
    if (verb->undo != NULL) {
        snprintf(undo, sizeof(undo), "gray %s %s%s%s",
                 word == GRAY_WORD_KILLED     ? "unkill"
                 : word == GRAY_WORD_BASELINE ? "open"
                                              : verb->undo,
                 target->name, runtime != NULL ? " --runtime " : "",
                 runtime != NULL ? runtime : "");
    }
    json_array_append_new(
        change->rows,
        json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "release", target->name,
                  "action", verb->name, "before", word_text(before), "after",
                  word_text(after), "changed", before != after, "undo", undo));
}

static int set_word(struct change *change, const struct target *target,
                    uint32_t word)
{
    struct gray_problem problem = { 0 };
    uint32_t before = GRAY_WORD_OPEN;

    if (gray_word_set(&change->open, target->scope, word, &before, &problem) !=
        0) {
        complain_problem(target->name, &problem);
        return CLI_EXIT_SYSTEM;
    }
    action_record(change->folder,
                  &(struct action) {
                      .action = change->verb->name,
                      .release = target->name,
                      .before = word_text(before),
                      .after = word_text(word),
                      .reason = arguments_get(change->arguments, CLI_REASON),
                  });
    add_row(change, target, before, word);
    return CLI_EXIT_OK;
}

static int tighten(struct change *change, const struct target *target)
{
    const struct verb *verb = change->verb;
    uint32_t now = word_now(change, target->scope);
    uint32_t word = verb->word;

    if (strcmp(verb->name, "stop") == 0 &&
        (!target->known || target->data_compat == GRAY_DATA_IRREVERSIBLE)) {
        word = GRAY_WORD_NO_ADMIT;
    }
    if (strcmp(verb->name, "freeze") == 0 && target->known &&
        target->stickiness == GRAY_STICKY_NONE) {
        complain("%s keeps no marks (stickiness: none), so nobody is known to "
                 "be in; gray stop %s sends everyone to the baseline",
                 target->name, target->name);
        return CLI_EXIT_REFUSED;
    }
    if (word == GRAY_WORD_KILLED &&
        (!target->known || target->data_compat == GRAY_DATA_IRREVERSIBLE) &&
        arguments_get(change->arguments, CLI_REASON) == NULL) {
        complain("%s is irreversible: what the new version wrote, the old one "
                 "cannot read. Say why with --reason TEXT, or gray stop %s",
                 target->name, target->name);
        return CLI_EXIT_REFUSED;
    }
    if ((now & GRAY_WORD_MASK) >= word) {
        add_row(change, target, now, now); /* as strong, or stronger */
        return CLI_EXIT_OK;
    }
    return set_word(change, target, word | GRAY_WORD_HOST);
}

static int loosen(struct change *change, const struct target *target)
{
    uint32_t now = word_now(change, target->scope) & GRAY_WORD_MASK;

    if (now == GRAY_WORD_OPEN) {
        add_row(change, target, now, now);
        return CLI_EXIT_OK;
    }
    if (now < change->verb->least || now > change->verb->word) {
        complain("%s is %s, which %s does not undo; gray %s %s does",
                 target->name, word_text(now), change->verb->name,
                 now == GRAY_WORD_KILLED ? "unkill" : "open", target->name);
        return CLI_EXIT_REFUSED;
    }
    return set_word(change, target, GRAY_WORD_OPEN | GRAY_WORD_HOST);
}

static int apply(struct change *change, const struct target *target)
{
    return change->verb->kind == TIGHTEN ? tighten(change, target)
                                         : loosen(change, target);
}

/* ---- which releases ------------------------------------------------------------------- */

static int apply_name(struct change *change, const char *name)
{
    struct target target = { .scope = gray_hash_scope(name, strlen(name)) };
    struct gray_str text = { name, (uint32_t)strlen(name) };
    uint32_t number = change->readable
                          ? gray_find_release(&change->in_force.snapshot, text)
                          : GRAY_NONE;

    if (number != GRAY_NONE) {
        target = target_of_release(change, number);
        return apply(change, &target);
    }
    snprintf(target.name, sizeof(target.name), "%s", name);
    /* Readers may still hold an older policy that has this release. */
    if (gray_word_number(&(struct gray_folder) {
                             .control = change->open.control },
                         target.scope) != GRAY_NONE) {
        complain("%s is not in the policy in force, but was published here",
                 name);
        return apply(change, &target);
    }
    if (change->readable) {
        release_find(&change->in_force.snapshot, name);
    } else {
        complain("no such release: %s", name);
    }
    return CLI_EXIT_NOT_FOUND;
}

static int apply_all(struct change *change)
{
    const struct gray_control *control = change->open.control;
    int status = CLI_EXIT_OK;

    for (uint32_t i = 0; change->readable &&
                         i < change->in_force.snapshot.policy->releases.count;
         i++) {
        struct target target = target_of_release(change, i);
        int one = apply(change, &target);

        status = status == CLI_EXIT_OK ? one : status;
    }
    for (uint32_t i = 0; !change->readable && i < control->word_count &&
                         i < GRAY_WORDS_MAX; i++) {
        struct target target = { .scope = control->words[i].scope };
        int one;

        snprintf(target.name, sizeof(target.name), "scope-%016llx",
                 (unsigned long long)target.scope);
        one = apply(change, &target);
        status = status == CLI_EXIT_OK ? one : status;
    }
    return status;
}

/* ---- saying it ------------------------------------------------------------------------- */

static void print_rows(const struct change *change)
{
    json_t *row;
    size_t i;

    json_array_foreach(change->rows, i, row) {
        const char *before =
            json_string_value(json_object_get(row, "before"));
        const char *after = json_string_value(json_object_get(row, "after"));
        const char *undo = json_string_value(json_object_get(row, "undo"));
        const char *name = json_string_value(json_object_get(row, "release"));
        unsigned word = 0;

        while (word < 3 && strcmp(word_text(word), after) != 0) {
            word++;
        }
        if (json_is_true(json_object_get(row, "changed"))) {
            printf("%s %s (was %s, is %s)\n", name, means[word], before,
                   after);
        } else {
            printf("%s %s already (%s); nothing was changed\n", name,
                   means[word], after);
        }
        if (*undo != '\0') {
            printf("  undo: %s\n", undo);
        }
    }
    if (json_array_size(change->rows) == 0) {
        printf("no release is in force; nothing was changed\n");
    } else if (change->verb->kind == TIGHTEN) {
        /* What grayd would have waited for. */
        printf("  without grayd: readers obey the word, no admission lease was "
               "waited for, and marks made in the last moment are not on "
               "disk\n");
    }
}

static int finish(struct change *change, int status)
{
    int waited = wait_readers(
        change->folder, 0, 0,
        __atomic_load_n(&change->open.control->word_epoch, __ATOMIC_ACQUIRE),
        change->wait, &change->readers);

    if (waited != 0) {
        return status != 0 ? status : waited;
    }
    if (arguments_json(change->arguments)) {
        json_print(json_pack("{s:O,s:o}", "releases", change->rows, "readers",
                             wait_json(&change->readers)),
                   JSON_INDENT(2));
        waited = wait_report(&change->readers, NULL);
    } else {
        print_rows(change);
        waited = wait_report(&change->readers, stdout);
    }
    return status != 0 ? status : waited;
}

static int on_the_host(const struct arguments *arguments, const char *name)
{
    CLI_CLEANUP(change_free) struct change change = {
        .arguments = arguments,
        .folder = arguments_runtime(arguments),
        .rows = json_array(),
        .wait = WAIT_SECONDS,
    };
    bool all = arguments_has(arguments, CLI_ALL);
    int status = arguments_number(arguments, CLI_WAIT, 0, CLI_WAIT_MAX,
                                  &change.wait);

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            change.verb = &verbs[i];
        }
    }
    if (status == 0 && all == (arguments->operand_count == 1)) {
        complain("%s needs the name of a release, or --all", name);
        status = CLI_EXIT_USAGE;
    }
    status = status != 0 ? status : change_open(&change);
    if (status != 0) {
        return status;
    }
    status = all ? apply_all(&change)
                 : apply_name(&change, arguments->operands[0]);
    return json_array_size(change.rows) > 0 || all ? finish(&change, status)
                                                   : status;
}

/* A freeze returns when nobody new is let in any more, which takes as long as
 * the admission lease of a release where a reader is stopped. */
static void be_patient(struct remote *remote, const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *release = NULL;
    CLI_CLEANUP(string_freep) char *path = NULL;

    if (arguments->operand_count == 1) {
        path = remote_path("/v1/releases/%s", arguments->operands[0]);
        if (remote_ask(remote,
                       &(struct remote_call) { .method = "GET", .path = path,
                                               .quiet = true },
                       &release) == 0) {
            remote_patience(remote,
                            (unsigned)(number_at(release, "leaseMs") / 1000) +
                                1);
        }
    }
}

static int run(const struct arguments *arguments, const char *name)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    int status = remote_or_folder(&remote, arguments, true);

    if (status == 0 && remote != NULL) {
        remote_hurry(remote);
        if (strcmp(name, "freeze") == 0 || strcmp(name, "stop") == 0) {
            be_patient(remote, arguments);
        }
        status = release_verb(remote, arguments, name);
        if (!remote_fall_back(remote, status)) {
            return status;
        }
        status = 0;
    }
    status = status != 0 ? status : host_only(arguments);
    return status != 0 ? status : on_the_host(arguments, name);
}

int command_stop(const struct arguments *arguments)
{
    return run(arguments, "stop");
}

int command_open(const struct arguments *arguments)
{
    return run(arguments, "open");
}

int command_freeze(const struct arguments *arguments)
{
    return run(arguments, "freeze");
}

int command_thaw(const struct arguments *arguments)
{
    return run(arguments, "thaw");
}

int command_kill(const struct arguments *arguments)
{
    return run(arguments, "kill");
}

int command_unkill(const struct arguments *arguments)
{
    return run(arguments, "unkill");
}
