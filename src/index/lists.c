/* Lays rows out: nearest list, within a list the rows that can score high first, blocks of 16,
 * codes. Rows alike lie in one block, so that its bound is close to each of them. The sort key is
 * the score that a row reaches where half of its rest counts (ip, cosine), or its distance (l2);
 * ties by id.
 *
 * Cost: n·lists·dims int8 products and n·dims to code; deterministic, list by list. */
#include "index/lists.h"
#include "base/mem.h"
#include "index/tiers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct placed {
  float key, along, rest;
  uint32_t id;
} placed;

typedef struct layout {
  const wn_base_task *task;
  uint32_t *pick; /* present ids */
  uint32_t *list; /* of pick[i] */
  uint32_t count;
  uint32_t *begin; /* [lists + 1] into `rows` */
  placed *rows;
  wn_base *base;
  wn_code_fit *fit; /* [lists] */
  float *row2;      /* [lists] greatest ‖x‖² */
} layout;

static bool is_present(const wn_base_task *task, uint32_t id) {
  return task->present == NULL || ((task->present[id >> 6] >> (id & 63)) & 1) != 0;
}

/* Nearest centres within a tier, for its rows among `unknown`. */
static wn_status find_in_tier(layout *l, uint32_t tier, const uint32_t *places, uint32_t count,
                              wn_error *err) {
  const wn_base_task *task = l->task;
  const wn_tiers *tiers = task->tiers;
  uint32_t first = tiers->first[tier], lists = tiers->first[tier + 1] - first;
  wn_coarse *coarse = NULL;
  wn_status status;
  uint32_t *ids = wn_malloc((size_t)count * sizeof *ids);
  uint32_t *found = wn_malloc((size_t)count * sizeof *found);
  if (ids == NULL || found == NULL) WN_TRY(wn_fail_memory(err));
  for (uint32_t i = 0; i < count; i++) ids[i] = l->pick[places[i]];
  WN_TRY(wn_coarse_create(task->axes, task->centres + (size_t)first * task->dims, lists,
                          task->metric, &coarse, err));
  if (!wn_coarse_assign(coarse, task->rows, ids, count, task->pool, found)) {
    WN_TRY(wn_fail_memory(err));
  }
  for (uint32_t i = 0; i < count; i++) l->list[places[i]] = first + found[i];
cleanup:
  wn_coarse_free(coarse);
  wn_free(ids);
  wn_free(found);
  return status;
}

static wn_status find_lists(layout *l, wn_error *err) {
  const wn_base_task *task = l->task;
  wn_status status = WN_OK;
  uint32_t begin[WN_TIERS_MAX + 2] = {0};
  uint32_t *places = wn_malloc((size_t)l->count * sizeof *places);
  uint8_t *tier = wn_malloc(l->count);
  if (places == NULL || tier == NULL) WN_TRY(wn_fail_memory(err));
  for (uint32_t i = 0; i < l->count; i++) {
    uint32_t id = l->pick[i];
    l->list[i] = task->known != NULL ? task->known[id] : WN_NO_ID;
    if (l->list[i] != WN_NO_ID) continue;
    tier[i] = (uint8_t)wn_tier_of(task->tiers, task->rows + (size_t)id * task->dims, task->dims);
    begin[tier[i] + 2]++;
  }
  for (uint32_t t = 2; t < WN_TIERS_MAX + 2; t++) begin[t] += begin[t - 1];
  for (uint32_t i = 0; i < l->count; i++) {
    if (l->list[i] == WN_NO_ID) places[begin[tier[i] + 1]++] = i;
  }
  for (uint32_t t = 0; t < task->tiers->count; t++) {
    if (begin[t] == begin[t + 1]) continue;
    WN_TRY(find_in_tier(l, t, places + begin[t], begin[t + 1] - begin[t], err));
  }
cleanup:
  wn_free(places);
  wn_free(tier);
  return status;
}

static void group_rows(layout *l) {
  uint32_t lists = l->task->lists;
  for (uint32_t i = 0; i < l->count; i++) l->begin[l->list[i] + 2]++;
  for (uint32_t c = 2; c <= lists + 1; c++) l->begin[c] += l->begin[c - 1];
  for (uint32_t i = 0; i < l->count; i++) {
    l->rows[l->begin[l->list[i] + 1]++].id = l->pick[i];
  }
}

static int by_key(const void *a, const void *b) {
  const placed *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return x->id < y->id ? -1 : 1;
}

static double dot_double(const float *a, const float *b, uint32_t dims) {
  double sum[4] = {0};
  uint32_t i = 0;
  for (; i + 4 <= dims; i += 4) {
    for (uint32_t l = 0; l < 4; l++) sum[l] += (double)a[i + l] * (double)b[i + l];
  }
  for (; i < dims; i++) sum[0] += (double)a[i] * (double)b[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Where a row lies in its list. */
static void measure(const wn_base_task *task, uint32_t list, placed *row) {
  const float *x = task->rows + (size_t)row->id * task->dims;
  const float *centre = task->centres + (size_t)list * task->dims;
  double norm2 = wn_norm2(x, task->dims), dot = dot_double(x, centre, task->dims);
  if (task->metric == WN_METRIC_L2) {
    double d2 = 0;
    for (uint32_t i = 0; i < task->dims; i++) {
      double d = (double)x[i] - (double)centre[i];
      d2 += d * d;
    }
    row->along = row->rest = (float)sqrt(d2);
    row->key = -row->along;
    return;
  }
  if (task->metric == WN_METRIC_COSINE) {
    dot = norm2 > 0 ? dot / sqrt(norm2) : 0;
    norm2 = norm2 > 0 ? 1 : 0;
  }
  double rest2 = norm2 - dot * dot;
  row->along = (float)dot;
  row->rest = rest2 > 0 ? (float)sqrt(rest2) : 0;
  row->key = row->along + .5f * row->rest;
}

static void sort_lists(void *ctx, size_t begin, size_t end, int worker) {
  layout *l = ctx;
  (void)worker;
  for (size_t c = begin; c < end; c++) {
    for (uint32_t i = l->begin[c]; i < l->begin[c + 1]; i++) {
      measure(l->task, (uint32_t)c, &l->rows[i]);
    }
    if (l->begin[c + 1] > l->begin[c]) {
      qsort(l->rows + l->begin[c], l->begin[c + 1] - l->begin[c], sizeof *l->rows, by_key);
    }
  }
}

/* Codes, ids and bounds of block b from `n` ≤ 16 rows. */
static void fill_block(layout *l, uint32_t b, const placed *rows, uint32_t n, uint32_t list) {
  const wn_base_task *task = l->task;
  wn_base *base = l->base;
  uint8_t *codes = (uint8_t *)wn_base_part(base, WN_PART_CODES) + (size_t)b * base->groups * 64;
  wn_scan_fit *fits = wn_base_part(base, WN_PART_FITS);
  float *bias = (float *)wn_base_part(base, WN_PART_BIAS) + (size_t)b * 16;
  uint32_t *ids = (uint32_t *)wn_base_part(base, WN_PART_IDS) + (size_t)b * 16;
  wn_bound *bounds = wn_base_part(base, WN_PART_BOUNDS);
  float *inverses = wn_base_part(base, WN_PART_INVERSES);
  float high = rows[0].along, low = high, rest = 0, most = 0;
  wn_code_rows coded = {.count = n};
  for (uint32_t i = 0; i < 16; i++) ids[i] = i < n ? rows[i].id : WN_NO_ID;
  for (uint32_t i = 0; i < n; i++) {
    const float *x = task->rows + (size_t)rows[i].id * task->dims;
    double norm2 = wn_norm2(x, task->dims);
    coded.row[i] = x;
    coded.factor[i] = 1;
    if (task->metric == WN_METRIC_L2) {
      bias[i] = -(float)norm2;
      if ((float)norm2 > l->row2[list]) l->row2[list] = (float)norm2;
    }
    if (task->metric == WN_METRIC_COSINE) {
      coded.factor[i] = inverses[rows[i].id] = wn_inverse_norm(norm2);
    }
    high = rows[i].along > high ? rows[i].along : high;
    low = rows[i].along < low ? rows[i].along : low;
    rest = rows[i].rest > rest ? rows[i].rest : rest;
    float size = task->metric == WN_METRIC_L2 ? rows[i].along : hypotf(rows[i].along, rows[i].rest);
    most = size > most ? size : most;
  }
  fits[b] = wn_code_block(task->axes, &coded, codes, &l->fit[list]);
  most *= WN_BOUND_SLACK;
  bounds[b] = (wn_bound){high + most, low - most, rest + most};
}

static void fill_lists(void *ctx, size_t begin, size_t end, int worker) {
  layout *l = ctx;
  (void)worker;
  for (size_t c = begin; c < end; c++) {
    uint32_t at = l->begin[c], stop = l->begin[c + 1];
    for (uint32_t b = l->base->lists[c]; b < l->base->lists[c + 1]; b++, at += 16) {
      fill_block(l, b, l->rows + at, stop - at < 16 ? stop - at : 16, (uint32_t)c);
    }
  }
}

static void fill_centres(layout *l) {
  const wn_base_task *task = l->task;
  float *out = wn_base_part(l->base, WN_PART_CENTRES);
  size_t rows = wn_centre_dims(task->metric, task->dims);
  for (uint32_t c = 0; c < task->lists; c++) {
    float *block = out + (size_t)(c / 16) * rows * 16;
    const float *centre = task->centres + (size_t)c * task->dims;
    for (uint32_t j = 0; j < task->dims; j++) block[(size_t)j * 16 + c % 16] = centre[j];
    if (rows > task->dims) {
      block[(size_t)task->dims * 16 + c % 16] = (float)wn_norm2(centre, task->dims);
    }
  }
}

static wn_status make_base(layout *l, wn_error *err) {
  const wn_base_task *task = l->task;
  wn_image_header head = {.metric = task->metric,
                          .dims = task->dims,
                          .ids = task->ids,
                          .rows = l->count,
                          .kept = task->axes->kept,
                          .spread = task->axes->spread,
                          .lists = task->lists,
                          .tiers = *task->tiers,
                          .k = 1};
  uint64_t blocks = 0;
  for (uint32_t c = 0; c < task->lists; c++) blocks += (l->begin[c + 1] - l->begin[c] + 15) / 16;
  head.blocks = (uint32_t)blocks;
  wn_status status = wn_base_create(&head, &l->base, err);
  if (status != WN_OK) return status;
  uint32_t *first = wn_base_part(l->base, WN_PART_LISTS);
  uint64_t *present = wn_base_part(l->base, WN_PART_PRESENT);
  for (uint32_t c = 0; c < task->lists; c++) {
    first[c + 1] = first[c] + (l->begin[c + 1] - l->begin[c] + 15) / 16;
  }
  for (uint32_t i = 0; i < l->count; i++) {
    present[l->pick[i] >> 6] |= (uint64_t)1 << (l->pick[i] & 63);
  }
  fill_centres(l);
  if (task->axes->blocks != NULL) {
    memcpy(wn_base_part(l->base, WN_PART_AXES), task->axes->blocks,
           wn_axes_bytes(task->dims, task->axes->kept));
  }
  wn_for_all(task->pool, task->lists, 4, fill_lists, l);
  for (uint32_t c = 0; c < task->lists; c++) {
    wn_image_header *to = &l->base->head;
    if (l->fit[c].error > to->code_error) to->code_error = l->fit[c].error;
    if (l->fit[c].norm > to->code_norm) to->code_norm = l->fit[c].norm;
    if (l->row2[c] > to->row2_max) to->row2_max = l->row2[c];
  }
  return WN_OK;
}

wn_status wn_base_build(const wn_base_task *task, wn_base **out, wn_error *err) {
  wn_status status;
  layout l = {.task = task};
  l.pick = wn_malloc((size_t)task->ids * sizeof *l.pick);
  l.list = wn_malloc((size_t)task->ids * sizeof *l.list);
  l.rows = wn_malloc((size_t)task->ids * sizeof *l.rows);
  l.begin = wn_calloc((size_t)task->lists + 2, sizeof *l.begin);
  l.fit = wn_calloc(task->lists, sizeof *l.fit);
  l.row2 = wn_calloc(task->lists, sizeof *l.row2);
  if (l.pick == NULL || l.list == NULL || l.rows == NULL || l.begin == NULL || l.fit == NULL ||
      l.row2 == NULL) {
    WN_TRY(wn_fail_memory(err));
  }
  for (uint32_t id = 0; id < task->ids; id++) {
    if (is_present(task, id)) l.pick[l.count++] = id;
  }
  WN_TRY(find_lists(&l, err));
  group_rows(&l);
  wn_for_all(task->pool, task->lists, 4, sort_lists, &l);
  WN_TRY(make_base(&l, err));
  WN_TRY(wn_base_derive(l.base, err));
  *out = l.base;
  l.base = NULL;
cleanup:
  wn_base_free(l.base);
  wn_free(l.pick);
  wn_free(l.list);
  wn_free(l.rows);
  wn_free(l.begin);
  wn_free(l.fit);
  wn_free(l.row2);
  return status;
}
