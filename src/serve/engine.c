/* Opening, closing and describing the engine. State is always snapshot + log: what is loaded here
 * is what the commit hook (engine_commit.c) keeps current afterwards. */

#include "serve/engine_exposed.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <inttypes.h>
#include <string.h>

#define FILTERS_MAX       64 /* compiled filters kept: a bitmap each */
#define PATCH_BYTES_MAX   (8u << 20)
#define SESSION_BYTES_MAX (64u << 20)

/* How long each step of opening took. */
typedef struct opening {
  wn_engine *engine;
  const wn_progress *progress;
  uint64_t start_ns, step_ns;
} opening;

static wn_status step(opening *o, const char *stage, wn_error *err) {
  o->step_ns = wn_mono_ns();
  if (wn_progress_at(o->progress, stage, 0, 0, "")) return WN_OK;
  return wn_fail(err, WN_E_CANCELLED, "", "cancelled while opening");
}

static double step_ms(const opening *o) {
  return (double)(wn_mono_ns() - o->step_ns) / 1e6;
}

static wn_engine *engine_create(const char *dir, wn_store_mode mode, wn_config *config) {
  wn_engine *engine = wn_calloc(1, sizeof *engine);
  if (engine == NULL) {
    wn_config_clear(config);
    return NULL;
  }
  engine->policy = wn_policy_create(config);
  engine->config = *config;
  *config = (wn_config){0};
  engine->mode = mode;
  engine->dir = wn_strdup(dir);
  wn_map64_init(&engine->erased);
  wn_map64_init(&engine->gone);
  wn_arena_init(&engine->patch_arena, PATCH_BYTES_MAX);
  pthread_rwlockattr_t attr;
  pthread_rwlockattr_init(&attr);
  /* Readers come without a pause under load: by default a writer would wait for ever. */
  pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&engine->lock, &attr);
  pthread_rwlockattr_destroy(&attr);
  pthread_mutex_init(&engine->refresh_lock, NULL);
  pthread_mutex_init(&engine->policy_lock, NULL);
  pthread_mutex_init(&engine->change_lock, NULL);
  engine->filters = wn_expr_cache_create(FILTERS_MAX);
  wn_sessions_options options;
  wn_sessions_options_defaults(&options);
  options.ttl_ms = (int64_t)engine->config.server.session_minutes * 60000;
  engine->sessions = wn_sessions_create(&options);
  if (engine->dir != NULL && engine->filters != NULL && engine->sessions != NULL &&
      engine->policy != NULL)
    return engine;
  wn_engine_close(engine);
  return NULL;
}

void wn_engine_close(wn_engine *engine) {
  if (engine == NULL) return;
  if (engine->committer != NULL) wn_committer_stop(engine->committer);
  wn_serving_free(engine->serving);
  wn_engine_unpin(engine, NULL);
  wn_catalog_free(engine->catalog);
  wn_expr_cache_free(engine->filters);
  wn_sessions_free(engine->sessions);
  wn_exposure_free(atomic_load(&engine->exposure));
  wn_store_close(engine->store);
  wn_map64_clear(&engine->erased);
  wn_map64_clear(&engine->gone);
  wn_vec_clear(&engine->changed_items);
  wn_arena_clear(&engine->patch_arena);
  pthread_rwlock_destroy(&engine->lock);
  pthread_mutex_destroy(&engine->refresh_lock);
  pthread_mutex_destroy(&engine->policy_lock);
  pthread_mutex_destroy(&engine->change_lock);
  wn_policy_unref(engine->policy);
  wn_config_clear(&engine->config);
  wn_free(engine->dir);
  wn_free(engine);
}

static wn_status hide_bare(void *ctx, wn_item_ix ix, uint64_t rev WN_UNUSED,
                           const wn_item_record *item, wn_error *err WN_UNUSED) {
  wn_engine *engine = ctx;
  if (item->status == WN_ITEM_ACTIVE && wn_engine_item_bare(item))
    wn_catalog_set_status(engine->catalog, ix, WN_ITEM_HIDDEN);
  return WN_OK;
}

static wn_status load_catalog(opening *o, wn_error *err) {
  wn_engine *engine = o->engine;
  wn_status status = WN_OK;
  WN_TRY(step(o, "catalogue", err));
  engine->catalog = wn_catalog_create(wn_store_items(engine->store));
  if (engine->catalog == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_catalog_load(engine->catalog, engine->store, err));
  if (engine->config.items_strict)
    WN_TRY(wn_store_scan_items(engine->store, 0, hide_bare, engine, err));
  wn_log(WN_LOG_INFO, "open: catalogue items=%" PRIu32 " ms=%.1f",
         wn_catalog_count(engine->catalog), step_ms(o));
cleanup:
  return status;
}

/* The current snapshot's state, or the empty one when there is none that fits. */
static wn_status load_snapshot(opening *o, wn_error *err) {
  wn_engine *engine = o->engine;
  wn_status status = WN_OK;
  wn_snapshot *snapshot = NULL;
  wn_error why = {0};
  char text[900];
  WN_TRY(step(o, "snapshot", err));
  WN_TRY(wn_engine_erased_load(engine, err));
  engine->mark = wn_engine_current_mark(engine);
  WN_TRY(wn_snapshot_open_current(engine->dir, wn_store_uuid(engine->store), &snapshot, err));
  status = wn_serving_create(engine, snapshot, &engine->serving, &why);
  if (status != WN_OK && status != WN_E_MEMORY && snapshot != NULL) {
    wn_log(WN_LOG_ERROR, "serving without a snapshot: %s",
           wn_error_format(&why, text, sizeof text));
    status = wn_serving_create(engine, NULL, &engine->serving, &why);
  }
  if (status != WN_OK && err != NULL) *err = why;
  if (status == WN_OK) wn_serving_forget_erased(engine, engine->serving);
  wn_log(WN_LOG_INFO, "open: snapshot number=%" PRIu64 " ms=%.1f",
         status == WN_OK ? engine->serving->about.number : 0, step_ms(o));
cleanup:
  return status;
}

static wn_status replay_log(opening *o, wn_error *err) {
  wn_engine *engine = o->engine;
  wn_status status = WN_OK;
  WN_TRY(step(o, "replay", err));
  WN_TRY(wn_serving_catch_up(engine, engine->serving, err));
  engine->applied_seq = engine->serving->last_seq;
  wn_log(WN_LOG_INFO, "open: replayed events=%" PRIu64 " ms=%.1f", engine->serving->replayed,
         step_ms(o));
cleanup:
  return status;
}

wn_status wn_engine_session_name(wn_str session, wn_str user, wn_arena *arena, wn_str *name,
                                 wn_error *err) {
  /* A prefix, so that a session called like a user is not hers. */
  wn_str id = session.len > 0 ? session : user;
  *name = (wn_str){0};
  if (id.len == 0) return WN_OK;
  char *bytes = wn_arena_alloc(arena, id.len + 2);
  if (bytes == NULL) return wn_fail_memory(err);
  bytes[0] = session.len > 0 ? 's' : 'u';
  bytes[1] = ':';
  memcpy(bytes + 2, id.ptr, id.len);
  *name = (wn_str){bytes, id.len + 2};
  return WN_OK;
}

typedef struct session_replay {
  wn_engine *engine;
  wn_arena arena;
} session_replay;

static wn_status replay_slate(void *ctx, const wn_slate_log *slate, wn_error *err) {
  session_replay *r = ctx;
  wn_status status = WN_OK;
  wn_str name;
  wn_str user = slate->user != WN_NO_IX ? wn_dict_key(wn_store_users(r->engine->store), slate->user)
                                        : slate->user_id;
  wn_arena_reset(&r->arena);
  WN_TRY(wn_engine_session_name(slate->session, user, &r->arena, &name, err));
  if (name.len > 0)
    WN_TRY(
        wn_sessions_add(r->engine->sessions, name, slate->time_ms, slate->items, slate->len, err));
cleanup:
  return status;
}

static wn_status replay_sessions(opening *o, wn_error *err) {
  wn_engine *engine = o->engine;
  wn_status status = WN_OK;
  session_replay r = {.engine = engine};
  wn_arena_init(&r.arena, SESSION_BYTES_MAX);
  int64_t ttl_ms = (int64_t)engine->config.server.session_minutes * 60000;
  WN_TRY(step(o, "sessions", err));
  WN_TRY(wn_store_scan_slates(engine->store, wn_now_ms() - ttl_ms, true, replay_slate, &r, err));
  wn_log(WN_LOG_INFO, "open: sessions=%zu ms=%.1f", wn_sessions_count(engine->sessions),
         step_ms(o));
cleanup:
  wn_arena_clear(&r.arena);
  return status;
}

static wn_status start_committer(wn_engine *engine, wn_error *err) {
  wn_committer_options options;
  if (engine->mode == WN_STORE_READ) return WN_OK;
  wn_committer_options_defaults(&options);
  options.on_commit = wn_engine_on_commit;
  options.ctx = engine;
  return wn_committer_start(engine->store, &options, &engine->committer, err);
}

wn_status wn_engine_open(const char *dir, wn_store_mode mode, wn_config *config,
                         const wn_progress *progress, wn_engine **out, wn_error *err) {
  wn_status status = WN_OK;
  opening o = {.progress = progress, .start_ns = wn_mono_ns()};
  *out = NULL;
  status = wn_declared_load(dir, config, err);
  if (status != WN_OK) {
    wn_config_clear(config);
    return status;
  }
  o.engine = engine_create(dir, mode, config);
  if (o.engine == NULL) return wn_fail_memory(err);
  WN_TRY(step(&o, "store", err));
  WN_TRY(wn_store_open(dir, mode, &o.engine->store, err));
  wn_log(WN_LOG_INFO, "open: store users=%" PRIu32 " ms=%.1f",
         wn_dict_count(wn_store_users(o.engine->store)), step_ms(&o));
  if (mode == WN_STORE_WRITE) WN_TRY(wn_engine_check_experiments(o.engine, err));
  WN_TRY(load_catalog(&o, err));
  WN_TRY(load_snapshot(&o, err));
  WN_TRY(replay_log(&o, err));
  WN_TRY(wn_engine_pin(o.engine, &o.engine->policy->experiments, err));
  WN_TRY(replay_sessions(&o, err));
  WN_TRY(step(&o, "impressions", err));
  WN_TRY(wn_engine_expose(o.engine, o.engine->policy, err));
  if (mode == WN_STORE_WRITE) WN_TRY(wn_engine_begin_experiments(o.engine, err));
  WN_TRY(start_committer(o.engine, err));
  wn_log(WN_LOG_INFO, "open: ready ms=%.1f", (double)(wn_mono_ns() - o.start_ns) / 1e6);
  *out = o.engine;
  o.engine = NULL;
cleanup:
  wn_engine_close(o.engine);
  return status;
}

const wn_config *wn_engine_config(const wn_engine *engine) {
  return &engine->config;
}

const char *wn_engine_dir(const wn_engine *engine) {
  return engine->dir;
}

wn_store *wn_engine_store(const wn_engine *engine) {
  return engine->store;
}

bool wn_engine_item_known(wn_engine *engine, wn_str id, wn_item_ix *ix, wn_item_status *status) {
  *ix = wn_dict_find(wn_store_items(engine->store), id);
  *status = WN_ITEM_DELETED;
  if (*ix == WN_NO_IX) return false;
  pthread_rwlock_rdlock(&engine->lock);
  *status = wn_catalog_status(engine->catalog, *ix);
  pthread_rwlock_unlock(&engine->lock);
  return true;
}
