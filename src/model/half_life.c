/* Prequential choice (Dawid, "Present position and potential developments", 1984): the newest tenth
 * of the pairs, at most VALIDATION of them, is walked through in order of time. Each is predicted
 * by the counters as they are then, p = (count + ε)/(total + ε·items), and counted after that, as
 * live events are. The half-life with the highest mean log p wins, of equals the longest.
 *
 * Only fading differs between the candidates, and a sum that fades equally changes no ratio:
 * forward decay (decay.h) serves, with the total as one item more.
 *
 * Costs: for each candidate a pass over the pairs, the candidates in parallel; memory 8 bytes an
 * item and candidate. Deterministic: a candidate is one thread's alone. */
#include "model/half_life.h"

#include "base/mem.h"
#include "base/vec.h"
#include "model/decay.h"

#include <math.h>
#include <stdlib.h>

#define PAIRS_MIN  200      /* fewer cannot tell */
#define VALIDATION 100000u  /* pairs predicted at most, or all of one moment */
#define SAMPLE     1000000u /* times looked at to find where validation begins */
#define EPSILON    0.01     /* of a mean pair's weight, granted to every item */

static const double candidates[] = {1, 3, 7, 14, 30, 90, 180, 365, 0};
#define CANDIDATES (sizeof candidates / sizeof *candidates)

typedef struct dated {
  int64_t time_ms;
  uint64_t place; /* among the pairs: orders those of one moment */
  uint32_t item;
  float weight;
} dated;

typedef struct choice {
  const wn_dataset *data;
  int64_t begin_ms; /* validation: later than this */
  WN_VEC(dated) later;
  double epsilon;
  double likelihood[CANDIDATES]; /* NAN: no memory */
} choice;

static int by_time(const void *a, const void *b) {
  const dated *x = a, *y = b;
  if (x->time_ms != y->time_ms) return x->time_ms < y->time_ms ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static bool counts(const wn_csr *pairs, uint64_t i) {
  return pairs->weight[i] > 0 && isfinite(pairs->weight[i]);
}

/* Where the newest part begins; false: there is no time to tell by. */
static wn_status find_begin(choice *c, bool *found, wn_error *err) {
  const wn_csr *pairs = &c->data->by_user;
  WN_VEC(int64_t) times = {0};
  wn_status status = WN_OK;
  uint64_t n = 0, stride = pairs->nnz / SAMPLE + 1;
  double sum = 0;
  for (uint64_t i = 0; i < pairs->nnz; i++) {
    if (!counts(pairs, i)) continue;
    sum += (double)pairs->weight[i];
    if (n++ % stride == 0 && !wn_vec_push(&times, pairs->time_ms[i])) WN_TRY(wn_fail_memory(err));
  }
  *found = false;
  if (n < PAIRS_MIN) goto cleanup;
  qsort(times.data, times.len, sizeof *times.data, by_value);
  double share = fmin(0.1, VALIDATION / (double)n);
  c->begin_ms = times.data[(size_t)((1 - share) * (double)(times.len - 1))];
  c->epsilon = EPSILON * sum / (double)n;
  *found = times.data[times.len - 1] > c->begin_ms;
cleanup:
  wn_vec_clear(&times);
  return status;
}

static wn_status collect_later(choice *c, wn_error *err) {
  const wn_csr *pairs = &c->data->by_user;
  for (uint64_t i = 0; i < pairs->nnz; i++) {
    if (!counts(pairs, i) || pairs->time_ms[i] <= c->begin_ms) continue;
    dated d = {pairs->time_ms[i], i, pairs->col[i], pairs->weight[i]};
    if (!wn_vec_push(&c->later, d)) return wn_fail_memory(err);
  }
  qsort(c->later.data, c->later.len, sizeof *c->later.data, by_time);
  return WN_OK;
}

static void add(wn_decay *decay, uint32_t item, uint32_t total, double weight, int64_t time_ms) {
  (void)wn_decay_add(decay, item, weight, (double)time_ms);
  (void)wn_decay_add(decay, total, weight, (double)time_ms);
}

static void try_candidate(void *ctx, size_t begin, size_t end, int worker WN_UNUSED) {
  choice *c = ctx;
  const wn_csr *pairs = &c->data->by_user;
  uint32_t total = c->data->items;
  for (size_t k = begin; k < end; k++) {
    wn_decay decay;
    double sum = 0;
    wn_decay_init(&decay, candidates[k] * 86400000.0, (double)c->begin_ms);
    c->likelihood[k] = NAN;
    if (!wn_decay_grow(&decay, total + 1)) continue;
    for (uint64_t i = 0; i < pairs->nnz; i++)
      if (counts(pairs, i) && pairs->time_ms[i] <= c->begin_ms)
        add(&decay, pairs->col[i], total, (double)pairs->weight[i], pairs->time_ms[i]);
    for (size_t i = 0; i < c->later.len; i++) {
      const dated *d = &c->later.data[i];
      double now = wn_decay_factor(&decay, (double)d->time_ms);
      sum += log((decay.count[d->item] * now + c->epsilon) /
                 (decay.count[total] * now + c->epsilon * total));
      add(&decay, d->item, total, (double)d->weight, d->time_ms);
    }
    c->likelihood[k] = sum;
    wn_decay_clear(&decay);
  }
}

wn_status wn_half_life_choose(const wn_dataset *data, wn_pool *pool, double *days, wn_error *err) {
  choice c = {.data = data};
  bool found = false;
  wn_status status;
  *days = WN_HALF_LIFE_DAYS;
  WN_TRY(find_begin(&c, &found, err));
  if (!found) goto cleanup;
  WN_TRY(collect_later(&c, err));
  wn_pool_run(pool, CANDIDATES, 1, try_candidate, &c);
  size_t best = 0;
  for (size_t k = 0; k < CANDIDATES; k++) {
    if (isnan(c.likelihood[k])) WN_TRY(wn_fail_memory(err));
    if (c.likelihood[k] >= c.likelihood[best]) best = k;
  }
  *days = candidates[best];
cleanup:
  wn_vec_clear(&c.later);
  return status;
}
