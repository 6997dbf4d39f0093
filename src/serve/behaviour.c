/* Behaviour tests on slates, asked of the serving path itself: the engine's state, the surface's
 * whole funnel. Shares have Wilson's interval, means Student's t over users. A test fails when its
 * interval lies on the wrong side of the limit, and is inconclusive when it holds it: a small
 * sample then never passes by luck. What may happen not once (a seen item, a hidden one, two
 * answers to one question) fails at the first case.
 *
 * Deterministic for a seed. One thread: six slates a sampled user. */
#include "serve/behaviour.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lab/stats.h"
#include "serve/engine_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REQUEST_BYTES_MAX ((size_t)512 << 20)
#define HISTORY_LEAST     5
#define OVERLAP_SYNONYM   0.5 /* of the slate, after one of the five newest items became its like */
#define OVERLAP_SHUFFLE   0.3 /* after the history's order was changed: order may mean something */
#define DIVERSITY_LEAST   0.25 /* of what random items have: well above near-duplicates */
#define TWIN_TOLERANCE    1e-4

typedef struct probe {
  wn_engine *engine;
  const wn_surface *surface;
  const wn_check_options *options;
  wn_check_report *report;
  wn_user_ix *users;
  size_t len;
  int64_t now_ms;
  uint64_t seen; /* event types that keep an item out of this surface */
  bool chance;   /* two requests alike may differ */
  wn_arena arena;
} probe;

/* --- reports --- */

wn_check *wn_check_add(wn_check_report *report, const char *name) {
  wn_check *check = &report->checks[report->len++];
  *check = (wn_check){
      .name = name, .state = WN_CHECK_INCONCLUSIVE, .value = NAN, .low = NAN, .high = NAN};
  return check;
}

void wn_check_judge(wn_check *c, double limit, bool above) {
  bool good = above ? c->low >= limit : c->high <= limit;
  bool bad = above ? c->high < limit : c->low > limit;
  c->state = good ? WN_CHECK_PASS : bad ? WN_CHECK_FAIL : WN_CHECK_INCONCLUSIVE;
}

void wn_check_worst(wn_check *c, const char *format, ...) {
  va_list args;
  if (c->worst_len == WN_CHECK_WORST) return;
  va_start(args, format);
  vsnprintf(c->worst[c->worst_len++], sizeof c->worst[0], format, args);
  va_end(args);
}

/* Of `n` tries `bad` went wrong, and none may. */
static void judge_never(wn_check *c, size_t bad, size_t n) {
  wn_estimate share = wn_wilson((double)bad, (double)n, 0.05);
  if (n == 0) return;
  c->value = (double)bad / (double)n;
  c->low = bad == 0 ? 0 : share.low;
  c->high = share.high;
  c->state = bad == 0 ? WN_CHECK_PASS : WN_CHECK_FAIL;
}

static void judge_mean(wn_check *c, const double *x, size_t n, double limit) {
  if (n < 2) return;
  wn_estimate mean = wn_t_interval(x, n, 0.05);
  c->value = mean.value;
  c->low = mean.low;
  c->high = mean.high;
  wn_check_judge(c, limit, true);
}

/* --- asking --- */

static wn_status ask_as(probe *p, wn_user_ix user, wn_request *request, wn_error *err) {
  wn_engine *engine = p->engine;
  wn_pair_list pairs;
  *request = (wn_request){.surface = p->surface,
                          .models = &engine->serving->models,
                          .catalog = engine->catalog,
                          .filters = engine->filters,
                          .signals = &engine->serving->signals,
                          .n = p->surface->n,
                          .query = {.user = user,
                                    .anchor = WN_NO_IX,
                                    .now_ms = p->now_ms,
                                    .seed = wn_mix64(p->options->seed),
                                    .arena = &p->arena}};
  if (user == WN_NO_IX) return WN_OK;
  wn_status status =
      wn_online_user(engine->serving->online, user, p->now_ms, &p->arena, &pairs, err);
  if (status != WN_OK) return status;
  wn_seen_entry *seen = wn_arena_alloc(&p->arena, (pairs.len + 1) * sizeof *seen);
  if (seen == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < pairs.len; i++)
    seen[i] = (wn_seen_entry){pairs.data[i].item, pairs.data[i].mask};
  request->seen = seen;
  request->seen_len = pairs.len;
  return wn_engine_history(engine, &request->query, pairs, &p->arena, err);
}

static wn_str user_id(const probe *p, wn_user_ix user) {
  return wn_dict_key(wn_store_users(p->engine->store), user);
}

static wn_str item_id(const probe *p, wn_item_ix item) {
  return wn_dict_key(wn_store_items(p->engine->store), item);
}

static bool holds(const wn_slate *slate, wn_item_ix item) {
  for (size_t i = 0; i < slate->len; i++)
    if (slate->items[i].item == item) return true;
  return false;
}

static double overlap(const wn_slate *a, const wn_slate *b) {
  size_t both = 0, most = a->len > b->len ? a->len : b->len;
  for (size_t i = 0; i < a->len; i++) both += holds(b, a->items[i].item);
  return most > 0 ? (double)both / (double)most : 1;
}

/* Users with a history, in an order of chance. */
static wn_status sample_users(probe *p, wn_error *err) {
  uint32_t users = wn_dict_count(wn_store_users(p->engine->store));
  wn_rng rng;
  p->users = wn_calloc(p->options->users, sizeof *p->users);
  if (p->users == NULL) return wn_fail_memory(err);
  wn_rng_seed(&rng, p->options->seed);
  for (uint64_t tries = 0; users > 0 && tries < 20ull * p->options->users; tries++) {
    wn_user_ix user = (wn_user_ix)wn_rng_below(&rng, users);
    wn_pair_list pairs;
    bool met = wn_engine_user_gone(p->engine, user);
    for (size_t i = 0; i < p->len && !met; i++) met = p->users[i] == user;
    if (met) continue;
    wn_arena_reset(&p->arena);
    wn_status status =
        wn_online_user(p->engine->serving->online, user, p->now_ms, &p->arena, &pairs, err);
    if (status != WN_OK) return status;
    if (pairs.len > 1) p->users[p->len++] = user;
    if (p->len == p->options->users) break;
  }
  p->report->users = p->len;
  return WN_OK;
}

static void look_at_surface(probe *p) {
  const wn_signals *signals = &p->engine->serving->signals;
  for (size_t i = 0; i < p->surface->generators_len; i++)
    p->chance = p->chance || strcmp(p->surface->generators[i].model, wn_model_random.name) == 0;
  for (size_t i = 0; i < p->surface->fallback_len; i++)
    p->chance = p->chance || strcmp(p->surface->fallback[i].model, wn_model_random.name) == 0;
  for (uint32_t t = 0; t < signals->len; t++) {
    bool out = p->surface->seen_all && signals->data[t].seen;
    for (size_t s = 0; s < p->surface->seen_len; s++)
      out = out || strcmp(p->surface->seen[s], signals->data[t].name) == 0;
    if (out) p->seen |= (uint64_t)1 << (t < 63 ? t : 63);
  }
}

/* --- what may never happen --- */

typedef struct never {
  wn_check *repeat, *own, *hidden;
  size_t asked, differing, owners, own_bad, shown, hidden_bad;
} never;

static wn_status try_user(probe *p, wn_user_ix user, never *n, wn_error *err) {
  wn_request request;
  wn_slate first, again;
  wn_status status;
  wn_arena_reset(&p->arena);
  WN_TRY(ask_as(p, user, &request, err));
  WN_TRY(wn_funnel_run(&request, &first, err));
  WN_TRY(wn_funnel_run(&request, &again, err));
  n->asked++;
  bool same = first.len == again.len;
  for (size_t i = 0; same && i < first.len; i++) same = first.items[i].item == again.items[i].item;
  n->differing += !same;
  if (!same) wn_check_worst(n->repeat, "user %.*s", WN_STR_ARG(user_id(p, user)));
  for (size_t i = 0; i < first.len; i++) {
    bool served = wn_bitset_test(wn_catalog_servable(p->engine->catalog), first.items[i].item);
    n->hidden_bad += !served;
    if (!served)
      wn_check_worst(n->hidden, "item %.*s", WN_STR_ARG(item_id(p, first.items[i].item)));
  }
  n->shown += first.len;
  for (size_t i = 0; i < request.seen_len; i++) { /* the newest that the filter speaks of */
    if ((request.seen[i].mask & p->seen) == 0) continue;
    bool back = holds(&first, request.seen[i].item);
    n->owners++;
    n->own_bad += back;
    if (back)
      wn_check_worst(n->own, "user %.*s: item %.*s", WN_STR_ARG(user_id(p, user)),
                     WN_STR_ARG(item_id(p, request.seen[i].item)));
    break;
  }
cleanup:
  return status;
}

static wn_status check_never(probe *p, wn_error *err) {
  never n = {.repeat = wn_check_add(p->report, "same question, same answer"),
             .own = wn_check_add(p->report, "what a user just saw stays away"),
             .hidden = wn_check_add(p->report, "what is hidden stays hidden")};
  for (size_t i = 0; i < p->len; i++) {
    wn_status status = try_user(p, p->users[i], &n, err);
    if (status != WN_OK) return status;
  }
  judge_never(n.repeat, n.differing, n.asked);
  judge_never(n.own, n.own_bad, n.owners);
  judge_never(n.hidden, n.hidden_bad, n.shown);
  snprintf(n.repeat->reason, sizeof n.repeat->reason,
           "%zu users asked twice with the same seed: share whose slates differ; none may",
           n.asked);
  snprintf(n.own->reason, sizeof n.own->reason,
           p->seen != 0 ? "%zu users: share whose newest seen item is in the slate; none may be"
                        : "the surface's filter lets what was seen come back (%zu users)",
           n.owners);
  snprintf(n.hidden->reason, sizeof n.hidden->reason,
           "%zu places: share with an item that is hidden or deleted; none may be", n.shown);
  return WN_OK;
}

/* --- small changes --- */

/* The item most like `item` that is not in the history; WN_NO_IX: no model knows one. */
static wn_status synonym_of(const probe *p, const wn_request *request, wn_item_ix item,
                            wn_item_ix *out, wn_error *err) {
  const char *const names[] = {"als", "covisit", "content"};
  wn_scored like[HISTORY_LEAST];
  *out = WN_NO_IX;
  for (size_t m = 0; m < 3 && *out == WN_NO_IX; m++) {
    const wn_model *model = wn_models_find(request->models, names[m]);
    size_t count = 0;
    wn_query query = {.user = WN_NO_IX,
                      .anchor = item,
                      .now_ms = p->now_ms,
                      .allowed = wn_catalog_servable(p->engine->catalog),
                      .arena = request->query.arena};
    if (model == NULL) continue;
    wn_status status = model->cls->candidates(model, &query, HISTORY_LEAST, like, &count, err);
    if (status != WN_OK) return status;
    for (size_t i = 0; i < count && *out == WN_NO_IX; i++) {
      size_t h = 0;
      while (h < request->query.history_len && request->query.history[h].item != like[i].ix) h++;
      if (h == request->query.history_len && like[i].ix != item) *out = like[i].ix;
    }
  }
  return WN_OK;
}

/* The history again, with item `at` replaced, or (WN_NO_IX) its times dealt out anew. */
static wn_status change(probe *p, wn_request *request, size_t at, wn_item_ix synonym,
                        wn_error *err) {
  size_t len = request->query.history_len;
  wn_history_entry *history = wn_arena_alloc(&p->arena, len * sizeof *history);
  wn_rng rng;
  if (history == NULL) return wn_fail_memory(err);
  memcpy(history, request->query.history, len * sizeof *history);
  wn_rng_seed(&rng, p->options->seed ^ request->query.user);
  if (synonym != WN_NO_IX) history[at].item = synonym;
  for (size_t i = len; synonym == WN_NO_IX && i > 1; i--) { /* items change places, times stay */
    size_t j = (size_t)wn_rng_below(&rng, i);
    wn_history_entry other = history[j];
    history[j].item = history[i - 1].item;
    history[j].weight = history[i - 1].weight;
    history[i - 1].item = other.item;
    history[i - 1].weight = other.weight;
  }
  request->query.history = history;
  return WN_OK;
}

/* Without the temperature: a draw and the next one differ by chance alone. */
static wn_status try_change(probe *p, wn_user_ix user, bool shuffle, double *out, wn_error *err) {
  wn_request request;
  wn_surface calm;
  wn_slate before, after;
  wn_item_ix synonym = WN_NO_IX;
  wn_status status;
  *out = NAN;
  wn_arena_reset(&p->arena);
  WN_TRY(ask_as(p, user, &request, err));
  if (request.query.history_len < HISTORY_LEAST) goto cleanup;
  calm = *request.surface;
  calm.temperature = 0;
  request.surface = &calm;
  WN_TRY(wn_funnel_run(&request, &before, err));
  if (!shuffle)
    WN_TRY(synonym_of(p, &request, request.query.history[HISTORY_LEAST - 1].item, &synonym, err));
  if (!shuffle && synonym == WN_NO_IX) goto cleanup;
  WN_TRY(change(p, &request, HISTORY_LEAST - 1, synonym, err));
  WN_TRY(wn_funnel_run(&request, &after, err));
  *out = overlap(&before, &after);
cleanup:
  return status;
}

static wn_status check_change(probe *p, bool shuffle, wn_error *err) {
  wn_check *c = wn_check_add(p->report, shuffle ? "a shuffled history changes little"
                                                : "a synonym changes little");
  double *x = wn_calloc(p->len + 1, sizeof *x), least[WN_CHECK_WORST] = {2, 2, 2};
  wn_user_ix who[WN_CHECK_WORST] = {0};
  size_t n = 0;
  wn_status status = WN_OK;
  if (x == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < p->len; i++) {
    WN_TRY(try_change(p, p->users[i], shuffle, &x[n], err));
    if (isnan(x[n])) continue;
    for (size_t w = 0; w < WN_CHECK_WORST; w++) {
      if (x[n] >= least[w]) continue;
      memmove(least + w + 1, least + w, (WN_CHECK_WORST - 1 - w) * sizeof *least);
      memmove(who + w + 1, who + w, (WN_CHECK_WORST - 1 - w) * sizeof *who);
      least[w] = x[n];
      who[w] = p->users[i];
      break;
    }
    n++;
  }
  judge_mean(c, x, n, shuffle ? OVERLAP_SHUFFLE : OVERLAP_SYNONYM);
  for (size_t w = 0; w < WN_CHECK_WORST && least[w] < 1; w++)
    wn_check_worst(c, "user %.*s keeps %.0f%%", WN_STR_ARG(user_id(p, who[w])), 100 * least[w]);
  snprintf(c->reason, sizeof c->reason,
           "%zu users with %d items or more: mean share of the slate that stays; asked: %.0f%%", n,
           HISTORY_LEAST, 100 * (shuffle ? OVERLAP_SHUFFLE : OVERLAP_SYNONYM));
cleanup:
  wn_free(x);
  return status;
}

/* --- newcomers --- */

static double distance(const wn_model *model, wn_item_ix a, wn_item_ix b) {
  uint32_t d = 0;
  const float *x = model->cls->item_vector(model, a, &d),
              *y = model->cls->item_vector(model, b, &d);
  double xy = 0, xx = 0, yy = 0;
  if (x == NULL || y == NULL) return NAN;
  for (uint32_t i = 0; i < d; i++) {
    xy += (double)x[i] * (double)y[i];
    xx += (double)x[i] * (double)x[i];
    yy += (double)y[i] * (double)y[i];
  }
  return xx > 0 && yy > 0 ? 1 - xy / sqrt(xx * yy) : NAN;
}

static const wn_model *with_vectors(const wn_models *models) {
  for (size_t i = 0; i < models->len; i++)
    if (models->data[i]->cls->item_vector != NULL) return models->data[i];
  return NULL;
}

/* Mean distance of random servable items: what diversity is measured in. */
static double random_distance(const probe *p, const wn_model *model) {
  const wn_bitset *servable = wn_catalog_servable(p->engine->catalog);
  uint32_t items = wn_catalog_count(p->engine->catalog);
  double sum = 0;
  size_t n = 0;
  wn_rng rng;
  wn_rng_seed(&rng, p->options->seed);
  for (int tries = 0; tries < 4000 && items > 1 && n < 500; tries++) {
    wn_item_ix a = (wn_item_ix)wn_rng_below(&rng, items), b = (wn_item_ix)wn_rng_below(&rng, items);
    if (a == b || !wn_bitset_test(servable, a) || !wn_bitset_test(servable, b)) continue;
    double d = distance(model, a, b);
    if (isnan(d)) continue;
    sum += d;
    n++;
  }
  return n > 0 ? sum / (double)n : NAN;
}

static wn_status check_cold(probe *p, wn_error *err) {
  wn_check *full = wn_check_add(p->report, "newcomers get a full slate");
  wn_check *diverse = wn_check_add(p->report, "newcomers get a diverse slate");
  wn_request request;
  wn_slate slate;
  wn_arena_reset(&p->arena);
  wn_status status = ask_as(p, WN_NO_IX, &request, err);
  if (status == WN_OK) status = wn_funnel_run(&request, &slate, err);
  if (status != WN_OK) return status;
  size_t servable = wn_bitset_count(wn_catalog_servable(p->engine->catalog));
  size_t want = request.n < servable ? request.n : servable;
  full->value = full->low = full->high = want > 0 ? (double)slate.len / (double)want : NAN;
  full->state = slate.len >= want && want > 0 ? WN_CHECK_PASS : WN_CHECK_FAIL;
  snprintf(full->reason, sizeof full->reason, "%zu of %zu places filled for a user without a past",
           slate.len, want);
  const wn_model *model = with_vectors(request.models);
  double x[WN_SLATE_MAX], unit = model != NULL ? random_distance(p, model) : NAN;
  size_t n = 0;
  for (size_t i = 0; i < slate.len && unit > 0; i++) { /* mean distance of each from the others */
    double sum = 0;
    size_t met = 0;
    for (size_t j = 0; j < slate.len; j++) {
      double d = i != j ? distance(model, slate.items[i].item, slate.items[j].item) : NAN;
      if (isnan(d)) continue;
      sum += d;
      met++;
    }
    if (met > 0) x[n++] = sum / (double)met / unit;
  }
  judge_mean(diverse, x, n, DIVERSITY_LEAST);
  snprintf(
      diverse->reason, sizeof diverse->reason,
      n > 1 ? "mean distance of %zu items from each other, in units of random items'; asked: %.2f"
            : "no model of the snapshot has vectors for these items (%zu of them; asked: %.2f)",
      n, DIVERSITY_LEAST);
  return WN_OK;
}

/* --- one version of everything --- */

/* What a model proposes by its serving path against the score of the same items by its plain one:
 * they differ when user and item vectors are not of one fit. */
static wn_status try_twin(probe *p, const wn_model *model, wn_user_ix user, double *worst,
                          wn_error *err) {
  wn_request request;
  wn_scored got[10];
  size_t count = 0;
  uint32_t items = wn_catalog_count(p->engine->catalog);
  wn_status status;
  wn_arena_reset(&p->arena);
  WN_TRY(ask_as(p, user, &request, err));
  request.query.allowed = wn_catalog_servable(p->engine->catalog);
  WN_TRY(model->cls->candidates(model, &request.query, 10, got, &count, err));
  float *scores = wn_arena_alloc(&p->arena, (items + (size_t)1) * sizeof *scores);
  if (scores == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(model->cls->score_all(model, &request.query, scores, items, err));
  *worst = 0;
  for (size_t i = 0; i < count; i++) {
    double a = (double)got[i].score, b = (double)scores[got[i].ix];
    *worst = fmax(*worst, fabs(a - b) / fmax(1e-6, fmax(fabs(a), fabs(b))));
  }
cleanup:
  return status;
}

static wn_status check_twins(probe *p, wn_error *err) {
  wn_check *c = wn_check_add(p->report, "user and item vectors are of one version");
  const wn_models *models = &p->engine->serving->models;
  size_t bad = 0, n = 0, users = p->len < 30 ? p->len : 30;
  for (size_t m = 0; m < models->len; m++) {
    const wn_model *model = models->data[m];
    if ((model->cls->flags & WN_MODEL_HISTORY) == 0 || model->cls == &wn_model_random) continue;
    size_t before = bad;
    for (size_t i = 0; i < users; i++, n++) {
      double worst;
      wn_status status = try_twin(p, model, p->users[i], &worst, err);
      if (status != WN_OK) return status;
      bad += worst > TWIN_TOLERANCE;
    }
    if (bad > before)
      wn_check_worst(c, "model %s: %zu of %zu users", model->cls->name, bad - before, users);
  }
  judge_never(c, bad, n);
  snprintf(c->reason, sizeof c->reason,
           "%zu lists: share whose scores differ by more than %g from the same items scored one by "
           "one",
           n, TWIN_TOLERANCE);
  return WN_OK;
}

/* --- all of it --- */

void wn_check_options_defaults(wn_check_options *options) {
  *options = (wn_check_options){.surface = "home", .users = 200, .seed = 1};
}

wn_status wn_check_model(wn_engine *engine, const wn_check_options *options, wn_check_report *out,
                         wn_error *err) {
  probe p = {.engine = engine, .options = options, .report = out, .now_ms = wn_now_ms()};
  wn_status status;
  *out = (wn_check_report){.surface = options->surface, .snapshot = engine->serving->about.number};
  wn_arena_init(&p.arena, REQUEST_BYTES_MAX);
  p.surface = wn_surfaces_find(&engine->policy->surfaces, wn_str_of(options->surface));
  if (p.surface == NULL)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "surface", "there is no surface `%s`", options->surface));
  if (p.surface->flavour == WN_FLAVOUR_FLAT)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "surface", "`%s` is flat: name one that knows its user",
                   options->surface));
  look_at_surface(&p);
  WN_TRY(sample_users(&p, err));
  WN_TRY(check_never(&p, err));
  WN_TRY(check_change(&p, false, err));
  WN_TRY(check_change(&p, true, err));
  WN_TRY(check_cold(&p, err));
  WN_TRY(check_twins(&p, err));
  WN_TRY(wn_check_data(engine, options, out, err));
  WN_TRY(wn_check_log_propensities(engine, options, out, err));
  for (size_t i = 0; i < out->len; i++) {
    out->failed += out->checks[i].state == WN_CHECK_FAIL;
    out->inconclusive += out->checks[i].state == WN_CHECK_INCONCLUSIVE;
  }
cleanup:
  wn_arena_clear(&p.arena);
  wn_free(p.users);
  return status;
}

const char *wn_check_state_name(wn_check_state state) {
  static const char *const names[] = {"pass", "fail", "inconclusive"};
  return names[state];
}

static void put_check(wn_json *j, const wn_check *c) {
  wn_json_object(j);
  wn_json_key(j, "name");
  wn_json_cstring(j, c->name);
  wn_json_key(j, "state");
  wn_json_cstring(j, wn_check_state_name(c->state));
  wn_json_key(j, "value");
  wn_json_double(j, c->value);
  wn_json_key(j, "low");
  wn_json_double(j, c->low);
  wn_json_key(j, "high");
  wn_json_double(j, c->high);
  wn_json_key(j, "reason");
  wn_json_cstring(j, c->reason);
  wn_json_key(j, "worst");
  wn_json_array(j);
  for (size_t i = 0; i < c->worst_len; i++) wn_json_cstring(j, c->worst[i]);
  wn_json_end_array(j);
  wn_json_end_object(j);
}

void wn_check_report_to_json(const wn_check_report *r, wn_buf *out) {
  wn_json json, *j = &json;
  const struct {
    const char *key;
    uint64_t value;
  } counts[] = {{"snapshot", r->snapshot},
                {"users", r->users},
                {"failed", r->failed},
                {"inconclusive", r->inconclusive}};
  wn_json_init(j, out);
  wn_json_object(j);
  wn_json_key(j, "surface");
  wn_json_cstring(j, r->surface);
  for (size_t i = 0; i < 4; i++) {
    wn_json_key(j, counts[i].key);
    wn_json_int(j, (int64_t)counts[i].value);
  }
  wn_json_key(j, "checks");
  wn_json_array(j);
  for (size_t i = 0; i < r->len; i++) put_check(j, &r->checks[i]);
  wn_json_end_array(j);
  wn_json_end_object(j);
}
