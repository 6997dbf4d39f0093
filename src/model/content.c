/* Similar by what items say about themselves: text and attributes as sparse vectors under cosine
 * (content_vector.c), found through an inverted index.
 *
 * An anchor asks with its own vector; a user with Σ √w·exp(−step/tau_query)·vector over the newest
 * positive items, cut to the strongest WN_CONTENT_TERMS_MAX terms. Cost: the postings of those
 * terms, but for the longest where others decide (content_search.c); a word has at most df_max of
 * the catalogue, an attribute value attribute_df_max. An item
 * put after training gets a vector by the stored vocabulary and is found from the next request on;
 * words that training did not meet wait for the next training. Exact; nothing is random. */
#include "model/content.h"
#include "model/query.h"
#include "model/section.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define PROFILE_ITEMS_MAX 64

static const wn_param_spec content_params[] = {
    {"k1", 1.2, 0.01, 10, "BM25: how fast repeated words stop counting"},
    {"b", 0.75, 0, 1, "BM25: how much long texts are held back"},
    {"title_weight", 2, 0.1, 100, "occurrences that one in the title counts for"},
    {"df_max", 0.05, 0.001, 1, "words in more of the items than this share are stop words"},
    {"attribute_df_max", 0.5, 0.001, 1, "attribute values in more of the items say nothing"},
    {"ngram", 4, 0, WN_CONTENT_NGRAM_MAX, "characters of the n-grams of title words; 0: none"},
    {"ngram_share", 0.1, 0, 1, "of the similarity that n-grams make"},
    {"tau_query", 10, 0.01, 1e6, "steps over which a history item's weight falls to 1/e"},
    {"history_max", 30, 1, PROFILE_ITEMS_MAX, "newest items of a user that make the profile"},
};

void wn_content_free(wn_model *model) {
  wn_content *m = (wn_content *)model;
  wn_content_delta_clear(&m->delta);
  for (size_t i = 0; i < m->owned_len; i++) wn_free(m->owned[i]);
  wn_free(m->most);
  wn_free(m);
}

static wn_str word_at(const wn_content *m, uint32_t term) {
  return (wn_str){m->words + m->word_ptr[term],
                  (size_t)(m->word_ptr[term + 1] - m->word_ptr[term])};
}

uint32_t wn_content_term_find(const wn_content *m, wn_str term) {
  uint32_t low = 0, high = m->head.terms;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = wn_str_compare(word_at(m, middle), term);
    if (order == 0) return middle;
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return WN_NO_IX;
}

/* ---- changes ---- */

typedef struct content_reading {
  const wn_content *m;
  wn_term_hits hits;
  double length;
} content_reading;

static bool read_term(void *ctx, wn_str term, float count, wn_term_kind kind) {
  content_reading *r = ctx;
  if (kind == WN_TERM_WORD) r->length += (double)count;
  uint32_t t = wn_content_term_find(r->m, term);
  return t == WN_NO_IX || wn_vec_push(&r->hits, ((wn_term_hit){t, count, kind}));
}

static wn_status content_update_item(wn_model *model, wn_item_ix ix, const wn_item_record *item,
                                     wn_error *err) {
  wn_content *m = (wn_content *)model;
  wn_term_weight vector[WN_CONTENT_TERMS_MAX];
  size_t len = 0;
  content_reading r = {.m = m};
  wn_status status = WN_OK;
  if (ix == WN_NO_IX) return wn_fail(err, WN_E_ARGUMENT, "item", "has no index");
  if (item->status != WN_ITEM_DELETED) {
    wn_term_rules rules = wn_content_rules(&m->head);
    if (wn_content_terms(item, &rules, read_term, &r)) {
      wn_bm25 bm25 = wn_content_bm25(&m->head, m->idf);
      len = wn_content_vector(&bm25, r.hits.data, r.hits.len, r.length, vector);
    } else {
      status = wn_fail_memory(err);
    }
  }
  wn_vec_clear(&r.hits);
  if (status != WN_OK) return status;
  return wn_content_delta_put(&m->delta, m->head.items, ix, vector, len, err);
}

/* ---- answering ---- */

static uint32_t item_count(const wn_content *m) {
  return m->delta.items > m->head.items ? m->delta.items : m->head.items;
}

size_t wn_content_vector_of(const wn_content *m, wn_item_ix ix,
                            wn_term_weight out[WN_CONTENT_TERMS_MAX]) {
  size_t len = 0;
  if (wn_content_delta_get(&m->delta, ix, out, &len) || ix >= m->head.items) return len;
  for (uint64_t i = m->item_ptr[ix]; i < m->item_ptr[ix + 1]; i++) {
    out[len++] = (wn_term_weight){m->item_term[i], m->item_weight[i]};
  }
  return len;
}

/* The vector that the query asks with; 0 entries: nothing to say. */
static wn_status profile_of(const wn_content *m, const wn_query *query, wn_arena *arena,
                            wn_term_weight out[WN_CONTENT_TERMS_MAX], size_t *len, wn_error *err) {
  wn_positive history[PROFILE_ITEMS_MAX];
  size_t n = wn_query_positives(query, item_count(m), m->head.history_max, history), hits_len = 0;
  wn_term_hit *hits = wn_arena_alloc(arena, (n * WN_CONTENT_TERMS_MAX + 1) * sizeof *hits);
  if (hits == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < n; i++) {
    wn_term_weight vector[WN_CONTENT_TERMS_MAX];
    size_t vector_len = wn_content_vector_of(m, history[i].item, vector);
    double decay = exp(-(double)history[i].step / m->head.tau_query);
    float factor = sqrtf(history[i].weight) * (float)decay;
    for (size_t k = 0; k < vector_len; k++) {
      hits[hits_len++] = (wn_term_hit){vector[k].term, vector[k].weight * factor, WN_TERM_WORD};
    }
  }
  wn_term_blocks blocks = {m->head.ngrams, m->head.ngram_share};
  *len = wn_content_strongest(&blocks, hits, hits_len, out);
  return WN_OK;
}

/* What the query asks for: a profile, else the anchor's own vector. */
static wn_status asked_of(const wn_content *m, const wn_query *query, wn_arena *arena,
                          wn_content_asked *out, wn_error *err) {
  out->without = WN_NO_IX;
  wn_status status = profile_of(m, query, arena, out->term, &out->len, err);
  if (status != WN_OK || out->len > 0 || query->anchor == WN_NO_IX) return status;
  out->len = wn_content_vector_of(m, query->anchor, out->term);
  out->without = query->anchor;
  return WN_OK;
}

static void add_fitted(const wn_content *m, wn_term_weight asked, wn_accum *accum) {
  bool replaced = m->delta.replaced.words != NULL;
  for (uint64_t i = m->term_ptr[asked.term]; i < m->term_ptr[asked.term + 1]; i++) {
    wn_item_ix ix = m->post_item[i];
    if (replaced && wn_bitset_test(&m->delta.replaced, ix)) continue;
    wn_accum_add(accum, ix, asked.weight * m->post_weight[i]);
  }
}

static void add_changed(const wn_content *m, wn_term_weight asked, wn_accum *accum) {
  const uint64_t *first = wn_map64_find(&m->delta.first, asked.term);
  uint32_t node = first == NULL || *first == 0 ? WN_NO_IX : (uint32_t)(*first - 1);
  for (; node != WN_NO_IX; node = m->delta.nodes.data[node].next) {
    const wn_content_node *n = &m->delta.nodes.data[node];
    const wn_content_doc *doc = &m->delta.docs.data[n->doc];
    if (doc->live) wn_accum_add(accum, doc->ix, asked.weight * n->value.weight);
  }
}

/* Sums over all lists: of changed items, and of those that are as fitted. */
static bool add_all(const wn_content *m, const wn_content_asked *asked, bool fitted, wn_ask *ask,
                    wn_arena *arena) {
  uint64_t adds = m->delta.nodes.len;
  for (size_t i = 0; fitted && i < asked->len; i++)
    adds += m->term_ptr[asked->term[i].term + 1] - m->term_ptr[asked->term[i].term];
  *ask = (wn_ask){.any = true, .without = asked->without};
  if (!wn_accum_init(&ask->accum, item_count(m), (size_t)adds, arena)) return false;
  for (size_t i = 0; i < asked->len; i++) {
    if (fitted) add_fitted(m, asked->term[i], &ask->accum);
    add_changed(m, asked->term[i], &ask->accum);
  }
  return true;
}

static wn_status content_ask(wn_ask *ask, const wn_model *model, const wn_query *query,
                             wn_arena *arena, wn_error *err) {
  const wn_content *m = (const wn_content *)model;
  wn_content_asked asked;
  wn_status status = asked_of(m, query, arena, &asked, err);
  if (status != WN_OK || asked.len == 0) return status;
  return add_all(m, &asked, true, ask, arena) ? WN_OK : wn_fail_memory(err);
}

/* Without the longest lists where that pays; what was put since is few, and all of it is looked at.
 */
static bool best_of(const wn_content *m, const wn_query *query, const wn_content_asked *asked,
                    wn_topk *top, wn_arena *arena) {
  wn_ask ask;
  if (!wn_content_search(m, query, asked, top, arena)) return false;
  bool found = top->len > 0;
  if (found && m->delta.live == 0) return true;
  return add_all(m, asked, !found, &ask, arena) && wn_ask_offer(&ask, query, top, arena);
}

static wn_status content_candidates(const wn_model *model, const wn_query *query, size_t k,
                                    wn_scored *out, size_t *count, wn_error *err) {
  const wn_content *m = (const wn_content *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_content_asked asked;
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = asked_of(m, query, arena, &asked, err);
  if (status == WN_OK && asked.len > 0 && !best_of(m, query, &asked, &top, arena))
    status = wn_fail_memory(err);
  wn_arena_clear(&local);
  *count = wn_topk_sort(&top);
  return status;
}

static wn_status content_score_all(const wn_model *model, const wn_query *query, float *scores,
                                   uint32_t items, wn_error *err) {
  return wn_ask_all(content_ask, model, query, scores, items, err);
}

/* ---- snapshots ---- */

/* What training found; changes since are in the store and are put again after a restart. */
static wn_status content_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const wn_content *m = (const wn_content *)model;
  uint64_t items = m->head.items, terms = m->head.terms, nnz = m->item_ptr[items];
  const struct {
    const char *name;
    const void *data;
    uint64_t bytes;
  } section[] = {
      {"content/head", &m->head, sizeof m->head},
      {"content/word_ptr", m->word_ptr, (terms + 1) * sizeof *m->word_ptr},
      {"content/words", m->words, m->word_ptr[terms]},
      {"content/idf", m->idf, terms * sizeof *m->idf},
      {"content/item_ptr", m->item_ptr, (items + 1) * sizeof *m->item_ptr},
      {"content/item_term", m->item_term, nnz * sizeof *m->item_term},
      {"content/item_weight", m->item_weight, nnz * sizeof *m->item_weight},
      {"content/term_ptr", m->term_ptr, (terms + 1) * sizeof *m->term_ptr},
      {"content/post_item", m->post_item, nnz * sizeof *m->post_item},
      {"content/post_weight", m->post_weight, nnz * sizeof *m->post_weight},
  };
  for (size_t i = 0; i < sizeof section / sizeof *section; i++) {
    wn_status status =
        wn_snapshot_write(writer, section[i].name, section[i].data, section[i].bytes, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static bool in_range(double x, double low, double high) {
  return x >= low && x <= high;
}

static wn_status check_head(const wn_content_head *h, wn_error *err) {
  if (h->version != 2) {
    return wn_fail(err, WN_E_CORRUPT, "content/head", "version %" PRIu32 ", expected 2",
                   h->version);
  }
  if (h->history_max < 1 || h->history_max > PROFILE_ITEMS_MAX ||
      h->terms > WN_CONTENT_VOCABULARY_MAX || !in_range(h->k1, 0.01, 10) || !in_range(h->b, 0, 1) ||
      !in_range(h->length_mean, 0, 1e12) || !in_range(h->title_weight, 0.1, 100) ||
      !in_range(h->tau_query, 0.01, 1e6) || h->ngram > WN_CONTENT_NGRAM_MAX ||
      h->ngrams > h->terms || !in_range(h->ngram_share, 0, 1)) {
    return wn_fail(err, WN_E_CORRUPT, "content/head", "parameters are out of range");
  }
  return WN_OK;
}

/* Binary search needs ascending words, buffers of fixed size short vectors. */
static wn_status check_order(const wn_content *m, wn_error *err) {
  for (uint32_t t = 1; t < m->head.terms; t++) {
    if (wn_str_compare(word_at(m, t - 1), word_at(m, t)) >= 0) {
      return wn_fail(err, WN_E_CORRUPT, "content/words", "must ascend");
    }
  }
  for (uint32_t t = 0; t < m->head.terms; t++) {
    wn_str word = word_at(m, t);
    if ((word.len > 0 && word.ptr[0] == WN_NGRAM_MARK) != (t < m->head.ngrams)) {
      return wn_fail(err, WN_E_CORRUPT, "content/words", "n-grams must be the first");
    }
  }
  for (uint32_t i = 0; i < m->head.items; i++) {
    if (m->item_ptr[i + 1] - m->item_ptr[i] > WN_CONTENT_TERMS_MAX) {
      return wn_fail(err, WN_E_CORRUPT, "content/item_ptr", "an item has more than %d terms",
                     WN_CONTENT_TERMS_MAX);
    }
  }
  return WN_OK;
}

static wn_status map_vocabulary(wn_content *m, const wn_snapshot *snapshot, wn_error *err) {
  const void *words = NULL;
  uint64_t bytes = 0;
  wn_status status;
  WN_TRY(
      wn_section_offsets(snapshot, "content/word_ptr", m->head.terms, &m->word_ptr, &bytes, err));
  WN_TRY(wn_section_array(snapshot, "content/words", 1, bytes, &words, err));
  m->words = words;
  WN_TRY(wn_section_numbers(snapshot, "content/idf", m->head.terms, &m->idf, err));
cleanup:
  return status;
}

static wn_status map_vectors(wn_content *m, const wn_snapshot *snapshot, wn_error *err) {
  const wn_content_head *h = &m->head;
  uint64_t nnz = 0, posts = 0;
  wn_status status;
  WN_TRY(wn_section_offsets(snapshot, "content/item_ptr", h->items, &m->item_ptr, &nnz, err));
  WN_TRY(wn_section_indexes(snapshot, "content/item_term", nnz, h->terms, &m->item_term, err));
  WN_TRY(wn_section_numbers(snapshot, "content/item_weight", nnz, &m->item_weight, err));
  WN_TRY(wn_section_offsets(snapshot, "content/term_ptr", h->terms, &m->term_ptr, &posts, err));
  WN_TRY(wn_section_indexes(snapshot, "content/post_item", posts, h->items, &m->post_item, err));
  WN_TRY(wn_section_numbers(snapshot, "content/post_weight", posts, &m->post_weight, err));
cleanup:
  return status;
}

/* Bounds of sums need parts that are none of them negative. */
static wn_status check_signs(const char *name, const float *weight, uint64_t len, wn_error *err) {
  for (uint64_t i = 0; i < len; i++)
    if (weight[i] < 0) return wn_fail(err, WN_E_CORRUPT, name, "a weight is negative");
  return WN_OK;
}

static wn_status content_validate(const wn_model *model, wn_error *err) {
  const wn_content *m = (const wn_content *)model;
  const wn_content_head *h = &m->head;
  wn_status status;
  WN_TRY(check_head(h, err));
  WN_TRY(wn_check_finite("content/idf", m->idf, h->terms, err));
  WN_TRY(wn_check_finite("content/item_weight", m->item_weight, m->item_ptr[h->items], err));
  WN_TRY(wn_check_finite("content/post_weight", m->post_weight, m->term_ptr[h->terms], err));
  WN_TRY(check_signs("content/item_weight", m->item_weight, m->item_ptr[h->items], err));
  WN_TRY(check_signs("content/post_weight", m->post_weight, m->term_ptr[h->terms], err));
  WN_TRY(check_order(m, err));
cleanup:
  return status;
}

static wn_status content_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  wn_content *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_content;
  const void *head = NULL;
  wn_status status;
  WN_TRY(wn_section_array(snapshot, "content/head", sizeof m->head, 1, &head, err));
  memcpy(&m->head, head, sizeof m->head);
  WN_TRY(check_head(&m->head, err));
  WN_TRY(map_vocabulary(m, snapshot, err));
  WN_TRY(map_vectors(m, snapshot, err));
  WN_TRY(content_validate(&m->base, err));
  WN_TRY(wn_content_search_init(m, err));
  *out = &m->base;
  m = NULL;
cleanup:
  if (m != NULL) wn_content_free(&m->base);
  return status;
}

static size_t content_bytes(const wn_model *model) {
  const wn_content *m = (const wn_content *)model;
  const wn_content_delta *delta = &m->delta;
  return m->head.terms * sizeof *m->most + delta->nodes.cap * sizeof *delta->nodes.data +
         delta->docs.cap * sizeof *delta->docs.data +
         (delta->doc_of.cap + delta->first.cap) * WN_MAP64_BYTES + delta->replaced.bits / 8;
}

const wn_model_class wn_model_content = {
    .name = "content",
    .doc = "similar text and attributes: BM25 vectors under cosine",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_TEXT,
    .params = content_params,
    .params_len = sizeof content_params / sizeof *content_params,
    .fit = wn_content_fit,
    .save = content_save,
    .map = content_map,
    .validate = content_validate,
    .candidates = content_candidates,
    .similar = wn_anchor_similar,
    .score_all = content_score_all,
    .update_item = content_update_item,
    .bytes = content_bytes,
    .free = wn_content_free,
};
