/* SPDX-License-Identifier: Apache-2.0
 * served.c - main() of the small grayd: says where it listens and which
 * tokens it made, and ends when its standard input does.
 *
 * usage: served FOLDER [listen=ADDRESS] [certificate=FILE key=FILE]
 *        [connections=N]
 * Prints "port N", "token ROLE SCOPE ID_SECRET" lines, then "ready"; or
 * "refused CODE: SENTENCE".  Then takes lines: "record N RESOURCE OUTCOME"
 * commits N records and prints "recorded".
 * Read next: served_control.c, served_handlers.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "tests/control/rest/served.h"

int64_t grayd_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void grayd_log(enum log_level level, const char *code, const char *format, ...)
{
    va_list arguments;

    if (level == LOG_LEVEL_DEBUG) {
        return;
    }
    va_start(arguments, format);
    fprintf(stderr, "%s: ", code);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

void grayd_random_hex(char ret_hex[33])
{
    uint8_t bytes[16];
    size_t i;

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
        abort();
    }
    for (i = 0; i < sizeof(bytes); i++) {
        snprintf(ret_hex + 2 * i, 3, "%02x", bytes[i]);
    }
}

static const char *find_option(int count, char **words, const char *name)
{
    size_t length = strlen(name);
    int i;

    for (i = 2; i < count; i++) {
        if (strncmp(words[i], name, length) == 0 && words[i][length] == '=') {
            return words[i] + length + 1;
        }
    }
    return NULL;
}

static void make_tokens(struct control *control)
{
    static const char *const scopes[] = {"", "cart"};
    char text[TOKEN_TEXT_MAX];
    size_t i;
    int role;

    for (role = 0; role < ROLE_COUNT; role++) {
        for (i = 0; i < 2; i++) {
            /* An agent's token has a host, and never every name. */
            served_token(control, (enum role)role,
                         role == ROLE_AGENT && scopes[i][0] == '\0'
                             ? "cart-2"
                             : scopes[i],
                         grayd_now() + 3600000, text);
            printf("token %s %s %s\n", role_word((enum role)role),
                   scopes[i][0] != '\0' ? scopes[i] : "*", text);
        }
    }
    served_token(control, ROLE_ADMIN, "", grayd_now() + 300, text);
    printf("token expires * %s\n", text);
}

static void take_orders(struct control *control)
{
    char line[300], resource[200], outcome[50];
    unsigned count, i;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "record %u %199s %49s", &count, resource, outcome) ==
            3) {
            for (i = 0; i < count; i++) {
                served_record(control, "test", resource, outcome);
            }
            printf("recorded\n");
        }
    }
}

int main(int count, char **words)
{
    static struct control control;
    static struct grayd grayd;
    static char state[256], socket[256], runtime[256];
    struct gray_problem problem = {0};
    const char *connections = find_option(count, words, "connections");
    int failed;

    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(state, sizeof(state), "%s/state", words[1]);
    snprintf(runtime, sizeof(runtime), "%s/runtime", words[1]);
    snprintf(socket, sizeof(socket), "%s/door/grayd.sock", words[1]);
    grayd.options.state = state;
    grayd.options.runtime = runtime;
    grayd.options.socket = socket;
    grayd.options.listen = find_option(count, words, "listen");
    grayd.options.listen =
        grayd.options.listen != NULL ? grayd.options.listen : "127.0.0.1:0";
    grayd.options.tls_certificate = find_option(count, words, "certificate");
    grayd.options.tls_key = find_option(count, words, "key");
    grayd.options.connections_max =
        connections != NULL ? (unsigned)atoi(connections) : 0;
    grayd.options.rest_threads = 2;
    grayd.started = grayd_now();
    if (served_control_start(&grayd, &control) != 0) {
        return 1;
    }
    failed = rest_start(&grayd, &problem);
    if (failed != 0) {
        printf("refused %s: %s\n", problem.code, problem.sentence);
    } else {
        make_tokens(&control);
        printf("port %u\nready\n", rest_port(grayd.rest));
        take_orders(&control);
    }
    rest_stop(&grayd);
    served_control_stop(&control);
    rest_free(&grayd);
    return failed != 0;
}
