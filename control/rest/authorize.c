/* SPDX-License-Identifier: Apache-2.0
 * authorize.c - who calls, and whether they may: the one choke point.
 *
 * Why: deny by default.  A request without an identity learns nothing, not
 * even which paths exist (but the open ones); one with an identity gets what
 * the route's right and its scope allow and no more.  A token is looked up in
 * the store for every request, so a revoked one ends at once (an agent's: once
 * after any token changed, known.c).  A token that
 * is shown and wrong is 401, even where the peer alone would be somebody.
 * Read next: ../call/routes.def, ../identity/identity.h, request.c.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/hosts/hosts.h"
#include "control/rest/internal.h"

struct token_check {
    const char *text;
    size_t length;
    int64_t now;
    struct identity *identity;
    bool good;
};

static int check_item(void *context, const struct store_item *item)
{
    struct token_check *check = context;
    json_t *value = json_loadb(item->text, item->length, 0, NULL);

    check->good = value != NULL &&
                  token_check(check->text, check->length, value, check->now,
                              check->identity) == 0;
    json_decref(value);
    return 1;
}

/* "Bearer gray_..." to an identity. 0, 1 (nobody), or -1: the store cannot be
 * read. */
static int identify_token(struct exchange *exchange, const char *value)
{
    struct hand *hand = rest_hand(exchange->rest);
    struct token_check check = {.now = exchange->call.now,
                                .identity = &exchange->call.identity};
    struct rest *rest = exchange->rest;
    uint64_t changes = atomic_load(&rest->grayd->tokens_changed);
    struct gray_problem problem;
    char id[17];

    if (strncasecmp(value, "Bearer ", 7) != 0) {
        return 1;
    }
    check.text = value + 7 + strspn(value + 7, " ");
    check.length = strlen(check.text);
    if (token_id(check.text, check.length, id) != 0) {
        return 1;
    }
    if (known_find(rest, check.text, check.length, changes, check.now,
                   check.identity)) {
        return 0;
    }
    if (hand == NULL || hand->reader == NULL) {
        return -1;
    }
    if (store_read_item(hand->reader, STORE_TOKEN, id, 0, check_item, &check,
                        &problem) < 0) {
        return -1;
    }
    if (check.good) {
        known_keep(rest, check.text, check.length, changes, check.identity);
    }
    return check.good ? 0 : 1;
}

/* Who logged in on the terminal that the peer runs on; NULL: nobody did. */
static const char *find_login(pid_t pid, char *buffer, size_t size)
{
    char path[64], digits[16] = "";
    struct passwd entry, *found = NULL;
    unsigned long uid;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/loginuid", (int)pid);
    file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }
    if (fgets(digits, sizeof(digits), file) == NULL) {
        digits[0] = '\0';
    }
    fclose(file);
    uid = strtoul(digits, NULL, 10);
    if (digits[0] == '\0' || uid == UINT32_MAX ||
        getpwuid_r((uid_t)uid, &entry, buffer, size, &found) != 0 ||
        found == NULL) {
        return NULL;
    }
    return found->pw_name;
}

static int identify_peer(struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred peer;
    socklen_t size = sizeof(peer);
    char buffer[1024];

    if (info == NULL ||
        getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) !=
            0) {
        return 1;
    }
    return identity_of_peer(peer.uid, getuid(),
                            find_login(peer.pid, buffer, sizeof(buffer)),
                            &exchange->call.identity) == 0
               ? 0
               : 1;
}

static int identify(struct exchange *exchange)
{
    const char *value = exchange->headers.value[HEADER_AUTHORIZATION];
    int done;

    if (value != NULL) {
        done = identify_token(exchange, value);
        exchange->bad_token = done == 1;
    } else {
        done = exchange->local ? identify_peer(exchange) : 1;
    }
    if (done != 0) {
        memset(&exchange->call.identity, 0, sizeof(exchange->call.identity));
    }
    return done;
}

static bool deny(struct exchange *exchange, enum problem_number problem)
{
    if (exchange->call.route != NULL) {
        control_record_denied(exchange->rest->grayd, &exchange->call, problem);
    }
    metrics_count_denied(exchange->rest, problem);
    return false;
}

static bool deny_nobody(struct exchange *exchange)
{
    reply_problem(&exchange->reply, PROBLEM_UNAUTHENTICATED, "%s",
                  exchange->bad_token
                      ? "This token is not known, was revoked, or expired."
                  : exchange->local
                      ? "Your user is not known here: send Authorization: "
                        "Bearer TOKEN."
                      : "Send Authorization: Bearer TOKEN.");
    return deny(exchange, PROBLEM_UNAUTHENTICATED);
}

/* The rights of the route against the identity. */
static bool allow(struct exchange *exchange)
{
    const struct call *call = &exchange->call;
    const struct route *route = call->route;

    if (!identity_has(&call->identity, route->right)) {
        reply_problem(&exchange->reply, PROBLEM_FORBIDDEN,
                      "The role %s does not allow this.",
                      role_word(call->identity.role));
        return deny(exchange, PROBLEM_FORBIDDEN);
    }
    if ((route->resource == RESOURCE_NAME &&
         !call_covers(call, call->name, &exchange->reply)) ||
        (route->resource == RESOURCE_ALL &&
         !call_covers(call, NULL, &exchange->reply))) {
        return deny(exchange, PROBLEM_FORBIDDEN);
    }
    return true;
}

/* After an outage thousands of hosts come at once. Each of their connections
 * is counted when it asks first, before its token is looked up. */
static bool shed(struct exchange *exchange)
{
    struct hosts *hosts = exchange->rest->grayd->hosts;
    bool *let_in = drain_host(exchange->connection);
    unsigned retry = 1;

    if ((exchange->call.route->right & RIGHT_FOLLOW) == 0 || hosts == NULL ||
        (let_in != NULL && *let_in)) {
        return false;
    }
    if (hosts_admit(hosts, exchange->call.route->number == ROUTE_BUNDLE,
                    &retry)) {
        if (let_in != NULL) {
            *let_in = true;
        }
        return false;
    }
    reply_problem(&exchange->reply, PROBLEM_BUSY,
                  "More than %u hosts a second come.", HOSTS_PER_S);
    exchange->reply.retry_after = retry;
    exchange->close = true;
    return true;
}

bool authorize(struct exchange *exchange, const char *method)
{
    struct call *call = &exchange->call;
    const char *sentence;
    int found = route_match(method, exchange->target, exchange->target_length,
                            call, exchange->allow, &sentence);
    int who;

    if (found == 0 && call->route->right == RIGHT_NONE) {
        return true;
    }
    if (found == 0 && shed(exchange)) {
        return false;
    }
    who = identify(exchange);
    if (who < 0) {
        reply_problem(&exchange->reply, PROBLEM_STORE,
                      "The store cannot be read, so nobody is known.");
        return false;
    }
    if (who != 0) {
        return deny_nobody(exchange);
    }
    if (found != 0) {
        reply_problem(&exchange->reply, (enum problem_number)(found - 1), "%s",
                      sentence);
        return false;
    }
    return allow(exchange);
}

static int check_stands(void *context, const struct store_item *item)
{
    (void)item;
    *(bool *)context = true;
    return 1;
}

bool authorize_still(const struct identity *identity,
                     struct store_reader *reader, int64_t now)
{
    struct gray_problem problem;
    bool stands = false;

    if (identity->token_id[0] == '\0') {
        return true; /* a peer */
    }
    if (identity->expires != 0 && identity->expires <= now) {
        return false;
    }
    store_read_item(reader, STORE_TOKEN, identity->token_id, 0, check_stands,
                    &stands, &problem);
    return stands;
}
