/* SPDX-License-Identifier: Apache-2.0
 * client_fork.c - what becomes of a handle in a child of fork().
 *
 * Why: a file in readers/ says "this process lives, and has seen that much".
 * A child that went on with its parent's would push into the same ring, take
 * its wakes, and keep its lock beyond its death, so that a freeze would wait
 * for somebody who is dead.  So in the child the parent's file is let go at
 * once, whether the handle is used there or not, and the first call registers
 * the child with a file of its own (libgray.c).  Threads that were inside a
 * call are not in the child, so nobody is counted there; what one of them was
 * just loading is lost memory, not more.
 * Children of vfork(), posix_spawn() and bare clone() are not noticed: they
 * may only exec.
 * Read next: libgray.c, slot.c.
 */
#include <string.h>

#include "runtime/client.h"

/* The one thing that all handles of a process share. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct gray_client *list;

static void before_fork(void)
{
    struct gray_client *client;

    pthread_mutex_lock(&list_lock);
    for (client = list; client != NULL; client = client->next) {
        /* Whoever loads may wait long for others: no fork waits for that. */
        client->locked = pthread_mutex_trylock(&client->loading) == 0;
    }
}

static void after_in_parent(void)
{
    struct gray_client *client;

    for (client = list; client != NULL; client = client->next) {
        if (client->locked) {
            pthread_mutex_unlock(&client->loading);
        }
    }
    pthread_mutex_unlock(&list_lock);
}

static void orphan(struct gray_client *client)
{
    uint32_t i;

    if (client->locked) {
        pthread_mutex_unlock(&client->loading);
    } else {
        pthread_mutex_init(&client->loading, NULL); /* its owner is not here */
    }
    for (i = 0; i < CLIENT_STRIPES; i++) {
        memset(client->stripes[i].inside, 0, sizeof(client->stripes[i].inside));
    }
    runtime_reader_slot_orphan(&client->runtime->slot);
    client->pool = NULL; /* its threads are the parent's */
    runtime_client_seed(client);
    client->orphan = CLIENT_ORPHAN;
}

static void after_in_child(void)
{
    struct gray_client *client;

    for (client = list; client != NULL; client = client->next) {
        orphan(client);
    }
    pthread_mutex_unlock(&list_lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_in_parent, after_in_child);
}

void runtime_forks_hold(void)
{
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&list_lock);
}

void runtime_forks_release(void)
{
    pthread_mutex_unlock(&list_lock);
}

void runtime_client_watch(struct gray_client *client)
{
    client->next = list;
    list = client;
}

void runtime_client_forget(struct gray_client *client)
{
    struct gray_client **at;

    for (at = &list; *at != NULL; at = &(*at)->next) {
        if (*at == client) {
            *at = client->next;
            return;
        }
    }
}
