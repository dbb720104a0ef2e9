/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_cookie.c - the signed cookie that shows an earlier answer.
 *
 * Why: a cookie costs eight thousand instructions to verify, so that is done
 * only when the answer hangs on it, and a value that was verified once is
 * known again by its exact bytes.  What is forgotten at every swap, since the
 * keys may have changed, is verified once more.  A bad cookie is as if absent:
 * nothing here can fail a request, and nothing gray is an authorisation.
 * Read next: runtime/token.c (the bytes), SEMANTICS 4.
 */


#include "ngx_http_gray_decision.h"


static ngx_http_gray_remembered_t *ngx_http_gray_remember(
    ngx_http_gray_evidence_t *evidence, const struct gray_cookie *cookie);
static ngx_http_gray_remembered_t **ngx_http_gray_recall_set(
    ngx_http_gray_evidence_t *e);
static ngx_http_gray_issued_t *ngx_http_gray_issued(ngx_http_gray_worker_t *w,
    ngx_http_gray_srv_conf_t *gscf, const struct gray_cookie *cookie,
    ngx_uint_t tls);
static ngx_int_t ngx_http_gray_sign(ngx_http_request_t *r,
    ngx_http_gray_ctx_t *ctx, ngx_http_gray_srv_conf_t *gscf,
    struct gray_cookie *cookie, ngx_http_gray_evidence_t *evidence);


static struct gray_str
ngx_http_gray_cookie_name(ngx_uint_t tls)
{
    struct gray_str  name;

    if (tls) {
        name.data = GRAY_COOKIE_NAME_HOST;
        name.length = sizeof(GRAY_COOKIE_NAME_HOST) - 1;

    } else {
        name.data = GRAY_COOKIE_NAME;
        name.length = sizeof(GRAY_COOKIE_NAME) - 1;
    }

    return name;
}


/*
 * A cookie mostly comes with the same unit: whose hash it was is remembered
 * with the cookie, which saves 110 instructions.
 */

static uint64_t
ngx_http_gray_unit_hash(ngx_http_gray_evidence_t *evidence,
    struct gray_str unit)
{
    ngx_http_gray_remembered_t  *known;

    known = evidence->known;

    if (known == NULL || unit.length > sizeof(known->unit)) {
        return gray_unit_hash(unit);
    }

    if (known->unit_len != unit.length
        || ngx_memcmp(known->unit, unit.data, unit.length) != 0)
    {
        known->unit_hash = gray_unit_hash(unit);
        known->unit_len = unit.length;
        ngx_memcpy(known->unit, unit.data, unit.length);
    }

    return known->unit_hash;
}


/* The engine's question: was this unit told IN before? */

struct gray_mark
ngx_http_gray_evidence(void *context, const struct gray_mark_query *query)
{
    ngx_http_gray_evidence_t  *evidence = context;

    const struct gray_cookie   *cookie;
    const struct gray_release  *r;

    cookie = NULL;
    r = NULL;

    if (query->step == GRAY_STEP_EVIDENCE && evidence->value.len) {
        cookie = ngx_http_gray_read_cookie(evidence);
        r = gray_release_at(evidence->policy, query->release);
    }

    return gray_cookie_mark(r ? cookie : NULL, r ? r->scope : 0, query->unit);
}


/* NULL: none, or one that proves nothing. Good until the next event. */

const struct gray_cookie *
ngx_http_gray_read_cookie(ngx_http_gray_evidence_t *evidence)
{
    ngx_uint_t                    i;
    struct gray_cookie            cookie;
    ngx_http_gray_worker_t       *w;
    ngx_http_gray_remembered_t   *known, **set;

    if (evidence->read) {
        return evidence->cookie;
    }

    evidence->read = 1;
    w = evidence->worker;

    if (evidence->value.len == 0 || evidence->value.len > GRAY_COOKIE_MAX) {
        return NULL;
    }

    set = ngx_http_gray_recall_set(evidence);

    for (i = 0; i < NGX_HTTP_GRAY_WAYS; i++) {
        known = set[i];

        if (known && known->len == evidence->value.len
            && known->host == evidence->tls
            && ngx_memcmp(known->value, evidence->value.data, known->len) == 0)
        {
            ngx_http_gray_event(w, GRAY_EVENT_COOKIE_REMEMBERED);

            if (known->cookie.expires > (int64_t) ngx_time()) {
                evidence->cookie = &known->cookie;
                evidence->known = known;
            }

            return evidence->cookie;
        }
    }

    if (gray_cookie_read(w->runtime, ngx_http_gray_cookie_name(evidence->tls),
                         ngx_http_gray_str(evidence->value),
                         (int64_t) ngx_time(), &cookie)
        != 0)
    {
        ngx_http_gray_event(w, GRAY_EVENT_BAD_COOKIE);
        return NULL;
    }

    ngx_http_gray_event(w, GRAY_EVENT_COOKIE_VERIFIED);

    known = ngx_http_gray_remember(evidence, &cookie);

    if (known) {
        i = ++w->turn % NGX_HTTP_GRAY_WAYS;

        if (set[i]) {
            ngx_free(set[i]);
        }

        set[i] = known;
        evidence->cookie = &known->cookie;
        evidence->known = known;
    }

    return evidence->cookie;
}


/* A few places each, so that two values do not drive each other out. */

static ngx_http_gray_remembered_t **
ngx_http_gray_recall_set(ngx_http_gray_evidence_t *e)
{
    uint64_t  tail;

    tail = 0;

    /* the MAC stands last, and is as good as random */

    ngx_memcpy(&tail, e->value.data + e->value.len
                      - ngx_min(e->value.len, sizeof(tail)),
               ngx_min(e->value.len, sizeof(tail)));

    tail = (tail * 0x9e3779b97f4a7c15) >> 32;

    return &e->worker->remembered[tail
                                  % (NGX_HTTP_GRAY_REMEMBERED
                                     / NGX_HTTP_GRAY_WAYS)
                                  * NGX_HTTP_GRAY_WAYS];
}


static ngx_http_gray_remembered_t *
ngx_http_gray_remember(ngx_http_gray_evidence_t *evidence,
    const struct gray_cookie *cookie)
{
    ngx_http_gray_remembered_t  *known;

    known = ngx_alloc(offsetof(ngx_http_gray_remembered_t, value)
                      + evidence->value.len, evidence->worker->log);
    if (known == NULL) {
        return NULL;
    }

    known->len = evidence->value.len;
    known->host = evidence->tls;
    known->cookie = *cookie;
    known->unit_len = 0;
    ngx_memcpy(known->value, evidence->value.data, evidence->value.len);

    return known;
}


void
ngx_http_gray_forget(ngx_http_gray_worker_t *w)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_GRAY_REMEMBERED; i++) {
        if (w->remembered[i]) {
            ngx_free(w->remembered[i]);
            w->remembered[i] = NULL;
        }
    }

    for (i = 0; i < NGX_HTTP_GRAY_ISSUED; i++) {
        w->issued[i].len = 0;
    }
}


/* Does the cookie say so already? */

static ngx_uint_t
ngx_http_gray_has_mark(const struct gray_cookie *cookie,
    const struct gray_release *release, const struct gray_verdict *verdict,
    uint64_t unit_hash)
{
    uint32_t                        i;
    const struct gray_cookie_mark  *m;

    for (i = 0; i < cookie->mark_count; i++) {
        m = &cookie->marks[i];

        if (m->scope == release->scope) {
            return m->unit_hash == unit_hash && m->state == GRAY_MARK_IN
                   && m->variant == verdict->variant
                   && m->attempt == (uint16_t) release->attempt;
        }
    }

    return 0;
}


/* Adds the verdict's mark, or replaces what its scope had. */

static void
ngx_http_gray_add_mark(struct gray_cookie *cookie,
    const struct gray_release *release, const struct gray_verdict *verdict,
    uint64_t unit_hash, uint32_t revision)
{
    uint32_t                  i;
    struct gray_cookie_mark  *m;

    for (i = 0; i < cookie->mark_count; i++) {
        if (cookie->marks[i].scope == release->scope) {
            break;
        }
    }

    if (i == GRAY_ARMS_MAX) {

        /* full: the oldest goes */

        i--;
        ngx_memmove(&cookie->marks[0], &cookie->marks[1],
                    i * sizeof(struct gray_cookie_mark));

    } else if (i == cookie->mark_count) {
        cookie->mark_count++;
    }

    m = &cookie->marks[i];

    ngx_memzero(m, sizeof(struct gray_cookie_mark));

    m->scope = release->scope;
    m->unit_hash = unit_hash;
    m->revision = revision;
    m->attempt = (uint16_t) release->attempt;
    m->state = GRAY_MARK_IN;
    m->variant = verdict->variant;
}


/* The cookie that goes on from the one that came, which is not copied until
 * something is to be changed: most requests carry what they should. */

static void
ngx_http_gray_begin_cookie(struct gray_cookie *cookie,
    const struct gray_cookie *before, ngx_uint_t *changed)
{
    if (*changed) {
        return;
    }

    *changed = 1;

    if (before) {
        *cookie = *before;

    } else {
        cookie->anonymous = 0;
        cookie->mark_count = 0;
    }
}


static ngx_uint_t
ngx_http_gray_admits(const struct gray_colour *colour)
{
    uint32_t  i;

    for (i = 0; i < colour->arm_count; i++) {
        if (colour->arms[i].admit) {
            return 1;
        }
    }

    return 0;
}


/*
 * Prepares Set-Cookie when a unit was admitted here, or an id issued, and
 * the request does not already carry a cookie that says the same.
 */

ngx_int_t
ngx_http_gray_issue(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx,
    ngx_http_gray_srv_conf_t *gscf, const struct gray_view *view,
    struct gray_input *in, const struct gray_colour *colour,
    ngx_http_gray_evidence_t *evidence, uint64_t anonymous)
{
    uint32_t                    i;
    uint64_t                    unit_hash;
    ngx_uint_t                  changed;
    struct gray_str             unit;
    struct gray_cookie          cookie;
    const struct gray_cookie   *before;
    const struct gray_release  *release;
    const struct gray_verdict  *verdict;

    if (!ngx_http_gray_admits(colour) && !in->anonymous_used) {
        return NGX_OK;
    }

    changed = 0;

    before = ngx_http_gray_read_cookie(evidence);

    /* half of its life is over: prolong */

    if (before && before->expires - ngx_time() < gscf->cookie_age / 2) {
        ngx_http_gray_begin_cookie(&cookie, before, &changed);
    }

    for (i = 0; i < colour->arm_count; i++) {
        verdict = &colour->arms[i];

        if (!verdict->admit) {
            continue;
        }

        release = gray_release_at(view->policy, verdict->release);
        unit = gray_unit(view, verdict->release, in);

        if (release == NULL || unit.length == 0) {
            continue;
        }

        unit_hash = ngx_http_gray_unit_hash(evidence, unit);

        if (before
            && ngx_http_gray_has_mark(before, release, verdict, unit_hash))
        {
            continue;
        }

        ngx_http_gray_begin_cookie(&cookie, before, &changed);
        ngx_http_gray_add_mark(&cookie, release, verdict, unit_hash,
                               (uint32_t) view->policy->header->revision);

        /* where no mark is made, this is what tells a first time */

        if (!verdict->record) {
            ngx_http_gray_count_admission(evidence->worker, view, verdict,
                                          ctx->traffic_class);
        }
    }

    if (in->anonymous_used
        && (before == NULL || before->anonymous != anonymous))
    {
        ngx_http_gray_begin_cookie(&cookie, before, &changed);
        cookie.anonymous = anonymous;
    }

    if (!changed) {
        return NGX_OK;
    }

    return ngx_http_gray_sign(r, ctx, gscf, &cookie, evidence);
}


/*
 * Clients that keep no cookies are admitted with every request: the cookie
 * that their unit was given a moment ago is given again, unsigned anew.
 */

static ngx_http_gray_issued_t *
ngx_http_gray_issued(ngx_http_gray_worker_t *w,
    ngx_http_gray_srv_conf_t *gscf, const struct gray_cookie *cookie,
    ngx_uint_t tls)
{
    uint64_t                        hash;
    ngx_uint_t                      i;
    ngx_http_gray_issued_t         *issued, *set;
    const struct gray_cookie_mark  *m;

    if (cookie->mark_count != 1 || cookie->anonymous) {
        return NULL;
    }

    m = &cookie->marks[0];
    hash = m->scope ^ m->unit_hash;
    set = &w->issued[hash % (NGX_HTTP_GRAY_ISSUED / NGX_HTTP_GRAY_WAYS)
                     * NGX_HTTP_GRAY_WAYS];

    for (i = 0; i < NGX_HTTP_GRAY_WAYS; i++) {
        issued = &set[i];

        if (issued->len && issued->tls == tls
            && issued->age == gscf->cookie_age
            && ngx_time() - issued->when < gscf->cookie_age / 64
            && ngx_memcmp(&issued->mark, m, sizeof(struct gray_cookie_mark))
               == 0)
        {
            return issued;
        }
    }

    issued = &set[++w->turn % NGX_HTTP_GRAY_WAYS];

    issued->len = 0;
    issued->tls = tls;
    issued->age = gscf->cookie_age;
    issued->when = ngx_time();
    issued->mark = *m;

    return issued;
}


static ngx_int_t
ngx_http_gray_sign(ngx_http_request_t *r, ngx_http_gray_ctx_t *ctx,
    ngx_http_gray_srv_conf_t *gscf, struct gray_cookie *cookie,
    ngx_http_gray_evidence_t *evidence)
{
    char                     value[GRAY_COOKIE_MAX];
    size_t                   len;
    u_char                  *p;
    struct gray_str          name;
    ngx_http_gray_issued_t  *issued;

    issued = ngx_http_gray_issued(evidence->worker, gscf, cookie,
                                  evidence->tls);

    if (issued && issued->len) {
        ctx->set_cookie.len = issued->len;
        ctx->set_cookie.data = ngx_pnalloc(r->pool, issued->len);
        if (ctx->set_cookie.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(ctx->set_cookie.data, issued->text, issued->len);
        return NGX_OK;
    }

    cookie->issued = ngx_time();
    cookie->expires = cookie->issued + gscf->cookie_age;

    name = ngx_http_gray_cookie_name(evidence->tls);

    len = gray_cookie_write(evidence->worker->runtime, name, cookie, value,
                            sizeof(value));
    if (len == 0) {

        /* no key in this folder: shares answer alike without a cookie */

        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, name.length + 1 + len
                    + sizeof("; Path=/; Max-Age=; HttpOnly; Secure"
                             "; SameSite=Lax")
                    + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->set_cookie.data = p;

    p = ngx_cpymem(p, name.data, name.length);
    *p++ = '=';
    p = ngx_cpymem(p, value, len);
    p = ngx_sprintf(p, "; Path=/; Max-Age=%T; HttpOnly%s; SameSite=Lax",
                    gscf->cookie_age, evidence->tls ? "; Secure" : "");

    ctx->set_cookie.len = p - ctx->set_cookie.data;

    if (issued && ctx->set_cookie.len <= sizeof(issued->text)) {
        issued->len = ctx->set_cookie.len;
        ngx_memcpy(issued->text, ctx->set_cookie.data, issued->len);
    }

    return NGX_OK;
}
