/* Fitting co-occurrence: the sum of covisit.c over all rows, target row by target row.
 *
 * Bounds: 20 bytes for each kept item of a user, 8 a kept neighbour (twice that while the result
 * grows), 12·I a thread; time at most Σ rows · row_max. Threads: target rows are independent and
 * users ascend within one, so the model has the same bits for any number of threads. */
#include "model/covisit.h"

#include <string.h>

typedef struct occurrence {
  uint32_t user;
  uint32_t at; /* within the user's kept row */
} occurrence;

/* One kept positive entry of a user. */
typedef struct visit {
  uint32_t item; /* with its level: a row's number */
  uint32_t step;
  float mass;
} visit;

#define BLOCK_ROWS 1024

typedef struct covisit_fit {
  const wn_covisit_head *head;
  uint32_t users, items, rows, window, neighbours, row_max;
  bool back;
  uint64_t *user_ptr; /* [users + 1] kept positive entries, oldest first */
  visit *visit;
  wn_covisit_stamp *stamp; /* of each visit; NULL: nothing fades */
  int32_t *epoch;          /* [rows]; NULL likewise */
  uint64_t *item_ptr;      /* [rows + 1] where each row's item occurs, users ascending */
  occurrence *where;
  uint32_t *count;                    /* [items] */
  float *source_scale, *target_scale; /* [rows] count^−a, count^−b */
  float *forward, *backward;          /* [window + 1] weight by gap */
  float *sum;                         /* [threads × rows] */
  uint32_t *touched;                  /* [threads × (rows + 1)] */
  float *key;                         /* [threads × rows] S of what was touched */
  wn_scored *best;                    /* [BLOCK_ROWS × neighbours] the best by S, with their W */
  uint32_t *best_len;                 /* [BLOCK_ROWS] */
  uint32_t block_begin;
} covisit_fit;

static void fit_clear(covisit_fit *f) {
  void *all[] = {f->user_ptr,     f->visit,        f->item_ptr, f->where,
                 f->source_scale, f->target_scale, f->forward,  f->backward,
                 f->sum,          f->touched,      f->key,      f->best_len,
                 f->best,         f->count,        f->stamp,    f->epoch};
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

/* A basket's entries take their shares. */
static void share(visit *basket, const visit *end) {
  float factor = powf((float)(end - basket), -0.25f);
  for (; basket < end; basket++) basket->mass *= factor;
}

/* √w·B^(−¼) for the entries of each basket; steps. Returns the row's end. */
static visit *weigh_row(covisit_fit *f, const wn_csr *csr, uint32_t user, visit *row) {
  visit *end = row, *basket = row;
  int64_t last = 0;
  for (uint64_t i = row_begin(csr, user, f->row_max); i < csr->row_ptr[user + 1]; i++) {
    if (!counts(csr->weight[i])) continue;
    bool new_step = end > row && csr->time_ms != NULL && csr->time_ms[i] != last;
    if (csr->time_ms != NULL) last = csr->time_ms[i];
    if (new_step) {
      share(basket, end);
      basket = end;
    }
    uint32_t step = end == row ? 0 : end[-1].step + new_step;
    if (f->stamp != NULL) f->stamp[end - f->visit] = wn_covisit_stamp_of(f->head, last);
    uint32_t level = csr->type != NULL ? f->head->level_of[csr->type[i]] : 0;
    *end++ = (visit){csr->col[i] << f->head->level_bits | level, step, sqrtf(csr->weight[i])};
  }
  share(basket, end);
  return end;
}

static void index_occurrences(covisit_fit *f) {
  uint64_t n = f->user_ptr[f->users];
  for (uint64_t i = 0; i < n; i++) f->item_ptr[f->visit[i].item + 1]++;
  for (uint32_t i = 0; i < f->rows; i++) f->item_ptr[i + 1] += f->item_ptr[i];
  for (uint32_t u = 0; u < f->users; u++) {
    for (uint64_t i = f->user_ptr[u]; i < f->user_ptr[u + 1]; i++) {
      f->where[f->item_ptr[f->visit[i].item]++] = (occurrence){u, (uint32_t)(i - f->user_ptr[u])};
    }
  }
  memmove(f->item_ptr + 1, f->item_ptr, f->rows * sizeof *f->item_ptr);
  f->item_ptr[0] = 0;
}

static wn_status fit_alloc(covisit_fit *f, const wn_csr *csr, size_t threads, wn_error *err) {
  uint64_t kept = 0;
  for (uint32_t u = 0; u < f->users; u++) {
    uint64_t row = csr->row_ptr[u + 1] - csr->row_ptr[u];
    kept += row < f->row_max ? row : f->row_max;
  }
  size_t n = kept > 0 ? kept : 1, items = f->rows > 0 ? f->rows : 1;
  f->user_ptr = wn_calloc((size_t)f->users + 1, sizeof *f->user_ptr);
  f->visit = wn_calloc(n, sizeof *f->visit);
  f->item_ptr = wn_calloc(items + 1, sizeof *f->item_ptr);
  f->where = wn_calloc(n, sizeof *f->where);
  f->count = wn_calloc((size_t)f->items + 1, sizeof *f->count);
  f->source_scale = wn_calloc(items, sizeof *f->source_scale);
  f->target_scale = wn_calloc(items, sizeof *f->target_scale);
  f->forward = wn_calloc(f->window + 1, sizeof *f->forward);
  f->backward = wn_calloc(f->window + 1, sizeof *f->backward);
  f->sum = wn_calloc(threads * items, sizeof *f->sum);
  f->touched = wn_calloc(threads * (items + 1), sizeof *f->touched);
  f->key = wn_calloc(threads * items, sizeof *f->key);
  bool fades = f->head->half_life_ms > 0;
  if (fades) f->stamp = wn_calloc(n, sizeof *f->stamp);
  if (fades) f->epoch = wn_calloc(items, sizeof *f->epoch);
  f->best = wn_calloc((size_t)BLOCK_ROWS * f->neighbours, sizeof *f->best);
  f->best_len = wn_calloc(BLOCK_ROWS, sizeof *f->best_len);
  bool good = f->user_ptr && f->visit && f->item_ptr && f->where && f->count && f->source_scale &&
              f->target_scale && f->forward && f->backward && f->sum && f->touched && f->key &&
              f->best && f->best_len && (!fades || (f->stamp && f->epoch));
  return good ? WN_OK : wn_fail_memory(err);
}

static wn_status fit_init(covisit_fit *f, const wn_dataset *data, const wn_covisit_head *head,
                          const wn_fit_env *env, wn_error *err) {
  f->head = head;
  f->users = data->by_user.rows;
  f->items = head->items;
  f->rows = wn_covisit_rows(head);
  f->window = head->window;
  f->neighbours = head->neighbours;
  f->row_max = head->row_max;
  f->back = head->rho > 0;
  wn_status status = fit_alloc(f, &data->by_user, (size_t)wn_pool_threads(env->pool), err);
  if (status != WN_OK) return status;
  wn_covisit_decays(head, f->forward, f->backward);
  visit *end = f->visit;
  for (uint32_t u = 0; u < f->users; u++) {
    end = weigh_row(f, &data->by_user, u, end);
    f->user_ptr[u + 1] = (uint64_t)(end - f->visit);
  }
  index_occurrences(f);
  for (uint32_t i = 0; i < f->rows; i++)
    f->count[i >> head->level_bits] += (uint32_t)(f->item_ptr[i + 1] - f->item_ptr[i]);
  for (uint32_t i = 0; i < f->rows; i++) {
    f->source_scale[i] = wn_covisit_scale(f->count[i >> head->level_bits], head->a);
    f->target_scale[i] = wn_covisit_scale(f->count[i >> head->level_bits], head->b);
  }
  return WN_OK;
}

/* The epoch of the newest pair of item i: all are stored in its unit. */
static int32_t epoch_of_row(const covisit_fit *f, uint32_t i) {
  int32_t newest = INT32_MIN;
  for (uint64_t o = f->item_ptr[i]; o < f->item_ptr[i + 1]; o++) {
    uint64_t p = f->user_ptr[f->where[o].user] + f->where[o].at, q = p;
    uint64_t end = f->user_ptr[f->where[o].user + 1];
    while (q + 1 < end && f->visit[q + 1].step - f->visit[p].step <= f->window) q++;
    if (f->stamp[q].epoch > newest) newest = f->stamp[q].epoch;
  }
  return newest > INT32_MIN ? newest : 0;
}

/* What a pair is worth whose later visit is v, in the unit of `epoch`. */
static float fade_of(const covisit_fit *f, const visit *v, int32_t epoch) {
  wn_covisit_stamp stamp = f->stamp[v - f->visit];
  return stamp.fade * wn_covisit_fade(epoch - stamp.epoch);
}

typedef struct row_sum {
  float *sum;        /* [items] */
  uint32_t *touched; /* [rows + 1] whose sum is not 0 */
  size_t len;
  int32_t epoch;
} row_sum;

/* What comes out as 0 is not added: `touched` must name no item twice. */
static void add(row_sum *r, uint32_t j, float x) {
  float before = r->sum[j];
  r->touched[r->len] = j;
  r->len += before == 0 && x > 0;
  r->sum[j] = before + x;
}

/* Adds what stands beside one occurrence. */
static void add_beside(const covisit_fit *f, occurrence o, row_sum *r) {
  const visit *begin = f->visit + f->user_ptr[o.user], *end = f->visit + f->user_ptr[o.user + 1];
  const visit *p = begin + o.at;
  for (const visit *q = p + 1; q < end; q++) {
    uint32_t gap = q->step - p->step;
    if (gap > f->window) break;
    float x = p->mass * q->mass * f->forward[gap];
    add(r, q->item, f->stamp != NULL ? x * fade_of(f, q, r->epoch) : x);
  }
  float mass = f->stamp != NULL ? p->mass * fade_of(f, p, r->epoch) : p->mass;
  for (const visit *q = p; q-- > begin;) {
    uint32_t gap = p->step - q->step;
    if (gap > f->window || (gap > 0 && !f->back)) break;
    add(r, q->item, mass * q->mass * f->backward[gap]);
  }
}

/* Leaves what counts in `touched`, with S in `key`. */
static void rate_row(const covisit_fit *f, uint32_t i, row_sum *r, float *key) {
  size_t good = 0;
  for (size_t t = 0; t < r->len; t++) {
    uint32_t j = r->touched[t];
    float s = r->sum[j] * f->source_scale[i] * f->target_scale[j];
    if (s > 0 && isfinite(s) && isfinite(r->sum[j])) {
      r->touched[good] = j;
      key[good++] = s;
    } else {
      r->sum[j] = 0;
    }
  }
  r->len = good;
}

/* The best by S, their W, in the order in which they were met; of equals the first. */
static uint32_t take_best(const covisit_fit *f, uint32_t i, row_sum *r, float *key,
                          wn_scored *best) {
  uint32_t len = 0;
  rate_row(f, i, r, key);
  wn_cut cut = wn_covisit_cut(key, r->len, f->neighbours);
  for (size_t t = 0; t < r->len; t++) {
    uint32_t j = r->touched[t];
    float s = r->sum[j] * f->source_scale[i] * f->target_scale[j];
    if (wn_covisit_keeps(&cut, s)) best[len++] = (wn_scored){j, r->sum[j]};
    r->sum[j] = 0;
  }
  return len;
}

static void fit_rows(void *ctx, size_t begin, size_t end, int worker) {
  covisit_fit *f = ctx;
  row_sum sum = {.sum = f->sum + (size_t)worker * f->rows,
                 .touched = f->touched + (size_t)worker * (f->rows + 1)};
  for (size_t r = begin; r < end; r++) {
    uint32_t i = f->block_begin + (uint32_t)r;
    sum.len = 0;
    if (f->stamp != NULL) sum.epoch = f->epoch[i] = epoch_of_row(f, i);
    for (uint64_t o = f->item_ptr[i]; o < f->item_ptr[i + 1]; o++) {
      add_beside(f, f->where[o], &sum);
    }
    f->best_len[r] =
        take_best(f, i, &sum, f->key + (size_t)worker * f->rows, f->best + r * f->neighbours);
  }
}

static wn_status fit_blocks(covisit_fit *f, const wn_fit_env *env, wn_covisit *m, wn_error *err) {
  WN_VEC(uint32_t) col = {0};
  WN_VEC(float) weight = {0};
  uint64_t *ptr = wn_calloc((size_t)f->rows + 1, sizeof *ptr);
  wn_status status = ptr == NULL ? wn_fail_memory(err) : WN_OK;
  for (uint32_t begin = 0; status == WN_OK && begin < f->rows; begin += BLOCK_ROWS) {
    uint32_t rows = f->rows - begin < BLOCK_ROWS ? f->rows - begin : BLOCK_ROWS;
    if (!wn_progress_at(env->progress, "covisit", begin, f->rows, "rows")) {
      status = wn_fail(err, WN_E_CANCELLED, "", "training was cancelled");
      break;
    }
    f->block_begin = begin;
    wn_pool_run(env->pool, rows, 8, fit_rows, f);
    for (uint32_t r = 0; r < rows; r++) {
      const wn_scored *best = f->best + (size_t)r * f->neighbours;
      size_t len = f->best_len[r];
      if (!wn_vec_reserve(&col, col.len + len) || !wn_vec_reserve(&weight, weight.len + len)) {
        status = wn_fail_memory(err);
        break;
      }
      for (size_t k = 0; k < len; k++) {
        col.data[col.len++] = best[k].ix;
        weight.data[weight.len++] = best[k].score;
      }
      ptr[begin + r + 1] = col.len;
    }
  }
  m->row_ptr = m->owned[0] = ptr;
  m->col = m->owned[1] = col.data;
  m->weight = m->owned[2] = weight.data;
  return status;
}

static double newest_ms(const wn_csr *csr) {
  double newest = csr->nnz > 0 && csr->time_ms != NULL ? (double)csr->time_ms[0] : 0;
  for (uint64_t i = 1; csr->time_ms != NULL && i < csr->nnz; i++)
    newest = fmax(newest, (double)csr->time_ms[i]);
  return newest;
}

/* As many bits as the highest level needs. */
static void tell_levels(wn_covisit_head *head, const wn_dataset *data) {
  memcpy(head->level_of, data->level_of, sizeof head->level_of);
  for (size_t t = 0; t < sizeof head->level_of; t++)
    while (head->level_of[t] >> head->level_bits != 0) head->level_bits++;
}

/* How far the data are from sparse (0) to dense (1), see covisit.c. */
static double density(const wn_csr *by_item) {
  double sum = 0, squares = 0;
  for (uint32_t i = 0; i < by_item->rows; i++) {
    double n = 0; /* who took it: dislikes say nothing here */
    for (uint64_t p = by_item->row_ptr[i]; p < by_item->row_ptr[i + 1]; p++)
      n += wn_csr_weight(by_item, p) > 0;
    sum += n;
    squares += n * n;
  }
  return sum > 0 ? fmin(fmax(log2(squares / sum / 100) / 2, 0), 1) : 0;
}

static double chosen(double given, double sparse, double dense, double t) {
  return given < 0 ? sparse + t * (dense - sparse) : given;
}

static wn_covisit_head head_of(const wn_params *params, const wn_dataset *data) {
  const wn_csr *csr = &data->by_user;
  double t = density(&data->by_item);
  const wn_model_class *cls = &wn_model_covisit;
  bool ordered = wn_dataset_order(data) != WN_ORDER_NONE;
  double power = wn_param(cls, params, "power");
  return (wn_covisit_head){.version = 4,
                           .power = ordered ? chosen(power, 0.7, 0.5, t) : chosen(power, 1, 1, t),
                           .cross = wn_param(cls, params, "cross"),
                           .lift = wn_param(cls, params, "lift"),
                           .items = csr->cols,
                           .half_life_ms = wn_param(cls, params, "half_life_days") * 86400000,
                           .now_ms = newest_ms(csr),
                           .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                           .neighbours = (uint32_t)wn_param(cls, params, "neighbours"),
                           .window = (uint32_t)wn_param(cls, params, "window"),
                           .row_max = (uint32_t)wn_param(cls, params, "row_max"),
                           .tau_query = wn_param(cls, params, "tau_query"),
                           .tau = wn_param(cls, params, "tau"),
                           .rho = chosen(wn_param(cls, params, "rho"), 0.3, 0, t),
                           .a = chosen(wn_param(cls, params, "a"), 0.5, 0.7, t),
                           .b = chosen(wn_param(cls, params, "b"), 0.2, 0.35, t)};
}

wn_status wn_covisit_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                         wn_model **out, wn_error *err) {
  covisit_fit f = {0};
  wn_covisit *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_covisit;
  m->head = head_of(params, data);
  tell_levels(&m->head, data);
  wn_status status;
  if (m->head.items > UINT32_MAX >> 2)
    WN_TRY(wn_fail(err, WN_E_UNSUPPORTED, "covisit", "too many items"));
  WN_TRY(fit_init(&f, data, &m->head, env, err));
  WN_TRY(fit_blocks(&f, env, m, err));
  m->count = m->owned[3] = f.count;
  f.count = NULL;
  m->epoch = m->owned[4] = f.epoch;
  f.epoch = NULL;
  WN_TRY(wn_covisit_live_init(m, err));
  *out = &m->base;
  m = NULL;
cleanup:
  fit_clear(&f);
  if (m != NULL) m->base.cls->free(&m->base);
  return status;
}
