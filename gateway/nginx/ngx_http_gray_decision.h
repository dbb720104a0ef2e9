/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_decision.h - one request's decision, while it is made.
 *
 * Why: reading a request, deciding and writing it anew are files of their own,
 * but one moment: they share what lies on the stack meanwhile, and nobody else
 * sees it.  What stays afterwards is the record in ngx_http_gray_module.h.
 *
 *   _incoming.c, _headers.c -> decide (_colour.c) -> _outcome.c, _cookie.c
 *                                                 -> _rewrite.c
 *                          -> _wait.c -> decide, afresh
 * Read next: ngx_http_gray_colour.c.
 */


#ifndef _NGX_HTTP_GRAY_DECISION_H_INCLUDED_
#define _NGX_HTTP_GRAY_DECISION_H_INCLUDED_


#include "ngx_http_gray_module.h"


/* headers of ours, as one pass over the request's finds them */

typedef struct {
    ngx_http_request_t          *request;
    ngx_http_gray_srv_conf_t    *conf;
    struct gray_input           *input;      /* NULL: nothing to decide */

    ngx_table_elt_t             *lane;
    ngx_table_elt_t             *context;
    ngx_table_elt_t             *alias;
    ngx_table_elt_t             *baggage;    /* the one with gray members */
    ngx_table_elt_t             *carrier;    /* the first baggage */

    ngx_str_t                    cookie;     /* value of our own cookie */
    ngx_array_t                 *forged;     /* of ngx_table_elt_t * */

    ngx_uint_t                   dropped;

    unsigned                     tls:1;
    unsigned                     duplicate:1;
    unsigned                     stripped:1;

    struct gray_carried          carried;    /* last: not cleared */
} ngx_http_gray_scan_t;


/* what the engine asks about earlier admissions */

typedef struct {
    ngx_http_gray_worker_t      *worker;
    const struct gray_snapshot  *policy;
    ngx_str_t                    value;
    const struct gray_cookie    *cookie;     /* NULL: none, or a bad one */
    ngx_http_gray_remembered_t  *known;      /* that it is of */
    unsigned                     tls:1;
    unsigned                     read:1;
} ngx_http_gray_evidence_t;


/* a decision, while it is made: lives on the stack of one event */

typedef struct {
    ngx_http_request_t          *request;
    ngx_http_gray_srv_conf_t    *conf;
    ngx_http_gray_worker_t      *worker;
    ngx_http_gray_ctx_t         *ctx;
    const struct gray_view      *view;
    uint32_t                     entrance;
    uint64_t                     anonymous;
    char                         issued[17];
    struct gray_str              lane;       /* that came in */
    struct gray_str              arms;
    enum gray_class              traffic_class;
    struct gray_context          context;    /* filled when signed */
    ngx_http_gray_evidence_t     evidence;
    struct gray_colour           colour;
    struct gray_marked          *marked;     /* `own`, or the waiter's */
    struct gray_marked           own;
    struct gray_input            input;
    ngx_http_gray_scan_t         scan;
} ngx_http_gray_decision_t;


/* ngx_http_gray_colour.c */

ngx_int_t ngx_http_gray_duplicate(ngx_http_gray_decision_t *d)
    ngx_http_gray_seldom;

/* ngx_http_gray_incoming.c */

void ngx_http_gray_begin(ngx_http_gray_decision_t *d);
ngx_int_t ngx_http_gray_incoming(ngx_http_gray_decision_t *d);
ngx_int_t ngx_http_gray_named(ngx_http_gray_decision_t *d);
enum gray_class ngx_http_gray_class(struct gray_str word);

/* ngx_http_gray_headers.c */

void ngx_http_gray_init_headers(void);
ngx_int_t ngx_http_gray_scan(ngx_http_gray_scan_t *scan);

void ngx_http_gray_feed(ngx_http_gray_scan_t *scan);

/* ngx_http_gray_wait.c */

ngx_int_t ngx_http_gray_wait(ngx_http_gray_decision_t *d)
    ngx_http_gray_seldom;
ngx_int_t ngx_http_gray_recall(ngx_http_gray_decision_t *d)
    ngx_http_gray_seldom;
void ngx_http_gray_recall_marks(ngx_http_gray_decision_t *d)
    ngx_http_gray_seldom;

/* ngx_http_gray_outcome.c */

ngx_int_t ngx_http_gray_leave(ngx_http_gray_decision_t *d);

/* ngx_http_gray_rewrite.c */

void ngx_http_gray_init_rewrite(void);
void ngx_http_gray_drop(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h);
ngx_int_t ngx_http_gray_rewrite(ngx_http_gray_decision_t *d);

/* ngx_http_gray_cookie.c */

struct gray_mark ngx_http_gray_evidence(void *context,
    const struct gray_mark_query *query);
const struct gray_cookie *ngx_http_gray_read_cookie(
    ngx_http_gray_evidence_t *evidence);
void ngx_http_gray_forget(ngx_http_gray_worker_t *w);
ngx_int_t ngx_http_gray_issue(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx,
    ngx_http_gray_srv_conf_t *gscf, const struct gray_view *view,
    struct gray_input *in, const struct gray_colour *colour,
    ngx_http_gray_evidence_t *evidence, uint64_t anonymous);


#endif /* _NGX_HTTP_GRAY_DECISION_H_INCLUDED_ */
