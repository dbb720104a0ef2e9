/* SPDX-License-Identifier: Apache-2.0
 * compile_index.c - which rules of a large set can hold at all.
 *
 * Why: the cost of a decision must follow the attributes of the request, not
 * the number of rules.  Each rule is filed under one condition that is
 * necessary for it: "x-user is alice", "the path begins with /cart", "there is
 * a cookie of this name".  Of several such conditions the one with the fewest
 * rules under it is taken, so frequencies are counted over all rules first.
 * A prefix is first taken whole; when these are of more lengths than a slot can
 * have, lengths are chosen among those in use and all rules are filed again.
 * A key is a hash; a collision only adds a candidate that then fails.
 * Read next: compile_prefix.c, cost.c (what this means for gate 3),
 * ../engine/ruleset.c.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* The alternatives under which a condition stands; count 0: it has none. */
struct choice {
    uint64_t score; /* the worst of its postings; smaller is better */
    uint32_t count;
    struct index_key keys[INDEX_KEYS_MAX];
};

struct indexer {
    struct build *build;
    struct map frequency; /* hash to how many conditions have it */
    struct bytes entries; /* struct index_entry */
    struct bytes always;  /* uint32_t */
    bool coarse;          /* only PRESENT keys: see choose_any() */
    bool chosen;          /* prefixes have the lengths of `prefixes` only */
    struct bytes prefixes; /* struct gray_index_slot, while not yet written */
    struct bytes heads;    /* bytes of prefixes, until lengths are chosen */
};

/* ---- keys of one test ---------------------------------------------------- */

static struct index_key key_of(uint8_t kind, uint32_t slot, const char *bytes,
                               uint32_t length)
{
    struct index_key key = {gray_hash_key(kind, slot, bytes, length), slot,
                            kind, 0, 0, 0};

    return key;
}

static bool exact_key(const struct cond *test, uint32_t slot,
                      struct model_text text, struct index_key *ret_key)
{
    if (text.length > GRAY_VALUE_MAX) {
        return false;
    }
    *ret_key = key_of(test->ignore_case ? GRAY_KEY_EXACT_NOCASE
                                        : GRAY_KEY_EXACT,
                      slot, text.data, text.length);
    return true;
}

static bool prefix_key(struct indexer *indexer, const struct cond *test,
                       uint32_t slot, struct model_text text,
                       struct index_key *ret_key)
{
    uint8_t *head, length;

    if (test->ignore_case || text.length == 0) {
        return false;
    }
    length = (uint8_t)(text.length < GRAY_PREFIX_MAX ? text.length
                                                     : GRAY_PREFIX_MAX);
    if (indexer->chosen) {
        length = prefix_length(&indexer->prefixes, slot, length);
        if (length == 0) {
            return false;
        }
    }
    *ret_key = key_of(GRAY_KEY_PREFIX, slot, text.data, length);
    ret_key->prefix = length;
    if (!indexer->chosen) {
        ret_key->head = (uint32_t)indexer->heads.length;
        head = bytes_add(indexer->build, &indexer->heads, length);
        if (head == NULL) {
            return false;
        }
        memcpy(head, text.data, length);
    }
    return true;
}

/* Patterns often begin with fixed bytes ("/api/.*"): then they are prefixes as
 * far as the index is concerned. */
static bool pattern_key(struct indexer *indexer, const struct cond *test,
                        uint32_t slot, struct index_key *ret_key)
{
    char start[GRAY_VALUE_MAX];
    struct model_text text = {start, 0};
    bool whole;

    text.length = build_fixed_start(indexer->build, test, start, sizeof(start),
                                    &whole);
    if (whole && !test->ignore_case) {
        return exact_key(test, slot, text, ret_key);
    }
    return prefix_key(indexer, test, slot, text, ret_key);
}

static bool in_keys(const struct cond *test, uint32_t slot,
                    struct index_key *keys)
{
    uint32_t i;

    if (test->text_count == 0 || test->text_count > INDEX_KEYS_MAX) {
        return false;
    }
    for (i = 0; i < test->text_count; i++) {
        if (!exact_key(test, slot, test->texts[i], &keys[i])) {
            return false;
        }
    }
    return true;
}

/* What narrows more than mere presence. 0: nothing. */
static uint32_t narrow_keys(struct indexer *indexer,
                            const struct cond *test, uint32_t slot,
                            struct index_key *keys)
{
    switch (test->op) {
    case GRAY_CONDITION_EXACT:
        return exact_key(test, slot, test->text, keys);
    case GRAY_CONDITION_PREFIX:
        return prefix_key(indexer, test, slot, test->text, keys);
    case GRAY_CONDITION_IN:
        return in_keys(test, slot, keys) ? test->text_count : 0;
    case GRAY_CONDITION_GLOB:
    case GRAY_CONDITION_REGEX:
        return pattern_key(indexer, test, slot, keys);
    default:
        return 0;
    }
}

/* Keys of a test: all its alternatives, or none at all.  The address and the
 * moment are no values of the request's table; absence cannot be looked up. */
static uint32_t test_keys(struct indexer *indexer, const struct cond *test,
                          struct index_key *keys)
{
    uint32_t slot, count;

    if (test->source == GRAY_SOURCE_TIME ||
        test->source == GRAY_SOURCE_ADDRESS ||
        test->op == GRAY_CONDITION_ABSENT ||
        test->op == GRAY_CONDITION_BLANK ||
        test->op == GRAY_CONDITION_NOT_IN) {
        return 0;
    }
    slot = build_slot(indexer->build, test->source, test->name);
    count = indexer->coarse ? 0 : narrow_keys(indexer, test, slot, keys);
    if (count == 0) {
        keys[0] = key_of(GRAY_KEY_PRESENT, slot, "", 0);
        count = 1;
    }
    return count;
}

/* ---- frequencies --------------------------------------------------------- */

static struct map_cell *frequency(struct indexer *indexer, uint32_t hash)
{
    struct map *map = &indexer->frequency;
    uint32_t i = hash & (map->size - 1);

    if (map->size == 0) {
        return NULL;
    }
    while (map->cells[i].value != GRAY_NONE && map->cells[i].hash != hash) {
        i = (i + 1) & (map->size - 1);
    }
    return map->cells[i].value == GRAY_NONE ? NULL : &map->cells[i];
}

static int count_keys(struct indexer *indexer, const struct cond *cond)
{
    struct index_key keys[INDEX_KEYS_MAX];
    uint32_t i, count;

    if (cond == NULL || cond->kind == COND_NOT) {
        return 0;
    }
    if (cond->kind != COND_TEST) {
        for (i = 0; i < cond->child_count; i++) {
            if (count_keys(indexer, &cond->children[i]) != 0) {
                return -1;
            }
        }
        return 0;
    }
    count = test_keys(indexer, cond, keys);
    for (i = 0; i < count; i++) {
        struct map_cell *cell = frequency(indexer, keys[i].hash);

        if (cell != NULL) {
            cell->value++;
        } else if (map_add(indexer->build, &indexer->frequency, keys[i].hash,
                           1) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the choice ---------------------------------------------------------- */

/* A posting under PRESENT is paid for by every request that has the attribute,
 * one under a prefix by more requests than one under a whole value. */
static uint64_t score_of(struct indexer *indexer, const struct index_key *key)
{
    const struct map_cell *cell = frequency(indexer, key->hash);
    uint64_t count = cell == NULL ? 1 : cell->value;

    switch (key->kind) {
    case GRAY_KEY_PRESENT:
        return count * 8;
    case GRAY_KEY_PREFIX:
        return count * 2 + 1;
    default:
        return count;
    }
}

static void choose(struct indexer *indexer, const struct cond *cond,
                   struct choice *best);

static void choose_test(struct indexer *indexer, const struct cond *cond,
                        struct choice *best)
{
    uint64_t score;
    uint32_t i;

    best->count = test_keys(indexer, cond, best->keys);
    best->score = 0;
    for (i = 0; i < best->count; i++) {
        score = score_of(indexer, &best->keys[i]);
        if (score > best->score) {
            best->score = score;
        }
    }
}

/* Any one child will do: the one with the smallest posting. */
static void choose_all(struct indexer *indexer, const struct cond *cond,
                       struct choice *best)
{
    struct choice other;
    uint32_t i;

    best->count = 0;
    for (i = 0; i < cond->child_count; i++) {
        choose(indexer, &cond->children[i], &other);
        if (other.count != 0 &&
            (best->count == 0 || other.score < best->score)) {
            *best = other;
        }
    }
}

/* Every child must stand somewhere, or the rule could be missed. */
static void choose_any(struct indexer *indexer, const struct cond *cond,
                       struct choice *best)
{
    struct choice other;
    uint32_t i, k, known;

    best->count = 0;
    best->score = 0;
    for (i = 0; i < cond->child_count; i++) {
        choose(indexer, &cond->children[i], &other);
        for (k = 0; k < other.count; k++) {
            for (known = 0; known < best->count; known++) {
                if (best->keys[known].hash == other.keys[k].hash &&
                    best->keys[known].slot == other.keys[k].slot &&
                    best->keys[known].kind == other.keys[k].kind &&
                    best->keys[known].prefix == other.keys[k].prefix) {
                    break;
                }
            }
            if (known == INDEX_KEYS_MAX) {
                best->count = 0;
                return;
            }
            best->keys[known] = other.keys[k];
            best->count += known == best->count;
        }
        if (other.count == 0) {
            best->count = 0;
            return;
        }
        if (other.score > best->score) {
            best->score = other.score;
        }
    }
}

static void choose(struct indexer *indexer, const struct cond *cond,
                   struct choice *best)
{
    best->count = 0;
    switch (cond->kind) {
    case COND_TEST:
        choose_test(indexer, cond, best);
        break;
    case COND_ALL:
        choose_all(indexer, cond, best);
        break;
    case COND_ANY:
        choose_any(indexer, cond, best);
        break;
    case COND_NOT:
        break;
    }
}

static int file_rule(struct indexer *indexer, const struct cond *cond,
                     uint32_t rule)
{
    struct build *build = indexer->build;
    struct index_entry *entries;
    struct choice best;
    uint32_t i, *always;

    best.count = 0;
    if (cond != NULL) {
        choose(indexer, cond, &best);
        if (best.count == 0) {
            indexer->coarse = true;
            choose(indexer, cond, &best);
            indexer->coarse = false;
        }
    }
    if (best.count == 0) {
        always = bytes_add(build, &indexer->always, sizeof(*always));
        if (always == NULL) {
            return -1;
        }
        *always = rule;
        return 0;
    }
    entries = bytes_add(build, &indexer->entries,
                        best.count * sizeof(*entries));
    if (entries == NULL) {
        return -1;
    }
    for (i = 0; i < best.count; i++) {
        entries[i].key = best.keys[i];
        entries[i].rule = rule;
    }
    return 0;
}

/* ---- all rules ----------------------------------------------------------- */

/* Bytes of prefixes are kept only while a rule that stands under one is
 * filed, and not those that were merely counted. */
static int file_rules(struct indexer *indexer, const struct gray_ruleset *set,
                      const struct cond *const *conds)
{
    const struct index_entry *entries;
    uint32_t i, k, count;
    size_t kept;

    for (i = 0; i < set->rules.count; i++) {
        if (count_keys(indexer, conds[i]) != 0) {
            return -1;
        }
        indexer->heads.length = 0;
    }
    for (i = 0; i < set->rules.count; i++) {
        kept = indexer->heads.length;
        k = COUNT(indexer->entries, struct index_entry);
        if (file_rule(indexer, conds[i], i) != 0) {
            return -1;
        }
        entries = TABLE(indexer->entries, struct index_entry);
        count = COUNT(indexer->entries, struct index_entry);
        while (k < count && entries[k].key.kind != GRAY_KEY_PREFIX) {
            k++;
        }
        if (k == count) {
            indexer->heads.length = kept;
        }
    }
    return 0;
}

int build_index(struct build *build, struct gray_ruleset *set,
                const struct cond *const *conds, struct set_cost *ret_cost)
{
    struct indexer indexer = {build};
    bool all = true;
    int result = file_rules(&indexer, set, conds);

    if (result == 0) {
        result = prefix_choose(
            build, set, TABLE(indexer.entries, struct index_entry),
            COUNT(indexer.entries, struct index_entry), indexer.heads.data,
            &indexer.prefixes, &all);
    }
    if (result == 0 && !all) {
        free(indexer.frequency.cells);
        indexer.frequency = (struct map){NULL, 0, 0};
        indexer.entries.length = indexer.always.length = 0;
        indexer.chosen = true;
        result = file_rules(&indexer, set, conds);
    }
    if (result == 0) {
        result = index_write(
            build, set, TABLE(indexer.entries, struct index_entry),
            COUNT(indexer.entries, struct index_entry), &indexer.always,
            ret_cost);
    }
    free(indexer.frequency.cells);
    bytes_free(&indexer.prefixes);
    bytes_free(&indexer.heads);
    bytes_free(&indexer.entries);
    bytes_free(&indexer.always);
    return result;
}
