/* Lists of many users by one pass over the items for every WN_PANEL of them: the products of a
 * block of items with a panel of folded-in users stay in registers (base/simd), and only those that
 * may enter a list come out.
 *
 * The panel's sums are those of int8 codes (als_codes.c) where the CPU multiplies them faster, else
 * of floats, rounded in another order than those of candidates(). So they only filter: what the
 * error bound does not exclude from a user's list is computed again by the kernel that candidates()
 * uses, and the lists are the same bit for bit. About k·(1 + ln(I/k)) items of a user get that far;
 * the codes add some 20 to 50 to k = 100 of 41,000.
 *
 * Items lie by falling norm, so a user is done where no item left can reach her k-th score
 * (Cauchy–Schwarz), and a panel where all its users are. Cost of a panel: a fold-in each, at most
 * WN_PANEL · rows · d multiply-adds. Memory: WN_PANEL · d floats or codes beside the fold-ins, and
 * the codes of all items once. Threads: none here; callers hand out batches. */
#include "model/als.h"
#include "model/query.h"
#include "base/simd/scan.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

_Static_assert(WN_PANEL == WN_SCAN_PANEL, "both kernels take the same panels");

typedef struct slot {
  size_t at; /* in the batch */
  const float *x;
  float norm;
  wn_als_code code;
  wn_topk top;
} slot;

typedef struct panel {
  const wn_als *als;
  const wn_als_codes *codes; /* NULL: products of floats are as fast */
  const wn_query_batch *batch;
  float *x;       /* [d × WN_PANEL] without codes */
  uint8_t *coded; /* [groups × WN_PANEL × 4] with them */
  union {
    float product[WN_PANEL];
    int32_t sum[WN_PANEL];
  } least;
  slot slots[WN_PANEL];
  size_t len;
} panel;

static void nobody_asks(panel *p, size_t c) {
  if (p->codes != NULL) {
    p->least.sum[c] = INT32_MAX;
  } else {
    p->least.product[c] = INFINITY;
  }
}

static void asks(panel *p, size_t c, uint32_t begin, float worst, float norm) {
  const slot *s = &p->slots[c];
  const float unit = 0x1p-24f;
  if (p->codes != NULL) {
    p->least.sum[c] = wn_als_code_least(&s->code, &p->codes->block[begin / WN_ALS_CODED], worst);
  } else { /* 2·γ, with room for the rounding of the norms and of what follows */
    float error = 2.1f * (float)(p->als->head.d + 4) * unit * 1.05f * norm;
    p->least.product[c] = worst - error * s->norm - 1e-37f;
  }
}

/* What each user asks of the items from `begin` on; false: nobody asks for anything. */
static bool ask_for(panel *p, uint32_t begin) {
  const float scale = p->als->item_scale[begin];
  const float norm = scale > 0 ? 1 / scale : 0; /* of the longest item left */
  bool any = false;
  for (size_t c = 0; c < p->len; c++) {
    const slot *s = &p->slots[c];
    float worst = s->top.len < s->top.k ? -INFINITY : s->top.heap[0].score;
    if (scale > 0 && s->norm * norm * 1.0001f < worst) {
      nobody_asks(p, c);
    } else {
      asks(p, c, begin, worst, norm);
      any = true;
    }
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

static void arrange(panel *p) {
  const size_t d = p->als->head.d;
  for (size_t c = 0; c < p->len; c++) {
    slot *s = &p->slots[c];
    if (p->codes != NULL) {
      s->code = wn_als_code_query(s->x, d, c, p->coded);
    } else {
      for (size_t k = 0; k < d; k++) p->x[k * WN_PANEL + c] = s->x[k];
    }
  }
  for (size_t c = p->len; c < WN_PANEL; c++) nobody_asks(p, c);
}

/* Rows begin … begin + count − 1: which of them may enter whose list. */
static size_t find_hits(const panel *p, size_t begin, size_t count, uint32_t *hits) {
  const size_t d = p->als->head.d;
  if (p->codes != NULL) {
    const size_t groups = p->codes->groups;
    const wn_scan_panel sums = {.rows = p->codes->rows + begin * 4 * groups,
                                .start = p->codes->start + begin,
                                .count = count,
                                .groups = groups,
                                .x = p->coded,
                                .least = p->least.sum};
    return wn_scan()->panel_above(&sums, hits);
  }
  const wn_simd_panel products = {.rows = p->als->item + begin * d,
                                  .count = count,
                                  .ld = d,
                                  .n = d,
                                  .x = p->x,
                                  .least = p->least.product};
  return wn_simd()->panel_above(&products, hits);
}

static void run_panel(panel *p) {
  const uint32_t rows = p->als->head.rows;
  uint32_t hits[WN_ALS_CODED * WN_PANEL];
  arrange(p);
  for (uint32_t begin = 0; begin < rows && ask_for(p, begin); begin += WN_ALS_CODED) {
    size_t count = rows - begin < WN_ALS_CODED ? rows - begin : WN_ALS_CODED;
    size_t len = find_hits(p, begin, count, hits);
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

static bool panel_init(panel *p, wn_arena *arena) {
  const size_t d = p->als->head.d;
  if (!wn_scan()->panel_pays) {
    p->x = wn_arena_calloc(arena, d * WN_PANEL, sizeof *p->x);
    return p->x != NULL;
  }
  p->codes = wn_als_codes_of(p->als);
  p->coded = wn_arena_calloc(arena, wn_als_code_groups(d), WN_PANEL * 4);
  return p->codes != NULL && p->coded != NULL;
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
  if (!panel_init(&p, arena)) status = wn_fail_memory(err);
  for (size_t at = 0; status == WN_OK && at < batch->len; at++) status = add(&p, at, arena, err);
  if (status == WN_OK && p.len > 0) run_panel(&p);
  wn_arena_clear(&local);
  return status;
}
