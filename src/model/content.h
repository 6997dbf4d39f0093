#ifndef WN_MODEL_CONTENT_H
#define WN_MODEL_CONTENT_H
/* Inside of the content model: content.c answers, content_search.c finds the best, content_fit.c
 * builds, content_delta.c holds what was put since. */

#include "base/map64.h"
#include "model/content_vector.h"
#include "model/model.h"

#define WN_CONTENT_VOCABULARY_MAX ((uint32_t)4 << 20) /* terms counted; later ones are ignored */

/* Snapshot section "content/head". */
typedef struct wn_content_head {
  uint32_t version;
  uint32_t items;
  uint32_t terms;
  uint32_t history_max;
  uint64_t documents;
  double k1, b, length_mean, title_weight, tau_query;
  uint32_t ngram;     /* characters; 0: none */
  uint32_t ngrams;    /* terms 0 … ngrams − 1 */
  double ngram_share; /* of a vector's square */
} wn_content_head;

static inline wn_term_rules wn_content_rules(const wn_content_head *h) {
  return (wn_term_rules){(float)h->title_weight, h->ngram};
}
static inline wn_bm25 wn_content_bm25(const wn_content_head *h, const float *idf) {
  return (wn_bm25){h->k1, h->b, h->length_mean, idf, {h->ngrams, h->ngram_share}};
}

typedef struct wn_content_node {
  wn_term_weight value;
  uint32_t doc;
  uint32_t next; /* node of the same term, WN_NO_IX: none */
} wn_content_node;

typedef struct wn_content_doc {
  wn_item_ix ix;
  uint32_t begin, len; /* nodes */
  bool live;           /* false: replaced by a later one */
} wn_content_doc;

/* Items put, changed or deleted since the fit. Dead nodes never outnumber live ones by more than
 * 4,096: at most 64 nodes of 16 bytes a changed item, twice, and 4,096 more. */
typedef struct wn_content_delta {
  WN_VEC(wn_content_node) nodes;
  WN_VEC(wn_content_doc) docs;
  wn_map64 doc_of;    /* item → document + 1; 0: it has no vector any more */
  wn_map64 first;     /* term → node + 1 */
  wn_bitset replaced; /* items of the fit that the delta overrides; no bits: none */
  size_t live;        /* nodes */
  uint32_t items;     /* largest index + 1 */
} wn_content_delta;

typedef struct wn_content {
  wn_model base;
  wn_content_head head;
  const uint64_t *word_ptr; /* [terms + 1] into words; terms ascend by bytes */
  const char *words;
  const float *idf;          /* [terms] */
  const uint64_t *item_ptr;  /* [items + 1] */
  const uint32_t *item_term; /* ascending within an item */
  const float *item_weight;  /* norm 1 */
  const uint64_t *term_ptr;  /* [terms + 1] */
  const uint32_t *post_item; /* ascending within a term */
  const float *post_weight;
  float *most;        /* [terms] the largest weight in an item as fitted */
  double ngrams_most; /* length of the n-grams' block of an item's vector as fitted, at most */
  wn_content_delta delta;
  void *owned[9];
  size_t owned_len;
} wn_content;

uint32_t wn_content_term_find(const wn_content *m, wn_str term); /* WN_NO_IX: not a term */
/* An item's vector, as fitted or as put since; its length, 0: none. */
size_t wn_content_vector_of(const wn_content *m, wn_item_ix ix,
                            wn_term_weight out[WN_CONTENT_TERMS_MAX]);

/* A query's vector. */
typedef struct wn_content_asked {
  wn_term_weight term[WN_CONTENT_TERMS_MAX]; /* ascending */
  size_t len;
  wn_item_ix without; /* the anchor itself; WN_NO_IX: none */
} wn_content_asked;
/* After fitting and mapping: largest weights. */
WN_MUST_USE wn_status wn_content_search_init(wn_content *m, wn_error *err);
/* Pushes the best of the items that are as fitted; none where adding up all lists costs no more, or
 * where fewer have a score than are wanted. False: no memory. */
WN_MUST_USE bool wn_content_search(const wn_content *m, const wn_query *query,
                                   const wn_content_asked *asked, wn_topk *top, wn_arena *arena);
void wn_content_free(wn_model *model);
wn_status wn_content_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                         wn_model **out, wn_error *err);

void wn_content_delta_clear(wn_content_delta *delta);
/* Replaces what is known of the item; len 0: it has no vector. */
wn_status wn_content_delta_put(wn_content_delta *delta, uint32_t items, wn_item_ix ix,
                               const wn_term_weight *vector, size_t len, wn_error *err);
/* True when the delta knows the item; its vector goes to `out`, *len entries (0: none). */
bool wn_content_delta_get(const wn_content_delta *delta, wn_item_ix ix,
                          wn_term_weight out[WN_CONTENT_TERMS_MAX], size_t *len);

#endif
