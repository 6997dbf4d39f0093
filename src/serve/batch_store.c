/* Batch jobs over a data directory. The engine is opened for reading, so that nothing changes under
 * it; what it knows is replaced by the state that the job was begun with where that is another. */
#include "serve/batch_store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "data/reader.h"
#include "serve/engine_internal.h"
#include "store/catalog.h"
#include <inttypes.h>
#include <string.h>

struct wn_batch_store {
  wn_engine *engine;
  wn_batch_ask ask;
  const wn_model *model;     /* NULL: the surface */
  const wn_surface *surface; /* NULL: the model */
  wn_batch_ranker *ranker;
  wn_arena *arenas; /* of the surface's workers */
  int threads;
  int64_t now_ms;
  uint64_t seen_types;
  WN_VEC(wn_user_ix) users; /* of the file */
  uint64_t unknown;
};

/* --- the state that is asked --- */

/* The engine's state becomes that of the snapshot and the log up to state->seq. */
static wn_status go_back(wn_engine *engine, const wn_batch_state *state, wn_error *err) {
  wn_serving *serving = NULL;
  if (engine->serving->about.number == state->snapshot && engine->applied_seq == state->seq)
    return WN_OK;
  wn_status status = wn_serving_at(engine, state->snapshot, state->seq, &serving, err);
  if (status != WN_OK) return status;
  wn_serving_free(engine->serving);
  engine->serving = serving;
  return WN_OK;
}

static wn_status choose_source(wn_batch_store *s, wn_error *err) {
  const wn_engine *engine = s->engine;
  const wn_signals *signals = &engine->serving->signals;
  for (uint32_t t = 0; t < signals->len; t++)
    if (signals->data[t].seen) s->seen_types |= (uint64_t)1 << (t < 63 ? t : 63);
  if (s->ask.model != NULL) {
    s->model = wn_models_find(&engine->serving->models, s->ask.model);
    if (s->model != NULL) return WN_OK;
    return wn_fail(err, WN_E_NOT_FOUND, "model",
                   "the snapshot holds no model `%s`: name it in winnow.yaml and train",
                   s->ask.model);
  }
  s->surface = wn_surfaces_find(&engine->policy->surfaces, wn_str_of(s->ask.surface));
  if (s->surface == NULL)
    return wn_fail(err, WN_E_NOT_FOUND, "surface", "there is no surface `%s`", s->ask.surface);
  if (s->surface->flavour == WN_FLAVOUR_FLAT)
    return wn_fail(err, WN_E_ARGUMENT, "surface", "`%s` is flat: its slates are the same for all",
                   s->ask.surface);
  return WN_OK;
}

/* --- users --- */

static wn_status read_users(wn_batch_store *s, wn_error *err) {
  wn_input *input = NULL;
  wn_str line;
  wn_status status;
  WN_TRY(wn_input_open(s->ask.users_file, &input, err));
  for (;;) {
    WN_TRY(wn_input_line(input, &line, err));
    if (line.ptr == NULL) break;
    line = wn_str_trim(line);
    if (line.len == 0) continue;
    wn_user_ix user = wn_store_find_user(s->engine->store, line);
    if (user == WN_NO_IX || wn_engine_user_gone(s->engine, user))
      s->unknown++;
    else if (!wn_vec_push(&s->users, user))
      WN_TRY(wn_fail_memory(err));
  }
cleanup:
  wn_input_close(input);
  return status;
}

static wn_user_ix user_at(const wn_batch_store *s, uint64_t at) {
  return s->ask.users_file != NULL ? s->users.data[at] : (wn_user_ix)at;
}

static wn_str user_id(void *ctx, uint64_t at, char room[WN_BATCH_ID_ROOM] WN_UNUSED) {
  const wn_batch_store *s = ctx;
  return wn_dict_key(wn_store_users(s->engine->store), user_at(s, at));
}

static wn_str item_id(void *ctx, uint32_t ix, char room[WN_BATCH_ID_ROOM] WN_UNUSED) {
  const wn_batch_store *s = ctx;
  return wn_dict_key(wn_store_items(s->engine->store), ix);
}

static wn_query query_of(wn_user_ix user, int64_t now_ms, wn_arena *arena) {
  return (wn_query){
      .user = user, .anchor = WN_NO_IX, .now_ms = now_ms, .seed = wn_mix64(user), .arena = arena};
}

/* The query gets its history; all that she has met; nothing where she is deleted. */
static wn_status ask_of(const wn_engine *engine, wn_query *query, wn_pair_list *pairs,
                        wn_error *err) {
  *pairs = (wn_pair_list){NULL, 0};
  if (wn_engine_user_gone(engine, query->user)) return WN_OK;
  wn_status status =
      wn_online_user(engine->serving->online, query->user, query->now_ms, query->arena, pairs, err);
  return status == WN_OK ? wn_engine_history(engine, query, *pairs, query->arena, err) : status;
}

/* --- lists --- */

static wn_status user_of(void *ctx, uint64_t at, wn_arena *arena, wn_batch_user *out,
                         wn_error *err) {
  const wn_batch_store *s = ctx;
  wn_pair_list pairs;
  out->query = query_of(user_at(s, at), s->now_ms, arena);
  wn_status status = ask_of(s->engine, &out->query, &pairs, err);
  out->nobody = wn_engine_user_gone(s->engine, out->query.user);
  if (status != WN_OK || s->ask.keep_seen || pairs.len == 0) return status;
  wn_item_ix *mask = wn_arena_alloc(arena, pairs.len * sizeof *mask);
  if (mask == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < pairs.len; i++)
    if ((pairs.data[i].mask & s->seen_types) != 0) mask[out->mask_len++] = pairs.data[i].item;
  out->mask = mask;
  return WN_OK;
}

static wn_status rank_by_model(void *ctx, const wn_batch_tile *tile, wn_error *err) {
  wn_batch_store *s = ctx;
  const wn_batch_question question = {s->model, s->ask.n, user_of, s};
  return wn_batch_rank(s->ranker, &question, tile, err);
}

wn_status wn_offline_slate(wn_engine *engine, const wn_offline *ask, wn_user_ix user,
                           wn_arena *arena, wn_slate *slate, wn_error *err) {
  wn_pair_list pairs;
  wn_request request = {.surface = ask->surface,
                        .models = &engine->serving->models,
                        .catalog = engine->catalog,
                        .filters = engine->filters,
                        .signals = &engine->serving->signals,
                        .query = query_of(user, ask->now_ms, arena),
                        .n = ask->n};
  wn_status status = ask_of(engine, &request.query, &pairs, err);
  if (status != WN_OK) return status;
  wn_seen_entry *seen = wn_arena_alloc(arena, (pairs.len + 1) * sizeof *seen);
  if (seen == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < pairs.len; i++)
    seen[i] = (wn_seen_entry){pairs.data[i].item, pairs.data[i].mask};
  request.seen = seen;
  request.seen_len = pairs.len;
  return wn_funnel_run(&request, slate, err);
}

static wn_status rank_by_surface(void *ctx, const wn_batch_tile *tile, wn_error *err) {
  wn_batch_store *s = ctx;
  wn_arena *arena = &s->arenas[tile->worker];
  const wn_offline ask = {s->surface, s->ask.n, s->now_ms};
  for (size_t u = 0; u < tile->len; u++) {
    wn_slate slate = {0};
    wn_arena_reset(arena);
    tile->count[u] = 0;
    if (wn_engine_user_gone(s->engine, user_at(s, tile->at + u))) continue;
    wn_status status =
        wn_offline_slate(s->engine, &ask, user_at(s, tile->at + u), arena, &slate, err);
    if (status != WN_OK) return status;
    for (size_t i = 0; i < slate.len; i++)
      tile->out[u * s->ask.n + i] = (wn_scored){slate.items[i].item, slate.items[i].score};
    tile->count[u] = slate.len;
  }
  return WN_OK;
}

/* --- the job --- */

wn_status wn_batch_store_create(wn_engine *engine, const wn_batch_ask *ask, int threads,
                                wn_batch_state *state, wn_batch_store **out, wn_error *err) {
  wn_status status = WN_OK;
  wn_batch_store *s = wn_calloc(1, sizeof *s);
  if (s == NULL) {
    wn_engine_close(engine);
    return wn_fail_memory(err);
  }
  s->engine = engine;
  s->ask = *ask;
  s->threads = threads;
  if (state->users > 0) {
    WN_TRY(go_back(engine, state, err));
  } else {
    state->snapshot = engine->serving->about.number;
    state->seq = engine->applied_seq;
    state->now_ms = wn_now_ms();
    state->users = wn_dict_count(wn_store_users(engine->store));
  }
  s->now_ms = state->now_ms;
  WN_TRY(choose_source(s, err));
  if (ask->users_file != NULL) {
    WN_TRY(read_users(s, err));
    state->users = s->users.len;
  }
  if (s->model != NULL) {
    WN_TRY(wn_batch_ranker_create(wn_catalog_servable(engine->catalog), threads, &s->ranker, err));
  } else {
    s->arenas = wn_calloc((size_t)threads, sizeof *s->arenas);
    if (s->arenas == NULL) WN_TRY(wn_fail_memory(err));
    for (int t = 0; t < threads; t++) wn_arena_init(&s->arenas[t], (size_t)512 << 20);
  }
  *out = s;
  s = NULL;
cleanup:
  wn_batch_store_free(s);
  return status;
}

uint64_t wn_batch_store_unknown(const wn_batch_store *s) {
  return s->unknown;
}

wn_batch_job wn_batch_store_job(wn_batch_store *s, const wn_batch_state *state) {
  return (wn_batch_job){.users = state->users,
                        .n = s->ask.n,
                        .ctx = s,
                        .rank = s->model != NULL ? rank_by_model : rank_by_surface,
                        .user = user_id,
                        .item = item_id};
}

void wn_batch_store_free(wn_batch_store *s) {
  if (s == NULL) return;
  for (int t = 0; s->arenas != NULL && t < s->threads; t++) wn_arena_clear(&s->arenas[t]);
  wn_free(s->arenas);
  wn_batch_ranker_free(s->ranker);
  wn_vec_clear(&s->users);
  wn_engine_close(s->engine);
  wn_free(s);
}
