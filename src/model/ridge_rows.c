/* Users' rows for the regressions of items on items, and what a pair of a row's entries adds to the
 * Gram matrix G and to the targets K.
 *
 * Unordered: G = K = X̃ᵀX̃ (EASE: Steck 2019), users divided by a power of their row's length.
 * Ordered (SLIT: Choi et al. 2021, "Session-aware Linear Item-Item Models"; with hours as TALE:
 * Park et al. 2025, "Temporal Linear Item-Item Model"): each entry t of a row is foretold by the
 * entries of earlier times, its prefix, each weighing w(t, p) = max(exp(θₚ − θₜ), floor) times its
 * value: G[i][j] = Σₜ w(t, i)·w(t, j)·xᵢxⱼ over t later than both,   K[i][t] = w(t, i)·xᵢxₜ. θ
 * counts steps (distinct times) over tau plus hours over their own constant.
 *
 * Departure: prefixes are never built. For the pair (i, j), i the older, the sum over t falls into
 * three ranges: neither at the floor, i alone, both. Exponentials over a range are the difference
 * of two suffix sums, kept relative to their first term so that nothing overflows or cancels; and
 * where i is at the floor from the start, as most of a long row is, the sum is a number of j's
 * alone. So a row of n entries costs n², as unordered, instead of n³. */
#include "model/ridge.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_MS   3.6e6
#define REACH_MAX 12.0 /* w below exp(−12) = 6e-6 is 0 when the floor is */

void wn_ridge_rows_clear(wn_ridge_rows *rows) {
  wn_free(rows->user_ptr);
  wn_free(rows->item);
  wn_free(rows->value);
  wn_free(rows->clock);
  wn_free(rows->item_ptr);
  wn_free(rows->where);
  wn_free(rows->item_of);
  memset(rows, 0, sizeof *rows);
}

static bool counts(float weight) {
  return weight > 0;
}

/* ---- entries ---- */

/* One row: indexes of items, raw values; returns the first entry of the dataset that counts. */
static uint64_t take_row(wn_ridge_rows *rows, const wn_csr *csr, uint32_t user,
                         const wn_ridge_rows_options *options) {
  uint64_t begin = csr->row_ptr[user + 1], end = rows->user_ptr[user];
  for (uint32_t n = 0; begin > csr->row_ptr[user] && n < options->row_max;) {
    n += counts(csr->weight[--begin]);
  }
  for (uint64_t i = begin; i < csr->row_ptr[user + 1]; i++) {
    if (!counts(csr->weight[i])) continue;
    rows->item[end] = csr->col[i];
    rows->value[end++] = (float)pow((double)csr->weight[i], options->power);
  }
  rows->user_ptr[user + 1] = end;
  return begin;
}

static void scale_values(wn_ridge_rows *rows, double user_exponent) {
  uint64_t n = rows->user_ptr[rows->users];
  double square = 0;
  for (uint64_t i = 0; i < n; i++) square += (double)rows->value[i] * (double)rows->value[i];
  double scale = square > 0 ? sqrt((double)n / square) : 1;
  for (uint32_t u = 0; u < rows->users; u++) {
    uint64_t begin = rows->user_ptr[u], end = rows->user_ptr[u + 1];
    double row = scale * pow((double)(end - begin), -user_exponent);
    for (uint64_t i = begin; i < end; i++) rows->value[i] = (float)((double)rows->value[i] * row);
  }
}

/* ---- the clock ---- */

/* Σ exp(θ_from − θₜ) (twice: of the doubled difference) over from ≤ t < to. */
static double range_one(const wn_ridge_clock *c, uint32_t n, uint32_t from, uint32_t to) {
  if (from >= to) return 0;
  return c[from].one - (to < n ? exp(c[from].at - c[to].at) * c[to].one : 0);
}

static double range_two(const wn_ridge_clock *c, uint32_t n, uint32_t from, uint32_t to) {
  if (from >= to) return 0;
  return c[from].two - (to < n ? exp(2 * (c[from].at - c[to].at)) * c[to].two : 0);
}

/* Σ over targets from `from` on of floor · w(t, j). */
static double at_floor(const wn_ridge_clock *c, uint32_t n, uint32_t j, uint32_t from,
                       double floor) {
  uint32_t low = c[j].low > from ? c[j].low : from;
  double sum = floor * floor * (double)(n - low);
  if (from < low && floor > 0)
    sum += floor * exp(c[j].at - c[from].at) * range_one(c, n, from, low);
  return sum;
}

/* Σ over common targets of w(t, i)·w(t, j), i no younger than j. */
static double together(const wn_ridge_clock *c, uint32_t n, uint32_t i, uint32_t j, double floor) {
  uint32_t from = c[j].next, low = c[i].low;
  if (low <= from) return c[j].far;
  return exp(c[i].at + c[j].at - 2 * c[from].at) * range_two(c, n, from, low) +
         at_floor(c, n, j, low, floor);
}

static void set_clock(wn_ridge_clock *c, uint32_t n, double reach, double floor) {
  for (uint32_t i = n; i-- > 0;) {
    bool last = i + 1 == n;
    double gap = last ? 0 : exp(c[i].at - c[i + 1].at);
    c[i].one = 1 + (last ? 0 : gap * c[i + 1].one);
    c[i].two = 1 + (last ? 0 : gap * gap * c[i + 1].two);
  }
  for (uint32_t i = 0, low = 0; i < n; i++) {
    if (low < c[i].next) low = c[i].next;
    while (low < n && c[low].at - c[i].at < reach) low++;
    c[i].low = low;
  }
  for (uint32_t i = 0; i < n; i++) c[i].far = at_floor(c, n, i, c[i].next, floor);
}

static void row_clock(wn_ridge_rows *rows, const wn_csr *csr, uint32_t user, uint64_t begin,
                      const wn_ridge_rows_options *options) {
  wn_ridge_clock *c = rows->clock + rows->user_ptr[user];
  double at = 0;
  int64_t last = 0;
  uint32_t n = 0, basket = 0;
  for (uint64_t i = begin; i < csr->row_ptr[user + 1]; i++) {
    if (!counts(csr->weight[i])) continue;
    int64_t now = csr->time_ms != NULL ? csr->time_ms[i] : 0;
    if (n > 0 && now != last) {
      at += 1 / options->tau;
      if (options->hours > 0) at += ((double)now - (double)last) / HOUR_MS / options->hours;
      for (; basket < n; basket++) c[basket].next = n;
    }
    last = now;
    c[n++].at = at;
  }
  for (; basket < n; basket++) c[basket].next = n;
  double reach = options->floor > 0 ? -log(options->floor) : REACH_MAX;
  set_clock(c, n, reach, options->floor);
}

/* ---- numbering ---- */

typedef struct counted {
  uint64_t count;
  uint32_t ix;
} counted;

static int by_count(const void *a, const void *b) {
  const counted *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? -1 : 1;
  return (x->ix > y->ix) - (x->ix < y->ix);
}

static wn_status number_items(wn_ridge_rows *rows, uint32_t items, wn_error *err) {
  uint64_t n = rows->user_ptr[rows->users];
  counted *all = wn_calloc((size_t)items + 1, sizeof *all);
  uint32_t *number = wn_calloc((size_t)items + 1, sizeof *number);
  wn_status status = all == NULL || number == NULL ? wn_fail_memory(err) : WN_OK;
  if (status == WN_OK) {
    for (uint32_t i = 0; i < items; i++) all[i].ix = i;
    for (uint64_t i = 0; i < n; i++) all[rows->item[i]].count++;
    for (uint32_t i = 0; i < items; i++) {
      if (all[i].count > 0) all[rows->items++] = all[i];
    }
    qsort(all, rows->items, sizeof *all, by_count);
    rows->item_of = wn_calloc((size_t)rows->items + 1, sizeof *rows->item_of);
    rows->item_ptr = wn_calloc((size_t)rows->items + 1, sizeof *rows->item_ptr);
    if (rows->item_of == NULL || rows->item_ptr == NULL) status = wn_fail_memory(err);
  }
  for (uint32_t r = 0; status == WN_OK && r < rows->items; r++) {
    rows->item_of[r] = all[r].ix;
    number[all[r].ix] = r;
    rows->item_ptr[r + 1] = rows->item_ptr[r] + all[r].count;
  }
  for (uint64_t i = 0; status == WN_OK && i < n; i++) rows->item[i] = number[rows->item[i]];
  wn_free(all);
  wn_free(number);
  return status;
}

static void index_places(wn_ridge_rows *rows) {
  uint64_t *ptr = rows->item_ptr;
  for (uint32_t u = 0; u < rows->users; u++) {
    for (uint64_t i = rows->user_ptr[u]; i < rows->user_ptr[u + 1]; i++) {
      rows->where[ptr[rows->item[i]]++] = (wn_ridge_place){u, (uint32_t)(i - rows->user_ptr[u])};
    }
  }
  if (rows->items == 0) return;
  memmove(ptr + 1, ptr, rows->items * sizeof *ptr);
  ptr[0] = 0;
}

wn_status wn_ridge_rows_build(const wn_dataset *data, const wn_ridge_rows_options *options,
                              wn_ridge_rows *out, wn_error *err) {
  const wn_csr *csr = &data->by_user;
  uint64_t kept = 1;
  memset(out, 0, sizeof *out);
  for (uint32_t u = 0; u < csr->rows; u++) {
    uint64_t row = csr->row_ptr[u + 1] - csr->row_ptr[u];
    kept += row < options->row_max ? row : options->row_max;
  }
  out->users = csr->rows;
  out->floor = options->floor;
  out->user_ptr = wn_calloc((size_t)csr->rows + 1, sizeof *out->user_ptr);
  out->item = wn_calloc(kept, sizeof *out->item);
  out->value = wn_calloc(kept, sizeof *out->value);
  out->where = wn_calloc(kept, sizeof *out->where);
  if (options->ordered) out->clock = wn_calloc(kept, sizeof *out->clock);
  bool good = out->user_ptr && out->item && out->value && out->where;
  wn_status status = good && (out->clock || !options->ordered) ? WN_OK : wn_fail_memory(err);
  for (uint32_t u = 0; status == WN_OK && u < csr->rows; u++) {
    uint64_t begin = take_row(out, csr, u, options);
    if (options->ordered) row_clock(out, csr, u, begin, options);
  }
  if (status == WN_OK) status = number_items(out, csr->cols, err);
  if (status == WN_OK) {
    scale_values(out, options->user_exponent);
    index_places(out);
  } else {
    wn_ridge_rows_clear(out);
  }
  return status;
}

/* ---- pairs ---- */

static inline void add(wn_ridge_sums *out, uint32_t item, float x) {
  if (!(x > 0)) return; /* underflow; `touched` must name no item twice */
  if (out->sum[item] == 0) out->touched[out->len++] = item;
  out->sum[item] += x;
}

void wn_ridge_gram_row(const wn_ridge_rows *rows, uint32_t i, wn_ridge_sums *out) {
  for (uint64_t o = rows->item_ptr[i]; o < rows->item_ptr[i + 1]; o++) {
    uint64_t begin = rows->user_ptr[rows->where[o].user];
    uint32_t n = (uint32_t)(rows->user_ptr[rows->where[o].user + 1] - begin);
    uint32_t at = rows->where[o].at;
    const uint32_t *item = rows->item + begin;
    const float *value = rows->value + begin;
    const wn_ridge_clock *c = rows->clock != NULL ? rows->clock + begin : NULL;
    for (uint32_t q = 0; q < n; q++) {
      if (item[q] < i) continue;
      float x = value[at] * value[q];
      if (c != NULL) {
        uint32_t old = q < at ? q : at, young = q < at ? at : q;
        if (c[young].next >= n) continue;
        x *= (float)together(c, n, old, young, rows->floor);
      }
      add(out, item[q], x);
    }
  }
}

void wn_ridge_target(const wn_ridge_rows *rows, uint32_t j, wn_ridge_sums *out) {
  for (uint64_t o = rows->item_ptr[j]; o < rows->item_ptr[j + 1]; o++) {
    uint64_t begin = rows->user_ptr[rows->where[o].user];
    uint32_t n = (uint32_t)(rows->user_ptr[rows->where[o].user + 1] - begin);
    uint32_t at = rows->where[o].at;
    const uint32_t *item = rows->item + begin;
    const float *value = rows->value + begin;
    const wn_ridge_clock *c = rows->clock != NULL ? rows->clock + begin : NULL;
    for (uint32_t q = 0; q < n; q++) {
      if (q == at) continue;
      float x = value[at] * value[q];
      if (c != NULL) {
        if (c[q].next > at) break;
        x *= (float)(c[q].low <= at ? rows->floor : exp(c[q].at - c[at].at));
      }
      add(out, item[q], x);
    }
  }
}
