/* The map of items: its points as columns of JSON. */
#include "serve/map.h"
#include "serve/server_internal.h"

#include <math.h>

typedef struct columns {
  wn_json *json;
  const wn_map *map;
  const wn_dict *ids;
} columns;

/* One array over the items that are still there. */
static void put_column(const columns *c, const char *name,
                       void (*put)(const columns *c, uint32_t i)) {
  wn_json_key(c->json, name);
  wn_json_array(c->json);
  for (uint32_t i = 0; i < c->map->layout.count; i++)
    if (!c->map->gone[i]) put(c, i);
  wn_json_end_array(c->json);
}

static void put_id(const columns *c, uint32_t i) {
  wn_json_string(c->json, wn_dict_key(c->ids, c->map->layout.item[i]));
}
/* Five digits are finer than any screen. */
static void put_place(const columns *c, float at) {
  wn_json_double(c->json, round((double)at * 1e5) / 1e5);
}
static void put_x(const columns *c, uint32_t i) {
  put_place(c, c->map->layout.xy[2 * i]);
}
static void put_y(const columns *c, uint32_t i) {
  put_place(c, c->map->layout.xy[2 * i + 1]);
}
static void put_popularity(const columns *c, uint32_t i) {
  wn_item_ix item = c->map->layout.item[i];
  float popular = item < c->map->items ? c->map->popular[item] : 0;
  wn_json_double(c->json,
                 isfinite(popular) && popular > 0 ? round((double)popular * 100) / 100 : 0);
}
static void put_category(const columns *c, uint32_t i) {
  if (c->map->category[i] == WN_MAP_NONE) {
    wn_json_null(c->json);
  } else {
    wn_json_int(c->json, c->map->category[i]);
  }
}

wn_status wn_route_map(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"category", NULL};
  wn_status status = WN_OK;
  wn_map map = {.number = 0};
  wn_json json;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(
      wn_engine_map(http->engine, wn_query_get(&http->query, "category"), &http->arena, &map, err));
  columns c = {.json = &json, .map = &map, .ids = wn_store_items(wn_engine_store(http->engine))};
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "model");
  wn_json_int(&json, (int64_t)map.number);
  wn_json_key(&json, "categories");
  wn_json_array(&json);
  for (uint32_t i = 0; i < wn_dict_count(map.categories); i++)
    wn_json_string(&json, wn_dict_key(map.categories, i));
  wn_json_end_array(&json);
  put_column(&c, "id", put_id);
  put_column(&c, "x", put_x);
  put_column(&c, "y", put_y);
  put_column(&c, "popularity", put_popularity);
  put_column(&c, "category", put_category);
  wn_json_end_object(&json);
cleanup:
  wn_map_clear(&map);
  return status;
}
