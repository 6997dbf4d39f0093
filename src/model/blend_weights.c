/* Which weights: of the form that is best for users whom its weights have not seen.
 *
 *   alone   the best member's places, nothing else;
 *   logit   a weight a member, of the logarithm of its score, under which what was taken is
 *           likeliest (blend_logit.c), then an ascent on NDCG@k that takes a step only if it gains
 *           more than one standard error of what it gains;
 *   points  a weight of the standard score and one of the place, by ascent on NDCG@k from where
 *           each member weighs by how good it is alone.
 *
 * The ascent is by coordinates (Metzler and Croft, Information Retrieval 2007). Departures:
 * multiplicative steps that shrink, and at the end members that nobody misses are dropped, because
 * each one asked costs a query time. A likelihood cares for the whole of a list, NDCG for its head;
 * an ascent fits luck where moments are few, a likelihood hardly does: neither form is the better
 * one on all data (README.md), hence the choice by cross-validation over FOLDS parts of the users
 * (Stone, JRSS B 1974). What is chosen is fitted again on all.
 *
 * Cost: a form is fitted FOLDS times on all but one part, what is chosen once more: about 20 trials
 * a weight of a microsecond a moment, and ten passes for the logit. Memory: 4 bytes a moment,
 * member and place. Deterministic for any number of threads: a moment's gain does not depend on the
 * others', and gains are summed in their order. */
#include "model/blend_weights.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define FOLDS       4
#define MOMENTS_MIN 30   /* fewer say nothing: equal places */
#define LEAST_GAIN  2e-4 /* relative, for a step to be taken */
#define NOT_MISSED  1e-3 /* relative, for a member to be dropped */

const char *const wn_blend_form_name[WN_BLEND_FORMS] = {"alone", "logit", "points", "both"};

enum { SCORE, RANK, LOG };

typedef struct climb {
  wn_blend_part part;
  uint32_t k;
  wn_blend_weight weight[WN_MODELS_MAX]; /* present, of the members */
  float *sum;     /* [moments × candidates] under the present weights; NULL: not kept */
  float *scratch; /* [threads × candidates] */
  double *gain;   /* [moments] under the present weights */
  double *tried;  /* [moments] under the trial's: one of a member's weights changes */
  uint32_t member;
  wn_blend_weight change;
} climb;

/* ---- NDCG of weights ---- */

static void add_list(const wn_blend_lists *l, uint32_t member, size_t at, wn_blend_weight w,
                     float *sum) {
  const wn_blend_entry *list = wn_blend_entries(l, member, at);
  for (size_t p = 0; p < *wn_blend_len(l, member, at); p++)
    sum[list[p].slot] +=
        w.score * list[p].standard + w.rank * wn_blend_place(p) + w.log * list[p].log;
}

static double gain_of(const climb *c, size_t at, const float *sum) {
  const wn_blend_lists *l = c->part.lists;
  double gain = 0, ideal = 0;
  for (uint32_t i = 0; i < l->taken[at] && i < c->k; i++) ideal += 1 / log2((double)i + 2);
  for (size_t i = 0; i < WN_BLEND_TARGETS_MAX && l->target[at][i] != WN_NO_IX; i++) {
    uint32_t t = l->target[at][i], place = 0;
    for (uint32_t s = 0; s < t; s++) place += sum[s] >= sum[t];
    for (uint32_t s = t + 1; s < l->slots[at]; s++) place += sum[s] > sum[t];
    if (place < c->k) gain += 1 / log2((double)place + 2);
  }
  return gain / ideal;
}

static float *room_of(const climb *c, int worker) {
  return c->scratch + (size_t)worker * wn_blend_candidates_max(c->part.lists);
}

static float *sum_of(const climb *c, size_t i, int worker) {
  return c->sum != NULL ? c->sum + i * wn_blend_candidates_max(c->part.lists) : room_of(c, worker);
}

static void sum_moments(void *ctx, size_t begin, size_t end, int worker) {
  const climb *c = ctx;
  const wn_blend_lists *l = c->part.lists;
  for (size_t i = begin; i < end; i++) {
    size_t at = c->part.at[i];
    float *sum = sum_of(c, i, worker);
    c->gain[i] = 0;
    if (l->slots[at] == 0) continue;
    memset(sum, 0, l->slots[at] * sizeof *sum);
    for (uint32_t m = 0; m < l->members; m++)
      if (wn_blend_asks(&c->weight[m])) add_list(l, m, at, c->weight[m], sum);
    c->gain[i] = gain_of(c, at, sum);
  }
}

static void try_moments(void *ctx, size_t begin, size_t end, int worker) {
  const climb *c = ctx;
  const wn_blend_lists *l = c->part.lists;
  float *sum = room_of(c, worker);
  for (size_t i = begin; i < end; i++) {
    size_t at = c->part.at[i];
    c->tried[i] = 0;
    if (l->slots[at] == 0) continue;
    memcpy(sum, sum_of(c, i, worker), l->slots[at] * sizeof *sum);
    add_list(l, c->member, at, c->change, sum);
    c->tried[i] = gain_of(c, at, sum);
  }
}

/* Of the present weights; their sums are what trials start from. */
static double measure(climb *c) {
  double total = 0;
  wn_pool_run(c->part.pool, c->part.len, 16, sum_moments, c);
  for (size_t i = 0; i < c->part.len; i++) total += c->gain[i];
  return c->part.len > 0 ? total / (double)c->part.len : 0;
}

/* What the trial gains, less `sure` standard errors of it. */
static double try_change(climb *c, double sure) {
  double total = 0, squares = 0, n = (double)c->part.len;
  wn_pool_run(c->part.pool, c->part.len, 16, try_moments, c);
  for (size_t i = 0; i < c->part.len; i++) {
    double gain = c->tried[i] - c->gain[i];
    total += gain;
    squares += gain * gain;
  }
  double mean = total / n, variance = squares / n - mean * mean;
  return mean - sure * sqrt(fmax(variance, 0) / n);
}

/* ---- ascent ---- */

static float *weight_at(wn_blend_weight *w, unsigned kind) {
  return kind == SCORE ? &w->score : kind == RANK ? &w->rank : &w->log;
}

/* One weight: larger, smaller or none; from none a little or some. True when it changed. */
static bool ascend_one(climb *c, unsigned kind, float step, double sure, double *ndcg) {
  float *weight = weight_at(&c->weight[c->member], kind), chosen = *weight;
  const float trial[] = {*weight > 0 ? *weight * step : 0.05f, *weight > 0 ? *weight / step : 0.2f,
                         0};
  double best = *ndcg * LEAST_GAIN;
  for (size_t i = 0; i < 3; i++) {
    if (trial[i] == *weight) continue;
    c->change = (wn_blend_weight){0};
    *weight_at(&c->change, kind) = trial[i] - *weight;
    double gain = try_change(c, sure);
    if (gain <= best) continue;
    best = gain;
    chosen = trial[i];
  }
  if (chosen == *weight) return false;
  *weight = chosen;
  *ndcg = measure(c);
  return true;
}

static void scale_largest_to_1(climb *c) {
  float most = 0;
  for (uint32_t m = 0; m < c->part.lists->members; m++)
    for (unsigned kind = SCORE; kind <= LOG; kind++)
      most = fmaxf(most, *weight_at(&c->weight[m], kind));
  for (uint32_t m = 0; m < c->part.lists->members && most > 0; m++)
    for (unsigned kind = SCORE; kind <= LOG; kind++) *weight_at(&c->weight[m], kind) /= most;
}

/* Of the weights from kind `first` to `last`. */
static void ascend(climb *c, unsigned first, unsigned last, double sure) {
  static const float steps[] = {2, 2, 1.4f, 1.4f, 1.15f};
  double ndcg = measure(c);
  for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
    bool moved = false;
    for (c->member = 0; c->member < c->part.lists->members; c->member++)
      for (unsigned kind = first; kind <= last; kind++)
        moved |= ascend_one(c, kind, steps[s], sure, &ndcg);
    scale_largest_to_1(c);
    ndcg = measure(c);
    if (!moved && s + 1 < sizeof steps / sizeof *steps && steps[s + 1] == steps[s]) s++;
  }
}

static void drop_the_needless(climb *c) {
  double best = measure(c);
  for (uint32_t m = c->part.lists->members; m-- > 0;) {
    wn_blend_weight kept = c->weight[m];
    if (!wn_blend_asks(&kept)) continue;
    c->weight[m] = (wn_blend_weight){0};
    double without = measure(c);
    if (without >= best * (1 - NOT_MISSED))
      best = without;
    else
      c->weight[m] = kept;
  }
}

/* ---- forms ---- */

/* Of each member by itself. */
static void measure_alone(climb *c, float *alone) {
  memset(c->weight, 0, sizeof c->weight);
  for (uint32_t m = 0; m < c->part.lists->members; m++) {
    c->weight[m].rank = 1;
    alone[m] = (float)measure(c);
    c->weight[m].rank = 0;
  }
}

static uint32_t best_of(const float *alone, uint32_t members) {
  uint32_t best = 0;
  for (uint32_t m = 1; m < members; m++)
    if (alone[m] > alone[best]) best = m;
  return best;
}

static wn_status fit_logit(climb *c, const float *alone, wn_error *err) {
  float weight[WN_MODELS_MAX];
  for (uint32_t m = 0; m < c->part.lists->members; m++) weight[m] = alone[m] > 0;
  wn_status status = wn_blend_logit(&c->part, weight, err);
  if (status != WN_OK) return status;
  for (uint32_t m = 0; m < c->part.lists->members; m++) c->weight[m].log = weight[m];
  scale_largest_to_1(c);
  ascend(c, LOG, LOG, 1);
  return WN_OK;
}

static void fit_points(climb *c, const float *alone, float best) {
  for (uint32_t m = 0; m < c->part.lists->members; m++) {
    float share = alone[m] / best;
    c->weight[m] = (wn_blend_weight){.score = 0.25f * share * share, .rank = share * share};
  }
  ascend(c, SCORE, RANK, 0);
}

static wn_status fit_form(climb *c, wn_blend_form form, const float *alone, wn_error *err);

/* How far the sums under the present weights spread within a moment, on the average. */
static double spread(climb *c) {
  double total = 0;
  (void)measure(c);
  for (size_t i = 0; i < c->part.len; i++) {
    uint32_t n = c->part.lists->slots[c->part.at[i]];
    const float *sum = sum_of(c, i, 0);
    double mean = 0, squares = 0;
    for (uint32_t s = 0; s < n; s++) mean += (double)sum[s] / n;
    for (uint32_t s = 0; s < n; s++) squares += pow((double)sum[s] - mean, 2) / n;
    total += sqrt(squares);
  }
  return total;
}

static wn_status fit_both(climb *c, const float *alone, wn_error *err) {
  wn_blend_weight both[WN_MODELS_MAX] = {0};
  for (unsigned form = WN_BLEND_LOGIT; form <= WN_BLEND_POINTS; form++) {
    wn_status status = fit_form(c, form, alone, err);
    if (status != WN_OK) return status;
    float unit = (float)(1 / fmax(spread(c), 1e-9));
    for (uint32_t m = 0; m < c->part.lists->members; m++)
      for (unsigned kind = SCORE; kind <= LOG; kind++)
        *weight_at(&both[m], kind) += unit * *weight_at(&c->weight[m], kind);
  }
  memcpy(c->weight, both, sizeof both);
  scale_largest_to_1(c);
  return WN_OK;
}

/* The present weights become those of the form on the present part, where members by themselves
 * reach `alone`. */
static wn_status fit_form(climb *c, wn_blend_form form, const float *alone, wn_error *err) {
  uint32_t best = best_of(alone, c->part.lists->members);
  wn_status status = WN_OK;
  memset(c->weight, 0, sizeof c->weight);
  if (form == WN_BLEND_ALONE || !(alone[best] > 0)) {
    c->weight[best].rank = 1;
    return WN_OK;
  }
  if (form == WN_BLEND_LOGIT) status = fit_logit(c, alone, err);
  if (form == WN_BLEND_POINTS) fit_points(c, alone, alone[best]);
  if (form == WN_BLEND_BOTH) status = fit_both(c, alone, err);
  if (status == WN_OK) drop_the_needless(c);
  return status;
}

/* ---- the choice ---- */

static unsigned fold_of(const wn_blend_lists *l, uint32_t at) {
  return (unsigned)(wn_mix64(l->user[at]) % FOLDS);
}

/* Into `at`: the moments of the other folds, then those of this one. Returns how many others. */
static size_t divide(const wn_blend_part *all, unsigned fold, uint32_t *at) {
  size_t others = 0, n = 0;
  for (size_t i = 0; i < all->len; i++)
    if (fold_of(all->lists, all->at[i]) != fold) at[others++] = all->at[i];
  for (size_t i = 0; i < all->len; i++)
    if (fold_of(all->lists, all->at[i]) == fold) at[others + n++] = all->at[i];
  return others;
}

/* What each form reaches in the folds that it was not fitted on; gain[form × moments] is scratch.
 */
static wn_status hold_out(climb *c, const wn_blend_part *all, uint32_t *at, double *gain,
                          wn_blend_choice *out, wn_error *err) {
  size_t begin = 0; /* of the fold's gains */
  for (unsigned fold = 0; fold < FOLDS; fold++) {
    size_t others = divide(all, fold, at), own = all->len - others;
    float alone[WN_MODELS_MAX];
    for (unsigned form = 0; form < WN_BLEND_BOTH; form++) {
      c->part = (wn_blend_part){all->lists, at, others, all->pool};
      if (form == 0) measure_alone(c, alone);
      wn_status status = fit_form(c, form, alone, err);
      if (status != WN_OK) return status;
      c->part = (wn_blend_part){all->lists, at + others, own, all->pool};
      out->held[form] += measure(c) * (double)own / (double)all->len;
      memcpy(gain + form * all->len + begin, c->gain, own * sizeof *gain);
    }
    begin += own;
  }
  return WN_OK;
}

static void decide(const double *gain, size_t n, wn_blend_choice *out) {
  const double *logit = gain + WN_BLEND_LOGIT * n, *points = gain + WN_BLEND_POINTS * n;
  double more = out->held[WN_BLEND_POINTS] - out->held[WN_BLEND_LOGIT], squares = 0;
  for (size_t i = 0; i < n; i++) squares += pow(points[i] - logit[i] - more, 2) / (double)n;
  out->sure = sqrt(squares / (double)n);
  out->form = more > 0 ? WN_BLEND_POINTS : WN_BLEND_LOGIT;
  if (out->held[WN_BLEND_ALONE] >= out->held[out->form])
    out->form = WN_BLEND_ALONE;
  else if (fabs(more) <= out->sure)
    out->form = WN_BLEND_BOTH;
}

static wn_status begin(climb *c, const wn_blend_part *part, bool keep_sums, wn_error *err) {
  size_t width = wn_blend_candidates_max(part->lists) + 1;
  c->part = *part;
  c->scratch = wn_reallocarray(NULL, (size_t)wn_pool_threads(part->pool) * width, sizeof(float));
  if (keep_sums) c->sum = wn_reallocarray(NULL, part->len * width, sizeof(float));
  if (keep_sums) c->tried = wn_calloc(part->len, sizeof *c->tried);
  bool room = c->scratch != NULL && (!keep_sums || (c->sum != NULL && c->tried != NULL));
  return room ? WN_OK : wn_fail_memory(err);
}

static void end(climb *c) {
  wn_free(c->scratch);
  wn_free(c->sum);
  wn_free(c->tried);
}

static wn_status choose(climb *c, const wn_blend_part *part, wn_blend_choice *out, wn_error *err) {
  wn_status status = WN_OK;
  uint32_t *at = wn_calloc(part->len, sizeof *at);
  double *gain = wn_calloc(part->len * WN_BLEND_BOTH, sizeof *gain);
  if (at == NULL || gain == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(hold_out(c, part, at, gain, out, err));
  decide(gain, part->len, out);
  c->part = *part;
  WN_TRY(fit_form(c, out->form, out->alone, err));
  out->ndcg = measure(c);
  memcpy(out->weight, c->weight, sizeof c->weight);
cleanup:
  wn_free(at);
  wn_free(gain);
  return status;
}

wn_status wn_blend_choose(const wn_blend_part *part, uint32_t k, wn_blend_choice *out,
                          wn_error *err) {
  climb c = {.k = k};
  wn_status status = WN_OK;
  *out = (wn_blend_choice){.form = WN_BLEND_BOTH};
  for (uint32_t m = 0; m < part->lists->members; m++) out->weight[m].rank = 1;
  if (part->lists->members == 0 || part->len == 0) return WN_OK;
  c.gain = wn_calloc(part->len, sizeof *c.gain);
  if (c.gain == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(begin(&c, part, true, err));
  measure_alone(&c, out->alone);
  memcpy(c.weight, out->weight, sizeof c.weight);
  out->ndcg = measure(&c);
  if (out->ndcg > 0 && part->len >= MOMENTS_MIN) WN_TRY(choose(&c, part, out, err));
cleanup:
  end(&c);
  wn_free(c.gain);
  return status;
}

wn_status wn_blend_gains(const wn_blend_part *part, uint32_t k, const wn_blend_weight *weight,
                         double *gain, wn_error *err) {
  climb c = {.k = k, .gain = gain};
  wn_status status = begin(&c, part, false, err);
  memcpy(c.weight, weight, part->lists->members * sizeof *weight);
  if (status == WN_OK) (void)measure(&c);
  end(&c);
  return status;
}
