/* SPDX-License-Identifier: Apache-2.0
 * ngx_http_gray_modules.c - what load_module looks for in the file.
 *
 * Why: nginx's own configure generates this table; we build without it, so it
 * stands here.  The order puts our header filter where third-party filters
 * belong, which is before the copy filter.
 * Read next: ngx_http_gray_module.c.
 */


#include "ngx_http_gray_module.h"


#define ngx_http_gray_export  __attribute__((visibility("default")))


extern char          *ngx_module_order[];


ngx_http_gray_export ngx_module_t  *ngx_modules[] = {
    &ngx_http_gray_module,
    NULL
};


ngx_http_gray_export char  *ngx_module_names[] = {
    "ngx_http_gray_module",
    NULL
};


ngx_http_gray_export char  *ngx_module_order[] = {
    "ngx_http_gray_module",
    "ngx_http_copy_filter_module",
    NULL
};
