#ifndef WN_SERVE_MAP_H
#define WN_SERVE_MAP_H
/* All items in two dimensions, as training laid them out (model/layout.h). */

#include "model/layout.h"
#include "serve/engine.h"

#define WN_MAP_NONE 255 /* category: the item has none, or one too many */

typedef struct wn_map {
  wn_snapshot *snapshot; /* a reference: the layout lives in it */
  uint64_t number;
  wn_layout layout;
  uint32_t items;
  float *popular;      /* [items] */
  wn_dict *categories; /* of the attribute asked for */
  uint8_t *category;   /* [layout.count] its code, or WN_MAP_NONE */
  bool *gone;          /* [layout.count] deleted since */
} wn_map;

/* WN_E_NOT_READY: no snapshot, or one without a map. `attribute` may be absent. Free with
 * wn_map_clear. */
WN_MUST_USE wn_status wn_engine_map(wn_engine *engine, wn_str attribute, wn_arena *arena,
                                    wn_map *out, wn_error *err);
void wn_map_clear(wn_map *map);

#endif
