#ifndef WN_MODEL_RANKER_H
#define WN_MODEL_RANKER_H
/* Inside of the ranker: the fit (ranker_fit.c) and the class (ranker.c). Features: feature.h. */

#include "model/feature.h"
#include "model/boost.h"
#include "model/calibrate.h"
#include "model/blend.h"
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
  unsigned horizon;                              /* of blend.h: what the moments are */
  uint32_t moments_max, negatives, trees, depth; /* depth: of a tree */
  double eta;
  bool listwise;            /* of what is next; of what comes later, pairs always */
  const wn_forest *warm;    /* the incumbent's order, to go on from; NULL: from nothing */
  uint32_t warm_trees;      /* that are new then */
  const wn_models *blended; /* with the blend to be judged against; NULL: no moments are held out
                               for a judgement */
  const wn_feature_set *set;
  const wn_label_index *labels; /* of objectives; NULL: none */
} wn_ranker_fit_options;

/* What the trees learn from: groups of rows, one a moment, what was taken first. */
typedef struct wn_ranker_moment {
  uint32_t user, taken; /* how much was, whether a candidate or not */
  int64_t time_ms;
} wn_ranker_moment;
typedef struct wn_ranker_table {
  float *feature, *label; /* [rows × features], [rows] */
  uint32_t *item;         /* [rows] */
  float *weight;          /* [rows] how many candidates of its moment a row stands for */
  uint8_t *success;       /* [rows] bit k: for objective k; NULL without labels */
  unsigned *size;         /* [groups] rows of each */
  wn_ranker_moment *moment;
  /* The first of them say nothing of the time and the users of the moments to be judged by, if
   * their labels are `early` (NULL: label). */
  float *early;
  size_t early_rows, early_groups;
  float *blend; /* [rows] what the blend gives; of moments to be judged by alone */
  size_t rows, groups, features;
  size_t moments; /* replayed, of which `groups` teach something */
} wn_ranker_table;
typedef enum wn_ranker_table_kind {
  WN_RANKER_LEARN,
  WN_RANKER_WHOLE, /* held out with all their candidates, some without anything that was taken */
  WN_RANKER_JUDGE, /* those near the top of a list alone; what is next: held out, too */
  WN_RANKER_TABLES
} wn_ranker_table_kind;
/* Fills out[WN_RANKER_TABLES]; no rows where there is nothing. */
WN_MUST_USE wn_status wn_ranker_tables_make(const wn_dataset *data,
                                            const wn_ranker_fit_options *options,
                                            const wn_fit_env *env, wn_ranker_table *out,
                                            wn_error *err);
void wn_ranker_table_clear(wn_ranker_table *table);
void wn_ranker_tables_clear(wn_ranker_table *tables); /* all of them */
/* Trees or blend? Snapshot section "ranker/verdict", one a horizon (blend.h). */
typedef struct wn_ranker_verdict {
  uint32_t moments; /* judged by; 0: there were too few, or no blend */
  uint32_t blend;   /* 1: the blend orders, 0: the trees */
  float ndcg_trees; /* @20, over the candidates near the top of some list */
  float ndcg_blend; /* of the same moments */
  float error;      /* standard error of the difference */
  uint32_t reserved;
} wn_ranker_verdict;
/* What is learnt for one horizon: no trees and a light ranker of version 0 where there is nothing
 * to learn from. */
typedef struct wn_ranker_learnt {
  wn_forest forest;
  wn_light light;
  wn_ranker_verdict verdict;
} wn_ranker_learnt;
WN_MUST_USE wn_status wn_ranker_fit(const wn_ranker_table *tables,
                                    const wn_ranker_fit_options *options, const wn_fit_env *env,
                                    wn_ranker_learnt *out, wn_error *err);
/* NDCG of a forest and of the blend on the moments of `judge`; fills all but `blend`. */
WN_MUST_USE wn_status wn_ranker_judge(const wn_ranker_table *judge, const wn_forest *forest,
                                      wn_ranker_verdict *out, wn_error *err);
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
/* Which of its two sets of trees a query is for (blend.h). */
unsigned wn_ranker_horizon(const wn_model *ranker, const wn_query *query);
/* It learnt an order for this horizon, and not objectives alone, and orders better than the blend.
 */
bool wn_ranker_orders(const wn_model *ranker, unsigned horizon);
const wn_ranker_learnt *wn_ranker_order(const wn_model *ranker, unsigned horizon);
const wn_feature_set *wn_ranker_features(const wn_model *ranker);
/* Its objectives, of which those without trees have nothing to say. */
size_t wn_ranker_objectives(const wn_model *ranker, const wn_objective_model **out);
const wn_objective_model *wn_ranker_objective(const wn_model *ranker, const char *name);
/* The calibrated probabilities of rows that wn_ranker_rows made. */
void wn_objective_predict(const wn_objective_model *objective, const wn_feature_rows *rows,
                          float *p);
uint64_t wn_ranker_feature_set(const wn_model *ranker); /* wn_feature_set_hash */
/* Its light ranker: wn_ranker_light (light.h). */
/* The features of given items; ask->lists (NULL: none) are those of opinions that the caller has,
 * as for wn_feature_lists. Memory from query->arena. */
WN_MUST_USE wn_status wn_ranker_rows(const wn_model *ranker, const wn_query *query,
                                     const wn_feature_ask *ask, wn_feature_rows *rows,
                                     wn_error *err);
/* What the trees of a horizon make of them. */
void wn_ranker_predict(const wn_model *ranker, unsigned horizon, const wn_feature_rows *rows,
                       float *scores);
/* What each feature of one row adds (wn_forest_contributions). */
float wn_ranker_contributions(const wn_model *ranker, unsigned horizon, const float *row,
                              float *contribution);
const char *wn_ranker_feature_name(const wn_model *ranker, uint32_t at, char *buf, size_t size);

/* Every model of the run that starts from a history, in class order; those that follow it closely
 * also by its newest item and its newest three. */
void wn_ranker_choose_opinions(const struct wn_train_options *run, wn_feature_set *set);
/* The set's opinions among these models. */
void wn_ranker_find_opinions(const wn_feature_set *set, const wn_models *models,
                             const wn_model **out);

#endif
