#ifndef WN_LAB_LIST_MEASURES_H
#define WN_LAB_LIST_MEASURES_H
/* beyond.h's measures of one user's list at several cutoffs, without the other users' lists: what
 * evaluation calls as the lists come. The same values as wn_novelty_of() and wn_list_diversity_of()
 * give for lists cut at k. */

#include "lab/metrics.h"

#include <stdbool.h>

/* What of train they need: built once, read by all threads. Memory: 4 bytes a pair, 36 an item. */
typedef struct wn_list_context {
  uint32_t users, items;
  uint32_t *popularity; /* [items] train users */
  double *place;        /* [items] by popularity, 1 the first; 0 when cold */
  uint64_t *ptr;        /* [items + 1] the users of an item … */
  uint32_t *user;       /* … and its row's scale: 1 / √|U(i)|, 0 when cold */
  double *scale;
  double pairs;
} wn_list_context;
/* Row u of train: item[ptr[u]] …, distinct. */
WN_MUST_USE bool wn_list_context_init(wn_list_context *context, const uint64_t *ptr,
                                      const uint32_t *item, const uint32_t sizes[2]);
void wn_list_context_clear(wn_list_context *context);

typedef struct wn_list_measures {
  double popularity, novelty, self_information, epc; /* NaN: an empty list */
  double serendipity;                                /* 0 for an empty list */
  double unexpected;                                 /* NaN: an empty list */
  double ild;                                        /* NaN: fewer than two items */
} wn_list_measures;

/* The user: what she has in train, what is relevant. `sums`: [users] of zeros, zeros again after;
 * NULL: unexpected and ild are NaN. */
typedef struct wn_list_user {
  const uint32_t *history;
  size_t history_len;
  wn_relevant relevant;
  double *sums;
} wn_list_user;
void wn_list_measures_at(const wn_list_context *context, const wn_ranked *list,
                         const wn_list_user *user, const uint32_t *cutoffs, size_t cutoffs_len,
                         wn_list_measures *out);

#endif
