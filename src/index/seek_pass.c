/* Exact searches that share one pass over the codes: list by list, 64 blocks at a time, eight
 * queries at a time. A block is scanned for all eight when its bound reaches the k-th best score of
 * one of them. The codes of a chunk stay in the cache for all tiles of queries, and the kernel
 * loads a line once for eight. */
#include "index/seek.h"
#include "base/simd/simd.h"

#define CHUNK 64u

typedef struct pass {
  const wn_base *base;
  wn_seek *seeks;
  wn_scan_query *queries;
  wn_list_view **views; /* [count] of [lists] */
  wn_scan_found found[WN_SCAN_MANY];
  wn_code_fit fit;
} pass;

/* Queries first … first + count − 1. */
typedef struct tile {
  size_t first, count;
} tile;

static bool wants(const pass *p, tile t, uint32_t list, uint32_t block) {
  bool l2 = p->base->bias != NULL;
  for (size_t q = t.first; q < t.first + t.count; q++) {
    const wn_seek *seek = &p->seeks[q];
    float slack = l2 ? WN_L2_SLACK * seek->probe.slack : 0;
    float bound = wn_block_bound(p->base->bounds + block, l2, p->views[q][list], 1, slack);
    if (bound >= seek->least) return true;
  }
  return false;
}

static void scan_run(pass *p, tile t, uint32_t block, uint32_t count) {
  const wn_base *base = p->base;
  size_t lane = (size_t)block * WN_SCAN_LANES;
  wn_scan_blocks blocks = {base->codes + (size_t)block * base->groups * 64, base->scale + lane,
                           base->bias != NULL ? base->bias + lane : NULL, count, base->groups};
  float least[WN_SCAN_MANY];
  for (size_t i = 0; i < t.count; i++) least[i] = p->seeks[t.first + i].least;
  wn_scan()->scan_many(&blocks, p->queries + t.first, t.count, least, p->found);
  for (size_t i = 0; i < t.count; i++) {
    wn_seek *seek = &p->seeks[t.first + i];
    const wn_scan_found *found = &p->found[i];
    wn_hits hits = {base->ids + lane, blocks.scale, found->at,
                    found->score,     found->count, wn_seek_width(seek, p->fit)};
    wn_seek_base_hits(seek, &hits);
    seek->trace.lanes_scanned += (uint64_t)count * WN_SCAN_LANES;
  }
}

static void scan_chunk(pass *p, tile t, uint32_t list, uint32_t block, uint32_t end) {
  uint32_t run = 0;
  for (; block < end; block++) {
    bool want = wants(p, t, list, block);
    run += want;
    if (run > 0 && (!want || run == WN_SEEK_RUN)) {
      scan_run(p, t, block - run + want, run);
      run = 0;
    }
  }
  if (run > 0) scan_run(p, t, end - run, run);
}

static bool prepare(pass *p, size_t count, wn_arena *arena) {
  size_t room = (WN_SEEK_RUN + 1) * WN_SCAN_LANES, lists = p->base->head.lists;
  p->queries = wn_arena_alloc(arena, count * sizeof *p->queries);
  p->views = wn_arena_alloc(arena, count * sizeof *p->views);
  if (p->queries == NULL || p->views == NULL) return false;
  for (size_t q = 0; q < count; q++) {
    p->queries[q] = p->seeks[q].probe.scan;
    p->queries[q].offset = p->seeks[q].eta * wn_probe_offset(&p->seeks[q].probe, p->fit);
    p->views[q] = wn_arena_alloc(arena, lists * sizeof **p->views);
    if (p->views[q] == NULL || !wn_seek_views(&p->seeks[q], true, p->views[q])) return false;
  }
  for (size_t i = 0; i < WN_SCAN_MANY; i++) {
    p->found[i].at = wn_arena_alloc(arena, room * sizeof *p->found[i].at);
    p->found[i].score = wn_arena_alloc(arena, room * sizeof *p->found[i].score);
    if (p->found[i].at == NULL || p->found[i].score == NULL) return false;
  }
  return true;
}

bool wn_seek_pass(wn_seek *seeks, size_t count, wn_arena *arena) {
  const wn_base *base = seeks[0].base;
  pass p = {.base = base, .seeks = seeks, .fit = {base->head.code_error, base->head.code_norm}};
  if (!prepare(&p, count, arena)) return false;
  for (uint32_t list = 0; list < base->head.lists; list++) {
    uint32_t end = base->lists[list + 1];
    for (uint32_t b = base->lists[list]; b < end; b += CHUNK) {
      for (size_t q = 0; q < count; q += WN_SCAN_MANY) {
        tile t = {q, count - q < WN_SCAN_MANY ? count - q : WN_SCAN_MANY};
        scan_chunk(&p, t, list, b, end - b < CHUNK ? end : b + CHUNK);
      }
    }
  }
  return true;
}
