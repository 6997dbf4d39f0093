#ifndef WN_LAB_BEYOND_H
#define WN_LAB_BEYOND_H
/* Beyond accuracy: what the lists of all users do together. Lists are compressed rows; items are
 * numbers below the catalogue's size; an item may be in a list once. Train and test may have fewer
 * users than the recommendations: the others have nothing there. */

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

/* Row u is item[ptr[u] … ptr[u + 1] − 1]. */
typedef struct wn_lists {
  size_t users;
  const uint64_t *ptr;
  const uint32_t *item;
} wn_lists;

typedef struct wn_concentration {
  double catalog_coverage, user_coverage; /* shares */
  double gini, gini_recommended_only;
  double entropy_bits, entropy_normalised; /* by log2 of the catalogue */
  double effective_items;                  /* 2^entropy */
} wn_concentration;
WN_MUST_USE bool wn_concentration_of(const wn_lists *recs, uint32_t items, wn_concentration *out);
/* How many items hold each share of all recommendations, the most recommended first: shares[i] in
 * (0, 1] → unique[i]. */
WN_MUST_USE bool wn_unique_items_at(const wn_lists *recs, uint32_t items, const double *shares,
                                    size_t n, uint32_t *unique);

/* Per user, over the first k of the list; NaN where that is empty, but for serendipity. */
typedef struct wn_novelty {
  double arp;              /* mean popularity: train users of an item */
  double miuf;             /* mean −log2(users(i) / U), a cold item as 1 user */
  double self_information; /* mean −log2(count(i) / all interactions), likewise */
  double epc;              /* mean 1 − users(i) / U */
  double serendipity;      /* Σ max(p_rank − p_popularity, 0) · relevant, / k */
} wn_novelty;
/* [items] the place of an item by its popularity: 1 the most popular, 0 cold. NULL: no memory. */
double *wn_popularity_places(const uint32_t *popularity, uint32_t items);
WN_MUST_USE bool wn_novelty_of(const wn_lists *recs, const wn_lists *train, const wn_lists *test,
                               const uint32_t sizes[2] /* items, k */, wn_novelty *out);

/* Of co-occurrence cosine |U(i) ∩ U(j)| / √(|U(i)||U(j)|) in train. Per user, NaN when undefined.
 */
typedef struct wn_list_diversity {
  double diversity;   /* 1 − mean over pairs of the list */
  double serendipity; /* mean over the list of (1 − mean cosine to the history) · relevant */
} wn_list_diversity;
WN_MUST_USE bool wn_list_diversity_of(const wn_lists *recs, const wn_lists *train,
                                      const wn_lists *test, uint32_t items, wn_list_diversity *out);

/* Zhu et al. 2020, over groups of items: P(recommended | relevant, group) and P(recommended |
 * group, not in train), each as population deviation over mean. A group without a denominator is
 * left out (its p is NaN). */
#define WN_GROUPS_MAX 64
typedef struct wn_group_exposure {
  double p_reo[WN_GROUPS_MAX], p_rsp[WN_GROUPS_MAX];
  double pop_reo, pop_rsp;
} wn_group_exposure;
typedef struct wn_item_groups {
  const uint32_t *of;     /* [items] a group's number, or UINT32_MAX: none */
  uint32_t items, groups; /* groups ≤ WN_GROUPS_MAX */
} wn_item_groups;
WN_MUST_USE bool wn_group_exposure_of(const wn_lists *recs, const wn_lists *train,
                                      const wn_lists *test, const wn_item_groups *groups,
                                      wn_group_exposure *out);

/* Steck 2018: Σ p ln(p / ((1 − α)q + αp)), nats. */
double wn_steck_kl(const double *p, const double *q, size_t n, double alpha);

#endif
