/* SPDX-License-Identifier: Apache-2.0
 * walk.c - is what is stored what was once written?
 *
 * Why: one pass over the records answers all of it.  The chain finds a record
 * that was edited, taken out or moved, and names it; checkpoints find what a
 * fresh chain hides: they were signed outside the store when the tree had
 * their size.  Records and checkpoints both ascend, so they are merged as
 * they are read, and memory does not grow with them.
 * Read next: prove.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "control/audit/internal.h"

#define CHUNK 4096u /* records of one read, so that no reader holds the store */

struct walk {
    struct audit_tree tree;
    uint8_t chain[AUDIT_HASH];
    struct audit_notes notes;
    const struct audit_verifier *verifier;
    bool has_note;          /* the next checkpoint, which covers more */
    struct audit_note note; /* than was seen so far */
    bool torn;
    uint64_t agreed; /* records under the last checkpoint that agrees */
    uint64_t covered; /* by the checkpoint before, whether it agrees or not */
    struct audit_report report;
    bool stopped; /* a record is bad: nothing behind it means anything */
    int error;    /* of reading checkpoints */
    size_t seen;  /* records of this chunk */
};

__attribute__((format(printf, 3, 4))) static void
found(struct walk *walk, uint64_t first_bad, const char *format, ...)
{
    va_list arguments;

    /* A bad checkpoint is said, unless a bad record is found as well. */
    if (!walk->report.good && first_bad == 0) {
        return;
    }
    walk->report.good = false;
    walk->report.first_bad = first_bad;
    walk->stopped = first_bad != 0;
    va_start(arguments, format);
    vsnprintf(walk->report.sentence, sizeof(walk->report.sentence), format,
              arguments);
    va_end(arguments);
}

static const char *moment(int64_t ms, char ret_text[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        strcpy(ret_text, "?");
    }
    return ret_text;
}

static void compare_note(struct walk *walk)
{
    uint8_t root[AUDIT_HASH];
    char when[32];

    audit_tree_root(&walk->tree, root);
    if (memcmp(root, walk->note.root, AUDIT_HASH) == 0 &&
        memcmp(walk->chain, walk->note.chain, AUDIT_HASH) == 0) {
        walk->agreed = walk->note.size;
        walk->report.checkpoints++;
        return;
    }
    if (walk->tree.size == 0) {
        found(walk, 0, "Checkpoint %" PRIu64 " says what no empty log says.",
              walk->notes.number);
        return;
    }
    found(walk, walk->agreed + 1,
          "Records %" PRIu64 " to %" PRIu64 " were written anew: their chain "
          "holds, but checkpoint %" PRIu64 " of %s contradicts them; %" PRIu64
          " records before them agree.",
          walk->agreed + 1, walk->tree.size, walk->notes.number,
          moment(walk->note.at, when), walk->agreed);
}

/* One note of the file, read into walk->note. Whether it is to be compared. */
static bool take_note(struct walk *walk, int kind)
{
    int error = kind == NOTES_BAD
                    ? -1
                    : audit_note_read(walk->notes.text, walk->notes.length,
                                      walk->verifier, &walk->note);

    if (error == 0 && walk->note.size < walk->covered) {
        found(walk, 0,
              "Checkpoint %" PRIu64 " covers %" PRIu64
              " records, one before it %" PRIu64
              ": the store or the checkpoints were put back.",
              walk->notes.number, walk->note.size, walk->covered);
        return false;
    }
    if (error == -1) {
        found(walk, 0, "Checkpoint %" PRIu64 " is no checkpoint.",
              walk->notes.number);
    } else if (error == -2) {
        found(walk, 0, "Checkpoint %" PRIu64 " is not signed by %s.",
              walk->notes.number, walk->verifier->origin);
    }
    return error == 0;
}

/* Compares the checkpoints of the records seen so far, and reads on to the
 * first that covers more. */
static void follow_notes(struct walk *walk)
{
    while (!walk->stopped && walk->error == 0 && walk->notes.file != NULL) {
        int kind;

        if (walk->has_note) {
            if (walk->note.size > walk->tree.size) {
                return;
            }
            walk->has_note = false;
            compare_note(walk);
            continue;
        }
        kind = audit_notes_next(&walk->notes);
        if (kind < 0) {
            walk->error = kind;
        } else if (kind == NOTES_NOTE || kind == NOTES_BAD) {
            if (take_note(walk, kind)) {
                walk->has_note = true;
                walk->covered = walk->note.size;
            }
        } else {
            walk->torn = kind == NOTES_TORN;
            audit_notes_close(&walk->notes);
        }
    }
}

static int visit(void *context, const struct store_record *record)
{
    struct walk *walk = context;
    uint64_t expected = walk->tree.size + 1;

    walk->seen++;
    if (record->sequence == 0) {
        found(walk, expected, "What stands for record %" PRIu64
              " is no record; %" PRIu64 " before it agree with a checkpoint.",
              expected, walk->agreed);
        return 1;
    }
    if (record->sequence != expected) {
        found(walk, expected,
              "Record %" PRIu64 " is gone: where it was stands record %" PRIu64
              "; %" PRIu64 " records before it agree with a checkpoint.",
              expected, record->sequence, walk->agreed);
        return 1;
    }
    audit_chain(walk->chain, record->text, record->length, walk->chain);
    if (memcmp(walk->chain, record->hash, AUDIT_HASH) != 0) {
        found(walk, expected,
              "Record %" PRIu64 " was changed: it and the record before it do "
              "not give the hash that is kept with it; %" PRIu64
              " records before it agree with a checkpoint.",
              expected, walk->agreed);
        return 1;
    }
    audit_tree_append(&walk->tree, record->text, record->length);
    if (walk->has_note && walk->note.size == walk->tree.size) {
        follow_notes(walk);
    }
    return walk->stopped || walk->error != 0;
}

static void finish(struct walk *walk)
{
    struct audit_report *report = &walk->report;
    char when[32];

    report->records = walk->tree.size;
    if (walk->has_note && !walk->stopped) {
        found(walk, walk->tree.size + 1,
              "Records %" PRIu64 " to %" PRIu64
              " are gone: checkpoint %" PRIu64 " of %s covers them; %" PRIu64
              " records before them agree with a checkpoint.",
              walk->tree.size + 1, walk->note.size, walk->notes.number,
              moment(walk->note.at, when), walk->agreed);
    }
    if (report->good) {
        snprintf(report->sentence, sizeof(report->sentence),
                 "good: %" PRIu64 " records, %" PRIu64
                 " checkpoints; %" PRIu64 " records after the last checkpoint "
                 "are held by the chain alone%s.",
                 report->records, report->checkpoints,
                 report->records - walk->agreed,
                 walk->torn ? "; one checkpoint more is torn, as a crash "
                              "leaves it"
                            : "");
    }
}

int audit_walk(const struct audit_source *source, const char *checkpoints,
               const struct audit_verifier *verifier,
               struct audit_report *ret_report,
               struct gray_problem *ret_problem)
{
    struct walk walk = {.verifier = verifier, .report = {.good = true}};
    struct gray_problem problem = {"", "", 0};
    int error = 0;

    /* The notes first: what they cover is committed before it is signed. */
    if (checkpoints != NULL) {
        error = audit_notes_open(&walk.notes, checkpoints, ret_problem);
        if (error == 0 && verifier == NULL) {
            error = runtime_problem_set(
                ret_problem, ENOENT, "no-verifier",
                "There are checkpoints, and no key.pub to verify them with.");
        }
    }
    follow_notes(&walk);
    while (error >= 0 && walk.error == 0 && !walk.stopped) {
        walk.seen = 0;
        error = source->read(source->context, walk.tree.size + 1, CHUNK,
                             visit, &walk, &problem);
        if (error == -EILSEQ) { /* what stands there is no record at all */
            found(&walk, walk.tree.size + 1, "Record %" PRIu64
                  " cannot be read: %.150s", walk.tree.size + 1,
                  problem.sentence);
            error = 0;
        } else if (error < 0 && ret_problem != NULL) {
            *ret_problem = problem;
        }
        if (error == 0 && walk.seen < CHUNK) {
            break;
        }
    }
    audit_notes_close(&walk.notes);
    if (error >= 0 && walk.error != 0) {
        error = runtime_problem_set(ret_problem, -walk.error, "io",
                                    "The checkpoints could not be read.");
    }
    if (error < 0) {
        return error;
    }
    finish(&walk);
    *ret_report = walk.report;
    return 0;
}

/* ---- over a store ------------------------------------------------------ */

int audit_verifier_find(const char *line, const char *state,
                        struct audit_verifier *ret_verifier,
                        struct gray_problem *ret_problem)
{
    char path[4096], text[VERIFIER_MAX + 1] = "";
    FILE *file;
    size_t length;

    if (line != NULL) {
        if (audit_verifier_read(line, strlen(line), ret_verifier) != 0) {
            return runtime_problem_set(
                ret_problem, EINVAL, "bad-verifier",
                "The verifier is not origin+hash+key of an Ed25519 key.");
        }
        return 0;
    }
    snprintf(path, sizeof(path), "%s/audit/key.pub", state);
    file = fopen(path, "re");
    if (file == NULL && errno == ENOENT) {
        return 1;
    }
    if (file == NULL) {
        return runtime_problem_set(ret_problem, errno, "io", "key.pub: %s.",
                                   strerror(errno));
    }
    length = fread(text, 1, sizeof(text), file);
    fclose(file);
    if (audit_verifier_read(text, length, ret_verifier) != 0) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-verifier",
                                   "audit/key.pub is no verifier line.");
    }
    return 0;
}

static int read_store(void *context, uint64_t from, size_t limit,
                      store_record_visit *visit_record, void *visit_context,
                      struct gray_problem *ret_problem)
{
    return store_read_audit(context, from, limit, visit_record, visit_context,
                            ret_problem);
}

int audit_verify(struct store_reader *reader, const char *state,
                 const char *verifier, struct audit_report *ret_report,
                 struct gray_problem *ret_problem)
{
    struct audit_source source = {read_store, reader};
    struct audit_verifier found_one;
    char path[4096];
    int error = audit_verifier_find(verifier, state, &found_one, ret_problem);

    if (error < 0) {
        return error;
    }
    snprintf(path, sizeof(path), "%s/audit/checkpoints", state);
    return audit_walk(&source, path, error == 0 ? &found_one : NULL,
                      ret_report, ret_problem);
}

int audit_prove(struct store_reader *reader, const char *state,
                uint64_t sequence, json_t **ret_proof,
                struct gray_problem *ret_problem)
{
    struct audit_source source = {read_store, reader};
    struct audit_verifier verifier;
    char path[4096];
    int error = audit_verifier_find(NULL, state, &verifier, ret_problem);

    if (error != 0) {
        return error;
    }
    snprintf(path, sizeof(path), "%s/audit/checkpoints", state);
    return audit_prove_source(&source, path, &verifier, sequence, ret_proof,
                              ret_problem);
}
