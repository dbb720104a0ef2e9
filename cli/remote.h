/* SPDX-License-Identifier: Apache-2.0
 * remote.h - grayd, as the commands ask it.
 *
 * Why: each command says what it wants (a method, a path, a body) and gets
 * JSON or an exit code; where grayd is, who asks, how long one waits, what is
 * asked again and how a refusal reads is decided once, here.
 * Read next: server.c (which grayd), remote.c (asking), problem.c (refusals).
 */
#ifndef GRAY_CLI_REMOTE_H
#define GRAY_CLI_REMOTE_H

#include "cli/cli.h"

#define REMOTE_SECONDS 30u       /* for one answer */
#define REMOTE_LONG_SECONDS 300u /* for those that are computed */
#define REMOTE_CONNECT_SECONDS 5u
#define REMOTE_HURRY_SECONDS 5u  /* where the folder is the other way */
#define REMOTE_TRIES 6u          /* of a call whose connection breaks */
#define REMOTE_TRY_MS 15000      /* all of them together */
#define REMOTE_ANSWER_MAX (64u << 20) /* bytes */
#define REMOTE_BODY_MAX (64u << 20)   /* what grayd takes of apply and lists */
#define REMOTE_LINE_MAX (1u << 20)    /* bytes of one event */
#define REMOTE_KEY_MAX 128u           /* bytes of an Idempotency-Key */

/* ---- which grayd (server.c, contexts.c) -------------------------------------- */

/* Owns its strings. */
struct server {
    char *place;  /* as a person writes it: "unix:/run/...", "https://..." */
    char *url;    /* what the client is given */
    char *socket; /* NULL: TCP */
    char *token;  /* NULL: none */
    char *ca;     /* PEM file; NULL: those of the system */
    bool chosen;  /* by a person, not by default */
};
/* --server, --context, $GRAY_SERVER, the current context, the default socket;
 * the first that is there. 0, or an exit code after complaining. */
int server_choose(struct server *ret_server, const struct arguments *arguments);
/* "unix:PATH", "http://..." or "https://..."; takes no token to a plain
 * address that is not this host. 0, or an exit code after complaining. */
int server_parse(struct server *server, const char *place);
void server_free(struct server *server);
/* The whole of a small file that only its owner may read, or of standard
 * input ("-"), without the blanks at its ends; NULL after complaining. */
char *secret_read(const char *path);

#define CONTEXT_FILE_MAX (1u << 20) /* bytes */
#define CONTEXTS_MAX 256u
/* {"current": NAME, "contexts": [{name, server, token?, tokenFile?, ca?}]};
 * without a file an empty one. 0, or an exit code after complaining. */
int contexts_read(json_t **ret_contexts);
/* Written aside and renamed, mode 0600. */
int contexts_write(const json_t *contexts);
/* Borrowed; NULL: no such. */
json_t *context_find(const json_t *contexts, const char *name);
int context_unknown(const json_t *contexts, const char *name);

/* ---- asking (remote.c) -------------------------------------------------------- */

struct remote;
/* For a command that needs grayd. 0, or an exit code after complaining. */
int remote_open(struct remote **ret_remote, const struct arguments *arguments);
/* For a command that can act on the runtime folder as well: *ret_remote stays
 * NULL where the folder was chosen (--local, --runtime, $GRAY_RUNTIME), or
 * where nobody chose and no grayd of this host answers. `say`: the command
 * acts on the folder of a grayd that is dead, and one line says so; else a
 * grayd that was chosen and does not answer is an error. */
int remote_or_folder(struct remote **ret_remote,
                     const struct arguments *arguments, bool say);
/* Whether a command whose call failed so goes on with the folder: grayd is of
 * this host, and did not answer or cannot keep a change. Says it. */
bool remote_fall_back(const struct remote *remote, int status);
/* From now on a grayd of this host that hangs is given up soon: somebody wants
 * to stop something. */
void remote_hurry(struct remote *remote);
/* It answers, and is to be given so much more: it waits for readers. */
void remote_patience(struct remote *remote, unsigned seconds);
/* Options that only grayd obeys must not be dropped in silence: 0, or USAGE
 * after complaining. */
int host_only(const struct arguments *arguments);
void remote_free(struct remote *remote);
void remote_freep(struct remote **remote);
const char *remote_place(const struct remote *remote);
/* A person named it. It is asked by a unix socket of this host. */
bool remote_was_chosen(const struct remote *remote);
bool remote_is_here(const struct remote *remote);
/* The Date of the last answer, ms since the epoch; -1: none. */
int64_t remote_clock_ms(const struct remote *remote);
/* A path of which every %s is escaped. malloc'd. */
char *remote_path(const char *format, ...) CLI_PRINTF(1, 2);

struct remote_call {
    const char *method, *path;
    const json_t *body; /* borrowed; NULL: none */
    const char *key;    /* Idempotency-Key; NULL: none. A call that changes
                           something is asked again with it alone */
    const char *if_match; /* a revision; NULL: none */
    unsigned seconds;   /* 0: REMOTE_SECONDS */
    char **ret_text;    /* malloc'd bytes of an answer, too; NULL: not wanted */
    bool repeatable;    /* changes nothing, whatever its method */
    bool quiet;         /* a refusal is not said */
};
/* 0 and *ret_body (NULL: none), or an exit code after having said the problem
 * (with -o json printed too). */
int remote_ask(struct remote *remote, const struct remote_call *call,
               json_t **ret_body);
int remote_get(struct remote *remote, const char *path, json_t **ret_body);
/* Every page of a list: `rows` of each, asked with after= or before= the
 * "next" of the one before. `most` 0: all. */
int remote_pages(struct remote *remote, const char *path, const char *rows,
                 const char *asks, size_t most, json_t **ret_rows);
/* A call that changes something: with a key, --key or a new one, with
 * --dry-run, and with --if-revision. */
int remote_change(struct remote *remote, const struct arguments *arguments,
                  const char *method, const char *path, const json_t *body,
                  json_t **ret_body);
/* Adds "reason" of --reason. */
void remote_reason(json_t *body, const struct arguments *arguments);

/* Pieces of an answer without an end, or too long to be held. 0 goes on. */
typedef int remote_piece(void *context, const char *data, size_t length);
struct remote_stream {
    const char *path, *last_event; /* NULL: none */
    remote_piece *piece;
    void *context;
    unsigned silence; /* seconds after which the connection is as if broken */
};
/* 0 at the end; an exit code after having said why. UNREACHABLE is said with
 * `quiet` false only. */
int remote_listen(struct remote *remote, const struct remote_stream *stream,
                  bool quiet);

/* ---- refusals (problem.c) ------------------------------------------------------ */

/* Says a problem (RFC 9457) as `gray lint` says findings; the exit code. */
int problem_say(const json_t *problem, long status, const char *place);
int problem_exit(long status);
/* Findings as REST shows them. */
void findings_say(const json_t *findings, FILE *out);

/* ---- what answers have in common (answers.c) ----------------------------------- */

/* "" where it is missing. */
const char *text_at(const json_t *object, const char *key);
json_int_t number_at(const json_t *object, const char *key);
/* Percent as people write it: "12.5 %", in a buffer. */
const char *percent_text(const json_t *percent, char buffer[32]);
/* Waits until every live reader has the policy and the words in force. Prints
 * nothing; 0 and two numbers, or an exit code. */
int readers_wait(struct remote *remote, double seconds, json_t **ret_readers);
/* "readers: 4 live, 4 acknowledged", and who did not; the exit code. */
int readers_say(const json_t *readers, bool json);
/* What a Changed says, for every command that answers with one. */
void changed_say(const json_t *changed);
/* What its units were told, and how far a freeze has come. */
void marks_say(const json_t *release);
/* Rows of hosts. */
void hosts_say(const json_t *hosts);
/* Rows of releases. */
void releases_say(const json_t *releases);
/* Records of the audit, as {key: [...]} or as rows. */
int records_say(const struct arguments *arguments, const char *key,
                const json_t *records, bool outcomes);

/* ---- what other commands do through grayd --------------------------------------- */

/* A verb of release.def on one release, on all, or what `open` means. */
int release_verb(struct remote *remote, const struct arguments *arguments,
                 const char *verb);
int remote_status(struct remote *remote, const struct arguments *arguments);
int remote_plan(struct remote *remote, const struct arguments *arguments);
int remote_diff(struct remote *remote, const struct arguments *arguments);
/* Explains the requests of an array, in parts that grayd takes; `line` is
 * called with each answer as its bytes. */
#define REMOTE_REQUESTS 500u
typedef void explained_line(void *context, const char *text);
int remote_explain(struct remote *remote, const json_t *requests,
                   json_int_t revision, explained_line *line, void *context);
/* {"files": [{name, text}]} of -f, what lists take from files put in. NULL
 * after complaining, with *ret_status. */
json_t *apply_files(const struct arguments *arguments, int *ret_status);

#endif
