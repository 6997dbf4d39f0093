#ifndef WN_FUNNEL_DIVERSITY_H
#define WN_FUNNEL_DIVERSITY_H
/* Values of an attribute as sets, and how alike two items are: for caps and MMR. */

#include "funnel/stages.h"

/* The distinct values of one item in one column, ascending. Strings are their codes, so that a
 * single string and a list that holds it share a value. */
typedef struct wn_values {
  uint32_t len;
  uint64_t one; /* len 1 */
  uint64_t *many;
} wn_values;

static inline const uint64_t *wn_values_keys(const wn_values *values) {
  return values->len == 1 ? &values->one : values->many;
}
/* column NULL: no values. False: out of memory. */
WN_MUST_USE bool wn_values_of(const wn_column *column, wn_item_ix item, wn_arena *arena,
                              wn_values *out);
bool wn_values_hold(const wn_values *values, uint64_t key);
/* |a ∩ b| / |a ∪ b|; 0 when both are empty: nothing is known of them. */
float wn_values_jaccard(const wn_values *a, const wn_values *b);

/* Similarity of `len` items with each other. */
typedef struct wn_similarity {
  const wn_funnel *funnel;
  const wn_item_ix *items; /* [len], borrowed */
  size_t len;
  const wn_model *model; /* by cosine of item vectors, −1 … 1; */
  uint32_t d;
  float *vectors;          /* [len × d], of length 1, or 0 when the item has none */
  const wn_column *column; /* or by Jaccard of an attribute's values, 0 … 1 */
  wn_values *values;       /* [len] */
} wn_similarity;

/* *active false: the surface asks for no diversity, or there is nothing to measure it by. */
WN_MUST_USE wn_status wn_similarity_init(wn_similarity *similarity, const wn_funnel *funnel,
                                         const wn_item_ix *items, size_t len, bool *active,
                                         wn_error *err);
/* row[len]: similarities with items[at]; 1 with itself. */
void wn_similarity_row(const wn_similarity *similarity, size_t at, float *row);

#endif
