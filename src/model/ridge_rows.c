/* Users' rows for the regressions of items on items, and what pairs of a row's entries add to the
 * Gram matrix G and to the targets K.
 *
 * Unordered: G = K = X̃ᵀX̃ (EASE: Steck 2019), users divided by a power of their row's length.
 * Ordered (SLIT: Choi et al. 2021, "Session-aware Linear Item-Item Models"; with hours as TALE:
 * Park et al. 2025, "Temporal Linear Item-Item Model"): each entry t of a row is foretold by the
 * entries of earlier times, its prefix, each weighing w(t, p) = exp(θₚ − θₜ) times its value:
 * G[i][j] = Σₜ w(t, i)·w(t, j)·xᵢxⱼ over t later than both,   K[i][t] = w(t, i)·xᵢxₜ. θ counts
 * steps (distinct times) over tau plus hours over their own constant.
 *
 * Departures: prefixes are never built. For i no younger than j the sum over t is exp(θᵢ − θⱼ)
 * times Σ exp(2(θⱼ − θₜ)), a number of j's alone. What lies further apart than WN_RIDGE_REACH does
 * not meet, so a row of n entries costs n · 12·tau instead of n³. TALE's floor under the weights is
 * left out: it lost on long rows (README.md).
 *
 * Rows of all users and lists of all items hold the same entries; sums go by users ascending. */
#include "model/ridge.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define HOUR_MS 3.6e6

void wn_ridge_rows_clear(wn_ridge_rows *rows) {
  for (size_t i = 0; i < sizeof rows->owned / sizeof *rows->owned; i++) wn_free(rows->owned[i]);
  for (size_t i = 0; i < rows->user.len; i++) {
    wn_free(rows->user.data[i].own_cell);
    wn_free(rows->user.data[i].own_time);
    wn_free(rows->user.data[i].own_clock);
  }
  for (size_t i = 0; i < rows->item.len; i++) wn_free(rows->item.data[i].own);
  wn_vec_clear(&rows->user);
  wn_vec_clear(&rows->item);
  wn_free(rows->user_at);
  wn_free(rows->item_at);
  memset(rows, 0, sizeof *rows);
}

static bool counts(float weight) {
  return weight > 0;
}

/* ---- building ---- */

typedef struct build {
  const wn_csr *csr;
  wn_ridge_rule rule;
  uint64_t *user_ptr, *item_ptr;
  wn_ridge_cell *cell, *owner;
  int64_t *time_ms;
  wn_ridge_clock *clock;
  float *share;
} build;

/* The newest entries that count. */
static void take_row(build *b, uint32_t user) {
  const wn_csr *csr = b->csr;
  uint64_t begin = csr->row_ptr[user + 1], end = b->user_ptr[user];
  for (uint32_t n = 0; begin > csr->row_ptr[user] && n < b->rule.row_max;) {
    n += counts(csr->weight[--begin]);
  }
  for (uint64_t i = begin; i < csr->row_ptr[user + 1]; i++) {
    if (!counts(csr->weight[i])) continue;
    if (b->time_ms != NULL) b->time_ms[end] = csr->time_ms != NULL ? csr->time_ms[i] : 0;
    b->cell[end++] =
        (wn_ridge_cell){csr->col[i], (float)pow((double)csr->weight[i], b->rule.power)};
  }
  b->user_ptr[user + 1] = end;
}

float wn_ridge_value(double x) {
  return (float)fmin(fmax(x, 1e-18), 1e18);
}

static double scale_values(build *b) {
  uint64_t n = b->user_ptr[b->csr->rows];
  double square = 0;
  for (uint64_t i = 0; i < n; i++) square += (double)b->cell[i].value * (double)b->cell[i].value;
  double scale = square > 0 ? sqrt((double)n / square) : 1;
  for (uint64_t i = 0; i < n; i++)
    b->cell[i].value = wn_ridge_value((double)b->cell[i].value * scale);
  return scale;
}

static void make_lists(build *b) {
  uint64_t *ptr = b->item_ptr, n = b->user_ptr[b->csr->rows];
  for (uint64_t i = 0; i < n; i++) ptr[b->cell[i].ix + 1]++;
  for (uint32_t i = 0; i < b->csr->cols; i++) ptr[i + 1] += ptr[i];
  for (uint32_t u = 0; u < b->csr->rows; u++) {
    for (uint64_t i = b->user_ptr[u]; i < b->user_ptr[u + 1]; i++) {
      b->owner[ptr[b->cell[i].ix]++] = (wn_ridge_cell){u, b->cell[i].value};
    }
  }
  if (b->csr->cols == 0) return;
  memmove(ptr + 1, ptr, b->csr->cols * sizeof *ptr);
  ptr[0] = 0;
}

float wn_ridge_share(const wn_ridge_rule *rule, uint32_t len) {
  return (float)pow(len > 0 ? len : 1, -2 * rule->user_exponent);
}

static bool allocate(build *b) {
  const wn_csr *csr = b->csr;
  uint64_t kept = 1;
  for (uint32_t u = 0; u < csr->rows; u++) {
    uint64_t row = csr->row_ptr[u + 1] - csr->row_ptr[u];
    kept += row < b->rule.row_max ? row : b->rule.row_max;
  }
  b->user_ptr = wn_calloc((size_t)csr->rows + 1, sizeof *b->user_ptr);
  b->item_ptr = wn_calloc((size_t)csr->cols + 1, sizeof *b->item_ptr);
  b->cell = wn_calloc(kept, sizeof *b->cell);
  b->owner = wn_calloc(kept, sizeof *b->owner);
  b->share = wn_calloc((size_t)csr->rows + 1, sizeof *b->share);
  if (b->rule.ordered) b->time_ms = wn_calloc(kept, sizeof *b->time_ms);
  if (b->rule.ordered) b->clock = wn_calloc(kept, sizeof *b->clock);
  bool good = b->user_ptr && b->item_ptr && b->cell && b->owner && b->share;
  return good && (!b->rule.ordered || (b->time_ms && b->clock));
}

wn_status wn_ridge_rows_build(const wn_dataset *data, const wn_ridge_rule *rule, wn_ridge_rows *out,
                              wn_error *err) {
  build b = {.csr = &data->by_user, .rule = *rule};
  double scale = 1;
  bool good = allocate(&b);
  for (uint32_t u = 0; good && u < b.csr->rows; u++) {
    take_row(&b, u);
    uint64_t begin = b.user_ptr[u], len = b.user_ptr[u + 1] - begin;
    b.share[u] = wn_ridge_share(rule, (uint32_t)len);
    if (b.clock == NULL) continue;
    wn_ridge_clock_set(rule, b.time_ms + begin, (uint32_t)len, b.clock + begin);
  }
  if (good) {
    scale = scale_values(&b);
    make_lists(&b);
  }
  *out = (wn_ridge_rows){
      .rule = *rule,
      .scale = scale,
      .users = b.csr->rows,
      .items = b.csr->cols,
      .fit_users = b.csr->rows,
      .fit_items = b.csr->cols,
      .user_ptr = b.user_ptr,
      .cell = b.cell,
      .time_ms = b.time_ms,
      .clock = b.clock,
      .item_ptr = b.item_ptr,
      .owner = b.owner,
      .share = b.share,
      .owned = {b.user_ptr, b.cell, b.time_ms, b.clock, b.item_ptr, b.owner, b.share}};
  if (good) return WN_OK;
  wn_ridge_rows_clear(out);
  return wn_fail_memory(err);
}

/* ---- the clock ---- */

void wn_ridge_clock_set(const wn_ridge_rule *rule, const int64_t *time_ms, uint32_t n,
                        wn_ridge_clock *out) {
  for (uint32_t i = 0; i < n; i++) {
    out[i].at = i > 0 ? out[i - 1].at : 0;
    if (i == 0 || time_ms[i] == time_ms[i - 1]) continue;
    out[i].at += 1 / rule->tau;
    if (rule->hours > 0) {
      out[i].at += ((double)time_ms[i] - (double)time_ms[i - 1]) / HOUR_MS / rule->hours;
    }
  }
  for (uint32_t i = n, next = n; i-- > 0;) {
    if (i + 1 < n && time_ms[i] != time_ms[i + 1]) next = i + 1;
    double rest = 0;
    if (next < n) {
      uint32_t later = out[next].next - next; /* of the same time */
      rest = exp(2 * (out[i].at - out[next].at)) * (later + (double)out[next].rest);
    }
    out[i].rest = (float)rest;
    out[i].next = next;
  }
}

/* ---- G ---- */

typedef struct counted {
  uint32_t len, ix;
} counted;

static int most_first(const void *a, const void *b) {
  const counted *x = a, *y = b;
  if (x->len != y->len) return x->len > y->len ? -1 : 1;
  return (x->ix > y->ix) - (x->ix < y->ix);
}

void wn_ridge_head_clear(wn_ridge_head *head) {
  wn_free(head->item);
  wn_free(head->number);
  memset(head, 0, sizeof *head);
}

wn_status wn_ridge_head_choose(const wn_ridge_rows *rows, uint32_t least, uint32_t most,
                               wn_ridge_head *out, wn_error *err) {
  counted *all = wn_calloc((size_t)rows->items + 1, sizeof *all);
  uint32_t n = 0;
  memset(out, 0, sizeof *out);
  out->item = wn_calloc((size_t)rows->items + 1, sizeof *out->item);
  out->number = wn_calloc((size_t)rows->items + 1, sizeof *out->number);
  if (all == NULL || out->item == NULL || out->number == NULL) {
    wn_free(all);
    wn_ridge_head_clear(out);
    return wn_fail_memory(err);
  }
  for (uint32_t i = 0; i < rows->items; i++) {
    uint32_t len = wn_ridge_list_of(rows, i).len;
    if (len > least) all[n++] = (counted){len, i};
    out->number[i] = WN_NO_IX;
  }
  qsort(all, n, sizeof *all, most_first);
  for (uint32_t r = 0; r < n && r < most; r++) out->number[all[r].ix] = 0;
  for (uint32_t i = 0; i < rows->items; i++) {
    if (out->number[i] == WN_NO_IX) continue;
    out->number[i] = out->len;
    out->item[out->len++] = i;
  }
  wn_free(all);
  return WN_OK;
}

static void add_ordered(const wn_ridge_row *row, const wn_ridge_head *head, uint32_t at, uint32_t r,
                        float *out) {
  for (uint32_t q = at; q-- > 0 && row->clock[at].at - row->clock[q].at < WN_RIDGE_REACH;) {
    uint32_t g = head->number[row->cell[q].ix];
    if (g <= r) {
      out[g] +=
          row->share * row->cell[at].value * row->cell[q].value * wn_ridge_together(row, at, q);
    }
  }
  for (uint32_t q = at; q < row->len; q++) {
    if (row->clock[q].at - row->clock[at].at >= WN_RIDGE_REACH) break;
    uint32_t g = head->number[row->cell[q].ix];
    if (g <= r) {
      out[g] +=
          row->share * row->cell[at].value * row->cell[q].value * wn_ridge_together(row, at, q);
    }
  }
}

void wn_ridge_gram_row(const wn_ridge_rows *rows, const wn_ridge_head *head, uint32_t r,
                       float *out) {
  wn_ridge_list list = wn_ridge_list_of(rows, head->item[r]);
  for (uint32_t o = 0; o < list.len; o++) {
    wn_ridge_row row = wn_ridge_row_of(rows, list.cell[o].ix);
    float x = row.share * list.cell[o].value;
    if (row.clock != NULL) {
      add_ordered(&row, head, wn_ridge_place(&row, head->item[r]), r, out);
      continue;
    }
    for (uint32_t q = 0; q < row.len; q++) {
      uint32_t g = head->number[row.cell[q].ix];
      if (g <= r) out[g] += x * row.cell[q].value;
    }
  }
}

void wn_ridge_diagonal(const wn_ridge_rows *rows, float *out) {
  memset(out, 0, rows->items * sizeof *out);
  for (uint32_t u = 0; u < rows->users; u++) {
    wn_ridge_row row = wn_ridge_row_of(rows, u);
    for (uint32_t p = 0; p < row.len; p++) {
      float x = row.share * row.cell[p].value * row.cell[p].value;
      out[row.cell[p].ix] += row.clock != NULL ? x * row.clock[p].rest : x;
    }
  }
}
