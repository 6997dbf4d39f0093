#ifndef WN_MODEL_RANKER_INTERNAL_H
#define WN_MODEL_RANKER_INTERNAL_H
/* Inside of the ranker's class (ranker.c) and of its sections (ranker_snapshot.c). */

#include "model/light.h"

#define WN_RANKER_VERSION 3

typedef struct wn_ranker {
  wn_model base;
  wn_ranker_head head;
  wn_feature_set set;
  wn_item_facts facts;
  wn_ranker_learnt order[WN_BLEND_HORIZONS];
  wn_light_places places[WN_BLEND_HORIZONS];
  const wn_model *blend; /* of the set; NULL: none */
  wn_objective_model objective[WN_OBJECTIVES_MAX];
  size_t objectives;
  wn_feature_world world;
} wn_ranker;

void wn_ranker_free(wn_model *model);
wn_status wn_ranker_init_places(wn_ranker *ranker, wn_error *err);

wn_status wn_ranker_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err);
wn_status wn_ranker_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err);
wn_status wn_ranker_validate(const wn_model *model, wn_error *err);
/* What trees look at most, by the share of gain: " NAME 12%, NAME 7%". */
void wn_ranker_print_gain(const wn_ranker *ranker, const wn_forest *forest, wn_buf *out);

#endif
