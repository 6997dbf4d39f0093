/* The gate. What is held out is the newest part of what arrived since the incumbent was trained,
 * by the log's order: what came next is what a model is for, and late events are part of that. The
 * challenger is fitted on the log before it, and serving replays the rest on top as it does with
 * every snapshot: so nothing is trained twice, and the judged snapshot is the one that is served.
 *
 * Both are asked as they would serve at that moment: snapshot + log up to the cut, the funnel of
 * one surface, the user's history at the cut. NDCG@n of what each fresh user took next; users
 * without a past, or who took nothing new, say nothing about a personal ranking and are left out.
 * The interval is the percentile bootstrap of the paired difference over users (Efron and
 * Tibshirani 1993). Worse means that all of it lies below 0: a challenger that cannot be told from
 * the incumbent is promoted, because it knows more recent events.
 *
 * Costs: two slates a user, at most users_max users; memory of two states, one after the other.
 * Deterministic: the same log and snapshots give the same digits, whatever the threads. */
#include "serve/gate.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "serve/batch_store.h"
#include "serve/engine_internal.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOTSTRAP   2000
#define SEED        1
#define ARENA_BYTES ((size_t)512 << 20)

const char *wn_verdict_name(wn_verdict verdict) {
  static const char *const names[] = {"first", "unjudged", "better", "equal", "worse"};
  return names[verdict];
}

/* --- what is held out --- */

typedef struct taken {
  wn_user_ix user;
  wn_item_ix item;
} taken;

typedef struct tail {
  const wn_signals *signals;
  const wn_surface *surface; /* that is judged; NULL: none */
  const wn_objectives *objectives;
  WN_VEC(taken) pairs;
} tail;

/* What a user took: events of positive weight; where the surface weighs objectives, the successes
 * of those that it wants, or the gate would hold a snapshot back for avoiding clickbait. */
static bool is_taken(const tail *t, const wn_stored_event *e) {
  const wn_surface *surface = t->surface;
  const wn_objectives *all = t->objectives;
  if (surface == NULL || surface->objectives_len == 0)
    return wn_signal_weight(t->signals, e->type, e->value, e->time_ms, e->time_ms) > 0;
  for (size_t i = 0; i < surface->objectives_len; i++)
    for (size_t k = 0; k < all->len && surface->objectives[i].weight > 0; k++)
      if (strcmp(all->data[k].name, surface->objectives[i].name) == 0 &&
          e->type < t->signals->len &&
          wn_label_rule_holds(&all->data[k].rule, t->signals->data[e->type].name, e->value))
        return true;
  return false;
}

static wn_status take_event(void *ctx, const wn_stored_event *e, wn_error *err) {
  tail *t = ctx;
  if (!is_taken(t, e)) return WN_OK;
  return wn_vec_push(&t->pairs, ((taken){e->user, e->item})) ? WN_OK : wn_fail_memory(err);
}

static int by_user_item(const void *a, const void *b) {
  const taken *x = a, *y = b;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  return (x->item > y->item) - (x->item < y->item);
}

/* Distinct (user, item) pairs of positive weight in (after, upto], ascending. */
static wn_status read_tail(wn_store *store, uint64_t after, uint64_t upto, tail *t, wn_error *err) {
  wn_status status = wn_store_scan_events(store, after, upto, take_event, t, err);
  if (status != WN_OK || t->pairs.len == 0) return status;
  qsort(t->pairs.data, t->pairs.len, sizeof *t->pairs.data, by_user_item);
  size_t kept = 1;
  for (size_t i = 1; i < t->pairs.len; i++)
    if (by_user_item(&t->pairs.data[kept - 1], &t->pairs.data[i]) != 0)
      t->pairs.data[kept++] = t->pairs.data[i];
  t->pairs.len = kept;
  return WN_OK;
}

static size_t count_users(const tail *t) {
  size_t users = 0;
  for (size_t i = 0; i < t->pairs.len; i++)
    users += i == 0 || t->pairs.data[i].user != t->pairs.data[i - 1].user;
  return users;
}

wn_status wn_gate_plan_make(wn_store *store, const wn_config *config, const wn_signals *signals,
                            wn_gate_plan *out, wn_error *err) {
  wn_status status = WN_OK;
  const wn_training_config *training = &config->training;
  char dir[4096];
  wn_snapshot *incumbent = NULL;
  wn_store_counts counts;
  tail t = {.signals = signals,
            .surface = wn_config_gate_surface(&config->surfaces, training->gate_surface),
            .objectives = &config->train.objectives};
  *out = (wn_gate_plan){0};
  snprintf(dir, sizeof dir, "%.*s", WN_STR_ARG(wn_store_dir(store)));
  WN_TRY(wn_snapshot_open_current(dir, wn_store_uuid(store), &incumbent, err));
  if (incumbent == NULL) goto cleanup;
  const wn_snapshot_about *about = wn_snapshot_about_of(incumbent);
  WN_TRY(wn_store_counts_get(store, &counts, err));
  out->incumbent = about->number;
  out->last_seq = counts.last_seq;
  uint64_t fresh = counts.last_seq > about->last_seq ? counts.last_seq - about->last_seq : 0;
  uint64_t held = fresh / 2 < training->gate_events_max ? fresh / 2 : training->gate_events_max;
  WN_TRY(read_tail(store, counts.last_seq - held, counts.last_seq, &t, err));
  size_t users = held > 0 ? count_users(&t) : 0;
  if (t.surface == NULL)
    snprintf(out->reason, sizeof out->reason, "no surface is made for a user");
  else if (users >= training->gate_users_min)
    out->upto_seq = counts.last_seq - held;
  else
    snprintf(out->reason, sizeof out->reason,
             "%" PRIu64 " events since snapshot %" PRIu64
             ", half of them of %zu users; to be judged takes %" PRIu32,
             fresh, out->incumbent, users, training->gate_users_min);
cleanup:
  wn_snapshot_unref(incumbent);
  wn_vec_clear(&t.pairs);
  return status;
}

/* --- judging --- */

typedef struct fresh_user {
  wn_user_ix user;
  size_t begin, end; /* of the tail's pairs */
  uint64_t key;      /* for sampling */
} fresh_user;

typedef struct gate {
  wn_engine *engine;
  const wn_gate_plan *plan;
  tail tail;
  wn_offline ask;
  uint64_t seen_types;
  fresh_user *users;
  size_t users_len;
  double *ndcg; /* of the state being asked; NAN: says nothing */
  wn_pool *pool;
  wn_arena *arenas; /* one a worker */
  wn_error *errors;
  int threads;
} gate;

static int by_key(const void *a, const void *b) {
  const fresh_user *x = a, *y = b;
  return (x->key > y->key) - (x->key < y->key);
}

static int by_user(const void *a, const void *b) {
  const fresh_user *x = a, *y = b;
  return (x->user > y->user) - (x->user < y->user);
}

static wn_status choose_users(gate *g, wn_error *err) {
  const tail *t = &g->tail;
  size_t most = g->engine->config.training.gate_users_max;
  g->users = wn_calloc(count_users(t) + 1, sizeof *g->users);
  if (g->users == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < t->pairs.len; i++) {
    wn_user_ix user = t->pairs.data[i].user;
    if (i > 0 && user == t->pairs.data[i - 1].user) {
      g->users[g->users_len - 1].end = i + 1;
    } else {
      g->users[g->users_len++] = (fresh_user){user, i, i + 1, wn_mix64(SEED ^ wn_mix64(user))};
    }
  }
  if (g->users_len > most) {
    qsort(g->users, g->users_len, sizeof *g->users, by_key);
    g->users_len = most;
    qsort(g->users, most, sizeof *g->users, by_user);
  }
  return WN_OK;
}

/* What she took that she had not met before; absent without a past. */
static wn_status relevant_of(const gate *g, const fresh_user *u, wn_arena *arena, wn_relevant *out,
                             wn_error *err) {
  wn_pair_list pairs;
  *out = (wn_relevant){0};
  if (wn_engine_user_gone(g->engine, u->user)) return WN_OK;
  wn_status status =
      wn_online_user(g->engine->serving->online, u->user, g->ask.now_ms, arena, &pairs, err);
  if (status != WN_OK || pairs.len == 0) return status;
  uint32_t *items = wn_arena_alloc(arena, (u->end - u->begin) * sizeof *items);
  if (items == NULL) return wn_fail_memory(err);
  for (size_t i = u->begin; i < u->end; i++) {
    wn_item_ix item = g->tail.pairs.data[i].item;
    bool met = false;
    for (size_t p = 0; p < pairs.len && !met; p++)
      met = pairs.data[p].item == item && (pairs.data[p].mask & g->seen_types) != 0;
    if (!met) items[out->len++] = item;
  }
  out->items = items;
  return WN_OK;
}

static wn_status ask_user(gate *g, size_t at, wn_arena *arena, wn_error *err) {
  wn_status status = WN_OK;
  wn_relevant relevant;
  wn_slate slate = {0};
  wn_ranking_metrics metrics;
  wn_arena_reset(arena);
  g->ndcg[at] = NAN;
  WN_TRY(relevant_of(g, &g->users[at], arena, &relevant, err));
  if (relevant.len == 0) goto cleanup;
  WN_TRY(wn_offline_slate(g->engine, &g->ask, g->users[at].user, arena, &slate, err));
  uint32_t *list = wn_arena_alloc(arena, (slate.len + 1) * sizeof *list);
  if (list == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t i = 0; i < slate.len; i++) list[i] = slate.items[i].item;
  wn_ranking_metrics_of(list, slate.len, &relevant, g->ask.n, &metrics);
  g->ndcg[at] = metrics.ndcg;
cleanup:
  return status;
}

static void ask_some(void *ctx, size_t begin, size_t end, int worker) {
  gate *g = ctx;
  wn_error *err = &g->errors[worker];
  for (size_t at = begin; at < end && err->status == WN_OK; at++) {
    wn_status status = ask_user(g, at, &g->arenas[worker], err);
    if (status != WN_OK) err->status = status;
  }
}

/* NDCG of all fresh users under snapshot `number`. */
static wn_status ask_snapshot(gate *g, uint64_t number, double *ndcg, wn_error *err) {
  wn_serving *serving = NULL;
  wn_status status = wn_serving_at(g->engine, number, g->plan->upto_seq, &serving, err);
  if (status != WN_OK) return status;
  wn_serving_free(g->engine->serving);
  g->engine->serving = serving;
  for (uint32_t t = 0; t < serving->signals.len; t++)
    if (serving->signals.data[t].seen) g->seen_types |= (uint64_t)1 << (t < 63 ? t : 63);
  g->ndcg = ndcg;
  wn_pool_run(g->pool, g->users_len, 8, ask_some, g);
  for (int w = 0; w < g->threads; w++) {
    if (g->errors[w].status == WN_OK) continue;
    if (err != NULL) *err = g->errors[w];
    return g->errors[w].status;
  }
  return WN_OK;
}

/* Those who say something under both. */
static size_t keep_paired(double *a, double *b, size_t n) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    if (isnan(a[i]) || isnan(b[i])) continue;
    a[kept] = a[i];
    b[kept++] = b[i];
  }
  return kept;
}

static double mean_of(const double *x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i];
  return n > 0 ? sum / (double)n : 0;
}

static void conclude(const gate *g, const double *incumbent, const double *challenger,
                     wn_gate_report *out) {
  size_t n = out->users;
  uint32_t least = g->engine->config.training.gate_users_min;
  if (n < least) {
    out->verdict = WN_GATE_UNJUDGED;
    snprintf(out->reason, sizeof out->reason,
             "%zu fresh users have a past and took something new; to be judged takes %" PRIu32, n,
             least);
    return;
  }
  out->incumbent_ndcg = mean_of(incumbent, n);
  out->challenger_ndcg = mean_of(challenger, n);
  out->difference = wn_bootstrap_difference(challenger, incumbent, n, BOOTSTRAP, SEED);
  out->verdict = out->difference.high < 0  ? WN_GATE_WORSE
                 : out->difference.low > 0 ? WN_GATE_BETTER
                                           : WN_GATE_EQUAL;
  snprintf(out->reason, sizeof out->reason,
           "NDCG@%" PRIu32 " of %s on %zu fresh users: %.4f against %.4f of snapshot %" PRIu64
           ", difference %+.4f (95%% %+.4f to %+.4f)",
           out->k, out->surface, n, out->challenger_ndcg, out->incumbent_ndcg, out->incumbent,
           out->difference.mean, out->difference.low, out->difference.high);
}

static wn_status prepare(gate *g, wn_error *err) {
  wn_status status = WN_OK;
  const wn_config *config = &g->engine->config;
  g->pool = wn_pool_create(config->train.threads);
  if (g->pool == NULL) return wn_fail_memory(err);
  g->threads = wn_pool_threads(g->pool);
  g->arenas = wn_calloc((size_t)g->threads, sizeof *g->arenas);
  g->errors = wn_calloc((size_t)g->threads, sizeof *g->errors);
  if (g->arenas == NULL || g->errors == NULL) return wn_fail_memory(err);
  for (int w = 0; w < g->threads; w++) wn_arena_init(&g->arenas[w], ARENA_BYTES);
  g->ask.surface =
      wn_config_gate_surface(&g->engine->policy->surfaces, config->training.gate_surface);
  g->ask.n = g->ask.surface->n;
  g->tail.signals = &g->engine->serving->signals;
  g->tail.surface = g->ask.surface;
  g->tail.objectives = &config->train.objectives;
  WN_TRY(read_tail(g->engine->store, g->plan->upto_seq, g->plan->last_seq, &g->tail, err));
  WN_TRY(choose_users(g, err));
cleanup:
  return status;
}

static void gate_clear(gate *g) {
  for (int w = 0; g->arenas != NULL && w < g->threads; w++) wn_arena_clear(&g->arenas[w]);
  wn_free(g->arenas);
  wn_free(g->errors);
  wn_pool_free(g->pool);
  wn_free(g->users);
  wn_vec_clear(&g->tail.pairs);
  wn_engine_close(g->engine);
}

static wn_status judge(gate *g, wn_gate_report *out, wn_error *err) {
  wn_status status = WN_OK;
  char path[4096];
  double *incumbent = NULL, *challenger = NULL;
  WN_TRY(prepare(g, err));
  out->k = g->ask.n;
  snprintf(out->surface, sizeof out->surface, "%s", g->ask.surface->name);
  incumbent = wn_calloc(g->users_len + 1, sizeof *incumbent);
  challenger = wn_calloc(g->users_len + 1, sizeof *challenger);
  if (incumbent == NULL || challenger == NULL) WN_TRY(wn_fail_memory(err));
  wn_snapshot *snapshot = NULL;
  WN_TRY(wn_snapshot_open(wn_snapshot_path(g->engine->dir, out->challenger, path, sizeof path),
                          &snapshot, err));
  g->ask.now_ms = wn_snapshot_about_of(snapshot)->data_ms; /* its last event's: the cut */
  wn_snapshot_unref(snapshot);
  WN_TRY(ask_snapshot(g, out->incumbent, incumbent, err));
  WN_TRY(ask_snapshot(g, out->challenger, challenger, err));
  out->users = keep_paired(incumbent, challenger, g->users_len);
  conclude(g, incumbent, challenger, out);
cleanup:
  wn_free(incumbent);
  wn_free(challenger);
  return status;
}

wn_status wn_gate_judge(const char *dir, wn_config *config, const wn_gate_plan *plan,
                        uint64_t challenger, wn_gate_report *out, wn_error *err) {
  gate g = {.plan = plan};
  *out = (wn_gate_report){.incumbent = plan->incumbent,
                          .challenger = challenger,
                          .events = plan->upto_seq > 0 ? plan->last_seq - plan->upto_seq : 0};
  if (plan->incumbent == 0 || plan->upto_seq == 0) {
    out->verdict = plan->incumbent == 0 ? WN_GATE_FIRST : WN_GATE_UNJUDGED;
    snprintf(out->reason, sizeof out->reason, "%s",
             plan->incumbent == 0 ? "there is no incumbent to compare with" : plan->reason);
    wn_config_clear(config);
    return WN_OK;
  }
  wn_status status = wn_engine_open(dir, WN_STORE_READ, config, NULL, &g.engine, err);
  if (status == WN_OK) status = judge(&g, out, err);
  if (g.engine != NULL) gate_clear(&g);
  return status;
}

/* --- the report --- */

void wn_gate_report_json(const wn_gate_report *report, wn_json *json) {
  bool judged = report->verdict >= WN_GATE_BETTER;
  wn_json_object(json);
  wn_json_key(json, "verdict");
  wn_json_cstring(json, wn_verdict_name(report->verdict));
  wn_json_key(json, "promoted");
  wn_json_bool(json, report->promoted);
  wn_json_key(json, "forced");
  wn_json_bool(json, report->forced);
  wn_json_key(json, "reason");
  wn_json_cstring(json, report->reason);
  wn_json_key(json, "challenger");
  wn_json_int(json, (int64_t)report->challenger);
  wn_json_key(json, "incumbent");
  if (report->incumbent > 0)
    wn_json_int(json, (int64_t)report->incumbent);
  else
    wn_json_null(json);
  if (judged) {
    const struct {
      const char *key;
      double value;
    } rows[] = {{"challenger_ndcg", report->challenger_ndcg},
                {"incumbent_ndcg", report->incumbent_ndcg},
                {"difference", report->difference.mean},
                {"difference_low", report->difference.low},
                {"difference_high", report->difference.high}};
    wn_json_key(json, "surface");
    wn_json_cstring(json, report->surface);
    wn_json_key(json, "k");
    wn_json_int(json, report->k);
    wn_json_key(json, "users");
    wn_json_int(json, (int64_t)report->users);
    wn_json_key(json, "events");
    wn_json_int(json, (int64_t)report->events);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
      wn_json_key(json, rows[i].key);
      wn_json_double(json, rows[i].value);
    }
  }
  wn_json_end_object(json);
}
