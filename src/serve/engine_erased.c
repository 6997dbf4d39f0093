/* Which users were deleted, and up to which position of the log.
 *
 * Deleting a user erases her events from the log, but a snapshot that was trained before still
 * holds her history, and she may come back under the same index. So the engine remembers the log
 * position of each deletion: base rows of a snapshot that ends before it are void. The list is kept
 * in the store's meta table ("erased": "user:seq user:seq …"), written before the deletion is
 * acknowledged; entries older than every snapshot are dropped at the next start. A crash between
 * the deletion and this list is mended at the next start, too: users of the snapshot who are not in
 * the store are taken for deleted then.
 *
 * Cost: the whole list is written at each deletion, 10 to 20 bytes a user deleted since the oldest
 * snapshot was trained. */

#include "serve/engine_internal.h"
#include "base/log.h"
#include "base/mem.h"
#include <inttypes.h>
#include <string.h>

#define META_KEY  "erased"
#define BYTES_MAX (64u << 20)

wn_status wn_engine_erased_add(wn_engine *engine, wn_user_ix user, uint64_t seq, wn_error *err) {
  uint64_t *at = wn_map64_at(&engine->erased, user);
  if (at == NULL) return wn_fail_memory(err);
  if (*at < seq) *at = seq;
  return WN_OK;
}

static bool parse_entry(wn_str entry, uint64_t *user, uint64_t *seq) {
  const char *colon = memchr(entry.ptr, ':', entry.len);
  int64_t u = 0, s = 0;
  if (colon == NULL) return false;
  size_t left = (size_t)(colon - entry.ptr);
  if (!wn_parse_int64((wn_str){entry.ptr, left}, &u) ||
      !wn_parse_int64((wn_str){colon + 1, entry.len - left - 1}, &s))
    return false;
  if (u < 0 || u >= WN_NO_IX || s < 0) return false;
  *user = (uint64_t)u;
  *seq = (uint64_t)s;
  return true;
}

static wn_status parse_list(wn_engine *engine, wn_str list, uint64_t seq_min, wn_error *err) {
  wn_status status = WN_OK;
  size_t i = 0;
  while (i < list.len) {
    uint64_t user = 0, seq = 0;
    size_t begin = i;
    while (i < list.len && list.ptr[i] != ' ') i++;
    wn_str entry = {list.ptr + begin, i - begin};
    i++;
    if (entry.len == 0) continue;
    if (!parse_entry(entry, &user, &seq))
      WN_TRY(wn_fail(err, WN_E_CORRUPT, "meta.erased", "expected user:seq, got \"%.*s\"",
                     entry.len > 40 ? 40 : WN_STR_ARG(entry)));
    if (seq >= seq_min) WN_TRY(wn_engine_erased_add(engine, (wn_user_ix)user, seq, err));
  }
cleanup:
  return status;
}

/* The position where the oldest snapshot ends: no base rows are older. */
static wn_status oldest_seq(const wn_engine *engine, uint64_t *seq, wn_error *err) {
  wn_snapshot_entry *entries = NULL;
  size_t count = 0;
  wn_status status = wn_snapshot_list(engine->dir, false, &entries, &count, err);
  *seq = UINT64_MAX;
  for (size_t i = 0; status == WN_OK && i < count; i++)
    if (entries[i].readable && entries[i].about.last_seq < *seq) *seq = entries[i].about.last_seq;
  wn_free(entries);
  return status;
}

wn_status wn_engine_erased_load(wn_engine *engine, wn_error *err) {
  wn_status status = WN_OK;
  wn_arena arena;
  wn_str list = {0};
  uint64_t seq_min = 0;
  wn_arena_init(&arena, BYTES_MAX);
  WN_TRY(oldest_seq(engine, &seq_min, err));
  WN_TRY(wn_store_meta_get(engine->store, META_KEY, &arena, &list, err));
  WN_TRY(parse_list(engine, list, seq_min, err));
cleanup:
  wn_arena_clear(&arena);
  return status;
}

wn_status wn_engine_erased_save(wn_engine *engine, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf text = {0};
  size_t i = 0;
  uint64_t user, seq;
  pthread_rwlock_rdlock(&engine->lock);
  while (wn_map64_next(&engine->erased, &i, &user, &seq))
    wn_buf_printf(&text, "%s%" PRIu64 ":%" PRIu64, text.len > 0 ? " " : "", user, seq);
  pthread_rwlock_unlock(&engine->lock);
  if (wn_buf_c(&text) == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_store_meta_set(engine->store, META_KEY, (wn_str){text.data, text.len}, err));
cleanup:
  wn_buf_clear(&text);
  return status;
}

static wn_status mark_live(void *ctx, wn_user_ix ix, const wn_user_record *user WN_UNUSED,
                           wn_error *err WN_UNUSED) {
  wn_bitset_set(ctx, ix);
  return WN_OK;
}

wn_status wn_engine_erased_mend(wn_engine *engine, const wn_history_base *base, wn_error *err) {
  wn_status status = WN_OK;
  wn_bitset live = {0};
  wn_store_counts counts;
  size_t before = engine->erased.len;
  WN_TRY(wn_store_counts_get(engine->store, &counts, err));
  if (!wn_bitset_init(&live, base->users)) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_store_scan_users(engine->store, mark_live, &live, err));
  for (uint32_t u = 0; u < base->users; u++) {
    if (base->row_ptr[u] == base->row_ptr[u + 1] || wn_bitset_test(&live, u)) continue;
    if (wn_map64_find(&engine->erased, u) == NULL)
      WN_TRY(wn_engine_erased_add(engine, u, counts.last_seq, err));
  }
  if (engine->erased.len > before && engine->mode == WN_STORE_WRITE)
    WN_TRY(wn_engine_erased_save(engine, err));
cleanup:
  wn_bitset_clear(&live);
  return status;
}
