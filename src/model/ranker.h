#ifndef WN_MODEL_RANKER_H
#define WN_MODEL_RANKER_H
/* Inside of the ranker: its features (ranker_rows.c, one definition for training and serving), the
 * fit (ranker_fit.c) and the class (ranker.c). */

#include "model/forest.h"
#include "model/model.h"

#define WN_RANKER_OPINIONS_MAX 32
#define WN_RANKER_NAME_MAX     31

/* A model's list for a user, made from all of her history or from its newest items alone. Snapshot
 * section "ranker/opinions". */
typedef struct wn_ranker_opinion {
  char model[WN_RANKER_NAME_MAX + 1];
  uint32_t newest; /* items of the history; 0: all */
  uint32_t reserved;
} wn_ranker_opinion;

/* Snapshot section "ranker/head". */
typedef struct wn_ranker_head {
  uint32_t version;
  uint32_t opinions;
  uint32_t depth;        /* of each list */
  uint32_t items;        /* of `users_of` */
  uint32_t rows, groups; /* trained on */
  uint32_t trees_wanted, reserved;
} wn_ranker_head;

/* What features are made from; models NULL: missing. */
typedef struct wn_ranker_world {
  const wn_ranker_opinion *opinion;
  const wn_model *model[WN_RANKER_OPINIONS_MAX];
  uint32_t opinions, depth;
  const uint32_t *users_of; /* [items] */
  uint32_t items;
} wn_ranker_world;

/* Candidates of one query, each in one row; in the query's arena. */
typedef struct wn_ranker_rows {
  uint32_t *item;
  float *feature; /* [len × features] NaN: absent */
  size_t len, features;
} wn_ranker_rows;

uint32_t wn_ranker_features(uint32_t opinions);
/* A feature's name for humans, "place in covisit, newest 1"; returns buf. */
const char *wn_ranker_feature_name(const wn_ranker_opinion *opinion, uint32_t opinions, uint32_t at,
                                   char *buf, size_t size);
/* Asks every opinion; items in the order in which they were first proposed. */
WN_MUST_USE wn_status wn_ranker_rows_of(const wn_ranker_world *world, const wn_query *query,
                                        wn_ranker_rows *out, wn_error *err);

typedef struct wn_ranker_fit_options {
  uint32_t users_max, negatives, trees, depth; /* depth: of a tree */
  double eta;
  bool listwise;
  const wn_ranker_opinion *opinions; /* [head.opinions] */
} wn_ranker_fit_options;
/* Fills head.rows, head.groups and the forest (without trees when there is nothing to learn from);
 * opinions and the lists' depth are set. */
WN_MUST_USE wn_status wn_ranker_fit(const wn_dataset *data, const wn_ranker_fit_options *options,
                                    const wn_fit_env *env, wn_ranker_head *head, wn_forest *out,
                                    wn_error *err);

#endif
