/* What is compared (see drift.h), and why so.
 *
 * **Items.** The last events that the snapshot was trained on are cut in two. By the older half
 * items fall into ten classes of equal mass by popularity, and one of items that it lacks. p is how
 * the newer half falls over these classes, q how the events since the snapshot do: so what is usual
 * from one half to the next, new items above all, is no drift yet.
 *
 * **Scores.** The first SCORES_MAX best scores after a swap are p, the newest SCORES_MAX are q.
 *
 * **Norms.** Lengths of the vectors of what the newer half's events name, as trained (p), and of
 * what the events since the snapshot name, as they are now (q): a sample of SAMPLE events each.
 * Vectors fitted by a training stay until the next one, so the same items would never tell; what
 * moves is which of them are taken, and new items, whose vectors are learned live (none: length 0).
 *
 * With n and m draws of the same distribution PSI has the expectation (cells − 1)(1/n + 1/m):
 * EVENTS_MIN keeps that below 0.05. */
#include "serve/drift.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "lab/stats.h"
#include "serve/engine_internal.h"
#include "serve/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW       100000 /* events a half, at most */
#define EVENTS_MIN   500
#define CLASSES      10
#define UNMET        CLASSES
#define TYPES_MAX    256
#define SCORES_MAX   1000
#define SURFACES_MAX 16
#define SAMPLE       2000

static const char *const names[] = {
#define X(name, meaning) #name,
    WN_DRIFTS(X)
#undef X
};

const char *wn_drift_name(wn_drift_kind kind) {
  return names[kind];
}

typedef struct counts {
  double items[CLASSES + 1], types[TYPES_MAX];
  uint64_t events;
  wn_item_ix sample[SAMPLE]; /* of the events' items, each as likely */
  wn_rng rng;
} counts;

typedef struct surface_scores {
  char name[WN_NAME_MAX + 1];
  float base[SCORES_MAX], recent[SCORES_MAX];
  size_t base_len, recent_len; /* recent: of all so far, a ring */
} surface_scores;

struct wn_drift {
  /* of the looking thread */
  uint64_t snapshot, seen_seq;
  uint8_t *class_of; /* [items_len] */
  uint32_t items_len;
  counts before, since;
  float norms[SAMPLE]; /* of before.sample, as trained */
  size_t norms_len;

  pthread_mutex_t lock; /* of what follows */
  uint64_t scores_snapshot;
  surface_scores *surfaces[SURFACES_MAX];
  wn_drift_report report;
};

wn_drift *wn_drift_create(void) {
  wn_drift *d = wn_calloc(1, sizeof *d);
  if (d == NULL) return NULL;
  pthread_mutex_init(&d->lock, NULL);
  for (int k = 0; k < WN_DRIFT_COUNT; k++) d->report.psi[k] = NAN;
  d->report.worst = NAN;
  return d;
}

void wn_drift_free(wn_drift *d) {
  if (d == NULL) return;
  for (size_t i = 0; i < SURFACES_MAX; i++) wn_free(d->surfaces[i]);
  pthread_mutex_destroy(&d->lock);
  wn_free(d->class_of);
  wn_free(d);
}

/* --- distributions --- */

static double psi_of_counts(const double *p, const double *q, size_t n) {
  double ps[TYPES_MAX], qs[TYPES_MAX], p_sum = 0, q_sum = 0;
  for (size_t i = 0; i < n; i++) p_sum += p[i], q_sum += q[i];
  if (p_sum < EVENTS_MIN || q_sum < EVENTS_MIN) return NAN;
  for (size_t i = 0; i < n; i++) ps[i] = p[i] / p_sum, qs[i] = q[i] / q_sum;
  return wn_psi(ps, qs, n);
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

double wn_drift_of_samples(float *base, size_t base_len, const float *now, size_t now_len) {
  double p[CLASSES] = {0}, q[CLASSES] = {0};
  float upto[CLASSES];
  if (base_len < EVENTS_MIN || now_len < EVENTS_MIN) return NAN;
  qsort(base, base_len, sizeof *base, ascending);
  for (size_t c = 0; c + 1 < CLASSES; c++) upto[c] = base[(c + 1) * base_len / CLASSES - 1];
  upto[CLASSES - 1] = INFINITY;
  for (size_t i = 0; i < base_len + now_len; i++) {
    float x = i < base_len ? base[i] : now[i - base_len];
    size_t c = 0;
    while (c + 1 < CLASSES && x > upto[c]) c++;
    *(i < base_len ? &p[c] : &q[c]) += 1;
  }
  return psi_of_counts(p, q, CLASSES);
}

/* --- the log --- */

typedef struct tally {
  uint32_t *count; /* [items_len] */
  uint32_t items_len;
} tally;

static wn_status tally_one(void *ctx, const wn_stored_event *event, wn_error *err WN_UNUSED) {
  tally *t = ctx;
  if (event->item < t->items_len) t->count[event->item]++;
  return WN_OK;
}

typedef struct counting {
  const wn_drift *drift;
  counts *to;
} counting;

static wn_status count_one(void *ctx, const wn_stored_event *event, wn_error *err WN_UNUSED) {
  counting *c = ctx;
  const wn_drift *d = c->drift;
  uint64_t n = c->to->events++, place = n < SAMPLE ? n : wn_rng_below(&c->to->rng, n + 1);
  if (place < SAMPLE) c->to->sample[place] = event->item; /* Vitter's algorithm R */
  c->to->items[event->item < d->items_len ? d->class_of[event->item] : UNMET]++;
  c->to->types[event->type < TYPES_MAX ? event->type : TYPES_MAX - 1]++;
  return WN_OK;
}

typedef struct ranked_item {
  uint32_t count;
  wn_item_ix item;
} ranked_item;

static int by_count(const void *a, const void *b) {
  const ranked_item *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return (x->item > y->item) - (x->item < y->item);
}

/* Classes of equal mass, the most popular items first. */
static wn_status classify(wn_drift *d, const tally *t, wn_error *err) {
  uint64_t total = 0, below = 0;
  size_t len = 0;
  ranked_item *ranked = wn_malloc(((size_t)t->items_len + 1) * sizeof *ranked);
  if (ranked == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < t->items_len; i++) {
    total += t->count[i];
    d->class_of[i] = UNMET;
    if (t->count[i] > 0) ranked[len++] = (ranked_item){t->count[i], i};
  }
  qsort(ranked, len, sizeof *ranked, by_count);
  for (size_t r = 0; r < len; r++) {
    d->class_of[ranked[r].item] = (uint8_t)(below * CLASSES / total);
    below += ranked[r].count;
  }
  wn_free(ranked);
  return WN_OK;
}

static void reset(counts *c, uint64_t seed) {
  *c = (counts){0};
  wn_rng_seed(&c->rng, seed);
}

/* What the snapshot was trained on last. */
static wn_status learn_before(wn_drift *d, wn_engine *engine, uint64_t last_seq, wn_error *err) {
  wn_store *store = wn_engine_store(engine);
  uint64_t half = last_seq / 2 < WINDOW ? last_seq / 2 : WINDOW;
  tally t = {.items_len = wn_dict_count(wn_store_items(store))};
  wn_status status;
  wn_free(d->class_of);
  d->items_len = t.items_len;
  reset(&d->before, last_seq);
  reset(&d->since, last_seq);
  d->class_of = wn_malloc((size_t)t.items_len + 1);
  t.count = wn_calloc((size_t)t.items_len + 1, sizeof *t.count);
  if (d->class_of == NULL || t.count == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_store_scan_events(store, last_seq - 2 * half, last_seq - half, tally_one, &t, err));
  WN_TRY(classify(d, &t, err));
  counting before = {d, &d->before};
  WN_TRY(wn_store_scan_events(store, last_seq - half, last_seq, count_one, &before, err));
  d->seen_seq = last_seq;
cleanup:
  wn_free(t.count);
  return status;
}

/* --- vectors --- */

static const wn_model *with_vectors(const wn_models *models) {
  for (size_t i = 0; i < models->len; i++)
    if (models->data[i]->cls->item_vector != NULL) return models->data[i];
  return NULL;
}

static size_t norms_now(const wn_drift *d, wn_engine *engine, const counts *c, float *out) {
  uint64_t known = c->events < SAMPLE ? c->events : SAMPLE;
  pthread_rwlock_rdlock(&engine->lock);
  const wn_model *model = with_vectors(&engine->serving->models);
  size_t len = engine->serving->about.number == d->snapshot && model != NULL ? known : 0;
  for (size_t i = 0; i < len; i++) {
    uint32_t dims = 0;
    double sum = 0;
    const float *x = model->cls->item_vector(model, c->sample[i], &dims);
    for (uint32_t k = 0; x != NULL && k < dims; k++) sum += (double)x[k] * (double)x[k];
    out[i] = (float)sqrt(sum);
  }
  pthread_rwlock_unlock(&engine->lock);
  return len;
}

static double psi_of_norms(const wn_drift *d, wn_engine *engine) {
  float base[SAMPLE], now[SAMPLE];
  size_t len = norms_now(d, engine, &d->since, now);
  memcpy(base, d->norms, sizeof base);
  return wn_drift_of_samples(base, d->norms_len, now, len);
}

/* --- scores --- */

static surface_scores *scores_of(wn_drift *d, wn_str surface) {
  for (size_t i = 0; i < SURFACES_MAX; i++) {
    surface_scores *s = d->surfaces[i];
    if (s != NULL && wn_str_is(surface, s->name)) return s;
    if (s != NULL) continue;
    s = d->surfaces[i] = wn_calloc(1, sizeof *s);
    if (s != NULL)
      memcpy(s->name, surface.ptr, surface.len < WN_NAME_MAX ? surface.len : WN_NAME_MAX);
    return s;
  }
  return NULL;
}

void wn_drift_slate(wn_drift *d, const wn_slate_answer *answer) {
  if (!answer->personal || answer->len == 0) return;
  pthread_mutex_lock(&d->lock);
  if (d->scores_snapshot != answer->snapshot) {
    for (size_t i = 0; i < SURFACES_MAX; i++)
      if (d->surfaces[i] != NULL) d->surfaces[i]->base_len = d->surfaces[i]->recent_len = 0;
    d->scores_snapshot = answer->snapshot;
  }
  surface_scores *s = scores_of(d, answer->surface);
  if (s != NULL && s->base_len < SCORES_MAX)
    s->base[s->base_len++] = answer->items[0].score;
  else if (s != NULL)
    s->recent[s->recent_len++ % SCORES_MAX] = answer->items[0].score;
  pthread_mutex_unlock(&d->lock);
}

/* Under the lock. */
static double psi_of_scores(wn_drift *d) {
  double worst = NAN;
  for (size_t i = 0; i < SURFACES_MAX && d->surfaces[i] != NULL; i++) {
    surface_scores *s = d->surfaces[i];
    if (s->base_len == SCORES_MAX && s->recent_len >= SCORES_MAX)
      worst = fmax(worst, wn_drift_of_samples(s->base, SCORES_MAX, s->recent, SCORES_MAX));
  }
  return worst;
}

/* --- a look --- */

static void tell(wn_drift *d, wn_engine *engine) {
  wn_drift_report r = {.snapshot = d->snapshot, .events = d->since.events, .worst = NAN};
  r.psi[WN_DRIFT_events] = psi_of_counts(d->before.types, d->since.types, TYPES_MAX);
  r.psi[WN_DRIFT_items] = psi_of_counts(d->before.items, d->since.items, CLASSES + 1);
  r.psi[WN_DRIFT_norms] = psi_of_norms(d, engine);
  pthread_mutex_lock(&d->lock);
  r.psi[WN_DRIFT_scores] = d->scores_snapshot == d->snapshot ? psi_of_scores(d) : NAN;
  for (int k = 0; k < WN_DRIFT_COUNT; k++) r.worst = fmax(r.worst, r.psi[k]);
  d->report = r;
  pthread_mutex_unlock(&d->lock);
}

wn_status wn_drift_look(wn_drift *d, wn_engine *engine, wn_error *err) {
  wn_engine_stats stats;
  wn_status status = WN_OK;
  wn_engine_stats_get(engine, &stats);
  if (stats.snapshot == 0) return WN_OK;
  if (stats.snapshot != d->snapshot) {
    d->snapshot = 0; /* until all of it is known */
    WN_TRY(learn_before(d, engine, stats.snapshot_last_seq, err));
    d->snapshot = stats.snapshot;
    d->norms_len = norms_now(d, engine, &d->before, d->norms);
  }
  if (stats.last_seq > d->seen_seq) {
    counting since = {d, &d->since};
    WN_TRY(wn_store_scan_events(wn_engine_store(engine), d->seen_seq, stats.last_seq, count_one,
                                &since, err));
    d->seen_seq = stats.last_seq;
  }
  tell(d, engine);
cleanup:
  return status;
}

void wn_drift_report_get(wn_drift *d, wn_drift_report *out) {
  pthread_mutex_lock(&d->lock);
  *out = d->report;
  pthread_mutex_unlock(&d->lock);
}

void wn_drift_render(wn_drift *d, wn_buf *out) {
  wn_drift_report r;
  wn_drift_report_get(d, &r);
  wn_metrics_head(out, "winnow_drift_psi", "gauge",
                  "Population stability index of what came since the snapshot; NaN: unknown.");
  for (int k = 0; k < WN_DRIFT_COUNT; k++)
    if (isnan(r.psi[k]))
      wn_buf_printf(out, "winnow_drift_psi{of=\"%s\"} NaN\n", names[k]);
    else
      wn_buf_printf(out, "winnow_drift_psi{of=\"%s\"} %.6g\n", names[k], r.psi[k]);
}
