/* See batch_files.h. Numbers between 0 and the largest that no line mentions have no history, and
 * get what the model gives to nobody in particular. */
#include "lab/batch_files.h"

#include "base/mem.h"
#include "base/rng.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct wn_batch_files {
  wn_batch_files_ask ask;
  wn_dataset whole; /* all of it: histories and masks */
  wn_models models;
  const wn_model *model;
  wn_bitset allowed;
  wn_batch_ranker *ranker;
};

static wn_status fit(wn_batch_files *f, const wn_pairs_input *in, const wn_progress *progress,
                     wn_error *err) {
  wn_dataset data;
  wn_status status =
      wn_dataset_prepare(in, &f->ask.train->dataset, &data, f->ask.train->dataset_report, err);
  if (status != WN_OK) return status;
  status = wn_train(&data, f->ask.train, progress, &f->models, err);
  wn_dataset_clear(&data);
  if (status != WN_OK) return status;
  f->model = wn_models_find(&f->models, f->ask.model);
  return f->model != NULL
             ? WN_OK
             : wn_fail(err, WN_E_ARGUMENT, "model", "there is no model `%s`", f->ask.model);
}

wn_status wn_batch_files_create(const wn_batch_files_ask *ask, int threads,
                                const wn_progress *progress, wn_batch_files **out, wn_error *err) {
  const wn_pairs_input in = {
      .events = ask->events.data, .count = ask->events.len, .signals = ask->signals};
  wn_status status;
  wn_batch_files *f = wn_calloc(1, sizeof *f);
  if (f == NULL) return wn_fail_memory(err);
  f->ask = *ask;
  WN_TRY(wn_dataset_from(&in, &f->whole, err));
  WN_TRY(fit(f, &in, progress, err));
  if (!wn_bitset_init(&f->allowed, f->whole.items)) WN_TRY(wn_fail_memory(err));
  wn_bitset_fill(&f->allowed, true);
  WN_TRY(wn_batch_ranker_create(&f->allowed, threads, &f->ranker, err));
  *out = f;
  f = NULL;
cleanup:
  wn_batch_files_free(f);
  return status;
}

uint32_t wn_batch_files_users(const wn_batch_files *f) {
  return f->whole.users;
}

static wn_status user_of(void *ctx, uint64_t at, wn_arena *arena, wn_batch_user *out,
                         wn_error *err) {
  const wn_batch_files *f = ctx;
  const wn_csr *m = &f->whole.by_user;
  uint64_t begin = m->row_ptr[at], end = m->row_ptr[at + 1];
  wn_history_entry *h = wn_arena_alloc(arena, (size_t)(end - begin + 1) * sizeof *h);
  uint8_t *type = wn_arena_alloc(arena, (size_t)(end - begin + 1));
  if (h == NULL || type == NULL) return wn_fail_memory(err);
  out->query = (wn_query){.history = h,
                          .history_type = type,
                          .user = (wn_user_ix)at,
                          .anchor = WN_NO_IX,
                          .now_ms = f->whole.now_ms,
                          .seed = f->ask.train->seed ^ wn_mix64(at)};
  for (uint64_t p = end; p-- > begin;) {
    type[out->query.history_len] = m->type[p];
    h[out->query.history_len++] = (wn_history_entry){m->col[p], m->weight[p], m->time_ms[p]};
  }
  if (f->ask.keep_seen) return WN_OK;
  out->mask = m->col + begin;
  out->mask_len = (size_t)(end - begin);
  return WN_OK;
}

static wn_status rank(void *ctx, const wn_batch_tile *tile, wn_error *err) {
  wn_batch_files *f = ctx;
  const wn_batch_question question = {f->model, f->ask.n, user_of, f};
  return wn_batch_rank(f->ranker, &question, tile, err);
}

static wn_str number(uint64_t value, char room[WN_BATCH_ID_ROOM]) {
  size_t at = WN_BATCH_ID_ROOM;
  do {
    room[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value > 0);
  return (wn_str){room + at, WN_BATCH_ID_ROOM - at};
}

static wn_str user_id(void *ctx WN_UNUSED, uint64_t at, char room[WN_BATCH_ID_ROOM]) {
  return number(at, room);
}

static wn_str item_id(void *ctx WN_UNUSED, uint32_t ix, char room[WN_BATCH_ID_ROOM]) {
  return number(ix, room);
}

wn_batch_job wn_batch_files_job(wn_batch_files *f) {
  return (wn_batch_job){.users = f->whole.users,
                        .n = f->ask.n,
                        .ctx = f,
                        .rank = rank,
                        .user = user_id,
                        .item = item_id};
}

void wn_batch_files_free(wn_batch_files *f) {
  if (f == NULL) return;
  wn_batch_ranker_free(f->ranker);
  wn_bitset_clear(&f->allowed);
  wn_models_clear(&f->models);
  wn_dataset_clear(&f->whole);
  wn_free(f);
}
