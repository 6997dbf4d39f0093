#ifndef WN_MODEL_EXPOSED_H
#define WN_MODEL_EXPOSED_H
/* What the funnel asks about what was shown before: the online state's answers (online/exposure.h),
 * bound to a surface and a user. Safe to call from any thread. */

#include "base/bitset.h"
#include "base/record.h"

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

typedef struct wn_exposed {
  void *ctx;
  /* Of items; *all (NULL is fine): of everything on the surface. */
  void (*tally)(void *ctx, const wn_item_ix *items, size_t len, wn_tally *out, wn_tally *all);
  /* Takes out of `set` what was shown `below` times or more. */
  wn_status (*cold)(void *ctx, uint32_t below, wn_bitset *set, wn_error *err);
  /* Σ 2^(−age / half_life) over the times that each was shown to the user since she last answered
   * it. */
  void (*repeats)(void *ctx, int64_t now_ms, double half_life_ms, const wn_item_ix *items,
                  size_t len, float *out);
  void (*linear)(void *ctx, wn_linear *out);
} wn_exposed;

#endif
