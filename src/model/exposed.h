#ifndef WN_MODEL_EXPOSED_H
#define WN_MODEL_EXPOSED_H
/* What the funnel asks about what was shown before: the online state's answers (online/exposure.h),
 * bound to a surface and a user. Safe to call from any thread. */

#include "base/bitset.h"
#include "base/record.h"

#include <math.h>

/* Times that an item was shown, and of these answered by a positive event. */
typedef struct wn_tally {
  uint64_t shown, answered;
} wn_tally;

/* What a linear bandit saw of an item when it was shown, in 1024ths (funnel/linear.c). */
#define WN_LINEAR 10
typedef struct wn_context_row {
  int16_t x[WN_LINEAR];
} wn_context_row;

/* Over what was shown with such a row on a surface: Σ x xᵀ (the lower half), and Σ x of what was
 * answered. Whole numbers, so exact. */
typedef struct wn_linear {
  double a[WN_LINEAR][WN_LINEAR], b[WN_LINEAR];
  uint64_t shown;
} wn_linear;

/* An item's impressions that one user left unanswered. */
typedef struct wn_before {
  uint32_t times;
  float faded;     /* Σ 2^(−age / half_life) over them */
  int64_t last_ms; /* the newest; 0: none */
} wn_before;
typedef struct wn_before_ask {
  int64_t now_ms;
  double half_life_ms;
  bool everywhere; /* on any surface, not on this one alone */
} wn_before_ask;

/* Both from the newest to the oldest: equal bits wherever they are added up. */
static inline float wn_before_weight(const wn_before_ask *ask, int64_t shown_ms) {
  return (float)exp2(-fmax((double)(ask->now_ms - shown_ms), 0) / ask->half_life_ms);
}
static inline void wn_before_add(wn_before *before, float weight, int64_t shown_ms) {
  before->times++;
  before->faded += weight;
  if (before->last_ms == 0) before->last_ms = shown_ms;
}

typedef struct wn_exposed {
  void *ctx;
  /* Of items; *all (NULL is fine): of everything on the surface. */
  void (*tally)(void *ctx, const wn_item_ix *items, size_t len, wn_tally *out, wn_tally *all);
  /* Takes out of `set` what was shown `below` times or more. */
  wn_status (*cold)(void *ctx, uint32_t below, wn_bitset *set, wn_error *err);
  /* The times that each was shown to the user since she last answered it. */
  void (*before)(void *ctx, const wn_before_ask *ask, const wn_item_ix *items, size_t len,
                 wn_before *out);
  void (*linear)(void *ctx, wn_linear *out);
} wn_exposed;

#endif
