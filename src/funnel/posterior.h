#ifndef WN_FUNNEL_POSTERIOR_H
#define WN_FUNNEL_POSTERIOR_H
/* Places filled by what is believed of candidates, and how surely: the lots of Thompson sampling.
 */

#include "funnel/contest.h"
#include "funnel/lot.h"

/* Of one slot, or of all open places: who takes part, and what is believed of each. */
typedef struct wn_posterior {
  const wn_slot *slot; /* NULL: not begun */
  size_t *candidate;   /* [len] best score first */
  size_t len;
  wn_contest contest;
  bool *in;     /* [len] scratch */
  double *odds; /* [len] */
  double *p;    /* [candidates] of the lot */
} wn_posterior;

/* The best free (state 0) candidates that `where` (NULL: none) allows take part, for `places`
 * places. */
WN_MUST_USE wn_status wn_posterior_init(wn_posterior *posterior, wn_funnel *funnel,
                                        const wn_slot *slot, const uint8_t *state,
                                        const wn_bitset *where, wn_error *err);
/* Of those that are still free; holds nothing when none is. */
wn_lot wn_posterior_lot(wn_posterior *posterior, const wn_funnel *funnel, const uint8_t *state);

#endif
