/* XGBoost's C API (Chen and Guestrin, KDD 2016). Memory: 8 bytes a cell beside the caller's own
 * 4. */
#include "model/boost.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xgboost/c_api.h>

static wn_status booster_fail(wn_error *err) {
  return wn_fail(err, WN_E_INTERNAL, "ranker", "XGBoost: %.300s", XGBGetLastError());
}

#define XGB(call)                                                                                  \
  do {                                                                                             \
    if ((call) != 0) WN_TRY(booster_fail(err));                                                    \
  } while (0)

static wn_status set_params(BoosterHandle booster, const wn_boost_options *o,
                            const wn_boost_loss *loss, wn_error *err) {
  static const char *const losses[] = {[WN_BOOST_LOGISTIC] = "binary:logistic",
                                       [WN_BOOST_NDCG] = "rank:ndcg",
                                       [WN_BOOST_PAIRWISE] = "rank:pairwise"};
  char eta[32], depth[16], seed[24], base[32];
  wn_status status = WN_OK;
  snprintf(eta, sizeof eta, "%.9g", o->eta);
  snprintf(depth, sizeof depth, "%u", o->depth);
  snprintf(seed, sizeof seed, "%u", (unsigned)(o->seed & 0x7fffffff));
  snprintf(base, sizeof base, "%.9g", loss != NULL ? (double)loss->base : 0.5);
  const char *const params[][2] = {
      {"objective", losses[o->loss]},
      {"tree_method", "hist"},
      {"eta", eta},
      {"max_depth", depth},
      {"min_child_weight", "5"},
      {"subsample", "0.8"},
      {"nthread", "1"},
      {"seed", seed},
      {"verbosity", "0"},
      {"base_score", base},
  };
  for (size_t i = 0; i < sizeof params / sizeof *params; i++)
    XGB(XGBoosterSetParam(booster, params[i][0], params[i][1]));
cleanup:
  return status;
}

typedef struct boosting {
  BoosterHandle booster;
  DMatrixHandle matrix;
  float *scratch; /* [2 × rows] */
  size_t rows;
} boosting;

/* Boosting goes on where the old trees' sums are: XGBoost's own continued training, without its
 * model. */
static wn_status go_on(const boosting *b, const wn_boost_data *data, const wn_forest *warm,
                       wn_error *err) {
  wn_status status = WN_OK;
  wn_forest raw = *warm;
  float *margin = wn_reallocarray(NULL, data->rows + 1, sizeof *margin);
  if (margin == NULL) return wn_fail_memory(err);
  raw.link = WN_FOREST_RAW;
  wn_forest_predict(&raw, data->feature, data->rows, data->features, margin);
  XGB(XGDMatrixSetFloatInfo(b->matrix, "base_margin", margin, data->rows));
cleanup:
  wn_free(margin);
  return status;
}

/* One tree along a gradient of the caller's. */
static wn_status step(const boosting *b, const wn_boost_loss *loss, uint32_t tree, wn_error *err) {
  wn_status status = WN_OK;
  bst_ulong len = 0;
  const float *margin = NULL;
  float *grad = b->scratch, *hess = b->scratch + b->rows;
  XGB(XGBoosterPredict(b->booster, b->matrix, 1, 0, 1, &len, &margin));
  if (len != b->rows) WN_TRY(wn_fail(err, WN_E_INTERNAL, "ranker", "XGBoost lost rows"));
  loss->gradient(loss->ctx, tree, margin, grad, hess);
  XGB(XGBoosterBoostOneIter(b->booster, b->matrix, grad, hess, b->rows));
cleanup:
  return status;
}

wn_status wn_boost_forest(const wn_boost_data *data, const wn_boost_options *o,
                          const wn_boost_loss *loss, const wn_progress *progress, wn_forest *out,
                          wn_error *err) {
  boosting b = {.rows = data->rows};
  bst_ulong bytes = 0;
  const char *json = NULL;
  wn_forest fresh = {0};
  wn_status status = WN_OK;
  XGB(XGDMatrixCreateFromMat(data->feature, data->rows, data->features, NAN, &b.matrix));
  if (data->label != NULL) XGB(XGDMatrixSetFloatInfo(b.matrix, "label", data->label, data->rows));
  if (data->size != NULL) XGB(XGDMatrixSetUIntInfo(b.matrix, "group", data->size, data->groups));
  if (o->warm != NULL) WN_TRY(go_on(&b, data, o->warm, err));
  XGB(XGBoosterCreate(&b.matrix, 1, &b.booster));
  WN_TRY(set_params(b.booster, o, loss, err));
  if (loss != NULL) {
    b.scratch = wn_reallocarray(NULL, 2 * data->rows + 1, sizeof *b.scratch);
    if (b.scratch == NULL) WN_TRY(wn_fail_memory(err));
  }
  for (uint32_t i = 0; i < o->trees; i++) {
    if (!wn_progress_at(progress, o->stage, i, o->trees, "trees"))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    if (loss == NULL)
      XGB(XGBoosterUpdateOneIter(b.booster, (int)i, b.matrix));
    else
      WN_TRY(step(&b, loss, i, err));
  }
  XGB(XGBoosterSaveModelToBuffer(b.booster, "{\"format\": \"json\"}", &bytes, &json));
  WN_TRY(wn_forest_parse((wn_str){json, bytes}, &fresh, err));
  if (o->warm != NULL) {
    WN_TRY(wn_forest_join(o->warm, &fresh, out, err));
  } else {
    *out = fresh;
    memset(&fresh, 0, sizeof fresh);
  }
cleanup:
  wn_forest_clear(&fresh);
  wn_free(b.scratch);
  if (b.booster != NULL) (void)XGBoosterFree(b.booster);
  if (b.matrix != NULL) (void)XGDMatrixFree(b.matrix);
  return status;
}
