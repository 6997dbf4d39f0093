/* Tiers by norm. For inner products a few rows of high norm answer most queries; spread over all
 * lists, each costs a visit. So rows are split by norm first (norm ranging: Yan et al., NeurIPS
 * 2018) and each tier is clustered by itself: the lists of the first tier are few, full of rows
 * that can score high, and lie together, where a cache holds them. The bounds of lists and blocks
 * then do the rest as everywhere; where norms are flat there is one tier.
 *
 * There are tiers when one row in sixteen is longer than the median by √2. How many rows make the
 * first is measured: the least 1/2^j of them by norm that holds three quarters of what up to 128
 * sample queries find in a sample of rows, but no more than a quarter. Further tiers are 16 times
 * as large, the last takes what is left. (That share alone would not do: rows of the same direction
 * and slightly different norms give a high one, too, and are better left together.)
 *
 * Cost: 128 · 65,536 · dims products beside the clustering. Deterministic. */
#include "index/tiers.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/simd.h"

#include <string.h>

#define CLASSES     32768u /* norms by the upper half of the float: steps of 1/128 of an octave */
#define SAMPLE      65536u
#define QUERIES     128u
#define HALVINGS    24u
#define TIER_LEAST  1024u
#define TIER_GROWTH 16u

typedef struct norms {
  const wn_vectors *rows;
  const wn_bitset *present; /* NULL: all */
  uint32_t count;           /* rows that are */
  float *norm;              /* [rows] */
  uint32_t *above;          /* [CLASSES + 1] rows in this class and those above */
} norms;

static uint32_t class_of(float norm) {
  uint32_t bits;
  memcpy(&bits, &norm, sizeof bits);
  return bits >> 16;
}

static void measure_norms(void *ctx, size_t begin, size_t end, int worker) {
  norms *n = ctx;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    n->norm[i] = (float)sqrt(wn_norm2(n->rows->data + i * n->rows->dims, n->rows->dims));
  }
}

static bool is_present(const norms *n, uint32_t row) {
  return n->present == NULL || wn_bitset_test(n->present, row);
}

static void count_classes(norms *n) {
  for (uint32_t i = 0; i < n->rows->count; i++) {
    if (is_present(n, i)) n->above[class_of(n->norm[i])]++;
  }
  for (uint32_t c = CLASSES; c-- > 0;) n->above[c] += n->above[c + 1];
}

/* The least norm such that at least `wanted` rows have it or more. */
static float norm_floor(const norms *n, uint32_t wanted) {
  uint32_t c = CLASSES - 1;
  while (c > 0 && n->above[c] < wanted) c--;
  uint32_t bits = c << 16;
  float norm;
  memcpy(&norm, &bits, sizeof norm);
  return norm;
}

/* Adds to found[j] the results of one query whose norm is among the first 1/2^j, not 1/2^(j+1). */
static void find_sample(const norms *n, const float *query, wn_topk *top, uint64_t *found) {
  const wn_vectors *rows = n->rows;
  uint32_t step = rows->count / SAMPLE + 1;
  for (uint32_t i = 0; i < rows->count; i += step) {
    if (!is_present(n, i)) continue;
    wn_topk_push(top, i, wn_simd()->dot(query, rows->data + (size_t)i * rows->dims, rows->dims));
  }
  size_t count = wn_topk_sort(top);
  for (size_t r = 0; r < count; r++) {
    uint32_t j = 0, place = n->above[class_of(n->norm[top->heap[r].ix])];
    while (j + 1 < HALVINGS && place <= n->count >> (j + 1)) j++;
    found[j]++;
  }
}

/* The greatest j for which the first 1/2^j of rows by norm hold three quarters of the results. */
static wn_status head_of(const norms *n, const wn_index_options *options, uint32_t *head,
                         wn_error *err) {
  const wn_vectors *rows = n->rows;
  bool own = options->queries.count == 0;
  uint32_t from = own ? rows->count : options->queries.count;
  uint32_t queries = from < QUERIES ? from : QUERIES;
  uint32_t k = (uint32_t)((uint64_t)options->k * SAMPLE / rows->count);
  uint64_t found[HALVINGS] = {0}, sum = 0, total = 0;
  k = k > options->k ? options->k : k < 8 ? 8 : k;
  wn_scored *room = wn_reallocarray(NULL, k, sizeof *room);
  if (room == NULL) return wn_fail_memory(err);
  for (uint32_t q = 0; q < queries; q++) {
    size_t at = (size_t)q * from / queries;
    wn_topk top;
    wn_topk_init(&top, room, k);
    find_sample(n, (own ? rows->data : options->queries.data) + at * rows->dims, &top, found);
  }
  wn_free(room);
  for (uint32_t j = 0; j < HALVINGS; j++) total += found[j];
  uint32_t j = HALVINGS;
  while (j > 0 && (j == HALVINGS || 4 * sum < 3 * total)) sum += found[--j];
  *head = j;
  return WN_OK;
}

static uint32_t lists_for(double rows, double factor) {
  if (rows < 512) return 1;
  uint32_t lists = (uint32_t)(factor * sqrt(rows)) / 16 * 16;
  return lists < 16 ? 16 : lists;
}

static bool norms_differ(const norms *n) {
  uint32_t count = n->count;
  return norm_floor(n, count / 16) > 1.41421356f * norm_floor(n, count / 2);
}

/* Tiers of about count/2^head rows and from there on. */
static void set_tiers(const norms *n, uint32_t head, wn_tiers *tiers) {
  uint32_t count = n->count, before = 0;
  uint64_t wanted = count >> head;
  *tiers = (wn_tiers){0};
  if (wanted < TIER_LEAST) wanted = TIER_LEAST;
  for (; wanted <= count / 4 && tiers->count + 1 < WN_TIERS_MAX; wanted *= TIER_GROWTH) {
    float floor = norm_floor(n, (uint32_t)wanted);
    uint32_t here = n->above[class_of(floor)];
    if (!(floor > 0) || here > count / 2) break; /* many alike */
    tiers->floor[tiers->count] = floor;
    tiers->first[tiers->count + 1] = tiers->first[tiers->count] + lists_for(here - before, 1.5);
    before = here;
    tiers->count++;
  }
  double factor = tiers->count > 0 ? 1 : 3;
  tiers->first[tiers->count + 1] = tiers->first[tiers->count] + lists_for(count - before, factor);
  tiers->count++;
}

static wn_status cluster_tiers(const norms *n, const wn_index_options *options, const wn_axes *axes,
                               const wn_tiers *tiers, float *centres, wn_error *err) {
  uint32_t count = n->rows->count, dims = n->rows->dims;
  wn_status status = WN_OK;
  float *weights = wn_reallocarray(NULL, count, sizeof *weights);
  if (weights == NULL) return wn_fail_memory(err);
  for (uint32_t t = 0; t < tiers->count && status == WN_OK; t++) {
    uint32_t first = tiers->first[t], lists = tiers->first[t + 1] - first;
    if (lists == 1) continue; /* one list around 0 */
    for (uint32_t i = 0; i < count; i++) {
      weights[i] = tiers->count == 1 ||
                   (n->norm[i] >= tiers->floor[t] && (t == 0 || n->norm[i] < tiers->floor[t - 1]));
    }
    wn_cluster_task task = {.rows = n->rows->data,
                            .ids = count,
                            .dims = dims,
                            .axes = axes,
                            .weights = weights,
                            .metric = options->metric,
                            .lists = lists,
                            .seed = options->seed,
                            .pool = options->pool,
                            .progress = options->progress};
    status = wn_cluster(&task, centres + (size_t)first * dims, err);
  }
  wn_free(weights);
  return status;
}

wn_status wn_tiers_find(const wn_vectors *rows, const wn_axes *axes,
                        const wn_index_options *options, wn_tiers *tiers, float **centres,
                        wn_error *err) {
  wn_status status;
  norms n = {.rows = rows, .present = options->present, .count = rows->count};
  uint32_t head = 0;
  bool given = options->lists != WN_INDEX_LISTS_AUTO;
  if (n.present != NULL) n.count = (uint32_t)wn_bitset_count(n.present);
  n.norm = wn_reallocarray(NULL, (size_t)rows->count + 1, sizeof *n.norm);
  n.above = wn_calloc(CLASSES + 1, sizeof *n.above);
  if (n.norm == NULL || n.above == NULL) WN_TRY(wn_fail_memory(err));
  *tiers = (wn_tiers){.count = 1, .first = {0, 1}};
  if (given && options->lists > 1) tiers->first[1] = options->lists;
  if (!given && n.count >= 4096) {
    wn_for_all(options->pool, rows->count, 4096, measure_norms, &n);
    count_classes(&n);
    if (options->metric == WN_METRIC_IP && norms_differ(&n)) {
      WN_TRY(head_of(&n, options, &head, err));
      if (head < 2) head = 2;
    }
    set_tiers(&n, head, tiers);
  }
  *centres = wn_calloc((size_t)tiers->first[tiers->count] * rows->dims, sizeof **centres);
  if (*centres == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(cluster_tiers(&n, options, axes, tiers, *centres, err));
cleanup:
  wn_free(n.norm);
  wn_free(n.above);
  return status;
}
