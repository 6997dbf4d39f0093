/* Families that ask a model or somebody else, beside the opinions' lists: co-visitation by pairs of
 * levels, texts, what was shown before, what the request says of itself. */
#include "model/content.h"
#include "model/covisit.h"
#include "model/feature_internal.h"

#include <string.h>

#define SHOWN_MS (24 * WN_HOUR_MS) /* half-life of impressions in vain */
#define VALUES   1024              /* texts of a request are told apart by so many codes */

/* --- kinds of facts --- */

typedef struct pairing {
  wn_filling *f;
  float *first; /* of the family */
  uint32_t from, levels;
  float fade;
} pairing;

static void add_pair(void *ctx, wn_item_ix item, uint32_t to, float strength) {
  const pairing *p = ctx;
  float *cell = wn_cell_of(p->f, item);
  if (cell == NULL || to >= p->levels || !isfinite(strength)) return;
  cell += 3 * (p->from * p->levels + to);
  cell[0] = wn_plus(cell[0], strength);
  cell[1] = fmaxf(cell[1], strength);
  cell[2] = wn_plus(cell[2], strength * p->fade);
}

void wn_fill_pair(wn_filling *f, wn_error *err WN_UNUSED) {
  const wn_feature_world *w = f->world;
  const wn_covisit *m = NULL;
  for (uint32_t o = 0; o < w->set->opinions && m == NULL; o++)
    if (w->model[o] != NULL && w->model[o]->cls == &wn_model_covisit)
      m = (const wn_covisit *)w->model[o];
  if (m == NULL || wn_covisit_levels(m) > w->set->levels || f->query->history_type == NULL) return;
  for (size_t h = 0; h < f->newest_len; h++) {
    pairing p = {f, f->column, m->head.level_of[f->newest[h].type], w->set->levels,
                 expf(-(float)h / 3)};
    wn_covisit_pairs(m, f->newest[h].item, p.from, add_pair, &p);
  }
}

/* --- texts --- */

/* What the newest items' vectors weigh a term by. */
typedef struct worded {
  uint32_t key; /* term + 1; 0: free */
  float all, by[WN_ECHO_ITEMS];
} worded;

typedef struct words {
  worded *slot;
  size_t mask;
  float norm; /* of the sum */
} words;

static worded *worded_of(const words *w, uint32_t term) {
  size_t at = ((term + 1) * (size_t)2654435761u) & w->mask;
  while (w->slot[at].key != 0 && w->slot[at].key != term + 1) at = (at + 1) & w->mask;
  return &w->slot[at];
}

static bool words_init(words *w, const wn_filling *f, const wn_content *m) {
  wn_term_weight vector[WN_CONTENT_TERMS_MAX];
  size_t slots = 64;
  while (slots < 2 * f->newest_len * WN_CONTENT_TERMS_MAX) slots *= 2;
  *w = (words){wn_arena_calloc(f->query->arena, slots, sizeof *w->slot), slots - 1, 0};
  if (w->slot == NULL) return false;
  for (size_t h = 0; h < f->newest_len; h++) {
    size_t len = wn_content_vector_of(m, f->newest[h].item, vector);
    for (size_t t = 0; t < len; t++) {
      worded *of = worded_of(w, vector[t].term);
      of->key = vector[t].term + 1;
      of->by[h] = vector[t].weight;
      of->all += vector[t].weight;
    }
  }
  for (size_t s = 0; s < slots; s++) w->norm += w->slot[s].all * w->slot[s].all;
  w->norm = sqrtf(w->norm);
  return true;
}

/* Vectors have the norm 1. */
static void words_of(const words *w, const wn_filling *f, const wn_term_weight *vector, size_t len,
                     float *cell) {
  float dot[WN_ECHO_ITEMS] = {0}, all = 0, most = 0;
  for (size_t t = 0; t < len; t++) {
    const worded *of = worded_of(w, vector[t].term);
    if (of->key == 0) continue;
    all += of->all * vector[t].weight;
    for (size_t h = 0; h < f->newest_len; h++) dot[h] += of->by[h] * vector[t].weight;
  }
  for (size_t h = 0; h < f->newest_len; h++) most = fmaxf(most, dot[h]);
  cell[0] = dot[0];
  cell[1] = most;
  cell[2] = all / w->norm;
}

void wn_fill_text(wn_filling *f, wn_error *err) {
  const wn_model *found = NULL;
  wn_term_weight vector[WN_CONTENT_TERMS_MAX];
  words w;
  for (uint32_t o = 0; o < f->world->set->opinions && found == NULL; o++)
    if (f->world->model[o] != NULL && f->world->model[o]->cls == &wn_model_content)
      found = f->world->model[o];
  if (found == NULL || f->newest_len == 0) return;
  if (!words_init(&w, f, (const wn_content *)found)) {
    err->status = wn_fail_memory(err);
    return;
  }
  for (size_t r = 0; r < f->rows->len && w.norm > 0; r++) {
    size_t len = wn_content_vector_of((const wn_content *)found, f->rows->item[r], vector);
    if (len > 0) words_of(&w, f, vector, len, wn_cell_at(f, r));
  }
}

/* --- what was shown, and where --- */

void wn_fill_impression(wn_filling *f, wn_error *err) {
  const wn_before_ask ask = {f->query->now_ms, SHOWN_MS, true};
  if (f->exposed == NULL || f->rows->len == 0) return;
  wn_before *before = wn_arena_alloc(f->query->arena, f->rows->len * sizeof *before);
  if (before == NULL) {
    err->status = wn_fail_memory(err);
    return;
  }
  f->exposed->before(f->exposed->ctx, &ask, f->rows->item, f->rows->len, before);
  for (size_t r = 0; r < f->rows->len; r++) {
    float *cell = wn_cell_at(f, r);
    cell[0] = log1pf((float)before[r].times);
    cell[1] = before[r].faded;
    if (before[r].times > 0)
      cell[2] = log1pf((float)fmax((double)(f->query->now_ms - before[r].last_ms) / WN_HOUR_MS, 0));
  }
}

static void context_of(const wn_filling *f, uint32_t c, const wn_attr *attr) {
  const wn_item_facts *facts = f->world->facts;
  uint32_t value = wn_context_value(attr);
  float code = attr->kind == WN_ATTR_NUMBER ? (float)attr->number : (float)(value % VALUES);
  float rate = value != 0 ? wn_context_rate(facts, wn_context_key(WN_NO_IX, c, value)) : NAN;
  for (size_t r = 0; r < f->rows->len; r++) {
    uint32_t item = f->rows->item[r];
    float *cell = wn_cell_at(f, r) + 3 * c;
    cell[0] = code;
    cell[1] = rate;
    if (value == 0 || item >= facts->head.items || facts->shown == NULL) continue;
    cell[2] = wn_context_rate(facts, wn_context_key(item, c, value));
    if (isnan(cell[2])) cell[2] = facts->shown[(size_t)item * WN_SHOWN_COLUMNS];
  }
}

void wn_fill_context(wn_filling *f, wn_error *err WN_UNUSED) {
  const wn_item_facts *facts = f->world->facts;
  for (uint32_t c = 0; f->query->context != NULL && c < f->world->set->contexts; c++) {
    const wn_attr *attr =
        c < facts->head.contexts ? wn_attrs_find(f->query->context, facts->head.context[c]) : NULL;
    if (attr != NULL) context_of(f, c, attr);
  }
}
