/* Searches that share one pass over the codes: list by list, 128 blocks at a time, sixteen queries
 * at a time. A block is scanned for all sixteen when its bound reaches the k-th best score of one
 * of them. The codes of a chunk stay in the cache for all tiles of queries, and the kernel loads a
 * line once for a tile. */
#include "index/seek.h"
#include "base/simd/simd.h"

#include <math.h>

#define CHUNK 128u
#define FIRST 256u /* blocks that are scanned in short runs, since `least` still rises quickly */

typedef struct pass {
  const wn_base *base;
  wn_seek *seeks;
  wn_scan_query *queries;
  wn_list_view **views; /* [count] of [lists] */
  wn_scan_found found[WN_SCAN_MANY];
  float kappa;
} pass;

/* Queries first … first + count − 1. */
typedef struct tile {
  size_t first, count;
} tile;

/* What a tile's queries ask of the blocks of one list; see wn_block_bound. */
typedef struct asked {
  float with[WN_SCAN_MANY], against[WN_SCAN_MANY]; /* of the highest and of the lowest along c */
  float across[WN_SCAN_MANY];
  float least[WN_SCAN_MANY]; /* infinity: no query */
} asked;

static void ask(const pass *p, tile t, uint32_t list, asked *a) {
  for (size_t q = 0; q < WN_SCAN_MANY; q++) {
    bool there = q < t.count;
    wn_list_view view = there ? p->views[t.first + q][list] : (wn_list_view){0};
    a->with[q] = view.along > 0 ? view.along : 0;
    a->against[q] = view.along > 0 ? 0 : view.along;
    a->across[q] = p->kappa * view.across;
    a->least[q] = there ? p->seeks[t.first + q].least : INFINITY;
  }
}

/* All at once: most blocks are wanted by some or by none. */
static bool wants(const asked *a, wn_bound block) {
  int any = 0;
  for (size_t q = 0; q < WN_SCAN_MANY; q++) {
    float bound = block.high * a->with[q] + block.low * a->against[q] + block.rest * a->across[q];
    any |= bound >= a->least[q];
  }
  return any != 0;
}

static bool wants_l2(const pass *p, tile t, uint32_t list, uint32_t block) {
  for (size_t q = t.first; q < t.first + t.count; q++) {
    const wn_seek *seek = &p->seeks[q];
    float slack = WN_L2_SLACK * seek->probe.slack;
    float bound = wn_block_bound(p->base->bounds + block, true, p->views[q][list], p->kappa, slack);
    if (bound >= seek->least) return true;
  }
  return false;
}

static void scan_run(pass *p, tile t, uint32_t block, uint32_t count) {
  const wn_base *base = p->base;
  size_t lane = (size_t)block * WN_SCAN_LANES;
  wn_scan_blocks blocks = {base->codes + (size_t)block * base->groups * 64, base->fits + block,
                           base->bias != NULL ? base->bias + lane : NULL, count, base->groups};
  float least[WN_SCAN_MANY];
  for (size_t i = 0; i < t.count; i++) least[i] = p->seeks[t.first + i].least;
  wn_scan()->scan_many(&blocks, p->queries + t.first, t.count, least, p->found);
  for (size_t i = 0; i < t.count; i++) {
    wn_seek *seek = &p->seeks[t.first + i];
    const wn_scan_found *found = &p->found[i];
    seek->trace.lanes_scanned += (uint64_t)count * WN_SCAN_LANES;
    if (found->count == 0) continue;
    wn_hits hits = {base->ids + lane, blocks.fit,   p->queries + t.first + i,
                    found->at,        found->score, found->count};
    wn_seek_base_hits(seek, &hits);
  }
}

/* The same for all queries: a chunk of blocks, and between what their bounds lie. */
typedef struct chunk {
  uint32_t list, block, end;
  wn_bound most, least;
} chunk;

static inline float more(float a, float b) {
  return a > b ? a : b;
}

static inline float less(float a, float b) {
  return a < b ? a : b;
}

static chunk chunk_of(const wn_base *base, uint32_t list, uint32_t block, uint32_t end) {
  wn_bound most = base->bounds[block], least = most;
  for (uint32_t b = block + 1; b < end; b++) {
    wn_bound x = base->bounds[b];
    most = (wn_bound){more(x.high, most.high), less(x.low, most.low), more(x.rest, most.rest)};
    least = (wn_bound){less(x.high, least.high), more(x.low, least.low), less(x.rest, least.rest)};
  }
  return (chunk){list, block, end, most, least};
}

static void scan_chunk(pass *p, tile t, const chunk *c) {
  bool l2 = p->base->bias != NULL, all = false;
  uint32_t run = 0;
  asked a;
  ask(p, t, c->list, &a);
  if (!l2 && !wants(&a, c->most)) return;
  for (uint32_t b = c->block; b < c->end; b++) {
    if (!l2 && run == 0) all = wants(&a, c->least); /* and so each block is */
    bool want = all || (l2 ? wants_l2(p, t, c->list, b) : wants(&a, p->base->bounds[b]));
    run += want;
    if (run > 0 && (!want || (run == WN_SEEK_RUN && b < FIRST))) {
      scan_run(p, t, b - run + want, run);
      run = 0;
      ask(p, t, c->list, &a);
    }
  }
  if (run > 0) scan_run(p, t, c->end - run, run);
}

static bool prepare(pass *p, size_t count, wn_arena *arena) {
  size_t room = (CHUNK + 1) * WN_SCAN_LANES, lists = p->base->head.lists;
  p->queries = wn_arena_alloc(arena, count * sizeof *p->queries);
  p->views = wn_arena_alloc(arena, count * sizeof *p->views);
  if (p->queries == NULL || p->views == NULL) return false;
  for (size_t q = 0; q < count; q++) {
    p->queries[q] = wn_seek_query(&p->seeks[q]);
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

bool wn_seek_pass(wn_seek *seeks, size_t count, float kappa, wn_arena *arena) {
  const wn_base *base = seeks[0].base;
  pass p = {.base = base, .seeks = seeks, .kappa = kappa};
  if (!prepare(&p, count, arena)) return false;
  for (uint32_t list = 0; list < base->head.lists; list++) {
    uint32_t end = base->lists[list + 1];
    for (uint32_t b = base->lists[list]; b < end; b += CHUNK) {
      chunk c = chunk_of(base, list, b, end - b < CHUNK ? end : b + CHUNK);
      for (uint32_t ahead = b + CHUNK; ahead < b + 2 * CHUNK && ahead < end; ahead++) {
        __builtin_prefetch(base->ids + (size_t)ahead * WN_SCAN_LANES); /* of the hits */
      }
      for (size_t q = 0; q < count; q += WN_SCAN_MANY) {
        tile t = {q, count - q < WN_SCAN_MANY ? count - q : WN_SCAN_MANY};
        scan_chunk(&p, t, &c);
      }
    }
  }
  return true;
}
