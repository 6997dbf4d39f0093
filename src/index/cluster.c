/* Lloyd's k-means (spherical: Dhillon and Modha, Machine Learning 42, 2001) on a sample of at most
 * 64 rows a list, 10 rounds. Departures: the nearest centre is found with int8 codes, which
 * mistakes only near ties; an empty centre moves to a row of the largest cluster. Rows of norm 0
 * have no direction and stay out.
 *
 * Cost: rounds · sample · lists · dims int8 products. Deterministic: rows are assigned one by one,
 * and each centre adds up its own rows in their order. */
#include "index/cluster.h"
#include "base/mem.h"
#include "base/rng.h"
#include "index/codes.h"

#include <math.h>
#include <string.h>

#define SAMPLE_PER_LIST 64u
#define ROUNDS          10
#define TILE            4u

struct wn_coarse {
  wn_scan_blocks blocks;
  wn_axes axes;
  uint32_t lists;
  wn_metric metric;
  uint8_t *codes;
  wn_scan_fit *fits;
  float *bias;
};

void wn_for_all(wn_pool *pool, size_t n, size_t grain, wn_pool_fn *fn, void *ctx) {
  if (n == 0) return;
  if (pool != NULL) {
    wn_pool_run(pool, n, grain, fn, ctx);
  } else {
    fn(ctx, 0, n, 0);
  }
}

void wn_coarse_free(wn_coarse *coarse) {
  if (coarse == NULL) return;
  wn_free(coarse->codes);
  wn_free(coarse->fits);
  wn_free(coarse->bias);
  wn_free(coarse);
}

wn_status wn_coarse_create(const wn_axes *axes, const float *centres, uint32_t lists,
                           wn_metric metric, wn_coarse **out, wn_error *err) {
  size_t blocks = ((size_t)lists + 15) / 16, groups = ((size_t)axes->kept + 3) / 4;
  wn_coarse *coarse = wn_calloc(1, sizeof *coarse);
  if (coarse == NULL) return wn_fail_memory(err);
  coarse->codes = wn_calloc(blocks * groups, 64);
  coarse->fits = wn_calloc(blocks, sizeof *coarse->fits);
  coarse->bias = wn_calloc(blocks * 16, sizeof *coarse->bias);
  if (coarse->codes == NULL || coarse->fits == NULL || coarse->bias == NULL) {
    wn_coarse_free(coarse);
    return wn_fail_memory(err);
  }
  coarse->axes = *axes;
  coarse->lists = lists;
  coarse->metric = metric;
  wn_code_fit fit = {0};
  for (size_t b = 0; b < blocks; b++) {
    wn_code_rows rows = {.count = lists - b * 16 < 16 ? lists - (uint32_t)b * 16 : 16};
    for (size_t l = 0; l < 16; l++) {
      float *bias = &coarse->bias[b * 16 + l];
      if (l >= rows.count) {
        *bias = -INFINITY; /* never the nearest */
        continue;
      }
      const float *centre = centres + (b * 16 + l) * axes->dims;
      rows.row[l] = centre;
      rows.factor[l] = 1;
      if (metric == WN_METRIC_L2) *bias = -(float)wn_norm2(centre, axes->dims);
    }
    coarse->fits[b] = wn_code_block(axes, &rows, coarse->codes + b * groups * 64, &fit);
  }
  coarse->blocks = (wn_scan_blocks){coarse->codes, coarse->fits, coarse->bias, blocks, groups};
  *out = coarse;
  return WN_OK;
}

const wn_scan_blocks *wn_coarse_blocks(const wn_coarse *coarse) {
  return &coarse->blocks;
}

typedef struct assign_task {
  const wn_coarse *coarse;
  const float *rows;
  const uint32_t *pick;
  uint32_t *list;
  atomic_bool failed;
} assign_task;

/* The first greatest of n (a multiple of 16), lane by lane so that it vectorises. */
static uint32_t argmax(const float *x, size_t n) {
  float best[16];
  uint32_t at[16];
  for (uint32_t l = 0; l < 16; l++) best[l] = x[l], at[l] = 0;
  for (uint32_t b = 1; b < n / 16; b++) {
    for (uint32_t l = 0; l < 16; l++) {
      bool more = x[b * 16 + l] > best[l];
      best[l] = more ? x[b * 16 + l] : best[l];
      at[l] = more ? b : at[l];
    }
  }
  uint32_t winner = 0;
  for (uint32_t l = 1; l < 16; l++) {
    if (best[l] > best[winner] || (best[l] == best[winner] && at[l] < at[winner])) winner = l;
  }
  return at[winner] * 16 + winner;
}

static void assign_rows(void *ctx, size_t begin, size_t end, int worker) {
  assign_task *task = ctx;
  const wn_coarse *coarse = task->coarse;
  size_t lanes = coarse->blocks.count * 16, padded = coarse->blocks.groups * 4;
  float *out = wn_malloc(TILE * lanes * sizeof *out);
  int8_t *codes = wn_malloc(TILE * padded);
  (void)worker;
  if (out == NULL || codes == NULL) {
    atomic_store(&task->failed, true);
    end = begin;
  }
  for (size_t at = begin; at < end; at += TILE) {
    size_t n = end - at < TILE ? end - at : TILE;
    wn_scan_query queries[TILE];
    for (size_t i = 0; i < n; i++) {
      wn_probe probe;
      size_t row = task->pick != NULL ? task->pick[at + i] : at + i;
      wn_metric metric = coarse->metric == WN_METRIC_L2 ? WN_METRIC_L2 : WN_METRIC_IP;
      wn_probe_init(&probe, &coarse->axes, task->rows + row * coarse->axes.dims, metric, 0,
                    codes + i * padded);
      queries[i] = probe.scan;
    }
    wn_scan()->score(&coarse->blocks, queries, n, out, lanes);
    for (size_t i = 0; i < n; i++) task->list[at + i] = argmax(out + i * lanes, lanes);
  }
  wn_free(out);
  wn_free(codes);
}

bool wn_coarse_assign(const wn_coarse *coarse, const float *rows, const uint32_t *pick,
                      size_t count, wn_pool *pool, uint32_t *list) {
  if (coarse->lists == 1) {
    memset(list, 0, count * sizeof *list);
    return true;
  }
  assign_task task = {.coarse = coarse, .rows = rows, .pick = pick, .list = list};
  wn_for_all(pool, count, 4096, assign_rows, &task);
  return !atomic_load(&task.failed);
}

typedef struct state {
  const wn_cluster_task *task;
  float *centres;
  uint32_t *sample, sample_len;
  uint32_t *list;    /* [sample_len] */
  uint32_t *members; /* [sample_len] places in the sample, list by list */
  uint32_t *begin;   /* [lists + 1] */
} state;

/* A sorted random choice of rows (Knuth's algorithm S), so that memory is read in order. */
static void choose_sample(state *s, uint32_t wanted) {
  const wn_cluster_task *task = s->task;
  uint32_t left = 0;
  wn_rng rng;
  wn_rng_seed(&rng, task->seed);
  for (uint32_t i = 0; i < task->ids; i++) left += task->weights == NULL || task->weights[i] > 0;
  uint32_t need = wanted < left ? wanted : left;
  for (uint32_t i = 0; i < task->ids && need > 0; i++) {
    if (task->weights != NULL && !(task->weights[i] > 0)) continue;
    if (wn_rng_below(&rng, left--) >= need) continue;
    s->sample[s->sample_len++] = i;
    need--;
  }
}

/* centre = row, of length 1 unless l2 */
static void place_centre(const wn_cluster_task *task, float *centre, const float *row) {
  memcpy(centre, row, task->dims * sizeof *centre);
  if (task->metric == WN_METRIC_L2) return;
  double norm = sqrt(wn_norm2(row, task->dims));
  for (uint32_t i = 0; i < task->dims && norm > 0; i++) centre[i] = (float)(row[i] / norm);
}

static const float *sample_row(const state *s, uint32_t place) {
  return s->task->rows + (size_t)s->sample[place] * s->task->dims;
}

/* Distinct random rows (a partial shuffle of places). */
static bool first_centres(state *s) {
  uint32_t *places = wn_malloc((size_t)s->sample_len * sizeof *places);
  wn_rng rng;
  if (places == NULL) return false;
  wn_rng_seed(&rng, s->task->seed ^ UINT64_C(0x9e3779b97f4a7c15));
  for (uint32_t i = 0; i < s->sample_len; i++) places[i] = i;
  for (uint32_t c = 0; c < s->task->lists; c++) {
    uint32_t at = c % s->sample_len;
    uint32_t other = at + (uint32_t)wn_rng_below(&rng, s->sample_len - at), moved = places[other];
    places[other] = places[at];
    places[at] = moved;
    place_centre(s->task, s->centres + (size_t)c * s->task->dims, sample_row(s, moved));
  }
  wn_free(places);
  return true;
}

/* Counting sort of the sample by list. */
static void group_members(state *s) {
  uint32_t lists = s->task->lists;
  memset(s->begin, 0, ((size_t)lists + 2) * sizeof *s->begin);
  for (uint32_t i = 0; i < s->sample_len; i++) s->begin[s->list[i] + 2]++;
  for (uint32_t c = 2; c <= lists + 1; c++) s->begin[c] += s->begin[c - 1];
  for (uint32_t i = 0; i < s->sample_len; i++) s->members[s->begin[s->list[i] + 1]++] = i;
}

static void mean_centres(void *ctx, size_t begin, size_t end, int worker) {
  state *s = ctx;
  uint32_t dims = s->task->dims;
  double sum[WN_INDEX_DIMS_MAX];
  (void)worker;
  for (size_t c = begin; c < end; c++) {
    uint32_t from = s->begin[c], to = s->begin[c + 1];
    if (from == to) continue;
    memset(sum, 0, dims * sizeof *sum);
    for (uint32_t m = from; m < to; m++) {
      const float *row = sample_row(s, s->members[m]);
      double weight = 1;
      if (s->task->metric != WN_METRIC_L2) {
        double norm2 = wn_norm2(row, dims);
        weight = norm2 > 0 ? 1 / sqrt(norm2) : 0;
      }
      for (uint32_t i = 0; i < dims; i++) sum[i] += weight * (double)row[i];
    }
    double length = to - from;
    if (s->task->metric != WN_METRIC_L2) {
      length = 0;
      for (uint32_t i = 0; i < dims; i++) length += sum[i] * sum[i];
      length = sqrt(length);
    }
    float *centre = s->centres + c * dims;
    for (uint32_t i = 0; i < dims && length > 0; i++) centre[i] = (float)(sum[i] / length);
  }
}

/* Each empty centre takes a row of the cluster that is largest, less what others took from it. */
static void refill_empty(state *s) {
  uint32_t lists = s->task->lists, largest = 0, taken = 0;
  for (uint32_t c = 0; c < lists; c++) {
    if (s->begin[c] != s->begin[c + 1]) continue;
    if (taken == 0) {
      for (uint32_t o = 0; o < lists; o++) {
        if (s->begin[o + 1] - s->begin[o] > s->begin[largest + 1] - s->begin[largest]) largest = o;
      }
    }
    uint32_t size = s->begin[largest + 1] - s->begin[largest];
    uint32_t place = s->members[s->begin[largest] + taken++ * 7919u % size];
    place_centre(s->task, s->centres + (size_t)c * s->task->dims, sample_row(s, place));
  }
}

static wn_status one_round(state *s, wn_error *err) {
  const wn_cluster_task *task = s->task;
  wn_coarse *coarse;
  wn_status status =
      wn_coarse_create(task->axes, s->centres, task->lists, task->metric, &coarse, err);
  if (status != WN_OK) return status;
  bool done = wn_coarse_assign(coarse, task->rows, s->sample, s->sample_len, task->pool, s->list);
  wn_coarse_free(coarse);
  if (!done) return wn_fail_memory(err);
  group_members(s);
  wn_for_all(task->pool, task->lists, 8, mean_centres, s);
  refill_empty(s);
  return WN_OK;
}

wn_status wn_cluster(const wn_cluster_task *task, float *centres, wn_error *err) {
  wn_status status = WN_OK;
  state s = {.task = task, .centres = centres};
  uint64_t wanted = (uint64_t)task->lists * SAMPLE_PER_LIST;
  if (wanted > task->ids) wanted = task->ids;
  memset(centres, 0, (size_t)task->lists * task->dims * sizeof *centres);
  s.sample = wn_malloc((size_t)wanted * sizeof *s.sample);
  s.list = wn_malloc((size_t)wanted * sizeof *s.list);
  s.members = wn_malloc((size_t)wanted * sizeof *s.members);
  s.begin = wn_malloc(((size_t)task->lists + 2) * sizeof *s.begin);
  if (s.sample == NULL || s.list == NULL || s.members == NULL || s.begin == NULL) {
    WN_TRY(wn_fail_memory(err));
  }
  choose_sample(&s, (uint32_t)wanted);
  if (s.sample_len == 0 || task->lists == 1) goto cleanup; /* one centre at 0 */
  if (!first_centres(&s)) WN_TRY(wn_fail_memory(err));
  for (int round = 0; round < ROUNDS; round++) {
    if (!wn_progress_at(task->progress, "cluster", round, ROUNDS, "rounds")) {
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    }
    WN_TRY(one_round(&s, err));
  }
cleanup:
  wn_free(s.sample);
  wn_free(s.list);
  wn_free(s.members);
  wn_free(s.begin);
  return status;
}
