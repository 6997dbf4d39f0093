/* Training of implicit-feedback ALS.
 *
 * Source: as als_solve.c; initial factors N(0, (sigma/√d)²) after Rendle et al. 2021.
 *
 * Each half-epoch diagonalises the fixed side's Gram, HᵀH = QᵀΛQ (rows of Q are eigenvectors), and
 * rotates H ← H·Qᵀ in place; predictions ⟨w, h⟩ do not depend on the basis once both sides are in
 * the same one, so nothing is ever rotated back. The last half-epoch solves the users against the
 * final items exactly, so a user's stored factors are what folding in the same row gives, but for
 * rounding.
 *
 * Departures: confidences c = weight^power divided by their mean (all-equal weights are the paper's
 * c = 1, and scaling all weights changes nothing), negative ones on target 0; rows without a
 * positive one stay zero and count neither in α₀ nor in λ; training stops early once an epoch
 * improves the objective by less than `tolerance` of it.
 *
 * Shapes: U × d and I × d floats, 20 bytes a row, the longest row's entries and scratch of some
 * 12·d² + .6 KB·d + 430 KB a thread. Cost of an epoch: als_epoch.c. Threads: rows are independent
 * and sums are merged in a fixed order, so the model has the same bits for any number of threads.
 * With the solvers `cg` and `auto` long rows are moved instead of solved (als_pcg.c), all or those
 * where that costs less, but for the last half-epoch. */
#include "model/als_fit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/simd/simd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void fit_clear(als_fit *f) {
  als_side *sides[2] = {&f->user, &f->item};
  for (int i = 0; i < 2; i++) {
    wn_free(sides[i]->memory);
    wn_free(sides[i]->solved);
    wn_free(sides[i]->order);
  }
  wn_free(f->ones);
  wn_free(f->gram);
  wn_free(f->eigen);
  wn_free(f->work);
  wn_free(f->basis);
  wn_free(f->scratch);
}

static wn_status side_init(als_side *side, const wn_csr *csr, size_t d, bool negative,
                           wn_error *err) {
  side->csr = csr;
  size_t rows = csr->rows > 0 ? csr->rows : 1;
  size_t floats = rows * d + 2 * WN_SIMD_PAD; /* als_short.c reads rows in whole vectors */
  side->memory = wn_calloc(floats, sizeof *side->memory);
  wn_mem_scattered(side->memory, floats * sizeof *side->memory);
  side->solved = wn_calloc(rows, sizeof *side->solved);
  if (side->memory == NULL || side->solved == NULL) return wn_fail_memory(err);
  side->factors =
      side->memory + (size_t)(-(uintptr_t)side->memory / sizeof *side->memory) % WN_SIMD_PAD;
  return als_order_rows(side, negative, err);
}

/* scale = 1 / mean of weight^power over the positive weights; exactly 1 / w^power when all are
 * equal. */
static uint64_t measure_confidence(const wn_csr *csr, als_fit *f) {
  wn_als_head *head = f->head;
  uint64_t n = 0;
  float last = 1;
  double sum = 0, low = INFINITY, high = 0, w = 1;
  for (uint64_t i = 0; i < csr->nnz; i++) {
    float weight = wn_csr_weight(csr, i);
    if (!(weight > 0)) continue;
    if (weight != last) w = pow((double)(last = weight), head->power);
    sum += w;
    low = fmin(low, w);
    high = fmax(high, w);
    n++;
  }
  f->uniform = low == high && n == csr->nnz;
  head->scale = n == 0 ? 1 : low == high ? 1 / low : (double)n / sum;
  return n;
}

/* α₀ from the density of the active part, 3·δ^¾ in 10⁻⁴ … 1: a line on log scales through values
 * that others found good by validation: MSD .02 (δ .0014), ML-20M .1 (.0054), ML-1M .3 (.045),
 * and Gowalla's ~.01 (.0007). */
static double alpha0_of_density(uint64_t nnz, uint32_t users, uint32_t items) {
  if (nnz == 0) return 1;
  double density = (double)nnz / ((double)users * (double)items);
  return fmin(1, fmax(1e-4, 3 * pow(density, .75)));
}

static wn_status fit_init(als_fit *f, const wn_dataset *data, wn_error *err) {
  uint64_t nnz = measure_confidence(&data->by_user, f);
  size_t d = f->d = f->head->d;
  bool negative = f->head->negative > 0;
  wn_status status = side_init(&f->user, &data->by_user, d, negative, err);
  if (status == WN_OK) status = side_init(&f->item, &data->by_item, d, negative, err);
  if (status != WN_OK) return status;
  size_t longest = f->user.longest > f->item.longest ? f->user.longest : f->item.longest;
  f->scratch_floats = als_worker_floats(d, longest);
  f->gram = wn_calloc(d * d, sizeof *f->gram);
  f->eigen = wn_calloc(d, sizeof *f->eigen);
  f->work = wn_calloc(d, sizeof *f->work);
  f->basis = wn_calloc(d * (d + WN_SIMD_PAD), sizeof *f->basis);
  f->scratch =
      wn_calloc((size_t)wn_pool_threads(f->env->pool) * f->scratch_floats, sizeof *f->scratch);
  if (f->uniform) f->ones = wn_malloc((longest + 1) * sizeof *f->ones);
  for (size_t i = 0; f->ones != NULL && i <= longest; i++) f->ones[i] = 1;
  if ((f->uniform && f->ones == NULL) || f->gram == NULL || f->eigen == NULL || f->work == NULL ||
      f->basis == NULL || f->scratch == NULL) {
    return wn_fail_memory(err);
  }
  if (f->head->alpha0 == 0) {
    f->head->alpha0 = alpha0_of_density(nnz, f->user.active, f->item.active);
  }
  return WN_OK;
}

/* Only the items' start matters: the users are solved first. */
static void init_items(als_fit *f, double sigma) {
  const wn_als *warm = (const wn_als *)f->env->warm;
  if (warm != NULL && warm->head.d != f->head->d) warm = NULL;
  size_t d = f->d;
  for (uint32_t at = 0; at < f->item.active; at++) {
    uint32_t i = f->item.order[at];
    float *row = f->item.factors + i * d;
    if (warm != NULL && i < warm->head.items && warm->row_of[i] != WN_NO_IX) {
      memcpy(row, warm->item + warm->row_of[i] * d, d * sizeof *row);
    } else {
      wn_als_init_row(f->env->seed, i, d, sigma / sqrt((double)d), row);
    }
  }
}

/* After the items were solved: their minima hold everything but the users' ridge. */
static double objective(const als_fit *f) {
  double sum = 0;
  for (uint32_t i = 0; i < f->item.csr->rows; i++) sum += f->item.solved[i].loss;
  for (uint32_t u = 0; u < f->user.csr->rows; u++) sum += f->user.solved[u].penalty;
  return sum;
}

static wn_status run_epochs(als_fit *f, uint32_t epochs, double tolerance, wn_error *err) {
  double before = INFINITY;
  for (uint32_t epoch = 0; epoch < epochs; epoch++) {
    if (!wn_progress_at(f->env->progress, "als", epoch, epochs, "epochs")) {
      return wn_fail(err, WN_E_CANCELLED, "", "training was cancelled");
    }
    wn_status status = als_half_epoch(f, &f->item, &f->user, err);
    if (status == WN_OK) status = als_half_epoch(f, &f->user, &f->item, err);
    if (status != WN_OK) return status;
    f->head->objective = objective(f);
    f->head->epochs = epoch + 1;
    wn_log(WN_LOG_DEBUG, "als epoch=%u objective=%.6g", epoch + 1, f->head->objective);
    if (before - f->head->objective < tolerance * before) break;
    before = f->head->objective;
  }
  (void)wn_progress_at(f->env->progress, "als", epochs, epochs, "epochs");
  f->steps = 0;
  return als_half_epoch(f, &f->item, &f->user, err);
}

static float inverse_norm(const float *x, size_t d) {
  double s = 0;
  for (size_t k = 0; k < d; k++) s += (double)x[k] * (double)x[k];
  return s > 1e-30 ? (float)(1 / sqrt(s)) : 0;
}

typedef struct by_norm {
  float norm;
  uint32_t item;
} by_norm;

static int falling(const void *a, const void *b) {
  const by_norm *x = a, *y = b;
  if (x->norm != y->norm) return x->norm > y->norm ? -1 : 1;
  return (x->item > y->item) - (x->item < y->item);
}

static bool row_is_active(const wn_csr *csr, uint32_t row) {
  for (uint64_t i = csr->row_ptr[row]; i < csr->row_ptr[row + 1]; i++) {
    if (wn_csr_weight(csr, i) > 0) return true;
  }
  return false;
}

/* The items with a vector by falling norm, ties by index; *rows: how many. */
static wn_status order_items(const als_fit *f, uint32_t items, by_norm **out, uint32_t *rows,
                             wn_error *err) {
  by_norm *order = wn_reallocarray(NULL, (size_t)items + 1, sizeof *order);
  uint32_t n = 0;
  if (order == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < items; i++) {
    float scale = inverse_norm(f->item.factors + i * f->d, f->d);
    if (scale > 0 || row_is_active(f->item.csr, i)) {
      order[n++] = (by_norm){scale > 0 ? 1 / scale : 0, i};
    }
  }
  qsort(order, n, sizeof *order, falling);
  *out = order;
  *rows = n;
  return WN_OK;
}

/* The model takes over the side's matrix. */
static const float *keep_factors(als_side *side, wn_als *als) {
  als->owned[als->owned_len++] = side->memory;
  side->memory = NULL;
  return side->factors;
}

/* Puts row item_of[r] of the matrix into its place r, r = 0 … rows − 1, without a second matrix:
 * what was in a place that is already filled has moved to where that one's content came from. */
static void permute_rows(float *matrix, size_t d, const uint32_t *item_of, uint32_t rows) {
  for (uint32_t r = 0; r < rows; r++) {
    uint32_t from = item_of[r];
    while (from < r) from = item_of[from];
    float *a = matrix + r * d, *b = matrix + from * d;
    for (size_t k = 0; a != b && k < d; k++) {
      float x = a[k];
      a[k] = b[k];
      b[k] = x;
    }
  }
}

/* Items with neither interactions nor known attributes cost nothing and are never proposed. */
static wn_status keep_items(als_fit *f, wn_als *als, wn_error *err) {
  size_t d = f->d;
  wn_als_head *head = &als->head;
  by_norm *order = NULL;
  wn_status status = order_items(f, head->items, &order, &head->rows, err);
  if (status != WN_OK) return status;
  uint32_t *item_of = wn_als_own(als, head->rows, sizeof *item_of);
  uint32_t *row_of = wn_als_own(als, head->items, sizeof *row_of);
  float *item_scale = wn_als_own(als, head->rows, sizeof *item_scale);
  uint32_t *item_events = wn_als_own(als, head->rows, sizeof *item_events);
  if (item_of == NULL || row_of == NULL || item_scale == NULL || item_events == NULL) {
    wn_free(order);
    return wn_fail_memory(err);
  }
  for (uint32_t i = 0; i < head->items; i++) row_of[i] = WN_NO_IX;
  for (uint32_t row = 0; row < head->rows; row++) {
    item_of[row] = order[row].item;
    item_scale[row] = inverse_norm(f->item.factors + item_of[row] * d, d);
    item_events[row] = wn_als_item_events(f->item.csr, item_of[row]);
    row_of[item_of[row]] = row;
  }
  wn_free(order);
  permute_rows(f->item.factors, d, item_of, head->rows);
  als->item = keep_factors(&f->item, als);
  als->item_of = item_of;
  als->row_of = row_of;
  als->item_scale = item_scale;
  als->item_events = item_events;
  return WN_OK;
}

static wn_status keep_users(als_fit *f, wn_als *als, wn_error *err) {
  size_t d = f->d;
  double *eigen = wn_als_own(als, d, sizeof *eigen);
  float *user_scale = wn_als_own(als, als->head.users, sizeof *user_scale);
  if (eigen == NULL || user_scale == NULL) return wn_fail_memory(err);
  memcpy(eigen, f->eigen, d * sizeof *eigen);
  for (uint32_t u = 0; u < als->head.users; u++) {
    user_scale[u] = inverse_norm(f->user.factors + u * d, d);
  }
  als->eigen = eigen;
  als->user = keep_factors(&f->user, als);
  als->user_scale = user_scale;
  return WN_OK;
}

#define STEPS 2 /* where the solver is chosen and their number is not */

static wn_status choose_solver(als_fit *f, const wn_params *params, wn_error *err) {
  const char *solver = params->text;
  f->steps = (int)wn_param(&wn_model_als, params, "cg_steps");
  f->counted = strcmp(solver, "auto") == 0;
  if (f->counted || strcmp(solver, "cg") == 0) {
    if (f->steps == 0) f->steps = STEPS;
  } else if (strcmp(solver, "exact") == 0) {
    f->steps = 0;
  } else if (solver[0] != '\0') {
    return wn_fail(err, WN_E_ARGUMENT, "solver", "`%s` is not exact, cg or auto", solver);
  }
  return WN_OK;
}

wn_status wn_als_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                     wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_als;
  wn_als *als = wn_calloc(1, sizeof *als);
  if (als == NULL) return wn_fail_memory(err);
  als->base.cls = cls;
  als->coded = wn_als_coded_new();
  als->head = (wn_als_head){.version = 2,
                            .d = (uint32_t)wn_param(cls, params, "factors"),
                            .users = data->by_user.rows,
                            .items = data->by_item.rows,
                            .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                            .alpha0 = wn_param(cls, params, "alpha0"),
                            .lambda = wn_param(cls, params, "lambda"),
                            .nu = wn_param(cls, params, "nu"),
                            .power = wn_param(cls, params, "power"),
                            .negative = wn_param(cls, params, "negative"),
                            .cold_scale = wn_param(cls, params, "cold_scale")};
  als_fit f = {.env = env, .head = &als->head};
  wn_status status = WN_OK;
  if (als->coded == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(choose_solver(&f, params, err));
  WN_TRY(fit_init(&f, data, err));
  init_items(&f, wn_param(cls, params, "sigma"));
  WN_TRY(run_epochs(&f, (uint32_t)wn_param(cls, params, "epochs"),
                    wn_param(cls, params, "tolerance"), err));
  als->head.active = f.item.active;
  als->head.users_active = f.user.active;
  WN_TRY(
      wn_als_attr_fit(data, env, wn_param(cls, params, "attr_lambda"), als, f.item.factors, err));
  WN_TRY(wn_als_users_fit(data, env, wn_param(cls, params, "user_attr_lambda"), als, f.user.factors,
                          err));
  WN_TRY(keep_items(&f, als, err));
  WN_TRY(keep_users(&f, als, err));
  WN_TRY(wn_als_live_fit(als, env->pool, err));
  wn_als_live_init(als);
  *out = &als->base;
  als = NULL;
cleanup:
  fit_clear(&f);
  if (als != NULL) wn_als_free(&als->base);
  return status;
}
