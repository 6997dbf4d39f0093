/* Evaluation by full ranking: every user with a past and a future gets a list from every model,
 * over the whole catalogue with the train items masked; the lists come from the serving path itself
 * (candidates of a fold-in from the train history), so what is measured is what is served.
 *
 * Costs: one `candidates` call a user and model, by all threads. Memory: 8 bytes × metrics ×
 * cutoffs a user. Each user's numbers are independent, and sums run in user order: same seed, same
 * digits. */
#include "lab/evaluate.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M_NDCG, M_RECALL, M_PRECISION, M_HIT, M_MRR, M_MAP, METRICS };

typedef struct worker {
  wn_arena arena;
  wn_bitset allowed;
  uint32_t *counts; /* [cutoffs × items] how often each item was in a list */
} worker;

typedef struct bench {
  const wn_split *split;
  const wn_evaluate_options *options;
  const wn_signals *signals;
  wn_train_options train;      /* chosen for these data */
  wn_dataset data;             /* fitted on: what options.train.dataset leaves of train */
  wn_dataset whole;            /* all of train, where that is not the same */
  const wn_dataset *histories; /* the one that histories come from: all of train */
  wn_models models;
  wn_dataset_report dataset;
  wn_pool *pool;
  wn_bitset known;     /* items that train may know of */
  wn_bitset universe;  /* of these, what may be recommended */
  int64_t *created_ms; /* a copy without the future; NULL: none given */
  wn_expr_cache *filters;
  uint32_t *users; /* evaluated */
  size_t users_len;
  size_t k_max;
  /* of the row being measured */
  const wn_model *model; /* NULL: the funnel */
  double *values;        /* [METRICS × cutoffs × users_len] */
  uint8_t *empty;        /* [users_len] */
  worker *workers;
  wn_error *errors; /* one a worker */
} bench;

void wn_evaluate_options_defaults(wn_evaluate_options *options) {
  memset(options, 0, sizeof *options);
  options->cutoffs[0] = 10;
  options->cutoffs[1] = 20;
  options->cutoffs[2] = 50;
  options->cutoffs_len = 3;
  options->bootstrap = 1000;
  options->seed = 1;
  wn_train_options_defaults(&options->train);
}

static bool ranks_held_out(const bench *b) {
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

/* Users with a past and relevant items; of too many the seed's sample. */
static wn_status choose_users(bench *b, wn_evaluation *out, wn_error *err) {
  const wn_split *s = b->split;
  draw *all = wn_malloc(((size_t)s->users + 1) * sizeof *all);
  b->users = wn_malloc(((size_t)s->users + 1) * sizeof *b->users);
  size_t n = 0, most = b->options->users_max;
  if (all == NULL || b->users == NULL) {
    wn_free(all);
    return wn_fail_memory(err);
  }
  for (uint32_t u = 0; u < s->users; u++)
    if (s->test.ptr[u + 1] > s->test.ptr[u] && s->seen.ptr[u + 1] > s->seen.ptr[u])
      all[n++] = (draw){wn_mix64(b->options->seed ^ wn_mix64(u)), u};
  if (most > 0 && n > most) qsort(all, n, sizeof *all, by_key);
  b->users_len = most > 0 && n > most ? most : n;
  for (size_t i = 0; i < b->users_len; i++) b->users[i] = all[i].user;
  qsort(b->users, b->users_len, sizeof *b->users, by_number);
  out->users_not_sampled = n - b->users_len;
  wn_free(all);
  return n > 0 ? WN_OK
               : wn_fail(err, WN_E_ARGUMENT, "",
                         "the split leaves no user with both a past and a relevant future item");
}

/* --- one user --- */

static wn_status history_of(const bench *b, uint32_t user, wn_query *query) {
  const wn_csr *m = &b->histories->by_user;
  uint64_t begin = m->row_ptr[user], end = m->row_ptr[user + 1];
  wn_history_entry *h = wn_arena_alloc(query->arena, (end - begin + 1) * sizeof *h);
  uint8_t *type = wn_arena_alloc(query->arena, end - begin + 1);
  if (h == NULL || type == NULL) return WN_E_MEMORY;
  for (uint64_t p = end; p-- > begin;) {
    type[query->history_len] = m->type[p];
    h[query->history_len++] = (wn_history_entry){m->col[p], m->weight[p], m->time_ms[p]};
  }
  query->history = h;
  query->history_type = type;
  return WN_OK;
}

static wn_status rank_by_model(const bench *b, const worker *w, const wn_query *query,
                               uint32_t *list, size_t *len, wn_error *err) {
  wn_scored *scored = wn_arena_alloc(query->arena, b->k_max * sizeof *scored);
  wn_query masked = *query;
  size_t n = 0;
  if (scored == NULL) return wn_fail_memory(err);
  masked.allowed = &w->allowed;
  wn_status status = b->model->cls->candidates(b->model, &masked, b->k_max, scored, &n, err);
  for (size_t i = 0; i < n; i++) list[i] = scored[i].ix;
  *len = n;
  return status;
}

static wn_status rank_by_funnel(const bench *b, uint32_t user, const wn_query *query,
                                uint32_t *list, size_t *len, wn_error *err) {
  const wn_split *s = b->split;
  uint64_t begin = s->seen.ptr[user], n = s->seen.ptr[user + 1] - begin;
  wn_seen_entry *seen = wn_arena_alloc(query->arena, (n + 1) * sizeof *seen);
  if (seen == NULL) return wn_fail_memory(err);
  for (uint64_t i = 0; i < n; i++) seen[i] = (wn_seen_entry){s->seen.item[begin + i], UINT64_MAX};
  wn_request request = {.surface = b->options->surface,
                        .models = &b->models,
                        .catalog = b->options->catalog,
                        .filters = b->filters,
                        .signals = b->signals,
                        .query = *query,
                        .within = &b->universe,
                        .seen = seen,
                        .seen_len = (size_t)n,
                        .n = (uint32_t)b->k_max};
  wn_slate slate;
  wn_status status = wn_funnel_run(&request, &slate, err);
  if (status != WN_OK) return status;
  for (size_t i = 0; i < slate.len; i++) list[i] = slate.items[i].item;
  *len = slate.len;
  return WN_OK;
}

static void record(const bench *b, worker *w, size_t at, const uint32_t *list, size_t len) {
  const wn_split *s = b->split;
  uint32_t user = b->users[at];
  wn_relevant relevant = {s->test.item + s->test.ptr[user], NULL,
                          (size_t)(s->test.ptr[user + 1] - s->test.ptr[user])};
  size_t cutoffs = b->options->cutoffs_len;
  b->empty[at] = len == 0;
  for (size_t c = 0; c < cutoffs; c++) {
    wn_ranking_metrics m;
    size_t k = b->options->cutoffs[c];
    wn_ranking_metrics_of(list, len, &relevant, k, &m);
    const double values[METRICS] = {m.ndcg, m.recall, m.precision, m.hit, m.mrr, m.ap_over_min};
    for (size_t metric = 0; metric < METRICS; metric++)
      b->values[(metric * cutoffs + c) * b->users_len + at] = values[metric];
    for (size_t i = 0; i < len && i < k; i++) w->counts[c * s->items + list[i]]++;
  }
}

/* What the user's list may hold: the choices, or everything, without what she has seen. Between two
 * users `allowed` is empty with choices, else the universe. */
static void open_allowed(const bench *b, worker *w, uint32_t user) {
  const wn_user_items *choices = &b->split->choices, *seen = &b->split->seen;
  for (uint64_t p = choices->ptr != NULL ? choices->ptr[user] : 0;
       choices->ptr != NULL && p < choices->ptr[user + 1]; p++)
    if (wn_bitset_test(&b->universe, choices->item[p]))
      wn_bitset_set(&w->allowed, choices->item[p]);
  for (uint64_t p = seen->ptr[user]; p < seen->ptr[user + 1]; p++)
    wn_bitset_unset(&w->allowed, seen->item[p]);
}

static void close_allowed(const bench *b, worker *w, uint32_t user) {
  const wn_user_items *choices = &b->split->choices, *seen = &b->split->seen;
  if (choices->ptr != NULL) {
    for (uint64_t p = choices->ptr[user]; p < choices->ptr[user + 1]; p++)
      wn_bitset_unset(&w->allowed, choices->item[p]);
    return;
  }
  for (uint64_t p = seen->ptr[user]; p < seen->ptr[user + 1]; p++)
    if (wn_bitset_test(&b->universe, seen->item[p])) wn_bitset_set(&w->allowed, seen->item[p]);
}

static wn_status evaluate_user(const bench *b, worker *w, size_t at, wn_error *err) {
  uint32_t user = b->users[at];
  size_t len = 0;
  wn_arena_reset(&w->arena);
  uint32_t *list = wn_arena_alloc(&w->arena, b->k_max * sizeof *list);
  wn_query query = {.user = user,
                    .anchor = WN_NO_IX,
                    .now_ms = b->histories->now_ms,
                    .seed = b->options->seed ^ wn_mix64(user),
                    .arena = &w->arena};
  if (list == NULL || history_of(b, user, &query) != WN_OK) return wn_fail_memory(err);
  open_allowed(b, w, user);
  wn_status status = b->model != NULL ? rank_by_model(b, w, &query, list, &len, err)
                                      : rank_by_funnel(b, user, &query, list, &len, err);
  close_allowed(b, w, user);
  if (status == WN_OK) record(b, w, at, list, len);
  return status;
}

static void evaluate_rows(void *ctx, size_t begin, size_t end, int worker_ix) {
  bench *b = ctx;
  wn_error *err = &b->errors[worker_ix];
  for (size_t at = begin; at < end && err->status == WN_OK; at++)
    if (evaluate_user(b, &b->workers[worker_ix], at, err) != WN_OK && err->status == WN_OK)
      err->status = WN_E_INTERNAL;
}

/* --- one row of the table --- */

static void summarise(void *ctx, size_t begin, size_t end, int worker_ix WN_UNUSED) {
  void **both = ctx;
  const bench *b = both[0];
  wn_model_result *row = both[1];
  size_t cutoffs = b->options->cutoffs_len;
  for (size_t i = begin; i < end; i++) {
    wn_cutoff_result *at = &row->at[i % cutoffs];
    wn_interval *targets[METRICS] = {&at->ndcg, &at->recall, &at->precision,
                                     &at->hit,  &at->mrr,    &at->map};
    *targets[i / cutoffs] = wn_bootstrap_mean(b->values + i * b->users_len, b->users_len,
                                              b->options->bootstrap, b->options->seed);
  }
}

static void concentration(const bench *b, wn_model_result *row) {
  size_t items = b->split->items, threads = (size_t)wn_pool_threads(b->pool);
  size_t catalogue = ranks_held_out(b) ? wn_bitset_count(&b->universe) : items;
  for (size_t c = 0; c < b->options->cutoffs_len; c++) {
    uint32_t *sum = b->workers[0].counts + c * items;
    size_t shown = 0;
    for (size_t t = 1; t < threads; t++)
      for (size_t i = 0; i < items; i++) sum[i] += b->workers[t].counts[c * items + i];
    for (size_t i = 0; i < items; i++) shown += sum[i] > 0;
    row->at[c].k = b->options->cutoffs[c];
    row->at[c].coverage = catalogue > 0 ? (double)shown / (double)catalogue : 0;
    row->at[c].gini = wn_gini(sum, items);
  }
}

static wn_status measure(bench *b, wn_model_result *row, wn_error *err) {
  int threads = wn_pool_threads(b->pool);
  uint64_t start = wn_mono_ns();
  for (int t = 0; t < threads; t++) {
    memset(b->workers[t].counts, 0, b->options->cutoffs_len * b->split->items * sizeof(uint32_t));
    wn_bitset_fill(&b->workers[t].allowed, false);
    if (b->split->choices.ptr == NULL) wn_bitset_copy(&b->workers[t].allowed, &b->universe);
    b->errors[t] = (wn_error){0};
  }
  wn_pool_run(b->pool, b->users_len, 16, evaluate_rows, b);
  for (int t = 0; t < threads; t++) {
    if (b->errors[t].status == WN_OK) continue;
    *err = b->errors[t];
    return err->status;
  }
  row->rank_seconds = (double)(wn_mono_ns() - start) * 1e-9;
  for (size_t at = 0; at < b->users_len; at++) row->users_without_list += b->empty[at];
  void *both[] = {b, row};
  wn_pool_run(b->pool, METRICS * b->options->cutoffs_len, 1, summarise, both);
  concentration(b, row);
  return WN_OK;
}

/* --- all of them --- */

/* The catalogue of a split by time is that of the cut: items made later, which train never met, are
 * unknown to every model and are not recommended. */
static wn_status hide_future(bench *b, wn_error *err) {
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
  const bench *b;
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
  const bench *b = ctx;
  known_items known = {b, each, each_ctx};
  return b->options->items_source.scan(b->options->items_source.ctx, each_known, &known, err);
}

static wn_status prepare_data(bench *b, wn_error *err) {
  const wn_split *s = b->split;
  const wn_dataset_options *dataset = &b->options->train.dataset;
  const wn_pairs_input train = {.events = s->train,
                                .count = s->train_len,
                                .signals = b->signals,
                                .users = s->users,
                                .items = s->items};
  wn_status status = wn_dataset_prepare(&train, dataset, &b->data, &b->dataset, err);
  b->histories = &b->data;
  if (status != WN_OK || wn_dataset_options_none(dataset)) return status;
  b->histories = &b->whole;
  return wn_dataset_from(&train, &b->whole, err);
}

static wn_status prepare(bench *b, wn_error *err) {
  const wn_evaluate_options *o = b->options;
  size_t threads = (size_t)wn_pool_threads(b->pool), items = b->split->items;
  for (size_t c = 0; c < o->cutoffs_len; c++)
    if (o->cutoffs[c] > b->k_max) b->k_max = o->cutoffs[c];
  b->values = wn_reallocarray(NULL, METRICS * o->cutoffs_len * b->users_len + 1, sizeof *b->values);
  b->empty = wn_calloc(b->users_len + 1, 1);
  b->workers = wn_calloc(threads, sizeof *b->workers);
  b->errors = wn_calloc(threads, sizeof *b->errors);
  b->filters = wn_expr_cache_create(64);
  if (b->values == NULL || b->empty == NULL || b->workers == NULL || b->errors == NULL ||
      b->filters == NULL || !wn_bitset_init(&b->known, items) ||
      !wn_bitset_init(&b->universe, items))
    return wn_fail_memory(err);
  if (o->catalog != NULL)
    wn_bitset_copy(&b->known, wn_catalog_servable(o->catalog));
  else
    wn_bitset_fill(&b->known, true);
  for (size_t t = 0; t < threads; t++) {
    wn_arena_init(&b->workers[t].arena, (size_t)512 << 20);
    b->workers[t].counts = wn_reallocarray(NULL, o->cutoffs_len * items + 1, sizeof(uint32_t));
    if (b->workers[t].counts == NULL || !wn_bitset_init(&b->workers[t].allowed, items))
      return wn_fail_memory(err);
  }
  wn_status status = prepare_data(b, err);
  if (status == WN_OK) status = hide_future(b, err);
  wn_bitset_copy(&b->universe, &b->known);
  if (ranks_held_out(b)) wn_bitset_and(&b->universe, &b->split->held_out);
  if (o->items_source.scan != NULL) b->data.items_source = (wn_item_source){b, scan_known};
  b->data.created_ms = b->created_ms;
  b->data.vectors = b->options->vectors;
  return status;
}

static wn_status fit_and_measure(bench *b, const wn_train_spec *spec, wn_model_result *row,
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
  row->fit_seconds = (double)(wn_mono_ns() - start) * 1e-9;
  snprintf(row->name, sizeof row->name, "%s", spec->cls->name);
  b->models.data[b->models.len++] = model;
  b->model = model;
  if (spec->cls->bind != NULL) status = spec->cls->bind(model, &b->models, err);
  if (status != WN_OK) return status;
  return measure(b, row, err);
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

static void describe(const bench *b, wn_evaluation *out) {
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
  out->users_cold = s->cold_users;
  out->users_without_relevant = s->users_without_relevant;
  out->cold_test_pairs = s->cold_test_pairs;
  out->cutoffs_len = b->options->cutoffs_len;
  out->dataset_cut = !wn_dataset_options_none(&b->options->train.dataset);
  out->dataset = b->dataset;
  out->sampled = s->choices.ptr != NULL;
  out->ranking = out->sampled ? "a sample of items for each user: not comparable with full ranking"
                 : ranks_held_out(b) ? "the held-out items alone"
                                     : "the whole catalogue";
  out->choices = (double)wn_bitset_count(&b->universe);
  if (!out->sampled) return;
  out->choices = 0;
  for (size_t at = 0; at < b->users_len; at++)
    out->choices += (double)(s->choices.ptr[b->users[at] + 1] - s->choices.ptr[b->users[at]]);
  out->choices /= (double)b->users_len;
}

static void bench_clear(bench *b) {
  for (int t = 0; b->workers != NULL && t < wn_pool_threads(b->pool); t++) {
    wn_arena_clear(&b->workers[t].arena);
    wn_bitset_clear(&b->workers[t].allowed);
    wn_free(b->workers[t].counts);
  }
  wn_free(b->workers);
  wn_free(b->errors);
  wn_free(b->values);
  wn_free(b->empty);
  wn_free(b->users);
  wn_free(b->created_ms);
  wn_bitset_clear(&b->known);
  wn_bitset_clear(&b->universe);
  wn_models_clear(&b->models);
  wn_dataset_clear(&b->data);
  wn_dataset_clear(&b->whole);
  if (b->filters != NULL) wn_expr_cache_free(b->filters);
  if (b->pool != NULL) wn_pool_free(b->pool);
}

wn_status wn_evaluate(const wn_split *split, const wn_signals *signals,
                      const wn_evaluate_options *options, wn_evaluation *out, wn_error *err) {
  bench b = {.split = split, .options = options, .signals = signals};
  wn_train_spec specs[WN_MODELS_MAX + 2];
  wn_status status;
  memset(out, 0, sizeof *out);
  if (options->cutoffs_len == 0 || options->cutoffs_len > WN_CUTOFFS_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "k", "give 1 to %d cutoffs", WN_CUTOFFS_MAX);
  for (size_t c = 0; c < options->cutoffs_len; c++)
    if (options->cutoffs[c] < 1 || options->cutoffs[c] > WN_SLATE_MAX)
      return wn_fail(err, WN_E_ARGUMENT, "k", "must be 1 to %d, got %u", WN_SLATE_MAX,
                     options->cutoffs[c]);
  b.pool = wn_pool_create(options->train.threads);
  if (b.pool == NULL) return wn_fail_memory(err);
  WN_TRY(choose_users(&b, out, err));
  WN_TRY(prepare(&b, err));
  describe(&b, out);
  b.train = options->train;
  wn_train_choose(&b.data, &b.train);
  size_t count = with_baselines(&b.train, specs);
  for (size_t i = 0; i < count; i++) {
    if (!wn_progress_at(options->progress, "evaluating", (double)i, (double)count + 1, "models"))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    WN_TRY(fit_and_measure(&b, &specs[i], &out->rows[out->rows_len++], err));
  }
  if (options->surface != NULL) {
    wn_model_result *row = &out->rows[out->rows_len++];
    snprintf(row->name, sizeof row->name, "funnel:%.50s", options->surface->name);
    b.model = NULL;
    WN_TRY(measure(&b, row, err));
  }
cleanup:
  bench_clear(&b);
  return status;
}
