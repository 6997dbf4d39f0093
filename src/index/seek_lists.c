/* Search by lists. One pass of fp32 products says where the query lies to each centre; a heap gives
 * the lists by what their first block may score; of each list those blocks are scanned whose bound
 * reaches the k-th best score so far, and the search ends with the first list whose does not. How
 * far it goes is thus a matter of the query and of the norms, not of a number of probes; a filter,
 * which keeps the k-th score low, makes it go further by itself. While fewer than k are found every
 * bound is high enough, so lists are never short.
 *
 * Exact search goes on from there with kappa = 1 over the blocks not yet scanned. */
#include "index/seek.h"

#include <math.h>
#include <string.h>

typedef struct walk {
  wn_seek *seek;
  float kappa;
  wn_list_view *views;
  uint64_t *done; /* blocks scanned; NULL unless exact */
  wn_scan_query query;
  float width;
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

static void view_l2(const wn_seek *seek, const float *dots, wn_list_view *views) {
  float norm2 = (float)(seek->probe.norm * seek->probe.norm);
  float near = .1f * (norm2 + seek->base->head.row2_max);
  for (uint32_t l = 0; l < seek->base->head.lists; l++) {
    float d2 = norm2 - 2 * dots[l]; /* the last dimension took ‖c‖²/2 off */
    if (!(d2 >= near)) d2 = distance_to_centre(seek->base, seek->probe.vector, l);
    views[l] = (wn_list_view){sqrtf(d2), d2};
  }
}

static bool view_lists(const wn_seek *seek, wn_list_view *views) {
  const wn_base *base = seek->base;
  uint32_t lists = base->head.lists, dims = base->head.dims;
  size_t blocks = ((size_t)lists + 15) / 16, rows = wn_centre_dims(base->head.metric, dims);
  float *dots = wn_arena_alloc(seek->arena, blocks * 16 * sizeof *dots);
  float *vector = wn_arena_alloc(seek->arena, rows * sizeof *vector);
  if (dots == NULL || vector == NULL) return false;
  memcpy(vector, seek->probe.vector, dims * sizeof *vector);
  if (rows > dims) vector[dims] = -.5f;
  wn_scan()->dots(base->centres, blocks, vector, rows, dots);
  if (seek->probe.metric == WN_METRIC_L2) {
    view_l2(seek, dots, views);
    return true;
  }
  bool cosine = seek->probe.metric == WN_METRIC_COSINE;
  float factor = cosine ? seek->probe.inverse : 1;
  float norm = (float)seek->probe.norm * factor, norm2 = norm * norm;
  float slack = WN_BOUND_SLACK * norm;
  for (uint32_t l = 0; l < lists; l++) {
    float along = dots[l] * factor, across2 = norm2 - along * along;
    views[l] = (wn_list_view){along, sqrtf(across2 > 0 ? across2 : 0) + slack};
  }
  return true;
}

static void scan_run(walk *w, uint32_t block, uint32_t count) {
  wn_seek *seek = w->seek;
  const wn_base *base = seek->base;
  size_t lane = (size_t)block * WN_SCAN_LANES;
  wn_scan_blocks blocks = {base->codes + (size_t)block * base->groups * 64, base->scale + lane,
                           base->bias != NULL ? base->bias + lane : NULL, count, base->groups};
  size_t found = wn_scan()->scan(&blocks, &w->query, seek->least, seek->hit_at, seek->hit_score);
  wn_hits hits = {base->ids + lane, blocks.scale, seek->hit_at, seek->hit_score, found, w->width};
  wn_seek_base_hits(seek, &hits);
  seek->trace.lanes_scanned += (uint64_t)count * WN_SCAN_LANES;
  for (uint32_t b = block; w->done != NULL && b < block + count; b++) {
    w->done[b >> 6] |= (uint64_t)1 << (b & 63);
  }
}

static void scan_list(walk *w, uint32_t list) {
  const wn_base *base = w->seek->base;
  uint32_t run = 0, end = base->lists[list + 1];
  wn_list_view view = w->views[list];
  bool l2 = base->bias != NULL;
  float slack = l2 ? 40 * w->seek->probe.slack : 0;
  for (uint32_t b = base->lists[list]; b < end; b++) {
    bool want = wn_block_bound(base->bounds + b, l2, view, w->kappa, slack) >= w->seek->least;
    if (want && w->done != NULL) want = ((w->done[b >> 6] >> (b & 63)) & 1) == 0;
    run += want;
    if (run > 0 && (!want || run == WN_SEEK_RUN)) {
      scan_run(w, b - run + want, run);
      run = 0;
    }
  }
  if (run > 0) scan_run(w, end - run, run);
}

/* A heap of lists, greatest estimate on top. */
typedef struct ranked {
  float bound;
  uint32_t list;
} ranked;

static void sift(ranked *heap, size_t len, size_t i) {
  ranked moving = heap[i];
  for (size_t child; (child = 2 * i + 1) < len; i = child) {
    if (child + 1 < len && heap[child + 1].bound > heap[child].bound) child++;
    if (!(heap[child].bound > moving.bound)) break;
    heap[i] = heap[child];
  }
  heap[i] = moving;
}

/* The lists of which the first block reaches the bound so far. */
static size_t rank_lists(walk *w, ranked *heap) {
  const wn_base *base = w->seek->base;
  bool l2 = base->bias != NULL;
  float slack = l2 ? 40 * w->seek->probe.slack : 0;
  size_t len = 0;
  for (uint32_t l = 0; l < base->head.lists; l++) {
    float bound = wn_block_bound(&base->tops[l], l2, w->views[l], w->kappa, slack);
    heap[len] = (ranked){bound, l};
    len += bound >= w->seek->least;
  }
  for (size_t i = len / 2; i-- > 0;) sift(heap, len, i);
  return len;
}

static inline void prefetch_list(const wn_base *base, uint32_t list) {
  uint32_t first = base->lists[list];
  const uint8_t *codes = base->codes + (size_t)first * base->groups * 64;
  __builtin_prefetch(base->bounds + first);
  __builtin_prefetch(base->bounds + first + 6);
  __builtin_prefetch(base->scale + (size_t)first * WN_SCAN_LANES);
  for (size_t g = 0; g < base->groups && g < 32; g++) __builtin_prefetch(codes + g * 64);
}

#define AHEAD 4u

static bool walk_best(walk *w) {
  const wn_base *base = w->seek->base;
  ranked *heap = wn_arena_alloc(w->seek->arena, (base->head.lists + 1) * sizeof *heap);
  if (heap == NULL) return false;
  size_t len = rank_lists(w, heap);
  ranked next[AHEAD]; /* a queue of the best, their memory under way */
  unsigned first = 0, waiting = 0;
  for (;;) {
    while (waiting < AHEAD && len > 0) {
      next[(first + waiting++) % AHEAD] = heap[0];
      prefetch_list(base, heap[0].list);
      heap[0] = heap[--len];
      if (len > 0) sift(heap, len, 0);
    }
    if (waiting == 0 || !(next[first].bound >= w->seek->least)) return true;
    scan_list(w, next[first].list);
    first = (first + 1) % AHEAD;
    waiting--;
  }
}

bool wn_seek_lists(wn_seek *seek, float kappa, bool exact) {
  const wn_base *base = seek->base;
  walk w = {.seek = seek, .kappa = kappa, .query = seek->probe.scan};
  wn_code_fit fit = {base->head.code_error, base->head.code_norm};
  w.query.offset = seek->eta * wn_probe_offset(&seek->probe, fit);
  w.width = wn_seek_width(seek, fit);
  w.views = wn_arena_alloc(seek->arena, base->head.lists * sizeof *w.views);
  if (w.views == NULL || !view_lists(seek, w.views)) return false;
  if (exact) {
    w.done =
        wn_arena_calloc(seek->arena, ((size_t)base->head.blocks + 63) / 64 + 1, sizeof *w.done);
    if (w.done == NULL) return false;
  }
  if (!walk_best(&w)) return false;
  if (!exact) return true;
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

float wn_eta_for(uint32_t dims) {
  float eta = 2 / sqrtf((float)dims);
  return eta < 1 ? eta : 1;
}
