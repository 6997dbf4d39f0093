#ifndef WN_MODEL_BLEND_H
#define WN_MODEL_BLEND_H
/* Inside of the blend: what one list of a member is worth (shared with the funnel's score stage, so
 * that both give the same numbers) and how weights are fitted (blend_fit.c). */

#include "model/model.h"

#include <math.h>

#define WN_BLEND_NAME_MAX 31

/* What a member's opinion weighs: an item at `rank` (0: first) of its list of the best gets
 * score · (s − last) / deviation + rank · 11 / (11 + place) + log · ln(1 + (s − last) / c). Which
 * of them are nonzero is the form that training chose (blend_weights.h). */
typedef struct wn_blend_weight {
  float score, rank, log; /* finite, ≥ 0; all 0: the member is not asked */
} wn_blend_weight;

static inline bool wn_blend_asks(const wn_blend_weight *weight) {
  return weight->score > 0 || weight->rank > 0 || weight->log > 0;
}

/* One list, best first. */
typedef struct wn_blend_list {
  float last;  /* the least score */
  float scale; /* 1 / deviation; 0 where all are equal */
  float steep; /* deviation / c, where c is the mean of s − last */
} wn_blend_list;

wn_blend_list wn_blend_list_of(const wn_scored *list, size_t len);

static inline float wn_blend_standard(const wn_blend_list *list, float score) {
  float z = (score - list->last) * list->scale;
  return z > 0 ? z : 0; /* NaN, too */
}
static inline float wn_blend_place(size_t place) {
  return 11.0f / (11.0f + (float)place);
}
static inline float wn_blend_log(const wn_blend_list *list, float score) {
  return log1pf(list->steep * wn_blend_standard(list, score));
}
static inline float wn_blend_points(const wn_blend_weight *weight, const wn_blend_list *list,
                                    size_t place, float score) {
  float points =
      weight->score * wn_blend_standard(list, score) + weight->rank * wn_blend_place(place);
  return weight->log > 0 ? points + weight->log * wn_blend_log(list, score) : points;
}

/* What the blend of `set` gives to its member `name` for a query, with *depth, how long its lists
 * are; false: no blend there, or it does not know the member. */
bool wn_blend_weight_of(const struct wn_models *set, const char *name, const wn_query *query,
                        wn_blend_weight *weight, uint32_t *depth);

/* What is asked for: what a user takes next while she is at it, or all that she takes once she is
 * back after a while. Each has weights of its own. */
enum { WN_BLEND_NEXT, WN_BLEND_LATER, WN_BLEND_HORIZONS };

/* Snapshot section "blend/members", one a member. */
typedef struct wn_blend_member {
  char name[WN_BLEND_NAME_MAX + 1];
  wn_blend_weight weight[WN_BLEND_HORIZONS];
  float alone[WN_BLEND_HORIZONS]; /* NDCG of the member by itself on the held-out items */
} wn_blend_member;

/* Snapshot section "blend/head". */
typedef struct wn_blend_head {
  uint32_t version;
  uint32_t members;
  uint32_t items;
  uint32_t depth; /* of each member's list */
  uint32_t k;     /* of the NDCG */
  uint32_t reserved;
  uint64_t users[WN_BLEND_HORIZONS]; /* that the weights were fitted on */
  double ndcg[WN_BLEND_HORIZONS];    /* of the blend on the held-out items */
  /* A query no longer than this after the user's newest item asks for what is next. INT64_MAX: so
   * does every query; the weights of WN_BLEND_LATER are those of WN_BLEND_NEXT. */
  int64_t next_ms;
} wn_blend_head;

static inline unsigned wn_blend_horizon(const wn_blend_head *head, const wn_query *query) {
  if (head->next_ms == INT64_MAX) return WN_BLEND_NEXT;
  if (query->history_len == 0) return WN_BLEND_LATER;
  double gap = (double)query->now_ms - (double)query->history[0].time_ms;
  return gap <= (double)head->next_ms ? WN_BLEND_NEXT : WN_BLEND_LATER;
}

/* The horizon of a query to this model, which is a blend. */
unsigned wn_blend_horizon_of(const wn_model *blend, const wn_query *query);
/* Whether it tells the two apart. */
bool wn_blend_has_later(const wn_model *blend);

/* May this class be a member? */
bool wn_blend_takes(const wn_model_class *cls);

/* Fills members[WN_MODELS_MAX] and the head, whose items, depth and k are set. */
wn_status wn_blend_fit(const wn_dataset *data, uint32_t users_max, const wn_fit_env *env,
                       wn_blend_head *head, wn_blend_member *members, wn_error *err);

#endif
