/* Areas under the curves of one user's scores over the catalogue (scored.h), in one pass. Only the
 * scores of relevant items matter as thresholds ("steps"). Up to DIRECT steps are each compared
 * with every score, a block at a time that stays in the first cache: 16 scores an instruction. For
 * more of them items are counted by CELLS equal cells between the lowest and the highest step; only
 * those of cells that hold a step are placed among the steps, by bisection. The map from a score to
 * its cell is rounded but never decreases, so the counts are exact either way.
 *
 * Cost: O(items · min(relevant, DIRECT)) / lanes, then O(items) where the relevant scores spread,
 * O(items · log relevant) at worst; O(relevant · log relevant) to sort. Sums in order of the
 * scores: the same digits always. */
#include "lab/scored.h"

#include "base/simd/simd.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 2048, ALL = CELLS + 2, BLOCK = 256, LANES = 2, DIRECT = 32, CACHED = 4096 };

typedef struct places {
  wn_area_step *step; /* distinct relevant scores, ascending */
  size_t len;
  float low, scale;           /* scale 0: a range without cells, every item is placed */
  uint32_t end[ALL];          /* of each cell: the steps in it or below, */
  bool hot[ALL];              /* whether any is in it, */
  uint32_t count[LANES][ALL]; /* its items; lanes so that neighbours need not wait */
} places;

static int ascending(const void *a, const void *b) {
  const wn_area_step *x = a, *y = b;
  return (x->score > y->score) - (x->score < y->score);
}

/* NaN is below. */
static inline int32_t cell_of(float score, float low, float scale) {
  float at = (score - low) * scale;
  at = at > -1.0F ? at : -1.0F;
  at = at < (float)CELLS ? at : (float)CELLS;
  return (int32_t)(at + 1.0F);
}

/* The relevant ones that are ranked, grouped by score; returns how many they are. */
static uint32_t find_steps(const float *score, const wn_relevant *relevant, places *p) {
  uint32_t found = 0;
  for (size_t r = 0; r < relevant->len; r++)
    if (!isnan(score[relevant->items[r]]))
      p->step[found++] = (wn_area_step){score[relevant->items[r]], 1, 0, 0};
  if (found > 1) qsort(p->step, found, sizeof *p->step, ascending);
  p->len = 0;
  for (uint32_t i = 0; i < found; i++) {
    if (p->len > 0 && p->step[p->len - 1].score == p->step[i].score)
      p->step[p->len - 1].relevant++;
    else
      p->step[p->len++] = p->step[i];
  }
  return found;
}

static void make_cells(places *p) {
  float high = p->step[p->len - 1].score;
  size_t at = 0;
  p->low = p->step[0].score;
  p->scale = high > p->low ? (float)CELLS / (high - p->low) : FLT_MAX;
  if (!isfinite(p->scale) || !isfinite(p->low) || !isfinite(high)) p->scale = 0;
  memset(p->count, 0, sizeof p->count);
  for (int32_t c = 0; c < ALL; c++) {
    size_t begin = at;
    while (p->scale > 0 && at < p->len && cell_of(p->step[at].score, p->low, p->scale) <= c) at++;
    p->end[c] = (uint32_t)at;
    p->hot[c] = at > begin;
  }
}

/* Among the steps from `begin` on; what is below all is of nobody. */
static void place(places *p, float score, size_t begin, size_t end) {
  while (begin < end) { /* the first step above */
    size_t middle = begin + (end - begin) / 2;
    if (p->step[middle].score <= score)
      begin = middle + 1;
    else
      end = middle;
  }
  if (begin == 0) return;
  wn_area_step *step = &p->step[begin - 1];
  step->at += score == step->score;
  step->over += score > step->score;
}

static void count_block(places *p, const float *score, size_t n) {
  float at[BLOCK];
  int32_t cell[BLOCK];
  float low = p->low, scale = p->scale;
  /* cell_of() in steps: in one loop compilers make branches of it that nobody can predict. */
  memset(at, 0, sizeof at);
  for (size_t i = 0; i < n; i++) at[i] = (score[i] - low) * scale;
  for (size_t i = 0; i < BLOCK; i++) at[i] = at[i] > -1.0F ? at[i] : -1.0F;
  for (size_t i = 0; i < BLOCK; i++) at[i] = at[i] < (float)CELLS ? at[i] : (float)CELLS;
  for (size_t i = 0; i < BLOCK; i++) cell[i] = (int32_t)(at[i] + 1.0F);
  for (size_t i = 0; i < n; i++) {
    int32_t c = cell[i];
    p->count[i % LANES][c]++;
    if (p->hot[c]) place(p, score[i], c > 0 ? p->end[c - 1] : 0, p->end[c]);
  }
}

static void count_items(places *p, const float *score, size_t n) {
  if (!(p->scale > 0)) {
    for (size_t i = 0; i < n; i++)
      if (!isnan(score[i])) place(p, score[i], 0, p->len);
    return;
  }
  for (size_t i = 0; i < n; i += BLOCK) count_block(p, score + i, n - i < BLOCK ? n - i : BLOCK);
  for (size_t c = 0; c < ALL; c++)
    for (size_t lane = 0; lane < LANES && !p->hot[c] && p->end[c] > 0; lane++)
      p->step[p->end[c] - 1].over += p->count[lane][c];
}

/* at and over of at most DIRECT steps. */
static void compare_items(places *p, const float *score, size_t n) {
  uint32_t beside[DIRECT][2] = {0};
  for (size_t i = 0; i < n; i += CACHED)
    for (size_t s = 0; s < p->len; s++)
      wn_simd()->count(score + i, n - i < CACHED ? n - i : CACHED, p->step[s].score, beside[s]);
  for (size_t s = 0; s < p->len; s++) {
    uint32_t above_next = s + 1 < p->len ? beside[s + 1][0] + beside[s + 1][1] : 0;
    p->step[s].at = beside[s][1];
    p->step[s].over = beside[s][0] - above_next;
  }
}

void wn_areas_of_relevant(const float *score, size_t n, const wn_relevant *relevant,
                          wn_area_step *room, wn_areas *out) {
  places p;
  double wins = 0, above = 0, relevant_above = 0;
  uint32_t ranked = 0;
  p.step = room;
  *out = (wn_areas){.roc_auc = NAN, .positives = find_steps(score, relevant, &p)};
  for (size_t i = 0; i < n; i++) ranked += score[i] == score[i]; /* not NaN */
  out->negatives = ranked - out->positives;
  if (p.len == 0) return;
  if (p.len <= DIRECT) {
    compare_items(&p, score, n);
  } else {
    make_cells(&p);
    count_items(&p, score, n);
  }
  for (size_t s = p.len; s-- > 0;) {
    const wn_area_step *step = &p.step[s];
    above += step->over;
    double misses = (double)step->at - step->relevant;
    wins += step->relevant * (out->negatives - (above - relevant_above) - misses / 2);
    above += step->at;
    relevant_above += step->relevant;
    out->average_precision += step->relevant / out->positives * relevant_above / above;
  }
  if (out->negatives > 0) out->roc_auc = wins / (out->positives * out->negatives);
}
