#ifndef WN_MODEL_BLEND_WEIGHTS_H
#define WN_MODEL_BLEND_WEIGHTS_H
/* Inside of the blend's fit: the members' lists at past moments, and which weights would have put
 * first what was taken (blend_weights.c, blend_logit.c). */

#include "base/dict.h"
#include "base/thread.h"
#include "model/blend.h"

#define WN_BLEND_TARGETS_MAX 50

/* A place of a list. */
typedef struct wn_blend_entry {
  uint32_t slot;       /* among the moment's candidates */
  float standard, log; /* wn_blend_standard, wn_blend_log */
} wn_blend_entry;

typedef struct wn_blend_lists {
  uint32_t members, depth; /* lists of a moment, places of a list at most */
  size_t moments;
  wn_blend_entry *entry; /* [members × moments × depth] */
  uint16_t *len;         /* [members × moments] of each list */
  uint32_t *slots;       /* [moments] candidates; 0: nothing that was taken is among them */
  uint32_t (*target)[WN_BLEND_TARGETS_MAX]; /* [moments] slots taken; WN_NO_IX after the last */
  uint32_t *taken;                          /* [moments] items taken, candidates or not */
  uint32_t *user;                           /* [moments] */
} wn_blend_lists;

/* Some of the moments. */
typedef struct wn_blend_part {
  const wn_blend_lists *lists;
  const uint32_t *at; /* [len] */
  size_t len;
  wn_pool *pool;
} wn_blend_part;

static inline wn_blend_entry *wn_blend_entries(const wn_blend_lists *l, uint32_t member,
                                               size_t at) {
  return l->entry + (member * l->moments + at) * l->depth;
}

static inline uint16_t *wn_blend_len(const wn_blend_lists *l, uint32_t member, size_t at) {
  return l->len + member * l->moments + at;
}

static inline size_t wn_blend_candidates_max(const wn_blend_lists *l) {
  return (size_t)l->members * l->depth;
}

static inline size_t wn_blend_found(const wn_blend_lists *l, size_t at) {
  size_t n = 0;
  while (n < WN_BLEND_TARGETS_MAX && l->target[at][n] != WN_NO_IX) n++;
  return n;
}

/* The weights ≥ 0 of the logarithms under which what was taken is likeliest; a member whose weight
 * comes in as 0 is left out, the others' come in as a place to start from. */
WN_MUST_USE wn_status wn_blend_logit(const wn_blend_part *part, float *weight, wn_error *err);

typedef enum wn_blend_form {
  WN_BLEND_ALONE,  /* the best member's places */
  WN_BLEND_LOGIT,  /* a weight a member, of the logarithm */
  WN_BLEND_POINTS, /* two, of the standard score and of the place */
  WN_BLEND_BOTH,   /* the mean of the two */
  WN_BLEND_FORMS
} wn_blend_form;

extern const char *const wn_blend_form_name[WN_BLEND_FORMS];

typedef struct wn_blend_choice {
  wn_blend_form form;
  wn_blend_weight weight[WN_MODELS_MAX];
  float alone[WN_MODELS_MAX]; /* NDCG of each member by itself */
  double ndcg;                /* of the weights, where they were fitted */
  double held[WN_BLEND_BOTH]; /* of each form, for users whom its weights had not seen */
  double sure; /* one standard error of what points are better there than the logit */
} wn_blend_choice;

/* The better one of logit and points, or both where neither is surely better; alone where that is
 * at least as good. Fitted on the whole part. Equal places where there is too little to choose by.
 */
WN_MUST_USE wn_status wn_blend_choose(const wn_blend_part *part, uint32_t k, wn_blend_choice *out,
                                      wn_error *err);

/* gain[part->len]: NDCG@k under the weights. */
WN_MUST_USE wn_status wn_blend_gains(const wn_blend_part *part, uint32_t k,
                                     const wn_blend_weight *weight, double *gain, wn_error *err);

#endif
