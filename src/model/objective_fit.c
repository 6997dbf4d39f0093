/* One objective's model: boosted trees under the logistic loss, then a calibration (calibrate.h).
 *
 * Users (slates of nobody: slates) are split by a hash: four fifths are for the trees, the others
 * for the calibration, which is judged by each half of them through what the other half fitted.
 * Labels that are not known, and the users held out, get a gradient of zero.
 *
 * Cost: about .5 ns a row, feature and tree. Deterministic whatever the threads. */
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/ranker.h"
#include "model/section.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SUCCESSES_MIN 50 /* and failures: with fewer there is nothing to learn from */
#define HELD_MIN      10
#define HELD_SHARE    5 /* one user of so many is held out */

void wn_objective_rows_clear(wn_objective_rows *rows) {
  wn_free(rows->feature);
  wn_free(rows->weight);
  wn_free(rows->success);
  wn_free(rows->unknown);
  wn_free(rows->unit);
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

/* --- one objective's view of the rows --- */

typedef struct view {
  const wn_objective_rows *rows;
  size_t k;
} view;

static bool is_known(const view *v, size_t i) {
  return v->rows->unknown == NULL || (v->rows->unknown[i] >> v->k & 1) == 0;
}
static bool is_success(const view *v, size_t i) {
  return (v->rows->success[i] >> v->k & 1) != 0;
}
static bool is_held_out(const view *v, size_t i) {
  return v->rows->unit[i] % HELD_SHARE == 0;
}

typedef struct counts {
  size_t known, successes, held, held_successes;
  double weight, success_weight; /* of what the trees learn from */
} counts;

static counts count(const view *v) {
  counts c = {0};
  for (size_t i = 0; i < v->rows->rows; i++) {
    if (!is_known(v, i)) continue;
    bool success = is_success(v, i), held = is_held_out(v, i);
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
  return c->successes >= SUCCESSES_MIN && c->known - c->successes >= SUCCESSES_MIN &&
         c->held_successes >= HELD_MIN && c->held - c->held_successes >= HELD_MIN &&
         c->success_weight > 0 && c->weight > c->success_weight;
}

bool wn_objective_rows_enough(const wn_objective_rows *rows, size_t objectives) {
  for (size_t k = 0; k < objectives; k++) {
    counts c = count(&(view){rows, k});
    if (enough(&c)) return true;
  }
  return false;
}

/* --- trees --- */

static void logistic_loss(void *ctx, uint32_t tree WN_UNUSED, const float *margin, float *grad,
                          float *hess) {
  const view *v = ctx;
  for (size_t i = 0; i < v->rows->rows; i++) {
    grad[i] = hess[i] = 0;
    if (!is_known(v, i) || is_held_out(v, i)) continue;
    float p = 1 / (1 + expf(-margin[i])), w = v->rows->weight[i];
    grad[i] = w * (p - (is_success(v, i) ? 1 : 0));
    hess[i] = w * fmaxf(p * (1 - p), 1e-12f);
  }
}

static wn_status fit_trees(const view *v, const counts *c, const wn_boost_options *options,
                           const wn_fit_env *env, wn_forest *out, wn_error *err) {
  const wn_objective_rows *r = v->rows;
  wn_boost_data data = {.feature = r->feature, .rows = r->rows, .features = r->features};
  wn_boost_loss loss = {logistic_loss, (void *)(uintptr_t)v,
                        (float)(c->success_weight / c->weight)};
  wn_boost_options own = *options;
  own.listwise = false;
  own.seed = wn_mix64(options->seed + v->k);
  wn_status status = wn_boost_forest(&data, &own, &loss, env->progress, out, err);
  out->link = WN_FOREST_RAW; /* the calibration makes it a probability */
  return status;
}

/* --- calibration --- */

static wn_status calibrate(const view *v, const counts *c, wn_objective_model *out, wn_error *err) {
  const wn_objective_rows *r = v->rows;
  size_t n = 0;
  wn_status status = WN_OK;
  wn_calibration_sample *samples = wn_reallocarray(NULL, c->held + 1, sizeof *samples);
  if (samples == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < r->rows; i++) {
    float margin;
    if (!is_known(v, i) || !is_held_out(v, i)) continue;
    wn_forest_predict(&out->forest, r->feature + i * r->features, 1, r->features, &margin);
    samples[n++] = (wn_calibration_sample){.margin = margin,
                                           .label = is_success(v, i) ? 1 : 0,
                                           .weight = r->weight[i],
                                           .exposure = 1,
                                           .fold = (uint32_t)(r->unit[i] / HELD_SHARE & 1)};
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
    wn_log(WN_LOG_WARN,
           "objective %s has no model: %" PRIu64 " successes among %" PRIu64
           " known labels, at least %d and as many failures are needed",
           h->spec.name, h->successes, h->rows, SUCCESSES_MIN);
  else
    wn_log(WN_LOG_INFO,
           "objective %s from %s: %" PRIu64 " successes of %" PRIu64
           ", AUC %.3f, calibration %s: ECE %.4f to %.4f, Brier %.4f to %.4f",
           h->spec.name, sources[h->source], h->successes, h->rows, b->auc,
           wn_calibration_method_name(h->calibration.method), a->ece, b->ece, a->brier, b->brier);
}

wn_status wn_objective_fit(const wn_objective_rows *rows, size_t k, const wn_boost_options *options,
                           const wn_fit_env *env, wn_objective_model *out, wn_error *err) {
  view v = {rows, k};
  counts c = count(&v);
  wn_status status = WN_OK;
  wn_calibration_init(&out->head.calibration);
  out->head.rows = c.known;
  out->head.successes = c.successes;
  out->head.source = WN_OBJECTIVE_UNLABELLED;
  if (enough(&c)) {
    WN_TRY(fit_trees(&v, &c, options, env, &out->forest, err));
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
