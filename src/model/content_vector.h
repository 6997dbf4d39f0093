#ifndef WN_MODEL_CONTENT_VECTOR_H
#define WN_MODEL_CONTENT_VECTOR_H
/* What an item's text and attributes say, as a short sparse vector. */

#include "base/record.h"
#include "base/vec.h"

#define WN_CONTENT_WORDS_MAX  64 /* words and attributes of a vector */
#define WN_CONTENT_NGRAMS_MAX 32 /* beside them */
#define WN_CONTENT_TERMS_MAX  (WN_CONTENT_WORDS_MAX + WN_CONTENT_NGRAMS_MAX)
#define WN_CONTENT_NGRAM_MAX  8  /* characters */
#define WN_CONTENT_TERM_BYTES 96 /* of "name:value"; longer values are read as text */

typedef struct wn_term_weight {
  uint32_t term;
  float weight;
} wn_term_weight;

typedef enum wn_term_kind {
  WN_TERM_WORD,
  WN_TERM_ATTRIBUTE, /* "name:value"; not normalised by the length of the text */
  WN_TERM_NGRAM,     /* begins with WN_NGRAM_MARK */
} wn_term_kind;
#define WN_NGRAM_MARK '\1' /* sorts before everything that words and attributes begin with */

/* A term met in an item: `value` occurrences (title words count more); later its weight. */
typedef struct wn_term_hit {
  uint32_t term;
  float value;
  wn_term_kind kind;
} wn_term_hit;
typedef WN_VEC(wn_term_hit) wn_term_hits;

/* Which terms an item has. */
typedef struct wn_term_rules {
  float title_weight;
  uint32_t ngram; /* characters; 0: none */
} wn_term_rules;

/* Calls `each` for every word, attribute term and n-gram of an item, in order; false stops. Returns
 * false when stopped. N-grams are those of the title's words, each between "<" and ">". */
typedef bool wn_term_fn(void *ctx, wn_str term, float count, wn_term_kind kind);
bool wn_content_terms(const wn_item_record *item, const wn_term_rules *rules, wn_term_fn *each,
                      void *ctx);

/* A vector's two blocks: terms below `ngrams`, which have the share `share` of its square, and the
 * others. */
typedef struct wn_term_blocks {
  uint32_t ngrams;
  double share;
} wn_term_blocks;

typedef struct wn_bm25 {
  double k1, b;
  double length_mean; /* of the text's counts */
  const float *idf;   /* by term */
  wn_term_blocks blocks;
} wn_bm25;

/* BM25 weights of the hits (reordered), of each block the strongest kept and scaled to the L2 norm
 * √share or √(1 − share), terms ascending; returns their number. `length`: the sum of all text
 * counts, unknown words included. */
size_t wn_content_vector(const wn_bm25 *bm25, wn_term_hit *hits, size_t len, double length,
                         wn_term_weight out[WN_CONTENT_TERMS_MAX]);
/* The same cut, norm and order for hits whose values are weights already; those of one term are
 * added up. */
size_t wn_content_strongest(const wn_term_blocks *blocks, wn_term_hit *hits, size_t len,
                            wn_term_weight out[WN_CONTENT_TERMS_MAX]);

#endif
