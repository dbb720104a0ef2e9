/* SPDX-License-Identifier: Apache-2.0
 * dump_model.c - a whole model as text, every field of model.h.
 *
 * Why: "equal models" must mean all of it; a comparison that somebody forgot
 * to extend would let a lost field pass.  Pointers of conditions are left out:
 * they speak of the text, not of the policy.
 * Read next: test_source.c.
 */
#include "tests/policy/read_policy.h"

static void text(FILE *out, const char *key, const struct model_text *value)
{
    fprintf(out, " %s=%u'%.*s'", key, value->length, (int)value->length,
            value->data == NULL ? "" : value->data);
}

static void cond(FILE *out, const struct cond *c)
{
    if (c == NULL) {
        fputs("(always)", out);
        return;
    }
    fprintf(out, "(%d", c->kind);
    for (uint32_t i = 0; i < c->child_count; i++) {
        cond(out, &c->children[i]);
    }
    if (c->kind == COND_TEST) {
        fprintf(out, " source=%u op=%u case=%d", c->source, c->op,
                c->ignore_case);
        text(out, "name", &c->name);
        text(out, "text", &c->text);
        text(out, "salt", &c->salt);
        text(out, "pre", &c->pre);
        fprintf(out, " %lld..%lld mod %llu share=%u list=%u semver=%u %u.%u.%u"
                     " %lld..%lld days=%x %u-%u zone=%s width=%u",
                (long long)c->start, (long long)c->end,
                (unsigned long long)c->divisor, c->share, c->list,
                c->semver_op, c->version[0], c->version[1], c->version[2],
                (long long)c->from, (long long)c->until, c->days,
                c->day_start, c->day_end, c->zone == NULL ? "" : c->zone,
                c->tail_width);
        for (uint32_t i = 0; i < c->text_count; i++) {
            text(out, "in", &c->texts[i]);
        }
        for (uint32_t i = 0; i < c->range_count; i++) {
            fprintf(out, " %llu~%llu", (unsigned long long)c->ranges[i].first,
                    (unsigned long long)c->ranges[i].last);
        }
        for (uint32_t i = 0; i < c->tail_count; i++) {
            fprintf(out, " tail=%u", c->tails[i]);
        }
    }
    fputc(')', out);
}

static void rules(FILE *out, const char *key, const struct model_rule *list,
                  uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "  %s %s lane=%u writes=%d ", key, list[i].name,
                list[i].lane, list[i].writes);
        cond(out, list[i].when);
        fputc('\n', out);
    }
}

static void labels(FILE *out, const struct model_label *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, " %s=%s", list[i].key,
                list[i].value == NULL ? "(none)" : list[i].value);
    }
}

static void numbers(FILE *out, const char *key, const uint32_t *list,
                    uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, " %s=%u", key, list[i]);
    }
}

static void service(FILE *out, const struct model_service *s)
{
    fprintf(out, "service %s %s baseline %s:", s->name, s->document,
            s->baseline_version);
    labels(out, s->baseline, s->baseline_count);
    fputc('\n', out);
    for (uint32_t i = 0; i < s->endpoint_count; i++) {
        const struct model_endpoint *e = &s->endpoints[i];
        fprintf(out, "  %s family=%u port=%u weight=%u ", e->address,
                e->family, e->port, e->weight);
        for (int b = 0; b < 16; b++) {
            fprintf(out, "%02x", e->bytes[b]);
        }
        labels(out, e->labels, e->label_count);
        fputc('\n', out);
    }
}

static void release(FILE *out, const struct model_release *r)
{
    fprintf(out, "release %s salt=%s priority=%d share=%u holdback=%u order=",
            r->name, r->salt, r->priority, r->share, r->holdback);
    for (int i = 0; i < 8; i++) {
        fprintf(out, "%u", r->order[i]);
    }
    fprintf(out, " sticky=%u compat=%u anonymous=%u attempt=%u",
            r->stickiness, r->data_compat, r->anonymous, r->attempt);
    fprintf(out, " durability=%u timeout=%u lease=%u flags=%u unknown=%u",
            r->durability, r->strict_timeout, r->admission_lease,
            r->mark_flags, r->on_unknown);
    for (uint32_t i = 0; i < r->stage_count; i++) {
        const struct model_stage *stage = &r->stages[i];
        fprintf(out,
                "\n  stage %s writes=%d missing=%u unknown=%u space=%u "
                "share=%u when ",
                stage->name, stage->writes, stage->on_missing,
                stage->on_unknown, stage->space, stage->share);
        cond(out, stage->when);
    }
    numbers(out, "dimension", r->dimensions, r->dimension_count);
    fprintf(out, " moves=%u", r->dimension);
    if (r->alias.name.data != NULL) {
        fprintf(out, " alias=%u", r->alias.source);
        text(out, "name", &r->alias.name);
    }
    for (uint32_t i = 0; i < r->unit_count; i++) {
        fprintf(out, " unit=%u", r->units[i].source);
        text(out, "name", &r->units[i].name);
    }
    for (uint32_t i = 0; i < r->entrance_count; i++) {
        fprintf(out, " entrance=%s", r->entrances[i]);
    }
    fputs("\n  require ", out);
    cond(out, r->require);
    fputc('\n', out);
    rules(out, "deny", r->deny, r->deny_count);
    rules(out, "allow", r->allow, r->allow_count);
    rules(out, "match", r->match, r->match_count);
    for (uint32_t i = 0; i < r->variant_count; i++) {
        fprintf(out, "  variant '%s' upto=%u", r->variants[i].name,
                r->variants[i].upto);
        for (uint32_t t = 0; t < r->variants[i].target_count; t++) {
            fprintf(out, " %u:%s", r->variants[i].targets[t].service,
                    r->variants[i].targets[t].version);
        }
        fputc('\n', out);
    }
}

char *dump_model(const struct gray_model *m)
{
    char *dump = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&dump, &size);
    for (uint32_t i = 0; i < m->service_count; i++) {
        service(out, &m->services[i]);
    }
    for (uint32_t i = 0; i < m->release_count; i++) {
        release(out, &m->releases[i]);
    }
    for (uint32_t i = 0; i < m->lane_count; i++) {
        const struct model_lane *l = &m->lanes[i];
        fprintf(out, "lane %s group=%s strict=%d enabled=%d", l->name,
                l->group, l->strict, l->enabled);
        labels(out, l->selector, l->selector_count);
        numbers(out, "member", l->services, l->service_count);
        numbers(out, "fallback", l->fallback, l->fallback_count);
        fputc('\n', out);
    }
    for (uint32_t i = 0; i < m->list_count; i++) {
        const struct model_list *l = &m->lists[i];
        fprintf(out, "list %s strict=%d", l->name, l->strict);
        for (uint64_t k = 0; k < l->id_count; k++) {
            text(out, "id", &l->ids[k]);
        }
        fputc('\n', out);
    }
    for (uint32_t i = 0; i < m->entrance_count; i++) {
        const struct model_entrance *e = &m->entrances[i];
        fprintf(out, "entrance '%s'", e->name);
        numbers(out, "release", e->releases, e->release_count);
        fputc('\n', out);
        rules(out, "lane", e->lane_rules, e->lane_rule_count);
    }
    fclose(out);
    return dump;
}
