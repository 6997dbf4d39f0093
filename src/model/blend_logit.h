#ifndef WN_MODEL_BLEND_LOGIT_H
#define WN_MODEL_BLEND_LOGIT_H
/* A conditional logit over lists: which weights of the members make what users took most likely. */

#include "base/dict.h"
#include "base/status.h"
#include "base/thread.h"

#define WN_LOGIT_MEMBERS_MAX 64
#define WN_LOGIT_TARGETS_MAX 50

/* A place of a member's list: what the member says of a candidate. */
typedef struct wn_logit_entry {
  uint32_t slot; /* among the moment's candidates */
  float says;    /* ≥ 0; of candidates that are not in its list 0 */
} wn_logit_entry;

typedef struct wn_logit_lists {
  uint32_t members, depth; /* lists of a moment, places of a list at most */
  size_t moments;
  wn_logit_entry *entry; /* [members × moments × depth] */
  uint16_t *len;         /* [members × moments] of each list */
  uint32_t *slots;       /* [moments] candidates; 0: nothing that was taken is among them */
  uint32_t (*target)[WN_LOGIT_TARGETS_MAX]; /* [moments] slots taken; WN_NO_IX after the last */
} wn_logit_lists;

static inline wn_logit_entry *wn_logit_list(const wn_logit_lists *l, uint32_t member, size_t at) {
  return l->entry + (member * l->moments + at) * l->depth;
}

static inline uint16_t *wn_logit_len(const wn_logit_lists *l, uint32_t member, size_t at) {
  return l->len + member * l->moments + at;
}

static inline size_t wn_logit_targets(const wn_logit_lists *l, size_t at) {
  size_t n = 0;
  while (n < WN_LOGIT_TARGETS_MAX && l->target[at][n] != WN_NO_IX) n++;
  return n;
}

/* sum[slots[at]]: Σₘ weight[m] · says. */
void wn_logit_sum(const wn_logit_lists *lists, const float *weight, size_t at, float *sum);

/* The likeliest weights ≥ 0 over moments begin … end − 1; a member whose weight comes in as 0 is
 * left out, the others' come in as a place to start from. */
WN_MUST_USE wn_status wn_logit_fit(const wn_logit_lists *lists, size_t begin, size_t end,
                                   wn_pool *pool, float *weight, wn_error *err);

#endif
