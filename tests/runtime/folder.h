/* SPDX-License-Identifier: Apache-2.0
 * folder.h - a runtime folder of its own for each test.
 *
 * Why: the tests of runtime/ want real files on a real tmpfs, made by the real
 * compiler, and want them gone afterwards.
 * Read next: test_publish.c.
 */
#ifndef GRAY_TESTS_RUNTIME_FOLDER_H
#define GRAY_TESTS_RUNTIME_FOLDER_H

#include "policy/policy.h"
#include "runtime/internal.h"

/* Makes an empty folder under /dev/shm; its path lies in ret_path. */
void folder_new(char ret_path[64]);
/* Removes it with all that is in it. */
void folder_remove(const char *path);

/* Compiles documents; stops the test with the findings when they are bad. */
void documents_compile(const char *text, uint64_t revision,
                       struct gray_compiled *ret_compiled);
/* Compiles and publishes; what gray_publish() returns. */
int documents_publish(const char *path, const char *text, uint64_t revision,
                      struct gray_problem *ret_problem);
/* The documents of most tests: service cart with v1 and v2, release cart-2
 * with this share in percent, by cookie uid, and a list of testers. */
void shop_text(char *buffer, size_t size, const char *share);
/* Publishes these. */
void shop_publish(const char *path, const char *share, uint64_t revision);

/* The same for an instant of the wall clock; fails the test when refused. */
struct gray_published shop_publish_at(const char *path, const char *share,
                                      uint64_t revision, int64_t effective_at,
                                      uint16_t max_skew);

/* Bytes of a file of the folder; malloc'd. */
void *file_bytes(const char *path, const char *name, size_t *ret_size);
/* Puts a file there as a publisher would: aside, then by rename. */
void file_replace(const char *path, const char *name, const void *bytes,
                  size_t size);
/* Is it there? */
bool file_exists(const char *path, const char *name);
/* How many names of the folder end so. */
size_t files_ending(const char *path, const char *suffix);

/* A request by cookie uid through the view: is it in cart-2?  -1: no view. */
int view_admits(const struct gray_runtime *runtime, const char *uid);

#endif
