/* Which users were deleted, and up to which position of the log.
 *
 * Deleting a user erases her events from the log, but a snapshot that was trained before still
 * holds her history, and she may come back under the same index. So each deletion is remembered
 * with the log's position (by the store, in the deletion's own transaction): base rows of a
 * snapshot that ends before it are void. And until she is back she is nobody: requests treat her as
 * a user that was never heard of.
 *
 * Memory: 17 bytes and more for each user who is gone or was deleted since the oldest snapshot. */

#include "serve/engine_internal.h"
#include "base/mem.h"

wn_status wn_engine_erased_add(wn_engine *engine, wn_user_ix user, uint64_t seq, wn_error *err) {
  uint64_t *gone = wn_map64_at(&engine->gone, user);
  uint64_t *at = wn_map64_at(&engine->erased, user);
  if (gone == NULL || at == NULL) return wn_fail_memory(err);
  if (*at < seq) *at = seq;
  return WN_OK;
}

void wn_engine_user_back(wn_engine *engine, wn_user_ix user) {
  if (engine->gone.len > 0) (void)wn_map64_remove(&engine->gone, user);
}

bool wn_engine_user_gone(const wn_engine *engine, wn_user_ix user) {
  return engine->gone.len > 0 && wn_map64_find(&engine->gone, user) != NULL;
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

typedef struct erased_load {
  wn_engine *engine;
  uint64_t seq_min;
} erased_load;

static wn_status load_one(void *ctx, wn_user_ix user, uint64_t seq, bool gone, wn_error *err) {
  const erased_load *l = ctx;
  if (gone) return wn_engine_erased_add(l->engine, user, seq, err);
  if (seq < l->seq_min) return WN_OK;
  uint64_t *at = wn_map64_at(&l->engine->erased, user);
  if (at == NULL) return wn_fail_memory(err);
  *at = seq;
  return WN_OK;
}

wn_status wn_engine_erased_load(wn_engine *engine, wn_error *err) {
  wn_status status = WN_OK;
  erased_load l = {.engine = engine};
  WN_TRY(oldest_seq(engine, &l.seq_min, err));
  WN_TRY(wn_store_scan_erased(engine->store, load_one, &l, err));
cleanup:
  return status;
}
