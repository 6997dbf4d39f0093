#ifndef WN_MODEL_WORDPIECE_H
#define WN_MODEL_WORDPIECE_H
/* BERT's way from a text to token numbers: normaliser, pre-tokeniser, WordPiece. */

#include "base/dict.h"

#define WN_WORDPIECE_PREFIX_MAX 8   /* with its NUL */
#define WN_WORDPIECE_CHARS_MAX  200 /* of a word that is looked up at all */

typedef struct wn_wordpiece {
  wn_dict *tokens;                      /* a token's number is its index */
  uint32_t unknown;                     /* the number of [UNK]; WN_NO_IX: none */
  uint32_t chars_max;                   /* longer words are unknown; ≤ WN_WORDPIECE_CHARS_MAX */
  char prefix[WN_WORDPIECE_PREFIX_MAX]; /* of tokens that continue a word: "##" */
  uint32_t token_bytes;                 /* of the longest token */
  bool clean;                           /* drop control characters */
  bool split_han;                       /* Han characters are words of their own */
  bool bare;                            /* take accents off */
  bool lower;
} wn_wordpiece;

/* Calls `each` for every token in order, WN_NO_IX for a word that cannot be put together; false
 * stops. Returns false when stopped. */
typedef bool wn_wordpiece_fn(void *ctx, uint32_t token);
bool wn_wordpiece_split(const wn_wordpiece *w, wn_str text, wn_wordpiece_fn *each, void *ctx);

#endif
