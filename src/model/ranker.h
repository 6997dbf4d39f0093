#ifndef WN_MODEL_RANKER_H
#define WN_MODEL_RANKER_H
/* Inside of the ranker: the fit (ranker_fit.c) and the class (ranker.c). Features: feature.h. */

#include "model/feature.h"
#include "model/boost.h"
#include "model/calibrate.h"
#include "model/objective.h"
#include "model/replay.h"

/* Snapshot section "ranker/head". */
typedef struct wn_ranker_head {
  uint32_t version;
  uint32_t rows, groups; /* trained on */
  uint32_t reserved;
} wn_ranker_head;

/* Snapshot section "ranker/light": weights of the light ranker (light.h). version 0: none. */
#define WN_LIGHT_SAID 4
#define WN_LIGHT_OWN  6
typedef struct wn_light {
  uint32_t version;
  uint32_t moments; /* held out, that `kept` was measured on */
  float kept;       /* of the trees' best 20, among its best 200 */
  float reserved;
  float said[WN_OPINIONS_MAX][WN_LIGHT_SAID]; /* of each opinion of whole histories */
  float own[WN_LIGHT_OWN];
} wn_light;

typedef struct wn_ranker_fit_options {
  uint32_t moments_max, negatives, trees, depth; /* depth: of a tree */
  uint32_t ahead; /* of a moment with a time: things taken next that count; 0: those of one time */
  double eta;
  bool listwise;
  const wn_forest *warm; /* the incumbent's order, to go on from; NULL: from nothing */
  uint32_t warm_trees;   /* that are new then */
  const wn_feature_set *set;
  const wn_label_index *labels; /* of objectives; NULL: none */
} wn_ranker_fit_options;

/* What the trees learn from: groups of rows, one a moment, what was taken first. */
typedef struct wn_ranker_moment {
  uint32_t user;
  int64_t time_ms;
} wn_ranker_moment;
typedef struct wn_ranker_table {
  float *feature, *label; /* [rows × features], [rows] */
  uint32_t *item;         /* [rows] */
  float *weight;          /* [rows] how many candidates of its moment a row stands for */
  uint8_t *success;       /* [rows] bit k: for objective k; NULL without labels */
  unsigned *size;         /* [groups] rows of each */
  wn_ranker_moment *moment;
  size_t rows, groups, features;
  size_t moments; /* replayed, of which `groups` teach something */
} wn_ranker_table;
/* `whole`: moments held out with all their candidates, some of them without anything that was
 * taken. */
WN_MUST_USE wn_status wn_ranker_table_make(const wn_dataset *data,
                                           const wn_ranker_fit_options *options,
                                           const wn_fit_env *env, wn_ranker_table *out,
                                           wn_ranker_table *whole, wn_error *err);
void wn_ranker_table_clear(wn_ranker_table *table);
/* What is learnt: head.rows, head.groups, the forest and the light ranker (without trees and of
 * version 0 when there is nothing to learn from). */
typedef struct wn_ranker_learnt {
  wn_ranker_head *head;
  wn_forest *forest;
  wn_light *light;
} wn_ranker_learnt;
WN_MUST_USE wn_status wn_ranker_fit(const wn_ranker_table *table, const wn_ranker_table *whole,
                                    const wn_ranker_fit_options *options, const wn_fit_env *env,
                                    wn_ranker_learnt *out, wn_error *err);
/* --- objectives --- */

typedef enum wn_objective_source {
  WN_OBJECTIVE_UNLABELLED, /* no model: too few successes (or failures) to learn from */
  WN_OBJECTIVE_IMPRESSIONS,
  WN_OBJECTIVE_REPLAY /* before there are impressions: candidates of past moments */
} wn_objective_source;

const char *wn_objective_source_name(unsigned source);

#define WN_PLACES 20 /* told apart; those below are like the last */

/* One objective's model as a snapshot has it, without its trees. */
typedef struct wn_objective_head {
  wn_objective spec; /* as it was trained: the weight that counts is the configuration's */
  uint32_t source;   /* wn_objective_source */
  uint32_t reserved;
  uint64_t rows, successes; /* known labels, and those of them that are successes */
  wn_calibration calibration;
  wn_calibration_report report; /* on users who were held out */
  float seen[WN_PLACES + 1];    /* by place, 1 at the first; all 1 where places do not matter */
  uint32_t by_chance;           /* 1: from what was drawn by chance */
} wn_objective_head;

typedef struct wn_objective_model {
  wn_objective_head head;
  wn_forest forest; /* margins */
} wn_objective_model;

/* Rows that objectives learn from. */
typedef struct wn_objective_rows {
  float *feature;             /* [rows × features] */
  float *weight;              /* [rows] rows that it stands for: negatives may be a sample */
  uint8_t *success, *unknown; /* [rows] bit k: objective k; unknown NULL: none */
  uint64_t *unit;             /* [rows] who: held out together */
  uint16_t *place;            /* [rows] shown at, from 1; NULL: nothing was shown */
  float *propensity;          /* [rows] of being shown there; NULL likewise */
  size_t rows, features;
  wn_objective_source source;
} wn_objective_rows;
void wn_objective_rows_clear(wn_objective_rows *rows);

struct wn_label_log;
/* Fills facts->shown from the impressions, if there are any. */
WN_MUST_USE wn_status wn_facts_count_shown(const struct wn_label_log *log, wn_item_facts *facts,
                                           wn_error *err);
/* What was shown, with the features of `set` as they were logged then, and what came of it. */
WN_MUST_USE wn_status wn_objective_rows_logged(const struct wn_label_log *log,
                                               const wn_labels *labels, uint64_t set,
                                               uint32_t features, wn_objective_rows *out,
                                               wn_error *err);
/* Moves the features and the labels of a replayed table over. */
WN_MUST_USE wn_status wn_objective_rows_replayed(wn_ranker_table *table, wn_objective_rows *out,
                                                 wn_error *err);
/* Are there enough successes and failures of any objective? */
bool wn_objective_rows_enough(const wn_objective_rows *rows, size_t objectives);
/* Objective `k`; out->head.spec is given. */
WN_MUST_USE wn_status wn_objective_fit(const wn_objective_rows *rows, size_t k,
                                       const wn_boost_options *options, const wn_fit_env *env,
                                       wn_objective_model *out, wn_error *err);
WN_MUST_USE wn_status wn_objective_models_save(const wn_objective_model *models, size_t len,
                                               wn_snapshot_writer *writer, wn_error *err);
/* What a snapshot says of its objectives; out: WN_OBJECTIVES_MAX. */
WN_MUST_USE wn_status wn_objective_heads_read(const wn_snapshot *snapshot, wn_objective_head *out,
                                              size_t *len, wn_error *err);
WN_MUST_USE wn_status wn_objective_models_map(const wn_snapshot *snapshot, uint32_t features,
                                              wn_objective_model *out, size_t *len, wn_error *err);
void wn_objective_models_clear(wn_objective_model *models, size_t len);

/* --- for the funnel's score stage --- */

/* The set's ranker; NULL: none, or one that learnt nothing. */
const wn_model *wn_ranker_of(const wn_models *models);
/* Which features a snapshot's trees gained most by: a line for the order and one an objective, each
 * after a line break; nothing without a ranker. */
WN_MUST_USE wn_status wn_ranker_importance(const wn_snapshot *snapshot, wn_buf *out, wn_error *err);
/* Is a ranker to be trained that looks at features of this family? */
bool wn_ranker_wants(const struct wn_train_options *run, unsigned family);
bool wn_ranker_orders(const wn_model *ranker); /* it learnt an order, and not objectives alone */
const wn_feature_set *wn_ranker_features(const wn_model *ranker);
/* Its objectives, of which those without trees have nothing to say. */
size_t wn_ranker_objectives(const wn_model *ranker, const wn_objective_model **out);
const wn_objective_model *wn_ranker_objective(const wn_model *ranker, const char *name);
/* The calibrated probabilities of rows that wn_ranker_score made. */
void wn_objective_predict(const wn_objective_model *objective, const wn_feature_rows *rows,
                          float *p);
uint64_t wn_ranker_feature_set(const wn_model *ranker); /* wn_feature_set_hash */
/* Its light ranker: wn_ranker_light (light.h). */
/* Scores of given items (NULL: only the rows are wanted); ask->lists (NULL: none) are those of
 * opinions that the caller has, as for wn_feature_lists. `rows`: the features, for
 * wn_ranker_contributions. Memory from query->arena. */
WN_MUST_USE wn_status wn_ranker_score(const wn_model *ranker, const wn_query *query,
                                      const wn_feature_ask *ask, float *scores,
                                      wn_feature_rows *rows, wn_error *err);
/* What each feature of one row adds (wn_forest_contributions). */
float wn_ranker_contributions(const wn_model *ranker, const float *row, float *contribution);
const char *wn_ranker_feature_name(const wn_model *ranker, uint32_t at, char *buf, size_t size);

/* Every model of the run that starts from a history, in class order; those that follow it closely
 * also by its newest item and its newest three. */
void wn_ranker_choose_opinions(const struct wn_train_options *run, wn_feature_set *set);
/* The set's opinions among these models. */
void wn_ranker_find_opinions(const wn_feature_set *set, const wn_models *models,
                             const wn_model **out);

#endif
