/* Exact searches that share one pass over all codes: 64 blocks at a time, four queries at a time.
 * The codes of a chunk stay in the cache for all queries, and the kernel loads a code once for
 * four. */
#include "index/seek.h"
#include "base/simd/simd.h"

#define CHUNK 64u
#define TILE  4u

typedef struct pass {
  const wn_base *base;
  wn_seek *seeks;
  wn_scan_query *queries;
  float *scores;   /* [TILE][CHUNK·16] */
  uint32_t *above; /* [CHUNK·16] */
  float *hits;     /* [CHUNK·16] */
  wn_code_fit fit;
} pass;

static void take_hits(pass *p, wn_seek *seek, const float *scores, uint32_t block, size_t lanes) {
  size_t lane = (size_t)block * WN_SCAN_LANES;
  size_t count = wn_simd()->above(scores, lanes, seek->least, p->above);
  for (size_t i = 0; i < count; i++) p->hits[i] = scores[p->above[i]];
  wn_hits hits = {p->base->ids + lane,        p->base->scale + lane, p->above, p->hits, count,
                  wn_seek_width(seek, p->fit)};
  wn_seek_base_hits(seek, &hits);
  seek->trace.lanes_scanned += lanes;
}

bool wn_seek_pass(wn_seek *seeks, size_t count, wn_arena *arena) {
  const wn_base *base = seeks[0].base;
  const size_t lanes_max = CHUNK * WN_SCAN_LANES;
  pass p = {.base = base, .seeks = seeks};
  p.fit = (wn_code_fit){base->head.code_error, base->head.code_norm};
  p.queries = wn_arena_alloc(arena, count * sizeof *p.queries);
  p.scores = wn_arena_alloc(arena, TILE * lanes_max * sizeof *p.scores);
  p.above = wn_arena_alloc(arena, lanes_max * sizeof *p.above);
  p.hits = wn_arena_alloc(arena, lanes_max * sizeof *p.hits);
  if (p.queries == NULL || p.scores == NULL || p.above == NULL || p.hits == NULL) return false;
  for (size_t q = 0; q < count; q++) {
    p.queries[q] = seeks[q].probe.scan;
    p.queries[q].offset = seeks[q].eta * wn_probe_offset(&seeks[q].probe, p.fit);
  }
  for (uint32_t block = 0; block < base->head.blocks; block += CHUNK) {
    uint32_t n = base->head.blocks - block < CHUNK ? base->head.blocks - block : CHUNK;
    size_t lane = (size_t)block * WN_SCAN_LANES, lanes = (size_t)n * WN_SCAN_LANES;
    wn_scan_blocks blocks = {base->codes + (size_t)block * base->groups * 64, base->scale + lane,
                             base->bias != NULL ? base->bias + lane : NULL, n, base->groups};
    for (size_t q = 0; q < count; q += TILE) {
      size_t tile = count - q < TILE ? count - q : TILE;
      wn_scan()->score(&blocks, p.queries + q, tile, p.scores, lanes_max);
      for (size_t i = 0; i < tile; i++) {
        take_hits(&p, &seeks[q + i], p.scores + i * lanes_max, block, lanes);
      }
    }
  }
  return true;
}
