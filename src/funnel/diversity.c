/* Similarity for the ordering stage: cosine of a model's item vectors, or Jaccard of the values of
 * an attribute (for single values: equality). Both matrices are positive semidefinite, as a
 * determinant wants. Vectors are gathered and scaled to length 1 once, so that a row is one
 * matrix–vector product. */

#include "base/simd/simd.h"
#include "funnel/diversity.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *left, const void *right) {
  const uint64_t *a = left, *b = right;
  return *a < *b ? -1 : *a > *b;
}

/* Codes are below 2^32; bools follow them, and numbers are kept off both by their bits: a double
 * whose bits are below 2^34 is a denormal, which equals 0 for this purpose. */
static uint64_t number_key(double number) {
  uint64_t bits;
  if (number == 0) number = 0; /* −0 */
  memcpy(&bits, &number, sizeof bits);
  return bits < ((uint64_t)1 << 34) ? (uint64_t)1 << 34 : bits;
}

static uint32_t distinct(uint64_t *keys, uint32_t len) {
  uint32_t kept = 0;
  qsort(keys, len, sizeof *keys, ascending);
  for (uint32_t i = 0; i < len; i++) {
    if (kept == 0 || keys[kept - 1] != keys[i]) keys[kept++] = keys[i];
  }
  return kept;
}

bool wn_values_of(const wn_column *column, wn_item_ix item, wn_arena *arena, wn_values *out) {
  *out = (wn_values){0};
  const wn_cell *cell = column != NULL ? &column->cells[item] : NULL;
  if (cell == NULL || cell->kind == 0) return true;
  out->len = 1;
  switch ((wn_attr_kind)(cell->kind - 1)) {
  case WN_ATTR_STRING: out->one = cell->code; return true;
  case WN_ATTR_NUMBER: out->one = number_key(cell->u.number); return true;
  case WN_ATTR_BOOL: out->one = ((uint64_t)1 << 32) + cell->boolean; return true;
  case WN_ATTR_LIST: break;
  }
  out->len = cell->u.list_len;
  if (out->len == 0) return true;
  out->many = wn_arena_alloc(arena, out->len * sizeof *out->many);
  if (out->many == NULL) return false;
  for (uint32_t i = 0; i < out->len; i++) out->many[i] = column->codes[cell->code + i];
  out->len = distinct(out->many, out->len);
  if (out->len == 1) out->one = out->many[0];
  return true;
}

bool wn_values_hold(const wn_values *values, uint64_t key) {
  const uint64_t *keys = wn_values_keys(values);
  for (uint32_t i = 0; i < values->len; i++) {
    if (keys[i] >= key) return keys[i] == key;
  }
  return false;
}

float wn_values_jaccard(const wn_values *a, const wn_values *b) {
  const uint64_t *x = wn_values_keys(a), *y = wn_values_keys(b);
  uint32_t i = 0, j = 0, shared = 0;
  while (i < a->len && j < b->len) {
    if (x[i] == y[j]) {
      shared++, i++, j++;
    } else if (x[i] < y[j]) {
      i++;
    } else {
      j++;
    }
  }
  uint32_t all = a->len + b->len - shared;
  return all > 0 ? (float)shared / (float)all : 0.0f;
}

/* The item's vector scaled to length 1, or zeros. */
static void unit_vector(const wn_similarity *s, wn_item_ix item, float *out) {
  uint32_t d = 0;
  const float *v = s->model->cls->item_vector(s->model, item, &d);
  float norm = v != NULL && d == s->d ? sqrtf(wn_simd()->dot(v, v, d)) : 0.0f;
  if (!(norm > 0.0f) || !isfinite(norm)) {
    memset(out, 0, s->d * sizeof *out);
    return;
  }
  for (uint32_t k = 0; k < d; k++) out[k] = v[k] / norm;
}

static wn_status gather_vectors(wn_similarity *s, bool *active, wn_error *err) {
  for (size_t i = 0; i < s->len && s->d == 0; i++) {
    if (s->model->cls->item_vector(s->model, s->items[i], &s->d) == NULL) s->d = 0;
  }
  *active = s->d > 0;
  if (!*active) return WN_OK;
  s->vectors = wn_arena_alloc(s->funnel->arena, s->len * s->d * sizeof *s->vectors);
  if (s->vectors == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < s->len; i++) unit_vector(s, s->items[i], s->vectors + i * s->d);
  return WN_OK;
}

static wn_status gather_values(wn_similarity *s, wn_error *err) {
  s->values = wn_arena_alloc(s->funnel->arena, (s->len + 1) * sizeof *s->values);
  if (s->values == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < s->len; i++) {
    if (!wn_values_of(s->column, s->items[i], s->funnel->arena, &s->values[i]))
      return wn_fail_memory(err);
  }
  return WN_OK;
}

wn_status wn_similarity_init(wn_similarity *s, const wn_funnel *funnel, const wn_item_ix *items,
                             size_t len, bool *active, wn_error *err) {
  const wn_surface *surface = funnel->surface;
  const wn_models *models = funnel->request->models;
  const char *by = surface->diversity_by;
  wn_status status = WN_OK;
  *s = (wn_similarity){.funnel = funnel, .items = items, .len = len};
  *active = false;
  if (by[0] == '\0' || surface->mmr_lambda >= 1.0f || len == 0) return WN_OK;
  if (!surface->diversity_is_model) {
    s->column = wn_catalog_column(funnel->request->catalog, wn_str_of(by));
    *active = s->column != NULL;
    if (*active) status = gather_values(s, err);
  } else {
    s->model = models != NULL ? wn_models_find(models, by) : NULL;
    if (s->model != NULL && s->model->cls->item_vector != NULL)
      status = gather_vectors(s, active, err);
  }
  if (status == WN_OK && !*active)
    wn_funnel_note(funnel, "no diversity: no candidate has %s \"%s\"",
                   surface->diversity_is_model ? "a vector of" : "the attribute", by);
  return status;
}

void wn_similarity_row(const wn_similarity *s, size_t at, float *row) {
  if (s->vectors != NULL)
    wn_simd()->gemv(s->vectors, s->len, s->d, s->vectors + at * s->d, s->d, row);
  else
    for (size_t i = 0; i < s->len; i++) row[i] = wn_values_jaccard(&s->values[at], &s->values[i]);
  row[at] = 1;
}
