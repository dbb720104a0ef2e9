/* SPDX-License-Identifier: Apache-2.0
 * client.h - what remote.c and listen.c share of libcurl.
 *
 * Why: one asks and gets an answer, the other listens without an end; who is
 * asked, as whom and within which limits is the same.
 */
#ifndef GRAY_CLI_CLIENT_H
#define GRAY_CLI_CLIENT_H

#include <curl/curl.h>

#include "cli/remote.h"

struct remote {
    CURL *curl;
    struct server server;
    bool json;   /* -o json: problems are printed too */
    unsigned hurry; /* give up after so many seconds; 0: no hurry */
    bool cannot_keep; /* it answered that its store takes nothing */
    time_t date; /* of the last answer; -1: none */
    char error[CURL_ERROR_SIZE];
};
/* Limits, place and identity of every call. */
void client_prepare(struct remote *remote);
/* Appends "NAME: VALUE"; value NULL: nothing. */
struct curl_slist *client_header(struct curl_slist *headers, const char *name,
                                 const char *value);
/* grayd has not seen the call. */
bool client_never_arrived(CURLcode code);
/* Says that nobody answers, and what to do; CLI_EXIT_UNREACHABLE. */
int client_unreachable(const struct remote *remote, CURLcode code);

#endif
