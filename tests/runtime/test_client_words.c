/* SPDX-License-Identifier: Apache-2.0
 * test_client_words.c - libgray says that it obeys a word when it does.
 *
 * Why: a freeze that has returned must be true of programs with many threads.
 * Read next: runtime/libgray.c.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/client.h"
#include "tests/runtime/marked.h"

static const struct marked_kind entity = { .stickiness = "entity" };

static void *poll_once(void *context)
{
    gray_client_poll(context);
    return NULL;
}

/* A call that began before a freeze may still say IN: until it has left, the
 * freeze is not acknowledged, and so does not return. */
static void words_are_acknowledged_when_no_call_is_left(void **state)
{
    const struct reader_file *file;
    uint64_t *inside, acknowledged;
    pthread_t thread;
    unsigned phase;
    struct gray_client *client;
    struct marked_world world;
    uint32_t i;

    (void)state;
    marked_begin(&world, &entity, GRAY_READER_CLI);
    assert_int_equal(gray_client_open(&client, world.path, NULL), 0);
    file = client->runtime->slot.file;
    phase = client->phase;
    inside = &client->stripes[3].inside[phase & 1];
    __atomic_store_n(inside, 1, __ATOMIC_SEQ_CST); /* a call, in the middle */
    acknowledged = file->word_epoch;
    word_set(&world, GRAY_WORD_NO_ADMIT);
    assert_int_equal(pthread_create(&thread, NULL, poll_once, client), 0);
    for (i = 0; i < 1000000 &&
                __atomic_load_n(&client->phase, __ATOMIC_SEQ_CST) == phase;
         i++) {
        sched_yield();
    }
    assert_int_equal(__atomic_load_n(&file->word_epoch, __ATOMIC_SEQ_CST),
                     acknowledged);
    __atomic_store_n(inside, 0, __ATOMIC_SEQ_CST);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(file->word_epoch, client->runtime->control->word_epoch);
    assert_true(file->word_epoch > acknowledged);
    gray_client_close(client);
    marked_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_acknowledged_when_no_call_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
