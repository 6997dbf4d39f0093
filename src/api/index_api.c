/* libwinnow's index: the public names over index/index.h. */
#include "winnow.h"

#include "index/index.h"

#include <stdio.h>
#include <string.h>

#define SCRATCH_MAX ((size_t)1 << 30) /* of one call */

static int report(wn_status status, const wn_error *err, wn_why *why) {
  if (why == NULL) return (int)status;
  why->code = (int)status;
  why->message[0] = '\0';
  if (status != WN_OK) wn_error_format(err, why->message, sizeof why->message);
  return (int)status;
}

const char *wn_code_text(int code) {
  return code >= 0 && code < WN_STATUS_COUNT ? wn_status_text((wn_status)code) : "unknown";
}

const char *wn_version(void) {
  return WINNOW_VERSION;
}

/* --- building --- */

_Static_assert((int)WN_INDEX_IP == (int)WN_METRIC_IP &&
                   (int)WN_INDEX_COSINE == (int)WN_METRIC_COSINE &&
                   (int)WN_INDEX_L2 == (int)WN_METRIC_L2,
               "the same scores in the same order");

static void set(wn_index_options *o, const wn_index_settings *s) {
  if (s == NULL) return;
  o->metric = (wn_metric)s->score; /* one that there is not is refused by the build */
  if (s->recall != 0) o->recall = s->recall;
  if (s->k != 0) o->k = s->k;
  if (s->seed != 0) o->seed = s->seed;
  o->copy = s->borrow_rows == 0;
}

int wn_index_create(const float *rows, uint32_t count, uint32_t dims,
                    const wn_index_settings *settings, wn_index **out, wn_why *why) {
  wn_error err = {0};
  wn_index_options o;
  wn_vectors all = {rows, count, dims};
  wn_pool *pool = wn_pool_create(settings != NULL ? settings->threads : 0);
  if (pool == NULL) return report(wn_fail_memory(&err), &err, why);
  wn_index_options_defaults(&o);
  o.copy = true;
  set(&o, settings);
  if (settings != NULL && settings->queries != NULL)
    o.queries = (wn_vectors){settings->queries, settings->queries_count, dims};
  o.pool = pool;
  wn_status status = wn_index_build(&all, &o, out, &err);
  wn_pool_free(pool);
  return report(status, &err, why);
}

void wn_index_destroy(wn_index *index) {
  wn_index_free(index);
}

/* --- asking --- */

_Static_assert(sizeof(wn_hit) == sizeof(wn_scored) &&
                   offsetof(wn_hit, id) == offsetof(wn_scored, ix) &&
                   offsetof(wn_hit, score) == offsetof(wn_scored, score),
               "a hit is what the layers below call scored");

int wn_index_find(const wn_index *index, const float *vectors, const wn_index_ask *ask,
                  wn_hit *hits, uint32_t *counts, wn_why *why) {
  wn_error err = {0};
  wn_arena arena;
  wn_bitset allowed = {0};
  wn_index_batch batch = {.vectors = vectors, .count = ask->count > 0 ? ask->count : 1};
  batch.common.k = ask->k;
  batch.common.recall = ask->recall;
  if (ask->allowed != NULL) {
    /* only read from */
    allowed = (wn_bitset){(uint64_t *)(uintptr_t)ask->allowed, ask->allowed_bits};
    batch.common.allowed = &allowed;
  }
  wn_arena_init(&arena, SCRATCH_MAX);
  wn_status status =
      wn_index_search_many(index, &batch, &arena, (wn_scored *)(void *)hits, counts, &err);
  wn_arena_clear(&arena);
  return report(status, &err, why);
}

/* --- changing --- */

int wn_index_put(wn_index *index, uint32_t id, const float *vector, wn_why *why) {
  wn_error err = {0};
  return report(wn_index_upsert(index, id, vector, &err), &err, why);
}

int wn_index_delete(wn_index *index, uint32_t id, wn_why *why) {
  wn_error err = {0};
  return report(wn_index_remove(index, id, &err), &err, why);
}

int wn_index_merge(wn_index *index, int threads, wn_why *why) {
  wn_error err = {0};
  wn_pool *pool = wn_pool_create(threads);
  if (pool == NULL) return report(wn_fail_memory(&err), &err, why);
  wn_status status = wn_index_compact(index, pool, &err);
  wn_pool_free(pool);
  return report(status, &err, why);
}

int wn_index_wants_merge(const wn_index *index) {
  return wn_index_wants_compact(index);
}

/* --- files --- */

int wn_index_store(const wn_index *index, const char *path, wn_why *why) {
  wn_error err = {0};
  return report(wn_index_save(index, path, &err), &err, why);
}

int wn_index_load(const char *path, wn_index **out, wn_why *why) {
  wn_error err = {0};
  return report(wn_index_open(path, out, &err), &err, why);
}

int wn_index_check(const char *path, wn_why *why) {
  wn_error err = {0};
  return report(wn_index_verify_file(path, &err), &err, why);
}

wn_index_facts wn_index_describe(const wn_index *index) {
  wn_index_about a;
  wn_index_about_of(index, &a);
  return (wn_index_facts){.score = a.metric == WN_METRIC_L2       ? WN_INDEX_L2
                                   : a.metric == WN_METRIC_COSINE ? WN_INDEX_COSINE
                                                                  : WN_INDEX_IP,
                          .dims = a.dims,
                          .rows = a.rows,
                          .ids = a.ids,
                          .recall = a.recall,
                          .achieved = a.achieved,
                          .bytes = a.bytes,
                          .rows_bytes = a.row_bytes};
}
