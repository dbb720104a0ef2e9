/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_incoming.c - what is known of a request before it is decided.
 *
 * Why: rules see what the client sent, what the operator's configuration says
 * about it, and a colour that came in; only the last depends on who sent it.
 * Nothing is fed that no rule of this policy asks for.
 *
 *   begin: method, host, target   (scan: headers)   incoming: colour
 *   named: attributes, labels, caller, address, earlier admissions, own id
 * Read next: ngx_http_gray_headers.c, engine/input.c.
 */


#include "ngx_http_gray_decision.h"


static void ngx_http_gray_request_line(ngx_http_gray_decision_t *d,
    uint32_t needs);
static ngx_int_t ngx_http_gray_configured(ngx_http_gray_decision_t *d,
    uint32_t needs) ngx_http_gray_seldom;
static void ngx_http_gray_address(ngx_http_gray_decision_t *d);
static ngx_int_t ngx_http_gray_attrs(ngx_http_gray_decision_t *d,
    ngx_array_t *attrs, enum gray_source source);
static void ngx_http_gray_anonymous(ngx_http_gray_decision_t *d);
static ngx_uint_t ngx_http_gray_signed(ngx_http_gray_decision_t *d);
static ngx_uint_t ngx_http_gray_trusted(ngx_http_gray_scan_t *scan);
static ngx_uint_t ngx_http_gray_contradicts(ngx_http_gray_scan_t *scan);
static void ngx_http_gray_strip(ngx_http_gray_scan_t *scan,
    ngx_http_gray_worker_t *w);


#define ngx_http_gray_needs(source)  (1u << GRAY_SOURCE_##source)

#define NGX_HTTP_GRAY_TARGET                                                  \
    (ngx_http_gray_needs(PATH) | ngx_http_gray_needs(SEGMENT)                 \
     | ngx_http_gray_needs(QUERY) | ngx_http_gray_needs(GRPC_SERVICE)         \
     | ngx_http_gray_needs(GRPC_METHOD))


/* What the policy looks at, but for headers, which the scan feeds. */

void
ngx_http_gray_begin(ngx_http_gray_decision_t *d)
{
    uint32_t  needs;

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

    /* a draw costs 12 instructions, and few policies ask for one */

    gray_input_begin(&d->input, d->view->policy, ngx_http_gray_now(),
                     d->worker->draws ? ngx_http_gray_random(d->worker) : 0);

    needs = d->view->policy->policy->needs;

    if (needs & (ngx_http_gray_needs(METHOD) | ngx_http_gray_needs(HOST)
                 | NGX_HTTP_GRAY_TARGET))
    {
        ngx_http_gray_request_line(d, needs);
    }
}


/* What the request line and the Host header say. */

static void
ngx_http_gray_request_line(ngx_http_gray_decision_t *d, uint32_t needs)
{
    ngx_http_request_t  *r;

    r = d->request;

    if (needs & ngx_http_gray_needs(METHOD)) {
        gray_input_method(&d->input, ngx_http_gray_str(r->method_name));
    }

    if (needs & ngx_http_gray_needs(HOST)) {
        gray_input_host(&d->input, ngx_http_gray_str(r->headers_in.server));
    }

    if (needs & NGX_HTTP_GRAY_TARGET) {
        gray_input_target(&d->input, ngx_http_gray_str(r->unparsed_uri));
    }
}


/* What the operator says about the request, and who asks. */

ngx_int_t
ngx_http_gray_named(ngx_http_gray_decision_t *d)
{
    uint32_t  needs;

    needs = d->view->policy->policy->needs;

    if (d->conf->says && ngx_http_gray_configured(d, needs) != NGX_OK) {
        return NGX_ERROR;
    }

    if (needs & ngx_http_gray_needs(ADDRESS)) {
        ngx_http_gray_address(d);
    }

    if (d->lane.length || d->arms.length || d->traffic_class) {
        gray_input_colour(&d->input, d->lane, d->arms, d->traffic_class);
    }

    d->evidence.worker = d->worker;
    d->evidence.policy = d->view->policy;
    d->evidence.value = d->scan.cookie;
    d->evidence.cookie = NULL;
    d->evidence.known = NULL;
    d->evidence.tls = d->scan.tls;
    d->evidence.read = 0;

    if (d->worker->anonymous && d->conf->cookie) {
        ngx_http_gray_anonymous(d);
    }

    return NGX_OK;
}


/* gray_attr, gray_label, gray_caller, gray_stage */

static ngx_int_t
ngx_http_gray_configured(ngx_http_gray_decision_t *d, uint32_t needs)
{
    ngx_str_t        value;
    struct gray_str  none;

    if (d->conf->attrs && (needs & ngx_http_gray_needs(ATTR))
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

    if (d->conf->stage) {

        if (ngx_http_complex_value(d->request, d->conf->stage, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (value.len) {
            d->input.stage = ngx_http_gray_str(value);
        }
    }

    if (d->conf->caller && (needs & ngx_http_gray_needs(CALLER))) {

        if (ngx_http_complex_value(d->request, d->conf->caller, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (value.len) {
            none.data = "";
            none.length = 0;

            gray_input_named(&d->input, GRAY_SOURCE_CALLER, none,
                             ngx_http_gray_str(value));
        }
    }

    return NGX_OK;
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


/* The id that was issued to this client, or the one that would be now. */

static void
ngx_http_gray_anonymous(ngx_http_gray_decision_t *d)
{
    struct gray_str            none, issued;
    const struct gray_cookie  *cookie;

    none.data = "";
    none.length = 0;

    cookie = ngx_http_gray_read_cookie(&d->evidence);

    if (d->anonymous == 0) {
        d->anonymous = cookie ? cookie->anonymous : 0;
    }

    if (d->anonymous == 0) {
        do {
            d->anonymous = ngx_http_gray_random(d->worker);
        } while (d->anonymous == 0);
    }

    (void) ngx_sprintf((u_char *) d->issued, "a%016xL", d->anonymous);

    issued.data = d->issued;
    issued.length = 17;

    gray_input_named(&d->input, GRAY_SOURCE_UNIT, none, issued);
}


enum gray_class
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

ngx_int_t
ngx_http_gray_incoming(ngx_http_gray_decision_t *d)
{
    ngx_uint_t             known;
    ngx_http_gray_scan_t  *scan;

    scan = &d->scan;

    known = scan->context && ngx_http_gray_signed(d);

    if (ngx_http_gray_trusted(scan)) {

        if (ngx_http_gray_contradicts(scan)) {
            return ngx_http_gray_duplicate(d);
        }

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

        if (!gray_lane_sound(d->lane)) {
            d->lane.length = 0;
        }

        return NGX_OK;
    }

    ngx_http_gray_strip(scan, d->worker);

    return NGX_OK;
}


/* A signed colour is believed at entrances; the header goes in any case. */

static ngx_uint_t
ngx_http_gray_signed(ngx_http_gray_decision_t *d)
{
    ngx_uint_t        known;
    ngx_table_elt_t  *h;

    h = d->scan.context;
    known = 0;

    if (d->conf->entrance && d->worker->runtime) {

        if (gray_context_read(d->worker->runtime, ngx_http_gray_str(h->value),
                              (int64_t) ngx_time(), &d->context)
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

    ngx_http_gray_drop(&d->scan, h);

    return known;
}


/*
 * May this peer colour?  Its address is the one that realip left: behind a
 * proxy that is trusted for addresses only, the client is the peer.
 */

static ngx_uint_t
ngx_http_gray_trusted(ngx_http_gray_scan_t *scan)
{
    return scan->conf->trust != NULL
           && ngx_cidr_match(scan->request->connection->sockaddr,
                             scan->conf->trust)
              == NGX_OK;
}


/* A lane by its header and another one in baggage: two values of one word. */

static ngx_uint_t
ngx_http_gray_contradicts(ngx_http_gray_scan_t *scan)
{
    struct gray_str  carried;

    if (scan->lane == NULL || scan->baggage == NULL) {
        return 0;
    }

    carried = scan->carried.lane;

    return scan->lane->value.len && carried.length
           && (scan->lane->value.len != carried.length
               || ngx_memcmp(scan->lane->value.data, carried.data,
                             carried.length)
                  != 0);
}


/* What only those may send who may colour, marked to go. */

static void
ngx_http_gray_strip(ngx_http_gray_scan_t *scan, ngx_http_gray_worker_t *w)
{
    ngx_uint_t         i;
    ngx_table_elt_t  **elt;

    if (scan->lane || scan->baggage || scan->forged) {
        scan->stripped = 1;
        ngx_http_gray_event(w, GRAY_EVENT_FORGED_STRIPPED);
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
}
