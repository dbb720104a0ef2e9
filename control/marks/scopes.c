/* SPDX-License-Identifier: Apache-2.0
 * scopes.c - the scopes of the journal, and the tables that are theirs.
 *
 * Why: a table is believed when it has the instance that the journal gave this
 * scope; then it is kept as it is, whoever died meanwhile.  A table of another
 * instance is another host's, or an older journal's: it is left behind, and a
 * new one is filled from the journal before anybody may look into it.  A scope
 * that the journal does not know, but whose table is here, was kept by `gray
 * publish`: it is taken over with its marks.
 * Read next: rebuild.c, docs/marks.md.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/marks/internal.h"

#define PLACES (2u * MARKS_SCOPES_MAX)

/* ---- by number ---------------------------------------------------------------- */

static size_t place_of(const struct marks *marks, uint64_t scope)
{
    size_t at = (size_t)gray_mix64(scope) % PLACES;

    while (marks->scopes[at] != NULL && marks->scopes[at]->scope != scope) {
        at = (at + 1) % PLACES;
    }
    return at;
}

struct scope *scope_find(const struct marks *marks, uint64_t scope)
{
    return marks->scopes[place_of(marks, scope)];
}

struct scope *scope_make(struct marks *marks, uint64_t scope)
{
    size_t at = place_of(marks, scope);

    if (marks->scopes[at] == NULL && marks->scope_count < MARKS_SCOPES_MAX) {
        struct scope *made = calloc(1, sizeof(*made));

        if (made != NULL) {
            made->scope = scope;
            pthread_rwlock_wrlock(&marks->maps);
            marks->scopes[at] = made;
            marks->scope_count++;
            pthread_rwlock_unlock(&marks->maps);
        }
    }
    return marks->scopes[at];
}

static void scope_unmap(struct marks *marks, struct scope *scope)
{
    pthread_rwlock_wrlock(&marks->maps);
    gray_mark_table_close(&scope->marks.table);
    gray_mark_table_close(&scope->marks.next);
    scope->table = scope->next = 0;
    pthread_rwlock_unlock(&marks->maps);
}

void scopes_unmap(struct marks *marks)
{
    for (size_t i = 0; i < PLACES; i++) {
        if (marks->scopes[i] != NULL) {
            scope_unmap(marks, marks->scopes[i]);
        }
    }
}

void scopes_free(struct marks *marks)
{
    for (size_t i = 0; i < PLACES; i++) {
        if (marks->scopes[i] != NULL) {
            gray_mark_table_close(&marks->scopes[i]->marks.table);
            gray_mark_table_close(&marks->scopes[i]->marks.next);
            free(marks->scopes[i]);
            marks->scopes[i] = NULL;
        }
    }
}

bool scope_ready(const struct scope *scope)
{
    return scope->marks.table.file != NULL &&
           gray_mark_table_state(&scope->marks.table) == GRAY_TABLE_READY;
}

uint64_t scope_peek(const struct scope *scope, struct gray_mark_key key)
{
    const struct gray_mark_table *tables[] = {&scope->marks.table,
                                              &scope->marks.next};

    for (size_t i = 0; i < 2 && tables[i]->file != NULL; i++) {
        uint64_t *slot, value;

        switch (runtime_mark_probe(tables[i], key, &slot)) {
        case MARK_HERE:
            value = mark_load(mark_slot_value(tables[i], slot));
            if ((value & GRAY_SLOT_MOVED) == 0) {
                return value;
            }
            break;
        case MARK_FREE:
            return 0;
        default:
            break;
        }
    }
    return 0;
}

void scope_kept(struct scope *scope, const struct journal_scope *kept)
{
    if (kept != &scope->kept) {
        scope->kept = *kept;
    }
    scope->known = true;
    atomic_store(&scope->last, kept->last);
    atomic_store(&scope->closed, (kept->state & JOURNAL_SCOPE_CLOSED) != 0);
}

/* ---- the journal ----------------------------------------------------------------- */

static int load_scope(void *context, const struct journal_scope *kept)
{
    struct marks *marks = context;
    struct scope *scope = scope_make(marks, kept->scope);

    if (scope == NULL) {
        return -ENOMEM;
    }
    scope_kept(scope, kept);
    return 0;
}

static int load_ring(void *context, const struct journal_ring *ring)
{
    struct marks *marks = context;

    marks->rings[ring->number] = *ring;
    return 0;
}

int scopes_load(struct marks *marks, struct gray_problem *ret_problem)
{
    int error = journal_scopes(&marks->journal, load_scope, marks,
                               ret_problem);

    if (error == 0) {
        error = journal_rings(&marks->journal, load_ring, marks, ret_problem);
    }
    return error == -ENOMEM
               ? runtime_problem_set(ret_problem, ENOMEM, "memory",
                                     "Out of memory.")
               : error;
}

int scopes_keep(struct marks *marks, struct scope *const *scopes, size_t count,
                struct gray_problem *ret_problem)
{
    struct journal_batch what = {.scopes = calloc(count + 1,
                                                  sizeof(*what.scopes))};
    int error = 0;

    if (what.scopes == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    for (size_t i = 0; i < count; i++) {
        what.scopes[what.scope_count++] = scopes[i]->kept;
    }
    if (count > 0) {
        error = atomic_load(&marks->writer) == GRAY_WRITER_FAILED
                    ? runtime_problem_set(ret_problem, EIO, "marks-failed",
                                          "The journal of marks takes nothing "
                                          "until grayd is started again.")
                    : journal_append(&marks->journal, &what, ret_problem);
        if (error != 0 && atomic_load(&marks->writer) != GRAY_WRITER_FAILED) {
            marks_trouble(marks,
                          error == -ENOSPC ? GRAY_WRITER_FULL
                                           : GRAY_WRITER_FAILED,
                          ret_problem);
        }
    }
    free(what.scopes);
    for (size_t i = 0; error == 0 && i < count; i++) {
        scope_kept(scopes[i], &scopes[i]->kept);
    }
    return error;
}

/* ---- words and tables --------------------------------------------------------------- */

static struct gray_scope_word *word_of(const struct marks *marks,
                                       uint64_t scope)
{
    struct gray_control *control = marks->folder.control;
    uint32_t count = __atomic_load_n(&control->word_count, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; i < count && i < GRAY_WORDS_MAX; i++) {
        if (__atomic_load_n(&control->words[i].scope, __ATOMIC_ACQUIRE) ==
            scope) {
            return &control->words[i];
        }
    }
    return NULL;
}

uint32_t scope_word(const struct marks *marks, const struct scope *scope)
{
    const struct gray_scope_word *word =
        marks->folder.control != NULL ? word_of(marks, scope->scope) : NULL;

    return word != NULL ? __atomic_load_n(&word->word, __ATOMIC_ACQUIRE) &
                              GRAY_WORD_MASK
                        : GRAY_WORD_KILLED;
}

/* Maps one table for writing, into *ret_table. */
static int table_open(const struct marks *marks, uint64_t scope,
                      uint32_t number, struct gray_mark_table *ret_table,
                      struct gray_problem *ret_problem)
{
    int error = gray_mark_table_open(ret_table, marks->marks_fd, scope, number,
                                     geteuid(), true, ret_problem);

    if (error == 0 && !ret_table->writable) {
        gray_mark_table_close(ret_table);
        error = runtime_problem_set(ret_problem, EPERM, "not-writable",
                                    "A mark table cannot be written.");
    }
    return error;
}

static void tables_put(struct marks *marks, struct scope *scope,
                       struct gray_mark_table *table, uint32_t number,
                       struct gray_mark_table *next, uint32_t next_number)
{
    pthread_rwlock_wrlock(&marks->maps);
    gray_mark_table_close(&scope->marks.table);
    gray_mark_table_close(&scope->marks.next);
    scope->marks.table = *table;
    scope->table = number;
    memset(&scope->marks.next, 0, sizeof(scope->marks.next));
    if (next != NULL) {
        scope->marks.next = *next;
    }
    scope->next = next_number;
    pthread_rwlock_unlock(&marks->maps);
}

/* The highest number of a table's file, whatever `control` says. */
static uint32_t number_highest(const struct marks *marks, uint64_t scope)
{
    char stem[24];
    size_t length = (size_t)snprintf(stem, sizeof(stem), "%016llx.",
                                     (unsigned long long)scope);
    int fd = openat(marks->folder.dirfd, "marks",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    uint32_t highest = 0;

    if (dir == NULL) {
        runtime_fd_close(&fd);
        return 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, stem, length) == 0) {
            unsigned long number = strtoul(entry->d_name + length, NULL, 10);

            if (number > highest && number < UINT32_MAX - 1) {
                highest = (uint32_t)number;
            }
        }
    }
    closedir(dir);
    return highest;
}

/* A new table as the journal has the scope, named in `control`. */
static int table_make(struct marks *marks, struct scope *scope,
                      struct gray_problem *ret_problem)
{
    const struct journal_scope *kept = &scope->kept;
    struct gray_mark_table_options options = {
        .scope = scope->scope,
        .instance = kept->instance,
        .sip_key = {kept->sip_key[0], kept->sip_key[1]},
        .revision = kept->revision,
        .began = kept->began,
        .name = kept->name,
        .number = number_highest(marks, scope->scope) + 1,
        .slot_size = kept->slot_size,
        .state = (kept->state & JOURNAL_SCOPE_LOST) != 0 ? GRAY_TABLE_BROKEN
                 : kept->records > 0                     ? GRAY_TABLE_REBUILDING
                                                         : GRAY_TABLE_READY,
        .marks = kept->records > GRAY_MARKS_FIRST ? kept->records
                                                  : GRAY_MARKS_FIRST,
        .group = marks->group,
    };
    struct gray_mark_table table = {0};
    struct gray_scope_word *word;
    int error = 0;

    if (gray_word_number(&marks->folder, scope->scope) == GRAY_NONE) {
        return runtime_problem_set(ret_problem, ENOSPC, "words-full",
                                   "The folder has no word left for %s.",
                                   kept->name);
    }
    /* What is not the journal's is nobody's from here on. */
    word = word_of(marks, scope->scope);
    if (word != NULL &&
        (__atomic_load_n(&word->table, __ATOMIC_ACQUIRE) != 0 ||
         __atomic_load_n(&word->next, __ATOMIC_ACQUIRE) != 0)) {
        error = gray_marks_drop(&marks->folder, scope->scope, true,
                                ret_problem);
    }
    error = error != 0 ? error
                       : gray_mark_table_make(marks->marks_fd, &options,
                                              ret_problem);
    error = error != 0 ? error
                       : table_open(marks, scope->scope, options.number,
                                    &table, ret_problem);
    error = error != 0 ? error
                       : gray_marks_name(&marks->folder, scope->scope,
                                         options.number, ret_problem);
    if (error != 0) {
        gray_mark_table_close(&table);
        return error;
    }
    tables_put(marks, scope, &table, options.number, NULL, 0);
    scope->rebuild = options.state == GRAY_TABLE_REBUILDING;
    scope->swept = true;
    scope->ahead = false;
    return 0;
}

/* What `control` names: 1 it is kept, 0 there is none to be kept. */
static int table_keep(struct marks *marks, struct scope *scope)
{
    const struct gray_scope_word *word = word_of(marks, scope->scope);
    struct gray_mark_table table = {0}, next = {0};
    uint32_t number, next_number;

    if (word == NULL) {
        return 0;
    }
    number = __atomic_load_n(&word->table, __ATOMIC_ACQUIRE);
    next_number = __atomic_load_n(&word->next, __ATOMIC_ACQUIRE);
    if (number == 0 ||
        table_open(marks, scope->scope, number, &table, NULL) != 0) {
        return 0;
    }
    if (gray_mark_table_state(&table) != GRAY_TABLE_READY ||
        (scope->known &&
         (table.file->instance != scope->kept.instance ||
          table.file->slot_size != scope->kept.slot_size)) ||
        (next_number != 0 &&
         table_open(marks, scope->scope, next_number, &next, NULL) != 0)) {
        gray_mark_table_close(&table);
        return 0;
    }
    if (scope->table == 0) {
        ahead_table(marks, scope);
    }
    tables_put(marks, scope, &table, number,
               next_number != 0 ? &next : NULL, next_number);
    scope->rebuild = false;
    return 1;
}

int scopes_remap(struct marks *marks, struct scope *scope,
                 struct gray_problem *ret_problem)
{
    return table_keep(marks, scope) == 1
               ? 0
               : runtime_problem_set(ret_problem, EIO, "no-table",
                                     "Its tables cannot be mapped.");
}

int scopes_attach(struct marks *marks, struct gray_problem *ret_problem)
{
    int error = 0;

    for (size_t i = 0; i < PLACES && error == 0; i++) {
        struct scope *scope = marks->scopes[i];

        if (scope != NULL && scope->known && scope->table == 0 &&
            word_of(marks, scope->scope) != NULL &&
            table_keep(marks, scope) == 0) {
            error = table_make(marks, scope, ret_problem);
        }
    }
    return error;
}

/* ---- prepare -------------------------------------------------------------------------- */

/* What the journal is to keep of a new scope. */
static int begin(struct marks *marks, struct scope *scope,
                 const struct marks_scope *wanted, uint64_t revision,
                 struct gray_problem *ret_problem)
{
    struct journal_scope *kept = &scope->kept;
    const struct gray_marks_file *file;
    int error;

    kept->scope = scope->scope;
    memcpy(kept->name, wanted->name, sizeof(kept->name));
    if (table_keep(marks, scope) == 1) { /* of `gray publish` */
        file = scope->marks.table.file;
        kept->instance = file->instance;
        memcpy(kept->sip_key, file->sip_key, sizeof(kept->sip_key));
        kept->revision = file->header.revision;
        kept->began = file->began;
        kept->slot_size = file->slot_size;
        return 0;
    }
    /* An empty table would say of everybody who is in that they are not. */
    if (marks->lost && (wanted->durability == GRAY_DURABLE_STRICT ||
                        wanted->stickiness == GRAY_STICKY_ENTITY)) {
        kept->state |= JOURNAL_SCOPE_LOST;
        grayd_log(LOG_LEVEL_ERROR, "marks-lost",
                  "%s went on before, and its journal of marks is gone, with "
                  "the tables: nobody's mark is known. Put %s/marks back from "
                  "a copy and start grayd again; else end the release and "
                  "begin one of another name",
                  wanted->name, marks->state);
    }
    kept->slot_size = (wanted->flags & GRAY_MARKS_WIDE) != 0 ? 32 : 16;
    kept->revision = revision;
    kept->began = marks->now_ms();
    error = runtime_file_random(&kept->instance, sizeof(kept->instance),
                                ret_problem);
    return error != 0 ? error
                      : runtime_file_random(kept->sip_key,
                                            sizeof(kept->sip_key),
                                            ret_problem);
}

static bool follow(struct scope *scope, const struct marks_scope *wanted)
{
    struct journal_scope *kept = &scope->kept;
    bool same = kept->attempt == wanted->attempt &&
                kept->stickiness == wanted->stickiness &&
                kept->durability == wanted->durability &&
                kept->flags == wanted->flags &&
                kept->variants == wanted->variants;

    kept->attempt = wanted->attempt;
    kept->stickiness = wanted->stickiness;
    kept->durability = wanted->durability;
    kept->flags = wanted->flags;
    kept->variants = wanted->variants;
    return !same;
}

int scopes_prepare(struct marks *marks, const struct marks_scope *wanted,
                   size_t count, uint64_t revision,
                   struct gray_problem *ret_problem)
{
    struct scope **changed = calloc(count + 1, sizeof(*changed));
    size_t changes = 0;
    int error = 0;

    if (changed == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    for (size_t i = 0; i < PLACES; i++) {
        if (marks->scopes[i] != NULL) {
            marks->scopes[i]->listed = false;
        }
    }
    for (size_t i = 0; i < count && error == 0; i++) {
        struct scope *scope = scope_make(marks, wanted[i].scope);

        if (scope == NULL) {
            error = runtime_problem_set(ret_problem, ENOMEM, "memory",
                                        "There are too many mark scopes.");
            break;
        }
        if (!scope->known) {
            error = begin(marks, scope, &wanted[i], revision, ret_problem);
        }
        if (error == 0 && (follow(scope, &wanted[i]) || !scope->known)) {
            changed[changes++] = scope;
        }
        scope->listed = true;
    }
    error = error != 0 ? error
                       : scopes_keep(marks, changed, changes, ret_problem);
    /* Whoever is in is served, whatever the journal takes now. */
    for (size_t i = 0; i < count; i++) {
        struct scope *scope = scope_find(marks, wanted[i].scope);
        int made = 0;

        if (scope != NULL && scope->table == 0 &&
            table_keep(marks, scope) == 0 && scope->known) {
            made = table_make(marks, scope, error == 0 ? ret_problem : NULL);
        }
        error = error != 0 ? error : made;
    }
    marks->lost = marks->lost && error != 0;
    marks->revision = revision;
    free(changed);
    return error;
}

void scopes_again(struct marks *marks)
{
    int64_t now = marks_monotonic_ms();

    if (!marks->unprepared || now < marks->prepare_at ||
        marks->drained == NULL ||
        atomic_load(&marks->writer) != GRAY_WRITER_OK) {
        return;
    }
    marks->prepare_at = now + MARKS_PREPARE_MS;
    marks->unprepared = scopes_prepare(marks, marks->wanted,
                                       marks->wanted_count, marks->revision,
                                       NULL) != 0;
}

/* ---- after a kill ------------------------------------------------------------------------ */

static int redo_one(void *context, uint64_t sequence,
                    const struct record *record, enum record_belief belief)
{
    struct marks *marks = context;
    struct scope *scope = scope_find(marks, record->head.scope);
    struct gray_mark_key key = {{record->head.key[0], record->head.key[1]}};
    uint64_t to = record->head.value, value, found;
    enum gray_slot_state state;

    (void)sequence;
    if (belief != RECORD_GOOD || scope == NULL || !scope_ready(scope)) {
        return 0; /* a rebuild says what is to be done */
    }
    value = scope_peek(scope, key);
    state = gray_slot_state(value);
    if (value == to || record->head.kind == RECORD_VOID) {
        return 0; /* nor is it void who took it again since */
    }
    if (record->head.kind != RECORD_ADMIT
            ? gray_slot_attempt(value) <= gray_slot_attempt(to)
            /* else taken again since, in a later attempt */
            : (state == GRAY_SLOT_PENDING || state == GRAY_SLOT_IN ||
               state == GRAY_SLOT_OUT) &&
                  slot_with(value, gray_slot_state(to), true) == to) {
        gray_mark_move(&scope->marks, key, value, to, GRAY_BY_WRITER, &found);
    } else if (record->head.kind == RECORD_ADMIT &&
               (value & GRAY_SLOT_DURABLE) == 0 &&
               marks->void_count < JOURNAL_BATCH_MAX) {
        /* Voided by its waiter while the writer died. */
        marks->voids[marks->void_count].scope = scope;
        marks->voids[marks->void_count].key = key;
        marks->voids[marks->void_count++].value = to;
    }
    return 0;
}

void scopes_redo(struct marks *marks)
{
    /* An older journal's last one was overtaken long ago. */
    if (marks->journal.last > 0 && !marks->behind) {
        journal_records(&marks->journal, marks->journal.first, false, redo_one,
                        marks, NULL);
    }
}
