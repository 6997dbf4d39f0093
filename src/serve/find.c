#include "serve/find.h"

static unsigned char lower(char c) {
  return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool is_word(unsigned char c) {
  return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

static bool same_at(wn_str text, size_t at, wn_str part) {
  if (text.len - at < part.len) return false;
  for (size_t i = 0; i < part.len; i++)
    if (lower(text.ptr[at + i]) != lower(part.ptr[i])) return false;
  return true;
}

/* PREFIX, WORD, PART or NONE of one word in one text. */
static wn_fit fit_word(wn_str text, wn_str word) {
  wn_fit best = WN_FIT_NONE;
  if (text.len < word.len) return best;
  unsigned char first = lower(word.ptr[0]);
  for (size_t i = 0; i <= text.len - word.len; i++) {
    if (lower(text.ptr[i]) != first || !same_at(text, i, word)) continue;
    if (i == 0) return WN_FIT_PREFIX;
    if (!is_word(lower(text.ptr[i - 1]))) return WN_FIT_WORD;
    best = WN_FIT_PART;
  }
  return best;
}

static wn_str next_word(wn_str *rest) {
  size_t from = 0, to;
  while (from < rest->len && rest->ptr[from] == ' ') from++;
  for (to = from; to < rest->len && rest->ptr[to] != ' ';) to++;
  wn_str word = {rest->ptr + from, to - from};
  *rest = (wn_str){rest->ptr + to, rest->len - to};
  return word;
}

wn_fit wn_find_fit(wn_str q, wn_str id, wn_str title) {
  wn_fit worst = WN_FIT_PREFIX;
  q = wn_str_trim(q);
  if (q.len == 0) return WN_FIT_PART;
  if (q.len == id.len && same_at(id, 0, q)) return WN_FIT_ID;
  while (q.len > 0) {
    wn_str word = next_word(&q);
    if (word.len == 0) break;
    wn_fit in_id = fit_word(id, word), in_title = fit_word(title, word);
    if (in_title == WN_FIT_PREFIX) in_title = WN_FIT_WORD;
    wn_fit fit = in_id < in_title ? in_id : in_title;
    if (fit == WN_FIT_NONE) return fit;
    if (fit > worst) worst = fit;
  }
  return worst;
}
