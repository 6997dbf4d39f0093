/* A digest of the state: what a restart must bring back.
 *
 * Covers each user's distinct items with the time of the last event and the types met, in order,
 * and each item's status. Not weights: sums of decayed weights depend on when parts were merged, in
 * the last digits. Users and items by the store's numbers, which never change, so that two
 * processes on the same data directory agree. */
#include "base/clock.h"
#include "serve/engine_internal.h"

enum { STEP = 1024, TRIES = 5 }; /* users between two holds of the lock */

typedef struct digest_pair {
  int64_t time_ms;
  uint64_t mask, item;
} digest_pair;

static void mix(wn_hash128 *digest, const void *bytes, size_t len) {
  wn_hash128 parts[2] = {*digest, wn_hash128_of(bytes, len)};
  *digest = wn_hash128_of(parts, sizeof parts);
}

static wn_status mix_user(const wn_engine *engine, wn_user_ix user, int64_t now_ms, wn_arena *arena,
                          wn_hash128 *digest, wn_error *err) {
  wn_status status;
  wn_pair_list pairs;
  wn_arena_reset(arena);
  WN_TRY(wn_online_user(engine->serving->online, user, now_ms, arena, &pairs, err));
  digest_pair *rows = wn_arena_alloc(arena, (pairs.len + 1) * sizeof *rows);
  if (rows == NULL) WN_TRY(wn_fail_memory(err));
  rows[0] = (digest_pair){(int64_t)pairs.len, 0, user};
  for (size_t i = 0; i < pairs.len; i++)
    rows[i + 1] = (digest_pair){pairs.data[i].time_ms, pairs.data[i].mask, pairs.data[i].item};
  if (pairs.len > 0) mix(digest, rows, (pairs.len + 1) * sizeof *rows);
cleanup:
  return status;
}

static void mix_items(const wn_engine *engine, wn_hash128 *digest) {
  for (uint32_t i = 0; i < wn_catalog_count(engine->catalog); i++) {
    const uint32_t row[2] = {i, (uint32_t)wn_catalog_status(engine->catalog, i)};
    mix(digest, row, sizeof row);
  }
}

/* *moved: an event or a swap came in between. */
static wn_status digest_once(wn_engine *engine, wn_arena *arena, wn_engine_digest *out, bool *moved,
                             wn_error *err) {
  wn_status status = WN_OK;
  int64_t now_ms = wn_now_ms();
  wn_hash128 digest = {0};
  *moved = false;
  for (uint32_t user = 0, users = 1; user < users && status == WN_OK && !*moved; user += STEP) {
    pthread_rwlock_rdlock(&engine->lock);
    users = wn_dict_count(wn_store_users(engine->store));
    if (user == 0) {
      *out = (wn_engine_digest){.last_seq = engine->applied_seq,
                                .snapshot = engine->serving->about.number,
                                .users = users};
      mix_items(engine, &digest);
    }
    *moved = engine->applied_seq != out->last_seq ||
             engine->serving->about.number != out->snapshot || users != out->users;
    uint32_t end = users - user < STEP ? users : user + STEP;
    for (uint32_t u = user; u < end && status == WN_OK && !*moved; u++)
      status = mix_user(engine, u, now_ms, arena, &digest, err);
    pthread_rwlock_unlock(&engine->lock);
  }
  out->digest = digest;
  return status;
}

wn_status wn_engine_digest_get(wn_engine *engine, wn_engine_digest *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_arena arena;
  bool moved = true;
  wn_arena_init(&arena, (size_t)16 << 20);
  for (int i = 0; i < TRIES && moved && status == WN_OK; i++)
    status = digest_once(engine, &arena, out, &moved, err);
  wn_exposure *exposure = atomic_load(&engine->exposure);
  out->counts = exposure != NULL;
  if (exposure != NULL) out->impressions = wn_exposure_digest(exposure);
  if (status == WN_OK && moved)
    status = wn_fail(err, WN_E_BUSY, "", "events keep arriving: a digest needs a quiet moment");
  wn_arena_clear(&arena);
  return status;
}
