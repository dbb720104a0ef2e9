/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_apart.c - each allocation of ours apart; sanitized builds only.
 *
 * Why: a pool of nginx hands out pieces of one block, so a byte written behind
 * a piece falls into its neighbour and no tool sees it.  A sanitized build
 * renames the words that take from a pool to these; what they give comes
 * from malloc() one by one, and goes with the pool as large blocks do.  What
 * nginx allocates for itself, and what it writes for us, is not watched.
 * Read next: meson.build (the renaming), tests/sanitized.in.
 */


#undef ngx_palloc
#undef ngx_pnalloc
#undef ngx_pcalloc
#undef ngx_pool_cleanup_add


#include <ngx_config.h>
#include <ngx_core.h>


void *ngx_http_gray_apart_palloc(ngx_pool_t *pool, size_t size);
void *ngx_http_gray_apart_pnalloc(ngx_pool_t *pool, size_t size);
void *ngx_http_gray_apart_pcalloc(ngx_pool_t *pool, size_t size);
ngx_pool_cleanup_t *ngx_http_gray_apart_pool_cleanup_add(ngx_pool_t *pool,
    size_t size);


void *
ngx_http_gray_apart_palloc(ngx_pool_t *pool, size_t size)
{
    return ngx_pmemalign(pool, size, NGX_POOL_ALIGNMENT);
}


void *
ngx_http_gray_apart_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_pmemalign(pool, size, NGX_POOL_ALIGNMENT);
}


void *
ngx_http_gray_apart_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_pmemalign(pool, size, NGX_POOL_ALIGNMENT);

    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


ngx_pool_cleanup_t *
ngx_http_gray_apart_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, 0);

    if (cln && size) {
        cln->data = ngx_pmemalign(pool, size, NGX_POOL_ALIGNMENT);

        if (cln->data == NULL) {
            return NULL;
        }
    }

    return cln;
}
