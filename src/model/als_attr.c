/* Item vectors from what items say about themselves: a ridge regression of ALS's factors on the
 * content model's term weights, for items that have no events yet.
 *
 * Source: Gantner, Drumond, Freudenthaler, Rendle, Schmidt-Thieme, "Learning Attribute-to-Feature
 * Mappings for Cold-Start Recommendations" (2010), their linear mapping by least squares:
 *     M = (XᵀPX + λI)⁻¹ XᵀPV,    v(new) = cold_scale · Mᵀx.
 * X: one row an item with events, its content vector (content_vector.c: BM25 weights of words and
 * attribute values, norm 1); V: those items' factors; P = min(events, 50), because factors of
 * items with few events are mostly ridge.
 *
 * Solved by attr_ridge.c. Terms that fewer than two items with events have get no row; of more
 * than TERMS_MAX terms the rarest are left out.
 *
 * Departure: a vector without events keeps `cold_scale` of its length. That nobody took an item
 * is evidence, and one that is as long as those of items with events displaces what they ask for.
 *
 * Memory while it runs: 8 bytes an entry of X, and M itself, 4·d bytes a term, beside what
 * attr_ridge.c takes. */
#include "model/als.h"
#include "base/mem.h"
#include "base/simd/simd.h"
#include "model/attr_ridge.h"

#include <math.h>
#include <string.h>

#define TERMS_MAX  ((uint32_t)1 << 16)
#define EVENTS_MAX 50 /* of an item, that count */

typedef struct attr_fit {
  wn_als *als;
  const wn_dataset *data;
  const wn_content *content;
  const float *target; /* [items × d] */
  double lambda;
  uint32_t items; /* with events and terms */
  uint32_t rows;  /* terms that count */
  uint32_t *row_of;
  uint32_t *item_of; /* [items] */
  float *weight;     /* [items] P */
  uint64_t *ptr;     /* [items + 1] */
  uint32_t *col;
  float *x;
  float *m; /* [rows × d] */
} attr_fit;

static void fit_clear(attr_fit *f) {
  void *all[] = {f->item_of, f->weight, f->ptr, f->col, f->x};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
}

uint32_t wn_als_item_events(const wn_csr *by_item, wn_item_ix item) {
  uint32_t n = 0;
  for (uint64_t i = by_item->row_ptr[item]; i < by_item->row_ptr[item + 1]; i++) {
    n += wn_csr_weight(by_item, i) > 0;
  }
  return n;
}

/* Which terms count, and how often they occur in items with events (into row_of, for now). */
static uint32_t least_frequency(const attr_fit *f, uint32_t terms) {
  uint32_t least = 2, kept = terms;
  for (;; least++) {
    kept = 0;
    for (uint32_t t = 0; t < terms; t++) kept += f->row_of[t] >= least;
    if (kept <= TERMS_MAX) return least;
  }
}

static uint64_t count_terms(attr_fit *f) {
  const wn_content *c = f->content;
  uint64_t entries = 0;
  for (uint32_t i = 0; i < c->head.items && i < f->data->items; i++) {
    if (c->item_ptr[i] == c->item_ptr[i + 1] || wn_als_item_events(&f->data->by_item, i) == 0)
      continue;
    f->items++;
    for (uint64_t k = c->item_ptr[i]; k < c->item_ptr[i + 1]; k++) f->row_of[c->item_term[k]]++;
    entries += c->item_ptr[i + 1] - c->item_ptr[i];
  }
  uint32_t least = least_frequency(f, c->head.terms);
  for (uint32_t t = 0; t < c->head.terms; t++) {
    f->row_of[t] = f->row_of[t] >= least ? f->rows++ : WN_NO_IX;
  }
  return entries;
}

static void gather(attr_fit *f) {
  const wn_content *c = f->content;
  uint32_t n = 0;
  uint64_t at = 0;
  for (uint32_t i = 0; n < f->items; i++) {
    uint32_t events = wn_als_item_events(&f->data->by_item, i);
    if (c->item_ptr[i] == c->item_ptr[i + 1] || events == 0) continue;
    f->item_of[n] = i;
    f->weight[n] = (float)(events < EVENTS_MAX ? events : EVENTS_MAX);
    for (uint64_t k = c->item_ptr[i]; k < c->item_ptr[i + 1]; k++) {
      uint32_t row = f->row_of[c->item_term[k]];
      if (row == WN_NO_IX) continue;
      f->col[at] = row;
      f->x[at] = c->item_weight[k];
      at++;
    }
    f->ptr[++n] = at;
  }
}

static wn_status solve(attr_fit *f, const wn_fit_env *env, wn_error *err) {
  size_t terms = f->content->head.terms, d = f->als->head.d;
  f->row_of = wn_als_own(f->als, terms, sizeof *f->row_of);
  if (f->row_of == NULL) return wn_fail_memory(err);
  size_t entries = (size_t)count_terms(f);
  f->m = wn_als_own(f->als, f->rows * d, sizeof *f->m);
  f->item_of = wn_calloc((size_t)f->items + 1, sizeof *f->item_of);
  f->weight = wn_calloc((size_t)f->items + 1, sizeof *f->weight);
  f->ptr = wn_calloc((size_t)f->items + 1, sizeof *f->ptr);
  f->col = wn_calloc(entries + 1, sizeof *f->col);
  f->x = wn_calloc(entries + 1, sizeof *f->x);
  if (f->m == NULL || f->item_of == NULL || f->weight == NULL || f->ptr == NULL || f->col == NULL ||
      f->x == NULL) {
    return wn_fail_memory(err);
  }
  gather(f);
  const wn_attr_ridge ridge = {.rows = f->items,
                               .terms = f->rows,
                               .ptr = f->ptr,
                               .term = f->col,
                               .x = f->x,
                               .weight = f->weight,
                               .of = f->item_of,
                               .target = f->target,
                               .d = d,
                               .lambda = f->lambda};
  wn_status status = wn_attr_ridge_solve(&ridge, "attributes of items", env->pool, f->m, err);
  if (status != WN_OK) return status;
  f->als->head.attr_terms = (uint32_t)terms;
  f->als->head.attr_rows = f->rows;
  f->als->attr_row_of = f->row_of;
  f->als->attr = f->m;
  return WN_OK;
}

/* The run's content model, or one of its own with the run's options. */
static wn_status content_model(const wn_dataset *data, const wn_fit_env *env, wn_model **own,
                               const wn_content **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_content;
  const wn_model *fitted = env->fitted != NULL ? wn_models_find(env->fitted, cls->name) : NULL;
  if (fitted == NULL) {
    wn_train_spec spec = {.cls = cls};
    wn_params_defaults(cls, &spec.params);
    for (size_t i = 0; env->run != NULL && i < env->run->models_len; i++) {
      if (env->run->models[i].cls == cls) spec.params = env->run->models[i].params;
    }
    wn_status status = wn_fit_one(data, &spec, env, own, err);
    if (status != WN_OK) return status;
    fitted = *own;
  }
  *out = (const wn_content *)fitted;
  return WN_OK;
}

bool wn_als_attr_vector(const wn_als *als, const wn_term_weight *terms, size_t len, float *out) {
  size_t d = als->head.d;
  bool any = false;
  memset(out, 0, d * sizeof *out);
  for (size_t i = 0; i < len; i++) {
    uint32_t row =
        terms[i].term < als->head.attr_terms ? als->attr_row_of[terms[i].term] : WN_NO_IX;
    if (row == WN_NO_IX) continue;
    wn_simd()->axpy(terms[i].weight, als->attr + row * d, out, d);
    any = true;
  }
  return any;
}

/* Fills in the rows of items without events. */
static void place_cold(const attr_fit *f, float *factors) {
  wn_als *als = f->als;
  for (uint32_t i = 0; i < f->data->items && i < f->content->head.items; i++) {
    wn_term_weight terms[WN_CONTENT_TERMS_MAX];
    if (wn_als_item_events(&f->data->by_item, i) > 0) continue;
    size_t len = wn_content_vector_of(f->content, i, terms);
    float *v = factors + (size_t)i * als->head.d;
    if (wn_als_attr_vector(als, terms, len, v)) {
      wn_simd()->scale((float)als->head.cold_scale, v, als->head.d);
    }
  }
}

wn_status wn_als_attr_fit(const wn_dataset *data, const wn_fit_env *env, double lambda, wn_als *als,
                          float *factors, wn_error *err) {
  attr_fit f = {.als = als, .data = data, .target = factors, .lambda = lambda};
  wn_model *own = NULL;
  wn_status status = WN_OK;
  if (data->items_source.scan == NULL || !(lambda > 0)) return WN_OK;
  WN_TRY(content_model(data, env, &own, &f.content, err));
  WN_TRY(solve(&f, env, err));
  place_cold(&f, factors);
cleanup:
  fit_clear(&f);
  if (own != NULL) own->cls->free(own);
  return status;
}
