#include "serve/engine_duel.h"

#include "base/clock.h"
#include "base/rng.h"
#include "lab/interleave.h"
#include "serve/engine_passage.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static size_t place_of(const wn_slate_answer *slate, wn_item_ix item) {
  size_t i = 0;
  while (i < slate->len && slate->items[i].ix != item) i++;
  return i;
}

wn_status wn_duel_compare(const wn_slate_answer *a, const wn_slate_answer *b, const uint64_t us[2],
                          wn_arena *arena, wn_str *detail, wn_error *err) {
  char text[96];
  size_t shared = 0;
  for (size_t i = 0; i < a->len; i++) shared += place_of(b, a->items[i].ix) < b->len;
  bool first = a->len > 0 && b->len > 0 && a->items[0].ix == b->items[0].ix;
  snprintf(text, sizeof text, "%zu/%zu:%d:%" PRIu64 ":%" PRIu64, shared, a->len, first, us[0],
           us[1]);
  *detail = wn_arena_str(arena, wn_str_of(text));
  return detail->ptr != NULL ? WN_OK : wn_fail_memory(err);
}

static bool flip(void *rng) {
  return wn_rng_below(rng, 2) == 1;
}

static wn_status list_of(const wn_slate_answer *slate, wn_arena *arena, wn_ranking_list *out,
                         wn_error *err) {
  uint32_t *items = wn_arena_alloc(arena, (slate->len + 1) * sizeof *items);
  if (items == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < slate->len; i++) items[i] = slate->items[i].ix;
  *out = (wn_ranking_list){items, slate->len};
  return WN_OK;
}

/* The bits of `from`'s sources as those of `to`, which gets the names that it lacks. */
static uint32_t translate(uint32_t sources, const wn_slate_answer *from, wn_slate_answer *to) {
  uint32_t out = 0;
  for (size_t s = 0; s < from->source_count; s++) {
    size_t t = 0;
    if ((sources >> s & 1) == 0) continue;
    while (t < to->source_count && !wn_str_equal(to->source_names[t], from->source_names[s])) t++;
    if (t == sizeof to->source_names / sizeof *to->source_names || t >= 32) continue;
    if (t == to->source_count) to->source_names[to->source_count++] = from->source_names[s];
    out |= UINT32_C(1) << t;
  }
  return out;
}

wn_status wn_duel_interleave(wn_slate_answer *a, const wn_slate_answer *b, uint64_t seed,
                             wn_arena *arena, wn_str *detail, wn_error *err) {
  wn_status status = WN_OK;
  wn_rng rng;
  wn_ranking_list lists[2];
  WN_TRY(list_of(a, arena, &lists[0], err));
  WN_TRY(list_of(b, arena, &lists[1], err));
  size_t most = a->len + b->len + 1;
  uint32_t *list = wn_arena_alloc(arena, most * sizeof *list);
  uint8_t *team = wn_arena_alloc(arena, most);
  double *p = wn_arena_alloc(arena, most * sizeof *p);
  wn_slate_answer_item *items = wn_arena_alloc(arena, most * sizeof *items);
  if (list == NULL || team == NULL || p == NULL || items == NULL) WN_TRY(wn_fail_memory(err));
  wn_rng_seed(&rng, wn_mix64(seed));
  size_t len = wn_team_draft(lists, a->len > b->len ? a->len : b->len, flip, &rng, list, team);
  wn_team_draft_propensity(lists, list, len, p);
  for (size_t i = 0; i < len; i++) {
    const wn_slate_answer *from = team[i] == 0 ? a : b;
    items[i] = from->items[place_of(from, list[i])];
    items[i].propensity = (float)p[i];
    if (team[i] == 1) items[i].sources = translate(items[i].sources, b, a);
    team[i] = (uint8_t)('0' + team[i]);
  }
  a->items = items;
  a->len = len;
  *detail = (wn_str){(const char *)team, len};
cleanup:
  return status;
}

wn_status wn_duel_log(wn_str arms, const char *experiment, wn_str detail, wn_arena *arena,
                      wn_str *out, wn_error *err) {
  wn_str mode = wn_assigned_find(arms, experiment);
  char *text = wn_arena_alloc(arena, arms.len + detail.len + 1);
  if (text == NULL) return wn_fail_memory(err);
  size_t head = mode.ptr != NULL ? (size_t)(mode.ptr - arms.ptr) + mode.len : arms.len;
  memcpy(text, arms.ptr, head);
  text[head] = ':';
  if (detail.len > 0) memcpy(text + head + 1, detail.ptr, detail.len);
  memcpy(text + head + 1 + detail.len, arms.ptr + head, arms.len - head);
  *out = (wn_str){text, arms.len + detail.len + 1};
  return WN_OK;
}

/* ---- on a request ---- */

/* The challenger's slate, and what becomes of both. `q`: the passage before the champion ran. One
 * that fails is logged as such and costs nobody a slate. */
static wn_status run_duel(wn_passage *p, wn_passage *q, uint64_t champion_us, wn_error *err) {
  wn_status status = WN_OK;
  wn_error why = {0};
  wn_str detail = WN_STR("failed");
  const wn_experiment *e = p->assigned[p->duel].experiment;
  q->out = wn_arena_calloc(p->arena, 1, sizeof *q->out);
  q->assigned = wn_arena_alloc(p->arena, p->assigned_len * sizeof *q->assigned);
  if (q->out == NULL || q->assigned == NULL) return wn_fail_memory(err);
  memcpy(q->assigned, p->assigned, p->assigned_len * sizeof *q->assigned);
  q->assigned[p->duel].arm = 1;
  q->pin = 0;
  uint64_t start = wn_mono_ns();
  WN_TRY(wn_passage_surface(q, err));
  WN_TRY(wn_passage_apply_arms(q, q->assigned, q->assigned_len, err));
  q->funnel.surface = q->surface;
  q->funnel.explain = false;
  if (wn_passage_run(q, &why) == WN_OK) {
    const uint64_t us[2] = {champion_us, (wn_mono_ns() - start) / 1000};
    if (e->mode == WN_MODE_SHADOW)
      WN_TRY(wn_duel_compare(p->out, q->out, us, p->arena, &detail, err));
    else
      WN_TRY(wn_duel_interleave(p->out, q->out, p->funnel.query.seed, p->arena, &detail, err));
    if (e->mode == WN_MODE_INTERLEAVE) p->slate.features = 0; /* the rankers may differ */
  }
  WN_TRY(wn_duel_log(p->out->arms, e->name, detail, p->arena, &p->arms, err));
cleanup:
  return status;
}

wn_status wn_passage_run_both(wn_passage *p, wn_error *err) {
  wn_passage q = *p;
  uint64_t start = wn_mono_ns();
  wn_status status = wn_passage_run(p, err);
  uint64_t us = (wn_mono_ns() - start) / 1000;
  return status == WN_OK && p->duel != SIZE_MAX ? run_duel(p, &q, us, err) : status;
}
