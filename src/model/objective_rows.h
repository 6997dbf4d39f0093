#ifndef WN_MODEL_OBJECTIVE_ROWS_H
#define WN_MODEL_OBJECTIVE_ROWS_H
/* One objective's view of the rows, and what places do to it: inside of the fit. */

#include "model/ranker.h"

#define WN_HELD_SHARE 5 /* one user of so many is held out of the trees */

typedef struct wn_objective_view {
  const wn_objective_rows *rows;
  size_t k;
} wn_objective_view;

static inline bool wn_view_known(const wn_objective_view *v, size_t i) {
  return v->rows->unknown == NULL || (v->rows->unknown[i] >> v->k & 1) == 0;
}
static inline bool wn_view_success(const wn_objective_view *v, size_t i) {
  return (v->rows->success[i] >> v->k & 1) != 0;
}
static inline bool wn_view_held_out(const wn_objective_view *v, size_t i) {
  return v->rows->unit[i] % WN_HELD_SHARE == 0;
}
/* Place 1 … WN_PLACES; 0: not known. */
static inline uint32_t wn_view_place(const wn_objective_view *v, size_t i) {
  uint32_t place = v->rows->place != NULL ? v->rows->place[i] : 0;
  return place < WN_PLACES ? place : WN_PLACES;
}

/* seen[place]: the chance of a look, 1 at the first place and where it is not known. */

/* From what was drawn by chance. False: too little of it. */
bool wn_places_by_chance(const wn_objective_view *view, float seen[WN_PLACES + 1]);
/* From successes alone, as if all places showed items alike. */
void wn_places_by_successes(const wn_objective_view *view, float seen[WN_PLACES + 1]);
/* Better, given the margins of what would be a success if seen. */
void wn_places_improve(const wn_objective_view *view, const float *margin,
                       float seen[WN_PLACES + 1]);

#endif
