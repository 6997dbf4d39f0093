/* One objective's model: boosted trees under the logistic loss, then a calibration (calibrate.h).
 *
 * Users (slates of nobody: slates) are split by a hash: four fifths are for the trees, the others
 * for the calibration, which is judged by each half of them through what the other half fitted.
 * Places (`position`): as a feature that is 1 when serving; as a factor seen(place) of the
 * probability, fitted together with the trees (PAL); or as a weight 1 / seen(place) of successes,
 * at most 10 (inverse propensities as in Joachims, Swaminathan and Schnabel, WSDM 2017, and Saito
 * et al., WSDM 2020, for a pointwise loss). seen comes from what was drawn by chance where there is
 * enough of it (objective_places.c). Calibration knows it, so that P means: if it is looked at.
 *
 * Labels that are not known, and the users held out, get a gradient of zero.
 *
 * Cost: about .5 ns a row, feature and tree. Deterministic whatever the threads. */
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/objective_rows.h"
#include "model/section.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SUCCESS_MAX   10.0f /* weight of a success at a place that is hardly looked at */
#define IMPROVE_EVERY 5     /* trees */

void wn_objective_rows_clear(wn_objective_rows *rows) {
  wn_free(rows->feature);
  wn_free(rows->weight);
  wn_free(rows->success);
  wn_free(rows->unknown);
  wn_free(rows->unit);
  wn_free(rows->place);
  wn_free(rows->propensity);
  memset(rows, 0, sizeof *rows);
}

wn_status wn_objective_rows_replayed(wn_ranker_table *t, wn_objective_rows *out, wn_error *err) {
  size_t row = 0;
  *out = (wn_objective_rows){.feature = t->feature,
                             .weight = t->weight,
                             .success = t->success,
                             .unit = wn_reallocarray(NULL, t->rows + 1, sizeof *out->unit),
                             .rows = t->rows,
                             .features = t->features,
                             .source = WN_OBJECTIVE_REPLAY};
  t->feature = t->weight = NULL;
  t->success = NULL;
  if (out->unit == NULL) {
    wn_objective_rows_clear(out);
    return wn_fail_memory(err);
  }
  for (size_t g = 0; g < t->groups; g++)
    for (unsigned i = 0; i < t->size[g]; i++) out->unit[row++] = wn_mix64(t->moment[g].user);
  return WN_OK;
}

/* --- counting --- */

typedef struct counts {
  size_t known, successes, held, held_successes;
  double weight, success_weight; /* of what the trees learn from */
} counts;

static counts count(const wn_objective_view *v) {
  counts c = {0};
  for (size_t i = 0; i < v->rows->rows; i++) {
    if (!wn_view_known(v, i)) continue;
    bool success = wn_view_success(v, i), held = wn_view_held_out(v, i);
    c.known++;
    c.successes += success;
    c.held += held;
    c.held_successes += held && success;
    if (held) continue;
    c.weight += (double)v->rows->weight[i];
    c.success_weight += success ? (double)v->rows->weight[i] : 0;
  }
  return c;
}

static bool enough(const counts *c) {
  return c->successes >= WN_OBJECTIVE_LABELS_MIN &&
         c->known - c->successes >= WN_OBJECTIVE_LABELS_MIN &&
         c->held_successes >= WN_OBJECTIVE_HELD_MIN &&
         c->held - c->held_successes >= WN_OBJECTIVE_HELD_MIN && c->success_weight > 0 &&
         c->weight > c->success_weight;
}

bool wn_objective_rows_enough(const wn_objective_rows *rows, size_t objectives) {
  for (size_t k = 0; k < objectives; k++) {
    counts c = count(&(wn_objective_view){rows, k});
    if (enough(&c)) return true;
  }
  return false;
}

/* --- trees --- */

typedef struct loss {
  const wn_objective_view *view;
  wn_objective_head *head;
  bool learns_places;
} loss;

/* The loss of one row at its margin: P(success) = seen · P(success if seen), or the weighted one.
 */
static void gradient_of(const loss *l, size_t i, float margin, float *grad, float *hess) {
  const wn_objective_view *v = l->view;
  float q = 1 / (1 + expf(-margin)), y = wn_view_success(v, i) ? 1 : 0;
  float seen = l->head->seen[wn_view_place(v, i)];
  float g = q - y, h = q * (1 - q);
  if (l->head->spec.position == WN_POSITION_IPW) {
    g = q - y * fminf(1 / seen, SUCCESS_MAX);
  } else if (l->head->spec.position == WN_POSITION_PAL) {
    float p = fminf(seen * q, 1 - 1e-6f);
    g = -(1 - q) * (y - p) / (1 - p);
    h = (1 - q) * (1 - q) * p / (1 - p);
  }
  *grad = v->rows->weight[i] * g;
  *hess = v->rows->weight[i] * fmaxf(h, 1e-12f);
}

static void gradient(void *ctx, uint32_t tree, const float *margin, float *grad, float *hess) {
  loss *l = ctx;
  if (l->learns_places && tree % IMPROVE_EVERY == 0)
    wn_places_improve(l->view, margin, l->head->seen);
  for (size_t i = 0; i < l->view->rows->rows; i++) {
    grad[i] = hess[i] = 0;
    if (wn_view_known(l->view, i) && !wn_view_held_out(l->view, i))
      gradient_of(l, i, margin[i], &grad[i], &hess[i]);
  }
}

/* The column of the place: where it was shown for who learns from it, the first for the others. */
static void set_places(const wn_objective_view *v, const wn_boost_options *options, bool real) {
  const wn_objective_rows *r = v->rows;
  for (size_t i = 0; options->place_column != WN_NO_IX && i < r->rows; i++) {
    uint32_t place = wn_view_place(v, i);
    r->feature[i * r->features + options->place_column] = real && place > 0 ? (float)place : 1;
  }
}

static wn_status fit_trees(const wn_objective_view *v, const counts *c,
                           const wn_boost_options *options, const wn_fit_env *env,
                           wn_objective_model *out, wn_error *err) {
  const wn_objective_rows *r = v->rows;
  wn_boost_data data = {.feature = r->feature, .rows = r->rows, .features = r->features};
  uint32_t method = out->head.spec.position;
  loss l = {v, &out->head,
            r->place != NULL && method == WN_POSITION_PAL && out->head.by_chance == 0};
  wn_boost_loss boosted = {gradient, &l, (float)(c->success_weight / c->weight)};
  wn_boost_options own = *options;
  own.seed = wn_mix64(options->seed + v->k);
  set_places(v, options, method == WN_POSITION_FEATURE);
  wn_status status = wn_boost_forest(&data, &own, &boosted, env->progress, &out->forest, err);
  out->forest.link = WN_FOREST_RAW; /* the calibration makes it a probability */
  return status;
}

/* What places do, as far as the objective's method wants to know. Where nothing was shown, and for
 * methods without a factor, all is seen. Where too little was drawn by chance PAL learns its factor
 * with the trees; IPW takes that one, from trees that are then dropped. */
static wn_status find_places(const wn_objective_view *v, const counts *c,
                             const wn_boost_options *options, const wn_fit_env *env,
                             wn_objective_model *out, wn_error *err) {
  wn_objective_head *h = &out->head;
  uint32_t method = h->spec.position;
  wn_status status = WN_OK;
  for (size_t k = 0; k <= WN_PLACES; k++) h->seen[k] = 1;
  if (v->rows->place == NULL || method == WN_POSITION_NONE || method == WN_POSITION_FEATURE)
    return WN_OK;
  h->by_chance = wn_places_by_chance(v, h->seen);
  if (h->by_chance) return WN_OK;
  wn_places_by_successes(v, h->seen);
  if (method == WN_POSITION_PAL) return WN_OK;
  h->spec.position = WN_POSITION_PAL;
  status = fit_trees(v, c, options, env, out, err);
  h->spec.position = method;
  wn_forest_clear(&out->forest);
  return status;
}

/* --- calibration --- */

static wn_status calibrate(const wn_objective_view *v, const counts *c, wn_objective_model *out,
                           wn_error *err) {
  const wn_objective_rows *r = v->rows;
  size_t n = 0;
  wn_status status = WN_OK;
  wn_calibration_sample *samples = wn_reallocarray(NULL, c->held + 1, sizeof *samples);
  if (samples == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < r->rows; i++) {
    float margin;
    if (!wn_view_known(v, i) || !wn_view_held_out(v, i)) continue;
    wn_forest_predict(&out->forest, r->feature + i * r->features, 1, r->features, &margin);
    samples[n++] = (wn_calibration_sample){.margin = margin,
                                           .label = wn_view_success(v, i) ? 1 : 0,
                                           .weight = r->weight[i],
                                           .exposure = out->head.seen[wn_view_place(v, i)],
                                           .fold = (uint32_t)(r->unit[i] / WN_HELD_SHARE & 1)};
  }
  status = wn_calibration_choose(samples, n, &out->head.calibration, &out->head.report, err);
  wn_free(samples);
  return status;
}

static const char *const sources[] = {"nothing", "impressions", "replayed history"};
const char *wn_objective_source_name(unsigned source) {
  return source <= WN_OBJECTIVE_REPLAY ? sources[source] : NULL;
}

static void tell(const wn_objective_head *h) {
  const wn_calibration_quality *a = &h->report.before, *b = &h->report.after;
  if (h->source == WN_OBJECTIVE_UNLABELLED)
    wn_log(
        WN_LOG_WARN,
        "objective %s has no model: %" PRIu64 " successes among %" PRIu64
        " known labels; %d successes and as many failures are needed, %d of each of held-out users",
        h->spec.name, h->successes, h->rows, WN_OBJECTIVE_LABELS_MIN, WN_OBJECTIVE_HELD_MIN);
  else
    wn_log(WN_LOG_INFO,
           "objective %s from %s: %" PRIu64 " successes of %" PRIu64
           ", AUC %.3f, calibration %s: ECE %.4f to %.4f, Brier %.4f to %.4f",
           h->spec.name, sources[h->source], h->successes, h->rows, b->auc,
           wn_calibration_method_name(h->calibration.method), a->ece, b->ece, a->brier, b->brier);
}

wn_status wn_objective_fit(const wn_objective_rows *rows, size_t k, const wn_boost_options *options,
                           const wn_fit_env *env, wn_objective_model *out, wn_error *err) {
  wn_objective_view v = {rows, k};
  counts c = count(&v);
  wn_status status = WN_OK;
  wn_calibration_init(&out->head.calibration);
  out->head.rows = c.known;
  out->head.successes = c.successes;
  out->head.source = WN_OBJECTIVE_UNLABELLED;
  if (enough(&c)) {
    WN_TRY(find_places(&v, &c, options, env, out, err));
    WN_TRY(fit_trees(&v, &c, options, env, out, err));
    WN_TRY(calibrate(&v, &c, out, err));
    out->head.source = rows->source;
  }
  tell(&out->head);
cleanup:
  return status;
}

void wn_objective_predict(const wn_objective_model *objective, const wn_feature_rows *rows,
                          float *p) {
  wn_forest_predict(&objective->forest, rows->feature, rows->len, rows->features, p);
  for (size_t i = 0; i < rows->len; i++) p[i] = wn_calibrated(&objective->head.calibration, p[i]);
}

/* --- snapshots --- */

wn_status wn_objective_models_save(const wn_objective_model *models, size_t len,
                                   wn_snapshot_writer *writer, wn_error *err) {
  wn_objective_head heads[WN_OBJECTIVES_MAX];
  char prefix[48];
  wn_status status = WN_OK;
  if (len == 0) return WN_OK;
  for (size_t k = 0; k < len; k++) memcpy(&heads[k], &models[k].head, sizeof heads[k]);
  WN_TRY(wn_snapshot_write(writer, "ranker/objectives", heads, len * sizeof *heads, err));
  for (size_t k = 0; k < len; k++) {
    snprintf(prefix, sizeof prefix, "ranker/objective%zu", k);
    WN_TRY(wn_forest_save(&models[k].forest, prefix, writer, err));
  }
cleanup:
  return status;
}

static wn_status check(const wn_objective_head *h, wn_error *err) {
  bool good = memchr(h->spec.name, '\0', sizeof h->spec.name) != NULL &&
              memchr(h->spec.among, '\0', sizeof h->spec.among) != NULL &&
              h->spec.rule.terms <= WN_LABEL_TERMS_MAX && h->spec.position < WN_POSITION_METHODS &&
              isfinite(h->spec.weight) && h->source <= WN_OBJECTIVE_REPLAY &&
              wn_calibration_good(&h->calibration);
  for (size_t k = 0; good && k <= WN_PLACES; k++) good = h->seen[k] >= 0 && h->seen[k] <= 1;
  for (uint32_t t = 0; good && t < h->spec.rule.terms; t++)
    good = memchr(h->spec.rule.term[t].type, '\0', sizeof h->spec.rule.term[t].type) != NULL &&
           h->spec.rule.term[t].test <= WN_LABEL_EQ;
  return good ? WN_OK : wn_fail(err, WN_E_CORRUPT, "ranker/objectives", "a number out of range");
}

wn_status wn_objective_heads_read(const wn_snapshot *snapshot, wn_objective_head *out, size_t *len,
                                  wn_error *err) {
  const void *raw;
  uint64_t count = 0;
  wn_status status = WN_OK;
  *len = 0;
  if (!wn_snapshot_has(snapshot, "ranker/objectives")) return WN_OK;
  WN_TRY(wn_snapshot_section(snapshot, "ranker/objectives", sizeof *out, &raw, &count, err));
  if (count > WN_OBJECTIVES_MAX)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "ranker/objectives", "%" PRIu64 " objectives", count));
  for (size_t k = 0; k < count; k++) {
    memcpy(&out[k], (const wn_objective_head *)raw + k, sizeof *out);
    WN_TRY(check(&out[k], err));
  }
  *len = (size_t)count;
cleanup:
  return status;
}

wn_status wn_objective_models_map(const wn_snapshot *snapshot, uint32_t features,
                                  wn_objective_model *out, size_t *len, wn_error *err) {
  wn_objective_head heads[WN_OBJECTIVES_MAX];
  char prefix[48];
  size_t count;
  wn_status status = wn_objective_heads_read(snapshot, heads, &count, err);
  *len = 0;
  if (status != WN_OK) return status;
  for (; *len < count; ++*len) {
    wn_objective_model *m = &out[*len];
    m->head = heads[*len];
    snprintf(prefix, sizeof prefix, "ranker/objective%zu", *len);
    WN_TRY(wn_forest_map(snapshot, prefix, &m->forest, err));
    if (m->forest.trees.count > 0 && m->forest.features != features) {
      wn_forest_clear(&m->forest);
      WN_TRY(wn_fail(err, WN_E_CORRUPT, prefix, "features of another set than the ranker's"));
    }
  }
cleanup:
  return status;
}

void wn_objective_models_clear(wn_objective_model *models, size_t len) {
  for (size_t k = 0; k < len; k++) wn_forest_clear(&models[k].forest);
}
