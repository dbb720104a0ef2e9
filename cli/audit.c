/* SPDX-License-Identifier: Apache-2.0
 * audit.c - `gray audit list|verify|prove|export`.
 *
 * Why: whoever keeps a record must not be the one who says that it is whole.
 * So grayd only hands records and checkpoints out; they are walked here, by
 * the code that an auditor can run on a file, or on a dead grayd's folder,
 * with a verifier line that was kept elsewhere.
 * Read next: control/audit/audit.h, docs/audit.md.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/remote.h"
#include "control/audit/audit.h"
#include "control/grayd.h"

#define LIST_COUNT 50u
#define SILENCE_S 60u
#define VERIFIER_MAX 1024u

/* ---- list ------------------------------------------------------------------------ */

int command_audit_list(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *state = NULL;
    CLI_CLEANUP(json_freep) json_t *records = NULL;
    double count = LIST_COUNT;
    long long newest;
    char path[64];
    int status = arguments_number(arguments, CLI_COUNT, 1, 1e6, &count);

    status = status != 0 ? status : remote_open(&remote, arguments);
    status = status != 0 ? status
                         : remote_get(remote, "/v1/status", &state);
    if (status != 0) {
        return status;
    }
    newest = (long long)number_at(state, "auditSequence");
    newest = newest > (long long)count ? newest - (long long)count : 0;
    if (newest > 0) { /* the page after this record */
        snprintf(path, sizeof(path), "/v1/audit?after=%lld", newest);
    } else {
        snprintf(path, sizeof(path), "/v1/audit");
    }
    status = remote_pages(remote, path, "records", "after", (size_t)count,
                          &records);
    return status != 0 ? status
                       : records_say(arguments, "records", records, true);
}

/* ---- export ------------------------------------------------------------------------ */

static int write_piece(void *context, const char *data, size_t length)
{
    return fwrite(data, 1, length, context) == length ? 0 : 1;
}

static int fetch(struct remote *remote, const char *path, FILE *out)
{
    int status = remote_listen(remote,
                               &(struct remote_stream) {
                                   .path = path,
                                   .piece = write_piece,
                                   .context = out,
                                   .silence = SILENCE_S },
                               false);

    if (status == 0 && (fflush(out) != 0 || ferror(out))) {
        complain("writing: %s", strerror(errno));
        status = CLI_EXIT_SYSTEM;
    }
    return status;
}

/* grayd sends the verifier line, an empty one, and the notes. */
static int fetch_checkpoints(struct remote *remote, FILE *out,
                             char ret_verifier[VERIFIER_MAX])
{
    CLI_CLEANUP(string_freep) char *text = NULL;
    size_t size = 0, line;
    FILE *memory = open_memstream(&text, &size);
    int status = memory != NULL
                     ? fetch(remote, "/v1/audit/checkpoints", memory)
                     : CLI_EXIT_SYSTEM;

    if (memory != NULL) {
        fclose(memory);
    }
    if (status != 0) {
        return status;
    }
    line = strcspn(text, "\n");
    if (line >= VERIFIER_MAX || strncmp(text + line, "\n\n", 2) != 0) {
        complain("%s: no verifier line before the checkpoints",
                 remote_place(remote));
        return CLI_EXIT_SYSTEM;
    }
    snprintf(ret_verifier, VERIFIER_MAX, "%.*s", (int)line, text);
    if (fwrite(text + line + 2, 1, size - line - 2, out) != size - line - 2 ||
        fflush(out) != 0) {
        complain("writing: %s", strerror(errno));
        return CLI_EXIT_SYSTEM;
    }
    return 0;
}

/* First the checkpoints: a checkpoint must not speak of records that the
 * export does not have yet. */
static int fetch_both(struct remote *remote, const char *records,
                      const char *checkpoints,
                      char ret_verifier[VERIFIER_MAX])
{
    CLI_CLEANUP(file_closep) FILE *notes = NULL;
    CLI_CLEANUP(file_closep) FILE *lines = fopen(records, "wxe");
    int status;

    if (lines == NULL) {
        complain("%s: %s", records, strerror(errno));
        return CLI_EXIT_SYSTEM;
    }
    notes = fopen(checkpoints, "wxe");
    if (notes == NULL) {
        complain("%s: %s", checkpoints, strerror(errno));
        unlink(records);
        return CLI_EXIT_SYSTEM;
    }
    status = fetch_checkpoints(remote, notes, ret_verifier);
    status = status != 0 ? status
                         : fetch(remote, "/v1/audit/export", lines);
    if (status != 0) { /* half an export is none */
        unlink(records);
        unlink(checkpoints);
    }
    return status;
}

int command_audit_export(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(string_freep) char *notes = NULL;
    const char *path = arguments->operands[0];
    char verifier[VERIFIER_MAX];
    int status = remote_open(&remote, arguments);

    if (status != 0) {
        return status;
    }
    if (strcmp(path, "-") == 0) {
        return fetch(remote, "/v1/audit/export", stdout);
    }
    if (asprintf(&notes, "%s.checkpoints", path) < 0) {
        return CLI_EXIT_SYSTEM;
    }
    status = fetch_both(remote, path, notes, verifier);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:s,s:s,s:s}", "records", path,
                                    "checkpoints", notes, "verifier",
                                    verifier),
                          JSON_INDENT(2));
    }
    printf("records in %s, checkpoints in %s\nkeep this line elsewhere: %s\n",
           path, notes, verifier);
    return CLI_EXIT_OK;
}

/* ---- verify ---------------------------------------------------------------------------- */

static int say_report(const struct arguments *arguments,
                      const struct audit_report *report)
{
    if (arguments_json(arguments)) {
        json_print(json_pack("{s:b,s:I,s:I,s:I,s:s}", "good", report->good,
                             "records", (json_int_t)report->records,
                             "checkpoints", (json_int_t)report->checkpoints,
                             "firstBad", (json_int_t)report->first_bad,
                             "sentence", report->sentence),
                   JSON_INDENT(2));
    } else {
        printf("%s\n", report->sentence);
        if (!report->good && report->first_bad > 0) {
            printf("first bad record: %llu\n",
                   (unsigned long long)report->first_bad);
        }
        printf("%llu records and %llu checkpoints agree\n",
               (unsigned long long)report->records,
               (unsigned long long)report->checkpoints);
    }
    return report->good ? CLI_EXIT_OK : CLI_EXIT_REFUSED;
}

static int verify_state(const struct arguments *arguments, const char *state)
{
    struct store_reader *reader = NULL;
    struct audit_report report = { 0 };
    struct gray_problem problem = { 0 };
    char folder[GRAYD_PATH_MAX];
    int error;

    snprintf(folder, sizeof(folder), "%s/" GRAYD_STORE_FOLDER, state);
    error = store_reader_open(&reader, folder, &problem);
    if (error == 0) {
        error = audit_verify(reader, state,
                             arguments_get(arguments, CLI_VERIFIER), &report,
                             &problem);
    }
    store_reader_close(reader);
    if (error != 0) {
        complain_problem(state, &problem);
        return CLI_EXIT_SYSTEM;
    }
    return say_report(arguments, &report);
}

static int verify_files(const struct arguments *arguments,
                        const char *records, const char *checkpoints,
                        const char *verifier)
{
    struct audit_report report = { 0 };
    struct gray_problem problem = { 0 };

    if (audit_verify_export(records, checkpoints, verifier, &report,
                            &problem) != 0) {
        complain_problem(records, &problem);
        return CLI_EXIT_SYSTEM;
    }
    return say_report(arguments, &report);
}

/* An export, with its checkpoints beside it. */
static int verify_export(const struct arguments *arguments, const char *path)
{
    const char *verifier = arguments_get(arguments, CLI_VERIFIER);
    CLI_CLEANUP(string_freep) char *notes = NULL;

    if (asprintf(&notes, "%s.checkpoints", path) < 0) {
        return CLI_EXIT_SYSTEM;
    }
    if (verifier == NULL) {
        complain("without --verifier LINE only the chain is looked at: who "
                 "made the file could have made another");
    }
    return verify_files(arguments, path,
                        verifier != NULL && access(notes, F_OK) == 0 ? notes
                                                                     : NULL,
                        verifier);
}

static int verify_remote(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    const char *said = arguments_get(arguments, CLI_VERIFIER);
    const char *place = getenv("TMPDIR");
    char folder[4096], records[4200], notes[4200], verifier[VERIFIER_MAX];
    int status = remote_open(&remote, arguments);

    if (status != 0) {
        return status;
    }
    snprintf(folder, sizeof(folder), "%s/gray-audit-XXXXXX",
             place != NULL && *place == '/' ? place : "/tmp");
    if (mkdtemp(folder) == NULL) {
        complain("%s: %s", folder, strerror(errno));
        return CLI_EXIT_SYSTEM;
    }
    snprintf(records, sizeof(records), "%s/records", folder);
    snprintf(notes, sizeof(notes), "%s/checkpoints", folder);
    status = fetch_both(remote, records, notes, verifier);
    if (status == 0 && said == NULL) {
        complain("grayd's own verifier is believed; keep it elsewhere and say "
                 "it: --verifier '%s'", verifier);
    }
    if (status == 0) {
        status = verify_files(arguments, records, notes,
                              said != NULL ? said : verifier);
    }
    unlink(records);
    unlink(notes);
    rmdir(folder);
    return status;
}

int command_audit_verify(const struct arguments *arguments)
{
    const char *state = arguments_get(arguments, CLI_STATE);

    if (state != NULL && arguments->operand_count > 0) {
        complain("either an export or --state, not both");
        return CLI_EXIT_USAGE;
    }
    if (state != NULL) {
        return verify_state(arguments, state);
    }
    return arguments->operand_count > 0
               ? verify_export(arguments, arguments->operands[0])
               : verify_remote(arguments);
}

/* ---- prove ----------------------------------------------------------------------------- */

/* The verifier that grayd names. */
static int ask_verifier(struct remote *remote, char ret_verifier[VERIFIER_MAX])
{
    CLI_CLEANUP(file_closep) FILE *nowhere = fopen("/dev/null", "we");

    return nowhere != NULL ? fetch_checkpoints(remote, nowhere, ret_verifier)
                           : CLI_EXIT_SYSTEM;
}

static int say_proof(const struct arguments *arguments, json_t *proof,
                     bool holds)
{
    if (arguments_json(arguments)) {
        json_object_set_new(proof, "holds", json_boolean(holds));
        json_print(json_incref(proof), JSON_INDENT(2));
    } else {
        printf("record %lld %s\n%s\n%s",
               (long long)number_at(proof, "sequence"),
               holds ? "is in the checkpoint below, and the proof holds"
                     : "is NOT proved: the proof does not hold",
               text_at(proof, "record"), text_at(proof, "checkpoint"));
    }
    return holds ? CLI_EXIT_OK : CLI_EXIT_REFUSED;
}

int command_audit_prove(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *proof = NULL;
    CLI_CLEANUP(json_freep) json_t *asked = NULL;
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/audit/%s/proof", arguments->operands[0]);
    const char *said = arguments_get(arguments, CLI_VERIFIER);
    char verifier[VERIFIER_MAX];
    int status = remote_open(&remote, arguments);

    status = status != 0 ? status : remote_get(remote, path, &proof);
    status = status != 0 || said != NULL ? status
                                         : ask_verifier(remote, verifier);
    if (status != 0) {
        return status;
    }
    asked = json_copy(proof);
    json_object_set(asked, "seq", json_object_get(proof, "sequence"));
    return say_proof(arguments, proof,
                     audit_proof_holds(asked,
                                       said != NULL ? said : verifier));
}
