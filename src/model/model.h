#ifndef WN_MODEL_MODEL_H
#define WN_MODEL_MODEL_H
/* One interface for every candidate generator. A model is fitted on a dataset or mapped from
 * a snapshot; it answers queries built from whatever is known of the user now, so that a user
 * never seen in training is the normal case (fold-in), and so is an item put a second ago.
 *
 * Concurrency: candidates, score_all, similar, item_vector and similar_users may run in many
 * threads at once; update and update_item need exclusive access (the engine's lock). */

#include "base/bitset.h"
#include "base/progress.h"
#include "base/record.h"
#include "base/shelf.h"
#include "base/thread.h"
#include "base/topk.h"
#include "data/dataset.h"
#include "model/snapshot.h"

typedef struct wn_model wn_model;

/* One item of a user's history. */
typedef struct wn_history_entry {
  wn_item_ix item;
  float weight;    /* sum of signal weights, decayed to now; may be negative */
  int64_t time_ms; /* last event */
} wn_history_entry;

/* What a generator may know. Everything is borrowed; everything may be absent. */
typedef struct wn_query {
  const wn_history_entry *history; /* distinct items, newest first, at most WN_HISTORY_MAX */
  size_t history_len;
  const uint8_t *history_standing; /* [history_len] wn_standing; NULL: not known */
  /* [history_len] the strongest type of each pair (wn_signal_strongest); NULL: not known */
  const uint8_t *history_type;
  wn_user_ix user;            /* WN_NO_IX: unknown; models need not have seen it */
  const wn_attrs *user_attrs; /* of one without a history; NULL: not known */
  const wn_attrs *context;    /* what the client says of the request; NULL: nothing */
  wn_item_ix anchor;          /* the item of a flat surface; WN_NO_IX: none */
  const wn_bitset
      *allowed; /* only these items; NULL: all. Lists are full when enough items are allowed. */
  int64_t now_ms;
  uint64_t seed;   /* random generator */
  wn_arena *arena; /* scratch */
} wn_query;

/* Many personal queries at once. Their arenas are one, or NULL. */
typedef struct wn_query_batch {
  const wn_query *query; /* [len] */
  size_t len;
  size_t k;
  wn_scored *out; /* [len × k] */
  size_t *count;  /* [len] */
} wn_query_batch;

#define WN_HISTORY_MAX                                                                             \
  256 /* when serving; evaluation hands in whole histories: models take any length */

/* A fitted model's number-valued option: `--set KEY=VALUE`, `models:` in winnow.yaml. */
typedef struct wn_param_spec {
  const char *name;
  double value; /* default */
  double min, max;
  const char *doc;
} wn_param_spec;

#define WN_PARAMS_MAX 24
typedef struct wn_params {
  double value[WN_PARAMS_MAX]; /* in the order of the class's specs */
  char text[128];              /* of the class's one text option; "": none */
} wn_params;

struct wn_models;
struct wn_train_options;
typedef struct wn_fit_env {
  wn_pool *pool; /* not NULL */
  const wn_progress *progress;
  uint64_t seed;
  const wn_model *warm;           /* the same class's incumbent, or NULL */
  const struct wn_models *fitted; /* those of the same run fitted before this one; may be NULL */
  const struct wn_train_options *run; /* how all models of the run are fitted; may be NULL */
} wn_fit_env;

/* Flags */
#define WN_MODEL_HISTORY 1u /* uses the user's history */
#define WN_MODEL_ANCHOR  2u /* answers `similar` and anchor queries */
#define WN_MODEL_LIVE    4u /* changes with each event (update) */
#define WN_MODEL_TEXT    8u /* needs the catalogue's text or attributes */
#define WN_MODEL_BY_NAME                                                                           \
  16u /* dear to fit: left out where it would take long until a configuration or option names it   \
       */
#define WN_MODEL_ATTRS 32u /* without a history it goes by the user's attributes */

typedef struct wn_model_class {
  const char *name;
  const char *doc; /* one line */
  unsigned flags;
  const wn_param_spec *params; /* params_len of them */
  size_t params_len;
  const char *text; /* name of the option that is a text; NULL: none */
  wn_status (*check_text)(const char *text, wn_error *err); /* NULL: any will do */
  wn_status (*fit)(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                   wn_model **out, wn_error *err);
  /* At least one section; their names begin with the class's name and a slash ("als/…"). */
  wn_status (*save)(const wn_model *model, wn_snapshot_writer *writer, wn_error *err);
  /* Maps what save wrote; validates sizes and ranges before it believes them. Keeps pointers into
   * the snapshot. */
  wn_status (*map)(const wn_snapshot *snapshot, wn_model **out, wn_error *err);
  /* Optional (NULL: nothing in it can be wrong): what was fitted or mapped holds finite numbers in
   * their ranges and indexes below their bounds. `map` calls it before it believes a file,
   * wn_fit_one before it hands a model out. WN_E_CORRUPT with the section's name. */
  wn_status (*validate)(const wn_model *model, wn_error *err);
  /* Optional: the set that the model belongs to is complete (fitted or mapped); a model that
   * answers through others finds them here. Borrowed, as long as the model lives. */
  wn_status (*bind)(wn_model *model, const struct wn_models *set, wn_error *err);
  /* The k best allowed items for a personal query (history) or, without history and with an anchor,
   * a flat one; history items are not excluded here (the filter stage's bitmap does that). Best
   * first, *count ≤ k; 0 when the model has nothing to say. `out` has room for k. */
  wn_status (*candidates)(const wn_model *model, const wn_query *query, size_t k, wn_scored *out,
                          size_t *count, wn_error *err);
  /* Optional, of every class with WN_MODEL_ANCHOR: the k allowed items most like query->anchor, by
   * what the model knows of it alone: neither history nor user are looked at. Best first. */
  wn_status (*similar)(const wn_model *model, const wn_query *query, size_t k, wn_scored *out,
                       size_t *count, wn_error *err);
  /* Optional: the same lists as `candidates` for many queries, bit for bit. */
  wn_status (*candidates_batch)(const wn_model *model, const wn_query_batch *batch, wn_error *err);
  /* The score of every item 0 … items−1 (−INFINITY: none). The exact twin of candidates: same
   * order. */
  wn_status (*score_all)(const wn_model *model, const wn_query *query, float *scores,
                         uint32_t items, wn_error *err);
  /* Optional (NULL): after an event; must be cheap. `weight`: the signal's weight at the event's
   * own time. */
  void (*update)(wn_model *model, const wn_event *event, float weight);
  /* Optional: a user was deleted; what the model remembers of her by name goes. Cannot fail. */
  void (*forget)(wn_model *model, wn_user_ix user);
  /* Optional: what it remembers of users since the snapshot takes at most so many bytes of memory;
   * the rest lies in a file in `dir` (borrowed), or is not learned before the next training. */
  void (*bound)(wn_model *model, const char *dir, size_t bytes_max);
  /* Optional: heap memory that events may grow; what of it lies on a shelf. */
  size_t (*bytes)(const wn_model *model);
  void (*shelf)(const wn_model *model, wn_shelf_stats *out);
  /* Optional: an item was put or changed. */
  wn_status (*update_item)(wn_model *model, wn_item_ix ix, const wn_item_record *item,
                           wn_error *err);
  /* Optional: dense vector of an item, *d long; NULL when it has none. */
  const float *(*item_vector)(const wn_model *model, wn_item_ix ix, uint32_t *d);
  /* Optional: nearest users of the query's (folded-in) user, best first. */
  wn_status (*similar_users)(const wn_model *model, const wn_query *query, size_t k, wn_scored *out,
                             size_t *count, wn_error *err);
  void (*free)(wn_model *model);
} wn_model_class;

/* Every implementation's struct begins with this. */
struct wn_model {
  const wn_model_class *cls;
};

/* popular, trending, newest, covisit, content, als, random, ridge, ridge-seq, ease, vectors, vmis,
 * user-knn, continuation, top, blend, ranker */
extern const wn_model_class wn_model_popular, wn_model_trending, wn_model_newest, wn_model_covisit,
    wn_model_content, wn_model_als, wn_model_random, wn_model_ridge, wn_model_ridge_seq,
    wn_model_ease, wn_model_vectors, wn_model_vmis, wn_model_user_knn, wn_model_continuation,
    wn_model_top, wn_model_blend, wn_model_ranker;

/* candidates_batch, or candidates one by one. */
WN_MUST_USE wn_status wn_model_candidates_batch(const wn_model *model, const wn_query_batch *batch,
                                                wn_error *err);

size_t wn_model_class_count(void);
const wn_model_class *wn_model_class_at(size_t i);
const wn_model_class *wn_model_class_find(const char *name); /* NULL: unknown */
void wn_params_defaults(const wn_model_class *cls, wn_params *params);
/* KEY=VALUE with the spec's range; the error names key, range and the keys there are. */
WN_MUST_USE wn_status wn_params_set(const wn_model_class *cls, wn_params *params, const char *key,
                                    const char *value, wn_error *err);
double wn_param(const wn_model_class *cls, const wn_params *params, const char *name);

/* The models of one snapshot, in class order. */
#define WN_MODELS_MAX 24
typedef struct wn_models {
  wn_snapshot *snapshot; /* a reference, or NULL for freshly fitted ones */
  wn_model *data[WN_MODELS_MAX];
  size_t len;
} wn_models;

const wn_model *wn_models_find(const wn_models *models, const char *name); /* NULL: absent */
/* Every class found in the snapshot; takes its own reference. */
WN_MUST_USE wn_status wn_models_map(wn_snapshot *snapshot, wn_models *out, wn_error *err);
/* Calls each class's bind; wn_models_map and _empty and wn_train have done so. `models` must stay
 * where it is from then on. */
WN_MUST_USE wn_status wn_models_bind(wn_models *models, wn_error *err);
/* An empty set of live models (popular, trending, newest, covisit, content, random) and
 * continuation for a store without a snapshot. */
WN_MUST_USE wn_status wn_models_empty(wn_models *out, wn_error *err);
WN_MUST_USE wn_status wn_models_save(const wn_models *models, wn_snapshot_writer *writer,
                                     wn_error *err);
void wn_models_update(wn_models *models, const wn_event *event, float weight);
void wn_models_forget(wn_models *models, wn_user_ix user);
/* For each model by itself: see its class. */
void wn_models_bound(wn_models *models, const char *dir, size_t bytes_max);
/* What events have grown, by model in `each` (WN_MODELS_MAX of them; NULL: nowhere), and in all;
 * what of it lies on shelves is added to `shelves`. */
size_t wn_models_bytes(const wn_models *models, size_t *each, wn_shelf_stats *shelves);
WN_MUST_USE wn_status wn_models_update_item(wn_models *models, wn_item_ix ix,
                                            const wn_item_record *item, wn_error *err);
void wn_models_clear(wn_models *models);

#endif
