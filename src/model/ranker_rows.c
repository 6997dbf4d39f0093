/* The features of a user's candidates, in training and in serving by this one function.
 *
 *   of each opinion   its place for the item (0: first) and its standard score (s − last) / σ
 *   of all together   how many name it, the best place, Σ 1 / (1 + place)
 *   of the item       ln(1 + users who have it)
 *   of the user       ln(1 + items of her history)
 *
 * What an opinion does not name is absent (NaN): trees learn on which side that belongs. Cost: the
 * lists, and about 10 ns a list entry and feature row. */
#include "model/ranker.h"

#include "model/blend.h"
#include "model/query.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { OF_ALL = 5 }; /* features that are no opinion's */
enum { NAMED_BY, BEST_PLACE, PLACES, USERS_OF, HISTORY };

uint32_t wn_ranker_features(uint32_t opinions) {
  return 2 * opinions + OF_ALL;
}

const char *wn_ranker_feature_name(const wn_ranker_opinion *opinion, uint32_t opinions, uint32_t at,
                                   char *buf, size_t size) {
  static const char *const names[OF_ALL] = {"opinions that name it", "best place", "sum of places",
                                            "users who have it", "items of the history"};
  if (at >= 2 * opinions) {
    snprintf(buf, size, "%s", at - 2 * opinions < OF_ALL ? names[at - 2 * opinions] : "?");
    return buf;
  }
  const wn_ranker_opinion *of = &opinion[at / 2];
  int len = snprintf(buf, size, "%s in %s", at % 2 == 0 ? "place" : "score", of->model);
  if (of->newest > 0 && len >= 0 && (size_t)len < size)
    snprintf(buf + len, size - (size_t)len, ", newest %u", of->newest);
  return buf;
}

/* Item → row + 1, open addressing. */
typedef struct finder {
  uint32_t *row;
  size_t mask;
} finder;

static bool finder_init(finder *f, size_t most, wn_arena *arena) {
  size_t slots = 64;
  while (slots < 2 * most) slots *= 2;
  f->row = wn_arena_calloc(arena, slots, sizeof *f->row);
  f->mask = slots - 1;
  return f->row != NULL;
}

static uint32_t *find(const finder *f, const wn_ranker_rows *rows, uint32_t item) {
  size_t at = (item * (size_t)2654435761u) & f->mask;
  while (f->row[at] != 0 && rows->item[f->row[at] - 1] != item) at = (at + 1) & f->mask;
  return &f->row[at];
}

static float *row_of(finder *f, wn_ranker_rows *rows, uint32_t item) {
  uint32_t *slot = find(f, rows, item);
  if (*slot == 0) {
    float *row = rows->feature + rows->len * rows->features;
    rows->item[rows->len++] = item;
    *slot = (uint32_t)rows->len;
    for (size_t i = 0; i < rows->features; i++) row[i] = NAN;
    return row;
  }
  return rows->feature + (*slot - 1) * rows->features;
}

static void add_list(const wn_ranker_world *w, uint32_t opinion, const wn_scored *list, size_t len,
                     finder *f, wn_ranker_rows *rows) {
  wn_blend_list of = wn_blend_list_of(list, len);
  for (size_t p = 0; p < len; p++) {
    if (list[p].ix >= w->items) continue; /* newer than training: the generators' own place */
    float *row = row_of(f, rows, list[p].ix), *all = row + 2 * w->opinions;
    row[2 * opinion] = (float)p;
    row[2 * opinion + 1] = wn_blend_standard(&of, list[p].score);
    all[NAMED_BY] = isnan(all[NAMED_BY]) ? 1 : all[NAMED_BY] + 1;
    all[BEST_PLACE] = fminf(all[BEST_PLACE], (float)p); /* of NaN and p: p */
    all[PLACES] = (isnan(all[PLACES]) ? 0 : all[PLACES]) + 1.0f / (1.0f + (float)p);
  }
}

wn_status wn_ranker_rows_of(const wn_ranker_world *w, const wn_query *query, wn_ranker_rows *out,
                            wn_error *err) {
  finder f;
  wn_arena *arena = query->arena;
  size_t most = (size_t)w->opinions * w->depth;
  wn_scored *list = wn_arena_alloc(arena, w->depth * sizeof *list);
  *out = (wn_ranker_rows){.features = wn_ranker_features(w->opinions)};
  out->item = wn_arena_alloc(arena, (most + 1) * sizeof *out->item);
  out->feature = wn_arena_alloc(arena, (most * out->features + 1) * sizeof *out->feature);
  if (list == NULL || out->item == NULL || out->feature == NULL || !finder_init(&f, most, arena))
    return wn_fail_memory(err);
  for (uint32_t o = 0; o < w->opinions; o++) {
    wn_query own = *query;
    size_t len = 0, newest = w->opinion[o].newest;
    if (w->model[o] == NULL) continue;
    own.anchor = WN_NO_IX;
    if (newest > 0 && newest < own.history_len) own.history_len = newest;
    wn_status status = w->model[o]->cls->candidates(w->model[o], &own, w->depth, list, &len, err);
    if (status != WN_OK) return status;
    add_list(w, o, list, len, &f, out);
  }
  float history = log1pf((float)query->history_len);
  for (size_t r = 0; r < out->len; r++) {
    float *all = out->feature + r * out->features + 2 * w->opinions;
    all[USERS_OF] = log1pf((float)w->users_of[out->item[r]]);
    all[HISTORY] = history;
  }
  return WN_OK;
}
