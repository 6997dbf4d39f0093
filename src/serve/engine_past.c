/* What is known of a user when a slate is asked for: what she took, or, before her first event,
 * what she says of herself. */
#include "serve/engine_internal.h"

static wn_status fill_history(const wn_engine *engine, wn_query *query, wn_pair_list pairs,
                              wn_arena *arena, wn_error *err) {
  size_t cap = pairs.len < WN_HISTORY_MAX ? pairs.len : WN_HISTORY_MAX;
  if (cap == 0) return WN_OK;
  wn_history_entry *history = wn_arena_alloc(arena, cap * sizeof *history);
  uint8_t *standing = wn_arena_alloc(arena, cap), *type = wn_arena_alloc(arena, cap);
  if (history == NULL || standing == NULL || type == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < pairs.len && query->history_len < cap; i++) {
    const wn_pair *pair = &pairs.data[i];
    if (pair->weight == 0.0f) continue;
    standing[query->history_len] =
        (uint8_t)wn_signals_standing(&engine->serving->signals, pair->mask, pair->weight);
    type[query->history_len] = wn_signal_strongest(&engine->serving->signals, pair->mask);
    history[query->history_len++] =
        (wn_history_entry){.item = pair->item, .weight = pair->weight, .time_ms = pair->time_ms};
  }
  query->history = history;
  query->history_standing = standing;
  query->history_type = type;
  return WN_OK;
}

/* One read by key, some tens of microseconds, for users without a history alone. A row that cannot
 * be read costs nobody a slate. */
static wn_status find_attrs(const wn_engine *engine, wn_query *query, wn_arena *arena,
                            wn_error *err) {
  wn_user_record *user = wn_arena_alloc(arena, sizeof *user);
  if (user == NULL) return wn_fail_memory(err);
  wn_error why = {0};
  wn_status status = wn_store_get_user(engine->store, query->user, arena, user, &why);
  if (status == WN_E_MEMORY) return wn_fail_memory(err);
  if (status == WN_OK && user->attrs.len > 0) query->user_attrs = &user->attrs;
  return WN_OK;
}

wn_status wn_engine_history(const wn_engine *engine, wn_query *query, wn_pair_list pairs,
                            wn_arena *arena, wn_error *err) {
  wn_status status = fill_history(engine, query, pairs, arena, err);
  if (status != WN_OK || query->history_len > 0 || query->user == WN_NO_IX) return status;
  return find_attrs(engine, query, arena, err);
}
