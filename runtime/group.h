/* SPDX-License-Identifier: Apache-2.0
 * group.h - which group may read the signing keys, when nobody says it.
 */
#ifndef GRAY_RUNTIME_GROUP_H
#define GRAY_RUNTIME_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

#define NGINX_CONF "/etc/nginx/nginx.conf"

/* User and group of nginx's workers, by the text of a configuration. False:
 * it does not say. */
bool nginx_user_parse(const char *conf, char ret_user[64], char ret_group[64]);
/* The same by NGINX_CONF. */
bool nginx_user_read(char ret_user[64], char ret_group[64]);
/* The group of the keys that are there or of the folder, unless it is root's;
 * else nginx's (asked by root only); (gid_t)-1: nobody knows. */
gid_t gray_keys_group(const char *folder);

#endif
