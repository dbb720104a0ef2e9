/* SPDX-License-Identifier: Apache-2.0
 * audit.c - the audit for whoever verifies it elsewhere: export, checkpoints,
 * proofs.
 *
 * Why: an auditor should need nothing of ours but a verifier line.  Both files
 * may be large, so they are answered in pieces; each ends where it ended when
 * it was asked for.
 * Read next: ../audit/audit.h, ../audit/export.c (who reads an export).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/audit/audit.h"
#include "control/hex.h"
#include "control/read/internal.h"

#define PIECE_BYTES 65536u /* of a stream, and one record more */
#define KEY_LINE_MAX 1024u /* of the verifier line */

static void reply_stream(struct reply *reply, struct reply_stream *stream,
                         const char *type)
{
    reply->stream = stream;
    reply->status = 200;
    reply->type = type;
}

/* ---- every record with its hash ------------------------------------------------ */

struct export {
    struct reply_stream stream;
    uint64_t next, end; /* records [next, end) are left */
};
struct lines {
    char *text;
    size_t length, room;
    uint64_t next, end;
    bool failed;
};

static int add_line(void *context, const struct store_record *record)
{
    struct lines *lines = context;
    char hash[2 * STORE_HASH + 1];
    json_t *line;
    size_t length;

    if (record->sequence != lines->next || record->sequence >= lines->end) {
        lines->failed = record->sequence < lines->end;
        return 1;
    }
    hex_write(record->hash, STORE_HASH, hash);
    line = json_pack("{s:s%,s:s}", "record", record->text, record->length,
                     "hash", hash);
    length = json_dumpb(line, NULL, 0, JSON_COMPACT);
    if (lines->length + length + 1 > lines->room) {
        size_t room = lines->length + length + 1 + PIECE_BYTES;
        char *text = realloc(lines->text, room);

        if (text != NULL) {
            lines->text = text;
            lines->room = room;
        }
        lines->failed = text == NULL;
    }
    lines->failed |= line == NULL || length == 0;
    if (!lines->failed) {
        json_dumpb(line, lines->text + lines->length, length, JSON_COMPACT);
        lines->length += length;
        lines->text[lines->length++] = '\n';
        lines->next++;
    }
    json_decref(line);
    return lines->failed || lines->length >= PIECE_BYTES ? 1 : 0;
}

static int export_more(struct reply_stream *stream, struct hand *hand,
                       char **ret_text, size_t *ret_length)
{
    struct export *export = (struct export *)stream;
    struct lines lines = { .next = export->next, .end = export->end };
    struct gray_problem problem = { 0 };

    if (export->next >= export->end) {
        return 0;
    }
    if (store_read_audit(hand->reader, export->next, SIZE_MAX, add_line,
                         &lines, &problem) != 0 ||
        lines.failed || lines.length == 0) {
        grayd_log(LOG_LEVEL_ERROR, "audit-export",
                  "The export broke off at record %llu: verify the audit.",
                  (unsigned long long)lines.next);
        free(lines.text);
        return -1;
    }
    export->next = lines.next;
    *ret_text = lines.text;
    *ret_length = lines.length;
    return 1;
}

static void export_close(struct reply_stream *stream)
{
    free(stream);
}

void route_handle_AUDIT_EXPORT(struct hand *hand, const struct call *call,
                               struct reply *reply)
{
    struct export *export;
    struct store_head head;

    if (!read_head(hand, &head, reply)) {
        return;
    }
    export = calloc(1, sizeof(*export));
    if (export == NULL) {
        read_no_memory(reply);
        return;
    }
    export->stream.more = export_more;
    export->stream.close = export_close;
    export->next = 1;
    export->end = head.audit_sequence + 1;
    reply_stream(reply, &export->stream, call->route->response);
}

/* ---- checkpoints ------------------------------------------------------------------ */

struct notes {
    struct reply_stream stream;
    int fd;            /* -1: there are none yet */
    uint64_t at, end;
    char key[KEY_LINE_MAX]; /* "": it was told */
};

static int notes_more(struct reply_stream *stream, struct hand *hand,
                      char **ret_text, size_t *ret_length)
{
    struct notes *notes = (struct notes *)stream;
    uint64_t left = notes->end - notes->at;
    char *text;
    ssize_t got;

    (void)hand;
    if (notes->key[0] != '\0') {
        text = strdup(notes->key);
        notes->key[0] = '\0';
        if (text == NULL) {
            return -1;
        }
        *ret_text = text;
        *ret_length = strlen(text);
        return 1;
    }
    if (left == 0) {
        return 0;
    }
    left = left < PIECE_BYTES ? left : PIECE_BYTES;
    text = malloc(left);
    if (text == NULL) {
        return -1;
    }
    got = pread(notes->fd, text, left, (off_t)notes->at);
    if (got <= 0) {
        free(text);
        return -1;
    }
    notes->at += (uint64_t)got;
    *ret_text = text;
    *ret_length = (size_t)got;
    return 1;
}

static void notes_close(struct reply_stream *stream)
{
    struct notes *notes = (struct notes *)stream;

    if (notes->fd >= 0) {
        close(notes->fd);
    }
    free(notes);
}

/* A regular file of <state>/audit, and its size. -1 with errno. */
static int open_file(const struct grayd *grayd, const char *name,
                     uint64_t *ret_size)
{
    struct stat status;
    char path[STORE_FOLDER_MAX + 64];
    int fd;

    snprintf(path, sizeof(path), "%s/audit/%s", grayd->options.state, name);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    if (fd >= 0) {
        *ret_size = (uint64_t)status.st_size;
    }
    return fd;
}

/* The verifier line, then an empty one. */
static bool read_key(const struct grayd *grayd, char ret_key[KEY_LINE_MAX])
{
    uint64_t size = 0;
    int fd = open_file(grayd, "key.pub", &size);
    ssize_t got = -1;

    if (fd >= 0) {
        got = pread(fd, ret_key, KEY_LINE_MAX - 3, 0);
        close(fd);
    }
    if (got <= 0) {
        return false;
    }
    while (got > 0 && ret_key[got - 1] == '\n') {
        got--;
    }
    memcpy(ret_key + got, "\n\n", 3);
    return true;
}

void route_handle_AUDIT_CHECKPOINTS(struct hand *hand, const struct call *call,
                                    struct reply *reply)
{
    struct notes *notes = calloc(1, sizeof(*notes));

    if (notes == NULL) {
        read_no_memory(reply);
        return;
    }
    notes->stream.more = notes_more;
    notes->stream.close = notes_close;
    notes->fd = open_file(hand->grayd, "checkpoints", &notes->end);
    if ((notes->fd < 0 && errno != ENOENT) ||
        !read_key(hand->grayd, notes->key)) {
        notes_close(&notes->stream);
        reply_problem(reply, PROBLEM_STORE,
                      "The checkpoints or their key cannot be read.");
        return;
    }
    reply_stream(reply, &notes->stream, call->route->response);
}

/* ---- proofs ------------------------------------------------------------------------- */

static bool sequence_of(const char *text, uint64_t *ret_sequence)
{
    uint64_t number = 0;
    size_t i;

    for (i = 0; text[i] >= '0' && text[i] <= '9' && i < 18; i++) {
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    *ret_sequence = number;
    return i > 0 && text[i] == '\0';
}

void route_handle_AUDIT_PROOF(struct hand *hand, const struct call *call,
                              struct reply *reply)
{
    struct gray_problem problem = { 0 };
    json_t *proof = NULL;
    uint64_t sequence = 0;
    int error = 1;

    if (sequence_of(call->item, &sequence)) {
        error = audit_prove(hand->reader, hand->grayd->options.state, sequence,
                            &proof, &problem);
    }
    if (error < 0) {
        read_failed(reply, &problem);
    } else if (error == 1) {
        reply_problem(reply, PROBLEM_NOT_FOUND,
                      "There is no record %s, or no checkpoint covers it yet "
                      "(one is signed each minute).",
                      call->item);
    } else {
        json_object_set(proof, "sequence", json_object_get(proof, "seq"));
        json_object_del(proof, "seq");
        reply_json(reply, 200, proof);
    }
}
