#ifndef WN_MODEL_CONTENT_VECTOR_H
#define WN_MODEL_CONTENT_VECTOR_H
/* What an item's text and attributes say, as a short sparse vector. */

#include "base/record.h"
#include "base/vec.h"

#define WN_CONTENT_TERMS_MAX  64 /* entries of a vector */
#define WN_CONTENT_TERM_BYTES 96 /* of "name:value"; longer values are read as text */

typedef struct wn_term_weight {
  uint32_t term;
  float weight;
} wn_term_weight;

/* A term met in an item: `value` occurrences (title words count more); later its weight. */
typedef struct wn_term_hit {
  uint32_t term;
  float value;
  bool attribute; /* not normalised by the length of the text */
} wn_term_hit;
typedef WN_VEC(wn_term_hit) wn_term_hits;

/* Calls `each` for every word and attribute term of an item, in order; false stops. Returns
 * false when stopped. */
typedef bool wn_term_fn(void *ctx, wn_str term, float count, bool attribute);
bool wn_content_terms(const wn_item_record *item, float title_weight, wn_term_fn *each, void *ctx);

typedef struct wn_bm25 {
  double k1, b;
  double length_mean; /* of the text's counts */
  const float *idf;   /* by term */
} wn_bm25;

/* BM25 weights of the hits (reordered), the strongest WN_CONTENT_TERMS_MAX kept, L2 norm 1, terms
 * ascending; returns their number. `length`: the sum of all text counts, unknown words included. */
size_t wn_content_vector(const wn_bm25 *bm25, wn_term_hit *hits, size_t len, double length,
                         wn_term_weight out[WN_CONTENT_TERMS_MAX]);
/* The same cut, norm and order for hits whose values are weights already; those of one term are
 * added up. */
size_t wn_content_strongest(wn_term_hit *hits, size_t len,
                            wn_term_weight out[WN_CONTENT_TERMS_MAX]);

#endif
