/* Distilling the light ranker (Hinton, Vinyals and Dean 2015; for rankers Tang and Wang, KDD 2018,
 * "Ranking Distillation"): ridge regression of the trees' margins on a few terms of the same
 * features. Only differences between candidates of one moment matter, so terms and margins are
 * taken less their means in the moment.
 *
 * Terms: of each opinion 1, ln(1 + place), 1 / (1 + place) and the standardised score, all 0 where
 * it does not name the item; of the item ln(1 + best place), the number of opinions that name it
 * squared, ln(1 + users who took it) and its square, how far the user's stage is from the item's
 * (feature.h, "crowd") and its square. Training reads them from the registry's columns, serving
 * from the lists themselves: a test holds the two together.
 *
 * Departure: the teacher's whole order is fitted, not its top alone; weighting the top more was
 * tried and kept less of it (README.md). Cost: terms² a row of at most ROWS_MAX, then terms³. One
 * thread, deterministic. */
#include "model/light.h"

#include "base/mem.h"
#include "base/topk.h"
#include "model/linalg.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SAID      WN_LIGHT_SAID
#define OWN       WN_LIGHT_OWN
#define TERMS_MAX (WN_OPINIONS_MAX * SAID + OWN)
#define ROWS_MAX  400000
#define RIDGE     1e-3f
#define AWAY_MAX  4.0f /* standard deviations from an item's stage */

/* --- terms --- */

static void said_terms(float place, float score, float *x) {
  x[0] = 1;
  x[1] = log1pf(place);
  x[2] = 1 / (1 + place);
  x[3] = score;
}

/* `best`: ln(1 + place); `count`: ln(1 + users); NaN: not known. */
static void own_terms(uint32_t named, float best, float count, float away, float *x) {
  if (isnan(count)) count = 0;
  if (isnan(away)) away = 0;
  if (away > AWAY_MAX) away = AWAY_MAX;
  if (away < -AWAY_MAX) away = -AWAY_MAX;
  x[0] = best;
  x[1] = (float)named * (float)named;
  x[2] = count;
  x[3] = count * count;
  x[4] = away;
  x[5] = away * away;
}

/* --- serving --- */

wn_status wn_light_places_init(const wn_light *light, const wn_feature_set *set,
                               wn_light_places *out, wn_error *err) {
  float x[SAID], *at;
  size_t opinions = 0;
  *out = (wn_light_places){.depth = set->depth};
  for (uint32_t o = 0; o < set->opinions; o++) opinions += set->opinion[o].newest == 0;
  at = wn_reallocarray(NULL, WN_LIGHT_PLACES + opinions * set->depth, sizeof *at);
  if (at == NULL) return wn_fail_memory(err);
  out->ln = at;
  at += WN_LIGHT_PLACES;
  for (uint32_t p = 0; p < WN_LIGHT_PLACES; p++) out->ln[p] = log1pf((float)p);
  for (uint32_t o = 0; o < set->opinions; o++) {
    if (set->opinion[o].newest > 0) continue;
    out->by_place[o] = at;
    at += set->depth;
    for (uint32_t p = 0; p < set->depth; p++) {
      const float *w = light->said[o];
      said_terms((float)p, 0, x);
      out->by_place[o][p] = w[0] * x[0] + w[1] * x[1] + w[2] * x[2];
    }
  }
  return WN_OK;
}

void wn_light_places_clear(wn_light_places *places) {
  wn_free(places->ln);
  memset(places, 0, sizeof *places);
}

wn_light_list wn_light_list_of(const wn_light_view *view, uint32_t opinion,
                               const wn_feature_list *list) {
  return (wn_light_list){wn_blend_list_of(list->data, list->len), view->places->by_place[opinion],
                         view->light->said[opinion][3]};
}

float wn_light_score(const wn_light_view *view, const wn_light_sum *sum, uint32_t item,
                     float stage) {
  float x[OWN], total = sum->sum, count = 0, away = 0;
  const float *ln = view->places->ln;
  uint32_t best = sum->best < WN_LIGHT_PLACES ? sum->best : WN_LIGHT_PLACES - 1;
  if (item < view->facts->pulses) {
    const wn_pulse *pulse = &view->facts->pulse[item];
    count = pulse->count < WN_LIGHT_PLACES ? ln[pulse->count] : log1pf((float)pulse->count);
    if (pulse->places > 0) away = wn_pulse_away(pulse, stage);
  }
  own_terms(sum->named, ln[best], count, away, x);
  for (unsigned t = 0; t < OWN; t++) total += view->light->own[t] * x[t];
  return total;
}

/* --- a table's rows --- */

/* Where the registry has what terms are made of. */
typedef struct columns {
  uint32_t opinions, opinion[WN_OPINIONS_MAX]; /* those of whole histories */
  uint32_t place, score, crowd;
  size_t terms;
} columns;

static columns columns_of(const wn_feature_set *set) {
  columns c = {.place = wn_features_begin(set, WN_FEATURES_PLACE),
               .score = wn_features_begin(set, WN_FEATURES_SCORE),
               .crowd = wn_features_begin(set, WN_FEATURES_CROWD)};
  for (uint32_t o = 0; o < set->opinions; o++)
    if (set->opinion[o].newest == 0) c.opinion[c.opinions++] = o;
  c.terms = c.opinions * SAID + OWN;
  return c;
}

static bool has(const wn_feature_set *set) {
  uint32_t need = 1u << WN_FEATURES_PLACE | 1u << WN_FEATURES_SCORE | 1u << WN_FEATURES_CROWD;
  return (set->families & need) == need;
}

/* How many opinions name the row's item. */
static uint32_t terms_of(const columns *c, const float *row, float *x) {
  uint32_t named = 0, best = UINT32_MAX;
  memset(x, 0, c->terms * sizeof *x);
  for (uint32_t i = 0; i < c->opinions; i++) {
    float place = row[c->place + c->opinion[i]];
    if (isnan(place)) continue;
    said_terms(place, row[c->score + c->opinion[i]], x + (size_t)i * SAID);
    if ((uint32_t)place < best) best = (uint32_t)place;
    named++;
  }
  own_terms(named, log1pf((float)(best < WN_LIGHT_PLACES ? best : WN_LIGHT_PLACES - 1)),
            row[c->crowd + WN_CROWD_COUNT], row[c->crowd + WN_CROWD_AWAY],
            x + (size_t)c->opinions * SAID);
  return named;
}

/* --- the fit --- */

typedef struct normal {
  columns c;
  double a[TERMS_MAX][TERMS_MAX], b[TERMS_MAX];
  size_t rows;
  float *x, *margin; /* of one moment */
  double mean[TERMS_MAX];
} normal;

static void add_group(normal *n, const float *x, const float *margin, size_t rows) {
  size_t terms = n->c.terms;
  double mean = 0;
  memset(n->mean, 0, sizeof n->mean);
  for (size_t r = 0; r < rows; r++) {
    mean += (double)margin[r] / (double)rows;
    for (size_t t = 0; t < terms; t++) n->mean[t] += (double)x[r * terms + t] / (double)rows;
  }
  for (size_t r = 0; r < rows; r++) {
    double own[TERMS_MAX], y = (double)margin[r] - mean;
    for (size_t t = 0; t < terms; t++) own[t] = (double)x[r * terms + t] - n->mean[t];
    for (size_t t = 0; t < terms; t++) {
      n->b[t] += own[t] * y;
      for (size_t k = 0; k <= t; k++) n->a[t][k] += own[t] * own[k];
    }
  }
  n->rows += rows;
}

/* As correlations, so that one ridge suits all terms; a term that never varies weighs nothing. */
static wn_status solve(const normal *n, wn_light *out, wn_error *err) {
  size_t terms = n->c.terms;
  double scale[TERMS_MAX];
  float *a = wn_calloc(terms * terms + 2 * terms, sizeof *a), *x, *work;
  if (a == NULL) return wn_fail_memory(err);
  x = a + terms * terms;
  work = x + terms;
  for (size_t t = 0; t < terms; t++)
    scale[t] = n->a[t][t] > 1e-9 * (double)n->rows ? 1 / sqrt(n->a[t][t]) : 0;
  for (size_t t = 0; t < terms; t++) {
    for (size_t k = 0; k < t; k++) a[t * terms + k] = (float)(n->a[t][k] * scale[t] * scale[k]);
    a[t * terms + t] = 1 + RIDGE;
    x[t] = (float)(n->b[t] * scale[t] / sqrt((double)n->rows));
  }
  wn_cholesky(a, terms, terms, RIDGE, work);
  wn_cholesky_solve(a, terms, terms, x);
  for (size_t t = 0; t < terms; t++) {
    float w = (float)((double)x[t] * scale[t] * sqrt((double)n->rows));
    if (t < n->c.opinions * (size_t)SAID)
      out->said[n->c.opinion[t / SAID]][t % SAID] = w;
    else
      out->own[t - n->c.opinions * (size_t)SAID] = w;
  }
  wn_free(a);
  return WN_OK;
}

static size_t longest(const wn_ranker_table *t) {
  size_t most = 0;
  for (size_t g = 0; g < t->groups; g++)
    if (t->size[g] > most) most = t->size[g];
  return most;
}

wn_status wn_light_fit(const wn_feature_set *set, const wn_ranker_table *t, const wn_forest *forest,
                       wn_light *out, wn_error *err) {
  wn_status status = WN_OK;
  size_t every = t->rows / ROWS_MAX + 1, most = longest(t), at = 0;
  memset(out, 0, sizeof *out);
  if (forest->trees.count == 0 || !has(set)) return WN_OK;
  normal *n = wn_calloc(1, sizeof *n);
  if (n == NULL) return wn_fail_memory(err);
  n->c = columns_of(set);
  n->x = wn_reallocarray(NULL, most * n->c.terms + 1, sizeof *n->x);
  n->margin = wn_reallocarray(NULL, most + 1, sizeof *n->margin);
  if (n->x == NULL || n->margin == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t g = 0; g < t->groups; at += t->size[g++]) {
    const float *rows = t->feature + at * t->features;
    if (g % every != 0) continue;
    wn_forest_predict(forest, rows, t->size[g], t->features, n->margin);
    for (size_t r = 0; r < t->size[g]; r++)
      (void)terms_of(&n->c, rows + r * t->features, n->x + r * n->c.terms);
    add_group(n, n->x, n->margin, t->size[g]);
  }
  if (n->rows == 0) goto cleanup;
  WN_TRY(solve(n, out, err));
  out->version = WN_LIGHT_VERSION;
cleanup:
  wn_free(n->x);
  wn_free(n->margin);
  wn_free(n);
  return status;
}

/* --- how much of the trees' best it keeps --- */

/* The light ranker's score of a row of the table; −∞: no opinion names it, so that no funnel would
 * have it. */
static float score_row(const wn_light *light, const columns *c, const float *row) {
  float x[TERMS_MAX], total = 0;
  if (terms_of(c, row, x) == 0) return -INFINITY;
  for (uint32_t i = 0; i < c->opinions; i++)
    for (unsigned s = 0; s < SAID; s++) total += light->said[c->opinion[i]][s] * x[i * SAID + s];
  for (unsigned o = 0; o < OWN; o++) total += light->own[o] * x[c->opinions * SAID + o];
  return total;
}

/* Of one moment; −1: too few candidates to lose any. `heavy`, `light`: [rows], in place. */
static double kept_of(const float *heavy, const float *light, size_t rows) {
  wn_scored best[WN_LIGHT_TOP], kept[WN_LIGHT_CUT];
  wn_topk of_trees, of_light;
  size_t named = 0, both = 0;
  wn_topk_init(&of_trees, best, WN_LIGHT_TOP);
  wn_topk_init(&of_light, kept, WN_LIGHT_CUT);
  for (size_t r = 0; r < rows; r++) {
    if (!isfinite(light[r])) continue;
    wn_topk_push(&of_trees, (uint32_t)r, heavy[r]);
    wn_topk_push(&of_light, (uint32_t)r, light[r]);
    named++;
  }
  if (named <= WN_LIGHT_CUT) return -1;
  size_t tops = wn_topk_sort(&of_trees), cut = wn_topk_sort(&of_light);
  for (size_t i = 0; i < tops; i++)
    for (size_t k = 0; k < cut; k++) both += best[i].ix == kept[k].ix;
  return (double)both / (double)tops;
}

wn_status wn_light_measure(const wn_feature_set *set, const wn_ranker_table *whole,
                           const wn_forest *forest, wn_light *light, wn_error *err) {
  wn_status status = WN_OK;
  columns c = columns_of(set);
  size_t most = longest(whole), at = 0;
  double sum = 0;
  if (light->version == 0) return WN_OK;
  float *scores = wn_reallocarray(NULL, 2 * most + 1, sizeof *scores);
  if (scores == NULL) return wn_fail_memory(err);
  for (size_t g = 0; g < whole->groups; at += whole->size[g++]) {
    const float *rows = whole->feature + at * whole->features;
    size_t len = whole->size[g];
    wn_forest_predict(forest, rows, len, whole->features, scores);
    for (size_t r = 0; r < len; r++)
      scores[most + r] = score_row(light, &c, rows + r * whole->features);
    double kept = kept_of(scores, scores + most, len);
    if (kept < 0) continue;
    sum += kept;
    light->moments++;
  }
  if (light->moments > 0) light->kept = (float)(sum / light->moments);
  wn_free(scores);
  return status;
}

wn_status wn_light_check(const wn_light *light, const char *section, wn_error *err) {
  if (light->version > WN_LIGHT_VERSION)
    return wn_fail(err, WN_E_CORRUPT, section, "version %" PRIu32 ", expected %d: train again",
                   light->version, WN_LIGHT_VERSION);
  for (unsigned o = 0; o < WN_OPINIONS_MAX; o++)
    for (unsigned s = 0; s < SAID; s++)
      if (!isfinite(light->said[o][s]))
        return wn_fail(err, WN_E_CORRUPT, section, "a weight of opinion %u is not finite", o);
  for (unsigned t = 0; t < OWN; t++)
    if (!isfinite(light->own[t]))
      return wn_fail(err, WN_E_CORRUPT, section, "weight %u is not finite", t);
  return WN_OK;
}
