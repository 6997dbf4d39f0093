/* All items in two dimensions.
 *
 * Source: McInnes, Healy, Melville 2018, "UMAP: Uniform Manifold Approximation and Projection", on
 * nearest neighbours by cosine: each item's likeness to its K nearest becomes a fuzzy membership
 * (§3.1: distance beyond the nearest's, over a width σ at which memberships add up to log₂ K), the
 * two directions are united (w + w′ − w·w′), and the layout descends the cross entropy by sampling
 * edges in proportion to w and items at random to be pushed away (§3.2). It begins with the two
 * principal components, which settle where continents lie.
 *
 * Departures: nearness in the plane is 1 / (1 + distance²), that of t-SNE and LargeVis (Tang et al.
 * 2016): UMAP's a = b = 1, which needs no power function; both ends of an edge move and push others
 * away, since each edge is held once.
 *
 * Cost: layout_near.c, then EPOCHS · edges · (1 + 2 · PUSHED) updates; edges at most K · n. Memory:
 * 12 · K · n bytes beside the neighbours. One thread walks the edges in a fixed order: the same
 * bits for any number of threads. */

#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/simd.h"
#include "base/sort.h"
#include "base/vec.h"
#include "model/layout.h"
#include "model/linalg.h"
#include "model/section.h"
#include <math.h>

enum { K = 15, PUSHED = 3, EPOCHS = 200, EPOCHS_MANY = 100, MANY = 20000, D_MAX = 1024 };

typedef struct edge {
  uint32_t a, b;
  float weight;
} edge;
typedef WN_VEC(edge) edges;

/* Two principal axes of rows of norm 1; false: there are none. */
static bool principal(const double *gram, size_t d, double *matrix, double *values, double *work) {
  memcpy(matrix, gram, d * d * sizeof *matrix);
  if (!wn_eigen_symmetric(matrix, d, values, work)) return false;
  for (size_t axis = 0; axis < 2 && axis < d; axis++) {
    size_t best = axis;
    for (size_t k = axis + 1; k < d; k++)
      if (values[k] > values[best]) best = k;
    double value = values[axis];
    values[axis] = values[best];
    values[best] = value;
    for (size_t k = 0; k < d; k++) {
      double x = matrix[axis * d + k];
      matrix[axis * d + k] = matrix[best * d + k];
      matrix[best * d + k] = x;
    }
  }
  return true;
}

/* Covariance instead of second moments: the first axis is not the mean. */
static void centre(double *gram, const float *rows, uint32_t n, uint32_t d) {
  double mean[D_MAX] = {0};
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < d; k++) mean[k] += rows[i * d + k];
  for (size_t r = 0; r < d; r++)
    for (size_t c = 0; c < d; c++) gram[r * d + c] -= mean[r] * mean[c] / n;
}

/* Where the layout begins: on the principal axes, ten wide, with a little noise to tell equals
 * apart. */
static void project(const float *rows, uint32_t n, uint32_t d, const double *axes, float *xy) {
  double largest = 1e-12;
  for (size_t i = 0; i < n; i++) {
    for (size_t axis = 0; axis < 2; axis++) {
      double sum = 0;
      for (size_t k = 0; k < d && axis < d; k++) sum += rows[i * d + k] * axes[axis * d + k];
      xy[2 * i + axis] = (float)sum;
      if (fabs(sum) > largest) largest = fabs(sum);
    }
  }
  for (size_t i = 0; i < 2 * (size_t)n; i++) {
    double noise = (double)(wn_mix64(i) >> 40) / (1 << 24) - 0.5;
    xy[i] = (float)(10 * xy[i] / largest + 0.02 * noise);
  }
}

static wn_status begin(wn_pool *pool, const float *rows, uint32_t n, uint32_t d, float *xy,
                       wn_error *err) {
  wn_status status = WN_OK;
  double *gram = wn_calloc((size_t)d * d, sizeof *gram);
  double *axes = wn_calloc((size_t)d * d, sizeof *axes);
  double *values = wn_calloc(2 * (size_t)d, sizeof *values);
  if (gram == NULL || axes == NULL || values == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_gram(pool, rows, n, d, gram, err));
  centre(gram, rows, n, d);
  if (!principal(gram, d, axes, values, values + d)) memset(axes, 0, (size_t)d * d * sizeof *axes);
  project(rows, n, d, axes, xy);
cleanup:
  wn_free(gram);
  wn_free(axes);
  wn_free(values);
  return status;
}

/* A row's likenesses become memberships, in place. */
static void fuzzy(float *like, const uint32_t *row, uint32_t k) {
  double from = 0, to = 1e4, width = 1, target = log2(k);
  uint32_t len = 0;
  while (len < k && row[len] != WN_NO_IX) len++;
  if (len == 0) return;
  double nearest = 1 - like[0];
  for (int step = 0; step < 40; step++) {
    double sum = 0;
    for (uint32_t i = 0; i < len; i++) sum += exp(-((1 - like[i]) - nearest) / width);
    if (sum > target) {
      to = width;
    } else {
      from = width;
    }
    width = to < 1e4 ? (from + to) / 2 : 2 * width;
    if (width < 1e-6) break;
  }
  for (uint32_t i = 0; i < len; i++) like[i] = (float)exp(-((1 - like[i]) - nearest) / width);
}

static float membership(const wn_near *near, uint32_t of, uint32_t in) {
  for (uint32_t i = 0; i < near->k; i++)
    if (near->row[(size_t)in * near->k + i] == of) return near->like[(size_t)in * near->k + i];
  return 0;
}

static wn_status unite(const wn_near *near, uint32_t n, edges *out, wn_error *err) {
  for (uint32_t i = 0; i < n; i++) {
    for (uint32_t a = 0; a < near->k; a++) {
      uint32_t j = near->row[(size_t)i * near->k + a];
      if (j == WN_NO_IX) break;
      float there = near->like[(size_t)i * near->k + a], back = membership(near, i, j);
      if (back > 0 && j < i) continue; /* held by j */
      edge e = {.a = i, .b = j, .weight = there + back - there * back};
      if (!wn_vec_push(out, e)) return wn_fail_memory(err);
    }
  }
  return WN_OK;
}

static float clip(float x) {
  return x > 4 ? 4 : x < -4 ? -4 : x;
}

static void pull(float *a, float *b, float rate) {
  float dx = a[0] - b[0], dy = a[1] - b[1];
  float strength = -2.0f / (1.0f + dx * dx + dy * dy);
  float x = rate * clip(strength * dx), y = rate * clip(strength * dy);
  a[0] += x;
  a[1] += y;
  b[0] -= x;
  b[1] -= y;
}

static void push(float *a, const float *b, float rate) {
  float dx = a[0] - b[0], dy = a[1] - b[1], square = dx * dx + dy * dy;
  float strength = 2.0f / ((0.001f + square) * (1.0f + square));
  a[0] += rate * clip(strength * dx);
  a[1] += rate * clip(strength * dy);
}

/* An edge of weight w is drawn in each of w / largest of the epochs, evenly. */
static void descend(const edges *all, uint32_t n, float *xy) {
  wn_rng rng;
  int epochs = n > MANY ? EPOCHS_MANY : EPOCHS;
  wn_rng_seed(&rng, n);
  for (int epoch = 0; epoch < epochs; epoch++) {
    float rate = 1.0f - (float)epoch / (float)epochs;
    for (size_t e = 0; e < all->len; e++) {
      const edge *one = &all->data[e];
      if ((int)(one->weight * (float)(epoch + 1)) == (int)(one->weight * (float)epoch)) continue;
      float *a = xy + 2 * (size_t)one->a, *b = xy + 2 * (size_t)one->b;
      pull(a, b, rate);
      for (int p = 0; p < PUSHED; p++) {
        push(a, xy + 2 * (size_t)wn_rng_below(&rng, n), rate);
        push(b, xy + 2 * (size_t)wn_rng_below(&rng, n), rate);
      }
    }
  }
}

static void scale(float *xy, uint32_t n) {
  double mean[2] = {0, 0}, largest = 1e-12;
  for (size_t i = 0; i < 2 * (size_t)n; i++) mean[i & 1] += xy[i] / (double)n;
  for (size_t i = 0; i < 2 * (size_t)n; i++)
    if (fabs(xy[i] - mean[i & 1]) > largest) largest = fabs(xy[i] - mean[i & 1]);
  for (size_t i = 0; i < 2 * (size_t)n; i++) xy[i] = (float)((xy[i] - mean[i & 1]) / largest);
}

static void normalise(float *rows, uint32_t n, uint32_t d) {
  for (size_t i = 0; i < n; i++) {
    float *row = rows + i * d, norm = sqrtf(wn_simd()->dot(row, row, d));
    for (size_t k = 0; k < d; k++) row[k] /= norm;
  }
}

wn_status wn_layout_fit(wn_pool *pool, float *rows, uint32_t n, uint32_t d, float *xy,
                        wn_error *err) {
  wn_status status = WN_OK;
  wn_near near = {.k = n > K ? K : n > 1 ? n - 1 : 1};
  edges all = {0};
  if (n == 0) return WN_OK;
  near.row = wn_calloc((size_t)n * near.k, sizeof *near.row);
  near.like = wn_calloc((size_t)n * near.k, sizeof *near.like);
  if (near.row == NULL || near.like == NULL) WN_TRY(wn_fail_memory(err));
  normalise(rows, n, d);
  WN_TRY(begin(pool, rows, n, d, xy, err));
  WN_TRY(wn_near_fit(pool, rows, n, d, &near, err));
  for (size_t i = 0; i < n; i++) fuzzy(near.like + i * near.k, near.row + i * near.k, near.k);
  WN_TRY(unite(&near, n, &all, err));
  descend(&all, n, xy);
  scale(xy, n);
cleanup:
  wn_vec_clear(&all);
  wn_free(near.row);
  wn_free(near.like);
  return status;
}

/* In a snapshot ------------------------------------------------------------------------ */

static const wn_model *with_vectors(const wn_models *models) {
  const wn_model *als = wn_models_find(models, "als");
  return als != NULL ? als : wn_models_find(models, "vectors");
}

static bool usable(float square) {
  return square > 1e-12f && isfinite(square);
}

wn_status wn_layout_choose(const wn_model *model, uint32_t items, uint32_t max, wn_item_ix *out,
                           uint32_t *out_len, wn_error *err) {
  uint64_t *key = wn_calloc((size_t)items + 1, sizeof *key);
  uint32_t count = 0, d;
  if (key == NULL) return wn_fail_memory(err);
  for (wn_item_ix i = 0; i < items; i++) {
    const float *x = model->cls->item_vector(model, i, &d);
    float square = x != NULL ? wn_simd()->dot(x, x, d) : 0;
    if (usable(square)) key[count++] = (uint64_t)wn_sort_falling(square) << 32 | i;
  }
  if (count > max) wn_select_u64(key, count, max);
  if (count > max) count = max;
  for (uint32_t i = 0; i < count; i++) key[i] &= UINT32_MAX;
  wn_sort_u64(key, count);
  for (uint32_t i = 0; i < count; i++) out[i] = (wn_item_ix)key[i];
  wn_free(key);
  *out_len = count;
  return WN_OK;
}

/* The vectors of these items one after another, shape[1] floats each. */
static wn_status gather(const wn_model *model, const wn_item_ix *item, uint32_t *shape,
                        float **rows, wn_error *err) {
  if (shape[0] > 0) (void)model->cls->item_vector(model, item[0], &shape[1]);
  if (shape[1] > D_MAX) shape[0] = 0;
  *rows = wn_calloc((size_t)shape[0] * shape[1] + 1, sizeof **rows);
  if (*rows == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < shape[0]; i++) {
    uint32_t d;
    const float *x = model->cls->item_vector(model, item[i], &d);
    memcpy(*rows + (size_t)i * shape[1], x, shape[1] * sizeof **rows);
  }
  return WN_OK;
}

wn_status wn_layout_write(wn_pool *pool, const wn_models *models, uint32_t items,
                          wn_snapshot_writer *writer, wn_error *err) {
  wn_status status = WN_OK;
  const wn_model *model = with_vectors(models);
  float *rows = NULL, *xy = NULL;
  wn_item_ix *item = NULL;
  uint32_t shape[2] = {0, 0};
  if (model == NULL) return WN_OK;
  item = wn_calloc((size_t)items + 1, sizeof *item);
  if (item == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_layout_choose(model, items, WN_LAYOUT_ITEMS_MAX, item, &shape[0], err));
  WN_TRY(gather(model, item, shape, &rows, err));
  if (shape[0] == 0) goto cleanup;
  xy = wn_calloc(2 * (size_t)shape[0], sizeof *xy);
  if (xy == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_layout_fit(pool, rows, shape[0], shape[1], xy, err));
  WN_TRY(wn_snapshot_write(writer, "map/item", item, (uint64_t)shape[0] * sizeof *item, err));
  WN_TRY(wn_snapshot_write(writer, "map/xy", xy, 2 * (uint64_t)shape[0] * sizeof *xy, err));
cleanup:
  wn_free(rows);
  wn_free(item);
  wn_free(xy);
  return status;
}

wn_status wn_layout_map(const wn_snapshot *snapshot, wn_layout *out, wn_error *err) {
  wn_status status = WN_OK;
  const void *item = NULL;
  uint64_t count = 0;
  *out = (wn_layout){.count = 0};
  if (!wn_snapshot_has(snapshot, "map/item")) return WN_OK;
  WN_TRY(wn_snapshot_section(snapshot, "map/item", sizeof(wn_item_ix), &item, &count, err));
  if (count > WN_LAYOUT_ITEMS_MAX) WN_TRY(wn_fail(err, WN_E_CORRUPT, "map/item", "too many items"));
  WN_TRY(wn_section_indexes(snapshot, "map/item", count, wn_snapshot_about_of(snapshot)->items,
                            &out->item, err));
  WN_TRY(wn_section_floats(snapshot, "map/xy", 2 * count, &out->xy, err));
  out->count = (uint32_t)count;
cleanup:
  return status;
}
