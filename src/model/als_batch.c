/* Lists of many users by one pass over the items for every WN_PANEL of them: the products of a
 * block of items with a panel of folded-in users stay in registers (base/simd), and only those that
 * may enter a list come out.
 *
 * The panel's sums are rounded in another order than those of candidates(). So they only filter:
 * what lies within their error bound of a user's k-th score, or above, is computed again by the
 * kernel that candidates() uses, and the lists are the same bit for bit. About k·(1 + ln(I/k))
 * items of a user get that far.
 *
 * Items lie by falling norm, so a user is done where no item left can reach her k-th score
 * (Cauchy–Schwarz), and a panel where all its users are. Cost of a panel: a fold-in each, at most
 * WN_PANEL · rows · d multiply-adds. Memory: WN_PANEL · d floats beside the fold-ins. Threads:
 * none here; callers hand out batches. */
#include "model/als.h"
#include "model/query.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define ROWS 64 /* items between two looks at the lists */

typedef struct slot {
  size_t at; /* in the batch */
  const float *x;
  float norm;
  wn_topk top;
} slot;

typedef struct panel {
  const wn_als *als;
  const wn_query_batch *batch;
  float *x; /* [d × WN_PANEL] */
  float least[WN_PANEL];
  slot slots[WN_PANEL];
  size_t len;
} panel;

/* What each user asks of the items from `begin` on; false: nobody asks for anything. */
static bool ask_for(panel *p, uint32_t begin) {
  const size_t d = p->als->head.d;
  const float unit = 0x1p-24f, scale = p->als->item_scale[begin];
  const float norm = scale > 0 ? 1 / scale : 0; /* of the longest item left */
  /* 2·γ, with room for the rounding of the norms and of what follows */
  const float error = 2.1f * (float)(d + 4) * unit * 1.05f * norm;
  bool any = false;
  for (size_t c = 0; c < p->len; c++) {
    const slot *s = &p->slots[c];
    if (s->top.len < s->top.k) {
      p->least[c] = -INFINITY;
    } else {
      float worst = s->top.heap[0].score;
      bool done = scale > 0 && s->norm * norm * 1.0001f < worst;
      p->least[c] = done ? INFINITY : worst - error * s->norm - 1e-37f;
    }
    any |= p->least[c] < INFINITY;
  }
  return any;
}

static void offer(panel *p, uint32_t row, size_t c) {
  const wn_als *als = p->als;
  slot *s = &p->slots[c];
  wn_item_ix ix = als->item_of[row];
  if (wn_als_live_at(als, ix) != 0 || !wn_query_allows(&p->batch->query[s->at], ix)) return;
  wn_topk_push(&s->top, ix,
               wn_simd()->dot(als->item + (size_t)row * als->head.d, s->x, als->head.d));
}

static void run_panel(panel *p) {
  const wn_als *als = p->als;
  const size_t d = als->head.d;
  uint32_t hits[ROWS * WN_PANEL];
  memset(p->x, 0, d * WN_PANEL * sizeof *p->x);
  for (size_t c = 0; c < p->len; c++)
    for (size_t k = 0; k < d; k++) p->x[k * WN_PANEL + c] = p->slots[c].x[k];
  for (size_t c = p->len; c < WN_PANEL; c++) p->least[c] = INFINITY;
  for (uint32_t begin = 0; begin < als->head.rows && ask_for(p, begin); begin += ROWS) {
    uint32_t left = als->head.rows - begin;
    const wn_simd_panel product = {.rows = als->item + (size_t)begin * d,
                                   .count = left < ROWS ? left : ROWS,
                                   .ld = d,
                                   .n = d,
                                   .x = p->x,
                                   .least = p->least};
    size_t len = wn_simd()->panel_above(&product, hits);
    for (size_t i = 0; i < len; i++) offer(p, begin + hits[i] / WN_PANEL, hits[i] % WN_PANEL);
  }
  for (size_t c = 0; c < p->len; c++)
    p->batch->count[p->slots[c].at] = wn_topk_sort(&p->slots[c].top);
  p->len = 0;
}

/* Into the panel, or, where there is nothing to fold in (nobody known, an anchor), by itself. */
static wn_status add(panel *p, size_t at, wn_arena *arena, wn_error *err) {
  const wn_query_batch *batch = p->batch;
  wn_scored *out = batch->out + at * batch->k;
  const float *x = NULL;
  wn_status status = wn_als_fold_in(p->als, &batch->query[at], arena, &x, err);
  if (status != WN_OK) return status;
  if (x == NULL)
    return wn_model_als.candidates(&p->als->base, &batch->query[at], batch->k, out,
                                   &batch->count[at], err);
  slot *s = &p->slots[p->len++];
  *s = (slot){.at = at, .x = x, .norm = sqrtf(wn_simd()->dot(x, x, p->als->head.d))};
  wn_topk_init(&s->top, out, batch->k);
  wn_als_offer_live(p->als, &batch->query[at], x, &s->top);
  if (p->len == WN_PANEL) run_panel(p);
  return WN_OK;
}

wn_status wn_als_candidates_batch(const wn_model *model, const wn_query_batch *batch,
                                  wn_error *err) {
  panel p = {.als = (const wn_als *)model, .batch = batch};
  wn_arena local, *arena;
  wn_status status = WN_OK;
  if (batch->len == 0) return WN_OK;
  memset(batch->count, 0, batch->len * sizeof *batch->count);
  if (batch->k == 0) return WN_OK;
  arena = wn_query_arena(&batch->query[0], &local);
  p.x = wn_arena_alloc(arena, (size_t)p.als->head.d * WN_PANEL * sizeof *p.x);
  if (p.x == NULL) status = wn_fail_memory(err);
  for (size_t at = 0; status == WN_OK && at < batch->len; at++) status = add(&p, at, arena, err);
  if (status == WN_OK && p.len > 0) run_panel(&p);
  wn_arena_clear(&local);
  return status;
}
