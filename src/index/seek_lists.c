/* Search by lists. One pass of products says where the query lies to each centre; a heap gives
 * the lists by what their first block may score; of each list those blocks are scanned whose bound
 * reaches the k-th best score so far, and the search ends with the first list whose does not. How
 * far it goes is thus a matter of the query and of the norms, not of a number of probes; a filter,
 * which keeps the k-th score low, makes it go further by itself. While fewer than k are found every
 * bound is high enough, so lists are never short.
 *
 * Exact search goes on from there with kappa = 1 over the blocks not yet scanned. */
#include "base/simd/simd.h"
#include "index/cluster.h"
#include "index/seek.h"

#include <math.h>
#include <string.h>

typedef struct walk {
  wn_seek *seek;
  float kappa;
  wn_list_view *views;
  uint64_t *done; /* blocks scanned; NULL unless exact */
  wn_scan_query query;
  bool masks; /* look for allowed rows before a block is scanned */
} walk;

/* D² where the cancelling form would lose it: the query lies close to the centre. */
static float distance_to_centre(const wn_base *base, const float *vector, uint32_t list) {
  const float *centre =
      base->centres + (size_t)(list / 16) * (base->head.dims + 1) * 16 + list % 16;
  float sum = 0;
  for (uint32_t j = 0; j < base->head.dims; j++) {
    float d = vector[j] - centre[(size_t)j * 16];
    sum += d * d;
  }
  return sum;
}

/* From 2⟨q, c⟩ − ‖c‖². */
static void view_l2(const wn_seek *seek, const float *dots, wn_list_view *views) {
  float norm2 = (float)(seek->probe.norm * seek->probe.norm);
  float near = .1f * (norm2 + seek->base->head.row2_max);
  for (uint32_t l = 0; l < seek->base->head.lists; l++) {
    float d2 = norm2 - dots[l];
    if (!(d2 >= near)) d2 = distance_to_centre(seek->base, seek->probe.vector, l);
    views[l] = (wn_list_view){sqrtf(d2), d2};
  }
}

/* From ⟨q, c⟩ / ‖q‖ for cosine, ⟨q, c⟩ for ip. */
static void view_directions(const wn_seek *seek, const float *dots, wn_list_view *views) {
  float norm =
      seek->probe.metric == WN_METRIC_COSINE && seek->probe.norm > 0 ? 1 : (float)seek->probe.norm;
  float norm2 = norm * norm, slack = WN_BOUND_SLACK * norm;
  for (uint32_t l = 0; l < seek->base->head.lists; l++) {
    float across2 = norm2 - dots[l] * dots[l];
    views[l] = (wn_list_view){dots[l], sqrtf(across2 > 0 ? across2 : 0) + slack};
  }
}

/* Products in fp32, as bounds want them. */
static bool exact_dots(const wn_seek *seek, float *dots) {
  const wn_base *base = seek->base;
  uint32_t dims = base->head.dims;
  size_t rows = wn_centre_dims(base->head.metric, dims),
         blocks = ((size_t)base->head.lists + 15) / 16;
  float factor = seek->probe.metric == WN_METRIC_COSINE ? seek->probe.inverse : 1;
  float *vector = wn_arena_alloc(seek->arena, rows * sizeof *vector);
  if (vector == NULL) return false;
  for (uint32_t j = 0; j < dims; j++) vector[j] = seek->probe.vector[j] * factor;
  if (rows > dims) { /* the last dimension takes ‖c‖² off */
    for (uint32_t j = 0; j < dims; j++) vector[j] *= 2;
    vector[dims] = -1;
  }
  wn_scan()->dots(base->centres, blocks, vector, rows, dots);
  return true;
}

bool wn_seek_views(const wn_seek *seek, bool exact, wn_list_view *views) {
  const wn_scan_blocks *coarse = wn_coarse_blocks(seek->base->coarse);
  size_t lanes = coarse->count * WN_SCAN_LANES;
  float *dots = wn_arena_alloc(seek->arena, lanes * sizeof *dots);
  if (dots == NULL) return false;
  if (exact) {
    if (!exact_dots(seek, dots)) return false;
  } else {
    wn_scan_query query = seek->probe.scan;
    query.shift = 0;
    wn_scan()->score(coarse, &query, 1, dots, lanes);
  }
  if (seek->probe.metric == WN_METRIC_L2) {
    view_l2(seek, dots, views);
  } else {
    view_directions(seek, dots, views);
  }
  return true;
}

static void scan_run(walk *w, uint32_t block, uint32_t count) {
  wn_seek *seek = w->seek;
  const wn_base *base = seek->base;
  size_t lane = (size_t)block * WN_SCAN_LANES;
  wn_scan_blocks blocks = {base->codes + (size_t)block * base->groups * 64, base->fits + block,
                           base->bias != NULL ? base->bias + lane : NULL, count, base->groups};
  size_t found = wn_scan()->scan(&blocks, &w->query, seek->least, seek->hit_at, seek->hit_score);
  wn_hits hits = {base->ids + lane, blocks.fit, &w->query, seek->hit_at, seek->hit_score, found};
  wn_seek_base_hits(seek, &hits);
  seek->trace.lanes_scanned += (uint64_t)count * WN_SCAN_LANES;
  for (uint32_t b = block; w->done != NULL && b < block + count; b++) {
    w->done[b >> 6] |= (uint64_t)1 << (b & 63);
  }
}

#define MASKS_BELOW 4 /* allowed: one row in so many; above, most blocks hold one */

/* A filter that goes with directions leaves most blocks without an allowed row. */
static inline bool allows_some(const wn_seek *seek, uint32_t block) {
  const uint32_t *ids = seek->base->ids + (size_t)block * WN_SCAN_LANES;
  __builtin_prefetch(ids + 8 * WN_SCAN_LANES);
  return wn_scan()->test_bits(seek->allowed->words, seek->allowed->bits, ids) != 0;
}

static inline void prefetch_codes(const wn_base *base, uint32_t block, uint32_t count) {
  const uint8_t *codes = base->codes + (size_t)block * base->groups * 64;
  for (size_t l = 0; l < count * base->groups; l++) __builtin_prefetch(codes + l * 64);
}

static void scan_list(walk *w, uint32_t list) {
  const wn_base *base = w->seek->base;
  uint32_t run = 0, end = base->lists[list + 1];
  wn_list_view view = w->views[list];
  bool l2 = base->bias != NULL;
  float slack = l2 ? WN_L2_SLACK * w->seek->probe.slack : 0;
  for (uint32_t b = base->lists[list]; b < end; b++) {
    bool want = wn_block_bound(base->bounds + b, l2, view, w->kappa, slack) >= w->seek->least;
    if (want && w->masks) want = allows_some(w->seek, b);
    if (want && w->done != NULL) want = ((w->done[b >> 6] >> (b & 63)) & 1) == 0;
    if (want && run > 0 && base->head.lists > 1) prefetch_codes(base, b, 1);
    run += want;
    if (run > 0 && (!want || run == WN_SEEK_RUN)) {
      scan_run(w, b - run + want, run);
      run = 0;
    }
  }
  if (run > 0) scan_run(w, end - run, run);
}

/* Lists by falling bound: a heap of those above a cut, refilled with a lower cut when it is empty.
 * Most searches end within the first cut, a tenth of the lists. */
typedef struct ranked {
  float bound;
  uint32_t list;
} ranked;

typedef struct ranking {
  const float *bounds; /* [lists] */
  uint32_t lists;
  float cut;    /* lists at or above it have been in the heap */
  float middle; /* the next cut; −INFINITY: no more after this one */
  uint32_t *picked;
  ranked *heap;
  size_t len;
} ranking;

static void sift(ranked *heap, size_t len, size_t i) {
  ranked moving = heap[i];
  for (size_t child; (child = 2 * i + 1) < len; i = child) {
    if (child + 1 < len && heap[child + 1].bound > heap[child].bound) child++;
    if (!(heap[child].bound > moving.bound)) break;
    heap[i] = heap[child];
  }
  heap[i] = moving;
}

static void refill(ranking *r, float cut) {
  size_t n = wn_simd()->above(r->bounds, r->lists, cut, r->picked);
  for (size_t i = 0; i < n; i++) {
    float bound = r->bounds[r->picked[i]];
    r->heap[r->len] = (ranked){bound, r->picked[i]};
    r->len += bound < r->cut;
  }
  r->cut = cut;
  for (size_t i = r->len / 2; i-- > 0;) sift(r->heap, r->len, i);
}

/* The best list not yet taken, if it reaches `least`. */
static bool take_list(ranking *r, float least, ranked *out) {
  while (r->len == 0) {
    if (!(r->cut > least)) return false;
    float next = r->middle < r->cut ? r->middle : -INFINITY;
    refill(r, next > least ? next : least);
  }
  *out = r->heap[0];
  r->heap[0] = r->heap[--r->len];
  if (r->len > 0) sift(r->heap, r->len, 0);
  return out->bound >= least;
}

/* Bounds of all lists by their first blocks, and the first cut. */
static bool rank_lists(const walk *w, ranking *r) {
  const wn_base *base = w->seek->base;
  uint32_t lists = base->head.lists;
  bool l2 = base->bias != NULL;
  float slack = l2 ? WN_L2_SLACK * w->seek->probe.slack : 0, most = -INFINITY;
  double sum = 0, count = 0;
  float *bounds = wn_arena_alloc(w->seek->arena, lists * sizeof *bounds);
  *r = (ranking){.bounds = bounds, .lists = lists, .cut = INFINITY};
  r->picked = wn_arena_alloc(w->seek->arena, lists * sizeof *r->picked);
  r->heap = wn_arena_alloc(w->seek->arena, (lists + 1) * sizeof *r->heap);
  if (bounds == NULL || r->picked == NULL || r->heap == NULL) return false;
  for (uint32_t l = 0; l < lists; l++) {
    bounds[l] = wn_block_bound(&base->tops[l], l2, w->views[l], w->kappa, slack);
  }
  for (uint32_t l = 0; l < lists; l += 8) { /* a sample is enough for cuts */
    if (!(bounds[l] > -INFINITY)) continue;
    most = bounds[l] > most ? bounds[l] : most;
    sum += (double)bounds[l];
    count++;
  }
  float mean = count > 0 ? (float)(sum / count) : -INFINITY;
  r->middle = mean;
  float cut = mean + .4f * (most - mean);
  refill(r, cut > -INFINITY ? cut : -INFINITY); /* NaN: all of the sample were empty */
  return true;
}

/* What scan_list reads first: bounds, and of the first blocks codes, or with masks ids. */
static inline void prefetch_list(const walk *w, uint32_t list) {
  const wn_base *base = w->seek->base;
  uint32_t first = base->lists[list], count = base->lists[list + 1] - first;
  for (uint32_t b = 0; b < count && b < 24; b += 5) __builtin_prefetch(base->bounds + first + b);
  for (uint32_t b = 0; b < count && b < 24; b += 8) __builtin_prefetch(base->fits + first + b);
  uint32_t ahead = base->groups < 12 ? 24 / (uint32_t)base->groups : 1;
  if (!w->masks) prefetch_codes(base, first, count < ahead ? count : ahead);
  for (uint32_t b = 0; w->masks && b < count && b < 8; b++) {
    __builtin_prefetch(base->ids + (size_t)(first + b) * WN_SCAN_LANES);
  }
}

#define AHEAD 4u

static bool walk_best(walk *w) {
  ranking r;
  ranked next[AHEAD]; /* a queue of the best, their memory under way */
  unsigned first = 0, waiting = 0;
  if (!rank_lists(w, &r)) return false;
  for (;;) {
    while (waiting < AHEAD && take_list(&r, w->seek->least, &next[(first + waiting) % AHEAD])) {
      prefetch_list(w, next[(first + waiting++) % AHEAD].list);
    }
    if (waiting == 0) return true;
    scan_list(w, next[first].list);
    first = (first + 1) % AHEAD;
    waiting--;
  }
}

bool wn_seek_lists(wn_seek *seek, float kappa, bool exact) {
  const wn_base *base = seek->base;
  walk w = {.seek = seek, .kappa = kappa, .query = wn_seek_query(seek)};
  w.masks = seek->allowed != NULL && seek->allowed_count <= base->head.rows / MASKS_BELOW;
  w.views = wn_arena_alloc(seek->arena, base->head.lists * sizeof *w.views);
  if (w.views == NULL || !wn_seek_views(seek, false, w.views)) return false;
  if (exact) {
    w.done =
        wn_arena_calloc(seek->arena, ((size_t)base->head.blocks + 63) / 64 + 1, sizeof *w.done);
    if (w.done == NULL) return false;
  }
  if (!walk_best(&w)) return false;
  if (!exact) return true;
  if (!wn_seek_views(seek, true, w.views)) return false;
  w.kappa = 1;
  for (uint32_t l = 0; l < base->head.lists; l++) scan_list(&w, l);
  return true;
}

float wn_kappa_for(const wn_image_header *head, double recall) {
  for (int i = 0; i < WN_INDEX_LEVELS; i++) {
    if ((double)head->levels[i].recall >= recall - 1e-6) return head->levels[i].kappa;
  }
  return 1;
}

float wn_lanes_for(const wn_image_header *head, double recall) {
  for (int i = 0; i < WN_INDEX_LEVELS; i++) {
    if ((double)head->levels[i].recall >= recall - 1e-6) return head->levels[i].lanes;
  }
  return head->exact_lanes;
}

wn_eta wn_eta_for(const wn_axes *axes) {
  float code = 2 / sqrtf((float)axes->kept);
  return (wn_eta){code < 1 ? code : 1, axes->spread};
}
