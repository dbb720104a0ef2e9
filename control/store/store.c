/* SPDX-License-Identifier: Apache-2.0
 * store.c - the store as grayd sees it: checks every size, then asks a driver.
 *
 * Why: limits and the meaning of a batch are the same whatever keeps it, so
 * they are checked here and no driver checks them again.
 * Read next: driver.h, store_sqlite.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/store/driver.h"

struct store {
    const struct store_driver *driver;
    void *state;
    _Atomic uint64_t commits, refused, failed;
};
struct store_reader {
    const struct store_driver *driver;
    void *state;
    bool reading; /* a call is under way: its visit may not begin another */
};

static const char *const space_words[] = {
#define STORE_SPACE(NAME, word, doc) word,
#include "control/store/spaces.def"
#undef STORE_SPACE
};

const char *store_space_word(enum store_space space)
{
    return (unsigned)space < STORE_SPACE_COUNT ? space_words[space] : "?";
}

int store_problem_set(struct gray_problem *problem, int error,
                      const char *code, const char *format, ...)
{
    va_list arguments;

    if (problem != NULL) {
        problem->code = code;
        problem->offset = 0;
        va_start(arguments, format);
        vsnprintf(problem->sentence, sizeof(problem->sentence), format,
                  arguments);
        va_end(arguments);
    }
    return -error;
}

/* ---- open ------------------------------------------------------------------ */

static int folder_check(const char *folder, struct gray_problem *ret_problem)
{
    if (folder == NULL || folder[0] == '\0' ||
        strnlen(folder, STORE_FOLDER_MAX + 1) > STORE_FOLDER_MAX) {
        return store_problem_set(ret_problem, EINVAL, "bad-folder",
                                 "The path of the store's folder has 1 to %u "
                                 "bytes.",
                                 STORE_FOLDER_MAX);
    }
    return 0;
}

int store_open(struct store **ret_store, const char *folder,
               struct gray_problem *ret_problem)
{
    struct store *store;
    int error = folder_check(folder, ret_problem);

    if (error != 0) {
        return error;
    }
    store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return store_problem_set(ret_problem, ENOMEM, "no-memory",
                                 "No memory for the store.");
    }
    store->driver = &store_sqlite_driver;
    error = store->driver->open(&store->state, folder, ret_problem);
    if (error != 0) {
        free(store);
        return error;
    }
    *ret_store = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store != NULL) {
        store->driver->close(store->state);
        free(store);
    }
}

int store_reader_open(struct store_reader **ret_reader, const char *folder,
                      struct gray_problem *ret_problem)
{
    struct store_reader *reader;
    int error = folder_check(folder, ret_problem);

    if (error != 0) {
        return error;
    }
    reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return store_problem_set(ret_problem, ENOMEM, "no-memory",
                                 "No memory for a reader of the store.");
    }
    reader->driver = &store_sqlite_driver;
    error = reader->driver->reader_open(&reader->state, folder, ret_problem);
    if (error != 0) {
        free(reader);
        return error;
    }
    *ret_reader = reader;
    return 0;
}

void store_reader_close(struct store_reader *reader)
{
    if (reader != NULL) {
        reader->driver->reader_close(reader->state);
        free(reader);
    }
}

/* ---- write ------------------------------------------------------------------ */

static int bad_batch(struct gray_problem *ret_problem, const char *sentence)
{
    return store_problem_set(ret_problem, EINVAL, "bad-batch", "%s", sentence);
}

static int name_check(enum store_space space, const char *name,
                      struct gray_problem *ret_problem)
{
    if ((unsigned)space >= STORE_SPACE_COUNT) {
        return bad_batch(ret_problem, "There is no such space.");
    }
    if (name == NULL || name[0] == '\0' ||
        strnlen(name, STORE_NAME_MAX + 1) > STORE_NAME_MAX) {
        return store_problem_set(ret_problem, EINVAL, "bad-batch",
                                 "The name of an item has 1 to %u bytes.",
                                 STORE_NAME_MAX);
    }
    return 0;
}

static int text_check(const char *text, size_t length,
                      struct gray_problem *ret_problem)
{
    if (length > STORE_TEXT_MAX) {
        return store_problem_set(ret_problem, EINVAL, "bad-batch",
                                 "A text has %zu bytes, at most %u are kept.",
                                 length, STORE_TEXT_MAX);
    }
    if (memchr(text, '\0', length) != NULL) {
        return bad_batch(ret_problem, "A text may not contain a NUL byte.");
    }
    return 0;
}

static int word_check(const char *word, size_t limit, const char *what,
                      struct gray_problem *ret_problem)
{
    if (word == NULL || word[0] == '\0' || strnlen(word, limit + 1) > limit) {
        return store_problem_set(ret_problem, EINVAL, "bad-batch",
                                 "%s has 1 to %zu bytes.", what, limit);
    }
    return 0;
}

static int puts_check(const struct store_batch *batch,
                      struct gray_problem *ret_problem)
{
    size_t i;
    int error;

    for (i = 0; i < batch->put_count; i++) {
        const struct store_put *put = &batch->puts[i];

        error = name_check(put->space, put->name, ret_problem);
        if (error == 0 && put->text != NULL) {
            error = text_check(put->text, put->length, ret_problem);
        }
        if (error != 0) {
            return error;
        }
    }
    for (i = 0; i < batch->audit_count; i++) {
        const struct store_audit *audit = &batch->audits[i];

        if (audit->text == NULL || audit->length == 0) {
            return bad_batch(ret_problem, "An audit record has no text.");
        }
        error = text_check(audit->text, audit->length, ret_problem);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int batch_check(const struct store_batch *batch,
                       struct gray_problem *ret_problem)
{
    const struct store_answer *answer = batch->answer;
    int error = puts_check(batch, ret_problem);
    size_t i;

    for (i = 0; error == 0 && i < batch->effect_count; i++) {
        error = word_check(batch->effects[i].kind, STORE_KIND_MAX,
                           "The kind of an effect", ret_problem);
        if (error == 0) {
            error = word_check(batch->effects[i].text, STORE_TEXT_MAX,
                               "The text of an effect", ret_problem);
        }
    }
    if (error == 0 && answer != NULL) {
        error = word_check(answer->key, STORE_KEY_MAX,
                           "The key of an answer", ret_problem);
        if (error == 0 && answer->body == NULL) {
            error = bad_batch(ret_problem, "An answer has no body.");
        }
        if (error == 0) {
            error = text_check(answer->body,
                               strnlen(answer->body, STORE_TEXT_MAX + 1),
                               ret_problem);
        }
    }
    return error;
}

int store_commit(struct store *store, const struct store_batch *batch,
                 uint64_t *ret_revision, struct gray_problem *ret_problem)
{
    int error = batch_check(batch, ret_problem);

    if (error == 0) {
        error = store->driver->commit(store->state, batch, ret_revision,
                                      ret_problem);
    }
    if (error == 0) {
        store->commits++;
    } else if (error == -EAGAIN || error == -EINVAL) {
        store->refused++;
    } else {
        store->failed++;
    }
    return error;
}

void store_count(const struct store *store, struct store_counts *ret_counts)
{
    ret_counts->commits = store->commits;
    ret_counts->refused = store->refused;
    ret_counts->failed = store->failed;
}

/* ---- read -------------------------------------------------------------------- */

static int read_begin(struct store_reader *reader, int error,
                      struct gray_problem *ret_problem)
{
    if (error == 0 && reader->reading) {
        error = store_problem_set(ret_problem, EINVAL, "nested-read",
                                  "A visit may not read with the reader that "
                                  "visits.");
    }
    reader->reading = reader->reading || error == 0;
    return error;
}

static int read_end(struct store_reader *reader, int result)
{
    reader->reading = false;
    return result;
}

int store_read_head(struct store_reader *reader, struct store_head *ret_head,
                    struct gray_problem *ret_problem)
{
    int error = read_begin(reader, 0, ret_problem);

    if (error != 0) {
        return error;
    }
    return read_end(reader, reader->driver->read_head(reader->state, ret_head,
                                                      ret_problem));
}

int store_revision_at(struct store_reader *reader, int64_t at,
                      uint64_t *ret_revision, struct gray_problem *ret_problem)
{
    int error = read_begin(reader, 0, ret_problem);

    if (error != 0) {
        return error;
    }
    return read_end(reader,
                    reader->driver->read_revision_at(reader->state, at,
                                                     ret_revision,
                                                     ret_problem));
}

int store_read_item(struct store_reader *reader, enum store_space space,
                    const char *name, uint64_t revision, store_visit *visit,
                    void *context, struct gray_problem *ret_problem)
{
    int error = read_begin(reader, name_check(space, name, ret_problem),
                           ret_problem);

    if (error != 0) {
        return error;
    }
    return read_end(reader,
                    reader->driver->read_item(reader->state, space, name,
                                              revision, visit, context,
                                              ret_problem));
}

int store_read_items(struct store_reader *reader, enum store_space space,
                     uint64_t revision, const char *after, size_t limit,
                     store_visit *visit, void *context,
                     struct gray_problem *ret_problem)
{
    int error = name_check(space, after == NULL ? "a" : after, ret_problem);

    error = read_begin(reader, error, ret_problem);
    if (error != 0) {
        return error;
    }
    return read_end(reader,
                    reader->driver->read_items(reader->state, space, revision,
                                               after, limit, visit, context,
                                               ret_problem));
}

int store_read_history(struct store_reader *reader, enum store_space space,
                       const char *name, uint64_t before, size_t limit,
                       store_visit *visit, void *context,
                       struct gray_problem *ret_problem)
{
    int error = read_begin(reader, name_check(space, name, ret_problem),
                           ret_problem);

    if (error != 0) {
        return error;
    }
    return read_end(reader,
                    reader->driver->read_history(reader->state, space, name,
                                                 before, limit, visit, context,
                                                 ret_problem));
}

int store_read_audit(struct store_reader *reader, uint64_t from, size_t limit,
                     store_record_visit *visit, void *context,
                     struct gray_problem *ret_problem)
{
    int error = read_begin(reader, 0, ret_problem);

    if (error != 0) {
        return error;
    }
    return read_end(reader,
                    reader->driver->read_audit(reader->state, from, limit,
                                               visit, context, ret_problem));
}

int store_read_pending(struct store_reader *reader, store_pending_visit *visit,
                       void *context, struct gray_problem *ret_problem)
{
    int error = read_begin(reader, 0, ret_problem);

    if (error != 0) {
        return error;
    }
    return read_end(reader,
                    reader->driver->read_pending(reader->state, visit, context,
                                                 ret_problem));
}

int store_read_answer(struct store_reader *reader, const char *key,
                      struct store_answer *ret_answer,
                      struct gray_problem *ret_problem)
{
    int error = word_check(key, STORE_KEY_MAX, "The key of an answer",
                           ret_problem);

    error = read_begin(reader, error, ret_problem);
    if (error != 0) {
        return error;
    }
    return read_end(reader,
                    reader->driver->read_answer(reader->state, key, ret_answer,
                                                ret_problem));
}
