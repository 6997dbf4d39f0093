/* How careful a search must be, by measurement. Half of up to 256 sample queries find, for each
 * level of recall, the least kappa of a grid that reaches it by a standard error; the other half
 * say what it achieves. The truth comes from exact search. kappa = 1 (exact) is the last of the
 * grid, so every level is reached.
 *
 * Cost: one exact search a query and about forty approximate ones. Deterministic: queries are
 * searched one by one, sums run in their order. */
#include "index/tune.h"
#include "base/mem.h"
#include "base/rng.h"
#include "index/cluster.h"
#include "index/seek.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUERIES 256u
#define GRID    64

static const double wanted[WN_INDEX_LEVELS] = {.80, .90, .95, .98, .99, .999};

typedef struct trial {
  const wn_base *base;
  const wn_delta *delta; /* empty */
  uint32_t *pick;        /* rows that serve as queries, or NULL */
  const float *vectors;  /* queries; NULL: rows */
  uint32_t count, k;
  wn_scored *truth; /* [count · k] */
  uint32_t *found;  /* [count] results of the truth */
  float kappa;
  uint32_t factor; /* search for factor·k */
  bool exact;
  double *recall, *lanes; /* [count] of the last run */
  atomic_bool failed;
} trial;

static const float *query_vector(const trial *t, uint32_t i) {
  if (t->vectors != NULL) return t->vectors + (size_t)i * t->base->head.dims;
  return wn_base_row(t->base, t->pick[i]);
}

static int by_id(const void *a, const void *b) {
  const wn_scored *x = a, *y = b;
  return x->ix < y->ix ? -1 : x->ix > y->ix;
}

/* Share of the truth that was found. Both sorted by id here. */
static double share(wn_scored *truth, size_t n, wn_scored *got, size_t m) {
  size_t i = 0, j = 0, hits = 0;
  if (n == 0) return 1;
  qsort(truth, n, sizeof *truth, by_id);
  if (m > 0) qsort(got, m, sizeof *got, by_id);
  while (i < n && j < m) {
    if (truth[i].ix == got[j].ix)
      hits++, i++, j++;
    else if (truth[i].ix < got[j].ix)
      i++;
    else
      j++;
  }
  return (double)hits / (double)n;
}

static void try_queries(void *ctx, size_t begin, size_t end, int worker) {
  trial *t = ctx;
  wn_arena arena;
  (void)worker;
  wn_arena_init(&arena, SIZE_MAX / 2);
  for (size_t q = begin; q < end; q++) {
    wn_arena_reset(&arena);
    wn_seek seek = {.base = t->base, .delta = t->delta, .k = t->k * t->factor, .arena = &arena};
    seek.eta = t->exact ? WN_ETA_EXACT : wn_eta_for(&t->base->axes);
    wn_scored *got = wn_arena_alloc(&arena, (size_t)seek.k * sizeof *got);
    if (got == NULL || !wn_seek_init(&seek, query_vector(t, (uint32_t)q)) ||
        !wn_seek_lists(&seek, t->kappa, t->exact)) {
      atomic_store(&t->failed, true);
      break;
    }
    size_t n = wn_seek_finish(&seek, got);
    wn_scored *truth = t->truth + q * t->k;
    t->lanes[q] = (double)seek.trace.lanes_scanned;
    if (t->exact) {
      memcpy(truth, got, n * sizeof *got);
      t->found[q] = (uint32_t)n;
    } else if (t->factor == 1) {
      t->recall[q] = share(truth, t->found[q], got, n);
    }
  }
  wn_arena_clear(&arena);
}

static wn_status run(trial *t, wn_pool *pool, wn_error *err) {
  wn_for_all(pool, t->count, 4, try_queries, t);
  return atomic_load(&t->failed) ? wn_fail_memory(err) : WN_OK;
}

/* Mean over the even (0) or odd (1) queries. */
static double mean(const double *x, uint32_t count, uint32_t half) {
  double sum = 0, n = 0;
  for (uint32_t i = half; i < count; i += 2, n++) sum += x[i];
  return n > 0 ? sum / n : 0;
}

/* What the mean surely is: one standard error below it. */
static double surely(const double *x, uint32_t count, uint32_t half) {
  double centre = mean(x, count, half), sum = 0, n = 0;
  for (uint32_t i = half; i < count; i += 2, n++) sum += (x[i] - centre) * (x[i] - centre);
  return n > 1 ? centre - sqrt(sum / (n - 1) / n) : centre;
}

static double mean_all(const double *x, uint32_t count) {
  double sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += x[i];
  return count > 0 ? sum / count : 0;
}

/* The grid is finer where searches are usual. */
static float grid_kappa(int i) {
  return (float)i / GRID;
}

/* The least point of the grid from `low` on that reaches the level (recall grows with kappa): by
 * bisection; leaves its measurements in `t`. */
static wn_status find_kappa(trial *t, wn_pool *pool, double level, int *low, wn_error *err) {
  int bad = *low - 1, good = GRID;
  while (good - bad > 1) {
    int middle = bad + (good - bad) / 2;
    t->kappa = grid_kappa(middle);
    wn_status status = run(t, pool, err);
    if (status != WN_OK) return status;
    if (surely(t->recall, t->count, 0) >= level) {
      good = middle;
    } else {
      bad = middle;
    }
  }
  *low = good;
  t->kappa = grid_kappa(good);
  return run(t, pool, err);
}

static wn_status measure_levels(trial *t, wn_base *base, const wn_index_options *options,
                                wn_error *err) {
  int low = 0;
  for (int i = 0; i < WN_INDEX_LEVELS; i++) {
    if (!wn_progress_at(options->progress, "measure", i, WN_INDEX_LEVELS, "levels")) {
      return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
    }
    wn_status status = find_kappa(t, options->pool, wanted[i], &low, err);
    if (status != WN_OK) return status;
    base->head.levels[i] =
        (wn_image_level){(float)wanted[i], (float)mean(t->recall, t->count, t->count > 1), t->kappa,
                         (float)mean_all(t->lanes, t->count)};
  }
  return WN_OK;
}

static wn_status measure_costs(trial *t, wn_base *base, const wn_index_options *options,
                               wn_error *err) {
  wn_status status = WN_OK;
  t->kappa = wn_kappa_for(&base->head, options->recall);
  uint32_t count = t->count;
  for (int i = 0; i < WN_COST_STEPS && status == WN_OK; i++) {
    t->factor = 1u << (2 * i);
    t->count = count > (QUERIES >> i) ? QUERIES >> i : count;
    uint64_t k = (uint64_t)t->k * t->factor;
    if (k >= base->head.rows) {
      base->head.cost[i] = (float)base->head.blocks * WN_SCAN_LANES;
      continue;
    }
    status = run(t, options->pool, err);
    base->head.cost[i] = (float)mean_all(t->lanes, t->count);
  }
  t->factor = 1;
  t->count = count;
  return status;
}

/* Random present rows of norm above 0, or none. */
static uint32_t pick_rows(trial *t, uint64_t seed) {
  const wn_image_header *head = &t->base->head;
  wn_rng rng;
  uint32_t len = 0;
  wn_rng_seed(&rng, seed + 1);
  for (uint32_t tries = 0; tries < 20 * QUERIES && len < QUERIES && head->ids > 0; tries++) {
    uint32_t id = (uint32_t)wn_rng_below(&rng, head->ids);
    if (!wn_base_has(t->base, id) || !(wn_norm2(wn_base_row(t->base, id), head->dims) > 0))
      continue;
    t->pick[len++] = id;
  }
  return len;
}

wn_status wn_tune(wn_base *base, const wn_index_options *options, wn_error *err) {
  wn_status status = WN_OK;
  trial t = {.base = base, .factor = 1, .k = options->k};
  wn_delta *delta = wn_calloc(1, sizeof *delta);
  if (t.k > base->head.rows) t.k = base->head.rows > 0 ? base->head.rows : 1;
  base->head.k = t.k;
  base->head.recall = (float)options->recall;
  base->head.exact_lanes = (float)base->head.blocks * WN_SCAN_LANES;
  for (int i = 0; i < WN_COST_STEPS; i++) base->head.cost[i] = base->head.exact_lanes;
  t.delta = delta;
  t.pick = wn_malloc(QUERIES * sizeof *t.pick);
  t.truth = wn_malloc((size_t)QUERIES * t.k * sizeof *t.truth);
  t.found = wn_calloc(QUERIES, sizeof *t.found);
  t.recall = wn_calloc(QUERIES, sizeof *t.recall);
  t.lanes = wn_calloc(QUERIES, sizeof *t.lanes);
  if (delta == NULL || t.pick == NULL || t.truth == NULL || t.found == NULL || t.recall == NULL ||
      t.lanes == NULL) {
    WN_TRY(wn_fail_memory(err));
  }
  t.count = options->queries.count < QUERIES ? options->queries.count : QUERIES;
  if (t.count > 0) t.vectors = options->queries.data;
  if (t.count == 0) t.count = pick_rows(&t, options->seed);
  if (t.count == 0) goto cleanup;
  t.exact = true;
  t.kappa = .3f;
  WN_TRY(run(&t, options->pool, err));
  base->head.exact_lanes = (float)mean_all(t.lanes, t.count);
  t.exact = false;
  if (options->recall >= 1) goto cleanup;
  WN_TRY(measure_levels(&t, base, options, err));
  WN_TRY(measure_costs(&t, base, options, err));
cleanup:
  wn_free(delta);
  wn_free(t.pick);
  wn_free(t.truth);
  wn_free(t.found);
  wn_free(t.recall);
  wn_free(t.lanes);
  return status;
}
