#ifndef WN_MODEL_TRAIN_H
#define WN_MODEL_TRAIN_H
/* A model's way: dataset → fit each model → one snapshot. Used by `winnow train` and by evaluation.
 */

#include "data/dataset_options.h"
#include "model/model.h"
#include "model/objective.h"
#include "store/store.h"

typedef struct wn_train_spec {
  const wn_model_class *cls;
  wn_params params;
  bool left_out;  /* not fitted */
  bool automatic; /* though left out, it is fitted where that is cheap (wn_train_choose) */
} wn_train_spec;

/* Where the labels of objectives come from. */
typedef struct wn_label_log {
  wn_store *store; /* of impressions */
  const wn_signals *signals;
  wn_event_list events; /* the log, by time */
  uint64_t upto_seq;    /* answers after it do not count, nor slates after until_ms; 0: all do */
  int64_t until_ms;     /* the log's last event */
  int64_t since_ms;     /* slates of before do not count; 0: all do */
} wn_label_log;

/* What else a snapshot gets from whoever trains: of layers that this one does not know. */
typedef struct wn_train_extra {
  const void *ctx;
  wn_status (*write)(const void *ctx, const wn_models *models, const wn_progress *progress,
                     wn_snapshot_writer *writer, wn_error *err);
} wn_train_extra;
/* Sees what wn_train_store fits on: the log's events, and the pairs that the options make of them.
 */
typedef struct wn_train_witness {
  void *ctx;
  wn_status (*see)(void *ctx, wn_event_list events, const wn_dataset *fitted, wn_error *err);
} wn_train_witness;

typedef struct wn_train_options {
  wn_train_spec models[WN_MODELS_MAX];
  size_t models_len;
  int threads; /* 0: all CPUs */
  uint64_t seed;
  bool cold; /* wn_train_store starts from nothing, not from the current snapshot */
  const wn_models *incumbent; /* fits may start from these; NULL: from nothing */
  bool promote;               /* wn_train_store makes its snapshot the current one; default true */
  uint64_t upto_seq;          /* of the log, wn_train_store fits on events up to here; 0: all */
  wn_dataset_options dataset; /* what of the log is fitted on */
  wn_dataset_report *dataset_report; /* NULL, or filled in by wn_train_store */
  wn_objectives objectives;          /* what the ranker predicts beside its order */
  const wn_label_log *label_log;     /* wn_train_store fills it in; NULL: no labels */
  char config[17];                   /* hash of the configuration; for the snapshot's description */
  wn_train_extra extra;              /* write NULL: nothing */
  wn_train_witness witness;          /* see NULL: nobody */
  char model2vec[1024]; /* folder of static embeddings for the model `vectors`; "": none */
} wn_train_options;

/* Every class with its defaults; those of WN_MODEL_BY_NAME are left out, but automatic, until one
 * of the two calls below names them. */
void wn_train_options_defaults(wn_train_options *options);
/* This model is fitted. Its entry; NULL when it is unknown. */
wn_train_spec *wn_train_options_want(wn_train_options *options, const char *name);
/* Sets one model's parameter, "als.factors=64". WN_E_ARGUMENT when model or key is unknown. */
WN_MUST_USE wn_status wn_train_options_set(wn_train_options *options, const char *assignment,
                                           wn_error *err);
/* Takes the automatic models in whose fit is cheap on these data; logs which and why not. A rule of
 * sizes alone, so that equal data give equal sets. */
void wn_train_choose(const wn_dataset *data, wn_train_options *options);
/* Chooses, then fits all; what cannot be fitted (no text, no interactions) is fitted empty, never
 * left out. One whose result is not valid is left out, and the log says why. */
WN_MUST_USE wn_status wn_train(const wn_dataset *data, const wn_train_options *options,
                               const wn_progress *progress, wn_models *out, wn_error *err);

/* User histories as part of a snapshot: section names "history/…", one row a user, newest last; the
 * base that the online state builds on, so that a restart replays the log's tail only. `mask`: bit
 * t = event type t (t ≥ 63 share bit 63) occurred for the pair. Pairs with weight 0 are in it, too.
 */
typedef struct wn_history_base {
  uint32_t users;
  const uint64_t *row_ptr; /* [users + 1] */
  const wn_item_ix *item;
  const float *weight; /* at about.data_ms of the snapshot */
  const int64_t *time_ms;
  const uint64_t *mask;
} wn_history_base;

/* Builds the rows from a log in time order and writes them. */
WN_MUST_USE wn_status wn_history_write(wn_event_list events, const wn_signals *signals,
                                       uint32_t users, int64_t now_ms, wn_snapshot_writer *writer,
                                       wn_error *err);
/* Maps and validates; users = 0 when the snapshot has none. */
WN_MUST_USE wn_status wn_history_map(const wn_snapshot *snapshot, wn_history_base *out,
                                     wn_error *err);

/* Fits one model with a seed of its own, drawn from env->seed and the name: what evaluation
 * measures is what training makes. WN_E_CORRUPT: the fit came to an end, but its result is no valid
 * model (numbers that are not finite); callers that fit several go on without it. */
WN_MUST_USE wn_status wn_fit_one(const wn_dataset *data, const wn_train_spec *spec,
                                 const wn_fit_env *env, wn_model **out, wn_error *err);

/* Logs that, and why. */
void wn_fit_left_out(const wn_train_spec *spec, const wn_error *why);

/* The whole of `winnow train`: log and catalogue of `store` → DIR/snapshots/N.wns, made current
 * when options->promote. `about` may be NULL. */
WN_MUST_USE wn_status wn_train_store(wn_store *store, wn_signals *signals,
                                     const wn_train_options *options, const wn_progress *progress,
                                     wn_snapshot_about *about, wn_error *err);
/* An item source over a store; `ctx_out` is to be used as the source's lifetime: the store itself.
 */
wn_item_source wn_store_item_source(wn_store *store);
wn_user_source wn_store_user_source(wn_store *store);
/* Reads the whole log into a builder; maps the store's types to `signals` numbers (adding unknown
 * ones), so that type numbers in `signals` equal the store's from then on. */
WN_MUST_USE wn_status wn_signals_bind(wn_signals *signals, const wn_store *store, wn_error *err);
WN_MUST_USE wn_status wn_load_events(wn_store *store, uint64_t upto_seq,
                                     wn_dataset_builder *builder, const wn_progress *progress,
                                     wn_error *err);

#endif
