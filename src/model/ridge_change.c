/* Rows, lists and counts of local ridge under events: what a fit over the log so far would find.
 *
 * An event puts its item at the end of its user's row (an ordered one: behind what is not newer),
 * with the sum of the weights that the pair has had; the oldest goes when the row outgrows row_max.
 * The row and the lists of what came or went become the model's own on their first change; what
 * does not change stays the fit's. Departures from a fit: nothing fades before the next training;
 * a pair whose weights sum to nothing positive is forgotten, not remembered as negative; values are
 * scaled as at the last fit; with power 0 a pair's weights count as 1; unordered rows take log
 * order for time.
 *
 * An event costs a walk over the row and an insertion into a list: about a microsecond. When memory
 * is out, the event is left out. */
#include "model/ridge_live.h"

#include "base/mem.h"

#include <string.h>

#define RESIDUE 1e-5

/* ---- more users and items ---- */

static bool grow_raw(void **data, size_t old, size_t cap, size_t size) {
  unsigned char *now = wn_reallocarray(*data, cap, size);
  if (now == NULL) return false;
  memset(now + old * size, 0, (cap - old) * size);
  *data = now;
  return true;
}

#define GROW(array, old, cap) grow_raw((void **)&(array), (old), (cap), sizeof *(array))

static size_t larger(size_t cap, size_t need) {
  if (cap < 64) cap = 64;
  while (cap < need) cap *= 2;
  return cap;
}

static bool grow_queue(wn_ridge_queue *q, size_t cap) {
  uint32_t *item = wn_calloc(cap, sizeof *item);
  if (item == NULL) return false;
  for (uint32_t i = 0; i < q->len; i++) item[i] = q->item[(q->first + i) % q->cap];
  wn_free(q->item);
  *q = (wn_ridge_queue){.item = item, .cap = (uint32_t)cap, .len = q->len};
  return true;
}

static bool know_users(wn_ridge_live *v, uint32_t users) {
  size_t old = v->user_cap, cap = larger(old, users);
  if (users > old && (!GROW(v->rows.user_at, old, cap) || !GROW(v->local.last, old, cap)))
    return false;
  if (users > old) v->user_cap = cap;
  if (users > v->rows.users) v->rows.users = users;
  return true;
}

static bool know_items(wn_ridge_live *v, uint32_t items) {
  size_t old = v->item_cap, cap = larger(old, items);
  if (items > old && (!GROW(v->rows.item_at, old, cap) || !GROW(v->count, old, cap) ||
                      !GROW(v->solved_at, old, cap) || !GROW(v->local.sum, old, cap) ||
                      !GROW(v->local.touched, old, cap) || !GROW(v->diagonal, old, cap)))
    return false;
  for (size_t q = 0; q < WN_RIDGE_QUEUES && items > old; q++)
    if (!grow_queue(&v->queue[q], cap)) return false;
  if (items > old) v->item_cap = cap;
  if (items > v->rows.items) v->rows.items = items;
  return true;
}

bool wn_ridge_live_know(wn_ridge_live *v, uint32_t users, uint32_t items) {
  return know_users(v, users) && know_items(v, items);
}

/* ---- the model's own rows and lists ---- */

static wn_ridge_user *user_entry(wn_ridge_live *v, uint32_t user) {
  wn_ridge_rows *rows = &v->rows;
  if (rows->user_at[user] == 0) {
    if (!wn_vec_reserve(&rows->user, rows->user.len + 1)) return NULL;
    bool fitted = user < rows->fit_users;
    rows->user.data[rows->user.len++] = (wn_ridge_user){
        .row = wn_ridge_row_of(rows, user),
        .time_ms = fitted && rows->time_ms != NULL ? rows->time_ms + rows->user_ptr[user] : NULL};
    rows->user_at[user] = (uint32_t)rows->user.len;
  }
  return &rows->user.data[rows->user_at[user] - 1];
}

/* The user's own row with room for one more. */
static wn_ridge_user *own_row(wn_ridge_live *v, uint32_t user) {
  wn_ridge_user *u = user_entry(v, user);
  bool ordered = v->rows.rule.ordered != 0;
  if (u == NULL || (u->own_cell != NULL && u->cap > u->row.len)) return u;
  uint32_t cap = u->row.len < 4 ? 4 : u->row.len + u->row.len / 2;
  wn_ridge_cell *cell = wn_calloc(cap, sizeof *cell);
  int64_t *time_ms = ordered ? wn_calloc(cap, sizeof *time_ms) : NULL;
  if (cell == NULL || (ordered && time_ms == NULL)) {
    wn_free(cell);
    wn_free(time_ms);
    return NULL;
  }
  if (u->row.len > 0) memcpy(cell, u->row.cell, u->row.len * sizeof *cell);
  if (u->row.len > 0 && ordered) memcpy(time_ms, u->time_ms, u->row.len * sizeof *time_ms);
  wn_free(u->own_cell);
  wn_free(u->own_time);
  v->block_bytes += (cap - u->cap) * (sizeof *cell + (ordered ? sizeof *time_ms : 0));
  u->row.cell = u->own_cell = cell;
  u->time_ms = u->own_time = time_ms;
  u->cap = cap;
  return u;
}

static bool set_clock(wn_ridge_live *v, wn_ridge_user *u) {
  if (u->clock_cap < u->row.len) {
    uint32_t cap = u->cap > u->row.len ? u->cap : u->row.len;
    wn_ridge_clock *clock = wn_reallocarray(u->own_clock, cap, sizeof *clock);
    if (clock == NULL) return false;
    v->block_bytes += (cap - u->clock_cap) * sizeof *clock;
    u->own_clock = clock;
    u->clock_cap = cap;
  }
  wn_ridge_clock_set(&v->rows.rule, u->time_ms, u->row.len, u->own_clock);
  u->row.clock = u->own_clock;
  return true;
}

bool wn_ridge_live_clock(wn_ridge_live *v, uint32_t user) {
  if (!v->rows.rule.ordered || wn_ridge_row_of(&v->rows, user).len == 0) return true;
  wn_ridge_user *u = user_entry(v, user);
  return u != NULL && (u->row.clock != NULL || set_clock(v, u));
}

static wn_ridge_item *item_entry(wn_ridge_live *v, uint32_t item) {
  wn_ridge_rows *rows = &v->rows;
  if (rows->item_at[item] == 0) {
    if (!wn_vec_reserve(&rows->item, rows->item.len + 1)) return NULL;
    rows->item.data[rows->item.len++] = (wn_ridge_item){.list = wn_ridge_list_of(rows, item)};
    rows->item_at[item] = (uint32_t)rows->item.len;
  }
  return &rows->item.data[rows->item_at[item] - 1];
}

static wn_ridge_item *own_list(wn_ridge_live *v, uint32_t item) {
  wn_ridge_item *i = item_entry(v, item);
  if (i == NULL || (i->own != NULL && i->cap > i->list.len)) return i;
  uint32_t cap = i->list.len < 4 ? 4 : i->list.len + i->list.len / 2;
  wn_ridge_cell *own = wn_calloc(cap, sizeof *own);
  if (own == NULL) return NULL;
  if (i->list.len > 0) memcpy(own, i->list.cell, i->list.len * sizeof *own);
  wn_free(i->own);
  v->block_bytes += (cap - i->cap) * sizeof *own;
  i->list.cell = i->own = own;
  i->cap = cap;
  return i;
}

/* ---- cells by index ---- */

uint32_t wn_ridge_lower(const wn_ridge_cell *cell, uint32_t len, uint32_t ix) {
  uint32_t low = 0, high = len;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (cell[mid].ix < ix) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

void wn_ridge_cells_put(wn_ridge_cell *cell, uint32_t *len, uint32_t at, wn_ridge_cell x) {
  memmove(cell + at + 1, cell + at, (*len - at) * sizeof *cell);
  cell[at] = x;
  ++*len;
}

void wn_ridge_cells_remove(wn_ridge_cell *cell, uint32_t *len, uint32_t at) {
  --*len;
  memmove(cell + at, cell + at + 1, (*len - at) * sizeof *cell);
}

static void list_remove(wn_ridge_item *i, uint32_t user) {
  uint32_t at = wn_ridge_lower(i->own, i->list.len, user);
  if (at < i->list.len && i->own[at].ix == user) wn_ridge_cells_remove(i->own, &i->list.len, at);
}

static void list_put(wn_ridge_item *i, uint32_t user, float value) {
  uint32_t at = wn_ridge_lower(i->own, i->list.len, user);
  wn_ridge_cells_put(i->own, &i->list.len, at, (wn_ridge_cell){user, value});
}

/* ---- counts ---- */

/* The row's part of all diagonals, which depends on its length and, if ordered, on all times. */
static void add_diagonal(wn_ridge_live *v, const wn_ridge_row *row, float sign) {
  for (uint32_t p = 0; p < row->len; p++) {
    float x = row->share * row->cell[p].value * row->cell[p].value;
    v->diagonal[row->cell[p].ix] += sign * (row->clock != NULL ? x * row->clock[p].rest : x);
  }
}

static void move(wn_ridge_live *v, uint32_t target, float x) {
  wn_ridge_count *c = &v->count[target];
  c->moved += x;
  if (c->moved > v->threshold * c->mass) wn_ridge_live_queue(v, target);
}

/* What K has of entry p moved. */
static void move_pairs(wn_ridge_live *v, const wn_ridge_row *row, uint32_t p) {
  const wn_ridge_clock *c = row->clock;
  float x = row->share * row->cell[p].value, sum = 0;
  for (uint32_t q = 0; c == NULL && q < row->len; q++) {
    if (q == p) continue;
    sum += x * row->cell[q].value;
    move(v, row->cell[q].ix, x * row->cell[q].value);
  }
  for (uint32_t q = p; c != NULL && q-- > 0 && c[p].at - c[q].at < WN_RIDGE_REACH;) {
    if (c[q].next <= p) sum += x * row->cell[q].value * (float)exp(c[q].at - c[p].at);
  }
  for (uint32_t q = c != NULL ? c[p].next : row->len; q < row->len; q++) {
    if (c[q].at - c[p].at >= WN_RIDGE_REACH) break;
    move(v, row->cell[q].ix, x * row->cell[q].value * (float)exp(c[p].at - c[q].at));
  }
  if (sum > 0) move(v, row->cell[p].ix, sum);
}

/* ---- events ---- */

static void take_out(wn_ridge_live *v, uint32_t user, wn_ridge_user *u, uint32_t p) {
  move_pairs(v, &u->row, p);
  wn_ridge_item *i = own_list(v, u->row.cell[p].ix);
  if (i != NULL) list_remove(i, user);
  wn_ridge_cells_remove(u->own_cell, &u->row.len, p);
  if (u->own_time == NULL) return;
  memmove(u->own_time + p, u->own_time + p + 1, (u->row.len - p) * sizeof *u->own_time);
}

/* The new entry's place. */
static uint32_t put_in(wn_ridge_user *u, wn_ridge_cell cell, int64_t time_ms) {
  uint32_t at = u->row.len;
  while (u->own_time != NULL && at > 0 && u->own_time[at - 1] > time_ms) at--;
  wn_ridge_cells_put(u->own_cell, &u->row.len, at, cell);
  if (u->own_time == NULL) return at;
  memmove(u->own_time + at + 1, u->own_time + at, (u->row.len - 1 - at) * sizeof *u->own_time);
  u->own_time[at] = time_ms;
  return at;
}

/* The weights that a value stands for. */
static double weight_of(const wn_ridge_live *v, float value) {
  double power = v->rows.rule.power;
  return power > 0 ? pow((double)value / v->rows.scale, 1 / power) : 1;
}

/* What is left of weights taken back: rounding. */
static double add_weights(double before, double weight) {
  double sum = before + weight;
  return weight < 0 && sum < -weight * RESIDUE ? 0 : sum;
}

/* Removes the pair if it is there; what it weighed, and its time. */
static double withdraw(wn_ridge_live *v, wn_ridge_user *u, const wn_event *event,
                       int64_t *time_ms) {
  uint32_t p = wn_ridge_place(&u->row, event->item);
  if (p == u->row.len) return 0;
  double weight = weight_of(v, u->row.cell[p].value);
  if (u->own_time != NULL && u->own_time[p] > *time_ms) *time_ms = u->own_time[p];
  take_out(v, event->user, u, p);
  return weight;
}

void wn_ridge_live_change(wn_ridge_live *v, const wn_event *event, float weight) {
  const wn_ridge_rule *rule = &v->rows.rule;
  int64_t time_ms = event->time_ms;
  wn_ridge_user *u = own_row(v, event->user);
  wn_ridge_item *i = own_list(v, event->item);
  if (u == NULL || i == NULL || (rule->ordered && !set_clock(v, u))) return;
  add_diagonal(v, &u->row, -1);
  double sum = add_weights(withdraw(v, u, event, &time_ms), (double)weight);
  bool counts = sum > 0;
  if (counts && u->row.len >= rule->row_max) {
    if (u->own_time != NULL && u->own_time[0] > time_ms) {
      counts = false; /* older than all that are kept */
    } else {
      take_out(v, event->user, u, 0);
    }
  }
  uint32_t at = 0;
  if (counts) {
    float value = wn_ridge_value(v->rows.scale * pow(sum, rule->power));
    at = put_in(u, (wn_ridge_cell){event->item, value}, time_ms);
    list_put(item_entry(v, event->item), event->user, value);
  }
  u->row.share = wn_ridge_share(rule, u->row.len);
  bool clocked = !rule->ordered || set_clock(v, u);
  if (!clocked) u->row.clock = NULL; /* until there is memory again */
  if (!clocked) return;
  add_diagonal(v, &u->row, 1);
  if (counts) move_pairs(v, &u->row, at);
}

/* Without memory for a list of its own, an item keeps an entry of a user who has nothing. */
void wn_ridge_live_forget(wn_ridge_live *v, uint32_t user) {
  if (user >= v->rows.users || wn_ridge_row_of(&v->rows, user).len == 0) return;
  wn_ridge_user *u = wn_ridge_live_clock(v, user) ? user_entry(v, user) : NULL;
  if (u == NULL) { /* forgetting must not fail: without memory to say who, all rows of the fit go */
    v->rows.fit_users = v->rows.fit_items = 0;
    v->effort = 0;
    return;
  }
  add_diagonal(v, &u->row, -1);
  for (uint32_t p = 0; p < u->row.len; p++) {
    wn_ridge_item *i = own_list(v, u->row.cell[p].ix);
    if (i != NULL && i->own != NULL) list_remove(i, user);
    move_pairs(v, &u->row, p);
  }
  wn_free(u->own_cell);
  wn_free(u->own_time);
  wn_free(u->own_clock);
  v->block_bytes -= u->cap * (sizeof *u->own_cell + (u->own_time ? sizeof *u->own_time : 0)) +
                    u->clock_cap * sizeof *u->own_clock;
  *u = (wn_ridge_user){0};
}
