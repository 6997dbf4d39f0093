/* Looking for items and users, and what a user has met: what a person asks of a running engine. */
#include "serve/find.h"

#include "base/clock.h"
#include "serve/engine_internal.h"
#include <string.h>
#include <sys/random.h>

enum { STEP = 8192 };                       /* records between two holds of the lock */
#define HISTORY_BYTES_MAX ((size_t)8 << 20) /* of one user */

/* A place in the order of answers is fit · 2^32 + ix, so that a page can begin where the last one
 * ended. Each fit keeps its first n. */
typedef struct finder {
  const wn_find *find;
  uint32_t *kept[WN_FIT_NONE];
  size_t kept_len[WN_FIT_NONE];
} finder;

static wn_status finder_init(finder *f, const wn_find *find, wn_arena *arena, wn_found *out,
                             wn_error *err) {
  *f = (finder){.find = find};
  *out = (wn_found){.ix = wn_arena_alloc(arena, find->n * sizeof *out->ix)};
  if (out->ix == NULL) return wn_fail_memory(err);
  for (int fit = 0; fit < WN_FIT_NONE; fit++) {
    f->kept[fit] = wn_arena_alloc(arena, ((size_t)find->n + 1) * sizeof(uint32_t));
    if (f->kept[fit] == NULL) return wn_fail_memory(err);
  }
  return WN_OK;
}

static uint64_t place(int fit, uint32_t ix) {
  return (uint64_t)fit << 32 | ix;
}

static void look_at(finder *f, uint32_t ix, wn_str id, wn_str title) {
  wn_fit fit = wn_find_fit(f->find->q, id, title);
  if (fit == WN_FIT_NONE || place((int)fit, ix) < f->find->from) return;
  if (f->kept_len[fit] <= f->find->n) f->kept[fit][f->kept_len[fit]++] = ix;
}

static void finder_end(const finder *f, wn_found *out) {
  for (int fit = 0; fit < WN_FIT_NONE; fit++) {
    for (size_t i = 0; i < f->kept_len[fit]; i++) {
      if (out->len == f->find->n) {
        out->next = place(fit, f->kept[fit][i]);
        return;
      }
      out->ix[out->len++] = f->kept[fit][i];
    }
  }
}

/* Under the lock: items from `at`, a step of them. */
static wn_status find_step(wn_engine *engine, finder *f, uint32_t at, wn_arena *arena,
                           uint32_t *end, wn_error *err) {
  const wn_catalog *catalog = engine->catalog;
  const wn_bitset *servable = wn_catalog_servable(catalog);
  wn_bitset allowed = {.words = NULL};
  uint32_t count = wn_catalog_count(catalog);
  bool filtered = f->find->filter.len > 0;
  /* A filter is one bitmap of the whole catalogue: one step, then, as in a slate. */
  *end = filtered || count - at < STEP ? count : at + STEP;
  if (filtered) {
    if (!wn_bitset_init_arena(&allowed, count, arena)) return wn_fail_memory(err);
    wn_bitset_fill(&allowed, true);
    wn_status status =
        wn_expr_cache_and(engine->filters, f->find->filter, "filter", catalog, &allowed, err);
    if (status != WN_OK) return status;
  }
  for (uint32_t ix = at; ix < *end; ix++) {
    if (filtered && !wn_bitset_test(&allowed, ix)) continue;
    if (!f->find->hidden_too && !wn_bitset_test(servable, ix)) continue;
    if (wn_catalog_status(catalog, ix) == WN_ITEM_DELETED) continue;
    look_at(f, ix, wn_catalog_id(catalog, ix), wn_catalog_title(catalog, ix));
  }
  return WN_OK;
}

wn_status wn_engine_find_items(wn_engine *engine, const wn_find *find, wn_arena *arena,
                               wn_found *out, wn_error *err) {
  wn_status status = WN_OK;
  finder f;
  WN_TRY(finder_init(&f, find, arena, out, err));
  for (uint32_t at = 0, end = 0;; at = end) {
    pthread_rwlock_rdlock(&engine->lock);
    bool more = at < wn_catalog_count(engine->catalog);
    if (more) status = find_step(engine, &f, at, arena, &end, err);
    pthread_rwlock_unlock(&engine->lock);
    if (!more || status != WN_OK) break;
  }
  finder_end(&f, out);
cleanup:
  return status;
}

wn_status wn_engine_find_users(wn_engine *engine, const wn_find *find, wn_arena *arena,
                               wn_found *out, wn_error *err) {
  wn_status status = WN_OK;
  finder f;
  const wn_dict *users = wn_store_users(engine->store);
  WN_TRY(finder_init(&f, find, arena, out, err));
  for (uint32_t at = 0, count = wn_dict_count(users); at < count; at += STEP) {
    pthread_rwlock_rdlock(&engine->lock);
    for (uint32_t ix = at; ix < count && ix < at + STEP; ix++) {
      if (wn_engine_user_gone(engine, ix)) continue;
      look_at(&f, ix, wn_dict_key(users, ix), (wn_str){NULL, 0});
    }
    pthread_rwlock_unlock(&engine->lock);
  }
  finder_end(&f, out);
cleanup:
  return status;
}

wn_user_ix wn_engine_random_user(wn_engine *engine) {
  uint32_t count = wn_dict_count(wn_store_users(engine->store)), draw = 0;
  wn_user_ix found = WN_NO_IX;
  if (count == 0 || getrandom(&draw, sizeof draw, 0) != (ssize_t)sizeof draw) return WN_NO_IX;
  pthread_rwlock_rdlock(&engine->lock);
  for (uint32_t i = 0; i < count && found == WN_NO_IX; i++) {
    wn_user_ix user = (wn_user_ix)(((uint64_t)draw + i) % count);
    if (!wn_engine_user_gone(engine, user)) found = user;
  }
  pthread_rwlock_unlock(&engine->lock);
  return found;
}

static const char **names_of(const wn_signals *signals, uint64_t mask, wn_arena *arena,
                             size_t *len) {
  const char **names = wn_arena_calloc(arena, 64, sizeof *names);
  for (uint32_t t = 0; names != NULL && t < 64 && t < signals->len; t++) {
    if ((mask >> t & 1) == 0) continue;
    const char *name = t < 63 ? signals->data[t].name : "others";
    names[*len] = wn_arena_strdup(arena, wn_str_of(name));
    if (names[(*len)++] == NULL) return NULL;
  }
  return names;
}

static wn_status copy_met(const wn_engine *engine, const wn_pair *pair, wn_arena *arena,
                          wn_met *out, wn_error *err) {
  wn_str title = wn_catalog_title(engine->catalog, pair->item);
  *out = (wn_met){.id = wn_arena_str(arena, wn_catalog_id(engine->catalog, pair->item)),
                  .title = wn_arena_str(arena, title),
                  .status = wn_catalog_status(engine->catalog, pair->item),
                  .weight = pair->weight,
                  .time_ms = pair->time_ms};
  out->types = names_of(&engine->serving->signals, pair->mask, arena, &out->types_len);
  if (out->id.ptr == NULL || out->types == NULL || (title.ptr != NULL && out->title.ptr == NULL))
    return wn_fail_memory(err);
  return WN_OK;
}

static wn_status history_locked(wn_engine *engine, wn_str id, wn_page page, wn_arena *arena,
                                wn_met_list *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_pair_list pairs;
  wn_user_ix user = wn_store_find_user(engine->store, id);
  if (user == WN_NO_IX || wn_engine_user_gone(engine, user))
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "id", "no such user"));
  WN_TRY(wn_online_user(engine->serving->online, user, wn_now_ms(), arena, &pairs, err));
  out->total = pairs.len;
  for (size_t i = page.from; i < pairs.len && out->len < page.n; i++)
    WN_TRY(copy_met(engine, &pairs.data[i], arena, &out->data[out->len++], err));
cleanup:
  return status;
}

wn_status wn_engine_user_history(wn_engine *engine, wn_str user, wn_page page, wn_arena *arena,
                                 wn_met_list *out, wn_error *err) {
  *out = (wn_met_list){.data = wn_arena_calloc(arena, page.n, sizeof *out->data)};
  if (out->data == NULL) return wn_fail_memory(err);
  pthread_rwlock_rdlock(&engine->lock);
  wn_status status = history_locked(engine, user, page, arena, out, err);
  pthread_rwlock_unlock(&engine->lock);
  return status;
}

size_t wn_engine_user_items(wn_engine *engine, wn_user_ix user) {
  wn_pair_list pairs = {NULL, 0};
  wn_error ignored;
  wn_arena arena;
  wn_arena_init(&arena, HISTORY_BYTES_MAX);
  pthread_rwlock_rdlock(&engine->lock);
  wn_status status =
      wn_online_user(engine->serving->online, user, wn_now_ms(), &arena, &pairs, &ignored);
  pthread_rwlock_unlock(&engine->lock);
  wn_arena_clear(&arena);
  return status == WN_OK ? pairs.len : 0;
}
