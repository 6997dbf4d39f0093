/* Implicit-feedback ALS as a generator: closed-form fold-in of any history, then an inner-product
 * scan over all items. The mathematics is in als_solve.c, the training in als_fit.c.
 *
 * A query costs n²·d/2 + n³/6 multiply-adds to fold in n items and active · d to scan; scratch is
 * min(n, d)·(d + min(n, d)) + … floats of the arena. Both candidates and score_all compute a row's
 * score by the same kernel, which gives the same bits for one row as for many. */
#include "model/als.h"
#include "model/query.h"
#include "base/mem.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

static const wn_param_spec als_params[] = {
    {"factors", 64, 1, WN_ALS_FACTORS_MAX, "length of the vectors"},
    {"epochs", 16, 1, 1000, "passes over the data at most"},
    {"tolerance", 0.003, 0, 1, "stop when an epoch improves the objective by less than this share"},
    {"alpha0", 0, 0, 100, "weight of the unobserved pairs; 0: from the density of the data"},
    {"lambda", 0.005, 1e-8, 1e6, "ridge"},
    {"nu", 1, 0, 2, "how the ridge grows with a row's interactions"},
    {"sigma", 0.1, 1e-6, 10, "deviation of the initial factors times the root of their number"},
    {"power", 0.5, 0, 1, "confidence is the interaction's weight to this power, mean 1"},
    {"negative", 0.3, 0, 100, "confidence of negative weights against positive ones; 0: none"},
    {"attr_lambda", 3, 0, 1e6, "ridge of the vectors that come from attributes; 0: none"},
    {"cold_scale", 0.85, 0, 1, "length that a vector from attributes keeps without events"},
    {"history_max", WN_HISTORY_MAX, 1, WN_HISTORY_MAX, "newest items of a user that are folded in"},
};

float wn_als_confidence(const wn_als_head *head, float weight) {
  if (!(fabsf(weight) > 0)) return 0;
  double w = fabs((double)weight);
  double c = head->scale * (head->power == 0.5 ? sqrt(w) : pow(w, head->power));
  if (weight < 0) c *= head->negative;
  float bounded = fminf((float)c, WN_ALS_CONFIDENCE_MAX);
  return weight > 0 ? bounded : -bounded;
}

void *wn_als_own(wn_als *als, size_t count, size_t size) {
  void *p = wn_calloc(count > 0 ? count : 1, size);
  if (p != NULL) als->owned[als->owned_len++] = p;
  return p;
}

void wn_als_free(wn_model *model) {
  wn_als *als = (wn_als *)model;
  for (size_t i = 0; i < als->owned_len; i++) wn_free(als->owned[i]);
  wn_free(als);
}

/* The vector that a query asks with, and how its products become scores. */
typedef struct als_ask {
  const float *x;         /* NULL: nothing to say */
  const float *row_scale; /* NULL: inner product; else cosine */
  float scale;
  float norm;         /* of x */
  wn_item_ix without; /* the anchor itself */
} als_ask;

/* The newest items of the history that the model knows; 0: none of them is liked. */
static size_t known_history(const wn_als *als, const wn_query *query, uint32_t *row, float *c) {
  size_t n = 0;
  bool positive = false;
  for (size_t i = 0; i < query->history_len && n < als->head.history_max; i++) {
    const wn_history_entry *h = &query->history[i];
    if (h->item >= als->head.items || !isfinite(h->weight)) continue;
    row[n] = als->row_of[h->item];
    c[n] = wn_als_confidence(&als->head, h->weight);
    if (row[n] == WN_NO_IX || c[n] == 0) continue;
    positive |= c[n++] > 0;
  }
  return positive ? n : 0;
}

/* *x stays NULL when no liked item of the history is known. */
static wn_status fold_in(const wn_als *als, const wn_query *query, wn_arena *arena, const float **x,
                         wn_error *err) {
  uint32_t row[WN_HISTORY_MAX];
  float c[WN_HISTORY_MAX];
  size_t n = known_history(als, query, row, c);
  *x = NULL;
  if (n == 0) return WN_OK;
  size_t d = als->head.d;
  float *memory = wn_arena_alloc(arena, (wn_als_scratch_floats(d, n) + d) * sizeof *memory);
  if (memory == NULL) return wn_fail_memory(err);
  wn_als_scratch scratch;
  wn_als_scratch_init(&scratch, d, n, memory + d);
  wn_als_system system = {.factors = als->item,
                          .eigen = als->eigen,
                          .d = d,
                          .count = als->head.active,
                          .alpha0 = als->head.alpha0,
                          .lambda = als->head.lambda,
                          .nu = als->head.nu};
  (void)wn_als_solve(&system, row, c, n, &scratch, memory);
  *x = memory;
  return WN_OK;
}

static wn_status ask_init(als_ask *ask, const wn_als *als, const wn_query *query, wn_arena *arena,
                          wn_error *err) {
  *ask = (als_ask){.scale = 1, .without = WN_NO_IX};
  wn_status status = fold_in(als, query, arena, &ask->x, err);
  if (ask->x != NULL) ask->norm = sqrtf(wn_simd()->dot(ask->x, ask->x, als->head.d));
  if (status != WN_OK || ask->x != NULL) return status;
  if (query->anchor >= als->head.items || als->row_of[query->anchor] == WN_NO_IX) return WN_OK;
  uint32_t row = als->row_of[query->anchor];
  ask->x = als->item + (size_t)row * als->head.d;
  ask->row_scale = als->item_scale;
  ask->scale = als->item_scale[row];
  ask->without = query->anchor;
  return WN_OK;
}

#define BLOCK 64

/* Scores of rows `begin` … begin + count − 1 of a factor matrix, count ≤ BLOCK. */
static void score_block(const als_ask *ask, const float *factors, size_t d, size_t begin,
                        size_t count, float *out) {
  wn_simd()->gemv(factors + begin * d, count, d, ask->x, d, out);
  if (ask->row_scale == NULL) return;
  for (size_t i = 0; i < count; i++) out[i] *= ask->scale * ask->row_scale[begin + i];
}

static size_t block_at(uint32_t begin, uint32_t rows) {
  return rows - begin < BLOCK ? rows - begin : BLOCK;
}

/* A narrow filter leaves most blocks without an allowed item: those are not computed. */
static bool block_allowed(const wn_als *als, const wn_query *query, size_t begin, size_t count) {
  if (query->allowed == NULL) return true;
  for (size_t i = 0; i < count; i++) {
    if (wn_bitset_test(query->allowed, als->item_of[begin + i])) return true;
  }
  return false;
}

/* Rows lie by falling norm, so no row from `begin` on has an inner product above ‖x‖·‖row begin‖
 * (Cauchy–Schwarz; LEMP, Teflioudi et al. 2015). The margin is for rounding. */
static bool none_left(const wn_als *als, const als_ask *ask, const wn_topk *top, uint32_t begin) {
  if (ask->row_scale != NULL || top->len < top->k || top->k == 0) return false;
  float scale = als->item_scale[begin];
  return scale > 0 && ask->norm / scale * 1.0001f < top->heap[0].score;
}

static wn_status als_candidates(const wn_model *model, const wn_query *query, size_t k,
                                wn_scored *out, size_t *count, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  als_ask ask;
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = ask_init(&ask, als, query, arena, err);
  if (status == WN_OK && ask.x != NULL) {
    float score[BLOCK];
    uint32_t at[BLOCK];
    for (uint32_t begin = 0; begin < als->head.rows; begin += BLOCK) {
      if (none_left(als, &ask, &top, begin)) break;
      size_t len = block_at(begin, als->head.rows);
      if (!block_allowed(als, query, begin, len)) continue;
      score_block(&ask, als->item, als->head.d, begin, len, score);
      float least = top.len == k && k > 0 ? top.heap[0].score : -INFINITY;
      size_t hits = wn_simd()->above(score, len, least, at);
      for (size_t h = 0; h < hits; h++) {
        wn_item_ix ix = als->item_of[begin + at[h]];
        if (ix != ask.without && wn_query_allows(query, ix)) wn_topk_push(&top, ix, score[at[h]]);
      }
    }
  }
  *count = wn_topk_sort(&top);
  wn_arena_clear(&local);
  return status;
}

static wn_status als_score_all(const wn_model *model, const wn_query *query, float *scores,
                               uint32_t items, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  als_ask ask;
  wn_scores_clear(scores, items);
  wn_status status = ask_init(&ask, als, query, arena, err);
  if (status == WN_OK && ask.x != NULL) {
    float score[BLOCK];
    for (uint32_t begin = 0; begin < als->head.rows; begin += BLOCK) {
      size_t len = block_at(begin, als->head.rows);
      score_block(&ask, als->item, als->head.d, begin, len, score);
      for (size_t i = 0; i < len; i++) {
        wn_item_ix ix = als->item_of[begin + i];
        if (ix < items && ix != ask.without && wn_query_allows(query, ix)) scores[ix] = score[i];
      }
    }
  }
  wn_arena_clear(&local);
  return status;
}

static const float *als_item_vector(const wn_model *model, wn_item_ix ix, uint32_t *d) {
  const wn_als *als = (const wn_als *)model;
  if (ix >= als->head.items || als->row_of[ix] == WN_NO_IX) return NULL;
  *d = als->head.d;
  return als->item + (size_t)als->row_of[ix] * als->head.d;
}

/* By cosine; the query's own user is not among them, nor are users without a history. */
static wn_status als_similar_users(const wn_model *model, const wn_query *query, size_t k,
                                   wn_scored *out, size_t *count, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  als_ask ask = {.row_scale = als->user_scale};
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = fold_in(als, query, arena, &ask.x, err);
  if (status == WN_OK && ask.x != NULL) {
    float norm = wn_simd()->dot(ask.x, ask.x, als->head.d), score[BLOCK];
    ask.scale = norm > 0 ? 1 / sqrtf(norm) : 0;
    for (uint32_t begin = 0; begin < als->head.users; begin += BLOCK) {
      size_t len = block_at(begin, als->head.users);
      score_block(&ask, als->user, als->head.d, begin, len, score);
      for (uint32_t i = 0; i < len; i++) {
        if (begin + i == query->user || !(als->user_scale[begin + i] > 0)) continue;
        wn_topk_push(&top, begin + i, score[i]);
      }
    }
  }
  *count = wn_topk_sort(&top);
  wn_arena_clear(&local);
  return status;
}

static wn_status als_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  const wn_als_head *h = &als->head;
  uint64_t d = h->d;
  const struct {
    const char *name;
    const void *data;
    uint64_t bytes;
  } section[] = {
      {"als/head", h, sizeof *h},
      {"als/eigen", als->eigen, d * sizeof *als->eigen},
      {"als/item_of", als->item_of, h->rows * sizeof *als->item_of},
      {"als/row_of", als->row_of, h->items * sizeof *als->row_of},
      {"als/item", als->item, h->rows * d * sizeof *als->item},
      {"als/item_scale", als->item_scale, h->rows * sizeof *als->item_scale},
      {"als/user", als->user, h->users * d * sizeof *als->user},
      {"als/user_scale", als->user_scale, h->users * sizeof *als->user_scale},
      {"als/attr_row_of", als->attr_row_of, h->attr_terms * sizeof *als->attr_row_of},
      {"als/attr", als->attr, h->attr_rows * d * sizeof *als->attr},
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

static wn_status check_head(const wn_als_head *h, wn_error *err) {
  if (h->version != 2) {
    return wn_fail(err, WN_E_CORRUPT, "als/head", "version %u, expected 2: train again",
                   h->version);
  }
  if (h->d < 1 || h->d > WN_ALS_FACTORS_MAX || h->active > h->rows || h->rows > h->items ||
      h->attr_rows > h->attr_terms || h->history_max < 1 || h->history_max > WN_HISTORY_MAX) {
    return wn_fail(err, WN_E_CORRUPT, "als/head", "sizes are out of range");
  }
  if (!in_range(h->alpha0, 0, 100) || !in_range(h->lambda, 1e-8, 1e6) || !in_range(h->nu, 0, 2) ||
      !in_range(h->power, 0, 1) || !in_range(h->negative, 0, 100) ||
      !in_range(h->cold_scale, 0, 1) || !(h->scale > 0) || !isfinite(h->scale)) {
    return wn_fail(err, WN_E_CORRUPT, "als/head", "parameters are out of range");
  }
  return WN_OK;
}

/* item_of and row_of are each other's inverse; eigenvalues are finite and not negative. */
static wn_status check_maps(const wn_als *als, wn_error *err) {
  uint32_t known = 0;
  for (uint32_t i = 0; i < als->head.items; i++) {
    if (als->row_of[i] == WN_NO_IX) continue;
    if (als->row_of[i] >= als->head.rows || als->item_of[als->row_of[i]] != i) {
      return wn_fail(err, WN_E_CORRUPT, "als/row_of", "does not match als/item_of");
    }
    known++;
  }
  if (known != als->head.rows) {
    return wn_fail(err, WN_E_CORRUPT, "als/row_of", "does not match als/item_of");
  }
  for (uint32_t k = 0; k < als->head.d; k++) {
    if (!in_range(als->eigen[k], 0, 1e300)) {
      return wn_fail(err, WN_E_CORRUPT, "als/eigen", "must be finite and not negative");
    }
  }
  return WN_OK;
}

static wn_status map_attr(wn_als *als, const wn_snapshot *snapshot, wn_error *err) {
  const wn_als_head *h = &als->head;
  const void *row_of = NULL;
  wn_status status;
  WN_TRY(
      wn_section_array(snapshot, "als/attr_row_of", sizeof(uint32_t), h->attr_terms, &row_of, err));
  als->attr_row_of = row_of;
  WN_TRY(wn_section_floats(snapshot, "als/attr", h->attr_rows * (uint64_t)h->d, &als->attr, err));
  for (uint32_t t = 0; t < h->attr_terms; t++) {
    if (als->attr_row_of[t] == WN_NO_IX || als->attr_row_of[t] < h->attr_rows) continue;
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "als/attr_row_of", "an index is not below %u", h->attr_rows));
  }
cleanup:
  return status;
}

static wn_status als_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  wn_als *als = wn_calloc(1, sizeof *als);
  if (als == NULL) return wn_fail_memory(err);
  als->base.cls = &wn_model_als;
  const wn_als_head *h = &als->head;
  const void *head = NULL, *eigen = NULL, *row_of = NULL;
  wn_status status;
  WN_TRY(wn_section_array(snapshot, "als/head", sizeof als->head, 1, &head, err));
  memcpy(&als->head, head, sizeof als->head);
  WN_TRY(check_head(h, err));
  WN_TRY(wn_section_array(snapshot, "als/eigen", sizeof(double), h->d, &eigen, err));
  als->eigen = eigen;
  WN_TRY(wn_section_indexes(snapshot, "als/item_of", h->rows, h->items, &als->item_of, err));
  WN_TRY(wn_section_array(snapshot, "als/row_of", sizeof(uint32_t), h->items, &row_of, err));
  als->row_of = row_of;
  uint64_t d = h->d;
  WN_TRY(wn_section_floats(snapshot, "als/item", h->rows * d, &als->item, err));
  WN_TRY(wn_section_floats(snapshot, "als/item_scale", h->rows, &als->item_scale, err));
  WN_TRY(wn_section_floats(snapshot, "als/user", h->users * d, &als->user, err));
  WN_TRY(wn_section_floats(snapshot, "als/user_scale", h->users, &als->user_scale, err));
  WN_TRY(map_attr(als, snapshot, err));
  WN_TRY(check_maps(als, err));
  *out = &als->base;
  als = NULL;
cleanup:
  if (als != NULL) wn_als_free(&als->base);
  return status;
}

wn_status wn_als_fold_in(const wn_als *als, const wn_query *query, wn_arena *arena, const float **x,
                         wn_error *err) {
  return fold_in(als, query, arena, x, err);
}

const wn_model_class wn_model_als = {
    .name = "als",
    .doc = "implicit-feedback ALS: user and item vectors, any history folded in exactly",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR,
    .params = als_params,
    .params_len = sizeof als_params / sizeof *als_params,
    .fit = wn_als_fit,
    .save = als_save,
    .map = als_map,
    .candidates = als_candidates,
    .candidates_batch = wn_als_candidates_batch,
    .score_all = als_score_all,
    .item_vector = als_item_vector,
    .similar_users = als_similar_users,
    .free = wn_als_free,
};
