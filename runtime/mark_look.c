/* SPDX-License-Identifier: Apache-2.0
 * mark_look.c - see mark_look.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "runtime/mark_look.h"

static const struct gray_scope_word *word_of(const struct gray_folder *folder,
                                             uint64_t scope)
{
    const struct gray_control *control = folder->control;
    uint32_t i;

    for (i = 0; i < GRAY_WORDS_MAX; i++) {
        uint64_t found = __atomic_load_n(&control->words[i].scope,
                                         __ATOMIC_ACQUIRE);

        if (found == scope || found == 0) {
            return found == scope ? &control->words[i] : NULL;
        }
    }
    return NULL;
}

static int map_tables(struct gray_mark_look *look, uint64_t scope,
                      struct gray_problem *ret_problem)
{
    const struct gray_scope_word *word = word_of(&look->folder, scope);
    uint32_t table = 0, next = 0;
    struct stat status;
    CLEANUP_FD int fd = -1;
    int error;

    if (word != NULL) {
        runtime_word_tables(word, &table, &next);
    }
    if (table == 0) {
        return runtime_problem_set(ret_problem, ENOENT, "no-marks",
                                   "The release keeps no marks here.");
    }
    fd = openat(look->folder.dirfd, "marks",
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        return runtime_problem_set(ret_problem, errno, "bad-folder",
                                   "marks/ of the runtime folder: %s.",
                                   strerror(errno));
    }
    error = gray_mark_table_open(&look->marks.table, fd, scope, table,
                                 status.st_uid, false, ret_problem);
    if (error == 0 && next != 0 &&
        gray_mark_table_open(&look->marks.next, fd, scope, next,
                             status.st_uid, false, NULL) != 0) {
        look->marks.next = (struct gray_mark_table) {0}; /* UNKNOWN then */
    }
    return error;
}

int gray_mark_look_open(struct gray_mark_look *ret_look, const char *folder,
                        uint64_t scope, struct gray_problem *ret_problem)
{
    struct gray_mark_look look = {.folder = {.dirfd = -1}};
    int error = gray_folder_open(&look.folder, folder, false, ret_problem);

    if (error != 0) {
        return error;
    }
    error = map_tables(&look, scope, ret_problem);
    if (error != 0) {
        gray_mark_look_close(&look);
        return error;
    }
    *ret_look = look;
    return 0;
}

enum gray_mark_found gray_mark_look_find(const struct gray_mark_look *look,
                                         uint8_t space, struct gray_str unit,
                                         uint64_t *ret_value)
{
    return gray_mark_find(&look->marks,
                          gray_mark_key(look->marks.table.file, space, unit),
                          ret_value);
}

void gray_mark_look_close(struct gray_mark_look *look)
{
    gray_mark_table_close(&look->marks.table);
    gray_mark_table_close(&look->marks.next);
    if (look->folder.control != NULL) {
        gray_folder_close(&look->folder);
        look->folder.control = NULL;
    }
}

const char *gray_mark_word(enum gray_mark_found found, uint64_t value)
{
    static const char *const words[] = {
        [GRAY_SLOT_EMPTY] = "absent",    [GRAY_SLOT_PENDING] = "pending",
        [GRAY_SLOT_IN] = "in",           [GRAY_SLOT_OUT] = "out",
        [GRAY_SLOT_REVOKED] = "revoked", [GRAY_SLOT_HOLD] = "hold",
        [GRAY_SLOT_VOID] = "absent",
    };

    if (found == GRAY_FIND_UNKNOWN ||
        gray_slot_state(value) > GRAY_SLOT_VOID) {
        return "unknown";
    }
    return found == GRAY_FIND_ABSENT ? "absent"
                                     : words[gray_slot_state(value)];
}
