/* Building the content model: two passes over the catalogue. The first counts in how many items
 * each term occurs; terms of one item only say nothing about similarity, words of more than
 * `df_max` of all items are stop words, and so are attribute values of more than
 * `attribute_df_max`: a genre may well be that of a third of the films. The second makes the
 * vectors. Then both are laid out by item and by term.
 *
 * Memory: terms met × (bytes + 30), at most WN_CONTENT_VOCABULARY_MAX of them; 512 bytes an item
 * while building and as much again for the index. One thread; the order of the catalogue does not
 * matter, for terms are numbered by their bytes. */
#include "model/content.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct content_build {
  wn_content *m;
  const wn_fit_env *env;
  wn_dict *terms;        /* all terms met */
  WN_VEC(uint32_t) df;   /* by dictionary index: items with the term */
  WN_VEC(uint32_t) seen; /* the last document that had it */
  uint32_t *number;      /* by dictionary index: the term's number, WN_NO_IX: left out */
  uint32_t documents;
  double length; /* of the document that is read; of all after the first pass */
  double length_sum;
  wn_term_hits hits;
  WN_VEC(wn_term_weight) values; /* vectors in the order of the catalogue */
  uint64_t *begin;               /* [items] where an item's vector begins in values */
  uint8_t *len;                  /* [items] */
  float *idf;
} content_build;

static void build_clear(content_build *b) {
  wn_dict_free(b->terms);
  wn_vec_clear(&b->df);
  wn_vec_clear(&b->seen);
  wn_vec_clear(&b->hits);
  wn_vec_clear(&b->values);
  wn_free(b->number);
  wn_free(b->begin);
  wn_free(b->len);
}

static void *own(wn_content *m, size_t count, size_t size) {
  void *p = wn_calloc(count > 0 ? count : 1, size);
  if (p != NULL) m->owned[m->owned_len++] = p;
  return p;
}

static bool count_term(void *ctx, wn_str term, float count, wn_term_kind kind) {
  content_build *b = ctx;
  if (kind == WN_TERM_WORD) b->length += (double)count;
  uint32_t ix = wn_dict_find(b->terms, term);
  if (ix == WN_NO_IX) {
    if (wn_dict_count(b->terms) >= WN_CONTENT_VOCABULARY_MAX) return true;
    bool added;
    if (wn_dict_add(b->terms, term, &ix, &added) != WN_OK || !wn_vec_push(&b->df, 0) ||
        !wn_vec_push(&b->seen, WN_NO_IX)) {
      return false;
    }
  }
  if (b->seen.data[ix] != b->documents) {
    b->seen.data[ix] = b->documents;
    b->df.data[ix]++;
  }
  return true;
}

static wn_status report(content_build *b, const char *stage, wn_error *err) {
  if (b->documents % 1024 == 0 &&
      !wn_progress_at(b->env->progress, stage, b->documents, b->m->head.items, "items")) {
    return wn_fail(err, WN_E_CANCELLED, "", "training was cancelled");
  }
  return WN_OK;
}

static wn_status first_pass(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err) {
  content_build *b = ctx;
  wn_status status = report(b, "content: terms", err);
  if (status != WN_OK || ix >= b->m->head.items) return status;
  b->length = 0;
  wn_term_rules rules = wn_content_rules(&b->m->head);
  if (!wn_content_terms(item, &rules, count_term, b)) {
    return wn_fail_memory(err);
  }
  b->length_sum += b->length;
  b->documents++;
  return WN_OK;
}

static bool collect_term(void *ctx, wn_str term, float count, wn_term_kind kind) {
  content_build *b = ctx;
  if (kind == WN_TERM_WORD) b->length += (double)count;
  uint32_t ix = wn_dict_find(b->terms, term);
  if (ix == WN_NO_IX || b->number[ix] == WN_NO_IX) return true;
  return wn_vec_push(&b->hits, ((wn_term_hit){b->number[ix], count, kind}));
}

static wn_status second_pass(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err) {
  content_build *b = ctx;
  const wn_content_head *h = &b->m->head;
  wn_status status = report(b, "content: vectors", err);
  if (status != WN_OK || ix >= h->items) return status;
  b->documents++;
  b->length = 0;
  b->hits.len = 0;
  wn_term_rules rules = wn_content_rules(h);
  if (!wn_content_terms(item, &rules, collect_term, b) ||
      !wn_vec_reserve(&b->values, b->values.len + WN_CONTENT_TERMS_MAX)) {
    return wn_fail_memory(err);
  }
  wn_bm25 bm25 = wn_content_bm25(h, b->idf);
  b->begin[ix] = b->values.len;
  b->len[ix] = (uint8_t)wn_content_vector(&bm25, b->hits.data, b->hits.len, b->length,
                                          b->values.data + b->values.len);
  b->values.len += b->len[ix];
  return WN_OK;
}

typedef struct named_term {
  wn_str word;
  uint32_t ix;
} named_term;

static int by_word(const void *a, const void *b) {
  return wn_str_compare(((const named_term *)a)->word, ((const named_term *)b)->word);
}

/* "name:value"; no word has a colon. */
static bool is_attribute(wn_str term) {
  return memchr(term.ptr, ':', term.len) != NULL;
}

/* Stop words: more than the share of the catalogue, but a tiny catalogue has none. */
static uint32_t df_most(uint32_t documents, double share) {
  double most = share * documents;
  return most > 16 ? (uint32_t)most : 16;
}

static wn_status write_vocabulary(content_build *b, const named_term *kept, uint32_t n,
                                  wn_error *err) {
  uint64_t bytes = 0;
  for (uint32_t t = 0; t < n; t++) bytes += kept[t].word.len;
  uint64_t *word_ptr = own(b->m, (size_t)n + 1, sizeof *word_ptr);
  char *words = own(b->m, bytes, 1);
  b->idf = own(b->m, n, sizeof *b->idf);
  if (word_ptr == NULL || words == NULL || b->idf == NULL) return wn_fail_memory(err);
  for (uint32_t t = 0; t < n; t++) {
    memcpy(words + word_ptr[t], kept[t].word.ptr, kept[t].word.len);
    word_ptr[t + 1] = word_ptr[t] + kept[t].word.len;
    double df = b->df.data[kept[t].ix];
    b->m->head.ngrams += kept[t].word.ptr[0] == WN_NGRAM_MARK;
    b->idf[t] = (float)log1p(((double)b->documents - df + 0.5) / (df + 0.5));
    b->number[kept[t].ix] = t;
  }
  b->m->word_ptr = word_ptr;
  b->m->words = words;
  b->m->idf = b->idf;
  b->m->head.terms = n;
  return WN_OK;
}

static wn_status choose_terms(content_build *b, const wn_params *params, wn_error *err) {
  const wn_model_class *cls = &wn_model_content;
  uint32_t words_most = df_most(b->documents, wn_param(cls, params, "df_max"));
  uint32_t attributes_most = df_most(b->documents, wn_param(cls, params, "attribute_df_max"));
  uint32_t all = wn_dict_count(b->terms), n = 0;
  named_term *kept = wn_calloc((size_t)all + 1, sizeof *kept);
  b->number = wn_calloc((size_t)all + 1, sizeof *b->number);
  if (kept == NULL || b->number == NULL) {
    wn_free(kept);
    return wn_fail_memory(err);
  }
  for (uint32_t ix = 0; ix < all; ix++) {
    b->number[ix] = WN_NO_IX;
    wn_str word = wn_dict_key(b->terms, ix);
    uint32_t most = is_attribute(word) ? attributes_most : words_most;
    if (b->df.data[ix] >= 2 && b->df.data[ix] <= most) kept[n++] = (named_term){word, ix};
  }
  qsort(kept, n, sizeof *kept, by_word);
  wn_status status = write_vocabulary(b, kept, n, err);
  wn_free(kept);
  return status;
}

static wn_status lay_out(content_build *b, wn_error *err) {
  wn_content *m = b->m;
  uint32_t items = m->head.items, terms = m->head.terms;
  size_t nnz = 0;
  for (uint32_t i = 0; i < items; i++) nnz += b->len[i];
  uint64_t *item_ptr = own(m, (size_t)items + 1, sizeof *item_ptr);
  uint32_t *item_term = own(m, nnz, sizeof *item_term);
  float *item_weight = own(m, nnz, sizeof *item_weight);
  uint64_t *term_ptr = own(m, (size_t)terms + 2, sizeof *term_ptr);
  uint32_t *post_item = own(m, nnz, sizeof *post_item);
  float *post_weight = own(m, nnz, sizeof *post_weight);
  if (item_ptr == NULL || item_term == NULL || item_weight == NULL || term_ptr == NULL ||
      post_item == NULL || post_weight == NULL) {
    return wn_fail_memory(err);
  }
  uint64_t at = 0;
  for (uint32_t i = 0; i < items; i++) {
    for (uint32_t k = 0; k < b->len[i]; k++, at++) {
      wn_term_weight v = b->values.data[b->begin[i] + k];
      item_term[at] = v.term;
      item_weight[at] = v.weight;
      term_ptr[v.term + 2]++; /* two on: after the loop below [t + 1] is where t begins */
    }
    item_ptr[i + 1] = at;
  }
  for (uint32_t t = 0; t < terms; t++) term_ptr[t + 2] += term_ptr[t + 1];
  for (uint32_t i = 0; i < items; i++) {
    for (uint64_t k = item_ptr[i]; k < item_ptr[i + 1]; k++) {
      uint64_t to = term_ptr[item_term[k] + 1]++;
      post_item[to] = i;
      post_weight[to] = item_weight[k];
    }
  }
  m->item_ptr = item_ptr;
  m->item_term = item_term;
  m->item_weight = item_weight;
  m->term_ptr = term_ptr;
  m->post_item = post_item;
  m->post_weight = post_weight;
  return WN_OK;
}

static wn_status build(content_build *b, const wn_dataset *data, const wn_params *params,
                       wn_error *err) {
  const wn_item_source *source = &data->items_source;
  uint32_t items = b->m->head.items;
  b->terms = wn_dict_create();
  b->begin = wn_calloc((size_t)items + 1, sizeof *b->begin);
  b->len = wn_calloc((size_t)items + 1, sizeof *b->len);
  if (b->terms == NULL || b->begin == NULL || b->len == NULL) return wn_fail_memory(err);
  wn_status status;
  if (source->scan != NULL) WN_TRY(source->scan(source->ctx, first_pass, b, err));
  b->m->head.documents = b->documents;
  b->m->head.length_mean = b->documents > 0 ? b->length_sum / b->documents : 0;
  WN_TRY(choose_terms(b, params, err));
  b->documents = 0;
  if (source->scan != NULL) WN_TRY(source->scan(source->ctx, second_pass, b, err));
  WN_TRY(lay_out(b, err));
cleanup:
  return status;
}

wn_status wn_content_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                         wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_content;
  wn_content *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  m->head = (wn_content_head){.version = 2,
                              .items = data->items,
                              .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                              .k1 = wn_param(cls, params, "k1"),
                              .b = wn_param(cls, params, "b"),
                              .title_weight = wn_param(cls, params, "title_weight"),
                              .tau_query = wn_param(cls, params, "tau_query"),
                              .ngram = (uint32_t)wn_param(cls, params, "ngram")};
  if (m->head.ngram > 0) m->head.ngram_share = wn_param(cls, params, "ngram_share");
  content_build b = {.m = m, .env = env};
  wn_status status = build(&b, data, params, err);
  build_clear(&b);
  if (status == WN_OK) status = wn_content_search_init(m, err);
  if (status != WN_OK) {
    wn_content_free(&m->base);
    return status;
  }
  *out = &m->base;
  return WN_OK;
}
