/* Keeping candidates. Each has an interval for its true score; whoever's upper end is below the
 * k-th greatest lower end cannot be among the k best (ties are kept: the lower id wins them).
 * Instead of a heap, candidates gather in an array; when it fills, one quickselect finds the new
 * bound and one pass drops what is below: about two comparisons a candidate. Where intervals
 * overlap so much that nothing can be dropped (many equal rows), the exact scores decide at once.
 */
#include "index/seek.h"

#include <math.h>
#include <string.h>

bool wn_seek_init(wn_seek *seek, const float *vector) {
  size_t k = seek->k, padded = seek->base->groups * 4;
  int8_t *codes = wn_arena_alloc(seek->arena, padded);
  seek->least = -INFINITY;
  seek->len = 0;
  seek->cap = 4 * k + 1024;
  seek->next = 2 * k + 16;
  seek->candidates = wn_arena_alloc(seek->arena, seek->cap * sizeof *seek->candidates);
  seek->lowers = wn_arena_alloc(seek->arena, seek->cap * sizeof *seek->lowers);
  seek->keys = wn_arena_alloc(seek->arena, 2 * seek->cap * sizeof *seek->keys);
  seek->tally = (wn_tally){.count = wn_arena_alloc(seek->arena, WN_TALLY * sizeof(uint32_t))};
  size_t hits = (WN_SEEK_RUN + 1) * WN_SCAN_LANES;
  seek->hit_at = wn_arena_alloc(seek->arena, hits * sizeof *seek->hit_at);
  seek->hit_score = wn_arena_alloc(seek->arena, hits * sizeof *seek->hit_score);
  if (codes == NULL || seek->candidates == NULL || seek->lowers == NULL || seek->keys == NULL ||
      seek->tally.count == NULL || seek->hit_at == NULL || seek->hit_score == NULL) {
    return false;
  }
  wn_probe_init(&seek->probe, &seek->base->axes, vector, (wn_metric)seek->base->head.metric,
                seek->base->head.row2_max, codes);
  return true;
}

float wn_seek_row(wn_seek *seek, uint32_t id) {
  const wn_base *base = seek->base;
  float inverse = base->inverses != NULL ? base->inverses[id] : 0;
  float score = wn_probe_score(&seek->probe, wn_base_row(base, id), inverse);
  seek->trace.rows_scored++;
  return score == score ? score : -INFINITY; /* NaN can only come from a damaged image */
}

static float score_delta(wn_seek *seek, uint32_t entry) {
  const wn_delta_chunk *chunk = seek->delta->chunks[entry / WN_DELTA_CHUNK];
  uint32_t at = entry % WN_DELTA_CHUNK;
  seek->trace.rows_scored++;
  return wn_probe_score(&seek->probe, chunk->rows + (size_t)at * seek->base->head.dims,
                        chunk->inverses[at]);
}

/* The k-th greatest of n > k floats without NaN; reorders them. */
static float kth_greatest(float *x, size_t n, size_t k) {
  size_t low = 0, high = n - 1, want = k - 1;
  while (low < high) {
    float a = x[low], b = x[low + (high - low) / 2], c = x[high];
    float pivot = a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b);
    size_t i = low, j = high;
    for (;;) {
      while (x[i] > pivot) i++;
      while (x[j] < pivot) j--;
      if (i >= j) break;
      float t = x[i];
      x[i++] = x[j];
      x[j--] = t;
    }
    if (want <= j) {
      high = j;
    } else {
      low = j + 1;
    }
  }
  return x[want];
}

/* The bit pattern of a float such that greater floats have smaller patterns. */
static inline uint32_t falling(float x) {
  uint32_t bits;
  x += 0.0f; /* −0 becomes 0 */
  memcpy(&bits, &x, sizeof bits);
  return (bits >> 31) != 0 ? bits : ~bits & 0x7fffffffu;
}

static inline float rising(uint32_t pattern) {
  uint32_t bits = (pattern >> 31) != 0 ? pattern : ~pattern & 0x7fffffffu;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Merge sort from the bottom, without branches that depend on the keys; returns where the result
 * lies, `keys` or `spare`. */
static uint64_t *sort_keys(uint64_t *keys, uint64_t *spare, size_t n) {
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t at = 0; at < n; at += 2 * width) {
      size_t i = at, middle = at + width < n ? at + width : n;
      size_t j = middle, end = middle + width < n ? middle + width : n, to = at;
      while (i < middle && j < end) {
        uint64_t a = keys[i], b = keys[j];
        bool first = a <= b;
        spare[to++] = first ? a : b;
        i += first;
        j += !first;
      }
      while (i < middle) spare[to++] = keys[i++];
      while (j < end) spare[to++] = keys[j++];
    }
    uint64_t *t = keys;
    keys = spare;
    spare = t;
  }
  return keys;
}

static void drop_below(wn_seek *seek) {
  size_t kept = 0;
  for (size_t i = 0; i < seek->len; i++) {
    seek->candidates[kept] = seek->candidates[i];
    kept += seek->candidates[i].upper >= seek->least;
  }
  seek->len = kept;
}

/* Drops who cannot be among the k best: the bound so far leaves few to find a better one among. */
static void prune(wn_seek *seek) {
  drop_below(seek);
  if (seek->len <= seek->k) return;
  for (size_t i = 0; i < seek->len; i++) seek->lowers[i] = seek->candidates[i].lower;
  float bound = kth_greatest(seek->lowers, seek->len, seek->k);
  if (!(bound > seek->least)) return;
  seek->least = bound;
  drop_below(seek);
}

#define AHEAD 12u /* rows under way from memory */

static inline void prefetch_row(const wn_seek *seek, size_t candidate) {
  const wn_candidate *c = &seek->candidates[candidate];
  if (candidate >= seek->len || c->place != WN_IN_BASE) return;
  const float *row = wn_base_row(seek->base, c->id);
  for (uint32_t j = 0; j < seek->base->head.dims; j += 16) __builtin_prefetch(row + j);
}

/* Exact scores for candidates first … end − 1. */
static void score_some(wn_seek *seek, size_t first, size_t end) {
  for (size_t i = 0; i < AHEAD; i++) prefetch_row(seek, first + i);
  for (size_t i = first; i < end; i++) {
    wn_candidate *c = &seek->candidates[i];
    prefetch_row(seek, i + AHEAD);
    if (c->place == WN_IS_KNOWN) continue;
    float score = c->place == WN_IN_BASE ? wn_seek_row(seek, c->id) : score_delta(seek, c->place);
    *c = (wn_candidate){WN_IS_KNOWN, c->id, score, score};
  }
}

/* Scores the k best by the middles of their intervals: their exact scores drop most others. */
static void score_best(wn_seek *seek) {
  wn_candidate *c = seek->candidates;
  size_t best = 0;
  for (size_t i = 0; i < seek->len; i++) seek->lowers[i] = c[i].lower + c[i].upper;
  float cut = kth_greatest(seek->lowers, seek->len, seek->k);
  for (size_t i = 0; i < seek->len; i++) {
    if (!(c[i].lower + c[i].upper >= cut)) continue;
    wn_candidate t = c[i];
    c[i] = c[best];
    c[best++] = t;
  }
  score_some(seek, 0, best);
  prune(seek);
}

/* Exact scores for all that are left, sorted by score and id, the k best kept. */
static void settle(wn_seek *seek) {
  if (seek->len > seek->k + seek->k / 4) score_best(seek);
  score_some(seek, 0, seek->len);
  for (size_t i = 0; i < seek->len; i++) {
    seek->keys[i] = (uint64_t)falling(seek->candidates[i].upper) << 32 | seek->candidates[i].id;
  }
  const uint64_t *sorted = sort_keys(seek->keys, seek->keys + seek->cap, seek->len);
  bool full = seek->len >= seek->k;
  if (full) seek->len = seek->k;
  for (size_t i = 0; i < seek->len; i++) {
    float score = rising((uint32_t)(sorted[i] >> 32));
    seek->candidates[i] = (wn_candidate){WN_IS_KNOWN, (uint32_t)sorted[i], score, score};
  }
  if (full && seek->candidates[seek->len - 1].upper > seek->least) {
    seek->least = seek->candidates[seek->len - 1].upper;
  }
}

static inline void tally_add(wn_seek *seek, float lower) {
  wn_tally *t = &seek->tally;
  float place = (lower - t->floor) * t->steps;
  if (!(place >= (float)t->edge)) return; /* below the bound, or NaN */
  uint32_t step = place < (float)(WN_TALLY - 1) ? (uint32_t)place : WN_TALLY - 1;
  t->count[step]++;
  t->above++;
  if (t->above - t->count[t->edge] < seek->k) return;
  while (t->above - t->count[t->edge] >= seek->k) t->above -= t->count[t->edge++];
  /* a hundredth of a step below its edge, for rounding */
  float least = t->floor + ((float)t->edge - .01f) * t->step;
  if (least > seek->least) seek->least = least;
}

/* A tally of all candidates from `least` up, to twice as far as the best is away. */
static void tally_begin(wn_seek *seek) {
  wn_tally *t = &seek->tally;
  float best = seek->least;
  for (size_t i = 0; i < seek->len; i++) {
    if (seek->candidates[i].lower > best) best = seek->candidates[i].lower;
  }
  float step = (best - seek->least) * (2.0f / WN_TALLY);
  memset(t->count, 0, WN_TALLY * sizeof *t->count);
  t->edge = 0;
  t->above = 0;
  t->steps = 0;
  if (!(step > 1e-30f && step < 1e30f) || !(fabsf(seek->least) < step * 1e6f)) return;
  t->floor = seek->least;
  t->step = step;
  t->steps = 1 / step;
  for (size_t i = 0; i < seek->len; i++) tally_add(seek, seek->candidates[i].lower);
}

static void drop_worst(wn_seek *seek) {
  prune(seek);
  bool wide = seek->len > seek->k + seek->k / 2 + 64;
  if (wide) settle(seek);
  tally_begin(seek);
  /* from the first bound on, the tally raises it; where intervals are wide, exact scores do */
  seek->next = wide ? 2 * seek->k + 256 : seek->cap;
}

static inline void add(wn_seek *seek, uint32_t place, uint32_t id, float upper, float lower) {
  seek->candidates[seek->len++] = (wn_candidate){place, id, upper, lower};
  if (seek->tally.steps > 0) tally_add(seek, lower);
  if (seek->len < seek->next) return;
  drop_worst(seek);
}

void wn_seek_known(wn_seek *seek, uint32_t id, float score) {
  if (score >= seek->least) add(seek, WN_IS_KNOWN, id, score, score);
}

static inline float lower_end(float upper, float width) {
  float lower = upper - width;
  return lower <= upper ? lower : -INFINITY; /* NaN: a damaged image */
}

static inline float hit_width(const wn_seek *seek, const wn_hits *hits, uint32_t lane) {
  return wn_bounded_width(hits->query, hits->fit[lane / WN_SCAN_LANES]) + 2 * seek->probe.slack;
}

void wn_seek_base_hits(wn_seek *seek, const wn_hits *hits) {
  for (size_t i = 0; i < hits->count; i++) {
    uint32_t lane = hits->at[i], id = hits->ids[lane];
    if (!(hits->score[i] >= seek->least) || id == WN_NO_ID || !wn_seek_allows(seek, id) ||
        !wn_base_sees(seek->base, id, seek->now)) {
      continue;
    }
    float width = hit_width(seek, hits, lane);
    add(seek, WN_IN_BASE, id, hits->score[i], lower_end(hits->score[i], width));
  }
}

void wn_seek_delta_hits(wn_seek *seek, const wn_delta_chunk *chunk, uint32_t first,
                        const wn_hits *hits) {
  for (size_t i = 0; i < hits->count; i++) {
    uint32_t lane = hits->at[i], at = first % WN_DELTA_CHUNK + lane;
    if (!(hits->score[i] >= seek->least) || !wn_seek_allows(seek, chunk->ids[at]) ||
        !wn_delta_sees(chunk, at, seek->now)) {
      continue;
    }
    float width = hit_width(seek, hits, lane);
    add(seek, first + lane, chunk->ids[at], hits->score[i], lower_end(hits->score[i], width));
  }
}

/* What a full block of the delta can score at most, by its norms alone. */
static float delta_bound(const wn_seek *seek, const wn_delta_chunk *chunk, uint32_t block) {
  double norm = seek->probe.metric == WN_METRIC_COSINE ? 1 : seek->probe.norm;
  double most = (double)chunk->norm_max[block] * (1 + 1e-5);
  if (seek->probe.metric != WN_METRIC_L2) return (float)(norm * most * (1 + 1e-5));
  double least = (double)chunk->norm_min[block] * (1 - 1e-5);
  double gap = norm > most ? norm - most : norm < least ? least - norm : 0;
  return (float)(-gap * gap * (1 - 1e-5)) + seek->probe.slack;
}

static void seek_chunk(wn_seek *seek, uint32_t number, uint32_t end) {
  const wn_delta_chunk *chunk = seek->delta->chunks[number];
  uint32_t first = number * WN_DELTA_CHUNK, at = 0;
  size_t block_bytes = seek->base->groups * 64;
  for (; at + WN_SCAN_LANES <= end; at += WN_SCAN_LANES) {
    uint32_t block = at / WN_SCAN_LANES;
    if (!(delta_bound(seek, chunk, block) >= seek->least)) continue;
    wn_scan_query query = wn_probe_bounded(&seek->probe, chunk->fit[block], seek->eta);
    bool l2 = seek->probe.metric == WN_METRIC_L2;
    wn_scan_blocks blocks = {chunk->codes + block * block_bytes, &chunk->codes_fit[block],
                             l2 ? chunk->bias + at : NULL, 1, seek->base->groups};
    size_t count = wn_scan()->scan(&blocks, &query, seek->least, seek->hit_at, seek->hit_score);
    wn_hits hits = {NULL, &chunk->codes_fit[block], &query, seek->hit_at, seek->hit_score, count};
    wn_seek_delta_hits(seek, chunk, first + at, &hits);
    seek->trace.lanes_scanned += WN_SCAN_LANES;
  }
  for (; at < end; at++) { /* the open block: rows */
    if (wn_seek_allows(seek, chunk->ids[at]) && wn_delta_sees(chunk, at, seek->now)) {
      wn_seek_known(seek, chunk->ids[at], score_delta(seek, first + at));
    }
  }
}

void wn_seek_delta(wn_seek *seek) {
  for (uint32_t at = 0; at < seek->now; at += WN_DELTA_CHUNK) {
    uint32_t end = seek->now - at < WN_DELTA_CHUNK ? seek->now - at : WN_DELTA_CHUNK;
    seek_chunk(seek, at / WN_DELTA_CHUNK, end);
  }
}

size_t wn_seek_finish(wn_seek *seek, wn_scored *out) {
  prune(seek);
  settle(seek);
  size_t count = seek->len < seek->k ? seek->len : seek->k;
  for (size_t i = 0; i < count; i++) {
    out[i] = (wn_scored){seek->candidates[i].id, seek->candidates[i].upper};
  }
  return count;
}
