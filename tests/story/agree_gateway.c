/* SPDX-License-Identifier: Apache-2.0
 * agree_gateway.c - one invented policy's requests, through nginx and libgray.
 *
 * Why: the same decision must come out of the gateway and of the library, to
 * the byte, and a rare difference is met by a million of requests, not by
 * thousands.  The story has published the policy and started nginx; each
 * request goes there, pipelined, and while nginx works on a batch the library
 * explains the same one.  What nginx says in X-Gray-Explain is compared.
 * A window of time may open between the two answers, or a mark be made, so
 * what differs is asked again, twice; a variant for nobody in particular is drawn by either side for
 * itself, and is left out.
 *
 *   agree_gateway RUNTIME --seed S --policy N --requests M
 *       --port NAME=NUMBER ... [--first]
 *   --first: only ask nginx, which then has made its marks
 * Prints how many were compared and left out.
 * Read next: a_million_decisions_agree.py, agree_library.c.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/story/agree.h"

#define BATCH 32u
#define ENTRANCES 4u
#define ANSWER_BYTES (AGREE_LINE_BYTES + 4096u)
#define HEADER "\r\nX-Gray-Explain: "

struct pending {
    struct invented in;
    char method[16];
    struct brute_pair attrs[BRUTE_PAIRS], labels[BRUTE_PAIRS];
};
struct entrance {
    const char *name;
    int fd;
    struct pending pending[BATCH];
    uint32_t count;
    char *buffer; /* what nginx said and was not looked at */
    size_t length;
};
struct run {
    const char *runtime;
    uint64_t seed, requests;
    uint32_t policy, entrance_count;
    bool first;
    struct entrance entrances[ENTRANCES];
    struct gray_client *client;
    uint64_t compared, left_out, again;
};

static void die(const char *what)
{
    fprintf(stderr, "agree_gateway: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- a request as nginx will see it ------------------------------------------ */

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n\v\f")] == '\0';
}

/* HTTP cannot say a blank value. */
static uint32_t without_blanks(struct brute_pair *pairs, uint32_t count)
{
    uint32_t i, kept = 0;

    for (i = 0; i < count; i++) {
        if (!is_blank(pairs[i].value)) {
            pairs[kept++] = pairs[i];
        }
    }
    return kept;
}

/* False: HTTP cannot say it at all. */
static bool adjust(struct pending *p)
{
    struct brute_request *r = &p->in.request;
    size_t i;

    if (strcmp(r->target, "*") == 0) {
        return false;
    }
    for (i = 0; r->method[i] != '\0' && i < sizeof(p->method) - 1; i++) {
        p->method[i] = (char)toupper((unsigned char)r->method[i]);
    }
    p->method[i] = '\0';
    r->method = p->method;
    r->host = r->host != NULL ? r->host : "x";
    r->source = r->source != NULL ? r->source : "127.0.0.1";
    r->attr_count = without_blanks(r->attrs, r->attr_count);
    r->label_count = without_blanks(r->labels, r->label_count);
    r->now = 0;    /* each has its own */
    r->random = 1; /* likewise */
    return true;
}

static void add_encoded(struct text *t, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr(",:%", *text) != NULL) {
            text_add(t, "%%%02X", (unsigned char)*text);
        } else {
            text_add_bytes(t, text, 1);
        }
    }
}

static void add_baggage(struct text *t, const struct brute_request *r)
{
    static const char *const classes[] = {"live", "shadow", "load",
                                          "rehearsal"};

    if (r->arms == NULL && r->traffic_class == GRAY_CLASS_LIVE) {
        return;
    }
    text_add(t, "Baggage: k=v");
    if (r->arms != NULL) {
        text_add(t, ",gray.arms=");
        add_encoded(t, r->arms);
    }
    if (r->traffic_class != GRAY_CLASS_LIVE) {
        text_add(t, ",gray.class=%s", classes[r->traffic_class]);
    }
    text_add(t, "\r\n");
}

static void add_line(struct text *t, const char *prefix, const char *name,
                     const char *value)
{
    if (value != NULL) {
        text_add(t, "%s%s: ", prefix, name);
        text_add_bytes(t, value, strlen(value));
        text_add(t, "\r\n");
    }
}

static void add_wire(struct text *t, const struct brute_request *r)
{
    uint32_t i;

    text_add(t, "%s ", r->method);
    text_add_bytes(t, r->target, strlen(r->target));
    text_add(t, " HTTP/1.1\r\n");
    add_line(t, "", "Host", r->host);
    for (i = 0; i < r->header_count; i++) {
        add_line(t, "", r->headers[i].name, r->headers[i].value);
    }
    for (i = 0; i < r->attr_count; i++) {
        add_line(t, "T-", r->attrs[i].name, r->attrs[i].value);
    }
    for (i = 0; i < r->label_count; i++) {
        add_line(t, "T-", r->labels[i].name, r->labels[i].value);
    }
    add_line(t, "T-", "Source", r->source);
    add_line(t, "T-", "Caller", r->caller);
    add_line(t, "", "X-Gray-Lane", r->lane);
    add_baggage(t, r);
    text_add(t, "\r\n");
}

/* ---- nginx ---------------------------------------------------------------------- */

static int dial(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) !=
            0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        die("nginx");
    }
    return fd;
}

static void send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

        if (sent <= 0) {
            die("sending");
        }
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* The explanation in the next answer; valid until the next call. */
static const char *next_answer(struct entrance *e, size_t *ret_length)
{
    static char line[ANSWER_BYTES];
    char *end, *found, *stop;

    for (;;) {
        ssize_t got;

        e->buffer[e->length] = '\0';
        end = strstr(e->buffer, "\r\n\r\n");
        if (end != NULL) {
            break;
        }
        got = recv(e->fd, e->buffer + e->length, ANSWER_BYTES - e->length, 0);
        if (got <= 0) {
            fprintf(stderr, "after: %.600s\n", e->buffer);
            die("nginx says no more");
        }
        e->length += (size_t)got;
    }
    *end = '\0';
    found = strstr(e->buffer, HEADER);
    if (strncmp(e->buffer, "HTTP/1.1 204 ", 13) != 0 || found == NULL) {
        fprintf(stderr, "agree_gateway: nginx says: %.2000s\n", e->buffer);
        exit(1);
    }
    found += strlen(HEADER);
    stop = strstr(found, "\r\n");
    *ret_length = stop != NULL ? (size_t)(stop - found) : strlen(found);
    memcpy(line, found, *ret_length);
    line[*ret_length] = '\0';
    end += 4;
    e->length -= (size_t)(end - e->buffer);
    memmove(e->buffer, end, e->length);
    return line;
}

/* ---- comparing ---------------------------------------------------------------------- */

/* A variant for nobody: `"in":true` and a variant, where "unit" is empty. */
static bool by_chance(const char *line)
{
    const char *at = line;

    while ((at = strstr(at, "\"release\":")) != NULL) {
        const char *end = strstr(at + 1, "\"release\":");
        size_t length = end != NULL ? (size_t)(end - at) : strlen(at);

        if (memmem(at, length, "\"in\":true", 9) != NULL &&
            memmem(at, length, "\"unit\":\"\"", 9) != NULL &&
            memmem(at, length, "\"variant\":\"\"", 12) == NULL) {
            return true;
        }
        at += 10;
    }
    return false;
}

/* Both once more, one right after the other.  False: not the same either. */
static bool same_now(struct run *run, struct entrance *e,
                     const struct invented *in, bool last)
{
    static char line[AGREE_LINE_BYTES];
    struct text wire = {NULL, 0, 0};
    const char *answer;
    size_t length, other;

    add_wire(&wire, &in->request);
    send_all(e->fd, wire.data, wire.length);
    free(wire.data);
    answer = next_answer(e, &other);
    length = library_explain(run->client, in, line);
    run->again++;
    if (length == other && memcmp(line, answer, length) == 0) {
        return true;
    }
    if (!last) {
        return false;
    }
    fprintf(stderr, "libgray and nginx differ:\n%s\n%s\n", line, answer);
    invent_write(in, stderr);
    return false;
}

static bool flush(struct run *run, struct entrance *e)
{
    static char lines[BATCH][AGREE_LINE_BYTES];
    size_t lengths[BATCH];
    bool differs[BATCH] = {false};
    struct text wires = {NULL, 0, 0};
    bool good = true;
    uint32_t i;

    for (i = 0; i < e->count; i++) {
        add_wire(&wires, &e->pending[i].in.request);
    }
    if (e->count > 0) {
        send_all(e->fd, wires.data, wires.length);
    }
    free(wires.data);
    for (i = 0; i < e->count && !run->first; i++) {
        lengths[i] = library_explain(run->client, &e->pending[i].in, lines[i]);
    }
    for (i = 0; i < e->count; i++) {
        size_t length;
        const char *answer = next_answer(e, &length);

        if (run->first) {
            continue;
        }
        if (by_chance(answer)) {
            run->left_out++;
            continue;
        }
        run->compared++;
        differs[i] =
            length != lengths[i] || memcmp(answer, lines[i], length) != 0;
    }
    for (i = 0; i < e->count && good; i++) {
        /* Twice: the first may have made a mark, by a name that another
         * request of this batch brought in. */
        good = !differs[i] || same_now(run, e, &e->pending[i].in, false) ||
               same_now(run, e, &e->pending[i].in, true);
    }
    e->count = 0;
    return good;
}

static struct entrance *entrance_of(struct run *run, const char *name)
{
    uint32_t i;

    for (i = 0; i < run->entrance_count; i++) {
        if (strcmp(run->entrances[i].name, name != NULL ? name : "") == 0) {
            return &run->entrances[i];
        }
    }
    return NULL;
}

static bool ask_all(struct run *run, struct scene *scene, struct dice *d)
{
    static struct invented drawn;
    uint64_t i;
    uint32_t j;
    bool good = true;

    for (i = 0; i < run->requests && good; i++) {
        struct dice before = *d;
        struct entrance *e;
        struct pending *p;

        scene_invent(scene, &drawn, d); /* to know whose it is */
        e = entrance_of(run, drawn.entrance);
        if (e == NULL) {
            run->left_out++;
            continue;
        }
        p = &e->pending[e->count];
        scene_invent(scene, &p->in, &before); /* the same, in its place */
        if (!adjust(p)) {
            run->left_out++;
        } else if (++e->count == BATCH) {
            good = flush(run, e);
        }
    }
    for (j = 0; j < run->entrance_count && good; j++) {
        good = flush(run, &run->entrances[j]);
    }
    return good;
}

/* ---- the run ------------------------------------------------------------------------- */

static void take_port(struct run *run, char *word)
{
    char *equal = strchr(word, '=');
    struct entrance *e = &run->entrances[run->entrance_count++];

    if (equal == NULL || run->entrance_count > ENTRANCES) {
        fprintf(stderr, "agree_gateway: --port NAME=NUMBER\n");
        exit(2);
    }
    *equal = '\0';
    e->name = word;
    e->fd = dial((unsigned)strtoul(equal + 1, NULL, 10));
    e->buffer = malloc(ANSWER_BYTES + 1);
    if (e->buffer == NULL) {
        die("memory");
    }
}

int main(int argc, char **argv)
{
    static struct run run;
    static struct scene scene;
    struct text policy = {NULL, 0, 0};
    struct dice d;
    uint64_t refused = 0;
    bool good;
    int i;

    for (i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--first") == 0) {
            run.first = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            run.seed = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--policy") == 0) {
            run.policy = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--requests") == 0) {
            run.requests = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--port") == 0) {
            take_port(&run, argv[++i]);
        } else {
            argc = 0;
        }
    }
    if (argc < 2 || run.requests == 0 || run.entrance_count == 0) {
        fprintf(stderr, "usage: see agree_gateway.c\n");
        return 2;
    }
    d = (struct dice){run.seed * UINT64_C(1000003) + run.policy};
    if (!scene_open(&scene, &policy, &d, &refused)) {
        return 2;
    }
    run.client = library_open(argv[1]);
    good = run.client != NULL && ask_all(&run, &scene, &d);
    library_close(run.client);
    scene_close(&scene);
    printf("%llu compared, %llu left out, %llu asked again\n",
           (unsigned long long)run.compared, (unsigned long long)run.left_out,
           (unsigned long long)run.again);
    return good ? 0 : 1;
}
