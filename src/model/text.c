/* Source of the plural rules: Harman, "How effective is suffixing?" (1991), the S stemmer: only
 * plurals, because heavier stemmers join what should stay apart. Costs: one pass, no memory. */
#include "model/text.h"

#include <string.h>

static uint32_t lower(uint32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  if (c >= 0xC0 && c <= 0xDE && c != 0xD7) return c + 32;
  if (c >= 0x391 && c <= 0x3A9 && c != 0x3A2) return c + 32; /* Greek */
  if (c >= 0x410 && c <= 0x42F) return c + 32;               /* Cyrillic */
  if (c >= 0x400 && c <= 0x40F) return c + 80;
  return c;
}

static bool is_word(uint32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
  if (c < 0x100)
    return c == 0xAA || c == 0xB5 || c == 0xBA || (c >= 0xC0 && c != 0xD7 && c != 0xF7);
  if (c >= 0x2000 && c < 0x2C00) return false;                     /* punctuation, symbols */
  if (c >= 0x2E00 && c < 0x3040) return c >= 0x3005 && c < 0x3008; /* the same of East Asia */
  if (c >= 0xE000 && c < 0xF900) return false;                     /* private use */
  if (c >= 0xFE00 && c < 0xFE70) return false;                     /* variation selectors, forms */
  if (c >= 0xFF00 && c < 0x10000) {
    return (c >= 0xFF10 && c < 0xFF1A) || (c >= 0xFF21 && c < 0xFF3B) ||
           (c >= 0xFF41 && c < 0xFF5B) || (c >= 0xFF66 && c < 0xFFDD);
  }
  return c < 0x1F000 || c >= 0x20000; /* not the pictographs */
}

/* Scripts that put no blanks between words. */
static bool is_whole(uint32_t c) {
  return (c >= 0x3040 && c < 0x3100) || (c >= 0x3400 && c < 0xA000) ||
         (c >= 0xF900 && c < 0xFB00) || (c >= 0x20000 && c < 0x30000);
}

static size_t encode(uint32_t c, char out[4]) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  static const unsigned char mark[5] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = len; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)(mark[len] | c);
  return len;
}

static bool ends_with(const char *word, size_t len, const char *end) {
  size_t n = strlen(end);
  return len >= n && memcmp(word + len - n, end, n) == 0;
}

/* Length without the plural; "ies" becomes "y" in place. (The S stemmer's rule for "es" and its
 * exceptions come to the same as the one for "s".) */
static size_t singular(char *word, size_t len) {
  if (len < 4 || word[len - 1] != 's') return len;
  if (ends_with(word, len, "us") || ends_with(word, len, "ss")) return len;
  bool ies = ends_with(word, len, "ies");
  if (!ies || ends_with(word, len, "eies") || ends_with(word, len, "aies")) return len - 1;
  word[len - 3] = 'y';
  return len - 2;
}

void wn_tokens_init(wn_tokens *tokens, wn_str text) {
  tokens->text = text;
  tokens->pos = 0;
}

/* One run of word characters into tokens->word; its length, 0 at the end of the text. */
static size_t next_run(wn_tokens *tokens) {
  size_t len = 0;
  bool cut = false;
  while (tokens->pos < tokens->text.len) {
    size_t before = tokens->pos;
    uint32_t c = lower(wn_utf8_next(tokens->text, &tokens->pos));
    if (!is_word(c) || c == 0xFFFD) {
      if (len > 0) break;
      continue;
    }
    if (is_whole(c) && len > 0) {
      tokens->pos = before;
      break;
    }
    char bytes[4];
    size_t n = encode(c, bytes);
    cut = cut || len + n > sizeof tokens->word;
    if (!cut) {
      memcpy(tokens->word + len, bytes, n);
      len += n;
    }
    if (is_whole(c)) break;
  }
  return len;
}

bool wn_tokens_next(wn_tokens *tokens, wn_str *word) {
  size_t len;
  while ((len = next_run(tokens)) == 1) continue;
  if (len == 0) return false;
  *word = (wn_str){tokens->word, singular(tokens->word, len)};
  return true;
}

wn_str wn_attr_term(wn_str name, wn_str value, char *buf, size_t size) {
  wn_str part[2] = {wn_str_trim(name), wn_str_trim(value)};
  size_t len = 0;
  if (part[1].len == 0) return (wn_str){NULL, 0};
  for (int p = 0; p < 2; p++) {
    for (size_t pos = 0; pos < part[p].len;) {
      char bytes[4];
      size_t n = encode(lower(wn_utf8_next(part[p], &pos)), bytes);
      if (len + n > size) return (wn_str){NULL, 0};
      memcpy(buf + len, bytes, n);
      len += n;
    }
    if (p == 0) {
      if (len == size) return (wn_str){NULL, 0};
      buf[len++] = ':';
    }
  }
  return (wn_str){buf, len};
}
