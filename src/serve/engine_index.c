/* Retrieval through an index. When the model als knows more items than server.index_items_min, its
 * candidates, neighbours of items and neighbours of users come from indexes of their own instead of
 * a scan: items by inner product, items by cosine over the same rows, users by cosine.
 *
 * They are built off the lock, by the thread that looks for snapshots: for a new snapshot before it
 * is swapped in, at the start while requests are served by scans. What events teach the model since
 * the snapshot (als_live.c) goes into them under the lock that updates the model; merging that in
 * happens off the lock, in the same thread, and nobody waits for it. Should an index not be able to
 * note a change, the model goes back to scanning.
 *
 * Users fold in at each request, so an index of users holds the vectors of the snapshot: that is
 * also what a scan sees. Memory beside the snapshot: a copy of the items' vectors, 4·d bytes an
 * item (the rows of the model lie in another order), and d + 16 bytes of codes an item twice and a
 * user once. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "index/index.h"
#include "model/als.h"
#include "serve/engine_internal.h"

#include <inttypes.h>
#include <string.h>

#define RECALL .99
#define DEPTH  200u /* that recall is measured at */

struct wn_retrieval {
  wn_nearest nearest;
  wn_index *index[WN_NEAREST_KINDS];
  float *rows; /* [items · d] by item */
};

static bool retrieval_answers(const void *ctx, wn_nearest_kind kind) {
  return ((const wn_retrieval *)ctx)->index[kind] != NULL;
}

static wn_status retrieval_find(const void *ctx, const wn_nearest_ask *ask, wn_arena *arena,
                                wn_scored *out, size_t *count, wn_error *err) {
  const wn_retrieval *retrieval = ctx;
  wn_index_answer answer = {.items = out};
  wn_index_query query = {.vector = ask->x,
                          .k = ask->k < UINT32_MAX ? (uint32_t)ask->k : UINT32_MAX,
                          .allowed = ask->allowed};
  wn_status status = wn_index_search(retrieval->index[ask->kind], &query, arena, &answer, err);
  *count = answer.count;
  return status;
}

static bool put_into(wn_index *index, uint32_t item, const float *vector) {
  wn_error err;
  if (vector != NULL) return wn_index_upsert(index, item, vector, &err) == WN_OK;
  wn_status status = wn_index_remove(index, item, &err);
  return status == WN_OK || status == WN_E_NOT_FOUND;
}

static bool retrieval_put(void *ctx, uint32_t item, const float *vector) {
  wn_retrieval *retrieval = ctx;
  bool noted = true;
  for (int kind = WN_NEAREST_ITEMS; kind <= WN_NEAREST_ALIKE; kind++) {
    if (retrieval->index[kind] == NULL) continue;
    noted = noted && put_into(retrieval->index[kind], item, vector);
  }
  return noted;
}

void wn_retrieval_free(wn_retrieval *retrieval) {
  if (retrieval == NULL) return;
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) wn_index_free(retrieval->index[kind]);
  wn_free(retrieval->rows);
  wn_free(retrieval);
}

void wn_engine_hurry(wn_engine *engine) {
  atomic_store(&engine->hurry, true);
}

static bool go_on(void *ctx, const char *stage WN_UNUSED, double done WN_UNUSED,
                  double total WN_UNUSED, const char *unit WN_UNUSED) {
  return !atomic_load((const atomic_bool *)ctx);
}

static wn_status build_index(const wn_vectors *rows, wn_index_options *options, wn_metric metric,
                             wn_index **out, wn_error *err) {
  options->metric = metric;
  return wn_index_build(rows, options, out, err);
}

static wn_status build_items(wn_retrieval *retrieval, const wn_als *als,
                             const wn_progress *progress, wn_error *err) {
  wn_status status;
  uint32_t d = als->head.d, users = als->head.users;
  wn_bitset present = {0};
  wn_index_options options;
  wn_index_options_defaults(&options);
  retrieval->rows = wn_calloc((size_t)als->head.items * d, sizeof *retrieval->rows);
  if (retrieval->rows == NULL || !wn_bitset_init(&present, als->head.items))
    WN_TRY(wn_fail_memory(err));
  for (uint32_t ix = 0; ix < als->head.items; ix++) {
    uint32_t row = als->row_of[ix];
    if (row == WN_NO_IX) continue;
    memcpy(retrieval->rows + (size_t)ix * d, als->item + (size_t)row * d, d * sizeof(float));
    wn_bitset_set(&present, ix);
  }
  options.recall = RECALL;
  options.k = DEPTH;
  options.present = &present;
  options.progress = progress;
  wn_vectors rows = {retrieval->rows, als->head.items, d};
  WN_TRY(build_index(&rows, &options, WN_METRIC_COSINE, &retrieval->index[WN_NEAREST_ALIKE], err));
  options.queries = (wn_vectors){als->user, users, d};
  WN_TRY(build_index(&rows, &options, WN_METRIC_IP, &retrieval->index[WN_NEAREST_ITEMS], err));
cleanup:
  wn_bitset_clear(&present);
  return status;
}

static wn_status build_users(wn_retrieval *retrieval, const wn_als *als,
                             const wn_progress *progress, wn_error *err) {
  wn_status status;
  wn_bitset present = {0};
  wn_index_options options;
  wn_vectors rows = {als->user, als->head.users, als->head.d};
  wn_index_options_defaults(&options);
  if (!wn_bitset_init(&present, als->head.users)) return wn_fail_memory(err);
  for (uint32_t u = 0; u < als->head.users; u++) {
    if (als->user_scale[u] > 0) wn_bitset_set(&present, u);
  }
  options.recall = RECALL;
  options.k = DEPTH;
  options.present = &present;
  options.progress = progress;
  status = build_index(&rows, &options, WN_METRIC_COSINE, &retrieval->index[WN_NEAREST_USERS], err);
  wn_bitset_clear(&present);
  return status;
}

static wn_als *als_of(const wn_serving *serving) {
  for (size_t i = 0; i < serving->models.len; i++) {
    if (serving->models.data[i]->cls == &wn_model_als) return (wn_als *)serving->models.data[i];
  }
  return NULL;
}

static wn_status build(wn_engine *engine, const wn_als *als, wn_retrieval **out, wn_error *err) {
  wn_status status = WN_OK;
  const uint32_t least = engine->config.server.index_items_min;
  const wn_progress progress = {&engine->hurry, go_on};
  wn_retrieval *retrieval = wn_calloc(1, sizeof *retrieval);
  if (retrieval == NULL) return wn_fail_memory(err);
  retrieval->nearest = (wn_nearest){retrieval, retrieval_answers, retrieval_find, retrieval_put};
  if (als->head.rows >= least) WN_TRY(build_items(retrieval, als, &progress, err));
  if (als->head.users >= least) WN_TRY(build_users(retrieval, als, &progress, err));
  *out = retrieval;
  retrieval = NULL;
cleanup:
  wn_retrieval_free(retrieval);
  return status;
}

void wn_serving_index(wn_engine *engine, wn_serving *serving, wn_retrieval **out) {
  wn_error err = {0};
  char text[600];
  const wn_als *als = als_of(serving);
  uint32_t least = engine->config.server.index_items_min;
  uint64_t start = wn_mono_ns();
  *out = NULL;
  serving->index_tried = true;
  if (als == NULL || (als->head.rows < least && als->head.users < least)) return;
  wn_status status = build(engine, als, out, &err);
  if (status == WN_E_CANCELLED) return;
  if (status != WN_OK) {
    wn_log(WN_LOG_WARN, "als goes on scanning, no index: %s",
           wn_error_format(&err, text, sizeof text));
    return;
  }
  wn_log(WN_LOG_INFO, "index built items=%" PRIu32 " users=%" PRIu32 " ms=%.0f", als->head.rows,
         als->head.users, (double)(wn_mono_ns() - start) / 1e6);
}

void wn_serving_attach(wn_serving *serving, wn_retrieval *retrieval) {
  wn_als *als = als_of(serving);
  if (als == NULL || retrieval == NULL) return;
  serving->retrieval = retrieval;
  wn_als_attach(als, &retrieval->nearest);
}

/* What events have changed, merged. */
static void tend(wn_retrieval *retrieval) {
  wn_error err;
  char text[600];
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) {
    wn_index *index = retrieval->index[kind];
    if (index == NULL || !wn_index_wants_compact(index)) continue;
    if (wn_index_compact(index, NULL, &err) != WN_OK)
      wn_log(WN_LOG_WARN, "the index is not merged: %s", wn_error_format(&err, text, sizeof text));
  }
}

void wn_engine_tend_index(wn_engine *engine) {
  wn_serving *serving = engine->serving; /* replaced by this thread alone */
  wn_retrieval *retrieval = NULL;
  if (serving->retrieval != NULL) {
    tend(serving->retrieval);
  } else if (!serving->index_tried) {
    wn_serving_index(engine, serving, &retrieval);
    pthread_rwlock_wrlock(&engine->lock);
    wn_serving_attach(serving, retrieval);
    pthread_rwlock_unlock(&engine->lock);
  }
}

void wn_serving_index_stats(const wn_serving *serving, wn_engine_stats *out) {
  const wn_retrieval *retrieval = serving->retrieval;
  const wn_als *als = als_of(serving);
  wn_index_about about;
  if (retrieval == NULL || als == NULL || als->nearest == NULL) return;
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) {
    if (retrieval->index[kind] == NULL) continue;
    wn_index_about_of(retrieval->index[kind], &about);
    out->index_bytes += about.bytes + about.delta_bytes;
    if (kind == WN_NEAREST_ITEMS) out->index_bytes += about.row_bytes;
    if (kind != WN_NEAREST_ITEMS) continue;
    out->index_items = about.rows;
    out->index_recall = about.achieved;
    out->index_changes = about.changes;
  }
}
