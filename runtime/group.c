/* SPDX-License-Identifier: Apache-2.0
 * group.c - which group may read the signing keys, when nobody says it.
 *
 * Why: nginx starts as root and its workers run as somebody else.  Keys of
 * root's own group would leave them without cookies, and nothing would fail
 * loudly.  What was chosen before stays; then nginx is asked, by its
 * configuration, for the user of its workers.
 * Read next: keys.c.
 */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/group.h"

#define CONF_BYTES_MAX (256u << 10)
#define WORD_MAX 64u
#define WORDS_MAX 3u

/* One statement of nginx.conf: its first words, cut. */
struct statement {
    char words[WORDS_MAX][WORD_MAX];
    size_t count;
};

/* The next word of nginx.conf, or one of ; { } in *word. 0 at the end. */
static int next_word(const char **at, char word[WORD_MAX])
{
    const char *p = *at;
    size_t length = 0;
    char quote;

    for (p += strspn(p, " \t\r\n"); *p == '#'; p += strspn(p, " \t\r\n")) {
        p += strcspn(p, "\n");
    }
    quote = *p == '"' || *p == '\'' ? *p++ : '\0';
    while (*p != '\0' && (quote != '\0' ? *p != quote
                                        : strchr(" \t\r\n;{}", *p) == NULL)) {
        if (length + 1 < WORD_MAX) {
            word[length++] = *p;
        }
        p++;
    }
    if (quote == '\0' && length == 0 && *p != '\0') {
        word[length++] = *p++;
    } else if (quote != '\0' && *p == quote) {
        p++;
    }
    word[length] = '\0';
    *at = p;
    return length > 0 || quote != '\0';
}

bool nginx_user_parse(const char *conf, char ret_user[64], char ret_group[64])
{
    struct statement said = { .count = 0 };
    char word[WORD_MAX];
    int depth = 0;

    while (next_word(&conf, word)) {
        if (*word == ';' && depth == 0 && said.count >= 2 &&
            strcmp(said.words[0], "user") == 0) {
            memcpy(ret_user, said.words[1], WORD_MAX);
            memcpy(ret_group, said.words[said.count - 1], WORD_MAX);
            return true;
        }
        depth += *word == '{' ? 1 : *word == '}' ? -1 : 0;
        if (strchr(";{}", *word) != NULL) {
            said.count = 0;
        } else if (said.count < WORDS_MAX) {
            memcpy(said.words[said.count++], word, WORD_MAX);
        }
    }
    return false;
}

bool nginx_user_read(char ret_user[64], char ret_group[64])
{
    FILE *file = fopen(NGINX_CONF, "re");
    char *text = calloc(1, CONF_BYTES_MAX);
    bool found = file != NULL && text != NULL &&
                 fread(text, 1, CONF_BYTES_MAX - 1, file) > 0 &&
                 nginx_user_parse(text, ret_user, ret_group);

    free(text);
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

gid_t gray_keys_group(const char *folder)
{
    char path[4200], user[64], name[64];
    const struct group *entry;
    struct stat facts;

    snprintf(path, sizeof(path), "%s/keys", folder);
    if (lstat(path, &facts) == 0 && facts.st_gid != 0) {
        return facts.st_gid;
    }
    if (stat(folder, &facts) == 0 && facts.st_gid != 0) {
        return facts.st_gid;
    }
    if (geteuid() != 0 || !nginx_user_read(user, name)) {
        return (gid_t)-1;
    }
    entry = getgrnam(name);
    return entry != NULL ? entry->gr_gid : (gid_t)-1;
}
