#ifndef WN_SERVE_CONSOLE_H
#define WN_SERVE_CONSOLE_H
/* The web console's files, as they were built into this binary (docs/console.md). */

#include "base/str.h"

typedef struct wn_console_asset {
  const char *name; /* "index.html", "index-B1x2y3z4.js"; NULL ends the table */
  const char *type; /* media type */
  const char *etag; /* of the content, quoted */
  size_t offset, packed_len, len;
} wn_console_asset;

bool wn_console_built(void);                          /* false: this binary was built without it */
const wn_console_asset *wn_console_find(wn_str name); /* NULL: no such file */
wn_str wn_console_packed(const wn_console_asset *asset); /* gzip */
/* The content itself, for the few clients that do not take gzip. */
WN_MUST_USE wn_status wn_console_plain(const wn_console_asset *asset, wn_buf *out, wn_error *err);

#endif
