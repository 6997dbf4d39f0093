/* Compiled filters by text. One mutex guards the table; parsing and full evaluation happen outside
 * of it, so that a new filter delays nobody (two threads may compile the same one at the same time;
 * the later replaces the earlier, both are right). An entry that the catalogue has outrun is
 * brought up to date by testing the changed items alone, when few enough changed.
 *
 * Look-up is a scan of at most entries_max hashes. Memory: entries_max × (filter + items / 8
 * bytes). */

#include "base/map64.h"
#include "funnel/expr_tree.h"
#include <pthread.h>
#include <string.h>

typedef struct entry {
  uint64_t hash;
  uint64_t used; /* tick of the last use; 0: free */
  wn_expr *expr;
  wn_bitset items;
  const wn_catalog *catalog;
  uint64_t version; /* of the catalogue that `items` holds for */
} entry;

struct wn_expr_cache {
  pthread_mutex_t lock;
  uint64_t tick;
  size_t cap;
  entry entries[];
};

/* Testing one item costs about as much as this many in a pass by columns. */
enum { ITEMS_PER_TEST = 16 };

wn_expr_cache *wn_expr_cache_create(size_t entries_max) {
  if (entries_max == 0) entries_max = 1;
  if (entries_max > 65536) entries_max = 65536;
  wn_expr_cache *cache = wn_calloc(1, sizeof *cache + entries_max * sizeof(entry));
  if (cache == NULL) return NULL;
  if (pthread_mutex_init(&cache->lock, NULL) != 0) {
    wn_free(cache);
    return NULL;
  }
  cache->cap = entries_max;
  return cache;
}

static void entry_clear(entry *e) {
  wn_expr_free(e->expr);
  wn_bitset_clear(&e->items);
  memset(e, 0, sizeof *e);
}

void wn_expr_cache_free(wn_expr_cache *cache) {
  if (cache == NULL) return;
  for (size_t i = 0; i < cache->cap; i++) entry_clear(&cache->entries[i]);
  pthread_mutex_destroy(&cache->lock);
  wn_free(cache);
}

size_t wn_expr_cache_bytes(wn_expr_cache *cache) {
  size_t bytes = sizeof *cache + cache->cap * sizeof(entry);
  pthread_mutex_lock(&cache->lock);
  for (size_t i = 0; i < cache->cap; i++) bytes += cache->entries[i].items.bits / 8;
  pthread_mutex_unlock(&cache->lock);
  return bytes;
}

static entry *find(wn_expr_cache *cache, uint64_t hash, wn_str text) {
  for (size_t i = 0; i < cache->cap; i++) {
    entry *e = &cache->entries[i];
    if (e->used != 0 && e->hash == hash && wn_str_equal(wn_expr_text(e->expr), text)) return e;
  }
  return NULL;
}

/* Where a new entry goes: its older self, a free place, or that of the least recently used. */
static entry *place_for(wn_expr_cache *cache, uint64_t hash, wn_str text) {
  entry *e = find(cache, hash, text);
  for (size_t i = 0; e == NULL && i < cache->cap; i++) {
    if (cache->entries[i].used == 0) e = &cache->entries[i];
  }
  if (e != NULL) return e;
  e = &cache->entries[0];
  for (size_t i = 1; i < cache->cap; i++) {
    if (cache->entries[i].used < e->used) e = &cache->entries[i];
  }
  return e;
}

static void test_again(entry *e, wn_item_ix item) {
  if (wn_expr_test(e->expr, e->catalog, item))
    wn_bitset_set(&e->items, item);
  else
    wn_bitset_unset(&e->items, item);
}
static void on_change(void *ctx, wn_item_ix item) {
  test_again(ctx, item);
}

/* Brings an entry up to the catalogue's version; false: it must be compiled anew. */
static bool refresh(entry *e, const wn_catalog *catalog) {
  uint64_t version = wn_catalog_version(catalog);
  size_t count = wn_catalog_count(catalog), had = e->items.bits;
  if (e->catalog != catalog || version < e->version || count < had) return false;
  if (version == e->version && count == had) return true;
  if (version - e->version > 64 + count / ITEMS_PER_TEST) return false;
  if (!wn_bitset_grow(&e->items, count)) return false;
  for (size_t i = had; i < count; i++) test_again(e, (wn_item_ix)i);
  if (!wn_catalog_changes(catalog, e->version, on_change, e)) return false;
  e->version = version;
  return true;
}

static wn_status compile(wn_str text, const char *field, const wn_catalog *catalog, entry *out,
                         wn_error *err) {
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  out->catalog = catalog;
  out->version = wn_catalog_version(catalog);
  WN_TRY(wn_expr_parse(text, field, &out->expr, err));
  if (!wn_bitset_init(&out->items, wn_catalog_count(catalog))) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_expr_eval(out->expr, catalog, &out->items, err));
cleanup:
  if (status != WN_OK) entry_clear(out);
  return status;
}

/* True when the cache had it. */
static bool and_cached(wn_expr_cache *cache, uint64_t hash, wn_str text, const wn_catalog *catalog,
                       wn_bitset *io) {
  pthread_mutex_lock(&cache->lock);
  entry *e = find(cache, hash, text);
  bool hit = e != NULL && refresh(e, catalog);
  if (hit) {
    e->used = ++cache->tick;
    wn_bitset_and(io, &e->items);
  } else if (e != NULL) {
    entry_clear(e); /* a refresh that gave up half-way must not be found again */
  }
  pthread_mutex_unlock(&cache->lock);
  return hit;
}

wn_status wn_expr_cache_and(wn_expr_cache *cache, wn_str text, const char *field,
                            const wn_catalog *catalog, wn_bitset *io, wn_error *err) {
  uint64_t hash = wn_hash64(text.ptr, text.len, 0);
  if (and_cached(cache, hash, text, catalog, io)) return WN_OK;
  entry fresh;
  wn_status status = compile(text, field, catalog, &fresh, err);
  if (status != WN_OK) return status;
  wn_bitset_and(io, &fresh.items);
  pthread_mutex_lock(&cache->lock);
  entry *e = place_for(cache, hash, text);
  entry old = *e;
  *e = fresh;
  e->hash = hash;
  e->used = ++cache->tick;
  pthread_mutex_unlock(&cache->lock);
  entry_clear(&old);
  return WN_OK;
}
