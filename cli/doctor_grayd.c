/* SPDX-License-Identifier: Apache-2.0
 * doctor_grayd.c - `gray doctor`, what concerns grayd.
 *
 * Why: without grayd everything goes on as it was, so nobody notices that it
 * is gone until something must be changed.  Where there is none and never was,
 * that is no fault: nginx and the folder work alone.
 * Read next: doctor.c, remote.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/doctor.h"
#include "cli/remote.h"
#include "control/grayd.h"

#define SKEW_WARN_MS 1000

static bool there_is(const char *path)
{
    struct stat facts;

    return lstat(path, &facts) == 0;
}

static void check_state(struct doctor *doctor)
{
    const char *path = arguments_get(doctor->arguments, CLI_STATE);
    struct stat facts;

    path = path != NULL ? path : GRAYD_STATE_DEFAULT;
    if (lstat(path, &facts) != 0) {
        if (arguments_has(doctor->arguments, CLI_STATE)) {
            doctor_add(doctor, "grayd-state", DOCTOR_WARN,
                       "grayd --state DIR makes it.", "%.300s: %s", path,
                       strerror(errno));
        }
        return;
    }
    if (!S_ISDIR(facts.st_mode) || (facts.st_mode & 077) != 0) {
        doctor_add(doctor, "grayd-state", DOCTOR_FAIL,
                   "chmod 0700: tokens' hashes and the audit's key lie there.",
                   "%.300s has mode %04o", path, facts.st_mode & 07777);
        return;
    }
    doctor_add(doctor, "grayd-state", DOCTOR_OK, "", "%.300s has mode %04o",
               path, facts.st_mode & 07777);
}

static void check_units(struct doctor *doctor)
{
    static const char *const folders[] = { "/etc/systemd/system",
                                           "/lib/systemd/system",
                                           "/usr/local/lib/systemd/system" };
    static const char *const units[] = { "grayd.service",
                                         "graylane-restore.service" };

    for (size_t i = 0; i < 2; i++) {
        char path[200] = "";
        bool found = false;

        for (size_t j = 0; j < 3 && !found; j++) {
            snprintf(path, sizeof(path), "%s/%s", folders[j], units[i]);
            found = there_is(path);
        }
        doctor_add(doctor, units[i], found ? DOCTOR_OK : DOCTOR_WARN,
                   "make install puts it there; without it nobody starts "
                   "grayd, or restores the last good policy before nginx.",
                   found ? "%s is there" : "%s is in no folder of systemd",
                   found ? path : units[i]);
    }
}

static void check_status(struct doctor *doctor, const json_t *status)
{
    long long made = (long long)number_at(status, "revision");
    long long force = (long long)number_at(status, "revisionInForce");

    if (json_is_true(json_object_get(status, "storeFailed"))) {
        doctor_add(doctor, "grayd-store", DOCTOR_FAIL,
                   "Look at the disk and at grayd's log, then restart grayd.",
                   "grayd cannot write its store");
    }
    doctor_add(doctor, "grayd-revision", made == force ? DOCTOR_OK
                                                       : DOCTOR_FAIL,
               "gray status says what waits.",
               "revision %lld is in force, %lld is the newest", force, made);
}

/* Who writes marks to disk: without him strict releases let nobody in. */
static void check_writer(struct doctor *doctor, const json_t *status)
{
    const json_t *marks = json_object_get(status, "marks");
    const char *writer = text_at(marks, "writer");
    bool good = strcmp(writer, "ok") == 0;

    if (marks == NULL) {
        return; /* an older grayd */
    }
    doctor_add(doctor, "marks-writer", good ? DOCTOR_OK : DOCTOR_FAIL,
               strcmp(writer, "full") == 0
                   ? "Make room on the disk of the state folder; it goes on by "
                     "itself."
                   : "Look at the disk and at grayd's log, then restart grayd.",
               good ? "marks become durable: the writer is %s%s%.100s"
                    : "the writer of marks is %s%s%.100s: strict releases let "
                      "nobody new in",
               writer, *text_at(marks, "trouble") != '\0' ? ", " : "",
               text_at(marks, "trouble"));
}

/* What grayd does has its moment: compared by the newest record. */
static void check_clocks(struct doctor *doctor, struct remote *remote)
{
    int64_t theirs = remote_clock_ms(remote), ours = port_now_ms();

    if (theirs < 0) {
        return;
    }
    doctor_add(doctor, "grayd-clock",
               llabs((long long)(theirs - ours)) > SKEW_WARN_MS + 1000
                   ? DOCTOR_WARN
                   : DOCTOR_OK,
               "Start chrony on both hosts: --at and time windows hang on it.",
               "grayd's clock is within %lld s of this one",
               llabs((long long)(theirs - ours)) / 1000 + 1);
}

void doctor_grayd(struct doctor *doctor)
{
    CLI_CLEANUP(json_freep) json_t *status = NULL;
    struct remote *remote = NULL;
    int error = remote_open(&remote, doctor->arguments);

    if (error != 0) {
        doctor_add(doctor, "grayd", DOCTOR_FAIL, "gray context list",
                   "the server that was chosen cannot be used");
        return;
    }
    if (!remote_was_chosen(remote) && !there_is(GRAYD_SOCKET_DEFAULT) &&
        !there_is(GRAYD_STATE_DEFAULT)) {
        doctor_add(doctor, "grayd", DOCTOR_OK, "",
                   "there is none on this host; gray publish works alone");
        remote_free(remote);
        return;
    }
    error = remote_ask(remote,
                       &(struct remote_call) { .method = "GET",
                                               .path = "/v1/status",
                                               .quiet = true },
                       &status);
    if (error == 0) {
        doctor_add(doctor, "grayd", DOCTOR_OK, "", "grayd %s answers at %.300s",
                   text_at(status, "version"), remote_place(remote));
        check_status(doctor, status);
        check_writer(doctor, status);
        check_clocks(doctor, remote);
    } else {
        doctor_add(doctor, "grayd", DOCTOR_FAIL,
                   error == CLI_EXIT_DENIED
                       ? "Give a token: --token-file FILE, or a context."
                       : "systemctl start grayd; until then everything stays "
                         "as it is.",
                   error == CLI_EXIT_DENIED ? "grayd at %.300s turns you away"
                                            : "grayd does not answer at %.300s",
                   remote_place(remote));
    }
    if (remote_is_here(remote)) {
        check_state(doctor);
        check_units(doctor);
    }
    remote_free(remote);
}
