/* Filling the rows: one function a family, each writing its columns for all candidates of a query.
 *
 * Cost: the opinions' lists, one short list an echo and newest item, and about 10 ns a list entry;
 * cosines cost items · 10 · d multiply-adds. */
#include "base/simd/simd.h"
#include "model/blend.h"
#include "model/covisit.h"
#include "model/feature_internal.h"
#include "model/query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_MS 1800000 /* a longer pause begins another session */
#define PRICES_MAX 64
#define TASTE_MS   (7 * 24 * WN_HOUR_MS) /* half-life of the fading share of the history */
#define AHEAD      8 /* rows whose values are asked for before they are needed */

/* --- finding rows --- */

static bool finder_init(wn_row_finder *f, size_t most, wn_arena *arena) {
  size_t slots = 64;
  while (slots < 2 * most) slots *= 2;
  f->row = wn_arena_calloc(arena, slots, sizeof *f->row);
  f->mask = slots - 1;
  return f->row != NULL;
}

static void add_row(wn_filling *f, uint32_t item) {
  uint32_t *slot = wn_row_slot(&f->finder, f->rows, item);
  if (*slot != 0) return;
  f->rows->item[f->rows->len++] = item;
  *slot = (uint32_t)f->rows->len;
}

/* The columns of the family in the row of an opinion's entry; NULL: not a candidate. */
static float *cell_in(const wn_filling *f, uint32_t opinion, size_t place) {
  uint32_t row = f->row_of[opinion][place];
  return row != 0 ? f->column + (row - 1) * f->rows->features : NULL;
}

/* --- families --- */

static void fill_place(wn_filling *f, wn_error *err WN_UNUSED) {
  for (uint32_t o = 0; o < f->world->set->opinions; o++)
    for (size_t p = 0; p < f->lists[o].len; p++) {
      float *cell = cell_in(f, o, p);
      if (cell != NULL) cell[o] = (float)p;
    }
}

static void fill_score(wn_filling *f, wn_error *err WN_UNUSED) {
  for (uint32_t o = 0; o < f->world->set->opinions; o++) {
    wn_blend_list of = wn_blend_list_of(f->lists[o].data, f->lists[o].len);
    for (size_t p = 0; p < f->lists[o].len; p++) {
      float *cell = cell_in(f, o, p);
      if (cell != NULL) cell[o] = wn_blend_standard(&of, f->lists[o].data[p].score);
    }
  }
}

static void fill_joint(wn_filling *f, wn_error *err WN_UNUSED) {
  for (uint32_t o = 0; o < f->world->set->opinions; o++)
    for (size_t p = 0; p < f->lists[o].len; p++) {
      float *cell = cell_in(f, o, p);
      if (cell == NULL) continue;
      cell[0] = wn_plus(cell[0], 1);
      cell[1] = fminf(cell[1], (float)p); /* of NaN and p: p */
      cell[2] = wn_plus(cell[2], 1.0f / (1.0f + (float)p));
    }
}

/* What one opinion says of each of the newest items alone. */
static void echo_of(wn_filling *f, const wn_model *model, wn_scored *list, float *first,
                    wn_error *err) {
  size_t skipped = 0, depth = f->world->set->depth;
  bool covisit = model->cls == &wn_model_covisit;
  if (covisit) wn_covisit_expect((const wn_covisit *)model, f->newest, f->newest_len);
  for (size_t h = 0; h < f->newest_len && err->status == WN_OK; h++) {
    while (f->query->history[skipped].item != f->newest[h].item) skipped++;
    wn_query own = *f->query;
    size_t len = 0;
    own.anchor = WN_NO_IX;
    own.history += skipped;
    own.history_len = 1;
    if (own.history_type != NULL) own.history_type += skipped;
    if (own.history_standing != NULL) own.history_standing += skipped;
    if (!covisit || !wn_covisit_alone((const wn_covisit *)model, &own, depth, list, &len))
      err->status = model->cls->candidates(model, &own, depth, list, &len, err);
    f->column = first;
    float fading = expf(-(float)h / 3);
    for (size_t p = 0; p < len && err->status == WN_OK; p++) {
      float *cell = wn_cell_of(f, list[p].ix), score = list[p].score;
      if (cell == NULL) continue;
      cell[0] = wn_plus(cell[0], score);
      cell[1] = fmaxf(cell[1], score);
      cell[2] = wn_plus(cell[2], score * fading);
      cell[3] = wn_plus(cell[3], 1);
      cell[4] = fminf(cell[4], (float)h);
    }
  }
}

static void fill_echo(wn_filling *f, wn_error *err) {
  const wn_feature_set *set = f->world->set;
  float *first = f->column;
  wn_scored *list = wn_arena_alloc(f->query->arena, set->depth * sizeof *list);
  if (list == NULL) err->status = wn_fail_memory(err);
  for (uint32_t o = 0; o < set->opinions && err->status == WN_OK; o++) {
    if ((set->opinion[o].flags & WN_OPINION_ECHO) == 0) continue;
    if (f->world->model[o] != NULL) echo_of(f, f->world->model[o], list, first, err);
    first += 5;
  }
}

/* One memory access for each line of them, before the first is waited for. */
static void expect_vector(const float *v, uint32_t d) {
  for (uint32_t k = 0; k < d; k += 16) __builtin_prefetch(v + k);
}

/* 0: it has no direction. */
static float length_of(const float *v, uint32_t d) {
  float norm = v != NULL ? sqrtf(wn_simd()->dot(v, v, d)) : 0;
  return norm > 0 && isfinite(norm) ? norm : 0;
}

/* The newest items' vectors, and their lengths. */
typedef struct near_newest {
  const float *vector[WN_ECHO_ITEMS];
  float norm[WN_ECHO_ITEMS]; /* 0: none */
  size_t len;
  uint32_t width;
} near_newest;

/* Cosines of one vector to those of the newest items. */
static void near_cells(const near_newest *to, const float *v, float *cell) {
  const wn_simd_table *simd = wn_simd();
  float own = length_of(v, to->width), sum = 0, most = NAN;
  size_t n = 0;
  for (size_t h = 0; own > 0 && h < to->len; h++) {
    if (!(to->norm[h] > 0)) continue;
    float cosine = simd->dot(v, to->vector[h], to->width) / (own * to->norm[h]);
    if (h == 0) cell[0] = cosine;
    if (isnan(most) || cosine > most) most = cosine;
    sum += cosine;
    n++;
  }
  if (n == 0) return;
  cell[1] = most;
  cell[2] = sum / (float)n;
}

static void near_of(wn_filling *f, const wn_model *model, float *first, wn_error *err) {
  near_newest to = {.len = f->newest_len};
  size_t len = f->rows->len;
  uint32_t d = 0;
  const float **of = wn_arena_alloc(f->query->arena, (len + 1) * sizeof *of);
  if (of == NULL) {
    err->status = wn_fail_memory(err);
    return;
  }
  for (size_t h = 0; h < to.len; h++) {
    to.vector[h] = model->cls->item_vector(model, f->newest[h].item, &d);
    to.norm[h] = length_of(to.vector[h], d);
    if (to.norm[h] > 0) to.width = d;
  }
  for (size_t r = 0; r < len && to.width > 0; r++) {
    of[r] = model->cls->item_vector(model, f->rows->item[r], &d);
    if (of[r] != NULL && d != to.width) of[r] = NULL;
    if (of[r] != NULL) expect_vector(of[r], d);
  }
  for (size_t r = 0; r < len && to.width > 0; r++)
    if (of[r] != NULL) near_cells(&to, of[r], first + r * f->rows->features);
}

static void fill_near(wn_filling *f, wn_error *err) {
  const wn_feature_set *set = f->world->set;
  float *first = f->column;
  for (uint32_t o = 0; o < set->opinions && err->status == WN_OK; o++) {
    if ((set->opinion[o].flags & WN_OPINION_NEAR) == 0) continue;
    const wn_model *model = f->world->model[o];
    if (model != NULL && model->cls->item_vector != NULL) near_of(f, model, first, err);
    first += 3;
  }
}

static const wn_pulse *pulse_of(const wn_filling *f, uint32_t item) {
  const wn_item_facts *facts = f->world->facts;
  return item < facts->pulses ? &facts->pulse[item] : NULL;
}

static void fill_crowd(wn_filling *f, wn_error *err WN_UNUSED) {
  float usual = 0, stage = wn_crowd_stage(f->query->history_len);
  size_t n = 0;
  for (size_t h = 0; h < f->newest_len; h++) {
    const wn_pulse *p = pulse_of(f, f->newest[h].item);
    if (p == NULL) continue;
    usual += log1pf((float)p->count);
    n++;
  }
  for (size_t r = 0; r < f->rows->len; r++) {
    const wn_pulse *p = pulse_of(f, f->rows->item[r]);
    float *cell = wn_cell_at(f, r);
    if (p == NULL) continue;
    wn_pulse_crowd(p, stage, cell);
    if (n > 0) cell[WN_CROWD_AGAINST] = cell[WN_CROWD_COUNT] - usual / (float)n;
  }
}

static void fill_pulse(wn_filling *f, wn_error *err WN_UNUSED) {
  for (size_t r = 0; f->world->facts->head.timed && r < f->rows->len; r++) {
    const wn_pulse *p = pulse_of(f, f->rows->item[r]);
    float *cell = wn_cell_at(f, r);
    if (p == NULL) continue;
    for (unsigned w = 0; w < WN_PULSE_WINDOWS; w++) cell[w] = wn_pulse_at(p, w, f->query->now_ms);
    for (unsigned w = 0; w + 1 < WN_PULSE_WINDOWS; w++)
      cell[4 + w] = (cell[w] + 0.1f) / (cell[w + 1] + 1);
  }
}

static void fill_age(wn_filling *f, wn_error *err WN_UNUSED) {
  const wn_item_facts *facts = f->world->facts;
  for (size_t r = 0; r < f->rows->len; r++) {
    uint32_t item = f->rows->item[r];
    if (item >= facts->head.items || facts->created_ms[item] == 0) continue;
    double hours = (double)(f->query->now_ms - facts->created_ms[item]) / WN_HOUR_MS;
    *wn_cell_at(f, r) = hours > 0 ? log1pf((float)(hours / 24)) : 0;
  }
}

/* --- attributes --- */

/* How much of a history has a value, and whether its newest item does. */
typedef struct tasted {
  uint32_t key; /* 0: free */
  float all, newest, last, fading;
} tasted;

typedef struct profile {
  tasted *slot;
  size_t mask;
  float total, newest_total, fading_total;
  float last_len; /* values of the newest item; NaN: none is known */
} profile;

static tasted *tasted_of(const profile *p, uint32_t value) {
  uint32_t key = value | 1; /* two values in 2^32 are one anyway */
  size_t at = (key * (size_t)2654435761u) & p->mask;
  while (p->slot[at].key != 0 && p->slot[at].key != key) at = (at + 1) & p->mask;
  return &p->slot[at];
}

static size_t history_used(const wn_query *query) {
  return query->history_len < WN_HISTORY_MAX ? query->history_len : WN_HISTORY_MAX;
}

/* The values of an item of the history weigh something. */
static void taste_item(profile *p, const wn_filling *f, uint32_t a, uint32_t item, tasted weigh) {
  const wn_item_facts *facts = f->world->facts;
  for (uint64_t v = facts->value_ptr[a][item]; v < facts->value_ptr[a][item + 1]; v++) {
    tasted *t = tasted_of(p, facts->value[a][v]);
    *t = (tasted){facts->value[a][v] | 1, t->all + weigh.all, t->newest + weigh.newest,
                  t->last + weigh.last, t->fading + weigh.fading};
  }
}

/* 0 where times are no times. */
static float faded_of(const wn_filling *f, int64_t time_ms) {
  double age = fmax((double)(f->query->now_ms - time_ms), 0);
  return f->world->facts->head.timed ? (float)exp2(-age / TASTE_MS) : 0;
}

static bool profile_init(profile *p, const wn_filling *f, uint32_t a) {
  const wn_item_facts *facts = f->world->facts;
  const uint64_t *ptr = facts->value_ptr[a];
  size_t values = 0, slots = 64, positives = 0, len = history_used(f->query);
  uint32_t last = f->newest_len > 0 ? f->newest[0].item : WN_NO_IX;
  *p = (profile){.last_len = last < facts->head.items ? (float)(ptr[last + 1] - ptr[last]) : NAN};
  if (last < facts->head.items) values += (size_t)(ptr[last + 1] - ptr[last]);
  for (size_t h = 0; h < len; h++) {
    uint32_t item = f->query->history[h].item;
    if (item < facts->head.items) values += (size_t)(ptr[item + 1] - ptr[item]);
  }
  while (slots < 2 * values) slots *= 2;
  p->slot = wn_arena_calloc(f->query->arena, slots, sizeof *p->slot);
  p->mask = slots - 1;
  if (p->slot == NULL) return false;
  for (size_t h = 0; h < len; h++) {
    const wn_history_entry *e = &f->query->history[h];
    if (e->item >= facts->head.items || !(e->weight > 0)) continue;
    bool new = positives++ < WN_ECHO_ITEMS;
    p->total += 1;
    p->newest_total += new;
    float fading = faded_of(f, e->time_ms);
    p->fading_total += fading;
    taste_item(p, f, a, e->item, (tasted){.all = 1, .newest = new, .fading = fading});
  }
  if (last < facts->head.items) taste_item(p, f, a, last, (tasted){.last = 1});
  return true;
}

static void taste_of(wn_filling *f, const profile *p, uint32_t a) {
  const wn_item_facts *facts = f->world->facts;
  const uint64_t *ptr = facts->value_ptr[a];
  for (size_t r = 0; r < f->rows->len; r++) {
    uint32_t item = f->rows->item[r];
    float all = 0, newest = 0, shared = 0, fading = 0, *cell = wn_cell_at(f, r) + 4 * a;
    uint32_t ahead = f->rows->item[r + AHEAD < f->rows->len ? r + AHEAD : r];
    if (ahead < facts->head.items) __builtin_prefetch(&facts->value[a][ptr[ahead]]);
    if (item >= facts->head.items || ptr[item + 1] == ptr[item]) continue;
    float len = (float)(ptr[item + 1] - ptr[item]);
    for (uint64_t v = ptr[item]; v < ptr[item + 1]; v++) {
      const tasted *t = tasted_of(p, facts->value[a][v]);
      all += t->all;
      newest += t->newest;
      shared += t->last;
      fading += t->fading;
    }
    if (p->total > 0) cell[0] = all / (len * p->total);
    if (p->newest_total > 0) cell[1] = newest / (len * p->newest_total);
    if (!isnan(p->last_len)) cell[2] = shared / (len + p->last_len - shared); /* Jaccard's index */
    if (p->fading_total > 0) cell[3] = fading / (len * p->fading_total);
  }
}

static void fill_taste(wn_filling *f, wn_error *err) {
  profile p;
  for (uint32_t a = 0; a < f->world->set->attrs && a < f->world->facts->head.attrs; a++) {
    if (!profile_init(&p, f, a)) {
      err->status = wn_fail_memory(err);
      return;
    }
    taste_of(f, &p, a);
  }
}

static int ascending(const void *left, const void *right) {
  float a = *(const float *)left, b = *(const float *)right;
  return (a > b) - (a < b);
}

static void fill_price(wn_filling *f, wn_error *err WN_UNUSED) {
  const wn_item_facts *facts = f->world->facts;
  float price[PRICES_MAX];
  size_t n = 0;
  for (size_t h = 0; h < f->query->history_len && n < PRICES_MAX; h++) {
    const wn_history_entry *e = &f->query->history[h];
    if (e->weight > 0 && e->item < facts->head.items && facts->price[e->item] > 0)
      price[n++] = facts->price[e->item];
  }
  if (n == 0) return;
  qsort(price, n, sizeof *price, ascending);
  for (size_t r = 0; r < f->rows->len; r++) {
    uint32_t item = f->rows->item[r];
    if (item < facts->head.items && facts->price[item] > 0)
      *wn_cell_at(f, r) = logf(facts->price[item] / price[n / 2]);
  }
}

/* --- the user --- */

static void fill_own(wn_filling *f, wn_error *err WN_UNUSED) {
  for (size_t h = 0; h < history_used(f->query); h++) {
    const wn_history_entry *e = &f->query->history[h];
    float *cell = wn_cell_of(f, e->item);
    if (cell == NULL) continue;
    cell[0] = e->weight;
    if (f->world->facts->head.timed)
      cell[1] = (float)fmax(0, (double)(f->query->now_ms - e->time_ms) / WN_HOUR_MS);
  }
}

static void fill_user(wn_filling *f, wn_error *err WN_UNUSED) {
  const wn_query *q = f->query;
  size_t len = history_used(q), session = len > 0;
  bool timed = f->world->facts->head.timed;
  while (timed && session < len &&
         q->history[session - 1].time_ms - q->history[session].time_ms < SESSION_MS)
    session++;
  float since = timed && len > 0
                    ? (float)fmax(0, (double)(q->now_ms - q->history[0].time_ms) / WN_HOUR_MS)
                    : NAN;
  for (size_t r = 0; r < f->rows->len; r++) {
    float *cell = wn_cell_at(f, r);
    cell[0] = log1pf((float)len);
    if (timed) cell[1] = log1pf((float)session);
    cell[2] = since;
  }
}

static void fill_moment(wn_filling *f, wn_error *err WN_UNUSED) {
  int64_t hours = f->query->now_ms / (int64_t)WN_HOUR_MS;
  for (size_t r = 0; f->world->facts->head.timed && r < f->rows->len; r++) {
    float *cell = wn_cell_at(f, r);
    cell[0] = (float)(hours % 24);
    cell[1] = (float)((hours / 24 + 4) % 7); /* 1970 began on a Thursday; 0: Sunday */
  }
}

static void fill_shown(wn_filling *f, wn_error *err WN_UNUSED) {
  const wn_item_facts *facts = f->world->facts;
  for (size_t r = 0; facts->shown != NULL && r < f->rows->len; r++) {
    uint32_t item = f->rows->item[r];
    if (item < facts->head.items)
      memcpy(wn_cell_at(f, r), facts->shown + (size_t)item * WN_SHOWN_COLUMNS,
             WN_SHOWN_COLUMNS * sizeof(float));
  }
}

static void fill_position(wn_filling *f, wn_error *err WN_UNUSED) {
  for (size_t r = 0; r < f->rows->len; r++) *wn_cell_at(f, r) = 1;
}

static wn_fill_fn *const fills[WN_FEATURE_FAMILIES] = {
    [WN_FEATURES_PLACE] = fill_place,
    [WN_FEATURES_SCORE] = fill_score,
    [WN_FEATURES_JOINT] = fill_joint,
    [WN_FEATURES_ECHO] = fill_echo,
    [WN_FEATURES_NEAR] = fill_near,
    [WN_FEATURES_CROWD] = fill_crowd,
    [WN_FEATURES_PULSE] = fill_pulse,
    [WN_FEATURES_AGE] = fill_age,
    [WN_FEATURES_TASTE] = fill_taste,
    [WN_FEATURES_PRICE] = fill_price,
    [WN_FEATURES_OWN] = fill_own,
    [WN_FEATURES_USER] = fill_user,
    [WN_FEATURES_MOMENT] = fill_moment,
    [WN_FEATURES_POSITION] = fill_position,
    [WN_FEATURES_SHOWN] = fill_shown,
    [WN_FEATURES_PAIR] = wn_fill_pair,
    [WN_FEATURES_TEXT] = wn_fill_text,
    [WN_FEATURES_IMPRESSION] = wn_fill_impression,
    [WN_FEATURES_CONTEXT] = wn_fill_context,
};

/* --- rows --- */

wn_status wn_feature_lists(const wn_feature_world *w, const wn_query *query,
                           const wn_feature_list *known, wn_feature_list lists[WN_OPINIONS_MAX],
                           wn_error *err) {
  for (uint32_t o = 0; o < w->set->opinions; o++) {
    wn_query own = *query;
    size_t newest = w->set->opinion[o].newest;
    lists[o] = known != NULL ? known[o] : (wn_feature_list){0};
    if (w->model[o] == NULL || lists[o].data != NULL) continue;
    wn_scored *list = wn_arena_alloc(query->arena, w->set->depth * sizeof *list);
    if (list == NULL) return wn_fail_memory(err);
    own.anchor = WN_NO_IX;
    if (newest > 0 && newest < own.history_len) own.history_len = newest;
    wn_status status =
        w->model[o]->cls->candidates(w->model[o], &own, w->set->depth, list, &lists[o].len, err);
    if (status != WN_OK) return status;
    lists[o].data = list;
  }
  return WN_OK;
}

/* Items newer than training are the generators' own business: nothing is known of them here. */
static void list_rows(wn_filling *f, const uint32_t *item, size_t len) {
  for (size_t i = 0; item != NULL && i < len; i++) add_row(f, item[i]);
  for (uint32_t o = 0; item == NULL && o < f->world->set->opinions; o++)
    for (size_t p = 0; p < f->lists[o].len; p++)
      if (f->lists[o].data[p].ix < f->world->facts->head.items) add_row(f, f->lists[o].data[p].ix);
}

/* Which candidate each entry of the lists is. */
static bool find_rows(wn_filling *f) {
  for (uint32_t o = 0; o < f->world->set->opinions; o++) {
    const wn_feature_list *list = &f->lists[o];
    uint32_t *row = wn_arena_alloc(f->query->arena, (list->len + 1) * sizeof *row);
    if (row == NULL) return false;
    for (size_t p = 0; p < list->len; p++)
      row[p] = *wn_row_slot(&f->finder, f->rows, list->data[p].ix);
    f->row_of[o] = row;
  }
  return true;
}

/* What families will read of each item: asked for before the first is waited for. */
static void expect_facts(const wn_filling *f) {
  const wn_item_facts *facts = f->world->facts;
  for (size_t r = 0; r < f->rows->len; r++) {
    uint32_t item = f->rows->item[r];
    if (item < facts->pulses) __builtin_prefetch(&facts->pulse[item]);
    if (item >= facts->head.items) continue;
    __builtin_prefetch(&facts->created_ms[item]);
    __builtin_prefetch(&facts->price[item]);
    for (uint32_t a = 0; a < facts->head.attrs; a++) __builtin_prefetch(&facts->value_ptr[a][item]);
  }
}

static void fill_family(wn_filling *f, unsigned family, wn_error *err) {
  if ((f->world->set->families >> family & 1) == 0 || err->status != WN_OK) return;
  f->column = f->rows->feature + wn_features_begin(f->world->set, family);
  fills[family](f, err);
}

wn_status wn_feature_rows_of(const wn_feature_world *w, const wn_query *query,
                             const wn_feature_ask *ask, wn_feature_rows *out, wn_error *err) {
  wn_filling f = {
      .world = w, .query = query, .lists = ask->lists, .rows = out, .exposed = ask->exposed};
  wn_error own = {0};
  size_t most = ask->len;
  *out = (wn_feature_rows){.features = wn_features_count(w->set)};
  for (uint32_t o = 0; ask->item == NULL && o < w->set->opinions; o++) most += ask->lists[o].len;
  out->item = wn_arena_alloc(query->arena, (most + 1) * sizeof *out->item);
  if (out->item == NULL || !finder_init(&f.finder, most, query->arena)) return wn_fail_memory(err);
  list_rows(&f, ask->item, ask->len);
  size_t cells = out->len * out->features;
  out->feature = wn_arena_alloc(query->arena, (cells + 1) * sizeof *out->feature);
  if (out->feature == NULL || !find_rows(&f)) return wn_fail_memory(err);
  expect_facts(&f);
  for (size_t i = 0; i < cells; i++) out->feature[i] = NAN;
  f.newest_len = wn_query_positives(query, UINT32_MAX, WN_ECHO_ITEMS, f.newest);
  for (unsigned family = 0; family < WN_FEATURE_FAMILIES; family++) fill_family(&f, family, &own);
  if (own.status != WN_OK && err != NULL) *err = own;
  return own.status;
}

void wn_feature_retime(const wn_feature_world *w, const wn_query *query, wn_feature_rows *rows) {
  wn_filling f = {.world = w, .query = query, .rows = rows};
  wn_error none = {0};
  f.newest_len = wn_query_positives(query, UINT32_MAX, WN_ECHO_ITEMS, f.newest);
  fill_family(&f, WN_FEATURES_CROWD, &none);
  fill_family(&f, WN_FEATURES_PULSE, &none);
  fill_family(&f, WN_FEATURES_AGE, &none);
}
