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
    {"cg_steps", 0, 0, 100, "conjugate gradient steps for rows of more than 48; 0: as solver says"},
    {"sigma", 0.1, 1e-6, 10, "deviation of the initial factors times the root of their number"},
    {"power", 0.5, 0, 1, "confidence is the interaction's weight to this power, mean 1"},
    {"negative", 0.3, 0, 100, "confidence of negative weights against positive ones; 0: none"},
    {"attr_lambda", 3, 0, 1e6, "ridge of the vectors that come from attributes; 0: none"},
    {"cold_scale", 0.85, 0, 1, "length that a vector from attributes keeps without events"},
    {"user_attr_lambda", 1000, 0, 1e6,
     "ridge of the vectors that users without a history get from their attributes; 0: none"},
    {"history_max", 1000, 1, 1e6, "newest items of a user that are folded in"},
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
  wn_als_live_clear(&als->live);
  wn_als_coded_free(als->coded);
  for (size_t i = 0; i < als->owned_len; i++) wn_free(als->owned[i]);
  wn_free(als);
}

/* The vector that a query asks with, and how its products become scores. */
typedef struct als_ask {
  const float *x; /* NULL: nothing to say */
  bool cosine;    /* else the inner product */
  float scale;
  float norm;         /* of x */
  wn_item_ix without; /* the anchor itself */
} als_ask;

/* What of a history is folded in: rows of `factors`, which is the fit's matrix, or a copy when live
 * items are among them. */
typedef struct folding {
  const float *factors;
  uint32_t *row;
  float *c;
  wn_item_ix *item;
  size_t n; /* 0: nothing liked is known */
  bool live;
} folding;

/* The newest items of the history that the model knows. */
static bool known_history(const wn_als *als, const wn_query *query, folding *f, wn_arena *arena) {
  size_t most = query->history_len, cut = als->head.history_max;
  bool positive = false;
  if (most > cut) most = cut;
  f->factors = als->item;
  f->row = wn_arena_alloc(arena, (most + 1) * sizeof *f->row);
  f->c = wn_arena_alloc(arena, (most + 1) * sizeof *f->c);
  f->item = wn_arena_alloc(arena, (most + 1) * sizeof *f->item);
  if (f->row == NULL || f->c == NULL || f->item == NULL) return false;
  for (size_t i = 0; i < query->history_len && f->n < most; i++) {
    const wn_history_entry *h = &query->history[i];
    float c = isfinite(h->weight) ? wn_als_confidence(&als->head, h->weight) : 0;
    if (c == 0 || wn_als_vector(als, h->item) == NULL) continue;
    f->live |= wn_als_live_at(als, h->item) != 0;
    f->row[f->n] = wn_als_fitted_row(als, h->item);
    f->item[f->n] = h->item;
    f->c[f->n++] = c;
    positive |= c > 0;
  }
  if (!positive) f->n = 0;
  return true;
}

static bool gather(const wn_als *als, folding *f, wn_arena *arena) {
  size_t d = als->head.d;
  float *copy = wn_arena_alloc(arena, f->n * d * sizeof *copy);
  if (copy == NULL) return false;
  for (size_t i = 0; i < f->n; i++) {
    memcpy(copy + i * d, wn_als_vector(als, f->item[i]), d * sizeof *copy);
    f->row[i] = (uint32_t)i;
  }
  f->factors = copy;
  return true;
}

static wn_status of_attributes(const wn_als *als, const wn_query *query, wn_arena *arena,
                               const float **x, wn_error *err) {
  if (query->user_attrs == NULL || query->anchor != WN_NO_IX || als->head.user_terms == 0)
    return WN_OK;
  float *own = wn_arena_alloc(arena, als->head.d * sizeof *own);
  if (own == NULL) return wn_fail_memory(err);
  if (wn_als_user_vector(als, query->user_attrs, own)) *x = own;
  return WN_OK;
}

wn_status wn_als_fold_in(const wn_als *als, const wn_query *query, wn_arena *arena, const float **x,
                         wn_error *err) {
  folding f = {0};
  size_t d = als->head.d;
  *x = NULL;
  if (!known_history(als, query, &f, arena)) return wn_fail_memory(err);
  if (f.n == 0) return of_attributes(als, query, arena, x, err);
  float *memory = wn_arena_alloc(arena, (wn_als_scratch_floats(d, f.n) + d) * sizeof *memory);
  if (memory == NULL || (f.live && !gather(als, &f, arena))) return wn_fail_memory(err);
  wn_als_scratch scratch;
  wn_als_scratch_init(&scratch, d, f.n, memory + d);
  wn_als_system system = {.factors = f.factors,
                          .eigen = als->eigen,
                          .d = d,
                          .count = als->head.active,
                          .alpha0 = als->head.alpha0,
                          .lambda = als->head.lambda,
                          .nu = als->head.nu};
  (void)wn_als_solve(&system, f.row, f.c, f.n, &scratch, memory);
  *x = memory;
  return WN_OK;
}

const float *wn_als_vector(const wn_als *als, wn_item_ix ix) {
  uint32_t at = wn_als_live_at(als, ix), row = wn_als_fitted_row(als, ix);
  if (at != 0)
    return als->live.scale[at - 1] > 0 ? als->live.vector + (at - 1) * (size_t)als->head.d : NULL;
  return row != WN_NO_IX ? als->item + row * (size_t)als->head.d : NULL;
}

static wn_status ask_init(als_ask *ask, const wn_als *als, const wn_query *query, wn_arena *arena,
                          wn_error *err) {
  *ask = (als_ask){.scale = 1, .without = WN_NO_IX};
  wn_status status = wn_als_fold_in(als, query, arena, &ask->x, err);
  if (ask->x != NULL) ask->norm = sqrtf(wn_simd()->dot(ask->x, ask->x, als->head.d));
  if (status != WN_OK || ask->x != NULL) return status;
  ask->x = wn_als_vector(als, query->anchor);
  if (ask->x == NULL) return WN_OK;
  uint32_t at = wn_als_live_at(als, query->anchor);
  ask->cosine = true;
  ask->scale = at != 0 ? als->live.scale[at - 1] : als->item_scale[als->row_of[query->anchor]];
  ask->without = query->anchor;
  return WN_OK;
}

#define BLOCK 64

/* Rows of one kind: the fit's items, the live ones, users. */
typedef struct als_rows {
  const float *factors; /* [rows × d] */
  const float *scale;
  size_t d;
} als_rows;

/* Scores of rows `begin` … begin + count − 1, count ≤ BLOCK. */
static void score_block(const als_ask *ask, als_rows rows, size_t begin, size_t count, float *out) {
  wn_simd()->gemv(rows.factors + begin * rows.d, count, rows.d, ask->x, rows.d, out);
  if (!ask->cosine) return;
  for (size_t i = 0; i < count; i++) out[i] *= ask->scale * rows.scale[begin + i];
}

static als_rows fitted_rows(const wn_als *als) {
  return (als_rows){als->item, als->item_scale, als->head.d};
}

static als_rows live_rows(const wn_als *als) {
  return (als_rows){als->live.vector, als->live.scale, als->head.d};
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
  if (ask->cosine || top->len < top->k || top->k == 0) return false;
  float scale = als->item_scale[begin];
  return scale > 0 && ask->norm / scale * 1.0001f < top->heap[0].score;
}

static void offer_live(const wn_als *als, const wn_query *query, const als_ask *ask, wn_topk *top) {
  float score[BLOCK];
  for (uint32_t begin = 0; begin < als->live.len; begin += BLOCK) {
    size_t len = block_at(begin, als->live.len);
    score_block(ask, live_rows(als), begin, len, score);
    for (size_t i = 0; i < len; i++) {
      wn_item_ix ix = als->live.item_of[begin + i];
      if (!(als->live.scale[begin + i] > 0) || ix == ask->without) continue;
      if (wn_query_allows(query, ix)) wn_topk_push(top, ix, score[i]);
    }
  }
}

void wn_als_offer_live(const wn_als *als, const wn_query *query, const float *x, wn_topk *top) {
  als_ask ask = {.x = x, .without = WN_NO_IX};
  offer_live(als, query, &ask, top);
}

static void offer_fitted(const wn_als *als, const wn_query *query, const als_ask *ask,
                         wn_topk *top) {
  float score[BLOCK];
  uint32_t at[BLOCK];
  for (uint32_t begin = 0; begin < als->head.rows; begin += BLOCK) {
    if (none_left(als, ask, top, begin)) break;
    size_t len = block_at(begin, als->head.rows);
    if (!block_allowed(als, query, begin, len)) continue;
    score_block(ask, fitted_rows(als), begin, len, score);
    float least = top->len == top->k && top->k > 0 ? top->heap[0].score : -INFINITY;
    size_t hits = wn_simd()->above(score, len, least, at);
    for (size_t h = 0; h < hits; h++) {
      wn_item_ix ix = als->item_of[begin + at[h]];
      if (ix == ask->without || wn_als_live_at(als, ix) != 0) continue;
      if (wn_query_allows(query, ix)) wn_topk_push(top, ix, score[at[h]]);
    }
  }
}

void wn_als_tell(wn_als *als, uint32_t at) {
  const wn_als_live *live = &als->live;
  if (als->nearest == NULL) return;
  const float *vector = live->scale[at] > 0 ? live->vector + at * (size_t)als->head.d : NULL;
  if (!als->nearest->put(als->nearest->ctx, live->item_of[at], vector)) als->nearest = NULL;
}

void wn_als_attach(wn_als *als, const wn_nearest *nearest) {
  als->nearest = nearest;
  for (uint32_t at = 0; at < als->live.len; at++) wn_als_tell(als, at);
}

static bool answers(const wn_als *als, wn_nearest_kind kind) {
  return als->nearest != NULL && als->nearest->answers(als->nearest->ctx, kind);
}

typedef struct found_ask {
  wn_nearest_ask ask;
  uint32_t without; /* WN_NO_IX: nothing */
  wn_arena *arena;
} found_ask;

/* The k best but `without`, from the index. */
static wn_status find_nearest(const wn_nearest *nearest, const found_ask *f, wn_scored *out,
                              size_t *count, wn_error *err) {
  wn_nearest_ask ask = f->ask;
  size_t k = ask.k, found = 0, kept = 0;
  wn_scored *all = out;
  if (f->without != WN_NO_IX && (all = wn_arena_alloc(f->arena, ++ask.k * sizeof *all)) == NULL)
    return wn_fail_memory(err);
  wn_status status = nearest->find(nearest->ctx, &ask, f->arena, all, &found, err);
  for (size_t i = 0; status == WN_OK && i < found && kept < k; i++)
    if (all[i].ix != f->without) out[kept++] = all[i];
  *count = kept;
  return status;
}

static wn_status als_candidates(const wn_model *model, const wn_query *query, size_t k,
                                wn_scored *out, size_t *count, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  als_ask ask;
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = ask_init(&ask, als, query, arena, err);
  wn_nearest_kind kind = ask.cosine ? WN_NEAREST_ALIKE : WN_NEAREST_ITEMS;
  if (status == WN_OK && ask.x != NULL && k > 0 && answers(als, kind)) {
    found_ask f = {{kind, ask.x, k, query->allowed}, ask.without, arena};
    status = find_nearest(als->nearest, &f, out, count, err);
    wn_arena_clear(&local);
    return status;
  }
  if (status == WN_OK && ask.x != NULL) {
    offer_live(als, query, &ask, &top);
    offer_fitted(als, query, &ask, &top);
  }
  *count = wn_topk_sort(&top);
  wn_arena_clear(&local);
  return status;
}

static void spread(const wn_als *als, const wn_query *query, const als_ask *ask, bool live,
                   float *scores, uint32_t items) {
  uint32_t rows = live ? als->live.len : als->head.rows;
  const wn_item_ix *item_of = live ? als->live.item_of : als->item_of;
  float score[BLOCK];
  for (uint32_t begin = 0; begin < rows; begin += BLOCK) {
    size_t len = block_at(begin, rows);
    score_block(ask, live ? live_rows(als) : fitted_rows(als), begin, len, score);
    for (size_t i = 0; i < len; i++) {
      wn_item_ix ix = item_of[begin + i];
      bool counts = live ? als->live.scale[begin + i] > 0 : wn_als_live_at(als, ix) == 0;
      if (counts && ix < items && ix != ask->without && wn_query_allows(query, ix)) {
        scores[ix] = score[i];
      }
    }
  }
}

static wn_status als_score_all(const wn_model *model, const wn_query *query, float *scores,
                               uint32_t items, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  als_ask ask;
  wn_scores_clear(scores, items);
  wn_status status = ask_init(&ask, als, query, arena, err);
  if (status == WN_OK && ask.x != NULL) {
    spread(als, query, &ask, false, scores, items);
    spread(als, query, &ask, true, scores, items);
  }
  wn_arena_clear(&local);
  return status;
}

static const float *als_item_vector(const wn_model *model, wn_item_ix ix, uint32_t *d) {
  const wn_als *als = (const wn_als *)model;
  const float *vector = wn_als_vector(als, ix);
  if (vector != NULL) *d = als->head.d;
  return vector;
}

/* By cosine; the query's own user is not among them, nor are users without a history. */
static wn_status als_similar_users(const wn_model *model, const wn_query *query, size_t k,
                                   wn_scored *out, size_t *count, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  als_ask ask = {.cosine = true};
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = wn_als_fold_in(als, query, arena, &ask.x, err);
  if (status == WN_OK && ask.x != NULL && k > 0 && answers(als, WN_NEAREST_USERS)) {
    found_ask f = {{WN_NEAREST_USERS, ask.x, k, NULL}, query->user, arena};
    status = find_nearest(als->nearest, &f, out, count, err);
    wn_arena_clear(&local);
    return status;
  }
  if (status == WN_OK && ask.x != NULL) {
    float norm = wn_simd()->dot(ask.x, ask.x, als->head.d), score[BLOCK];
    ask.scale = norm > 0 ? 1 / sqrtf(norm) : 0;
    for (uint32_t begin = 0; begin < als->head.users; begin += BLOCK) {
      size_t len = block_at(begin, als->head.users);
      score_block(&ask, (als_rows){als->user, als->user_scale, als->head.d}, begin, len, score);
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

const wn_model_class wn_model_als = {
    .name = "als",
    .doc = "implicit-feedback ALS: user and item vectors, any history folded in exactly",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_LIVE | WN_MODEL_ATTRS,
    .params = als_params,
    .params_len = sizeof als_params / sizeof *als_params,
    .text = "solver",
    .fit = wn_als_fit,
    .save = wn_als_save,
    .map = wn_als_map,
    .validate = wn_als_validate,
    .bind = wn_als_bind,
    .candidates = als_candidates,
    .similar = wn_anchor_similar,
    .candidates_batch = wn_als_candidates_batch,
    .score_all = als_score_all,
    .update = wn_als_update,
    .forget = wn_als_forget,
    .update_item = wn_als_update_item,
    .item_vector = als_item_vector,
    .similar_users = als_similar_users,
    .bytes = wn_als_live_bytes,
    .free = wn_als_free,
};
