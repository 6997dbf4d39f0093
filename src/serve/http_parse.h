#ifndef WN_SERVE_HTTP_PARSE_H
#define WN_SERVE_HTTP_PARSE_H
/* The pure parts of HTTP: from bytes to checked values, no sockets. Everything that a stranger
 * sends passes through here, so all of it is fuzzed (fuzz/fuzz_serve_bodies.c). */

#include "base/arena.h"
#include "base/str.h"

#define WN_HTTP_URL_BYTES_MAX    8192
#define WN_HTTP_HEADER_BYTES_MAX 32768
#define WN_HTTP_SEGMENTS_MAX     8

/* %XX decoded, '+' too when `plus` (query strings). Refuses a stray '%', NUL and invalid UTF-8 with
 * WN_E_ARGUMENT naming `field`. The result lives in `arena`; never absent on success. */
WN_MUST_USE wn_status wn_percent_decode(wn_str text, bool plus, const char *field, wn_arena *arena,
                                        wn_str *out, wn_error *err);

typedef struct wn_query_pair {
  wn_str name, value;
} wn_query_pair;

typedef struct wn_query_string {
  wn_query_pair *params;
  size_t len;
} wn_query_string;

/* "a=1&b=x%20y" → pairs in order; empty pieces ("&&") are skipped. */
WN_MUST_USE wn_status wn_query_parse(wn_str text, wn_arena *arena, wn_query_string *out,
                                     wn_error *err);
/* Refuses names that are not in `allowed` (NULL-terminated), and a second value of any of them
 * except `repeatable` (may be NULL). */
WN_MUST_USE wn_status wn_query_check(const wn_query_string *query, const char *const *allowed,
                                     const char *repeatable, wn_error *err);
/* The value, or the absent string. */
wn_str wn_query_get(const wn_query_string *query, const char *name);

/* A whole number in least … most; *out is left alone when the parameter is missing. */
WN_MUST_USE wn_status wn_query_int(const wn_query_string *query, const char *name, int64_t least,
                                   int64_t most, int64_t *out, wn_error *err);
/* true, false, 1 or 0; false when missing. */
WN_MUST_USE wn_status wn_query_bool(const wn_query_string *query, const char *name, bool *out,
                                    wn_error *err);

/* A request target cut into its raw (still encoded) path segments and query. Absolute form
 * ("http://host/path") is taken, too. False: not a path, or more than WN_HTTP_SEGMENTS_MAX. */
typedef struct wn_target {
  wn_str segments[WN_HTTP_SEGMENTS_MAX];
  size_t segment_count; /* 0: "/" */
  wn_str query;
} wn_target;
bool wn_target_parse(wn_str url, wn_target *out);
/* Whether `path` ("/v1/items/{id}") describes the segments; *captured: the last {…} segment's raw
 * text, *name (of at least 32 bytes): its name. Both left alone when the path has none. */
bool wn_target_matches(const wn_target *target, const char *path, wn_str *captured, char *name);

/* Accept: whether it admits `type` ("application/json"). An absent or empty header admits all. */
bool wn_accepts(wn_str accept, const char *type);
/* Whether a list header (Accept-Encoding) names `token` without q=0. */
bool wn_header_lists(wn_str list, const char *token);
/* The media type of a Content-Type without its parameters, lower case, in `buf`; false: malformed,
 * too long, or a charset other than UTF-8. */
bool wn_media_type(wn_str content_type, char *buf, size_t size);

/* What the framing of a request says; filled while walking its headers. */
typedef struct wn_framing {
  int hosts, content_lengths, transfer_encodings;
  bool chunked;          /* Transfer-Encoding is exactly "chunked" */
  bool length_malformed; /* not 1*DIGIT, or over 2^58 */
  bool name_malformed;   /* a header name with a blank or another byte that none has */
  uint64_t length;
  bool http11;
} wn_framing;
void wn_framing_header(wn_framing *framing, wn_str name, wn_str value);
/* Refuses what two servers could read in two ways (request smuggling): RFC 9112 §6.3. */
WN_MUST_USE wn_status wn_framing_check(const wn_framing *framing, wn_error *err);

bool wn_str_is_ci(wn_str a, const char *c_string); /* ASCII letters without case */

#endif
