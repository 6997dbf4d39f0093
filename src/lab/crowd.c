#include "lab/crowd.h"
#include "base/mem.h"
#include <math.h>

static bool before(wn_coming a, wn_coming b) {
  return a.day < b.day || (a.day == b.day && a.user < b.user);
}

/* The first one has changed: down to its place. */
static void sink(wn_coming *heap, size_t len) {
  for (size_t i = 0, child; (child = 2 * i + 1) < len; i = child) {
    if (child + 1 < len && before(heap[child + 1], heap[child])) child++;
    if (!before(heap[child], heap[i])) return;
    wn_coming c = heap[i];
    heap[i] = heap[child];
    heap[child] = c;
  }
}

static void rise(wn_coming *heap, size_t i) {
  for (; i > 0 && before(heap[i], heap[(i - 1) / 2]); i = (i - 1) / 2) {
    wn_coming c = heap[i];
    heap[i] = heap[(i - 1) / 2];
    heap[(i - 1) / 2] = c;
  }
}

static double pause_of(wn_crowd *c, uint32_t user) {
  return -log(1 - wn_rng_double(&c->rng)) / (c->visits_a_day * c->world->activity[user]);
}

wn_status wn_crowd_create(wn_world *world, double visits_a_day, uint64_t seed, wn_crowd *out,
                          wn_error *err) {
  wn_status status = WN_OK;
  uint32_t users = world->options.users;
  *out = (wn_crowd){.world = world, .visits_a_day = visits_a_day};
  wn_rng_seed(&out->rng, seed);
  out->coming = wn_calloc(users, sizeof *out->coming);
  out->taken = wn_calloc(users, sizeof *out->taken);
  if (out->coming == NULL || out->taken == NULL) WN_TRY(wn_fail_memory(err));
  for (uint32_t u = 0; u < users; u++) {
    if (world->options.once && !wn_bitset_init(&out->taken[u], world->options.items))
      WN_TRY(wn_fail_memory(err));
    double day = pause_of(out, u);
    if (!isfinite(day)) continue; /* never comes */
    out->coming[out->coming_len++] = (wn_coming){day, u};
    rise(out->coming, out->coming_len - 1);
  }
cleanup:
  if (status != WN_OK) wn_crowd_clear(out);
  return status;
}

void wn_crowd_restart(wn_crowd *c, double day, double visits_a_day) {
  c->visits_a_day = visits_a_day;
  for (size_t i = 0; i < c->coming_len; i++)
    c->coming[i].day = day + pause_of(c, c->coming[i].user);
  for (size_t i = 1; i < c->coming_len; i++) rise(c->coming, i);
}

void wn_crowd_clear(wn_crowd *c) {
  for (uint32_t u = 0; c->taken != NULL && u < c->world->options.users; u++)
    wn_bitset_clear(&c->taken[u]);
  wn_free(c->taken);
  wn_free(c->coming);
  *c = (wn_crowd){0};
}

bool wn_crowd_next(const wn_crowd *c, wn_visitor *out) {
  if (c->coming_len == 0) return false;
  *out = (wn_visitor){c->coming[0].user, c->coming[0].day, &c->taken[c->coming[0].user]};
  return true;
}

void wn_crowd_visited(wn_crowd *c, const uint32_t *items, const wn_browsed *browsed, size_t len) {
  uint32_t user = c->coming[0].user;
  bool satisfied = false;
  for (size_t k = 0; k < len; k++) {
    if (browsed[k].clicked) wn_bitset_set(&c->taken[user], items[k]);
    if (!browsed[k].satisfied) continue;
    satisfied = true;
    wn_world_drift(c->world, user, items[k]);
  }
  double pause = pause_of(c, user);
  if (!satisfied && c->world->options.churn > 0 && wn_rng_double(&c->rng) < c->world->options.churn)
    c->coming[0] = c->coming[--c->coming_len];
  else
    c->coming[0].day += pause;
  sink(c->coming, c->coming_len);
}
