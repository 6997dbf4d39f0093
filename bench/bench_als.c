/* ALS beyond its training: items without events, events since the fit.
 *
 *   bench_als cold DIR [SEED] [MODEL.KEY=VALUE …]
 *   bench_als stream DIR [MODEL.KEY=VALUE …]
 *   bench_als fold
 *
 * cold: a tenth of the items lose all their events; als and content then know them by text and
 * attributes alone. The question is which of them a user has, asked with the user's other items:
 * ranked among the held-out items, and among all. Means over users with 95% intervals.
 *
 * stream: fitted on the first 70% of the events, asked before each later one (of a user who has a
 * past and lacks the item) for the item, which it then learns from, or not (the second row). Hits
 * among the first 20, of all events and of those whose item the fit did not know; CPU time of an
 * update. Intervals are over events.
 *
 * fold: folding a user in anew, against a cached inverse of her system that Sherman and Morrison's
 * formula brings up to date at each event (ridge fixed): CPU time, and how far the latter has
 * drifted. */
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "base/simd/simd.h"
#include "lab/metrics.h"
#include "model/als.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIST 10

typedef struct bench {
  wn_store *store;
  wn_signals signals;
  wn_dataset_builder *log;
  wn_dataset train;
  wn_bitset cold; /* items held out */
  wn_csr held;    /* by user: held-out items liked */
  uint64_t seed;
  wn_train_options options;
} bench;

static void check(wn_status status, const wn_error *err) {
  char text[768];
  if (status == WN_OK) return;
  fprintf(stderr, "bench_als: %s\n", wn_error_format(err, text, sizeof text));
  exit(1);
}

static void need(bool there) {
  if (there) return;
  fprintf(stderr, "bench_als: out of memory\n");
  exit(1);
}

static void load(bench *b, const char *dir) {
  wn_error err = {0};
  check(wn_store_open(dir, WN_STORE_READ, &b->store, &err), &err);
  wn_signals_defaults(&b->signals);
  check(wn_signals_bind(&b->signals, b->store, &err), &err);
  need((b->log = wn_dataset_builder_create(&b->signals)) != NULL);
  check(wn_load_events(b->store, 0, b->log, NULL, &err), &err);
}

static bool is_cold(const bench *b, wn_item_ix item) {
  return wn_mix64(b->seed ^ wn_mix64(item + 1)) % 10 == 0;
}

/* Events of held-out items go to `held`, the others to `train`. */
static void split(bench *b) {
  wn_error err = {0};
  const wn_event *all = wn_dataset_builder_events(b->log);
  size_t len = wn_dataset_builder_count(b->log), n = 0, m = 0;
  uint32_t users = wn_dict_count(wn_store_users(b->store));
  uint32_t items = wn_dict_count(wn_store_items(b->store));
  wn_event *train = wn_calloc(len + 1, sizeof *train), *held = wn_calloc(len + 1, sizeof *held);
  need(train != NULL && held != NULL && wn_bitset_init(&b->cold, items));
  for (size_t i = 0; i < len; i++) *(is_cold(b, all[i].item) ? &held[m++] : &train[n++]) = all[i];
  wn_dataset data;
  check(wn_dataset_build_events((wn_event_list){train, n}, &b->signals, users, items, &b->train,
                                &err),
        &err);
  check(wn_dataset_build_events((wn_event_list){held, m}, &b->signals, users, items, &data, &err),
        &err);
  b->train.items_source = wn_store_item_source(b->store);
  b->held = data.by_user;
  for (uint32_t i = 0; i < items; i++) {
    if (is_cold(b, i)) wn_bitset_set(&b->cold, i);
  }
  wn_free(train);
  wn_free(held);
}

typedef struct scores {
  double *ndcg, *recall; /* [users] */
  size_t users, empty;
} scores;

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static void ask(const bench *b, const wn_model *model, uint32_t user, wn_bitset *allowed,
                wn_arena *arena, scores *out) {
  wn_error err = {0};
  const wn_csr *rows = &b->train.by_user;
  uint64_t begin = rows->row_ptr[user], end = rows->row_ptr[user + 1];
  wn_history_entry *history = wn_arena_alloc(arena, (end - begin + 1) * sizeof *history);
  wn_scored list[LIST];
  uint32_t ids[LIST], liked[4096];
  size_t len = 0, n = 0, likes = 0;
  for (uint64_t i = end; i-- > begin;) {
    history[n++] = (wn_history_entry){rows->col[i], rows->weight[i], rows->time_ms[i]};
    wn_bitset_unset(allowed, rows->col[i]);
  }
  for (uint64_t i = b->held.row_ptr[user]; i < b->held.row_ptr[user + 1] && likes < 4096; i++) {
    if (b->held.weight[i] > 0) liked[likes++] = b->held.col[i];
  }
  if (n == 0 || likes == 0) return;
  qsort(liked, likes, sizeof *liked, ascending);
  wn_query query = {.history = history,
                    .history_len = n,
                    .user = user,
                    .anchor = WN_NO_IX,
                    .allowed = allowed,
                    .now_ms = b->train.now_ms,
                    .seed = wn_mix64(user),
                    .arena = arena};
  check(model->cls->candidates(model, &query, LIST, list, &len, &err), &err);
  for (size_t i = 0; i < len; i++) ids[i] = list[i].ix;
  wn_relevant relevant = {liked, NULL, likes};
  wn_ranking_metrics m;
  wn_ranking_metrics_of(ids, len, &relevant, LIST, &m);
  out->empty += len == 0;
  out->ndcg[out->users] = m.ndcg;
  out->recall[out->users++] = m.recall;
}

static void measure(const bench *b, const wn_model *model, bool among_cold) {
  wn_arena arena;
  wn_bitset allowed;
  scores s = {wn_calloc(b->train.users + 1, sizeof(double)),
              wn_calloc(b->train.users + 1, sizeof(double)), 0, 0};
  need(wn_bitset_init(&allowed, b->train.items) && s.ndcg != NULL && s.recall != NULL);
  wn_arena_init(&arena, (size_t)256 << 20);
  for (uint32_t u = 0; u < b->train.users; u++) {
    wn_arena_reset(&arena);
    if (among_cold) {
      wn_bitset_copy(&allowed, &b->cold);
    } else {
      wn_bitset_fill(&allowed, true);
    }
    ask(b, model, u, &allowed, &arena, &s);
  }
  wn_interval n = wn_bootstrap_mean(s.ndcg, s.users, 1000, 1);
  wn_interval r = wn_bootstrap_mean(s.recall, s.users, 1000, 1);
  printf("%-8s among %-8s ndcg@10 %.4f (%.4f-%.4f)  recall@10 %.4f (%.4f-%.4f)  %zu users, %zu "
         "empty\n",
         model->cls->name, among_cold ? "held-out" : "all", n.mean, n.low, n.high, r.mean, r.low,
         r.high, s.users, s.empty);
  wn_arena_clear(&arena);
  wn_bitset_clear(&allowed);
  wn_free(s.ndcg);
  wn_free(s.recall);
}

static void cold(bench *b) {
  static const char *const names[] = {"random", "content", "als"};
  wn_error err = {0};
  wn_pool *pool = wn_pool_create(1);
  wn_models models = {0};
  need(pool != NULL);
  split(b);
  printf("%u users, %u items, %zu held out\n", b->train.users, b->train.items,
         wn_bitset_count(&b->cold));
  for (size_t i = 0; i < 3; i++) {
    wn_train_spec *spec = wn_train_options_want(&b->options, names[i]);
    wn_fit_env env = {.pool = pool, .seed = 1, .fitted = &models, .run = &b->options};
    check(wn_fit_one(&b->train, spec, &env, &models.data[models.len], &err), &err);
    const wn_model *model = models.data[models.len++];
    measure(b, model, true);
    measure(b, model, false);
  }
  wn_models_clear(&models);
  wn_pool_free(pool);
}

/* ---- stream ---- */

typedef struct past {
  WN_VEC(wn_history_entry) items; /* oldest first */
} past;

typedef struct stream {
  const bench *b;
  wn_model *model;
  bool learns;
  past *users;
  wn_bitset allowed;
  double *all, *new_items; /* hits, by question */
  size_t all_len, new_len;
  double update_seconds;
  size_t updates;
} stream;

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool has(const past *p, wn_item_ix item) {
  for (size_t i = 0; i < p->items.len; i++)
    if (p->items.data[i].item == item) return true;
  return false;
}

static void append(past *p, const wn_event *e, float weight) {
  size_t at = 0;
  while (at < p->items.len && p->items.data[at].item != e->item) at++;
  if (at == p->items.len) {
    need(wn_vec_push(&p->items, ((wn_history_entry){e->item, weight, e->time_ms})));
    return;
  }
  wn_history_entry moved = {e->item, p->items.data[at].weight + weight, e->time_ms};
  memmove(p->items.data + at, p->items.data + at + 1,
          (p->items.len - 1 - at) * sizeof *p->items.data);
  p->items.data[p->items.len - 1] = moved;
}

static void question(stream *s, const wn_event *e, wn_arena *arena) {
  const past *p = &s->users[e->user];
  wn_history_entry *history = wn_arena_alloc(arena, (p->items.len + 1) * sizeof *history);
  wn_scored list[2 * LIST];
  wn_error err = {0};
  size_t n = 0, hit = 0;
  for (size_t i = p->items.len; i-- > 0;) {
    history[n++] = p->items.data[i];
    wn_bitset_unset(&s->allowed, p->items.data[i].item);
  }
  wn_query query = {.history = history,
                    .history_len = n,
                    .user = e->user,
                    .anchor = WN_NO_IX,
                    .allowed = &s->allowed,
                    .now_ms = e->time_ms,
                    .arena = arena};
  check(s->model->cls->candidates(s->model, &query, 2 * LIST, list, &n, &err), &err);
  for (size_t i = 0; i < n; i++) hit += list[i].ix == e->item;
  for (size_t i = 0; i < p->items.len; i++) wn_bitset_set(&s->allowed, p->items.data[i].item);
  s->all[s->all_len++] = (double)hit;
  const wn_csr *by_item = &s->b->train.by_item;
  if (by_item->row_ptr[e->item] == by_item->row_ptr[e->item + 1]) {
    s->new_items[s->new_len++] = (double)hit;
  }
}

static void run_stream(stream *s, const wn_event *events, size_t from, size_t to) {
  wn_arena arena;
  wn_arena_init(&arena, (size_t)256 << 20);
  for (size_t i = 0; i < to; i++) {
    const wn_event *e = &events[i];
    past *p = &s->users[e->user];
    float w = wn_signal_weight(&s->b->signals, e->type, (double)e->value, e->time_ms, e->time_ms);
    wn_arena_reset(&arena);
    if (i >= from && w > 0 && p->items.len > 0 && !has(p, e->item)) question(s, e, &arena);
    append(p, e, w);
    if (i < from || !s->learns) continue;
    double begin = cpu_seconds();
    s->model->cls->update(s->model, e, w);
    s->update_seconds += cpu_seconds() - begin;
    s->updates++;
  }
  wn_arena_clear(&arena);
}

static void stream_once(const bench *b, wn_model *model, bool learns, size_t from, size_t len) {
  stream s = {.b = b, .model = model, .learns = learns};
  s.users = wn_calloc((size_t)b->train.users + 1, sizeof *s.users);
  s.all = wn_calloc(len + 1, sizeof *s.all);
  s.new_items = wn_calloc(len + 1, sizeof *s.new_items);
  need(s.users != NULL && s.all != NULL && s.new_items != NULL &&
       wn_bitset_init(&s.allowed, b->train.items));
  wn_bitset_fill(&s.allowed, true);
  run_stream(&s, wn_dataset_builder_events(b->log), from, len);
  wn_interval all = wn_bootstrap_mean(s.all, s.all_len, 1000, 1);
  wn_interval fresh = wn_bootstrap_mean(s.new_items, s.new_len, 1000, 1);
  printf("%s hit@20 %.4f (%.4f-%.4f) of %zu  new items %.4f (%.4f-%.4f) of %zu  update %.2f us\n",
         learns ? "learns" : "fitted", all.mean, all.low, all.high, s.all_len, fresh.mean,
         fresh.low, fresh.high, s.new_len,
         s.updates > 0 ? s.update_seconds * 1e6 / (double)s.updates : 0);
  for (uint32_t u = 0; u < b->train.users; u++) wn_vec_clear(&s.users[u].items);
  wn_free(s.users);
  wn_free(s.all);
  wn_free(s.new_items);
  wn_bitset_clear(&s.allowed);
}

/* Through a snapshot: live users start from its histories. */
static void stream_all(bench *b) {
  wn_error err = {0};
  size_t len = wn_dataset_builder_count(b->log), from = len * 7 / 10;
  wn_event_list past_events = {wn_dataset_builder_events(b->log), from};
  uint32_t users = wn_dict_count(wn_store_users(b->store));
  uint32_t items = wn_dict_count(wn_store_items(b->store));
  char path[] = "/tmp/bench-als-XXXXXX";
  wn_pool *pool = wn_pool_create(1);
  wn_snapshot_writer *writer = NULL;
  wn_model *fitted = NULL;
  wn_snapshot *snapshot = NULL;
  int file = mkstemp(path);
  need(pool != NULL && file >= 0);
  close(file);
  check(wn_dataset_build_events(past_events, &b->signals, users, items, &b->train, &err), &err);
  wn_fit_env env = {.pool = pool, .seed = 1, .run = &b->options};
  check(wn_fit_one(&b->train, wn_train_options_want(&b->options, "als"), &env, &fitted, &err),
        &err);
  check(wn_snapshot_writer_create(path, &writer, &err), &err);
  check(fitted->cls->save(fitted, writer, &err), &err);
  check(wn_history_write(past_events, &b->signals, users, b->train.now_ms, writer, &err), &err);
  wn_snapshot_about about = {.number = 1, .users = users, .items = items};
  check(wn_snapshot_writer_finish(writer, &about, &err), &err);
  fitted->cls->free(fitted);
  check(wn_snapshot_open(path, &snapshot, &err), &err);
  unlink(path);
  for (int learns = 1; learns >= 0; learns--) {
    wn_model *model = NULL;
    check(wn_model_als.map(snapshot, &model, &err), &err);
    stream_once(b, model, learns == 1, from, len);
    model->cls->free(model);
  }
  wn_snapshot_unref(snapshot);
  wn_pool_free(pool);
}

/* ---- fold ---- */

#define ROWS   20000
#define FOLDED 200
#define AFTER  50 /* events on the cached inverse */

typedef struct fold {
  wn_als_system system;
  float *factors; /* [ROWS × d] */
  double *eigen;
  float *inverse; /* [d × d] */
  float *sum;     /* [d] Σ c·h */
  float *work;    /* [2·d] */
  uint32_t col[FOLDED + AFTER];
  float c[FOLDED + AFTER];
} fold;

/* inverse ← (A + h·hᵀ)⁻¹, and the answer from it. */
static void rank_one(fold *f, const float *h, float *x) {
  const wn_simd_table *simd = wn_simd();
  size_t d = f->system.d;
  float *u = f->work;
  simd->gemv(f->inverse, d, d, h, d, u);
  float scale = -1 / (1 + simd->dot(h, u, d));
  for (size_t k = 0; k < d; k++) simd->axpy(scale * u[k], u, f->inverse + k * d, d);
  simd->axpy(1, h, f->sum, d);
  simd->gemv(f->inverse, d, d, f->sum, d, x);
}

static double drift(const float *x, const float *y, size_t d) {
  double off = 0, norm = 0;
  for (size_t k = 0; k < d; k++) {
    off += (double)(x[k] - y[k]) * (double)(x[k] - y[k]);
    norm += (double)y[k] * (double)y[k];
  }
  return sqrt(off / norm);
}

static void fold_init(fold *f, size_t d) {
  wn_rng rng;
  wn_rng_seed(&rng, d);
  f->factors = wn_calloc(ROWS * d, sizeof *f->factors);
  f->eigen = wn_calloc(d, sizeof *f->eigen);
  f->inverse = wn_calloc(d * d, sizeof *f->inverse);
  f->sum = wn_calloc(d, sizeof *f->sum);
  f->work = wn_calloc(d, sizeof *f->work);
  need(f->factors && f->eigen && f->inverse && f->sum && f->work);
  for (size_t k = 0; k < d; k++) f->eigen[k] = ROWS * pow((double)k + 1, -.7) / (double)d;
  for (size_t i = 0; i < ROWS * d; i++) {
    f->factors[i] = (float)(sqrt(f->eigen[i % d] / ROWS) * wn_rng_normal(&rng));
  }
  for (size_t i = 0; i < FOLDED + AFTER; i++) {
    f->col[i] = (uint32_t)wn_rng_below(&rng, ROWS);
    f->c[i] = 1;
  }
  f->system = (wn_als_system){f->factors, f->eigen, d, ROWS, .02, .005, 1};
  double ridge = .005 * (FOLDED + .02 * ROWS);
  for (size_t k = 0; k < d; k++) f->inverse[k * d + k] = (float)(1 / (.02 * f->eigen[k] + ridge));
}

static void fold_once(size_t d) {
  fold f = {0};
  fold_init(&f, d);
  float *memory = wn_calloc(wn_als_scratch_floats(d, FOLDED + AFTER) + 2 * d, sizeof *memory);
  need(memory != NULL);
  float *x = memory, *y = x + d;
  wn_als_scratch scratch;
  wn_als_scratch_init(&scratch, d, FOLDED + AFTER, y + d);
  printf("d %3zu  exact:", d);
  for (size_t n = 25; n <= FOLDED; n *= 2) {
    double begin = cpu_seconds();
    for (int r = 0; r < 200; r++) (void)wn_als_solve(&f.system, f.col, f.c, n, &scratch, y);
    printf(" %zu items %.1f us ", n, (cpu_seconds() - begin) * 5e3);
  }
  for (size_t i = 0; i < FOLDED; i++) rank_one(&f, f.factors + f.col[i] * d, x);
  (void)wn_als_solve(&f.system, f.col, f.c, FOLDED, &scratch, y);
  double start = drift(x, y, d), begin = cpu_seconds();
  for (size_t i = 0; i < AFTER; i++) rank_one(&f, f.factors + f.col[FOLDED + i] * d, x);
  double us = (cpu_seconds() - begin) * 1e6 / AFTER;
  (void)wn_als_solve(&f.system, f.col, f.c, FOLDED + AFTER, &scratch, y);
  printf(" cached: %.1f us an event, %zu KiB a user, off by %.1e, %d events later %.1e\n", us,
         d * d * sizeof(float) / 1024, start, AFTER, drift(x, y, d));
  void *all[] = {f.factors, f.eigen, f.inverse, f.sum, f.work, memory};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
}

int main(int argc, char **argv) {
  bench b = {.seed = 1};
  wn_error err = {0};
  wn_train_options_defaults(&b.options);
  if (argc == 2 && strcmp(argv[1], "fold") == 0) {
    for (size_t d = 64; d <= 256; d *= 2) fold_once(d);
    return 0;
  }
  bool streams = argc > 2 && strcmp(argv[1], "stream") == 0;
  if (argc < 3 || (!streams && strcmp(argv[1], "cold") != 0)) {
    fprintf(stderr, "usage: bench_als fold, or cold|stream DIR [SEED] [MODEL.KEY=VALUE …]\n");
    return 2;
  }
  for (int i = 3; i < argc; i++) {
    if (strchr(argv[i], '=') == NULL) {
      b.seed = strtoull(argv[i], NULL, 10);
    } else {
      check(wn_train_options_set(&b.options, argv[i], &err), &err);
    }
  }
  load(&b, argv[2]);
  if (streams) {
    stream_all(&b);
  } else {
    cold(&b);
  }
  return 0;
}
