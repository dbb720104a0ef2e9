/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_headers.c - the request's headers: one pass over all of them.
 *
 * Why: every request of a server that takes part runs through here, and most
 * carry nothing of ours; so what is asked of each header are a few bits, and
 * only names that can be ours are looked at.  Nothing is changed but the
 * Cookie header, whose element keeps its place; what else must go is only
 * marked.
 * Read next: ngx_http_gray_rewrite.c, engine/colour.c (whose name is ours).
 */


#include "ngx_http_gray_decision.h"


static ngx_int_t ngx_http_gray_control(ngx_http_gray_scan_t *scan,
    ngx_table_elt_t *h);
static ngx_inline u_char *ngx_http_gray_mentions_us(ngx_str_t *value);
static ngx_int_t ngx_http_gray_own_cookie(ngx_http_gray_scan_t *scan,
    ngx_table_elt_t *h, u_char *p);
static ngx_int_t ngx_http_gray_forged(ngx_http_gray_scan_t *scan,
    ngx_table_elt_t *h);


/*
 * Lengths that a name of ours can have, by its first byte: a test of a bit is
 * four instructions, a call is thirty.  Made once a process from the same
 * table as gray_header_kind(); bit 63 stands for 63 and above.
 */

static uint64_t  ngx_http_gray_lengths[32];


/* both cases of a letter, by the low six bits: one instruction tests it */

#define ngx_http_gray_letter(c)                                               \
    ((uint64_t) 1 << ((c) & 63) | (uint64_t) 1 << (((c) ^ 0x20) & 63))

#define ngx_http_gray_may_begin(c)                                            \
    (((ngx_http_gray_letter('b') | ngx_http_gray_letter('c')                  \
       | ngx_http_gray_letter('d') | ngx_http_gray_letter('n')                \
       | ngx_http_gray_letter('s') | ngx_http_gray_letter('x'))               \
      >> ((c) & 63)) & 1)

#define ngx_http_gray_may_control(key)                                        \
    ((ngx_http_gray_lengths[(key).data[0] & 31]                               \
      >> ngx_min((key).len, 63)) & 1)


void
ngx_http_gray_init_headers(void)
{
    ngx_uint_t  n;

    ngx_memzero(ngx_http_gray_lengths, sizeof(ngx_http_gray_lengths));

#define GRAY_ALIAS(name, house)                                               \
    ngx_http_gray_lengths[name[0] & 31] |= (uint64_t) 1 << (sizeof(name) - 1);
#include "engine/aliases.def"
#undef GRAY_ALIAS

    ngx_http_gray_lengths['b' & 31] |= (uint64_t) 1 << 7;  /* baggage */
    ngx_http_gray_lengths['c' & 31] |= (uint64_t) 1 << 6;  /* cookie */

    ngx_http_gray_init_rewrite();

    for (n = sizeof("x-gray-") - 1; n < 64; n++) {
        ngx_http_gray_lengths['x' & 31] |= (uint64_t) 1 << n;
    }
}


/* x-gray-*, or any other name of ours that is no x-gray-*. */

static ngx_inline ngx_uint_t
ngx_http_gray_maybe_ours(ngx_str_t *key)
{
    u_char  c;

    c = key->data[0];

    if ((c | 0x20) != 'x' || (key->data[2] | 0x20) == 'g') {
        return 1;
    }

    /* other houses' names that begin with x- */

#define GRAY_ALIAS(name, house)                                               \
    || (name[0] == 'x' && key->len == sizeof(name) - 1                        \
        && (key->data[2] | 0x20) == name[2])
    return 0
#include "engine/aliases.def"
    ;
#undef GRAY_ALIAS
}


ngx_int_t
ngx_http_gray_scan(ngx_http_gray_scan_t *scan)
{
    uint64_t          filter;
    ngx_int_t         rc;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *last;

    /* as gray_input_wants() asks it, read once */

    filter = scan->input ? scan->input->policy->policy->header_filter : 0;

    for (part = &scan->request->headers_in.headers.part;
         part;
         part = part->next)
    {
        h = part->elts;

        for (last = h + part->nelts; h < last; h++) {

            if (ngx_http_gray_may_begin(h->key.data[0])
                && ngx_http_gray_may_control(h->key)
                && ngx_http_gray_maybe_ours(&h->key))
            {
                rc = ngx_http_gray_control(scan, h);

                if (rc == NGX_ERROR) {
                    return NGX_ERROR;
                }

                if (rc == NGX_DONE) {
                    continue;
                }
            }

            if ((filter >> (h->hash & 63)) & 1) {
                gray_input_header(scan->input, (uint32_t) h->hash,
                                  ngx_http_gray_str(h->key),
                                  ngx_http_gray_str(h->value));
            }
        }
    }

    return NGX_OK;
}


/*
 * Once more, for a request that waited: only what rules see.  What was dropped
 * has no name any more, and our cookie is gone.
 */

void
ngx_http_gray_feed(ngx_http_gray_scan_t *scan)
{
    ngx_list_part_t       *part;
    ngx_table_elt_t       *h, *last;
    enum gray_header_kind  kind;

    for (part = &scan->request->headers_in.headers.part;
         part;
         part = part->next)
    {
        h = part->elts;

        for (last = h + part->nelts; h < last; h++) {

            if (h->key.len == 0) {
                continue;
            }

            kind = gray_header_kind(ngx_http_gray_str(h->key));

            if (kind == GRAY_HEADER_PLAIN || kind == GRAY_HEADER_COOKIE
                || kind == GRAY_HEADER_BAGGAGE)
            {
                gray_input_header(scan->input, (uint32_t) h->hash,
                                  ngx_http_gray_str(h->key),
                                  ngx_http_gray_str(h->value));
            }
        }
    }
}


/* NGX_DONE: a header of ours, which rules do not see. */

static ngx_int_t
ngx_http_gray_control(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h)
{
    int                     rc;
    u_char                 *p;
    struct gray_carried    *carried;
    enum gray_header_kind   kind;

    if (h->key.len == 6 && ngx_memcmp(h->key.data + 1, "ookie", 5) == 0) {
        p = ngx_http_gray_mentions_us(&h->value);

        return p ? ngx_http_gray_own_cookie(scan, h, p) : NGX_DECLINED;
    }

    kind = gray_header_kind(ngx_http_gray_str(h->key));

    switch (kind) {

    case GRAY_HEADER_PLAIN:
        return NGX_DECLINED;

    case GRAY_HEADER_COOKIE:
        p = ngx_http_gray_mentions_us(&h->value);

        return p ? ngx_http_gray_own_cookie(scan, h, p) : NGX_DECLINED;

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
 * Does "gray" stand anywhere in it?  Asked of every request, so by its rarest
 * letter: memmem() costs five instructions a byte.
 */

static ngx_inline u_char *
ngx_http_gray_mentions_us(ngx_str_t *value)
{
    u_char  *p, *last;

    p = value->data;
    last = p + value->len;

    while (last - p >= (ssize_t) sizeof(GRAY_COOKIE_NAME)) {

        p = memchr(p + 3, 'y', last - p - 3);

        if (p == NULL) {
            return NULL;
        }

        if (p[-1] == 'a' && p[-2] == 'r' && p[-3] == 'g') {
            return p - 3;
        }

        p -= 2;
    }

    return NULL;
}


/*
 * Browsers send cookies in the order in which they were given, so ours mostly
 * stands last, as "; gray=value": then what is before it is what must stay,
 * and neither is copied.  `p` is where the first "gray" stands.  NGX_DECLINED:
 * it is anything else, for the loosest reading to look at.  Saves 700
 * instructions.
 */

static ngx_int_t
ngx_http_gray_last_cookie(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h,
    u_char *p, const struct gray_str *name)
{
    u_char  *begin, *value, *last;

    begin = p + sizeof(GRAY_COOKIE_NAME) - 1 - name->length;
    value = p + sizeof(GRAY_COOKIE_NAME);
    last = h->value.data + h->value.len;

    if (scan->cookie.data
        || begin - h->value.data < 3 || last - value < 1
        || begin[-1] != ' ' || begin[-2] != ';' || value[-1] != '='
        || value[0] == ' ' || value[0] == '\t'
        || last[-1] == ' ' || last[-1] == '\t'
        || ngx_memcmp(begin, name->data, name->length) != 0
        || memchr(value, ';', last - value) != NULL)
    {
        return NGX_DECLINED;
    }

    scan->cookie.data = value;
    scan->cookie.len = last - value;

    begin[-2] = '\0';
    h->value.len = begin - 2 - h->value.data;

    return NGX_OK;
}


/*
 * Our cookie is read here and taken off: no service may see it.  The value
 * is given new bytes, the element keeps its place in both lists.
 */

static ngx_int_t
ngx_http_gray_own_cookie(ngx_http_gray_scan_t *scan, ngx_table_elt_t *h,
    u_char *p)
{
    size_t            len;
    uint32_t          removed;
    struct gray_str   cookies, found;

    static const struct gray_str  names[] = {
        { GRAY_COOKIE_NAME, sizeof(GRAY_COOKIE_NAME) - 1 },
        { GRAY_COOKIE_NAME_HOST, sizeof(GRAY_COOKIE_NAME_HOST) - 1 }
    };

    if (ngx_http_gray_last_cookie(scan, h, p, &names[scan->tls]) == NGX_OK) {
        return NGX_DECLINED;
    }

    cookies = ngx_http_gray_str(h->value);

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


ngx_table_elt_t *
ngx_http_gray_find_header(ngx_list_t *list, const char *name, size_t len)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &list->part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            return &h[i];
        }
    }
}
