/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_colour.c - the first moment: strip, decide, colour.
 *
 * Why: a request is decided once, when nginx first knows whose it is, and
 * carries the answer through every redirect and subrequest from then on.  So
 * this runs in SERVER_REWRITE of the main request, after realip, and leaves
 * a record behind that is found again where r->ctx was zeroed.
 *
 *   scan headers -> two values of ours: 400
 *                -> colour that came in (signed, or of a trusted peer)
 *                -> decide -> explain, log, cookie -> rewrite headers
 *
 * Without a snapshot forgeries still go; under bypass nothing is touched.
 * Read next: ngx_http_gray_headers.c, engine/decide.c, ngx_http_gray_cookie.c.
 */


#include "ngx_http_gray_module.h"


/* a decision, while it is made */

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
    struct gray_input            input;
    ngx_http_gray_scan_t         scan;
} ngx_http_gray_decision_t;


static ngx_int_t ngx_http_gray_decide(ngx_http_gray_decision_t *d);
static void ngx_http_gray_begin(ngx_http_gray_decision_t *d);
static ngx_int_t ngx_http_gray_incoming(ngx_http_gray_decision_t *d);
static ngx_int_t ngx_http_gray_named(ngx_http_gray_decision_t *d);
static ngx_int_t ngx_http_gray_leave(ngx_http_gray_decision_t *d);
static ngx_int_t ngx_http_gray_rewrite(ngx_http_gray_decision_t *d);
static ngx_int_t ngx_http_gray_tell(ngx_http_gray_decision_t *d);


const struct gray_colour  ngx_http_gray_no_colour = {
    .lane = GRAY_NONE,
    .lane_rule = GRAY_NONE,
    .rule = GRAY_NONE,
    .bucket = GRAY_NONE,
    .release = GRAY_NONE
};


static void
ngx_http_gray_cleanup(void *data)
{
    /* only a name by which the record is found again */
}


ngx_http_gray_ctx_t *
ngx_http_gray_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *cln;
    ngx_http_gray_ctx_t  *ctx;

    r = r->main;
    ctx = NULL;

    if (r->internal || r->filter_finalize) {

        /* the context was zeroed by a redirect, the pool was not */

        for (cln = r->pool->cleanup; cln; cln = cln->next) {
            if (cln->handler == ngx_http_gray_cleanup) {
                ctx = cln->data;
                ngx_http_set_ctx(r, ctx, ngx_http_gray_module);
                break;
            }
        }
    }

    return ctx;
}


ngx_http_gray_ctx_t *
ngx_http_gray_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t   *cln;
    ngx_http_gray_ctx_t  *ctx;

    r = r->main;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_gray_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_gray_cleanup;

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_gray_ctx_t));
    ctx->bucket = GRAY_NONE;

    ngx_http_set_ctx(r, ctx, ngx_http_gray_module);

    return ctx;
}


ngx_str_t
ngx_http_gray_copy(ngx_pool_t *pool, struct gray_str text)
{
    ngx_str_t  copy;

    copy.len = 0;
    copy.data = NULL;

    if (text.length) {
        copy.data = ngx_pnalloc(pool, text.length);
        if (copy.data) {
            copy.len = text.length;
            ngx_memcpy(copy.data, text.data, text.length);
        }
    }

    return copy;
}


ngx_int_t
ngx_http_gray_colour_handler(ngx_http_request_t *r)
{
    enum gray_reason            reason;
    ngx_http_gray_srv_conf_t   *gscf;
    ngx_http_gray_decision_t    d;
    ngx_http_gray_main_conf_t  *gmcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    gscf = ngx_http_get_module_srv_conf(r, ngx_http_gray_module);

    if (!gscf->used) {
        return NGX_DECLINED;
    }

    if (r->internal && ngx_http_gray_get_ctx(r)) {
        return NGX_DECLINED;
    }

    gmcf = ngx_http_get_module_main_conf(r, ngx_http_gray_module);

    d.worker = gmcf->worker;

    if (d.worker == NULL) {
        return NGX_DECLINED;
    }

    reason = GRAY_REASON_NONE;

    d.request = r;
    d.conf = gscf;
    d.view = ngx_http_gray_view(d.worker, &reason);

    d.ctx = ngx_http_gray_create_ctx(r);
    if (d.ctx == NULL) {
        return NGX_ERROR;
    }

    d.ctx->reason = (uint8_t) reason;

    if (d.view == NULL) {
        ngx_http_gray_event(d.worker, GRAY_EVENT_NO_VIEW);

        if (reason == GRAY_REASON_BYPASS) {
            d.ctx->bypass = 1;
            return NGX_DECLINED;
        }
    }

    return ngx_http_gray_decide(&d);
}


static ngx_int_t
ngx_http_gray_decide(ngx_http_gray_decision_t *d)
{
    ngx_int_t              rc;
    ngx_http_gray_ctx_t   *ctx;
    ngx_http_gray_scan_t  *scan;

    ctx = d->ctx;
    scan = &d->scan;

    ngx_memzero(scan, offsetof(ngx_http_gray_scan_t, carried));

    scan->request = d->request;
    scan->conf = d->conf;

#if (NGX_HTTP_SSL)
    scan->tls = d->request->connection->ssl != NULL;
#endif

    if (d->view) {
        ngx_http_gray_begin(d);
        scan->input = &d->input;
    }

    if (ngx_http_gray_scan(scan) != NGX_OK) {
        return NGX_ERROR;
    }

    if (scan->duplicate) {
        ngx_http_gray_event(d->worker, GRAY_EVENT_DUPLICATE_CONTROL);

        ngx_log_error(NGX_LOG_INFO, d->request->connection->log, 0,
                      "gray: client sent two values of a control header");

        ngx_http_gray_log_refusal(d->request, d->conf->log,
                                  "duplicate-control", NULL, ctx);

        return NGX_HTTP_BAD_REQUEST;
    }

    rc = ngx_http_gray_incoming(d);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx->traffic_class = (uint8_t) d->traffic_class;

    if (d->view) {

        if (ngx_http_gray_named(d) != NGX_OK) {
            return NGX_ERROR;
        }

        gray_decide(d->view, d->entrance, &d->input,
                    scan->cookie.len ? ngx_http_gray_evidence : NULL,
                    &d->evidence, &d->colour, NULL);

        if (ngx_http_gray_leave(d) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {

        /* who may colour is obeyed by later hops, policy or not */

        ctx->lane = ngx_http_gray_copy(d->request->pool, d->lane);
        ctx->arms = ngx_http_gray_copy(d->request->pool, d->arms);
    }

    if (ctx->lane.len || ctx->arms.len || scan->baggage || scan->dropped
        || scan->lane || d->traffic_class != GRAY_CLASS_LIVE)
    {
        rc = ngx_http_gray_rewrite(d);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_DECLINED;
}


/* What the policy looks at, but for headers, which the scan feeds. */

static void
ngx_http_gray_begin(ngx_http_gray_decision_t *d)
{
    uint32_t             needs;
    ngx_http_request_t  *r;

    r = d->request;

    d->entrance = GRAY_NONE;

    if (d->conf->entrance) {

        if (d->conf->epoch != d->worker->epoch) {
            d->conf->epoch = d->worker->epoch;
            d->conf->entrance_number = 0;

            if (d->conf->entrance_name.len) {
                d->conf->entrance_number = gray_find_entrance(d->view->policy,
                                   ngx_http_gray_str(d->conf->entrance_name));

                /* no document speaks of it: what is for every entrance */

                if (d->conf->entrance_number == GRAY_NONE) {
                    d->conf->entrance_number = 0;
                }
            }
        }

        d->entrance = d->conf->entrance_number;
    }

    gray_input_begin(&d->input, d->view->policy, ngx_http_gray_now(),
                     ngx_http_gray_random(d->worker));

    needs = d->view->policy->policy->needs;

    if (needs & (1u << GRAY_SOURCE_METHOD)) {
        gray_input_method(&d->input, ngx_http_gray_str(r->method_name));
    }

    if (needs & (1u << GRAY_SOURCE_HOST)) {
        gray_input_host(&d->input, ngx_http_gray_str(r->headers_in.server));
    }

    if (needs & (1u << GRAY_SOURCE_PATH | 1u << GRAY_SOURCE_SEGMENT
                 | 1u << GRAY_SOURCE_QUERY | 1u << GRAY_SOURCE_GRPC_SERVICE
                 | 1u << GRAY_SOURCE_GRPC_METHOD))
    {
        gray_input_target(&d->input, ngx_http_gray_str(r->unparsed_uri));
    }
}


static void
ngx_http_gray_address(ngx_http_gray_decision_t *d)
{
    uint8_t               bytes[16];
    struct sockaddr      *sa;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    sa = d->request->connection->sockaddr;

    switch (sa->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        gray_input_address(&d->input, sin6->sin6_addr.s6_addr);
        return;
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        ngx_memzero(bytes, 10);
        bytes[10] = 0xff;
        bytes[11] = 0xff;
        ngx_memcpy(&bytes[12], &sin->sin_addr.s_addr, 4);
        gray_input_address(&d->input, bytes);
        return;
    }
}


static ngx_int_t
ngx_http_gray_attrs(ngx_http_gray_decision_t *d, ngx_array_t *attrs,
    enum gray_source source)
{
    ngx_str_t              value;
    ngx_uint_t             i;
    ngx_http_gray_attr_t  *attr;

    attr = attrs->elts;

    for (i = 0; i < attrs->nelts; i++) {

        if (ngx_http_complex_value(d->request, &attr[i].value, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (value.len == 0) {
            continue;
        }

        gray_input_named(&d->input, source, ngx_http_gray_str(attr[i].name),
                         ngx_http_gray_str(value));
    }

    return NGX_OK;
}


/* What the operator says about the request, and who asks. */

static ngx_int_t
ngx_http_gray_named(ngx_http_gray_decision_t *d)
{
    uint32_t                   needs;
    ngx_str_t                  value;
    struct gray_str            none, issued;
    const struct gray_cookie  *cookie;

    needs = d->view->policy->policy->needs;
    none.data = "";
    none.length = 0;

    if (d->conf->attrs && (needs & (1u << GRAY_SOURCE_ATTR))
        && ngx_http_gray_attrs(d, d->conf->attrs, GRAY_SOURCE_ATTR) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (d->conf->labels
        && ngx_http_gray_attrs(d, d->conf->labels, GRAY_SOURCE_LABEL)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (d->conf->caller && (needs & (1u << GRAY_SOURCE_CALLER))) {

        if (ngx_http_complex_value(d->request, d->conf->caller, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (value.len) {
            gray_input_named(&d->input, GRAY_SOURCE_CALLER, none,
                             ngx_http_gray_str(value));
        }
    }

    if (needs & (1u << GRAY_SOURCE_ADDRESS)) {
        ngx_http_gray_address(d);
    }

    if (d->lane.length || d->arms.length || d->traffic_class) {
        gray_input_colour(&d->input, d->lane, d->arms, d->traffic_class);
    }

    d->evidence.worker = d->worker;
    d->evidence.policy = d->view->policy;
    d->evidence.value = d->scan.cookie;
    d->evidence.cookie = NULL;
    d->evidence.tls = d->scan.tls;
    d->evidence.read = 0;

    d->anonymous = 0;

    if (!d->worker->anonymous || !d->conf->cookie) {
        return NGX_OK;
    }

    /* the id that was issued to this client, or the one that would be now */

    cookie = ngx_http_gray_read_cookie(&d->evidence);

    d->anonymous = cookie ? cookie->anonymous : 0;

    if (d->anonymous == 0) {
        do {
            d->anonymous = ngx_http_gray_random(d->worker);
        } while (d->anonymous == 0);
    }

    (void) ngx_sprintf((u_char *) d->issued, "a%016xL", d->anonymous);

    issued.data = d->issued;
    issued.length = 17;

    gray_input_named(&d->input, GRAY_SOURCE_UNIT, none, issued);

    return NGX_OK;
}


static enum gray_class
ngx_http_gray_class(struct gray_str word)
{
    if (word.length == 6 && ngx_memcmp(word.data, "shadow", 6) == 0) {
        return GRAY_CLASS_SHADOW;
    }

    if (word.length == 4 && ngx_memcmp(word.data, "load", 4) == 0) {
        return GRAY_CLASS_LOAD;
    }

    if (word.length == 9 && ngx_memcmp(word.data, "rehearsal", 9) == 0) {
        return GRAY_CLASS_REHEARSAL;
    }

    return GRAY_CLASS_LIVE;
}


/*
 * The colour that came in, if who sent it may colour; everything else of
 * ours is marked to go.
 */

static ngx_int_t
ngx_http_gray_incoming(ngx_http_gray_decision_t *d)
{
    int64_t                now;
    ngx_uint_t             i, known;
    ngx_table_elt_t      **elt;
    ngx_http_gray_scan_t  *scan;

    scan = &d->scan;

    d->lane.data = "";
    d->lane.length = 0;
    d->arms = d->lane;
    d->traffic_class = GRAY_CLASS_LIVE;

    if (scan->lane == NULL && scan->context == NULL && scan->baggage == NULL
        && scan->forged == NULL)
    {
        return NGX_OK;
    }

    known = 0;

    if (scan->context) {

        if (d->conf->entrance && d->worker->runtime) {
            now = (int64_t) ngx_time();

            if (gray_context_read(d->worker->runtime,
                                  ngx_http_gray_str(scan->context->value),
                                  now, &d->context)
                == 0)
            {
                known = 1;
                d->lane.data = d->context.lane;
                d->lane.length = ngx_strlen(d->context.lane);
                d->arms.data = d->context.arms;
                d->arms.length = ngx_strlen(d->context.arms);
                d->traffic_class = d->context.traffic_class;

            } else {
                ngx_http_gray_event(d->worker, GRAY_EVENT_BAD_CONTEXT);
            }
        }

        ngx_http_gray_drop(scan, scan->context);
    }

    if (ngx_http_gray_trusted(scan)) {

        if (known) {
            return NGX_OK;
        }

        if (scan->baggage) {
            d->lane = scan->carried.lane;
            d->arms = scan->carried.arms;
            d->traffic_class = ngx_http_gray_class(
                                                scan->carried.traffic_class);
        }

        if (scan->lane && scan->lane->value.len) {
            d->lane = ngx_http_gray_str(scan->lane->value);

        } else if (d->lane.length == 0 && scan->alias) {
            d->lane = ngx_http_gray_str(scan->alias->value);
        }

        if (d->lane.length > GRAY_NAME_MAX) {
            d->lane.length = 0;
        }

        return NGX_OK;
    }

    if (scan->lane || scan->baggage || scan->forged) {
        scan->stripped = 1;
        ngx_http_gray_event(d->worker, GRAY_EVENT_FORGED_STRIPPED);
    }

    if (scan->lane) {
        ngx_http_gray_drop(scan, scan->lane);
        scan->lane = NULL;
    }

    if (scan->forged) {
        elt = scan->forged->elts;

        for (i = 0; i < scan->forged->nelts; i++) {
            ngx_http_gray_drop(scan, elt[i]);
        }
    }

    return NGX_OK;
}


/* Copies out of the mapping what later moments need. */

static ngx_int_t
ngx_http_gray_leave(ngx_http_gray_decision_t *d)
{
    char                     arms[GRAY_CARRIED_MAX];
    struct gray_str          text;
    ngx_pool_t              *pool;
    struct gray_colour      *colour;
    const struct gray_lane  *lane;
    ngx_http_gray_ctx_t     *ctx;

    ctx = d->ctx;
    pool = d->request->pool;
    colour = &d->colour;

    ctx->epoch = d->worker->epoch;
    ctx->reason = colour->reason;
    ctx->bucket = colour->bucket;

    if (d->input.too_long) {
        ngx_http_gray_event(d->worker, GRAY_EVENT_VALUE_TOO_LONG);
    }

    if (d->input.overflow) {
        ngx_http_gray_event(d->worker, GRAY_EVENT_INPUT_OVERFLOW);
    }

    if (d->worker->counted) {
        gray_counters_reason(d->worker->runtime, colour->reason);
    }

    if (colour->lane != GRAY_NONE || colour->arm_count) {

        ctx->colour = ngx_palloc(pool, sizeof(struct gray_colour));
        if (ctx->colour == NULL) {
            return NGX_ERROR;
        }

        *ctx->colour = *colour;
    }

    if (colour->arm_count || d->arms.length) {
        text.data = arms;
        text.length = gray_arms_write(d->view, colour, d->arms, arms,
                                      sizeof(arms));
        ctx->arms = ngx_http_gray_copy(pool, text);
    }

    /* a lane that this policy does not know is passed on as it came */

    text = d->lane;

    if (colour->lane != GRAY_NONE) {
        lane = gray_lane_at(d->view->policy, colour->lane);
        text = gray_text(d->view->policy, lane->name);
    }

    if (text.length) {
        ctx->lane = ngx_http_gray_copy(pool, text);
    }

    if (d->conf->cookie && d->conf->entrance
        && (colour->arm_count || d->input.anonymous_used))
    {
        if (ngx_http_gray_issue(d->request, ctx, d->conf, d->view, &d->input,
                                colour, &d->evidence, d->anonymous)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (d->conf->explain || d->conf->log) {
        return ngx_http_gray_tell(d);
    }

    return NGX_OK;
}


/* The same text for testers and for the decision log. */

static ngx_int_t
ngx_http_gray_tell(ngx_http_gray_decision_t *d)
{
    size_t       len, size;
    u_char       text[NGX_HTTP_GRAY_LINE], *p;
    ngx_str_t    value;
    ngx_uint_t   wanted;
    const char  *event;

    wanted = 0;
    event = NULL;

    if (d->conf->explain) {

        if (ngx_http_complex_value(d->request, d->conf->explain, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        wanted = value.len != 0
                 && !(value.len == 1 && value.data[0] == '0')
                 && !(value.len == 3 && ngx_strncmp(value.data, "off", 3)
                                        == 0);
    }

    if (d->conf->log) {
        event = ngx_http_gray_log_wants(d->conf->log, &d->colour);
    }

    if (!wanted && event == NULL) {
        return NGX_OK;
    }

    p = text;
    size = sizeof(text);

    len = gray_explain(d->view, d->entrance, &d->input,
                       ngx_http_gray_evidence, &d->evidence, (char *) p,
                       size);

    if (len >= size) {

        /* rare: many releases, all of them traced */

        size = len + 1;

        p = ngx_pnalloc(d->request->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        len = gray_explain(d->view, d->entrance, &d->input,
                           ngx_http_gray_evidence, &d->evidence, (char *) p,
                           size);
        if (len >= size) {
            return NGX_OK;
        }
    }

    if (wanted) {
        d->ctx->explain.data = ngx_pnalloc(d->request->pool, len);
        if (d->ctx->explain.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(d->ctx->explain.data, p, len);
        d->ctx->explain.len = len;
    }

    if (event) {
        ngx_http_gray_log_decision(d->request, d->conf->log, event, p, len);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_gray_same(ngx_str_t *a, struct gray_str b)
{
    return a->len == b.length
           && (a->len == 0 || ngx_memcmp(a->data, b.data, a->len) == 0);
}


/* Makes the headers say what the record says, and nothing where it is so. */

static ngx_int_t
ngx_http_gray_rewrite(ngx_http_gray_decision_t *d)
{
    ngx_uint_t             canonical, carried;
    enum gray_class        traffic_class;
    ngx_http_gray_ctx_t   *ctx;
    ngx_http_gray_scan_t  *scan;

    ctx = d->ctx;
    scan = &d->scan;
    traffic_class = d->traffic_class;

    if (scan->lane) {
        canonical = ngx_strncasecmp(scan->lane->key.data,
                                    (u_char *) "x-gray-lane", 11)
                    == 0;

        if (ctx->lane.len == 0 || !canonical) {
            ngx_http_gray_drop(scan, scan->lane);
            scan->lane = NULL;
        }
    }

    carried = 0;

    if (scan->baggage) {
        carried = !scan->stripped
                  && ngx_http_gray_same(&ctx->lane, scan->carried.lane)
                  && ngx_http_gray_same(&ctx->arms, scan->carried.arms)
                  && ngx_http_gray_class(scan->carried.traffic_class)
                     == traffic_class;

    } else if (ctx->lane.len == 0 && ctx->arms.len == 0
               && traffic_class == GRAY_CLASS_LIVE)
    {
        carried = 1;
    }

    if (ngx_http_gray_rebuild(scan) != NGX_OK) {
        return NGX_ERROR;
    }

    if (scan->lane == NULL
        || !ngx_http_gray_same(&ctx->lane,
                               ngx_http_gray_str(scan->lane->value)))
    {
        if (ngx_http_gray_set_lane(scan, &ctx->lane) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!carried
        && ngx_http_gray_set_baggage(scan, &ctx->lane, &ctx->arms,
                                     traffic_class)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The request's colour by the numbers of the present policy: they are looked
 * up again by name when a swap came between.
 */

const struct gray_colour *
ngx_http_gray_recolour(ngx_http_gray_worker_t *w, const struct gray_view *view,
    ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx)
{
    struct gray_input   in;
    struct gray_colour  colour;

    if (ctx->colour && ctx->epoch == w->epoch) {
        return ctx->colour;
    }

    if (ctx->epoch == w->epoch) {
        return &ngx_http_gray_no_colour;
    }

    gray_input_begin(&in, view->policy, ngx_http_gray_now(), 0);
    gray_input_colour(&in, ngx_http_gray_str(ctx->lane),
                      ngx_http_gray_str(ctx->arms), ctx->traffic_class);
    gray_decide(view, GRAY_NONE, &in, NULL, NULL, &colour, NULL);

    if (ctx->colour == NULL) {
        ctx->colour = ngx_palloc(r->main->pool, sizeof(struct gray_colour));
        if (ctx->colour == NULL) {
            return &ngx_http_gray_no_colour;
        }
    }

    *ctx->colour = colour;
    ctx->epoch = w->epoch;

    return ctx->colour;
}
