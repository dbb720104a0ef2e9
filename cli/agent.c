/* SPDX-License-Identifier: Apache-2.0
 * agent.c - the agent's own word in `gray status` and `gray doctor`.
 *
 * Why: on a host whose server is away nobody else can be asked: is it heard,
 * what is in force, until when may this host admit, what was refused and why.
 * Read next: control/agent/tell.c.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/agent.h"
#include "cli/remote.h"

#define TOLD_FILE "agent"
#define TOLD_MAX 65536
#define SILENT_MS 10000 /* it writes every two seconds */

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now = { 0 };

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Some of it came from a server: nothing that moves a cursor. */
static void clean(json_t *told)
{
    const char *key;
    json_t *value;

    json_object_foreach(told, key, value) {
        char text[512];

        if (json_is_object(value)) {
            clean(value);
        }
        if (!json_is_string(value)) {
            continue;
        }
        snprintf(text, sizeof(text), "%s", json_string_value(value));
        for (char *at = text; *at != '\0'; at++) {
            if ((unsigned char)*at < ' ' || *at == 0x7f) {
                *at = ' ';
            }
        }
        json_string_set(value, text); /* a cut character: it stays as it was */
    }
}

json_t *agent_told(const char *folder)
{
    char path[4200], text[TOLD_MAX];
    json_t *told = NULL;
    int64_t lease, left;
    ssize_t got;
    int fd;

    snprintf(path, sizeof(path), "%s/" TOLD_FILE, folder);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return NULL;
    }
    got = read(fd, text, sizeof(text));
    close(fd);
    if (got > 0) {
        told = json_loadb(text, (size_t)got, 0, NULL);
    }
    if (!json_is_object(told)) {
        json_decref(told);
        return NULL;
    }
    clean(told);
    json_object_set_new(told, "ageMs",
                        json_integer(clock_ms(CLOCK_REALTIME) -
                                     number_at(told, "at")));
    lease = number_at(told, "leaseUntilNs") / 1000000;
    if (lease > 0) {
        left = lease - clock_ms(CLOCK_BOOTTIME);
        json_object_set_new(told, "leaseLeftMs",
                            json_integer(left > 0 ? left : 0));
    }
    return told;
}

static double seconds_since(const json_t *told, const char *key)
{
    int64_t ms = clock_ms(CLOCK_REALTIME) - number_at(told, key);

    return ms > 0 ? (double)ms / 1000 : 0;
}

static void lease_text(const json_t *told, char ret_text[64])
{
    const json_t *left = json_object_get(told, "leaseLeftMs");

    if (left == NULL) {
        snprintf(ret_text, 64, "no lease yet");
    } else if (json_integer_value(left) == 0) {
        snprintf(ret_text, 64, "the lease is over");
    } else {
        snprintf(ret_text, 64, "lease %.1f s",
                 (double)json_integer_value(left) / 1000);
    }
}

static void heard_text(const json_t *told, char ret_text[400])
{
    if (json_is_true(json_object_get(told, "reachable"))) {
        snprintf(ret_text, 400, "server %.100s is heard",
                 text_at(told, "server"));
    } else if (number_at(told, "heard") == 0) {
        snprintf(ret_text, 400, "server %.100s was not heard yet: %.250s",
                 text_at(told, "server"), text_at(told, "why"));
    } else {
        snprintf(ret_text, 400, "server %.100s is not heard for %.0f s: %.220s",
                 text_at(told, "server"), seconds_since(told, "heard"),
                 text_at(told, "why"));
    }
}

void agent_print(const json_t *told, FILE *out)
{
    const json_t *refused = json_object_get(told, "refused");
    json_int_t ahead =
        number_at(told, "serverSequence") - number_at(told, "sequence");
    json_int_t unsent =
        number_at(told, "admissions") - number_at(told, "admissionsThrough");
    char heard[400], lease[64];

    heard_text(told, heard);
    lease_text(told, lease);
    if (number_at(told, "ageMs") > SILENT_MS) {
        fprintf(out, "agent: said nothing for %.0f s; is it running? What "
                     "follows is what it said last\n",
                seconds_since(told, "at"));
    }
    fprintf(out, "agent: %s; bundle %lld, revision %lld, epoch %lld; %s\n",
            heard, (long long)number_at(told, "sequence"),
            (long long)number_at(told, "revision"),
            (long long)number_at(told, "epoch"), lease);
    if (ahead > 0) {
        fprintf(out, "agent: the server is at bundle %lld\n",
                (long long)number_at(told, "serverSequence"));
    }
    if (json_is_object(refused)) {
        fprintf(out, "agent: refuses bundle %lld (%s): %s\n",
                (long long)number_at(refused, "sequence"),
                text_at(refused, "code"), text_at(refused, "sentence"));
    }
    if (number_at(told, "hostWords") > 0) {
        fprintf(out, "agent: words set on this host: %lld; each stands until "
                     "somebody at the server says otherwise\n",
                (long long)number_at(told, "hostWords"));
    }
    if (unsent > 0) {
        fprintf(out, "agent: records of marks that are not sent yet: %lld\n",
                (long long)unsent);
    }
    if (text_at(told, "trouble")[0] != '\0') {
        fprintf(out, "agent: %s\n", text_at(told, "trouble"));
    }
}

/* ---- doctor ------------------------------------------------------------------- */

void agent_doctor(struct doctor *doctor)
{
    CLI_CLEANUP(json_freep) json_t *told = agent_told(doctor->folder);
    const json_t *refused = json_object_get(told, "refused");
    char heard[400], lease[64];

    if (told == NULL) {
        return; /* grayd of its own, or none */
    }
    heard_text(told, heard);
    lease_text(told, lease);
    doctor_add(doctor, "agent",
               number_at(told, "ageMs") <= SILENT_MS ? DOCTOR_OK : DOCTOR_FAIL,
               "systemctl restart grayd-agent; what is in force stays so.",
               "the agent (pid %lld) wrote %.0f s ago",
               (long long)number_at(told, "pid"), seconds_since(told, "at"));
    doctor_add(doctor, "server",
               json_is_true(json_object_get(told, "reachable")) ? DOCTOR_OK
                                                                : DOCTOR_FAIL,
               "Look at the network, the token and --ca; this host goes on as "
               "it is. To stop something here: gray stop NAME --local.",
               "%s; %s", heard, lease);
    doctor_add(doctor, "bundle",
               json_is_object(refused) ? DOCTOR_FAIL : DOCTOR_OK,
               "What is in force stays so; docs/grayd.md says what each code "
               "asks for.",
               json_is_object(refused) ? "bundle %lld is in force; %lld is "
                                         "refused (%s): %.250s"
                                       : "bundle %lld is in force",
               (long long)number_at(told, "sequence"),
               (long long)number_at(refused, "sequence"),
               text_at(refused, "code"), text_at(refused, "sentence"));
    if (text_at(told, "trouble")[0] != '\0') {
        doctor_add(doctor, "agent-trouble", DOCTOR_WARN,
                   "See the agent's log.", "%.300s", text_at(told, "trouble"));
    }
}
