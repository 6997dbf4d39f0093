/* Learning from each event, between two trainings: sums of pairs over the snapshot's rows.
 *
 * Source: the update of covisit.c's sum by one event. An event of item j at the time t by a user
 * whose newest items are known adds to W what a fit with that event has more than one without:
 * pairs of j with the items around it, the smaller share of the others of j's basket, and longer
 * gaps across j when it comes late. An item that comes again is taken out and put in anew. A full
 * row is kept by space-saving (Metwally, Agrawal, El Abbadi 2005), in batches: a row may grow
 * to 1.5 to 3 times `neighbours`, then the least by W·popⱼ^−b go, and `floor` is the most that any
 * of them may have had; a newcomer is granted that much when the next are chosen, so that nothing
 * which adds up to more than the floor is lost. Grants do not count in scores.
 *
 * Equal to a fit over the same events, up to float rounding, as long as no row is full. Departures:
 *   – an event meets the user's newest WN_COVISIT_RECENT items; nothing is taken back when a row
 *     outgrows row_max; an item that returns after more items than that counts as a new one;
 *   – members of a basket of more than BASKET_EXACT items keep the share they came with;
 *   – a signal's own `half_life_days` waits for the next training; events of weight 0 change
 * nothing.
 *
 * Why the model remembers users' newest items itself: the engine's merged history costs a sort of
 * everything the user did since the snapshot, for each event; what is needed here is 64 items in
 * order, which an insertion keeps. They come from the snapshot's "history/…" sections when a user
 * is first met and from the events shown here since, so that a snapshot and the log's tail give
 * the same state again. Nothing of it is saved.
 *
 * Bounds: a changed row at most 12 bytes · (the power of two from 2 · neighbours on): 6 KB at 200;
 * a user met since the snapshot at most 32 · 64 bytes, on a shelf (base/shelf.h) that puts the
 * least recently active ones into a file; 16 bytes an item. Time: two table look-ups
 * for each of at most 64 items; 8 times that in a basket, some ten times for an item that comes
 * again or late in the middle of the others. No threads, no randomness, no clock. When memory is
 * out, the pair or event is left out. */
#include "model/covisit.h"

#include <string.h>

#define BASKET_EXACT 8
#define SLOTS_MIN    8u
#define ROW_LEN_MAX  1536 /* three quarters of the slots for 1,000 neighbours */
/* What is left of a pair that was taken out again: rounding, not a co-occurrence. */
#define RESIDUE 1e-5f

static uint32_t slot_of(uint32_t col) {
  return (uint32_t)(col * (uint64_t)0x9e3779b97f4a7c15u >> 32);
}

static uint32_t len_max(uint32_t slots) {
  return slots - slots / 4;
}

static uint32_t row_slots_max(const wn_covisit *m) {
  uint32_t slots = SLOTS_MIN;
  while (slots < 2 * m->head.neighbours) slots *= 2;
  return slots;
}

/* ---- items ---- */

static bool items_reserve(wn_covisit_live *live, size_t need, uint32_t level_bits) {
  if (need <= live->cap) return true;
  size_t cap = live->cap < 64 ? 64 : live->cap;
  while (cap < need) cap *= 2;
  uint32_t *count = wn_reallocarray(live->count, cap, sizeof *count);
  if (count == NULL) return false;
  live->count = count;
  uint32_t *row_of = wn_reallocarray(live->row_of, cap << level_bits, sizeof *row_of);
  if (row_of == NULL) return false;
  live->row_of = row_of;
  float **scales[] = {&live->source, &live->target};
  for (size_t i = 0; i < 2; i++) {
    float *scale = wn_reallocarray(*scales[i], cap, sizeof *scale);
    if (scale == NULL) return false;
    *scales[i] = scale;
  }
  live->cap = cap;
  return true;
}

static void set_count(wn_covisit *m, wn_item_ix i, uint32_t count) {
  m->live.count[i] = count;
  m->live.source[i] = wn_covisit_scale(count, m->head.a);
  m->live.target[i] = wn_covisit_scale(count, m->head.b);
}

static bool know_items(wn_covisit *m, uint32_t items) {
  wn_covisit_live *live = &m->live;
  if (items <= live->items) return true;
  if (items > UINT32_MAX >> 2 || !items_reserve(live, items, m->head.level_bits)) return false;
  memset(live->row_of + ((size_t)live->items << m->head.level_bits), 0,
         ((size_t)(items - live->items) << m->head.level_bits) * sizeof *live->row_of);
  for (uint32_t i = live->items; i < items; i++) {
    set_count(m, i, i < m->head.items ? m->count[i] : 0);
  }
  live->items = items;
  return true;
}

wn_status wn_covisit_live_init(wn_covisit *m, wn_error *err) {
  wn_covisit_live *live = &m->live;
  live->forward = wn_calloc((size_t)m->head.window + 1, sizeof *live->forward);
  live->backward = wn_calloc((size_t)m->head.window + 1, sizeof *live->backward);
  live->users = wn_shelf_create(sizeof(wn_covisit_visit));
  if (live->forward == NULL || live->backward == NULL || live->users == NULL ||
      !know_items(m, m->head.items)) {
    return wn_fail_memory(err);
  }
  wn_covisit_decays(&m->head, live->forward, live->backward);
  live->now_ms = m->head.items > 0 ? m->head.now_ms : -INFINITY;
  return WN_OK;
}

void wn_covisit_live_clear(wn_covisit_live *live) {
  for (size_t i = 0; i < live->rows.len; i++) wn_free(live->rows.data[i].cell);
  void *all[] = {live->count,  live->source,  live->target,
                 live->row_of, live->forward, live->backward};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
  wn_vec_clear(&live->rows);
  wn_shelf_free(live->users);
}

void wn_covisit_bound(wn_model *model, const char *dir, size_t bytes_max) {
  wn_shelf_bound(((wn_covisit *)model)->live.users, dir, bytes_max);
}

void wn_covisit_shelf(const wn_model *model, wn_shelf_stats *out) {
  wn_shelf_stats_get(((const wn_covisit *)model)->live.users, out);
}

size_t wn_covisit_live_bytes(const wn_model *model) {
  const wn_covisit_live *live = &((const wn_covisit *)model)->live;
  wn_shelf_stats shelf;
  wn_shelf_stats_get(live->users, &shelf);
  return live->block_bytes + live->cap * 12 +
         (live->cap << ((const wn_covisit *)model)->head.level_bits) * 4 +
         live->rows.cap * sizeof *live->rows.data + shelf.bytes;
}

/* ---- rows ---- */

/* The cell of column j, or the free one where it would go. */
static wn_covisit_cell *row_cell(const wn_covisit_row *row, uint32_t j) {
  uint32_t mask = row->slots - 1, s = slot_of(j) & mask;
  while (row->cell[s].col != j && row->cell[s].col != WN_NO_IX) s = (s + 1) & mask;
  return &row->cell[s];
}

static uint32_t slots_for(uint32_t len) {
  uint32_t slots = SLOTS_MIN;
  while (len_max(slots) < len) slots *= 2;
  return slots;
}

#define CELL_BYTES (sizeof(wn_covisit_cell) + sizeof(float))

static bool row_init(wn_covisit_live *live, wn_covisit_row *row, uint32_t slots) {
  *row = (wn_covisit_row){.cell = wn_malloc(slots * CELL_BYTES), .slots = slots};
  if (row->cell == NULL) return false;
  row->granted = (float *)(row->cell + slots);
  for (uint32_t s = 0; s < slots; s++) row->cell[s] = (wn_covisit_cell){.col = WN_NO_IX};
  live->block_bytes += slots * CELL_BYTES;
  return true;
}

static void row_put(wn_covisit_row *row, wn_covisit_cell cell, float granted) {
  wn_covisit_cell *at = row_cell(row, cell.col);
  *at = cell;
  row->granted[at - row->cell] = granted;
  row->len++;
}

static bool row_grow(wn_covisit_live *live, wn_covisit_row *row) {
  wn_covisit_row larger;
  if (!row_init(live, &larger, row->slots * 2)) return false;
  for (uint32_t s = 0; s < row->slots; s++) {
    if (row->cell[s].col != WN_NO_IX) row_put(&larger, row->cell[s], row->granted[s]);
  }
  larger.floor = row->floor;
  larger.epoch = row->epoch;
  live->block_bytes -= row->slots * CELL_BYTES;
  wn_free(row->cell);
  *row = larger;
  return true;
}

/* A copy of the snapshot's row i, the first time that it changes. */
static bool row_copy(wn_covisit *m, wn_item_ix i) {
  wn_covisit_live *live = &m->live;
  bool fitted = i < wn_covisit_rows(&m->head);
  uint64_t begin = fitted ? m->row_ptr[i] : 0, end = fitted ? m->row_ptr[i + 1] : 0;
  wn_covisit_row row;
  if (!wn_vec_reserve(&live->rows, live->rows.len + 1) ||
      !row_init(live, &row, slots_for((uint32_t)(end - begin) + 1))) {
    return false;
  }
  float least = INFINITY;
  for (uint64_t k = begin; k < end; k++) {
    uint32_t j = m->col[k];
    if (row_cell(&row, j)->col == j) continue; /* a damaged snapshot names it twice */
    row_put(&row, (wn_covisit_cell){.col = j, .weight = m->weight[k]}, 0);
    least = fminf(least, m->weight[k] * live->target[j >> m->head.level_bits]);
  }
  if (end - begin >= m->head.neighbours) row.floor = least;
  if (m->epoch != NULL && fitted) row.epoch = m->epoch[i];
  live->rows.data[live->rows.len++] = row;
  live->row_of[i] = (uint32_t)live->rows.len;
  return true;
}

/* Back to the best `neighbours`; among equals the first in the table stay. */
static void row_purge(wn_covisit *m, wn_covisit_row *row) {
  wn_covisit_cell cell[ROW_LEN_MAX];
  float granted[ROW_LEN_MAX], key[ROW_LEN_MAX], sorted[ROW_LEN_MAX];
  uint32_t n = 0;
  for (uint32_t s = 0; s < row->slots; s++) {
    wn_covisit_cell c = row->cell[s];
    if (c.col == WN_NO_IX) continue;
    cell[n] = c;
    granted[n] = row->granted[s];
    key[n] = (c.weight + granted[n]) * m->live.target[c.col >> m->head.level_bits];
    row->cell[s].col = WN_NO_IX;
    n++;
  }
  memcpy(sorted, key, n * sizeof *key);
  wn_cut cut = wn_covisit_cut(sorted, n, m->head.neighbours);
  row->len = 0;
  for (uint32_t k = 0; k < n; k++) {
    if (wn_covisit_keeps(&cut, key[k]))
      row_put(row, cell[k], granted[k]);
    else
      row->floor = fmaxf(row->floor, key[k]);
  }
}

/* The row counts in the unit of a later epoch from now on. */
static void row_fade(wn_covisit_row *row, int32_t epoch) {
  float fade = row->len > 0 ? wn_covisit_fade(epoch - row->epoch) : 0;
  for (uint32_t s = 0; s < row->slots && row->len > 0; s++) {
    if (row->cell[s].col == WN_NO_IX) continue;
    row->cell[s].weight *= fade;
    row->granted[s] *= fade;
  }
  row->floor *= fade;
  row->epoch = epoch;
}

/* W[i][j] += x, a pair's that came about at `stamp`; i and j with their levels */
static void row_add(wn_covisit *m, uint32_t i, uint32_t j, float x, wn_covisit_stamp stamp) {
  if (x == 0 || !isfinite(x) || (m->live.row_of[i] == 0 && !row_copy(m, i))) return;
  wn_covisit_row *row = &m->live.rows.data[m->live.row_of[i] - 1];
  if (stamp.epoch > row->epoch || row->len == 0) row_fade(row, stamp.epoch);
  x *= stamp.fade * wn_covisit_fade(row->epoch - stamp.epoch);
  if (x == 0 || !isfinite(x)) return;
  wn_covisit_cell *cell = row_cell(row, j);
  if (cell->col == j) {
    float sum = cell->weight + x;
    if (x < 0 && sum < -x * RESIDUE) sum = 0;
    if (isfinite(sum)) cell->weight = sum;
  } else if (x > 0) {
    bool room = row->len < len_max(row->slots);
    if (!room && row->slots < row_slots_max(m)) {
      if (!row_grow(&m->live, row)) return;
    } else if (!room) {
      row_purge(m, row);
    }
    row_put(row, (wn_covisit_cell){j, x}, row->floor / m->live.target[j >> m->head.level_bits]);
  }
}

/* ---- users ---- */

static uint32_t recent_max(const wn_covisit *m) {
  return m->head.row_max < WN_COVISIT_RECENT ? m->head.row_max : WN_COVISIT_RECENT;
}

/* √w·B^(−¼) for a member of a basket of B. */
static float mass_of(float weight, uint32_t basket) {
  return weight > 0 ? sqrtf(weight) * powf((float)basket, -0.25f) : 0;
}

/* How many entries of that time count. */
static uint32_t basket_size(const wn_covisit_user *u, int64_t time_ms) {
  uint32_t n = 0;
  for (uint32_t k = 0; k < u->len; k++) n += u->data[k].time_ms == time_ms && u->data[k].weight > 0;
  return n;
}

static bool user_reserve(wn_covisit_live *live, wn_shelf_row *row, uint32_t need) {
  uint32_t cap = row->cap < 4 ? 4 : row->cap * 2;
  if (need <= row->cap) return true;
  return wn_shelf_reserve(live->users, row, cap < need ? need : cap);
}

static uint8_t level_of_mask(const wn_covisit *m, uint64_t mask) {
  uint8_t level = 0;
  for (; mask != 0; mask &= mask - 1) {
    uint8_t of_type = m->head.level_of[__builtin_ctzll(mask)];
    if (of_type > level) level = of_type;
  }
  return level;
}

/* The newest of the snapshot's items that say something. */
static bool user_load(wn_covisit *m, wn_user_ix user, wn_shelf_row *row) {
  const wn_history_base *h = &m->live.history;
  if (user >= h->users) return true;
  uint64_t begin = h->row_ptr[user + 1];
  uint32_t n = 0;
  while (begin > h->row_ptr[user] && n < recent_max(m)) n += h->weight[--begin] != 0;
  if (!user_reserve(&m->live, row, n)) return false;
  wn_covisit_user now = {row->at.data, 0}, *u = &now;
  for (uint64_t k = begin; k < h->row_ptr[user + 1]; k++) {
    if (h->weight[k] == 0 || h->item[k] >= m->live.items) continue;
    u->data[u->len++] = (wn_covisit_visit){.item = h->item[k],
                                           .weight = h->weight[k],
                                           .level = level_of_mask(m, h->mask[k]),
                                           .time_ms = h->time_ms[k],
                                           .stamp = wn_covisit_stamp_of(&m->head, h->time_ms[k])};
  }
  for (uint32_t k = 0; k < u->len; k++) {
    u->data[k].mass = mass_of(u->data[k].weight, basket_size(u, u->data[k].time_ms));
  }
  row->len = now.len;
  return true;
}

/* The user's row with room for one more; NULL: no memory, or the file does not give it back. */
static wn_shelf_row *user_at(wn_covisit *m, wn_user_ix user) {
  wn_error why;
  wn_shelf_row *row;
  bool met = wn_shelf_knows(m->live.users, user);
  if (wn_shelf_take(m->live.users, user, &row, &why) != WN_OK) return NULL;
  if (!met && !user_load(m, user, row)) {
    wn_shelf_drop(m->live.users, user);
    return NULL;
  }
  return user_reserve(&m->live, row, row->len + 1) ? row : NULL;
}

void wn_covisit_forget(wn_model *model, wn_user_ix user) {
  wn_covisit_live *live = &((wn_covisit *)model)->live;
  wn_shelf_row *row;
  wn_error why;
  (void)wn_shelf_empty(live->users, user);
  if (wn_shelf_knows(live->users, user) || user >= live->history.users) return;
  /* Forgetting must not fail: without memory to say who, everybody's base goes. */
  if (wn_shelf_take(live->users, user, &row, &why) != WN_OK) live->history = (wn_history_base){0};
}

/* ---- events ---- */

typedef struct pass {
  wn_covisit *m;
  wn_covisit_user *u;               /* the taken row */
  uint32_t step[WN_COVISIT_RECENT]; /* of entries that count, oldest 0 */
} pass;

static void number_steps(pass *p) {
  const wn_covisit_visit *v = p->u->data, *last = NULL;
  uint32_t step = 0;
  for (uint32_t k = 0; k < p->u->len; k++) {
    if (v[k].weight > 0) {
      if (last != NULL && last->time_ms != v[k].time_ms) step++;
      last = &v[k];
    }
    p->step[k] = step;
  }
}

/* The row and column of entry k. */
static uint32_t row_number(const pass *p, uint32_t k) {
  const wn_covisit_visit *v = &p->u->data[k];
  return v->item << p->m->head.level_bits | v->level;
}

/* GCC takes a function that only prefetches for one without effect and drops its calls: these two
 * must be part of their callers. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void prefetch_cell(const wn_covisit_live *live, uint32_t i, uint32_t j) {
  uint32_t at = live->row_of[i];
  if (at == 0) return;
  const wn_covisit_row *row = &live->rows.data[at - 1];
  __builtin_prefetch(&row->cell[slot_of(j) & (row->slots - 1)]);
}

/* Fetches the cells of entry k's pairs with entries from … to − 1, the last first, as they are
 * needed: the misses overlap. No more than that: what is in flight at once is little. */
ALWAYS_INLINE void prefetch(const pass *p, uint32_t k, uint32_t from, uint32_t to) {
  for (uint32_t q = to; q-- > from;) {
    prefetch_cell(&p->m->live, row_number(p, q), row_number(p, k));
    prefetch_cell(&p->m->live, row_number(p, k), row_number(p, q));
  }
}

/* Changes every pair of entry k to what its new mass makes of it. */
static void set_mass(pass *p, uint32_t k, float mass) {
  const wn_covisit *m = p->m;
  wn_covisit_visit *v = p->u->data;
  uint32_t window = m->head.window, first = k, end = k + 1;
  float change = mass - v[k].mass;
  if (change == 0) return;
  v[k].mass = mass;
  while (first > 0 && p->step[k] - p->step[first - 1] <= window) first--;
  while (end < p->u->len && p->step[end] - p->step[k] <= window) end++;
  prefetch(p, k, first, end);
  for (uint32_t q = end; q-- > first;) {
    if (q == k || !(v[q].mass > 0)) continue;
    bool before = p->step[q] < p->step[k];
    uint32_t gap = before ? p->step[k] - p->step[q] : p->step[q] - p->step[k];
    uint32_t earlier = row_number(p, before ? q : k), later = row_number(p, before ? k : q);
    float x = change * v[q].mass;
    wn_covisit_stamp stamp = v[q > k ? q : k].stamp;
    row_add(p->m, earlier, later, x * m->live.forward[gap], stamp);
    row_add(p->m, later, earlier, x * m->live.backward[gap], stamp);
  }
}

static float at_gap(const float *weights, uint32_t gap, uint32_t window) {
  return gap <= window ? weights[gap] : 0;
}

/* An entry came or went between those below `at` and those from `from` on, and a step with it:
 * pairs across it change their gaps. */
static void change_gaps(pass *p, const uint32_t *old_step, uint32_t at, uint32_t from) {
  const wn_covisit_live *live = &p->m->live;
  const wn_covisit_visit *v = p->u->data;
  uint32_t window = p->m->head.window, len = p->u->len;
  if (at == 0 || from >= len) return;
  if (old_step[from] - old_step[at - 1] == p->step[from] - p->step[at - 1]) return;
  for (uint32_t q = from; q < len; q++) {
    uint32_t first = at;
    while (first > 0 && (old_step[q] - old_step[first - 1] <= window ||
                         p->step[q] - p->step[first - 1] <= window)) {
      first--;
    }
    prefetch(p, q, first, at);
    for (uint32_t k = at; k-- > first;) {
      uint32_t old = old_step[q] - old_step[k], gap = p->step[q] - p->step[k];
      float x = v[q].mass * v[k].mass;
      if (!(x > 0)) continue;
      row_add(p->m, row_number(p, k), row_number(p, q),
              x * (at_gap(live->forward, gap, window) - at_gap(live->forward, old, window)),
              v[q].stamp);
      row_add(p->m, row_number(p, q), row_number(p, k),
              x * (at_gap(live->backward, gap, window) - at_gap(live->backward, old, window)),
              v[q].stamp);
    }
  }
}

/* Entries of that time take the share of a basket of their number; `always`: that one in any case.
 */
static void share_basket(pass *p, int64_t time_ms, uint32_t always) {
  const wn_covisit_visit *v = p->u->data;
  uint32_t size = basket_size(p->u, time_ms);
  for (uint32_t k = 0; k < p->u->len; k++) {
    if (v[k].time_ms != time_ms || (size > BASKET_EXACT && k != always)) continue;
    set_mass(p, k, mass_of(v[k].weight, size));
  }
}

static void remove_at(wn_covisit_user *u, uint32_t at) {
  u->len--;
  memmove(u->data + at, u->data + at + 1, (u->len - at) * sizeof *u->data);
}

/* Takes the item out, with its pairs; false: it is not there. */
static bool take_out(pass *p, wn_item_ix item, wn_covisit_visit *out) {
  uint32_t at = 0, old_step[WN_COVISIT_RECENT];
  while (at < p->u->len && p->u->data[at].item != item) at++;
  if (at == p->u->len) return false;
  *out = p->u->data[at];
  number_steps(p);
  set_mass(p, at, 0);
  remove_at(p->u, at);
  memcpy(old_step, p->step, sizeof old_step);
  memmove(old_step + at, old_step + at + 1, (p->u->len - at) * sizeof *old_step);
  number_steps(p);
  change_gaps(p, old_step, at, at);
  share_basket(p, out->time_ms, UINT32_MAX);
  return true;
}

/* Puts it in behind what is not newer. */
static void put_in(pass *p, wn_covisit_visit visit) {
  wn_covisit_user *u = p->u;
  uint32_t at = u->len, old_step[WN_COVISIT_RECENT];
  while (at > 0 && u->data[at - 1].time_ms > visit.time_ms) at--;
  if (u->len >= recent_max(p->m)) {
    if (at == 0) return; /* older than all that are kept */
    remove_at(u, 0);
    at--;
  }
  number_steps(p);
  memcpy(old_step, p->step, sizeof old_step);
  memmove(old_step + at + 1, old_step + at, (u->len - at) * sizeof *old_step);
  memmove(u->data + at + 1, u->data + at, (u->len - at) * sizeof *u->data);
  u->data[at] = visit;
  u->len++;
  number_steps(p);
  old_step[at] = at + 1 < u->len ? old_step[at + 1] : 0;
  change_gaps(p, old_step, at, at + 1);
  share_basket(p, visit.time_ms, at);
}

void wn_covisit_update(wn_model *model, const wn_event *event, float weight) {
  wn_covisit *m = (wn_covisit *)model;
  if (weight == 0 || !isfinite(weight)) return;
  if (event->item == WN_NO_IX || event->user == WN_NO_IX) return;
  wn_shelf_row *row;
  if (!know_items(m, event->item + 1) || (row = user_at(m, event->user)) == NULL) return;
  wn_covisit_user user = {row->at.data, row->len};
  pass p = {.m = m, .u = &user};
  wn_covisit_visit visit = {.item = event->item,
                            .weight = weight,
                            .level = m->head.level_of[wn_signal_told(event->type)],
                            .time_ms = event->time_ms};
  wn_covisit_visit old = {0};
  if (take_out(&p, event->item, &old)) {
    visit.weight = isfinite(old.weight + weight) ? old.weight + weight : old.weight;
    if (old.time_ms > visit.time_ms) visit.time_ms = old.time_ms;
    if (old.level > visit.level) visit.level = old.level;
  }
  uint32_t count = m->live.count[event->item];
  bool counted = old.weight > 0, counts = visit.weight > 0;
  if (counts != counted) {
    set_count(m, event->item, counts ? count + 1 : count > 0 ? count - 1 : 0);
  }
  visit.stamp = wn_covisit_stamp_of(&m->head, visit.time_ms);
  m->live.now_ms = fmax(m->live.now_ms, (double)event->time_ms);
  put_in(&p, visit);
  row->len = user.len;
  wn_shelf_settle(m->live.users);
}
