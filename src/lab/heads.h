#ifndef WN_LAB_HEADS_H
#define WN_LAB_HEADS_H
/* What the weight of each objective does to what users do, told from slates whose weights were
 * perturbed (funnel/perturb.h). */

#include "base/vec.h"
#include "model/objective.h"
#include "store/store.h"

/* A user's day. */
typedef struct wn_head_row {
  uint64_t user;               /* hash; rows of one user stand together */
  double x[WN_OBJECTIVES_MAX]; /* ln of the factor of each weight */
  double slates;
  double y[WN_OBJECTIVES_MAX]; /* shown items that were a success of each objective */
} wn_head_row;

/* Of a weight on an outcome. */
typedef struct wn_head_effect {
  double slope, se; /* successes a slate for each unit of ln weight; NaN: not to be told */
} wn_head_effect;

typedef struct wn_heads {
  wn_objectives objectives;
  WN_VEC(wn_head_row) rows;
  size_t users;
  uint64_t slates;
  double mean[WN_OBJECTIVES_MAX];                              /* successes a slate */
  wn_head_effect effect[WN_OBJECTIVES_MAX][WN_OBJECTIVES_MAX]; /* [weight][outcome] */
} wn_heads;

/* y / slates = a + Σ slope · x by least squares weighted by slates; errors are clustered by user
 * (Liang and Zeger 1986, the sandwich, with G/(G − 1) for G users). Fills all but rows. */
void wn_heads_estimate(wn_heads *heads);
typedef struct wn_heads_ask {
  wn_str surface;
  int64_t since_ms;
} wn_heads_ask;
/* Reads a surface's perturbed slates, then estimates; heads->objectives is given, `signals` bound
 * to the store (wn_signals_bind). */
WN_MUST_USE wn_status wn_heads_read(wn_store *store, const wn_signals *signals,
                                    const wn_heads_ask *ask, wn_heads *heads, wn_error *err);
void wn_heads_clear(wn_heads *heads);

#endif
