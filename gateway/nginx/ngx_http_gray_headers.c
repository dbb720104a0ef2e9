/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_headers.c - the request's headers: one pass, and what goes.
 *
 * Why: what the proxy sends is the list itself, so a forged header must leave
 * the list; setting its hash to zero only hides it from variables.  Shifting
 * elements would break the pointers that nginx keeps into the list, and an
 * empty later part makes every iterator read one element too many.  So when,
 * and only when, something must go, a new list of the kept elements takes the
 * old one's place; the old elements live on in the pool.
 * Read next: ngx_http_gray_colour.c, engine/colour.c (whose name is ours).
 */


#include "ngx_http_gray_module.h"


static ngx_int_t ngx_http_gray_control(ngx_http_gray_scan_t *scan,
    ngx_table_elt_t *h);
static ngx_int_t ngx_http_gray_own_cookie(ngx_http_gray_scan_t *scan,
    ngx_table_elt_t *h);
static ngx_int_t ngx_http_gray_forged(ngx_http_gray_scan_t *scan,
    ngx_table_elt_t *h);


/*
 * First bytes of every name that gray_header_kind() may call ours.  A byte is
 * a test, a call is thirty instructions.
 */

#define ngx_http_gray_may_control(c)                                          \
    ((c) <= 'x' && (c) >= 'b'                                                 \
     && ((1u << ((c) - 'b'))                                                  \
         & ((1u << ('b' - 'b')) | (1u << ('c' - 'b')) | (1u << ('d' - 'b'))   \
            | (1u << ('n' - 'b')) | (1u << ('s' - 'b'))                       \
            | (1u << ('x' - 'b')))))


ngx_int_t
ngx_http_gray_scan(ngx_http_gray_scan_t *scan)
{
    u_char                       c;
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_list_part_t             *part;
    ngx_table_elt_t             *h;
    const struct gray_snapshot  *policy;

    policy = scan->input ? scan->input->policy : NULL;

    part = &scan->request->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == 0) {
            continue;
        }

        c = h[i].key.data[0] | 0x20;

        if (ngx_http_gray_may_control(c)) {

            rc = ngx_http_gray_control(scan, &h[i]);

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }

            if (rc == NGX_DONE) {
                continue;
            }
        }

        if (policy && gray_input_wants(policy, (uint32_t) h[i].hash)) {
            gray_input_header(scan->input, (uint32_t) h[i].hash,
                              ngx_http_gray_str(h[i].key),
                              ngx_http_gray_str(h[i].value));
        }
    }

    return NGX_OK;
}


/* NGX_DONE: a header of ours, which rules do not see. */

static ngx_int_t
ngx_http_gray_control(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h)
{
    int                     rc;
    struct gray_carried    *carried;
    enum gray_header_kind   kind;

    kind = gray_header_kind(ngx_http_gray_str(h->key));

    switch (kind) {

    case GRAY_HEADER_PLAIN:
        return NGX_DECLINED;

    case GRAY_HEADER_COOKIE:
        return ngx_http_gray_own_cookie(scan, h);

    case GRAY_HEADER_LANE:
        if (scan->lane) {
            scan->duplicate = 1;
        }

        scan->lane = h;
        return NGX_DONE;

    case GRAY_HEADER_CTX:
        if (scan->context) {
            scan->duplicate = 1;
        }

        scan->context = h;
        return NGX_DONE;

    case GRAY_HEADER_BAGGAGE:

        /* a second header of gray members would be a second value */

        carried = &scan->carried;

        if (scan->baggage) {
            carried = ngx_palloc(scan->request->pool,
                                 sizeof(struct gray_carried));
            if (carried == NULL) {
                return NGX_ERROR;
            }
        }

        rc = gray_baggage_read(ngx_http_gray_str(h->value), carried);

        if (rc != 0 || (scan->baggage && carried->seen)) {
            scan->duplicate = 1;
        }

        if (scan->carrier == NULL) {
            scan->carrier = h;
        }

        if (scan->baggage == NULL && carried->seen) {
            scan->baggage = h;
        }

        return NGX_DECLINED;

    default: /* GRAY_HEADER_FORGED */
        return ngx_http_gray_forged(scan, h);
    }
}


static u_char
ngx_http_gray_fold(u_char c)
{
    return c == '_' ? '-' : ngx_tolower(c);
}


static ngx_int_t
ngx_http_gray_forged(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h)
{
    size_t             n;
    ngx_uint_t         i;
    ngx_table_elt_t  **seen, **place;

    if (scan->forged == NULL) {
        scan->forged = ngx_array_create(scan->request->pool, 4,
                                        sizeof(ngx_table_elt_t *));
        if (scan->forged == NULL) {
            return NGX_ERROR;
        }
    }

    seen = scan->forged->elts;

    for (i = 0; i < scan->forged->nelts; i++) {

        if (seen[i]->key.len != h->key.len) {
            continue;
        }

        for (n = 0; n < h->key.len; n++) {
            if (ngx_http_gray_fold(seen[i]->key.data[n])
                != ngx_http_gray_fold(h->key.data[n]))
            {
                break;
            }
        }

        if (n == h->key.len) {
            scan->duplicate = 1;
            return NGX_DONE;
        }
    }

    place = ngx_array_push(scan->forged);
    if (place == NULL) {
        return NGX_ERROR;
    }

    *place = h;

    /* another house's name of a lane, for those who may give one */

    if (scan->alias == NULL
        && (h->key.len < 7 || ngx_http_gray_fold(h->key.data[2]) != 'g'
            || ngx_http_gray_fold(h->key.data[6]) != '-'))
    {
        scan->alias = h;
    }

    return NGX_DONE;
}


/*
 * Our cookie is read here and taken off: no service may see it.  The value
 * is given new bytes, the element keeps its place in both lists.
 */

static ngx_int_t
ngx_http_gray_own_cookie(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h)
{
    u_char           *p;
    size_t            len;
    uint32_t          removed;
    struct gray_str   cookies, found;

    static const struct gray_str  names[] = {
        { GRAY_COOKIE_NAME, sizeof(GRAY_COOKIE_NAME) - 1 },
        { GRAY_COOKIE_NAME_HOST, sizeof(GRAY_COOKIE_NAME_HOST) - 1 }
    };

    cookies = ngx_http_gray_str(h->value);

    if (cookies.length < sizeof(GRAY_COOKIE_NAME)
        || memmem(cookies.data, cookies.length, GRAY_COOKIE_NAME,
                  sizeof(GRAY_COOKIE_NAME) - 1)
           == NULL)
    {
        return NGX_DECLINED;
    }

    if (scan->cookie.data == NULL) {
        found = gray_cookie_find(cookies, names[scan->tls]);

        if (found.data) {
            scan->cookie.data = (u_char *) found.data;
            scan->cookie.len = found.length;
        }
    }

    p = ngx_pnalloc(scan->request->pool, h->value.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    len = gray_cookie_strip(cookies, names, 2, (char *) p, h->value.len,
                            &removed);

    if (removed == 0) {
        ngx_pfree(scan->request->pool, p);
        return NGX_DECLINED;
    }

    p[len] = '\0';

    h->value.data = p;
    h->value.len = len;

    if (len == 0) {
        ngx_http_gray_drop(scan, h);
        return NGX_DONE;
    }

    return NGX_DECLINED;
}


/*
 * May this peer colour?  Its address is the one that realip left: behind a
 * proxy that is trusted for addresses only, the client is the peer.
 */

ngx_uint_t
ngx_http_gray_trusted(ngx_http_gray_scan_t *scan)
{
    ngx_connection_t  *c;

    if (!scan->trust_known) {
        c = scan->request->connection;

        scan->trust_known = 1;
        scan->trusted = scan->conf->trust != NULL
                        && ngx_cidr_match(c->sockaddr, scan->conf->trust)
                           == NGX_OK;
    }

    return scan->trusted;
}


/* Marks an element for ngx_http_gray_rebuild(). */

void
ngx_http_gray_drop(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h)
{
    ngx_uint_t         i, n;
    ngx_array_t       *cookies;
    ngx_table_elt_t  **elt;

    h->key.len = 0;
    scan->dropped++;

    /* of all the pointers into the list, these alone can point at it */

    cookies = &scan->request->headers_in.cookies;
    elt = cookies->elts;
    n = 0;

    for (i = 0; i < cookies->nelts; i++) {
        if (elt[i] != h) {
            elt[n++] = elt[i];
        }
    }

    cookies->nelts = n;
}


ngx_int_t
ngx_http_gray_rebuild(ngx_http_gray_scan_t *scan)
{
    ngx_uint_t            i, n;
    ngx_list_t           *headers;
    ngx_list_part_t      *part, old;
    ngx_table_elt_t      *h, *kept;
    ngx_http_request_t   *r;

    if (scan->dropped == 0) {
        return NGX_OK;
    }

    r = scan->request;
    headers = &r->headers_in.headers;
    old = headers->part;
    n = 0;

    for (part = &old; part; part = part->next) {
        n += part->nelts;
    }

    /* room for what is added, so that one part holds all */

    if (ngx_list_init(headers, r->pool, n - scan->dropped + 4,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    kept = headers->part.elts;
    n = 0;

    for (part = &old; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == 0) {
                continue;
            }

            if (scan->lane == &h[i]) {
                scan->lane = &kept[n];
            }

            if (scan->baggage == &h[i]) {
                scan->baggage = &kept[n];
            }

            if (scan->carrier == &h[i]) {
                scan->carrier = &kept[n];
            }

            kept[n++] = h[i];
        }
    }

    headers->part.nelts = n;
    scan->dropped = 0;

    return NGX_OK;
}


static ngx_table_elt_t *
ngx_http_gray_add(ngx_http_request_t *r, const char *name, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NULL;
    }

    h->key.data = (u_char *) name;
    h->key.len = len;
    h->lowcase_key = (u_char *) name;
    h->hash = ngx_hash_key((u_char *) name, len);

    return h;
}


/* After ngx_http_gray_rebuild(); a lane that stays was not dropped. */

ngx_int_t
ngx_http_gray_set_lane(ngx_http_gray_scan_t *scan, ngx_str_t *lane)
{
    ngx_table_elt_t  *h;

    if (lane->len == 0) {
        return NGX_OK;
    }

    h = scan->lane;

    if (h == NULL) {
        h = ngx_http_gray_add(scan->request, "x-gray-lane",
                              sizeof("x-gray-lane") - 1);
        if (h == NULL) {
            return NGX_ERROR;
        }
    }

    h->value = *lane;

    return NGX_OK;
}


ngx_int_t
ngx_http_gray_set_baggage(ngx_http_gray_scan_t *scan, ngx_str_t *lane,
    ngx_str_t *arms, enum gray_class traffic_class)
{
    u_char           *p;
    size_t            len, size;
    ngx_table_elt_t  *h;
    struct gray_str   old;

    h = scan->baggage ? scan->baggage : scan->carrier;

    old.data = "";
    old.length = 0;

    if (h) {
        old = ngx_http_gray_str(h->value);
    }

    /* every byte of ours may take three */

    size = old.length + 3 * (lane->len + arms->len) + 64;

    p = ngx_pnalloc(scan->request->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    len = gray_baggage_write(old, ngx_http_gray_str(*lane),
                             ngx_http_gray_str(*arms), traffic_class,
                             (char *) p, size);

    if (len == 0) {

        if (h) {
            ngx_http_gray_drop(scan, h);
            return ngx_http_gray_rebuild(scan);
        }

        return NGX_OK;
    }

    if (h == NULL) {
        h = ngx_http_gray_add(scan->request, "baggage",
                              sizeof("baggage") - 1);
        if (h == NULL) {
            return NGX_ERROR;
        }
    }

    h->value.data = p;
    h->value.len = len;

    return NGX_OK;
}
