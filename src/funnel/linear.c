/* Ridge regression of answers (0 or 1) on what is known of an item and a request when it is shown:
 *
 *   Li, Chu, Langford and Schapire, WWW 2010 (LinUCB, one model for all items); Agrawal and Goyal,
 *   ICML 2013 (linear Thompson sampling).
 *
 * A = I + Σ x xᵀ over shown items, b = Σ x over answered ones; the mean of x is xᵀ A⁻¹ b, its
 * deviation width · √(xᵀ A⁻¹ x). An impression counts against an item from when it is shown, until
 * it is answered. Departure from Agrawal and Goyal: each candidate's value is drawn from its own
 * marginal, not all from one draw of the weights. The marginals are theirs; candidates that are
 * alike do not rise and fall together, which explores more, and the odds of the largest are a
 * one-dimensional integral (contest.h) instead of an estimate.
 *
 * What x is: s the score over the best one's, c ln of the item's smoothed answer rate over the
 * surface's, n how new the item is (1 / √(1 + shown / 20)), a its age (2^(−days / 30)), h how new
 * the user is (1 / (1 + items of her history)), and the hour of the day (UTC) as an angle t:
 *   1, s, s², c, n, a, h s, h c, s sin t, s cos t
 * in whole 1024ths, so that the sums are exact in whatever order slates come: the state after a
 * restart is the one before it, bit for bit. Cost: 20 ns a candidate, a Cholesky of 10 × 10 a
 * slate. */
#include "funnel/linear.h"

#include <math.h>

#define UNIT       1024.0 /* of a row */
#define LARGEST    8.0
#define PRIOR      20.0
#define AGE_DAYS   30.0
#define DAY_MS     86400000.0
#define RATE_LEAST 1e-6

static void put(wn_context_row *row, const double x[WN_LINEAR]) {
  for (size_t k = 0; k < WN_LINEAR; k++)
    row->x[k] = (int16_t)lrint(fmin(fmax(x[k], -LARGEST), LARGEST) * UNIT);
}

static double clipped_log(double ratio) {
  return fmin(fmax(log(ratio), -3), 3);
}

wn_status wn_linear_rows(const wn_funnel *funnel, size_t len, wn_context_row **out, wn_error *err) {
  const wn_exposed *exposed = funnel->request->exposed;
  const int64_t *created = wn_catalog_created(funnel->request->catalog);
  wn_tally all = {0, 0}, *of = wn_arena_calloc(funnel->arena, len + 1, sizeof *of);
  wn_item_ix *items = wn_arena_alloc(funnel->arena, (len + 1) * sizeof *items);
  *out = wn_arena_calloc(funnel->arena, len + 1, sizeof **out);
  if (of == NULL || items == NULL || *out == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) items[i] = funnel->candidates[i].item;
  if (exposed != NULL) exposed->tally(exposed->ctx, items, len, of, &all);
  double rate = ((double)all.answered + 1) / ((double)all.shown + PRIOR);
  double best =
      len > 0 && funnel->candidates[0].score > 0 ? (double)funnel->candidates[0].score : 1;
  double h = 1 / (1 + (double)funnel->query.history_len);
  double t = 2 * M_PI * fmod((double)funnel->query.now_ms / DAY_MS, 1);
  for (size_t i = 0; i < len; i++) {
    double shown = (double)of[i].shown, s = (double)funnel->candidates[i].score / best;
    double c = clipped_log(
        fmax(((double)of[i].answered + PRIOR * rate) / (shown + PRIOR) / rate, RATE_LEAST));
    double age = fmax(0, (double)(funnel->query.now_ms - created[items[i]]) / DAY_MS);
    put(&(*out)[i],
        (const double[WN_LINEAR]){1, s, s * s, c, 1 / sqrt(1 + shown / PRIOR),
                                  exp2(-age / AGE_DAYS), h * s, h * c, s * sin(t), s * cos(t)});
  }
  return WN_OK;
}

void wn_linear_solve(const wn_linear *sums, wn_linear_fit *out) {
  double y[WN_LINEAR], unit2 = UNIT * UNIT;
  for (size_t i = 0; i < WN_LINEAR; i++)
    for (size_t j = 0; j <= i; j++) {
      double v = sums->a[i][j] / unit2 + (i == j);
      for (size_t k = 0; k < j; k++) v -= out->lower[i][k] * out->lower[j][k];
      out->lower[i][j] = i == j ? sqrt(v) : v / out->lower[j][j];
    }
  for (size_t i = 0; i < WN_LINEAR; i++) {
    y[i] = sums->b[i] / UNIT;
    for (size_t k = 0; k < i; k++) y[i] -= out->lower[i][k] * y[k];
    y[i] /= out->lower[i][i];
  }
  for (size_t i = WN_LINEAR; i-- > 0;) {
    out->weight[i] = y[i];
    for (size_t k = i + 1; k < WN_LINEAR; k++) out->weight[i] -= out->lower[k][i] * out->weight[k];
    out->weight[i] /= out->lower[i][i];
  }
}

wn_belief wn_linear_belief(const wn_linear_fit *ridge, const wn_context_row *row, double width) {
  double z[WN_LINEAR], mean = 0, square = 0;
  for (size_t i = 0; i < WN_LINEAR; i++) {
    z[i] = row->x[i] / UNIT;
    mean += ridge->weight[i] * z[i];
    for (size_t k = 0; k < i; k++) z[i] -= ridge->lower[i][k] * z[k];
    z[i] /= ridge->lower[i][i];
    square += z[i] * z[i];
  }
  return (wn_belief){mean, width * sqrt(square)};
}
