#ifndef WN_LAB_SCATTER_H
#define WN_LAB_SCATTER_H
/* Offline metric against online metric, a point a policy: how far offline numbers can be trusted
 * here. The correlation is Spearman's; its interval holds two uncertainties together: that these
 * policies are a sample (normal on atanh r with variance (1 + r²/2) / (n − 3), Bonett and Wright
 * 2000) and that each point has error bars (both coordinates drawn anew from them). At r = ±1 that
 * approximation knows no width: r counts as what one swap of neighbours would leave of it. Fewer
 * than four policies support no sentence. */

#include "base/json_write.h"
#include "lab/experiment.h"
#include "store/store.h"

#define WN_SCATTER_MAX 64

typedef struct wn_scatter_point {
  char name[136];
  double offline[3], online[3]; /* low, mean, high; NaN: none */
} wn_scatter_point;

typedef struct wn_scatter {
  char offline[65], online[136]; /* what the axes are: "ndcg@10", "click-conversion" */
  wn_scatter_point points[WN_SCATTER_MAX];
  size_t len;
  size_t both;            /* points with both coordinates */
  double rank, low, high; /* NaN below four */
  char sentence[400];
} wn_scatter;

/* False: no more room. */
bool wn_scatter_add(wn_scatter *scatter, const char *name, const double offline[3],
                    const double online[3]);
/* Fills in both … sentence. */
WN_MUST_USE wn_status wn_scatter_conclude(wn_scatter *scatter, uint64_t seed, wn_error *err);

typedef struct wn_scatter_ask {
  const wn_experiments *experiments;
  const wn_surfaces *surfaces;
  wn_str experiment;  /* absent: all that can be compared */
  const char *metric; /* "ndcg@20"; NULL: the evaluation's primary one at its first cutoff */
} wn_scatter_ask;
/* The arms of experiments: offline by the newest `winnow evaluate --data DIR --experiment NAME`,
 * online by the experiment's primary metric, 95% fixed-sample intervals both. Random and popular
 * are points, too: with both coordinates when an arm serves just that, else offline alone.
 * Experiments whose sample ratios are off are left out; those by another primary metric than the
 * first one's, too. Without anything to compare there are no points, and the sentence says so.
 * WN_E_NOT_FOUND: no such experiment; WN_E_ARGUMENT: the evaluation lacks the metric. */
WN_MUST_USE wn_status wn_scatter_of(wn_store *store, const char *dir, const wn_scatter_ask *ask,
                                    wn_scatter *out, wn_error *err);

void wn_scatter_to_json(const wn_scatter *scatter, wn_json *json);
void wn_scatter_plot(const wn_scatter *scatter, wn_buf *svg);

#endif
