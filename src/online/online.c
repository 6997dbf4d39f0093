/* User state: a snapshot's history rows (base) merged with what the log added since (delta).
 *
 * Delta: one row a user of entries (item, type), each with the sum of its events' weights at the
 * time of the last of them. An exponential decays the same from any moment, so two entries of one
 * type add up exactly: w = w1 × 2^(−(t2−t1)/half-life) + w2. An event is appended; only when a
 * row is full is it sorted and merged, so an event costs O(log row) amortised however often a user
 * repeats herself, and memory stays within twice the merged row.
 *
 * Base: one weight a pair, all types summed at data_ms. Where the types of a pair share a
 * half-life (nearly always) decay is exact; where they differ the slowest one is used, so a pair
 * never fades faster than it should. The exact split would cost a weight for each type and pair on
 * disk. The error ends with the next training.
 *
 * Order: newest first by event time, ties by arrival: base before delta, delta by order of apply.
 * A late event (its time lies before what is known) adds its weight and its type, and moves
 * nothing.
 *
 * Rows lie on a shelf (base/shelf.h): beyond its bound those of the users who did nothing for the
 * longest time wait in a file. A request reads such a row there; an event brings it back.
 *
 * Costs: a user's list is O(base + delta log delta). Threads: see online.h. Deterministic. */

#include "online/online.h"
#include "base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MS_A_DAY (24.0 * 3600.0 * 1000.0)

/* 32 bytes; `weight` holds for `time_ms`. */
typedef struct delta_entry {
  wn_item_ix item;
  uint32_t type;
  double weight;
  int64_t time_ms;
  uint64_t arrival;
} delta_entry;

struct wn_online {
  const wn_signals *signals;
  wn_history_base base;
  int64_t data_ms;
  wn_shelf *rows;      /* of delta_entry, by user */
  wn_bitset forgotten; /* users whose base rows are void */
  uint64_t arrivals;
  uint64_t entries;
};

/* A merged delta pair while a list is made. */
typedef struct merged_pair {
  wn_pair pair;
  uint64_t arrival;
  bool in_base; /* the base's event is the newer one: listed there */
} merged_pair;

wn_online *wn_online_create(const wn_signals *signals, const wn_history_base *base,
                            int64_t data_ms) {
  wn_online *online = wn_calloc(1, sizeof *online);
  wn_shelf *rows = wn_shelf_create(sizeof(delta_entry));
  if (online == NULL || rows == NULL) {
    wn_free(online);
    wn_shelf_free(rows);
    return NULL;
  }
  *online = (wn_online){.signals = signals, .rows = rows, .data_ms = data_ms};
  if (base != NULL) online->base = *base;
  return online;
}

void wn_online_free(wn_online *online) {
  if (online == NULL) return;
  wn_shelf_free(online->rows);
  wn_bitset_clear(&online->forgotten);
  wn_free(online);
}

void wn_online_bound(wn_online *online, const char *dir, size_t bytes_max) {
  wn_shelf_bound(online->rows, dir, bytes_max);
}

static uint64_t type_bit(uint32_t type) {
  return (uint64_t)1 << (type < 63 ? type : 63);
}

/* What is left after `age_ms` of a weight of this type; the future does not grow it. */
static double decay(const wn_signals *signals, uint32_t type, int64_t age_ms) {
  if (type >= signals->len || age_ms <= 0) return 1.0;
  double half_life = (double)signals->data[type].half_life_days;
  return half_life > 0 ? exp2(-(double)age_ms / (half_life * MS_A_DAY)) : 1.0;
}

static bool entry_newer(const delta_entry *a, const delta_entry *b) {
  return a->time_ms > b->time_ms || (a->time_ms == b->time_ms && a->arrival > b->arrival);
}

static int compare_newest(const void *a, const void *b) {
  const delta_entry *x = a, *y = b;
  return entry_newer(x, y) ? -1 : entry_newer(y, x) ? 1 : 0;
}

/* By item, then type, then oldest first. */
static int compare_merge(const void *a, const void *b) {
  const delta_entry *x = a, *y = b;
  if (x->item != y->item) return x->item < y->item ? -1 : 1;
  if (x->type != y->type) return x->type < y->type ? -1 : 1;
  return compare_newest(b, a);
}

/* Merges entries of the same item and type; keeps the newest WN_USER_PAIRS_MAX. */
static void row_compact(wn_online *online, wn_shelf_row *row) {
  delta_entry *data = row->at.data;
  uint32_t len = 0;
  qsort(data, row->len, sizeof *data, compare_merge);
  for (uint32_t i = 0; i < row->len; i++) {
    delta_entry next = data[i];
    delta_entry *last = len > 0 ? &data[len - 1] : NULL;
    if (last != NULL && last->item == next.item && last->type == next.type) {
      next.weight += last->weight * decay(online->signals, next.type, next.time_ms - last->time_ms);
      *last = next;
    } else {
      data[len++] = next;
    }
  }
  if (len > WN_USER_PAIRS_MAX) {
    qsort(data, len, sizeof *data, compare_newest);
    len = WN_USER_PAIRS_MAX;
  }
  online->entries -= row->len - len;
  row->len = len;
}

/* Room for one more: first by merging, then by doubling. */
static bool row_reserve(wn_online *online, wn_shelf_row *row) {
  if (row->len < row->cap) return true;
  if (row->len > 0) row_compact(online, row);
  if (row->len <= row->cap / 2 && row->cap > 0) return true;
  uint32_t cap = row->cap > 0 ? row->cap * 2 : 2;
  if (cap > 2 * WN_USER_PAIRS_MAX) cap = 2 * WN_USER_PAIRS_MAX;
  return wn_shelf_reserve(online->rows, row, cap) || row->len < row->cap;
}

wn_status wn_online_apply(wn_online *online, const wn_event *event, wn_error *err) {
  wn_shelf_row *row;
  wn_status status = wn_shelf_take(online->rows, event->user, &row, err);
  if (status != WN_OK) return status;
  if (!row_reserve(online, row)) return wn_fail_memory(err);
  ((delta_entry *)row->at.data)[row->len++] = (delta_entry){
      .item = event->item,
      .type = event->type,
      .weight = (double)wn_signal_weight(online->signals, event->type, (double)event->value,
                                         event->time_ms, event->time_ms),
      .time_ms = event->time_ms,
      .arrival = ++online->arrivals,
  };
  online->entries++;
  wn_shelf_settle(online->rows);
  return WN_OK;
}

void wn_online_forget(wn_online *online, wn_user_ix user) {
  online->entries -= wn_shelf_empty(online->rows, user);
  if (user >= online->base.users) return;
  if (online->forgotten.bits == 0 && !wn_bitset_init(&online->forgotten, online->base.users)) {
    /* Without the memory for one bit a user the whole base goes: forgetting must not fail. */
    online->base = (wn_history_base){0};
    return;
  }
  wn_bitset_set(&online->forgotten, user);
}

/* The user's rows of the base, the newest WN_USER_PAIRS_MAX of them. */
static void base_range(const wn_online *online, wn_user_ix user, uint64_t *begin, uint64_t *end) {
  *begin = *end = 0;
  if (user >= online->base.users || wn_bitset_test(&online->forgotten, user)) return;
  *begin = online->base.row_ptr[user];
  *end = online->base.row_ptr[user + 1];
  if (*end - *begin > WN_USER_PAIRS_MAX) *begin = *end - WN_USER_PAIRS_MAX;
}

static int compare_merged(const void *a, const void *b) {
  const merged_pair *x = a, *y = b;
  if (x->pair.time_ms != y->pair.time_ms) return x->pair.time_ms > y->pair.time_ms ? -1 : 1;
  return x->arrival > y->arrival ? -1 : x->arrival < y->arrival ? 1 : 0;
}

/* A small hash of the delta's items: slot → index + 1. Linear probing, at most half full. */
typedef struct item_table {
  uint32_t *slots;
  uint32_t mask;
} item_table;

/* Two lists, newest first, into one; `delta` is sorted, the base is walked from its end. */
typedef struct merge {
  const wn_online *online;
  uint64_t begin, end; /* base rows */
  merged_pair *delta;
  size_t delta_len;
  item_table table;
  double factors[64];
} merge;

/* The delta's distinct items, newest first, weights at now_ms. */
static wn_status delta_pairs(const wn_online *online, wn_user_ix user, int64_t now_ms,
                             wn_arena *arena, merge *m, wn_error *err) {
  const void *entries;
  uint32_t count;
  wn_status status = wn_shelf_read(online->rows, user, arena, &entries, &count, err);
  if (status != WN_OK || count == 0) return status;
  delta_entry *sorted = wn_arena_alloc(arena, count * sizeof *sorted);
  merged_pair *pairs = wn_arena_alloc(arena, count * sizeof *pairs);
  size_t len = 0;
  if (sorted == NULL || pairs == NULL) return wn_fail_memory(err);
  memcpy(sorted, entries, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, compare_merge);
  for (uint32_t i = 0; i < count; i++) {
    const delta_entry *e = &sorted[i];
    merged_pair *p = len > 0 ? &pairs[len - 1] : NULL;
    if (p == NULL || p->pair.item != e->item) {
      p = &pairs[len++];
      *p = (merged_pair){.pair = {.item = e->item, .time_ms = e->time_ms}, .arrival = e->arrival};
    }
    p->pair.weight += (float)(e->weight * decay(online->signals, e->type, now_ms - e->time_ms));
    p->pair.mask |= type_bit(e->type);
    if (e->time_ms > p->pair.time_ms ||
        (e->time_ms == p->pair.time_ms && e->arrival > p->arrival)) {
      p->pair.time_ms = e->time_ms;
      p->arrival = e->arrival;
    }
  }
  qsort(pairs, len, sizeof *pairs, compare_merged);
  m->delta = pairs;
  m->delta_len = len;
  return WN_OK;
}

/* Decay from data_ms to now_ms by mask bit; bit 63 stands for many types: the slowest. */
static void base_factors(const wn_online *online, int64_t now_ms, double factors[64]) {
  const wn_signals *signals = online->signals;
  for (size_t i = 0; i < 64; i++) factors[i] = i < signals->len ? 0.0 : 1.0;
  for (uint32_t t = 0; t < signals->len; t++) {
    double f = decay(signals, t, now_ms - online->data_ms);
    size_t bit = t < 63 ? t : 63;
    /* A type that weighs nothing has no share in the sum: it must not slow the others' decay. */
    if (signals->data[t].weight == 0.0f && signals->data[t].below == 0.0f) continue;
    if (f > factors[bit]) factors[bit] = f;
  }
}

static wn_pair base_pair(const wn_online *online, uint64_t i, const double factors[64]) {
  const wn_history_base *base = &online->base;
  double factor = 0.0;
  for (uint64_t mask = base->mask[i]; mask != 0; mask &= mask - 1) {
    double f = factors[__builtin_ctzll(mask)];
    if (f > factor) factor = f;
  }
  return (wn_pair){.item = base->item[i],
                   .weight = (float)((double)base->weight[i] * factor),
                   .time_ms = base->time_ms[i],
                   .mask = base->mask[i]};
}

static uint32_t item_slot(const item_table *table, wn_item_ix item) {
  return (item * 2654435761u) & table->mask;
}

static bool table_build(item_table *table, const merged_pair *pairs, size_t len, wn_arena *arena) {
  uint32_t cap = 4;
  while (cap < 2 * len) cap *= 2;
  table->mask = cap - 1;
  table->slots = wn_arena_calloc(arena, cap, sizeof *table->slots);
  if (table->slots == NULL) return false;
  for (size_t i = 0; i < len; i++) {
    uint32_t s = item_slot(table, pairs[i].pair.item);
    while (table->slots[s] != 0) s = (s + 1) & table->mask;
    table->slots[s] = (uint32_t)i + 1;
  }
  return true;
}

static merged_pair *table_find(const item_table *table, merged_pair *pairs, wn_item_ix item) {
  for (uint32_t s = item_slot(table, item); table->slots[s] != 0; s = (s + 1) & table->mask) {
    merged_pair *p = &pairs[table->slots[s] - 1];
    if (p->pair.item == item) return p;
  }
  return NULL;
}

/* Gives each item that is in both lists to the list where it is newer. */
static void merge_shared(merge *m) {
  for (uint64_t i = m->begin; i < m->end && m->delta_len > 0; i++) {
    merged_pair *d = table_find(&m->table, m->delta, m->online->base.item[i]);
    if (d == NULL) continue;
    wn_pair b = base_pair(m->online, i, m->factors);
    d->pair.weight += b.weight;
    d->pair.mask |= b.mask;
    d->in_base = b.time_ms > d->pair.time_ms;
  }
}

static size_t merge_lists(merge *m, wn_pair *out, size_t cap) {
  size_t len = 0, d = 0;
  uint64_t b = m->end;
  while (len < cap) {
    while (d < m->delta_len && m->delta[d].in_base) d++;
    merged_pair *shared = NULL;
    while (b > m->begin && m->delta_len > 0) {
      shared = table_find(&m->table, m->delta, m->online->base.item[b - 1]);
      if (shared == NULL || shared->in_base) break;
      b--;
    }
    bool base_left = b > m->begin, delta_left = d < m->delta_len;
    if (!base_left && !delta_left) break;
    if (!base_left || (delta_left && m->delta[d].pair.time_ms >= m->online->base.time_ms[b - 1])) {
      out[len++] = m->delta[d++].pair;
      continue;
    }
    wn_pair pair = base_pair(m->online, --b, m->factors);
    if (shared != NULL) {
      pair.weight = shared->pair.weight;
      pair.mask = shared->pair.mask;
    }
    out[len++] = pair;
  }
  return len;
}

wn_status wn_online_user(const wn_online *online, wn_user_ix user, int64_t now_ms, wn_arena *arena,
                         wn_pair_list *out, wn_error *err) {
  merge m = {.online = online};
  *out = (wn_pair_list){NULL, 0};
  if (user == WN_NO_IX) return WN_OK;
  base_range(online, user, &m.begin, &m.end);
  wn_status status = delta_pairs(online, user, now_ms, arena, &m, err);
  if (status != WN_OK) return status;
  size_t cap = (size_t)(m.end - m.begin) + m.delta_len;
  if (cap == 0) return WN_OK;
  if (cap > WN_USER_PAIRS_MAX) cap = WN_USER_PAIRS_MAX;
  wn_pair *pairs = wn_arena_alloc(arena, cap * sizeof *pairs);
  if (pairs == NULL || !table_build(&m.table, m.delta, m.delta_len, arena))
    return wn_fail_memory(err);
  if (m.end > m.begin) base_factors(online, now_ms, m.factors);
  merge_shared(&m);
  *out = (wn_pair_list){pairs, merge_lists(&m, pairs, cap)};
  return WN_OK;
}

void wn_online_shelf(const wn_online *online, wn_shelf_stats *out) {
  wn_shelf_stats_get(online->rows, out);
}

uint64_t wn_online_delta_pairs(const wn_online *online) {
  return online->entries;
}
