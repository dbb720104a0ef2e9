/* SPDX-License-Identifier: Apache-2.0
 * totals.c - the sums over all readers of a folder, living and dead.
 *
 * Why: readers/ belongs to everyone on the host, so its files are the least
 * trusted bytes there are: they may be links, FIFOs, too short, too long,
 * written while they are read.  They are copied by pread, never mapped; a file
 * that is not exactly what a reader writes is counted as bad and adds nothing.
 * Read next: status.c; tests/fuzz/fuzz_reader.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "runtime/totals.h"

static bool id_sound(const char *id)
{
    size_t length = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-._");

    return length > 0 && id[length] == '\0' &&
           length < sizeof(((struct gray_reader_status *)0)->id);
}

static uint32_t place_of(const struct tally *tally, uint64_t series,
                         uint32_t traffic_class)
{
    uint32_t place =
        (uint32_t)(gray_mix64(series + traffic_class)) & (TALLY_INDEX - 1);

    while (tally->index[place] != 0) {
        const struct gray_series *found =
            &tally->totals->series[tally->index[place] - 1];

        if (found->series == series && found->traffic_class == traffic_class) {
            break;
        }
        place = (place + 1) & (TALLY_INDEX - 1);
    }
    return place;
}

/* The place of a sum, made where there is none; NULL when there are too many
 * or memory is out. */
static struct gray_series *sum_of(struct tally *tally,
                                  const struct gray_series *from)
{
    struct gray_totals *totals = tally->totals;
    uint32_t place = place_of(tally, from->series, from->traffic_class);
    struct gray_series *sum;

    if (tally->index[place] != 0) {
        return &totals->series[tally->index[place] - 1];
    }
    if (totals->series_count == TOTAL_SERIES_MAX) {
        return NULL;
    }
    if (totals->series_count == tally->capacity) {
        size_t capacity = tally->capacity == 0 ? 64 : tally->capacity * 2;
        void *grown =
            realloc(totals->series, capacity * sizeof(*totals->series));

        if (grown == NULL) {
            return NULL;
        }
        totals->series = grown;
        tally->capacity = capacity;
    }
    sum = &totals->series[totals->series_count++];
    tally->index[place] = (uint16_t)totals->series_count;
    memset(sum, 0, sizeof(*sum));
    sum->series = from->series;
    sum->traffic_class = from->traffic_class;
    memcpy(sum->service, from->service, sizeof(sum->service));
    memcpy(sum->version, from->version, sizeof(sum->version));
    memcpy(sum->lane, from->lane, sizeof(sum->lane));
    memcpy(sum->arm, from->arm, sizeof(sum->arm));
    return sum;
}

static void add_series(struct tally *tally, const struct gray_series *from,
                       bool alive)
{
    struct gray_series *sum = sum_of(tally, from);
    uint32_t i;

    if (sum == NULL) {
        return;
    }
    /* What a dead reader had under way is over. */
    sum->in_flight += alive ? from->in_flight : 0;
#define GRAY_COUNTER(NAME, field, metric, doc) sum->field += from->field;
#include "runtime/counters.def"
#undef GRAY_COUNTER
    sum->latency_sum_us += from->latency_sum_us;
    for (i = 0; i < GRAY_LATENCY_BUCKETS; i++) {
        sum->latency[i] += from->latency[i];
    }
}

/* Where a flow of these names stands, or would. */
static uint16_t *flow_place(struct tally *tally, const struct gray_flow *from)
{
    uint64_t names = gray_hash_scope(from->service, strlen(from->service)) ^
                     gray_mix64(gray_hash_scope(from->arm, strlen(from->arm)));
    uint32_t place =
        (uint32_t)gray_mix64(names ^ from->scope) & (FLOW_INDEX - 1);

    for (;; place = (place + 1) & (FLOW_INDEX - 1)) {
        const struct gray_flow *found;

        if (tally->flow_index[place] == 0) {
            return &tally->flow_index[place];
        }
        found = &tally->totals->flows[tally->flow_index[place] - 1];
        if (found->scope == from->scope &&
            strcmp(found->service, from->service) == 0 &&
            strcmp(found->arm, from->arm) == 0) {
            return &tally->flow_index[place];
        }
    }
}

static void add_flow(struct tally *tally, const struct gray_flow *from)
{
    struct gray_totals *totals = tally->totals;
    uint16_t *place = flow_place(tally, from);
    struct gray_flow *sum;

    if (*place != 0) {
        totals->flows[*place - 1].requests += from->requests;
        return;
    }
    if (totals->flow_count == TOTAL_FLOWS_MAX) {
        return;
    }
    if (totals->flow_count == tally->flow_capacity) {
        size_t capacity = tally->flow_capacity * 2 + 64;
        void *grown = realloc(totals->flows,
                              capacity * sizeof(*totals->flows));

        if (grown == NULL) {
            return;
        }
        totals->flows = grown;
        tally->flow_capacity = capacity;
    }
    sum = &totals->flows[totals->flow_count++];
    *place = (uint16_t)totals->flow_count;
    memset(sum, 0, sizeof(*sum));
    sum->scope = from->scope;
    sum->requests = from->requests;
    strcpy(sum->service, from->service); /* they end: the file is sound */
    strcpy(sum->arm, from->arm);
}

static void add_decisions(struct gray_totals *totals,
                          const struct reader_file *file)
{
    uint32_t i;

    for (i = 0; i < 256; i++) {
        totals->reasons[i] += file->reasons[i] + file->entered[i];
        totals->entered += file->entered[i];
    }
    for (i = 0; i < 32; i++) {
        totals->events[i] += file->events[i];
    }
}

/* Somebody has to be told whose it is. */
static void count_bad(struct gray_totals *totals, const char *id, uid_t uid)
{
    struct gray_bad_reader *bad;
    size_t i;

    if (totals->bad_readers++ >= GRAY_BAD_READERS_SHOWN) {
        return;
    }
    bad = &totals->bad[totals->bad_readers - 1];
    bad->uid = uid;
    for (i = 0; id[i] != '\0' && i < sizeof(bad->id) - 1; i++) {
        bad->id[i] = id[i] > ' ' && id[i] < 0x7f && id[i] != '"' ? id[i] : '?';
    }
}

/* Is it called what its kind is called?  A program's counts are not nginx's. */
static bool is_named_so(const char *id, uint32_t kind)
{
    const char *word = runtime_reader_kind_word(kind);
    size_t length = word != NULL ? strlen(word) : 0;

    return word != NULL && strncmp(id, word, length) == 0 && id[length] == '-';
}

static struct gray_reader_status *status_add(struct gray_totals *totals,
                                             const char *id, bool alive)
{
    struct gray_reader_status *status;
    void *grown = realloc(totals->readers,
                          (totals->reader_count + 1) * sizeof(*totals->readers));

    if (grown == NULL) {
        return NULL;
    }
    totals->readers = grown;
    status = &totals->readers[totals->reader_count++];
    memset(status, 0, sizeof(*status));
    strncpy(status->id, id, sizeof(status->id) - 1);
    status->alive = alive;
    return status;
}

/* A worker that lives and whose file makes no sense may still admit somebody:
 * it has acknowledged nothing.  A program admits by grayd alone. */
static void add_unbelieved(struct tally *tally, const char *id, uid_t uid,
                           bool alive)
{
    struct gray_reader_status *status;

    count_bad(tally->totals, id, uid);
    if (alive && id_sound(id) && is_named_so(id, GRAY_READER_NGINX)) {
        status = status_add(tally->totals, id, true);
        if (status != NULL) {
            status->kind = GRAY_READER_NGINX;
            strcpy(status->refusal, "bad-reader: its file is not believed");
        }
    }
}

int runtime_tally_add(struct tally *tally, const char *id, uid_t uid,
                      const void *bytes, size_t size, bool alive)
{
    struct gray_totals *totals = tally->totals;
    const struct reader_file *file = bytes;
    struct gray_reader_status *status;
    uint32_t i;

    if (!id_sound(id) || size != sizeof(*file) ||
        runtime_file_header_check(&file->header, GRAY_MAGIC_READER, size, id,
                                  NULL) != 0 ||
        !is_named_so(id, file->kind) || !runtime_reader_file_sound(file)) {
        add_unbelieved(tally, id, uid, alive);
        return -EINVAL;
    }
    status = status_add(totals, id, alive);
    if (status == NULL) {
        return -ENOMEM;
    }
    status->pid = file->pid;
    status->kind = file->kind;
    status->policy_generation = file->policy_generation;
    status->fleet_generation = file->fleet_generation;
    status->word_epoch = file->word_epoch;
    status->next_generation = file->next_generation;
    status->late_ms = file->late_ms > 0 ? file->late_ms : 0;
    memcpy(status->refusal, file->refusal, sizeof(status->refusal));
    add_decisions(totals, file);
    for (i = 0; i < GRAY_SERIES_MAX; i++) {
        if (file->series[i].series != 0) {
            add_series(tally, &file->series[i], alive);
        }
    }
    for (i = 0; i < GRAY_FLOWS_MAX; i++) {
        if (file->flows[i].scope != 0) {
            add_flow(tally, &file->flows[i]);
        }
    }
    return 0;
}

static uid_t owner_of(int dirfd, const char *id)
{
    struct stat status;

    return fstatat(dirfd, id, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_uid
                                                                 : (uid_t)-1;
}

/* What gateways count is what releases are judged by, so it comes from the
 * folder's owner or from the group that was given the keys. */
static bool may_be_of_kind(const struct tally *tally, const char *id,
                           const struct stat *status)
{
    return !is_named_so(id, GRAY_READER_NGINX) || tally->group == (gid_t)-1 ||
           status->st_uid == tally->owner || status->st_gid == tally->group;
}

static void learn_group(struct tally *tally, int folder_fd)
{
    struct stat folder, keys;

    tally->group = (gid_t)-1;
    if (fstat(folder_fd, &folder) == 0 &&
        fstatat(folder_fd, "keys", &keys, AT_SYMLINK_NOFOLLOW) == 0 &&
        keys.st_uid == folder.st_uid && keys.st_gid != folder.st_gid) {
        tally->owner = folder.st_uid;
        tally->group = keys.st_gid;
    }
}

/* Our own copy of a reader's file, without its ring, whose units are none of
 * our business; what changes while we read is the counters' own, what is
 * checked afterwards is the copy. */
static void read_one(struct tally *tally, int dirfd, const char *id,
                     void *buffer)
{
    CLEANUP_FD int fd =
        openat(dirfd, id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    size_t done = 0;

    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size != sizeof(struct reader_file) ||
        !may_be_of_kind(tally, id, &status)) {
        count_bad(tally->totals, id, owner_of(dirfd, id));
        return;
    }
    while (done < offsetof(struct reader_file, ring)) {
        ssize_t got =
            pread(fd, (char *)buffer + done,
                  offsetof(struct reader_file, ring) - done, (off_t)done);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            count_bad(tally->totals, id, status.st_uid); /* it shrank */
            return;
        }
        done += (size_t)got;
    }
    runtime_tally_add(tally, id, status.st_uid, buffer,
                      sizeof(struct reader_file), runtime_reader_alive(fd));
}

static int read_all(struct tally *tally, int folder_fd,
                    struct gray_problem *ret_problem)
{
    void *buffer = malloc(sizeof(struct reader_file));
    int fd = openat(folder_fd, "readers",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    uint32_t seen = 0, files = 0;

    if (buffer == NULL || dir == NULL) {
        int error = buffer == NULL ? ENOMEM : errno;

        free(buffer);
        if (dir != NULL) {
            closedir(dir);
        } else {
            runtime_fd_close(&fd);
        }
        return runtime_problem_set(ret_problem, error, "io", "readers/: %s.",
                                   strerror(error));
    }
    while (seen++ < GRAY_READERS_MAX * 2 + FILE_SLACK &&
           files < GRAY_READERS_MAX && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' ||
            runtime_name_ends(entry->d_name, ".wake") ||
            runtime_name_ends(entry->d_name, ".new")) {
            continue;
        }
        files++;
        read_one(tally, fd, entry->d_name, buffer);
    }
    closedir(dir);
    free(buffer);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct gray_series *x = a, *y = b;
    int order = strcmp(x->service, y->service);

    order = order != 0 ? order : strcmp(x->version, y->version);
    order = order != 0 ? order : strcmp(x->lane, y->lane);
    order = order != 0 ? order : strcmp(x->arm, y->arm);
    if (order == 0 && x->traffic_class != y->traffic_class) {
        order = x->traffic_class < y->traffic_class ? -1 : 1;
    }
    return order != 0 ? order : x->series < y->series ? -1 : 1;
}

static int by_flow(const void *a, const void *b)
{
    const struct gray_flow *x = a, *y = b;
    int order = strcmp(x->arm, y->arm);

    return order != 0 ? order : strcmp(x->service, y->service);
}

static int by_id(const void *a, const void *b)
{
    const struct gray_reader_status *x = a, *y = b;

    return strcmp(x->id, y->id);
}

int runtime_totals_of_dir(int folder_fd, struct gray_totals *ret_totals,
                          struct gray_problem *ret_problem)
{
    struct gray_totals totals;
    struct tally *tally = calloc(1, sizeof(*tally));
    int error;

    memset(&totals, 0, sizeof(totals));
    if (tally == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    tally->totals = &totals;
    learn_group(tally, folder_fd);
    error = read_all(tally, folder_fd, ret_problem);
    free(tally);
    if (error != 0) {
        gray_totals_free(&totals);
        return error;
    }
    if (totals.series_count > 0) {
        qsort(totals.series, totals.series_count, sizeof(*totals.series),
              by_name);
    }
    if (totals.flow_count > 0) {
        qsort(totals.flows, totals.flow_count, sizeof(*totals.flows),
              by_flow);
    }
    if (totals.reader_count > 0) {
        qsort(totals.readers, totals.reader_count, sizeof(*totals.readers),
              by_id);
    }
    *ret_totals = totals;
    return 0;
}

int gray_totals_read(const char *folder, struct gray_totals *ret_totals,
                     struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return runtime_problem_set(
            ret_problem, errno, "no-folder",
            "%.80s cannot be opened: %s. gray publish makes it.", folder,
            strerror(errno));
    }
    return runtime_totals_of_dir(fd, ret_totals, ret_problem);
}

void gray_totals_free(struct gray_totals *totals)
{
    free(totals->series);
    free(totals->flows);
    free(totals->readers);
    memset(totals, 0, sizeof(*totals));
}
