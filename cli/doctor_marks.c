/* SPDX-License-Identifier: Apache-2.0
 * doctor_marks.c - `gray doctor`, what concerns marks.
 *
 * Why: a table that workers cannot write, or a writer that does not live,
 * fails no request: nobody new is let in, quietly.  So each is looked at from
 * outside, by the files alone, with grayd dead as well.
 * Read next: runtime/mark_look.h, runtime/ring.h, doctor_grayd.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "runtime/mark_look.h"
#include "runtime/ring.h"

struct seen {
    size_t tables, bad, unready, unwritable;
    char first[160]; /* what is wrong with the first that is */
    struct gray_totals totals;
};

static int64_t boottime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Workers insert marks themselves; whoever cannot admits nobody. */
static void check_writable(struct seen *seen, int marks_fd, uint64_t scope,
                           uint32_t number)
{
    char name[40];
    struct stat facts;

    snprintf(name, sizeof(name), "%016llx.%u", (unsigned long long)scope,
             number);
    if (fstatat(marks_fd, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
        return; /* said as one that cannot be mapped */
    }
    for (size_t i = 0; i < seen->totals.reader_count; i++) {
        const struct gray_reader_status *reader = &seen->totals.readers[i];
        unsigned uid = 0, gid = 0;

        if (reader->alive && reader->kind == GRAY_READER_NGINX &&
            doctor_may(reader->pid, &facts, DOCTOR_WRITE, &uid, &gid) == 0) {
            if (seen->unwritable++ == 0) {
                snprintf(seen->first, sizeof(seen->first),
                         "%.60s (uid %u) cannot write marks/%s", reader->id,
                         uid, name);
            }
            return;
        }
    }
}

static void look_at_table(struct doctor *doctor, struct seen *seen,
                          uint64_t scope)
{
    struct gray_problem problem = { 0 };
    struct gray_mark_look look;

    seen->tables++;
    if (gray_mark_look_open(&look, doctor->folder, scope, &problem) != 0) {
        if (seen->bad++ == 0) {
            snprintf(seen->first, sizeof(seen->first), "%.150s",
                     problem.sentence);
        }
        return;
    }
    seen->unready +=
        gray_mark_table_state(&look.marks.table) != GRAY_TABLE_READY;
    gray_mark_look_close(&look);
}

static void check_tables(struct doctor *doctor, const struct gray_folder *open)
{
    struct seen seen = { 0 };
    struct gray_problem problem = { 0 };
    int fd = openat(open->dirfd, "marks",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 ||
        gray_totals_read(doctor->folder, &seen.totals, &problem) != 0) {
        doctor_add(doctor, "marks", DOCTOR_WARN,
                   "A release that keeps marks makes it when it is published.",
                   "there are no mark tables: %s", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    for (uint32_t i = 0; i < GRAY_WORDS_MAX; i++) {
        const struct gray_scope_word *word = &open->control->words[i];
        uint32_t table = __atomic_load_n(&word->table, __ATOMIC_ACQUIRE);

        if (word->scope != 0 && table != 0) {
            look_at_table(doctor, &seen, word->scope);
            check_writable(&seen, fd, word->scope, table);
        }
    }
    close(fd);
    gray_totals_free(&seen.totals);
    doctor_add(doctor, "marks",
               seen.bad + seen.unwritable > 0 ? DOCTOR_FAIL
               : seen.unready > 0             ? DOCTOR_WARN
                                              : DOCTOR_OK,
               seen.bad + seen.unwritable > 0
                   ? "Start grayd with --group of nginx's workers; until then "
                     "nobody new is let in."
                   : "They are being read from the journal; until then nobody "
                     "new is let in.",
               "%zu mark tables, %zu cannot be read, %zu not be written by "
               "workers, %zu are not ready%s%s",
               seen.tables, seen.bad, seen.unwritable, seen.unready,
               seen.first[0] != '\0' ? ": " : "", seen.first);
}

static void check_beat(struct doctor *doctor, const struct gray_folder *open)
{
    struct gray_drained drained;
    int64_t now = boottime_ns();
    int64_t lease = __atomic_load_n(&open->control->lease_deadline,
                                    __ATOMIC_ACQUIRE);
    int fd = openat(open->dirfd, "marks/drained",
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t got = fd >= 0 ? pread(fd, &drained, sizeof(drained), 0) : -1;
    bool lives;

    if (fd >= 0) {
        close(fd);
    }
    if (got < (ssize_t)offsetof(struct gray_drained, rings) ||
        drained.beat == 0) {
        doctor_add(doctor, "marks-beat", DOCTOR_OK, "",
                   "no grayd writes marks here: they live as long as the "
                   "folder");
        return;
    }
    lives = now - (int64_t)drained.beat < GRAY_WRITER_DEAD_NS;
    doctor_add(doctor, "marks-beat",
               lives && drained.state == GRAY_WRITER_OK ? DOCTOR_OK
                                                        : DOCTOR_FAIL,
               "systemctl start grayd; until then strict releases, and those "
               "with an admission lease, let nobody new in.",
               "the writer of marks %s%s", lives ? "lives" : "is silent",
               drained.state == GRAY_WRITER_FULL     ? ", and its disk is full"
               : drained.state == GRAY_WRITER_FAILED ? ", and its disk failed"
                                                     : "");
    doctor_add(doctor, "marks-lease", lease > now ? DOCTOR_OK : DOCTOR_FAIL,
               "Only a grayd that writes marks renews it.",
               lease > now ? "the admission lease runs for %.1f s more"
                           : "the admission lease ran out %.1f s ago",
               (double)(lease > now ? lease - now : now - lease) / 1e9);
}

void doctor_marks(struct doctor *doctor)
{
    struct gray_problem problem = { 0 };
    struct gray_folder open = { .dirfd = -1 };

    if (gray_folder_open(&open, doctor->folder, false, &problem) == 0) {
        check_tables(doctor, &open);
        check_beat(doctor, &open);
        gray_folder_close(&open);
    }
}
