/* SPDX-License-Identifier: Apache-2.0
 * rest.h - HTTP in front of the calls.
 *
 * Why: transport and nothing else: limits, identity, routing by the table,
 * queues, server-sent events.  Deny by default: a request reaches a handler
 * only through a route whose right its identity has; what no route knows is
 * 404 for everyone, and says nothing about what exists.
 * Loopback and a unix socket by default; another address needs TLS.
 * Read next: server.c, request.c, authorize.c, events.c.
 */
#ifndef GRAYD_REST_H
#define GRAYD_REST_H

#include "control/grayd.h"

#define REST_HEADERS_MAX 16384u      /* bytes of a request's header */
#define REST_BODIES_MAX (256u << 20) /* bytes of bodies being read, together */
#define REST_IDLE_S 15u              /* a connection that says nothing */
#define REST_EVENTS_MAX 2000u        /* watchers of /v1/events */
#define REST_EVENTS_BEHIND_MAX 10000u /* records behind: it is cut off, and
                                         resumes by Last-Event-ID */

/* Opens the listeners of grayd->options and starts the threads; after
 * control_start(). 0, or -1 with *ret_problem; rest_free() either way. */
int rest_start(struct grayd *grayd, struct gray_problem *ret_problem);
/* The port really bound (options may say 0); 0: no TCP listener. */
unsigned rest_port(const struct rest *rest);
/* Answers what waits, lets watchers go, stops listening. While the control
 * thread still runs. */
void rest_stop(struct grayd *grayd);
/* After control_stop(): until then news are told to it. */
void rest_free(struct grayd *grayd);

/* OpenAPI 3.1 of the route table. New reference. */
json_t *openapi_document(void);

#endif
