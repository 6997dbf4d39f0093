/* Thompson sampling of candidates.
 *
 *   Thompson (1933); Chapelle and Li (NeurIPS 2011): Beta–Bernoulli on answers of impressions.
 *
 * An item's posterior is Beta(α, β), α = prior · m + answered, β = prior · (1 − m) + shown −
 * answered, counts of this surface (live), m the surface's own rate (answered + 1) / (shown + 20):
 * an item without impressions is believed to be like the others, by the weight of `prior`
 * impressions. The candidates that take part are the `among` best by score, so that what is
 * relevant is the funnel's to say; of these a place goes to each with the probability that its
 * draw is the largest. Nothing is drawn per item: the winner is drawn by these odds (contest.h), so
 * the propensity is that which it was drawn by. A whole slate is drawn place by place, each anew
 * among what is left: a product of exact conditionals, where one draw for all places would leave
 * conditionals that are integrals over the order of the draws.
 *
 * Cost: one contest a slate and slot, README.md. */
#include "funnel/posterior.h"

#include <math.h>

#define RATE_ANSWERED 1.0
#define RATE_SHOWN    20.0

static wn_status beliefs(const wn_posterior *p, wn_funnel *funnel, wn_belief *out, wn_error *err) {
  const wn_exposed *exposed = funnel->request->exposed;
  wn_tally all = {0, 0}, *of = wn_arena_calloc(funnel->arena, p->len + 1, sizeof *of);
  wn_item_ix *items = wn_arena_alloc(funnel->arena, (p->len + 1) * sizeof *items);
  if (of == NULL || items == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < p->len; i++) items[i] = funnel->candidates[p->candidate[i]].item;
  if (exposed != NULL) exposed->tally(exposed->ctx, items, p->len, of, &all);
  double rate = ((double)all.answered + RATE_ANSWERED) / ((double)all.shown + RATE_SHOWN);
  for (size_t i = 0; i < p->len; i++) {
    double shown = (double)of[i].shown, answered = (double)of[i].answered;
    double prior = (double)p->slot->prior;
    out[i] = (wn_belief){prior * rate + answered, prior * (1 - rate) + fmax(0, shown - answered)};
  }
  return WN_OK;
}

wn_status wn_posterior_init(wn_posterior *p, wn_funnel *funnel, const wn_slot *slot,
                            const uint8_t *state, const wn_bitset *where, wn_error *err) {
  size_t among = slot->among < funnel->candidates_len ? slot->among : funnel->candidates_len;
  wn_arena *arena = funnel->arena;
  wn_status status = WN_OK;
  *p = (wn_posterior){.slot = slot};
  p->candidate = wn_arena_alloc(arena, (among + 1) * sizeof *p->candidate);
  p->in = wn_arena_alloc(arena, among + 1);
  p->odds = wn_arena_alloc(arena, (among + 1) * sizeof *p->odds);
  p->p = wn_arena_calloc(arena, funnel->candidates_len + 1, sizeof *p->p);
  wn_belief *believed = wn_arena_alloc(arena, (among + 1) * sizeof *believed);
  if (p->candidate == NULL || p->in == NULL || p->odds == NULL || p->p == NULL || believed == NULL)
    return wn_fail_memory(err);
  for (size_t i = 0; i < funnel->candidates_len && p->len < among; i++)
    if (state[i] == 0 && (where == NULL || wn_bitset_test(where, funnel->candidates[i].item)))
      p->candidate[p->len++] = i;
  WN_TRY(beliefs(p, funnel, believed, err));
  size_t places = slot->position > 0 ? 1 : funnel->n;
  if (!wn_contest_init(&p->contest, WN_BELIEF_BETA, believed, p->len, places, arena))
    status = wn_fail_memory(err);
cleanup:
  return status;
}

wn_lot wn_posterior_lot(wn_posterior *p, const wn_funnel *funnel, const uint8_t *state) {
  wn_lot lot = {.sure = funnel->candidates_len};
  bool any = false;
  for (size_t i = 0; i < p->len; i++) any |= p->in[i] = state[p->candidate[i]] == 0;
  if (!any) return lot;
  (void)wn_contest_odds(&p->contest, p->in, p->odds);
  for (size_t i = 0; i < p->len; i++) p->p[p->candidate[i]] = p->odds[i];
  lot.p = p->p;
  lot.len = funnel->candidates_len;
  lot.explored = p->slot->explore;
  lot.why = wn_explore_names[p->slot->explore];
  return lot;
}
