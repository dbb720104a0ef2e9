/* SPDX-License-Identifier: Apache-2.0
 * doctor.c - `gray doctor`: what of this host will hurt later.
 *
 * Why: most trouble of a first day is a folder on a disk, a mode, a module
 * built for another nginx, or a kernel setting.  Each is looked at and told
 * with what to do.  Nothing is changed.
 * Read next: doctor_nginx.c.
 */
#include <errno.h>
#include <grp.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cli/agent.h"

#define SOMAXCONN_LEAST 1024
#define YEAR_2024_MS INT64_C(1704067200000)

void doctor_add(struct doctor *doctor, const char *check,
                enum doctor_level level, const char *advice,
                const char *format, ...)
{
    static const char *const levels[] = { "ok", "warn", "fail" };
    char sentence[600];
    va_list list;

    va_start(list, format);
    vsnprintf(sentence, sizeof(sentence), format, list);
    va_end(list);
    doctor->failed |= level == DOCTOR_FAIL;
    json_array_append_new(doctor->lines,
                          json_pack("{s:s,s:s,s:s,s:s}", "check", check,
                                    "level", levels[level], "sentence",
                                    sentence, "advice",
                                    level == DOCTOR_OK ? "" : advice));
}

/* ---- the folder ------------------------------------------------------------------------- */

/* The folder, or the nearest one above it that is there. */
static void existing_folder(const char *path, char ret_path[4096])
{
    struct stat facts;
    char *slash;

    snprintf(ret_path, 4096, "%s", path);
    while (stat(ret_path, &facts) != 0 &&
           (slash = strrchr(ret_path, '/')) != NULL) {
        *slash = '\0';
        if (slash == ret_path) {
            snprintf(ret_path, 4096, "/");
            return;
        }
    }
}

static void check_tmpfs(struct doctor *doctor)
{
    char path[4096];
    struct statfs facts;

    existing_folder(doctor->folder, path);
    if (statfs(path, &facts) != 0) {
        doctor_add(doctor, "tmpfs", DOCTOR_FAIL, "Make the folder readable.",
                   "%.300s: %s", path, strerror(errno));
    } else if (facts.f_type != TMPFS_MAGIC) {
        doctor_add(doctor, "tmpfs", DOCTOR_FAIL,
                   "Mount a tmpfs there, or use --runtime under /dev/shm: a "
                   "mapped file on a disk may block a worker.",
                   "%.300s is not on tmpfs", path);
    } else {
        doctor_add(doctor, "tmpfs", DOCTOR_OK, "", "%.300s is on tmpfs", path);
    }
}

static bool check_folder(struct doctor *doctor)
{
    struct stat facts;

    if (stat(doctor->folder, &facts) != 0) {
        doctor_add(doctor, "folder", DOCTOR_WARN,
                   "gray publish -f DOCS makes it.", "%.300s: %s",
                   doctor->folder, strerror(errno));
        return false;
    }
    if (!S_ISDIR(facts.st_mode) || (facts.st_mode & 022) != 0) {
        doctor_add(doctor, "folder", DOCTOR_FAIL,
                   "Make it a folder of mode 0755 that only its owner writes.",
                   "%.300s has mode %04o", doctor->folder,
                   facts.st_mode & 07777);
        return false; /* nobody reads on */
    }
    doctor_add(doctor, "folder", facts.st_uid == 0 ? DOCTOR_OK : DOCTOR_WARN,
               "Workers only believe a folder of root, or of their own user.",
               "%.300s belongs to uid %u, mode %04o", doctor->folder,
               (unsigned)facts.st_uid, facts.st_mode & 07777);
    return true;
}

static void check_keys(struct doctor *doctor)
{
    char path[4200];
    struct stat facts;

    snprintf(path, sizeof(path), "%s/keys", doctor->folder);
    if (lstat(path, &facts) != 0) {
        doctor_add(doctor, "keys", DOCTOR_WARN, "gray publish makes them.",
                   "no signing keys: %s", strerror(errno));
    } else if (!S_ISREG(facts.st_mode) || (facts.st_mode & 027) != 0) {
        doctor_add(doctor, "keys", DOCTOR_FAIL,
                   "chmod 0640, then gray keys rotate: others may have read "
                   "them.", "the signing keys have mode %04o",
                   facts.st_mode & 07777);
    } else {
        const struct group *group = getgrgid(facts.st_gid);

        doctor_add(doctor, "keys", DOCTOR_OK, "",
                   "signing keys have mode %04o, group %u %s",
                   facts.st_mode & 07777, (unsigned)facts.st_gid,
                   group != NULL ? group->gr_name : "");
    }
}

static void check_policy(struct doctor *doctor)
{
    struct gray_folder open = { .dirfd = -1 };
    struct in_force in_force = { 0 };
    struct gray_problem problem = { 0 };
    int found;

    if (gray_folder_open(&open, doctor->folder, false, &problem) != 0) {
        doctor_add(doctor, "control", DOCTOR_FAIL,
                   "Publish into a new folder.", "%s", problem.sentence);
        return;
    }
    if (open.control->bypass) {
        doctor_add(doctor, "bypass", DOCTOR_WARN, "gray bypass off",
                   "bypass is on: everything goes to the baseline");
    }
    gray_folder_close(&open);
    found = in_force_read(&in_force, doctor->folder, &problem);
    if (found == 0) {
        doctor_add(doctor, "policy", DOCTOR_OK, "",
                   "revision %llu with %u releases is in force",
                   (unsigned long long)in_force.snapshot.header->revision,
                   in_force.snapshot.policy->releases.count);
    } else if (found == 1) {
        doctor_add(doctor, "policy", DOCTOR_WARN, "gray publish -f DOCS",
                   "no policy is in force");
    } else {
        doctor_add(doctor, "policy", DOCTOR_FAIL,
                   "Publish again; readers keep the last good one.", "%s",
                   problem.sentence);
    }
    in_force_free(&in_force);
}

int doctor_may(int pid, const struct stat *facts, unsigned bits,
               unsigned *ret_uid, unsigned *ret_gid)
{
    CLI_CLEANUP(file_closep) FILE *file = NULL;
    char path[64], line[4096], *at, *word;
    bool groups = false, in_group = false;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    file = fopen(path, "re");
    while (file != NULL && !groups &&
           fgets(line, sizeof(line), file) != NULL) {
        sscanf(line, "Uid: %*u %u", ret_uid);
        sscanf(line, "Gid: %*u %u", ret_gid);
        groups = strncmp(line, "Groups:", 7) == 0;
    }
    if (!groups) {
        return -1;
    }
    for (word = strtok_r(line + 7, " \t\n", &at); word != NULL;
         word = strtok_r(NULL, " \t\n", &at)) {
        in_group |= strtoul(word, NULL, 10) == facts->st_gid;
    }
    if (*ret_uid == 0 || *ret_uid == facts->st_uid) {
        return *ret_uid == 0 || (facts->st_mode & (bits << 6)) != 0;
    }
    return in_group || *ret_gid == facts->st_gid
               ? (facts->st_mode & (bits << 3)) != 0
               : (facts->st_mode & bits) != 0;
}

static void cannot_sign(struct doctor *doctor, const char *who, unsigned uid,
                        unsigned gid)
{
    const struct passwd *user = getpwuid(uid);
    const struct group *group;
    char advice[200], name[64];

    snprintf(name, sizeof(name), "uid %u", uid);
    if (user != NULL) {
        snprintf(name, sizeof(name), "%s", user->pw_name);
    }
    group = getgrgid(gid);
    snprintf(advice, sizeof(advice), "gray keys rotate --group %s",
             group != NULL ? group->gr_name : "GROUP");
    doctor_add(doctor, "signing", DOCTOR_FAIL, advice,
               "%.100s runs as %s, who cannot read the signing keys: no "
               "cookie is set or believed", who, name);
}

/* Workers that cannot read the keys serve everybody, and keep nobody. */
static void check_signing(struct doctor *doctor,
                          const struct gray_totals *totals)
{
    struct stat keys;
    size_t good = 0;
    char path[4200];

    snprintf(path, sizeof(path), "%s/keys", doctor->folder);
    if (lstat(path, &keys) != 0) {
        return; /* said by check_keys() */
    }
    for (size_t i = 0; i < totals->reader_count; i++) {
        const struct gray_reader_status *reader = &totals->readers[i];
        unsigned uid = 0, gid = 0;
        int reads;

        if (!reader->alive || reader->kind != GRAY_READER_NGINX) {
            continue;
        }
        reads = doctor_may(reader->pid, &keys, DOCTOR_READ, &uid, &gid);
        if (reads == 0) {
            cannot_sign(doctor, reader->id, uid, gid);
            return;
        }
        good += reads > 0;
    }
    if (good > 0) {
        doctor_add(doctor, "signing", DOCTOR_OK, "",
                   "%zu nginx workers can read the signing keys", good);
    }
}

/* A policy that kills its readers, and a clock that misses its instant. */
static void check_crashes(struct doctor *doctor, const struct gray_folder *open,
                          const struct gray_named *named)
{
    int64_t offset = open->control->clock_offset_ms;
    struct gray_crashes crashes;

    gray_folder_crashes(open, named->policy, &crashes);
    if (!crashes.blocked && named->next != 0) {
        gray_folder_crashes(open, named->next, &crashes);
    }
    if (crashes.count > 0) {
        doctor_add(doctor, "crashes",
                   crashes.blocked ? DOCTOR_FAIL : DOCTOR_WARN,
                   "Publish another policy, or say that it is not to blame: "
                   "gray unblock.",
                   "generation %llu crashed %u readers (the last one: pid %d, "
                   "signal %d)%s",
                   (unsigned long long)crashes.generation, crashes.count,
                   (int)crashes.pid, (int)crashes.signal,
                   crashes.blocked ? "; who starts takes the last good one"
                                   : "");
    }
    if (named->next_skew != 0 && (offset > (int64_t)named->next_skew ||
                                  -offset > (int64_t)named->next_skew)) {
        doctor_add(doctor, "clock", DOCTOR_FAIL,
                   "Look at the time daemon (chronyc tracking).",
                   "the clock is off by %lld ms, more than the %u ms that the "
                   "policy which waits allows", (long long)offset,
                   named->next_skew);
    }
}

static void check_readers(struct doctor *doctor)
{
    struct gray_totals totals = { 0 };
    struct gray_problem problem = { 0 };
    struct gray_folder open = { .dirfd = -1 };
    struct gray_named named;
    size_t live = 0, behind = 0;

    if (gray_folder_open(&open, doctor->folder, false, &problem) != 0) {
        return;
    }
    if (gray_totals_read(doctor->folder, &totals, &problem) != 0) {
        doctor_add(doctor, "readers", DOCTOR_FAIL, "Look at readers/.", "%s",
                   problem.sentence);
        gray_folder_close(&open);
        return;
    }
    gray_folder_named(&open, port_now_ms(), &named);
    for (size_t i = 0; i < totals.reader_count; i++) {
        const struct gray_reader_status *reader = &totals.readers[i];

        live += reader->alive;
        behind += reader->alive &&
                  (reader->policy_generation != named.policy ||
                   reader->refusal[0] != '\0');
    }
    doctor_add(doctor, "readers",
               behind > 0 ? DOCTOR_FAIL : live == 0 ? DOCTOR_WARN : DOCTOR_OK,
               behind > 0 ? "gray status says which, and what they refused."
                          : "Start nginx with gray_runtime at this folder.",
               "%zu readers are alive, %zu of them do not have the policy in "
               "force; %zu files were not believed", live, behind,
               totals.bad_readers);
    check_signing(doctor, &totals);
    check_crashes(doctor, &open, &named);
    gray_totals_free(&totals);
    gray_folder_close(&open);
}

/* ---- the kernel -------------------------------------------------------------------------- */

static int64_t read_setting(const char *path)
{
    FILE *file = fopen(path, "re");
    long long value = -1;

    if (file != NULL) {
        if (fscanf(file, "%lld", &value) != 1) {
            value = -1;
        }
        fclose(file);
    }
    return value;
}

static void check_kernel(struct doctor *doctor)
{
    int64_t migrate = read_setting("/proc/sys/net/ipv4/tcp_migrate_req");
    int64_t backlog = read_setting("/proc/sys/net/core/somaxconn");

    doctor_add(doctor, "tcp_migrate_req", migrate == 1 ? DOCTOR_OK
                                                       : DOCTOR_WARN,
               "sysctl -w net.ipv4.tcp_migrate_req=1, or connections waiting "
               "at a worker that ends are reset (listen ... reuseport).",
               migrate < 0 ? "this kernel does not have it"
                           : "net.ipv4.tcp_migrate_req = %lld",
               (long long)migrate);
    doctor_add(doctor, "somaxconn",
               backlog >= SOMAXCONN_LEAST ? DOCTOR_OK : DOCTOR_WARN,
               "sysctl -w net.core.somaxconn=4096, and listen ... backlog=.",
               "net.core.somaxconn = %lld", (long long)backlog);
}

static void check_clock(struct doctor *doctor)
{
    struct timex facts = { .modes = 0 };
    int state = adjtimex(&facts);
    char moment[40];

    if (port_now_ms() < YEAR_2024_MS) {
        doctor_add(doctor, "clock", DOCTOR_FAIL, "Set the clock.",
                   "it says %s", moment_text(port_now_ms(), moment));
    } else if (state < 0 || (facts.status & STA_UNSYNC) != 0) {
        doctor_add(doctor, "clock", DOCTOR_WARN,
                   "Start chrony or systemd-timesyncd: time windows and "
                   "cookies hang on it.",
                   "the kernel does not know it to be synchronised");
    } else {
        doctor_add(doctor, "clock", DOCTOR_OK, "",
                   "synchronised, at most %ld us off", facts.maxerror);
    }
}

int command_doctor(const struct arguments *arguments)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(3);
    struct doctor doctor = { .arguments = arguments,
                             .folder = arguments_runtime(arguments),
                             .lines = json_array() };
    json_t *line;
    size_t i;

    doctor_nginx(&doctor);
    check_tmpfs(&doctor);
    if (check_folder(&doctor)) {
        check_keys(&doctor);
        check_policy(&doctor);
        check_readers(&doctor);
        doctor_marks(&doctor);
        agent_doctor(&doctor);
    }
    doctor_grayd(&doctor);
    check_kernel(&doctor);
    check_clock(&doctor);
    json_array_foreach(doctor.lines, i, line) {
        const char *advice =
            json_string_value(json_object_get(line, "advice"));

        table_cell(table, "%s",
                   json_string_value(json_object_get(line, "level")));
        table_cell(table, "%s",
                   json_string_value(json_object_get(line, "check")));
        table_cell(table, "%s%s%s",
                   json_string_value(json_object_get(line, "sentence")),
                   *advice != '\0' ? "; " : "", advice);
    }
    if (arguments_json(arguments)) {
        json_print(json_pack("{s:b,s:O}", "ok", !doctor.failed, "checks",
                             doctor.lines), JSON_INDENT(2));
    } else {
        table_print(table, stdout);
    }
    json_decref(doctor.lines);
    return doctor.failed ? CLI_EXIT_REFUSED : CLI_EXIT_OK;
}
