/* Titles: bytes in chunks of 1 MiB. Replaced titles leave garbage; when it outweighs what lives
 * (and 1 MiB), everything moves to fresh chunks, so that memory stays below twice the titles plus
 * two chunks and each byte is moved at most once for each byte added. */
#include "base/mem.h"
#include "store/catalog_internal.h"

#define OFFSET_BITS 20
#define LEN_BITS    20
#define LOW_BITS    (((uint64_t)1 << 20) - 1)

static wn_title_ref pack(size_t chunk, size_t offset, size_t len) {
  return (uint64_t)chunk << (OFFSET_BITS + LEN_BITS) | (uint64_t)offset << LEN_BITS | len;
}

static size_t ref_len(wn_title_ref ref) {
  return (size_t)(ref & LOW_BITS);
}

bool wn_title_add(wn_title_pool *pool, wn_str title, wn_title_ref *ref) {
  *ref = 0;
  if (title.len == 0) return true;
  size_t len = title.len < LOW_BITS ? title.len : (size_t)LOW_BITS; /* records hold far less */
  if (pool->chunks.len == 0 || len > WN_TITLE_CHUNK_BYTES - pool->tail) {
    char *chunk = wn_malloc(WN_TITLE_CHUNK_BYTES);
    if (chunk == NULL || !wn_vec_push(&pool->chunks, chunk)) {
      wn_free(chunk);
      return false;
    }
    pool->tail = 0;
  }
  size_t chunk = pool->chunks.len - 1;
  memcpy(pool->chunks.data[chunk] + pool->tail, title.ptr, len);
  *ref = pack(chunk, pool->tail, len);
  pool->tail += len;
  pool->live += len;
  return true;
}

void wn_title_drop(wn_title_pool *pool, wn_title_ref ref) {
  pool->live -= ref_len(ref);
  pool->garbage += ref_len(ref);
}

wn_str wn_title_of(const wn_title_pool *pool, wn_title_ref ref) {
  if (ref == 0) return (wn_str){0};
  size_t chunk = (size_t)(ref >> (OFFSET_BITS + LEN_BITS));
  size_t offset = (size_t)(ref >> LEN_BITS & LOW_BITS);
  return (wn_str){pool->chunks.data[chunk] + offset, ref_len(ref)};
}

void wn_title_pool_clear(wn_title_pool *pool) {
  for (size_t i = 0; i < pool->chunks.len; i++) wn_free(pool->chunks.data[i]);
  wn_vec_clear(&pool->chunks);
  *pool = (wn_title_pool){0};
}

void wn_titles_compact(wn_catalog *c) {
  if (c->pool.garbage <= c->pool.live || c->pool.garbage <= WN_TITLE_CHUNK_BYTES) return;
  wn_title_pool fresh = {0};
  wn_title_ref *refs = wn_reallocarray(NULL, c->cap, sizeof *refs);
  bool ok = refs != NULL;
  for (uint32_t i = 0; ok && i < c->count; i++) {
    ok = wn_title_add(&fresh, wn_title_of(&c->pool, c->titles[i]), &refs[i]);
  }
  if (!ok) { /* no memory now: the next change tries again */
    wn_title_pool_clear(&fresh);
    wn_free(refs);
    return;
  }
  wn_title_pool_clear(&c->pool);
  wn_free(c->titles);
  c->pool = fresh;
  c->titles = refs;
}
