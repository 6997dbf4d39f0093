#ifndef WN_MODEL_TEXT_H
#define WN_MODEL_TEXT_H
/* Words of a text. */

#include "base/str.h"

#define WN_TOKEN_BYTES_MAX 64 /* longer words are cut */

typedef struct wn_tokens {
  wn_str text;
  size_t pos;
  char word[WN_TOKEN_BYTES_MAX];
} wn_tokens;

void wn_tokens_init(wn_tokens *tokens, wn_str text);
/* The next word: a run of letters and digits in lower case (ASCII, Latin-1, Greek, Cyrillic; other
 * letters as they are), English plurals made singular; Han and kana characters are words of their
 * own; single ASCII characters are left out. Invalid UTF-8 separates. `word` is valid until the
 * next call. False at the end. */
bool wn_tokens_next(wn_tokens *tokens, wn_str *word);

/* "name:value" in lower case, blanks at the ends cut off, at most `size` bytes; {NULL, 0} when the
 * value is empty or it does not fit. */
wn_str wn_attr_term(wn_str name, wn_str value, char *buf, size_t size);

#endif
