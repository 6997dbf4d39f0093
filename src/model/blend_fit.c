/* Fitting the blend: hold items out (data/holdout.c), fit each member on the rest, take its lists
 * for the users drawn, then choose weights that lift NDCG@k on what was held out.
 *
 * The weights come from coordinate ascent on NDCG itself (Metzler and Croft, Information Retrieval
 * 2007), started where each member weighs by how good it is alone. Departures: multiplicative steps
 * that shrink, and at the end members that nobody misses are dropped, because each one asked costs
 * a query time. A convex start (softmax over the lists) was tried and gave no more (README.md).
 *
 * Cost: a second fit of each member, users · members lists, then about 20 trials a weight of a
 * microsecond a user. Memory: 12 bytes a user, member and place. Deterministic for any number of
 * threads: a user's gain does not depend on the others', and gains are summed in order of users. */

#include "model/blend.h"

#include "base/log.h"
#include "base/mem.h"
#include "data/holdout.h"
#include "model/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS_MAX 10
#define USERS_MIN   30    /* fewer say nothing: equal ranks */
#define LEAST_GAIN  2e-4  /* relative, for a step to be taken */
#define NOT_MISSED  1e-3  /* relative, for a member to be dropped */
#define TINY        1e-4f /* weight of a rank that is only to order what else is equal */
#define ARENA_MAX   ((size_t)512 << 20)

/* A place of a list: the item, later its slot among the user's candidates. */
typedef struct entry {
  uint32_t at;
  float standard; /* score */
} entry;

typedef struct scratch {
  wn_arena arena;
  wn_bitset allowed;
  wn_scored *list; /* [depth] */
  uint32_t *items; /* [members × depth] */
  float *sum;      /* [members × depth] */
  wn_error err;
} scratch;

typedef struct fit {
  const wn_dataset *data;
  wn_pool *pool;
  wn_blend_head *head;
  wn_blend_member *members;
  wn_holdout held;
  entry *entries;                  /* [members × users × depth] */
  uint16_t *len;                   /* [members × users] of each list */
  uint32_t *slots;                 /* [users] distinct candidates; 0: no target among them */
  uint32_t (*target)[TARGETS_MAX]; /* [users] slots of the targets found; WN_NO_IX after the last */
  float *sum;                      /* [users × members × depth] under the present weights */
  double *gain;                    /* [users] */
  scratch *scratch;                /* one a worker */
  const wn_model *model;           /* being asked */
  uint32_t member;
  /* the trial: one weight changes by `change` */
  float change;
  bool of_rank;
} fit;

static entry *list_of(const fit *f, uint32_t member, size_t user) {
  return f->entries + (member * f->held.len + user) * f->head->depth;
}

static uint16_t *len_of(const fit *f, uint32_t member, size_t user) {
  return f->len + member * f->held.len + user;
}

static size_t width(const fit *f) {
  return (size_t)f->head->members * f->head->depth;
}

/* ---- the members' lists ---- */

static wn_status history_of(const fit *f, uint32_t user, scratch *s, wn_query *query) {
  const wn_csr *m = &f->held.rest.by_user;
  uint64_t begin = m->row_ptr[user], end = m->row_ptr[user + 1];
  wn_history_entry *h = wn_arena_alloc(&s->arena, (end - begin + 1) * sizeof *h);
  if (h == NULL) return wn_fail_memory(&s->err);
  for (uint64_t p = end; p-- > begin;) {
    h[query->history_len++] = (wn_history_entry){m->col[p], m->weight[p], m->time_ms[p]};
    wn_bitset_unset(&s->allowed, m->col[p]);
  }
  query->history = h;
  return WN_OK;
}

static void ask_user(fit *f, size_t at, scratch *s) {
  const wn_csr *m = &f->held.rest.by_user;
  uint32_t user = f->held.user[at];
  size_t len = 0;
  wn_arena_reset(&s->arena);
  wn_query query = {.user = user,
                    .anchor = WN_NO_IX,
                    .allowed = &s->allowed,
                    .now_ms = f->data->now_ms,
                    .arena = &s->arena};
  if (history_of(f, user, s, &query) == WN_OK)
    s->err.status =
        f->model->cls->candidates(f->model, &query, f->head->depth, s->list, &len, &s->err);
  for (uint64_t p = m->row_ptr[user]; p < m->row_ptr[user + 1]; p++)
    wn_bitset_set(&s->allowed, m->col[p]);
  entry *list = list_of(f, f->member, at);
  wn_blend_list of = wn_blend_list_of(s->list, len);
  for (size_t p = 0; p < len; p++)
    list[p] = (entry){s->list[p].ix, wn_blend_standard(&of, s->list[p].score)};
  *len_of(f, f->member, at) = (uint16_t)len;
}

static void ask_users(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  scratch *s = &f->scratch[worker];
  for (size_t at = begin; at < end && s->err.status == WN_OK; at++) ask_user(f, at, s);
}

static wn_status run(fit *f, wn_pool_fn *fn, wn_error *err) {
  wn_pool_run(f->pool, f->held.len, 16, fn, f);
  for (int t = 0; t < wn_pool_threads(f->pool); t++) {
    if (f->scratch[t].err.status == WN_OK) continue;
    *err = f->scratch[t].err;
    return err->status;
  }
  return WN_OK;
}

static wn_status fit_and_ask(fit *f, const wn_train_spec *spec, const wn_fit_env *env,
                             wn_error *err) {
  wn_model *model = NULL;
  wn_fit_env own = *env;
  own.warm = NULL; /* it has seen what is held out */
  own.fitted = NULL;
  wn_status status = wn_fit_one(&f->held.rest, spec, &own, &model, err);
  if (status != WN_OK) return status;
  f->model = model;
  status = run(f, ask_users, err);
  model->cls->free(model);
  return status;
}

/* ---- candidates of a user ---- */

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static uint32_t slot_of(const uint32_t *items, uint32_t len, uint32_t item) {
  uint32_t low = 0;
  while (low < len) {
    uint32_t mid = low + (len - low) / 2;
    if (items[mid] < item)
      low = mid + 1;
    else
      len = mid;
  }
  return low;
}

/* The distinct items of all lists, ascending. */
static uint32_t gather(const fit *f, size_t at, uint32_t *items) {
  size_t n = 0;
  for (uint32_t m = 0; m < f->head->members; m++) {
    const entry *list = list_of(f, m, at);
    for (size_t p = 0; p < *len_of(f, m, at); p++) items[n++] = list[p].at;
  }
  qsort(items, n, sizeof *items, ascending);
  uint32_t distinct = 0;
  for (size_t i = 0; i < n; i++)
    if (i == 0 || items[i] != items[i - 1]) items[distinct++] = items[i];
  return distinct;
}

static void number_user(fit *f, size_t at, scratch *s) {
  const wn_holdout *h = &f->held;
  uint32_t *items = s->items, n = gather(f, at, items), found = 0;
  for (uint64_t i = h->ptr[at]; i < h->ptr[at + 1]; i++) {
    uint32_t slot = slot_of(items, n, h->target[i]);
    if (slot < n && items[slot] == h->target[i]) f->target[at][found++] = slot;
  }
  if (found < TARGETS_MAX) f->target[at][found] = WN_NO_IX;
  f->slots[at] = found > 0 ? n : 0;
  for (uint32_t m = 0; m < f->head->members; m++) {
    entry *list = list_of(f, m, at);
    for (size_t p = 0; p < *len_of(f, m, at); p++) list[p].at = slot_of(items, n, list[p].at);
  }
}

static void number_users(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  for (size_t at = begin; at < end; at++) number_user(f, at, &f->scratch[worker]);
}

/* ---- NDCG of weights ---- */

static void add_list(const fit *f, uint32_t member, size_t at, wn_blend_weight w, float *sum) {
  const entry *list = list_of(f, member, at);
  for (size_t p = 0; p < *len_of(f, member, at); p++)
    sum[list[p].at] += w.score * list[p].standard + w.rank * wn_blend_place(p);
}

static double gain_of(const fit *f, size_t at, const float *sum) {
  const wn_holdout *h = &f->held;
  uint64_t relevant = h->ptr[at + 1] - h->ptr[at];
  double gain = 0, ideal = 0;
  for (uint64_t i = 0; i < relevant && i < f->head->k; i++) ideal += 1 / log2((double)i + 2);
  for (size_t i = 0; i < TARGETS_MAX && f->target[at][i] != WN_NO_IX; i++) {
    uint32_t t = f->target[at][i], place = 0;
    for (uint32_t s = 0; s < t; s++) place += sum[s] >= sum[t];
    for (uint32_t s = t + 1; s < f->slots[at]; s++) place += sum[s] > sum[t];
    if (place < f->head->k) gain += 1 / log2((double)place + 2);
  }
  return gain / ideal;
}

static void sum_users(void *ctx, size_t begin, size_t end, int worker WN_UNUSED) {
  fit *f = ctx;
  for (size_t at = begin; at < end; at++) {
    float *sum = f->sum + at * width(f);
    memset(sum, 0, f->slots[at] * sizeof *sum);
    if (f->slots[at] == 0) continue;
    for (uint32_t m = 0; m < f->head->members; m++) add_list(f, m, at, f->members[m].weight, sum);
    f->gain[at] = gain_of(f, at, sum);
  }
}

static void try_users(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  float *sum = f->scratch[worker].sum;
  wn_blend_weight w = {f->of_rank ? 0 : f->change, f->of_rank ? f->change : 0};
  for (size_t at = begin; at < end; at++) {
    if (f->slots[at] == 0) continue;
    memcpy(sum, f->sum + at * width(f), f->slots[at] * sizeof *sum);
    add_list(f, f->member, at, w, sum);
    f->gain[at] = gain_of(f, at, sum);
  }
}

static double mean_gain(const fit *f) {
  double total = 0;
  for (size_t at = 0; at < f->held.len; at++) total += f->gain[at];
  return total / (double)f->held.len;
}

/* Of the members' present weights; their sums are what trials start from. */
static double measure(fit *f) {
  wn_pool_run(f->pool, f->held.len, 16, sum_users, f);
  return mean_gain(f);
}

/* ---- ascent ---- */

static float *weight_at(fit *f, uint32_t member, bool of_rank) {
  wn_blend_weight *w = &f->members[member].weight;
  return of_rank ? &w->rank : &w->score;
}

/* One weight: larger, smaller or none; from none a little or some. True when it changed. */
static bool ascend_one(fit *f, uint32_t member, bool of_rank, float step, double *best) {
  float *weight = weight_at(f, member, of_rank), chosen = *weight;
  const float trial[] = {*weight > 0 ? *weight * step : 0.05f, *weight > 0 ? *weight / step : 0.2f,
                         0};
  double bar = *best * (1 + LEAST_GAIN);
  for (size_t i = 0; i < 3; i++) {
    f->member = member;
    f->of_rank = of_rank;
    f->change = trial[i] - *weight;
    if (trial[i] == *weight) continue;
    wn_pool_run(f->pool, f->held.len, 16, try_users, f);
    double now = mean_gain(f);
    if (now <= bar) continue;
    bar = now;
    chosen = trial[i];
  }
  if (chosen == *weight) return false;
  *weight = chosen;
  *best = measure(f);
  return true;
}

static void scale_largest_to_1(fit *f) {
  float most = 0;
  for (uint32_t m = 0; m < f->head->members; m++)
    most = fmaxf(most, fmaxf(f->members[m].weight.score, f->members[m].weight.rank));
  for (uint32_t m = 0; m < f->head->members && most > 0; m++) {
    f->members[m].weight.score /= most;
    f->members[m].weight.rank /= most;
  }
}

static void ascend(fit *f, double *best) {
  static const float steps[] = {2, 2, 1.4f, 1.4f, 1.15f};
  for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
    bool moved = false;
    for (uint32_t m = 0; m < f->head->members; m++) {
      moved |= ascend_one(f, m, false, steps[s], best);
      moved |= ascend_one(f, m, true, steps[s], best);
    }
    scale_largest_to_1(f);
    *best = measure(f);
    if (!moved && s + 1 < sizeof steps / sizeof *steps && steps[s + 1] == steps[s]) s++;
  }
}

/* Asking costs time: who changes next to nothing is dropped. */
static void drop_the_needless(fit *f, double *best) {
  for (uint32_t m = f->head->members; m-- > 0;) {
    wn_blend_weight kept = f->members[m].weight;
    if (kept.score == 0 && kept.rank == 0) continue;
    f->members[m].weight = (wn_blend_weight){0, 0};
    double without = measure(f);
    if (without >= *best * (1 - NOT_MISSED))
      *best = without;
    else
      f->members[m].weight = kept;
  }
  *best = measure(f);
}

/* Alone each, then together by how good they are. */
static void start(fit *f) {
  uint32_t members = f->head->members;
  float best = 0;
  for (uint32_t m = 0; m < members; m++) f->members[m].weight = (wn_blend_weight){0, 0};
  for (uint32_t m = 0; m < members; m++) {
    f->members[m].weight.rank = 1;
    f->members[m].alone = (float)measure(f);
    f->members[m].weight.rank = 0;
    best = fmaxf(best, f->members[m].alone);
  }
  for (uint32_t m = 0; m < members && best > 0; m++) {
    float share = f->members[m].alone / best;
    f->members[m].weight = (wn_blend_weight){0.25f * share * share, share * share};
  }
}

static void report(const fit *f) {
  char text[768];
  size_t n = 0;
  for (uint32_t m = 0; m < f->head->members && n < sizeof text; m++) {
    const wn_blend_member *of = &f->members[m];
    n += (size_t)snprintf(text + n, sizeof text - n, " %s=%.4f(%.3g,%.3g)", of->name,
                          (double)of->alone, (double)of->weight.score, (double)of->weight.rank);
  }
  wn_log(WN_LOG_INFO, "blend of %u users: ndcg@%u=%.4f; alone (score weight, rank weight):%s",
         f->head->users, f->head->k, f->head->ndcg, text);
}

static void finish(fit *f) {
  for (uint32_t m = 0; m < f->head->members; m++) {
    wn_blend_weight *w = &f->members[m].weight;
    bool backbone = strcmp(f->members[m].name, wn_model_popular.name) == 0;
    if ((backbone || w->score > 0) && w->rank < TINY) w->rank = TINY;
  }
}

static void fit_weights(fit *f) {
  wn_pool_run(f->pool, f->held.len, 16, number_users, f);
  start(f);
  f->head->ndcg = measure(f);
  bool known = f->head->ndcg > 0 && f->held.len >= USERS_MIN;
  if (known) {
    ascend(f, &f->head->ndcg);
    drop_the_needless(f, &f->head->ndcg);
  } else {
    for (uint32_t m = 0; m < f->head->members; m++) f->members[m].weight = (wn_blend_weight){0, 1};
  }
  finish(f);
  report(f);
}

/* ---- the whole ---- */

static wn_status allocate(fit *f, wn_error *err) {
  size_t users = f->held.len, threads = (size_t)wn_pool_threads(f->pool), places = width(f);
  f->entries = wn_reallocarray(NULL, users * places + 1, sizeof *f->entries);
  f->len = wn_calloc(users * f->head->members + 1, sizeof *f->len);
  f->slots = wn_calloc(users + 1, sizeof *f->slots);
  f->target = wn_calloc(users + 1, sizeof *f->target);
  f->sum = wn_reallocarray(NULL, users * places + 1, sizeof *f->sum);
  f->gain = wn_calloc(users + 1, sizeof *f->gain);
  f->scratch = wn_calloc(threads, sizeof *f->scratch);
  if (f->entries == NULL || f->len == NULL || f->slots == NULL || f->target == NULL ||
      f->sum == NULL || f->gain == NULL || f->scratch == NULL)
    return wn_fail_memory(err);
  for (size_t t = 0; t < threads; t++) {
    scratch *s = &f->scratch[t];
    wn_arena_init(&s->arena, ARENA_MAX);
    s->list = wn_reallocarray(NULL, f->head->depth, sizeof *s->list);
    s->items = wn_reallocarray(NULL, places + 1, sizeof *s->items);
    s->sum = wn_reallocarray(NULL, places + 1, sizeof *s->sum);
    if (s->list == NULL || s->items == NULL || s->sum == NULL ||
        !wn_bitset_init(&s->allowed, f->data->items))
      return wn_fail_memory(err);
    wn_bitset_fill(&s->allowed, true);
  }
  return WN_OK;
}

static void clear(fit *f) {
  for (int t = 0; f->scratch != NULL && t < wn_pool_threads(f->pool); t++) {
    wn_arena_clear(&f->scratch[t].arena);
    wn_bitset_clear(&f->scratch[t].allowed);
    wn_free(f->scratch[t].list);
    wn_free(f->scratch[t].items);
    wn_free(f->scratch[t].sum);
  }
  wn_free(f->scratch);
  wn_free(f->entries);
  wn_free(f->len);
  wn_free(f->slots);
  wn_free(f->target);
  wn_free(f->sum);
  wn_free(f->gain);
  wn_holdout_clear(&f->held);
}

/* The members in class order whatever the order of the options: sums of floats depend on it. */
static uint32_t choose_members(const wn_train_options *run, const wn_train_spec **specs) {
  uint32_t n = 0;
  for (size_t c = 0; c < wn_model_class_count(); c++) {
    const wn_model_class *cls = wn_model_class_at(c);
    for (size_t i = 0; i < run->models_len && wn_blend_takes(cls); i++)
      if (run->models[i].cls == cls && !run->models[i].left_out) specs[n++] = &run->models[i];
  }
  return n;
}

wn_status wn_blend_fit(const wn_dataset *data, uint32_t users_max, const wn_fit_env *env,
                       wn_blend_head *head, wn_blend_member *members, wn_error *err) {
  wn_train_options defaults;
  const wn_train_spec *specs[WN_MODELS_MAX];
  fit f = {.data = data, .pool = env->pool, .head = head, .members = members};
  wn_holdout_options how = {.users_max = users_max, .targets_max = TARGETS_MAX, .seed = env->seed};
  wn_status status;
  wn_train_options_defaults(&defaults);
  head->members = choose_members(env->run != NULL ? env->run : &defaults, specs);
  WN_TRY(wn_holdout_make(data, &how, &f.held, err));
  head->users = (uint32_t)f.held.len;
  WN_TRY(allocate(&f, err));
  for (uint32_t m = 0; m < head->members; m++) {
    snprintf(members[m].name, sizeof members[m].name, "%s", specs[m]->cls->name);
    f.member = m;
    if (!wn_progress_at(env->progress, "blend: on a part", m, head->members, "models"))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    if (f.held.len > 0) WN_TRY(fit_and_ask(&f, specs[m], env, err));
  }
  fit_weights(&f);
cleanup:
  clear(&f);
  return status;
}
