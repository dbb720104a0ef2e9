/* SPDX-License-Identifier: Apache-2.0
 * doctor.h - one line of `gray doctor`, shared by its two files.
 *
 * Why: what concerns nginx (doctor_nginx.c) starts processes, the rest only
 * looks; both add lines to one list.
 */
#ifndef GRAY_CLI_DOCTOR_H
#define GRAY_CLI_DOCTOR_H

#include <sys/stat.h>

#include "cli/cli.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
    const struct arguments *arguments;
    const char *folder;
    json_t *lines;
    bool failed;
};
/* Adds "check: sentence" and advice ("" when it is ok). */
void doctor_add(struct doctor *doctor, const char *check,
                enum doctor_level level, const char *advice,
                const char *format, ...) CLI_PRINTF(5, 6);
/* May this process read, or write, a file of these facts, by owner and groups?
 * -1: it is gone, or cannot be looked at. */
#define DOCTOR_READ 4u
#define DOCTOR_WRITE 2u
int doctor_may(int pid, const struct stat *facts, unsigned bits,
               unsigned *ret_uid, unsigned *ret_gid);
/* nginx: there, new enough, loads the module. */
void doctor_nginx(struct doctor *doctor);
/* Mark tables: readable, writable by nginx's workers; writer and lease. */
void doctor_marks(struct doctor *doctor);
/* grayd: answers, what it has in force, its folder and units. */
void doctor_grayd(struct doctor *doctor);

#endif
