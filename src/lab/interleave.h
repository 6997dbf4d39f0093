#ifndef WN_LAB_INTERLEAVE_H
#define WN_LAB_INTERLEAVE_H
/* Interleaving: one list out of two rankers', and who earned the clicks. Teams: 0 is A, 1 is B. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wn_ranking_list {
  const uint32_t *item; /* best first, distinct */
  size_t len;
} wn_ranking_list;

/* Team-draft (Radlinski et al. 2008): the smaller team picks its best item that is not taken; of
 * equal teams the coin's. `coin(ctx)` is asked only then; false: A. Returns the length ≤ k. */
size_t wn_team_draft(const wn_ranking_list rankers[2], size_t k, bool (*coin)(void *ctx), void *ctx,
                     uint32_t *list, uint8_t *team);
/* The probability of each item of such a list given those above it, over all coins. A team that
 * picked an item that both would have picked stays hidden: forward filtering over who is ahead. */
void wn_team_draft_propensity(const wn_ranking_list rankers[2], const uint32_t *list, size_t len,
                              double *p);
/* Clicks per team. */
void wn_team_credit(const uint8_t *team, const size_t *clicked, size_t clicks, size_t credit[2]);

/* Balanced interleaving's credit (Joachims 2002), known to be biased: for reference. */
void wn_balanced_credit(const wn_ranking_list rankers[2], const uint32_t *list,
                        const size_t *clicked, size_t clicks, size_t credit[2]);

typedef struct wn_interleaving_result {
  double delta;            /* (wins_a + ½ ties) / all − ½ */
  double p_sign;           /* exact, two-sided, without ties */
  double p_win, low, high; /* wins_a / (wins_a + wins_b) with Wilson's interval */
} wn_interleaving_result;
/* One vote a user. */
wn_interleaving_result wn_interleaving_test(double wins_a, double wins_b, double ties);

#endif
