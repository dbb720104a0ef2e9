/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_outcome.c - what a decision leaves behind.
 *
 * Why: the mapping that the decision points into may be gone at the next
 * event, so names and numbers that later moments need are copied into the
 * request's record here, and what is to be told of it (cookie, explanation,
 * decision log) is made while all of it is still at hand.
 * Read next: ngx_http_gray_cookie.c, ngx_http_gray_log.c, engine/explain.c.
 */


#include "ngx_http_gray_decision.h"


static void ngx_http_gray_admissions(ngx_http_gray_decision_t *d)
    ngx_http_gray_seldom;
static void ngx_http_gray_limits(ngx_http_gray_decision_t *d)
    ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_leave_colour(ngx_http_gray_decision_t *d);
static ngx_int_t ngx_http_gray_one_arm(ngx_http_gray_decision_t *d);
static void ngx_http_gray_write_arm(ngx_http_gray_decision_t *d,
    ngx_http_gray_one_arm_t *arm, const struct gray_verdict *verdict)
    ngx_http_gray_seldom;
static ngx_int_t ngx_http_gray_tell(ngx_http_gray_decision_t *d)
    ngx_http_gray_seldom;


/* Copies out of the mapping what later moments need. */

ngx_int_t
ngx_http_gray_leave(ngx_http_gray_decision_t *d)
{
    struct gray_colour   *colour;
    ngx_http_gray_ctx_t  *ctx;

    ctx = d->ctx;
    colour = &d->colour;

    ctx->epoch = d->worker->epoch;
    ctx->reason = colour->reason;
    ctx->bucket = colour->bucket;

    if (colour->hold) {
        ctx->hold = 1;
        ctx->refused = 1;
    }

    if (d->input.too_long || d->input.overflow) {
        ngx_http_gray_limits(d);
    }

    ngx_http_gray_count_one(d->worker->decisions[colour->reason
                          + (d->entrance != GRAY_NONE
                             && colour->traffic_class == GRAY_CLASS_LIVE
                             ? GRAY_DECISIONS_ENTRANCE : 0)]);

    if ((colour->lane != GRAY_NONE || colour->arm_count || d->lane.length
         || d->arms.length)
        && ngx_http_gray_leave_colour(d) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (colour->record_count) {
        ngx_http_gray_admissions(d);
    }

    if ((colour->arm_count || d->input.anonymous_used)
        && d->conf->cookie && d->conf->entrance
        && ngx_http_gray_issue(d->request, ctx, d->conf, d->view, &d->input,
                               colour, &d->evidence, d->anonymous)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (d->conf->tells) {

        if (d->conf->record && d->entrance != GRAY_NONE
            && colour->traffic_class == GRAY_CLASS_LIVE)
        {
            ngx_http_gray_record_request(d->conf->record, &d->input,
                                         &d->conf->entrance_name);
        }

        return ngx_http_gray_tell(d);
    }

    return NGX_OK;
}


/* Whose mark is new, and was not told IN before under another name. */

static void
ngx_http_gray_admissions(ngx_http_gray_decision_t *d)
{
    uint32_t                    i;
    const struct gray_verdict  *verdict;

    for (i = 0; i < d->colour.arm_count; i++) {
        verdict = &d->colour.arms[i];

        if (verdict->record == GRAY_MARK_IN
            && verdict->reason != GRAY_REASON_ALIAS
            && verdict->reason != GRAY_REASON_COOKIE)
        {
            ngx_http_gray_count_admission(d->worker, d->view, verdict,
                                          d->traffic_class);
        }
    }
}


static void
ngx_http_gray_limits(ngx_http_gray_decision_t *d)
{
    if (d->input.too_long) {
        ngx_http_gray_event(d->worker, GRAY_EVENT_VALUE_TOO_LONG);
    }

    if (d->input.overflow) {
        ngx_http_gray_event(d->worker, GRAY_EVENT_INPUT_OVERFLOW);
    }
}


static ngx_int_t
ngx_http_gray_leave_colour(ngx_http_gray_decision_t *d)
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

    if (colour->lane != GRAY_NONE || colour->arm_count) {

        ctx->colour = ngx_palloc(pool, sizeof(struct gray_colour));
        if (ctx->colour == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(ctx->colour, colour,
                   offsetof(struct gray_colour, arms)
                   + colour->arm_count * sizeof(struct gray_verdict));
    }

    if (colour->arm_count == 1 && colour->lane == GRAY_NONE
        && d->lane.length == 0 && d->arms.length == 0
        && ngx_http_gray_one_arm(d) == NGX_OK)
    {
        return NGX_OK;
    }

    if (d->entrance != GRAY_NONE) {
        ngx_http_gray_count_flows(d->worker, colour, GRAY_NONE);
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

    return NGX_OK;
}


/*
 * Most coloured requests carry one arm: its text is written once an epoch and
 * copied from then on, which saves 450 instructions.  NGX_DECLINED: too long.
 */

static ngx_int_t
ngx_http_gray_one_arm(ngx_http_gray_decision_t *d)
{
    ngx_http_gray_ctx_t        *ctx;
    ngx_http_gray_one_arm_t    *arm;
    const struct gray_verdict  *verdict;

    ctx = d->ctx;
    verdict = &d->colour.arms[0];
    arm = &d->worker->one_arm[verdict->release % NGX_HTTP_GRAY_ONE_ARMS];

    if (arm->epoch != d->worker->epoch || arm->release != verdict->release
        || arm->variant != verdict->variant)
    {
        ngx_http_gray_write_arm(d, arm, verdict);
    }

    if (arm->len == 0) {
        return NGX_DECLINED;
    }

    if (arm->flow && d->colour.traffic_class == GRAY_CLASS_LIVE) {
        ngx_http_gray_count_one(arm->flow->requests);
    }

    ngx_memcpy(ctx->carried, arm->text, NGX_HTTP_GRAY_CARRIED);

    ctx->baggage.data = ctx->carried;
    ctx->baggage.len = arm->len;

    ctx->arms.data = ctx->carried + sizeof("gray.arms=") - 1;
    ctx->arms.len = arm->len - (sizeof("gray.arms=") - 1);

    return NGX_OK;
}


static void
ngx_http_gray_write_arm(ngx_http_gray_decision_t *d,
    ngx_http_gray_one_arm_t *arm, const struct gray_verdict *verdict)
{
    size_t           len, written;
    char             arms[GRAY_CARRIED_MAX], text[GRAY_CARRIED_MAX + 64];
    struct gray_str  none;

    none.data = "";
    none.length = 0;

    arm->epoch = d->worker->epoch;
    arm->release = verdict->release;
    arm->variant = verdict->variant;
    arm->len = 0;
    arm->flow = d->worker->counted
                ? gray_counters_flow(d->worker->runtime, GRAY_NONE, verdict)
                : NULL;

    len = gray_arms_write(d->view, &d->colour, none, arms, sizeof(arms));

    if (len == 0 || len > sizeof(arm->text) - (sizeof("gray.arms=") - 1)) {
        return;
    }

    written = gray_baggage_write(none, none,
                                 (struct gray_str) { arms, (uint32_t) len },
                                 GRAY_CLASS_LIVE, text, sizeof(text));

    /* a name that must be encoded would not stand in both as it is */

    if (written == len + sizeof("gray.arms=") - 1
        && ngx_memcmp(text + sizeof("gray.arms=") - 1, arms, len) == 0)
    {
        arm->len = written;
        ngx_memcpy(arm->text, text, written);
    }
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
                       gray_marked_ask, d->marked, (char *) p, size);

    if (len >= size) {

        /* rare: many releases, all of them traced */

        size = len + 1;

        p = ngx_pnalloc(d->request->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        len = gray_explain(d->view, d->entrance, &d->input,
                           gray_marked_ask, d->marked, (char *) p, size);
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
