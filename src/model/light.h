#ifndef WN_MODEL_LIGHT_H
#define WN_MODEL_LIGHT_H
/* The light ranker: which of a thousand candidates are worth the trees. A linear model over what
 * the generators' own lists say of an item and how many took it, distilled from the trees
 * (light.c). */

#include "model/blend.h"
#include "model/ranker.h"

#define WN_LIGHT_VERSION 1
#define WN_LIGHT_TOP     20  /* of the trees' best … */
#define WN_LIGHT_CUT     200 /* … so many are looked for among so many of its own */

/* Its opinions are those of the feature set that are made from the whole history: the lists that
 * retrieval has anyway. What one says of a candidate is by_place[place] + score · standardised. */
typedef struct wn_light_list {
  wn_blend_list of;
  const float *by_place; /* [len of the list] */
  float score;
} wn_light_list;

/* One candidate, while lists are told. */
typedef struct wn_light_sum {
  float sum;
  uint32_t named; /* by how many lists */
  uint32_t best;  /* place in them; 0 is the first */
} wn_light_sum;
#define WN_LIGHT_NOBODY ((wn_light_sum){0, 0, UINT32_MAX})

/* What the weights make of each place, and ln(1 + place): once for a model, not for each query. */
typedef struct wn_light_places {
  uint32_t depth;
  float *ln;                        /* [WN_LIGHT_PLACES]; all of it is one block */
  float *by_place[WN_OPINIONS_MAX]; /* [depth] of each opinion of whole histories, else NULL */
} wn_light_places;
#define WN_LIGHT_PLACES 1001
WN_MUST_USE wn_status wn_light_places_init(const wn_light *light, const wn_feature_set *set,
                                           wn_light_places *out, wn_error *err);
void wn_light_places_clear(wn_light_places *places);

/* What the light ranker is asked with. */
typedef struct wn_light_view {
  const wn_light *light;
  const wn_light_places *places;
  const wn_item_facts *facts;
} wn_light_view;
/* False: the model has no light ranker for this horizon. */
bool wn_ranker_light(const wn_model *ranker, unsigned horizon, wn_light_view *out);

/* `list` is no longer than the set's depth. */
wn_light_list wn_light_list_of(const wn_light_view *view, uint32_t opinion,
                               const wn_feature_list *list);

static inline void wn_light_say(wn_light_sum *sum, const wn_light_list *list, uint32_t place,
                                float score) {
  sum->sum += list->by_place[place] + list->score * wn_blend_standard(&list->of, score);
  sum->named++;
  if (place < sum->best) sum->best = place;
}

/* All of it: what lists said and what is known of the item; the user's stage is
 * wn_crowd_stage(). */
float wn_light_score(const wn_light_view *view, const wn_light_sum *sum, uint32_t item,
                     float stage);
/* Soon to be asked about this item. */
static inline void wn_light_expect(const wn_light_view *view, uint32_t item) {
  if (item >= view->facts->pulses) return;
  __builtin_prefetch(&view->facts->pulse[item].count);
  __builtin_prefetch(&view->facts->pulse[item].place_squared); /* the next line, now and then */
}

/* Fits to the trees' margins of the table's rows. No light ranker (version 0) where there is
 * nothing to learn. */
WN_MUST_USE wn_status wn_light_fit(const wn_feature_set *set, const wn_ranker_table *table,
                                   const wn_forest *forest, wn_light *out, wn_error *err);
/* On moments held out with all their candidates: fills `kept` and `moments`. */
WN_MUST_USE wn_status wn_light_measure(const wn_feature_set *set, const wn_ranker_table *whole,
                                       const wn_forest *forest, wn_light *light, wn_error *err);
/* What a snapshot says, before it is believed. */
WN_MUST_USE wn_status wn_light_check(const wn_light *light, const char *section, wn_error *err);

#endif
