/* Retrieval through an index: which state has one, and what events do to it (retrieval.h says what
 * it is).
 *
 * It is opened or built off the lock, by the thread that looks for snapshots: for a new snapshot
 * before it is swapped in, at the start while requests are served by scans. What events teach the
 * model since the snapshot (als_live.c) goes into it under the lock that updates the model; merging
 * that in happens off the lock, in the same thread, and nobody waits for it. Should an index not be
 * able to note a change, the model goes back to scanning. */
#include "base/clock.h"
#include "base/log.h"
#include "index/index.h"
#include "model/als.h"
#include "serve/engine_internal.h"

#include <inttypes.h>

void wn_engine_hurry(wn_engine *engine) {
  atomic_store(&engine->hurry, true);
}

static bool go_on(void *ctx, const char *stage WN_UNUSED, double done WN_UNUSED,
                  double total WN_UNUSED, const char *unit WN_UNUSED) {
  return !atomic_load((const atomic_bool *)ctx);
}

static wn_als *als_of(const wn_serving *serving) {
  for (size_t i = 0; i < serving->models.len; i++) {
    if (serving->models.data[i]->cls == &wn_model_als) return (wn_als *)serving->models.data[i];
  }
  return NULL;
}

void wn_serving_index(wn_engine *engine, wn_serving *serving, wn_retrieval **out) {
  wn_error err = {0};
  char text[600];
  const wn_als *als = als_of(serving);
  const wn_progress progress = {&engine->hurry, go_on};
  const wn_retrieval_options options = {.items_min = engine->config.server.index_items_min,
                                        .progress = &progress};
  uint64_t start = wn_mono_ns();
  *out = NULL;
  serving->index_tried = true;
  if (als == NULL) return;
  wn_status status = wn_retrieval_map(serving->snapshot, als, &options, out, &err);
  if (status != WN_OK) {
    wn_log(WN_LOG_WARN, "the snapshot's index is of no use: %s",
           wn_error_format(&err, text, sizeof text));
  }
  bool mapped = *out != NULL;
  if (!mapped) status = wn_retrieval_build(als, &options, out, &err);
  if (status == WN_E_CANCELLED || (status == WN_OK && *out == NULL)) return;
  if (status != WN_OK) {
    wn_log(WN_LOG_WARN, "als goes on scanning, no index: %s",
           wn_error_format(&err, text, sizeof text));
    return;
  }
  wn_log(WN_LOG_INFO, "index %s items=%" PRIu32 " users=%" PRIu32 " ms=%.0f",
         mapped ? "opened" : "built", als->head.rows, als->head.users,
         (double)(wn_mono_ns() - start) / 1e6);
}

void wn_serving_attach(wn_serving *serving, wn_retrieval *retrieval) {
  wn_als *als = als_of(serving);
  if (als == NULL || retrieval == NULL) return;
  serving->retrieval = retrieval;
  wn_als_attach(als, wn_retrieval_nearest(retrieval));
}

/* What events have changed, merged. */
static void tend(const wn_retrieval *retrieval) {
  wn_error err;
  char text[600];
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) {
    wn_index *index = wn_retrieval_index(retrieval, kind);
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
  out->index_bytes = wn_retrieval_row_bytes(retrieval);
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) {
    const wn_index *index = wn_retrieval_index(retrieval, kind);
    if (index == NULL) continue;
    wn_index_about_of(index, &about);
    out->index_bytes += about.own_bytes;
    if (kind != WN_NEAREST_ITEMS) continue;
    out->index_items = about.rows;
    out->index_recall = about.achieved;
    out->index_changes = about.changes;
  }
}
