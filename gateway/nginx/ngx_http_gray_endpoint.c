/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_endpoint.c - an endpoint as nginx dials it.
 *
 * Why: the mapping that an endpoint lies in may go while a try still holds
 * its name and address, so each try has its own.  What is copied is made once
 * a fleet, when the endpoint is first chosen: a request copies 64 bytes where
 * it would write an address and a name (90 instructions less).
 * Read next: ngx_http_gray_peer.c.
 */


#include "ngx_http_gray_module.h"


static ngx_int_t ngx_http_gray_make_address(ngx_http_gray_endpoint_t *e,
    const struct gray_endpoint *endpoint) ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_make_endpoint(ngx_http_gray_endpoint_t *e,
    const struct gray_fleet *fleet, uint32_t number) ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_dial_other(ngx_peer_connection_t *pc,
    ngx_pool_t *pool, ngx_http_gray_try_t *try,
    const struct gray_fleet *fleet, uint32_t number) ngx_http_gray_seldom;


/* The bytes that hold every address, and names of up to 28: no loop. */

#define NGX_HTTP_GRAY_ENDPOINT_HEAD  64


ngx_int_t
ngx_http_gray_dial(ngx_peer_connection_t *pc, ngx_pool_t *pool,
    ngx_http_gray_worker_t *w, ngx_http_gray_try_t *try,
    const struct gray_fleet *fleet, uint32_t number)
{
    ngx_http_gray_endpoint_t  *e;

    if (number >= w->load_count) {
        return ngx_http_gray_dial_other(pc, pool, try, fleet, number);
    }

    e = &w->endpoints[number];

    if (e->socklen == 0
        && ngx_http_gray_make_endpoint(e, fleet, number) != NGX_OK)
    {
        return ngx_http_gray_dial_other(pc, pool, try, fleet, number);
    }

    if (e->len <= NGX_HTTP_GRAY_ENDPOINT_HEAD
                  - offsetof(ngx_http_gray_endpoint_t, text))
    {
        ngx_memcpy(&try->endpoint, e, NGX_HTTP_GRAY_ENDPOINT_HEAD);

    } else {
        ngx_memcpy(&try->endpoint, e, sizeof(ngx_http_gray_endpoint_t));
    }

    try->name.len = e->len;
    try->name.data = try->endpoint.text;

    pc->name = &try->name;
    pc->sockaddr = &try->endpoint.addr.sa;
    pc->socklen = e->socklen;

    return NGX_OK;
}


/* NGX_DECLINED: it has no address of numbers. */

static ngx_int_t
ngx_http_gray_make_address(ngx_http_gray_endpoint_t *e,
    const struct gray_endpoint *endpoint)
{
    ngx_memzero(&e->addr, sizeof(e->addr));

    switch (endpoint->family) {

    case GRAY_FAMILY_IPV4:
        e->addr.sin.sin_family = AF_INET;
        e->addr.sin.sin_port = htons(endpoint->port);
        ngx_memcpy(&e->addr.sin.sin_addr, endpoint->address, 4);
        e->socklen = sizeof(struct sockaddr_in);
        return NGX_OK;

#if (NGX_HAVE_INET6)

    case GRAY_FAMILY_IPV6:
        e->addr.sin6.sin6_family = AF_INET6;
        e->addr.sin6.sin6_port = htons(endpoint->port);
        ngx_memcpy(&e->addr.sin6.sin6_addr, endpoint->address, 16);
        e->socklen = sizeof(struct sockaddr_in6);
        return NGX_OK;

#endif

    default:
        return NGX_DECLINED;
    }
}


/* NGX_DECLINED: its name or address is too long to be kept. */

static ngx_int_t
ngx_http_gray_make_endpoint(ngx_http_gray_endpoint_t *e,
    const struct gray_fleet *fleet, uint32_t number)
{
    struct gray_str              text;
    const struct gray_endpoint  *endpoint;

    endpoint = gray_endpoint_at(fleet, number);
    text = gray_fleet_text(fleet, endpoint->text);

    if (text.length > sizeof(e->text)) {
        return NGX_DECLINED;
    }

    e->len = text.length;
    ngx_memcpy(e->text, text.data, text.length);

    return ngx_http_gray_make_address(e, endpoint);
}


/* "unix:/path", and what has a long name: made try by try. */

static ngx_int_t
ngx_http_gray_dial_other(ngx_peer_connection_t *pc, ngx_pool_t *pool,
    ngx_http_gray_try_t *try, const struct gray_fleet *fleet, uint32_t number)
{
    struct gray_str              text;
    struct sockaddr_un          *sun;
    const struct gray_endpoint  *endpoint;

    endpoint = gray_endpoint_at(fleet, number);
    text = gray_fleet_text(fleet, endpoint->text);

    try->name.len = text.length;
    try->name.data = ngx_pnalloc(pool, text.length);
    if (try->name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(try->name.data, text.data, text.length);

    pc->name = &try->name;

    if (endpoint->family != GRAY_FAMILY_UNIX) {

        if (ngx_http_gray_make_address(&try->endpoint, endpoint) != NGX_OK) {
            return NGX_BUSY;
        }

        pc->sockaddr = &try->endpoint.addr.sa;
        pc->socklen = try->endpoint.socklen;
        return NGX_OK;
    }

    if (text.length < 6 || text.length - 5 >= sizeof(sun->sun_path)) {
        return NGX_BUSY;
    }

    sun = ngx_pcalloc(pool, sizeof(struct sockaddr_un));
    if (sun == NULL) {
        return NGX_ERROR;
    }

    sun->sun_family = AF_UNIX;
    ngx_memcpy(sun->sun_path, text.data + 5, text.length - 5);
    pc->sockaddr = (struct sockaddr *) sun;
    pc->socklen = sizeof(struct sockaddr_un);

    return NGX_OK;
}
