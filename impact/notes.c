/* SPDX-License-Identifier: Apache-2.0
 * notes.c - what a policy means for users and nobody asked.
 *
 * Why: a request without its unit, and a cookie on plain http, surprise people
 * when it is too late; plan says both, whoever works it out.
 * Read next: report.c.
 */
#include <stdarg.h>

#include "impact/impact.h"

static void add_note(json_t *notes, const char *code, const char *release,
                     const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void add_note(json_t *notes, const char *code, const char *release,
                     const char *format, ...)
{
    char sentence[512];
    va_list list;

    va_start(list, format);
    vsnprintf(sentence, sizeof(sentence), format, list);
    va_end(list);
    json_array_append_new(notes,
                          json_pack("{s:s,s:s,s:s}", "code", code, "release",
                                    release, "sentence", sentence));
}

static void note_release(json_t *notes, const struct model_release *release)
{
    static const struct {
        const char *code, *sentence;
    } anonymous[] = {
        [GRAY_ANONYMOUS_BASELINE] = { "anonymous-baseline",
                                      "goes to the baseline" },
        [GRAY_ANONYMOUS_COOKIE] = { "anonymous-cookie",
                                    "is given a signed id in a cookie and "
                                    "sticks to it" },
        [GRAY_ANONYMOUS_RANDOM] = { "anonymous-random",
                                    "is drawn anew each time and does not "
                                    "stick" },
    };
    uint8_t kind = release->anonymous;

    if (release->unit_count > 0 &&
        kind < sizeof(anonymous) / sizeof(anonymous[0])) {
        const struct model_unit *unit = &release->units[0];

        add_note(notes, anonymous[kind].code, release->name,
                 "a request without its unit (%s%s%.*s%s) %s.",
                 gray_source_word(unit->source),
                 unit->name.length > 0 ? " " : "", (int)unit->name.length,
                 unit->name.length > 0 ? unit->name.data : "",
                 release->unit_count > 1 ? ", or another" : "",
                 anonymous[kind].sentence);
    }
    if (release->stickiness != GRAY_STICKY_NONE ||
        kind == GRAY_ANONYMOUS_COOKIE) {
        add_note(notes, "plain-http-cookie", release->name,
                 "the sticky cookie is __Host-gray on https; where a listener "
                 "is plain http it is called gray and any neighbour on the "
                 "wire can read it.");
    }
}

json_t *impact_notes(const struct gray_model *model)
{
    json_t *notes = json_array();

    for (uint32_t i = 0; i < model->release_count; i++) {
        note_release(notes, &model->releases[i]);
    }
    return notes;
}
