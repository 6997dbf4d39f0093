/* Tuning by successive halving (Jamieson and Talwalkar, AISTATS 2016) over points that are random
 * or follow what was good at the first rung (tune_tpe.c): all trials are fitted on a small share of
 * the users, the best third of them on three times as many, and so on; the last rung takes all. The
 * defaults take part in every rung, so that what is printed at the end is a difference from them
 * over the same users.
 *
 * Measured is full ranking for users whose newest items were held out (data/holdout.c); they are
 * asked with their whole remaining history at every rung; or, with `later`, all that comes after a
 * moment, as a split by time has it. Nothing here sees a test part: the caller
 * hands in what training may see.
 *
 * Cost: the sum over rungs of trials · a fit; told before the search from what the defaults took.
 * Deterministic for a seed once the number of trials is: it is given, or follows from the budget
 * and is then kept in the journal. Departure: no bracket other than the most aggressive one
 * (Hyperband has several), because a share of users ranks these models' parameters well. */

#include "lab/tune.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/holdout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HALVING      3
#define RUNG_MIN_NNZ 100000.0 /* interactions that the least share should have */
#define TRIALS_MIN   3
#define FINALISTS    3 /* on all users, at least */
#define TARGETS_MAX  10

typedef struct scratch {
  wn_arena arena;
  wn_bitset allowed;
  wn_error err;
} scratch;

typedef struct search {
  const wn_tune_options *options;
  wn_holdout held;
  wn_dataset sample; /* of rung sample_rung */
  uint32_t sample_rung;
  wn_tune_plan plan;
  wn_tune_journal journal;
  wn_params *points;  /* [trials + 1] */
  wn_tune_seen *seen; /* [trials] at the first rung */
  wn_pool *pool;
  scratch *scratch;      /* one a worker */
  const wn_model *model; /* being measured */
  double *values;        /* [users] */
  double done;           /* trials, for progress */
} search;

void wn_tune_options_defaults(wn_tune_options *options) {
  memset(options, 0, sizeof *options);
  options->k = 20;
  options->budget_minutes = 10;
  options->users_max = 4000;
  options->bootstrap = 1000;
  options->seed = 1;
}

/* ---- one trial ---- */

static wn_status history_of(const search *s, uint32_t user, scratch *w, wn_query *query) {
  const wn_csr *m = &s->held.rest.by_user;
  uint64_t begin = m->row_ptr[user], end = m->row_ptr[user + 1];
  wn_history_entry *h = wn_arena_alloc(&w->arena, (end - begin + 1) * sizeof *h);
  if (h == NULL) return wn_fail_memory(&w->err);
  for (uint64_t p = end; p-- > begin;) {
    h[query->history_len++] = (wn_history_entry){m->col[p], m->weight[p], m->time_ms[p]};
    wn_bitset_unset(&w->allowed, m->col[p]);
  }
  query->history = h;
  return WN_OK;
}

static double value_of(const search *s, size_t at, const wn_scored *list, size_t len) {
  uint32_t items[WN_TUNE_K_MAX];
  wn_ranking_metrics m;
  const wn_holdout *h = &s->held;
  wn_relevant relevant = {h->target + h->ptr[at], NULL, (size_t)(h->ptr[at + 1] - h->ptr[at])};
  for (size_t i = 0; i < len; i++) items[i] = list[i].ix;
  wn_ranking_metrics_of(items, len, &relevant, s->options->k, &m);
  return s->options->recall ? m.recall : m.ndcg;
}

static void measure_user(search *s, size_t at, scratch *w) {
  const wn_csr *m = &s->held.rest.by_user;
  uint32_t user = s->held.user[at];
  size_t len = 0;
  wn_scored list[WN_TUNE_K_MAX];
  wn_arena_reset(&w->arena);
  wn_query query = {.user = user,
                    .anchor = WN_NO_IX,
                    .allowed = &w->allowed,
                    .now_ms = s->held.rest.now_ms,
                    .seed = s->options->seed,
                    .arena = &w->arena};
  if (history_of(s, user, w, &query) == WN_OK)
    w->err.status = s->model->cls->candidates(s->model, &query, s->options->k, list, &len, &w->err);
  for (uint64_t p = m->row_ptr[user]; p < m->row_ptr[user + 1]; p++)
    wn_bitset_set(&w->allowed, m->col[p]);
  s->values[at] = value_of(s, at, list, len);
}

static void measure_users(void *ctx, size_t begin, size_t end, int worker) {
  search *s = ctx;
  scratch *w = &s->scratch[worker];
  for (size_t at = begin; at < end && w->err.status == WN_OK; at++) measure_user(s, at, w);
}

static wn_status measure(search *s, wn_error *err) {
  wn_pool_run(s->pool, s->held.len, 16, measure_users, s);
  for (int t = 0; t < wn_pool_threads(s->pool); t++) {
    if (s->scratch[t].err.status == WN_OK) continue;
    *err = s->scratch[t].err;
    return err->status;
  }
  return WN_OK;
}

/* The data of a rung: all that is not held out, or a share of its users. */
static wn_status data_of(search *s, uint32_t rung, const wn_dataset **out, wn_error *err) {
  *out = &s->held.rest;
  if (rung + 1 == s->plan.rungs) return WN_OK;
  *out = &s->sample;
  if (s->sample_rung == rung) return WN_OK;
  wn_dataset_clear(&s->sample);
  s->sample_rung = WN_NO_IX;
  wn_status status = wn_dataset_sample(&s->held.rest, s->plan.share[rung],
                                       wn_mix64(s->options->seed), &s->sample, err);
  if (status == WN_OK) s->sample_rung = rung;
  return status;
}

static wn_status fit_and_measure(search *s, uint32_t rung, const wn_params *params,
                                 wn_tune_entry *entry, wn_error *err) {
  const wn_dataset *data;
  wn_train_spec spec = {.cls = s->options->space.cls, .params = *params};
  wn_fit_env env = {.pool = s->pool, .seed = s->options->seed};
  wn_model *model = NULL;
  wn_status status = data_of(s, rung, &data, err);
  if (status != WN_OK) return status;
  uint64_t start = wn_mono_ns();
  status = wn_fit_one(data, &spec, &env, &model, err);
  if (status != WN_OK) return status;
  s->model = model;
  status = measure(s, err);
  model->cls->free(model);
  entry->seconds = (double)(wn_mono_ns() - start) * 1e-9;
  for (size_t at = 0; at < s->held.len; at++) entry->value += s->values[at];
  entry->value /= (double)s->held.len;
  if (status != WN_OK || rung + 1 < s->plan.rungs) return status;
  entry->users_len = s->held.len;
  entry->users = wn_reallocarray(NULL, s->held.len, sizeof *entry->users);
  if (entry->users == NULL) return wn_fail_memory(err);
  memcpy(entry->users, s->values, s->held.len * sizeof *entry->users);
  return WN_OK;
}

/* From the journal when it is there. */
static wn_status run_trial(search *s, uint32_t trial, uint32_t rung, const wn_tune_entry **out,
                           wn_error *err) {
  wn_tune_entry entry = {.trial = trial, .rung = rung};
  double total = 0;
  wn_status status = WN_OK;
  for (uint32_t r = 0; r < s->plan.rungs; r++) total += s->plan.trials[r];
  if (!wn_progress_at(s->options->progress, "tuning", s->done, total, "trials"))
    return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
  *out = wn_tune_journal_find(&s->journal, trial, rung);
  if (*out == NULL) {
    const wn_params *point = &s->points[trial];
    WN_TRY(fit_and_measure(s, rung, point, &entry, err));
    WN_TRY(wn_tune_journal_add(&s->journal, &entry, &s->options->space, point, err));
    *out = &s->journal.entries[s->journal.len - 1];
  }
  bool whole = rung + 1 == s->plan.rungs;
  if (whole && ((*out)->users == NULL || (*out)->users_len != s->held.len))
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "out", "trial %u lacks its users' values", trial));
  s->done++;
cleanup:
  return status;
}

/* ---- the plan ---- */

static void plan_rungs(search *s) {
  double least = 1;
  wn_tune_plan *p = &s->plan;
  p->rungs = 1;
  while (p->rungs < WN_TUNE_RUNGS_MAX &&
         (double)s->held.rest.by_user.nnz * least / HALVING >= RUNG_MIN_NNZ) {
    least /= HALVING;
    p->rungs++;
  }
  for (uint32_t r = 0; r < p->rungs; r++) p->share[r] = least * pow(HALVING, r);
  p->share[p->rungs - 1] = 1;
}

static uint32_t trials_at(uint32_t trials, uint32_t rung) {
  uint32_t least = trials < FINALISTS ? trials : FINALISTS;
  for (; rung > 0; rung--) trials = (trials + HALVING - 1) / HALVING;
  return trials > least ? trials : least;
}

static double cost_of(const wn_tune_plan *p, uint32_t trials) {
  double seconds = 0;
  for (uint32_t r = 0; r < p->rungs; r++) seconds += p->seconds[r] * trials_at(trials, r);
  return seconds;
}

/* The defaults at every rung say what a trial costs; then how many there may be. */
static wn_status plan(search *s, wn_error *err) {
  const wn_tune_options *o = s->options;
  wn_status status = WN_OK;
  uint32_t trials = s->journal.trials > 0 ? s->journal.trials : o->trials;
  plan_rungs(s);
  for (uint32_t r = 0; r < s->plan.rungs; r++) {
    const wn_tune_entry *entry;
    WN_TRY(run_trial(s, 0, r, &entry, err));
    s->plan.seconds[r] = entry->seconds;
  }
  if (trials == 0) {
    trials = WN_TUNE_TRIALS_MAX - 1;
    while (trials > TRIALS_MIN && cost_of(&s->plan, trials) > 60 * o->budget_minutes) trials--;
  }
  if (s->journal.trials == 0) WN_TRY(wn_tune_journal_plan(&s->journal, trials, err));
  for (uint32_t r = 0; r < s->plan.rungs; r++) s->plan.trials[r] = trials_at(trials, r);
  s->plan.estimate = cost_of(&s->plan, trials);
  for (size_t i = 0; i < s->journal.len; i++)
    if (s->journal.entries[i].trial > 0) s->plan.estimate -= s->journal.entries[i].seconds;
  s->plan.estimate = fmax(s->plan.estimate, 0);
  if (o->planned != NULL) o->planned(o->planned_ctx, &s->plan);
cleanup:
  return status;
}

/* ---- the search ---- */

typedef struct standing {
  uint32_t trial;
  double value;
} standing;

static int best_first(const void *left, const void *right) {
  const standing *a = left, *b = right;
  if (a->value != b->value) return a->value > b->value ? -1 : 1;
  return (a->trial > b->trial) - (a->trial < b->trial);
}

/* The first `len` trials have been measured on the least rung. The start is not among what is seen:
 * a default may lie outside its range ("from the data"). */
static wn_status choose_point(search *s, const standing *all, size_t len, wn_error *err) {
  const wn_tune_options *o = s->options;
  uint32_t trial = (uint32_t)len + 1;
  if (!o->tpe || len < WN_TUNE_TPE_FROM) {
    wn_tune_point(&o->space, o->seed, trial, &s->points[trial]);
    return WN_OK;
  }
  for (size_t i = 0; i < len; i++) s->seen[i] = (wn_tune_seen){&s->points[i + 1], all[i].value};
  return wn_tune_tpe(&o->space, o->seed, trial, (wn_tune_past){s->seen, len}, &s->points[trial],
                     err);
}

/* Leaves the last rung's standings in `all`, best first, the defaults among them. */
static wn_status climb(search *s, standing *all, size_t *len, wn_error *err) {
  wn_status status = WN_OK;
  *len = s->plan.trials[0];
  for (uint32_t i = 0; i < *len; i++) all[i].trial = i + 1;
  for (uint32_t rung = 0; rung < s->plan.rungs; rung++) {
    const wn_tune_entry *entry;
    for (size_t i = 0; i < *len; i++) {
      if (rung == 0) WN_TRY(choose_point(s, all, i, err));
      WN_TRY(run_trial(s, all[i].trial, rung, &entry, err));
      all[i].value = entry->value;
    }
    if (rung + 1 == s->plan.rungs) {
      WN_TRY(run_trial(s, 0, rung, &entry, err));
      all[(*len)++] = (standing){0, entry->value};
    }
    qsort(all, *len, sizeof *all, best_first);
    if (rung + 1 < s->plan.rungs) *len = s->plan.trials[rung + 1];
  }
cleanup:
  return status;
}

static void summarise(const search *s, const standing *all, size_t len, wn_tune_result *out) {
  const wn_tune_options *o = s->options;
  uint32_t last = s->plan.rungs - 1;
  const wn_tune_entry *base = wn_tune_journal_find(&s->journal, 0, last);
  for (size_t i = 0; i < len; i++) {
    const wn_tune_entry *entry = wn_tune_journal_find(&s->journal, all[i].trial, last);
    wn_tune_row *row = &out->rows[out->rows_len++];
    row->trial = entry->trial;
    row->seconds = entry->seconds;
    row->params = s->points[entry->trial];
    row->metric = wn_bootstrap_mean(entry->users, entry->users_len, o->bootstrap, o->seed);
    row->difference =
        wn_bootstrap_difference(entry->users, base->users, base->users_len, o->bootstrap, o->seed);
  }
  for (size_t i = 0; i < s->journal.len; i++) out->seconds += s->journal.entries[i].seconds;
  out->plan = s->plan;
  out->users = s->held.len;
  out->by_time = false;
  const wn_csr *m = &s->held.rest.by_user;
  size_t ordered = 0;
  for (size_t i = 0; i < s->held.len; i++) {
    uint64_t begin = m->row_ptr[s->held.user[i]], end = m->row_ptr[s->held.user[i] + 1];
    ordered += end > begin + 1 && m->time_ms[begin] != m->time_ms[end - 1];
  }
  out->by_time = 2 * ordered >= s->held.len;
}

/* ---- the whole ---- */

/* What makes two searches the same. */
static void head_of(const search *s, const wn_dataset *data, char *out, size_t size) {
  const wn_tune_options *o = s->options;
  const wn_csr *m = &data->by_user;
  uint64_t hash = wn_mix64(m->nnz) ^ o->users_max;
  hash ^= (uint64_t)(1e6 * o->later);
  for (uint64_t i = 0; i < m->nnz; i++)
    hash = wn_mix64(hash ^ ((uint64_t)m->col[i] << 32) ^ (uint64_t)m->time_ms[i]);
  for (uint32_t u = 0; u < m->rows; u++) hash = wn_mix64(hash ^ m->row_ptr[u + 1]);
  for (size_t i = 0; i < o->space.cls->params_len; i++) {
    uint64_t bits;
    memcpy(&bits, &o->space.start.value[i], sizeof bits);
    hash = wn_mix64(hash ^ bits ^ (uint64_t)o->space.fixed[i]);
  }
  snprintf(out, size,
           "{\"search\":\"%s\",\"points\":\"%s\",\"metric\":\"%s@%u\",\"seed\":%llu,\"trials_"
           "asked\":%u,\"key\":\"%"
           "016llx\"}",
           o->space.cls->name, o->tpe ? "tpe" : "random", o->recall ? "recall" : "ndcg", o->k,
           (unsigned long long)o->seed, o->trials, (unsigned long long)hash);
}

static wn_status allocate(search *s, wn_error *err) {
  size_t threads = (size_t)wn_pool_threads(s->pool);
  s->values = wn_calloc(s->held.len + 1, sizeof *s->values);
  s->scratch = wn_calloc(threads, sizeof *s->scratch);
  s->points = wn_calloc(WN_TUNE_TRIALS_MAX + 1, sizeof *s->points);
  s->seen = wn_calloc(WN_TUNE_TRIALS_MAX, sizeof *s->seen);
  if (s->values == NULL || s->scratch == NULL || s->points == NULL || s->seen == NULL)
    return wn_fail_memory(err);
  for (size_t t = 0; t < threads; t++) {
    wn_arena_init(&s->scratch[t].arena, (size_t)512 << 20);
    if (!wn_bitset_init(&s->scratch[t].allowed, s->held.rest.items)) return wn_fail_memory(err);
    wn_bitset_fill(&s->scratch[t].allowed, true);
  }
  s->points[0] = s->options->space.start;
  return WN_OK;
}

static void clear(search *s) {
  for (int t = 0; s->scratch != NULL && t < wn_pool_threads(s->pool); t++) {
    wn_arena_clear(&s->scratch[t].arena);
    wn_bitset_clear(&s->scratch[t].allowed);
  }
  wn_free(s->scratch);
  wn_free(s->values);
  wn_free(s->points);
  wn_free(s->seen);
  wn_tune_journal_clear(&s->journal);
  wn_dataset_clear(&s->sample);
  wn_holdout_clear(&s->held);
  wn_pool_free(s->pool);
}

static wn_status check(const wn_tune_options *o, wn_error *err) {
  if (wn_tune_searched(&o->space) == 0)
    return wn_fail(err, WN_E_ARGUMENT, "model", "%s has nothing to tune%s", o->space.cls->name,
                   o->space.cls->params_len > 0 ? " that is not fixed" : "");
  if (o->k < 1 || o->k > WN_TUNE_K_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "metric", "K must be 1 to %d", WN_TUNE_K_MAX);
  if (o->trials >= WN_TUNE_TRIALS_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "trials", "must be below %d", WN_TUNE_TRIALS_MAX);
  return WN_OK;
}

wn_status wn_tune_run(const wn_dataset *data, const wn_tune_options *options, wn_tune_result *out,
                      wn_error *err) {
  search s = {.options = options, .sample_rung = WN_NO_IX};
  wn_holdout_options how = {
      .users_max = options->users_max, .targets_max = TARGETS_MAX, .seed = options->seed};
  char head[320];
  size_t len = 0;
  standing *all = wn_calloc(WN_TUNE_TRIALS_MAX + 1, sizeof *all);
  wn_status status;
  memset(out, 0, sizeof *out);
  s.pool = wn_pool_create(options->threads);
  if (all == NULL || s.pool == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(check(options, err));
  WN_TRY(options->later > 0 ? wn_holdout_later(data, options->later, &how, &s.held, err)
                            : wn_holdout_make(data, &how, &s.held, err));
  if (s.held.len == 0)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "",
                   options->later > 0 ? "no user has items before and after the cut: nothing to "
                                        "measure on, use --validate newest"
                                      : "no user has two items or more: nothing to measure on"));
  WN_TRY(allocate(&s, err));
  head_of(&s, data, head, sizeof head);
  WN_TRY(wn_tune_journal_open(&s.journal, options->journal, head, err));
  WN_TRY(plan(&s, err));
  WN_TRY(climb(&s, all, &len, err));
  summarise(&s, all, len, out);
cleanup:
  clear(&s);
  wn_free(all);
  return status;
}
