/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_rewrite.c - the request's headers as the services get them.
 *
 * Why: what the proxy sends is the list itself, so a forged header must leave
 * the list; setting its hash to zero only hides it from variables.  Shifting
 * elements would break the pointers that nginx keeps into the list, and an
 * empty later part makes every iterator read one element too many.  So when,
 * and only when, something must go, a new list of the kept elements takes the
 * old one's place; the old elements live on in the pool.
 * Read next: ngx_http_gray_headers.c (who marks), engine/colour.c.
 */


#include "ngx_http_gray_decision.h"


static ngx_int_t ngx_http_gray_rebuild(ngx_http_gray_scan_t *scan);
static ngx_int_t ngx_http_gray_set_lane(ngx_http_gray_scan_t *scan,
    ngx_str_t *lane);
static ngx_int_t ngx_http_gray_set_baggage(ngx_http_gray_scan_t *scan,
    ngx_http_gray_ctx_t *ctx, enum gray_class traffic_class);
static ngx_int_t ngx_http_gray_write_baggage(ngx_http_gray_scan_t *scan,
    ngx_table_elt_t *h, ngx_http_gray_ctx_t *ctx,
    enum gray_class traffic_class, ngx_str_t *value);


/* made once a process */

static ngx_uint_t  ngx_http_gray_lane_hash;
static ngx_uint_t  ngx_http_gray_baggage_hash;


void
ngx_http_gray_init_rewrite(void)
{
    ngx_http_gray_lane_hash = ngx_hash_key((u_char *) "x-gray-lane",
                                           sizeof("x-gray-lane") - 1);
    ngx_http_gray_baggage_hash = ngx_hash_key((u_char *) "baggage",
                                              sizeof("baggage") - 1);
}


static ngx_uint_t
ngx_http_gray_same(ngx_str_t *a, struct gray_str b)
{
    return a->len == b.length
           && (a->len == 0 || ngx_memcmp(a->data, b.data, a->len) == 0);
}


/* Makes the headers say what the record says, and nothing where it is so. */

ngx_int_t
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
        && ngx_http_gray_set_baggage(scan, ctx, traffic_class) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
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


static ngx_int_t
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
ngx_http_gray_add(ngx_http_request_t *r, const char *name, size_t len,
    ngx_uint_t hash)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NULL;
    }

    h->key.data = (u_char *) name;
    h->key.len = len;
    h->lowcase_key = (u_char *) name;
    h->hash = hash;

    return h;
}


/* After ngx_http_gray_rebuild(); a lane that stays was not dropped. */

static ngx_int_t
ngx_http_gray_set_lane(ngx_http_gray_scan_t *scan, ngx_str_t *lane)
{
    ngx_table_elt_t  *h;

    if (lane->len == 0) {
        return NGX_OK;
    }

    h = scan->lane;

    if (h == NULL) {
        h = ngx_http_gray_add(scan->request, "x-gray-lane",
                              sizeof("x-gray-lane") - 1,
                              ngx_http_gray_lane_hash);
        if (h == NULL) {
            return NGX_ERROR;
        }
    }

    h->value = *lane;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gray_set_baggage(ngx_http_gray_scan_t *scan, ngx_http_gray_ctx_t *ctx,
    enum gray_class traffic_class)
{
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    h = scan->baggage ? scan->baggage : scan->carrier;

    if (h == NULL && ctx->baggage.len && traffic_class == GRAY_CLASS_LIVE) {
        value = ctx->baggage;

    } else {
        if (ngx_http_gray_write_baggage(scan, h, ctx, traffic_class, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (value.len == 0) {

            if (h) {
                ngx_http_gray_drop(scan, h);
                return ngx_http_gray_rebuild(scan);
            }

            return NGX_OK;
        }
    }

    if (h == NULL) {
        h = ngx_http_gray_add(scan->request, "baggage",
                              sizeof("baggage") - 1,
                              ngx_http_gray_baggage_hash);
        if (h == NULL) {
            return NGX_ERROR;
        }
    }

    h->value = value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gray_write_baggage(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h,
    ngx_http_gray_ctx_t *ctx, enum gray_class traffic_class, ngx_str_t *value)
{
    size_t           size;
    struct gray_str  old;

    old.data = "";
    old.length = 0;

    if (h) {
        old = ngx_http_gray_str(h->value);
    }

    /* every byte of ours may take three */

    size = old.length + 3 * (ctx->lane.len + ctx->arms.len) + 64;

    value->data = ngx_pnalloc(scan->request->pool, size);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = gray_baggage_write(old, ngx_http_gray_str(ctx->lane),
                                    ngx_http_gray_str(ctx->arms),
                                    traffic_class, (char *) value->data, size);

    return NGX_OK;
}
