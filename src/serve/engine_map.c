/* The snapshot's map of items, with what colours and sizes it: for people, not for slates. */
#include "serve/map.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve/engine_internal.h"
#include <math.h>
#include <string.h>

enum { STEP = 8192, CATEGORIES_MAX = 250 }; /* items between two holds of the lock; colours */

/* What any model of popularity says of every item; zeros when there is none. */
static wn_status popularity(wn_engine *engine, wn_arena *arena, float *out, uint32_t items,
                            wn_error *err) {
  const wn_model *model = wn_models_find(&engine->serving->models, "popular");
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .now_ms = wn_now_ms(), .arena = arena};
  return model == NULL ? WN_OK : model->cls->score_all(model, &query, out, items, err);
}

/* Under the lock: a reference to the snapshot, and how popular its items are. */
static wn_status pin(wn_engine *engine, wn_arena *arena, wn_map *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_snapshot *snapshot = engine->serving->snapshot;
  if (snapshot == NULL) return wn_fail(err, WN_E_NOT_READY, "", "no snapshot has been trained yet");
  out->items = wn_catalog_count(engine->catalog);
  out->popular = wn_calloc((size_t)out->items + 1, sizeof *out->popular);
  if (out->popular == NULL) return wn_fail_memory(err);
  WN_TRY(popularity(engine, arena, out->popular, out->items, err));
  out->snapshot = wn_snapshot_ref(snapshot);
  out->number = engine->serving->about.number;
cleanup:
  return status;
}

/* The code of an item's (first) value; the column's codes are mapped to ours in order of arrival.
 */
static uint8_t category_of(wn_map *map, const wn_column *column, wn_item_ix item) {
  const wn_cell *cell = &column->cells[item];
  uint32_t code;
  if (cell->kind == WN_ATTR_STRING + 1) {
    code = cell->code;
  } else if (cell->kind == WN_ATTR_LIST + 1 && cell->u.list_len > 0) {
    code = column->codes[cell->code];
  } else {
    return WN_MAP_NONE;
  }
  wn_str name = wn_dict_key(column->values, code);
  uint32_t at = wn_dict_find(map->categories, name);
  bool added = false;
  if (at == WN_NO_IX && wn_dict_count(map->categories) >= CATEGORIES_MAX) return WN_MAP_NONE;
  if (at == WN_NO_IX && wn_dict_add(map->categories, name, &at, &added) != WN_OK)
    return WN_MAP_NONE;
  return (uint8_t)at;
}

static void read_step(wn_engine *engine, wn_map *map, wn_str attribute, uint32_t from) {
  const wn_column *column =
      attribute.len > 0 ? wn_catalog_column(engine->catalog, attribute) : NULL;
  for (uint32_t i = from; i < map->layout.count && i < from + STEP; i++) {
    wn_item_ix item = map->layout.item[i];
    map->gone[i] = wn_catalog_status(engine->catalog, item) == WN_ITEM_DELETED;
    map->category[i] = column != NULL && item < wn_catalog_count(engine->catalog)
                           ? category_of(map, column, item)
                           : WN_MAP_NONE;
  }
}

wn_status wn_engine_map(wn_engine *engine, wn_str attribute, wn_arena *arena, wn_map *out,
                        wn_error *err) {
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  pthread_rwlock_rdlock(&engine->lock);
  status = pin(engine, arena, out, err);
  pthread_rwlock_unlock(&engine->lock);
  if (status != WN_OK) goto cleanup;
  WN_TRY(wn_layout_map(out->snapshot, &out->layout, err));
  if (out->layout.count == 0)
    WN_TRY(wn_fail(err, WN_E_NOT_READY, "",
                   "the snapshot has no map: it was trained without a model of vectors (als)"));
  out->categories = wn_dict_create();
  out->category = wn_calloc(out->layout.count, 1);
  out->gone = wn_calloc(out->layout.count, sizeof *out->gone);
  if (out->categories == NULL || out->category == NULL || out->gone == NULL)
    WN_TRY(wn_fail_memory(err));
  for (uint32_t from = 0; from < out->layout.count; from += STEP) {
    pthread_rwlock_rdlock(&engine->lock);
    read_step(engine, out, attribute, from);
    pthread_rwlock_unlock(&engine->lock);
  }
cleanup:
  if (status != WN_OK) wn_map_clear(out);
  return status;
}

void wn_map_clear(wn_map *map) {
  wn_snapshot_unref(map->snapshot);
  wn_dict_free(map->categories);
  wn_free(map->popular);
  wn_free(map->category);
  wn_free(map->gone);
  memset(map, 0, sizeof *map);
}
