/* Targets, query strings, percent-encoding and the headers that matter.
 * Source: RFC 3986 (§2.1, §3.4), RFC 9110 (§8.3, §12.5.1), RFC 9112 (§3.2, §6). Departures: '+' is
 * a blank in query strings (HTML forms); decoded text must be UTF-8 without NUL, because ids are.
 * Costs: linear in the input, one allocation a value. */
#include "serve/http_parse.h"

#include <string.h>

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

static char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool wn_str_is_ci(wn_str a, const char *c_string) {
  size_t len = strlen(c_string);
  if (a.len != len) return false;
  for (size_t i = 0; i < len; i++)
    if (ascii_lower(a.ptr[i]) != ascii_lower(c_string[i])) return false;
  return true;
}

wn_status wn_percent_decode(wn_str text, bool plus, const char *field, wn_arena *arena, wn_str *out,
                            wn_error *err) {
  char *to = wn_arena_alloc(arena, text.len + 1);
  if (to == NULL) return wn_fail_memory(err);
  size_t len = 0;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (c == '%') {
      int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
      int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
      if (high < 0 || low < 0)
        return wn_fail(err, WN_E_ARGUMENT, field,
                       "a %% must be followed by two hexadecimal digits (write %%25 for a %%)");
      c = (char)(high * 16 + low);
      i += 2;
    } else if (plus && c == '+') {
      c = ' ';
    }
    if (c == '\0') return wn_fail(err, WN_E_ARGUMENT, field, "must not contain NUL (%%00)");
    to[len++] = c;
  }
  to[len] = '\0';
  *out = (wn_str){to, len};
  if (!wn_utf8_valid(*out)) return wn_fail(err, WN_E_ARGUMENT, field, "must be valid UTF-8");
  return WN_OK;
}

static size_t find_char(wn_str s, char c) {
  const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
  return at == NULL ? s.len : (size_t)(at - s.ptr);
}

/* Takes what lies before `separator` off the front of `*s`. */
static wn_str cut(wn_str *s, char separator) {
  size_t at = find_char(*s, separator);
  wn_str head = {s->ptr, at};
  size_t skip = at < s->len ? at + 1 : at;
  s->ptr = s->len > 0 ? s->ptr + skip : s->ptr;
  s->len -= skip;
  return head;
}

wn_status wn_query_parse(wn_str text, wn_arena *arena, wn_query_string *out, wn_error *err) {
  wn_status status = WN_OK;
  size_t pieces = 1;
  for (size_t i = 0; i < text.len; i++) pieces += text.ptr[i] == '&';
  *out = (wn_query_string){wn_arena_calloc(arena, pieces, sizeof(wn_query_pair)), 0};
  if (out->params == NULL) return wn_fail_memory(err);
  while (text.len > 0) {
    wn_str value = cut(&text, '&');
    if (value.len == 0) continue;
    wn_str name = cut(&value, '=');
    wn_query_pair *param = &out->params[out->len];
    WN_TRY(wn_percent_decode(name, true, "query", arena, &param->name, err));
    WN_TRY(wn_percent_decode(value, true, param->name.ptr, arena, &param->value, err));
    out->len++;
  }
cleanup:
  return status;
}

static bool in_list(wn_str name, const char *const *list) {
  for (; *list != NULL; list++)
    if (wn_str_is(name, *list)) return true;
  return false;
}

wn_status wn_query_check(const wn_query_string *query, const char *const *allowed,
                         const char *repeatable, wn_error *err) {
  for (size_t i = 0; i < query->len; i++) {
    wn_str name = query->params[i].name;
    if (!in_list(name, allowed))
      return wn_fail(err, WN_E_ARGUMENT, name.ptr, "is not a parameter of this route");
    if (repeatable != NULL && wn_str_is(name, repeatable)) continue;
    for (size_t j = 0; j < i; j++)
      if (wn_str_equal(query->params[j].name, name))
        return wn_fail(err, WN_E_ARGUMENT, name.ptr, "is given twice");
  }
  return WN_OK;
}

wn_str wn_query_get(const wn_query_string *query, const char *name) {
  for (size_t i = 0; i < query->len; i++)
    if (wn_str_is(query->params[i].name, name)) return query->params[i].value;
  return (wn_str){NULL, 0};
}

wn_status wn_query_int(const wn_query_string *query, const char *name, int64_t least, int64_t most,
                       int64_t *out, wn_error *err) {
  wn_str text = wn_query_get(query, name);
  if (text.ptr == NULL) return WN_OK;
  int64_t value = 0;
  if (!wn_parse_int64(text, &value) || value < least || value > most)
    return wn_fail(err, WN_E_ARGUMENT, name,
                   "must be a whole number from %lld to %lld, got \"%.*s\"", (long long)least,
                   (long long)most, text.len < 40 ? (int)text.len : 40, text.ptr);
  *out = value;
  return WN_OK;
}

wn_status wn_query_bool(const wn_query_string *query, const char *name, bool *out, wn_error *err) {
  wn_str text = wn_query_get(query, name);
  *out = wn_str_is(text, "true") || wn_str_is(text, "1");
  if (*out || text.ptr == NULL || wn_str_is(text, "false") || wn_str_is(text, "0")) return WN_OK;
  return wn_fail(err, WN_E_ARGUMENT, name, "must be true or false");
}

bool wn_target_parse(wn_str url, wn_target *out) {
  *out = (wn_target){.segment_count = 0};
  static const char *const schemes[] = {"http://", "https://"};
  for (size_t s = 0; s < 2; s++) {
    size_t len = strlen(schemes[s]);
    if (url.len < len || !wn_str_is_ci((wn_str){url.ptr, len}, schemes[s])) continue;
    url = (wn_str){url.ptr + len, url.len - len};
    size_t slash = find_char(url, '/');
    if (slash == url.len) return false;
    url = (wn_str){url.ptr + slash, url.len - slash};
  }
  if (url.len == 0 || url.ptr[0] != '/') return false;
  wn_str path = cut(&url, '?');
  out->query = url;
  if (path.len == 1) return true;
  path = (wn_str){path.ptr + 1, path.len - 1};
  for (;;) {
    if (out->segment_count == WN_HTTP_SEGMENTS_MAX) return false;
    bool last = find_char(path, '/') == path.len;
    out->segments[out->segment_count++] = cut(&path, '/');
    if (last) return true;
  }
}

bool wn_target_matches(const wn_target *target, const char *path, wn_str *captured, char *name) {
  wn_str rest = wn_str_of(path + 1);
  size_t i = 0;
  while (rest.len > 0) {
    wn_str want = cut(&rest, '/');
    if (i == target->segment_count) return false;
    wn_str have = target->segments[i++];
    if (want.ptr[0] == '{') {
      size_t len = want.len - 2 < 31 ? want.len - 2 : 31;
      memcpy(name, want.ptr + 1, len);
      name[len] = '\0';
      *captured = have;
    } else if (!wn_str_equal(want, have)) {
      return false;
    }
  }
  return i == target->segment_count;
}

/* q=0, q=0.0 … : the media range is not wanted. */
static bool quality_zero(wn_str params) {
  while (params.len > 0) {
    wn_str p = wn_str_trim(cut(&params, ';'));
    if (p.len < 3 || ascii_lower(p.ptr[0]) != 'q' || p.ptr[1] != '=') continue;
    double q = 1;
    return wn_parse_double((wn_str){p.ptr + 2, p.len - 2}, &q) && q <= 0;
  }
  return false;
}

bool wn_accepts(wn_str accept, const char *type) {
  if (wn_str_trim(accept).len == 0) return true;
  char any[64] = "";
  const char *slash = strchr(type, '/');
  size_t len = slash != NULL ? (size_t)(slash - type) + 1 : 0;
  if (len > 0 && len + 2 <= sizeof any) {
    memcpy(any, type, len);
    any[len] = '*';
    any[len + 1] = '\0';
  }
  bool accepted = false;
  int best = -1; /* the most specific range that matches decides */
  while (accept.len > 0) {
    wn_str params = cut(&accept, ',');
    wn_str range = wn_str_trim(cut(&params, ';'));
    int rank = wn_str_is_ci(range, type)    ? 2
               : wn_str_is_ci(range, any)   ? 1
               : wn_str_is_ci(range, "*/*") ? 0
                                            : -1;
    if (rank < best || rank < 0) continue;
    best = rank;
    accepted = !quality_zero(params);
  }
  return accepted;
}

bool wn_header_lists(wn_str list, const char *token) {
  while (list.len > 0) {
    wn_str params = cut(&list, ',');
    wn_str name = wn_str_trim(cut(&params, ';'));
    if (wn_str_is_ci(name, token)) return !quality_zero(params);
  }
  return false;
}

bool wn_media_type(wn_str content_type, char *buf, size_t size) {
  wn_str type = wn_str_trim(cut(&content_type, ';'));
  if (type.len == 0 || type.len >= size) return false;
  for (size_t i = 0; i < type.len; i++) buf[i] = ascii_lower(type.ptr[i]);
  buf[type.len] = '\0';
  while (content_type.len > 0) {
    wn_str value = wn_str_trim(cut(&content_type, ';'));
    wn_str name = wn_str_trim(cut(&value, '='));
    if (!wn_str_is_ci(name, "charset")) continue;
    if (!wn_str_is_ci(value, "utf-8") && !wn_str_is_ci(value, "\"utf-8\"")) return false;
  }
  return true;
}

static bool parse_length(wn_str text, uint64_t *out) {
  *out = 0;
  if (text.len == 0) return false;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9' || *out >= ((uint64_t)1 << 58)) return false;
    *out = *out * 10 + (uint64_t)(text.ptr[i] - '0');
  }
  return true;
}

/* RFC 9110 §5.6.2 */
static bool is_token(wn_str name) {
  for (size_t i = 0; i < name.len; i++) {
    unsigned char c = (unsigned char)name.ptr[i];
    if (c <= ' ' || c >= 0x7F || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL) return false;
  }
  return name.len > 0;
}

void wn_framing_header(wn_framing *framing, wn_str name, wn_str value) {
  if (!is_token(name)) {
    framing->name_malformed = true; /* "Content-Length :" is a length to some and none to others */
  } else if (wn_str_is_ci(name, "host")) {
    framing->hosts++;
  } else if (wn_str_is_ci(name, "content-length")) {
    framing->content_lengths++;
    if (!parse_length(wn_str_trim(value), &framing->length)) framing->length_malformed = true;
  } else if (wn_str_is_ci(name, "transfer-encoding")) {
    framing->transfer_encodings++;
    framing->chunked = wn_str_is_ci(wn_str_trim(value), "chunked");
  }
}

wn_status wn_framing_check(const wn_framing *framing, wn_error *err) {
  if (framing->name_malformed)
    return wn_fail(err, WN_E_FORMAT, "headers", "a header name holds a byte that none may have");
  if (framing->hosts > 1 || (framing->http11 && framing->hosts == 0))
    return wn_fail(err, WN_E_FORMAT, "Host", "must be given exactly once");
  if (framing->content_lengths > 0 && framing->transfer_encodings > 0)
    return wn_fail(err, WN_E_FORMAT, "Content-Length",
                   "must not be given together with Transfer-Encoding");
  if (framing->content_lengths > 1)
    return wn_fail(err, WN_E_FORMAT, "Content-Length", "is given twice");
  if (framing->length_malformed)
    return wn_fail(err, WN_E_FORMAT, "Content-Length", "must be a number of bytes");
  if (framing->transfer_encodings > 1 ||
      (framing->transfer_encodings == 1 && (!framing->chunked || !framing->http11)))
    return wn_fail(err, WN_E_FORMAT, "Transfer-Encoding", "must be \"chunked\" alone, in HTTP/1.1");
  return WN_OK;
}
