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
  wn_belief *belief;  /* [len] */
  wn_contest contest; /* but of LINUCB */
  bool *in;           /* [len] scratch */
  double *odds;       /* [len] */
  double *p;          /* [candidates] of the lot */
} wn_posterior;

typedef struct wn_takers {
  const uint8_t *state;       /* [candidates] 0: free */
  const wn_bitset *where;     /* NULL: no condition */
  const wn_context_row *rows; /* [rows_len] of the best candidates; NULL: nothing linear */
  size_t rows_len;
} wn_takers;

/* The best free candidates that the condition allows take part. */
WN_MUST_USE wn_status wn_posterior_init(wn_posterior *posterior, wn_funnel *funnel,
                                        const wn_slot *slot, const wn_takers *takers,
                                        wn_error *err);
/* Of those that are still free; holds nothing when none is. */
wn_lot wn_posterior_lot(wn_posterior *posterior, const wn_funnel *funnel, const uint8_t *state);

/* Of `lot`, items of the catalogue, those that were answered best so far (`among` of them at most)
 * share the place by the chance that each is answered most. The trace is told. */
WN_MUST_USE wn_status wn_posterior_trial(wn_funnel *funnel, const wn_slot *slot, wn_lot *lot,
                                         wn_error *err);

#endif
