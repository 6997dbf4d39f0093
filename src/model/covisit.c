/* Item–item co-occurrence: who is looked at, bought or listed together.
 *
 * Source: co-visitation with gap decay and popularity normalisation as used in session-based
 * recommendation. For two items of one user's row, g steps apart,
 *     W[earlier][later] += m·m'·exp(−(g − 1)/tau),    W[later][earlier] += rho · the same,
 * S[i][j] = W[i][j] / (popᵢᵃ·popⱼᵇ), the `neighbours` best j kept for each i, and
 *     score(j) = Σᵢ √wᵢ·exp(−stepᵢ/tau_query)·S[i][j]
 * over the history's items i, newest step 0. An anchor's answer is its own row.
 *
 * Departure: steps are counted in distinct times, not in events. Items that share a time are a
 * basket: they pair symmetrically at full weight and each brings m = √w·B^(−¼), B the basket's
 * size, so that a pair within one counts 1/√B. Data without times are the limit case (every row
 * one basket), and need no mode of their own.
 *
 * Bounds: the newest `row_max` items of a row count and gaps up to `window` steps; memory 20 bytes
 * for each such item, 8 a kept neighbour (twice that while the result grows), 8·I a thread; time at
 * most Σ rows · row_max. Threads: target rows are independent and users ascend within one, so the
 * model has the same bits for any number of threads. Nothing is random. */
#include "model/query.h"
#include "model/section.h"
#include "base/mem.h"
#include "base/vec.h"

#include <math.h>
#include <string.h>

#define WINDOW_MAX      1000
#define NEIGHBOURS_MAX  1000
#define STEP_WEIGHT_MIN 1e-4 /* older history adds nothing that could be seen */

static const wn_param_spec covisit_params[] = {
    {"window", 50, 1, WINDOW_MAX, "pairs at most so many steps apart count"},
    {"tau", 3, 0.01, 1e6, "steps over which a pair's weight falls to 1/e"},
    {"rho", 0.3, 0, 1, "weight of the way back in time"},
    {"a", 0.5, 0, 2, "exponent of the source's popularity"},
    {"b", 0.2, 0, 2, "exponent of the candidate's popularity"},
    {"tau_query", 3, 0.01, 1e6, "steps over which a history item's weight falls to 1/e"},
    {"neighbours", 200, 1, NEIGHBOURS_MAX, "kept for each item"},
    {"row_max", 500, 2, 1e6, "newest items of a user that count"},
    {"history_max", 100, 1, WN_HISTORY_MAX, "newest items of a query that count"},
};

/* Snapshot section "covisit/head". */
typedef struct covisit_head {
  uint32_t version;
  uint32_t items;
  uint32_t history_max;
  uint32_t neighbours;
  double tau_query;
} covisit_head;

typedef struct covisit {
  wn_model base;
  covisit_head head;
  const uint64_t *row_ptr; /* [items + 1] */
  const uint32_t *col;     /* best first within a row */
  const float *score;      /* > 0 */
  void *owned[3];          /* of a fitted model */
} covisit;

static void covisit_free(wn_model *model) {
  covisit *m = (covisit *)model;
  for (size_t i = 0; i < sizeof m->owned / sizeof *m->owned; i++) wn_free(m->owned[i]);
  wn_free(m);
}

/* ---- fitting ---- */

typedef struct occurrence {
  uint32_t user;
  uint32_t at; /* within the user's kept row */
} occurrence;

#define BLOCK_ROWS 1024

typedef struct covisit_fit {
  uint32_t users, items, window, neighbours, row_max;
  bool back;
  uint64_t *user_ptr; /* [users + 1] kept positive entries, oldest first */
  uint32_t *item;
  uint32_t *step;
  float *mass;
  uint64_t *item_ptr; /* [items + 1] where each item occurs, users ascending */
  occurrence *where;
  float *source_scale, *target_scale; /* [items] pop^−a, pop^−b */
  float *forward, *backward;          /* [window + 1] weight by gap */
  float *sum;                         /* [threads × items] */
  uint32_t *touched;                  /* [threads × items] */
  wn_scored *best;                    /* [BLOCK_ROWS × neighbours] */
  uint32_t *best_len;                 /* [BLOCK_ROWS] */
  uint32_t block_begin;
} covisit_fit;

static void fit_clear(covisit_fit *f) {
  void *all[] = {f->user_ptr,     f->item,         f->step,     f->mass,    f->item_ptr,
                 f->where,        f->forward,      f->backward, f->sum,     f->touched,
                 f->source_scale, f->target_scale, f->best,     f->best_len};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
}

static bool counts(float weight) {
  return weight > 0;
}

static uint64_t row_begin(const wn_csr *csr, uint32_t user, uint32_t row_max) {
  uint64_t i = csr->row_ptr[user + 1];
  for (uint32_t n = 0; i > csr->row_ptr[user] && n < row_max;) n += counts(csr->weight[--i]);
  return i;
}

/* √w·B^(−¼) for the entries of each basket; steps. */
static void weigh_row(covisit_fit *f, const wn_csr *csr, uint32_t user, uint64_t *end) {
  uint64_t begin = *end, basket = *end;
  int64_t last = 0;
  for (uint64_t i = row_begin(csr, user, f->row_max); i < csr->row_ptr[user + 1]; i++) {
    if (!counts(csr->weight[i])) continue;
    bool new_step = *end > begin && csr->time_ms != NULL && csr->time_ms[i] != last;
    if (csr->time_ms != NULL) last = csr->time_ms[i];
    if (new_step) {
      float share = powf((float)(*end - basket), -0.25f);
      for (; basket < *end; basket++) f->mass[basket] *= share;
    }
    f->item[*end] = csr->col[i];
    f->step[*end] = *end == begin ? 0 : f->step[*end - 1] + new_step;
    f->mass[*end] = sqrtf(csr->weight[i]);
    (*end)++;
  }
  float share = powf((float)(*end - basket), -0.25f);
  for (; basket < *end; basket++) f->mass[basket] *= share;
}

static void index_occurrences(covisit_fit *f) {
  uint64_t n = f->user_ptr[f->users];
  for (uint64_t i = 0; i < n; i++) f->item_ptr[f->item[i] + 1]++;
  for (uint32_t i = 0; i < f->items; i++) f->item_ptr[i + 1] += f->item_ptr[i];
  for (uint32_t u = 0; u < f->users; u++) {
    for (uint64_t i = f->user_ptr[u]; i < f->user_ptr[u + 1]; i++) {
      f->where[f->item_ptr[f->item[i]]++] = (occurrence){u, (uint32_t)(i - f->user_ptr[u])};
    }
  }
  memmove(f->item_ptr + 1, f->item_ptr, f->items * sizeof *f->item_ptr);
  f->item_ptr[0] = 0;
}

static wn_status fit_alloc(covisit_fit *f, const wn_csr *csr, size_t threads, wn_error *err) {
  uint64_t kept = 0;
  for (uint32_t u = 0; u < f->users; u++) {
    uint64_t row = csr->row_ptr[u + 1] - csr->row_ptr[u];
    kept += row < f->row_max ? row : f->row_max;
  }
  size_t n = kept > 0 ? kept : 1, items = f->items > 0 ? f->items : 1;
  f->user_ptr = wn_calloc((size_t)f->users + 1, sizeof *f->user_ptr);
  f->item = wn_calloc(n, sizeof *f->item);
  f->step = wn_calloc(n, sizeof *f->step);
  f->mass = wn_calloc(n, sizeof *f->mass);
  f->item_ptr = wn_calloc(items + 1, sizeof *f->item_ptr);
  f->where = wn_calloc(n, sizeof *f->where);
  f->source_scale = wn_calloc(items, sizeof *f->source_scale);
  f->target_scale = wn_calloc(items, sizeof *f->target_scale);
  f->forward = wn_calloc(f->window + 1, sizeof *f->forward);
  f->backward = wn_calloc(f->window + 1, sizeof *f->backward);
  f->sum = wn_calloc(threads * items, sizeof *f->sum);
  f->touched = wn_calloc(threads * items, sizeof *f->touched);
  f->best = wn_calloc((size_t)BLOCK_ROWS * f->neighbours, sizeof *f->best);
  f->best_len = wn_calloc(BLOCK_ROWS, sizeof *f->best_len);
  bool good = f->user_ptr && f->item && f->step && f->mass && f->item_ptr && f->where &&
              f->source_scale && f->target_scale && f->forward && f->backward && f->sum &&
              f->touched && f->best && f->best_len;
  return good ? WN_OK : wn_fail_memory(err);
}

static wn_status fit_init(covisit_fit *f, const wn_dataset *data, const wn_params *params,
                          const wn_fit_env *env, wn_error *err) {
  const wn_model_class *cls = &wn_model_covisit;
  f->users = data->by_user.rows;
  f->items = data->by_user.cols;
  f->window = (uint32_t)wn_param(cls, params, "window");
  f->neighbours = (uint32_t)wn_param(cls, params, "neighbours");
  f->row_max = (uint32_t)wn_param(cls, params, "row_max");
  double rho = wn_param(cls, params, "rho"), tau = wn_param(cls, params, "tau");
  f->back = rho > 0;
  wn_status status = fit_alloc(f, &data->by_user, (size_t)wn_pool_threads(env->pool), err);
  if (status != WN_OK) return status;
  f->forward[0] = f->backward[0] = 1;
  for (uint32_t g = 1; g <= f->window; g++) {
    f->forward[g] = (float)exp(-(double)(g - 1) / tau);
    f->backward[g] = (float)(rho * (double)f->forward[g]);
  }
  uint64_t end = 0;
  for (uint32_t u = 0; u < f->users; u++) {
    weigh_row(f, &data->by_user, u, &end);
    f->user_ptr[u + 1] = end;
  }
  index_occurrences(f);
  double a = wn_param(cls, params, "a"), b = wn_param(cls, params, "b");
  for (uint32_t i = 0; i < f->items; i++) {
    double pop = fmax(1, (double)(f->item_ptr[i + 1] - f->item_ptr[i]));
    f->source_scale[i] = (float)pow(pop, -a);
    f->target_scale[i] = (float)pow(pop, -b);
  }
  return WN_OK;
}

/* Adds what stands beside one occurrence; returns the new count of touched items. */
static size_t add_beside(const covisit_fit *f, occurrence o, float *sum, uint32_t *touched,
                         size_t n) {
  uint64_t begin = f->user_ptr[o.user], end = f->user_ptr[o.user + 1], p = begin + o.at;
  for (uint64_t q = p + 1; q < end; q++) {
    uint32_t gap = f->step[q] - f->step[p], j = f->item[q];
    if (gap > f->window) break;
    float x = f->mass[p] * f->mass[q] * f->forward[gap];
    if (!(x > 0)) continue; /* underflow; `touched` must name no item twice */
    if (sum[j] == 0) touched[n++] = j;
    sum[j] += x;
  }
  for (uint64_t q = p; q-- > begin;) {
    uint32_t gap = f->step[p] - f->step[q], j = f->item[q];
    if (gap > f->window || (gap > 0 && !f->back)) break;
    float x = f->mass[p] * f->mass[q] * f->backward[gap];
    if (!(x > 0)) continue;
    if (sum[j] == 0) touched[n++] = j;
    sum[j] += x;
  }
  return n;
}

static void fit_rows(void *ctx, size_t begin, size_t end, int worker) {
  covisit_fit *f = ctx;
  float *sum = f->sum + (size_t)worker * f->items;
  uint32_t *touched = f->touched + (size_t)worker * f->items;
  for (size_t r = begin; r < end; r++) {
    uint32_t i = f->block_begin + (uint32_t)r;
    size_t n = 0;
    for (uint64_t o = f->item_ptr[i]; o < f->item_ptr[i + 1]; o++) {
      n = add_beside(f, f->where[o], sum, touched, n);
    }
    wn_topk top;
    wn_topk_init(&top, f->best + r * f->neighbours, f->neighbours);
    for (size_t t = 0; t < n; t++) {
      uint32_t j = touched[t];
      float s = sum[j] * f->source_scale[i] * f->target_scale[j];
      sum[j] = 0;
      if (s > 0 && isfinite(s)) wn_topk_push(&top, j, s);
    }
    f->best_len[r] = (uint32_t)wn_topk_sort(&top);
  }
}

static wn_status fit_blocks(covisit_fit *f, const wn_fit_env *env, covisit *m, wn_error *err) {
  WN_VEC(uint32_t) col = {0};
  WN_VEC(float) score = {0};
  uint64_t *ptr = wn_calloc((size_t)f->items + 1, sizeof *ptr);
  wn_status status = ptr == NULL ? wn_fail_memory(err) : WN_OK;
  for (uint32_t begin = 0; status == WN_OK && begin < f->items; begin += BLOCK_ROWS) {
    uint32_t rows = f->items - begin < BLOCK_ROWS ? f->items - begin : BLOCK_ROWS;
    if (!wn_progress_at(env->progress, "covisit", begin, f->items, "items")) {
      status = wn_fail(err, WN_E_CANCELLED, "", "training was cancelled");
      break;
    }
    f->block_begin = begin;
    wn_pool_run(env->pool, rows, 8, fit_rows, f);
    for (uint32_t r = 0; r < rows; r++) {
      const wn_scored *best = f->best + (size_t)r * f->neighbours;
      size_t len = f->best_len[r];
      if (!wn_vec_reserve(&col, col.len + len) || !wn_vec_reserve(&score, score.len + len)) {
        status = wn_fail_memory(err);
        break;
      }
      for (size_t k = 0; k < len; k++) {
        col.data[col.len++] = best[k].ix;
        score.data[score.len++] = best[k].score;
      }
      ptr[begin + r + 1] = col.len;
    }
  }
  m->row_ptr = m->owned[0] = ptr;
  m->col = m->owned[1] = col.data;
  m->score = m->owned[2] = score.data;
  return status;
}

static wn_status covisit_fit_model(const wn_dataset *data, const wn_params *params,
                                   const wn_fit_env *env, wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_covisit;
  covisit_fit f = {0};
  covisit *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  wn_status status;
  WN_TRY(fit_init(&f, data, params, env, err));
  m->head = (covisit_head){.version = 1,
                           .items = f.items,
                           .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                           .neighbours = f.neighbours,
                           .tau_query = wn_param(cls, params, "tau_query")};
  WN_TRY(fit_blocks(&f, env, m, err));
  *out = &m->base;
  m = NULL;
cleanup:
  fit_clear(&f);
  if (m != NULL) covisit_free(&m->base);
  return status;
}

/* ---- answering ---- */

typedef struct covisit_ask {
  wn_accum accum;
  bool any;
  wn_item_ix without;
} covisit_ask;

static uint64_t row_len(const covisit *m, wn_item_ix i) {
  return m->row_ptr[i + 1] - m->row_ptr[i];
}

static wn_status ask_init(covisit_ask *ask, const covisit *m, const wn_query *query,
                          wn_arena *arena, wn_error *err) {
  wn_positive history[WN_HISTORY_MAX];
  *ask = (covisit_ask){.without = WN_NO_IX};
  size_t len = wn_query_positives(query, m->head.items, m->head.history_max, history);
  uint64_t adds = 0;
  for (size_t i = 0; i < len; i++) adds += row_len(m, history[i].item);
  if (len == 0 && query->anchor < m->head.items) {
    history[len++] = (wn_positive){.item = query->anchor, .weight = 1};
    adds = row_len(m, query->anchor);
    ask->without = query->anchor;
  }
  if (adds == 0) return WN_OK;
  ask->any = true;
  if (!wn_accum_init(&ask->accum, m->head.items, (size_t)adds, arena)) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) {
    double decay = exp(-(double)history[i].step / m->head.tau_query);
    if (decay < STEP_WEIGHT_MIN) break;
    float factor = sqrtf(history[i].weight) * (float)decay;
    for (uint64_t k = m->row_ptr[history[i].item]; k < m->row_ptr[history[i].item + 1]; k++) {
      wn_accum_add(&ask->accum, m->col[k], factor * m->score[k]);
    }
  }
  return WN_OK;
}

static wn_status covisit_candidates(const wn_model *model, const wn_query *query, size_t k,
                                    wn_scored *out, size_t *count, wn_error *err) {
  const covisit *m = (const covisit *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  covisit_ask ask;
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = ask_init(&ask, m, query, arena, err);
  if (status == WN_OK && ask.any) wn_accum_offer(&ask.accum, query, ask.without, &top);
  *count = wn_topk_sort(&top);
  wn_arena_clear(&local);
  return status;
}

static wn_status covisit_score_all(const wn_model *model, const wn_query *query, float *scores,
                                   uint32_t items, wn_error *err) {
  const covisit *m = (const covisit *)model;
  wn_arena local, *arena = wn_query_arena(query, &local);
  covisit_ask ask;
  wn_scores_clear(scores, items);
  wn_status status = ask_init(&ask, m, query, arena, err);
  if (status == WN_OK && ask.any) {
    wn_accum_spread(&ask.accum, query, ask.without, scores, items);
  }
  wn_arena_clear(&local);
  return status;
}

/* ---- snapshots ---- */

static wn_status covisit_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const covisit *m = (const covisit *)model;
  uint64_t nnz = m->row_ptr[m->head.items];
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "covisit/head", &m->head, sizeof m->head, err));
  WN_TRY(wn_snapshot_write(writer, "covisit/row_ptr", m->row_ptr,
                           ((uint64_t)m->head.items + 1) * sizeof *m->row_ptr, err));
  WN_TRY(wn_snapshot_write(writer, "covisit/col", m->col, nnz * sizeof *m->col, err));
  WN_TRY(wn_snapshot_write(writer, "covisit/score", m->score, nnz * sizeof *m->score, err));
cleanup:
  return status;
}

static wn_status check_head(const covisit_head *h, wn_error *err) {
  if (h->version != 1) {
    return wn_fail(err, WN_E_CORRUPT, "covisit/head", "version %u, expected 1", h->version);
  }
  if (h->history_max < 1 || h->history_max > WN_HISTORY_MAX || h->neighbours < 1 ||
      h->neighbours > NEIGHBOURS_MAX || !(h->tau_query > 0)) {
    return wn_fail(err, WN_E_CORRUPT, "covisit/head", "parameters are out of range");
  }
  return WN_OK;
}

static wn_status covisit_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  covisit *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_covisit;
  const void *head = NULL;
  uint64_t nnz = 0;
  wn_status status;
  WN_TRY(wn_section_array(snapshot, "covisit/head", sizeof m->head, 1, &head, err));
  memcpy(&m->head, head, sizeof m->head);
  WN_TRY(check_head(&m->head, err));
  WN_TRY(wn_section_offsets(snapshot, "covisit/row_ptr", m->head.items, &m->row_ptr, &nnz, err));
  WN_TRY(wn_section_indexes(snapshot, "covisit/col", nnz, m->head.items, &m->col, err));
  WN_TRY(wn_section_floats(snapshot, "covisit/score", nnz, &m->score, err));
  for (uint32_t i = 0; i < m->head.items; i++) {
    if (row_len(m, i) > m->head.neighbours) {
      status = wn_fail(err, WN_E_CORRUPT, "covisit/row_ptr", "a row is longer than neighbours");
      goto cleanup;
    }
  }
  *out = &m->base;
  m = NULL;
cleanup:
  if (m != NULL) covisit_free(&m->base);
  return status;
}

const wn_model_class wn_model_covisit = {
    .name = "covisit",
    .doc = "item-item co-occurrence with gap decay",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR,
    .params = covisit_params,
    .params_len = sizeof covisit_params / sizeof *covisit_params,
    .fit = covisit_fit_model,
    .save = covisit_save,
    .map = covisit_map,
    .candidates = covisit_candidates,
    .score_all = covisit_score_all,
    .free = covisit_free,
};
