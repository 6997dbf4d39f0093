/* Stage 4, order: which slate, in which order, is best together.
 *
 * Greedy over the best max(4n, 200) candidates: each next item is the one with the largest
 *   dpp  λ · score + (1 − λ) · what it adds to ln det of the similarities shown so far (dpp.h):
 * with θ = λ the log-probability of Chen, Zhang and Zhou, NeurIPS 2018, equation 8 mmr  λ · score −
 * (1 − λ) · max over the items shown so far of similarity (Carbonell and Goldstein, SIGIR 1998;
 * departure: similarity clamped to 0 … 1) Candidates past the pool follow by score when the pool is
 * used up.
 *
 * Pins stand at their positions and take their share of the caps first; a pin yields to every rule
 * but "seen". Caps always hold: when they leave too few candidates the slate is shorter, and the
 * trace says so. A cap that is reached blocks all candidates that share the value at once, so that
 * a step only looks at flags.
 *
 * Cost: O(n · pool · (d + window)), and for each cap one pass over the candidates whenever a value
 * becomes full. Deterministic: ties go to the better score, then to the lower item index. */

#include "base/map64.h"
#include "funnel/diversity.h"
#include "funnel/dpp.h"

enum { POOL_MIN = 200, POOL_A_PLACE = 4 };
enum { FREE, TAKEN, BLOCKED };

typedef struct cap {
  const wn_cap *rule;
  const wn_column *column;
  wn_values *values; /* of the candidates */
  wn_map64 counts;   /* value → items of the slate that have it */
  const char *reason;
} cap;

typedef struct order {
  wn_funnel *funnel;
  size_t pool;
  bool diverse;
  wn_similarity similarity; /* of the pool, then of the pins */
  float *row;               /* [pool + pins] */
  float *most;              /* [pool + pins] MMR: similarity with the slate so far, at most */
  wn_dpp dpp;
  uint8_t *state;          /* [candidates] */
  const char **blocked_by; /* [candidates] */
  size_t blocked;
  size_t next; /* no free candidate lies before */
  cap caps[WN_RULES_MAX];
  size_t caps_len;
  const wn_pin *pins[WN_RULES_MAX]; /* ascending position */
  wn_item_ix pin_items[WN_RULES_MAX];
  size_t pins_len, pins_placed;
  const char *moved_by; /* the last thing that put an item before better ones */
} order;

static wn_status init_caps(order *o, wn_error *err) {
  wn_funnel *funnel = o->funnel;
  for (size_t c = 0; c < funnel->surface->caps_len; c++) {
    cap *rule = &o->caps[o->caps_len];
    *rule = (cap){.rule = &funnel->surface->caps[c]};
    rule->column = wn_catalog_column(funnel->request->catalog, wn_str_of(rule->rule->attribute));
    if (rule->column == NULL) continue;
    wn_map64_init(&rule->counts);
    o->caps_len++;
    rule->reason = wn_funnel_format(funnel, "cap:%s", rule->rule->attribute);
    rule->values = wn_arena_alloc(funnel->arena, funnel->candidates_len * sizeof *rule->values);
    if (rule->values == NULL) return wn_fail_memory(err);
    for (size_t i = 0; i < funnel->candidates_len; i++) {
      if (!wn_values_of(rule->column, funnel->candidates[i].item, funnel->arena,
                        &rule->values[i])) {
        return wn_fail_memory(err);
      }
    }
  }
  return WN_OK;
}

static void block_sharing(order *o, const cap *rule, uint64_t key) {
  for (size_t i = 0; i < o->funnel->candidates_len; i++) {
    if (o->state[i] != FREE || !wn_values_hold(&rule->values[i], key)) continue;
    o->state[i] = BLOCKED;
    o->blocked_by[i] = rule->reason;
    o->blocked++;
  }
}

/* Counts an item of the slate against every cap. */
static wn_status count_item(order *o, wn_item_ix item, wn_error *err) {
  for (size_t c = 0; c < o->caps_len; c++) {
    cap *rule = &o->caps[c];
    wn_values values;
    if (!wn_values_of(rule->column, item, o->funnel->arena, &values)) return wn_fail_memory(err);
    for (uint32_t i = 0; i < values.len; i++) {
      uint64_t key = wn_values_keys(&values)[i], *count = wn_map64_at(&rule->counts, key);
      if (count == NULL) return wn_fail_memory(err);
      if (++*count == rule->rule->max) block_sharing(o, rule, key);
    }
  }
  return WN_OK;
}

/* The cap that the items counted so far leave no room under; NULL: none. */
static wn_status full_cap(order *o, wn_item_ix item, const char **reason, wn_error *err) {
  *reason = NULL;
  for (size_t c = 0; c < o->caps_len && *reason == NULL; c++) {
    wn_values values;
    if (!wn_values_of(o->caps[c].column, item, o->funnel->arena, &values)) {
      return wn_fail_memory(err);
    }
    for (uint32_t i = 0; i < values.len; i++) {
      const uint64_t *count = wn_map64_find(&o->caps[c].counts, wn_values_keys(&values)[i]);
      if (count != NULL && *count >= o->caps[c].rule->max) *reason = o->caps[c].reason;
    }
  }
  return WN_OK;
}

static size_t candidate_of(const order *o, wn_item_ix item) {
  size_t i = 0;
  while (i < o->funnel->candidates_len && o->funnel->candidates[i].item != item) i++;
  return i;
}

/* Keeps one pin, or notes why it cannot be kept. */
static wn_status claim_pin(order *o, const wn_pin *pin, wn_error *err) {
  wn_funnel *funnel = o->funnel;
  const char *reason = "no such item";
  wn_item_ix item = wn_catalog_find(funnel->request->catalog, wn_str_of(pin->item));
  if (item != WN_NO_IX && item < funnel->items) {
    reason = wn_filter_reason(funnel, item, false);
    wn_status status = reason == NULL ? full_cap(o, item, &reason, err) : WN_OK;
    if (status != WN_OK) return status;
  }
  if (reason != NULL) {
    if (funnel->trace != NULL) {
      wn_trace_note(funnel->trace, wn_funnel_format(funnel, "pin of \"%s\" at %u not kept: %s",
                                                    pin->item, pin->position, reason));
    }
    return WN_OK;
  }
  size_t candidate = candidate_of(o, item);
  if (candidate < funnel->candidates_len) o->state[candidate] = TAKEN;
  o->pins[o->pins_len] = pin;
  o->pin_items[o->pins_len++] = item;
  return count_item(o, item, err);
}

/* Pins within the slate, by position. */
static wn_status claim_pins(order *o, wn_error *err) {
  const wn_surface *surface = o->funnel->surface;
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
static void place(order *o, wn_item_ix item, size_t candidate, const char *why) {
  wn_funnel *funnel = o->funnel;
  wn_slate_item *slot = &funnel->slate[funnel->slate_len++];
  *slot = (wn_slate_item){.item = item, .propensity = 1.0f};
  if (candidate < funnel->candidates_len) {
    slot->score = funnel->candidates[candidate].score;
    slot->sources = funnel->candidates[candidate].sources;
    o->state[candidate] = TAKEN;
  }
  trace_move(o, item, candidate < funnel->candidates_len ? (uint32_t)candidate + 1 : 0, why);
}

static void place_pin(order *o) {
  size_t p = o->pins_placed++;
  wn_funnel *funnel = o->funnel;
  uint32_t position = (uint32_t)funnel->slate_len + 1;
  if (funnel->trace != NULL && o->pins[p]->position != position) {
    wn_trace_note(funnel->trace,
                  wn_funnel_format(funnel, "pin of \"%s\" moved up from %u to %u", o->pins[p]->item,
                                   o->pins[p]->position, position));
  }
  o->moved_by = "pin above";
  place(o, o->pin_items[p], candidate_of(o, o->pin_items[p]), "pin");
  remember(o, o->pool + p);
  funnel->slate[funnel->slate_len - 1].pinned = true;
}

/* Of a candidate in the pool. */
static float value_of(const order *o, size_t i) {
  const wn_surface *surface = o->funnel->surface;
  float unlike = surface->diversity_method == WN_DIVERSITY_DPP ? o->dpp.gain[i] : -o->most[i];
  return surface->mmr_lambda * o->funnel->candidates[i].score +
         (1.0f - surface->mmr_lambda) * unlike;
}

/* The free candidate to show next; candidates_len: none is left. `next` is set to the best-scored
 * free one. */
static size_t choose(order *o) {
  const wn_funnel *funnel = o->funnel;
  while (o->next < funnel->candidates_len && o->state[o->next] != FREE) o->next++;
  size_t best = o->next;
  float best_value = 0.0f;
  if (!o->diverse || best >= o->pool) return best;
  for (size_t i = o->next; i < o->pool; i++) {
    if (o->state[i] != FREE) continue;
    float value = value_of(o, i);
    if (i != o->next && !(value > best_value)) continue;
    best = i;
    best_value = value;
  }
  return best;
}

/* Why the chosen candidate stands where it stands. */
static const char *reason_of(order *o, size_t chosen) {
  const wn_candidate *candidate = &o->funnel->candidates[chosen];
  size_t position = o->funnel->slate_len + 1, rank = chosen + 1;
  if (chosen != o->next) return o->moved_by = "diversity";
  if (rank > position) {
    for (size_t i = 0; i < chosen; i++) {
      if (o->state[i] == BLOCKED) return o->moved_by = o->blocked_by[i];
    }
  }
  if (rank < position) return o->moved_by;
  return candidate->boost != 1.0f ? "boost" : "";
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
    size_t chosen = choose(o);
    if (chosen < funnel->candidates_len) {
      wn_item_ix item = funnel->candidates[chosen].item;
      place(o, item, chosen, reason_of(o, chosen));
      if (chosen < o->pool) remember(o, chosen);
      status = count_item(o, item, err);
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
  if (funnel->slate_len < funnel->n && o->blocked > 0) {
    wn_trace_note(funnel->trace, wn_funnel_format(funnel, "caps left %zu of %u places empty",
                                                  funnel->n - funnel->slate_len, funnel->n));
  }
  size_t last = 0; /* worst rank shown: those below were not kept out by a cap */
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    if (o->state[i] == TAKEN) last = i;
  }
  if (funnel->slate_len < funnel->n) last = funnel->candidates_len;
  for (size_t i = 0; i < last; i++) {
    if (o->state[i] != BLOCKED) continue;
    wn_trace_drop(funnel->trace, funnel->candidates[i].item, "order", o->blocked_by[i]);
  }
}

static wn_status init(order *o, wn_error *err) {
  wn_funnel *funnel = o->funnel;
  size_t count = funnel->candidates_len, wanted = (size_t)funnel->n * POOL_A_PLACE;
  if (wanted < POOL_MIN) wanted = POOL_MIN;
  o->pool = count < wanted ? count : wanted;
  o->moved_by = "";
  o->state = wn_arena_calloc(funnel->arena, count + 1, sizeof *o->state);
  o->blocked_by = wn_arena_calloc(funnel->arena, count + 1, sizeof *o->blocked_by);
  funnel->slate = wn_arena_alloc(funnel->arena, funnel->n * sizeof *funnel->slate);
  if (o->state == NULL || o->blocked_by == NULL || funnel->slate == NULL) {
    return wn_fail_memory(err);
  }
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
  WN_TRY(init_caps(&o, err));
  WN_TRY(claim_pins(&o, err));
  WN_TRY(init_diversity(&o, err));
  WN_TRY(fill(&o, err));
  trace_order(&o);
cleanup:
  for (size_t c = 0; c < o.caps_len; c++) wn_map64_clear(&o.caps[c].counts);
  return status;
}
