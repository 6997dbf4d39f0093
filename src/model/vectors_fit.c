/* Making the vectors: the imported ones of the dataset, or those that an encoder makes of titles
 * and texts, one pass over the catalogue. All are scaled to norm 1; items without one (zeros, no
 * known word) are left out. Memory: 4·d bytes an item. One thread; an item's vector depends on
 * nothing but the item, so the order of the catalogue does not matter. */
#include "model/vectors.h"
#include "base/mem.h"
#include "model/train.h"

#include <string.h>

typedef struct vectors_build {
  wn_vectors *m;
  const wn_fit_env *env;
  float *rows;  /* [items × d] while an encoder works: an item's row is its own */
  uint8_t *has; /* [items] */
  wn_item_ix *item_of;
  uint32_t done;
} vectors_build;

static bool allocate(vectors_build *b, size_t rows) {
  size_t d = b->m->head.d;
  b->rows = wn_calloc(rows > 0 ? rows : 1, d > 0 ? d * sizeof *b->rows : 1);
  b->item_of = wn_calloc(rows > 0 ? rows : 1, sizeof *b->item_of);
  b->m->owned[0] = b->rows;
  b->m->owned[1] = b->item_of;
  b->m->rows = b->rows;
  b->m->item_of = b->item_of;
  return b->rows != NULL && b->item_of != NULL;
}

static wn_status take_imported(vectors_build *b, const wn_item_vectors *from, wn_error *err) {
  wn_vectors *m = b->m;
  size_t d = from->d;
  m->head.d = from->d;
  if (!allocate(b, from->len)) return wn_fail_memory(err);
  for (uint32_t i = 0; i < from->len && from->item[i] < m->head.items; i++) {
    float *x = b->rows + m->head.count * d;
    if (!from->read(from->ctx, i, x))
      return wn_fail(err, WN_E_CORRUPT, "vectors", "a number is not finite");
    if (wn_vectors_normalise(x, d)) b->item_of[m->head.count++] = from->item[i];
  }
  return WN_OK;
}

static wn_status encode_item(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err) {
  vectors_build *b = ctx;
  size_t d = b->m->head.d;
  if (b->done++ % 1024 == 0 &&
      !wn_progress_at(b->env->progress, "vectors", b->done, b->m->head.items, "items"))
    return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
  if (ix >= b->m->head.items) return WN_OK;
  float *x = b->rows + ix * d;
  b->has[ix] = wn_model2vec_encode(b->m->encoder, item, x) && wn_vectors_normalise(x, d);
  return WN_OK;
}

static wn_status encode_items(vectors_build *b, const wn_item_source *source, wn_error *err) {
  wn_vectors *m = b->m;
  wn_status status = WN_OK;
  m->head.encodes = 1;
  m->head.d = wn_model2vec_d(m->encoder);
  size_t d = m->head.d;
  b->has = wn_calloc((size_t)m->head.items + 1, sizeof *b->has);
  if (b->has == NULL || !allocate(b, m->head.items)) WN_TRY(wn_fail_memory(err));
  if (source->scan != NULL) WN_TRY(source->scan(source->ctx, encode_item, b, err));
  for (uint32_t ix = 0; ix < m->head.items; ix++) {
    if (b->has[ix] == 0) continue;
    if (m->head.count < ix)
      memcpy(b->rows + m->head.count * d, b->rows + ix * d, d * sizeof *b->rows);
    b->item_of[m->head.count++] = ix;
  }
cleanup:
  wn_free(b->has);
  return status;
}

static wn_status build(vectors_build *b, const wn_dataset *data, wn_error *err) {
  const char *folder = b->env->run != NULL ? b->env->run->model2vec : "";
  if (folder[0] == '\0') return take_imported(b, &data->vectors, err);
  if (data->vectors.len > 0)
    return wn_fail(err, WN_E_CONFLICT, "vectors.model2vec",
                   "goes without imported vectors: delete DIR/vectors.wns or the key");
  wn_status status = wn_model2vec_load(folder, &b->m->encoder, err);
  return status == WN_OK ? encode_items(b, &data->items_source, err) : status;
}

wn_status wn_vectors_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                         wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_vectors;
  wn_vectors *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  m->head = (wn_vectors_head){.version = 1,
                              .items = data->items,
                              .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                              .tau_query = wn_param(cls, params, "tau_query")};
  vectors_build b = {.m = m, .env = env};
  wn_status status = build(&b, data, err);
  if (status != WN_OK) {
    wn_vectors_free(&m->base);
    return status;
  }
  *out = &m->base;
  return WN_OK;
}
