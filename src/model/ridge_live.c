/* Local ridge learnt event by event, between two trainings.
 *
 * An event changes rows, lists and counts (ridge_change.c). When the entries of a target's column
 * of K have moved by `refresh` of their sum since its last solve, or it never had one, it waits to
 * be solved again, exactly as the fit would over the rows of that moment (ridge_local.c). Not an
 * approximation of the solution but of its date: weights are at most `refresh` old, and what waits.
 *
 * One solve is 0.1 to some ms; an event may cost `effort` additions, about 1.5 ns each. So a solve
 * goes in steps that can stop after any entry; what a step costs more than the event had is taken
 * from the next ones. Rows may change between the steps of one system: then it mixes two moments,
 * no worse than the order of events. Cholesky and the exchange of weights are one step each.
 * Targets wait in two queues: first those without weights and those moved by half (new items,
 * mostly), then the rest; each is in a queue once, so nothing piles up, and under a flood of events
 * weights only get older.
 *
 * Weights of targets solved since the fit are kept by source beside the snapshot's, which no longer
 * count for them. Nothing is saved: a restart replays the log's tail, and the log's order decides
 * every bit. No clock, no randomness, no threads.
 *
 * Memory, blocks being at most half as large again as what is in them and tables twice as large: 44
 * bytes an item and 8 a user; 8 bytes an entry of a changed list and 32 a list; 8 an entry of a
 * changed row and 64 a row; ordered rows, those only met too, 24 more an entry; 12 bytes a weight
 * of a target solved again and 32 a target; one system's scratch, 4·k² and 20 bytes an entry of its
 * lists. With I items, U users and N entries at most 216·I + 144·U + 24·N + 18·k·I + 4·k² + 40·N
 * (36·N more when ordered).
 */
#include "model/ridge_live.h"

#include "base/mem.h"

#include <string.h>

/* Moved by this part of its sum, an item goes into the queue after the first, second, … */
static const float level_from[WN_RIDGE_QUEUES] = {0, 0.2f, 0.5f};

/* Costs in additions. */
#define COST_ENTRY   4  /* of a list */
#define COST_WEIGHT  40 /* exchanged */
#define COST_ORDERED 8  /* times that of an unordered row's entry */

/* ---- life ---- */

wn_ridge_live *wn_ridge_live_create(const wn_ridge_rows *rows,
                                    const wn_ridge_live_options *options) {
  wn_ridge_live *v = wn_calloc(1, sizeof *v);
  if (v == NULL) return NULL;
  v->rows = *rows;
  v->rows.users = v->rows.items = 0;
  memset(v->rows.owned, 0, sizeof v->rows.owned);
  v->k = options->k;
  v->penalty = options->penalty;
  v->threshold = (float)options->threshold;
  v->effort = options->effort;
  if (!wn_ridge_local_init(&v->local, 0, 0, v->k) ||
      !wn_ridge_live_know(v, rows->fit_users + 1, rows->fit_items + 1)) {
    wn_ridge_live_free(v);
    return NULL;
  }
  v->rows.users = rows->fit_users;
  v->rows.items = rows->fit_items;
  for (uint32_t i = 0; i < rows->fit_items; i++) {
    v->diagonal[i] = options->diagonal[i];
    v->count[i].mass = options->mass[i];
  }
  return v;
}

void wn_ridge_live_free(wn_ridge_live *v) {
  if (v == NULL) return;
  wn_ridge_rows_clear(&v->rows);
  wn_ridge_local_clear(&v->local);
  for (size_t i = 0; i < v->solved.len; i++) {
    wn_free(v->solved.data[i].weight);
    wn_free(v->solved.data[i].source);
  }
  wn_vec_clear(&v->solved);
  wn_free(v->count);
  wn_free(v->diagonal);
  wn_free(v->solved_at);
  for (size_t q = 0; q < WN_RIDGE_QUEUES; q++) wn_free(v->queue[q].item);
  wn_free(v);
}

size_t wn_ridge_live_bytes(const wn_ridge_live *v) {
  return v->block_bytes + v->user_cap * 8 +
         v->item_cap * (20 + sizeof *v->count + 4 * WN_RIDGE_QUEUES) +
         v->rows.user.cap * sizeof *v->rows.user.data +
         v->rows.item.cap * sizeof *v->rows.item.data + v->solved.cap * sizeof *v->solved.data +
         v->local.nodes.cap * sizeof *v->local.nodes.data +
         (size_t)v->k * v->k * sizeof *v->local.A;
}

/* ---- queues ---- */

/* An item can be met once more in a queue that it left for another and came back to: `in` knows. */
void wn_ridge_live_queue(wn_ridge_live *v, uint32_t item) {
  wn_ridge_count *c = &v->count[item];
  uint8_t level = 1;
  while (level < WN_RIDGE_QUEUES && c->moved >= level_from[level] * c->mass) level++;
  if (level <= c->level) return;
  c->level = level;
  if (c->in & 1u << level) return;
  wn_ridge_queue *q = &v->queue[level - 1];
  q->item[(q->first + q->len++) % q->cap] = item;
  c->in |= (uint8_t)(1u << level);
}

static bool next_target(wn_ridge_live *v) {
  for (uint8_t level = WN_RIDGE_QUEUES; level > 0; level--) {
    wn_ridge_queue *q = &v->queue[level - 1];
    while (q->len > 0) {
      uint32_t item = q->item[q->first];
      wn_ridge_count *c = &v->count[item];
      q->first = (q->first + 1) % q->cap;
      q->len--;
      c->in &= (uint8_t) ~(1u << level);
      if (c->level != level) continue;
      v->job = (wn_ridge_job){.phase = WN_RIDGE_SOURCES, .target = item};
      c->moved = 0;
      return true;
    }
  }
  return false;
}

uint32_t wn_ridge_live_waiting(const wn_ridge_live *v) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < v->rows.items; i++) n += v->count[i].level > 0;
  return n;
}

/* ---- weights ---- */

static wn_ridge_solved *solved_entry(wn_ridge_live *v, uint32_t item) {
  if (v->solved_at[item] == 0) {
    if (!wn_vec_reserve(&v->solved, v->solved.len + 1)) return NULL;
    v->solved.data[v->solved.len++] = (wn_ridge_solved){0};
    v->solved_at[item] = (uint32_t)v->solved.len;
  }
  return &v->solved.data[v->solved_at[item] - 1];
}

/* Room for one more weight of each member of S. */
static bool reserve(wn_ridge_live *v) {
  for (uint32_t p = 0; p < v->local.len; p++) {
    wn_ridge_solved *s = solved_entry(v, v->local.best[p].ix);
    if (s == NULL) return false;
    if (s->len < s->cap) continue;
    uint32_t cap = s->cap < 4 ? 4 : s->cap + s->cap / 2;
    wn_ridge_cell *weight = wn_reallocarray(s->weight, cap, sizeof *weight);
    if (weight == NULL) return false;
    v->block_bytes += (cap - s->cap) * sizeof *weight;
    s->weight = weight;
    s->cap = cap;
  }
  return true;
}

/* w[source → target]; 0: none. There is room. */
static void set_weight(wn_ridge_live *v, uint32_t source, uint32_t target, float w) {
  wn_ridge_solved *s = solved_entry(v, source);
  uint32_t at = wn_ridge_lower(s->weight, s->len, target);
  bool there = at < s->len && s->weight[at].ix == target;
  if (w != 0 && !there) wn_ridge_cells_put(s->weight, &s->len, at, (wn_ridge_cell){target, w});
  if (w != 0 && there) s->weight[at].value = w;
  if (w == 0 && there) wn_ridge_cells_remove(s->weight, &s->len, at);
}

/* The target's old sources for its new ones; both ascend. */
static bool exchange(wn_ridge_live *v) {
  const wn_ridge_local *l = &v->local;
  uint32_t j = v->job.target;
  uint32_t *source = wn_calloc((size_t)l->len + 1, sizeof *source);
  if (source == NULL || solved_entry(v, j) == NULL || !reserve(v)) {
    wn_free(source);
    return false;
  }
  wn_ridge_solved *t = solved_entry(v, j);
  uint32_t *old = t->source, olds = t->sources;
  v->block_bytes += l->len * sizeof *source - olds * sizeof *old;
  t->source = source;
  t->sources = l->len;
  t->is = true;
  for (uint32_t p = 0, o = 0; p < l->len || o < olds;) {
    bool fresh = o == olds || (p < l->len && l->best[p].ix <= old[o]);
    if (!fresh) {
      set_weight(v, old[o++], j, 0);
      continue;
    }
    o += o < olds && old[o] == l->best[p].ix;
    source[p] = l->best[p].ix;
    set_weight(v, source[p], j, isfinite(l->x[p]) ? l->x[p] : 0);
    p++;
  }
  wn_free(old);
  return true;
}

/* ---- steps: each returns what it cost ---- */

/* The entry of the list at which to go on. */
static uint32_t resume(wn_ridge_list list, uint32_t user) {
  return wn_ridge_lower(list.cell, list.len, user);
}

static int64_t step_sources(wn_ridge_live *v, int64_t credit) {
  wn_ridge_job *job = &v->job;
  wn_ridge_list list = wn_ridge_list_of(&v->rows, job->target);
  int64_t cost = COST_ENTRY;
  uint32_t at = resume(list, job->user);
  for (; at < list.len && cost < credit; at++) {
    wn_ridge_cell owner = list.cell[at];
    job->user = owner.ix + 1;
    if (!wn_ridge_live_clock(v, owner.ix)) continue;
    wn_ridge_local_source(&v->local, &v->rows, job->target, owner);
    cost += COST_ENTRY + (int64_t)wn_ridge_row_of(&v->rows, owner.ix).len;
  }
  if (at < list.len) return cost;
  cost += 2 * (int64_t)v->local.touched_len;
  v->count[job->target].mass = wn_ridge_local_mass(&v->local);
  wn_ridge_local_choose(&v->local, v->diagonal, NULL);
  *job = (wn_ridge_job){.phase = WN_RIDGE_MEMBERS, .target = job->target};
  return cost;
}

/* Whatever has moved meanwhile counts from here on. */
static void finish(wn_ridge_live *v) {
  v->count[v->job.target].level = 0;
  v->job.phase = WN_RIDGE_IDLE;
  wn_ridge_local_reset(&v->local);
}

static int64_t step_members(wn_ridge_live *v, int64_t credit) {
  wn_ridge_job *job = &v->job;
  int64_t cost = COST_ENTRY, entry = v->rows.rule.ordered ? COST_ENTRY * COST_ORDERED : COST_ENTRY;
  while (job->member < v->local.len && cost < credit) {
    wn_ridge_list list = wn_ridge_list_of(&v->rows, v->local.best[job->member].ix);
    uint32_t at = resume(list, job->user);
    for (; at < list.len && cost < credit; at++) {
      wn_ridge_cell owner = list.cell[at];
      job->user = owner.ix + 1;
      cost += entry;
      if (!wn_ridge_live_clock(v, owner.ix)) continue;
      if (!wn_ridge_local_meet(&v->local, &v->rows, job->member, owner)) {
        finish(v);
        return cost;
      }
    }
    if (at < list.len) break;
    job->member++;
    job->user = 0;
  }
  if (job->member == v->local.len) job->phase = WN_RIDGE_PAIRS;
  return cost;
}

static int64_t step_pairs(wn_ridge_live *v, int64_t credit) {
  wn_ridge_job *job = &v->job;
  int64_t cost = COST_ENTRY, n = (int64_t)v->local.len,
          each = v->rows.rule.ordered ? COST_ORDERED : 1;
  for (; job->node < v->local.nodes.len && cost < credit; job->node++) {
    int64_t m = wn_ridge_local_join(&v->local, &v->rows, job->node);
    cost += 1 + COST_ENTRY * m + (3 * m > n && each == 1 ? n * n / 16 : each * m * m / 2);
  }
  if (job->node == v->local.nodes.len) job->phase = WN_RIDGE_SOLVE;
  return cost;
}

static int64_t step_solve(wn_ridge_live *v) {
  int64_t n = (int64_t)v->local.len;
  wn_ridge_local_solve(&v->local, &v->penalty);
  v->solves += exchange(v);
  finish(v);
  return n * n * n / 96 + n * n / 2 + COST_WEIGHT * n;
}

/* What the job could cost beyond `credit` is one entry, one choice of S or one Cholesky. */
static int64_t step(wn_ridge_live *v, int64_t credit) {
  switch (v->job.phase) {
  case WN_RIDGE_SOURCES: return step_sources(v, credit);
  case WN_RIDGE_MEMBERS: return step_members(v, credit);
  case WN_RIDGE_PAIRS: return step_pairs(v, credit);
  case WN_RIDGE_SOLVE: return step_solve(v);
  case WN_RIDGE_IDLE: break;
  }
  return 0;
}

void wn_ridge_live_work(wn_ridge_live *v) {
  v->credit = v->credit < 0 ? v->credit + v->effort : v->effort;
  while (v->credit > 0 && (v->job.phase != WN_RIDGE_IDLE || next_target(v)))
    v->credit -= step(v, v->credit);
}

static void drain(wn_ridge_live *v) {
  while (v->job.phase != WN_RIDGE_IDLE || next_target(v)) (void)step(v, INT64_MAX);
}

void wn_ridge_live_settle(wn_ridge_live *v) {
  drain(v);
  for (uint32_t i = 0; i < v->rows.items; i++)
    if (v->count[i].mass > 0 || wn_ridge_list_of(&v->rows, i).len > 0) wn_ridge_live_queue(v, i);
  drain(v);
}
