/* SPDX-License-Identifier: Apache-2.0
 * compile_prefix.c - by how many of their first bytes prefixes are filed.
 *
 * Why: twenty thousand rules for /api/v1/tenant-12345/ differ in their last
 * bytes only, so no lengths fixed beforehand tell every fleet's rules apart;
 * and a request can be asked for a few lengths, not for all 255.  Up to eight
 * different lengths of a slot are all taken.  Of more, the eight are taken for
 * which the sum over them of "the longest posting plus the one that a value
 * expects" is least, counted in the rules' nanoseconds.  A rule goes to the
 * longest taken length that its prefix has, so the taken lengths cut the line
 * of lengths into pieces that do not depend on each other: a dynamic programme
 * over where the pieces begin finds the best cut, not just a good one.
 * Read next: compile_index.c, ../engine/layout.h (gray_index_slot).
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* So that squares of sums stay numbers.  More would only choose worse. */
#define WEIGHT_MAX 4095u

/* One prefix that a rule stands under. */
struct prefix_head {
    const uint8_t *bytes;
    uint32_t slot, length; /* 1 .. GRAY_PREFIX_MAX */
    uint32_t ns;           /* of trying its rule */
};

struct chooser {
    const struct prefix_head *heads; /* of one slot, ascending */
    uint32_t count;
    uint64_t total;                       /* sum of the weights */
    uint32_t length_count;                /* different ones */
    uint8_t lengths[GRAY_PREFIX_MAX];     /* ascending */
    uint32_t first[GRAY_PREFIX_MAX + 1];  /* in by_length, by lengths[] */
    uint64_t short_of[GRAY_PREFIX_MAX];   /* weight of heads shorter than it */
    uint32_t *by_length;                  /* numbers of heads */
    uint32_t *common;                     /* bytes shared with the one before */
    uint32_t *group;
    uint64_t *sum;                        /* weight by group */
    uint64_t row[GRAY_PREFIX_MAX + 1];
    /* Of the lengths from a on, a taken and k at most: cost, and the next one
     * taken (length_count: none). */
    uint64_t best[GRAY_PREFIXES_MAX][GRAY_PREFIX_MAX];
    uint8_t next[GRAY_PREFIXES_MAX][GRAY_PREFIX_MAX];
};

static uint32_t weight_of(const struct prefix_head *head)
{
    return head->ns < WEIGHT_MAX ? head->ns : WEIGHT_MAX;
}

static int by_bytes(const void *left, const void *right)
{
    const struct prefix_head *a = left, *b = right;
    int order;

    if (a->slot != b->slot) {
        return a->slot < b->slot ? -1 : 1;
    }
    order = memcmp(a->bytes, b->bytes,
                   a->length < b->length ? a->length : b->length);
    return order != 0 ? order : (int)a->length - (int)b->length;
}

/* The different lengths, and the heads of each. */
static void sort_lengths(struct chooser *chooser)
{
    uint32_t counts[GRAY_PREFIX_MAX + 1] = {0}, place[GRAY_PREFIX_MAX + 1];
    uint64_t weights[GRAY_PREFIX_MAX + 1] = {0};
    uint32_t i, used = 0, at = 0;

    chooser->total = 0;
    for (i = 0; i < chooser->count; i++) {
        counts[chooser->heads[i].length]++;
        weights[chooser->heads[i].length] += weight_of(&chooser->heads[i]);
    }
    for (i = 1; i <= GRAY_PREFIX_MAX; i++) {
        if (counts[i] == 0) {
            continue;
        }
        chooser->lengths[used] = (uint8_t)i;
        chooser->short_of[used] = chooser->total;
        chooser->first[used++] = place[i] = at;
        chooser->total += weights[i];
        at += counts[i];
    }
    chooser->first[used] = at;
    chooser->length_count = used;
    for (i = 0; chooser->by_length != NULL && i < chooser->count; i++) {
        chooser->by_length[place[chooser->heads[i].length]++] = i;
    }
}

static void find_common(struct chooser *chooser)
{
    const struct prefix_head *a, *b;
    uint32_t i, k;

    chooser->common[0] = 0;
    for (i = 1; i < chooser->count; i++) {
        a = &chooser->heads[i - 1];
        b = &chooser->heads[i];
        for (k = 0; k < a->length && k < b->length; k++) {
            if (a->bytes[k] != b->bytes[k]) {
                break;
            }
        }
        chooser->common[i] = k;
    }
}

/* row[b]: the cost when the lengths from number `a` to before number `b` are
 * filed by the first lengths[a] bytes.  Heads that share them stand together,
 * for they are sorted. */
static void fill_row(struct chooser *chooser, uint32_t a)
{
    uint64_t longest = 0, squares = 0, *sum, weight;
    uint32_t i, b, group = 0, head;

    for (i = 0; i < chooser->count; i++) {
        group += i > 0 && chooser->common[i] < chooser->lengths[a];
        chooser->group[i] = group;
        chooser->sum[i] = 0;
    }
    for (b = a; b < chooser->length_count; b++) {
        for (i = chooser->first[b]; i < chooser->first[b + 1]; i++) {
            head = chooser->by_length[i];
            sum = &chooser->sum[chooser->group[head]];
            weight = weight_of(&chooser->heads[head]);
            squares += weight * (2 * *sum + weight);
            *sum += weight;
            longest = *sum > longest ? *sum : longest;
        }
        chooser->row[b + 1] = longest + squares / chooser->total;
    }
}

static void take(struct chooser *chooser, struct gray_index_slot *ret_slot)
{
    uint32_t a, b, k, end = chooser->length_count, first = 0;
    uint64_t cost, least = UINT64_MAX;

    for (a = end; a-- > 0;) {
        fill_row(chooser, a);
        for (k = 0; k < GRAY_PREFIXES_MAX; k++) {
            chooser->best[k][a] = chooser->row[end];
            chooser->next[k][a] = (uint8_t)end;
            for (b = a + 1; k > 0 && b < end; b++) {
                cost = chooser->row[b] + chooser->best[k - 1][b];
                if (cost < chooser->best[k][a]) {
                    chooser->best[k][a] = cost;
                    chooser->next[k][a] = (uint8_t)b;
                }
            }
        }
    }
    for (a = 0; a < end; a++) {
        /* Longest posting and expected one alike: every value tries them. */
        cost = 2 * chooser->short_of[a] +
               chooser->best[GRAY_PREFIXES_MAX - 1][a];
        if (cost < least) {
            least = cost;
            first = a;
        }
    }
    for (k = GRAY_PREFIXES_MAX, a = first; a < end && k > 0; k--) {
        ret_slot->lengths[ret_slot->prefix_count++] = chooser->lengths[a];
        a = chooser->next[k - 1][a];
    }
}

static int choose_some(struct build *build, struct chooser *chooser,
                       struct gray_index_slot *ret_slot)
{
    size_t count = chooser->count;

    chooser->by_length = malloc(count * sizeof(*chooser->by_length));
    chooser->common = malloc(count * sizeof(*chooser->common));
    chooser->group = malloc(count * sizeof(*chooser->group));
    chooser->sum = malloc(count * sizeof(*chooser->sum));
    if (chooser->by_length == NULL || chooser->common == NULL ||
        chooser->group == NULL || chooser->sum == NULL) {
        build->failed = build->no_memory = true;
        return -1;
    }
    sort_lengths(chooser);
    find_common(chooser);
    take(chooser, ret_slot);
    return 0;
}

static int choose_slot(struct build *build, const struct prefix_head *heads,
                       uint32_t count, struct gray_index_slot *ret_slot,
                       bool *ret_all)
{
    struct chooser *chooser = calloc(1, sizeof(*chooser));
    int result = 0;

    if (chooser == NULL) {
        build->failed = build->no_memory = true;
        return -1;
    }
    ret_slot->slot = heads->slot;
    chooser->heads = heads;
    chooser->count = count;
    sort_lengths(chooser);
    if (chooser->length_count <= GRAY_PREFIXES_MAX) {
        ret_slot->prefix_count = (uint8_t)chooser->length_count;
        memcpy(ret_slot->lengths, chooser->lengths, chooser->length_count);
    } else {
        *ret_all = false;
        result = choose_some(build, chooser, ret_slot);
    }
    free(chooser->by_length);
    free(chooser->common);
    free(chooser->group);
    free(chooser->sum);
    free(chooser);
    return result;
}

static int collect(struct build *build, const struct gray_ruleset *set,
                   const struct index_entry *entries, uint32_t count,
                   const uint8_t *bytes, struct bytes *ret_heads)
{
    const struct rule_origin *origins =
        TABLE(build->origins, struct rule_origin) + set->rules.first;
    struct prefix_head *head;
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (entries[i].key.kind != GRAY_KEY_PREFIX) {
            continue;
        }
        head = bytes_add(build, ret_heads, sizeof(*head));
        if (head == NULL) {
            return -1;
        }
        head->bytes = bytes + entries[i].key.head;
        head->slot = entries[i].key.slot;
        head->length = entries[i].key.prefix;
        head->ns = cost_add(origins[entries[i].rule].ns, COST_CANDIDATE);
    }
    return 0;
}

int prefix_choose(struct build *build, const struct gray_ruleset *set,
                  const struct index_entry *entries, uint32_t count,
                  const uint8_t *bytes, struct bytes *ret_slots, bool *ret_all)
{
    struct bytes buffer = {0};
    struct prefix_head *heads;
    struct gray_index_slot *slot;
    uint32_t i, end;
    int result = collect(build, set, entries, count, bytes, &buffer);

    *ret_all = true;
    heads = TABLE(buffer, struct prefix_head);
    count = COUNT(buffer, struct prefix_head);
    if (count > 1) {
        qsort(heads, count, sizeof(*heads), by_bytes);
    }
    for (i = 0; i < count && result == 0; i = end) {
        for (end = i + 1; end < count && heads[end].slot == heads[i].slot;) {
            end++;
        }
        slot = bytes_add(build, ret_slots, sizeof(*slot));
        result = slot == NULL
                     ? -1
                     : choose_slot(build, &heads[i], end - i, slot, ret_all);
    }
    bytes_free(&buffer);
    return result;
}

uint8_t prefix_length(const struct bytes *slots, uint32_t slot,
                      uint32_t length)
{
    const struct gray_index_slot *all = TABLE(*slots, struct gray_index_slot);
    uint32_t i, k, count = COUNT(*slots, struct gray_index_slot);

    for (i = 0; i < count && all[i].slot != slot; i++) {
    }
    if (i == count) {
        return 0;
    }
    for (k = all[i].prefix_count; k > 0 && all[i].lengths[k - 1] > length;) {
        k--;
    }
    return k == 0 ? 0 : all[i].lengths[k - 1];
}
