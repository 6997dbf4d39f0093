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
 * The linear ones (linear.c) have normal beliefs. LinUCB puts the one whose mean plus deviation is
 * largest, ties to the better score: no chance but its slot's `share`.
 *
 * A trial is the same contest over items that nobody need have proposed: new ones that have had
 * their guaranteed impressions and not yet as many as they may. Uniform budgets spend most of what
 * they have on items that are told to be bad early; the contest gives what is left to those that
 * may still be good. When more are on trial than may take part, those of the highest posterior mean
 * do, ties to the lower item.
 *
 * Cost: one contest a slate and slot, README.md. */
#include "funnel/posterior.h"

#include "funnel/linear.h"

#include <math.h>

#define RATE_ANSWERED 1.0
#define RATE_SHOWN    20.0

/* belief[i] of items[i]. */
static wn_status by_counts(wn_funnel *funnel, double prior, const wn_item_ix *items, size_t len,
                           wn_belief *belief, wn_error *err) {
  const wn_exposed *exposed = funnel->request->exposed;
  wn_tally all = {0, 0}, *of = wn_arena_calloc(funnel->arena, len + 1, sizeof *of);
  if (of == NULL) return wn_fail_memory(err);
  if (exposed != NULL) exposed->tally(exposed->ctx, items, len, of, &all);
  double rate = ((double)all.answered + RATE_ANSWERED) / ((double)all.shown + RATE_SHOWN);
  for (size_t i = 0; i < len; i++) {
    double shown = (double)of[i].shown, answered = (double)of[i].answered;
    belief[i] =
        (wn_belief){prior * rate + answered, prior * (1 - rate) + fmax(0, shown - answered)};
  }
  return WN_OK;
}

static wn_status by_candidates(wn_posterior *p, wn_funnel *funnel, wn_error *err) {
  wn_item_ix *items = wn_arena_alloc(funnel->arena, (p->len + 1) * sizeof *items);
  if (items == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < p->len; i++) items[i] = funnel->candidates[p->candidate[i]].item;
  return by_counts(funnel, (double)p->slot->prior, items, p->len, p->belief, err);
}

#define DEVIATION_LEAST 1e-9

static void by_ridge(wn_posterior *p, wn_funnel *funnel, const wn_takers *takers) {
  const wn_exposed *exposed = funnel->request->exposed;
  wn_linear sums = {.shown = 0};
  wn_linear_fit ridge = {{{0}}, {0}};
  if (exposed != NULL) exposed->linear(exposed->ctx, &sums);
  wn_linear_solve(&sums, &ridge);
  for (size_t i = 0; i < p->len; i++) {
    p->belief[i] = wn_linear_belief(&ridge, &takers->rows[p->candidate[i]], (double)p->slot->width);
    p->belief[i].b = fmax(p->belief[i].b, DEVIATION_LEAST);
  }
  wn_funnel_note(funnel, "%s: learnt of %llu impressions", wn_explore_names[p->slot->explore],
                 (unsigned long long)sums.shown);
}

static bool alloc(wn_posterior *p, wn_funnel *funnel, size_t among) {
  wn_arena *arena = funnel->arena;
  p->candidate = wn_arena_alloc(arena, (among + 1) * sizeof *p->candidate);
  p->in = wn_arena_alloc(arena, among + 1);
  p->odds = wn_arena_alloc(arena, (among + 1) * sizeof *p->odds);
  p->p = wn_arena_calloc(arena, funnel->candidates_len + 1, sizeof *p->p);
  p->belief = wn_arena_alloc(arena, (among + 1) * sizeof *p->belief);
  return p->candidate != NULL && p->in != NULL && p->odds != NULL && p->p != NULL &&
         p->belief != NULL;
}

wn_status wn_posterior_init(wn_posterior *p, wn_funnel *funnel, const wn_slot *slot,
                            const wn_takers *takers, wn_error *err) {
  bool linear = slot->explore >= WN_EXPLORE_LINUCB;
  size_t end = linear ? takers->rows_len : funnel->candidates_len;
  size_t among = slot->among < end ? slot->among : end;
  wn_status status = WN_OK;
  *p = (wn_posterior){.slot = slot};
  if (!alloc(p, funnel, among)) return wn_fail_memory(err);
  for (size_t i = 0; i < end && p->len < among; i++)
    if (takers->state[i] == 0 &&
        (takers->where == NULL || wn_bitset_test(takers->where, funnel->candidates[i].item)))
      p->candidate[p->len++] = i;
  if (linear)
    by_ridge(p, funnel, takers);
  else
    WN_TRY(by_candidates(p, funnel, err));
  if (slot->explore == WN_EXPLORE_LINUCB) return WN_OK;
  if (!wn_contest_init(&p->contest, linear ? WN_BELIEF_NORMAL : WN_BELIEF_BETA, p->belief, p->len,
                       slot->position > 0 ? 1 : funnel->n, funnel->arena))
    status = wn_fail_memory(err);
cleanup:
  return status;
}

/* Of those that are in; the candidate. */
static size_t highest(const wn_posterior *p) {
  size_t best = SIZE_MAX;
  for (size_t i = 0; i < p->len; i++)
    if (p->in[i] && (best == SIZE_MAX ||
                     p->belief[i].a + p->belief[i].b > p->belief[best].a + p->belief[best].b))
      best = i;
  return p->candidate[best];
}

wn_lot wn_posterior_lot(wn_posterior *p, const wn_funnel *funnel, const uint8_t *state) {
  wn_lot lot = {.sure = funnel->candidates_len};
  bool any = false;
  for (size_t i = 0; i < p->len; i++) any |= p->in[i] = state[p->candidate[i]] == 0;
  if (!any) return lot;
  lot.explored = p->slot->explore;
  lot.why = wn_explore_names[p->slot->explore];
  if (p->slot->explore == WN_EXPLORE_LINUCB) {
    lot.sure = highest(p);
    return lot;
  }
  (void)wn_contest_odds(&p->contest, p->in, p->odds);
  for (size_t i = 0; i < p->len; i++) p->p[p->candidate[i]] = p->odds[i];
  lot.p = p->p;
  lot.len = funnel->candidates_len;
  return lot;
}

static double mean_of(wn_belief b) {
  return b.a / (b.a + b.b);
}

/* The best `most` by posterior mean to the front, in that order. Returns how many. */
static size_t keep_best(wn_item_ix *items, wn_belief *belief, size_t len, size_t most) {
  size_t kept = 0;
  for (size_t i = 0; i < len; i++) {
    wn_item_ix item = items[i];
    wn_belief b = belief[i];
    size_t at = kept < most ? kept++ : most;
    for (; at > 0 && mean_of(belief[at - 1]) < mean_of(b); at--) {
      if (at == most) continue;
      items[at] = items[at - 1];
      belief[at] = belief[at - 1];
    }
    if (at < most) {
      items[at] = item;
      belief[at] = b;
    }
  }
  return kept;
}

wn_status wn_posterior_trial(wn_funnel *funnel, const wn_slot *slot, wn_lot *lot, wn_error *err) {
  wn_status status = WN_OK;
  wn_contest contest;
  size_t len = wn_bitset_count(&lot->items);
  wn_item_ix *items = wn_arena_alloc(funnel->arena, (len + 1) * sizeof *items);
  wn_belief *belief = wn_arena_alloc(funnel->arena, (len + 1) * sizeof *belief);
  double *p = wn_arena_alloc(funnel->arena, (slot->among + 1) * sizeof *p);
  if (items == NULL || belief == NULL || p == NULL) return wn_fail_memory(err);
  for (size_t i = 0, n = 0; i < lot->items.bits && n < len; i++)
    if (wn_bitset_test(&lot->items, i)) items[n++] = (wn_item_ix)i;
  wn_funnel_note(funnel, "cold slot at %u: %zu items are on trial, shown fewer than %u times",
                 slot->position, len, slot->impressions_max);
  *lot =
      (wn_lot){.sure = lot->sure, .explored = WN_EXPLORE_COLD, .below = lot->below, .why = "trial"};
  if (len == 0) return WN_OK;
  WN_TRY(by_counts(funnel, (double)slot->prior, items, len, belief, err));
  len = keep_best(items, belief, len, slot->among);
  if (!wn_contest_init(&contest, WN_BELIEF_BETA, belief, len, 1, funnel->arena))
    WN_TRY(wn_fail_memory(err));
  (void)wn_contest_odds(&contest, NULL, p);
  lot->p = p;
  lot->who = items;
  lot->len = len;
cleanup:
  return status;
}
