/* SPDX-License-Identifier: Apache-2.0
 * predict.c - requests a second on every version, if a policy came into force.
 *
 * Why: who comes in follows the share, what then is called follows the code.
 * Both are measured, so both can be said beforehand:
 *
 *   in_then(arm)    entrance requests/s that would carry the arm: by replay,
 *                   else in the measure of the shares, else by the share
 *   ratio(arm, s)   requests at service s that carry it, for each entrance
 *                   request that does; of the old version: those that do not
 *   then(version)   measured + sum over arms of (in_then - in_window) * ratio
 *   now(version)    the same with what is in under the present policy, for a
 *                   share that grew a moment ago fills no window yet
 *
 * Where the new version's ratio is not the old one's, growth is not linear in
 * the share, and the call is named.  Until the new version has had requests
 * its ratio is assumed to be the old one's.
 * Read next: rates.c (what is measured), report.c, docs/plan.md.
 */
#include "impact/predict.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MIN 20u     /* of a call that is said to be new, or gone */
#define SHARE_MIN 50.0    /* requests that the share alone would let in */
#define SURE 4.0          /* standard deviations */
#define NOTICEABLE 1.1    /* a smaller factor is no news */

/* ---- what was measured ------------------------------------------------------ */

static uint64_t flow_of(const struct impact_traffic *traffic,
                        const char *service, const char *arm)
{
    for (size_t i = 0; traffic != NULL && i < traffic->flow_count; i++) {
        if (strcmp(traffic->flows[i].service, service) == 0 &&
            strcmp(traffic->flows[i].arm, arm) == 0) {
            return traffic->flows[i].requests;
        }
    }
    return 0;
}

static uint64_t requests_of(const struct impact_traffic *traffic,
                            const char *service, const char *version)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < traffic->series_count; i++) {
        if (strcmp(traffic->series[i].service, service) == 0 &&
            (version == NULL ||
             strcmp(traffic->series[i].version, version) == 0)) {
            sum += traffic->series[i].requests;
        }
    }
    return sum;
}

/* ---- arms ------------------------------------------------------------------- */

static void arm_name(char text[GRAY_NAME_MAX + 1],
                     const struct model_release *release,
                     const struct model_variant *variant)
{
    snprintf(text, GRAY_NAME_MAX + 1, "%s%s%s", release->name,
             variant->name[0] != '\0' ? ":" : "", variant->name);
}

static double weight_of(const struct model_release *release, uint32_t variant)
{
    uint32_t from = variant == 0 ? 0 : release->variants[variant - 1].upto;

    return (release->variants[variant].upto - from) / 1e6;
}

static const struct model_release *find_release(const struct gray_model *model,
                                                const char *name)
{
    for (uint32_t i = 0; model != NULL && i < model->release_count; i++) {
        if (strcmp(model->releases[i].name, name) == 0) {
            return &model->releases[i];
        }
    }
    return NULL;
}

/* Who is in now, as part of all that came in under the present policy; < 0: not
 * known. */
static double part_now(const struct impact_question *q,
                       const struct model_release *before)
{
    const struct impact_traffic *present =
        q->present != NULL && q->present->entered >= IMPACT_REQUESTS_MIN
            ? q->present
            : NULL;
    uint64_t in = 0;

    if (present == NULL || before == NULL) {
        return -1;
    }
    for (uint32_t v = 0; v < before->variant_count; v++) {
        char arm[GRAY_NAME_MAX + 1];

        arm_name(arm, before, &before->variants[v]);
        in += flow_of(present, "", arm);
    }
    return (double)in / (double)present->entered;
}

/* The part of entrance requests that would be in, and what that stands on. */
static double part_then(const struct impact_question *q,
                        const struct model_release *before,
                        const struct model_release *after, bool same,
                        enum impact_basis *ret_basis)
{
    double share = after->share / 1e6, now = part_now(q, before);
    double entered = q->present != NULL ? (double)q->present->entered : 0;
    const struct impact_replayed *replayed =
        q->replay != NULL && q->replay->replayed >= IMPACT_REQUESTS_MIN
            ? predict_replayed(q->replay, after->name)
            : NULL;

    /* the more of both that were seen in, the less is left to chance */
    if (same && now >= 0 && before->share > 0 &&
        entered * fmax(now, before->share / 1e6) >= SHARE_MIN &&
        (replayed == NULL ||
         (double)replayed->after < fmin(IMPACT_REQUESTS_MIN,
                                        now * entered))) {
        *ret_basis = IMPACT_MEASURED;
        return fmin(1, now * (after->share / (double)before->share));
    }
    if (replayed != NULL) {
        *ret_basis = IMPACT_REPLAYED;
        return (double)replayed->after / (double)q->replay->replayed;
    }
    *ret_basis = IMPACT_BY_SHARE;
    return share;
}

/* ---- one release ------------------------------------------------------------- */

static struct predict_arm *predict_arm(struct predict *p,
                                       const struct model_release *release,
                                       uint32_t variant)
{
    struct predict_arm *arm = &p->arms[p->arm_count++];
    const struct impact_traffic *present = p->q->present;

    *arm = (struct predict_arm) { .release = release, .variant = variant };
    arm_name(arm->name, release, &release->variants[variant]);
    arm->entered = flow_of(p->q->traffic, "", arm->name);
    arm->in_window = (double)arm->entered / p->q->traffic->seconds;
    arm->in_now = arm->in_window;
    if (present != NULL && present->entered >= IMPACT_REQUESTS_MIN) {
        arm->in_now = p->impact->entrance *
                      ((double)flow_of(present, "", arm->name) /
                       (double)present->entered);
    }
    arm->in_then = arm->in_now;
    return arm;
}

/* Arms of a release that is there afterwards. */
static void predict_release(struct predict *p,
                            const struct model_release *before,
                            const struct model_release *after)
{
    struct impact *impact = p->impact;
    struct impact_release *row = &impact->releases[impact->release_count++];
    bool same = predict_same_rules(p, after->name);
    double part = 0;

    *row = (struct impact_release) {
        .name = after->name,
        .was = before != NULL,
        .is = true,
        .share_before = before != NULL ? before->share : 0,
        .share_after = after->share,
        .basis = IMPACT_UNKNOWN,
        .now = -1,
        .then = -1,
    };
    row->basis = same && before != NULL && before->share == after->share
                     ? IMPACT_UNCHANGED
                     : IMPACT_UNKNOWN;
    if (!impact->measured) {
        return;
    }
    if (row->basis != IMPACT_UNCHANGED) {
        part = part_then(p->q, before, after, same, &row->basis);
    }
    row->now = 0;
    row->then = 0;
    for (uint32_t v = 0; v < after->variant_count; v++) {
        struct predict_arm *arm = predict_arm(p, after, v);

        arm->changes = row->basis != IMPACT_UNCHANGED;
        if (arm->changes) {
            arm->in_then = impact->entrance *
                           predict_split(p->q, row->basis, arm->name, part,
                                         weight_of(after, v));
        }
        row->now += arm->in_now;
        row->then += arm->in_then;
    }
}

/* One that goes: everybody in it drops out. */
static void predict_gone(struct predict *p, const struct model_release *before)
{
    struct impact *impact = p->impact;
    struct impact_release *row = &impact->releases[impact->release_count++];

    *row = (struct impact_release) {
        .name = before->name,
        .was = true,
        .share_before = before->share,
        .basis = impact->measured ? IMPACT_MEASURED : IMPACT_UNKNOWN,
        .now = impact->measured ? 0 : -1,
        .then = impact->measured ? 0 : -1,
    };
    for (uint32_t v = 0; impact->measured && v < before->variant_count; v++) {
        struct predict_arm *arm = predict_arm(p, before, v);

        arm->in_then = 0;
        arm->changes = true;
        row->now += arm->in_now;
    }
}

static void predict_releases(struct predict *p)
{
    const struct gray_model *before = p->q->before, *after = p->q->after;

    for (uint32_t i = 0; i < after->release_count; i++) {
        predict_release(p, find_release(before, after->releases[i].name),
                        &after->releases[i]);
    }
    for (uint32_t i = 0; before != NULL && i < before->release_count; i++) {
        if (find_release(after, before->releases[i].name) == NULL) {
            predict_gone(p, &before->releases[i]);
        }
    }
}

/* ---- one service --------------------------------------------------------------- */

static struct impact_version *version_of(struct predict *p,
                                         const char *service,
                                         const char *version)
{
    for (size_t i = 0; i < p->impact->version_count; i++) {
        struct impact_version *row = &p->impact->versions[i];

        if (strcmp(row->service, service) == 0 &&
            strcmp(row->version, version) == 0) {
            return row;
        }
    }
    return NULL;
}

/* What the arm runs of this service; NULL: the baseline. */
static const char *target_of(const struct predict *p,
                             const struct predict_arm *arm,
                             const char *service)
{
    const struct gray_model *model =
        find_release(p->q->after, arm->release->name) == arm->release
            ? p->q->after
            : p->q->before;
    const struct model_variant *variant =
        &arm->release->variants[arm->variant];

    for (uint32_t i = 0; i < variant->target_count; i++) {
        if (strcmp(model->services[variant->targets[i].service].name,
                   service) == 0) {
            return variant->targets[i].version;
        }
    }
    return NULL;
}

/* Is the new version's ratio another than the old one's, beyond chance? */
static bool is_other(uint64_t n_new, uint64_t e_new, uint64_t n_old,
                     uint64_t e_old, enum impact_kind *ret_kind)
{
    double r_new = (double)n_new / (double)e_new;
    double r_old = (double)n_old / (double)e_old;
    double both = (double)(n_new + n_old) / (double)(e_new + e_old);
    double spread = sqrt(both * (1.0 / (double)e_new + 1.0 / (double)e_old));

    if (n_old == 0) {
        *ret_kind = IMPACT_ONLY_NEW;
        return n_new >= CALLS_MIN;
    }
    if (n_new == 0) {
        *ret_kind = IMPACT_ONLY_OLD;
        return (double)e_new * r_old >= CALLS_MIN;
    }
    *ret_kind = r_new > r_old ? IMPACT_MORE : IMPACT_LESS;
    return fabs(r_new - r_old) > SURE * spread &&
           (r_new > r_old ? r_new / r_old : r_old / r_new) > NOTICEABLE;
}

static void name_call(struct predict *p, const struct predict_arm *arm,
                      const char *service, const char *version,
                      enum impact_kind kind, double old_ratio,
                      double new_ratio)
{
    struct impact_call *call = &p->impact->calls[p->impact->call_count++];

    *call = (struct impact_call) {
        .service = service,
        .version = version,
        .kind = kind,
        .old_ratio = old_ratio,
        .new_ratio = new_ratio,
        .linear = arm->in_then * old_ratio,
        .then = arm->in_then * new_ratio,
    };
    memcpy(call->arm, arm->name, sizeof(call->arm));
}

/* What one arm changes on a service, beside requests without it. */
static void predict_on_service(struct predict *p,
                               const struct predict_arm *arm,
                               const struct model_service *service,
                               uint64_t others, uint64_t others_entered)
{
    const char *target = target_of(p, arm, service->name);
    struct impact_version *base =
        version_of(p, service->name, service->baseline_version);
    struct impact_version *to =
        target != NULL ? version_of(p, service->name, target) : base;
    uint64_t calls = flow_of(p->q->traffic, service->name, arm->name);
    bool old_known = others_entered >= IMPACT_REQUESTS_MIN;
    bool new_known = arm->entered >= IMPACT_REQUESTS_MIN;
    double old_ratio =
        old_known ? (double)others / (double)others_entered : 0;
    double new_ratio =
        new_known ? (double)calls / (double)arm->entered : old_ratio;
    double then = arm->in_then - arm->in_window;
    double now = arm->in_now - arm->in_window;
    enum impact_kind kind;

    old_ratio = old_known ? old_ratio : new_ratio;
    if (to != NULL) {
        to->then += then * new_ratio;
        to->now += now * new_ratio;
        to->touched |= arm->changes && target != NULL;
    }
    if (base != NULL) {
        base->then -= then * old_ratio;
        base->now -= now * old_ratio;
        base->touched |= arm->changes && target != NULL;
    }
    if (arm->changes && old_known && new_known &&
        is_other(calls, arm->entered, others, others_entered, &kind)) {
        name_call(p, arm, service->name,
                  target != NULL ? target : service->baseline_version, kind,
                  old_ratio, new_ratio);
    }
}

static void predict_service(struct predict *p,
                            const struct model_service *service)
{
    const struct impact_traffic *traffic = p->q->traffic;
    uint64_t all = requests_of(traffic, service->name, NULL);

    for (size_t i = 0; i < p->arm_count;) {
        const struct model_release *release = p->arms[i].release;
        uint64_t calls = 0, entered = 0;
        size_t end = i;

        while (end < p->arm_count && p->arms[end].release == release) {
            calls += flow_of(traffic, service->name, p->arms[end].name);
            entered += p->arms[end++].entered;
        }
        for (; i < end; i++) {
            predict_on_service(p, &p->arms[i], service,
                               all > calls ? all - calls : 0,
                               traffic->entered > entered
                                   ? traffic->entered - entered
                                   : 0);
        }
    }
}

/* ---- versions ------------------------------------------------------------------- */

static void list_versions(struct predict *p)
{
    struct impact *impact = p->impact;

    for (uint32_t i = 0; i < p->q->after->service_count; i++) {
        const struct model_service *service = &p->q->after->services[i];

        for (uint32_t v = 0; v < service->version_count; v++) {
            const char *version = service->versions[v].name;
            struct impact_version *row =
                &impact->versions[impact->version_count++];

            *row = (struct impact_version) {
                .service = service->name,
                .version = version,
                .baseline = strcmp(version, service->baseline_version) == 0,
                .now = -1,
                .then = -1,
                .capacity = service->versions[v].capacity,
            };
            if (impact->measured) {
                row->now = (double)requests_of(p->q->traffic, service->name,
                                               version) /
                           impact->seconds;
                row->then = row->now;
            }
        }
    }
}

static void judge(struct impact *impact, struct impact_version *row)
{
    double capacity = (double)row->capacity;

    row->then = impact->measured ? fmax(0, row->then) : -1;
    row->now = impact->measured ? fmax(0, row->now) : -1;
    row->touched |= fabs(row->then - row->now) > 0.01 * fmax(1, row->now);
    row->verdict = row->then < 0          ? IMPACT_NO_FIGURE
                   : row->capacity == 0   ? IMPACT_NO_CAPACITY
                   : row->then > capacity ? IMPACT_IS_OVER
                   : row->then * 100 >= capacity * IMPACT_NEAR
                       ? IMPACT_IS_NEAR
                       : IMPACT_FITS;
    if (row->touched && row->verdict > impact->worst) {
        impact->worst = row->verdict;
    }
}

static int make_room(struct predict *p)
{
    const struct gray_model *before = p->q->before, *after = p->q->after;
    size_t releases = after->release_count, arms = 0, versions = 0;

    releases += before != NULL ? before->release_count : 0;
    for (uint32_t i = 0; i < after->release_count; i++) {
        arms += after->releases[i].variant_count;
    }
    for (uint32_t i = 0; before != NULL && i < before->release_count; i++) {
        arms += before->releases[i].variant_count;
    }
    for (uint32_t i = 0; i < after->service_count; i++) {
        versions += after->services[i].version_count;
    }
    p->arms = calloc(arms + 1, sizeof(*p->arms));
    p->impact->releases = calloc(releases + 1, sizeof(*p->impact->releases));
    p->impact->versions = calloc(versions + 1, sizeof(*p->impact->versions));
    p->impact->calls = calloc(arms * after->service_count + 1,
                              sizeof(*p->impact->calls));
    return p->arms != NULL && p->impact->releases != NULL &&
                   p->impact->versions != NULL && p->impact->calls != NULL
               ? 0
               : -ENOMEM;
}

int impact_predict(const struct impact_question *question,
                   struct impact *ret_impact)
{
    struct impact impact = { 0 };
    struct predict p = { .q = question, .impact = &impact };
    int error = make_room(&p);

    error = error != 0 ? error : predict_sources(&p);
    if (error != 0) {
        predict_clear(&p);
        impact_free(&impact);
        return error;
    }
    if (question->traffic != NULL && question->traffic->seconds > 0) {
        impact.seconds = question->traffic->seconds;
        impact.entered = question->traffic->entered;
        impact.entrance = (double)impact.entered / impact.seconds;
        impact.measured = impact.entered >= IMPACT_REQUESTS_MIN;
    }
    predict_releases(&p);
    list_versions(&p);
    for (uint32_t i = 0;
         impact.measured && i < question->after->service_count; i++) {
        predict_service(&p, &question->after->services[i]);
    }
    for (size_t i = 0; i < impact.version_count; i++) {
        judge(&impact, &impact.versions[i]);
    }
    predict_clear(&p);
    *ret_impact = impact;
    return 0;
}

void impact_free(struct impact *impact)
{
    free(impact->releases);
    free(impact->versions);
    free(impact->calls);
    *impact = (struct impact) { 0 };
}
