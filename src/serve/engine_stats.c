/* What the engine says of itself: counts, positions, and where its memory is. */

#include "serve/engine_exposed.h"
#include "serve/engine_internal.h"

/* Users' histories and what models have learned since the snapshot. */
static size_t serving_bytes(const wn_serving *serving, size_t *each, wn_shelf_stats *shelves,
                            size_t *online_bytes) {
  wn_shelf_stats histories;
  wn_online_shelf(serving->online, &histories);
  *online_bytes = histories.bytes;
  wn_shelf_stats_add(shelves, &histories);
  return wn_models_bytes(&serving->models, each, shelves);
}

static void memory_locked(const wn_engine *engine, wn_engine_stats *out) {
  const wn_serving *s = engine->serving;
  size_t each[WN_MODELS_MAX];
  (void)serving_bytes(s, each, &out->shelves, &out->online_bytes);
  out->models_len = s->models.len;
  for (size_t i = 0; i < s->models.len; i++) {
    out->models[i].name = s->models.data[i]->cls->name;
    out->models[i].bytes = each[i];
  }
  if (s->snapshot != NULL) out->snapshot_bytes = wn_snapshot_bytes(s->snapshot);
  for (size_t i = 0; i < engine->pinned_len; i++) {
    wn_engine_stats index = {0};
    size_t online_bytes, bytes;
    bytes = serving_bytes(engine->pinned[i], NULL, &out->shelves, &online_bytes);
    wn_serving_index_stats(engine->pinned[i], &index);
    out->pinned_bytes += bytes + online_bytes + index.index_bytes;
    out->snapshot_bytes += wn_snapshot_bytes(engine->pinned[i]->snapshot);
  }
  out->catalog_bytes = wn_catalog_bytes(engine->catalog);
  out->deleted_bytes = (engine->erased.cap + engine->gone.cap) * WN_MAP64_BYTES;
}

void wn_engine_stats_get(wn_engine *engine, wn_engine_stats *out) {
  *out = (wn_engine_stats){0};
  const wn_dict *users = wn_store_users(engine->store), *items = wn_store_items(engine->store);
  pthread_rwlock_rdlock(&engine->lock);
  const wn_serving *s = engine->serving;
  out->snapshot = s->about.number;
  out->snapshot_last_seq = s->about.last_seq;
  out->snapshot_created_ms = s->about.created_ms;
  out->snapshot_data_ms = s->about.data_ms;
  out->items = wn_catalog_count(engine->catalog);
  out->items_servable = (uint32_t)wn_bitset_count(wn_catalog_servable(engine->catalog));
  out->last_seq = engine->applied_seq;
  out->replayed_events = s->replayed;
  out->delta_pairs = wn_online_delta_pairs(s->online);
  memory_locked(engine, out);
  wn_serving_index_stats(s, out);
  pthread_rwlock_unlock(&engine->lock);
  out->filter_bytes = wn_expr_cache_bytes(engine->filters);
  out->store_bytes = wn_store_memory_bytes(engine->store);
  out->users = wn_dict_count(users);
  out->dict_bytes = wn_dict_bytes(users) + wn_dict_bytes(items);
  out->sessions = wn_sessions_count(engine->sessions);
  out->session_bytes = wn_sessions_bytes(engine->sessions);
  if (wn_engine_exposure(engine) != NULL)
    out->exposure_bytes = wn_exposure_bytes(wn_engine_exposure(engine));
  out->applies = atomic_load(&engine->applies);
  out->apply_ns = atomic_load(&engine->apply_ns);
  out->last_event_ms = atomic_load(&engine->last_event_ms);
  out->swaps = atomic_load(&engine->swaps);
  out->swap_failures = atomic_load(&engine->swap_failures);
  if (engine->committer != NULL) wn_committer_stats(engine->committer, &out->commits);
  out->slates_lost = atomic_load(&engine->slates_lost);
  out->slates_relaxed = atomic_load(&engine->slates_relaxed);
  out->writable = engine->committer != NULL && wn_store_writable(engine->store);
}
