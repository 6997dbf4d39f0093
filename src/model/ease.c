/* EASE: the dense regression of every item on all others, in closed form.
 *
 * Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data":
 *     P = (XᵀX + λI)⁻¹,   W[i][j] = −P[i][j]/P[j][j], W[j][j] = 0,   score = x·W.
 * Departure: users may be divided by a power of their row's length, as in ridge; the default is
 * the paper's. The exact twin of ridge, for catalogues of up to 15,000 items with interactions:
 * beyond that a fit is refused with a word about ridge. Costs: 4·n² bytes, in the snapshot as in
 * memory, about n³ multiplications to fit, n additions a history item to answer. Deterministic for
 * any number of threads; nothing is random. */
#include "base/mem.h"
#include "base/simd/simd.h"
#include "model/linalg.h"
#include "model/query.h"
#include "model/ridge.h"
#include "model/section.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ITEMS_MAX   15000u
#define HISTORY_MAX 1000000

static const wn_param_spec ease_params[] = {
    {"lambda", 300, 0.001, 1e6, "ridge"},
    {"user_exponent", 0, 0, 1, "users count by their number of items to minus twice this power"},
    {"power", 0.5, 0, 1, "a value is the interaction's weight to this power"},
    {"row_max", 10000, 2, 1e6, "newest items of a user that count"},
    {"history_max", 1000, 1, HISTORY_MAX, "newest items of a query that count"},
};

/* Snapshot section "ease/head". */
typedef struct ease_head {
  uint32_t version;
  uint32_t items;
  uint32_t active; /* items with an entry */
  uint32_t history_max;
  double power;
} ease_head;

typedef struct ease {
  wn_model base;
  ease_head head;
  const uint32_t *item_of; /* [active] */
  const uint32_t *row_of;  /* [items] WN_NO_IX: inactive */
  const float *weight;     /* [active × active] by source */
  void *owned[3];          /* of a fitted model */
} ease;

static void ease_free(wn_model *model) {
  ease *m = (ease *)model;
  for (size_t i = 0; i < sizeof m->owned / sizeof *m->owned; i++) wn_free(m->owned[i]);
  wn_free(m);
}

/* ---- fitting ---- */

typedef struct ease_fit {
  const wn_ridge_rows *rows;
  wn_ridge_head active; /* items with an entry */
  float *A;             /* [active × active] */
  double lambda;
} ease_fit;

static void gram_rows(void *ctx, size_t begin, size_t end, int worker) {
  ease_fit *f = ctx;
  size_t n = f->active.len;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    wn_ridge_gram_row(f->rows, &f->active, (uint32_t)i, f->A + i * n);
    f->A[i * n + i] += (float)f->lambda;
  }
}

static wn_status check_size(uint32_t active, wn_error *err) {
  if (active <= ITEMS_MAX) return WN_OK;
  return wn_fail(err, WN_E_UNSUPPORTED, "ease",
                 "%" PRIu32 " items have interactions, ease takes %u at most: use ridge, which has "
                 "no such limit",
                 active, ITEMS_MAX);
}

/* −P[i][j]/P[j][j] in P's place. */
static void divide(const ease_fit *f, float *diagonal) {
  size_t n = f->active.len;
  for (size_t j = 0; j < n; j++) diagonal[j] = -1 / f->A[j * n + j];
  for (size_t i = 0; i < n; i++) {
    float *row = f->A + i * n;
    for (size_t j = 0; j < n; j++)
      row[j] = isfinite(row[j] * diagonal[j]) ? row[j] * diagonal[j] : 0;
    row[i] = 0;
  }
}

static wn_status solve(ease_fit *f, const wn_fit_env *env, wn_error *err) {
  size_t n = f->active.len;
  wn_status status = WN_OK;
  float *diagonal = wn_calloc(n + 1, sizeof *diagonal);
  if (diagonal == NULL) WN_TRY(wn_fail_memory(err));
  if (!wn_progress_at(env->progress, "ease", 0, 2, "steps"))
    WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "training was cancelled"));
  wn_pool_run(env->pool, n, 4, gram_rows, f);
  if (!wn_progress_at(env->progress, "ease", 1, 2, "steps"))
    WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "training was cancelled"));
  WN_TRY(wn_inverse(env->pool, f->A, n, (float)f->lambda, err));
  divide(f, diagonal);
cleanup:
  wn_free(diagonal);
  return status;
}

static wn_status take(ease *m, const wn_ridge_head *active, wn_error *err) {
  size_t n = active->len;
  uint32_t *item_of = m->owned[0] = wn_calloc(n + 1, sizeof *item_of);
  uint32_t *row_of = m->owned[1] = wn_calloc((size_t)m->head.items + 1, sizeof *row_of);
  float *weight = m->owned[2] = wn_calloc(n * n + 1, sizeof *weight);
  if (!item_of || !row_of || !weight) return wn_fail_memory(err);
  memcpy(item_of, active->item, n * sizeof *item_of);
  memcpy(row_of, active->number, m->head.items * sizeof *row_of);
  m->item_of = item_of;
  m->row_of = row_of;
  m->weight = weight;
  return WN_OK;
}

static wn_status ease_fit_model(const wn_dataset *data, const wn_params *params,
                                const wn_fit_env *env, wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_ease;
  wn_ridge_rows rows = {0};
  ease_fit f = {.rows = &rows, .lambda = wn_param(cls, params, "lambda")};
  ease *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  m->head = (ease_head){.version = 1,
                        .items = data->by_user.cols,
                        .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                        .power = wn_param(cls, params, "power")};
  wn_ridge_rule rule = {.power = m->head.power,
                        .user_exponent = wn_param(cls, params, "user_exponent"),
                        .row_max = (uint32_t)wn_param(cls, params, "row_max")};
  wn_status status;
  WN_TRY(wn_ridge_rows_build(data, &rule, &rows, err));
  WN_TRY(wn_ridge_head_choose(&rows, 0, WN_NO_IX, &f.active, err));
  WN_TRY(check_size(f.active.len, err));
  m->head.active = f.active.len;
  WN_TRY(take(m, &f.active, err));
  f.A = m->owned[2];
  WN_TRY(solve(&f, env, err));
  *out = &m->base;
  m = NULL;
cleanup:
  wn_ridge_head_clear(&f.active);
  wn_ridge_rows_clear(&rows);
  if (m != NULL) ease_free(&m->base);
  return status;
}

/* ---- answering ---- */

static uint32_t known_row(const ease *m, const wn_history_entry *h) {
  bool counts = h->item < m->head.items && h->weight > 0 && isfinite(h->weight);
  return counts ? m->row_of[h->item] : WN_NO_IX;
}

/* *score stays NULL when nothing is known; else scores by number, `without` being left out. */
static wn_status ask(const ease *m, const wn_query *query, wn_arena *arena, float **score,
                     wn_item_ix *without, wn_error *err) {
  const wn_history_entry anchor = {.item = query->anchor, .weight = 1}, *history = query->history;
  size_t len = query->history_len, known = 0, taken = 0, n = m->head.active;
  bool positive = false;
  for (size_t i = 0; i < len; i++) {
    positive |= history[i].item < m->head.items && history[i].weight > 0;
    known += known_row(m, &history[i]) != WN_NO_IX;
  }
  *score = NULL;
  *without = WN_NO_IX;
  if (!positive) {
    *without = query->anchor;
    history = &anchor;
    len = 1;
    known = known_row(m, &anchor) != WN_NO_IX;
  }
  if (known == 0) return WN_OK;
  float *sum = wn_arena_calloc(arena, n, sizeof *sum);
  if (sum == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len && taken < m->head.history_max; i++) {
    uint32_t row = known_row(m, &history[i]);
    if (row == WN_NO_IX) continue;
    wn_simd()->axpy((float)pow((double)history[i].weight, m->head.power), m->weight + row * n, sum,
                    n);
    taken++;
  }
  *score = sum;
  return WN_OK;
}

static wn_status ease_candidates(const wn_model *model, const wn_query *query, size_t k,
                                 wn_scored *out, size_t *count, wn_error *err) {
  const ease *m = (const ease *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_item_ix without;
  float *score;
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = ask(m, query, arena, &score, &without, err);
  for (uint32_t r = 0; score != NULL && r < m->head.active; r++) {
    wn_item_ix ix = m->item_of[r];
    if (ix != without && isfinite(score[r]) && wn_query_allows(query, ix)) {
      wn_topk_push(&top, ix, score[r]);
    }
  }
  *count = wn_topk_sort(&top);
  wn_arena_clear(&local);
  return status;
}

static wn_status ease_score_all(const wn_model *model, const wn_query *query, float *scores,
                                uint32_t items, wn_error *err) {
  const ease *m = (const ease *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_item_ix without;
  float *score;
  wn_scores_clear(scores, items);
  wn_status status = ask(m, query, arena, &score, &without, err);
  for (uint32_t r = 0; score != NULL && r < m->head.active; r++) {
    wn_item_ix ix = m->item_of[r];
    if (ix < items && ix != without && isfinite(score[r]) && wn_query_allows(query, ix)) {
      scores[ix] = score[r];
    }
  }
  wn_arena_clear(&local);
  return status;
}

/* ---- snapshots ---- */

static wn_status ease_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const ease *m = (const ease *)model;
  const ease_head *h = &m->head;
  uint64_t n = h->active;
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "ease/head", h, sizeof *h, err));
  WN_TRY(wn_snapshot_write(writer, "ease/item_of", m->item_of, n * sizeof *m->item_of, err));
  WN_TRY(wn_snapshot_write(writer, "ease/row_of", m->row_of, h->items * sizeof *m->row_of, err));
  WN_TRY(wn_snapshot_write(writer, "ease/weight", m->weight, n * n * sizeof *m->weight, err));
cleanup:
  return status;
}

/* item_of and row_of are each other's inverse. */
static wn_status check_maps(const ease *m, wn_error *err) {
  uint32_t known = 0;
  bool good = true;
  for (uint32_t i = 0; i < m->head.items; i++) {
    uint32_t row = m->row_of[i];
    if (row == WN_NO_IX) continue;
    good = good && row < m->head.active && m->item_of[row] == i;
    known++;
  }
  if (good && known == m->head.active) return WN_OK;
  return wn_fail(err, WN_E_CORRUPT, "ease/row_of", "does not match ease/item_of");
}

static wn_status check_head(const ease_head *h, wn_error *err) {
  if (h->version != 1)
    return wn_fail(err, WN_E_CORRUPT, "ease/head", "version %u, expected 1", h->version);
  if (h->active > h->items || h->active > ITEMS_MAX || h->history_max < 1 ||
      h->history_max > HISTORY_MAX || !(h->power >= 0 && h->power <= 1))
    return wn_fail(err, WN_E_CORRUPT, "ease/head", "sizes or parameters are out of range");
  return WN_OK;
}

static wn_status ease_validate(const wn_model *model, wn_error *err) {
  const ease *m = (const ease *)model;
  uint64_t n = m->head.active;
  wn_status status;
  WN_TRY(check_head(&m->head, err));
  WN_TRY(wn_check_finite("ease/weight", m->weight, n * n, err));
  WN_TRY(check_maps(m, err));
cleanup:
  return status;
}

static wn_status ease_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *head = NULL, *row_of = NULL;
  wn_status status;
  ease *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  const ease_head *h = &m->head;
  m->base.cls = &wn_model_ease;
  WN_TRY(wn_section_array(snapshot, "ease/head", sizeof *h, 1, &head, err));
  memcpy(&m->head, head, sizeof m->head);
  WN_TRY(check_head(h, err));
  uint64_t n = h->active;
  WN_TRY(wn_section_indexes(snapshot, "ease/item_of", n, h->items, &m->item_of, err));
  WN_TRY(wn_section_array(snapshot, "ease/row_of", sizeof(uint32_t), h->items, &row_of, err));
  m->row_of = row_of;
  WN_TRY(wn_section_numbers(snapshot, "ease/weight", n * n, &m->weight, err));
  WN_TRY(ease_validate(&m->base, err));
  *out = &m->base;
  m = NULL;
cleanup:
  if (m != NULL) ease_free(&m->base);
  return status;
}

const wn_model_class wn_model_ease = {
    .name = "ease",
    .doc = "dense item-item regression in closed form, up to 15,000 items",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_BY_NAME,
    .params = ease_params,
    .params_len = sizeof ease_params / sizeof *ease_params,
    .fit = ease_fit_model,
    .save = ease_save,
    .map = ease_map,
    .validate = ease_validate,
    .candidates = ease_candidates,
    .similar = wn_anchor_similar,
    .score_all = ease_score_all,
    .free = ease_free,
};
