/* Population: users with a history, drawn alike, each at most once; where a surface is flat,
 * servable items to start from. Each gets both slates with the same seed, so that what differs
 * comes from the configuration and not from chance. The interval of the mean overlap is the normal
 * one over users (100 of them: narrow enough to see whether an edit moves a tenth of a slate).
 *
 * Two slates a user, one after the other, on the thread of slow requests. */
#include "serve/preview.h"

#include "base/clock.h"
#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"
#include "serve/engine_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SLATE_BYTES_MAX ((size_t)32 << 20)
#define DRAWS           50 /* a wanted user: so many are without a history before we give up */
#define MOVERS          20 /* items that are told */
#define TOP             10

/* Shown to how many, before and after: two counters in one number. */
#define AFTER_SHIFT 32

typedef struct preview {
  wn_engine *engine;
  const wn_preview_ask *ask;
  wn_json *json;
  bool flat;
  wn_rng rng;
  wn_arena arena;
  uint32_t *subjects; /* users or items */
  uint32_t len;
  uint64_t known; /* that there were to draw from */
  wn_map64 counts;
  uint32_t changed, reordered, shorter;
  double overlap, overlap2; /* sums */
  uint64_t shown[2];
} preview;

/* ---- who ---- */

static bool has_history(preview *p, wn_user_ix user, wn_error *err) {
  wn_pair_list pairs = {NULL, 0};
  if (wn_engine_user_gone(p->engine, user)) return false;
  wn_arena_reset(&p->arena);
  return wn_online_user(p->engine->serving->online, user, wn_now_ms(), &p->arena, &pairs, err) ==
             WN_OK &&
         pairs.len > 0;
}

static bool taken(const preview *p, uint32_t ix) {
  for (uint32_t i = 0; i < p->len; i++)
    if (p->subjects[i] == ix) return true;
  return false;
}

static wn_status draw(preview *p, wn_error *err) {
  wn_error ignored = {0};
  p->subjects = wn_calloc(p->ask->users, sizeof *p->subjects);
  if (p->subjects == NULL) return wn_fail_memory(err);
  pthread_rwlock_rdlock(&p->engine->lock);
  const wn_bitset *servable = wn_catalog_servable(p->engine->catalog);
  p->known = p->flat ? wn_bitset_count(servable) : wn_dict_count(wn_store_users(p->engine->store));
  uint64_t of = p->flat ? wn_catalog_count(p->engine->catalog) : p->known;
  /* Few enough: all of them in order, else a draw without replacement. */
  bool all = of <= (uint64_t)p->ask->users * 2;
  uint64_t tries = all ? of : (uint64_t)p->ask->users * DRAWS;
  for (uint64_t t = 0; t < tries && p->len < p->ask->users; t++) {
    uint32_t ix = (uint32_t)(all ? t : wn_rng_below(&p->rng, of));
    bool good = p->flat ? wn_bitset_test(servable, ix) : has_history(p, ix, &ignored);
    if (good && !taken(p, ix)) p->subjects[p->len++] = ix;
  }
  pthread_rwlock_unlock(&p->engine->lock);
  return WN_OK;
}

static wn_str subject_id(const preview *p, uint32_t ix) {
  const wn_store *store = p->engine->store;
  return wn_dict_key(p->flat ? wn_store_items(store) : wn_store_users(store), ix);
}

/* ---- two slates ---- */

static wn_status ask_one(preview *p, const wn_policy *policy, uint32_t i, wn_slate_answer *out,
                         wn_error *err) {
  wn_str id = subject_id(p, p->subjects[i]);
  *out = (wn_slate_answer){.len = 0};
  /* Nothing where the surface is not, or was one of another kind. */
  const wn_surface *surface = wn_surfaces_find(&policy->surfaces, wn_str_of(p->ask->surface));
  if (surface == NULL || (surface->flavour == WN_FLAVOUR_FLAT) != p->flat) return WN_OK;
  const wn_slate_request request = {.surface = wn_str_of(p->ask->surface),
                                    .user = p->flat ? (wn_str){NULL, 0} : id,
                                    .item = p->flat ? id : (wn_str){NULL, 0},
                                    .look = true,
                                    .policy = policy,
                                    .seed = wn_mix64(p->ask->seed + i) | 1};
  return wn_engine_slate(p->engine, &request, &p->arena, out, err);
}

static bool holds(const wn_slate_answer *slate, wn_item_ix item) {
  for (size_t i = 0; i < slate->len; i++)
    if (slate->items[i].ix == item) return true;
  return false;
}

static wn_status count_items(preview *p, const wn_slate_answer *slate, int side, wn_error *err) {
  for (size_t i = 0; i < slate->len; i++) {
    uint64_t *count = wn_map64_at(&p->counts, slate->items[i].ix);
    if (count == NULL) return wn_fail_memory(err);
    *count += (uint64_t)1 << (side * AFTER_SHIFT);
  }
  p->shown[side] += slate->len;
  return WN_OK;
}

static double compare(preview *p, const wn_slate_answer *a, const wn_slate_answer *b) {
  size_t same = 0, most = a->len > b->len ? a->len : b->len;
  bool moved = a->len != b->len;
  for (size_t i = 0; i < a->len; i++) {
    same += holds(b, a->items[i].ix);
    moved = moved || a->items[i].ix != b->items[i].ix;
  }
  double overlap = most > 0 ? (double)same / (double)most : 1;
  p->changed += moved;
  p->reordered += moved && same == most;
  p->shorter += b->len < a->len;
  p->overlap += overlap;
  p->overlap2 += overlap * overlap;
  return overlap;
}

static void write_slate(wn_json *json, const char *key, const wn_slate_answer *slate) {
  wn_json_key(json, key);
  wn_json_array(json);
  for (size_t i = 0; i < slate->len; i++) {
    wn_json_object(json);
    wn_json_key(json, "id");
    wn_json_string(json, slate->items[i].id);
    wn_json_key(json, "title");
    wn_json_string(json, slate->items[i].title);
    wn_json_key(json, "pinned");
    wn_json_bool(json, slate->items[i].pinned);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static wn_status one_subject(preview *p, uint32_t i, wn_error *err) {
  wn_status status = WN_OK;
  wn_slate_answer before, after;
  wn_arena_reset(&p->arena);
  WN_TRY(ask_one(p, p->ask->from, i, &before, err));
  WN_TRY(ask_one(p, p->ask->to, i, &after, err));
  WN_TRY(count_items(p, &before, 0, err));
  WN_TRY(count_items(p, &after, 1, err));
  wn_json_object(p->json);
  wn_json_key(p->json, p->flat ? "item" : "user");
  wn_json_string(p->json, subject_id(p, p->subjects[i]));
  wn_json_key(p->json, "overlap");
  wn_json_double(p->json, compare(p, &before, &after));
  write_slate(p->json, "before", &before);
  write_slate(p->json, "after", &after);
  wn_json_end_object(p->json);
cleanup:
  return status;
}

/* ---- what it comes to ---- */

typedef struct mover {
  wn_item_ix item;
  uint32_t before, after;
} mover;

static int by_change(const void *a, const void *b) {
  const mover *x = a, *y = b;
  int64_t dx = llabs((int64_t)x->after - x->before), dy = llabs((int64_t)y->after - y->before);
  if (dx != dy) return dx < dy ? 1 : -1;
  return (x->item > y->item) - (x->item < y->item);
}

static int descending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x < y) - (x > y);
}

static void put_number(wn_json *json, const char *key, double value) {
  wn_json_key(json, key);
  wn_json_double(json, value);
}

/* Distinct items, and which share of all places the most shown ones have. */
static void write_spread(const preview *p, const mover *movers, size_t len, int side,
                         uint32_t *counts) {
  uint64_t distinct = 0, top = 0;
  for (size_t i = 0; i < len; i++) {
    counts[i] = side == 0 ? movers[i].before : movers[i].after;
    distinct += counts[i] > 0;
  }
  if (len > 0) qsort(counts, len, sizeof *counts, descending);
  for (size_t i = 0; i < len && i < TOP; i++) top += counts[i];
  wn_json_key(p->json, side == 0 ? "before" : "after");
  wn_json_object(p->json);
  put_number(p->json, "items_shown", (double)p->shown[side]);
  put_number(p->json, "distinct_items", (double)distinct);
  put_number(p->json, "top10_share", p->shown[side] > 0 ? (double)top / (double)p->shown[side] : 0);
  wn_json_end_object(p->json);
}

static void write_movers(preview *p, const mover *movers, size_t len) {
  wn_json_key(p->json, "items");
  wn_json_array(p->json);
  pthread_rwlock_rdlock(&p->engine->lock);
  for (size_t i = 0; i < len && i < MOVERS && movers[i].before != movers[i].after; i++) {
    wn_json_object(p->json);
    wn_json_key(p->json, "id");
    wn_json_string(p->json, wn_catalog_id(p->engine->catalog, movers[i].item));
    wn_json_key(p->json, "title");
    wn_json_string(p->json, wn_catalog_title(p->engine->catalog, movers[i].item));
    put_number(p->json, "before", movers[i].before);
    put_number(p->json, "after", movers[i].after);
    wn_json_end_object(p->json);
  }
  pthread_rwlock_unlock(&p->engine->lock);
  wn_json_end_array(p->json);
}

static void write_summary(const preview *p, const mover *movers, size_t len, uint32_t *counts) {
  double n = p->len, mean = n > 0 ? p->overlap / n : 1;
  double variance = n > 1 ? (p->overlap2 - n * mean * mean) / (n - 1) : 0;
  double half = n > 0 ? 1.96 * sqrt(fmax(variance, 0) / n) : 0;
  wn_json_key(p->json, "summary");
  wn_json_object(p->json);
  put_number(p->json, "slates", n);
  put_number(p->json, "changed", p->changed);
  put_number(p->json, "reordered", p->reordered);
  put_number(p->json, "shorter", p->shorter);
  put_number(p->json, "overlap", mean);
  put_number(p->json, "overlap_low", fmax(mean - half, 0));
  put_number(p->json, "overlap_high", fmin(mean + half, 1));
  write_spread(p, movers, len, 0, counts);
  write_spread(p, movers, len, 1, counts);
  wn_json_end_object(p->json);
}

static wn_status write_sums(preview *p, wn_error *err) {
  wn_status status = WN_OK;
  uint64_t item, count;
  size_t at = 0, len = 0;
  mover *movers = wn_calloc(p->counts.len + 1, sizeof *movers);
  uint32_t *counts = wn_calloc(p->counts.len + 1, sizeof *counts);
  if (movers == NULL || counts == NULL) WN_TRY(wn_fail_memory(err));
  while (wn_map64_next(&p->counts, &at, &item, &count))
    movers[len++] = (mover){(wn_item_ix)item, (uint32_t)count, (uint32_t)(count >> AFTER_SHIFT)};
  if (len > 0) qsort(movers, len, sizeof *movers, by_change);
  write_summary(p, movers, len, counts);
  write_movers(p, movers, len);
cleanup:
  wn_free(movers);
  wn_free(counts);
  return status;
}

static void write_population(const preview *p) {
  wn_json_key(p->json, "population");
  wn_json_object(p->json);
  wn_json_key(p->json, "of");
  wn_json_cstring(p->json, p->flat ? "servable items" : "users with a history");
  put_number(p->json, "sampled", p->len);
  put_number(p->json, "known", (double)p->known);
  wn_json_key(p->json, "seed");
  wn_json_int(p->json, (int64_t)p->ask->seed);
  wn_json_end_object(p->json);
}

static wn_status run(preview *p, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(draw(p, err));
  wn_json_object(p->json);
  wn_json_key(p->json, "surface");
  wn_json_cstring(p->json, p->ask->surface);
  write_population(p);
  wn_json_key(p->json, "slates");
  wn_json_array(p->json);
  for (uint32_t i = 0; i < p->len; i++) WN_TRY(one_subject(p, i, err));
  wn_json_end_array(p->json);
  WN_TRY(write_sums(p, err));
  wn_json_end_object(p->json);
cleanup:
  return status;
}

wn_status wn_preview(wn_engine *engine, const wn_preview_ask *ask, wn_json *json, wn_error *err) {
  const wn_surface *surface = wn_surfaces_find(&ask->to->surfaces, wn_str_of(ask->surface));
  if (surface == NULL) surface = wn_surfaces_find(&ask->from->surfaces, wn_str_of(ask->surface));
  if (surface == NULL)
    return wn_fail(err, WN_E_NOT_FOUND, "surface", "there is no surface \"%.64s\"", ask->surface);
  if (ask->users < 1 || ask->users > WN_PREVIEW_USERS_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "users", "must be 1 to %d, got %" PRIu32,
                   WN_PREVIEW_USERS_MAX, ask->users);
  preview p = {
      .engine = engine, .ask = ask, .json = json, .flat = surface->flavour == WN_FLAVOUR_FLAT};
  wn_map64_init(&p.counts);
  wn_rng_seed(&p.rng, ask->seed);
  wn_arena_init(&p.arena, SLATE_BYTES_MAX);
  wn_status status = run(&p, err);
  wn_arena_clear(&p.arena);
  wn_map64_clear(&p.counts);
  wn_free(p.subjects);
  return status;
}
