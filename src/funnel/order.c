/* Stage 4, order: which slate, in which order, is best together.
 *
 * Greedy over the best max(4n, 200) candidates, and over those past this pool by score when it is
 * used up. Each next item is the one with the largest
 *
 * - dpp: λ · score + (1 − λ) · what it adds to ln det of the similarities shown so far (dpp.h):
 * with θ = λ the log-probability of Chen, Zhang and Zhou, NeurIPS 2018, equation 8;
 * - mmr: λ · score − (1 − λ) · max over the items shown so far of similarity (Carbonell and
 * Goldstein, SIGIR 1998; departure: similarity clamped to 0 … 1).
 *
 * Pins stand at their positions and take their share of the caps first; a pin yields to every rule
 * but "seen". Caps always hold: when they leave too few candidates the slate is shorter, and the
 * trace says so. A cap that is reached blocks all candidates that share the value at once, so that
 * a step only looks at flags.
 *
 * Quotas, slots, repeats, calibration and coverage are order_rules.c's. With a temperature T each
 * place is drawn from the pool instead, by e^(worth / T) over what is free: sequential sampling
 * without replacement, which for fixed worths is Plackett and Luce's model, and Gumbel top-k (Kool,
 * van Hoof and Welling, ICML 2019) another way to draw the same lists. What else explores (slots,
 * `order.bandit`) is a lot beside that one (lot.h), with its share. The logged propensity is
 * that of the item given what stands above it: exact, 1 where nothing was drawn. A slate that was
 * shown elsewhere (request->shown) is put place by place instead, each item with the probability
 * that the same choice would have fallen on it: 0 or 1 where nothing is drawn.
 *
 * Cost: O(n · pool · (d + window)), and for each cap one pass over the candidates whenever a value
 * becomes full. Deterministic: ties go to the better score, then to the lower item index. */

#include "base/rng.h"
#include "funnel/dpp.h"
#include "funnel/linear.h"
#include "funnel/lot.h"
#include "funnel/order_caps.h"
#include "funnel/order_rules.h"
#include "funnel/posterior.h"

#include <math.h>
#include <string.h>

enum { POOL_MIN = 200, POOL_A_PLACE = 4, ROWS = 400 };
static const char floor_reason[] = "floor";

typedef struct order {
  wn_funnel *funnel;
  size_t pool;
  bool diverse;
  wn_similarity similarity; /* of the pool, then of the pins */
  float *row;               /* [pool + pins] */
  float *most;              /* [pool + pins] MMR: similarity with the slate so far, at most */
  wn_dpp dpp;
  wn_order_state standing;
  size_t next; /* no free candidate lies before */
  wn_order_caps caps;
  const wn_pin *pins[WN_RULES_MAX]; /* ascending position */
  wn_item_ix pin_items[WN_RULES_MAX];
  size_t pins_len, pins_placed;
  const char *moved_by; /* the last thing that put an item before better ones */
  wn_order_rules rules;
  bool floored; /* the floor keeps something out */
  bool valued;  /* something beside the score says what a candidate is worth */
  wn_rng rng;
  double *weight;         /* [pool] of what temperature draws */
  double *lot;            /* [candidates] of what a slot draws */
  wn_posterior posterior; /* of open places */
  wn_context_row *rows; /* [rows_len] what a linear bandit sees of the best; NULL: there is none */
  size_t rows_len;
} order;

/* What is put at the next place. */
typedef struct choice {
  size_t candidate; /* candidates_len: none, or an item that nobody proposed */
  wn_item_ix item;  /* WN_NO_IX: none */
  const char *why;  /* NULL: by worth */
  wn_explore explored;
  uint32_t below; /* of its lot */
  double propensity;
  double of_shown; /* the probability of the shown item, where that is asked */
} choice;

static size_t candidate_of(const order *o, wn_item_ix item) {
  size_t i = 0;
  while (i < o->funnel->candidates_len && o->funnel->candidates[i].item != item) i++;
  return i;
}

/* The candidate that stood at this place in the slate to be judged; candidates_len: it is none. */
static size_t shown_here(const order *o) {
  const wn_request *request = o->funnel->request;
  size_t at = o->funnel->slate_len;
  bool any = request->shown != NULL && at < request->shown_len;
  return any ? candidate_of(o, request->shown[at]) : o->funnel->candidates_len;
}

/* Counts an item of the slate against every cap and rule. */
static wn_status count_item(order *o, wn_item_ix item, wn_error *err) {
  wn_status status = wn_rules_count(&o->rules, item, err);
  return status == WN_OK ? wn_caps_count(&o->caps, item, err) : status;
}

/* Keeps one pin, or notes why it cannot be kept. */
static wn_status claim_pin(order *o, const wn_pin *pin, wn_error *err) {
  wn_funnel *funnel = o->funnel;
  const char *reason = "no such item";
  wn_item_ix item = wn_catalog_find(funnel->request->catalog, wn_str_of(pin->item));
  if (item != WN_NO_IX && item < funnel->items) {
    reason = wn_filter_reason(funnel, item, false);
    wn_status status = reason == NULL ? wn_caps_full(&o->caps, item, &reason, err) : WN_OK;
    if (status != WN_OK) return status;
  }
  if (reason != NULL) {
    wn_funnel_note(funnel, "pin of \"%s\" at %u not kept: %s", pin->item, pin->position, reason);
    return WN_OK;
  }
  size_t candidate = candidate_of(o, item);
  if (candidate < funnel->candidates_len) o->standing.state[candidate] = WN_TAKEN;
  o->pins[o->pins_len] = pin;
  o->pin_items[o->pins_len++] = item;
  return count_item(o, item, err);
}

/* Pins within the slate, by position. */
static wn_status claim_pins(order *o, wn_error *err) {
  const wn_surface *surface = o->funnel->surface;
  for (size_t i = 0; i < surface->pins_len; i++)
    if (surface->pins[i].position > o->funnel->n)
      wn_funnel_note(o->funnel, "pin of \"%s\" at %u not kept: %u places were asked for",
                     surface->pins[i].item, surface->pins[i].position, o->funnel->n);
  for (uint32_t last = 0;;) {
    const wn_pin *next = NULL;
    for (size_t i = 0; i < surface->pins_len; i++) {
      const wn_pin *pin = &surface->pins[i];
      if (pin->position <= last || pin->position > o->funnel->n) continue;
      if (next == NULL || pin->position < next->position) next = pin;
    }
    if (next == NULL) return WN_OK;
    wn_status status = claim_pin(o, next, err);
    if (status != WN_OK) return status;
    last = next->position;
  }
}

static void trace_move(order *o, wn_item_ix item, uint32_t from, const char *why) {
  wn_trace *trace = o->funnel->trace;
  if (trace == NULL) return;
  uint32_t to = (uint32_t)o->funnel->slate_len;
  trace->moves[trace->moves_len++] = (wn_move_trace){item, from, to, why};
}

/* What stands in the slate counts for the places below. `entry`: of `similarity`. */
static void remember(order *o, size_t entry) {
  if (!o->diverse || entry >= o->similarity.len) return;
  wn_similarity_row(&o->similarity, entry, o->row);
  if (o->funnel->surface->diversity_method == WN_DIVERSITY_DPP) {
    wn_dpp_choose(&o->dpp, entry, o->row);
    return;
  }
  for (size_t i = 0; i < o->similarity.len; i++)
    if (o->row[i] > o->most[i]) o->most[i] = o->row[i];
}

/* Appends to the slate; candidate == candidates_len: a pin that nobody proposed. */
static wn_slate_item *place(order *o, wn_item_ix item, size_t candidate, const char *why) {
  wn_funnel *funnel = o->funnel;
  wn_slate_item *slot = &funnel->slate[funnel->slate_len++];
  *slot = (wn_slate_item){.item = item, .chosen = item, .propensity = 1.0f};
  if (candidate < funnel->candidates_len) {
    slot->score = funnel->candidates[candidate].score;
    slot->sources = funnel->candidates[candidate].sources;
    slot->row = funnel->candidates[candidate].row;
    if (candidate < o->rows_len) slot->context = &o->rows[candidate];
    o->standing.state[candidate] = WN_TAKEN;
  }
  trace_move(o, item, candidate < funnel->candidates_len ? (uint32_t)candidate + 1 : 0, why);
  return slot;
}

static void place_pin(order *o) {
  size_t p = o->pins_placed++;
  wn_funnel *funnel = o->funnel;
  uint32_t position = (uint32_t)funnel->slate_len + 1;
  if (o->pins[p]->position != position)
    wn_funnel_note(funnel, "pin of \"%s\" moved up from %u to %u", o->pins[p]->item,
                   o->pins[p]->position, position);
  o->moved_by = "pin above";
  place(o, o->pin_items[p], candidate_of(o, o->pin_items[p]), "pin")->pinned = true;
  remember(o, o->pool + p);
}

/* The share of a candidate's value that its score and the rules give: all of it at most, for being
 * like what is shown only takes away. */
static float worth_of(const order *o, size_t i) {
  float worth = wn_rules_worth(&o->rules, i, o->funnel->candidates[i].score);
  return o->diverse ? o->funnel->surface->mmr_lambda * worth : worth;
}

/* Of a candidate in the pool, with its share of worth. */
static float value_of(const order *o, size_t i, float worth) {
  const wn_surface *s = o->funnel->surface;
  if (!o->diverse) return worth;
  bool dpp = s->diversity_method == WN_DIVERSITY_DPP;
  return worth + (1.0f - s->mmr_lambda) * (dpp ? wn_dpp_gain(&o->dpp, i) : -o->most[i]);
}

static void skip_taken(order *o) {
  while (o->next < o->funnel->candidates_len && o->standing.state[o->next] != WN_FREE) o->next++;
}

/* The free candidate that is worth most, of those that help a quota or of all; candidates_len: none
 * is left. */
static size_t choose_best(const order *o, bool helping) {
  const wn_funnel *funnel = o->funnel;
  size_t best = funnel->candidates_len;
  float best_value = 0.0f;
  if (!helping && (!o->valued || o->next >= o->pool)) return o->next;
  for (size_t i = o->next; i < funnel->candidates_len; i++) {
    if (i >= o->pool && best < funnel->candidates_len) break; /* the pool goes first */
    if (o->standing.state[i] != WN_FREE) continue;
    if (helping && !wn_rules_helps(&o->rules, funnel->candidates[i].item)) continue;
    if (i >= o->pool) return i;
    float value = worth_of(o, i);
    if (best < funnel->candidates_len && !(value > best_value)) continue;
    value = value_of(o, i, value);
    if (best < funnel->candidates_len && !(value > best_value)) continue;
    best = i;
    best_value = value;
  }
  return best;
}

static wn_lot certain(size_t candidate, const char *why) {
  return (wn_lot){.sure = candidate, .why = why};
}

/* The free ones of the pool by e^(worth / temperature). */
static wn_lot by_temperature(order *o, bool helping) {
  const wn_funnel *funnel = o->funnel;
  double total = 0, most = -INFINITY, temperature = (double)funnel->surface->temperature;
  bool any = false;
  for (size_t i = 0; i < o->pool; i++) {
    o->weight[i] = -INFINITY;
    if (o->standing.state[i] != WN_FREE) continue;
    if (helping && !wn_rules_helps(&o->rules, funnel->candidates[i].item)) continue;
    o->weight[i] = (double)value_of(o, i, worth_of(o, i)) / temperature;
    most = fmax(most, o->weight[i]);
    any = true;
  }
  if (!any) return certain(choose_best(o, helping), NULL);
  for (size_t i = 0; i < o->pool; i++) total += o->weight[i] = exp(o->weight[i] - most);
  for (size_t i = 0; i < o->pool; i++) o->weight[i] /= total;
  return (wn_lot){.p = o->weight, .len = o->pool, .sure = funnel->candidates_len, .why = "drawn"};
}

/* Any free candidate that the slot takes, all alike. */
static wn_lot any_candidate(order *o, const wn_slot *slot) {
  const wn_funnel *funnel = o->funnel;
  size_t free = 0;
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    bool may = o->standing.state[i] == WN_FREE &&
               wn_rules_slot_takes(&o->rules, slot, funnel->candidates[i].item);
    o->lot[i] = may;
    free += may;
  }
  if (free == 0) {
    wn_funnel_note(funnel, "slot at %u not kept: nothing for it", slot->position);
    return certain(funnel->candidates_len, NULL);
  }
  for (size_t i = 0; i < funnel->candidates_len; i++) o->lot[i] /= (double)free;
  return (wn_lot){
      .p = o->lot, .len = funnel->candidates_len, .sure = funnel->candidates_len, .why = "explore"};
}

/* What was shown fewer than `below` times and could stand here under the rules. */
static wn_status rare_items(order *o, const wn_slot *slot, uint32_t below, wn_lot *out,
                            wn_error *err) {
  wn_funnel *funnel = o->funnel;
  wn_status status = WN_OK;
  WN_TRY(wn_lot_cold(funnel, below, wn_rules_slot_items(&o->rules, slot), out, err));
  for (size_t i = 0; i < funnel->candidates_len; i++)
    if (o->standing.state[i] == WN_TAKEN ||
        (o->standing.state[i] == WN_BLOCKED && o->standing.blocked_by[i] != floor_reason))
      wn_bitset_unset(&out->items, funnel->candidates[i].item);
  for (size_t p = 0; p < o->pins_len; p++) wn_bitset_unset(&out->items, o->pin_items[p]);
  for (size_t i = 0; i < out->items.bits && o->caps.len > 0; i++) {
    const char *full = NULL;
    if (!wn_bitset_test(&out->items, i)) continue;
    WN_TRY(wn_caps_full(&o->caps, (wn_item_ix)i, &full, err));
    if (full != NULL) wn_bitset_unset(&out->items, i);
  }
cleanup:
  return status;
}

/* What is cold, all alike; when nothing is, what is on trial. */
static wn_status cold_items(order *o, const wn_slot *slot, wn_lot *out, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(rare_items(o, slot, slot->impressions, out, err));
  wn_lot_cold_count(o->funnel, slot, out);
  if (out->items_len > 0 || slot->impressions_max == 0) return WN_OK;
  WN_TRY(rare_items(o, slot, slot->impressions_max, out, err));
  WN_TRY(wn_posterior_trial(o->funnel, slot, out, err));
cleanup:
  return status;
}

/* The best free candidate that the slot takes. */
static wn_lot sponsored(order *o, const wn_slot *slot) {
  wn_funnel *funnel = o->funnel;
  for (size_t i = o->next; i < funnel->candidates_len; i++)
    if (o->standing.state[i] == WN_FREE &&
        wn_rules_slot_takes(&o->rules, slot, funnel->candidates[i].item))
      return certain(i, "slot");
  wn_funnel_note(funnel, "slot at %u not kept: nothing for it", slot->position);
  return certain(funnel->candidates_len, NULL);
}

/* By what is believed of candidates, begun where it is asked first. */
static wn_status believed(order *o, const wn_slot *slot, wn_posterior *posterior, wn_lot *out,
                          wn_error *err) {
  const wn_takers takers = {.state = o->standing.state,
                            .where =
                                slot->position > 0 ? wn_rules_slot_items(&o->rules, slot) : NULL,
                            .rows = o->rows,
                            .rows_len = o->rows_len};
  if (posterior->slot != slot) {
    wn_status status = wn_posterior_init(posterior, o->funnel, slot, &takers, err);
    if (status != WN_OK) return status;
  }
  *out = wn_posterior_lot(posterior, o->funnel, o->standing.state);
  return WN_OK;
}

static wn_status slot_lot(order *o, const wn_slot *slot, wn_lot *out, wn_error *err) {
  switch (slot->explore) {
  case WN_EXPLORE_COLD: return cold_items(o, slot, out, err);
  case WN_EXPLORE_RANDOM: *out = any_candidate(o, slot); break;
  case WN_EXPLORE_THOMPSON:
  case WN_EXPLORE_LINUCB:
  case WN_EXPLORE_LINEAR: {
    wn_posterior posterior = {0};
    return believed(o, slot, &posterior, out, err);
  }
  case WN_EXPLORE_NONE:
  case WN_EXPLORES: *out = sponsored(o, slot); break;
  }
  out->explored = slot->explore;
  return WN_OK;
}

/* Places that neither pins nor slots will take. */
static size_t open_places(const order *o) {
  size_t position = o->funnel->slate_len + 1, places = o->funnel->n - o->funnel->slate_len;
  size_t taken = o->pins_len - o->pins_placed + wn_rules_slots_from(&o->rules, position);
  return taken < places ? places - taken : 0;
}

/* The place as worth fills it; urgent: with what a quota needs, if there is any. */
static wn_lot open_lot(order *o, bool urgent) {
  bool drawn = o->funnel->surface->temperature > 0;
  for (int helping = urgent; helping >= 0; helping--) {
    wn_lot lot = drawn ? by_temperature(o, helping) : certain(choose_best(o, helping), NULL);
    lot.quota = helping;
    if (wn_lot_holds(&lot, o->funnel->candidates_len)) return lot;
  }
  return certain(o->funnel->candidates_len, NULL);
}

/* An item of the lots, and its probability under them all. */
static choice draw(order *o, const wn_lots *all) {
  const wn_funnel *funnel = o->funnel;
  const wn_request *request = funnel->request;
  choice made = {.candidate = funnel->candidates_len, .item = WN_NO_IX};
  if (all->len == 0) return made;
  const wn_lot *lot = wn_lots_pick(all, &o->rng);
  made.explored = lot->explored;
  made.below = lot->below;
  made.why = lot->why;
  made.candidate = wn_lot_draw(lot, &o->rng, &made.item);
  if (made.candidate < funnel->candidates_len) {
    made.item = funnel->candidates[made.candidate].item;
    if (lot->quota && made.candidate != o->next) made.why = "quota";
    if (lot->explored == WN_EXPLORE_NONE && lot->p != NULL && made.candidate == o->next)
      made.why = NULL;
  } else {
    made.candidate = candidate_of(o, made.item);
  }
  made.propensity = wn_lots_of(all, made.candidate, made.item);
  if (request->shown != NULL && funnel->slate_len < request->shown_len)
    made.of_shown = wn_lots_of(all, shown_here(o), request->shown[funnel->slate_len]);
  return made;
}

/* A slot that explores in a share of the slates leaves the place open in the others. */
static wn_status choose(order *o, choice *out, wn_error *err) {
  const wn_slot *slot = wn_rules_slot(&o->rules, o->funnel->slate_len + 1);
  const wn_slot *bandit = &o->funnel->surface->bandit;
  wn_status status = WN_OK;
  wn_lots all = {.rest = 1};
  wn_lot lot;
  size_t none = o->funnel->candidates_len;
  skip_taken(o);
  if (slot != NULL) {
    WN_TRY(slot_lot(o, slot, &lot, err));
    wn_lots_add(&all, &lot, none, (double)slot->share);
  }
  bool urgent = wn_rules_urgent(&o->rules, open_places(o) + (slot != NULL));
  if (all.rest > 0 && bandit->explore != WN_EXPLORE_NONE && !urgent) {
    WN_TRY(believed(o, bandit, &o->posterior, &lot, err));
    wn_lots_add(&all, &lot, none, (double)bandit->share);
  }
  if (all.rest > 0) {
    lot = open_lot(o, urgent);
    wn_lots_add(&all, &lot, none, 1);
  }
  *out = draw(o, &all);
cleanup:
  return status;
}

/* What a choice does to those that it passes. */
static const char *above(const char *why) {
  if (strcmp(why, "slot") == 0) return "slot above";
  return strcmp(why, "quota") == 0 ? "quota above" : "drawn above";
}

/* Why the chosen candidate stands where it stands. */
static const char *reason_of(order *o, size_t chosen, const char *why) {
  const wn_candidate *candidate = &o->funnel->candidates[chosen];
  size_t position = o->funnel->slate_len + 1, rank = chosen + 1;
  if (why != NULL) {
    o->moved_by = above(why);
    return why;
  }
  if (chosen == o->funnel->candidates_len) return o->moved_by;
  if (chosen != o->next) return o->moved_by = o->diverse ? "diversity" : "mix";
  if (rank > position) {
    for (size_t i = 0; i < chosen; i++) {
      if (o->standing.state[i] == WN_BLOCKED) return o->moved_by = o->standing.blocked_by[i];
    }
  }
  if (rank < position) return o->moved_by;
  return candidate->boost != 1.0f ? "boost" : "";
}

/* A pin's place belongs to the pin, and so does the rest when nothing else is left. */
static bool pin_is_due(const order *o, const choice *made) {
  return o->pins_placed < o->pins_len &&
         (o->pins[o->pins_placed]->position == o->funnel->slate_len + 1 ||
          (made != NULL && made->item == WN_NO_IX));
}

/* The slate to be judged, place by place. */
static wn_status judge(order *o, wn_error *err) {
  const wn_request *request = o->funnel->request;
  wn_status status = WN_OK;
  for (size_t i = 0; i < request->shown_len && i < o->funnel->n && status == WN_OK; i++) {
    size_t candidate = shown_here(o);
    wn_item_ix shown = request->shown[i];
    choice made = {.item = WN_NO_IX};
    bool pin = pin_is_due(o, NULL);
    if (!pin) status = choose(o, &made, err);
    if (status != WN_OK) break;
    if (!pin) pin = pin_is_due(o, &made);
    wn_item_ix chosen = pin ? o->pin_items[o->pins_placed] : made.item;
    bool kept = pin && chosen == shown;
    wn_slate_item *slot = place(o, shown, candidate, "shown");
    slot->chosen = chosen;
    slot->propensity = pin ? (float)kept : (float)made.of_shown;
    if (kept || candidate < o->pool) remember(o, kept ? o->pool + o->pins_placed : candidate);
    if (!kept) status = count_item(o, shown, err); /* pins are counted from the start */
    o->pins_placed += pin;
  }
  return status;
}

static void put_chosen(order *o, const choice *made) {
  size_t chosen = made->candidate;
  wn_slate_item *slot = place(o, made->item, chosen, reason_of(o, chosen, made->why));
  slot->propensity = (float)made->propensity;
  slot->explored = made->explored;
  slot->below = made->below;
  if (chosen < o->pool) remember(o, chosen);
}

static wn_status fill(order *o, wn_error *err) {
  wn_funnel *funnel = o->funnel;
  wn_status status = WN_OK;
  while (status == WN_OK && funnel->slate_len < funnel->n) {
    bool pin = o->pins_placed < o->pins_len;
    if (pin && o->pins[o->pins_placed]->position == funnel->slate_len + 1) {
      place_pin(o);
      continue;
    }
    choice made;
    status = choose(o, &made, err);
    if (status != WN_OK) break;
    if (made.item != WN_NO_IX) {
      put_chosen(o, &made);
      status = count_item(o, made.item, err);
    } else if (pin) {
      place_pin(o); /* too few items to reach its position */
    } else {
      break;
    }
  }
  return status;
}

static void trace_order(order *o) {
  wn_funnel *funnel = o->funnel;
  if (funnel->trace == NULL) return;
  wn_rules_report(&o->rules);
  if (funnel->slate_len < funnel->n && o->standing.blocked > 0) {
    wn_funnel_note(funnel, "%s left %zu of %u places empty", o->floored ? "floor and caps" : "caps",
                   funnel->n - funnel->slate_len, funnel->n);
  }
  size_t last = 0; /* worst rank shown: those below were not kept out by a cap */
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    if (o->standing.state[i] == WN_TAKEN) last = i;
  }
  if (funnel->slate_len < funnel->n) last = funnel->candidates_len;
  for (size_t i = 0; i < last; i++) {
    if (o->standing.state[i] != WN_BLOCKED) continue;
    wn_trace_drop(funnel->trace, funnel->candidates[i].item, "order", o->standing.blocked_by[i]);
  }
}

/* What scores too little is not shown, unless nothing scores enough. */
static void apply_floor(order *o) {
  wn_funnel *funnel = o->funnel;
  size_t kept = 0;
  while (kept < funnel->candidates_len && funnel->candidates[kept].score >= funnel->surface->floor)
    kept++;
  if (kept == 0 && funnel->candidates_len > 0)
    wn_trace_note(funnel->trace, "floor not kept: nothing scores enough");
  for (size_t i = kept; kept > 0 && i < funnel->candidates_len; i++) {
    o->standing.state[i] = WN_BLOCKED;
    o->standing.blocked_by[i] = floor_reason;
    o->standing.blocked++;
    o->floored = true;
  }
}

static wn_status init(order *o, wn_error *err) {
  wn_funnel *funnel = o->funnel;
  size_t count = funnel->candidates_len, wanted = (size_t)funnel->n * POOL_A_PLACE;
  if (wanted < POOL_MIN) wanted = POOL_MIN;
  o->pool = count < wanted ? count : wanted;
  o->moved_by = "";
  o->standing.state = wn_arena_calloc(funnel->arena, count + 1, sizeof *o->standing.state);
  o->standing.blocked_by =
      wn_arena_calloc(funnel->arena, count + 1, sizeof *o->standing.blocked_by);
  funnel->slate = wn_arena_alloc(funnel->arena, funnel->n * sizeof *funnel->slate);
  o->weight = wn_arena_alloc(funnel->arena, (o->pool + 1) * sizeof *o->weight);
  o->lot = wn_arena_alloc(funnel->arena, (count + 1) * sizeof *o->lot);
  if (o->standing.state == NULL || o->standing.blocked_by == NULL || funnel->slate == NULL ||
      o->weight == NULL || o->lot == NULL) {
    return wn_fail_memory(err);
  }
  apply_floor(o);
  if (wn_surface_asks_linear(funnel->surface)) {
    o->rows_len = count < ROWS ? count : ROWS;
    wn_status status = wn_linear_rows(funnel, o->rows_len, &o->rows, err);
    if (status != WN_OK) return status;
  }
  wn_rng_seed(&o->rng, wn_mix64(funnel->query.seed));
  if (funnel->trace != NULL) {
    funnel->trace->moves = wn_arena_alloc(funnel->arena, funnel->n * sizeof(wn_move_trace));
    if (funnel->trace->moves == NULL) return wn_fail_memory(err);
  }
  return WN_OK;
}

/* Once the pins are known. */
static wn_status init_diversity(order *o, wn_error *err) {
  wn_funnel *funnel = o->funnel;
  const wn_surface *surface = funnel->surface;
  size_t len = o->pool + o->pins_len;
  wn_item_ix *items = wn_arena_alloc(funnel->arena, (len + 1) * sizeof *items);
  o->row = wn_arena_alloc(funnel->arena, (len + 1) * sizeof *o->row);
  o->most = wn_arena_calloc(funnel->arena, len + 1, sizeof *o->most);
  if (items == NULL || o->row == NULL || o->most == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++)
    items[i] = i < o->pool ? funnel->candidates[i].item : o->pin_items[i - o->pool];
  wn_status status = wn_similarity_init(&o->similarity, funnel, items, len, &o->diverse, err);
  if (status != WN_OK || !o->diverse || surface->diversity_method != WN_DIVERSITY_DPP)
    return status;
  size_t window = surface->diversity_window < funnel->n ? surface->diversity_window : funnel->n;
  return wn_dpp_init(&o->dpp, len, window < 2 ? 2 : window, funnel->arena) ? WN_OK
                                                                           : wn_fail_memory(err);
}

wn_status wn_order(wn_funnel *funnel, wn_error *err) {
  wn_status status = WN_OK;
  order o = {.funnel = funnel};
  WN_TRY(init(&o, err));
  WN_TRY(wn_caps_init(&o.caps, funnel, &o.standing, err));
  WN_TRY(wn_rules_init(&o.rules, funnel, o.pool, err));
  WN_TRY(claim_pins(&o, err));
  WN_TRY(init_diversity(&o, err));
  o.valued = o.diverse || o.rules.attrs_len > 0;
  WN_TRY(funnel->request->shown != NULL ? judge(&o, err) : fill(&o, err));
  trace_order(&o);
cleanup:
  wn_rules_clear(&o.rules);
  wn_caps_clear(&o.caps);
  return status;
}
