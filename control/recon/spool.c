/* SPDX-License-Identifier: Apache-2.0
 * spool.c - a SQLite file without journal and without a name, and its sorter.
 *
 * Why: see spool.h.  SQLite's sorter is an external merge with a bounded
 * cache; nothing here has to survive anything.
 * Read next: spool.h.
 */
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/recon/spool.h"

struct spool {
    sqlite3 *db;
    sqlite3_stmt *put;
};

static int failed(struct spool *spool, struct gray_problem *ret_problem)
{
    ret_problem->code = "spool-failed";
    snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
             "Facts cannot be joined on disk: %s",
             spool->db != NULL ? sqlite3_errmsg(spool->db)
                               : "memory is at its end");
    return -EIO;
}

int spool_open(struct spool **ret_spool, const char *folder,
               struct gray_problem *ret_problem)
{
    static const char setup[] =
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = FILE;"
        "PRAGMA cache_size = -65536; BEGIN;"
        "CREATE TABLE facts (unit BLOB, side INTEGER, data BLOB)";
    struct spool *spool = calloc(1, sizeof(*spool));
    char path[PATH_MAX];
    int error = 0;

    if (spool == NULL ||
        snprintf(path, sizeof(path), "%s/spool-%ld", folder,
                 (long)getpid()) >= (int)sizeof(path)) {
        ret_problem->code = "spool-failed";
        free(spool);
        return -ENOMEM;
    }
    unlink(path); /* of a process that had this number and was killed */
    if (sqlite3_open_v2(path, &spool->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                            SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_exec(spool->db, setup, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(spool->db, "INSERT INTO facts VALUES (?, ?, ?)", -1,
                           &spool->put, NULL) != SQLITE_OK) {
        error = failed(spool, ret_problem);
    }
    unlink(path);
    if (error != 0) {
        spool_close(spool);
        return error;
    }
    *ret_spool = spool;
    return 0;
}

void spool_close(struct spool *spool)
{
    if (spool != NULL) {
        sqlite3_finalize(spool->put);
        sqlite3_close(spool->db);
        free(spool);
    }
}

int spool_put(struct spool *spool, struct gray_str unit, int side,
              const void *data, size_t length,
              struct gray_problem *ret_problem)
{
    if (sqlite3_bind_blob64(spool->put, 1, unit.length > 0 ? unit.data : "",
                            unit.length, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int(spool->put, 2, side) != SQLITE_OK ||
        sqlite3_bind_blob64(spool->put, 3, data, length, SQLITE_STATIC) !=
            SQLITE_OK ||
        sqlite3_step(spool->put) != SQLITE_DONE ||
        sqlite3_reset(spool->put) != SQLITE_OK) {
        return failed(spool, ret_problem);
    }
    return 0;
}

int spool_each(struct spool *spool, spool_visit *visit, void *context,
               struct gray_problem *ret_problem)
{
    sqlite3_stmt *all = NULL;
    int code = sqlite3_prepare_v2(spool->db,
                                  "SELECT unit, side, data FROM facts "
                                  "ORDER BY unit, side, rowid",
                                  -1, &all, NULL);
    int result = 0;

    while (code == SQLITE_OK || code == SQLITE_ROW) {
        struct gray_str unit;

        code = sqlite3_step(all);
        if (code != SQLITE_ROW) {
            break;
        }
        unit.data = sqlite3_column_blob(all, 0);
        unit.length = (uint32_t)sqlite3_column_bytes(all, 0);
        result = visit(context, unit, sqlite3_column_int(all, 1),
                       sqlite3_column_blob(all, 2),
                       (size_t)sqlite3_column_bytes(all, 2));
        if (result != 0) {
            break;
        }
    }
    if (result == 0 && code != SQLITE_DONE) {
        result = failed(spool, ret_problem);
    }
    sqlite3_finalize(all);
    return result;
}
