/* SPDX-License-Identifier: Apache-2.0
 * agree_line.c - see agree.h: what stands in a line of explanation.
 *
 * Why: that programs print the same bytes does not say that the bytes are
 * right.  What brute force decided is written down here as docs/explain.md
 * has it, and must stand in the line; and a run counts only when the traces
 * that were compared held every condition and every source often enough.
 * Read next: ../../docs/explain.md, agree_programs.c.
 */
#include <string.h>

#include "tests/story/agree.h"

/* ---- what brute force would have printed -------------------------------- */

static const char *text_of(const char *text)
{
    return text == NULL ? "" : text;
}

static const char *bucket_text(uint32_t bucket, char room[16])
{
    if (bucket == GRAY_NONE) {
        return "null";
    }
    snprintf(room, 16, "%u", bucket);
    return room;
}

static bool has(const char *line, size_t length, const char *part)
{
    if (memmem(line, length, part, strlen(part)) == NULL) {
        fprintf(stderr, "agree: brute force wants: %s\n", part);
        return false;
    }
    return true;
}

static bool says_release(const char *line, size_t length,
                         const struct model_release *release,
                         const struct brute_verdict *wanted)
{
    char part[1024], room[16];

    snprintf(part, sizeof(part),
             "{\"release\":\"%s\",\"in\":%s,\"variant\":\"%s\","
             "\"reason\":\"%s\",\"rule\":\"%s\",\"bucket\":%s,\"share\":%u,",
             release->name, wanted->in ? "true" : "false",
             wanted->in ? release->variants[wanted->variant].name : "",
             gray_reason_code((enum gray_reason)wanted->reason),
             text_of(wanted->rule), bucket_text(wanted->bucket, room),
             wanted->stage == GRAY_STAGE_NONE
                 ? release->share
                 : release->stages[wanted->stage].share);
    return has(line, length, part);
}

/* The first bytes, and those between versions and releases. */
static bool says_whole(const char *line, size_t length,
                       const struct scene *scene,
                       const struct brute_request *request,
                       const struct brute_answer *wanted)
{
    static const char *const classes[] = {"live", "shadow", "load",
                                          "rehearsal"};
    const struct gray_model *model = scene->model;
    enum gray_reason reason = (enum gray_reason)wanted->reason;
    char part[1024], room[16];
    int size = snprintf(
        part, sizeof(part), "{\"revision\":1,\"release\":\"%s\",\"arms\":\"",
        wanted->release == GRAY_NONE ? ""
                                     : model->releases[wanted->release].name);

    if ((size_t)size > length || memcmp(line, part, (size_t)size) != 0) {
        fprintf(stderr, "agree: brute force wants first: %s\n", part);
        return false;
    }
    snprintf(part, sizeof(part), "\",\"lane\":\"%s\",\"version\":{",
             wanted->lane == GRAY_NONE ? text_of(request->lane)
                                       : model->lanes[wanted->lane].name);
    if (!has(line, length, part)) {
        return false;
    }
    snprintf(part, sizeof(part),
             "},\"reason\":\"%s\",\"sentence\":\"%s\",\"rule\":\"%s\","
             "\"bucket\":%s,\"class\":\"%s\",\"releases\":[",
             gray_reason_code(reason), gray_reason_sentence(reason),
             text_of(wanted->rule), bucket_text(wanted->bucket, room),
             classes[request->traffic_class]);
    return has(line, length, part);
}

/* A value cannot hold this: its quotes are escaped. */
static uint32_t count_releases(const char *line, size_t length)
{
    static const char mark[] = "\",\"in\":";
    const char *at = line, *end = line + length;
    uint32_t count = 0;

    while ((at = memmem(at, (size_t)(end - at), mark, strlen(mark))) != NULL) {
        at += strlen(mark);
        count++;
    }
    return count;
}

bool line_says(const char *line, size_t length, const struct scene *scene,
               const struct brute_request *request,
               const struct brute_answer *wanted)
{
    uint32_t i, asked = 0;

    if (!says_whole(line, length, scene, request, wanted)) {
        return false;
    }
    for (i = 0; i < scene->model->release_count; i++) {
        if (!wanted->verdicts[i].asked) {
            continue;
        }
        asked++;
        if (!says_release(line, length, &scene->model->releases[i],
                          &wanted->verdicts[i])) {
            return false;
        }
    }
    if (count_releases(line, length) != asked) {
        fprintf(stderr, "agree: brute force asked %u releases\n", asked);
        return false;
    }
    return true;
}

/* ---- conditions met ----------------------------------------------------- */

/* The number of the word that begins here and ends at a quote; 0: none. */
static uint32_t number_of(const char *at, const char *(*word)(uint32_t))
{
    uint32_t i;

    for (i = 1; i < AGREE_WORDS; i++) {
        const char *text = word(i);
        size_t length = text == NULL ? 0 : strlen(text);

        if (length != 0 && strncmp(at, text, length) == 0 &&
            at[length] == '"') {
            return i;
        }
    }
    return 0;
}

/* Where the next `mark` ends; NULL: there is none. */
static const char *after(const char *at, const char *end, const char *mark)
{
    at = memmem(at, (size_t)(end - at), mark, strlen(mark));
    return at == NULL ? NULL : at + strlen(mark);
}

/* One condition of a trace, whose word begins at `at`. */
static bool count_one(struct hits *hits, const char *at, const char *end)
{
    const char *source = after(at, end, "\"source\":\"");
    const char *value = after(at, end, "\"value\":");
    const char *result = after(at, end, "\"result\":");
    uint32_t op, from;
    bool found;

    if (source == NULL || value == NULL || result == NULL) {
        fprintf(stderr, "agree: a trace that is cut off\n");
        return false;
    }
    op = number_of(at, gray_condition_word);
    from = number_of(source, gray_source_word);
    if (op == 0 || from == 0) {
        fprintf(stderr, "agree: no such condition: %.60s\n", at);
        return false;
    }
    found = *result == 't';
    hits->ops[op][found]++;
    hits->sources[from][found] += *value == '"' || from == GRAY_SOURCE_TIME;
    return true;
}

bool hits_count(struct hits *hits, const char *lines, size_t length)
{
    const char *at = lines, *end = lines + length;

    while ((at = after(at, end, "\"condition\":\"")) != NULL) {
        /* else a step that ended without one */
        if (*at != '"' && !count_one(hits, at, end)) {
            return false;
        }
    }
    return true;
}

static bool enough(const char *kind, const char *word, const uint64_t counts[2],
                   uint64_t wanted)
{
    printf("%-9s %-11s %10llu true %10llu false\n", kind, word,
           (unsigned long long)counts[1], (unsigned long long)counts[0]);
    if (counts[0] < wanted || counts[1] < wanted) {
        fprintf(stderr, "agree: %s %s was met too seldom\n", kind, word);
        return false;
    }
    return true;
}

bool hits_check(const struct hits *hits, uint64_t wanted)
{
    bool good = true;
    uint32_t i;

    for (i = GRAY_CONDITION_PRESENT; i <= GRAY_CONDITION_TIME; i++) {
        good &=
            enough("condition", gray_condition_word(i), hits->ops[i], wanted);
    }
    for (i = GRAY_SOURCE_METHOD; i <= GRAY_SOURCE_TIME; i++) {
        good &= enough("source", gray_source_word(i), hits->sources[i], wanted);
    }
    return good;
}
