/* Similar by dense vectors that come from elsewhere: imported ones (vectors_file.h), or made of
 * title and text by static embeddings (model2vec.h). All have norm 1.
 *
 * An anchor asks with its own vector; a user with Σ √w·exp(−step/tau_query)·vector over the newest
 * positive items, scaled to norm 1: scores are cosines. Every item with a vector has a score,
 * negative ones included, so lists are full. Cost: an exact scan, d multiplications an item. An
 * item put after training gets its vector at once where there is an encoder; where vectors were
 * imported it keeps the imported one, and a new item waits for the next import and training. */
#include "model/vectors.h"
#include "base/mem.h"
#include "base/simd/simd.h"
#include "model/query.h"
#include "model/section.h"

#include <math.h>

#define BLOCK 64u

static const wn_param_spec vectors_params[] = {
    {"tau_query", 10, 0.01, 1e6, "steps over which a history item's weight falls to 1/e"},
    {"history_max", 30, 1, WN_VECTORS_PROFILE_MAX, "newest items of a user that make the profile"},
};

void wn_vectors_free(wn_model *model) {
  wn_vectors *m = (wn_vectors *)model;
  if (m == NULL) return;
  wn_model2vec_free(m->encoder);
  wn_vec_clear(&m->later);
  wn_vec_clear(&m->later_item);
  wn_map64_clear(&m->changed);
  wn_free(m->owned[0]);
  wn_free(m->owned[1]);
  wn_free(m);
}

bool wn_vectors_normalise(float *x, size_t d) {
  double norm = 0;
  for (size_t i = 0; i < d; i++) norm += (double)x[i] * (double)x[i];
  if (!(norm > 0) || !isfinite(norm)) return false;
  double scale = 1 / sqrt(norm);
  for (size_t i = 0; i < d; i++) x[i] = (float)((double)x[i] * scale);
  return true;
}

/* The item's row; WN_NO_IX: it has none. */
static uint32_t row_of(const wn_vectors *m, wn_item_ix ix) {
  const uint64_t *changed = wn_map64_find(&m->changed, ix);
  if (changed != NULL) return *changed == 0 ? WN_NO_IX : (uint32_t)(*changed - 1);
  uint32_t low = 0, high = m->head.count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (m->item_of[middle] < ix)
      low = middle + 1;
    else
      high = middle;
  }
  return low < m->head.count && m->item_of[low] == ix ? low : WN_NO_IX;
}

static const float *vectors_item_vector(const wn_model *model, wn_item_ix ix, uint32_t *d) {
  const wn_vectors *m = (const wn_vectors *)model;
  uint32_t row = row_of(m, ix);
  if (row == WN_NO_IX) return NULL;
  *d = m->head.d;
  if (row < m->head.count) return m->rows + (size_t)row * *d;
  return m->later.data + (size_t)(row - m->head.count) * *d;
}

/* ---- changes ---- */

static wn_status vectors_update_item(wn_model *model, wn_item_ix ix, const wn_item_record *item,
                                     wn_error *err) {
  wn_vectors *m = (wn_vectors *)model;
  size_t d = m->head.d, k = m->later_item.len;
  if (ix == WN_NO_IX) return wn_fail(err, WN_E_ARGUMENT, "item", "has no index");
  bool gone = item->status == WN_ITEM_DELETED;
  if (m->encoder == NULL && !gone) return WN_OK;
  uint32_t row = row_of(m, ix);
  if (gone && row == WN_NO_IX) return WN_OK;
  bool own = row != WN_NO_IX && row >= m->head.count; /* its later row is written again */
  if (own) k = row - m->head.count;
  if (!gone && !own &&
      (!wn_vec_reserve(&m->later, (k + 1) * d) || !wn_vec_reserve(&m->later_item, k + 1)))
    return wn_fail_memory(err);
  uint64_t *changed = wn_map64_at(&m->changed, ix);
  if (changed == NULL) return wn_fail_memory(err);
  *changed = 0;
  if (gone) return WN_OK;
  float *x = m->later.data + k * d;
  if (!wn_model2vec_encode(m->encoder, item, x) || !wn_vectors_normalise(x, d)) return WN_OK;
  *changed = (uint64_t)m->head.count + k + 1;
  if (own) return WN_OK;
  m->later_item.data[m->later_item.len++] = ix;
  m->later.len += d;
  return WN_OK;
}

/* ---- answering ---- */

/* The vector that the query asks with; NULL: nothing to say. `without`: the anchor itself. */
static wn_status profile_of(const wn_vectors *m, const wn_query *query, wn_arena *arena,
                            const float **out, wn_item_ix *without, wn_error *err) {
  wn_positive history[WN_VECTORS_PROFILE_MAX];
  uint32_t d = m->head.d;
  *out = NULL;
  *without = WN_NO_IX;
  size_t n = wn_query_positives(query, WN_NO_IX, m->head.history_max, history);
  float *sum = wn_arena_calloc(arena, (size_t)d + 1, sizeof *sum);
  if (sum == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < n; i++) {
    const float *x = vectors_item_vector(&m->base, history[i].item, &d);
    double decay = exp(-(double)history[i].step / m->head.tau_query);
    if (x != NULL) wn_simd()->axpy(sqrtf(history[i].weight) * (float)decay, x, sum, d);
  }
  if (wn_vectors_normalise(sum, d)) {
    *out = sum;
  } else if (query->anchor != WN_NO_IX) {
    *out = vectors_item_vector(&m->base, query->anchor, &d);
    *without = query->anchor;
  }
  return WN_OK;
}

/* A scan of the rows of items: the best into `top`, or all into `scores`. */
typedef struct vectors_scan {
  const wn_vectors *m;
  const wn_query *query;
  const float *x;
  wn_item_ix without;
  wn_topk *top; /* NULL: scores */
  float *scores;
  uint32_t items;
} vectors_scan;

/* Rows first … first + count − 1 lie at `rows` and belong to item_of[0 …]. */
static void scan_block(const vectors_scan *s, const float *rows, const wn_item_ix *item_of,
                       uint32_t first, uint32_t count) {
  float score[BLOCK], least = -INFINITY;
  uint32_t at[BLOCK];
  wn_simd()->gemv(rows, count, s->m->head.d, s->x, s->m->head.d, score);
  if (s->top != NULL && s->top->len == s->top->k && s->top->k > 0) least = s->top->heap[0].score;
  size_t hits = wn_simd()->above(score, count, least, at);
  for (size_t h = 0; h < hits; h++) {
    wn_item_ix ix = item_of[at[h]];
    if (ix == s->without || !wn_query_allows(s->query, ix)) continue;
    if (s->m->changed.len > 0 && row_of(s->m, ix) != first + at[h]) continue;
    if (s->top != NULL)
      wn_topk_push(s->top, ix, score[at[h]]);
    else if (ix < s->items)
      s->scores[ix] = score[at[h]];
  }
}

static bool any_allowed(const wn_query *query, const wn_item_ix *item_of, uint32_t count) {
  if (query->allowed == NULL) return true;
  for (uint32_t i = 0; i < count; i++)
    if (wn_bitset_test(query->allowed, item_of[i])) return true;
  return false;
}

static void scan_rows(const vectors_scan *s, const float *rows, const wn_item_ix *item_of,
                      uint32_t first, uint32_t count) {
  for (uint32_t i = 0; i < count; i += BLOCK) {
    uint32_t n = count - i < BLOCK ? count - i : BLOCK;
    if (any_allowed(s->query, item_of + i, n))
      scan_block(s, rows + (size_t)i * s->m->head.d, item_of + i, first + i, n);
  }
}

static wn_status answer(vectors_scan *s, wn_error *err) {
  const wn_vectors *m = s->m;
  wn_arena local, *arena = wn_query_arena(s->query, &local);
  wn_status status = WN_OK;
  if (m->head.d > 0) status = profile_of(m, s->query, arena, &s->x, &s->without, err);
  if (status == WN_OK && s->x != NULL) {
    scan_rows(s, m->rows, m->item_of, 0, m->head.count);
    scan_rows(s, m->later.data, m->later_item.data, m->head.count, (uint32_t)m->later_item.len);
  }
  wn_arena_clear(&local);
  return status;
}

static wn_status vectors_candidates(const wn_model *model, const wn_query *query, size_t k,
                                    wn_scored *out, size_t *count, wn_error *err) {
  wn_topk top;
  wn_topk_init(&top, out, k);
  vectors_scan s = {.m = (const wn_vectors *)model, .query = query, .top = &top};
  wn_status status = answer(&s, err);
  *count = wn_topk_sort(&top);
  return status;
}

static wn_status vectors_score_all(const wn_model *model, const wn_query *query, float *scores,
                                   uint32_t items, wn_error *err) {
  vectors_scan s = {
      .m = (const wn_vectors *)model, .query = query, .scores = scores, .items = items};
  wn_scores_clear(scores, items);
  return answer(&s, err);
}

/* ---- snapshots ---- */

/* What training found; changes since are in the store and are put again after a restart. */
static wn_status vectors_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const wn_vectors *m = (const wn_vectors *)model;
  const wn_vectors_head *h = &m->head;
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "vectors/head", h, sizeof *h, err));
  WN_TRY(
      wn_snapshot_write(writer, "vectors/item_of", m->item_of, h->count * sizeof *m->item_of, err));
  WN_TRY(wn_snapshot_write(writer, "vectors/rows", m->rows,
                           (uint64_t)h->count * h->d * sizeof *m->rows, err));
  if (m->encoder != NULL) WN_TRY(wn_model2vec_save(m->encoder, writer, err));
cleanup:
  return status;
}

static wn_status check_head(const wn_vectors_head *h, wn_error *err) {
  if (h->version != 1)
    return wn_fail(err, WN_E_CORRUPT, "vectors/head", "version %u, expected 1", h->version);
  if (h->items == WN_NO_IX || h->count > h->items || h->d > WN_VECTORS_D_MAX ||
      (h->d == 0 && (h->count > 0 || h->encodes != 0)) || h->encodes > 1 || h->history_max < 1 ||
      h->history_max > WN_VECTORS_PROFILE_MAX || !(h->tau_query >= 0.01 && h->tau_query <= 1e6))
    return wn_fail(err, WN_E_CORRUPT, "vectors/head", "values are out of range");
  return WN_OK;
}

/* Rows have norm 1, or scores would not be cosines and could overflow. */
static wn_status check_rows(const wn_vectors *m, wn_error *err) {
  size_t d = m->head.d;
  for (uint32_t r = 0; r < m->head.count; r++) {
    if (r > 0 && m->item_of[r] <= m->item_of[r - 1])
      return wn_fail(err, WN_E_CORRUPT, "vectors/item_of", "must ascend");
    float norm = wn_simd()->dot(m->rows + r * d, m->rows + r * d, d);
    if (!(fabsf(norm - 1) < 1e-3f))
      return wn_fail(err, WN_E_CORRUPT, "vectors/rows", "row %u has not norm 1", r);
  }
  return WN_OK;
}

static wn_status vectors_validate(const wn_model *model, wn_error *err) {
  const wn_vectors *m = (const wn_vectors *)model;
  wn_status status = check_head(&m->head, err);
  return status == WN_OK ? check_rows(m, err) : status;
}

static wn_status vectors_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *head = NULL;
  wn_status status;
  wn_vectors *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_vectors;
  WN_TRY(wn_section_array(snapshot, "vectors/head", sizeof m->head, 1, &head, err));
  memcpy(&m->head, head, sizeof m->head);
  WN_TRY(check_head(&m->head, err));
  WN_TRY(wn_section_indexes(snapshot, "vectors/item_of", m->head.count, m->head.items, &m->item_of,
                            err));
  WN_TRY(wn_section_numbers(snapshot, "vectors/rows", (uint64_t)m->head.count * m->head.d, &m->rows,
                            err));
  WN_TRY(vectors_validate(&m->base, err));
  if (m->head.encodes != 0) WN_TRY(wn_model2vec_map(snapshot, m->head.d, &m->encoder, err));
  *out = &m->base;
  m = NULL;
cleanup:
  wn_vectors_free((wn_model *)m);
  return status;
}

const wn_model_class wn_model_vectors = {
    .name = "vectors",
    .doc = "similar by imported vectors, or by static embeddings of the text",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_TEXT | WN_MODEL_BY_NAME,
    .params = vectors_params,
    .params_len = sizeof vectors_params / sizeof *vectors_params,
    .fit = wn_vectors_fit,
    .save = vectors_save,
    .map = vectors_map,
    .validate = vectors_validate,
    .candidates = vectors_candidates,
    .similar = wn_anchor_similar,
    .score_all = vectors_score_all,
    .update_item = vectors_update_item,
    .item_vector = vectors_item_vector,
    .free = wn_vectors_free,
};
