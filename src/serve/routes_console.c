/* The web console's files. The page itself is asked for anew each time (an ETag makes that a 304);
 * the names of the others hold a hash of their content, so that they are kept for good. */
#include "serve/console.h"
#include "serve/server_internal.h"

#include <string.h>

/* Scripts, styles and frames (a run's report) from here alone, none inline; pictures also from
 * where the catalogue's items have theirs. What the page puts into the document passes Svelte's own
 * policy: titles stay text.
 */
#define CONSOLE_CSP                                                                                \
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "         \
  "connect-src 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action "    \
  "'none'; "                                                                                       \
  "require-trusted-types-for 'script'; trusted-types svelte-trusted-html"

static wn_str header(const wn_http *http, const char *name) {
  return wn_str_of(MHD_lookup_connection_value(http->connection, MHD_HEADER_KIND, name));
}

static wn_status send_asset(wn_http *http, const wn_console_asset *asset, wn_error *err) {
  http->content_type = asset->type;
  http->etag = asset->etag;
  http->csp = CONSOLE_CSP;
  wn_str known = header(http, "If-None-Match");
  if (wn_str_is(known, asset->etag)) {
    http->http = 304;
    return WN_OK;
  }
  wn_str coding = header(http, "Accept-Encoding");
  if (coding.ptr == NULL || !wn_header_lists(coding, "gzip"))
    return wn_console_plain(asset, &http->out, err);
  http->encoding = "gzip";
  http->out_static = true;
  http->static_out = wn_console_packed(asset);
  return WN_OK;
}

wn_status wn_route_console_page(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = WN_OK;
  const wn_console_asset *page = wn_console_find(WN_STR("index.html"));
  if (page == NULL) return wn_route_landing(http, err);
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  http->cache_control = "no-cache";
  WN_TRY(send_asset(http, page, err));
cleanup:
  return status;
}

/* "index-B1x2y3z4.js": Vite's names of scripts and styles. */
static bool hashed_name(wn_str name) {
  return memchr(name.ptr, '-', name.len) != NULL;
}

wn_status wn_route_console_asset(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = WN_OK;
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  if (!wn_console_built())
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "asset",
                   "this binary was built without the web console (cmake -DWINNOW_CONSOLE=ON)"));
  const wn_console_asset *asset = wn_console_find(http->id);
  if (asset == NULL) WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "asset", "no such file"));
  http->cache_control = hashed_name(http->id) ? "max-age=31536000, immutable" : "no-cache";
  WN_TRY(send_asset(http, asset, err));
cleanup:
  return status;
}
