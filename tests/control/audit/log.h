/* SPDX-License-Identifier: Apache-2.0
 * log.h - a log of records in memory, with a signer in a folder of its own.
 *
 * Why: every way to falsify records is tried at every place, a thousand times
 * over; test_store.c then does the same to a real database.
 * Read next: test_tamper.c.
 */
#ifndef GRAY_TESTS_AUDIT_LOG_H
#define GRAY_TESTS_AUDIT_LOG_H

#include "control/audit/internal.h"

struct log_record {
    uint64_t sequence;
    char *text;
    size_t length;
    uint8_t hash[AUDIT_HASH];
};
struct log {
    char state[64]; /* the state folder, on tmpfs */
    struct audit_signer *signer;
    struct log_record records[2048];
    size_t count;
    struct audit_tree tree;
    uint8_t chain[AUDIT_HASH];
};

/* A new state folder, on tmpfs, and its end. */
void log_folder_new(char ret_path[64]);
void log_folder_remove(const char *path);
void log_new(struct log *log);
void log_end(struct log *log);
/* Adds records; each says something of its own. */
void log_add(struct log *log, size_t count);
void log_checkpoint(struct log *log);
/* `count` records with a checkpoint after every `every` of them. */
void log_fill(struct log *log, size_t count, size_t every);
/* Chain of records from index `from` on, made anew. */
void log_rechain(struct log *log, size_t from);
/* Record at an index says something else now; its hash is what it was. */
void log_edit(struct log *log, size_t at);
void log_delete(struct log *log, size_t at, size_t count);
/* Numbers all records again, as who deleted one would. */
void log_renumber(struct log *log);

struct audit_source log_source(struct log *log);
/* Against <state>/audit/checkpoints and key.pub; must be readable. */
struct audit_report log_walk(struct log *log);
/* Path of a file in <state>/audit. */
const char *log_path(const struct log *log, const char *name);
/* A whole file, malloc'd, with a NUL behind it. */
char *log_read_file(const char *path, size_t *ret_length);
void log_write_file(const char *path, const char *bytes, size_t length);

#endif
