/* Rules of ordering.
 *
 * Quotas: at least `min` items of the slate satisfy a condition, or are as new as wanted. When as
 * many places are left as quotas still miss, only items that help are chosen.
 *
 * Slots: a position for the best candidate that satisfies a condition (sponsored), or for one drawn
 * from all that may be shown (exploration).
 *
 * Repeats: a candidate's score times (1 − least) · factor^k + least, k being how often its most
 * frequent value stands above.
 *
 * Calibrated: − weight · KL(p ‖ .99 q + .01 p) of the slate with the candidate, p and q being the
 * shares of an attribute's values in the user's history and in the slate (Steck, RecSys 2018).
 *
 * Covered: + weight · Σᵥ pᵥ · mᵥ · Πⱼ (1 − mⱼᵥ), the user's interests that nothing above covers
 * (xQuAD: Santos, Macdonald and Ounis, WWW 2010), an item with k values being m = 1/k of each.
 *
 * An item with k values counts 1/k for each. Caps are stronger than quotas, and slots come first.
 * What a rule could not do is noted in the trace. Cost: O(pool · values) a place. Deterministic. */
#include "funnel/order_rules.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define REPEAT_LEAST 0.25
#define SMOOTH       0.01
#define DAY_MS       86400000

/* --- numbers of values --- */

static bool grow(wn_attr_rule *rule, wn_arena *arena) {
  size_t cap = rule->values_cap > 0 ? 2 * rule->values_cap : 64;
  double *want = wn_arena_calloc(arena, cap, sizeof *want);
  double *shown = wn_arena_calloc(arena, cap, sizeof *shown);
  if (want == NULL || shown == NULL) return false;
  if (rule->values > 0) {
    memcpy(want, rule->want, rule->values * sizeof *want);
    memcpy(shown, rule->shown, rule->values * sizeof *shown);
  }
  rule->want = want;
  rule->shown = shown;
  rule->values_cap = cap;
  return true;
}

/* Numbers of an item's values; false: out of memory. */
static bool numbers_of(wn_attr_rule *rule, wn_arena *arena, wn_item_ix item, uint32_t **out,
                       uint32_t *len) {
  wn_values values;
  if (!wn_values_of(rule->column, item, arena, &values)) return false;
  *len = values.len;
  *out = wn_arena_alloc(arena, (values.len + 1) * sizeof **out);
  if (*out == NULL) return false;
  for (uint32_t v = 0; v < values.len; v++) {
    uint64_t *number = wn_map64_at(&rule->numbers, wn_values_keys(&values)[v]);
    if (number == NULL) return false;
    if (*number == 0) {
      if (rule->values == rule->values_cap && !grow(rule, arena)) return false;
      rule->shown[rule->values] = rule->mix->kind == WN_MIX_COVERED ? 1 : 0;
      *number = ++rule->values;
    }
    (*out)[v] = (uint32_t)*number - 1;
  }
  return true;
}

/* --- calibration --- */

static double share_term(double want, double shown) {
  return want > 0 ? want * log(want / ((1 - SMOOTH) * shown + SMOOTH * want)) : 0;
}

/* Once a place: the divergence of the slate as it is, and with its mass grown by one item. */
static void measure(wn_attr_rule *rule) {
  rule->kl = rule->kl_now = 0;
  for (size_t v = 0; v < rule->values && rule->mix->kind == WN_MIX_CALIBRATED; v++) {
    rule->kl += share_term(rule->want[v], rule->shown[v] / (rule->mass + 1));
    rule->kl_now += share_term(rule->want[v], rule->mass > 0 ? rule->shown[v] / rule->mass : 0);
  }
}

static double divergence_with(const wn_attr_rule *rule, const uint32_t *number, uint32_t len) {
  double kl = rule->kl, mass = rule->mass + 1;
  if (len == 0) return rule->kl_now;
  for (uint32_t v = 0; v < len; v++) {
    double want = rule->want[number[v]], shown = rule->shown[number[v]];
    kl += share_term(want, (shown + 1.0 / len) / mass) - share_term(want, shown / mass);
  }
  return kl;
}

/* --- worth --- */

static double covers(const wn_attr_rule *rule, const uint32_t *number, uint32_t len) {
  double sum = 0;
  for (uint32_t v = 0; v < len; v++) sum += rule->want[number[v]] * rule->shown[number[v]] / len;
  return sum;
}

static double repeats(const wn_attr_rule *rule, const uint32_t *number, uint32_t len) {
  double most = 0;
  for (uint32_t v = 0; v < len; v++) most = fmax(most, rule->shown[number[v]]);
  return (1 - REPEAT_LEAST) * pow((double)rule->mix->weight, most) + REPEAT_LEAST;
}

float wn_rules_worth(const wn_order_rules *rules, size_t i, float score) {
  double worth = (double)score, more = 0;
  for (size_t a = 0; a < rules->attrs_len; a++) {
    const wn_attr_rule *rule = &rules->attr[a];
    const uint32_t *number = rule->number[i];
    uint32_t len = rule->len[i];
    switch (rule->mix->kind) {
    case WN_MIX_REPEAT: worth *= repeats(rule, number, len); break;
    case WN_MIX_CALIBRATED:
      more -= (double)rule->mix->weight * divergence_with(rule, number, len);
      break;
    case WN_MIX_COVERED: more += (double)rule->mix->weight * covers(rule, number, len); break;
    }
  }
  return (float)(worth + more);
}

static wn_status count_attr(wn_attr_rule *rule, wn_arena *arena, wn_item_ix item, wn_error *err) {
  uint32_t *number, len;
  if (!numbers_of(rule, arena, item, &number, &len)) return wn_fail_memory(err);
  for (uint32_t v = 0; v < len; v++) {
    double *shown = &rule->shown[number[v]];
    if (rule->mix->kind == WN_MIX_REPEAT) *shown += 1;
    if (rule->mix->kind == WN_MIX_CALIBRATED) *shown += 1.0 / len;
    if (rule->mix->kind == WN_MIX_COVERED) *shown *= 1 - 1.0 / len;
  }
  rule->mass += len > 0;
  measure(rule);
  return WN_OK;
}

wn_status wn_rules_count(wn_order_rules *rules, wn_item_ix item, wn_error *err) {
  wn_status status = WN_OK;
  for (size_t q = 0; q < rules->funnel->surface->quotas_len; q++)
    if (rules->missing[q] > 0 && wn_bitset_test(&rules->quota[q], item)) rules->missing[q]--;
  for (size_t a = 0; a < rules->attrs_len; a++)
    WN_TRY(count_attr(&rules->attr[a], rules->funnel->arena, item, err));
cleanup:
  return status;
}

/* --- quotas and slots --- */

bool wn_rules_urgent(const wn_order_rules *rules, size_t places) {
  size_t missing = 0;
  for (size_t q = 0; q < rules->funnel->surface->quotas_len; q++) missing += rules->missing[q];
  return missing > 0 && missing >= places;
}

bool wn_rules_helps(const wn_order_rules *rules, wn_item_ix item) {
  for (size_t q = 0; q < rules->funnel->surface->quotas_len; q++)
    if (rules->missing[q] > 0 && wn_bitset_test(&rules->quota[q], item)) return true;
  return false;
}

const wn_slot *wn_rules_slot(const wn_order_rules *rules, size_t position) {
  const wn_surface *surface = rules->funnel->surface;
  for (size_t s = 0; s < surface->slots_len; s++)
    if (surface->slots[s].position == position) return &surface->slots[s];
  return NULL;
}

const wn_bitset *wn_rules_slot_items(const wn_order_rules *rules, const wn_slot *slot) {
  const wn_bitset *items = &rules->slot[slot - rules->funnel->surface->slots];
  return items->words != NULL ? items : NULL;
}

bool wn_rules_slot_takes(const wn_order_rules *rules, const wn_slot *slot, wn_item_ix item) {
  const wn_bitset *takes = wn_rules_slot_items(rules, slot);
  return takes == NULL || wn_bitset_test(takes, item);
}

size_t wn_rules_slots_from(const wn_order_rules *rules, size_t position) {
  const wn_surface *surface = rules->funnel->surface;
  size_t n = 0;
  for (size_t s = 0; s < surface->slots_len; s++)
    n += surface->slots[s].position >= position && surface->slots[s].position <= rules->funnel->n;
  return n;
}

/* Within the slate that was asked for slots are told where their place is filled. */
static void report_slots(const wn_funnel *funnel) {
  for (size_t s = 0; s < funnel->surface->slots_len; s++) {
    uint32_t position = funnel->surface->slots[s].position;
    if (position <= funnel->slate_len) continue;
    wn_funnel_note(funnel, "slot at %u not kept: the slate ends at %zu", position,
                   funnel->slate_len);
  }
}

void wn_rules_report(const wn_order_rules *rules) {
  const wn_funnel *funnel = rules->funnel;
  if (funnel->trace == NULL) return;
  report_slots(funnel);
  for (size_t q = 0; q < funnel->surface->quotas_len; q++) {
    const wn_quota *quota = &funnel->surface->quotas[q];
    if (rules->missing[q] == 0) continue;
    const char *what = quota->where[0] != '\0'
                           ? quota->where
                           : wn_funnel_format(funnel, "newer than %u days", quota->newer_days);
    wn_funnel_note(funnel, "quota of %u (%.200s): %u kept", quota->min, what,
                   quota->min - rules->missing[q]);
  }
}

/* --- beginning --- */

wn_status wn_rules_items(wn_funnel *funnel, const char *where, const char *field, wn_bitset *out,
                         wn_error *err) {
  if (!wn_bitset_init_arena(out, funnel->items, funnel->arena)) return wn_fail_memory(err);
  wn_bitset_fill(out, true);
  return wn_expr_cache_and(funnel->request->filters, wn_str_of(where), field,
                           funnel->request->catalog, out, err);
}

/* By whole days, so that the text, and with it the compiled condition, stays for a day. */
wn_status wn_rules_quota_items(wn_funnel *funnel, const wn_quota *quota, wn_bitset *out,
                               wn_error *err) {
  char newer[64];
  int64_t day = funnel->query.now_ms / DAY_MS - (int64_t)quota->newer_days;
  snprintf(newer, sizeof newer, "created >= %lld", (long long)day * (DAY_MS / 1000));
  return wn_rules_items(funnel, quota->where[0] != '\0' ? quota->where : newer, "quota", out, err);
}

/* Shares of the history's values; false: out of memory. */
static bool want_as_before(wn_attr_rule *rule, const wn_funnel *funnel) {
  const wn_query *query = &funnel->query;
  uint32_t *number, len;
  double total = 0;
  for (size_t h = 0; h < query->history_len; h++) {
    const wn_history_entry *e = &query->history[h];
    if (!(e->weight > 0) || e->item >= funnel->items) continue;
    if (!numbers_of(rule, funnel->arena, e->item, &number, &len)) return false;
    for (uint32_t v = 0; v < len; v++) rule->want[number[v]] += (double)e->weight / len;
    total += len > 0 ? (double)e->weight : 0;
  }
  for (size_t v = 0; v < rule->values && total > 0; v++) rule->want[v] /= total;
  return true;
}

static wn_status init_attr(wn_order_rules *rules, const wn_mix *mix, wn_error *err) {
  wn_funnel *funnel = rules->funnel;
  wn_attr_rule *rule = &rules->attr[rules->attrs_len];
  *rule = (wn_attr_rule){.mix = mix};
  rule->column = wn_catalog_column(funnel->request->catalog, wn_str_of(mix->attribute));
  if (rule->column == NULL) {
    wn_funnel_note(funnel, "mix by \"%s\" does nothing: no item has it", mix->attribute);
    return WN_OK;
  }
  if (mix->kind != WN_MIX_REPEAT && funnel->query.history_len == 0) {
    wn_trace_note(funnel->trace, "no history to mix the slate by");
    return WN_OK;
  }
  rules->attrs_len++;
  wn_map64_init(&rule->numbers);
  rule->number = wn_arena_alloc(funnel->arena, (rules->pool + 1) * sizeof *rule->number);
  rule->len = wn_arena_alloc(funnel->arena, (rules->pool + 1) * sizeof *rule->len);
  if (rule->number == NULL || rule->len == NULL) return wn_fail_memory(err);
  if (mix->kind != WN_MIX_REPEAT && !want_as_before(rule, funnel)) return wn_fail_memory(err);
  for (size_t i = 0; i < rules->pool; i++)
    if (!numbers_of(rule, funnel->arena, funnel->candidates[i].item, &rule->number[i],
                    &rule->len[i]))
      return wn_fail_memory(err);
  measure(rule);
  return WN_OK;
}

wn_status wn_rules_init(wn_order_rules *rules, wn_funnel *funnel, size_t pool, wn_error *err) {
  const wn_surface *surface = funnel->surface;
  wn_status status = WN_OK;
  rules->funnel = funnel;
  rules->pool = pool;
  for (size_t q = 0; q < surface->quotas_len; q++) {
    rules->missing[q] = surface->quotas[q].min;
    WN_TRY(wn_rules_quota_items(funnel, &surface->quotas[q], &rules->quota[q], err));
  }
  for (size_t s = 0; s < surface->slots_len; s++)
    if (surface->slots[s].where[0] != '\0')
      WN_TRY(wn_rules_items(funnel, surface->slots[s].where, "slot", &rules->slot[s], err));
  for (size_t m = 0; m < surface->mixes_len; m++) WN_TRY(init_attr(rules, &surface->mixes[m], err));
cleanup:
  return status;
}

void wn_rules_clear(wn_order_rules *rules) {
  for (size_t a = 0; a < rules->attrs_len; a++) wn_map64_clear(&rules->attr[a].numbers);
}
