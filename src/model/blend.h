#ifndef WN_MODEL_BLEND_H
#define WN_MODEL_BLEND_H
/* Inside of the blend: what one list of a member is worth (shared with the funnel's score stage, so
 * that both give the same numbers) and how weights are fitted (blend_fit.c). */

#include "model/model.h"

#define WN_BLEND_NAME_MAX 31

/* What a member's opinion weighs: an item at `rank` (0: first) of its list of the best gets
 * score · (s − last) / deviation + rank · 11 / (11 + place). */
typedef struct wn_blend_weight {
  float score, rank; /* finite, ≥ 0; both 0: the member is not asked */
} wn_blend_weight;

/* One list, best first. */
typedef struct wn_blend_list {
  float last;  /* the least score */
  float scale; /* 1 / deviation; 0 where all are equal */
} wn_blend_list;

wn_blend_list wn_blend_list_of(const wn_scored *list, size_t len);

static inline float wn_blend_standard(const wn_blend_list *list, float score) {
  float z = (score - list->last) * list->scale;
  return z > 0 ? z : 0; /* NaN, too */
}
static inline float wn_blend_place(size_t place) {
  return 11.0f / (11.0f + (float)place);
}
static inline float wn_blend_points(const wn_blend_weight *weight, const wn_blend_list *list,
                                    size_t place, float score) {
  return weight->score * wn_blend_standard(list, score) + weight->rank * wn_blend_place(place);
}

/* What the blend of `set` gives to its member `name`, with *depth, how long its lists are; false:
 * no blend there, or it does not know the member. */
bool wn_blend_weight_of(const struct wn_models *set, const char *name, wn_blend_weight *weight,
                        uint32_t *depth);

/* Snapshot section "blend/members", one a member. */
typedef struct wn_blend_member {
  char name[WN_BLEND_NAME_MAX + 1];
  wn_blend_weight weight;
  float alone; /* NDCG of the member by itself on the held-out items */
  float reserved;
} wn_blend_member;

/* Snapshot section "blend/head". */
typedef struct wn_blend_head {
  uint32_t version;
  uint32_t members;
  uint32_t items;
  uint32_t depth; /* of each member's list */
  uint32_t users; /* that the weights were fitted on */
  uint32_t k;     /* of the NDCG */
  double ndcg;    /* of the blend on the held-out items */
} wn_blend_head;

/* May this class be a member? */
bool wn_blend_takes(const wn_model_class *cls);

/* Fills members[WN_MODELS_MAX] and the head, whose items, depth and k are set. */
wn_status wn_blend_fit(const wn_dataset *data, uint32_t users_max, const wn_fit_env *env,
                       wn_blend_head *head, wn_blend_member *members, wn_error *err);

#endif
