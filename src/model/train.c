/* Training: fit every model on a dataset; and the whole of `winnow train`, from a store to a
 * snapshot. Models are fitted one after another, each with all threads; each gets a seed of its own
 * from the run's, so that leaving a model out does not change the others. */

#include "model/train.h"

#include "model/looks.h"
#include "model/layout.h"
#include "model/vectors_file.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/repeats.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void wn_train_options_defaults(wn_train_options *options) {
  memset(options, 0, sizeof *options);
  options->seed = 1;
  options->promote = true;
  for (size_t i = 0; i < wn_model_class_count(); i++) {
    wn_train_spec *spec = &options->models[options->models_len++];
    spec->cls = wn_model_class_at(i);
    spec->left_out = spec->automatic = (spec->cls->flags & WN_MODEL_BY_NAME) != 0;
    wn_params_defaults(spec->cls, &spec->params);
  }
}

wn_train_spec *wn_train_options_want(wn_train_options *options, const char *name) {
  for (size_t i = 0; i < options->models_len; i++) {
    if (strcmp(options->models[i].cls->name, name) != 0) continue;
    options->models[i].left_out = options->models[i].automatic = false;
    return &options->models[i];
  }
  return NULL;
}

wn_status wn_train_options_set(wn_train_options *options, const char *assignment, wn_error *err) {
  char model[64], key[96];
  const char *dot = strchr(assignment, '.');
  const char *equals = strchr(assignment, '=');
  if (dot == NULL || equals == NULL || dot > equals || dot == assignment || equals == dot + 1)
    return wn_fail(err, WN_E_ARGUMENT, "set", "must be MODEL.KEY=VALUE, got \"%.100s\"",
                   assignment);
  snprintf(model, sizeof model, "%.*s", (int)(dot - assignment), assignment);
  snprintf(key, sizeof key, "%.*s", (int)(equals - dot - 1), dot + 1);
  wn_train_spec *spec = wn_train_options_want(options, model);
  if (spec != NULL) return wn_params_set(spec->cls, &spec->params, key, equals + 1, err);
  char names[256] = "";
  for (size_t i = 0, at = 0; i < options->models_len && at < sizeof names; i++)
    at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i > 0 ? ", " : "",
                           options->models[i].cls->name);
  return wn_fail(err, WN_E_ARGUMENT, "set", "no model \"%s\" is trained; there are: %s", model,
                 names);
}

/* ---- what is cheap ---- */

/* About half a minute of one core; a ridge then takes some 200 MB at most (ridge_fit.c). */
#define CHEAP_WORK       4e10 /* multiply-adds */
#define CHEAP_EASE_ITEMS 4000
#define RIDGE_ROW        1000.0
#define PAIR_WORK        8 /* multiply-adds that one scattered addition takes the time of */

/* What the sizes of a dataset say about fits; an upper bound of the pairs. */
typedef struct sizes {
  double active, pairs;
  bool ordered; /* most users' items have more than one time */
  bool vectors; /* there are some */
} sizes;

static sizes sizes_of(const wn_dataset *data) {
  const wn_csr *m = &data->by_user;
  sizes s = {0, 0, wn_dataset_order(data) == WN_ORDER_TIMES, data->vectors.len > 0};
  for (uint32_t u = 0; u < m->rows; u++) {
    uint64_t begin = m->row_ptr[u], end = m->row_ptr[u + 1];
    double n = fmin((double)(end - begin), RIDGE_ROW);
    s.pairs += n * n / 2;
  }
  for (uint32_t i = 0; i < data->by_item.rows; i++)
    s.active += data->by_item.row_ptr[i + 1] > data->by_item.row_ptr[i];
  return s;
}

static bool is_cheap(const wn_train_spec *spec, const sizes *s) {
  if (spec->cls == &wn_model_vectors) return s->vectors;
  if (spec->cls != &wn_model_ridge && spec->cls != &wn_model_ridge_seq &&
      spec->cls != &wn_model_ease)
    return false;
  if (spec->cls == &wn_model_ease) return s->active <= CHEAP_EASE_ITEMS;
  if (spec->cls == &wn_model_ridge_seq && !s->ordered) return false;
  double k = fmin(wn_param(spec->cls, &spec->params, "k"), s->active);
  double work = s->active * k * k * (k / 6 + 8) + PAIR_WORK * s->pairs;
  return work <= CHEAP_WORK;
}

void wn_train_choose(const wn_dataset *data, wn_train_options *options) {
  sizes s = sizes_of(data);
  for (size_t i = 0; i < options->models_len; i++) {
    wn_train_spec *spec = &options->models[i];
    if (!spec->left_out || !spec->automatic) continue;
    spec->left_out = !is_cheap(spec, &s);
    wn_log(WN_LOG_INFO, "%s is %s: %.0f items with interactions, at most %.2g pairs of them%s",
           spec->cls->name, spec->left_out ? "left out" : "fitted", s.active, s.pairs,
           s.ordered ? "" : ", no times");
  }
}

/* ---- fitting ---- */

wn_status wn_fit_one(const wn_dataset *data, const wn_train_spec *spec, const wn_fit_env *env,
                     wn_model **out, wn_error *err) {
  const char *name = spec->cls->name;
  wn_fit_env own = *env;
  own.seed = wn_mix64(env->seed ^ wn_hash64(name, strlen(name), 0));
  wn_status status = spec->cls->fit(data, &spec->params, &own, out, err);
  if (status != WN_OK || spec->cls->validate == NULL) return status;
  status = spec->cls->validate(*out, err);
  if (status == WN_OK) return status;
  spec->cls->free(*out);
  *out = NULL;
  return status;
}

void wn_fit_left_out(const wn_train_spec *spec, const wn_error *why) {
  wn_log(WN_LOG_WARN, "%s is left out, these data give it no valid model: %s: %s", spec->cls->name,
         why->field, why->message);
}

static wn_train_spec *spec_of(wn_train_options *options, const wn_model_class *cls) {
  for (size_t i = 0; i < options->models_len; i++)
    if (options->models[i].cls == cls) return &options->models[i];
  return NULL;
}

/* In class order whatever the order of the options, so that equal options give equal files. */
wn_status wn_train(const wn_dataset *data, const wn_train_options *options,
                   const wn_progress *progress, wn_models *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_train_options chosen = *options;
  memset(out, 0, sizeof *out);
  wn_fit_env env = {.pool = wn_pool_create(options->threads),
                    .progress = progress,
                    .seed = options->seed,
                    .fitted = out,
                    .run = &chosen};
  if (env.pool == NULL) WN_TRY(wn_fail_memory(err));
  wn_train_choose(data, &chosen);
  for (size_t c = 0; c < wn_model_class_count(); c++) {
    wn_train_spec *spec = spec_of(&chosen, wn_model_class_at(c));
    if (spec == NULL || spec->left_out) continue;
    if (!wn_progress_at(progress, spec->cls->name, 0, 0, ""))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    env.warm =
        options->incumbent != NULL ? wn_models_find(options->incumbent, spec->cls->name) : NULL;
    status = wn_fit_one(data, spec, &env, &out->data[out->len], err);
    if (status == WN_E_CORRUPT) {
      wn_fit_left_out(spec, err);
      spec->left_out = true; /* those that ask the others do without it */
      status = WN_OK;
      continue;
    }
    if (status != WN_OK) goto cleanup;
    out->len++;
  }
  WN_TRY(wn_models_bind(out, err));
cleanup:
  wn_pool_free(env.pool);
  if (status != WN_OK) wn_models_clear(out);
  return status;
}

/* ---- from a store ---- */

wn_status wn_signals_bind(wn_signals *signals, const wn_store *store, wn_error *err) {
  const wn_dict *types = wn_store_types(store);
  uint32_t count = wn_dict_count(types);
  for (uint32_t t = 0; t < count; t++) {
    wn_str name = wn_dict_key(types, t);
    uint32_t at = wn_signals_add(signals, name);
    if (at == WN_NO_IX)
      return wn_fail(err, WN_E_UNSUPPORTED, "type",
                     "at most %d event types with names of at most %d bytes, no room for \"%.*s\"",
                     WN_SIGNALS_MAX, WN_SIGNAL_NAME_MAX, WN_STR_ARG(name));
    /* Types below t already have their places, so that only unbound ones change place here. */
    if (at == t) continue;
    wn_signal moved = signals->data[t];
    signals->data[t] = signals->data[at];
    signals->data[at] = moved;
  }
  return WN_OK;
}

/* A log that grows while it is read may hold types that the dictionary does not know yet. Reading
 * then ends before the first such event; the rest is replayed. */
typedef struct loader {
  wn_dataset_builder *builder;
  const wn_progress *progress;
  double total;
  uint32_t types;
  bool ended;
} loader;

static wn_status load_event(void *ctx, const wn_stored_event *stored, wn_error *err) {
  loader *l = ctx;
  l->ended |= stored->type >= l->types;
  if (l->ended) return WN_OK;
  wn_event event = {.user = stored->user,
                    .item = stored->item,
                    .type = stored->type,
                    .value = (float)stored->value,
                    .time_ms = stored->time_ms,
                    .seq = stored->seq};
  wn_status status = wn_dataset_builder_add(l->builder, &event, err);
  size_t done = wn_dataset_builder_count(l->builder);
  if (status == WN_OK && done % 65536 == 0 &&
      !wn_progress_at(l->progress, "read log", (double)done, l->total, "events"))
    return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
  return status;
}

wn_status wn_load_events(wn_store *store, uint64_t upto_seq, wn_dataset_builder *builder,
                         const wn_progress *progress, wn_error *err) {
  wn_status status;
  wn_store_counts counts;
  WN_TRY(wn_store_counts_get(store, &counts, err));
  loader l = {.builder = builder,
              .progress = progress,
              .total = (double)counts.events,
              .types = wn_dict_count(wn_store_types(store))};
  WN_TRY(wn_store_scan_events(store, 0, upto_seq, load_event, &l, err));
  wn_dataset_builder_sort(builder);
  double done = (double)wn_dataset_builder_count(builder);
  if (!wn_progress_at(progress, "read log", done, done, "events"))
    WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
cleanup:
  return status;
}

/* A store's scan, seen as an item source: deleted items are left out, and so is what was added
 * after the dataset's size was taken. */
typedef struct store_items {
  wn_store *store;
  uint32_t items;
  wn_status (*each)(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err);
  void *each_ctx;
} store_items;

static wn_status pass_item(void *ctx, wn_item_ix ix, uint64_t rev WN_UNUSED,
                           const wn_item_record *item, wn_error *err) {
  const store_items *from = ctx;
  if (item->status == WN_ITEM_DELETED || ix >= from->items) return WN_OK;
  return from->each(from->each_ctx, ix, item, err);
}

static wn_status scan_bounded(void *ctx,
                              wn_status (*each)(void *each_ctx, wn_item_ix ix,
                                                const wn_item_record *item, wn_error *err),
                              void *each_ctx, wn_error *err) {
  store_items from = *(const store_items *)ctx;
  from.each = each;
  from.each_ctx = each_ctx;
  return wn_store_scan_items(from.store, 0, pass_item, &from, err);
}

static wn_status scan_store(void *ctx,
                            wn_status (*each)(void *each_ctx, wn_item_ix ix,
                                              const wn_item_record *item, wn_error *err),
                            void *each_ctx, wn_error *err) {
  store_items whole = {.store = ctx, .items = WN_NO_IX};
  return scan_bounded(&whole, each, each_ctx, err);
}

wn_item_source wn_store_item_source(wn_store *store) {
  return (wn_item_source){.ctx = store, .scan = scan_store};
}

static wn_status scan_users(void *ctx,
                            wn_status (*each)(void *each_ctx, wn_user_ix ix,
                                              const wn_user_record *user, wn_error *err),
                            void *each_ctx, wn_error *err) {
  return wn_store_scan_users(ctx, each, each_ctx, err);
}

wn_user_source wn_store_user_source(wn_store *store) {
  return (wn_user_source){.ctx = store, .scan = scan_users};
}

static wn_status note_created(void *ctx, wn_item_ix ix, const wn_item_record *item,
                              wn_error *err WN_UNUSED) {
  int64_t *created_ms = ctx;
  created_ms[ix] = item->created_ms;
  return WN_OK;
}

/* Looks by item since the dataset's window began; NULL unless the dataset asks for them. */
static wn_status load_shown(wn_store *store, const wn_pairs_input *in,
                            const wn_dataset_options *options, float **out, wn_error *err) {
  float seen[WN_PLACES + 1];
  wn_looks_log log = {store, in->signals, wn_dataset_since(in, options), in->items};
  if (!(options->exposure_power > 0)) return WN_OK;
  *out = wn_calloc((size_t)in->items + 1, sizeof **out);
  if (*out == NULL) return wn_fail_memory(err);
  return wn_looks_count(&log, *out, seen, err);
}

/* One run of wn_train_store. */
typedef struct run {
  wn_store *store;
  wn_signals *signals;
  const wn_train_options *options;
  const char *dir;
  const wn_progress *progress;
  wn_dataset_builder *builder;
  wn_dataset data;
  store_items items;
  int64_t *created_ms;
  float *shown;
  wn_vectors_file vectors;
  int64_t *repeat_ms;
  wn_models incumbent; /* of the current snapshot, unless cold */
  wn_models models;
  wn_snapshot_about about;
  uint64_t started_ns;
} run;

static wn_status load(run *r, wn_error *err) {
  wn_status status;
  wn_store_counts counts;
  /* The revision first: what changes during the scan is replayed, which does no harm. */
  WN_TRY(wn_store_counts_get(r->store, &counts, err));
  r->about.item_rev = counts.item_rev;
  r->builder = wn_dataset_builder_create(r->signals);
  if (r->builder == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_load_events(r->store, r->options->upto_seq, r->builder, r->progress, err));
  WN_TRY(wn_signals_bind(r->signals, r->store, err)); /* types that came meanwhile, too */
  wn_pairs_input in = {.events = wn_dataset_builder_events(r->builder),
                       .count = wn_dataset_builder_count(r->builder),
                       .signals = r->signals,
                       .users = wn_dict_count(wn_store_users(r->store)),
                       .items = wn_dict_count(wn_store_items(r->store))};
  WN_TRY(load_shown(r->store, &in, &r->options->dataset, &r->shown, err));
  in.shown = r->shown;
  in.shown_len = in.items;
  WN_TRY(wn_dataset_prepare(&in, &r->options->dataset, &r->data, r->options->dataset_report, err));
  const wn_train_witness *witness = &r->options->witness;
  if (witness->see != NULL)
    WN_TRY(witness->see(witness->ctx, (wn_event_list){in.events, in.count}, &r->data, err));
  r->items = (store_items){.store = r->store, .items = r->data.items};
  r->created_ms = wn_calloc((size_t)r->data.items + 1, sizeof *r->created_ms);
  if (r->created_ms == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(scan_bounded(&r->items, note_created, r->created_ms, err));
  r->data.items_source = (wn_item_source){.ctx = &r->items, .scan = scan_bounded};
  r->data.users_source = wn_store_user_source(r->store);
  r->data.created_ms = r->created_ms;
  WN_TRY(wn_repeats_learn((wn_event_list){in.events, in.count}, r->signals, r->data.items,
                          &r->repeat_ms, err));
  r->data.repeat_ms = r->repeat_ms;
  WN_TRY(wn_vectors_open(r->dir, wn_store_items(r->store), r->data.items, &r->vectors, err));
  r->data.vectors = r->vectors.vectors;
cleanup:
  return status;
}

/* Item and user numbers are the store's for good, so a snapshot of this store is a place to start
 * from. One that cannot be read is no reason not to train. */
static void open_incumbent(run *r, const char *dir) {
  wn_snapshot *snapshot = NULL;
  wn_error why = {0};
  char text[512];
  if (r->options->cold) return;
  wn_status status = wn_snapshot_open_current(dir, r->about.store_uuid, &snapshot, &why);
  if (status == WN_OK && snapshot != NULL) status = wn_models_map(snapshot, &r->incumbent, &why);
  wn_snapshot_unref(snapshot);
  if (status != WN_OK)
    wn_log(WN_LOG_WARN, "training starts from nothing: %s",
           wn_error_format(&why, text, sizeof text));
}

static void describe(run *r) {
  wn_snapshot_about *about = &r->about;
  about->last_seq = r->data.last_seq;
  about->users = r->data.users;
  about->items = r->data.items;
  about->nnz = r->data.by_user.nnz;
  about->data_ms = r->data.now_ms;
  about->created_ms = wn_now_ms();
  about->train_seconds = (double)(wn_mono_ns() - r->started_ns) * 1e-9;
  snprintf(about->version, sizeof about->version, "%s", WINNOW_VERSION);
  memcpy(about->config, r->options->config, sizeof about->config);
  size_t at = 0;
  for (size_t i = 0; i < r->models.len && at < sizeof about->models; i++)
    at += (size_t)snprintf(about->models + at, sizeof about->models - at, "%s%s", i > 0 ? "," : "",
                           r->models.data[i]->cls->name);
}

/* The map of items for people. */
static wn_status write_map(run *r, wn_snapshot_writer *writer, wn_error *err) {
  wn_status status = WN_OK;
  wn_pool *pool = wn_pool_create(r->options->threads);
  if (pool == NULL) return wn_fail_memory(err);
  if (!wn_progress_at(r->progress, "map of items", 0, 0, ""))
    WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
  WN_TRY(wn_layout_write(pool, &r->models, r->data.items, writer, err));
cleanup:
  wn_pool_free(pool);
  return status;
}

static wn_status write_snapshot(run *r, const char *dir, wn_error *err) {
  wn_status status;
  char path[PATH_MAX];
  wn_snapshot_writer *writer = NULL;
  WN_TRY(wn_snapshot_next_number(dir, &r->about.number, err));
  WN_TRY(wn_snapshot_writer_create(wn_snapshot_path(dir, r->about.number, path, sizeof path),
                                   &writer, err));
  WN_TRY(wn_models_save(&r->models, writer, err));
  WN_TRY(write_map(r, writer, err));
  const wn_train_extra *extra = &r->options->extra;
  if (extra->write != NULL) {
    WN_TRY(extra->write(extra->ctx, &r->models, r->progress, writer, err));
  }
  WN_TRY(wn_history_write(
      (wn_event_list){wn_dataset_builder_events(r->builder), wn_dataset_builder_count(r->builder)},
      r->signals, r->data.users, r->data.now_ms, writer, err));
  describe(r);
  wn_snapshot_writer *whole = writer;
  writer = NULL;
  WN_TRY(wn_snapshot_writer_finish(whole, &r->about, err));
cleanup:
  wn_snapshot_writer_abandon(writer);
  return status;
}

static void clear(run *r) {
  wn_models_clear(&r->incumbent);
  wn_models_clear(&r->models);
  wn_dataset_clear(&r->data);
  wn_dataset_builder_free(r->builder);
  wn_vectors_close(&r->vectors);
  wn_free(r->repeat_ms);
  wn_free(r->created_ms);
  wn_free(r->shown);
}

wn_status wn_train_store(wn_store *store, wn_signals *signals, const wn_train_options *options,
                         const wn_progress *progress, wn_snapshot_about *about, wn_error *err) {
  wn_status status = WN_OK;
  char dir[PATH_MAX], path[PATH_MAX + 32];
  int lock = -1;
  run r = {.store = store,
           .signals = signals,
           .options = options,
           .dir = dir,
           .progress = progress,
           .started_ns = wn_mono_ns()};
  snprintf(dir, sizeof dir, "%.*s", WN_STR_ARG(wn_store_dir(store)));
  snprintf(path, sizeof path, "%s/snapshots", dir);
  WN_TRY(wn_make_dir(path, err));
  snprintf(path, sizeof path, "%s/snapshots/train.lock", dir);
  WN_TRY(wn_lock_file(path, &lock, err));
  snprintf(r.about.store_uuid, sizeof r.about.store_uuid, "%s", wn_store_uuid(store));
  WN_TRY(load(&r, err));
  open_incumbent(&r, dir);
  wn_train_options wanted = *options;
  if (r.incumbent.len > 0) wanted.incumbent = &r.incumbent;
  wn_label_log labels = {
      .store = store,
      .signals = signals,
      .events = {wn_dataset_builder_events(r.builder), wn_dataset_builder_count(r.builder)},
      .upto_seq = options->upto_seq,
      .until_ms = r.data.now_ms};
  wanted.label_log = &labels;
  WN_TRY(wn_train(&r.data, &wanted, progress, &r.models, err));
  WN_TRY(write_snapshot(&r, dir, err));
  if (options->promote) WN_TRY(wn_snapshot_set_current(dir, r.about.number, err));
  if (about != NULL) *about = r.about;
cleanup:
  clear(&r);
  if (lock >= 0) wn_unlock_file(lock);
  return status;
}
