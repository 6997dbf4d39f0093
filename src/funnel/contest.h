#ifndef WN_FUNNEL_CONTEST_H
#define WN_FUNNEL_CONTEST_H
/* Independent draws of which the largest wins, and with which odds: what Thompson sampling does,
 * without drawing. */

#include "base/arena.h"

typedef enum wn_belief_kind {
  WN_BELIEF_BETA,  /* a, b: α, β > 0 */
  WN_BELIEF_NORMAL /* a, b: mean, deviation > 0 */
} wn_belief_kind;

typedef struct wn_belief {
  double a, b;
} wn_belief;

typedef struct wn_contest {
  size_t arms, nodes;
  double *weight;  /* [nodes] of the quadrature */
  double *log_cdf; /* [arms × nodes] */
  double *hazard;  /* [arms × nodes] density over distribution function */
  double *sum;     /* [nodes] scratch */
} wn_contest;

/* For contests of `arms` and of what is left of them when up to places − 1 have won. False: no
 * memory. */
WN_MUST_USE bool wn_contest_init(wn_contest *contest, wn_belief_kind kind, const wn_belief *beliefs,
                                 size_t arms, size_t places, wn_arena *arena);
/* p[i]: the probability that arm i has the largest draw of those that are `in` (NULL: all), 0 of
 * the others; they add up to 1. Returns what they added up to before that was made so: 1 but for
 * the error of the quadrature; 0: nobody is in. */
double wn_contest_odds(wn_contest *contest, const bool *in, double *p);

#endif
