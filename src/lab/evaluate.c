/* Evaluation by full ranking: every user with a past and a future gets a list from every model,
 * over the whole catalogue with the train items masked (measure.c), and from the lists come means
 * with intervals (summary.c), beside random, popularity and recent popularity.
 *
 * Recent popularity is the model `popular` fitted on the newest tenth of the train events: a share
 * of the log, not a number of days, so that it means the same on every time scale. */
#include "lab/evaluate_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lab/fingerprint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECENT_SHARE 10 /* one tenth */
#define DAY_MS       86400000

void wn_evaluate_options_defaults(wn_evaluate_options *options) {
  memset(options, 0, sizeof *options);
  options->cutoffs[0] = 10;
  options->cutoffs[1] = 20;
  options->cutoffs[2] = 50;
  options->cutoffs_len = 3;
  options->metrics = WN_METRICS_DEFAULT;
  options->primary = WN_METRIC_NDCG;
  options->bootstrap = 1000;
  options->seed = 1;
  wn_train_options_defaults(&options->train);
}

static bool ranks_held_out(const wn_bench *b) {
  return b->split->kind == WN_SPLIT_COLD_ITEMS && !b->options->rank_all;
}

/* --- who is evaluated --- */

typedef struct draw {
  uint64_t key;
  uint32_t user;
} draw;

static int by_key(const void *a, const void *b) {
  const draw *x = a, *y = b;
  return (x->key > y->key) - (x->key < y->key);
}

static int by_number(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Users with relevant items and, `cold` or not, a past, ascending; of too many the seed's sample.
 * `all`: scratch. Returns how many there are. */
static size_t draw_users(const wn_bench *b, bool cold, draw *all, uint32_t *out, size_t *out_len) {
  const wn_split *s = b->split;
  size_t n = 0, most = b->options->users_max > 0 ? b->options->users_max : WN_EVALUATE_USERS_MAX;
  for (uint32_t u = 0; u < s->users; u++)
    if (s->test.ptr[u + 1] > s->test.ptr[u] && (s->seen.ptr[u + 1] == s->seen.ptr[u]) == cold)
      all[n++] = (draw){wn_mix64(b->options->seed ^ wn_mix64(u)), u};
  if (n > most) qsort(all, n, sizeof *all, by_key);
  *out_len = n > most ? most : n;
  for (size_t i = 0; i < *out_len; i++) out[i] = all[i].user;
  qsort(out, *out_len, sizeof *out, by_number);
  return n;
}

static wn_status choose_users(wn_bench *b, wn_evaluation *out, wn_error *err) {
  const wn_split *s = b->split;
  draw *all = wn_malloc(((size_t)s->users + 1) * sizeof *all);
  b->users = wn_malloc(((size_t)s->users + 1) * sizeof *b->users);
  if (all == NULL || b->users == NULL) {
    wn_free(all);
    return wn_fail_memory(err);
  }
  bool cold = s->kind == WN_SPLIT_COLD_USERS; /* whom this split is about */
  size_t n = draw_users(b, cold, all, b->users, &b->users_len);
  if (!cold) (void)draw_users(b, true, all, b->users + b->users_len, &b->cold_len);
  out->users_not_sampled = n - b->users_len;
  wn_free(all);
  if (n > 0) return WN_OK;
  uint64_t tested = s->test_users + s->users_without_relevant;
  if (s->train_len == 0 || tested == 0)
    return wn_fail(err, WN_E_ARGUMENT, "", "the %s part of the split is empty",
                   s->train_len == 0 ? "train" : "test");
  if (cold) return wn_fail(err, WN_E_ARGUMENT, "", "the split leaves no user with a relevant item");
  return wn_fail(err, WN_E_ARGUMENT, "",
                 "the split leaves no user with both a past and a relevant future item: of %llu in "
                 "the test part %llu have no past, of %llu nothing is relevant (had in train, or "
                 "without weight)",
                 (unsigned long long)tested, (unsigned long long)s->cold_users,
                 (unsigned long long)s->users_without_relevant);
}

/* --- all of them --- */

/* The catalogue of a split by time is that of the cut: items made later, which train never met, are
 * unknown to every model and are not recommended. */
static wn_status hide_future(wn_bench *b, wn_error *err) {
  const wn_split *s = b->split;
  wn_bitset met;
  if (b->options->created_ms == NULL) return WN_OK;
  b->created_ms = wn_reallocarray(NULL, s->items + (size_t)1, sizeof *b->created_ms);
  if (b->created_ms == NULL || !wn_bitset_init(&met, s->items)) return wn_fail_memory(err);
  for (size_t i = 0; i < s->train_len; i++) wn_bitset_set(&met, s->train[i].item);
  for (uint32_t i = 0; i < s->items; i++) {
    bool future =
        s->cut_ms > 0 && b->options->created_ms[i] >= s->cut_ms && !wn_bitset_test(&met, i);
    b->created_ms[i] = future ? 0 : b->options->created_ms[i];
    if (future) wn_bitset_unset(&b->known, i);
  }
  wn_bitset_clear(&met);
  return WN_OK;
}

typedef struct known_items {
  const wn_bench *b;
  wn_status (*each)(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err);
  void *ctx;
} known_items;

static wn_status each_known(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err) {
  const known_items *known = ctx;
  return wn_bitset_test(&known->b->known, ix) ? known->each(known->ctx, ix, item, err) : WN_OK;
}

/* The items' texts without those that nobody could know. */
static wn_status scan_known(void *ctx,
                            wn_status (*each)(void *each_ctx, wn_item_ix ix,
                                              const wn_item_record *item, wn_error *err),
                            void *each_ctx, wn_error *err) {
  const wn_bench *b = ctx;
  known_items known = {b, each, each_ctx};
  return b->options->items_source.scan(b->options->items_source.ctx, each_known, &known, err);
}

/* The train events of users that models may be fitted on; `room`: for all. */
static size_t fitted_events(const wn_split *s, wn_event *room) {
  size_t n = 0;
  for (size_t i = 0; i < s->train_len; i++)
    if (!wn_bitset_test(&s->held_users, s->train[i].user)) room[n++] = s->train[i];
  return n;
}

static wn_status prepare_data(wn_bench *b, wn_error *err) {
  const wn_split *s = b->split;
  const wn_dataset_options *dataset = &b->options->train.dataset;
  const wn_pairs_input train = {.events = s->train,
                                .count = s->train_len,
                                .signals = b->signals,
                                .users = s->users,
                                .items = s->items};
  wn_pairs_input fitted = train;
  wn_event *room = NULL;
  wn_status status = WN_OK;
  b->histories = &b->data;
  if (s->held_users.bits > 0) {
    room = wn_reallocarray(NULL, s->train_len + 1, sizeof *room);
    if (room == NULL) return wn_fail_memory(err);
    fitted.events = room;
    fitted.count = fitted_events(s, room);
  }
  WN_TRY(wn_dataset_prepare(&fitted, dataset, &b->data, &b->dataset, err));
  if (room != NULL || !wn_dataset_options_none(dataset)) {
    b->histories = &b->whole;
    WN_TRY(wn_dataset_from(&train, &b->whole, err));
  }
cleanup:
  wn_free(room);
  return status;
}

static wn_status prepare_workers(wn_bench *b, wn_error *err) {
  const wn_evaluate_options *o = b->options;
  size_t threads = (size_t)wn_pool_threads(b->pool), items = b->split->items;
  bool sums =
      (o->metrics & (WN_METRIC_BIT(WN_METRIC_UNEXPECTED) | WN_METRIC_BIT(WN_METRIC_ILD))) != 0;
  b->workers = wn_calloc(threads, sizeof *b->workers);
  if (b->workers == NULL) return wn_fail_memory(err);
  for (size_t t = 0; t < threads; t++) {
    wn_bench_worker *w = &b->workers[t];
    wn_arena_init(&w->arena, (size_t)512 << 20);
    w->counts = wn_reallocarray(NULL, o->cutoffs_len * items + 1, sizeof *w->counts);
    w->found = wn_reallocarray(NULL, o->cutoffs_len * items + 1, sizeof *w->found);
    w->scores = wn_reallocarray(NULL, items + 1, sizeof *w->scores);
    w->sums = sums ? wn_calloc((size_t)b->split->users + 1, sizeof *w->sums) : NULL;
    bool good =
        w->counts != NULL && w->found != NULL && w->scores != NULL && (!sums || w->sums != NULL);
    for (size_t i = 0; good && i < WN_EVALUATE_TILE; i++)
      good = wn_bitset_init(&w->allowed[i], items);
    if (!good) return wn_fail_memory(err);
  }
  return WN_OK;
}

/* Room for the values that were asked for, and for those that other numbers come from. */
static wn_status prepare_values(wn_bench *b, wn_error *err) {
  const wn_labels *labels[WN_ATTRIBUTES_MAX + 1];
  wn_metric_set metrics = b->options->metrics | WN_METRIC_BIT(b->options->primary);
  size_t all = b->users_len + b->cold_len, count = wn_bench_item_labels(b, labels);
  for (int m = 0; m < WN_METRICS_OF_USERS; m++)
    b->slot[m] = m < WN_TIED_METRICS || (metrics & WN_METRIC_BIT(m)) != 0 ? (int)b->slots++ : -1;
  for (size_t l = 0; l < count; l++) b->item_slices += labels[l]->groups;
  b->values =
      wn_reallocarray(NULL, b->slots * b->options->cutoffs_len * all + 1, sizeof *b->values);
  b->flags = wn_calloc(all + 1, 1);
  b->item_recall = wn_reallocarray(NULL, b->item_slices * b->users_len + 1, sizeof *b->item_recall);
  b->relevant_count = wn_calloc((size_t)b->split->items + 1, sizeof *b->relevant_count);
  if (b->values == NULL || b->flags == NULL || b->item_recall == NULL || b->relevant_count == NULL)
    return wn_fail_memory(err);
  for (size_t at = 0; at < b->users_len; at++) {
    wn_relevant relevant = wn_bench_relevant(b, b->users[at]);
    for (size_t r = 0; r < relevant.len; r++) b->relevant_count[relevant.items[r]]++;
  }
  return WN_OK;
}

size_t wn_bench_item_labels(const wn_bench *b, const wn_labels **out) {
  out[0] = &b->popularity;
  for (size_t i = 0; i < b->options->item_labels_len; i++) out[i + 1] = &b->options->item_labels[i];
  return b->options->item_labels_len + 1;
}

static wn_status prepare_labels(wn_bench *b, wn_error *err) {
  static const char *const by_popularity[3] = {"head", "torso", "tail"}, *const by_history[3] = {
                                                                             "short", "middle",
                                                                             "long"};
  const wn_split *s = b->split;
  const uint32_t sizes[2] = {s->users, s->items};
  uint32_t *history = wn_calloc((size_t)s->users + 1, sizeof *history);
  wn_status status = WN_OK;
  if (history == NULL || !wn_list_context_init(&b->context, s->seen.ptr, s->seen.item, sizes))
    WN_TRY(wn_fail_memory(err));
  for (size_t at = 0; at < b->users_len; at++)
    history[b->users[at]] = (uint32_t)(s->seen.ptr[b->users[at] + 1] - s->seen.ptr[b->users[at]]);
  WN_TRY(wn_labels_thirds(b->context.popularity, s->items, "popularity", by_popularity,
                          &b->popularity, err));
  WN_TRY(wn_labels_terciles(history, s->users, "history", by_history, &b->history, err));
  b->item_groups = b->options->item_labels_len > 0 ? &b->options->item_labels[0] : &b->popularity;
cleanup:
  wn_free(history);
  return status;
}

static wn_status prepare(wn_bench *b, wn_error *err) {
  const wn_evaluate_options *o = b->options;
  size_t items = b->split->items;
  wn_status status;
  for (size_t c = 0; c < o->cutoffs_len; c++)
    if (o->cutoffs[c] > b->k_max) b->k_max = o->cutoffs[c];
  b->filters = wn_expr_cache_create(64);
  if (b->filters == NULL || !wn_bitset_init(&b->known, items) ||
      !wn_bitset_init(&b->universe, items))
    return wn_fail_memory(err);
  if (o->catalog != NULL)
    wn_bitset_copy(&b->known, wn_catalog_servable(o->catalog));
  else
    wn_bitset_fill(&b->known, true);
  WN_TRY(prepare_labels(b, err));
  WN_TRY(prepare_workers(b, err));
  WN_TRY(prepare_values(b, err));
  WN_TRY(prepare_data(b, err));
  WN_TRY(hide_future(b, err));
  wn_bitset_copy(&b->universe, &b->known);
  if (ranks_held_out(b)) wn_bitset_and(&b->universe, &b->split->held_out);
  if (o->items_source.scan != NULL) b->data.items_source = (wn_item_source){b, scan_known};
  b->data.users_source = o->users_source;
  WN_TRY(wn_bench_read_attrs(b, err));
  b->data.created_ms = b->created_ms;
  b->data.vectors = b->options->vectors;
cleanup:
  return status;
}

/* --- rows --- */

/* `name` NULL: of what is being measured as it is called already. */
static wn_status measure(wn_bench *b, wn_evaluation *out, const char *name, double fit_seconds,
                         wn_error *err) {
  wn_model_result *row = &out->rows[out->rows_len++];
  snprintf(row->name, sizeof row->name, "%s", name);
  row->fit_seconds = fit_seconds;
  wn_status status = wn_bench_measure(b, row, err);
  return status == WN_OK ? wn_bench_summarise(b, row, err) : status;
}

static wn_status fit_and_measure(wn_bench *b, const wn_train_spec *spec, wn_evaluation *out,
                                 wn_error *err) {
  const wn_evaluate_options *o = b->options;
  wn_fit_env env = {.pool = b->pool,
                    .progress = o->progress,
                    .seed = o->train.seed,
                    .fitted = &b->models,
                    .run = &b->train};
  wn_model *model = NULL;
  uint64_t start = wn_mono_ns();
  wn_status status = wn_fit_one(&b->data, spec, &env, &model, err);
  if (status != WN_OK) return status;
  double seconds = (double)(wn_mono_ns() - start) * 1e-9;
  b->models.data[b->models.len++] = model;
  b->model = model;
  if (spec->cls->bind != NULL) status = spec->cls->bind(model, &b->models, err);
  if (status != WN_OK) return status;
  return measure(b, out, spec->cls->name, seconds, err);
}

/* Not where there are no times to speak of: a sequence file counts its lines in milliseconds. */
static wn_status measure_recent(wn_bench *b, wn_evaluation *out, wn_error *err) {
  const wn_split *s = b->split;
  size_t n = s->train_len / RECENT_SHARE;
  const wn_event_list newest = {s->train + s->train_len - n, n};
  wn_train_spec spec = {.cls = &wn_model_popular};
  const wn_fit_env env = {.pool = b->pool, .seed = b->options->train.seed, .run = &b->train};
  wn_dataset data = {0};
  uint64_t start = wn_mono_ns();
  wn_status status = WN_OK;
  if (n == 0 || newest.data[n - 1].time_ms - s->train[0].time_ms < DAY_MS) return status;
  wn_params_defaults(spec.cls, &spec.params);
  WN_TRY(wn_dataset_build_events(newest, b->signals, s->users, s->items, &data, err));
  WN_TRY(wn_fit_one(&data, &spec, &env, &b->recent, err));
  b->model = b->recent;
  WN_TRY(measure(b, out, "recent-popular", (double)(wn_mono_ns() - start) * 1e-9, err));
cleanup:
  wn_dataset_clear(&data);
  return status;
}

/* The baselines first, then what was asked for. */
static size_t with_baselines(const wn_train_options *train, wn_train_spec *specs) {
  const wn_model_class *baselines[] = {&wn_model_random, &wn_model_popular};
  size_t n = 0;
  for (size_t i = 0; i < 2; i++) {
    specs[n].cls = baselines[i];
    wn_params_defaults(baselines[i], &specs[n].params);
    for (size_t m = 0; m < train->models_len; m++)
      if (train->models[m].cls == baselines[i]) specs[n].params = train->models[m].params;
    n++;
  }
  for (size_t m = 0; m < train->models_len && n < WN_MODELS_MAX; m++)
    if (!train->models[m].left_out && train->models[m].cls != baselines[0] &&
        train->models[m].cls != baselines[1])
      specs[n++] = train->models[m];
  return n;
}

static void describe(const wn_bench *b, wn_evaluation *out) {
  const wn_split *s = b->split;
  out->kind = s->kind;
  out->why = s->why;
  out->cut_ms = s->cut_ms;
  out->users = s->users;
  out->items = s->items;
  out->train_events = s->train_len;
  out->train_pairs = s->seen.ptr[s->users];
  out->test_pairs = s->test.ptr[s->users];
  out->users_evaluated = b->users_len;
  out->users_cold = s->kind == WN_SPLIT_COLD_USERS ? 0 : s->cold_users; /* left out */
  out->users_without_relevant = s->users_without_relevant;
  out->cold_test_pairs = s->cold_test_pairs;
  out->cutoffs_len = b->options->cutoffs_len;
  out->cold_evaluated = b->cold_len;
  out->timeline = s->timeline;
  out->seed = b->options->seed;
  out->dataset_hash = b->options->dataset_hash;
  out->metrics = b->options->metrics;
  out->primary = b->options->primary;
  out->compat = b->options->compat;
  out->dataset_cut = !wn_dataset_options_none(&b->options->train.dataset);
  out->dataset = b->dataset;
  out->sampled = s->choices.ptr != NULL;
  out->ranking = out->sampled ? "a sample of items for each user: not comparable with full ranking"
                 : ranks_held_out(b) ? "the held-out items alone"
                                     : "the whole catalogue";
  for (size_t at = 0; at < b->users_len; at++) {
    wn_relevant relevant = wn_bench_relevant(b, b->users[at]);
    uint64_t hash = b->users[at];
    for (size_t r = 0; r < relevant.len; r++) hash = wn_mix64(hash ^ relevant.items[r]);
    out->population_hash += wn_mix64(hash);
  }
  out->choices = (double)wn_bitset_count(&b->universe);
  if (!out->sampled) return;
  out->choices = 0;
  for (size_t at = 0; at < b->users_len; at++)
    out->choices += (double)(s->choices.ptr[b->users[at] + 1] - s->choices.ptr[b->users[at]]);
  out->choices /= (double)b->users_len;
}

static void bench_clear(wn_bench *b) {
  for (int t = 0; b->workers != NULL && t < wn_pool_threads(b->pool); t++) {
    wn_bench_worker *w = &b->workers[t];
    wn_arena_clear(&w->arena);
    for (size_t i = 0; i < WN_EVALUATE_TILE; i++) wn_bitset_clear(&w->allowed[i]);
    wn_free(w->counts);
    wn_free(w->found);
    wn_free(w->scores);
    wn_free(w->sums);
  }
  wn_free(b->workers);
  wn_free(b->values);
  wn_free(b->flags);
  wn_free(b->item_recall);
  wn_free(b->relevant_count);
  wn_free(b->popular_value);
  wn_free(b->users);
  wn_free(b->created_ms);
  wn_bench_clear_attrs(b);
  wn_bitset_clear(&b->known);
  wn_bitset_clear(&b->universe);
  wn_list_context_clear(&b->context);
  wn_labels_clear(&b->popularity);
  wn_labels_clear(&b->history);
  wn_models_clear(&b->models);
  if (b->recent != NULL) b->recent->cls->free(b->recent);
  wn_dataset_clear(&b->data);
  wn_dataset_clear(&b->whole);
  if (b->filters != NULL) wn_expr_cache_free(b->filters);
  if (b->pool != NULL) wn_pool_free(b->pool);
}

static wn_status check(const wn_evaluate_options *o, wn_error *err) {
  if (o->cutoffs_len == 0 || o->cutoffs_len > WN_CUTOFFS_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "k", "give 1 to %d cutoffs", WN_CUTOFFS_MAX);
  for (size_t c = 0; c < o->cutoffs_len; c++)
    if (o->cutoffs[c] < 1 || o->cutoffs[c] > WN_SLATE_MAX)
      return wn_fail(err, WN_E_ARGUMENT, "k", "must be 1 to %d, got %u", WN_SLATE_MAX,
                     o->cutoffs[c]);
  if (o->primary >= WN_METRICS_OF_USERS)
    return wn_fail(err, WN_E_ARGUMENT, "metrics", "`%s` is no mean over users to compare by",
                   wn_metric_about(o->primary)->name);
  if (o->given_len > WN_GIVEN_MAX || (o->given_alone && o->given_len == 0))
    return wn_fail(err, WN_E_ARGUMENT, "run", "give 1 to %d files of recommendations",
                   WN_GIVEN_MAX);
  return WN_OK;
}

static wn_status measure_models(wn_bench *b, wn_evaluation *out, wn_error *err) {
  const wn_evaluate_options *o = b->options;
  wn_train_spec specs[WN_MODELS_MAX + 2];
  wn_status status = WN_OK;
  b->train = o->train;
  wn_train_choose(&b->data, &b->train);
  size_t count = with_baselines(&b->train, specs);
  for (size_t i = 0; i < count; i++) {
    if (!wn_progress_at(o->progress, "evaluating", (double)i, (double)count + 1, "models"))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    WN_TRY(fit_and_measure(b, &specs[i], out, err));
    if (i == 1) WN_TRY(measure_recent(b, out, err));
  }
  for (size_t s = 0; s < o->surfaces_len; s++) {
    char name[64];
    snprintf(name, sizeof name, "funnel:%.50s", o->surfaces[s]->name);
    b->model = NULL;
    b->surface = o->surfaces[s];
    WN_TRY(measure(b, out, name, 0, err));
  }
  for (size_t a = 0; a < o->arms_len; a++) {
    b->model = NULL;
    b->surface = &o->arms[a].surface;
    WN_TRY(measure(b, out, o->arms[a].row, 0, err));
  }
cleanup:
  return status;
}

wn_status wn_evaluate(const wn_split *split, const wn_signals *signals,
                      const wn_evaluate_options *options, wn_evaluation *out, wn_error *err) {
  wn_bench b = {.split = split, .options = options, .signals = signals};
  wn_status status;
  memset(out, 0, sizeof *out);
  status = check(options, err);
  if (status != WN_OK) return status;
  b.pool = wn_pool_create(options->train.threads);
  if (b.pool == NULL) return wn_fail_memory(err);
  WN_TRY(choose_users(&b, out, err));
  WN_TRY(prepare(&b, err));
  describe(&b, out);
  WN_TRY(wn_split_hash(split, options->ids, &out->split_hash, err));
  if (!options->given_alone) WN_TRY(measure_models(&b, out, err));
  b.model = NULL;
  for (size_t g = 0; g < options->given_len; g++) {
    b.given = &options->given[g];
    WN_TRY(measure(&b, out, b.given->name, 0, err));
  }
  WN_TRY(wn_bench_constant(&b, &out->constant, err));
  wn_bench_guards(&b, out);
  out->user = b.users;
  b.users = NULL;
cleanup:
  bench_clear(&b);
  return status;
}

void wn_evaluation_clear(wn_evaluation *e) {
  for (size_t i = 0; i < e->rows_len; i++) wn_free(e->rows[i].user_value);
  wn_free(e->user);
  e->user = NULL;
  e->rows_len = 0;
}

size_t wn_evaluation_find(const wn_evaluation *e, const char *name) {
  for (size_t i = 0; i < e->rows_len; i++)
    if (strcmp(e->rows[i].name, name) == 0) return i;
  return WN_ROWS_MAX;
}
